"""log Z and pseudo-likelihood against enumeration."""

import numpy as np
import pytest

from skprune import likelihood
from skprune._threads import Team
from tests import oracles
from tests.machines import MASKS, SIZES, random_machine


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use_edges", [False, True])
def test_exact_log_partition(depth, mask, use_edges):
    stack, weights, biases = random_machine(depth, mask, use_edges=use_edges)
    with Team() as team:
        result = likelihood.exact_log_partition(stack, team)
    exact = oracles.log_z(weights, biases)
    assert result.value == pytest.approx(exact, abs=1e-12)
    assert result[1] == 0
    assert result.bracket == (result.value, result.value)


@pytest.mark.parametrize("sizes", [(3, 14), (14, 3)])
def test_exact_log_partition_enumerates_the_smaller_side_in_blocks(sizes):
    stack, weights, biases = random_machine(1, "random", sizes=sizes)
    assert likelihood.smaller_side(stack)[1] == 3
    with Team() as team:
        small = likelihood.exact_log_partition(stack, team).value
    v = oracles.all_states(sizes[0]) if sizes[0] == 14 else oracles.all_states(3)
    field = v @ weights[0].T + biases[1]
    by_visible = oracles.log_sum_exp(v @ biases[0] + np.logaddexp(0, field).sum(axis=1))
    assert small == pytest.approx(by_visible, abs=1e-10)


def test_exact_log_partition_over_many_blocks():
    stack, weights, biases = random_machine(1, "full", sizes=(12, 13))
    with Team() as team:
        value = likelihood.exact_log_partition(stack, team).value
    v = oracles.all_states(12)
    exact = oracles.log_sum_exp(
        v @ biases[0] + np.logaddexp(0, v @ weights[0].T + biases[1]).sum(axis=1)
    )
    assert value == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize(("depth", "mask"), [(1, "full"), (1, "random"), (2, "full")])
def test_ais_is_within_three_standard_errors(depth, mask):
    """In at least 95 of 100 seeds."""
    stack, weights, biases = random_machine(depth, mask, seed=3)
    exact = oracles.log_z(weights, biases)
    means = np.full(SIZES[depth][0], 0.4)
    with Team() as team:
        results = [
            likelihood.ais_log_partition(stack, means, np.uint64(seed), team, 100, 100)
            for seed in range(100)
        ]
    hits = [abs(r.value - exact) <= 3 * r.standard_error for r in results]
    assert sum(hits) >= 95
    errors = np.array([r.standard_error for r in results])
    assert 0 < errors.max() < 0.2
    assert np.std([r.value for r in results]) == pytest.approx(errors.mean(), rel=0.4)


def test_ais_weights_are_unbiased():
    """With one temperature AIS is plain importance sampling: E[w] = Z / Z_0."""
    stack, weights, biases = random_machine(1, "random", scale=0.3)
    exact = oracles.log_z(weights, biases)
    with Team() as team:
        r = likelihood.ais_log_partition(stack, np.full(5, 0.5), np.uint64(0), team, 50_000, 1)
    assert abs(r.value - exact) < 4 * r.standard_error < 0.05


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use_edges", [False, True])
def test_pseudo_log_likelihood(mask, use_edges):
    stack, weights, biases = random_machine(1, mask, use_edges=use_edges)
    visible = oracles.all_states(5)
    with Team() as team:
        values = likelihood.pseudo_log_likelihood(stack, visible, team)
    exact = oracles.pseudo_log_likelihood(weights, biases, visible)
    np.testing.assert_allclose(values, exact, atol=1e-11)


def test_unknown_method_and_too_many_units():
    stack, _, _ = random_machine(1, "full", sizes=(30, 26))
    means = np.full(30, 0.5)
    with Team() as team:
        with pytest.raises(ValueError, match="'auto', 'exact', 'ais'"):
            likelihood.log_partition(stack, means, np.uint64(0), team, "guess")
        with pytest.raises(ValueError, match="limited to 24 units"):
            likelihood.log_partition(stack, means, np.uint64(0), team, "exact")
        assert likelihood.log_partition(stack, means, np.uint64(0), team).method == "ais"
