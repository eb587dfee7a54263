"""Deep belief networks fine-tuned as classifiers by backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, compute_class_weight, compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from ._kernels.records import GAUSSIAN, SOFTMAX
from ._machine.levels import all_binary
from ._network.base import PARAMETERS, FeedForwardNetwork, weighted_mean
from ._network.pretraining import SHALLOW
from ._support.compat import with_callbacks
from ._support.random import new_key
from ._support.stored import check_classes_in_order
from ._support.validation import (
    check_classes,
    check_labels,
    check_sample_weight,
    restored_on_error,
)
from ._training.unrolling import random_level

__all__ = ["SparseDBNClassifier"]


class SparseDBNClassifier(ClassifierMixin, FeedForwardNetwork):
    __doc__ = f"""Deep belief network fine-tuned as a classifier.

    The hidden levels are pre-trained, by default without labels. Then a softmax layer is added on
    top, and all levels are trained by backpropagation with the cross-entropy loss (Hinton &
    Salakhutdinov 2006; Zuo et al. 2019). Only existing connections are trained.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or list of (str, estimator), \
default=(100, 100)
        Number of units of each hidden layer, lowest layer first, or the levels themselves (see
        :class:`SparseDBN`).{PARAMETERS}
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

    _fitted_names = (*FeedForwardNetwork._fitted_names, "classes_")

    def _restore_state(self):
        super()._restore_state()
        if len(self._levels) < 2:
            raise ValueError("It must have a hidden level and an output level.")
        check_classes_in_order(self.classes_, self._biases[-1].size)

    def _unit_types(self):
        return GAUSSIAN, *all_binary(len(self._levels) - 1), SOFTMAX

    @property
    def _n_prunable(self) -> int:
        return len(self._levels) - 1

    @property
    def output_weights_(self) -> np.ndarray:
        """Weights of the output layer, of shape (n_classes, n_hidden)."""
        check_is_fitted(self)
        return self._levels[-1].matrix()

    @output_weights_.setter
    def output_weights_(self, weights):
        check_is_fitted(self)
        others = [None] * len(self._levels)
        self.set_layers(
            self.layers_.with_parameters([*others[1:], weights], [None, *others], others)
        )

    def _initialize(self, X, y, context=None):
        rng = check_random_state(self.random_state)
        levels = self._starting_levels(X, y, rng, context)
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
            X = self._check_data(X, reset=not going_on)
            self.classes_, numbers_ = check_classes(X, y, self.classes_ if going_on else None)
            given = check_sample_weight(sample_weight, X)
            weights = given * self._weights_of_classes(numbers_)
            self._check_start(X.shape[1], weights, going_on, holds_back=self.early_stopping)
            context = self._init_callback_context(max_subtasks=None)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if not going_on:
                self._initialize(X, y, context)
            X = self._input(X)
            held = None
            if self.early_stopping and self.n_iter:
                stay, out = self._hold_back(X.shape[0], numbers_)
                X_held, y_held, held_weights = X[out], numbers_[out], given[out]

                def held(stack):
                    found = self._activations(X_held, len(self._levels), stack=stack)
                    return weighted_mean(found.argmax(axis=1) == y_held, held_weights)

                X, numbers_, weights = X[stay], numbers_[stay], weights[stay]
            self.history_ = self._descend(X, numbers_, weights, int(self.n_iter), context, held)
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
            X = self._check_data(X, reset=first)
            if first:
                if classes is None:
                    raise ValueError("classes must be passed on the first call to partial_fit.")
                classes = np.unique(check_labels(classes, "classes"))
            elif classes is not None and not np.array_equal(
                np.unique(check_labels(classes, "classes")), self.classes_
            ):
                raise ValueError("classes must be the same as on the first call to partial_fit.")
            self.classes_, numbers_ = check_classes(X, y, classes if first else self.classes_)
            weights = check_sample_weight(sample_weight, X) * self._weights_of_classes(numbers_)
            self._check_start(X.shape[1], weights, not first)
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
        X = self._check_data(X)
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

    def score(self, X, y, sample_weight=None) -> float:
        """Return the share of rows whose class is predicted correctly.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.
        y : array-like of shape (n_samples,)
            Class of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        score : float
            Accuracy.
        """
        return super().score(X, check_labels(y), sample_weight)


SHALLOW["supervised"] = SparseDBNClassifier
