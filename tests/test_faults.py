"""What can fail while a machine works: threads, interrupts, callbacks, disks and kills.

The parts that need processes of their own are in ``tests/faults.py``, which also has a long profile.
No test depends on how fast the machine is: latencies are bounded by a multiple of what they are.
"""

import ctypes
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from joblib import memory as joblib_memory

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, SparseDBNClassifier
from skprune._kernels import compile, contrastive_steps, scores
from skprune._kernels import team as team_kernels
from skprune._machine import inference
from skprune._pruning import memory as pruning_memory
from skprune._support import threads
from skprune._support.compat import CallbackSupportMixin
from skprune._support.threads import ABORT_SLOT, Team, uninterrupted
from tests import faults

PATIENCE = 30.0  # seconds within which an interrupt takes effect on the slowest machine


@pytest.fixture(params=["takes part", "waits"])
def main_thread(request, monkeypatch):
    """Whether the main thread runs a share of the work, or waits for the others."""
    monkeypatch.setattr(threads, "LONG_WORK", -1.0 if request.param == "waits" else np.inf)
    return request.param


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def rbm(**params):
    return PrunedBernoulliRBM(6, **{"n_iter": 1, "warm_start": True, "random_state": 0, **params})


def attributes(estimator):
    return pickle.dumps({k: v for k, v in vars(estimator).items() if k != "n_iter"})


# ------------------------------------------------------------------- threads


@compile.kernel
def meet_twice(met, barrier, thread, n_threads):
    if not team_kernels.meet(barrier, n_threads):
        return
    met[thread] = team_kernels.meet(barrier, n_threads)


@pytest.mark.parametrize(("n_threads", "failing"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 2)])
def test_an_error_in_any_thread_stops_all(main_thread, n_threads, failing):
    """A thread that fails before its kernel begins never meets the others."""
    met = np.zeros(n_threads, bool)

    def kernel(met, barrier, thread, n):
        if thread == failing:
            raise MemoryError("this thread fails")
        meet_twice(met, barrier, thread, n)

    with Team(n_threads=n_threads) as team:
        with pytest.raises(MemoryError, match="this thread fails"):
            team.run(kernel, met)
        assert not met.any()
        assert not team.is_stopping  # the team can be used again
        team.run(meet_twice, met)
        assert met.all()


@pytest.mark.parametrize("failing", [0, 1])
def test_a_fit_whose_thread_fails_raises_and_changes_nothing(
    main_thread, failing, monkeypatch, force_threads
):
    force_threads(2)
    X = faults.data()
    machine = rbm().fit(X)
    machine.score(X)  # keeps log Z, which a fit forgets
    before, kernel = attributes(machine), contrastive_steps.train_minibatches

    def flaky(*args):
        if args[-2] == failing:
            raise MemoryError("no memory for the arguments")
        kernel(*args)

    monkeypatch.setattr(contrastive_steps, "train_minibatches", flaky)
    with pytest.raises(MemoryError, match="no memory for the arguments"):
        machine.fit(X)
    assert attributes(machine) == before
    monkeypatch.undo()
    machine.fit(X)


def test_an_item_that_fails_ends_long_kernels_of_the_others(main_thread):
    """Kernels read the abort flag: these chains would run for hours."""
    X = faults.data()
    machine = rbm().fit(X)
    begun = threading.Event()

    def work(item):
        if item:
            assert begun.wait(60)
            raise RuntimeError("this item fails")
        stack = machine._stack()
        states = [np.zeros((2, bias.size), bias.dtype) for bias in stack.biases]
        begun.set()
        inner = Team(n_threads=1)
        inner.barrier = team.barrier
        inference.gibbs(stack, states, 10**10, 2, np.uint64(1), inner)

    machine.sample(2, n_gibbs_steps=1)  # compile first
    with Team(n_threads=2) as team, pytest.raises(RuntimeError, match="this item fails"):
        team.map(work, range(2))


def test_the_first_of_several_errors_is_raised(main_thread):
    def kernel(barrier, thread, n_threads):
        if thread:
            while not barrier[ABORT_SLOT]:
                time.sleep(0.001)
            raise ValueError("the second error")
        raise KeyError("the first error")

    with Team(n_threads=2) as team, pytest.raises(KeyError, match="the first error"):
        team.run(kernel)


