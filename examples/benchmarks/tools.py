"""What the benchmarks share: data, clocks, the machine's limits, results on disk."""

import csv
import os
import pathlib
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

RESULTS = pathlib.Path(__file__).parents[1] / "results"


def structured_data(n_rows, n_features=784, n_parts=40, seed=0):
    """0/1 rows made of random parts, so that training has something to learn."""
    rng = np.random.default_rng(seed)
    parts = rng.uniform(size=(n_parts, n_features)) < 0.06
    chosen = rng.uniform(size=(n_rows, n_parts)) < 0.1
    X = (chosen.astype(np.float32) @ parts) > 0
    return (X ^ (rng.uniform(size=X.shape) < 0.01)).astype(np.uint8)


def seconds(function):
    """Wall time of one call, after a pause in which threads of the last one stop spinning."""
    time.sleep(0.1)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rbms_machine(data, hidden, rate, n_chains):
    """(data set, machine, optimizer, chains) of the peer ``rbms``, for float32 0/1 rows."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.dataset.dataset_class import RBMDataset

    n = len(data)
    given = RBMDataset(
        data=data, labels=np.zeros(n), weights=np.ones(n, np.float32),
        names=np.arange(n).astype(str), dataset_name="benchmark", is_binary=True, device="cpu",
    )  # fmt: skip
    machine = BBRBM.init_parameters(
        num_hiddens=hidden, dataset=given, device=torch.device("cpu"), dtype=torch.float32
    )
    machine.init_grad()
    optimizer = torch.optim.SGD(machine.parameters(), lr=rate, maximize=True)
    return given, machine, optimizer, machine.init_chains(n_chains)


def rbms_step(given, rows, chains, machine, optimizer):
    """Its own gradient step: PCD-1, centred; returns the chains."""
    from rbms.training.pcd import fit_batch_pcd

    optimizer.zero_grad(set_to_none=False)
    chains, _ = fit_batch_pcd(
        (given.data[rows], given.weights[rows]), chains, machine,
        gibbs_steps=1, beta=1.0, centered=True,
    )  # fmt: skip
    optimizer.step()
    return chains


def best_rate(function, amount, repeats=30):
    """Largest ``amount`` a second of ``repeats`` calls."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return amount / best


def peak_product(dtype, size=1536):
    """Floating-point operations a second of a large matrix product, with all threads."""
    a = np.random.default_rng(0).normal(size=(size, size)).astype(dtype)
    return best_rate(lambda: a @ a, 2.0 * size**3, repeats=8)


def peak_cache():
    """Bytes a second that dot products read from the second-level caches of all cores."""
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size, times = 1 << 16, 400

    def read(seed):
        a, b = np.random.default_rng(seed).normal(size=(2, size)).astype(np.float32)
        return best_rate(lambda: [a @ b for _ in range(times)], 8.0 * size * times)

    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as threads:
        return sum(threads.map(read, range(n_threads)))


def peak_memory():
    """Bytes a second that a dot product reads from memory, with all threads."""
    a = np.ones(1 << 26, dtype=np.float32)
    return best_rate(lambda: a @ a[::-1][::-1], 4.0 * a.size, repeats=5)


def processor():
    """Name of the processor, as the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def description(*packages):
    """The machine and the versions that a result depends on, in a line."""
    threads = sorted({library["num_threads"] for library in threadpool_info()})
    versions = []
    for package in ("numpy", "scikit-learn", "numba", *packages):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{processor()}, {os.cpu_count()} cores, BLAS threads {threads}; " + ", ".join(versions)


def save(rows, name):
    """Write rows (dicts) to the results, in place of those of an earlier run."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
