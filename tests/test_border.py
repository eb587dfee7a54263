"""Python hands a kernel nothing unchecked: shapes, lengths, indices and parameters."""

import copy

import numpy as np
import pytest
from scipy import sparse

from skprune import DBMTransformer, PrunedBernoulliRBM, SparseDBNAutoencoder
from skprune._machine import inference
from skprune._machine.levels import Connections
from skprune._support.threads import Team
from skprune._training.passes import load_minibatches
from skprune.connectivity import as_dense


def test_data_that_do_not_fit_a_layer_never_reach_a_kernel():
    """Kernels do not check shapes: they would read past the end of a row."""
    out = inference.states_array(5, 8, np.float32)
    rows = np.arange(3)
    inference.load(np.zeros((3, 5)), rows, out)
    for X in (np.zeros((3, 4)), np.zeros((3, 6)), np.zeros(5), sparse.csr_array((3, 6))):
        with pytest.raises(ValueError, match="the layer they are loaded into has 5 units"):
            inference.load(X, rows, out)
    for wrong in (rows + 1, rows - 1, np.arange(65) % 3):
        with pytest.raises(ValueError, match="rows of 3 do not fit"):
            inference.load(np.zeros((3, 5)), wrong, out)


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("n_features", [3, 31, 500])
def test_rows_of_another_width_are_refused_by_every_score(sparsity, n_features):
    X = (np.random.default_rng(0).uniform(size=(40, 30)) < 0.4).astype(np.uint8)
    rbm = PrunedBernoulliRBM(8, n_iter=0, initial_sparsity=sparsity, random_state=0).fit(X)
    stack, wrong = rbm.layers_.stack(), np.zeros((40, n_features), np.uint8)
    with rbm.layers_.team(1) as team:
        for function in (inference.mean_field, inference.free_energy):
            with pytest.raises(ValueError, match=r"has 30 units|no product with"):
                function(stack, wrong, team)
    with pytest.raises(ValueError, match="no product with a vector of 30"):
        inference.row_products(wrong, stack.biases[0])


def test_states_of_other_layers_are_not_counted_in_pairs():
    connections = Connections.from_mask(np.ones((3, 5), bool))
    lower, upper = np.zeros((7, 5)), np.zeros((7, 3))
    inference.pair_counts(connections, lower, upper)
    for pair in ((upper, lower), (lower, upper[:6]), (lower[:, :4], upper)):
        with pytest.raises(ValueError, match="are needed"):
            inference.pair_counts(connections, *pair)


def test_minibatches_fit_their_buffers():
    X, sizes = np.zeros((10, 5)), np.array([5, 5])
    buffer, bits = np.zeros((2, 5, 8)), np.zeros((2, 0, 5), np.uint16)
    with Team(n_threads=1) as team:
        load_minibatches(X, np.arange(10), sizes, buffer, bits, team)
        for changed in (
            {"X": np.zeros((10, 6))}, {"order": np.arange(10) + 1}, {"order": np.arange(9)},
            {"sizes": np.array([1, 9])}, {"sizes": np.array([4, 3, 3])},
        ):  # fmt: skip
            given = {"X": X, "order": np.arange(10), "sizes": sizes} | changed
            with pytest.raises(ValueError, match=r"do(es)? not fit|the layer they are loaded into"):
                load_minibatches(*given.values(), buffer, bits, team)


def corrupt(format):
    """A sparse matrix of shape (4, 5) whose indices go beyond it."""
    X = sparse.coo_array(np.eye(4, 5)).asformat(format)
    indices = X.coords[1] if format == "coo" else X.indices
    indices.flags.writeable = True
    indices[1] = 10**6
    return X


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "bsr"])
def test_corrupt_sparse_masks_and_weights_are_refused(format):
    """SciPy would write beyond the array."""
    rbm = PrunedBernoulliRBM(4, n_iter=0, random_state=0).fit(np.eye(5))
    np.testing.assert_array_equal(as_dense(sparse.eye_array(4, 5, format=format)), np.eye(4, 5))
    for call in (
        lambda: rbm.set_parameters(corrupt(format)),
        lambda: rbm.set_connectivity([corrupt(format)]),
        lambda: PrunedBernoulliRBM(4, connectivity=corrupt(format)).fit(np.eye(5)),
    ):
        with pytest.raises(ValueError, match=r"out of bounds|must be <|must be >="):
            call()


