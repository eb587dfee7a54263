"""One round of pruning as functions: scores, targets and masks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing, resample
from sklearn.utils.validation import _num_samples

from .. import connectivity
from ..criteria import LayerView, LevelView
from .plan import check_n_levels, per_level

MAX_DATA_STATES = 10_000  # rows from which data-driven criteria are computed


class Step(NamedTuple):
    """Masks after a round, without what came back in it, and what happened."""

    masks: list
    survivors: list
    threshold: float
    n_pruned: int
    n_regrown: int


class ConnectionItems:
    """Connections as what is scored, kept and counted."""

    noun = "connections"

    @staticmethod
    def size(mask):
        """How many there could be."""
        return mask.size

    @staticmethod
    def present(masks, level):
        """Which there are."""
        return masks[level]

    @staticmethod
    def strengths(weights):
        """What the λσ rule takes the standard deviation of."""
        return np.asarray(weights)

    @staticmethod
    def scores(criterion, views, level, states):
        """What each is worth."""
        return _checked_scores(criterion, views[level])

    @staticmethod
    def keep(masks, level, stays):
        """Write into the masks what stays."""
        masks[level] = stays


class UnitItems:
    """The upper units of a level as what is scored, kept and counted."""

    noun = "units"

    @staticmethod
    def size(mask):
        """How many there could be."""
        return mask.shape[0]

    @staticmethod
    def present(masks, level):
        """Which there are: those with connections on every side."""
        return connectivity.has_both_sides(masks, level)

    @staticmethod
    def strengths(weights):
        """What the λσ rule takes the standard deviation of."""
        return np.linalg.norm(weights, axis=1)

    @staticmethod
    def scores(criterion, views, level, states):
        """What each is worth."""
        above = views[level + 1] if level + 1 < len(views) else None
        scores = criterion(LayerView(views[level], above, states.labels))
        scores = np.asarray(scores, dtype=np.float64)
        n_units = views[level].weights.shape[0]
        _check_not_nan(scores)
        if scores.shape != (n_units,):
            raise ValueError(
                f"The criterion returned scores of shape {scores.shape} for a layer of {n_units} "
                "units; return one score a unit."
            )
        return scores

    @staticmethod
    def keep(masks, level, stays):
        """Write into the masks what stays."""
        masks[level] = masks[level] & stays[:, None]
        if level + 1 < len(masks):
            masks[level + 1] = masks[level + 1] & stays


class RoundStates:
    """States of all layers, given a sample of the data or of the model; drawn once a round."""

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
        """Labels of the rows behind the states given data, if there are any."""
        if self._y is None:
            return None
        self.of_level(0)
        return np.asarray(_safe_indexing(self._y, self._rows))


def _regrown(criterion, view, stays, n_back):
    """The best absent connections; those that were absent before this round, if there are enough."""
    absent = ~view.connectivity if (~view.connectivity).sum() >= n_back else ~stays
    view = view._replace(weights=np.zeros_like(view.weights), connectivity=absent)
    return connectivity.keep_best(_checked_scores(criterion, view), n_back, absent, view.rng)


def _checked_scores(criterion, view):
    scores = np.asarray(criterion(view), dtype=np.float64)
    if scores.shape != view.weights.shape:
        raise ValueError(
            f"The criterion returned scores of shape {scores.shape} for a level of shape "
            f"{view.weights.shape}; return one score a connection."
        )
    _check_not_nan(scores[view.connectivity])
    return scores


def _check_not_nan(scores):
    if np.isnan(scores).any():
        raise ValueError("The criterion returned NaN; every score must be a number.")


def _rank_in_unit(scores, mask, rng):
    """Return scores ordered first by rank within the upper unit, then by value over the level.

    The best of every unit come before all second best, and so on; chance
    decides between equals.
    """
    chance = rng.permutation(scores.size)
    open_scores = np.where(mask, scores, -np.inf)
    order = np.empty(scores.size, dtype=np.int64)
    order[np.lexsort((chance, open_scores.ravel()))] = np.arange(scores.size)
    order = order.reshape(scores.shape)
    rank = np.argsort(np.argsort(-order, axis=1), axis=1)
    return order / scores.size - rank


def without_units(estimator, start, stay, options, idle=()):
    """Remove for good the units that do not stay, here and in the state to go back to.

    A layer never loses all its units. Returns both machines, and ``idle`` of the units that stay.
    """
    stay = [units if units.any() else np.ones_like(units) for units in stay]
    if all(units.all() for units in stay) or not hasattr(estimator, "compact"):
        return estimator, start, list(idle)
    options = {"rescale": options.rescale, "hidden_bias": options.hidden_bias}
    estimator = estimator.compact(stay, **options)
    if start is not None:
        start = start.compact(stay, **options)
    return estimator, start, [count[units] for count, units in zip(idle, stay, strict=False)]


def scores_for_history(scorer, estimator, X, y, name) -> dict:
    """Scores for the history, one column a scorer."""
    if scorer is None:
        return {}
    value = score_with(scorer, estimator, X, y)
    return (
        {f"{name}_{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    )


def score_with(scorer, estimator, X, y, **params):
    """What a scorer says, with y where there is one."""
    return scorer(estimator, X, **params) if y is None else scorer(estimator, X, y, **params)


def as_columns(rows) -> dict:
    """Rows of a history as columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def targets_of(sparsity, sizes, n_start, kind) -> list:
    """Return how many items each level must have left, at the least."""
    check_n_levels(sparsity, len(sizes))
    sparsity = per_level(sparsity, len(sizes))
    targets = []
    for share, size, present in zip(sparsity, sizes, n_start, strict=True):
        n_end = 1 if share is None else size - round(share * size)
        if n_end == 0:
            raise ValueError(
                f"sparsity={share} leaves none of a level's {size} {kind.noun}; use a lower one."
            )
        targets.append(min(n_end, present))
    return targets


def decide(plan, kind, estimator, levels, n_start, targets, number, rng, states) -> Step:
    """Decide what these levels lose, and win, in this round."""
    weights = estimator.components_
    weights = weights if isinstance(weights, list | tuple) else [weights]
    masks = [np.asarray(mask) for mask in estimator.connectivity_]
    sign = 1.0 if plan.remove == "least" else -1.0
    views = [
        LevelView(w, mask, rng, partial(states.of_level, level))
        for level, (w, mask) in enumerate(zip(weights, masks, strict=True))
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
                    f"Round {number + 1} would leave level {k} without {kind.noun}; lower the "
                    "sparsity, or use scope='level'."
                )
            if stays.any():
                thresholds.append(float(scores[k][stays].min()))
    return Step(result, survivors, min(thresholds), n_pruned, n_regrown)
