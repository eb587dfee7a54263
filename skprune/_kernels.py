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
from llvmlite import binding as llvm
from llvmlite import ir
from llvmlite.binding import Linkage, get_host_cpu_features
from numba import config, njit, types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import get_cython_function_address, intrinsic

VECTOR_BYTES = 64
CHUNKS = (8, 7, 4, 2, 1)  # vectors of lanes held in registers at a time; 7: batches of 100
PACKED_CHUNKS = (8, 4)  # the same for packed states, four vectors a word
EDGE_BLOCK = 16  # upper units a block on pruned levels
DRAWS_PER_MINIBATCH = 4096
DROPOUT = 1000  # beside the layer's number in the keys of what is dropped
OFF = -1e6  # a field that turns a unit off
LOG_EVERY = 512  # factors in [1, 2] multiplied in float64 before their logarithm is taken

_FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "no_cfunc_wrapper": True,
}


class _KernelLibrary(JITCodeLibrary):
    """LLVM code of a kernel, with parts of its own.

    numba leaves the parts to the linker, which takes the first copy of that
    name in the process. Copies differ in rounding, as LLVM optimised them in
    different company: results would depend on what was compiled or loaded before.
    """

    def _optimize_functions(self, ll_module):
        """Leave all work to the passes over the whole kernel."""
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and function.name.startswith("_ZN7skprune"):
                function.linkage = "internal"
        super()._optimize_final_module()


class _PartLibrary(JITCodeLibrary):
    """LLVM code of a part, for kernels to link in; never optimised or made runnable by itself."""

    _optimize_functions = _KernelLibrary._optimize_functions

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        code = self._final_module
        names = [item.name for item in code.global_variables if "NumbaEnv" in item.name]
        self._final_module = llvm.parse_assembly(
            "\n".join(f'@"{name}" = common global i64 0' for name in names)
        )
        self._final_module.name = code.name
        super()._finalize_final_module()
        self._final_module = code


def _compiler_into(library_class):
    class KernelCompiler(Compiler):
        def compile_extra(self, function):
            codegen = self.state.targetctx.codegen()
            self.state.library = library_class(codegen, function.__qualname__)
            self.state.library.enable_object_caching()
            return super().compile_extra(function)

    return KernelCompiler


_KERNEL, _PART = _compiler_into(_KernelLibrary), _compiler_into(_PartLibrary)


def _kernel(function):
    """Compile a kernel that Python calls; kept on disk where a place can be written.

    Without numba's runtime no reference is counted: every slice and every array
    taken out of a tuple would cost two atomic operations, about 10 ns. Such a
    kernel makes no arrays, and must not return one to a kernel that counts.
    """
    return _cached(function, _nrt=False)


def _kernel_with_arrays(function):
    """Compile a kernel that Python calls and that makes arrays of its own."""
    return _cached(function)


def _part(function):
    """Compile what kernels call; not kept by itself, the kernels hold its code.

    A literal number among the arguments would make a signature of its own to compile.
    """
    return njit(**_FLAGS, no_cpython_wrapper=True, _nrt=False, pipeline_class=_PART)(function)


def _inlined(function):
    """Copy into its callers: what returns arrays to kernels that count and to kernels that do not."""
    return njit(inline="always")(function)


def _cached(function, **flags):
    try:
        return njit(cache=True, pipeline_class=_KERNEL, **_FLAGS, **flags)(function)
    except RuntimeError:  # numba found no writable cache directory
        return njit(pipeline_class=_KERNEL, **_FLAGS, **flags)(function)


@intrinsic
def _called(typing_context):
    """Mark the function that says this as one to call, not to copy into every caller."""

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


def _host_features():
    """Names of the instruction sets that numba compiles for."""
    if config.CPU_FEATURES is not None:
        return {word[1:] for word in config.CPU_FEATURES.split(",") if word.startswith("+")}
    if config.CPU_NAME is not None:
        return set()
    return {name for name, present in get_host_cpu_features().items() if present}


# Packed 0/1 states need a permutation of 16 floats and a product of 64 pairs of bytes.
PACKS = {"avx512f", "avx512vnni"} <= _host_features()
GROUP = 4  # connections a table covers: 16 sums, one vector of float32
WORD_LANES = 64  # lanes in a vector of packed states, one byte each

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

    def places(self, row, position, size, n_vectors):
        """(row, position) of a chunk's vectors; those over the end are sent to a spare vector."""
        spare = cgutils.alloca_once(self.builder, self.type)
        self.builder.store(ir.Constant(self.type, [0.0] * self.lanes), spare)
        spare = self.builder.bitcast(spare, row.type)
        zero = ir.IntType(64)(0)
        result = []
        for k in range(size):
            at = self.builder.add(position, ir.IntType(64)(k))
            inside = self.builder.icmp_signed("<", at, n_vectors)
            result.append(
                (self.builder.select(inside, row, spare), self.builder.select(inside, at, zero))
            )
        return result

    def broadcast(self, value):
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, x, y, z):
        product = self.builder.fmul(x, y, flags=("contract",))
        return self.builder.fadd(product, z, flags=("contract",))

    def shuffle(self, a, b, lanes):
        places = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, places)

    def totals(self, values):
        """Add up the lanes of one vector, or of four at once, by halving in a fixed order.

        Returns a vector with one sum for each.
        """
        width = self.lanes
        part = width  # lanes of the result that still belong to one value
        while len(values) > 1:
            part //= 2
            low = [
                lane for start in range(0, width, 2 * part) for lane in range(start, start + part)
            ]
            values = [
                self.builder.fadd(
                    self.shuffle(a, b, low + [lane + width for lane in low]),
                    self.shuffle(a, b, [x + part for x in low] + [x + part + width for x in low]),
                )
                for a, b in zip(values[::2], values[1::2], strict=True)
            ]
        (value,) = values
        while part > 1:
            width, part = width // 2, part // 2
            low = [
                lane
                for start in range(0, 2 * width, 2 * part)
                for lane in range(start, start + part)
            ]
            undefined = ir.Constant(value.type, ir.Undefined)
            value = self.builder.fadd(
                self.shuffle(value, undefined, low),
                self.shuffle(value, undefined, [lane + part for lane in low]),
            )
        return value


