"""The loop over the rounds of a pruner."""

from __future__ import annotations

import time
from copy import deepcopy

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from .. import connectivity
from .._support.compat import NullCallbackContext
from .._support.random import new_seeds, seeds_of
from .early import check_labels_given, check_scorer
from .metadata import Metadata
from .plan import Plan, Units
from .protocol import check_prunable
from .rounds import (
    ConnectionItems,
    RoundStates,
    Step,
    UnitItems,
    decide,
    scores_for_history,
    targets_of,
    without_units,
)
from .training import RoundTrainer


def prune_in_rounds(pruner, plan: Plan, X, y, metadata: Metadata, context=None):
    """Train the estimator of a pruner, then prune it and train it again in rounds.

    A round consists of turns, each of which prunes some levels and then trains. With
    ``order="joint"``, a round has one turn, which prunes all levels. Otherwise it has one turn per
    level.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner whose parameters are read. It is not changed.
    plan : Plan
        The validated parameters of the pruner.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,) or None
        Target passed to ``fit`` of the machine, and to criteria that use labels.
    metadata : Metadata
        Further arguments of ``fit`` of the machine, and of the scorer.
    context : callback context, default=None
        Context of ``fit`` of the pruner, in which each training is a task. If None, callbacks of
        the pruner are not called.

    Yields
    ------
    row : dict
        Row of the history of this turn.
    machine : estimator
        The machine after this turn. Later turns may change it in place.

    Raises
    ------
    ValueError, TypeError
        If the estimator cannot be pruned as planned, or a level would be empty.
    """
    check_labels_given(plan, y)
    scorer = None
    if pruner.scoring is not None:
        scorer = check_scorer(pruner.estimator, pruner.scoring, y, needs_y=True)
    rng = check_random_state(pruner.random_state)
    estimator, is_fitted = copy_to_prune(pruner, rng)
    if pruner.random_state is None:
        seed = seeds_of(estimator).get("random_state")
        rng = rng if seed is None else check_random_state(deepcopy(seed))
    # Use a separate stream, because the machine drew its mask with the same seed.
    rng = np.random.RandomState(rng.randint(np.iinfo(np.int32).max))
    context = NullCallbackContext() if context is None else context
    trainer = RoundTrainer(pruner, context, X, y, metadata.fit)
    start = None
    if not is_fitted:
        estimator, start = trainer.first(estimator, plan.rewind_to)
    elif plan.retrain == "rewind":
        start = deepcopy(estimator)
    check_prunable(estimator, trains_on=bool(plan.retrain))
    kind = ConnectionItems if plan.units is None else UnitItems
    masks = [np.array(mask) for mask in estimator.connectivity_]
    sizes = [kind.size(mask) for mask in masks]
    n_start = [int(kind.present(masks, k).sum()) for k in range(len(masks))]
    targets = [targets_of(share, sizes, n_start, kind) for share in plan.sparsities]
    turns = levels_of_turns(pruner.order, len(masks))
    idle = [np.zeros(mask.shape[0], int) for mask in masks]
    for number, target in enumerate(targets):
        for turn in turns:
            started = time.perf_counter()
            states = RoundStates(estimator, X, y, rng)
            step = decide(plan, kind, estimator, turn, n_start, target, number, rng, states)
            set_masks(estimator, step)
            if plan.units is not None:
                stay = connectivity.connected_units(estimator.connectivity_)
                estimator, start, _ = without_units(estimator, start, stay, plan.units)
            elif pruner.grace_rounds is not None and turn is turns[-1]:
                connected = connectivity.connected_units(step.masks)
                idle = [np.where(on, 0, n + 1) for on, n in zip(connected, idle, strict=True)]
                stay = [count <= pruner.grace_rounds for count in idle]
                estimator, start, idle = without_units(estimator, start, stay, Units(), idle)
            row = {
                "round": number + 1,
                "level": -1 if pruner.order == "joint" else turn[0],
                **counts(estimator, kind, sizes),
                "n_pruned": step.n_pruned,
                "n_regrown": step.n_regrown,
                "threshold": step.threshold,
            }
            before = scores_for_history(scorer, estimator, X, y, "score_pruned", metadata.score)
            estimator = trainer.after_round(estimator, start, plan.retrain, rng)
            row["seconds"] = time.perf_counter() - started
            after = scores_for_history(scorer, estimator, X, y, "score", metadata.score)
            yield row | before | after, estimator


def copy_to_prune(pruner, rng) -> tuple:
    """Return a copy of the estimator of a pruner, and whether it is fitted already.

    A frozen estimator is copied as it is. Otherwise the copy is a clone, with new seeds if the
    pruner has a seed.
    """
    if isinstance(pruner.estimator, FrozenEstimator):
        return deepcopy(pruner.estimator.estimator), True
    estimator = clone(pruner.estimator)
    if pruner.random_state is not None:
        estimator.set_params(**new_seeds(estimator, rng))
    return estimator, False


def levels_of_turns(order, n_levels) -> list:
    """Return the levels that each turn of a round prunes."""
    if order == "joint":
        return [list(range(n_levels))]
    turns = [[level] for level in range(n_levels)]
    return turns if order == "bottom_up" else turns[::-1]


def set_masks(estimator, step: Step) -> None:
    """Set the masks of a machine to those of a step. Regrown connections start at 0."""
    if step.n_regrown:
        estimator.set_connectivity(step.survivors)
    if step.n_pruned or step.n_regrown:
        estimator.set_connectivity(step.masks)


def counts(estimator, kind, sizes) -> dict:
    """Return the sparsity of a machine and the numbers of its connections and connected units.

    Parameters
    ----------
    estimator : estimator
        Fitted machine.
    kind : {ConnectionItems, UnitItems}
        What the sparsity is a share of.
    sizes : list of int
        Number of items of each full level.

    Returns
    -------
    counts : dict
        Columns of the history.
    """
    masks = [np.asarray(mask) for mask in estimator.connectivity_]
    levels = range(len(masks))
    n_present = sum(int(kind.present(masks, k).sum()) for k in levels)
    return {
        "sparsity": 1 - n_present / sum(sizes),
        "n_connections": sum(int(mask.sum()) for mask in masks),
        "n_units": sum(int(UnitItems.present(masks, k).sum()) for k in levels),
    }
