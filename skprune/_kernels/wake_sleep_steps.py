"""Gradient steps of the up-down algorithm, by a team of threads."""

from __future__ import annotations

import numpy as np

from .blas import gemm
from .chains import draw_one_hot
from .compile import called, kernel, part
from .draws import DRAWS_PER_MINIBATCH, row_key
from .edges import add_edge_products
from .fields import EVEN, add_from_above, add_from_below, reads_matrix
from .packing import NO_BITS, NO_PACKED
from .records import Neighbour, OneHot, Stream
from .team import meet
from .units import row_sum, to_mean, to_mean_and_draw

DIRECTED_BLOCK = 64  # units per block


@part
def _directed_rows(level, downward, neighbour, biases, out, start, stop, blas):
    """Compute rows start..stop of the input of one side of a level, without its bias."""
    given = Neighbour(neighbour, NO_PACKED, biases, -1)
    out[start:stop] = 0
    if downward:
        add_from_above(level, given, out, start, stop, blas)
    else:
        add_from_below(level, given, out, start, stop, blas)


@part
def _directed_draw(
    level, downward, neighbour, biases, means, drawn, n_lanes, key, step, blas, thread, n_threads
):
    """Compute this thread's means of a layer given one neighbour, and draw from them."""
    called()
    n_units, one = biases.size, means.dtype.type(1)
    for b in range(thread, (n_units + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_units)
        _directed_rows(level, downward, neighbour, biases, means, start, stop, blas)
        for i in range(start, stop):
            row = row_key(Stream(key, step), EVEN, i)
            to_mean_and_draw(means, i, biases[i], one, n_lanes, row, 0, NO_BITS, NO_PACKED, drawn)


@part
def _directed_error(
    level, downward, neighbour, biases, target, error, rate, n_lanes, blas, thread, n_threads
):
    """Compute target minus mean of this thread's rows of a layer, and step their biases by it."""
    called()
    n_units, one = biases.size, error.dtype.type(1)
    scale = rate / error.dtype.type(n_lanes)
    for b in range(thread, (n_units + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_units)
        _directed_rows(level, downward, neighbour, biases, error, start, stop, blas)
        for i in range(start, stop):
            to_mean(error, i, biases[i], one, n_lanes)
            for lane in range(n_lanes):
                error[i, lane] = target[i, lane] - error[i, lane]
            biases[i] += scale * row_sum(error, i, n_lanes)


@part
def _delta_rule(level, lower, upper, rate, n_data, work, blas, thread, n_threads):
    """Add ``rate`` times the mean of upper x lower over lanes to this thread's rows of a level."""
    called()
    n_lower, stride = lower.shape
    scale = rate / work.dtype.type(n_data)
    one = work.dtype.type(1)
    if reads_matrix(level):
        n_upper, n_lower = level.weights.shape
        for b in range(thread, (n_upper + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
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
    for i in range(thread, indptr.size - 1, n_threads):
        first, count = indptr[i], indptr[i + 1] - indptr[i]
        work[:count] = 0
        add_edge_products(work, 0, upper, i, lower, indices, first, count, scale)
        stepped, by = level.values[first : first + count], work[:count]
        for e in range(count):
            stepped[e] += by[e]


@part
def _step_means(biases, states, rate, n_lanes, thread, n_threads):
    """Add ``rate`` times the mean of the states over lanes to this thread's biases."""
    for i in range(thread, biases.size, n_threads):
        biases[i] += rate * row_sum(states, i, n_lanes) / biases.dtype.type(n_lanes)


@kernel
def wake_sleep_minibatches(
    recognition, generative, top, undirected, n_labels, wake, dream, errors, top_wake, top_dream,
    data, labels, sizes, rates, n_gibbs_steps, chains_from, n_draws, key, first_step, work, blas,
    barrier, thread, n_threads,
):  # fmt: skip
    """Run the up-down algorithm (Hinton, Osindero & Teh 2006) on consecutive minibatches.

    ``recognition`` and ``generative`` are stacks of the directed levels. ``top`` is the undirected
    level above them. Its visible units are the last directed layer and a one-hot group of
    ``n_labels`` labels. Without ``undirected``, the last layer has independent units with biases
    ``generative.biases[-1]``.

    Wake: states are drawn upwards by ``recognition``, and ``generative`` learns to predict each
    layer from the layer above.

    Top: ``top`` learns by contrastive divergence. From step ``chains_from`` on, its chains do not
    start at the data but continue from ``top_dream``. Labels are the mean of ``n_draws`` draws
    that share their weights. Their parameters therefore learn ``n_draws**2`` times as fast.

    Sleep: states are drawn downwards from the end of the chains of ``top``, and ``recognition``
    learns to predict each layer from the layer below.
    """
    if not meet(barrier, n_threads):
        return
    last = len(recognition.levels)
    own_work = work[thread]
    for m in range(sizes.size):
        n_data, rate = sizes[m], rates[m]
        draws = (first_step + m) * DRAWS_PER_MINIBATCH
        for i in range(thread, wake[0].shape[0], n_threads):
            for lane in range(wake[0].shape[1]):
                wake[0][i, lane] = data[m, i, lane]
        n_last = recognition.biases[last].size
        for i in range(thread, n_labels, n_threads):
            for lane in range(wake[last].shape[1]):
                wake[last][n_last + i, lane] = labels[m, i, lane]
        meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _directed_draw(
                recognition.levels[layer - 1], False, wake[layer - 1], recognition.biases[layer],
                errors[layer], wake[layer], n_data, key, draws + layer, blas, thread, n_threads,
            )  # fmt: skip
            meet(barrier, n_threads)
        for layer in range(last):
            _directed_error(
                generative.levels[layer], True, wake[layer + 1], generative.biases[layer],
                wake[layer], errors[layer], rate, n_data, blas, thread, n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
        for layer in range(last):
            _delta_rule(
                generative.levels[layer], errors[layer], wake[layer + 1], rate, n_data, own_work,
                blas, thread, n_threads,
            )  # fmt: skip
        step = draws + last + 1
        if undirected:
            level, below, above = top.levels[0], top.biases[0], top.biases[1]
            _directed_draw(
                level, False, wake[last], above, top_wake[0], top_wake[1], n_data, key, step, blas,
                thread, n_threads,
            )  # fmt: skip
            meet(barrier, n_threads)
            states = top_wake[1] if first_step + m < chains_from else top_dream[1]
            for _ in range(n_gibbs_steps):
                _directed_draw(
                    level, True, states, below, errors[last], dream[last], n_data, key, step + 1,
                    blas, thread, n_threads,
                )  # fmt: skip
                meet(barrier, n_threads)
                if n_labels > 0:
                    if thread == 0:
                        given = Neighbour(states, NO_PACKED, below, -1)
                        draw_one_hot(
                            level, below, given, dream[last], NO_PACKED, (n_data, np.int64(0)),
                            OneHot(n_last, n_draws, own_work), Stream(key, step + 1), blas,
                        )  # fmt: skip
                    meet(barrier, n_threads)
                step += 2
                states = top_dream[1]
                _directed_draw(
                    level, False, dream[last], above, top_dream[0], states, n_data, key, step, blas,
                    thread, n_threads,
                )  # fmt: skip
                meet(barrier, n_threads)
            if n_draws > 1:
                faster = wake[last].dtype.type(n_draws * n_draws)
                for i in range(n_last + thread, n_last + n_labels, n_threads):
                    for lane in range(n_data):
                        wake[last][i, lane] *= faster
                        dream[last][i, lane] *= faster
                meet(barrier, n_threads)
            _delta_rule(
                level, wake[last], top_wake[0], rate, n_data, own_work, blas, thread, n_threads
            )
            _delta_rule(
                level, dream[last], top_dream[0], -rate, n_data, own_work, blas, thread, n_threads
            )
            _step_means(above, top_wake[0], rate, n_data, thread, n_threads)
            _step_means(above, top_dream[0], -rate, n_data, thread, n_threads)
            _step_means(below, wake[last], rate, n_data, thread, n_threads)
            _step_means(below, dream[last], -rate, n_data, thread, n_threads)
        else:
            prior = generative.biases[last]
            for i in range(thread, n_last, n_threads):
                row = row_key(Stream(key, step), EVEN, i)
                out, one = errors[last], prior.dtype.type(1)
                for lane in range(out.shape[1]):
                    out[i, lane] = 0
                to_mean_and_draw(
                    out, i, prior[i], one, n_data, row, 0, NO_BITS, NO_PACKED, dream[last]
                )
                mean = out[i, 0]
                prior[i] += rate * (
                    row_sum(wake[last], i, n_data) / prior.dtype.type(n_data) - mean
                )
        meet(barrier, n_threads)
        for layer in range(last - 1, -1, -1):
            _directed_draw(
                generative.levels[layer], True, dream[layer + 1], generative.biases[layer],
                errors[layer], dream[layer], n_data, key, step + 1 + last - layer, blas, thread,
                n_threads,
            )  # fmt: skip
            meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _directed_error(
                recognition.levels[layer - 1], False, dream[layer - 1], recognition.biases[layer],
                dream[layer], errors[layer], rate, n_data, blas, thread, n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _delta_rule(
                recognition.levels[layer - 1], dream[layer - 1], errors[layer], rate, n_data,
                own_work, blas, thread, n_threads,
            )  # fmt: skip
        meet(barrier, n_threads)
