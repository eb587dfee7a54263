"""Chains of a top level whose last visible units are labels, a one-hot group."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._kernels import chains as chain_kernels
from .._kernels import fields as field_kernels
from .._kernels.records import Stack
from .._support.threads import blocks
from . import inference


def labelled_sweeps(
    stack: Stack, states, packed, first, n_sweeps, n_lanes, lane_0, key, first_step
) -> None:
    """Run Gibbs sweeps of an RBM whose visible units from ``first`` on are labels.

    The hidden layer is drawn before each sweep but the first, so that sweeps start and end with
    the visible layer.
    """
    weights = np.empty_like(stack.biases[0])
    for sweep in range(n_sweeps):
        step = first_step + sweep
        if sweep:
            field_kernels.update_layer(stack, 1, states, packed, True, n_lanes, lane_0, key, step)
        field_kernels.update_layer(stack, 0, states, packed, True, n_lanes, lane_0, key, step)
        chain_kernels.draw_one_of(stack, states, packed, first, n_lanes, lane_0, key, step, weights)


def labelled_chains(top: Stack, start, n_labels, n_sweeps, key, team) -> tuple:
    """Run chains whose last ``n_labels`` lower units are labels; return lower and upper states."""
    first = top.biases[0].size - n_labels
    lower, upper = (np.empty((len(start), bias.size), bias.dtype) for bias in top.biases)

    def one_block(block):
        n_lanes = block.stop - block.start
        states = inference.new_states(top, n_lanes)
        packed = inference.unpacked(top)
        inference.load(start, np.arange(block.start, block.stop), states[0])
        field_kernels.update_layer(top, 1, states, packed, True, n_lanes, block.start, key, 0)
        labelled_sweeps(top, states, packed, first, n_sweeps, n_lanes, block.start, key, 1)
        lower[block] = states[0][:, :n_lanes].T
        upper[block] = states[1][:, :n_lanes].T

    team.map(one_block, blocks(len(start)))
    return lower, upper


def joined(features, labels) -> np.ndarray:
    """Return the features and labels side by side, as a dense array."""
    if sparse.issparse(features):
        features = features.toarray()
    return np.hstack([features, labels.astype(features.dtype)])


def with_labels(mask, n_labels) -> np.ndarray:
    """Return a mask with columns for labels, which are connected to upper units that have others."""
    return np.hstack([mask, np.tile(mask.any(axis=1)[:, None], (1, n_labels))])
