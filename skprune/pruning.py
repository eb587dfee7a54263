"""The pruning meta-estimators: score the connections, keep the best, carry on training.

They know a machine by four members (``connectivity_``, ``set_connectivity``,
``warm_start``, ``layer_samples``) and ``components_``, and import none. Where
units are removed for good, a machine also has ``compact``.
"""

from __future__ import annotations

import itertools
import numbers
import time
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import (
    Bunch,
    _safe_indexing,
    check_random_state,
    get_tags,
    indexable,
    resample,
)
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import _safe_split, available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_method_params,
    _num_samples,
    check_is_fitted,
    check_memory,
)

from . import connectivity as masks_module
from ._compat import CallbackSupportMixin, with_callbacks
from ._options import check_number, new_seeds, resolve, seeds_of
from ._structures import LayerView, LevelView
from .criteria import CRITERIA, UNIT_CRITERIA
from .schedules import SCHEDULES, FractionOfRemaining, OneShot

__all__ = ["IterativePruner", "IterativePrunerCV", "Rewind", "Units", "pruning_path"]

MAX_DATA_STATES = 10_000  # rows from which data-driven criteria are computed
SEAM = ("connectivity_", "set_connectivity", "layer_samples", "components_")
ORDERS = ("joint", "bottom_up", "top_down")


@dataclass(eq=False, repr=False)
class Rewind(BaseEstimator):
    """After every round, weights go back to what they were early in training (Frankle & Carbin 2019).

    Parameters
    ----------
    n_iter : int, default=0
        Passes after which the state is kept; 0 is before training.
    """

    n_iter: int = 0


@dataclass(eq=False, repr=False)
class Units(BaseEstimator):
    """Prune whole hidden units, and remove them for good; options of the thesis.

    Parameters
    ----------
    rescale : bool, default=False
        Multiply what remains of a level's weights by units before over units after.
    hidden_bias : {"mean_activity", "negative"}, default=None
        Set the biases of the units that stay to their mean activity a, or to
        −1 / (1 + exp(a)).
    """

    rescale: bool = False
    hidden_bias: str | None = None


TARGETS = {"connections": None, "units": Units()}
SPARSE_LEVELS = {  # parameters of levels that are sparse from the start, and what makes them full
    "__connectivity": None,
    "__initial_sparsity": 0.0,
    "pruner__sparsity": 0.0,
}
RETRAIN = {"continue": "continue", "rewind": Rewind(), "reinitialize": "reinitialize"}


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


