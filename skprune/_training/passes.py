"""The loop over training passes, and the minibatches and learning rates of a pass."""

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
from .._support.options import resolve, resolve_function
from ..schedules import FallingRate

BUFFER = 2**22  # bytes of minibatches loaded at a time; large, so that Python takes little time


def constant(progress: float) -> float:
    """Return the factor 1 at any time."""
    return 1.0


LEARNING_RATE_SCHEDULES = {"constant": constant, "linear": FallingRate()}


def check_rate_schedule(value, parameter="learning_rate_schedule") -> None:
    """Raise an error if a learning rate schedule is not known, not callable or not valid."""
    schedule = resolve_function(value, LEARNING_RATE_SCHEDULES, parameter)
    if hasattr(schedule, "check_parameters"):
        schedule.check_parameters()


SHOWN = {  # format of the columns of the history that are printed
    "loss": "loss = {:.4f}",
    "validation_score": "validation score = {:.4f}",
    "pseudo_log_likelihood": "pseudo-log-likelihood = {:.2f}",
    "reconstruction_error": "reconstruction error = {:.4f}",
}


class Trainer(Protocol):
    """The members of a trainer that the loop over passes uses.

    Attributes
    ----------
    stacks : tuple of Stack
        Weights and biases, which are trained in place.
    """

    @property
    def stacks(self) -> tuple:
        """What is trained."""

    def run_pass(self, number) -> dict:
        """Train for one pass over the data, and return its row of the history.

        Parameters
        ----------
        number : int
            Index of the pass, counted from 0.

        Returns
        -------
        row : dict
            Value of each column of the history.
        """


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
        Object that trains for one pass.
    n_passes : int
        Maximum number of passes.
    estimator : estimator
        Estimator that is passed to callbacks. If its ``verbose`` is 1, one line is printed per
        pass.
    context : callback context, default=None
        Context of ``fit``, in which each pass is a task.
    name : str, default="pass"
        Name of a pass in tasks and printed lines.
    watch : callable, default=None
        Function that is called with the row of each pass and may add columns to it.
    stops : callable, default=None
        Function that is called with the rows of all passes so far. Training stops if it returns
        True.
    learned : callable, default=None
        Function that returns the current fitted attributes, for callbacks that evaluate the
        estimator.

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
    """Return the learning rate of each minibatch of a pass.

    Parameters
    ----------
    learning_rate : float
        Learning rate, before the factor of the schedule.
    schedule : str or callable
        Factor as a function of the progress in [0, 1), or the name of such a function.
    number : int
        Index of the pass, counted from 0.
    n_passes : int
        Number of passes.
    n_minibatches : int
        Number of minibatches per pass.

    Returns
    -------
    rates : ndarray of shape (n_minibatches,)
        Learning rates.
    """
    schedule = resolve(schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule")
    progress = (number + np.arange(n_minibatches) / n_minibatches) / n_passes
    return learning_rate * np.array([schedule(p) for p in progress])


def minibatch_sizes(n_samples, n_minibatches) -> np.ndarray:
    """Return the number of rows of each minibatch. These numbers differ by at most one."""
    return np.array([part.size for part in np.array_split(np.arange(n_samples), n_minibatches)])


def as_columns(rows) -> dict:
    """Return the rows of a history as one array per column. Without rows, there is no column."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def loaded_minibatches(X, order, batch_size, dtype, team):
    """Load groups of consecutive minibatches.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    order : ndarray of int of shape (n_rows,)
        Rows in the order of training.
    batch_size : int
        Maximum number of rows per minibatch.
    dtype : dtype
        Type of the states.
    team : Team
        Threads that load the rows.

    Yields
    ------
    first : int
        Index of the first minibatch of the group.
    rows : ndarray of int
        Rows of the group.
    sizes : ndarray of int of shape (n_minibatches,)
        Number of rows of each minibatch.
    states : ndarray of shape (n_minibatches, n_features, n_lanes)
        Unit-major states. The same array is used for all groups.
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
    """Return the classes of consecutive minibatches as one-hot, unit-major states.

    Parameters
    ----------
    rows : ndarray of int
        Rows of the minibatches.
    sizes : ndarray of int of shape (n_minibatches,)
        Number of rows of each minibatch.
    numbers : ndarray of int of shape (n_samples,)
        Class of each row of the data.
    n_units : int
        Number of classes.
    n_lanes : int
        Number of lanes.
    dtype : dtype
        Type of the states.

    Returns
    -------
    states : ndarray of shape (n_minibatches, n_units, n_lanes)
        1 for the class of each row, 0 elsewhere.
    """
    states = np.zeros((sizes.size, n_units, n_lanes), dtype)
    minibatch, lane = _places(sizes)
    states[minibatch, numbers[rows], lane] = 1
    return states


def by_lane(rows, sizes, values, n_lanes, dtype) -> np.ndarray:
    """Return one value per row of consecutive minibatches, of shape (n_minibatches, n_lanes)."""
    lanes = np.zeros((sizes.size, n_lanes), dtype)
    lanes[_places(sizes)] = values[rows]
    return lanes


def _places(sizes):
    """Return arrays with the minibatch and the lane of each row of consecutive minibatches."""
    minibatch = np.repeat(np.arange(sizes.size), sizes)
    return minibatch, np.concatenate([np.arange(size) for size in sizes])


def load_minibatches(X, order, sizes, buffer, bits, team) -> None:
    """Load consecutive minibatches into ``bits`` if it is not empty, or into states otherwise.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Data.
    order : ndarray of int of shape (n_rows,)
        Rows of the minibatches.
    sizes : ndarray of int of shape (n_minibatches,)
        Number of rows of each minibatch.
    buffer : ndarray of shape (n_minibatches, n_features, n_lanes)
        Unit-major states, which are overwritten.
    bits : ndarray of uint16 of shape (n_minibatches, n_words, n_features)
        Bits, which are overwritten.
    team : Team
        Threads that load the rows.
    """
    n_units = bits.shape[2] if bits.size else buffer.shape[1]
    inference.check_fit(X, order, n_units, sizes.sum())
    n_lanes = 16 * bits.shape[1] if bits.size else buffer.shape[2]
    if (
        order.size != sizes.sum()
        or sizes.size > max(len(bits), len(buffer))
        or sizes.max() > n_lanes
    ):
        raise ValueError(
            f"{sizes.size} minibatches of {order.size} rows, at most {sizes.max()} each, do not fit "
            f"buffers of shapes {buffer.shape} and {bits.shape}."
        )
    n_values = float(order.size) * X.shape[1]
    if sparse.issparse(X):
        team.run(
            loading.load_minibatches_csr,
            inference.csr_rows(X),
            order,
            sizes,
            buffer,
            bits,
            work=n_values,
        )
    else:
        team.run(loading.load_minibatches_dense, X, order, sizes, buffer, bits, work=n_values)


def check_finite(stack, number) -> None:
    """Raise a ValueError if training has diverged in a pass, counted from 0."""
    arrays = [*stack.biases, *(parameters(level) for level in stack.levels)]
    if not all(np.isfinite(array.sum()) for array in arrays):
        raise ValueError(
            f"Training diverged in pass {number + 1}, since a parameter is not finite. Use a "
            "lower learning_rate, or bound the weights with max_norm."
        )
