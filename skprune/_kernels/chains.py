"""Gibbs sweeps, annealed importance sampling and parallel tempering."""

from __future__ import annotations

import numpy as np

from .compile import called, kernel, kernel_with_arrays, part
from .draws import later, row_key, uniform
from .fields import EVEN, add_from_above, field_rows, layers_beside, update_layer
from .normal import to_normal
from .packing import NO_BITS, pack_from_states
from .records import GAUSSIAN, Stream
from .scores import LOG_EVERY
from .team import stopped
from .units import exp, to_draw


@kernel
def gibbs_sweeps(stack, chains, clamped, n_sweeps, stream, barrier):
    """Draw the odd layers given the even ones, then the even ones, ``n_sweeps`` times.

    ``clamped`` (n_visible, lanes) holds the values of visible units that are fixed, and NaN for
    units that are free. If its size is 0, no unit is clamped. Clamped visible states are not
    packed.
    """
    for sweep in range(n_sweeps):
        if stopped(barrier):
            return
        here = later(stream, sweep)
        for parity in (1, 0):
            for layer in range(parity, len(chains.states), 2):
                update_layer(stack, layer, chains, True, here)
        if clamped.size:
            visible = chains.states[0]
            for i in range(visible.shape[0]):
                for lane in range(chains.n_lanes):
                    if not np.isnan(clamped[i, lane]):
                        visible[i, lane] = clamped[i, lane]


@part
def _draw_tempered(stack, base, layer, i, beta, chains, row):
    """Draw a unit of an even layer from its input at inverse temperature ``beta``, without bias."""
    x, own_packed = chains.states[layer], chains.packed[layer]
    n_lanes, lane_0, one = chains.n_lanes, chains.lane_0, x.dtype.type(1)
    shift = beta * stack.biases[layer][i] + (one - beta) * base.biases[layer][i]
    if stack.unit_types[layer] == GAUSSIAN:
        precision = (one - beta) * base.precision[i] + beta
        scale, deviation = beta / precision, one / np.sqrt(precision)
        to_normal(x, i, shift / precision, scale, deviation, n_lanes, row, lane_0)
    else:
        to_draw(x, i, shift, beta, n_lanes, row, lane_0, NO_BITS, own_packed)


@part
def _add_gain(stack, base, layer, step, x, linear):
    """Add what an even layer gains in log p*_beta(even) if beta increases by ``step``."""
    biases, start = stack.biases[layer], base.biases[layer]
    for i in range(biases.size):
        gain = step * (biases[i] - start[i])
        for lane in range(linear.size):
            linear[lane] += gain * x[i, lane]
    if stack.unit_types[layer] == GAUSSIAN:
        for i in range(biases.size):
            gain = step * (base.precision[i] - x.dtype.type(1)) / 2
            for lane in range(linear.size):
                linear[lane] += gain * x[i, lane] ** 2


@kernel_with_arrays
def anneal(stack, base, betas, from_base, chains, log_weights, key, barrier):
    """Run annealed importance sampling (Neal 2001) on one block of chains, in either direction.

    The odd layers are summed out. The path scales the weights and the odd biases by beta, and
    interpolates the even biases from those of ``base`` to those of the machine:

        log p*_beta(even) =
            sum_even ((1 - beta) base + beta b) s + sum_odd softplus(beta (W s + c)).

    Gaussian units add -((1 - beta) precision + beta) s^2 / 2 each.

    With ``from_base``, chains start at draws from the base-rate model. Otherwise they start from
    the given states of the even layers, which must be samples at ``betas[0]``. The logarithms of
    the importance weights are added to ``log_weights``.
    """
    states, packed, n_lanes, lane_0 = chains
    n_layers = len(states)
    dtype = states[0].dtype
    lanes = states[0].shape[1]
    upper_product = np.ones(lanes, dtype=np.float64)
    lower_product = np.ones(lanes, dtype=np.float64)
    linear = np.zeros(lanes, dtype=np.float64)
    one, zero = dtype.type(1), dtype.type(0)
    if from_base:
        for layer in range(0, n_layers, 2):
            x = states[layer]
            for i in range(stack.biases[layer].size):
                x[i] = 0
                row = row_key(Stream(key, 0), layer, i)
                _draw_tempered(stack, base, layer, i, zero, chains, row)
    for k in range(1, betas.size):
        if stopped(barrier):
            return
        old, new = dtype.type(betas[k - 1]), dtype.type(betas[k])
        linear[:] = 0
        for layer in range(0, n_layers, 2):
            _add_gain(stack, base, layer, new - old, states[layer], linear)
        for layer in range(1, n_layers, 2):
            n_units = stack.biases[layer].size
            x, own_packed = states[layer], packed[layer]
            below, above = layers_beside(stack, layer, states, packed)
            field_rows(stack, layer, below, above, x, 0, n_units, None)
            for i in range(n_units):
                bias = stack.biases[layer][i]
                for lane in range(lanes):
                    a = x[i, lane] + bias
                    linear[lane] += (new - old) * max(a, zero)
                    upper_product[lane] *= one + exp(-abs(new * a))
                    lower_product[lane] *= one + exp(-abs(old * a))
                if i % LOG_EVERY == LOG_EVERY - 1 or i == n_units - 1:
                    for lane in range(lanes):
                        linear[lane] += np.log(upper_product[lane] / lower_product[lane])
                    upper_product[:] = 1
                    lower_product[:] = 1
                row = row_key(Stream(key, k), layer, i)
                to_draw(x, i, new * bias, new, n_lanes, row, lane_0, NO_BITS, own_packed)
        for lane in range(n_lanes):
            log_weights[lane] += linear[lane]
        if k == betas.size - 1:
            break
        for layer in range(0, n_layers, 2):
            n_units = stack.biases[layer].size
            x, own_packed = states[layer], packed[layer]
            below, above = layers_beside(stack, layer, states, packed)
            field_rows(stack, layer, below, above, x, 0, n_units, None)
            for i in range(n_units):
                row = row_key(Stream(key, k), layer, i)
                _draw_tempered(stack, base, layer, i, new, chains, row)


