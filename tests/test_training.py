"""The gradient step against the exact gradient, and what training must keep true."""

import copy
import pickle
import time

import numpy as np
import pytest
from numba import njit
from sklearn.base import BaseEstimator

from skprune import PrunedBernoulliRBM
from skprune._kernels import contrastive_steps
from skprune._kernels.records import Minibatches, PhaseOptions, Stream, Training
from skprune._machine import inference, levels
from skprune._machine.levels import kernel_level_values
from skprune._support import threads
from skprune._support.threads import Team
from skprune._training import contrastive, passes
from skprune._training.contrastive import (
    SPARE_LANES,
    TrainingOptions,
    new_state,
    new_velocity,
    new_workspace,
    set_offsets,
)
from tests import oracles
from tests.machines import (
    MASKS,
    SIZES,
    compute_by,
    level_values,
    looks_up,
    pass_order,
    random_machine,
    running_means,
    twin_of,
    without_look_up,
)


def one_step(depth, mask, use_edges, positive, even, offsets=None, dtype=np.float64):
    """Change of all parameters by one step of rate 1 with given states of one sample each."""
    stack, _, _ = random_machine(depth, mask, use_edges=use_edges, dtype=dtype)
    before = [kernel_level_values(level).copy() for level in stack.levels]
    before_b = [b.copy() for b in stack.biases]
    zeros = [np.zeros(b.size) for b in stack.biases]
    activity = zeros if offsets is None else offsets
    chains = [x[None] if k % 2 == 0 else None for k, x in enumerate(even)]
    state = new_state(stack, 1, 1, chains, activity, new_velocity(stack, 0.0))
    if offsets is not None:
        set_offsets(state)
    for k in range(1, depth + 1):
        state.positive[k][:, 0] = positive[k]
    data = inference.states_array(stack.biases[0].size, 1 + SPARE_LANES, dtype)[None]
    data[0, :, 0] = positive[0]
    kind = dtype
    options = TrainingOptions(*(kind(x) for x in (0, 0, 0, 0, 0, 0, 0, 0)))
    with Team(n_threads=1) as team:
        bits = np.zeros((1, 0, data.shape[1]), np.uint16)
        team.run(
            contrastive_steps.train_minibatches,
            Training(stack, state, options, new_workspace(stack, state, (1, 0), 1)),
            Minibatches(data, bits, np.array([1]), np.ones(1, dtype)),
            PhaseOptions(infer=False, n_gibbs_steps=0, persistent=True, n_chains=1),
            Stream(np.uint64(0), 0),
        )
    dw = [kernel_level_values(level) - b for level, b in zip(stack.levels, before, strict=True)]
    db = [b - a for b, a in zip(stack.biases, before_b, strict=True)]
    return [*dw, *db]


def add(total, parts, factor):
    return (
        [factor * p for p in parts]
        if total is None
        else [t + factor * p for t, p in zip(total, parts, strict=True)]
    )


