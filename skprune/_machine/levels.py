"""Levels, which are the weights between two adjacent layers, in all their forms."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._kernels.records import BINARY, GAUSSIAN, Edges, KernelLevel, Stack
from .._support.stored import check_array, check_list
from .._support.threads import Team
from ..connectivity import as_dense, check_mask

# Share of absent connections from which edge kernels are faster than BLAS (docs/design_notes.md).
EDGE_SPARSITY = 0.5


_lock = threading.Lock()  # held while a kernel form is created


def _new_lock():
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock during a fork
    os.register_at_fork(after_in_child=_new_lock)


class Connections(NamedTuple):
    """The connections of a pruned level, grouped by upper unit, without their weights.

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

    @classmethod
    def from_mask(cls, mask) -> Connections:
        """Return the connections of a boolean mask (n_upper, n_lower)."""
        upper, lower = np.nonzero(mask)
        n_upper, n_lower = mask.shape
        indptr = np.zeros(n_upper + 1, dtype=np.int64)
        np.cumsum(np.bincount(upper, minlength=n_upper), out=indptr[1:])
        return cls(indptr, lower.astype(index_type(n_lower)), n_lower)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_upper, n_lower)."""
        return self.indptr.size - 1, self.n_lower

    def upper_units(self) -> np.ndarray:
        """Return the upper unit of each connection."""
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))

    def mask(self) -> np.ndarray:
        """Return the boolean mask (n_upper, n_lower)."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.upper_units(), self.indices] = True
        return mask

    def edges(self) -> Edges:
        """Return the edge list, which kernels read by upper and by lower unit."""
        order = np.argsort(self.indices, kind="stable")
        down_indptr = np.zeros(self.n_lower + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.indices, minlength=self.n_lower), out=down_indptr[1:])
        return Edges(
            writable(self.indptr),
            self.indices.astype(np.int32),
            down_indptr,
            self.upper_units()[order].astype(np.int32),
            order.astype(np.int32),
        )

    def check(self) -> None:
        """Raise a ValueError if the arrays are not the connections of a level."""
        indptr, indices, n_lower = self
        if not isinstance(n_lower, int) or n_lower < 1:
            raise ValueError(f"The number of lower units must be a positive int, got {n_lower!r}.")
        if indptr.ndim != 1 or indptr.size < 2 or indptr.dtype != np.int64:
            raise ValueError(
                "The pointers of a level must be a vector of int64 with at least two entries, "
                f"got shape {indptr.shape} and dtype {indptr.dtype}."
            )
        if indices.ndim != 1 or indices.dtype != index_type(n_lower):
            raise ValueError(
                f"The connections of a level with {n_lower} lower units must be a vector of "
                f"{index_type(n_lower)}, got shape {indices.shape} and dtype {indices.dtype}."
            )
        if indices.size > np.iinfo(np.int32).max:
            raise ValueError(f"A level can have at most 2^31 - 1 connections, got {indices.size}.")
        if indptr[0] != 0 or indptr[-1] != indices.size or (np.diff(indptr) < 0).any():
            raise ValueError(
                f"The pointers of a level must go from 0 to {indices.size}, its number of "
                "connections, and must not decrease."
            )
        if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < n_lower:
            raise ValueError(
                f"The connections of a level with {n_lower} lower units must lead to units from 0 "
                f"to {n_lower - 1}, got {int(indices.min())} to {int(indices.max())}."
            )
        rises = np.diff(indices.astype(np.int64)) > 0
        rises[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < indices.size)] - 1] = True
        if not rises.all():
            raise ValueError("The connections of an upper unit must be distinct and ascending.")


def index_type(n_lower) -> np.dtype:
    """Return the type in which connections to this many lower units are stored."""
    return np.dtype(np.uint16 if n_lower <= np.iinfo(np.uint16).max + 1 else np.int32)


