"""Chains of a top level whose last visible units are labels, a one-hot group."""

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

    The hidden layer is drawn before each sweep but the first, so that sweeps start and end with
    the visible layer. ``block`` is the slice of the chains that the lanes hold. Sweeps end early if
    the team is stopping.
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
    """Run chains whose last ``n_labels`` lower units are labels; return lower and upper states."""
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
    """Return the features and labels side by side, as a dense array."""
    if sparse.issparse(features):
        features = features.toarray()
    return np.hstack([features, labels.astype(features.dtype)])


def with_labels(mask, n_labels) -> np.ndarray:
    """Return a mask with columns for labels, which are connected to upper units that have others."""
    return np.hstack([mask, np.tile(mask.any(axis=1)[:, None], (1, n_labels))])
