"""Feed-forward networks with pruned connections, fine-tuned by backpropagation.

They start from the levels of a deep belief network. With a softmax output on top, the network is a
classifier. With the transposed levels on top, it is an autoencoder.
"""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Callable, Sequence
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
from ._machine.layered import Layered
from ._machine.level_list import LevelList
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
from ._training.unrolling import FeedForwardLevel, random_level, with_way_down
from .dbm import DBMTransformer
from .dbn import SparseDBN

__all__ = ["SparseDBNAutoencoder", "SparseDBNClassifier"]

PRETRAIN = ("rbm", "autoencoder", "supervised")
SOLVERS = {"sgd": 0.1, "adam": 0.005}  # with their learning rates for learning_rate=None
KINDS = {
    "logistic": field_kernels.LOGISTIC,
    "linear": field_kernels.LINEAR,
    "softmax": field_kernels.SOFTMAX,
}


class _Best:
    """Copy of a stack at its highest score, or the stack itself before the first score."""

    def __init__(self, stack):
        self._now, self.stack, self._score = stack, stack, -np.inf

    def keep(self, score):
        """Copy the stack if this score is the highest so far."""
        if score > self._score:
            self._score, self.stack = score, as_dtype(self._now, self._now.biases[0].dtype)


class _Network(Layered, LevelList):
    """Base class of networks: pre-training, training by epochs, and the pruning protocol.

    ``_biases[0]`` belongs to the input layer and is always zero.
    """

    pretrained_: Any
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
        resolve_function(
            self.learning_rate_schedule, LEARNING_RATE_SCHEDULES, "learning_rate_schedule"
        )
        ready = isinstance(self.pretrain, SparseDBN | DBMTransformer | FrozenEstimator)
        named = isinstance(self.pretrain, str) and self.pretrain in PRETRAIN
        if not (self.pretrain is None or ready or named):
            raise ValueError(
                f"pretrain={self.pretrain!r} is not known. Use 'rbm', 'autoencoder', 'supervised', "
                "None, a SparseDBN, a DBMTransformer, or a fitted one in a FrozenEstimator."
            )
        machine = getattr(self.pretrain, "estimator", self.pretrain)
        if isinstance(machine, DBMTransformer):
            n_layers = len(check_layer_sizes(machine.hidden_layer_sizes))
            if not is_classifier(self) or n_layers > 2:
                raise ValueError(
                    "A DBMTransformer as pretrain requires a classifier and one or two hidden "
                    f"layers, got {n_layers} hidden layers for a {type(self).__name__}."
                )
        if self.pretrain != "rbm" and (self.rbm is not None or self.pruner is not None):
            raise ValueError(
                f"rbm and pruner must be None if pretrain is not 'rbm', got {self.pretrain!r}. To "
                "prune while fine-tuning, pass this estimator to an IterativePruner."
            )
        if self.pretrain is None or self.pretrain in ("autoencoder", "supervised"):
            check_layer_sizes(self.hidden_layer_sizes)

    def check_pruning(self, n_levels=None, target="connections"):
        """Raise an error before training if the network does not support a kind of pruning.

        Parameters
        ----------
        n_levels : int, default=None
            Number of levels with a sparsity of their own. It is not checked, because the number of
            levels of the network is known only after ``fit``.
        target : {"connections", "units"}, default="connections"
            What is to be pruned.

        Raises
        ------
        TypeError
            If ``target`` is "units".
        """
        if target == "units":
            raise TypeError(
                f"{type(self).__name__} does not support target='units'. Use target='connections', "
                "or prune the units of a Boltzmann machine."
            )

    # ----------------------------------------------------------- pre-training

    def _encoder(self, X, y, rng, context) -> list:
        """Return the hidden levels before fine-tuning, lowest level first."""
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
                    "The FrozenEstimator in pretrain must hold a SparseDBN or a DBMTransformer, "
                    f"got a {type(dbn).__name__}."
                )
            if dbn.n_features_in_ != X.shape[1]:
                raise ValueError(
                    f"The pre-trained network has {dbn.n_features_in_} visible units, but X has "
                    f"{X.shape[1]} features. The two numbers must be equal."
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
        levels, self.pretrained_ = dbn.unrolled()
        return levels

    def _input(self, X):
        """Return the input of the network, given validated rows."""
        pretrained = getattr(self, "pretrained_", None)
        return X if pretrained is None else pretrained.network_input(X)

    def _random_levels(self, X, rng) -> list:
        """Return levels with random weights on the scale of Glorot & Bengio (2010)."""
        dtype, levels, n_lower = float_type(X), [], X.shape[1]
        for size in check_layer_sizes(self.hidden_layer_sizes):
            levels.append(random_level(n_lower, size, dtype, rng))
            n_lower = size
        return levels

    def _greedy_levels(self, X, y, rng) -> list:
        """Train levels one by one, as shallow autoencoders or classifiers, and return them."""
        own = {
            name: getattr(self, name)
            for name in ("solver", "learning_rate", "momentum", "batch_size", "l2")
        }
        supervised = self.pretrain == "supervised"
        if supervised and y is None:
            raise ValueError("pretrain='supervised' needs y. Pass y, or use another pretrain.")
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
        """Return the type of each layer's activation function, input layer first."""

    # --------------------------------------------------------------- training

    def _start_moments(self, stack) -> tuple:
        """Return the moments of the gradient and their number of steps.

        Moments of the last ``partial_fit`` are used again if they belong to the same solver.
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
        """Return whether the validation score has not improved for ``n_iter_no_change`` epochs."""
        scores = [row["validation_score"] for row in rows]
        recent, earlier = scores[-self.n_iter_no_change :], scores[: -self.n_iter_no_change]
        return bool(earlier) and max(recent) < max(earlier) + self.tol

    def _learned(self, stack, copy=False) -> dict:
        """Return the fitted attributes from the current parameters of the stack."""
        take = np.array if copy else np.asarray
        return {
            "_levels": self._levels_of(stack, copy),
            "_biases": [take(bias) for bias in stack.biases],
        }

    def _hold_back(self, n_samples, classes=None):
        """Return the indices of training and validation rows, stratified by class if possible."""
        if n_samples < 2:
            raise ValueError(
                f"early_stopping=True needs at least two samples, got n_samples = {n_samples}."
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

    # ------------------------------------------------------- pruning protocol

    @property
    def components_(self) -> list:
        """Weights (n_upper, n_lower) of the prunable levels, built on each access."""
        check_is_fitted(self)
        return [level.matrix() for level in self._levels[: self._n_prunable]]

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
        if X is None:
            raise ValueError(
                f"{type(self).__name__} does not generate states, so X must be passed. To prune, "
                "use a criterion that reads data, such as criteria.Fisher(source='data')."
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
        """Return the activations of a layer, given validated activations of layer ``start``."""
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


class SparseDBNClassifier(ClassifierMixin, _Network):
    __doc__ = f"""Deep belief network fine-tuned as a classifier.

    The hidden levels are pre-trained, by default without labels. Then a softmax layer is added on
    top, and all levels are trained by backpropagation with the cross-entropy loss (Hinton &
    Salakhutdinov 2006; Zuo et al. 2019). Only existing connections are trained.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or list of (str, estimator), \
default=(100, 100)
        Number of units of each hidden layer, lowest layer first, or the levels themselves (see
        :class:`SparseDBN`).{_PARAMETERS}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as a dict of the form ``{{class: weight}}``. "balanced"
        makes them inversely proportional to the class frequencies. If None, all classes have
        weight 1.
    warm_start : bool, default=False
        If True, ``fit`` continues from the fitted weights, without pre-training.
    verbose : int, default=0
        If 1, print one line per epoch. Pre-training prints its progress too, unless ``pretrain`` is
        an estimator.
    random_state : int, RandomState instance or None, default=None
        Determines the random weights, pre-training, the order of the rows and dropout. Pass an int
        for reproducible results.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes seen during ``fit``.
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights of the hidden levels, lowest level first. They are zero for absent connections.
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Mask of each hidden level. It is True where a connection exists. The connections of the
        output layer are not included, and are not pruned.
    output_weights_ : ndarray of shape (n_classes, n_hidden)
        Weights of the output layer.
    intercepts_ : list of ndarray
        Biases of the hidden layers and of the output layer.
    pretrained_ : SparseDBN or DBMTransformer
        Network before fine-tuning. Defined only if pre-training fits or uses one. If it is a
        :class:`DBMTransformer` with two hidden layers, the input of the network is the data joined
        with its mean-field probabilities of the second hidden layer, in prediction too.
    history_ : dict of ndarray
        One value per epoch of ``loss``, ``learning_rate`` and ``seconds``. With
        ``early_stopping``, there is also ``validation_score``, the accuracy on the held-out data.
    n_iter_ : int
        Number of epochs in the last call of ``fit`` or ``partial_fit``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    SparseDBN : The network that pre-trains the levels.
    SparseDBNAutoencoder : Fine-tune a deep belief network as an autoencoder.

    References
    ----------
    .. [1] Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks",
       Science 2006.

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
        """Weights of the output layer, of shape (n_classes, n_hidden)."""
        check_is_fitted(self)
        return self._levels[-1].matrix()

    @property
    def intercepts_(self) -> list:
        """Biases of the hidden layers and of the output layer."""
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
        """Pre-train the levels, then fine-tune the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. If Boltzmann machines pre-train, values should be in [0, 1]. bool and
            uint8 data are read as they are.
        y : array-like of shape (n_samples,)
            Class of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in fine-tuning. If None, all rows have weight 1.

        Returns
        -------
        self : SparseDBNClassifier
            Fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has a wrong type.
        ValueError
            If a parameter or the data are invalid, or training diverges.
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
        """Return the weight of each row's class in the loss."""
        y = self.classes_[numbers_]
        if isinstance(self.class_weight, dict):  # some classes may be missing in y
            return compute_class_weight(self.class_weight, classes=self.classes_, y=y)[numbers_]
        return compute_sample_weight(self.class_weight, y)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on a part of the data, with a constant learning rate.

        The first call pre-trains the levels on its part of the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Part of the training data.
        y : array-like of shape (n_samples,)
            Class of each row.
        classes : array-like of shape (n_classes,), default=None
            All classes that occur in any call. Must be passed in the first call, and can be
            omitted in later calls.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss. If None, all rows have weight 1.

        Returns
        -------
        self : SparseDBNClassifier
            Fitted estimator.

        Raises
        ------
        ValueError
            If ``classes`` is missing in the first call or changes later, ``class_weight`` is
            "balanced", or the data are invalid.
        """
        self._check_parameters()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported for partial_fit, which does "
                "not read all data at once. Pass the weights of the classes as a dict."
            )
        with restored_on_error(self):
            first = not hasattr(self, "_levels")
            X = check_data(self, X, reset=first)
            if first:
                if classes is None:
                    raise ValueError("classes must be passed on the first call to partial_fit.")
                classes = np.unique(classes)
            elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError("classes must be the same as on the first call to partial_fit.")
            self.classes_, numbers_ = check_classes(X, y, classes if first else self.classes_)
            weights = check_sample_weight(sample_weight, X) * self._weights_of_classes(numbers_)
            if first:
                self._initialize(X, y)
            self._descend(self._input(X), numbers_, weights, 1, constant=True)
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities of the classes, in the order of ``classes_``.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        return self._activations(self._input(X), len(self._levels))

    def predict_log_proba(self, X) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Log-probabilities of the classes, in the order of ``classes_``.
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predicted classes.
        """
        numbers_ = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers_]


class SparseDBNAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Network):
    __doc__ = f"""Deep belief network unrolled and fine-tuned as an autoencoder.

    The pre-trained levels encode the data as a code, and their transposes decode it. Then encoder
    and decoder are trained by backpropagation, with separate weights (Hinton & Salakhutdinov
    2006). Only existing connections are trained.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or list of (str, estimator), \
default=(128, 32)
        Number of units of each layer of the encoder, lowest layer first, or its levels themselves
        (see :class:`SparseDBN`). The last layer is the code.{_PARAMETERS}
    code : {{"linear", "logistic"}}, default="linear"
        Activation function of the code units.
    output : {{"logistic", "linear", "softmax"}}, default="logistic"
        Activation function and loss of the output units:

        - "logistic": for data in [0, 1]. Minimizes the cross-entropy.
        - "linear": for other data. Minimizes the squared error.
        - "softmax": for counts, such as word counts. The output is the share of each feature in the
          total of the row. Minimizes the cross-entropy of the counts, which is a multinomial
          likelihood. Each row is weighted by its total, relative to the mean total. At the input,
          rows are scaled to the mean total. Boltzmann machines that pre-train read values above 1
          as 1.
    warm_start : bool, default=False
        If True, ``fit`` continues from the fitted weights, without pre-training.
    verbose : int, default=0
        If 1, print one line per epoch. Pre-training prints its progress too, unless ``pretrain`` is
        an estimator.
    random_state : int, RandomState instance or None, default=None
        Determines the random weights, pre-training, the order of the rows and dropout. Pass an int
        for reproducible results.

    Attributes
    ----------
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights of the encoder, lowest level first, then of the decoder, from the code to the
        output. They are zero for absent connections.
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Mask of each level, in the order of ``components_``. It is True where a connection exists.
    intercepts_ : list of ndarray
        Biases of the layers of the encoder, then of the decoder.
    pretrained_ : SparseDBN
        Network before fine-tuning. Defined only if pre-training fits or uses one.
    history_ : dict of ndarray
        One value per epoch of ``loss``, ``learning_rate`` and ``seconds``. With
        ``early_stopping``, there is also ``validation_score``, minus the mean squared error on the
        held-out data.
    n_iter_ : int
        Number of epochs in the last call of ``fit`` or ``partial_fit``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    SparseDBN : The network that pre-trains the levels.
    SparseDBNClassifier : Fine-tune a deep belief network as a classifier.

    References
    ----------
    .. [1] Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks",
       Science 2006.

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
        """Biases of the layers of the encoder, then of the decoder."""
        check_is_fitted(self)
        return self._biases[1:]

    @property
    def _n_features_out(self) -> int:
        return self._biases[len(self._levels) // 2].size

    def _initialize(self, X, y, context=None):
        """Pre-train the levels and unroll them; X has the scale of the input layer."""
        rng = check_random_state(self.random_state)
        if self.output == "softmax" and self.pretrain not in ("autoencoder", "supervised"):
            X = X.minimum(1).tocsr() if sparse.issparse(X) else np.minimum(X, 1)
        levels = self._encoder(X, y, rng, context)
        self._take_levels(with_way_down(levels, linear_code=self.code == "linear"))
        self._key, self._n_steps = new_key(rng), 0

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None):
        """Pre-train the levels, unroll them, then fine-tune the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Values should be in [0, 1] with ``output="logistic"``, and must be
            counts with ``output="softmax"``. bool and uint8 data are read as they are.
        y : array-like of shape (n_samples,), default=None
            Class of each row. It is used only in pre-training, if that needs classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in fine-tuning. If None, all rows have weight 1.

        Returns
        -------
        self : SparseDBNAutoencoder
            Fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has a wrong type.
        ValueError
            If a parameter or the data are invalid, or training diverges.
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
        """Train for one epoch on a part of the data, with a constant learning rate.

        The first call pre-trains the levels on its part of the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Part of the training data.
        y : array-like of shape (n_samples,), default=None
            Class of each row. It is used only in pre-training, if that needs classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss. If None, all rows have weight 1.

        Returns
        -------
        self : SparseDBNAutoencoder
            Fitted estimator.
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
        """For a softmax output, return each row divided by its total, and the relative totals.

        Relative totals are divided by their mean. With ``reset``, the mean total is stored, and
        ``_input`` multiplies the shares by it. For other outputs, return X and 1.
        """
        if self.output != "softmax":
            if reset:
                self._input_gain = 1.0
            return X, 1.0
        lowest = X.data.min(initial=0) if sparse.issparse(X) else X.min()
        if lowest < 0:
            raise ValueError("Negative values in data. output='softmax' needs counts.")
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
        """Return the input of the network.

        For a softmax output, rows are scaled to the mean total of the training data.
        """
        if self.output != "softmax":
            return X
        shares, _ = self._shares(X)
        return shares * shares.dtype.type(self._input_gain)

    def transform(self, X):
        """Encode the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_code_units)
            Activations of the code units.
        """
        check_is_fitted(self)
        X = self._input(check_data(self, X, reset=False))
        return self._activations(X, len(self._levels) // 2)

    def inverse_transform(self, codes):
        """Decode codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_code_units)
            Activations of the code units.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Reconstructed data. With ``output="softmax"``, the share of each feature in the total
            of the row.
        """
        check_is_fitted(self)
        codes = check_codes(codes, self._n_features_out)
        return self._activations(codes, len(self._levels), start=len(self._levels) // 2)

    def score_samples(self, X) -> np.ndarray:
        """Return minus the squared reconstruction error of each row, summed over features.

        With ``output="softmax"``, this is the error of the shares of the features in the total of
        the row, not of the counts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.

        Returns
        -------
        scores : ndarray of float64 of shape (n_samples,)
            Minus the squared errors. Higher is better.
        """
        check_is_fitted(self)
        X, _ = self._shares(check_data(self, X, reset=False))
        return -_squared_errors(X, self._activations(self._input(X), len(self._levels)))

    def score(self, X, y=None) -> float:
        """Return the mean of :meth:`score_samples`.

        This is minus the squared error per row, summed over features, as the literature reports it
        for images.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Minus the mean squared error per row. Higher is better.
        """
        return float(self.score_samples(X).mean())


def _or_equal(weights):
    """Return weights for ``np.average``: the given ones, or None if all of them are 0."""
    return weights if weights.any() else None


def _squared_errors(X, Y) -> np.ndarray:
    """Return the squared Euclidean distance between each row of X and of Y."""
    result = np.empty(X.shape[0])
    for block in blocks(X.shape[0]):
        part = X[block].toarray() if sparse.issparse(X) else X[block]
        result[block] = ((part.astype(np.float64) - Y[block]) ** 2).sum(axis=1)
    return result
