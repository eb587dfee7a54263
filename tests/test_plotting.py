"""Displays show the numbers they were given, and say what they cannot show."""

import sys

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
)
from skprune.plotting import (
    ImagesDisplay,
    ReceptiveFieldsDisplay,
    ReconstructionsDisplay,
    SamplesDisplay,
    SparsityDisplay,
    WeightsDisplay,
)

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _close():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def rbm(digits):
    return PrunedBernoulliRBM(12, n_iter=2, initial_sparsity=0.5, random_state=0).fit(digits[:200])


def test_mosaic_by_hand():
    display = ImagesDisplay([[1, 2], [3, 4], [5, 6]], image_shape=(1, 2), n_columns=2)
    nan = np.nan
    np.testing.assert_array_equal(
        display.mosaic(),
        [
            [nan, nan, nan, nan, nan, nan, nan],
            [nan, 1, 2, nan, 3, 4, nan],
            [nan, nan, nan, nan, nan, nan, nan],
            [nan, 5, 6, nan, nan, nan, nan],
            [nan, nan, nan, nan, nan, nan, nan],
        ],
    )
    display.plot(cmap="viridis")
    assert display.image_.get_cmap().name == "viridis"
    np.testing.assert_array_equal(
        np.ma.filled(display.image_.get_array(), np.nan), display.mosaic()
    )


def test_samples_are_the_machines(rbm):
    options = {"n_gibbs_steps": 5, "random_state": 3}
    display = SamplesDisplay.from_estimator(rbm, 7, n_columns=4, **options)
    np.testing.assert_array_equal(display.images, rbm.sample(7, **options))
    assert display.mosaic().shape == (2 * 9 + 1, 4 * 9 + 1)


def test_receptive_fields_show_what_is_connected(rbm, digits):
    display = ReceptiveFieldsDisplay.from_estimator(rbm, units=[3, 5])
    weights, mask = rbm.components_[[3, 5]], rbm.connectivity_[0][[3, 5]]
    np.testing.assert_array_equal(np.isnan(display.images), ~mask)
    np.testing.assert_array_equal(display.images[mask], weights[mask])
    low, high = display.image_.get_clim()
    assert -low == high == np.abs(weights).max()
    assert display.plot(cmap="viridis").image_.get_clim() == (low, high)  # drawn again
    one = ReceptiveFieldsDisplay.from_estimator(make_pipeline(rbm), units=3)
    np.testing.assert_array_equal(one.images, display.images[:1])
    dbm = DBMTransformer((6, 4), pretrain=False, n_iter=1, random_state=0).fit(digits[:100])
    above = ReceptiveFieldsDisplay.from_estimator(dbm, level=1)
    np.testing.assert_allclose(above.images, dbm.components_[1] @ dbm.components_[0], rtol=1e-4)
    three = SparseDBN((6, 5, 4), rbm=PrunedBernoulliRBM(n_iter=1), random_state=0).fit(digits[:99])
    top = ReceptiveFieldsDisplay.from_estimator(three, level=2).images
    first, second, third = three.components_
    np.testing.assert_allclose(top, third @ second @ first, rtol=1e-4, atol=1e-7)


def test_reconstructions_and_completions(digits):
    X = digits[:50].astype(float)
    coder = SparseDBNAutoencoder((8, 3), pretrain=None, n_iter=1, random_state=0).fit(X)
    display = ReconstructionsDisplay.from_estimator(coder, X[:5], n_columns=3)
    back = coder.inverse_transform(coder.transform(X[:5]))
    nan = np.full((1, 64), np.nan)
    np.testing.assert_array_equal(
        display.images, np.vstack([X[:3], back[:3], X[3:5], nan, back[3:], nan])
    )
    dbm = DBMTransformer((6, 4), pretrain=False, n_iter=1, random_state=0).fit(X)
    holes = X[:2].copy()
    holes[:, 32:] = np.nan
    completed = ReconstructionsDisplay.from_estimator(dbm, holes)
    np.testing.assert_array_equal(completed.images, np.vstack([holes, dbm.complete(holes)]))
    with pytest.raises(TypeError, match="cannot fill in missing values"):
        ReconstructionsDisplay.from_estimator(coder, holes)


