"""Helpers for modules that emit LLVM code: loops over lanes and connections, and addresses."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

# Numbers of vectors of lanes that are held in registers at a time. 7 fits batches of 100 samples.
CHUNKS = (8, 7, 4, 2, 1)


PACKED_CHUNKS = (8, 4)  # for packed states, which hold four vectors per word


def element_pointer(context, builder, array_type, array, offset):
    """Return a pointer to the element at a flat offset of a contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def for_each_chunk(builder, n_vectors, sizes, emit):
    """Emit ``emit(size, position)`` for chunks that cover a row of vectors, largest chunks first.

    ``size`` is a Python int when the code is emitted, so a chunk can stay in registers. If the
    smallest size is not 1, the last chunk may extend beyond the end of the row.
    """
    int64 = ir.IntType(64)
    position = cgutils.alloca_once_value(builder, int64(0))

    def left():
        return builder.sub(n_vectors, builder.load(position))

    def chunk(size):
        emit(size, builder.load(position))
        builder.store(builder.add(builder.load(position), int64(size)), position)

    largest, *others = sizes
    head, body, done = (
        builder.append_basic_block(name) for name in ("chunks", "chunk", "chunks.done")
    )
    # If chunks may extend beyond the end, one large chunk costs as much as two smaller ones.
    enough = largest if sizes[-1] == 1 else sizes[-1] + 1
    builder.branch(head)
    builder.position_at_end(head)
    builder.cbranch(builder.icmp_signed(">=", left(), int64(enough)), body, done)
    builder.position_at_end(body)
    chunk(largest)
    builder.branch(head)
    builder.position_at_end(done)
    for size in others:
        enough = size if sizes[-1] == 1 else 1
        with builder.if_then(builder.icmp_signed(">=", left(), int64(enough))):
            chunk(size)


def edge_loop(builder, count, initial, body):
    """Emit ``for e in range(count): carried = body(e, carried)`` and return the carried values."""
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


def edge_list(context, builder, kinds, args):
    """Return two functions of a connection's index: its other unit, and its weight.

    Weights are stored in the order of the connections. If ``order`` is given, it holds the place
    of each weight. This costs one random access per connection, not one per lane.
    """
    indices, values, order, first = args
    index = element_pointer(context, builder, kinds[0], indices, first)

    def unit(edge):
        return builder.zext(builder.load(builder.gep(index, [edge])), ir.IntType(64))

    if isinstance(kinds[2], types.NoneType):
        value = element_pointer(context, builder, kinds[1], values, first)

        def weight(edge):
            return builder.load(builder.gep(value, [edge]))
    else:
        value = element_pointer(context, builder, kinds[1], values, ir.IntType(64)(0))
        place = element_pointer(context, builder, kinds[2], order, first)

        def weight(edge):
            at = builder.zext(builder.load(builder.gep(place, [edge])), ir.IntType(64))
            return builder.load(builder.gep(value, [at]))

    return unit, weight


def row_length(context, builder, kind, array):
    """Return the number of columns of a two-dimensional array."""
    return cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, array).shape)[1]


def unit_at(builder, index, edge):
    """Return the unit at the other end of a connection."""
    return builder.zext(builder.load(builder.gep(index, [edge])), ir.IntType(64))
