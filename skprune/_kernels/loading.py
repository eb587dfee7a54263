"""Conversion of rows of data to lanes of states, and back."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import kernel
from .emit import edge_loop, element_pointer, row_length
from .simd import VECTOR_BYTES, Vectors, splat
from .team import meet, stopped


@kernel
def load_dense(data, rows, out):
    """Copy rows of sample-major data into the lanes of ``out`` and set padding to 0.

    Sixteen rows are copied at a time, so that each cache line of ``out`` is written while it is in
    the cache. Unsigned indices avoid a check for negative indices in every copy.
    """
    for start in range(0, rows.size, 16):
        stop = min(start + 16, rows.size)
        for j in range(np.uint64(out.shape[0])):
            for lane in range(np.uint64(start), np.uint64(stop)):
                out[j, lane] = data[np.uint64(rows[lane]), j]
    for j in range(out.shape[0]):
        for lane in range(rows.size, out.shape[1]):
            out[j, lane] = 0


@kernel
def load_csr(data, rows, out):
    """Copy rows of a CSR matrix into the lanes of ``out``."""
    values, indices, indptr = data
    out[:] = 0
    for lane in range(rows.size):
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            out[indices[e], lane] = values[e]


@intrinsic
def _store_tile(typing_context, states, i, lane, out):
    """Transpose a square tile, as wide as a vector, from (i, lane) to (lane, i) of ``out``."""
    signature = types.void(states, types.int64, types.int64, out)

    def codegen(context, builder, signature, args):
        states, i, lane, out = args
        kinds = signature.args
        int64 = ir.IntType(64)
        vectors = Vectors(context, builder, kinds[0].dtype)
        width = vectors.lanes

        def place(kind, array, row, column):
            stride = row_length(context, builder, kind, array)
            offset = builder.add(builder.mul(row, stride), column)
            pointer = element_pointer(context, builder, kind, array, offset)
            return builder.bitcast(pointer, vectors.type.as_pointer())

        rows = [
            builder.load(
                place(kinds[0], states, builder.add(i, int64(k)), lane), align=vectors.item_bytes
            )
            for k in range(width)
        ]
        distance = width // 2
        while distance:
            for k in range(width):
                if not k & distance:
                    a, b = rows[k], rows[k + distance]
                    rows[k] = vectors.shuffle(
                        a,
                        b,
                        [x if not x & distance else width + x - distance for x in range(width)],
                    )
                    rows[k + distance] = vectors.shuffle(
                        a,
                        b,
                        [x + distance if not x & distance else width + x for x in range(width)],
                    )
            distance //= 2
        for k, row in enumerate(rows):
            builder.store(
                row, place(kinds[3], out, builder.add(lane, int64(k)), i), align=vectors.item_bytes
            )
        return context.get_dummy_value()

    return signature, codegen


@kernel
def store_rows(states, out):
    """Copy lanes of states into sample-major rows, by square tiles."""
    width = VECTOR_BYTES // states.itemsize
    n_units, n_lanes = states.shape[0], out.shape[0]
    whole_units, whole_lanes = n_units - n_units % width, n_lanes - n_lanes % width
    for lane in range(0, whole_lanes, width):
        for i in range(0, whole_units, width):
            _store_tile(states, i, lane, out)
    for lane in range(n_lanes):
        for i in range(whole_units if lane < whole_lanes else 0, n_units):
            out[lane, i] = states[i, lane]


@intrinsic
def _gather_bits(typing_context, data, rows, first, count, bits, group):
    """Set group ``group`` of bits from the first ``count`` rows of 0/1 data in ``rows[first:]``.

    ``count`` is at most 16. The words of 32 units stay in registers while the rows are read.
    """
    integer = types.int64
    signature = types.void(data, rows, integer, integer, bits, integer)

    def codegen(context, builder, signature, args):
        data, rows, first, count, bits, group = args
        kinds = signature.args
        int64, int16 = ir.IntType(64), ir.IntType(16)
        n_units = row_length(context, builder, kinds[4], bits)
        source = element_pointer(context, builder, kinds[0], data, int64(0))
        row_numbers = element_pointer(context, builder, kinds[1], rows, first)
        target = element_pointer(context, builder, kinds[4], bits, builder.mul(group, n_units))
        number = context.get_value_type(kinds[0].dtype)
        floating = not isinstance(number, ir.IntType)

        def units(position, width):
            """Store the words of ``width`` units from ``position`` on."""
            vector = ir.VectorType(number, width) if width > 1 else number
            words = ir.VectorType(int16, width) if width > 1 else int16

            def add_row(lane, carried):
                row = builder.load(builder.gep(row_numbers, [lane]))
                place = builder.gep(source, [builder.add(builder.mul(row, n_units), position)])
                x = builder.load(
                    builder.bitcast(place, vector.as_pointer()),
                    align=kinds[0].dtype.bitwidth // 8,
                )
                zero = splat(vector, 0.0 if floating else 0)
                if floating:
                    on = builder.fcmp_unordered("une", x, zero)
                else:
                    on = builder.icmp_signed("!=", x, zero)
                flag, word = carried
                word = builder.or_(word, builder.select(on, flag, splat(words, 0)))
                return [builder.shl(flag, splat(words, 1)), word]

            _, word = edge_loop(builder, count, [splat(words, 1), splat(words, 0)], add_row)
            place = builder.bitcast(builder.gep(target, [position]), words.as_pointer())
            builder.store(word, place, align=2)

        width = 32
        n_wide = builder.sdiv(n_units, int64(width))
        with cgutils.for_range(builder, n_wide) as loop:
            units(builder.mul(loop.index, int64(width)), width)
        done = builder.mul(n_wide, int64(width))
        with cgutils.for_range(builder, builder.sub(n_units, done)) as loop:
            units(builder.add(loop.index, done), 1)
        return context.get_dummy_value()

    return signature, codegen


@kernel
def load_bits_dense(data, rows, bits):
    """Set ``bits`` (groups of 16 lanes, units) from rows of dense 0/1 data."""
    for group in range(bits.shape[0]):
        first = min(16 * group, rows.size)
        _gather_bits(data, rows, first, min(16, rows.size - first), bits, group)


@kernel
def load_bits_csr(data, rows, bits):
    """Set ``bits`` (groups of 16 lanes, units) from rows of a 0/1 CSR matrix."""
    values, indices, indptr = data
    bits[:] = 0
    for lane in range(rows.size):
        words, flag = bits[lane // 16], np.uint16(1 << (lane % 16))
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            if values[e] != 0:
                words[indices[e]] |= flag


@kernel
def load_minibatches_dense(data, order, sizes, out, bits, barrier, thread, n_threads):
    """Load consecutive minibatches of dense data, whose rows are in ``order``.

    They are loaded into ``bits`` if it is not empty, else as states into ``out``.
    """
    if not meet(barrier, n_threads):
        return
    start = 0
    for m in range(sizes.size):
        if stopped(barrier):
            return
        if m % n_threads == thread:
            rows = order[start : start + sizes[m]]
            if bits.size:
                load_bits_dense(data, rows, bits[m])
            else:
                load_dense(data, rows, out[m])
        start += sizes[m]


@kernel
def load_minibatches_csr(data, order, sizes, out, bits, barrier, thread, n_threads):
    """Load consecutive minibatches of a CSR matrix, whose rows are in ``order``.

    They are loaded into ``bits`` if it is not empty, else as states into ``out``.
    """
    if not meet(barrier, n_threads):
        return
    start = 0
    for m in range(sizes.size):
        if stopped(barrier):
            return
        if m % n_threads == thread:
            rows = order[start : start + sizes[m]]
            if bits.size:
                load_bits_csr(data, rows, bits[m])
            else:
                load_csr(data, rows, out[m])
        start += sizes[m]
