"""Teams of threads, which run one kernel together.

Kernels release the GIL. A team runs one kernel in several threads, which wait for each other at
barriers inside the kernel (about 0.1 microseconds). The result has the same bits for any number of
threads. BLAS is limited to one thread while a kernel runs, so that it does not compete for cores.

Python handles an interrupt such as Ctrl-C in the main thread, and not before a kernel that runs
there has returned. Long work therefore runs in other threads, while the main thread waits. If it is
interrupted, or if any thread raises an exception, the abort flag of the team is set. Kernels read
the flag in their outer loops and return early, and the exception is raised when all threads have
stopped. Short work runs in the calling thread, because starting another thread costs about 50
microseconds.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import lru_cache, partial
from queue import Empty, SimpleQueue

import numpy as np
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

BARRIER_SLOTS = 24  # counter, generation and abort flag, each on a separate cache line
ABORT_SLOT = 16


MIN_WORK = 2e6  # connection updates, below which one thread is faster
LONG_WORK = 1e8  # connection updates of one kernel, above which the main thread waits (5 to 200 ms)
LONGEST_WAIT = 0.1  # seconds without a look at interrupts that do not wake the main thread


@lru_cache(maxsize=1)
def _blas():
    return ThreadpoolController().select(user_api="blas")


class _SerialBlas:
    """Context manager that limits BLAS to one thread until the last of its users exits."""

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                self._limit = _blas().limit(limits=1)
            self._users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


_serial_blas = _SerialBlas()


def allowed_threads() -> int:
    """Return the number of threads that a team may use.

    This is the smallest of three numbers: the processors that are available to the process, the
    threads that BLAS may use, and ``OMP_NUM_THREADS``. Workers of joblib and
    ``threadpoolctl.threadpool_limits`` set the second one. Outside the main thread the result is 1,
    because the caller may already run one call per thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return 1
    limits = [cpu_count()]
    limits += [library.num_threads for library in _blas().lib_controllers]
    environment = os.environ.get("OMP_NUM_THREADS", "")
    if environment.isdigit():
        limits.append(int(environment))
    return max(1, min(limits))


