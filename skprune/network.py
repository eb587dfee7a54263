"""Feed-forward networks on pruned connections, fine-tuned by backpropagation.

A deep belief network unrolled: upwards with a softmax output it tells classes
apart, upwards and back down it is an autoencoder.
"""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_class_weight, compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from ._kernels import fields as field_kernels
from ._kernels import loading
from ._kernels.records import DescentOptions, Moments, Stack
from ._machine import inference
from ._machine.base import Layered
from ._machine.levels import Level, as_dtype, check_arrays
from ._support.compat import with_callbacks
from ._support.options import check_layer_sizes, check_number, resolve_function
from ._support.random import derived_key, new_key
from ._support.threads import blocks
from ._support.validation import (
    check_classes,
    check_codes,
    check_data,
    check_sample_weight,
    float_type,
    restored_on_error,
)
from ._training.backprop import (
    EPSILON,
    FIRST_MOMENTUM,
    SECOND_MOMENTUM,
    BackpropTrainer,
    new_moments,
)
from ._training.passes import LEARNING_RATE_SCHEDULES, run_passes
from ._training.unrolling import FeedForwardLevel, levels_of_dbm, random_level, with_way_down
from .dbm import DBMTransformer
from .dbn import LevelList, SparseDBN

__all__ = ["SparseDBNAutoencoder", "SparseDBNClassifier"]

PRETRAIN = ("rbm", "autoencoder", "supervised")
SOLVERS = {"sgd": 0.1, "adam": 0.005}  # and the learning rate of None
KINDS = {
    "logistic": field_kernels.LOGISTIC,
    "linear": field_kernels.LINEAR,
    "softmax": field_kernels.SOFTMAX,
}


class _Best:
    """The stack as it is, or once scores are kept, as it was at the highest of them."""

    def __init__(self, stack):
        self._now, self.stack, self._score = stack, stack, -np.inf

    def keep(self, score):
        """Keep a copy of the stack where this score is the highest so far."""
        if score > self._score:
            self._score, self.stack = score, as_dtype(self._now, self._now.biases[0].dtype)


