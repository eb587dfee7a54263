"""Deep belief networks: stacks of restricted Boltzmann machines with a generative model."""

from __future__ import annotations

import numbers
import time
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import entr, logsumexp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from . import likelihood
from ._kernels.records import Stack
from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.directed import means_below, summed_bound
from ._machine.labels import joined, labelled_chains
from ._machine.level_list import LevelList
from ._machine.levels import Layers, Level, as_dtype, stack_of
from ._machine.stored import StoredState
from ._support.compat import CallbackSupportMixin, with_callbacks
from ._support.options import check_layer_sizes, check_number
from ._support.random import RowUniforms, derived_key, new_key, new_seeds
from ._support.threads import Team
from ._support.validation import check_classes, check_codes, check_data, restored_on_error
from ._training.passes import run_passes
from ._training.unrolling import FeedForwardLevel
from ._training.up_down import UpDown, UpDownTrainer, check_up_down
from .connectivity import check_mask
from .likelihood import LogPartition
from .rbm import PrunedBernoulliRBM
from .samplers import LabelledChains

__all__ = ["SparseDBN", "UpDown"]

# Up to this number of directed hidden units, the bound is an exact sum instead of a sample mean.
MAX_ENUMERATED_UNITS = 10
UPWARD = ("probabilities", "samples")


UNPRUNED = {  # parameters with which the pruner of a level prunes nothing, for n_iter=0
    "sparsity": 0.0, "schedule": "geometric", "n_rounds": 1, "regrow": None, "retrain": None,
    "sparsities": (0.0,),
}  # fmt: skip


class _LabelledRBM(PrunedBernoulliRBM):
    """Top level of a network with labels, a one-hot group at the end of its visible units.

    Pruners do not see the connections of labels. These connections remain as long as their upper
    unit has other connections.
    """

    @property
    def _n_labels(self):
        return self.negative_phase.n_labels

    def _initialize(self, X, rng):
        super()._initialize(X, rng)
        self.set_connectivity(self.connectivity_)

    @property
    def connectivity_(self) -> list:
        """Mask of the level, without the columns of the labels."""
        return [mask[:, : -self._n_labels] for mask in super().connectivity_]

    @property
    def components_(self) -> np.ndarray:
        """Weights of the level, without the columns of the labels."""
        return super().components_[:, : -self._n_labels]

    def set_connectivity(self, masks):
        """Set which connections exist; labels are connected to upper units that have others."""
        masks = masks if isinstance(masks, list | tuple) else [masks]
        (mask,) = (np.asarray(mask, dtype=bool) for mask in masks)
        labels = np.tile(mask.any(axis=1)[:, None], (1, self._n_labels))
        return super().set_connectivity([np.hstack([mask, labels])])

    def layer_samples(self, X=None, **options):
        """Return states of both layers, without the labels."""
        lower, upper = super().layer_samples(X, **options)
        return [lower[:, : -self._n_labels], upper]


def _joins_labels(self):
    return self.join_labels


