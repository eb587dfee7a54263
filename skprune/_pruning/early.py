"""What a pruner can refuse before it trains anything."""

from __future__ import annotations

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.utils.validation import _num_features

from ..criteria import label_information
from .plan import Plan, check_n_levels, per_level
from .protocol import check_prunable, check_unfitted
from .rounds import ConnectionItems, UnitItems, targets_of


def check_before(pruner, plan: Plan, n_features=None) -> list | None:
    """Raise an error before training if the estimator of a pruner cannot be pruned as planned.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner whose parameters are read.
    plan : Plan
        The validated parameters of the pruner.
    n_features : int, default=None
        Number of features of the training data, or None if it is not known.

    Returns
    -------
    shapes : list of (int or None, int or None), or None
        Shape of each level before pruning. Numbers that are not known are None, and so is the list
        if the estimator does not say.

    Raises
    ------
    ValueError, TypeError
        If the estimator is missing, lacks a member of the protocol, has an invalid parameter, or
        does not fit the sparsities.
    """
    estimator = pruner.estimator
    if estimator is None:
        raise ValueError(f"{type(pruner).__name__} needs an estimator to prune, got None.")
    if isinstance(estimator, FrozenEstimator):
        machine = estimator.estimator
        check_prunable(machine, trains_on=bool(plan.retrain))
        shapes = [np.shape(mask) for mask in machine.connectivity_]
    else:
        machine = estimator
        shapes = None
    check_unfitted(
        machine,
        trains_on=bool(plan.retrain),
        sets_n_iter=pruner.n_retrain_iter is not None or plan.retrain in ("rewind", "reinitialize"),
    )
    if shapes is None and hasattr(machine, "planned_levels"):
        shapes = machine.planned_levels(n_features)
    for sparsity in plan.sparsities:
        listed = isinstance(sparsity, list)
        if hasattr(machine, "check_pruning"):
            target = "connections" if plan.units is None else "units"
            machine.check_pruning(len(sparsity) if listed else None, target)
        if shapes is not None:
            check_sparsity(sparsity, shapes, plan)
    return shapes


def check_sparsity(sparsity, shapes, plan: Plan) -> None:
    """Raise a ValueError if a sparsity does not fit the levels, or leaves nothing of one.

    Parameters
    ----------
    sparsity : float, list of float or None
        Target sparsity.
    shapes : list of (int or None, int or None)
        Shape of each level. Numbers that are not known are None.
    plan : Plan
        The validated parameters of the pruner.
    """
    check_n_levels(sparsity, len(shapes))
    kind = ConnectionItems if plan.units is None else UnitItems
    for share, shape in zip(per_level(sparsity, len(shapes)), shapes, strict=True):
        if None not in shape:
            size = kind.size(np.broadcast_to(True, shape))
            targets_of(share, [size], [size], kind)


def check_scorer(estimator, scoring, y=None, *, needs_y=False):
    """Return the scorer that ``scoring`` describes, or raise an error if it cannot work.

    Parameters
    ----------
    estimator : estimator
        Unfitted or frozen estimator that will be scored.
    scoring : str, callable, list, dict or None
        Parameter of the pruner.
    y : array-like, default=None
        Target that is passed to the scorer.
    needs_y : bool, default=False
        Whether y is known, so that it is an error if a scorer needs it and it is None.

    Returns
    -------
    scorer : callable

    Raises
    ------
    ValueError, TypeError
        If the scorer is not known, needs y, or calls a method that the estimator lacks.
    """
    estimator = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    scorer = check_scoring(estimator, scoring)
    several = getattr(scorer, "_scorers", None)
    for name, one in [(scoring, scorer)] if several is None else several.items():
        if not hasattr(one, "_score_func"):
            continue  # a function, or the method score
        methods = getattr(one, "_response_method", "predict")
        methods = (methods,) if isinstance(methods, str) else methods
        if not any(hasattr(estimator, method) for method in methods):
            raise ValueError(
                f"scoring={name!r} calls {' or '.join(methods)}, which {type(estimator).__name__} "
                "does not have. Use scoring=None or another scorer."
            )
        if needs_y and y is None:
            raise ValueError(f"scoring={name!r} compares predictions with y. Pass y to fit.")
    return scorer


def check_labels_given(plan: Plan, y) -> None:
    """Raise a ValueError if a criterion needs labels and there are none."""
    if y is None and label_information in (plan.criterion, plan.regrow):
        raise ValueError("criterion='label_information' needs labels. Pass y to fit.")


def number_of_features(X) -> int | None:
    """Return the number of features of data that are not validated, or None if it is not clear.

    Data without features are left to the validation of the estimator.
    """
    try:
        return _num_features(X) or None
    except (TypeError, ValueError):
        return None
