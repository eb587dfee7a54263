"""numba's cache in places that fight it."""

import os
import pathlib
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

import skprune
from skprune._kernels import compile
from tests import faults

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


def total(x):
    result = 0.0
    for value in x:
        result += value
    return result


@pytest.fixture
def fresh_kernel(tmp_path, monkeypatch):
    """Return a function that makes and calls a kernel as a new process does: (result, hits)."""
    monkeypatch.setattr(compile.numba.config, "CACHE_DIR", str(tmp_path / "cache"))

    def run():
        kernel = compile.kernel_with_arrays(total)
        return kernel(np.arange(4.0)), sum(kernel.stats.cache_hits.values())

    return run


@pytest.mark.parametrize("damage", faults.DAMAGES)
def test_a_damaged_cache_is_a_miss(fresh_kernel, tmp_path, damage):
    """The kernel is compiled anew, and the file is replaced unless a directory is in its place."""
    assert fresh_kernel() == (6, 0)
    assert fresh_kernel() == (6, 1)
    (path,) = (tmp_path / "cache").rglob("*.nbc")
    faults.damage(path, damage, random.Random(0))
    assert fresh_kernel() == (6, 0)
    assert fresh_kernel() == (6, damage != "directory")


@pytest.mark.parametrize("failing", [OSError(28, "No space left on device"), PermissionError()])
@pytest.mark.parametrize("step", ["write_bytes", "replace", "mkdir", "remove"])
def test_a_cache_that_cannot_be_written_is_no_error(
    fresh_kernel, tmp_path, monkeypatch, step, failing
):
    """A disk that fills up, and a directory that vanishes or is locked, only cost the cache."""
    kernel = compile.kernel_with_arrays(total)

    def fails(*args, **kwargs):
        raise failing

    def vanishes(path, content):
        shutil.rmtree(path.parent)
        raise FileNotFoundError(path)

    with monkeypatch.context() as patch:
        if step == "write_bytes":
            patch.setattr(pathlib.Path, "write_bytes", fails)
        elif step == "replace":
            patch.setattr(compile.os, "replace", fails)
        elif step == "mkdir":
            shutil.rmtree(tmp_path / "cache")
            patch.setattr(compile.os, "makedirs", fails)
        else:
            patch.setattr(pathlib.Path, "write_bytes", vanishes)
        assert kernel(np.arange(4.0)) == 6
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [fresh_kernel()[1] for _ in range(2)] == [0, 1]


def test_a_disk_that_fills_up_while_a_file_is_written(fresh_kernel, tmp_path):
    """The system itself refuses to write on, and no part of the file is left."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        assert fresh_kernel() == (6, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert fresh_kernel() == (6, 0)
    assert fresh_kernel() == (6, 1)


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_cache_directory_that_is_a_file_is_not_used(fresh_kernel, tmp_path, monkeypatch, place):
    """numba then takes the next place that it knows."""
    (tmp_path / "cache").write_text("not a directory")
    if place == "below a file":
        monkeypatch.setattr(compile.numba.config, "CACHE_DIR", str(tmp_path / "cache" / "below"))
    assert fresh_kernel()[0] == 6
    assert (tmp_path / "cache").read_text() == "not a directory"


def test_without_a_source_file_nothing_is_kept_on_disk(monkeypatch):
    """For example if the package was removed while it is in use."""

    def gone(function):
        raise FileNotFoundError(function)

    monkeypatch.setattr(compile, "_KernelCache", gone)
    kernel = compile.kernel_with_arrays(lambda x: x + 1)
    assert kernel(1) == 2


def test_files_of_an_older_version_are_removed(tmp_path, monkeypatch):
    """The cache keeps one version of the source files."""
    monkeypatch.setattr(compile, "source_hash", lambda: "a" * 64)
    old = compile._CacheFiles(tmp_path, "module.kernel-1.py311")
    old.save("key", 1)
    other = compile._CacheFiles(tmp_path, "module.kernel-10.py311")
    other.save("key", 2)
    assert (old.load("key"), other.load("key")) == (1, 2)  # kernels do not remove each other
    (tmp_path / "module.gone-1.py311.nbi").write_bytes(b"an index of numba")
    (tmp_path / "notes.txt").write_text("not ours")
    now = f"module.kernel-1.py311.{'b' * 16}.{'0' * 16}.nbc.{'0' * 16}{compile.UNFINISHED}"
    before = now.replace("0", "1")
    for name in (now, before):
        (tmp_path / name).write_bytes(b"part of a file")
    os.utime(tmp_path / before, (0, 0))
    monkeypatch.setattr(compile, "source_hash", lambda: "b" * 64)
    new = compile._CacheFiles(tmp_path, "module.kernel-1.py311")
    assert new.load("key") is None
    new.save("key", 3)
    assert new.load("key") == 3
    assert new.load("another key") is None
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {new._path("key").name, now, "notes.txt"}
    new.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unknown_numba_compiles_without_a_cache(monkeypatch):
    """Where numba's private names are missing, one warning says so."""
    monkeypatch.setattr(compile, "_FunctionCache", object)
    with pytest.warns(RuntimeWarning, match="compiled anew in every process"):
        assert not compile._can_cache()
