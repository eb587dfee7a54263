"""Gradient steps of backpropagation, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .compile import called, kernel, part
from .draws import row_key, uniform
from .edges import add_edge_products
from .fields import (
    LINEAR,
    LOGISTIC,
    SOFTMAX,
    activate_rows,
    add_from_above,
    block_rows,
    descent_rows,
    reads_matrix,
    softmax,
)
from .packing import NO_PACKED
from .records import Neighbour, Stream
from .team import meet
from .units import bound_norm, row_sum

NETWORK_DROPOUT = 2000  # added to the layer in the keys of dropout


@part
def _drop_rows(out, layer, start, stop, n_lanes, dropout, key, step):
    """Set a share ``dropout`` of the units to 0, drawn per lane, and scale the others up."""
    gain = out.dtype.type(1) / (out.dtype.type(1) - dropout)
    for i in range(start, stop):
        row = row_key(Stream(key, step), NETWORK_DROPOUT + layer, i)
        for lane in range(n_lanes):
            if uniform(row, np.uint32(lane)) < dropout:
                out[i, lane] = 0
            else:
                out[i, lane] *= gain


@part
def _backward_rows(stack, layer, states, deltas, kind, start, stop, n_lanes, dropout, blas):
    """Compute rows start..stop of the error at a layer's input, from the layer above."""
    out, values = deltas[layer], states[layer]
    above = Neighbour(deltas[layer + 1], NO_PACKED, stack.biases[layer], -1)
    out[start:stop] = 0
    add_from_above(stack.levels[layer], above, out, start, stop, blas)
    if kind == LOGISTIC:
        one = out.dtype.type(1)
        stays = one - dropout
        for i in range(start, stop):
            for lane in range(n_lanes):
                value = values[i, lane]
                out[i, lane] *= value * (one - stays * value)


@part
def _descend(all_weights, first, count, gradient, all_first, all_second, rate, options):
    """Step ``all_weights[first:first + count]`` against the gradient.

    The step is Adam (Kingma & Ba 2015) if ``all_second`` is not empty, else momentum (Polyak 1964).
    """
    weights, slope = all_weights[first : first + count], gradient[:count]
    moment = all_first[first : first + count]
    keep, one = options.momentum, weights.dtype.type(1)
    if all_second.size:
        square = all_second[first : first + count]
        keep_square = options.second_momentum
        for e in range(count):
            moment[e] = keep * moment[e] + (one - keep) * slope[e]
            square[e] = keep_square * square[e] + (one - keep_square) * slope[e] * slope[e]
        for e in range(count):
            weights[e] -= rate * moment[e] / (np.sqrt(square[e]) + options.epsilon)
    else:
        for e in range(count):
            moment[e] = keep * moment[e] + slope[e]
        for e in range(count):
            weights[e] -= rate * moment[e]


