"""A deep belief network with labels, fine-tuned by up-down, on MNIST (Hinton, Osindero & Teh 2006).

784-500-500-2000, the classes joined below the top. The curve: test error after every stretch of
up-down (in phases: the rate falls to 0 in each), by one deterministic pass up and by the mean of 20 stochastic ones.
The paper starts the top level's chains at the data in every minibatch; here they go on (PCD), and in the last
phase the class is there as five draws
that share their weights, which makes the network keep to the class it is asked for. Then digits
are drawn with the class clamped, each by a chain of its own of 5,000 Gibbs steps of the top level (the paper takes one every
1,000 steps of a running chain), and shown to a support vector machine trained on 10,000 rows held back from
the network, as they are and moved by a pixel to each side: the share it agrees with is in ``generative_samples.csv``, beside
the share of test digits that it gets right.

Run: ``python examples/reproduce/deep_networks/generative.py``.
"""

import argparse
import time

import numpy as np
from common import Table, options, stretches
from sklearn.base import clone
from sklearn.svm import SVC

from skprune import PrunedBernoulliRBM, SparseDBN, datasets
from skprune.dbn import UpDown
from skprune.plotting import SamplesDisplay
from skprune.schedules import FallingRate

COLUMNS = ("passes", "test_error", "test_error_20", "train_error", "seed", "seconds")
SAMPLES = ("drawn", "n_gibbs_steps", "agreement", "agreement_on_test", "seed")
N_HELD = 10_000  # rows of the judge, which the network is not trained on
STRETCH = 10
PASSES = (40, 40, 100)  # of the levels, one after the other
PCD = UpDown(learning_rate=0.01, n_gibbs_steps=2, negative_phase="pcd")
AGAIN = UpDown(learning_rate=0.005, n_gibbs_steps=10, negative_phase="pcd")
LABELS = UpDown(learning_rate=0.003, n_gibbs_steps=5, negative_phase="pcd", n_label_draws=5)
PHASES = [(PCD, 120, 5), (AGAIN, 30, 10), (LABELS, 20, 5)]  # passes, Gibbs steps in the second half


def part_of(phases, done, stretch):
    """What the stretch that ends after so many passes trains by: rates fall anew in each phase."""
    for tuning, passes, later_steps in phases:
        if done <= passes:
            return clone(tuning).set_params(
                n_iter=stretch, n_gibbs_steps=later_steps if done > passes / 2 else tuning.n_gibbs_steps,
                learning_rate_schedule=FallingRate((done - stretch) / passes, done / passes),
            )  # fmt: skip
        done -= passes
    raise ValueError("There are no phases left.")


def greedy(X, y, quick):
    """The stack before fine-tuning; the rate of each level falls to 0."""
    sizes, passes = ((30, 30, 40), (1, 1, 1)) if quick else ((500, 500, 2000), PASSES)
    rbm = PrunedBernoulliRBM(negative_phase="cd", batch_size=100, momentum=0.5, l2=2e-4)
    levels = [
        (name, clone(rbm).set_params(n_components=size, n_iter=n_iter))
        for name, size, n_iter in zip(("first", "second", "top"), sizes, passes, strict=True)
    ]
    return SparseDBN(levels, join_labels=True, random_state=0).fit(X, y)


def error(dbn, X, y, n_passes=None):
    """Per cent of the rows whose class is missed."""
    found = dbn.classes_[dbn.predict_proba(X, n_passes=n_passes).argmax(axis=1)]
    return round(100 * float(np.mean(found != y)), 3)


def new_judge(X, y):
    """A support vector machine that has seen the digits and their neighbours, one pixel away."""
    images = X.reshape(-1, 28, 28)
    moved = [np.roll(images, by, axis) for axis in (1, 2) for by in (-1, 1)]
    rows = np.concatenate([images, *moved]).reshape(-1, 784)
    return SVC(C=10, gamma=0.02, cache_size=1000).fit(rows, np.tile(y, 5))


def agreement(dbn, judge, n, n_gibbs_steps):
    """Share of drawn digits that the judge takes for the class asked for."""
    hits = []
    for digit in dbn.classes_:
        drawn = dbn.sample(
            n, y=digit, n_gibbs_steps=n_gibbs_steps, probabilities=True, random_state=int(digit)
        )
        hits.append(np.mean(judge.predict(drawn) == digit))
    return float(np.mean(hits))


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = options(parser, "generative.csv")
    table = Table(chosen.results, COLUMNS)
    samples = Table(chosen.results.with_name("generative_samples.csv"), SAMPLES)
    data = datasets.fetch_mnist()
    step, stretch = (100, 1) if chosen.quick else (1, STRETCH)
    X, X_test = (part[::step] * np.float32(1 / 255) for part in (data.X_train, data.X_test))
    y, y_test = data.y_train[::step], data.y_test[::step]
    n_held = min(N_HELD, len(X) // 5)
    X_judge, y_judge, X, y = X[-n_held:], y[-n_held:], X[:-n_held], y[:-n_held]
    phases = PHASES
    if chosen.quick:
        phases = [(tuning, 2, steps) for tuning, _, steps in PHASES]
    total = sum(passes for _, passes, _ in phases)

    def further(state, done):
        if not done:
            return greedy(X, y, chosen.quick), 0.0
        dbn, spent = state
        started = time.perf_counter()
        dbn.set_params(warm_start=True, fine_tune=part_of(phases, done, stretch)).fit(X, y)
        return dbn, spent + time.perf_counter() - started

    folder = chosen.checkpoints / "generative"
    for done, (dbn, spent) in stretches(folder, range(0, total + 1, stretch), further):
        if not table.done(passes=done):
            table.add(
                passes=done, test_error=error(dbn, X_test, y_test),
                test_error_20=error(dbn, X_test, y_test, 20), train_error=error(dbn, X, y),
                seed=0, seconds=round(spent, 1),
            )  # fmt: skip
    if not samples.rows:
        judge = new_judge(X_judge, y_judge)
        n, steps = (2, 20) if chosen.quick else (100, 5000)
        samples.add(
            drawn=10 * n, n_gibbs_steps=steps, agreement=round(agreement(dbn, judge, n, steps), 4),
            agreement_on_test=round(judge.score(X_test, y_test), 4), seed=0,
        )  # fmt: skip
        SamplesDisplay.from_estimator(
            dbn, 100, y=np.tile(dbn.classes_, 10), n_gibbs_steps=steps, probabilities=True,
            random_state=0,
        ).figure_.savefig(chosen.results.with_name("samples.png"), dpi=80)  # fmt: skip


if __name__ == "__main__":
    main()
