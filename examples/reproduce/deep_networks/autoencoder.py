"""Squared error of 30-dimensional codes of MNIST: a deep autoencoder, PCA and logistic PCA.

784-1000-500-250-30 (Hinton & Salakhutdinov 2006), full and 80 % pruned in every level, with
equal passes and epochs; errors are sums over the pixels in [0, 1], means over the images.
Logistic PCA is a linear code of the same size with logistic outputs. Fine-tuning goes in stretches that are
kept on disk; a row for each is in ``autoencoder.csv``.

Run: ``python examples/reproduce/deep_networks/autoencoder.py [--epochs 100]``.
"""

import argparse
import time

import numpy as np
from common import Table, kept, options, stretches
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBN, SparseDBNAutoencoder, datasets
from skprune.plotting import ReconstructionsDisplay
from skprune.schedules import FallingRate

COLUMNS = (
    "model", "sparsity", "epochs", "test_error", "train_error", "n_connections", "seed", "seconds",
)  # fmt: skip
STRETCH = 10


def pretrained(X, sparsity, quick):
    """The stack, full or pruned level by level, after equal passes."""
    passes, retrain = (1, 1) if quick else (10, 3)
    rbm = PrunedBernoulliRBM(
        negative_phase="cd", n_iter=passes, batch_size=100, learning_rate=0.05, momentum=0.5,
        l2=2e-4, learning_rate_schedule="constant",
    )  # fmt: skip
    pruner = IterativePruner(sparsity=sparsity, n_rounds=4, n_retrain_iter=retrain)
    sizes = (40, 30, 20, 5) if quick else (1000, 500, 250, 30)
    return SparseDBN(sizes, rbm=rbm, pruner=pruner, random_state=0).fit(X)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.0, 0.8])
    chosen = options(parser, "autoencoder.csv")
    table = Table(chosen.results, COLUMNS)
    data = datasets.fetch_mnist()
    step, epochs, stretch = (200, 2, 1) if chosen.quick else (1, chosen.epochs, STRETCH)
    X, X_test = (part[::step] * np.float32(1 / 255) for part in (data.X_train, data.X_test))
    n_code = 5 if chosen.quick else 30
    if epochs % stretch:
        parser.error(f"--epochs must be a multiple of {stretch}.")
    if not table.done(model="PCA"):
        started = time.perf_counter()
        pca = PCA(n_code, random_state=0).fit(X)

        def error(rows):
            back = pca.inverse_transform(pca.transform(rows))
            return round(float(((rows - back) ** 2).sum(axis=1).mean()), 3)

        table.add(
            model="PCA", sparsity=0.0, epochs=0, test_error=error(X_test), train_error=error(X),
            n_connections=n_code * 784, seed=0, seconds=round(time.perf_counter() - started, 1),
        )  # fmt: skip
    tuned = {"batch_size": 100, "solver": "adam", "learning_rate": 1e-3, "random_state": 0}
    if not table.done(model="logistic PCA"):
        started = time.perf_counter()
        coder = SparseDBNAutoencoder(
            (n_code,), pretrain=None, n_iter=2 if chosen.quick else 40, **tuned
        ).fit(X)
        table.add(
            model="logistic PCA", sparsity=0.0, epochs=coder.n_iter,
            test_error=round(-coder.score(X_test), 3), train_error=round(-coder.score(X), 3),
            n_connections=2 * n_code * 784, seed=0,
            seconds=round(time.perf_counter() - started, 1),
        )  # fmt: skip
    for sparsity in chosen.sparsities:
        folder = chosen.checkpoints / f"autoencoder-{sparsity}"
        dbn = kept(folder / "greedy.joblib", lambda s=sparsity: pretrained(X, s, chosen.quick))
        coder = SparseDBNAutoencoder(pretrain=FrozenEstimator(dbn), **tuned)

        def further(state, done, untrained=coder):
            started = time.perf_counter()
            coder, spent = state or (untrained, 0.0)
            falling = FallingRate((done - stretch) / epochs, done / epochs)
            coder.set_params(n_iter=stretch, warm_start=True, learning_rate_schedule=falling)
            return coder.fit(X), spent + time.perf_counter() - started

        numbers = range(stretch, epochs + 1, stretch)
        for done, (coder, spent) in stretches(folder / f"{epochs} epochs", numbers, further):
            if not table.done(model="deep", sparsity=sparsity, epochs=done):
                table.add(
                    model="deep", sparsity=sparsity, epochs=done,
                    test_error=round(-coder.score(X_test), 3), train_error=round(-coder.score(X), 3),
                    n_connections=sum(int(m.sum()) for m in coder.connectivity_), seed=0,
                    seconds=round(spent, 1),
                )  # fmt: skip
        display = ReconstructionsDisplay.from_estimator(coder, X_test[::400], n_columns=25)
        display.figure_.savefig(chosen.results.with_name(f"reconstructions_{sparsity}.png"), dpi=80)


if __name__ == "__main__":
    main()
