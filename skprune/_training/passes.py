"""The one loop over passes, and the minibatches and learning rates of a pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy import sparse

from .._kernels import loading
from .._machine import inference
from .._machine.levels import parameters
from .._support.compat import NullCallbackContext
from .._support.options import resolve
from ..schedules import FallingRate

BUFFER = 2**22  # bytes of minibatches loaded at a time: enough that Python's share is small


def constant(progress: float) -> float:
    """Return the same factor throughout."""
    return 1.0


LEARNING_RATE_SCHEDULES = {"constant": constant, "linear": FallingRate()}


SHOWN = {  # columns of a history that a progress line shows, and how
    "loss": "loss = {:.4f}",
    "validation_score": "validation score = {:.4f}",
    "pseudo_log_likelihood": "pseudo-log-likelihood = {:.2f}",
}


class Trainer(Protocol):
    """What the loop needs: trainers hold everything else that a pass depends on.

    Attributes
    ----------
    stacks : tuple of Stack
        What is trained, in place.
    """

    @property
    def stacks(self) -> tuple:
        """What is trained."""

    def run_pass(self, number) -> dict:
        """Run pass ``number``, counted from 0, and return its row of the history."""


def run_passes(
    trainer: Trainer,
    n_passes: int,
    *,
    estimator,
    context=None,
    name: str = "pass",
    watch: Callable | None = None,
    stops: Callable | None = None,
    learned: Callable | None = None,
) -> dict:
    """Train for some passes, report each one, and return the history.

    Parameters
    ----------
    trainer : Trainer
    n_passes : int
    estimator : estimator
        Callbacks see it, and its ``verbose`` decides whether progress is printed.
    context : callback context, default=None
        The context of ``fit``, in which every pass is a task.
    name : str, default="pass"
        What a pass is called.
    watch : callable, default=None
        Called with the row of a pass, to which it may add columns.
    stops : callable, default=None
        Called with all rows so far. Training stops where it returns True.
    learned : callable, default=None
        Returns the fitted attributes as they are now, for callbacks that evaluate the estimator.

    Returns
    -------
    history : dict of ndarray
        One array per column.

    Raises
    ------
    ValueError
        If training diverges.
    """
    context = NullCallbackContext() if context is None else context
    rows = []
    for number in range(n_passes):
        task = context.subcontext(task_name=name)
        task.call_on_fit_task_begin(estimator=estimator)
        started = time.perf_counter()
        row = trainer.run_pass(number)
        for stack in trainer.stacks:
            check_finite(stack, number)
        row["seconds"] = time.perf_counter() - started
        rows.append(row)
        if watch is not None:
            watch(row)
        if estimator.verbose:
            shown = [text.format(row[column]) for column, text in SHOWN.items() if column in row]
            shown.append(f"time = {row['seconds']:.2f}s")
            print(
                f"[{type(estimator).__name__}] {name.capitalize()} {number + 1} of {n_passes}, "
                + ", ".join(shown)
            )
        given = {} if learned is None else {"reconstruction_attributes": learned}
        asked_to_stop = task.call_on_fit_task_end(estimator=estimator, **given)
        if asked_to_stop or (stops is not None and stops(rows)):
            break
    return as_columns(rows)


def minibatch_rates(learning_rate, schedule, number, n_passes, n_minibatches) -> np.ndarray:
    """Return the learning rate of every minibatch of a pass."""
    schedule = resolve(schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule")
    progress = (number + np.arange(n_minibatches) / n_minibatches) / n_passes
    return learning_rate * np.array([schedule(p) for p in progress])


def minibatch_sizes(n_samples, n_minibatches) -> np.ndarray:
    """Return the number of rows of each minibatch. They differ by at most one."""
    return np.array([part.size for part in np.array_split(np.arange(n_samples), n_minibatches)])


def as_columns(rows) -> dict:
    """Return the rows of a history as one array a column; no row, no column."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def loaded_minibatches(X, order, batch_size, dtype, team):
    """Yield (number of the first, rows, sizes, states) of groups of consecutive minibatches.

    ``states`` is (minibatches, units, lanes), filled again for every group.
    """
    n_minibatches = -(-order.size // batch_size)
    sizes = minibatch_sizes(order.size, n_minibatches)
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
        load_minibatches(X, rows, part, buffer, bits, team)
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


def load_minibatches(X, order, sizes, buffer, bits, team) -> None:
    """Load consecutive minibatches of ``order`` into states, or into bits where there are some."""
    if sparse.issparse(X):
        team.run(
            loading.load_minibatches_csr, X.data, X.indices, X.indptr, order, sizes, buffer, bits
        )
    else:
        team.run(loading.load_minibatches_dense, X, order, sizes, buffer, bits)


def check_finite(stack, number) -> None:
    """Raise where training has diverged in this pass."""
    arrays = [*stack.biases, *(parameters(level) for level in stack.levels)]
    if not all(np.isfinite(array.sum()) for array in arrays):
        raise ValueError(
            f"Training diverged in pass {number + 1}: a parameter is not finite. Use a lower "
            "learning_rate, or bound the weights by max_norm."
        )