def test_results_do_not_depend_on_who_runs_the_kernels(monkeypatch, force_threads):
    X = faults.data()
    hashes = set()
    for limit in (np.inf, -1.0):
        monkeypatch.setattr(threads, "LONG_WORK", limit)
        for n_threads in (1, 2, 3):
            force_threads(n_threads)
            machine = rbm(n_iter=2).fit(X)
            ais = machine.log_partition("ais", n_chains=100, n_temperatures=20)
            hashes.add(faults.hash_of(machine.components_, machine.transform(X), np.array(ais[:2])))
    assert len(hashes) == 1


def test_a_team_without_new_threads_works_alone(main_thread, monkeypatch):
    """In a container that limits threads, and while the interpreter ends."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    met = np.zeros(3, bool)
    with Team(n_threads=3) as team:
        team.run(meet_twice, met)
        assert met.tolist() == [True, False, False]
        assert team.map(abs, [-1, -2]) == [1, 2]
    assert uninterrupted(abs, -3) == 3


def test_a_team_with_fewer_threads_than_asked_for(main_thread, monkeypatch):
    start, left = threading.Thread.start, [2]

    def grudging(thread):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", grudging)
    met = np.zeros(5, bool)
    with Team(n_threads=5) as team:
        team.run(meet_twice, met)
    assert met.sum() == (2 if main_thread == "waits" else 3)


def test_work_outside_the_main_thread_stays_there(monkeypatch):
    """Interrupts reach the main thread only, so nobody needs to wait for them elsewhere."""
    monkeypatch.setattr(threads, "LONG_WORK", -1.0)

    def idents():
        with Team(n_threads=1) as team:
            return threading.get_ident(), *team.map(lambda _: threading.get_ident(), range(2))

    with ThreadPoolExecutor(1) as pool:
        assert len(set(pool.submit(idents).result())) == 1
    assert len(set(idents())) == 2


def test_nothing_is_started_for_little_work(digits, monkeypatch):
    machine = rbm().fit(digits)
    machine.transform(digits[:1]), machine.free_energy(digits[:1])  # compile first
    monkeypatch.setattr(threading.Thread, "start", None)
    machine.transform(digits[:1])
    machine.free_energy(digits[:1])


def test_waiting_threads_leave_their_core_to_others():
    """By a function that every platform has, whatever it is called there."""
    assert isinstance(team_kernels._YIELD(), int)
    assert team_kernels._sleep() == 0
    for missing in (AttributeError, OSError, TypeError):

        def library(name, missing=missing):
            raise missing

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ctypes, "CDLL", library)
            patch.setattr(sys, "platform", "another")
            assert team_kernels._yield_function() is team_kernels._sleep


# ---------------------------------------------------------------- interrupts


def test_interrupts():
    """Ctrl-C ends every long operation, and leaves the estimator as it was."""
    if not hasattr(os, "kill") or sys.platform == "win32":
        pytest.skip("signals are sent as POSIX systems do")
    latencies = faults.check_interrupts(count=20)
    assert len(latencies) == 20
    assert max(map(max, latencies.values())) < PATIENCE


def test_an_interrupt_while_a_team_works(main_thread):
    """The exception is raised in the main thread when all threads have stopped."""
    stopped = []

    def kernel(barrier, thread, n_threads):
        while not barrier[ABORT_SLOT]:
            time.sleep(0.001)
        time.sleep(0.05)
        stopped.append(thread)

    def wait_for_it():
        with Team(n_threads=2) as team:
            if main_thread == "takes part":  # the interrupt strikes in the share of the main thread
                team.map(lambda item: time.sleep(600) if item == 0 else None, [0])
            team.run(kernel)

    latency = faults.interrupted(wait_for_it, 0.2)
    assert latency is not None and latency < PATIENCE
    assert len(stopped) == (2 if main_thread == "waits" else 0)


def test_a_second_interrupt_does_not_leave_threads_behind(monkeypatch):
    monkeypatch.setattr(threads, "LONG_WORK", -1.0)
    ended = []

    def kernel(barrier, thread, n_threads):
        while not barrier[ABORT_SLOT]:
            time.sleep(0.001)
        threads_module_interrupts()
        time.sleep(0.3)
        ended.append(thread)

    def threads_module_interrupts():
        import _thread

        _thread.interrupt_main()

    def wait_for_it():
        with Team(n_threads=1) as team:
            team.run(kernel)

    assert faults.interrupted(wait_for_it, 0.1) is not None
    assert ended == [0]


def test_the_compiler_is_never_interrupted_halfway():
    done = []

    def slow_compiler():
        time.sleep(0.5)
        done.append(True)
        return "compiled"

    assert uninterrupted(slow_compiler) == "compiled"
    assert faults.interrupted(lambda: uninterrupted(slow_compiler), 0.1) is not None
    assert done == [True, True]
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 // 0)


def test_kernels_compile_outside_the_main_thread():
    seen = []

    @compile.kernel_with_arrays
    def new_kernel(x):
        return x + 1

    inner = new_kernel.compile.args[0]

    def watched(signature):
        seen.append(threading.current_thread())
        return inner(signature)

    new_kernel.compile = compile.partial(uninterrupted, watched)
    assert new_kernel(1) == 2
    assert len(seen) == 1 and seen[0] is not threading.main_thread()


def test_an_interrupted_compilation_does_no_harm():
    if sys.platform == "win32":
        pytest.skip("signals are sent as POSIX systems do")
    (latency,) = faults.check_compiling(waits=[0.3], n_iter=0)  # which compiles few kernels
    assert latency is not None and latency < PATIENCE


def test_large_data_are_examined_in_parts(monkeypatch):
    """The main thread does this, and sees an interrupt only between the calls of a kernel."""
    X = faults.data(50, 8)
    sparse_X = inference.sparse.csr_array(X)
    rng = np.random.RandomState(0)
    machine = rbm(initial_sparsity=0.5).fit(X)
    level = machine._levels[0]
    upper = rng.randint(2, size=(50, 6))
    connections = level.connections
    counts = inference.pair_counts(connections, X, upper)
    calls, kernel = [], scores.is_binary_dense
    monkeypatch.setattr(inference, "AT_ONCE", 16)
    monkeypatch.setattr(scores, "is_binary_dense", lambda part: (calls.append(1), kernel(part))[1])
    assert inference.is_binary(X) and inference.is_binary(sparse_X)
    assert len(calls) == 25 + -(-sparse_X.nnz // 16)
    X[-1, -1] = 2
    assert not inference.is_binary(X) and not inference.is_binary(inference.sparse.csr_array(X))
    X[-1, -1] = faults.data(50, 8)[-1, -1]
    np.testing.assert_array_equal(inference.pair_counts(connections, X, upper), counts)
    matrix = upper.T @ X.astype(int)
    np.testing.assert_array_equal(counts, matrix[level.mask()])


# ----------------------------------------------------------------- callbacks


@pytest.mark.skipif(
    not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn has no callbacks"
)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("make", [rbm, DBMTransformer, SparseDBNClassifier])
def test_a_callback_that_raises_leaves_the_estimator_as_it_was(make, error):
    class Raising:
        def setup(self, *args, **kwargs):
            pass

        teardown = on_fit_task_begin = setup

        def on_fit_task_end(self, *args, **kwargs):
            raise error("from a callback")

    X = faults.data()
    estimator = make().set_params(n_iter=1, warm_start=True, random_state=0)
    estimator.fit(X, X[:, 0])
    before = attributes(estimator)
    estimator.set_callbacks(Raising())
    with pytest.raises(error, match="from a callback"):
        estimator.fit(X, X[:, 0])
    estimator.set_callbacks()
    assert attributes(estimator) == before
    estimator.fit(X, X[:, 0])


# --------------------------------------------------------------------- disks


def test_numba_without_its_compiler_is_refused_at_once():
    done = subprocess.run(
        [sys.executable, "-c", "import skprune"], cwd=faults.ROOT, text=True, capture_output=True,
        env=faults.environment(NUMBA_DISABLE_JIT="1"), timeout=faults.LONGEST,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ImportError: skprune needs the compiler of numba" in done.stderr
    assert "Unset NUMBA_DISABLE_JIT" in done.stderr


def test_a_fit_on_a_full_disk():
    """Rounds cannot be kept, and are computed. The kernel cache has tests of its own."""
    pytest.importorskip("resource")
    want = faults.run("prune", "")
    with tempfile.TemporaryDirectory() as memory:
        assert faults.run("prune", memory, full_disk=True) == want


# ------------------------------------------------------------------- memory=


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A directory with the rounds of a pruner, and the hash of its result."""
    memory = tmp_path_factory.mktemp("kept")
    return memory, pruned(memory)


