"""Training of a machine by a pruner, before the first round and after each round."""

from __future__ import annotations

import numbers
from copy import deepcopy

from sklearn.base import clone

from .._support.random import new_seeds, seeds_of
from .memory import CheckedMemory
from .protocol import connectivity_parameters


class RoundTrainer:
    """Trains the machine of a pruner before the first round and after each round.

    Parameters
    ----------
    pruner : IterativePruner
        Pruner whose parameters say how to train.
    context : callback context
        Context of ``fit``, in which each training is a task.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,) or None
        Target passed to ``fit`` of the machine.
    fit_params : dict
        Further arguments of ``fit`` of the machine.

    Raises
    ------
    ValueError
        If ``memory`` is used without an integer seed.
    OSError
        If ``memory`` is not a directory, or it cannot be created.
    """

    def __init__(self, pruner, context, X, y, fit_params):
        self.pruner, self.context = pruner, context
        self.X, self.y, self.fit_params = X, y, fit_params
        if pruner.memory is not None:
            inner = getattr(pruner.estimator, "estimator", pruner.estimator)  # of a FrozenEstimator
            seeds = [pruner.random_state, *seeds_of(inner).values()]
            if not any(isinstance(seed, numbers.Integral) for seed in seeds):
                raise ValueError(
                    "memory requires an integer seed. Set random_state to an int in the pruner or "
                    "in its estimator."
                )
        self.trained = CheckedMemory(pruner.memory, _trained)

    def fit(self, task_name, estimator, **changed):
        """Fit a machine with some parameters changed, then restore its own parameters."""
        task = self.context.subcontext(task_name=task_name)
        own = {name: estimator.get_params()[name] for name in changed}
        task.call_on_fit_task_begin(estimator=self.pruner, X=self.X, y=self.y)
        estimator = self.trained(
            estimator, self.X, self.y, self.fit_params, changed, own,
            untracked=task.propagate_callback_context,
        )  # fmt: skip
        task.call_on_fit_task_end(estimator=self.pruner, X=self.X, y=self.y)
        return estimator

    def first(self, estimator, rewind_to):
        """Train a machine before the first round.

        Parameters
        ----------
        estimator : estimator
            Machine to train.
        rewind_to : int or None
            Number of passes after which to save a copy to return to. If None, no copy is saved.

        Returns
        -------
        estimator : estimator
            The trained machine.
        start : estimator or None
            The saved copy.

        Raises
        ------
        ValueError
            If ``rewind_to`` exceeds ``n_iter`` of the machine, or this ``n_iter`` is None and
            ``rewind_to`` is not 0.
        """
        if rewind_to is None:
            return self.fit("train", estimator), None
        n_iter = estimator.get_params()["n_iter"]
        n_iter = None if n_iter is None else int(n_iter)
        if n_iter is None:  # each level has its own n_iter
            if rewind_to:
                raise ValueError(
                    f"Rewind(n_iter={rewind_to}) requires an estimator with an integer n_iter, got "
                    "n_iter=None. Set n_iter of the estimator, or use Rewind(n_iter=0)."
                )
            start = deepcopy(self.fit("train", estimator, n_iter=0))
            return self.fit("train", estimator), start
        if rewind_to > n_iter:
            raise ValueError(
                f"Rewind(n_iter={rewind_to}) needs more passes than the estimator has, which is "
                f"n_iter={n_iter}. Use a lower n_iter in Rewind."
            )
        estimator = self.fit("train", estimator, n_iter=rewind_to)
        start = deepcopy(estimator)
        rest = n_iter - rewind_to
        return self.fit("train", estimator, n_iter=rest, warm_start=True), start

    def after_round(self, estimator, start, retrain, rng):
        """Retrain a machine after a round, as ``retrain`` specifies, and return it."""
        if retrain is None:
            return estimator
        masks = estimator.connectivity_
        if retrain == "rewind":
            estimator = deepcopy(start).set_connectivity(masks)
        elif retrain == "reinitialize":
            estimator = self.fresh(estimator, masks, rng)
        changed = {"warm_start": True}
        if self.pruner.n_retrain_iter is not None:
            changed["n_iter"] = int(self.pruner.n_retrain_iter)
        return self.fit("retrain", estimator, **changed)

    def fresh(self, estimator, masks, rng):
        """Return an untrained machine with new random weights and the given masks."""
        fresh = clone(estimator)
        start = connectivity_parameters(fresh, masks)
        parameters = fresh.get_params()
        restored = {name: parameters[name] for name in start} | seeds_of(fresh)
        fresh.set_params(**new_seeds(fresh, rng), **start)
        fresh = self.fit("initialize", fresh, n_iter=0, warm_start=False)
        return fresh.set_params(**restored).set_connectivity(masks)


def _trained(estimator, X, y, fit_params, changed, own, within):
    """Fit an estimator with some parameters changed, and restore its own parameters.

    The result depends on the arguments alone, so that joblib can cache it.
    """
    estimator.set_params(**changed)
    try:
        with within(estimator):
            estimator.fit(X, y, **fit_params)
    finally:
        estimator.set_params(**own)
    return estimator
