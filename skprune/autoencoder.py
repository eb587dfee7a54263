"""Deep belief networks unrolled and fine-tuned as autoencoders by backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._kernels.records import BINARY, GAUSSIAN, SOFTMAX
from ._machine.levels import all_binary
from ._network.base import PARAMETERS, FeedForwardNetwork, weighted_mean
from ._network.pretraining import SHALLOW
from ._support.compat import with_callbacks
from ._support.random import new_key
from ._support.ranges import OneWarningTransformer
from ._support.stored import check_real
from ._support.threads import blocks
from ._support.validation import (
    check_codes,
    check_sample_weight,
    float_type,
    restored_on_error,
)
from ._training.unrolling import with_way_down

__all__ = ["SparseDBNAutoencoder"]

UNIT_TYPES = {"logistic": BINARY, "linear": GAUSSIAN, "softmax": SOFTMAX}


class SparseDBNAutoencoder(
    ClassNamePrefixFeaturesOutMixin, OneWarningTransformer, FeedForwardNetwork
):
    __doc__ = f"""Deep belief network unrolled and fine-tuned as an autoencoder.

    The pre-trained levels encode the data as a code, and their transposes decode it. Then encoder
    and decoder are trained by backpropagation, with separate weights (Hinton & Salakhutdinov
    2006). Only existing connections are trained.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int or list of (str, estimator), \
default=(128, 32)
        Number of units of each layer of the encoder, lowest layer first, or its levels themselves
        (see :class:`SparseDBN`). The last layer is the code.{PARAMETERS}
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

    _has_decoder = True

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

    @property
    def _unit_interval(self) -> bool:
        """Whether data outside [0, 1] give a warning. Machines read counts above 1 as 1."""
        return self.output == "logistic" or (self.output == "linear" and super()._unit_interval)

    def _check_parameters(self):
        super()._check_parameters()
        self._check_activations()

    def _check_activations(self):
        """Validate the activation functions, which may be set after ``fit``."""
        for name, legal in (("code", ("linear", "logistic")), ("output", tuple(UNIT_TYPES))):
            if getattr(self, name) not in legal:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not known. Use one of "
                    f"{', '.join(repr(kind) for kind in legal)}."
                )

    def _restore_state(self):
        super()._restore_state()
        sizes = [bias.size for bias in self._biases]
        if not len(self._levels) % 2 == 0 or sizes[-1] != self.n_features_in_:
            raise ValueError(
                "It must have as many levels of the decoder as of the encoder, and one output per "
                f"feature, got layers of {sizes} units for {self.n_features_in_} features."
            )
        check_real(self._input_gain, "The factor of the data at the input", low=0)

    def _unit_types(self):
        self._check_activations()
        hidden = all_binary(len(self._levels) // 2 - 1)
        return GAUSSIAN, *hidden, UNIT_TYPES[self.code], *hidden, UNIT_TYPES[self.output]

    @property
    def _n_features_out(self) -> int:
        return self._biases[len(self._levels) // 2].size

    def _initialize(self, X, y, context=None):
        """Pre-train the levels and unroll them; X has the scale of the input layer."""
        rng = check_random_state(self.random_state)
        if self.output == "softmax" and self.pretrain not in ("autoencoder", "supervised"):
            X = X.minimum(1).tocsr() if sparse.issparse(X) else np.minimum(X, 1)
        levels = self._starting_levels(X, y, rng, context, self.output)
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
            X = self._check_data(X, reset=not going_on)
            given = check_sample_weight(sample_weight, X)
            X, totals = self._shares(X, reset=not going_on)
            weights = given * totals
            self._check_start(X.shape[1], weights, going_on, holds_back=self.early_stopping)
            context = self._init_callback_context(max_subtasks=None)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            if not going_on:
                self._initialize(self._input(X), y, context)
            held = None
            if self.early_stopping and self.n_iter:
                stay, out = self._hold_back(X.shape[0])
                X_held, held_weights = X[out], given[out]
                entering = self._input(X_held)

                def held(stack):
                    found = self._activations(entering, len(self._levels), stack=stack)
                    return -weighted_mean(_squared_errors(X_held, found), held_weights)

                X, weights = X[stay], weights[stay]
            self.history_ = self._descend(X, None, weights, int(self.n_iter), context, held)
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
            X = self._check_data(X, reset=first)
            weights = check_sample_weight(sample_weight, X)
            X, totals = self._shares(X, reset=first)
            weights = weights * totals
            self._check_start(X.shape[1], weights, not first)
            if first:
                self._initialize(self._input(X), y)
            self._descend(X, None, weights, 1, constant=True)
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
        X = self._input(self._check_data(X))
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
        codes = check_codes(
            self, codes, self._n_features_out, unit_interval=self.code == "logistic"
        )
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
        X, _ = self._shares(self._check_data(X))
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


def _squared_errors(X, Y) -> np.ndarray:
    """Return the squared Euclidean distance between each row of X and of Y."""
    result = np.empty(X.shape[0])
    for block in blocks(X.shape[0]):
        part = X[block].toarray() if sparse.issparse(X) else X[block]
        result[block] = ((part.astype(np.float64) - Y[block]) ** 2).sum(axis=1)
    return result


SHALLOW["autoencoder"] = SparseDBNAutoencoder
