"""The door for data, classes, codes, clamped states and sample weights, which are validated here."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from .ranges import ROUNDING, one_range_warning, warn_outside
from .tables import as_array, column_names, is_frame, is_missing, refuse_complex

FLOATS = (np.float64, np.float32)


def check_data(estimator, X, reset, *, unit_interval=True, accept_sparse=True):
    """Validate data for an estimator.

    Parameters
    ----------
    estimator : estimator
        Estimator whose ``n_features_in_`` is set or checked.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data. bool and uint8 are kept as one byte per value. Other types are converted to floats.
    reset : bool
        Whether to set ``n_features_in_`` and the names of the features instead of checking them.
    unit_interval : bool, default=True
        Whether the estimator assumes values in [0, 1], so that others give a warning.
    accept_sparse : bool, default=True
        Whether X may be sparse.

    Returns
    -------
    X : ndarray or csr_array of shape (n_samples, n_features)
        C-contiguous array, or CSR array with int32 indices.

    Raises
    ------
    ValueError
        If the data are invalid, or have too many stored values.

    Warns
    -----
    DataRangeWarning
        If ``unit_interval`` is True and a value is outside [0, 1].
    """
    values = as_array(X)
    compact = getattr(values, "dtype", None) in (np.dtype(bool), np.dtype(np.uint8))
    formats = "csr" if accept_sparse else False
    X = _checked(
        estimator, X, values, reset, accept_sparse=formats, dtype=None if compact else FLOATS
    )
    if unit_interval:
        warn_outside(estimator, X)
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


def check_incomplete(estimator, X, *, unit_interval=True) -> np.ndarray:
    """Validate rows with missing values.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator that completes the rows.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows with NaN, None or ``pandas.NA`` for missing values.
    unit_interval : bool, default=True
        Whether values outside [0, 1] give a warning.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Rows of float32 or float64 with NaN for missing values.
    """
    values = as_array(X)
    if sparse.issparse(values):
        X = values = values.toarray()
    X = _checked(estimator, X, values, False, dtype=FLOATS, ensure_all_finite="allow-nan")
    if unit_interval:
        warn_outside(estimator, X)
    return X


def _checked(estimator, X, values, reset, **options):
    """Check data, their number of features and their names.

    Parameters
    ----------
    estimator : estimator
        Estimator whose features are set or checked.
    X : object
        Data as they were given. A data frame has the names of the features.
    values : object
        The same data, with NaN for missing values.
    reset : bool
        Whether to set the features.
    **options : dict
        Options of :func:`sklearn.utils.check_array`.
    """
    if values is X or not is_frame(X):
        return validate_data(estimator, values, reset=reset, **options)
    values = check_array(values, estimator=estimator, input_name="X", **options)
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return values


def float_type(X) -> np.dtype:
    """Return the floating-point type of a machine fitted to data, float32 for bool and uint8."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)


def check_rows(X, name="X", **options):
    """Validate rows that are not the input of an estimator, such as samples of a model.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.
    name : str, default="X"
        Name of the rows, for error messages.
    **options : dict
        Options of :func:`sklearn.utils.check_array`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The rows as an array, from sparse data too.
    """
    values = as_array(X)
    values = values.toarray() if sparse.issparse(values) else values
    return check_array(values, input_name=name, **options)


def check_codes(estimator, H, n_units, *, unit_interval=True) -> np.ndarray:
    """Validate activities of the top layer, from which to reconstruct data.

    Parameters
    ----------
    estimator : estimator
        Fitted transformer. If H has column names, they must be those of its features.
    H : {array-like, sparse matrix} of shape (n_samples, n_units)
        Activities of the top layer.
    n_units : int
        Number of units of the top layer.
    unit_interval : bool, default=True
        Whether activities outside [0, 1] give a warning.

    Returns
    -------
    H : ndarray of shape (n_samples, n_units)
    """
    names = column_names(H)
    H = check_rows(H, "H", dtype=FLOATS)
    if H.shape[1] != n_units:
        raise ValueError(f"H has {H.shape[1]} columns, but the top layer has {n_units} units.")
    if names is not None and names != list(estimator.get_feature_names_out()):
        raise ValueError(
            "The columns of H must have the names and the order of get_feature_names_out(), got "
            f"{names[:5]}. Pass the columns as transform returned them, or pass an array."
        )
    if unit_interval:
        warn_outside(estimator, H, "H")
    return H


def check_columns(estimator, table, name) -> None:
    """Raise a ValueError if a table has column names, and they are not those of the features.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator. If it was fitted without feature names, nothing is checked.
    table : object
        Table with one column per feature, such as weights.
    name : str
        Name of the table, for the error message.
    """
    names, known = column_names(table), getattr(estimator, "feature_names_in_", None)
    if names is not None and known is not None and names != list(known):
        raise ValueError(
            f"The columns of {name} must have the names and the order of the features, which begin "
            f"with {list(known[:5])}, got {names[:5]}. Reorder the columns, or pass an array."
        )