class Level:
    """The weights between two adjacent layers, and the connections that exist.

    A full level stores its weights as a matrix, and a pruned level as one weight per connection.
    Other forms are created when they are needed. The form that kernels read is created once per
    level. The connections of a level never change.

    Parameters
    ----------
    values : ndarray of shape (n_upper, n_lower) or (n_connections,)
        Weights, as a matrix without ``connections`` and as a vector with them. They are not
        copied.
    connections : Connections, default=None
        Existing connections. If None, the level is full.
    kernel_form : KernelLevel, default=None
        Form of the same weights and connections that kernels read. If None, it is created when it
        is needed.

    Raises
    ------
    ValueError
        If the lengths, types, pointers or indices do not fit together.
    """

    def __init__(self, values, connections=None, kernel_form=None):
        self.values, self.connections = values, connections
        self._kernel_form = kernel_form
        self._check()

    @classmethod
    def from_matrix(cls, matrix, mask=None) -> Level:
        """Return a level with the weights of a matrix and the connections of a mask.

        If ``mask`` is None, the level is full.
        """
        if mask is None or mask.all():
            return cls(np.array(matrix))
        return cls(matrix[mask], Connections.from_mask(mask))

    def _check(self):
        values, connections = self.values, self.connections
        if values.dtype not in (np.float32, np.float64):
            raise ValueError(f"Weights must be float32 or float64, got {values.dtype}.")
        if connections is None:
            if values.ndim != 2 or not values.size:
                raise ValueError(
                    "The weights of a full level must be a matrix with at least one entry, got "
                    f"shape {values.shape}."
                )
            return
        connections.check()
        if values.shape != connections.indices.shape:
            raise ValueError(
                f"A level with {connections.indices.size} connections must have as many weights, "
                f"got shape {values.shape}."
            )

    # ------------------------------------------------------------------- forms

    @property
    def shape(self) -> tuple[int, int]:
        """(n_upper, n_lower)."""
        return self.values.shape if self.connections is None else self.connections.shape

    @property
    def n_connections(self) -> int:
        """Number of connections that exist."""
        return self.values.size

    @property
    def dtype(self) -> np.dtype:
        """Type of the weights."""
        return self.values.dtype

    @property
    def n_parameters(self) -> int:
        """Number of weights that training changes.

        If kernels read the level as a matrix, this includes the weights of absent connections.
        """
        reads = self.connections is not None and is_sparse(self.n_connections, self.shape)
        return self.n_connections if reads else int(np.prod(self.shape))

    def mask(self) -> np.ndarray:
        """Return which connections exist, as a read-only boolean matrix."""
        if self.connections is None:
            mask = np.ones(self.shape, dtype=bool)
        else:
            mask = self.connections.mask()
        return read_only(mask)

    def matrix(self) -> np.ndarray:
        """Return the weights as a matrix, with 0 for absent connections.

        It is read-only. For a full level it is a view of the stored array.
        """
        if self.connections is None:
            return read_only(self.values)
        matrix = np.zeros(self.shape, self.dtype)
        matrix[self.connections.mask()] = self.values
        return read_only(matrix)

    def kernel_form(self) -> KernelLevel:
        """Return the form that kernels read.

        It is created on the first call, and shares memory with the weights if possible.
        """
        with _lock:
            if self._kernel_form is None:
                self._kernel_form = make_kernel_level(self.values, self.connections)
            return self._kernel_form

    def with_weights_of(self, kernel_level: KernelLevel, copy=False) -> Level:
        """Return a level with the same connections and the weights of a trained kernel form."""
        values = kernel_level_values(kernel_level)
        if copy:
            return Level(values.copy(), self.connections)
        return Level(values, self.connections, kernel_level)

    def scaled(self, factor) -> Level:
        """Return a level with all weights multiplied by a number."""
        return Level(self.values * self.dtype.type(factor), self.connections)

    def with_matrix(self, matrix, mask=None) -> Level:
        """Return a level with new weights and, if ``mask`` is given, with new connections.

        Raises
        ------
        ValueError
            If the shape is wrong, or a weight is not finite, or is not 0 for an absent connection.
        """
        matrix = check_parameter(matrix, self.shape, self.dtype, "The weights of a level")
        mask = self.mask() if mask is None else check_mask(mask, self.shape)
        n_absent = np.count_nonzero(matrix[~mask])
        if n_absent:
            raise ValueError(
                f"{n_absent} of the weights belong to connections that do not exist, but are not "
                "0. Pass the connections that exist as connectivity, too."
            )
        return Level.from_matrix(matrix, mask)

    def with_connectivity(self, mask) -> Level:
        """Return a level with the same weights and a new mask. New connections have weight 0."""
        return Level.from_matrix(self.matrix(), mask)

    def part(self, upper, lower) -> Level:
        """Return the level between a subset of the upper and a subset of the lower units.

        Parameters
        ----------
        upper : ndarray of bool of shape (n_upper,)
            Upper units to keep.
        lower : ndarray of bool of shape (n_lower,)
            Lower units to keep.

        Returns
        -------
        level : Level
            Level of shape (number of upper units to keep, number of lower units to keep).
        """
        place = np.ix_(upper, lower)
        return Level.from_matrix(self.matrix()[place], self.mask()[place])

    # ------------------------------------------------------------------- state

    def state(self) -> dict:
        """Return a dict of arrays from which :meth:`from_state` restores the level."""
        state = {"values": self.values}
        if self.connections is not None:
            indptr, indices, n_lower = self.connections
            state |= {"indptr": indptr, "indices": indices, "n_lower": n_lower}
        return state

    @classmethod
    def from_state(cls, state) -> Level:
        """Validate a stored state and return its level.

        Raises
        ------
        ValueError
            If the arrays do not fit together.
        """
        fields = Connections._fields
        if not isinstance(state, dict) or set(state) not in ({"values"}, {"values", *fields}):
            raise ValueError(
                f"A level must be stored as a dict with values, and with {', '.join(fields)} if "
                "connections are missing."
            )
        is_full = len(state) == 1
        shape = (None, None) if is_full else np.shape(state["values"])
        check_array(state["values"], "The weights of a level", shape, (np.float32, np.float64))
        if is_full:
            return cls(state["values"])
        for name in ("indptr", "indices"):
            check_array(
                state[name], f"The {name} of a level", (None,), (np.int64, np.int32, np.uint16)
            )
        return cls(state["values"], Connections(*(state[name] for name in fields)))

    def __getstate__(self):
        return self.state()

    def __setstate__(self, state):
        level = Level.from_state(state)
        self.__init__(level.values, level.connections)


