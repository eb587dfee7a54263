"""Deep belief networks: bounds, labels and up-down against enumeration, and as a user meets them."""

import itertools
import pickle
from copy import deepcopy

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline

from skprune import (
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
)
from skprune._kernels import draws as draw_kernels
from skprune._machine import inference
from skprune._machine.levels import Level
from skprune._support.threads import Team
from skprune.criteria import Fisher
from skprune.dbn import UpDown
from skprune.samplers import LabelledChains
from tests import oracles
from tests.machines import level_values, replace_level, scale_level


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def data(n=60, width=5, seed=0):
    rng = np.random.RandomState(seed)
    base = rng.randint(0, 2, (3, width))
    rows = base[rng.randint(0, 3, n)]
    return np.where(rng.uniform(size=rows.shape) < 0.15, 1 - rows, rows).astype(float)


def small(sizes=(4, 3), n_iter=20, scale=1.0, seed=0, **parameters):
    """A fitted network with weights that matter, in float64."""
    dbn = SparseDBN(
        sizes, rbm=PrunedBernoulliRBM(n_iter=n_iter, learning_rate=0.2), random_state=seed,
        **parameters,
    )  # fmt: skip
    y = np.arange(60) % 3
    dbn.fit(data(), y)
    rng = np.random.default_rng(seed)
    for level in dbn.estimators_:
        for array in (*level_values(level), *level._biases):
            array += scale * rng.normal(size=array.shape)
    if dbn._generative is not None:
        for array in (*level_values(dbn._generative), *dbn._generative.biases):
            array += 0.3 * scale * rng.normal(size=array.shape)
    return dbn


def generative(dbn):
    """(weights, lower biases) of the directed levels, going down, and (W, b, c) of the top."""
    n_directed = len(dbn.estimators_) - (not dbn._directed_top)
    if dbn._generative is None:
        down = [(m.components_, m.intercept_visible_) for m in dbn.estimators_[:n_directed]]
    else:
        down = [
            (dbn._generative.levels[k].matrix(), dbn._generative.biases[k])
            for k in range(n_directed)
        ]
    if dbn._directed_top:
        return down, dbn._generative.biases[-1]
    top = dbn.estimators_[-1]
    return down, (top._levels[0].matrix(), top.intercept_visible_, top.intercept_hidden_)


def log_bernoulli(states, means):
    return (states * np.log(means) + (1 - states) * np.log(1 - means)).sum(axis=-1)


def joint_of_hidden(dbn):
    """(states of all directed layers and the layer below the top, log p* of them, log Z)."""
    down, top = generative(dbn)
    n_labels = len(dbn.classes_) if dbn.join_labels else 0
    sizes = [w.shape[0] for w, _ in down]
    layers = np.split(oracles.all_states(sum(sizes)), np.cumsum(sizes)[:-1], axis=1)
    if dbn._directed_top:
        log_top, log_z = log_bernoulli(layers[-1], sigmoid(top)), 0.0
    else:
        W, b, c = top
        labels = np.eye(n_labels) if n_labels else np.zeros((1, 0))

        def log_star(states):
            visible = [np.hstack([states, np.tile(one, (len(states), 1))]) for one in labels]
            fields = [v @ b + np.logaddexp(0, v @ W.T + c).sum(axis=1) for v in visible]
            return np.logaddexp.reduce(fields, axis=0)

        log_top = log_star(layers[-1])
        log_z = oracles.log_sum_exp(log_star(oracles.all_states(W.shape[1] - n_labels)))
    total = log_top - log_z
    for k in range(1, len(down)):
        w, b = down[k]
        total = total + log_bernoulli(layers[k - 1], sigmoid(layers[k] @ w + b))
    return layers, total, log_z


def exact_log_likelihood(dbn, X):
    layers, log_hidden, _ = joint_of_hidden(dbn)
    (w, b), *_ = generative(dbn)[0]
    means = sigmoid(layers[0] @ w + b)
    return np.array([oracles.log_sum_exp(log_hidden + log_bernoulli(v, means)) for v in X])


def exact_bound(dbn, X):
    """E_q[log p(v, h) - log q(h | v)] by summing over every state."""
    layers, log_hidden, _ = joint_of_hidden(dbn)
    (w, b), *_ = generative(dbn)[0]
    means = sigmoid(layers[0] @ w + b)
    result = []
    for v in X:
        log_q, below = 0.0, v
        for level, layer in zip(dbn.estimators_, layers, strict=False):
            q = sigmoid(
                below @ level.components_.T[: np.shape(below)[-1]] + level.intercept_hidden_
            )
            log_q, below = log_q + log_bernoulli(layer, q), layer
        result.append(np.exp(log_q) @ (log_hidden + log_bernoulli(v, means) - log_q))
    return np.array(result)


NETWORKS = {
    "two": {},
    "three": {"sizes": (3, 4, 3)},
    "pruned": {"sizes": (4, 3, 3), "pruner": IterativePruner(sparsity=0.5, n_rounds=2)},
    "labels": {"join_labels": True},
    "untied": {"sizes": (3, 3, 3), "fine_tune": UpDown(n_iter=2)},
    "untied labels": {"join_labels": True, "fine_tune": UpDown(n_iter=2)},
    "belief net": {"sizes": (3, 4), "fine_tune": UpDown(n_iter=2, undirected_top=False)},
}


def of_kind(kind, **more):
    parameters = {**NETWORKS[kind], **more}
    if "pruner" in parameters:
        pruner = parameters["pruner"]
        dbn = SparseDBN(parameters["sizes"], pruner=pruner, random_state=0).fit(data())
        for level in dbn.estimators_:
            scale_level(level, 0, 3)
        return dbn
    return small(**parameters)


class Remembers(BaseEstimator):
    """A level that keeps what it was fitted on, and gives that back."""

    def fit(self, X, y=None):
        self.seen_ = X
        return self

    def transform(self, X):
        return X


def test_levels_have_seeds_of_their_own():
    """Levels of equal size start from different weights and chains."""
    dbn = SparseDBN((5, 5, 5), rbm=PrunedBernoulliRBM(n_iter=0), random_state=0).fit(data())
    levels = dbn.estimators_
    assert len({level.random_state for level in levels}) == 3
    for one, other in itertools.combinations(levels, 2):
        assert (one.h_samples_ != other.h_samples_).mean() > 0.2


@pytest.mark.parametrize("upward", ["samples", "probabilities"])
def test_the_second_level_reads_samples_or_probabilities(upward):
    """Samples are 0 or 1, and their means over 4,000 rows are those of the probabilities."""
    X = np.tile(data(), (67, 1))[:4000]
    levels = [("first", PrunedBernoulliRBM(4, n_iter=0)), ("second", Remembers())]
    dbn = SparseDBN(levels, upward=upward, random_state=0).fit(X)
    first, second = dbn.estimators_
    means = first.transform(X)
    if upward == "probabilities":
        np.testing.assert_array_equal(second.seen_, means)
    else:
        assert np.isin(second.seen_, (0, 1)).all()
        difference = second.seen_.mean(axis=0) - means.mean(axis=0)
        assert np.abs(difference).max() < 5 * 0.5 / np.sqrt(4000)


