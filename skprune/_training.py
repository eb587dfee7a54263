"""The one minibatch loop."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from scipy import sparse

from . import inference
from ._kernels import blas, contrastive_steps, loading
from ._kernels import fields as field_kernels
from ._options import resolve
from ._structures import Stack
from ._threads import Team
from .samplers import gibbs_steps_at
from .schedules import FallingRate

BUFFER = 2**22  # bytes of minibatches loaded at a time: enough that Python's share is small
MEAN_RATE = 0.01  # of the running means that centre the gradient (Melchior et al. 2016)
MOST_AT_ONCE = round(1 / MEAN_RATE)  # minibatches; the offsets then follow the running means


def constant(progress: float) -> float:
    """Return the same factor throughout."""
    return 1.0


LEARNING_RATE_SCHEDULES = {"constant": constant, "linear": FallingRate()}


class TrainingOptions(NamedTuple):
    """Numbers of the gradient step, in the machine's floating type."""

    momentum: float
    l1: float
    l2: float
    max_norm: float
    activity_target: float
    activity_strength: float
    dropout: float
    mean_rate: float


class TrainingState(NamedTuple):
    """Arrays of the minibatch loop, each a tuple over layers or levels.

    ``activity`` holds running means of the positive phase; ``offsets`` is what
    the gradient subtracts (the activity when the minibatches were last loaded,
    or zeros), ``offset_states`` the same as states, ``shifts`` room for the
    fields they make; ``delta`` the data minus the model means of a minibatch;
    ``gap`` adds up |delta| of the visible units over a pass.
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


class Room(NamedTuple):
    """What each thread has for itself, and the bits through which threads share draws.

    ``gradient`` is a row a thread; ``local`` (a tuple over the
    layers) and ``visible`` are states a thread, ``packed`` and
    ``packed_visible`` the same packed where table look-up reads them, else
    empty; ``bits`` are shared; ``unpacked`` stands for states that are no bits.
    """

    gradient: np.ndarray
    local: tuple
    visible: np.ndarray
    packed: tuple
    packed_visible: np.ndarray
    bits: tuple
    unpacked: tuple


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
    sizes = [level.weights.size + level.values.size for level in stack.levels]
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
    room = new_room(loop, team.n_threads)
    done = 0
    for first in range(0, n_minibatches, at_once):
        part = slice(first, min(first + at_once, n_minibatches))
        n_rows = int(sizes[part].sum())
        rows = order[done : done + n_rows]
        _load(X, rows, sizes[part], buffer, bits, team)
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
            first_step + first, room, blas.BLAS_ADDRESS[dtype],
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


def minibatch_rates(learning_rate, schedule, number, n_passes, n_minibatches) -> np.ndarray:
    """Return the learning rate of every minibatch of a pass."""
    schedule = resolve(schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule")
    progress = (number + np.arange(n_minibatches) / n_minibatches) / n_passes
    return learning_rate * np.array([schedule(p) for p in progress])


def as_columns(rows) -> dict:
    """Return the rows of a history as one array a column; no row, no column."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _infer(loop: Loop, X, team) -> None:
    """Set the positive phase of a deep machine: mean field given the rows, in two fixed halves."""
    half = -(-X.shape[0] // 2)
    means = inference.mean_field(loop.stack, X, team, *loop.mean_field, block=half, alike=False)
    for states, mean in zip(loop.state.positive[1:], means, strict=True):
        states[:, : X.shape[0]] = mean.T
        states[:, X.shape[0] :] = 0


def loaded_minibatches(X, order, batch_size, dtype, team):
    """Yield (number of the first, rows, sizes, states) of groups of consecutive minibatches.

    ``states`` is (minibatches, units, lanes), filled again for every group.
    """
    n_minibatches = -(-order.size // batch_size)
    sizes = np.array([part.size for part in np.array_split(order, n_minibatches)])
    stride = inference.lanes(batch_size, dtype)
    n_bytes = X.shape[1] * stride * dtype.itemsize
    at_once = max(1, min(n_minibatches, BUFFER // n_bytes))
    buffer = inference.states_array(at_once * X.shape[1], stride, dtype)
    buffer = buffer.reshape(at_once, X.shape[1], stride)
    bits = np.zeros((at_once, 0, X.shape[1]), np.uint16)
    done = 0
    for first in range(0, n_minibatches, at_once):
        part = sizes[first : first + at_once]
        rows = order[done : done + part.sum()]
        _load(X, rows, part, buffer, bits, team)
        done += rows.size
        yield first, rows, part, buffer


def one_hot(rows, sizes, numbers, n_units, n_lanes, dtype) -> np.ndarray:
    """Return which number each row of consecutive minibatches has: (minibatches, units, lanes)."""
    states = np.zeros((sizes.size, n_units, n_lanes), dtype)
    minibatch, lane = _places(sizes)
    states[minibatch, numbers[rows], lane] = 1
    return states


def by_lane(rows, sizes, values, n_lanes, dtype) -> np.ndarray:
    """Return a value for each row of consecutive minibatches: (minibatches, lanes)."""
    lanes = np.zeros((sizes.size, n_lanes), dtype)
    lanes[_places(sizes)] = values[rows]
    return lanes


def _places(sizes):
    """(minibatch, lane) of every row."""
    minibatch = np.repeat(np.arange(sizes.size), sizes)
    return minibatch, np.concatenate([np.arange(size) for size in sizes])


def _drop_connections(loop: Loop, step: int) -> list:
    """Take a random share of the connections away (DropConnect, Wan et al. 2013).

    The others make up for it, so that fields are on average those of the whole machine.
    Returns (what stays, weights before, momentum before) of every level.
    """
    rng = np.random.default_rng([int(loop.key), step, 1])
    result = []
    for level, velocity in zip(loop.stack.levels, loop.state.velocity, strict=True):
        weights = level.weights if level.weights.size else level.values
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
        weights = level.weights if level.weights.size else level.values
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


def _load(X, order, sizes, buffer, bits, team):
    if sparse.issparse(X):
        team.run(
            loading.load_minibatches_csr, X.data, X.indices, X.indptr, order, sizes, buffer, bits
        )
    else:
        team.run(loading.load_minibatches_dense, X, order, sizes, buffer, bits)


def new_room(loop: Loop, n_threads: int) -> Room:
    """Build what each thread has for itself."""
    stack, state = loop.stack, loop.state
    dtype = stack.biases[0].dtype
    gradient = 0
    for layer, level in enumerate(stack.levels, start=1):
        if level.values.size:
            starts = level.edges.indptr[:: field_kernels.block_rows(stack, layer)]
            gradient = max(gradient, int(np.diff(starts, append=level.values.size).max()))

    def for_each_thread(array):
        return inference.aligned_zeros((n_threads, *array.shape), array.dtype)

    packed = inference.new_packed(stack, loop.n_chains, range(len(stack.biases)))
    packed_visible = inference.new_packed(stack, loop.batch_size, [0] if loop.binary else [])[0]
    return Room(
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


def check_finite(stack, number) -> None:
    """Raise where training has diverged in this pass."""
    arrays = [*stack.biases, *(level.values for level in stack.levels)]
    arrays += [level.weights for level in stack.levels]
    if not all(np.isfinite(array.sum()) for array in arrays):
        raise ValueError(
            f"Training diverged in pass {number + 1}: a parameter is not finite. Use a lower "
            "learning_rate, or bound the weights by max_norm."
        )
