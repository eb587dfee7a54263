"""A deep Boltzmann machine of 784-500-1000 on MNIST: the bound on its likelihood, and its error after fine-tuning.

Salakhutdinov & Hinton (2009) report a bound of -84.62 nats and a test error of 0.95 %. Ours starts
as the full machine of 500 units of ``../pruning_rbms`` (row ``mnist-ours-500``, whose checkpoint is taken where it is there)
under a level that was trained on its features with doubled units, so that the upper level is used. Both are trained together on
binarized MNIST, train and validation rows; then the full one goes on at a lower rate, the pruned one loses 80 % of its connections in
rounds (``SPARSITY`` of its levels) and gets more, but cheaper, passes at a higher rate. log Z is bracketed by AIS and reverse
AIS; the bar is held against the pessimistic end (15,000 temperatures, ``N_CHAINS``).

Then each is unrolled into a classifier whose input is the grey digit and the machine's posterior of the upper layer, and fine-tuned
on the grey digits (``EPOCHS``, ``FALLS``, ``TUNING``). The third row is the classifier of the full machine after the first fall of
its rate, whose hidden levels then lose 80 % of their connections instead of going on full; from there on it reads the posterior of the pruned machine.
Passes are those of joint training.

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
    PrunedBernoulliRBM,
    SparseDBNClassifier,
    datasets,
)
from skprune.schedules import FallingRate

PRUNING = HERE.parent / "pruning_rbms"
sys.path.insert(0, str(PRUNING))
from run import Experiment  # noqa: E402

BOUND = ("value", "low", "high", "standard_error", "train_value", "ais_error", "effective_chains")
COLUMNS = (
    "network", "pruned", "sparsity_1", "sparsity_2", "passes", *BOUND, "epochs", "test_error", "train_error", "seed",
    "seconds", "fine_tuning_seconds",
)  # fmt: skip
CURVE = ("pruned", "epochs", "test_error", "train_error", "seed", "seconds")
UPPER, PASSES, STRETCH = 1000, 40, 10
ROUNDS, RETRAIN, FURTHER = 5, 2, {"full": 30, "pruned": 70}  # passes after those together
RATES = {"joint": 0.05, "full": 0.02, "pruned": 0.04}
L2 = {"joint": 2e-4, "full": 4e-4, "pruned": 5e-4}
N_CHAINS = {"full": 1000, "pruned": 300}  # of AIS
LATER = "pruned after fine-tuning"  # the classifier of the full machine
EPOCHS = {"full": 300, "pruned": 300, LATER: 300}  # of a fall of the rate, from TUNING to 0
SPARSITY = {"pruned": (0.6, 0.957), LATER: (0.8, 0.8)}
FALLS = {"full": 2, "pruned": 1, LATER: 1}  # this one after the first of the full one
TUNING = {
    "full": {"learning_rate": 7e-4, "dropout": 0.5, "input_dropout": 0.2},
    "pruned": {"learning_rate": 2e-3, "dropout": 0.3, "input_dropout": 0.3},
    LATER: {"learning_rate": 1e-3, "dropout": 0.5, "input_dropout": 0.2},
}


def cut(model, done, every, rounds, ends, *rows):
    """The model after the next round of pruning, before each of the first stretches; then as it is."""
    if done >= rounds * every:
        return model
    share = (done / every + 1) / rounds
    pruner = IterativePruner(
        FrozenEstimator(model), sparsity=[1 - (1 - end) ** share for end in ends], n_rounds=1,
        retrain=None, random_state=0,
    )  # fmt: skip
    return pruner.fit(*rows).estimator_


def fine_tuned(fresh, folder, rows, network, epochs, stretch, curve, falls=1, prune=None):
    """The classifier after its epochs, as many in every fall of the rate, and the seconds they took.

    Errors after every stretch go into the curve. ``prune(classifier, done)`` may prune before a stretch.
    """
    X, y, X_test, y_test = rows
    last = None

    def further(state, number):
        classifier, spent = state or last or (fresh(), 0.0)
        started = time.perf_counter()
        done = number - stretch
        if prune is not None:
            classifier = prune(classifier, done)
        into = done % epochs
        falling = FallingRate(into / epochs, (into + stretch) / epochs)
        classifier.set_params(n_iter=stretch, learning_rate_schedule=falling).fit(X, y)
        return classifier, spent + time.perf_counter() - started

    for fall in range(falls):
        numbers = range(fall * epochs + stretch, (fall + 1) * epochs + 1, stretch)
        for done, state in stretches(folder / f"fall {fall + 1} of {epochs} epochs", numbers, further):  # fmt: skip
            classifier, spent = state
            if not curve.done(pruned=network, epochs=done):
                curve.add(
                    pruned=network, epochs=done, test_error=error(classifier, X_test, y_test),
                    train_error=error(classifier, X, y), seed=0, seconds=round(spent, 1),
                )  # fmt: skip
        last = state
    return last


def error(classifier, X, y):
    """Per cent of the rows whose class is missed."""
    return round(100 * (1 - classifier.score(X, y)), 3)


def bracketed(machine, folder, X, X_test, n_chains, quick):
    """The bound on test rows with both ends of log Z, and what tells how far to trust it."""

    def measured():
        with warnings.catch_warnings():  # the bracket is in the table
            warnings.simplefilter("ignore", ConvergenceWarning)
            return machine.log_partition(
                "bracket", n_temperatures=100 if quick else 15_000, n_chains=n_chains,
                n_tempered_sweeps=20 if quick else 400,
            )  # fmt: skip

    log_z = kept(folder / f"log_z of {n_chains} chains.joblib", measured)
    bounds, on_train = machine.lower_bound(X_test), machine.lower_bound(X[::6])
    high, low = (bounds.mean() - end for end in log_z.bracket)
    values = (
        bounds.mean() - log_z.value, low, high, bounds.std() / np.sqrt(len(bounds)),
        on_train.mean() - log_z.value, log_z.standard_error, log_z.effective_sample_size,
    )  # fmt: skip
    return {name: round(float(value), 3) for name, value in zip(BOUND, values, strict=True)}


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    chosen = options(parser, "boltzmann.csv")
    quick = chosen.quick
    table = Table(chosen.results, COLUMNS)
    curve = Table(chosen.results.with_name(f"{chosen.results.stem}_curve.csv"), CURVE)
    binary, grey = datasets.fetch_binarized_mnist(), datasets.fetch_mnist()
    X, X_test = np.concatenate([binary.X_train, binary.X_valid]), binary.X_test
    step = 100 if quick else 1
    X, X_test = X[::step], X_test[::step]
    upper, passes, retrain, rounds, further = UPPER, PASSES, RETRAIN, ROUNDS, FURTHER
    pretrain, by = 12, 5
    epochs, stretch = EPOCHS, STRETCH
    if quick:
        upper, passes, retrain, rounds, stretch = 20, 2, 1, 2, 1
        pretrain, by = 1, 1
        epochs, further = dict.fromkeys(EPOCHS, 2), dict.fromkeys(FURTHER, 4)

    def untrained():
        """The machine before joint training: the first level as it is, one trained alone above it."""
        folder = chosen.checkpoints if quick else PRUNING / "checkpoints"
        level, _, spent = Experiment("mnist-ours-500", 0, folder, quick, None).full()
        started = time.perf_counter()
        above = PrunedBernoulliRBM(
            negative_phase="cd", n_gibbs_steps=(1, 3), n_iter=pretrain, batch_size=100, learning_rate=0.1,
            l2=L2["joint"],
        )  # fmt: skip
        machine = DBMTransformer(
            (level.n_components, upper), pretrain=[FrozenEstimator(level), above], n_iter=0,
            batch_size=100, learning_rate=RATES["joint"], n_gibbs_steps=5, l2=L2["joint"],
            mean_field_tolerance=1e-3, max_mean_field_updates=10, random_state=0,
        )  # fmt: skip
        machine.fit(X)
        return machine, spent + time.perf_counter() - started

    networks = [name for name in chosen.networks if not table.done(pruned=name)]
    if not networks:
        return
    part = [digits[::step] * np.float32(1 / 255) for digits in (grey.X_train, grey.X_test)]
    rows = (part[0], grey.y_train[::step], part[1], grey.y_test[::step])
    start, first = kept(chosen.checkpoints / "boltzmann-start.joblib", untrained)
    joint, second = trained(
        chosen.checkpoints / "boltzmann-joint", lambda: start, lambda done: X, passes, by
    )

    def together(name):
        """The full or the pruned machine, and the seconds of its own passes."""
        schedule = (by,)
        if name == "pruned":
            schedule = (
                retrain,
                lambda m, X, done: cut(m, done, retrain, rounds, SPARSITY["pruned"], X),
            )
        return trained(
            chosen.checkpoints / f"boltzmann-{name}",
            lambda: deepcopy(joint).set_params(learning_rate=RATES[name], l2=L2[name]),
            lambda done: X, further[name], *schedule,
        )  # fmt: skip

    for network in networks:
        later = network == LATER
        origin = "full" if later else network
        folder = chosen.checkpoints / f"boltzmann-{origin}"
        machine, third = together(origin)

        def unrolled(machine=machine, tuning=TUNING[origin]):
            return SparseDBNClassifier(
                pretrain=FrozenEstimator(machine), solver="adam", batch_size=100, warm_start=True,
                random_state=0, **tuning,
            )  # fmt: skip

        classifier, tuning = fine_tuned(
            unrolled, folder, rows, origin, epochs[origin], stretch, curve, FALLS[network]
        )
        if later:
            figures = dict.fromkeys(BOUND, "")
            sparse, fourth = together("pruned")
            third += fourth
            classifier = deepcopy(classifier).set_params(**TUNING[LATER])
            classifier.pretrained_ = sparse  # so that nothing in the whole is full
            classifier, more = fine_tuned(
                lambda c=classifier: c, folder.with_name(f"boltzmann-{LATER}"),
                rows, LATER, epochs[LATER], stretch, curve,
                prune=lambda c, done: cut(c, done, stretch, rounds, SPARSITY[LATER], *rows[:2]),
            )  # fmt: skip
            tuning += more
        else:
            figures = bracketed(
                machine, folder, X, X_test, 20 if quick else N_CHAINS[network], quick
            )
        masks = (classifier if later else machine).connectivity_
        table.add(
            network="-".join(str(mask.shape[0]) for mask in masks), pruned=network,
            **{f"sparsity_{n}": round(1 - mask.mean(), 4) for n, mask in enumerate(masks, 1)},
            passes=passes + further[origin] + further["pruned"] * later, **figures,
            epochs=epochs[origin] * FALLS[network] + epochs[LATER] * later,
            test_error=error(classifier, *rows[2:]), train_error=error(classifier, *rows[:2]), seed=0,
            seconds=round(first + second + third, 1), fine_tuning_seconds=round(tuning, 1),
        )  # fmt: skip


if __name__ == "__main__":
    main()
