"""Numbers that enter: NumPy scalars of any width become Python numbers; others get a sentence."""

import fractions
import numbers
import warnings

import numpy as np
import pytest

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._support.options import check_layer_sizes, check_number, check_shape
from skprune.connectivity import full, keep_best, random_dilution, receptive_fields
from skprune.criteria import Fisher, LevelView
from skprune.datasets import (
    circular_patches,
    make_bars_and_stripes,
    make_shifter,
    make_teacher_rbm,
)
from skprune.dbn import UpDown
from skprune.metrics import fisher_matrix, fisher_trace
from skprune.plotting import ImagesDisplay, SamplesDisplay
from skprune.pruning import Rewind
from skprune.samplers import LabelledChains, ParallelTempering
from skprune.schedules import FallingRate, FractionOfRemaining, StdThreshold, Threshold

INTEGER = numbers.Integral
X = np.random.RandomState(0).randint(0, 2, (300, 6)).astype(np.float64)
Y = np.arange(300) % 3

INTEGERS = [
    np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.intp, int,
]  # fmt: skip
FLOATS = [np.float16, np.float32, np.float64, np.longdouble, float, fractions.Fraction]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_any_width_become_int(kind):
    found = check_number(kind(100), "n", INTEGER, low=1)
    assert type(found) is int and found == 100
    assert type(check_number(kind(100), "n")) is int


@pytest.mark.parametrize("kind", FLOATS)
def test_other_numbers_of_any_width_become_float(kind):
    found = check_number(kind(0.25), "share", low=0, high=1)
    assert type(found) is float and found == 0.25


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (True, TypeError, "n must be an integer in .* got True of type bool"),
        (np.bool_(True), TypeError, "n must be an integer"),
        (2.0, TypeError, "n must be an integer"),
        (2.5, TypeError, "n must be an integer"),
        (fractions.Fraction(5, 2), TypeError, "n must be an integer"),
        (np.float64(2), TypeError, "n must be an integer"),
        (np.array(2), TypeError, "n must be an integer"),
        (np.timedelta64(2, "s"), TypeError, "n must be an integer"),
        ("2", TypeError, "n must be an integer"),
        (None, TypeError, "n must be an integer"),
        (np.nan, TypeError, "n must be an integer"),
        (2**63, ValueError, "got an integer of 64 bits. Integers beyond 64 bits"),
        (-(2**63) - 1, ValueError, "Integers beyond 64 bits"),
        pytest.param(10**5000, ValueError, "got an integer of 16610 bits", id="long"),
        (np.uint64(2**63), ValueError, "Integers beyond 64 bits"),
    ],
)
def test_what_is_no_integer_is_refused(value, error, sentence):
    with pytest.raises(error, match=sentence):
        check_number(value, "n", INTEGER)


@pytest.mark.parametrize("value", [1e39, -1e300, fractions.Fraction(10**40)])
def test_numbers_beyond_float32_are_refused(value):
    """Machines for float32 data would compute with infinity instead."""
    with pytest.raises(ValueError, match="number that float32 can hold"):
        check_number(value, "n")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.nan, ValueError),
        (np.inf, ValueError),
        (np.float32(-np.inf), ValueError),
        (np.longdouble("1e4000"), ValueError),
        (10**400, ValueError),
        (fractions.Fraction(10**400), ValueError),
        (False, TypeError),
        (1j, TypeError),
        ("0.5", TypeError),
        (np.array(0.5), TypeError),
        (np.array([0.5]), TypeError),
    ],
)
def test_what_is_no_finite_number_is_refused(value, error):
    with pytest.raises(error, match="share must be a number in"):
        check_number(value, "share")


def test_sizes_and_shapes_are_python_ints():
    for found in (check_layer_sizes(np.array([5, 3], np.int8)), check_shape(np.uint8([5, 3]))):
        assert list(found) == [5, 3] and all(type(size) is int for size in found)
    for wrong in (5, (5,), (5, 3, 1), "ab", [[5, 3]]):
        with pytest.raises((ValueError, TypeError), match="shape"):
            check_shape(wrong)


