"""Annealed importance sampling and parallel tempering, from a base-rate model to the machine.

A base-rate model has the layers of the machine, but no connections.
"""

from __future__ import annotations

import numpy as np

from .._kernels import chains as chain_kernels
from .._kernels import packing
from .._kernels.records import Base, Chains, Stack, Stream
from .._support.options import check_number
from .._support.random import derived_key
from .._support.threads import Team, blocks
from . import inference
from .levels import reads_edges

CHAIN_BLOCK = 64  # chains per block; fixed, so that results do not depend on the threads


PILOT_CHAINS, PILOT_STEPS = 64, 200  # of the run that measures the length of a path


# Path length between replicas, at which about half of the exchanges are accepted.
EXCHANGE_LENGTH, MOST_REPLICAS = 1.0, 100

MEANS_CHAINS, MEANS_SWEEPS = 100, 100  # of the estimate of the model's means


def base_rates(stack: Stack, visible_means, visible_variances=None, softening=0.0) -> Base:
    """Return the base-rate model of a machine, whose units are independent.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    visible_means : array-like of shape (n_visible,)
        Means of the data.
    visible_variances : array-like of shape (n_visible,), default=None
        Variances of the data, for Gaussian units. If None, those of the machine are estimated. The
        variance of a unit given the hidden units is 1, so smaller variances are set to 1.
    softening : float in [0, 1], default=0.0
        How far the base-rate model is moved from the data. For binary units, the means are moved
        towards 1/2. For Gaussian units, the standard deviations are multiplied by
        ``1 + softening``.

    Returns
    -------
    base : Base
        Biases of all layers, and precisions of Gaussian visible units. Hidden biases are 0.

    Raises
    ------
    ValueError, TypeError
        If ``softening`` is not a number in [0, 1].
    """
    softening = check_number(softening, "softening", low=0, high=1)
    dtype = stack.biases[0].dtype
    means = np.asarray(visible_means, np.float64)
    biases = [np.zeros(bias.size, dtype) for bias in stack.biases]
    if not inference.has_gaussian_units(stack):
        means = np.clip(means + softening * (0.5 - means), 1e-3, 1 - 1e-3)
        biases[0] = np.log(means / (1 - means)).astype(dtype)
        return Base(tuple(biases), np.zeros(0, dtype))
    if visible_variances is None:
        visible_variances = independent_moments(stack)[1]
    variances = np.maximum(np.asarray(visible_variances, np.float64), 1) * (1 + softening) ** 2
    biases[0] = (means / variances).astype(dtype)
    return Base(tuple(biases), (1 / variances).astype(dtype))


