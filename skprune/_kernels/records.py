"""The named records that Python hands to kernels.

They are defined beside the kernels because compiled code depends on the order of their fields.
States are unit-major: one row per unit, one column (a *lane*) per sample or chain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Edges(NamedTuple):
    """The connections of a pruned level, readable from both sides.

    Attributes
    ----------
    indptr : ndarray of shape (n_upper + 1,), int64
        The connections of upper unit ``i`` are ``indptr[i]:indptr[i + 1]``.
    indices : ndarray of shape (n_connections,), int32
        The lower unit of each connection.
    down_indptr : ndarray of shape (n_lower + 1,), int64
        The same for the connections of a lower unit.
    down_indices : ndarray of shape (n_connections,), int32
        The upper unit of each connection, in the order of the lower units.
    down_order : ndarray of shape (n_connections,), int32
        The place of that connection's weight.
    """

    indptr: np.ndarray
    indices: np.ndarray
    down_indptr: np.ndarray
    down_indices: np.ndarray
    down_order: np.ndarray


class KernelLevel(NamedTuple):
    """The weights between two adjacent layers, as kernels read them.

    Either ``weights`` (n_upper, n_lower) is filled, with ``mask`` (uint8, same
    shape) where connections are missing; or ``values`` (n_connections,) and
    ``edges`` are. What is not used has size 0. All levels of a stack have the
    same types, so that kernels can index them at run time.
    """

    weights: np.ndarray
    mask: np.ndarray
    values: np.ndarray
    edges: Edges


class Stack(NamedTuple):
    """Layers of units, bottom first, and the levels between them.

    Attributes
    ----------
    levels : tuple of KernelLevel
    biases : tuple of ndarray
        One more than levels; ``biases[0]`` belongs to the visible units.
    """

    levels: tuple
    biases: tuple


class Stream(NamedTuple):
    """A place in a stream of random numbers.

    A random number is a function of the stream, a layer, a unit and a lane.

    Attributes
    ----------
    key : uint64
        Key of all random numbers of a machine or of one call.
    step : int64
        Number of the draw, such as a Gibbs sweep or a part of a minibatch.
    """

    key: np.uint64
    step: int


class Chains(NamedTuple):
    """States of a block of chains, or of a block of rows of data.

    Attributes
    ----------
    states : tuple of ndarray of shape (n_units, n_padded_lanes)
        States of each layer. The number of lanes is rounded up to whole vectors.
    packed : tuple of ndarray of shape (n_units, n_words), uint32
        The same as packed states, where kernels read them by table look-up. They are empty
        elsewhere.
    n_lanes : int64
        Number of chains.
    lane_0 : int64
        Index of the first chain among those of all blocks. Random numbers depend on it.
    """

    states: tuple
    packed: tuple
    n_lanes: int
    lane_0: int


class OneHot(NamedTuple):
    """A one-hot group of units, which are the last ones of their layer.

    Attributes
    ----------
    first : int64
        The first unit of the group.
    n_draws : int64
        Number of draws. With more than one, the states are the mean of the draws, and each is
        drawn from the softmax of the input divided by ``n_draws``.
    weights : ndarray of shape (n_units_of_the_group or more,)
        Scratch memory.
    """

    first: int
    n_draws: int
    weights: np.ndarray


class Neighbour(NamedTuple):
    """An adjacent layer, as sums over connections read it.

    Attributes
    ----------
    states : ndarray of shape (n_units, n_lanes)
        States of its units.
    packed : ndarray of shape (n_units, n_words), uint32
        The same as packed states. If they are not empty, levels with edges read them instead of
        the states.
    offsets : ndarray of shape (n_units,)
        Offsets of the centred gradient. Packed states have no spare lane for them.
    lane : int64
        Lane to which the contribution of the offsets is added when packed states are read. If it
        is negative, nothing is added.
    """

    states: np.ndarray
    packed: np.ndarray
    offsets: np.ndarray
    lane: int


class TrainingOptions(NamedTuple):
    """Numbers of the contrastive gradient step, in the machine's floating type."""

    momentum: float
    l1: float
    l2: float
    max_norm: float
    activity_target: float
    activity_strength: float
    dropout: float
    mean_rate: float


class TrainingState(NamedTuple):
    """Arrays of contrastive training, each a tuple over layers or levels.

    ``activity`` holds running means of the positive phase. ``offsets`` is what
    the gradient subtracts (the activity when the minibatches were last loaded,
    or zeros), ``offset_states`` the same as states, and ``shifts`` scratch
    memory for the fields they make. ``delta`` is the data minus the model means
    of a minibatch; ``gap`` adds up ``|delta|`` of the visible units over a pass.
    """

    positive: tuple
    chains: tuple
    chain_means: tuple
    delta: tuple
    activity: tuple
    offsets: tuple
    offset_states: tuple
    shifts: tuple
    velocity: tuple
    bias_velocity: tuple
    gap: np.ndarray


class Workspace(NamedTuple):
    """Scratch memory of each thread, and the bits through which threads share draws.

    ``gradient`` has one row per thread. ``local`` (a tuple over the layers)
    and ``visible`` are states of each thread; ``packed`` and
    ``packed_visible`` are the same as packed states where table look-up reads
    them, else empty. ``bits`` are shared. ``unpacked`` stands for states that
    are not 0/1.
    """

    gradient: np.ndarray
    local: tuple
    visible: np.ndarray
    packed: tuple
    packed_visible: np.ndarray
    bits: tuple
    unpacked: tuple


class DescentOptions(NamedTuple):
    """Numbers of the backpropagation step, in the network's floating type."""

    momentum: float
    second_momentum: float
    epsilon: float
    l2: float
    max_norm: float
    dropout: float
    input_dropout: float
    input_gain: float


class Moments(NamedTuple):
    """Running means of the gradient, and with Adam of its square: levels first, then biases."""

    first: tuple
    second: tuple
