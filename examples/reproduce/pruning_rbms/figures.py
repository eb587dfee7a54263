"""Figures 3 to 7 of "Pruning RBMs and DBNs", from the tables and checkpoints of the other two scripts.

``tradeoff.png`` (figures 3 and 7) comes from ``tradeoff.csv`` alone. Samples after 1,000
Gibbs steps from the same test images (4), receptive fields (5) and weights before
and after pruning (6) show the full and the 92 % pruned machine of row
``mnist-ours-500``, from its checkpoints.

Run: ``python examples/reproduce/pruning_rbms/figures.py``.
"""

import argparse
import csv
import pathlib

import joblib
import matplotlib
import numpy as np
from run import HERE, load

from skprune.plotting import ImagesDisplay, ReceptiveFieldsDisplay

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROW = "mnist-ours-500-0"
LABELS = {"full": "full", "percentile-7": "92 % pruned"}


def trade_off(table, path):
    """Test log-likelihood against sparsity, without and with retraining, for both data sets."""
    with table.open() as file:
        rows = list(csv.DictReader(file))
    sets = sorted({row["data"] for row in rows}, reverse=True)
    figure, axes = plt.subplots(
        len(sets), 2, figsize=(11, 4.5 * len(sets)), layout="constrained", squeeze=False
    )
    for pair, data in zip(axes, sets, strict=True):
        own = [row for row in rows if row["data"] == data]
        full = [row for row in own if row["pruning"] == "none" and row["training"] == "L2"]
        for axis, without in zip(pair, (True, False), strict=True):
            axis.axhline(
                max(float(row["value"]) for row in full), color="k", lw=1, label="full, L2"
            )
            kinds = [row["training"] for row in own if row["pruning"] == "none"]
            for kind in dict.fromkeys(kinds):
                for rule in ("without retraining",) if without else ("percentile", "sigma", "once"):
                    points = sorted(
                        (float(row["sparsity"]), float(row["value"]))
                        for row in own
                        if (row["training"], row["pruning"]) == (kind, rule)
                    )
                    if points:
                        label = (
                            kind
                            if rule in ("without retraining", "percentile")
                            else f"{kind}, {rule}"
                        )
                        style = {"sigma": "s--", "once": "x:"}.get(rule, "o-")
                        axis.plot(*zip(*points, strict=True), style, ms=4, label=label)
            best = max(float(row["value"]) for row in own)
            axis.set(
                title=f"{data}, {'without' if without else 'with'} retraining", ylim=(best - 30, best + 2),
                xlabel="connections pruned (%)", ylabel="test log-probability (nats)",
            )  # fmt: skip
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=80)


def portraits(machines, X_test, folder):
    """Samples, receptive fields and weights of the full machine beside the pruned one."""
    start = X_test[:: len(X_test) // 100][:100].astype(np.float32)

    def samples(machine):
        states = start
        for _ in range(1000):
            states = machine.gibbs(states)
        return states

    def fields(machine, axis):
        limits = {"vmin": -3, "vmax": 3}
        ReceptiveFieldsDisplay.from_estimator(
            machine, units=np.arange(100), ax=axis, plot_options=limits
        )

    for name, draw in (
        (
            "samples",
            lambda machine, axis: ImagesDisplay(samples(machine)).plot(axis, vmin=0, vmax=1),
        ),
        ("receptive_fields", fields),
    ):
        figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
        for axis, (label, machine) in zip(axes, machines.items(), strict=True):
            draw(machine, axis)
            axis.set_title(LABELS[label])
        figure.savefig(folder / f"{name}.png", dpi=80)
        plt.close(figure)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (label, machine) in zip(axes, machines.items(), strict=True):
        weights = machine.components_[machine.connectivity_[0]]
        axis.hist(weights, bins=120, range=(-4, 4))
        axis.set(title=f"weights, {LABELS[label]} ({weights.size:,})", xlabel="weight")
        low, high = np.percentile(weights, [0.5, 99.5])
        print(f"{LABELS[label]}: 99 % of the weights in [{low:.2f}, {high:.2f}], kurtosis "
              f"{((weights - weights.mean()) ** 4).mean() / weights.var() ** 2:.1f}")  # fmt: skip
    figure.savefig(folder / "weights.png", dpi=80)


def main():
    """Draw what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    options = parser.parse_args()
    if (HERE / "tradeoff.csv").exists():
        trade_off(HERE / "tradeoff.csv", options.folder / "tradeoff.png")
    paths = {label: HERE / "checkpoints" / ROW / f"{label}.joblib" for label in LABELS}
    if all(path.exists() for path in paths.values()):
        machines = {label: joblib.load(path)[0] for label, path in paths.items()}
        portraits(machines, load("mnist")[1], options.folder)
    else:
        print(
            "The checkpoints of mnist-ours-500 are not here; run it by run.py --only mnist-ours-500."
        )


if __name__ == "__main__":
    main()
