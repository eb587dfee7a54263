"""What a machine is like: its Fisher information, its samples.

The Fisher information of a level is the covariance of (v, h, v·h) under the
machine (eq. 2.14 to 2.16 of the thesis): with respect to the biases of the lower
units, those of the upper units, and the weights of the connections there are, row
by row, in this order. Units: nats per squared parameter.
"""

from __future__ import annotations

import numpy as np

from .criteria import Fisher, LevelView

__all__ = [
    "fisher_matrix",
    "fisher_spectrum",
    "fisher_trace",
    "rank_frequency",
    "rank_frequency_gap",
]


def _level(estimator, X, level, options):
    """(mask, lower states, upper states) of a level."""
    masks = estimator.connectivity_
    if not 0 <= level < len(masks):
        raise ValueError(
            f"level={level} is not one of the machine's levels, 0 to {len(masks) - 1}."
        )
    layers = estimator.layer_samples(X, **options)
    return masks[level], layers[level], layers[level + 1]


def fisher_matrix(estimator, X=None, *, level=0, **options) -> np.ndarray:
    """Return the Fisher information matrix of a level, by sampling.

    Parameters
    ----------
    estimator : machine
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Take lower states from these data; None takes all states from the model.
    level : int, default=0
    **options
        ``n_samples``, ``n_steps_between`` and ``random_state`` of ``layer_samples``.

    Returns
    -------
    matrix : ndarray of shape (n_parameters, n_parameters)
        n_parameters = lower units + upper units + connections; the matrix is
        formed, so this is for small machines.

    Raises
    ------
    ValueError
        If there is no such level.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.metrics import fisher_matrix
    >>> X = np.random.RandomState(0).randint(0, 2, (50, 4))
    >>> fisher_matrix(PrunedBernoulliRBM(3, n_iter=1, random_state=0).fit(X)).shape
    (19, 19)
    """
    mask, lower, upper = _level(estimator, X, level, options)
    rows, columns = np.nonzero(mask)
    statistics = np.hstack([lower, upper, upper[:, rows] * lower[:, columns]]).astype(np.float64)
    statistics -= statistics.mean(axis=0)
    return statistics.T @ statistics / len(statistics)


def fisher_spectrum(estimator, X=None, *, level=0, **options) -> np.ndarray:
    """Return the eigenvalues of :func:`fisher_matrix`, largest first.

    Parameters
    ----------
    estimator : machine
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
    level : int, default=0
    **options
        As in :func:`fisher_matrix`.

    Returns
    -------
    eigenvalues : ndarray of shape (n_parameters,)
    """
    return np.linalg.eigvalsh(fisher_matrix(estimator, X, level=level, **options))[::-1]


def fisher_trace(estimator, X=None, *, level=0, **options) -> float:
    """Return the trace of :func:`fisher_matrix`, without forming it.

    Parameters
    ----------
    estimator : machine
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
    level : int, default=0
    **options
        As in :func:`fisher_matrix`.

    Returns
    -------
    trace : float
    """
    mask, lower, upper = _level(estimator, X, level, options)
    view = LevelView(np.zeros(mask.shape), mask, None, lambda *of: (lower, upper))
    biases = sum(states.var(axis=0, dtype=np.float64).sum() for states in (lower, upper))
    return float(Fisher()(view).sum() + biases)


def rank_frequency(X) -> np.ndarray:
    """Return how often each pattern occurs among rows, the most frequent first.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    frequencies : ndarray of shape (n_patterns,)
        They sum to 1.

    Examples
    --------
    >>> from skprune.metrics import rank_frequency
    >>> rank_frequency([[0, 1], [0, 1], [0, 1], [1, 1]])
    array([0.75, 0.25])
    """
    _, counts = np.unique(np.asarray(X), axis=0, return_counts=True)
    return np.sort(counts)[::-1] / counts.sum()


def rank_frequency_gap(X, samples) -> float:
    """Return how far two rank-frequency plots are apart: half the sum of |differences|, 0 to 1.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    samples : array-like of shape (n_model_samples, n_features)
        As many as rows of X, or the tail of single patterns is not comparable.

    Returns
    -------
    gap : float
    """
    curves = [rank_frequency(X), rank_frequency(samples)]
    padded = np.zeros((2, max(curve.size for curve in curves)))
    for row, curve in zip(padded, curves, strict=True):
        row[: curve.size] = curve
    return float(np.abs(padded[0] - padded[1]).sum() / 2)