class _Workers:
    """Threads that run jobs until they are closed."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, n_threads) -> int:
        """Start threads until there are ``n_threads``; return how many the system allows."""
        while len(self._threads) < n_threads:
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # too many threads, or the interpreter is ending
                break
            self._threads.append(thread)
        return len(self._threads)

    def run(self, job):
        """Let one of the threads call ``job``."""
        self._jobs.put(job)

    def _work(self):
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()

    def close(self):
        """End the threads when they have finished their jobs."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class Team:
    """Threads that run kernels together within a ``with`` block.

    Parameters
    ----------
    work : float, default=inf
        Approximate number of connection updates in the block. If it is small, one thread is used.
    n_threads : int, default=None
        Number of threads. If None, :func:`allowed_threads` is used.

    Attributes
    ----------
    barrier : ndarray of int64 of shape (BARRIER_SLOTS,)
        Where the threads meet. It also holds the abort flag, which kernels read.
    """

    def __init__(self, work=np.inf, n_threads=None) -> None:
        self.work = work
        self.n_threads = 1
        if work > MIN_WORK:
            self.n_threads = allowed_threads() if n_threads is None else n_threads
        self.barrier = np.zeros(BARRIER_SLOTS, dtype=np.int64)
        self._workers: _Workers | None = None
        self._has_serial_blas = False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            if self._workers is not None:
                self._workers.close()
                self._workers = None
        finally:
            if self._has_serial_blas:
                self._has_serial_blas = False
                _serial_blas.__exit__(*exception)

    @property
    def is_stopping(self) -> bool:
        """Whether a thread has failed or was interrupted, so that the others should return."""
        return bool(self.barrier[ABORT_SLOT])

    def run(self, kernel, *args, work=None):
        """Call ``kernel(*args, barrier, thread, n_threads)`` once in each thread.

        Kernels begin with a barrier. BLAS is limited to one thread from the first call to the end
        of the ``with`` block.

        Parameters
        ----------
        kernel : callable
            Kernel to call.
        *args
            Its arguments, without the last three.
        work : float, default=None
            Approximate number of connection updates in this call. If None, that of the team.
        """
        if not self._has_serial_blas:
            _serial_blas.__enter__()
            self._has_serial_blas = True
        barrier = self.barrier
        waits = self._waits(self.work if work is None else work)
        if self.n_threads == 1 and not waits:
            kernel(*args, barrier, 0, 1)
            return

        def part(thread, n_threads):
            kernel(*args, barrier, thread, n_threads)

        self._together(part, self.n_threads, waits)

    def map(self, function, items, work=None) -> list:
        """Return ``[function(item) for item in items]``, computed in all threads.

        If a call fails, no further calls are started, and its error is raised.

        Parameters
        ----------
        function : callable
            Function of one item. If it calls long kernels, it gives them the ``barrier`` of the
            team, which holds the abort flag.
        items : iterable
            Items, which are taken in this order.
        work : float, default=None
            Approximate number of connection updates for all items together, each of which calls one
            kernel. If None, that of the team.

        Returns
        -------
        results : list
        """
        items = list(items)
        work = self.work if work is None else work
        waits = bool(items) and self._waits(work / len(items))
        if min(self.n_threads, len(items)) <= 1 and not waits:
            return [function(item) for item in items]
        results = [None] * len(items)
        numbers, lock, barrier = iter(range(len(items))), threading.Lock(), self.barrier

        def part(thread, n_threads):
            while not barrier[ABORT_SLOT]:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                results[number] = function(items[number])

        self._together(part, min(self.n_threads, len(items)), waits)
        return results

    def _waits(self, work) -> bool:
        """Return whether the caller is the main thread, and a kernel would keep it for too long.

        It then leaves the kernels to other threads, so that it can be interrupted.
        """
        return work > LONG_WORK and threading.current_thread() is threading.main_thread()

    def _together(self, part, n_threads, waits):
        """Call ``part(thread, n_threads)`` for each thread, and raise the first exception of any."""
        if self._workers is None:
            self._workers = _Workers()
        n_started = self._workers.start(n_threads if waits else n_threads - 1)
        waits = waits and n_started > 0
        n_threads = min(n_threads, n_started + (not waits))
        try:
            if n_threads > 1 or waits:
                self._in_threads(part, n_threads, waits)
            else:
                part(0, 1)
        except BaseException:
            self.barrier = np.zeros(BARRIER_SLOTS, dtype=np.int64)
            raise

    def _in_threads(self, part, n_threads, waits):
        """Call ``part`` in the workers, and in the calling thread unless it waits."""
        barrier, ended = self.barrier, SimpleQueue()
        unfinished, running, errors = set(range(n_threads)), set(), []

        def job(thread):
            running.add(thread)
            try:
                if not barrier[ABORT_SLOT]:
                    part(thread, n_threads)
            except BaseException as error:
                barrier[ABORT_SLOT] = 1
                errors.append(error)
            finally:
                unfinished.discard(thread)
                running.discard(thread)
                ended.put(thread)

        try:
            for thread in range(0 if waits else 1, n_threads):
                self._workers.run(partial(job, thread))
            if not waits:
                job(0)
            while unfinished:
                with suppress(Empty):
                    ended.get(timeout=LONGEST_WAIT)
        except BaseException:  # a job that has not begun yet sees the flag, and does nothing
            barrier[ABORT_SLOT] = 1
            while running:
                with suppress(BaseException):  # this exception is raised, not a second interrupt
                    ended.get(timeout=LONGEST_WAIT)
            raise
        if errors:
            try:
                raise errors[0]
            finally:
                errors.clear()


def uninterrupted(function, *args):
    """Return ``function(*args)``, which is not interrupted halfway.

    In the main thread, the function runs in another thread. If the main thread is interrupted
    meanwhile, the exception is raised when the function has returned.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args)
    with Team(n_threads=1) as team:
        return team.map(lambda _: function(*args), [None])[0]


BLOCK = 256  # samples per block; fixed, so that no result depends on the number of threads


def blocks(n_samples, size=BLOCK) -> list:
    """Return slices of fixed size over the samples."""
    return [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]
