"""Feed-forward networks: gradients by finite differences, and the estimators as a user meets them."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._kernels import backprop_steps
from skprune._kernels import draws as draw_kernels
from skprune._network import base as network_base
from skprune._training.unrolling import FeedForwardLevel
from skprune.criteria import Fisher
from tests.machines import (
    compute_by,
    level_values,
    replace_values,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(network, X, kinds):
    """Every layer in NumPy, from the public weights."""
    layers = [X]
    for number, kind in enumerate(kinds):
        field = layers[-1] @ network._levels[number].matrix().T + network._biases[number + 1]
        if kind == "logistic":
            field = sigmoid(field)
        if kind == "softmax":
            field = np.exp(field - field.max(axis=1, keepdims=True))
            field /= field.sum(axis=1, keepdims=True)
        layers.append(field)
    return layers


def loss(network, X, T, weights, kinds, l2):
    out = forward(network, X, kinds)[-1]
    if kinds[-1] == "linear":
        each = 0.5 * ((out - T) ** 2).sum(axis=1)
    elif kinds[-1] == "softmax":
        each = -(T * np.log(out)).sum(axis=1)
    else:
        each = -(T * np.log(out) + (1 - T) * np.log(1 - out)).sum(axis=1)
    decay = sum((w**2).sum() for w in level_values(network)) * l2 / 2
    return (each * weights).sum() / len(X) + decay


def tiny(kind, mask, rng, **parameters):
    """(network, X, what fit is given beside X, targets, kinds) of a small fitted network."""
    X = rng.uniform(size=(11, 6))
    common = {
        "pretrain": None, "solver": "sgd", "momentum": 0.0, "n_iter": 0, "batch_size": 11,
        "learning_rate_schedule": "constant", "random_state": 0, **parameters,
    }  # fmt: skip
    if kind == "classifier":
        y = rng.integers(0, 3, 11)
        network = SparseDBNClassifier((5, 4), **common).fit(X, y)
        kinds, targets, given = ["logistic", "logistic", "softmax"], np.eye(3)[y], {"y": y}
    else:
        output, code = kind
        network = SparseDBNAutoencoder((5, 3), output=output, code=code, **common).fit(X)
        kinds, given = ["logistic", code, "logistic", output], {}
        targets = X / X.sum(axis=1, keepdims=True) if output == "softmax" else X
    if mask:
        share = {"edges": 0.4, "dense": 0.8}[mask]
        network.set_connectivity([rng.uniform(size=m.shape) < share for m in network.connectivity_])
    for number, values in enumerate(level_values(network)):
        replace_values(network, number, values + rng.normal(size=values.shape))
    for bias in network._biases[1:]:
        bias += rng.normal(size=bias.shape)
    return network, X, given, targets, kinds


CASES = ["classifier", ("logistic", "linear"), ("linear", "logistic"), ("softmax", "linear")]


@pytest.mark.parametrize("mask", [None, "dense", "edges"])
@pytest.mark.parametrize("kind", CASES, ids=str)
def test_gradient_is_that_of_finite_differences(kind, mask):
    rng = np.random.default_rng(3)
    network, X, given, targets, kinds = tiny(kind, mask, rng, l2=0.1, learning_rate=1e-3)
    sample_weight = rng.uniform(0.5, 2, len(X))
    network.set_params(warm_start=True, n_iter=1)
    stepped = pickle.loads(pickle.dumps(network)).fit(X, **given, sample_weight=sample_weight)
    inputs, weights = X, sample_weight
    if kinds[-1] == "softmax" and kind != "classifier":
        inputs = targets * X.sum(axis=1).mean()
        weights = sample_weight * X.sum(axis=1) / X.sum(axis=1).mean()
    assert stepped.history_["loss"][0] * weights.mean() == pytest.approx(
        loss(network, inputs, targets, weights, kinds, 0.0), rel=1e-9
    )
    arrays = [level_values(machine) + machine._biases[1:] for machine in (network, stepped)]
    for number, (array, after) in enumerate(zip(*arrays, strict=True)):
        moved = (array - after) / 1e-3
        for place in list(np.ndindex(array.shape))[::3]:
            slope = 0.0
            for sign in (1, -1):
                before = array[place]
                array[place] = before + sign * 1e-5
                slope += sign * loss(network, inputs, targets, weights, kinds, 0.1) / 2e-5
                array[place] = before
            assert moved[place] == pytest.approx(slope, rel=1e-4, abs=1e-7), number


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_masked_levels_learn_as_edges_do(monkeypatch, solver):
    """Two epochs of a network pruned by a fifth: connections that are gone take no part."""
    network, X, given, _, _ = tiny(
        "classifier", "dense", np.random.default_rng(4), solver=solver, momentum=0.5, l2=0.1,
        batch_size=4, learning_rate=0.1, warm_start=True,
    )  # fmt: skip
    assert all(0 < (~mask).sum() < mask.size / 2 for mask in network.connectivity_)
    fitted = []
    for form in ("dense", "edges"):
        compute_by(monkeypatch, form)
        again = pickle.loads(pickle.dumps(network)).set_params(n_iter=2)
        fitted.append(again.fit(X, **given))
    dense, edges = fitted
    for ours, theirs in zip(dense.components_, edges.components_, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(dense.predict_proba(X), edges.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(dense.history_["loss"], edges.history_["loss"], atol=1e-12)


def test_predictions_are_those_of_numpy():
    rng = np.random.default_rng(0)
    network, X, _, _, kinds = tiny("classifier", "edges", rng)
    expected = forward(network, X, kinds)[-1]
    np.testing.assert_allclose(network.predict_proba(X), expected, rtol=1e-12)
    np.testing.assert_allclose(network.predict_log_proba(X), np.log(expected), rtol=1e-10)
    np.testing.assert_allclose(network.output_weights_, network._levels[2].matrix())
    assert [w.shape for w in network.components_] == [(5, 6), (4, 5)]
    network, X, _, _, kinds = tiny(("logistic", "linear"), "edges", rng)
    layers = forward(network, X, kinds)
    np.testing.assert_allclose(network.transform(X), layers[2], rtol=1e-12)
    np.testing.assert_allclose(network.inverse_transform(layers[2]), layers[4], rtol=1e-12)
    np.testing.assert_allclose(
        network.score_samples(X), -((layers[4] - X) ** 2).sum(axis=1), rtol=1e-12
    )


def test_adam_is_adam():
    rng = np.random.default_rng(1)
    network, X, given, targets, kinds = tiny(
        "classifier", "edges", rng, solver="adam", learning_rate=0.01
    )
    network.set_params(warm_start=True, n_iter=4)
    twin = pickle.loads(pickle.dumps(network))
    network.fit(X, **given)
    first = [0.0] * 6
    second = [0.0] * 6
    for step in range(1, 5):
        layers = forward(twin, X, kinds)
        error = (layers[3] - targets) / len(X)
        slopes = [None] * 6
        for number in (2, 1, 0):
            slope = error.T @ layers[number]
            stored = twin._levels[number].connections
            slopes[number] = slope if stored is None else slope[twin._levels[number].mask()]
            slopes[3 + number] = error.sum(axis=0)
            error = error @ twin._levels[number].matrix() * layers[number] * (1 - layers[number])
        arrays = [*level_values(twin), *twin._biases[1:]]
        for k, (array, slope) in enumerate(zip(arrays, slopes, strict=True)):
            first[k] = 0.9 * first[k] + 0.1 * slope
            second[k] = 0.999 * second[k] + 0.001 * slope**2
            rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            array -= rate * first[k] / (np.sqrt(second[k]) + 1e-8)
    for ours, theirs in zip(level_values(network), level_values(twin), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_momentum_and_max_norm():
    rng = np.random.default_rng(1)
    network, X, given, _, _ = tiny("classifier", "edges", rng, max_norm=0.5, learning_rate=0.01)
    network.set_params(warm_start=True, n_iter=1).fit(X, **given)
    norms = np.linalg.norm(network._levels[0].matrix(), axis=1)
    assert norms.max() == pytest.approx(0.5) and (norms <= 0.5 + 1e-12).all()
    slow, X, given, _, _ = tiny("classifier", None, np.random.default_rng(2), learning_rate=1e-4)
    fast = pickle.loads(pickle.dumps(slow))
    start = slow._levels[0].values.copy()
    slow.set_params(warm_start=True, n_iter=3).fit(X, **given)
    fast.set_params(warm_start=True, n_iter=3, momentum=0.5).fit(X, **given)
    # nearly constant slope g: 3 g without, (1 + 1.5 + 1.75) g with momentum 1/2
    ratio = (fast._levels[0].values - start) / (slow._levels[0].values - start)
    assert np.median(ratio) == pytest.approx(4.25 / 3, rel=1e-2)


@pytest.mark.parametrize(("dropout", "input_dropout"), [(0.4, 0.0), (0.0, 0.3), (0.4, 0.3)])
def test_gradient_with_dropout_is_that_of_the_thinned_network(dropout, input_dropout):
    rng = np.random.default_rng(5)
    network, X, given, targets, _ = tiny("classifier", "edges", rng, learning_rate=1e-3)
    network.set_params(warm_start=True, n_iter=1, dropout=dropout, input_dropout=input_dropout)
    key, step, n = network._key, network._n_steps, len(X)
    order = np.random.default_rng([int(key), step]).permutation(n)
    gains = []
    for layer, share in ((0, input_dropout), (1, dropout), (2, dropout)):
        draws = np.empty((network._biases[layer].size, n), np.float32)
        draw_kernels.uniforms(key, step, backprop_steps.NETWORK_DROPOUT + layer, draws)
        gain = np.empty((n, draws.shape[0]))
        gain[order] = (np.float32(share) <= draws.T) / (1 - share)
        gains.append(gain)

    def thinned_loss():
        layer = X * gains[0]
        for number in (0, 1):
            field = layer @ network._levels[number].matrix().T + network._biases[number + 1]
            layer = sigmoid(field) * gains[number + 1]
        field = layer @ network._levels[2].matrix().T + network._biases[3]
        return (np.log(np.exp(field).sum(axis=1)) - (field * targets).sum(axis=1)).mean()

    stepped = pickle.loads(pickle.dumps(network)).fit(X, **given)
    for array, after in zip(
        level_values(network) + network._biases[1:],
        level_values(stepped) + stepped._biases[1:],
        strict=True,
    ):
        for place in np.ndindex(array.shape):
            before, ends = array[place], []
            for sign in (1, -1):
                array[place] = before + sign * 1e-5
                ends.append(thinned_loss())
            array[place] = before
            slope = (ends[0] - ends[1]) / 2e-5
            assert (before - after[place]) / 1e-3 == pytest.approx(slope, rel=1e-4, abs=1e-7)


def problem(n=300, seed=0):
    """Two kinds of noisy stripes."""
    rng = np.random.RandomState(seed)
    y = rng.randint(0, 3, n)
    means = np.array([[0.9, 0.1] * 8, [0.1, 0.9] * 8, [0.9] * 8 + [0.1] * 8])
    return (rng.uniform(size=(n, 16)) < means[y]).astype(np.uint8), np.array(["a", "b", "c"])[y]


def classifier(**parameters):
    return SparseDBNClassifier(
        **{
            "hidden_layer_sizes": (12, 8),
            "solver": "sgd",
            "n_iter": 20,
            "batch_size": 20,
            "random_state": 0,
        }
        | parameters
    )


@pytest.mark.parametrize(("solver", "rate"), [("adam", 0.005), ("sgd", 0.1)])
def test_a_rate_of_its_own_for_every_solver(solver, rate):
    X, y = np.eye(6), np.arange(6) % 2
    for network, given in ((classifier, (X, y)), (autoencoder, (X,))):
        fitted = network(solver=solver, pretrain=None, n_iter=1, learning_rate_schedule="constant")
        assert fitted.fit(*given).history_["learning_rate"] == [rate]


def autoencoder(**parameters):
    return SparseDBNAutoencoder(
        **{
            "hidden_layer_sizes": (12, 4),
            "solver": "sgd",
            "n_iter": 20,
            "batch_size": 20,
            "random_state": 0,
        }
        | parameters
    )


@pytest.mark.parametrize("pretrain", ["rbm", "autoencoder", "supervised", None])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_it_learns_from_every_start(pretrain, solver):
    X, y = problem()
    rate = {"sgd": 0.1, "adam": 0.01}[solver]
    network = classifier(pretrain=pretrain, solver=solver, learning_rate=rate, n_iter=40)
    network.fit(X[:200], y[:200])
    assert network.score(X[200:], y[200:]) > 0.9
    coder = autoencoder(pretrain=pretrain, solver=solver, learning_rate=rate, n_iter=60)
    coder.fit(X[:200], y[:200])
    variance = ((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert -coder.score(X[200:]) < 0.75 * variance
    assert (np.diff(coder.history_["loss"])[-5:] < 0.05).all()


def test_same_bits_for_any_threads_and_for_csr(force_threads):
    X, y = problem()
    pruner = IterativePruner(sparsity=0.7, n_rounds=1)
    expected = {}
    for n_threads in (1, 2):
        force_threads(n_threads)
        for make in (classifier, autoencoder):
            for data in (X, sparse.csr_array(X)):
                network = make(pruner=pruner, dropout=0.2, n_iter=3).fit(data, y)
                bits = [w.tobytes() for w in level_values(network)]
                assert expected.setdefault(make, bits) == bits
                assert np.isfinite(network.history_["loss"]).all()


@pytest.mark.parametrize("make", [classifier, autoencoder])
def test_a_pruned_connection_stays_zero(make):
    X, y = problem()
    pruner = IterativePruner(make(n_iter=5), sparsity=0.8, n_rounds=3, random_state=0).fit(X, y)
    network = pruner.estimator_
    for weights, mask in zip(network.components_, network.connectivity_, strict=True):
        assert not weights[~mask].any()
        assert weights[mask].all()
    assert pruner.sparsity_ == pytest.approx(0.8, abs=0.01)
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.components_[0], network.components_[0])
    assert len(pruner.connectivity_) == (2 if make is classifier else 4)


@pytest.mark.parametrize("criterion", ["magnitude", "random", Fisher(source="data")])
@pytest.mark.parametrize("retrain", ["continue", "rewind", "reinitialize"])
def test_pruners_take_networks(criterion, retrain):
    X, y = problem()
    pruner = IterativePruner(
        classifier(n_iter=10), sparsity=0.6, n_rounds=2, criterion=criterion, retrain=retrain,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert pruner.score(X, y) > 0.8
    assert list(pruner.classes_) == ["a", "b", "c"]


def test_levels_pruned_before_the_next_is_trained():
    X, y = problem()
    network = classifier(pruner=IterativePruner(sparsity=0.5, n_rounds=2)).fit(X, y)
    assert [int(mask.sum()) for mask in network.connectivity_] == [12 * 16 // 2, 12 * 8 // 2]
    assert isinstance(network.pretrained_, SparseDBN)
    assert network.score(X, y) > 0.9


def test_pretrained_networks_are_taken_as_they_are():
    X, y = problem()
    dbn = SparseDBN((12, 8), random_state=3).fit(X)
    network = classifier(pretrain=FrozenEstimator(dbn), n_iter=0).fit(X, y)
    np.testing.assert_array_equal(network.components_[1], dbn.components_[1])
    assert network.pretrained_ is dbn
    template = classifier(pretrain=SparseDBN((7,), random_state=1), n_iter=0).fit(X, y)
    assert template.components_[0].shape == (7, 16)


def test_linear_code_starts_near_the_logistic_one():
    X, _ = problem()
    dbn = SparseDBN((12, 4), rbm=PrunedBernoulliRBM(n_iter=30), random_state=0).fit(X)
    errors = {}
    for code in ("linear", "logistic"):
        coder = autoencoder(pretrain=FrozenEstimator(dbn), n_iter=0, code=code).fit(X)
        errors[code] = -coder.score(X)
    constant = ((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert errors["logistic"] < constant
    assert errors["linear"] < constant


def test_counts_are_read_as_shares():
    rng = np.random.RandomState(0)
    topics = rng.dirichlet(np.full(10, 0.3), size=3)
    X = np.array([rng.multinomial(rng.randint(5, 60), topics[k % 3]) for k in range(200)])
    coder = autoencoder(output="softmax", pretrain=None, solver="adam", learning_rate=0.01)
    coder.set_params(n_iter=60).fit(X)
    shares = coder.inverse_transform(coder.transform(X))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(coder.transform(X), coder.transform(X * 3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        coder.transform(sparse.csr_array(X.astype(float))), coder.transform(X.astype(float)),
        rtol=1e-6,
    )  # fmt: skip
    entropy = -(X * np.log(np.maximum(X.mean(axis=0) / X.mean(axis=0).sum(), 1e-9))).sum() / X.sum()
    assert coder.history_["loss"][-1] < 0.9 * entropy
    assert coder.fit(X * 4).history_["loss"][-1] < 0.9 * entropy  # rows as long as that enter so
    pretrained = autoencoder(output="softmax", n_iter=60, learning_rate=0.01).fit(X)
    assert pretrained.history_["loss"][-1] < 0.9 * entropy
    greedy = autoencoder(output="softmax", n_iter=60, learning_rate=0.01, pretrain="autoencoder")
    assert greedy.fit(X).history_["loss"][-1] < 0.9 * entropy
    with pytest.raises(ValueError, match="needs counts"):
        coder.fit(X - 1)


@pytest.fixture
def seen_rows(monkeypatch):
    """The data of every training by epochs, in the order of the trainings."""
    seen = []

    class Spy(network_base.BackpropTrainer):
        def __post_init__(self):
            seen.append(self.X)
            super().__post_init__()

    monkeypatch.setattr(network_base, "BackpropTrainer", Spy)
    return seen


def rows_not_in(X, trained):
    """Which rows of X were not trained on. All rows are different."""
    among = {row.tobytes() for row in trained}
    assert len(among) == len(trained)
    out = np.array([row.tobytes() not in among for row in X])
    assert (~out).sum() == len(trained)
    return np.flatnonzero(out)


def different_rows():
    """The data of ``problem``, in which no two rows are equal."""
    X, y = problem()
    X = X.astype(float)
    X[:, 0] = np.linspace(0, 1, len(X))
    return X, y


@pytest.mark.parametrize(("share", "n_held"), [(0.1, 30), (0.25, 75), (0.333, 100)])
def test_the_rows_held_back_are_those_not_trained_on(seen_rows, share, n_held):
    """They are a share of the rows, rounded up, and of every class if all classes have enough."""
    X, y = different_rows()
    assert len(X) == 300
    options = {"early_stopping": True, "n_iter": 2, "pretrain": None, "validation_fraction": share}
    network = classifier(**options).fit(X, y)
    out = rows_not_in(X, seen_rows[-1])
    assert len(out) == n_held
    for label in "abc":
        assert abs((y[out] == label).sum() - share * (y == label).sum()) <= 1
    scores = network.history_["validation_score"]
    assert network.score(X[out], y[out]) == pytest.approx(scores.max())
    assert (np.diff(out) != out[1] - out[0]).any()  # chosen at random
    rare = y.copy()
    rare[rare == "c"], rare[17] = "b", "c"  # one row of a class cannot be shared out
    classifier(**options).fit(X, rare)
    assert len(rows_not_in(X, seen_rows[-1])) == n_held
    coder = autoencoder(**options).fit(X)
    out = rows_not_in(X, seen_rows[-1])
    assert len(out) == n_held
    best = coder.history_["validation_score"].max()
    assert coder.score(X[out]) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(("tol", "n_epochs"), [(0.0, 9), (0.9, 4)])
def test_an_improvement_below_tol_does_not_count(tol, n_epochs):
    """No score improves by 0.9, so the first epoch and three more without improvement are run."""
    X, y = problem()
    network = classifier(
        early_stopping=True, n_iter=9, n_iter_no_change=3, tol=tol, learning_rate=1e-4,
        validation_fraction=0.3, pretrain="rbm",
    ).fit(X, y)  # fmt: skip
    scores = network.history_["validation_score"]
    if tol:
        assert np.ptp(scores) < tol
        assert network.n_iter_ == n_epochs
    assert not any(
        max(scores[k - 3 : k]) < max(scores[: k - 3]) + tol for k in range(4, network.n_iter_)
    )


def test_early_stopping_keeps_the_best_epoch(seen_rows):
    X, y = different_rows()
    noisy = np.where(np.random.RandomState(1).uniform(size=len(y)) < 0.5, y, "a")
    network = classifier(
        early_stopping=True, n_iter=300, n_iter_no_change=5, validation_fraction=0.3,
        learning_rate=0.3, pretrain=None,
    ).fit(X, noisy)  # fmt: skip
    scores = network.history_["validation_score"]
    assert len(scores) == network.n_iter_ < 300
    assert max(scores[-5:]) < max(scores[:-5]) + 1e-4
    out = rows_not_in(X, seen_rows[-1])
    assert network.score(X[out], noisy[out]) == pytest.approx(scores.max())
    coder = autoencoder(early_stopping=True, n_iter=30, n_iter_no_change=3, learning_rate=0.5)
    scores = coder.fit(X).history_["validation_score"]
    out = rows_not_in(X, seen_rows[-1])
    assert coder.score(X[out]) == pytest.approx(scores.max(), rel=1e-5)
    assert scores.max() > scores[0]


def test_warm_start_and_partial_fit():
    X, y = problem()
    network = classifier(warm_start=True, n_iter=2).fit(X, y)
    first = network.history_["loss"][0]
    assert network.fit(X, y).history_["loss"][0] < first
    with pytest.raises(ValueError, match="not among the classes"):
        network.fit(X, np.where(y == "a", "z", y))
    network = classifier(pretrain=None)
    with pytest.raises(ValueError, match="classes must be passed"):
        network.partial_fit(X, y)
    for _ in range(60):
        network.partial_fit(X[:150], y[:150], classes=["a", "b", "c"])
    assert network.score(X, y) > 0.9
    with pytest.raises(ValueError, match="must be the same as on the first call"):
        network.partial_fit(X, y, classes=["a", "b"])
    coder = autoencoder(pretrain=None)
    before = coder.partial_fit(X).score(X)
    for _ in range(40):
        coder.partial_fit(X)
    assert coder.score(X) > before


def test_class_weight_is_sample_weight():
    X, y = problem()
    weight = {"a": 1.0, "b": 2.0, "c": 0.5}
    by_class = classifier(class_weight=weight, n_iter=3).fit(X, y)
    by_sample = classifier(n_iter=3).fit(X, y, sample_weight=[weight[label] for label in y])
    np.testing.assert_array_equal(by_class._levels[1].values, by_sample._levels[1].values)
    with pytest.raises(ValueError, match="non-zero"):
        classifier(n_iter=3).fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="total weight of 0"):
        classifier(class_weight=dict.fromkeys("abc", 0.0)).fit(X, y)
    some = np.isin(y, ["a", "b"])
    network = classifier(class_weight={"c": 3.0}, pretrain=None)
    plain = classifier(pretrain=None)
    for own in (network, plain):  # a part of the data lacks a class
        own.partial_fit(X[some], y[some], classes=["a", "b", "c"])
    np.testing.assert_array_equal(network._levels[0].values, plain._levels[0].values)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=["a", "b", "c"])


def test_rows_that_are_held_back_count_as_given(seen_rows):
    X, y = different_rows()
    for make, targets in ((classifier, (y,)), (autoencoder, ())):
        weight = np.random.RandomState(0).uniform(size=len(y)) ** 4
        network = make(early_stopping=True, n_iter=2, pretrain=None).fit(
            X, *targets, sample_weight=weight
        )
        out = rows_not_in(X, seen_rows[-1])
        if make is classifier:
            expected = network.score(X[out], y[out], sample_weight=weight[out])
        else:
            expected = np.average(network.score_samples(X[out]), weights=weight[out])
        assert network.history_["validation_score"].max() == pytest.approx(expected, rel=1e-5)
        alone = np.zeros(len(y))
        alone[out[0]] = 1
        with pytest.raises(ValueError, match="have a total weight of 0"):
            make(early_stopping=True, pretrain=None).fit(X, *targets, sample_weight=alone)
    with pytest.raises(ValueError, match="have a total weight of 0"):
        autoencoder(output="softmax", pretrain=None).fit(np.zeros((20, 5)))


def test_named_levels_are_parameters():
    X, y = problem()
    levels = [("a", PrunedBernoulliRBM(12, n_iter=1)), ("b", PrunedBernoulliRBM(8, n_iter=1))]
    for make in (classifier, autoencoder):
        network = clone(make(hidden_layer_sizes=levels, n_iter=1)).set_params(a__n_components=9)
        assert network.fit(X, y).components_[0].shape == (9, 16)
        assert network.get_params()["b__n_components"] == 8
    pruner = IterativePruner(classifier(n_iter=1), n_rounds=1).fit(X, y)
    weight = (y == "a").astype(float)
    hits = pruner.predict(X) == y
    assert pruner.score(X, y, sample_weight=weight) == pytest.approx(hits[y == "a"].mean())


def test_layer_samples_of_a_network():
    X, y = problem()
    network = classifier().fit(X, y)
    layers = network.layer_samples(X, random_state=0)
    assert [layer.shape for layer in layers] == [(300, 16), (300, 12), (300, 8)]
    assert set(np.unique(layers[2])) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="does not generate states"):
        network.layer_samples()
    codes = autoencoder().fit(X).layer_samples(X, random_state=0)
    assert len(codes) == 5 and not set(np.unique(codes[2])) <= {0.0, 1.0}


def test_in_pipelines_and_grids():
    X, y = problem()
    pipeline = make_pipeline(MinMaxScaler(), IterativePruner(classifier(n_iter=10), n_rounds=1))
    search = GridSearchCV(
        pipeline,
        {
            "iterativepruner__sparsity": [0.3, 0.6],
            "iterativepruner__estimator__hidden_layer_sizes": [(8,), (12, 8)],
        },
        cv=2,
    ).fit(X, y)
    assert search.best_score_ > 0.8
    coder = make_pipeline(MinMaxScaler(), IterativePruner(autoencoder(n_iter=3), n_rounds=1))
    assert (
        GridSearchCV(coder, {"iterativepruner__sparsity": [0.3, 0.6]}, cv=2).fit(X).best_score_ < 0
    )
    named = autoencoder().set_output(transform="pandas").fit(X).transform(X)
    assert named.columns[0] == "sparsedbnautoencoder0"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbfgs"}, "Use 'sgd' or 'adam'"),
        ({"solver": np.zeros(2)}, "Use 'sgd' or 'adam'"),
        ({"pretrain": np.zeros(2)}, "is not known. Use 'rbm'"),
        ({"hidden_layer_sizes": 2.5, "pretrain": None}, "must be an int or a sequence of ints"),
        ({"early_stopping": "yes"}, "early_stopping must be True or False"),
        ({"learning_rate_schedule": None}, "must be one of 'constant', 'linear' or a function"),
        ({"pretrain": "gan"}, "is not known. Use 'rbm'"),
        ({"hidden_layer_sizes": (), "pretrain": None}, "is empty"),
        ({"hidden_layer_sizes": (0,), "pretrain": None}, "hidden_layer_sizes"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"dropout": 1.0}, "dropout"),
        ({"input_dropout": -0.1}, "input_dropout"),
        ({"batch_size": 0}, "batch_size"),
        ({"n_iter": -1}, "n_iter"),
        ({"max_norm": 0}, "max_norm"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"pretrain": None, "pruner": IterativePruner()}, "pass this estimator to an IterativePruner"),
        ({"learning_rate_schedule": "cosine"}, "learning_rate_schedule"),
        ({"learning_rate": 1e30, "pretrain": None, "momentum": 0.0, "n_iter": 30}, "diverged"),
    ],
)  # fmt: skip
def test_errors_are_sentences(parameters, message):
    X, y = problem()
    with pytest.raises((ValueError, TypeError), match=message), np.errstate(all="ignore"):
        autoencoder(output="linear", **parameters).fit(X.astype(float), y)


def test_more_errors():
    X, y = problem()
    dbn = SparseDBN((5,), random_state=0).fit(X[:, :4])
    with pytest.raises(ValueError, match="4 visible units"):
        classifier(pretrain=FrozenEstimator(dbn)).fit(X, y)
    with pytest.raises(TypeError, match="DBMTransformer, got a PrunedBernoulliRBM"):
        classifier(pretrain=FrozenEstimator(PrunedBernoulliRBM().fit(X))).fit(X, y)
    with pytest.raises(ValueError, match="greater than one"):
        classifier().fit(X, np.full(len(y), "a"))
    with pytest.raises(ValueError, match="code="):
        autoencoder(code="tanh").fit(X)
    with pytest.raises(ValueError, match="needs y"):
        autoencoder(pretrain="supervised").fit(X)
    with pytest.raises(ValueError, match="columns"):
        autoencoder(n_iter=1).fit(X).inverse_transform(np.zeros((2, 3)))
    network = classifier(n_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="2 levels"):
        network.set_connectivity([np.ones((12, 16), bool)])


def test_progress_is_shown(capsys):
    X, y = problem()
    clone(classifier(verbose=1, n_iter=2, early_stopping=True)).fit(X, y)
    said = capsys.readouterr().out
    assert "Epoch 2 of 2" in said and "validation score" in said and "Level 2 of 2" in said


# ------------------------------------------------- what a review found, and more


def numpy_epochs(network, X, numbers_, n_epochs, batch_size, rate, adam):
    """Epochs over uneven minibatches in NumPy, in the order that the network takes."""
    steps, state = 0, {}
    arrays = [*level_values(network), *network._biases[1:]]
    depth = len(level_values(network))
    for _ in range(n_epochs):
        rng = np.random.default_rng([int(network._key), network._n_steps + steps])
        for rows in np.array_split(rng.permutation(len(X)), -(-len(X) // batch_size)):
            kinds = ["logistic"] * (depth - 1) + ["softmax"]
            layers = forward(network, X[rows], kinds)
            error = (layers[-1] - np.eye(3)[numbers_[rows]]) / len(rows)
            slopes = [None] * (2 * depth)
            for k in range(depth - 1, -1, -1):
                slope = error.T @ layers[k]
                mask = None if network._levels[k].connections is None else network._levels[k].mask()
                slopes[k] = slope if mask is None else slope[mask]
                slopes[depth + k] = error.sum(axis=0)
                error = error @ network._levels[k].matrix() * layers[k] * (1 - layers[k])
            steps += 1
            for k, (array, slope) in enumerate(zip(arrays, slopes, strict=True)):
                first, second = state.get(k, (0.0, 0.0))
                if adam:
                    first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                    step = rate * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
                    array -= step * first / (np.sqrt(second) + 1e-8)
                else:
                    first = 0.5 * first + slope
                    array -= rate * first
                state[k] = first, second


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_epochs_are_those_of_numpy(solver, dtype):
    """Uneven minibatches, several epochs; and after a warm start the moments begin anew."""
    rng = np.random.default_rng(2)
    X, y = rng.uniform(size=(23, 6)).astype(dtype), rng.integers(0, 3, 23)
    network = SparseDBNClassifier(
        (5, 4), pretrain=None, solver=solver, momentum=0.5, n_iter=0, batch_size=5,
        learning_rate=0.01, learning_rate_schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    network.set_connectivity([rng.uniform(size=m.shape) < 0.4 for m in network.connectivity_])
    network.set_params(warm_start=True)
    for n_epochs in (3, 2):
        twin = pickle.loads(pickle.dumps(network))
        for number, level in enumerate(twin._levels):
            replace_values(twin, number, level.values.astype(np.float64))
        twin._biases = [b.astype(np.float64) for b in twin._biases]
        numpy_epochs(twin, X.astype(float), y, n_epochs, 5, 0.01, solver == "adam")
        network.set_params(n_iter=n_epochs).fit(X, y)
        tolerance = 2e-4 if dtype == np.float32 else 1e-9
        for ours, theirs in zip(
            level_values(network) + network._biases, level_values(twin) + twin._biases, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert network.history_["learning_rate"][-1] == pytest.approx(0.01)


def test_moments_of_partial_fits():
    """They go on between calls, begin anew for another solver, and a call that fails leaves them."""
    X, y = problem()
    network = classifier(pretrain=None, solver="adam", learning_rate=1e-3)
    network.partial_fit(X, y, classes=["a", "b", "c"])
    n_known = network._moments[2]
    network.partial_fit(X, y)
    assert network._moments[2] == 2 * n_known
    network.set_params(solver="sgd").partial_fit(X, y)
    assert not any(array.size for array in network._moments[1])
    before = pickle.dumps(network)
    with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
        network.set_params(learning_rate=1e38).partial_fit(X, y)
    network.set_params(learning_rate=1e-3)
    assert pickle.dumps(network) == before
    network.partial_fit(X, y)


def test_a_fit_that_fails_leaves_the_network_as_it_was():
    X, y = problem()
    network = classifier(warm_start=True, early_stopping=True, n_iter=3).fit(X, y)
    before = [w.copy() for w in level_values(network)]
    network.set_params(learning_rate=1e38)
    with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
        network.fit(X, y)
    for now, then in zip(level_values(network), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_memory_maps(tmp_path):
    import joblib

    X, y = problem()
    network = classifier(pretrain=None, n_iter=2).fit(X, y)
    mask = np.random.RandomState(0).uniform(size=(8, 12)) < 0.4
    network.set_connectivity([network.connectivity_[0], mask])
    network.partial_fit(X, y)
    joblib.dump(network, tmp_path / "network.joblib")
    loaded = joblib.load(tmp_path / "network.joblib", mmap_mode="r")
    np.testing.assert_array_equal(loaded.predict_proba(X), network.predict_proba(X))
    loaded.partial_fit(X, y)


def test_labels_of_the_pretraining_say_nothing():
    """Features of a network with labels, and of one made from it, are the same."""
    X, y = problem()
    dbn = SparseDBN((12, 8), join_labels=True, random_state=0).fit(X, y)
    network = classifier(pretrain=FrozenEstimator(dbn), n_iter=0).fit(X, y)
    np.testing.assert_allclose(network._activations(X, 2), dbn.transform(X), rtol=1e-5)
    network.set_params(pretrain=None).fit(X, y)
    assert not hasattr(network, "pretrained_")


class Recorder:
    """A callback that notes the name, the number and the estimator of every task that ends."""

    def __init__(self):
        self.ended = []

    def setup(self, estimator, context):
        self.ended.append("setup")

    def on_fit_task_begin(self, estimator, context, **given):
        pass

    def on_fit_task_end(self, estimator, context, **given):
        self.ended.append((context.task_name, context.task_id))
        return False

    def teardown(self, estimator, context):
        self.ended.append("teardown")


def test_callbacks_see_every_epoch():
    """In ``fit``. Calls of ``partial_fit`` have no callbacks, because they are parts of a fit."""
    pytest.importorskip("sklearn.callback")
    X, y = problem()
    for make, targets in ((classifier, (y,)), (autoencoder, ())):
        recorder = Recorder()
        network = make(n_iter=3, pretrain=None).set_callbacks(recorder)
        network.fit(X, *targets)
        epochs = [("epoch", 0), ("epoch", 1), ("epoch", 2)]
        assert recorder.ended == ["setup", *epochs, ("fit", 0), "teardown"]
        network.partial_fit(X, *targets)
        assert len(recorder.ended) == 6


def test_partial_fit_weighs_its_rows():
    """Weights are those of the classes, and rows of weight 0 could hold anything."""
    X, y = problem()
    weight = {"a": 1.0, "b": 2.0, "c": 0.5}
    given = np.array([weight[label] for label in y])
    networks = [
        classifier(pretrain=None, class_weight=by_class).partial_fit(
            X, y, classes=["a", "b", "c"], sample_weight=sample_weight
        )
        for by_class, sample_weight in ((weight, None), (None, given), (None, None))
    ]
    by_class, by_row, plain = (network.output_weights_ for network in networks)
    np.testing.assert_array_equal(by_class, by_row)
    assert (by_row != plain).any()
    rows = np.arange(len(X)) < 100
    other = np.where(rows[:, None], X, 1 - X)
    options = {"pretrain": None, "batch_size": len(X)}
    coders = [
        autoencoder(**options).partial_fit(data, sample_weight=rows.astype(float))
        for data in (X, other)
    ]
    for ours, theirs in zip(*(coder.components_ for coder in coders), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    plain = [autoencoder(**options).partial_fit(data) for data in (X, other)]
    assert (plain[0].components_[0] != plain[1].components_[0]).any()


def test_sample_weight_is_routed():
    from sklearn import config_context

    X, y = problem()
    weight = np.where(y == "a", 5.0, 1.0)
    with config_context(enable_metadata_routing=True):
        inner = classifier(n_iter=3).set_fit_request(sample_weight=True)
        pruner = IterativePruner(inner, sparsity=0.3, n_rounds=1)
        weighted = pruner.fit(X, y, sample_weight=weight).predict_proba(X)
        plain = pruner.fit(X, y).predict_proba(X)
    assert weighted[:, 0].mean() > plain[:, 0].mean()


def test_units_of_networks_are_not_pruned(monkeypatch):
    """Which is said before anything is trained."""
    X, y = problem()
    for make in (classifier, autoencoder):
        network = make()
        monkeypatch.setattr(type(network), "fit", None)
        for pruner in (IterativePruner, IterativePrunerCV):
            with pytest.raises(TypeError, match="does not support target='units'"):
                pruner(network, target="units").fit(X, y)


def test_wide_layers_are_shared_out(force_threads):
    X, y = problem()
    expected = None
    for n_threads in (1, 2, 3):
        force_threads(n_threads)
        network = classifier(
            hidden_layer_sizes=(600, 140), pretrain=None, n_iter=1, dropout=0.2
        ).fit(X, y)
        network.set_connectivity([network.connectivity_[0], np.tri(140, 600, dtype=bool)])
        network.set_params(warm_start=True).fit(X, y)
        bits = [w.tobytes() for w in level_values(network)]
        expected = bits if expected is None else expected
        assert bits == expected


@pytest.mark.parametrize("sizes", [(9,), (9, 7)])
def test_a_deep_machine_unrolled_begins_as_its_mean_field(sizes):
    X, y = problem()
    X = X.astype(float)
    machine = DBMTransformer(
        sizes, n_iter=10, mean_field_tolerance=1e-10, max_mean_field_updates=1000, random_state=0
    ).fit(X)
    if len(sizes) == 2:
        mask = np.random.RandomState(0).uniform(size=(7, 9)) < 0.5
        machine.set_connectivity([machine.connectivity_[0], mask])
    network = classifier(pretrain=FrozenEstimator(machine), n_iter=0).fit(X, y)
    for layer, mean in enumerate(machine.layer_means(X), start=1):
        np.testing.assert_allclose(network._activations(network._input(X), layer), mean, atol=1e-7)
    network.set_params(n_iter=20, warm_start=True).fit(X, y)
    assert network.score(X, y) > 0.9
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.predict(sparse.csr_array(X)), network.predict(X))
    pruner = IterativePruner(classifier(pretrain=machine, n_iter=5), sparsity=0.6, n_rounds=1)
    assert pruner.fit(X, y).score(X, y) > 0.8
    network.partial_fit(X, y)


def test_deep_machines_that_cannot_be_unrolled():
    X, y = problem()
    deep = DBMTransformer((6, 5, 4), n_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="one or two hidden layers, got 3"):
        classifier(pretrain=FrozenEstimator(deep)).fit(X, y)
    with pytest.raises(ValueError, match="but not into an autoencoder"):
        autoencoder(pretrain=DBMTransformer((6,), n_iter=1)).fit(X)


class Halves(BaseEstimator):
    """A machine that is not ours: its units are the sums of two halves of the features."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def unrolled(self):
        matrix = np.repeat(np.eye(2), self.n_features_in_ // 2, axis=1)
        lower, upper = np.zeros(matrix.shape[1]), np.zeros(2)
        return [FeedForwardLevel(matrix, matrix > 0, lower, upper)], self

    def network_input(self, X):
        return X


class OnlyUp(Halves):
    """A machine whose levels decode nothing."""

    def check_unrolling(self, decoder=False):
        if decoder:
            raise ValueError("This machine only goes up.")


def test_networks_start_from_every_machine_that_can_be_unrolled():
    """Networks know the members of the protocol only."""
    X, y = problem()
    X = X.astype(float)
    frozen = FrozenEstimator(Halves().fit(X))
    for pretrain in (Halves(), OnlyUp(), frozen):
        network = classifier(pretrain=pretrain, n_iter=0).fit(X, y)
        assert isinstance(network.pretrained_, Halves)
        np.testing.assert_array_equal(network.connectivity_[0], Halves().fit(X).unrolled()[0][0][1])
        sums = X.reshape(-1, 2, 8).sum(axis=2)
        np.testing.assert_allclose(network._activations(X, 1), sigmoid(sums), rtol=1e-12)
    coder = autoencoder(pretrain=frozen, n_iter=0, code="logistic").fit(X)
    np.testing.assert_array_equal(coder.components_[1], coder.components_[0].T)
    with pytest.raises(ValueError, match="only goes up"):
        autoencoder(pretrain=OnlyUp()).fit(X)
    with pytest.raises(ValueError, match="is not known"):
        classifier(pretrain=SparseDBN).fit(X, y)
