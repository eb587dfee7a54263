"""Kernels against their NumPy twins."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from skprune._kernels import draws as draw_kernels
from skprune._kernels import fields as field_kernels
from skprune._kernels import loading, packing, scores, simd, units
from skprune._kernels.records import Chains, Stack, Stream
from skprune._machine import inference
from skprune._machine.levels import Connections, all_binary, make_kernel_level
from tests.instruction_sets import ENVIRONMENTS, executable
from tests.machines import (
    looks_up,
    random_machine,
)

GOLDEN = 0x9E3779B97F4A7C15


def twin_mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def twin_uniform(key, step, layer, unit, lane):
    place = (layer << 40) | unit
    row = twin_mix(twin_mix((key + step * GOLDEN) % 2**64) ^ ((place * GOLDEN) % 2**64))
    x = (lane * 0x9E3779B9 + (row % 2**32)) % 2**32
    x ^= x >> 16
    x = (x * 0x7FEB352D) % 2**32
    x ^= row >> 32
    x ^= x >> 15
    x = (x * 0x846CA68B) % 2**32
    x ^= x >> 16
    return (x >> 8) * 2.0**-24


def draws(key, step, layer, shape):
    out = np.empty(shape)
    draw_kernels.uniforms(np.uint64(key), step, layer, out)
    return out


def test_uniform_is_its_python_twin():
    key = 0xDEADBEEF12345678
    for step, layer in ((0, 0), (5, 1), (2**33, 2)):
        out = draws(key, step, layer, (3, 20))
        twin = [[twin_uniform(key, step, layer, i, b) for b in range(20)] for i in range(3)]
        np.testing.assert_array_equal(out, twin)


@pytest.mark.parametrize("key", [0, 1, 2**63 + 12345])
def test_uniforms_are_uniform_and_uncorrelated(key):
    """Bins, serial correlations over lanes, units and steps, each within five sigma."""
    x = draws(key, 0, 0, (200, 500))
    n = x.size
    counts = np.histogram(x, bins=256, range=(0, 1))[0]
    chi2 = ((counts - n / 256) ** 2 / (n / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
    z = (x - 0.5) * np.sqrt(12)
    following = (draws(key, 1, 0, x.shape) - 0.5) * np.sqrt(12)
    above = (draws(key, 0, 1, x.shape) - 0.5) * np.sqrt(12)
    other_key = (draws(key + 1, 0, 0, x.shape) - 0.5) * np.sqrt(12)
    for a, b in (
        (z[:, :-1], z[:, 1:]), (z[:, :-2], z[:, 2:]), (z[:-1], z[1:]), (z[:, :-16], z[:, 16:]),
        (z, following), (z, above), (z, other_key),
    ):  # fmt: skip
        assert abs((a * b).sum() / np.sqrt(a.size)) < 5
    bits = (x * 2**24).astype(np.int64)
    for bit in range(24):
        assert abs(((bits >> bit) & 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(n)


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 5e-7), (np.float64, 1e-14)])
def test_exp_is_accurate(dtype, error):
    @njit(error_model="numpy")
    def run(x):
        out = np.empty_like(x)
        for i in range(x.size):
            out[i] = units.exp(x[i])
        return out

    x = np.linspace(-20, 20, 10001).astype(dtype)
    exact = np.exp(x.astype(np.float64))
    assert np.abs(run(x) / exact - 1).max() < 20 * error
    near = np.abs(x) < 1
    assert np.abs(run(x)[near] / exact[near] - 1).max() < error
    assert np.isfinite(run(np.array([-1e30, 1e30, np.inf, -np.inf], dtype))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("n_lanes", [1, 10, 16, 40, 72, 100, 128, 500])
def test_edge_path_is_dense_path(dtype, density, n_lanes):
    """Fields both ways and the gradient step, for all numbers of vectors a row."""
    rng = np.random.default_rng(n_lanes)
    mask = rng.uniform(size=(30, 41)) < density
    mask[3, 5] = True
    weights = rng.normal(size=mask.shape).astype(dtype) * mask
    connections = Connections.from_mask(mask)
    tolerance = 2e-4 if dtype == np.float32 else 1e-12
    lower = inference.states_array(41, n_lanes, dtype)
    upper = inference.states_array(30, n_lanes, dtype)
    lower[:, :n_lanes] = rng.uniform(size=(41, n_lanes))
    upper[:, :n_lanes] = rng.uniform(size=(30, n_lanes))
    for use_edges in (True, False):
        level = make_kernel_level(weights[mask], connections, use_edges)
        assert (level.values.size > 0) == use_edges
        stack = Stack((level,), (np.zeros(41, dtype), np.zeros(30, dtype)), all_binary(2))
        out = np.zeros_like(upper)
        unpacked = inference.unpacked(stack)
        field_kernels.fields(stack, 1, (lower, upper), unpacked, out)
        np.testing.assert_allclose(out, weights @ lower, atol=tolerance)
        out = np.zeros_like(lower)
        field_kernels.fields(stack, 0, (lower, upper), unpacked, out)
        np.testing.assert_allclose(out, weights.T @ upper, atol=tolerance)


@looks_up
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("n_lanes", [33, 64, 72, 100, 128, 500])
def test_table_look_up_is_edge_path(density, n_lanes):
    """Fields of 0/1 states both ways, drawn states packed as they are, for all numbers of vectors."""
    rng = np.random.default_rng(n_lanes)
    mask = rng.uniform(size=(30, 41)) < density
    mask[3, 5] = True
    weights = rng.normal(size=mask.shape).astype(np.float32)[mask]
    level = make_kernel_level(weights, Connections.from_mask(mask), True)
    biases = tuple(rng.normal(size=n).astype("f4") for n in (41, 30))
    stack = Stack((level,), biases, all_binary(2))
    states = inference.new_states(stack, n_lanes)
    states[0][:, :n_lanes] = rng.integers(0, 2, (41, n_lanes))
    packed = inference.new_packed(stack, n_lanes, [0, 1])
    assert packed[0].size
    assert packed[1].size
    packing.pack_states(states[0], packed[0])
    by_table, by_edges = np.zeros_like(states[1]), np.zeros_like(states[1])
    field_kernels.fields(stack, 1, states, packed, by_table)
    field_kernels.fields(stack, 1, states, inference.unpacked(stack), by_edges)
    np.testing.assert_allclose(by_table, by_edges, atol=2e-5)
    for layer in (1, 0):
        key = np.uint64(5)
        chains = Chains(states, packed, n_lanes, 7)
        field_kernels.update_layer(stack, layer, chains, True, Stream(key, 2))
        again = np.ones_like(packed[layer])
        packing.pack_states(states[layer], again)
        n_words = 16 * -(-states[layer].shape[1] // 64)
        np.testing.assert_array_equal(packed[layer][:, :n_words], again[:, :n_words])
    by_table, by_edges = np.zeros_like(states[0]), np.zeros_like(states[0])
    field_kernels.fields(stack, 0, states, packed, by_table)
    field_kernels.fields(stack, 0, states, inference.unpacked(stack), by_edges)
    np.testing.assert_allclose(by_table, by_edges, atol=2e-5)


def test_without_table_look_up_the_fit_is_the_same():
    """A processor that numba knows nothing about computes the same machine, to rounding."""
    code = (
        "import numpy as np\n"
        "from skprune import PrunedBernoulliRBM\n"
        "from skprune._kernels import simd\n"
        "X = (np.random.default_rng(0).uniform(size=(400, 30)) < 0.3).astype(np.uint8)\n"
        "rbm = PrunedBernoulliRBM(20, batch_size=40, initial_sparsity=0.8, n_iter=1, random_state=0)\n"
        "rbm.fit(X)\n"
        "print(simd.TARGET.packs, *rbm.transform(X[:5]).ravel())\n"
    )

    def run(**environment):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        looks_up, *features = done.stdout.split()
        return looks_up == "True", np.array(features, dtype=float)

    here, features = run()
    there, same = run(NUMBA_CPU_NAME="generic")
    assert here == simd.TARGET.packs
    assert not there
    np.testing.assert_allclose(features, same, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draw_is_uniform_below_mean(dtype):
    stack, weights, biases = random_machine(1, "full", dtype=dtype)
    visible = np.random.default_rng(0).integers(0, 2, (9, 5)).astype(dtype)
    states = inference.load_states(stack, visible, None)
    chains = Chains(states, inference.unpacked(stack), 9, 100)
    field_kernels.update_layer(stack, 1, chains, True, Stream(np.uint64(3), 17))
    field = visible @ weights[0].T + biases[1]
    u = draws(3, 17, 1, (4, 109))[:, 100:].T
    margin = np.abs(1 / (1 + np.exp(-field)) - u) > 1e-5
    expected = (u < 1 / (1 + np.exp(-field))).astype(dtype)
    np.testing.assert_array_equal(inference.to_rows(states[1], 9)[margin], expected[margin])
    assert not states[1][:, 9:].any()


def test_load_dense_and_csr_agree():
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (50, 13)).astype(np.uint8)
    rows = rng.permutation(50)[:21]
    dense = inference.states_array(13, 21, np.float32)
    other = inference.states_array(13, 21, np.float32)
    inference.load(X, rows, dense)
    inference.load(sparse.csr_array(X), rows, other)
    np.testing.assert_array_equal(dense, other)
    np.testing.assert_array_equal(inference.to_rows(dense, 21), X[rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_lanes", [1, 8, 10, 24, 100])
def test_bits_round_trip(dtype, n_lanes):
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (120, 33))
    rows = rng.permutation(120)[:n_lanes]
    states = inference.states_array(33, n_lanes, dtype)
    n_words = -(-states.shape[1] // 16)
    bits, other = np.ones((2, n_words, 33), np.uint16)
    loading.load_bits_dense(X.astype(np.uint8), rows, bits)
    loading.load_bits_csr(inference.csr_rows(sparse.csr_array(X)), rows, other)
    np.testing.assert_array_equal(bits, other)

    @njit
    def unpack(states, bits):
        for i in range(states.shape[0]):
            packing.unpack_row(states, bits, i)

    @njit
    def pack(states, bits):
        for i in range(states.shape[0]):
            packing._pack_row(states, bits, i)

    unpack(states, bits)
    np.testing.assert_array_equal(inference.to_rows(states, n_lanes), X[rows])
    assert not states[:, n_lanes:].any()
    other[:] = 0
    pack(states, other)
    np.testing.assert_array_equal(bits, other)


def test_is_binary():
    X = np.zeros((5, 6), np.float32)
    assert scores.is_binary_dense(X)
    X[4, 5] = 1
    assert scores.is_binary_dense(X)
    X[2, 3] = 0.5
    assert not scores.is_binary_dense(X)
    assert not scores.is_binary_dense(np.full((1, 2), 2, np.uint8))


@pytest.mark.parametrize("settings", executable())
def test_the_instruction_set_follows_the_target(settings):
    """Kernels use what numba compiles for, not what the processor could do."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    environment |= dict(setting.split("=", 1) for setting in settings.split())
    code = "from skprune._kernels import simd; print(simd.TARGET.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    (expected,) = [kind for kind, known in ENVIRONMENTS.items() if known == settings]
    assert done.stdout.strip() == expected.__name__


def test_the_best_instruction_set_is_chosen():
    assert simd.choose_target({"avx2", "fma", "avx512f", "avx512vnni"}) is simd.Avx512
    assert simd.choose_target({"avx2", "fma", "avx512f"}) is simd.Avx2
    assert simd.choose_target({"neon"}) is simd.PlainVectors
