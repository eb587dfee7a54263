"""What a machine is like: its Fisher information, its samples.

The Fisher information of a level is the covariance of (v, h, v·h) under the
machine (eq. 2.14 to 2.16 of the thesis): with respect to the biases of the lower
units, those of the upper units, and the weights of the connections there are, row
by row, in this order. Units: nats per squared parameter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._pruning.protocol import connectivity_parameters
from .criteria import Fisher, LevelView

__all__ = [
    "MinimalComparison",
    "MomentCheck",
    "SampleQuality",
    "compare_minimal",
    "compare_moments",
    "encoding_quality",
    "fisher_matrix",
    "fisher_spectrum",
    "fisher_trace",
    "rank_frequency",
    "rank_frequency_gap",
    "sample_quality",
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


class SampleQuality(NamedTuple):
    """How a classifier of real data sees samples of a model.

    Attributes
    ----------
    quality : float
        Mean over the classes of the mean probability of the winning class; classes that win
        nowhere do not count.
    diversity : float
        Smallest number of samples that a class wins over the largest; 0 where one wins nowhere.
    counts : ndarray of shape (n_classes,)
        Samples that each class wins.
    class_quality : ndarray of shape (n_classes,)
        Mean probability of each class where it wins; NaN where it wins nowhere.
    """

    quality: float
    diversity: float
    counts: np.ndarray
    class_quality: np.ndarray


def sample_quality(samples, classifier) -> SampleQuality:
    """Judge samples of a model by a classifier that was trained on data (thesis, section 4.3).

    Parameters
    ----------
    samples : array-like of shape (n_samples, n_features)
        As ``sample`` of a machine draws them.
    classifier : estimator
        Fitted, with ``predict_proba``: in the thesis logistic regression on raw digits.

    Returns
    -------
    quality : SampleQuality

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skprune.metrics import sample_quality
    >>> X, y = np.eye(4), [0, 0, 1, 1]
    >>> sample_quality(X, LogisticRegression().fit(X, y)).diversity
    1.0
    """
    check_is_fitted(classifier)
    probabilities = classifier.predict_proba(check_array(samples))
    winners = probabilities.argmax(axis=1)
    counts = np.bincount(winners, minlength=probabilities.shape[1])
    sums = np.bincount(winners, probabilities.max(axis=1), minlength=probabilities.shape[1])
    means = np.divide(sums, counts, out=np.full(counts.size, np.nan), where=counts > 0)
    return SampleQuality(
        float(np.nanmean(means)), float(counts.min() / counts.max()), counts, means
    )


def encoding_quality(machine, X, y, X_test, y_test, probe=None) -> tuple[float, float]:
    """Return the accuracies (train, test) of a probe on a machine's features.

    Parameters
    ----------
    machine : estimator
        Fitted, with ``transform``.
    X, X_test : {array-like, sparse matrix} of shape (n_samples, n_features)
    y, y_test : array-like of shape (n_samples,)
    probe : estimator, default=None
        Classifier; None is multinomial logistic regression, as in the thesis.

    Returns
    -------
    accuracies : (float, float)

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.metrics import encoding_quality
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 6))
    >>> machine = PrunedBernoulliRBM(4, random_state=0).fit(X)
    >>> train, test = encoding_quality(machine, X[:50], X[:50, 0], X[50:], X[50:, 0])
    >>> 0 <= test <= 1
    True
    """
    from sklearn.linear_model import LogisticRegression  # a fifth of a second at import

    probe = LogisticRegression(max_iter=1000) if probe is None else clone(probe)
    features = machine.transform(X)
    probe.fit(features, y)
    return float(probe.score(features, y)), float(probe.score(machine.transform(X_test), y_test))


class MinimalComparison(NamedTuple):
    """A pruned machine beside one that never had more than what pruning left.

    Attributes
    ----------
    pruned, minimal : float
        Scores of both.
    n_connections : int
        Connections of either.
    estimator : estimator
        The minimal machine, fitted.
    """

    pruned: float
    minimal: float
    n_connections: int
    estimator: object


def compare_minimal(machine, X, X_test, scoring=None) -> MinimalComparison:
    """Train a minimal model, and score it beside the pruned machine whose connections it has.

    The minimal model starts from new weights, pre-training included, on the connections and units that pruning has left
    (thesis, section 4.2.4): is it worth starting from more?

    Parameters
    ----------
    machine : machine
        Pruned and fitted, with a ``connectivity`` parameter.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        What the minimal model is trained on, as its parameters say.
    X_test : {array-like, sparse matrix} of shape (n_test_samples, n_features)
    scoring : callable, default=None
        ``scoring(machine, X_test)``, higher is better; None takes the machines' own ``score``.

    Returns
    -------
    comparison : MinimalComparison

    Raises
    ------
    TypeError
        If the machine has no ``connectivity`` to start from.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import IterativePruner, PrunedBernoulliRBM
    >>> from skprune.metrics import compare_minimal
    >>> X = np.random.RandomState(0).randint(0, 2, (100, 8))
    >>> pruner = IterativePruner(PrunedBernoulliRBM(5, random_state=0), sparsity=0.5).fit(X)
    >>> compare_minimal(pruner.estimator_, X, X).n_connections
    20
    """
    check_is_fitted(machine)
    masks = [np.array(mask) for mask in machine.connectivity_]
    start = connectivity_parameters(machine, masks)
    if "connectivity" not in start:
        raise TypeError(
            f"{type(machine).__name__} has no parameter connectivity, so that no minimal model can be made of "
            "it; give a PrunedBernoulliRBM or a DBMTransformer, of a pruner its estimator_."
        )
    minimal = clone(machine).set_params(warm_start=False, **start).fit(X)
    scores = [
        float(one.score(X_test) if scoring is None else scoring(one, X_test))
        for one in (machine, minimal)
    ]
    return MinimalComparison(*scores, sum(int(mask.sum()) for mask in masks), minimal)


class MomentCheck(NamedTuple):
    """How far samples of a model are from data, by first and second moments.

    Attributes
    ----------
    mean_gap : float
        Root mean square difference of the means of the units.
    worst_mean : float
        Largest difference of a mean, in standard errors of the difference.
    covariance_gap : float
        Root mean square difference of the covariances of pairs of units.
    covariance_correlation : float
        Pearson's r between the covariances of the data and of the samples.
    """

    mean_gap: float
    worst_mean: float
    covariance_gap: float
    covariance_correlation: float


def compare_moments(X, samples) -> MomentCheck:
    """Compare means and covariances of binary data with those of a model's samples.

    Agreement does not prove a good model, disagreement shows a bad one, or
    chains that do not mix.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    samples : array-like of shape (n_model_samples, n_features)
        As :meth:`~skprune.PrunedBernoulliRBM.sample` draws them.

    Returns
    -------
    check : MomentCheck

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.metrics import compare_moments
    >>> X = np.random.default_rng(0).integers(0, 2, (200, 5))
    >>> compare_moments(X, X).mean_gap
    0.0
    """
    X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_min_samples=2)
    if sparse.issparse(X):
        X = X.toarray()
    samples = check_array(samples, dtype=np.float64, ensure_min_samples=2)
    if X.shape[1] != samples.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features and samples have {samples.shape[1]}: compare samples of "
            "the visible units with data of the same width."
        )
    gap = X.mean(axis=0) - samples.mean(axis=0)
    error = np.sqrt(X.var(axis=0, ddof=1) / len(X) + samples.var(axis=0, ddof=1) / len(samples))
    certain = np.where(gap == 0, 0.0, np.inf)  # constant on both sides
    worst = np.divide(np.abs(gap), error, out=certain, where=error > 0)
    pairs = np.triu_indices(X.shape[1], k=1)
    of_data, of_model = (np.atleast_2d(np.cov(part.T))[pairs] for part in (X, samples))
    spread = of_data.std() * of_model.std()
    together = ((of_data - of_data.mean()) * (of_model - of_model.mean())).mean()
    return MomentCheck(
        float(np.sqrt((gap**2).mean())),
        float(worst.max()),
        float(np.sqrt(((of_data - of_model) ** 2).mean())),
        float(together / spread) if spread > 0 else float("nan"),
    )
