"""The generative model of a deep belief network: directed levels and the distribution at their top."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import entr, expit, logsumexp

from .. import likelihood
from .._kernels.records import Stack
from .._support.random import RowUniforms, derived_key, new_key
from ..likelihood import LogPartition
from . import inference
from .annealing import base_rates
from .directed import means_below, summed_bound
from .labels import joined, labelled_chains
from .levels import Layers, Level, stack_of

# Up to this number of directed hidden units, the bound is an exact sum instead of a sample mean.
MAX_ENUMERATED_UNITS = 10


@dataclass
class UndirectedTop:
    """The undirected level at the top of a network, whose lower layer may contain labels.

    Attributes
    ----------
    layers : Layers
        Weights and biases of the level.
    n_labels : int
        Number of labels. They are the last lower units, a one-hot group.
    means : ndarray of shape (n_lower,)
        Means of the lower units in training. Chains start from draws of them.
    """

    layers: Layers
    n_labels: int
    means: np.ndarray

    @cached_property
    def stack(self) -> Stack:
        """The level as kernels read it."""
        return self.layers.stack()

    def without_labels(self, states) -> np.ndarray:
        """Return lower states without the columns of the labels."""
        return states[:, : states.shape[1] - self.n_labels]

    def features(self, below, team) -> np.ndarray:
        """Return the means of the upper units given the lower units without labels.

        Labels are unknown, so each of them is given the same probability.
        """
        if self.n_labels:
            labels = np.full((below.shape[0], self.n_labels), 1 / self.n_labels)
            below = joined(below, labels)
        return inference.mean_field(self.stack, below, team)[-1]

    def means_down(self, H, team) -> np.ndarray:
        """Return the means of the lower units, without labels, given those of the upper units."""
        return self.without_labels(means_below(self.stack, H, team))

    @cached_property
    def classes(self) -> list:
        """One pair per label: the level given that the label is on, and the bias of the label."""
        (level,), (below, above) = self.layers.levels, self.layers.biases
        weights, n_features = level.matrix(), below.size - self.n_labels
        features = Level.from_matrix(weights[:, :n_features], level.mask()[:, :n_features])
        return [
            (
                stack_of([features], [below[:n_features].copy(), above + weights[:, k]]),
                float(below[k]),
            )
            for k in range(n_features, below.size)
        ]

    def label_scores(self, below, team) -> np.ndarray:
        """Return the unnormalized log p(features, label) in nats, one column per label."""
        stacks, biases = zip(*self.classes, strict=True)
        return np.array(biases) - inference.free_energies(stacks, below, team)

    def log_probability(self, below, team) -> np.ndarray:
        """Return the unnormalized log-probability of lower states in nats, summed over labels."""
        if self.n_labels:
            return logsumexp(self.label_scores(below, team), axis=1)
        return -inference.free_energy(self.stack, below, team)

    def log_partition_by_label(self, key, team, method, softening=0.25, **options) -> LogPartition:
        """Return log Z in nats, where Z is the sum of one estimate per label."""
        parts, logs = [], []
        for number, (stack, bias) in enumerate(self.classes):
            base = base_rates(stack, self.means[: stack.biases[0].size], softening=softening)
            part = likelihood.stack_log_partition(
                stack,
                base,
                derived_key(key, number),
                team,
                method,
                **options,
            )
            parts.append(part)
            logs.append([part.value + bias, *(end + bias for end in part.bracket)])
        value, low, high = logsumexp(logs, axis=0)
        shares = np.exp(np.array(logs)[:, 0] - value)
        errors = shares * np.array([part.standard_error for part in parts])
        size = min(part.effective_sample_size for part in parts)
        return LogPartition(
            float(value), float(np.sqrt(sum(errors**2))), (float(low), float(high)),
            parts[0].method, size,
        )  # fmt: skip

    def draw(self, n_samples, rng, team, *, n_sweeps, labels=None, start=None) -> tuple:
        """Draw states of both layers, each from a chain of its own.

        Parameters
        ----------
        n_samples : int
            Number of states.
        rng : numpy.random.RandomState
            Random number generator.
        team : Team
            Threads that share the chains.
        n_sweeps : int
            Number of Gibbs steps of each chain.
        labels : ndarray of bool of shape (n_samples, n_labels), default=None
            Labels that are kept fixed. If None, they are drawn too.
        start : ndarray of shape (n_samples, n_lower), default=None
            States that the chains start from. If None, they are drawn from the means.

        Returns
        -------
        layers : list of ndarray of shape (n_samples, n_units)
            Upper states, then lower states without labels.
        chains : ndarray of shape (n_samples, n_lower)
            Lower states with labels. Pass them as ``start`` to continue the chains.
        """
        dtype, key = self.stack.biases[0].dtype, new_key(rng)
        if start is None:
            start = (rng.uniform(size=(n_samples, self.means.size)) < self.means).astype(dtype)
        if self.n_labels and labels is None:
            lower, upper = labelled_chains(self.stack, start, self.n_labels, n_sweeps, key, team)
        else:
            clamped = None
            if labels is not None:
                clamped = np.full(start.shape, np.nan, dtype)
                clamped[:, -self.n_labels :] = labels
                start[:, -self.n_labels :] = labels
            states = [start, np.zeros((n_samples, self.stack.biases[1].size), dtype)]
            lower, upper = inference.gibbs(
                self.stack, states, n_sweeps, n_samples, key, team, clamped=clamped
            )
        return [upper, self.without_labels(lower)], lower


@dataclass
class IndependentTop:
    """The top of a sigmoid belief net: a layer of independent units.

    Attributes
    ----------
    biases : ndarray of shape (n_units,)
        Biases of the units.
    """

    biases: np.ndarray

    def means_down(self, H, team) -> np.ndarray:
        """Return ``H`` unchanged, because these units are the top layer."""
        return H

    def log_probability(self, states, team) -> np.ndarray:
        """Return the log-probability of states, in nats."""
        biases = self.biases.astype(np.float64)
        return inference.row_products(states, biases) - np.logaddexp(0, biases).sum()

    def draw(self, n_samples, rng, team, **options) -> tuple:
        """Return a list with the drawn states, and None because there are no chains."""
        new_key(rng)  # as for an undirected top, so that both use the same seeds below
        draws = rng.uniform(size=(n_samples, self.biases.size)) < expit(self.biases)
        return [draws.astype(self.biases.dtype)], None


@dataclass
class BeliefNetwork:
    """A deep belief network as a generative model.

    Attributes
    ----------
    ups : list of Stack
        Directed levels with recognition weights, lowest level first.
    downs : list of Stack
        Directed levels with generative weights, lowest level first.
    top : UndirectedTop or IndependentTop
        Distribution of the highest layer of the directed levels.
    key : numpy.uint64
        Key of the random numbers of the hidden layers given a row.
    """

    ups: list
    downs: list
    top: UndirectedTop | IndependentTop
    key: np.uint64

    def means_down(self, H, team) -> np.ndarray:
        """Return the visible means given those of the top layer, in one deterministic pass."""
        H = self.top.means_down(H, team)
        for stack in reversed(self.downs):
            H = means_below(stack, H, team)
        return H

    def draw_down(self, layers, rng, team, probabilities=False) -> list:
        """Draw the layers below the last of ``layers``, and append them (top layer first).

        If ``probabilities`` is True, append the probabilities of the visible units instead of
        their states.
        """
        for number in range(len(self.downs) - 1, -1, -1):
            means = means_below(self.downs[number], layers[-1], team)
            if number or not probabilities:
                means = (rng.uniform(size=means.shape) < means).astype(means.dtype)
            layers.append(means)
        return layers

    def lower_bound(self, X, n_samples, team) -> np.ndarray:
        """Return a variational lower bound on log p(v) + log Z for each row, in nats.

        The bound is a mean over ``n_samples`` samples of the hidden layers, or an exact sum if
        there are few directed hidden units.
        """
        log_top = self.top.log_probability
        if sum(stack.biases[1].size for stack in self.ups) <= MAX_ENUMERATED_UNITS:
            return summed_bound(X, self.ups, self.downs, log_top, team)
        uniforms = RowUniforms(X, derived_key(self.key, "samples of rows"))
        total = np.zeros(X.shape[0])
        first = inference.mean_field(self.ups[0], X, team)[-1]
        for sample in range(n_samples):
            below = X
            for number, (up, down) in enumerate(zip(self.ups, self.downs, strict=True)):
                means = inference.mean_field(up, below, team)[-1] if number else first
                total += (entr(means) + entr(1 - means)).sum(axis=1, dtype=np.float64)
                draws = uniforms(sample, number, means.shape[1])
                draws = (draws < means).astype(means.dtype)
                total += likelihood.log_conditional(down, below, draws, team)
                below = draws
            total += log_top(below, team)
        return total / n_samples
