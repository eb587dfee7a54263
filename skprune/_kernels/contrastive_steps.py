"""Gradient steps of contrastive training, data minus model, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .compile import called, kernel, part
from .draws import DRAWS_PER_MINIBATCH, row_key, uniform
from .edges import add_edge_products
from .fields import EVEN, ODD, block_rows, field_rows, layers_beside, reads_matrix
from .packing import (
    add_packed_products,
    count_bits,
    pack_bits,
    pack_from_bits,
    pack_from_states,
    unpack,
    unpack_row,
)
from .records import Neighbour, Stream
from .team import meet
from .units import bound_norm, row_sum, to_draw, to_mean, to_mean_and_draw

DROPOUT = 1000  # added to the layer in the keys of dropout


OFF = -1e6  # an input that turns a unit off


@part
def _step_weights(all_weights, first, all_gradient, count, all_velocity, rate, options):
    """Step ``all_weights[first:first + count]`` along ``all_gradient[:count]``.

    Momentum and L2 act on the gradient. L1 shrinks the weights after the step (proximal). Loops run
    over slices: the compiler cannot exclude that an index ``first + e`` is negative, and the check
    would prevent vectorization.
    """
    momentum, l2 = options.momentum, options.l2
    weights, gradient = all_weights[first : first + count], all_gradient[:count]
    if all_velocity.size:
        velocity = all_velocity[first : first + count]
        for e in range(count):
            velocity[e] = momentum * velocity[e] + gradient[e] - l2 * weights[e]
        for e in range(count):
            weights[e] += rate * velocity[e]
    else:
        for e in range(count):
            weights[e] += rate * (gradient[e] - l2 * weights[e])
    _shrink(all_weights, first, count, rate * options.l1)


@part
def _shrink(all_weights, first, count, threshold):
    """Move weights towards 0 by ``threshold``, and set smaller ones to 0."""
    weights = all_weights[first : first + count]
    if threshold > 0:
        for e in range(count):
            weights[e] -= min(max(weights[e], -threshold), threshold)


@part
def _update_dense_rows(
    level, velocity, data, model, n_data, n_model, start, stop, rate, options, blas
):
    """Take a gradient step on rows start..stop of a dense level.

    BLAS adds both phases directly to the weights, or to their velocity if there is momentum. The
    gradient itself is not stored.
    """
    called()
    n_lower = level.weights.shape[1]
    first, count = start * n_lower, (stop - start) * n_lower
    weights = level.weights.reshape(level.weights.size)
    one = weights.dtype.type(1)
    into, gain, keep = weights, rate, one - rate * options.l2
    if velocity.size:
        into, gain, keep = velocity, one, options.momentum
    lower, _, upper = data
    stride = lower.shape[1]
    gemm(
        blas, True, False, n_lower, stop - start, stride, gain / weights.dtype.type(n_data),
        lower, 0, stride, upper, start * stride, stride, keep, into, first, n_lower,
    )  # fmt: skip
    lower, _, upper = model
    stride = lower.shape[1]
    gemm(
        blas, True, False, n_lower, stop - start, stride, -gain / weights.dtype.type(n_model),
        lower, 0, stride, upper, start * stride, stride, one, into, first, n_lower,
    )  # fmt: skip
    if level.mask.shape[0] > 0:
        stepped = into[first : first + count]
        mask = level.mask.reshape(level.mask.size)[first : first + count]
        for e in range(count):
            stepped[e] *= mask[e]
    if velocity.size:
        moved, by = weights[first : first + count], velocity[first : first + count]
        for e in range(count):
            by[e] -= options.l2 * moved[e]
        for e in range(count):
            moved[e] += rate * by[e]
    _shrink(weights, first, count, rate * options.l1)
    if options.max_norm > 0:
        for i in range(start, stop):
            bound_norm(weights, i * n_lower, (i + 1) * n_lower, options.max_norm)


@part
def _update_edge_rows(
    level, velocity, data, model, n_data, n_model, start, stop, centring, rate, options, work
):
    """Take a gradient step on the connections of upper units start..stop of a pruned level.

    A phase is a tuple (lower states, packed lower states, upper states). Packed states have no
    spare lanes for the terms of the centred gradient. These terms are then computed here, from
    delta and offset of both layers.
    """
    called()
    one = work.dtype.type(1)
    indptr, indices = level.edges.indptr, level.edges.indices
    lower, packed, upper = data
    model_lower, model_packed, model_upper = model
    lower_delta, lower_offset, upper_delta, upper_offset = centring
    block_first = indptr[start]
    block_count = indptr[stop] - block_first
    data_scale, model_scale = one / work.dtype.type(n_data), one / work.dtype.type(n_model)
    both = packed.shape[0] > 0 and packed.shape[1] == model_packed.shape[1]
    from_data, from_model = (packed, upper), (model_packed, model_upper)
    work[:block_count] = 0
    for i in range(start, stop):
        first = indptr[i]
        count = indptr[i + 1] - first
        place = first - block_first
        if both:
            add_packed_products(
                work,
                place,
                i,
                from_data,
                from_model,
                indices,
                first,
                count,
                data_scale,
                model_scale,
            )
        else:
            if packed.shape[0] > 0:
                add_packed_products(
                    work, place, i, from_data, None, indices, first, count, data_scale, data_scale
                )
            else:
                add_edge_products(work, place, upper, i, lower, indices, first, count, data_scale)
            if model_packed.shape[0] > 0:
                add_packed_products(
                    work,
                    place,
                    i,
                    from_model,
                    None,
                    indices,
                    first,
                    count,
                    -model_scale,
                    -model_scale,
                )
            else:
                add_edge_products(
                    work, place, model_upper, i, model_lower, indices, first, count, -model_scale
                )
        if packed.shape[0] > 0:
            stretch, neighbours = work[place : place + count], indices[first : first + count]
            delta, offset = upper_delta[i], upper_offset[i]
            for e in range(count):
                j = np.uint64(neighbours[e])
                stretch[e] -= delta * lower_offset[j] + offset * lower_delta[j]
    _step_weights(level.values, block_first, work, block_count, velocity, rate, options)
    if options.max_norm > 0:
        for i in range(start, stop):
            bound_norm(level.values, indptr[i], indptr[i + 1], options.max_norm)


@part
def _step_biases(stack, layer, state, rate, options, start, stop):
    """Take a gradient step on the biases of units start..stop of a layer."""
    biases, velocity = stack.biases[layer], state.bias_velocity[layer]
    activity, delta = state.activity[layer], state.delta[layer]
    for i in range(start, stop):
        gradient = delta[i]
        if layer > 0:
            gradient += options.activity_strength * (options.activity_target - activity[i])
        if velocity.size:
            gradient += options.momentum * velocity[i]
            velocity[i] = gradient
        biases[i] += rate * gradient


# What a team computes of a layer.
MEAN, DRAW, MEAN_AND_DRAW = (np.int64(what) for what in range(3))


@part
def _team_layer(
    stack, layer, neighbours, what, out, drawn, bits, packed, offsets, n_lanes, dropout, key, step,
    blas, thread, n_threads,
):  # fmt: skip
    """Compute this thread's rows of a layer given its neighbours.

    ``out`` receives the probabilities or the draws. If both are computed, it receives the
    probabilities, and ``drawn`` the draws. In training, the lane after the last one holds what the
    offsets contribute to an input. In a row of draws it holds the offset itself. ``dropout`` is the
    share of units of odd layers that is off. It is drawn per lane and stays the same throughout a
    minibatch.
    """
    called()
    below, above = neighbours
    biases = stack.biases[layer]
    block = block_rows(stack, layer)
    one = out.dtype.type(1)
    for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, out.shape[0])
        field_rows(stack, layer, below, above, out, start, stop, blas)
        for i in range(start, stop):
            shift = biases[i] - out[i, n_lanes]
            if dropout > 0 and layer % 2 == 1:
                row = row_key(Stream(key, step // DRAWS_PER_MINIBATCH), DROPOUT + layer, i)
                for lane in range(n_lanes):
                    if uniform(row, np.uint32(lane)) < dropout:
                        out[i, lane] = OFF
            if what == MEAN:
                to_mean(out, i, shift, one, n_lanes)
                continue
            row = row_key(Stream(key, step), layer, i)
            if what == DRAW:
                to_draw(out, i, shift, one, n_lanes, row, 0, bits, packed)
                out[i, n_lanes] = offsets[i]
            else:
                to_mean_and_draw(out, i, shift, one, n_lanes, row, 0, bits, packed, drawn)
                drawn[i, n_lanes] = offsets[i]


@part
def _recentre(stack, state, workspace, sign, blas, thread, n_threads):
    """Add ``sign`` times the input that the offsets alone would give to each bias.

    This converts the biases of the machine to those of the centred machine, whose inputs are
    W (s - offset) + b, or converts them back.
    """
    for layer in range(len(stack.biases)):
        out, biases = state.shifts[layer], stack.biases[layer]
        below, above = layers_beside(stack, layer, state.offset_states, workspace.unpacked)
        block = block_rows(stack, layer)
        for b in range(thread, (biases.size + block - 1) // block, n_threads):
            start, stop = b * block, min(b * block + block, biases.size)
            field_rows(stack, layer, below, above, out, start, stop, blas)
            for i in range(start, stop):
                biases[i] += sign * out[i, 0]


@part
def _chain_neighbours(stack, layer, state, workspace, lane, thread):
    """Return the neighbours of a layer in the chains, for ``field_rows``."""
    below = layer - 1 if layer > 0 else layer
    above = layer + 1 if layer < len(stack.levels) else layer
    return (
        Neighbour(
            workspace.local[below][thread],
            workspace.packed[below][thread],
            state.offsets[below],
            lane,
        ),
        Neighbour(
            workspace.local[above][thread],
            workspace.packed[above][thread],
            state.offsets[above],
            lane,
        ),
    )


@part
def _reads_states(stack, layer, packed):
    """Return whether an adjacent level reads a layer's states, not only its packed states."""
    reads = packed.shape[0] == 0
    if layer > 0:
        reads = reads or reads_matrix(stack.levels[layer - 1])
    if layer < len(stack.levels):
        reads = reads or reads_matrix(stack.levels[layer])
    return reads


