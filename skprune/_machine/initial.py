"""Initial weights, biases and parameters of machines."""

from __future__ import annotations

import numpy as np


def random_weights(mask, lower_means, rng) -> np.ndarray:
    """Return random initial weights of a level.

    They are scaled so that the input of an upper unit has about unit variance if the lower units
    are independent and have the given means. Upper units then start different from each other, and
    neither saturated nor linear (docs/design_notes.md).

    Parameters
    ----------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Existing connections.
    lower_means : ndarray of shape (n_lower,)
        Means of the lower units.
    rng : numpy.random.RandomState
        Random number generator.

    Returns
    -------
    weights : ndarray of shape (n_upper, n_lower)
        Weights. Those of absent connections are not 0.
    """
    variances = np.clip(lower_means, 0, 1) * (1 - np.clip(lower_means, 0, 1))
    scale = 1 / np.sqrt(np.maximum(mask @ variances**2, 1.0))
    return scale[:, None] * np.sqrt(variances) * rng.standard_normal(mask.shape)


def log_odds(means, n_rows) -> np.ndarray:
    """Return the log-odds of the means of ``n_rows`` rows.

    Half a row of zeros and half a row of ones are added, so that the log-odds are finite.
    """
    smoothed = np.clip((means * n_rows + 0.5) / (n_rows + 1), 1e-6, 1 - 1e-6)
    return np.log(smoothed / (1 - smoothed))


def full_level_parameters(estimator) -> dict:
    """Return the nested parameters that make the levels of an estimator start full."""
    full = {"__connectivity": None, "__initial_sparsity": 0.0, "pruner__sparsity": 0.0}
    return {
        name: value
        for name in estimator.get_params()
        for ending, value in full.items()
        if name.endswith(ending)
    }
