"""Energy, free energy, conditionals and Gibbs sweeps against enumeration."""

import numpy as np
import pytest

from skprune import likelihood
from skprune._kernels.records import Stack
from skprune._machine import inference
from skprune._machine.levels import Connections, as_dtype, kernel_level_values, make_kernel_level
from skprune._support.threads import Team
from tests import oracles
from tests.machines import MASKS, SIZES, random_machine

CASES = [(depth, mask, edges) for depth in (1, 2) for mask in MASKS for edges in (False, True)]


@pytest.mark.parametrize(("depth", "mask", "use_edges"), CASES)
def test_energy_and_free_energy(depth, mask, use_edges):
    stack, weights, biases = random_machine(depth, mask, use_edges=use_edges)
    layers = oracles.joint_states(SIZES[depth])
    np.testing.assert_allclose(
        inference.energy(stack, *layers), oracles.energy(weights, biases, layers), atol=1e-12
    )
    visible = oracles.all_states(SIZES[depth][0])
    exact = oracles.free_energy(weights, biases, visible)
    if depth == 1:
        with Team() as team:
            np.testing.assert_allclose(
                inference.free_energy(stack, visible, team), exact, atol=1e-12
            )
    else:
        top = oracles.all_states(SIZES[depth][2])
        for v, expected in zip(visible, exact, strict=True):
            states = inference.load_states(stack, np.tile(v, (len(top), 1)), None, top)
            free = inference.summed_free_energy(stack, states, len(top))
            assert -oracles.log_sum_exp(-free) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("depth", "mask", "use_edges"), CASES)
def test_conditionals(depth, mask, use_edges):
    stack, weights, biases = random_machine(depth, mask, use_edges=use_edges)
    layers = [x[::7] for x in oracles.joint_states(SIZES[depth])]
    for layer in range(depth + 1):
        means = inference.conditional_means(stack, layer, *layers)
        exact = [
            oracles.conditional(weights, biases, layer, layers, row)
            for row in range(len(layers[0]))
        ]
        np.testing.assert_allclose(means, exact, atol=1e-12)


@pytest.mark.parametrize(("depth", "mask", "use_edges"), CASES)
def test_gibbs_sweep_leaves_the_model_alone(depth, mask, use_edges):
    """pi T = pi, T built from the package's conditionals: even layers to odd to even."""
    stack, weights, biases = random_machine(depth, mask, use_edges=use_edges)
    sizes = SIZES[depth]
    layers, p = oracles.joint(weights, biases)
    even = oracles.all_states(sum(sizes[0::2]))
    odd = oracles.all_states(sum(sizes[1::2]))
    cut = np.cumsum(sizes[0::2])[:-1]
    even_layers = np.split(even, cut, axis=1)
    given_even = [even_layers[0], None] + even_layers[1:]
    odd_means = inference.conditional_means(stack, 1, *given_even)
    to_odd = oracles.bernoulli(odd_means, odd)
    even_means = []
    for layer in range(0, depth + 1, 2):
        given_odd = [None] * (depth + 1)
        given_odd[1] = odd
        even_means.append(inference.conditional_means(stack, layer, *given_odd))
    to_even = oracles.bernoulli(np.hstack(even_means), even)
    transition = to_odd @ to_even
    joint_even = np.hstack(layers[0::2])
    pi = np.array([p[(joint_even == state).all(axis=1)].sum() for state in even])
    np.testing.assert_allclose(transition.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(pi @ transition, pi, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2])
def test_gibbs_kernel_reaches_the_model(depth):
    """20,000 chains after 60 sweeps: every joint visible state within five sigma of p(v)."""
    stack, weights, biases = random_machine(depth, "random", scale=0.7)
    n = 20_000
    rng = np.random.default_rng(0)
    states = [rng.integers(0, 2, (n, b.size)).astype(float) for b in biases]
    with Team() as team:
        visible = inference.gibbs(stack, states, 60, n, np.uint64(1), team)[0]
    layers, p = oracles.joint(weights, biases)
    for state in oracles.all_states(SIZES[depth][0]):
        exact = p[(layers[0] == state).all(axis=1)].sum()
        share = (visible == state).all(axis=1).mean()
        assert abs(share - exact) < 5 * np.sqrt(exact * (1 - exact) / n) + 1e-12


def test_gibbs_respects_clamped_units():
    stack, _, _ = random_machine(1, "full")
    states = [np.zeros((7, 5)), np.zeros((7, 4))]
    clamped = np.full((7, 5), np.nan)
    clamped[:, 2] = 1
    clamped[3, 0] = 0.25
    states[0] = np.where(np.isnan(clamped), states[0], clamped)
    with Team() as team:
        visible = inference.gibbs(stack, states, 5, 7, np.uint64(1), team, clamped=clamped)[0]
    assert (visible[:, 2] == 1).all()
    assert visible[3, 0] == 0.25
    assert np.isin(np.delete(visible.ravel(), 15), (0, 1)).all()


def test_mean_field_is_a_fixed_point_and_ignores_the_batch():
    stack, _, _ = random_machine(2, "random", scale=0.5)
    visible = oracles.all_states(4)
    with Team() as team:
        means = inference.mean_field(stack, visible, team, tolerance=1e-10, max_updates=500)
        alone = inference.mean_field(stack, visible[5:6], team, tolerance=1e-10, max_updates=500)
    for layer in (1, 2):
        again = inference.conditional_means(stack, layer, visible, *means)
        np.testing.assert_allclose(again, means[layer - 1], atol=1e-8)
        np.testing.assert_array_equal(alone[layer - 1][0], means[layer - 1][5])


def test_mean_field_of_an_rbm_is_exact():
    stack, weights, biases = random_machine(1, "random")
    visible = oracles.all_states(5)
    with Team() as team:
        means = inference.mean_field(stack, visible, team)[0]
    exact = 1 / (1 + np.exp(-(visible @ weights[0].T + biases[1])))
    np.testing.assert_allclose(means, exact, atol=1e-13)


def test_blocks_do_not_change_rows():
    stack, _, _ = random_machine(1, "random", sizes=(6, 5))
    visible = np.random.default_rng(0).integers(0, 2, (600, 6)).astype(float)
    with Team() as team:
        whole = inference.free_energy(stack, visible, team)
        parts = [
            inference.free_energy(stack, visible[k : k + 1], team)[0] for k in (0, 255, 256, 599)
        ]
    np.testing.assert_allclose(whole[[0, 255, 256, 599]], parts, atol=1e-12)


def test_level_storage_round_trip():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(6, 9)) < 0.4
    values = rng.normal(size=mask.sum())
    connections = Connections.from_mask(mask)
    for use_edges in (True, False):
        level = make_kernel_level(values, connections, use_edges)
        np.testing.assert_array_equal(kernel_level_values(level), values)


def test_as_dtype_changes_everything():
    stack = as_dtype(random_machine(2, "random")[0], np.float32)
    assert isinstance(stack, Stack)
    assert {b.dtype for b in stack.biases} == {np.dtype(np.float32)}
    assert likelihood.smaller_side(stack) == (1, 3)


@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 700])
def test_pair_counts(n_samples):
    rng = np.random.default_rng(n_samples)
    lower, upper = (rng.uniform(size=(n_samples, n)) < 0.4 for n in (30, 20))
    mask = rng.uniform(size=(20, 30)) < 0.3
    mask[3] = False
    counts = inference.pair_counts(Connections.from_mask(mask), lower, upper)
    np.testing.assert_array_equal(counts, (upper.T.astype(int) @ lower.astype(int))[mask])
