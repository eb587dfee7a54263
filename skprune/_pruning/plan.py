"""Validation of the parameters of a pruner."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from .._support.options import check_number, resolve
from ..schedules import SCHEDULES, OneShot


class Plan(NamedTuple):
    """The validated parameters of a pruner, with objects in place of names.

    Attributes
    ----------
    schedule : object
        Pruning schedule, see :mod:`skprune.schedules`.
    criterion : callable
        Criterion for connections or units.
    regrow : callable or None
        Criterion for connections to add, or None.
    scope : {"level", "global", "unit"}
        Where connections or units compete.
    remove : {"least", "most"}
        Whether the lowest or the highest scores are removed.
    units : Units or None
        Options for the removal of units, or None if connections are pruned.
    retrain : {"continue", "rewind", "reinitialize"} or None
        How to train after each round.
    rewind_to : int or None
        Number of passes after which the machine to return to is saved, or None.
    sparsities : list
        Target sparsity of each round: a number, a list with one number per level, or None.
    listed : bool
        Whether the user listed the sparsities.
    """

    schedule: object
    criterion: object
    regrow: object
    scope: str
    remove: str
    units: object
    retrain: str | None
    rewind_to: int | None
    sparsities: list
    listed: bool


def check_schedule(given, sparsity, n_rounds, *, units, regrow) -> tuple:
    """Validate the schedule and the sparsities of a pruner.

    Returns
    -------
    schedule : object
        The schedule. It is :class:`~skprune.schedules.OneShot` if sparsities are listed.
    sparsities : list
        Target sparsity of each round.
    listed : bool
        Whether ``given`` is a list of sparsities.

    Raises
    ------
    ValueError, TypeError
        If the schedule or a sparsity is invalid, or they do not fit ``units`` and ``regrow``.
    """
    listed = isinstance(given, list | tuple | np.ndarray)
    if listed and not len(given):
        raise ValueError("schedule is an empty list. Pass the sparsity to reach in each round.")
    schedule = OneShot() if listed else resolve(given, SCHEDULES, "schedule")
    if isinstance(schedule, type) or not hasattr(schedule, "n_kept"):
        raise TypeError(
            "schedule must be a name, a list of sparsities or an object such as "
            f"FractionOfRemaining(0.3), got {schedule!r}."
        )
    sparsities = list(given) if listed else [sparsity] * n_rounds
    if regrow is not None and (units or schedule.needs_target):
        raise ValueError(
            "regrow requires target='connections' and a schedule that can remove more connections "
            f"than the target, such as FractionOfRemaining, got schedule={given!r}."
        )
    for wanted in sparsities:
        for share in per_level(wanted):
            if share is not None:
                check_number(share, "sparsity", low=0, high=1, closed="left")
            elif schedule.needs_target:
                raise ValueError(
                    "sparsity=None requires a schedule that needs no target, such as "
                    f"FractionOfRemaining. Pass a sparsity in [0, 1) with schedule={given!r}."
                )
            elif regrow is not None:
                raise ValueError(
                    "regrow adds connections up to a target sparsity, got sparsity=None. Pass a "
                    "number in [0, 1)."
                )
    for before, after in itertools.pairwise(map(per_level, sparsities) if listed else []):
        if any(later < earlier for earlier, later in zip(before, after, strict=False)):
            raise ValueError(
                f"schedule={given!r} is not in ascending order. List the lowest sparsity first."
            )
    return schedule, sparsities, listed


def per_level(sparsity, n_levels=1) -> list:
    """Return a sparsity as a list, which repeats a single number for each level."""
    listed = isinstance(sparsity, list | tuple | np.ndarray)
    return list(sparsity) if listed else [sparsity] * n_levels


def check_n_levels(sparsity, n_levels):
    """Raise a ValueError if a sparsity does not have one entry per level."""
    n_given = len(per_level(sparsity, n_levels))
    if n_given != n_levels:
        raise ValueError(
            f"sparsity has {n_given} entries for {n_levels} levels. Pass one number for all "
            "levels, or one per level."
        )
