"""Deep belief networks: stacks of restricted Boltzmann machines with a generative model."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.belief import BeliefNetwork, IndependentTop, UndirectedTop
from ._machine.generative import GenerativeNetwork
from ._machine.level_list import LevelList
from ._machine.levels import Layers, Level, layers_between
from ._support.compat import CallbackSupportMixin, with_callbacks
from ._support.options import check_number, check_unchanged_sizes
from ._support.random import derived_key, new_key
from ._support.ranges import OneWarningTransformer, one_range_warning
from ._support.stored import StoredState, check_names_of_features, check_planned_sizes
from ._support.threads import Team
from ._support.validation import (
    check_classes,
    check_codes,
    check_data,
    check_same_features,
    restored_on_error,
)
from ._training.stacking import (
    LevelTrainer,
    check_levels,
    inner_machine,
    levels_of_sizes,
    n_upper,
    named_levels,
    planned_levels,
    restored_generative,
    set_seeds,
)
from ._training.unrolling import FeedForwardLevel
from ._training.up_down import UpDown, check_up_down, generative_layers, train_up_down
from .connectivity import check_masks, one_per_level
from .rbm import PrunedBernoulliRBM
from .samplers import LabelledChains

__all__ = ["SparseDBN", "UpDown"]

UPWARD = ("probabilities", "samples")


class SparseDBN(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    OneWarningTransformer,
    GenerativeNetwork,
    StoredState,
    LevelList,
):
    """Deep belief network of restricted Boltzmann machines that can be pruned.

    Each level is fitted on the features of the level below it (Hinton, Osindero & Teh 2006;
    Algorithm 1 of Zuo et al. 2019). With a pruner, each level is pruned before the next one is
    trained (Algorithm 2, unsupervised sparse deep architecture selection). As a generative model,
    the top level is undirected, and the levels below it are directed downwards:

    .. math:: p(v, h_1, \\dots, h_L) = p(v | h_1) \\cdots p(h_{L-2} | h_{L-1}) \\, p(h_{L-1}, h_L)

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or list of (str, estimator), \
default=(100, 100)
        Number of units of each hidden layer, lowest layer first. Alternatively, the levels
        themselves as pairs (name, estimator), as in a :class:`~sklearn.pipeline.Pipeline`. A level
        can be any transformer. To be pruned, it must have the members of the pruning protocol (see
        :mod:`skprune.pruning`).
    rbm : estimator, default=None
        Template of the levels. Its ``n_components`` is set for each level. If None, a
        :class:`PrunedBernoulliRBM` with default parameters is used.
    pruner : estimator, default=None
        Meta-estimator that prunes each level, such as :class:`IterativePruner`. If its
        ``estimator`` is None, it prunes ``rbm``. Otherwise it prunes its own estimator, and
        ``rbm`` must be None. If ``pruner`` is None, the levels are not pruned.
    n_iter : int, default=None
        Number of passes over the data for each level. If None, the levels use their own
        ``n_iter``. If 0, the network is built, but it is not trained, pruned or fine-tuned. If a
        warm start only fine-tunes, this is the number of passes of fine-tuning.
    upward : {"probabilities", "samples"}, default="probabilities"
        Whether the next level is trained on activation probabilities or on binary states drawn
        with these probabilities.
    transpose : bool, default=False
        If True, each level after the first starts as the transpose of the level below (see
        ``transpose_of`` of :class:`PrunedBernoulliRBM`). The bound then starts at the
        log-likelihood of the levels below. Each layer must have at least as many units as the
        layer two below it.
    join_labels : bool, default=False
        If True, join the classes in y to the layer below the top layer, as a one-hot group of
        units. The top level then learns the joint distribution of features and label with
        persistent chains. The network can predict classes, and draw samples of a given class.
    fine_tune : "up_down", UpDown or None, default=None
        If not None, train all levels together after stacking, as a generative model. "up_down"
        stands for :class:`~skprune.dbn.UpDown` with default parameters.
    warm_start : bool, default=False
        If True, ``fit`` continues from the fitted levels. With ``fine_tune``, levels that were
        trained before are only fine-tuned.
    verbose : int, default=0
        If 1, print one line per level and per pass of fine-tuning. To show the passes of the
        levels, set ``verbose`` in ``rbm``.
    random_state : int, RandomState instance or None, default=None
        Determines the seeds of the levels, and the random numbers of fine-tuning. If None, the
        levels keep their own ``random_state``. Pass an int for reproducible results.

    Attributes
    ----------
    estimators_ : list of estimator
        Fitted levels, lowest level first. With a pruner, these are the pruned machines.
    components_ : list of ndarray of shape (n_upper, n_lower)
        Recognition weights of the levels, lowest level first. They are zero for absent
        connections.
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Mask of each level, lowest level first. It is True where a connection exists. Label units
        are not included, and their connections are not pruned.
    history_ : list of dict of ndarray
        History of each level, lowest level first. If the network was fine-tuned, the last entry is
        the history of fine-tuning.
    classes_ : ndarray of shape (n_classes,)
        Classes seen during ``fit``. Defined only with ``join_labels=True``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    SparseDBNClassifier : Fine-tune a deep belief network as a classifier.
    SparseDBNAutoencoder : Fine-tune a deep belief network as an autoencoder.

    References
    ----------
    .. [1] Hinton, Osindero, Teh, "A fast learning algorithm for deep belief nets", Neural
       Computation 2006.
    .. [2] Salakhutdinov, Murray, "On the quantitative analysis of deep belief networks", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import IterativePruner, SparseDBN
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 12))
    >>> dbn = SparseDBN((8, 6), pruner=IterativePruner(sparsity=0.5, n_rounds=2), random_state=0)
    >>> dbn.fit(X).transform(X).shape
    (100, 6)
    >>> [int(mask.sum()) for mask in dbn.connectivity_]
    [48, 24]
    """

    _doc_link_module = "skprune"

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] | Sequence[tuple[str, BaseEstimator]] = (100, 100),
        *,
        rbm: BaseEstimator | None = None,
        pruner: BaseEstimator | None = None,
        n_iter: int | None = None,
        upward: str = "probabilities",
        transpose: bool = False,
        join_labels: bool = False,
        fine_tune: str | BaseEstimator | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.rbm = rbm
        self.pruner = pruner
        self.n_iter = n_iter
        self.upward = upward
        self.transpose = transpose
        self.join_labels = join_labels
        self.fine_tune = fine_tune
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        if self.join_labels:  # the network predicts, but its score is that of a density model
            tags.target_tags.required = True
            tags.classifier_tags = ClassifierTags()
        return tags

    def __getstate__(self):
        state = super().__getstate__()
        if state.get("_generative") is not None:
            state["_generative"] = state["_generative"].state()
        return state

    _fitted_names = (
        "estimators_", "history_", "n_features_in_", "_frozen", "_generative", "_directed_top",
        "_stack_is_trained", "_key", "_n_steps",
    )  # fmt: skip

    def _restore_state(self):
        check_names_of_features(self)
        check_planned_sizes(self)
        self._generative = restored_generative(vars(self))

    # ---------------------------------------------------------------- fitting

    def _check_parameters(self):
        if self.upward not in UPWARD:
            raise ValueError(
                f"upward={self.upward!r} is not known. Use 'probabilities' or 'samples'."
            )
        if self.n_iter is not None:
            check_number(self.n_iter, "n_iter", numbers.Integral, low=0)
        if self.fine_tune is None:
            return None
        return check_up_down(self.fine_tune, self.join_labels)

    def _templates(self, tuning) -> list:
        """Return one unfitted estimator per level, lowest level first."""
        sizes: Any = self.hidden_layer_sizes
        if self._named_levels():
            levels = named_levels(sizes, self.rbm, self.pruner)
            self._validate_names([name for name, _ in sizes])
        else:
            levels = levels_of_sizes(sizes, self.rbm, self.pruner, PrunedBernoulliRBM())
        check_levels(
            levels,
            PrunedBernoulliRBM,
            join_labels=self.join_labels,
            transpose=self.transpose,
            tuning=tuning,
        )
        return levels

    def planned_levels(self, n_features=None) -> list:
        """Check the parameters, and return the shapes of the levels that ``fit`` would make.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and what depends on
            it is not checked.

        Returns
        -------
        shapes : list of (int or None, int or None)
            (n_upper, n_lower) of each level, lowest level first. Numbers that are not known are
            None.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """
        n_labels = None if self.join_labels else 0
        return self._planned(self._templates(self._check_parameters()), n_features, n_labels)

    def _planned(self, levels, n_features, n_labels) -> list:
        return planned_levels(levels, n_features, n_labels=n_labels, transpose=self.transpose)

    def _prepare(self, levels, n_features, rng) -> list:
        """Set the seeds of the levels, join labels to the top level if needed, and check them."""
        if self.random_state is not None:
            set_seeds(levels, rng)
        if self.join_labels:
            chains = LabelledChains(len(self.classes_))
            inner_machine(levels[-1]).set_params(negative_phase=chains)
        n_labels = len(self.classes_) if self.join_labels else 0
        shapes = self._planned(levels, n_features, n_labels)
        self._planned_sizes = [n_upper for n_upper, _ in shapes]
        if isinstance(levels[0], FrozenEstimator):
            check_same_features(self, levels[0].estimator)
        return levels

    @with_callbacks
    def fit(self, X, y=None):
        """Fit the levels one after the other, then fine-tune them if ``fine_tune`` is set.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data with values in [0, 1]. bool and uint8 data are read as they are.
        y : array-like of shape (n_samples,), default=None
            Class of each row. Ignored unless ``join_labels=True``.

        Returns
        -------
        self : SparseDBN
            Fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has a wrong type, or a level lacks a method or parameter that is needed.
        ValueError
            If a parameter or the data are invalid, or training diverges.
        """
        tuning = self._check_parameters()
        with restored_on_error(self):
            going_on = self.warm_start and hasattr(self, "estimators_")
            X = check_data(self, X, reset=not going_on)
            labels = None
            if going_on and self.join_labels != hasattr(self, "classes_"):
                raise ValueError(
                    "join_labels cannot change between fits with warm_start=True. Use "
                    "warm_start=False to fit from scratch."
                )
            if self.join_labels:
                self.classes_, labels = check_classes(X, y, self.classes_ if going_on else None)
            rng = check_random_state(self.random_state)
            if going_on:
                wanted = [n_upper for n_upper, _ in self.planned_levels()]
                check_unchanged_sizes(getattr(self, "_planned_sizes", wanted), wanted)
                levels = [
                    FrozenEstimator(level) if frozen else level
                    for level, frozen in zip(self.estimators_, self._frozen, strict=True)
                ]
                stacks = tuning is None or not self._stack_is_trained
            else:
                levels, stacks = self._prepare(self._templates(tuning), X.shape[1], rng), True
                key = new_key(rng)
            n_iter = None if self.n_iter is None else int(self.n_iter)
            n_passes = 0 if tuning is None or n_iter == 0 else tuning.n_iter
            if not stacks and n_iter is not None:
                n_passes = n_iter
            context = self._init_callback_context(max_subtasks=stacks * len(levels) + n_passes)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if stacks:
                trainer = LevelTrainer(
                    network=self,
                    context=context,
                    features=self._features,
                    n_iter=n_iter,
                    upward=self.upward,
                    transpose=self.transpose,
                    going_on=going_on,
                    rng=rng,
                )
                one_hot = None
                if labels is not None:
                    one_hot = labels[:, None] == np.arange(len(self.classes_))
                self.estimators_, self.history_ = trainer.fit(levels, X, one_hot)
                self._frozen = [isinstance(level, FrozenEstimator) for level in levels]
                self._generative, self._directed_top = None, False
                self._stack_is_trained = n_iter != 0
            if not going_on:
                self._key, self._n_steps = key, 0
            if tuning is not None:
                history = self._fine_tune(tuning, X, labels, n_passes, context)
                self.history_ = [*self.history_[: len(self.estimators_)], history]
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    # ------------------------------------------------------ pruning protocol

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimators_")

    @property
    def connectivity_(self) -> list:
        """Masks (n_upper, n_lower) of the levels, lowest level first, built on each access."""
        check_is_fitted(self)
        return [mask for level in self.estimators_ for mask in level.connectivity_]

    @property
    def components_(self) -> list:
        """Recognition weights (n_upper, n_lower), lowest level first, built on each access."""
        check_is_fitted(self)
        matrices = []
        for level in self.estimators_:
            weights = level.components_
            matrices += weights if isinstance(weights, list) else [weights]
        return matrices

    def set_connectivity(self, masks):
        """Set which connections exist.

        This method is part of the pruning protocol. The weights of removed connections become 0,
        and new connections start with weight 0.

        Parameters
        ----------
        masks : list of array-like of bool of shape (n_upper, n_lower)
            One mask per level, lowest level first.

        Returns
        -------
        self : SparseDBN
            The estimator itself.

        Raises
        ------
        ValueError
            If the number of masks or a shape is wrong, or a mask has no connection.
        """
        check_is_fitted(self)
        present = [level.connectivity_ for level in self.estimators_]
        counts = [len(own) for own in present]
        masks = one_per_level(masks, sum(counts))
        shapes = [mask.shape for own in present for mask in own]
        masks = check_masks(masks, shapes, getattr(self, "feature_names_in_", None))
        ends = np.cumsum([0, *counts])
        for level, start, stop in zip(self.estimators_, ends[:-1], ends[1:], strict=True):
            level.set_connectivity(masks[start:stop])
        if self._generative is not None:
            n_directed = len(self._generative.levels)
            self._generative = self._generative.with_connectivity(masks[:n_directed])
        return self

    @one_range_warning()
    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers, given data or drawn from the model.

        This method is part of the pruning protocol.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features), default=None
            Data to set the visible layer to. Each layer above is drawn given the layer below it. If
            None, the states are samples of the model: the top level is sampled, and the layers
            below are drawn downwards.
        n_samples : int, default=1000
            Number of states to draw from the model. Ignored if X is given.
        n_steps_between : int, default=10
            Number of Gibbs steps between two states of a chain of the top level. Ignored if X is
            given.
        random_state : int, RandomState instance or None, default=None
            Determines the states that are drawn. Pass an int for reproducible results.

        Returns
        -------
        layers : list of ndarray of shape (n_states, n_units)
            States of each layer, visible layer first, without labels. ``n_states`` is the number
            of rows of X, or ``n_samples`` if X is None.
        """
        check_is_fitted(self)
        n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
        n_steps_between = check_number(n_steps_between, "n_steps_between", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        if X is not None:
            X = check_data(self, X, reset=False)
            layers = [X.toarray() if sparse.issparse(X) else X]
            for number, level in enumerate(self.estimators_):
                if len(getattr(level, "connectivity_", ())) > 1:  # the level has several layers
                    seed = rng.randint(np.iinfo(np.int32).max)
                    layers += level.layer_samples(layers[-1], random_state=seed)[1:]
                    continue
                means = self._up(number, layers[-1])
                layers.append((rng.uniform(size=means.shape) < means).astype(means.dtype))
            return [layers[0].astype(layers[1].dtype), *layers[1:]]
        model, n_chains = self._model(), min(n_samples, 100)
        kept, start = [], None
        with self._team(n_samples * n_steps_between) as team:
            for _ in range(-(-n_samples // n_chains)):
                layers, start = model.top.draw(
                    n_chains, rng, team, n_sweeps=n_steps_between, start=start
                )
                kept.append(layers)
            layers = [np.concatenate(part)[:n_samples] for part in zip(*kept, strict=True)]
            return model.draw_down(layers, rng, team)[::-1]

    # -------------------------------------------------------------- structure

    def _layers_of(self, number) -> Layers:
        """Return weights and biases of a level; raise an error if it is not an RBM."""
        level = self.estimators_[number]
        if hasattr(level, "layers_") and len(level.layers_.levels) == 1:
            return level.layers_
        names = ("components_", "intercept_visible_", "intercept_hidden_")
        if not all(hasattr(level, name) for name in names):
            raise TypeError(
                "This method needs levels that are restricted Boltzmann machines, but level "
                f"{number + 1} is a {type(level).__name__}."
            )
        weights = np.ascontiguousarray(level.components_)
        biases = (level.intercept_visible_, level.intercept_hidden_)
        return Layers([Level(weights)], [bias.astype(weights.dtype) for bias in biases])

    def _top(self) -> Any:
        """Return the top of the network as a generative model."""
        if self._directed_top:
            return IndependentTop(self._generative.biases[-1])
        layers = self._layers_of(len(self.estimators_) - 1)
        start = [np.full(layers.biases[0].size, 0.5)]
        return UndirectedTop(
            layers,
            n_labels=len(self.classes_) if self.join_labels else 0,
            means=getattr(self.estimators_[-1], "activity_", start)[0],
        )

    def _model(self) -> BeliefNetwork:
        """Return the network as a generative model."""
        n_directed = len(self.estimators_) - (not self._directed_top)
        ups = [self._layers_of(number).stack() for number in range(n_directed)]
        downs = ups
        if self._generative is not None:
            stack = self._generative.stack()
            downs = [layers_between(stack, number, number + 1) for number in range(n_directed)]
        return BeliefNetwork(ups, downs, self._top(), self._key)

    def unrolled(self) -> tuple:
        """Return the levels of the feed-forward network into which this network is unrolled.

        Returns
        -------
        levels : list of FeedForwardLevel
            Lowest level first.
        machine : SparseDBN
            This network, whose ``network_input`` computes the input of the feed-forward network.
        """
        levels = []
        matrices, masks = self.components_, self.connectivity_
        for number, (matrix, mask) in enumerate(zip(matrices, masks, strict=True)):
            layers = self._layers_of(number)
            below, above = layers.biases
            n_lower = matrix.shape[1]
            if below.size > n_lower:  # labels are unknown, so each one enters with the same weight
                above = above + layers.levels[0].matrix()[:, n_lower:].mean(axis=1)
            levels.append(FeedForwardLevel(matrix, mask, below[:n_lower], above))
        return levels, self

    def network_input(self, X):
        """Return the input of the network of :meth:`unrolled`, which is the data unchanged.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            The same data.
        """
        return X

    def _up(self, number, below) -> np.ndarray:
        """Return the means of a level's upper units, as an array."""
        if self.join_labels and number == len(self.estimators_) - 1:
            with self._team(below.shape[0]) as team:
                return self._top().features(below, team)
        return self._features(self.estimators_[number], below)

    @staticmethod
    def _features(level, below) -> np.ndarray:
        """Return the features of a level as an array, even if ``set_output`` is configured."""
        if not isinstance(level, BoltzmannMachine):
            return np.asarray(level.transform(below))
        with level.layers_.team(below.shape[0]) as team:
            return inference.mean_field(level.layers_.stack(), below, team)[-1]

    def _team(self, n_samples) -> Team:
        n_units = sum(n_upper(level) for level in self.estimators_)
        return Team(work=float(n_samples) * n_units * self.n_features_in_)

    # ---------------------------------------------------------------- up-down

    def _generative_layers(self, directed_top) -> Layers:
        """Return the directed levels with generative weights, at first the recognition weights."""
        if self._generative is not None:
            if self._directed_top != directed_top:
                raise ValueError(
                    "undirected_top cannot change between fits with warm_start=True. Use "
                    "warm_start=False to fit from scratch."
                )
            return self._generative
        return generative_layers(self.estimators_, directed_top)

    def _fine_tune(self, tuning, X, labels, n_passes, context) -> dict:
        """Fine-tune all levels together by the up-down algorithm, and return the history."""
        directed_top = not tuning.undirected_top
        with self._team(X.shape[0]) as team:
            history, self._generative, self._n_steps = train_up_down(
                self.estimators_,
                self._generative_layers(directed_top),
                options=tuning,
                X=X,
                labels=labels,
                n_labels=0 if labels is None else len(self.classes_),
                n_passes=n_passes,
                key=derived_key(self._key, "up-down"),
                n_steps=self._n_steps,
                team=team,
                network=self,
                context=context,
            )
        self._directed_top = directed_top
        return history

    # ---------------------------------------------------- features and labels

    def transform(self, X, level=None):
        """Return the activation probabilities of a hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        level : int, default=None
            Number of the level whose features are returned, counted from 1. If None, return the
            top layer. The names from :meth:`get_feature_names_out` are those of the top layer. For
            another layer, use :meth:`layer_means` if ``set_output`` is configured.

        Returns
        -------
        features : ndarray of shape (n_samples, n_units)
            Activation probabilities of the layer.
        """
        return self.layer_means(X, level)

    def layer_means(self, X, level=None) -> np.ndarray:
        """Return the activation probabilities of a hidden layer from a deterministic upward pass.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        level : int, default=None
            Number of the level whose features are returned, counted from 1. If None, return the
            top layer.

        Returns
        -------
        means : ndarray of shape (n_samples, n_units)
            Activation probabilities of the layer.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        n_levels = len(self.estimators_)
        if level is not None:
            n_levels = check_number(level, "level", numbers.Integral, low=1, high=n_levels)
        for number in range(n_levels):
            X = self._up(number, X)
        return X

    def inverse_transform(self, H):
        """Return probabilities of the visible units from those of the top layer.

        They are computed in one deterministic downward pass.

        Parameters
        ----------
        H : array-like of shape (n_samples, n_units)
            Activation probabilities of the top layer.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Probabilities of the visible units.
        """
        check_is_fitted(self)
        H = check_codes(self, H, self._n_features_out)
        with self._team(H.shape[0]) as team:
            return self._model().means_down(H, team)

    @property
    def _n_features_out(self) -> int:
        return n_upper(self.estimators_[-1])


def _n_upper(level) -> int:
    """Return the number of units of a level's top layer."""
    known = getattr(level, "_n_features_out", None)
    return level.connectivity_[-1].shape[0] if known is None else known
