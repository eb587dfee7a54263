"""Masks, which say which connections of a level exist.

A mask is a boolean array with the shape of ``components_``, (n_upper, n_lower). It is True where
the connection exists.
"""

from __future__ import annotations

import numbers

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from ._support.options import check_number, check_shape
from ._support.tables import as_array, column_names, refuse_complex

__all__ = [
    "check_mask",
    "full",
    "isolated_units",
    "keep_best",
    "random_dilution",
    "receptive_fields",
    "sparsity",
]


def full(shape) -> np.ndarray:
    """Return the mask of a full level, in which every connection exists.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask, (n_upper, n_lower).

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Mask in which all entries are True.

    Examples
    --------
    >>> from skprune.connectivity import full
    >>> full((2, 3)).all()
    np.True_
    """
    return np.ones(check_shape(shape), dtype=bool)


def random_dilution(shape, sparsity, random_state=None) -> np.ndarray:
    """Return a random mask in which an exact share of the connections is absent.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask, (n_upper, n_lower).
    sparsity : float in [0, 1)
        Share of absent connections. Their number is rounded to the nearest integer.
    random_state : int, RandomState instance or None, default=None
        Determines which connections are absent. Pass an int for reproducible results.

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Mask with the given share of connections absent.

    Raises
    ------
    TypeError
        If ``sparsity`` is not a number.
    ValueError
        If ``sparsity`` is outside [0, 1) or leaves no connection.

    Examples
    --------
    >>> from skprune.connectivity import random_dilution
    >>> random_dilution((4, 5), 0.8, random_state=0).sum()
    np.int64(4)
    """
    shape = check_shape(shape)
    sparsity = check_number(sparsity, "sparsity", low=0, high=1, closed="left")
    rng = check_random_state(random_state)
    n_full = shape[0] * shape[1]
    n_kept = n_full - round(sparsity * n_full)
    if n_kept == 0:
        raise ValueError(
            f"sparsity={sparsity} leaves none of the {n_full} connections. Use a lower sparsity."
        )
    mask = np.zeros(n_full, dtype=bool)
    mask[rng.permutation(n_full)[:n_kept]] = True
    return mask.reshape(shape)


