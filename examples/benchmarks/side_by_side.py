"""Every speed goal in one run, side by side with scikit-learn, as ratios.

784 visible and 500 hidden units, 0/1 data, PCD-1, two threads for everybody.
Competitors run in turn in one process; a row is the ratio of medians (how many
times faster we are), with the smallest and largest ratio of the single turns.
Masks are random, or pruned by magnitude after training, which are uneven. AIS
is compared with ``rbms`` on torch where that is installed, else skipped with a
message. Run: ``python examples/benchmarks/side_by_side.py [--save]``.
"""

import argparse
import csv
import os
import pathlib
import platform
import time

import numpy as np
from sklearn.base import clone
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_info

from skprune import IterativePruner, PrunedBernoulliRBM

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "side_by_side.csv"


def structured_data(n_rows, n_features=784, n_parts=40, seed=0):
    """0/1 rows made of random parts, so that training has something to learn."""
    rng = np.random.default_rng(seed)
    parts = rng.uniform(size=(n_parts, n_features)) < 0.06
    chosen = rng.uniform(size=(n_rows, n_parts)) < 0.1
    X = (chosen.astype(np.float32) @ parts) > 0
    return (X ^ (rng.uniform(size=X.shape) < 0.01)).astype(np.uint8)


def seconds(function):
    """Wall time of one call, after a pause in which threads of the last one stop spinning."""
    time.sleep(0.1)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def race(theirs, ours, repeats):
    """Time both in turn; return (ratio of medians, lowest, highest, our median)."""
    times = np.array([(seconds(theirs), seconds(ours)) for _ in range(repeats)])
    ratios = times[:, 0] / times[:, 1]
    median = np.median(times, axis=0)
    return median[0] / median[1], ratios.min(), ratios.max(), median[1]


def product_seconds(batch, repeats=200):
    """Time of the five matrix products of a step, by NumPy with all its threads."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(500, 784)).astype(np.float32)
    v, h = rng.normal(size=(784, batch)).astype("f4"), rng.normal(size=(500, batch)).astype("f4")

    def products():
        return W @ v, W.T @ h, W @ v, h @ v.T, h @ v.T

    return min(seconds(products) for _ in range(repeats))


def machines(X, batch_size, learning_rate):
    """Full and pruned machines, ready to go on for one pass."""
    base = PrunedBernoulliRBM(
        500,
        batch_size=batch_size,
        learning_rate=learning_rate,
        n_iter=1,
        warm_start=True,
        random_state=0,
    )
    yield "dense", base
    for sparsity in (0.9, 0.95, 0.98):
        yield f"{sparsity:.0%} random", clone(base).set_params(initial_sparsity=sparsity)
        pruner = IterativePruner(base, sparsity=sparsity, n_rounds=2).fit(X[:5000])
        yield f"{sparsity:.0%} by magnitude", pruner.estimator_.set_params(warm_start=True)


def fit_rows(X, repeats):
    """Passes of fit, at minibatches of 100 in float32 and at scikit-learn's defaults."""
    for batch_size, dtype in ((100, np.float32), (10, np.float32), (10, np.float64)):
        data = X.astype(dtype)
        if batch_size == 10:
            data = data[: len(data) // 4]
        theirs = BernoulliRBM(
            500, batch_size=batch_size, learning_rate=0.05, n_iter=1, random_state=0
        )
        for name, machine in machines(data, batch_size, 0.05):
            if dtype == np.float64 and name != "dense":
                continue
            own = data if dtype == np.float64 else data.astype(np.uint8)
            machine.fit(own[:500])
            row = race(
                lambda data=data, theirs=theirs: theirs.fit(data),
                lambda own=own, machine=machine: machine.fit(own),
                repeats,
            )
            yield f"fit, batch {batch_size}, {np.dtype(dtype)}, {name}", *row, len(data)


def transform_rows(X, repeats):
    """``transform`` of 10,000 rows."""
    rows = X[:10_000].astype(np.float32)
    theirs = BernoulliRBM(500, n_iter=1, batch_size=100, random_state=0).fit(rows[:1000])
    for name, machine in machines(rows, 100, 0.05):
        machine.fit(rows[:1000])
        row = race(
            lambda: theirs.transform(rows),
            lambda machine=machine: machine.transform(rows),
            3 * repeats,
        )
        yield f"transform, {name}", *row, len(rows)


def ais_rows(X, repeats):
    """100 chains and 1,000 temperatures, against ``rbms``."""
    try:
        import torch
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.partition_function.ais import compute_partition_function_ais
    except ImportError:
        print("AIS: rbms is not installed (pip install torch rbms); skipped")
        return
    for name, machine in machines(X[:10_000], 100, 0.05):
        machine.fit(X[:10_000])
        peer = BBRBM(
            weight_matrix=torch.tensor(np.ascontiguousarray(machine.components_.T)),
            vbias=torch.tensor(machine.intercept_visible_),
            hbias=torch.tensor(machine.intercept_hidden_),
        )

        def theirs(peer=peer):
            with torch.no_grad():
                return compute_partition_function_ais(num_chains=100, num_beta=1000, params=peer)

        row = race(theirs, lambda machine=machine: machine.log_partition("ais"), repeats)
        yield f"AIS, {name}", *row, 1


def main():
    """Print the table; append it to the results where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="append the table to the results")
    options = parser.parse_args()
    X = structured_data(options.rows)
    threads = sorted({library["num_threads"] for library in threadpool_info()})
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, BLAS threads {threads}"
    print(machine)
    print(f"{'':44s}times faster  (lowest to highest)     ours")
    rows = []
    for generate in (fit_rows, transform_rows, ais_rows):
        for what, ratio, low, high, ours, n_rows in generate(X, options.repeats):
            unit = f"{ours / n_rows * 1e6:9.2f} us a row" if n_rows > 1 else f"{ours:9.2f} s"
            print(f"{what:44s}{ratio:12.1f}  ({low:.1f} to {high:.1f}){unit:>24s}", flush=True)
            rows.append(
                {
                    "what": what,
                    "ratio": round(ratio, 2),
                    "lowest": round(low, 2),
                    "highest": round(high, 2),
                    "ours_seconds": round(ours, 5),
                    "n_rows": n_rows,
                    "date": time.strftime("%Y-%m-%d"),
                    "machine": machine,
                }
            )
    products = product_seconds(100)
    print(f"five products of a step of 100, alone: {products / 100 * 1e6:.2f} us a row")
    if options.save:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
