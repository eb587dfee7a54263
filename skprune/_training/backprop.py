"""Training of feed-forward networks by backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._kernels import backprop_steps, blas
from .._kernels import fields as field_kernels
from .._kernels.records import (
    DescentOptions,
    DescentTraining,
    DescentWorkspace,
    Moments,
    Stack,
    Stream,
    WeightedMinibatches,
)
from .._machine import inference
from .._machine.levels import parameters
from .._support.threads import Team
from .passes import by_lane, loaded_minibatches, minibatch_rates, one_hot

WITHOUT_WEIGHT = (
    "The rows to train on have a total weight of 0, so nothing can be learned. Rows held out for "
    "early stopping and rows without counts do not count. Pass a positive weight for at least one "
    "of the other rows."
)
FIRST_MOMENTUM, SECOND_MOMENTUM, EPSILON = 0.9, 0.999, 1e-8  # of Adam


def new_moments(stack: Stack, adam: bool) -> Moments:
    """Return running means of the gradient before the first step, all 0."""
    dtype = stack.biases[0].dtype
    sizes = [parameters(level).size for level in stack.levels]
    sizes += [bias.size for bias in stack.biases[1:]]
    first = tuple(np.zeros(size, dtype) for size in sizes)
    return Moments(first, tuple(np.zeros(size * adam, dtype) for size in sizes))


@dataclass
class BackpropTrainer:
    """Trains a feed-forward network by backpropagation, in place.

    Attributes
    ----------
    stack : Stack
        Weights, biases and unit types of the network.
    options : DescentOptions
        Options of the gradient steps.
    moments : Moments
        Running means of the gradient.
    n_known : int
        Number of steps in the running means.
    adam : bool
        Whether to use Adam instead of gradient descent with momentum.
    learning_rate : float
        Learning rate, before the factor of the schedule.
    schedule : str or callable
        Learning rate schedule.
    batch_size : int
        Number of rows per minibatch.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    targets : ndarray of int of shape (n_samples,) or None
        Class of each row. If None, the network is trained to reconstruct the rows.
    weights : ndarray of shape (n_samples,)
        Weight of each row in the loss.
    n_passes : int
        Number of passes over the data.
    key : numpy.uint64
        Key of the random numbers.
    n_steps : int
        Number of minibatches so far, including those of earlier fits.
    team : Team
        Threads that run the kernels.

    Raises
    ------
    ValueError
        If the weights of all rows are 0.
    """

    stack: Stack
    options: DescentOptions
    moments: Moments
    n_known: int
    adam: bool
    learning_rate: float
    schedule: object
    batch_size: int
    X: Any
    targets: np.ndarray | None
    weights: np.ndarray
    n_passes: int
    key: np.uint64
    n_steps: int
    team: Team

    def __post_init__(self):
        stack = self.stack
        dtype = stack.biases[0].dtype
        self.batch_size = min(self.batch_size, self.X.shape[0])
        blocks = [int(field_kernels.descent_rows(stack, k)) for k in range(1, len(stack.biases))]
        gradients = [
            block * bias.size for block, bias in zip(blocks, stack.biases[:-1], strict=True)
        ]
        workspace = DescentWorkspace(
            states=inference.new_states(stack, self.batch_size),
            deltas=inference.new_states(stack, self.batch_size),
            losses=np.zeros(stack.biases[-1].size),
            gradient=np.empty((self.team.n_threads, max(*gradients, *blocks)), dtype),
            blas=blas.BLAS_ADDRESS[dtype],
        )
        self._training = DescentTraining(stack, self.moments, self.options, workspace)
        self._mean_weight = float(self.weights.sum()) / self.X.shape[0]
        if self.n_passes and not self._mean_weight > 0:
            raise ValueError(WITHOUT_WEIGHT)

    @property
    def stacks(self) -> tuple:
        """The stacks that are trained."""
        return (self.stack,)

    def run_pass(self, number) -> dict:
        """Train for one pass over the data, and return its row of the history."""
        stack, n_samples = self.stack, self.X.shape[0]
        dtype = stack.biases[0].dtype
        n_minibatches = -(-n_samples // self.batch_size)
        rates = minibatch_rates(
            self.learning_rate, self.schedule, number, self.n_passes, n_minibatches
        )
        steps = rates
        if self.adam:  # correct the bias of moments that start at 0
            t = self.n_known + 1 + np.arange(n_minibatches)
            steps = rates * np.sqrt(1 - SECOND_MOMENTUM**t) / (1 - FIRST_MOMENTUM**t)
        order = np.random.default_rng([int(self.key), self.n_steps]).permutation(n_samples)
        losses = self._training.workspace.losses
        losses[:] = 0
        targets = np.zeros((0, 0, 0), dtype)
        groups = loaded_minibatches(self.X, order, self.batch_size, dtype, self.team)
        for first, rows, sizes, data in groups:
            n_lanes = data.shape[2]
            if self.targets is not None:
                n_units = stack.biases[-1].size
                targets = one_hot(rows, sizes, self.targets, n_units, n_lanes, dtype)
            weights = by_lane(rows, sizes, self.weights, n_lanes, dtype)
            group_steps = steps[first : first + sizes.size].astype(dtype)
            minibatches = WeightedMinibatches(data, targets, weights, sizes, group_steps)
            stream = Stream(self.key, self.n_steps + first)
            work = 3.0 * float(sizes.sum()) * inference.n_parameters(self.stack)
            self.team.run(
                backprop_steps.descend_minibatches, self._training, minibatches, stream, work=work
            )
        self.n_steps += n_minibatches
        self.n_known += n_minibatches
        return {
            "loss": float(losses.sum() / n_samples / self._mean_weight),
            "learning_rate": float(rates[-1]),
        }
