"""Variances of Gaussian visible units, which can be learned with the weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._kernels import fields as field_kernels
from .._kernels.records import Stack
from .._machine import inference

LARGEST_STEP = 0.5  # of the logarithm of a variance per minibatch


@dataclass
class Variances:
    """Variances of Gaussian visible units given the hidden units, in the units of the data.

    Attributes
    ----------
    logs : ndarray of float64 of shape (n_visible,)
        Logarithm of each variance. Learning changes it in place.
    least : ndarray of float64 of shape (n_visible,) or None
        Lower bound of each logarithm. If None, the variances are fixed.
    """

    logs: np.ndarray
    least: np.ndarray | None

    @property
    def learned(self) -> bool:
        """Whether the variances are learned."""
        return self.least is not None

    def scale(self, states) -> None:
        """Turn data, with units along the second last axis, into states of the units, in place."""
        states /= np.exp(self.logs / 2)[:, None].astype(states.dtype)

    def step(self, stack: Stack, visible, hidden, n_rows, rate) -> None:
        """Take a step along the gradient of the log-likelihood.

        States x are data divided by the standard deviation s. With the weights and biases of the
        states kept fixed, the normalizing constant does not depend on s, so the gradient has no
        term of the model:

        .. math:: \\frac{\\partial \\log p(v)}{\\partial \\log s_i^2}
            = \\tfrac12 [x_i (x_i - b_i - \\sum_j w_{ji} q_j) - 1],
            \\qquad q_j = p(h_j = 1 \\mid v)

        Parameters
        ----------
        stack : Stack
            Weights and biases of the machine.
        visible : ndarray of shape (n_visible, n_lanes)
            States of the rows of a minibatch.
        hidden : ndarray of shape (n_hidden, n_lanes)
            Probabilities of the units of the first hidden layer given these rows.
        n_rows : int
            Number of rows.
        rate : float
            Learning rate.
        """
        means = np.zeros_like(visible)
        states = (means, hidden, *(np.zeros_like(b)[:, None] for b in stack.biases[2:]))
        field_kernels.fields(stack, 0, states, inference.unpacked(stack), means)
        x = visible[:, :n_rows].astype(np.float64)
        gradient = ((x * (x - means[:, :n_rows])).mean(axis=1) - 1) / 2
        step = np.clip(rate * gradient, -LARGEST_STEP, LARGEST_STEP)
        self.logs += step
        if self.least is not None:
            np.maximum(self.logs, self.least, out=self.logs)
