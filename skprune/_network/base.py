"""Base class of feed-forward networks: parameters, training by epochs, pruning and inference."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._kernels.records import BINARY, DescentOptions, Moments
from .._machine import inference
from .._machine.layered import Layered
from .._machine.level_list import LevelList
from .._machine.levels import (
    Level,
    as_dtype,
    layers_between,
    optional_list,
    read_only,
)
from .._support.options import check_layer_sizes, check_number, check_unchanged_sizes
from .._support.random import derived_key
from .._support.stored import check_list, check_planned_sizes, check_vectors, check_whole
from .._support.validation import check_data, float_type
from .._training.backprop import (
    EPSILON,
    FIRST_MOMENTUM,
    SECOND_MOMENTUM,
    WITHOUT_WEIGHT,
    BackpropTrainer,
    new_moments,
)
from .._training.passes import check_rate_schedule, run_passes
from ..dbn import SparseDBN
from . import pretraining

SOLVERS = {"sgd": 0.1, "adam": 0.005}  # with their learning rates for learning_rate=None

# Documentation of the parameters that all networks share.
PARAMETERS = """
    rbm : estimator, default=None
        Template of the levels for ``pretrain="rbm"``. Its ``n_components`` is set for each level.
        If None, a :class:`PrunedBernoulliRBM` with default parameters is used.
    pruner : estimator, default=None
        Meta-estimator that prunes each level for ``pretrain="rbm"`` (see :class:`SparseDBN`). If
        None, the levels are not pruned.
    pretrain : {"rbm", "autoencoder", "supervised"}, SparseDBN, DBMTransformer, FrozenEstimator \
