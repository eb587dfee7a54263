"""Seconds an epoch of joint training of deep Boltzmann machines on MNIST: full, pruned, and with receptive fields.

784-500-1000 with every level diluted at random, by one thread and by two; and 400-400-676 on digits of 20 x 20
whose first level has 5 x 5 receptive fields, beside as many connections at random and all of them, with a second level that
is 90 % pruned. All machines are trained for two passes without pre-training; then epochs take turns in one process.
Medians, and ratios of the full machine's time to the pruned one's in the same turn.

Run: ``python examples/benchmarks/joint_epoch.py [--turns 7]``.
"""

import argparse
import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits
from tools import description, save, seconds

from skprune import DBMTransformer, connectivity, datasets


def diluted(shape, sparsity):
    """A random mask; None where nothing is to go."""
    rng = np.random.RandomState(0)
    return connectivity.random_dilution(shape, sparsity, rng) if sparsity else None


def trained(sizes, masks, X):
    """A machine after two passes."""
    dbm = DBMTransformer(
        sizes, connectivity=masks, pretrain=False, n_iter=2, batch_size=100, random_state=0
    ).fit(X)
    return dbm.set_params(warm_start=True, n_iter=1)


def diluted_machines(X, sparsities):
    """784-500-1000, the full one first."""
    shapes = [(500, X.shape[1]), (1000, 500)]
    return {
        f"{sparsity:.0%} pruned" if sparsity else "full": trained(
            (500, 1000), [diluted(shape, sparsity) for shape in shapes], X
        )
        for sparsity in [0.0, *sparsities]
    }


def machines_with_fields(X):
    """400-400-676, the full one first."""
    fields = connectivity.receptive_fields((20, 20), 5)
    second = diluted((676, 400), 0.9)
    masks = {
        "full": None,
        "5 x 5 fields, 90 % pruned": [fields, second],
        "as many at random, 90 % pruned": [diluted(fields.shape, 1 - fields.mean()), second],
    }
    return {name: trained((400, 676), mask, X) for name, mask in masks.items()}


def main():
    """Take turns, print ratios, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.8, 0.9, 0.95])
    options = parser.parse_args()
    X = (datasets.fetch_mnist().X_train[: options.rows] > 127).astype(np.uint8)
    cropped = np.ascontiguousarray(X.reshape(-1, 28, 28)[:, 4:24, 4:24].reshape(-1, 400))
    rows = []
    for sizes, data, machines in (
        ("784-500-1000", X, diluted_machines(X, options.sparsities)),
        ("400-400-676", cropped, machines_with_fields(cropped)),
    ):
        for n_threads in (1, 2):
            times = {name: [] for name in machines}
            with threadpool_limits(n_threads):
                for _ in range(options.turns):
                    for name, dbm in machines.items():
                        times[name].append(seconds(lambda dbm=dbm, data=data: dbm.fit(data)))
            for name, found in times.items():
                ratios = [full / own for full, own in zip(times["full"], found, strict=True)]
                rows.append(
                    {
                        "units": sizes, "machine_is": name, "threads": n_threads,
                        "seconds": round(statistics.median(found), 3),
                        "full_over_this": round(statistics.median(ratios), 2),
                        "lowest": round(min(ratios), 2), "highest": round(max(ratios), 2),
                        "rows": options.rows, "batch": 100, "turns": options.turns,
                        "date": time.strftime("%Y-%m-%d"), "machine": description(),
                    }
                )  # fmt: skip
                print(*list(rows[-1].values())[:7])
    save(rows, "joint_epoch.csv")


if __name__ == "__main__":
    main()