class _Pruner(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """What a fitted pruner hands on to the pruned machine."""

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
    layer_means = _delegated("layer_means")
    lower_bound = _delegated("lower_bound")
    complete = _delegated("complete")
    sample = _delegated("sample")
    gibbs = _delegated("gibbs")
    get_feature_names_out = _delegated("get_feature_names_out")

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, **score_params) -> float:
        """Return the score of the pruned estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        **score_params
            Handed to the estimator's ``score``, such as ``sample_weight``.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y, **score_params)

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
        self : object
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

    @property
    def classes_(self) -> np.ndarray:
        """Classes seen during fit, of an estimator that tells them apart."""
        return self._fitted("classes_")

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


class IterativePruner(_Pruner):
    """Train an estimator, then prune it and train on, round by round.

    The framework of Han et al. (2015) and Zuo et al. (2019): a copy of the
    estimator is fitted; each round scores the connections (or units) that
    remain, keeps the best, and trains on from where the machine stands.

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
    criterion : str or callable, default="magnitude"
        What a connection is worth: a name from
        :data:`skprune.criteria.CRITERIA`, or a function of a
        :class:`~skprune.criteria.LevelView`; with ``target="units"`` from
        ``UNIT_CRITERIA``, or of a :class:`~skprune.criteria.LayerView`.
    schedule : str, object or list of float, default="geometric"
        How many connections go in each round: "geometric", "linear", "cubic",
        "one_shot" or an object, see :mod:`skprune.schedules`. A list holds the
        sparsity after every round, in place of ``sparsity`` and ``n_rounds``.
    n_rounds : int, default=5
    scope : {"level", "global", "unit"}, default="level"
        Where connections compete: within their level, over the whole machine,
        or first within their upper unit. "unit" keeps equally many connections
        of every upper unit (within one), so that no feature dies while another
        stays full.
    order : {"joint", "bottom_up", "top_down"}, default="joint"
        Prune all levels of a deep machine, then train on; or prune one, train
        on, prune the next, train on, within every round.
    target : {"connections", "units"} or Units, default="connections"
        Units that go are removed for good, so that the machine gets smaller
        (where it has ``compact``); ``sparsity`` is then a share of hidden units.
    remove : {"least", "most"}, default="least"
        "most" removes the best first: the control of a criterion.
    retrain : {"continue", "rewind", "reinitialize", None} or Rewind, default="continue"
        After each round train on; or from the weights of before training; or
        from new random weights; or not at all.
    n_retrain_iter : int, default=None
        Passes after each round; None takes the estimator's ``n_iter``.
    regrow : str or callable, default=None
        Criterion by which absent connections come back after a round, as many
        as the round removed below the target: "random" with
        ``FractionOfRemaining`` and a machine that starts at the target sparsity is
        sparse evolutionary training (Mocanu et al. 2018).
    grace_rounds : int, default=None
        Hidden units that are left without connections on a side for more than
        so many rounds are removed for good, and those that had no others as neighbours
        there. None keeps them.
    scoring : str, callable, list or dict, default=None
        Scores of the machine on the data of ``fit``, before and after every
        retraining, for ``history_``.
    memory : str or joblib.Memory, default=None
        Where trained machines are kept on disk. Grids whose rounds begin alike
        (``schedule=FractionOfRemaining()`` under several caps) share them. Needs an
        integer ``random_state`` here or in the estimator.
    verbose : int, default=0
        1 prints a line a round.
    random_state : int, RandomState instance or None, default=None
        Seeds the copy of the estimator, draws the states that criteria ask for
        and decides between equal scores. None leaves the estimator's own seed
        alone, and takes it for the rest.

    Attributes
    ----------
    estimator_ : estimator
        The pruned machine.
    sparsity_ : float
        Share of connections (units) absent at the end, over all levels.
    history_ : dict of ndarray
        One entry a round, and level where these take turns: ``round``,
        ``level`` (−1 for all), ``sparsity``, ``n_connections``, ``n_units``
        (hidden units with connections), ``n_pruned`` (0 where nothing was to
        prune), ``n_regrown``, ``threshold`` (lowest score kept), ``seconds``; with
        ``scoring`` also ``score_pruned`` and ``score``, or these with the name
        of each scorer.
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
        order="joint",
        target="connections",
        remove="least",
        retrain="continue",
        n_retrain_iter=None,
        regrow=None,
        grace_rounds=None,
        scoring=None,
        memory=None,
        verbose=0,
        random_state=None,
    ):
        self.estimator = estimator
        self.sparsity = sparsity
        self.criterion = criterion
        self.schedule = schedule
        self.n_rounds = n_rounds
        self.scope = scope
        self.order = order
        self.target = target
        self.remove = remove
        self.retrain = retrain
        self.n_retrain_iter = n_retrain_iter
        self.regrow = regrow
        self.grace_rounds = grace_rounds
        self.scoring = scoring
        self.memory = memory
        self.verbose = verbose
        self.random_state = random_state

    # --------------------------------------------------------------- checking

    def _check_parameters(self) -> _Plan:
        check_number(self.n_rounds, "n_rounds", numbers.Integral, low=1)
        _check_choice("scope", self.scope, ("level", "global", "unit"))
        _check_choice("order", self.order, ORDERS)
        _check_choice("remove", self.remove, ("least", "most"))
        retrain = resolve(self.retrain, RETRAIN, "retrain")
        if not (retrain is None or isinstance(retrain, str | Rewind)):
            raise TypeError(f"retrain must be a name, a Rewind or None, got {retrain!r}.")
        if isinstance(retrain, Rewind):
            check_number(retrain.n_iter, "n_iter of Rewind", numbers.Integral, low=0)
        units = resolve(self.target, TARGETS, "target")
        if self.target is None or not (units is None or isinstance(units, Units)):
            raise TypeError(
                f"target must be 'connections', 'units' or a Units, got {self.target!r}."
            )
        if self.n_retrain_iter is not None:
            check_number(self.n_retrain_iter, "n_retrain_iter", numbers.Integral, low=1)
        if self.grace_rounds is not None:
            check_number(self.grace_rounds, "grace_rounds", numbers.Integral, low=0)
        if self.scope == "global" and self.order != "joint":
            raise ValueError(
                f"scope='global' lets all levels compete, order={self.order!r} takes them in turn; "
                "use order='joint' or scope='level'."
            )
        if self.scope == "unit" and units is not None:
            raise ValueError("scope='unit' is for target='connections'; use 'level' or 'global'.")
        registry, noun = (UNIT_CRITERIA, "LayerView") if units else (CRITERIA, "LevelView")
        criterion = resolve(self.criterion, registry, "criterion")
        regrow = resolve(self.regrow, CRITERIA, "regrow")
        for name, function in (("criterion", criterion), ("regrow", regrow)):
            is_function = callable(function) and not isinstance(function, type)
            if not is_function and (name, function) != ("regrow", None):
                raise TypeError(
                    f"{name} must be a name or a function of a {noun}, got {function!r}."
                )
        schedule, sparsities, listed = self._check_schedule(units, regrow)
        return _Plan(schedule, criterion, regrow, units, retrain, sparsities, listed)

    def _check_schedule(self, units, regrow):
        """Return the schedule, the sparsity to reach in each round, and whether these were listed."""
        listed = isinstance(self.schedule, list | tuple | np.ndarray)
        if listed and not len(self.schedule):
            raise ValueError("schedule is an empty list; give the sparsity after every round.")
        schedule = OneShot() if listed else resolve(self.schedule, SCHEDULES, "schedule")
        if isinstance(schedule, type) or not hasattr(schedule, "n_kept"):
            raise TypeError(
                "schedule must be a name, a list of sparsities or an object such as "
                f"FractionOfRemaining(0.3), got {schedule!r}."
            )
        sparsities = list(self.schedule) if listed else [self.sparsity] * self.n_rounds
        if regrow is not None and (units or schedule.needs_target):
            raise ValueError(
                "regrow brings connections back up to the target, so it needs target='connections' "
                "and a schedule that decides for itself, such as FractionOfRemaining; "
                f"schedule={self.schedule!r} stops at the target."
            )
        for sparsity in sparsities:
            for share in _per_level(sparsity):
                if share is not None:
                    check_number(share, "sparsity", low=0, high=1, closed="left")
                elif schedule.needs_target:
                    raise ValueError(
                        "sparsity=None is for schedules that decide for themselves, such as "
                        f"FractionOfRemaining; schedule={self.schedule!r} needs a target in [0, 1)."
                    )
                elif regrow is not None:
                    raise ValueError(
                        "regrow brings connections back up to the target; give one as sparsity."
                    )
        for before, after in itertools.pairwise(map(_per_level, sparsities) if listed else []):
            if any(later < earlier for earlier, later in zip(before, after, strict=False)):
                raise ValueError(
                    f"schedule={self.schedule!r} falls; the sparsities after every round must rise."
                )
        return schedule, sparsities, listed

    def _starting_estimator(self, rng):
        """Return the copy to work on, and whether it still has to be fitted."""
        if self.estimator is None:
            raise ValueError(f"{type(self).__name__} needs an estimator to prune; got None.")
        if isinstance(self.estimator, FrozenEstimator):
            return deepcopy(self.estimator.estimator), False
        estimator = clone(self.estimator)
        if self.random_state is not None:
            estimator.set_params(**new_seeds(estimator, rng))
        return estimator, True

    def _check_before(self, estimator, plan):
        """Say before training what this estimator cannot lose, and has not."""
        n_levels = getattr(estimator, "_n_levels", None)  # unknown where only training tells
        for sparsity in plan.sparsities if n_levels else ():
            _check_n_levels(sparsity, n_levels)
        if plan.units is not None and not getattr(estimator, "_prunes_units", True):
            raise TypeError(
                f"{type(estimator).__name__} has outputs among its units, and cannot lose them; prune "
                "its connections, or the units of a machine."
            )

    def _check_seam(self, estimator, plan):
        needed = SEAM + (("warm_start",) if plan.retrain else ())
        missing = [name for name in needed if not hasattr(estimator, name)]
        if missing:
            raise TypeError(
                f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
                "See the documentation of skprune.pruning for what a prunable estimator has."
            )

    # ---------------------------------------------------------------- fitting

    def _n_tasks(self, plan):
        """Number of fits, where it is known before the machine is."""
        if self.order != "joint":
            return None
        n_tasks = len(plan.sparsities) * (1 + (plan.retrain == "reinitialize"))
        unfitted = not isinstance(self.estimator, FrozenEstimator)
        return n_tasks + unfitted * (1 + isinstance(plan.retrain, Rewind))

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
        plan = self._check_parameters()
        fit_params = process_routing(self, "fit", **fit_params)["estimator"]["fit"]
        X, y = indexable(X, y)
        context = self._init_callback_context(max_subtasks=self._n_tasks(plan))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        rows = []
        for row, machine in self._rounds(context, X, y, fit_params):
            rows.append(row)
            estimator = machine
            if self.verbose:
                print(
                    f"[{type(self).__name__}] Round {row['round']} of {len(plan.sparsities)}, "
                    f"{row['n_connections']} connections, sparsity = {row['sparsity']:.4f}, "
                    f"time = {row['seconds']:.2f}s"
                )
        self.estimator_ = estimator
        self.sparsity_ = rows[-1]["sparsity"]
        self.history_ = _columns(rows)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _rounds(self, context, X, y, fit_params):
        """Yield (row of the history, machine) after every round, or level of it."""
        plan = self._check_parameters()
        rng = check_random_state(self.random_state)
        estimator, unfitted = self._starting_estimator(rng)
        self._check_before(estimator, plan)
        if self.random_state is None:
            seed = seeds_of(estimator).get("random_state")
            rng = rng if seed is None else check_random_state(deepcopy(seed))
        # a stream of its own: the machine's first draws, from the same seed, made its mask
        rng = np.random.RandomState(rng.randint(np.iinfo(np.int32).max))
        trainer = _Trainer(self, context, X, y, fit_params)
        start = None
        if unfitted:
            estimator, start = trainer.first(estimator, plan.retrain)
        elif isinstance(plan.retrain, Rewind):
            start = deepcopy(estimator)
        self._check_seam(estimator, plan)
        kind = _Connections if plan.units is None else _HiddenUnits
        masks = [np.array(mask) for mask in estimator.connectivity_]
        levels = list(range(len(masks)))
        sizes = [kind.size(mask) for mask in masks]
        n_start = [int(kind.present(masks, k).sum()) for k in levels]
        targets = [self._targets(share, sizes, n_start, kind) for share in plan.sparsities]
        turns = {"joint": [levels], "bottom_up": [[k] for k in levels]}
        turns["top_down"] = turns["bottom_up"][::-1]
        turns = turns[self.order]
        idle = [np.zeros(mask.shape[0], int) for mask in masks]
        scorer = None if self.scoring is None else check_scoring(estimator, self.scoring)
        for number, target in enumerate(targets):
            for turn in turns:
                started = time.perf_counter()
                states = _States(estimator, X, y, rng)
                step = self._step(plan, kind, estimator, turn, n_start, target, number, rng, states)
                if step.n_regrown:  # what went and came back starts at 0, too
                    estimator.set_connectivity(step.survivors)
                if step.n_pruned or step.n_regrown:
                    estimator.set_connectivity(step.masks)
                if plan.units is not None:
                    stay = masks_module.connected_units(estimator.connectivity_)
                    estimator, start, _ = _without(estimator, start, stay, plan.units)
                elif self.grace_rounds is not None and turn is turns[-1]:
                    connected = masks_module.connected_units(step.masks)
                    idle = [np.where(on, 0, n + 1) for on, n in zip(connected, idle, strict=True)]
                    stay = [count <= self.grace_rounds for count in idle]
                    estimator, start, idle = _without(estimator, start, stay, Units(), idle)
                masks = [np.asarray(mask) for mask in estimator.connectivity_]
                present = [kind.present(masks, k) for k in levels]
                before = _scores(scorer, estimator, X, y, "score_pruned")
                estimator = trainer.after_round(estimator, start, plan.retrain, rng)
                yield (
                    {
                        "round": number + 1,
                        "level": -1 if self.order == "joint" else turn[0],
                        "sparsity": 1 - sum(int(p.sum()) for p in present) / sum(sizes),
                        "n_connections": sum(int(mask.sum()) for mask in masks),
                        "n_units": sum(int(_HiddenUnits.present(masks, k).sum()) for k in levels),
                        "n_pruned": step.n_pruned,
                        "n_regrown": step.n_regrown,
                        "threshold": step.threshold,
                        "seconds": time.perf_counter() - started,
                        **before,
                        **_scores(scorer, estimator, X, y, "score"),
                    },
                    estimator,
                )

    def _targets(self, sparsity, sizes, n_start, kind) -> list:
        """Return how many items each level must have left, at the least."""
        _check_n_levels(sparsity, len(sizes))
        sparsity = _per_level(sparsity, len(sizes))
        targets = []
        for share, size, present in zip(sparsity, sizes, n_start, strict=True):
            n_end = 1 if share is None else size - round(share * size)
            if n_end == 0:
                raise ValueError(
                    f"sparsity={share} leaves none of a level's {size} {kind.noun}; use a lower one."
                )
            targets.append(min(n_end, present))
        return targets

    def _step(self, plan, kind, estimator, levels, n_start, targets, number, rng, states) -> _Step:
        """Decide what these levels lose, and win, in this round."""
        weights = estimator.components_
        weights = weights if isinstance(weights, list | tuple) else [weights]
        masks = [np.asarray(mask) for mask in estimator.connectivity_]
        sign = 1.0 if self.remove == "least" else -1.0
        views = [
            LevelView(w, mask, rng, partial(states.of_level, level))
            for level, (w, mask) in enumerate(zip(weights, masks, strict=True))
        ]
        present = {k: kind.present(masks, k) for k in levels}
        scores = {k: kind.scores(plan.criterion, views, k, states) for k in levels}
        strengths = {k: kind.strengths(weights[k]) for k in levels}
        groups = [levels] if self.scope == "global" else [[k] for k in levels]
        result, survivors, thresholds = list(masks), list(masks), []
        n_pruned = n_regrown = 0
        for group in groups:
            remaining = np.concatenate([scores[k][present[k]] for k in group])
            n_end = sum(targets[k] for k in group)
            percentile = isinstance(plan.schedule, FractionOfRemaining)
            n_kept = plan.schedule.n_kept(
                remaining * sign if percentile else remaining,  # ties are those of what goes
                np.concatenate([strengths[k][present[k]] for k in group]),
                sum(n_start[k] for k in group),
                n_end if plan.regrow is None else min(1, n_end),
                number,
                len(plan.sparsities) if not plan.listed else number + 1,
            )
            n_kept = min(n_kept, remaining.size)
            compete = [scores[k] * sign for k in group]
            if self.scope == "unit":
                compete = [
                    _rank_in_unit(s, masks[k], rng) for s, k in zip(compete, group, strict=True)
                ]
            kept = masks_module.keep_best(
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
        return _Step(result, survivors, min(thresholds), n_pruned, n_regrown)


def _regrown(criterion, view, stays, n_back):
    """The best absent connections; those that were absent before this round, if there are enough."""
    absent = ~view.connectivity if (~view.connectivity).sum() >= n_back else ~stays
    view = view._replace(weights=np.zeros_like(view.weights), connectivity=absent)
    return masks_module.keep_best(_checked_scores(criterion, view), n_back, absent, view.rng)


class _Plan(NamedTuple):
    """The parameters of a pruner, resolved."""

    schedule: object
    criterion: object
    regrow: object
    units: Units | None
    retrain: object
    sparsities: list
    listed: bool


class _Step(NamedTuple):
    """Masks after a round, without what came back in it, and what happened."""

    masks: list
    survivors: list
    threshold: float
    n_pruned: int
    n_regrown: int


class _Connections:
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


class _HiddenUnits:
    """The upper units of a level as what is scored, kept and counted."""

    noun = "units"

    @staticmethod
    def size(mask):
        """How many there could be."""
        return mask.shape[0]

    @staticmethod
    def present(masks, level):
        """Which there are: those with connections on every side."""
        return masks_module.has_both_sides(masks, level)

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


class _Trainer:
    """Trains a pruner's machine: at first, and after every round."""

    def __init__(self, pruner, context, X, y, fit_params):
        self.pruner, self.context = pruner, context
        self.X, self.y, self.fit_params = X, y, fit_params
        if pruner.memory is not None:
            inner = getattr(pruner.estimator, "estimator", pruner.estimator)  # of a FrozenEstimator
            seeds = [pruner.random_state, *seeds_of(inner).values()]
            if not any(isinstance(seed, numbers.Integral) for seed in seeds):
                raise ValueError(
                    "memory= finds a machine again by its seed; set random_state to an integer "
                    "in the pruner or in its estimator."
                )
        self.trained = check_memory(pruner.memory).cache(_trained, ignore=["within"])

    def fit(self, task_name, estimator, **changed):
        """Fit with some parameters changed; give the machine its own back."""
        task = self.context.subcontext(task_name=task_name)
        own = {name: estimator.get_params()[name] for name in changed}
        task.call_on_fit_task_begin(estimator=self.pruner, X=self.X, y=self.y)
        estimator = self.trained(
            estimator, self.X, self.y, self.fit_params, changed, own,
            within=task.propagate_callback_context,
        )  # fmt: skip
        task.call_on_fit_task_end(estimator=self.pruner, X=self.X, y=self.y)
        return estimator

    def first(self, estimator, retrain):
        """Return the trained machine, and a copy of the state that rounds go back to."""
        if not isinstance(retrain, Rewind):
            return self.fit("train", estimator), None
        n_iter = estimator.get_params()["n_iter"]
        if n_iter is None:  # its levels know
            if retrain.n_iter:
                raise ValueError(
                    f"Rewind(n_iter={retrain.n_iter}) needs an estimator with a number as n_iter."
                )
            start = deepcopy(self.fit("train", estimator, n_iter=0))
            return self.fit("train", estimator), start
        if retrain.n_iter > n_iter:
            raise ValueError(
                f"Rewind(n_iter={retrain.n_iter}) goes back to a pass that the estimator, with "
                f"n_iter={n_iter}, never reaches."
            )
        estimator = self.fit("train", estimator, n_iter=retrain.n_iter)
        start = deepcopy(estimator)
        rest = n_iter - retrain.n_iter
        return self.fit("train", estimator, n_iter=rest, warm_start=True), start

    def after_round(self, estimator, start, retrain, rng):
        """Return the machine, trained on as ``retrain`` says."""
        if retrain is None:
            return estimator
        masks = estimator.connectivity_
        if isinstance(retrain, Rewind):
            estimator = deepcopy(start).set_connectivity(masks)
        elif retrain == "reinitialize":
            estimator = self.fresh(estimator, masks, rng)
        changed = {"warm_start": True}
        if self.pruner.n_retrain_iter is not None:
            changed["n_iter"] = self.pruner.n_retrain_iter
        return self.fit("retrain", estimator, **changed)

    def fresh(self, estimator, masks, rng):
        """Return a new machine with these connections, as it is before training."""
        fresh = clone(estimator)
        start = starting_connectivity(fresh, masks)
        parameters = fresh.get_params()
        for ending, value in SPARSE_LEVELS.items():  # what they lack would stay 0
            start |= {name: value for name in parameters if name.endswith(ending)}
        restored = {name: parameters[name] for name in start} | seeds_of(fresh)
        fresh.set_params(**new_seeds(fresh, rng), **start)
        fresh = self.fit("initialize", fresh, n_iter=0, warm_start=False)
        return fresh.set_params(**restored).set_connectivity(masks)


def starting_connectivity(estimator, masks) -> dict:
    """Return the parameters by which a machine starts with these connections; none where it has none."""
    own = estimator.get_params(deep=False)
    start = {"connectivity": masks if len(masks) > 1 else masks[0], "initial_sparsity": 0.0}
    return {name: value for name, value in start.items() if name in own}


def _trained(estimator, X, y, fit_params, changed, own, within):
    """Return the estimator, fitted; a function of its arguments, so that it can be kept on disk."""
    estimator.set_params(**changed)
    try:
        with within(estimator):
            estimator.fit(X, y, **fit_params)
    finally:
        estimator.set_params(**own)
    return estimator


def _scores(scorer, estimator, X, y, name) -> dict:
    """Scores for the history, one column a scorer."""
    if scorer is None:
        return {}
    value = _score(scorer, estimator, X, y)
    return (
        {f"{name}_{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    )


def _without(estimator, start, stay, options, idle=()):
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


class _States:
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


def _per_level(sparsity, n_levels=1) -> list:
    """The entries of a sparsity: one number for all levels, or one a level."""
    listed = isinstance(sparsity, list | tuple | np.ndarray)
    return list(sparsity) if listed else [sparsity] * n_levels


def _check_n_levels(sparsity, n_levels):
    """Say where a sparsity has entries for other levels than there are."""
    n_given = len(_per_level(sparsity, n_levels))
    if n_given != n_levels:
        raise ValueError(
            f"sparsity has {n_given} entries for {n_levels} levels; give one number, or one a level."
        )


def _columns(rows) -> dict:
    """Rows of a history as columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _check_choice(name, value, legal):
    if value not in legal:
        raise ValueError(
            f"{name}={value!r} is not known. Use one of "
            f"{', '.join(repr(choice) for choice in legal)}."
        )


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


def pruning_path(pruner, X, y=None, **fit_params) -> Bunch:
    """Return the machine after every round: one training, then short ones, give every sparsity.

    Parameters
    ----------
    pruner : IterativePruner
        Not changed. With ``schedule=[0.5, 0.8, 0.9]`` the path has these sparsities.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,), default=None
    **fit_params
        Routed to the estimator's ``fit``.

    Returns
    -------
    path : Bunch
        ``estimators`` (copies of the machine), ``sparsities`` (ndarray) and
        ``history`` (as ``history_`` of the pruner).

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import IterativePruner, PrunedBernoulliRBM
    >>> from skprune.pruning import pruning_path
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 20))
    >>> pruner = IterativePruner(PrunedBernoulliRBM(10, random_state=0), schedule=[0.5, 0.9])
    >>> path = pruning_path(pruner, X)
    >>> path.sparsities
    array([0.5, 0.9])
    >>> [int(machine.connectivity_[0].sum()) for machine in path.estimators]
    [100, 20]
    """
    pruner = clone(pruner)
    X, y = indexable(X, y)
    routed = process_routing(pruner, "fit", **fit_params)["estimator"]["fit"]
    context = pruner._init_callback_context(max_subtasks=None)
    rows, machines = [], []
    for row, machine in pruner._rounds(context, X, y, routed):
        rows.append(row)
        machines.append(deepcopy(machine))
    history = _columns(rows)
    return Bunch(estimators=machines, sparsities=history["sparsity"], history=history)


class IterativePrunerCV(_Pruner):
    """Find by cross-validation how sparse a machine can be, then prune it so far.

    In every fold the estimator is trained once, then pruned along the path of
    sparsities with a short retraining after each; beside it the full machine
    trains on for as many passes. Chosen is the largest sparsity whose mean
    test score is within the tolerance of the full machine's after the same passes.

    Parameters
    ----------
    estimator : estimator
        A machine with the seam described in :mod:`skprune.pruning`.
    sparsities : sequence of float in [0, 1), default=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
        Rising.
    cv : int, splitter or iterable, default=None
        As in scikit-learn; None is five folds.
    scoring : str or callable, default=None
        None takes the estimator's ``score``. :meth:`score` uses it, too.
    tolerance : "one_standard_error" or float, default="one_standard_error"
        What the pruned machine may score below the full one: the standard
        error of the full machine's mean over the folds, or a number.
    n_jobs : int, default=None
        Folds at a time.
    criterion : str or callable, default="magnitude"
        This and the next four as in :class:`IterativePruner`.
    scope : {"level", "global", "unit"}, default="level"
    target : {"connections", "units"} or Units, default="connections"
    remove : {"least", "most"}, default="least"
    retrain : {"continue", "rewind", "reinitialize", None} or Rewind, default="continue"
    n_retrain_iter : int, default=None
        Passes after each pruning; None takes an eighth of the estimator's
        ``n_iter``, so that the path costs little, or all of it where retraining starts anew or
        the estimator has no ``n_iter`` of its own (a :class:`~skprune.SparseDBN`, whose levels have).
    verbose : int, default=0
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    estimator_ : estimator
        Pruned to ``best_sparsity_`` on all data.
    best_sparsity_ : float
        0, and a full machine, where no sparsity is within the tolerance.
    best_score_ : float
        Its mean test score.
    cv_results_ : dict of ndarray
        One entry a sparsity: ``sparsity``, ``mean_test_score``, ``std_test_score``,
        ``split0_test_score`` and so on, ``mean_full_score`` and ``split0_full_score`` of the
        full machine after as many passes, ``tolerance``.
    sparsity_ : float
    history_ : dict of ndarray
        Rounds of the last fit, as in :class:`IterativePruner`.
    n_splits_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import IterativePrunerCV, PrunedBernoulliRBM
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 20))
    >>> search = IterativePrunerCV(
    ...     PrunedBernoulliRBM(10, random_state=0), sparsities=(0.5, 0.9), cv=3).fit(X)
    >>> search.cv_results_["sparsity"]
    array([0.5, 0.9])
    """

    def __init__(
        self,
        estimator=None,
        *,
        sparsities=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98),
        cv=None,
        scoring=None,
        tolerance="one_standard_error",
        n_jobs=None,
        criterion="magnitude",
        scope="level",
        target="connections",
        remove="least",
        retrain="continue",
        n_retrain_iter=None,
        verbose=0,
        random_state=None,
    ):
        self.estimator = estimator
        self.sparsities = sparsities
        self.cv = cv
        self.scoring = scoring
        self.tolerance = tolerance
        self.n_jobs = n_jobs
        self.criterion = criterion
        self.scope = scope
        self.target = target
        self.remove = remove
        self.retrain = retrain
        self.n_retrain_iter = n_retrain_iter
        self.verbose = verbose
        self.random_state = random_state

    def _pruner(self) -> IterativePruner:
        """Return the pruner of the whole path, checked."""
        if self.estimator is None:
            raise ValueError("IterativePrunerCV needs an estimator to prune; got None.")
        if not isinstance(self.sparsities, list | tuple | np.ndarray) or not len(self.sparsities):
            raise ValueError(
                f"sparsities must be numbers that rise, and not empty; got {self.sparsities!r}."
            )
        sparsities = list(self.sparsities)
        for sparsity in sparsities:
            check_number(sparsity, "sparsity", low=0, high=1, closed="left")
        if sorted(sparsities) != sparsities:
            raise ValueError(f"sparsities must rise, got {sparsities}.")
        if isinstance(self.scoring, list | tuple | dict | set):
            raise ValueError(
                f"IterativePrunerCV chooses by one score; got scoring={self.scoring!r}."
            )
        if self.tolerance != "one_standard_error":
            check_number(self.tolerance, "tolerance", low=0)
        names = ("estimator", "criterion", "scope", "target", "remove", "retrain", "random_state")
        pruner = IterativePruner(
            schedule=[float(sparsity) for sparsity in sparsities],
            n_retrain_iter=self.n_retrain_iter,
            **{name: getattr(self, name) for name in names},
        )
        plan = pruner._check_parameters()
        inner = getattr(self.estimator, "estimator", self.estimator)  # of a FrozenEstimator
        n_iter = inner.get_params().get("n_iter")
        if self.n_retrain_iter is None and plan.retrain == "continue" and n_iter is not None:
            pruner.set_params(n_retrain_iter=max(1, n_iter // 8))
        return pruner

    @with_callbacks
    def fit(self, X, y=None, **fit_params):
        """Score the path in every fold, choose a sparsity, prune to it on all data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        **fit_params
            Routed to the estimator's ``fit``.

        Returns
        -------
        self : IterativePrunerCV

        Raises
        ------
        ValueError
            If a parameter is not legal, or nothing would be left of a level.
        """
        pruner = self._pruner()
        routing = process_routing(self, "fit", **fit_params)
        routed = routing["estimator"]["fit"]
        X, y = indexable(X, y)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        split_params = routing.get("splitter", Bunch(split={})).split
        splits = list(splitter.split(X, y, **split_params))
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        scores = np.array(
            Parallel(n_jobs=self.n_jobs, verbose=self.verbose)(
                delayed(_fold_scores)(pruner, X, y, train, test, self.scoring, routed)
                for train, test in splits
            )
        )
        if np.isnan(scores).any():
            raise ValueError("The scores contain NaN; no sparsity can be chosen by them.")
        self.n_splits_ = len(splits)
        pruned, full = scores[:, 0], scores[:, 1]
        error = full.std(axis=0, ddof=1) / np.sqrt(len(splits)) if len(splits) > 1 else 0.0
        tolerance = error if self.tolerance == "one_standard_error" else self.tolerance
        tolerance = np.broadcast_to(tolerance, full.shape[1:]).astype(float)
        self.cv_results_ = {
            "sparsity": np.array(pruner.schedule),
            "mean_test_score": pruned.mean(axis=0),
            "std_test_score": pruned.std(axis=0),
            "mean_full_score": full.mean(axis=0),
            "tolerance": tolerance,
        }
        for number in range(len(splits)):
            self.cv_results_[f"split{number}_test_score"] = pruned[number]
            self.cv_results_[f"split{number}_full_score"] = full[number]
        good = np.flatnonzero(pruned.mean(axis=0) >= full.mean(axis=0) - tolerance)
        if good.size:
            chosen = pruner.schedule[: good[-1] + 1]
            self.best_score_ = float(pruned.mean(axis=0)[good[-1]])
        else:
            chosen = [0.0] * len(pruner.schedule)
            self.best_score_ = float(full.mean(axis=0)[-1])
        self.best_sparsity_ = chosen[-1]
        final = pruner.set_params(schedule=chosen)
        task = context.subcontext(task_name="refit")
        with task.propagate_callback_context(final):
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            own = set(routed) | (set(fit_params) - set(split_params))
            final.fit(X, y, **{name: fit_params[name] for name in own})
            task.call_on_fit_task_end(estimator=self, X=X, y=y)
        self.estimator_, self.sparsity_ = final.estimator_, final.sparsity_
        self.history_ = final.history_
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def score(self, X, y=None, **score_params) -> float:
        """Return the score of the pruned estimator, by ``scoring``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        **score_params
            Handed to the scorer, such as ``sample_weight``.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        scorer = check_scoring(self.estimator_, self.scoring)
        return _score(scorer, self.estimator_, X, y, **score_params)

    def get_metadata_routing(self):
        """Return the routing of ``fit``'s metadata to the estimator and the splitter.

        Returns
        -------
        routing : MetadataRouter
        """
        router = super().get_metadata_routing()
        if hasattr(self.cv, "get_metadata_routing"):
            router.add(
                splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
            )
        return router


