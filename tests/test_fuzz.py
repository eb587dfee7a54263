"""Random calls of the public interface: each gives a finite result or a sentence.

Hypothesis chooses an estimator, its parameters, data of many shapes, types and formats, and a sequence
of methods. Valid and invalid choices are mixed. A call may only do one of two things:

- return a finite result of the right shape, the same bits when it is repeated, or
- raise a ValueError, TypeError, NotFittedError or AttributeError whose message is a sentence, and leave
  the estimator as it was.

By default, a quick and reproducible profile runs. ``SKPRUNE_FUZZ=long python -m pytest
tests/test_fuzz.py -s`` runs at least 100,000 calls that differ each time, and prints their number.
"""

import copy
import math
import os
import pickle
import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as given_by
from scipy import sparse
from sklearn.base import clone

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    PrunedGaussianRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune.dbn import UpDown
from skprune.pruning import Rewind, Units
from skprune.samplers import ParallelTempering

LONG = os.environ.get("SKPRUNE_FUZZ") == "long"
LEAST_CALLS = 100_000  # of the long profile
ERRORS = (ValueError, TypeError, AttributeError)  # NotFittedError is a ValueError
N_CALLS = {"results": 0, "sentences": 0}


def profile(quick, long):
    """Settings with this number of examples in the quick and in the long profile."""
    return settings(
        max_examples=long if LONG else quick,
        deadline=None,
        derandomize=not LONG,
        database=None,
        phases=[Phase.explicit, Phase.generate] if LONG else list(Phase),  # shrinking takes minutes
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


# ------------------------------------------------------------------------------- parameters

# What any parameter may be given by mistake. Whether it is one depends on the parameter.
ODD = [
    None, True, -1, 0, 1, 2.5, 1e-300, 1e300, -0.5, math.nan, math.inf, "", "text", (), [], [1], (2, 3),
    {}, np.float32(0.5), np.int8(1), np.array([0.5]), np.array(2), b"text", PrunedBernoulliRBM, object,
]  # fmt: skip
# Numbers of passes and the like, for which a large value is valid and takes long.
COUNTS = [value for value in ODD if not (isinstance(value, float) and abs(value) > 10)]

SMALL = st.integers(1, 5)
SHARE = st.sampled_from([0.0, 0.3, 0.7])
RATE = st.sampled_from([0.001, 0.1, 1.0])
SCHEDULE = st.sampled_from(["linear", "constant"])
PASSES = st.integers(0, 2)
SEED = st.integers(0, 3)

RBM = {
    "n_components": SMALL,
    "learning_rate": RATE,
    "batch_size": st.integers(1, 8),
    "n_iter": PASSES,
    "negative_phase": st.sampled_from(["pcd", "cd", "tempering", ParallelTempering(2)]),
    "n_gibbs_steps": st.sampled_from([1, 2, (1, 3)]),
    "n_chains": st.sampled_from([None, 1, 7]),
    "momentum": st.sampled_from([0.0, 0.5]),
    "l1": st.sampled_from([0.0, 0.01]),
    "l2": st.sampled_from([0.0, 0.01]),
    "centered": st.booleans(),
    "learning_rate_schedule": SCHEDULE,
    "max_norm": st.sampled_from([None, 0.5]),
    "hidden_activity_target": st.sampled_from([None, 0.2, (0.2, 1.0)]),
    "dropout": SHARE,
    "drop_connect": SHARE,
    "initial_sparsity": SHARE,
    "warm_start": st.booleans(),
    "random_state": SEED,
}
GAUSSIAN = {**RBM, "sigma": st.sampled_from([1.0, 0.1, "learned", [1.0, 2.0, 0.5]])}
SIZES = st.sampled_from([3, (2,), (4, 3), [3, 2, 2]])
DBM = {
    "hidden_layer_sizes": SIZES,
    "pretrain": st.booleans(),
    "mean_field_tolerance": st.sampled_from([0.0, 1e-3]),
    "max_mean_field_updates": st.integers(1, 20),
    **{
        name: RBM[name]
        for name in (
            "learning_rate", "batch_size", "n_iter", "n_gibbs_steps", "n_chains", "momentum", "l1", "l2",
            "centered", "learning_rate_schedule", "max_norm", "hidden_activity_target", "warm_start",
            "random_state",
        )
    },
    "negative_phase": st.sampled_from(["pcd", "tempering"]),
}  # fmt: skip
DBN = {
    "hidden_layer_sizes": SIZES,
    "rbm": st.sampled_from([None, PrunedBernoulliRBM(n_iter=1)]),
    "pruner": st.sampled_from([None, IterativePruner(sparsity=0.5, n_rounds=1)]),
    "n_iter": st.sampled_from([None, 0, 1]),
    "upward": st.sampled_from(["probabilities", "samples"]),
    "transpose": st.booleans(),
    "join_labels": st.booleans(),
    "fine_tune": st.sampled_from([None, UpDown(n_iter=1), UpDown(n_iter=1, undirected_top=False)]),
    "warm_start": st.booleans(),
    "random_state": SEED,
}
NETWORK = {
    "hidden_layer_sizes": SIZES,
    "pretrain": st.sampled_from([None, None, "rbm", "autoencoder", "supervised"]),
    "n_pretrain_iter": st.integers(1, 2),
    "solver": st.sampled_from(["adam", "sgd"]),
    "learning_rate": st.sampled_from([None, 0.01, 1.0]),
    "momentum": st.sampled_from([0.0, 0.9]),
    "batch_size": st.integers(1, 8),
    "n_iter": PASSES,
    "l2": st.sampled_from([0.0, 0.01]),
    "dropout": SHARE,
    "input_dropout": SHARE,
    "max_norm": st.sampled_from([None, 0.5]),
    "learning_rate_schedule": SCHEDULE,
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.1, 0.5]),
    "n_iter_no_change": st.integers(1, 2),
    "tol": st.sampled_from([0.0, 0.1]),
    "warm_start": st.booleans(),
    "random_state": SEED,
}
MACHINES = st.sampled_from(
    [
        PrunedBernoulliRBM(4, n_iter=1, random_state=0),
        PrunedBernoulliRBM(3, n_iter=1, negative_phase="cd", momentum=0.5),
        PrunedGaussianRBM(3, n_iter=1, random_state=0),
        DBMTransformer((3, 2), n_iter=1, pretrain=False, random_state=0),
        SparseDBN((3, 2), rbm=PrunedBernoulliRBM(n_iter=1), random_state=0),
        SparseDBNClassifier((3,), pretrain=None, n_iter=1, random_state=0),
        SparseDBNAutoencoder((3,), pretrain=None, n_iter=1, random_state=0),
    ]
)
CRITERIA = st.sampled_from(
    ["magnitude", "random", "contribution", "fisher", "fisher_heuristic", "saliency", "gradient"]
)
PRUNER = {
    "estimator": MACHINES,
    "sparsity": st.sampled_from([0.0, 0.4, 0.8, [0.5], [0.5, 0.2], None]),
    "criterion": CRITERIA,
    "schedule": st.sampled_from(["one_shot", "geometric", "linear", "cubic", [0.2, 0.6]]),
    "n_rounds": st.integers(1, 2),
    "scope": st.sampled_from(["level", "global", "unit"]),
    "order": st.sampled_from(["joint", "bottom_up", "top_down"]),
    "target": st.sampled_from(["connections", "connections", "units", Units(rescale=True)]),
    "remove": st.sampled_from(["least", "most"]),
    "retrain": st.sampled_from(["continue", "rewind", "reinitialize", None, Rewind(1)]),
    "regrow": st.sampled_from([None, None, "random", "gradient"]),
    "grace_rounds": st.sampled_from([None, None, 0, 1]),
    "n_retrain_iter": st.sampled_from([None, 1]),
    "random_state": st.sampled_from([None, 0, 1]),
}
PRUNER_CV = {
    "estimator": MACHINES,
    "sparsities": st.sampled_from([(0.5,), (0.2, 0.6), [0.0]]),
    "cv": st.sampled_from([2, 3]),
    "tolerance": st.sampled_from(["one_standard_error", 0.0, 10.0]),
    **{
        name: PRUNER[name]
        for name in ("criterion", "scope", "target", "remove", "retrain", "n_retrain_iter")
    },
    "random_state": st.sampled_from([0, 1]),
}
CLASSIFIER = {**NETWORK, "class_weight": st.sampled_from([None, "balanced", {0: 2.0}])}
AUTOENCODER = {
    **NETWORK,
    "code": st.sampled_from(["linear", "logistic"]),
    "output": st.sampled_from(["logistic", "linear", "softmax"]),
}
ESTIMATORS = {
    "PrunedBernoulliRBM": (PrunedBernoulliRBM, RBM),
    "PrunedGaussianRBM": (PrunedGaussianRBM, GAUSSIAN),
    "DBMTransformer": (DBMTransformer, DBM),
    "SparseDBN": (SparseDBN, DBN),
    "SparseDBNClassifier": (SparseDBNClassifier, CLASSIFIER),
    "SparseDBNAutoencoder": (SparseDBNAutoencoder, AUTOENCODER),
    "IterativePruner": (IterativePruner, PRUNER),
    "IterativePrunerCV": (IterativePrunerCV, PRUNER_CV),
}
# Parameters that take long or print with odd values.
LEAVE = ("verbose", "n_jobs", "memory", "callbacks")


