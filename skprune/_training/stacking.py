"""Greedy training of a stack of levels, one level after the other."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._machine.labels import joined
from .._machine.levels import Layers
from .._machine.restricted import RestrictedMachine
from .._support.options import check_layer_sizes
from .._support.random import new_seeds
from .._support.stored import (
    check_classes_in_order,
    check_flag,
    check_history,
    check_key,
    check_list,
    check_whole,
)

UNPRUNED = {  # parameters of a pruner that removes nothing, for n_iter=0
    "sparsity": 0.0, "schedule": "geometric", "n_rounds": 1, "regrow": None, "retrain": None,
    "sparsities": (0.0,),
}  # fmt: skip


def inner_machine(level):
    """Return the machine of a level, which may be inside a pruner or a FrozenEstimator."""
    return getattr(level, "estimator", level)


def named_levels(entries, rbm, pruner) -> list:
    """Return clones of levels that are given as pairs (name, estimator).

    Parameters
    ----------
    entries : list of (str, estimator)
        Parameter ``hidden_layer_sizes`` of the network, lowest level first.
    rbm, pruner : estimator or None
        Parameters of the network, which must be None.

    Returns
    -------
    levels : list of estimator
        Unfitted levels, lowest level first.

    Raises
    ------
    ValueError
        If ``rbm`` or ``pruner`` is not None, or an entry is not a pair.
    """
    if rbm is not None or pruner is not None:
        raise ValueError(
            "rbm and pruner must be None if hidden_layer_sizes contains estimators. To prune a "
            "level, pass a pruner as its estimator."
        )
    if not all(isinstance(entry, tuple) and len(entry) == 2 for entry in entries):
        raise ValueError(
            "hidden_layer_sizes must contain only ints, or only pairs (name, estimator), got "
            f"{entries!r}."
        )
    return [clone(estimator) for _, estimator in entries]


def levels_of_sizes(sizes, rbm, pruner, default) -> list:
    """Return one unfitted level per size, made from a template and, if given, a pruner.

    Parameters
    ----------
    sizes : int or sequence of int
        Number of units of each layer, lowest layer first.
    rbm : estimator or None
        Template of the levels.
    pruner : estimator or None
        Pruner of each level. If its ``estimator`` is not None, this is the template.
    default : estimator
        Template to use if neither ``rbm`` nor ``pruner`` has one.

    Returns
    -------
    levels : list of estimator
        Lowest level first.

    Raises
    ------
    TypeError
        If ``pruner`` is not a pruner, or a size is not an integer.
    ValueError
        If a size is not positive, or both ``rbm`` and ``pruner`` have a template.
    """
    sizes = check_layer_sizes(sizes)
    if pruner is not None and not hasattr(pruner, "estimator"):
        raise TypeError(f"pruner must be an IterativePruner or None, got {pruner!r}.")
    template = default if rbm is None else rbm
    if pruner is not None and pruner.estimator is not None:
        if rbm is not None:
            raise ValueError(
                "rbm must be None if pruner has an estimator. To prune rbm instead, set "
                "estimator=None in pruner."
            )
        template = pruner.estimator
    levels = [clone(template).set_params(n_components=size) for size in sizes]
    if pruner is not None:
        levels = [clone(pruner).set_params(estimator=level) for level in levels]
    return levels


def check_levels(levels, machine_type, *, join_labels, transpose, tuning) -> None:
    """Raise an error before training if the levels do not support the parameters of a network.

    Parameters
    ----------
    levels : list of estimator
        Unfitted or frozen levels, lowest level first.
    machine_type : type
        Class of the machines that labels, transposed levels and fine-tuning require.
    join_labels, transpose : bool
        Parameters of the network.
    tuning : UpDown or None
        Options of fine-tuning.

    Raises
    ------
    TypeError
        If a level is not a transformer, or not of the class that a parameter requires.
    ValueError
        If two parameters exclude each other, or fine-tuning requires more levels.
    """
    machines = [inner_machine(level) for level in levels]
    for number, machine in enumerate(machines, start=1):
        if not hasattr(machine, "transform"):
            raise TypeError(
                f"Level {number}, a {type(machine).__name__}, has no transform method. Each level "
                "must be a transformer."
            )
        fitted = (
            getattr(machine, "estimator", None) if isinstance(machine, FrozenEstimator) else machine
        )
        if isinstance(fitted, RestrictedMachine) and not isinstance(fitted, machine_type):
            raise TypeError(
                f"Level {number}, a {type(fitted).__name__}, cannot be a level of a deep network, "
                "whose layers are binary. Put it before the network in a Pipeline."
            )
    trained = [
        level if isinstance(level, FrozenEstimator) else machine
        for level, machine in zip(levels, machines, strict=True)
    ]

    def require(levels, what):
        for level in levels:
            if not isinstance(level, machine_type):
                raise TypeError(f"{what} {machine_type.__name__}, got {type(level).__name__}.")

    if join_labels:
        require(trained[-1:], "join_labels=True needs a top level of type")
    if join_labels and transpose:
        raise ValueError(
            "transpose=True is not possible with join_labels=True. Set one of the two to False."
        )
    if transpose:
        require(machines, "transpose=True needs levels of type")
    if tuning is not None:
        require(trained, "fine_tune needs levels of type")
        if len(levels) == 1 and tuning.undirected_top:
            raise ValueError(
                "fine_tune needs at least two hidden layers, got one. Add a hidden layer, or use "
                "UpDown(undirected_top=False)."
            )


def planned_levels(levels, n_features, *, n_labels=0, transpose=False) -> list:
    """Check the parameters of all levels before training, and return the shapes of the levels.

    Parameters
    ----------
    levels : list of estimator
        Unfitted or frozen levels, lowest level first. Estimators with a method ``planned_levels``
        are asked to check themselves.
    n_features : int or None
        Number of features of the training data, or None if it is not known.
    n_labels : int or None, default=0
        Number of labels that join the input of the top level, or None if it is not known.
    transpose : bool, default=False
        Whether each level after the first starts as the transpose of the level below.

    Returns
    -------
    shapes : list of (int or None, int or None)
        Shape of each level without labels. Numbers that are not known are None.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid, or levels do not fit together.
    NotFittedError
        If a frozen level is not fitted.
    """
    shapes: list = []
    sizes = [n_features]
    for number, level in enumerate(levels, start=1):
        n_lower = sizes[-1]
        if number == len(levels):
            n_lower = None if None in (n_lower, n_labels) else n_lower + n_labels
        own = _frozen_shapes(level, number, n_lower)
        if own is None and hasattr(level, "planned_levels"):
            own = level.planned_levels(n_lower)
        if own is None:
            own = [(None, sizes[-1])]
        if number == len(levels) and n_labels:
            own = [(own[0][0], sizes[-1]), *own[1:]]
        shapes += own
        sizes.append(None if getattr(level, "removes_units", False) else own[-1][0])
        two_below = sizes[-3] if number > 1 else None
        if transpose and None not in (sizes[-1], two_below) and sizes[-1] < two_below:
            raise ValueError(
                f"With transpose=True, layer {number} must have at least as many units as the "
                f"layer two below it, which has {two_below}, got {sizes[-1]}."
            )
    return shapes


def _frozen_shapes(level, number, n_lower):
    """Return the shapes of a frozen level, or None if the level is not frozen or has no masks."""
    if not isinstance(level, FrozenEstimator):
        return None
    machine = level.estimator
    check_is_fitted(machine)
    n_features = getattr(machine, "n_features_in_", None)
    if None not in (n_features, n_lower) and n_features != n_lower:
        raise ValueError(
            f"The frozen machine of level {number} has {n_features} visible units, but its input "
            f"has {n_lower} features. The two numbers must be equal."
        )
    return [mask.shape for mask in getattr(machine, "connectivity_", ())] or None


def set_seeds(levels, rng) -> None:
    """Set the seeds of the levels, except for frozen ones."""
    for level in levels:
        if not isinstance(level, FrozenEstimator):
            level.set_params(**new_seeds(level, rng))


@dataclass
class LevelTrainer:
    """Fits the levels of a network one after the other, each on the features of the level below.

    Attributes
    ----------
    network : estimator
        Network whose levels are fitted. Callbacks and messages refer to it.
    context : callback context
        Context of ``fit`` of the network, in which each level is a task.
    features : callable
        ``features(machine, X)`` returns the features of a fitted level as an array.
    n_iter : int or None
        Number of passes per level. If None, the levels use their own.
    upward : {"probabilities", "samples"}
        What the next level is trained on.
    transpose : bool
        Whether each level after the first starts as the transpose of the level below.
    going_on : bool
        Whether the levels are already fitted and training continues from their state.
    rng : numpy.random.RandomState
        Draws the samples for ``upward="samples"``.
    """

    network: Any
    context: Any
    features: Any
    n_iter: int | None
    upward: str
    transpose: bool
    going_on: bool
    rng: np.random.RandomState

    def fit(self, levels, X, labels=None) -> tuple:
        """Fit the levels.

        Parameters
        ----------
        levels : list of estimator
            Levels to fit, lowest level first. A FrozenEstimator is copied and not fitted.
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Training data.
        labels : ndarray of bool of shape (n_samples, n_labels), default=None
            Labels that join the input of the top level.

        Returns
        -------
        machines : list of estimator
            Fitted machines, lowest level first, without their pruners.
        histories : list of dict
            History of each level.
        """
        for number, level in enumerate(levels):
            if not isinstance(level, FrozenEstimator):  # the errors of all levels come first
                self._changed_parameters(level, number, None)
        machines: list = []
        histories: list = []
        below = X
        for number, level in enumerate(levels):
            started = time.perf_counter()
            top = number == len(levels) - 1
            given = joined(below, labels) if top and labels is not None else below
            frozen = isinstance(level, FrozenEstimator)
            turned = self.transpose and number > 0 and not (self.going_on or frozen)
            task = self.context.subcontext(task_name="level")
            task.call_on_fit_task_begin(estimator=self.network, X=X)
            if frozen:
                machine, history = deepcopy(level.estimator), {}
                check_is_fitted(machine)
            else:
                machine, history = self._fit_level(
                    level, number, given, machines[-1] if turned else None, task
                )
            task.call_on_fit_task_end(estimator=self.network, X=X)
            machines.append(machine)
            histories.append(history)
            if not top:
                below = self.features(machine, below)
                if self.upward == "samples":
                    below = (self.rng.uniform(size=below.shape) < below).astype(below.dtype)
            if self.network.verbose:
                seconds = time.perf_counter() - started
                print(
                    f"[{type(self.network).__name__}] Level {number + 1} of {len(levels)}, "
                    f"time = {seconds:.2f}s"
                )
        return machines, histories

    def _fit_level(self, level, number, X, below, task) -> tuple:
        """Fit a level with temporarily changed parameters, and return its machine and history."""
        if self.going_on:
            level = deepcopy(level)
        lent = self._changed_parameters(level, number, below)
        parameters = level.get_params()
        own = {name: parameters[name] for name in lent}
        level.set_params(**lent)
        try:
            with task.propagate_callback_context(level):
                level.fit(X, None)
        finally:
            level.set_params(**own)
        machine = getattr(level, "estimator_", level)
        if machine is not level:  # the pruner fitted a clone, which has the changed parameters
            start = "estimator__"
            machine.set_params(
                **{
                    name.removeprefix(start): value
                    for name, value in own.items()
                    if name.startswith(start)
                }
            )
        return machine, getattr(level, "history_", {})

    def _changed_parameters(self, level, number, below) -> dict:
        """Return the parameters of a level, or of the machine in its pruner, for this fit."""
        parameters, inner = level.get_params(), inner_machine(level)
        owner = "" if inner is level else "estimator__"
        lent: dict[str, Any] = {}
        if self.going_on:
            if "warm_start" not in parameters:
                raise TypeError(
                    "warm_start=True requires every level to have a warm_start parameter, but "
                    f"level {number + 1}, a {type(level).__name__}, has none."
                )
            lent["warm_start"] = True
        if owner and self.n_iter == 0:
            lent |= {name: value for name, value in UNPRUNED.items() if name in parameters}
        if self.n_iter is not None:
            if f"{owner}n_iter" not in parameters:
                raise TypeError(
                    f"n_iter={self.n_iter} requires every level to have an n_iter parameter, but "
                    f"level {number + 1}, a {type(inner).__name__}, has none. Use n_iter=None."
                )
            lent[f"{owner}n_iter"] = self.n_iter
        if below is not None:
            lent[f"{owner}transpose_of"] = FrozenEstimator(below)
        return lent


def n_upper(level) -> int:
    """Return the number of units of a level's top layer."""
    known = getattr(level, "_n_features_out", None)
    return level.connectivity_[-1].shape[0] if known is None else known


