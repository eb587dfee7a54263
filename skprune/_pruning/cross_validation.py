"""Scores of one cross-validation fold along a path of sparsities."""

from __future__ import annotations

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from .rounds import score_with


def fold_scores(pruner, X, y, train, test, scoring, fit_params):
    """Return the test scores of one fold after each round of the path.

    Returns
    -------
    scores : list of two lists of float
        Scores of the pruned machine, and of a full machine after the same number of passes.
    """
    X_train, y_train = _safe_split(pruner, X, y, train)
    X_test, y_test = _safe_split(pruner, X, y, test, train)
    fit_params = _check_method_params(X, fit_params, indices=train)
    context = pruner._init_callback_context(max_subtasks=None)
    rewinds = pruner._check_parameters().retrain == "rewind"
    if not (isinstance(pruner.estimator, FrozenEstimator) or rewinds):  # shared training
        full = clone(pruner).set_params(schedule=[0.0], retrain=None)
        ((_, start),) = full._rounds(context, X_train, y_train, fit_params)
        pruner = clone(pruner).set_params(estimator=FrozenEstimator(start))
    result = []
    for schedule in (pruner.schedule, [0.0] * len(pruner.schedule)):
        path = clone(pruner).set_params(schedule=schedule)
        rounds = path._rounds(context, X_train, y_train, fit_params)
        result.append(
            [
                score_with(check_scoring(machine, scoring), machine, X_test, y_test)
                for _, machine in rounds
            ]
        )
    return result