@part
def _fetch(stack, state, workspace, parity, n_lanes, thread, n_threads):
    """Copy what the other threads drew into this thread's own states.

    Threads share draws as bits, not as states. This divides the traffic between caches by 32.
    """
    if n_threads == 1:
        return
    for layer in range(parity, len(stack.biases), 2):
        out, offsets, bits = (
            workspace.local[layer][thread],
            state.offsets[layer],
            workspace.bits[layer],
        )
        packed = workspace.packed[layer][thread]
        reads_states = _reads_states(stack, layer, packed)
        block = block_rows(stack, layer)
        for b in range((out.shape[0] + block - 1) // block):
            if b % n_threads != thread:
                for i in range(b * block, min(b * block + block, out.shape[0])):
                    if packed.shape[0] > 0:
                        pack_from_bits(bits, packed, i)
                    if reads_states:
                        unpack_row(out, bits, i)
                        out[i, n_lanes] = offsets[i]


@part
def _statistics(
    stack, layer, state, positive, bits, negative, n_data, n_model, rate, options, thread, n_threads
):
    """Compute the difference of means of a layer, step its biases, and fill the spare lanes.

    Let d be the difference between the means of data and model, and o the offset of a unit. The
    centred gradient is <upper lower>_data - <upper lower>_model - d_upper o_lower -
    o_upper d_lower. Two spare lanes add the last two terms to the product over the data lanes:
    (o, d) in even layers, and -n_data (d, o) in odd layers. The means of visible data that came as
    ``bits`` are computed by counting.
    """
    counted = layer == 0 and bits.shape[0] > 0
    size = positive.dtype.type(n_data)
    delta, offset, activity, gap = (
        state.delta[layer], state.offsets[layer], state.activity[layer], state.gap
    )  # fmt: skip
    block = block_rows(stack, layer)
    for b in range(thread, (delta.size + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, delta.size)
        for i in range(start, stop):
            if counted:
                here = count_bits(bits, i) / size
            else:
                here = row_sum(positive, i, n_data) / size
            delta[i] = here - row_sum(negative, i, n_model) / positive.dtype.type(n_model)
            activity[i] += options.mean_rate * (here - activity[i])
            if layer % 2 == 0:
                positive[i, n_data] = offset[i]
                positive[i, n_data + 1] = delta[i]
            else:
                positive[i, n_data] = -size * delta[i]
                positive[i, n_data + 1] = -size * offset[i]
            if layer == 0:
                gap[i] += abs(delta[i])
        _step_biases(stack, layer, state, rate, options, start, stop)


@part
def _own_rows(stack, layer, i, thread, n_threads):
    """Return whether unit ``i`` of a layer belongs to this thread."""
    return (i // block_rows(stack, layer)) % n_threads == thread


@part
def _update_level(
    stack,
    number,
    state,
    visible,
    workspace,
    n_data,
    n_model,
    rate,
    options,
    blas,
    thread,
    n_threads,
):
    """Take a gradient step on this thread's rows of a level."""
    level = stack.levels[number]
    n_upper = stack.biases[number + 1].size
    nothing = workspace.unpacked[0]
    data = (state.positive[number], nothing, state.positive[number + 1])
    if number == 0:
        data = (visible, workspace.packed_visible[thread], state.positive[1])
    model = (state.chain_means[number], nothing, workspace.local[number + 1][thread])
    if number % 2 == 0:
        lower = workspace.local[number][thread]
        model = (lower, workspace.packed[number][thread], state.chain_means[number + 1])
    delta, offsets = state.delta, state.offsets
    centring = (delta[number], offsets[number], delta[number + 1], offsets[number + 1])
    velocity, work = state.velocity[number], workspace.gradient[thread]
    block = block_rows(stack, number + 1)
    for b in range(thread, (n_upper + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, n_upper)
        if reads_matrix(level):
            _update_dense_rows(
                level, velocity, data, model, n_data, n_model, start, stop, rate, options, blas
            )
        else:
            _update_edge_rows(
                level, velocity, data, model, n_data, n_model, start, stop, centring, rate, options,
                work,
            )  # fmt: skip


@kernel
def train_minibatches(
    stack, state, data, data_bits, sizes, rates, infer, n_gibbs_steps, persistent, n_chains, options,
    key, first_step, workspace, blas, barrier, thread, n_threads,
):  # fmt: skip
    """Take gradient steps on consecutive minibatches, by a team.

    ``state`` holds the positive phase, the chains and the running means (see
    ``records.TrainingState``). ``workspace`` holds the scratch memory of each thread. Minibatches
    are read as states from ``data``, or as bits from ``data_bits`` if all values are 0 or 1.

    Positive phase: with ``infer``, the probabilities of the only hidden layer are computed.
    Otherwise the caller has computed the positive phase, for any number of layers.

    Negative phase: chains run ``n_gibbs_steps`` Gibbs steps. They start from the data (contrastive
    divergence), or from their current states if ``persistent``. With 0 steps, the even layers stay
    as the caller set them. The final states enter the gradient as probabilities for odd layers,
    and as drawn for even layers.

    During training, the biases are those of the centred machine. The lane after the last chain
    holds the offsets, so that this lane of each input holds what the offsets contribute to it. The
    states, weights and bias of a unit always belong to the same thread. Threads meet about
    twice per minibatch and twice per Gibbs step.
    """
    if not meet(barrier, n_threads):
        return
    n_layers = len(stack.biases)
    _recentre(stack, state, workspace, 1.0, blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared, offsets = (
            workspace.local[layer][thread],
            state.chains[layer],
            state.offsets[layer],
        )
        packed = workspace.packed[layer][thread]
        for i in range(own.shape[0]):
            for lane in range(own.shape[1]):  # spare lanes may hold offsets
                own[i, lane] = shared[i, lane] if lane < n_chains else 0
            if packed.shape[0] > 0:
                pack_from_states(own, packed, i)
            own[i, n_chains] = offsets[i]
    meet(barrier, n_threads)
    offsets, delta = state.offsets[0], state.delta[0]
    for m in range(sizes.size):
        n_data = sizes[m]
        n_model = n_chains if persistent else n_data
        rate = rates[m]
        step = (first_step + m) * DRAWS_PER_MINIBATCH
        visible = workspace.visible[thread]
        bits, packed = data_bits[m], workspace.packed_visible[thread]
        if bits.shape[0] > 0:
            if _reads_states(stack, EVEN, packed):
                unpack(bits, visible)
            pack_bits(bits, packed)
        else:
            given = data[m]
            for i in range(visible.shape[0]):
                for lane in range(visible.shape[1]):
                    visible[i, lane] = given[i, lane]
        for i in range(visible.shape[0]):
            visible[i, n_data] = offsets[i]
        if infer:  # chains of contrastive divergence start from a draw of the hidden layer
            below = Neighbour(visible, workspace.packed_visible[thread], offsets, n_data)
            _team_layer(
                stack, ODD, (below, below), MEAN if persistent else MEAN_AND_DRAW,
                state.positive[1], workspace.local[1][thread], workspace.bits[1], workspace.packed[1][thread],
                state.offsets[1], n_data, options.dropout, key, step, blas, thread, n_threads,
            )  # fmt: skip
        if not persistent:
            meet(barrier, n_threads)
            _fetch(stack, state, workspace, ODD, n_model, thread, n_threads)
        for sweep in range(n_gibbs_steps):
            for parity in (0, 1):
                if parity == 0 or sweep < n_gibbs_steps - 1:
                    for layer in range(parity, n_layers, 2):
                        out = workspace.local[layer][thread]
                        _team_layer(
                            stack, layer, _chain_neighbours(stack, layer, state, workspace, n_model, thread),
                            DRAW, out, out, workspace.bits[layer], workspace.packed[layer][thread],
                            state.offsets[layer], n_model, options.dropout, key, step + sweep + 1,
                            blas, thread, n_threads,
                        )  # fmt: skip
                    meet(barrier, n_threads)
                    _fetch(stack, state, workspace, parity, n_model, thread, n_threads)
        for layer in range(1, n_layers, 2):  # persistent chains continue from a draw
            _team_layer(
                stack, layer, _chain_neighbours(stack, layer, state, workspace, n_model, thread),
                MEAN_AND_DRAW if persistent else MEAN, state.chain_means[layer],
                workspace.local[layer][thread], workspace.bits[layer], workspace.packed[layer][thread],
                state.offsets[layer], n_model, options.dropout, key, step + n_gibbs_steps + 1,
                blas, thread, n_threads,
            )  # fmt: skip
        for layer in range(n_layers):
            positive = visible if layer == 0 else state.positive[layer]
            negative = (
                workspace.local[layer][thread] if layer % 2 == 0 else state.chain_means[layer]
            )
            _statistics(
                stack, layer, state, positive, bits, negative, n_data, n_model, rate, options,
                thread, n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
        for i in range(visible.shape[0]):
            visible[i, n_data + 1] = delta[i]
        for number in range(n_layers - 1):
            _update_level(
                stack, number, state, visible, workspace, n_data, n_model, rate, options, blas, thread,
                n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
        if persistent:
            _fetch(stack, state, workspace, ODD, n_model, thread, n_threads)
    _recentre(stack, state, workspace, -1.0, blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared = workspace.local[layer][thread], state.chains[layer]
        for i in range(own.shape[0]):
            if _own_rows(stack, layer, i, thread, n_threads):
                for lane in range(own.shape[1]):
                    shared[i, lane] = own[i, lane]