def receptive_fields(image_shape, window) -> np.ndarray:
    """Return a mask that connects one hidden unit per pixel to the pixels around it.

    Fields are cut off at the border of the image. The deep machine of the thesis has 5 × 5 fields
    on 20 × 20 pixels, which are 8,836 of 160,000 connections.

    Parameters
    ----------
    image_shape : (int, int)
        Height and width of the image.
    window : int or (int, int)
        Height and width of a field. Both must be odd. An int stands for a square field.

    Returns
    -------
    mask : ndarray of bool of shape (n_pixels, n_pixels)
        Mask with one row per hidden unit and one column per pixel.

    Raises
    ------
    TypeError
        If a height or width is not an integer.
    ValueError
        If a height or width is below 1, or one of ``window`` is even.

    Examples
    --------
    >>> from skprune.connectivity import receptive_fields
    >>> int(receptive_fields((20, 20), 5).sum())
    8836
    """
    sides = check_shape(image_shape, "image_shape")
    if np.ndim(window) == 0:
        window = (window, window)
    near = []
    for side, width in zip(sides, check_shape(window, "window"), strict=True):
        if width % 2 == 0:
            raise ValueError(f"window must hold odd numbers only, got {window!r}.")
        place = np.arange(side)
        near.append(np.abs(place[:, None] - place) <= width // 2)
    return np.kron(*near).astype(bool)


def keep_best(scores, n_kept, connectivity=None, random_state=None) -> np.ndarray:
    """Return the mask of the ``n_kept`` connections with the highest scores.

    The mask holds exactly ``n_kept`` connections, even if scores are tied.

    Parameters
    ----------
    scores : ndarray of shape (n_upper, n_lower)
        Score of each connection. Higher is better.
    n_kept : int
        Number of connections to keep.
    connectivity : ndarray of bool of shape (n_upper, n_lower), default=None
        Connections to choose from. If None, choose from all of them.
    random_state : int, RandomState instance or None, default=None
        Breaks ties between equal scores at random. Breaking them by position would cut off the
        last units first. Pass an int for reproducible results.

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)
        Mask of the connections that are kept.

    Raises
    ------
    ValueError
        If a score is NaN, or ``n_kept`` is not between 0 and the number of existing connections.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.connectivity import keep_best
    >>> keep_best(np.array([[3., 1.], [0., 2.]]), 2)
    array([[ True, False],
           [False,  True]])
    """
    scores = np.asarray(scores, dtype=np.float64)
    existing = (
        np.ones(scores.shape, dtype=bool)
        if connectivity is None
        else check_mask(connectivity, scores.shape)
    )
    candidates = np.flatnonzero(existing)
    n_kept = check_number(n_kept, "n_kept", numbers.Integral)
    if not 0 <= n_kept <= candidates.size:
        raise ValueError(
            f"n_kept={n_kept} connections cannot be kept out of {candidates.size}. "
            f"Use a number from 0 to {candidates.size}."
        )
    values = scores.ravel()[candidates]
    if np.isnan(values).any():
        raise ValueError(
            "The scores of existing connections contain NaN. Every score must be a number."
        )
    mask = np.zeros(scores.size, dtype=bool)
    if n_kept:
        threshold = np.partition(values, candidates.size - n_kept)[candidates.size - n_kept]
        mask[candidates[values > threshold]] = True
        tied = candidates[values == threshold]
        n_tied = n_kept - int(mask.sum())
        if n_tied < tied.size:
            tied = check_random_state(random_state).permutation(tied)[:n_tied]
        mask[tied] = True
    return mask.reshape(scores.shape)


def isolated_units(connectivity) -> tuple[np.ndarray, np.ndarray]:
    """Return which upper and which lower units of a level have no connection.

    Parameters
    ----------
    connectivity : ndarray of bool of shape (n_upper, n_lower)
        Mask of the level.

    Returns
    -------
    upper : ndarray of bool of shape (n_upper,)
        True for upper units without a connection.
    lower : ndarray of bool of shape (n_lower,)
        True for lower units without a connection.

    Examples
    --------
    >>> from skprune.connectivity import isolated_units
    >>> isolated_units([[True, False], [False, False]])
    (array([False,  True]), array([False,  True]))
    """
    mask = _any_mask(connectivity)
    return np.logical_not(mask.any(axis=1)), np.logical_not(mask.any(axis=0))


def has_both_sides(masks, level) -> np.ndarray:
    """Return which upper units of a level have connections on both sides.

    Units of the top layer need connections below only.

    Parameters
    ----------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        One mask per level, lowest level first.
    level : int
        Index of the level in ``masks``.

    Returns
    -------
    units : ndarray of bool of shape (n_upper,)
        True for units with connections on both sides.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.connectivity import has_both_sides
    >>> has_both_sides([np.array([[True], [False]]), np.array([[True, True]])], 0)
    array([ True, False])
    """
    level = check_number(level, "level", numbers.Integral, low=0, high=len(masks) - 1)
    below = masks[level].any(axis=1)
    return below & masks[level + 1].any(axis=0) if level + 1 < len(masks) else below


def connected_units(masks) -> list:
    """Return which hidden units remain if units without connections on both sides are removed.

    Removing a unit removes its connections. Units that lose their last connection on one side
    this way are removed too. A layer that would lose all its units keeps them.

    Parameters
    ----------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        One mask per level, lowest level first.

    Returns
    -------
    units : list of ndarray of bool of shape (n_upper,)
        One array per hidden layer, True for units that remain.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.connectivity import connected_units
    >>> connected_units([np.array([[True, False], [False, False]])])
    [array([ True, False])]
    """
    masks = [_any_mask(mask).copy() for mask in masks]
    units = [np.ones(mask.shape[0], dtype=bool) for mask in masks]
    going = True
    while going:
        going = False
        for number, kept in enumerate(units):
            stay = kept & has_both_sides(masks, number)
            if stay.any() and (stay != kept).any():
                units[number], going = stay, True
                masks[number][~stay] = False
                if number + 1 < len(masks):
                    masks[number + 1][:, ~stay] = False
    return units


def sparsity(connectivity) -> float:
    """Return the share of connections that are absent.

    Parameters
    ----------
    connectivity : array-like of bool of shape (n_upper, n_lower), or list of ndarray of bool
        One mask, or one mask per level. There must be at least one.

    Returns
    -------
    sparsity : float
        Number of absent connections divided by the number of all connections.

    Raises
    ------
    ValueError
        If there is no mask, or a mask is empty or holds something other than 0 and 1.

    Examples
    --------
    >>> from skprune.connectivity import sparsity
    >>> sparsity([[True, False], [False, False]])
    0.75
    """
    several = isinstance(connectivity, list | tuple) and not (
        len(connectivity) and np.ndim(connectivity[0]) == 1
    )
    masks = [_any_mask(mask) for mask in (connectivity if several else [connectivity])]
    total = sum(mask.size for mask in masks)
    if not total:
        raise ValueError(
            f"sparsity needs at least one connection that could exist, got {connectivity!r}. Pass "
            "a mask, or a non-empty list with one mask per level."
        )
    return float(1 - sum(int(mask.sum()) for mask in masks) / total)


def _any_mask(mask) -> np.ndarray:
    """Return a mask of any shape as a boolean matrix."""
    array = as_array(mask)
    array = array.toarray() if sparse.issparse(array) else np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"A mask must have two dimensions, got shape {array.shape}.")
    return check_mask(array, array.shape) if array.any() else np.zeros(array.shape, dtype=bool)


