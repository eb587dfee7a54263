"""PrunedBernoulliRBM as a user meets it."""

import pickle
import typing

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.exceptions import DataRangeWarning
from skprune.samplers import ContrastiveDivergence, ParallelTempering
from tests import oracles
from tests.machines import (
    looks_up,
    machine_of,
    oracle_parameters,
    random_parameters,
    replace_level,
)


def small(**parameters):
    return PrunedBernoulliRBM(**{"n_components": 12, "n_iter": 3, "random_state": 0, **parameters})


def test_score_samples_sums_to_one():
    X = np.random.RandomState(0).randint(0, 2, (60, 8))
    rbm = PrunedBernoulliRBM(30, n_iter=20, initial_sparsity=0.5, random_state=0).fit(X)
    everything = oracles.all_states(8)
    assert np.exp(rbm.score_samples(everything)).sum() == pytest.approx(1, abs=1e-9)
    assert rbm.log_partition().method == "exact"
    assert rbm.score(X) == pytest.approx(rbm.score_samples(X).mean())


def machine_of_zeros(n_hidden, n_visible):
    """A machine with all weights and biases zero, in float64, and rows for it."""
    X = np.random.default_rng(0).integers(0, 2, (5, n_visible)).astype(np.float64)
    rbm = PrunedBernoulliRBM(n_hidden, n_iter=0, random_state=0).fit(X)
    rbm.set_parameters(
        np.zeros((n_hidden, n_visible)),
        intercept_visible=np.zeros(n_visible),
        intercept_hidden=np.zeros(n_hidden),
        visible_means=X.mean(axis=0),
    )
    return rbm, X


def test_free_energy_of_many_units_is_finite():
    """3,000 hidden units without weights have the free energy -3000 log 2."""
    rbm, X = machine_of_zeros(3000, 4)
    np.testing.assert_allclose(rbm.free_energy(X), -3000 * np.log(2), rtol=1e-12)


def test_pseudo_log_likelihood_of_many_units_is_finite():
    """4 visible units without weights are guessed at 4 log 1/2, whatever is hidden."""
    rbm, X = machine_of_zeros(3000, 4)
    np.testing.assert_allclose(rbm.pseudo_log_likelihood(X), -4 * np.log(2), rtol=1e-9)


def test_ais_of_many_units_is_finite():
    """log Z of 3,000 hidden and 30 visible units without weights is 3030 log 2."""
    rbm, _ = machine_of_zeros(3000, 30)
    value = rbm.log_partition("ais", n_chains=5, n_temperatures=3, softening=1.0).value
    assert value == pytest.approx(3030 * np.log(2), rel=1e-12)


@looks_up
def test_free_energy_by_look_up_is_that_of_its_formula():
    """Packed states enter with both biases, for blocks of 0/1 rows and for one that is not."""
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(600, 12)) < 0.4).astype(np.float32)
    X[300, 5] = 0.25
    mask = rng.uniform(size=(7, 12)) < 0.4
    rbm = PrunedBernoulliRBM(7, connectivity=mask, n_iter=0, random_state=0).fit(X)
    rbm.intercept_visible_ = rng.normal(size=12)
    rbm.intercept_hidden_ = rng.normal(size=7)
    fields = X @ rbm.components_.T.astype(float) + rbm.intercept_hidden_
    expected = -X @ rbm.intercept_visible_.astype(float) - np.logaddexp(0, fields).sum(axis=1)
    np.testing.assert_allclose(rbm.free_energy(X), expected, atol=2e-5)