def exact_chain_gradient(depth, mask, use_edges, data, offsets=None):
    """Expectation of the kernel's step under the exact posterior and the exact model.

    The step is linear in the statistics of each phase, so the two expectations
    are taken one at a time: E[G(pos, 0)] + E[G(0, neg)] - G(0, 0).
    """
    _, weights, biases = random_machine(depth, mask)
    sizes = SIZES[depth]
    layers, p = oracles.joint(weights, biases)
    rest = [np.zeros(n) for n in sizes]
    total = add(None, one_step(depth, mask, use_edges, rest, rest, offsets), -1.0)
    for v in data:
        chosen = (layers[0] == v).all(axis=1)
        for row in np.flatnonzero(chosen):
            step = one_step(depth, mask, use_edges, [x[row] for x in layers], rest, offsets)
            total = add(total, step, p[row] / p[chosen].sum() / len(data))
    even = oracles.all_states(sum(sizes[0::2]))
    joint_even = np.hstack(layers[0::2])
    for state in even:
        share = p[(joint_even == state).all(axis=1)].sum()
        parts = np.split(state, np.cumsum(sizes[0::2])[:-1])
        given = [np.zeros(n) for n in sizes]
        given[0::2] = parts
        total = add(total, one_step(depth, mask, use_edges, rest, given, offsets), share)
    return total


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use_edges", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_exact_chain_gradient(depth, mask, use_edges):
    """Equals the exact log-likelihood gradient on the connections that exist."""
    _, weights, biases = random_machine(depth, mask)
    data = oracles.all_states(SIZES[depth][0])[[1, 6, 11]]
    exact_w, exact_b = oracles.log_likelihood_gradient(weights, biases, data)
    got = exact_chain_gradient(depth, mask, use_edges, data)
    for k, w in enumerate(weights):
        stack = random_machine(depth, mask, use_edges=False)[0]
        level = stack.levels[k]
        exists = level.mask.view(bool) if level.mask.size else np.ones(w.shape, bool)
        values = got[k] if got[k].ndim == 1 else got[k][exists]
        np.testing.assert_allclose(values, exact_w[k][exists], atol=1e-12)
    for k, b in enumerate(exact_b):
        np.testing.assert_allclose(got[len(weights) + k], b, atol=1e-12)


@pytest.mark.parametrize("use_edges", [False, True])
def test_centred_gradient_is_that_of_the_centred_machine(use_edges):
    """Melchior et al. (2016), eq. 8-10: dW = <(v-mu)(h-lambda)> difference, biases corrected."""
    _, weights, biases = random_machine(1, "random")
    data = oracles.all_states(5)[[1, 6, 11]]
    offsets = [np.linspace(0.1, 0.9, 5), np.linspace(0.3, 0.6, 4)]
    dw, db, dc = exact_chain_gradient(1, "random", use_edges, data, offsets)
    exact_w, exact_b = oracles.log_likelihood_gradient(weights, biases, data)
    mask = weights[0] != 0
    centred = exact_w[0] - np.outer(exact_b[1], offsets[0]) - np.outer(offsets[1], exact_b[0])
    np.testing.assert_allclose(dw if dw.ndim == 1 else dw[mask], centred[mask], atol=1e-12)
    np.testing.assert_allclose(db, exact_b[0] - (centred * mask).T @ offsets[1], atol=1e-12)
    np.testing.assert_allclose(dc, exact_b[1] - (centred * mask) @ offsets[0], atol=1e-12)


