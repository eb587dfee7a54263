"""What a machine is before training."""

from __future__ import annotations

import numpy as np


def random_weights(mask, lower_means, rng) -> np.ndarray:
    """Return weights (n_upper, n_lower) before training.

    The input of an upper unit would have unit variance over independent lower units of these
    means: units start different and neither saturated nor linear (docs/design_notes.md).
    """
    variances = np.clip(lower_means, 0, 1) * (1 - np.clip(lower_means, 0, 1))
    scale = 1 / np.sqrt(np.maximum(mask @ variances**2, 1.0))
    return scale[:, None] * np.sqrt(variances) * rng.standard_normal(mask.shape)


def log_odds(means, n_rows) -> np.ndarray:
    """Return the log-odds of means over so many rows, with half a row more on either side."""
    smoothed = np.clip((means * n_rows + 0.5) / (n_rows + 1), 1e-6, 1 - 1e-6)
    return np.log(smoothed / (1 - smoothed))


def full_level_parameters(estimator) -> dict:
    """Return the nested parameters with which the levels of an estimator start full."""
    full = {"__connectivity": None, "__initial_sparsity": 0.0, "pruner__sparsity": 0.0}
    return {
        name: value
        for name in estimator.get_params()
        for ending, value in full.items()
        if name.endswith(ending)
    }
