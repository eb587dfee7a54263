"""What a connection or a unit is worth.

A criterion for connections is a function of a :class:`LevelView` that returns
a score for every connection of the level, shape (n_upper, n_lower); one for
units is a function of a :class:`LayerView` and returns a score a unit. Higher is
better, and scores where no connection exists are ignored. A new one is a
function, or a small class where it has parameters, and a row in ``CRITERIA`` or
``UNIT_CRITERIA``.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import entr, expit, logit
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d

from ._machine import inference
from ._machine.levels import Connections
from ._support.options import check_number

__all__ = [
    "CRITERIA",
    "UNIT_CRITERIA",
    "CoActivity",
    "Fisher",
    "FisherEigenvector",
    "FisherHeuristic",
    "Gradient",
    "LayerView",
    "LevelView",
    "Saliency",
    "UnitFisher",
    "activity_variance",
    "contribution",
    "label_information",
    "magnitude",
    "mutual_information",
    "random",
    "unit_magnitude",
    "unit_random",
]


class LevelView(NamedTuple):
    """What a pruning criterion sees of one level.

    Attributes
    ----------
    weights : ndarray of shape (n_upper, n_lower)
    connectivity : ndarray of bool of shape (n_upper, n_lower)
        Connections to score: those that remain, or for regrowth those that are absent.
    rng : numpy.random.RandomState
    states : callable
        ``states(source="data", n_samples=10_000, n_steps_between=50)`` returns
        (lower, upper) states of shape (n_samples, n_units), given rows of the
        data or from the "model", thinned, by the machine's ``layer_samples``.
        Drawn when first asked for, and the same whoever asks.
    """

    weights: np.ndarray
    connectivity: np.ndarray
    rng: np.random.RandomState
    states: Callable | None = None


class LayerView(NamedTuple):
    """What a criterion for units sees of one hidden layer.

    Attributes
    ----------
    below : LevelView
        The level in which the units are the upper ones.
    above : LevelView or None
        The level in which they are the lower ones, if there is one.
    labels : callable
        ``labels()`` returns the labels of the rows in ``below.states("data")``, or
        None where ``fit`` was given no y.
    """

    below: LevelView
    above: LevelView | None = None
    labels: Callable = lambda: None


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
    >>> def states(source):
    ...     return np.array([[0., 0.], [1., 0.]]), None
    >>> contribution(LevelView(np.array([[-2., 9.]]), np.array([[True, True]]), None, states))
    array([[1., 0.]])
    """
    lower, _ = level.states("data")
    return np.abs(level.weights) * lower.std(axis=0, dtype=np.float64)


@dataclass(eq=False, repr=False)
class _Sampled(BaseEstimator):
    """A criterion that is computed from states of the two layers.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
        Gibbs steps between two states kept of a chain of the model.
    """

    n_samples: int = 10_000
    n_steps_between: int = 50

    def _states(self, level, source):
        if source not in ("model", "data"):
            raise ValueError(f"source={source!r} is not known. Use one of 'model', 'data'.")
        check_number(self.n_samples, "n_samples", numbers.Integral, low=2)
        check_number(self.n_steps_between, "n_steps_between", numbers.Integral, low=1)
        return level.states(source, self.n_samples, self.n_steps_between)

    def _products(self, level, source):
        """Mean of lower × upper and of its square, where there is a connection; else 0."""
        return _mean_products(level.connectivity, *self._states(level, source))


@dataclass(eq=False, repr=False)
class _FromStates(_Sampled):
    """A criterion from states of one source.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"
        Where states come from: the machine's own chains, or the data with the
        upper layers drawn given them.
    """

    source: str = "model"


def _mean_products(mask, lower, upper):
    """Mean of lower × upper, and of its square, over samples, on the connections of a mask."""
    n_samples = len(lower)
    if inference.is_binary(lower) and inference.is_binary(upper):
        products = np.zeros(mask.shape)
        counts = inference.pair_counts(Connections.from_mask(mask), lower, upper)
        products[mask] = counts / n_samples
        return products, products
    lower, upper = lower.astype(np.float64), upper.astype(np.float64)
    return (
        np.where(mask, upper.T @ lower / n_samples, 0.0),
        np.where(mask, (upper**2).T @ lower**2 / n_samples, 0.0),
    )


