"""The base class of machines: training, features, log Z and sampling."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from copy import deepcopy

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import connectivity, likelihood
from .._kernels.records import TrainingOptions
from .._support.compat import with_callbacks
from .._support.options import check_number
from .._support.random import derived_key, new_key
from .._support.ranges import OneWarningTransformer
from .._support.stored import check_array, check_list, check_vectors, check_whole
from .._support.validation import restored_on_error
from .._training.contrastive import MEAN_RATE, ContrastiveTrainer, new_state, new_velocity
from .._training.passes import check_rate_schedule, run_passes
from .._training.variances import Variances
from ..likelihood import LogPartition, check_kept
from ..samplers import check_gibbs_steps, check_negative_phase
from . import inference
from .annealing import MEANS_CHAINS, MEANS_SWEEPS, base_rates, model_means
from .layered import Layered
from .levels import Layers, check_machine_units, check_parameter, read_only
from .visible import BinaryUnits

LEAST_CHAINS = 100  # minimum if n_chains is None, see docs/design_notes.md


class BoltzmannMachine(
    ClassNamePrefixFeaturesOutMixin,
    OneWarningTransformer,
    Layered,
    ABC,
):
    """Base class of Boltzmann machines, which are scikit-learn transformers.

    The fitted state also has ``_activity`` (running means of each layer), ``_chains`` (uint8
    states of the odd layers) and ``_velocity`` (momentum, or None).
    """

    _activity: list | None
    _fitted_names = (
        *Layered._fitted_names, "_activity", "_chains", "_velocity", "_kept", "_step",
    )  # fmt: skip

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def layers_(self) -> Layers:
        """Fitted levels and biases, for code that works with several machines."""
        return check_machine_units(super().layers_)

    def _stack(self):
        return check_machine_units(super()._stack())

    @property
    def _visible(self):
        """What the visible units are, BinaryUnits or GaussianUnits."""
        return BinaryUnits()

    def _unit_types(self) -> tuple:
        return (self._visible.unit_type, *super()._unit_types()[1:])

    def _read(self, X):
        """Validate data, and return them as states of the visible units."""
        return self._visible.states(self._visible.read(self, X))

    @property
    def activity_(self) -> list:
        """Running means of each layer given the training data, visible layer first.

        If the parameters were set after training, these are means of the model instead. They are
        then estimated when they are first needed.
        """
        check_is_fitted(self)
        if self._activity is None:
            stack, key = self._stack(), derived_key(self._key, "means of the model")
            with self._team(MEANS_CHAINS * MEANS_SWEEPS) as team:
                self._activity = model_means(stack, key, team)
        return [read_only(mean) for mean in self._activity]

    def _forget(self):
        self._velocity, self._kept = None, {}

    def kept(self, name, compute) -> tuple:
        """Return a result that depends on the fitted parameters, and keep it until they change.

        Parameters
        ----------
        name : str
            Name under which the result is kept.
        compute : callable
            Computes the result, a tuple of numbers, if it is not known.

        Returns
        -------
        result : tuple
            Result of ``compute``, or the stored result of an earlier call.
        """
        check_is_fitted(self)
        if name not in self._kept:
            self._kept[name] = tuple(compute())
        return self._kept[name]

    def _set_parameters(self, matrices, biases, masks, visible_means):
        """Replace weights, biases and connections, and forget what depends on them."""
        check_is_fitted(self)
        layers = self.layers_.with_parameters(matrices, biases, masks)
        activity = None
        if visible_means is not None:
            size, dtype = layers.biases[0].size, layers.biases[0].dtype
            means = check_parameter(visible_means, (size,), dtype, "visible_means")
            self._visible.check_means(means)
            with layers.team(1) as team:
                above = inference.mean_field(
                    layers.stack(), means[None], team, *(self._mean_field_limits() or ())
                )
            activity = [means, *(layer[0] for layer in above)]
        self.set_layers(layers)
        self._activity = activity
        return self

    def _restore_state(self):
        super()._restore_state()
        sizes, dtype = [bias.size for bias in self._biases], self._biases[0].dtype
        check_whole(self.n_features_in_, "n_features_in_", low=sizes[0], high=sizes[0])
        check_whole(self._step, "The number of minibatches")
        if self._activity is not None:
            check_vectors(self._activity, "The running means", sizes, dtype)
        check_list(self._chains, "The chains", len(sizes))
        n_chains = None
        for number, (chains, size) in enumerate(zip(self._chains, sizes, strict=True)):
            if number % 2:
                check_array(
                    chains, "The chains of a layer", (n_chains, size), np.uint8, low=0, high=1
                )
                n_chains = chains.shape[0]
            elif chains is not None:
                raise ValueError("The chains of an even layer must be None.")
        if self._velocity is not None:
            levels = [level.n_parameters for level in self._levels]
            check_vectors(self._velocity, "The momentum", [*levels, *sizes], dtype)
        check_kept(self._kept)

    def compact(self, units=None, *, rescale=False, hidden_bias=None):
        """Return a machine without the hidden units that have lost their connections.

        Visible units are kept. Removing a unit without connections changes no log-likelihood.

        Parameters
        ----------
        units : list of ndarray of bool of shape (n_units,), default=None
            Units to keep, one array per hidden layer, lowest layer first. If None, units without
            connections on one side are removed, and units left disconnected by that removal are
            removed too. A layer that would lose all its units in this way keeps them.
        rescale : bool, default=False
            Whether to multiply the weights of each level by the number of its upper units before
            removal, divided by their number after removal.
        hidden_bias : {"mean_activity", "negative"}, default=None
            If "mean_activity", set the hidden biases to the mean activity a of their units. If
            "negative", set them to −1 / (1 + exp(a)). If None, keep them.

        Returns
        -------
        machine : object
            A new fitted machine of the same class.

        Raises
        ------
        ValueError
            If ``units`` does not fit the layers or leaves one of them empty, or if ``hidden_bias``
            is unknown.
        """
        check_is_fitted(self)
        if hidden_bias not in (None, "mean_activity", "negative"):
            raise ValueError(
                f"hidden_bias={hidden_bias!r} is not known. Use one of 'mean_activity', 'negative' "
                "or None."
            )
        sizes = [bias.size for bias in self._biases]
        if units is None:
            units = connectivity.connected_units([level.mask() for level in self._levels])
        units = [np.asarray(kept) for kept in units]
        if [kept.shape for kept in units] != [(size,) for size in sizes[1:]] or any(
            kept.dtype != bool or not kept.any() for kept in units
        ):
            raise ValueError(
                "units must hold one boolean array per hidden layer, with lengths "
                f"{sizes[1:]}. Each array must keep at least one unit."
            )
        machine = deepcopy(self)
        machine._keep_units([np.ones(sizes[0], dtype=bool), *units], rescale, hidden_bias)
        return machine

    def _keep_units(self, kept, rescale, hidden_bias):
        """Remove all units but those in ``kept``, in place (see :meth:`compact`)."""
        for number, level in enumerate(self._levels):
            part = level.part(kept[number + 1], kept[number])
            if rescale:
                part = part.scaled(level.shape[0] / part.shape[0])
            self._levels[number] = part
        self._activity = [mean[stay] for mean, stay in zip(self.activity_, kept, strict=True)]
        for number, (stay, activity) in enumerate(zip(kept, self._activity, strict=True)):
            self._biases[number] = self._biases[number][stay]
            if self._chains[number] is not None:
                self._chains[number] = self._chains[number][:, stay]
            if number and hidden_bias:
                if hidden_bias == "negative":
                    activity = -1 / (1 + np.exp(activity))
                self._biases[number] = activity.copy()
        self._forget()
        self._set_sizes([int(stay.sum()) for stay in kept[1:]])

    def check_pruning(self, n_levels=None, target="connections"):
        """Raise an error before training if this machine cannot be pruned as planned.

        Parameters
        ----------
        n_levels : int, default=None
            Number of sparsities, if one is given per level.
        target : {"connections", "units"}, default="connections"
            What is to be pruned.

        Raises
        ------
        ValueError
            If the machine has a different number of levels.
        """
        if n_levels is not None and n_levels != self._n_levels:
            raise ValueError(
                f"sparsity has {n_levels} entries for {self._n_levels} levels. Pass one number for "
                "all levels, or one per level."
            )

    @property
    @abstractmethod
    def _n_levels(self) -> int:
        """Number of levels that the parameters specify."""

    @abstractmethod
    def connectivity_parameters(self, masks) -> dict:
        """Return the parameters of a new machine that starts with given connections.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            One mask per level, lowest level first.

        Returns
        -------
        parameters : dict
            Parameters for ``set_params``.
        """

    @abstractmethod
    def _set_sizes(self, sizes):
        """Set the parameters for the number of hidden units of each layer."""

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
        check_rate_schedule(self.learning_rate_schedule)

    def _activity_goal(self) -> tuple[float, float]:
        """Return (target, strength) of the hidden activity. Without a target, strength is 0."""
        goal = self.hidden_activity_target
        if goal is None:
            return 0.0, 0.0
        goal = goal if isinstance(goal, tuple | list) else (goal, 0.1)
        if len(goal) != 2:
            raise ValueError(
                f"hidden_activity_target={goal!r} has {len(goal)} entries. Pass a number or a pair "
                "(target, strength)."
            )
        target, strength = goal
        target = check_number(target, "hidden_activity_target", low=0, high=1, closed="neither")
        return target, check_number(strength, "the strength in hidden_activity_target", low=0)

    def _wanted_chains(self) -> int:
        return int(max(self.batch_size, LEAST_CHAINS) if self.n_chains is None else self.n_chains)

    def _mean_field_limits(self):
        """Return (tolerance, maximum number of updates) of the mean field, or None for an RBM."""
        return None

    @abstractmethod
    def _initialize(self, X, rng):
        """Set the initial weights, biases, running means, chains and key."""

    def _trainer(self, X, n_passes, team, *, schedule, shuffle) -> ContrastiveTrainer:
        """Return a trainer that works on copies, so that a failed fit changes nothing."""
        stack = self._stack_to_train()
        number_type = stack.biases[0].dtype.type
        negative = check_negative_phase(self.negative_phase)
        batch_size = min(int(self.batch_size), X.shape[0])
        persistent = negative.chains != "data"
        n_chains = self._wanted_chains() if persistent else batch_size
        target, strength = self._activity_goal()
        options = TrainingOptions(
            momentum=number_type(self.momentum),
            l1=number_type(self.l1),
            l2=number_type(self.l2),
            max_norm=number_type(self.max_norm or 0),
            activity_target=number_type(target),
            activity_strength=number_type(strength),
            dropout=number_type(getattr(self, "dropout", 0.0)),
            mean_rate=number_type(MEAN_RATE),
        )
        chains = [
            None if states is None else np.resize(states, (n_chains, states.shape[1]))
            for states in self._chains
        ]
        velocity = self._starting_velocity(stack, self.momentum)
        state = new_state(stack, batch_size, n_chains, chains, self.activity_, velocity)
        sampler = None
        if negative.chains == "own":
            base = base_rates(stack, self.activity_[0], self._visible.variances)
            sampler = negative.prepare(stack, state.chains, n_chains, base, self._key)
        return ContrastiveTrainer(
            stack=stack,
            state=state,
            options=options,
            persistent=persistent,
            sampler=sampler,
            n_gibbs_steps=self.n_gibbs_steps,
            drop_connect=float(getattr(self, "drop_connect", 0.0)),
            learning_rate=float(self.learning_rate),
            schedule=schedule,
            batch_size=batch_size,
            n_chains=n_chains,
            centered=self.centered,
            shuffle=shuffle,
            binary=self._visible.scale is None and inference.is_binary(X),
            variances=self._variances_to_train(),
            mean_field=self._mean_field_limits(),
            X=X,
            n_passes=n_passes,
            key=self._key,
            n_steps=self._step,
            team=team,
        )

    def _variances_to_train(self) -> Variances | None:
        """Return the variances of Gaussian visible units, on a copy. None for binary units."""
        return None

    @with_callbacks
    def fit(self, X, y=None):
        """Fit the machine to data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, with values in [0, 1] for binary units.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are invalid, or training diverges.
        """
        self._check_parameters()
        with restored_on_error(self):
            going_on = self.warm_start and hasattr(self, "_levels")
            X = self._visible.read(self, X, reset=not going_on)
            if going_on:
                self._check_sizes()
            else:
                self._initialize(X, check_random_state(self.random_state))
            n_iter = int(self.n_iter)
            context = self._init_callback_context(max_subtasks=n_iter)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            self.history_ = self._train(
                X, n_iter, schedule=self.learning_rate_schedule, shuffle=True, context=context
            )
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X, y=None):
        """Train for one pass over a part of the data, with a constant learning rate.

        Persistent chains continue from their last states.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, with values in [0, 1] for binary units.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._check_parameters()
        with restored_on_error(self):
            first = not hasattr(self, "_levels")
            X = self._visible.read(self, X, reset=first)
            if first:
                self._initialize(X, check_random_state(self.random_state))
            else:
                self._check_sizes()
            self.history_ = self._train(X, 1, schedule="constant", shuffle=False)
        return self

    def _train(self, X, n_passes, *, schedule, shuffle, context=None) -> dict:
        """Train for some passes, set the fitted attributes, and return the history."""
        self._kept = {}
        watched = X[: min(1000, X.shape[0])]
        with self._team(X.shape[0]) as team:
            trainer = self._trainer(X, n_passes, team, schedule=schedule, shuffle=shuffle)

            def watch(row):
                if self.verbose and len(trainer.stack.levels) == 1:
                    row.update(self._quality(trainer, watched, team))

            history = run_passes(
                trainer,
                n_passes,
                estimator=self,
                context=context,
                watch=watch,
                learned=lambda: self._learned(trainer, copy=True),
            )
        for name, value in self._learned(trainer).items():
            setattr(self, name, value)
        self._step = trainer.n_steps
        self.n_iter_ = len(next(iter(history.values()), ()))
        return history

    def _quality(self, trainer, X, team) -> dict:
        """Return how well a machine with one level in training fits some rows."""
        if self._visible.scale is None:
            values = likelihood.stack_pseudo_log_likelihood(trainer.stack, X, team)
            return {"pseudo_log_likelihood": float(values.mean())}
        states = X / np.exp(trainer.variances.logs / 2)
        hidden = inference.mean_field(trainer.stack, states, team)[-1]
        errors = states - inference.conditional_means(trainer.stack, 0, None, hidden)
        return {"reconstruction_error": float(np.square(errors).mean())}

    def _learned(self, trainer, copy=False) -> dict:
        """Return the current values of the fitted attributes from the trainer."""
        take = np.array if copy else np.asarray
        stack, state = trainer.stack, trainer.state
        n_chains = trainer.n_chains
        return {
            "_levels": self._levels_of(stack, copy),
            "_biases": [take(bias) for bias in stack.biases],
            "_activity": [take(mean) for mean in state.activity],
            "_chains": [
                inference.to_rows(layer, n_chains).astype(np.uint8) if number % 2 else None
                for number, layer in enumerate(state.chains)
            ],
            "_velocity": [take(v) for v in (*state.velocity, *state.bias_velocity)]
            if trainer.options.momentum
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
            Data, with values in [0, 1] for binary units.

        Returns
        -------
        features : ndarray of shape (n_samples, n_components)
            Probabilities in the floating-point type of the fitted machine.
        """
        check_is_fitted(self)
        X = self._read(X)
        with self._team(X.shape[0]) as team:
            return inference.mean_field(self._stack(), X, team)[-1]

    def log_partition(
        self, method="auto", *, n_chains=100, n_temperatures=1000, spacing="adaptive",
        softening=0.25, n_tempered_sweeps=1000, random_state=None,
    ) -> LogPartition:  # fmt: skip
        """Return the log partition function, log Z, in nats.

        Parameters
        ----------
        method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
            "exact" sums over the states of the side with fewer binary units (at most 24). "ais" is
            annealed importance sampling from the base-rate model, which underestimates log Z on
            average (Salakhutdinov & Murray 2008). "reverse_ais" anneals from independent tempered
            chains back to the base-rate model, and overestimates log Z on average (Burda et al.
            2015). "bracket" runs both. "auto" is "exact" for up to 20 units, and "ais" otherwise.
        n_chains : int, default=100
            Number of annealed chains.
        n_temperatures : int, default=1000
            Number of steps of the path between the base-rate model and the machine.
        spacing : {"adaptive", "linear"} or array-like, default="adaptive"
            Inverse temperatures of the path. With "adaptive", all steps contribute about equally to
            the variance of the importance weights. An array must increase from 0 to 1.
        softening : float in [0, 1], default=0.25
            How far the base rates are moved from the means of the data (0) to 1/2 (1). Contrastive
            divergence can leave modes far from the data. Chains that start from softened base
            rates (0.25) find them. Chains that start from the data means (0) can miss them by many
            nats, and the standard error does not show it. More softening costs more temperatures.
            For Gaussian units, the standard deviations of the base-rate model are those of the
            data times ``1 + softening``.
        n_tempered_sweeps : int, default=1000
            Number of parallel-tempering sweeps before the reverse chains start.
        random_state : int, RandomState instance or None, default=None
            Seeds the chains. If None, the seed of the fit is used, so the result is reproducible.

        Returns
        -------
        log_partition : LogPartition
            Value, standard error, bracket, method and effective sample size.

        Raises
        ------
        ValueError
            If the method or the spacing is unknown, or the exact sum has too many terms.

        Warns
        -----
        ConvergenceWarning
            If the bracket is wider than one nat, or the effective sample size is below three.
        """
        check_is_fitted(self)
        n_chains = check_number(n_chains, "n_chains", numbers.Integral, low=2)
        n_temperatures = check_number(n_temperatures, "n_temperatures", numbers.Integral, low=1)
        key = self._key if random_state is None else new_key(random_state)
        with self._team(n_chains * n_temperatures) as team:
            stack = self._stack()
            base = base_rates(stack, self.activity_[0], self._visible.variances, softening)
            of_states = likelihood.stack_log_partition(
                stack, base, key, team, method, n_chains, n_temperatures, spacing, n_tempered_sweeps
            )
        return likelihood.shifted(of_states, self._visible.log_constants(self._biases[0])[1])

    def _kept_log_partition(self) -> LogPartition:
        """Return log Z of the fitted parameters, which is computed on the first call."""
        return LogPartition(*self.kept("log Z", self.log_partition))

    @abstractmethod
    def score_samples(self, X):
        """Return the log-likelihood of each row, or a lower bound on it, in nats."""

    def score(self, X, y=None) -> float:
        """Return the mean of :meth:`score_samples`, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test data, with values in [0, 1] for binary units.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log-likelihood, or mean lower bound on it, in nats.
        """
        return float(np.mean(self.score_samples(X)))

    # --------------------------------------------------------------- sampling

    def _start(self, n_samples, rng) -> list:
        """Return initial states, with visible units drawn from the means of the data."""
        visible = self._visible.first_states(self._stack(), self.activity_[0], n_samples, rng)
        dtype = self._biases[0].dtype
        states = [np.zeros((n_samples, bias.size), dtype) for bias in self._biases]
        states[0] = visible.astype(dtype)
        for number in range(2, len(states), 2):
            states[number] = (rng.uniform(size=states[number].shape) < 0.5).astype(dtype)
        return states

    def sample(self, n_samples=1, *, n_gibbs_steps=1000, clamped=None, random_state=None):
        """Draw visible states from the model by Gibbs sampling.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples. Each comes from a separate chain.
        n_gibbs_steps : int, default=1000
            Number of Gibbs steps of each chain. Chains start from draws of the data means.
        clamped : array-like of shape (n_features,) or (n_samples, n_features), default=None
            Visible states that are kept fixed, with NaN where a unit is free. A data frame must
            have the columns of the training data, in the same order.
        random_state : int, RandomState instance or None, default=None
            Seeds the chains. Pass an int for reproducible results.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            States of the visible units, or the values of clamped units.

        Raises
        ------
        ValueError
            If ``clamped`` has the wrong shape or columns, or holds a value outside [0, 1] for a
            binary unit.
        TypeError
            If ``clamped`` is sparse.
        """
        check_is_fitted(self)
        n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
        n_gibbs_steps = check_number(n_gibbs_steps, "n_gibbs_steps", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        states = self._start(n_samples, rng)
        if clamped is not None:
            dtype = self._biases[0].dtype
            clamped = self._visible.read_clamped(self, clamped, n_samples, dtype)
            states[0] = np.where(np.isnan(clamped), states[0], clamped)
        with self._team(n_samples * n_gibbs_steps) as team:
            states = inference.gibbs(
                self._stack(), states, n_gibbs_steps, n_samples, new_key(rng), team,
                clamped=clamped,
            )  # fmt: skip
        return self._visible.data(states[0])

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers. This method is part of the pruning protocol.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            States of the visible layer. The other layers are drawn given them. If None, states of
            all layers are drawn from the model.
        n_samples : int, default=1000
            Number of states to draw from the model, with at most 100 chains.
        n_steps_between : int, default=10
            Number of Gibbs steps before each state that is kept from a chain.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws. Pass an int for reproducible results.

        Returns
        -------
        layers : list of ndarray of shape (n_samples, n_units)
            States of each layer, visible layer first. Those of Gaussian visible units are in units
            of their standard deviation.
        """
        check_is_fitted(self)
        n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
        n_steps_between = check_number(n_steps_between, "n_steps_between", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        key = new_key(rng)
        stack = self._stack()
        if X is not None:
            X = self._read(X)
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
