"""Criteria: hand-ranked cases, and what every one must keep true."""

import numpy as np
import pytest

from skprune.criteria import CRITERIA, LevelView


def view(weights, seed=0):
    rng = np.random.RandomState(seed)
    states = rng.uniform(size=(50, weights.shape[1])), rng.uniform(size=(50, weights.shape[0]))
    return LevelView(weights, np.ones(weights.shape, bool), rng, lambda: states)


@pytest.mark.parametrize("name", CRITERIA)
def test_scores_have_the_shape_of_the_level(name):
    scores = CRITERIA[name](view(np.random.RandomState(0).normal(size=(4, 6))))
    assert scores.shape == (4, 6)
    assert np.isfinite(scores).all()


def test_magnitude_by_hand_and_under_permutation():
    weights = np.array([[-3.0, 0.5], [1.0, -0.1]])
    np.testing.assert_array_equal(CRITERIA["magnitude"](view(weights)), [[3, 0.5], [1, 0.1]])
    np.testing.assert_array_equal(
        CRITERIA["magnitude"](view(weights[::-1, ::-1])),
        CRITERIA["magnitude"](view(weights))[::-1, ::-1],
    )


def test_random_is_seeded_and_ignores_the_weights():
    a = CRITERIA["random"](view(np.zeros((5, 5)), 1))
    np.testing.assert_array_equal(a, CRITERIA["random"](view(np.ones((5, 5)), 1)))
    assert (a != CRITERIA["random"](view(np.zeros((5, 5)), 2))).any()


def test_contribution_by_hand():
    """Three lower units with standard deviations 0.5, 0 and 0.4."""
    lower = np.array([[0, 1, 0.8], [1, 1, 0.0], [0, 1, 0.8], [1, 1, 0.0]])
    weights = np.array([[1.0, 100.0, -2.0]])
    level = LevelView(weights, np.ones((1, 3), bool), None, lambda: (lower, None))
    np.testing.assert_allclose(CRITERIA["contribution"](level), [[0.5, 0, 0.8]])


def test_contribution_asks_the_machine_for_states_given_data():
    from skprune import IterativePruner, PrunedBernoulliRBM

    X = np.random.RandomState(0).randint(0, 2, (200, 12))
    X[:, 3] = 1
    fixed = IterativePruner(
        PrunedBernoulliRBM(8, n_iter=3, random_state=0), criterion="contribution", sparsity=0.08,
        n_rounds=1, retrain=None,
    ).fit(X)  # fmt: skip
    np.testing.assert_array_equal(fixed.connectivity_[0].sum(axis=0), [8] * 3 + [0] + [8] * 8)