class Fisher(_FromStates):
    """Fisher information of a weight: the variance of v·h (eq. 2.16 of the thesis; Rule et al. 2018).

    .. math:: F = \\langle v^2 h^2 \\rangle - \\langle v h \\rangle^2

    The diagonal of the Fisher information matrix, in nats per squared weight,
    when states are the model's; with ``source="data"`` the same of the data.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import Fisher, LevelView
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> Fisher()(LevelView(np.ones((1, 2)), np.ones((1, 2), bool), None, states))
    array([[0.25, 0.  ]])
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        mean, mean_square = self._products(level, self.source)
        return mean_square - mean**2


class FisherHeuristic(_FromStates):
    """Fisher information from mean activities alone (eq. 3.1 and Appendix A of the thesis).

    .. math:: \\langle vh \\rangle \\approx p
        = \\langle h \\rangle\\, \\sigma(\\sigma^{-1}(\\langle v \\rangle)
        + w (1 - \\langle h \\rangle)), \\qquad F \\approx p (1 - p)

    Good where hidden units are many and nearly independent.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        lower, upper = self._states(level, self.source)
        v, h = lower.mean(axis=0, dtype=np.float64), upper.mean(axis=0, dtype=np.float64)[:, None]
        together = h * expit(logit(v) + level.weights * (1 - h))
        return np.where(level.connectivity, together * (1 - together), 0.0)


class FisherEigenvector(_FromStates):
    """Weight's entry in the leading eigenvector of the Fisher information matrix, in absolute value.

    The matrix, over the biases of both layers and the connections between
    them, is the covariance of (v, h, v·h). It is never formed: Lanczos
    iterations multiply the samples instead, two products over the connections each.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        lower, upper = self._states(level, self.source)
        if not (lower.var(axis=0).any() or upper.var(axis=0).any()):
            return np.zeros(level.connectivity.shape)
        operator = fisher_operator(level.connectivity, lower, upper)
        start = np.ones(operator.shape[0])  # the same vector whatever ran before
        _, vectors = eigsh(operator, k=1, v0=start)
        scores = np.zeros(level.connectivity.shape)
        scores[level.connectivity] = np.abs(vectors[sum(level.connectivity.shape) :, 0])
        return scores


def fisher_operator(mask, lower, upper) -> LinearOperator:
    """Return the Fisher information matrix of a level as an operator.

    The covariance over samples of lower states, upper states, and their
    products where ``mask`` has a connection (row by row), in this order.
    """
    lower, upper = (np.asarray(states, dtype=np.float64) for states in (lower, upper))
    n_samples, n_lower, n_upper = len(lower), lower.shape[1], upper.shape[1]
    matrix = np.zeros(mask.shape)
    mean = np.concatenate(
        [lower.mean(axis=0), upper.mean(axis=0), (upper.T @ lower / n_samples)[mask]]
    )

    def multiply(x):
        x = np.ravel(x)
        matrix[mask] = x[n_lower + n_upper :]
        along = lower @ x[:n_lower] + upper @ x[n_lower : n_lower + n_upper]
        along += ((upper @ matrix) * lower).sum(axis=1)
        along -= mean @ x
        pairs = ((along[:, None] * upper).T @ lower)[mask]
        total = np.concatenate([along @ lower, along @ upper, pairs])
        return total / n_samples - mean * along.mean()

    return LinearOperator((mean.size, mean.size), matvec=multiply, dtype=np.float64)


class Saliency(_FromStates):
    """Saliency of optimal brain damage: w² × Fisher information / 2 (LeCun et al. 1990).

    What removing the connection costs in nats a row, to second order and with
    the diagonal of the matrix alone.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        mean, mean_square = self._products(level, self.source)
        return np.asarray(level.weights, dtype=np.float64) ** 2 * (mean_square - mean**2) / 2


@dataclass(eq=False, repr=False)
class CoActivity(_FromStates):
    """How often both ends are on together, ⟨v h⟩.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="data"
    """

    source: str = "data"

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        return self._products(level, self.source)[0]


