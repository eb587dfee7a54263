"""numba's cache in places that fight it."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np

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


def test_kernels_just_compiled_and_kernels_from_disk_give_the_same_bits(tmp_path):
    """Whatever else the process compiled or loaded before."""
    package = os.path.dirname(os.path.dirname(__import__("skprune").__file__))
    environment = {
        **os.environ, "PYTHONPATH": package, "NUMBA_CACHE_DIR": str(tmp_path),
    }  # fmt: skip
    code = (
        "import numpy as np, hashlib\n"
        "from skprune import PrunedBernoulliRBM\n"
        "X = (np.random.RandomState(0).uniform(size=(300, 60)) < 0.3).astype(np.uint8)\n"
        "rbm = PrunedBernoulliRBM(30, n_iter=3, initial_sparsity=0.8, random_state=0).fit(X)\n"
        "arrays = rbm.components_, rbm.intercept_hidden_, rbm.transform(X), rbm.score_samples(X)\n"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in arrays)).hexdigest())\n"
    )

    def run():
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=300, check=True,
        ).stdout  # fmt: skip

    assert run() == run() != ""


def test_an_upgrade_is_not_served_the_old_kernels(tmp_path):
    """Same cache, other code: what is compiled follows the file, and the old file's is not used."""
    source = pathlib.Path(__import__("skprune").__file__).parent
    shutil.copytree(source, tmp_path / "skprune", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = tmp_path / "skprune" / "_kernels.py"
    environment = {
        **os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    code = (
        "import numpy as np\n"
        "from skprune import _kernels\n"
        "total = np.zeros(3)\n"
        "_kernels.add_softplus(np.zeros((1, 8)), total)\n"
        "print(total[0], sum(_kernels.add_softplus.stats.cache_hits.values()))\n"
    )

    def run():
        out = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        value, hits = out.stdout.split()
        return float(value), int(hits)

    assert run() == (np.log(2), 0)
    assert run() == (np.log(2), 1)
    text = kernels.read_text()
    assert text.count("def add_softplus(field, total):") == 1
    kernels.write_text(
        text.replace("@_kernel_with_arrays\ndef add_softplus(", "@_kernel_with_arrays\ndef old(", 1)
        + "\n\n@_kernel_with_arrays\ndef add_softplus(field, total):\n    total += 1.5\n"
    )
    assert run() == (1.5, 0)