def independent_moments(stack: Stack) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and variances of Gaussian units if hidden units were fair coins."""
    level, bias = stack.levels[0], stack.biases[0].astype(np.float64)
    total, squares = np.zeros(bias.size), np.zeros(bias.size)
    if reads_edges(level):
        lower, weights = level.edges.indices, level.values.astype(np.float64)
        total = np.bincount(lower, weights, bias.size)
        squares = np.bincount(lower, weights**2, bias.size)
    else:
        total = level.weights.sum(axis=0, dtype=np.float64)
        squares = np.square(level.weights, dtype=np.float64).sum(axis=0)
    return bias + total / 2, 1 + squares / 4


def temperature_path(stack: Stack, base: Base, key) -> tuple[np.ndarray, np.ndarray]:
    """Measure the path from the base-rate model to the machine.

    The length of the path up to beta is the integral of the standard deviation of
    d log p*_beta / d beta. It is estimated from a few chains that follow the path. Temperatures at
    equal distances contribute equally to the variance of the importance weights. Neighbouring
    replicas at such temperatures exchange states equally often.

    Returns
    -------
    betas : ndarray of shape (n_steps + 1,)
        Inverse temperatures from 0 to 1.
    lengths : ndarray of shape (n_steps + 1,)
        Length of the path up to each of them.
    """
    betas = np.linspace(0, 1, PILOT_STEPS + 1)
    slopes = np.zeros((betas.size, PILOT_CHAINS))
    chains = new_chains(stack, slice(0, PILOT_CHAINS))
    for step, beta in enumerate(betas):
        chain_kernels.tempered_sweep(stack, base, beta, chains, slopes[step], Stream(key, step))
    speed = slopes.std(axis=1, ddof=1)
    steps = np.diff(betas) * (speed[1:] + speed[:-1]) / 2
    return betas, np.concatenate([[0.0], np.cumsum(steps)])


def new_chains(stack, block) -> Chains:
    """Return a new block of chains, all 0. ``block`` is a slice over all chains."""
    n_lanes = block.stop - block.start
    states = inference.new_states(stack, n_lanes)
    packed = inference.new_packed(stack, n_lanes, range(len(states)))
    return Chains(states, packed, n_lanes, block.start)


class TemperedEnsemble:
    """Chains that each have one replica per temperature (Swendsen & Wang 1986).

    Replicas at neighbouring temperatures exchange their states at random after each sweep. Chains
    are independent of each other. They are computed in blocks, one block per thread at a time.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model, which is the machine at inverse temperature 0.
    betas : ndarray of shape (n_temperatures,)
        Inverse temperatures in ascending order, the last of which is 1.
    n_chains : int
        Number of chains.
    key : numpy.uint64
        Key of the random numbers.
    """

    def __init__(self, stack: Stack, base: Base, betas, n_chains, key):
        self.base, self.betas, self.n_chains, self.key = base, betas, n_chains, key
        self._keys = [derived_key(key, 1 + number) for number in range(betas.size)]
        self._n_sweeps = 0
        self._blocks = blocks(n_chains, CHAIN_BLOCK)
        self._replicas = [[new_chains(stack, block) for _ in betas] for block in self._blocks]

    def start_from(self, chains):
        """Set the odd layers at all temperatures to those of unit-major ``chains``."""
        for block, replicas in zip(self._blocks, self._replicas, strict=True):
            for states, packed, n_lanes, _ in replicas:
                for layer in range(1, len(states), 2):
                    states[layer][:, :n_lanes] = chains[layer][:, block]
                    if packed[layer].size:
                        packing.pack_states(states[layer], packed[layer])

    def sweep(self, stack: Stack, n_sweeps, first_step, team: Team):
        """Run Gibbs sweeps at all temperatures, even layers first, with exchanges after each."""

        def one_block(number):
            block, replicas = self._blocks[number], self._replicas[number]
            slopes = np.zeros((self.betas.size, block.stop - block.start))
            for done, step in enumerate(range(first_step, first_step + n_sweeps)):
                if team.is_stopping:
                    return
                rng = np.random.default_rng([int(self.key), step])
                chances = rng.uniform(size=(self.betas.size, self.n_chains))[:, block]
                for a, beta in enumerate(self.betas):
                    chain_kernels.tempered_sweep(
                        stack, self.base, beta, replicas[a], slopes[a], Stream(self._keys[a], step)
                    )
                for a in range((self._n_sweeps + done) % 2, self.betas.size - 1, 2):
                    gain = (self.betas[a + 1] - self.betas[a]) * (slopes[a] - slopes[a + 1])
                    exchanged = np.log(chances[a]) < gain
                    if exchanged.any():
                        chain_kernels.exchange_lanes(replicas[a], replicas[a + 1], exchanged)

        team.map(one_block, range(len(self._blocks)), work=0)  # no kernel takes long
        self._n_sweeps += n_sweeps

    def read_coldest(self, layer, out):
        """Copy the states of a layer at inverse temperature 1 into unit-major ``out``."""
        for block, replicas in zip(self._blocks, self._replicas, strict=True):
            coldest = replicas[-1]
            out[:, block] = coldest.states[layer][:, : coldest.n_lanes]


def tempered_samples(
    stack: Stack, base: Base, key, team: Team, n_chains=100, n_sweeps=1000, betas=None
) -> list:
    """Draw independent states from the model by parallel tempering.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the chains.
    n_chains : int, default=100
        Number of chains, each of which gives one state.
    n_sweeps : int, default=1000
        Number of Gibbs sweeps per chain.
    betas : ndarray of shape (n_temperatures,), default=None
        Inverse temperatures from 0 to 1. If None, choose their number and spacing so that about
        half of the exchanges are accepted.

    Returns
    -------
    states : list of ndarray of shape (n_chains, n_units)
        One array per layer, visible layer first.
    """
    if betas is None:
        path, lengths = temperature_path(stack, base, derived_key(key, "pilot"))
        n_replicas = int(np.clip(np.ceil(lengths[-1] / EXCHANGE_LENGTH), 4, MOST_REPLICAS))
        betas = np.interp(np.linspace(0, lengths[-1], n_replicas + 1), lengths, path)
    ensemble = TemperedEnsemble(stack, base, betas, n_chains, key)
    ensemble.sweep(stack, n_sweeps, 0, team)
    result = []
    for layer, bias in enumerate(stack.biases):
        states = np.empty((bias.size, n_chains), bias.dtype)
        ensemble.read_coldest(layer, states)
        result.append(states.T)
    return result


def model_means(stack: Stack, key, team: Team) -> list:
    """Return estimates of the mean of each unit under the model, one array per layer.

    They are means over independent tempered chains. Those of binary units lie between 0 and 1,
    exclusively.
    """
    start = np.full(stack.biases[0].size, 0.5)
    if inference.has_gaussian_units(stack):
        start, _ = independent_moments(stack)
    base = base_rates(stack, start)
    states = tempered_samples(stack, base, key, team, MEANS_CHAINS, MEANS_SWEEPS)
    means = [(layer.sum(axis=0) + 0.5) / (len(layer) + 1) for layer in states]
    if inference.has_gaussian_units(stack):
        means[0] = states[0].mean(axis=0)
    return [mean.astype(bias.dtype) for mean, bias in zip(means, stack.biases, strict=True)]


def base_log_partition(stack: Stack, base: Base) -> float:
    """Return the logarithm of the partition function of the base-rate model, in nats.

    Units of odd layers contribute log 2 each: the path scales their biases by beta, which is 0.
    """
    total = 0.0
    for layer, bias in enumerate(base.biases):
        bias = bias.astype(np.float64)
        if layer % 2:
            total += bias.size * np.log(2)
        elif layer == 0 and inference.has_gaussian_units(stack):
            precision = base.precision.astype(np.float64)
            total += bias.size * inference.LOG_NORMAL
            total += float((bias**2 / precision - np.log(precision)).sum()) / 2
        else:
            total += float(np.logaddexp(0, bias).sum())
    return total


def log_weights_along(stack, base, betas, key, team, n_chains, start=None) -> np.ndarray:
    """Return the logarithms of the importance weights of chains along ``betas``.

    Chains start from the base-rate model, or from ``start``. The latter holds sample-major samples
    at ``betas[0]``, one array per layer. Only its even layers are read.
    """
    log_weights = np.zeros(n_chains)

    def one_block(block):
        chains = new_chains(stack, block)
        states, packed, n_lanes, _ = chains
        if start is not None:
            for layer in range(0, len(states), 2):
                states[layer][:, :n_lanes] = start[layer][block].T
                if packed[layer].size:
                    packing.pack_states(states[layer], packed[layer])
        part = np.zeros(n_lanes)
        chain_kernels.anneal(stack, base, betas, start is None, chains, part, key, team.barrier)
        log_weights[block] = part

    work = 2 * inference.n_parameters(stack) * float(n_chains) * betas.size
    team.map(one_block, blocks(n_chains, CHAIN_BLOCK), work)
    return log_weights


def temperatures(stack: Stack, base: Base, n_temperatures, spacing, key) -> np.ndarray:
    """Return the inverse temperatures of a path, from 0 to 1.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model.
    n_temperatures : int
        Number of steps. It is ignored if ``spacing`` is an array.
    spacing : {"adaptive", "linear"} or array-like of shape (n_temperatures + 1,)
        "linear" spaces the inverse temperatures evenly. "adaptive" puts them at equal distances
        along the path (see :func:`temperature_path`), with a weight of 0.9. The rest of the weight
        is on even spacing. An array is used as it is.
    key : numpy.uint64
        Key of the random numbers.

    Returns
    -------
    betas : ndarray of shape (n_temperatures + 1,)
        Inverse temperatures in ascending order.

    Raises
    ------
    ValueError
        If ``spacing`` is an unknown string, or an array that does not rise from 0 to 1.
    """
    linear = np.linspace(0, 1, n_temperatures + 1)
    if isinstance(spacing, str):
        if spacing == "linear":
            return linear
        if spacing != "adaptive":
            raise ValueError(
                f"spacing={spacing!r} is not known. Use 'adaptive', 'linear', or an array of "
                "inverse temperatures that rise from 0 to 1."
            )
        betas, lengths = temperature_path(stack, base, derived_key(key, "pilot"))
        if not lengths[-1] > 0:
            return linear
        share = 0.9 * lengths / lengths[-1] + 0.1 * betas
        return np.interp(linear, share, betas)
    betas = np.asarray(spacing, dtype=np.float64)
    rises = betas.ndim == 1 and betas.size > 1 and (np.diff(betas) > 0).all()
    if not rises or betas[0] != 0 or betas[-1] != 1:
        raise ValueError("If spacing is an array, it must be 1D and strictly rise from 0 to 1.")
    return betas
