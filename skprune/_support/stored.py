"""The state of stored estimators: its version, its format, and checks of everything in it.

Kernels read and write memory by the numbers in a fitted estimator, so a loaded estimator is checked
completely before it can be used.
"""

from __future__ import annotations

import numbers
import warnings
from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from .options import check_nested_parameters
from .version import VERSION

FORMAT = 1
MOST_STEPS = 2**50  # minibatches; their draws are then still counted by 64-bit integers


class StoredState(BaseEstimator):
    """Base class of estimators whose state is stored with a version and a format number.

    Loading warns if the state was stored by another version of the package. It fails if the state
    was stored in another format, or if something is missing or invalid. A class says in
    ``_fitted_names`` which attributes belong to a fitted estimator, and checks them in
    ``_restore_state``.
    """

    _fitted_names: tuple = ()

    def set_params(self, **params):
        """Set parameters of the estimator and of the estimators it contains.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator, and of contained ones in the form
            ``<parameter>__<its parameter>``.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If a parameter is not known, or belongs to an object that has not been passed.
        """
        check_nested_parameters(self, params)
        return super().set_params(**params)

    def __getstate__(self):
        return {**super().__getstate__(), "_skprune_version": VERSION, "_format": FORMAT}

    def __setstate__(self, state):
        name = type(self).__name__
        if not isinstance(state, dict):
            raise ValueError(f"The stored state of a {name} must be a dict, got {state!r}.")
        state = dict(state)
        version = state.pop("_skprune_version", "unknown")
        if version != VERSION:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=name,
                    current_sklearn_version=f"skprune {VERSION}",
                    original_sklearn_version=f"skprune {version}",
                ),
                stacklevel=2,
            )
        found = state.pop("_format", None)
        if found != FORMAT:
            raise ValueError(
                f"This {name} was stored in format {found!r}, but skprune {VERSION} "
                f"reads format {FORMAT}. Load it with skprune {version}."
            )
        super().__setstate__(state)
        for parameter in signature(type(self)).parameters.values():
            if parameter.name not in vars(self):  # it is newer than the stored state
                setattr(self, parameter.name, parameter.default)
        try:
            self._check_names()
            if any(key in state for key in self._fitted_names):
                self._restore_state()
        except Exception as error:  # a damaged state can raise anything while it is checked
            raise ValueError(
                f"This {name} cannot be loaded, because its stored state is damaged. {error} Load "
                "another copy, or fit it again."
            ) from error

    def _check_names(self):
        """Raise a ValueError if some attributes of a fitted estimator are missing."""
        fitted = set(self._fitted_names)
        missing = sorted(fitted - set(vars(self)))
        if missing and fitted & set(vars(self)):
            raise ValueError(f"It lacks {', '.join(missing)}.")

    def _restore_state(self):
        """Restore objects from their stored arrays, and raise an error if one is invalid."""


