"""Options of a pruner, and the validation of its parameters."""

from __future__ import annotations

import itertools
import numbers
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from .._support.options import check_choice, check_number, resolve
from ..criteria import CRITERIA, UNIT_CRITERIA
from ..schedules import SCHEDULES, OneShot

ORDERS = ("joint", "bottom_up", "top_down")


@dataclass(eq=False, repr=False)
class Rewind(BaseEstimator):
    """Return to a machine from early in training after every round (Frankle & Carbin 2019).

    Parameters
    ----------
    n_iter : int, default=0
        Number of passes after which the machine is saved. If 0, it is saved before training.
    """

    n_iter: int = 0


@dataclass(eq=False, repr=False)
class Units(BaseEstimator):
    """Prune whole hidden units and remove them permanently, with the options of the thesis.

    Parameters
    ----------
    rescale : bool, default=False
        Whether to multiply the remaining weights of a level by the number of its upper units
        before removal, divided by their number after removal.
    hidden_bias : {"mean_activity", "negative"}, default=None
        If "mean_activity", set the biases of the remaining units to their mean activity a. If
        "negative", set them to −1 / (1 + exp(a)). If None, keep them.
    """

    rescale: bool = False
    hidden_bias: str | None = None


TARGETS = {"connections": None, "units": Units()}
RETRAIN = {"continue": "continue", "rewind": Rewind(), "reinitialize": "reinitialize"}


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


def check_pruner(pruner) -> Plan:
    """Validate the parameters of a pruner.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner whose parameters are read.

    Returns
    -------
    plan : Plan
        The validated parameters.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid, or incompatible with another one.
    """
    n_rounds = check_number(pruner.n_rounds, "n_rounds", numbers.Integral, low=1)
    check_choice("scope", pruner.scope, ("level", "global", "unit"))
    check_choice("order", pruner.order, ORDERS)
    check_choice("remove", pruner.remove, ("least", "most"))
    retrain = resolve(pruner.retrain, RETRAIN, "retrain")
    if not (retrain is None or isinstance(retrain, str | Rewind)):
        raise TypeError(
            "retrain must be 'continue', 'rewind', 'reinitialize', a Rewind object or None, got "
            f"{retrain!r}."
        )
    if isinstance(retrain, Rewind):
        n_iter = check_number(retrain.n_iter, "n_iter of Rewind", numbers.Integral, low=0)
        retrain = Rewind(n_iter)
    units = resolve(pruner.target, TARGETS, "target")
    if pruner.target is None or not (units is None or isinstance(units, Units)):
        raise TypeError(
            f"target must be 'connections', 'units' or a Units object, got {pruner.target!r}."
        )
    if pruner.n_retrain_iter is not None:
        check_number(pruner.n_retrain_iter, "n_retrain_iter", numbers.Integral, low=1)
    if pruner.grace_rounds is not None:
        check_number(pruner.grace_rounds, "grace_rounds", numbers.Integral, low=0)
    if pruner.scope == "global" and pruner.order != "joint":
        raise ValueError(
            f"scope='global' prunes all levels together, but order={pruner.order!r} prunes them "
            "one by one. Use order='joint' or scope='level'."
        )
    if pruner.scope == "unit" and units is not None:
        raise ValueError(
            "scope='unit' requires target='connections'. Use scope='level' or 'global'."
        )
    registry, noun = (UNIT_CRITERIA, "LayerView") if units else (CRITERIA, "LevelView")
    criterion = resolve(pruner.criterion, registry, "criterion")
    regrow = resolve(pruner.regrow, CRITERIA, "regrow")
    for name, function in (("criterion", criterion), ("regrow", regrow)):
        is_function = callable(function) and not isinstance(function, type)
        if not is_function and (name, function) != ("regrow", None):
            raise TypeError(f"{name} must be a name or a function of a {noun}, got {function!r}.")
        if hasattr(function, "check_parameters"):
            function.check_parameters()
    schedule, sparsities, listed = check_schedule(
        pruner.schedule, pruner.sparsity, n_rounds, units=units, regrow=regrow
    )
    return Plan(
        schedule=schedule,
        criterion=criterion,
        regrow=regrow,
        scope=pruner.scope,
        remove=pruner.remove,
        units=units,
        retrain="rewind" if isinstance(retrain, Rewind) else retrain,
        rewind_to=retrain.n_iter if isinstance(retrain, Rewind) else None,
        sparsities=sparsities,
        listed=listed,
    )


def check_schedule(given, sparsity, n_rounds, *, units, regrow) -> tuple:
    """Validate the schedule and the sparsities of a pruner.

    Parameters
    ----------
    given : str, object or list of float
        Parameter ``schedule`` of the pruner.
    sparsity : float, list of float or None
        Parameter ``sparsity`` of the pruner.
    n_rounds : int
        Number of rounds.
    units : Units or None
        Options for the removal of units, or None if connections are pruned.
    regrow : callable or None
        Criterion for connections to add, or None.

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
        If the schedule or a sparsity is invalid, or incompatible with ``units`` or ``regrow``.
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
    if hasattr(schedule, "check_parameters"):
        schedule.check_parameters()
    sparsities = list(given) if listed else [sparsity] * n_rounds
    if regrow is not None and (units or schedule.needs_target):
        raise ValueError(
            "regrow requires target='connections' and a schedule that can remove more connections "
            f"than the target, such as FractionOfRemaining, got schedule={given!r}."
        )
    sparsities = [_plain_sparsity(wanted) for wanted in sparsities]
    for wanted in sparsities:
        for share in per_level(wanted):
            if share is not None:
                continue
            if schedule.needs_target:
                raise ValueError(
                    "sparsity=None requires a schedule that needs no target, such as "
                    f"FractionOfRemaining. Pass a sparsity in [0, 1) with schedule={given!r}."
                )
            if regrow is not None:
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


def _plain_sparsity(sparsity):
    """Return a sparsity as a Python number, a list of them, or None."""
    if isinstance(sparsity, list | tuple | np.ndarray):
        return [_plain_sparsity(share) for share in sparsity]
    if sparsity is None:
        return None
    return check_number(sparsity, "sparsity", low=0, high=1, closed="left")


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
