"""Scores of one cross-validation fold along a path of sparsities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from .._support.ranges import one_range_warning
from .loop import prune_in_rounds
from .metadata import Metadata
from .plan import check_pruner
from .rounds import score_with


def checked_splits(splitter, X, y, params) -> list:
    """Return the splits of a splitter as pairs of arrays of row indices.

    Parameters
    ----------
    splitter : object
        Cross-validation splitter.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,) or None
        Target.
    params : dict
        Further arguments of ``split``.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
        Indices of the training and the test rows of each split.

    Raises
    ------
    ValueError
        If there are no splits, or one is not a pair of valid, nonempty lists of rows.
    """
    n_rows, splits = _num_samples(X), []
    for split in splitter.split(X, y, **params):
        parts = [np.asarray(rows) for rows in split] if isinstance(split, Sequence) else []
        parts = [np.flatnonzero(rows) if rows.dtype == bool else rows for rows in parts]
        if len(parts) != 2 or not all(
            rows.ndim == 1 and rows.size and rows.dtype.kind in "iu" for rows in parts
        ):
            raise ValueError(
                "Each split of cv must be a pair of lists of row indices, for training and testing, "
                f"got {split!r}."
            )
        low, high = min(rows.min() for rows in parts), max(rows.max() for rows in parts)
        if low < 0 or high >= n_rows:
            raise ValueError(
                f"The splits of cv must hold rows from 0 to {n_rows - 1}, got {low} to {high}."
            )
        splits.append(tuple(parts))
    if not splits:
        raise ValueError(f"cv must give at least one split, but {splitter!r} gives none.")
    return splits


@one_range_warning(quiet=True)
def fold_scores(pruner, X, y, train, test, scoring, metadata: Metadata):
    """Return the test scores of one fold after each round of the path.

    In another thread or process than ``fit``, data outside [0, 1] give no warning: the final fit
    gives it.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner whose ``schedule`` is the list of sparsities.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,) or None
        Target.
    train, test : ndarray of int
        Indices of the training and the test rows.
    scoring : str, callable or None
        Scorer. If None, ``score`` of the machine is used.
    fit_params : dict
        Arguments of ``fit``.

    Returns
    -------
    scores : list of two lists of float
        Scores of the pruned machine, and of a full machine after the same number of passes.
    """
    X_train, y_train = _safe_split(pruner, X, y, train)
    X_test, y_test = _safe_split(pruner, X, y, test, train)
    given = Metadata(_check_method_params(X, metadata.fit, indices=train), {}, {})
    score_params = _check_method_params(X, metadata.score, indices=test)
    rewinds = check_pruner(pruner).retrain == "rewind"
    if not (isinstance(pruner.estimator, FrozenEstimator) or rewinds):  # shared training
        full = clone(pruner).set_params(schedule=[0.0], retrain=None)
        ((_, start),) = prune_in_rounds(full, check_pruner(full), X_train, y_train, given)
        pruner = clone(pruner).set_params(estimator=FrozenEstimator(start))
    result = []
    for schedule in (pruner.schedule, [0.0] * len(pruner.schedule)):
        path = clone(pruner).set_params(schedule=schedule)
        rounds = prune_in_rounds(path, check_pruner(path), X_train, y_train, given)
        result.append(
            [
                score_with(
                    check_scoring(machine, scoring=scoring), machine, X_test, y_test, **score_params
                )
                for _, machine in rounds
            ]
        )
    return result