class _Network(Layered, LevelList):
    """Levels that feed forward: pre-training, the loop over epochs, the seam to the pruners.

    ``_biases[0]`` belongs to the input and stays zero.
    """

    pretrained_: Any
    _input_gain = 1.0  # what the data are multiplied by where they enter

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
        resolve_function(
            self.learning_rate_schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule"
        )
        ready = isinstance(self.pretrain, SparseDBN | DBMTransformer | FrozenEstimator)
        named = isinstance(self.pretrain, str) and self.pretrain in PRETRAIN
        if not (self.pretrain is None or ready or named):
            raise ValueError(
                f"pretrain={self.pretrain!r} is not known. Use 'rbm', 'autoencoder', 'supervised', "
                "None, a SparseDBN or DBMTransformer, or a fitted one in a FrozenEstimator."
            )
        machine = getattr(self.pretrain, "estimator", self.pretrain)
        if isinstance(machine, DBMTransformer):
            n_layers = len(check_layer_sizes(machine.hidden_layer_sizes))
            if not is_classifier(self) or n_layers > 2:
                raise ValueError(
                    "A DBMTransformer can be unrolled into a classifier where it has one or two hidden "
                    f"layers; got {n_layers} for a {type(self).__name__}."
                )
        if self.pretrain != "rbm" and (self.rbm is not None or self.pruner is not None):
            raise ValueError(
                f"rbm and pruner are for pretrain='rbm'; with pretrain={self.pretrain!r} leave them "
                "None. To prune while fine-tuning, put this estimator into an IterativePruner."
            )
        if self.pretrain is None or self.pretrain in ("autoencoder", "supervised"):
            check_layer_sizes(self.hidden_layer_sizes)

    def check_pruning(self, n_levels=None, target="connections"):
        """Raise an error before training where a network cannot be pruned so.

        Parameters
        ----------
        n_levels : int, default=None
            Number of levels that were given a sparsity each; known only after ``fit``.
        target : {"connections", "units"}, default="connections"

        Raises
        ------
        TypeError
            If units are to be pruned.
        """
        if target == "units":
            raise TypeError(
                f"{type(self).__name__} has outputs among its units and cannot lose units. Prune its "
                "connections, or the units of a machine."
            )

    # ----------------------------------------------------------- pre-training

    def _encoder(self, X, y, rng, context) -> list:
        """Return (matrix, mask, lower bias, upper bias) of every hidden level."""
        if hasattr(self, "pretrained_"):
            del self.pretrained_
        if self.pretrain is None:
            return self._random_levels(X, rng)
        if self.pretrain in ("autoencoder", "supervised"):
            return self._greedy_levels(X, y, rng)
        dbn = self.pretrain
        if dbn == "rbm":
            dbn = SparseDBN(
                self.hidden_layer_sizes, rbm=self.rbm, pruner=self.pruner, verbose=self.verbose
            )
        if isinstance(dbn, FrozenEstimator):
            dbn = dbn.estimator
            check_is_fitted(dbn)
            if not isinstance(dbn, SparseDBN | DBMTransformer):
                raise TypeError(
                    f"pretrain holds a {type(dbn).__name__}; give a SparseDBN or a DBMTransformer in the "
                    "FrozenEstimator."
                )
            if dbn.n_features_in_ != X.shape[1]:
                raise ValueError(
                    f"The pre-trained network has {dbn.n_features_in_} visible units, X has "
                    f"{X.shape[1]} features."
                )
        else:
            dbn = clone(dbn)
            if self.random_state is not None or dbn.random_state is None:
                dbn.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
            if context is None:
                dbn.fit(X, y)
            else:
                task = context.subcontext(task_name="pretrain")
                task.call_on_fit_task_begin(estimator=self, X=X, y=y)
                with task.propagate_callback_context(dbn):
                    dbn.fit(X, y)
                task.call_on_fit_task_end(estimator=self, X=X, y=y)
        if isinstance(dbn, DBMTransformer):
            levels = levels_of_dbm(dbn)
            self.pretrained_ = deepcopy(dbn)  # which is read later, too
            return levels
        self.pretrained_ = dbn
        levels = []
        for matrix, mask, stack in zip(
            dbn.components_, dbn.connectivity_, dbn._machines(), strict=True
        ):
            below, above = stack.biases
            n_labels = below.size - matrix.shape[1]
            if n_labels:  # which say nothing here, as in the network's own features
                below = below[:-n_labels]
                weights = dbn.estimators_[-1]._levels[0].matrix()
                above = above + weights[:, -n_labels:].mean(axis=1)
            levels.append(FeedForwardLevel(matrix, mask, below, above))
        return levels

    def _input(self, X):
        """What the network reads of validated rows: beside them the posterior of a deep machine."""
        dbm = getattr(self, "pretrained_", None)
        if not isinstance(dbm, DBMTransformer) or len(dbm.connectivity_) == 1:
            return X
        rows = X.toarray() if sparse.issparse(X) else X
        posterior = dbm._means(X)[1]
        return np.hstack([rows.astype(posterior.dtype), posterior])

    def _random_levels(self, X, rng) -> list:
        """Levels with weights as Glorot & Bengio (2010) scale them."""
        dtype, levels, n_lower = float_type(X), [], X.shape[1]
        for size in check_layer_sizes(self.hidden_layer_sizes):
            levels.append(random_level(n_lower, size, dtype, rng))
            n_lower = size
        return levels

    def _greedy_levels(self, X, y, rng) -> list:
        """Levels trained one by one, as autoencoders or classifiers with one hidden layer."""
        own = {
            name: getattr(self, name)
            for name in ("solver", "learning_rate", "momentum", "batch_size", "l2")
        }
        supervised = self.pretrain == "supervised"
        if supervised and y is None:
            raise ValueError("pretrain='supervised' needs y; use 'autoencoder' or 'rbm' without.")
        levels: list[FeedForwardLevel] = []
        below = X
        for size in check_layer_sizes(self.hidden_layer_sizes):
            seed = rng.randint(np.iinfo(np.int32).max)
            common = {
                **own, "pretrain": None, "n_iter": self.n_pretrain_iter, "random_state": seed,
                "verbose": self.verbose,
            }  # fmt: skip
            if supervised:
                shallow = SparseDBNClassifier((size,), **common).fit(below, y)
                lower = np.zeros(below.shape[1], shallow._biases[0].dtype)
            else:
                output = "logistic" if levels else getattr(self, "output", "logistic")
                shallow = SparseDBNAutoencoder(
                    (size,), code="logistic", output=output, **common
                ).fit(below)
                lower = shallow._biases[2]
            levels.append(
                FeedForwardLevel(
                    shallow.components_[0], shallow.connectivity_[0], lower, shallow._biases[1]
                )
            )
            below = shallow._activations(below, 1)
        return levels

    def _take_levels(self, levels):
        self._levels = [Level.from_matrix(matrix, mask) for matrix, mask, _, _ in levels]
        self._biases = [np.zeros_like(levels[0].lower_bias)]
        self._biases += [level.upper_bias.copy() for level in levels]
        self._moments = None

    @abstractmethod
    def _kinds(self) -> np.ndarray:
        """What each layer makes of its input."""

    # --------------------------------------------------------------- training

    def _start_moments(self, stack) -> tuple:
        """Return running means of the gradient and the steps they know of; those kept, where they fit."""
        adam = self.solver == "adam"
        if self._moments is not None:
            *kept, n_steps = self._moments
            first, second = (tuple(array.copy() for array in arrays) for arrays in kept)
            if adam == any(array.size for array in second):
                return Moments(first, second), n_steps
        return new_moments(stack, adam), 0

    def _descend(self, X, targets, weights, n_epochs, context=None, held=None, constant=False):
        """Run epochs; ``targets`` None for the data themselves. Returns the history."""
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
                kinds=self._kinds(),
                options=options,
                moments=moments,
                n_known=n_known,
                adam=adam,
                learning_rate=(
                    SOLVERS[self.solver] if self.learning_rate is None else self.learning_rate
                ),
                schedule="constant" if constant else self.learning_rate_schedule,
                batch_size=self.batch_size,
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
        """Whether the score on the rows held back has not risen for long enough."""
        scores = [row["validation_score"] for row in rows]
        recent, earlier = scores[-self.n_iter_no_change :], scores[: -self.n_iter_no_change]
        return bool(earlier) and max(recent) < max(earlier) + self.tol

    def _learned(self, stack, copy=False) -> dict:
        """Return the fitted attributes as the stack has them now."""
        take = np.array if copy else np.asarray
        return {
            "_levels": self._levels_of(stack, copy),
            "_biases": [take(bias) for bias in stack.biases],
        }

    def _hold_back(self, n_samples, classes=None):
        """Return the rows to train on and those to validate on; by class, where they are enough."""
        if n_samples < 2:
            raise ValueError(
                f"early_stopping holds a share of the data back; n_samples = {n_samples} is too few."
            )
        n_held = np.ceil(self.validation_fraction * n_samples)
        if classes is not None:
            counts = np.bincount(classes)
            enough = counts.min() > 1 and min(n_held, n_samples - n_held) >= counts.size
            classes = classes if enough else None
        seed = int(derived_key(self._key, "rows held back")) % 2**32
        return train_test_split(
            np.arange(n_samples), test_size=self.validation_fraction, stratify=classes,
            random_state=seed,
        )  # fmt: skip

    def _forget(self):
        self._moments = None

    def _check_state(self):
        super()._check_state()
        if self._moments is not None:
            *kept, _ = self._moments
            sizes = [level.n_parameters for level in self._levels]
            sizes += [bias.size for bias in self._biases[1:]]
            for arrays in kept:
                found = sizes if any(array.size for array in arrays) else [0] * len(sizes)
                check_arrays(
                    arrays, found, self._biases[0].dtype, "The running means of the gradient"
                )

    # ------------------------------------------------------------------- seam

    @property
    def components_(self) -> list:
        """Weights (n_upper, n_lower) of the prunable levels, bottom first; made on demand."""
        check_is_fitted(self)
        return [level.matrix() for level in self._levels[: self._n_prunable]]

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of the layers between the prunable levels, given data; part of the seam.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            The input layer; logistic units are drawn given the layer below, others
            are what the network computes.
        n_samples, n_steps_between : int
            Of machines that generate; a network does not.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        layers : list of ndarray of shape (n_rows, n_units)

        Raises
        ------
        ValueError
            Without X.
        """
        check_is_fitted(self)
        if X is None:
            raise ValueError(
                f"{type(self).__name__} has no states of its own; use a criterion that reads data, "
                "such as criteria.Fisher(source='data')."
            )
        X = self._input(check_data(self, X, reset=False))
        rng = check_random_state(random_state)
        kinds = self._kinds()
        layers = [X.toarray() if sparse.issparse(X) else X]
        for number in range(self._n_prunable):
            means = self._activations(layers[-1], number + 1, start=number)
            if kinds[number + 1] == field_kernels.LOGISTIC:
                means = (rng.uniform(size=means.shape) < means).astype(means.dtype)
            layers.append(means)
        return [layers[0].astype(self._biases[0].dtype), *layers[1:]]

    # -------------------------------------------------------------- inference

    def _activations(self, X, layer, start=0, stack=None) -> np.ndarray:
        """Activations of a layer, given validated rows of the layer ``start``."""
        whole = self._stack() if stack is None else stack
        stack = Stack(whole.levels[start:layer], whole.biases[start : layer + 1])
        kinds = self._kinds()[start : layer + 1]
        result = np.empty((X.shape[0], stack.biases[-1].size), stack.biases[0].dtype)

        def one_block(block):
            rows = np.arange(block.start, block.stop)
            states = inference.row_states(stack, rows.size)
            inference.load(X, rows, states[0])
            field_kernels.feed_forward(stack, states, kinds, rows.size)
            loading.store_rows(states[-1], result[block])

        with self._team(X.shape[0]) as team:
            team.map(one_block, blocks(X.shape[0]))
        return result


_PARAMETERS = """
    rbm : estimator, default=None
        Template of a level in pre-training, whose ``n_components`` is set; None is a
        :class:`PrunedBernoulliRBM` with its defaults.
    pruner : estimator, default=None
        Meta-estimator that prunes every level in pre-training, see :class:`SparseDBN`.
    pretrain : {"rbm", "autoencoder", "supervised"}, SparseDBN, DBMTransformer, FrozenEstimator \
