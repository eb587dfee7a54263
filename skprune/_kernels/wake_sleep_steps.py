"""Gradient steps of the up-down algorithm, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .chains import draw_one_hot
from .compile import called, kernel, part
from .draws import DRAWS_PER_MINIBATCH, later, row_key
from .edges import add_edge_products
from .fields import EVEN, add_from_above, add_from_below, reads_matrix
from .packing import NO_BITS, NO_PACKED
from .records import Member, Neighbour, OneHot, Side, Stream, Stretch
from .team import meet, stopped
from .units import row_sum, to_mean, to_mean_and_draw

DIRECTED_BLOCK = 64  # units per block


@part
def _directed_rows(side, neighbour, out, start, stop, blas):
    """Compute rows start..stop of the input of one side of a level, without its bias."""
    given = Neighbour(neighbour, NO_PACKED, side.biases, -1)
    out[start:stop] = 0
    if side.downward:
        add_from_above(side.level, given, out, start, stop, blas)
    else:
        add_from_below(side.level, given, out, start, stop, blas)


@part
def _directed_draw(side, neighbour, means, drawn, n_lanes, stream, blas, member):
    """Compute this thread's means of a layer given one neighbour, and draw from them."""
    called()
    biases, one = side.biases, means.dtype.type(1)
    n_blocks = (biases.size + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK
    for b in range(member.thread, n_blocks, member.n_threads):
        if stopped(member.barrier):  # the team meets next, and notices it too
            return
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, biases.size)
        _directed_rows(side, neighbour, means, start, stop, blas)
        for i in range(start, stop):
            row = row_key(stream, EVEN, i)
            to_mean_and_draw(means, i, biases[i], one, n_lanes, row, 0, NO_BITS, NO_PACKED, drawn)


@part
def _directed_error(side, neighbour, target, error, n_lanes, rate, blas, member):
    """Compute target minus mean of this thread's rows of a layer, and step their biases by it."""
    called()
    biases, one = side.biases, error.dtype.type(1)
    scale = rate / error.dtype.type(n_lanes)
    n_blocks = (biases.size + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK
    for b in range(member.thread, n_blocks, member.n_threads):
        if stopped(member.barrier):  # the team meets next, and notices it too
            return
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, biases.size)
        _directed_rows(side, neighbour, error, start, stop, blas)
        for i in range(start, stop):
            to_mean(error, i, biases[i], one, n_lanes)
            for lane in range(n_lanes):
                error[i, lane] = target[i, lane] - error[i, lane]
            biases[i] += scale * row_sum(error, i, n_lanes)


@part
def _delta_rule(level, lower, upper, n_data, rate, work, blas, member):
    """Add ``rate`` times the mean of upper x lower over lanes to this thread's rows of a level."""
    called()
    n_lower, stride = lower.shape
    scale = rate / work.dtype.type(n_data)
    one = work.dtype.type(1)
    if reads_matrix(level):
        n_upper, n_lower = level.weights.shape
        n_blocks = (n_upper + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK
        for b in range(member.thread, n_blocks, member.n_threads):
            if stopped(member.barrier):
                return
            start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_upper)
            weights = level.weights.reshape(level.weights.size)
            first, count = start * n_lower, (stop - start) * n_lower
            gemm(
                blas, True, False, n_lower, stop - start, stride, scale, lower, 0, stride,
                upper, start * stride, stride, one, weights, first, n_lower,
            )  # fmt: skip
            if level.mask.shape[0] > 0:
                mask = level.mask.reshape(level.mask.size)[first : first + count]
                stepped = weights[first : first + count]
                for e in range(count):
                    stepped[e] *= mask[e]
        return
    indptr, indices = level.edges.indptr, level.edges.indices
    for i in range(member.thread, indptr.size - 1, member.n_threads):
        if stopped(member.barrier):
            return
        first, count = indptr[i], indptr[i + 1] - indptr[i]
        work[:count] = 0
        add_edge_products(work, 0, upper, i, lower, Stretch(indices, first, count), scale)
        stepped, by = level.values[first : first + count], work[:count]
        for e in range(count):
            stepped[e] += by[e]


