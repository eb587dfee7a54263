"""Contrastive training of a machine: data minus model, minibatch by minibatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .._kernels import blas, contrastive_steps
from .._kernels import fields as field_kernels
from .._kernels.records import Stack, TrainingOptions, TrainingState, Workspace
from .._machine import inference
from .._machine.levels import parameters, reads_edges
from .._support.threads import Team
from ..samplers import gibbs_steps_at
from .passes import BUFFER, load_minibatches, minibatch_rates, minibatch_sizes

MEAN_RATE = 0.01  # of the running means that centre the gradient (Melchior et al. 2016)


MOST_AT_ONCE = round(1 / MEAN_RATE)  # minibatches; the offsets then follow the running means


SPARE_LANES = 2  # beside the data and the chains, for the centred gradient


def new_state(stack, batch_size, n_chains, chains, activity, velocity) -> TrainingState:
    """Build the arrays of the loop; ``chains``, ``activity`` and ``velocity`` are continued."""
    dtype = stack.biases[0].dtype

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
    """Centre on the running means as they are now."""
    for mean, offset, states in zip(
        state.activity, state.offsets, state.offset_states, strict=True
    ):
        offset[:] = mean
        states[:, 0] = mean


def new_velocity(stack: Stack, momentum: float) -> list:
    """Return zero momentum for every level, then every bias; empty where there is none."""
    dtype = stack.biases[0].dtype
    sizes = [parameters(level).size for level in stack.levels]
    sizes += [bias.size for bias in stack.biases]
    return [np.zeros(size if momentum else 0, dtype) for size in sizes]


@dataclass
class ContrastiveTrainer:
    """Trains a machine by the difference of the data's and the model's statistics, in place.

    Attributes
    ----------
    stack : Stack
    state : TrainingState
    options : TrainingOptions
    persistent : bool
        Whether chains go on from minibatch to minibatch, or start from the data of each.
    sampler : object or None
        What moves the chains where the kernel does not, as :mod:`skprune.samplers` describes it.
    n_gibbs_steps : int or (int, int)
    drop_connect : float
    learning_rate : float
    schedule : str or callable
    batch_size : int
    n_chains : int
    centered : bool
    shuffle : bool
    binary : bool
        Whether all data are 0 or 1, and can be loaded as bits.
    mean_field : (float, int) or None
        Tolerance and most updates of the mean field of a deep machine.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
    n_passes : int
    key : numpy.uint64
    n_steps : int
        Minibatches seen so far, in this fit and before it.
    team : Team
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
    mean_field: tuple | None
    X: Any
    n_passes: int
    key: np.uint64
    n_steps: int
    team: Team

    @property
    def stacks(self) -> tuple:
        """What is trained."""
        return (self.stack,)

    def run_pass(self, number) -> dict:
        """Walk through the data once, in minibatches of equal size; return a row of history."""
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
            if self.mean_field:
                self._infer(self.X[rows])
            self._step(
                buffer,
                bits,
                sizes[part],
                rates[part],
                n_gibbs_steps,
                self.n_steps + first,
                workspace,
            )
        self.n_steps += n_minibatches
        return {
            "learning_rate": float(rates[-1]),
            "n_gibbs_steps": n_gibbs_steps,
            "moment_gap": float(self.state.gap.mean() / n_minibatches),
        }

    def _buffers(self, n_minibatches) -> tuple:
        """Return arrays for a group of minibatches, as states or as bits; the other has no entry."""
        dtype, n_visible = self.stack.biases[0].dtype, self.stack.biases[0].size
        stride = inference.lanes(self.batch_size + SPARE_LANES, dtype)
        n_words = -(-stride // 16) if self.binary else 0
        n_bytes = n_visible * (2 * n_words or stride * dtype.itemsize)
        single = self.sampler or self.drop_connect or self.mean_field
        at_once = 1 if single else max(1, min(n_minibatches, BUFFER // n_bytes, MOST_AT_ONCE))
        n_states = 0 if self.binary else at_once
        buffer = inference.states_array(n_states * n_visible, stride, dtype)
        bits = np.zeros((at_once, n_words, n_visible), np.uint16)
        return buffer.reshape(n_states, n_visible, stride), bits

    def _n_packed(self) -> tuple:
        """Numbers of chains and of rows whose states are packed."""
        return self.n_chains, self.batch_size if self.binary else 0

    def _step(self, buffer, bits, sizes, rates, n_gibbs_steps, step, workspace):
        """Take the gradient steps of a group of minibatches."""
        stack, state, options = self.stack, self.state, self.options
        dtype = stack.biases[0].dtype
        if self.centered:
            set_offsets(state)
        dropped = None
        if self.drop_connect:
            dropped = drop_connections(stack, state, self.drop_connect, self.key, step)
            options = options._replace(max_norm=type(options.max_norm)(0))
        if self.sampler is not None:
            self.sampler.advance(stack, state.chains, n_gibbs_steps, self.key, step, self.team)
            n_gibbs_steps = 0
        self.team.run(
            contrastive_steps.train_minibatches, stack, state, buffer, bits, sizes,
            rates.astype(dtype), not self.mean_field, n_gibbs_steps, self.persistent,
            self.n_chains, options, self.key, step, workspace, blas.BLAS_ADDRESS[dtype],
        )  # fmt: skip
        if dropped is not None:
            restore_connections(stack, state, dropped, self.drop_connect, self.options.max_norm)

    def _infer(self, X):
        """Set the positive phase of a deep machine: mean field given the rows, in two halves."""
        half = -(-X.shape[0] // 2)
        means = inference.mean_field(self.stack, X, self.team, *self.mean_field, block=half)
        for states, mean in zip(self.state.positive[1:], means, strict=True):
            states[:, : X.shape[0]] = mean.T
            states[:, X.shape[0] :] = 0


def drop_connections(stack, state, share, key, step) -> list:
    """Take a random share of the connections away (DropConnect, Wan et al. 2013).

    The others make up for it, so that fields are on average those of the whole machine.
    Returns (what stays, weights before, momentum before) of every level.
    """
    rng = np.random.default_rng([int(key), step, 1])
    result = []
    for level, velocity in zip(stack.levels, state.velocity, strict=True):
        weights = parameters(level)
        stays = rng.random(weights.shape, dtype=np.float32) >= share
        result.append((stays, weights.copy(), velocity.copy()))
        weights *= stays
        weights /= weights.dtype.type(1 - share)
    return result


def restore_connections(stack, state, dropped, share, bound) -> None:
    """Put weights and momentum of the connections that were gone back as they were.

    The kernel steps them too. With them the biases, which it takes out of the
    centred machine with those steps in, are put right; then norms of the whole machine are bounded.
    """
    for number, (level, velocity) in enumerate(zip(stack.levels, state.velocity, strict=True)):
        stays, before, velocity_before = dropped[number]
        lower, upper = stack.biases[number : number + 2]
        weights = parameters(level)
        indptr, indices = level.edges.indptr, level.edges.indices.astype(np.int64)

        def matrix(values, shape=(upper.size, lower.size), indptr=indptr, indices=indices):
            if values.ndim == 2:
                return values
            return sparse.csr_array((values, indices, indptr), shape=shape)

        undone = matrix(np.where(stays, weights.dtype.type(0), weights))
        upper += undone @ state.offsets[number]
        lower += undone.T @ state.offsets[number + 1]
        weights *= weights.dtype.type(1 - share)
        np.copyto(weights, before, where=~stays)
        if velocity.size:
            np.copyto(velocity, velocity_before, where=~stays.reshape(velocity.shape))
        if bound > 0:
            norms = np.sqrt(matrix(weights**2).sum(axis=1))
            scale = np.minimum(1, bound / np.maximum(norms, bound)).astype(weights.dtype)
            weights *= scale[:, None] if weights.ndim == 2 else np.repeat(scale, np.diff(indptr))


def new_workspace(stack, state, n_packed, n_threads) -> Workspace:
    """Return scratch memory for each thread.

    ``n_packed`` holds the numbers of chains and of rows whose states are packed.
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
    )