@pytest.mark.parametrize("kind", NETWORKS)
def test_bound_is_that_of_enumeration_and_below_the_likelihood(kind):
    dbn = of_kind(kind)
    everything = oracles.all_states(5)
    exact = exact_log_likelihood(dbn, everything)
    assert np.exp(exact).sum() == pytest.approx(1, abs=1e-8)
    bound = dbn.score_samples(everything)
    np.testing.assert_allclose(bound, exact_bound(dbn, everything), rtol=1e-9)
    assert (bound <= exact + 1e-9).all()
    assert dbn.score(everything) == pytest.approx(bound.mean())
    assert dbn.log_partition().value == pytest.approx(joint_of_hidden(dbn)[2], abs=1e-9)


def test_kept_log_partition_is_dropped_with_connections():
    """Scores after a network loses connections do not reuse the log Z from before."""
    dbn, everything = small(n_iter=0), oracles.all_states(5)
    before = dbn.score_samples(everything)
    masks = [np.ones((4, 5), bool), np.eye(3, 4, dtype=bool)]
    after = dbn.set_connectivity(masks).score_samples(everything)
    np.testing.assert_allclose(after, exact_bound(dbn, everything), rtol=1e-9)
    assert np.abs(after - before).max() > 0.1


@pytest.mark.parametrize("kind", ["two", "pruned", "labels", "untied"])
def test_sampled_bound_is_near_the_summed_one(kind, monkeypatch):
    dbn = of_kind(kind)
    X = np.unique(data(), axis=0)
    summed = dbn.lower_bound(X)
    monkeypatch.setattr("skprune._machine.belief.MAX_ENUMERATED_UNITS", 0)
    sampled = dbn.lower_bound(X, n_samples=4000)
    np.testing.assert_allclose(sampled, summed, atol=0.15)
    assert abs((sampled - summed).mean()) < 0.03
    few = dbn.lower_bound(X, n_samples=3)
    np.testing.assert_array_equal(dbn.lower_bound(X[::-1], n_samples=3), few[::-1])
    np.testing.assert_array_equal(dbn.lower_bound(sparse.csr_array(X), n_samples=3), few)
    assert not np.array_equal(dbn.lower_bound(X, n_samples=2), few)


def frequencies(samples):
    codes = samples.astype(int) @ (1 << np.arange(samples.shape[1])[::-1])
    return np.bincount(codes, minlength=2 ** samples.shape[1]) / len(samples)


@pytest.mark.parametrize("kind", NETWORKS)
def test_samples_have_the_probabilities_of_enumeration(kind):
    dbn = of_kind(kind)
    everything = oracles.all_states(5)
    p = np.exp(exact_log_likelihood(dbn, everything))
    n = 20_000
    found = frequencies(dbn.sample(n, n_gibbs_steps=100, random_state=0))
    assert np.abs(found - p).max() < 5 * np.sqrt(p.max() / n)
    means = dbn.sample(n, n_gibbs_steps=100, probabilities=True, random_state=1).mean(axis=0)
    np.testing.assert_allclose(means, p @ everything, atol=0.02)
    layers = dbn.layer_samples(n_samples=5000, n_steps_between=30, random_state=0)
    np.testing.assert_allclose(layers[0].mean(axis=0), p @ everything, atol=0.05)
    sizes = [mask.shape[0] for mask in dbn.connectivity_]
    assert [layer.shape[1] for layer in layers] == [5, *sizes]


@pytest.mark.parametrize("kind", ["labels", "untied labels"])
def test_labels_against_enumeration(kind):
    dbn = of_kind(kind)
    X = np.unique(data(), axis=0)
    top = dbn.estimators_[-1]
    W, b, c = top._levels[0].matrix(), top.intercept_visible_, top.intercept_hidden_
    below = dbn.layer_means(X, level=1)
    np.testing.assert_allclose(below, dbn.estimators_[0].transform(X))
    scores = []
    for one in np.eye(3):
        v = np.hstack([below, np.tile(one, (len(X), 1))])
        scores.append(v @ b + np.logaddexp(0, v @ W.T + c).sum(axis=1))
    expected = np.exp(scores - np.logaddexp.reduce(scores, axis=0)).T
    np.testing.assert_allclose(dbn.predict_proba(X), expected, rtol=1e-9)
    np.testing.assert_array_equal(dbn.predict(X), dbn.classes_[expected.argmax(axis=1)])
    # stochastic passes: the mean over q(h | v), by summing over every h
    hidden = oracles.all_states(len(below[0]))
    of_hidden = []
    for one in np.eye(3):
        v = np.hstack([hidden, np.tile(one, (len(hidden), 1))])
        of_hidden.append(v @ b + np.logaddexp(0, v @ W.T + c).sum(axis=1))
    of_hidden = np.exp(of_hidden - np.logaddexp.reduce(of_hidden, axis=0)).T
    q = oracles.bernoulli(below, hidden)
    np.testing.assert_allclose(dbn.predict_proba(X, n_passes=3000), q @ of_hidden, atol=0.03)
    # class by class: p(v | y) by enumeration
    layers, _, _ = joint_of_hidden(dbn)
    (w, lower), *_ = generative(dbn)[0]
    visible = oracles.all_states(5)
    for k in range(3):
        v = np.hstack([layers[0], np.tile(np.eye(3)[k], (len(layers[0]), 1))])
        star = v @ b + np.logaddexp(0, v @ W.T + c).sum(axis=1)
        weights = np.exp(star - oracles.log_sum_exp(star))
        means = sigmoid(layers[0] @ w + lower)
        p = np.array([weights @ np.exp(log_bernoulli(row, means)) for row in visible])
        found = frequencies(dbn.sample(20_000, n_gibbs_steps=100, y=k, random_state=0))
        assert np.abs(found - p).max() < 5 * np.sqrt(p.max() / 20_000)


def test_log_partition_with_labels_by_ais():
    dbn = of_kind("labels")
    exact = dbn.log_partition("exact").value
    estimate = dbn.log_partition("bracket", n_temperatures=500, n_tempered_sweeps=200)
    assert abs(estimate.value - exact) < 4 * estimate.standard_error + 0.01
    assert estimate.bracket[0] <= exact <= estimate.bracket[1]
    assert dbn.log_partition("ais", random_state=1).value != estimate.value


