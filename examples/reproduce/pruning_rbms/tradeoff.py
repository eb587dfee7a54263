"""Figures 3 and 7 of "Pruning RBMs and DBNs": test log-likelihood against sparsity.

Machines are trained with L2, L1, dropout, DropConnect or a target for the mean
activity, pruned by the percentile rule (30 % of what remains a round) to eight
sparsities, and judged without retraining, or trained on after every round. With
L2 also: by the λσ rule; in one round that is trained on for as long as all rounds
together (L1 too); and not pruned, for as many passes.

Training is ours (PCD with one to five steps); with dropout and DropConnect chains start at the data, since what is missing
changes from one minibatch to the next (persistent chains diverge with DropConnect). Dropout halves the input of the visible layer alone, so
its weights are judged times the square root of 0.5. log Z is bracketed by AIS and
reverse AIS with 10,000 temperatures and 300 chains for trained machines, and with 2,000 and 100 where nats matter less: without retraining,
by dropout and by DropConnect. Silhouettes are run with L2 alone. It survives being stopped: machines
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
from typing import NamedTuple

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


class Setting(NamedTuple):
    """What a data set needs: hidden units, passes at first and after every round, and what else differs."""

    hidden: int
    first: int
    more: int
    rate: float = 0.1
    options: dict = {}  # noqa: RUF012
    kinds: tuple = tuple(KINDS)


SETTINGS = {
    "mnist": Setting(500, 20, 8),
    "ocr": Setting(1000, 60, 20),
    "silhouettes28": Setting(500, 200, 100, 0.03, {"n_gibbs_steps": 5, "l2": 4e-3}, ("L2",)),
}
ROUNDS = 8
ONCE = (0.7596, 0.9176)


class Study:
    """All the curves of one data set."""

    def __init__(self, data, seed, folder, results, quick):
        self.data, self.seed, self.results, self.quick = data, seed, results, quick
        self.X_train, self.X_test = load(data, quick)
        self.setting, self.rounds = SETTINGS[data], ROUNDS
        if quick:
            self.setting, self.rounds = self.setting._replace(hidden=20, first=1, more=1), 2
        self.folder = folder / f"tradeoff-{data}-{seed}"

    def machine(self, kind):
        """The machine before training."""
        options = OURS | KINDS[kind] | self.setting.options
        del options["n_gibbs_steps"]
        return PrunedBernoulliRBM(
            self.setting.hidden, batch_size=100, n_iter=1, random_state=self.seed, **options
        )

    def whole(self, machine, kind):
        """The machine as it is used, with nothing dropped."""
        if kind != "dropout":
            return machine
        used = PrunedBernoulliRBM(self.setting.hidden, n_iter=0, random_state=0).fit(self.X_train)
        used.set_parameters(
            0.5**0.5 * machine.components_,
            intercept_visible=machine.intercept_visible_,
            intercept_hidden=machine.intercept_hidden_,
            visible_means=used.activity_[0],
        )
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
        size = {"n_temperatures": 2000, "n_tempered_sweeps": 200, "n_chains": 100}
        if self.quick:
            size = {"n_temperatures": 100, "n_tempered_sweeps": 20}
        elif kind not in ("dropout", "DropConnect") and pruning != "without retraining":
            size = {"n_temperatures": 10_000, "n_tempered_sweeps": 400, "n_chains": 300}
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
        setting, options = self.setting, OURS | self.setting.options
        training = Training(
            self.folder / kind.replace(" ", "-"), 10, (setting.hidden, KINDS[kind], options)
        )
        steps = options["n_gibbs_steps"]
        later = steps[1] if isinstance(steps, tuple) else steps

        def stage(name, start, passes, gibbs=later):
            return training.stage(
                name, start, self.X_train, passes, {"learning_rate": setting.rate}, gibbs
            )

        start, spent = stage("start", lambda: self.machine(kind), setting.first, steps)
        self.tell(start, kind, "none", 0, setting.first, spent)
        machine = start
        for number in range(1, self.rounds + 1):
            machine = pruned(machine, FractionOfRemaining(0.3), None)
            self.tell(machine, kind, "without retraining", number, setting.first, spent)
        rules = {"percentile": FractionOfRemaining(0.3)}
        if kind == "L2":
            rules["sigma"] = StdThreshold(0.5)
        for rule, schedule in rules.items():
            machine, total = start, spent
            for number in range(1, self.rounds + 1):
                machine, more = stage(
                    f"{rule}-{number}",
                    lambda machine=machine, schedule=schedule: pruned(machine, schedule, None),
                    setting.more,
                )
                total += more
                self.tell(machine, kind, rule, number, setting.first + number * setting.more, total)
        rest = self.rounds * setting.more
        if kind in ("L1", "L2"):
            for sparsity in ONCE:
                machine, more = stage(
                    f"once-{sparsity}",
                    lambda sparsity=sparsity: pruned(start, OneShot(), sparsity),
                    rest,
                )
                self.tell(machine, kind, "once", ONCE.index(sparsity) + 1, setting.first + rest, spent + more)  # fmt: skip
        if kind == "L2":
            machine, total = start, spent
            for number in range(1, self.rounds + 1):
                machine, more = stage(f"full-{number}", lambda m=machine: deepcopy(m), setting.more)
                total += more
                if number in (self.rounds // 2, self.rounds):
                    self.tell(
                        machine, kind, "none", number, setting.first + number * setting.more, total
                    )


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
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
            if kind in study.setting.kinds:
                study.run(kind)


if __name__ == "__main__":
    main()
