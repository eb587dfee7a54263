"""Figures 4.10 and 4.12 to 4.16 and 4.19 of the thesis, from the committed results of ``dbm.py``.

``dbm_layers.png`` has the schedules by levels, ``dbm_joint.png`` the joint ones: units that are left, accuracy of the probes,
quality (with its range over the ten classes) and diversity of digits, before and after every training on.
``dbm_samples.png`` shows digits of every stage of every experiment, from the initial machine to the minimal model.

Run: ``python examples/reproduce/fisher_pruning/dbm_figures.py``.
"""

import argparse
import csv
import pathlib

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
SHOWN = 8  # digits of a machine


def curves(rows, names, path):
    """One column of panels an experiment, one line a score."""
    figure, axes = plt.subplots(
        4, len(names), figsize=(3.4 * len(names), 10), sharex="col", sharey="row",
        layout="constrained", squeeze=False,
    )  # fmt: skip
    initial = next(r for r in rows if r["experiment"] == "initial")
    raw = next(r for r in rows if r["experiment"].startswith("raw"))
    for column, name in zip(axes.T, names, strict=True):
        own = [initial] + [r for r in rows if r["experiment"] == name and r["stage"] != "minimal"]
        minimal = [r for r in rows if r["experiment"] == name and r["stage"] == "minimal"]
        n_turns = (len(own) - 1) // max(1, len({r["round"] for r in own[1:]}))
        at = np.arange(len(own)) / max(1, n_turns)

        def line(axis, key, label, own=own, at=at):
            there = [(x, float(r[key])) for x, r in zip(at, own, strict=True) if r[key]]
            style = ".-" if len(there) > 2 else "s"  # support vector machines judge the ends only
            return axis.plot(*zip(*there, strict=True), style, label=label)[0].get_color()

        units, encoding, quality, diversity = column
        units.set_title(name)
        for level in (1, 2):
            line(units, f"units_{level}", f"hidden layer {level}")
        for key, label in (
            ("logistic_test", "logistic regression, test"),
            ("logistic_train", "the same, train"),
            ("svm_test", "SVM, test"),
        ):
            color = line(encoding, key, label)
            if key != "logistic_train":
                encoding.axhline(float(raw[key]), ls=":", color=color)
            for r in minimal:
                encoding.plot(at[-1] + 0.6, float(r[key]), "D", color=color, ms=5)
        color = line(quality, "quality", "mean")
        low, high = ([float(r[key]) for r in own] for key in ("quality_low", "quality_high"))
        quality.fill_between(at, low, high, color=color, alpha=0.2, label="range over the classes")
        line(diversity, "diversity", "diversity")
        for r in minimal:
            quality.plot(at[-1] + 0.6, float(r["quality"]), "D", color=color, ms=5)
            diversity.plot(at[-1] + 0.6, float(r["diversity"]), "D", color=color, ms=5)
        diversity.set_xlabel("round (diamond: minimal model)")
    for axis, label in zip(
        axes[:, 0],
        ("units with connections below", "accuracy", "quality", "diversity"),
        strict=True,
    ):
        axis.set_ylabel(label)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def digits(samples, rows, names, seed, path):
    """Digits of every stage: one column an experiment, before and after every training on, then the minimal models."""
    numbers = sorted({int(r["round"]) for r in rows if r["stage"] == "pruned"})
    stages = [(str(n), stage) for n in numbers for stage in ("pruned", "retrained")]
    stages.append((str(numbers[-1]), "minimal"))
    initial = next(r for r in rows if r["experiment"] == "initial")
    found = {}
    for r in rows:  # of a round by levels, what its last turn leaves
        key = " | ".join([*(r[name] for name in ("experiment", "round", "level", "stage")), seed])
        if key in samples:
            images = np.unpackbits(samples[key][:SHOWN], axis=1)[:, :400]
            found[r["experiment"], r["round"], r["stage"]] = np.hstack(images.reshape(-1, 20, 20))
    figure, axes = plt.subplots(
        len(stages) + 1, len(names), figsize=(2.3 * len(names) + 1, 0.42 * len(stages) + 1),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for column, name in zip(axes.T, names, strict=True):
        column[0].set_title(name, fontsize=8)
        shown = [found["initial", "0", initial["stage"]]]
        shown += [found.get((name, *stage)) for stage in stages]
        for axis, image in zip(column, shown, strict=True):
            axis.set(xticks=[], yticks=[])
            if image is not None:
                axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    labels = ["initial", *(f"{number}, {stage}" for number, stage in stages[:-1]), "minimal"]
    for axis, label in zip(axes[:, 0], labels, strict=True):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main():
    """Draw what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    with (options.folder / "dbm_results.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["seed"] == options.seed]
    names = list(dict.fromkeys(r["experiment"] for r in rows if r["stage"] == "pruned"))
    groups = {"layers": [n for n in names if "level" in n], "joint": [n for n in names if "joint" in n]}  # fmt: skip
    for group, own in groups.items():
        if own:
            curves(rows, own, options.folder / f"dbm_{group}.png")
    if names:
        samples = np.load(options.folder / "dbm_samples.npz")
        digits(samples, rows, names, options.seed, options.folder / "dbm_samples.png")


if __name__ == "__main__":
    main()
