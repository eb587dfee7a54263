"""Measures of the Fisher information, the samples and the features of fitted machines.

The Fisher information matrix of a level is the covariance of (v, h, v·h) under the model (eq. 2.14
to 2.16 of the thesis). Its parameters are, in this order, the biases of the lower units, the
biases of the upper units, and the weights of the existing connections in row-major order. It is
measured in nats per squared parameter.
"""

from __future__ import annotations

import numbers
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._pruning.protocol import connectivity_parameters
from ._support.options import check_number
from ._support.ranges import one_range_warning
from ._support.validation import check_rows
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
    """Return the mask, the lower states and the upper states of a level."""
    masks = estimator.connectivity_
    level = check_number(level, "level", numbers.Integral, low=0, high=len(masks) - 1)
    layers = estimator.layer_samples(X, **options)
    return masks[level], layers[level], layers[level + 1]


def fisher_matrix(estimator, X=None, *, level=0, **options) -> np.ndarray:
    """Estimate the Fisher information matrix of a level from samples.

    .. math:: F = \\mathrm{Cov}[(v, h, v h)]

    Parameters
    ----------
    estimator : estimator
        Fitted machine with ``layer_samples`` and ``connectivity_``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Data to set the visible units to. The layers above are drawn given these rows. If None,
        all states are samples of the model.
    level : int, default=0
        Index of the level, lowest level first.
    **options
        Options of the machine's ``layer_samples``: ``n_samples``, ``n_steps_between`` and
        ``random_state``.

    Returns
    -------
    matrix : ndarray of shape (n_parameters, n_parameters)
        ``n_parameters`` is the number of lower units, upper units and connections together. The
        matrix is dense, so use this function for small machines only.

    Raises
    ------
    ValueError
        If the machine has no such level.

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
    """Return the eigenvalues of the Fisher information matrix of a level, largest first.

    Parameters
    ----------
    estimator : estimator
        Fitted machine with ``layer_samples`` and ``connectivity_``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Data to set the visible units to. If None, all states are samples of the model.
    level : int, default=0
        Index of the level, lowest level first.
    **options
        Options of the machine's ``layer_samples``.

    Returns
    -------
    eigenvalues : ndarray of shape (n_parameters,)
        Eigenvalues in descending order, in nats per squared parameter.

    See Also
    --------
    fisher_matrix : The matrix, and the meaning of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.metrics import fisher_spectrum
    >>> X = np.random.RandomState(0).randint(0, 2, (50, 4))
    >>> fisher_spectrum(PrunedBernoulliRBM(3, n_iter=1, random_state=0).fit(X)).shape
    (19,)
    """
    return np.linalg.eigvalsh(fisher_matrix(estimator, X, level=level, **options))[::-1]


def fisher_trace(estimator, X=None, *, level=0, **options) -> float:
    """Return the trace of the Fisher information matrix of a level, without forming the matrix.

    Parameters
    ----------
    estimator : estimator
        Fitted machine with ``layer_samples`` and ``connectivity_``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Data to set the visible units to. If None, all states are samples of the model.
    level : int, default=0
        Index of the level, lowest level first.
    **options
        Options of the machine's ``layer_samples``.

    Returns
    -------
    trace : float
        Trace in nats per squared parameter.

    See Also
    --------
    fisher_matrix : The matrix, and the meaning of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.metrics import fisher_trace
    >>> X = np.random.RandomState(0).randint(0, 2, (50, 4))
    >>> fisher_trace(PrunedBernoulliRBM(3, n_iter=1, random_state=0).fit(X)) > 0
    True
    """
    mask, lower, upper = _level(estimator, X, level, options)
    rng = np.random.RandomState(0)  # which this criterion does not use
    view = LevelView(np.zeros(mask.shape), mask, rng, lambda *of: (lower, upper))
    biases = sum(states.var(axis=0, dtype=np.float64).sum() for states in (lower, upper))
    return float(Fisher()(view).sum() + biases)


def rank_frequency(X) -> np.ndarray:
    """Return the relative frequency of each distinct row, most frequent first.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows to count.

    Returns
    -------
    frequencies : ndarray of shape (n_patterns,)
        Relative frequencies of the distinct rows. They sum to 1.

    Examples
    --------
    >>> from skprune.metrics import rank_frequency
    >>> rank_frequency([[0, 1], [0, 1], [0, 1], [1, 1]])
    array([0.75, 0.25])
    """
    _, counts = np.unique(check_rows(X, dtype=None), axis=0, return_counts=True)
    return np.sort(counts)[::-1] / counts.sum()


def rank_frequency_gap(X, samples) -> float:
    """Return the distance between the rank-frequency curves of data and of samples.

    The distance is half the sum of the absolute differences of the two curves. It is between 0
    and 1.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Data.
    samples : array-like of shape (n_model_samples, n_features)
        Samples of a model. Draw as many as X has rows: the number of patterns that occur only
        once depends on the number of rows.

    Returns
    -------
    gap : float
        Distance between the curves.

    Examples
    --------
    >>> from skprune.metrics import rank_frequency_gap
    >>> rank_frequency_gap([[0], [0], [0], [1]], [[0], [0], [1], [1]])
    0.25
    """
    curves = [rank_frequency(X), rank_frequency(samples)]
    padded = np.zeros((2, max(curve.size for curve in curves)))
    for row, curve in zip(padded, curves, strict=True):
        row[: curve.size] = curve
    return float(np.abs(padded[0] - padded[1]).sum() / 2)


class SampleQuality(NamedTuple):
    """Result of :func:`sample_quality`.

    Attributes
    ----------
    quality : float
        Mean of ``class_quality`` over the classes that are predicted at least once.
    diversity : float
        Number of samples of the least frequently predicted class, divided by that of the most
        frequently predicted class. It is 0 if some class is never predicted.
    counts : ndarray of shape (n_classes,)
        Number of samples for which each class is predicted.
    class_quality : ndarray of shape (n_classes,)
        Mean predicted probability of each class over the samples for which it is predicted. NaN
        for classes that are never predicted.
    """

    quality: float
    diversity: float
    counts: np.ndarray
    class_quality: np.ndarray


def sample_quality(samples, classifier) -> SampleQuality:
    """Rate samples of a model with a classifier that was trained on data.

    Good samples are classified with high probability, and cover the classes evenly (section 4.3
    of the thesis).

    Parameters
    ----------
    samples : array-like of shape (n_samples, n_features)
        Samples of the visible units, as drawn by the machine's ``sample``.
    classifier : estimator
        Fitted classifier with ``predict_proba``. The thesis uses logistic regression on raw
        digits.

    Returns
    -------
    quality : SampleQuality
        Quality, diversity, and the counts and the quality of each class.

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
    probabilities = classifier.predict_proba(check_rows(samples, "samples"))
    winners = probabilities.argmax(axis=1)
    counts = np.bincount(winners, minlength=probabilities.shape[1])
    sums = np.bincount(winners, probabilities.max(axis=1), minlength=probabilities.shape[1])
    means = np.divide(sums, counts, out=np.full(counts.size, np.nan), where=counts > 0)
    return SampleQuality(
        float(np.nanmean(means)), float(counts.min() / counts.max()), counts, means
    )