@st.composite
def estimators(draw, name):
    """An unfitted estimator, and the name of the parameter that has an odd value, or None."""
    estimator_class, parameters = ESTIMATORS[name]
    # Small sizes and few passes are always set, because the defaults take long.
    needed = [
        key
        for key in parameters
        if key.startswith(("n_", "hidden", "estimator", "cv", "sparsities"))
    ]
    others = sorted(set(parameters) - set(needed))
    chosen = [*needed, *draw(st.lists(st.sampled_from(others), max_size=5, unique=True))]
    given = {"random_state": 0} | {key: draw(parameters[key]) for key in chosen}
    odd = None
    if draw(st.integers(0, 3)) == 0:
        names = [key for key in estimator_class().get_params(deep=False) if key not in LEAVE]
        odd = draw(st.sampled_from(sorted(names)))
        counts = odd.startswith(("n_", "max_", "batch", "hidden")) or odd in ("cv", "sparsities")
        given[odd] = draw(st.sampled_from(COUNTS if counts else ODD))
    return estimator_class(**given), odd


# ------------------------------------------------------------------------------------- data

FORMATS = {
    "array": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1][::-1][:, ::-1][:, ::-1],
    "read-only": lambda X: (X.setflags(write=False), X)[1],
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])]),
    **{
        name: lambda X, kind=kind: kind(X)
        for name, kind in {
            "CSR": sparse.csr_array, "CSR matrix": sparse.csr_matrix, "CSC": sparse.csc_array,
            "COO": sparse.coo_array, "LIL": sparse.lil_array, "DOK": sparse.dok_array,
            "BSR": sparse.bsr_array,
        }.items()
    },
}  # fmt: skip
TYPES = [bool, np.uint8, np.int8, np.int64, np.uint32, np.float16, np.float32, np.float64]


