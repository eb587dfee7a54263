"""PrunedGaussianRBM against the mixture of normal distributions that it is."""

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.special import expit, logsumexp, ndtri

from skprune import IterativePruner, PrunedGaussianRBM, criteria
from skprune._kernels import chains as chain_kernels
from skprune._kernels import normal
from skprune._kernels.records import Chains, Stream
from skprune._machine import annealing, inference
from skprune._support import threads
from tests import oracles
from tests.machines import looks_up, without_look_up

N_VISIBLE, N_HIDDEN = 3, 4
RNG = np.random.RandomState(0)
DATA = RNG.normal(size=(60, N_VISIBLE)) * [0.5, 1.0, 3.0] + [1.0, 0.0, -2.0]


def parameters(seed=0, scale=1.0):
    rng = np.random.RandomState(seed)
    weights = scale * rng.normal(size=(N_HIDDEN, N_VISIBLE))
    return weights, rng.normal(size=N_HIDDEN), rng.normal(size=N_VISIBLE)


def machine_of(weights, hidden, visible, sigma, mask=None, dtype=np.float64, **params):
    """An untrained machine with these parameters, in the units of the data."""
    options = {"n_iter": 0, "random_state": 0, **params}
    if mask is not None:
        options["connectivity"] = mask
    machine = PrunedGaussianRBM(len(hidden), sigma=sigma, **options).fit(DATA.astype(dtype))
    weights = weights if mask is None else weights * mask
    return machine.set_parameters(weights, intercept_hidden=hidden, intercept_visible=visible)


class Mixture:
    """The exact mixture of 2^n_hidden normal distributions, from the textbook energy."""

    def __init__(self, weights, hidden, visible, sigma):
        self.weights, self.hidden, self.visible = weights, hidden, visible
        self.sigma = np.broadcast_to(np.asarray(sigma, float), visible.shape)
        self.states = oracles.all_states(len(hidden))
        self.means = visible + self.states @ weights
        # The integral of exp(-E(v, h)) over v, by completing the square.
        squares = (self.means**2 - visible**2) / (2 * self.sigma**2)
        norm = np.log(2 * np.pi * self.sigma**2).sum() / 2
        self.log_weights = self.states @ hidden + squares.sum(axis=1) + norm
        self.log_z = logsumexp(self.log_weights)

    def energy(self, v, h):
        return (
            ((v - self.visible) ** 2 / (2 * self.sigma**2)).sum()
            - h @ self.hidden
            - h @ self.weights @ (v / self.sigma**2)
        )

    def log_density(self, X):
        components = np.array(
            [stats.norm.logpdf(X, mean, self.sigma).sum(axis=1) for mean in self.means]
        )
        return logsumexp(components.T + self.log_weights - self.log_z, axis=1)

    def free_energy(self, X):
        return np.array(
            [-logsumexp([-self.energy(v, h) for h in self.states]) for v in np.asarray(X)]
        )

    def moments(self):
        p = np.exp(self.log_weights - self.log_z)
        mean = p @ self.means
        return mean, p @ self.means**2 + self.sigma**2 - mean**2, p @ self.states


SIGMAS = [1.0, np.array([0.5, 1.5, 2.0])]
MASK = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], bool)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "pruned"])
@pytest.mark.parametrize("sigma", SIGMAS, ids=["one", "array"])
def test_densities_are_those_of_the_mixture(sigma, mask, dtype):
    weights, hidden, visible = parameters()
    machine = machine_of(weights, hidden, visible, sigma, mask, dtype)
    exact = Mixture(weights if mask is None else weights * mask, hidden, visible, sigma)
    rtol = 1e-10 if dtype == np.float64 else 1e-5
    X = DATA.astype(dtype)
    np.testing.assert_allclose(machine.free_energy(X), exact.free_energy(X), rtol=rtol, atol=rtol)
    found = machine.log_partition()
    assert found.method == "exact"
    assert found.value == pytest.approx(exact.log_z, rel=rtol)
    np.testing.assert_allclose(machine.score_samples(X), exact.log_density(X), rtol=10 * rtol)
    assert machine.score(X) == pytest.approx(exact.log_density(X).mean(), rel=10 * rtol)
    np.testing.assert_allclose(machine.sigma_, np.broadcast_to(sigma, 3))
    np.testing.assert_allclose(machine.intercept_visible_, visible, rtol=rtol)