def pruned(memory):
    pruner = IterativePruner(rbm(), n_rounds=2, memory=memory and str(memory), random_state=0)
    fitted = pruner.fit(faults.data()).estimator_
    return faults.hash_of(fitted.components_, fitted.h_samples_, fitted.intercept_hidden_)


def test_rounds_from_disk_have_the_same_bits(kept):
    assert pruned(None) == kept[1]
    assert pruned(kept[0]) == kept[1]


def flip_a_weight(path):
    """Change a stored number, as a failing disk does without an error."""
    content = bytearray(path.read_bytes())
    machine = pickle.loads(joblib.load(path)[pruning_memory.DIGEST_BYTES :])
    content[content.index(machine.intercept_hidden_.tobytes())] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["weight", *faults.DAMAGES])
@pytest.mark.parametrize("name", ["output.pkl", "metadata.json", "func_code.py"])
def test_a_damaged_round_is_computed_again(kept, tmp_path, name, how):
    memory, want = tmp_path / "memory", kept[1]
    shutil.copytree(kept[0], memory)
    damaged = list(memory.rglob(name))
    assert len(damaged) == (1 if name == "func_code.py" else 3)
    for path in damaged:
        if how == "weight" and name == "output.pkl":
            flip_a_weight(path)
        elif how == "weight":
            faults.damage(path, "bit", random.Random(1))
        else:
            faults.damage(path, how, random.Random(0))
    joblib_memory._FUNCTION_HASHES.clear()  # joblib reads func_code.py once per process
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert pruned(memory) == want
    if name == "output.pkl" and how == "weight":
        (warning,) = found  # later rounds are trained from a machine that is new
        assert "could not be read or written (its checksum is wrong)" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if how != "directory" else "ignore")
        assert pruned(memory) == want  # what was damaged has been replaced


