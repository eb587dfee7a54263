"""What a machine weighs: parameters in memory and on disk, data during fit, time to start.

784 visible and 500 hidden units. Every figure of memory and time comes from a
process of its own. ``--save`` keeps the table. Run:
``python examples/benchmarks/footprint.py [--save]``.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time

import joblib
import numpy as np
import skops.io
from tools import description, save, structured_data

from skprune import IterativePruner, PrunedBernoulliRBM

PEAK = """
import resource, sys
import numpy as np
from {module} import {name}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

bits = np.random.default_rng(0).integers(0, 256, (60_000, 98), dtype=np.uint8)
X = np.unpackbits(bits, axis=1){astype}
machine = {name}(500, batch_size=100, n_iter=1, random_state=0)
machine.fit(X[:300])  # libraries and compiled code are in memory from here on
before = peak()
machine.fit(X)
print(X.nbytes / 2**20, before, peak())
"""

START = """
import time
import sklearn.neural_network, numpy as np
start = time.perf_counter()
from skprune import PrunedBernoulliRBM
imported = time.perf_counter()
X = (np.random.default_rng(0).uniform(size=(500, 64)) < 0.5).astype(np.uint8)
PrunedBernoulliRBM(20, n_iter=1, random_state=0).fit(X)
print(imported - start, time.perf_counter() - imported)
"""


def figures(code, **environment):
    """The numbers that a process of its own prints."""
    out = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [float(word) for word in out.stdout.split()]


def array_bytes(value, seen=None):
    """Bytes of the arrays that an object holds, however deep; an array that is shared counts once."""
    seen = set() if seen is None else seen
    if isinstance(value, np.ndarray):
        is_new = id(value) not in seen
        seen.add(id(value))
        return value.nbytes if is_new else 0
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return sum(array_bytes(part, seen) for part in value)
    return array_bytes(vars(value), seen) if hasattr(value, "__dict__") else 0


def sizes(machine):
    """(name, MiB) of a fitted machine in memory and as a file."""
    with tempfile.NamedTemporaryFile() as file:
        joblib.dump(machine, file.name)
        on_disk = os.path.getsize(file.name)
    yield "arrays in memory", array_bytes(machine)
    yield "pickle", len(pickle.dumps(machine))
    yield "joblib file", on_disk
    yield "skops file", len(skops.io.dumps(machine))


def main():
    """Print the table; keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write the table to the results")
    options = parser.parse_args()
    machine_line = description("scipy", "joblib", "skops")
    rows = []

    def tell(what, value, unit, note=""):
        rows.append(
            {
                "what": what, "value": round(value, 3), "unit": unit, "note": note,
                "date": time.strftime("%Y-%m-%d"), "machine": machine_line,
            }
        )  # fmt: skip
        print(f"{what:58s}{value:10.2f} {unit:6s} {note}", flush=True)

    X = structured_data(3000)
    full = PrunedBernoulliRBM(500, batch_size=100, n_iter=1, random_state=0).fit(X)
    of_full = dict(sizes(full))
    for name, size in of_full.items():
        tell(f"full machine, {name}", size / 2**20, "MiB")
    for sparsity in (0.9, 0.95, 0.98):
        pruner = IterativePruner(full, sparsity=sparsity, n_rounds=1, random_state=0).fit(X)
        for name, size in sizes(pruner.estimator_):
            share = f"{size / of_full[name]:.3f} of the full machine's"
            tell(f"{sparsity:.0%} pruned, {name}", size / 2**20, "MiB", share)
    for name, module, astype in (
        ("PrunedBernoulliRBM", "skprune", ""),
        ("BernoulliRBM", "sklearn.neural_network", ".astype(np.float32)"),
    ):
        data, before, peak = figures(PEAK.format(module=module, name=name, astype=astype))
        note = f"of which data {data:.0f}, before the fit {before:.0f} (peaks)"
        tell(f"peak resident memory, fit of 60,000 x 784 bits, {name}", peak, "MiB", note)
        tell(f"what the fit adds to the peak, {name}", peak - before, "MiB")
    with tempfile.TemporaryDirectory() as cache:
        for what in ("no kernels cached", "kernels cached"):
            imported, first = figures(START, NUMBA_CACHE_DIR=cache)
            tell(f"import skprune after scikit-learn, {what}", imported, "s")
            tell(f"first fit of a process, {what}", first, "s")
    if options.save:
        save(rows, "footprint.csv")


if __name__ == "__main__":
    main()
