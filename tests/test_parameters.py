"""Fitted parameters: read-only arrays, assignment and ``set_parameters``; weights that can learn."""

import copy
import pickle
import threading

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import BernoulliRBM

from skprune import (
    DBMTransformer,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._machine.initial import random_weights
from tests import oracles
from tests.machines import oracle_parameters

EVERY = oracles.all_states(6)


def data(n_rows=60):
    return np.random.RandomState(0).randint(0, 2, (n_rows, 6)).astype(float)


def rbm(**options):
    return PrunedBernoulliRBM(4, n_iter=2, random_state=0, **options).fit(data())


def dbm():
    return DBMTransformer((4, 3), n_iter=2, random_state=0).fit(data())


def check_scores(machine):
    """Scores are those of the current parameters."""
    weights, biases = oracle_parameters(machine)
    exact = -oracles.free_energy(weights, biases, EVERY) - oracles.log_z(weights, biases)
    np.testing.assert_allclose(machine.score_samples(EVERY), exact, atol=1e-9)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.7])
def test_public_arrays_of_an_rbm_are_read_only(sparsity):
    machine = rbm(initial_sparsity=sparsity)
    names = ("components_", "intercept_visible_", "intercept_hidden_", "h_samples_")
    for array in (*(getattr(machine, name) for name in names), *machine.connectivity_):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    for array in machine.activity_:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_public_arrays_of_a_dbm_are_read_only():
    machine = dbm()
    arrays = (*machine.components_, *machine.intercepts_, *machine.connectivity_)
    for array in (*arrays, *machine.activity_):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("name", ["components_", "intercept_hidden_", "intercept_visible_"])
def test_parameters_can_be_assigned_as_in_scikit_learn(name):
    machine = rbm()
    machine.score_samples(EVERY)
    for estimator in (machine, BernoulliRBM(4, n_iter=1, random_state=0).fit(data())):
        new = -2 * getattr(estimator, name)
        setattr(estimator, name, new)
        np.testing.assert_array_equal(getattr(estimator, name), new)
    check_scores(machine)


def test_assigned_arrays_are_copied():
    machine, bias = rbm(), np.ones(4)
    machine.intercept_hidden_ = bias
    bias[0] = 7
    assert machine.intercept_hidden_[0] == 1


def test_set_parameters_forgets_what_no_longer_holds():
    machine = rbm(momentum=0.5)
    machine.score_samples(EVERY)
    assert machine._velocity is not None and machine._kept
    assert machine.set_parameters(intercept_visible=np.zeros(6)) is machine
    assert machine._velocity is None and not machine._kept
    means = np.linspace(0.1, 0.9, 6)
    machine.set_parameters(visible_means=means)
    np.testing.assert_array_equal(machine.activity_[0], means)
    exact = expit(means @ machine.components_.T + machine.intercept_hidden_)
    np.testing.assert_allclose(machine.activity_[1], exact, rtol=1e-6)


def test_means_of_the_model_replace_those_of_the_data():
    machine = rbm()
    machine.set_parameters(intercept_visible=[3, -3, 0, 1, -1, 0], components=np.zeros((4, 6)))
    exact = expit(np.array([3.0, -3, 0, 1, -1, 0]))
    np.testing.assert_allclose(machine.activity_[0], exact, atol=0.2)
    assert machine.activity_[0] is not machine.activity_[0]  # a view each time
    again = copy.deepcopy(machine)
    np.testing.assert_array_equal(again.activity_[0], machine.activity_[0])
    unread = rbm().set_parameters(intercept_visible=np.zeros(6))
    loaded = pickle.loads(pickle.dumps(unread))
    np.testing.assert_array_equal(loaded.activity_[0], unread.activity_[0])


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_training_goes_on_from_set_parameters(sparsity):
    machine = rbm(initial_sparsity=sparsity, warm_start=True)
    mask = machine.connectivity_[0]
    machine.set_parameters(0.5 * mask, intercept_hidden=np.zeros(4))
    machine.set_params(n_iter=0).fit(data())
    np.testing.assert_array_equal(machine.components_, 0.5 * mask)
    machine.set_params(n_iter=1).fit(data()).partial_fit(data())
    assert np.isfinite(machine.components_).all() and not machine.components_[~mask].any()
    machine.compact()
    assert machine.sample(3, n_gibbs_steps=5, random_state=0).shape == (3, 6)


