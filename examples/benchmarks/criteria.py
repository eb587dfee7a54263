"""What each criterion is worth, from 50 to 99 % sparsity: log-likelihood and a probe on the features.

One machine a data set and seed is trained; every criterion prunes it along the
same path of sparsities with a short retraining after each. log Z is by AIS
(1,000 temperatures, 100 chains); the probe is a logistic regression on the hidden
activities of 5,000 training rows. Finished paths are in
``examples/results/criteria.csv`` and not run again.

Run: ``python examples/benchmarks/criteria.py [--data ocr] [--seeds 3]``.
"""

import argparse
import csv
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tools import RESULTS, description

from skprune import IterativePruner, PrunedBernoulliRBM, datasets
from skprune.criteria import CRITERIA, Fisher, Saliency
from skprune.pruning import pruning_path

SPARSITIES = [0.5, 0.8, 0.9, 0.95, 0.98, 0.99]
N_TRAIN, N_TEST = 20_000, 5000
PASSES, RETRAIN_PASSES = 15, 3
CONTESTANTS = {
    **{(name, "level"): criterion for name, criterion in CRITERIA.items() if name != "gradient"},
    ("fisher of data", "level"): Fisher(source="data"),
    ("saliency of data", "level"): Saliency(source="data"),
    ("magnitude", "unit"): CRITERIA["magnitude"],
    ("contribution", "unit"): CRITERIA["contribution"],
    ("saliency", "unit"): CRITERIA["saliency"],
}
COLUMNS = (
    "data", "criterion", "scope", "sparsity", "value", "standard_error", "accuracy", "passes", "seed",
    "seconds", "date", "machine",
)  # fmt: skip


def load(name, seed):
    """Training rows (with labels), and test rows."""
    if name == "mnist":
        data = datasets.fetch_mnist()
        X, T = (np.asarray(part > 127, np.uint8) for part in (data.X_train, data.X_test))
    else:
        data = datasets.fetch_ocr_letters()
        X, T = data.X_train, data.X_test
    rows = np.random.default_rng(seed).permutation(len(X))[:N_TRAIN]
    return X[rows], data.y_train[rows], T[:N_TEST], data.y_test[:N_TEST]


def figures(machine, X, y, X_test, y_test):
    """Log-likelihood by AIS with its standard error, and accuracy of the probe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_z = machine.log_partition("ais")
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        probe.fit(machine.transform(X[:5000]), y[:5000])
    value = -machine.free_energy(X_test).mean() - log_z.value
    return value, log_z.standard_error, probe.score(machine.transform(X_test), y_test)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["mnist", "ocr"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    path, machine_line = RESULTS / "criteria.csv", description()
    done = set()
    if path.exists():
        with path.open() as file:
            done = {
                (r["data"], r["criterion"], r["scope"], r["seed"]) for r in csv.DictReader(file)
            }
    for seed in range(options.seeds):
        for data in options.data:
            train, y, test, y_test = load(data, seed)
            start = None
            for (name, scope), criterion in {("none", "level"): "magnitude", **CONTESTANTS}.items():
                if (data, name, scope, str(seed)) in done:
                    continue
                if start is None:
                    start = PrunedBernoulliRBM(
                        500, batch_size=50, n_iter=PASSES, l2=2e-4, random_state=seed
                    ).fit(train)
                started = time.perf_counter()
                pruner = IterativePruner(
                    FrozenEstimator(start), criterion=criterion, scope=scope,
                    schedule=[0.0] * len(SPARSITIES) if name == "none" else SPARSITIES,
                    n_retrain_iter=RETRAIN_PASSES, random_state=seed,
                )  # fmt: skip
                walk = pruning_path(pruner, train)
                seconds = round(time.perf_counter() - started, 1)
                rows = []
                for number, machine in enumerate(walk.estimators):
                    if name == "none" and number < len(SPARSITIES) - 1:
                        continue
                    value, error, accuracy = figures(machine, train, y, test, y_test)
                    rows.append(
                        [
                            data, name, scope, round(float(walk.sparsities[number]), 3),
                            round(float(value), 2), round(float(error), 2), round(accuracy, 4),
                            PASSES + (number + 1) * RETRAIN_PASSES, seed, seconds,
                            time.strftime("%Y-%m-%d"), machine_line,
                        ]
                    )  # fmt: skip
                    print(*rows[-1][:8], flush=True)
                new = not path.exists()
                with path.open("a", newline="") as file:
                    csv.writer(file).writerows([COLUMNS, *rows] if new else rows)


if __name__ == "__main__":
    main()
