"""Initial levels of deep Boltzmann machines: random, or pre-trained with doubled units.

Each level is pre-trained as a restricted Boltzmann machine. There, a unit receives input from one
level only. In the deep machine, a unit of an inner layer receives input from the levels below and
above. To make up for the difference, the first of several machines has two copies of each visible
unit, the last one has two copies of each hidden unit, and the weights of those in between are
halved (Salakhutdinov & Hinton 2009).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from .._machine import inference
from .._machine.initial import log_odds, random_weights
from .._support.random import new_seeds


def random_levels(X, masks, below, rng) -> list:
    """Return random levels above those in ``below``.

    If ``below`` is empty, the visible biases are the log-odds of the data.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        One mask per level of the whole machine, lowest level first.
    below : list of tuple of ndarray
        Levels below, as returned by :func:`pretrained_levels`.
    rng : numpy.random.RandomState
        Random number generator.

    Returns
    -------
    levels : list of tuple of ndarray
        Weights of shape (n_upper, n_lower), lower biases and upper biases of each level.
    """
    means, levels = inference.column_means(X), []
    lower = below[-1][2] if below else log_odds(means, X.shape[0])
    for mask in masks[len(below) :]:
        n_upper = mask.shape[0]
        if below:  # small weights, so that the levels below stay as they were trained
            matrix = rng.normal(0, 0.01, mask.shape) * mask
            # Subtract the mean input of this level, which is half the sum of the weights. The
            # sum is not halved, because biases of a shared layer are averaged later.
            lower = lower - matrix.sum(axis=0)
        else:
            matrix = random_weights(mask, np.clip(means, 0, 1) * (1 - np.clip(means, 0, 1)), rng)
        levels.append((matrix, lower, np.zeros(n_upper)))
        means, lower = np.full(n_upper, 0.5), np.zeros(n_upper)
    return levels


def check_frozen_shapes(templates, shapes) -> None:
    """Raise a ValueError if a frozen machine does not have the shape of its level.

    Parameters
    ----------
    templates : list of estimator
        Template of each level that is pre-trained, lowest level first.
    shapes : list of (int, int or None)
        Shape of each level. A number that is not known is None.
    """
    for number, (template, shape) in enumerate(zip(templates, shapes, strict=False), start=1):
        if not isinstance(template, FrozenEstimator):
            continue
        found = template.estimator.connectivity_[0].shape
        if found[0] != shape[0] or shape[1] not in (None, found[1]):
            raise ValueError(
                f"The frozen machine of level {number} has weights of shape {found}, but the level "
                f"needs {shape}. Change hidden_layer_sizes, or use a machine of the required shape."
            )


def pretrained_levels(templates, X, masks, rng) -> list:
    """Train one machine per level, and return their parameters.

    Parameters
    ----------
    templates : list of PrunedBernoulliRBM or FrozenEstimator
        Template of each level to train, lowest level first. A fitted machine in a FrozenEstimator
        is used as it is.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        One mask per level, lowest level first. Connections that a frozen machine does not have are
        removed from them, in place.
    rng : numpy.random.RandomState
        Random number generator, which seeds the machines.

    Returns
    -------
    levels : list of tuple of ndarray
        Weights of shape (n_upper, n_lower), lower biases and upper biases of each level.

    Raises
    ------
    NotFittedError
        If a frozen machine is not fitted.
    ValueError
        If a frozen machine has the wrong number of units, or training diverges.
    """
    levels, below = [], X
    last = len(templates) - 1
    for number, template in enumerate(templates):
        mask, given, share = masks[number], below, 1
        n_upper, n_lower = mask.shape
        if isinstance(template, FrozenEstimator):
            machine = template.estimator
            masks[number] = mask = mask & machine.connectivity_[0]
        else:
            doubled_below = number == 0 and last > 0
            doubled_above = number == last and last > 0
            tiles = (2, 1) if doubled_above else (1, 2) if doubled_below else (1, 1)
            share = 2 if last > 0 and not (doubled_below or doubled_above) else 1
            given = _twice(below) if doubled_below else below
            machine = clone(template).set_params(
                n_components=n_upper * tiles[0], connectivity=np.tile(mask, tiles)
            )
            machine.set_params(**new_seeds(machine, rng))
            n_iter = machine.n_iter
            machine.set_params(n_iter=0).fit(given)
            tie(machine, tiles)
            machine.set_params(n_iter=n_iter, warm_start=True).fit(given)
            tie(machine, tiles)
        matrix = machine.components_[:n_upper, :n_lower] / share
        levels.append(
            (
                matrix, machine.intercept_visible_[:n_lower].copy(),
                machine.intercept_hidden_[:n_upper].copy(),
            )
        )  # fmt: skip
        if number < last:
            with machine.layers_.team(given.shape[0]) as team:
                means = inference.mean_field(machine.layers_.stack(), given, team)[-1]
            below = np.ascontiguousarray(means[:, :n_upper])
    return levels


def _twice(X):
    """Return the data with every feature twice, as two copies side by side."""
    if sparse.issparse(X):
        return sparse.csr_array(sparse.hstack([X, X]))
    return np.hstack([X, X])


def tie(machine, tiles) -> None:
    """Set the weights and biases of the two copies of each doubled unit to their mean.

    Parameters
    ----------
    machine : PrunedBernoulliRBM
        Fitted machine, which is changed in place.
    tiles : (int, int)
        Number of copies of each hidden unit and of each visible unit. At most one of them is 2.
    """
    if tiles == (1, 1):
        return
    axis = tiles.index(2)  # 0: hidden units, 1: visible units
    weights = np.tile(sum(np.split(machine.components_, 2, axis=axis)) / 2, tiles)
    biases = [None, None]
    bias = machine.layers_.biases[1 - axis]
    biases[1 - axis] = np.tile(sum(np.split(bias, 2)) / 2, 2)
    machine.set_layers(machine.layers_.with_parameters([weights], biases, [None]))
