"""Pruning criteria, which score connections or hidden units.

A criterion for connections is a function of a :class:`LevelView`. It returns an array of shape
(n_upper, n_lower) with one score per connection. Scores of absent connections are ignored. A
criterion for units is a function of a :class:`LayerView`, and returns one score per unit. Pruning
removes what has the lowest scores. The optional method ``check_parameters()`` is called first.

To add one, write a function, or a small class with parameters, and a row in a registry below.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import eigsh
from scipy.special import entr, expit, logit
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d

from ._machine.fisher import fisher_operator, mean_products
from ._support.options import check_choice, check_number

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


def _no_states(*args, **kwargs):
    raise ValueError("This criterion needs states. Pass a function as states of the LevelView.")


class LevelView(NamedTuple):
    """The part of a machine that a criterion for connections can read: one level.

    Attributes
    ----------
    weights : ndarray of shape (n_upper, n_lower)
        Weights of the level.
    connectivity : ndarray of bool of shape (n_upper, n_lower)
        Connections to score. These are the connections that remain, or for regrowth those that
        are absent.
    rng : numpy.random.RandomState
        Random number generator for the criterion.
    states : callable
        ``states(source="data", n_samples=10_000, n_steps_between=50)`` returns (lower, upper)
        states of shape (n_states, n_units), drawn by the machine's ``layer_samples``. If
        ``source`` is "data", the states are at most 10,000 rows of the data and the layers above,
        drawn given these rows. If it is "model", they are ``n_samples`` states of the model, with
        ``n_steps_between`` Gibbs steps between two states of a chain. States are drawn on the
        first call. Later calls with the same arguments return the same states.
    lower_type : {"binary", "gaussian"}
        Type of the lower units. States and weights of Gaussian units are divided by their standard
        deviation given the upper units, so that scores do not depend on the units of the data.
    """

    weights: np.ndarray
    connectivity: np.ndarray
    rng: np.random.RandomState
    states: Callable = _no_states
    lower_type: str = "binary"


class LayerView(NamedTuple):
    """The part of a machine that a criterion for units can read: one hidden layer.

    Attributes
    ----------
    below : LevelView
        The level in which the units are the upper units.
    above : LevelView or None
        The level in which the units are the lower units. None for the top layer.
    labels : callable
        ``labels()`` returns the labels of the rows in ``below.states("data")``, or None if ``fit``
        was called without y.
    """

    below: LevelView
    above: LevelView | None = None
    labels: Callable = lambda: None


def magnitude(level: LevelView) -> np.ndarray:
    """Score each connection by the absolute value of its weight.

    See Han et al. (2015) and eq. 7 and 8 of Zuo et al. (2019).

    Parameters
    ----------
    level : LevelView
        The level to score.

    Returns
    -------
    scores : ndarray of shape (n_upper, n_lower)
        Score of each connection.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LevelView, magnitude
    >>> magnitude(LevelView(np.array([[-2., 1.]]), np.array([[True, True]]), None))
    array([[2., 1.]])
    """
    return np.abs(level.weights)


def random(level: LevelView) -> np.ndarray:
    """Score each connection by a uniform random number.

    This is the control that every other criterion should beat.

    Parameters
    ----------
    level : LevelView
        The level to score.

    Returns
    -------
    scores : ndarray of shape (n_upper, n_lower)
        Score of each connection.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LevelView, random
    >>> rng = np.random.RandomState(0)
    >>> random(LevelView(np.zeros((1, 2)), np.ones((1, 2), bool), rng)).round(2)
    array([[0.55, 0.72]])
    """
    return level.rng.uniform(size=level.weights.shape)


def contribution(level: LevelView) -> np.ndarray:
    """Score each connection by |w| times the standard deviation of its lower unit on the data.

    The score is the standard deviation of what the connection adds to the input of its upper
    unit. A large weight from a unit that hardly varies has a low score.

    Parameters
    ----------
    level : LevelView
        The level to score.

    Returns
    -------
    scores : ndarray of shape (n_upper, n_lower)
        Score of each connection.

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
    """Base class of criteria that are computed from states of the two layers."""

    n_samples: int = 10_000
    n_steps_between: int = 50

    def check_parameters(self) -> None:
        """Raise an error if a parameter is invalid."""
        check_choice("source", getattr(self, "source", "data"), ("model", "data"))
        check_number(self.n_samples, "n_samples", numbers.Integral, low=2)
        check_number(self.n_steps_between, "n_steps_between", numbers.Integral, low=1)

    def _states(self, level, source):
        self.check_parameters()
        return level.states(source, int(self.n_samples), int(self.n_steps_between))

    def _products(self, level, source):
        """Return the means of lower × upper and of its square, 0 for absent connections."""
        return mean_products(level.connectivity, *self._states(level, source))