def test_training_raises_the_likelihood(digits):
    before = small(n_iter=0).fit(digits)
    after = small(n_iter=15).fit(digits)
    assert after.score(digits) > before.score(digits) + 3
    assert (
        after.pseudo_log_likelihood(digits).mean() > before.pseudo_log_likelihood(digits).mean() + 3
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(digits, dtype):
    rbm = small().fit(digits.astype(dtype))
    assert rbm.components_.dtype == dtype
    assert rbm.transform(digits.astype(dtype)).dtype == dtype
    assert rbm.score_samples(digits.astype(dtype)).dtype == np.float64


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_compact_data_are_not_copied(digits, dtype):
    """bool and uint8 give the bits that float32 gives, and no copy of the data is made."""
    import tracemalloc

    X = np.tile(digits.astype(dtype), (40, 1))
    rbm = small(n_iter=1, batch_size=100)
    rbm.fit(X[:200])
    tracemalloc.start()
    rbm.fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the pass order (8 bytes a row), a finite-value check and a buffer of minibatches
    assert peak < 1.0 * X.nbytes + 8 * 2**20
    a = small().fit(digits.astype(dtype))
    b = small().fit(digits.astype(np.float32))
    np.testing.assert_array_equal(a.components_, b.components_)
    np.testing.assert_array_equal(
        a.transform(digits.astype(dtype)), b.transform(digits.astype("f4"))
    )


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.float64])
def test_sparse_data_give_the_same_bits(digits, container, dtype):
    X = digits[:200].astype(dtype)
    a, b = small().fit(X), small().fit(container(X))
    np.testing.assert_array_equal(a.components_, b.components_)
    np.testing.assert_array_equal(a.transform(X), b.transform(container(X)))
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(container(X)))


def test_pruned_connections_stay_zero(digits):
    mask = np.random.RandomState(0).uniform(size=(12, 64)) < 0.2
    rbm = small(connectivity=mask, n_iter=5).fit(digits)
    assert not rbm.components_[~mask].any()
    assert (rbm.components_[mask] != 0).all()
    np.testing.assert_array_equal(rbm.connectivity_[0], mask)
    rbm.partial_fit(digits[:50])
    again = pickle.loads(pickle.dumps(rbm))
    assert not again.components_[~mask].any()
    with pytest.raises(ValueError, match="read-only"):
        rbm.components_[0, 0] = 1


@pytest.mark.parametrize("kind", ["mask", "sparse", "callable"])
def test_connectivity_forms(digits, kind):
    mask = np.eye(12, 64, dtype=bool)
    option = {
        "mask": mask,
        "sparse": sparse.csr_array(mask),
        "callable": lambda shape, rng: np.eye(*shape, dtype=bool),
    }[kind]
    np.testing.assert_array_equal(small(connectivity=option).fit(digits).connectivity_[0], mask)


def test_initial_sparsity_is_exact_and_combines_with_a_mask(digits):
    rbm = small(initial_sparsity=0.9).fit(digits)
    assert rbm.connectivity_[0].sum() == round(0.1 * 12 * 64)
    mask = np.zeros((12, 64), bool)
    mask[:, :32] = True
    both = small(initial_sparsity=0.9, connectivity=mask).fit(digits).connectivity_[0]
    assert both.sum() == round(0.1 * 12 * 64)
    assert not both[~mask].any()


def test_set_connectivity(digits):
    rbm = small().fit(digits)
    rbm.score(digits)
    kept = rbm.components_.copy()
    mask = np.arange(12 * 64).reshape(12, 64) % 4 == 0
    assert rbm.set_connectivity([mask]) is rbm
    assert "log Z" not in rbm._kept
    np.testing.assert_array_equal(rbm.components_, kept * mask)
    rbm.set_connectivity(np.ones((12, 64), bool))
    np.testing.assert_array_equal(rbm.components_, kept * mask)
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        rbm.set_connectivity(np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="leaves no connection"):
        rbm.set_connectivity(np.zeros((12, 64), bool))
    with pytest.raises(ValueError, match="2 masks for 1 levels"):
        rbm.set_connectivity([mask, mask])
    with pytest.raises(ValueError, match="only True and False"):
        rbm.set_connectivity(np.full((12, 64), 0.5))
    with pytest.raises(NotFittedError):
        small().set_connectivity(mask)


