"""The lower bound on the log-likelihood of a deep belief network of 500-2000, on binarized MNIST.

Salakhutdinov & Murray (2008) report -86.22 nats. The first level is trained by persistent
chains, the second on samples of its posterior; log Z of the top level is bracketed by AIS and
reverse AIS, and the bar is held against the pessimistic end.

Run: ``python examples/reproduce/deep_networks/density.py``.
"""

import argparse
import time
import warnings

import numpy as np
from common import Table, kept, options
from sklearn.exceptions import ConvergenceWarning

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBN, datasets

COLUMNS = ("network", "sparsity", "passes", "value", "low", "high", "seed", "seconds")


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.0, 0.8])
    chosen = options(parser, "density.csv")
    table = Table(chosen.results, COLUMNS)
    data = datasets.fetch_binarized_mnist()
    X, X_test = np.concatenate([data.X_train, data.X_valid]), data.X_test
    passes, retrain, sizes = (1, 1, (30, 40)) if chosen.quick else (40, 12, (500, 2000))
    if chosen.quick:
        X, X_test = X[::100], X_test[::100]
    for sparsity in chosen.sparsities:
        if table.done(sparsity=sparsity):
            continue
        started = time.perf_counter()

        def fitted(sparsity=sparsity):
            rbm = PrunedBernoulliRBM(n_iter=passes, batch_size=50, n_gibbs_steps=(1, 5))
            pruner = IterativePruner(sparsity=sparsity, n_rounds=3, n_retrain_iter=retrain)
            return SparseDBN(
                sizes, rbm=rbm, pruner=pruner, upward="samples", verbose=1, random_state=0
            ).fit(X)

        dbn = kept(chosen.checkpoints / f"density-{sparsity}.joblib", fitted)
        seconds = time.perf_counter() - started
        with warnings.catch_warnings():  # the bracket is in the table
            warnings.simplefilter("ignore", ConvergenceWarning)
            log_z = dbn.log_partition(
                "bracket", n_temperatures=100 if chosen.quick else 10_000,
                n_tempered_sweeps=20 if chosen.quick else 400,
            )  # fmt: skip
        bound = float(dbn.lower_bound(X_test, n_samples=2 if chosen.quick else 20).mean())
        table.add(
            network="-".join(map(str, sizes)), sparsity=sparsity, passes=passes + 3 * retrain,
            value=round(bound - log_z.value, 3), low=round(bound - log_z.bracket[1], 3),
            high=round(bound - log_z.bracket[0], 3), seed=0, seconds=round(seconds, 1),
        )  # fmt: skip


if __name__ == "__main__":
    main()
