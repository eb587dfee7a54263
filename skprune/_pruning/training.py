"""How a pruner trains its machine: at first, and after every round."""

from __future__ import annotations

import numbers
from copy import deepcopy

from sklearn.base import clone
from sklearn.utils.validation import check_memory

from .._support.random import new_seeds, seeds_of
from .protocol import connectivity_parameters


class RoundTrainer:
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

    def first(self, estimator, rewind_to):
        """Return the trained machine, and a copy of the state that rounds go back to."""
        if rewind_to is None:
            return self.fit("train", estimator), None
        n_iter = estimator.get_params()["n_iter"]
        if n_iter is None:  # its levels know
            if rewind_to:
                raise ValueError(
                    f"Rewind(n_iter={rewind_to}) needs an estimator with a number as n_iter."
                )
            start = deepcopy(self.fit("train", estimator, n_iter=0))
            return self.fit("train", estimator), start
        if rewind_to > n_iter:
            raise ValueError(
                f"Rewind(n_iter={rewind_to}) goes back to a pass that the estimator, with "
                f"n_iter={n_iter}, never reaches."
            )
        estimator = self.fit("train", estimator, n_iter=rewind_to)
        start = deepcopy(estimator)
        rest = n_iter - rewind_to
        return self.fit("train", estimator, n_iter=rest, warm_start=True), start

    def after_round(self, estimator, start, retrain, rng):
        """Return the machine, trained on as ``retrain`` says."""
        if retrain is None:
            return estimator
        masks = estimator.connectivity_
        if retrain == "rewind":
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
        start = connectivity_parameters(fresh, masks)
        parameters = fresh.get_params()
        restored = {name: parameters[name] for name in start} | seeds_of(fresh)
        fresh.set_params(**new_seeds(fresh, rng), **start)
        fresh = self.fit("initialize", fresh, n_iter=0, warm_start=False)
        return fresh.set_params(**restored).set_connectivity(masks)


def _trained(estimator, X, y, fit_params, changed, own, within):
    """Return the estimator, fitted; a function of its arguments, so that it can be kept on disk."""
    estimator.set_params(**changed)
    try:
        with within(estimator):
            estimator.fit(X, y, **fit_params)
    finally:
        estimator.set_params(**own)
    return estimator