class Layers:
    """Levels and the biases of the layers they connect.

    Parameters
    ----------
    levels : list of Level
        Levels between adjacent layers, lowest level first.
    biases : list of ndarray of shape (n_units,)
        Biases of each layer, lowest layer first.
    unit_types : sequence of int, default=None
        Type of the units of each layer, lowest layer first. If None, all units are binary.

    Raises
    ------
    ValueError
        If the sizes of levels and biases do not fit together, or their types differ.
    """

    def __init__(self, levels, biases, unit_types=None):
        check_layers(levels, biases)
        self.levels, self.biases = list(levels), list(biases)
        self.unit_types = all_binary(len(biases)) if unit_types is None else tuple(unit_types)

    def stack(self) -> Stack:
        """Return the arrays as kernels read them, without copies if possible."""
        return stack_of(self.levels, self.biases, self.unit_types)

    def team(self, n_samples) -> Team:
        """Return the threads for work in which ``n_samples`` rows pass each connection once."""
        return team_of(self.levels, n_samples)

    def with_weights_of(self, stack: Stack) -> Layers:
        """Return layers with the same connections and the parameters of a trained stack."""
        levels = [
            level.with_weights_of(trained)
            for level, trained in zip(self.levels, stack.levels, strict=True)
        ]
        return Layers(levels, stack.biases, self.unit_types)

    def with_parameters(self, matrices, biases, masks) -> Layers:
        """Return layers with new weights, biases and connections.

        Parameters
        ----------
        matrices : list of {array-like, sparse matrix, None}
            Weights of each level. None keeps them.
        biases : list of {array-like, None}
            Biases of each layer. None keeps them.
        masks : list of {array-like of bool, None}
            Connections of each level. None keeps them.

        Raises
        ------
        ValueError
            If a shape is wrong, a number is not finite, or a weight without a connection is not 0.
        """
        levels = [
            level.with_matrix(level.matrix() if matrix is None else matrix, mask)
            if not (matrix is None and mask is None)
            else level
            for level, matrix, mask in zip(self.levels, matrices, masks, strict=True)
        ]
        biases = [
            own if new is None else check_parameter(new, own.shape, own.dtype, "Biases of a layer")
            for own, new in zip(self.biases, biases, strict=True)
        ]
        return Layers(levels, biases, self.unit_types)

    def with_connectivity(self, masks) -> Layers:
        """Return layers with the same weights and new masks, one per level."""
        levels = [
            level.with_connectivity(mask) for level, mask in zip(self.levels, masks, strict=True)
        ]
        return Layers(levels, self.biases, self.unit_types)

    def state(self) -> dict:
        """Return a dict of arrays from which :meth:`from_state` restores the layers."""
        return {"levels": [level.state() for level in self.levels], "biases": self.biases}

    @classmethod
    def from_state(cls, state) -> Layers:
        """Validate a stored state and return its layers."""
        if not isinstance(state, dict) or set(state) != {"levels", "biases"}:
            raise ValueError("Layers must be stored as a dict with 'levels' and 'biases'.")
        return cls(*restored_layers(state["levels"], state["biases"]))


