"""Everything that enters from outside: data, classes, codes and clamped states."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data


def check_data(estimator, X, reset):
    """Validate data for an estimator; bool and uint8 stay as compact as they came.

    Returns C-contiguous rows, or CSR with int32 indices.
    """
    compact = getattr(X, "dtype", None) in (np.dtype(bool), np.dtype(np.uint8))
    X = validate_data(
        estimator,
        X,
        accept_sparse="csr",
        dtype=None if compact else (np.float64, np.float32),
        reset=reset,
    )
    if sparse.issparse(X):
        X.check_format(full_check=True)
        if X.nnz > np.iinfo(np.int32).max:
            raise ValueError(
                f"X has {X.nnz} stored values; at most 2^31 - 1 are possible. Pass fewer rows."
            )
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        values = X.data.view(np.uint8) if X.data.dtype == bool else X.data
        indices = X.indices.astype(np.int32, copy=False)
        return sparse.csr_array(
            (values, indices, X.indptr.astype(indices.dtype, copy=False)), shape=X.shape
        )
    return np.ascontiguousarray(X.view(np.uint8) if X.dtype == bool else X)


def float_type(X) -> np.dtype:
    """Return the floating type of what is fitted to these data: theirs, or float32 for bits."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)


def check_codes(H, n_units) -> np.ndarray:
    """Validate activities of the top layer, to go down from."""
    H = check_array(H, dtype=(np.float64, np.float32))
    if H.shape[1] != n_units:
        raise ValueError(f"H has {H.shape[1]} columns for the {n_units} units of the top layer.")
    return H


def check_classes(X, y, classes=None) -> tuple:
    """Return the classes in y, or those given, and the number of every row's class.

    Raises
    ------
    ValueError
        If y is missing, is not one finite class a row, holds fewer than two, or others than those given.
    """
    if y is None:
        raise ValueError(
            "requires y to be passed, but the target y is None: give every row's class."
        )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if y.shape[0] != X.shape[0]:
        raise ValueError(
            f"X has {X.shape[0]} rows and y has {y.shape[0]}: inconsistent numbers of samples."
        )
    classes = np.unique(y) if classes is None else np.asarray(classes)
    if classes.size < 2:
        raise ValueError(
            f"The number of classes has to be greater than one; got {classes.size} class."
        )
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y holds {unknown[0]!r}, which was not among the classes {classes}.")
    return classes, np.searchsorted(classes, y)


@contextmanager
def restored_on_error(estimator):
    """Give the estimator its attributes back where the block fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_clamped(clamped, shape, dtype) -> np.ndarray:
    """Return clamped visible states of this shape, with NaN where a unit is free.

    Raises
    ------
    TypeError
        If they are sparse.
    ValueError
        If they have another shape, or hold a value outside [0, 1].
    """
    if sparse.issparse(clamped):
        raise TypeError(
            "clamped is sparse, which does not tell units that are free from units clamped to 0; "
            "give an array with NaN where a visible unit is free."
        )
    clamped = np.asarray(clamped, dtype=dtype)
    if clamped.shape not in (shape, shape[1:]):
        raise ValueError(
            f"clamped has shape {clamped.shape}; give {shape[1:]} or {shape}, "
            "with NaN where a visible unit is free."
        )
    given = clamped[~np.isnan(clamped)]
    if ((given < 0) | (given > 1)).any():
        raise ValueError(
            f"clamped holds {given.min():g} to {given.max():g}; states that stay are in [0, 1]."
        )
    return np.ascontiguousarray(np.broadcast_to(clamped, shape))


def check_sample_weight(sample_weight, X) -> np.ndarray:
    """Return what each row counts in the loss."""
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