@dataclass(eq=False, repr=False)
class _FromStates(_Sampled):
    """Base class of criteria that are computed from states of one source."""

    source: str = "model"


class Fisher(_FromStates):
    """Score each connection by the Fisher information of its weight.

    .. math:: F = \\langle v^2 h^2 \\rangle - \\langle v h \\rangle^2

    The Fisher information is the variance of v·h, where v and h are the states of the two units
    (eq. 2.16 of the thesis; Rule et al. 2018). With states of the model it is the diagonal of the
    Fisher information matrix, in nats per squared weight. With ``source="data"`` it is the same
    variance under the data.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="model"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

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
    """Estimate the Fisher information of each weight from mean activities alone.

    .. math:: \\langle vh \\rangle \\approx p
        = \\langle h \\rangle\\, \\sigma(\\sigma^{-1}(\\langle v \\rangle)
        + w (1 - \\langle h \\rangle)), \\qquad F \\approx p (1 - p)

    See eq. 3.1 and Appendix A of the thesis. The estimate is good for layers of many, nearly
    independent hidden units. For a Gaussian lower unit, the mean and the variance of v given h = 1
    are estimated by :math:`\\langle v \\rangle + w (1 - \\langle h \\rangle)` and
    :math:`\\mathrm{Var}(v) - w^2 \\langle h \\rangle (1 - \\langle h \\rangle)`, which is at least 1.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="model"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import FisherHeuristic, LevelView
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> FisherHeuristic()(LevelView(np.ones((1, 2)), np.ones((1, 2), bool), None, states))
    array([[0.25, 0.  ]])
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        lower, upper = self._states(level, self.source)
        v, h = lower.mean(axis=0, dtype=np.float64), upper.mean(axis=0, dtype=np.float64)[:, None]
        if level.lower_type == "gaussian":
            mean = v + level.weights * (1 - h)
            spread = lower.var(axis=0, dtype=np.float64) - level.weights**2 * h * (1 - h)
            scores = h * np.maximum(spread, 1) + h * (1 - h) * mean**2
            return np.where(level.connectivity, scores, 0.0)
        together = h * expit(logit(v) + level.weights * (1 - h))
        return np.where(level.connectivity, together * (1 - together), 0.0)


