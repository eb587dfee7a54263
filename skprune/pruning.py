"""The pruning meta-estimator: score the connections, keep the best, carry on training.

It knows a machine by four members (``connectivity_``, ``set_connectivity``,
``warm_start``, ``layer_samples``) and ``components_``, and imports none.
"""

from __future__ import annotations

import numbers
import time
from copy import deepcopy
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, get_tags, resample
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from . import connectivity as masks_module
from ._compat import CallbackSupportMixin, with_callbacks
from ._options import check_number, resolve
from ._structures import LevelView
from .criteria import CRITERIA
from .schedules import SCHEDULES

__all__ = ["IterativePruner"]

MAX_DATA_STATES = 10_000  # rows from which data-driven criteria are computed
SEAM = ("connectivity_", "set_connectivity", "layer_samples", "components_")


def _estimator_has(name):
    def check(self):
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return check


def _delegated(name):
    """Return a method that exists where the wrapped estimator has it."""

    def method(self, *args, **kwargs):
        check_is_fitted(self)
        return getattr(self.estimator_, name)(*args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Call ``{name}`` of the pruned estimator; see there."
    return available_if(_estimator_has(name))(method)


class IterativePruner(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Train an estimator, then prune its connections and train on, round by round.

    The framework of Han et al. (2015) and Zuo et al. (2019): a copy of the
    estimator is fitted; each round scores the connections that remain, keeps
    the best, and trains on from where the machine stands.

    Parameters
    ----------
    estimator : estimator
        A machine with the seam described in :mod:`skprune.pruning`. A
        :class:`~sklearn.frozen.FrozenEstimator` is copied and pruned as it is,
        without the first training.
    sparsity : float in [0, 1), list of float or None, default=0.9
        Share of a level's full matrix that is absent at the end; one number,
        or one a level. A level that has that already is left as it is, and 0
        prunes nothing: the rounds then only train on, so that a full model
        compared with pruned ones gets as many passes. For a schedule that
        decides for itself it is a cap; None is no cap.
    criterion : {"magnitude", "contribution", "random"} or callable, default="magnitude"
        What a connection is worth; a callable gets a
        :class:`~skprune.criteria.LevelView`.
    schedule : {"geometric", "linear", "cubic", "one_shot"} or object, default="geometric"
        How many connections go in each round, see :mod:`skprune.schedules`.
    n_rounds : int, default=5
    scope : {"level", "global", "unit"}, default="level"
        Where connections compete: within their level, over the whole machine,
        or first within their upper unit. "unit" keeps equally many connections
        of every upper unit (within one), so that no feature dies while another
        stays full.
    remove : {"least", "most"}, default="least"
        "most" removes the best first: the control of a criterion.
    retrain : {"continue", None}, default="continue"
        Train on after each round, or not at all.
    n_retrain_iter : int, default=None
        Passes after each round; None takes the estimator's ``n_iter``.
    verbose : int, default=0
        1 prints a line a round.
    random_state : int, RandomState instance or None, default=None
        Seeds the copy of the estimator and decides between equal scores. None
        leaves the estimator's own seed alone.

    Attributes
    ----------
    estimator_ : estimator
        The pruned machine.
    sparsity_ : float
        Share of connections absent at the end, over all levels.
    history_ : dict of ndarray
        One entry a round: ``round``, ``sparsity``, ``n_connections``,
        ``n_pruned`` (0 where nothing was to prune), ``threshold`` (lowest
        score kept), ``seconds``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import IterativePruner, PrunedBernoulliRBM
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 20))
    >>> pruner = IterativePruner(PrunedBernoulliRBM(10, random_state=0), sparsity=0.8, n_rounds=2)
    >>> pruner.fit(X).sparsity_
    0.8
    >>> int(np.count_nonzero(pruner.estimator_.components_))
    40
    """

    def __init__(
        self,
        estimator=None,
        *,
        sparsity=0.9,
        criterion="magnitude",
        schedule="geometric",
        n_rounds=5,
        scope="level",
        remove="least",
        retrain="continue",
        n_retrain_iter=None,
        verbose=0,
        random_state=None,
    ):
        self.estimator = estimator
        self.sparsity = sparsity
        self.criterion = criterion
        self.schedule = schedule
        self.n_rounds = n_rounds
        self.scope = scope
        self.remove = remove
        self.retrain = retrain
        self.n_retrain_iter = n_retrain_iter
        self.verbose = verbose
        self.random_state = random_state

    # ---------------------------------------------------------------- fitting

    def _check_parameters(self):
        check_number(self.n_rounds, "n_rounds", numbers.Integral, low=1)
        for name, legal in (
            ("scope", ("level", "global", "unit")),
            ("remove", ("least", "most")),
            ("retrain", ("continue", None)),
        ):
            value = getattr(self, name)
            if value not in legal:
                raise ValueError(
                    f"{name}={value!r} is not known. Use one of "
                    f"{', '.join(repr(choice) for choice in legal)}."
                )
        if self.n_retrain_iter is not None:
            check_number(self.n_retrain_iter, "n_retrain_iter", numbers.Integral, low=1)
        schedule = resolve(self.schedule, SCHEDULES, "schedule")
        criterion = resolve(self.criterion, CRITERIA, "criterion")
        if not callable(criterion):
            raise TypeError(
                f"criterion must be a name or a function of a LevelView, got {criterion!r}."
            )
        if self.sparsity is None and schedule.needs_target:
            raise ValueError(
                "sparsity=None is for schedules that decide for themselves, such as "
                f"FractionOfRemaining; schedule={self.schedule!r} needs a target in [0, 1)."
            )
        targets = self.sparsity if isinstance(self.sparsity, list | tuple) else [self.sparsity]
        for target in targets:
            if target is not None:
                check_number(target, "sparsity", low=0, high=1, closed="left")
        return schedule, criterion

    def _starting_estimator(self, rng):
        """Return the copy to work on, and whether it still has to be fitted."""
        if self.estimator is None:
            raise ValueError("IterativePruner needs an estimator to prune; got None.")
        if isinstance(self.estimator, FrozenEstimator):
            return deepcopy(self.estimator.estimator), False
        estimator = clone(self.estimator)
        if self.random_state is not None:
            seeds = {
                name: rng.randint(np.iinfo(np.int32).max)
                for name in sorted(estimator.get_params())
                if name == "random_state" or name.endswith("__random_state")
            }
            estimator.set_params(**seeds)
        return estimator, True

    @with_callbacks
    def fit(self, X, y=None, **fit_params):
        """Train, then prune and train on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Handed to the estimator.
        **fit_params
            Routed to the estimator's ``fit``.

        Returns
        -------
        self : IterativePruner

        Raises
        ------
        ValueError
            If a parameter is not legal, or nothing would be left of a level.
        """
        schedule, criterion = self._check_parameters()
        routed = process_routing(self, "fit", **fit_params)
        fit_params = routed["estimator"]["fit"]
        rng = check_random_state(self.random_state)
        estimator, unfitted = self._starting_estimator(rng)
        context = self._init_callback_context(max_subtasks=self.n_rounds + unfitted)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        if unfitted:
            self._fit_within(context, "train", estimator, X, y, fit_params)
        self._check_seam(estimator)
        start = [mask.copy() for mask in estimator.connectivity_]
        targets = self._targets(start)
        rows = []
        for number in range(self.n_rounds):
            started = time.perf_counter()
            states = _DataStates(estimator, X, rng)
            masks, threshold = self._prune(
                estimator, criterion, schedule, start, targets, number, rng, states
            )
            before = sum(int(mask.sum()) for mask in estimator.connectivity_)
            after = sum(int(mask.sum()) for mask in masks)
            if after < before:
                estimator.set_connectivity(masks)
            if self.retrain == "continue":
                self._train_on(context, estimator, X, y, fit_params)
            rows.append(
                {
                    "round": number + 1,
                    "sparsity": masks_module.sparsity(masks),
                    "n_connections": after,
                    "n_pruned": before - after,
                    "threshold": threshold,
                    "seconds": time.perf_counter() - started,
                }
            )
            if self.verbose:
                print(
                    f"[IterativePruner] Round {number + 1} of {self.n_rounds}, {after} connections, "
                    f"sparsity = {rows[-1]['sparsity']:.4f}, time = {rows[-1]['seconds']:.2f}s"
                )
        self.estimator_ = estimator
        self.sparsity_ = rows[-1]["sparsity"]
        self.history_ = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _fit_within(self, context, task_name, estimator, X, y, fit_params):
        task = context.subcontext(task_name=task_name)
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            estimator.fit(X, y, **fit_params)
            task.call_on_fit_task_end(estimator=self, X=X, y=y)

    def _train_on(self, context, estimator, X, y, fit_params):
        """Fit from where the machine stands, then give it its own parameters back."""
        own = {"warm_start": estimator.warm_start}
        changed = {"warm_start": True}
        if self.n_retrain_iter is not None:
            own["n_iter"] = estimator.get_params()["n_iter"]
            changed["n_iter"] = self.n_retrain_iter
        estimator.set_params(**changed)
        try:
            self._fit_within(context, "retrain", estimator, X, y, fit_params)
        finally:
            estimator.set_params(**own)

    def _check_seam(self, estimator):
        needed = SEAM + (("warm_start",) if self.retrain else ())
        missing = [name for name in needed if not hasattr(estimator, name)]
        if missing:
            raise TypeError(
                f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
                "See the documentation of skprune.pruning for what a prunable estimator has."
            )

    def _targets(self, start) -> list:
        """Return how many connections each level must have left, at the least."""
        sparsity = self.sparsity
        if not isinstance(sparsity, list | tuple):
            sparsity = [sparsity] * len(start)
        if len(sparsity) != len(start):
            raise ValueError(
                f"sparsity has {len(sparsity)} entries for {len(start)} levels; give one number, "
                "or one a level."
            )
        targets = []
        for share, mask in zip(sparsity, start, strict=True):
            n_end = 1 if share is None else mask.size - round(share * mask.size)
            if n_end == 0:
                raise ValueError(
                    f"sparsity={share} leaves none of a level's {mask.size} connections; "
                    "use a lower one."
                )
            targets.append(min(n_end, int(mask.sum())))
        return targets

    def _prune(self, estimator, criterion, schedule, start, targets, number, rng, states):
        """Return the masks after this round and the lowest score kept."""
        weights = estimator.components_
        weights = weights if isinstance(weights, list | tuple) else [weights]
        masks = [np.asarray(mask) for mask in estimator.connectivity_]
        sign = 1.0 if self.remove == "least" else -1.0
        views = [
            LevelView(w, mask, rng, partial(states.of_level, level))
            for level, (w, mask) in enumerate(zip(weights, masks, strict=True))
        ]
        scores = [_checked_scores(criterion, view) for view in views]
        groups = [range(len(masks))] if self.scope == "global" else [[k] for k in range(len(masks))]
        result, thresholds = list(masks), []
        for group in groups:
            remaining = np.concatenate([scores[k][masks[k]] for k in group])
            n_kept = schedule.n_kept(
                remaining,
                np.concatenate([np.asarray(weights[k])[masks[k]] for k in group]),
                sum(int(start[k].sum()) for k in group),
                sum(targets[k] for k in group),
                number,
                self.n_rounds,
            )
            n_kept = min(n_kept, remaining.size)
            compete = [scores[k] * sign for k in group]
            if self.scope == "unit":
                compete = [_rank_in_unit(s, masks[k]) for s, k in zip(compete, group, strict=True)]
            kept = masks_module.keep_best(
                np.concatenate([s.ravel() for s in compete])[None],
                n_kept,
                np.concatenate([masks[k].ravel() for k in group])[None],
                rng,
            )[0]
            parts = np.split(kept, np.cumsum([masks[k].size for k in group])[:-1])
            for k, part in zip(group, parts, strict=True):
                result[k] = part.reshape(masks[k].shape)
                if not result[k].any():
                    raise ValueError(
                        f"Round {number + 1} would leave level {k} without connections; lower the "
                        "sparsity, or use scope='level'."
                    )
                thresholds.append(float(scores[k][result[k]].min()))
        return result, min(thresholds)

    # ------------------------------------------------------------- delegation

    transform = _delegated("transform")
    inverse_transform = _delegated("inverse_transform")
    predict = _delegated("predict")
    predict_proba = _delegated("predict_proba")
    predict_log_proba = _delegated("predict_log_proba")
    decision_function = _delegated("decision_function")
    score_samples = _delegated("score_samples")
    free_energy = _delegated("free_energy")
    log_partition = _delegated("log_partition")
    pseudo_log_likelihood = _delegated("pseudo_log_likelihood")
    sample = _delegated("sample")
    gibbs = _delegated("gibbs")
    get_feature_names_out = _delegated("get_feature_names_out")

    @available_if(_estimator_has("score"))
    def score(self, X, y=None) -> float:
        """Return the score of the pruned estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y)

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X, y=None, **fit_params):
        """Fit, then transform the same data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        **fit_params
            Routed to the estimator's ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, n_components)
        """
        return self.fit(X, y, **fit_params).transform(X)

    @available_if(_estimator_has("set_output"))
    def set_output(self, *, transform=None):
        """Set the container of ``transform`` on the wrapped estimator.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None

        Returns
        -------
        self : IterativePruner
        """
        for estimator in (self.estimator, getattr(self, "estimator_", None)):
            if estimator is not None:
                estimator.set_output(transform=transform)
        return self

    @property
    def connectivity_(self) -> list:
        """Boolean masks of the pruned machine."""
        check_is_fitted(self)
        return self.estimator_.connectivity_

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        return self._fitted("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of features seen during fit."""
        return self._fitted("feature_names_in_")

    def _fitted(self, name):
        if not hasattr(self, "estimator_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} before fit.")
        return getattr(self.estimator_, name)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            return tags
        inner = get_tags(self.estimator)
        for name in (
            "estimator_type", "target_tags", "transformer_tags", "classifier_tags",
            "regressor_tags", "input_tags", "non_deterministic",
        ):  # fmt: skip
            setattr(tags, name, deepcopy(getattr(inner, name)))
        return tags

    def get_metadata_routing(self):
        """Return the routing of ``fit``'s metadata to the estimator.

        Returns
        -------
        routing : MetadataRouter
        """
        return MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )


