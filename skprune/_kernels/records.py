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
        In ``down_indices`` and ``down_order``, the connections of lower unit ``j`` are
        ``down_indptr[j]:down_indptr[j + 1]``.
    down_indices : ndarray of shape (n_connections,), int32
        The upper unit of each connection, in the order of the lower units.
    down_order : ndarray of shape (n_connections,), int32
        Index of the weight of each connection, in the order of the lower units.
    """

    indptr: np.ndarray
    indices: np.ndarray
    down_indptr: np.ndarray
    down_indices: np.ndarray
    down_order: np.ndarray


class Stretch(NamedTuple):
    """The connections of one unit, which follow each other in a list.

    Attributes
    ----------
    indices : ndarray of shape (n_connections,), int32
        The unit at the other end of each connection of the level.
    first : int64
        Index of the first connection of this unit.
    size : int64
        Number of connections of this unit.
    """

    indices: np.ndarray
    first: int
    size: int


class KernelLevel(NamedTuple):
    """The weights between two adjacent layers, as kernels read them.

    A level is computed either from a matrix, or from its connections. Arrays that are not used have
    size 0. All levels of a stack have the same types, so that kernels can index them at run time.

    Attributes
    ----------
    weights : ndarray of shape (n_upper, n_lower)
        Matrix of the weights, if the level is computed from a matrix.
    mask : ndarray of shape (n_upper, n_lower), uint8
        1 where a connection exists, if the level is computed from a matrix and connections are
        missing.
    values : ndarray of shape (n_connections,)
        Weight of each connection, if the level is computed from its connections.
    edges : Edges
        These connections.
    """

    weights: np.ndarray
    mask: np.ndarray
    values: np.ndarray
    edges: Edges


# Types of units. The type says how the mean of a unit follows from its input, which includes its
# bias. In Boltzmann machines, the visible units may be Gaussian, and all others are binary. Networks
# know all types.
BINARY = np.int64(0)  # 0 or 1, and 1 with the probability logistic(input)
GAUSSIAN = np.int64(1)  # a number of variance 1, whose mean is the input: a linear unit
SOFTMAX = np.int64(2)  # 0 or 1, and exactly one unit of the layer is 1


class Stack(NamedTuple):
    """Layers of units, lowest first, and the levels between them.

    Attributes
    ----------
    levels : tuple of KernelLevel
        Weights between adjacent layers.
    biases : tuple of ndarray of shape (n_units,)
        Biases of each layer. There is one layer more than there are levels, and the first layer is
        the visible one.
    unit_types : tuple of int64
        Type of the units of each layer, ``BINARY``, ``GAUSSIAN`` or ``SOFTMAX``.
    """

    levels: tuple
    biases: tuple
    unit_types: tuple


class Base(NamedTuple):
    """The base-rate model, from which annealing and tempering start.

    It has the layers of the machine, but no connections.

    Attributes
    ----------
    biases : tuple of ndarray of shape (n_units,)
        Biases of each layer. Those of the odd layers are not used.
    precision : ndarray of shape (n_visible,)
        Inverse variance of the visible units, if they are Gaussian. The mean of such a unit is its
        bias divided by its precision.
    """

    biases: tuple
    precision: np.ndarray


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


class SparseRows(NamedTuple):
    """Rows of a CSR matrix.

    Attributes
    ----------
    values : ndarray of shape (n_stored,)
        Stored values.
    indices : ndarray of shape (n_stored,)
        Column of each stored value.
    indptr : ndarray of shape (n_rows + 1,)
        The values of row ``i`` are ``indptr[i]:indptr[i + 1]``.
    """

    values: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


class Member(NamedTuple):
    """The place of a thread in the team that runs a kernel.

    Attributes
    ----------
    barrier : ndarray of int64
        Barrier at which the threads of the team meet.
    thread : int64
        Index of this thread.
    n_threads : int64
        Number of threads.
    """

    barrier: np.ndarray
    thread: int
    n_threads: int


# ------------------------------------------------------- contrastive training


class Minibatches(NamedTuple):
    """Consecutive minibatches of contrastive training.

    Attributes
    ----------
    data : ndarray of shape (n_minibatches, n_visible, n_lanes)
        States of the visible units. It is empty if ``bits`` is not.
    bits : ndarray of shape (n_minibatches, n_groups, n_visible), uint16
        The same as bits, 16 lanes per group, if all data are 0 or 1. Otherwise ``n_groups`` is 0.
    sizes : ndarray of shape (n_minibatches,), int64
        Number of rows of each minibatch.
    rates : ndarray of shape (n_minibatches,)
        Learning rate of each minibatch.
    """

    data: np.ndarray
    bits: np.ndarray
    sizes: np.ndarray
    rates: np.ndarray


class Minibatch(NamedTuple):
    """Numbers of one minibatch of contrastive training.

    Attributes
    ----------
    n_data : int64
        Number of rows of data.
    n_model : int64
        Number of chains.
    rate : float
        Learning rate.
    """

    n_data: int
    n_model: int
    rate: float


class PhaseOptions(NamedTuple):
    """How the two phases of contrastive training are computed.

    Attributes
    ----------
    infer : bool
        Whether the kernel computes the positive phase, which is possible with one hidden layer.
        Otherwise the caller has computed it.
    n_gibbs_steps : int64
        Number of Gibbs steps per minibatch. With 0, the caller has moved the chains.
    persistent : bool
        Whether chains continue from one minibatch to the next. Otherwise they start from the data.
    n_chains : int64
        Number of persistent chains.
    """

    infer: bool
    n_gibbs_steps: int
    persistent: bool
    n_chains: int


class TrainingOptions(NamedTuple):
    """Numbers of the contrastive gradient step, in the machine's floating type.

    Attributes
    ----------
    momentum : float
        Share of the last step that is added to the next one.
    l1, l2 : float
        Penalties on the weights.
    max_norm : float
        Maximum norm of the weights of an upper unit. If 0, there is no bound.
    activity_target, activity_strength : float
        Mean that hidden units are drawn to, and how strongly.
    dropout : float
        Share of the units of odd layers that is off in a minibatch.
    mean_rate : float
        Rate of the running means.
    """

    momentum: float
    l1: float
    l2: float
    max_norm: float
    activity_target: float
    activity_strength: float
    dropout: float
    mean_rate: float


class TrainingState(NamedTuple):
    """Arrays of contrastive training.

    Attributes
    ----------
    positive : tuple of ndarray of shape (n_units, n_lanes)
        Positive phase of each layer. The visible layer is not used.
    chains : tuple of ndarray of shape (n_units, n_lanes)
        States of the chains of each layer, between two calls of the kernel.
    chain_means : tuple of ndarray of shape (n_units, n_lanes)
        Probabilities of each odd layer at the end of the Gibbs steps.
    delta : tuple of ndarray of shape (n_units,)
        Mean of the data minus mean of the model in a minibatch, of each layer.
    activity : tuple of ndarray of shape (n_units,)
        Running means of the positive phase of each layer.
    offsets : tuple of ndarray of shape (n_units,)
        What the centred gradient subtracts from the states of each layer: the activity when the
        minibatches were last loaded, or zeros.
    offset_states : tuple of ndarray of shape (n_units, n_lanes)
        The offsets as states, in the first lane.
    shifts : tuple of ndarray of shape (n_units, n_lanes)
        Scratch memory for the inputs that the offsets give.
    velocity : tuple of ndarray of shape (n_parameters,)
        Momentum of each level. It is empty without momentum.
    bias_velocity : tuple of ndarray of shape (n_units,)
        Momentum of the biases of each layer. It is empty without momentum.
    gap : ndarray of shape (n_visible,)
        Sum of ``|delta|`` of the visible units over a pass.
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
    """What the threads of contrastive training compute with.

    Attributes
    ----------
    gradient : ndarray of shape (n_threads, n_connections)
        Gradient of the largest block of connections, for each thread.
    local : tuple of ndarray of shape (n_threads, n_units, n_lanes)
        States of the chains of each layer, for each thread.
    visible : ndarray of shape (n_threads, n_visible, n_lanes)
        States of the data of a minibatch, for each thread.
    packed : tuple of ndarray of shape (n_threads, n_units, n_words), uint32
        ``local`` as packed states where table look-up reads them, else empty.
    packed_visible : ndarray of shape (n_threads, n_visible, n_words), uint32
        ``visible`` as packed states where table look-up reads them, else empty.
    bits : tuple of ndarray of shape (n_groups, n_units), uint16
        States of the chains of each layer as bits, through which the threads share draws.
    unpacked : tuple of ndarray of shape (0, 0), uint32
        Empty packed states of each layer, for states that are not 0 or 1.
    blas : int64
        Address of the matrix product of BLAS for this floating type.
    """

    gradient: np.ndarray
    local: tuple
    visible: np.ndarray
    packed: tuple
    packed_visible: np.ndarray
    bits: tuple
    unpacked: tuple
    blas: int