class FisherEigenvector(_FromStates):
    """Score each connection by its entry in the leading eigenvector of the Fisher information.

    The score is the absolute value of the entry. The Fisher information matrix covers the biases
    of both layers and the weights between them. It is the covariance of (v, h, v·h). The matrix is
    never formed: Lanczos iterations multiply by the samples instead. Each iteration takes two
    products over the connections.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="model"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import FisherEigenvector, LevelView
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> level = LevelView(np.ones((1, 2)), np.ones((1, 2), bool), None, states)
    >>> FisherEigenvector()(level).round(2)
    array([[0.71, 0.  ]])
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        lower, upper = self._states(level, self.source)
        if not (lower.var(axis=0).any() or upper.var(axis=0).any()):
            return np.zeros(level.connectivity.shape)
        operator = fisher_operator(level.connectivity, lower, upper)
        start = np.ones(operator.shape[0])  # a fixed start makes the result reproducible
        _, vectors = eigsh(operator, k=1, v0=start)
        scores = np.zeros(level.connectivity.shape)
        scores[level.connectivity] = np.abs(vectors[sum(level.connectivity.shape) :, 0])
        return scores


class Saliency(_FromStates):
    """Score each connection by its saliency in optimal brain damage (LeCun et al. 1990).

    .. math:: S = w^2 F / 2

    F is the Fisher information of the weight. The saliency estimates how many nats per row are
    lost if the connection is removed. The estimate is a second-order expansion that keeps only the
    diagonal of the Fisher information matrix.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="model"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LevelView, Saliency
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> Saliency()(LevelView(np.full((1, 2), 2.0), np.ones((1, 2), bool), None, states))
    array([[0.5, 0. ]])
    """

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        mean, mean_square = self._products(level, self.source)
        return np.asarray(level.weights, dtype=np.float64) ** 2 * (mean_square - mean**2) / 2


@dataclass(eq=False, repr=False)
class CoActivity(_FromStates):
    """Score each connection by how often its two units are on together, ⟨v h⟩.

    For a Gaussian lower unit, the score is the absolute value of this mean.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="data"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import CoActivity, LevelView
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> CoActivity()(LevelView(np.ones((1, 2)), np.ones((1, 2), bool), None, states))
    array([[0.5, 1. ]])
    """

    source: str = "data"

    def __call__(self, level: LevelView) -> np.ndarray:
        """Return the scores of a level."""
        return np.abs(self._products(level, self.source)[0])


class Gradient(_Sampled):
    """Score each connection by the size of the log-likelihood gradient of its weight.

    .. math:: G = |\\langle v h \\rangle_{data} - \\langle v h \\rangle_{model}|

    This criterion is meant for regrowth. Among absent connections, it prefers those whose weights
    would grow fastest. Evci et al. (2020) use it for feed-forward networks.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import Gradient, LevelView
    >>> def states(source, *of):
    ...     lower = np.array([[0., 1.], [1., 1.]]) if source == "data" else np.zeros((2, 2))
    ...     return lower, np.array([[1.], [1.]])
    >>> Gradient()(LevelView(np.zeros((1, 2)), np.ones((1, 2), bool), None, states))
    array([[0.5, 1. ]])
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
    """Yield each level next to a layer, with the axis that holds the other layer's units."""
    yield layer.below, 1
    if layer.above is not None:
        yield layer.above, 0


def unit_magnitude(layer: LayerView) -> np.ndarray:
    """Score each unit by the Euclidean norm of its weights, on both sides.

    Parameters
    ----------
    layer : LayerView
        The layer to score.

    Returns
    -------
    scores : ndarray of shape (n_units,)
        Score of each unit.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LayerView, LevelView, unit_magnitude
    >>> level = LevelView(np.array([[3.0, 4.0], [0.0, 1.0]]), np.ones((2, 2), bool), None)
    >>> unit_magnitude(LayerView(level))
    array([5., 1.])
    """
    squares: list[np.ndarray] = [
        (np.asarray(level.weights, np.float64) ** 2).sum(axis=axis)
        for level, axis in _levels_beside(layer)
    ]
    return np.sqrt(np.array(squares).sum(axis=0))


def unit_random(layer: LayerView) -> np.ndarray:
    """Score each unit by a uniform random number.

    Parameters
    ----------
    layer : LayerView
        The layer to score.

    Returns
    -------
    scores : ndarray of shape (n_units,)
        Score of each unit.
    """
    return layer.below.rng.uniform(size=layer.below.weights.shape[:1])


