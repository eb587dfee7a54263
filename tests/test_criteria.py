"""Criteria: exact by enumeration, hand-ranked cases, and what every one must keep true.

Machines whose weights and biases are logarithms of integers have integer odds:
every joint state repeated so many times is an exact sample of the machine.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import entropy

from skprune._machine.fisher import fisher_operator
from skprune.criteria import (
    CRITERIA,
    UNIT_CRITERIA,
    FisherEigenvector,
    LayerView,
    LevelView,
)
from tests import oracles


def exact_sample(seed=0, sizes=(3, 2)):
    """(weights, biases, states by layer as often as their odds say, label of every row)."""
    rng = np.random.default_rng(seed)
    weights = [
        np.log(rng.integers(1, 4, (b, a)).astype(float)) for a, b in itertools.pairwise(sizes)
    ]
    biases = [np.log(rng.integers(1, 3, n).astype(float)) for n in sizes]
    layers, p = oracles.joint(weights, biases)
    odds = np.rint(p / p.min()).astype(int)
    np.testing.assert_allclose(odds / odds.sum(), p, rtol=1e-9)
    states = [np.repeat(layer, odds, axis=0) for layer in layers]
    return weights, biases, states


def level(weights, lower, upper, mask=None, rng=None):
    mask = np.ones(weights.shape, bool) if mask is None else mask
    return LevelView(
        weights * mask, mask, rng or np.random.RandomState(0), lambda *of: (lower, upper)
    )


def layer_view(weights, states, labels=None):
    above = level(weights[1], states[1], states[2]) if len(weights) > 1 else None
    return LayerView(level(weights[0], states[0], states[1]), above, lambda: labels)


def exact_fisher(lower, upper, mask):
    """Covariance of (v, h, v h) over the states, by definition."""
    rows = []
    for v, h in zip(lower, upper, strict=True):
        rows.append([*v, *h, *[h[i] * v[j] for i, j in zip(*np.nonzero(mask), strict=True)]])
    rows = np.array(rows, dtype=float)
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / len(rows)


@pytest.mark.parametrize("masked", [False, True])
def test_fisher_criteria_against_enumeration(masked):
    (weights,), _, (v, h) = exact_sample()
    mask = np.array([[True, False, True], [True, True, False]]) if masked else np.ones((2, 3), bool)
    matrix = exact_fisher(v, h, mask)
    view = level(weights, v, h, mask)
    diagonal = np.zeros(mask.shape)
    diagonal[mask] = np.diag(matrix)[5:]
    np.testing.assert_allclose(CRITERIA["fisher"](view), diagonal, atol=1e-14)
    np.testing.assert_allclose(
        CRITERIA["saliency"](view), (weights * mask) ** 2 * diagonal / 2, atol=1e-14
    )
    np.testing.assert_allclose(
        fisher_operator(mask, v, h) @ np.eye(len(matrix)), matrix, atol=1e-13
    )
    _, vectors = np.linalg.eigh(matrix)
    leading = np.zeros(mask.shape)
    leading[mask] = np.abs(vectors[5:, -1])
    np.testing.assert_allclose(FisherEigenvector()(view), leading, atol=1e-8)
    means = v.mean(axis=0), h.mean(axis=0)
    for i, j in zip(*np.nonzero(mask), strict=True):
        odds = means[0][j] / (1 - means[0][j]) * np.exp(weights[i, j] * (1 - means[1][i]))
        together = means[1][i] * odds / (1 + odds)
        assert CRITERIA["fisher_heuristic"](view)[i, j] == pytest.approx(together * (1 - together))


def test_fisher_is_the_curvature_of_log_z():
    """The second derivative of log Z with respect to a weight."""
    (weights,), biases, (v, h) = exact_sample(seed=3)
    scores, step = CRITERIA["fisher"](level(weights, v, h)), 1e-3
    for place in np.ndindex(weights.shape):
        values = []
        for shift in (-step, 0, step):
            moved = weights.copy()
            moved[place] += shift
            values.append(oracles.log_z([moved], biases))
        curvature = (values[0] - 2 * values[1] + values[2]) / step**2
        assert scores[place] == pytest.approx(curvature, rel=1e-4)


def test_real_valued_states_need_no_bits():
    rng = np.random.default_rng(0)
    v, h = rng.uniform(size=(50, 4)), rng.uniform(size=(50, 3))
    mask = rng.uniform(size=(3, 4)) < 0.7
    expected = np.einsum("ni,nj->ij", h**2, v**2) / 50 - (h.T @ v / 50) ** 2
    np.testing.assert_allclose(
        CRITERIA["fisher"](level(np.ones((3, 4)), v, h, mask)), expected * mask, atol=1e-14
    )


def test_gradient_is_the_gap_of_data_and_model():
    v, h = np.array([[1.0, 0], [1, 1]]), np.array([[1.0], [1]])
    samples = {"data": (v, h), "model": (1 - v, h)}
    view = LevelView(np.zeros((1, 2)), np.ones((1, 2), bool), None, lambda of, *n: samples[of])
    np.testing.assert_allclose(CRITERIA["gradient"](view), [[1.0, 0.0]])
    np.testing.assert_allclose(CRITERIA["coactivity"](view), [[1.0, 0.5]])
    samples = {"data": (1 - v, h), "model": (v, h)}  # where the model has more than the data
    np.testing.assert_allclose(CRITERIA["gradient"](view), [[1.0, 0.0]])


@pytest.mark.parametrize("name", CRITERIA)
def test_scores_do_not_depend_on_the_order_of_units(name):
    if name == "random":
        pytest.skip("random on purpose")
    (weights,), _, (v, h) = exact_sample(seed=1, sizes=(4, 3))
    rows, columns = np.array([2, 0, 1]), np.array([3, 1, 0, 2])
    scores = CRITERIA[name](level(weights, v, h))
    assert scores.shape == weights.shape
    assert np.isfinite(scores).all()
    permuted = CRITERIA[name](level(weights[np.ix_(rows, columns)], v[:, columns], h[:, rows]))
    np.testing.assert_allclose(permuted, scores[np.ix_(rows, columns)], atol=1e-7)


@pytest.mark.parametrize("name", ["magnitude", "contribution", "fisher", "saliency", "coactivity"])
def test_by_hand(name):
    """Lower units: always on, half of the time, never; the upper one is on with the second."""
    v = np.array([[1.0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    h = v[:, 1:2]
    expected = {
        "magnitude": [2, 1, 3],
        "contribution": [0, 0.5, 0],
        "fisher": [0.25, 0.25, 0],
        "saliency": [0.5, 0.125, 0],
        "coactivity": [0.5, 0.5, 0],
    }[name]
    view = level(np.array([[-2.0, 1.0, 3.0]]), v, h)
    np.testing.assert_allclose(CRITERIA[name](view), [expected])


def test_random_is_seeded_and_ignores_the_weights():
    def scores(seed, weights):
        view = level(weights, None, None, rng=np.random.RandomState(seed))
        return CRITERIA["random"](view)

    np.testing.assert_array_equal(scores(1, np.zeros((5, 5))), scores(1, np.ones((5, 5))))
    assert (scores(1, np.zeros((5, 5))) != scores(2, np.zeros((5, 5)))).any()


def test_contribution_asks_the_machine_for_states_given_data():
    from skprune import IterativePruner, PrunedBernoulliRBM

    X = np.random.RandomState(0).randint(0, 2, (200, 12))
    X[:, 3] = 1
    fixed = IterativePruner(
        PrunedBernoulliRBM(8, n_iter=3, random_state=0), criterion="contribution", sparsity=0.08,
        n_rounds=1, retrain=None,
    ).fit(X)  # fmt: skip
    np.testing.assert_array_equal(fixed.connectivity_[0].sum(axis=0), [8] * 3 + [0] + [8] * 8)


# -------------------------------------------------------------------- units


@pytest.mark.parametrize("sizes", [(3, 2), (3, 2, 2)])
def test_unit_criteria_against_enumeration(sizes):
    weights, _, states = exact_sample(seed=2, sizes=sizes)
    rng = np.random.default_rng(0)
    labels = (states[0].sum(axis=1) + rng.integers(0, 2, len(states[0]))).astype(int)
    view = layer_view(weights, states, labels)
    n_rows = len(states[0])
    for unit in range(sizes[1]):
        h = states[1][:, unit]
        sums = sum(np.var(h * v) for v in states[0].T)
        norm = (weights[0][unit] ** 2).sum()
        if len(sizes) > 2:
            sums += sum(np.var(h * u) for u in states[2].T)
            norm += (weights[1][:, unit] ** 2).sum()
        assert UNIT_CRITERIA["fisher"](view)[unit] == pytest.approx(max(sums, h.var()))
        assert UNIT_CRITERIA["magnitude"](view)[unit] == pytest.approx(np.sqrt(norm))
        assert UNIT_CRITERIA["activity_variance"](view)[unit] == pytest.approx(h.var())
        # information on everything beside the layer: by the definition, over all its states
        beside = [states[0]] if len(sizes) == 2 else [states[0], states[2]]
        rows = [tuple(row) for row in np.hstack(beside)]
        joint = {}
        for row, value in zip(rows, h, strict=True):
            joint[row, value] = joint.get((row, value), 0) + 1 / n_rows
        given = {row: sum(joint.get((row, x), 0) for x in (0.0, 1.0)) for row in set(rows)}
        shares = [h.mean(), 1 - h.mean()]
        information = (
            entropy(shares) + entropy(list(given.values())) - entropy(list(joint.values()))
        )
        assert UNIT_CRITERIA["mutual_information"](view)[unit] == pytest.approx(information)
        table = np.array([[np.mean((labels == c) & (h == x)) for x in (0, 1)] for c in set(labels)])
        information = entropy(table.sum(0)) + entropy(table.sum(1)) - entropy(table.ravel())
        assert UNIT_CRITERIA["label_information"](view)[unit] == pytest.approx(information)


@pytest.mark.parametrize("name", UNIT_CRITERIA)
def test_unit_scores_do_not_depend_on_the_order_of_units(name):
    if name == "random":
        pytest.skip("random on purpose")
    weights, _, states = exact_sample(seed=1, sizes=(4, 3))
    labels = states[0][:, 0]
    rows, columns = np.array([2, 0, 1]), np.array([3, 1, 0, 2])
    scores = UNIT_CRITERIA[name](layer_view(weights, states, labels))
    assert scores.shape == (3,)
    moved = [states[0][:, columns], states[1][:, rows]]
    permuted = UNIT_CRITERIA[name](layer_view([weights[0][np.ix_(rows, columns)]], moved, labels))
    np.testing.assert_allclose(permuted, scores[rows], atol=1e-10)


def test_the_bias_of_a_unit_has_fisher_information_too():
    """No visible unit is ever on, so the weights have none."""
    v, h = np.zeros((4, 2)), np.array([[0.0, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]])
    scores = UNIT_CRITERIA["fisher"](layer_view([np.ones((3, 2))], [v, h], None))
    np.testing.assert_allclose(scores, [1 / 4, 0, 3 / 16])


def test_units_by_hand():
    """The first unit copies the input and the label, the second is a coin, the third stands still."""
    v = np.array([[0.0], [0], [1], [1]] * 2)
    h = np.column_stack([v[:, 0], [0, 1] * 4, [0] * 8])
    weights = [np.array([[60.0], [0.0], [0.0]])]
    view = layer_view(weights, [v, h], v[:, 0])
    np.testing.assert_allclose(
        UNIT_CRITERIA["mutual_information"](view), [np.log(2), 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        UNIT_CRITERIA["label_information"](view), [np.log(2), 0, 0], atol=1e-12
    )
    np.testing.assert_allclose(UNIT_CRITERIA["activity_variance"](view), [0.25, 0.25, 0])
