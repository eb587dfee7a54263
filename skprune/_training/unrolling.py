"""Conversion of machines to the levels of a feed-forward network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class FeedForwardLevel(NamedTuple):
    """One level of a feed-forward network before fine-tuning.

    Attributes
    ----------
    matrix : ndarray of shape (n_upper, n_lower)
        Weights.
    mask : ndarray of bool of shape (n_upper, n_lower)
        Existing connections.
    lower_bias : ndarray of shape (n_lower,)
        Biases of the lower units, for levels that are also used downwards.
    upper_bias : ndarray of shape (n_upper,)
        Biases of the upper units.
    """

    matrix: np.ndarray
    mask: np.ndarray
    lower_bias: np.ndarray
    upper_bias: np.ndarray


def random_level(n_lower, n_upper, dtype, rng) -> FeedForwardLevel:
    """Return a full level with random weights and biases of 0.

    Weights are scaled for logistic units, following Glorot & Bengio (2010).
    """
    bound = np.sqrt(2 / (n_lower + n_upper))
    weights = rng.uniform(-bound, bound, (n_upper, n_lower)).astype(dtype)
    mask = np.ones(weights.shape, dtype=bool)
    return FeedForwardLevel(weights, mask, np.zeros(n_lower, dtype), np.zeros(n_upper, dtype))


def levels_of_dbm(dbm) -> list:
    """Return the levels of a deep Boltzmann machine with one or two hidden layers.

    With two hidden layers, the inputs of the first level are the data and the posterior of the
    second layer. The network then starts as the mean field of the machine (Salakhutdinov & Hinton
    2009).
    """
    matrices, masks, biases = dbm.components_, dbm.connectivity_, dbm.intercepts_
    below = biases[0]
    if len(masks) == 2:
        matrices = [np.hstack([matrices[0], matrices[1].T]), matrices[1]]
        masks = [np.hstack([masks[0], masks[1].T]), masks[1]]
        below = np.concatenate([below, biases[2]])
    lower = [below, *biases[1:-1]]
    return [
        FeedForwardLevel(*level) for level in zip(matrices, masks, lower, biases[1:], strict=True)
    ]


def with_way_down(levels, linear_code) -> list:
    """Return the levels of an autoencoder: those up to the code, then their transposes.

    With a linear code, the first level below it is scaled, because the logistic function is about
    1/2 + x/4 near 0.
    """
    down = []
    for number, (matrix, mask, below, above) in enumerate(levels):
        matrix = matrix.T
        if number == len(levels) - 1 and linear_code:
            below = below + matrix.sum(axis=1) / 2
            matrix = matrix / 4
        down.append(FeedForwardLevel(matrix, mask.T, above, below))
    return [*levels, *down[::-1]]
