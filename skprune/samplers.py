"""Negative phases: where the model's statistics come from; and tempered chains.

A choice that the training kernel runs itself is described by ``persistent``.
Any other object has ``advance(stack, chains, n_gibbs_steps, key, step, team)``,
which moves the even layers of ``chains`` (unit-major, in place) before every
minibatch; its chains are persistent. One that keeps something over a fit has
``prepare(stack, chains, n_chains, visible_means, key)``, which returns an
object with ``advance``.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from . import inference
from ._kernels import chains as chain_kernels
from ._kernels import draws, packing
from ._kernels import fields as field_kernels
from ._options import check_number, resolve
from ._structures import Stack
from ._threads import Team

__all__ = [
    "NEGATIVE_PHASES",
    "ContrastiveDivergence",
    "LabelledChains",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
]

CHAIN_BLOCK = 64  # chains; fixed, so that no result depends on the number of threads
PILOT_CHAINS, PILOT_STEPS = 64, 200  # of the walk that measures a path
EXCHANGE_LENGTH, MOST_REPLICAS = 1.0, 100  # length between replicas: exchanged about half the time


@dataclass(eq=False, repr=False)
class ContrastiveDivergence(BaseEstimator):
    """CD-k: chains start from the data of each minibatch (Hinton 2002)."""

    @property
    def persistent(self) -> bool:
        """Chains start anew with every minibatch."""
        return False


@dataclass(eq=False, repr=False)
class PersistentContrastiveDivergence(BaseEstimator):
    """PCD-k: chains go on from minibatch to minibatch (Tieleman 2008)."""

    @property
    def persistent(self) -> bool:
        """Chains carry over."""
        return True


@dataclass(eq=False, repr=False)
class ParallelTempering(BaseEstimator):
    """Parallel tempering: persistent chains that exchange states with hotter ones.

    Every chain has a replica at each of ``n_temperatures`` evenly spaced
    inverse temperatures between the base-rate model and the machine; neighbours
    exchange states after every sweep (Desjardins et al. 2010; Cho et al. 2010).
    A sweep costs as much as ``n_temperatures`` of plain Gibbs sampling. The
    replicas start anew, from the chains, with every call of ``fit`` or
    ``partial_fit``.

    Parameters
    ----------
    n_temperatures : int, default=10
    """

    n_temperatures: int = 10

    def prepare(self, stack: Stack, chains, n_chains, visible_means, key) -> _TemperedChains:
        """Return the replicas of one fit."""
        check_number(self.n_temperatures, "n_temperatures", numbers.Integral, low=2)
        return _TemperedChains(stack, chains, n_chains, visible_means, key, self.n_temperatures)


class _TemperedChains:
    """The replicas of one fit: ``advance`` for the minibatch loop."""

    def __init__(self, stack, chains, n_chains, visible_means, key, n_temperatures):
        betas = np.linspace(0, 1, n_temperatures)
        base = base_rates(stack, visible_means)
        self._ensemble = TemperedEnsemble(stack, base, betas, n_chains, derived_key(key, 0))
        self._ensemble.start_from(chains)

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        """Move the even layers of ``chains``, the replicas at the machine's own temperature."""
        self._ensemble.sweep(stack, n_gibbs_steps, step * draws.DRAWS_PER_MINIBATCH, team)
        for layer in range(0, len(chains), 2):
            self._ensemble.read_coldest(layer, chains[layer])


@dataclass(eq=False, repr=False)
class LabelledChains(BaseEstimator):
    """Persistent chains whose last visible units are labels, of which exactly one is on.

    What a softmax unit is to a layer of binary units (Hinton, Osindero & Teh 2006).

    Parameters
    ----------
    n_labels : int
        Number of labels; the last so many visible units.
    """

    n_labels: int

    def prepare(self, stack: Stack, chains, n_chains, visible_means, key) -> _ChainsOfOneFit:
        """Return the chains of one fit."""
        return _ChainsOfOneFit(stack, chains, n_chains, self.n_labels)