class UnitFisher(_FromStates):
    """Score each unit by the Fisher information of its connections or of its bias.

    The score is the larger of two numbers: the sum of the Fisher information of the unit's weights,
    and the Fisher information of its bias (section 3.3.2 of the thesis). The latter is the variance
    of the unit's state (eq. 2.15 of the thesis).

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of states to draw from the model. Of the data, at most 10,000 rows are used.
    n_steps_between : int, default=50
        Number of Gibbs steps between two states that are kept from a chain of the model.
    source : {"model", "data"}, default="model"
        Where the states come from: samples of the model, or rows of the data with the layers
        above drawn given them.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LayerView, LevelView, UnitFisher
    >>> def states(*of):
    ...     return np.array([[0., 1.], [1., 1.]]), np.array([[1.], [1.]])
    >>> level = LevelView(np.ones((1, 2)), np.ones((1, 2), bool), None, states)
    >>> UnitFisher()(LayerView(level))
    array([0.25])
    """

    def __call__(self, layer: LayerView) -> np.ndarray:
        """Return one score per unit of the layer."""
        connections = Fisher(self.n_samples, self.n_steps_between, self.source)
        total = sum(connections(view).sum(axis=axis) for view, axis in _levels_beside(layer))
        _, states = self._states(layer.below, self.source)
        return np.maximum(total, states.var(axis=0, dtype=np.float64))


def activity_variance(layer: LayerView) -> np.ndarray:
    """Score each unit by the variance of its state on the data.

    Parameters
    ----------
    layer : LayerView
        The layer to score.

    Returns
    -------
    scores : ndarray of shape (n_units,)
        Score of each unit.
    """
    _, states = layer.below.states("data")
    return states.var(axis=0, dtype=np.float64)


def mutual_information(layer: LayerView) -> np.ndarray:
    """Score each unit by its mutual information with the adjacent layers, in nats.

    .. math:: I = H(\\langle p \\rangle) - \\langle H(p) \\rangle,
        \\qquad p = p(h = 1 \\mid \\text{neighbours})

    H is the entropy of a Bernoulli variable, and averages are over the data (Berglund et al. 2015).
    The criterion does not see the biases. It gives each unit the bias with which the mean of its
    probabilities equals the mean of its states.

    Parameters
    ----------
    layer : LayerView
        The layer to score.

    Returns
    -------
    scores : ndarray of shape (n_units,)
        Score of each unit.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LayerView, LevelView, mutual_information
    >>> def states(source):
    ...     return np.array([[0.], [1.]]), np.array([[0.], [1.]])
    >>> level = LevelView(np.full((1, 1), 100.0), np.ones((1, 1), bool), None, states)
    >>> mutual_information(LayerView(level)).round(2)  # log 2, as the lower unit determines it
    array([0.69])
    """
    lower, states = layer.below.states("data")
    fields = lower.astype(np.float64) @ np.asarray(layer.below.weights, np.float64).T
    if layer.above is not None:
        _, upper = layer.above.states("data")
        fields += upper.astype(np.float64) @ np.asarray(layer.above.weights, np.float64)
    p = expit(fields + _matching_bias(fields, states.mean(axis=0, dtype=np.float64)))
    return _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0)


def _entropy(p):
    """Return the entropy of Bernoulli variables, in nats."""
    return entr(p) + entr(1 - p)


def _matching_bias(fields, activity, n_halvings=60):
    """Return the bias with which each unit's mean probability equals its activity, by bisection."""
    low, high = -fields.max(axis=0) - 40, -fields.min(axis=0) + 40
    for _ in range(n_halvings):
        middle = (low + high) / 2
        above = expit(fields + middle).mean(axis=0) > activity
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def label_information(layer: LayerView) -> np.ndarray:
    """Score each unit by the mutual information of its state and the label, in nats.

    This criterion follows Sánchez-Gutiérrez et al. (2019). It requires y in ``fit``.

    Parameters
    ----------
    layer : LayerView
        The layer to score.

    Returns
    -------
    scores : ndarray of shape (n_units,)
        Score of each unit.

    Raises
    ------
    ValueError
        If ``fit`` was called without y.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.criteria import LayerView, LevelView, label_information
    >>> def states(source):
    ...     return np.array([[0.], [1.]]), np.array([[0.], [1.]])
    >>> level = LevelView(np.ones((1, 1)), np.ones((1, 1), bool), None, states)
    >>> label_information(LayerView(level, labels=lambda: [0, 1])).round(2)
    array([0.69])
    """
    labels = layer.labels()
    if labels is None:
        raise ValueError("criterion='label_information' needs labels. Pass y to fit.")
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
