"""Gradient steps of backpropagation, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .compile import called, kernel, part
from .draws import later, row_key, uniform
from .edges import add_edge_products
from .fields import (
    activate_rows,
    add_from_above,
    block_rows,
    descent_rows,
    reads_matrix,
    softmax,
)
from .packing import NO_PACKED
from .records import BINARY, GAUSSIAN, SOFTMAX, Member, Neighbour, Stretch
from .team import meet, stopped
from .units import bound_norm, row_sum

NETWORK_DROPOUT = 2000  # added to the layer in the keys of dropout


@part
def _drop_rows(out, layer, start, stop, n_lanes, dropout, stream):
    """Set a share ``dropout`` of the units to 0, drawn per lane, and scale the others up."""
    gain = out.dtype.type(1) / (out.dtype.type(1) - dropout)
    for i in range(start, stop):
        row = row_key(stream, NETWORK_DROPOUT + layer, i)
        for lane in range(n_lanes):
            if uniform(row, np.uint32(lane)) < dropout:
                out[i, lane] = 0
            else:
                out[i, lane] *= gain


@part
def _backward_rows(training, layer, start, stop, n_lanes):
    """Compute rows start..stop of the error at a layer's input, from the layer above."""
    stack, deltas = training.stack, training.workspace.deltas
    out, values = deltas[layer], training.workspace.states[layer]
    above = Neighbour(deltas[layer + 1], NO_PACKED, stack.biases[layer], -1)
    out[start:stop] = 0
    add_from_above(stack.levels[layer], above, out, start, stop, training.workspace.blas)
    if stack.unit_types[layer] == BINARY:
        one = out.dtype.type(1)
        stays = one - training.options.dropout
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
def _level_gradient(level, lower, upper, start, stop, scale, work, blas):
    """Set ``work`` to ``scale`` times the gradient of rows start..stop of a level."""
    n_lower, stride = lower.shape
    zero = work.dtype.type(0)
    if reads_matrix(level):
        gemm(
            blas, True, False, n_lower, stop - start, stride, scale, lower, 0, stride,
            upper, start * stride, stride, zero, work, 0, n_lower,
        )  # fmt: skip
        return
    indptr, indices = level.edges.indptr, level.edges.indices
    first = indptr[start]
    work[: indptr[stop] - first] = 0
    for i in range(start, stop):
        stretch = Stretch(indices, indptr[i], indptr[i + 1] - indptr[i])
        add_edge_products(work, indptr[i] - first, upper, i, lower, stretch, scale)


