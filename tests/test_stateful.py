"""Methods of a machine in random order, compared with a dense machine in plain NumPy."""

import copy
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skprune import IterativePruner, PrunedBernoulliRBM
from tests import oracles
from tests.machines import pass_order, twin_of
from tests.test_fuzz import profile

N_VISIBLE, N_HIDDEN, N_ROWS = 5, 4, 11
RATE, BATCH, CHAINS = 0.2, 4, 6
SEEDS = st.integers(0, 2**16)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class MachineAndTwin(RuleBasedStateMachine):
    """A PrunedBernoulliRBM and its twin take the same steps, and must stay the same machine."""

    def __init__(self):
        super().__init__()
        self.X = (np.random.default_rng(0).uniform(size=(N_ROWS, N_VISIBLE)) < 0.4).astype(float)
        self.machine = PrunedBernoulliRBM(
            N_HIDDEN, learning_rate=RATE, batch_size=BATCH, n_iter=1, n_chains=CHAINS, momentum=0.5,
            learning_rate_schedule="constant", random_state=0,
        )  # fmt: skip
        self.fit_anew(n_iter=0, seed=0, l1=0.0)

    # ------------------------------------------------------------ methods that change the machine

    @rule(n_iter=st.integers(0, 2), seed=st.integers(0, 3), l1=st.sampled_from([0.0, 0.02]))
    def fit_anew(self, n_iter, seed, l1):
        """A fit without a warm start forgets everything."""
        options = {"n_components": N_HIDDEN, "random_state": seed, "l1": l1, "warm_start": False}
        self.machine.set_params(n_iter=0, **options).fit(self.X)
        self.twin = twin_of(self.machine)
        self.machine.set_params(n_iter=n_iter).fit(self.X)
        self.train_twin(n_iter)

    @rule(n_iter=st.integers(0, 2))
    def fit_on(self, n_iter):
        self.machine.set_params(n_iter=n_iter, warm_start=True).fit(self.X)
        self.train_twin(n_iter)

    def train_twin(self, n_passes):
        self.twin.options = self.machine.get_params()
        for _ in range(n_passes):
            rows = self.X[pass_order(self.machine, self.twin.step, N_ROWS)]
            self.twin.run(np.array_split(rows, 3), [RATE] * 3)

    @rule(n_rows=st.integers(1, N_ROWS))
    def partial_fit(self, n_rows):
        self.machine.partial_fit(self.X[:n_rows])
        n_minibatches = -(-n_rows // BATCH)
        self.twin.options = self.machine.get_params()
        self.twin.run(np.array_split(self.X[:n_rows], n_minibatches), [RATE] * n_minibatches)

    @rule(seed=SEEDS, share=st.sampled_from([0.1, 0.4, 0.8, 1.0]))
    def set_connectivity(self, seed, share):
        """Connections that are new have weight 0, and momentum begins anew."""
        mask = np.random.default_rng(seed).uniform(size=self.twin.mask.shape) < share
        assume(mask.any())
        self.machine.set_connectivity(mask)
        self.twin.mask = mask
        self.twin.weights *= mask
        self.forget_momentum()

    @rule(seed=SEEDS, scale=st.sampled_from([0.5, 3.0]))
    def set_parameters(self, seed, scale):
        rng = np.random.default_rng(seed)
        twin = self.twin
        twin.weights = scale * rng.normal(size=twin.mask.shape) * twin.mask
        twin.biases = [rng.normal(size=bias.size) for bias in twin.biases]
        means = rng.uniform(size=N_VISIBLE)
        self.machine.set_parameters(
            twin.weights, intercept_visible=twin.biases[0], intercept_hidden=twin.biases[1],
            visible_means=means,
        )  # fmt: skip
        twin.means = [means, sigmoid(twin.weights @ means + twin.biases[1])]
        self.forget_momentum()

    @rule(sparsity=st.sampled_from([0.2, 0.5, 0.8]))
    def prune(self, sparsity):
        """The weights of smallest size go, down to the share that is to be left."""
        before, size = self.twin.mask, np.abs(self.twin.weights)
        pruner = IterativePruner(
            FrozenEstimator(self.machine),
            sparsity=sparsity,
            n_rounds=1,
            retrain=None,
            random_state=0,
        )
        self.machine = pruner.fit(self.X).estimator_
        mask = np.array(self.machine.connectivity_[0])
        n_kept = before.size - round(sparsity * before.size)
        assert mask.sum() == min(before.sum(), n_kept)
        assert not (mask & ~before).any()
        if (mask != before).any():
            assert size[mask].min(initial=np.inf) >= size[before & ~mask].max()
            self.twin.mask = mask
            self.twin.weights *= mask
            self.forget_momentum()

    @rule()
    def compact(self):
        """Units without connections go, unless all are without."""
        connected = self.twin.mask.any(axis=1)
        assume(connected.any())
        self.machine = self.machine.compact()
        twin = self.twin
        twin.weights, twin.mask = twin.weights[connected], twin.mask[connected]
        twin.biases[1], twin.means[1] = twin.biases[1][connected], twin.means[1][connected]
        twin.chains = twin.chains[:, connected]
        self.forget_momentum()
        assert self.machine.n_components == connected.sum()

    def forget_momentum(self):
        twin = self.twin
        twin.momentum_of = [np.zeros_like(array) for array in (twin.weights, *twin.biases)]

    # ------------------------------------------------------------------- copies of the machine

    @rule(how=st.sampled_from(["pickle", "copy"]))
    def replace_by_a_copy(self, how):
        loaded = pickle.loads(pickle.dumps(self.machine)) if how == "pickle" else None
        self.machine = copy.deepcopy(self.machine) if loaded is None else loaded

    @rule()
    def a_clone_is_not_fitted(self):
        other = clone(self.machine)
        assert not hasattr(other, "_levels")
        assert str(other.get_params()) == str(self.machine.get_params())

    # ----------------------------------------------------------- methods that leave it as it is

    def parameters(self):
        return [self.twin.weights], self.twin.biases

    @rule()
    def transform(self):
        features = sigmoid(self.X @ self.twin.weights.T + self.twin.biases[1])
        np.testing.assert_allclose(self.machine.transform(self.X), features, atol=1e-7)

    @rule()
    def score(self):
        """log Z is kept between calls, and must be that of the weights of now."""
        expected = -oracles.free_energy(*self.parameters(), self.X)
        np.testing.assert_allclose(-self.machine.free_energy(self.X), expected, atol=1e-6)
        expected -= oracles.log_z(*self.parameters())
        np.testing.assert_allclose(self.machine.score_samples(self.X), expected, atol=1e-6)
        assert self.machine.score(self.X) == pytest.approx(expected.mean(), abs=1e-6)

    @rule()
    def pseudo_log_likelihood(self):
        expected = oracles.pseudo_log_likelihood(*self.parameters(), self.X)
        np.testing.assert_allclose(self.machine.pseudo_log_likelihood(self.X), expected, atol=1e-6)

    @rule(seed=SEEDS)
    def sample(self, seed):
        """Samples are 0 and 1, the same when drawn again, and keep what is clamped."""
        given = {"n_samples": 3, "n_gibbs_steps": 2, "random_state": seed}
        drawn = self.machine.sample(**given)
        assert drawn.shape == (3, N_VISIBLE)
        assert np.isin(drawn, (0, 1)).all()
        np.testing.assert_array_equal(drawn, self.machine.sample(**given))
        clamped = np.array([1, np.nan, np.nan, 0, np.nan])
        drawn = self.machine.sample(clamped=clamped, **given)
        np.testing.assert_array_equal(drawn[:, [0, 3]], np.tile([1, 0], (3, 1)))

    @precondition(lambda self: np.abs(self.twin.weights).max() < 50)
    @rule(seed=SEEDS)
    def states_given_data(self, seed):
        visible, hidden = self.machine.layer_samples(self.X, random_state=seed)
        np.testing.assert_array_equal(visible, self.X)
        assert hidden.shape == (N_ROWS, len(self.twin.weights))
        assert np.isin(hidden, (0, 1)).all()

    # ------------------------------------------------------------------------ what must be true

    @invariant()
    def it_is_the_same_machine(self):
        machine, twin = self.machine, self.twin
        np.testing.assert_allclose(machine.components_, twin.weights, atol=1e-8)
        np.testing.assert_array_equal(machine.connectivity_[0], twin.mask)
        assert not machine.components_[~twin.mask].any()
        np.testing.assert_allclose(machine.intercept_visible_, twin.biases[0], atol=1e-8)
        np.testing.assert_allclose(machine.intercept_hidden_, twin.biases[1], atol=1e-8)
        np.testing.assert_array_equal(machine.h_samples_, twin.chains)
        for mean, expected in zip(machine.activity_, twin.means, strict=True):
            np.testing.assert_allclose(mean, expected, atol=1e-8)


MachineAndTwin.TestCase.settings = profile(quick=40, long=3000)
TestMachineAndTwin = MachineAndTwin.TestCase
