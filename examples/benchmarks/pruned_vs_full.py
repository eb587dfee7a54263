"""How much less work a pruned machine does: our own full machine against a pruned one.

784 visible and 500 hidden units, 0/1 data, minibatches of 100, PCD-1, float32.
The two are timed in turn, in one process; what is printed are ratios of
medians, also kept in ``examples/results/pruned_vs_full.csv`` with ``--save``. Run:
``python examples/benchmarks/pruned_vs_full.py``.
"""

import argparse
import csv
import pathlib
import time

import numpy as np

from skprune import PrunedBernoulliRBM

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "pruned_vs_full.csv"


def seconds(function):
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.95, 0.98])
    parser.add_argument("--save", action="store_true", help="append the ratios to the results")
    options = parser.parse_args()
    X = (np.random.default_rng(0).uniform(size=(options.rows, 784)) < 0.2).astype(np.uint8)
    machines = {
        sparsity: PrunedBernoulliRBM(
            500, n_iter=1, batch_size=options.batch_size, initial_sparsity=sparsity, random_state=0
        ).fit(X[:1000])
        for sparsity in [0.0, *options.sparsities]
    }
    passes = {sparsity: [] for sparsity in machines}
    transforms = {sparsity: [] for sparsity in machines}
    for _ in range(options.repeats):
        for sparsity, machine in machines.items():
            machine.fit(X)
            passes[sparsity].append(machine.history_["seconds"][-1])
            transforms[sparsity].append(
                seconds(lambda machine=machine: machine.transform(X[:10_000]))
            )
    full_pass, full_transform = np.median(passes[0.0]), np.median(transforms[0.0])
    print(
        f"full machine: {full_pass / options.rows * 1e6:.2f} us a sample and pass, batch {options.batch_size}"
    )
    print("sparsity   pass: times faster   transform: times faster")
    for sparsity in options.sparsities:
        row = {
            "sparsity": sparsity,
            "batch_size": options.batch_size,
            "pass_ratio": round(full_pass / np.median(passes[sparsity]), 1),
            "transform_ratio": round(full_transform / np.median(transforms[sparsity]), 1),
            "rows": options.rows,
            "full_us_a_sample": round(full_pass / options.rows * 1e6, 2),
        }
        print(f"{sparsity:8.2f}   {row['pass_ratio']:18.1f}   {row['transform_ratio']:23.1f}")
        if options.save:
            new = not RESULTS.exists()
            with RESULTS.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if new:
                    writer.writeheader()
                writer.writerow(row)


if __name__ == "__main__":
    main()