@part
def _step_means(biases, states, n_lanes, rate, member):
    """Add ``rate`` times the mean of the states over lanes to this thread's biases."""
    for i in range(member.thread, biases.size, member.n_threads):
        biases[i] += rate * row_sum(states, i, n_lanes) / biases.dtype.type(n_lanes)


@part
def _take_data(training, minibatches, m, member):
    """Copy this thread's rows of a minibatch and of its labels into the wake states."""
    barrier, thread, n_threads = member
    wake, last = training.workspace.wake, len(training.recognition.levels)
    for i in range(thread, wake[0].shape[0], n_threads):
        for lane in range(wake[0].shape[1]):
            wake[0][i, lane] = minibatches.data[m, i, lane]
    n_last = training.recognition.biases[last].size
    for i in range(thread, training.options.n_labels, n_threads):
        for lane in range(wake[last].shape[1]):
            wake[last][n_last + i, lane] = minibatches.labels[m, i, lane]
    meet(barrier, n_threads)


@part
def _wake(training, n_data, rate, stream, member):
    """Draw all layers upwards, and step the generative levels."""
    barrier, thread, n_threads = member
    recognition, generative = training.recognition, training.generative
    wake, errors, blas = training.workspace.wake, training.workspace.errors, training.workspace.blas
    last, work = len(recognition.levels), training.workspace.gradient[thread]
    for layer in range(1, last + 1):
        side = Side(recognition.levels[layer - 1], False, recognition.biases[layer])
        here = later(stream, layer)
        _directed_draw(
            side, wake[layer - 1], errors[layer], wake[layer], n_data, here, blas, member
        )
        meet(barrier, n_threads)
    for layer in range(last):
        side = Side(generative.levels[layer], True, generative.biases[layer])
        _directed_error(
            side, wake[layer + 1], wake[layer], errors[layer], n_data, rate, blas, member
        )
    meet(barrier, n_threads)
    for layer in range(last):
        level = generative.levels[layer]
        _delta_rule(level, errors[layer], wake[layer + 1], n_data, rate, work, blas, member)


@part
def _sleep(training, n_data, rate, stream, member):
    """Draw all layers downwards, and step the recognition levels."""
    barrier, thread, n_threads = member
    recognition, generative = training.recognition, training.generative
    dream, errors, blas = (
        training.workspace.dream,
        training.workspace.errors,
        training.workspace.blas,
    )
    last, work = len(recognition.levels), training.workspace.gradient[thread]
    for layer in range(last - 1, -1, -1):
        side = Side(generative.levels[layer], True, generative.biases[layer])
        here = later(stream, last - layer)
        _directed_draw(
            side, dream[layer + 1], errors[layer], dream[layer], n_data, here, blas, member
        )
        meet(barrier, n_threads)
    for layer in range(1, last + 1):
        side = Side(recognition.levels[layer - 1], False, recognition.biases[layer])
        _directed_error(
            side, dream[layer - 1], dream[layer], errors[layer], n_data, rate, blas, member
        )
    meet(barrier, n_threads)
    for layer in range(1, last + 1):
        level = recognition.levels[layer - 1]
        _delta_rule(level, dream[layer - 1], errors[layer], n_data, rate, work, blas, member)
    meet(barrier, n_threads)


@part
def _run_top_chains(training, continues, n_data, stream, member):
    """Run the Gibbs steps of the top level, two draws per step, from the data or as before."""
    barrier, thread, n_threads = member
    top, options, workspace = training.top, training.options, training.workspace
    last, blas = len(training.recognition.levels), workspace.blas
    n_last, lower = training.recognition.biases[last].size, workspace.dream[last]
    means, upper = workspace.top_dream
    level, (below, above) = top.levels[0], top.biases
    states = upper if continues else workspace.top_wake[1]
    for step in range(options.n_gibbs_steps):
        if stopped(barrier):
            return
        down, up = later(stream, 2 * step + 1), later(stream, 2 * step + 2)
        side = Side(level, True, below)
        _directed_draw(side, states, workspace.errors[last], lower, n_data, down, blas, member)
        meet(barrier, n_threads)
        if options.n_labels > 0:
            if thread == 0:
                given = Neighbour(states, NO_PACKED, below, -1)
                lanes = (n_data, np.int64(0))
                group = OneHot(n_last, options.n_draws, workspace.gradient[thread])
                draw_one_hot(level, below, given, lower, NO_PACKED, lanes, group, down, blas)
            meet(barrier, n_threads)
        states = upper
        _directed_draw(Side(level, False, above), lower, means, upper, n_data, up, blas, member)
        meet(barrier, n_threads)