@pytest.mark.parametrize("index", [-1, 5, 10**6])
def test_corrupt_csr_data_are_refused(index):
    rbm = PrunedBernoulliRBM(4, n_iter=0, random_state=0).fit(np.eye(5))
    X = sparse.csr_array(np.eye(5))
    X.indices[2] = index
    for call in (rbm.fit, rbm.transform, rbm.score_samples, rbm.gibbs):
        with pytest.raises(ValueError, match=r"ind(ex|ices)"):
            call(X)


def test_duplicates_are_summed_and_explicit_zeros_are_zeros():
    """Of CSR data, in training and in every score."""
    dense = np.array([[1.0, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0]])
    rows = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    columns = np.array([0, 0, 2, 0, 2, 0, 1, 1, 1])
    values = np.array([0.25, 0.75, 1, 0, 1, 1, 1, 0.5, 0.5])
    odd = sparse.csr_array((4, 3))
    odd.indptr, odd.indices = np.cumsum([0, *np.bincount(rows)]).astype(np.int32), columns
    odd.data = values
    assert odd.nnz == 9
    np.testing.assert_array_equal(odd.toarray(), dense)
    for options in ({}, {"initial_sparsity": 0.5}):
        a, b = (
            PrunedBernoulliRBM(4, n_iter=2, random_state=0, **options).fit(X) for X in (dense, odd)
        )
        np.testing.assert_array_equal(a.components_, b.components_)
        for method in ("transform", "score_samples", "pseudo_log_likelihood"):
            np.testing.assert_array_equal(getattr(a, method)(dense), getattr(a, method)(odd))


def test_too_many_stored_values_are_refused():
    """A level and CSR data count their entries by 32-bit integers."""

    class Huge(sparse.csr_array):
        nnz = property(lambda self: 2**31)

        def check_format(self, full_check=True):
            pass  # it would see that there are fewer

    rbm = PrunedBernoulliRBM(4, n_iter=0, random_state=0).fit(np.eye(5))
    with pytest.raises(ValueError, match=str(2**31)):
        rbm.transform(Huge(np.eye(5)))
    indices = np.broadcast_to(np.uint16(0), 2**31)
    with pytest.raises(ValueError, match=r"at most 2\^31 - 1 connections"):
        Connections(np.array([0, 2**31]), indices, 4).check()


def test_limits_of_the_mean_field_are_checked_when_they_are_used():
    """Parameters can be set after fit."""
    X = np.eye(5)
    dbm = DBMTransformer((4, 3), pretrain=False, n_iter=0, random_state=0).fit(X)
    for parameters in (
        {"mean_field_tolerance": "low"}, {"mean_field_tolerance": np.nan},
        {"max_mean_field_updates": 0}, {"max_mean_field_updates": 1.5},
    ):  # fmt: skip
        changed = copy.deepcopy(dbm).set_params(**parameters)
        for call in (changed.transform, changed.score_samples, changed.layer_samples):
            with pytest.raises((TypeError, ValueError), match=next(iter(parameters))):
                call(X)


@pytest.mark.parametrize("name", ["code", "output"])
def test_activation_functions_are_checked_when_they_are_used(name):
    network = SparseDBNAutoencoder((3,), pretrain=None, n_iter=0, random_state=0).fit(np.eye(5))
    with pytest.raises(ValueError, match=f"{name}='cubic' is not known"):
        network.set_params(**{name: "cubic"}).transform(np.eye(5))
