"""Negative phases: where the model's statistics in the gradient come from.

A negative phase is an object with one attribute, ``chains``:

- ``"data"``: chains start from the data of each minibatch, and the training kernel moves them.
- ``"persistent"``: chains continue from one minibatch to the next, and the training kernel moves
  them.
- ``"own"``: the object moves persistent chains itself. It has a method
  ``prepare(stack, chains, n_chains, base, key)``, which is called once per fit. It returns
  an object with a method ``advance(stack, chains, n_gibbs_steps, key, step, team)``, which is
  called before each minibatch and moves the even layers of ``chains`` (unit-major) in place. If
  there is nothing to prepare, ``prepare`` may return the object itself.

A negative phase may have a method ``check_parameters()``, which raises an error before training if
a parameter is invalid.

To add a negative phase, write a small class and add an instance to ``NEGATIVE_PHASES``.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ._kernels import draws, packing
from ._kernels.records import Base, Stack, Stream
from ._machine.annealing import CHAIN_BLOCK, TemperedEnsemble, new_chains
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
    """Contrastive divergence (CD-k).

    Chains start from the data of each minibatch (Hinton 2002).
    """

    chains = "data"


@dataclass(eq=False, repr=False)
class PersistentContrastiveDivergence(BaseEstimator):
    """Persistent contrastive divergence (PCD-k).

    Chains continue from one minibatch to the next (Tieleman 2008).
    """

    chains = "persistent"


@dataclass(eq=False, repr=False)
class ParallelTempering(BaseEstimator):
    """Parallel tempering, in which persistent chains exchange states with hotter replicas.

    Each chain has one replica per temperature. The inverse temperatures are evenly spaced between
    the base-rate model and the machine. Neighbouring replicas exchange states after each sweep
    (Desjardins et al. 2010; Cho et al. 2010). A sweep costs as much as ``n_temperatures`` sweeps of
    Gibbs sampling. Each call of ``fit`` or ``partial_fit`` starts all replicas from the chains.

    Parameters
    ----------
    n_temperatures : int, default=10
        Number of temperatures, at least 2.
    """

    n_temperatures: int = 10
    chains = "own"

    def check_parameters(self) -> None:
        """Raise an error if ``n_temperatures`` is not an integer of at least 2."""
        check_number(self.n_temperatures, "n_temperatures", numbers.Integral, low=2)

    def prepare(self, stack: Stack, chains, n_chains, base: Base, key) -> _TemperedChains:
        """Return the replicas of one fit, which have a method ``advance``.

        Parameters
        ----------
        stack : Stack
            Weights and biases of the machine.
        chains : tuple of ndarray of shape (n_units, n_lanes)
            Unit-major states of the chains, one array per layer.
        n_chains : int
            Number of chains.
        base : Base
            The base-rate model: the means, and the variances of Gaussian units, of the data.
        key : numpy.uint64
            Key of the random numbers.

        Returns
        -------
        replicas : object
            Object with a method ``advance``, which moves the chains before each minibatch.

        Raises
        ------
        ValueError, TypeError
            If ``n_temperatures`` is not an integer of at least 2.
        """
        self.check_parameters()
        n_temperatures = int(self.n_temperatures)
        return _TemperedChains(stack, chains, n_chains, base, key, n_temperatures)


class _TemperedChains:
    """The replicas of one fit, which move before each minibatch."""

    def __init__(self, stack, chains, n_chains, base, key, n_temperatures):
        betas = np.linspace(0, 1, n_temperatures)
        self._ensemble = TemperedEnsemble(
            stack, base, betas, n_chains, derived_key(key, "tempering")
        )
        self._ensemble.start_from(chains)

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        """Move all replicas, and copy the even layers of the coldest ones into ``chains``."""
        self._ensemble.sweep(stack, n_gibbs_steps, step * draws.DRAWS_PER_MINIBATCH, team)
        for layer in range(0, len(chains), 2):
            self._ensemble.read_coldest(layer, chains[layer])


@dataclass(eq=False, repr=False)
class LabelledChains(BaseEstimator):
    """Persistent chains whose last visible units are a one-hot group of labels.

    Exactly one of the labels is on, as in a softmax unit (Hinton, Osindero & Teh 2006).

    Parameters
    ----------
    n_labels : int
        Number of labels. They are the last ``n_labels`` visible units.
    """

    n_labels: int
    chains = "own"

    def check_parameters(self) -> None:
        """Raise an error if ``n_labels`` is not an integer of at least 1."""
        check_number(self.n_labels, "n_labels", numbers.Integral, low=1)

    def prepare(self, stack: Stack, chains, n_chains, base: Base, key) -> _ChainsOfOneFit:
        """Return the chains of one fit, which have a method ``advance``.

        Parameters
        ----------
        stack : Stack
            Weights and biases of the machine.
        chains : tuple of ndarray of shape (n_units, n_lanes)
            Unit-major states of the chains, one array per layer.
        n_chains : int
            Number of chains.
        base : Base
            Ignored.
        key : numpy.uint64
            Ignored.

        Returns
        -------
        chains : object
            Object with a method ``advance``, which moves the chains before each minibatch.
        """
        self.check_parameters()
        return _ChainsOfOneFit(stack, chains, n_chains, int(self.n_labels))


class _ChainsOfOneFit:
    """The labelled chains of one fit, which move before each minibatch."""

    def __init__(self, stack, chains, n_chains, n_labels):
        self._n_labels = n_labels
        self._blocks = blocks(n_chains, CHAIN_BLOCK)
        self._chains = [new_chains(stack, block) for block in self._blocks]

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        """Run Gibbs sweeps that start from the hidden layer, and update the visible layer."""
        key = derived_key(key, "labelled chains")

        def one_block(number):
            block, own = self._blocks[number], self._chains[number]
            lower, upper = own.states
            upper[:, : own.n_lanes] = chains[1][:, block]
            if own.packed[1].size:
                packing.pack_states(upper, own.packed[1])
            stream = Stream(key, step * draws.DRAWS_PER_MINIBATCH)
            labelled_sweeps(stack, own, self._n_labels, n_gibbs_steps, stream, team)
            chains[0][:, block] = lower[:, : own.n_lanes]

        team.map(one_block, range(len(self._blocks)), work=0)  # no kernel takes long


NEGATIVE_PHASES = {
    "cd": ContrastiveDivergence(),
    "pcd": PersistentContrastiveDivergence(),
    "tempering": ParallelTempering(),
}


CHAINS = ("data", "persistent", "own")


def check_negative_phase(value):
    """Validate the parameter ``negative_phase`` of a machine.

    Parameters
    ----------
    value : str or object
        Name from ``NEGATIVE_PHASES``, or a negative phase.

    Returns
    -------
    phase : object
        The negative phase.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the object has no valid attribute ``chains``, or needs a method ``prepare``.
    """
    phase = resolve(value, NEGATIVE_PHASES, "negative_phase")
    chains = getattr(phase, "chains", None)
    if chains not in CHAINS or (chains == "own" and not hasattr(phase, "prepare")):
        raise TypeError(
            "negative_phase must be a name or an object whose attribute chains is one of "
            f"{', '.join(map(repr, CHAINS))} (with 'own', it also needs a method prepare), got "
            f"{value!r}. See skprune.samplers."
        )
    if hasattr(phase, "check_parameters"):
        phase.check_parameters()
    return phase


def check_gibbs_steps(n_gibbs_steps) -> tuple[int, int]:
    """Validate the parameter ``n_gibbs_steps`` of a machine.

    Parameters
    ----------
    n_gibbs_steps : int or (int, int)
        Number of Gibbs steps, or its values in the first and in the last pass.

    Returns
    -------
    first, last : int
        Number of Gibbs steps in the first and in the last pass.

    Raises
    ------
    TypeError, ValueError
        If it is not an int or a pair of ints between 1 and 4000.
    """
    if isinstance(n_gibbs_steps, numbers.Integral):
        n_gibbs_steps = (n_gibbs_steps, n_gibbs_steps)
    if not isinstance(n_gibbs_steps, tuple | list) or len(n_gibbs_steps) != 2:
        raise TypeError(
            "n_gibbs_steps must be an int, or a pair of ints for the first and the last pass, "
            f"got {n_gibbs_steps!r}."
        )
    first, last = (
        check_number(number, "n_gibbs_steps", numbers.Integral, low=1, high=4000)
        for number in n_gibbs_steps
    )
    return first, last


def gibbs_steps_at(n_gibbs_steps, number, n_passes) -> int:
    """Return the number of Gibbs steps in a pass. ``number`` is its index, counted from 0."""
    first, last = check_gibbs_steps(n_gibbs_steps)
    return round(first + (last - first) * number / max(1, n_passes - 1))
