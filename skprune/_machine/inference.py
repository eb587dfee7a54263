"""Energies, conditional means, mean-field inference and Gibbs sampling for stacks of any depth.

Data are sample-major: one row per sample. States are unit-major: one row per unit and one column, a
lane, per sample or chain.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from .._kernels import chains as chain_kernels
from .._kernels import fields as field_kernels
from .._kernels import loading, packing, scores, simd
from .._kernels.records import BINARY, GAUSSIAN, Chains, SparseRows, Stack, Stream
from .._support.threads import BLOCK, blocks
from .levels import Connections, reads_edges

# Number of samples from which table look-up is faster than products (docs/design_notes.md).
TABLE_SAMPLES = 32


def lanes(n_samples, dtype) -> int:
    """Return the number of lanes for this many samples, rounded up to whole vectors."""
    per_vector = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    return max(1, -(-n_samples // per_vector)) * per_vector


def aligned_zeros(shape, dtype) -> np.ndarray:
    """Return an array of zeros that is aligned to vectors."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + simd.VECTOR_BYTES, np.uint8)
    start = -raw.__array_interface__["data"][0] % simd.VECTOR_BYTES
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


ROW_LANES = 64  # number of lanes from which edge kernels sum in a fixed order


def states_array(n_units, n_samples, dtype) -> np.ndarray:
    """Return unit-major states of one layer, all 0 and aligned to vectors."""
    return aligned_zeros((n_units, lanes(n_samples, dtype)), dtype)


def new_states(stack: Stack, n_samples) -> tuple:
    """Return states of each layer, all 0."""
    return tuple(states_array(bias.size, n_samples, bias.dtype) for bias in stack.biases)


