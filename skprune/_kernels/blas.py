"""Matrix products by BLAS, which kernels call through its address."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from .emit import element_pointer

BLAS_ADDRESS = {
    np.dtype(np.float32): get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
    np.dtype(np.float64): get_cython_function_address("scipy.linalg.cython_blas", "dgemm"),
}


@intrinsic
def gemm(
    typing_context, address, transpose_a, transpose_b, m, n, k, alpha,
    a, a_offset, lda, b, b_offset, ldb, beta, c, c_offset, ldc,
):  # fmt: skip
    """Compute C = alpha op(A) op(B) + beta C with the gemm at this address (Fortran order).

    The other arguments are those of BLAS, with an offset for each matrix.
    """
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
            element_pointer(context, builder, signature.args[7], a, a_offset), size(lda),
            element_pointer(context, builder, signature.args[10], b, b_offset), size(ldb),
            by_reference(beta, kind),
            element_pointer(context, builder, signature.args[14], c, c_offset), size(ldc),
        ]  # fmt: skip
        gemm_type = ir.FunctionType(ir.VoidType(), [pointer.type for pointer in pointers])
        builder.call(builder.inttoptr(address, gemm_type.as_pointer()), pointers)
        return context.get_dummy_value()

    return signature, codegen