class _ChainsOfOneFit:
    """Labelled chains of one fit: ``advance`` for the minibatch loop."""

    def __init__(self, stack, chains, n_chains, n_labels):
        self._first = stack.biases[0].size - n_labels
        self._blocks = inference.blocks(n_chains, CHAIN_BLOCK)
        self._states = [_new_replica(stack, block.stop - block.start) for block in self._blocks]

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        """Draw the visible layer of ``chains`` given the hidden one, and so on."""
        key = derived_key(key, 4)

        def one_block(number):
            block, (states, packed) = self._blocks[number], self._states[number]
            n_lanes = block.stop - block.start
            states[1][:, :n_lanes] = chains[1][:, block]
            if packed[1].size:
                packing.pack_states(states[1], packed[1])
            first_step = step * draws.DRAWS_PER_MINIBATCH
            labelled_sweeps(
                stack, states, packed, self._first, n_gibbs_steps, n_lanes, block.start, key,
                first_step,
            )  # fmt: skip
            chains[0][:, block] = states[0][:, :n_lanes]

        team.map(one_block, range(len(self._blocks)))


def labelled_sweeps(
    stack: Stack, states, packed, first, n_sweeps, n_lanes, lane_0, key, first_step
) -> None:
    """Gibbs sweeps of an RBM, visible layer first, that end there; units from ``first`` are labels."""
    blas, weights = inference.blas_address(stack), np.empty_like(stack.biases[0])
    for sweep in range(n_sweeps):
        step = first_step + sweep
        if sweep:
            field_kernels.update_layer(
                stack, 1, states, packed, True, n_lanes, lane_0, key, step, blas
            )
        field_kernels.update_layer(stack, 0, states, packed, True, n_lanes, lane_0, key, step, blas)
        chain_kernels.draw_one_of(
            stack, states, packed, first, n_lanes, lane_0, key, step, weights, blas
        )


NEGATIVE_PHASES = {
    "cd": ContrastiveDivergence(),
    "pcd": PersistentContrastiveDivergence(),
    "tempering": ParallelTempering(),
}


def check_negative_phase(value):
    """Return the object for ``negative_phase``.

    Raises
    ------
    ValueError, TypeError
        If the name is unknown, or the object has none of the members.
    """
    phase = resolve(value, NEGATIVE_PHASES, "negative_phase")
    if not any(hasattr(phase, name) for name in ("persistent", "advance", "prepare")):
        raise TypeError(
            "negative_phase must be a name or an object with persistent, advance or prepare (see "
            f"skprune.samplers), got {value!r}."
        )
    return phase


def check_gibbs_steps(n_gibbs_steps) -> tuple[int, int]:
    """Return (first, last) number of Gibbs steps of a number or a rising pair."""
    if isinstance(n_gibbs_steps, numbers.Integral):
        n_gibbs_steps = (n_gibbs_steps, n_gibbs_steps)
    if not isinstance(n_gibbs_steps, tuple | list) or len(n_gibbs_steps) != 2:
        raise TypeError(
            "n_gibbs_steps must be an integer, or a pair (first, last) that rises over the "
            f"passes, got {n_gibbs_steps!r}."
        )
    for number in n_gibbs_steps:
        check_number(number, "n_gibbs_steps", numbers.Integral, low=1, high=4000)
    return tuple(int(number) for number in n_gibbs_steps)


def gibbs_steps_at(n_gibbs_steps, number, n_passes) -> int:
    """Return the Gibbs steps of pass ``number`` (from 0) of ``n_passes``."""
    first, last = check_gibbs_steps(n_gibbs_steps)
    return round(first + (last - first) * number / max(1, n_passes - 1))


def derived_key(key, number) -> np.uint64:
    """Another key, so that no two runs share random numbers."""
    return np.random.SeedSequence([int(key), number]).generate_state(1, np.uint64)[0]


def base_rates(stack: Stack, visible_means) -> tuple:
    """Return the biases of the base-rate model: log-odds of the data means, 0 further up."""
    dtype = stack.biases[0].dtype
    means = np.clip(np.asarray(visible_means, np.float64), 1e-3, 1 - 1e-3)
    base = [np.zeros(bias.size, dtype) for bias in stack.biases]
    base[0] = np.log(means / (1 - means)).astype(dtype)
    return tuple(base)


def temperature_path(stack: Stack, base, key) -> tuple[np.ndarray, np.ndarray]:
    """Walk from the base-rate model to the machine; return (betas, length so far).

    The length of a path is the integral of the standard deviation of
    d log p*_beta / d beta, estimated from a few chains on the way: temperatures
    at equal lengths share the variance of the importance weights evenly, and
    exchange states between neighbours equally often.
    """
    betas = np.linspace(0, 1, PILOT_STEPS + 1)
    slopes = np.zeros((betas.size, PILOT_CHAINS))
    states, packed = _new_replica(stack, PILOT_CHAINS)
    for step, beta in enumerate(betas):
        _sweep(stack, base, beta, states, packed, slopes[step], slice(0, PILOT_CHAINS), key, step)
    speed = slopes.std(axis=1, ddof=1)
    steps = np.diff(betas) * (speed[1:] + speed[:-1]) / 2
    return betas, np.concatenate([[0.0], np.cumsum(steps)])


