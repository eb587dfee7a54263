"""Fisher information in deep Boltzmann machines: the thesis's study on MNIST, Table 4.2 and figures 4.8 to 4.19.

MNIST is cropped to 20 x 20 and made binary at its mean. A machine of 400-400-676 units, 5 x 5
receptive fields in the first level, is pre-trained, trained together, and pruned in ten rounds:
at or below the 10th percentile of the Fisher information of what remains in a level, everything goes; in the joint
schedules units cut off on a side go, too. Schedules: last level first and first level first within each round,
and both at once by Fisher information, its heuristic estimate, its opposite, and chance. Minimal models
are trained anew on the last mask. "full" is not pruned: the machine of the start trained on for as many passes as the
joint schedules give (scored at round 10) and as the schedules by levels give (round 20). ``passes`` counts joint training.

Every pruning is scored before and after training on: logistic regression on the top layer's
probabilities, train and test; quality and diversity of 1,000 sampled digits by a logistic regression on
raw digits. After whole rounds a support vector machine (on every sixth row) is asked, too. Raw
pixels, test digits and random patterns are the controls.

Where this is not the thesis's: minibatches of 20 rows in pre-training and 100 in joint training instead of
one row; rate 0.05 falling to 0 linearly, momentum 0.5 in pre-training; the centred gradient; mean field to 1e-4;
weights and biases start as this package starts them.

Finished scores are in ``dbm_results.csv``, machines on disk after every pass, chains included, and nothing is run twice.
Run: ``python examples/reproduce/fisher_pruning/dbm.py [--experiments "joint fisher" ...]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import tempfile
import time
from copy import deepcopy

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, datasets
from skprune.connectivity import receptive_fields
from skprune.criteria import Fisher, FisherHeuristic
from skprune.metrics import encoding_quality, sample_quality
from skprune.schedules import FallingRate, FractionOfRemaining

HERE = pathlib.Path(__file__).parent
COLUMNS = (
    "experiment", "round", "level", "stage", "passes", "sparsity_1", "sparsity_2", "connections_1", "connections_2",
    "units_1", "units_2", "logistic_train", "logistic_test", "svm_test", "quality", "diversity", "seed",
    "seconds", "date", "machine",
)  # fmt: skip
BOTH, FIRST, LAST = [None, None], [None, 0.0], [0.0, None]  # 0: no pruning at this level
EXPERIMENTS = {  # what is pruned in turn within a round, criterion, what goes
    "last level first": ([LAST, FIRST], Fisher(), "least"),
    "first level first": ([FIRST, LAST], Fisher(), "least"),
    "joint fisher": ([BOTH], Fisher(), "least"),
    "joint heuristic": ([BOTH], FisherHeuristic(), "least"),
    "joint anti-fisher": ([BOTH], Fisher(), "most"),
    "joint random": ([BOTH], "random", "least"),
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


def untrained(seed, passes, sizes=(400, 676), masks=None):
    """The machine before pre-training."""
    level = PrunedBernoulliRBM(
        negative_phase="cd", n_iter=passes, batch_size=20, learning_rate=0.05, momentum=0.5
    )
    masks = [receptive_fields((20, 20), 5), None] if masks is None else masks
    return DBMTransformer(
        sizes, connectivity=masks, pretrain=level, batch_size=100, learning_rate=0.05, n_gibbs_steps=5,
        max_norm=6.0, mean_field_tolerance=1e-4, max_mean_field_updates=50, random_state=seed,
    )  # fmt: skip


def pruned(machine, X, experiment, caps, seed, quick):
    """The machine without what is at or below the tenth percentile; not trained on."""
    _, criterion, remove = EXPERIMENTS[experiment]
    joint = caps is BOTH
    if quick and criterion != "random":
        criterion = type(criterion)(n_samples=200, n_steps_between=2)
    return IterativePruner(
        FrozenEstimator(machine), sparsity=caps, n_rounds=1, criterion=criterion, remove=remove,
        schedule=FractionOfRemaining(0.1, ties="all"), retrain=None,
        grace_rounds=0 if joint else None, random_state=seed,
    ).fit(X).estimator_  # fmt: skip


class Judge:
    """Scores of a machine, as columns."""

    def __init__(self, X, y, X_test, y_test, quick):
        self.rows, self.quick = (X, y, X_test, y_test), quick
        self.eye = LogisticRegression(max_iter=300).fit(X, y)

    def probes(self, features, svm):
        """Accuracies of logistic regression (train, test), and of the other probe where it is asked."""
        X, y, X_test, y_test = self.rows
        scores = encoding_quality(features, X, y, X_test, y_test)
        few = slice(None, None, 1 if self.quick else 6)
        if svm:
            probe = SVC(C=1000)
            scores += encoding_quality(features, X[few], y[few], X_test, y_test, probe=probe)[1:]
        return [round(score, 4) for score in scores] + ([] if svm else [""])

    def pictures(self, images):
        """Quality and diversity."""
        found = sample_quality(images, self.eye)
        return [round(found.quality, 4), round(found.diversity, 4)]

    def machine(self, machine, svm):
        """All columns of a machine."""
        n_samples, n_steps = (50, 10) if self.quick else (1000, 500)
        samples = machine.sample(n_samples, n_gibbs_steps=n_steps, random_state=0)
        masks = machine.connectivity_
        full = (400 * 400, 400 * 676)
        kept = [int(mask.sum()) for mask in masks]
        first = masks[0].any(axis=1) & masks[1].any(axis=0)
        return [
            *(round(1 - k / size, 4) for k, size in zip(kept, full, strict=True)), *kept,
            int(first.sum()), int(masks[1].any(axis=1).sum()), *self.probes(machine, svm),
            *self.pictures(samples),
        ]  # fmt: skip

    def controls(self):
        """Raw pixels as features, test digits and random patterns as pictures."""
        X_test = self.rows[2]
        raw = FunctionTransformer().fit(X_test)
        patterns = np.random.default_rng(0).integers(0, 2, X_test.shape, dtype=np.uint8)
        empty = [""] * 6
        return {
            "raw pixels, test digits": lambda: [
                *empty, *self.probes(raw, True), *self.pictures(X_test)
            ],
            "random patterns": lambda: [*empty, "", "", "", *self.pictures(patterns)],
        }  # fmt: skip


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", nargs="+", default=["full", *EXPERIMENTS])
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
                (r["experiment"], r["round"], r["level"], r["stage"], r["seed"])
                for r in csv.DictReader(file)
            }
    X, y, X_test, y_test = load(options.quick)
    judge = Judge(X, y, X_test, y_test, options.quick)
    options.checkpoints.mkdir(parents=True, exist_ok=True)

    def tell(experiment, number, level, stage, passes, scores, seconds):
        key = (experiment, str(number), str(level), stage, str(seed))
        if key in done:
            return
        row = [
            experiment, number, level, stage, passes, *scores(), seed, round(seconds, 1),
            time.strftime("%Y-%m-%d"), f"{platform.machine()}, {os.cpu_count()} cores",
        ]  # fmt: skip
        new = not path.exists()
        with path.open("a", newline="") as file:
            csv.writer(file).writerows([COLUMNS, row] if new else [row])
        done.add(key)
        print(*row[:17], flush=True)

    def kept(name, make):
        file = options.checkpoints / f"dbm-{seed}-{name}.joblib"
        if not file.exists():
            partial = file.with_suffix(".part")
            joblib.dump(make(), partial)
            os.replace(partial, file)
        return joblib.load(file)

    def trained(name, start, passes):
        """The machine after so many passes, kept after each, and the seconds they took."""
        paths = {
            number: options.checkpoints / f"dbm-{seed}-{name} {number}.joblib"
            for number in range(1, passes + 1)
        }
        there = max((number for number, path in paths.items() if path.exists()), default=0)
        machine, spent = joblib.load(paths[there]) if there else start()
        for number in range(there + 1, passes + 1):

            def further(machine=machine, spent=spent, number=number):
                started = time.perf_counter()
                falling = FallingRate((number - 1) / passes, number / passes)
                machine.set_params(
                    n_iter=1, warm_start=hasattr(machine, "components_"),
                    learning_rate_schedule=falling,
                ).fit(X)  # fmt: skip
                return machine, spent + time.perf_counter() - started

            machine, spent = kept(f"{name} {number}", further)
            if number > 1:
                paths[number - 1].unlink(missing_ok=True)
        return machine, spent

    rounds, passes, retrain = (2, 1, 1) if options.quick else (ROUNDS, PASSES, RETRAIN)
    for name, scores in judge.controls().items():
        tell(name, 0, "", "", 0, scores, 0.0)
    start, seconds = trained("initial", lambda: (untrained(seed, passes), 0.0), passes)
    tell("initial", 0, "", "trained", passes, lambda: judge.machine(start, True), seconds)
    if "full" in options.experiments:
        machine = start
        for turn in range(1, 2 * rounds + 1):
            machine, seconds = trained(
                f"full {turn}", lambda m=machine: (deepcopy(m), 0.0), retrain
            )
            if turn % rounds == 0:
                tell(
                    "full", turn, "both", "retrained", passes + turn * retrain,
                    lambda m=machine: judge.machine(m, True), seconds,
                )  # fmt: skip
    for name in [name for name in options.experiments if name != "full"]:
        machine, turns = start, EXPERIMENTS[name][0]
        steps = [(number, caps) for number in range(1, rounds + 1) for caps in turns]
        for turn, (number, caps) in enumerate(steps):
            level = {id(BOTH): "both", id(FIRST): 1, id(LAST): 2}[id(caps)]
            where = f"{name} {number} level {level}"
            spent = passes + turn * retrain

            def cut(machine=machine, number=number, name=name, caps=caps):
                started = time.perf_counter()
                machine = pruned(machine, X, name, caps, seed + number, options.quick)
                return machine, time.perf_counter() - started

            machine, seconds = kept(f"{where} pruned", cut)
            tell(
                name, number, level, "pruned", spent,
                lambda m=machine: judge.machine(m, False), seconds,
            )  # fmt: skip
            machine, seconds = trained(where, lambda m=machine: (deepcopy(m), 0.0), retrain)
            whole = turn + 1 == len(steps) or steps[turn + 1][0] != number
            tell(
                name, number, level, "retrained", spent + retrain,
                lambda m=machine, w=whole: judge.machine(m, w), seconds,
            )  # fmt: skip
        masks = [np.array(mask) for mask in machine.connectivity_]
        sizes = tuple(mask.shape[0] for mask in masks)
        machine, seconds = trained(
            f"{name} minimal",
            lambda m=masks, s=sizes: (untrained(seed, passes, s, m), 0.0), passes,
        )  # fmt: skip
        tell(name, rounds, "", "minimal", passes, lambda m=machine: judge.machine(m, True), seconds)


if __name__ == "__main__":
    main()