def restored_layers(levels, biases) -> tuple:
    """Validate stored levels and biases, and return them as lists."""
    check_list(levels, "The levels")
    levels = [Level.from_state(level) for level in levels]
    check_list(biases, "The biases", len(levels) + 1)
    for bias in biases:
        check_array(bias, "The biases of a layer", (None,), (np.float32, np.float64))
    check_layers(levels, biases)
    return levels, list(biases)


def check_layers(levels, biases) -> None:
    """Raise a ValueError if the sizes of levels and biases do not match, or their types differ."""
    sizes = [bias.size for bias in biases]
    shapes = [level.shape for level in levels]
    if [(upper, lower) for lower, upper in pairwise(sizes)] != shapes:
        raise ValueError(f"Levels of shapes {shapes} do not fit layers of {sizes} units.")
    if any(bias.ndim != 1 for bias in biases):
        raise ValueError("The biases of a layer must be a vector.")
    types = {array.dtype for array in (*levels, *biases)}
    if len(types) > 1:
        names = ", ".join(sorted(map(str, types)))
        raise ValueError(f"All weights and biases must have the same type, got {names}.")


def stack_of(levels, biases, unit_types=None) -> Stack:
    """Return the arrays of levels and biases as kernels read them, without copies if possible.

    ``unit_types`` holds the type of each layer's units. If it is None, all units are binary.
    """
    return Stack(
        tuple(level.kernel_form() for level in levels),
        tuple(writable(bias) for bias in biases),
        all_binary(len(biases)) if unit_types is None else tuple(unit_types),
    )