def test_warm_start_goes_on(digits):
    """Two fits of constant rate differ from one: fresh draws, but never worse than the start."""
    rbm = small(warm_start=True, n_iter=5).fit(digits)
    first, step = rbm.score(digits), rbm._step
    rbm.fit(digits)
    assert rbm._step == 2 * step
    assert rbm.score(digits) > first
    cold = small(n_iter=5).fit(digits)
    np.testing.assert_array_equal(cold.components_, small(n_iter=5).fit(digits).components_)


def test_partial_fit(digits):
    rbm = small(momentum=0.5)
    assert rbm.partial_fit(digits[:200]) is rbm
    start = rbm.score(digits)
    for _ in range(10):
        for block in range(0, 1797, 200):
            rbm.partial_fit(digits[block : block + 200])
    assert rbm.score(digits) > start + 1.5
    one = small().partial_fit(digits[:7])
    assert one._step == 1


def test_gibbs_advances_and_sample_is_pure(digits):
    rbm = small().fit(digits)
    first, second = rbm.gibbs(digits[:50]), rbm.gibbs(digits[:50])
    assert np.isin(first, (0, 1)).all()
    assert (first != second).any()
    a = rbm.sample(5, n_gibbs_steps=20, random_state=1)
    np.testing.assert_array_equal(a, rbm.sample(5, n_gibbs_steps=20, random_state=1))
    assert (a != rbm.sample(5, n_gibbs_steps=20, random_state=2)).any()
    assert a.shape == (5, 64)


def test_sample_with_clamped_units(digits):
    rbm = small(n_components=40, n_iter=30).fit(digits)
    image = digits[3].astype(float)
    clamped = image.copy()
    clamped[32:] = np.nan
    samples = rbm.sample(200, n_gibbs_steps=50, clamped=clamped, random_state=0)
    np.testing.assert_array_equal(samples[:, :32], np.tile(image[:32], (200, 1)))
    free = rbm.sample(200, n_gibbs_steps=50, random_state=0)
    guided = np.abs(samples[:, 32:].mean(axis=0) - image[32:]).mean()
    assert guided < np.abs(free[:, 32:].mean(axis=0) - image[32:]).mean()
    with pytest.raises(ValueError, match="NaN where a visible unit is free"):
        rbm.sample(3, clamped=np.zeros(5))


def test_samples_follow_the_model():
    """Means of 4,000 samples within five sigma of the exact visible means."""
    X = np.random.RandomState(0).randint(0, 2, (60, 6))
    X[:, 1] = X[:, 0]
    rbm = PrunedBernoulliRBM(4, n_iter=60, random_state=0).fit(X)
    everything = oracles.all_states(6)
    exact = np.exp(rbm.score_samples(everything)) @ everything
    samples = rbm.sample(4000, n_gibbs_steps=100, random_state=0)
    assert np.abs(samples.mean(axis=0) - exact).max() < 5 * 0.5 / np.sqrt(4000)


def test_layer_samples(digits):
    rbm = small(n_iter=10).fit(digits)
    visible, hidden = rbm.layer_samples(digits[:300], random_state=0)
    np.testing.assert_array_equal(visible, digits[:300])
    means = rbm.transform(digits[:300])
    assert np.isin(hidden, (0, 1)).all()
    assert np.abs(hidden.mean(axis=0) - means.mean(axis=0)).max() < 5 * 0.5 / np.sqrt(300)
    visible, hidden = rbm.layer_samples(n_samples=250, n_steps_between=3, random_state=0)
    assert visible.shape == (250, 64)
    assert hidden.shape == (250, 12)


def test_every_step_of_model_states_has_its_own_draws():
    """States kept one Gibbs step apart have the joint frequencies of enumeration."""
    n_samples = 100_000
    weights, biases = random_parameters((3, 2))
    machine = machine_of(weights, biases)
    layers = machine.layer_samples(n_samples=n_samples, n_steps_between=1, random_state=0)
    codes = np.hstack(layers).astype(int) @ (1 << np.arange(5)[::-1])
    found = np.bincount(codes, minlength=32) / n_samples
    exact = oracles.joint(weights, biases)[1]
    assert (np.abs(found - exact) < 6 * np.sqrt(exact / n_samples)).all()


