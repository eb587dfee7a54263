"""Directed levels: passes up and down, and the variational bound of a deep belief network."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import sparse

from .. import likelihood
from .._support.threads import blocks
from . import inference


def means_below(stack, H, team) -> np.ndarray:
    """Return the probabilities of the lower units given the upper ones."""
    H = np.ascontiguousarray(H, dtype=stack.biases[0].dtype)

    def one_block(block):
        return inference.conditional_means(stack, 0, None, H[block])

    return np.concatenate(team.map(one_block, blocks(H.shape[0])))


def summed_bound(X, ups, generators, log_top, team) -> np.ndarray:
    """The bound, summed over all states of the directed hidden layers, row by row."""
    sizes = [stack.biases[1].size for stack in ups]
    if not sizes:
        return log_top(X, team)
    dtype = ups[0].biases[0].dtype
    states = np.array(list(itertools.product((0, 1), repeat=sum(sizes))), dtype=dtype)
    layers = [
        np.ascontiguousarray(part) for part in np.split(states, np.cumsum(sizes)[:-1], axis=1)
    ]
    fixed_q = fixed_p = np.zeros(len(states))
    for number in range(1, len(layers)):
        below, above = layers[number - 1], layers[number]
        means = inference.mean_field(ups[number], below, team)[-1].astype(np.float64)
        fixed_q = fixed_q + _log_bernoulli(above, means)
        fixed_p = fixed_p + likelihood.log_conditional(generators[number], below, above, team)
    first, top = layers[0], log_top(layers[-1], team)
    means = inference.mean_field(ups[0], X, team)[-1].astype(np.float64)
    rows = X.toarray() if sparse.issparse(X) else X
    bound = np.empty(X.shape[0])
    for i in range(X.shape[0]):
        row = np.ascontiguousarray(np.broadcast_to(rows[i], (len(states), rows.shape[1])))
        log_q = fixed_q + _log_bernoulli(first, means[i])
        log_p = fixed_p + top + likelihood.log_conditional(generators[0], row, first, team)
        bound[i] = np.exp(log_q) @ (log_p - log_q)
    return bound


def _log_bernoulli(states, means) -> np.ndarray:
    """Log-probability of binary states under independent means, row by row."""
    means = np.clip(means, 1e-300, 1 - 1e-16)
    return np.where(states > 0, np.log(means), np.log1p(-means)).sum(axis=-1)
