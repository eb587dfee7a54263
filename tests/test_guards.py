"""Kernels stay inside their arrays: with bounds checks, and with guard values around every array."""

import os
import pkgutil
import subprocess
import sys
import types
from importlib import import_module

import numpy as np
import pytest
from scipy import sparse

import skprune
from skprune._kernels import loading, simd
from skprune._machine import inference
from tests import every_kernel
from tests.test_fuzz import LONG

GUARD = 256  # bytes before and behind each array
BYTE = 0xFF  # NaN in a float, -1 or the largest value in an integer


class Guarded:
    """Calls a kernel with copies of its arrays that have guard values around them.

    A read beyond an array brings in NaN or a wild index, and a write changes a guard value.
    """

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, *args):
        copies = {}
        given = [self._guarded(arg, copies) for arg in args]
        result = self.kernel(*given)
        for array, copied, raw in copies.values():
            for guard in (raw[: copied.start], raw[copied.stop :]):
                assert (guard == BYTE).all(), f"{self.kernel.__name__} writes beyond an array"
            if array.flags.writeable:
                array[...] = raw[copied].view(array.dtype).reshape(array.shape)
        return result

    def _guarded(self, thing, copies):
        if isinstance(thing, tuple):
            parts = [self._guarded(part, copies) for part in thing]
            return type(thing)(*parts) if hasattr(thing, "_fields") else tuple(parts)
        if not isinstance(thing, np.ndarray) or not thing.size or not thing.flags.c_contiguous:
            return thing
        place = thing.__array_interface__["data"][0], thing.shape, thing.dtype
        if place not in copies:
            raw = np.full(thing.nbytes + 2 * GUARD + simd.VECTOR_BYTES, BYTE, np.uint8)
            start = GUARD - (raw.__array_interface__["data"][0] + GUARD) % -simd.VECTOR_BYTES
            copied = slice(start, start + thing.nbytes)
            raw[copied] = np.ascontiguousarray(thing).view(np.uint8).ravel()
            copies[place] = thing, copied, raw
        _, copied, raw = copies[place]
        array = raw[copied].view(thing.dtype).reshape(thing.shape)
        array.flags.writeable = thing.flags.writeable
        return array


class GuardedModule:
    """A module of kernels, each of which is guarded."""

    def __init__(self, module, called):
        self._module, self._called = module, called

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if not hasattr(found, "py_func"):
            return found
        self._called.add(name)
        return Guarded(found)


def guard_kernels(monkeypatch):
    """Guard every kernel that Python calls; return the set of names of those that are called."""
    called = set()
    for info in pkgutil.walk_packages(skprune.__path__, "skprune."):
        if "._kernels" in info.name:
            continue
        module = import_module(info.name)
        for name, value in list(vars(module).items()):
            if isinstance(value, types.ModuleType) and value.__name__.startswith(
                "skprune._kernels."
            ):
                monkeypatch.setattr(module, name, GuardedModule(value, called))
    return called


# Kernels that the work must reach, so that the guards are known to work.
REACHED = {
    "load_dense", "load_csr", "load_bits_dense", "load_bits_csr", "load_minibatches_dense",
    "load_minibatches_csr", "store_rows", "train_minibatches", "descend_minibatches",
    "wake_sleep_minibatches", "gibbs_sweeps", "anneal", "tempered_sweep", "mean_field", "feed_forward",
    "hidden_means", "update_layer", "fields", "pseudo_log_likelihood", "count_pairs", "draw_one_of",
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_stay_inside_their_arrays(monkeypatch, dtype):
    """No guard value changes, and none is read: the results are those without guards."""
    plain = every_kernel.exercise([dtype])
    guarded = guard_kernels(monkeypatch)
    with_guards = every_kernel.exercise([dtype])
    reached = REACHED - (set() if simd.TARGET.packs else {"load_bits_csr", "load_bits_dense"})
    if dtype == np.float64:  # no look-up by table
        reached -= {"load_bits_csr", "load_bits_dense"}
    assert reached <= guarded, reached - guarded
    assert with_guards.keys() == plain.keys()
    for name, arrays in plain.items():
        for ours, theirs in zip(with_guards[name], arrays, strict=True):
            assert np.isfinite(theirs).all()
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_guards_notice_what_they_are_for():
    """A kernel that gets too large a buffer for its data reads and writes beyond the data."""
    kernel = Guarded(loading.load_dense)
    data, out = np.ones((2, 3)), np.zeros((3, 4))
    kernel(data, np.arange(2), out)
    np.testing.assert_array_equal(out[:, :2], 1)
    wide = np.zeros((7, 4))
    kernel(data, np.arange(2), wide)
    assert np.isnan(wide).any()  # read beyond the data
    matrix = sparse.csr_array(np.eye(4))
    with pytest.raises(AssertionError, match="writes beyond an array"):
        Guarded(loading.load_csr)(inference.csr_rows(matrix), np.arange(4), np.zeros((3, 4)))


def run_with_bounds_checks(code):
    """Run code in a process in which numba checks bounds, with kernels compiled for it alone."""
    cache = os.environ.get("NUMBA_CACHE_DIR")
    root = os.path.dirname(os.path.dirname(os.path.abspath(skprune.__file__)))
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": root}
    # A cache does not know whether its kernels check bounds, so this one is kept apart.
    cache = os.path.join(cache or os.path.join(root, "__pycache__"), "bounds")
    environment["NUMBA_CACHE_DIR"] = cache
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True
    )


def test_bounds_checks_reach_our_kernels():
    """numba's variable holds for kernels compiled with our flags, and for the parts they call."""
    code = (
        "import numpy as np\n"
        "from skprune._kernels import loading\n"
        "loading.load_dense(np.zeros((2, 3)), np.arange(2), np.zeros((5, 4)))\n"
    )
    done = run_with_bounds_checks(code)
    assert done.returncode == 1
    assert "IndexError" in done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"] if LONG else ["float32"])
def test_kernels_stay_inside_their_arrays_with_bounds_checks(dtype):
    done = run_with_bounds_checks(
        f"from tests import every_kernel; print(len(every_kernel.exercise(['{dtype}'])))"
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_every_lane_beyond_the_samples_is_zero():
    """Kernels compute whole vectors of lanes. What they leave there must not come from elsewhere."""
    for n_samples in (1, 7, 65):
        states = inference.states_array(3, n_samples, np.float32)
        assert states.shape[1] >= n_samples
        assert not states.any()
        assert states.__array_interface__["data"][0] % simd.VECTOR_BYTES == 0