@pytest.mark.parametrize("sigma", SIGMAS, ids=["one", "array"])
def test_features_are_posterior_probabilities(sigma):
    weights, hidden, visible = parameters()
    machine = machine_of(weights, hidden, visible, sigma)
    field = hidden + (DATA / np.broadcast_to(sigma, 3) ** 2) @ weights.T
    np.testing.assert_allclose(machine.transform(DATA), expit(field), rtol=1e-7)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "pruned"])
def test_samples_have_the_moments_of_the_mixture(mask):
    sigma = np.array([0.5, 1.5, 2.0])
    weights, hidden, visible = parameters(scale=0.7)
    machine = machine_of(weights, hidden, visible, sigma, mask)
    exact = Mixture(weights if mask is None else weights * mask, hidden, visible, sigma)
    mean, variance, on = exact.moments()
    n = 20_000
    X = machine.sample(n, n_gibbs_steps=60, random_state=0)
    np.testing.assert_allclose(X.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / n))
    np.testing.assert_allclose(X.var(axis=0), variance, rtol=0.06)
    states, h = machine.layer_samples(n_samples=n, n_steps_between=10, random_state=1)
    np.testing.assert_allclose(states.mean(axis=0) * sigma, mean, atol=0.15)
    np.testing.assert_allclose(h.mean(axis=0), on, atol=0.02)


def test_clamped_units_stay_and_others_follow_their_conditional():
    weights, hidden, visible = parameters(scale=0.7)
    machine = machine_of(weights, hidden, visible, 1.0)
    clamped = np.array([1.5, np.nan, np.nan])
    X = machine.sample(20_000, n_gibbs_steps=60, clamped=clamped, random_state=0)
    assert (X[:, 0] == 1.5).all()
    exact = Mixture(weights, hidden, visible, 1.0)
    log_p = exact.log_weights + stats.norm.logpdf(1.5, exact.means[:, 0], 1)
    p = np.exp(log_p - logsumexp(log_p))
    np.testing.assert_allclose(X[:, 1:].mean(axis=0), p @ exact.means[:, 1:], atol=0.05)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sigma", SIGMAS, ids=["one", "array"])
def test_annealing_covers_the_exact_log_z_in_both_directions(sigma, dtype):
    weights, hidden, visible = parameters()
    machine = machine_of(weights, hidden, visible, sigma, dtype=dtype)
    exact = Mixture(weights, hidden, visible, sigma).log_z
    options = {"n_chains": 400, "n_temperatures": 60, "n_tempered_sweeps": 60}
    errors = {"ais": [], "reverse_ais": []}
    for seed in range(8):
        low, high = machine.log_partition("bracket", random_state=seed, **options).bracket
        assert low <= exact + 0.05 and high >= exact - 0.05
        for method, found in errors.items():
            found.append(machine.log_partition(method, random_state=seed, **options).value - exact)
    for found in errors.values():
        assert abs(np.mean(found)) < 0.05


def gradient(weights, hidden, visible, sigma, X):
    """The exact gradient of the mean log density for weights and biases, by differences."""

    def value(flat):
        w, c, b = np.split(flat, [weights.size, weights.size + hidden.size])
        return Mixture(w.reshape(weights.shape), c, b, sigma).log_density(X).mean()

    flat = np.concatenate([weights.ravel(), hidden, visible])
    steps = np.eye(flat.size) * 1e-5
    return np.array([(value(flat + s) - value(flat - s)) / 2e-5 for s in steps])


@pytest.mark.parametrize("phase", ["pcd", "tempering"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "pruned"])
def test_steps_follow_the_exact_gradient(phase, mask):
    """A step of many chains is the learning rate times the exact gradient, up to noise."""
    weights, hidden, visible = parameters(scale=0.5)
    weights = weights if mask is None else weights * mask
    machine = machine_of(
        weights, hidden, visible, 1.0, mask, n_chains=20_000, n_gibbs_steps=100, learning_rate=1e-3,
        learning_rate_schedule="constant", batch_size=len(DATA), negative_phase=phase,
        warm_start=True, centered=False,
    ).set_params(n_iter=1)  # fmt: skip
    if phase == "tempering":
        machine.set_params(n_chains=4000, n_gibbs_steps=30)
    machine.fit(DATA)
    change = [
        machine.components_ - weights,
        machine.intercept_hidden_ - hidden,
        machine.intercept_visible_ - visible,
    ]
    found = np.concatenate([part.ravel() for part in change]) / 1e-3
    expected = gradient(weights, hidden, visible, 1.0, DATA)
    if mask is not None:
        expected[: weights.size] *= mask.ravel()
    atol = 0.06 if phase == "pcd" else 0.12
    np.testing.assert_allclose(found, expected, atol=atol)