class Gradient(_Sampled):
    """Size of the log-likelihood gradient, \\|⟨v h⟩_data − ⟨v h⟩_model\\|.

    For connections that are absent: where the machine would learn most if the
    connection were there (Evci et al. 2020, for feed-forward networks).

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        return np.abs(self._products(level, "data")[0] - self._products(level, "model")[0])


CRITERIA = {
    "magnitude": magnitude,
    "random": random,
    "contribution": contribution,
    "fisher": Fisher(),
    "fisher_heuristic": FisherHeuristic(),
    "fisher_eigenvector": FisherEigenvector(),
    "saliency": Saliency(),
    "coactivity": CoActivity(),
    "gradient": Gradient(),
}


# -------------------------------------------------------------------- units


def _levels_beside(layer: LayerView):
    """Yield the levels beside a layer, and the axis of the other layer's units."""
    yield layer.below, 1
    if layer.above is not None:
        yield layer.above, 0


def unit_magnitude(layer: LayerView) -> np.ndarray:
    """Score a unit by the norm of its weights."""
    return np.sqrt(
        sum(
            (np.asarray(v.weights, np.float64) ** 2).sum(axis=axis)
            for v, axis in _levels_beside(layer)
        )
    )


def unit_random(layer: LayerView) -> np.ndarray:
    """Score a unit by a uniform random number."""
    return layer.below.rng.uniform(size=layer.below.weights.shape[0])


class UnitFisher(_FromStates):
    """Importance of a unit: max(sum of its connections' Fisher information, that of its bias).

    The thesis's measure (section 3.3.2); the Fisher information of a bias is
    the variance of the unit's activity (eq. 2.15).

    Parameters
    ----------
    n_samples : int, default=10_000
    n_steps_between : int, default=50
    source : {"model", "data"}, default="model"
    """

    def __call__(self, layer: LayerView) -> np.ndarray:
        """Return the scores of a layer's units."""
        connections = Fisher(self.n_samples, self.n_steps_between, self.source)
        total = sum(connections(view).sum(axis=axis) for view, axis in _levels_beside(layer))
        _, states = self._states(layer.below, self.source)
        return np.maximum(total, states.var(axis=0, dtype=np.float64))


def activity_variance(layer: LayerView) -> np.ndarray:
    """Score a unit by the variance of its state on the data."""
    _, states = layer.below.states("data")
    return states.var(axis=0, dtype=np.float64)


def mutual_information(layer: LayerView) -> np.ndarray:
    """Score a unit by its information on the layers beside it, in nats (Berglund et al. 2015).

    .. math:: I = H(\\langle p \\rangle) - \\langle H(p) \\rangle,
        \\qquad p = p(h = 1 \\mid \\text{neighbours})

    over the data. The bias of a unit, which the pruner does not see, is the one
    with which its probabilities have the mean that its states have.
    """
    lower, states = layer.below.states("data")
    fields = lower.astype(np.float64) @ np.asarray(layer.below.weights, np.float64).T
    if layer.above is not None:
        _, upper = layer.above.states("data")
        fields += upper.astype(np.float64) @ np.asarray(layer.above.weights, np.float64)
    p = expit(fields + _matching_bias(fields, states.mean(axis=0, dtype=np.float64)))
    return _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0)


def _entropy(p):
    """Entropy of Bernoulli variables in nats."""
    return entr(p) + entr(1 - p)


def _matching_bias(fields, activity, n_halvings=60):
    """Bias of every unit with which its mean probability is its activity; by bisection."""
    low, high = -fields.max(axis=0) - 40, -fields.min(axis=0) + 40
    for _ in range(n_halvings):
        middle = (low + high) / 2
        above = expit(fields + middle).mean(axis=0) > activity
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def label_information(layer: LayerView) -> np.ndarray:
    """Score a unit by the mutual information of its state and the label, in nats.

    After Sánchez-Gutiérrez et al. (2019); needs ``y``.

    Raises
    ------
    ValueError
        If there are no labels.
    """
    labels = layer.labels()
    if labels is None:
        raise ValueError("criterion='label_information' needs labels: give y to fit.")
    _, states = layer.below.states("data")
    classes, codes = np.unique(column_or_1d(labels), return_inverse=True)
    share = np.bincount(codes, minlength=classes.size) / codes.size
    on = np.array([states[codes == c].mean(axis=0, dtype=np.float64) for c in range(classes.size)])
    return _entropy(share @ on) - share @ _entropy(on)


UNIT_CRITERIA = {
    "magnitude": unit_magnitude,
    "random": unit_random,
    "fisher": UnitFisher(),
    "activity_variance": activity_variance,
    "mutual_information": mutual_information,
    "label_information": label_information,
}
