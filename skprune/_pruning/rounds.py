"""One round of pruning: scores, targets and masks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing, resample
from sklearn.utils.validation import _num_samples

from .. import connectivity
from ..criteria import LayerView, LevelView
from .plan import check_n_levels, per_level

MAX_DATA_STATES = 10_000  # rows of the data that criteria use


class Step(NamedTuple):
    """The result of one round of pruning.

    Attributes
    ----------
    masks : list of ndarray of bool of shape (n_upper, n_lower)
        Masks after the round, one per level, lowest level first.
    survivors : list of ndarray of bool of shape (n_upper, n_lower)
        The same masks without the connections that were regrown.
    threshold : float
        Lowest score that was kept.
    n_pruned : int
        Number of connections or units that were removed.
    n_regrown : int
        Number of connections that were regrown.
    """

    masks: list
    survivors: list
    threshold: float
    n_pruned: int
    n_regrown: int


class ConnectionItems:
    """Functions that score, keep and count the connections of a level."""

    noun = "connections"

    @staticmethod
    def size(mask):
        """Return the number of items of a full level."""
        return mask.size

    @staticmethod
    def present(masks, level):
        """Return which connections exist."""
        return masks[level]

    @staticmethod
    def strengths(weights):
        """Return the values that ``StdThreshold`` takes the standard deviation of."""
        return np.asarray(weights)

    @staticmethod
    def scores(criterion, views, level, states):
        """Return the score of each item."""
        return _checked_scores(criterion, views[level])

    @staticmethod
    def keep(masks, level, stays):
        """Update the masks in place so that only some items remain."""
        masks[level] = stays


class UnitItems:
    """Functions that score, keep and count the upper units of a level."""

    noun = "units"

    @staticmethod
    def size(mask):
        """Return the number of items of a full level."""
        return mask.shape[0]

    @staticmethod
    def present(masks, level):
        """Return which units exist. A unit exists if it has connections on both sides."""
        return connectivity.has_both_sides(masks, level)

    @staticmethod
    def strengths(weights):
        """Return the values that ``StdThreshold`` takes the standard deviation of."""
        return np.linalg.norm(weights, axis=1)

    @staticmethod
    def scores(criterion, views, level, states):
        """Return the score of each item."""
        above = views[level + 1] if level + 1 < len(views) else None
        scores = criterion(LayerView(views[level], above, states.labels))
        scores = np.asarray(scores, dtype=np.float64)
        n_units = views[level].weights.shape[0]
        _check_not_nan(scores)
        if scores.shape != (n_units,):
            raise ValueError(
                f"The criterion returned scores of shape {scores.shape} for a layer of {n_units} "
                "units. It must return one score per unit."
            )
        return scores

    @staticmethod
    def keep(masks, level, stays):
        """Update the masks in place so that only some items remain."""
        masks[level] = masks[level] & stays[:, None]
        if level + 1 < len(masks):
            masks[level + 1] = masks[level + 1] & stays


class RoundStates:
    """States of all layers, given rows of the data or drawn from the model.

    States are drawn on the first call. Later calls with the same arguments return the same states.

    Parameters
    ----------
    estimator : estimator
        Machine that draws the states.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,) or None
        Labels of the rows.
    rng : numpy.random.RandomState
        Random number generator.
    """

    def __init__(self, estimator, X, y, rng):
        self._estimator, self._X, self._y, self._rng = estimator, X, y, rng
        self._layers, self._rows = {}, None

    def of_level(self, level, source="data", n_samples=MAX_DATA_STATES, n_steps_between=50):
        """Return the states of the lower and the upper layer of a level."""
        key = ("data",) if source == "data" else (source, n_samples, n_steps_between)
        if key not in self._layers:
            self._layers[key] = self._draw(source, n_samples, n_steps_between)
        return self._layers[key][level], self._layers[key][level + 1]

    def _draw(self, source, n_samples, n_steps_between):
        seed = self._rng.randint(np.iinfo(np.int32).max)
        if source == "model":
            return self._estimator.layer_samples(
                n_samples=n_samples, n_steps_between=n_steps_between, random_state=seed
            )
        rows = _safe_indexing(self._X, self._data_rows(seed))
        return self._estimator.layer_samples(rows, random_state=seed)

    def _data_rows(self, seed):
        if self._rows is None:
            n_rows = _num_samples(self._X)
            self._rows = resample(
                np.arange(n_rows), replace=False, n_samples=min(MAX_DATA_STATES, n_rows),
                random_state=seed,
            )  # fmt: skip
        return self._rows

    def labels(self):
        """Return the labels of the rows that the states are given, or None without labels."""
        if self._y is None:
            return None
        self.of_level(0)
        return np.asarray(_safe_indexing(self._y, self._rows))


def _regrown(criterion, view, stays, n_back):
    """Return the mask of the ``n_back`` absent connections with the highest scores.

    Connections that were removed in this round are only considered if too few others are absent.
    """
    absent = ~view.connectivity if (~view.connectivity).sum() >= n_back else ~stays
    view = view._replace(weights=np.zeros_like(view.weights), connectivity=absent)
    return connectivity.keep_best(_checked_scores(criterion, view), n_back, absent, view.rng)


def _checked_scores(criterion, view):
    scores = np.asarray(criterion(view), dtype=np.float64)
    if scores.shape != view.weights.shape:
        raise ValueError(
            f"The criterion returned scores of shape {scores.shape} for a level of shape "
            f"{view.weights.shape}. It must return one score per connection."
        )
    _check_not_nan(scores[view.connectivity])
    return scores


def _check_not_nan(scores):
    if np.isnan(scores).any():
        raise ValueError("The criterion returned NaN. Every score must be a number.")


def _rank_in_unit(scores, mask, rng):
    """Return scores that order connections by their rank in the upper unit, then by their value.

    The best connections of all units come before all second-best connections, and so on. Ties are
    broken at random.
    """
    chance = rng.permutation(scores.size)
    open_scores = np.where(mask, scores, -np.inf)
    order = np.empty(scores.size, dtype=np.int64)
    order[np.lexsort((chance, open_scores.ravel()))] = np.arange(scores.size)
    order = order.reshape(scores.shape)
    rank = np.argsort(np.argsort(-order, axis=1), axis=1)
    return order / scores.size - rank


def without_units(estimator, start, stay, options, idle=()):
    """Remove units permanently from a machine and from the saved machine to return to.

    A layer that would lose all its units keeps them.

    Parameters
    ----------
    estimator : estimator
        Machine to remove units from. If it has no method ``compact``, it is returned unchanged.
    start : estimator or None
        Saved machine to remove the same units from.
    stay : list of ndarray of bool of shape (n_units,)
        Units to keep, one array per hidden layer.
    options : Units
        Options of ``compact``.
    idle : sequence of ndarray of int of shape (n_units,), default=()
        Number of rounds each unit has been disconnected, one array per hidden layer.

    Returns
    -------
    estimator : estimator
        Machine without the removed units.
    start : estimator or None
        Saved machine without the removed units.
    idle : list of ndarray of int of shape (n_units,)
        Entries of ``idle`` for the units that remain.
    """
    stay = [units if units.any() else np.ones_like(units) for units in stay]
    if all(units.all() for units in stay) or not hasattr(estimator, "compact"):
        return estimator, start, list(idle)
    options = {"rescale": options.rescale, "hidden_bias": options.hidden_bias}
    estimator = estimator.compact(stay, **options)
    if start is not None:
        start = start.compact(stay, **options)
    return estimator, start, [count[units] for count, units in zip(idle, stay, strict=False)]


def scores_for_history(scorer, estimator, X, y, name, metadata) -> dict:
    """Return the scores of a machine as columns of the history, one per scorer."""
    if scorer is None:
        return {}
    value = score_with(scorer, estimator, X, y, **metadata)
    return (
        {f"{name}_{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    )


def score_with(scorer, estimator, X, y, **params):
    """Return the score of an estimator. ``y`` is only passed to the scorer if it is not None."""
    return scorer(estimator, X, **params) if y is None else scorer(estimator, X, y, **params)


def as_columns(rows) -> dict:
    """Return the rows of a history as a dict of columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def targets_of(sparsity, sizes, n_start, kind) -> list:
    """Return the smallest number of items that each level must keep.

    Raises
    ------
    ValueError
        If there is not one sparsity per level, or a sparsity leaves no item of a level.
    """
    check_n_levels(sparsity, len(sizes))
    sparsity = per_level(sparsity, len(sizes))
    targets = []
    for share, size, present in zip(sparsity, sizes, n_start, strict=True):
        n_end = 1 if share is None else size - round(share * size)
        if n_end == 0:
            raise ValueError(
                f"sparsity={share} leaves none of the {size} {kind.noun} of a level. Use a lower "
                "sparsity."
            )
        targets.append(min(n_end, present))
    return targets


