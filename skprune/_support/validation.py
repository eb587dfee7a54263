"""Validation of data, classes, codes, clamped states and sample weights."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data


def check_data(estimator, X, reset):
    """Validate data for an estimator.

    Parameters
    ----------
    estimator : estimator
        Estimator whose ``n_features_in_`` is set or checked.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data. bool and uint8 are kept as one byte per value. Other types are converted to floats.
    reset : bool
        Whether to set ``n_features_in_`` instead of checking it.

    Returns
    -------
    X : ndarray or csr_array of shape (n_samples, n_features)
        C-contiguous array, or CSR array with int32 indices.

    Raises
    ------
    ValueError
        If the data are invalid, or have too many stored values.
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
                f"X has {X.nnz} stored values, but can have 2^31 - 1 at most. Pass fewer rows."
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
    """Return the floating-point type of a machine fitted to data, float32 for bool and uint8."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)


def check_codes(H, n_units) -> np.ndarray:
    """Validate activities of the top layer, from which to reconstruct data."""
    H = check_array(H, dtype=(np.float64, np.float32))
    if H.shape[1] != n_units:
        raise ValueError(f"H has {H.shape[1]} columns, but the top layer has {n_units} units.")
    return H


def check_classes(X, y, classes=None) -> tuple:
    """Validate the classes of rows.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,)
        Class of each row.
    classes : array-like of shape (n_classes,), default=None
        All classes in ascending order. If None, these are the classes in ``y``.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    codes : ndarray of int of shape (n_samples,)
        Index of the class of each row.

    Raises
    ------
    ValueError
        If ``y`` is None or invalid, there are fewer than two classes, or ``y`` holds a class that
        is not in ``classes``.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Pass the class of "
            "each row."
        )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if y.shape[0] != X.shape[0]:
        raise ValueError(
            f"X has {X.shape[0]} rows and y has {y.shape[0]}, which are inconsistent numbers of "
            "samples."
        )
    classes = np.unique(y) if classes is None else np.asarray(classes)
    if classes.size < 2:
        raise ValueError(
            f"The number of classes has to be greater than one, got {classes.size} class."
        )
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y holds {unknown[0]!r}, which is not among the classes {classes}.")
    return classes, np.searchsorted(classes, y)


@contextmanager
def restored_on_error(estimator):
    """Restore the attributes of an estimator if the ``with`` block raises an error."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:  # at no time without the old attributes, even if interrupted again
        attributes = vars(estimator)
        attributes.update(before)
        for name in attributes.keys() - before.keys():
            del attributes[name]
        raise


def check_clamped(clamped, shape, dtype) -> np.ndarray:
    """Validate clamped visible states.

    Parameters
    ----------
    clamped : array-like of shape (n_features,) or (n_samples, n_features)
        Visible states that are kept fixed, with NaN where a unit is free.
    shape : tuple of int
        Shape of the result, (n_samples, n_features).
    dtype : dtype
        Type of the result.

    Returns
    -------
    clamped : ndarray of shape (n_samples, n_features)

    Raises
    ------
    TypeError
        If ``clamped`` is sparse.
    ValueError
        If ``clamped`` has the wrong shape, or holds a value outside [0, 1].
    """
    if sparse.issparse(clamped):
        raise TypeError(
            "clamped is sparse, so free units cannot be told apart from units clamped to 0. Pass a "
            "dense array with NaN where a visible unit is free."
        )
    clamped = np.asarray(clamped, dtype=dtype)
    if clamped.shape not in (shape, shape[1:]):
        raise ValueError(
            f"clamped has shape {clamped.shape}, but it must have shape {shape[1:]} or {shape}, "
            "with NaN where a visible unit is free."
        )
    given = clamped[~np.isnan(clamped)]
    if ((given < 0) | (given > 1)).any():
        raise ValueError(
            f"clamped holds values from {given.min():g} to {given.max():g}, but they must be in "
            "[0, 1]."
        )
    return np.ascontiguousarray(np.broadcast_to(clamped, shape))


def check_sample_weight(sample_weight, X) -> np.ndarray:
    """Validate sample weights and return them as an array of shape (n_samples,)."""
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
