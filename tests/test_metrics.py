"""Metrics: Fisher information of a machine, and what its samples and features are like."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, SparseDBN
from skprune.metrics import (
    compare_minimal,
    compare_moments,
    encoding_quality,
    fisher_matrix,
    fisher_spectrum,
    fisher_trace,
    rank_frequency,
    rank_frequency_gap,
    sample_quality,
)
from tests.test_criteria import exact_fisher


def test_fisher_matrix_of_a_machine():
    """Matrix, spectrum and trace agree; the trace is that of the diagonal criterion and the biases."""
    X = (np.random.RandomState(0).uniform(size=(300, 6)) < 0.4).astype(np.uint8)
    rbm = PrunedBernoulliRBM(4, n_iter=3, initial_sparsity=0.5, random_state=0).fit(X)
    options = {"n_samples": 2000, "n_steps_between": 5, "random_state": 0}
    matrix = fisher_matrix(rbm, **options)
    v, h = rbm.layer_samples(**options)
    np.testing.assert_allclose(matrix, exact_fisher(v, h, rbm.connectivity_[0]), atol=1e-12)
    spectrum = fisher_spectrum(rbm, **options)
    assert (np.diff(spectrum) <= 0).all()
    np.testing.assert_allclose(spectrum, np.linalg.eigvalsh(matrix)[::-1], atol=1e-12)
    assert fisher_trace(rbm, **options) == pytest.approx(np.trace(matrix))
    given = fisher_matrix(rbm, X, random_state=0)
    np.testing.assert_allclose(np.diag(given)[:6], X.var(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"level must be an integer in \[0, 0\], got 3"):
        fisher_matrix(rbm, level=3)


def test_rank_frequency():
    X = np.array([[0, 0], [1, 1], [0, 0], [0, 1], [0, 0], [1, 1]])
    np.testing.assert_allclose(rank_frequency(X), [1 / 2, 1 / 3, 1 / 6])
    np.testing.assert_allclose(rank_frequency_gap(X, X[:, ::-1]), 0)
    np.testing.assert_allclose(rank_frequency_gap(X, np.zeros((4, 2))), 1 / 2)


def test_moments_of_samples():
    X = np.array([[0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 1, 0]])
    same = compare_moments(X, X)
    assert same[:3] == (0, 0, 0)
    assert same.covariance_correlation == pytest.approx(1)
    other = np.array([[0, 1, 1], [1, 0, 1], [0, 1, 0], [1, 0, 0]])
    crossed = compare_moments(X, other)
    assert crossed.mean_gap == 0
    # one of three covariances is 1/3 and -1/3, the others are 0
    assert crossed.covariance_gap == pytest.approx(np.sqrt((2 / 3) ** 2 / 3))
    assert crossed.covariance_correlation == pytest.approx(-1)
    shifted = compare_moments(X, 1 - X * [0, 0, 1])
    assert shifted.mean_gap == pytest.approx(np.sqrt(2 * 0.5**2 / 3))
    assert shifted.worst_mean == pytest.approx(0.5 / np.sqrt(1 / 3 / 4))
    assert compare_moments(np.zeros((3, 2)), np.ones((3, 2))).worst_mean == np.inf
    with pytest.raises(ValueError, match="3 features and samples have 2"):
        compare_moments(X, X[:, :2])


def test_sample_quality_by_hand():
    """Three samples of one class, one of another, none of the third."""

    class Judge(BaseEstimator):
        def fit(self, X, y):
            return self

        def __sklearn_is_fitted__(self):
            return True

        def predict_proba(self, X):
            return np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.9, 0.0]])

    found = sample_quality(np.zeros((4, 2)), Judge())
    assert found.quality == pytest.approx((0.7 + 0.9) / 2)
    assert found.diversity == 0
    np.testing.assert_array_equal(found.counts, [3, 1, 0])
    np.testing.assert_allclose(found.class_quality, [0.7, 0.9, np.nan])


@pytest.mark.parametrize(
    "machine",
    [
        PrunedBernoulliRBM(6, initial_sparsity=0.2, n_iter=2, random_state=0),
        DBMTransformer((6, 4), n_iter=2, random_state=0),
    ],
)
def test_minimal_models_have_what_pruning_left(machine):
    X = np.random.RandomState(0).randint(0, 2, (80, 8))
    pruned = IterativePruner(machine, sparsity=0.6, n_rounds=2).fit(X).estimator_
    found = compare_minimal(pruned, X[:60], X[60:])
    for mask, other in zip(found.estimator.connectivity_, pruned.connectivity_, strict=True):
        np.testing.assert_array_equal(mask, other)
    assert found.n_connections == sum(mask.sum() for mask in pruned.connectivity_)
    assert found.pruned == pruned.score(X[60:])
    assert found.minimal == found.estimator.score(X[60:]) != found.pruned
    means = compare_minimal(pruned, X, X, scoring=lambda one, rows: one.transform(rows).mean())
    assert means.pruned == pytest.approx(pruned.transform(X).mean())


def test_a_minimal_model_needs_a_machine_with_connectivity():
    X = np.random.RandomState(0).randint(0, 2, (30, 8))
    network = SparseDBN((4, 3), rbm=PrunedBernoulliRBM(n_iter=1), random_state=0).fit(X)
    with pytest.raises(TypeError, match="SparseDBN has no parameter connectivity"):
        compare_minimal(network, X, X)


def test_encoding_quality(digits):
    y = (digits.sum(axis=1) > 24).astype(int)
    rbm = PrunedBernoulliRBM(20, n_iter=3, random_state=0).fit(digits)
    parts = (digits[:1000], y[:1000], digits[1000:], y[1000:])
    for probe in (None, SVC()):
        train, test = encoding_quality(rbm, *parts, probe=probe)
        assert 0.7 < test <= 1 and 0.7 < train <= 1
    probe = LogisticRegression(max_iter=1000).fit(rbm.transform(parts[0]), parts[1])
    expected = probe.score(rbm.transform(parts[2]), parts[3])
    assert encoding_quality(rbm, *parts)[1] == pytest.approx(expected)