or None, default="rbm"
        How the weights are initialized:

        - "rbm": a :class:`SparseDBN` is fitted with ``hidden_layer_sizes``, ``rbm`` and ``pruner``.
        - "autoencoder": each level is trained as the hidden layer of a shallow autoencoder.
        - "supervised": each level is trained as the hidden layer of a shallow classifier.
        - an unfitted :class:`SparseDBN`: a clone of it is fitted. For a classifier, it can also be
          a :class:`DBMTransformer` with one or two hidden layers.
        - a :class:`~sklearn.frozen.FrozenEstimator`: the fitted network in it is used.
        - None: the weights are random.

        The sizes of a network in ``pretrain`` replace ``hidden_layer_sizes``.
    n_pretrain_iter : int, default=10
        Number of epochs per level in pre-training, for "autoencoder" and "supervised".
    solver : {"adam", "sgd"}, default="adam"
        Optimizer: Adam (Kingma & Ba 2015) or stochastic gradient descent with momentum.
    learning_rate : float, default=None
        Step size. If None, it is 0.005 for "adam" and 0.1 for "sgd".
    momentum : float in [0, 1), default=0.9
        Momentum of the gradient steps. Used only if ``solver="sgd"``.
    batch_size : int, default=32
        Number of rows per minibatch. Within an epoch, minibatch sizes differ by at most one row.
    n_iter : int, default=30
        Number of epochs of fine-tuning.
    l2 : float, default=0.0
        L2 penalty on the weights, applied as a term of the gradient.
    dropout : float in [0, 1), default=0.0
        Share of the logistic hidden units that are switched off in training. The units are drawn
        for each row, and the other units are scaled up to make up for them.
    input_dropout : float in [0, 1), default=0.0
        Share of the input units that are switched off in training, in the same way.
    max_norm : float, default=None
        Maximum Euclidean norm of the weights into each unit. If None, norms are not bounded.
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the learning rate. "linear" decreases it to 0 over the epochs. A callable maps
        the progress of training, in [0, 1), to the factor.
    early_stopping : bool, default=False
        If True, hold out a share of the training data for validation, and stop when the score on
        it no longer improves. The fitted weights are those of the epoch with the best score.
    validation_fraction : float in (0, 1), default=0.1
        Share of the training data to hold out. Used only if ``early_stopping=True``.
    n_iter_no_change : int, default=10
        Number of epochs without an improvement after which training stops. Used only if
        ``early_stopping=True``.
    tol : float, default=1e-4
        Smallest increase of the validation score that counts as an improvement. Used only if
        ``early_stopping=True``."""


class _Best:
    """Copy of a stack at its highest score, or the stack itself before the first score."""

    def __init__(self, stack):
        self._now, self.stack, self._score = stack, stack, -np.inf

    def keep(self, score):
        """Copy the stack if this score is the highest so far."""
        if score > self._score:
            self._score, self.stack = score, as_dtype(self._now, self._now.biases[0].dtype)


class FeedForwardNetwork(Layered, LevelList):
    """Base class of networks: pre-training, training by epochs, and the pruning protocol.

    ``_biases[0]`` belongs to the input layer and is always zero.
    """

    pretrained_: Any
    _fitted_names = (*Layered._fitted_names, "_moments", "_n_steps")
    _has_decoder = False  # whether the levels are followed by their transposes
    _input_gain = 1.0  # factor of the data at the input layer

    # ------------------------------------------------------------- validation

    def _check_parameters(self):
        integer = numbers.Integral
        if not (isinstance(self.solver, str) and self.solver in SOLVERS):
            raise ValueError(f"solver={self.solver!r} is not known. Use 'sgd' or 'adam'.")
        if self.learning_rate is not None:
            check_number(self.learning_rate, "learning_rate", low=0, closed="right")
        check_number(self.momentum, "momentum", low=0, high=1, closed="left")
        check_number(self.batch_size, "batch_size", integer, low=1)
        check_number(self.n_iter, "n_iter", integer, low=0)
        check_number(self.n_pretrain_iter, "n_pretrain_iter", integer, low=1)
        check_number(self.l2, "l2", low=0)
        check_number(self.dropout, "dropout", low=0, high=1, closed="left")
        check_number(self.input_dropout, "input_dropout", low=0, high=1, closed="left")
        check_number(
            self.validation_fraction, "validation_fraction", low=0, high=1, closed="neither"
        )
        check_number(self.n_iter_no_change, "n_iter_no_change", integer, low=1)
        check_number(self.tol, "tol", low=0)
        if not isinstance(self.early_stopping, bool | np.bool_):
            raise TypeError(f"early_stopping must be True or False, got {self.early_stopping!r}.")
        if self.max_norm is not None:
            check_number(self.max_norm, "max_norm", low=0, closed="right")
        check_rate_schedule(self.learning_rate_schedule)
        pretraining.check_pretrain(self.pretrain, decoder=self._has_decoder)
        if self.pretrain != "rbm" and (self.rbm is not None or self.pruner is not None):
            raise ValueError(
                "rbm and pruner must be None if pretrain is not 'rbm', got "
                f"pretrain={self.pretrain!r}. To prune while fine-tuning, pass this estimator to "
                "an IterativePruner."
            )
        if self.pretrain is None or self.pretrain in ("autoencoder", "supervised"):
            check_layer_sizes(self.hidden_layer_sizes)

    def check_pruning(self, n_levels=None, target="connections"):
        """Raise an error before training if the network cannot be pruned as planned.

        Parameters
        ----------
        n_levels : int, default=None
            Number of levels with a sparsity of their own.
        target : {"connections", "units"}, default="connections"
            What is to be pruned.

        Raises
        ------
        TypeError
            If ``target`` is "units".
        ValueError
            If the network will have a different number of levels.
        """
        shapes = None if n_levels is None else self.planned_levels()
        if shapes is not None and len(shapes) != n_levels:
            raise ValueError(
                f"sparsity has {n_levels} entries for {len(shapes)} levels. Pass one number for "
                "all levels, or one per level."
            )
        if target == "units":
            raise TypeError(
                f"{type(self).__name__} does not support target='units'. Use target='connections', "
                "or prune the units of a Boltzmann machine."
            )

    def planned_levels(self, n_features=None) -> list | None:
        """Check the parameters, and return the shapes of the levels that ``fit`` would make.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and what depends on
            it is not checked.

        Returns
        -------
        shapes : list of (int or None, int or None), or None
            (n_upper, n_lower) of each prunable level, lowest level first. Numbers that are not
            known are None, and so is the list if the number of levels is not known.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """
        self._check_parameters()
        if self.pretrain is None or self.pretrain in ("autoencoder", "supervised"):
            sizes = [n_features, *check_layer_sizes(self.hidden_layer_sizes)]
            shapes: list | None = [(upper, lower) for lower, upper in pairwise(sizes)]
        elif self.pretrain == "rbm":
            shapes = self._new_machine().planned_levels(n_features)
        else:
            shapes = pretraining.planned_levels(self.pretrain, n_features)
        if shapes is not None and self._has_decoder:
            shapes = [*shapes, *((lower, upper) for upper, lower in shapes[::-1])]
        return shapes

    def _new_machine(self) -> SparseDBN:
        """Return the unfitted machine for ``pretrain="rbm"``."""
        return SparseDBN(
            self.hidden_layer_sizes, rbm=self.rbm, pruner=self.pruner, verbose=self.verbose
        )

    def _check_start(self, n_features, weights, going_on, *, holds_back=False):
        """Raise an error before training starts, or goes on, if it would have to end in one.

        Parameters
        ----------
        n_features : int
            Number of features of the training data.
        weights : ndarray of shape (n_samples,)
            Weight of each row in the loss.
        going_on : bool
            Whether training goes on from fitted weights.
        holds_back : bool, default=False
            Whether some rows are held back for validation.
        """
        shapes = self.planned_levels(n_features)
        sizes = None if shapes is None else [n_upper for n_upper, _ in shapes]
        known = getattr(self, "_planned_sizes", None) if going_on else None
        if known is not None and sizes is not None:
            check_unchanged_sizes(known, sizes)
        if not going_on:
            self._planned_sizes = sizes
        if holds_back and self.n_iter and weights.size < 2:
            raise ValueError(
                f"early_stopping=True needs at least two samples, got n_samples = {weights.size}."
            )
        if self.n_iter and not weights.any():
            raise ValueError(WITHOUT_WEIGHT)

    @property
    def _unit_interval(self) -> bool:
        """Whether data outside [0, 1] give a warning, as they do if a machine pre-trains."""
        return not (self.pretrain is None or self.pretrain in ("autoencoder", "supervised"))

    def _check_data(self, X, reset=False):
        """Validate data, and warn if values outside [0, 1] have no meaning for this network."""
        return check_data(self, X, reset, unit_interval=self._unit_interval)

    # --------------------------------------------------------- initial weights

    def _starting_levels(self, X, y, rng, context, output="logistic") -> list:
        """Return the hidden levels before fine-tuning, lowest level first.

        ``output`` is the activation function of the first shallow autoencoder, which reconstructs
        the data.
        """
        if hasattr(self, "pretrained_"):
            del self.pretrained_
        if self.pretrain is None:
            sizes = check_layer_sizes(self.hidden_layer_sizes)
            return pretraining.random_levels(X.shape[1], sizes, float_type(X), rng)
        if self.pretrain in ("autoencoder", "supervised"):
            shared = ("solver", "learning_rate", "momentum", "batch_size", "l2", "verbose")
            return pretraining.greedy_levels(
                X,
                y,
                check_layer_sizes(self.hidden_layer_sizes),
                supervised=self.pretrain == "supervised",
                output=output,
                rng=rng,
                n_iter=int(self.n_pretrain_iter),
                **{name: getattr(self, name) for name in shared},
            )
        machine = self.pretrain
        if machine == "rbm":
            machine = self._new_machine()
        machine = pretraining.fitted_machine(machine, X, y, network=self, rng=rng, context=context)
        levels, self.pretrained_ = machine.unrolled()
        return levels

    def _input(self, X):
        """Return the input of the network, given validated rows."""
        pretrained = getattr(self, "pretrained_", None)
        return X if pretrained is None else pretrained.network_input(X)

    def _take_levels(self, levels):
        self._levels = [Level.from_matrix(matrix, mask) for matrix, mask, _, _ in levels]
        self._biases = [np.zeros_like(levels[0].lower_bias)]
        self._biases += [level.upper_bias.copy() for level in levels]
        self._moments = None

    @abstractmethod
    def _unit_types(self) -> tuple:
        """Return the type of each layer's units, input layer first."""

    # --------------------------------------------------------------- training

    def _start_moments(self, stack) -> tuple:
        """Return the running means of the gradient and the number of steps in them.

        Those of the last ``partial_fit`` are used if they belong to the same solver.
        """
        adam = self.solver == "adam"
        if self._moments is not None:
            *kept, n_steps = self._moments
            first, second = (tuple(array.copy() for array in arrays) for arrays in kept)
            if adam == any(array.size for array in second):
                return Moments(first, second), n_steps
        return new_moments(stack, adam), 0

    def _descend(self, X, targets, weights, n_epochs, context=None, held=None, constant=False):
        """Run epochs and return the history. If ``targets`` is None, reconstruct the data."""
        stack = self._stack_to_train()
        number_type = stack.biases[0].dtype.type
        adam = self.solver == "adam"
        options = DescentOptions(
            momentum=number_type(FIRST_MOMENTUM if adam else self.momentum),
            second_momentum=number_type(SECOND_MOMENTUM),
            epsilon=number_type(EPSILON),
            l2=number_type(self.l2),
            max_norm=number_type(self.max_norm or 0),
            dropout=number_type(self.dropout),
            input_dropout=number_type(self.input_dropout),
            input_gain=number_type(self._input_gain),
        )
        moments, n_known = self._start_moments(stack)
        with self._team(X.shape[0]) as team:
            trainer = BackpropTrainer(
                stack=stack,
                options=options,
                moments=moments,
                n_known=n_known,
                adam=adam,
                learning_rate=float(
                    SOLVERS[self.solver] if self.learning_rate is None else self.learning_rate
                ),
                schedule="constant" if constant else self.learning_rate_schedule,
                batch_size=int(self.batch_size),
                X=X,
                targets=targets,
                weights=weights,
                n_passes=n_epochs,
                key=self._key,
                n_steps=self._n_steps,
                team=team,
            )
            best = _Best(stack)

            def watch(row):
                if held is not None:
                    row["validation_score"] = held(stack)
                    best.keep(row["validation_score"])

            history = run_passes(
                trainer,
                n_epochs,
                estimator=self,
                context=context,
                name="epoch",
                watch=watch,
                stops=None if held is None else self._stops,
                learned=lambda: self._learned(stack, copy=True),
            )
        for name, value in self._learned(best.stack).items():
            setattr(self, name, value)
        self.n_iter_, self._n_steps = len(history.get("loss", ())), trainer.n_steps
        self._moments = (*moments, trainer.n_known) if constant else None
        return history

    def _stops(self, rows) -> bool:
        """Return whether the validation score has not improved for ``n_iter_no_change`` epochs."""
        scores = [row["validation_score"] for row in rows]
        n_recent = int(self.n_iter_no_change)
        recent, earlier = scores[-n_recent:], scores[:-n_recent]
        return bool(earlier) and max(recent) < max(earlier) + float(self.tol)

    def _learned(self, stack, copy=False) -> dict:
        """Return the fitted attributes from the current parameters of the stack."""
        take = np.array if copy else np.asarray
        return {
            "_levels": self._levels_of(stack, copy),
            "_biases": [take(bias) for bias in stack.biases],
        }

    def _hold_back(self, n_samples, classes=None):
        """Return the indices of training and validation rows, stratified by class if possible."""
        share = float(self.validation_fraction)
        n_held = np.ceil(share * n_samples)
        if classes is not None:
            counts = np.bincount(classes)
            enough = counts.min() > 1 and min(n_held, n_samples - n_held) >= counts.size
            classes = classes if enough else None
        seed = int(derived_key(self._key, "rows held back")) % 2**32
        return train_test_split(
            np.arange(n_samples), test_size=share, stratify=classes, random_state=seed
        )

    def _forget(self):
        self._moments = None

    def _restore_state(self):
        super()._restore_state()
        check_whole(self._n_steps, "The number of minibatches")
        check_planned_sizes(self)
        dtype, n_inputs = self._biases[0].dtype, self.n_features_in_
        if hasattr(self, "pretrained_"):
            check_pretrained(self.pretrained_, n_inputs)
            n_inputs = getattr(self.pretrained_, "n_network_inputs", self._biases[0].size)
        check_whole(self._biases[0].size, "The number of inputs", low=n_inputs, high=n_inputs)
        if self._moments is not None:
            check_list(self._moments, "The running means of the gradient", 3)
            first, second, n_steps = self._moments
            sizes = [level.n_parameters for level in self._levels]
            sizes += [bias.size for bias in self._biases[1:]]
            check_vectors(first, "The running means of the gradient", sizes, dtype)
            check_list(second, "The running means of the squared gradient", len(sizes))
            if not any(np.size(vector) for vector in second):
                sizes = [0] * len(sizes)  # there are none without Adam
            check_vectors(second, "The running means of the squared gradient", sizes, dtype, low=0)
            check_whole(n_steps, "The number of steps in the running means")

    # ------------------------------------------------------- pruning protocol

    @property
    def components_(self) -> list:
        """Weights (n_upper, n_lower) of the prunable levels, built on each access."""
        check_is_fitted(self)
        return [level.matrix() for level in self._levels[: self._n_prunable]]

    @components_.setter
    def components_(self, components):
        self.set_parameters(components)

    @property
    def intercepts_(self) -> list:
        """Biases of all layers but the input layer, lowest layer first."""
        check_is_fitted(self)
        return [read_only(bias) for bias in self._biases[1:]]

    @intercepts_.setter
    def intercepts_(self, intercepts):
        self.set_parameters(intercepts=intercepts)

    def set_parameters(self, components=None, *, intercepts=None, connectivity=None):
        """Replace fitted parameters.

        The running means of the gradient are deleted. Assignment to ``components_`` or
        ``intercepts_`` calls this method.

        Parameters
        ----------
        components : list of {array-like, sparse matrix} of shape (n_upper, n_lower), default=None
            New weights of each level, in the order of ``components_``. Those of absent connections
            must be 0. If None or for an entry of None, keep the weights.
        intercepts : list of array-like of shape (n_units,), default=None
            New biases, in the order of ``intercepts_``. If None or for an entry of None, keep the
            biases.
        connectivity : list of {array-like, sparse matrix} of bool of shape (n_upper, n_lower), \
default=None
            New mask of each level, in the order of ``connectivity_``. If None or for an entry of
            None, keep the connections.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If the length of a list or a shape is wrong, a number is not finite, or the weight of
            an absent connection is not 0.
        """
        check_is_fitted(self)
        n_others = len(self._levels) - self._n_prunable
        matrices = optional_list(components, self._n_prunable, "components")
        masks = optional_list(connectivity, self._n_prunable, "connectivity")
        biases = optional_list(intercepts, len(self._levels), "intercepts")
        others = [None] * n_others
        return self.set_layers(
            self.layers_.with_parameters([*matrices, *others], [None, *biases], [*masks, *others])
        )

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of the layers between the prunable levels, given data.

        This method is part of the pruning protocol. Logistic units are drawn given the layer below
        them. The states of other units are their activations.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Data to set the input layer to.
        n_samples : int, default=1000
            Ignored, because a network does not generate states.
        n_steps_between : int, default=10
            Ignored.
        random_state : int, RandomState instance or None, default=None
            Determines the states that are drawn. Pass an int for reproducible results.

        Returns
        -------
        layers : list of ndarray of shape (n_rows, n_units)
            States of each layer, input layer first.

        Raises
        ------
        ValueError
            If ``X`` is None.
        """
        check_is_fitted(self)
        check_number(n_samples, "n_samples", numbers.Integral, low=1)
        check_number(n_steps_between, "n_steps_between", numbers.Integral, low=1)
        if X is None:
            raise ValueError(
                f"{type(self).__name__} does not generate states, so X must be passed. To prune, "
                "use a criterion that reads data, such as criteria.Fisher(source='data')."
            )
        X = self._input(self._check_data(X))
        rng = check_random_state(random_state)
        layers = [X.toarray() if sparse.issparse(X) else X]
        for number in range(self._n_prunable):
            means = self._activations(layers[-1], number + 1, start=number)
            if self._unit_types()[number + 1] == BINARY:
                means = (rng.uniform(size=means.shape) < means).astype(means.dtype)
            layers.append(means)
        return [layers[0].astype(self._biases[0].dtype), *layers[1:]]

    # -------------------------------------------------------------- inference

    def _activations(self, X, layer, start=0, stack=None) -> np.ndarray:
        """Return the activations of a layer, given validated activations of layer ``start``."""
        whole = self._stack() if stack is None else stack
        part = layers_between(whole, start, layer)
        with self._team(X.shape[0]) as team:
            return inference.feed_forward(part, X, team)


def check_pretrained(machine, n_features) -> None:
    """Raise a ValueError if a stored object is not the fitted machine a network started from."""
    found = getattr(machine, "n_features_in_", None)
    if found != n_features or not callable(getattr(machine, "network_input", None)):
        raise ValueError(
            f"pretrained_ must be a network that was fitted to {n_features} features, got an object "
            f"of type {type(machine).__name__} with {found}."
        )


def weighted_mean(values, weights) -> float:
    """Return the weighted mean of values, or their mean if all weights are 0."""
    return float(np.average(values, weights=weights if weights.any() else None))
