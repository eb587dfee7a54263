"""Training, transforming and AIS in one run, side by side with every peer that is installed.

Competitors run in turn in one process, with the same number of threads; a row
is the ratio of medians (how many times faster we are), with the smallest and
largest ratio of the single turns. Masks are random, or pruned by magnitude
after training, which are uneven. Peers: scikit-learn; ``rbms`` and
``learnergy`` on torch, skipped with a message where they are not installed
(``pip install '.[peers]'``). ``--save`` keeps the table.

Shares of the machine's limit: the arithmetic that a pass needs (five products
over the connections) against the measured peak of a matrix product, and the
bytes that it reads for every connection (states and weights) against what dot
products read from the second-level caches. A table look-up does the arithmetic
of four connections at once, so that its first share may pass one.

Run: ``python examples/benchmarks/side_by_side.py [--quick] [--save]``.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.neural_network import BernoulliRBM
from tools import (
    description,
    peak_cache,
    peak_memory,
    peak_product,
    rbms_machine,
    rbms_step,
    save,
    seconds,
    structured_data,
)

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune._machine import inference
from skprune._machine.levels import EDGE_SPARSITY

HEADINGS = ("work", "size", "batch", "kind", "sparsity", "mask", "peer")
WIDTHS = (10, 11, 6, 8, 9, 13, 22)


class Ours(NamedTuple):
    """One of our machines in a contest, and what its work is per row."""

    sparsity: float
    mask: str
    run: object
    n_connections: int


def machine(hidden, batch_size, sparsity=0.0):
    """An RBM of ours that goes on for one pass a fit."""
    return PrunedBernoulliRBM(
        hidden, batch_size=batch_size, n_chains=batch_size, learning_rate=0.05, n_iter=1, warm_start=True,
        initial_sparsity=sparsity, random_state=0,
    )  # fmt: skip


def machines(X, hidden, batch_size, sparsities, by_magnitude=True):
    """(sparsity, mask, fitted machine): full ones, random masks, masks by magnitude."""
    for sparsity in sparsities:
        fitted = machine(hidden, batch_size, sparsity).fit(X[: 5 * batch_size])
        yield sparsity, "random" if sparsity else "none", fitted
        if sparsity and by_magnitude:
            base = clone(fitted).set_params(initial_sparsity=0.0)
            pruner = IterativePruner(base, sparsity=sparsity, n_rounds=2).fit(X[:5000])
            yield sparsity, "by magnitude", pruner.estimator_.set_params(warm_start=True)


def count(fitted):
    """Number of connections."""
    return int(np.count_nonzero(fitted.connectivity_[0]))


def rbms_pass(X, hidden, batch_size):
    """One pass of PCD-1 by ``rbms``: its own gradient step, without its checkpoints."""
    import torch

    given, peer, optimizer, chains = rbms_machine(X, hidden, 0.05, batch_size)

    def run():
        nonlocal chains
        with torch.no_grad():
            for rows in torch.randperm(len(X)).split(batch_size):
                chains = rbms_step(given, rows, chains, peer, optimizer)

    return run


def learnergy_pass(X, hidden, batch_size):
    """One pass of CD-1 by ``learnergy`` (which also computes a pseudo-likelihood)."""
    import logging

    import torch
    from learnergy.models.bernoulli import RBM
    from torch.utils.data import TensorDataset

    logging.disable(logging.INFO)
    peer = RBM(n_visible=X.shape[1], n_hidden=hidden, steps=1, learning_rate=0.05)
    data = TensorDataset(torch.from_numpy(X), torch.zeros(len(X)))
    return lambda: peer.fit(data, batch_size=batch_size, epochs=1)


def rbms_ais(fitted):
    """AIS by ``rbms`` on the parameters of our machine."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.partition_function.ais import compute_partition_function_ais

    peer = BBRBM(
        weight_matrix=torch.tensor(np.ascontiguousarray(fitted.components_.T)),
        vbias=torch.tensor(fitted.intercept_visible_),
        hbias=torch.tensor(fitted.intercept_hidden_),
    )

    def run():
        with torch.no_grad():
            compute_partition_function_ais(num_chains=100, num_beta=1000, params=peer)

    return run