def check_array(array, what, shape, dtype, low=None, high=None) -> None:
    """Raise a ValueError if a stored array is not what kernels expect.

    Parameters
    ----------
    array : object
        What was stored.
    what : str
        What the array holds, to begin the error message.
    shape : tuple
        Required shape. None stands for any positive length.
    dtype : dtype or tuple of dtype
        Allowed types.
    low, high : float, default=None
        Limits of the values. If None, there is no limit on that side.
    """
    dtypes = tuple(np.dtype(kind) for kind in (dtype if isinstance(dtype, tuple) else (dtype,)))
    if type(array) not in (np.ndarray, np.memmap):
        raise ValueError(f"{what} must be an array, got an object of type {type(array).__name__}.")
    fits = len(shape) == array.ndim and all(
        found > 0 if wanted is None else found == wanted
        for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        sizes = " x ".join("n" if size is None else str(size) for size in shape)
        types = " or ".join(map(str, dtypes))
        raise ValueError(
            f"{what} must be an array of {types} of size {sizes}, got shape {array.shape} and "
            f"dtype {array.dtype}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite numbers.")
    if array.size and (
        (low is not None and array.min() < low) or (high is not None and array.max() > high)
    ):
        span = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{what} must be {span}, got {array.min()} to {array.max()}.")


def check_list(values, what, length=None) -> None:
    """Raise a ValueError if a stored object is not a list or tuple of this length."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{what} must be a list, got an object of type {type(values).__name__}.")
    if not values or length not in (None, len(values)):
        expected = "at least one entry" if length is None else f"{length} entries"
        raise ValueError(f"{what} must be a list with {expected}, got {len(values)}.")


def check_vectors(vectors, what, sizes, dtype, low=None) -> None:
    """Raise a ValueError if a stored object is not a list of vectors of these sizes."""
    check_list(vectors, what, len(sizes))
    for vector, size in zip(vectors, sizes, strict=True):
        check_array(vector, what, (size,), dtype, low)


def check_whole(value, what, low=0, high=MOST_STEPS) -> None:
    """Raise a ValueError if a stored number is not an integer within the limits."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
    if not whole or not low <= value <= high:
        raise ValueError(f"{what} must be an int between {low} and {high}, got {value!r}.")


def check_real(value, what, low=-np.inf, high=np.inf, finite=True) -> None:
    """Raise a ValueError if a stored number is not a real number within the limits."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not real or not low <= value <= high or (finite and not np.isfinite(value)):
        raise ValueError(f"{what} must be a number between {low} and {high}, got {value!r}.")


def check_flag(value, what) -> None:
    """Raise a ValueError if a stored object is not True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{what} must be True or False, got {value!r}.")


def check_key(key) -> None:
    """Raise a ValueError if a stored object is not a key of random numbers."""
    if not isinstance(key, np.uint64):
        raise ValueError(f"The key of the random numbers must be a uint64, got {key!r}.")


def check_classes_in_order(classes, n_classes=None) -> None:
    """Raise a ValueError if stored classes are not distinct and in ascending order."""
    is_array = type(classes) in (np.ndarray, np.memmap) and classes.dtype.kind in "biufOSU"
    if not is_array or classes.ndim != 1 or classes.size < 2:
        raise ValueError(f"classes_ must be a vector of at least two classes, got {classes!r}.")
    if n_classes not in (None, classes.size):
        raise ValueError(f"classes_ must hold {n_classes} classes, got {classes.size}.")
    if not np.array_equal(np.unique(classes), classes):
        raise ValueError("classes_ must be distinct and in ascending order.")


def check_history(history, what="history_") -> None:
    """Raise a ValueError if a stored history is not a dict of columns of equal length."""
    if not isinstance(history, dict) or not all(isinstance(name, str) for name in history):
        raise ValueError(f"{what} must be a dict of arrays, got {type(history).__name__}.")
    for name, column in history.items():
        if type(column) not in (np.ndarray, np.memmap) or not column.ndim:
            raise ValueError(f"{what}[{name!r}] must be an array with one entry per row.")
    if len({len(column) for column in history.values()}) > 1:
        raise ValueError(f"The columns of {what} must have equal length.")


def check_planned_sizes(estimator) -> None:
    """Raise a ValueError if the stored sizes that the parameters asked for are invalid."""
    sizes = vars(estimator).get("_planned_sizes")
    if sizes is None:
        return
    check_list(sizes, "The sizes of the layers")
    for size in sizes:
        if size is not None:  # it depends on a machine that pre-trains
            check_whole(size, "The size of a layer", low=1)


def check_names_of_features(estimator) -> None:
    """Raise a ValueError if the stored number or names of features are invalid."""
    check_whole(estimator.n_features_in_, "n_features_in_", low=1)
    names = vars(estimator).get("feature_names_in_")
    if names is None:
        return
    check_array(names, "feature_names_in_", (estimator.n_features_in_,), object)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("feature_names_in_ must hold strings.")