def check_same_features(estimator, fitted) -> None:
    """Raise a ValueError if a fitted machine was given other feature names than an estimator.

    Parameters
    ----------
    estimator : estimator
        Estimator that uses the machine, after its data were checked.
    fitted : estimator
        Fitted machine that reads the same data.
    """
    names = getattr(estimator, "feature_names_in_", None)
    known = getattr(fitted, "feature_names_in_", None)
    if names is not None and known is not None and list(names) != list(known):
        raise ValueError(
            f"X has other feature names, or another order of them, than the data that the fitted "
            f"{type(fitted).__name__} was trained on. Its first features are {list(known[:5])}, "
            f"those of X are {list(names[:5])}. Reorder the columns of X."
        )


def check_labels(y, name="y") -> np.ndarray:
    """Validate labels and return them as a vector.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels. They can be nullable, but none may be missing.
    name : str, default="y"
        Name of the labels, for error messages.

    Returns
    -------
    y : ndarray of shape (n_samples,)
    """
    dtype = getattr(y, "dtype", None)
    nullable = dtype is not None and not isinstance(dtype, np.dtype)
    if nullable and hasattr(y, "iloc"):
        values = np.asarray(y, dtype=object)
    else:
        values = y
    values = column_or_1d(values, warn=True)
    if values.dtype != object:
        assert_all_finite(values, input_name=name)
        return values
    if is_missing(values).any():
        raise ValueError(
            f"Input {name} contains NaN or another missing value. Every row needs a label: remove "
            "the rows without one."
        )
    if nullable and not any(isinstance(value, str) for value in values):
        return np.array(values.tolist())
    assert_all_finite(values, input_name=name)
    return values


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
    y = check_labels(y)
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
    """Restore the attributes of an estimator if the ``with`` block, which is a fit, raises an error.

    All estimators that the block trains give at most one DataRangeWarning.
    """
    before = dict(vars(estimator))
    try:
        with one_range_warning():
            yield
    except BaseException:  # at no time without the old attributes, even if interrupted again
        attributes = vars(estimator)
        attributes.update(before)
        for name in attributes.keys() - before.keys():
            del attributes[name]
        raise


def check_clamped(estimator, clamped, n_samples, dtype, *, unit_interval=True) -> np.ndarray:
    """Validate clamped visible states.

    Parameters
    ----------
    estimator : estimator
        Fitted machine. If ``clamped`` has column names, they must be those of its features.
    clamped : array-like of shape (n_features,) or (n_samples, n_features)
        Visible states that are kept fixed, with NaN, None or ``pandas.NA`` where a unit is free.
    n_samples : int
        Number of samples.
    dtype : dtype
        Type of the result.
    unit_interval : bool, default=True
        Whether values outside [0, 1] are refused.

    Returns
    -------
    clamped : ndarray of shape (n_samples, n_features)

    Raises
    ------
    TypeError
        If ``clamped`` is sparse, or holds something other than numbers.
    ValueError
        If ``clamped`` has the wrong shape or column names, is complex, or holds a value outside
        [0, 1].
    """
    shape = (n_samples, estimator.n_features_in_)
    frame = clamped
    if hasattr(clamped, "index") and hasattr(clamped, "to_frame"):  # a row of a data frame
        frame = clamped.to_frame().T
    values = as_array(clamped)
    if sparse.issparse(values):
        raise TypeError(
            "clamped is sparse, so free units cannot be told apart from units clamped to 0. Pass a "
            "dense array with NaN where a visible unit is free."
        )
    refuse_complex(values)
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"clamped must hold numbers, with NaN where a visible unit is free ({error})."
        ) from error
    if values.shape not in (shape, shape[1:]):
        raise ValueError(
            f"clamped has shape {values.shape}, but it must have shape {shape[1:]} or {shape}, "
            "with NaN where a visible unit is free."
        )
    if column_names(frame) is not None:
        validate_data(estimator, frame, skip_check_array=True, reset=False)
    if not unit_interval:
        if np.isinf(values).any():
            raise ValueError("clamped holds an infinite value. Use NaN for units that are free.")
        return np.ascontiguousarray(np.broadcast_to(values, shape))
    given = values[~np.isnan(values)]
    if ((given < -ROUNDING) | (given > 1 + ROUNDING)).any():
        raise ValueError(
            f"clamped holds values from {given.min():g} to {given.max():g}, but they must be in "
            "[0, 1]."
        )
    return np.ascontiguousarray(np.broadcast_to(np.clip(values, 0, 1), shape))


def check_sample_weight(sample_weight, X) -> np.ndarray:
    """Validate sample weights and return them as an array of shape (n_samples,)."""
    weights = as_array(sample_weight)
    return _check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True)