def _for_each_chunk(builder, n_vectors, sizes, emit):
    """Emit ``emit(size, position)`` over a row of vectors, the largest chunks first.

    ``size`` is known when the code is made, so a chunk lives in registers. If
    the smallest size is not 1, the last chunk may reach over the end.
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
    # One that reaches over the end is as good as two smaller ones.
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


def _edge_list(context, builder, kinds, args):
    """Functions of the connection's number: the unit at its other end, its weight.

    Weights are in the order of the connections, or found through ``order``
    (one random access a connection, not one a lane).
    """
    indices, values, order, first = args
    index = _pointer(context, builder, kinds[0], indices, first)

    def unit(edge):
        return builder.zext(builder.load(builder.gep(index, [edge])), ir.IntType(64))

    if isinstance(kinds[2], types.NoneType):
        value = _pointer(context, builder, kinds[1], values, first)

        def weight(edge):
            return builder.load(builder.gep(value, [edge]))
    else:
        value = _pointer(context, builder, kinds[1], values, ir.IntType(64)(0))
        place = _pointer(context, builder, kinds[2], order, first)

        def weight(edge):
            at = builder.zext(builder.load(builder.gep(place, [edge])), ir.IntType(64))
            return builder.load(builder.gep(value, [at]))

    return unit, weight


def _row_length(context, builder, kind, array):
    return cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, array).shape)[1]


def _unit(builder, index, edge):
    """The unit at the other end of a connection."""
    return builder.zext(builder.load(builder.gep(index, [edge])), ir.IntType(64))


@intrinsic
def _add_edges(typing_context, out, i, states, indices, values, order, first, count):
    """``out[i, lane] += sum_e values[first + e] * states[indices[first + e], lane]``.

    With ``order``, the weights are ``values[order[first + e]]``; else it is None.

    The sums of a chunk of lanes stay in registers over all connections; with
    few lanes four connections are summed side by side.
    """
    integer = types.int64
    signature = types.void(out, integer, states, indices, values, order, integer, integer)

    def codegen(context, builder, signature, args):
        out, i, states, *edges, count = args
        kinds = signature.args
        int64 = ir.IntType(64)
        vectors = _Vectors(context, builder, kinds[0].dtype)
        stride = _row_length(context, builder, kinds[2], states)
        base = _pointer(context, builder, kinds[2], states, int64(0))
        target = _pointer(context, builder, kinds[0], out, builder.mul(i, stride))
        unit, weight = _edge_list(context, builder, kinds[3:7], edges)
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
                sides = _edge_loop(builder, n_groups, sums + zeros, four)
                sums = [
                    builder.fadd(
                        builder.fadd(sides[k], sides[size + k]),
                        builder.fadd(sides[2 * size + k], sides[3 * size + k]),
                    )
                    for k in range(size)
                ]
                done = builder.mul(n_groups, int64(4))
            sums = _edge_loop(
                builder,
                builder.sub(count, done),
                sums,
                lambda edge, sums: add(builder.add(done, edge), sums),
            )
            for k in range(size):
                vectors.store(sums[k], target, position, k)

        _for_each_chunk(builder, n_vectors, CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_edges_by_table(
    typing_context, out, i, packed, offsets, lane, indices, values, order, first, count
):
    """The same for packed 0/1 states, four connections at a time, by table look-up.

    Four weights have 16 partial sums, a vector of float32. The states of the
    four units make the place in this table: one addition a lane for four
    connections, and 4 bytes read where 16 numbers would be. (The "method of
    four Russians" on vector registers.) What the units' ``offsets`` would add,
    were they states, goes to ``lane`` unless that is negative.
    """
    integer = types.int64
    signature = types.void(
        out, integer, packed, offsets, integer, indices, values, order, integer, integer
    )

    def codegen(context, builder, signature, args):
        out, i, packed, offsets, lane, *edges, count = args
        kinds = signature.args
        if not PACKS or kinds[0].dtype != types.float32:
            return context.get_dummy_value()  # never called: nothing is packed then
        int64, int32 = ir.IntType(64), ir.IntType(32)
        vectors = _Vectors(context, builder, kinds[0].dtype)
        places = ir.VectorType(int32, vectors.lanes)
        permute = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vectors.type, [vectors.type, places]),
            "llvm.x86.avx512.permvar.sf.512",
        )
        stride = _row_length(context, builder, kinds[0], out)
        words = _row_length(context, builder, kinds[2], packed)
        base = _pointer(context, builder, kinds[2], packed, int64(0))
        target = _pointer(context, builder, kinds[0], out, builder.mul(i, stride))
        offset = _pointer(context, builder, kinds[3], offsets, int64(0))
        unit, weight = _edge_list(context, builder, kinds[5:9], edges)
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
                    new.append(builder.fadd(sums[k + 1], builder.call(permute, [table, here])))
                return new

            place = vectors.places(target, position, size, n_vectors)
            initial = [vectors.load(row, at, 0) for row, at in place]
            share, *totals = _edge_loop(builder, n_groups, [zero_number, *initial], add)
            for total, (row, at) in zip(totals, place, strict=True):
                vectors.store(total, row, at, 0)
            builder.store(share, offset_sum)

        _for_each_chunk(builder, n_vectors, PACKED_CHUNKS, emit)
        with builder.if_then(builder.icmp_signed(">=", lane, int64(0))):
            place = builder.gep(target, [lane])
            total = builder.fadd(builder.load(place), builder.load(offset_sum))
            builder.store(total, place)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_edge_products(
    typing_context, out, out_first, upper, i, lower, indices, first, count, scale
):
    """``out[out_first + e] += scale * upper[i] . lower[indices[first + e]]`` for every connection.

    Four connections at a time, so that their lanes are added up together.
    """
    integer = types.int64
    signature = types.void(
        out, integer, upper, integer, lower, indices, integer, integer, out.dtype
    )

    def codegen(context, builder, signature, args):
        out, out_first, upper, i, lower, indices, first, count, scale = args
        kinds = signature.args
        int64 = ir.IntType(64)
        vectors = _Vectors(context, builder, kinds[0].dtype)
        stride = _row_length(context, builder, kinds[4], lower)
        target = _pointer(context, builder, kinds[0], out, out_first)
        own = _pointer(context, builder, kinds[2], upper, builder.mul(i, stride))
        base = _pointer(context, builder, kinds[4], lower, int64(0))
        index = _pointer(context, builder, kinds[5], indices, first)
        n_vectors = builder.sdiv(stride, int64(vectors.lanes))
        factor = vectors.broadcast(scale)

        def emit(size, position):
            mine = [builder.fmul(factor, vectors.load(own, position, k)) for k in range(size)]

            def product(edge):
                row = builder.gep(base, [builder.mul(_unit(builder, index, edge), stride)])
                total = builder.fmul(mine[0], vectors.load(row, position, 0))
                for k in range(1, size):
                    total = vectors.multiply_add(mine[k], vectors.load(row, position, k), total)
                return total

            _add_by_fours(builder, vectors, target, count, product)

        _for_each_chunk(builder, n_vectors, CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


def _add_by_fours(builder, vectors, target, count, product):
    """Emit ``target[e] += total of product(e)`` for every connection, four at a time."""
    int64 = ir.IntType(64)

    def add(edge, n_edges):
        totals = vectors.totals([product(builder.add(edge, int64(k))) for k in range(n_edges)])
        place = builder.bitcast(builder.gep(target, [edge]), totals.type.as_pointer())
        old = builder.load(place, align=vectors.item_bytes)
        builder.store(builder.fadd(old, totals), place, align=vectors.item_bytes)
        return []

    n_groups = builder.sdiv(count, int64(4))
    done = builder.mul(n_groups, int64(4))
    _edge_loop(builder, n_groups, [], lambda group, _: add(builder.mul(group, int64(4)), 4))
    _edge_loop(
        builder, builder.sub(count, done), [], lambda edge, _: add(builder.add(done, edge), 1)
    )


@intrinsic
def _add_packed_products(
    typing_context, out, out_first, i, data, model, indices, first, count, data_scale, model_scale
):
    """The same with packed 0/1 states below, the data's and the model's products at once.

    ``data`` and ``model`` are (packed lower states, upper probabilities); both
    have as many words. ``model`` may be None. The probabilities become 16-bit
    numbers (rounded by at most 8e-6), as two planes of bytes; the processor sums
    products of 64 pairs of bytes at once. The model's part is subtracted.
    """
    integer = types.int64
    signature = types.void(
        out, integer, integer, data, model, indices, integer, integer, out.dtype, out.dtype
    )

    def codegen(context, builder, signature, args):
        out, out_first, i, data, model, indices, first, count, data_scale, model_scale = args
        kinds = signature.args
        if not PACKS or kinds[0].dtype != types.float32:
            return context.get_dummy_value()  # never called: nothing is packed then
        int64 = ir.IntType(64)
        vectors = _Vectors(context, builder, kinds[0].dtype)
        whole = ir.VectorType(ir.IntType(32), vectors.lanes)
        sum_bytes = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(whole, [whole, whole, whole]),
            "llvm.x86.avx512.vpdpbusd.512",
        )
        larger = builder.select(
            builder.fcmp_ordered(">", data_scale, model_scale), data_scale, model_scale
        )
        phases = []
        for kind, phase, scale in ((kinds[3], data, data_scale), (kinds[4], model, model_scale)):
            if isinstance(kind, types.NoneType):
                continue
            packed, upper = cgutils.unpack_tuple(builder, phase)
            stride = _row_length(context, builder, kind[1], upper)
            words = _row_length(context, builder, kind[0], packed)
            own = _pointer(context, builder, kind[1], upper, builder.mul(i, stride))
            base = _pointer(context, builder, kind[0], packed, int64(0))
            share = builder.fmul(builder.fdiv(scale, larger), ir.Constant(scale.type, 65535.0))
            phases.append((own, base, stride, vectors.broadcast(share)))
        target = _pointer(context, builder, kinds[0], out, out_first)
        index = _pointer(context, builder, kinds[5], indices, first)
        n_vectors = builder.sdiv(words, int64(4))
        factor = vectors.broadcast(builder.fmul(larger, ir.Constant(larger.type, 1 / 65535)))

        def planes_of(own, stride, share, position, size):
            """Two planes of bytes for every word of a chunk."""
            present = builder.sdiv(stride, int64(vectors.lanes))
            place = vectors.places(own, position, size, present)
            planes = []
            for start in range(0, size, 4):
                high = low = _splat(whole, 0)
                for k in range(start, start + 4):
                    x = vectors.multiply_add(
                        vectors.load(*place[k], 0), share, _splat(vectors.type, 0.5)
                    )
                    number = builder.fptosi(x, whole)
                    shift = _splat(whole, 8 * (k - start))
                    # Spare lanes may hold any number: keep it within its own byte.
                    byte = _splat(whole, 255)
                    upper_byte = builder.and_(builder.lshr(number, _splat(whole, 8)), byte)
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
                row = builder.mul(_unit(builder, index, edge), words)
                high_sum = low_sum = _splat(whole, 0)
                for base, planes in reversed(ready):
                    high_sum = builder.sub(_splat(whole, 0), high_sum)
                    low_sum = builder.sub(_splat(whole, 0), low_sum)
                    for number, (high, low) in enumerate(planes):
                        word = builder.add(row, builder.add(start, int64(16 * number)))
                        place = builder.bitcast(builder.gep(base, [word]), whole.as_pointer())
                        states = builder.load(place, align=4)
                        high_sum = builder.call(sum_bytes, [high_sum, high, states])
                        low_sum = builder.call(sum_bytes, [low_sum, low, states])
                total = builder.add(builder.shl(high_sum, _splat(whole, 8)), low_sum)
                return builder.fmul(builder.sitofp(total, vectors.type), factor)

            _add_by_fours(builder, vectors, target, count, product)

        _for_each_chunk(builder, n_vectors, PACKED_CHUNKS, emit)
        return context.get_dummy_value()

    return signature, codegen


def _packed_vectors(builder, stride, words):
    """Number of vectors of lanes of float32 that packed states hold."""
    int64 = ir.IntType(64)
    present, packed = builder.sdiv(stride, int64(16)), builder.sdiv(words, int64(4))
    return builder.select(builder.icmp_signed("<", present, packed), present, packed)


@intrinsic
def _count_bits(typing_context, bits, i):
    """Number of lanes in which unit ``i`` is on."""
    signature = types.int64(bits, types.int64)

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        int64, int16 = ir.IntType(64), ir.IntType(16)
        n_groups, n_units = cgutils.unpack_tuple(
            builder, context.make_array(kind)(context, builder, args[0]).shape
        )
        base = _pointer(context, builder, kind, args[0], args[1])
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(int16, [int16]), "llvm.ctpop.i16"
        )

        def add(group, total):
            word = builder.load(builder.gep(base, [builder.mul(group, n_units)]))
            return [builder.add(total[0], builder.zext(builder.call(count, [word]), int64))]

        return _edge_loop(builder, n_groups, [int64(0)], add)[0]

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


def _packing_intrinsic(from_bits):
    @intrinsic
    def pack(typing_context, source, packed, i):
        """Set row ``i`` of packed states from its bits, or from a row of 0/1 states."""
        signature = types.void(source, packed, types.int64)

        def codegen(context, builder, signature, args):
            source_type, packed_type, _ = signature.args
            if not from_bits and source_type.dtype != types.float32:
                return context.get_dummy_value()  # never called: nothing is packed then
            source = context.make_array(source_type)(context, builder, args[0])
            words = _row_length(context, builder, packed_type, args[1])
            row = _pointer(context, builder, packed_type, args[1], builder.mul(args[2], words))
            flags = ir.VectorType(ir.IntType(1), 16)
            n_groups, n_units = cgutils.unpack_tuple(builder, source.shape)
            if not from_bits:
                vectors = _Vectors(context, builder, types.float32)
                states = builder.gep(source.data, [builder.mul(args[2], n_units)])
                n_groups = builder.sdiv(n_units, ir.IntType(64)(16))
            n_packed = builder.sdiv(words, ir.IntType(64)(4))
            fewer = builder.icmp_signed("<", n_groups, n_packed)
            with cgutils.for_range(builder, builder.select(fewer, n_groups, n_packed)) as loop:
                if from_bits:
                    place = _bit_place(builder, source.data, 16, n_units, args[2], loop.index)
                    on = builder.bitcast(builder.load(place, align=2), flags)
                else:
                    x = vectors.load(states, loop.index, 0)
                    on = builder.fcmp_unordered("une", x, _splat(vectors.type, 0.0))
                _emit_byte(builder, row, loop.index, on)
            return context.get_dummy_value()

        return signature, codegen

    return pack


_pack_from_bits = _packing_intrinsic(from_bits=True)
_pack_from_states = _packing_intrinsic(from_bits=False)

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@_part
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


@_part
def _mix(x):
    """The finaliser of splitmix64 (public domain; Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_part
def row_key(key, step, layer, unit):
    """64 bits for the draws of one unit at one step."""
    place = (np.uint64(layer) << np.uint64(40)) | np.uint64(unit)
    return _mix(_mix(key + np.uint64(step) * _GOLDEN) ^ (place * _GOLDEN))


def _splat(kind, value):
    """A constant of this type, number or vector."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [value] * kind.count)
    return ir.Constant(kind, value)


def _emit_random(builder, row, lane):
    """24 random bits of every lane (a 32-bit integer or a vector of them).

    Two rounds of a 32-bit multiply-xorshift hash; the lower half of the row's
    key starts it, the upper half enters between the rounds.
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
        return builder.lshr(x, _splat(kind, bits))

    low = spread(builder.trunc(row, int32))
    high = spread(builder.trunc(builder.lshr(row, ir.IntType(64)(32)), int32))
    x = builder.add(builder.mul(lane, _splat(kind, 0x9E3779B9)), low)
    x = builder.mul(builder.xor(x, shifted(x, 16)), _splat(kind, 0x7FEB352D))
    x = builder.xor(x, high)
    x = builder.mul(builder.xor(x, shifted(x, 15)), _splat(kind, 0x846CA68B))
    return shifted(builder.xor(x, shifted(x, 16)), 8)


@intrinsic
def uniform(typing_context, row, lane):
    """The uniform number in [0, 1) of a lane, 24 bits, as float32."""
    signature = types.float32(types.uint64, types.int64)

    def codegen(context, builder, signature, args):
        bits = _emit_random(builder, args[0], builder.trunc(args[1], ir.IntType(32)))
        number = builder.uitofp(bits, ir.FloatType())
        return builder.fmul(number, ir.Constant(ir.FloatType(), 2.0**-24))

    return signature, codegen


@_kernel
def uniforms(key, step, layer, out):
    """Fill ``out`` (units, lanes) with the numbers that a draw at this place uses."""
    for i in range(out.shape[0]):
        row = row_key(key, step, layer, i)
        for lane in range(out.shape[1]):
            out[i, lane] = uniform(row, lane)


# ------------------------------------------------------------- unit by unit


# Interpolation of exp at Chebyshev nodes on [-ln2/2, ln2/2]; relative error 1e-7 (degree 5)
# and 4e-18 (degree 11), our own coefficients.
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
    """e**x of a number or a vector: polynomial, without branches."""
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
        inside = builder.fcmp_ordered(predicate, x, _splat(kind, bound))
        x = builder.select(inside, x, _splat(kind, bound))
    z = builder.fmul(x, _splat(kind, 1.4426950408889634))
    name = f"{'v' + str(kind.count) if vector else ''}f{32 if single else 64}"
    floor = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind]), f"llvm.floor.{name}"
    )
    k = builder.call(floor, [builder.fadd(z, _splat(kind, 0.5))])
    r = builder.fmul(builder.fsub(z, k), _splat(kind, 0.6931471805599453))
    *others, last = _EXP_COEFFICIENTS["float" if single else "double"]
    p = _splat(kind, last)
    for coefficient in reversed(others):
        p = fma(p, r, _splat(kind, coefficient))
    exponent = builder.add(builder.fptosi(k, whole), _splat(whole, 127 if single else 1023))
    power = builder.shl(exponent, _splat(whole, 23 if single else 52))
    return builder.fmul(p, builder.bitcast(power, kind))