def read_only(array) -> np.ndarray:
    """Return a view of an array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_parameter(array, shape, dtype, what) -> np.ndarray:
    """Return weights or biases as a new array of a type; raise a ValueError if they are invalid."""
    array = as_dense(array)
    if array.shape != tuple(shape):
        raise ValueError(f"{what} must have the shape {tuple(shape)}, got {array.shape}.")
    array = np.array(array, dtype=dtype, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite numbers of type {np.dtype(dtype)}.")
    return array


def optional_list(entries, n_entries, name) -> list:
    """Return a list with ``n_entries`` entries, all of them None if ``entries`` is None."""
    entries = [None] * n_entries if entries is None else list(entries)
    if len(entries) != n_entries:
        raise ValueError(
            f"{name} must have {n_entries} entries, got {len(entries)}. An entry may be None."
        )
    return entries


def team_of(levels, n_samples) -> Team:
    """Return the threads for work in which ``n_samples`` rows pass each connection once."""
    return Team(work=float(n_samples) * sum(level.n_connections for level in levels))


def all_binary(n_layers) -> tuple:
    """Return the unit types of layers that have binary units only."""
    return (BINARY,) * n_layers


def check_machine_units(layers):
    """Return the stack or the layers of a Boltzmann machine, whose hidden units must be binary.

    Those of every machine are checked, because the kernels for energies, chains and contrastive
    training know Gaussian units in the visible layer only.

    Raises
    ------
    ValueError
        If a layer has units of another type.
    """
    for layer, unit_type in enumerate(layers.unit_types):
        if unit_type != BINARY and not (layer == 0 and unit_type == GAUSSIAN):
            raise ValueError(
                "Boltzmann machines must have binary hidden units, and binary or Gaussian visible "
                f"units, but the units of layer {layer} have type {unit_type}."
            )
    return layers


def layers_between(stack: Stack, first, last) -> Stack:
    """Return the stack of layers ``first`` to ``last``, both included, without copies."""
    layers = slice(first, last + 1)
    return Stack(stack.levels[first:last], stack.biases[layers], stack.unit_types[layers])


def writable(array) -> np.ndarray:
    """Return the array, or a copy if it is read-only, such as a memory map.

    Kernels index levels at run time, so the arrays of all levels must have the same numba type. An
    array that is read-only, not aligned or not contiguous has a different one.
    """
    return np.require(array, requirements=["C", "A", "W"])


def make_kernel_level(values, connections: Connections | None, use_edges=None) -> KernelLevel:
    """Return the form of a level that kernels read.

    Parameters
    ----------
    values : ndarray of shape (n_upper, n_lower) or (n_connections,)
        Weights of a full or of a pruned level. They are only copied if the form requires it.
    connections : Connections or None
        Existing connections. If None, the level is full.
    use_edges : bool, default=None
        Whether kernels iterate over connections instead of a matrix. If None, this depends on the
        sparsity. No other function makes this choice.

    Returns
    -------
    level : KernelLevel
        Weights and connections as kernels read them.
    """
    values = writable(values)
    dtype = values.dtype
    no_matrix, no_vector = np.empty((0, 0), dtype), np.empty(0, dtype)
    no_mask = np.empty((0, 0), np.uint8)
    none64, none32 = np.empty(0, np.int64), np.empty(0, np.int32)
    no_edges = Edges(none64, none32, none64, none32, none32)
    if connections is None:
        if not use_edges:
            return KernelLevel(np.ascontiguousarray(values), no_mask, no_vector, no_edges)
        connections, values = Connections.from_mask(np.ones(values.shape)), values.ravel()
    if use_edges is None:
        use_edges = is_sparse(values.size, connections.shape)
    if use_edges:
        return KernelLevel(no_matrix, no_mask, values, connections.edges())
    mask = connections.mask()
    dense = np.zeros(mask.shape, dtype)
    dense[mask] = values
    return KernelLevel(dense, mask.view(np.uint8), no_vector, no_edges)


def is_sparse(n_connections, shape) -> bool:
    """Return whether a level is so sparse that iterating over its connections is faster."""
    return n_connections <= (1 - EDGE_SPARSITY) * np.prod(shape)


def reads_edges(level: KernelLevel) -> bool:
    """Return whether kernels iterate over the connections of a level instead of a matrix."""
    return level.edges.indptr.size > 0


def parameters(level: KernelLevel) -> np.ndarray:
    """Return the array that training changes: a matrix, or one weight per connection."""
    return level.values if reads_edges(level) else level.weights


def kernel_level_values(level: KernelLevel) -> np.ndarray:
    """Return the weights of a kernel form as a level stores them.

    This is the inverse of :func:`make_kernel_level`.
    """
    if level.mask.size:
        return level.weights[level.mask.view(bool)]
    return parameters(level)


def as_dtype(stack: Stack, dtype) -> Stack:
    """Return a copy of the arrays of a machine in this floating-point type."""
    levels = tuple(
        level._replace(weights=level.weights.astype(dtype), values=level.values.astype(dtype))
        for level in stack.levels
    )
    return stack._replace(levels=levels, biases=tuple(bias.astype(dtype) for bias in stack.biases))


def scale_weights(stack: Stack, factor) -> None:
    """Multiply the weights of every level by a number, in place."""
    for level in stack.levels:
        parameters(level)[...] *= factor
