"""The state of stored estimators, with the version of the package and a format number."""

from __future__ import annotations

import warnings

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from .options import check_nested_parameters
from .version import VERSION

FORMAT = 1


class StoredState(BaseEstimator):
    """Base class of estimators whose state is stored with a version and a format number.

    Loading warns if the state was stored by another version of the package, and fails if it was
    stored in another format.
    """

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
        state = dict(state)
        version = state.pop("_skprune_version", "unknown")
        if version != VERSION:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"skprune {VERSION}",
                    original_sklearn_version=f"skprune {version}",
                ),
                stacklevel=2,
            )
        found = state.pop("_format", None)
        if found != FORMAT:
            raise ValueError(
                f"This {type(self).__name__} was stored in format {found!r}, but skprune {VERSION} "
                f"reads format {FORMAT}. Load it with skprune {version}."
            )
        super().__setstate__(state)
