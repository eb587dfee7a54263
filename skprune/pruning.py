"""Meta-estimators that prune a machine in rounds and train it after each round.

Pruners work with every estimator that follows the pruning protocol. A fitted estimator then has:

- ``connectivity_``: a list of boolean masks (n_upper, n_lower), one per level, lowest level first.
- ``components_``: the weights, as an array of the same shape per level. With one level, this may
  be the array itself.
- ``set_connectivity(masks)``: sets the masks and returns the estimator. Weights of removed
  connections are 0 from then on, also during training. Weights of new connections start at 0.
- ``layer_samples(X=None, *, n_samples, n_steps_between, random_state)``: returns a list of the
  states of all layers, given data or drawn from the model.

A pruner retrains it with ``warm_start=True`` and, if a number of passes is given, ``n_iter``.
:class:`skprune._pruning.protocol.Prunable` describes these members and the optional ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
from joblib import Memory
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ._pruning.cross_validation import checked_splits, fold_scores
from ._pruning.delegation import FittedPruner
from ._pruning.early import check_before, check_labels_given, check_scorer, number_of_features
from ._pruning.loop import prune_in_rounds
from ._pruning.metadata import fit_metadata, routing_enabled
from ._pruning.plan import Rewind, Units, check_pruner
from ._pruning.rounds import as_columns, score_with
from ._support.compat import with_callbacks
from ._support.options import check_number
from ._support.ranges import one_range_warning
from ._support.stored import check_history, check_real, check_whole
from ._support.validation import check_labels

__all__ = ["IterativePruner", "IterativePrunerCV", "Rewind", "Units", "pruning_path"]


class IterativePruner(FittedPruner):
    """Train an estimator, then prune it and train it again in several rounds.

    A copy of the estimator is fitted. Each round then scores the connections that remain, keeps
    those with the highest scores, and retrains the copy (Han et al. 2015; Zuo et al. 2019).

    Parameters
    ----------
    estimator : estimator
        Machine to prune. It must follow the pruning protocol of :mod:`skprune.pruning`. A
        :class:`~sklearn.frozen.FrozenEstimator` is copied and pruned without the first training.
    sparsity : float in [0, 1), list of float or None, default=0.9
        Share of the full matrix of a level that is absent at the end. Pass one number for all
        levels, or a list with one per level. A level that is already this sparse is not pruned. If
        0, the rounds only train, so that a full machine gets as many passes as a pruned one. With
        a schedule that needs no target, this is an upper limit, and None means no limit.
    criterion : str or callable, default="magnitude"
        Score of each connection: a name from :data:`skprune.criteria.CRITERIA`, or a function of
        a :class:`~skprune.criteria.LevelView`. With ``target="units"``, a name from
        ``UNIT_CRITERIA``, or a function of a :class:`~skprune.criteria.LayerView`.
    schedule : str, object or list of float, default="geometric"
        How many connections each round removes: "geometric", "linear", "cubic", "one_shot", or an
        object (see :mod:`skprune.schedules`). A list holds the sparsity after each round, and
        replaces ``sparsity`` and ``n_rounds``.
    n_rounds : int, default=5
        Number of rounds.
    scope : {"level", "global", "unit"}, default="level"
        Where connections compete: in a level, in the whole machine, or in an upper unit. With
        "unit", the upper units of a level keep equally many connections (within one).
    order : {"joint", "bottom_up", "top_down"}, default="joint"
        If "joint", each round prunes all levels and then retrains. Otherwise, each round prunes
        one level after the other in this order, and retrains after each of them.
    target : {"connections", "units"} or Units, default="connections"
        What to prune. Hidden units are removed permanently if the machine has a method
        ``compact``. ``sparsity`` is then a share of the units of each hidden layer.
    remove : {"least", "most"}, default="least"
        If "most", the highest scores are removed first, as a control for a criterion.
    retrain : {"continue", "rewind", "reinitialize", None} or Rewind, default="continue"
        How to train after each round: from the current weights, from those before the first
        training (or at the pass of a :class:`Rewind`), from new random weights, or not at all.
    n_retrain_iter : int, default=None
        Number of passes after each round. If None, ``n_iter`` of the estimator is used.
    regrow : str or callable, default=None
        Criterion by which each round adds absent connections, as many as it removed beyond the
        target. "random" with ``FractionOfRemaining`` and a machine that starts at the target
        sparsity is sparse evolutionary training (Mocanu et al. 2018).
    grace_rounds : int, default=None
        Number of rounds a hidden unit may stay without connections on one side before it is
        removed. Units left disconnected by that removal are removed too. If None, such units stay.
    scoring : str, callable, list or dict, default=None
        Scorers for ``history_``, which evaluate the machine on the data passed to ``fit`` before
        and after each retraining.
    memory : str or joblib.Memory, default=None
        Directory in which to cache trained machines, so that fits whose first rounds are the same
        share them. This requires an integer ``random_state`` here or in the estimator.
    verbose : int, default=0
        If 1, print one line per round.
    random_state : int, RandomState instance or None, default=None
        Seeds the copy of the estimator and the states drawn for criteria, and breaks ties between
        equal scores. If None, the estimator keeps its own seed, which the pruner then uses too.

    Attributes
    ----------
    estimator_ : estimator
        The pruned machine.
    sparsity_ : float
        Share of all connections (or hidden units) that are absent at the end.
    history_ : dict of ndarray
        One entry per round, or per level of each round if ``order`` is not "joint": ``round``,
        ``level`` (−1 for all levels), ``sparsity``, ``n_connections``, ``n_units`` (hidden units
        with connections), ``n_pruned``, ``n_regrown``, ``threshold`` (lowest score kept) and
        ``seconds``. ``scoring`` adds ``score_pruned`` (before retraining) and ``score`` (after
        it), or one of each per scorer, with its name appended.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of str
        Names of features seen during fit.

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

    def planned_levels(self, n_features=None) -> list | None:
        """Check the parameters before training, and return the shapes of the levels at the start.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and what depends on
            it is not checked.

        Returns
        -------
        shapes : list of (int or None, int or None), or None
            (n_upper, n_lower) of each level, lowest level first. Numbers that are not known are
            None, and so is the list if the estimator does not say.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or the estimator cannot be pruned as planned.
        """
        shapes = check_before(self, check_pruner(self), n_features)
        self._scorer()
        return shapes

    def _scorer(self):
        """Return the scorer for ``history_``, or None without ``scoring``."""
        return None if self.scoring is None else check_scorer(self.estimator, self.scoring)

    def get_metadata_routing(self):
        """Return how metadata are routed to the estimator, and to the scorers of ``history_``.

        Returns
        -------
        routing : MetadataRouter
        """
        router = super().get_metadata_routing()
        if self.scoring is not None and self.estimator is not None:
            router.add(
                scorer=self._scorer(),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        return router

    @property
    def removes_units(self) -> bool:
        """Whether the machine may have fewer units at the end than at the start."""
        return self.target != "connections" or self.grace_rounds is not None

    def _n_tasks(self, plan):
        """Return the number of fits, or None if it depends on the number of levels."""
        if self.order != "joint":
            return None
        n_tasks = len(plan.sparsities) * (1 + (plan.retrain == "reinitialize"))
        unfitted = not isinstance(self.estimator, FrozenEstimator)
        return n_tasks + unfitted * (1 + (plan.retrain == "rewind"))

    @with_callbacks
    @one_range_warning()
    def fit(self, X, y=None, **fit_params):
        """Train the estimator, then prune and retrain it in rounds.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,), default=None
            Passed to ``fit`` of the estimator, and to criteria that use labels.
        **fit_params
            Passed to ``fit`` of the estimator, such as ``sample_weight``. With metadata routing,
            they go to the estimator and the scorer if these request them. Without it,
            ``sample_weight`` also goes to scorers that take it.

        Returns
        -------
        self : IterativePruner

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, the estimator cannot be pruned, or a level would be empty.
        """
        plan = check_pruner(self)
        self.planned_levels(number_of_features(X))
        metadata = fit_metadata(self, fit_params, self._scorer())
        X, y = indexable(X, y)
        context = self._init_callback_context(max_subtasks=self._n_tasks(plan))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        rows = []
        for row, machine in prune_in_rounds(self, plan, X, y, metadata, context):
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


@one_range_warning()
def pruning_path(pruner, X, y=None, **fit_params) -> Bunch:
    """Train a machine once, prune it in rounds, and return a copy of it after each round.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner that defines the rounds. It is not changed. ``schedule=[0.5, 0.8, 0.9]`` gives a
        path with these sparsities.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,), default=None
        Passed to ``fit`` of the estimator, and to criteria that use labels.
    **fit_params
        Passed on, as by ``IterativePruner.fit``.

    Returns
    -------
    path : Bunch
        ``estimators`` holds a copy of the machine after each round, ``sparsities`` an ndarray of
        their sparsities, and ``history`` the columns of ``IterativePruner.history_``.

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
    plan = check_pruner(pruner)
    pruner.planned_levels(number_of_features(X))
    scorer = None if pruner.scoring is None else check_scorer(pruner.estimator, pruner.scoring)
    metadata = fit_metadata(pruner, fit_params, scorer)
    X, y = indexable(X, y)
    rows, machines = [], []
    for row, machine in prune_in_rounds(pruner, plan, X, y, metadata):
        rows.append(row)
        machines.append(deepcopy(machine))
    history = as_columns(rows)
    return Bunch(estimators=machines, sparsities=history["sparsity"], history=history)


class IterativePrunerCV(FittedPruner):
    """Choose the sparsity of a machine by cross-validation, then prune it to that sparsity.

    In each fold, the estimator is trained once and then pruned to each sparsity in turn, with a
    short retraining after each. The full machine is trained for the same number of passes. The
    chosen sparsity is the largest one whose mean test score is within ``tolerance`` of that of the
    full machine after as many passes.

    Parameters
    ----------
    estimator : estimator
        Machine to prune. It must follow the pruning protocol of :mod:`skprune.pruning`.
    sparsities : sequence of float in [0, 1), default=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
        Sparsities to try, in ascending order.
    cv : int, splitter or iterable, default=None
        Cross-validation strategy, as in scikit-learn. If None, five folds are used.
    scoring : str or callable, default=None
        Scorer for the test folds and for :meth:`score`. If None, the estimator's ``score`` is used.
    tolerance : "one_standard_error" or float, default="one_standard_error"
        How far the mean score of a pruned machine may be below that of the full machine. If
        "one_standard_error", it is the standard error of the mean score of the full machine.
    n_jobs : int, default=None
        Number of folds to run in parallel.
    criterion : str or callable, default="magnitude"
        Score of each connection or unit, as in :class:`IterativePruner`.
    scope : {"level", "global", "unit"}, default="level"
        Where connections compete, as in :class:`IterativePruner`.
    target : {"connections", "units"} or Units, default="connections"
        What to prune, as in :class:`IterativePruner`.
    remove : {"least", "most"}, default="least"
        Whether low or high scores are removed first, as in :class:`IterativePruner`.
    retrain : {"continue", "rewind", "reinitialize", None} or Rewind, default="continue"
        How to train after each pruning, as in :class:`IterativePruner`.
    n_retrain_iter : int, default=None
        Number of passes after each pruning. If None, an eighth of the estimator's ``n_iter`` is
        used with ``retrain="continue"``, and all of it otherwise or if its ``n_iter`` is None.
    verbose : int, default=0
        Verbosity of the parallel loop over folds.
    random_state : int, RandomState instance or None, default=None
        Random numbers of the pruner, as in :class:`IterativePruner`.

    Attributes
    ----------
    estimator_ : estimator
        The machine pruned to ``best_sparsity_`` on all data.
    best_sparsity_ : float
        The chosen sparsity. It is 0 if no sparsity is within the tolerance.
    best_score_ : float
        Mean test score at the chosen sparsity.
    cv_results_ : dict of ndarray
        One entry per sparsity. The columns are ``sparsity``, ``mean_test_score``,
        ``std_test_score``, ``mean_full_score`` (of the full machine), ``tolerance``, and for each
        fold ``split0_test_score``, ``split0_full_score`` and so on.
    sparsity_ : float
        Share of all connections (or hidden units) that are absent in ``estimator_``.
    history_ : dict of ndarray
        Rounds of the final fit, as in :class:`IterativePruner`.
    n_splits_ : int
        Number of folds.

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

    _fitted_names = (
        *FittedPruner._fitted_names, "best_sparsity_", "best_score_", "cv_results_", "n_splits_",
    )  # fmt: skip

    def _restore_state(self):
        super()._restore_state()
        check_real(self.best_sparsity_, "best_sparsity_", low=0, high=1)
        check_real(self.best_score_, "best_score_", finite=False)
        check_whole(self.n_splits_, "n_splits_", low=1)
        check_history(self.cv_results_, "cv_results_")

    def _pruner(self) -> IterativePruner:
        """Check the parameters and return the pruner of the whole path."""
        if self.estimator is None:
            raise ValueError("IterativePrunerCV needs an estimator to prune, got None.")
        if not isinstance(self.sparsities, list | tuple | np.ndarray) or not len(self.sparsities):
            raise ValueError(f"sparsities must be a non-empty sequence, got {self.sparsities!r}.")
        sparsities = [
            check_number(sparsity, "sparsity", low=0, high=1, closed="left")
            for sparsity in self.sparsities
        ]
        if sorted(sparsities) != sparsities:
            raise ValueError(f"sparsities must be in ascending order, got {sparsities}.")
        if isinstance(self.scoring, list | tuple | dict | set):
            raise ValueError(f"IterativePrunerCV needs one scorer, got scoring={self.scoring!r}.")
        if self.tolerance != "one_standard_error":
            check_number(self.tolerance, "tolerance", low=0)
        names = ("estimator", "criterion", "scope", "target", "remove", "retrain", "random_state")
        pruner = IterativePruner(
            schedule=[float(sparsity) for sparsity in sparsities],
            n_retrain_iter=self.n_retrain_iter,
            **{name: getattr(self, name) for name in names},
        )
        plan = check_pruner(pruner)
        inner = getattr(self.estimator, "estimator", self.estimator)  # of a FrozenEstimator
        n_iter = inner.get_params().get("n_iter")
        if self.n_retrain_iter is None and plan.retrain == "continue" and n_iter is not None:
            pruner.set_params(n_retrain_iter=max(1, int(n_iter) // 8))
        return pruner

    def planned_levels(self, n_features=None) -> list | None:
        """Check the parameters before training, and return the shapes of the levels at the start.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and what depends on
            it is not checked.

        Returns
        -------
        shapes : list of (int or None, int or None), or None
            (n_upper, n_lower) of each level, lowest level first. Numbers that are not known are
            None, and so is the list if the estimator does not say.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or the estimator cannot be pruned as planned.
        """
        pruner = self._pruner()
        shapes = check_before(pruner, check_pruner(pruner), n_features)
        check_scorer(self.estimator, self.scoring)
        return shapes

    @property
    def removes_units(self) -> bool:
        """Whether the machine may have fewer units at the end than at the start."""
        return self.target != "connections"

    @with_callbacks
    @one_range_warning()
    def fit(self, X, y=None, **fit_params):
        """Choose a sparsity by cross-validation, then prune to it on all data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,), default=None
            Passed to the splitter, to ``fit`` of the estimator and to the scorer.
        **fit_params
            Passed to ``fit`` of the estimator, such as ``sample_weight``, and ``groups`` to the
            splitter. With metadata routing, they go to the estimator, the scorer and the splitter
            if these request them. Without it, ``sample_weight`` also goes to a scorer that takes
            it.

        Returns
        -------
        self : IterativePrunerCV

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, the estimator cannot be pruned, or a score is NaN.
        """
        pruner = self._pruner()
        self.planned_levels(number_of_features(X))
        check_labels_given(check_pruner(pruner), y)
        scorer = check_scorer(self.estimator, self.scoring, y, needs_y=True)
        metadata = fit_metadata(self, fit_params, scorer, splits=True)
        X, y = indexable(X, y)
        classifies = is_classifier(self.estimator)
        if classifies and y is not None:
            check_labels(y)
        splitter = check_cv(self.cv, y, classifier=classifies)
        splits = checked_splits(splitter, X, y, metadata.split)
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        scores = np.array(
            Parallel(n_jobs=self.n_jobs, verbose=self.verbose)(
                delayed(fold_scores)(pruner, X, y, train, test, self.scoring, metadata)
                for train, test in splits
            )
        )
        if np.isnan(scores).any():
            raise ValueError("The test scores contain NaN, so no sparsity can be chosen.")
        self.n_splits_ = len(splits)
        pruned, full = scores[:, 0], scores[:, 1]
        error = full.std(axis=0, ddof=1) / np.sqrt(len(splits)) if len(splits) > 1 else 0.0
        tolerance = error if self.tolerance == "one_standard_error" else float(self.tolerance)
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
            own = metadata.fit
            if routing_enabled():  # by the names under which the estimator requests them
                requested = final.get_metadata_routing().consumes("fit", fit_params)
                own = {name: fit_params[name] for name in requested}
            final.fit(X, y, **own)
            task.call_on_fit_task_end(estimator=self, X=X, y=y)
        self.estimator_, self.sparsity_ = final.estimator_, final.sparsity_
        self.history_ = final.history_
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @one_range_warning()
    def score(self, X, y=None, **score_params) -> float:
        """Return the score of the pruned estimator, computed with ``scoring``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test data.
        y : array-like of shape (n_samples,), default=None
            Passed to the scorer.
        **score_params
            Passed to the scorer, such as ``sample_weight``, or routed to it with metadata routing.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        if routing_enabled():
            score_params = process_routing(self, "score", **score_params)["scorer"]["score"]
        scorer = check_scoring(self.estimator_, scoring=self.scoring)
        return score_with(scorer, self.estimator_, X, y, **score_params)

    def get_metadata_routing(self):
        """Return how metadata are routed to the estimator, the scorer and the splitter.

        Returns
        -------
        routing : MetadataRouter
        """
        router = MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )
        if self.estimator is not None:
            router.add(
                scorer=check_scorer(self.estimator, self.scoring),
                method_mapping=MethodMapping()
                .add(caller="fit", callee="score")
                .add(caller="score", callee="score"),
            )
        if hasattr(self.cv, "get_metadata_routing"):
            router.add(
                splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
            )
        return router
