"""numba's cache in places that fight it."""

import os
import subprocess
import sys

FIT = """
import numpy as np
from skprune import PrunedBernoulliRBM
X = np.random.RandomState(0).randint(0, 2, (50, 12)).astype(np.float32)
print(repr(float(PrunedBernoulliRBM(4, n_iter=1, random_state=0).fit(X).components_.sum())))
"""


def test_read_only_cache_directory_is_no_error(tmp_path):
    """numba refuses to import cached functions where it finds no writable place; we do not."""
    package = os.path.dirname(os.path.dirname(__import__("skprune").__file__))
    code = (
        "import numba.core.caching as c\n"
        "def none(*a, **k): raise RuntimeError('cannot cache function: no locator available')\n"
        "c.CacheImpl.__init__ = none\n" + FIT
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": package},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert float(out.stdout) != 0
