"""Seconds an epoch of joint training of a deep Boltzmann machine, 784-500-1000 on MNIST: full and pruned.

All machines are trained for two passes without pre-training, the pruned ones with every level diluted at
random; then epochs take turns in one process. Medians, and ratios of the full machine's time to the pruned one's in the same turn.

Run: ``python examples/benchmarks/joint_epoch.py [--turns 7]``.
"""

import argparse
import statistics
import time

import numpy as np
from tools import description, save, seconds

from skprune import DBMTransformer, connectivity, datasets

SIZES = (500, 1000)


def machine(X, sparsity):
    """A machine after two passes."""
    rng = np.random.RandomState(0)
    shapes = [(500, X.shape[1]), (1000, 500)]
    masks = (
        [connectivity.random_dilution(shape, sparsity, rng) for shape in shapes]
        if sparsity
        else None
    )
    dbm = DBMTransformer(
        SIZES, connectivity=masks, pretrain=False, n_iter=2, batch_size=100, random_state=0
    ).fit(X)
    return dbm.set_params(warm_start=True, n_iter=1)


def main():
    """Take turns, print ratios, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.0, 0.8, 0.9, 0.95])
    options = parser.parse_args()
    X = (datasets.fetch_mnist().X_train[: options.rows] > 127).astype(np.uint8)
    machines = {sparsity: machine(X, sparsity) for sparsity in sorted({0.0, *options.sparsities})}
    times = {sparsity: [] for sparsity in machines}
    for _ in range(options.turns):
        for sparsity, dbm in machines.items():
            times[sparsity].append(seconds(lambda dbm=dbm: dbm.fit(X)))
    rows = []
    for sparsity, found in times.items():
        ratios = [full / own for full, own in zip(times[0.0], found, strict=True)]
        rows.append(
            {
                "sparsity": sparsity, "seconds": round(statistics.median(found), 3),
                "full_over_this": round(statistics.median(ratios), 2), "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2), "rows": options.rows, "batch": 100,
                "turns": options.turns, "date": time.strftime("%Y-%m-%d"), "machine": description(),
            }
        )  # fmt: skip
        print(*list(rows[-1].values())[:5])
    save(rows, "joint_epoch.csv")


if __name__ == "__main__":
    main()
