"""Random numbers that are functions of (key, step, layer, unit, lane).

They do not depend on which thread computes them.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compile import kernel, part
from .records import Stream
from .simd import splat

DRAWS_PER_MINIBATCH = 4096


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@part
def _mix(x):
    """Mix the bits of x by the finalizer of splitmix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@part
def later(stream, n_steps):
    """Return the place ``n_steps`` steps further on in a stream."""
    return Stream(stream.key, stream.step + n_steps)


@part
def row_key(stream, layer, unit):
    """Return the 64-bit key for the draws of one unit at one step of a stream."""
    place = (np.uint64(layer) << np.uint64(40)) | np.uint64(unit)
    return _mix(_mix(stream.key + np.uint64(stream.step) * _GOLDEN) ^ (place * _GOLDEN))


def emit_random(builder, row, lane):
    """Emit 24 random bits per lane, where ``lane`` is a 32-bit integer or a vector of them.

    The bits come from two rounds of a 32-bit multiply-xorshift hash. The lower half of the row's
    key enters before the first round, the upper half between the rounds.
    """
    kind, int32 = lane.type, ir.IntType(32)

    def spread(half):
        if not isinstance(kind, ir.VectorType):
            return half
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, half, int32(0))
        return builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(int32, kind.count), [0] * kind.count)
        )

    def shifted(x, bits):
        return builder.lshr(x, splat(kind, bits))

    low = spread(builder.trunc(row, int32))
    high = spread(builder.trunc(builder.lshr(row, ir.IntType(64)(32)), int32))
    x = builder.add(builder.mul(lane, splat(kind, 0x9E3779B9)), low)
    x = builder.mul(builder.xor(x, shifted(x, 16)), splat(kind, 0x7FEB352D))
    x = builder.xor(x, high)
    x = builder.mul(builder.xor(x, shifted(x, 15)), splat(kind, 0x846CA68B))
    return shifted(builder.xor(x, shifted(x, 16)), 8)


@intrinsic
def uniform(typing_context, row, lane):
    """Return the uniform number of a lane, in [0, 1) with 24 bits, as float32."""
    signature = types.float32(types.uint64, types.int64)

    def codegen(context, builder, signature, args):
        bits = emit_random(builder, args[0], builder.trunc(args[1], ir.IntType(32)))
        number = builder.uitofp(bits, ir.FloatType())
        return builder.fmul(number, ir.Constant(ir.FloatType(), 2.0**-24))

    return signature, codegen


@kernel
def uniforms(key, step, layer, out):
    """Fill ``out`` (units, lanes) with the uniform numbers of a layer at a step."""
    stream = Stream(key, step)
    for i in range(out.shape[0]):
        row = row_key(stream, layer, i)
        for lane in range(out.shape[1]):
            out[i, lane] = uniform(row, lane)