def parameters(rbm):
    return [*level_values(rbm), *rbm._biases, rbm.h_samples_]


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("negative_phase", ["cd", "pcd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(
    force_threads, digits, sparsity, negative_phase, dtype
):
    X = digits[:300].astype(dtype)
    results = []
    for n_threads in (1, 2, 3):
        force_threads(n_threads)
        rbm = PrunedBernoulliRBM(
            150, n_iter=2, batch_size=30, n_gibbs_steps=2, momentum=0.5, l1=1e-3, max_norm=2.0,
            initial_sparsity=sparsity, negative_phase=negative_phase, random_state=0,
        ).fit(X)  # fmt: skip
        results.append([*parameters(rbm), rbm.transform(X), rbm.score_samples(X)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@njit
def step_weights(*args):
    """Kernels' parts cannot be called from Python."""
    contrastive_steps._step_weights(*args)


def test_l2_step_is_exact():
    """With a zero gradient (data = chains are alike) one step multiplies w by 1 - rate * l2."""
    w = np.array([0.5, -0.25, 0.03])
    options = TrainingOptions(*(np.float64(x) for x in (0, 0.1, 0.2, 0, 0, 0, 0, 0)))
    step_weights(w, 0, np.zeros(3), 3, np.empty(0), 0.5, options)
    np.testing.assert_allclose(w, [0.5 * 0.9 - 0.05, -0.25 * 0.9 + 0.05, 0])


def test_momentum_step_is_exact():
    w, velocity = np.array([0.0, 1.0]), np.array([0.0, 2.0])
    options = TrainingOptions(*(np.float64(x) for x in (0.5, 0, 0.1, 0, 0, 0, 0, 0)))
    step_weights(w, 0, np.array([1.0, 1.0]), 2, velocity, 0.1, options)
    np.testing.assert_allclose(velocity, [1.0, 1.9])
    np.testing.assert_allclose(w, [0.1, 1.19])


def test_threads_outside_the_main_one_work_alone():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads.allowed_threads).result() == 1


def test_a_fit_that_fails_leaves_the_machine_alone(digits):
    rbm = PrunedBernoulliRBM(5, n_iter=1, momentum=0.5, warm_start=True, random_state=0).fit(digits)
    before = pickle.dumps(parameters(rbm))
    rbm.set_params(learning_rate=1e38, l2=10.0, n_iter=3)
    with pytest.raises(ValueError, match="diverged"):
        rbm.fit(digits)
    assert pickle.dumps(parameters(rbm)) == before


def test_grey_data_train_as_binary_ones_do(digits):
    """Data that are not 0/1 take the way of states, not of bits; nearly the same data, nearly the same fit."""
    X = digits[:300].astype(np.float64)
    nearly = X.copy()
    nearly[0, 0] += 1e-12
    a = PrunedBernoulliRBM(20, n_iter=1, random_state=0).fit(X)
    b = PrunedBernoulliRBM(20, n_iter=1, random_state=0).fit(nearly)
    np.testing.assert_allclose(a.components_, b.components_, atol=1e-6)


def test_a_weight_that_is_not_finite_is_noticed_as_a_bias_is():
    for place in ("weights", "biases"):
        stack, _, _ = random_machine(2, "random")
        passes.check_finite(stack, 0)
        array = stack.biases[1] if place == "biases" else levels.parameters(stack.levels[1])
        array.flat[0] = np.nan
        with pytest.raises(ValueError, match="diverged in pass 3"):
            passes.check_finite(stack, 2)


def test_divergence_is_said(digits):
    with pytest.raises(ValueError, match="lower learning_rate"):
        PrunedBernoulliRBM(5, learning_rate=1e38, n_iter=3, l2=10.0, random_state=0).fit(
            digits[:100].astype(np.float32)
        )


@pytest.mark.parametrize("n_chains", [33, 100, 128])
def test_packed_states_train_as_states_do_over_many_calls(monkeypatch, n_chains):
    """Chains come back from every call of the kernel; only the rounding of probabilities differs."""
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(400, 40)) < 0.3).astype(np.uint8)
    options = {
        "n_iter": 4, "batch_size": 50, "n_chains": n_chains, "initial_sparsity": 0.6,
        "learning_rate": 1e-9, "random_state": 0,
    }  # fmt: skip
    packed = PrunedBernoulliRBM(30, **options).fit(X)
    without_look_up(monkeypatch)
    plain = PrunedBernoulliRBM(30, **options).fit(X)
    np.testing.assert_allclose(
        packed.history_["moment_gap"], plain.history_["moment_gap"], rtol=1e-3
    )
    assert (packed.h_samples_ != plain.h_samples_).mean() < 0.01


