"""Moments of sampled states of the two layers of a level, and the Fisher information of its weights."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator

from . import inference
from .levels import Connections


def mean_products(mask, lower, upper):
    """Return the sample means of lower × upper and of its square on the connections of a mask."""
    n_samples = len(lower)
    if inference.is_binary(lower) and inference.is_binary(upper):
        products = np.zeros(mask.shape)
        counts = inference.pair_counts(Connections.from_mask(mask), lower, upper)
        products[mask] = counts / n_samples
        return products, products
    lower, upper = lower.astype(np.float64), upper.astype(np.float64)
    return (
        np.where(mask, upper.T @ lower / n_samples, 0.0),
        np.where(mask, (upper**2).T @ lower**2 / n_samples, 0.0),
    )


def fisher_operator(mask, lower, upper) -> LinearOperator:
    """Return the Fisher information matrix of a level as a linear operator.

    The matrix is the covariance, over samples, of the lower states, the upper states and their
    products for every connection of ``mask`` (in row-major order).

    Parameters
    ----------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Existing connections.
    lower : ndarray of shape (n_samples, n_lower)
        States of the lower units.
    upper : ndarray of shape (n_samples, n_upper)
        States of the upper units.

    Returns
    -------
    operator : LinearOperator of shape (n_parameters, n_parameters)
        The matrix. ``n_parameters`` is ``n_lower + n_upper`` plus the number of connections.
    """
    lower, upper = (np.asarray(states, dtype=np.float64) for states in (lower, upper))
    n_samples, n_lower, n_upper = len(lower), lower.shape[1], upper.shape[1]
    matrix = np.zeros(mask.shape)
    mean = np.concatenate(
        [lower.mean(axis=0), upper.mean(axis=0), (upper.T @ lower / n_samples)[mask]]
    )

    def multiply(x):
        x = np.ravel(x)
        matrix[mask] = x[n_lower + n_upper :]
        along = lower @ x[:n_lower] + upper @ x[n_lower : n_lower + n_upper]
        along += ((upper @ matrix) * lower).sum(axis=1)
        along -= mean @ x
        pairs = ((along[:, None] * upper).T @ lower)[mask]
        total = np.concatenate([along @ lower, along @ upper, pairs])
        return total / n_samples - mean * along.mean()

    return LinearOperator((mean.size, mean.size), matvec=multiply, dtype=np.float64)
