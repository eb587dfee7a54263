"""Fisher information in deep Boltzmann machines: the thesis's study on MNIST, Table 4.2 and figures 4.8 to 4.19.

MNIST is cropped to 20 x 20 and made binary at its mean. A machine of 400-400-676 units, 5 x 5 receptive fields in
the first level, is pre-trained, trained together, and pruned in ten rounds to the sparsities that the
thesis ends at, 0.981 and 0.957. Its five schedules: last level first and first level first within each
round, and both at once by Fisher information, its heuristic estimate and its opposite; not in the thesis: both
at once by chance and by the size of weights, and all three by saliency (squared weight times Fisher information). These remove a prescribed
share of a level in every round. The "tenth percentile"
experiments follow the thesis's rule: at or below that percentile of the Fisher information of what remains in a
level, everything goes. In the first level the two rules are one (0.9 of what remains stays, ten times); in the second, the thesis
lost 81 % in the first round, where Fisher information was 0. Top units without connections are removed; in
joint schedules units of both hidden layers, even when cut off on one side only. Minimal models
are trained anew on the last mask. "full" is not pruned: the machine of the start trained on for as many passes. ``passes`` counts joint training.

Every pruning is scored before and after training on: logistic regression (L2, C = 1, L-BFGS, at most 300 iterations) on the
top layer's probabilities of every third training row; and quality and diversity of 1,000 digits (100 before training on), from chains
of 2,000 steps, by a logistic regression on raw digits. The initial machine, the last of every experiment and the
minimal ones are asked more: the same probe on all training rows, and a support vector machine (C = 1000, on every sixth row).
Raw pixels, test digits and random patterns are the controls. Fisher information is estimated from 10,000 states of
the model, 50 steps apart. Units are counted as in the thesis: those with connections to the layer below.

Where this is not the thesis's: 1 to 15 passes of training on after a round (``RETRAIN``: early ones are dear, late ones
cheap; 52 together, halved and rounded up for each turn by levels) instead of 15 after every pruning; minibatches of 20 rows in pre-training and 100 in joint training instead of
one row; rate 0.05 falling to 0 linearly, momentum 0.5 in pre-training; the centred gradient in place of the plain one; mean field to 1e-4;
weights and biases start as this package starts them: hidden biases at 0 and visible ones at the log-odds of the data, in place of -2 and -1. So
units of the top layer are on half of the time, in the thesis 1.7 % of it, and the thesis's ranking of criteria is not tested in its own regime.

Scores are in ``dbm_results.csv``, 100 digits of every stage (20 x 20 bits each, packed) in ``dbm_samples.npz``, what the initial and the
minimal machines are like in ``dbm_findings.csv`` and in figures; ``dbm_figures.py`` draws the others. Machines are on disk after
every pass of joint training, chains included, and nothing is run twice.
Run: ``python examples/reproduce/fisher_pruning/dbm.py [--experiments "joint fisher" ...]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import tempfile
import time
import warnings
from copy import deepcopy
from typing import NamedTuple

import joblib
import matplotlib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, datasets
from skprune.connectivity import receptive_fields
from skprune.criteria import Fisher, FisherHeuristic, LevelView, Saliency
from skprune.metrics import compare_moments, encoding_quality, rank_frequency, sample_quality
from skprune.schedules import FallingRate, FractionOfRemaining

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
COLUMNS = (
    "experiment", "round", "level", "stage", "passes", "sparsity_1", "sparsity_2", "connections_1", "connections_2",
    "visible", "units_1", "units_2", "threshold", "logistic_train", "logistic_test",
    "logistic_train_all", "logistic_test_all", "svm_test", "quality",
    "quality_low", "quality_high", "diversity", "counts", "seed", "seconds", "date", "machine",
)  # fmt: skip
FINDINGS = ("machine_of", "what", "value", "thesis", "seed", "date", "machine")


class Plan(NamedTuple):
    """One way to prune: the levels taken in turn within a round, what goes, and by which rule."""

    turns: tuple
    criterion: object
    remove: str = "least"
    percentile: bool = False


EXPERIMENTS = {
    "joint fisher": Plan(((1, 2),), Fisher()),
    "joint magnitude": Plan(((1, 2),), "magnitude"),
    "joint anti-fisher": Plan(((1, 2),), Fisher(), "most"),
    "last level first": Plan(((2,), (1,)), Fisher()),
    "joint random": Plan(((1, 2),), "random"),
    "joint heuristic": Plan(((1, 2),), FisherHeuristic()),
    "joint saliency": Plan(((1, 2),), Saliency()),
    "first level first": Plan(((1,), (2,)), Fisher()),
    "last level first, saliency": Plan(((2,), (1,)), Saliency()),
    "first level first, saliency": Plan(((1,), (2,)), Saliency()),
    "joint fisher, tenth percentile": Plan(((1, 2),), Fisher(), percentile=True),
    "joint anti-fisher, tenth percentile": Plan(((1, 2),), Fisher(), "most", True),
}
FULL = (400 * 400, 676 * 400)  # connections of the levels without receptive fields
START = (8836, 676 * 400)
GOALS = (0.981, 0.957)
PASSES, RETRAIN = 20, (1, 1, 2, 2, 3, 4, 6, 8, 10, 15)


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


def goal(level, number, rounds):
    """Connections of a level after so many rounds: the same share of what remains goes in each."""
    start, end = START[level - 1], round((1 - GOALS[level - 1]) * FULL[level - 1])
    return round(start * (end / start) ** (number / rounds))


def pruned(machine, X, plan, turn, progress, seed, quick):
    """The machine after the pruning of a turn, not trained on, and the lowest score that stayed."""
    criterion = plan.criterion
    if quick and not isinstance(criterion, str):
        criterion = type(criterion)(n_samples=200, n_steps_between=2)
    masks = machine.connectivity_
    if plan.percentile:
        shares, schedule = [None] * 2, FractionOfRemaining(0.1, ties="all")
    else:
        schedule = "one_shot"
        shares = [
            max(0.0, 1 - goal(level, *progress) / mask.size) if level in turn else 0.0
            for level, mask in enumerate(masks, 1)
        ]
    joint = len(turn) == 2
    pruner = IterativePruner(
        FrozenEstimator(machine), sparsity=shares, n_rounds=1, criterion=criterion, remove=plan.remove,
        schedule=schedule, retrain=None, grace_rounds=0 if joint else None, random_state=seed,
    ).fit(X)  # fmt: skip
    machine = pruner.estimator_
    if not joint:
        first, second = machine.connectivity_
        machine = machine.compact([np.ones(len(first), bool), second.any(axis=1)])
    return machine, float(pruner.history_["threshold"][-1])


class Judge:
    """Scores of a machine, as columns."""

    def __init__(self, X, y, X_test, y_test, quick):
        self.rows, self.quick = (X, y, X_test, y_test), quick
        self.eye = self.logistic().fit(X, y)

    def logistic(self):
        """The probe, unfitted."""
        return LogisticRegression(max_iter=300)

    def probes(self, features, final):
        """Accuracies of logistic regression (train, test); in the end on all training rows, too, and of the other probe."""
        X, y, X_test, y_test = self.rows
        few, fewer = (slice(None, None, 1 if self.quick else step) for step in (3, 6))
        scores = []
        with warnings.catch_warnings():  # the docstring says how many iterations
            warnings.simplefilter("ignore", ConvergenceWarning)
            for rows in (few, slice(None)) if final else (few,):
                scores += encoding_quality(
                    features, X[rows], y[rows], X_test, y_test, probe=self.logistic()
                )
        if final:
            probe = SVC(C=1000).fit(features.transform(X[fewer]), y[fewer])
            scores.append(float(probe.score(features.transform(X_test), y_test)))
        return [round(score, 4) for score in scores] + ([] if final else [""] * 3)

    def pictures(self, images):
        """Quality and its range over the classes, diversity and how many each class has."""
        found = sample_quality(images, self.eye)
        low, high = np.nanmin(found.class_quality), np.nanmax(found.class_quality)
        shares = [round(float(value), 4) for value in (found.quality, low, high, found.diversity)]
        return [*shares, " ".join(map(str, found.counts))]

    def machine(self, machine, final, threshold="", n_samples=1000):
        """All columns of a machine, and digits that it draws."""
        n_samples, n_steps = (50, 10) if self.quick else (n_samples, 2000)
        samples = machine.sample(n_samples, n_gibbs_steps=n_steps, random_state=0)
        masks = machine.connectivity_
        kept = [int(mask.sum()) for mask in masks]
        units = [masks[0].any(axis=0), *(mask.any(axis=1) for mask in masks)]
        scores = [
            *(round(1 - k / size, 4) for k, size in zip(kept, FULL, strict=True)), *kept,
            *(int(on.sum()) for on in units), threshold, *self.probes(machine, final),
            *self.pictures(samples),
        ]  # fmt: skip
        return scores, samples

    def controls(self):
        """Raw pixels as features, test digits and random patterns as pictures."""
        X_test = self.rows[2]
        raw = FunctionTransformer().fit(X_test)
        patterns = np.random.default_rng(0).integers(0, 2, X_test.shape, dtype=np.uint8)
        empty = [""] * 8
        return {
            "raw pixels, test digits": lambda: (
                [*empty, *self.probes(raw, True), *self.pictures(X_test)], None,
            ),
            "random patterns": lambda: ([*empty, *[""] * 5, *self.pictures(patterns)], None),
        }  # fmt: skip


def fisher_of(machine, quick):
    """Fisher information of the connections of every level by both estimates, from the same states of the model."""
    n_samples, n_steps = (200, 2) if quick else (10_000, 50)
    layers = machine.layer_samples(n_samples=n_samples, n_steps_between=n_steps, random_state=0)
    found = ([], [])
    for weights, mask, *states in zip(
        machine.components_, machine.connectivity_, layers[:-1], layers[1:], strict=True
    ):
        view = LevelView(weights, mask, None, lambda *of, s=states: s)
        for criterion, scores in zip((Fisher(), FisherHeuristic()), found, strict=True):
            scores.append(criterion(view)[mask])
    return found


def correlation(a, b):
    """Pearson's r."""
    return float(np.corrcoef(a, b)[0, 1])


