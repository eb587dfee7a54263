"""log Z and pseudo-likelihood against enumeration."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression

from skprune import IterativePruner, PrunedBernoulliRBM, likelihood
from skprune._kernels import chains as chain_kernels
from skprune._kernels import packing
from skprune._kernels.records import Chains, Stream
from skprune._machine import annealing, inference
from skprune._support.threads import Team
from skprune.samplers import ParallelTempering
from tests import oracles
from tests.machines import (
    MASKS,
    SIZES,
    machine_of,
    oracle_parameters,
    random_machine,
    random_parameters,
)


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


@pytest.mark.parametrize("sizes", [(5, 4), (4, 3, 3)], ids=["rbm", "dbm"])
def test_exact_log_partition_of_float32_parameters_is_computed_in_float64(sizes):
    """The result is exact to 1e-9, which sums in float32 could not reach."""
    machine = machine_of(*random_parameters(sizes, scale=2.0), dtype=np.float32)
    weights, biases = oracle_parameters(machine)
    assert machine.components_[0].dtype == np.float32
    assert machine.log_partition("exact").value == pytest.approx(
        oracles.log_z(weights, biases), abs=1e-9
    )


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


def ais(stack, means, seed, team, n_chains, n_temperatures, spacing="linear"):
    """AIS from the means themselves."""
    key, base = np.uint64(seed), annealing.base_rates(stack, means)
    betas = annealing.temperatures(stack, base, n_temperatures, spacing, key)
    return likelihood.ais_log_partition(stack, base, betas, key, team, n_chains)


@pytest.mark.parametrize(("depth", "mask"), [(1, "full"), (1, "random"), (2, "full")])
def test_ais_is_within_three_standard_errors(depth, mask):
    """At least 95 of 100 seeds are that close, and their estimates of Z average to Z."""
    stack, weights, biases = random_machine(depth, mask, seed=3)
    exact = oracles.log_z(weights, biases)
    means = np.full(SIZES[depth][0], 0.4)
    with Team() as team:
        results = [ais(stack, means, seed, team, 100, 100) for seed in range(100)]
    hits = [abs(r.value - exact) <= 3 * r.standard_error for r in results]
    assert sum(hits) >= 95
    errors = np.array([r.standard_error for r in results])
    assert 0 < errors.max() < 0.2
    assert np.std([r.value for r in results]) == pytest.approx(errors.mean(), rel=0.2)
    weights = np.exp([r.value - exact for r in results])
    assert abs(weights.mean() - 1) < 4 * weights.std(ddof=1) / 10


def test_ais_weights_are_unbiased():
    """With one temperature AIS is plain importance sampling: E[w] = Z / Z_0."""
    stack, weights, biases = random_machine(1, "random", scale=0.3)
    exact = oracles.log_z(weights, biases)
    with Team() as team:
        r = ais(stack, np.full(5, 0.5), 0, team, 50_000, 1)
    assert abs(r.value - exact) < 4 * r.standard_error < 0.05


def test_ais_draws_each_layer_at_the_new_temperature():
    """With three temperatures and very many chains, the mean weight is Z / Z_0."""
    weights, biases = random_parameters((5, 4), seed=3)
    found = machine_of(weights, biases).log_partition(
        "ais", n_chains=400_000, n_temperatures=3, spacing="linear"
    )
    assert found.standard_error < 0.002
    assert abs(found.value - oracles.log_z(weights, biases)) < 4 * found.standard_error


def test_bracket_is_three_standard_errors_wide_on_either_side():
    """The method 'bracket' spans the brackets of AIS and of reverse AIS."""
    machine = machine_of(*random_parameters((5, 4)))
    options = {"n_chains": 50, "n_temperatures": 20, "n_tempered_sweeps": 5, "random_state": 0}
    ends = [machine.log_partition(method, **options) for method in ("ais", "reverse_ais")]
    for found in ends:
        value, error = found.value, found.standard_error
        assert error > 0.001
        assert found.bracket == pytest.approx((value - 3 * error, value + 3 * error), abs=1e-12)
    both = machine.log_partition("bracket", **options)
    low, high = zip(*(found.bracket for found in ends), strict=True)
    assert both.bracket == (min(low), max(high))
    assert both.value == ends[0].value
    assert both.effective_sample_size == min(found.effective_sample_size for found in ends)


def test_standard_error_and_effective_sample_size_by_hand():
    """With one visible unit there are two weights; the value tells how often each was drawn."""
    weights, biases = random_parameters((1, 2), seed=1)
    found = machine_of(weights, biases).log_partition(
        "ais", n_chains=10, n_temperatures=1, spacing="linear"
    )
    log_z_0 = 3 * np.log(2)
    off, on = 2 * np.exp(-oracles.free_energy(weights, biases, [[0], [1]]) - log_z_0)
    n_on = (10 * np.exp(found.value - log_z_0) - 10 * off) / (on - off)
    assert n_on == pytest.approx(round(n_on), abs=1e-9)
    assert 0 < round(n_on) < 10
    drawn = np.repeat([on, off], [round(n_on), 10 - round(n_on)])
    size = drawn.sum() ** 2 / (drawn**2).sum()
    error = drawn.std(ddof=1) / np.sqrt(10) / drawn.mean()
    assert found.effective_sample_size == pytest.approx(size)
    assert found.standard_error == pytest.approx(error)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use_edges", [False, True])
def test_pseudo_log_likelihood(mask, use_edges):
    stack, weights, biases = random_machine(1, mask, use_edges=use_edges)
    visible = oracles.all_states(5)
    with Team() as team:
        values = likelihood.stack_pseudo_log_likelihood(stack, visible, team)
    exact = oracles.pseudo_log_likelihood(weights, biases, visible)
    np.testing.assert_allclose(values, exact, atol=1e-11)


def test_unknown_method_and_too_many_units():
    stack, _, _ = random_machine(1, "full", sizes=(30, 26))
    base = annealing.base_rates(stack, np.full(30, 0.5))
    with Team() as team:
        with pytest.raises(ValueError, match="'auto', 'exact', 'ais'"):
            likelihood.stack_log_partition(stack, base, np.uint64(0), team, "guess")
        with pytest.raises(ValueError, match="limited to 24 binary units"):
            likelihood.stack_log_partition(stack, base, np.uint64(0), team, "exact")
        assert likelihood.stack_log_partition(stack, base, np.uint64(0), team).method == "ais"


def path_value(stack, weights, biases, base, beta, layers):
    """log p*_beta of every joint state, from the definition of the path."""
    minus = -beta * oracles.energy(weights, biases, layers)
    for layer in range(0, len(biases), 2):
        minus += (1 - beta) * layers[layer] @ base.biases[layer]
    return minus


@pytest.mark.parametrize(("depth", "use_edges"), [(1, False), (1, True), (2, True)])
def test_slopes_of_a_tempered_sweep(depth, use_edges):
    """They are the derivative of log p*_beta at the states drawn."""
    stack, weights, biases = random_machine(depth, "random", use_edges=use_edges)
    base = annealing.base_rates(stack, np.full(SIZES[depth][0], 0.3))
    states = inference.new_states(stack, 40)
    chains = Chains(states, inference.unpacked(stack), 40, 0)
    slopes = np.zeros(40)
    chain_kernels.tempered_sweep(stack, base, 0.4, chains, slopes, Stream(np.uint64(1), 0))
    layers = [np.ascontiguousarray(x[:, :40].T) for x in states]
    assert all(set(np.unique(x)) == {0, 1} for x in layers)
    ends = [path_value(stack, weights, biases, base, beta, layers) for beta in (0.0, 1.0)]
    np.testing.assert_allclose(slopes, ends[1] - ends[0], atol=1e-12)


def test_exchanged_lanes_and_their_packed_states():
    stack, _, _ = random_machine(1, "random", sizes=(70, 50), dtype=np.float32, use_edges=True)
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        states = inference.new_states(stack, 64)
        packed = inference.new_packed(stack, 64, range(2))
        for x, own in zip(states, packed, strict=True):
            x[:, :64] = rng.uniform(size=(x.shape[0], 64)) < 0.5
            if own.size:
                packing.pack_states(x, own)
        sides.append(Chains(states, packed, 64, 0))
    before = [[x.copy() for x in side.states] for side in sides]
    exchanged = rng.uniform(size=64) < 0.3
    chain_kernels.exchange_lanes(*sides, exchanged)
    for layer in range(2):
        for own, other in ((0, 1), (1, 0)):
            expected = before[own][layer].copy()
            expected[:, :64][:, exchanged] = before[other][layer][:, :64][:, exchanged]
            np.testing.assert_array_equal(sides[own].states[layer], expected)
            packed = sides[own].packed[layer]
            if packed.size:
                again = np.zeros_like(packed)
                packing.pack_states(sides[own].states[layer], again)
                np.testing.assert_array_equal(packed, again)


def two_modes(scale=4.0):
    """An RBM with two far modes, between which plain Gibbs chains do not move, weights 0.9 / 0.1."""
    stack, weights, biases = random_machine(1, "full", sizes=(6, 5))
    stack.levels[0].weights[:] = weights[0][:] = scale
    stack.biases[0][:] = biases[0][:] = -scale * 2.5
    stack.biases[1][:] = biases[1][:] = -scale * 3
    biases[0][0] = stack.biases[0][0] = biases[0][0] - 1.0
    return stack, weights, biases


def test_tempered_samples_have_the_right_distribution():
    stack, weights, biases = two_modes()
    layers, p = oracles.joint(weights, biases)
    base = annealing.base_rates(stack, np.full(6, 0.5))
    with Team() as team:
        visible, hidden = annealing.tempered_samples(
            stack, base, np.uint64(5), team, n_chains=2000, n_sweeps=60
        )
    share = (visible.sum(axis=1) > 3).mean()
    exact = p[layers[0].sum(axis=1) > 3].sum()
    assert 0.1 < exact < 0.9
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / 2000)
    np.testing.assert_allclose(visible.mean(axis=0), p @ layers[0], atol=0.05)
    np.testing.assert_allclose(hidden.mean(axis=0), p @ layers[1], atol=0.05)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_tempered_chains_of_a_negative_phase_visit_both_modes(n_steps):
    """Plain chains stay in the mode where they start."""
    stack, weights, biases = two_modes()
    layers, p = oracles.joint(weights, biases)
    exact = p[layers[0].sum(axis=1) > 3].sum()
    chains = inference.new_states(stack, 200)
    chains[1][:, :200] = 1
    phase = ParallelTempering(8).prepare(
        stack, chains, 200, annealing.base_rates(stack, np.full(6, 0.5)), np.uint64(3)
    )
    plain = inference.new_states(stack, 200)
    plain[1][:, :200] = 1
    shares = []
    with Team() as team:
        for step in range(1200 // n_steps):
            phase.advance(stack, chains, n_steps, np.uint64(0), step, team)
            shares.append((chains[0][:, :200].sum(axis=0) > 3).mean())
    base = annealing.base_rates(stack, np.full(6, 0.5))
    alone = Chains(plain, inference.unpacked(stack), 200, 0)
    for step in range(1200):
        stream = Stream(np.uint64(1), step)
        chain_kernels.tempered_sweep(stack, base, 1.0, alone, np.zeros(200), stream)
    assert np.mean(shares[600 // n_steps :]) == pytest.approx(exact, abs=0.05)
    assert abs((plain[0][:, :200].sum(axis=0) > 3).mean() - exact) > 0.15


@pytest.mark.parametrize(
    ("depth", "mask", "scale"), [(1, "full", 1.0), (1, "random", 3.0), (2, "full", 1.5)]
)
def test_bracket_covers_the_truth(depth, mask, scale):
    """In at least 95 of 100 seeds; reverse AIS by itself within three standard errors as often."""
    stack, weights, biases = random_machine(depth, mask, seed=3, scale=scale)
    exact = oracles.log_z(weights, biases)
    base = annealing.base_rates(stack, np.full(SIZES[depth][0], 0.4), softening=0.25)
    options = {"n_chains": 50, "n_temperatures": 60, "n_tempered_sweeps": 20}
    with Team() as team:
        results = [
            [
                likelihood.stack_log_partition(
                    stack, base, np.uint64(seed), team, method, **options
                )
                for method in ("reverse_ais", "bracket")
            ]
            for seed in range(100)
        ]
    assert sum(abs(r.value - exact) <= 3 * r.standard_error for r, _ in results) >= 95
    assert sum(b.bracket[0] <= exact <= b.bracket[1] for _, b in results) >= 95
    assert max(b.bracket[1] - b.bracket[0] for _, b in results) < 1
    sizes = [b.effective_sample_size for _, b in results]
    assert 1 < min(sizes) <= max(sizes) <= 50


def test_adaptive_temperatures_beat_even_ones():
    """A path whose difficulty lies near its start."""
    stack, weights, biases = two_modes(scale=8.0)
    exact = oracles.log_z(weights, biases)
    means = np.full(6, 0.5)
    errors = {}
    with Team() as team:
        for spacing in ("linear", "adaptive"):
            values = [ais(stack, means, seed, team, 20, 30, spacing).value for seed in range(60)]
            errors[spacing] = np.sqrt(np.mean((np.array(values) - exact) ** 2))
        base = annealing.base_rates(stack, means)
        betas = annealing.temperatures(stack, base, 30, "adaptive", np.uint64(0))
    assert betas[0] == 0
    assert betas[-1] == 1
    assert betas.size == 31
    assert (np.diff(betas) > 0).all()
    assert errors["adaptive"] < 0.8 * errors["linear"]


def test_chosen_temperatures():
    stack, _, _ = random_machine(1, "full")
    means = np.full(5, 0.5)
    with Team() as team:
        chosen = ais(stack, means, 0, team, 20, 99, np.linspace(0, 1, 51))
        linear = ais(stack, means, 0, team, 20, 50)
        assert chosen == linear
        for wrong in ([0, 0.5], [0.1, 1], [0, 0.6, 0.5, 1], [[0, 1]], [0.5]):
            with pytest.raises(ValueError, match="rise from 0 to 1"):
                ais(stack, means, 0, team, 20, 50, wrong)
        with pytest.raises(ValueError, match="spacing='even' is not known"):
            ais(stack, means, 0, team, 20, 50, "even")


@pytest.mark.parametrize("method", ["ais", "reverse_ais", "bracket"])
def test_a_wide_bracket_warns(method):
    stack, _, _ = random_machine(1, "full", sizes=(40, 30), scale=2.0)
    with Team() as team, pytest.warns(ConvergenceWarning, match="uncertain by"):
        likelihood.stack_log_partition(
            stack,
            annealing.base_rates(stack, np.full(40, 0.5), softening=0.25),
            np.uint64(0),
            team,
            method,
            5,
            3,
            n_tempered_sweeps=2,
        )


def test_same_bits_whatever_the_number_of_threads():
    stack, _, _ = random_machine(
        1, "random", sizes=(70, 50), dtype=np.float32, use_edges=True, scale=0.2
    )
    base, results = annealing.base_rates(stack, np.full(70, 0.5), softening=0.25), []
    for n_threads in (1, 2, 3):
        with Team(n_threads=n_threads) as team:
            results.append(
                likelihood.stack_log_partition(
                    stack, base, np.uint64(0), team, "bracket", 150, 20,
                    n_tempered_sweeps=5,
                )
            )  # fmt: skip
    assert results[0] == results[1] == results[2]


def test_methods_of_a_machine():
    X = (np.random.default_rng(0).uniform(size=(100, 12)) < 0.3).astype(np.uint8)
    rbm = PrunedBernoulliRBM(8, n_iter=3, random_state=0).fit(X)
    exact = rbm.log_partition().value
    low, high = rbm.log_partition("bracket", n_tempered_sweeps=50).bracket
    assert low < exact < high
    assert rbm.log_partition("reverse_ais", n_tempered_sweeps=50).value == pytest.approx(
        exact, abs=0.1
    )
    for softening in (0, 1):
        close = rbm.log_partition("ais", softening=softening)
        assert close.value == pytest.approx(exact, abs=0.1)
        assert close.value != rbm.log_partition("ais").value
    with pytest.raises(ValueError, match="softening must be a number in"):
        rbm.log_partition("ais", softening=1.5)
    with pytest.raises(TypeError, match="n_chains must be an integer"):
        rbm.log_partition("ais", n_chains=None)
    with pytest.raises(ValueError, match="n_tempered_sweeps must be an integer"):
        rbm.log_partition("bracket", n_tempered_sweeps=0)


def test_softened_base_rates_find_modes_far_from_the_data():
    """A second mode, all units on, of the same weight as the one where the data are: none on."""
    rng = np.random.default_rng(0)
    data = (rng.uniform(size=(200, 12)) < 0.02).astype(np.float32)
    rbm = PrunedBernoulliRBM(2, n_iter=0, random_state=0).fit(data)
    rbm.set_parameters(
        np.full((2, 12), 3.0),
        intercept_visible=np.full(12, -3.0),
        intercept_hidden=[-18, -18],
        visible_means=data.mean(axis=0),
    )
    exact = rbm.log_partition("exact").value
    options = {"n_temperatures": 1000, "n_chains": 400, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = rbm.log_partition("ais", softening=0, **options)
        soft = rbm.log_partition("ais", softening=0.5, **options)
    assert plain.value < exact - 0.4
    assert soft.value == pytest.approx(exact, abs=0.3)


def test_public_functions_take_a_fitted_machine():
    X = (np.random.default_rng(0).uniform(size=(60, 8)) < 0.3).astype(np.uint8)
    rbm = PrunedBernoulliRBM(5, n_iter=1, random_state=0)
    pruner = IterativePruner(rbm, sparsity=0.5, n_rounds=1).fit(X)
    rbm.fit(X)
    for machine in (rbm, pruner):
        assert likelihood.log_partition(machine) == machine.log_partition()
        bracket = likelihood.log_partition(machine, "bracket", n_tempered_sweeps=20)
        assert bracket == machine.log_partition("bracket", n_tempered_sweeps=20)
        np.testing.assert_array_equal(
            likelihood.pseudo_log_likelihood(machine, X), machine.pseudo_log_likelihood(X)
        )
    with pytest.raises(NotFittedError):
        likelihood.log_partition(PrunedBernoulliRBM())
    with pytest.raises(TypeError, match="LogisticRegression has no method log_partition"):
        likelihood.log_partition(LogisticRegression().fit(X, X[:, 0]))
