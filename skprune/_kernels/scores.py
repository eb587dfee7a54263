"""Sums over units and samples from which scores are computed."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from .compile import kernel, kernel_with_arrays
from .fields import reads_matrix
from .team import stopped
from .units import exp

LOG_EVERY = 512  # number of factors in [1, 2] to multiply in float64 before taking the logarithm


@kernel_with_arrays
def add_softplus(field, total):
    """``total[lane] += sum_i log(1 + exp(field[i, lane]))``, in float64.

    Factors 1 + exp(-|x|) are multiplied before their logarithm is taken. Each is at most 2, so the
    product of ``LOG_EVERY`` factors cannot overflow.
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


@kernel_with_arrays
def pseudo_log_likelihood(stack, visible, field, total, barrier):
    """``total[lane] = sum_i log p(v_i | all other visible units)`` of an RBM.

    ``field`` is the input of the hidden units, bias included. Flipping bit i changes only the
    inputs of the hidden units that it is connected to.
    """
    level = stack.levels[0]
    dense = reads_matrix(level)
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
        if stopped(barrier):
            return
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


@intrinsic
def _ones(typing_context, word):
    """Return the number of ones in a 64-bit word."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@kernel
def count_pairs(upper, lower, indptr, indices, counts):
    """Count the samples in which both units of a connection are on; samples are bits of words."""
    n_words = np.uint64(upper.shape[1])
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            j = np.uint64(indices[e])
            total = np.uint64(0)
            for word in range(n_words):
                total += _ones(upper[i, word] & lower[j, word])
            counts[e] = total


@kernel
def is_binary_dense(data):
    """Return whether every value is 0 or 1."""
    for i in range(data.shape[0]):
        others = 0
        for j in range(data.shape[1]):
            others += (data[i, j] != 0) & (data[i, j] != 1)
        if others:
            return False
    return True


@kernel
def add_products(states, factors, total):
    """``total[lane] += sum_i factors[i] * states[i, lane]``, in float64 and in order of units."""
    for i in range(states.shape[0]):
        for lane in range(total.size):
            total[lane] += factors[i] * states[i, lane]


@kernel
def add_pair_products(states, others, total):
    """``total[lane] += sum_i states[i, lane] * others[i, lane]``, in float64."""
    for i in range(states.shape[0]):
        for lane in range(total.size):
            total[lane] += np.float64(states[i, lane]) * others[i, lane]


@kernel
def add_row_products(rows, vector, total):
    """``total[row] += rows[row] @ vector``, each row by the same operations."""
    for row in range(rows.shape[0]):
        here = 0.0
        for i in range(rows.shape[1]):
            here += rows[row, i] * vector[i]
        total[row] += here


@kernel
def add_row_pair_products(rows, others, total):
    """``total[row] += rows[row] @ others[row]``, each row by the same operations."""
    for row in range(rows.shape[0]):
        here = 0.0
        for i in range(rows.shape[1]):
            here += rows[row, i] * others[row, i]
        total[row] += here


@kernel
def binary_rows(data, result):
    """Set ``result`` to whether each row of a dense array holds only 0 and 1."""
    for i in range(data.shape[0]):
        others = 0
        for j in range(data.shape[1]):
            others += (data[i, j] != 0) & (data[i, j] != 1)
        result[i] = others == 0


@kernel
def binary_rows_csr(values, indptr, result):
    """Set ``result`` to whether each row of a CSR matrix holds only 0 and 1."""
    for i in range(indptr.size - 1):
        others = 0
        for e in range(indptr[i], indptr[i + 1]):
            others += (values[e] != 0) & (values[e] != 1)
        result[i] = others == 0