def test_own_negative_phase_object(digits):
    """An object that moves the even layers itself, before every minibatch."""

    class Replay:
        chains, calls = "own", 0

        def prepare(self, stack, chains, n_chains, base, key):
            return self

        def advance(self, stack, chains, n_gibbs_steps, key, step, team):
            Replay.calls += 1
            chains[0][:, :600] = 1

    rbm = small(negative_phase=Replay(), n_iter=1, batch_size=600).fit(digits)
    assert Replay.calls == 3
    assert rbm.intercept_visible_.sum() < small(n_iter=0).fit(digits).intercept_visible_.sum()
    a = small(negative_phase=ContrastiveDivergence()).fit(digits).components_
    np.testing.assert_array_equal(a, small(negative_phase="cd").fit(digits).components_)


@pytest.mark.parametrize("negative_phase", ["cd", "pcd"])
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_dropout_turns_this_share_of_the_hidden_units_off(digits, negative_phase, sparsity):
    options = {
        "learning_rate": 1e-12, "n_iter": 1, "batch_size": 300, "negative_phase": negative_phase,
        "initial_sparsity": sparsity,
    }  # fmt: skip
    dropped = []
    for seed in range(6):
        rbm = small(**options | {"n_iter": 0}, random_state=seed, warm_start=True).fit(digits)
        rbm.intercept_hidden_ = np.full(12, 60)  # on, unless dropped
        dropped.append(rbm.set_params(n_iter=1, dropout=0.4).fit(digits).h_samples_)
    size = np.size(dropped)
    assert abs(np.mean(dropped) - 0.6) < 3 * np.sqrt(0.4 * 0.6 / size) < 0.02
    assert len(np.unique(dropped[0], axis=0)) > 50  # other units in every chain


def test_dropout_is_the_same_all_through_a_minibatch(digits):
    """What is off in the data is off in the model: its weights get no gradient from a row."""
    options = {"n_iter": 1, "batch_size": 1, "negative_phase": "cd", "learning_rate": 0.1}
    X = digits[:1]
    before = small(**options, centered=False).set_params(n_iter=0).fit(X).components_
    after = small(**options, centered=False, dropout=0.5).fit(X).components_
    untouched = np.isclose(before, after, atol=1e-12).all(axis=1)
    assert 0.2 < untouched.mean() < 0.8


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_drop_connect_leaves_this_share_of_the_connections_alone(digits, sparsity, momentum):
    options = {"n_iter": 1, "batch_size": 2000, "initial_sparsity": sparsity, "momentum": momentum}
    same = []
    for seed in range(12):
        before = small(**options, random_state=seed).set_params(n_iter=0).fit(digits)
        after = small(**options, random_state=seed, drop_connect=0.3).fit(digits)
        mask = before.connectivity_[0]
        np.testing.assert_array_equal(mask, after.connectivity_[0])
        moving = mask & (digits.std(axis=0) > 0)
        same.append((before.components_ == after.components_)[moving])
    same = np.concatenate(same)
    assert abs(same.mean() - 0.3) < 3 * np.sqrt(0.3 * 0.7 / same.size) < 0.04
    again = small(**options, random_state=11, drop_connect=0.3).fit(digits)
    np.testing.assert_array_equal(after.components_, again.components_)


def test_weights_of_drop_connect_are_those_of_the_whole_machine(digits):
    rbm = small(drop_connect=0.5, n_iter=60, batch_size=20, learning_rate=0.2).fit(digits)
    found, level = [], rbm._levels[0]
    for times in (0.5, 1, 2):
        replace_level(rbm, 0, level.scaled(times))
        log_z = rbm.log_partition("exact").value
        found.append(-rbm.free_energy(digits).mean() - log_z)
    assert found[1] > max(found[0], found[2]) + 1


