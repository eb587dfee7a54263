"""Packed 0/1 states, and sums and products over connections that read them.

Bits hold one uint16 per unit and group of 16 lanes. Packed states hold four lanes per 32-bit word,
one per byte, in the order that table look-up reads.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import kernel
from .edges import add_by_fours
from .emit import (
    PACKED_CHUNKS,
    edge_list,
    edge_loop,
    element_pointer,
    for_each_chunk,
    row_length,
    unit_at,
)
from .simd import GROUP, TARGET, Vectors, splat


@intrinsic
def add_edges_by_table(typing_context, out, i, neighbour, stretch, values, order, blas):
    """Do what ``add_edges`` does from packed 0/1 states, by table look-up.

    Four weights have 16 partial sums, which fill one vector of float32. The states of the four
    units are the index into this table. Four connections take one addition per lane instead of
    four. This is the "method of four Russians" on vector registers. The sum over
    connections of the weights times the units' offsets is added to the lane of the neighbour,
    unless that lane is negative.
    """
    integer = types.int64
    signature = types.void(out, integer, neighbour, stretch, values, order, blas)

    def codegen(context, builder, signature, args):
        out, i, neighbour, stretch, values, order, _ = args
        kinds = signature.args
        _, packed_kind, offsets_kind, _ = kinds[2]
        _, packed, offsets, lane = cgutils.unpack_tuple(builder, neighbour)
        indices, first, count = cgutils.unpack_tuple(builder, stretch)
        if not TARGET.packs or kinds[0].dtype != types.float32:
            return context.get_dummy_value()  # never called, because nothing is packed
        int64, int32 = ir.IntType(64), ir.IntType(32)
        vectors = Vectors(context, builder, kinds[0].dtype)
        places = ir.VectorType(int32, vectors.lanes)
        stride = row_length(context, builder, kinds[0], out)
        words = row_length(context, builder, packed_kind, packed)
        base = element_pointer(context, builder, packed_kind, packed, int64(0))
        target = element_pointer(context, builder, kinds[0], out, builder.mul(i, stride))
        offset = element_pointer(context, builder, offsets_kind, offsets, int64(0))
        edge_kinds = (kinds[3][0], kinds[4], kinds[5])
        unit, weight = edge_list(context, builder, edge_kinds, (indices, values, order, first))
        zero_number = ir.Constant(ir.FloatType(), 0.0)
        offset_sum = cgutils.alloca_once_value(builder, zero_number)
        zero = ir.Constant(vectors.type, [0.0] * vectors.lanes)
        n_vectors = _packed_vectors(builder, stride, words)
        n_groups = builder.sdiv(builder.add(count, int64(GROUP - 1)), int64(GROUP))

        def emit(size, position):
            def add(group, sums):
                first = builder.mul(group, int64(GROUP))
                parts, rows, shares = [], [], []
                for k in range(GROUP):
                    edge = builder.add(first, int64(k))
                    exists = builder.icmp_signed("<", edge, count)
                    edge = builder.select(exists, edge, first)
                    number, value = unit(edge), weight(edge)
                    if k:
                        value = builder.select(exists, value, zero_number)
                    with_it = ir.Constant(
                        ir.VectorType(ir.IntType(1), vectors.lanes),
                        [place >> k & 1 for place in range(vectors.lanes)],
                    )
                    parts.append(builder.select(with_it, vectors.broadcast(value), zero))
                    rows.append(builder.gep(base, [builder.mul(number, words)]))
                    shares.append(builder.fmul(value, builder.load(builder.gep(offset, [number]))))
                share = builder.fadd(
                    builder.fadd(shares[0], shares[1]), builder.fadd(shares[2], shares[3])
                )
                table = builder.fadd(
                    builder.fadd(parts[0], parts[1]), builder.fadd(parts[2], parts[3])
                )
                new = [builder.fadd(sums[0], share)]
                for k in range(size):
                    if k % 4 == 0:
                        word = builder.add(builder.mul(position, int64(4)), int64(4 * k))
                        place = None
                        for row in reversed(rows):
                            states = builder.load(
                                builder.bitcast(builder.gep(row, [word]), places.as_pointer()),
                                align=4,
                            )
                            if place is None:
                                place = states
                            else:
                                place = builder.add(builder.add(place, place), states)
                    shift = ir.Constant(places, [8 * (k % 4)] * vectors.lanes)
                    here = builder.lshr(place, shift) if k % 4 else place
                    new.append(builder.fadd(sums[k + 1], TARGET.look_up(builder, table, here)))
                return new

            place = vectors.places(target, position, size, n_vectors)
            initial = [vectors.load(row, at, 0) for row, at in place]
            share, *totals = edge_loop(builder, n_groups, [zero_number, *initial], add)
            for total, (row, at) in zip(totals, place, strict=True):
                vectors.store(total, row, at, 0)
            builder.store(share, offset_sum)

        if isinstance(kinds[-1], types.NoneType):  # outside training, where one vector may do
            one_vector = builder.icmp_signed("==", n_vectors, int64(1))
            with builder.if_else(one_vector) as (few_lanes, many_lanes):
                with few_lanes:
                    emit(1, int64(0))
                with many_lanes:
                    for_each_chunk(builder, n_vectors, PACKED_CHUNKS, emit)
        else:
            for_each_chunk(builder, n_vectors, PACKED_CHUNKS, emit)
        with builder.if_then(builder.icmp_signed(">=", lane, int64(0))):
            place = builder.gep(target, [lane])
            total = builder.fadd(builder.load(place), builder.load(offset_sum))
            builder.store(total, place)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_packed_products(
    typing_context, out, out_first, i, data, model, stretch, data_scale, model_scale
):
    """Do what ``add_edge_products`` does from packed 0/1 lower states, for data minus model.

    ``data`` and ``model`` are pairs (packed lower states, upper probabilities) with the same number
    of words per unit. ``model`` may be None. Probabilities are rounded to 16-bit integers, with an
    error of at most 8e-6, and stored as two planes of bytes. The processor then sums 64 products of
    bytes at a time.
    """
    integer = types.int64
    signature = types.void(out, integer, integer, data, model, stretch, out.dtype, out.dtype)

    def codegen(context, builder, signature, args):
        out, out_first, i, data, model, stretch, data_scale, model_scale = args
        kinds = signature.args
        indices, first, count = cgutils.unpack_tuple(builder, stretch)
        if not TARGET.packs or kinds[0].dtype != types.float32:
            return context.get_dummy_value()  # never called, because nothing is packed
        int64 = ir.IntType(64)
        vectors = Vectors(context, builder, kinds[0].dtype)
        whole = ir.VectorType(ir.IntType(32), vectors.lanes)
        larger = builder.select(
            builder.fcmp_ordered(">", data_scale, model_scale), data_scale, model_scale
        )
        phases = []
        for kind, phase, scale in ((kinds[3], data, data_scale), (kinds[4], model, model_scale)):
            if isinstance(kind, types.NoneType):
                continue
            packed, upper = cgutils.unpack_tuple(builder, phase)
            stride = row_length(context, builder, kind[1], upper)
            words = row_length(context, builder, kind[0], packed)
            own = element_pointer(context, builder, kind[1], upper, builder.mul(i, stride))
            base = element_pointer(context, builder, kind[0], packed, int64(0))
            share = builder.fmul(builder.fdiv(scale, larger), ir.Constant(scale.type, 65535.0))
            phases.append((own, base, stride, vectors.broadcast(share)))
        target = element_pointer(context, builder, kinds[0], out, out_first)
        index = element_pointer(context, builder, kinds[5][0], indices, first)
        n_vectors = builder.sdiv(words, int64(4))
        factor = vectors.broadcast(builder.fmul(larger, ir.Constant(larger.type, 1 / 65535)))

        def planes_of(own, stride, share, position, size):
            """Return two planes of bytes, high and low, for each word of a chunk."""
            present = builder.sdiv(stride, int64(vectors.lanes))
            place = vectors.places(own, position, size, present)
            planes = []
            for start in range(0, size, 4):
                high = low = splat(whole, 0)
                for k in range(start, start + 4):
                    x = vectors.multiply_add(
                        vectors.load(*place[k], 0), share, splat(vectors.type, 0.5)
                    )
                    number = builder.fptosi(x, whole)
                    shift = splat(whole, 8 * (k - start))
                    # Spare lanes may hold any number. Keep it within its own byte.
                    byte = splat(whole, 255)
                    upper_byte = builder.and_(builder.lshr(number, splat(whole, 8)), byte)
                    lower_byte = builder.and_(number, byte)
                    high = builder.or_(high, builder.shl(upper_byte, shift))
                    low = builder.or_(low, builder.shl(lower_byte, shift))
                planes.append((high, low))
            return planes

        def emit(size, position):
            ready = [
                (base, planes_of(own, stride, share, position, size))
                for own, base, stride, share in phases
            ]
            start = builder.mul(position, int64(4))

            def product(edge):
                row = builder.mul(unit_at(builder, index, edge), words)
                high_sum = low_sum = splat(whole, 0)
                for base, planes in reversed(ready):
                    high_sum = builder.sub(splat(whole, 0), high_sum)
                    low_sum = builder.sub(splat(whole, 0), low_sum)
                    for number, (high, low) in enumerate(planes):
                        word = builder.add(row, builder.add(start, int64(16 * number)))
                        place = builder.bitcast(builder.gep(base, [word]), whole.as_pointer())
                        states = builder.load(place, align=4)
                        high_sum = TARGET.add_byte_products(builder, high_sum, high, states)
                        low_sum = TARGET.add_byte_products(builder, low_sum, low, states)
                total = builder.add(builder.shl(high_sum, splat(whole, 8)), low_sum)
                return builder.fmul(builder.sitofp(total, vectors.type), factor)

            add_by_fours(builder, vectors, target, count, product)

        for_each_chunk(builder, n_vectors, PACKED_CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


def _packed_vectors(builder, stride, words):
    """Return the number of vectors of float32 lanes that packed states hold."""
    int64 = ir.IntType(64)
    present, packed = builder.sdiv(stride, int64(16)), builder.sdiv(words, int64(4))
    return builder.select(builder.icmp_signed("<", present, packed), present, packed)


@intrinsic
def count_bits(typing_context, bits, i):
    """Return the number of lanes in which unit ``i`` is on."""
    signature = types.int64(bits, types.int64)

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        int64, int16 = ir.IntType(64), ir.IntType(16)
        n_groups, n_units = cgutils.unpack_tuple(
            builder, context.make_array(kind)(context, builder, args[0]).shape
        )
        base = element_pointer(context, builder, kind, args[0], args[1])
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(int16, [int16]), "llvm.ctpop.i16"
        )

        def add(group, total):
            word = builder.load(builder.gep(base, [builder.mul(group, n_units)]))
            return [builder.add(total[0], builder.zext(builder.call(count, [word]), int64))]

        return edge_loop(builder, n_groups, [int64(0)], add)[0]

    return signature, codegen


def bit_place(builder, bits, lanes, n_units, unit, k):
    """Return the address of a unit's bits for vector ``k``, in uint16 (groups of lanes, units)."""
    int64 = ir.IntType(64)
    lane = builder.mul(k, int64(lanes))
    group = builder.lshr(lane, int64(4))
    word = builder.add(builder.mul(group, n_units), unit)
    byte = builder.lshr(builder.and_(lane, int64(15)), int64(3))
    position = builder.add(builder.mul(word, int64(2)), byte)
    base = builder.bitcast(bits, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(base, [position]), ir.IntType(lanes).as_pointer())


