"""The shapes that travel between rooms: connections, levels, stacks.

Every array is in one of two orders. Public arrays are sample-major, one row a
sample. Inside, states are *unit-major*: one row a unit, one column (lane) a
sample or chain, so that a connection is one vector operation over the lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Connections(NamedTuple):
    """The connections of a pruned level, by upper unit, without their weights.

    Attributes
    ----------
    indptr : ndarray of shape (n_upper + 1,), int64
        The connections of upper unit ``i`` are ``indptr[i]:indptr[i + 1]``.
    indices : ndarray of shape (n_connections,), uint16 or int32
        The lower unit of each connection, ascending within an upper unit.
    n_lower : int
        Number of lower units.
    """

    indptr: np.ndarray
    indices: np.ndarray
    n_lower: int


class Edges(NamedTuple):
    """An edge list readable from both sides, for the kernels.

    ``indptr``/``indices`` lead from an upper unit to its lower units;
    ``down_indptr``/``down_indices`` from a lower unit to its upper units, and
    ``down_order`` to the place of that connection's weight.
    """

    indptr: np.ndarray
    indices: np.ndarray
    down_indptr: np.ndarray
    down_indices: np.ndarray
    down_order: np.ndarray


class Level(NamedTuple):
    """The weights between two adjacent layers, ready to compute with.

    Either ``weights`` (n_upper, n_lower) is filled, with ``mask`` (uint8, same
    shape) where connections are missing, or ``values`` (n_edges,) and
    ``edges`` are; what is unused has size 0. All levels of a stack have the
    same types, so kernels index them at run time.
    """

    weights: np.ndarray
    mask: np.ndarray
    values: np.ndarray
    edges: Edges


class Stack(NamedTuple):
    """Layers of units, bottom first, and the levels between them.

    Attributes
    ----------
    levels : tuple of Level
    biases : tuple of ndarray
        One more than levels; ``biases[0]`` belongs to the visible units.
    """

    levels: tuple
    biases: tuple


class LogPartition(NamedTuple):
    """An estimate of log Z, in nats.

    Attributes
    ----------
    value : float
    standard_error : float
        0 for the exact value.
    bracket : tuple of float
        (low, high). Exact: the value twice. "ais" and "reverse_ais": the value
        minus and plus three standard errors; the first underestimates log Z on
        average, the second overestimates it. "bracket": from the low end of
        the one to the high end of the other, and the value is that of "ais".
    method : str
        "exact", "ais", "reverse_ais" or "bracket".
    effective_sample_size : float
        Of the importance weights: how many chains of equal weight would be as
        good. Infinite for the exact value; the smaller one for "bracket".
    """

    value: float
    standard_error: float
    bracket: tuple
    method: str
    effective_sample_size: float


class LevelView(NamedTuple):
    """What a pruning criterion sees of one level.

    Attributes
    ----------
    weights : ndarray of shape (n_upper, n_lower)
    connectivity : ndarray of bool of shape (n_upper, n_lower)
        Connections to score: those that remain, or for regrowth those that are absent.
    rng : numpy.random.RandomState
    states : callable
        ``states(source="data", n_samples=10_000, n_steps_between=50)`` returns
        (lower, upper) states of shape (n_samples, n_units), given rows of the
        data or from the "model", thinned, by the machine's ``layer_samples``.
        Drawn when first asked for, and the same whoever asks.
    """

    weights: np.ndarray
    connectivity: np.ndarray
    rng: np.random.RandomState
    states: Callable | None = None


class LayerView(NamedTuple):
    """What a criterion for units sees of one hidden layer.

    Attributes
    ----------
    below : LevelView
        The level in which the units are the upper ones.
    above : LevelView or None
        The level in which they are the lower ones, if there is one.
    labels : callable
        ``labels()`` returns the labels of the rows in ``below.states("data")``, or
        None where ``fit`` was given no y.
    """

    below: LevelView
    above: LevelView | None = None
    labels: Callable = lambda: None