@intrinsic
def exp(typing_context, x):
    """e**x in kernels; runs in vectors."""
    return x(x), lambda context, builder, signature, args: _emit_exp(builder, args[0])


def _finishing(mean, draw):
    """Make the step from the input of a unit to its mean, to a draw, or to both."""

    def codegen(context, builder, signature, args):
        states, i, shift, scale, n_lanes, *rest = args
        kinds = signature.args
        number = kinds[0].dtype
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vectors = _Vectors(context, builder, number)
        lanes = vectors.lanes
        stride = _row_length(context, builder, kinds[0], states)
        source = _pointer(context, builder, kinds[0], states, builder.mul(i, stride))
        if draw:
            row, lane_0, bits, packed = rest[:4]
            drawn = source
            if mean:
                drawn = _pointer(context, builder, kinds[9], rest[4], builder.mul(i, stride))
            n_groups, n_units = cgutils.unpack_tuple(
                builder, context.make_array(kinds[7])(context, builder, bits).shape
            )
            bits = _pointer(context, builder, kinds[7], bits, int64(0))
            words = _row_length(context, builder, kinds[8], packed)
            packed = _pointer(context, builder, kinds[8], packed, builder.mul(i, words))
            has_bits = builder.icmp_signed(">", n_groups, int64(0))
        places = ir.VectorType(int32, lanes)
        iota = ir.Constant(places, list(range(lanes)))
        zeros, ones = _splat(vectors.type, 0.0), _splat(vectors.type, 1.0)
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
                random = _emit_random(builder, row, builder.add(lane, first_lane))
                random = builder.sitofp(random, vectors.type)
                # u < 1 / odds without a division
                on = builder.fcmp_ordered(
                    "<", builder.fmul(random, odds), _splat(vectors.type, 2.0**24)
                )
                on = builder.and_(on, inside)
                vectors.store(builder.select(on, ones, zeros), drawn, k, 0)
                with builder.if_then(has_bits):
                    place = _bit_place(builder, bits, lanes, n_units, i, k)
                    builder.store(builder.bitcast(on, ir.IntType(lanes)), place, align=1)
                if number == types.float32:
                    wanted = builder.icmp_signed("<", builder.mul(k, int64(4)), words)
                    with builder.if_then(wanted):
                        _emit_byte(builder, packed, k, on)
        return context.get_dummy_value()

    return codegen


@intrinsic
def _to_mean(typing_context, states, i, shift, scale, n_lanes):
    """Turn row i from its input into ``sigmoid(scale * input + shift)``; padding set to 0."""
    number, integer = states.dtype, types.int64
    return types.void(states, integer, number, number, integer), _finishing(True, False)


@intrinsic
def _to_draw(typing_context, states, i, shift, scale, n_lanes, row, lane_0, bits, packed):
    """Turn row i from its input into a draw: 1 with probability sigmoid(scale * input + shift).

    Also as bits and packed, where these are not empty; padding set to 0.
    """
    number, integer = states.dtype, types.int64
    signature = types.void(
        states, integer, number, number, integer, types.uint64, integer, bits, packed
    )
    return signature, _finishing(False, True)


@intrinsic
def _to_mean_and_draw(
    typing_context, states, i, shift, scale, n_lanes, row, lane_0, bits, packed, drawn
):
    """Turn row i into its mean, and draw from it into row i of ``drawn``."""
    number, integer = states.dtype, types.int64
    signature = types.void(
        states, integer, number, number, integer, types.uint64, integer, bits, packed, drawn
    )
    return signature, _finishing(True, True)


def _emit_byte(builder, row, k, on):
    """Put the flags of vector k of a row into its packed states.

    Byte s of word 16 g + d is lane 64 g + 16 s + d, so that a shift by 8 s
    brings sixteen consecutive lanes to where table look-up wants them.
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


# ------------------------------------------------------------------- fields


@_part
def _add_from_below(level, below, out, start, stop, blas):
    """Add ``weights[start:stop] @ below`` to rows start..stop of ``out``."""
    lower, packed, offsets, lane = below
    stride = out.shape[1]
    if level.weights.shape[0] > 0:
        n_lower = level.weights.shape[1]
        one = out.dtype.type(1)
        _gemm(
            blas, False, False, stride, stop - start, n_lower, one, lower, 0, stride,
            level.weights, start * n_lower, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
        return
    indptr, indices, values = level.edges.indptr, level.edges.indices, level.values
    for i in range(start, stop):
        first = indptr[i]
        count = indptr[i + 1] - first
        if packed.shape[0] > 0:
            _add_edges_by_table(out, i, packed, offsets, lane, indices, values, None, first, count)
        else:
            _add_edges(out, i, lower, indices, values, None, first, count)


@_part
def _add_from_above(level, above, out, start, stop, blas):
    """Add ``weights[:, start:stop].T @ above`` to rows start..stop of ``out``."""
    upper, packed, offsets, lane = above
    stride = out.shape[1]
    if level.weights.shape[0] > 0:
        n_upper, n_lower = level.weights.shape
        one = out.dtype.type(1)
        _gemm(
            blas, False, True, stride, stop - start, n_upper, one, upper, 0, stride,
            level.weights, start, n_lower, one, out, start * stride, stride,
        )  # fmt: skip
        return
    indptr, indices = level.edges.down_indptr, level.edges.down_indices
    order, values = level.edges.down_order, level.values
    for j in range(start, stop):
        first = indptr[j]
        count = indptr[j + 1] - first
        if packed.shape[0] > 0:
            _add_edges_by_table(out, j, packed, offsets, lane, indices, values, order, first, count)
        else:
            _add_edges(out, j, upper, indices, values, order, first, count)


@_part
def _field_rows(stack, layer, below, above, out, start, stop, blas):
    """Rows start..stop of the input to a layer from both neighbours, without its bias.

    A neighbour is (states, packed states, offsets, lane). Where packed states
    are given, levels with edges read these; the contribution of the offsets,
    which states carry in a spare lane, then goes to ``lane`` unless that is
    negative.
    """
    out[start:stop] = 0
    if layer > 0:
        _add_from_below(stack.levels[layer - 1], below, out, start, stop, blas)
    if layer < len(stack.levels):
        _add_from_above(stack.levels[layer], above, out, start, stop, blas)


@_kernel
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


@_kernel
def descent_rows(stack, layer):
    """The same for gradients. BLAS packs the layer below once a block: few units are one."""
    return max(block_rows(stack, layer), EDGE_BLOCK)


# ----------------------------------------------------------- blocks of lanes

NO_BITS, NO_PACKED = np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint32)


@_inlined
def _neighbours(stack, layer, states, packed):
    """What ``_field_rows`` reads of the layers below and above, without offsets."""
    below = layer - 1 if layer > 0 else layer
    above = layer + 1 if layer < len(stack.levels) else layer
    return (
        (states[below], packed[below], stack.biases[below], -1),
        (states[above], packed[above], stack.biases[above], -1),
    )


@_kernel
def fields(stack, layer, states, packed, out, blas):
    """The input to a whole layer, bias included, given its neighbours' states."""
    n_units = stack.biases[layer].size
    below, above = _neighbours(stack, layer, states, packed)
    _field_rows(stack, layer, below, above, out, 0, n_units, blas)
    for i in range(n_units):
        bias = stack.biases[layer][i]
        for lane in range(out.shape[1]):
            out[i, lane] += bias


