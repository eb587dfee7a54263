"""What a connection is worth.

A criterion is a function of a :class:`LevelView` that returns a score for
every connection of the level, shape (n_upper, n_lower); higher is better, and
scores where no connection exists are ignored. A new one is a function and a
row in ``CRITERIA``.
"""

from __future__ import annotations

import numpy as np

from ._structures import LevelView

__all__ = ["CRITERIA", "LevelView", "contribution", "magnitude", "random"]


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


def contribution(level: LevelView) -> np.ndarray:
    """Score a connection by |w| times the standard deviation of its lower unit on the data.

    That is how much the connection moves the input of its upper unit; a large
    weight on a unit that hardly varies is worth little.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LevelView, contribution
    >>> states = np.array([[0., 0.], [1., 0.]]), None
    >>> contribution(LevelView(np.array([[-2., 9.]]), np.array([[True, True]]), None, lambda: states))
    array([[1., 0.]])
    """
    lower, _ = level.data_states()
    return np.abs(level.weights) * lower.std(axis=0, dtype=np.float64)


CRITERIA = {"magnitude": magnitude, "random": random, "contribution": contribution}
