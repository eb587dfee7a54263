"""Layers with prunable levels, and the abstract machine: validation, training, scores, the seam.

The seam is four members; a machine that is not ours needs no more:
``connectivity_``, ``set_connectivity(masks)``, ``warm_start`` and
``layer_samples(...)``, beside scikit-learn's ``components_`` for the weights.
"""

from __future__ import annotations

import numbers
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import assert_all_finite, check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from . import connectivity as masks_module
from . import inference, likelihood
from ._compat import CallbackSupportMixin, with_callbacks
from ._options import check_number, resolve_function
from ._structures import Connections, LogPartition, Stack
from ._threads import Team
from ._training import (
    LEARNING_RATE_SCHEDULES,
    MEAN_RATE,
    Loop,
    TrainingOptions,
    as_columns,
    new_state,
    new_velocity,
    run_pass,
)
from .samplers import check_gibbs_steps, check_negative_phase

VERSION = "0.1.0"
LEAST_CHAINS = 100  # where n_chains is None; what fewer cost is in docs/design_notes.md


def check_data(estimator, X, reset):
    """Validate data for an estimator; bool and uint8 stay as compact as they came.

    Returns C-contiguous rows, or CSR with int32 indices.
    """
    compact = getattr(X, "dtype", None) in (np.dtype(bool), np.dtype(np.uint8))
    X = validate_data(
        estimator,
        X,
        accept_sparse="csr",
        dtype=None if compact else (np.float64, np.float32),
        reset=reset,
    )
    if sparse.issparse(X):
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        values = X.data.view(np.uint8) if X.data.dtype == bool else X.data
        indices = X.indices.astype(np.int32, copy=False)
        return sparse.csr_array(
            (values, indices, X.indptr.astype(indices.dtype, copy=False)), shape=X.shape
        )
    return np.ascontiguousarray(X.view(np.uint8) if X.dtype == bool else X)


def float_type(X) -> np.dtype:
    """Return the floating type of what is fitted to these data: theirs, or float32 for bits."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float32)


def check_codes(H, n_units) -> np.ndarray:
    """Validate activities of the top layer, to go down from."""
    H = check_array(H, dtype=(np.float64, np.float32))
    if H.shape[1] != n_units:
        raise ValueError(f"H has {H.shape[1]} columns for the {n_units} units of the top layer.")
    return H


def random_weights(mask, lower_means, rng) -> np.ndarray:
    """Return weights (n_upper, n_lower) before training.

    The input of an upper unit would have unit variance over independent lower units of these
    means: units start different and neither saturated nor linear (docs/design_notes.md).
    """
    variances = np.clip(lower_means, 0, 1) * (1 - np.clip(lower_means, 0, 1))
    scale = 1 / np.sqrt(np.maximum(mask @ variances**2, 1.0))
    return scale[:, None] * np.sqrt(variances) * rng.standard_normal(mask.shape)


def log_odds(means, n_rows) -> np.ndarray:
    """Return the log-odds of means over so many rows, with half a row more on either side."""
    smoothed = np.clip((means * n_rows + 0.5) / (n_rows + 1), 1e-6, 1 - 1e-6)
    return np.log(smoothed / (1 - smoothed))


def check_classes(X, y, classes=None) -> tuple:
    """Return the classes in y, or those given, and the number of every row's class.

    Raises
    ------
    ValueError
        If y is missing, is not one finite class a row, holds fewer than two, or others than those given.
    """
    if y is None:
        raise ValueError(
            "requires y to be passed, but the target y is None: give every row's class."
        )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if y.shape[0] != X.shape[0]:
        raise ValueError(
            f"X has {X.shape[0]} rows and y has {y.shape[0]}: inconsistent numbers of samples."
        )
    classes = np.unique(y) if classes is None else np.asarray(classes)
    if classes.size < 2:
        raise ValueError(
            f"The number of classes has to be greater than one; got {classes.size} class."
        )
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y holds {unknown[0]!r}, which was not among the classes {classes}.")
    return classes, np.searchsorted(classes, y)


@contextmanager
def as_it_was(estimator):
    """Give the estimator its attributes back where the block fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def new_key(random_state) -> np.uint64:
    """Return the key of all draws of a fit, or of a call."""
    low, high = check_random_state(random_state).randint(0, 2**31 - 1, size=2)
    return np.uint64((int(high) << 32) | int(low))