@part
def _descend_level(
    stack, number, states, deltas, moments, n_data, rate, options, work, blas, thread, n_threads
):
    """Take a gradient step on this thread's rows of a level, and on the biases above it."""
    called()
    level, biases = stack.levels[number], stack.biases[number + 1]
    lower, upper = states[number], deltas[number + 1]
    one = biases.dtype.type(1)
    scale = one / biases.dtype.type(n_data)
    block = descent_rows(stack, number + 1)
    n_lower, stride = lower.shape
    for b in range(thread, (biases.size + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, biases.size)
        if reads_matrix(level):
            weights = level.weights.reshape(level.weights.size)
            first, count = start * n_lower, (stop - start) * n_lower
            gemm(
                blas, True, False, n_lower, stop - start, stride, scale, lower, 0, stride,
                upper, start * stride, stride, one - one, work, 0, n_lower,
            )  # fmt: skip
        else:
            weights = level.values
            indptr, indices = level.edges.indptr, level.edges.indices
            first = indptr[start]
            count = indptr[stop] - first
            work[:count] = 0
            for i in range(start, stop):
                place = indptr[i] - first
                add_edge_products(
                    work, place, upper, i, lower, indices, indptr[i], indptr[i + 1] - indptr[i],
                    scale,
                )  # fmt: skip
        gradient, stepped = work[:count], weights[first : first + count]
        for e in range(count):
            gradient[e] += options.l2 * stepped[e]
        if level.mask.shape[0] > 0:
            mask = level.mask.reshape(level.mask.size)[first : first + count]
            for e in range(count):
                gradient[e] *= mask[e]
        _descend(
            weights,
            first,
            count,
            work,
            moments.first[number],
            moments.second[number],
            rate,
            options,
        )
        if options.max_norm > 0:
            for i in range(start, stop):
                if reads_matrix(level):
                    bound_norm(weights, i * n_lower, (i + 1) * n_lower, options.max_norm)
                else:
                    bound_norm(
                        weights, level.edges.indptr[i], level.edges.indptr[i + 1], options.max_norm
                    )
        for i in range(start, stop):
            work[i - start] = row_sum(upper, i, n_data) * scale
        place = len(stack.levels) + number
        _descend(
            biases, start, stop - start, work, moments.first[place], moments.second[place], rate,
            options,
        )  # fmt: skip


@part
def _output_error(out, target, weights, error, i, kind, n_lanes):
    """Set row ``i`` of the error at the last layer's input and return the loss of this unit."""
    called()
    total = 0.0
    one = out.dtype.type(1)
    tiny = out.dtype.type(1e-30)
    for lane in range(n_lanes):
        p, t = out[i, lane], target[i, lane]
        error[i, lane] = (p - t) * weights[lane]
        if kind == LINEAR:
            total += 0.5 * weights[lane] * (p - t) * (p - t)
        elif t > 0:
            total -= weights[lane] * t * np.log(max(p, tiny))
        if kind == LOGISTIC and t < 1:
            total -= weights[lane] * (one - t) * np.log(max(one - p, tiny))
    for lane in range(n_lanes, out.shape[1]):
        error[i, lane] = 0
    return total


@kernel
def descend_minibatches(
    stack, kinds, states, deltas, data, targets, weights, sizes, rates, moments, options, key,
    first_step, losses, work, blas, barrier, thread, n_threads,
):  # fmt: skip
    """Take backpropagation steps on consecutive minibatches, by a team.

    The error at the input of the last layer is (output - target) times the weight of the sample.
    This is the gradient of the cross-entropy for logistic and softmax units, and of half the
    squared error for linear units. ``targets`` has shape (minibatches, units, lanes). If it is
    empty, the targets are the data. The network reads ``input_gain`` times the data. The weighted
    losses of each unit of the last layer are added to ``losses``.
    """
    if not meet(barrier, n_threads):
        return
    n_layers = len(stack.biases)
    last = n_layers - 1
    own_work = work[thread]
    for m in range(sizes.size):
        n_data = sizes[m]
        step = first_step + m
        target = targets[m] if targets.shape[0] > 0 else data[m]
        for i in range(thread, states[0].shape[0], n_threads):
            for lane in range(states[0].shape[1]):
                states[0][i, lane] = options.input_gain * data[m, i, lane]
        if options.input_dropout > 0:
            for i in range(thread, states[0].shape[0], n_threads):
                _drop_rows(states[0], 0, i, i + 1, n_data, options.input_dropout, key, step)
        meet(barrier, n_threads)
        for layer in range(1, n_layers):
            n_units = stack.biases[layer].size
            block = block_rows(stack, layer)
            for b in range(thread, (n_units + block - 1) // block, n_threads):
                start, stop = b * block, min(b * block + block, n_units)
                activate_rows(stack, layer, states, kinds[layer], start, stop, n_data, blas)
                if options.dropout > 0 and layer < last and kinds[layer] == LOGISTIC:
                    _drop_rows(
                        states[layer], layer, start, stop, n_data, options.dropout, key, step
                    )
            meet(barrier, n_threads)
        out, error = states[last], deltas[last]
        if kinds[last] == SOFTMAX:
            if thread == 0:
                softmax(out, n_data)
            meet(barrier, n_threads)
        block = block_rows(stack, last)
        for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
            for i in range(b * block, min(b * block + block, out.shape[0])):
                losses[i] += _output_error(out, target, weights[m], error, i, kinds[last], n_data)
        meet(barrier, n_threads)
        for number in range(n_layers - 2, -1, -1):
            if number > 0:
                n_units = stack.biases[number].size
                block = block_rows(stack, number)
                for b in range(thread, (n_units + block - 1) // block, n_threads):
                    start, stop = b * block, min(b * block + block, n_units)
                    _backward_rows(
                        stack, number, states, deltas, kinds[number], start, stop, n_data,
                        options.dropout, blas,
                    )  # fmt: skip
                meet(barrier, n_threads)
            _descend_level(
                stack, number, states, deltas, moments, n_data, rates[m], options, own_work, blas,
                thread, n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
