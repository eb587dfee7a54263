"""Means and draws of units with a normal distribution."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import kernel, part
from .draws import emit_random, row_key
from .emit import element_pointer, row_length
from .records import Stream
from .simd import Vectors, splat

# Coefficients of log(1 + m) / m^3 on [1/sqrt(2) - 1, sqrt(2) - 1], from the Cephes library.
_LOG_COEFFICIENTS = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip

# Coefficients of the inverse error function in single precision (Giles 2010, table 5).
_CENTRAL_COEFFICIENTS = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_TAIL_COEFFICIENTS = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def _fma(builder, x, y, z):
    product = builder.fmul(x, y, flags=("contract",))
    return builder.fadd(product, z, flags=("contract",))


def _polynomial(builder, coefficients, x):
    """Emit a polynomial of a vector. The coefficient of the highest power comes first."""
    result = splat(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        result = _fma(builder, result, x, splat(x.type, coefficient))
    return result


def _call(builder, name, x):
    """Emit a call of an LLVM intrinsic for a vector of float32."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(x.type, [x.type]), f"llvm.{name}.v{x.type.count}f32"
    )
    return builder.call(function, [x])


def _emit_log(builder, x):
    """Emit the logarithm of a vector of positive float32."""
    kind = x.type
    integer = ir.VectorType(ir.IntType(32), kind.count)
    bits = builder.bitcast(x, integer)
    exponent = builder.sub(builder.lshr(bits, splat(integer, 23)), splat(integer, 126))
    mantissa = builder.or_(
        builder.and_(bits, splat(integer, 0x007FFFFF)), splat(integer, 0x3F000000)
    )
    m = builder.bitcast(mantissa, kind)  # in [1/2, 1)
    low = builder.fcmp_ordered("<", m, splat(kind, 0.7071067811865476))
    m = builder.fsub(
        builder.select(low, builder.fadd(m, m), m), splat(kind, 1.0)
    )  # in [1/sqrt(2) - 1, sqrt(2) - 1)
    exponent = builder.sub(exponent, builder.zext(low, integer))
    square = builder.fmul(m, m)
    rest = builder.fmul(builder.fmul(square, m), _polynomial(builder, _LOG_COEFFICIENTS, m))
    result = _fma(builder, square, splat(kind, -0.5), builder.fadd(m, rest))
    return _fma(builder, builder.sitofp(exponent, kind), splat(kind, 0.6931471805599453), result)


def emit_normal(builder, row, lane):
    """Emit draws from the standard normal distribution, one per lane, as float32.

    The inverse of the distribution function is applied to 24 random bits: one for the sign, and 23
    for the tail probability p, which is an odd multiple of 2^-25. The largest draw is 5.4.
    """
    integer = lane.type
    kind = ir.VectorType(ir.FloatType(), integer.count)
    bits = emit_random(builder, row, lane)
    negative = builder.icmp_unsigned(">=", bits, splat(integer, 1 << 23))
    magnitude = builder.and_(bits, splat(integer, (1 << 23) - 1))
    odd = builder.or_(builder.shl(magnitude, splat(integer, 1)), splat(integer, 1))
    p = builder.fmul(builder.sitofp(odd, kind), splat(kind, 2.0**-25))
    one = splat(kind, 1.0)
    q = builder.fsub(one, p)
    distance = builder.fsub(q, p)  # 1 - 2 p, exact
    w = _emit_log(builder, builder.fmul(splat(kind, 4.0), builder.fmul(p, q)))
    w = builder.fsub(splat(kind, 0.0), w)
    central = _polynomial(builder, _CENTRAL_COEFFICIENTS, builder.fsub(w, splat(kind, 2.5)))
    root = _call(builder, "sqrt", w)
    tail = _polynomial(builder, _TAIL_COEFFICIENTS, builder.fsub(root, splat(kind, 3.0)))
    is_central = builder.fcmp_ordered("<", w, splat(kind, 5.0))
    scale = builder.fmul(distance, splat(kind, 1.4142135623730951))
    z = builder.fmul(builder.select(is_central, central, tail), scale)
    return builder.select(negative, builder.fsub(splat(kind, 0.0), z), z)


@intrinsic
def to_normal(typing_context, states, i, shift, scale, deviation, n_lanes, row, lane_0):
    """Replace the input in row i by draws with the mean ``scale * input + shift``.

    They have the standard deviation ``deviation``. Padding is set to 0.
    """
    number, integer = states.dtype, types.int64
    signature = types.void(states, integer, number, number, number, integer, types.uint64, integer)

    def codegen(context, builder, signature, args):
        states, i, shift, scale, deviation, n_lanes, row, lane_0 = args
        kind = signature.args[0]
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vectors = Vectors(context, builder, kind.dtype)
        lanes = vectors.lanes
        stride = row_length(context, builder, kind, states)
        source = element_pointer(context, builder, kind, states, builder.mul(i, stride))
        places = ir.VectorType(int32, lanes)
        iota = ir.Constant(places, list(range(lanes)))
        zeros = splat(vectors.type, 0.0)
        scale, shift = vectors.broadcast(scale), vectors.broadcast(shift)
        deviation = vectors.broadcast(deviation)

        def broadcast(value):
            first = builder.insert_element(ir.Constant(places, ir.Undefined), value, int32(0))
            return builder.shuffle_vector(first, first, ir.Constant(places, [0] * lanes))

        first_lane = broadcast(builder.trunc(lane_0, int32))
        end = broadcast(builder.trunc(n_lanes, int32))
        with cgutils.for_range(builder, builder.sdiv(stride, int64(lanes))) as loop:
            start = builder.trunc(builder.mul(loop.index, int64(lanes)), int32)
            lane = builder.add(broadcast(start), iota)
            inside = builder.icmp_signed("<", lane, end)
            mean = vectors.multiply_add(vectors.load(source, loop.index, 0), scale, shift)
            draw = emit_normal(builder, row, builder.add(lane, first_lane))
            if kind.dtype == types.float64:
                draw = builder.fpext(draw, vectors.type)
            x = vectors.multiply_add(draw, deviation, mean)
            vectors.store(builder.select(inside, x, zeros), source, loop.index, 0)
        return context.get_dummy_value()

    return signature, codegen


@part
def to_linear(states, i, shift, n_lanes):
    """Replace the input in row i by ``input + shift``, and padding by 0."""
    for lane in range(states.shape[1]):
        states[i, lane] = states[i, lane] + shift if lane < n_lanes else 0


@kernel
def normals(key, step, layer, out):
    """Fill ``out`` (units, lanes) with the standard normal draws of a layer at a step."""
    stream = Stream(key, step)
    zero, one = out.dtype.type(0), out.dtype.type(1)
    for i in range(out.shape[0]):
        out[i] = 0
        to_normal(out, i, zero, zero, one, out.shape[1], row_key(stream, layer, i), 0)