@pytest.mark.parametrize("options", [{}, {"l2": 0.3}, {"l1": 0.02}, {"momentum": 0.9}])
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_drop_connect_follow_the_chain_rule(sparsity, dtype, options):
    """Two steps are those that NumPy derives from steps of the machine without the connections."""
    rng, rate, kept = np.random.default_rng(1), 0.3, 0.5
    X = (rng.uniform(size=(60, 20)) < 0.4).astype(dtype)
    start = PrunedBernoulliRBM(
        12, n_iter=0, batch_size=60, initial_sparsity=sparsity, random_state=0
    ).fit(X)
    start.set_params(warm_start=True, n_iter=1, learning_rate=rate)
    stays = []
    drop = contrastive.drop_connections

    def remember(*args):
        dropped = drop(*args)
        stays.append(dropped[0][0])
        return dropped

    whole = copy.deepcopy(start).set_params(drop_connect=1 - kept, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrastive, "drop_connections", remember)
        whole.fit(X).fit(X)
    mask, tolerance = start.connectivity_[0], 1e-5 if dtype == np.float32 else 1e-13
    l1, l2, momentum = (options.get(name, 0) for name in ("l1", "l2", "momentum"))
    weights, velocity, velocity_biases = start.components_.copy(), 0, [0, 0]
    twin = start
    for given in stays:
        there = np.zeros(mask.shape, bool)
        there[mask] = given.ravel() if given.ndim == 1 else given[mask]
        # One step without penalties and momentum of the machine without the connections.
        dropped = copy.deepcopy(twin)
        dropped.set_parameters(
            np.where(there, weights / kept, 0), connectivity=there, visible_means=np.full(20, 0.5)
        )
        dropped._activity = [mean.copy() for mean in twin.activity_]
        before = [dropped.intercept_visible_, dropped.intercept_hidden_]
        offsets = [mean.copy() for mean in dropped.activity_]
        trained = dropped.components_.copy()
        dropped.fit(X)
        gradient = (dropped.components_ - trained) / rate
        after = [dropped.intercept_visible_, dropped.intercept_hidden_]
        # Its biases are those of the centred machine, converted with its weights.
        inputs = [trained.T @ offsets[1], trained @ offsets[0]]
        back = [dropped.components_.T @ offsets[1], dropped.components_ @ offsets[0]]
        steps = [
            (end + out) - (begin + into)
            for begin, end, into, out in zip(before, after, inputs, back, strict=True)
        ]
        velocity = momentum * velocity + gradient / kept - l2 * weights
        velocity_biases = [
            momentum * old + step for old, step in zip(velocity_biases, steps, strict=True)
        ]
        weights = np.where(mask, weights + rate * velocity, 0)
        new = np.where(there, weights, 0) / kept
        converted = [new.T @ offsets[1], new @ offsets[0]]
        biases = [
            begin + into + step - out
            for begin, into, step, out in zip(
                before, inputs, velocity_biases, converted, strict=True
            )
        ]
        weights = np.sign(weights) * np.maximum(np.abs(weights) - rate * l1, 0)
        twin = copy.deepcopy(dropped).set_parameters(
            weights, intercept_visible=biases[0], intercept_hidden=biases[1], connectivity=mask
        )
        twin._activity = dropped._activity
    np.testing.assert_allclose(whole.components_, weights, atol=tolerance)
    np.testing.assert_allclose(whole.intercept_visible_, biases[0], atol=tolerance)
    np.testing.assert_allclose(whole.intercept_hidden_, biases[1], atol=tolerance)


class ExactChains(BaseEstimator):
    """A negative phase that draws the states of the model by enumeration."""

    chains = "own"

    def prepare(self, stack, chains, n_chains, base, key):
        return self

    def advance(self, stack, chains, n_gibbs_steps, key, step, team):
        weights, (below, above) = stack.levels[0].weights, stack.biases
        states = oracles.all_states(below.size)
        log_p = -oracles.free_energy([weights], [below, above], states)
        p = np.exp(log_p - oracles.log_sum_exp(log_p))
        rng = np.random.default_rng([int(key), step])
        n_chains = chains[0].shape[1]
        chains[0][:] = states[rng.choice(len(states), size=n_chains, p=p / p.sum())].T


