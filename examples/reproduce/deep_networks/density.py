"""The lower bound on the log-likelihood of a deep belief network of 500-2000, on binarized MNIST.

Salakhutdinov & Murray (2008) report -86.22 nats. The first level is the full or the pruned
machine of row ``mnist-ours-500`` of ``../pruning_rbms/run.py``, from its checkpoint (run that first).
The second starts as the first upside down, where the bound is the log-likelihood of the first alone, and
is trained by persistent chains on samples of the first one's posterior, drawn anew for every
stretch of passes, and pruned in rounds where it is pruned. log Z of the top level is bracketed by AIS and
reverse AIS, and the bar is held against the pessimistic end. Passes and seconds are those of the second level.

Run: ``python examples/reproduce/deep_networks/density.py``.
"""

import argparse
import warnings

import joblib
import numpy as np
from common import HERE, Table, options, trained
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBN, datasets
from skprune.schedules import FractionOfRemaining

COLUMNS = (
    "network", "pruned", "sparsity_1", "sparsity_2", "passes", "value", "low", "high", "first_level", "first_level_low", "seed",
    "seconds",
)  # fmt: skip
FIRST = HERE.parent / "pruning_rbms" / "checkpoints" / "mnist-ours-500-0"
PASSES, RETRAIN, ROUNDS = 5, 1, 7


def first_level(pruned, X, quick):
    """The machine below, fitted."""
    if quick:
        sparsity = 0.5 if pruned else 0.0
        return PrunedBernoulliRBM(30, n_iter=1, initial_sparsity=sparsity, random_state=0).fit(X)
    path = FIRST / ("percentile-7.joblib" if pruned else "full.joblib")
    if not path.exists():
        raise SystemExit(f"{path} is not there; run pruning_rbms/run.py --only mnist-ours-500.")
    machine, done, _, settings = joblib.load(path)
    if done < settings[0]:
        raise SystemExit(
            f"{path} is at {done} of {settings[0]} passes; let pruning_rbms/run.py end."
        )
    return machine


def samples(codes, number):
    """A draw of the first hidden layer."""
    rng = np.random.default_rng(number)
    return (rng.uniform(size=codes.shape) < codes).astype(np.uint8)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["full", "pruned"])
    chosen = options(parser, "density.csv")
    quick = chosen.quick
    table = Table(chosen.results, COLUMNS)
    data = datasets.fetch_binarized_mnist()
    X, X_test = np.concatenate([data.X_train, data.X_valid]), data.X_test
    passes, retrain, rounds, size = (2, 1, 2, 800) if quick else (PASSES, RETRAIN, ROUNDS, 2000)
    if quick:
        X, X_test = X[::100], X_test[::100]
    for network in chosen.networks:
        if table.done(pruned=network):
            continue
        pruned = network == "pruned"
        below = first_level(pruned, X, quick)
        codes = below.transform(X)
        total = passes + rounds * retrain

        def fresh(below=below):
            return PrunedBernoulliRBM(
                size, batch_size=50, n_gibbs_steps=5, learning_rate=0.01, random_state=0,
                transpose_of=FrozenEstimator(below),
            )  # fmt: skip

        def cut(machine, X, done):
            """30 % of what remains, before every stretch after the first passes."""
            if done < passes:
                return machine
            return IterativePruner(
                FrozenEstimator(machine), schedule=FractionOfRemaining(0.3), sparsity=None,
                n_rounds=1, retrain=None, random_state=0,
            ).fit(X).estimator_  # fmt: skip

        machine, spent = trained(
            chosen.checkpoints / f"density-{network}", fresh,
            lambda done, codes=codes: samples(codes, done), total, retrain,
            cut if pruned else None,
        )  # fmt: skip
        levels = [("first", FrozenEstimator(below)), ("second", FrozenEstimator(machine))]
        dbn = SparseDBN(levels, upward="samples", random_state=0).fit(X[:100])
        with warnings.catch_warnings():  # the bracket is in the table
            warnings.simplefilter("ignore", ConvergenceWarning)
            log_z, log_z_first = (
                of.log_partition(
                    "bracket", n_temperatures=100 if quick else 10_000,
                    n_tempered_sweeps=20 if quick else 400,
                )
                for of in (dbn, below)
            )  # fmt: skip
        bound = float(dbn.lower_bound(X_test, n_samples=2 if quick else 20).mean())
        alone = float(-below.free_energy(X_test).mean())
        masks = dbn.connectivity_
        table.add(
            network="-".join(str(mask.shape[0]) for mask in masks), pruned=network,
            **{f"sparsity_{n}": round(1 - mask.mean(), 4) for n, mask in enumerate(masks, 1)},
            passes=total, value=round(bound - log_z.value, 3), low=round(bound - log_z.bracket[1], 3),
            high=round(bound - log_z.bracket[0], 3), first_level=round(alone - log_z_first.value, 3),
            first_level_low=round(alone - log_z_first.bracket[1], 3), seed=0,
            seconds=round(spent, 1),
        )  # fmt: skip


if __name__ == "__main__":
    main()