@kernel_with_arrays
def tempered_sweep(stack, base, beta, chains, slopes, stream):
    """Run one Gibbs sweep on the path of :func:`anneal`: the even layers, then the odd ones.

    ``slopes`` is set to d log p*_beta(state) / d beta of each lane, which does not depend on beta.
    Exchanges between temperatures are accepted or rejected by it.
    """
    states, packed, n_lanes, lane_0 = chains
    dtype = states[0].dtype
    factor, rest = dtype.type(beta), dtype.type(1 - beta)
    field = np.empty(states[0].shape[1], dtype)
    slopes[:] = 0
    for parity in (0, 1):
        for layer in range(parity, len(states), 2):
            x, own_packed = states[layer], packed[layer]
            biases, start = stack.biases[layer], base.biases[layer]
            gaussian = stack.unit_types[layer] == GAUSSIAN
            below, above = layers_beside(stack, layer, states, packed)
            field_rows(stack, layer, below, above, x, 0, biases.size, None)
            for i in range(biases.size):
                row = row_key(stream, layer, i)
                shift = factor * biases[i] + rest * start[i]
                for lane in range(n_lanes):  # each weight counts once, on the odd side
                    field[lane] = biases[i] - start[i] + (x[i, lane] if parity == 1 else 0)
                if gaussian:
                    _draw_tempered(stack, base, layer, i, factor, chains, row)
                    half = (base.precision[i] - dtype.type(1)) / 2
                    for lane in range(n_lanes):
                        slopes[lane] += half * x[i, lane] ** 2
                else:
                    to_draw(x, i, shift, factor, n_lanes, row, lane_0, NO_BITS, own_packed)
                for lane in range(n_lanes):
                    slopes[lane] += field[lane] * x[i, lane]


@kernel
def exchange_lanes(chains, others, exchanged):
    """Exchange the lanes of two blocks of chains for which ``exchanged`` is True."""
    for layer in range(len(chains.states)):
        a, b = chains.states[layer], others.states[layer]
        for i in range(a.shape[0]):
            for lane in range(exchanged.size):
                if exchanged[lane]:
                    a[i, lane], b[i, lane] = b[i, lane], a[i, lane]
            if chains.packed[layer].shape[0] > 0:
                pack_from_states(a, chains.packed[layer], i)
                pack_from_states(b, others.packed[layer], i)


@part
def draw_one_hot(level, biases, above, out, packed, lanes, group, stream, blas):
    """Draw a one-hot group of lower units of a level, given the upper units.

    ``lanes`` is a pair: the number of lanes, and the index of the first one among all chains.
    """
    called()
    n_lanes, lane_0 = lanes
    first, n_draws, weights = group
    n_units, share = biases.size, out.dtype.type(1) / out.dtype.type(n_draws)
    out[first:n_units] = 0
    add_from_above(level, above, out, first, n_units, blas)
    for lane in range(n_lanes):
        top = (out[first, lane] + biases[first]) * share
        for i in range(first, n_units):
            out[i, lane] = (out[i, lane] + biases[i]) * share
            top = max(top, out[i, lane])
        total = out.dtype.type(0)
        for i in range(first, n_units):
            weights[i - first] = exp(out[i, lane] - top)
            total += weights[i - first]
            out[i, lane] = 0
        for draw in range(n_draws):
            row = row_key(stream, EVEN, n_units + draw)
            left = uniform(row, np.uint32(lane_0 + lane)) * total
            chosen = n_units - 1
            for i in range(first, n_units):
                left -= weights[i - first]
                if left < 0:
                    chosen = i
                    break
            out[chosen, lane] += share
    for i in range(first, n_units):
        for lane in range(n_lanes, out.shape[1]):
            out[i, lane] = 0
        if packed.shape[0] > 0:
            pack_from_states(out, packed, i)


@kernel
def draw_one_of(stack, chains, group, stream):
    """Replace some visible units by a draw of the one-hot group that they form."""
    states, packed, n_lanes, lane_0 = chains
    _, above = layers_beside(stack, 0, states, packed)
    draw_one_hot(
        stack.levels[0], stack.biases[0], above, states[0], packed[0], (n_lanes, lane_0), group,
        stream, None,
    )  # fmt: skip