def restored_generative(state) -> Layers | None:
    """Validate the stored state of a deep belief network, and return its generative layers.

    Parameters
    ----------
    state : dict
        Attributes of the fitted network.

    Returns
    -------
    generative : Layers or None
        The directed levels with generative weights, if the network was fine-tuned.

    Raises
    ------
    ValueError
        If an attribute is invalid, or levels do not fit on top of each other.
    """
    levels, flags = state["estimators_"], state["_frozen"]
    check_list(levels, "estimators_")
    check_list(flags, "The flags of frozen levels", len(levels))
    tuned = state["_generative"] is not None
    check_list(state["history_"], "history_", len(levels) + tuned)
    for history in state["history_"]:
        check_history(history, "An entry of history_")
    for flag in (*flags, state["_directed_top"], state["_stack_is_trained"]):
        check_flag(flag, "Each flag of a network")
    check_key(state["_key"])
    check_whole(state["_n_steps"], "The number of minibatches")
    n_labels = 0
    if "classes_" in state:
        check_classes_in_order(state["classes_"])
        n_labels = state["classes_"].size
    sizes = [state["n_features_in_"]]
    for number, level in enumerate(levels, start=1):
        if not callable(getattr(level, "transform", None)):
            raise ValueError(f"Level {number} must be a fitted transformer, got {level!r}.")
        n_lower = sizes[-1] + (n_labels if number == len(levels) else 0)
        known = getattr(level, "n_features_in_", n_lower)
        check_whole(known, f"The number of inputs of level {number}", low=n_lower, high=n_lower)
        if number < len(levels):
            sizes.append(n_upper(level))
    if not tuned:
        if state["_directed_top"]:
            raise ValueError("A network with a directed top level must have generative weights.")
        return None
    generative = Layers.from_state(state["_generative"])
    if state["_directed_top"]:
        sizes.append(n_upper(levels[-1]))
    found = [bias.size for bias in generative.biases]
    if found != sizes:
        raise ValueError(
            f"The generative layers must have {sizes} units like the levels, got {found}."
        )
    return generative