def test_drop_connect_climbs_the_likelihood_of_the_dropped_machine():
    """The mean step is the derivative of log p of the dropped machine, by enumeration."""
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(8, 4)) < 0.5).astype(float)
    machine = PrunedBernoulliRBM(
        3, n_iter=0, batch_size=8, n_chains=60_000, negative_phase=ExactChains(), centered=False,
        learning_rate=1e-3, learning_rate_schedule="constant", random_state=0,
    ).fit(X)  # fmt: skip
    machine.set_parameters(rng.normal(0, 0.7, (3, 4)))
    before = machine.components_.copy()
    biases = [machine.intercept_visible_, machine.intercept_hidden_]
    seen = []
    drop = contrastive.drop_connections
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            contrastive, "drop_connections", lambda *args: seen.append(drop(*args)) or seen[-1]
        )
        machine.set_params(n_iter=1, warm_start=True, drop_connect=0.4).fit(X)
    stays = seen[0][0][0]

    def log_likelihood(weights):
        weights = [weights * stays / 0.6]
        log_p = -oracles.free_energy(weights, biases, X) - oracles.log_z(weights, biases)
        return log_p.mean()

    gradient = np.zeros((3, 4))
    for place in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[place] = 1e-5
        gradient[place] = (log_likelihood(before + step) - log_likelihood(before - step)) / 2e-5
    found = (machine.components_ - before) / 1e-3
    assert 0 < stays.sum() < 12 and not found[~stays].any()
    np.testing.assert_allclose(found, gradient, atol=4 * 0.5 / 0.6 / np.sqrt(60_000))


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_drop_connect_respects_the_bound_on_norms(sparsity):
    X = (np.random.default_rng(1).uniform(size=(200, 20)) < 0.4).astype(np.float32)
    rbm = PrunedBernoulliRBM(
        12, n_iter=5, max_norm=0.5, drop_connect=0.5, initial_sparsity=sparsity, random_state=0
    ).fit(X)
    assert np.linalg.norm(rbm.components_, axis=1).max() <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize(
    "options", [{"dropout": 0.3}, {"drop_connect": 0.3}, {"negative_phase": "tempering"}]
)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_options_give_the_same_bits_for_any_number_of_threads(force_threads, options, sparsity):
    X = (np.random.default_rng(2).uniform(size=(300, 70)) < 0.4).astype(np.uint8)
    fitted = []
    for n_threads in (1, 2, 3):
        force_threads(n_threads)
        rbm = PrunedBernoulliRBM(
            40, n_iter=2, batch_size=50, initial_sparsity=sparsity, random_state=0, **options
        )
        fitted.append(pickle.dumps(parameters(rbm.fit(X))))
    assert fitted[0] == fitted[1] == fitted[2]


def test_dropout_needs_a_phase_of_the_kernel():
    X = np.eye(4, dtype=np.uint8)
    with pytest.raises(ValueError, match="dropout is not possible with a negative phase"):
        PrunedBernoulliRBM(3, dropout=0.2, negative_phase="tempering").fit(X)
    with pytest.raises(TypeError, match="negative_phase must be a name or an object"):
        PrunedBernoulliRBM(3, negative_phase=5).fit(X)


def test_going_on_with_another_number_of_chains():
    X = (np.random.default_rng(0).uniform(size=(60, 10)) < 0.4).astype(np.uint8)
    rbm = PrunedBernoulliRBM(5, n_iter=1, negative_phase="cd", warm_start=True, random_state=0)
    assert len(rbm.fit(X).h_samples_) == 10
    assert len(rbm.set_params(negative_phase="pcd").fit(X).h_samples_) == 100
    assert len(rbm.set_params(n_chains=30).fit(X).h_samples_) == 30


def tiny_rbm(X, **parameters):
    """An RBM with 5 hidden units that has all its initial parameters and no training."""
    parameters = {
        "learning_rate": 0.3, "batch_size": 7, "n_chains": 9, "learning_rate_schedule": "constant",
        "random_state": 0, **parameters,
    }  # fmt: skip
    return PrunedBernoulliRBM(5, n_iter=0, **parameters).fit(X)


def tiny_data(n_rows=13, n_features=6):
    """Rows of 0 and 1 in float64, in two minibatches of different sizes."""
    return (np.random.default_rng(3).uniform(size=(n_rows, n_features)) < 0.4).astype(float)


