"""A small piece of work for every kernel, through the public interface.

``python -m tests.every_kernel`` does all of it, for example under ``NUMBA_BOUNDSCHECK=1``. The sizes are
odd numbers, so that no row of states or weights is a whole number of vectors.
"""

import itertools

import numpy as np
from scipy import sparse

from skprune import (
    DBMTransformer,
    IterativePruner,
    PrunedBernoulliRBM,
    PrunedGaussianRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune.dbn import UpDown

N_ROWS, N_VISIBLE, N_HIDDEN = 43, 23, 9


def rows(dtype):
    """0/1 rows of a type, for which some pixels are rarely on."""
    rng = np.random.RandomState(0)
    return (rng.uniform(size=(N_ROWS, N_VISIBLE)) < np.linspace(0.1, 0.7, N_VISIBLE)).astype(dtype)


LABELS = np.arange(N_ROWS) % 3


def rbms(dtype):
    """Restricted machines: every form of a level, negative phase and option of the gradient step."""
    X = rows(dtype)
    options = [
        {}, {"negative_phase": "cd", "n_gibbs_steps": 2, "momentum": 0.5},
        {"negative_phase": "tempering", "max_norm": 0.7},
        {"batch_size": 40, "n_chains": 37, "l1": 1e-3, "l2": 1e-3, "dropout": 0.2},
        {"batch_size": 1, "n_chains": 1, "drop_connect": 0.3, "hidden_activity_target": 0.2},
    ]  # fmt: skip
    for sparsity, option in itertools.product((0.0, 0.3, 0.8), options):
        rbm = PrunedBernoulliRBM(
            N_HIDDEN, n_iter=1, initial_sparsity=sparsity, random_state=0, **option
        )
        rbm.fit(X)
        yield f"RBM {sparsity} {option}", [rbm.components_, rbm.intercept_hidden_, rbm.h_samples_]
        if option:
            continue
        grey = X * dtype(0.5)
        for name, data in (
            ("0/1", X), ("grey", grey), ("CSR", sparse.csr_array(X)), ("grey CSR", sparse.csr_array(grey)),
            ("one row", X[:1]),
        ):  # fmt: skip
            again = rbm.partial_fit(data)
            scores = [getattr(again, score)(data) for score in SCORES]
            yield f"RBM {sparsity} {name}", [again.components_, *scores]
        yield (
            f"AIS {sparsity}",
            [
                rbm.log_partition("bracket", n_chains=35, n_temperatures=3, n_tempered_sweeps=2)[0],
                rbm.log_partition("exact")[0],
            ],
        )
        clamped = np.full(N_VISIBLE, np.nan)
        clamped[::3] = 1
        yield f"samples {sparsity}", [
            rbm.gibbs(X), *rbm.layer_samples(n_samples=35, n_steps_between=2, random_state=0),
            rbm.sample(33, n_gibbs_steps=2, random_state=0),
            rbm.sample(3, n_gibbs_steps=2, clamped=clamped, random_state=0),
        ]  # fmt: skip


SCORES = ("transform", "score_samples", "pseudo_log_likelihood", "free_energy")


def real_numbers(dtype):
    """Restricted machines with Gaussian units."""
    X = np.random.RandomState(0).normal(size=(N_ROWS, N_VISIBLE)).astype(dtype)
    options = [
        {}, {"negative_phase": "cd", "n_gibbs_steps": 2, "sigma": "learned"},
        {"negative_phase": "tempering", "batch_size": 40, "n_chains": 37},
    ]  # fmt: skip
    for sparsity, option in itertools.product((0.0, 0.3, 0.8), options):
        rbm = PrunedGaussianRBM(
            N_HIDDEN, n_iter=1, initial_sparsity=sparsity, random_state=0, **option
        ).fit(X)
        estimate = rbm.log_partition("bracket", n_chains=35, n_temperatures=90, n_tempered_sweeps=9)
        yield f"Gaussian RBM {sparsity} {option}", [
            rbm.components_, rbm.sigma_, rbm.transform(X), rbm.score_samples(X), estimate[0],
            rbm.gibbs(X), rbm.sample(33, n_gibbs_steps=2, random_state=0),
        ]  # fmt: skip


def deep_machines(dtype):
    """Deep Boltzmann machines, and belief networks with every kind of fine-tuning."""
    X = rows(dtype)
    options = {"pretrain": False, "n_iter": 1, "n_gibbs_steps": 1, "random_state": 0}
    masks = [np.arange(9 * N_VISIBLE).reshape(9, -1) % 3 == 0, np.arange(45).reshape(5, 9) % 4 > 0]
    for name, mask in (("full", None), ("pruned", masks)):
        machine = DBMTransformer((9, 5), connectivity=mask, **options).fit(X)
        holes = np.where(X > 0, X, np.nan)[:5]
        yield f"{name} DBM", [
            *machine.components_, machine.score_samples(X), machine.complete(holes, max_updates=3),
            machine.sample(5, n_gibbs_steps=2, random_state=0), *machine.layer_means(X[:7]),
        ]  # fmt: skip
    template = PrunedBernoulliRBM(n_iter=1, initial_sparsity=0.6)
    for name, options in {
        "plain": {},
        "with labels": {"join_labels": True, "fine_tune": UpDown(n_iter=1, batch_size=7)},
        "tuned": {"fine_tune": UpDown(n_iter=1, negative_phase="pcd", l2=0.01)},
        "belief net": {"fine_tune": UpDown(n_iter=1, undirected_top=False)},
    }.items():
        dbn = SparseDBN((9, 5), rbm=template, random_state=0, **options).fit(X, LABELS)
        found = [
            dbn.transform(X), dbn.lower_bound(X, 2), dbn.sample(5, n_gibbs_steps=2, random_state=0),
            dbn.inverse_transform(dbn.transform(X)),
            *dbn.layer_samples(n_samples=5, n_steps_between=2, random_state=0),
        ]  # fmt: skip
        if "join_labels" in options:
            found.append(dbn.predict_proba(X))
        yield f"DBN {name}", found


def networks(dtype):
    """Networks with every solver, output and form of a level."""
    X = rows(dtype)
    options = {"pretrain": None, "n_iter": 1, "random_state": 0, "dropout": 0.2, "max_norm": 0.9}
    for solver, share in itertools.product(("sgd", "adam"), (0.3, 0.8, 1.0)):
        network = SparseDBNClassifier((9, 5), solver=solver, **options).fit(X, LABELS)
        rng = np.random.RandomState(0)
        network.set_connectivity([rng.uniform(size=m.shape) < share for m in network.connectivity_])
        for data in (X, sparse.csr_array(X)):
            network.partial_fit(data, LABELS)
        yield f"classifier {solver} {share}", [*network.components_, network.predict_proba(X)]
    for output in ("logistic", "linear", "softmax"):
        coder = SparseDBNAutoencoder((9, 5), output=output, **options).fit(X)
        codes = coder.transform(X)
        yield (
            f"autoencoder {output}",
            [codes, coder.inverse_transform(codes), coder.score_samples(X)],
        )


def pruners(dtype):
    """Criteria that read states."""
    X = rows(dtype)
    for criterion in ("fisher", "gradient"):
        pruner = IterativePruner(
            PrunedBernoulliRBM(N_HIDDEN, n_iter=1, random_state=0), criterion=criterion, n_rounds=1
        ).fit(X)
        yield f"pruner {criterion}", [pruner.estimator_.components_]


def exercise(dtypes=(np.float32, np.float64)):
    """Do all of the work; return the results as a dict of lists of arrays."""
    found = {}
    for dtype in [np.dtype(name).type for name in dtypes]:
        for part in (rbms, real_numbers, deep_machines, networks, pruners):
            for name, arrays in part(dtype):
                found[f"{name} {np.dtype(dtype)}"] = [np.array(array) for array in arrays]
    return found


if __name__ == "__main__":
    results = exercise()
    assert all(np.isfinite(array).all() for arrays in results.values() for array in arrays)
    print(f"{len(results)} results are finite")
