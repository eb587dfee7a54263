"""Products of states with a full matrix whose sums have one order, whatever the number of lanes.

BLAS chooses its kernels by the shape of a product, so that the last bits of one row may depend
on how many rows there are. Here every lane adds its terms in the order of the units.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .emit import edge_loop, element_pointer, for_each_chunk, row_length
from .simd import TARGET, Vectors


class _Product(NamedTuple):
    """What the code of one product refers to: LLVM values, pointers to first elements."""

    builder: object
    vectors: Vectors
    states: object
    weights: object
    out: object
    stride: object  # lanes per row of states and of ``out``
    n_terms: object
    term_step: object  # distance between the weights of one unit,
    unit_step: object  # and between those of adjacent units

    def emit_tile(self, position, unit, n_vectors, n_units):
        """Add all terms to some vectors of lanes of some units, which stay in registers."""
        builder, vectors = self.builder, self.vectors
        targets, columns = [], []
        for k in range(n_units):
            row = builder.add(unit, ir.IntType(64)(k))
            targets.append(builder.gep(self.out, [builder.mul(row, self.stride)]))
            columns.append(builder.gep(self.weights, [builder.mul(row, self.unit_step)]))

        def add(term, sums):
            row = builder.gep(self.states, [builder.mul(term, self.stride)])
            loaded = [vectors.load(row, position, k) for k in range(n_vectors)]
            place, new = builder.mul(term, self.term_step), []
            for column in columns:
                factor = vectors.broadcast(builder.load(builder.gep(column, [place])))
                new += [
                    vectors.multiply_add(factor, x, sums[len(new) + k])
                    for k, x in enumerate(loaded)
                ]
            return new

        places = [(target, k) for target in targets for k in range(n_vectors)]
        initial = [vectors.load(target, position, k) for target, k in places]
        sums = edge_loop(builder, self.n_terms, initial, add)
        for total, (target, k) in zip(sums, places, strict=True):
            vectors.store(total, target, position, k)


@intrinsic
def add_dense(typing_context, out, start, stop, weights, transposed, states):
    """``out[start:stop] += weights[start:stop] @ states``, or with ``transposed`` of ``weights.T``."""
    integer = types.int64
    signature = types.void(out, integer, integer, weights, types.boolean, states)

    def codegen(context, builder, signature, args):
        out, start, stop, weights, transposed, states = args
        kinds = signature.args
        int64 = ir.IntType(64)
        vectors = Vectors(context, builder, kinds[0].dtype)
        shape = context.make_array(kinds[5])(context, builder, states).shape
        n_terms, stride = cgutils.unpack_tuple(builder, shape)
        width = row_length(context, builder, kinds[3], weights)
        unit_step = builder.select(transposed, int64(1), width)
        first = builder.mul(start, unit_step)
        product = _Product(
            builder=builder,
            vectors=vectors,
            states=element_pointer(context, builder, kinds[5], states, int64(0)),
            weights=element_pointer(context, builder, kinds[3], weights, first),
            out=element_pointer(context, builder, kinds[0], out, builder.mul(start, stride)),
            stride=stride,
            n_terms=n_terms,
            term_step=builder.select(transposed, width, int64(1)),
            unit_step=unit_step,
        )
        n_rows = TARGET.tile_rows
        n_units = builder.sub(stop, start)
        n_tiles = builder.sdiv(n_units, int64(n_rows))
        done = builder.mul(n_tiles, int64(n_rows))

        def emit(n_vectors, position):
            with cgutils.for_range(builder, n_tiles) as loop:
                unit = builder.mul(loop.index, int64(n_rows))
                product.emit_tile(position, unit, n_vectors, n_rows)
            with cgutils.for_range(builder, builder.sub(n_units, done)) as loop:
                product.emit_tile(position, builder.add(done, loop.index), n_vectors, 1)

        n_lane_vectors = builder.sdiv(stride, int64(vectors.lanes))
        for_each_chunk(builder, n_lane_vectors, TARGET.tile_vectors, emit)
        return context.get_dummy_value()

    return signature, codegen
