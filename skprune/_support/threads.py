"""Teams of threads, which run one kernel together.

Kernels release the GIL. A team runs one kernel in several threads, which wait for each other at
barriers inside the kernel (about 0.1 microseconds). The result has the same bits for any number of
threads. BLAS is limited to one thread while a kernel runs, so that it does not compete for cores.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

BARRIER_SLOTS = 24  # counter, generation and abort flag, each on a separate cache line
ABORT_SLOT = 16


MIN_WORK = 2e6  # connection updates, below which one thread is faster


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


class Team:
    """Threads that run kernels together within a ``with`` block.

    Parameters
    ----------
    work : float, default=inf
        Approximate number of connection updates in the block. If it is small, one thread is used.
    n_threads : int, default=None
        Number of threads. If None, :func:`allowed_threads` is used.
    """

    def __init__(self, work=np.inf, n_threads=None):
        self.n_threads = 1
        if work > MIN_WORK:
            self.n_threads = allowed_threads() if n_threads is None else n_threads

    def __enter__(self):
        self._has_serial_blas = False
        self._pool = ThreadPoolExecutor(self.n_threads - 1) if self.n_threads > 1 else None
        return self

    def __exit__(self, *exception):
        try:
            if self._pool is not None:
                self._pool.shutdown()
        finally:
            if self._has_serial_blas:
                _serial_blas.__exit__(*exception)

    def run(self, kernel, *args):
        """Call ``kernel(*args, barrier, thread, n_threads)`` once in each thread.

        Kernels begin with a barrier. If a thread cannot be started, the others are released from
        the barrier and return at once. BLAS is limited to one thread from the first call to the end
        of the ``with`` block.
        """
        if not self._has_serial_blas:
            _serial_blas.__enter__()
            self._has_serial_blas = True
        barrier = np.zeros(BARRIER_SLOTS, dtype=np.int64)
        if self.n_threads == 1:
            kernel(*args, barrier, 0, 1)
            return

        def work(thread):
            try:
                kernel(*args, barrier, thread, self.n_threads)
            except BaseException:
                barrier[ABORT_SLOT] = 1
                raise

        others = []
        try:
            for thread in range(1, self.n_threads):
                others.append(self._pool.submit(work, thread))
            work(0)
        except BaseException:
            barrier[ABORT_SLOT] = 1
            raise
        finally:
            for other in others:
                other.result()

    def map(self, function, items) -> list:
        """Return ``[function(item) for item in items]``, computed in all threads.

        If a call fails, no further calls are started, and its error is raised.
        """
        if self._pool is None:
            return [function(item) for item in items]
        pending = iter(list(enumerate(items)))
        lock = threading.Lock()
        results, failed = {}, threading.Event()

        def work():
            while not failed.is_set():
                with lock:
                    number, item = next(pending, (None, None))
                if number is None:
                    return
                try:
                    results[number] = function(item)
                except BaseException:
                    failed.set()
                    raise

        others = [self._pool.submit(work) for _ in range(self.n_threads - 1)]
        try:
            work()
        finally:
            for other in others:
                other.result()
        return [results[number] for number in sorted(results)]


BLOCK = 256  # samples per block; fixed, so that no result depends on the number of threads


def blocks(n_samples, size=BLOCK) -> list:
    """Return slices of fixed size over the samples."""
    return [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]
