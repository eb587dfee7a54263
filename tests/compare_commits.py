"""Fit five machines from two commits and compare every array bit by bit.

Run it before and after a change that must not change results::

    python -m tests.compare_commits HEAD~1 HEAD

A commit may also be a directory that holds a checkout, such as ``.`` for the
working tree. Each commit fits the machines twice in processes of their own:
first with an empty kernel cache, then from that cache. The command prints the
seconds of each run and every array that differs, and exits with 1 if one does.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from scipy import sparse


def fit_machines() -> dict:
    """Return the parameters, features and scores of five small machines by name."""
    from skprune import (
        DBMTransformer,
        IterativePruner,
        PrunedBernoulliRBM,
        SparseDBN,
        SparseDBNClassifier,
    )
    from skprune.dbn import UpDown

    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(600, 60)) < rng.uniform(0.1, 0.6, size=60)).astype(np.uint8)
    y = X[:, :3].sum(axis=1) % 3
    rbm = PrunedBernoulliRBM(40, batch_size=50, n_iter=3, momentum=0.5, random_state=0)
    small = PrunedBernoulliRBM(batch_size=50, n_iter=2)
    machines = {
        "pruned RBM": IterativePruner(rbm, sparsity=0.8, n_rounds=2, random_state=0),
        "full RBM": rbm,
        "DBM": DBMTransformer((30, 20), n_iter=2, random_state=0),
        "labelled up-down DBN": SparseDBN(
            (30, 40), rbm=small, join_labels=True, fine_tune=UpDown(n_iter=2), random_state=0
        ),
        "pruned classifier": IterativePruner(
            SparseDBNClassifier((30, 20), rbm=small, n_iter=3), n_rounds=2, random_state=0
        ),
    }
    arrays = {}
    for name, machine in machines.items():
        started = time.perf_counter()
        machine.fit(X, y)
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
        fitted = getattr(machine, "estimator_", machine)
        results = {"components_": fitted.components_}
        for attribute in ("intercept_visible_", "intercept_hidden_", "intercepts_"):
            if hasattr(fitted, attribute):
                results[attribute] = getattr(fitted, attribute)
        grey = sparse.csr_array(np.round(0.3 * X[:50] + 0.7 * X[50:100], 1).astype(np.float32))
        for method in ("transform", "score_samples", "predict_proba"):
            if hasattr(fitted, method):
                results[method] = getattr(fitted, method)(X[:300])
                results[f"{method} of sparse grey rows"] = getattr(fitted, method)(grey)
        if hasattr(fitted, "sample"):
            results["sample"] = fitted.sample(20, n_gibbs_steps=5, random_state=0)
        for result, value in results.items():
            for number, array in enumerate(value if isinstance(value, list) else [value]):
                arrays[f"{name} {result} {number}"] = np.asarray(array)
    return arrays


def run(checkout: pathlib.Path, cache: pathlib.Path, target: pathlib.Path) -> dict:
    """Fit the machines with the package of a checkout; return the arrays."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(cache)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, __file__, "--fit", str(target)], env=environment, cwd=checkout, check=True
    )
    print(f"  {time.perf_counter() - started:.1f} s in all", flush=True)
    with np.load(target) as stored:
        return dict(stored)


def checkout_of(commit: str, folder: pathlib.Path) -> pathlib.Path:
    """Return a directory that holds the files of a commit."""
    if pathlib.Path(commit).is_dir():
        return pathlib.Path(commit).resolve()
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def differences(name: str, expected: dict, found: dict) -> int:
    """Print the arrays that differ; return how many there are."""
    count = 0
    for key in sorted(expected.keys() | found.keys()):
        a, b = expected.get(key), found.get(key)
        if a is not None and b is not None and a.dtype == b.dtype and a.tobytes() == b.tobytes():
            continue
        count += 1
        if a is None or b is None or a.shape != b.shape:
            print(f"{name}: {key} is missing on one side, or has another shape")
            continue
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
        print(f"{name}: {key} differs in {(a != b).sum()} of {a.size}, at most by {gap.max():.3g}")
    return count


def main() -> int:
    """Compare two commits; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="a commit or a directory")
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        np.savez(options.fit, **fit_machines())
        return 0
    if len(options.commits) != 2:
        parser.error("two commits are needed")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        results = {}
        for number, commit in enumerate(options.commits):
            checkout = checkout_of(commit, work / f"checkout{number}")
            for state in ("cold", "cached"):
                name = f"{number + 1}: {commit} ({state})"
                print(name, flush=True)
                target = work / f"{number}{state}.npz"
                results[name] = run(checkout, work / f"cache{number}", target)
        first, *others = results.items()
        count = sum(differences(name, first[1], arrays) for name, arrays in others)
    print("All arrays have the same bits." if not count else f"{count} arrays differ.")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