def ours_fit(fitted, data):
    """Our pass."""
    return lambda: fitted.fit(data)


def products_alone(n_rows, size, batch):
    """The five matrix products of every step and nothing else, by NumPy with all its threads."""
    rng = np.random.default_rng(0)
    visible, hidden = size
    W = rng.normal(size=(hidden, visible)).astype(np.float32)
    v = rng.normal(size=(visible, batch)).astype(np.float32)
    h = rng.normal(size=(hidden, batch)).astype(np.float32)

    def run():
        for _ in range(n_rows // batch):
            W @ v, W.T @ h, W @ v, h @ v.T, h @ v.T

    return run


class Table:
    """Runs contests, prints and keeps their rows."""

    def __init__(self, repeats, machine_line):
        self.repeats = repeats
        self.machine = machine_line
        self.product = {kind: peak_product(kind) for kind in ("float32", "float64")}
        self.cache = peak_cache()
        self.machine += (
            f"; peaks: product {self.product['float32'] / 1e9:.0f} (float32) and "
            f"{self.product['float64'] / 1e9:.0f} (float64) GFLOP/s, "
            f"caches {self.cache / 1e9:.0f}, memory {peak_memory() / 1e9:.0f} GB/s"
        )
        self.rows = []
        print(self.machine)
        heading = "".join(f"{h:>{w}s}" for h, w in zip(HEADINGS, WIDTHS, strict=True))
        print(f"{heading}  times faster (lowest to highest)  us a row  of product  of caches")

    def contest(self, work, size, batch, kind, peers, ours, n_rows, products):
        """Time everybody in turn; one row for each of ours and each peer.

        ``products`` is the number of products over the connections in the work.
        """
        names = list(peers)
        runs = [*peers.values(), *[entry.run for entry in ours]]
        for run in runs:
            run()  # allocations, threads and caches of everybody
        times = np.array([[seconds(run) for run in runs] for _ in range(self.repeats)])
        medians = np.median(times, axis=0)
        full = next((medians[len(names) + k] for k, o in enumerate(ours) if o.sparsity == 0), None)
        for k, entry in enumerate(ours):
            own, mine = times[:, len(names) + k], medians[len(names) + k]
            work_done = products * entry.n_connections * n_rows
            cache_share = ""
            if entry.sparsity >= EDGE_SPARSITY and work != "transform":
                item = np.dtype(kind).itemsize
                state_bytes = 1 if inference.reads_packed(kind, batch) else item
                # a state of every lane, and once for all lanes a weight and a unit's number
                bytes_read = work_done * (state_bytes + (item + 2) / batch)
                cache_share = round(bytes_read / mine / self.cache, 3)
            for p, name in enumerate(names):
                ratios = times[:, p] / own
                row = {
                    "work": work,
                    "size": f"{size[0]}x{size[1]}",
                    "batch": batch,
                    "kind": kind,
                    "sparsity": entry.sparsity,
                    "mask": entry.mask,
                    "peer": name,
                    "ratio": round(medians[p] / mine, 2),
                    "lowest": round(ratios.min(), 2),
                    "highest": round(ratios.max(), 2),
                    "peer_us": round(medians[p] / n_rows * 1e6, 3),
                    "ours_us": round(mine / n_rows * 1e6, 3),
                    "over_own_full": round(full / mine, 2) if full else "",
                    "product_share": round(2 * work_done / mine / self.product[kind], 3),
                    "cache_share": cache_share,
                    "rows": n_rows,
                    "date": time.strftime("%Y-%m-%d"),
                    "machine": self.machine,
                }
                self.rows.append(row)
                told = "".join(f"{row[h]!s:>{w}s}" for h, w in zip(HEADINGS, WIDTHS, strict=True))
                print(
                    f"{told}{row['ratio']:10.1f}  ({row['lowest']:.1f} to {row['highest']:.1f})"
                    f"{row['ours_us']:18.2f}{row['product_share']:10.2f}{row['cache_share']!s:>10s}",
                    flush=True,
                )


def installed_peers(makers):
    """(name, runner) of the peers that can be imported; says which cannot."""
    for name, make in makers.items():
        try:
            yield name, make()
        except ImportError as missing:
            print(f"{name} is not installed ({missing.name} is missing); skipped")


def main_contests(table, X):
    """784 x 500: the goals, against everybody."""
    size, sparsities = (784, 500), (0.0, 0.9, 0.95, 0.98)
    data = X.astype(np.float32)
    theirs = BernoulliRBM(500, batch_size=100, learning_rate=0.05, n_iter=1, random_state=0)
    few = len(X) // 4
    makers = {
        "scikit-learn": lambda: lambda: theirs.fit(data),
        "rbms": lambda: rbms_pass(data, 500, 100),
        "learnergy": lambda: learnergy_pass(data, 500, 100),
        "five products alone": lambda: products_alone(len(X), size, 100),
    }
    peers = dict(installed_peers(makers))
    fitted = list(machines(X, 500, 100, sparsities))
    ours = [Ours(s, mask, ours_fit(m, X), count(m)) for s, mask, m in fitted]
    table.contest("fit", size, 100, "float32", peers, ours, len(X), 5)
    theirs_10 = BernoulliRBM(500, batch_size=10, learning_rate=0.05, n_iter=1, random_state=0)
    small = list(machines(X, 500, 10, sparsities))
    ours = [Ours(s, mask, ours_fit(m, X[:few]), count(m)) for s, mask, m in small]
    run = {"scikit-learn": lambda: theirs_10.fit(data[:few])}
    table.contest("fit", size, 10, "float32", run, ours, few, 5)
    wide = X[:few].astype(np.float64)
    ours = [
        Ours(s, mask, ours_fit(m, wide), count(m))
        for s, mask, m in machines(wide, 500, 10, (0.0, 0.95), by_magnitude=False)
    ]
    run = {"scikit-learn": lambda: theirs_10.fit(wide)}
    table.contest("fit", size, 10, "float64", run, ours, few, 5)
    rows = data[:10_000]
    ours = [Ours(s, mask, lambda m=m: m.transform(rows), count(m)) for s, mask, m in fitted]
    table.repeats *= 3
    run = {"scikit-learn": lambda: theirs.transform(rows)}
    table.contest("transform", size, len(rows), "float32", run, ours, len(rows), 1)
    table.repeats = min(table.repeats // 3, 3)
    for sparsity, mask, m in fitted:
        peers = dict(installed_peers({"rbms": lambda m=m: rbms_ais(m)}))
        ours = [Ours(sparsity, mask, lambda m=m: m.log_partition("ais"), count(m))]
        if peers:  # 100 chains and 1,000 temperatures: two products a step
            table.contest("AIS", size, 100, "float32", peers, ours, 100 * 1000, 2)


def grid_contests(table, sizes, batches):
    """How cost grows with units, batch and sparsity."""
    for visible, hidden in sizes:
        for batch in batches:
            n_rows = int(min(20_000, 6e9 / (visible * hidden) / (4 if batch == 10 else 1)))
            n_rows = max(batch * 2, n_rows // batch * batch)
            X = structured_data(n_rows, visible)
            data = X.astype(np.float32)
            theirs = BernoulliRBM(
                hidden, batch_size=batch, learning_rate=0.05, n_iter=1, random_state=0
            )
            fitted = machines(X, hidden, batch, (0, 0.5, 0.8, 0.9, 0.95, 0.99), by_magnitude=False)
            ours = [Ours(s, mask, ours_fit(m, X), count(m)) for s, mask, m in fitted]
            run = {"scikit-learn": lambda theirs=theirs, data=data: theirs.fit(data)}
            table.contest("fit (grid)", (visible, hidden), batch, "float32", run, ours, n_rows, 5)


def main():
    """Print the table; keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few rows, one size")
    parser.add_argument("--save", action="store_true", help="write the table to the results")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 5000, 2
    table = Table(options.repeats, description("torch", "rbms", "learnergy"))
    main_contests(table, structured_data(options.rows))
    sizes = [(64, 100), (256, 256), (784, 500), (2048, 1024), (4096, 2048)]
    grid_contests(table, sizes[:1] if options.quick else sizes, (10, 100, 500))
    if options.save:
        save(table.rows, "side_by_side.csv")


if __name__ == "__main__":
    main()
