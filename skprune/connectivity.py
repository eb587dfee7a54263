"""Which connections exist: masks, and keeping the best of them.

A mask has the shape of ``components_``, (n_upper, n_lower), and is True where
the connection exists.
"""

from __future__ import annotations

import numbers

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from ._support.options import check_number

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
    """Return the mask of a full level.

    Parameters
    ----------
    shape : tuple of int
        (n_upper, n_lower).

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)

    Examples
    --------
    >>> from skprune.connectivity import full
    >>> full((2, 3)).all()
    np.True_
    """
    return np.ones(shape, dtype=bool)


def random_dilution(shape, sparsity, random_state=None) -> np.ndarray:
    """Return a mask with an exact share of connections missing, chosen at random.

    Parameters
    ----------
    shape : tuple of int
        (n_upper, n_lower).
    sparsity : float in [0, 1)
        Share of absent connections; their number is rounded to the nearest.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)

    Raises
    ------
    ValueError
        If ``sparsity`` is outside [0, 1) or leaves no connection.

    Examples
    --------
    >>> from skprune.connectivity import random_dilution
    >>> random_dilution((4, 5), 0.8, random_state=0).sum()
    np.int64(4)
    """
    check_number(sparsity, "sparsity", low=0, high=1, closed="left")
    rng = check_random_state(random_state)
    n_full = int(np.prod(shape))
    n_kept = n_full - round(sparsity * n_full)
    if n_kept == 0:
        raise ValueError(
            f"sparsity={sparsity} leaves none of the {n_full} connections; use a lower one."
        )
    mask = np.zeros(n_full, dtype=bool)
    mask[rng.permutation(n_full)[:n_kept]] = True
    return mask.reshape(shape)


