"""Energy, free energy, fields, mean field and Gibbs sweeps of a stack of any depth."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from .._kernels import chains as chain_kernels
from .._kernels import fields as field_kernels
from .._kernels import loading, packing, scores, simd
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
    start = -raw.__array_interface__["data"][0] % simd.VECTOR_BYTES
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


ROW_LANES = 64


def states_array(n_units, n_samples, dtype) -> np.ndarray:
    """Return zeroed unit-major states, aligned to vectors."""
    return aligned_zeros((n_units, lanes(n_samples, dtype)), dtype)


def new_states(stack: Stack, n_samples) -> tuple:
    """Return zeroed states of every layer."""
    return tuple(states_array(bias.size, n_samples, bias.dtype) for bias in stack.biases)


def row_states(stack: Stack, n_rows) -> tuple:
    """Return zeroed states for rows of data.

    With ``ROW_LANES`` lanes edge kernels add up each lane in the order of the connections, which
    they do not with fewer. So a row never depends on the rows beside it.
    """
    if any(reads_edges(level) for level in stack.levels):
        n_rows = ROW_LANES * -(-n_rows // ROW_LANES)
    return new_states(stack, n_rows)


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
        result.append(aligned_zeros((bias.size, words), np.uint32) if packs else packing.NO_PACKED)
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


def load(X, rows, out) -> None:
    """Copy rows of dense or CSR data into unit-major states."""
    if sparse.issparse(X):
        loading.load_csr(X.data, X.indices, X.indptr, rows, out)
    else:
        loading.load_dense(X, rows, out)


def looks_up(stack: Stack) -> bool:
    """Return whether the first level looks 0/1 rows of data up in tables."""
    return reads_packed(stack.biases[0].dtype, TABLE_SAMPLES) and reads_edges(stack.levels[0])


def row_blocks(stack: Stack, X, team, size=BLOCK) -> list:
    """Return (row numbers, whether they are looked up) of blocks that are computed together.

    Where the first level looks 0/1 rows up in tables, rows with other values are in blocks of
    their own: how a row is computed depends on that row alone.
    """
    parts = blocks(X.shape[0], size)
    if not looks_up(stack):
        return [(np.arange(part.start, part.stop), False) for part in parts]
    binary = np.concatenate(team.map(lambda part: binary_rows(X[part]), parts))
    return [
        (numbers[part], looked_up)
        for numbers, looked_up in ((np.flatnonzero(binary), True), (np.flatnonzero(~binary), False))
        for part in blocks(numbers.size, size)
    ]


def binary_rows(X) -> np.ndarray:
    """Return which rows of dense or CSR data hold 0 and 1 alone."""
    result = np.empty(X.shape[0], bool)
    if sparse.issparse(X):
        scores.binary_rows_csr(X.data, X.indptr, result)
    else:
        scores.binary_rows(X, result)
    return result


def load_visible(stack: Stack, X, rows, looked_up) -> tuple:
    """Load a block of rows; return states and packed states of every layer.

    Rows that are looked up are loaded as bits. Their visible states stay zero, because the first
    level reads packed states.
    """
    states = row_states(stack, rows.size)
    if not looked_up:
        load(X, rows, states[0])
        return states, unpacked(stack)
    packed = new_packed(stack, max(rows.size, TABLE_SAMPLES), [0])
    bits = np.empty((-(-states[0].shape[1] // 16), X.shape[1]), np.uint16)
    if sparse.issparse(X):
        loading.load_bits_csr(X.data, X.indices, X.indptr, rows, bits)
    else:
        loading.load_bits_dense(X, rows, bits)
    packing.pack_bits(bits, packed[0])
    return states, packed


def is_consecutive(rows) -> bool:
    """Return whether row numbers, which ascend, follow one another."""
    return rows[-1] - rows[0] == rows.size - 1


def take_rows(X, rows):
    """Return some rows of an array: a view where they are consecutive."""
    return X[rows[0] : rows[-1] + 1] if is_consecutive(rows) else X[rows]


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
    states = row_states(stack, n_samples)
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
    for number, bias in enumerate(stack.biases):
        total -= row_products(layers[number], bias)
        if number:
            only = tuple(s if k == number - 1 else np.zeros_like(s) for k, s in enumerate(states))
            field = np.zeros_like(states[number])
            field_kernels.fields(stack, number, only, unpacked(stack), field)
            below = (to_rows(field, n_samples) - bias).astype(np.float64)
            upper, products = np.array(layers[number], np.float64), np.zeros(n_samples)
            scores.add_row_pair_products(below, upper, products)
            total -= products
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
            field_kernels.fields(stack, layer, states, packed, states[layer])
    for layer, bias in enumerate(stack.biases):
        if layer % 2 == summed:
            scores.add_softplus(states[layer], total)
        else:
            scores.add_products(states[layer], bias.astype(np.float64), total)
    return -total


def free_energy(stack: Stack, X, team) -> np.ndarray:
    """Return F(v) in nats of an RBM for every row of the data.

    .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})
    """
    return free_energies([stack], X, team)[:, 0]


def free_energies(stacks, X, team) -> np.ndarray:
    """Return F(v) in nats of RBMs that differ in their hidden biases alone, one column each."""
    stack = stacks[0]
    below, above = stack.biases
    base = Stack(stack.levels, (below, np.zeros_like(above)))
    result = np.empty((X.shape[0], len(stacks)))

    def one_block(block):
        rows, looked_up = block
        states, packed = load_visible(base, X, rows, looked_up)
        field_kernels.fields(base, 1, states, packed, states[1])
        totals = np.zeros((len(stacks), rows.size))
        for own, total in zip(stacks, totals, strict=True):
            scores.add_softplus(states[1] + own.biases[1][:, None], total)
        result[rows] = -totals.T - row_products(take_rows(X, rows), below)[:, None]

    team.map(one_block, row_blocks(base, X, team))
    return result


def row_products(X, vector) -> np.ndarray:
    """Return the product of every row with a vector in float64.

    A row is summed by itself, and in the same order for dense and CSR data.
    """
    vector, result = vector.astype(np.float64), np.zeros(X.shape[0])
    for block in blocks(X.shape[0]):
        scores.add_row_products(rows_of(X, block, np.float64), vector, result[block])
    return result


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
    field_kernels.update_layer(stack, layer, states, unpacked(stack), False, n_samples, 0, key, 0)
    return to_rows(states[layer], n_samples)


def mean_field(stack: Stack, X, team, tolerance=1e-6, max_updates=100, block=BLOCK) -> list:
    """Return the mean-field means of every hidden layer given the visible units.

    With one hidden layer they are the exact posterior. Deeper, the layers are
    updated in turn from 0.5 until no unit of a row moves by more than
    ``tolerance``; rows stop one by one. ``block`` rows are computed at a time.
    """
    result = [np.empty((X.shape[0], bias.size), bias.dtype) for bias in stack.biases[1:]]

    def one_block(block_of_rows):
        rows, looked_up = block_of_rows
        states, packed = load_visible(stack, X, rows, looked_up)
        if len(result) == 1:
            key = np.uint64(0)
            field_kernels.update_layer(stack, 1, states, packed, False, rows.size, 0, key, 0)
        else:
            for layer in states[1:]:
                layer[:, : rows.size] = 0.5
            field_kernels.mean_field(stack, states, packed, tolerance, max_updates, rows.size)
        for layer, out in zip(states[1:], result, strict=True):
            if is_consecutive(rows):
                loading.store_rows(layer, take_rows(out, rows))
            else:
                out[rows] = to_rows(layer, rows.size)

    team.map(one_block, row_blocks(stack, X, team, block))
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
        if clamped is None and all(is_binary(layer[block]) for layer in even):
            packed = new_packed(stack, rows.size, range(len(states)))
            for source, target in zip(lanes_of_block, packed, strict=True):
                packing.pack_states(source, target)
        if clamped is not None:
            held = states_array(stack.biases[0].size, rows.size, stack.biases[0].dtype)
            load(clamped, rows, held)
        chain_kernels.gibbs_sweeps(
            stack, lanes_of_block, packed, held, n_sweeps, rows.size, block.start, key, first_step,
        )  # fmt: skip
        for source, out in zip(lanes_of_block, result, strict=True):
            loading.store_rows(source, out[block])

    team.map(one_block, blocks(n_samples))
    return result
