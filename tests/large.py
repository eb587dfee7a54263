"""Large data and large machines: peak memory and seconds, for the figures of ``docs/reliability.md``.

``python -m tests.large`` runs every case in a process of its own and compares its peak memory with a
limit. It needs about 6 GiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from scipy import sparse

MIB = 2**20
N_ROWS = 1_000_000
# Name of each case, and how many MiB it may need in addition to an interpreter that has compiled the
# kernels, and to the data and results that the caller holds.
LIMITS = {"rows": 128, "csr-rows": 128, "units": 640, "pruned-units": 1280}


def rows(n_rows, n_features=784) -> np.ndarray:
    """Random 0/1 rows, made in blocks."""
    X = np.empty((n_rows, n_features), np.uint8)
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 10_000):
        X[start : start + 10_000] = rng.random(X[start : start + 10_000].shape, np.float32) < 0.2
    return X


def csr_rows(n_rows, n_features=784, n_on=40) -> sparse.csr_array:
    """Rows with the same number of ones, made without a dense matrix."""
    first = np.random.default_rng(0).integers(n_features, size=n_rows, dtype=np.int32)
    indices = np.empty((n_rows, n_on), np.int32)
    for start in range(0, n_rows, 10_000):
        part = first[start : start + 10_000, None] + 19 * np.arange(n_on, dtype=np.int32)
        indices[start : start + 10_000] = np.sort(part % n_features, axis=1)
    indptr = np.arange(n_rows + 1, dtype=np.int32) * n_on
    ones = np.ones(indices.size, np.uint8)
    return sparse.csr_array((ones, indices.ravel(), indptr), shape=(n_rows, n_features))


def peak() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(case) -> tuple:
    """Return a function to run, and the bytes of the data and of the results that it returns."""
    from skprune import IterativePruner, PrunedBernoulliRBM

    common = {"n_iter": 1, "batch_size": 100, "random_state": 0}
    if case in ("rows", "csr-rows"):
        rbm = PrunedBernoulliRBM(100, initial_sparsity=0.9, **common)
        X = rows(N_ROWS) if case == "rows" else csr_rows(N_ROWS)
        held = X.nbytes if case == "rows" else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes

        def run():
            rbm.fit(X)
            return rbm.transform(X), rbm.free_energy(X)

        return run, held + N_ROWS * (100 * 4 + 8)
    X = rows(2000, 4096)
    machine = PrunedBernoulliRBM(4096, initial_sparsity=0.95, **common)
    if case == "pruned-units":
        full = PrunedBernoulliRBM(4096, **common)
        machine = IterativePruner(full, sparsity=0.95, n_rounds=2, random_state=0)

    def run():
        machine.fit(X)
        return machine.transform(X), machine.log_partition("ais", n_chains=20, n_temperatures=20)

    return run, X.nbytes + 2000 * 4096 * 4


def measure(case) -> None:
    """Run a case and print its figures as JSON."""
    import warnings

    from skprune import PrunedBernoulliRBM

    warnings.simplefilter("ignore")
    small = csr_rows(200) if case == "csr-rows" else rows(200)
    for sparsity in (0.0, 0.9):
        rbm = PrunedBernoulliRBM(100, initial_sparsity=sparsity, n_iter=1, batch_size=100).fit(
            small
        )
        rbm.transform(small), rbm.free_energy(small), rbm.log_partition("ais", n_temperatures=2)
    compiled = peak()
    run, held = work(case)
    started = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - started
    assert all(np.isfinite(part[0]).all() for part in result)
    needed = peak() - compiled - held / MIB
    print(json.dumps({"held": held / MIB, "needed": needed, "seconds": seconds}))


def main(arguments=None) -> int:
    """Run the cases; return 1 if one needs more memory than its limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.large", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(LIMITS), help=", ".join(LIMITS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        measure(options.child)
        return 0
    failed = False
    for case in options.cases:
        command = [sys.executable, "-m", "tests.large", "--child", case]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        failed |= found["needed"] > LIMITS[case]
        print(
            f"{case}: {found['needed']:.0f} MiB, at most {LIMITS[case]} MiB, in addition to "
            f"{found['held']:.0f} MiB of data and results; {found['seconds']:.1f} s",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