def _writable(array) -> np.ndarray:
    return np.require(array, requirements="W")


class Layered(CallbackSupportMixin, BaseEstimator):
    """Layers of units with prunable levels between them: what machines and networks share.

    Fitted state, one entry a level or layer, bottom first: ``_weights`` (a
    matrix, or a vector over the connections of a pruned level),
    ``_connections`` (None, or the triple of :class:`Connections`), ``_biases``.
    """

    _doc_link_module = "skprune"

    # ------------------------------------------------------------- validation

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_weights")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        return {**super().__getstate__(), "_skprune_version": VERSION}

    def __setstate__(self, state):
        version = state.pop("_skprune_version", "unknown")
        if version != VERSION:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"skprune {VERSION}",
                    original_sklearn_version=f"skprune {version}",
                ),
                stacklevel=2,
            )
        super().__setstate__(state)

    # ----------------------------------------------------------- fitted state

    def _stack(self) -> Stack:
        """Build the computing form of the machine. Arrays are shared where the form allows.

        Kernels index levels at run time, so these must be alike: what was loaded as a
        read-only memory map is copied.
        """
        connections = [
            None if stored is None else Connections(*map(_writable, stored[:2]), stored[2])
            for stored in self._connections
        ]
        levels = tuple(
            inference.make_level(_writable(values), stored)
            for values, stored in zip(self._weights, connections, strict=True)
        )
        return Stack(levels, tuple(_writable(bias) for bias in self._biases))

    def _stack_to_train(self) -> Stack:
        """Build it from copies, so that a fit that fails leaves the machine as it was."""
        return inference.as_dtype(self._stack(), self._biases[0].dtype)

    def _team(self, n_samples) -> Team:
        return Team(work=float(n_samples) * sum(weights.size for weights in self._weights))

    @property
    def connectivity_(self) -> list:
        """Boolean masks (n_upper, n_lower) of the levels, bottom first; made on demand."""
        check_is_fitted(self)
        return [self._mask(number) for number in range(self._n_prunable)]

    @property
    def _n_prunable(self) -> int:
        """Number of levels, from below, whose connections can be pruned."""
        return len(self._weights)

    def _forget(self):
        """Drop what no longer holds when the connectivity changes."""

    def _mask(self, number):
        stored = self._connections[number]
        mask = (
            np.ones(self._weights[number].shape, dtype=bool)
            if stored is None
            else masks_module.to_mask(Connections(*stored))
        )
        mask.flags.writeable = False
        return mask

    def _matrix(self, number) -> np.ndarray:
        """Return the weights of a level as a matrix, zero where there is no connection."""
        weights, stored = self._weights[number], self._connections[number]
        if stored is None:
            return weights
        dense = np.zeros((stored[0].size - 1, stored[2]), weights.dtype)
        dense[masks_module.to_mask(Connections(*stored))] = weights
        dense.flags.writeable = False
        return dense

    def set_connectivity(self, masks):
        """Set which connections exist; part of the seam to the pruners.

        A connection that goes is zero from then on; one that is new starts at
        0. Momentum and the kept log Z are dropped.

        Parameters
        ----------
        masks : array-like or list of array-like of bool
            One mask (n_upper, n_lower) a level, bottom first; a machine with
            one level also takes the bare mask.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the number of masks or a shape is wrong, or a level would be
            left without connections.
        """
        check_is_fitted(self)
        if not isinstance(masks, list | tuple) or (
            self._n_prunable == 1 and np.ndim(masks) == 2 and not sparse.issparse(masks[0])
        ):
            masks = [masks]
        if len(masks) != self._n_prunable:
            raise ValueError(
                f"set_connectivity got {len(masks)} masks for {self._n_prunable} levels; "
                "give one a level, bottom first."
            )
        matrices = [self._matrix(number) for number in range(len(masks))]
        masks = [
            masks_module.check_mask(mask, matrix.shape)
            for mask, matrix in zip(masks, matrices, strict=True)
        ]
        for number, (mask, matrix) in enumerate(zip(masks, matrices, strict=True)):
            self._set_level(number, matrix, mask)
        self._forget()
        return self

    def _set_level(self, number, matrix, mask):
        """Store a level: a matrix where every connection exists, else weights by connection."""
        self._weights[number], stored = masks_module.stored_form(matrix, mask)
        self._connections[number] = None if stored is None else tuple(stored)


