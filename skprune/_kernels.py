"""All compiled code, in one file.

numba's cache knows a function by the file that holds it, not by the files of
what it calls: kernels spread over files would be served stale after an upgrade.

Conventions. States are unit-major, ``(units, lanes)``, one lane a sample or
chain; the number of lanes is padded to whole 64-byte vectors and the padding
holds zeros. A kernel that runs in a team ends its arguments with
``barrier, thread, n_threads``; which thread works never changes a bit, since
rows are shared out in fixed blocks and random numbers are functions of
``(key, step, layer, unit, lane)``. BLAS is reached by address, on one thread,
so that both threads of a team may call it on blocks of their own.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic, overload

VECTOR_BYTES = 64
MAX_VECTORS = 8  # vectors of lanes held in registers at a time
EDGE_BLOCK = 16  # upper units a block on pruned levels
DRAWS_PER_MINIBATCH = 4096

_FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def _jit(function):
    """Compile lazily, with a cache on disk where a place for one can be written."""
    try:
        return njit(cache=True, **_FLAGS)(function)
    except RuntimeError:  # numba found no writable cache directory
        return njit(**_FLAGS)(function)


BLAS_ADDRESS = {
    np.dtype(np.float32): get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
    np.dtype(np.float64): get_cython_function_address("scipy.linalg.cython_blas", "dgemm"),
}

# ---------------------------------------------------------------- intrinsics


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def _atomic_add(typing_context, array, index, value):
    signature = types.int64(array, types.intp, types.int64)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return signature, codegen


@intrinsic
def _atomic_load(typing_context, array, index):
    signature = types.int64(array, types.intp)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return signature, codegen


@intrinsic
def _gemm(
    typing_context, address, transpose_a, transpose_b, m, n, k, alpha,
    a, a_offset, lda, b, b_offset, ldb, beta, c, c_offset, ldc,
):  # fmt: skip
    """Call the Fortran-order gemm at this address: C = alpha op(A) op(B) + beta C."""
    number, integer = c.dtype, types.int64
    signature = types.void(
        integer, types.boolean, types.boolean, integer, integer, integer, number,
        a, integer, integer, b, integer, integer, number, c, integer, integer,
    )  # fmt: skip

    def codegen(context, builder, signature, args):
        (address, transpose_a, transpose_b, m, n, k, alpha,
         a, a_offset, lda, b, b_offset, ldb, beta, c, c_offset, ldc) = args  # fmt: skip
        byte, int32 = ir.IntType(8), ir.IntType(32)

        def by_reference(value, kind):
            slot = cgutils.alloca_once(builder, kind)
            builder.store(value, slot)
            return slot

        def size(value):
            return by_reference(builder.trunc(value, int32), int32)

        def letter(flag):
            return by_reference(builder.select(flag, byte(ord("T")), byte(ord("N"))), byte)

        kind = context.get_value_type(number)
        pointers = [
            letter(transpose_a), letter(transpose_b), size(m), size(n), size(k),
            by_reference(alpha, kind),
            _pointer(context, builder, signature.args[7], a, a_offset), size(lda),
            _pointer(context, builder, signature.args[10], b, b_offset), size(ldb),
            by_reference(beta, kind),
            _pointer(context, builder, signature.args[14], c, c_offset), size(ldc),
        ]  # fmt: skip
        gemm_type = ir.FunctionType(ir.VoidType(), [pointer.type for pointer in pointers])
        builder.call(builder.inttoptr(address, gemm_type.as_pointer()), pointers)
        return context.get_dummy_value()

    return signature, codegen


class _Vectors:
    """Emits loads, stores and arithmetic on 64-byte vectors of one number type."""

    def __init__(self, context, builder, number):
        self.builder = builder
        self.item_bytes = number.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.item_bytes
        self.type = ir.VectorType(context.get_value_type(number), self.lanes)

    def _place(self, row, position, k):
        number = self.builder.add(position, ir.IntType(64)(k))
        offset = self.builder.mul(number, ir.IntType(64)(self.lanes))
        return self.builder.bitcast(self.builder.gep(row, [offset]), self.type.as_pointer())

    def load(self, row, position, k):
        return self.builder.load(self._place(row, position, k), align=self.item_bytes)

    def store(self, value, row, position, k):
        self.builder.store(value, self._place(row, position, k), align=self.item_bytes)

    def broadcast(self, value):
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, x, y, z):
        product = self.builder.fmul(x, y, flags=("contract",))
        return self.builder.fadd(product, z, flags=("contract",))

    def total(self, value):
        """Add up the lanes by halving, in an order that is the same everywhere."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            undefined = ir.Constant(value.type, ir.Undefined)
            halves = [
                self.builder.shuffle_vector(
                    value,
                    undefined,
                    ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(k, k + lanes))),
                )
                for k in (0, lanes)
            ]
            value = self.builder.fadd(*halves)
        return self.builder.extract_element(value, ir.IntType(32)(0))


def _for_each_chunk(builder, n_vectors, emit):
    """Emit ``emit(size, position)`` over a row of vectors: eights, then what is left.

    ``size`` is known when the code is made, so a chunk lives in registers;
    which remainder it is, is decided at run time.
    """
    int64 = ir.IntType(64)
    position = cgutils.alloca_once_value(builder, int64(0))
    head = builder.append_basic_block("chunks")
    body = builder.append_basic_block("chunk")
    rest = builder.append_basic_block("rest")
    done = builder.append_basic_block("chunks.done")
    builder.branch(head)
    builder.position_at_end(head)
    left = builder.sub(n_vectors, builder.load(position))
    builder.cbranch(builder.icmp_signed(">=", left, int64(MAX_VECTORS)), body, rest)
    builder.position_at_end(body)
    emit(MAX_VECTORS, builder.load(position))
    builder.store(builder.add(builder.load(position), int64(MAX_VECTORS)), position)
    builder.branch(head)
    builder.position_at_end(rest)
    switch = builder.switch(left, done)
    for size in range(1, MAX_VECTORS):
        case = builder.append_basic_block(f"rest.{size}")
        switch.add_case(int64(size), case)
        builder.position_at_end(case)
        emit(size, builder.load(position))
        builder.branch(done)
    builder.position_at_end(done)