class Training(NamedTuple):
    """All that contrastive training of one machine reads and changes.

    Attributes
    ----------
    stack : Stack
        Weights and biases.
    state : TrainingState
        Phases, running means and momentum.
    options : TrainingOptions
        Numbers of the gradient step.
    workspace : Workspace
        Memory of the threads.
    """

    stack: Stack
    state: TrainingState
    options: TrainingOptions
    workspace: Workspace


class Phase(NamedTuple):
    """States of both layers of a level, given data or from the model.

    Attributes
    ----------
    lower : ndarray of shape (n_lower, n_lanes)
        States of the lower units.
    packed : ndarray of shape (n_lower, n_words), uint32
        The same as packed states. They are empty if they are not read.
    upper : ndarray of shape (n_upper, n_lanes)
        Probabilities or states of the upper units.
    """

    lower: np.ndarray
    packed: np.ndarray
    upper: np.ndarray


class Centring(NamedTuple):
    """What the centred gradient of a level reads besides the states.

    Attributes
    ----------
    lower_delta, upper_delta : ndarray of shape (n_units,)
        Difference between the means of data and model.
    lower_offset, upper_offset : ndarray of shape (n_units,)
        Offsets of the units.
    """

    lower_delta: np.ndarray
    lower_offset: np.ndarray
    upper_delta: np.ndarray
    upper_offset: np.ndarray