def connected_pixels(mask):
    """Figure 4.17: the pixels that still have a connection, in black."""
    figure, axis = plt.subplots(figsize=(2.6, 2.6), layout="constrained")
    # Without limits, a picture with a single value is drawn white, whatever the value is.
    axis.imshow(mask.any(axis=0).reshape(20, 20), cmap="gray_r", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[], title="connected pixels")
    return figure


def portrait(name, machine, judge, folder):
    """What a machine is like: figures 4.8 to 4.11 of the initial one, 4.17 to 4.19 of others; rows of findings."""
    X, y = judge.rows[:2]
    slug = name.replace(", ", "_").replace(" ", "_")
    fisher, heuristic = fisher_of(machine, judge.quick)
    n_samples, n_steps = (200, 2) if judge.quick else (20_000, 50)
    layers = machine.layer_samples(n_samples=n_samples, n_steps_between=n_steps, random_state=1)
    moments = compare_moments(X, layers[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = judge.logistic().fit(machine.transform(X), y)
    first, second = machine.connectivity_
    coefficients = np.abs(probe.coef_).mean(axis=0)
    matrix = np.zeros(second.shape)
    matrix[second] = fisher[1]
    units = matrix.sum(axis=1) / np.maximum(second.sum(axis=1), 1)
    patterns = [rank_frequency(layer) for layer in layers]
    is_initial = name == "initial"

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    pairs = np.triu_indices(X.shape[1], k=1)
    axes[0, 0].plot(X.mean(axis=0), layers[0].mean(axis=0), ".", label="means")
    few = np.random.default_rng(0).choice(pairs[0].size, 4000, replace=False)
    of_data, of_model = (np.cov(part.T.astype(np.float32))[pairs][few] for part in (X, layers[0]))
    axes[0, 0].plot(of_data, of_model, ".", ms=2, label="covariances")
    axes[0, 0].set(xlabel="training rows", ylabel="states of the model")
    axes[0, 0].legend()
    for number, curve in enumerate(patterns):
        label = "visible" if number == 0 else f"hidden layer {number}"
        axes[0, 1].loglog(np.arange(1, curve.size + 1), curve, label=label)
    axes[0, 1].set(xlabel="rank of a pattern", ylabel="frequency")
    axes[0, 1].legend()
    for level in (0, 1):
        ranked = np.sort(fisher[level])[::-1]
        axes[1, level].plot(ranked)
        axes[1, level].set(
            xlabel=f"connections of level {level + 1}, by rank", ylabel="Fisher information"
        )
    figure.savefig(folder / f"dbm_fit_{slug}.png", dpi=70)
    plt.close(figure)
    if is_initial:
        figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
        axes[0].plot(units, coefficients, ".")
        axes[0].set(xlabel="mean Fisher information of a top unit", ylabel="mean |coefficient|")
        for level in (0, 1):
            axes[level + 1].plot(fisher[level][:20_000], heuristic[level][:20_000], ".", ms=2)
            axes[level + 1].set(
                xlabel="variance estimate", ylabel="heuristic estimate", title=f"level {level + 1}"
            )
        figure.savefig(folder / "dbm_sensitivity_initial.png", dpi=70)
    else:
        figure = connected_pixels(first)
        figure.savefig(folder / f"dbm_pixels_{slug}.png", dpi=70)
    plt.close(figure)
    zeros = [float(np.mean(part == 0)) for part in fisher]
    return [
        ("correlation of covariances, data and model", moments.covariance_correlation, ""),
        ("root mean square gap of means", moments.mean_gap, ""),
        ("mean activity, layer 1", layers[1].mean(), ""),
        ("mean activity, layer 2", layers[2].mean(), 0.017 if is_initial else ""),
        ("share of connections of level 1 whose Fisher information is 0", zeros[0], 0 if is_initial else ""),
        ("share of connections of level 2 whose Fisher information is 0", zeros[1], 0.8056 if is_initial else ""),
        ("mean Fisher information, level 1", fisher[0].mean(), ""),
        ("mean Fisher information, level 2", fisher[1].mean(), ""),
        ("r of heuristic and variance estimate, level 1", correlation(fisher[0], heuristic[0]), ""),
        ("r of heuristic and variance estimate, level 2", correlation(fisher[1], heuristic[1]), ""),
        ("r of |coefficient| and Fisher information of a top unit", correlation(units, coefficients), ""),
        ("different patterns of layer 2 in 20,000 states", patterns[2].size, ""),
        ("connections", int(first.sum() + second.sum()), {"joint fisher, tenth percentile, minimal": 11_833, "joint anti-fisher, tenth percentile, minimal": 83_762}.get(name, "")),
    ]  # fmt: skip


class Book:
    """The files of results; each row says seed, time and machine."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.scores, self.findings = folder / "dbm_results.csv", folder / "dbm_findings.csv"
        self.samples = folder / "dbm_samples.npz"

    @staticmethod
    def rows(path):
        """What a file holds."""
        if not path.exists():
            return []
        with path.open() as file:
            return list(csv.DictReader(file))

    def add(self, path, columns, *rows):
        """Append rows, with the date and the machine."""
        place = [time.strftime("%Y-%m-%d"), f"{platform.machine()}, {os.cpu_count()} cores"]
        new = not path.exists()
        with path.open("a", newline="") as file:
            csv.writer(file).writerows([columns] * new + [[*row, *place] for row in rows])

    def tell(self, experiment, number, level, stage, passes, scores, seconds):
        """Judge a machine, unless the results hold it."""
        key = [str(of) for of in (experiment, number, level, stage, self.seed)]
        names = ("experiment", "round", "level", "stage", "seed")
        if key in [[row[name] for name in names] for row in self.rows(self.scores)]:
            return
        found, samples = scores()
        if samples is not None:
            kept = dict(np.load(self.samples)) if self.samples.exists() else {}
            kept[" | ".join(key)] = np.packbits(samples[:100].astype(bool), axis=1)
            np.savez_compressed(self.samples, **kept)
        row = [experiment, number, level, stage, passes, *found, self.seed, round(seconds, 1)]
        self.add(self.scores, COLUMNS, row)
        print(*row, flush=True)

    def paint(self, name, machine, judge):
        """Tell what a machine is like, unless the findings hold it."""
        told = [(row["machine_of"], row["seed"]) for row in self.rows(self.findings)]
        if (name, str(self.seed)) in told:
            return
        found = portrait(name, machine, judge, self.folder)
        rows = [
            (name, what, round(float(value), 5), thesis, self.seed) for what, value, thesis in found
        ]
        self.add(self.findings, FINDINGS, *rows)


class Machines:
    """Machines on disk: what was done before is taken from there."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name):
        """Where a machine is."""
        return self.folder / f"dbm-{self.seed}-{name}.joblib"

    def kept(self, name, make):
        """What ``make()`` returned once."""
        file = self.path(name)
        if not file.exists():
            partial = file.with_suffix(".part")
            joblib.dump(make(), partial)
            os.replace(partial, file)
        return joblib.load(file)

    def trained(self, name, start, passes, X):
        """The machine after so many passes, kept after each, and the seconds they took."""
        paths = {number: self.path(f"{name} {number}") for number in range(1, passes + 1)}
        there = max((number for number, path in paths.items() if path.exists()), default=0)
        machine, spent = joblib.load(paths[there]) if there else (start(), 0.0)
        for number in range(there + 1, passes + 1):

            def further(machine=machine, spent=spent, number=number):
                started = time.perf_counter()
                falling = FallingRate((number - 1) / passes, number / passes)
                machine.set_params(
                    n_iter=1, warm_start=hasattr(machine, "components_"),
                    learning_rate_schedule=falling,
                ).fit(X)  # fmt: skip
                return machine, spent + time.perf_counter() - started

            machine, spent = self.kept(f"{name} {number}", further)
            if number > 1:
                paths[number - 1].unlink(missing_ok=True)
        return machine, spent


def run(name, start, book, machines, judge, quick):
    """One experiment: the rounds, and the minimal model of the last mask."""
    passes, retrain = (1, (1, 1)) if quick else (PASSES, RETRAIN)
    plan, X, machine = EXPERIMENTS[name], judge.rows[0], start
    rounds, spent = len(retrain), passes
    turns = [(number, turn) for number in range(1, rounds + 1) for turn in plan.turns]
    for number, turn in turns:
        level = turn[0] if len(turn) == 1 else "both"
        where, further = (
            f"{name} {number} level {level}",
            -(-retrain[number - 1] // len(plan.turns)),
        )

        def cut(machine=machine, number=number, turn=turn):
            return pruned(machine, X, plan, turn, (number, rounds), book.seed + number, quick)

        machine, threshold = machines.kept(f"{where} pruned", cut)
        book.tell(
            name, number, level, "pruned", spent,
            lambda m=machine, t=threshold: judge.machine(m, False, f"{t:.3g}", 100), 0.0,
        )  # fmt: skip
        machine, seconds = machines.trained(where, lambda m=machine: deepcopy(m), further, X)
        spent, final = spent + further, (number, turn) == turns[-1]
        book.tell(
            name, number, level, "retrained", spent,
            lambda m=machine, f=final: judge.machine(m, f), seconds,
        )  # fmt: skip
    book.paint(name, machine, judge)
    masks = [np.array(mask) for mask in machine.connectivity_]
    sizes = tuple(len(mask) for mask in masks)
    machine, seconds = machines.trained(
        f"{name} minimal", lambda: untrained(book.seed, passes, sizes, masks), passes, X
    )
    book.tell(name, rounds, "", "minimal", passes, lambda: judge.machine(machine, True), seconds)
    book.paint(f"{name}, minimal", machine, judge)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["full", *EXPERIMENTS]
    parser.add_argument("--experiments", nargs="+", default=names, choices=names)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--checkpoints", type=pathlib.Path, default=HERE / "checkpoints")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick and options.folder == HERE:
        options.folder = pathlib.Path(tempfile.mkdtemp())
        options.checkpoints = options.folder
    passes, retrain = (1, (1, 1)) if options.quick else (PASSES, RETRAIN)
    judge = Judge(*load(options.quick), options.quick)
    book = Book(options.folder, options.seed)
    machines = Machines(options.checkpoints, options.seed)
    for name, scores in judge.controls().items():
        book.tell(name, 0, "", "", 0, scores, 0.0)
    X = judge.rows[0]
    start, seconds = machines.trained("initial", lambda: untrained(options.seed, passes), passes, X)
    book.tell("initial", 0, "", "trained", passes, lambda: judge.machine(start, True), seconds)
    book.paint("initial", start, judge)
    for name in options.experiments:
        if name != "full":
            run(name, start, book, machines, judge, options.quick)
            continue
        machine, seconds = machines.trained("full", lambda: deepcopy(start), sum(retrain), X)
        book.tell(
            "full", len(retrain), "both", "retrained", passes + sum(retrain),
            lambda m=machine: judge.machine(m, True), seconds,
        )  # fmt: skip


if __name__ == "__main__":
    main()