def test_learned_variances_follow_the_exact_gradient():
    """The gradient for log sigma^2, with the weights and biases of scaled data kept fixed."""
    weights, hidden, visible = parameters(scale=0.5)
    sigma = np.array([0.7, 1.2, 2.0])
    machine = machine_of(
        weights, hidden, visible, sigma, warm_start=True, batch_size=len(DATA),
        learning_rate=1e-7, learning_rate_schedule="constant",
    )  # fmt: skip
    before = np.log(machine.sigma_**2)
    machine.set_params(sigma="learned", n_iter=1).fit(DATA)
    found = (np.log(machine.sigma_**2) - before) / 1e-7

    def value(logs):
        s = np.exp(logs / 2)
        return Mixture(weights / sigma * s, hidden, visible / sigma * s, s).log_density(DATA).mean()

    steps = np.eye(3) * 1e-5
    expected = [(value(before + s) - value(before - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_learned_variances_reach_those_of_independent_data():
    X = np.random.RandomState(0).normal(size=(4000, 3)) * [0.2, 1.0, 5.0] + [3, 0, -1]
    machine = PrunedGaussianRBM(1, sigma="learned", n_iter=5, random_state=0).fit(X)
    np.testing.assert_allclose(machine.sigma_, X.std(axis=0), rtol=0.1)
    floor = PrunedGaussianRBM(2, sigma="learned", learning_rate=1.0, n_iter=3, random_state=0).fit(
        X
    )
    assert (floor.sigma_ >= np.sqrt(0.999e-3) * X.std(axis=0)).all()


def test_training_finds_a_mixture():
    """Two separate clusters: the machine reaches nearly the likelihood of the true mixture."""
    rng = np.random.RandomState(0)
    which = rng.randint(0, 2, 3000)
    X = np.where(which, 2.0, -2.0)[:, None] + rng.normal(size=(3000, 2))
    truth = np.logaddexp(
        stats.norm.logpdf(X, 2, 1).sum(axis=1), stats.norm.logpdf(X, -2, 1).sum(axis=1)
    ).mean() - np.log(2)
    start = PrunedGaussianRBM(4, n_iter=0, random_state=0).fit(X).score(X)
    for phase in ("cd", "pcd", "tempering"):
        machine = PrunedGaussianRBM(
            4, n_iter=30, learning_rate=0.05, negative_phase=phase, random_state=0
        ).fit(X)
        assert truth - 0.15 < machine.score(X) < truth + 0.02, phase
        assert machine.score(X) > start + 0.3


def many_features(dtype, **options):
    """A pruned machine whose training is shared between threads, fitted to random rows."""
    X = np.random.RandomState(0).normal(size=(500, 70)).astype(dtype)
    mask = np.random.RandomState(1).uniform(size=(64, 70)) < 0.2
    options = {
        "connectivity": mask, "n_iter": 3, "batch_size": 50, "random_state": 0, "momentum": 0.5,
        "n_gibbs_steps": 2, **options,
    }  # fmt: skip
    machine = PrunedGaussianRBM(64, **options).fit(X)
    assert np.isfinite(machine.components_).all()
    assert (machine.components_[~mask] == 0).all()
    return machine


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("phase", ["cd", "pcd"])
def test_same_bits_for_any_number_of_threads(phase, dtype, force_threads):
    machines = []
    for n_threads in (1, 2, 3):
        force_threads(n_threads)
        machines.append(many_features(dtype, negative_phase=phase))
    for machine in machines[1:]:
        np.testing.assert_array_equal(machine.components_, machines[0].components_)
        np.testing.assert_array_equal(machine.h_samples_, machines[0].h_samples_)


@looks_up
@pytest.mark.parametrize("phase", ["cd", "pcd"])
def test_packed_hidden_states_train_as_plain_ones_do(phase, monkeypatch):
    packed = many_features(np.float32, negative_phase=phase)
    without_look_up(monkeypatch)
    plain = many_features(np.float32, negative_phase=phase)
    assert (packed.components_ != plain.components_).any()
    np.testing.assert_allclose(packed.components_, plain.components_, atol=2e-4)


def test_slopes_of_a_tempered_sweep_are_derivatives_along_the_path():
    weights, hidden, visible = parameters()
    machine = machine_of(weights, hidden, visible, 1.0)
    stack = machine.layers_.stack()
    base = annealing.base_rates(stack, [1.0, 0.0, -1.0], [4.0, 2.0, 1.0])
    states = inference.new_states(stack, 40)
    chains = Chains(states, inference.unpacked(stack), 40, 0)
    slopes = np.zeros(40)
    chain_kernels.tempered_sweep(stack, base, 0.4, chains, slopes, Stream(np.uint64(1), 0))
    x, h = (np.ascontiguousarray(layer[:, :40].T) for layer in states)
    machine_end = x @ visible - (x**2).sum(axis=1) / 2 + h @ hidden + (h @ weights * x).sum(axis=1)
    base_end = x @ [0.25, 0.0, -1.0] - x**2 @ [0.125, 0.25, 0.5]
    np.testing.assert_allclose(slopes, machine_end - base_end, atol=1e-12)


def test_base_rates_have_the_moments_of_the_data():
    stack = machine_of(*parameters(), 1.0).layers_.stack()
    base = annealing.base_rates(stack, [1.0, 0.0, -2.0], [4.0, 0.5, 2.0], softening=0.5)
    np.testing.assert_allclose(1 / base.precision, np.array([4.0, 1.0, 2.0]) * 1.5**2)
    np.testing.assert_allclose(base.biases[0] / base.precision, [1.0, 0.0, -2.0])
    weights, _, visible = parameters()
    means, variances = annealing.independent_moments(stack)
    np.testing.assert_allclose(means, visible + weights.sum(axis=0) / 2)
    np.testing.assert_allclose(variances, 1 + (weights**2).sum(axis=0) / 4)


def test_tempered_samples_have_the_moments_of_the_mixture():
    """Exchanges between temperatures keep the distribution of the coldest chains."""
    weights, hidden, visible = parameters(scale=0.7)
    machine = machine_of(weights, hidden, visible, 1.0)
    mean, variance, on = Mixture(weights, hidden, visible, 1.0).moments()
    stack = machine.layers_.stack()
    base = annealing.base_rates(stack, visible, [20.0, 30.0, 10.0])
    with threads.Team() as team:
        x, h = annealing.tempered_samples(
            stack, base, np.uint64(3), team, 8000, 60, np.linspace(0, 1, 6)
        )
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / 8000))
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.08)
    np.testing.assert_allclose(h.mean(axis=0), on, atol=0.03)