# ------------------------------------------------------ the up-down algorithm


class LabelledMinibatches(NamedTuple):
    """Consecutive minibatches of the up-down algorithm.

    Attributes
    ----------
    data : ndarray of shape (n_minibatches, n_visible, n_lanes)
        States of the visible units.
    labels : ndarray of shape (n_minibatches, n_labels, n_lanes)
        One-hot labels. They are empty if there are none.
    sizes : ndarray of shape (n_minibatches,), int64
        Number of rows of each minibatch.
    rates : ndarray of shape (n_minibatches,)
        Learning rate of each minibatch.
    """

    data: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    rates: np.ndarray


class TopOptions(NamedTuple):
    """How the up-down algorithm trains the top level.

    Attributes
    ----------
    undirected : bool
        Whether there is an undirected level. Otherwise the last layer has independent units.
    n_labels : int64
        Number of labels. They are the last lower units of the undirected level.
    n_gibbs_steps : int64
        Number of Gibbs steps per minibatch.
    chains_from : int64
        Number of the first minibatch whose chains do not start at the data but continue.
    n_draws : int64
        Number of draws of a label that share their weights.
    """

    undirected: bool
    n_labels: int
    n_gibbs_steps: int
    chains_from: int
    n_draws: int


class UpDownWorkspace(NamedTuple):
    """What the threads of the up-down algorithm compute with.

    Attributes
    ----------
    wake, dream : tuple of ndarray of shape (n_units, n_lanes)
        States of each layer of the directed levels, drawn upwards and drawn downwards. The last
        layer is followed by the labels.
    errors : tuple of ndarray of shape (n_units, n_lanes)
        Means of each layer while it is drawn, and its state minus its mean while it learns.
    top_wake, top_dream : tuple of ndarray of shape (n_units, n_lanes)
        Means and states of the upper units of the undirected level, given data and in its chains.
    gradient : ndarray of shape (n_threads, n_connections)
        Scratch memory of each thread, for the connections of one unit or the states of the labels.
    blas : int64
        Address of the matrix product of BLAS for this floating type.
    """

    wake: tuple
    dream: tuple
    errors: tuple
    top_wake: tuple
    top_dream: tuple
    gradient: np.ndarray
    blas: int