class BoltzmannMachine(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    Layered,
    ABC,
):
    """A stack of layers of binary units, as a scikit-learn transformer.

    Fitted state beside that of :class:`Layered`: ``_activity`` (running means),
    ``_chains`` (uint8 states of the odd layers), ``_velocity`` (momentum, or None).
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _forget(self):
        self._velocity = self._log_partition = None

    def compact(self, units=None, *, rescale=False, hidden_bias=None):
        """Return a machine without hidden units that have lost their connections.

        Visible units stay, as the data have them. Removing a unit that has no
        connection at all leaves every log-likelihood as it was.

        Parameters
        ----------
        units : list of ndarray of bool, default=None
            The units to keep, one array a hidden layer, bottom first. None
            removes those without connections on either side, and then those
            which that leaves so; a layer never loses all its units.
        rescale : bool, default=False
            Multiply the weights of every level by the number of its upper
            units before over after.
        hidden_bias : {"mean_activity", "negative"}, default=None
            Set the hidden biases to the mean activity a of their units, or to
            −1 / (1 + exp(a)): the thesis's ways to mend a machine that lost units.

        Returns
        -------
        machine : object
            A new machine of the same class, fitted.

        Raises
        ------
        ValueError
            If ``units`` does not fit the layers, or keeps none of one, or
            ``hidden_bias`` is not known.
        """
        check_is_fitted(self)
        if hidden_bias not in (None, "mean_activity", "negative"):
            raise ValueError(
                f"hidden_bias={hidden_bias!r} is not known. Use 'mean_activity', 'negative' or None."
            )
        sizes = [bias.size for bias in self._biases]
        masks = [self._mask(number) for number in range(len(self._weights))]
        if units is None:
            units = masks_module.connected_units(masks)
        units = [np.asarray(kept) for kept in units]
        if [kept.shape for kept in units] != [(size,) for size in sizes[1:]] or any(
            kept.dtype != bool or not kept.any() for kept in units
        ):
            raise ValueError(
                "units must hold one boolean array a hidden layer, of lengths "
                f"{sizes[1:]}, each with a unit to keep."
            )
        machine = deepcopy(self)
        kept = [np.ones(sizes[0], dtype=bool), *units]
        for number, mask in enumerate(masks):
            place = np.ix_(kept[number + 1], kept[number])
            matrix = self._matrix(number)[place]
            if rescale:
                matrix = matrix * matrix.dtype.type(sizes[number + 1] / matrix.shape[0])
            machine._set_level(number, matrix, mask[place])
        for number, stay in enumerate(kept):
            machine._biases[number] = self._biases[number][stay]
            machine._activity[number] = self._activity[number][stay]
            if self._chains[number] is not None:
                machine._chains[number] = self._chains[number][:, stay]
            if number and hidden_bias:
                activity = machine._activity[number]
                if hidden_bias == "negative":
                    activity = -1 / (1 + np.exp(activity))
                machine._biases[number] = activity.copy()
        machine._velocity = machine._log_partition = None
        machine._set_sizes([int(stay.sum()) for stay in units])
        return machine

    @abstractmethod
    def _set_sizes(self, sizes):
        """Set the parameters that say how many hidden units there are."""

    # --------------------------------------------------------------- training

    def _check_parameters(self):
        integer = numbers.Integral
        check_number(self.learning_rate, "learning_rate", low=0, closed="right")
        check_number(self.batch_size, "batch_size", integer, low=1)
        check_number(self.n_iter, "n_iter", integer, low=0)
        check_number(self.momentum, "momentum", low=0, high=1, closed="left")
        check_number(self.l1, "l1", low=0)
        check_number(self.l2, "l2", low=0)
        if self.n_chains is not None:
            check_number(self.n_chains, "n_chains", integer, low=1)
        if self.max_norm is not None:
            check_number(self.max_norm, "max_norm", low=0, closed="right")
        check_gibbs_steps(self.n_gibbs_steps)
        self._activity_goal()
        check_negative_phase(self.negative_phase)
        resolve_function(
            self.learning_rate_schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule"
        )

    def _activity_goal(self) -> tuple[float, float]:
        """Return (target, strength) of the hidden activity; strength 0 where there is none."""
        goal = self.hidden_activity_target
        if goal is None:
            return 0.0, 0.0
        goal = goal if isinstance(goal, tuple | list) else (goal, 0.1)
        if len(goal) != 2:
            raise ValueError(
                f"hidden_activity_target={goal!r} has {len(goal)} entries; give the share, or the "
                "pair (share, strength of the pull)."
            )
        target, strength = goal
        check_number(target, "hidden_activity_target", low=0, high=1, closed="neither")
        check_number(strength, "the strength in hidden_activity_target", low=0)
        return target, strength

    def _wanted_chains(self) -> int:
        return max(self.batch_size, LEAST_CHAINS) if self.n_chains is None else self.n_chains

    def _mean_field_limits(self):
        """Tolerance and most updates of the mean field that training needs, None with one hidden layer."""
        return None

    @abstractmethod
    def _initialize(self, X, rng):
        """Set weights, biases, running means, chains and key as they are before training."""

    def _loop(self, stack: Stack, X) -> Loop:
        negative = check_negative_phase(self.negative_phase)
        batch_size = min(self.batch_size, X.shape[0])
        persistent = not hasattr(negative, "persistent") or negative.persistent
        n_chains = self._wanted_chains() if persistent else batch_size
        kind = stack.biases[0].dtype.type
        target, strength = self._activity_goal()
        options = TrainingOptions(
            kind(self.momentum), kind(self.l1), kind(self.l2), kind(self.max_norm or 0),
            kind(target), kind(strength), kind(getattr(self, "dropout", 0.0)), kind(MEAN_RATE),
        )  # fmt: skip
        chains = [
            None if states is None else np.resize(states, (n_chains, states.shape[1]))
            for states in self._chains
        ]
        velocity = self._starting_velocity(stack, self.momentum)
        state = new_state(stack, batch_size, n_chains, chains, self._activity, velocity)
        if hasattr(negative, "prepare"):
            negative = negative.prepare(stack, state.chains, n_chains, self._activity[0], self._key)
        return Loop(
            stack, state, options, negative, self.n_gibbs_steps, getattr(self, "drop_connect", 0.0), self.learning_rate,
            self.learning_rate_schedule, batch_size, n_chains, self._key, self.centered, True,
            inference.is_binary(X), self._mean_field_limits(),
        )  # fmt: skip

    @with_callbacks
    def fit(self, X, y=None):
        """Fit the machine to data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Values in [0, 1]; bool and uint8 are read as they are.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or the data are not legal, or training diverges.
        """
        self._check_parameters()
        with as_it_was(self):
            going_on = self.warm_start and hasattr(self, "_weights")
            X = check_data(self, X, reset=not going_on)
            if not going_on:
                self._initialize(X, check_random_state(self.random_state))
            context = self._init_callback_context(max_subtasks=self.n_iter)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            loop = self._loop(self._stack_to_train(), X)
            self.history_ = self._run_passes(X, self.n_iter, loop, context)
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X, y=None):
        """Walk through this part of the data once, at the constant rate; chains go on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        self._check_parameters()
        with as_it_was(self):
            first = not hasattr(self, "_weights")
            X = check_data(self, X, reset=first)
            if first:
                self._initialize(X, check_random_state(self.random_state))
            loop = self._loop(self._stack_to_train(), X)
            self._run_passes(X, 1, loop._replace(schedule="constant", shuffle=False))
        return self

    def _run_passes(self, X, n_passes, loop, context=None):
        """Train for some passes; keep history, report, and store what was learned."""
        self._log_partition = None
        rows = []
        watched = X[: min(1000, X.shape[0])]
        with self._team(X.shape[0]) as team:
            for number in range(n_passes):
                task = context.subcontext(task_name="pass") if context else None
                if task:
                    task.call_on_fit_task_begin(estimator=self)
                row = run_pass(loop, X, number, n_passes, self._step, team)
                self._step += row.pop("n_minibatches")
                if self.verbose and len(loop.stack.levels) > 1:
                    print(
                        f"[{type(self).__name__}] Pass {number + 1} of {n_passes}, "
                        f"time = {row['seconds']:.2f}s"
                    )
                elif self.verbose:
                    pseudo = float(
                        likelihood.pseudo_log_likelihood(loop.stack, watched, team).mean()
                    )
                    row["pseudo_log_likelihood"] = pseudo
                    print(
                        f"[{type(self).__name__}] Pass {number + 1} of {n_passes}, "
                        f"pseudo-log-likelihood = {pseudo:.2f}, time = {row['seconds']:.2f}s"
                    )
                rows.append(row)
                if task and task.call_on_fit_task_end(
                    estimator=self,
                    reconstruction_attributes=lambda: self._learned(loop, copy=True),
                ):
                    break
        for name, value in self._learned(loop).items():
            setattr(self, name, value)
        self.n_iter_ = len(rows)
        return as_columns(rows)

    def _learned(self, loop, copy=False) -> dict:
        """Return the fitted attributes as the loop has them now."""
        take = np.array if copy else np.asarray
        stack, state = loop.stack, loop.state
        n_chains = loop.n_chains
        return {
            "_weights": [take(inference.level_values(level)) for level in stack.levels],
            "_connections": list(self._connections),
            "_biases": [take(bias) for bias in stack.biases],
            "_activity": [take(mean) for mean in state.activity],
            "_chains": [
                inference.to_rows(layer, n_chains).astype(np.uint8) if number % 2 else None
                for number, layer in enumerate(state.chains)
            ],
            "_velocity": [take(v) for v in (*state.velocity, *state.bias_velocity)]
            if loop.options.momentum
            else None,
        }

    def _starting_velocity(self, stack, momentum):
        if momentum and getattr(self, "_velocity", None) is not None:
            return [velocity.copy() for velocity in self._velocity]
        return new_velocity(stack, momentum)

    # ---------------------------------------------------- features and scores

    def transform(self, X):
        """Return the activation probabilities of the top layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Values in [0, 1]; bool and uint8 are read as they are.

        Returns
        -------
        features : ndarray of shape (n_samples, n_components)
            In the floating type the machine was fitted in.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        with self._team(X.shape[0]) as team:
            return inference.mean_field(self._stack(), X, team)[-1]

    def log_partition(
        self, method="auto", *, n_chains=100, n_temperatures=1000, spacing="adaptive",
        softening=0.25, n_tempered_sweeps=1000, random_state=None,
    ) -> LogPartition:  # fmt: skip
        """Return log Z in nats.

        Parameters
        ----------
        method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
            "exact" enumerates the side with fewer units (at most 24). "ais" is
            annealed importance sampling from the base-rate model, which
            underestimates log Z on average (Salakhutdinov & Murray 2008);
            "reverse_ais" goes the other way from independent tempered chains,
            and overestimates it (Burda et al. 2015); "bracket" runs both. "auto" is
            exact up to 20 units, else "ais".
        n_chains : int, default=100
        n_temperatures : int, default=1000
        spacing : {"adaptive", "linear"} or array-like, default="adaptive"
            Inverse temperatures of the path: adaptive ones share the variance
            of the importance weights evenly; an array rises from 0 to 1.
        softening : float in [0, 1], default=0.25
            How far the base rates are drawn from the means of the data to 1/2.
            Machines trained by contrastive divergence may have modes far from
            the data, which chains from 0.25 find and chains from 0 miss, by
            many nats and without a sign in the standard error; where there
            are none, more softening costs more temperatures.
        n_tempered_sweeps : int, default=1000
            Parallel-tempering sweeps before the reverse chains start.
        random_state : int, RandomState instance or None, default=None
            None draws from the seed of the fit, so that the result repeats.

        Returns
        -------
        log_partition : LogPartition
            Value first, then its standard error, bracket, method and effective
            sample size.

        Warns
        -----
        ConvergenceWarning
            If the bracket is wider than one nat, or the effective sample size below three.

        Raises
        ------
        ValueError
            If the method or the spacing is unknown, or an exact sum would be too long.
        """
        check_is_fitted(self)
        check_number(n_chains, "n_chains", numbers.Integral, low=2)
        check_number(n_temperatures, "n_temperatures", numbers.Integral, low=1)
        key = self._key if random_state is None else new_key(random_state)
        with self._team(n_chains * n_temperatures) as team:
            return likelihood.log_partition(
                self._stack(), self._activity[0], key, team, method, n_chains, n_temperatures,
                spacing, softening, n_tempered_sweeps,
            )  # fmt: skip

    def _kept_log_partition(self) -> LogPartition:
        """Return log Z of the fitted parameters, computed once."""
        if self._log_partition is None:
            self._log_partition = tuple(self.log_partition())
        return LogPartition(*self._log_partition)

    @abstractmethod
    def score_samples(self, X):
        """Return the log-likelihood, or a bound on it, of every row in nats."""

    def score(self, X, y=None) -> float:
        """Return the mean of :meth:`score_samples`, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X)))

    # --------------------------------------------------------------- sampling

    def _start(self, n_samples, rng) -> list:
        """Return visible states drawn from the data means, the other layers empty."""
        visible = rng.uniform(size=(n_samples, self._biases[0].size)) < self._activity[0]
        dtype = self._biases[0].dtype
        states = [np.zeros((n_samples, bias.size), dtype) for bias in self._biases]
        states[0] = visible.astype(dtype)
        for number in range(2, len(states), 2):
            states[number] = (rng.uniform(size=states[number].shape) < 0.5).astype(dtype)
        return states

    def sample(self, n_samples=1, *, n_gibbs_steps=1000, clamped=None, random_state=None):
        """Draw visible states by Gibbs sampling.

        Parameters
        ----------
        n_samples : int, default=1
            Number of independent chains.
        n_gibbs_steps : int, default=1000
            Length of each chain, which starts from the means of the data.
        clamped : array-like of shape (n_features,) or (n_samples, n_features), default=None
            Visible states that stay as given; NaN where a unit is free.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If ``clamped`` has another shape, or holds a value outside [0, 1].
        TypeError
            If ``clamped`` is sparse.
        """
        check_is_fitted(self)
        check_number(n_samples, "n_samples", numbers.Integral, low=1)
        check_number(n_gibbs_steps, "n_gibbs_steps", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        states = self._start(n_samples, rng)
        if clamped is not None:
            clamped = self._check_clamped(clamped, states[0].shape)
            states[0] = np.where(np.isnan(clamped), states[0], clamped)
        with self._team(n_samples * n_gibbs_steps) as team:
            return inference.gibbs(
                self._stack(), states, n_gibbs_steps, n_samples, new_key(rng), team,
                clamped=clamped,
            )[0]  # fmt: skip

    def _check_clamped(self, clamped, shape):
        if sparse.issparse(clamped):
            raise TypeError(
                "clamped is sparse, which does not tell units that are free from units clamped to 0; "
                "give an array with NaN where a visible unit is free."
            )
        clamped = np.asarray(clamped, dtype=self._biases[0].dtype)
        if clamped.shape not in (shape, shape[1:]):
            raise ValueError(
                f"clamped has shape {clamped.shape}; give {shape[1:]} or {shape}, "
                "with NaN where a visible unit is free."
            )
        given = clamped[~np.isnan(clamped)]
        if ((given < 0) | (given > 1)).any():
            raise ValueError(
                f"clamped holds {given.min():g} to {given.max():g}; states that stay are in [0, 1]."
            )
        return np.ascontiguousarray(np.broadcast_to(clamped, shape))

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers, given data or from the model; part of the seam.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features), default=None
            Given: the visible layer is this data, the layers above are drawn
            given it. None: states of the model.
        n_samples : int, default=1000
            Number of model states; at most 100 chains share them out.
        n_steps_between : int, default=10
            Gibbs steps between two states kept of a chain, and before the first.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        layers : list of ndarray of shape (n_samples, n_units)
            Visible layer first.
        """
        check_is_fitted(self)
        rng = check_random_state(random_state)
        key = new_key(rng)
        stack = self._stack()
        if X is not None:
            X = check_data(self, X, reset=False)
            with self._team(X.shape[0]) as team:
                means = inference.mean_field(stack, X, team, *(self._mean_field_limits() or ()))
            visible = X.toarray() if sparse.issparse(X) else X
            draws = [(rng.uniform(size=mean.shape) < mean).astype(mean.dtype) for mean in means]
            return [visible.astype(stack.biases[0].dtype), *draws]
        n_chains = min(n_samples, 100)
        states = self._start(n_chains, rng)
        kept = []
        with self._team(n_samples * n_steps_between) as team:
            for number in range(-(-n_samples // n_chains)):
                states = inference.gibbs(
                    stack, states, n_steps_between, n_chains, key, team, number * n_steps_between
                )
                kept.append(states)
        return [np.concatenate(layers)[:n_samples] for layers in zip(*kept, strict=True)]
