"""Figures 4.10 and 4.12 to 4.16 and 4.19 of the thesis, from the committed results of ``dbm.py``.

``dbm_layers.png`` has the schedules by levels, ``dbm_joint.png`` the joint ones: units that are left, accuracy of the probes,
quality (with its range over the ten classes) and diversity of digits, before and after every training on.
``dbm_samples.png`` shows digits of the initial machine, of every joint experiment after the rounds, and of its minimal model.

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
SHOWN = 10  # digits of a machine


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
            return axis.plot(*zip(*there, strict=True), marker=".", label=label)[0].get_color()

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


def digits(samples, rows, seed, path):
    """Rows of digits: the initial machine, then every joint experiment and its minimal model."""
    last = {}
    for r in rows:
        if r["experiment"] == "initial" or r["stage"] in ("retrained", "minimal"):
            last[r["experiment"], r["stage"]] = r
    shown = []
    for (name, stage), r in last.items():
        key = " | ".join([name, r["round"], r["level"], stage, seed])
        if key in samples:
            label = name if stage != "minimal" else f"{name}, minimal"
            shown.append((label, np.unpackbits(samples[key][:SHOWN], axis=1)[:, :400]))
    figure, axes = plt.subplots(len(shown), 1, figsize=(8, 0.85 * len(shown)), layout="constrained")
    for axis, (label, images) in zip(np.atleast_1d(axes), shown, strict=True):
        axis.imshow(np.hstack(images.reshape(-1, 20, 20)), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    figure.savefig(path, dpi=80)
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
    samples = np.load(options.folder / "dbm_samples.npz")
    digits(samples, rows, options.seed, options.folder / "dbm_samples.png")


if __name__ == "__main__":
    main()