def _bit_intrinsic(pack):
    """Make the intrinsic that packs 0/1 states into bits, or unpacks them."""

    @intrinsic
    def move_row(typing_context, states, bits, i):
        """Convert row ``i`` of 0/1 states to its bits, or back."""
        signature = types.void(states, bits, types.int64)

        def codegen(context, builder, signature, args):
            states_type, bits_type, _ = signature.args
            vectors = Vectors(context, builder, states_type.dtype)
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
                place = bit_place(builder, bits.data, vectors.lanes, n_units, args[2], loop.index)
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


unpack_row = _bit_intrinsic(pack=False)


def _packing_intrinsic(from_bits):
    """Make the intrinsic that sets packed states from bits, or from 0/1 states."""

    @intrinsic
    def pack(typing_context, source, packed, i):
        """Set row ``i`` of packed states from its bits or from its 0/1 states."""
        signature = types.void(source, packed, types.int64)

        def codegen(context, builder, signature, args):
            source_type, packed_type, _ = signature.args
            if not from_bits and source_type.dtype != types.float32:
                return context.get_dummy_value()  # never called, because nothing is packed
            source = context.make_array(source_type)(context, builder, args[0])
            words = row_length(context, builder, packed_type, args[1])
            row = element_pointer(
                context, builder, packed_type, args[1], builder.mul(args[2], words)
            )
            flags = ir.VectorType(ir.IntType(1), 16)
            n_groups, n_units = cgutils.unpack_tuple(builder, source.shape)
            if not from_bits:
                vectors = Vectors(context, builder, types.float32)
                states = builder.gep(source.data, [builder.mul(args[2], n_units)])
                n_groups = builder.sdiv(n_units, ir.IntType(64)(16))
            n_packed = builder.sdiv(words, ir.IntType(64)(4))
            fewer = builder.icmp_signed("<", n_groups, n_packed)
            with cgutils.for_range(builder, builder.select(fewer, n_groups, n_packed)) as loop:
                if from_bits:
                    place = bit_place(builder, source.data, 16, n_units, args[2], loop.index)
                    on = builder.bitcast(builder.load(place, align=2), flags)
                else:
                    x = vectors.load(states, loop.index, 0)
                    on = builder.fcmp_unordered("une", x, splat(vectors.type, 0.0))
                emit_byte(builder, row, loop.index, on)
            return context.get_dummy_value()

        return signature, codegen

    return pack