@one_range_warning()
def encoding_quality(machine, X, y, X_test, y_test, probe=None) -> tuple[float, float]:
    """Train a classifier on the features of a machine and return its accuracies.

    Parameters
    ----------
    machine : estimator
        Fitted machine with ``transform``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data to train the classifier on.
    y : array-like of shape (n_samples,)
        Labels of X.
    X_test : {array-like, sparse matrix} of shape (n_test_samples, n_features)
        Data to test the classifier on.
    y_test : array-like of shape (n_test_samples,)
        Labels of X_test.
    probe : estimator, default=None
        Classifier, which is cloned. If None, use multinomial logistic regression, as in the thesis.

    Returns
    -------
    accuracies : (float, float)
        Accuracy on the training data and on the test data.

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
    from sklearn.linear_model import LogisticRegression  # importing it takes 0.2 seconds

    check_is_fitted(machine)
    if not hasattr(machine, "transform"):
        raise TypeError(f"{type(machine).__name__} has no method transform. Pass a machine.")
    check_consistent_length(X, y)
    check_consistent_length(X_test, y_test)
    probe = LogisticRegression(max_iter=1000) if probe is None else clone(probe)
    features = machine.transform(X)
    probe.fit(features, y)
    return float(probe.score(features, y)), float(probe.score(machine.transform(X_test), y_test))


class MinimalComparison(NamedTuple):
    """Result of :func:`compare_minimal`.

    Attributes
    ----------
    pruned : float
        Score of the pruned machine.
    minimal : float
        Score of the minimal machine.
    n_connections : int
        Number of connections, which is the same for both machines.
    estimator : estimator
        The fitted minimal machine.
    """

    pruned: float
    minimal: float
    n_connections: int
    estimator: object


@one_range_warning()
def compare_minimal(machine, X, X_test, scoring=None) -> MinimalComparison:
    """Compare a pruned machine with a minimal machine that has the same connections from the start.

    The minimal machine has the units and connections that pruning has left. It is trained from new
    weights, pre-training included (section 4.2.4 of the thesis). The comparison shows whether it
    pays to start from a larger machine and prune it.

    Parameters
    ----------
    machine : estimator
        Fitted, pruned machine with a ``connectivity`` parameter.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data to train the minimal machine on.
    X_test : {array-like, sparse matrix} of shape (n_test_samples, n_features)
        Data to score both machines on.
    scoring : callable, default=None
        A function ``scoring(machine, X_test)`` that returns a score, higher is better. If None,
        use the ``score`` method of the machines.

    Returns
    -------
    comparison : MinimalComparison
        Scores of both machines, their number of connections, and the minimal machine.

    Raises
    ------
    TypeError
        If the machine has no ``connectivity`` parameter.

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
    if scoring is not None and not callable(scoring):
        raise TypeError(
            f"scoring must be a function scoring(machine, X_test) or None, got {scoring!r}."
        )
    masks = [np.array(mask) for mask in machine.connectivity_]
    start = connectivity_parameters(machine, masks)
    if "connectivity" not in start:
        raise TypeError(
            f"{type(machine).__name__} has no parameter connectivity. Pass a PrunedBernoulliRBM or "
            "a DBMTransformer, or the estimator_ of a pruner that prunes one of these."
        )
    minimal = clone(machine).set_params(warm_start=False, **start).fit(X)
    scores = [
        float(one.score(X_test) if scoring is None else scoring(one, X_test))
        for one in (machine, minimal)
    ]
    n_connections = sum(int(mask.sum()) for mask in masks)
    return MinimalComparison(scores[0], scores[1], n_connections, minimal)