@_kernel
def update_layer(stack, layer, states, packed, sample, n_lanes, lane_0, key, step, blas):
    """Replace a layer's states by its activation probabilities, or by a draw from them."""
    out, own_packed = states[layer], packed[layer]
    below, above = _neighbours(stack, layer, states, packed)
    n_units = stack.biases[layer].size
    one = out.dtype.type(1)
    block = block_rows(stack, layer)
    for start in range(0, n_units, block):
        stop = min(start + block, n_units)
        _field_rows(stack, layer, below, above, out, start, stop, blas)
        for i in range(start, stop):
            bias = stack.biases[layer][i]
            if sample:
                row = row_key(key, step, layer, i)
                _to_draw(out, i, bias, one, n_lanes, row, lane_0, NO_BITS, own_packed)
            else:
                _to_mean(out, i, bias, one, n_lanes)


@_kernel
def gibbs_sweeps(stack, states, packed, clamped, n_sweeps, n_lanes, lane_0, key, first_step, blas):
    """Odd layers given even ones, then even given odd, ``n_sweeps`` times.

    ``clamped`` (n_visible, lanes) holds the visible states that stay, NaN where
    a unit is free; a size of 0 clamps nothing, and visible states that are
    clamped are not packed.
    """
    for sweep in range(n_sweeps):
        step = first_step + sweep
        for parity in (1, 0):
            for layer in range(parity, len(states), 2):
                update_layer(stack, layer, states, packed, True, n_lanes, lane_0, key, step, blas)
        if clamped.size:
            visible = states[0]
            for i in range(visible.shape[0]):
                for lane in range(n_lanes):
                    if not np.isnan(clamped[i, lane]):
                        visible[i, lane] = clamped[i, lane]


@_kernel_with_arrays
def mean_field(stack, states, packed, tolerance, max_updates, n_lanes, blas):
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
    bottom = np.zeros((stack.biases[1].size, states[0].shape[1]), dtype=states[0].dtype)
    visible, _upper = _neighbours(stack, 1, states, packed)
    _add_from_below(stack.levels[0], visible, bottom, 0, bottom.shape[0], blas)  # does not change
    for _ in range(max_updates):
        change[:] = 0
        for layer in range(1, n_layers):
            n_units = stack.biases[layer].size
            if fresh.shape[0] < n_units:
                fresh = np.zeros((n_units, states[0].shape[1]), dtype=states[0].dtype)
            old = states[layer]
            below, above = _neighbours(stack, layer, states, packed)
            if layer == 1:
                fresh[:n_units] = bottom
                if n_layers > 2:
                    _add_from_above(stack.levels[1], above, fresh, 0, n_units, blas)
            else:
                _field_rows(stack, layer, below, above, fresh, 0, n_units, blas)
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


@_kernel_with_arrays
def add_softplus(field, total):
    """``total[lane] += sum_i log(1 + exp(field[i, lane]))``, in float64.

    The logarithm of a product of many factors is taken at once; a factor
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
        if i % LOG_EVERY == LOG_EVERY - 1:
            for lane in range(lanes):
                linear[lane] += np.log(product[lane])
                product[lane] = 1.0
    for lane in range(total.size):
        total[lane] += linear[lane] + np.log(product[lane])


@_kernel_with_arrays
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
            if (e - first) % LOG_EVERY == LOG_EVERY - 1:
                for lane in range(lanes):
                    change[lane] += np.log(product[lane])
                    product[lane] = 1
        for lane in range(total.size):
            d = change[lane] + np.log(product[lane])
            total[lane] -= max(d, 0.0) + np.log1p(np.exp(-abs(d)))


@_kernel_with_arrays
def anneal(stack, base, betas, from_base, states, packed, log_weights, n_lanes, lane_0, key, blas):
    """Annealed importance sampling of one block of chains (Neal 2001), in either direction.

    The odd layers are summed out. The path scales weights and odd biases by
    beta and the even biases from ``base`` to their own: log p*_beta(even) =
    sum_even ((1 - beta) base + beta b) s + sum_odd softplus(beta (W s + c)).
    Chains are drawn ``from_base``, or start from the given states of the even
    layers, samples at ``betas[0]``. Adds to ``log_weights``.
    """
    n_layers = len(states)
    dtype = states[0].dtype
    lanes = states[0].shape[1]
    upper_product = np.ones(lanes, dtype=np.float64)
    lower_product = np.ones(lanes, dtype=np.float64)
    linear = np.zeros(lanes, dtype=np.float64)
    one, zero = dtype.type(1), dtype.type(0)
    if from_base:
        for layer in range(0, n_layers, 2):
            x, own_packed = states[layer], packed[layer]
            for i in range(stack.biases[layer].size):
                x[i] = 0
                row = row_key(key, 0, layer, i)
                _to_draw(x, i, base[layer][i], one, n_lanes, row, lane_0, NO_BITS, own_packed)
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
            x, own_packed = states[layer], packed[layer]
            below, above = _neighbours(stack, layer, states, packed)
            _field_rows(stack, layer, below, above, x, 0, n_units, blas)
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
                row = row_key(key, k, layer, i)
                _to_draw(x, i, new * bias, new, n_lanes, row, lane_0, NO_BITS, own_packed)
        for lane in range(n_lanes):
            log_weights[lane] += linear[lane]
        if k == betas.size - 1:
            break
        for layer in range(0, n_layers, 2):
            n_units = stack.biases[layer].size
            x, own_packed = states[layer], packed[layer]
            below, above = _neighbours(stack, layer, states, packed)
            _field_rows(stack, layer, below, above, x, 0, n_units, blas)
            for i in range(n_units):
                shift = new * stack.biases[layer][i] + (one - new) * base[layer][i]
                row = row_key(key, k, layer, i)
                _to_draw(x, i, shift, new, n_lanes, row, lane_0, NO_BITS, own_packed)


@_kernel_with_arrays
def tempered_sweep(stack, base, beta, states, packed, slopes, n_lanes, lane_0, key, step, blas):
    """One Gibbs sweep on the path of :func:`anneal`: even layers, then the odd ones.

    ``slopes`` become d log p*_beta(state) / d beta of every lane, which does
    not depend on beta: what exchanges between temperatures are decided by.
    """
    dtype = states[0].dtype
    factor, rest = dtype.type(beta), dtype.type(1 - beta)
    field = np.empty(states[0].shape[1], dtype)
    slopes[:] = 0
    for parity in (0, 1):
        for layer in range(parity, len(states), 2):
            x, own_packed = states[layer], packed[layer]
            biases, start = stack.biases[layer], base[layer]
            below, above = _neighbours(stack, layer, states, packed)
            _field_rows(stack, layer, below, above, x, 0, biases.size, blas)
            for i in range(biases.size):
                row = row_key(key, step, layer, i)
                shift = factor * biases[i] + rest * start[i]
                for lane in range(n_lanes):  # the field counts once, from the odd side
                    field[lane] = biases[i] - start[i] + (x[i, lane] if parity == 1 else 0)
                _to_draw(x, i, shift, factor, n_lanes, row, lane_0, NO_BITS, own_packed)
                for lane in range(n_lanes):
                    slopes[lane] += field[lane] * x[i, lane]


@_kernel
def exchange_lanes(states, packed, other_states, other_packed, exchanged):
    """Exchange whole lanes of two states, where ``exchanged``."""
    for layer in range(len(states)):
        a, b = states[layer], other_states[layer]
        for i in range(a.shape[0]):
            for lane in range(exchanged.size):
                if exchanged[lane]:
                    a[i, lane], b[i, lane] = b[i, lane], a[i, lane]
            if packed[layer].shape[0] > 0:
                _pack_from_states(a, packed[layer], i)
                _pack_from_states(b, other_packed[layer], i)


@intrinsic
def _ones(typing_context, word):
    """Number of ones of a 64-bit word."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@_kernel
def count_pairs(upper, lower, indptr, indices, counts):
    """Number of samples in which both ends of a connection are on; samples are bits of words."""
    n_words = np.uint64(upper.shape[1])
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            j = np.uint64(indices[e])
            total = np.uint64(0)
            for word in range(n_words):
                total += _ones(upper[i, word] & lower[j, word])
            counts[e] = total


# --------------------------------------------------------------------- data


@_kernel
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


@_kernel
def load_csr(values, indices, indptr, rows, out):
    """Densify rows of a CSR matrix into the lanes of ``out``."""
    out[:] = 0
    for lane in range(rows.size):
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            out[indices[e], lane] = values[e]


@intrinsic
def _store_tile(typing_context, states, i, lane, out):
    """Copy the square tile of one vector's width at (i, lane) to (lane, i) of ``out``."""
    signature = types.void(states, types.int64, types.int64, out)

    def codegen(context, builder, signature, args):
        states, i, lane, out = args
        kinds = signature.args
        int64 = ir.IntType(64)
        vectors = _Vectors(context, builder, kinds[0].dtype)
        width = vectors.lanes

        def place(kind, array, row, column):
            stride = _row_length(context, builder, kind, array)
            offset = builder.add(builder.mul(row, stride), column)
            pointer = _pointer(context, builder, kind, array, offset)
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


@_kernel
def store_rows(states, out):
    """Copy lanes back into sample-major rows, by square tiles."""
    width = VECTOR_BYTES // states.itemsize
    n_units, n_lanes = states.shape[0], out.shape[0]
    whole_units, whole_lanes = n_units - n_units % width, n_lanes - n_lanes % width
    for lane in range(0, whole_lanes, width):
        for i in range(0, whole_units, width):
            _store_tile(states, i, lane, out)
    for lane in range(n_lanes):
        for i in range(whole_units if lane < whole_lanes else 0, n_units):
            out[lane, i] = states[i, lane]


