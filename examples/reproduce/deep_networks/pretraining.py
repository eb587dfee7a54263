"""Test error of a deep network by how it was pre-trained (slides; Bengio et al. 2006), on MNIST.

Three hidden layers. Fine-tuning is the same for all, pre-training is not equally long: a level trained as an RBM has
23 passes (15 and two after each of four rounds, in which the full machine loses nothing), one trained as a
shallow network has ten.

Run: ``python examples/reproduce/deep_networks/pretraining.py [--seeds 3]``.
"""

import argparse
import time

import numpy as np
from common import Table, options

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBNClassifier, datasets

COLUMNS = (
    "pretrain", "sparsity", "sizes", "test_error", "train_error", "epochs", "seed", "seconds",
)  # fmt: skip
RBM = PrunedBernoulliRBM(
    negative_phase="cd", n_iter=15, batch_size=100, learning_rate=0.05, momentum=0.5, l2=2e-4,
    learning_rate_schedule="constant",
)  # fmt: skip


def network(pretrain, sparsity, seed, quick):
    """An unfitted classifier; of those pre-trained by RBMs, full and pruned get as many passes."""
    pruner = None
    if pretrain == "rbm":
        pruner = IterativePruner(sparsity=sparsity, n_rounds=4, n_retrain_iter=2)
    return SparseDBNClassifier(
        (20, 20, 20) if quick else (500, 500, 500), pretrain=None if pretrain == "none" else pretrain, pruner=pruner,
        rbm=RBM if pretrain == "rbm" else None, n_pretrain_iter=1 if quick else 10, batch_size=100,
        n_iter=2 if quick else 30, solver="sgd", learning_rate=0.1, random_state=seed,
    )  # fmt: skip


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    chosen = options(parser, "pretraining.csv")
    table = Table(chosen.results, COLUMNS)
    data = datasets.fetch_mnist()
    step = 100 if chosen.quick else 1
    X, X_test = (part[::step] * np.float32(1 / 255) for part in (data.X_train, data.X_test))
    y, y_test = data.y_train[::step], data.y_test[::step]
    for seed in range(chosen.seeds):
        for pretrain, sparsity in (
            ("none", 0.0), ("supervised", 0.0), ("autoencoder", 0.0), ("rbm", 0.0), ("rbm", 0.8),
        ):  # fmt: skip
            if table.done(pretrain=pretrain, sparsity=sparsity, seed=seed):
                continue
            started = time.perf_counter()
            classifier = network(pretrain, sparsity, seed, chosen.quick).fit(X, y)
            table.add(
                pretrain=pretrain, sparsity=sparsity,
                sizes="-".join(map(str, classifier.hidden_layer_sizes)),
                test_error=round(100 * (1 - classifier.score(X_test, y_test)), 3),
                train_error=round(100 * (1 - classifier.score(X, y)), 3), epochs=classifier.n_iter,
                seed=seed, seconds=round(time.perf_counter() - started, 1),
            )  # fmt: skip


if __name__ == "__main__":
    main()