def test_new_connections_come_with_their_weights():
    machine = rbm()
    mask = np.eye(4, 6, dtype=bool)
    machine.set_parameters(sparse.csr_array(2.0 * mask), connectivity=mask)
    np.testing.assert_array_equal(machine.components_, 2.0 * mask)
    np.testing.assert_array_equal(machine.connectivity_[0], mask)
    check_scores(machine)
    machine.set_parameters(connectivity=~mask, components=np.zeros((4, 6)))
    assert not machine.components_.any() and machine.connectivity_[0].sum() == 20


def test_set_parameters_of_a_dbm():
    machine = dbm()
    machine.score_samples(data())
    second = np.full((3, 4), 0.25)
    machine.set_parameters([None, second], intercepts=[None, np.ones(4), None])
    np.testing.assert_array_equal(machine.components_[1], second)
    np.testing.assert_array_equal(machine.intercepts_[1], np.ones(4))
    weights, biases = oracle_parameters(machine)
    assert machine.log_partition().value == pytest.approx(oracles.log_z(weights, biases))
    machine.components_ = [2 * matrix for matrix in machine.components_]
    np.testing.assert_array_equal(machine.components_[1], 2 * second)
    machine.intercepts_ = [np.zeros(size) for size in (6, 4, 3)]
    assert not machine.intercepts_[0].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"components": np.ones((4, 5))}, r"must have the shape \(4, 6\), got \(4, 5\)"),
        ({"components": np.full((4, 6), np.nan)}, "must be finite"),
        ({"components": np.full((4, 6), 1j)}, "Complex data not supported"),
        ({"intercept_visible": [1j] * 6}, "Complex data not supported"),
        ({"visible_means": [0.5 + 0j] * 6}, "Complex data not supported"),
        ({"connectivity": np.ones((4, 6), complex)}, "Complex data not supported"),
        ({"components": np.ones((4, 6))}, "belong to connections that do not exist"),
        ({"components": np.full((4, 6), 1e60)}, "must be finite|do not exist"),
        ({"intercept_hidden": np.ones(5)}, "Biases of a layer must have the shape"),
        ({"intercept_visible": [np.inf] * 6}, "must be finite"),
        ({"visible_means": [2.0] * 6}, r"must be in \[0, 1\]"),
        ({"visible_means": [0.5] * 5}, "visible_means must have the shape"),
        ({"connectivity": np.ones((4, 5))}, "connectivity mask has shape"),
        ({"connectivity": np.zeros((4, 6))}, "no connection|do not exist"),
    ],
)
def test_invalid_parameters_change_nothing(given, message):
    machine = rbm(initial_sparsity=0.5)
    before = pickle.dumps(machine)
    with pytest.raises(ValueError, match=message):
        machine.set_parameters(**given)
    assert pickle.dumps(machine) == before


def test_set_parameters_needs_a_fitted_machine():
    for machine in (PrunedBernoulliRBM(), DBMTransformer()):
        with pytest.raises(NotFittedError):
            machine.set_parameters()
    with pytest.raises(NotFittedError):
        PrunedBernoulliRBM().components_ = np.ones((2, 2))
    with pytest.raises(ValueError, match="intercepts must have 3 entries, got 1"):
        dbm().set_parameters(intercepts=[None])


def test_scores_of_a_network_follow_the_parameters_of_its_levels():
    dbn = SparseDBN((5, 4), n_iter=2, random_state=0).fit(data())
    before = dbn.score_samples(EVERY)
    top = dbn.estimators_[-1]
    top.intercept_hidden_ = top.intercept_hidden_ + 3
    after = dbn.score_samples(EVERY)
    np.testing.assert_allclose(after, dbn.lower_bound(EVERY) - dbn.log_partition("exact").value)
    assert np.abs(after - before).max() > 0.1


def test_labels_keep_their_weights_when_the_others_are_assigned():
    y = np.arange(60) % 3
    dbn = SparseDBN((5, 4), join_labels=True, n_iter=2, random_state=0).fit(data(), y)
    top = dbn.estimators_[-1]
    labels = top.layers_.levels[0].matrix()[:, -3:].copy()
    top.components_ = 2 * top.components_
    np.testing.assert_array_equal(top.layers_.levels[0].matrix()[:, -3:], labels)


