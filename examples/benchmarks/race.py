"""How long until a machine of 500 hidden units reaches -90 and -86.34 nats on binarized MNIST.

-86.34 is the figure of Salakhutdinov & Murray (2008), to which the pruning
paper compares. Contestants train in turn on both cores, with persistent chains
and a rate that falls to 0 over 2, 4, 8, ... passes, each from the start; only
training is timed, ours with all pruning. Every machine, whoever trained it, is
judged on the 10,000 test rows by our AIS (1,000 temperatures, 100 chains) and,
where that is above a goal, by the bracket with 10,000 temperatures and 300 chains: a goal is
reached when the pessimistic end is. Peers: scikit-learn, and ``rbms`` where it is
installed (``pip install '.[peers]'``), at the rates that did best after 8 passes among
0.05, 0.1, 0.2, 0.4 and among 0.1, 0.4, 1, 2.5, 5 (0.1 judged on test rows after 60,000
training rows, others on validation rows after 50,000).
``--save`` replaces the results of those who ran.

Run: ``python examples/benchmarks/race.py [--save]``.
"""

import argparse
import csv
import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from tools import RESULTS, description, rbms_machine, rbms_step, save

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.datasets import fetch_binarized_mnist
from skprune.schedules import FallingRate

GOALS = (-90.0, -86.34)
HIDDEN = 500


def ours(X, passes, sparsity=0.0, batch_size=50, rate=0.2):
    """A falling rate; pruned after each of the first passes, a quarter of them."""
    machine = PrunedBernoulliRBM(
        HIDDEN, batch_size=batch_size, learning_rate=rate, n_gibbs_steps=(1, 3), l2=2e-4,
        warm_start=True, random_state=0,
    )  # fmt: skip
    rounds = max(1, passes // 4) if sparsity else 0
    for number in range(rounds):
        stretch = FallingRate(number / passes, (number + 1) / passes)
        machine.set_params(n_iter=1, learning_rate_schedule=stretch).fit(X)
        pruner = IterativePruner(
            FrozenEstimator(machine), sparsity=1 - (1 - sparsity) ** ((number + 1) / rounds),
            schedule="one_shot", n_rounds=1, retrain=None,
        )  # fmt: skip
        machine = pruner.fit(X[:1]).estimator_
    stretch = FallingRate(rounds / passes, 1.0)
    return machine.set_params(n_iter=passes - rounds, learning_rate_schedule=stretch).fit(X)


def as_ours(X, weights, visible_biases, hidden_biases):
    """A machine of ours with somebody's parameters, to judge it."""
    machine = PrunedBernoulliRBM(HIDDEN, n_iter=0, random_state=0).fit(X)
    machine.set_parameters(
        weights,
        intercept_visible=visible_biases,
        intercept_hidden=hidden_biases,
        visible_means=machine.activity_[0],
    )
    return machine


def scikit_learn(X, passes, batch_size=100, rate=0.1):
    """BernoulliRBM in float32, its chains kept over the passes, its rate set for every minibatch."""
    data = X.astype(np.float32)
    machine = BernoulliRBM(HIDDEN, batch_size=batch_size, random_state=0)
    rng = np.random.default_rng(0)
    for number in range(passes):
        rows = rng.permutation(len(data))
        for start in range(0, len(data), batch_size):
            machine.learning_rate = rate * (1 - (number + start / len(data)) / passes)
            machine.partial_fit(data[rows[start : start + batch_size]])
    return machine


def rbms(X, passes, batch_size=100, rate=2.5):
    """PCD-1 with the centred gradient of ``rbms``, the rate set for every minibatch."""
    import torch

    torch.manual_seed(0)
    n = len(X)
    given, peer, optimizer, chains = rbms_machine(X.astype(np.float32), HIDDEN, rate, batch_size)
    with torch.no_grad():
        for number in range(passes):
            for step, rows in enumerate(torch.randperm(n).split(batch_size)):
                done = (number + step * batch_size / n) / passes
                optimizer.param_groups[0]["lr"] = rate * (1 - done)
                chains = rbms_step(given, rows, chains, peer, optimizer)
    return peer


def parameters(machine):
    """(weights, visible biases, hidden biases) of anybody's machine."""
    if hasattr(machine, "weight_matrix"):
        return machine.weight_matrix.T.numpy(), machine.vbias.numpy(), machine.hbias.numpy()
    return machine.components_, machine.intercept_visible_, machine.intercept_hidden_


def judged(machine, X_test, X, method, n_temperatures, n_chains=100):
    """(value, pessimistic end) of the test log-likelihood."""
    if not isinstance(machine, PrunedBernoulliRBM):
        machine = as_ours(X, *parameters(machine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_z = machine.log_partition(method, n_temperatures=n_temperatures, n_chains=n_chains)
    mean = -machine.free_energy(X_test).mean()
    return mean - log_z.value, mean - log_z.bracket[1]


def race(name, train, X, X_test, limit, report):
    """Double the passes until the last goal is reached or a training would exceed ``limit``."""
    open_goals, passes, seconds = list(GOALS), 1, 0.0
    while open_goals and 2 * seconds <= limit:
        passes *= 2
        time.sleep(0.1)  # threads of the last library stop spinning
        started = time.perf_counter()
        machine = train(X, passes)
        seconds = time.perf_counter() - started
        value, low = judged(machine, X_test, X, "ais", 1000)
        if value >= open_goals[0]:
            value, low = judged(machine, X_test, X, "bracket", 10_000, 300)
        reached = [goal for goal in open_goals if low >= goal]
        open_goals = [goal for goal in open_goals if low < goal]
        report(
            {
                "who": name, "passes": passes, "seconds": round(seconds, 1),
                "value": round(float(value), 2), "low": round(float(low), 2),
                "reached": " ".join(map(str, reached)),
            }
        )  # fmt: skip


def main():
    """Race everybody, print the passes, keep them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--limit", type=float, default=400.0, help="seconds that a training may take"
    )
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    data = fetch_binarized_mnist()
    X, X_test = np.concatenate([data.X_train, data.X_valid]), data.X_test
    PrunedBernoulliRBM(HIDDEN, n_iter=1, batch_size=50, initial_sparsity=0.5).fit(
        X[:500]
    )  # compiles
    contestants = {
        "full": ours,
        "90 % pruned": partial(ours, sparsity=0.9),
        "scikit-learn": scikit_learn,
        "rbms": rbms,
    }
    chosen = options.only or list(contestants)
    machine, rows = description("torch", "rbms"), []
    if options.save and (RESULTS / "race.csv").exists():
        with (RESULTS / "race.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["who"] not in chosen]

    def report(row):
        rows.append(row | {"seed": 0, "date": time.strftime("%Y-%m-%d"), "machine": machine})
        print(*row.values(), flush=True)
        if options.save:
            save(rows, "race.csv")

    for name in chosen:
        try:
            race(name, contestants[name], X, X_test, options.limit, report)
        except ImportError as missing:
            print(f"{name} is not installed ({missing.name} is missing); skipped")


if __name__ == "__main__":
    main()