def row_states(stack: Stack, n_rows) -> tuple:
    """Return states of each layer, all 0, for rows of data.

    The number of lanes is a multiple of ``ROW_LANES`` if there are edges. Edge kernels then add up
    each lane in the order of the connections, so a row does not depend on the other rows. With
    fewer lanes they use a different order.
    """
    if any(reads_edges(level) for level in stack.levels):
        n_rows = ROW_LANES * -(-n_rows // ROW_LANES)
    return new_states(stack, n_rows)


def reads_packed(dtype, n_samples) -> bool:
    """Return whether pruned levels read packed states.

    They do if the type is float32, the processor supports table look-up and there are enough
    samples.
    """
    return simd.TARGET.packs and np.dtype(dtype) == np.float32 and n_samples >= TABLE_SAMPLES


def new_packed(stack: Stack, n_samples, layers) -> tuple:
    """Return packed states, all 0, of the layers that kernels read by table look-up.

    They are empty for layers that are not in ``layers``, for layers whose units are not binary, for
    layers without an adjacent pruned level, and if :func:`reads_packed` is False. Kernels then read
    the states instead.
    """
    usable = reads_packed(stack.biases[0].dtype, n_samples)
    words = 16 * -(-n_samples // simd.WORD_LANES)
    result = []
    for layer, bias in enumerate(stack.biases):
        adjacent = stack.levels[max(0, layer - 1) : layer + 1]
        packs = usable and layer in layers and any(reads_edges(level) for level in adjacent)
        packs = packs and stack.unit_types[layer] == BINARY
        result.append(aligned_zeros((bias.size, words), np.uint32) if packs else packing.NO_PACKED)
    return tuple(result)


def unpacked(stack: Stack) -> tuple:
    """Return empty packed states of each layer, so that kernels read the states instead."""
    return new_packed(stack, 1, [])


def n_parameters(stack: Stack) -> int:
    """Return the number of weights of a stack that kernels read, an estimate of its work per row."""
    return sum(level.weights.size or level.values.size for level in stack.levels)


AT_ONCE = 2**26  # values that a kernel reads in one call in the main thread, in less than 0.1 s


def is_binary(X) -> bool:
    """Return whether dense or CSR data hold only 0 and 1."""
    if sparse.issparse(X):
        return all(scores.is_binary_dense(X.data[None, part]) for part in blocks(X.nnz, AT_ONCE))
    parts = blocks(X.shape[0], max(1, AT_ONCE // X.shape[1]))
    return all(scores.is_binary_dense(X[part]) for part in parts)


def pair_counts(connections: Connections, lower, upper) -> np.ndarray:
    """Count the samples in which both units of each connection are on.

    A word holds 64 samples, so 64 samples of a connection cost one AND and one population count.

    Parameters
    ----------
    connections : Connections
        Connections of the level.
    lower : ndarray of shape (n_samples, n_lower)
        States of the lower units, 0 or 1.
    upper : ndarray of shape (n_samples, n_upper)
        States of the upper units, 0 or 1.

    Returns
    -------
    counts : ndarray of int64 of shape (n_connections,)
        Number of samples per connection.
    """

    for states, n_units in zip((upper, lower), connections.shape, strict=True):
        if np.shape(states) != (len(lower), n_units):
            raise ValueError(
                f"The states of a layer have shape {np.shape(states)}, but {len(lower)} samples of "
                f"{n_units} units are needed. Pass states of adjacent layers, lower layer first."
            )

    def words(states):
        bits = np.packbits(np.asarray(states, dtype=bool).T, axis=1)
        padded = np.zeros((bits.shape[0], -(-bits.shape[1] // 8) * 8), np.uint8)
        padded[:, : bits.shape[1]] = bits
        return padded.view(np.uint64)

    indptr, indices = connections.indptr, connections.indices
    upper, lower, counts = words(upper), words(lower), np.zeros(indices.size, np.int64)
    per_unit = max(1, lower.shape[1] * indices.size // max(1, len(upper)))
    for part in blocks(len(upper), max(1, AT_ONCE // per_unit)):
        starts = indptr[part.start : part.stop + 1]
        scores.count_pairs(upper[part], lower, starts, indices, counts)
    return counts


def csr_rows(X) -> SparseRows:
    """Return the arrays of CSR data as kernels read them."""
    return SparseRows(X.data, X.indices, X.indptr)


def check_fit(X, rows, n_units, n_lanes) -> None:
    """Raise a ValueError if rows of data do not fit a layer. Kernels do not check it.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Data.
    rows : ndarray of int
        Rows to load.
    n_units : int
        Number of units of the layer, one per feature.
    n_lanes : int
        Number of lanes to load rows into.
    """
    if X.ndim != 2 or X.shape[1] != n_units:
        raise ValueError(
            f"The data have shape {X.shape}, but the layer they are loaded into has {n_units} "
            "units. Pass one column per unit."
        )
    if rows.size > n_lanes or (rows.size and not 0 <= rows.min() <= rows.max() < X.shape[0]):
        raise ValueError(f"{rows.size} rows of {X.shape[0]} do not fit {n_lanes} lanes.")


def load(X, rows, out) -> None:
    """Copy rows of dense or CSR data into unit-major states."""
    check_fit(X, rows, *out.shape)
    if sparse.issparse(X):
        loading.load_csr(csr_rows(X), rows, out)
    else:
        loading.load_dense(X, rows, out)


def has_gaussian_units(stack: Stack) -> bool:
    """Return whether the visible units of a machine are Gaussian."""
    return stack.unit_types[0] == GAUSSIAN


def looks_up(stack: Stack) -> bool:
    """Return whether the first level reads 0/1 rows of data by table look-up."""
    if has_gaussian_units(stack):
        return False
    return reads_packed(stack.biases[0].dtype, TABLE_SAMPLES) and reads_edges(stack.levels[0])


def row_blocks(stack: Stack, X, team, size=BLOCK) -> list:
    """Return pairs (row indices, whether they are looked up), one per block of at most ``size`` rows.

    If the first level reads 0/1 rows by table look-up, rows with other values are put in separate
    blocks. How a row is computed then depends on that row alone.
    """
    parts = blocks(X.shape[0], size)
    if not looks_up(stack):
        return [(np.arange(part.start, part.stop), False) for part in parts]
    n_values = float(X.shape[0]) * X.shape[1]
    binary = np.concatenate(team.map(lambda part: binary_rows(X[part]), parts, n_values))
    return [
        (numbers[part], looked_up)
        for numbers, looked_up in ((np.flatnonzero(binary), True), (np.flatnonzero(~binary), False))
        for part in blocks(numbers.size, size)
    ]


def binary_rows(X) -> np.ndarray:
    """Return which rows of dense or CSR data hold only 0 and 1."""
    result = np.empty(X.shape[0], bool)
    if sparse.issparse(X):
        scores.binary_rows_csr(X.data, X.indptr, result)
    else:
        scores.binary_rows(X, result)
    return result


def load_visible(stack: Stack, X, rows, looked_up) -> tuple:
    """Load a block of rows and return the states and packed states of each layer.

    If the rows are looked up, only the packed visible states are set.
    The visible states themselves stay 0.
    """
    if looked_up and len(stack.levels) == 1:  # a table sums any number of lanes in one order
        states = new_states(stack, rows.size)
    else:
        states = row_states(stack, rows.size)
    if not looked_up:
        load(X, rows, states[0])
        return states, unpacked(stack)
    check_fit(X, rows, *states[0].shape)
    packed = new_packed(stack, max(rows.size, TABLE_SAMPLES), [0])
    bits = np.empty((-(-states[0].shape[1] // 16), X.shape[1]), np.uint16)
    if sparse.issparse(X):
        loading.load_bits_csr(csr_rows(X), rows, bits)
    else:
        loading.load_bits_dense(np.ascontiguousarray(X), rows, bits)
    packing.pack_bits(bits, packed[0])
    return states, packed


def is_consecutive(rows) -> bool:
    """Return whether ascending row indices are consecutive."""
    return rows[-1] - rows[0] == rows.size - 1


def take_rows(X, rows):
    """Return these rows of an array, as a view if they are consecutive."""
    return X[rows[0] : rows[-1] + 1] if is_consecutive(rows) else X[rows]


def rows_of(X, block, dtype) -> np.ndarray:
    """Return consecutive rows of dense or CSR data as a contiguous array of this type."""
    part = X[block].toarray() if sparse.issparse(X) else X[block]
    return np.ascontiguousarray(part, dtype=dtype)


def column_means(X) -> np.ndarray:
    """Return the mean of each feature in float64, bit for bit the same for dense and CSR data."""
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
    """Return states filled from sample-major arrays, one per layer; layers of None stay 0."""
    n_samples = next(layer.shape[0] for layer in layers if layer is not None)
    states = row_states(stack, n_samples)
    rows = np.arange(n_samples)
    for layer, target in zip(layers, states, strict=True):
        if layer is not None:
            load(np.ascontiguousarray(layer), rows, target)
    return states


def energy(stack: Stack, *layers) -> np.ndarray:
    """Return the energy of joint states of all layers.

    .. math:: E(s) = -\\sum_l b_l^T s_l - \\sum_l s_{l+1}^T W_l s_l

    For one hidden layer this is eq. 1 of Zuo et al. (2019). Gaussian visible units add
    :math:`s_0^T s_0 / 2`.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    *layers : ndarray of shape (n_samples, n_units)
        States of all layers, visible layer first.

    Returns
    -------
    energy : ndarray of float64 of shape (n_samples,)
        Energies in nats.
    """
    n_samples = layers[0].shape[0]
    total = np.zeros(n_samples)
    states = load_states(stack, *layers)
    if has_gaussian_units(stack):
        total += half_squares(layers[0])
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


LOG_NORMAL = 0.5 * math.log(2 * math.pi)  # log of the integral of exp(-x^2 / 2)


def summed_free_energy(stack: Stack, states, n_samples, summed=1, packed=None) -> np.ndarray:
    """Return the free energy of the even or odd layers, with the other layers summed out.

    The free energy is −log of the sum of exp(−E) over the states of the layers that are summed
    out. These layers are independent given the others, so the sum is exact at any depth. For an
    RBM, ``summed=1`` gives the free energy F(v) of visible states, and ``summed=0`` that of hidden
    states.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    states : tuple of ndarray of shape (n_units, n_lanes)
        Unit-major states. Those of the summed layers are overwritten by their inputs.
    n_samples : int
        Number of lanes to read.
    summed : {0, 1}, default=1
        Whether to sum out the even layers (0) or the odd layers (1).
    packed : tuple of ndarray, default=None
        Packed states of each layer. If None, states are not packed.

    Returns
    -------
    free_energy : ndarray of float64 of shape (n_samples,)
        Free energies in nats.
    """
    total = np.zeros(n_samples)
    packed = unpacked(stack) if packed is None else packed
    for layer in range(len(stack.biases)):
        if layer % 2 == summed:
            field_kernels.fields(stack, layer, states, packed, states[layer])
    for layer, bias in enumerate(stack.biases):
        gaussian = stack.unit_types[layer] == GAUSSIAN
        if layer % 2 != summed:
            scores.add_products(states[layer], bias.astype(np.float64), total)
            if gaussian:
                scores.add_pair_products(
                    states[layer], states[layer] * bias.dtype.type(-0.5), total
                )
        elif gaussian:
            total += bias.size * LOG_NORMAL
            scores.add_pair_products(states[layer], states[layer] * bias.dtype.type(0.5), total)
        else:
            scores.add_softplus(states[layer], total)
    return -total


def free_energy(stack: Stack, X, team) -> np.ndarray:
    """Return the free energy of an RBM, in nats, for each row of X.

    .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})

    Gaussian visible units add :math:`v^T v / 2`.
    """
    return free_energies([stack], X, team)[:, 0]


def free_energies(stacks, X, team) -> np.ndarray:
    """Return the free energies of RBMs that differ only in their hidden biases, one per column."""
    stack = stacks[0]
    below, above = stack.biases
    base = stack._replace(biases=(below, np.zeros_like(above)))
    result = np.empty((X.shape[0], len(stacks)))

    def one_block(block):
        rows, looked_up = block
        states, packed = load_visible(base, X, rows, looked_up)
        field_kernels.fields(base, 1, states, packed, states[1])
        totals = np.zeros((len(stacks), rows.size))
        for own, total in zip(stacks, totals, strict=True):
            scores.add_softplus(states[1] + own.biases[1][:, None], total)
        result[rows] = -totals.T - row_products(take_rows(X, rows), below)[:, None]
        if has_gaussian_units(base):
            result[rows] += half_squares(take_rows(X, rows))[:, None]

    team.map(one_block, row_blocks(base, X, team))
    return result


def row_products(X, vector) -> np.ndarray:
    """Return the dot product of each row with a vector, in float64.

    The result of a row does not depend on the other rows, and is the same for dense and CSR data.
    """
    if X.shape[1:] != vector.shape:
        raise ValueError(
            f"Rows of {X.shape[1]} values have no product with a vector of {vector.size}. Pass one "
            "column per entry of the vector."
        )
    vector, result = vector.astype(np.float64), np.zeros(X.shape[0])
    for block in blocks(X.shape[0]):
        scores.add_row_products(rows_of(X, block, np.float64), vector, result[block])
    return result


def half_squares(X) -> np.ndarray:
    """Return half the sum of squares of each row of an array, in float64.

    The result of a row does not depend on the other rows.
    """
    result = np.zeros(X.shape[0])
    for block in blocks(X.shape[0]):
        rows = rows_of(X, block, np.float64)
        scores.add_row_pair_products(rows, rows, result[block])
    return result / 2


def conditional_means(stack: Stack, layer, *layers) -> np.ndarray:
    """Return the means of the units of one layer, given the adjacent layers.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    layer : int
        Index of the layer, where 0 is the visible layer.
    *layers : ndarray of shape (n_samples, n_units) or None
        States, one array per layer. Only those of the adjacent layers are read.

    Returns
    -------
    means : ndarray of shape (n_samples, n_units)
        Means of the units of the layer, which are probabilities for binary units.
    """
    n_samples = next(x.shape[0] for x in layers if x is not None)
    states = load_states(stack, *layers)
    rows = Chains(states, unpacked(stack), n_samples, 0)
    field_kernels.update_layer(stack, layer, rows, False, Stream(np.uint64(0), 0))
    return to_rows(states[layer], n_samples)


SHARE_OF_UPDATES = 0.1  # that a deep machine usually needs, for an estimate of the work


def mean_field(stack: Stack, X, team, tolerance=1e-6, max_updates=100, block=BLOCK) -> list:
    """Return the mean-field means of each hidden layer given the visible units.

    With one hidden layer, the means are those of the exact posterior. With more, the layers start
    at 0.5 and are updated in turn. Each row stops when none of its units moves by more than
    ``tolerance``, or after ``max_updates`` updates. At most ``block`` rows are computed at a time.
    """
    result = [np.empty((X.shape[0], bias.size), bias.dtype) for bias in stack.biases[1:]]

    def one_block(block_of_rows):
        rows, looked_up = block_of_rows
        states, packed = load_visible(stack, X, rows, looked_up)
        if len(result) == 1:
            field_kernels.hidden_means(stack, states, packed, rows.size)
        else:
            for layer in states[1:]:
                layer[:, : rows.size] = 0.5
            field_kernels.mean_field(
                stack, states, packed, tolerance, max_updates, rows.size, team.barrier
            )
        for layer, out in zip(states[1:], result, strict=True):
            if is_consecutive(rows):
                loading.store_rows(layer, take_rows(out, rows))
            else:
                out[rows] = to_rows(layer, rows.size)

    n_updates = 1 if len(result) == 1 else SHARE_OF_UPDATES * max_updates
    work = float(X.shape[0]) * n_parameters(stack) * n_updates
    team.map(one_block, row_blocks(stack, X, team, block), work)
    return result


def feed_forward(stack: Stack, X, team) -> np.ndarray:
    """Return the activations of the top layer of a feed-forward network.

    Parameters
    ----------
    stack : Stack
        Weights, biases and unit types of the network. The biases of the input layer are not used.
    X : {ndarray, csr_array} of shape (n_samples, n_inputs)
        Validated activations of the input layer.
    team : Team
        Threads that compute blocks of rows.

    Returns
    -------
    activations : ndarray of shape (n_samples, n_units)
        Activations of the units of the top layer.
    """
    result = np.empty((X.shape[0], stack.biases[-1].size), stack.biases[-1].dtype)

    def one_block(block):
        rows = np.arange(block.start, block.stop)
        states = row_states(stack, rows.size)
        load(X, rows, states[0])
        field_kernels.feed_forward(stack, states, rows.size)
        loading.store_rows(states[-1], result[block])

    team.map(one_block, blocks(X.shape[0]))
    return result


def gibbs(stack: Stack, states, n_sweeps, n_samples, key, team, first_step=0, clamped=None) -> list:
    """Advance chains by whole Gibbs sweeps and return the states of each layer.

    A sweep draws the odd layers given the even ones, then the even layers given the odd ones.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    states : list of ndarray of shape (n_samples, n_units)
        Current states of the chains. Only those of the even layers are used.
    n_sweeps : int
        Number of sweeps.
    n_samples : int
        Number of chains.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the chains.
    first_step : int, default=0
        Index of the first sweep. Random numbers depend on ``key`` and on the index of the sweep.
    clamped : ndarray of shape (n_samples, n_visible), default=None
        Values of visible units that are fixed, and NaN for units that are free. If None, all
        units are free.

    Returns
    -------
    states : list of ndarray of shape (n_samples, n_units)
        One array per layer, visible layer first.
    """
    result = [np.empty((n_samples, bias.size), bias.dtype) for bias in stack.biases]

    def one_block(block):
        rows = np.arange(block.start, block.stop)
        lanes_of_block = new_states(stack, rows.size)
        for source, target in zip(states, lanes_of_block, strict=True):
            load(source, rows, target)
        held = np.empty((0, 0), stack.biases[0].dtype)
        packed = unpacked(stack)
        even = [
            layer
            for layer, unit_type in zip(states[0::2], stack.unit_types[0::2], strict=True)
            if unit_type == BINARY
        ]
        if clamped is None and all(is_binary(layer[block]) for layer in even):
            packed = new_packed(stack, rows.size, range(len(states)))
            for source, target in zip(lanes_of_block, packed, strict=True):
                packing.pack_states(source, target)
        if clamped is not None:
            held = states_array(stack.biases[0].size, rows.size, stack.biases[0].dtype)
            load(clamped, rows, held)
        chains = Chains(lanes_of_block, packed, rows.size, block.start)
        stream = Stream(key, first_step)
        chain_kernels.gibbs_sweeps(stack, chains, held, n_sweeps, stream, team.barrier)
        for source, out in zip(lanes_of_block, result, strict=True):
            loading.store_rows(source, out[block])

    team.map(one_block, blocks(n_samples))
    return result
