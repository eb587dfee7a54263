"""Conversion of machines to levels of a feed-forward network, and the protocol it requires."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

REQUIRED = ("fit", "random_state", "unrolled", "network_input")


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


class Unrollable(Protocol):
    """The members of a machine that a feed-forward network can start from.

    Networks use these members only. ``check_unrolling`` is optional, and so is
    ``n_network_inputs``, the number of columns of ``network_input``.

    Attributes
    ----------
    random_state : int, RandomState instance or None
        Parameter of the machine that seeds it.
    n_features_in_ : int
        Number of features seen during ``fit``.
    """

    random_state: Any
    n_features_in_: int

    def fit(self, X, y=None):
        """Fit the machine to data.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Validated data.
        y : array-like of shape (n_samples,), default=None
            Class of each row, if the network was given classes.

        Returns
        -------
        self : object
            The machine.
        """

    def unrolled(self) -> tuple:
        """Return the levels of the feed-forward network into which this machine is unrolled.

        Returns
        -------
        levels : list of FeedForwardLevel
            Lowest level first.
        machine : object
            Machine whose ``network_input`` computes the input of the network. The network keeps it
            as ``pretrained_``.
        """

    def network_input(self, X):
        """Return the input of the lowest level of the network.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        X : {ndarray, csr_array} of shape (n_samples, n_inputs)
            Input of the network.
        """

    def check_unrolling(self, decoder=False):
        """Raise an error before training if the machine cannot be unrolled as planned (optional).

        Parameters
        ----------
        decoder : bool, default=False
            Whether the network is an autoencoder, whose decoder has the transposed levels. Its
            input is then the data, so ``network_input`` must not change them.
        """


def is_unrollable(machine) -> bool:
    """Return whether an estimator has the required members of :class:`Unrollable`."""
    return not isinstance(machine, type) and all(hasattr(machine, name) for name in REQUIRED)


def check_unrolling(machine, decoder) -> None:
    """Raise an error if a machine says that it cannot be unrolled as planned."""
    if hasattr(machine, "check_unrolling"):
        machine.check_unrolling(decoder)


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