class UpDownTraining(NamedTuple):
    """All that the up-down algorithm reads and changes.

    Attributes
    ----------
    recognition, generative : Stack
        Directed levels, in the upward and in the downward direction. Without an undirected level,
        the last layer of ``generative`` has independent units.
    top : Stack
        Undirected level above them. Its lower units are the last directed layer and the labels.
    options : TopOptions
        How the top level learns.
    workspace : UpDownWorkspace
        Memory of the threads.
    """

    recognition: Stack
    generative: Stack
    top: Stack
    options: TopOptions
    workspace: UpDownWorkspace


class Side(NamedTuple):
    """A layer that is computed from one of its neighbours only.

    Attributes
    ----------
    level : KernelLevel
        Weights between the layer and its neighbour.
    downward : bool
        Whether the layer is below the level, and its neighbour above.
    biases : ndarray of shape (n_units,)
        Biases of the layer.
    """

    level: KernelLevel
    downward: bool
    biases: np.ndarray


# ------------------------------------------------------------ backpropagation


class WeightedMinibatches(NamedTuple):
    """Consecutive minibatches of backpropagation.

    Attributes
    ----------
    data : ndarray of shape (n_minibatches, n_inputs, n_lanes)
        States of the input units.
    targets : ndarray of shape (n_minibatches, n_outputs, n_lanes)
        Targets of the output units. If they are empty, the targets are the data.
    weights : ndarray of shape (n_minibatches, n_lanes)
        Weight of each row in the loss.
    sizes : ndarray of shape (n_minibatches,), int64
        Number of rows of each minibatch.
    rates : ndarray of shape (n_minibatches,)
        Step size of each minibatch.
    """

    data: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    sizes: np.ndarray
    rates: np.ndarray


class DescentOptions(NamedTuple):
    """Numbers of the backpropagation step, in the network's floating type.

    Attributes
    ----------
    momentum : float
        Share of the running mean of the gradient that is kept.
    second_momentum : float
        Share of the running mean of the squared gradient that Adam keeps.
    epsilon : float
        What Adam adds to the root of that mean.
    l2 : float
        Penalty on the weights.
    max_norm : float
        Maximum norm of the weights of an upper unit. If 0, there is no bound.
    dropout, input_dropout : float
        Share of the hidden units and of the input units that is off in a minibatch.
    input_gain : float
        Factor of the data.
    """

    momentum: float
    second_momentum: float
    epsilon: float
    l2: float
    max_norm: float
    dropout: float
    input_dropout: float
    input_gain: float


class Moments(NamedTuple):
    """Running means of the gradient. Those of the levels come first, then those of the biases.

    Attributes
    ----------
    first : tuple of ndarray of shape (n_parameters,)
        Running means of the gradient.
    second : tuple of ndarray of shape (n_parameters,)
        Running means of its square. They are empty without Adam.
    """

    first: tuple
    second: tuple


class DescentWorkspace(NamedTuple):
    """What the threads of backpropagation compute with.

    Attributes
    ----------
    states : tuple of ndarray of shape (n_units, n_lanes)
        States of each layer.
    deltas : tuple of ndarray of shape (n_units, n_lanes)
        Error at the input of each layer.
    losses : ndarray of shape (n_outputs,), float64
        Sum of the weighted losses of each output unit.
    gradient : ndarray of shape (n_threads, n_parameters)
        Gradient of the largest block of units, for each thread.
    blas : int64
        Address of the matrix product of BLAS for this floating type.
    """

    states: tuple
    deltas: tuple
    losses: np.ndarray
    gradient: np.ndarray
    blas: int


class DescentTraining(NamedTuple):
    """All that backpropagation reads and changes.

    Attributes
    ----------
    stack : Stack
        Weights and biases.
    moments : Moments
        Running means of the gradient.
    options : DescentOptions
        Numbers of the gradient step.
    workspace : DescentWorkspace
        Memory of the threads.
    """

    stack: Stack
    moments: Moments
    options: DescentOptions
    workspace: DescentWorkspace
