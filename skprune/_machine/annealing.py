"""Annealed importance sampling and parallel tempering, from a base-rate model to the machine.

A base-rate model has the layers of the machine, but no connections.
"""

from __future__ import annotations

import numpy as np

from .._kernels import chains as chain_kernels
from .._kernels import packing
from .._kernels.records import Chains, Stack, Stream
from .._support.random import derived_key
from .._support.threads import Team, blocks
from . import inference

CHAIN_BLOCK = 64  # chains per block; fixed, so that results do not depend on the threads


PILOT_CHAINS, PILOT_STEPS = 64, 200  # of the run that measures the length of a path


# Path length between replicas, at which about half of the exchanges are accepted.
EXCHANGE_LENGTH, MOST_REPLICAS = 1.0, 100

MEANS_CHAINS, MEANS_SWEEPS = 100, 100  # of the estimate of the model's means


def base_rates(stack: Stack, visible_means) -> tuple:
    """Return the biases of the base-rate model.

    Visible biases are the log-odds of the data means, and hidden biases are 0.
    """
    dtype = stack.biases[0].dtype
    means = np.clip(np.asarray(visible_means, np.float64), 1e-3, 1 - 1e-3)
    base = [np.zeros(bias.size, dtype) for bias in stack.biases]
    base[0] = np.log(means / (1 - means)).astype(dtype)
    return tuple(base)


def temperature_path(stack: Stack, base, key) -> tuple[np.ndarray, np.ndarray]:
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
    base : tuple of ndarray
        Biases of the base-rate model, which is the machine at inverse temperature 0.
    betas : ndarray of shape (n_temperatures,)
        Inverse temperatures in ascending order, the last of which is 1.
    n_chains : int
        Number of chains.
    key : numpy.uint64
        Key of the random numbers.
    """

    def __init__(self, stack: Stack, base, betas, n_chains, key):
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
    stack: Stack, base, key, team: Team, n_chains=100, n_sweeps=1000, betas=None
) -> list:
    """Draw independent states from the model by parallel tempering.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : tuple of ndarray
        Biases of the base-rate model.
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

    They are means over independent tempered chains, and lie between 0 and 1, exclusively.
    """
    base = base_rates(stack, np.full(stack.biases[0].size, 0.5))
    states = tempered_samples(stack, base, key, team, MEANS_CHAINS, MEANS_SWEEPS)
    return [
        ((layer.sum(axis=0) + 0.5) / (len(layer) + 1)).astype(bias.dtype)
        for layer, bias in zip(states, stack.biases, strict=True)
    ]


def base_log_partition(stack: Stack, base) -> float:
    """Return the logarithm of the partition function of the base-rate model, in nats.

    Units of odd layers contribute log 2 each: the path scales their biases by beta, which is 0.
    """
    return sum(
        float(np.logaddexp(0, base[layer].astype(np.float64)).sum())
        if layer % 2 == 0
        else stack.biases[layer].size * np.log(2)
        for layer in range(len(base))
    )


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


def temperatures(stack: Stack, base, n_temperatures, spacing, key) -> np.ndarray:
    """Return the inverse temperatures of a path, from 0 to 1.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : tuple of ndarray
        Biases of the base-rate model.
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
