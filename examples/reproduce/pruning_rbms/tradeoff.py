"""Figures 3 and 7 of "Pruning RBMs and DBNs": test log-likelihood against sparsity.

Machines are trained with L2, L1, dropout, DropConnect or a target for the mean
activity, pruned by the percentile rule (30 % of what remains a round) to eight
sparsities, and judged without retraining, or trained on after every round. With
L2 also: by the λσ rule; in one round that is trained on for as long as all rounds
together (L1 too); and not pruned, for as many passes.

Training is ours (PCD with one to five steps); with dropout and DropConnect chains start at the data, since what is missing
changes from one minibatch to the next (persistent chains diverge with DropConnect). Their weights are judged times the share that
training keeps: DropConnect halves the input of either layer, so times 0.5; dropout that of the visible layer alone, so times its square root. log Z is bracketed by AIS and
reverse AIS with 2,000 temperatures and 100 chains. It survives being stopped: machines
are in ``--checkpoints``, finished points in ``tradeoff.csv``.

Run: ``python examples/reproduce/pruning_rbms/tradeoff.py [--data ocr]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import time
import warnings
from copy import deepcopy

from run import HERE, OURS, Training, load, pruned
from sklearn.exceptions import ConvergenceWarning

from skprune import PrunedBernoulliRBM
from skprune.schedules import FractionOfRemaining, OneShot, StdThreshold

COLUMNS = (
    "data", "training", "pruning", "round", "sparsity", "passes", "value", "low", "high", "seed",
    "seconds", "date", "machine",
)  # fmt: skip
KINDS = {
    "L2": {"l2": 2e-4},
    "L1": {"l1": 1e-4},
    "dropout": {"l2": 2e-4, "dropout": 0.5, "negative_phase": "cd"},
    "DropConnect": {"l2": 2e-4, "drop_connect": 0.5, "negative_phase": "cd"},
    "sparse activity": {"l2": 2e-4, "hidden_activity_target": (0.1, 0.1)},
}
JUDGED = {"dropout": 0.5**0.5, "DropConnect": 0.5}  # times the weights
HIDDEN = {"mnist": 500, "ocr": 1000}
PASSES = {"mnist": (20, 8), "ocr": (60, 20)}  # at first, and after every round
ROUNDS = 8
ONCE = (0.7596, 0.9176)


class Study:
    """All the curves of one data set."""

    def __init__(self, data, seed, folder, results, quick):
        self.data, self.seed, self.results, self.quick = data, seed, results, quick
        self.X_train, self.X_test = load(data, quick)
        self.hidden, (self.first, self.more) = HIDDEN[data], PASSES[data]
        self.rounds = ROUNDS
        if quick:
            self.hidden, self.first, self.more, self.rounds = 20, 1, 1, 2
        self.folder = folder / f"tradeoff-{data}-{seed}"

    def machine(self, kind):
        """The machine before training."""
        options = {k: v for k, v in OURS.items() if k != "n_gibbs_steps"}
        return PrunedBernoulliRBM(
            self.hidden, batch_size=100, n_iter=1, random_state=self.seed, **options | KINDS[kind]
        )

    def whole(self, machine, kind):
        """The machine as it is used, with nothing dropped."""
        if kind not in JUDGED:
            return machine
        used = PrunedBernoulliRBM(self.hidden, n_iter=0, random_state=0).fit(self.X_train)
        used.components_[...] = JUDGED[kind] * machine.components_
        used.intercept_visible_[...] = machine.intercept_visible_
        used.intercept_hidden_[...] = machine.intercept_hidden_
        return used

    def tell(self, machine, kind, pruning, number, passes, seconds):
        """Judge a machine and append its point, unless the results hold it."""
        key = (self.data, kind, pruning, str(number), str(self.seed))
        if self.results.exists():
            with self.results.open() as file:
                for row in csv.DictReader(file):
                    if (
                        tuple(row[k] for k in ("data", "training", "pruning", "round", "seed"))
                        == key
                    ):
                        return
        size = {"n_temperatures": 100, "n_tempered_sweeps": 20} if self.quick else {
            "n_temperatures": 2000, "n_tempered_sweeps": 200,
        }  # fmt: skip
        sparsity, machine = 1 - machine.connectivity_[0].mean(), self.whole(machine, kind)
        with warnings.catch_warnings():  # the bracket is in the table
            warnings.simplefilter("ignore", ConvergenceWarning)
            log_z = machine.log_partition("bracket", **size)
        mean = -machine.free_energy(self.X_test).mean()
        figures = (mean - log_z.value, mean - log_z.bracket[1], mean - log_z.bracket[0])
        row = [
            self.data, kind, pruning, number, round(100 * sparsity, 2), passes,
            *(round(float(figure), 2) for figure in figures), self.seed, round(seconds, 1),
            time.strftime("%Y-%m-%d"), f"{platform.machine()}, {os.cpu_count()} cores",
        ]  # fmt: skip
        new = not self.results.exists()
        with self.results.open("a", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS, row] if new else [row])
        print(*row[:9], flush=True)

    def run(self, kind):
        """The curves of one way to train."""
        training = Training(
            self.folder / kind.replace(" ", "-"), 10, (self.hidden, KINDS[kind], OURS)
        )
        steps = OURS["n_gibbs_steps"]

        def stage(name, start, passes, gibbs=steps[1]):
            return training.stage(name, start, self.X_train, passes, {"learning_rate": 0.1}, gibbs)

        start, spent = stage("start", lambda: self.machine(kind), self.first, steps)
        self.tell(start, kind, "none", 0, self.first, spent)
        machine = start
        for number in range(1, self.rounds + 1):
            machine = pruned(machine, FractionOfRemaining(0.3), None)
            self.tell(machine, kind, "without retraining", number, self.first, spent)
        rules = {"percentile": FractionOfRemaining(0.3)}
        if kind == "L2":
            rules["sigma"] = StdThreshold(0.5)
        for rule, schedule in rules.items():
            machine, total = start, spent
            for number in range(1, self.rounds + 1):
                machine, more = stage(
                    f"{rule}-{number}",
                    lambda machine=machine, schedule=schedule: pruned(machine, schedule, None),
                    self.more,
                )
                total += more
                self.tell(machine, kind, rule, number, self.first + number * self.more, total)
        rest = self.rounds * self.more
        if kind in ("L1", "L2"):
            for sparsity in ONCE:
                machine, more = stage(
                    f"once-{sparsity}",
                    lambda sparsity=sparsity: pruned(start, OneShot(), sparsity),
                    rest,
                )
                self.tell(machine, kind, "once", ONCE.index(sparsity) + 1, self.first + rest, spent + more)  # fmt: skip
        if kind == "L2":
            machine, total = start, spent
            for number in range(1, self.rounds + 1):
                machine, more = stage(f"full-{number}", lambda m=machine: deepcopy(m), self.more)
                total += more
                if number in (self.rounds // 2, self.rounds):
                    self.tell(machine, kind, "none", number, self.first + number * self.more, total)


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(HIDDEN), default=list(HIDDEN))
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoints", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    place = HERE / "checkpoints" / "quick" if options.quick else HERE
    options.checkpoints = options.checkpoints or place / "checkpoints"
    options.results = options.results or place / "tradeoff.csv"
    for data in options.data:
        study = Study(data, options.seed, options.checkpoints, options.results, options.quick)
        for kind in options.kind:
            study.run(kind)


if __name__ == "__main__":
    main()
