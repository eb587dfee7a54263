"""Data frames, series, masked arrays and lists from outside, as plain arrays."""

from __future__ import annotations

import sys

import numpy as np
from scipy import sparse

BITS = {"bool", "boolean", "uint8"}  # names of the types that are kept as one byte per value


def is_frame(X) -> bool:
    """Return whether an object is a data frame, such as one of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def column_names(X) -> list | None:
    """Return the names of the columns of a data frame, or None unless all of them are strings."""
    names = list(X.columns) if is_frame(X) else []
    return names if names and all(isinstance(name, str) for name in names) else None


def as_array(X):
    """Return a table or a series as an array or a sparse matrix, with NaN for missing values.

    None, ``pandas.NA`` and masked entries are missing values. If all columns of a data frame are
    of type bool or uint8, nullable or not, and none is missing, the result is an array of bool or
    uint8. Objects that scikit-learn reads correctly are returned as they are.

    Parameters
    ----------
    X : object
        Array-like, data frame, series or sparse matrix.

    Returns
    -------
    X : object
    """
    if sparse.issparse(X):
        return X
    if isinstance(X, np.ma.MaskedArray):
        if not np.ma.is_masked(X):
            return X.data
        dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)
        return X.astype(dtype).filled(np.nan)
    if is_frame(X):
        return _frame_values(X)
    if hasattr(X, "to_numpy") and hasattr(X, "dtype"):
        return _series_values(X)
    if isinstance(X, np.ndarray) and X.dtype == object:
        return _without_none(X)
    if isinstance(X, list | tuple):
        try:
            array = np.asarray(X)
        except ValueError:  # rows of different lengths
            return X
        return _without_none(array) if array.dtype == object else X
    return X


def refuse_complex(array) -> None:
    """Raise a ValueError if an array is complex, because NumPy would drop its imaginary part."""
    if np.iscomplexobj(array):
        raise ValueError("Complex data not supported. Pass an array of real numbers.")


def _frame_values(X):
    """Return the values of a data frame, or the frame if scikit-learn reads it correctly."""
    types = list(X.dtypes)
    names = {_type_name(dtype) for dtype in types}
    if any(name.startswith("sparse") for name in names):
        return _sparse_values(X)
    nullable = not all(isinstance(dtype, np.dtype) for dtype in types)
    if types and names <= BITS:
        array = np.asarray(X)
        if array.dtype in (bool, np.uint8):
            return array
        array = _numbers(X, np.float32)  # holds every value of 8 bits
        return array if np.isnan(array).any() else array.astype(np.uint8)
    if nullable and hasattr(X, "iloc"):  # extension types of pandas
        return _numbers(X, np.float32 if names == {"float32"} else np.float64)
    if hasattr(X, "iloc") and not any(dtype.kind == "O" for dtype in types):
        return X
    return _without_none(np.asarray(X))


def _sparse_values(X):
    """Return the values of a data frame with sparse columns."""
    if hasattr(X, "sparse"):
        try:
            return X.sparse.to_coo()
        except ValueError:  # the value that is not stored is not 0
            pass
    return np.asarray(X)


def _series_values(X):
    """Return the values of a series or of an extension array."""
    if hasattr(X, "iloc") and not isinstance(X.dtype, np.dtype):
        if _type_name(X.dtype) in BITS and not X.isna().any():
            return X.to_numpy(dtype=np.uint8)
        return _numbers(X, np.float64)
    array = np.asarray(X)
    return _without_none(array) if array.dtype == object else array


def _type_name(dtype) -> str:
    """Return the name of a column type without its library, such as ``"bool"``."""
    return str(dtype).lower().removesuffix("[pyarrow]")


def _numbers(X, dtype):
    """Return the values of a frame or series as floats, with NaN for missing values.

    Values that are not numbers are left to the validation that follows.
    """
    if hasattr(X, "iloc"):
        try:
            return X.to_numpy(dtype=dtype, na_value=np.nan)
        except (TypeError, ValueError):
            return _without_none(np.asarray(X, dtype=object))
    return _without_none(np.asarray(X)).astype(dtype)


def is_missing(array) -> np.ndarray:
    """Return which entries of an array of objects are None, ``pandas.NA`` or NaN."""
    na = getattr(sys.modules.get("pandas"), "NA", None)

    def missing(value):
        return value is None or value is na or (isinstance(value, float) and value != value)

    return np.frompyfunc(missing, 1, 1)(array).astype(bool)


def _without_none(array):
    """Return an array of objects with NaN in place of None and ``pandas.NA``."""
    if array.dtype != object:
        return array
    missing = is_missing(array)
    return np.where(missing, np.nan, array) if missing.any() else array
