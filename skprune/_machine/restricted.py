"""The base class of restricted Boltzmann machines, which have one hidden layer."""

from __future__ import annotations

import numbers
import threading

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .. import connectivity
from .._support.options import check_number
from .._support.random import new_key
from .._support.stored import check_list, check_whole
from .._support.validation import check_columns, float_type
from ..connectivity import as_dense
from ..samplers import check_negative_phase
from . import inference
from .base import BoltzmannMachine
from .initial import random_weights
from .labels import with_labels
from .levels import Level, read_only

_counting = threading.Lock()


class RestrictedMachine(BoltzmannMachine):
    """Base class of restricted Boltzmann machines: the parameters, the start and the scores.

    Visible units are binary or Gaussian. Labels can be the last binary ones.
    """

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
        """Initialize the weights at random, the biases, the running means and the chains."""
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
        units = self._visible
        means = units.states(inference.column_means(X))
        weights = random_weights(mask, units.state_variances(means), rng)
        biases = [units.first_biases(means, X.shape[0]), np.zeros(n_components)]
        weights, mask, (visible, hidden) = self._first_parameters(weights, mask, biases)
        self._levels = [Level.from_matrix(weights.astype(dtype), mask)]
        self._biases = [visible.astype(dtype), hidden.astype(dtype)]
        self._activity = [means.astype(dtype), np.full(n_components, 0.5, dtype)]
        n_chains = self._wanted_chains()
        self._chains = [None, rng.randint(0, 2, (n_chains, n_components)).astype(np.uint8)]
        self._forget()
        self._step = self._gibbs_calls = 0
        self._key = new_key(rng)

    def _first_parameters(self, weights, mask, biases) -> tuple:
        """Return the initial weights, connections and biases, given random weights."""
        return weights, mask, biases

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
        return self._without_labels(self._visible.data(self._levels[0].matrix()))

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
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If a shape is wrong, a number is not finite, the weight of an absent connection is not
            0, or ``visible_means`` of binary units is outside [0, 1].
        """
        check_is_fitted(self)
        check_columns(self, components, "components")
        check_columns(self, connectivity, "connectivity")
        if self._n_labels and np.shape(components) == self.components_.shape:
            labels = self._levels[0].matrix()[:, -self._n_labels :]
            components = np.hstack([components, labels])
        units = self._visible
        if units.scale is not None:
            components, intercept_visible, visible_means = (
                None if given is None else units.states(as_dense(given))
                for given in (components, intercept_visible, visible_means)
            )
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
        self : object
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
        return read_only(self._visible.data(self._biases[0]))

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

        The probability (density) of a row is p(v) = exp(−F(v)) / Z. For binary units,

        .. math:: F(v) = -b^T v - \\sum_j \\log(1 + e^{c_j + W_j v})

        and for Gaussian units,

        .. math:: F(v) = \\sum_i \\frac{(v_i - b_i)^2}{2 \\sigma_i^2}
            - \\sum_j \\log\\left(1 + e^{c_j + \\sum_i w_{ji} v_i / \\sigma_i^2}\\right)

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data, with values in [0, 1] for binary units.

        Returns
        -------
        free_energy : ndarray of float64 of shape (n_samples,)
            Free energies in nats.
        """
        check_is_fitted(self)
        X = self._read(X)
        with self._team(X.shape[0]) as team:
            free_energies = inference.free_energy(self._stack(), X, team)
        return free_energies + self._visible.log_constants(self._biases[0])[0]

    def score_samples(self, X) -> np.ndarray:
        """Return the log-likelihood of each row, in nats.

        The log-likelihood is −F(v) − log Z. log Z is exact if one of the two layers has at most 20
        binary units. Otherwise it is estimated by annealed importance sampling with 100 chains and 1,000
        temperatures. The estimate depends on the seed of ``fit``, and is kept until the parameters
        change. See :meth:`log_partition` for its uncertainty.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data, with values in [0, 1] for binary units.

        Returns
        -------
        log_likelihood : ndarray of float64 of shape (n_samples,)
            Log-likelihoods in nats.
        """
        return -self.free_energy(X) - self._kept_log_partition().value

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
        v = self._read(v)
        n_samples = v.shape[0]
        hidden = np.zeros((n_samples, self._n_features_out), self._biases[0].dtype)
        with _counting:  # so that calls in two threads never share draws
            self._gibbs_calls += 1
            call = self._gibbs_calls
        key = np.uint64((int(self._key) ^ 0x6762) & (2**64 - 1))
        with self._team(n_samples) as team:
            states = inference.gibbs(self._stack(), [v, hidden], 1, n_samples, key, team, call)[0]
        return self._visible.data(states)