def test_weights_of_connections_only(rbm):
    display = WeightsDisplay.from_estimator(rbm, bins=10, label="diluted")
    np.testing.assert_array_equal(display.weights[0], rbm.components_[rbm.connectivity_[0]])
    (text,) = display.ax_.get_legend().get_texts()
    assert text.get_text() == f"diluted, {rbm.connectivity_[0].sum():,} connections"


def own_score(machine, X, y=None):
    return machine.score(X)


def test_scores_against_sparsity(digits):
    X = digits[:150]
    rbm = PrunedBernoulliRBM(6, n_iter=1, random_state=0)
    pruner = IterativePruner(rbm, n_rounds=2, scoring=own_score, sparsity=0.8).fit(X)
    display = SparsityDisplay.from_estimator(pruner)
    np.testing.assert_array_equal(display.sparsity, pruner.history_["sparsity"])
    np.testing.assert_array_equal(display.score, pruner.history_["score"])
    np.testing.assert_array_equal(display.score_pruned, pruner.history_["score_pruned"])
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert sorted(labels) == ["before retraining", "pruned"]

    search = IterativePrunerCV(rbm, sparsities=(0.5, 0.9), cv=2).fit(X)
    display = SparsityDisplay.from_estimator(search, label="digits")
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(display.full_score, search.cv_results_["mean_full_score"])

    grid = GridSearchCV(
        IterativePruner(rbm, n_rounds=1), {"sparsity": [0.9, 0.5], "estimator__n_iter": [1, 2]}, cv=2
    ).fit(X)  # fmt: skip
    display = SparsityDisplay.from_estimator(grid)
    means = grid.cv_results_["mean_test_score"]
    sparsities = np.array(grid.cv_results_["param_sparsity"], float)
    assert list(display.sparsity) == [0.5, 0.9]
    assert list(display.score) == [means[sparsities == s].max() for s in (0.5, 0.9)]
    grid.cv_results_["mean_test_score"][np.argmax(means)] = np.nan  # a fit that failed
    assert np.isfinite(SparsityDisplay.from_estimator(grid).score).all()
    grid.cv_results_["param_sparsity"][:] = np.ma.masked
    assert len(SparsityDisplay.from_estimator(grid).score) == 0
    # a search stands for the machine it found
    assert ReceptiveFieldsDisplay.from_estimator(grid).images.shape == (6, 64)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda rbm: ImagesDisplay(np.zeros((2, 10))), ValueError, "do not form a square image. Pass image_shape"),
        (lambda rbm: ImagesDisplay(np.zeros((2, 4)), image_shape=(3, 2)), ValueError, "whose product is the number of features, 4"),
        (lambda rbm: ReceptiveFieldsDisplay.from_estimator(rbm, level=1), ValueError, "level"),
        (lambda rbm: ReceptiveFieldsDisplay.from_estimator(rbm, units=[12]), ValueError, "between 0 and 11"),
        (lambda rbm: ReceptiveFieldsDisplay.from_estimator(SVC().fit([[0], [1]], [0, 1])), TypeError, "has no components_"),
        (lambda rbm: ReconstructionsDisplay.from_estimator(rbm, np.zeros((2, 64)), n_columns=0), ValueError, "n_columns"),
        (lambda rbm: ReconstructionsDisplay.from_estimator(rbm, np.zeros((2, 64))), TypeError, "has no inverse_transform"),
        (lambda rbm: SparsityDisplay.from_estimator(rbm), ValueError, "has no scores by sparsity"),
        (lambda rbm: SamplesDisplay.from_estimator(PrunedBernoulliRBM()), ValueError, "not fitted"),
    ],
)  # fmt: skip
def test_errors_are_sentences(rbm, draw, error, message):
    with pytest.raises(error, match=message):
        draw(rbm)


def test_without_matplotlib(rbm, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("matplotlib"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'skprune\[plot\]'"):
        ReceptiveFieldsDisplay.from_estimator(rbm)


@pytest.mark.parametrize(("value", "shade"), [(1, 0), (0, 1), (16, 0)])
def test_images_of_one_value_keep_their_shade(value, shade):
    """White for 0 and black for anything above, not white for both."""
    image = ImagesDisplay(np.full((2, 4), value)).plot().image_
    drawn = image.cmap(image.norm(value))
    np.testing.assert_allclose(drawn[:3], shade)