def weights_to_score(estimator) -> tuple:
    """Return the weights of each level as criteria see them, and the types of the lower units.

    Weights of real-valued visible units are divided by the standard deviations ``sigma_`` of these
    units.
    """
    weights = estimator.components_
    weights = list(weights) if isinstance(weights, list | tuple) else [weights]
    types = ["binary"] * len(weights)
    sigma = getattr(estimator, "sigma_", None)
    if sigma is not None:
        weights[0], types[0] = weights[0] / sigma, "gaussian"
    return weights, types


def decide(plan, kind, estimator, levels, n_start, targets, number, rng, states) -> Step:
    """Return what to remove from some levels in this round, and what to add to them.

    Parameters
    ----------
    plan : Plan
        Validated parameters of the pruner.
    kind : {ConnectionItems, UnitItems}
        What is pruned.
    estimator : estimator
        Fitted machine. It is not changed.
    levels : list of int
        Levels to prune.
    n_start : list of int
        Number of items of each level before the first round.
    targets : list of int
        Number of items that each level must keep.
    number : int
        Index of the round.
    rng : numpy.random.RandomState
        Random number generator.
    states : RoundStates
        States that criteria use.

    Returns
    -------
    step : Step
        Masks of all levels after the round, and what was removed and added.

    Raises
    ------
    ValueError
        If a criterion returns invalid scores, or a level would be left empty.
    """
    weights, lower_types = weights_to_score(estimator)
    masks = [np.asarray(mask) for mask in estimator.connectivity_]
    sign = 1.0 if plan.remove == "least" else -1.0
    views = [
        LevelView(w, mask, rng, partial(states.of_level, level), lower_type)
        for level, (w, mask, lower_type) in enumerate(zip(weights, masks, lower_types, strict=True))
    ]
    present = {k: kind.present(masks, k) for k in levels}
    scores = {k: kind.scores(plan.criterion, views, k, states) for k in levels}
    strengths = {k: kind.strengths(weights[k]) for k in levels}
    groups = [levels] if plan.scope == "global" else [[k] for k in levels]
    result, survivors, thresholds = list(masks), list(masks), []
    n_pruned = n_regrown = 0
    for group in groups:
        remaining = np.concatenate([scores[k][present[k]] for k in group])
        n_end = sum(targets[k] for k in group)
        n_kept = plan.schedule.n_kept(
            remaining * sign if getattr(plan.schedule, "by_rank", False) else remaining,
            np.concatenate([strengths[k][present[k]] for k in group]),
            sum(n_start[k] for k in group),
            n_end if plan.regrow is None else min(1, n_end),
            number,
            len(plan.sparsities) if not plan.listed else number + 1,
        )
        n_kept = min(n_kept, remaining.size)
        compete = [scores[k] * sign for k in group]
        if plan.scope == "unit":
            compete = [_rank_in_unit(s, masks[k], rng) for s, k in zip(compete, group, strict=True)]
        kept = connectivity.keep_best(
            np.concatenate([s.ravel() for s in compete])[None],
            n_kept,
            np.concatenate([present[k].ravel() for k in group])[None],
            rng,
        )[0]
        parts = np.split(kept, np.cumsum([present[k].size for k in group])[:-1])
        for k, part in zip(group, parts, strict=True):
            stays = part.reshape(present[k].shape)
            n_pruned += int(present[k].sum() - stays.sum())
            kind.keep(result, k, stays)
            kind.keep(survivors, k, stays)
            if plan.regrow is not None:
                n_back = min(targets[k], int(present[k].sum())) - int(stays.sum())
                if n_back > 0:
                    result[k] = stays | _regrown(plan.regrow, views[k], stays, n_back)
                    n_regrown += n_back
            if not result[k].any():
                raise ValueError(
                    f"Round {number + 1} would leave level {k} without {kind.noun}. Use a lower "
                    "sparsity or scope='level'."
                )
            if stays.any():
                thresholds.append(float(scores[k][stays].min()))
    return Step(result, survivors, min(thresholds), n_pruned, n_regrown)