@part
def _step_top(training, continues, n_data, rate, stream, member):
    """Take a step of contrastive divergence on the top level."""
    barrier, thread, n_threads = member
    options, workspace = training.options, training.workspace
    last, blas, work = len(training.recognition.levels), workspace.blas, workspace.gradient[thread]
    n_last = training.recognition.biases[last].size
    wake, dream = workspace.wake[last], workspace.dream[last]
    top_wake, top_dream = workspace.top_wake, workspace.top_dream
    level, (below, above) = training.top.levels[0], training.top.biases
    side = Side(level, False, above)
    _directed_draw(side, wake, top_wake[0], top_wake[1], n_data, stream, blas, member)
    meet(barrier, n_threads)
    _run_top_chains(training, continues, n_data, stream, member)
    if options.n_draws > 1:
        faster = wake.dtype.type(options.n_draws * options.n_draws)
        for i in range(n_last + thread, n_last + options.n_labels, n_threads):
            for lane in range(n_data):
                wake[i, lane] *= faster
                dream[i, lane] *= faster
        meet(barrier, n_threads)
    _delta_rule(level, wake, top_wake[0], n_data, rate, work, blas, member)
    _delta_rule(level, dream, top_dream[0], n_data, -rate, work, blas, member)
    _step_means(above, top_wake[0], n_data, rate, member)
    _step_means(above, top_dream[0], n_data, -rate, member)
    _step_means(below, wake, n_data, rate, member)
    _step_means(below, dream, n_data, -rate, member)


@part
def _step_prior(training, n_data, rate, stream, member):
    """Draw the last layer from independent units, and step their biases."""
    workspace, last = training.workspace, len(training.recognition.levels)
    prior, out = training.generative.biases[last], workspace.errors[last]
    wake, dream = workspace.wake[last], workspace.dream[last]
    one = prior.dtype.type(1)
    for i in range(member.thread, training.recognition.biases[last].size, member.n_threads):
        row = row_key(stream, EVEN, i)
        for lane in range(out.shape[1]):
            out[i, lane] = 0
        to_mean_and_draw(out, i, prior[i], one, n_data, row, 0, NO_BITS, NO_PACKED, dream)
        mean = out[i, 0]
        prior[i] += rate * (row_sum(wake, i, n_data) / prior.dtype.type(n_data) - mean)


@kernel
def wake_sleep_minibatches(training, minibatches, stream, barrier, thread, n_threads):
    """Run the up-down algorithm (Hinton, Osindero & Teh 2006) on consecutive minibatches.

    Wake: states are drawn upwards by the recognition levels, and the generative levels learn to
    predict each layer from the layer above.

    Top: the undirected top level learns by contrastive divergence. From step ``chains_from`` of
    the options on, its chains do not start at the data but continue. Labels are the mean of
    ``n_draws`` draws that share their weights. Their parameters therefore learn ``n_draws**2``
    times as fast. If there is no undirected level, the biases of the last layer learn its means.

    Sleep: states are drawn downwards from the end of the chains of the top level, and the
    recognition levels learn to predict each layer from the layer below.
    """
    if not meet(barrier, n_threads):
        return
    member, options = Member(barrier, thread, n_threads), training.options
    for m in range(minibatches.sizes.size):
        n_data, rate = minibatches.sizes[m], minibatches.rates[m]
        here = Stream(stream.key, (stream.step + m) * DRAWS_PER_MINIBATCH)
        _take_data(training, minibatches, m, member)
        _wake(training, n_data, rate, here, member)
        here = later(here, len(training.recognition.levels) + 1)
        if options.undirected:
            continues = stream.step + m >= options.chains_from
            _step_top(training, continues, n_data, rate, here, member)
            here = later(here, 2 * options.n_gibbs_steps)
        else:
            _step_prior(training, n_data, rate, here, member)
        meet(barrier, n_threads)
        _sleep(training, n_data, rate, later(here, 1), member)
        if stopped(barrier):
            return
