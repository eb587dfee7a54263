"""Criteria: hand-ranked cases, and what every one must keep true."""

import numpy as np
import pytest

from skprune.criteria import CRITERIA, LevelView


def view(weights, seed=0):
    return LevelView(weights, np.ones(weights.shape, bool), np.random.RandomState(seed))


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
