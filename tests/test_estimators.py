"""scikit-learn's own checks on every estimator; no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skprune import IterativePruner, IterativePrunerCV, PrunedBernoulliRBM

EXPECTED_FAILURES = {}  # estimator name -> {check name: reason}


def very_sparse(shape, rng):
    """One connection in ten, at least one: the edge kernels' case."""
    mask = rng.uniform(size=shape) < 0.1
    mask[0, 0] = True
    return mask


@parametrize_with_checks(
    [
        PrunedBernoulliRBM(random_state=0),
        PrunedBernoulliRBM(initial_sparsity=0.5, random_state=0),
        PrunedBernoulliRBM(connectivity=very_sparse, random_state=0),
        IterativePruner(PrunedBernoulliRBM(random_state=0)),
        IterativePruner(
            PrunedBernoulliRBM(random_state=0), target="units", criterion="fisher", sparsity=0.5
        ),
        IterativePrunerCV(
            PrunedBernoulliRBM(32, n_iter=2, random_state=0), sparsities=(0.3, 0.6), cv=2
        ),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["PrunedBernoulliRBM", "IterativePruner", "IterativePrunerCV"])
def test_every_parameter_and_attribute_is_documented(name):
    import inspect
    import re

    import skprune

    cls = getattr(skprune, name)
    documented = inspect.getdoc(cls)
    for parameter in inspect.signature(cls).parameters:
        assert re.search(rf"^(\w+, )*{parameter}(, \w+)* : ", documented, re.M), parameter
