"""Restricted Boltzmann machines, for binary data and for real numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from . import likelihood
from ._machine.levels import read_only
from ._machine.restricted import RestrictedMachine
from ._machine.visible import SMALLEST_SHARE, GaussianUnits, feature_variances
from ._support.options import check_number
from ._support.stored import check_vectors
from ._support.validation import check_rows
from ._training.variances import Variances

__all__ = ["PrunedBernoulliRBM", "PrunedGaussianRBM"]

# Scale of the random weights of hidden units that transpose_of does not provide. A hidden unit with
# zero weights does not change p(v), so small weights change it little.
START_SCALE = 0.01


class PrunedBernoulliRBM(RestrictedMachine):
    """Restricted Boltzmann machine of binary units whose connections can be pruned.

    This estimator is a drop-in replacement for :class:`sklearn.neural_network.BernoulliRBM`. In
    addition, it computes log-likelihoods, offers CD-k, PCD-k and the centred gradient, and stores
    which connections exist. The weight of a pruned connection is exactly zero. If at least half of
    the connections are pruned, they take neither time nor memory. The energy is

    .. math:: E(v, h) = -b^T v - c^T h - h^T W v

    where W is zero for absent connections (eq. 1 of Zuo et al. 2019).

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    learning_rate : float, default=0.1
        Step size. It multiplies the mean gradient of a minibatch.
    batch_size : int, default=10
        Number of rows per minibatch. Within a pass, minibatch sizes differ by at most one row.
    n_iter : int, default=10
        Number of passes over the data.
    negative_phase : {"pcd", "cd", "tempering"} or object, default="pcd"
        How states of the model are sampled for the gradient:

        - "pcd": persistent chains, which continue from one minibatch to the next.
        - "cd": chains that start from the data of each minibatch.
        - "tempering": persistent chains with parallel tempering at ten temperatures
          (:class:`~skprune.samplers.ParallelTempering`).
        - an object: a custom sampler (see :mod:`skprune.samplers`).
    n_gibbs_steps : int or (int, int), default=1
        Number of Gibbs steps per minibatch. For a pair, the number changes linearly from the first
        value to the last over the passes.
    n_chains : int, default=None
        Number of persistent chains. If None, it is ``batch_size``, but at least 100, because fewer
        chains make the model's part of the gradient noisy. With "cd", each row of a minibatch has
        one chain.
    momentum : float in [0, 1), default=0.0
        Momentum of the gradient steps.
    l1 : float, default=0.0
        L1 penalty on the weights, applied as a proximal shrinkage after each step.
    l2 : float, default=0.0
        L2 penalty on the weights, applied as a term of the gradient.
    centered : bool, default=True
        If True, use the centred gradient, which subtracts running means from the visible and
        hidden units (Montavon & Müller 2012; Melchior et al. 2016).
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the learning rate. "linear" decreases it to 0 over the passes. A callable maps
        the progress of training, in [0, 1), to the factor.
    max_norm : float, default=None
        Maximum Euclidean norm of the weights of each hidden unit. If None, norms are not bounded.
    hidden_activity_target : float or (float, float), default=None
        Target for the mean activity of each hidden unit, between 0 and 1. The hidden biases are
        moved towards it (Lee et al. 2008). A pair also sets the strength of this pull, which is
        0.1 otherwise. If None, there is no target.
    dropout : float in [0, 1), default=0.0
        Share of the hidden units that are switched off in training (Srivastava et al. 2014). The
        units are drawn for each row and each chain of a minibatch. Weights are not rescaled after
        training, since no factor suits both directions: in training, visible units receive input
        from a share of the hidden units, but hidden units receive input from all visible units.
    drop_connect : float in [0, 1), default=0.0
        Share of the connections that are switched off for a minibatch (Wan et al. 2013). The
        weights of the others are divided by ``1 - drop_connect``, so the fitted machine is the
        mean of the machines that were trained.
    connectivity : mask, sparse matrix or callable, default=None
        Mask of shape (n_components, n_features) that is True where a connection exists. A callable
        is called with ``shape`` and ``rng``, and must return a mask. If None, all connections
        exist.
    initial_sparsity : float in [0, 1), default=0.0
        Share of all possible connections that are absent when training starts. They are chosen at
        random.
    transpose_of : FrozenEstimator or None, default=None
        Fitted machine whose hidden units are the visible units of this machine (Hinton, Osindero &
        Teh 2006). Training starts from its transposed weights, its connections and its biases. Its
        visible units become the first hidden units. Further hidden units start with weights
        near 0.
    warm_start : bool, default=False
        If True, ``fit`` continues from the fitted parameters, connectivity and chains.
    verbose : int, default=0
        If 1, print one line per pass, with the mean pseudo-log-likelihood of the first 1,000 rows.
    random_state : int, RandomState instance or None, default=None
        Determines the random weights, the order of the rows and the chains. Pass an int for
        reproducible results. They are identical to the last bit for any number of threads.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Weights, zero for absent connections. In a pruned machine, this is a read-only matrix that
        is built when it is accessed.
    connectivity_ : list of one ndarray of bool of shape (n_components, n_features)
        Mask of the level. It is True where a connection exists.
    intercept_hidden_ : ndarray of shape (n_components,)
        Biases of the hidden units.
    intercept_visible_ : ndarray of shape (n_features,)
        Biases of the visible units.
    h_samples_ : ndarray of uint8 of shape (n_chains, n_components)
        Hidden states of the chains.
    history_ : dict of ndarray
        One value per pass of ``learning_rate``, ``n_gibbs_steps``, ``moment_gap`` and
        ``seconds``. ``moment_gap`` is the mean absolute difference between the visible means of
        the data and of the chains. With ``verbose``, there is also ``pseudo_log_likelihood``.
    n_iter_ : int
        Number of passes in the last call of ``fit`` or ``partial_fit``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    IterativePruner : Prune this machine in rounds, and train it after each round.

    Notes
    -----
    bool and uint8 data are read as they are. The fitted parameters are float32 for bool, uint8 and
    float32 data, and float64 otherwise. For values between 0 and 1, scores are computed with the
    same formulas as for 0 and 1, but they are not log-probabilities of the model.

    References
    ----------
    .. [1] Hinton, "Training products of experts by minimizing contrastive divergence", Neural
       Computation 2002.
    .. [2] Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
       gradient", ICML 2008.
    .. [3] Desjardins, Courville, Bengio, Vincent, Delalleau, "Parallel tempering for training of
       restricted Boltzmann machines", AISTATS 2010.
    .. [4] Melchior, Fischer, Wiskott, "How to center deep Boltzmann machines", JMLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> rbm = PrunedBernoulliRBM(n_components=2, random_state=0).fit(X)
    >>> rbm.transform(X).shape
    (4, 2)
    >>> bool(np.isclose(np.exp(rbm.score_samples([[a, b, c] for a in (0, 1)
    ...     for b in (0, 1) for c in (0, 1)])).sum(), 1))
    True
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        negative_phase: str | object = "pcd",
        n_gibbs_steps: int | tuple[int, int] = 1,
        n_chains: int | None = None,
        momentum: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        centered: bool = True,
        learning_rate_schedule: str | Callable[[float], float] = "linear",
        max_norm: float | None = None,
        hidden_activity_target: float | tuple[float, float] | None = None,
        dropout: float = 0.0,
        drop_connect: float = 0.0,
        connectivity: object = None,
        initial_sparsity: float = 0.0,
        transpose_of: BaseEstimator | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.negative_phase = negative_phase
        self.n_gibbs_steps = n_gibbs_steps
        self.n_chains = n_chains
        self.momentum = momentum
        self.l1 = l1
        self.l2 = l2
        self.centered = centered
        self.learning_rate_schedule = learning_rate_schedule
        self.max_norm = max_norm
        self.hidden_activity_target = hidden_activity_target
        self.dropout = dropout
        self.drop_connect = drop_connect
        self.connectivity = connectivity
        self.initial_sparsity = initial_sparsity
        self.transpose_of = transpose_of
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    # --------------------------------------------------------------- training

    def planned_levels(self, n_features=None) -> list:
        """Check the parameters, and return the shape of the level that ``fit`` would make.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and masks are not
            checked.

        Returns
        -------
        shapes : list of one (int, int or None)
            (n_components, n_features), without labels.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """
        shapes = super().planned_levels(n_features)
        if n_features is not None and self.transpose_of is not None:
            self._machine_below((shapes[0][0], n_features))
        return shapes

    def _first_parameters(self, weights, mask, biases):
        if self.transpose_of is None:
            return weights, mask, biases
        below = self._machine_below(mask.shape)
        n_taken, mask, (_, hidden) = below.n_features_in_, mask.copy(), biases
        mask[:n_taken] &= below.connectivity_[0].T
        weights = np.concatenate([below.components_.T, START_SCALE * weights[n_taken:]]) * mask
        hidden[:n_taken] = below.intercept_visible_
        return weights, mask, (below.intercept_hidden_, hidden)

    def _machine_below(self, shape):
        """Validate ``transpose_of``, and return the machine in it."""
        below = getattr(self.transpose_of, "estimator", None)
        if not isinstance(self.transpose_of, FrozenEstimator) or not isinstance(
            below, PrunedBernoulliRBM
        ):
            raise TypeError(
                "transpose_of must be a FrozenEstimator with a fitted PrunedBernoulliRBM, got "
                f"{self.transpose_of!r}."
            )
        check_is_fitted(below)
        n_hidden, n_visible = below.components_.shape
        if n_hidden != shape[1]:
            raise ValueError(
                f"transpose_of has {n_hidden} hidden units, but X has {shape[1]} features. The two "
                "numbers must be equal."
            )
        if n_visible > shape[0]:
            raise ValueError(
                f"n_components={shape[0]} must be at least {n_visible}, the number of visible "
                "units of transpose_of."
            )
        return below

    # ----------------------------------------------------------------- scores

    def pseudo_log_likelihood(self, X) -> np.ndarray:
        """Return the pseudo-log-likelihood of each row, in nats.

        .. math:: \\sum_i \\log p(v_i | v_1, \\dots, v_{i-1}, v_{i+1}, \\dots)

        The sum runs over all visible units. It does not need log Z and is deterministic, but it is
        not a likelihood.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        pseudo_log_likelihood : ndarray of float64 of shape (n_samples,)
            Pseudo-log-likelihoods in nats.
        """
        check_is_fitted(self)
        X = self._read(X)
        with self._team(float(X.shape[0]) * X.shape[1]) as team:
            return likelihood.stack_pseudo_log_likelihood(self._stack(), X, team)