@pytest.mark.parametrize("masked", [False, True])
def test_labelled_chains_keep_the_model(masked):
    """Started from the model, the chains are still there after a step: pi T = pi, by frequencies."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(3, 5))
    if masked:
        W *= rng.uniform(size=W.shape) < 0.4
        W[0, 0] = 1
    b, c = rng.normal(size=5), rng.normal(size=3)
    visible = np.array(
        [[*f, *one] for f in itertools.product((0, 1), repeat=2) for one in np.eye(3)]
    )
    log_p = visible @ b + np.logaddexp(0, visible @ W.T + c).sum(axis=1)
    p = np.exp(log_p - oracles.log_sum_exp(log_p))
    n = 60_000
    start = visible[rng.choice(len(p), size=n, p=p)]
    hidden = rng.uniform(size=(n, 3)) < sigmoid(start @ W.T + c)
    machine = PrunedBernoulliRBM(3, n_iter=0, connectivity=W != 0, random_state=0).fit(
        start[:10].astype(np.float32)
    )
    replace_level(machine, 0, Level.from_matrix(W.astype(np.float32), W != 0))
    machine._biases = [b.astype(np.float32), c.astype(np.float32)]
    stack = machine._stack()
    chains = inference.new_states(stack, n)
    chains[1][:, :n] = hidden.T
    with Team(n_threads=2) as team:
        phase = LabelledChains(3).prepare(stack, chains, n, None, np.uint64(1))
        phase.advance(stack, chains, 2, np.uint64(5), 0, team)
    after = chains[0][:, :n].T
    assert (after[:, 2:].sum(axis=1) == 1).all()
    found = np.array([(after == v).all(axis=1).mean() for v in visible])
    assert np.abs(found - p).max() < 4.5 * np.sqrt(p.max() / n)


def test_labels_are_learned():
    rng = np.random.RandomState(0)
    y = rng.choice(["x", "y"], 300)
    X = (rng.uniform(size=(300, 10)) < np.where(y == "x", 0.85, 0.15)[:, None]).astype(np.uint8)
    dbn = SparseDBN((8, 6), join_labels=True, random_state=0).fit(X[:200], y[:200])
    assert (dbn.predict(X[200:]) == y[200:]).mean() > 0.95
    assert (
        dbn.sample(200, y="x", random_state=0).mean()
        > 0.6
        > 0.4
        > (dbn.sample(200, y="y", random_state=0).mean())
    )
    pruner = IterativePruner(dbn, sparsity=0.5, n_rounds=2, random_state=0).fit(X[:200], y[:200])
    assert (pruner.predict(X[200:]) == y[200:]).mean() > 0.9
    top = pruner.estimator_.estimators_[-1]
    assert top._levels[0].mask()[:, -2:].all() and top.connectivity_[0].shape == (6, 8)


# ------------------------------------------------------------------- up-down


def one_step(dbn, X, tuning, y=None):
    """Fine-tune for one minibatch, the whole data; returns the network before and after."""
    before = pickle.loads(pickle.dumps(dbn))
    dbn.set_params(warm_start=True, fine_tune=tuning).fit(X, y)
    return before, dbn


def draws_of(dbn, step, place, n_units, order):
    """The numbers that the kernel drew, row by row of the data."""
    from skprune._support.random import derived_key

    out = np.empty((n_units, len(order)), np.float32)
    at = step * draw_kernels.DRAWS_PER_MINIBATCH + place
    draw_kernels.uniforms(derived_key(dbn._key, "up-down"), at, 0, out)
    numbers_ = np.empty((len(order), n_units), np.float32)
    numbers_[order] = out.T
    return numbers_


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("pruned", [True, False])
def test_up_down_is_the_algorithm_of_the_paper(undirected, pruned):
    """One minibatch against a NumPy twin that draws the same numbers."""
    from skprune._support.random import derived_key

    X = data(24, seed=4)
    dbn = SparseDBN((4, 3, 2), rbm=PrunedBernoulliRBM(n_iter=5), random_state=0).fit(X)
    if pruned:
        rng = np.random.default_rng(1)
        dbn.set_connectivity([rng.uniform(size=m.shape) < 0.6 for m in dbn.connectivity_])
    rate, n = 0.01, len(X)
    tuning = UpDown(
        n_iter=1, learning_rate=rate, batch_size=n, learning_rate_schedule="constant",
        n_gibbs_steps=2, undirected_top=undirected,
    )  # fmt: skip
    before, after = one_step(dbn, X, tuning)
    key = derived_key(before._key, 7)
    order = np.random.default_rng([int(key), 0]).permutation(n)
    n_directed = 2 if undirected else 3
    up = [(m.components_.copy(), m.intercept_hidden_.copy()) for m in before.estimators_]
    down = [[m.components_.copy(), m.intercept_visible_.copy()] for m in before.estimators_]
    masks = before.connectivity_

    def draw(means, place):
        return (draws_of(before, 0, place, means.shape[1], order) < means).astype(float)

    wake = [X]
    for k in range(n_directed):
        wake.append(draw(sigmoid(wake[-1] @ up[k][0].T + up[k][1]), k + 1))
    for k in range(n_directed):
        error = wake[k] - sigmoid(wake[k + 1] @ down[k][0] + down[k][1])
        down[k][0] = down[k][0] + rate * masks[k] * (wake[k + 1].T @ error) / n
        down[k][1] = down[k][1] + rate * error.mean(axis=0)
    step = n_directed + 1
    dream = [None] * (n_directed + 1)
    if undirected:
        W, (b, c) = up[2][0], (down[2][1], up[2][1])
        positive = sigmoid(wake[2] @ W.T + c)
        hidden = draw(positive, step)
        for _ in range(2):
            dream[2] = draw(sigmoid(hidden @ W + b), step + 1)
            step += 2
            negative = sigmoid(dream[2] @ W.T + c)
            hidden = draw(negative, step)
        top = W + rate * masks[2] * (positive.T @ wake[2] - negative.T @ dream[2]) / n
        np.testing.assert_allclose(after.estimators_[2].components_, top, rtol=1e-6)
        np.testing.assert_allclose(
            after.estimators_[2].intercept_visible_, b + rate * (wake[2] - dream[2]).mean(axis=0),
            rtol=1e-6,
        )  # fmt: skip
        np.testing.assert_allclose(
            after.estimators_[2].intercept_hidden_, c + rate * (positive - negative).mean(axis=0),
            rtol=1e-6,
        )  # fmt: skip
    else:
        activity = np.clip(before.estimators_[2]._activity[1], 1e-3, 0.999)
        prior = np.log(activity / (1 - activity))
        dream[3] = draw(np.tile(sigmoid(prior), (n, 1)), step)
        np.testing.assert_allclose(
            after._generative.biases[3],
            prior + rate * (wake[3].mean(axis=0) - sigmoid(prior)), rtol=1e-6,
        )  # fmt: skip
    for k in range(n_directed - 1, -1, -1):
        means = sigmoid(dream[k + 1] @ down[k][0] + down[k][1])
        dream[k] = draw(means, step + 1 + n_directed - k)
    for k in range(n_directed):
        error = dream[k + 1] - sigmoid(dream[k] @ up[k][0].T + up[k][1])
        expected = up[k][0] + rate * masks[k] * (error.T @ dream[k]) / n
        np.testing.assert_allclose(after.components_[k], expected, rtol=1e-6)
        np.testing.assert_allclose(
            after.estimators_[k].intercept_hidden_, up[k][1] + rate * error.mean(axis=0), rtol=1e-6
        )
        np.testing.assert_allclose(after._generative.levels[k].matrix(), down[k][0], rtol=1e-6)
        np.testing.assert_allclose(after._generative.biases[k], down[k][1], rtol=1e-6)
        assert not after._generative.levels[k].matrix()[~masks[k]].any()


def test_persistent_chains_go_on_where_they_stood():
    """The second step of the top level against a NumPy twin; lanes in place of rows."""
    from skprune._support.random import derived_key

    X = data(24, seed=4)
    dbn = SparseDBN((4, 3), rbm=PrunedBernoulliRBM(n_iter=5), random_state=0).fit(X)
    tuning = UpDown(
        learning_rate=0.01, batch_size=24, learning_rate_schedule="constant", n_gibbs_steps=1,
        negative_phase="pcd",
    )  # fmt: skip
    (before, first), (_, second) = (
        one_step(deepcopy(dbn), X, clone(tuning).set_params(n_iter=n)) for n in (1, 2)
    )
    key, lanes = derived_key(before._key, 7), np.arange(24)

    def draw(means, step, place):
        return (draws_of(before, step, place, means.shape[1], lanes) < means).astype(float)

    hidden = None
    for step, network in enumerate((before, first)):
        order = np.random.default_rng([int(key), step]).permutation(24)
        level, top = network.estimators_
        rows = draw(sigmoid(X[order] @ level.components_.T + level.intercept_hidden_), step, 1)
        W, b, c = top.components_, top.intercept_visible_, top.intercept_hidden_
        positive = sigmoid(rows @ W.T + c)
        hidden = draw(positive, step, 2) if hidden is None else hidden
        dream = draw(sigmoid(hidden @ W + b), step, 3)
        negative = sigmoid(dream @ W.T + c)
        hidden = draw(negative, step, 4)
    expected = W + 0.01 * (positive.T @ rows - negative.T @ dream) / 24
    np.testing.assert_allclose(second.estimators_[1].components_, expected, rtol=1e-6)


@pytest.mark.parametrize("n_draws", [1, 3])
def test_label_draws_share_their_weights(n_draws):
    """One step against a NumPy twin in which the label is there ``n_draws`` times, with a share of its weights."""
    from skprune._support.random import derived_key

    X, n, rate = data(24, seed=4), 24, 0.01
    y = np.arange(n) % 3
    dbn = SparseDBN((4, 5), rbm=PrunedBernoulliRBM(n_iter=5), join_labels=True, random_state=0)
    tuning = UpDown(
        n_iter=1, learning_rate=rate, batch_size=n, learning_rate_schedule="constant",
        n_gibbs_steps=2, n_label_draws=n_draws,
    )  # fmt: skip
    before, after = one_step(dbn.fit(X, y), X, tuning, y)
    order = np.random.default_rng([int(derived_key(before._key, 7)), 0]).permutation(n)
    level, top = before.estimators_
    W, (b, c) = top._levels[0].matrix(), top._biases
    U, bias = W[:, -3:] / n_draws, b[-3:] / n_draws

    def draws(place, n_units):
        return draws_of(before, 0, place, n_units, order)

    def upper(lower, counts):
        return sigmoid(lower @ W[:, :-3].T + counts @ U.T + c)

    up = sigmoid(X @ level.components_.T + level.intercept_hidden_)
    lower, counts = (draws(1, 4) < up).astype(float), n_draws * np.eye(3)[y]
    positive = upper(lower, counts)
    hidden = (draws(2, 5) < positive).astype(float)
    for place in (3, 5):
        numbers = draws(place, 7 + n_draws)
        seen = (numbers[:, :4] < sigmoid(hidden @ W[:, :-3] + b[:-3])).astype(float)
        shares = np.exp(hidden @ U + bias)
        below = (shares / shares.sum(axis=1, keepdims=True)).cumsum(axis=1)
        drawn = np.zeros((n, 3))
        for draw in range(n_draws):
            drawn[np.arange(n), (numbers[:, [7 + draw]] >= below[:, :-1]).sum(axis=1)] += 1
        negative = upper(seen, drawn)
        hidden = (draws(place + 1, 5) < negative).astype(float)
    step = rate * (positive.T @ counts - negative.T @ drawn) / n
    found = after.estimators_[1]
    np.testing.assert_allclose(found._levels[0].matrix()[:, -3:], n_draws * (U + step), rtol=1e-5)
    np.testing.assert_allclose(
        found._biases[0][-3:], n_draws * (bias + rate * (counts - drawn).mean(axis=0)), rtol=1e-5
    )
    np.testing.assert_allclose(
        found._levels[0].matrix()[:, :-3],
        W[:, :-3] + rate * (positive.T @ lower - negative.T @ seen) / n,
        rtol=1e-5,
    )


@pytest.mark.parametrize("undirected", [True, False])
def test_up_down_raises_the_likelihood(undirected):
    X = data(200)
    rbm = PrunedBernoulliRBM(n_iter=2)
    dbn = SparseDBN((5, 4), rbm=rbm, random_state=0).fit(X)
    start = pickle.loads(pickle.dumps(dbn))
    start.set_params(warm_start=True, fine_tune=UpDown(n_iter=0, undirected_top=undirected)).fit(X)
    tuning = UpDown(n_iter=300, learning_rate=0.2, batch_size=20, undirected_top=undirected)
    dbn.set_params(warm_start=True, fine_tune=tuning).fit(X)
    before, after = (exact_log_likelihood(d, X).mean() for d in (start, dbn))
    assert after > before + 0.3
    assert dbn.score(X) <= after + 1e-9
    assert len(dbn.history_) == 3 and len(dbn.history_[-1]["seconds"]) == 300


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_l2_of_up_down_shrinks_all_weights(sparsity):
    """With a rate that leaves nothing else to see: e^(-rate * l2) a minibatch, of both directions."""
    X = data(60, 8)
    pruner = IterativePruner(sparsity=sparsity, n_rounds=1)
    dbn = SparseDBN((6, 5, 4), pruner=pruner, random_state=0).fit(X)
    before = dbn.components_
    tuning = UpDown(
        n_iter=2, batch_size=20, learning_rate=1e-9, l2=1e8, learning_rate_schedule="constant"
    )
    dbn.set_params(warm_start=True, fine_tune=tuning).fit(X)
    left = np.exp(-0.1 * 2 * 3)
    for was, found in zip(before, dbn.components_, strict=True):
        np.testing.assert_allclose(found, left * was, rtol=1e-5, atol=1e-7)
    for was, stored in zip(before, level_values(dbn._generative), strict=False):
        np.testing.assert_allclose(stored.ravel(), left * was[was != 0], rtol=1e-5, atol=1e-7)


def test_up_down_with_labels_learns_them():
    rng = np.random.RandomState(0)
    y = rng.randint(0, 2, 300)
    X = (rng.uniform(size=(300, 10)) < np.where(y, 0.8, 0.2)[:, None]).astype(np.uint8)
    dbn = SparseDBN(
        (8, 6), join_labels=True, fine_tune=UpDown(n_iter=20, batch_size=20), random_state=0
    ).fit(X[:200], y[:200])
    assert (dbn.predict(X[200:]) == y[200:]).mean() > 0.95
    again = pickle.loads(pickle.dumps(dbn))
    np.testing.assert_array_equal(again.predict_proba(X), dbn.predict_proba(X))


def test_same_bits_for_any_threads_and_for_csr(force_threads):
    X = data(80, 12).astype(np.uint8)
    y = np.arange(80) % 3
    expected = None
    for n_threads in (1, 2):
        force_threads(n_threads)
        for rows in (X, sparse.csr_array(X)):
            dbn = SparseDBN(
                (9, 7, 6), pruner=IterativePruner(sparsity=0.6, n_rounds=1), join_labels=True,
                fine_tune=UpDown(n_iter=2, batch_size=16), upward="samples", random_state=0,
            ).fit(rows, y)  # fmt: skip
            bits = [w.tobytes() for w in dbn.components_]
            bits += [w.tobytes() for w in level_values(dbn._generative)]
            bits.append(dbn.lower_bound(rows).tobytes())
            bits.append(dbn.sample(5, n_gibbs_steps=5, random_state=0).tobytes())
            expected = bits if expected is None else expected
            assert bits == expected


# --------------------------------------------------------------- as a user


def test_greedy_stacking_is_that_of_the_levels():
    X = data(100, 8).astype(np.float32)
    dbn = SparseDBN((6, 5), rbm=PrunedBernoulliRBM(n_iter=3), random_state=0).fit(X)
    first = PrunedBernoulliRBM(6, n_iter=3, random_state=dbn.estimators_[0].random_state).fit(X)
    np.testing.assert_array_equal(dbn.estimators_[0].components_, first.components_)
    second = PrunedBernoulliRBM(5, n_iter=3, random_state=dbn.estimators_[1].random_state)
    second.fit(first.transform(X))
    np.testing.assert_array_equal(dbn.components_[1], second.components_)
    np.testing.assert_array_equal(dbn.transform(X), second.transform(first.transform(X)))
    np.testing.assert_array_equal(dbn.transform(X, level=1), first.transform(X))
    down = sigmoid(dbn.transform(X) @ second.components_ + second.intercept_visible_)
    down = sigmoid(down @ first.components_ + first.intercept_visible_)
    np.testing.assert_allclose(dbn.inverse_transform(dbn.transform(X)), down, rtol=1e-4)
    assert list(dbn.get_feature_names_out()[:1]) == ["sparsedbn0"]
    drawn = dbn.layer_samples(X, random_state=0)
    assert set(np.unique(drawn[1])) <= {0.0, 1.0} and drawn[2].shape == (100, 5)


def test_upside_down_the_next_level_leaves_the_likelihood_as_it_is():
    X, states = data(), oracles.all_states(5)
    rbm = PrunedBernoulliRBM(n_iter=30, learning_rate=0.3)
    levels = [("first", rbm.set_params(n_components=4)), ("next", PrunedBernoulliRBM(5, n_iter=0))]
    dbn = SparseDBN(levels, transpose=True, random_state=0).fit(X)
    alone = dbn.estimators_[0].score_samples(states)
    assert alone.std() > 0.5
    np.testing.assert_allclose(dbn.score_samples(states), alone, atol=1e-10)
    assert dbn.estimators_[1].transpose_of is None
    wider = SparseDBN([levels[0], ("next", PrunedBernoulliRBM(9, n_iter=0))], transpose=True)
    bound = wider.set_params(random_state=0).fit(X).score_samples(states)
    np.testing.assert_allclose(bound, alone, atol=0.02)
    pruner = IterativePruner(sparsity=0.5, n_rounds=1, n_retrain_iter=1)
    dbn = SparseDBN((4, 5), pruner=pruner, transpose=True, n_iter=1, random_state=0).fit(X)
    first, second = dbn.connectivity_
    np.testing.assert_array_equal(second, first.T)
    assert first.sum() == 10


@pytest.mark.parametrize(
    ("size", "below", "message"),
    [
        (4, 3, "n_components=4 must be at least 5"),
        (6, PrunedBernoulliRBM(), "must be a FrozenEstimator"),
        (6, 2, "2 hidden units, but X has 3"),
    ],
)
def test_only_what_fits_is_turned_upside_down(size, below, message):
    if isinstance(below, int):
        below = FrozenEstimator(PrunedBernoulliRBM(below, n_iter=1, random_state=0).fit(data()))
    with pytest.raises((TypeError, ValueError), match=message):
        PrunedBernoulliRBM(size, transpose_of=below).fit(data(width=3))
    with pytest.raises(ValueError, match="Set one of the two to False"):
        SparseDBN((4, 5), transpose=True, join_labels=True).fit(data(), np.arange(60) % 3)
    with pytest.raises(TypeError, match="got BernoulliRBM"):
        SparseDBN([("a", BernoulliRBM(4)), ("b", BernoulliRBM(5))], transpose=True).fit(data())


def test_every_level_is_pruned_before_the_next_is_trained():
    X = data(100, 8)
    pruner = IterativePruner(sparsity=0.5, n_rounds=2)
    dbn = SparseDBN((6, 4), pruner=pruner, rbm=PrunedBernoulliRBM(n_iter=2), random_state=0).fit(X)
    assert [int(m.sum()) for m in dbn.connectivity_] == [24, 12]
    assert [len(h["round"]) for h in dbn.history_] == [2, 2]
    own = IterativePruner(PrunedBernoulliRBM(n_iter=2), sparsity=0.5, n_rounds=1)
    assert SparseDBN((6, 4), pruner=own, random_state=0).fit(X).connectivity_[0].sum() == 24
    with pytest.raises(ValueError, match="rbm must be None"):
        SparseDBN((6, 4), pruner=own, rbm=PrunedBernoulliRBM()).fit(X)


def test_named_levels():
    X = data(100, 8)
    dbn = SparseDBN(
        [("a", PrunedBernoulliRBM(6, n_iter=2)), ("b", PrunedBernoulliRBM(4, n_iter=2))],
        random_state=0,
    )
    dbn.set_params(a__n_components=5).fit(X)
    assert [m.shape for m in dbn.connectivity_] == [(5, 8), (4, 5)]
    search = GridSearchCV(dbn, {"a__n_components": [3, 6]}, cv=2).fit(X)
    assert search.best_params_["a__n_components"] in (3, 6)
    with pytest.raises(ValueError, match="must be None"):
        dbn.set_params(rbm=PrunedBernoulliRBM()).fit(X)


def test_pruners_take_networks():
    X = data(100, 8)
    for order in ("joint", "bottom_up", "top_down"):
        for criterion in ("magnitude", "fisher"):
            pruner = IterativePruner(
                SparseDBN((6, 4), n_iter=2, random_state=0), sparsity=[0.5, 0.75], n_rounds=2,
                order=order, criterion=criterion, random_state=0,
            ).fit(X)  # fmt: skip
            assert [int(m.sum()) for m in pruner.connectivity_] == [24, 6]
            assert np.isfinite(pruner.score(X))
    for retrain in ("rewind", "reinitialize"):
        pruner = IterativePruner(
            SparseDBN((6, 4), random_state=0), sparsity=0.5, n_rounds=1, retrain=retrain
        )
        assert pruner.fit(X).sparsity_ == 0.5
    tuned = SparseDBN((6, 4), n_iter=2, fine_tune=UpDown(n_iter=2), random_state=0)
    pruner = IterativePruner(tuned, sparsity=0.5, n_rounds=2).fit(X)
    matrix = pruner.estimator_._generative.levels[0].matrix()
    assert np.count_nonzero(matrix) == 24 and not matrix[~pruner.connectivity_[0]].any()


def test_in_pipelines_and_grids():
    X = data(120, 8)
    y = (X.sum(axis=1) > 4).astype(int)
    rbm = PrunedBernoulliRBM(n_iter=3)
    pipeline = make_pipeline(
        SparseDBN((6, 4), rbm=rbm, pruner=IterativePruner(n_rounds=1), random_state=0),
        LogisticRegression(),
    )
    grid = {
        "sparsedbn__hidden_layer_sizes": [(6,), (6, 4)], "sparsedbn__pruner__sparsity": [0.2, 0.5],
    }  # fmt: skip
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_ > 0.5
    named = SparseDBN((6, 4), random_state=0).set_output(transform="pandas").fit(X).transform(X)
    assert named.shape == (120, 4)


def test_warm_start_goes_on():
    X = data(100, 8)
    dbn = SparseDBN((6, 4), n_iter=3, warm_start=True, random_state=0).fit(X)
    before = dbn.components_[0].copy()
    seed = dbn.estimators_[0].random_state
    dbn.fit(X)
    assert dbn.estimators_[0].random_state == seed
    assert not np.array_equal(before, dbn.components_[0])
    assert dbn.estimators_[0].warm_start is False
    with pytest.raises(ValueError, match="join_labels cannot change"):
        dbn.set_params(join_labels=True).fit(X, np.arange(100) % 2)


def test_other_machines_as_levels():
    X = data(100, 8)
    levels = [
        ("first", BernoulliRBM(6, n_iter=2, random_state=0)),
        ("second", PrunedBernoulliRBM(4)),
    ]
    dbn = SparseDBN(levels, random_state=0)
    dbn.fit(X)
    assert dbn.transform(X).shape == (100, 4)
    assert dbn.sample(3, n_gibbs_steps=5, random_state=0).shape == (3, 8)
    assert np.isfinite(dbn.score_samples(X)).all()
    with pytest.raises(TypeError, match="PrunedBernoulliRBM"):
        dbn.set_params(fine_tune="up_down").fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": ()}, "is empty"),
        ({"hidden_layer_sizes": None}, "hidden_layer_sizes must be an int or a sequence of ints"),
        ({"pruner": 3}, "pruner must be an IterativePruner or None, got 3"),
        (
            {"fine_tune": UpDown(learning_rate_schedule=None)},
            "learning_rate_schedule of UpDown must",
        ),
        ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes"),
        ({"upward": "means"}, "upward"),
        ({"n_iter": -1}, "n_iter"),
        ({"fine_tune": "wake"}, "fine_tune"),
        ({"fine_tune": 3}, "fine_tune must be"),
        ({"fine_tune": UpDown(n_iter=-1)}, "n_iter of UpDown"),
        ({"fine_tune": UpDown(negative_phase="ais")}, "of UpDown is not known. Use 'cd' or 'pcd'"),
        ({"fine_tune": UpDown(learning_rate=0)}, "learning_rate of UpDown"),
        ({"fine_tune": UpDown(l2=-1)}, "l2 of UpDown"),
        ({"fine_tune": UpDown(n_label_draws=0)}, "n_label_draws of UpDown"),
        ({"fine_tune": UpDown(n_label_draws=2)}, "must be 1 unless join_labels=True"),
        ({"fine_tune": UpDown(), "hidden_layer_sizes": (4,)}, "two hidden layers"),
        ({"fine_tune": UpDown(undirected_top=False), "join_labels": True}, "undirected top"),
        ({"fine_tune": UpDown(learning_rate=np.inf)}, "learning_rate"),
    ],
)
def test_errors_are_sentences(parameters, message):
    X, y = data(), np.arange(60) % 2
    with pytest.raises((ValueError, TypeError), match=message):
        SparseDBN(**{"hidden_layer_sizes": (4, 3), "random_state": 0, **parameters}).fit(X, y)


def test_more_errors():
    X = data()
    dbn = small()
    with pytest.raises(ValueError, match="3 masks for 2 levels"):
        dbn.set_connectivity([np.ones((4, 5), bool)] * 3)
    with pytest.raises(ValueError, match="columns"):
        dbn.inverse_transform(np.zeros((2, 9)))
    with pytest.raises(ValueError, match="level"):
        dbn.transform(X, level=3)
    with pytest.raises(ValueError, match="join_labels"):
        dbn.sample(2, y=1)
    assert not hasattr(dbn, "predict")
    labelled = small(join_labels=True)
    with pytest.raises(ValueError, match="was not among"):
        labelled.sample(2, y=7)
    with pytest.raises(ValueError, match="greater than one"):
        SparseDBN((4, 3), join_labels=True).fit(X, np.zeros(60))
    with pytest.raises(TypeError, match="needs a top level of type"):
        SparseDBN([("a", BernoulliRBM(4))], join_labels=True).fit(X, np.arange(60) % 2)
    with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
        SparseDBN((4, 3), fine_tune=UpDown(learning_rate=1e38), n_iter=1).fit(X.astype(np.float32))


def test_progress_is_shown(capsys):
    SparseDBN((4, 3), n_iter=1, fine_tune=UpDown(n_iter=2), verbose=1).fit(data())
    said = capsys.readouterr().out
    assert "Level 2 of 2" in said and "Up-down pass 2 of 2" in said


# ------------------------------------------------- what a review found, and more


def test_a_level_pruner_leaves_the_labels():
    X, y = data(100, 8), np.arange(100) % 3
    dbn = SparseDBN(
        (6, 4), join_labels=True, pruner=IterativePruner(sparsity=0.5, n_rounds=2), random_state=0
    ).fit(X, y)
    assert [int(m.sum()) for m in dbn.connectivity_] == [24, 12]
    alive = dbn.connectivity_[1].any(axis=1)
    labels = dbn.estimators_[-1]._levels[0].mask()[:, -3:]
    np.testing.assert_array_equal(labels, np.tile(alive[:, None], (1, 3)))
    masks = dbn.connectivity_
    masks[1] = np.array(masks[1])
    masks[1][0] = False
    dbn.set_connectivity(masks)
    assert not dbn.estimators_[-1]._levels[0].mask()[0].any()
    diluted = PrunedBernoulliRBM(initial_sparsity=0.5)
    dbn = SparseDBN((6, 4), rbm=diluted, join_labels=True, random_state=0).fit(X, y)
    assert dbn.estimators_[-1]._levels[0].mask()[dbn.connectivity_[1].any(axis=1), -3:].all()


def test_rewinding_trains_the_levels_again(monkeypatch):
    X = data(60, 8)
    told = []
    original = PrunedBernoulliRBM.fit

    def spy(self, X, y=None):
        told.append(self.n_iter)
        return original(self, X, y)

    monkeypatch.setattr(PrunedBernoulliRBM, "fit", spy)
    rbm = PrunedBernoulliRBM(n_iter=5)
    for own in ({"n_iter": 5}, {"rbm": rbm}):  # passes of the network, or of its levels
        tuned = SparseDBN((6, 4), fine_tune=UpDown(n_iter=2), random_state=0, **own)
        for retrain, expected in (("rewind", [0, 5, 5]), ("reinitialize", [5, 0, 5])):
            told.clear()
            pruner = IterativePruner(tuned, sparsity=0.5, n_rounds=1, retrain=retrain).fit(X)
            assert told == np.repeat(expected, 2).tolist()
            assert len(pruner.estimator_.history_[-1]["seconds"]) == 2


LEVELS = [
    {"rbm": PrunedBernoulliRBM(initial_sparsity=0.5)},
    {"pruner": IterativePruner(sparsity=0.5, n_rounds=1, n_retrain_iter=2)},
]


@pytest.mark.parametrize("levels", LEVELS)
def test_new_starts_are_full(levels):
    """Where levels are sparse by themselves, what other connections survive still begins at random."""
    dbn = SparseDBN((6, 4), random_state=0, **levels)
    pruner = IterativePruner(dbn, sparsity=0.2, n_rounds=1, retrain="reinitialize").fit(data(60, 8))
    for matrix, mask in zip(pruner.estimator_.components_, pruner.connectivity_, strict=True):
        assert np.count_nonzero(matrix) == mask.sum() > 0.4 * mask.size


def test_without_passes_nothing_is_trained_or_pruned():
    """Where the levels have pruners, too; the weights are those that training starts from."""
    X = data(60, 8)
    still = PrunedBernoulliRBM(learning_rate=1e-12)
    pruner = IterativePruner(still, sparsity=0.5, n_rounds=2, n_retrain_iter=2)
    dbn = SparseDBN((6, 4), pruner=pruner, random_state=0)
    start, trained = clone(dbn).set_params(n_iter=0).fit(X), dbn.fit(X)
    assert all(mask.all() for mask in start.connectivity_)
    assert [level.n_iter for level in start.estimators_] == [10, 10]
    searched = IterativePrunerCV(still, sparsities=(0.5,), cv=2, tolerance=1e9)
    dbn_cv = SparseDBN((6, 4), pruner=searched, random_state=0).fit(X)
    assert [int(mask.sum()) for mask in dbn_cv.connectivity_] == [24, 12]
    start_cv = clone(dbn_cv).set_params(n_iter=0).fit(X)
    assert all(mask.all() for mask in start_cv.connectivity_)
    first = trained.connectivity_[0]  # the level above starts from other features
    assert first.sum() == 24
    np.testing.assert_allclose(
        trained.components_[0][first], start.components_[0][first], atol=1e-6
    )


def test_levels_of_other_kinds():
    """With layers of their own, without scikit-learn's private names, and what is no level."""
    from skprune import DBMTransformer

    X = data(60, 8)
    deep = [("a", DBMTransformer((6, 5), n_iter=1)), ("b", PrunedBernoulliRBM(4, n_iter=1))]
    dbn = SparseDBN(deep, random_state=0).fit(X)
    layers = dbn.layer_samples(X, random_state=0)
    assert [layer.shape[1] for layer in layers] == [8, 6, 5, 4]
    for options in (
        {"criterion": "contribution"}, {"criterion": Fisher(source="data")},
        {"target": "units", "criterion": "mutual_information"},
    ):  # fmt: skip
        pruner = IterativePruner(
            SparseDBN(deep, random_state=0), sparsity=0.5, n_rounds=1, **options
        )
        assert pruner.fit(X).sparsity_ > 0.4
    top = SparseDBN([("a", PrunedBernoulliRBM(6)), ("b", ThirdParty())], random_state=0).fit(X)
    assert list(top.get_feature_names_out()) == [f"sparsedbn{k}" for k in range(3)]
    with pytest.raises(TypeError, match="level 2 is a ThirdParty"):
        top.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="Level 2, a LogisticRegression, has no transform"):
        SparseDBN([("a", PrunedBernoulliRBM(6)), ("b", LogisticRegression())]).fit(X)
    with pytest.raises(TypeError, match="have an n_iter parameter, but level 2, a ThirdParty"):
        SparseDBN([("a", PrunedBernoulliRBM(6)), ("b", ThirdParty())], n_iter=3).fit(X)
    pruned = [
        ("a", IterativePruner(PrunedBernoulliRBM(6), sparsity=0.5)),
        ("b", PrunedBernoulliRBM(4)),
    ]
    dbn = SparseDBN(pruned, n_iter=3, random_state=0).fit(X)
    assert [level.n_iter for level in dbn.estimators_] == [10, 10]
    assert dbn.connectivity_[0].sum() == 24


