"""Fitting inside other people's workers: no hang, no abort, the same bits."""

import os
import subprocess
import sys

import pytest

SETUP = """
import numpy as np, hashlib, sys
from skprune import PrunedBernoulliRBM
from skprune._support import threads
threads.MIN_WORK = -1.0
threads.LONG_WORK = float(sys.argv[1])
X = np.random.RandomState(0).randint(0, 2, (300, 40)).astype(np.uint8)

def fit(seed, long_work=float(sys.argv[1])):
    threads.MIN_WORK, threads.LONG_WORK = -1.0, long_work
    rbm = PrunedBernoulliRBM(20, n_iter=2, initial_sparsity=0.8, random_state=seed).fit(X)
    return hashlib.sha256(rbm.components_.tobytes()).hexdigest()

if __name__ == "__main__":
    alone = [fit(seed) for seed in range(4)]
"""
JOBLIB = """
    from joblib import Parallel, delayed
    others = Parallel(n_jobs=2, backend={backend!r})(delayed(fit)(seed, float(sys.argv[1])) for seed in range(4))
    assert others == alone, (others, alone)
"""
FORK = """
    import os, warnings
    warnings.simplefilter("ignore")
    child = os.fork()
    if child == 0:
        os._exit(0 if [fit(seed) for seed in range(4)] == alone else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("long_work", [1e8, -1.0])  # if negative, main threads always wait
@pytest.mark.parametrize("case", ["loky", "threading", "multiprocessing", "fork"])
def test_fit_in_workers(case, long_work, tmp_path):
    if case == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    script = tmp_path / "job.py"
    script.write_text(SETUP + (FORK if case == "fork" else JOBLIB.format(backend=case)))
    package = os.path.dirname(os.path.dirname(os.path.abspath(__import__("skprune").__file__)))
    out = subprocess.run(
        [sys.executable, str(script), str(long_work)],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=900,  # only so that a hang ends: a busy machine compiles slowly
    )
    assert out.returncode == 0, out.stderr