def test_only_errors_of_the_training_are_raised(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("from the training")

    monkeypatch.setattr(PrunedBernoulliRBM, "fit", fails)
    with pytest.raises(ValueError, match="from the training"):
        pruned(tmp_path)


def test_results_of_another_version_are_not_used(tmp_path, monkeypatch):
    calls, fit = [], PrunedBernoulliRBM.fit
    monkeypatch.setattr(
        PrunedBernoulliRBM, "fit", lambda self, X, y=None: (calls.append(1), fit(self, X, y))[1]
    )
    pruned(tmp_path)
    pruned(tmp_path)
    assert len(calls) == 3
    monkeypatch.setattr(pruning_memory, "VERSION", "another version")
    pruned(tmp_path)
    assert len(calls) == 6


def test_a_machine_that_cannot_be_stored_is_trained(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise MemoryError("no memory to pickle")

    monkeypatch.setattr(pruning_memory.pickle, "dumps", fails)
    with pytest.warns(RuntimeWarning, match=r"no memory to pickle.*The machine was trained"):
        found = pruned(tmp_path)
    monkeypatch.undo()
    assert found == pruned(None)


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_memory_that_is_no_directory_is_refused_at_once(tmp_path, place):
    path = tmp_path / "file"
    path.write_text("not a directory")
    path = path / "below" if place == "below a file" else path
    with pytest.raises(OSError, match=r"memory='.*' cannot be used .* Pass a directory"):
        pruned(path)


def test_two_processes_may_share_memory(tmp_path):
    """They start on an empty directory together."""
    children = [
        subprocess.Popen(
            faults.command("prune", tmp_path), cwd=faults.ROOT, env=faults.environment(),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    results = [child.communicate(timeout=faults.LONGEST) for child in children]
    assert [child.returncode for child in children] == [0, 0], results
    assert results[0] == results[1]
    assert "Warning" not in results[0][1]


def test_killed_fits_resume_with_the_same_bits():
    assert faults.check_kills(count=2) == 2
