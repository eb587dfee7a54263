"""scikit-learn's own RBM example with the class swapped for ours.

Digits, each also shifted by a pixel in four directions, features of 100 hidden
units, logistic regression (C = 6000) run to convergence; five seeds. Compared:
``BernoulliRBM``, ``PrunedBernoulliRBM`` with the parameters of the example, and
the same pruned by 80 %. Run: ``python examples/benchmarks/drop_in.py``; about ten
minutes. Appends one row a fit to ``examples/results/drop_in.csv`` and goes on where it was stopped.
"""

import csv
import pathlib
import time

import numpy as np
from scipy.ndimage import shift
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from sklearn.preprocessing import minmax_scale

from skprune import IterativePruner, PrunedBernoulliRBM

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "drop_in.csv"
EXAMPLE = {"n_components": 100, "learning_rate": 0.06, "n_iter": 10}


def data():
    """The example's data: every digit in its place and shifted by a pixel each way."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8)
    moves = [(0, 0), (-1, 0), (0, -1), (0, 1), (1, 0)]
    moved = [shift(images, (0, *move), order=0).reshape(len(X), 64) for move in moves]
    X = minmax_scale(np.concatenate(moved), feature_range=(0, 1)).astype(np.float32)
    return train_test_split(X, np.tile(y, len(moves)), test_size=0.2, random_state=0)


def machines(seed):
    """The machines compared, by name."""
    ours = PrunedBernoulliRBM(**EXAMPLE, random_state=seed)
    as_theirs = clone(ours).set_params(
        centered=False, learning_rate_schedule="constant", n_chains=10
    )
    return {
        "BernoulliRBM": BernoulliRBM(**EXAMPLE, random_state=seed),
        "PrunedBernoulliRBM": ours,
        "pruned 80 %": IterativePruner(ours, sparsity=0.8),
        "pruned 80 %, trained as BernoulliRBM, by unit": IterativePruner(
            as_theirs, sparsity=0.8, scope="unit", n_retrain_iter=3
        ),
        "pruned 80 %, the same by contribution": IterativePruner(
            as_theirs, sparsity=0.8, scope="unit", n_retrain_iter=2, criterion="contribution"
        ),
    }


def main():
    """Run what is not in the file yet, then print means and standard errors."""
    X_train, X_test, y_train, y_test = data()
    RESULTS.parent.mkdir(exist_ok=True)
    done = {}
    if RESULTS.exists():
        with RESULTS.open() as file:
            done = {(row["machine"], int(row["seed"])): row for row in csv.DictReader(file)}
    for seed in range(5):
        for name, machine in machines(seed).items():
            if (name, seed) in done:
                continue
            started = time.perf_counter()
            machine.fit(X_train)
            fit_seconds = time.perf_counter() - started
            probe = LogisticRegression(C=6000, max_iter=10_000)
            probe.fit(machine.transform(X_train), y_train)
            row = {
                "machine": name,
                "seed": seed,
                "accuracy": round(probe.score(machine.transform(X_test), y_test), 5),
                "probe_iterations": int(probe.n_iter_[0]),
                "fit_seconds": round(fit_seconds, 2),
            }
            new = not RESULTS.exists()
            with RESULTS.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if new:
                    writer.writeheader()
                writer.writerow(row)
            done[name, seed] = row
            print(row, flush=True)
    for name in machines(0):
        accuracy = np.array([float(done[name, seed]["accuracy"]) for seed in range(5)])
        error = accuracy.std(ddof=1) / np.sqrt(5)
        print(f"{name:28s} {accuracy.mean():.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