class ThirdParty(BaseEstimator):
    """The pruning protocol and features, and nothing else."""

    def fit(self, X, y=None):
        self.connectivity_ = [np.ones((3, X.shape[1]), bool)]
        self.components_ = np.random.RandomState(0).normal(size=(3, X.shape[1]))
        return self

    def set_connectivity(self, masks):
        self.connectivity_ = masks
        return self

    def transform(self, X):
        return X @ self.components_.T


def test_samples_upwards_keep_the_dtype():
    X = data(60, 8)
    for dtype in (np.float32, np.float64):
        dbn = SparseDBN((6, 5, 4), upward="samples", fine_tune=UpDown(n_iter=1), random_state=0)
        assert dbn.fit(X.astype(dtype)).transform(X.astype(dtype)).dtype == dtype


def test_fine_tuning_goes_on_or_says_why_not():
    X = data(60, 8).astype(np.float32)
    dbn = SparseDBN((6, 4), warm_start=True, fine_tune=UpDown(n_iter=1), random_state=0).fit(X)
    before = dbn.score(X)
    dbn.set_params(fine_tune=UpDown(n_iter=1, undirected_top=False))
    with pytest.raises(ValueError, match="undirected_top cannot change"):
        dbn.fit(X)
    assert dbn.score(X) == before
    dbn.set_params(fine_tune=UpDown(n_iter=1, learning_rate=1e38))
    with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
        dbn.fit(X)
    assert dbn.score(X) == before
    dbn.set_params(fine_tune=None).fit(X)
    assert dbn._generative is None and np.isfinite(dbn.score(X))


