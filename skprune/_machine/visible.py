"""The visible units of a machine: what their data are, and how data become states of the units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._kernels.records import BINARY, GAUSSIAN, Stack
from .._support.validation import check_clamped, check_data, check_incomplete
from . import inference
from .initial import log_odds

LARGEST_RATIO = 1e6  # of the standard deviations of data and sigma, or the reverse
SMALLEST_SHARE = 1e-3  # of the variance of a feature that is left to a unit if it is learned


class BinaryUnits:
    """Binary visible units. Their states are the data."""

    unit_type = BINARY
    variances = None  # of the data, for the base-rate model
    scale = None  # by which data are divided

    def read(self, estimator, X, reset=False):
        """Validate data in [0, 1]."""
        return check_data(estimator, X, reset)

    def read_incomplete(self, estimator, X) -> np.ndarray:
        """Validate rows with missing values."""
        return check_incomplete(estimator, X)

    def read_clamped(self, estimator, clamped, n_samples, dtype) -> np.ndarray:
        """Validate clamped states, and return them as an array of shape (n_samples, n_features)."""
        return check_clamped(estimator, clamped, n_samples, dtype)

    def states(self, X):
        """Return data as states of the units."""
        return X

    def data(self, states) -> np.ndarray:
        """Return states of the units as data."""
        return states

    def check_means(self, means) -> None:
        """Raise a ValueError if means of the units are impossible."""
        if not ((means >= 0) & (means <= 1)).all():
            raise ValueError(
                f"visible_means must be in [0, 1], got values from {means.min():g} to "
                f"{means.max():g}."
            )

    def first_biases(self, means, n_rows) -> np.ndarray:
        """Return initial biases of units whose data have these means."""
        return log_odds(means, n_rows)

    def state_variances(self, means) -> np.ndarray:
        """Return the variances of the states, for units with these means."""
        means = np.clip(means, 0, 1)
        return means * (1 - means)

    def first_states(self, stack: Stack, means, n_samples, rng) -> np.ndarray:
        """Draw states that chains start from."""
        return rng.uniform(size=(n_samples, stack.biases[0].size)) < means

    def draw(self, means, rng) -> np.ndarray:
        """Draw states of units with these conditional means."""
        return rng.uniform(size=means.shape) < means

    def log_constants(self, biases) -> tuple[float, float]:
        """Return what free energies and log Z in data units exceed those of the states by, in nats."""
        return 0.0, 0.0


@dataclass
class GaussianUnits:
    """Visible units that are real numbers with a normal distribution given the hidden units.

    Their states are the data divided by ``sigma``, so that a unit has the variance 1 given the
    hidden units. Weights, biases and means of the units are divided by ``sigma``, too.

    Attributes
    ----------
    sigma : ndarray of float64 of shape (n_visible,)
        Standard deviation of each feature given the hidden units.
    data_variances : ndarray of float64 of shape (n_visible,)
        Variance of each feature.
    """

    sigma: np.ndarray
    data_variances: np.ndarray

    unit_type = GAUSSIAN

    @property
    def scale(self) -> np.ndarray:
        """By which data are divided."""
        return self.sigma

    @property
    def variances(self) -> np.ndarray:
        """Variances of the states of the training data."""
        return self.data_variances / self.sigma**2

    def check_scale(self) -> None:
        """Raise a ValueError if ``sigma`` is far from the standard deviations of the data."""
        ratios = np.sqrt(self.variances)
        if not (ratios.max() <= LARGEST_RATIO and ratios.min() >= 1 / LARGEST_RATIO):
            raise ValueError(
                f"The standard deviations of the features are {ratios.min():.3g} to "
                f"{ratios.max():.3g} times sigma, which is too far apart to train. Standardize the "
                "data, or set sigma to an array with one number per feature."
            )

    def read(self, estimator, X, reset=False):
        """Validate real-valued data, which must be dense."""
        return check_data(estimator, X, reset, unit_interval=False, accept_sparse=False)

    def read_incomplete(self, estimator, X) -> np.ndarray:
        """Validate rows with missing values."""
        return check_incomplete(estimator, X, unit_interval=False)

    def read_clamped(self, estimator, clamped, n_samples, dtype) -> np.ndarray:
        """Validate clamped data, and return their states, of shape (n_samples, n_features)."""
        return self.states(check_clamped(estimator, clamped, n_samples, dtype, unit_interval=False))

    def states(self, X) -> np.ndarray:
        """Return data, weights, biases or means, with one column per feature, in units of sigma."""
        X = X.toarray() if sparse.issparse(X) else np.asarray(X)
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.float32
        with np.errstate(over="ignore"):
            states = np.ascontiguousarray(X / self.sigma, dtype=dtype)
        if np.isinf(states).any():
            raise ValueError(
                f"A value of {np.nanmax(np.abs(X)):.3g} is too large for {np.dtype(dtype)} if it is "
                f"divided by sigma, which is {self.sigma.min():.3g} or more. Standardize the data."
            )
        return states

    def data(self, states) -> np.ndarray:
        """Return states, weights, biases or means as they are in the units of the data."""
        return np.ascontiguousarray(states * self.sigma, dtype=states.dtype)

    def check_means(self, means) -> None:
        """Accept any means."""

    def first_biases(self, means, n_rows) -> np.ndarray:
        """Return initial biases of units whose states have these means."""
        return means

    def state_variances(self, means) -> np.ndarray:
        """Return the variances of the states in the training data."""
        return self.variances

    def first_states(self, stack: Stack, means, n_samples, rng) -> np.ndarray:
        """Draw states that chains start from."""
        return means + np.sqrt(self.variances) * rng.standard_normal((n_samples, means.size))

    def draw(self, means, rng) -> np.ndarray:
        """Draw states of units with these conditional means."""
        return means + rng.standard_normal(means.shape)

    def log_constants(self, biases) -> tuple[float, float]:
        """Return what free energies and log Z in data units exceed those of the states by, in nats.

        The energy in data units has the term ``(v - b)^2 / (2 sigma^2)``. That of states lacks
        ``b^2 / (2 sigma^2)``, and log Z in data units is an integral over the data.
        """
        free_energy = float(np.square(biases, dtype=np.float64).sum()) / 2
        return free_energy, float(np.log(self.sigma).sum()) - free_energy


def feature_variances(estimator, X) -> np.ndarray:
    """Return the variance of each feature, in float64.

    Raises
    ------
    ValueError
        If a feature is constant.
    """
    if X.shape[0] == 1:
        raise ValueError(
            "X has 1 sample (n_samples=1), in which no feature varies. Real-valued units need the "
            "variance of each feature, so pass at least two different rows."
        )
    mean = inference.column_means(X)
    variances = np.zeros(X.shape[1])
    for start in range(0, X.shape[0], 4096):
        deviation = X[start : start + 4096].astype(np.float64) - mean
        variances += np.square(deviation).sum(axis=0)
    variances /= X.shape[0]
    smallest = np.square(np.finfo(np.float32).eps * np.abs(mean))
    constant = np.flatnonzero(variances <= smallest)
    if constant.size:
        names = getattr(estimator, "feature_names_in_", None)
        first = f"feature {constant[0]}" if names is None else f"{names[constant[0]]!r}"
        raise ValueError(
            f"{constant.size} of the {X.shape[1]} features are constant, the first one is {first}. "
            "A constant feature has no variance to model. Remove such features, for example with "
            "sklearn.feature_selection.VarianceThreshold."
        )
    return variances
