"""The warning about data outside [0, 1], which a public call gives at most once."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin

from ..exceptions import DataRangeWarning

# MinMaxScaler can miss 0 and 1 by a few units in the last place of float32.
ROUNDING = 1e-6

# Packages whose frames a warning skips, so that it points to the caller's line.
INNER_PACKAGES = ("skprune", "sklearn", "joblib", "contextlib", "functools")

# An empty list within a public call, and a list with one entry once the call has given the warning.
_scope: ContextVar[list | None] = ContextVar("skprune_range_warnings", default=None)


@contextmanager
def one_range_warning(*, quiet=False):
    """Give at most one DataRangeWarning in a ``with`` block, or in a decorated function.

    A block within another one belongs to it. Each thread has its own blocks.

    Parameters
    ----------
    quiet : bool, default=False
        Whether an outermost block gives no warning at all. This is for work that another thread or
        process has asked for.
    """
    if _scope.get() is not None:
        yield
        return
    token = _scope.set([True] if quiet else [])
    try:
        yield
    finally:
        _scope.reset(token)


class OneWarningTransformer(TransformerMixin):
    """Transformer mixin whose ``fit_transform`` warns once, although it reads the data twice."""

    def fit_transform(self, X, y=None, **fit_params):
        """Fit to data, then transform the same data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,), default=None
            Passed to ``fit``.
        **fit_params : dict
            Passed to ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            The result of ``transform``.
        """
        with one_range_warning():
            return super().fit_transform(X, y, **fit_params)


def warn_outside(estimator, X, name="X") -> None:
    """Warn if data have values outside [0, 1], unless the public call has warned already.

    Parameters
    ----------
    estimator : estimator
        Estimator that reads the data, for the message.
    X : {ndarray, sparse matrix}
        Data. NaN is ignored.
    name : str, default="X"
        Name of the data, for the message.
    """
    said = _scope.get()
    values = X.data if sparse.issparse(X) else X
    if said or values.dtype == bool or not values.size:
        return
    low, high = values.min(), values.max()
    if low != low:  # NaN marks missing values
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if not (low < -ROUNDING or high > 1 + ROUNDING):
        return
    if said is not None:
        said.append(True)
    warnings.warn(
        f"{name} has values from {low:g} to {high:g}, but {type(estimator).__name__} reads values "
        "as probabilities, which are in [0, 1]. Its results have no meaning for other values. "
        "Scale the data with sklearn.preprocessing.MinMaxScaler(clip=True), or binarize them with "
        "sklearn.preprocessing.Binarizer.",
        DataRangeWarning,
        stacklevel=_level_of_caller(),
    )


def _level_of_caller() -> int:
    """Return the ``stacklevel`` with which :func:`warn_outside` points to the caller's code."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in INNER_PACKAGES:
            break
        frame, level = frame.f_back, level + 1
    return max(level, 1)