@part
def _descend_level(training, number, n_data, rate, member):
    """Take a gradient step on this thread's rows of a level, and on the biases above it."""
    called()
    stack, moments, options, workspace = training
    level, biases = stack.levels[number], stack.biases[number + 1]
    lower, upper = workspace.states[number], workspace.deltas[number + 1]
    work = workspace.gradient[member.thread]
    scale = biases.dtype.type(1) / biases.dtype.type(n_data)
    block = descent_rows(stack, number + 1)
    n_lower = lower.shape[0]
    for b in range(member.thread, (biases.size + block - 1) // block, member.n_threads):
        if stopped(member.barrier):
            return
        start, stop = b * block, min(b * block + block, biases.size)
        _level_gradient(level, lower, upper, start, stop, scale, work, workspace.blas)
        if reads_matrix(level):
            weights = level.weights.reshape(level.weights.size)
            first, count = start * n_lower, (stop - start) * n_lower
        else:
            weights = level.values
            first = level.edges.indptr[start]
            count = level.edges.indptr[stop] - first
        gradient, stepped = work[:count], weights[first : first + count]
        for e in range(count):
            gradient[e] += options.l2 * stepped[e]
        if level.mask.shape[0] > 0:
            mask = level.mask.reshape(level.mask.size)[first : first + count]
            for e in range(count):
                gradient[e] *= mask[e]
        first_moment, second_moment = moments.first[number], moments.second[number]
        _descend(weights, first, count, work, first_moment, second_moment, rate, options)
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
        first_moment, second_moment = moments.first[place], moments.second[place]
        _descend(biases, start, stop - start, work, first_moment, second_moment, rate, options)


@part
def _output_error(out, target, weights, error, i, unit_type, n_lanes):
    """Set row ``i`` of the error at the last layer's input and return the loss of this unit."""
    called()
    total = 0.0
    one = out.dtype.type(1)
    tiny = out.dtype.type(1e-30)
    for lane in range(n_lanes):
        p, t = out[i, lane], target[i, lane]
        error[i, lane] = (p - t) * weights[lane]
        if unit_type == GAUSSIAN:
            total += 0.5 * weights[lane] * (p - t) * (p - t)
        elif t > 0:
            total -= weights[lane] * t * np.log(max(p, tiny))
        if unit_type == BINARY and t < 1:
            total -= weights[lane] * (one - t) * np.log(max(one - p, tiny))
    for lane in range(n_lanes, out.shape[1]):
        error[i, lane] = 0
    return total


@part
def _take_data(training, data, n_data, stream, member):
    """Copy this thread's rows of a minibatch into the states, with gain and dropout."""
    barrier, thread, n_threads = member
    states, options = training.workspace.states[0], training.options
    for i in range(thread, states.shape[0], n_threads):
        for lane in range(states.shape[1]):
            states[i, lane] = options.input_gain * data[i, lane]
    if options.input_dropout > 0:
        for i in range(thread, states.shape[0], n_threads):
            _drop_rows(states, 0, i, i + 1, n_data, options.input_dropout, stream)
    meet(barrier, n_threads)


@part
def _forward(training, n_data, stream, member):
    """Compute each layer from the layer below it."""
    barrier, thread, n_threads = member
    stack, states, options = training.stack, training.workspace.states, training.options
    last = len(stack.biases) - 1
    for layer in range(1, last + 1):
        n_units = stack.biases[layer].size
        block = block_rows(stack, layer)
        for b in range(thread, (n_units + block - 1) // block, n_threads):
            if stopped(barrier):  # the team meets next, and notices it too
                return
            start, stop = b * block, min(b * block + block, n_units)
            activate_rows(stack, layer, states, start, stop, n_data, training.workspace.blas)
            if options.dropout > 0 and layer < last and stack.unit_types[layer] == BINARY:
                _drop_rows(states[layer], layer, start, stop, n_data, options.dropout, stream)
        meet(barrier, n_threads)
    if stack.unit_types[last] == SOFTMAX:
        if thread == 0:
            softmax(states[last], n_data)
        meet(barrier, n_threads)


@part
def _compare(training, target, weights, n_data, member):
    """Compute the error at the input of the last layer, and add up the losses."""
    barrier, thread, n_threads = member
    stack, workspace, last = training.stack, training.workspace, len(training.stack.levels)
    out, error = workspace.states[last], workspace.deltas[last]
    unit_type = stack.unit_types[last]
    block = block_rows(stack, last)
    for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
        for i in range(b * block, min(b * block + block, out.shape[0])):
            workspace.losses[i] += _output_error(out, target, weights, error, i, unit_type, n_data)
    meet(barrier, n_threads)


@part
def _backward(training, n_data, rate, member):
    """Step each level, last level first, after the error below it has been computed."""
    barrier, thread, n_threads = member
    stack = training.stack
    for number in range(len(stack.levels) - 1, -1, -1):
        if number > 0:
            n_units = stack.biases[number].size
            block = block_rows(stack, number)
            for b in range(thread, (n_units + block - 1) // block, n_threads):
                if stopped(barrier):
                    return
                start, stop = b * block, min(b * block + block, n_units)
                _backward_rows(training, number, start, stop, n_data)
            meet(barrier, n_threads)
        _descend_level(training, number, n_data, rate, member)
    meet(barrier, n_threads)


@kernel
def descend_minibatches(training, minibatches, stream, barrier, thread, n_threads):
    """Take backpropagation steps on consecutive minibatches, by a team.

    The error at the input of the last layer is (output - target) times the weight of the sample.
    This is the gradient of the cross-entropy for binary and softmax units, and of half the
    squared error for Gaussian units. If ``minibatches.targets`` is empty, the targets are the data.
    The network reads ``input_gain`` times the data.
    """
    if not meet(barrier, n_threads):
        return
    member = Member(barrier, thread, n_threads)
    targets = minibatches.targets
    for m in range(minibatches.sizes.size):
        data, n_data = minibatches.data[m], minibatches.sizes[m]
        target = targets[m] if targets.shape[0] > 0 else data
        here = later(stream, m)
        _take_data(training, data, n_data, here, member)
        _forward(training, n_data, here, member)
        _compare(training, target, minibatches.weights[m], n_data, member)
        _backward(training, n_data, minibatches.rates[m], member)
        if stopped(barrier):
            return