def test_history_of_fine_tuning_is_that_of_the_last_fit():
    """A second fine-tuning replaces the history of the first one instead of adding to it."""
    X = data(60, 8)
    dbn = SparseDBN((6, 4), rbm=PrunedBernoulliRBM(n_iter=0), warm_start=True, random_state=0)
    for n_iter in (1, 2):
        dbn.set_params(fine_tune=UpDown(n_iter=n_iter)).fit(X)
        assert len(dbn.history_) == 3
        assert len(dbn.history_[-1]["learning_rate"]) == n_iter


def test_what_fails_leaves_the_network_as_it_was():
    X = data(60, 8)
    dbn = SparseDBN((6, 4), n_iter=2, warm_start=True, random_state=0).fit(X)
    before = [w.copy() for w in dbn.components_]
    dbn.estimators_[1].learning_rate = -1
    with pytest.raises(ValueError, match="learning_rate"):
        dbn.fit(X)
    masks = [np.zeros((6, 8), bool), np.ones((3, 3), bool)]
    masks[0][0, 0] = True
    with pytest.raises(ValueError, match="shape"):
        dbn.set_connectivity(masks)
    for now, then in zip(dbn.components_, before, strict=True):
        np.testing.assert_array_equal(now, then)
    levels = [("a", BernoulliRBM(4, random_state=0)), ("b", PrunedBernoulliRBM(3))]
    with pytest.raises(TypeError, match="have a warm_start parameter, but level 1, a BernoulliRBM"):
        SparseDBN(levels, warm_start=True).fit(X).fit(X)
    with pytest.raises(ValueError, match="only ints, or only pairs"):
        SparseDBN([("a", PrunedBernoulliRBM(3)), 4]).fit(X)


