"""Chains of a top level whose last visible units are a one-hot group of labels."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._kernels import chains as chain_kernels
from .._kernels import fields as field_kernels
from .._kernels.records import Chains, OneHot, Stack, Stream
from .._support.threads import blocks
from . import inference


def labelled_sweeps(stack: Stack, chains: Chains, n_labels, n_sweeps, stream: Stream, team) -> None:
    """Run Gibbs sweeps of an RBM whose last ``n_labels`` visible units are labels.

    The hidden layer is drawn before each sweep except the first. The run therefore starts with
    given hidden states and ends with the visible layer.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the RBM.
    chains : Chains
        Unit-major states of both layers, which are changed in place.
    n_labels : int
        Number of labels.
    n_sweeps : int
        Number of sweeps.
    stream : Stream
        Key of the random numbers, and index of the first sweep.
    team : Team
        Threads of the call. Sweeps end early if they are stopping.
    """
    visible = stack.biases[0]
    group = OneHot(visible.size - n_labels, 1, np.empty_like(visible))
    for sweep in range(n_sweeps):
        if team.is_stopping:
            return
        here = Stream(stream.key, stream.step + sweep)
        if sweep:
            field_kernels.update_layer(stack, 1, chains, True, here)
        field_kernels.update_layer(stack, 0, chains, True, here)
        chain_kernels.draw_one_of(stack, chains, group, here)


def labelled_chains(top: Stack, start, n_labels, n_sweeps, key, team) -> tuple:
    """Run Gibbs chains of an RBM whose last lower units are labels.

    Parameters
    ----------
    top : Stack
        Weights and biases of the RBM.
    start : ndarray of shape (n_chains, n_lower)
        Lower states that the chains start from.
    n_labels : int
        Number of labels.
    n_sweeps : int
        Number of sweeps.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the chains.

    Returns
    -------
    lower : ndarray of shape (n_chains, n_lower)
        Lower states after the last sweep.
    upper : ndarray of shape (n_chains, n_upper)
        Upper states from which the lower states were drawn.
    """
    lower, upper = (np.empty((len(start), bias.size), bias.dtype) for bias in top.biases)

    def one_block(block):
        n_lanes = block.stop - block.start
        states = inference.new_states(top, n_lanes)
        chains = Chains(states, inference.unpacked(top), n_lanes, block.start)
        inference.load(start, np.arange(block.start, block.stop), states[0])
        field_kernels.update_layer(top, 1, chains, True, Stream(key, 0))
        labelled_sweeps(top, chains, n_labels, n_sweeps, Stream(key, 1), team)
        lower[block] = states[0][:, :n_lanes].T
        upper[block] = states[1][:, :n_lanes].T

    team.map(one_block, blocks(len(start)), work=0)  # no kernel takes long
    return lower, upper


def joined(features, labels) -> np.ndarray:
    """Return features and labels side by side, as a dense array of the features' type."""
    if sparse.issparse(features):
        features = features.toarray()
    return np.hstack([features, labels.astype(features.dtype)])


def with_labels(mask, n_labels) -> np.ndarray:
    """Return a mask with ``n_labels`` additional columns.

    Labels are connected to the upper units that have other connections.
    """
    return np.hstack([mask, np.tile(mask.any(axis=1)[:, None], (1, n_labels))])
