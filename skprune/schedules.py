"""How many connections go, and when; and how a learning rate falls.

A schedule has one method, ``n_kept(scores, weights, n_start, n_end, number,
n_rounds)``: the number of connections that survive round ``number`` (from 0),
given the scores and weights of those that remain, how many there were before
pruning, and how many must be left at the end (0 where there is no cap). A new
one is a small class and a row in ``SCHEDULES``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ._support.options import check_number

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
    """Goes from ``n_start`` to exactly ``n_end`` along a curve over the rounds."""

    needs_target, by_rank = True, False

    def n_kept(self, scores, weights, n_start, n_end, number, n_rounds) -> int:
        """Return how many connections survive this round."""
        if number == n_rounds - 1:
            return n_end
        return round(self._curve(n_start, n_end, (number + 1) / n_rounds))


@dataclass(eq=False, repr=False)
class OneShot(_TargetSchedule):
    """Everything goes in the first round."""

    def _curve(self, n_start, n_end, progress):
        return n_end


@dataclass(eq=False, repr=False)
class Geometric(_TargetSchedule):
    """The same share of what remains goes in every round."""

    def _curve(self, n_start, n_end, progress):
        return n_start * (n_end / n_start) ** progress


@dataclass(eq=False, repr=False)
class Linear(_TargetSchedule):
    """The same number goes in every round."""

    def _curve(self, n_start, n_end, progress):
        return n_start + (n_end - n_start) * progress


@dataclass(eq=False, repr=False)
class Cubic(_TargetSchedule):
    """Fast at first, slow at the end: what is still to go falls as (1 − t)³ (Zhu & Gupta 2017)."""

    def _curve(self, n_start, n_end, progress):
        return n_end + (n_start - n_end) * (1 - progress) ** 3


class _Rule(BaseEstimator):
    """Decides for itself; the target is only a cap."""

    needs_target, by_rank = False, False

    def n_kept(self, scores, weights, n_start, n_end, number, n_rounds) -> int:
        """Return how many connections survive this round."""
        return max(n_end, self._survivors(scores, weights))


@dataclass(eq=False, repr=False)
class FractionOfRemaining(_Rule):
    """The percentile rule, eq. 7 of Zuo et al. (2019): this share of the remaining goes each round.

    Parameters
    ----------
    fraction : float in [0, 1), default=0.3
    ties : {"exact", "all"}, default="exact"
        "all" removes everything at or below the percentile, as the thesis
        does: where more than this share scores zero, all zeros go.
    """

    fraction: float = 0.3
    ties: str = "exact"
    by_rank = True  # it reads the order in which connections go, not what they are worth

    def _survivors(self, scores, weights):
        check_number(self.fraction, "fraction", low=0, high=1, closed="left")
        if self.ties not in ("exact", "all"):
            raise ValueError(f"ties={self.ties!r} is not known. Use one of 'exact', 'all'.")
        if self.ties == "all":
            return int((scores > np.quantile(scores, self.fraction)).sum())
        return scores.size - math.floor(self.fraction * scores.size)


@dataclass(eq=False, repr=False)
class StdThreshold(_Rule):
    """The λσ rule, eq. 8 of Zuo et al. (2019) after Han et al. (2015).

    Scores below ``quality`` times the standard deviation of the remaining
    weights go. Meant for ``criterion="magnitude"``.

    Parameters
    ----------
    quality : float, default=0.5
        λ.
    """

    quality: float = 0.5

    def _survivors(self, scores, weights):
        check_number(self.quality, "quality", low=0)
        return int((scores >= self.quality * np.std(weights, dtype=np.float64)).sum())


@dataclass(eq=False, repr=False)
class Threshold(_Rule):
    """Scores below a fixed value go.

    Parameters
    ----------
    value : float, default=0.05
    """

    value: float = 0.05

    def _survivors(self, scores, weights):
        check_number(self.value, "value")
        return int((scores >= self.value).sum())


@dataclass(eq=False, repr=False)
class FallingRate(BaseEstimator):
    """A learning rate that falls linearly over a training of which this fit is a stretch.

    For ``learning_rate_schedule`` where a machine is trained in several fits,
    pruned in between, as if in one.

    Parameters
    ----------
    first : float in [0, 1], default=0.0
        Share of the whole training that lies before this fit.
    last : float in [0, 1], default=1.0
        Share that is over after it.

    Examples
    --------
    >>> from skprune.schedules import FallingRate
    >>> second_half = FallingRate(0.5, 1.0)
    >>> second_half(0.0), second_half(0.5), second_half(1.0)
    (0.5, 0.25, 0.0)
    """

    first: float = 0.0
    last: float = 1.0

    def __call__(self, progress) -> float:
        """Return the factor of the rate at this share of the fit."""
        check_number(self.first, "first", low=0, high=1)
        check_number(self.last, "last", low=self.first, high=1)
        return 1.0 - (self.first + (self.last - self.first) * progress)


SCHEDULES = {
    "one_shot": OneShot(),
    "geometric": Geometric(),
    "linear": Linear(),
    "cubic": Cubic(),
}
