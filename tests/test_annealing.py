"""Tempered ensembles: random numbers of their own, which pairs exchange, and the length of a path."""

import numpy as np
import pytest

from skprune._kernels import draws as draw_kernels
from skprune._machine import annealing
from skprune._support.random import derived_key
from skprune._support.threads import Team
from tests.machines import random_machine

KEY = np.uint64(12345)


def uniforms(key, step, layer, shape):
    out = np.empty(shape)
    draw_kernels.uniforms(key, step, layer, out)
    return out


def test_every_replica_draws_from_a_stream_of_its_own():
    """A machine without weights and biases has the same probability 1/2 at every temperature.

    Every proposed exchange is accepted. In the first sweep, the coldest of two replicas gets the
    states of the other one. In the second sweep there is no exchange.
    """
    stack, _, _ = random_machine(1, "full", scale=0.0)
    for bias in stack.biases:
        bias[:] = 0
    base = annealing.base_rates(stack, np.full(5, 0.5))
    ensemble = annealing.TemperedEnsemble(stack, base, np.array([0.0, 1.0]), 70, KEY)
    with Team(n_threads=1) as team:
        for step, drawn_by in ((0, 0), (1, 1), (2, 0), (3, 1)):
            ensemble.sweep(stack, 1, step, team)
            states = np.empty((5, 70))
            ensemble.read_coldest(0, states)
            own = uniforms(derived_key(KEY, 1 + drawn_by), step, 0, (5, 70)) < 0.5
            np.testing.assert_array_equal(states, own)
            other = uniforms(derived_key(KEY, 2 - drawn_by), step, 0, (5, 70)) < 0.5
            assert (own != other).any()


@pytest.fixture
def exchanges(monkeypatch):
    """Sweeps with given slopes, one per temperature, and a record of the lanes that exchange."""
    record = []

    def recorded(slopes):
        def sweep(stack, base, beta, chains, out, stream):
            out[:] = slopes[float(beta)]

        monkeypatch.setattr(annealing.chain_kernels, "tempered_sweep", sweep)
        monkeypatch.setattr(
            annealing.chain_kernels, "exchange_lanes", lambda *args: record.append(args[-1].copy())
        )
        return record

    return recorded


def test_pairs_of_replicas_exchange_independently_at_the_rate_of_metropolis(exchanges):
    """Pairs (0, 1) and (2, 3) at even sweeps, (1, 2) at odd ones, each with a number of its own."""
    betas = np.array([0.0, 0.25, 0.5, 1.0])
    # gains (beta_b - beta_a) (slope_a - slope_b): log 0.5, 0.25 * 8 > 0, log 0.25
    slopes = dict(zip(betas, np.cumsum([0, -4 * np.log(0.5), -8, -2 * np.log(0.25)]), strict=True))
    record = exchanges(slopes)
    stack, _, _ = random_machine(1, "full")
    base = annealing.base_rates(stack, np.full(5, 0.5))
    n_chains = annealing.CHAIN_BLOCK
    ensemble = annealing.TemperedEnsemble(stack, base, betas, n_chains, KEY)
    n_rounds = 4000 // n_chains + 1
    with Team(n_threads=1) as team:
        ensemble.sweep(stack, 2 * n_rounds, 0, team)
    assert len(record) == 3 * n_rounds
    first, last, middle = (np.concatenate(record[k::3]) for k in range(3))
    assert middle.all()
    n = first.size
    assert abs(first.mean() - 0.5) < 5 * np.sqrt(0.25 / n)
    assert abs(last.mean() - 0.25) < 5 * np.sqrt(0.1875 / n)
    assert abs((first & last).mean() - 0.125) < 5 * np.sqrt(0.11 / n)


def test_the_length_of_a_path_is_the_integral_of_a_standard_deviation(monkeypatch):
    """Slopes spread by 1 + 2 beta have the length beta + beta^2, for any mean."""

    def sweep(stack, base, beta, chains, slopes, stream):
        unit = np.arange(slopes.size) - (slopes.size - 1) / 2
        slopes[:] = 100 * beta + (1 + 2 * beta) * unit / unit.std(ddof=1)

    monkeypatch.setattr(annealing.chain_kernels, "tempered_sweep", sweep)
    stack, _, _ = random_machine(1, "full")
    betas, lengths = annealing.temperature_path(stack, stack.biases, KEY)
    np.testing.assert_allclose(lengths, betas + betas**2, atol=1e-12)