def _new_replica(stack, n_lanes):
    """States of chains, and these packed."""
    states = inference.new_states(stack, n_lanes)
    return states, inference.new_packed(stack, n_lanes, range(len(states)))


def _sweep(stack, base, beta, states, packed, slopes, block, key, step):
    chain_kernels.tempered_sweep(
        stack, base, beta, states, packed, slopes, block.stop - block.start, block.start, key, step,
        inference.blas_address(stack),
    )  # fmt: skip


class TemperedEnsemble:
    """Chains with a replica at every temperature; neighbours exchange states after each sweep.

    The chains share nothing: each has an ensemble of its own (Swendsen & Wang
    1986). Chains are computed in blocks, a thread a block.

    Parameters
    ----------
    stack : Stack
    base : tuple of ndarray
        Biases of the base-rate model, where the inverse temperature is 0.
    betas : ndarray
        Inverse temperatures, rising to 1.
    n_chains : int
    key : numpy.uint64
    """

    def __init__(self, stack: Stack, base, betas, n_chains, key):
        self.base, self.betas, self.n_chains, self.key = base, betas, n_chains, key
        self._keys = [derived_key(key, 1 + number) for number in range(betas.size)]
        self._n_sweeps = 0
        self._blocks = inference.blocks(n_chains, CHAIN_BLOCK)
        self._replicas = [
            [_new_replica(stack, block.stop - block.start) for _ in betas] for block in self._blocks
        ]

    def start_from(self, chains):
        """Begin at every temperature from the odd layers of unit-major ``chains``."""
        for block, replicas in zip(self._blocks, self._replicas, strict=True):
            for states, packed in replicas:
                for layer in range(1, len(states), 2):
                    n_lanes = block.stop - block.start
                    states[layer][:, :n_lanes] = chains[layer][:, block]
                    if packed[layer].size:
                        packing.pack_states(states[layer], packed[layer])

    def sweep(self, stack: Stack, n_sweeps, first_step, team: Team):
        """Gibbs sweeps at every temperature, even layers first, an exchange after each."""

        def one_block(number):
            block, replicas = self._blocks[number], self._replicas[number]
            slopes = np.zeros((self.betas.size, block.stop - block.start))
            for done, step in enumerate(range(first_step, first_step + n_sweeps)):
                rng = np.random.default_rng([int(self.key), step])
                chances = rng.uniform(size=(self.betas.size, self.n_chains))[:, block]
                for a, beta in enumerate(self.betas):
                    _sweep(
                        stack, self.base, beta, *replicas[a], slopes[a], block, self._keys[a], step
                    )
                for a in range((self._n_sweeps + done) % 2, self.betas.size - 1, 2):
                    gain = (self.betas[a + 1] - self.betas[a]) * (slopes[a] - slopes[a + 1])
                    exchanged = np.log(chances[a]) < gain
                    if exchanged.any():
                        chain_kernels.exchange_lanes(*replicas[a], *replicas[a + 1], exchanged)

        team.map(one_block, range(len(self._blocks)))
        self._n_sweeps += n_sweeps

    def read_coldest(self, layer, out):
        """Copy the states of a layer at the last temperature into unit-major ``out``."""
        for block, replicas in zip(self._blocks, self._replicas, strict=True):
            out[:, block] = replicas[-1][0][layer][:, : block.stop - block.start]


def tempered_samples(
    stack: Stack, base, key, team: Team, n_chains=100, n_sweeps=1000, betas=None
) -> list:
    """Draw independent states from the model by parallel tempering.

    Parameters
    ----------
    stack : Stack
    base : tuple of ndarray
        Biases of the base-rate model.
    key : numpy.uint64
    team : Team
    n_chains, n_sweeps : int
    betas : ndarray or None, default=None
        Inverse temperatures from 0 to 1. None spaces as many as it takes to
        exchange about half of the time.

    Returns
    -------
    states : list of ndarray of shape (n_chains, n_units)
        One a layer.
    """
    if betas is None:
        path, lengths = temperature_path(stack, base, derived_key(key, 0))
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