SIGMAS = (1e-15, 1e15)  # limits of sigma, whose square float32 can hold


class PrunedGaussianRBM(RestrictedMachine):
    """Restricted Boltzmann machine for real numbers whose connections can be pruned.

    The visible units are normally distributed given the hidden units, which are binary. The energy
    is

    .. math:: E(v, h) = \\sum_i \\frac{(v_i - b_i)^2}{2 \\sigma_i^2} - \\sum_j c_j h_j
        - \\sum_{ij} \\frac{v_i w_{ji} h_j}{\\sigma_i^2}

    where w is zero for absent connections (Welling, Rosen-Zvi & Hinton 2004; Cho, Ilin & Raiko
    2011). The model is a mixture of :math:`2^{n_{hidden}}` normal distributions with a common
    diagonal covariance. It has all that :class:`PrunedBernoulliRBM` has, and can be pruned in the
    same way.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    sigma : float, array-like of shape (n_features,) or "learned", default=1.0
        Standard deviation of each feature given the hidden units, in the units of the data. A
        number is used for all features, so the features should be standardized. If "learned", each
        starts at the standard deviation of its feature and is trained with the weights.
    learning_rate : float, default=0.01
        Step size. It multiplies the mean gradient of a minibatch.
    batch_size : int, default=10
        Number of rows per minibatch. Within a pass, minibatch sizes differ by at most one row.
    n_iter : int, default=10
        Number of passes over the data.
    negative_phase : {"pcd", "cd", "tempering"} or object, default="pcd"
        How states of the model are sampled for the gradient:

        - "pcd": persistent chains, which continue from one minibatch to the next.
        - "cd": chains that start from the data of each minibatch.
        - "tempering": persistent chains with parallel tempering at ten temperatures
          (:class:`~skprune.samplers.ParallelTempering`).
        - an object: a custom sampler (see :mod:`skprune.samplers`).
    n_gibbs_steps : int or (int, int), default=1
        Number of Gibbs steps per minibatch. For a pair, the number changes linearly from the first
        value to the last over the passes.
    n_chains : int, default=None
        Number of persistent chains. If None, it is ``batch_size``, but at least 100, because fewer
        chains make the model's part of the gradient noisy. With "cd", each row of a minibatch has
        one chain.
    momentum : float in [0, 1), default=0.0
        Momentum of the gradient steps.
    l1 : float, default=0.0
        L1 penalty on the weights divided by ``sigma``, applied as a proximal shrinkage after each
        step.
    l2 : float, default=0.0
        L2 penalty on the weights divided by ``sigma``, applied as a term of the gradient.
    centered : bool, default=True
        If True, use the centred gradient, which subtracts running means from the visible and
        hidden units (Montavon & Müller 2012; Melchior et al. 2016).
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the learning rate. "linear" decreases it to 0 over the passes. A callable maps
        the progress of training, in [0, 1), to the factor.
    max_norm : float, default=None
        Maximum Euclidean norm of the weights of each hidden unit, divided by ``sigma``. If None,
        norms are not bounded.
    hidden_activity_target : float or (float, float), default=None
        Target for the mean activity of each hidden unit, between 0 and 1. The hidden biases are
        moved towards it (Lee et al. 2008). A pair also sets the strength of this pull, which is
        0.1 otherwise. If None, there is no target.
    dropout : float in [0, 1), default=0.0
        Share of the hidden units that are switched off in training (Srivastava et al. 2014). The
        units are drawn for each row and each chain of a minibatch. Weights are not rescaled after
        training, since no factor suits both directions: in training, visible units receive input
        from a share of the hidden units, but hidden units receive input from all visible units.
    drop_connect : float in [0, 1), default=0.0
        Share of the connections that are switched off for a minibatch (Wan et al. 2013). The
        weights of the others are divided by ``1 - drop_connect``, so the fitted machine is the
        mean of the machines that were trained.
    connectivity : mask, sparse matrix or callable, default=None
        Mask of shape (n_components, n_features) that is True where a connection exists. A callable
        is called with ``shape`` and ``rng``, and must return a mask. If None, all connections
        exist.
    initial_sparsity : float in [0, 1), default=0.0
        Share of all possible connections that are absent when training starts. They are chosen at
        random.
    warm_start : bool, default=False
        If True, ``fit`` continues from the fitted parameters, connectivity and chains.
    verbose : int, default=0
        If 1, print one line per pass, with the mean squared error of the reconstruction of
        the first 1,000 rows, in units of ``sigma``.
    random_state : int, RandomState instance or None, default=None
        Determines the random weights, the order of the rows and the chains. Pass an int for
        reproducible results. They are identical to the last bit for any number of threads.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Weights, zero for absent connections.
    connectivity_ : list of one ndarray of bool of shape (n_components, n_features)
        Mask of the level. It is True where a connection exists.
    intercept_hidden_ : ndarray of shape (n_components,)
        Biases of the hidden units.
    intercept_visible_ : ndarray of shape (n_features,)
        Biases of the visible units, which are their means if no hidden unit is on.
    sigma_ : ndarray of float64 of shape (n_features,)
        Standard deviations of the features given the hidden units.
    h_samples_ : ndarray of uint8 of shape (n_chains, n_components)
        Hidden states of the chains.
    history_ : dict of ndarray
        One value per pass of ``learning_rate``, ``n_gibbs_steps``, ``moment_gap`` and
        ``seconds``. ``moment_gap`` is the mean absolute difference between the visible means of
        the data and of the chains, in units of sigma. With ``verbose``, there is also
        ``reconstruction_error``.
    n_iter_ : int
        Number of passes in the last call of ``fit`` or ``partial_fit``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    PrunedBernoulliRBM : The machine for binary data, and for values in [0, 1].
    IterativePruner : Prune this machine in rounds, and train it after each round.

    Notes
    -----
    Inside the machine, data, weights and visible biases are divided by ``sigma``. The states of the
    visible units then have the variance 1 given the hidden units, and weights of features on
    different scales can be compared. Penalties and pruning criteria work on these numbers. For
    example, the magnitude of a connection is :math:`|w_{ji}| / \\sigma_i`.

    ``fit`` refuses features that are constant. Data must be dense. float32 data give float32
    parameters, and all others but bool and uint8 give float64.

    References
    ----------
    .. [1] Welling, Rosen-Zvi, Hinton, "Exponential family harmoniums with an application to
       information retrieval", NIPS 2004.
    .. [2] Cho, Ilin, Raiko, "Improved learning of Gaussian-Bernoulli restricted Boltzmann
       machines", ICANN 2011.
    .. [3] Melchior, Wang, Wiskott, "Gaussian-binary restricted Boltzmann machines for modeling
       natural image statistics", PLOS ONE 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedGaussianRBM
    >>> X = np.random.RandomState(0).normal(size=(200, 3))
    >>> rbm = PrunedGaussianRBM(n_components=2, random_state=0).fit(X)
    >>> rbm.transform(X).shape
    (200, 2)
    >>> rbm.score_samples(X).shape
    (200,)
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        sigma: float | Sequence[float] | str = 1.0,
        learning_rate: float = 0.01,
        batch_size: int = 10,
        n_iter: int = 10,
        negative_phase: str | object = "pcd",
        n_gibbs_steps: int | tuple[int, int] = 1,
        n_chains: int | None = None,
        momentum: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        centered: bool = True,
        learning_rate_schedule: str | Callable[[float], float] = "linear",
        max_norm: float | None = None,
        hidden_activity_target: float | tuple[float, float] | None = None,
        dropout: float = 0.0,
        drop_connect: float = 0.0,
        connectivity: object = None,
        initial_sparsity: float = 0.0,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.sigma = sigma
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.negative_phase = negative_phase
        self.n_gibbs_steps = n_gibbs_steps
        self.n_chains = n_chains
        self.momentum = momentum
        self.l1 = l1
        self.l2 = l2
        self.centered = centered
        self.learning_rate_schedule = learning_rate_schedule
        self.max_norm = max_norm
        self.hidden_activity_target = hidden_activity_target
        self.dropout = dropout
        self.drop_connect = drop_connect
        self.connectivity = connectivity
        self.initial_sparsity = initial_sparsity
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    # --------------------------------------------------------------- training

    _fitted_names = (*RestrictedMachine._fitted_names, "_log_variances", "_data_variances")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    @property
    def _visible(self) -> GaussianUnits:
        if not hasattr(self, "_log_variances"):  # before the first fit, data are only validated
            return GaussianUnits(np.ones(1), np.ones(1))
        return GaussianUnits(np.exp(self._log_variances / 2), self._data_variances)

    def _restore_state(self):
        n_features = [self._biases[0].size]
        check_vectors(
            [self._log_variances, self._data_variances], "The variances", n_features * 2, np.float64
        )
        if (self._data_variances < 0).any():
            raise ValueError("The variances of the features must not be negative.")
        super()._restore_state()

    def _check_parameters(self):
        super()._check_parameters()
        if self._n_labels:
            raise ValueError(
                "Labels can join binary units only, but those of a PrunedGaussianRBM are real "
                "numbers. Use another negative_phase."
            )
        self._first_log_variances(None)

    def _first_log_variances(self, n_features, data_variances=None):
        """Return the logarithms of the variances at the start, or None without ``n_features``."""
        sigma = self.sigma
        if isinstance(sigma, str):
            if sigma != "learned":
                raise ValueError(
                    f"sigma={sigma!r} is not known. Use 'learned', a number, or an array with one "
                    "number per feature."
                )
            return None if data_variances is None else np.log(data_variances)
        if np.ndim(sigma) == 0:
            value = check_number(sigma, "sigma", low=SIGMAS[0], high=SIGMAS[1])
            return None if n_features is None else np.full(n_features, 2 * np.log(value))
        values = check_rows(np.reshape(sigma, (1, -1)), "sigma", dtype=np.float64)[0]
        if np.ndim(sigma) != 1 or values.min() < SIGMAS[0] or values.max() > SIGMAS[1]:
            raise ValueError(
                "sigma must be a number, or 1D with one number per feature. Each must be between "
                f"{SIGMAS[0]:g} and {SIGMAS[1]:g}."
            )
        if n_features is not None and values.size != n_features:
            raise ValueError(
                f"sigma has {values.size} entries, but X has {n_features} features. Pass one number "
                "per feature, or one for all."
            )
        return 2 * np.log(values)

    def planned_levels(self, n_features=None) -> list:
        """Check the parameters, and return the shape of the level that ``fit`` would make.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and masks and
            ``sigma`` are not compared with it.

        Returns
        -------
        shapes : list of one (int, int or None)
            (n_components, n_features).

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """
        shapes = super().planned_levels(n_features)
        self._first_log_variances(n_features)
        return shapes

    def _initialize(self, X, rng):
        self.planned_levels(X.shape[1])
        self._data_variances = feature_variances(self, X)
        self._log_variances = self._first_log_variances(X.shape[1], self._data_variances)
        self._visible.check_scale()
        super()._initialize(X, rng)

    def _check_sizes(self):
        super()._check_sizes()
        logs = self._first_log_variances(self.n_features_in_)
        if logs is not None and not np.allclose(logs, self._log_variances):
            raise ValueError(
                "sigma cannot change between fits that continue, except to 'learned'. Use "
                "warm_start=False to fit from scratch."
            )

    def _variances_to_train(self) -> Variances:
        least = None
        if isinstance(self.sigma, str):
            least = np.log(SMALLEST_SHARE * self._data_variances)
        return Variances(self._log_variances.copy(), least)

    def _learned(self, trainer, copy=False) -> dict:
        learned = super()._learned(trainer, copy)
        if trainer.variances.learned:
            learned["_log_variances"] = trainer.variances.logs.copy()
        return learned

    # ----------------------------------------------------------- fitted state

    @property
    def sigma_(self) -> np.ndarray:
        """Standard deviations of the features given the hidden units."""
        check_is_fitted(self)
        return read_only(self._visible.sigma)