def receptive_fields(image_shape, window) -> np.ndarray:
    """Connect one hidden unit a pixel to the pixels around it.

    At the border the field is smaller: 5 x 5 fields on 20 x 20 pixels are 8,836
    connections of 160,000 (the thesis's deep machine).

    Parameters
    ----------
    image_shape : (int, int)
        Height and width.
    window : int or (int, int)
        Height and width of a field, odd.

    Returns
    -------
    connectivity : ndarray of bool of shape (n_pixels, n_pixels)

    Raises
    ------
    ValueError
        If a side is below 1 or a window even.

    Examples
    --------
    >>> from skprune.connectivity import receptive_fields
    >>> int(receptive_fields((20, 20), 5).sum())
    8836
    """
    sides = [
        check_number(side, "a side of image_shape", numbers.Integral, low=1) for side in image_shape
    ]
    windows = (window, window) if isinstance(window, numbers.Integral) else tuple(window)
    if len(sides) != 2 or len(windows) != 2:
        raise ValueError(
            f"image_shape must be (height, width) and window a number or a pair, got {image_shape!r} "
            f"and {window!r}."
        )
    near = []
    for side, width in zip(sides, windows, strict=True):
        check_number(width, "window", numbers.Integral, low=1)
        if width % 2 == 0:
            raise ValueError(f"window={window!r} has no middle; use odd numbers.")
        place = np.arange(side)
        near.append(np.abs(place[:, None] - place) <= width // 2)
    return np.kron(*near).astype(bool)


def keep_best(scores, n_kept, connectivity=None, random_state=None) -> np.ndarray:
    """Return the mask of the ``n_kept`` best connections, exact under ties.

    Parameters
    ----------
    scores : ndarray of shape (n_upper, n_lower)
        What each connection is worth; higher is better.
    n_kept : int
        Number of connections to keep.
    connectivity : ndarray of bool of shape (n_upper, n_lower), default=None
        Connections to choose from; None means all.
    random_state : int, RandomState instance or None, default=None
        Decides between connections of equal score. Deciding by position
        would cut off the last units first.

    Returns
    -------
    mask : ndarray of bool of shape (n_upper, n_lower)

    Raises
    ------
    ValueError
        If scores are NaN, or ``n_kept`` is not between 0 and the number of
        connections there are.

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
        full(scores.shape) if connectivity is None else check_mask(connectivity, scores.shape)
    )
    candidates = np.flatnonzero(existing)
    if not 0 <= n_kept <= candidates.size:
        raise ValueError(
            f"n_kept={n_kept} connections cannot be kept of {candidates.size}; "
            f"use a number from 0 to {candidates.size}."
        )
    values = scores.ravel()[candidates]
    if np.isnan(values).any():
        raise ValueError(
            "The scores of existing connections contain NaN; every score must be a number."
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

    Returns
    -------
    upper : ndarray of bool of shape (n_upper,)
    lower : ndarray of bool of shape (n_lower,)

    Examples
    --------
    >>> from skprune.connectivity import isolated_units
    >>> isolated_units([[True, False], [False, False]])
    (array([False,  True]), array([False,  True]))
    """
    mask = np.asarray(connectivity, dtype=bool)
    return ~mask.any(axis=1), ~mask.any(axis=0)


def has_both_sides(masks, level) -> np.ndarray:
    """Return which upper units of a level have connections below, and above where there is a level.

    Parameters
    ----------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        Bottom first.
    level : int

    Returns
    -------
    units : ndarray of bool of shape (n_upper,)

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.connectivity import has_both_sides
    >>> has_both_sides([np.array([[True], [False]]), np.array([[True, True]])], 0)
    array([ True, False])
    """
    below = masks[level].any(axis=1)
    return below & masks[level + 1].any(axis=0) if level + 1 < len(masks) else below


def connected_units(masks) -> list:
    """Return which hidden units have connections on every side, one array a layer.

    A unit whose last neighbour goes, goes too; a layer that would lose all its
    units keeps them.

    Parameters
    ----------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        Bottom first.

    Returns
    -------
    units : list of ndarray of bool of shape (n_upper,)

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.connectivity import connected_units
    >>> connected_units([np.array([[True, False], [False, False]])])
    [array([ True, False])]
    """
    masks = [np.array(mask, dtype=bool) for mask in masks]
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
    """Return the share of absent connections of one mask or a list of masks.

    Examples
    --------
    >>> from skprune.connectivity import sparsity
    >>> sparsity([[True, False], [False, False]])
    0.75
    """
    masks = connectivity if isinstance(connectivity, list | tuple) else [connectivity]
    masks = [np.asarray(mask, dtype=bool) for mask in masks]
    total = sum(mask.size for mask in masks)
    return float(1 - sum(int(mask.sum()) for mask in masks) / total)


def check_mask(mask, shape) -> np.ndarray:
    """Return ``mask`` as a boolean array of this shape.

    Parameters
    ----------
    mask : array-like or sparse matrix of shape ``shape``
        Booleans, or the numbers 0 and 1.
    shape : tuple of int
        (n_upper, n_lower).

    Raises
    ------
    ValueError
        If the shape is another, a value is neither 0 nor 1, or no connection
        is left.
    """
    array = mask.toarray() if sparse.issparse(mask) else np.asarray(mask)
    if array.shape != tuple(shape):
        raise ValueError(
            f"The connectivity mask has shape {array.shape}, but the level needs "
            f"(n_upper, n_lower) = {tuple(shape)}, the shape of components_."
        )
    if array.dtype != bool:
        if not np.isin(array, (0, 1)).all():
            raise ValueError("A connectivity mask holds only True and False (or 1 and 0).")
        array = array.astype(bool)
    if not array.any():
        raise ValueError("The connectivity mask leaves no connection; keep at least one.")
    return array


def from_option(option, shape, rng) -> np.ndarray:
    """Resolve the ``connectivity`` parameter of a machine to a mask."""
    if option is None:
        return full(shape)
    return check_mask(option(shape, rng) if callable(option) else option, shape)
