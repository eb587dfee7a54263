"""Schedules for pruning and for the learning rate.

A pruning schedule decides how many connections survive each round. It has one method,
``n_kept(scores, weights, n_start, n_end, number, n_rounds)``, which returns the number of
connections that survive round ``number``, counted from 0, of ``n_rounds`` rounds. ``scores`` and
``weights`` belong to the connections that remain. ``n_start`` is the number of connections before
pruning. ``n_end`` is the number that must remain after the last round, or 0 if there is no such
limit. A schedule may have a method ``check_parameters()``, which raises an error before training.

To add a schedule, write a small class and add an instance to ``SCHEDULES``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ._support.options import check_choice, check_number

__all__ = [
    "SCHEDULES",
    "Cubic",
    "FallingRate",
    "FractionOfRemaining",
    "Geometric",
    "Linear",
    "OneShot",
    "StdThreshold",
    "Threshold",
]


class _TargetSchedule(BaseEstimator):
    """Base class of schedules that follow a curve from ``n_start`` to exactly ``n_end``."""

    needs_target, by_rank = True, False

    def n_kept(self, scores, weights, n_start, n_end, number, n_rounds) -> int:
        """Return how many connections survive this round."""
        if number == n_rounds - 1:
            return n_end
        return round(self._curve(n_start, n_end, (number + 1) / n_rounds))


@dataclass(eq=False, repr=False)
class OneShot(_TargetSchedule):
    """Reach the target sparsity in the first round.

    Examples
    --------
    >>> from skprune.schedules import OneShot
    >>> [OneShot().n_kept(None, None, 100, 20, number, 4) for number in range(4)]
    [20, 20, 20, 20]
    """

    def _curve(self, n_start, n_end, progress):
        return n_end


@dataclass(eq=False, repr=False)
class Geometric(_TargetSchedule):
    """Remove the same share of the remaining connections in every round.

    Examples
    --------
    >>> from skprune.schedules import Geometric
    >>> [Geometric().n_kept(None, None, 160, 10, number, 4) for number in range(4)]
    [80, 40, 20, 10]
    """

    def _curve(self, n_start, n_end, progress):
        return n_start * (n_end / n_start) ** progress


@dataclass(eq=False, repr=False)
class Linear(_TargetSchedule):
    """Remove the same number of connections in every round.

    Examples
    --------
    >>> from skprune.schedules import Linear
    >>> [Linear().n_kept(None, None, 100, 20, number, 4) for number in range(4)]
    [80, 60, 40, 20]
    """

    def _curve(self, n_start, n_end, progress):
        return n_start + (n_end - n_start) * progress


@dataclass(eq=False, repr=False)
class Cubic(_TargetSchedule):
    """Remove many connections in early rounds and few in late rounds (Zhu & Gupta 2017).

    The number of connections that are still to be removed falls as (1 − t)³, where t rises from 0
    to 1 over the rounds.

    Examples
    --------
    >>> from skprune.schedules import Cubic
    >>> [Cubic().n_kept(None, None, 84, 20, number, 4) for number in range(4)]
    [47, 28, 21, 20]
    """

    def _curve(self, n_start, n_end, progress):
        return n_end + (n_start - n_end) * (1 - progress) ** 3


class _Rule(BaseEstimator):
    """Base class of rules that choose how many connections to remove.

    The target sparsity is only a limit: a rule never keeps fewer than ``n_end`` connections.
    """

    needs_target, by_rank = False, False

    def n_kept(self, scores, weights, n_start, n_end, number, n_rounds) -> int:
        """Return how many connections survive this round."""
        self.check_parameters()
        return max(n_end, self._survivors(scores, weights))


@dataclass(eq=False, repr=False)
class FractionOfRemaining(_Rule):
    """Remove a fixed share of the remaining connections per round.

    This is the percentile rule, eq. 7 of Zuo et al. (2019).

    Parameters
    ----------
    fraction : float in [0, 1), default=0.3
        Share of the remaining connections to remove per round.
    ties : {"exact", "all"}, default="exact"
        How to treat equal scores. "exact" removes exactly this share, rounded down. "all" removes
        every connection whose score is at or below the percentile, as the thesis does. If more
        than this share of the scores is zero, "all" removes all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.schedules import FractionOfRemaining
    >>> FractionOfRemaining(0.3).n_kept(np.arange(10.0), None, 10, 0, 0, 1)
    7
    """

    fraction: float = 0.3
    ties: str = "exact"
    by_rank = True  # it reads the order in which connections go, not what they are worth

    def check_parameters(self) -> None:
        """Raise an error if a parameter is invalid."""
        check_number(self.fraction, "fraction", low=0, high=1, closed="left")
        check_choice("ties", self.ties, ("exact", "all"))

    def _survivors(self, scores, weights):
        fraction = float(self.fraction)
        if self.ties == "all":
            return int((scores > np.quantile(scores, fraction)).sum())
        return scores.size - math.floor(fraction * scores.size)


@dataclass(eq=False, repr=False)
class StdThreshold(_Rule):
    """Remove connections whose score is below a multiple of the weights' standard deviation.

    This is the λσ rule, eq. 8 of Zuo et al. (2019) after Han et al. (2015). σ is the standard
    deviation of the weights that remain. The rule is meant for ``criterion="magnitude"``.

    Parameters
    ----------
    quality : float, default=0.5
        The factor λ.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.schedules import StdThreshold
    >>> weights = np.array([-1.0, 0.1, 0.2, 1.0])
    >>> StdThreshold(0.5).n_kept(np.abs(weights), weights, 4, 0, 0, 1)
    2
    """

    quality: float = 0.5

    def check_parameters(self) -> None:
        """Raise an error if ``quality`` is not a number of at least 0."""
        check_number(self.quality, "quality", low=0)

    def _survivors(self, scores, weights):
        return int((scores >= float(self.quality) * np.std(weights, dtype=np.float64)).sum())


@dataclass(eq=False, repr=False)
class Threshold(_Rule):
    """Remove connections whose score is below a fixed value.

    Parameters
    ----------
    value : float, default=0.05
        Lowest score to keep.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.schedules import Threshold
    >>> Threshold(0.5).n_kept(np.array([0.1, 0.5, 2.0]), None, 3, 0, 0, 1)
    2
    """

    value: float = 0.05

    def check_parameters(self) -> None:
        """Raise an error if ``value`` is not a finite number."""
        check_number(self.value, "value")

    def _survivors(self, scores, weights):
        return int((scores >= float(self.value)).sum())


@dataclass(eq=False, repr=False)
class FallingRate(BaseEstimator):
    """Decrease the learning rate linearly over a training run that consists of several fits.

    Pass it as ``learning_rate_schedule`` if a machine is pruned between several fits and the rate
    should fall as it would in one long fit.

    Parameters
    ----------
    first : float in [0, 1], default=0.0
        Share of the whole training run that is complete before this fit.
    last : float in [0, 1], default=1.0
        Share of the whole training run that is complete after this fit.

    Examples
    --------
    >>> from skprune.schedules import FallingRate
    >>> second_half = FallingRate(0.5, 1.0)
    >>> second_half(0.0), second_half(0.5), second_half(1.0)
    (0.5, 0.25, 0.0)
    """

    first: float = 0.0
    last: float = 1.0

    def check_parameters(self) -> None:
        """Raise an error unless 0 ≤ ``first`` ≤ ``last`` ≤ 1."""
        first = check_number(self.first, "first", low=0, high=1)
        check_number(self.last, "last", low=first, high=1)

    def __call__(self, progress) -> float:
        """Return the factor of the learning rate.

        Parameters
        ----------
        progress : float in [0, 1]
            Share of this fit that is complete.

        Returns
        -------
        factor : float
            Factor in [0, 1].
        """
        self.check_parameters()
        first, last = float(self.first), float(self.last)
        return 1.0 - (first + (last - first) * progress)


SCHEDULES = {
    "one_shot": OneShot(),
    "geometric": Geometric(),
    "linear": Linear(),
    "cubic": Cubic(),
}
