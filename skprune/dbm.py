"""Deep Boltzmann machines, in which all levels are undirected and trained together."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.special import entr
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from . import connectivity
from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.directed import means_below
from ._machine.initial import full_level_parameters
from ._machine.levels import Level, optional_list, read_only, stack_of
from ._support.options import check_layer_sizes, check_number
from ._support.random import new_key
from ._support.threads import blocks
from ._support.validation import (
    check_codes,
    check_columns,
    check_data,
    check_incomplete,
    check_same_features,
    float_type,
)
from ._training.doubling import check_frozen_shapes, pretrained_levels, random_levels
from ._training.unrolling import levels_of_dbm
from .rbm import PrunedBernoulliRBM
from .samplers import check_negative_phase

__all__ = ["DBMTransformer"]


class DBMTransformer(BoltzmannMachine):
    """Deep Boltzmann machine of binary units whose connections can be pruned.

    .. math:: E(s) = -\\sum_l b_l^T s_l - \\sum_l s_{l+1}^T W_l s_l

    Here s_0 is the visible layer and s_l is hidden layer l. The levels can be pre-trained one by
    one. Then all levels are trained together: the statistics of the data are computed by mean
    field, and those of the model by persistent chains (Salakhutdinov & Hinton 2009). With the
    centred gradient, a machine can also be trained without pre-training (Montavon & Müller 2012).

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100, 50)
        Number of units of each hidden layer, lowest layer first.
    connectivity : list or None, default=None
        One entry per level, lowest level first. An entry is None (all connections exist), a
        boolean mask of shape (n_upper, n_lower), a sparse matrix, or a callable
        ``(shape, rng) -> mask``. Functions such as :func:`~skprune.connectivity.receptive_fields`
        make masks. If None, all connections of all levels exist.
    pretrain : bool, estimator or list of estimators, default=True
        Whether and how the levels are trained one by one before joint training:

        - True: train a :class:`PrunedBernoulliRBM` per level, with CD-1, ten passes, and the
          ``learning_rate``, ``batch_size`` and ``l2`` of this machine.
        - False: start from random weights.
        - an estimator: the template of the machine that trains each level.
        - a list: one template per level, lowest level first. The last entries may be None. Their
          levels start from random weights with a standard deviation of 0.01, and the levels below
          are trained as if there were no others. ``[machine, None]`` starts as that machine alone.

        A fitted machine in a :class:`~sklearn.frozen.FrozenEstimator` is used as it is, with the
        connections it has. If two or more levels are pre-trained, the first machine has every
        visible unit twice and the last machine has every hidden unit twice. The weights of the
        machines in between are halved. This way, no unit counts its inputs twice when the levels
        are combined. To show progress, set ``verbose`` in a template. The first call of
        ``partial_fit`` also pre-trains, on the rows that are passed to it.
    learning_rate : float, default=0.05
        Step size. It multiplies the mean gradient of a minibatch.
    batch_size : int, default=50
        Number of rows per minibatch. Within a pass, minibatch sizes differ by at most one row.
    n_iter : int, default=10
        Number of passes over the data in joint training.
    negative_phase : {"pcd", "tempering"} or object, default="pcd"
        How states of the model are sampled for the gradient. "pcd" uses persistent chains,
        "tempering" uses persistent chains with parallel tempering at ten temperatures, and an
        object is a custom sampler (see :mod:`skprune.samplers`).
    n_gibbs_steps : int or (int, int), default=5
        Number of Gibbs steps per minibatch. For a pair, the number changes linearly from the first
        value to the last over the passes.
    n_chains : int, default=None
        Number of persistent chains. If None, it is ``batch_size``, but at least 100.
    mean_field_tolerance : float, default=1e-4
        Mean-field updates of a row stop when no unit of the row changes by more than this.
    max_mean_field_updates : int, default=50
        Maximum number of mean-field updates per row.
    momentum : float in [0, 1), default=0.0
        Momentum of the gradient steps.
    l1 : float, default=0.0
        L1 penalty on the weights, applied as a proximal shrinkage after each step.
    l2 : float, default=0.0
        L2 penalty on the weights, applied as a term of the gradient.
    centered : bool, default=True
        If True, use the centred gradient, which subtracts running means from all units.
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
        Factor of the learning rate. "linear" decreases it to 0 over the passes. A callable maps
        the progress of training, in [0, 1), to the factor.
    max_norm : float, default=None
        Maximum Euclidean norm of the weights from the layer below into each hidden unit. If None,
        norms are not bounded.
    hidden_activity_target : float or (float, float), default=None
        Target for the mean activity of each hidden unit, between 0 and 1. The hidden biases are
        moved towards it. A pair also sets the strength of this pull, which is 0.1 otherwise. If
        None, there is no target.
    warm_start : bool, default=False
        If True, ``fit`` continues joint training from the fitted parameters, connectivity and
        chains.
    verbose : int, default=0
        If 1, print one line per pass of joint training.
    random_state : int, RandomState instance or None, default=None
        Determines the random weights, the order of the rows and the chains. Pass an int for
        reproducible results.

    Attributes
    ----------
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights of the levels, lowest level first. They are zero for absent connections.
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Mask of each level, lowest level first. It is True where a connection exists.
    intercepts_ : list of ndarray
        Biases of the layers, visible layer first.
    history_ : dict of ndarray
        One value per pass of ``learning_rate``, ``n_gibbs_steps``, ``moment_gap`` and
        ``seconds``. ``moment_gap`` is the mean absolute difference between the visible means of
        the data and of the chains.
    n_iter_ : int
        Number of passes in the last call of ``fit`` or ``partial_fit``.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of str
        Names of the features seen during ``fit``. Defined only if X has feature names that are all
        strings.

    See Also
    --------
    SparseDBNClassifier : Unroll a machine with one or two hidden layers into a classifier.

    References
    ----------
    .. [1] Salakhutdinov, Hinton, "Deep Boltzmann machines", AISTATS 2009.
    .. [2] Montavon, Müller, "Deep Boltzmann machines and the centering trick", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import DBMTransformer
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 8))
    >>> dbm = DBMTransformer((6, 4), random_state=0).fit(X)
    >>> dbm.transform(X).shape
    (100, 4)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100, 50),
        *,
        connectivity: Sequence | None = None,
        pretrain: bool | BaseEstimator | Sequence = True,
        learning_rate: float = 0.05,
        batch_size: int = 50,
        n_iter: int = 10,
        negative_phase: str | object = "pcd",
        n_gibbs_steps: int | tuple[int, int] = 5,
        n_chains: int | None = None,
        mean_field_tolerance: float = 1e-4,
        max_mean_field_updates: int = 50,
        momentum: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        centered: bool = True,
        learning_rate_schedule: str | Callable[[float], float] = "linear",
        max_norm: float | None = None,
        hidden_activity_target: float | tuple[float, float] | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.connectivity = connectivity
        self.pretrain = pretrain
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.negative_phase = negative_phase
        self.n_gibbs_steps = n_gibbs_steps
        self.n_chains = n_chains
        self.mean_field_tolerance = mean_field_tolerance
        self.max_mean_field_updates = max_mean_field_updates
        self.momentum = momentum
        self.l1 = l1
        self.l2 = l2
        self.centered = centered
        self.learning_rate_schedule = learning_rate_schedule
        self.max_norm = max_norm
        self.hidden_activity_target = hidden_activity_target
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    # --------------------------------------------------------------- training

    def _check_parameters(self):
        super()._check_parameters()
        self._sizes()
        if not isinstance(self.pretrain, bool):
            for template in self._templates():
                is_frozen = isinstance(template, FrozenEstimator)
                machine = template.estimator if is_frozen else template
                if not isinstance(machine, PrunedBernoulliRBM):
                    raise TypeError(
                        "pretrain must be True, False, a PrunedBernoulliRBM or a list with one per "
                        f"level, got {template!r}. Only the last entries of a list may be None."
                    )
                if is_frozen:
                    check_is_fitted(machine)
                else:
                    machine.planned_levels()
                if machine.initial_sparsity and not is_frozen:
                    raise ValueError(
                        "A machine in pretrain must have initial_sparsity=0. Pass the masks of the "
                        "levels as connectivity instead."
                    )
        self._check_mean_field()
        if check_negative_phase(self.negative_phase).chains == "data":
            raise ValueError(
                "Deep machines need persistent chains, because the data do not determine the "
                "states of all hidden layers. Use negative_phase='pcd' or 'tempering'."
            )

    @property
    def _n_levels(self) -> int:
        return len(self._sizes())

    def _sizes(self) -> list:
        sizes, connectivity = check_layer_sizes(self.hidden_layer_sizes), self.connectivity
        if connectivity is not None and (
            not isinstance(connectivity, list | tuple) or len(connectivity) != len(sizes)
        ):
            raise ValueError(
                f"connectivity must be a list with one entry for each of the {len(sizes)} levels. "
                "Use None for a level in which all connections exist."
            )
        return sizes

    def _templates(self) -> list:
        """Return the template of each level that is pre-trained, lowest level first."""
        if isinstance(self.pretrain, list | tuple):
            if len(self.pretrain) != self._n_levels:
                raise ValueError(
                    f"pretrain has {len(self.pretrain)} machines for {self._n_levels} levels. Pass "
                    "one machine for all levels, or one per level."
                )
            templates = list(self.pretrain)
            while len(templates) > 1 and templates[-1] is None:
                templates.pop()
            return templates
        template = self.pretrain
        if template is True:
            template = PrunedBernoulliRBM(
                negative_phase="cd", learning_rate=self.learning_rate, batch_size=self.batch_size,
                l2=self.l2,
            )  # fmt: skip
        return [template] * self._n_levels

    def planned_levels(self, n_features=None) -> list:
        """Check the parameters, and return the shapes of the levels that ``fit`` would make.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known, and what depends on
            it is not checked.

        Returns
        -------
        shapes : list of (int, int or None)
            (n_upper, n_lower) of each level, lowest level first.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """
        self._check_parameters()
        sizes = [n_features, *self._sizes()]
        shapes = [(upper, lower) for lower, upper in pairwise(sizes)]
        for shape, mask in zip(shapes, self.connectivity or [], strict=False):
            if not (mask is None or callable(mask) or shape[1] is None):
                connectivity.check_mask(mask, shape)
        if self.pretrain is not False:
            check_frozen_shapes(self._templates(), shapes)
        return shapes

    def connectivity_parameters(self, masks) -> dict:
        """Return parameters that make a new machine start with these connections.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            One mask per level, lowest level first.

        Returns
        -------
        parameters : dict
            Parameters for ``set_params``.
        """
        return {"connectivity": masks, **full_level_parameters(self)}

    def _set_sizes(self, sizes):
        self.hidden_layer_sizes = tuple(sizes)
        if self.connectivity is not None:
            self.connectivity = self.connectivity_

    def _mean_field_limits(self):
        if len(self._levels) == 1:
            return None
        self._check_mean_field()
        return float(self.mean_field_tolerance), int(self.max_mean_field_updates)

    def _check_mean_field(self):
        """Validate the limits of the mean field, which may be set after ``fit``."""
        check_number(self.mean_field_tolerance, "mean_field_tolerance", low=0)
        check_number(self.max_mean_field_updates, "max_mean_field_updates", numbers.Integral, low=1)

    def _initialize(self, X, rng):
        """Initialize the levels from pre-trained machines or at random, and the chains."""
        self.planned_levels(X.shape[1])
        dtype = float_type(X)
        sizes = [X.shape[1], *self._sizes()]
        options = self.connectivity or [None] * (len(sizes) - 1)
        names = getattr(self, "feature_names_in_", None)
        masks = [
            connectivity.from_option(option, (upper, lower), rng, None if number else names)
            for number, (option, (lower, upper)) in enumerate(
                zip(options, pairwise(sizes), strict=True)
            )
        ]
        levels = []
        if self.pretrain is not False:
            check_same_features(self, getattr(self._templates()[0], "estimator", None))
            levels = pretrained_levels(self._templates(), X, masks, rng)
        levels += random_levels(X, masks, levels, rng)
        n_levels = len(masks)
        self._levels = [
            Level.from_matrix(matrix.astype(dtype), mask)
            for (matrix, _, _), mask in zip(levels, masks, strict=True)
        ]
        biases = [levels[0][1]]
        for number in range(n_levels):
            below = levels[number][2]
            above = levels[number + 1][1] if number + 1 < n_levels else below
            biases.append((below + above) / 2)
        self._biases = [bias.astype(dtype) for bias in biases]
        self._activity = [inference.column_means(X).astype(dtype)]
        self._activity += [np.full(size, 0.5, dtype) for size in sizes[1:]]
        n_chains = self._wanted_chains()
        self._chains = [
            rng.randint(0, 2, (n_chains, size)).astype(np.uint8) if number % 2 else None
            for number, size in enumerate(sizes)
        ]
        self._forget()
        self._step = 0
        self._key = new_key(rng)

    # --------------------------------------------------------------- unrolling

    def check_unrolling(self, decoder=False):
        """Raise an error before training if the machine cannot be unrolled into a network.

        Parameters
        ----------
        decoder : bool, default=False
            Whether the network is an autoencoder.

        Raises
        ------
        ValueError
            If the network is an autoencoder, or the machine has more than two hidden layers.
        """
        if decoder:
            raise ValueError(
                "A DBMTransformer can be unrolled into a classifier, but not into an autoencoder. "
                "Use a SparseDBN instead."
            )
        n_layers = len(check_layer_sizes(self.hidden_layer_sizes))
        if n_layers > 2:
            raise ValueError(
                "A DBMTransformer can only be unrolled if it has one or two hidden layers, got "
                f"{n_layers}. Use fewer layers, or a SparseDBN."
            )

    def unrolled(self) -> tuple:
        """Return the levels of the feed-forward network into which this machine is unrolled.

        Returns
        -------
        levels : list of FeedForwardLevel
            Lowest level first. With two hidden layers, the first level reads the data and the
            posterior of the second layer.
        machine : DBMTransformer
            A copy of this machine, which computes the input of the network.
        """
        check_is_fitted(self)
        return levels_of_dbm(self), deepcopy(self)

    @property
    def n_network_inputs(self) -> int:
        """Number of columns of :meth:`network_input`."""
        return self.n_features_in_ + (self._biases[2].size if len(self._levels) == 2 else 0)

    def network_input(self, X):
        """Return the input of the network of :meth:`unrolled`.

        Parameters
        ----------
        X : {ndarray, csr_array} of shape (n_samples, n_features)
            Validated data.

        Returns
        -------
        X : ndarray of shape (n_samples, n_inputs)
            With two hidden layers, the data joined with the posterior of the second layer.
        """
        if len(self._levels) == 1:
            return X
        rows = X.toarray() if sparse.issparse(X) else X
        posterior = self._means(X)[1]
        return np.hstack([rows.astype(posterior.dtype), posterior])

    # ------------------------------------------------------------ fitted state

    @property
    def components_(self) -> list:
        """Weights (n_upper, n_lower) of the levels, lowest level first, built on each access."""
        check_is_fitted(self)
        return [level.matrix() for level in self._levels]

    @components_.setter
    def components_(self, components):
        self.set_parameters(components)

    def set_parameters(
        self, components=None, *, intercepts=None, connectivity=None, visible_means=None
    ):
        """Replace fitted parameters.

        Momentum and the stored log Z are deleted. The means of the units are replaced, see
        ``visible_means``. Assignment to ``components_`` or ``intercepts_`` calls this method.

        Parameters
        ----------
        components : list of {array-like, sparse matrix} of shape (n_upper, n_lower), default=None
            New weights of each level, lowest level first. Those of absent connections must be 0.
            If None or for an entry of None, keep the weights.
        intercepts : list of array-like of shape (n_units,), default=None
            New biases of each layer, visible layer first. If None or for an entry of None, keep
            the biases.
        connectivity : list of {array-like, sparse matrix} of bool of shape (n_upper, n_lower), \
default=None
            New mask of each level, lowest level first. If None or for an entry of None, keep the
            connections.
        visible_means : array-like of shape (n_features,), default=None
            Means of the data, from which chains and annealed importance sampling start. If None,
            they are estimated from tempered chains of the machine when they are needed.

        Returns
        -------
        self : DBMTransformer
            The estimator itself.

        Raises
        ------
        ValueError
            If the length of a list or a shape is wrong, a number is not finite, the weight of an
            absent connection is not 0, or ``visible_means`` is outside [0, 1].
        """
        check_is_fitted(self)
        n_levels = len(self._levels)
        components = optional_list(components, n_levels, "components")
        connectivity = optional_list(connectivity, n_levels, "connectivity")
        check_columns(self, components[0], "components")
        check_columns(self, connectivity[0], "connectivity")
        intercepts = optional_list(intercepts, n_levels + 1, "intercepts")
        return self._set_parameters(components, intercepts, connectivity, visible_means)

    @property
    def intercepts_(self) -> list:
        """Biases of the layers, visible layer first."""
        check_is_fitted(self)
        return [read_only(bias) for bias in self._biases]

    @intercepts_.setter
    def intercepts_(self, intercepts):
        self.set_parameters(intercepts=intercepts)

    @property
    def _n_features_out(self) -> int:
        return self._biases[-1].size

    # ---------------------------------------------------- features and scores

    def layer_means(self, X) -> list:
        """Return the mean-field probabilities of each hidden layer.

        The result of a row does not depend on the other rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        means : list of ndarray of shape (n_samples, n_units)
            One array per hidden layer, lowest layer first.
        """
        check_is_fitted(self)
        return self._means(check_data(self, X, reset=False))

    def _means(self, X) -> list:
        """Return the mean-field probabilities of each hidden layer for validated data."""
        self._check_mean_field()
        with self._team(X.shape[0]) as team:
            return inference.mean_field(
                self._stack(),
                X,
                team,
                float(self.mean_field_tolerance),
                int(self.max_mean_field_updates),
            )

    def transform(self, X, level=None):
        """Return the mean-field probabilities of a hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        level : int, default=None
            Number of the hidden layer, counted from 1. If None, return the top layer. The names
            from :meth:`get_feature_names_out` are those of the top layer. For another layer, use
            :meth:`layer_means` if ``set_output`` is configured.

        Returns
        -------
        features : ndarray of shape (n_samples, n_units)
            Mean-field probabilities of the layer.
        """
        check_is_fitted(self)
        if level is not None:
            level = check_number(level, "level", numbers.Integral, low=1, high=len(self._levels))
        return self.layer_means(X)[-1 if level is None else level - 1]

    def inverse_transform(self, H):
        """Return probabilities of the visible units from those of the top layer.

        They are computed in one pass down. Intermediate layers receive no input from below in this
        pass, so their input from above counts twice.

        Parameters
        ----------
        H : array-like of shape (n_samples, n_units)
            Probabilities of the top layer.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Probabilities of the visible units.
        """
        check_is_fitted(self)
        H = check_codes(self, H, self._n_features_out)
        with self._team(H.shape[0]) as team:
            for number in range(len(self._levels) - 1, -1, -1):
                stack = stack_of([self._levels[number]], self._biases[number : number + 2])
                H = means_below(stack, 2 * H if number else H, team)
        return H

    def lower_bound(self, X) -> np.ndarray:
        """Return a variational lower bound on log p(v) + log Z for each row, in nats.

        .. math:: \\sum_l b_l^T \\mu_l + \\sum_l \\mu_{l+1}^T W_l \\mu_l + \\sum_{l>0} H(\\mu_l)

        Here μ_0 is the row, μ_l are the mean-field probabilities of hidden layer l, and H is the
        entropy. The bound is exact for a machine with one hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats. Subtract log Z to get bounds on the log-likelihood.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        means = self._means(X)
        stack = self._stack()
        dtype = self._biases[0].dtype

        def one_block(block):
            layers = [inference.rows_of(X, block, dtype), *(mean[block] for mean in means)]
            total = -inference.energy(stack, *layers)
            for layer in layers[1:]:
                layer = layer.astype(np.float64)
                total += (entr(layer) + entr(1 - layer)).sum(axis=1)
            return total

        with self._team(X.shape[0]) as team:
            return np.concatenate(team.map(one_block, blocks(X.shape[0])))

    def score_samples(self, X) -> np.ndarray:
        """Return a variational lower bound on the log-likelihood of each row, in nats.

        The result is :meth:`lower_bound` minus log Z. log Z is exact if the odd or the even layers
        have at most 20 units in total. Otherwise it is estimated by annealed importance sampling,
        and kept until the parameters change.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats.
        """
        return self.lower_bound(X) - self._kept_log_partition().value

    def complete(self, X, tolerance=1e-4, max_updates=500) -> np.ndarray:
        """Replace missing values by their mean-field probabilities.

        To draw missing values instead, use ``sample(len(X), clamped=X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. NaN, None and ``pandas.NA`` mark missing values.
        tolerance : float, default=1e-4
            The missing values of a row start from the means of the training data. Their updates
            stop when none changes by more than this.
        max_updates : int, default=500
            Maximum number of updates per row.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Copy of the data without missing values.
        """
        check_is_fitted(self)
        tolerance = check_number(tolerance, "tolerance", low=0, closed="right")
        max_updates = check_number(max_updates, "max_updates", numbers.Integral, low=1)
        X = check_incomplete(self, X)
        missing = np.isnan(X)
        filled = np.where(missing, self.activity_[0], X).astype(self._biases[0].dtype)
        bottom = stack_of(self._levels[:1], self._biases[:2])
        rows = np.flatnonzero(missing.any(axis=1))
        for _ in range(max_updates):
            if not rows.size:
                break
            above = self._means(filled[rows])[0]
            with self._team(rows.size) as team:
                below = means_below(bottom, above, team)
            new = np.where(missing[rows], below, filled[rows])
            moved = np.abs(new - filled[rows]).max(axis=1)
            filled[rows] = new
            rows = rows[moved > tolerance]
        return filled