class MomentCheck(NamedTuple):
    """Result of :func:`compare_moments`.

    Attributes
    ----------
    mean_gap : float
        Root mean square difference between the means of the units.
    worst_mean : float
        Largest absolute difference between the means of a unit, in standard errors of that
        difference.
    covariance_gap : float
        Root mean square difference between the covariances of pairs of units.
    covariance_correlation : float
        Pearson correlation between the covariances of the data and those of the samples. NaN if
        the covariances of either are all equal.
    """

    mean_gap: float
    worst_mean: float
    covariance_gap: float
    covariance_correlation: float


def compare_moments(X, samples) -> MomentCheck:
    """Compare the means and covariances of binary data with those of samples of a model.

    Agreement does not prove that the model is good. Disagreement shows that the model is bad or
    that its chains do not mix.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    samples : array-like of shape (n_model_samples, n_features)
        Samples of the visible units, as drawn by :meth:`~skprune.PrunedBernoulliRBM.sample`.

    Returns
    -------
    check : MomentCheck
        Differences between the means and between the covariances.

    Raises
    ------
    ValueError
        If X and samples have different numbers of features.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.metrics import compare_moments
    >>> X = np.random.default_rng(0).integers(0, 2, (200, 5))
    >>> compare_moments(X, X).mean_gap
    0.0
    """
    X = check_rows(X, dtype=np.float64, ensure_min_samples=2)
    samples = check_rows(samples, "samples", dtype=np.float64, ensure_min_samples=2)
    if X.shape[1] != samples.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features and samples have {samples.shape[1]}. Pass samples of the "
            "visible units, with as many features as X."
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
