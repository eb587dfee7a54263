"""Training of Boltzmann machines by contrastive divergence and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .._kernels import blas, contrastive_steps
from .._kernels import fields as field_kernels
from .._kernels.records import (
    Minibatches,
    PhaseOptions,
    Stack,
    Stream,
    Training,
    TrainingOptions,
    TrainingState,
    Workspace,
)
from .._machine import inference
from .._machine.levels import parameters, reads_edges
from .._support.threads import Team
from ..samplers import gibbs_steps_at
from .passes import BUFFER, load_minibatches, minibatch_rates, minibatch_sizes
from .variances import Variances

MEAN_RATE = 0.01  # rate of the running means for the centred gradient (Melchior et al. 2016)


MOST_AT_ONCE = round(1 / MEAN_RATE)  # minibatches, so that offsets follow the running means


SPARE_LANES = 2  # additional lanes of data and chains, for the centred gradient


def new_state(stack, batch_size, n_chains, chains, activity, velocity) -> TrainingState:
    """Return the arrays of the training loop.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    batch_size : int
        Number of rows per minibatch.
    n_chains : int
        Number of chains.
    chains : list of {ndarray of shape (n_chains, n_units), None}
        Initial states of the chains of each layer. None stands for zeros.
    activity : list of ndarray of shape (n_units,)
        Initial running means of each layer.
    velocity : list of ndarray
        Initial momentum of each level, then of each bias, as from :func:`new_velocity`.

    Returns
    -------
    state : TrainingState
        Arrays, which training changes in place.
    """
    dtype = stack.biases[0].dtype
    sizes = [bias.size for bias in stack.biases]
    moving = [parameters(level).size for level in stack.levels] + sizes
    found = [array.size for array in velocity]
    if [np.shape(mean) for mean in activity] != [(size,) for size in sizes] or (
        found != moving and any(found)
    ):
        raise ValueError(
            f"The running means or the momentum do not fit layers of {sizes} units. Fit the "
            "machine again."
        )

    def vectors():
        return tuple(np.zeros(bias.size, dtype) for bias in stack.biases)

    chain_states = inference.new_states(stack, n_chains + SPARE_LANES)
    for source, target in zip(chains, chain_states, strict=True):
        if source is not None:
            target[:, :n_chains] = source.T
    return TrainingState(
        positive=inference.new_states(stack, batch_size + SPARE_LANES),
        chains=chain_states,
        chain_means=inference.new_states(stack, n_chains + SPARE_LANES),
        delta=vectors(),
        activity=tuple(np.array(mean, dtype=dtype) for mean in activity),
        offsets=vectors(),
        offset_states=inference.new_states(stack, 1),
        shifts=inference.new_states(stack, 1),
        velocity=tuple(velocity[: len(stack.levels)]),
        bias_velocity=tuple(velocity[len(stack.levels) :]),
        gap=np.zeros(stack.biases[0].size, dtype),
    )


def set_offsets(state: TrainingState) -> None:
    """Set the offsets of the centred gradient to the current running means."""
    for mean, offset, states in zip(
        state.activity, state.offsets, state.offset_states, strict=True
    ):
        offset[:] = mean
        states[:, 0] = mean


def new_velocity(stack: Stack, momentum: float) -> list:
    """Return momentum of 0 for each level, then for each bias.

    The arrays are empty if ``momentum`` is 0.
    """
    dtype = stack.biases[0].dtype
    sizes = [parameters(level).size for level in stack.levels]
    sizes += [bias.size for bias in stack.biases]
    return [np.zeros(size if momentum else 0, dtype) for size in sizes]


@dataclass
class ContrastiveTrainer:
    """Trains a machine by the difference between statistics of the data and of the model, in place.

    Attributes
    ----------
    stack : Stack
        Weights and biases of the machine.
    state : TrainingState
        Arrays of the training loop.
    options : TrainingOptions
        Options of the gradient steps.
    persistent : bool
        Whether chains continue from one minibatch to the next. If False, they start from the data
        of each minibatch.
    sampler : object or None
        Object that moves the chains, see :mod:`skprune.samplers`. If None, the training kernel
        moves them.
    n_gibbs_steps : int or (int, int)
        Number of Gibbs steps per minibatch, or its values in the first and in the last pass.
    drop_connect : float
        Share of the connections that each minibatch leaves out.
    learning_rate : float
        Learning rate, before the factor of the schedule.
    schedule : str or callable
        Learning rate schedule.
    batch_size : int
        Maximum number of rows per minibatch.
    n_chains : int
        Number of chains.
    centered : bool
        Whether to use the centred gradient.
    shuffle : bool
        Whether to shuffle the rows in each pass.
    binary : bool
        Whether all data are 0 or 1, so that they can be loaded as bits.
    variances : Variances or None
        Variances of Gaussian visible units. None for binary units.
    mean_field : (float, int) or None
        Tolerance and maximum number of updates of the mean field of a deep machine. None for an
        RBM.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    n_passes : int
        Number of passes over the data.
    key : numpy.uint64
        Key of the random numbers.
    n_steps : int
        Number of minibatches so far, including those of earlier fits.
    team : Team
        Threads that run the kernels.
    """

    stack: Stack
    state: TrainingState
    options: TrainingOptions
    persistent: bool
    sampler: Any
    n_gibbs_steps: object
    drop_connect: float
    learning_rate: float
    schedule: object
    batch_size: int
    n_chains: int
    centered: bool
    shuffle: bool
    binary: bool
    variances: Variances | None
    mean_field: tuple | None
    X: Any
    n_passes: int
    key: np.uint64
    n_steps: int
    team: Team

    @property
    def stacks(self) -> tuple:
        """The stacks that are trained."""
        return (self.stack,)

    def run_pass(self, number) -> dict:
        """Train for one pass over the data, and return its row of the history.

        Minibatch sizes differ by at most one row.
        """
        n_samples = self.X.shape[0]
        n_minibatches = -(-n_samples // self.batch_size)
        sizes = minibatch_sizes(n_samples, n_minibatches)
        order = np.arange(n_samples)
        if self.shuffle:
            order = np.random.default_rng([int(self.key), self.n_steps]).permutation(n_samples)
        rates = minibatch_rates(
            self.learning_rate, self.schedule, number, self.n_passes, n_minibatches
        )
        n_gibbs_steps = gibbs_steps_at(self.n_gibbs_steps, number, self.n_passes)
        self.state.gap[:] = 0
        buffer, bits = self._buffers(n_minibatches)
        at_once = bits.shape[0]
        workspace = new_workspace(self.stack, self.state, self._n_packed(), self.team.n_threads)
        done = 0
        for first in range(0, n_minibatches, at_once):
            part = slice(first, min(first + at_once, n_minibatches))
            rows = order[done : done + int(sizes[part].sum())]
            done += rows.size
            load_minibatches(self.X, rows, sizes[part], buffer, bits, self.team)
            if self.variances:
                self.variances.scale(buffer)
            if self.mean_field:
                self._infer(self.X[rows])
            minibatches = Minibatches(buffer, bits, sizes[part], rates[part].astype(buffer.dtype))
            self._step(minibatches, n_gibbs_steps, self.n_steps + first, workspace)
            if self.variances is not None and self.variances.learned:
                rate, hidden = float(minibatches.rates[0]), self.state.positive[1]
                self.variances.step(self.stack, buffer[0], hidden, rows.size, rate)
        self.n_steps += n_minibatches
        return {
            "learning_rate": float(rates[-1]),
            "n_gibbs_steps": n_gibbs_steps,
            "moment_gap": float(self.state.gap.mean() / n_minibatches),
        }

    def _buffers(self, n_minibatches) -> tuple:
        """Return two arrays for a group of minibatches, of states and of bits. One is empty."""
        dtype, n_visible = self.stack.biases[0].dtype, self.stack.biases[0].size
        stride = inference.lanes(self.batch_size + SPARE_LANES, dtype)
        n_words = -(-stride // 16) if self.binary else 0
        n_bytes = n_visible * (2 * n_words or stride * dtype.itemsize)
        learns = self.variances is not None and self.variances.learned
        single = self.sampler or self.drop_connect or self.mean_field or learns
        at_once = 1 if single else max(1, min(n_minibatches, BUFFER // n_bytes, MOST_AT_ONCE))
        n_states = 0 if self.binary else at_once
        buffer = inference.states_array(n_states * n_visible, stride, dtype)
        bits = np.zeros((at_once, n_words, n_visible), np.uint16)
        return buffer.reshape(n_states, n_visible, stride), bits

    def _n_packed(self) -> tuple:
        """Return the number of chains and the number of rows whose states are packed."""
        return self.n_chains, self.batch_size if self.binary else 0

    def _step(self, minibatches, n_gibbs_steps, step, workspace):
        """Run the gradient steps of a group of minibatches."""
        stack, state, options = self.stack, self.state, self.options
        if self.centered:
            set_offsets(state)
        dropped = None
        if self.drop_connect:
            dropped = drop_connections(stack, state, self.drop_connect, self.key, step)
            number = type(options.l1)
            zero, kept = number(0), number(1 - self.drop_connect)
            options = options._replace(l1=zero, l2=options.l2 * kept**2, max_norm=zero)
        if self.sampler is not None:
            self.sampler.advance(stack, state.chains, n_gibbs_steps, self.key, step, self.team)
            n_gibbs_steps = 0
        training = Training(stack, state, options, workspace)
        phases = PhaseOptions(not self.mean_field, n_gibbs_steps, self.persistent, self.n_chains)
        stream = Stream(self.key, step)
        work = (
            float(minibatches.sizes.sum()) * inference.n_parameters(stack) * (3 + 2 * n_gibbs_steps)
        )
        self.team.run(
            contrastive_steps.train_minibatches, training, minibatches, phases, stream, work=work
        )
        if dropped is not None:
            restore_connections(
                stack, state, dropped, self.drop_connect, float(minibatches.rates[0]), self.options
            )

    def _infer(self, X):
        """Set the positive phase of a deep machine to the mean field given the rows.

        The rows are computed in two blocks.
        """
        if self.variances:
            X = np.array(X.T, self.stack.biases[0].dtype)
            self.variances.scale(X)
            X = np.ascontiguousarray(X.T)
        half = -(-X.shape[0] // 2)
        means = inference.mean_field(self.stack, X, self.team, *self.mean_field, block=half)
        for states, mean in zip(self.state.positive[1:], means, strict=True):
            states[:, : X.shape[0]] = mean.T
            states[:, X.shape[0] :] = 0


def drop_connections(stack, state, share, key, step) -> list:
    """Set a random share of the weights to 0, in place (DropConnect, Wan et al. 2013).

    The other weights are divided by ``1 - share``, so that the mean inputs of units are those of
    the whole machine. The momentum is multiplied by it, so that :func:`restore_connections` can
    divide the whole step.

    Returns
    -------
    dropped : list of tuple
        One tuple (connections that remain, weights before, momentum before) per level.
    """
    rng = np.random.default_rng([int(key), step, 1])
    result = []
    for level, velocity in zip(stack.levels, state.velocity, strict=True):
        weights = parameters(level)
        stays = rng.random(weights.shape, dtype=np.float32) >= share
        result.append((stays, weights.copy(), velocity.copy()))
        weights[...] = _remaining(weights, stays, share)
        velocity *= velocity.dtype.type(1 - share)
    return result


def _remaining(weights, stays, share) -> np.ndarray:
    """Return the weights of the machine that is trained in place of the whole one."""
    return weights * stays / weights.dtype.type(1 - share)


def restore_connections(stack, state, dropped, share, rate, options) -> None:
    """Turn the step of the machine with dropped connections into one of the whole machine.

    A weight w that stays is trained as w / (1 - share), so by the chain rule its gradient is that
    of the trained weight, divided by 1 - share. The gradient of a dropped weight is 0. Penalties
    and momentum act on the weights of the whole machine.

    The kernel has converted the biases of the centred machine with the weights that it trained.
    The biases are corrected for the difference to the weights that this function sets.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    state : TrainingState
        Arrays of the training loop.
    dropped : list of tuple
        Result of :func:`drop_connections`.
    share : float
        Share of the connections that were dropped.
    rate : float
        Learning rate of the step.
    options : TrainingOptions
        Options of the step of the whole machine.
    """
    for number, (level, velocity) in enumerate(zip(stack.levels, state.velocity, strict=True)):
        stays, before, velocity_before = dropped[number]
        lower, upper = stack.biases[number : number + 2]
        trained = parameters(level)
        kept, step = trained.dtype.type(1 - share), trained.dtype.type(rate)
        change = (trained - _remaining(before, stays, share)) / kept
        still = -options.l2 * before  # the change per rate of dropped connections
        if velocity.size:
            still = still + options.momentum * velocity_before.reshape(before.shape)
            velocity[:] = np.where(stays, velocity.reshape(before.shape) / kept, still).ravel()
        new = before + np.where(stays, change, step * still)
        indptr, indices = level.edges.indptr, level.edges.indices.astype(np.int64)

        def matrix(values, shape=(upper.size, lower.size), indptr=indptr, indices=indices):
            if values.ndim == 2:
                return values
            return sparse.csr_array((values, indices, indptr), shape=shape)

        undone = matrix(trained - _remaining(new, stays, share))
        upper += undone @ state.offsets[number]
        lower += undone.T @ state.offsets[number + 1]
        new -= np.clip(new, -step * options.l1, step * options.l1)
        if options.max_norm > 0:
            norms = np.sqrt(matrix(new**2).sum(axis=1))
            scale = np.minimum(1, options.max_norm / np.maximum(norms, options.max_norm))
            scale = scale.astype(new.dtype)
            new *= scale[:, None] if new.ndim == 2 else np.repeat(scale, np.diff(indptr))
        trained[...] = new


def new_workspace(stack, state, n_packed, n_threads) -> Workspace:
    """Return scratch memory for each thread.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    state : TrainingState
        Arrays of the training loop.
    n_packed : (int, int)
        Number of chains and number of rows whose states are packed.
    n_threads : int
        Number of threads.

    Returns
    -------
    workspace : Workspace
        Arrays whose first axis is the thread.
    """
    n_chains, n_rows = n_packed
    dtype = stack.biases[0].dtype
    gradient = 0
    for layer, level in enumerate(stack.levels, start=1):
        if reads_edges(level):
            starts = level.edges.indptr[:: field_kernels.block_rows(stack, layer)]
            gradient = max(gradient, int(np.diff(starts, append=level.values.size).max()))

    def for_each_thread(array):
        return inference.aligned_zeros((n_threads, *array.shape), array.dtype)

    packed = inference.new_packed(stack, n_chains, range(len(stack.biases)))
    packed_visible = inference.new_packed(stack, n_rows, [0])[0]
    return Workspace(
        np.empty((n_threads, gradient), dtype),
        tuple(for_each_thread(states) for states in state.chains),
        for_each_thread(state.positive[0]),
        tuple(for_each_thread(array) for array in packed),
        for_each_thread(packed_visible),
        tuple(
            np.zeros((-(-states.shape[1] // 16), states.shape[0]), np.uint16)
            for states in state.chains
        ),
        inference.unpacked(stack),
        blas.BLAS_ADDRESS[dtype],
    )
