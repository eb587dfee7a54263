"""The restricted Boltzmann machine."""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from . import connectivity, likelihood
from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.initial import log_odds, random_weights
from ._machine.levels import Level
from ._support.options import check_number
from ._support.random import new_key
from ._support.validation import check_data, float_type
from .samplers import check_negative_phase

__all__ = ["PrunedBernoulliRBM"]

START_SCALE = 0.01  # of weights beside those taken over: a unit of 0 input changes no probability


class PrunedBernoulliRBM(BoltzmannMachine):
    """Restricted Boltzmann machine of binary units whose connections can be pruned.

    A drop-in replacement of :class:`sklearn.neural_network.BernoulliRBM` with
    a likelihood, CD-k and PCD-k, the centred gradient, and a connection graph:
    what is pruned stays exactly zero, costs no time and takes no room.

    .. math:: E(v, h) = -b^T v - c^T h - h^T W v

    with W zero where there is no connection (eq. 1 of Zuo et al. 2019).

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    learning_rate : float, default=0.1
        Step on the mean gradient of a minibatch.
    batch_size : int, default=10
        Rows a minibatch; minibatches of a pass have equal size, within one.
    n_iter : int, default=10
        Passes over the data.
    negative_phase : {"pcd", "cd", "tempering"} or object, default="pcd"
        Persistent chains, chains from the data, persistent chains with
        parallel tempering at ten temperatures
        (:class:`~skprune.samplers.ParallelTempering`), or a sampler of one's
        own (see :mod:`skprune.samplers`).
    n_gibbs_steps : int or (int, int), default=1
        Gibbs steps a minibatch; a pair rises from the first to the last over
        the passes.
    n_chains : int, default=None
        Persistent chains; None takes ``batch_size``, at least 100: fewer make
        the model's part of the gradient noisy. With "cd" there are as many as
        rows.
    momentum : float in [0, 1), default=0.0
    l1, l2 : float, default=0.0
        Penalties on the weights. L1 is a shrinkage after each step (proximal),
        L2 a term of the gradient.
    centered : bool, default=True
        Use the centred gradient (Montavon & Müller 2012; Melchior et al.
        2016): visible and hidden units enter it less their running means.
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor on the rate as a function of progress in [0, 1); "linear" falls
        to 0 over the passes.
    max_norm : float, default=None
        Bound on the norm of the weights of each hidden unit.
    hidden_activity_target : float or (float, float), default=None
        Pull the mean activity of hidden units to this share; a pair adds the
        strength of the pull (0.1 where only the share is given). It acts on the
        hidden biases (Lee et al. 2008).
    dropout : float in [0, 1), default=0.0
        Share of the hidden units that is off in training, drawn for every row
        and chain of a minibatch (Srivastava et al. 2014). Weights are not
        rescaled afterwards: the visible units saw a share of the hidden ones, the hidden ones all of the visible.
    drop_connect : float in [0, 1), default=0.0
        Share of the connections that a minibatch trains without (Wan et al.
        2013); the weights of the others are divided by what is left, so that the fitted machine
        is the mean of those that were trained.
    connectivity : mask, sparse matrix or callable, default=None
        Which connections exist, (n_components, n_features); a callable gets
        (shape, rng). None is full.
    initial_sparsity : float in [0, 1), default=0.0
        Share of the full matrix diluted at random before training.
    transpose_of : FrozenEstimator or None, default=None
        A fitted machine whose hidden units are the visible ones here. This one starts as that one
        upside down, connections included (Hinton, Osindero & Teh 2006): as far as it has visible
        units, the hidden ones here take their weights and biases; others start with weights near 0.
    warm_start : bool, default=False
        Go on from the fitted parameters, connectivity and chains.
    verbose : int, default=0
        1 prints a line a pass, with the pseudo-log-likelihood of the first
        1,000 rows.
    random_state : int, RandomState instance or None, default=None
        The same integer gives the same bits, for any number of threads.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Weights, zero where there is no connection. Of a pruned machine a
        read-only matrix made on demand.
    connectivity_ : list of one ndarray of bool of shape (n_components, n_features)
    intercept_hidden_ : ndarray of shape (n_components,)
    intercept_visible_ : ndarray of shape (n_features,)
    h_samples_ : ndarray of uint8 of shape (n_chains, n_components)
        Hidden states of the chains.
    history_ : dict of ndarray
        One entry a pass: ``learning_rate``, ``n_gibbs_steps``, ``moment_gap``
        (mean difference of visible means, data to chains), ``seconds``, with
        ``verbose`` also ``pseudo_log_likelihood``.
    n_iter_ : int
        Passes run.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    See Also
    --------
    IterativePruner : Prunes this machine while training goes on.

    Notes
    -----
    bool and uint8 data stay as they are; the machine is then float32, as for
    float32 data. For data outside {0, 1} the scores are a conventional
    extension of the formulas.

    References
    ----------
    .. [1] Hinton, "Training products of experts by minimizing contrastive
       divergence", Neural Computation 2002.
    .. [2] Tieleman, "Training restricted Boltzmann machines using
       approximations to the likelihood gradient", ICML 2008.
    .. [3] Desjardins, Courville, Bengio, Vincent, Delalleau, "Parallel tempering for training of
       restricted Boltzmann machines", AISTATS 2010.
    .. [4] Melchior, Fischer, Wiskott, "How to center deep Boltzmann machines",
       JMLR 2016.

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

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self.n_components, "n_components", numbers.Integral, low=1)
        check_number(self.dropout, "dropout", low=0, high=1, closed="left")
        check_number(self.drop_connect, "drop_connect", low=0, high=1, closed="left")
        check_number(self.initial_sparsity, "initial_sparsity", low=0, high=1, closed="left")
        phase = check_negative_phase(self.negative_phase)
        if self.dropout and phase.chains == "own":
            raise ValueError(
                "dropout is not possible with a negative phase that moves the chains itself; use "
                "'pcd' or 'cd', or dropout=0."
            )

    def _initialize(self, X, rng):
        """Set random weights, log-odds as visible biases, and random chains."""
        dtype = float_type(X)
        shape = (self.n_components, X.shape[1])
        mask = connectivity.from_option(self.connectivity, shape, rng)
        if self.initial_sparsity:
            n_kept = mask.size - round(self.initial_sparsity * mask.size)
            if n_kept == 0:
                raise ValueError(
                    f"initial_sparsity={self.initial_sparsity} leaves none of the {mask.size} "
                    "connections; use a lower one."
                )
            scores = rng.uniform(size=shape)
            mask = connectivity.keep_best(scores, min(n_kept, int(mask.sum())), mask)
        means = inference.column_means(X)
        weights, visible = random_weights(mask, means, rng), log_odds(means, X.shape[0])
        hidden = np.zeros(self.n_components)
        if self.transpose_of is not None:
            below = self._machine_below(shape)
            n_taken, mask = below.n_features_in_, mask.copy()
            mask[:n_taken] &= below.connectivity_[0].T
            weights = np.concatenate([below.components_.T, START_SCALE * weights[n_taken:]]) * mask
            visible, hidden[:n_taken] = below.intercept_hidden_, below.intercept_visible_
        self._levels = [Level.from_matrix(weights.astype(dtype), mask)]
        self._biases = [visible.astype(dtype), hidden.astype(dtype)]
        self._activity = [means.astype(dtype), np.full(self.n_components, 0.5, dtype)]
        n_chains = self._wanted_chains()
        self._chains = [None, rng.randint(0, 2, (n_chains, self.n_components)).astype(np.uint8)]
        self._velocity = self._log_partition = None
        self._step = self._gibbs_calls = 0
        self._key = new_key(rng)

    def _machine_below(self, shape):
        """The machine that this one starts from, upside down."""
        below = getattr(self.transpose_of, "estimator", None)
        if not isinstance(self.transpose_of, FrozenEstimator) or not isinstance(
            below, PrunedBernoulliRBM
        ):
            raise TypeError(
                "transpose_of must be a FrozenEstimator of a fitted PrunedBernoulliRBM, got "
                f"{self.transpose_of!r}."
            )
        check_is_fitted(below)
        n_hidden, n_visible = below.components_.shape
        if n_hidden != shape[1]:
            raise ValueError(
                f"transpose_of has {n_hidden} hidden units, X has {shape[1]} features: the hidden "
                "units of the machine below must be the visible ones here."
            )
        if n_visible > shape[0]:
            raise ValueError(
                f"n_components={shape[0]} is too few for the {n_visible} visible units of "
                "transpose_of, which become hidden ones here."
            )
        return below

    def connectivity_parameters(self, masks) -> dict:
        """Return the parameters with which a new machine starts with these connections.

        Parameters
        ----------
        masks : list of one ndarray of bool of shape (n_components, n_features)

        Returns
        -------
        parameters : dict
        """
        return {"connectivity": masks[0], "initial_sparsity": 0.0}

    def _set_sizes(self, sizes):
        self.n_components = sizes[0]
        if self.connectivity is not None:
            self.connectivity = self._levels[0].mask()

    # ----------------------------------------------------------- fitted state

    @property
    def components_(self) -> np.ndarray:
        """Weights (n_components, n_features), zero where there is no connection."""
        check_is_fitted(self)
        return self._levels[0].matrix()

    @property
    def intercept_visible_(self) -> np.ndarray:
        """Biases of the visible units."""
        check_is_fitted(self)
        return self._biases[0]

    @property
    def intercept_hidden_(self) -> np.ndarray:
        """Biases of the hidden units."""
        check_is_fitted(self)
        return self._biases[1]

    @property
    def h_samples_(self) -> np.ndarray:
        """Hidden states of the chains."""
        check_is_fitted(self)
        return self._chains[1]

    @property
    def _n_features_out(self) -> int:
        return self._biases[1].size

    # ----------------------------------------------------------------- scores

    def free_energy(self, X) -> np.ndarray:
        """Return F(v) in nats; p(v) = exp(−F(v)) / Z.

        .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        free_energy : ndarray of float64 of shape (n_samples,)
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        with self._team(X.shape[0]) as team:
            return inference.free_energy(self._stack(), X, team)

    def score_samples(self, X) -> np.ndarray:
        """Return the log-likelihood −F(v) − log Z of every row, in nats.

        log Z is exact where one side has at most 20 units, else estimated by
        AIS (100 chains, 1,000 temperatures) once for the fitted parameters,
        with a key from the seed, and kept. See :meth:`log_partition` for its
        uncertainty.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of float64 of shape (n_samples,)
        """
        return -self.free_energy(X) - self._kept_log_partition().value

    def pseudo_log_likelihood(self, X) -> np.ndarray:
        """Return sum_i log p(v_i | rest) of every row, over all bits, in nats.

        A cheap, deterministic proxy; no likelihood.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        pseudo_log_likelihood : ndarray of float64 of shape (n_samples,)
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        with self._team(float(X.shape[0]) * X.shape[1]) as team:
            return likelihood.pseudo_log_likelihood(self._stack(), X, team)

    def gibbs(self, v) -> np.ndarray:
        """Return the visible states after one Gibbs step from ``v``.

        Successive calls go on in one stream of random numbers.

        Parameters
        ----------
        v : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        v_new : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        v = check_data(self, v, reset=False)
        n_samples = v.shape[0]
        hidden = np.zeros((n_samples, self._n_features_out), self._biases[0].dtype)
        self._gibbs_calls += 1
        key = np.uint64((int(self._key) ^ 0x6762) & (2**64 - 1))
        with self._team(n_samples) as team:
            return inference.gibbs(
                self._stack(), [v, hidden], 1, n_samples, key, team, self._gibbs_calls
            )[0]
