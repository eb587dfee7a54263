"""What a connection is worth.

A criterion is a function of a :class:`LevelView` that returns a score for
every connection of the level, shape (n_upper, n_lower); higher is better, and
scores where no connection exists are ignored. A new one is a function and a
row in ``CRITERIA``.
"""

from __future__ import annotations

import numpy as np

from ._structures import LevelView

__all__ = ["CRITERIA", "LevelView", "magnitude", "random"]


def magnitude(level: LevelView) -> np.ndarray:
    """Score a connection by |w| (Han et al. 2015; eq. 7 and 8 of Zuo et al. 2019).

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LevelView, magnitude
    >>> magnitude(LevelView(np.array([[-2., 1.]]), np.array([[True, True]]), None))
    array([[2., 1.]])
    """
    return np.abs(level.weights)


def random(level: LevelView) -> np.ndarray:
    """Score a connection by a uniform random number: the control every criterion must beat."""
    return level.rng.uniform(size=level.weights.shape)


CRITERIA = {"magnitude": magnitude, "random": random}