def one_per_level(masks, n_levels) -> list:
    """Return masks as a list with one entry per level.

    Parameters
    ----------
    masks : array-like or list of array-like of bool
        One mask per level. With one level, this may be a single mask.
    n_levels : int
        Number of levels.

    Returns
    -------
    masks : list of array-like of bool
        One mask per level. The masks are not validated.

    Raises
    ------
    ValueError
        If the number of masks is not the number of levels.
    """
    single = not isinstance(masks, list | tuple) or (
        n_levels == 1 and np.ndim(masks) == 2 and not sparse.issparse(masks[0])
    )
    masks = [masks] if single else list(masks)
    if len(masks) != n_levels:
        raise ValueError(
            f"set_connectivity got {len(masks)} masks for {n_levels} levels. Pass one mask per "
            "level, lowest level first."
        )
    return masks


def check_mask(mask, shape, names=None) -> np.ndarray:
    """Validate a mask and return it as a boolean array.

    Parameters
    ----------
    mask : {array-like, sparse matrix} of shape (n_upper, n_lower)
        Booleans, or the numbers 0 and 1.
    shape : tuple of int
        Required shape, (n_upper, n_lower).
    names : sequence of str, default=None
        Names of the lower units. If the mask has column names, they must be these. If None, names
        are not checked.

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)
        The validated mask.

    Raises
    ------
    ValueError
        If the mask has a different shape or other column names, holds a value other than 0 and 1,
        or has no connection.

    Examples
    --------
    >>> from skprune.connectivity import check_mask
    >>> check_mask([[1, 0]], (1, 2))
    array([[ True, False]])
    """
    array = as_dense(as_array(mask))
    if array.shape != tuple(shape):
        raise ValueError(
            f"The connectivity mask has shape {array.shape}, but it must have the shape of "
            f"components_, (n_upper, n_lower) = {tuple(shape)}."
        )
    given = column_names(mask)
    if names is not None and given is not None and given != list(names):
        raise ValueError(
            "The columns of the connectivity mask must have the names and the order of the "
            f"features, which begin with {list(names[:5])}, got {given[:5]}."
        )
    if array.dtype != bool:
        if not np.isin(array, (0, 1)).all():
            raise ValueError("The connectivity mask must hold only True and False, or 1 and 0.")
        array = array.astype(bool)
    if not array.any():
        raise ValueError("The connectivity mask leaves no connection. It must keep at least one.")
    return array


def as_dense(matrix) -> np.ndarray:
    """Return an array, or a sparse matrix as a dense array.

    SciPy writes by the indices of a sparse matrix without checking them, so they are checked here.

    Parameters
    ----------
    matrix : {array-like, sparse matrix}

    Returns
    -------
    array : ndarray

    Raises
    ------
    ValueError
        If an index of a sparse matrix is out of bounds, or the numbers are complex.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from skprune.connectivity import as_dense
    >>> as_dense(csr_array([[0, 2]]))
    array([[0, 2]])
    """
    matrix = matrix if sparse.issparse(matrix) else np.asarray(matrix)
    refuse_complex(matrix)
    if not sparse.issparse(matrix):
        return matrix
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    elif matrix.format == "coo" and matrix.nnz:
        for indices, length in zip((matrix.row, matrix.col), matrix.shape, strict=True):
            if indices.min() < 0 or indices.max() >= length:
                raise ValueError(
                    f"An index of a sparse matrix of shape {matrix.shape} is out of bounds, got "
                    f"{indices.min()} to {indices.max()}. Build the matrix anew."
                )
    return matrix.toarray()


def check_masks(masks, shapes, names=None) -> list:
    """Validate one mask per level and return them as boolean arrays.

    Parameters
    ----------
    masks : list of {array-like, sparse matrix} of shape (n_upper, n_lower)
        One mask per level, lowest level first.
    shapes : list of (int, int)
        Required shape of each mask.
    names : sequence of str, default=None
        Names of the units below the lowest level, which column names of its mask must match.

    Returns
    -------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
    """
    return [
        check_mask(mask, shape, None if number else names)
        for number, (mask, shape) in enumerate(zip(masks, shapes, strict=True))
    ]


def from_option(option, shape, rng, names=None) -> np.ndarray:
    """Return the mask that the ``connectivity`` parameter of a machine describes.

    Parameters
    ----------
    option : None, callable, or {array-like, sparse matrix} of shape (n_upper, n_lower)
        None stands for a full level. A callable is called with ``shape`` and ``rng``, and must
        return a mask.
    shape : tuple of int
        Shape of the mask, (n_upper, n_lower).
    rng : numpy.random.RandomState
        Random number generator, which is passed to a callable.
    names : sequence of str, default=None
        Names of the lower units, which column names of the mask must match.

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)
        The validated mask.
    """
    if option is None:
        return full(shape)
    return check_mask(option(shape, rng) if callable(option) else option, shape, names)
