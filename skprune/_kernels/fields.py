"""Inputs of layers from their neighbours, and updates of whole layers.

The input (or field) of a unit is its bias plus the weighted sum of the states of its neighbours.
"""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .compile import inlined, kernel, kernel_with_arrays, part
from .dense import add_dense
from .draws import row_key
from .edges import add_edges
from .normal import to_linear, to_normal
from .packing import NO_BITS, NO_PACKED, add_edges_by_table
from .records import BINARY, GAUSSIAN, SOFTMAX, Neighbour, Stretch
from .team import stopped
from .units import exp, to_draw, to_mean

EDGE_BLOCK = 16  # upper units per block on pruned levels


@part
def reads_matrix(level):
    """Return whether a level is computed from its matrix, not from its connections."""
    return level.weights.shape[0] > 0


@part
def add_from_below(level, below, out, start, stop, blas):
    """Add ``weights[start:stop] @ below`` to rows start..stop of ``out``.

    A full level is multiplied by the BLAS at address ``blas``. If ``blas`` is None, it is
    multiplied by sums whose order does not depend on the number of lanes.
    """
    lower, stride = below.states, out.shape[1]
    if reads_matrix(level):
        n_lower = level.weights.shape[1]
        one = out.dtype.type(1)
        if blas is None:
            add_dense(out, start, stop, level.weights, False, lower)
            return
        gemm(
            blas, False, False, stride, stop - start, n_lower, one, lower, 0, stride,
            level.weights, start * n_lower, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
        return
    indptr, indices, values = level.edges.indptr, level.edges.indices, level.values
    for i in range(start, stop):
        stretch = Stretch(indices, indptr[i], indptr[i + 1] - indptr[i])
        if below.packed.shape[0] > 0:
            add_edges_by_table(out, i, below, stretch, values, None, blas)
        else:
            add_edges(out, i, lower, stretch, values, None)


@part
def add_from_above(level, above, out, start, stop, blas):
    """Add ``weights[:, start:stop].T @ above`` to rows start..stop of ``out``."""
    upper, stride = above.states, out.shape[1]
    if reads_matrix(level):
        n_upper, n_lower = level.weights.shape
        one = out.dtype.type(1)
        if blas is None:
            add_dense(out, start, stop, level.weights, True, upper)
            return
        gemm(
            blas, False, True, stride, stop - start, n_upper, one, upper, 0, stride,
            level.weights, start, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
        return
    indptr, indices = level.edges.down_indptr, level.edges.down_indices
    order, values = level.edges.down_order, level.values
    for j in range(start, stop):
        stretch = Stretch(indices, indptr[j], indptr[j + 1] - indptr[j])
        if above.packed.shape[0] > 0:
            add_edges_by_table(out, j, above, stretch, values, order, blas)
        else:
            add_edges(out, j, upper, stretch, values, order)


@part
def field_rows(stack, layer, below, above, out, start, stop, blas):
    """Compute rows start..stop of a layer's input from both neighbours, without its bias.

    ``below`` and ``above`` are :class:`~.records.Neighbour` records.
    """
    out[start:stop] = 0
    if layer > 0:
        add_from_below(stack.levels[layer - 1], below, out, start, stop, blas)
    if layer < len(stack.levels):
        add_from_above(stack.levels[layer], above, out, start, stop, blas)


@kernel
def block_rows(stack, layer):
    """Return the number of units per block of a layer, which does not depend on the threads."""
    n_units = stack.biases[layer].size
    dense = False
    if layer > 0:
        dense = reads_matrix(stack.levels[layer - 1])
    if layer < len(stack.levels):
        dense = dense or reads_matrix(stack.levels[layer])
    if not dense:
        return EDGE_BLOCK
    n_blocks = 4 * ((n_units + 511) // 512)
    return (n_units + n_blocks - 1) // n_blocks


@kernel
def descent_rows(stack, layer):
    """Return the number of units per block of a layer for gradients, at least ``EDGE_BLOCK``.

    BLAS packs the layer below once per block, so few units form a single block.
    """
    return max(block_rows(stack, layer), EDGE_BLOCK)


@inlined
def layers_beside(stack, layer, states, packed):
    """Return the neighbours below and above a layer for ``field_rows``, without offsets."""
    below = layer - 1 if layer > 0 else layer
    above = layer + 1 if layer < len(stack.levels) else layer
    return (
        Neighbour(states[below], packed[below], stack.biases[below], -1),
        Neighbour(states[above], packed[above], stack.biases[above], -1),
    )


@kernel
def fields(stack, layer, states, packed, out):
    """Compute the input of a whole layer, bias included, given its neighbours' states."""
    n_units = stack.biases[layer].size
    below, above = layers_beside(stack, layer, states, packed)
    field_rows(stack, layer, below, above, out, 0, n_units, None)
    for i in range(n_units):
        bias = stack.biases[layer][i]
        for lane in range(out.shape[1]):
            out[i, lane] += bias


@kernel
def update_layer(stack, layer, chains, sample, stream):
    """Replace a layer's states by its activation probabilities, or by draws from them."""
    states, packed, n_lanes, lane_0 = chains
    out, own_packed = states[layer], packed[layer]
    below, above = layers_beside(stack, layer, states, packed)
    n_units = stack.biases[layer].size
    one = out.dtype.type(1)
    block = block_rows(stack, layer)
    for start in range(0, n_units, block):
        stop = min(start + block, n_units)
        field_rows(stack, layer, below, above, out, start, stop, None)
        for i in range(start, stop):
            bias = stack.biases[layer][i]
            row = row_key(stream, layer, i)
            if stack.unit_types[layer] == GAUSSIAN:
                if sample:
                    to_normal(out, i, bias, one, one, n_lanes, row, lane_0)
                else:
                    to_linear(out, i, bias, n_lanes)
            elif sample:
                to_draw(out, i, bias, one, n_lanes, row, lane_0, NO_BITS, own_packed)
            else:
                to_mean(out, i, bias, one, n_lanes)


@kernel
def hidden_means(stack, states, packed, n_lanes):
    """Set the means of the first hidden layer of a machine that has no other.

    It is :func:`update_layer` without what a prediction does not need, so that it compiles faster.
    """
    below = Neighbour(states[0], packed[0], stack.biases[0], -1)
    out, biases = states[1], stack.biases[1]
    one = out.dtype.type(1)
    block = block_rows(stack, 1)
    for start in range(0, biases.size, block):
        stop = min(start + block, biases.size)
        out[start:stop] = 0
        add_from_below(stack.levels[0], below, out, start, stop, None)
        for i in range(start, stop):
            to_mean(out, i, biases[i], one, n_lanes)


@kernel_with_arrays
def mean_field(stack, states, packed, tolerance, max_updates, n_lanes, barrier):
    """Update the mean-field means of the hidden layers; return the number of updates per lane.

    A lane stops when none of its units moves by more than ``tolerance``. Lanes stop independently,
    so the result of a sample does not depend on its batch. With one hidden layer the first update
    is exact.
    """
    used = np.zeros(n_lanes, dtype=np.int64)
    change = np.zeros(states[0].shape[1], dtype=states[0].dtype)
    active = np.ones(states[0].shape[1], dtype=np.bool_)
    n_layers = len(states)
    fresh = np.zeros_like(states[0])
    bottom = np.zeros((stack.biases[1].size, states[0].shape[1]), dtype=states[0].dtype)
    visible, _upper = layers_beside(stack, 1, states, packed)
    add_from_below(stack.levels[0], visible, bottom, 0, bottom.shape[0], None)  # constant
    for _ in range(max_updates):
        if stopped(barrier):
            break
        change[:] = 0
        for layer in range(1, n_layers):
            n_units = stack.biases[layer].size
            if fresh.shape[0] < n_units:
                fresh = np.zeros((n_units, states[0].shape[1]), dtype=states[0].dtype)
            old = states[layer]
            below, above = layers_beside(stack, layer, states, packed)
            if layer == 1:
                fresh[:n_units] = bottom
                if n_layers > 2:
                    add_from_above(stack.levels[1], above, fresh, 0, n_units, None)
            else:
                field_rows(stack, layer, below, above, fresh, 0, n_units, None)
            one = old.dtype.type(1)
            for i in range(n_units):
                to_mean(fresh, i, stack.biases[layer][i], one, n_lanes)
                for lane in range(n_lanes):
                    if active[lane]:
                        change[lane] = max(change[lane], abs(fresh[i, lane] - old[i, lane]))
                        old[i, lane] = fresh[i, lane]
        going = False
        for lane in range(n_lanes):
            if active[lane]:
                used[lane] += 1
                active[lane] = n_layers > 2 and change[lane] > tolerance
                going = going or active[lane]
        if not going:
            break
    return used


EVEN, ODD = np.int64(0), np.int64(1)


@part
def activate_rows(stack, layer, states, start, stop, n_lanes, blas):
    """Compute rows start..stop of a layer from the layer below; the caller applies softmax."""
    out, biases = states[layer], stack.biases[layer]
    below = Neighbour(states[layer - 1], NO_PACKED, biases, -1)
    out[start:stop] = 0
    add_from_below(stack.levels[layer - 1], below, out, start, stop, blas)
    one = out.dtype.type(1)
    for i in range(start, stop):
        if stack.unit_types[layer] == BINARY:
            to_mean(out, i, biases[i], one, n_lanes)
        else:
            for lane in range(n_lanes):
                out[i, lane] += biases[i]


@part
def softmax(out, n_lanes):
    """Replace inputs by probabilities that sum to 1 over the units of each lane."""
    for lane in range(n_lanes):
        top = out[0, lane]
        for i in range(out.shape[0]):
            top = max(top, out[i, lane])
        total = out.dtype.type(0)
        for i in range(out.shape[0]):
            out[i, lane] = exp(out[i, lane] - top)
            total += out[i, lane]
        for i in range(out.shape[0]):
            out[i, lane] /= total


@kernel
def feed_forward(stack, states, n_lanes):
    """Compute each layer above the first from the layer below it."""
    for layer in range(1, len(stack.biases)):
        n_units = stack.biases[layer].size
        activate_rows(stack, layer, states, 0, n_units, n_lanes, None)
        if stack.unit_types[layer] == SOFTMAX:
            softmax(states[layer], n_lanes)
