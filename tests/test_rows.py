"""A row of any output depends on that row of the input alone, to the last bit."""

import numpy as np
import pytest
from scipy import sparse

from skprune import (
    DBMTransformer,
    IterativePruner,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._machine import inference
from skprune._support.threads import Team
from tests.machines import random_machine

RBM = PrunedBernoulliRBM(12, n_iter=1, random_state=0)
DBM = DBMTransformer((12, 8), pretrain=False, n_iter=1, n_gibbs_steps=1, random_state=0)
CLASSIFIER = SparseDBNClassifier((12, 8), rbm=RBM, n_iter=1, random_state=0)
MACHINES = {
    "full RBM": RBM,
    "masked RBM": PrunedBernoulliRBM(12, n_iter=1, initial_sparsity=0.3, random_state=0),
    "pruned RBM": PrunedBernoulliRBM(12, n_iter=1, initial_sparsity=0.8, random_state=0),
    "full DBM": DBM,
    "pruned DBM": IterativePruner(DBM, sparsity=0.7, n_rounds=1),
    "DBN": SparseDBN((12, 8), rbm=RBM, random_state=0),
    "labelled DBN": SparseDBN((12, 8), rbm=RBM, join_labels=True, random_state=0),
    "classifier": CLASSIFIER,
    "pruned classifier": IterativePruner(CLASSIFIER, sparsity=0.7, n_rounds=1),
    "autoencoder": SparseDBNAutoencoder((12, 8), rbm=RBM, n_iter=1, random_state=0),
}
METHODS = (
    "transform", "score_samples", "free_energy", "pseudo_log_likelihood", "lower_bound",
    "predict_proba", "inverse_transform", "complete",
)  # fmt: skip


def rows(dtype):
    """150 rows, of which every seventh holds other values than 0 and 1."""
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(150, 40)) < 0.3).astype(dtype)
    X[::7] = rng.uniform(size=X[::7].shape)
    return X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MACHINES)
def test_a_row_depends_on_itself_alone(name, dtype):
    X = rows(dtype)
    machine = MACHINES[name].fit(np.round(X), np.arange(len(X)) % 3)
    for method in METHODS:
        if not hasattr(machine, method):
            continue
        given = machine.transform(X) if method == "inverse_transform" else X
        if method == "complete":
            given = np.where(np.arange(40) < 4, np.nan, X)
        whole = getattr(machine, method)(given)
        for size in (1, 2, 9, 33, 70):
            some = [slice(start, start + size) for start in range(0, min(9 * size, 150), size)]
            alone = np.concatenate([getattr(machine, method)(given[part]) for part in some])
            np.testing.assert_array_equal(alone, whole[: len(alone)], err_msg=method)
        order = np.random.RandomState(1).permutation(len(X))
        np.testing.assert_array_equal(
            getattr(machine, method)(given[order]), whole[order], err_msg=method
        )


@pytest.mark.parametrize("name", ["full RBM", "pruned RBM", "pruned DBM"])
def test_sparse_rows_are_those_of_the_array(name):
    X = rows(np.float32)
    machine = MACHINES[name].fit(np.round(X))
    for method in ("transform", "free_energy", "lower_bound", "pseudo_log_likelihood"):
        if hasattr(machine, method):
            found = getattr(machine, method)(sparse.csr_array(X))
            np.testing.assert_array_equal(found, getattr(machine, method)(X), err_msg=method)


@pytest.mark.parametrize("n_features", [50, 8_300])
def test_sums_over_many_features_have_one_order(n_features):
    """Of one row, of several, and of sparse ones: also beyond the sizes of NumPy's buffers."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(5, n_features)).astype(np.float32)
    X[rng.uniform(size=X.shape) < 0.5] = 0
    vector = rng.normal(size=n_features)
    whole = inference.row_products(X, vector)
    np.testing.assert_allclose(whole, X.astype(float) @ vector)
    np.testing.assert_array_equal(inference.row_products(sparse.csr_array(X), vector), whole)
    for k in range(5):
        np.testing.assert_array_equal(inference.row_products(X[k : k + 1], vector)[0], whole[k])
    stack, (weights,), biases = random_machine(1, "full", sizes=(n_features, 3))
    hidden = rng.uniform(size=(5, 3))
    whole = inference.energy(stack, X, hidden)
    exact = -(X @ biases[0]) - hidden @ biases[1] - ((hidden @ weights) * X).sum(axis=1)
    np.testing.assert_allclose(whole, exact)
    np.testing.assert_array_equal(inference.energy(stack, X[3:4], hidden[3:4])[0], whole[3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mask", ["full", "random"])
@pytest.mark.parametrize("n_rows", [1, 15, 16, 17, 64, 100, 129])
def test_sums_of_any_number_of_rows_have_one_order(dtype, mask, n_rows):
    """Both ways over a level, for all numbers of vectors and tiles."""
    stack, (weights,), _ = random_machine(1, mask, sizes=(37, 23), dtype=dtype)
    stack = stack._replace(biases=tuple(np.zeros_like(bias) for bias in stack.biases))
    rng = np.random.default_rng(0)
    lower, upper = (rng.uniform(size=(n_rows, n)).astype(dtype) for n in (37, 23))
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    up = inference.conditional_means(stack, 1, lower, None)
    down = inference.conditional_means(stack, 0, None, upper)
    np.testing.assert_allclose(up, 1 / (1 + np.exp(-lower @ weights.T)), atol=tolerance)
    np.testing.assert_allclose(down, 1 / (1 + np.exp(-upper @ weights)), atol=tolerance)
    last = slice(n_rows - 1, n_rows)
    one = inference.conditional_means(stack, 1, lower[last], None)
    np.testing.assert_array_equal(one[0], up[-1])
    one = inference.conditional_means(stack, 0, None, upper[last])
    np.testing.assert_array_equal(one[0], down[-1])


def test_blocks_hold_every_row_once():
    """Rows of other values than 0 and 1 are computed apart where others are looked up."""
    stack, _, _ = random_machine(1, "random", sizes=(40, 12), dtype=np.float32, use_edges=True)
    X = rows(np.float32)
    with Team(n_threads=1) as team:
        parts = inference.row_blocks(stack, X, team, 20)
    numbers = np.concatenate([part for part, _ in parts])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(150))
    for part, looked_up in parts:
        assert part.size <= 20
        if inference.looks_up(stack):
            assert (inference.binary_rows(X[part]) == looked_up).all()
        else:
            assert not looked_up