pack_from_bits = _packing_intrinsic(from_bits=True)


pack_from_states = _packing_intrinsic(from_bits=False)


def emit_byte(builder, row, k, on):
    """Store the flags of vector ``k`` of a row in its packed states.

    Byte s of word 16 g + d holds lane 64 g + 16 s + d. A shift by 8 s bits then moves sixteen
    consecutive lanes to where table look-up reads its indices.
    """
    int32, int64 = ir.IntType(32), ir.IntType(64)
    places = ir.VectorType(int32, 16)
    part = builder.and_(k, int64(3))
    word = builder.mul(builder.lshr(k, int64(2)), int64(16))
    place = builder.bitcast(builder.gep(row, [word]), places.as_pointer())
    one = builder.shl(int32(1), builder.trunc(builder.mul(part, int64(8)), int32))
    first = builder.insert_element(ir.Constant(places, ir.Undefined), one, int32(0))
    byte = builder.shuffle_vector(first, first, ir.Constant(places, [0] * 16))
    zeros = ir.Constant(places, [0] * 16)
    old = builder.select(
        builder.icmp_signed("==", part, int64(0)), zeros, builder.load(place, align=4)
    )
    builder.store(builder.or_(old, builder.select(on, byte, zeros)), place, align=4)


NO_BITS, NO_PACKED = np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint32)


@kernel
def unpack(bits, states):
    """Set 0/1 states from their bits."""
    for i in range(states.shape[0]):
        unpack_row(states, bits, i)


@kernel
def pack_bits(bits, packed):
    """Set packed states from their bits."""
    for i in range(packed.shape[0]):
        pack_from_bits(bits, packed, i)


@kernel
def pack_states(states, packed):
    """Set packed states from 0/1 states."""
    for i in range(packed.shape[0]):
        pack_from_states(states, packed, i)