or None, default="rbm"
        Where the weights start. "rbm": a :class:`SparseDBN`; one may be given as a template (a
        classifier also takes a :class:`DBMTransformer`), or fitted in a :class:`~sklearn.frozen.FrozenEstimator`; its sizes then count. "autoencoder" and
        "supervised": greedily, each level as the hidden one of a shallow network. None: at random.
    n_pretrain_iter : int, default=10
        Epochs a level of "autoencoder" and "supervised".
    solver : {"adam", "sgd"}, default="adam"
        Stochastic gradient descent with momentum, or Adam (Kingma & Ba 2015).
    learning_rate : float, default=None
        None is 0.005 with "adam" and 0.1 with "sgd"; a rate belongs to its solver.
    momentum : float, default=0.9
        Of "sgd".
    batch_size : int, default=32
    n_iter : int, default=30
        Epochs of fine-tuning.
    l2 : float, default=0.0
        Weight decay.
    dropout : float, default=0.0
        Share of the logistic hidden units that is off, sample by sample.
    input_dropout : float, default=0.0
    max_norm : float, default=None
        Bound on the norm of the weights into a unit.
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the rate as a function of the progress from 0 to 1.
    early_stopping : bool, default=False
        Hold a share of the data back; stop when the score on it no longer rises, and
        go back to the best epoch.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    tol : float, default=1e-4"""


class SparseDBNClassifier(ClassifierMixin, _Network):
    __doc__ = f"""A deep belief network fine-tuned to tell classes apart, on its connections.

    The hidden levels are pre-trained without labels, then a softmax layer is put on
    top and all is trained by backpropagation on the connections that exist
    (Hinton & Salakhutdinov 2006; Zuo et al. 2019). The loss is the cross-entropy.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int or list of (str, estimator), default=(100, 100)
        As in :class:`SparseDBN`.{_PARAMETERS}
    class_weight : dict, "balanced" or None, default=None
    warm_start : bool, default=False
        Go on from the fitted weights, without pre-training.
    verbose : int, default=0
        1 prints a line an epoch.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights of the hidden levels.
    connectivity_ : list of ndarray of bool
        Of the hidden levels; the output layer is always full.
    output_weights_ : ndarray of shape (n_classes, n_hidden)
    intercepts_ : list of ndarray
        Biases of the hidden layers and the output.
    pretrained_ : SparseDBN or DBMTransformer
        The network before fine-tuning, where there was one. A deep machine's posterior of the
        second layer is read beside the data, also later.
    history_ : dict of ndarray
        One entry an epoch: ``loss``, ``learning_rate``, ``seconds``, with ``early_stopping``
        also ``validation_score``.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM, SparseDBNClassifier
    >>> rng = np.random.RandomState(0)
    >>> y = rng.randint(0, 2, 200)
    >>> X = (rng.uniform(size=(200, 12)) < np.where(y, 0.8, 0.2)[:, None]).astype(int)
    >>> classifier = SparseDBNClassifier((8, 6), random_state=0).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] | Sequence[tuple[str, BaseEstimator]] = (100, 100),
        *,
        rbm: BaseEstimator | None = None,
        pruner: BaseEstimator | None = None,
        pretrain: str | BaseEstimator | None = "rbm",
        n_pretrain_iter: int = 10,
        solver: str = "adam",
        learning_rate: float | None = None,
        momentum: float = 0.9,
        batch_size: int = 32,
        n_iter: int = 30,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        learning_rate_schedule: str | Callable[[float], float] = "linear",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        class_weight: dict | str | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.rbm = rbm
        self.pruner = pruner
        self.pretrain = pretrain
        self.n_pretrain_iter = n_pretrain_iter
        self.solver = solver
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.l2 = l2
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.max_norm = max_norm
        self.learning_rate_schedule = learning_rate_schedule
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def _kinds(self):
        n_hidden = len(self._levels) - 1
        return np.array(
            [field_kernels.LINEAR, *[field_kernels.LOGISTIC] * n_hidden, field_kernels.SOFTMAX]
        )

    @property
    def _n_prunable(self) -> int:
        return len(self._levels) - 1

    @property
    def output_weights_(self) -> np.ndarray:
        """Weights of the output layer."""
        check_is_fitted(self)
        return self._levels[-1].matrix()

    @property
    def intercepts_(self) -> list:
        """Biases of the hidden layers and the output."""
        check_is_fitted(self)
        return self._biases[1:]

    def _initialize(self, X, y, context=None):
        rng = check_random_state(self.random_state)
        levels = self._encoder(X, y, rng, context)
        n_top = levels[-1].upper_bias.size
        levels.append(random_level(n_top, self.classes_.size, levels[0].lower_bias.dtype, rng))
        self._take_levels(levels)
        self._key, self._n_steps = new_key(rng), 0

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Pre-train, then fine-tune.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Values in [0, 1] where machines pre-train; bool and uint8 are read as they are.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in fine-tuning.

        Returns
        -------
        self : SparseDBNClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are not legal, or training diverges.
        """
        self._check_parameters()
        with restored_on_error(self):
            going_on = self.warm_start and hasattr(self, "_levels")
            X = check_data(self, X, reset=not going_on)
            self.classes_, numbers_ = check_classes(X, y, self.classes_ if going_on else None)
            given = check_sample_weight(sample_weight, X)
            weights = given * self._weights_of_classes(numbers_)
            context = self._init_callback_context(max_subtasks=None)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if not going_on:
                self._initialize(X, y, context)
            X = self._input(X)
            held = None
            if self.early_stopping and self.n_iter:
                stay, out = self._hold_back(X.shape[0], numbers_)
                X_held, y_held, held_weights = X[out], numbers_[out], _or_equal(given[out])

                def held(stack):
                    found = self._activations(X_held, len(self._levels), stack=stack)
                    return float(np.average(found.argmax(axis=1) == y_held, weights=held_weights))

                X, numbers_, weights = X[stay], numbers_[stay], weights[stay]
            self.history_ = self._descend(X, numbers_, weights, self.n_iter, context, held)
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _weights_of_classes(self, numbers_):
        """What the class of every row counts in the loss."""
        y = self.classes_[numbers_]
        if isinstance(self.class_weight, dict):  # rows of this call may lack some of the classes
            return compute_class_weight(self.class_weight, classes=self.classes_, y=y)[numbers_]
        return compute_sample_weight(self.class_weight, y)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Walk through this part of the data once, at the constant rate.

        The first call pre-trains on its part.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All classes, in the first call.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : SparseDBNClassifier
        """
        self._check_parameters()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all the data, which partial_fit does not see; "
                "give the weights of the classes as a dict."
            )
        with restored_on_error(self):
            first = not hasattr(self, "_levels")
            X = check_data(self, X, reset=first)
            if first:
                if classes is None:
                    raise ValueError("classes must be passed on the first call to partial_fit.")
                classes = np.unique(classes)
            elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError("classes is not the same as on the first call to partial_fit.")
            self.classes_, numbers_ = check_classes(X, y, classes if first else self.classes_)
            weights = check_sample_weight(sample_weight, X) * self._weights_of_classes(numbers_)
            if first:
                self._initialize(X, y)
            self._descend(self._input(X), numbers_, weights, 1, constant=True)
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        return self._activations(self._input(X), len(self._levels))

    def predict_log_proba(self, X) -> np.ndarray:
        """Return the logarithm of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def predict(self, X) -> np.ndarray:
        """Return the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        numbers_ = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers_]


class SparseDBNAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Network):
    __doc__ = f"""A deep belief network unrolled and fine-tuned to give the data back.

    Pre-trained levels lead to a code, their transposes back; then the two halves
    are trained apart by backpropagation, on the connections that exist (Hinton &
    Salakhutdinov 2006).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int or list of (str, estimator), default=(128, 32)
        As in :class:`SparseDBN`; the last layer is the code.{_PARAMETERS}
    code : {{"linear", "logistic"}}, default="linear"
        Units of the code.
    output : {{"logistic", "linear", "softmax"}}, default="logistic"
        "logistic", for values in [0, 1], reads them as probabilities and minimises the
        cross-entropy; "linear" the squared error. "softmax", for counts such as
        those of words, gives shares of a row's total and minimises the cross-entropy
        of the counts, a multinomial likelihood: rows weigh by their total, relative to the mean,
        and are brought to the mean total where they enter (machines that pre-train read at most 1).
    warm_start : bool, default=False
        Go on from the fitted weights, without pre-training.
    verbose : int, default=0
        1 prints a line an epoch.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights up to the code, then down from it.
    connectivity_ : list of ndarray of bool
    intercepts_ : list of ndarray
    pretrained_ : SparseDBN
        The network before fine-tuning, where there was one.
    history_ : dict of ndarray
        One entry an epoch: ``loss``, ``learning_rate``, ``seconds``, with ``early_stopping``
        also ``validation_score``.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import SparseDBNAutoencoder
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 12))
    >>> autoencoder = SparseDBNAutoencoder((8, 3), random_state=0).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes.shape, autoencoder.inverse_transform(codes).shape
    ((100, 3), (100, 12))
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] | Sequence[tuple[str, BaseEstimator]] = (128, 32),
        *,
        rbm: BaseEstimator | None = None,
        pruner: BaseEstimator | None = None,
        pretrain: str | BaseEstimator | None = "rbm",
        n_pretrain_iter: int = 10,
        solver: str = "adam",
        learning_rate: float | None = None,
        momentum: float = 0.9,
        batch_size: int = 32,
        n_iter: int = 30,
        l2: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        learning_rate_schedule: str | Callable[[float], float] = "linear",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        code: str = "linear",
        output: str = "logistic",
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.rbm = rbm
        self.pruner = pruner
        self.pretrain = pretrain
        self.n_pretrain_iter = n_pretrain_iter
        self.solver = solver
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.l2 = l2
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.max_norm = max_norm
        self.learning_rate_schedule = learning_rate_schedule
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.code = code
        self.output = output
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_parameters(self):
        super()._check_parameters()
        for name, legal in (("code", ("linear", "logistic")), ("output", tuple(KINDS))):
            if getattr(self, name) not in legal:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not known. Use one of "
                    f"{', '.join(repr(kind) for kind in legal)}."
                )

    def _kinds(self):
        depth = len(self._levels) // 2
        logistic = [field_kernels.LOGISTIC] * (depth - 1)
        return np.array(
            [field_kernels.LINEAR, *logistic, KINDS[self.code], *logistic, KINDS[self.output]]
        )

    @property
    def intercepts_(self) -> list:
        """Biases of the layers up to the code, then down to the output."""
        check_is_fitted(self)
        return self._biases[1:]

    @property
    def _n_features_out(self) -> int:
        return self._biases[len(self._levels) // 2].size

    def _initialize(self, X, y, context=None):
        """Pre-train on rows as they enter, of which machines read no more than 1."""
        rng = check_random_state(self.random_state)
        if self.output == "softmax" and self.pretrain not in ("autoencoder", "supervised"):
            X = X.minimum(1).tocsr() if sparse.issparse(X) else np.minimum(X, 1)
        levels = self._encoder(X, y, rng, context)
        self._take_levels(with_way_down(levels, linear_code=self.code == "linear"))
        self._key, self._n_steps = new_key(rng), 0

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None):
        """Pre-train, unroll, then fine-tune.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Read by ``pretrain="supervised"`` alone.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in fine-tuning.

        Returns
        -------
        self : SparseDBNAutoencoder

        Raises
        ------
        ValueError
            If a parameter or the data are not legal, or training diverges.
        """
        self._check_parameters()
        with restored_on_error(self):
            going_on = self.warm_start and hasattr(self, "_levels")
            X = check_data(self, X, reset=not going_on)
            given = check_sample_weight(sample_weight, X)
            X, totals = self._shares(X, reset=not going_on)
            weights = given * totals
            context = self._init_callback_context(max_subtasks=None)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if not going_on:
                self._initialize(self._input(X), y, context)
            held = None
            if self.early_stopping and self.n_iter:
                stay, out = self._hold_back(X.shape[0])
                X_held, held_weights = X[out], _or_equal(given[out])
                entering = self._input(X_held)

                def held(stack):
                    found = self._activations(entering, len(self._levels), stack=stack)
                    return -float(np.average(_squared_errors(X_held, found), weights=held_weights))

                X, weights = X[stay], weights[stay]
            self.history_ = self._descend(X, None, weights, self.n_iter, context, held)
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X, y=None, sample_weight=None):
        """Walk through this part of the data once, at the constant rate.

        The first call pre-trains on its part.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : SparseDBNAutoencoder
        """
        self._check_parameters()
        with restored_on_error(self):
            first = not hasattr(self, "_levels")
            X = check_data(self, X, reset=first)
            weights = check_sample_weight(sample_weight, X)
            X, totals = self._shares(X, reset=first)
            if first:
                self._initialize(self._input(X), y)
            self._descend(X, None, weights * totals, 1, constant=True)
        return self

    def _shares(self, X, reset=False):
        """Divide rows by their totals where the output is softmax; return these over their mean.

        The mean of the first fit is what shares are multiplied by where they enter (``_input``).
        """
        if self.output != "softmax":
            if reset:
                self._input_gain = 1.0
            return X, 1.0
        lowest = X.data.min(initial=0) if sparse.issparse(X) else X.min()
        if lowest < 0:
            raise ValueError("Negative values in data: output='softmax' needs counts.")
        totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
        safe = np.where(totals > 0, totals, 1)
        dtype = float_type(X)
        if sparse.issparse(X):
            X = X.astype(dtype)
            X.data /= np.repeat(safe, np.diff(X.indptr)).astype(dtype)
        else:
            X = X.astype(dtype) / safe[:, None].astype(dtype)
        mean = max(totals.mean(), np.finfo(float).tiny)
        if reset:
            self._input_gain = mean
        return X, totals / mean

    def _input(self, X):
        """Rows as the network reads them: with softmax their totals are the mean of the first fit's."""
        if self.output != "softmax":
            return X
        shares, _ = self._shares(X)
        return shares * shares.dtype.type(self._input_gain)

    def transform(self, X):
        """Return the codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, n_code_units)
        """
        check_is_fitted(self)
        X = self._input(check_data(self, X, reset=False))
        return self._activations(X, len(self._levels) // 2)

    def inverse_transform(self, codes):
        """Return what the network makes of codes: with softmax shares of a total, else the data.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_code_units)

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        codes = check_codes(codes, self._n_features_out)
        return self._activations(codes, len(self._levels), start=len(self._levels) // 2)

    def score_samples(self, X) -> np.ndarray:
        """Return minus the squared error of every row, summed over its features.

        With ``output="softmax"`` it is that of the features' shares of the row, not of the counts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of float64 of shape (n_samples,)
        """
        check_is_fitted(self)
        X, _ = self._shares(check_data(self, X, reset=False))
        return -_squared_errors(X, self._activations(self._input(X), len(self._levels)))

    def score(self, X, y=None) -> float:
        """Return minus the mean squared error a row, as the literature counts it for images.

        With ``output="softmax"`` it is that of the features' shares of the row, not of the counts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        return float(self.score_samples(X).mean())


def _or_equal(weights):
    """Return the weights of a mean, or None where none of them counts."""
    return weights if weights.any() else None


def _squared_errors(X, Y) -> np.ndarray:
    """Squared distance of rows."""
    result = np.empty(X.shape[0])
    for block in blocks(X.shape[0]):
        part = X[block].toarray() if sparse.issparse(X) else X[block]
        result[block] = ((part.astype(np.float64) - Y[block]) ** 2).sum(axis=1)
    return result
