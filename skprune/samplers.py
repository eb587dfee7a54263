"""Negative phases: where the model's statistics come from.

A choice that the training kernel runs itself is described by ``persistent``.
Any other object has ``advance(stack, chains, n_gibbs_steps, key, step, team)``,
which moves the even layers of ``chains`` (unit-major, in place) before every
minibatch; its chains are persistent.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from sklearn.base import BaseEstimator

from ._options import check_number

__all__ = ["NEGATIVE_PHASES", "ContrastiveDivergence", "PersistentContrastiveDivergence"]


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


NEGATIVE_PHASES = {
    "cd": ContrastiveDivergence(),
    "pcd": PersistentContrastiveDivergence(),
}


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