def test_normal_draws_are_normal():
    out = np.zeros((64, 1 << 14), np.float32)
    normal.normals(np.uint64(7), 3, 0, out)
    draws = out.astype(np.float64).ravel()
    n = draws.size
    assert abs(draws.mean()) < 4 / np.sqrt(n)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(draws)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(draws)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    # The inverse distribution function at odd multiples of 2^-25 is reproduced to float32 accuracy.
    tails = np.sort(np.abs(draws))[::-1]
    assert tails[0] <= -ndtri(2.0**-25) + 1e-5
    p = stats.norm.cdf(-np.abs(draws)) * 2.0**25
    odd = 2 * np.round((p - 1) / 2) + 1
    np.testing.assert_allclose(np.abs(draws), -ndtri(odd * 2.0**-25), atol=2e-6)
    twice = np.zeros((64, 1 << 14))
    normal.normals(np.uint64(7), 3, 0, twice)
    np.testing.assert_array_equal(twice, out)


@pytest.mark.parametrize("criterion", sorted(criteria.CRITERIA))
def test_every_criterion_prunes(criterion):
    X = np.random.RandomState(0).normal(size=(200, 8))
    X[:, 4:] += X[:, :4]
    rbm = PrunedGaussianRBM(6, n_iter=2, random_state=0)
    pruner = IterativePruner(rbm, sparsity=0.5, n_rounds=2, criterion=criterion, random_state=0)
    pruner.fit(X)
    assert pruner.estimator_.connectivity_[0].mean() == 0.5
    assert np.isfinite(pruner.score(X))


