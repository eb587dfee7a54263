"""Activations and draws of units from their inputs, and sums over lanes."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import part
from .draws import emit_random
from .emit import edge_loop, element_pointer, row_length
from .packing import bit_place, emit_byte
from .simd import Vectors, splat

# Coefficients of the polynomials that interpolate exp at Chebyshev nodes on [-ln2/2, ln2/2]. The
# relative error is 1e-7 (degree 5, float32) and 4e-18 (degree 11, float64).
_EXP_COEFFICIENTS = {
    "float": (
        1.0000000754548972, 1.00000001077157, 0.49998869378303396, 0.16666505260408124,
        0.04191750724961526, 0.00836914849085642,
    ),
    "double": (
        1.0, 1.0, 0.5000000000000018, 0.16666666666666674, 0.04166666666648869,
        0.008333333333323853, 0.0013888888952189188, 0.00019841269881217498,
        2.4801485595661824e-05, 2.755724864300753e-06, 2.7632602969184506e-07,
        2.5107622666860355e-08,
    ),
}  # fmt: skip


def _emit_exp(builder, x):
    """Emit e**x of a number or a vector, as a polynomial without branches."""
    kind = x.type
    vector = isinstance(kind, ir.VectorType)
    number = kind.element if vector else kind
    single = isinstance(number, ir.FloatType)
    integer = ir.IntType(32 if single else 64)
    whole = ir.VectorType(integer, kind.count) if vector else integer
    limit = 87.0 if single else 708.0

    def fma(x, y, z):
        product = builder.fmul(x, y, flags=("contract",))
        return builder.fadd(product, z, flags=("contract",))

    for predicate, bound in ((">", -limit), ("<", limit)):
        inside = builder.fcmp_ordered(predicate, x, splat(kind, bound))
        x = builder.select(inside, x, splat(kind, bound))
    z = builder.fmul(x, splat(kind, 1.4426950408889634))
    name = f"{'v' + str(kind.count) if vector else ''}f{32 if single else 64}"
    floor = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind]), f"llvm.floor.{name}"
    )
    k = builder.call(floor, [builder.fadd(z, splat(kind, 0.5))])
    r = builder.fmul(builder.fsub(z, k), splat(kind, 0.6931471805599453))
    *others, last = _EXP_COEFFICIENTS["float" if single else "double"]
    p = splat(kind, last)
    for coefficient in reversed(others):
        p = fma(p, r, splat(kind, coefficient))
    exponent = builder.add(builder.fptosi(k, whole), splat(whole, 127 if single else 1023))
    power = builder.shl(exponent, splat(whole, 23 if single else 52))
    return builder.fmul(p, builder.bitcast(power, kind))


@intrinsic
def exp(typing_context, x):
    """Return e**x. Loops that call it can be vectorized."""
    return x(x), lambda context, builder, signature, args: _emit_exp(builder, args[0])


def _finishing(mean, draw):
    """Return the code generator that turns a unit's input into its mean, a draw, or both."""

    def codegen(context, builder, signature, args):
        states, i, shift, scale, n_lanes, *rest = args
        kinds = signature.args
        number = kinds[0].dtype
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vectors = Vectors(context, builder, number)
        lanes = vectors.lanes
        stride = row_length(context, builder, kinds[0], states)
        source = element_pointer(context, builder, kinds[0], states, builder.mul(i, stride))
        if draw:
            row, lane_0, bits, packed = rest[:4]
            drawn = source
            if mean:
                drawn = element_pointer(context, builder, kinds[9], rest[4], builder.mul(i, stride))
            n_groups, n_units = cgutils.unpack_tuple(
                builder, context.make_array(kinds[7])(context, builder, bits).shape
            )
            bits = element_pointer(context, builder, kinds[7], bits, int64(0))
            words = row_length(context, builder, kinds[8], packed)
            packed = element_pointer(context, builder, kinds[8], packed, builder.mul(i, words))
            has_bits = builder.icmp_signed(">", n_groups, int64(0))
        places = ir.VectorType(int32, lanes)
        iota = ir.Constant(places, list(range(lanes)))
        zeros, ones = splat(vectors.type, 0.0), splat(vectors.type, 1.0)
        scale, shift = vectors.broadcast(scale), vectors.broadcast(shift)

        def broadcast(value):
            first = builder.insert_element(ir.Constant(places, ir.Undefined), value, int32(0))
            return builder.shuffle_vector(first, first, ir.Constant(places, [0] * lanes))

        if draw:
            first_lane = broadcast(builder.trunc(lane_0, int32))
        end = broadcast(builder.trunc(n_lanes, int32))
        n_vectors = builder.sdiv(stride, int64(lanes))
        with cgutils.for_range(builder, n_vectors) as loop:
            k = loop.index
            start = builder.trunc(builder.mul(k, int64(lanes)), int32)
            lane = builder.add(broadcast(start), iota)
            inside = builder.icmp_signed("<", lane, end)
            x = vectors.multiply_add(vectors.load(source, k, 0), scale, shift)
            odds = builder.fadd(_emit_exp(builder, builder.fsub(zeros, x)), ones)
            if mean:
                value = builder.fdiv(ones, odds)
                vectors.store(builder.select(inside, value, zeros), source, k, 0)
            if draw:
                random = emit_random(builder, row, builder.add(lane, first_lane))
                random = builder.sitofp(random, vectors.type)
                # u < 1 / odds, without a division
                on = builder.fcmp_ordered(
                    "<", builder.fmul(random, odds), splat(vectors.type, 2.0**24)
                )
                on = builder.and_(on, inside)
                vectors.store(builder.select(on, ones, zeros), drawn, k, 0)
                with builder.if_then(has_bits):
                    place = bit_place(builder, bits, lanes, n_units, i, k)
                    builder.store(builder.bitcast(on, ir.IntType(lanes)), place, align=1)
                if number == types.float32:
                    wanted = builder.icmp_signed("<", builder.mul(k, int64(4)), words)
                    with builder.if_then(wanted):
                        emit_byte(builder, packed, k, on)
        return context.get_dummy_value()

    return codegen


