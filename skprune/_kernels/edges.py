"""Products of states over the connections of a pruned level."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .emit import CHUNKS, edge_list, edge_loop, element_pointer, for_each_chunk, row_length, unit_at
from .simd import Vectors


@intrinsic
def add_edges(typing_context, out, i, states, stretch, values, order):
    """``out[i, lane] += sum_e values[first + e] * states[indices[first + e], lane]``.

    The sum is over a stretch of connections. If ``order`` is not None, the weights are
    ``values[order[first + e]]``.

    The sums of a chunk of lanes stay in registers over all connections. With few lanes, four
    connections are summed side by side.
    """
    integer = types.int64
    signature = types.void(out, integer, states, stretch, values, order)

    def codegen(context, builder, signature, args):
        out, i, states, stretch, values, order = args
        kinds = signature.args
        indices, first, count = cgutils.unpack_tuple(builder, stretch)
        int64 = ir.IntType(64)
        vectors = Vectors(context, builder, kinds[0].dtype)
        stride = row_length(context, builder, kinds[2], states)
        base = element_pointer(context, builder, kinds[2], states, int64(0))
        target = element_pointer(context, builder, kinds[0], out, builder.mul(i, stride))
        edge_kinds = (kinds[3][0], kinds[4], kinds[5])
        unit, weight = edge_list(context, builder, edge_kinds, (indices, values, order, first))
        n_vectors = builder.sdiv(stride, int64(vectors.lanes))

        def emit(size, position):
            def add(edge, sums):
                factor = vectors.broadcast(weight(edge))
                row = builder.gep(base, [builder.mul(unit(edge), stride)])
                return [
                    vectors.multiply_add(factor, vectors.load(row, position, k), sums[k])
                    for k in range(size)
                ]

            sums = [vectors.load(target, position, k) for k in range(size)]
            done = int64(0)
            if size <= 2:

                def four(group, sides):
                    first = builder.mul(group, int64(4))
                    return [
                        new
                        for side in range(4)
                        for new in add(
                            builder.add(first, int64(side)), sides[side * size : (side + 1) * size]
                        )
                    ]

                zeros = [ir.Constant(vectors.type, [0.0] * vectors.lanes)] * (3 * size)
                n_groups = builder.sdiv(count, int64(4))
                sides = edge_loop(builder, n_groups, sums + zeros, four)
                sums = [
                    builder.fadd(
                        builder.fadd(sides[k], sides[size + k]),
                        builder.fadd(sides[2 * size + k], sides[3 * size + k]),
                    )
                    for k in range(size)
                ]
                done = builder.mul(n_groups, int64(4))
            sums = edge_loop(
                builder,
                builder.sub(count, done),
                sums,
                lambda edge, sums: add(builder.add(done, edge), sums),
            )
            for k in range(size):
                vectors.store(sums[k], target, position, k)

        for_each_chunk(builder, n_vectors, CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_edge_products(typing_context, out, out_first, upper, i, lower, stretch, scale):
    """``out[out_first + e] += scale * upper[i] . lower[indices[first + e]]`` for each connection.

    Four connections are computed at a time, so that the sums over their lanes share instructions.
    """
    integer = types.int64
    signature = types.void(out, integer, upper, integer, lower, stretch, out.dtype)

    def codegen(context, builder, signature, args):
        out, out_first, upper, i, lower, stretch, scale = args
        kinds = signature.args
        indices, first, count = cgutils.unpack_tuple(builder, stretch)
        int64 = ir.IntType(64)
        vectors = Vectors(context, builder, kinds[0].dtype)
        stride = row_length(context, builder, kinds[4], lower)
        target = element_pointer(context, builder, kinds[0], out, out_first)
        own = element_pointer(context, builder, kinds[2], upper, builder.mul(i, stride))
        base = element_pointer(context, builder, kinds[4], lower, int64(0))
        index = element_pointer(context, builder, kinds[5][0], indices, first)
        n_vectors = builder.sdiv(stride, int64(vectors.lanes))
        factor = vectors.broadcast(scale)

        def emit(size, position):
            mine = [builder.fmul(factor, vectors.load(own, position, k)) for k in range(size)]

            def product(edge):
                row = builder.gep(base, [builder.mul(unit_at(builder, index, edge), stride)])
                total = builder.fmul(mine[0], vectors.load(row, position, 0))
                for k in range(1, size):
                    total = vectors.multiply_add(mine[k], vectors.load(row, position, k), total)
                return total

            add_by_fours(builder, vectors, target, count, product)

        for_each_chunk(builder, n_vectors, CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


def add_by_fours(builder, vectors, target, count, product):
    """Emit ``target[e] += sum of the lanes of product(e)``, four connections at a time."""
    int64 = ir.IntType(64)

    def add(edge, n_edges):
        totals = vectors.totals([product(builder.add(edge, int64(k))) for k in range(n_edges)])
        place = builder.bitcast(builder.gep(target, [edge]), totals.type.as_pointer())
        old = builder.load(place, align=vectors.item_bytes)
        builder.store(builder.fadd(old, totals), place, align=vectors.item_bytes)
        return []

    n_groups = builder.sdiv(count, int64(4))
    done = builder.mul(n_groups, int64(4))
    edge_loop(builder, n_groups, [], lambda group, _: add(builder.mul(group, int64(4)), 4))
    edge_loop(
        builder, builder.sub(count, done), [], lambda edge, _: add(builder.add(done, edge), 1)
    )
