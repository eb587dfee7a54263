"""Gradient steps of contrastive training, data minus model, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .compile import called, kernel, part
from .draws import DRAWS_PER_MINIBATCH, later, row_key, uniform
from .edges import add_edge_products
from .fields import EVEN, ODD, block_rows, field_rows, layers_beside, reads_matrix
from .normal import to_normal
from .packing import (
    add_packed_products,
    count_bits,
    pack_bits,
    pack_from_bits,
    pack_from_states,
    unpack,
    unpack_row,
)
from .records import GAUSSIAN, Centring, Member, Minibatch, Neighbour, Phase, Stream, Stretch
from .team import meet, stopped
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
def _update_dense_rows(level, velocity, data, model, start, stop, batch, options, blas):
    """Take a gradient step on rows start..stop of a dense level.

    BLAS adds both phases directly to the weights, or to their velocity if there is momentum. The
    gradient itself is not stored.
    """
    called()
    rate = batch.rate
    n_lower = level.weights.shape[1]
    first, count = start * n_lower, (stop - start) * n_lower
    weights = level.weights.reshape(level.weights.size)
    one = weights.dtype.type(1)
    into, gain, keep = weights, rate, one - rate * options.l2
    if velocity.size:
        into, gain, keep = velocity, one, options.momentum
    stride = data.lower.shape[1]
    gemm(
        blas, True, False, n_lower, stop - start, stride, gain / weights.dtype.type(batch.n_data),
        data.lower, 0, stride, data.upper, start * stride, stride, keep, into, first, n_lower,
    )  # fmt: skip
    stride = model.lower.shape[1]
    gemm(
        blas, True, False, n_lower, stop - start, stride, -gain / weights.dtype.type(batch.n_model),
        model.lower, 0, stride, model.upper, start * stride, stride, one, into, first, n_lower,
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
def _edge_gradient(edges, data, model, centring, start, stop, batch, work):
    """Set ``work`` to the gradient of the connections of upper units start..stop of a pruned level.

    Packed states have no spare lanes for the terms of the centred gradient. These terms are then
    computed here, from delta and offset of both layers.

    Both phases are written out. In a part that serves both, the sign of the scale is not known when
    the code is optimized, and results round differently.
    """
    called()
    one = work.dtype.type(1)
    indptr, indices = edges.indptr, edges.indices
    block_first = indptr[start]
    data_scale = one / work.dtype.type(batch.n_data)
    model_scale = one / work.dtype.type(batch.n_model)
    both = data.packed.shape[0] > 0 and data.packed.shape[1] == model.packed.shape[1]
    from_data, from_model = (data.packed, data.upper), (model.packed, model.upper)
    work[: indptr[stop] - block_first] = 0
    for i in range(start, stop):
        first = indptr[i]
        count = indptr[i + 1] - first
        place, stretch = first - block_first, Stretch(indices, first, count)
        if both:
            add_packed_products(
                work, place, i, from_data, from_model, stretch, data_scale, model_scale
            )
        else:
            if data.packed.shape[0] > 0:
                scale = data_scale
                add_packed_products(work, place, i, from_data, None, stretch, scale, scale)
            else:
                add_edge_products(work, place, data.upper, i, data.lower, stretch, data_scale)
            if model.packed.shape[0] > 0:
                scale = -model_scale
                add_packed_products(work, place, i, from_model, None, stretch, scale, scale)
            else:
                add_edge_products(work, place, model.upper, i, model.lower, stretch, -model_scale)
        if data.packed.shape[0] > 0:
            gradient, neighbours = work[place : place + count], indices[first : first + count]
            delta, offset = centring.upper_delta[i], centring.upper_offset[i]
            for e in range(count):
                j = np.uint64(neighbours[e])
                gradient[e] -= delta * centring.lower_offset[j] + offset * centring.lower_delta[j]


@part
def _step_edge_rows(level, velocity, gradient, start, stop, rate, options):
    """Take a gradient step on the connections of upper units start..stop of a pruned level."""
    called()
    indptr = level.edges.indptr
    first = indptr[start]
    count = indptr[stop] - first
    _step_weights(level.values, first, gradient, count, velocity, rate, options)
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
def _team_layer(training, layer, neighbours, what, out, n_lanes, stream, member):
    """Compute this thread's rows of a layer given its neighbours.

    ``out`` receives the probabilities or the draws. If both are computed, it receives the
    probabilities, and the thread's own states of the layer receive the draws. In training, the
    lane after the last one holds what the offsets contribute to an input. In a row of draws it
    holds the offset itself. A share ``options.dropout`` of the units of odd layers is off. It is
    drawn per lane and stays the same throughout a minibatch.
    """
    called()
    stack, workspace = training.stack, training.workspace
    below, above = neighbours
    biases, offsets = stack.biases[layer], training.state.offsets[layer]
    drawn, packed = workspace.local[layer][member.thread], workspace.packed[layer][member.thread]
    bits, dropout = workspace.bits[layer], training.options.dropout
    block = block_rows(stack, layer)
    one = out.dtype.type(1)
    for b in range(member.thread, (out.shape[0] + block - 1) // block, member.n_threads):
        if stopped(member.barrier):  # the team meets next, and notices it too
            return
        start, stop = b * block, min(b * block + block, out.shape[0])
        field_rows(stack, layer, below, above, out, start, stop, workspace.blas)
        for i in range(start, stop):
            shift = biases[i] - out[i, n_lanes]
            if dropout > 0 and layer % 2 == 1:
                minibatch = Stream(stream.key, stream.step // DRAWS_PER_MINIBATCH)
                row = row_key(minibatch, DROPOUT + layer, i)
                for lane in range(n_lanes):
                    if uniform(row, np.uint32(lane)) < dropout:
                        out[i, lane] = OFF
            if what == MEAN:
                to_mean(out, i, shift, one, n_lanes)
                continue
            row = row_key(stream, layer, i)
            if stack.unit_types[layer] == GAUSSIAN:  # such a layer is always drawn
                to_normal(out, i, shift, one, one, n_lanes, row, 0)
                out[i, n_lanes] = offsets[i]
            elif what == DRAW:
                to_draw(out, i, shift, one, n_lanes, row, 0, bits, packed)
                out[i, n_lanes] = offsets[i]
            else:
                to_mean_and_draw(out, i, shift, one, n_lanes, row, 0, bits, packed, drawn)
                drawn[i, n_lanes] = offsets[i]


@part
def _recentre(training, sign, member):
    """Add ``sign`` times the input that the offsets alone would give to each bias.

    This converts the biases of the machine to those of the centred machine, whose inputs are
    W (s - offset) + b, or converts them back.
    """
    stack, state, workspace = training.stack, training.state, training.workspace
    for layer in range(len(stack.biases)):
        out, biases = state.shifts[layer], stack.biases[layer]
        below, above = layers_beside(stack, layer, state.offset_states, workspace.unpacked)
        block = block_rows(stack, layer)
        for b in range(member.thread, (biases.size + block - 1) // block, member.n_threads):
            start, stop = b * block, min(b * block + block, biases.size)
            field_rows(stack, layer, below, above, out, start, stop, workspace.blas)
            for i in range(start, stop):
                biases[i] += sign * out[i, 0]


@part
def _chain_neighbours(training, layer, lane, thread):
    """Return the neighbours of a layer in the chains, for ``field_rows``."""
    local, packed = training.workspace.local, training.workspace.packed
    offsets = training.state.offsets
    below = layer - 1 if layer > 0 else layer
    above = layer + 1 if layer < len(training.stack.levels) else layer
    return (
        Neighbour(local[below][thread], packed[below][thread], offsets[below], lane),
        Neighbour(local[above][thread], packed[above][thread], offsets[above], lane),
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
def _fetch(training, parity, n_lanes, member):
    """Copy what the other threads drew into this thread's own states.

    Threads share draws as bits, not as states. This divides the traffic between caches by 32.
    Draws of Gaussian units are shared as states.
    """
    if member.n_threads == 1:
        return
    stack, workspace = training.stack, training.workspace
    for layer in range(parity, len(stack.biases), 2):
        out, offsets = workspace.local[layer][member.thread], training.state.offsets[layer]
        bits, packed = workspace.bits[layer], workspace.packed[layer][member.thread]
        reads_states = _reads_states(stack, layer, packed)
        block = block_rows(stack, layer)
        for b in range((out.shape[0] + block - 1) // block):
            owner = b % member.n_threads
            if owner != member.thread:
                for i in range(b * block, min(b * block + block, out.shape[0])):
                    if stack.unit_types[layer] == GAUSSIAN:
                        drawn = training.workspace.local[layer][owner]
                        for lane in range(out.shape[1]):
                            out[i, lane] = drawn[i, lane]
                        continue
                    if packed.shape[0] > 0:
                        pack_from_bits(bits, packed, i)
                    if reads_states:
                        unpack_row(out, bits, i)
                        out[i, n_lanes] = offsets[i]


@part
def _statistics(training, layer, bits, batch, member):
    """Compute the difference of means of a layer, step its biases, and fill the spare lanes.

    Let d be the difference between the means of data and model, and o the offset of a unit. The
    centred gradient is <upper lower>_data - <upper lower>_model - d_upper o_lower -
    o_upper d_lower. Two spare lanes add the last two terms to the product over the data lanes:
    (o, d) in even layers, and -n_data (d, o) in odd layers. The means of visible data that came as
    ``bits`` are computed by counting.
    """
    stack, state, options, workspace = training
    n_data, n_model = batch.n_data, batch.n_model
    positive = workspace.visible[member.thread] if layer == 0 else state.positive[layer]
    negative = workspace.local[layer][member.thread] if layer % 2 == 0 else state.chain_means[layer]
    counted = layer == 0 and bits.shape[0] > 0
    size = positive.dtype.type(n_data)
    delta, offset, activity, gap = (
        state.delta[layer], state.offsets[layer], state.activity[layer], state.gap
    )  # fmt: skip
    block = block_rows(stack, layer)
    for b in range(member.thread, (delta.size + block - 1) // block, member.n_threads):
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
        _step_biases(stack, layer, state, batch.rate, options, start, stop)


@part
def _own_rows(stack, layer, i, member):
    """Return whether unit ``i`` of a layer belongs to this thread."""
    return (i // block_rows(stack, layer)) % member.n_threads == member.thread


@part
def _update_level(training, number, batch, member):
    """Take a gradient step on this thread's rows of a level."""
    stack, state, options, workspace = training
    thread = member.thread
    level, n_upper = stack.levels[number], stack.biases[number + 1].size
    nothing = workspace.unpacked[0]
    data = Phase(state.positive[number], nothing, state.positive[number + 1])
    if number == 0:
        data = Phase(workspace.visible[thread], workspace.packed_visible[thread], state.positive[1])
    model = Phase(state.chain_means[number], nothing, workspace.local[number + 1][thread])
    if number % 2 == 0:
        lower = workspace.local[number][thread]
        model = Phase(lower, workspace.packed[number][thread], state.chain_means[number + 1])
    delta, offsets = state.delta, state.offsets
    centring = Centring(delta[number], offsets[number], delta[number + 1], offsets[number + 1])
    velocity, work = state.velocity[number], workspace.gradient[thread]
    block = block_rows(stack, number + 1)
    for b in range(thread, (n_upper + block - 1) // block, member.n_threads):
        if stopped(member.barrier):
            return
        start, stop = b * block, min(b * block + block, n_upper)
        if reads_matrix(level):
            blas = workspace.blas
            _update_dense_rows(level, velocity, data, model, start, stop, batch, options, blas)
        else:
            _edge_gradient(level.edges, data, model, centring, start, stop, batch, work)
            _step_edge_rows(level, velocity, work, start, stop, batch.rate, options)


@part
def _take_chains(training, n_chains, thread):
    """Copy the chains into this thread's own states, and pack them."""
    workspace = training.workspace
    for layer in range(len(training.stack.biases)):
        own, packed = workspace.local[layer][thread], workspace.packed[layer][thread]
        shared, offsets = training.state.chains[layer], training.state.offsets[layer]
        for i in range(own.shape[0]):
            for lane in range(own.shape[1]):  # spare lanes may hold offsets
                own[i, lane] = shared[i, lane] if lane < n_chains else 0
            if packed.shape[0] > 0:
                pack_from_states(own, packed, i)
            own[i, n_chains] = offsets[i]


@part
def _return_chains(training, member):
    """Copy this thread's rows of its own states back into the chains."""
    stack = training.stack
    for layer in range(len(stack.biases)):
        own, shared = training.workspace.local[layer][member.thread], training.state.chains[layer]
        for i in range(own.shape[0]):
            if _own_rows(stack, layer, i, member):
                for lane in range(own.shape[1]):
                    shared[i, lane] = own[i, lane]


@part
def _take_data(training, minibatches, m, thread):
    """Copy minibatch ``m`` into this thread's own visible states, and pack them."""
    workspace, offsets = training.workspace, training.state.offsets[0]
    visible, packed = workspace.visible[thread], workspace.packed_visible[thread]
    bits, n_data = minibatches.bits[m], minibatches.sizes[m]
    if bits.shape[0] > 0:
        if _reads_states(training.stack, EVEN, packed):
            unpack(bits, visible)
        pack_bits(bits, packed)
    else:
        given = minibatches.data[m]
        for i in range(visible.shape[0]):
            for lane in range(visible.shape[1]):
                visible[i, lane] = given[i, lane]
    for i in range(visible.shape[0]):
        visible[i, n_data] = offsets[i]


@part
def _infer(training, what, n_data, stream, member):
    """Compute the only hidden layer given the data."""
    workspace, state = training.workspace, training.state
    visible, packed = workspace.visible[member.thread], workspace.packed_visible[member.thread]
    below = Neighbour(visible, packed, state.offsets[0], n_data)
    out = state.positive[1]
    _team_layer(training, ODD, (below, below), what, out, n_data, stream, member)


@part
def _run_chains(training, phases, n_lanes, stream, member):
    """Run the Gibbs steps of a minibatch, and compute the means of the odd layers at their end."""
    workspace, n_layers = training.workspace, len(training.stack.biases)
    barrier, thread, n_threads = member
    for sweep in range(phases.n_gibbs_steps):
        here = later(stream, sweep + 1)
        for parity in (0, 1):
            if stopped(barrier):
                return
            if parity == 0 or sweep < phases.n_gibbs_steps - 1:
                for layer in range(parity, n_layers, 2):
                    neighbours = _chain_neighbours(training, layer, n_lanes, thread)
                    out = workspace.local[layer][thread]
                    _team_layer(training, layer, neighbours, DRAW, out, n_lanes, here, member)
                meet(barrier, n_threads)
                _fetch(training, parity, n_lanes, member)
    last = later(stream, phases.n_gibbs_steps + 1)
    what = MEAN_AND_DRAW if phases.persistent else MEAN  # persistent chains continue from a draw
    for layer in range(1, n_layers, 2):
        neighbours = _chain_neighbours(training, layer, n_lanes, thread)
        out = training.state.chain_means[layer]
        _team_layer(training, layer, neighbours, what, out, n_lanes, last, member)


@part
def _step(training, bits, batch, member):
    """Take the gradient step of a minibatch on all biases and weights."""
    barrier, thread, n_threads = member
    n_layers = len(training.stack.biases)
    for layer in range(n_layers):
        _statistics(training, layer, bits, batch, member)
    meet(barrier, n_threads)
    visible, delta = training.workspace.visible[thread], training.state.delta[0]
    for i in range(visible.shape[0]):
        visible[i, batch.n_data + 1] = delta[i]
    for number in range(n_layers - 1):
        _update_level(training, number, batch, member)
    meet(barrier, n_threads)


@kernel
def train_minibatches(training, minibatches, phases, stream, barrier, thread, n_threads):
    """Take gradient steps on consecutive minibatches, by a team.

    Positive phase: with ``phases.infer``, the probabilities of the only hidden layer are computed.
    Otherwise the caller has computed the positive phase, for any number of layers.

    Negative phase: chains run ``phases.n_gibbs_steps`` Gibbs steps. They start from the data
    (contrastive divergence), or from their current states if ``phases.persistent``. With 0 steps,
    the even layers stay as the caller set them. The final states enter the gradient as
    probabilities for odd layers, and as drawn for even layers.

    During training, the biases are those of the centred machine. The lane after the last chain
    holds the offsets, so that this lane of each input holds what the offsets contribute to it. The
    states, weights and bias of a unit always belong to the same thread. Threads meet about
    twice per minibatch and twice per Gibbs step.
    """
    if not meet(barrier, n_threads):
        return
    member = Member(barrier, thread, n_threads)
    _recentre(training, 1.0, member)
    _take_chains(training, phases.n_chains, thread)
    meet(barrier, n_threads)
    for m in range(minibatches.sizes.size):
        n_data = minibatches.sizes[m]
        n_model = phases.n_chains if phases.persistent else n_data
        here = Stream(stream.key, (stream.step + m) * DRAWS_PER_MINIBATCH)
        _take_data(training, minibatches, m, thread)
        if phases.infer:  # chains of contrastive divergence start from a draw of the hidden layer
            _infer(training, MEAN if phases.persistent else MEAN_AND_DRAW, n_data, here, member)
        if not phases.persistent:
            meet(barrier, n_threads)
            _fetch(training, ODD, n_model, member)
        _run_chains(training, phases, n_model, here, member)
        batch = Minibatch(n_data, n_model, minibatches.rates[m])
        _step(training, minibatches.bits[m], batch, member)
        if stopped(barrier):
            return
        if phases.persistent:
            _fetch(training, ODD, n_model, member)
    _recentre(training, -1.0, member)
    _return_chains(training, member)