class _DataStates:
    """States of all layers given a sample of the data, drawn when a criterion first asks."""

    def __init__(self, estimator, X, rng):
        self._estimator, self._X, self._rng = estimator, X, rng
        self._layers = None

    def of_level(self, level):
        """Return the states of the lower and the upper layer of a level."""
        if self._layers is None:
            n_samples = min(MAX_DATA_STATES, _num_samples(self._X))
            seed = self._rng.randint(np.iinfo(np.int32).max)
            rows = resample(self._X, replace=False, n_samples=n_samples, random_state=seed)
            self._layers = self._estimator.layer_samples(rows, random_state=seed)
        return self._layers[level], self._layers[level + 1]


def _checked_scores(criterion, view):
    scores = np.asarray(criterion(view), dtype=np.float64)
    if scores.shape != view.weights.shape:
        raise ValueError(
            f"The criterion returned scores of shape {scores.shape} for a level of shape "
            f"{view.weights.shape}; return one score a connection."
        )
    return scores


def _rank_in_unit(scores, mask):
    """Return scores ordered first by rank within the upper unit, then by value over the level.

    The best of every unit come before all second best, and so on.
    """
    open_scores = np.where(mask, scores, -np.inf)
    rank = np.argsort(np.argsort(-open_scores, axis=1, kind="stable"), axis=1, kind="stable")
    order = np.argsort(np.argsort(open_scores, axis=None, kind="stable"), kind="stable")
    return order.reshape(scores.shape) / scores.size - rank