def test_tempering_trains(digits):
    rbm = small(negative_phase="tempering", n_iter=5, batch_size=20).fit(digits)
    untrained = small(n_iter=0).fit(digits)
    assert rbm.score(digits) > untrained.score(digits) + 2.5
    again = small(negative_phase="tempering", n_iter=5, batch_size=20).fit(digits)
    np.testing.assert_array_equal(rbm.components_, again.components_)
    with pytest.raises(ValueError, match="n_temperatures must be an integer"):
        small(negative_phase=ParallelTempering(1)).fit(digits)


@pytest.mark.parametrize("name", ["dropout", "drop_connect"])
def test_dropping_everything_is_refused(digits, name):
    with pytest.raises(ValueError, match=rf"{name} must be a number in \[0, 1\)"):
        small(**{name: 1.0}).fit(digits)


def test_rising_gibbs_steps_and_history(digits):
    rbm = small(n_gibbs_steps=(1, 5), n_iter=5, learning_rate=0.1).fit(digits)
    np.testing.assert_array_equal(rbm.history_["n_gibbs_steps"], [1, 2, 3, 4, 5])
    assert rbm.n_iter_ == 5
    assert set(rbm.history_) == {"learning_rate", "n_gibbs_steps", "moment_gap", "seconds"}
    rates = rbm.history_["learning_rate"]
    assert (np.diff(rates) < 0).all()
    assert rates[0] < 0.1
    flat = small(learning_rate_schedule="constant", learning_rate=0.1).fit(digits)
    np.testing.assert_array_equal(flat.history_["learning_rate"], 0.1)
    own = small(learning_rate_schedule=lambda progress: 0.5, learning_rate=0.1).fit(digits)
    np.testing.assert_array_equal(own.history_["learning_rate"], 0.05)


def test_verbose_prints_a_line_a_pass(digits, capsys):
    rbm = small(verbose=1, n_iter=2).fit(digits)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[PrunedBernoulliRBM] Pass 1 of 2, pseudo-log-likelihood = -")
    assert rbm.history_["pseudo_log_likelihood"].shape == (2,)


def test_kept_log_partition_is_dropped_by_fitting(digits):
    rbm = PrunedBernoulliRBM(30, n_iter=2, random_state=0).fit(digits)
    assert rbm.log_partition().method == "ais"
    assert rbm.score(digits) == rbm.score(digits)
    kept = rbm._kept["log Z"]
    assert kept == tuple(rbm.log_partition())
    assert not rbm.partial_fit(digits)._kept


@pytest.mark.parametrize("change", ["compact", "set_connectivity"])
def test_kept_log_partition_is_dropped_with_units_and_connections(change):
    """Scores after a machine loses units or connections do not reuse the log Z from before."""
    machine, everything = machine_of(*random_parameters((4, 3))), oracles.all_states(4)
    machine.score_samples(everything)
    if change == "compact":
        machine = machine.compact([np.array([True, False, True])])
    else:
        machine.set_connectivity(np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]], bool))
    weights, biases = oracle_parameters(machine)
    exact = -oracles.free_energy(weights, biases, everything) - oracles.log_z(weights, biases)
    np.testing.assert_allclose(machine.score_samples(everything), exact, atol=1e-10)


def test_ais_agrees_with_exact_on_digits(digits):
    rbm = PrunedBernoulliRBM(20, n_iter=20, random_state=0).fit(digits)
    exact = rbm.log_partition("exact")
    ais = rbm.log_partition("ais", random_state=0)
    assert abs(ais.value - exact.value) < 3 * ais.standard_error + 1e-3
    assert ais.bracket[0] < ais.value < ais.bracket[1]


def test_clone_pickle_and_joblib(digits, tmp_path):
    rbm = small(initial_sparsity=0.5).fit(digits)
    assert clone(rbm).get_params() == rbm.get_params()
    joblib.dump(rbm, tmp_path / "rbm.joblib")
    for again in (pickle.loads(pickle.dumps(rbm)), joblib.load(tmp_path / "rbm.joblib")):
        np.testing.assert_array_equal(again.transform(digits), rbm.transform(digits))
        assert again.score(digits) == rbm.score(digits)


