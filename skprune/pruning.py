"""The pruning meta-estimators: score the connections, keep the best, carry on training.

They know a machine by four members (``connectivity_``, ``set_connectivity``,
``warm_start``, ``layer_samples``) and ``components_``, and import none. Where
units are removed for good, a machine also has ``compact``.
"""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from joblib import Memory
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import (
    Bunch,
    check_random_state,
    indexable,
)
from sklearn.utils.metadata_routing import MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    check_is_fitted,
)

from . import connectivity
from ._pruning.cross_validation import fold_scores
from ._pruning.delegation import FittedPruner
from ._pruning.plan import Plan, check_schedule
from ._pruning.protocol import check_prunable
from ._pruning.rounds import (
    ConnectionItems,
    RoundStates,
    UnitItems,
    as_columns,
    decide,
    score_with,
    scores_for_history,
    targets_of,
    without_units,
)
from ._pruning.training import RoundTrainer
from ._support.compat import with_callbacks
from ._support.options import check_choice, check_number, resolve
from ._support.random import new_seeds, seeds_of
from .criteria import CRITERIA, UNIT_CRITERIA

__all__ = ["IterativePruner", "IterativePrunerCV", "Rewind", "Units", "pruning_path"]

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
RETRAIN = {"continue": "continue", "rewind": Rewind(), "reinitialize": "reinitialize"}


class IterativePruner(FittedPruner):
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
        estimator: BaseEstimator | None = None,
        *,
        sparsity: float | Sequence[float] | None = 0.9,
        criterion: str | Callable = "magnitude",
        schedule: str | Sequence[float] | np.ndarray | BaseEstimator = "geometric",
        n_rounds: int = 5,
        scope: str = "level",
        order: str = "joint",
        target: str | Units = "connections",
        remove: str = "least",
        retrain: str | Rewind | None = "continue",
        n_retrain_iter: int | None = None,
        regrow: str | Callable | None = None,
        grace_rounds: int | None = None,
        scoring: object = None,
        memory: str | Memory | None = None,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
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

    def _check_parameters(self) -> Plan:
        check_number(self.n_rounds, "n_rounds", numbers.Integral, low=1)
        check_choice("scope", self.scope, ("level", "global", "unit"))
        check_choice("order", self.order, ORDERS)
        check_choice("remove", self.remove, ("least", "most"))
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
        schedule, sparsities, listed = check_schedule(
            self.schedule, self.sparsity, self.n_rounds, units=units, regrow=regrow
        )
        return Plan(
            schedule=schedule,
            criterion=criterion,
            regrow=regrow,
            scope=self.scope,
            remove=self.remove,
            units=units,
            retrain="rewind" if isinstance(retrain, Rewind) else retrain,
            rewind_to=retrain.n_iter if isinstance(retrain, Rewind) else None,
            sparsities=sparsities,
            listed=listed,
        )

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
        """Say before training what this estimator cannot lose, where it knows."""
        if not hasattr(estimator, "check_pruning"):
            return
        target = "connections" if plan.units is None else "units"
        for sparsity in plan.sparsities:
            listed = isinstance(sparsity, list | tuple | np.ndarray)
            estimator.check_pruning(len(sparsity) if listed else None, target)

    # ---------------------------------------------------------------- fitting

    def _n_tasks(self, plan):
        """Number of fits, where it is known before the machine is."""
        if self.order != "joint":
            return None
        n_tasks = len(plan.sparsities) * (1 + (plan.retrain == "reinitialize"))
        unfitted = not isinstance(self.estimator, FrozenEstimator)
        return n_tasks + unfitted * (1 + (plan.retrain == "rewind"))

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
        self.history_ = as_columns(rows)
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
        trainer = RoundTrainer(self, context, X, y, fit_params)
        start = None
        if unfitted:
            estimator, start = trainer.first(estimator, plan.rewind_to)
        elif plan.retrain == "rewind":
            start = deepcopy(estimator)
        check_prunable(estimator, trains_on=bool(plan.retrain))
        kind = ConnectionItems if plan.units is None else UnitItems
        masks = [np.array(mask) for mask in estimator.connectivity_]
        levels = list(range(len(masks)))
        sizes = [kind.size(mask) for mask in masks]
        n_start = [int(kind.present(masks, k).sum()) for k in levels]
        targets = [targets_of(share, sizes, n_start, kind) for share in plan.sparsities]
        turns = {"joint": [levels], "bottom_up": [[k] for k in levels]}
        turns["top_down"] = turns["bottom_up"][::-1]
        turns = turns[self.order]
        idle = [np.zeros(mask.shape[0], int) for mask in masks]
        scorer = None if self.scoring is None else check_scoring(estimator, self.scoring)
        for number, target in enumerate(targets):
            for turn in turns:
                started = time.perf_counter()
                states = RoundStates(estimator, X, y, rng)
                step = decide(plan, kind, estimator, turn, n_start, target, number, rng, states)
                if step.n_regrown:  # what went and came back starts at 0, too
                    estimator.set_connectivity(step.survivors)
                if step.n_pruned or step.n_regrown:
                    estimator.set_connectivity(step.masks)
                if plan.units is not None:
                    stay = connectivity.connected_units(estimator.connectivity_)
                    estimator, start, _ = without_units(estimator, start, stay, plan.units)
                elif self.grace_rounds is not None and turn is turns[-1]:
                    connected = connectivity.connected_units(step.masks)
                    idle = [np.where(on, 0, n + 1) for on, n in zip(connected, idle, strict=True)]
                    stay = [count <= self.grace_rounds for count in idle]
                    estimator, start, idle = without_units(estimator, start, stay, Units(), idle)
                masks = [np.asarray(mask) for mask in estimator.connectivity_]
                present = [kind.present(masks, k) for k in levels]
                before = scores_for_history(scorer, estimator, X, y, "score_pruned")
                estimator = trainer.after_round(estimator, start, plan.retrain, rng)
                yield (
                    {
                        "round": number + 1,
                        "level": -1 if self.order == "joint" else turn[0],
                        "sparsity": 1 - sum(int(p.sum()) for p in present) / sum(sizes),
                        "n_connections": sum(int(mask.sum()) for mask in masks),
                        "n_units": sum(int(UnitItems.present(masks, k).sum()) for k in levels),
                        "n_pruned": step.n_pruned,
                        "n_regrown": step.n_regrown,
                        "threshold": step.threshold,
                        "seconds": time.perf_counter() - started,
                        **before,
                        **scores_for_history(scorer, estimator, X, y, "score"),
                    },
                    estimator,
                )


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
    history = as_columns(rows)
    return Bunch(estimators=machines, sparsities=history["sparsity"], history=history)


class IterativePrunerCV(FittedPruner):
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
        estimator: BaseEstimator | None = None,
        *,
        sparsities: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98),
        cv: object = None,
        scoring: object = None,
        tolerance: str | float = "one_standard_error",
        n_jobs: int | None = None,
        criterion: str | Callable = "magnitude",
        scope: str = "level",
        target: str | Units = "connections",
        remove: str = "least",
        retrain: str | Rewind | None = "continue",
        n_retrain_iter: int | None = None,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
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
                delayed(fold_scores)(pruner, X, y, train, test, self.scoring, routed)
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
        return score_with(scorer, self.estimator_, X, y, **score_params)

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
