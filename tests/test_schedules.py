"""Schedules and rules: counts by hand, and what each must keep true."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skprune import schedules
from skprune.schedules import SCHEDULES, FractionOfRemaining, StdThreshold, Threshold


def path(schedule, n_start, n_end, n_rounds):
    n, counts = n_start, []
    for number in range(n_rounds):
        scores = np.linspace(0, 1, n)
        n = schedule.n_kept(scores, scores, n_start, n_end, number, n_rounds)
        counts.append(n)
    return counts


@pytest.mark.parametrize("name", SCHEDULES)
@given(n_start=st.integers(1, 5000), share=st.floats(0, 0.999), n_rounds=st.integers(1, 12))
def test_targets_are_monotone_and_exact(name, n_start, share, n_rounds):
    n_end = max(1, n_start - round(share * n_start))
    counts = [n_start, *path(SCHEDULES[name], n_start, n_end, n_rounds)]
    assert counts[-1] == n_end
    assert all(a >= b >= n_end for a, b in pairwise(counts))


def test_counts_by_hand():
    assert path(SCHEDULES["one_shot"], 1000, 100, 3) == [100, 100, 100]
    assert path(SCHEDULES["linear"], 1000, 100, 3) == [700, 400, 100]
    assert path(SCHEDULES["geometric"], 1000, 1, 3) == [100, 10, 1]
    assert path(SCHEDULES["cubic"], 1000, 200, 2) == [300, 200]


def test_fraction_of_remaining_gives_the_counts_of_the_paper():
    """784 x 20 connections, 30 % a round: 5,379 left after three rounds (Table 1)."""
    assert path(FractionOfRemaining(0.3), 15_680, 0, 3) == [10_976, 7_684, 5_379]
    assert path(FractionOfRemaining(0.3), 15_680, 9_000, 3) == [10_976, 9_000, 9_000]


def test_std_threshold_is_eq_8():
    weights = np.random.default_rng(0).normal(0.5, 2, 1000)
    kept = StdThreshold(0.5).n_kept(np.abs(weights), weights, 1000, 0, 0, 1)
    assert kept == (np.abs(weights) >= 0.5 * weights.std()).sum()
    assert StdThreshold(0.5).n_kept(np.abs(weights), weights, 1000, 900, 0, 1) == 900


def test_threshold():
    scores = np.array([0.01, 0.05, 0.3])
    assert Threshold(0.05).n_kept(scores, scores, 3, 0, 0, 1) == 2


@pytest.mark.parametrize(
    "rule",
    [FractionOfRemaining(1.0), StdThreshold(-1), Threshold("high"), FractionOfRemaining(-0.1)],
)
def test_rules_refuse(rule):
    with pytest.raises((ValueError, TypeError), match="must be a number"):
        rule.n_kept(np.ones(3), np.ones(3), 3, 0, 0, 1)


def test_options_are_estimators_that_clone():
    from sklearn.base import clone

    for option in (StdThreshold(0.7), FractionOfRemaining(0.2), Threshold(0.1), schedules.Cubic()):
        assert clone(option).get_params() == option.get_params()


def test_a_falling_rate_is_a_part_of_a_whole():
    from skprune.schedules import FallingRate

    assert [FallingRate(0.25, 0.75)(t) for t in (0, 1)] == [0.75, 0.25]
    for bad in (FallingRate(0, 3.0), FallingRate(1.0, 0.5), FallingRate(-1, 1)):
        with pytest.raises(ValueError, match="must be a number in"):
            bad(0.5)
