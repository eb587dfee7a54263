"""The parameters of a pruner, resolved and checked."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from .._support.options import check_number, resolve
from ..schedules import SCHEDULES, OneShot


class Plan(NamedTuple):
    """The parameters of a pruner, resolved."""

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
    """Return the schedule, the sparsity to reach in each round, and whether these were listed."""
    listed = isinstance(given, list | tuple | np.ndarray)
    if listed and not len(given):
        raise ValueError("schedule is an empty list; give the sparsity after every round.")
    schedule = OneShot() if listed else resolve(given, SCHEDULES, "schedule")
    if isinstance(schedule, type) or not hasattr(schedule, "n_kept"):
        raise TypeError(
            "schedule must be a name, a list of sparsities or an object such as "
            f"FractionOfRemaining(0.3), got {schedule!r}."
        )
    sparsities = list(given) if listed else [sparsity] * n_rounds
    if regrow is not None and (units or schedule.needs_target):
        raise ValueError(
            "regrow brings connections back up to the target, so it needs target='connections' "
            "and a schedule that decides for itself, such as FractionOfRemaining; "
            f"schedule={given!r} stops at the target."
        )
    for wanted in sparsities:
        for share in per_level(wanted):
            if share is not None:
                check_number(share, "sparsity", low=0, high=1, closed="left")
            elif schedule.needs_target:
                raise ValueError(
                    "sparsity=None is for schedules that decide for themselves, such as "
                    f"FractionOfRemaining; schedule={given!r} needs a target in [0, 1)."
                )
            elif regrow is not None:
                raise ValueError(
                    "regrow brings connections back up to the target; give one as sparsity."
                )
    for before, after in itertools.pairwise(map(per_level, sparsities) if listed else []):
        if any(later < earlier for earlier, later in zip(before, after, strict=False)):
            raise ValueError(
                f"schedule={given!r} falls; the sparsities after every round must rise."
            )
    return schedule, sparsities, listed


def per_level(sparsity, n_levels=1) -> list:
    """The entries of a sparsity: one number for all levels, or one a level."""
    listed = isinstance(sparsity, list | tuple | np.ndarray)
    return list(sparsity) if listed else [sparsity] * n_levels


def check_n_levels(sparsity, n_levels):
    """Say where a sparsity has entries for other levels than there are."""
    n_given = len(per_level(sparsity, n_levels))
    if n_given != n_levels:
        raise ValueError(
            f"sparsity has {n_given} entries for {n_levels} levels; give one number, or one a level."
        )