# The arguments of the next three stay separate: each is one value of the emitted loop, and no two
# of them come from the same record everywhere.


@intrinsic
def to_mean(typing_context, states, i, shift, scale, n_lanes):
    """Replace the input in row i by ``sigmoid(scale * input + shift)``, and padding by 0."""
    number, integer = states.dtype, types.int64
    return types.void(states, integer, number, number, integer), _finishing(True, False)


@intrinsic
def to_draw(typing_context, states, i, shift, scale, n_lanes, row, lane_0, bits, packed):
    """Replace the input in row i by draws, 1 with probability ``sigmoid(scale * input + shift)``.

    Padding is set to 0. The draws are also stored in ``bits`` and ``packed``, unless these are
    empty.
    """
    number, integer = states.dtype, types.int64
    signature = types.void(
        states, integer, number, number, integer, types.uint64, integer, bits, packed
    )
    return signature, _finishing(False, True)


@intrinsic
def to_mean_and_draw(
    typing_context, states, i, shift, scale, n_lanes, row, lane_0, bits, packed, drawn
):
    """Replace the input in row i by its means, and store draws from them in row i of ``drawn``."""
    number, integer = states.dtype, types.int64
    signature = types.void(
        states, integer, number, number, integer, types.uint64, integer, bits, packed, drawn
    )
    return signature, _finishing(True, True)


@intrinsic
def row_sum(typing_context, states, i, n_lanes):
    """Return the sum of the first ``n_lanes`` lanes of row i."""
    signature = states.dtype(states, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vectors = Vectors(context, builder, kind.dtype)
        lanes = vectors.lanes
        stride = row_length(context, builder, kind, args[0])
        row = element_pointer(context, builder, kind, args[0], builder.mul(args[1], stride))
        places = ir.VectorType(int32, lanes)
        iota = ir.Constant(places, list(range(lanes)))
        zeros = splat(vectors.type, 0.0)

        def add(k, sums):
            left = builder.trunc(builder.sub(args[2], builder.mul(k, int64(lanes))), int32)
            first = builder.insert_element(ir.Constant(places, ir.Undefined), left, int32(0))
            left = builder.shuffle_vector(first, first, ir.Constant(places, [0] * lanes))
            inside = builder.icmp_signed("<", iota, left)
            x = builder.select(inside, vectors.load(row, k, 0), zeros)
            return [builder.fadd(sums[0], x)]

        n_vectors = builder.sdiv(builder.add(args[2], int64(lanes - 1)), int64(lanes))
        (total,) = edge_loop(builder, n_vectors, [zeros], add)
        return builder.extract_element(vectors.totals([total]), int32(0))

    return signature, codegen


@part
def bound_norm(weights, first, last, max_norm):
    """Scale the weights of one upper unit down if their norm exceeds ``max_norm``."""
    norm = weights.dtype.type(0)
    for e in range(first, last):
        norm += weights[e] * weights[e]
    if norm > max_norm * max_norm:
        factor = max_norm / np.sqrt(norm)
        for e in range(first, last):
            weights[e] *= factor
