"""RBM part of the thesis on pruning by Fisher information: circular patches of CIFAR-10.

1. 13 pixels, 40 hidden units: stiff and sloppy units (figure 4.1). Activity of a unit
   against the Fisher information of its weights, from the leading eigenvector of
   the full matrix and from its diagonal; |weight| against Fisher information.
2. 13 pixels, 100 units pruned to 50 by Fisher information, by its opposite, and at random;
   weights times two, trained on (figures 4.2 to 4.4): fit before and after.
3. 37 pixels, 150 units: connections of less than 0.05 Fisher information go, three
   rounds (Table 4.1, figures 4.5 to 4.7).

Trained as in the thesis: CD-1, one patch a step, two passes at 0.1 and 0.01 (0.01 and
0.001 after pruning connections), momentum 0.9, weights from N(0, 0.1²), hidden biases -2.
Our momentum adds up past gradients, so rates are these times 1 - 0.9; taken as printed the
machine does not learn (test log-likelihood -5.5 instead of -4.2, median activity 0.04).
Our 90,000 patches come from 10,000 images (the thesis had 50,000). As many states
of the model as patches are kept, one every 200 Gibbs steps of 100 chains. Fit is told by the
exact test log-likelihood where 20 or fewer units are on a side, and by means,
covariances and the rank-frequency plot.

Run: ``python examples/reproduce/fisher_pruning/rbm.py [--seeds 3]``; the figures
go beside it.
"""

import argparse
import csv
import os
import pathlib
import platform
import time
from copy import deepcopy

import matplotlib
import numpy as np
from sklearn.frozen import FrozenEstimator

from skprune import IterativePruner, PrunedBernoulliRBM, datasets, metrics
from skprune.criteria import Fisher, FisherEigenvector, LevelView, UnitFisher
from skprune.metrics import compare_moments
from skprune.pruning import Units
from skprune.schedules import Threshold

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
COLUMNS = ("experiment", "what", "value", "thesis", "seed", "seconds", "date", "machine")
MOMENTUM = 0.9
CRITERIA = {"FI": ("fisher", "least"), "anti-FI": ("fisher", "most"), "random": ("random", "least")}


class Sizes:
    """How much of everything; ``quick`` for the tests."""

    def __init__(self, quick):
        self.patches = 600 if quick else 90_000
        self.steps = 5 if quick else 200

    def fisher(self, kind):
        """A criterion from as many states as there are patches."""
        return kind(self.patches, self.steps)

    def states(self, machine, seed):
        """Visible and hidden states of the model."""
        return machine.layer_samples(
            n_samples=self.patches, n_steps_between=self.steps, random_state=seed
        )


def train(machine, X, rates):
    """One pass at each rate of the thesis."""
    for rate in rates:
        machine.set_params(learning_rate=rate * (1 - MOMENTUM), n_iter=1, warm_start=True).fit(X)
    return machine


def new_machine(X, hidden, seed):
    """A machine as the thesis starts it."""
    machine = PrunedBernoulliRBM(
        hidden, batch_size=1, n_iter=0, momentum=MOMENTUM, negative_phase="cd", centered=False,
        learning_rate_schedule="constant", random_state=seed,
    ).fit(X)  # fmt: skip
    rng = np.random.default_rng(seed)
    return machine.set_parameters(
        0.1 * rng.standard_normal(machine.components_.shape),
        intercept_hidden=np.full(hidden, -2.0),
        visible_means=machine.activity_[0],
    )