def fitted():
    rbm = PrunedBernoulliRBM(5, n_iter=1, random_state=0).fit(X)
    dbm = DBMTransformer((5, 4), n_iter=1, random_state=0).fit(X)
    dbn = SparseDBN((5, 4), n_iter=1, join_labels=True, random_state=0).fit(X, Y)
    network = SparseDBNClassifier((5,), pretrain=None, n_iter=1, random_state=0).fit(X, Y)
    return {"rbm": rbm, "dbm": dbm, "dbn": dbn, "network": network}


FITTED = {}


def machine(name):
    if not FITTED:
        FITTED.update(fitted())
    return FITTED[name]


def view(*of):
    return np.zeros((4, 2)), np.zeros((4, 3))


# One call per integer argument: the name that its sentence begins with, a number that works, and
# the call.
CALLS = {
    "rbm.sample n_samples": ("n_samples", 100, lambda n: machine("rbm").sample(n, n_gibbs_steps=2)),
    "rbm.sample n_gibbs_steps": (
        "n_gibbs_steps", 100, lambda n: machine("rbm").sample(3, n_gibbs_steps=n)),
    "rbm.layer_samples n_samples": (
        "n_samples", 120, lambda n: machine("rbm").layer_samples(n_samples=n, n_steps_between=2)),
    "rbm.layer_samples n_steps_between": (
        "n_steps_between", 100,
        lambda n: machine("rbm").layer_samples(n_samples=2, n_steps_between=n)),
    "dbm.layer_samples n_samples": (
        "n_samples", 120, lambda n: machine("dbm").layer_samples(n_samples=n, n_steps_between=2)),
    "dbn.layer_samples n_samples": (
        "n_samples", 120, lambda n: machine("dbn").layer_samples(n_samples=n, n_steps_between=2)),
    "dbn.layer_samples n_steps_between": (
        "n_steps_between", 100,
        lambda n: machine("dbn").layer_samples(n_samples=2, n_steps_between=n)),
    "network.layer_samples n_samples": (
        "n_samples", 100, lambda n: machine("network").layer_samples(X, n_samples=n)),
    "rbm.log_partition n_chains": (
        "n_chains", 100,
        lambda n: machine("rbm").log_partition("ais", n_chains=n, n_temperatures=100)),
    "rbm.log_partition n_temperatures": (
        "n_temperatures", 100,
        lambda n: machine("rbm").log_partition("ais", n_chains=100, n_temperatures=n)),
    "rbm.log_partition n_tempered_sweeps": (
        "n_tempered_sweeps", 100, lambda n: machine("rbm").log_partition(n_tempered_sweeps=n)),
    "dbn.log_partition n_chains": (
        "n_chains", 100,
        lambda n: machine("dbn").log_partition("ais", n_chains=n, n_temperatures=100)),
    "dbm.transform level": ("level", 1, lambda n: machine("dbm").transform(X, level=n)),
    "dbm.complete max_updates": (
        "max_updates", 100, lambda n: machine("dbm").complete(X, max_updates=n)),
    "dbn.transform level": ("level", 1, lambda n: machine("dbn").transform(X, level=n)),
    "dbn.layer_means level": ("level", 1, lambda n: machine("dbn").layer_means(X, level=n)),
    "dbn.predict_proba n_passes": (
        "n_passes", 2, lambda n: machine("dbn").predict_proba(X, n_passes=n)),
    "dbn.lower_bound n_samples": (
        "n_samples", 2, lambda n: machine("dbn").lower_bound(X, n_samples=n)),
    "dbn.sample n_samples": ("n_samples", 100, lambda n: machine("dbn").sample(n, n_gibbs_steps=2)),
    "dbn.sample n_gibbs_steps": (
        "n_gibbs_steps", 100, lambda n: machine("dbn").sample(3, n_gibbs_steps=n)),
    "fisher_matrix level": (
        "level", 0, lambda n: fisher_matrix(machine("rbm"), X, level=n)),
    "fisher_trace n_samples": (
        "n_samples", 100, lambda n: fisher_trace(machine("rbm"), n_samples=n, n_steps_between=2)),
    "Fisher n_samples": (
        "n_samples", 100,
        lambda n: Fisher(n)(LevelView(np.ones((3, 2)), np.ones((3, 2), bool), None, view))),
    "Fisher n_steps_between": (
        "n_steps_between", 100,
        lambda n: Fisher(100, n)(LevelView(np.ones((3, 2)), np.ones((3, 2), bool), None, view))),
    "make_bars_and_stripes n_samples": ("n_samples", 5, make_bars_and_stripes),
    "make_bars_and_stripes size": ("size", 4, lambda n: make_bars_and_stripes(size=n)),
    "make_shifter n_samples": ("n_samples", 5, make_shifter),
    "make_shifter width": ("width", 8, lambda n: make_shifter(width=n)),
    "make_teacher_rbm n_samples": ("n_samples", 5, make_teacher_rbm),
    "make_teacher_rbm n_features": (
        "n_features", 5, lambda n: make_teacher_rbm(5, n_features=n)),
    "make_teacher_rbm n_components": (
        "n_components", 8, lambda n: make_teacher_rbm(5, n_components=n)),
    "circular_patches n_patches": (
        "n_patches", 5, lambda n: circular_patches(np.eye(64), (8, 8), 2, n)),
    "circular_patches image_shape": (
        "an entry of image_shape", 8, lambda n: circular_patches(np.eye(64), (n, n), 2, 5)),
    "ImagesDisplay n_columns": ("n_columns", 100, lambda n: ImagesDisplay(np.eye(4), n_columns=n)),
    "SamplesDisplay n_samples": (
        "n_samples", 100,
        lambda n: SamplesDisplay.from_estimator(
            machine("rbm"), n, image_shape=(2, 3), n_gibbs_steps=2)),
    "full shape": ("an entry of shape", 4, lambda n: full((n, n))),
    "random_dilution shape": ("an entry of shape", 100, lambda n: random_dilution((n, n), 0.5)),
    "receptive_fields image_shape": (
        "an entry of image_shape", 4, lambda n: receptive_fields((n, n), 3)),
    "receptive_fields window": ("an entry of window", 3, lambda n: receptive_fields((4, 4), n)),
    "keep_best n_kept": ("n_kept", 2, lambda n: keep_best(np.eye(2), n)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_integer_argument_takes_any_width_and_refuses_the_rest(name):
    parameter, works, call = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (np.int8, np.uint8, np.int64):
            call(kind(works))
    for wrong in (True, works + 0.5, np.nan, 2**70, str(works)):
        with pytest.raises((TypeError, ValueError), match=f"^{parameter} must be an integer"):
            call(wrong)


SHARES = {
    "softening": (0.5, lambda share: machine("rbm").log_partition(softening=share)),
    "tolerance": (0.5, lambda share: machine("dbm").complete(X, tolerance=share)),
    "sparsity": (0.5, lambda share: random_dilution((4, 4), share)),
    "density": (0.5, lambda share: make_teacher_rbm(5, density=share)),
    "scale": (0.5, lambda share: make_teacher_rbm(5, scale=share)),
    "radius": (2.0, lambda share: circular_patches(np.eye(64), (8, 8), share, 5)),
    "fraction": (0.5, lambda s: FractionOfRemaining(s).n_kept(np.arange(9.0), None, 9, 0, 0, 1)),
    "quality": (0.5, lambda s: StdThreshold(s).n_kept(np.ones(9), np.ones(9), 9, 0, 0, 1)),
    "value": (0.5, lambda s: Threshold(s).n_kept(np.ones(9), np.ones(9), 9, 0, 0, 1)),
    "first": (0.5, lambda s: FallingRate(s)(0.5)),
    "last": (0.5, lambda s: FallingRate(last=s)(0.5)),
}


@pytest.mark.parametrize("name", SHARES)
def test_every_other_number_takes_any_width_and_refuses_the_rest(name):
    works, call = SHARES[name]
    for kind in (np.float16, np.float32, np.longdouble):
        call(kind(works))
    for wrong in (True, np.nan, 10**400, str(works)):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be a number"):
            call(wrong)


def narrow(parameters):
    """The same parameters as the narrowest NumPy scalars that hold them."""

    def small(value):
        if type(value) is int:
            return next(kind(value) for kind in (np.uint8, np.int16) if kind(value) == value)
        if type(value) is float:
            return np.longdouble(value)
        return tuple(map(small, value)) if isinstance(value, tuple) else value

    return {name: small(value) for name, value in parameters.items()}


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (
            PrunedBernoulliRBM,
            {
                "n_components": 150, "batch_size": 130, "n_iter": 2, "n_gibbs_steps": (1, 3),
                "n_chains": 140, "momentum": 0.5, "l1": 0.125, "l2": 0.25, "max_norm": 3.0,
                "hidden_activity_target": (0.25, 0.5), "dropout": 0.25, "drop_connect": 0.3,
                "initial_sparsity": 0.3, "learning_rate": 0.3,
            },
        ),
        (PrunedBernoulliRBM, {"n_components": 5, "batch_size": 200, "n_iter": 2}),
        (
            DBMTransformer,
            {
                "hidden_layer_sizes": (130, 5), "batch_size": 130, "n_iter": 2,
                "mean_field_tolerance": 0.01, "max_mean_field_updates": 3,
            },
        ),
        (
            SparseDBNClassifier,
            {
                "hidden_layer_sizes": (150, 5), "batch_size": 130, "n_iter": 3, "l2": 0.25,
                "n_iter_no_change": 1, "validation_fraction": 0.3, "early_stopping": True,
                "tol": 0.3, "learning_rate": 0.3, "momentum": 0.3, "solver": "sgd",
                "pretrain": "autoencoder", "n_pretrain_iter": 1, "dropout": 0.25,
            },
        ),
        (
            SparseDBNAutoencoder,
            {"hidden_layer_sizes": (150, 5), "batch_size": 130, "n_iter": 1, "pretrain": None},
        ),
    ],
)  # fmt: skip
def test_estimators_read_narrow_numbers_as_python_numbers(make, parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = make(**parameters, random_state=0).fit(X, Y)
        b = make(**narrow(parameters), random_state=0).fit(X, Y)
    for one, other in zip(a.layers_.biases, b.layers_.biases, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(a.layers_.levels, b.layers_.levels, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_networks_and_pruners_read_narrow_numbers_as_python_numbers():
    given = {"n_iter": 2, "n_gibbs_steps": 2, "batch_size": 130, "learning_rate": 0.3}
    rbm = PrunedBernoulliRBM(150, n_iter=np.uint8(200), batch_size=300, random_state=0)
    made = []
    for change in (dict, narrow):
        tuning = UpDown(**change(given))
        dbn = SparseDBN((6, 5), fine_tune=tuning, random_state=0, **change({"n_iter": 1}))
        pruner = IterativePruner(
            PrunedBernoulliRBM(5, random_state=0, **change({"n_iter": 3})),
            retrain=Rewind(**change({"n_iter": 1})),
            **change({"n_rounds": 2, "n_retrain_iter": 1, "grace_rounds": 2, "sparsity": 0.3}),
        )
        made.append((dbn.fit(X).components_, pruner.fit(X).estimator_.components_))
    for one, other in zip(made[0][0], made[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(made[0][1], made[1][1])
    search = IterativePrunerCV(
        rbm, sparsities=np.float16([0.5]), cv=2, tolerance=np.float16(0.5), target="units"
    )
    assert search._pruner().n_retrain_iter == 25
    assert type(search._pruner().schedule[0]) is float
    for phase in (ParallelTempering(np.uint8(2)), LabelledChains(np.uint8(2))):
        PrunedBernoulliRBM(3, n_iter=1, negative_phase=phase, random_state=0).fit(X[:9])