class SparseDBN(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
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
        Whether the next level is trained on activation probabilities or on samples drawn with
        them.
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

    def __setstate__(self, state):
        super().__setstate__(state)
        if getattr(self, "_generative", None) is not None:
            self._generative = Layers.from_state(self._generative)

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

    def _templates(self) -> list:
        """Return one unfitted estimator per level, lowest level first."""
        sizes: Any = self.hidden_layer_sizes
        if self._named_levels():
            if self.rbm is not None or self.pruner is not None:
                raise ValueError(
                    "rbm and pruner must be None if hidden_layer_sizes contains estimators."
                )
            if not all(isinstance(entry, tuple) and len(entry) == 2 for entry in sizes):
                raise ValueError(
                    "hidden_layer_sizes must contain only ints, or only pairs (name, estimator)."
                )
            names = [name for name, _ in sizes]
            self._validate_names(names)
            levels = [clone(estimator) for _, estimator in sizes]
            self._check_levels(levels)
            return levels
        sizes = check_layer_sizes(sizes)
        if self.pruner is not None and not hasattr(self.pruner, "estimator"):
            raise TypeError(f"pruner must be an IterativePruner or None, got {self.pruner!r}.")
        if self.pruner is not None and self.pruner.estimator is not None:
            if self.rbm is not None:
                raise ValueError(
                    "rbm must be None if pruner has an estimator. To prune rbm instead, set "
                    "estimator=None in pruner."
                )
            template = self.pruner.estimator
        else:
            template = PrunedBernoulliRBM() if self.rbm is None else self.rbm
        levels = [clone(template).set_params(n_components=size) for size in sizes]
        self._check_levels(levels)
        if self.pruner is not None:
            levels = [clone(self.pruner).set_params(estimator=level) for level in levels]
        return levels

    def _check_levels(self, levels):
        """Raise an error before training if levels lack what the parameters need."""
        for number, level in enumerate(levels, start=1):
            if not hasattr(level, "transform"):
                raise TypeError(
                    f"Level {number}, a {type(level).__name__}, has no transform method. Each "
                    "level must be a transformer."
                )
        if self.join_labels and type(levels[-1]) is not PrunedBernoulliRBM:
            raise TypeError(
                "join_labels=True needs a PrunedBernoulliRBM as the top level, got "
                f"{type(levels[-1]).__name__}."
            )
        if self.transpose:
            inner = [getattr(level, "estimator", level) for level in levels]
            others = [level for level in inner if not isinstance(level, PrunedBernoulliRBM)]
            if others or self.join_labels:
                raise TypeError(
                    "transpose=True needs levels of type PrunedBernoulliRBM without labels, got "
                    + ("join_labels=True." if self.join_labels else f"{type(others[0]).__name__}.")
                )
        if self.fine_tune is not None:
            others = [level for level in levels if not isinstance(level, PrunedBernoulliRBM)]
            if others:
                raise TypeError(
                    "fine_tune needs levels of type PrunedBernoulliRBM, got "
                    f"{type(others[0]).__name__}."
                )
            if len(levels) == 1 and check_up_down(self.fine_tune, self.join_labels).undirected_top:
                raise ValueError(
                    "fine_tune needs at least two hidden layers, got one. Add a hidden layer, or "
                    "use UpDown(undirected_top=False)."
                )

    def _prepare(self, templates, rng) -> list:
        """Set the seeds of the levels, and replace the top level by one with labels if needed."""
        for template in templates:
            if isinstance(template, FrozenEstimator):
                continue
            if self.random_state is not None:
                template.set_params(**new_seeds(template, rng))
        if self.join_labels:
            inner = templates[-1].estimator if self.pruner is not None else templates[-1]
            parameters = inner.get_params(deep=False)
            parameters["negative_phase"] = LabelledChains(len(self.classes_))
            inner = _LabelledRBM(**parameters)
            if self.pruner is None:
                templates[-1] = inner
            else:
                templates[-1].set_params(estimator=inner)
        return templates

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
                    "warm_start=False to fit anew."
                )
            if self.join_labels:
                self.classes_, labels = check_classes(X, y, self.classes_ if going_on else None)
            rng = check_random_state(self.random_state)
            if going_on:
                levels = [
                    FrozenEstimator(level) if frozen else level
                    for level, frozen in zip(self.estimators_, self._frozen, strict=True)
                ]
                stacks = tuning is None or not self._stack_is_trained
            else:
                levels, key, stacks = self._prepare(self._templates(), rng), new_key(rng), True
            n_passes = 0 if tuning is None or self.n_iter == 0 else tuning.n_iter
            if not stacks and self.n_iter is not None:
                n_passes = self.n_iter
            context = self._init_callback_context(max_subtasks=stacks * len(levels) + n_passes)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if stacks:
                self.estimators_, self.history_ = self._stacked(
                    levels, X, labels, going_on, rng, context
                )
                self._frozen = [isinstance(level, FrozenEstimator) for level in levels]
                self._generative, self._directed_top = None, False
                self._stack_is_trained = self.n_iter != 0
            if not going_on:
                self._key, self._n_steps = key, 0
            self._log_partition = None
            if tuning is not None:
                history = self._fine_tune(tuning, X, labels, n_passes, context)
                self.history_ = [*self.history_[: len(self.estimators_)], history]
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _stacked(self, levels, X, labels, going_on, rng, context):
        """Fit the levels one after the other; return the fitted machines and their histories."""
        machines, histories, below = [], [], X
        for number, level in enumerate(levels):
            started = time.perf_counter()
            top = number == len(levels) - 1
            given = below
            if top and labels is not None:
                given = joined(below, labels[:, None] == np.arange(len(self.classes_)))
            frozen = isinstance(level, FrozenEstimator)
            turned = self.transpose and number > 0 and not (going_on or frozen)
            task = context.subcontext(task_name="level")
            task.call_on_fit_task_begin(estimator=self, X=X)
            if frozen:
                machine, history = deepcopy(level.estimator), {}
                check_is_fitted(machine)
            else:
                machine, history = self._fit_level(
                    level, number, given, machines[-1] if turned else None, going_on, task
                )
            task.call_on_fit_task_end(estimator=self, X=X)
            machines.append(machine)
            histories.append(history)
            if not top:
                below = _features(machines[-1], below)
                if self.upward == "samples":
                    below = (rng.uniform(size=below.shape) < below).astype(below.dtype)
            if self.verbose:
                seconds = time.perf_counter() - started
                print(
                    f"[{type(self).__name__}] Level {number + 1} of {len(levels)}, "
                    f"time = {seconds:.2f}s"
                )
        return machines, histories

    def _fit_level(self, level, number, X, below, going_on, task):
        """Fit a level with temporarily changed parameters; return its machine and history."""
        lent = {}
        if going_on:
            level, lent = deepcopy(level), {"warm_start": True}
            if "warm_start" not in level.get_params():
                raise TypeError(
                    "warm_start=True requires every level to have a warm_start parameter, but "
                    f"level {number + 1}, a {type(level).__name__}, has none."
                )
        inner = getattr(level, "estimator", level)
        owner = "" if inner is level else "estimator__"
        parameters = level.get_params()
        if owner and self.n_iter == 0:
            lent |= {name: value for name, value in UNPRUNED.items() if name in parameters}
        if self.n_iter is not None:
            lent[f"{owner}n_iter"] = self.n_iter
        if below is not None:
            lent[f"{owner}transpose_of"] = FrozenEstimator(below)
        if f"{owner}n_iter" in lent and f"{owner}n_iter" not in parameters:
            raise TypeError(
                f"n_iter={self.n_iter} requires every level to have an n_iter parameter, but level "
                f"{number + 1}, a {type(inner).__name__}, has none. Use n_iter=None."
            )
        own = {name: parameters[name] for name in lent}
        level.set_params(**lent)
        try:
            with task.propagate_callback_context(level):
                level.fit(X, None)
        finally:
            level.set_params(**own)
        machine = getattr(level, "estimator_", level)
        if owner:
            inner_own = {name: value for name, value in own.items() if name.startswith(owner)}
            machine.set_params(**{n.removeprefix(owner): v for n, v in inner_own.items()})
        return machine, getattr(level, "history_", {})

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
        """Recognition weights (n_upper, n_lower) of the levels, built on each access."""
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
        if not isinstance(masks, list | tuple) or len(masks) != sum(counts):
            given = len(masks) if isinstance(masks, list | tuple) else "no list of"
            raise ValueError(
                f"set_connectivity got {given} masks for {sum(counts)} levels. Pass one mask per "
                "level, lowest level first."
            )
        shapes = [mask.shape for own in present for mask in own]
        masks = [check_mask(mask, shape) for mask, shape in zip(masks, shapes, strict=True)]
        ends = np.cumsum([0, *counts])
        for level, start, stop in zip(self.estimators_, ends[:-1], ends[1:], strict=True):
            level.set_connectivity(masks[start:stop])
        if self._generative is not None:
            n_directed = len(self._generative.levels)
            self._generative = self._generative.with_connectivity(masks[:n_directed])
        self._log_partition = None
        return self

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
        n_chains = min(n_samples, 100)
        kept, start = [], None
        for _ in range(-(-n_samples // n_chains)):
            layers, start = self._top_states(n_chains, n_steps_between, None, rng, start)
            kept.append(layers)
        layers = [np.concatenate(part)[:n_samples] for part in zip(*kept, strict=True)]
        return self._downwards(layers, rng)[::-1]

    # -------------------------------------------------------------- structure

    def _machines(self) -> list:
        """Return the kernel arrays of each level; raise an error if one is not an RBM."""
        result = []
        for number, level in enumerate(self.estimators_):
            if isinstance(level, BoltzmannMachine) and len(level._levels) == 1:
                result.append(level._stack())
                continue
            names = ("components_", "intercept_visible_", "intercept_hidden_")
            if not all(hasattr(level, name) for name in names):
                raise TypeError(
                    "This method needs levels that are restricted Boltzmann machines, but level "
                    f"{number + 1} is a {type(level).__name__}."
                )
            weights = np.ascontiguousarray(level.components_)
            biases = (level.intercept_visible_, level.intercept_hidden_)
            result.append(stack_of([Level(weights)], [b.astype(weights.dtype) for b in biases]))
        return result

    def unrolled(self) -> tuple:
        """Return the levels of a feed-forward network that begins as this network.

        Returns
        -------
        levels : list of FeedForwardLevel
            Lowest level first.
        machine : SparseDBN
            This network.
        """
        levels = []
        for matrix, mask, stack in zip(
            self.components_, self.connectivity_, self._machines(), strict=True
        ):
            below, above = stack.biases
            n_labels = below.size - matrix.shape[1]
            if n_labels:  # labels are unknown, so each one enters with the same weight
                below = below[:-n_labels]
                weights = self.estimators_[-1]._levels[0].matrix()
                above = above + weights[:, -n_labels:].mean(axis=1)
            levels.append(FeedForwardLevel(matrix, mask, below, above))
        return levels, self

    def network_input(self, X):
        """Return the input of the network of :meth:`unrolled`: the data as they are.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
        """
        return X

    def _n_directed(self) -> int:
        return len(self.estimators_) - (not self._directed_top)

    def _generators(self) -> list:
        """Return the kernel arrays of each directed level, with generative weights."""
        if self._generative is None:
            return self._machines()[: self._n_directed()]
        stack = self._generative.stack()
        return [
            Stack((level,), stack.biases[number : number + 2])
            for number, level in enumerate(stack.levels)
        ]

    def _njoined(self) -> int | None:
        """Return the negative index of the first label unit in the top level, or None."""
        return -len(self.classes_) if self.join_labels else None

    def _up(self, number, below) -> np.ndarray:
        """Return the means of a level's upper units. Labels are uniform, as they are unknown."""
        level = self.estimators_[number]
        if self.join_labels and number == len(self.estimators_) - 1:
            stack = self._machines()[number]
            labels = np.full((below.shape[0], len(self.classes_)), 1 / len(self.classes_))
            below = joined(below, labels)
            with self._team(below.shape[0]) as team:
                return inference.mean_field(stack, below, team)[-1]
        return _features(level, below)

    def _team(self, n_samples) -> Team:
        n_units = sum(_n_upper(level) for level in self.estimators_)
        return Team(work=float(n_samples) * n_units * self.n_features_in_)

    # ---------------------------------------------------------------- up-down

    def _generative_layers(self, directed_top) -> Layers:
        """Return the directed levels with generative weights, at first the recognition weights."""
        if self._generative is not None:
            if self._directed_top != directed_top:
                raise ValueError(
                    "undirected_top cannot change between fits with warm_start=True. Use "
                    "warm_start=False to fit anew."
                )
            return self._generative
        machines = self.estimators_
        directed = machines if directed_top else machines[:-1]
        n_top = directed[-1].intercept_hidden_.size
        if directed_top:
            prior = np.clip(machines[-1]._activity[1], 1e-3, 0.999)
            prior = np.log(prior / (1 - prior))
        else:  # the lower biases of the top level, without those of labels
            prior = machines[-1].intercept_visible_[:n_top]
        biases = [*(machine.intercept_visible_ for machine in directed), prior]
        return Layers([machine._levels[0] for machine in directed], biases)

    def _fine_tune(self, tuning, X, labels, n_passes, context) -> dict:
        """Fine-tune all levels together by the up-down algorithm, and return the history."""
        machines, directed_top = self.estimators_, not tuning.undirected_top
        n_directed = len(machines) - (not directed_top)
        start = self._generative_layers(directed_top)
        stacks = [machine._stack_to_train() for machine in machines]
        with self._team(X.shape[0]) as team:
            trainer = UpDownTrainer(
                recognition=Stack(
                    tuple(stack.levels[0] for stack in stacks[:n_directed]),
                    (stacks[0].biases[0], *(stack.biases[1] for stack in stacks[:n_directed])),
                ),
                generative=as_dtype(start.stack(), stacks[0].biases[0].dtype),
                top=stacks[-1],
                options=tuning,
                X=X,
                labels=labels,
                n_labels=0 if labels is None else len(self.classes_),
                n_passes=n_passes,
                key=derived_key(self._key, "up-down"),
                n_steps=self._n_steps,
                team=team,
            )
            history = run_passes(
                trainer, n_passes, estimator=self, context=context, name="up-down pass"
            )
        generative = trainer.generative
        for number, (machine, stack) in enumerate(zip(machines, stacks, strict=True)):
            biases = list(stack.biases)
            if number < n_directed:
                biases[0] = generative.biases[number].copy()
            machine._take(stack._replace(biases=biases))
        self._generative = start.with_weights_of(generative)
        self._directed_top, self._n_steps = directed_top, trainer.n_steps
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
        """Return the activation probabilities of a hidden layer from one deterministic pass up.

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
            check_number(level, "level", numbers.Integral, low=1, high=n_levels)
        for number in range(n_levels if level is None else level):
            X = self._up(number, X)
        return X

    def inverse_transform(self, H):
        """Return probabilities of the visible units from those of the top layer.

        They are computed in one deterministic pass down.

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
        H = check_codes(H, self._n_features_out)
        machines, generators = self._machines(), self._generators()
        with self._team(H.shape[0]) as team:
            if not self._directed_top:
                H = means_below(machines[-1], H, team)[:, : self._njoined()]
            for stack in reversed(generators):
                H = means_below(stack, H, team)
        return H

    @property
    def _n_features_out(self) -> int:
        return _n_upper(self.estimators_[-1])

    @available_if(_joins_labels)
    def predict_proba(self, X, n_passes=None) -> np.ndarray:
        """Return the probability of each class given the features.

        The probabilities are computed from the free energies of the top level with one label on at
        a time. Available only with ``join_labels=True``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        n_passes : int, default=None
            Number of stochastic passes up over which the probabilities are averaged. If None, use
            one deterministic pass of activation probabilities.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities of the classes, in the order of ``classes_``.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        classes = self._class_stacks()
        if n_passes is not None:
            check_number(n_passes, "n_passes", numbers.Integral, low=1)
        total = np.zeros((X.shape[0], len(classes)))
        with self._team(X.shape[0] * len(classes)) as team:
            key = derived_key(self._key, "samples of rows")
            uniforms = None if n_passes is None else RowUniforms(X, key)
            first = self._up(0, X) if len(self.estimators_) > 1 else X
            for sample in range(n_passes or 1):
                below = X
                for number in range(len(self.estimators_) - 1):
                    below = self._up(number, below) if number else first
                    if uniforms is not None:
                        draws = uniforms(sample, number, below.shape[1])
                        below = (draws < below).astype(below.dtype)
                logits = self._label_scores(classes, below, team)
                total = total + np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return total / (n_passes or 1)

    @available_if(_joins_labels)
    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each row, which has the lowest free energy.

        Available only with ``join_labels=True``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predicted classes.
        """
        numbers_ = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers_]

    def _class_stacks(self) -> list:
        """Return, for each class, the top level with this label on and the bias of the label."""
        machine, n_labels = self.estimators_[-1], len(self.classes_)
        weights, (mask,) = machine._levels[0].matrix(), machine.connectivity_
        level = Level.from_matrix(weights[:, :-n_labels], mask).kernel_form()
        below, above = (np.array(bias) for bias in machine._biases)
        return [
            (Stack((level,), (below[:-n_labels], above + weights[:, k])), float(below[k]))
            for k in range(-n_labels, 0)
        ]

    @staticmethod
    def _label_scores(classes, below, team) -> np.ndarray:
        """Return the unnormalised log p(features, label) of the top level, one column per class."""
        stacks, biases = zip(*classes, strict=True)
        return np.array(biases) - inference.free_energies(stacks, below, team)

    # ------------------------------------------------------------- likelihood

    def log_partition(self, method="auto", **options) -> LogPartition:
        """Return log Z of the top level, in nats.

        With labels, Z is the sum of one estimate per class. For a directed top level, log Z is 0.

        Parameters
        ----------
        method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
            How log Z is computed (see :meth:`PrunedBernoulliRBM.log_partition`).
        **options : dict
            Other parameters of :meth:`PrunedBernoulliRBM.log_partition`.

        Returns
        -------
        log_partition : LogPartition
            The value, its standard error, its bracket, the method and the effective sample size.

        Raises
        ------
        TypeError
            If the top level is not a machine of this package.
        """
        check_is_fitted(self)
        if self._directed_top:
            return LogPartition(0.0, 0.0, (0.0, 0.0), "exact", np.inf)
        machine = self.estimators_[-1]
        if not isinstance(machine, BoltzmannMachine):
            raise TypeError(
                f"log_partition is not available for a top level of type {type(machine).__name__}. "
                "The top level must be a PrunedBernoulliRBM."
            )
        if not self.join_labels:
            return machine.log_partition(method, **options)
        for name, low in (("n_chains", 2), ("n_temperatures", 1)):
            if name in options:
                check_number(options[name], name, numbers.Integral, low=low)
        key = derived_key(self._key, "log Z by class")
        if options.get("random_state") is not None:
            key = new_key(options["random_state"])
        options = {name: value for name, value in options.items() if name != "random_state"}
        means = machine._activity[0][: self._njoined()]
        stacks, biases = zip(*self._class_stacks(), strict=True)
        with self._team(100_000) as team:
            parts = [
                likelihood.stack_log_partition(
                    stack, means, derived_key(key, k), team, method, **options
                )
                for k, stack in enumerate(stacks)
            ]
        value = logsumexp([part.value + bias for part, bias in zip(parts, biases, strict=True)])
        shares = [np.exp(p.value + b - value) for p, b in zip(parts, biases, strict=True)]
        error = np.sqrt(
            sum((s * p.standard_error) ** 2 for s, p in zip(shares, parts, strict=True))
        )
        bracket = tuple(
            float(logsumexp([p.bracket[end] + b for p, b in zip(parts, biases, strict=True)]))
            for end in (0, 1)
        )
        size = min(part.effective_sample_size for part in parts)
        return LogPartition(float(value), float(error), bracket, parts[0].method, size)

    def lower_bound(self, X, n_samples=20) -> np.ndarray:
        """Return a variational lower bound on log p(v) + log Z for each row, in nats.

        .. math:: E_{q(h|v)} [\\log p(v | h_1) + \\dots + \\log p^*(h_{L-1}) - \\log q(h | v)]

        Here q is the distribution of the recognition pass, p* is the unnormalised probability
        under the top level, and Z is its partition function (Salakhutdinov & Murray 2008). If the
        directed levels have at most 10 hidden units, the expectation is an exact sum over all
        their states. Otherwise it is a mean over samples. Their random numbers are a function of
        the row, so the bound of a row does not depend on the other rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        n_samples : int, default=20
            Number of samples of the hidden layers per row.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats. Subtract log Z to get bounds on the log-likelihood.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        check_number(n_samples, "n_samples", numbers.Integral, low=1)
        machines, generators = self._machines(), self._generators()
        ups = machines[: self._n_directed()]
        log_top = partial(
            self._log_top, machines[-1], self._class_stacks() if self.join_labels else None
        )
        hidden = [stack.biases[1].size for stack in ups]
        with self._team(X.shape[0] * n_samples) as team:
            if sum(hidden) <= MAX_ENUMERATED_UNITS:
                return summed_bound(X, ups, generators, log_top, team)
            uniforms = RowUniforms(X, derived_key(self._key, "samples of rows"))
            total = np.zeros(X.shape[0])
            first = inference.mean_field(ups[0], X, team)[-1]
            for sample in range(n_samples):
                below = X
                for number, (up, down) in enumerate(zip(ups, generators, strict=True)):
                    means = inference.mean_field(up, below, team)[-1] if number else first
                    total += (entr(means) + entr(1 - means)).sum(axis=1, dtype=np.float64)
                    draws = uniforms(sample, number, means.shape[1])
                    draws = (draws < means).astype(means.dtype)
                    total += likelihood.log_conditional(down, below, draws, team)
                    below = draws
                total += log_top(below, team)
        return total / n_samples

    def _log_top(self, top, classes, below, team):
        """Return the unnormalised log-probability of the top level's input, summed over labels."""
        if self._directed_top:
            prior = self._generative.biases[-1].astype(np.float64)
            return inference.row_products(below, prior) - np.logaddexp(0, prior).sum()
        if classes is not None:
            return logsumexp(self._label_scores(classes, below, team), axis=1)
        return -inference.free_energy(top, below, team)

    def score_samples(self, X) -> np.ndarray:
        """Return a variational lower bound on the log-likelihood of each row, in nats.

        The result is :meth:`lower_bound` minus log Z of the top level. log Z is exact if one of
        the two layers of the top level has at most 20 units. Otherwise it is estimated by annealed
        importance sampling, and kept until the parameters change.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats.
        """
        bound = self.lower_bound(X)
        if self._log_partition is None:
            self._log_partition = tuple(self.log_partition())
        return bound - self._log_partition[0]

    def score(self, X, y=None) -> float:
        """Return the mean of :meth:`score_samples`, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean lower bound on the log-likelihood, in nats.
        """
        return float(np.mean(self.score_samples(X)))

    # --------------------------------------------------------------- sampling

    def sample(
        self, n_samples=1, *, n_gibbs_steps=1000, y=None, probabilities=False, random_state=None
    ):
        """Draw samples of the visible units.

        The top level is sampled by Gibbs sampling. The layers below are drawn in one pass down.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples. Each one comes from an independent chain.
        n_gibbs_steps : int, default=1000
            Number of Gibbs steps per chain in the top level.
        y : class or array-like of shape (n_samples,), default=None
            One class for all samples, or one class per sample. Requires ``join_labels=True``. If
            None, the class is drawn too.
        probabilities : bool, default=False
            If True, return the probabilities of the visible units instead of binary states.
        random_state : int, RandomState instance or None, default=None
            Determines the samples. Pass an int for reproducible results.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Samples of the visible units, or their probabilities.

        Raises
        ------
        ValueError
            If ``y`` is given without ``join_labels=True``, has a wrong shape, or contains a class
            that was not seen during ``fit``.
        """
        check_is_fitted(self)
        check_number(n_samples, "n_samples", numbers.Integral, low=1)
        check_number(n_gibbs_steps, "n_gibbs_steps", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        clamped = self._clamped_labels(y, n_samples)
        layers, _ = self._top_states(n_samples, n_gibbs_steps, clamped, rng)
        if len(self.estimators_) == 1 and probabilities and not self._directed_top:
            with self._team(n_samples) as team:
                means = means_below(self._machines()[0], layers[0], team)
            return means[:, : self._njoined()]
        return self._downwards(layers, rng, probabilities)[-1]

    def _clamped_labels(self, y, n_samples):
        if y is None:
            return None
        if not self.join_labels:
            raise ValueError(
                "y was passed, but the network has no labels. Fit it with join_labels=True."
            )
        y = np.asarray(y)
        if y.shape not in ((), (n_samples,)):
            raise ValueError(
                f"y has shape {y.shape}. Pass one class, or one for each of {n_samples} samples."
            )
        y = np.broadcast_to(y, (n_samples,))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y contains {unknown[0]!r}, which was not among the classes in fit.")
        return y[:, None] == self.classes_

    def _top_states(self, n_samples, n_sweeps, labels, rng, start=None):
        """Return the layers that a pass down starts from, top first, and the chains' states."""
        top = self._machines()[-1]
        dtype = top.biases[0].dtype
        key = new_key(rng)
        if self._directed_top:
            prior = self._generative.biases[-1]
            draws = rng.uniform(size=(n_samples, prior.size)) < 1 / (1 + np.exp(-prior))
            return [draws.astype(dtype)], None
        if start is None:
            means = getattr(self.estimators_[-1], "_activity", [np.full(top.biases[0].size, 0.5)])[
                0
            ]
            start = (rng.uniform(size=(n_samples, means.size)) < means).astype(dtype)
        n_lower = top.biases[0].size
        with self._team(n_samples * n_sweeps) as team:
            if self.join_labels and labels is None:
                lower, upper = labelled_chains(top, start, len(self.classes_), n_sweeps, key, team)
            else:
                clamped = None
                if labels is not None:
                    clamped = np.full((n_samples, n_lower), np.nan, dtype)
                    clamped[:, self._njoined() :] = labels
                    start[:, self._njoined() :] = labels
                states = [start, np.zeros((n_samples, top.biases[1].size), dtype)]
                lower, upper = inference.gibbs(
                    top, states, n_sweeps, n_samples, key, team, clamped=clamped
                )
        return [upper, lower[:, : self._njoined()]], lower

    def _downwards(self, layers, rng, probabilities=False) -> list:
        """Draw the layers below the last of ``layers``, and append them (top layer first)."""
        generators = self._generators()
        with self._team(layers[0].shape[0]) as team:
            for number in range(len(generators) - 1, -1, -1):
                means = means_below(generators[number], layers[-1], team)
                if number or not probabilities:
                    means = (rng.uniform(size=means.shape) < means).astype(means.dtype)
                layers.append(means)
        return layers


def _n_upper(level) -> int:
    """Return the number of units of a level's top layer."""
    known = getattr(level, "_n_features_out", None)
    return level.connectivity_[-1].shape[0] if known is None else known


def _features(level, below) -> np.ndarray:
    """Return the features of a level as an array, even if ``set_output`` is configured."""
    if isinstance(level, BoltzmannMachine):
        with level._team(below.shape[0]) as team:
            return inference.mean_field(level._stack(), below, team)[-1]
    return np.asarray(level.transform(below))
