"""Initial weights, biases and parameters of machines."""

from __future__ import annotations

import numpy as np

LEAST_POWER = 1e-10  # sum of squared variances below which the lower units count as constant


def random_weights(mask, lower_variances, rng) -> np.ndarray:
    """Return random initial weights of a level.

    They are scaled so that the input of an upper unit has about unit variance if the lower units
    are independent and have the given variances. Upper units then start different from each other, and
    neither saturated nor linear (docs/design_notes.md). An upper unit whose lower units are all
    constant, as in a batch of one row, gets the weights for variances of 1/4, those of fair coins.
    Weights of 0 would be a saddle point, which training never leaves.

    Parameters
    ----------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Existing connections.
    lower_variances : ndarray of shape (n_lower,)
        Variances of the lower units.
    rng : numpy.random.RandomState
        Random number generator.

    Returns
    -------
    weights : ndarray of shape (n_upper, n_lower)
        Weights. Those of absent connections are not 0.
    """
    draws = rng.standard_normal(mask.shape)
    power = mask @ lower_variances**2
    scale = 1 / np.sqrt(np.maximum(power, 1.0))
    weights = scale[:, None] * np.sqrt(lower_variances) * draws
    unknown = power < LEAST_POWER
    if unknown.any():
        power = mask[unknown].sum(axis=1) / 16
        weights[unknown] = 0.5 / np.sqrt(np.maximum(power, 1.0))[:, None] * draws[unknown]
    return weights


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
