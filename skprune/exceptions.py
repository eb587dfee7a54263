"""Warnings of this package."""

from __future__ import annotations

__all__ = ["DataRangeWarning"]


class DataRangeWarning(UserWarning):
    """Data have values outside [0, 1], which the estimator reads as probabilities.

    Bernoulli units are 0 or 1, and values between 0 and 1 are read as probabilities. Outside this
    range, scores are finite but have no meaning, and training may diverge. Scale the data with
    ``MinMaxScaler(clip=True)``, or binarize them. One call of a method or function gives at most
    one such warning, however many estimators it trains.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.exceptions import DataRangeWarning
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     rbm = PrunedBernoulliRBM(2, random_state=0).fit(np.array([[0.0, 16.0], [3.0, 0.0]]))
    >>> [warning.category.__name__ for warning in caught]
    ['DataRangeWarning']
    """