def test_penalties_and_magnitude_are_in_units_of_sigma():
    """Features in other units give the same machine, apart from the units."""
    factor = np.array([10.0, 0.1, 1.0])
    options = {"n_iter": 5, "l1": 1e-3, "l2": 1e-3, "max_norm": 2.0, "random_state": 0}
    one = PrunedGaussianRBM(4, **options).fit(DATA)
    other = PrunedGaussianRBM(4, sigma=factor, **options).fit(DATA * factor)
    np.testing.assert_allclose(other.components_, one.components_ * factor, rtol=1e-6)
    np.testing.assert_allclose(
        other.score_samples(DATA * factor),
        one.score_samples(DATA) - np.log(factor).sum(),
        rtol=1e-6,
    )
    pruners = [
        IterativePruner(rbm, sparsity=0.5, random_state=0).fit(X)
        for rbm, X in (
            (PrunedGaussianRBM(4, random_state=0), DATA),
            (PrunedGaussianRBM(4, sigma=factor, random_state=0), DATA * factor),
        )
    ]
    masks = [pruner.estimator_.connectivity_[0] for pruner in pruners]
    np.testing.assert_array_equal(*masks)


def test_errors_say_what_to_do():
    X = DATA.copy()
    X[:, 1] = 2.0
    with pytest.raises(
        ValueError, match=r"1 of the 3 features are constant, the first one is feature 1"
    ):
        PrunedGaussianRBM(2).fit(X)
    with pytest.raises(ValueError, match="n_samples=1"):
        PrunedGaussianRBM(2).fit(DATA[:1])
    with pytest.raises(ValueError, match="NaN"):
        PrunedGaussianRBM(2).fit(np.where(DATA > 4, np.nan, DATA) * np.array([1, np.nan, 1]))
    with pytest.raises(TypeError, match="Sparse data was passed"):
        PrunedGaussianRBM(2).fit(sparse.csr_array(DATA))
    for sigma, message in [
        (0.0, "sigma"), (-1.0, "sigma"), ("all", "sigma='all' is not known"), ([1.0, 2.0], "sigma has 2 entries"),
        ([1.0, -2.0, 1.0], "must be between 1e-15"), (np.nan, "sigma"), (1e-300, "sigma"),
        (1e-9, "too far apart to train"), (1e9, "too far apart to train"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            PrunedGaussianRBM(2, sigma=sigma).fit(DATA)
    with pytest.raises(ValueError, match="Training diverged"):
        X = DATA.astype(np.float32)
        PrunedGaussianRBM(2, learning_rate=1e38, n_iter=30, random_state=0).fit(X)


def test_sigma_does_not_change_when_training_goes_on():
    machine = PrunedGaussianRBM(2, n_iter=1, warm_start=True, random_state=0).fit(DATA)
    again = machine.set_params(sigma="learned").fit(DATA)
    assert (again.sigma_ != 1).all()
    for use in (machine.fit, machine.partial_fit):
        with pytest.raises(ValueError, match="sigma cannot change between fits that continue"):
            machine.set_params(sigma=[1.0, 2.0, 3.0])
            use(DATA)


def test_huge_values_are_refused():
    machine = PrunedGaussianRBM(2, sigma=1e-3, n_iter=0, random_state=0).fit(
        DATA.astype(np.float32)
    )
    huge = np.full((1, 3), 1e37, np.float32)
    for use in (machine.transform, machine.score_samples, lambda X: machine.sample(1, clamped=X)):
        with pytest.raises(ValueError, match="too large for float32 if it is divided by sigma"):
            use(huge)
    with pytest.raises(ValueError, match="infinite"):
        machine.sample(1, clamped=[1e300, 0.0, 0.0])


def test_no_warning_about_the_range_of_real_data(recwarn):
    machine = PrunedGaussianRBM(2, n_iter=1, random_state=0).fit(DATA * 100)
    machine.score_samples(DATA * 100), machine.sample(3, clamped=[300.0, np.nan, -7.0])
    assert not recwarn.list


def test_verbose_prints_a_reconstruction_error(capsys):
    machine = PrunedGaussianRBM(2, n_iter=2, verbose=1, random_state=0).fit(DATA)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "reconstruction error" in lines[0]
    assert len(machine.history_["reconstruction_error"]) == 2