def array_bytes(value):
    """Bytes of the arrays that an object holds, however deep."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(array_bytes(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(array_bytes(part) for part in value)
    return array_bytes(vars(value)) if hasattr(value, "__dict__") else 0


def test_a_machine_pruned_to_95_percent_is_a_fifth_at_most(tmp_path):
    """In memory and on disk, after use as well: nothing of the full size is kept."""
    import skops.io

    X = (np.random.default_rng(0).random((300, 784)) < 0.2).astype(np.uint8)
    full = PrunedBernoulliRBM(500, n_iter=1, batch_size=100, random_state=0).fit(X)
    pruned = IterativePruner(full, sparsity=0.95, n_rounds=1, random_state=0).fit(X).estimator_
    sizes = []
    for rbm in (full, pruned):
        rbm.transform(X[:10])
        rbm.sample(3, n_gibbs_steps=1, random_state=0)
        assert rbm.components_.shape == (500, 784)
        joblib.dump(rbm, tmp_path / "rbm.joblib")
        sizes.append(
            [
                array_bytes(rbm),
                len(pickle.dumps(rbm)),
                (tmp_path / "rbm.joblib").stat().st_size,
                len(skops.io.dumps(rbm)),
            ]
        )
    full_sizes, pruned_sizes = np.array(sizes)
    assert full_sizes.min() > 4 * 500 * 784
    assert (pruned_sizes < full_sizes / 5).all(), (full_sizes, pruned_sizes)


def test_version_mismatch_warns(digits):
    state = small().fit(digits).__getstate__()
    state["_skprune_version"] = "0.0.0"
    with pytest.warns(InconsistentVersionWarning, match=r"skprune 0\.0\.0"):
        small().__setstate__(state)


def test_skops_needs_to_trust_the_class_alone(digits):
    import skops.io

    rbm = small(initial_sparsity=0.5).fit(digits)
    blob = skops.io.dumps(rbm)
    untrusted = skops.io.get_untrusted_types(data=blob)
    assert untrusted == ["skprune.rbm.PrunedBernoulliRBM"]
    again = skops.io.loads(blob, trusted=untrusted)
    np.testing.assert_array_equal(again.transform(digits), rbm.transform(digits))


def test_output_containers_and_names(digits):
    import pandas as pd

    frame = pd.DataFrame(digits, columns=[f"pixel{k}" for k in range(64)])
    rbm = small().set_output(transform="pandas").fit(frame)
    out = rbm.transform(frame)
    assert isinstance(out, pd.DataFrame)
    assert list(out.columns) == list(rbm.get_feature_names_out())
    assert out.columns[0] == "prunedbernoullirbm0"
    assert list(rbm.feature_names_in_) == list(frame.columns)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"n_components": 0}, r"n_components must be an integer in \[1, inf\], got 0"),
        ({"n_components": 2.5}, "n_components must be an integer"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\]"),
        ({"learning_rate": np.nan}, "learning_rate must be a number"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"n_iter": -1}, "n_iter must be an integer"),
        ({"momentum": 1.0}, r"momentum must be a number in \[0, 1\)"),
        ({"l1": -1}, "l1 must be a number"),
        ({"l2": -1}, "l2 must be a number"),
        ({"n_chains": 0}, "n_chains must be an integer"),
        ({"max_norm": 0}, "max_norm must be a number"),
        ({"n_gibbs_steps": 0}, "n_gibbs_steps must be an integer"),
        ({"n_gibbs_steps": "many"}, "a pair"),
        ({"hidden_activity_target": 1.5}, "hidden_activity_target must be a number"),
        ({"initial_sparsity": 1.0}, r"initial_sparsity must be a number in \[0, 1\), got 1.0"),
        ({"initial_sparsity": -0.1}, r"initial_sparsity must be a number in \[0, 1\), got -0.1"),
        ({"initial_sparsity": 0.9999}, "leaves none of the 768 connections"),
        (
            {"negative_phase": "exact"},
            "negative_phase='exact' is not known. Use one of 'cd', 'pcd'",
        ),
        ({"learning_rate_schedule": "cosine"}, "Use one of 'constant', 'linear'"),
        ({"connectivity": np.ones((2, 2))}, r"\(n_upper, n_lower\) = \(12, 64\)"),
        ({"connectivity": np.zeros((12, 64))}, "leaves no connection"),
    ],
)
def test_bad_parameters_get_a_sentence(digits, parameters, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        small(**parameters).fit(digits)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score_samples", "gibbs"])
@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (np.array([[0.0, np.nan], [1, 0]]), "NaN"),
        (np.array([[0.0, np.inf], [1, 0]]), "infinity"),
        (np.empty((0, 2)), "0 sample"),
        (np.array([0.0, 1.0]), "1D array"),
        (np.ones((3, 5)), "5 features"),
    ],
)
def test_bad_data_get_a_sentence(method, X, sentence):
    rbm = PrunedBernoulliRBM(3, random_state=0)
    if method != "fit":
        rbm.fit(np.array([[0.0, 1.0], [1.0, 0.0]]))
    elif sentence == "5 features":
        rbm.set_params(connectivity=np.ones((3, 2)))
        sentence = "connectivity mask has shape"
    with pytest.raises(ValueError, match=sentence):
        getattr(rbm, method)(X)


def test_unfitted_machines_say_so():
    for method in ("transform", "score_samples", "gibbs", "free_energy", "pseudo_log_likelihood"):
        with pytest.raises(NotFittedError):
            getattr(PrunedBernoulliRBM(), method)(np.ones((2, 2)))
    for method in ("sample", "log_partition", "layer_samples"):
        with pytest.raises(NotFittedError):
            getattr(PrunedBernoulliRBM(), method)()


def test_repr_evaluates_no_score(digits):
    rbm = PrunedBernoulliRBM(30, n_iter=1).fit(digits)
    assert "PrunedBernoulliRBM" in rbm._repr_html_()
    assert "log Z" not in rbm._kept


def test_data_outside_zero_one_are_taken_with_a_warning():
    X = np.random.RandomState(0).normal(size=(50, 4))
    with pytest.warns(DataRangeWarning, match="Scale the data with"):
        rbm = small().fit(X)
    with pytest.warns(DataRangeWarning, match="Scale the data with"):
        assert np.isfinite(rbm.score_samples(X)).all()


def test_callbacks_see_passes_and_can_stop(digits):
    callback = pytest.importorskip("sklearn.callback")

    class Stop:
        seen: typing.ClassVar[list] = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **kwargs):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **kwargs):
            if context.task_name == "pass":
                self.seen.append(fitted_estimator.score(digits))
                return len(self.seen) == 2

    rbm = small(n_iter=6)
    rbm.set_callbacks(Stop()).fit(digits)
    assert rbm.n_iter_ == 2
    assert len(Stop.seen) == 2
    assert Stop.seen[-1] == pytest.approx(rbm.score(digits))
    small(n_iter=2).set_callbacks(callback.ProgressBar()).fit(digits)


def test_gibbs_steps_from_sparse_rows_are_those_from_the_array(digits):
    from scipy import sparse

    machines = [small(n_iter=1).fit(digits) for _ in range(2)]
    given = digits[:40].astype(np.float32)
    given[0, 0] = 0.5
    np.testing.assert_array_equal(
        machines[0].gibbs(sparse.csr_array(given)), machines[1].gibbs(given)
    )


@pytest.mark.parametrize("place", [30_000_000, -7])
def test_inconsistent_sparse_data_are_refused(digits, place):
    """Kernels write memory by these numbers."""
    from scipy import sparse

    rbm = small(n_iter=0).fit(digits)
    X = sparse.csr_matrix(digits[:20].astype(np.float32))
    X.indices[5] = place
    with pytest.raises(ValueError, match="indices"):
        rbm.transform(X)
