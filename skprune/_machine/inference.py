"""Energy, free energy, fields, mean field and Gibbs sweeps of a stack of any depth."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from .._kernels import blas, loading, packing, scores, simd
from .._kernels import chains as chain_kernels
from .._kernels import fields as field_kernels
from .._kernels.records import Stack
from .._support.threads import BLOCK, blocks
from .levels import Connections, reads_edges

# Samples from which table look-up beats sums of products on edges (docs/design_notes.md).
TABLE_SAMPLES = 32


def lanes(n_samples, dtype) -> int:
    """Return the number of lanes, whole vectors, for this many samples."""
    per_vector = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    return max(1, -(-n_samples // per_vector)) * per_vector


def aligned_zeros(shape, dtype) -> np.ndarray:
    """Return zeros whose first number lies at the start of a vector."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + simd.VECTOR_BYTES, np.uint8)
    start = -raw.ctypes.data % simd.VECTOR_BYTES
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def states_array(n_units, n_samples, dtype) -> np.ndarray:
    """Return zeroed unit-major states, aligned to vectors."""
    return aligned_zeros((n_units, lanes(n_samples, dtype)), dtype)


def new_states(stack: Stack, n_samples) -> tuple:
    """Return zeroed states of every layer."""
    return tuple(states_array(bias.size, n_samples, bias.dtype) for bias in stack.biases)


def reads_packed(dtype, n_samples) -> bool:
    """Whether pruned levels read packed states: for float32, on a machine that can look up."""
    return simd.TARGET.packs and np.dtype(dtype) == np.float32 and n_samples >= TABLE_SAMPLES


