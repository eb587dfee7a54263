"""Contrastive training of a machine: data minus model, minibatch by minibatch."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._kernels import blas, contrastive_steps
from .._kernels import fields as field_kernels
from .._kernels.records import Stack, TrainingOptions, TrainingState, Workspace
from .._machine import inference
from .._machine.levels import parameters, reads_edges
from .._support.threads import Team
from ..samplers import gibbs_steps_at
from .passes import BUFFER, check_finite, load_minibatches, minibatch_rates

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


class Loop(NamedTuple):
    """Everything that stays the same over the passes of one fit."""

    stack: Stack
    state: TrainingState
    options: TrainingOptions
    negative_phase: object
    n_gibbs_steps: object
    drop_connect: float
    learning_rate: float
    schedule: object
    batch_size: int
    n_chains: int
    key: np.uint64
    centered: bool
    shuffle: bool
    binary: bool
    mean_field: tuple | None = None


def run_pass(loop: Loop, X, number: int, n_passes: int, first_step: int, team: Team) -> dict:
    """Walk through the data once, in minibatches of equal size; return one row of history."""
    started = time.perf_counter()
    n_samples = X.shape[0]
    n_minibatches = -(-n_samples // loop.batch_size)
    sizes = np.array([part.size for part in np.array_split(np.arange(n_samples), n_minibatches)])
    order = np.arange(n_samples)
    if loop.shuffle:
        order = np.random.default_rng([int(loop.key), first_step]).permutation(n_samples)
    rates = minibatch_rates(loop.learning_rate, loop.schedule, number, n_passes, n_minibatches)
    n_steps = gibbs_steps_at(loop.n_gibbs_steps, number, n_passes)
    loop.state.gap[:] = 0

    stack, dtype = loop.stack, loop.stack.biases[0].dtype
    n_visible = stack.biases[0].size
    stride = inference.lanes(loop.batch_size + SPARE_LANES, dtype)
    advance = getattr(loop.negative_phase, "advance", None)
    n_words = -(-stride // 16) if loop.binary else 0
    n_bytes = n_visible * (2 * n_words or stride * dtype.itemsize)
    single = advance or loop.drop_connect or loop.mean_field
    at_once = 1 if single else max(1, min(n_minibatches, BUFFER // n_bytes, MOST_AT_ONCE))
    n_states = 0 if loop.binary else at_once
    buffer = inference.states_array(n_states * n_visible, stride, dtype)
    buffer = buffer.reshape(n_states, n_visible, stride)
    bits = np.zeros((at_once, n_words, n_visible), np.uint16)
    workspace = new_workspace(loop, team.n_threads)
    done = 0
    for first in range(0, n_minibatches, at_once):
        part = slice(first, min(first + at_once, n_minibatches))
        n_rows = int(sizes[part].sum())
        rows = order[done : done + n_rows]
        load_minibatches(X, rows, sizes[part], buffer, bits, team)
        done += n_rows
        if loop.mean_field:
            _infer(loop, X[rows], team)
        if loop.centered:
            set_offsets(loop.state)
        dropped, options = [], loop.options
        if loop.drop_connect:
            dropped = _drop_connections(loop, first_step + first)
            options = options._replace(max_norm=type(options.max_norm)(0))
        if advance:
            advance(stack, loop.state.chains, n_steps, loop.key, first_step + first, team)
        team.run(
            contrastive_steps.train_minibatches, stack, loop.state, buffer, bits, sizes[part],
            rates[part].astype(dtype), not loop.mean_field, 0 if advance else n_steps,
            bool(advance) or loop.negative_phase.persistent, loop.n_chains, options, loop.key,
            first_step + first, workspace, blas.BLAS_ADDRESS[dtype],
        )  # fmt: skip
        if dropped:
            _restore_connections(loop, dropped)
    check_finite(stack, number)
    return {
        "learning_rate": float(rates[-1]),
        "n_gibbs_steps": n_steps,
        "n_minibatches": n_minibatches,
        "moment_gap": float(loop.state.gap.mean() / n_minibatches),
        "seconds": time.perf_counter() - started,
    }


def _infer(loop: Loop, X, team) -> None:
    """Set the positive phase of a deep machine: mean field given the rows, in two fixed halves."""
    half = -(-X.shape[0] // 2)
    means = inference.mean_field(loop.stack, X, team, *loop.mean_field, block=half)
    for states, mean in zip(loop.state.positive[1:], means, strict=True):
        states[:, : X.shape[0]] = mean.T
        states[:, X.shape[0] :] = 0


def _drop_connections(loop: Loop, step: int) -> list:
    """Take a random share of the connections away (DropConnect, Wan et al. 2013).

    The others make up for it, so that fields are on average those of the whole machine.
    Returns (what stays, weights before, momentum before) of every level.
    """
    rng = np.random.default_rng([int(loop.key), step, 1])
    result = []
    for level, velocity in zip(loop.stack.levels, loop.state.velocity, strict=True):
        weights = parameters(level)
        stays = rng.random(weights.shape, dtype=np.float32) >= loop.drop_connect
        result.append((stays, weights.copy(), velocity.copy()))
        weights *= stays
        weights /= weights.dtype.type(1 - loop.drop_connect)
    return result


def _restore_connections(loop: Loop, dropped: list) -> None:
    """Put weights and momentum of the connections that were gone back as they were.

    The kernel steps them too. With them the biases, which it takes out of the
    centred machine with those steps in, are put right; then norms of the whole machine are bounded.
    """
    stack, state, bound = loop.stack, loop.state, loop.options.max_norm
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
        weights *= weights.dtype.type(1 - loop.drop_connect)
        np.copyto(weights, before, where=~stays)
        if velocity.size:
            np.copyto(velocity, velocity_before, where=~stays.reshape(velocity.shape))
        if bound > 0:
            norms = np.sqrt(matrix(weights**2).sum(axis=1))
            scale = np.minimum(1, bound / np.maximum(norms, bound)).astype(weights.dtype)
            weights *= scale[:, None] if weights.ndim == 2 else np.repeat(scale, np.diff(indptr))


def new_workspace(loop: Loop, n_threads: int) -> Workspace:
    """Build what each thread has for itself."""
    stack, state = loop.stack, loop.state
    dtype = stack.biases[0].dtype
    gradient = 0
    for layer, level in enumerate(stack.levels, start=1):
        if reads_edges(level):
            starts = level.edges.indptr[:: field_kernels.block_rows(stack, layer)]
            gradient = max(gradient, int(np.diff(starts, append=level.values.size).max()))

    def for_each_thread(array):
        return inference.aligned_zeros((n_threads, *array.shape), array.dtype)

    packed = inference.new_packed(stack, loop.n_chains, range(len(stack.biases)))
    packed_visible = inference.new_packed(stack, loop.batch_size, [0] if loop.binary else [])[0]
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
