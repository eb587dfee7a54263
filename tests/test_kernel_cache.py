"""numba's cache in places that fight it."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import skprune
from skprune._kernels import compile

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


@pytest.fixture
def copied_kernels(tmp_path):
    """Return a function that runs one kernel of a copy of the package: (result, cache hits)."""
    source = pathlib.Path(skprune.__file__).parent
    shutil.copytree(source, tmp_path / "skprune", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cache").mkdir()
    code = (
        "import numpy as np\n"
        "from skprune._kernels import scores\n"
        "total = np.zeros(3)\n"
        "scores.add_softplus(np.zeros((1, 8)), total)\n"
        "print(total[0], sum(scores.add_softplus.stats.cache_hits.values()))\n"
    )

    def run(**environment):
        environment = {
            **os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
            **environment,
        }  # fmt: skip
        out = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert out.returncode == 0, out.stderr
        value, hits = out.stdout.split()
        return float(value), int(hits)

    return run


def test_a_changed_kernel_is_compiled_anew(copied_kernels, tmp_path):
    """The result follows the source file, whatever the cache holds."""
    assert copied_kernels() == (np.log(2), 0)
    assert copied_kernels() == (np.log(2), 1)
    kernels = tmp_path / "skprune" / "_kernels" / "scores.py"
    text = kernels.read_text()
    assert text.count("linear[lane] += max(x, zero)\n") == 1
    kernels.write_text(text.replace("linear[lane] += max(x, zero)\n", "linear[lane] += 1.5\n"))
    value, hits = copied_kernels()
    assert value == pytest.approx(np.log(2) + 1.5)
    assert hits == 0
    assert copied_kernels() == (value, 1)


KERNEL_FILES = sorted(
    path.name for path in (pathlib.Path(skprune.__file__).parent / "_kernels").glob("*.py")
)


@pytest.mark.parametrize("name", KERNEL_FILES)
def test_a_change_in_any_kernel_file_makes_the_cache_stale(name, monkeypatch, tmp_path):
    """Compiled kernels contain code from other files, so the hash covers all of them."""
    before = compile.source_hash.__wrapped__()
    package = pathlib.Path(skprune.__file__).parent / "_kernels"
    shutil.copytree(package, tmp_path / "_kernels")
    monkeypatch.setattr(compile.resources, "files", lambda package: tmp_path / "_kernels")
    assert compile.source_hash.__wrapped__() == before
    with open(tmp_path / "_kernels" / name, "a") as file:
        file.write("\n")
    assert compile.source_hash.__wrapped__() != before


@pytest.mark.parametrize("damage", ["empty", "half", "one byte flipped", "zeros"])
def test_a_damaged_cache_is_a_miss(copied_kernels, tmp_path, damage):
    """The kernel is compiled anew, and the file is replaced."""
    assert copied_kernels() == (np.log(2), 0)
    stored = list((tmp_path / "cache").rglob("*.nbc"))
    assert stored
    for path in stored:
        content = bytearray(path.read_bytes())
        if damage == "empty":
            content = b""
        elif damage == "half":
            content = content[: len(content) // 2]
        elif damage == "zeros":
            content = bytes(len(content))
        else:
            content[len(content) // 2] ^= 255
        path.write_bytes(content)
    assert copied_kernels() == (np.log(2), 0)
    assert copied_kernels() == (np.log(2), 1)


def test_a_cache_that_cannot_be_written_is_no_error(copied_kernels, tmp_path):
    """A directory that vanishes or fills up while kernels compile only costs the cache."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib\n"
        "def write_bytes(path, content):\n"
        "    raise OSError(28, 'No space left on device')\n"
        "pathlib.Path.write_bytes = write_bytes\n"
    )
    assert copied_kernels() == (np.log(2), 0)
    assert copied_kernels() == (np.log(2), 0)
    assert not list((tmp_path / "cache").rglob("*.nbc"))


def test_files_of_an_older_version_are_removed(tmp_path, monkeypatch):
    """The cache keeps one version of the source files."""
    monkeypatch.setattr(compile, "source_hash", lambda: "a" * 64)
    old = compile._CacheFiles(tmp_path, "module.kernel-1.py311")
    old.save("key", 1)
    compile._CacheFiles(tmp_path, "module.kernel-10.py311").save("key", 2)
    monkeypatch.setattr(compile, "source_hash", lambda: "b" * 64)
    new = compile._CacheFiles(tmp_path, "module.kernel-1.py311")
    assert new.load("key") is None
    new.save("key", 3)
    assert new.load("key") == 3
    assert new.load("another key") is None
    assert len(list(tmp_path.iterdir())) == 2  # the other kernel's file stays
    new.flush()
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unknown_numba_compiles_without_a_cache(monkeypatch):
    """Where numba's private names are missing, one warning says so."""
    monkeypatch.setattr(compile, "_FunctionCache", object)
    with pytest.warns(RuntimeWarning, match="compiled anew in every process"):
        assert not compile._can_cache()