def new_packed(stack: Stack, n_samples, layers) -> tuple:
    """Return zeroed packed states of these layers where table look-up reads them.

    Of the other layers, on a machine that cannot look up, in float64 and with
    few samples, they are empty, and kernels read the states instead.
    """
    usable = reads_packed(stack.biases[0].dtype, n_samples)
    words = 16 * -(-n_samples // simd.WORD_LANES)
    result = []
    for layer, bias in enumerate(stack.biases):
        adjacent = stack.levels[max(0, layer - 1) : layer + 1]
        packs = usable and layer in layers and any(reads_edges(level) for level in adjacent)
        shape = (bias.size, words) if packs else (0, 0)
        result.append(aligned_zeros(shape, np.uint32))
    return tuple(result)


def unpacked(stack: Stack) -> tuple:
    """Return empty packed states of every layer: kernels read the states."""
    return new_packed(stack, 1, [])


def is_binary(X) -> bool:
    """Return whether dense or CSR data hold 0 and 1 alone."""
    return bool(scores.is_binary_dense(X.data[None] if sparse.issparse(X) else X))


def pair_counts(connections: Connections, lower, upper) -> np.ndarray:
    """Count the samples in which both ends of each connection are on.

    Samples are packed 64 to a word, so a word of a connection costs one AND
    and one population count.

    Parameters
    ----------
    connections : Connections
    lower, upper : ndarray of 0/1 of shape (n_samples, n_units)

    Returns
    -------
    counts : ndarray of int64 of shape (n_connections,)
    """

    def words(states):
        bits = np.packbits(np.asarray(states, dtype=bool).T, axis=1)
        padded = np.zeros((bits.shape[0], -(-bits.shape[1] // 8) * 8), np.uint8)
        padded[:, : bits.shape[1]] = bits
        return padded.view(np.uint64)

    counts = np.zeros(connections.indices.size, np.int64)
    scores.count_pairs(words(upper), words(lower), connections.indptr, connections.indices, counts)
    return counts


def blas_address(stack: Stack) -> int:
    """Return the address of BLAS, the last argument of serial kernels."""
    return blas.BLAS_ADDRESS[stack.biases[0].dtype]


def load(X, rows, out) -> None:
    """Copy rows of dense or CSR data into unit-major states."""
    if sparse.issparse(X):
        loading.load_csr(X.data, X.indices, X.indptr, rows, out)
    else:
        loading.load_dense(X, rows, out)


def load_visible(stack: Stack, X, block) -> tuple:
    """Load consecutive rows; return states and packed states of every layer.

    Rows of 0 and 1 go by way of bits. Where all levels read packed states the
    visible states stay zero.
    """
    rows = np.arange(block.start, block.stop)
    part = X[block]
    packed = new_packed(stack, rows.size, [0])
    states = new_states(stack, rows.size)
    if not scores.is_binary_dense(part.data[None] if sparse.issparse(part) else part):
        load(X, rows, states[0])
        return states, unpacked(stack)
    bits = np.empty((-(-states[0].shape[1] // 16), X.shape[1]), np.uint16)
    if sparse.issparse(X):
        loading.load_bits_csr(X.data, X.indices, X.indptr, rows, bits)
    else:
        loading.load_bits_dense(X, rows, bits)
    packing.pack_bits(bits, packed[0])
    if not packed[0].size:
        packing.unpack(bits, states[0])
    return states, packed


def rows_of(X, block, dtype) -> np.ndarray:
    """Return consecutive rows of dense or CSR data as a contiguous array of this type."""
    part = X[block].toarray() if sparse.issparse(X) else X[block]
    return np.ascontiguousarray(part, dtype=dtype)


def column_means(X) -> np.ndarray:
    """Return the mean of every feature in float64, the same bits for dense and CSR data."""
    total = np.zeros(X.shape[1])
    for block in blocks(X.shape[0]):
        rows = np.arange(block.start, block.stop)
        states = states_array(X.shape[1], rows.size, np.float64)
        load(X, rows, states)
        total += states.sum(axis=1)
    return total / X.shape[0]


def to_rows(states, n_samples) -> np.ndarray:
    """Return unit-major states as sample-major rows."""
    rows = np.empty((n_samples, states.shape[0]), states.dtype)
    loading.store_rows(states, rows)
    return rows


def load_states(stack: Stack, *layers) -> tuple:
    """Return states filled from sample-major arrays, one a layer; None leaves zeros."""
    n_samples = next(layer.shape[0] for layer in layers if layer is not None)
    states = new_states(stack, n_samples)
    rows = np.arange(n_samples)
    for layer, target in zip(layers, states, strict=True):
        if layer is not None:
            load(np.ascontiguousarray(layer), rows, target)
    return states


def energy(stack: Stack, *layers) -> np.ndarray:
    """Return E of joint states, eq. 1 of the pruning paper, for any depth.

    .. math:: E(s) = -\\sum_l b_l^T s_l - \\sum_l s_{l+1}^T W_l s_l

    Parameters
    ----------
    stack : Stack
    *layers : ndarray of shape (n_samples, n_units of the layer)
        All layers, bottom first.

    Returns
    -------
    energy : ndarray of float64 of shape (n_samples,)
    """
    n_samples = layers[0].shape[0]
    total = np.zeros(n_samples)
    states = load_states(stack, *layers)
    blas = blas_address(stack)
    for number, bias in enumerate(stack.biases):
        total -= np.asarray(layers[number], np.float64) @ bias.astype(np.float64)
        if number:
            only = tuple(s if k == number - 1 else np.zeros_like(s) for k, s in enumerate(states))
            field = np.zeros_like(states[number])
            field_kernels.fields(stack, number, only, unpacked(stack), field, blas)
            below = to_rows(field, n_samples) - bias
            total -= np.einsum("ij,ij->i", below.astype(np.float64), layers[number])
    return total


def summed_free_energy(stack: Stack, states, n_samples, summed=1, packed=None) -> np.ndarray:
    """Return −log of the sum of e^−E over the layers of one parity, given the others.

    Layers of equal parity are independent given the rest, so the sum is exact
    at any depth. For an RBM, ``summed=1`` gives the free energy F(v) and
    ``summed=0`` that of the hidden states.

    Parameters
    ----------
    stack : Stack
    states : tuple of ndarray
        Unit-major; the summed layers are overwritten by their inputs.
    n_samples : int
    summed : {0, 1}, default=1
    packed : tuple of ndarray or None
        Of the other layers; None where their states are not packed.
    """
    total = np.zeros(n_samples)
    packed = unpacked(stack) if packed is None else packed
    for layer in range(len(stack.biases)):
        if layer % 2 == summed:
            field_kernels.fields(stack, layer, states, packed, states[layer], blas_address(stack))
    for layer, bias in enumerate(stack.biases):
        if layer % 2 == summed:
            scores.add_softplus(states[layer], total)
        else:
            total += bias.astype(np.float64) @ states[layer][:, :n_samples]
    return -total


def free_energy(stack: Stack, X, team) -> np.ndarray:
    """Return F(v) in nats of an RBM for every row of the data.

    .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})
    """

    def one_block(block):
        n_rows = block.stop - block.start
        states, packed = load_visible(stack, X, block)
        summed = summed_free_energy(stack, states, n_rows, packed=packed)
        if packed[0].size:
            summed -= X[block] @ stack.biases[0].astype(np.float64)
        return summed

    return np.concatenate(team.map(one_block, blocks(X.shape[0])))


def free_energies(stacks, X, team) -> np.ndarray:
    """Return F(v) in nats of RBMs that differ in their hidden biases alone, one column each."""
    stack = stacks[0]
    below, above = stack.biases
    base = Stack(stack.levels, (below, np.zeros_like(above)))

    def one_block(block):
        states, packed = load_visible(base, X, block)
        field_kernels.fields(base, 1, states, packed, states[1], blas_address(base))
        totals = np.zeros((len(stacks), block.stop - block.start))
        for own, total in zip(stacks, totals, strict=True):
            scores.add_softplus(states[1] + own.biases[1][:, None], total)
        return -totals.T - (X[block] @ below.astype(np.float64))[:, None]

    return np.concatenate(team.map(one_block, blocks(X.shape[0])))


def conditional_means(stack: Stack, layer, *layers) -> np.ndarray:
    """Return p(unit = 1 | neighbouring layers) of one layer.

    Parameters
    ----------
    stack : Stack
    layer : int
        The layer asked for, 0 being the visible one.
    *layers : ndarray of shape (n_samples, n_units) or None
        One a layer; only the neighbours of ``layer`` are read.
    """
    n_samples = next(x.shape[0] for x in layers if x is not None)
    states = load_states(stack, *layers)
    key = np.uint64(0)
    field_kernels.update_layer(
        stack, layer, states, unpacked(stack), False, n_samples, 0, key, 0, blas_address(stack)
    )
    return to_rows(states[layer], n_samples)


def mean_field(
    stack: Stack, X, team, tolerance=1e-6, max_updates=100, block=BLOCK, alike=True
) -> list:
    """Return the mean-field means of every hidden layer given the visible units.

    With one hidden layer they are the exact posterior. Deeper, the layers are
    updated in turn from 0.5 until no unit of a row moves by more than
    ``tolerance``; rows stop one by one. ``block`` rows are computed at a time.

    Last bits decide when a row stops, so those of a deep machine are ``alike``
    whatever its company: by sums in one order. Not alike, they may be looked up.
    """
    result = [np.empty((X.shape[0], bias.size), bias.dtype) for bias in stack.biases[1:]]

    level = stack.levels[0]

    def one_block(part):
        if len(result) == 1 and not reads_edges(level):
            dtype = stack.biases[0].dtype
            rows = rows_of(X, part, dtype)
            out, blas = result[0][part], blas_address(stack)
            field_kernels.means_of_rows(rows, level.weights, stack.biases[1], out, blas)
            return
        n_rows = part.stop - part.start
        if alike and len(result) > 1:
            # So many lanes are summed connection by connection; fewer by fours.
            states, packed = new_states(stack, 64 * -(-n_rows // 64)), unpacked(stack)
            load(X, np.arange(part.start, part.stop), states[0])
        else:
            states, packed = load_visible(stack, X, part)
        if len(result) == 1:
            key = np.uint64(0)
            field_kernels.update_layer(
                stack, 1, states, packed, False, n_rows, 0, key, 0, blas_address(stack)
            )
        else:
            for layer in states[1:]:
                layer[:, :n_rows] = 0.5
            field_kernels.mean_field(
                stack, states, packed, tolerance, max_updates, n_rows, blas_address(stack)
            )
        for layer, out in zip(states[1:], result, strict=True):
            loading.store_rows(layer, out[part])

    team.map(one_block, blocks(X.shape[0], block))
    return result


def gibbs(stack: Stack, states, n_sweeps, n_samples, key, team, first_step=0, clamped=None) -> list:
    """Advance chains by whole Gibbs sweeps and return every layer, sample-major.

    A sweep draws the odd layers given the even ones, then the even ones.

    Parameters
    ----------
    stack : Stack
    states : list of ndarray of shape (n_samples, n_units)
        Where the chains stand; only the even layers matter.
    n_sweeps, n_samples : int
    key : numpy.uint64
        With ``first_step`` decides every draw.
    team : Team
    first_step : int
    clamped : ndarray of shape (n_samples, n_visible) or None
        Visible states that stay; NaN where a unit is free.
    """
    result = [np.empty((n_samples, bias.size), bias.dtype) for bias in stack.biases]

    def one_block(block):
        rows = np.arange(block.start, block.stop)
        lanes_of_block = new_states(stack, rows.size)
        for source, target in zip(states, lanes_of_block, strict=True):
            load(source, rows, target)
        held = np.empty((0, 0), stack.biases[0].dtype)
        packed = unpacked(stack)
        even = states[0::2]
        if clamped is None and all(scores.is_binary_dense(layer[block]) for layer in even):
            packed = new_packed(stack, rows.size, range(len(states)))
            for source, target in zip(lanes_of_block, packed, strict=True):
                packing.pack_states(source, target)
        if clamped is not None:
            held = states_array(stack.biases[0].size, rows.size, stack.biases[0].dtype)
            load(clamped, rows, held)
        chain_kernels.gibbs_sweeps(
            stack, lanes_of_block, packed, held, n_sweeps, rows.size, block.start, key, first_step,
            blas_address(stack),
        )  # fmt: skip
        for source, out in zip(lanes_of_block, result, strict=True):
            loading.store_rows(source, out[block])

    team.map(one_block, blocks(n_samples))
    return result
