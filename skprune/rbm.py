"""The restricted Boltzmann machine."""

from __future__ import annotations

import numbers
import threading
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from . import connectivity, likelihood
from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.initial import log_odds, random_weights
from ._machine.labels import with_labels
from ._machine.levels import Level, read_only
from ._support.options import check_number
from ._support.random import new_key
from ._support.stored import check_list, check_whole
from ._support.validation import check_columns, check_data, float_type
from .samplers import check_negative_phase

__all__ = ["PrunedBernoulliRBM"]

# Scale of the random weights of hidden units that transpose_of does not provide. A hidden unit with
# zero weights does not change p(v), so small weights change it little.
START_SCALE = 0.01
_counting = threading.Lock()


class PrunedBernoulliRBM(BoltzmannMachine):
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

    _n_levels = 1
    _fitted_names = (*BoltzmannMachine._fitted_names, "_gibbs_calls")

    def _restore_state(self):
        super()._restore_state()
        check_list(self._levels, "The levels", 1)
        check_whole(self._gibbs_calls, "The number of calls of gibbs")

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self.n_components, "n_components", numbers.Integral, low=1)
        check_number(self.dropout, "dropout", low=0, high=1, closed="left")
        check_number(self.drop_connect, "drop_connect", low=0, high=1, closed="left")
        check_number(self.initial_sparsity, "initial_sparsity", low=0, high=1, closed="left")
        phase = check_negative_phase(self.negative_phase)
        if self.dropout and phase.chains == "own":
            raise ValueError(
                "dropout is not possible with a negative phase that moves the chains itself. Use "
                "negative_phase='pcd' or 'cd', or dropout=0."
            )

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
        self._check_parameters()
        n_components = int(self.n_components)
        if n_features is None:
            return [(n_components, None)]
        if self._n_labels >= n_features:
            raise ValueError(
                f"negative_phase has {self._n_labels} labels, but X has {n_features} features. The "
                "labels are the last features of X, and there must be others."
            )
        shape = (n_components, n_features)
        if not (self.connectivity is None or callable(self.connectivity)):
            connectivity.check_mask(self.connectivity, shape)
        self._n_start(n_components * n_features)
        if self.transpose_of is not None:
            self._machine_below(shape)
        return [(n_components, n_features - self._n_labels)]

    def _n_start(self, n_full) -> int:
        """Return how many of the possible connections ``initial_sparsity`` leaves."""
        n_kept = n_full - round(float(self.initial_sparsity) * n_full)
        if n_kept == 0:
            raise ValueError(
                f"initial_sparsity={self.initial_sparsity} leaves none of the {n_full} "
                "connections. Use a lower sparsity."
            )
        return n_kept

    def _initialize(self, X, rng):
        """Initialize the weights at random, the visible biases to log-odds, and the chains."""
        dtype = float_type(X)
        self.planned_levels(X.shape[1])
        n_components = int(self.n_components)
        shape = (n_components, X.shape[1])
        mask = connectivity.from_option(
            self.connectivity, shape, rng, getattr(self, "feature_names_in_", None)
        )
        if self.initial_sparsity:
            n_kept = self._n_start(mask.size)
            scores = rng.uniform(size=shape)
            mask = connectivity.keep_best(scores, min(n_kept, int(mask.sum())), mask)
        if self._n_labels:
            mask = with_labels(mask[:, : -self._n_labels], self._n_labels)
        means = inference.column_means(X)
        weights, visible = random_weights(mask, means, rng), log_odds(means, X.shape[0])
        hidden = np.zeros(n_components)
        if self.transpose_of is not None:
            below = self._machine_below(shape)
            n_taken, mask = below.n_features_in_, mask.copy()
            mask[:n_taken] &= below.connectivity_[0].T
            weights = np.concatenate([below.components_.T, START_SCALE * weights[n_taken:]]) * mask
            visible, hidden[:n_taken] = below.intercept_hidden_, below.intercept_visible_
        self._levels = [Level.from_matrix(weights.astype(dtype), mask)]
        self._biases = [visible.astype(dtype), hidden.astype(dtype)]
        self._activity = [means.astype(dtype), np.full(n_components, 0.5, dtype)]
        n_chains = self._wanted_chains()
        self._chains = [None, rng.randint(0, 2, (n_chains, n_components)).astype(np.uint8)]
        self._forget()
        self._step = self._gibbs_calls = 0
        self._key = new_key(rng)

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

    def connectivity_parameters(self, masks) -> dict:
        """Return parameters that make a new machine start with these connections.

        Parameters
        ----------
        masks : list of one ndarray of bool of shape (n_components, n_features)
            Mask of the level.

        Returns
        -------
        parameters : dict
            Parameters for ``set_params``.
        """
        return {"connectivity": masks[0], "initial_sparsity": 0.0}

    def _set_sizes(self, sizes):
        self.n_components = sizes[0]
        if self.connectivity is not None:
            self.connectivity = self._levels[0].mask()

    # ----------------------------------------------------------- fitted state

    @property
    def components_(self) -> np.ndarray:
        """Weights of shape (n_components, n_features), zero for absent connections."""
        check_is_fitted(self)
        return self._without_labels(self._levels[0].matrix())

    @components_.setter
    def components_(self, components):
        self.set_parameters(components)

    def set_parameters(
        self,
        components=None,
        *,
        intercept_hidden=None,
        intercept_visible=None,
        connectivity=None,
        visible_means=None,
    ):
        """Replace fitted parameters, for example by those of an ablation.

        Momentum and the stored log Z are deleted. The means of the units are replaced, see
        ``visible_means``. Assignment to ``components_``, ``intercept_hidden_`` or
        ``intercept_visible_`` calls this method.

        Parameters
        ----------
        components : {array-like, sparse matrix} of shape (n_components, n_features), default=None
            New weights. Those of absent connections must be 0. If None, keep the weights.
        intercept_hidden : array-like of shape (n_components,), default=None
            New biases of the hidden units. If None, keep the biases.
        intercept_visible : array-like of shape (n_features,), default=None
            New biases of the visible units. If None, keep the biases.
        connectivity : {array-like, sparse matrix} of bool of shape (n_components, n_features), \
default=None
            New mask of existing connections. If None, keep the connections.
        visible_means : array-like of shape (n_features,), default=None
            Means of the data, from which chains and annealed importance sampling start. If None,
            they are estimated from tempered chains of the machine when they are needed.

        Returns
        -------
        self : PrunedBernoulliRBM
            The estimator itself.

        Raises
        ------
        ValueError
            If a shape is wrong, a number is not finite, the weight of an absent connection is not
            0, or ``visible_means`` is outside [0, 1].
        """
        check_is_fitted(self)
        check_columns(self, components, "components")
        check_columns(self, connectivity, "connectivity")
        if self._n_labels and np.shape(components) == self.components_.shape:
            labels = self._levels[0].matrix()[:, -self._n_labels :]
            components = np.hstack([components, labels])
        biases = [intercept_visible, intercept_hidden]
        return self._set_parameters([components], biases, [connectivity], visible_means)

    @property
    def connectivity_(self) -> list:
        """Mask of the level in a list. It is True where a connection exists."""
        check_is_fitted(self)
        return [self._without_labels(self._levels[0].mask())]

    def set_connectivity(self, masks):
        """Set which connections exist. This method is part of the pruning protocol.

        Weights of removed connections are 0 from then on. Weights of new connections start at 0.
        Momentum and the stored log Z are deleted. Labels are connected to the hidden units that
        have other connections.

        Parameters
        ----------
        masks : array-like of bool of shape (n_components, n_features), or list of one such array
            Mask of the level, without the columns of labels.

        Returns
        -------
        self : PrunedBernoulliRBM
            The estimator itself.

        Raises
        ------
        ValueError
            If the shape of the mask is wrong, or it has no connection.
        """
        if self._n_labels:
            check_is_fitted(self)
            (mask,) = connectivity.one_per_level(masks, n_levels=1)
            mask = connectivity.check_mask(mask, self.components_.shape)
            masks = [with_labels(mask, self._n_labels)]
        return super().set_connectivity(masks)

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of both layers. This method is part of the pruning protocol.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            States of the visible layer. The hidden layer is drawn given them. If None, states of
            both layers are drawn from the model.
        n_samples : int, default=1000
            Number of states to draw from the model, with at most 100 chains.
        n_steps_between : int, default=10
            Number of Gibbs steps before each state that is kept from a chain.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws. Pass an int for reproducible results.

        Returns
        -------
        layers : list of ndarray of shape (n_samples, n_units)
            Visible states without labels, and hidden states.
        """
        visible, hidden = super().layer_samples(
            X, n_samples=n_samples, n_steps_between=n_steps_between, random_state=random_state
        )
        return [self._without_labels(visible), hidden]

    @property
    def _n_labels(self) -> int:
        """Number of labels, which are the last visible units."""
        return int(getattr(self.negative_phase, "n_labels", 0))

    def _without_labels(self, columns) -> np.ndarray:
        return columns[:, : columns.shape[1] - self._n_labels]

    @property
    def intercept_visible_(self) -> np.ndarray:
        """Biases of the visible units."""
        check_is_fitted(self)
        return read_only(self._biases[0])

    @intercept_visible_.setter
    def intercept_visible_(self, biases):
        self.set_parameters(intercept_visible=biases)

    @property
    def intercept_hidden_(self) -> np.ndarray:
        """Biases of the hidden units."""
        check_is_fitted(self)
        return read_only(self._biases[1])

    @intercept_hidden_.setter
    def intercept_hidden_(self, biases):
        self.set_parameters(intercept_hidden=biases)

    @property
    def h_samples_(self) -> np.ndarray:
        """Hidden states of the chains."""
        check_is_fitted(self)
        return read_only(self._chains[1])

    @property
    def _n_features_out(self) -> int:
        return self._biases[1].size

    # ----------------------------------------------------------------- scores

    def free_energy(self, X) -> np.ndarray:
        """Return the free energy of each row, in nats.

        .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})

        The probability of a row is p(v) = exp(−F(v)) / Z.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        free_energy : ndarray of float64 of shape (n_samples,)
            Free energies in nats.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        with self._team(X.shape[0]) as team:
            return inference.free_energy(self._stack(), X, team)

    def score_samples(self, X) -> np.ndarray:
        """Return the log-likelihood of each row, in nats.

        The log-likelihood is −F(v) − log Z. log Z is exact if one of the two layers has at most 20
        units. Otherwise it is estimated by annealed importance sampling with 100 chains and 1,000
        temperatures. The estimate depends on the seed of ``fit``, and is kept until the parameters
        change. See :meth:`log_partition` for its uncertainty.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        log_likelihood : ndarray of float64 of shape (n_samples,)
            Log-likelihoods in nats.
        """
        return -self.free_energy(X) - self._kept_log_partition().value

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
        X = check_data(self, X, reset=False)
        with self._team(float(X.shape[0]) * X.shape[1]) as team:
            return likelihood.stack_pseudo_log_likelihood(self._stack(), X, team)

    def gibbs(self, v) -> np.ndarray:
        """Return the visible states after one Gibbs step from ``v``.

        Each call uses new random numbers from the stream of the fitted machine.

        Parameters
        ----------
        v : {array-like, sparse matrix} of shape (n_samples, n_features)
            Visible states to start from.

        Returns
        -------
        v_new : ndarray of shape (n_samples, n_features)
            Visible states after the step.
        """
        check_is_fitted(self)
        v = check_data(self, v, reset=False)
        n_samples = v.shape[0]
        hidden = np.zeros((n_samples, self._n_features_out), self._biases[0].dtype)
        with _counting:  # so that calls in two threads never share draws
            self._gibbs_calls += 1
            call = self._gibbs_calls
        key = np.uint64((int(self._key) ^ 0x6762) & (2**64 - 1))
        with self._team(n_samples) as team:
            return inference.gibbs(self._stack(), [v, hidden], 1, n_samples, key, team, call)[0]