@_kernel
def unpack(bits, states):
    """Set states from their bits."""
    for i in range(states.shape[0]):
        _unpack_row(states, bits, i)


@_kernel
def pack_bits(bits, packed):
    """Set packed states from their bits."""
    for i in range(packed.shape[0]):
        _pack_from_bits(bits, packed, i)


@_kernel
def pack_states(states, packed):
    """Set packed states from 0/1 states."""
    for i in range(packed.shape[0]):
        _pack_from_states(states, packed, i)


@_kernel
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


@_kernel
def is_binary_dense(data):
    """Whether every number is 0 or 1."""
    for i in range(data.shape[0]):
        others = 0
        for j in range(data.shape[1]):
            others += (data[i, j] != 0) & (data[i, j] != 1)
        if others:
            return False
    return True


@intrinsic
def _gather_bits(typing_context, data, rows, first, count, bits, group):
    """Set group ``group`` of bits from ``count`` (at most 16) rows, ``rows[first:]``, of 0/1 data.

    Some units at a time: the words of the group stay in a register while
    the rows pass by.
    """
    integer = types.int64
    signature = types.void(data, rows, integer, integer, bits, integer)

    def codegen(context, builder, signature, args):
        data, rows, first, count, bits, group = args
        kinds = signature.args
        int64, int16 = ir.IntType(64), ir.IntType(16)
        n_units = _row_length(context, builder, kinds[4], bits)
        source = _pointer(context, builder, kinds[0], data, int64(0))
        row_numbers = _pointer(context, builder, kinds[1], rows, first)
        target = _pointer(context, builder, kinds[4], bits, builder.mul(group, n_units))
        number = context.get_value_type(kinds[0].dtype)
        floating = not isinstance(number, ir.IntType)

        def units(position, width):
            """The words of ``width`` units from ``position`` on."""
            vector = ir.VectorType(number, width) if width > 1 else number
            words = ir.VectorType(int16, width) if width > 1 else int16

            def add_row(lane, carried):
                row = builder.load(builder.gep(row_numbers, [lane]))
                place = builder.gep(source, [builder.add(builder.mul(row, n_units), position)])
                x = builder.load(
                    builder.bitcast(place, vector.as_pointer()),
                    align=kinds[0].dtype.bitwidth // 8,
                )
                zero = _splat(vector, 0.0 if floating else 0)
                if floating:
                    on = builder.fcmp_unordered("une", x, zero)
                else:
                    on = builder.icmp_signed("!=", x, zero)
                flag, word = carried
                word = builder.or_(word, builder.select(on, flag, _splat(words, 0)))
                return [builder.shl(flag, _splat(words, 1)), word]

            _, word = _edge_loop(builder, count, [_splat(words, 1), _splat(words, 0)], add_row)
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


@_kernel
def load_bits_dense(data, rows, bits):
    """Set ``bits`` (groups of 16 lanes, units) from rows of 0/1 data."""
    for group in range(bits.shape[0]):
        first = min(16 * group, rows.size)
        _gather_bits(data, rows, first, min(16, rows.size - first), bits, group)


