"""How long until a machine of 500 hidden units reaches -90 and -86.34 nats on binarized MNIST.

-86.34 is the figure of Salakhutdinov & Murray (2008), to which the pruning
paper compares. Contestants train in turn on both cores, each with persistent
chains and the best of the settings that were tried (``docs/design_notes.md``); only
training is timed, for ours with all pruning. After a pass every machine, whoever
trained it, is judged on the 10,000 test rows by our AIS (1,000 temperatures,
100 chains) and, where that passes a goal, by the bracket with 10,000
temperatures. ``passed`` tells by which end. Peers: scikit-learn, and ``rbms`` where
it is installed (``pip install '.[peers]'``).

Run: ``python examples/benchmarks/race.py [--save]``.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from tools import description, save

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.datasets import fetch_binarized_mnist

GOALS = (-90.0, -86.34)
HIDDEN = 500


def ours(X, sparsity=0.0, passes=10, batch_size=50, rate=0.2, rounds=4):
    """Passes with a falling rate; pruned, in rounds, after each of the first passes."""
    machine = PrunedBernoulliRBM(
        HIDDEN, batch_size=batch_size, n_iter=1, warm_start=True, random_state=0,
        learning_rate_schedule="constant",
    )  # fmt: skip
    for number in range(passes):
        machine.set_params(learning_rate=rate * (1 - number / passes)).fit(X)
        if sparsity and number < rounds:
            pruner = IterativePruner(
                FrozenEstimator(machine), sparsity=1 - (1 - sparsity) ** ((number + 1) / rounds),
                schedule="one_shot", n_rounds=1, retrain=None,
            )  # fmt: skip
            machine = pruner.fit(X[:1]).estimator_
        yield machine


def as_ours(X, weights, visible_biases, hidden_biases):
    """A machine of ours with somebody's parameters, to judge it."""
    machine = PrunedBernoulliRBM(HIDDEN, n_iter=0, random_state=0).fit(X)
    machine.components_[...] = weights
    machine.intercept_visible_[...] = visible_biases
    machine.intercept_hidden_[...] = hidden_biases
    return machine


def scikit_learn(X, passes=400, batch_size=100, rate=0.05):
    """BernoulliRBM in float32; a pass at a time, its chains kept."""
    data = X.astype(np.float32)
    machine = BernoulliRBM(HIDDEN, learning_rate=rate, batch_size=batch_size, random_state=0)
    rng = np.random.default_rng(0)
    for _ in range(passes):
        rows = rng.permutation(len(data))
        for start in range(0, len(data), batch_size):
            machine.partial_fit(data[rows[start : start + batch_size]])
        yield machine


def rbms(X, passes=400, batch_size=100, rate=0.05):
    """PCD-1 with the centred gradient of ``rbms``."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.dataset.dataset_class import RBMDataset
    from rbms.training.pcd import fit_batch_pcd

    data, n = X.astype(np.float32), len(X)
    given = RBMDataset(
        data=data, labels=np.zeros(n), weights=np.ones(n, np.float32),
        names=np.arange(n).astype(str), dataset_name="race", is_binary=True, device="cpu",
    )  # fmt: skip
    peer = BBRBM.init_parameters(
        num_hiddens=HIDDEN, dataset=given, device=torch.device("cpu"), dtype=torch.float32
    )
    peer.init_grad()
    optimizer = torch.optim.SGD(peer.parameters(), lr=rate, maximize=True)
    chains = peer.init_chains(batch_size)
    for _ in range(passes):
        with torch.no_grad():
            for rows in torch.randperm(n).split(batch_size):
                optimizer.zero_grad(set_to_none=False)
                chains, _ = fit_batch_pcd(
                    (given.data[rows], given.weights[rows]), chains, peer,
                    gibbs_steps=1, beta=1.0, centered=True,
                )  # fmt: skip
                optimizer.step()
        yield peer


def parameters(machine):
    """(weights, visible biases, hidden biases) of anybody's machine."""
    if hasattr(machine, "weight_matrix"):
        return machine.weight_matrix.T.numpy(), machine.vbias.numpy(), machine.hbias.numpy()
    return machine.components_, machine.intercept_visible_, machine.intercept_hidden_


def judged(machine, X_test, X, method, n_temperatures):
    """(value, pessimistic end) of the test log-likelihood."""
    if not isinstance(machine, PrunedBernoulliRBM):
        machine = as_ours(X, *parameters(machine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_z = machine.log_partition(method, n_temperatures=n_temperatures)
    mean = -machine.free_energy(X_test).mean()
    return mean - log_z.value, mean - log_z.bracket[1]


def race(name, passes, X, X_test, limit, report):
    """Train until the last goal or for ``limit`` seconds; one row a judged pass."""
    spent, number, open_goals = 0.0, 0, list(GOALS)
    stretches = iter(passes)
    while open_goals and spent < limit:
        time.sleep(0.1)  # threads of the last library stop spinning
        started = time.perf_counter()
        machine = next(stretches, None)
        if machine is None:
            return
        spent, number = spent + time.perf_counter() - started, number + 1
        if number > 10 and number % 5:
            continue
        value, low = judged(machine, X_test, X, "ais", 1000)
        passed = ""
        if value >= open_goals[0]:
            value, low = judged(machine, X_test, X, "bracket", 10_000)
            if value >= open_goals[0]:
                passed = "both ends" if low >= open_goals[0] else "value"
        while open_goals and low >= open_goals[0]:
            open_goals.pop(0)
        report(
            {
                "who": name, "passes": number, "seconds": round(spent, 1),
                "value": round(float(value), 2), "low": round(float(low), 2), "passed": passed,
            }
        )  # fmt: skip


def main():
    """Race everybody, print the passes, keep them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=600.0, help="seconds of training for each")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    data = fetch_binarized_mnist()
    X, X_test = np.concatenate([data.X_train, data.X_valid]), data.X_test
    PrunedBernoulliRBM(HIDDEN, n_iter=1, batch_size=50, initial_sparsity=0.5).fit(
        X[:500]
    )  # compiles
    contestants = {
        "full": lambda: ours(X),
        "90 % pruned": lambda: ours(X, 0.9),
        "scikit-learn": lambda: scikit_learn(X),
        "rbms": lambda: rbms(X),
    }
    machine, rows = description("torch", "rbms"), []

    def report(row):
        rows.append(row | {"seed": 0, "date": time.strftime("%Y-%m-%d"), "machine": machine})
        print(*row.values(), flush=True)

    for name in options.only or contestants:
        try:
            race(name, contestants[name](), X, X_test, options.limit, report)
        except ImportError as missing:
            print(f"{name} is not installed ({missing.name} is missing); skipped")
    if options.save:
        save(rows, "race.csv")


if __name__ == "__main__":
    main()