def r2(a, b):
    """Squared correlation."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1] ** 2)


def fit_figures(machine, X, X_test, sizes, seed):
    """Quality of fit, as a dict."""
    samples = sizes.states(machine, seed)[0]
    check = compare_moments(X, samples)
    figures = {
        "gap of means": check.mean_gap,
        "correlation of covariances": check.covariance_correlation,
        "gap of rank-frequency": metrics.rank_frequency_gap(X, samples),
    }
    if min(machine.components_.shape) <= 20:
        figures["test log-likelihood"] = machine.score(X_test)
    return figures, samples


class Report:
    """Collects figures as rows of ``rbm_results.csv``."""

    def __init__(self, seed):
        self.seed, self.started, self.rows = seed, time.perf_counter(), []

    def tell(self, experiment, what, value, thesis=""):
        """Print and keep a figure."""
        self.rows.append(
            [
                experiment, what, round(float(value), 4), thesis, self.seed,
                round(time.perf_counter() - self.started, 1), time.strftime("%Y-%m-%d"),
                f"{platform.machine()}, {os.cpu_count()} cores",
            ]
        )  # fmt: skip
        print(*self.rows[-1][:5], flush=True)


def stiff_and_sloppy(X, X_test, sizes, report, folder):
    """Experiment 1."""
    machine = train(new_machine(X, 40, report.seed), X, (0.1, 0.01))
    v, h = sizes.states(machine, report.seed)
    view = LevelView(machine.components_, machine.connectivity_[0], None, lambda *of: (v, h))
    diagonal, leading = Fisher()(view), FisherEigenvector()(view)
    activity = h.mean(axis=0)
    size = np.abs(machine.components_)
    name = "13 pixels, 40 units"
    report.tell(name, "activity, weights' FI (eigenvector), r2", r2(activity, leading.mean(axis=1)), 0.992)  # fmt: skip
    report.tell(name, "activity, weights' FI (diagonal), r2", r2(activity, diagonal.mean(axis=1)), 0.989)  # fmt: skip
    report.tell(name, "|weight|, FI (eigenvector), r2", r2(size, leading), 0.473)
    report.tell(name, "|weight|, FI (diagonal), r2", r2(size, diagonal), 0.48)
    report.tell(name, "eigenvector, diagonal, r2", r2(leading, diagonal))
    report.tell(name, "median activity", np.median(activity), 0.084)
    report.tell(name, "least activity", activity.min(), 0.056)
    report.tell(name, "largest activity", activity.max(), 0.684)
    spectrum = metrics.fisher_spectrum(
        machine, n_samples=min(sizes.patches, 20_000), n_steps_between=sizes.steps, random_state=0
    )
    report.tell(name, "trace of the FIM", metrics.fisher_trace(
        machine, n_samples=sizes.patches, n_steps_between=sizes.steps, random_state=0))  # fmt: skip
    report.tell(name, "eigenvalues that hold 90 % of the trace", np.searchsorted(
        np.cumsum(spectrum) / spectrum.sum(), 0.9) + 1)  # fmt: skip
    figures, _ = fit_figures(machine, X, X_test, sizes, report.seed)
    for what, value in figures.items():
        report.tell(name, what, value)
    order = np.argsort(-diagonal.mean(axis=1))
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, values, title in zip(
        axes, (diagonal, leading), ("diagonal of the FIM", "leading eigenvector"), strict=False
    ):
        picture = axis.imshow(values[order], aspect="auto", cmap="magma")
        axis.set(title=title, xlabel="pixel", ylabel="hidden unit, by mean FI")
        figure.colorbar(picture, ax=axis)
    axes[2].semilogy(np.maximum(spectrum, 1e-12))
    axes[2].set(title="spectrum of the FIM", xlabel="rank", ylim=(1e-8, None))
    figure.savefig(folder / "stiff_and_sloppy.png", dpi=90)
    plt.close(figure)


def halve_the_units(X, X_test, sizes, report, folder):
    """Experiment 2."""
    full = train(new_machine(X, 100, report.seed), X, (0.1, 0.01))
    figures, samples = fit_figures(full, X, X_test, sizes, report.seed)
    for what, value in figures.items():
        report.tell("100 units", what, value)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    for axis, title in zip(axes, ("just pruned", "trained on"), strict=True):
        axis.loglog(metrics.rank_frequency(X), "k", lw=3, alpha=0.4, label="data")
        axis.loglog(metrics.rank_frequency(samples), "k--", label="100 units")
        axis.set(title=f"{title}, 50 of 100 units", xlabel="rank of a pattern", ylabel="frequency")
    for label, (criterion, remove) in CRITERIA.items():
        pruner = IterativePruner(
            FrozenEstimator(full), target=Units(rescale=True), sparsity=0.5, n_rounds=1, retrain=None,
            criterion=sizes.fisher(UnitFisher) if criterion == "fisher" else criterion,
            remove=remove, random_state=report.seed,
        )  # fmt: skip
        machine = pruner.fit(X).estimator_
        for axis, stage in zip(axes, ("just pruned", "trained on"), strict=True):
            if stage == "trained on":
                machine = train(machine, X, (0.1, 0.01))
            figures, samples = fit_figures(machine, X, X_test, sizes, report.seed)
            axis.loglog(metrics.rank_frequency(samples), label=label)
            for what, value in figures.items():
                report.tell(f"50 units, {label}, {stage}", what, value)
    axes[0].legend()
    figure.savefig(folder / "halve_the_units.png", dpi=90)
    plt.close(figure)


def prune_connections(X, X_test, sizes, report, folder):
    """Experiment 3: Table 4.1."""
    table = [(37, 150, 5550, 231.52), (37, 53, 1116, 240.88), (37, 38, 912, 218.14), (37, 35, 894, 230.79)]  # fmt: skip
    machine = train(new_machine(X, 150, report.seed), X, (0.1, 0.01))
    before = deepcopy(machine)
    fisher = sizes.fisher(Fisher)
    for number, thesis in enumerate(table):
        if number:
            pruner = IterativePruner(
                FrozenEstimator(machine), criterion=fisher, schedule=Threshold(0.05), sparsity=None,
                n_rounds=1, retrain=None, random_state=report.seed,
            )  # fmt: skip
            machine = train(pruner.fit(X).estimator_, X, (0.01, 0.001))
        mask, name = machine.connectivity_[0], f"37 pixels, round {number}"
        report.tell(name, "connected visible units", mask.any(axis=0).sum(), thesis[0])
        report.tell(name, "connected hidden units", mask.any(axis=1).sum(), thesis[1])
        report.tell(name, "connections", mask.sum(), thesis[2])
        connected = machine.compact()
        trace = metrics.fisher_trace(
            connected, n_samples=sizes.patches, n_steps_between=sizes.steps, random_state=0
        )
        report.tell(name, "trace of the FIM", trace, thesis[3])
        figures, _ = fit_figures(machine, X, X_test, sizes, report.seed)
        for what, value in figures.items():
            report.tell(name, what, value)
    reach = 3
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = down**2 + right**2 <= 3.2**2
    order = np.argsort(-machine.connectivity_[0].sum(axis=1), kind="stable")[:30]
    figure, axes = plt.subplots(6, 10, figsize=(10, 6), layout="constrained")
    for row, unit in enumerate(order):
        for shown, of in enumerate((before, machine)):
            image = np.full(inside.shape, np.nan)
            image[inside] = of.components_[unit]
            axis = axes[2 * (row // 10) + shown, row % 10]
            axis.imshow(image, cmap="RdBu_r", vmin=-3, vmax=3)
            axis.axis("off")
    figure.suptitle("receptive fields before (upper) and after three rounds (lower)")
    figure.savefig(folder / "receptive_fields.png", dpi=90)
    plt.close(figure)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    sizes, path = Sizes(options.quick), options.folder / "rbm_results.csv"
    done = set()
    if path.exists():
        with path.open() as file:
            done = {row["seed"] for row in csv.DictReader(file)}
    data = datasets.fetch_cifar10_gray()
    for seed in range(options.seeds):
        if str(seed) in done:
            continue
        report = Report(seed)
        for radius, experiments in ((2, (stiff_and_sloppy, halve_the_units)), (3.2, (prune_connections,))):  # fmt: skip
            X = datasets.circular_patches(data.X_train, (32, 32), radius, sizes.patches, random_state=seed)  # fmt: skip
            X_test = datasets.circular_patches(data.X_test, (32, 32), radius, 10_000, random_state=seed)  # fmt: skip
            for experiment in experiments:
                experiment(X, X_test, sizes, report, options.folder)
        new = not path.exists()
        with path.open("a", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *report.rows] if new else report.rows)


if __name__ == "__main__":
    main()
