"""Vectors, and one small class per instruction set."""

from __future__ import annotations

from llvmlite import ir
from numba import config
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features

VECTOR_BYTES = 64
GROUP = 4  # connections per table of sums: 16 sums, one vector of float32
WORD_LANES = 64  # lanes per vector of packed states, one byte each


class PlainVectors:
    """Vectors that LLVM maps to whatever the processor has. States are never packed."""

    needs: frozenset[str] = frozenset()
    packs = False
    tile_rows = 2  # units of a dense product whose sums stay in registers,
    tile_vectors: tuple[int, ...] = (
        1,
    )  # and numbers of vectors for each of them, the largest first


class Avx512(PlainVectors):
    """AVX-512 with VNNI: packed states, four connections per table, 64 products of bytes at once."""

    needs = frozenset({"avx512f", "avx512vnni"})
    packs = True
    tile_rows = 4
    tile_vectors = (4, 2, 1)

    @staticmethod
    def look_up(builder, table, places):
        """Return the entries of a table of sixteen float32 at sixteen places."""
        permute = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(table.type, [table.type, places.type]),
            "llvm.x86.avx512.permvar.sf.512",
        )
        return builder.call(permute, [table, places])

    @staticmethod
    def add_byte_products(builder, total, unsigned, signed):
        """Add to sixteen 32-bit sums the products of four bytes each."""
        sum_bytes = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(total.type, [total.type] * 3),
            "llvm.x86.avx512.vpdpbusd.512",
        )
        return builder.call(sum_bytes, [total, unsigned, signed])


class Avx2(PlainVectors):
    """AVX2 with fused multiply-add."""

    needs = frozenset({"avx2", "fma"})
    tile_rows = 6


INSTRUCTION_SETS = (Avx512, Avx2, PlainVectors)  # the best first


def target_features() -> set:
    """Return the names of the processor features that numba compiles for."""
    words = getattr(config, "CPU_FEATURES", None)
    if words is None:
        words = get_host_cpu_features()
    return {word[1:] for word in words.split(",") if word.startswith("+")}


def choose_target(features) -> type[PlainVectors]:
    """Return the best instruction set that these features allow."""
    return next(kind for kind in INSTRUCTION_SETS if kind.needs <= features)


TARGET = choose_target(target_features())


class Vectors:
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


def splat(kind, value):
    """A constant of this type, number or vector."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [value] * kind.count)
    return ir.Constant(kind, value)