def _score(scorer, estimator, X, y, **params):
    """What a scorer says, with y where there is one."""
    return scorer(estimator, X, **params) if y is None else scorer(estimator, X, y, **params)


def _fold_scores(pruner, X, y, train, test, scoring, fit_params):
    """Test scores of one fold along the path: of the pruned machine, and of the full one."""
    X_train, y_train = _safe_split(pruner, X, y, train)
    X_test, y_test = _safe_split(pruner, X, y, test, train)
    fit_params = _check_method_params(X, fit_params, indices=train)
    context = pruner._init_callback_context(max_subtasks=None)
    rewinds = isinstance(pruner._check_parameters().retrain, Rewind)
    if not (isinstance(pruner.estimator, FrozenEstimator) or rewinds):  # one training for both
        full = clone(pruner).set_params(schedule=[0.0], retrain=None)
        ((_, start),) = full._rounds(context, X_train, y_train, fit_params)
        pruner = clone(pruner).set_params(estimator=FrozenEstimator(start))
    result = []
    for schedule in (pruner.schedule, [0.0] * len(pruner.schedule)):
        path = clone(pruner).set_params(schedule=schedule)
        rounds = path._rounds(context, X_train, y_train, fit_params)
        result.append(
            [
                _score(check_scoring(machine, scoring), machine, X_test, y_test)
                for _, machine in rounds
            ]
        )
    return result
