"""Negative phases: where the model's statistics in the gradient come from.

A negative phase is an object with one attribute, ``chains``:

- ``"data"``: chains start from the data of each minibatch, and the training kernel moves them.
- ``"persistent"``: chains go on from minibatch to minibatch, and the training kernel moves them.
- ``"own"``: the object moves persistent chains itself. It has a method
  ``prepare(stack, chains, n_chains, visible_means, key)``, called once per fit, which returns an
  object with ``advance(stack, chains, n_gibbs_steps, key, step, team)``. That is called before
  every minibatch and moves the even layers of ``chains`` (unit-major) in place. An object without
  anything to prepare may return itself.

A new one is a small class here and a row in ``NEGATIVE_PHASES``.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ._kernels import draws, packing
from ._kernels.records import Stack
from ._machine.annealing import CHAIN_BLOCK, TemperedEnsemble, base_rates, new_chains
from ._machine.labels import labelled_sweeps
from ._support.options import check_number, resolve
from ._support.random import derived_key
from ._support.threads import blocks

__all__ = [
    "NEGATIVE_PHASES",
    "ContrastiveDivergence",
    "LabelledChains",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
]


@dataclass(eq=False, repr=False)
class ContrastiveDivergence(BaseEstimator):
    """CD-k: chains start from the data of each minibatch (Hinton 2002)."""

    chains = "data"


@dataclass(eq=False, repr=False)
class PersistentContrastiveDivergence(BaseEstimator):
    """PCD-k: chains go on from minibatch to minibatch (Tieleman 2008)."""

    chains = "persistent"


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
    chains = "own"

    def prepare(self, stack: Stack, chains, n_chains, visible_means, key) -> _TemperedChains:
        """Return the replicas of one fit."""
        check_number(self.n_temperatures, "n_temperatures", numbers.Integral, low=2)
        return _TemperedChains(stack, chains, n_chains, visible_means, key, self.n_temperatures)


class _TemperedChains:
    """The replicas of one fit: ``advance`` for the minibatch loop."""

    def __init__(self, stack, chains, n_chains, visible_means, key, n_temperatures):
        betas = np.linspace(0, 1, n_temperatures)
        base = base_rates(stack, visible_means)
        self._ensemble = TemperedEnsemble(
            stack, base, betas, n_chains, derived_key(key, "tempering")
        )
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
    chains = "own"

    def prepare(self, stack: Stack, chains, n_chains, visible_means, key) -> _ChainsOfOneFit:
        """Return the chains of one fit."""
        return _ChainsOfOneFit(stack, chains, n_chains, self.n_labels)


class _ChainsOfOneFit:
    """Labelled chains of one fit: ``advance`` for the minibatch loop."""

    def __init__(self, stack, chains, n_chains, n_labels):
        self._first = stack.biases[0].size - n_labels
        self._blocks = blocks(n_chains, CHAIN_BLOCK)
        self._states = [new_chains(stack, block.stop - block.start) for block in self._blocks]

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        """Draw the visible layer of ``chains`` given the hidden one, and so on."""
        key = derived_key(key, "labelled chains")

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


NEGATIVE_PHASES = {
    "cd": ContrastiveDivergence(),
    "pcd": PersistentContrastiveDivergence(),
    "tempering": ParallelTempering(),
}


CHAINS = ("data", "persistent", "own")


def check_negative_phase(value):
    """Return the object for ``negative_phase``.

    Raises
    ------
    ValueError
        If a name is not known.
    TypeError
        If an object does not say who moves its chains, or lacks the method to prepare them.
    """
    phase = resolve(value, NEGATIVE_PHASES, "negative_phase")
    chains = getattr(phase, "chains", None)
    if chains not in CHAINS or (chains == "own" and not hasattr(phase, "prepare")):
        raise TypeError(
            "negative_phase must be a name or an object whose attribute chains is one of "
            f"{', '.join(map(repr, CHAINS))}, and which has a method prepare where it is 'own' (see "
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
    first, last = n_gibbs_steps
    return int(first), int(last)


def gibbs_steps_at(n_gibbs_steps, number, n_passes) -> int:
    """Return the Gibbs steps of pass ``number`` (from 0) of ``n_passes``."""
    first, last = check_gibbs_steps(n_gibbs_steps)
    return round(first + (last - first) * number / max(1, n_passes - 1))