def test_a_belief_net_of_one_level():
    X = data(60)
    dbn = SparseDBN((3,), fine_tune=UpDown(n_iter=3, undirected_top=False), random_state=0).fit(X)
    dbn._generative.biases[0] += 9
    assert dbn.sample(50, probabilities=True, random_state=0).min() > 0.95


def test_containers_and_frozen_levels():
    from sklearn import config_context
    from sklearn.frozen import FrozenEstimator

    X = data(60, 8)
    plain = SparseDBN((6, 4), random_state=0).fit(X)
    with config_context(transform_output="pandas"):
        dbn = SparseDBN((6, 4), random_state=0).fit(X)
        assert list(dbn.transform(X).columns) == list(dbn.get_feature_names_out())
        assert np.isfinite(dbn.score(X))
    np.testing.assert_array_equal(dbn.components_[1], plain.components_[1])
    first = PrunedBernoulliRBM(6, n_iter=1, random_state=0).fit(X)
    levels = [("a", FrozenEstimator(first)), ("b", PrunedBernoulliRBM(4))]
    dbn = SparseDBN(levels, n_iter=2, random_state=0).fit(X)
    assert dbn.transform(X).shape == (60, 4)
    weights = first.components_.copy()
    np.testing.assert_array_equal(dbn.estimators_[0].components_, weights)
    above = dbn.estimators_[1].components_.copy()
    dbn.set_params(warm_start=True).fit(X)  # trains the other level on
    assert not np.array_equal(dbn.estimators_[1].components_, above)
    np.testing.assert_array_equal(dbn.estimators_[0].components_, weights)
    pruner = IterativePruner(SparseDBN(levels, random_state=0), sparsity=0.5, n_rounds=1).fit(X)
    kept = pruner.connectivity_[0]
    assert kept.sum() == 24 and first.connectivity_[0].all() and first.n_iter == 1
    np.testing.assert_array_equal(pruner.estimator_.components_[0], weights * kept)


