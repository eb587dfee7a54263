"""Deep Boltzmann machines: every layer is undirected, and trained together with its neighbours."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from scipy.special import entr
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from . import connectivity
from ._machine import inference
from ._machine.base import BoltzmannMachine
from ._machine.directed import means_below
from ._machine.initial import full_level_parameters, log_odds, random_weights
from ._machine.levels import Level, stack_of
from ._support.options import check_layer_sizes, check_number
from ._support.random import new_key, new_seeds
from ._support.threads import blocks
from ._support.validation import check_codes, check_data, float_type
from .rbm import PrunedBernoulliRBM
from .samplers import check_negative_phase

__all__ = ["DBMTransformer"]


class DBMTransformer(BoltzmannMachine):
    """Deep Boltzmann machine of binary units whose connections can be pruned.

    .. math:: E(s) = -\\sum_l b_l^T s_l - \\sum_l s_{l+1}^T W_l s_l

    with s_0 the visible units. Levels may be pre-trained one by one; then all are
    trained together, the data's statistics by mean field, the model's by
    persistent chains (Salakhutdinov & Hinton 2009). The centred gradient
    makes it train without pre-training, too (Montavon & Müller 2012).

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(100, 50)
        Units of the hidden layers, bottom first.
    connectivity : list or None, default=None
        One entry a level: None for all connections, a boolean mask (n_upper, n_lower), a
        sparse matrix, or a callable ``(shape, rng) -> mask``, as
        :func:`~skprune.connectivity.receptive_fields` makes them.
    pretrain : bool, estimator or list of estimators, default=True
        Train the levels one by one first. An estimator is the template of the machine of a level,
        a list holds one a level; True takes a :class:`PrunedBernoulliRBM` with CD-1, ten passes, and
        this machine's learning rate, batch size and L2. The first machine sees its inputs twice, the
        last one has its hidden units twice, the weights of those in between are halved, so
        that no unit counts its inputs twice when the levels are put together. A list may end
        in None: these levels start from small random weights (0.01), and the machines below as if they
        were all; ``[machine, None]`` starts as that machine alone. A fitted machine in a
        :class:`~sklearn.frozen.FrozenEstimator` is taken as it is, with the connections it has. Progress of
        the levels is shown where a template has ``verbose``. The first ``partial_fit``
        pre-trains, too, on the rows that it is given.
    learning_rate : float, default=0.05
    batch_size : int, default=50
    n_iter : int, default=10
        Passes over the data in joint training.
    negative_phase : {"pcd", "tempering"} or object, default="pcd"
        Persistent chains, as in :class:`PrunedBernoulliRBM`.
    n_gibbs_steps : int or (int, int), default=5
    n_chains : int, default=None
        None is the batch size, at least 100.
    mean_field_tolerance : float, default=1e-4
        A row's mean field stops when no unit of it moves by more.
    max_mean_field_updates : int, default=50
    momentum, l1, l2 : float, default=0.0
    centered : bool, default=True
    learning_rate_schedule : {"linear", "constant"} or callable, default="linear"
    max_norm : float, default=None
    hidden_activity_target : float or (float, float), default=None
        This and the ones before as in :class:`PrunedBernoulliRBM`.
    warm_start : bool, default=False
        Go on with joint training from the fitted parameters and chains.
    verbose : int, default=0
        1 prints a line a pass.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : list of ndarray of shape (n_upper, n_lower)
        Weights of the levels, bottom first.
    connectivity_ : list of ndarray of bool
    intercepts_ : list of ndarray
        Biases of the layers, visible first.
    history_ : dict of ndarray
        One entry a pass: ``learning_rate``, ``n_gibbs_steps``, ``moment_gap``, ``seconds``.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str

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
                        "pretrain must be True, False, a PrunedBernoulliRBM or a list of one a level, "
                        f"None only after the last of them, got {template!r}."
                    )
                if machine.initial_sparsity and not is_frozen:
                    raise ValueError(
                        "The machine in pretrain cannot dilute a level; set initial_sparsity=0 there, "
                        "and give the masks as connectivity."
                    )
        check_number(self.mean_field_tolerance, "mean_field_tolerance", low=0)
        check_number(self.max_mean_field_updates, "max_mean_field_updates", numbers.Integral, low=1)
        if check_negative_phase(self.negative_phase).chains == "data":
            raise ValueError(
                "Deep machines need persistent chains: the data say nothing of the layers above the "
                "first. Use negative_phase='pcd' or 'tempering'."
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
                f"connectivity must be a list with an entry for each of the {len(sizes)} levels, None "
                "where all connections exist."
            )
        return sizes

    def _templates(self) -> list:
        """The machine of every level that is trained alone, unfitted, bottom first."""
        if isinstance(self.pretrain, list | tuple):
            if len(self.pretrain) != self._n_levels:
                raise ValueError(
                    f"pretrain has {len(self.pretrain)} machines for {self._n_levels} levels; give one, "
                    "or one a level."
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

    def connectivity_parameters(self, masks) -> dict:
        """Return the parameters with which a new machine starts with these connections.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            One per level, lowest level first.

        Returns
        -------
        parameters : dict
        """
        return {"connectivity": masks, **full_level_parameters(self)}

    def _set_sizes(self, sizes):
        self.hidden_layer_sizes = tuple(sizes)
        if self.connectivity is not None:
            self.connectivity = self.connectivity_

    def _mean_field_limits(self):
        if len(self._levels) == 1:
            return None
        return self.mean_field_tolerance, self.max_mean_field_updates

    def _initialize(self, X, rng):
        """Set random weights, or those of machines trained one by one."""
        dtype = float_type(X)
        sizes = [X.shape[1], *self._sizes()]
        options = self.connectivity or [None] * (len(sizes) - 1)
        masks = [
            connectivity.from_option(option, (upper, lower), rng)
            for option, lower, upper in zip(options, sizes[:-1], sizes[1:], strict=True)
        ]
        levels = []
        if self.pretrain is not False:
            levels = self._pretrained_levels(X, masks, rng)
        levels += self._random_levels(X, masks, levels, rng)
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
        self._velocity = self._log_partition = None
        self._step = 0
        self._key = new_key(rng)

    def _random_levels(self, X, masks, below, rng) -> list:
        """(weights, lower biases, upper biases) of the levels above those ``below``: small, and log-odds of the data."""
        means, levels = inference.column_means(X), []
        lower = below[-1][2] if below else log_odds(means, X.shape[0])
        for mask in masks[len(below) :]:
            n_upper = mask.shape[0]
            if below:  # small, and its mean input taken off: what was trained stays what it is
                matrix = rng.normal(0, 0.01, mask.shape) * mask
                lower = lower - matrix.sum(axis=0)  # biases of both sides will be averaged
            else:
                matrix = random_weights(mask, means, rng)
            levels.append((matrix, lower, np.zeros(n_upper)))
            means, lower = np.full(n_upper, 0.5), np.zeros(n_upper)
        return levels

    def _pretrained_levels(self, X, masks, rng) -> list:
        """The same of machines trained one by one, with doubled units at the ends.

        The mask of a frozen machine's level loses the connections that the machine does not have.
        """
        levels, below = [], X
        templates = self._templates()
        last = len(templates) - 1
        for number, template in enumerate(templates):
            mask, given, share = masks[number], below, 1
            n_upper, n_lower = mask.shape
            if isinstance(template, FrozenEstimator):
                machine = template.estimator
                check_is_fitted(machine)
                if machine.connectivity_[0].shape != mask.shape:
                    raise ValueError(
                        f"The frozen machine of level {number + 1} has weights of shape "
                        f"{machine.connectivity_[0].shape}, the level needs {mask.shape}. Change "
                        "hidden_layer_sizes, or train the machine on what the level reads."
                    )
                masks[number] = mask = mask & machine.connectivity_[0]
            else:
                doubled_below = number == 0 and last > 0
                doubled_above = number == last and last > 0
                tiles = (2, 1) if doubled_above else (1, 2) if doubled_below else (1, 1)
                share = 2 if last > 0 and not (doubled_below or doubled_above) else 1
                given = _twice(below) if doubled_below else below
                machine = clone(template).set_params(
                    n_components=n_upper * tiles[0], connectivity=np.tile(mask, tiles)
                )
                machine.set_params(**new_seeds(machine, rng))
                n_iter = machine.n_iter
                machine.set_params(n_iter=0).fit(given)
                _tie(machine, tiles)
                machine.set_params(n_iter=n_iter, warm_start=True).fit(given)
                _tie(machine, tiles)
            matrix = machine.components_[:n_upper, :n_lower] / share
            levels.append(
                (
                    matrix, machine.intercept_visible_[:n_lower].copy(),
                    machine.intercept_hidden_[:n_upper].copy(),
                )
            )  # fmt: skip
            if number < last:
                with machine._team(given.shape[0]) as team:
                    means = inference.mean_field(machine._stack(), given, team)[-1]
                below = np.ascontiguousarray(means[:, :n_upper])
        return levels

    # ------------------------------------------------------------ fitted state

    @property
    def components_(self) -> list:
        """Weights (n_upper, n_lower) of the levels, bottom first; made on demand."""
        check_is_fitted(self)
        return [level.matrix() for level in self._levels]

    @property
    def intercepts_(self) -> list:
        """Biases of the layers, visible first."""
        check_is_fitted(self)
        return self._biases

    @property
    def _n_features_out(self) -> int:
        return self._biases[-1].size

    # ---------------------------------------------------- features and scores

    def layer_means(self, X) -> list:
        """Return the mean-field probabilities of every hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        means : list of ndarray of shape (n_samples, n_units)
            Bottom first. A row's updates stop by that row alone, whatever others there are.
        """
        check_is_fitted(self)
        return self._means(check_data(self, X, reset=False))

    def _means(self, X) -> list:
        """Mean field of every hidden layer, given validated rows."""
        with self._team(X.shape[0]) as team:
            return inference.mean_field(
                self._stack(), X, team, self.mean_field_tolerance, self.max_mean_field_updates
            )

    def transform(self, X, level=None):
        """Return the mean-field probabilities of the top layer, or of another.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        level : int, default=None
            The hidden layer asked for, from 1; None is the top one, which
            :meth:`get_feature_names_out` names. With ``set_output``, ask
            :meth:`layer_means` for another.

        Returns
        -------
        features : ndarray of shape (n_samples, n_components of the layer)
        """
        check_is_fitted(self)
        if level is not None:
            check_number(level, "level", numbers.Integral, low=1, high=len(self._levels))
        return self.layer_means(X)[-1 if level is None else level - 1]

    def inverse_transform(self, H):
        """Return the visible probabilities, by one pass down from the top layer.

        Layers in between have no input from below and count that from above twice.

        Parameters
        ----------
        H : array-like of shape (n_samples, n_components)
            Probabilities of the top layer.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        H = check_codes(H, self._n_features_out)
        with self._team(H.shape[0]) as team:
            for number in range(len(self._levels) - 1, -1, -1):
                stack = stack_of([self._levels[number]], self._biases[number : number + 2])
                H = means_below(stack, 2 * H if number else H, team)
        return H

    def lower_bound(self, X) -> np.ndarray:
        """Return the variational lower bound on log p(v) + log Z of every row, in nats.

        .. math:: \\sum_l b_l^T \\mu_l + \\sum_l \\mu_{l+1}^T W_l \\mu_l + \\sum_{l>0} H(\\mu_l)

        with the mean field of the row; exact with one hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Subtract log Z for the bound on the log-likelihood.
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
        """Return a variational lower bound on the log-likelihood of every row, in nats.

        :meth:`lower_bound` minus log Z, which is exact where the odd or the even layers
        have at most 20 units, else by AIS, once for the fitted parameters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
        """
        return self.lower_bound(X) - self._kept_log_partition().value

    def complete(self, X, tolerance=1e-4, max_updates=500) -> np.ndarray:
        """Return rows with their missing values replaced by probabilities, by mean field.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN where a value is missing.
        tolerance : float, default=1e-4
            The missing units of a row are updated, from their means over the data, until none moves by more.
        max_updates : int, default=500

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Draws instead of probabilities are made by ``sample(len(X), clamped=X)``.
        """
        check_is_fitted(self)
        check_number(tolerance, "tolerance", low=0, closed="right")
        check_number(max_updates, "max_updates", numbers.Integral, low=1)
        X = validate_data(
            self, X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan", reset=False
        )
        missing = np.isnan(X)
        filled = np.where(missing, self._activity[0], X).astype(self._biases[0].dtype)
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


def _twice(X):
    """Every feature twice, side by side."""
    if sparse.issparse(X):
        return sparse.csr_array(sparse.hstack([X, X]))
    return np.hstack([X, X])


def _tie(machine, tiles) -> None:
    """Give the copies of doubled units their mean weights and biases."""
    if tiles == (1, 1):
        return
    level = machine._levels[0]
    axis = tiles.index(2)  # 0: hidden units, 1: visible units
    mean = sum(np.split(level.matrix(), 2, axis=axis)) / 2
    machine._levels = [Level.from_matrix(np.tile(mean, tiles).astype(level.dtype), level.mask())]
    bias = machine._biases[1 - axis]
    machine._biases[1 - axis] = np.tile(sum(np.split(bias, 2)) / 2, 2).astype(bias.dtype)
    machine._velocity = None