@_kernel
def load_bits_csr(values, indices, indptr, rows, bits):
    """The same from a CSR matrix."""
    bits[:] = 0
    for lane in range(rows.size):
        words, flag = bits[lane // 16], np.uint16(1 << (lane % 16))
        row = rows[lane]
        for e in range(indptr[row], indptr[row + 1]):
            if values[e] != 0:
                words[indices[e]] |= flag


@_kernel
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


@_kernel
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


@intrinsic
def _row_sum(typing_context, states, i, n_lanes):
    """The sum of the first ``n_lanes`` lanes of row i."""
    signature = states.dtype(states, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vectors = _Vectors(context, builder, kind.dtype)
        lanes = vectors.lanes
        stride = _row_length(context, builder, kind, args[0])
        row = _pointer(context, builder, kind, args[0], builder.mul(args[1], stride))
        places = ir.VectorType(int32, lanes)
        iota = ir.Constant(places, list(range(lanes)))
        zeros = _splat(vectors.type, 0.0)

        def add(k, sums):
            left = builder.trunc(builder.sub(args[2], builder.mul(k, int64(lanes))), int32)
            first = builder.insert_element(ir.Constant(places, ir.Undefined), left, int32(0))
            left = builder.shuffle_vector(first, first, ir.Constant(places, [0] * lanes))
            inside = builder.icmp_signed("<", iota, left)
            x = builder.select(inside, vectors.load(row, k, 0), zeros)
            return [builder.fadd(sums[0], x)]

        n_vectors = builder.sdiv(builder.add(args[2], int64(lanes - 1)), int64(lanes))
        (total,) = _edge_loop(builder, n_vectors, [zeros], add)
        return builder.extract_element(vectors.totals([total]), int32(0))

    return signature, codegen


@_part
def _step_weights(all_weights, first, all_gradient, count, all_velocity, rate, options):
    """Step ``all_weights[first:first + count]`` along ``all_gradient[:count]``.

    Momentum and L2 act on the gradient; L1 shrinks after the step (proximal).
    Slices, because an index ``first + e`` might be negative for all the
    compiler knows, and the test for it keeps loops from using vectors.
    """
    momentum, l2 = options.momentum, options.l2
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
    _shrink(all_weights, first, count, rate * options.l1)


@_part
def _shrink(all_weights, first, count, threshold):
    """Bring weights nearer to zero by the threshold, those below it to zero."""
    weights = all_weights[first : first + count]
    if threshold > 0:
        for e in range(count):
            weights[e] -= min(max(weights[e], -threshold), threshold)


@_part
def _bound_norm(weights, first, last, max_norm):
    """Scale the weights of one upper unit down to the largest norm allowed."""
    norm = weights.dtype.type(0)
    for e in range(first, last):
        norm += weights[e] * weights[e]
    if norm > max_norm * max_norm:
        factor = max_norm / np.sqrt(norm)
        for e in range(first, last):
            weights[e] *= factor


@_part
def _update_dense_rows(
    level, velocity, data, model, n_data, n_model, start, stop, rate, options, blas
):
    """Gradient step on rows start..stop of a dense level.

    BLAS adds both phases straight to the weights, or to their velocity where
    there is momentum: no gradient is written anywhere.
    """
    _called()
    n_lower = level.weights.shape[1]
    first, count = start * n_lower, (stop - start) * n_lower
    weights = level.weights.reshape(level.weights.size)
    one = weights.dtype.type(1)
    into, gain, keep = weights, rate, one - rate * options.l2
    if velocity.size:
        into, gain, keep = velocity, one, options.momentum
    lower, _, upper = data
    stride = lower.shape[1]
    _gemm(
        blas, True, False, n_lower, stop - start, stride, gain / weights.dtype.type(n_data),
        lower, 0, stride, upper, start * stride, stride, keep, into, first, n_lower,
    )  # fmt: skip
    lower, _, upper = model
    stride = lower.shape[1]
    _gemm(
        blas, True, False, n_lower, stop - start, stride, -gain / weights.dtype.type(n_model),
        lower, 0, stride, upper, start * stride, stride, one, into, first, n_lower,
    )  # fmt: skip
    if level.mask.shape[0] > 0:
        stepped = into[first : first + count]
        mask = level.mask.reshape(level.mask.size)[first : first + count]
        for e in range(count):
            stepped[e] *= mask[e]
    if velocity.size:
        moved, by = weights[first : first + count], velocity[first : first + count]
        for e in range(count):
            by[e] -= options.l2 * moved[e]
        for e in range(count):
            moved[e] += rate * by[e]
    _shrink(weights, first, count, rate * options.l1)
    if options.max_norm > 0:
        for i in range(start, stop):
            _bound_norm(weights, i * n_lower, (i + 1) * n_lower, options.max_norm)


@_part
def _update_edge_rows(
    level, velocity, data, model, n_data, n_model, start, stop, centring, rate, options, work
):
    """Gradient step on the connections of upper units start..stop of a pruned level.

    A phase is (lower states, packed lower states, upper states). Packed states
    have no spare lanes: the terms of the centring are then added here, from
    (delta, offset) of the lower and of the upper layer.
    """
    _called()
    one = work.dtype.type(1)
    indptr, indices = level.edges.indptr, level.edges.indices
    lower, packed, upper = data
    model_lower, model_packed, model_upper = model
    lower_delta, lower_offset, upper_delta, upper_offset = centring
    block_first = indptr[start]
    block_count = indptr[stop] - block_first
    data_scale, model_scale = one / work.dtype.type(n_data), one / work.dtype.type(n_model)
    both = packed.shape[0] > 0 and packed.shape[1] == model_packed.shape[1]
    from_data, from_model = (packed, upper), (model_packed, model_upper)
    work[:block_count] = 0
    for i in range(start, stop):
        first = indptr[i]
        count = indptr[i + 1] - first
        place = first - block_first
        if both:
            _add_packed_products(
                work,
                place,
                i,
                from_data,
                from_model,
                indices,
                first,
                count,
                data_scale,
                model_scale,
            )
        else:
            if packed.shape[0] > 0:
                _add_packed_products(
                    work, place, i, from_data, None, indices, first, count, data_scale, data_scale
                )
            else:
                _add_edge_products(work, place, upper, i, lower, indices, first, count, data_scale)
            if model_packed.shape[0] > 0:
                _add_packed_products(
                    work,
                    place,
                    i,
                    from_model,
                    None,
                    indices,
                    first,
                    count,
                    -model_scale,
                    -model_scale,
                )
            else:
                _add_edge_products(
                    work, place, model_upper, i, model_lower, indices, first, count, -model_scale
                )
        if packed.shape[0] > 0:
            stretch, neighbours = work[place : place + count], indices[first : first + count]
            delta, offset = upper_delta[i], upper_offset[i]
            for e in range(count):
                j = np.uint64(neighbours[e])
                stretch[e] -= delta * lower_offset[j] + offset * lower_delta[j]
    _step_weights(level.values, block_first, work, block_count, velocity, rate, options)
    if options.max_norm > 0:
        for i in range(start, stop):
            _bound_norm(level.values, indptr[i], indptr[i + 1], options.max_norm)


@_part
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


MEAN, DRAW, MEAN_AND_DRAW = (np.int64(what) for what in range(3))  # what a team makes of a layer
EVEN, ODD = np.int64(0), np.int64(1)


@_part
def _team_layer(
    stack, layer, neighbours, what, out, drawn, bits, packed, offsets, n_lanes, dropout, key, step,
    blas, thread, n_threads,
):  # fmt: skip
    """Compute this thread's rows of a layer given its neighbours.

    ``out`` becomes the probabilities or a draw; with both, the draw goes to
    ``drawn``. In training the lane after the last holds what the
    offsets contribute to a field, and the offset itself in a drawn row. With
    ``dropout`` this share of an odd layer is off, lane by lane, the same
    all through a minibatch.
    """
    _called()
    below, above = neighbours
    biases = stack.biases[layer]
    block = block_rows(stack, layer)
    one = out.dtype.type(1)
    for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, out.shape[0])
        _field_rows(stack, layer, below, above, out, start, stop, blas)
        for i in range(start, stop):
            shift = biases[i] - out[i, n_lanes]
            if dropout > 0 and layer % 2 == 1:
                row = row_key(key, step // DRAWS_PER_MINIBATCH, DROPOUT + layer, i)
                for lane in range(n_lanes):
                    if uniform(row, np.uint32(lane)) < dropout:
                        out[i, lane] = OFF
            if what == MEAN:
                _to_mean(out, i, shift, one, n_lanes)
                continue
            row = row_key(key, step, layer, i)
            if what == DRAW:
                _to_draw(out, i, shift, one, n_lanes, row, 0, bits, packed)
                out[i, n_lanes] = offsets[i]
            else:
                _to_mean_and_draw(out, i, shift, one, n_lanes, row, 0, bits, packed, drawn)
                drawn[i, n_lanes] = offsets[i]


@_part
def _recentre(stack, state, room, sign, blas, thread, n_threads):
    """Add ``sign`` times the input that the offsets alone would give to every bias.

    Takes the biases of the machine to those of the centred machine, whose
    fields are W (s - offset) + b, and back.
    """
    for layer in range(len(stack.biases)):
        out, biases = state.shifts[layer], stack.biases[layer]
        below, above = _neighbours(stack, layer, state.offset_states, room.unpacked)
        block = block_rows(stack, layer)
        for b in range(thread, (biases.size + block - 1) // block, n_threads):
            start, stop = b * block, min(b * block + block, biases.size)
            _field_rows(stack, layer, below, above, out, start, stop, blas)
            for i in range(start, stop):
                biases[i] += sign * out[i, 0]


@_part
def _chain_neighbours(stack, layer, state, room, lane, thread):
    """What ``_field_rows`` reads of the chains below and above a layer."""
    below = layer - 1 if layer > 0 else layer
    above = layer + 1 if layer < len(stack.levels) else layer
    return (
        (room.local[below][thread], room.packed[below][thread], state.offsets[below], lane),
        (room.local[above][thread], room.packed[above][thread], state.offsets[above], lane),
    )


@_part
def _reads_states(stack, layer, packed):
    """Whether the levels beside a layer read its states, or packed states alone."""
    reads = packed.shape[0] == 0
    if layer > 0:
        reads = reads or stack.levels[layer - 1].weights.shape[0] > 0
    if layer < len(stack.levels):
        reads = reads or stack.levels[layer].weights.shape[0] > 0
    return reads


@_part
def _fetch(stack, state, room, parity, n_lanes, thread, n_threads):
    """Read what the other threads drew, as bits, into this thread's own states.

    Cores share bits, not states: 32 times less passes between their caches.
    """
    if n_threads == 1:
        return
    for layer in range(parity, len(stack.biases), 2):
        out, offsets, bits = room.local[layer][thread], state.offsets[layer], room.bits[layer]
        packed = room.packed[layer][thread]
        reads_states = _reads_states(stack, layer, packed)
        block = block_rows(stack, layer)
        for b in range((out.shape[0] + block - 1) // block):
            if b % n_threads != thread:
                for i in range(b * block, min(b * block + block, out.shape[0])):
                    if packed.shape[0] > 0:
                        _pack_from_bits(bits, packed, i)
                    if reads_states:
                        _unpack_row(out, bits, i)
                        out[i, n_lanes] = offsets[i]


@_part
def _statistics(
    stack, layer, state, positive, bits, negative, n_data, n_model, rate, options, thread, n_threads
):
    """Data minus model means of a layer; step its biases; write the spare lanes of the centring.

    With d the difference of means and o the offset of a unit, the centred
    gradient is <upper lower>_data - <upper lower>_model - d_upper o_lower -
    o_upper d_lower. Two spare lanes put the last two terms into the product
    over the data lanes: (o, d) in even layers, -n_data (d, o) in odd ones.
    Visible data that came as ``bits`` are counted.
    """
    counted = layer == 0 and bits.shape[0] > 0
    size = positive.dtype.type(n_data)
    delta, offset, activity, gap = (
        state.delta[layer], state.offsets[layer], state.activity[layer], state.gap
    )  # fmt: skip
    block = block_rows(stack, layer)
    for b in range(thread, (delta.size + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, delta.size)
        for i in range(start, stop):
            if counted:
                here = _count_bits(bits, i) / size
            else:
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


@_part
def _own_rows(stack, layer, i, thread, n_threads):
    """Whether unit ``i`` of a layer is this thread's."""
    return (i // block_rows(stack, layer)) % n_threads == thread


@_part
def _update_level(
    stack, number, state, visible, room, n_data, n_model, rate, options, blas, thread, n_threads
):
    """Gradient step on this thread's rows of a level."""
    level = stack.levels[number]
    n_upper = stack.biases[number + 1].size
    nothing = room.unpacked[0]
    data = (state.positive[number], nothing, state.positive[number + 1])
    if number == 0:
        data = (visible, room.packed_visible[thread], state.positive[1])
    model = (state.chain_means[number], nothing, room.local[number + 1][thread])
    if number % 2 == 0:
        lower = room.local[number][thread]
        model = (lower, room.packed[number][thread], state.chain_means[number + 1])
    delta, offsets = state.delta, state.offsets
    centring = (delta[number], offsets[number], delta[number + 1], offsets[number + 1])
    velocity, work = state.velocity[number], room.gradient[thread]
    block = block_rows(stack, number + 1)
    for b in range(thread, (n_upper + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, n_upper)
        if level.weights.shape[0] > 0:
            _update_dense_rows(
                level, velocity, data, model, n_data, n_model, start, stop, rate, options, blas
            )
        else:
            _update_edge_rows(
                level, velocity, data, model, n_data, n_model, start, stop, centring, rate, options,
                work,
            )  # fmt: skip


@_kernel
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
    _recentre(stack, state, room, 1.0, blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared, offsets = room.local[layer][thread], state.chains[layer], state.offsets[layer]
        packed = room.packed[layer][thread]
        for i in range(own.shape[0]):
            for lane in range(own.shape[1]):  # the spare lanes may hold offsets, which are no bits
                own[i, lane] = shared[i, lane] if lane < n_chains else 0
            if packed.shape[0] > 0:
                _pack_from_states(own, packed, i)
            own[i, n_chains] = offsets[i]
    _meet(barrier, n_threads)
    offsets, delta = state.offsets[0], state.delta[0]
    for m in range(sizes.size):
        n_data = sizes[m]
        n_model = n_chains if persistent else n_data
        rate = rates[m]
        step = (first_step + m) * DRAWS_PER_MINIBATCH
        visible = room.visible[thread]
        bits, packed = data_bits[m], room.packed_visible[thread]
        if bits.shape[0] > 0:
            if _reads_states(stack, EVEN, packed):
                unpack(bits, visible)
            pack_bits(bits, packed)
        else:
            given = data[m]
            for i in range(visible.shape[0]):
                for lane in range(visible.shape[1]):
                    visible[i, lane] = given[i, lane]
        for i in range(visible.shape[0]):
            visible[i, n_data] = offsets[i]
        if infer:  # probabilities of the one hidden layer; CD chains start from a draw of them
            below = (visible, room.packed_visible[thread], offsets, n_data)
            _team_layer(
                stack, ODD, (below, below), MEAN if persistent else MEAN_AND_DRAW,
                state.positive[1], room.local[1][thread], room.bits[1], room.packed[1][thread],
                state.offsets[1], n_data, options.dropout, key, step, blas, thread, n_threads,
            )  # fmt: skip
        if not persistent:
            _meet(barrier, n_threads)
            _fetch(stack, state, room, ODD, n_model, thread, n_threads)
        for sweep in range(n_gibbs_steps):
            for parity in (0, 1):
                if parity == 0 or sweep < n_gibbs_steps - 1:
                    for layer in range(parity, n_layers, 2):
                        out = room.local[layer][thread]
                        _team_layer(
                            stack, layer, _chain_neighbours(stack, layer, state, room, n_model, thread),
                            DRAW, out, out, room.bits[layer], room.packed[layer][thread],
                            state.offsets[layer], n_model, options.dropout, key, step + sweep + 1,
                            blas, thread, n_threads,
                        )  # fmt: skip
                    _meet(barrier, n_threads)
                    _fetch(stack, state, room, parity, n_model, thread, n_threads)
        for layer in range(1, n_layers, 2):  # persistent chains draw where to go on from
            _team_layer(
                stack, layer, _chain_neighbours(stack, layer, state, room, n_model, thread),
                MEAN_AND_DRAW if persistent else MEAN, state.chain_means[layer],
                room.local[layer][thread], room.bits[layer], room.packed[layer][thread],
                state.offsets[layer], n_model, options.dropout, key, step + n_gibbs_steps + 1,
                blas, thread, n_threads,
            )  # fmt: skip
        for layer in range(n_layers):
            positive = visible if layer == 0 else state.positive[layer]
            negative = room.local[layer][thread] if layer % 2 == 0 else state.chain_means[layer]
            _statistics(
                stack, layer, state, positive, bits, negative, n_data, n_model, rate, options,
                thread, n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)
        for i in range(visible.shape[0]):
            visible[i, n_data + 1] = delta[i]
        for number in range(n_layers - 1):
            _update_level(
                stack, number, state, visible, room, n_data, n_model, rate, options, blas, thread,
                n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)
        if persistent:
            _fetch(stack, state, room, ODD, n_model, thread, n_threads)
    _recentre(stack, state, room, -1.0, blas, thread, n_threads)
    for layer in range(n_layers):
        own, shared = room.local[layer][thread], state.chains[layer]
        for i in range(own.shape[0]):
            if _own_rows(stack, layer, i, thread, n_threads):
                for lane in range(own.shape[1]):
                    shared[i, lane] = own[i, lane]


@_part
def _draw_one_of(
    level, biases, above, out, packed, first, n_draws, n_lanes, lane_0, key, step, weights, blas
):
    """Draw which one of a level's lower units from ``first`` on is on, given the upper ones.

    Or the mean of several draws, each from a softmax of its share of the input.
    """
    _called()
    n_units, share = biases.size, out.dtype.type(1) / out.dtype.type(n_draws)
    out[first:n_units] = 0
    _add_from_above(level, above, out, first, n_units, blas)
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
            row = row_key(key, step, EVEN, n_units + draw)
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
            _pack_from_states(out, packed, i)


@_kernel
def draw_one_of(stack, states, packed, first, n_lanes, lane_0, key, step, weights, blas):
    """Replace the visible units from ``first`` on by a draw of which one of them is on."""
    _, above = _neighbours(stack, 0, states, packed)
    _draw_one_of(
        stack.levels[0], stack.biases[0], above, states[0], packed[0], first, np.int64(1), n_lanes,
        lane_0, key, step, weights, blas,
    )  # fmt: skip


# ------------------------------------------------------------- directed levels


DIRECTED_BLOCK = 64  # units


@_part
def _directed_rows(level, downward, neighbour, biases, out, start, stop, blas):
    """Rows start..stop of the input that a level gives to one of its sides, without bias."""
    given = (neighbour, NO_PACKED, biases, -1)
    out[start:stop] = 0
    if downward:
        _add_from_above(level, given, out, start, stop, blas)
    else:
        _add_from_below(level, given, out, start, stop, blas)


@_part
def _directed_draw(
    level, downward, neighbour, biases, means, drawn, n_lanes, key, step, blas, thread, n_threads
):
    """Means of this thread's rows of a layer given one neighbour, and a draw from them."""
    _called()
    n_units, one = biases.size, means.dtype.type(1)
    for b in range(thread, (n_units + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_units)
        _directed_rows(level, downward, neighbour, biases, means, start, stop, blas)
        for i in range(start, stop):
            row = row_key(key, step, EVEN, i)
            _to_mean_and_draw(means, i, biases[i], one, n_lanes, row, 0, NO_BITS, NO_PACKED, drawn)


@_part
def _directed_error(
    level, downward, neighbour, biases, target, error, rate, n_lanes, blas, thread, n_threads
):
    """Target minus means of this thread's rows of a layer, which steps their biases."""
    _called()
    n_units, one = biases.size, error.dtype.type(1)
    scale = rate / error.dtype.type(n_lanes)
    for b in range(thread, (n_units + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
        start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_units)
        _directed_rows(level, downward, neighbour, biases, error, start, stop, blas)
        for i in range(start, stop):
            _to_mean(error, i, biases[i], one, n_lanes)
            for lane in range(n_lanes):
                error[i, lane] = target[i, lane] - error[i, lane]
            biases[i] += scale * _row_sum(error, i, n_lanes)


@_part
def _delta_rule(level, lower, upper, rate, n_data, work, blas, thread, n_threads):
    """Add ``rate`` times the mean of upper x lower over the lanes to this thread's rows."""
    _called()
    n_lower, stride = lower.shape
    scale = rate / work.dtype.type(n_data)
    one = work.dtype.type(1)
    if level.weights.shape[0] > 0:
        n_upper, n_lower = level.weights.shape
        for b in range(thread, (n_upper + DIRECTED_BLOCK - 1) // DIRECTED_BLOCK, n_threads):
            start, stop = b * DIRECTED_BLOCK, min((b + 1) * DIRECTED_BLOCK, n_upper)
            weights = level.weights.reshape(level.weights.size)
            first, count = start * n_lower, (stop - start) * n_lower
            _gemm(
                blas, True, False, n_lower, stop - start, stride, scale, lower, 0, stride,
                upper, start * stride, stride, one, weights, first, n_lower,
            )  # fmt: skip
            if level.mask.shape[0] > 0:
                mask = level.mask.reshape(level.mask.size)[first : first + count]
                stepped = weights[first : first + count]
                for e in range(count):
                    stepped[e] *= mask[e]
        return
    indptr, indices = level.edges.indptr, level.edges.indices
    for i in range(thread, indptr.size - 1, n_threads):
        first, count = indptr[i], indptr[i + 1] - indptr[i]
        work[:count] = 0
        _add_edge_products(work, 0, upper, i, lower, indices, first, count, scale)
        stepped, by = level.values[first : first + count], work[:count]
        for e in range(count):
            stepped[e] += by[e]


@_part
def _step_means(biases, states, rate, n_lanes, thread, n_threads):
    """Add ``rate`` times the mean over the lanes to this thread's biases."""
    for i in range(thread, biases.size, n_threads):
        biases[i] += rate * _row_sum(states, i, n_lanes) / biases.dtype.type(n_lanes)


@_kernel
def wake_sleep_minibatches(
    recognition, generative, top, undirected, n_labels, wake, dream, errors, top_wake, top_dream,
    data, labels, sizes, rates, n_gibbs_steps, chains_from, n_draws, key, first_step, work, blas,
    barrier, thread, n_threads,
):  # fmt: skip
    """The up-down algorithm on consecutive minibatches, by a team.

    ``recognition`` and ``generative`` are stacks of the directed levels, ``top``
    the undirected one above them; its visible units are the last directed layer
    and ``n_labels`` units of which one is on. Without ``undirected`` the last
    layer has independent units, with biases ``generative.biases[-1]``. Wake: up
    by recognition, generative levels learn to predict. Top: contrastive
    divergence; from step ``chains_from`` on its chains are not started at the
    data, but go on from ``top_dream``. Labels are the mean of ``n_draws`` draws
    that share their weights, so that they learn ``n_draws**2`` times as fast.
    Sleep: down from where the top's chains end, recognition learns.
    """
    if not _meet(barrier, n_threads):
        return
    last = len(recognition.levels)
    own_work = work[thread]
    for m in range(sizes.size):
        n_data, rate = sizes[m], rates[m]
        draws = (first_step + m) * DRAWS_PER_MINIBATCH
        for i in range(thread, wake[0].shape[0], n_threads):
            for lane in range(wake[0].shape[1]):
                wake[0][i, lane] = data[m, i, lane]
        n_last = recognition.biases[last].size
        for i in range(thread, n_labels, n_threads):
            for lane in range(wake[last].shape[1]):
                wake[last][n_last + i, lane] = labels[m, i, lane]
        _meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _directed_draw(
                recognition.levels[layer - 1], False, wake[layer - 1], recognition.biases[layer],
                errors[layer], wake[layer], n_data, key, draws + layer, blas, thread, n_threads,
            )  # fmt: skip
            _meet(barrier, n_threads)
        for layer in range(last):
            _directed_error(
                generative.levels[layer], True, wake[layer + 1], generative.biases[layer],
                wake[layer], errors[layer], rate, n_data, blas, thread, n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)
        for layer in range(last):
            _delta_rule(
                generative.levels[layer], errors[layer], wake[layer + 1], rate, n_data, own_work,
                blas, thread, n_threads,
            )  # fmt: skip
        step = draws + last + 1
        if undirected:
            level, below, above = top.levels[0], top.biases[0], top.biases[1]
            _directed_draw(
                level, False, wake[last], above, top_wake[0], top_wake[1], n_data, key, step, blas,
                thread, n_threads,
            )  # fmt: skip
            _meet(barrier, n_threads)
            states = top_wake[1] if first_step + m < chains_from else top_dream[1]
            for _ in range(n_gibbs_steps):
                _directed_draw(
                    level, True, states, below, errors[last], dream[last], n_data, key, step + 1,
                    blas, thread, n_threads,
                )  # fmt: skip
                _meet(barrier, n_threads)
                if n_labels > 0:
                    if thread == 0:
                        given = (states, NO_PACKED, below, -1)
                        _draw_one_of(
                            level, below, given, dream[last], NO_PACKED, n_last, n_draws, n_data,
                            np.int64(0), key, step + 1, own_work, blas,
                        )  # fmt: skip
                    _meet(barrier, n_threads)
                step += 2
                states = top_dream[1]
                _directed_draw(
                    level, False, dream[last], above, top_dream[0], states, n_data, key, step, blas,
                    thread, n_threads,
                )  # fmt: skip
                _meet(barrier, n_threads)
            if n_draws > 1:
                faster = wake[last].dtype.type(n_draws * n_draws)
                for i in range(n_last + thread, n_last + n_labels, n_threads):
                    for lane in range(n_data):
                        wake[last][i, lane] *= faster
                        dream[last][i, lane] *= faster
                _meet(barrier, n_threads)
            _delta_rule(
                level, wake[last], top_wake[0], rate, n_data, own_work, blas, thread, n_threads
            )
            _delta_rule(
                level, dream[last], top_dream[0], -rate, n_data, own_work, blas, thread, n_threads
            )
            _step_means(above, top_wake[0], rate, n_data, thread, n_threads)
            _step_means(above, top_dream[0], -rate, n_data, thread, n_threads)
            _step_means(below, wake[last], rate, n_data, thread, n_threads)
            _step_means(below, dream[last], -rate, n_data, thread, n_threads)
        else:
            prior = generative.biases[last]
            for i in range(thread, n_last, n_threads):
                row = row_key(key, step, EVEN, i)
                out, one = errors[last], prior.dtype.type(1)
                for lane in range(out.shape[1]):
                    out[i, lane] = 0
                _to_mean_and_draw(
                    out, i, prior[i], one, n_data, row, 0, NO_BITS, NO_PACKED, dream[last]
                )
                mean = out[i, 0]
                prior[i] += rate * (
                    _row_sum(wake[last], i, n_data) / prior.dtype.type(n_data) - mean
                )
        _meet(barrier, n_threads)
        for layer in range(last - 1, -1, -1):
            _directed_draw(
                generative.levels[layer], True, dream[layer + 1], generative.biases[layer],
                errors[layer], dream[layer], n_data, key, step + 1 + last - layer, blas, thread,
                n_threads,
            )  # fmt: skip
            _meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _directed_error(
                recognition.levels[layer - 1], False, dream[layer - 1], recognition.biases[layer],
                dream[layer], errors[layer], rate, n_data, blas, thread, n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)
        for layer in range(1, last + 1):
            _delta_rule(
                recognition.levels[layer - 1], dream[layer - 1], errors[layer], rate, n_data,
                own_work, blas, thread, n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)


# ------------------------------------------------------- feed-forward networks

LOGISTIC, LINEAR, SOFTMAX = (np.int64(kind) for kind in range(3))  # what a layer makes of its input
NETWORK_DROPOUT = 2000  # beside the layer's number in the keys of what is dropped


@_part
def _activate_rows(stack, layer, states, kind, start, stop, n_lanes, blas):
    """Rows start..stop of a layer from the layer below alone; softmax is left to its caller."""
    out, biases = states[layer], stack.biases[layer]
    below = (states[layer - 1], NO_PACKED, biases, -1)
    out[start:stop] = 0
    _add_from_below(stack.levels[layer - 1], below, out, start, stop, blas)
    one = out.dtype.type(1)
    for i in range(start, stop):
        if kind == LOGISTIC:
            _to_mean(out, i, biases[i], one, n_lanes)
        else:
            for lane in range(n_lanes):
                out[i, lane] += biases[i]


@_part
def _softmax(out, n_lanes):
    """Turn inputs into probabilities that sum to one over the units."""
    for lane in range(n_lanes):
        top = out[0, lane]
        for i in range(out.shape[0]):
            top = max(top, out[i, lane])
        total = out.dtype.type(0)
        for i in range(out.shape[0]):
            out[i, lane] = exp(out[i, lane] - top)
            total += out[i, lane]
        for i in range(out.shape[0]):
            out[i, lane] /= total


@_kernel
def feed_forward(stack, states, kinds, n_lanes, blas):
    """Compute every layer above the first from the one below."""
    for layer in range(1, len(stack.biases)):
        n_units = stack.biases[layer].size
        _activate_rows(stack, layer, states, kinds[layer], 0, n_units, n_lanes, blas)
        if kinds[layer] == SOFTMAX:
            _softmax(states[layer], n_lanes)


@_part
def _drop_rows(out, layer, start, stop, n_lanes, dropout, key, step):
    """Turn this share of the units off, lane by lane, and the others up for it."""
    gain = out.dtype.type(1) / (out.dtype.type(1) - dropout)
    for i in range(start, stop):
        row = row_key(key, step, NETWORK_DROPOUT + layer, i)
        for lane in range(n_lanes):
            if uniform(row, np.uint32(lane)) < dropout:
                out[i, lane] = 0
            else:
                out[i, lane] *= gain


@_part
def _backward_rows(stack, layer, states, deltas, kind, start, stop, n_lanes, dropout, blas):
    """Rows start..stop of the error at a layer's input, from the layer above."""
    out, values = deltas[layer], states[layer]
    above = (deltas[layer + 1], NO_PACKED, stack.biases[layer], -1)
    out[start:stop] = 0
    _add_from_above(stack.levels[layer], above, out, start, stop, blas)
    if kind == LOGISTIC:
        one = out.dtype.type(1)
        stays = one - dropout
        for i in range(start, stop):
            for lane in range(n_lanes):
                value = values[i, lane]
                out[i, lane] *= value * (one - stays * value)


@_part
def _descend(all_weights, first, count, gradient, all_first, all_second, rate, options):
    """Step ``all_weights[first:first + count]`` against the gradient.

    Momentum in ``all_first`` (Polyak 1964), or with ``all_second`` Adam (Kingma & Ba 2015).
    """
    weights, slope = all_weights[first : first + count], gradient[:count]
    moment = all_first[first : first + count]
    keep, one = options.momentum, weights.dtype.type(1)
    if all_second.size:
        square = all_second[first : first + count]
        keep_square = options.second_momentum
        for e in range(count):
            moment[e] = keep * moment[e] + (one - keep) * slope[e]
            square[e] = keep_square * square[e] + (one - keep_square) * slope[e] * slope[e]
        for e in range(count):
            weights[e] -= rate * moment[e] / (np.sqrt(square[e]) + options.epsilon)
    else:
        for e in range(count):
            moment[e] = keep * moment[e] + slope[e]
        for e in range(count):
            weights[e] -= rate * moment[e]


@_part
def _descend_level(
    stack, number, states, deltas, moments, n_data, rate, options, work, blas, thread, n_threads
):
    """Gradient step on this thread's rows of a level and the biases above it."""
    _called()
    level, biases = stack.levels[number], stack.biases[number + 1]
    lower, upper = states[number], deltas[number + 1]
    one = biases.dtype.type(1)
    scale = one / biases.dtype.type(n_data)
    block = descent_rows(stack, number + 1)
    n_lower, stride = lower.shape
    for b in range(thread, (biases.size + block - 1) // block, n_threads):
        start, stop = b * block, min(b * block + block, biases.size)
        if level.weights.shape[0] > 0:
            weights = level.weights.reshape(level.weights.size)
            first, count = start * n_lower, (stop - start) * n_lower
            _gemm(
                blas, True, False, n_lower, stop - start, stride, scale, lower, 0, stride,
                upper, start * stride, stride, one - one, work, 0, n_lower,
            )  # fmt: skip
        else:
            weights = level.values
            indptr, indices = level.edges.indptr, level.edges.indices
            first = indptr[start]
            count = indptr[stop] - first
            work[:count] = 0
            for i in range(start, stop):
                place = indptr[i] - first
                _add_edge_products(
                    work, place, upper, i, lower, indices, indptr[i], indptr[i + 1] - indptr[i],
                    scale,
                )  # fmt: skip
        gradient, stepped = work[:count], weights[first : first + count]
        for e in range(count):
            gradient[e] += options.l2 * stepped[e]
        if level.mask.shape[0] > 0:
            mask = level.mask.reshape(level.mask.size)[first : first + count]
            for e in range(count):
                gradient[e] *= mask[e]
        _descend(
            weights,
            first,
            count,
            work,
            moments.first[number],
            moments.second[number],
            rate,
            options,
        )
        if options.max_norm > 0:
            for i in range(start, stop):
                if level.weights.shape[0] > 0:
                    _bound_norm(weights, i * n_lower, (i + 1) * n_lower, options.max_norm)
                else:
                    _bound_norm(
                        weights, level.edges.indptr[i], level.edges.indptr[i + 1], options.max_norm
                    )
        for i in range(start, stop):
            work[i - start] = _row_sum(upper, i, n_data) * scale
        place = len(stack.levels) + number
        _descend(
            biases, start, stop - start, work, moments.first[place], moments.second[place], rate,
            options,
        )  # fmt: skip


@_part
def _output_error(out, target, weights, error, i, kind, n_lanes):
    """Set row i of the error at the last layer's input; return the loss of the row."""
    _called()
    total = 0.0
    one = out.dtype.type(1)
    tiny = out.dtype.type(1e-30)
    for lane in range(n_lanes):
        p, t = out[i, lane], target[i, lane]
        error[i, lane] = (p - t) * weights[lane]
        if kind == LINEAR:
            total += 0.5 * weights[lane] * (p - t) * (p - t)
        elif t > 0:
            total -= weights[lane] * t * np.log(max(p, tiny))
        if kind == LOGISTIC and t < 1:
            total -= weights[lane] * (one - t) * np.log(max(one - p, tiny))
    for lane in range(n_lanes, out.shape[1]):
        error[i, lane] = 0
    return total


@_kernel
def descend_minibatches(
    stack, kinds, states, deltas, data, targets, weights, sizes, rates, moments, options, key,
    first_step, losses, work, blas, barrier, thread, n_threads,
):  # fmt: skip
    """Backpropagation on consecutive minibatches, by a team.

    The error at the input of the last layer is (output - target) times the
    weight of the sample, which is the gradient of the cross-entropy for
    logistic and softmax units and of half the squared error for linear ones.
    ``targets`` (minibatches, units, lanes) of no minibatch: the data themselves. The
    network reads ``input_gain`` times the data.
    ``losses`` adds up the weighted losses of every unit of the last layer.
    """
    if not _meet(barrier, n_threads):
        return
    n_layers = len(stack.biases)
    last = n_layers - 1
    own_work = work[thread]
    for m in range(sizes.size):
        n_data = sizes[m]
        step = first_step + m
        target = targets[m] if targets.shape[0] > 0 else data[m]
        for i in range(thread, states[0].shape[0], n_threads):
            for lane in range(states[0].shape[1]):
                states[0][i, lane] = options.input_gain * data[m, i, lane]
        if options.input_dropout > 0:
            for i in range(thread, states[0].shape[0], n_threads):
                _drop_rows(states[0], 0, i, i + 1, n_data, options.input_dropout, key, step)
        _meet(barrier, n_threads)
        for layer in range(1, n_layers):
            n_units = stack.biases[layer].size
            block = block_rows(stack, layer)
            for b in range(thread, (n_units + block - 1) // block, n_threads):
                start, stop = b * block, min(b * block + block, n_units)
                _activate_rows(stack, layer, states, kinds[layer], start, stop, n_data, blas)
                if options.dropout > 0 and layer < last and kinds[layer] == LOGISTIC:
                    _drop_rows(
                        states[layer], layer, start, stop, n_data, options.dropout, key, step
                    )
            _meet(barrier, n_threads)
        out, error = states[last], deltas[last]
        if kinds[last] == SOFTMAX:
            if thread == 0:
                _softmax(out, n_data)
            _meet(barrier, n_threads)
        block = block_rows(stack, last)
        for b in range(thread, (out.shape[0] + block - 1) // block, n_threads):
            for i in range(b * block, min(b * block + block, out.shape[0])):
                losses[i] += _output_error(out, target, weights[m], error, i, kinds[last], n_data)
        _meet(barrier, n_threads)
        for number in range(n_layers - 2, -1, -1):
            if number > 0:
                n_units = stack.biases[number].size
                block = block_rows(stack, number)
                for b in range(thread, (n_units + block - 1) // block, n_threads):
                    start, stop = b * block, min(b * block + block, n_units)
                    _backward_rows(
                        stack, number, states, deltas, kinds[number], start, stop, n_data,
                        options.dropout, blas,
                    )  # fmt: skip
                _meet(barrier, n_threads)
            _descend_level(
                stack, number, states, deltas, moments, n_data, rates[m], options, own_work, blas,
                thread, n_threads,
            )  # fmt: skip
        _meet(barrier, n_threads)
