"""Test log-likelihoods on the density benchmarks, full and pruned to 80 %, with one setting for all.

The floor is that of independent Bernoulli features with add-one smoothing.
log Z is bracketed by AIS and reverse AIS; the table gives the pessimistic end
beside the value. A full machine trains for as many passes as a pruned one.
Finished sets are kept in ``examples/results/density.csv``, and not run again.
Run: ``python examples/benchmarks/density.py``.
"""

import argparse
import csv
import time

import numpy as np
from tools import RESULTS, description

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.datasets import DENSITY_BENCHMARKS, fetch_density_benchmark

PASSES, ROUNDS, RETRAIN_PASSES = 60, 4, 15


def machines(seed):
    """Full, and pruned; equal passes."""
    rbm = PrunedBernoulliRBM(100, n_iter=PASSES, l2=5e-3, learning_rate=0.03, random_state=seed)
    pruner = IterativePruner(rbm, n_rounds=ROUNDS, n_retrain_iter=RETRAIN_PASSES)
    return {
        "full": IterativePruner(rbm, sparsity=0.0, n_rounds=ROUNDS, n_retrain_iter=RETRAIN_PASSES),
        "80 %": pruner.set_params(sparsity=0.8),
    }


def floor(X_train, X_test):
    """Mean log-likelihood of independent features."""
    p = (X_train.sum(axis=0) + 1) / (len(X_train) + 2)
    return float((X_test * np.log(p) + (1 - X_test) * np.log(1 - p)).sum(axis=1).mean())


def main():
    """Run what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = RESULTS / "density.csv"
    done = []
    if path.exists():
        with path.open() as file:
            done = list(csv.DictReader(file))
    for name in DENSITY_BENCHMARKS:
        if any((row["data"], row["seed"]) == (name, str(options.seed)) for row in done):
            continue
        data = fetch_density_benchmark(name)
        row = {"data": name, "floor": round(floor(data.X_train, data.X_test), 2)}
        for label, pruner in machines(options.seed).items():
            started = time.perf_counter()
            machine = pruner.fit(data.X_train).estimator_
            row[f"{label} seconds"] = round(time.perf_counter() - started, 1)
            log_z = (
                machine.log_partition("exact")
                if min(machine.components_.shape) <= 20
                else machine.log_partition("bracket", n_temperatures=5000, n_tempered_sweeps=500)
            )
            unnormalised = -machine.free_energy(data.X_test)
            error = unnormalised.std() / np.sqrt(len(unnormalised))
            row[label] = round(float(unnormalised.mean() - log_z.value), 2)
            row[f"{label} low"] = round(float(unnormalised.mean() - log_z.bracket[1]), 2)
            row[f"{label} error"] = round(float(error), 2)
        row |= {"seed": options.seed, "date": time.strftime("%Y-%m-%d"), "machine": description()}
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        done.append({key: str(value) for key, value in row.items()})
    print(f"{'':14s}{'floor':>10s}{'full':>10s}{'80 %':>10s}")
    for row in done:
        print(f"{row['data']:14s}{row['floor']:>10s}{row['full']:>10s}{row['80 %']:>10s}")


if __name__ == "__main__":
    main()