def _edge_loop(builder, count, initial, body):
    """Emit ``for e in range(count): carried = body(e, carried)``; return the carried values."""
    int64 = ir.IntType(64)
    before = builder.block
    loop = builder.append_basic_block("edges")
    after = builder.append_basic_block("after.edges")
    builder.cbranch(builder.icmp_signed(">", count, int64(0)), loop, after)
    builder.position_at_end(loop)
    edge = builder.phi(int64)
    edge.add_incoming(int64(0), before)
    carried = [builder.phi(value.type) for value in initial]
    for phi, value in zip(carried, initial, strict=True):
        phi.add_incoming(value, before)
    new = body(edge, carried)
    following = builder.add(edge, int64(1))
    edge.add_incoming(following, loop)
    for phi, value in zip(carried, new, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    result = []
    for start, end in zip(initial, new, strict=True):
        phi = builder.phi(start.type)
        phi.add_incoming(start, before)
        phi.add_incoming(end, loop)
        result.append(phi)
    return result


@intrinsic
def _add_edges(typing_context, out, i, states, indices, first, values, value_first, count):
    """``out[i, lane] += sum_e values[value_first + e] * states[indices[first + e], lane]``.

    The sums of a chunk of lanes stay in registers over all connections.
    """
    integer = types.int64
    signature = types.void(out, integer, states, indices, integer, values, integer, integer)

    def codegen(context, builder, signature, args):
        out, i, states, indices, first, values, value_first, count = args
        kinds = signature.args
        vectors = _Vectors(context, builder, kinds[0].dtype)
        stride = cgutils.unpack_tuple(
            builder, context.make_array(kinds[2])(context, builder, states).shape
        )[1]
        base = _pointer(context, builder, kinds[2], states, ir.IntType(64)(0))
        target = _pointer(context, builder, kinds[0], out, builder.mul(i, stride))
        index = _pointer(context, builder, kinds[3], indices, first)
        value = _pointer(context, builder, kinds[5], values, value_first)
        n_vectors = builder.sdiv(stride, ir.IntType(64)(vectors.lanes))

        def emit(size, position):
            def body(edge, sums):
                unit = builder.sext(builder.load(builder.gep(index, [edge])), ir.IntType(64))
                weight = vectors.broadcast(builder.load(builder.gep(value, [edge])))
                row = builder.gep(base, [builder.mul(unit, stride)])
                return [
                    vectors.multiply_add(weight, vectors.load(row, position, k), sums[k])
                    for k in range(size)
                ]

            initial = [vectors.load(target, position, k) for k in range(size)]
            for k, value_ in enumerate(_edge_loop(builder, count, initial, body)):
                vectors.store(value_, target, position, k)

        _for_each_chunk(builder, n_vectors, emit)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_edge_products(
    typing_context, out, out_first, upper, i, lower, indices, first, count, scale
):
    """``out[out_first + e] += scale * upper[i] . lower[indices[first + e]]`` for every connection."""
    integer = types.int64
    signature = types.void(
        out, integer, upper, integer, lower, indices, integer, integer, out.dtype
    )

    def codegen(context, builder, signature, args):
        out, out_first, upper, i, lower, indices, first, count, scale = args
        kinds = signature.args
        vectors = _Vectors(context, builder, kinds[0].dtype)
        stride = cgutils.unpack_tuple(
            builder, context.make_array(kinds[4])(context, builder, lower).shape
        )[1]
        target = _pointer(context, builder, kinds[0], out, out_first)
        own = _pointer(context, builder, kinds[2], upper, builder.mul(i, stride))
        base = _pointer(context, builder, kinds[4], lower, ir.IntType(64)(0))
        index = _pointer(context, builder, kinds[5], indices, first)
        n_vectors = builder.sdiv(stride, ir.IntType(64)(vectors.lanes))
        factor = vectors.broadcast(scale)

        def emit(size, position):
            mine = [builder.fmul(factor, vectors.load(own, position, k)) for k in range(size)]

            def body(edge, _):
                unit = builder.sext(builder.load(builder.gep(index, [edge])), ir.IntType(64))
                row = builder.gep(base, [builder.mul(unit, stride)])
                total = builder.fmul(mine[0], vectors.load(row, position, 0))
                for k in range(1, size):
                    total = vectors.multiply_add(mine[k], vectors.load(row, position, k), total)
                place = builder.gep(target, [edge])
                builder.store(builder.fadd(builder.load(place), vectors.total(total)), place)
                return []

            _edge_loop(builder, count, [], body)

        _for_each_chunk(builder, n_vectors, emit)
        return context.get_dummy_value()

    return signature, codegen


def _bit_place(builder, bits, lanes, n_units, unit, k):
    """Address of the bits of vector ``k`` of a unit in (groups of 16 lanes, units) of uint16."""
    int64 = ir.IntType(64)
    lane = builder.mul(k, int64(lanes))
    group = builder.lshr(lane, int64(4))
    word = builder.add(builder.mul(group, n_units), unit)
    byte = builder.lshr(builder.and_(lane, int64(15)), int64(3))
    position = builder.add(builder.mul(word, int64(2)), byte)
    base = builder.bitcast(bits, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(base, [position]), ir.IntType(lanes).as_pointer())


def _bit_intrinsic(pack):
    @intrinsic
    def move_row(typing_context, states, bits, i):
        """Between row ``i`` of 0/1 states and its bits."""
        signature = types.void(states, bits, types.int64)

        def codegen(context, builder, signature, args):
            states_type, bits_type, _ = signature.args
            vectors = _Vectors(context, builder, states_type.dtype)
            states = context.make_array(states_type)(context, builder, args[0])
            bits = context.make_array(bits_type)(context, builder, args[1])
            stride = cgutils.unpack_tuple(builder, states.shape)[1]
            n_units = cgutils.unpack_tuple(builder, bits.shape)[1]
            row = builder.gep(states.data, [builder.mul(args[2], stride)])
            flags = ir.VectorType(ir.IntType(1), vectors.lanes)
            zeros = ir.Constant(vectors.type, [0.0] * vectors.lanes)
            ones = ir.Constant(vectors.type, [1.0] * vectors.lanes)
            n_vectors = builder.sdiv(stride, ir.IntType(64)(vectors.lanes))
            with cgutils.for_range(builder, n_vectors) as loop:
                place = _bit_place(builder, bits.data, vectors.lanes, n_units, args[2], loop.index)
                if pack:
                    on = builder.fcmp_unordered("une", vectors.load(row, loop.index, 0), zeros)
                    builder.store(builder.bitcast(on, ir.IntType(vectors.lanes)), place, align=1)
                else:
                    on = builder.bitcast(builder.load(place, align=1), flags)
                    vectors.store(builder.select(on, ones, zeros), row, loop.index, 0)
            return context.get_dummy_value()

        return signature, codegen

    return move_row


_pack_row = _bit_intrinsic(pack=True)
_unpack_row = _bit_intrinsic(pack=False)

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@_jit
def _meet(barrier, n_threads):
    """Wait for the whole team; False if the team was called off.

    Slots: 0 counts arrivals, 8 the meetings held, 16 calls the team off (one
    cache line each). After some thousand looks the core is offered to others,
    so that a busy machine slows a team down but never stops it.
    """
    if n_threads == 1:
        return True
    meeting = _atomic_load(barrier, 8)
    if _atomic_add(barrier, 0, 1) == n_threads - 1:
        _atomic_add(barrier, 0, -n_threads)
        _atomic_add(barrier, 8, 1)
        return True
    looks = 0
    while _atomic_load(barrier, 8) == meeting:
        if _atomic_load(barrier, 16) != 0:
            return False
        looks += 1
        if looks > 4000:
            _sched_yield()
    return True


# ------------------------------------------------------------ random numbers

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@_jit
def _mix(x):
    """The finaliser of splitmix64 (public domain; Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_jit
def row_key(key, step, layer, unit):
    """64 bits for the draws of one unit at one step."""
    place = (np.uint64(layer) << np.uint64(40)) | np.uint64(unit)
    return _mix(_mix(key + np.uint64(step) * _GOLDEN) ^ (place * _GOLDEN))


@_jit
def uniform(row, lane):
    """The uniform number in [0, 1) of a lane, 24 bits, as float32.

    Two rounds of a 32-bit multiply-xorshift hash; the lower half of the row's
    key starts it, the upper half enters between the rounds. 32-bit arithmetic
    so that it runs in vectors.
    """
    x = np.uint32(np.uint32(lane) * np.uint32(0x9E3779B9)) + np.uint32(row)
    x = np.uint32(x)
    x = np.uint32(x ^ np.uint32(x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ np.uint32(row >> np.uint64(32)))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(16)))
    return np.float32(np.int32(x >> np.uint32(8))) * np.float32(2.0**-24)


@_jit
def uniforms(key, step, layer, out):
    """Fill ``out`` (units, lanes) with the numbers that a draw at this place uses."""
    for i in range(out.shape[0]):
        row = row_key(key, step, layer, i)
        for lane in range(out.shape[1]):
            out[i, lane] = uniform(row, lane)


# ------------------------------------------------------------- unit by unit


def exp(x):
    """e**x in kernels: polynomial, without branches, so that it runs in vectors."""
    return np.exp(x)


@overload(exp, jit_options=_FLAGS, inline="never")
def _exp_overload(x):
    # Interpolation of exp at Chebyshev nodes on [-ln2/2, ln2/2]; relative error
    # 1e-7 (degree 5) and 4e-18 (degree 11), our own coefficients.
    if x == types.float32:
        limit, log2e, ln2, half = (
            np.float32(87.0), np.float32(1.4426950408889634), np.float32(0.6931471805599453),
            np.float32(0.5),
        )  # fmt: skip
        c0, c1, c2, c3, c4, c5 = (
            np.float32(1.0000000754548972), np.float32(1.00000001077157),
            np.float32(0.49998869378303396), np.float32(0.16666505260408124),
            np.float32(0.04191750724961526), np.float32(0.00836914849085642),
        )  # fmt: skip

        def exp32(x):
            z = min(max(x, -limit), limit) * log2e
            k = np.floor(z + half)
            r = (z - k) * ln2
            p = c0 + r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * c5))))
            power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
            return p * power.view(np.float32)

        return exp32

    def exp64(x):
        z = min(max(x, -708.0), 708.0) * 1.4426950408889634
        k = np.floor(z + 0.5)
        r = (z - k) * 0.6931471805599453
        p = 2.7632602969184506e-07 + r * 2.5107622666860355e-08
        p = 2.4801485595661824e-05 + r * (2.755724864300753e-06 + r * p)
        p = 0.0013888888952189188 + r * (0.00019841269881217498 + r * p)
        p = 0.04166666666648869 + r * (0.008333333333323853 + r * p)
        p = 0.5000000000000018 + r * (0.16666666666666674 + r * p)
        p = 1.0 + r * (1.0 + r * p)
        power = np.int64((np.int64(k) + np.int64(1023)) << np.int64(52))
        return p * power.view(np.float64)

    return exp64


@_jit
def _to_mean(states, i, shift, scale, n_lanes):
    """Turn row i from its input into ``sigmoid(scale * input + shift)``; padding set to 0.

    In place: were source and target two arguments, the compiler would have to
    check whether they overlap, and would not use vectors where they do.
    """
    one = states.dtype.type(1)
    for lane in range(states.shape[1]):
        states[i, lane] = one / (one + exp(-(scale * states[i, lane] + shift)))
    for lane in range(n_lanes, states.shape[1]):
        states[i, lane] = 0


@_jit
def _to_draw(states, i, shift, scale, row, lane_0, n_lanes):
    """Turn row i from its input into a draw: 1 with probability sigmoid(scale * input + shift)."""
    one = states.dtype.type(1)
    for lane in range(states.shape[1]):
        mean = one / (one + exp(-(scale * states[i, lane] + shift)))
        states[i, lane] = uniform(row, lane_0 + lane) < mean
    for lane in range(n_lanes, states.shape[1]):
        states[i, lane] = 0


@_jit
def _draw_from(means, i, row, lane_0, n_lanes, out):
    """Draw row i of ``out`` from the probabilities in ``means``, another array."""
    for lane in range(means.shape[1]):
        out[i, lane] = uniform(row, lane_0 + lane) < means[i, lane]
    for lane in range(n_lanes, means.shape[1]):
        out[i, lane] = 0


# ------------------------------------------------------------------- fields


@_jit
def _add_from_below(level, lower, out, start, stop, scratch, blas):
    """Add ``weights[start:stop] @ lower`` to rows start..stop of ``out``."""
    stride = lower.shape[1]
    if level.weights.shape[0] > 0:
        n_lower = level.weights.shape[1]
        one = out.dtype.type(1)
        _gemm(
            blas, False, False, stride, stop - start, n_lower, one, lower, 0, stride,
            level.weights, start * n_lower, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
    else:
        indptr, indices, values = level.edges.indptr, level.edges.indices, level.values
        for i in range(start, stop):
            first = indptr[i]
            _add_edges(out, i, lower, indices, first, values, first, indptr[i + 1] - first)


@_jit
def _add_from_above(level, upper, out, start, stop, scratch, blas):
    """Add ``weights[:, start:stop].T @ upper`` to rows start..stop of ``out``."""
    stride = upper.shape[1]
    if level.weights.shape[0] > 0:
        n_upper, n_lower = level.weights.shape
        one = out.dtype.type(1)
        _gemm(
            blas, False, True, stride, stop - start, n_upper, one, upper, 0, stride,
            level.weights, start, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
    else:
        indptr, indices = level.edges.down_indptr, level.edges.down_indices
        order, values = level.edges.down_order, level.values
        for j in range(start, stop):
            first = indptr[j]
            count = indptr[j + 1] - first
            for e in range(count):  # one random access a connection, not one a lane
                scratch[e] = values[order[first + e]]
            _add_edges(out, j, upper, indices, first, scratch, 0, count)


@_jit
def _field_rows(stack, layer, lower, upper, out, start, stop, scratch, blas):
    """Rows start..stop of the input to a layer from both neighbours, without its bias."""
    out[start:stop] = 0
    if layer > 0:
        _add_from_below(stack.levels[layer - 1], lower, out, start, stop, scratch, blas)
    if layer < len(stack.levels):
        _add_from_above(stack.levels[layer], upper, out, start, stop, scratch, blas)


@_jit
def block_rows(stack, layer):
    """Units a block of this layer. Depends on the machine alone, never on the threads."""
    n_units = stack.biases[layer].size
    dense = False
    if layer > 0:
        dense = stack.levels[layer - 1].weights.shape[0] > 0
    if layer < len(stack.levels):
        dense = dense or stack.levels[layer].weights.shape[0] > 0
    if not dense:
        return EDGE_BLOCK
    n_blocks = 4 * ((n_units + 511) // 512)
    return (n_units + n_blocks - 1) // n_blocks


# ----------------------------------------------------------- blocks of lanes


@_jit
def fields(stack, layer, states, out, scratch, blas):
    """The input to a whole layer, bias included, given its neighbours' states."""
    n_units = stack.biases[layer].size
    lower = states[layer - 1] if layer > 0 else out
    upper = states[layer + 1] if layer < len(stack.levels) else out
    _field_rows(stack, layer, lower, upper, out, 0, n_units, scratch, blas)
    for i in range(n_units):
        out[i] += stack.biases[layer][i]


@_jit
def update_layer(stack, layer, states, sample, n_lanes, lane_0, key, step, scratch, blas):
    """Replace a layer's states by its activation probabilities, or by a draw from them."""
    out = states[layer]
    lower = states[layer - 1] if layer > 0 else out
    upper = states[layer + 1] if layer < len(stack.levels) else out
    n_units = stack.biases[layer].size
    one = out.dtype.type(1)
    block = block_rows(stack, layer)
    for start in range(0, n_units, block):
        stop = min(start + block, n_units)
        _field_rows(stack, layer, lower, upper, out, start, stop, scratch, blas)
        for i in range(start, stop):
            bias = stack.biases[layer][i]
            if sample:
                row = row_key(key, step, layer, i)
                _to_draw(out, i, bias, one, row, lane_0, n_lanes)
            else:
                _to_mean(out, i, bias, one, n_lanes)


@_jit
def gibbs_sweeps(stack, states, clamped, n_sweeps, n_lanes, lane_0, key, first_step, scratch, blas):
    """Odd layers given even ones, then even given odd, ``n_sweeps`` times.

    ``clamped`` (n_visible, lanes) holds the visible states that stay, NaN where
    a unit is free; a size of 0 clamps nothing.
    """
    for sweep in range(n_sweeps):
        step = first_step + sweep
        for parity in (1, 0):
            for layer in range(parity, len(states), 2):
                update_layer(stack, layer, states, True, n_lanes, lane_0, key, step, scratch, blas)
        if clamped.size:
            visible = states[0]
            for i in range(visible.shape[0]):
                for lane in range(n_lanes):
                    if not np.isnan(clamped[i, lane]):
                        visible[i, lane] = clamped[i, lane]


@_jit
def mean_field(stack, states, tolerance, max_updates, n_lanes, scratch, blas):
    """Mean field of the hidden layers given the visible ones; returns updates used a lane.

    A lane stops when no unit of it moved by more than ``tolerance``, whatever
    the other lanes do, so a sample's result never depends on its batch. With
    one hidden layer the first update is exact.
    """
    used = np.zeros(n_lanes, dtype=np.int64)
    change = np.zeros(states[0].shape[1], dtype=states[0].dtype)
    active = np.ones(states[0].shape[1], dtype=np.bool_)
    n_layers = len(states)
    fresh = np.zeros_like(states[0])
    for _ in range(max_updates):
        change[:] = 0
        for layer in range(1, n_layers):
            n_units = stack.biases[layer].size
            if fresh.shape[0] < n_units:
                fresh = np.zeros((n_units, states[0].shape[1]), dtype=states[0].dtype)
            old = states[layer]
            upper = states[layer + 1] if layer + 1 < n_layers else old
            _field_rows(stack, layer, states[layer - 1], upper, fresh, 0, n_units, scratch, blas)
            one = old.dtype.type(1)
            for i in range(n_units):
                _to_mean(fresh, i, stack.biases[layer][i], one, n_lanes)
                for lane in range(n_lanes):
                    if active[lane]:
                        change[lane] = max(change[lane], abs(fresh[i, lane] - old[i, lane]))
                        old[i, lane] = fresh[i, lane]
        going = False
        for lane in range(n_lanes):
            if active[lane]:
                used[lane] += 1
                active[lane] = n_layers > 2 and change[lane] > tolerance
                going = going or active[lane]
        if not going:
            break
    return used


@_jit
def add_softplus(field, total):
    """``total[lane] += sum_i log(1 + exp(field[i, lane]))``, in float64.

    The logarithm of a product of sixteen factors is taken at once; a factor
    1 + exp(-|x|) is at most 2, so the product cannot overflow.
    """
    lanes = field.shape[1]
    product = np.ones(lanes, dtype=np.float64)
    linear = np.zeros(lanes, dtype=np.float64)
    one, zero = field.dtype.type(1), field.dtype.type(0)
    for i in range(field.shape[0]):
        for lane in range(lanes):
            x = field[i, lane]
            linear[lane] += max(x, zero)
            product[lane] *= one + exp(-abs(x))
        if i % 16 == 15:
            for lane in range(lanes):
                linear[lane] += np.log(product[lane])
                product[lane] = 1.0
    for lane in range(total.size):
        total[lane] += linear[lane] + np.log(product[lane])


@_jit
def pseudo_log_likelihood(stack, visible, field, total):
    """``total[lane] = sum_i log p(v_i | all other visible units)`` of an RBM.

    ``field`` is the hidden units' input with bias. Turning bit i over changes
    only the fields of the hidden units it is connected to.
    """
    level = stack.levels[0]
    dense = level.weights.shape[0] > 0
    lanes, n_hidden = field.shape[1], field.shape[0]
    one, zero = field.dtype.type(1), field.dtype.type(0)
    softplus = np.empty((n_hidden, lanes), dtype=np.float64)
    for k in range(n_hidden):
        for lane in range(lanes):
            x = field[k, lane]
            softplus[k, lane] = max(x, zero) + np.log1p(np.exp(-abs(x)))
    product = np.empty(lanes, dtype=np.float64)
    change = np.empty(lanes, dtype=np.float64)
    for i in range(visible.shape[0]):
        product[:] = 1
        for lane in range(lanes):
            change[lane] = (1 - 2 * visible[i, lane]) * stack.biases[0][i]
        first = 0 if dense else level.edges.down_indptr[i]
        last = n_hidden if dense else level.edges.down_indptr[i + 1]
        for e in range(first, last):
            k = e if dense else level.edges.down_indices[e]
            weight = level.weights[k, i] if dense else level.values[level.edges.down_order[e]]
            for lane in range(lanes):
                x = field[k, lane] + (one - visible[i, lane] - visible[i, lane]) * weight
                change[lane] += max(x, zero) - softplus[k, lane]
                product[lane] *= one + exp(-abs(x))
            if (e - first) % 16 == 15:
                for lane in range(lanes):
                    change[lane] += np.log(product[lane])
                    product[lane] = 1
        for lane in range(total.size):
            d = change[lane] + np.log(product[lane])
            total[lane] -= max(d, 0.0) + np.log1p(np.exp(-abs(d)))


@_jit
def anneal(stack, base, betas, states, log_weights, n_lanes, lane_0, key, scratch, blas):
    """Annealed importance sampling of one block of chains (Neal 2001).

    The odd layers are summed out. The path scales weights and odd biases by
    beta and the even biases from ``base`` to their own: log p*_beta(even) =
    sum_even ((1 - beta) base + beta b) s + sum_odd softplus(beta (W s + c)).
    Adds to ``log_weights``.
    """
    n_layers = len(states)
    dtype = states[0].dtype
    lanes = states[0].shape[1]
    upper_product = np.ones(lanes, dtype=np.float64)
    lower_product = np.ones(lanes, dtype=np.float64)
    linear = np.zeros(lanes, dtype=np.float64)
    one, zero = dtype.type(1), dtype.type(0)
    for layer in range(0, n_layers, 2):
        for i in range(stack.biases[layer].size):
            states[layer][i] = 0
            row = row_key(key, 0, layer, i)
            _to_draw(states[layer], i, base[layer][i], one, row, lane_0, n_lanes)
    for k in range(1, betas.size):
        old, new = dtype.type(betas[k - 1]), dtype.type(betas[k])
        linear[:] = 0
        for layer in range(0, n_layers, 2):
            for i in range(stack.biases[layer].size):
                gain = (new - old) * (stack.biases[layer][i] - base[layer][i])
                for lane in range(lanes):
                    linear[lane] += gain * states[layer][i, lane]
        for layer in range(1, n_layers, 2):
            n_units = stack.biases[layer].size
            upper = states[layer + 1] if layer + 1 < n_layers else states[layer]
            x = states[layer]
            _field_rows(stack, layer, states[layer - 1], upper, x, 0, n_units, scratch, blas)
            for i in range(n_units):
                bias = stack.biases[layer][i]
                for lane in range(lanes):
                    a = x[i, lane] + bias
                    linear[lane] += (new - old) * max(a, zero)
                    upper_product[lane] *= one + exp(-abs(new * a))
                    lower_product[lane] *= one + exp(-abs(old * a))
                if i % 16 == 15 or i == n_units - 1:
                    for lane in range(lanes):
                        linear[lane] += np.log(upper_product[lane] / lower_product[lane])
                    upper_product[:] = 1
                    lower_product[:] = 1
                row = row_key(key, k, layer, i)
                _to_draw(x, i, new * bias, new, row, lane_0, n_lanes)
        for lane in range(n_lanes):
            log_weights[lane] += linear[lane]
        if k == betas.size - 1:
            break
        for layer in range(0, n_layers, 2):
            n_units = stack.biases[layer].size
            lower = states[layer - 1] if layer > 0 else states[layer]
            upper = states[layer + 1] if layer + 1 < n_layers else states[layer]
            x = states[layer]
            _field_rows(stack, layer, lower, upper, x, 0, n_units, scratch, blas)
            for i in range(n_units):
                shift = new * stack.biases[layer][i] + (one - new) * base[layer][i]
                row = row_key(key, k, layer, i)
                _to_draw(x, i, shift, new, row, lane_0, n_lanes)


# --------------------------------------------------------------------- data


@_jit
def load_dense(data, rows, out):
    """Copy rows of sample-major data into the lanes of ``out``; padding set to 0.

    Sixteen rows at a time, so that each line of ``out`` is written while it is
    in the cache. Unsigned indices spare a test for negative ones in every copy.
    """
    for start in range(0, rows.size, 16):
        stop = min(start + 16, rows.size)
        for j in range(np.uint64(out.shape[0])):
            for lane in range(np.uint64(start), np.uint64(stop)):
                out[j, lane] = data[np.uint64(rows[lane]), j]
    for j in range(out.shape[0]):
        for lane in range(rows.size, out.shape[1]):
            out[j, lane] = 0


@_jit
def load_csr(values, indices, indptr, rows, out):
    """Densify rows of a CSR matrix into the lanes of ``out``."""
    out[:] = 0
    for lane in range(rows.size):
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            out[indices[e], lane] = values[e]


@_jit
def store_rows(states, out):
    """Copy lanes back into sample-major rows."""
    for start in range(0, out.shape[0], 16):
        stop = min(start + 16, out.shape[0])
        for i in range(np.uint64(states.shape[0])):
            for lane in range(np.uint64(start), np.uint64(stop)):
                out[lane, i] = states[i, lane]


@_jit
def unpack(bits, states):
    """Set states from their bits."""
    for i in range(states.shape[0]):
        _unpack_row(states, bits, i)


@_jit
def means_of_rows(data, weights, biases, out, blas):
    """``out = sigmoid(data @ weights.T + biases)``, sample-major, for a full level."""
    n_upper, n_lower = weights.shape
    one, zero = out.dtype.type(1), out.dtype.type(0)
    _gemm(
        blas, True, False, n_upper, data.shape[0], n_lower, one, weights, 0, n_lower,
        data, 0, n_lower, zero, out, 0, n_upper,
    )  # fmt: skip
    for row in range(out.shape[0]):
        for i in range(n_upper):
            out[row, i] = one / (one + exp(-(out[row, i] + biases[i])))


@_jit
def is_binary_dense(data):
    """Whether every number is 0 or 1."""
    for i in range(data.shape[0]):
        others = 0
        for j in range(data.shape[1]):
            others += (data[i, j] != 0) & (data[i, j] != 1)
        if others:
            return False
    return True


@_jit
def load_bits_dense(data, rows, bits):
    """Set ``bits`` (groups of 16 lanes, units) from rows of 0/1 data."""
    for group in range(bits.shape[0]):
        words = bits[group]
        words[:] = 0
        for lane in range(16 * group, min(16 * group + 16, rows.size)):
            row = data[rows[lane]]
            shift = np.uint16(lane - 16 * group)
            for j in range(words.size):
                words[j] |= np.uint16(np.uint16(row[j] != 0) << shift)


@_jit
def load_bits_csr(values, indices, indptr, rows, bits):
    """The same from a CSR matrix."""
    bits[:] = 0
    for lane in range(rows.size):
        words, flag = bits[lane // 16], np.uint16(1 << (lane % 16))
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            if values[e] != 0:
                words[indices[e]] |= flag


@_jit
def load_minibatches_dense(data, order, sizes, out, bits, barrier, thread, n_threads):
    """Load consecutive minibatches of ``order``, as bits where there is room for them."""
    if not _meet(barrier, n_threads):
        return
    start = 0
    for m in range(sizes.size):
        if m % n_threads == thread:
            rows = order[start : start + sizes[m]]
            if bits.size:
                load_bits_dense(data, rows, bits[m])
            else:
                load_dense(data, rows, out[m])
        start += sizes[m]


@_jit
def load_minibatches_csr(
    values, indices, indptr, order, sizes, out, bits, barrier, thread, n_threads
):
    """The same from a CSR matrix."""
    if not _meet(barrier, n_threads):
        return
    start = 0
    for m in range(sizes.size):
        if m % n_threads == thread:
            rows = order[start : start + sizes[m]]
            if bits.size:
                load_bits_csr(values, indices, indptr, rows, bits[m])
            else:
                load_csr(values, indices, indptr, rows, out[m])
        start += sizes[m]


# ----------------------------------------------------------------- training


@_jit
def _row_sum(states, i, n_lanes):
    total = states.dtype.type(0)
    for lane in range(n_lanes):
        total += states[i, lane]
    return total


@_jit
def _step_weights(all_weights, first, all_gradient, count, all_velocity, rate, options):
    """Step ``all_weights[first:first + count]`` along ``all_gradient[:count]``.

    Momentum and L2 act on the gradient; L1 shrinks after the step (proximal).
    Slices, because an index ``first + e`` might be negative for all the
    compiler knows, and the test for it keeps loops from using vectors.
    """
    momentum, l2, shrink = options.momentum, options.l2, rate * options.l1
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
    if shrink > 0:
        for e in range(count):
            weights[e] -= min(max(weights[e], -shrink), shrink)


@_jit
def _bound_norm(weights, first, last, max_norm):
    """Scale the weights of one upper unit down to the largest norm allowed."""
    norm = weights.dtype.type(0)
    for e in range(first, last):
        norm += weights[e] * weights[e]
    if norm > max_norm * max_norm:
        factor = max_norm / np.sqrt(norm)
        for e in range(first, last):
            weights[e] *= factor


@_jit
def _update_dense_rows(
    level, velocity, data, model, n_data, n_model, start, stop, rate, options, work, blas
):
    """Gradient step on rows start..stop of a dense level."""
    n_lower = level.weights.shape[1]
    zero, one = work.dtype.type(0), work.dtype.type(1)
    lower, upper = data
    _gemm(
        blas, True, False, n_lower, stop - start, lower.shape[1], one / work.dtype.type(n_data),
        lower, 0, lower.shape[1], upper, start * upper.shape[1], upper.shape[1],
        zero, work, 0, n_lower,
    )  # fmt: skip
    lower, upper = model
    _gemm(
        blas, True, False, n_lower, stop - start, lower.shape[1], -one / work.dtype.type(n_model),
        lower, 0, lower.shape[1], upper, start * upper.shape[1], upper.shape[1],
        one, work, 0, n_lower,
    )  # fmt: skip
    if level.mask.shape[0] > 0:
        for i in range(start, stop):
            gradient, mask = work[(i - start) * n_lower :], level.mask[i]
            for j in range(n_lower):
                gradient[j] *= mask[j]
    flat = level.weights.reshape(level.weights.size)
    first = start * n_lower
    _step_weights(flat, first, work, (stop - start) * n_lower, velocity, rate, options)
    if options.max_norm > 0:
        for i in range(start, stop):
            _bound_norm(flat, i * n_lower, (i + 1) * n_lower, options.max_norm)


@_jit
def _update_edge_rows(
    level, velocity, data, model, n_data, n_model, start, stop, rate, options, work
):
    """Gradient step on the connections of upper units start..stop of a pruned level."""
    one = work.dtype.type(1)
    indptr, indices = level.edges.indptr, level.edges.indices
    lower, upper = data
    model_lower, model_upper = model
    block_first = indptr[start]
    block_count = indptr[stop] - block_first
    data_scale, model_scale = one / work.dtype.type(n_data), -one / work.dtype.type(n_model)
    work[:block_count] = 0
    for i in range(start, stop):
        first = indptr[i]
        count = indptr[i + 1] - first
        place = first - block_first
        _add_edge_products(work, place, upper, i, lower, indices, first, count, data_scale)
        _add_edge_products(
            work, place, model_upper, i, model_lower, indices, first, count, model_scale
        )
    _step_weights(level.values, block_first, work, block_count, velocity, rate, options)
    if options.max_norm > 0:
        for i in range(start, stop):
            _bound_norm(level.values, indptr[i], indptr[i + 1], options.max_norm)


@_jit
def _step_biases(stack, layer, state, rate, options, start, stop):
    """Step the biases of units start..stop, and their running means."""
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


@_jit
def _recentre(stack, state, sign, scratch, blas, thread, n_threads):
    """Add ``sign`` times the input that the offsets alone would give to every bias.

    Takes the biases of the machine to those of the centred machine, whose
    fields are W (s - offset) + b, and back.
    """
    n_layers = len(stack.biases)
    for layer in range(n_layers):
        out, biases = state.shifts[layer], stack.biases[layer]
        lower = state.offset_states[layer - 1] if layer > 0 else out
        upper = state.offset_states[layer + 1] if layer + 1 < n_layers else out
        block = block_rows(stack, layer)
        for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
            start, stop = b * block, min(b * block + block, out.shape[0])
            _field_rows(stack, layer, lower, upper, out, start, stop, scratch, blas)
            for i in range(start, stop):
                biases[i] += sign * out[i, 0]


@_jit
def _team_draw(stack, layer, state, room, n_lanes, key, step, blas, thread, n_threads):
    """Draw this thread's rows of the chains of a layer given its neighbours."""
    out = room.local[layer][thread]
    lower = room.local[layer - 1][thread] if layer > 0 else out
    upper = room.local[layer + 1][thread] if layer + 1 < len(stack.biases) else out
    biases, offsets, bits = stack.biases[layer], state.offsets[layer], room.bits[layer]
    scratch = room.scratch[thread]
    block = block_rows(stack, layer)
    one = out.dtype.type(1)
    for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, out.shape[0])
        _field_rows(stack, layer, lower, upper, out, start, stop, scratch, blas)
        for i in range(start, stop):
            row = row_key(key, step, layer, i)
            _to_draw(out, i, biases[i] - out[i, n_lanes], one, row, 0, n_lanes)
            if n_threads > 1:
                _pack_row(out, bits, i)
            out[i, n_lanes] = offsets[i]


@_jit
def _fetch(stack, state, room, parity, n_lanes, thread, n_threads):
    """Read what the other threads drew, as bits, into this thread's own states.

    Cores share bits, not states: 32 times less passes between their caches.
    """
    if n_threads == 1:
        return
    for layer in range(parity, len(stack.biases), 2):
        out, offsets, bits = room.local[layer][thread], state.offsets[layer], room.bits[layer]
        block = block_rows(stack, layer)
        for b in range((out.shape[0] + block - 1) // block):
            if b % n_threads != thread:
                for i in range(b * block, min(b * block + block, out.shape[0])):
                    _unpack_row(out, bits, i)
                    out[i, n_lanes] = offsets[i]


@_jit
def _positive_phase(
    stack, state, room, visible, n_data, key, step, persistent, blas, thread, n_threads
):
    """Probabilities of the one hidden layer given the data; CD chains start from a draw of them."""
    hidden, chains, bits = state.positive[1], room.local[1][thread], room.bits[1]
    biases, offsets = stack.biases[1], state.offsets[1]
    scratch = room.scratch[thread]
    block = block_rows(stack, 1)
    one = hidden.dtype.type(1)
    for b in range(thread, (hidden.shape[0] + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, hidden.shape[0])
        _field_rows(stack, 1, visible, hidden, hidden, start, stop, scratch, blas)
        for i in range(start, stop):
            _to_mean(hidden, i, biases[i] - hidden[i, n_data], one, n_data)
            if not persistent:
                row = row_key(key, step, 1, i)
                _draw_from(hidden, i, row, 0, n_data, chains)
                if n_threads > 1:
                    _pack_row(chains, bits, i)
                chains[i, n_data] = offsets[i]


@_jit
def _last_odd_means(stack, state, room, n_model, key, step, persistent, blas, thread, n_threads):
    """Probabilities of the odd layers of the chains; persistent ones draw where to go on from."""
    n_layers = len(stack.biases)
    scratch = room.scratch[thread]
    for layer in range(1, n_layers, 2):
        out, chains, bits = state.chain_means[layer], room.local[layer][thread], room.bits[layer]
        lower = room.local[layer - 1][thread]
        upper = room.local[layer + 1][thread] if layer + 1 < n_layers else out
        biases, offsets = stack.biases[layer], state.offsets[layer]
        block = block_rows(stack, layer)
        one = out.dtype.type(1)
        for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
            start, stop = b * block, min(b * block + block, out.shape[0])
            _field_rows(stack, layer, lower, upper, out, start, stop, scratch, blas)
            for i in range(start, stop):
                _to_mean(out, i, biases[i] - out[i, n_model], one, n_model)
                if persistent:
                    row = row_key(key, step, layer, i)
                    _draw_from(out, i, row, 0, n_model, chains)
                    if n_threads > 1:
                        _pack_row(chains, bits, i)
                    chains[i, n_model] = offsets[i]


@_jit
def _statistics(
    stack, layer, state, positive, negative, n_data, n_model, rate, options, thread, n_threads
):
    """Data minus model means of a layer; step its biases; write the spare lanes of the centring.

    With d the difference of means and o the offset of a unit, the centred
    gradient is <upper lower>_data - <upper lower>_model - d_upper o_lower -
    o_upper d_lower. Two spare lanes put the last two terms into the product
    over the data lanes: (o, d) in even layers, -n_data (d, o) in odd ones.
    """
    size = positive.dtype.type(n_data)
    delta, offset, activity, gap = (
        state.delta[layer], state.offsets[layer], state.activity[layer], state.gap
    )  # fmt: skip
    block = block_rows(stack, layer)
    for b in range(thread, (delta.size + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, delta.size)
        for i in range(start, stop):
            here = _row_sum(positive, i, n_data) / size
            delta[i] = here - _row_sum(negative, i, n_model) / positive.dtype.type(n_model)
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


@_jit
def _own_rows(stack, layer, i, thread, n_threads):
    """Whether unit ``i`` of a layer is this thread's."""
    return (i // block_rows(stack, layer)) % n_threads == thread


@_jit
def _update_level(
    stack, number, state, visible, room, n_data, n_model, rate, options, blas, thread, n_threads
):
    """Gradient step on this thread's rows of a level."""
    level = stack.levels[number]
    n_upper = stack.biases[number + 1].size
    below = visible if number == 0 else state.positive[number]
    if number % 2 == 0:
        model = (room.local[number][thread], state.chain_means[number + 1])
    else:
        model = (state.chain_means[number], room.local[number + 1][thread])
    data = (below, state.positive[number + 1])
    velocity, work = state.velocity[number], room.gradient[thread]
    block = block_rows(stack, number + 1)
    for b in range(thread, (n_upper + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, n_upper)
        if level.weights.shape[0] > 0:
            _update_dense_rows(
                level,
                velocity,
                data,
                model,
                n_data,
                n_model,
                start,
                stop,
                rate,
                options,
                work,
                blas,
            )
        else:
            _update_edge_rows(
                level, velocity, data, model, n_data, n_model, start, stop, rate, options, work
            )


@_jit
def train_minibatches(
    stack, state, data, data_bits, sizes, rates, infer, n_gibbs_steps, persistent, n_chains, options,
    key, first_step, room, blas, barrier, thread, n_threads,
):  # fmt: skip
    """Gradient steps on consecutive minibatches, by a team.

    ``state`` holds the positive phase, the chains and the running means (see
    ``_training.TrainingState``), ``room`` what each thread has for itself. The
    minibatches come as states in ``data``, or as bits in ``data_bits`` where
    all are 0 or 1. Positive phase: with ``infer`` the probabilities of the one
    hidden layer, else what the caller put there, for any depth. Negative phase:
    ``n_gibbs_steps`` from the data (contrastive divergence) or from where the
    chains stand (persistent); 0 leaves the even layers as the caller set them.
    The last states of the odd layers enter the gradient as probabilities, the
    even ones as drawn.

    Meanwhile the biases are those of the centred machine; the lane after the
    last chain holds the offsets, so that every field carries in that lane what
    the offsets contribute to it. A unit's row of states, weights and biases
    always belongs to the same thread; two meetings a minibatch and Gibbs step.
    """
    if not _meet(barrier, n_threads):
        return
    n_layers = len(stack.biases)
    _recentre(stack, state, 1.0, room.scratch[thread], blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared, offsets = room.local[layer][thread], state.chains[layer], state.offsets[layer]
        for i in range(own.shape[0]):
            own[i] = shared[i]
            own[i, n_chains] = offsets[i]
    _meet(barrier, n_threads)
    offsets, delta = state.offsets[0], state.delta[0]
    for m in range(sizes.size):
        n_data = sizes[m]
        n_model = n_chains if persistent else n_data
        rate = rates[m]
        step = (first_step + m) * DRAWS_PER_MINIBATCH
        visible = room.visible[thread]
        if data_bits.size:
            for i in range(visible.shape[0]):
                _unpack_row(visible, data_bits[m], i)
        else:
            visible[:] = data[m]
        for i in range(visible.shape[0]):
            visible[i, n_data] = offsets[i]
        if infer:
            _positive_phase(
                stack, state, room, visible, n_data, key, step, persistent, blas, thread, n_threads
            )
        if not persistent:
            _meet(barrier, n_threads)
            _fetch(stack, state, room, 1, n_model, thread, n_threads)
        for sweep in range(n_gibbs_steps):
            for parity in (0, 1):
                if parity == 0 or sweep < n_gibbs_steps - 1:
                    for layer in range(parity, n_layers, 2):
                        number = step + sweep + 1
                        _team_draw(
                            stack, layer, state, room, n_model, key, number, blas, thread, n_threads
                        )
                    _meet(barrier, n_threads)
                    _fetch(stack, state, room, parity, n_model, thread, n_threads)
        number = step + n_gibbs_steps + 1
        _last_odd_means(
            stack, state, room, n_model, key, number, persistent, blas, thread, n_threads
        )
        for layer in range(n_layers):
            positive = visible if layer == 0 else state.positive[layer]
            negative = room.local[layer][thread] if layer % 2 == 0 else state.chain_means[layer]
            _statistics(
                stack,
                layer,
                state,
                positive,
                negative,
                n_data,
                n_model,
                rate,
                options,
                thread,
                n_threads,
            )
        _meet(barrier, n_threads)
        for i in range(visible.shape[0]):
            visible[i, n_data + 1] = delta[i]
        for number in range(n_layers - 1):
            _update_level(
                stack,
                number,
                state,
                visible,
                room,
                n_data,
                n_model,
                rate,
                options,
                blas,
                thread,
                n_threads,
            )
        _meet(barrier, n_threads)
        if persistent:
            _fetch(stack, state, room, 1, n_model, thread, n_threads)
    _recentre(stack, state, -1.0, room.scratch[thread], blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared = room.local[layer][thread], state.chains[layer]
        for i in range(own.shape[0]):
            if _own_rows(stack, layer, i, thread, n_threads):
                shared[i] = own[i]
