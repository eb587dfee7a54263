"""A deep Boltzmann machine of 784-500-1000 on MNIST: the bound on its likelihood, and its error after fine-tuning.

Salakhutdinov & Hinton (2009) report a bound of -84.62 nats and a test error of 0.95 %. Ours starts
as the full machine of 500 units of ``../pruning_rbms`` (row ``mnist-ours-500``, whose checkpoint is taken where it is there),
under a level of small random weights, and is trained together on binarized MNIST, train and validation rows; the pruned one loses 80 %
of its connections in rounds and gets as many passes, at a higher rate (``RATES``): 60 % of the lower level and 95.7 % of the upper one, which is hardly used
(``SPARSITY``). log Z is bracketed by AIS and reverse AIS; the bar is held against the
pessimistic end (15,000 temperatures, ``N_CHAINS``). Then it is unrolled into a classifier whose input is the grey digit and the machine's posterior of the
upper layer, and fine-tuned on the grey digits; epochs, rate and dropout are set for each (``EPOCHS``, ``TUNING``). Passes
are those of joint training.

Run: ``python examples/reproduce/deep_networks/boltzmann.py``.
"""

import argparse
import sys
import time
import warnings
from copy import deepcopy

import numpy as np
from common import HERE, Table, kept, options, stretches, trained
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from skprune import (
    DBMTransformer,
    IterativePruner,
    SparseDBNClassifier,
    datasets,
)
from skprune.schedules import FallingRate

PRUNING = HERE.parent / "pruning_rbms"
sys.path.insert(0, str(PRUNING))
from run import Experiment  # noqa: E402

COLUMNS = (
    "network", "pruned", "sparsity_1", "sparsity_2", "passes", "value", "low", "high", "standard_error",
    "train_value", "ais_error", "effective_chains", "epochs", "test_error", "train_error", "seed", "seconds",
    "fine_tuning_seconds",
)  # fmt: skip
CURVE = ("pruned", "epochs", "test_error", "train_error", "seed", "seconds")
UPPER, PASSES, RETRAIN, ROUNDS, LAST, STRETCH = 1000, 10, 2, 5, 10, 10
RATES = {"joint": 0.01, "full": 0.01, "pruned": 0.03}
SPARSITY = (0.6, 0.957)
N_CHAINS = {"full": 1000, "pruned": 300}  # of AIS
EPOCHS = {"full": 120, "pruned": 150}
TUNING = {
    "full": {"learning_rate": 1e-3, "dropout": 0.5, "input_dropout": 0.2},
    "pruned": {"learning_rate": 2e-3, "dropout": 0.3, "input_dropout": 0.2},
}


def fine_tuned(machine, folder, rows, network, epochs, stretch, curve):
    """The classifier after its epochs, in stretches, and the seconds they took; errors go into the curve."""
    X, y, X_test, y_test = rows

    def further(state, done):
        classifier, spent = state or (
            SparseDBNClassifier(
                pretrain=FrozenEstimator(machine), solver="adam", batch_size=100, warm_start=True,
                random_state=0, **TUNING[network],
            ),
            0.0,
        )  # fmt: skip
        started = time.perf_counter()
        falling = FallingRate((done - stretch) / epochs, done / epochs)
        classifier.set_params(n_iter=stretch, learning_rate_schedule=falling).fit(X, y)
        return classifier, spent + time.perf_counter() - started

    numbers = range(stretch, epochs + 1, stretch)
    for done, (classifier, spent) in stretches(folder / f"classifier {epochs}", numbers, further):
        if not curve.done(pruned=network, epochs=done):
            curve.add(
                pruned=network, epochs=done, test_error=error(classifier, X_test, y_test),
                train_error=error(classifier, X, y), seed=0, seconds=round(spent, 1),
            )  # fmt: skip
    return classifier, spent