def with_one(value):
    def change(X):
        X = np.array(X, dtype=object if isinstance(value, str) else float)
        if X.size:
            X.flat[X.size // 2] = value
        return X

    return change


DAMAGES = {
    "NaN": with_one(np.nan),
    "infinite": with_one(np.inf),
    "text": with_one("text"),
    "huge": with_one(1e30),
    "negative": with_one(-3.0),
    "above 1": with_one(2.0),
    "no rows": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "one row": lambda X: X[:1],
    "a vector": lambda X: X.ravel(),
    "three axes": lambda X: X[None],
    "complex": lambda X: X.astype(complex),
    "None": lambda X: None,
    "a number": lambda X: 3,
    "objects": lambda X: X.astype(object),
}


@st.composite
def data(draw, n_features=None, n_rows=None):
    """Data of any kind: mostly valid, and now and then damaged or of another width."""
    n_rows = draw(st.integers(2, 12)) if n_rows is None else n_rows
    if n_features is None or draw(st.integers(0, 9)) == 0:
        n_features = draw(st.integers(1, 7))
    rng = np.random.RandomState(draw(st.integers(0, 999)))
    values = draw(st.sampled_from(["binary", "binary", "grey", "equal", "zeros", "counts"]))
    X = rng.uniform(size=(n_rows, n_features))
    if values == "binary":
        X = (X < 0.4).astype(float)
    elif values == "equal":
        X = np.tile((X[:1] < 0.5).astype(float), (n_rows, 1))
    elif values == "zeros":
        X = np.zeros_like(X)
    elif values == "counts":
        X = rng.poisson(1.0, X.shape).astype(float)
    if draw(st.integers(0, 4)) == 0:
        damage = draw(st.sampled_from(sorted(DAMAGES)))
        X = DAMAGES[damage](X)
        if damage not in ("huge", "NaN", "infinite", "negative", "above 1", "one row"):
            return X
    dtype = draw(st.sampled_from(TYPES))
    if np.isfinite(X).all() and np.abs(X).max(initial=0) < 100 and X.min(initial=0) >= 0:
        X = X.astype(dtype)
    kind = draw(st.sampled_from(sorted(FORMATS)))
    if X.dtype == np.float16 and kind not in ("array", "Fortran", "strided", "list"):
        X = X.astype(np.float32)  # SciPy has no sparse float16
    return FORMATS[kind](X)


def n_rows_of(X):
    try:
        return X.shape[0] if hasattr(X, "shape") else len(X)
    except (TypeError, IndexError):
        return 5


@st.composite
def targets(draw, X):
    """Classes of the rows of X, mostly valid."""
    n_rows = n_rows_of(X)
    rng = np.random.RandomState(draw(st.integers(0, 99)))
    y = rng.permutation(np.arange(n_rows) % draw(st.integers(2, 3)))
    kind = draw(
        st.sampled_from(["int"] * 8 + ["str", "bool", "None", "short", "float", "NaN", "one"])
    )
    return {
        "int": y, "str": np.array(["a", "b", "c"])[y], "bool": y > 0, "None": None, "short": y[:-1],
        "float": y + 0.5, "NaN": np.where(y == 0, np.nan, y), "one": np.zeros(n_rows, int),
    }[kind]  # fmt: skip


# ------------------------------------------------------------------------------------ calls


def is_finite(result):
    """Whether everything in a result is finite."""
    if isinstance(result, list | tuple):
        return all(is_finite(part) for part in result)
    if sparse.issparse(result):
        return is_finite(result.data)
    if hasattr(result, "to_numpy"):
        result = result.to_numpy()
    if isinstance(result, np.ndarray | float | np.floating):
        array = np.asarray(result)
        return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    return True


def digest(thing):
    """A hashable value that is the same for equal bits, whatever holds them in memory."""
    if isinstance(thing, np.ndarray) and thing.dtype != object:
        return thing.dtype.str, thing.shape, np.ascontiguousarray(thing).tobytes()
    if sparse.issparse(thing):
        coo = thing.tocoo()
        order = np.lexsort((coo.data, *coo.coords))
        return (
            thing.format,
            thing.shape,
            *(digest(part[order]) for part in (*coo.coords, coo.data)),
        )
    if isinstance(thing, pd.DataFrame):
        return tuple(thing.columns), digest(thing.to_numpy())
    if isinstance(thing, dict):
        return tuple(
            (key, digest(thing[key])) for key in sorted(thing, key=str) if key != "seconds"
        )
    if isinstance(thing, list | tuple):
        return type(thing).__name__, tuple(digest(part) for part in thing)
    if isinstance(thing, np.ndarray):
        return thing.shape, tuple(map(repr, thing.ravel()))
    if (
        hasattr(thing, "__getstate__")
        and hasattr(thing, "__dict__")
        and not isinstance(thing, type)
    ):
        return type(thing).__name__, digest(thing.__getstate__())
    return repr(thing)


def outcome(call, estimator, names=()):
    """Call a function; return its result, or None if it raised a sentence and changed nothing.

    ``names`` are words of which the sentence must hold one.
    """
    before = digest(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)  # as NumPy warns of an overflow
        try:
            result = call()
        except ERRORS as error:
            N_CALLS["sentences"] += 1
            message = str(error)
            assert len(message.split()) >= 4, f"no sentence: {error!r}"
            assert not names or any(name in message for name in names), (names, error)
            assert digest(estimator) == before, f"changed before it raised: {error!r}"
            return None
    N_CALLS["results"] += 1
    return result


def draw_call(draw, estimator, X, y):
    """A method of a fitted estimator and its arguments, as (name, args, kwargs)."""
    n_features = getattr(estimator, "n_features_in_", 3)
    methods = [name for name in METHODS if hasattr(estimator, name)]
    name = draw(st.sampled_from(methods))
    rows = data(n_features=n_features)
    seed = draw(st.integers(0, 2))
    if name in ("partial_fit", "fit", "score"):
        given = draw(st.one_of(st.just(X), rows))
        labels = y if given is X else draw(targets(given))
        if name == "partial_fit" and isinstance(estimator, SparseDBNClassifier):
            return name, (given, labels), {}
        return name, (given, labels), {}
    if name == "sample":
        options = {
            "n_samples": draw(st.sampled_from([1, 3, 70, 0, -1, 2.5, "text", None])),
            "n_gibbs_steps": draw(st.sampled_from([1, 2, 5, 0, "text"])),
            "random_state": seed,
        }
        if draw(st.booleans()) and not isinstance(estimator, SparseDBN):
            options["clamped"] = draw(st.one_of(rows, st.just(np.full(n_features, np.nan))))
        return name, (), options
    if name == "layer_samples":
        given = draw(st.one_of(st.none(), rows))
        n_samples = draw(st.sampled_from([1, 5, 130]))
        options = {"n_samples": n_samples, "n_steps_between": draw(SMALL), "random_state": seed}
        return name, (given,), options
    if name == "log_partition":
        options = {
            "method": draw(
                st.sampled_from(["auto", "exact", "ais", "reverse_ais", "bracket", "text"])
            ),
            "n_chains": draw(st.sampled_from([2, 5, 1, "text"])),
            "n_temperatures": draw(st.sampled_from([1, 4, 0])),
            "spacing": draw(st.sampled_from(["adaptive", "linear", "text", [0, 0.5, 1], [0, 2]])),
            "n_tempered_sweeps": draw(st.integers(1, 3)),
            "random_state": seed,
        }
        return name, (), options
    if name == "set_connectivity":
        rng = np.random.RandomState(draw(st.integers(0, 99)))
        try:
            shapes = [mask.shape for mask in estimator.connectivity_]
        except ERRORS:
            shapes = [(2, 2)]
        masks = [
            rng.uniform(size=shape) < draw(st.sampled_from([0.2, 0.6, 1.0])) for shape in shapes
        ]
        odd = draw(st.sampled_from([None] * 5 + ["fewer", "text", "halves", "wide"]))
        if odd == "fewer":
            masks = masks[:-1]
        elif odd == "text":
            masks = "text"
        elif odd == "halves":
            masks = [mask * 0.5 for mask in masks]
        elif odd == "wide":
            masks = [np.hstack([mask, mask]) for mask in masks]
        return name, (masks,), {}
    if name == "compact":
        rescale = draw(st.booleans())
        bias = draw(st.sampled_from([None, "mean_activity", "negative", "text"]))
        return name, (), {"rescale": rescale, "hidden_bias": bias}
    if name in ("inverse_transform", "get_feature_names_out"):
        return name, (draw(data()) if name == "inverse_transform" else None,), {}
    return name, (draw(rows),), {}


METHODS = (
    "transform", "score_samples", "score", "sample", "layer_samples", "free_energy", "gibbs",
    "pseudo_log_likelihood", "log_partition", "compact", "set_connectivity", "inverse_transform",
    "get_feature_names_out", "predict", "predict_proba", "predict_log_proba", "complete", "lower_bound",
    "layer_means", "partial_fit", "fit",
)  # fmt: skip
ROWS = (
    "transform", "score_samples", "free_energy", "gibbs", "pseudo_log_likelihood", "predict",
    "predict_proba", "predict_log_proba", "complete", "lower_bound",
)  # fmt: skip
RETURNS_SELF = ("fit", "partial_fit", "set_connectivity", "compact")


def check_shape(name, args, kwargs, result, estimator):
    """Raise an AssertionError if a result has not the shape that its documentation promises."""
    if name in ROWS:
        assert len(result) == n_rows_of(args[0])
    if name == "transform":
        assert result.shape[1] == len(estimator.get_feature_names_out())
    if name == "sample":
        assert result.shape == (kwargs["n_samples"], estimator.n_features_in_)
    if name == "score":
        assert isinstance(result, float)
    if name == "layer_samples":
        assert len({len(layer) for layer in result}) == 1
    if name == "predict_proba":
        np.testing.assert_allclose(np.asarray(result).sum(axis=1), 1, atol=1e-5)


def same_bits(a, b):
    return digest(a) == digest(b)


def fitted_state(estimator):
    """What a call may change, without the seconds in histories and without parameters."""
    state = {
        key: part for key, part in estimator.__getstate__().items() if "_" in (key[0], key[-1])
    }
    return {
        key: [fitted_state(level) for level in part] if key == "estimators_"
        else fitted_state(part) if key in ("estimator_", "pretrained_") else part
        for key, part in state.items()
    }  # fmt: skip


def run(draw, name):
    """Fit an estimator and call methods of it, each also on a copy of the estimator."""
    estimator, odd = draw(estimators(name))
    X = draw(data())
    y = draw(targets(X)) if draw(st.booleans()) or "Classifier" in name else None
    twin = clone(estimator) if odd is None else copy.deepcopy(estimator)
    repeatable = not isinstance(estimator.random_state, type(None))
    fitted = outcome(lambda: estimator.fit(X, y), estimator)
    again = outcome(lambda: twin.fit(X, y), twin)
    assert (fitted is None) == (again is None)
    if fitted is None:
        valid = np.arange(24).reshape(8, 3) % 5 > 1
        labels = np.arange(8) % 2
        plain = clone(estimator) if odd is None else copy.deepcopy(estimator)
        if outcome(lambda: plain.fit(valid.astype(np.uint8), labels), plain) is None:
            return
        estimator, twin = plain, copy.deepcopy(plain)
        X, y = valid, labels
    elif repeatable:
        assert same_bits(fitted_state(estimator), fitted_state(twin))
    for _ in range(draw(st.integers(1, 5))):
        method, args, kwargs = draw_call(draw, estimator, X, y)
        given = digest((args, kwargs))
        result = outcome(lambda: getattr(estimator, method)(*args, **kwargs), estimator)  # noqa: B023
        assert digest((args, kwargs)) == given, f"{method} changed its arguments"
        if result is None:
            continue
        if method in RETURNS_SELF:
            assert is_finite(level_arrays(result))
            if method == "compact":
                estimator, twin = result, copy.deepcopy(result)
        else:
            assert is_finite(result) or method in ("log_partition", "predict_log_proba"), method
            assert method == "log_partition" or is_finite(result)
            check_shape(method, args, kwargs, result, estimator)
        if method != "compact" and repeatable:
            other = getattr(twin, method)(*args, **kwargs)
            if method in RETURNS_SELF:
                assert same_bits(fitted_state(estimator), fitted_state(twin)), method
            else:
                assert same_bits(result, other), method
    loaded = pickle.loads(pickle.dumps(estimator))
    assert same_bits(fitted_state(loaded), fitted_state(estimator))


def level_arrays(estimator):
    """The weights and biases of a fitted estimator."""
    own = getattr(estimator, "estimator_", estimator)
    arrays = (
        list(np.atleast_1d(*own.components_))
        if isinstance(own.components_, list)
        else [own.components_]
    )
    for name in ("intercept_hidden_", "intercept_visible_", "intercepts_"):
        value = getattr(own, name, [])
        arrays += value if isinstance(value, list) else [value]
    return arrays


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_call_gives_a_result_or_a_sentence(name):
    @profile(quick=25, long=3000)
    @given_by(st.data())
    def fuzz(source):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(source.draw, name)

    first = sum(N_CALLS.values())
    fuzz()
    while LONG and sum(N_CALLS.values()) - first < LEAST_CALLS / len(ESTIMATORS):
        fuzz()
    if LONG:
        print(f"\n{name}: {sum(N_CALLS.values()) - first} calls")