@pytest.mark.parametrize("n_rows", [1, 20])
@pytest.mark.parametrize(
    "make",
    [
        lambda: PrunedBernoulliRBM(5, n_iter=0, random_state=0),
        lambda: PrunedBernoulliRBM(5, n_iter=0, initial_sparsity=0.5, random_state=0),
        lambda: DBMTransformer((5, 4), n_iter=0, random_state=0),
        lambda: DBMTransformer((5, 4), pretrain=False, n_iter=0, random_state=0),
        lambda: SparseDBN((5, 4), n_iter=0, random_state=0),
    ],
)
def test_equal_rows_give_weights_that_can_learn(make, n_rows):
    X = np.tile([[1.0, 0, 0, 1, 1, 0]], (n_rows, 1))
    machine = make().fit(X)
    found = machine.components_
    for matrix in found if isinstance(found, list) else [found]:
        used = matrix != 0
        assert np.unique(matrix[used]).size == used.sum() > 0
        assert np.abs(matrix[used]).max() > 1e-3


def test_a_first_batch_of_one_row_is_no_trap():
    X = np.random.RandomState(0).randint(0, 2, (300, 1)) ^ np.zeros((1, 6), int)
    machine = PrunedBernoulliRBM(4, learning_rate=0.1, random_state=0).partial_fit(X[:1])
    for _ in range(30):
        machine.partial_fit(X)
    independent = -6 * np.log(2)
    assert machine.score(X) > independent + 1


def test_constant_columns_leave_the_other_weights_as_they_are():
    mask, means = np.ones((3, 4), bool), np.array([0.0, 0.2, 0.7, 1.0])
    weights = random_weights(mask, means * (1 - means), np.random.RandomState(0))
    assert not weights[:, [0, 3]].any() and weights[:, 1:3].all()
    spread = np.array(
        [random_weights(mask, means * 0, np.random.RandomState(k)) for k in range(500)]
    )
    np.testing.assert_allclose(spread.std(), 0.5, rtol=0.05)


def test_simultaneous_gibbs_calls_never_share_draws():
    machine, start = rbm(), np.zeros((50, 6))
    results = []

    def draw():
        results.extend(machine.gibbs(start).tobytes() for _ in range(20))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 80


@pytest.mark.parametrize("make", [PrunedBernoulliRBM, lambda n, **own: DBMTransformer((n,), **own)])
def test_history_and_n_iter_are_those_of_the_last_call(make):
    machine = make(4, n_iter=3, warm_start=True, random_state=0)
    for train, n_passes in (
        (machine.partial_fit, 1),
        (machine.fit, 3),
        (machine.fit, 3),
        (machine.partial_fit, 1),
    ):
        train(data())
        assert machine.n_iter_ == n_passes
        assert {len(values) for values in machine.history_.values()} == {n_passes}


NETWORKS = {
    "classifier": SparseDBNClassifier((5, 4), n_iter=1, n_pretrain_iter=1, random_state=0),
    "autoencoder": SparseDBNAutoencoder((5, 3), n_iter=1, n_pretrain_iter=1, random_state=0),
}


def output_of(network, X):
    """The output of a network by NumPy, from its public parameters."""
    weights = list(network.components_)
    if isinstance(network, SparseDBNClassifier):
        weights.append(network.output_weights_)
    for number, (matrix, bias) in enumerate(zip(weights, network.intercepts_, strict=True)):
        X = X @ matrix.T + bias
        linear_code = isinstance(network, SparseDBNAutoencoder) and number == len(weights) // 2 - 1
        if number < len(weights) - 1 and not linear_code:
            X = expit(X)
    return softmax(X, axis=1) if isinstance(network, SparseDBNClassifier) else expit(X)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_of_networks(name):
    X = data()
    classes = [np.arange(60) % 2, [0, 1]] if name == "classifier" else []
    network = clone(NETWORKS[name]).partial_fit(X, *classes)
    for array in (*network.components_, *network.intercepts_, *network.connectivity_):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert network._moments is not None
    network.components_ = [2 * matrix for matrix in network.components_]
    network.intercepts_ = [bias + 0.5 for bias in network.intercepts_]
    assert network._moments is None
    if name == "classifier":
        network.output_weights_ = -network.output_weights_
        found = network.predict_proba(X)
    else:
        found = network.inverse_transform(network.transform(X))
    np.testing.assert_allclose(found, output_of(network, X), atol=1e-12)
    mask = np.eye(5, 6, dtype=bool)
    others = [None] * (len(network.components_) - 1)
    network.set_parameters([1.0 * mask, *others], connectivity=[mask, *others])
    np.testing.assert_array_equal(network.connectivity_[0], mask)
    with pytest.raises(ValueError, match="components must have"):
        network.set_parameters([None])
    with pytest.raises(ValueError, match="belong to connections that do not exist"):
        network.components_ = [np.ones((5, 6)), *others]
    with pytest.raises(NotFittedError):
        clone(network).set_parameters()
