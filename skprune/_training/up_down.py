"""Joint training of all levels of a deep belief network by the up-down algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._kernels import blas, wake_sleep_steps
from .._kernels.records import Stack
from .._machine import inference
from .._machine.levels import scale_weights
from .._support.threads import Team
from .passes import loaded_minibatches, minibatch_rates, one_hot

NEVER = np.iinfo(np.int64).max


@dataclass
class UpDownTrainer:
    """Trains all levels of a deep belief network by the up-down algorithm, in place.

    See Hinton, Osindero & Teh (2006).

    Attributes
    ----------
    recognition, generative : Stack
        Weights and biases of the directed levels, in the upward and in the downward direction.
    top : Stack
        Weights and biases of the top level. Its lower units are those of the last directed layer,
        followed by the labels.
    options : UpDown
        Options of the algorithm.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    labels : ndarray of int of shape (n_samples,) or None
        Index of the class of each row.
    n_labels : int
        Number of labels, or 0 without labels.
    n_passes : int
        Number of passes over the data.
    key : numpy.uint64
        Key of the random numbers.
    n_steps : int
        Number of minibatches so far, including those of earlier fits.
    team : Team
        Threads that run the kernels.
    """

    recognition: Stack
    generative: Stack
    top: Stack
    options: Any
    X: Any
    labels: np.ndarray | None
    n_labels: int
    n_passes: int
    key: np.uint64
    n_steps: int
    team: Team

    def __post_init__(self):
        dtype = self.top.biases[0].dtype
        self._batch_size = min(self.options.batch_size, self.X.shape[0])
        sizes = [bias.size for bias in self.recognition.biases]
        sizes[-1] += self.n_labels
        n_top = self.top.biases[1].size

        def workspace(sizes):
            return tuple(inference.states_array(n, self._batch_size, dtype) for n in sizes)

        self._wake, self._dream, self._errors = (workspace(sizes) for _ in range(3))
        self._top_wake, self._top_dream = (workspace([n_top, n_top]) for _ in range(2))
        self._work = np.empty((self.team.n_threads, max(*sizes, n_top)), dtype)
        self._chains_from = self.n_steps + 1 if self.options.negative_phase == "pcd" else NEVER

    @property
    def stacks(self) -> tuple:
        """The stacks that are trained."""
        return self.recognition, self.generative, self.top

    def run_pass(self, number) -> dict:
        """Train for one pass over the data, and return its row of the history."""
        options, dtype = self.options, self.top.biases[0].dtype
        n_samples = self.X.shape[0]
        n_minibatches = -(-n_samples // self._batch_size)
        rates = minibatch_rates(
            options.learning_rate, options.learning_rate_schedule, number, self.n_passes,
            n_minibatches,
        )  # fmt: skip
        order = np.random.default_rng([int(self.key), self.n_steps]).permutation(n_samples)
        groups = loaded_minibatches(self.X, order, self._batch_size, dtype, self.team)
        labels = np.zeros((0, 0, 0), dtype)
        for first, rows, sizes, data in groups:
            if self.n_labels:
                labels = one_hot(rows, sizes, self.labels, self.n_labels, data.shape[2], dtype)
            group_rates = rates[first : first + sizes.size]
            self.team.run(
                wake_sleep_steps.wake_sleep_minibatches, self.recognition, self.generative,
                self.top, options.undirected_top, self.n_labels, self._wake, self._dream,
                self._errors, self._top_wake, self._top_dream, data, labels, sizes,
                group_rates.astype(dtype), options.n_gibbs_steps, self._chains_from,
                options.n_label_draws, self.key, self.n_steps + first, self._work,
                blas.BLAS_ADDRESS[dtype],
            )  # fmt: skip
            if options.l2:
                share_left = dtype.type(np.exp(-options.l2 * group_rates.sum()))
                for stack in self.stacks:
                    scale_weights(stack, share_left)
        self.n_steps += n_minibatches
        return {"learning_rate": rates[-1]}
