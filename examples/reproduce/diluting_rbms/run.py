"""When to prune: before, early in, throughout, or after training, at equal passes, on MNIST.

"Diluting Restricted Boltzmann Machines" (arXiv 2511.00648) claims that random
dilution before training keeps quality up to 80 %, that there is a sharp transition
beyond, and that trained machines pruned later cannot make up by retraining
and stay behind machines trained from scratch. Every machine here sees the data
for the same number of passes, and its rate falls over them; one that starts anew
(rewind, reinitialize) spends half before and half after.

log Z is bracketed by AIS and reverse AIS. Finished machines are in ``results.csv`` and
not run again. ``python examples/reproduce/diluting_rbms/run.py --report`` fits two lines, the first one level, to the nats
behind the full machine of the seed over the logarithm of the share of connections, prints their kink, and
draws ``quality.png``. Such a fit finds a kink on any curve that falls; it does not test for a sharp transition.

Run: ``python examples/reproduce/diluting_rbms/run.py [--seeds 3]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import time
import warnings
from collections import defaultdict

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from skprune import IterativePruner, PrunedBernoulliRBM, datasets
from skprune.schedules import FallingRate

HERE = pathlib.Path(__file__).parent
COLUMNS = (
    "strategy", "sparsity", "passes", "value", "low", "high", "seed", "seconds", "date", "machine",
)  # fmt: skip
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
PASSES = 20


def train(machine, X, start, stop, total=PASSES):
    """Passes ``start`` to ``stop`` of ``total``."""
    machine.set_params(
        warm_start=True, n_iter=stop - start,
        learning_rate_schedule=FallingRate(start / total, stop / total),
    )  # fmt: skip
    return machine.fit(X)


def prune(machine, sparsity, criterion="magnitude"):
    """A copy, pruned at once and not trained on."""
    pruner = IterativePruner(
        FrozenEstimator(machine), sparsity=sparsity, criterion=criterion, schedule="one_shot",
        n_rounds=1, retrain=None,
    )  # fmt: skip
    return pruner.fit(np.zeros((1, machine.n_features_in_), np.uint8)).estimator_


def dilute_before(new, X, sparsity):
    """Random connections, before training."""
    return train(new().set_params(initial_sparsity=sparsity), X, 0, PASSES)


def prune_early(new, X, sparsity):
    """By magnitude after a tenth of the passes."""
    first = PASSES // 10
    return train(prune(train(new(), X, 0, first), sparsity), X, first, PASSES)


def prune_gradually(new, X, sparsity):
    """By magnitude after every pass, on a cubic curve over the first three quarters."""
    machine, last = new(), 3 * PASSES // 4
    for number in range(last):
        train(machine, X, number, number + 1)
        machine = prune(machine, sparsity * (1 - (1 - (number + 1) / last) ** 3))
    return train(machine, X, last, PASSES)


def prune_and_retrain(new, X, sparsity):
    """By magnitude after half of the passes."""
    half = PASSES // 2
    return train(prune(train(new(), X, 0, half), sparsity), X, half, PASSES)


def dilute_and_retrain(new, X, sparsity):
    """Random connections go after half of the passes."""
    half = PASSES // 2
    return train(prune(train(new(), X, 0, half), sparsity, "random"), X, half, PASSES)


def rewind(new, X, sparsity):
    """By magnitude after half of the passes; weights go back to their start."""
    start, half = new().set_params(n_iter=0).fit(X), PASSES // 2
    mask = prune(train(new(), X, 0, half, half), sparsity).connectivity_
    return train(start.set_connectivity(mask), X, 0, half, half)


def reinitialize(new, X, sparsity):
    """By magnitude after half of the passes; new random weights on the mask."""
    half = PASSES // 2
    mask = prune(train(new(), X, 0, half, half), sparsity).connectivity_
    other = new()
    other.set_params(n_iter=0, random_state=other.random_state + 1000, connectivity=mask[0])
    return train(other.fit(X), X, 0, half, half)


STRATEGIES = {
    "dilute before training": dilute_before,
    "prune early": prune_early,
    "prune gradually": prune_gradually,
    "prune and retrain": prune_and_retrain,
    "dilute and retrain": dilute_and_retrain,
    "rewind": rewind,
    "reinitialize": reinitialize,
}


def judge(machine, X_test, quick):
    """Test log-likelihood and the ends of its bracket, in nats."""
    size = {"n_temperatures": 100, "n_tempered_sweeps": 20} if quick else {"n_tempered_sweeps": 100}
    with warnings.catch_warnings():  # the bracket is in the table
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_z = machine.log_partition("bracket", **size)
    mean = -machine.free_energy(X_test).mean()
    return [round(float(mean - z), 2) for z in (log_z.value, log_z.bracket[1], log_z.bracket[0])]


def transitions(rows):
    """For each strategy, one row per seed: (sparsity of the fitted kink, nats behind before it, slope after it)."""
    full = {r["seed"]: float(r["value"]) for r in rows if r["strategy"] == "full"}
    curves = defaultdict(list)
    for r in rows:
        if r["strategy"] != "full" and r["seed"] in full:
            curves[r["strategy"], r["seed"]].append(
                (-np.log(1 - float(r["sparsity"])), full[r["seed"]] - float(r["value"]))
            )
    found = defaultdict(list)
    for (strategy, _), points in curves.items():
        x, loss = (np.array(part) for part in zip(*sorted(points), strict=True))
        fits = []
        for kink in np.linspace(0, x.max(), 1001)[:-1]:
            design = np.column_stack([np.ones_like(x), np.maximum(0, x - kink)])
            level = np.linalg.lstsq(design, loss, rcond=None)[0]
            fits.append((((design @ level - loss) ** 2).sum(), kink, *level))
        _, kink, behind, slope = min(fits)
        found[strategy].append((1 - np.exp(-kink), behind, slope))
    return {strategy: np.array(fits) for strategy, fits in found.items()}


def draw(rows, path):
    """Test log-likelihood against sparsity: means over the seeds, and their range."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    values = defaultdict(list)
    for r in rows:
        values[r["strategy"], float(r["sparsity"])].append(float(r["value"]))
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in STRATEGIES:
        points = sorted((s, v) for (strategy, s), v in values.items() if strategy == name)
        kept = [1 - s for s, _ in points]
        (line,) = axis.plot(kept, [np.mean(v) for _, v in points], "o-", ms=3, label=name)
        axis.fill_between(
            kept, [min(v) for _, v in points], [max(v) for _, v in points], alpha=0.2,
            color=line.get_color(),
        )  # fmt: skip
    axis.axhline(np.mean(values["full", 0.0]), color="k", lw=1, label="full")
    axis.set(xscale="log", xlabel="share of connections left", ylabel="test log-likelihood (nats)")
    axis.invert_xaxis()
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main():
    """Run what is not there yet, or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results.csv")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.report:
        with options.results.open() as file:
            rows = list(csv.DictReader(file))
            draw(rows, options.results.with_name("quality.png"))
            for strategy, found in transitions(rows).items():
                (at, behind, slope), (spread, *_) = found.mean(axis=0), found.std(axis=0)
                print(
                    f"{strategy:24s}kink at {at:.3f} +- {spread:.3f} ({len(found)} seeds); before it "
                    f"{behind:.1f} nats behind, after it {slope:.1f} nats for each e-fold fewer"
                )
        return
    data = datasets.fetch_binarized_mnist()
    X_all = np.concatenate([data.X_train, data.X_valid])
    X_test = data.X_test[::20] if options.quick else data.X_test
    hidden, sparsities = (20, SPARSITIES[1:2]) if options.quick else (500, SPARSITIES)
    done = set()
    if options.results.exists():
        with options.results.open() as file:
            done = {(r["strategy"], float(r["sparsity"]), r["seed"]) for r in csv.DictReader(file)}
    for seed in range(options.seeds):
        rows = np.random.default_rng(seed).permutation(len(X_all))[
            : 500 if options.quick else 20_000
        ]
        X = X_all[rows]
        template = PrunedBernoulliRBM(hidden, batch_size=50, l2=2e-4, random_state=seed)
        plan = [("full", 0.0)] + [(name, s) for s in sparsities for name in STRATEGIES]
        for name, sparsity in plan:
            if (name, sparsity, str(seed)) in done:
                continue
            started = time.perf_counter()
            make = STRATEGIES.get(name, lambda new, X, _: train(new(), X, 0, PASSES))
            machine = make(lambda template=template: clone(template), X, sparsity)
            seconds = time.perf_counter() - started
            reached = 1 - machine.connectivity_[0].mean()
            assert abs(reached - sparsity) < 1e-4, f"{name} reached {reached}"
            row = [
                name, sparsity, PASSES, *judge(machine, X_test, options.quick), seed,
                round(seconds, 1), time.strftime("%Y-%m-%d"),
                f"{platform.machine()}, {os.cpu_count()} cores",
            ]  # fmt: skip
            new = not options.results.exists()
            with options.results.open("a", newline="") as file:
                csv.writer(file).writerows([COLUMNS, row] if new else [row])
            print(*row[:7], flush=True)


if __name__ == "__main__":
    main()