def error(classifier, X, y):
    """Per cent of the rows whose class is missed."""
    return round(100 * (1 - classifier.score(X, y)), 3)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["full", "pruned"])
    chosen = options(parser, "boltzmann.csv")
    quick = chosen.quick
    table = Table(chosen.results, COLUMNS)
    curve = Table(chosen.results.with_name(f"{chosen.results.stem}_curve.csv"), CURVE)
    binary, grey = datasets.fetch_binarized_mnist(), datasets.fetch_mnist()
    X, X_test = np.concatenate([binary.X_train, binary.X_valid]), binary.X_test
    step = 100 if quick else 1
    X, X_test = X[::step], X_test[::step]
    upper, passes, retrain, rounds, last = UPPER, PASSES, RETRAIN, ROUNDS, LAST
    epochs, stretch = EPOCHS, STRETCH
    if quick:
        upper, passes, retrain, rounds, last, stretch = 20, 2, 1, 2, 2, 1
        epochs = dict.fromkeys(EPOCHS, 2)

    def untrained():
        """The machine before joint training: the first level as it is, random weights above it."""
        folder = chosen.checkpoints if quick else PRUNING / "checkpoints"
        level, _, spent = Experiment("mnist-ours-500", 0, folder, quick, None).full()
        machine = DBMTransformer(
            (level.n_components, upper), pretrain=[FrozenEstimator(level), None], n_iter=0,
            batch_size=100, learning_rate=RATES["joint"], n_gibbs_steps=5, l2=5e-4,
            mean_field_tolerance=1e-3, max_mean_field_updates=10, random_state=0,
        )  # fmt: skip
        return machine.fit(X), spent

    def cut(machine, X, done):
        """The next round of pruning, before each of the first stretches."""
        if done >= rounds * retrain:
            return machine
        share = (done / retrain + 1) / rounds
        return IterativePruner(
            FrozenEstimator(machine), sparsity=[1 - (1 - end) ** share for end in SPARSITY],
            n_rounds=1, retrain=None, random_state=0,
        ).fit(X).estimator_  # fmt: skip

    networks = [name for name in chosen.networks if not table.done(pruned=name)]
    if not networks:
        return
    start, first = kept(chosen.checkpoints / "boltzmann-start.joblib", untrained)
    joint, second = trained(
        chosen.checkpoints / "boltzmann-joint", lambda: start, lambda done: X, passes, retrain
    )
    for network in networks:
        folder = chosen.checkpoints / f"boltzmann-{network}"
        machine, third = trained(
            folder, lambda n=network: deepcopy(joint).set_params(learning_rate=RATES[n]), lambda done: X,
            rounds * retrain + last, retrain, cut if network == "pruned" else None,
        )  # fmt: skip
        spent = first + second + third
        with warnings.catch_warnings():  # the bracket is in the table
            warnings.simplefilter("ignore", ConvergenceWarning)
            log_z = machine.log_partition(
                "bracket", n_temperatures=100 if quick else 15_000, n_chains=20 if quick else N_CHAINS[network],
                n_tempered_sweeps=20 if quick else 400,
            )  # fmt: skip
        bounds = machine.lower_bound(X_test)
        bound = float(bounds.mean())
        on_train = float(machine.lower_bound(X[::6]).mean())
        part = [rows[::step] * np.float32(1 / 255) for rows in (grey.X_train, grey.X_test)]
        rows = (part[0], grey.y_train[::step], part[1], grey.y_test[::step])
        classifier, tuning = fine_tuned(
            machine, folder, rows, network, epochs[network], stretch, curve
        )
        masks = machine.connectivity_
        table.add(
            network="-".join(str(mask.shape[0]) for mask in masks), pruned=network,
            **{f"sparsity_{n}": round(1 - mask.mean(), 4) for n, mask in enumerate(masks, 1)},
            passes=passes + rounds * retrain + last, value=round(bound - log_z.value, 3), low=round(bound - log_z.bracket[1], 3),
            high=round(bound - log_z.bracket[0], 3),
            standard_error=round(float(bounds.std() / np.sqrt(len(bounds))), 3),
            train_value=round(on_train - log_z.value, 3), ais_error=round(log_z.standard_error, 3),
            effective_chains=round(log_z.effective_sample_size, 1), epochs=epochs[network],
            test_error=error(classifier, *rows[2:]), train_error=error(classifier, *rows[:2]), seed=0,
            seconds=round(spent, 1), fine_tuning_seconds=round(tuning, 1),
        )  # fmt: skip


if __name__ == "__main__":
    main()
