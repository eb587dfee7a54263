"""Deep Boltzmann machines against enumeration at depth 2 and 3, and as a user meets them."""

import itertools
import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import fixed_point
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM
from skprune._machine.levels import Level
from skprune._training.doubling import tie
from skprune.connectivity import receptive_fields
from tests import oracles
from tests.machines import (
    level_values,
    machine_of,
    oracle_parameters,
    pass_order,
    random_parameters,
    replace_level,
    replace_values,
    running_means,
)

DEPTHS = {2: (4, 3), 3: (4, 3, 3)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def data(n=60, width=5, seed=0):
    rng = np.random.RandomState(seed)
    base = rng.randint(0, 2, (3, width))
    rows = base[rng.randint(0, 3, n)]
    return np.where(rng.uniform(size=rows.shape) < 0.15, 1 - rows, rows).astype(float)


def small(depth=2, mask=None, seed=0, **parameters):
    """A machine in float64 with weights that matter."""
    sizes = (5, *DEPTHS[depth])
    rng = np.random.default_rng(seed)
    connectivity = None
    if mask:
        share = {"dense": 0.8, "edges": 0.4}[mask]
        connectivity = [
            rng.uniform(size=(upper, lower)) < share for lower, upper in itertools.pairwise(sizes)
        ]
        for part in connectivity:
            part[0, 0] = True
    machine = DBMTransformer(
        DEPTHS[depth], connectivity=connectivity, pretrain=False, n_iter=0, random_state=seed,
        **parameters,
    ).fit(data())  # fmt: skip
    for number, values in enumerate(level_values(machine)):
        replace_values(machine, number, rng.normal(size=values.shape))
    for bias in machine._biases:
        bias[...] = rng.normal(size=bias.shape)
    return machine


def parts(machine):
    return machine.components_, machine.intercepts_


def mean_field(weights, biases, v):
    """The fixed point of the mean-field equations of one row, by SciPy, from one half."""
    sizes = [len(b) for b in biases[1:]]

    def update(mu):
        layers = [v, *np.split(mu, np.cumsum(sizes)[:-1])]
        for k in range(1, len(layers)):
            field = weights[k - 1] @ layers[k - 1] + biases[k]
            if k < len(weights):
                field = field + weights[k].T @ layers[k + 1]
            layers[k] = sigmoid(field)
        return np.concatenate(layers[1:])

    found = fixed_point(update, np.full(sum(sizes), 0.5), method="iteration", maxiter=5000)
    return np.split(found, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("mask", [None, "dense", "edges"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_mean_field_and_bound_against_enumeration(depth, mask):
    machine = small(depth, mask, mean_field_tolerance=1e-10, max_mean_field_updates=5000)
    weights, biases = parts(machine)
    everything = oracles.all_states(5)
    means = machine.layer_means(everything)
    for row in range(0, 32, 5):
        for ours, theirs in zip(means, mean_field(weights, biases, everything[row]), strict=True):
            np.testing.assert_allclose(ours[row], theirs, atol=1e-6)
    np.testing.assert_array_equal(machine.transform(everything), means[-1])
    np.testing.assert_array_equal(machine.transform(everything, level=1), means[0])
    np.testing.assert_array_equal(machine.transform(everything[7:9]), means[-1][7:9])
    exact = -oracles.free_energy(weights, biases, everything) - oracles.log_z(weights, biases)
    bound = machine.score_samples(everything)
    assert (bound <= exact + 1e-9).all()
    # E_q[log p*(v, h)] + H(q) - log Z, by summing over all hidden states
    hidden = oracles.joint_states([len(b) for b in biases[1:]])
    for row in (3, 20):
        layers = [np.tile(everything[row], (len(hidden[0]), 1)), *hidden]
        log_q = sum(
            (h * np.log(m[row]) + (1 - h) * np.log(1 - m[row])).sum(axis=1)
            for h, m in zip(hidden, means, strict=True)
        )
        log_p = -oracles.energy(weights, biases, layers) - oracles.log_z(weights, biases)
        assert bound[row] == pytest.approx(np.exp(log_q) @ (log_p - log_q), abs=1e-8)
    assert machine.log_partition().method == "exact"
    assert machine.log_partition().value == pytest.approx(oracles.log_z(weights, biases))


def updates_of_numpy(weights, biases, v, tolerance, watched):
    """Return the mean field of one row and the number of updates it took, by NumPy.

    Updates start from 1/2 and stop when no unit of the watched layers moves by more than the
    tolerance.
    """
    layers = [v, *(np.full(len(bias), 0.5) for bias in biases[1:])]
    for n_updates in itertools.count(1):
        before = list(layers)
        for k in range(1, len(layers)):
            field = weights[k - 1] @ layers[k - 1] + biases[k]
            if k < len(weights):
                field = field + weights[k].T @ layers[k + 1]
            layers[k] = sigmoid(field)
        if all(np.abs(layers[k] - before[k]).max() <= tolerance for k in watched):
            return layers[1:], n_updates


@pytest.mark.parametrize(
    ("sizes", "scale"), [((5, 4, 3), 1.5), ((5, 4, 3, 3), 2.0)], ids=["two", "three"]
)
def test_a_row_is_updated_until_no_layer_of_it_moves(sizes, scale):
    """Each row stops after as many updates as a NumPy twin that watches all hidden layers."""
    weights, biases = random_parameters(sizes, seed=2, scale=scale)
    machine = machine_of(weights, biases, mean_field_tolerance=0.01)
    everything, hidden = oracles.all_states(5), range(1, len(sizes))
    means, counts = machine.layer_means(everything), []
    for row, v in enumerate(everything):
        expected, n_updates = updates_of_numpy(weights, biases, v, 0.01, hidden)
        for ours, theirs in zip(means, expected, strict=True):
            np.testing.assert_allclose(ours[row], theirs, atol=1e-12)
        counts.append([n_updates])
        for layer in hidden:  # the count if this layer alone decided
            counts[-1].append(updates_of_numpy(weights, biases, v, 0.01, [layer])[1])
    total, *alone = np.transpose(counts)
    assert total.min() < total.max() < 50
    assert all((total > count).any() for count in alone)


@pytest.mark.parametrize("mask", [None, "edges"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_uneven_minibatches_learn_as_each_by_itself(depth, mask):
    """A minibatch leaves nothing behind for a smaller one after it."""
    X = data(23)
    options = {
        "batch_size": 12, "n_chains": 10, "learning_rate": 0.2, "learning_rate_schedule": "constant",
        "warm_start": True, "momentum": 0.5,
    }  # fmt: skip
    whole, parts_of_it = (small(depth, mask, **options).set_params(n_iter=1) for _ in range(2))
    order = pass_order(whole, 0, 23)
    whole.fit(X)
    for rows in (order[:12], order[12:]):
        parts_of_it.partial_fit(X[rows])
    for ours, theirs in zip(parts(whole), parts(parts_of_it), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
    for a, b in zip(running_means(whole), running_means(parts_of_it), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_ais_of_deep_machines(depth):
    machine = small(depth, "edges")
    exact = oracles.log_z(*parts(machine))
    found = machine.log_partition("bracket", n_temperatures=500, n_tempered_sweeps=300)
    assert abs(found.value - exact) < 4 * found.standard_error + 0.01
    assert found.bracket[0] <= exact <= found.bracket[1]


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("mask", [None, "edges"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_gradient_is_mean_field_minus_the_model(depth, mask, centered):
    """One step over all rows; chains long enough for the model's statistics, to three digits."""
    machine = small(
        depth, mask, n_chains=40_000, n_gibbs_steps=60, batch_size=60, learning_rate=1e-4,
        learning_rate_schedule="constant", centered=centered, mean_field_tolerance=1e-9,
        max_mean_field_updates=2000,
    )  # fmt: skip
    X = data()
    weights, biases = (list(map(np.array, part)) for part in parts(machine))
    masks, offsets = machine.connectivity_, [a.copy() for a in machine._activity]
    given = [X, *machine.layer_means(X)]
    states, p = oracles.joint(weights, biases)
    machine.set_params(warm_start=True, n_iter=1).fit(X)
    differences = [g.mean(axis=0) - p @ s for g, s in zip(given, states, strict=True)]
    for k, mask_ in enumerate(masks):
        of_data = given[k + 1].T @ given[k] / len(X)
        of_model = (states[k + 1] * p[:, None]).T @ states[k]
        slope = of_data - of_model
        if centered:
            slope -= np.outer(differences[k + 1], offsets[k])
            slope -= np.outer(offsets[k + 1], differences[k])
        moved = (machine.components_[k] - weights[k]) / 1e-4
        np.testing.assert_allclose(moved[mask_], slope[mask_], atol=0.015)
        assert not machine.components_[k][~mask_].any()
    if not centered:
        for ours, before, difference in zip(machine.intercepts_, biases, differences, strict=True):
            np.testing.assert_allclose((ours - before) / 1e-4, difference, atol=0.015)


@pytest.mark.parametrize("depth", DEPTHS)
def test_samples_and_clamping_against_enumeration(depth):
    machine = small(depth)
    weights, biases = parts(machine)
    everything = oracles.all_states(5)
    p = np.exp(-oracles.free_energy(weights, biases, everything) - oracles.log_z(weights, biases))
    codes = 1 << np.arange(5)[::-1]
    drawn = machine.sample(20_000, n_gibbs_steps=200, random_state=0)
    found = np.bincount(drawn.astype(int) @ codes, minlength=32) / 20_000
    assert np.abs(found - p).max() < 5 * np.sqrt(p.max() / 20_000)
    clamp = np.array([1, np.nan, 0, np.nan, np.nan])
    held = (everything[:, 0] == 1) & (everything[:, 2] == 0)
    drawn = machine.sample(20_000, n_gibbs_steps=200, clamped=clamp, random_state=0)
    assert (drawn[:, 0] == 1).all() and not drawn[:, 2].any()
    found = np.bincount(drawn.astype(int) @ codes, minlength=32) / 20_000
    assert np.abs(found - np.where(held, p, 0) / p[held].sum()).max() < 0.02


def test_training_raises_the_likelihood():
    X = data(200)
    for pretrain in (True, False):
        machine = DBMTransformer((5, 4), pretrain=pretrain, n_iter=0, random_state=0).fit(X)
        scores = []
        for _ in range(2):
            weights, biases = parts(machine)
            exact = -oracles.free_energy(weights, biases, X) - oracles.log_z(weights, biases)
            scores.append(exact.mean())
            assert machine.score(X) <= exact.mean() + 1e-9
            machine.set_params(n_iter=150, warm_start=True, learning_rate=0.2).fit(X)
        assert scores[1] > scores[0] + 0.3
        assert len(machine.history_["learning_rate"]) == 150


def test_doubled_units_are_tied():
    """The first machine sees its inputs twice, the last has its units twice, others are halved."""
    X = data(100)
    machine = PrunedBernoulliRBM(4, n_iter=3, random_state=0).fit(np.hstack([X, X]))
    tie(machine, (1, 2))
    W, b = machine.components_, machine.intercept_visible_
    np.testing.assert_array_equal(W[:, :5], W[:, 5:])
    np.testing.assert_array_equal(b[:5], b[5:])
    machine = PrunedBernoulliRBM(6, n_iter=3, initial_sparsity=0.5, random_state=0)
    mask = np.tile(np.random.RandomState(0).uniform(size=(3, 5)) < 0.5, (2, 1))
    machine.set_params(initial_sparsity=0.0, connectivity=mask).fit(X)
    tie(machine, (2, 1))
    W, c = machine.components_, machine.intercept_hidden_
    np.testing.assert_array_equal(W[:3], W[3:])
    np.testing.assert_array_equal(c[:3], c[3:])
    np.testing.assert_array_equal(machine.connectivity_[0], mask)


def test_pretraining_is_that_of_its_machines():
    X = data(100)
    template = PrunedBernoulliRBM(n_iter=0, learning_rate=0.2)
    machine = DBMTransformer((4, 3, 3), pretrain=template, n_iter=0, random_state=0).fit(X)
    assert [m.shape for m in machine.components_] == [(4, 5), (3, 4), (3, 3)]
    assert template.n_components == 256
    seeds = np.random.RandomState(0)
    first = PrunedBernoulliRBM(4, n_iter=0, connectivity=np.ones((4, 10), bool))
    first.set_params(random_state=seeds.randint(np.iinfo(np.int32).max)).fit(np.hstack([X, X]))
    tie(first, (1, 2))
    np.testing.assert_allclose(machine.components_[0], first.components_[:, :5])
    second = PrunedBernoulliRBM(3, n_iter=0, connectivity=np.ones((3, 4), bool))
    second.set_params(random_state=seeds.randint(np.iinfo(np.int32).max))
    second.fit(first.transform(np.hstack([X, X])))
    np.testing.assert_allclose(machine.components_[1], second.components_ / 2)
    np.testing.assert_allclose(
        machine.intercepts_[1], (first.intercept_hidden_ + second.intercept_visible_) / 2
    )


class Nudged(PrunedBernoulliRBM):
    """An RBM whose training moves every parameter at random, so that copies of a unit differ."""

    def fit(self, X, y=None):
        n_iter = self.n_iter
        self.set_params(n_iter=0)
        super().fit(X)
        self.set_params(n_iter=n_iter)
        rng = np.random.RandomState(1)
        arrays = (self.components_, self.intercept_visible_, self.intercept_hidden_)
        moved = [array + n_iter * rng.normal(size=array.shape) for array in arrays]
        return self.set_parameters(moved[0], intercept_visible=moved[1], intercept_hidden=moved[2])


def test_copies_of_doubled_units_are_tied_before_and_after_their_training():
    """Copies of a unit share the mean of their parameters, also after passes over the data."""
    X = data(60)
    machine = DBMTransformer((4, 3, 3), pretrain=Nudged(n_iter=1), n_iter=0, random_state=0).fit(X)
    seeds = np.random.RandomState(0)

    def trained(shape, rows, axis):
        """Return the machine of one level, with the copies along the axis averaged."""
        rbm = Nudged(shape[0], connectivity=np.ones(shape, bool))
        rbm.set_params(random_state=seeds.randint(np.iinfo(np.int32).max))
        for n_iter in (0, 1):
            rbm.set_params(n_iter=n_iter, warm_start=n_iter > 0).fit(rows)
            if axis is not None:
                name = ("intercept_hidden_", "intercept_visible_")[axis]
                for attribute, along in (("components_", axis), (name, 0)):
                    halves = np.split(getattr(rbm, attribute), 2, axis=along)
                    mean = np.concatenate([sum(halves) / 2] * 2, axis=along)
                    setattr(rbm, attribute, mean)
        return rbm

    twice = np.hstack([X, X])
    first = trained((4, 10), twice, axis=1)
    second = trained((3, 4), first.transform(twice), axis=None)
    third = trained((6, 3), second.transform(first.transform(twice)), axis=0)
    expected = [first.components_[:, :5], second.components_ / 2, third.components_[:3]]
    for ours, theirs in zip(machine.components_, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(machine.intercepts_[0], first.intercept_visible_[:5], rtol=1e-12)
    np.testing.assert_allclose(machine.intercepts_[3], third.intercept_hidden_[:3], rtol=1e-12)


def test_each_level_has_its_own_machine_in_pretraining(capsys):
    """A list of two that are alike is one machine; others train as they say."""
    X = data(60, 8)
    levels = [PrunedBernoulliRBM(n_iter=1, verbose=1), PrunedBernoulliRBM(n_iter=3, momentum=0.9)]
    machine = DBMTransformer((6, 4), pretrain=levels, n_iter=0, random_state=0).fit(X)
    assert capsys.readouterr().out.count("Pass 1 of 1") == 1
    alike = DBMTransformer((6, 4), pretrain=[levels[1]] * 2, n_iter=0, random_state=0).fit(X)
    one = DBMTransformer((6, 4), pretrain=levels[1], n_iter=0, random_state=0).fit(X)
    for level in range(2):
        np.testing.assert_array_equal(alike.components_[level], one.components_[level])
        assert (machine.components_[level] != one.components_[level]).any()
    assert all(not hasattr(level, "components_") for level in levels)
    with pytest.raises(ValueError, match="pretrain has 2 machines for 3 levels"):
        DBMTransformer((6, 4, 3), pretrain=levels).fit(X)


def test_levels_without_a_machine_start_at_random_above_one_that_is_taken_as_it_is():
    X = data(60, 8)
    level = PrunedBernoulliRBM(n_iter=3, learning_rate=0.3)
    options = {"n_iter": 0, "random_state": 0}
    machine = DBMTransformer((6, 4), pretrain=[level, None], **options).fit(X)
    alone = DBMTransformer((6,), pretrain=level, **options).fit(X)
    np.testing.assert_array_equal(machine.components_[0], alone.components_[0])
    np.testing.assert_array_equal(machine.intercepts_[0], alone.intercepts_[0])
    wide = DBMTransformer((6, 400), pretrain=[level, None], **options).fit(X)
    shift = np.abs(wide.components_[1].sum(axis=0)) / 2
    assert shift.max() > 0.1  # what the upper units say on average is taken off the biases
    np.testing.assert_allclose(wide.transform(X, level=1), alone.transform(X), atol=0.01)
    assert 0 < np.abs(machine.components_[1]).max() < 0.1
    assert not machine.intercepts_[2].any()
    deep = DBMTransformer((6, 4, 3), pretrain=[level, level, None], **options).fit(X)
    two = DBMTransformer((6, 4), pretrain=level, **options).fit(X)
    for number in range(2):
        np.testing.assert_array_equal(deep.components_[number], two.components_[number])
    shift = deep.components_[2].sum(axis=0) / 2
    np.testing.assert_allclose(deep.intercepts_[2], two.intercepts_[2] - shift, atol=1e-6)
    assert deep.components_[2].shape == (3, 4)


def test_frozen_machines_are_taken_as_they_are():
    X = data(60, 8)
    level = PrunedBernoulliRBM(6, n_iter=3, learning_rate=0.3, initial_sparsity=0.5, random_state=0)
    pretrain = [FrozenEstimator(level.fit(X)), None]
    before = level.components_.copy()
    machine = DBMTransformer((6, 4), pretrain=pretrain, n_iter=0, random_state=0).fit(X)
    np.testing.assert_array_equal(machine.components_[0], before)
    np.testing.assert_array_equal(machine.connectivity_[0], level.connectivity_[0])
    shift = machine.components_[1].sum(axis=0) / 2
    np.testing.assert_allclose(machine.intercepts_[1], level.intercept_hidden_ - shift, atol=1e-6)
    machine.set_params(n_iter=1, warm_start=True).fit(X)
    np.testing.assert_array_equal(machine.connectivity_[0], level.connectivity_[0])
    np.testing.assert_array_equal(level.components_, before)
    upper = PrunedBernoulliRBM(n_iter=1)
    two = DBMTransformer((6, 4), pretrain=[pretrain[0], upper], n_iter=0, random_state=0).fit(X)
    np.testing.assert_array_equal(two.components_[0], before)
    mask = np.arange(48).reshape(6, 8) % 3 > 0
    less = DBMTransformer(
        (6, 4), connectivity=[mask, None], pretrain=pretrain, n_iter=0, random_state=0
    )
    both = mask & level.connectivity_[0]
    assert 0 < both.sum() < level.connectivity_[0].sum()
    np.testing.assert_array_equal(less.fit(X).connectivity_[0], both)
    np.testing.assert_array_equal(less.components_[0], np.where(both, before, 0))
    with pytest.raises(ValueError, match="frozen machine of level 1 has weights of shape"):
        DBMTransformer((5, 4), pretrain=pretrain).fit(X)
    with pytest.raises(NotFittedError):
        DBMTransformer((6, 4), pretrain=[FrozenEstimator(PrunedBernoulliRBM(6)), None]).fit(X)


def test_receptive_fields_at_the_first_level():
    X = np.random.RandomState(0).randint(0, 2, (50, 36)).astype(np.uint8)
    mask = receptive_fields((6, 6), 3)
    machine = DBMTransformer((36, 10), connectivity=[mask, None], n_iter=2, random_state=0).fit(X)
    np.testing.assert_array_equal(machine.connectivity_[0], mask)
    assert machine.connectivity_[1].all() and machine._levels[0].connections is not None
    with pytest.raises(ValueError, match="entry for each of the 2 levels"):
        DBMTransformer((36, 10), connectivity=[mask]).fit(X)


def test_missing_values_are_completed():
    X = data(300)
    machine = DBMTransformer((8, 4), n_iter=60, learning_rate=0.1, random_state=0).fit(X)
    holes = X[:50].copy()
    holes[:, 1] = np.nan
    full = machine.complete(holes)
    np.testing.assert_array_equal(full[:, [0, 2, 3, 4]], X[:50][:, [0, 2, 3, 4]])
    assert ((full[:, 1] > 0.5) == X[:50, 1]).mean() > 0.75
    np.testing.assert_allclose(machine.complete(holes[3:5]), full[3:5], rtol=1e-12)
    np.testing.assert_array_equal(machine.complete(X[:4]), X[:4])
    fixed = machine.complete(holes, tolerance=1e-9, max_updates=10_000)
    np.testing.assert_allclose(full, fixed, atol=1e-3)
    assert np.abs(machine.complete(holes, max_updates=1) - fixed).max() > 1e-3
    with pytest.raises(ValueError, match="features"):
        machine.complete(holes[:, :3])


@pytest.mark.parametrize("sparsity", [0.7, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_of_a_row_are_its_own(sparsity, dtype):
    """Slow convergence, where last bits decide about another update; grey rows among binary ones."""
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(700, 60)) < 0.3).astype(dtype)
    dbm = DBMTransformer((50, 40), n_iter=0, pretrain=False, random_state=0).fit(X)
    for weights in level_values(dbm):
        weights[:] = rng.normal(scale=0.9, size=weights.shape)
    if sparsity:
        dbm.set_connectivity([rng.uniform(size=m.shape) > sparsity for m in dbm.connectivity_])
    expected = dbm.layer_means(X)
    for start, stop in ((0, 20), (20, 21), (21, 121), (121, 177), (177, 700)):
        for means, own in zip(expected, dbm.layer_means(X[start:stop]), strict=True):
            np.testing.assert_array_equal(own, means[start:stop])
    X[3:] = rng.uniform(size=X[3:].shape)
    np.testing.assert_array_equal(dbm.transform(X)[:3], expected[-1][:3])


def test_a_pass_down():
    machine = small(2)
    weights, biases = parts(machine)
    H = np.random.RandomState(0).uniform(size=(4, 3))
    below = sigmoid(2 * H @ weights[1] + biases[1])
    np.testing.assert_allclose(
        machine.inverse_transform(H), sigmoid(below @ weights[0] + biases[0])
    )
    with pytest.raises(ValueError, match="columns"):
        machine.inverse_transform(H[:, :2])


def test_same_bits_for_any_threads_and_for_csr(force_threads):
    X = data(80, 12).astype(np.uint8)
    expected = None
    for n_threads in (1, 2):
        force_threads(n_threads)
        for rows in (X, sparse.csr_array(X)):
            machine = DBMTransformer((9, 7), n_iter=2, batch_size=20, random_state=0)
            pruner = IterativePruner(machine, sparsity=0.6, n_rounds=1).fit(rows)
            bits = [w.tobytes() for w in pruner.estimator_.components_]
            bits.append(pruner.transform(rows).tobytes())
            bits.append(pruner.score_samples(rows).tobytes())
            expected = bits if expected is None else expected
            assert bits == expected


@pytest.mark.parametrize("order", ["joint", "bottom_up", "top_down"])
def test_pruners_take_deep_machines(order):
    X = data(60, 10)
    for criterion in ("magnitude", "fisher", "fisher_heuristic", "coactivity"):
        pruner = IterativePruner(
            DBMTransformer((8, 6), n_iter=1, random_state=0), sparsity=[0.5, 0.75], n_rounds=2,
            order=order, criterion=criterion, random_state=0,
        ).fit(X)  # fmt: skip
        assert [int(m.sum()) for m in pruner.connectivity_] == [40, 12]
        assert pruner.transform(X).shape == (60, 6)
    units = IterativePruner(
        DBMTransformer((8, 6), n_iter=1, random_state=0), target="units", sparsity=0.5, n_rounds=2,
        order=order, random_state=0,
    ).fit(X)  # fmt: skip
    assert units.estimator_.hidden_layer_sizes == (4, 3)
    assert units.transform(X).shape == (60, 3)


@pytest.mark.parametrize("retrain", ["rewind", "reinitialize"])
def test_minimal_machines(retrain):
    X = data(60, 10)
    pruner = IterativePruner(
        DBMTransformer((8, 6), n_iter=1, random_state=0), sparsity=0.75, n_rounds=1,
        retrain=retrain, random_state=0,
    ).fit(X)  # fmt: skip
    assert [int(m.sum()) for m in pruner.connectivity_] == [20, 12]
    assert pruner.estimator_.connectivity is None


def test_compacting_leaves_the_likelihood():
    X = data(60)
    machine = small(2)
    masks = [np.array(m) for m in machine.connectivity_]
    masks[0][1], masks[1][:, 1] = False, False
    machine.set_connectivity(masks)
    smaller = machine.compact()
    assert smaller.hidden_layer_sizes == (3, 3)
    np.testing.assert_allclose(smaller.score_samples(X), machine.score_samples(X), atol=1e-4)


def test_kept_log_partition_is_dropped_with_units():
    """Scores after a machine loses a unit do not reuse the log Z from before."""
    machine, everything = machine_of(*random_parameters((5, 4, 3))), oracles.all_states(5)
    machine.score_samples(everything)
    smaller = machine.compact([np.array([True, False, True, True]), np.ones(3, bool)])
    log_z = smaller.lower_bound(everything) - smaller.score_samples(everything)
    np.testing.assert_allclose(log_z, oracles.log_z(*oracle_parameters(smaller)), atol=1e-10)


def test_in_pipelines_and_grids():
    X = data(120, 8)
    y = (X.sum(axis=1) > 4).astype(int)
    for probe in (LogisticRegression(), SVC()):
        pipeline = make_pipeline(
            IterativePruner(DBMTransformer((6, 4), n_iter=2, random_state=0), n_rounds=1), probe
        )
        search = GridSearchCV(pipeline, {"iterativepruner__sparsity": [0.3, 0.6]}, cv=2)
        assert search.fit(X, y).best_score_ > 0.5
    named = DBMTransformer((6, 4), n_iter=1).set_output(transform="pandas").fit(X).transform(X)
    assert named.columns[0] == "dbmtransformer0"


def test_tempering_and_persistence():
    X = data()
    machine = DBMTransformer((6, 4), negative_phase="tempering", n_iter=2, random_state=0).fit(X)
    assert np.isfinite(machine.score(X))
    again = pickle.loads(pickle.dumps(machine))
    np.testing.assert_array_equal(again.transform(X), machine.transform(X))
    machine.partial_fit(X)
    assert not np.array_equal(again.transform(X), machine.transform(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": ()}, "is empty"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes"),
        ({"negative_phase": "cd"}, "persistent chains"),
        ({"mean_field_tolerance": -1}, "mean_field_tolerance"),
        ({"max_mean_field_updates": 0}, "max_mean_field_updates"),
        ({"connectivity": [np.ones((2, 2), bool), None]}, "shape"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"hidden_activity_target": (0.1, 0.1, 0.1)}, "has 3 entries"),
        ({"hidden_activity_target": [0.1]}, "has 1 entries"),
    ],
)
def test_errors_are_sentences(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DBMTransformer(**{"hidden_layer_sizes": (4, 3), "random_state": 0, **parameters}).fit(
            data()
        )


def test_clamped_units_are_given_as_states():
    machine = DBMTransformer((4, 3), n_iter=0, pretrain=False, random_state=0).fit(data())
    with pytest.raises(ValueError, match="clamped holds values from -1 to 2"):
        machine.sample(2, clamped=[-1, 2, np.nan, 0, 1])
    with pytest.raises(TypeError, match="clamped is sparse"):
        machine.sample(1, clamped=sparse.csr_array(np.ones((1, 5))))


def test_sparsities_are_one_a_level(monkeypatch):
    """Said before anything is trained."""
    monkeypatch.setattr(DBMTransformer, "fit", lambda *of: pytest.fail("trained"))
    with pytest.raises(ValueError, match="sparsity has 3 entries for 2 levels"):
        IterativePruner(DBMTransformer((4, 3)), sparsity=[0.1, 0.2, 0.3]).fit(data())


def test_units_cut_off_by_others_that_go_are_removed_too():
    """Without a grace period none is left that leads nowhere."""
    machine = DBMTransformer((4, 3), n_iter=0, pretrain=False, random_state=0).fit(data())
    masks = [np.ones((4, 5), bool), np.ones((3, 4), bool)]
    masks[0][0] = False  # nothing below unit 0 of the first layer,
    masks[1][0, 1:] = False  # which is all that unit 0 of the second layer has
    machine.set_connectivity(masks)
    pruner = IterativePruner(
        FrozenEstimator(machine), sparsity=0.0, n_rounds=1, retrain=None, grace_rounds=0
    ).fit(data())
    assert [mask.shape for mask in pruner.connectivity_] == [(3, 5), (2, 3)]


# ------------------------------------------------- what a review found


def test_levels_are_pre_trained_whatever_the_joint_passes(monkeypatch):
    X = data(60, 8)
    told = []
    original = PrunedBernoulliRBM.fit

    def spy(self, X, y=None):
        told.append(self.n_iter)
        return original(self, X, y)

    monkeypatch.setattr(PrunedBernoulliRBM, "fit", spy)
    DBMTransformer((6, 4), n_iter=0, random_state=0).fit(X)
    assert told == [0, 10, 0, 10]
    told.clear()
    template = PrunedBernoulliRBM(n_iter=3)
    IterativePruner(
        DBMTransformer((6, 4), pretrain=template, n_iter=1, random_state=0), sparsity=0.5,
        n_rounds=1, retrain="reinitialize",
    ).fit(X)  # fmt: skip
    assert told == [0, 3, 0, 3] * 2


@pytest.mark.parametrize("pretrain", [None, "rbm", 1, [None, PrunedBernoulliRBM()], [None, None]])
def test_pretrain_is_checked(pretrain):
    with pytest.raises(TypeError, match="pretrain must be True, False"):
        DBMTransformer((4, 3), pretrain=pretrain).fit(data())
    with pytest.raises(ValueError, match="must have initial_sparsity=0"):
        DBMTransformer((4, 3), pretrain=PrunedBernoulliRBM(initial_sparsity=0.5)).fit(data())


def test_containers_and_names():
    import pandas as pd
    from sklearn import config_context

    X = pd.DataFrame(data(60, 8), columns=[f"pixel{k}" for k in range(8)])
    with config_context(transform_output="pandas"):
        machine = DBMTransformer((6, 4), n_iter=1, random_state=0).fit(X)
        assert machine.transform(X).shape == (60, 4)
    assert np.isfinite(machine.score(X))
    holes = X.mask(X == 1)
    assert not np.isnan(machine.complete(holes)).any()
    with pytest.raises(ValueError, match="feature names"):
        machine.complete(holes.rename(columns={"pixel0": "other"}))


def test_a_fit_that_fails_leaves_the_machine_as_it_was():
    X = data(60, 8).astype(np.float32)
    for machine in (DBMTransformer((6, 4), n_iter=1), PrunedBernoulliRBM(6, n_iter=1)):
        machine.set_params(random_state=0).fit(X)
        before, means = machine.score(X), machine.transform(X)
        machine.set_params(learning_rate=1e38, l2=1.0)
        if isinstance(machine, DBMTransformer):
            machine.set_params(pretrain=False)
        for fit in (machine.fit, machine.partial_fit):
            with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
                fit(X)
            np.testing.assert_array_equal(machine.transform(X), means)
            assert machine.score(X) == before


def test_a_classifier_keeps_its_own_machine():
    from sklearn.frozen import FrozenEstimator

    from skprune import SparseDBNClassifier

    X, y = data(60, 8), np.arange(60) % 2
    machine = DBMTransformer((6, 4), n_iter=1, random_state=0).fit(X)
    network = SparseDBNClassifier(pretrain=FrozenEstimator(machine), n_iter=1, random_state=0)
    expected = network.fit(X, y).predict_proba(X)
    machine.set_params(warm_start=True, n_iter=5).fit(X)
    np.testing.assert_array_equal(network.predict_proba(X), expected)


def test_progress_is_shown(capsys):
    DBMTransformer((6, 4), n_iter=2, verbose=1, random_state=0).fit(data(60, 8))
    said = capsys.readouterr().out
    assert "Pass 2 of 2" in said and "pseudo" not in said


def lateral_machine(seed):
    """(lower triangles L of the visible units, J of the hidden ones; weights, biases), enumerated."""
    rng = np.random.RandomState(seed)
    sizes = (4, 3)
    return [
        np.tril(rng.normal(size=(4, 4)), -1), np.tril(rng.normal(size=(3, 3)), -1),
        rng.normal(size=(3, 4)), *(rng.normal(size=size) for size in sizes),
    ]  # fmt: skip


def test_lateral_connections_of_visible_units_are_hidden_units_with_two_connections():
    """Any fully visible Boltzmann machine is a pruned machine of this package, exactly."""
    lateral, _, _, bias, _ = lateral_machine(2)
    pairs = np.argwhere(np.tril(np.ones((4, 4)), -1))
    weights, hidden, visible = np.zeros((len(pairs), 4)), np.zeros(len(pairs)), bias.copy()
    for unit, (i, j) in enumerate(pairs):
        # log(1 + e^(b + w v_i ± w v_j)) = constant + a_i v_i + a_j v_j + L v_i v_j
        strength = lateral[i, j]
        w = 2 * np.arccosh(np.exp(abs(strength) / 2))
        sign = np.sign(strength)
        weights[unit, [i, j]], hidden[unit] = (w, sign * w), -w if sign > 0 else 0.0
        for end, weight in ((i, w), (j, sign * w)):
            visible[end] -= np.logaddexp(0, hidden[unit] + weight) - np.logaddexp(0, hidden[unit])
    mask = weights != 0
    machine = PrunedBernoulliRBM(len(pairs), connectivity=mask, n_iter=0).fit(np.eye(4))
    replace_level(machine, 0, Level.from_matrix(weights, mask))
    machine._biases = [visible, hidden]
    states = oracles.all_states(4)
    unnormalised = np.einsum("ni,ij,nj->n", states, lateral, states) + states @ bias
    np.testing.assert_allclose(
        machine.score_samples(states), unnormalised - oracles.log_sum_exp(unnormalised), rtol=1e-9
    )