def tiny_mask(form):
    """A mask with four fifths of the connections, or None for a full level."""
    if form == "full":
        return None
    return np.arange(30).reshape(5, 6) % 5 != 2


def minibatches_of(rows, batch_size):
    """The rows in minibatches of equal size, within one."""
    return np.array_split(rows, -(-len(rows) // batch_size))


def train_twin(twin, rbm, X, n_passes):
    """Train the twin as ``fit`` does, at a constant rate; return the gap of every pass."""
    gaps = []
    for _ in range(n_passes):
        minibatches = minibatches_of(X[pass_order(rbm, twin.step, len(X))], rbm.batch_size)
        gaps.append(twin.run(minibatches, [rbm.learning_rate] * len(minibatches)))
    return gaps


def assert_same_machine(rbm, twin, atol=1e-12):
    """Weights, biases and running means of the machine are those of its twin."""
    np.testing.assert_allclose(rbm.components_, twin.weights, atol=atol)
    np.testing.assert_allclose(rbm.intercept_visible_, twin.biases[0], atol=atol)
    np.testing.assert_allclose(rbm.intercept_hidden_, twin.biases[1], atol=atol)
    for mean, expected in zip(running_means(rbm), twin.means, strict=True):
        np.testing.assert_allclose(mean, expected, atol=atol)


@pytest.mark.parametrize("form", ["full", "dense", "edges"])
@pytest.mark.parametrize("max_norm", [None, 0.5])
@pytest.mark.parametrize("l2", [0.0, 0.2])
@pytest.mark.parametrize("l1", [0.0, 0.05])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("negative_phase", ["cd", "pcd"])
def test_two_minibatches_are_those_of_numpy(
    monkeypatch, negative_phase, momentum, l1, l2, max_norm, form
):
    """Full, masked and edge levels take the same two steps as the NumPy twin, for all options."""
    if form != "full":
        compute_by(monkeypatch, form)
    X = tiny_data()
    options = {
        "negative_phase": negative_phase, "momentum": momentum, "l1": l1, "l2": l2,
        "max_norm": max_norm, "connectivity": tiny_mask(form),
    }  # fmt: skip
    twin = twin_of(tiny_rbm(X, **options))
    assert (np.linalg.norm(twin.weights, axis=1) > 0.6).any()  # so that max_norm has work to do
    rbm = tiny_rbm(X, **options).set_params(n_iter=1).fit(X)
    (gap,) = train_twin(twin, rbm, X, 1)
    assert_same_machine(rbm, twin)
    assert not rbm.components_[twin.weights == 0].any()  # exactly, where L1 or a mask makes zeros
    assert (twin.weights[twin.mask] == 0).any() == (l1 > 0)
    assert rbm.history_["moment_gap"][0] == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"centered": False},
        {"n_gibbs_steps": 3},
        {"n_gibbs_steps": 2, "negative_phase": "cd"},
        {"hidden_activity_target": (0.1, 2.0)},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("form", ["full", "edges"])
def test_other_options_are_those_of_numpy(monkeypatch, form, options):
    """Uncentred steps, several Gibbs steps and an activity target, over three passes."""
    if form != "full":
        compute_by(monkeypatch, form)
    X = tiny_data(20)
    options = {"connectivity": tiny_mask(form), **options}
    twin = twin_of(tiny_rbm(X, **options))
    rbm = tiny_rbm(X, **options).set_params(n_iter=3).fit(X)
    gaps = train_twin(twin, rbm, X, 3)
    assert_same_machine(rbm, twin)
    np.testing.assert_allclose(rbm.history_["moment_gap"], gaps, atol=1e-12)


def test_every_pass_has_its_own_order_of_rows():
    """Two passes visit the rows in two random orders, which the NumPy twin follows."""
    X = tiny_data(20)
    twin = twin_of(tiny_rbm(X))
    rbm = tiny_rbm(X).set_params(n_iter=2).fit(X)
    assert (pass_order(rbm, 0, 20) != pass_order(rbm, 3, 20)).any()
    train_twin(twin, rbm, X, 2)
    assert_same_machine(rbm, twin)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_partial_fit_keeps_rate_and_momentum(momentum):
    """Calls of ``partial_fit`` are passes in the given order, at one rate and with one velocity."""
    X = tiny_data(20)
    options = {"momentum": momentum, "learning_rate_schedule": "linear"}
    rbm = tiny_rbm(X, **options)
    twin = twin_of(rbm)
    for _ in range(2):
        rbm.partial_fit(X)
        twin.run(minibatches_of(X, 7), [0.3] * 3)
    assert_same_machine(rbm, twin)


def test_momentum_goes_on_between_fits():
    """A fit with ``warm_start`` starts from the velocity of the fit before."""
    X = tiny_data(20)
    rbm = tiny_rbm(X, momentum=0.9).set_params(warm_start=True, n_iter=1)
    twin = twin_of(rbm)
    rbm.fit(X).fit(X)
    train_twin(twin, rbm, X, 2)
    assert_same_machine(rbm, twin)


def test_running_means_follow_the_data():
    """One minibatch moves the hidden means by 1 % towards those given the data, the visible not."""
    X = tiny_data(7)
    start = tiny_rbm(X)
    rbm = tiny_rbm(X).set_params(n_iter=1).fit(X)
    visible, hidden = running_means(rbm)
    np.testing.assert_allclose(visible, X.mean(axis=0), atol=1e-12)
    given_data = start.transform(X).mean(axis=0)
    np.testing.assert_allclose(hidden, 0.5 + 0.01 * (given_data - 0.5), atol=1e-12)


def test_moment_gap_is_a_mean_distance():
    """Of visible units that are always on or always off in the model, over three minibatches."""
    X = tiny_data(21)
    rbm = tiny_rbm(X, learning_rate=1e-12).set_params(warm_start=True, n_iter=1)
    on = np.arange(6) % 2
    rbm.intercept_visible_ = 120 * on - 60
    rbm.fit(X)
    by_hand = np.abs(X.mean(axis=0) - on).mean()
    assert rbm.history_["moment_gap"][0] == pytest.approx(by_hand, abs=1e-12)


@looks_up
@pytest.mark.parametrize("kind", ["binary", "grey"])
@pytest.mark.parametrize(
    ("batch_size", "n_chains"), [(40, 64), (40, 100), (100, 40)], ids=lambda size: str(size)
)
def test_packed_steps_are_those_of_numpy(monkeypatch, kind, batch_size, n_chains):
    """Steps from packed states move the parameters as plain ones and as the NumPy twin do."""
    rng = np.random.default_rng(5)
    X = (rng.uniform(size=(3 * batch_size, 12)) < 0.3).astype(np.float32)
    if kind == "grey":
        X[0, 0] = 0.5
    options = {
        "batch_size": batch_size, "n_chains": n_chains, "connectivity": rng.uniform(size=(5, 12)) < 0.4,
    }  # fmt: skip
    start = tiny_rbm(X, **options)
    twin = twin_of(start)
    packed = tiny_rbm(X, **options).set_params(n_iter=2).fit(X)
    train_twin(twin, packed, X, 2)
    without_look_up(monkeypatch)
    plain = tiny_rbm(X, **options).set_params(n_iter=2).fit(X)
    assert np.abs(twin.weights - start.components_).max() > 0.02
    assert_same_machine(packed, twin, atol=2e-5)
    assert_same_machine(plain, twin, atol=2e-5)


@pytest.mark.parametrize("worker", [0, 1])
def test_no_thread_goes_on_after_an_error(worker):
    """The error is raised, and the other thread takes no further item."""
    done = []

    def work(item):
        if item == worker:
            raise RuntimeError("this item fails")
        done.append(item)
        time.sleep(0.01)

    with Team(n_threads=2) as team, pytest.raises(RuntimeError, match="this item fails"):
        team.map(work, range(200))
    assert len(done) < 20
