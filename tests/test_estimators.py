"""scikit-learn's own checks on every estimator; no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    PrunedGaussianRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)

SHUFFLED = (
    "Weights scale the loss of a sample within its minibatch, as in SGDClassifier and MLPClassifier; "
    "repeating a row changes the minibatches and the pre-training."
)
EXPECTED_FAILURES = {  # estimator name -> {check name: reason}
    name: {
        "check_sample_weight_equivalence_on_dense_data": SHUFFLED,
        "check_sample_weight_equivalence_on_sparse_data": SHUFFLED,
    }
    for name in ("SparseDBNClassifier", "SparseDBNAutoencoder")
}


def very_sparse(shape, rng):
    """One connection in ten, at least one: the edge kernels' case."""
    mask = rng.uniform(size=shape) < 0.1
    mask[0, 0] = True
    return mask


# The checks feed Gaussian data to every estimator.
@pytest.mark.filterwarnings("ignore::skprune.exceptions.DataRangeWarning")
@parametrize_with_checks(
    [
        PrunedBernoulliRBM(random_state=0),
        PrunedBernoulliRBM(initial_sparsity=0.5, random_state=0),
        PrunedBernoulliRBM(connectivity=very_sparse, random_state=0),
        PrunedGaussianRBM(random_state=0),
        PrunedGaussianRBM(sigma="learned", initial_sparsity=0.5, random_state=0),
        IterativePruner(PrunedBernoulliRBM(random_state=0)),
        IterativePruner(PrunedGaussianRBM(random_state=0)),
        IterativePruner(
            PrunedBernoulliRBM(random_state=0), target="units", criterion="fisher", sparsity=0.5
        ),
        IterativePrunerCV(
            PrunedBernoulliRBM(32, n_iter=2, random_state=0), sparsities=(0.3, 0.6), cv=2
        ),
        DBMTransformer((8, 6), random_state=0),
        DBMTransformer((8, 6, 4), pretrain=False, n_iter=2, random_state=0),
        SparseDBN((8, 6), random_state=0),
        SparseDBN((8, 6), join_labels=True, random_state=0),
        SparseDBN((8, 6), fine_tune="up_down", random_state=0),
        SparseDBNClassifier((8, 6), random_state=0),
        SparseDBNClassifier(
            (8, 6), pretrain=None, solver="sgd", early_stopping=True, random_state=0
        ),
        SparseDBNAutoencoder((8, 3), random_state=0),
        IterativePruner(SparseDBN((8, 6), random_state=0), n_rounds=1),
        IterativePruner(SparseDBNClassifier((8, 6), random_state=0), sparsity=0.5, n_rounds=1),
        IterativePruner(SparseDBNAutoencoder((8, 3), random_state=0), sparsity=0.5, n_rounds=1),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "name",
    [
        "PrunedBernoulliRBM",
        "PrunedGaussianRBM",
        "DBMTransformer",
        "SparseDBN",
        "SparseDBNClassifier",
        "SparseDBNAutoencoder",
        "IterativePruner",
        "IterativePrunerCV",
    ],
)
def test_every_parameter_and_attribute_is_documented(name):
    import inspect
    import re

    import skprune

    cls = getattr(skprune, name)
    documented = inspect.getdoc(cls)
    for parameter in inspect.signature(cls).parameters:
        assert re.search(rf"^(\w+, )*{parameter}(, \w+)* : ", documented, re.M), parameter
