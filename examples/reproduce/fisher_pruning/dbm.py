"""Fisher information in deep Boltzmann machines: the thesis's study on MNIST, Table 4.2 and figures 4.8 to 4.19.

MNIST is cropped to 20 x 20 and made binary at its mean. A machine of 400-400-676 units, 5 x 5
receptive fields in the first level, is pre-trained, trained together, and pruned in ten rounds:
at or below the 10th percentile of the Fisher information of what remains in a level, everything goes, units
that lose all connections too. Schedules: last level first and first level first within each round,
and both at once by Fisher information, its heuristic estimate, its opposite, and chance. Minimal models
are trained anew on the last mask.

Scores after every round: logistic regression and a support vector machine (on every sixth row) on the top
layer's probabilities, train and test; quality and diversity of 1,000 sampled digits by a logistic regression on
raw digits, trained on the test rows, which no machine sees.

Where this is not the thesis's: minibatches of 20 rows in pre-training and 100 in joint training instead of
one row; rate 0.05 falling to 0 linearly, momentum 0.5 in pre-training; the centred gradient; mean field to 1e-4;
weights and biases start as this package starts them; units cut on one side go in every schedule; scores are
taken after a whole round, not after each half of it.

Finished rounds are in ``dbm_results.csv``, machines on disk, and nothing is run twice.
Run: ``python examples/reproduce/fisher_pruning/dbm.py [--experiments "joint fisher" ...]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import tempfile
import time

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, datasets
from skprune.connectivity import receptive_fields
from skprune.criteria import FisherHeuristic
from skprune.metrics import encoding_quality, sample_quality
from skprune.schedules import FractionOfRemaining

HERE = pathlib.Path(__file__).parent
COLUMNS = (
    "experiment", "round", "stage", "sparsity_1", "sparsity_2", "connections_1", "connections_2",
    "units_1", "units_2", "logistic_train", "logistic_test", "svm_test", "quality", "diversity", "seed",
    "seconds", "date", "machine",
)  # fmt: skip
EXPERIMENTS = {  # order, criterion, what goes
    "last level first": ("top_down", "fisher", "least"),
    "first level first": ("bottom_up", "fisher", "least"),
    "joint fisher": ("joint", "fisher", "least"),
    "joint heuristic": ("joint", FisherHeuristic(), "least"),
    "joint anti-fisher": ("joint", "fisher", "most"),
    "joint random": ("joint", "random", "least"),
}
ROUNDS, PASSES, RETRAIN = 10, 20, 15


def load(quick):
    """Cropped binary digits: train, test, labels."""
    data = datasets.fetch_mnist()
    parts = [part.reshape(-1, 28, 28)[:, 4:24, 4:24] for part in (data.X_train, data.X_test)]
    cut = parts[0].mean()
    X, X_test = ((part > cut).reshape(len(part), 400).astype(np.uint8) for part in parts)
    step = 60 if quick else 1
    return X[::step], data.y_train[::step], X_test[::step], data.y_test[::step]


def initial(X, seed, quick):
    """The machine before pruning."""
    passes = 1 if quick else PASSES
    level = PrunedBernoulliRBM(
        negative_phase="cd", n_iter=passes, batch_size=20, learning_rate=0.05, momentum=0.5
    )
    return DBMTransformer(
        (400, 676), connectivity=[receptive_fields((20, 20), 5), None], pretrain=level,
        n_iter=passes, batch_size=100, learning_rate=0.05, n_gibbs_steps=5, max_norm=6.0,
        mean_field_tolerance=1e-4, max_mean_field_updates=50, random_state=seed,
    ).fit(X)  # fmt: skip


class Judge:
    """Scores of a machine, as columns."""

    def __init__(self, X, y, X_test, y_test, quick):
        self.rows, self.quick = (X, y, X_test, y_test), quick
        self.eye = LogisticRegression(max_iter=300).fit(X_test, y_test)

    def __call__(self, machine):
        X, y, X_test, y_test = self.rows
        train, test = encoding_quality(machine, X, y, X_test, y_test)
        few = slice(None, None, 1 if self.quick else 6)
        _, svm = encoding_quality(machine, X[few], y[few], X_test, y_test, probe=SVC(C=1000))
        samples = machine.sample(100 if self.quick else 1000, n_gibbs_steps=500, random_state=0)
        found = sample_quality(samples, self.eye)
        masks = machine.connectivity_
        full = (400 * 400, 400 * 676)
        kept = [int(mask.sum()) for mask in masks]
        return [
            *(round(1 - k / size, 4) for k, size in zip(kept, full, strict=True)), *kept,
            *(mask.shape[0] for mask in masks), round(train, 4), round(test, 4), round(svm, 4),
            round(found.quality, 4), round(found.diversity, 4),
        ]  # fmt: skip


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--checkpoints", type=pathlib.Path, default=HERE / "checkpoints")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick and options.folder == HERE:
        options.folder = pathlib.Path(tempfile.mkdtemp())
        options.checkpoints = options.folder
    path, seed = options.folder / "dbm_results.csv", options.seed
    done = set()
    if path.exists():
        with path.open() as file:
            done = {
                (r["experiment"], r["round"], r["stage"], r["seed"]) for r in csv.DictReader(file)
            }
    X, y, X_test, y_test = load(options.quick)
    judge = Judge(X, y, X_test, y_test, options.quick)
    options.checkpoints.mkdir(parents=True, exist_ok=True)

    def tell(experiment, number, stage, machine, seconds):
        if (experiment, str(number), stage, str(seed)) in done:
            return
        row = [
            experiment, number, stage, *judge(machine), seed, round(seconds, 1),
            time.strftime("%Y-%m-%d"), f"{platform.machine()}, {os.cpu_count()} cores",
        ]  # fmt: skip
        new = not path.exists()
        with path.open("a", newline="") as file:
            csv.writer(file).writerows([COLUMNS, row] if new else [row])
        done.add((experiment, str(number), stage, str(seed)))
        print(*row[:15], flush=True)

    def kept(name, make):
        file = options.checkpoints / f"dbm-{seed}-{name}.joblib"
        if not file.exists():
            started = time.perf_counter()
            partial = file.with_suffix(".part")
            joblib.dump((make(), time.perf_counter() - started), partial)
            os.replace(partial, file)
        return joblib.load(file)

    start, seconds = kept("initial", lambda: initial(X, seed, options.quick))
    tell("initial", 0, "trained", start, seconds)
    rounds, retrain = (2, 1) if options.quick else (ROUNDS, RETRAIN)
    for name in options.experiments:
        machine = start
        for number in range(1, rounds + 1):

            def one_round(machine=machine, number=number, name=name):
                order, criterion, remove = EXPERIMENTS[name]
                pruner = IterativePruner(
                    FrozenEstimator(machine), sparsity=None, n_rounds=1, criterion=criterion,
                    schedule=FractionOfRemaining(0.1, ties="all"), order=order, remove=remove,
                    n_retrain_iter=retrain, grace_rounds=0, random_state=seed + number,
                )  # fmt: skip
                return pruner.fit(X).estimator_

            machine, seconds = kept(f"{name}-{number}", one_round)
            tell(name, number, "retrained", machine, seconds)

        def minimal(machine=machine):
            masks = [np.array(mask) for mask in machine.connectivity_]
            sizes = tuple(mask.shape[0] for mask in masks)
            return clone(start).set_params(hidden_layer_sizes=sizes, connectivity=masks).fit(X)

        machine, seconds = kept(f"{name}-minimal", minimal)
        tell(name, rounds, "minimal", machine, seconds)


if __name__ == "__main__":
    main()