def test_memory_maps(tmp_path):
    """Read-only arrays, one level full and one pruned: everything works."""
    import joblib

    X = data(60, 8)
    dbn = SparseDBN((6, 5, 4), random_state=0).fit(X)
    mask = np.random.RandomState(0).uniform(size=(5, 6)) < 0.4
    dbn.set_connectivity([dbn.connectivity_[0], mask, dbn.connectivity_[2]])
    expected = dbn.score(X)
    joblib.dump(dbn, tmp_path / "dbn.joblib")
    loaded = joblib.load(tmp_path / "dbn.joblib", mmap_mode="r")
    assert loaded.score(X) == expected
    loaded.set_params(warm_start=True, fine_tune=UpDown(n_iter=1)).fit(X)


def test_wide_layers_are_shared_out(force_threads):
    """Layers of more than one block: both threads draw, the bits are the same."""
    X = data(90, 40)
    y = np.arange(90) % 3
    expected = None
    for n_threads in (1, 2, 3):
        force_threads(n_threads)
        dbn = SparseDBN(
            (150, 140), join_labels=True, n_iter=1, random_state=0,
            fine_tune=UpDown(n_iter=2, batch_size=16, n_gibbs_steps=2),
        ).fit(X, y)  # fmt: skip
        dbn.set_connectivity([dbn.connectivity_[0], np.tri(140, 150, dtype=bool)])
        dbn.set_params(warm_start=True).fit(X, y)
        bits = [w.tobytes() for w in (*dbn.components_, *level_values(dbn._generative))]
        expected = bits if expected is None else expected
        assert bits == expected


@pytest.mark.parametrize(
    "options", [{"scope": "global"}, {"grace_rounds": 0}, {"schedule": [0.3, 0.6]}]
)
def test_pruners_with_other_options(options):
    X = data(60, 8)
    pruner = IterativePruner(
        SparseDBN((6, 4), n_iter=1, random_state=0), sparsity=0.6, n_rounds=2, **options
    ).fit(X)
    assert pruner.sparsity_ == pytest.approx(0.6, abs=0.03)
    units = IterativePruner(
        SparseDBN((6, 4), n_iter=1, random_state=0), target="units", sparsity=0.5, n_rounds=1
    ).fit(X)
    assert [int(m.any(axis=1).sum()) for m in units.connectivity_] == [3, 2]


def test_log_partition_with_labels_checks_its_numbers():
    dbn = of_kind("labels")
    with pytest.raises(ValueError, match="n_chains"):
        dbn.log_partition("ais", n_chains=1)
    with pytest.raises(ValueError, match="y has shape"):
        dbn.sample(3, y=[0, 1])
