"""Directed levels of deep belief networks: downward passes and the exact variational bound."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import sparse

from .. import likelihood
from .._support.threads import blocks
from . import inference


def means_below(stack, H, team) -> np.ndarray:
    """Return the probabilities of the lower units of a level given the upper units."""
    H = np.ascontiguousarray(H, dtype=stack.biases[0].dtype)

    def one_block(block):
        return inference.conditional_means(stack, 0, None, H[block])

    return np.concatenate(team.map(one_block, blocks(H.shape[0])))


def summed_bound(X, ups, generators, log_top, team) -> np.ndarray:
    """Return the exact variational bound on the unnormalized log p(v), in nats, for each row of X.

    .. math:: \\sum_h q(h | v) [\\log \\tilde p(v, h) - \\log q(h | v)]

    The sum runs over all joint states of the directed hidden layers. The number of states is
    exponential in the number of units, so this is for small machines.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    ups : list of Stack
        Recognition levels, lowest level first. They define q.
    generators : list of Stack
        Generative levels, lowest level first.
    log_top : callable
        ``log_top(states, team)`` returns the unnormalized log-probability of states of the last
        directed layer under the top level.
    team : Team
        Threads that share the rows.

    Returns
    -------
    bound : ndarray of float64 of shape (n_samples,)
        Bounds in nats. Subtract log Z of the top level to get bounds on log p(v).
    """
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
    """Return the log-probability of each row of binary states under independent means."""
    means = np.clip(means, 1e-300, 1 - 1e-16)
    return np.where(states > 0, np.log(means), np.log1p(-means)).sum(axis=-1)
