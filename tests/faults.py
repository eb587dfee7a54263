"""Interrupt, kill and damage: what the package must survive, as often as asked for.

``python -m tests.faults`` runs the long profile and prints the figures of ``docs/reliability.md``.
``python -m tests.faults interrupts --count 100`` runs one part. ``tests/test_faults.py`` runs the same
parts a few times. Each part works in processes of its own, whose time is bounded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
LONGEST = 600  # seconds that a single process may take, unless it does many things in turn


# ----------------------------------------------------------------- in a child


def data(n_samples=300, n_features=40) -> np.ndarray:
    """Return random 0/1 rows."""
    rng = np.random.RandomState(0)
    return (rng.uniform(size=(n_samples, n_features)) < 0.4).astype(np.uint8)


def hash_of(*arrays) -> str:
    """Return a hash of the bits of arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()  # fmt: skip


def _machine(**params):
    from skprune import PrunedBernoulliRBM

    return PrunedBernoulliRBM(**{"n_components": 22, "n_iter": 1, "random_state": 0, **params})


def operations() -> dict:
    """Return operations by name: pairs (estimator, function) that would run for minutes."""
    from skprune import DBMTransformer, IterativePruner, SparseDBN, SparseDBNClassifier
    from skprune.dbn import UpDown

    X = data()
    y = X[:, 0]
    many = np.repeat(X, 20_000, axis=0)
    rbm = _machine(warm_start=True).fit(X)
    wide = _machine(n_components=64, initial_sparsity=0.9, warm_start=True).fit(X)
    dbm = DBMTransformer((30, 20), n_iter=1, warm_start=True, random_state=0).fit(X)
    dbn = SparseDBN(
        (30, 20), rbm=_machine(), join_labels=True, fine_tune=UpDown(n_iter=1), warm_start=True,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    classifier = SparseDBNClassifier(
        (30,), rbm=_machine(), n_iter=1, warm_start=True, random_state=0
    ).fit(X, y)
    pruner = IterativePruner(_machine(n_iter=20_000), random_state=0)
    rbm.transform(X), wide.sample(2, n_gibbs_steps=2), dbn.sample(2, n_gibbs_steps=2)
    for method in ("exact", "reverse_ais"):
        rbm.log_partition(method, n_chains=2, n_temperatures=2, n_tempered_sweeps=1)
    rbm.pseudo_log_likelihood(X), dbm.transform(X), classifier.predict_proba(X)
    ais = {"n_chains": 100, "n_temperatures": 10**6, "spacing": "linear"}
    long = 10**6
    images = data(2000, 784)
    large = _machine(n_components=500, n_iter=0, warm_start=True).fit(images)
    large.set_params(n_iter=1, batch_size=500).fit(images[:500]), large.transform(images[:1])
    exact = _machine(n_components=24, n_iter=0).fit(np.repeat(data(50), 10, axis=1))
    return {
        "fit": (rbm, lambda: rbm.set_params(n_iter=long).fit(X)),
        "fit, pruned": (wide, lambda: wide.set_params(n_iter=long).fit(X)),
        "fit, deep Boltzmann machine": (dbm, lambda: dbm.set_params(n_iter=long).fit(X)),
        "fine-tuning, network": (classifier, lambda: classifier.set_params(n_iter=long).fit(X, y)),
        "fine-tuning, up-down": (dbn, lambda: dbn.set_params(n_iter=long).fit(X, y)),
        "pruning": (pruner, lambda: pruner.fit(X)),
        "transform": (rbm, lambda: rbm.transform(many)),
        "transform, deep Boltzmann machine": (dbm, lambda: dbm.transform(many)),
        "predict_proba": (classifier, lambda: [classifier.predict_proba(many) for _ in range(50)]),
        "exact log Z": (exact, lambda: exact.log_partition("exact")),
        "AIS": (rbm, lambda: rbm.log_partition("ais", **ais)),
        "reverse AIS": (
            rbm,
            lambda: rbm.log_partition("reverse_ais", **ais, n_tempered_sweeps=10**5),
        ),
        "pseudo-log-likelihood": (rbm, lambda: rbm.pseudo_log_likelihood(many)),
        "sample": (wide, lambda: wide.sample(50, n_gibbs_steps=10**7)),
        "sample, one chain": (rbm, lambda: rbm.sample(1, n_gibbs_steps=10**8)),
        "fit, 784 x 500": (large, lambda: large.set_params(n_iter=long).fit(images)),
        "transform, 784 x 500": (large, lambda: [large.transform(images) for _ in range(10**4)]),
        "sample, 784 x 500": (large, lambda: large.sample(500, n_gibbs_steps=10**5)),
        "AIS, 784 x 500": (large, lambda: large.log_partition("ais", **ais)),
        "sample, labels": (dbn, lambda: dbn.sample(50, n_gibbs_steps=10**7)),
    }


def interrupted(function, seconds) -> float | None:
    """Interrupt a call after some seconds; return the latency, or None if the call was faster."""
    # A shell without job control starts background processes with SIGINT ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _interrupted(function, seconds)
    finally:
        signal.signal(signal.SIGINT, handler)


def _interrupted(function, seconds) -> float | None:
    sent, over = [], threading.Event()

    def interrupt():
        if not over.wait(seconds):
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    try:
        timer.start()
        function()
        over.set()
        timer.join()
        time.sleep(0.01)  # a signal that was sent too late arrives here
    except KeyboardInterrupt:
        latency = time.perf_counter() - sent[0]
        timer.join()
        return latency
    return None


def child_interrupts(n_threads, count, seed):
    """Interrupt operations in turn, and print what each left behind as a line of JSON."""
    from threadpoolctl import threadpool_info

    from skprune._support import threads

    threads.allowed_threads = lambda: n_threads
    X, rng = data(), random.Random(seed)
    todo = operations()
    names = list(todo)
    before_all = sorted(library["num_threads"] for library in threadpool_info())
    for number in range(count):
        name = names[(seed * count + number) % len(names)]
        estimator, function = todo[name]
        before = pickle.dumps({k: v for k, v in vars(estimator).items() if k != "n_iter"})
        latency = interrupted(function, rng.uniform(0.02, 0.6))
        after = pickle.dumps({k: v for k, v in vars(estimator).items() if k != "n_iter"})
        blas = sorted(library["num_threads"] for library in threadpool_info())
        left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        row = {"name": name, "latency": latency, "unchanged": before == after}
        print(json.dumps({**row, "blas": blas == before_all, "left": left}), flush=True)
    print(json.dumps({"hash": hash_of(_machine().fit(X).components_)}), flush=True)


def fit_and_transform(n_iter=1) -> str:
    """Return the hash of a fit and of its features."""
    X = data(60, 9)
    machine = _machine(n_components=4, n_iter=n_iter).fit(X)
    return hash_of(machine.components_, machine.transform(X))


def child_compile(wait, n_iter):
    """Interrupt a first fit, fit again, and print the latency and the hash as JSON."""
    _machine()  # imports the package
    latency = interrupted(lambda: fit_and_transform(n_iter), wait)
    print(json.dumps({"latency": latency, "hash": fit_and_transform(n_iter)}), flush=True)


def child_fit():
    """Print the hash of a fit and of its features."""
    print(json.dumps({"hash": fit_and_transform()}), flush=True)


def child_prune(memory):
    """Print the hash of a pruned machine, which is trained through ``memory`` unless it is empty."""
    from skprune import IterativePruner

    print(json.dumps({"ready": True}), flush=True)
    pruner = IterativePruner(
        _machine(n_iter=2), sparsity=0.9, n_rounds=8, memory=memory or None, random_state=0
    ).fit(data())
    fitted = pruner.estimator_
    print(json.dumps({"hash": hash_of(fitted.components_, fitted.h_samples_)}), flush=True)


# ---------------------------------------------------------------- the parent


def command(part, *arguments) -> list:
    """Return the command line of a child."""
    return [sys.executable, "-m", "tests.faults", "--child", part, *map(str, arguments)]


def environment(**variables) -> dict:
    """Return the environment of a child, in which warnings are shown."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "always", **variables}


def run(part, *arguments, timeout=LONGEST, full_disk=False, **variables) -> list:
    """Run a child to its end; return the rows that it printed.

    With ``full_disk`` it cannot write more than 1,000 bytes to any file.
    """
    if full_disk:
        variables["SKPRUNE_TEST_FULL_DISK"] = "1"
    done = subprocess.run(
        command(part, *arguments), cwd=ROOT, env=environment(**variables), text=True,
        capture_output=True, timeout=timeout,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{part} {arguments} ended with {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_interrupts(count=100, seed=0, n_threads=(1, 2)) -> dict:
    """Interrupt operations; return the latencies by name, and raise if anything was left behind."""
    latencies: dict = {}
    hashes = set()
    for number, threads in enumerate(n_threads):
        share = count // len(n_threads)
        *rows, last = run("interrupts", threads, share, seed + number, timeout=LONGEST + 4 * share)
        hashes.add(last["hash"])
        for row in rows:
            if row["latency"] is None or not row["unchanged"] or not row["blas"] or row["left"]:
                raise AssertionError(f"An interrupt left something behind: {row}")
            latencies.setdefault(row["name"], []).append(row["latency"])
    if len(hashes) != 1:
        raise AssertionError("A fit after the interrupts has other bits.")
    return latencies


def check_compiling(waits=(0.5, 3.0, 8.0), n_iter=1) -> list:
    """Interrupt the compilation of a first fit; return latencies, and raise if the next fit fails."""
    latencies, want = [], fit_and_transform(n_iter)
    for wait in waits:
        with tempfile.TemporaryDirectory() as cache:
            (row,) = run("compile", wait, n_iter, NUMBA_CACHE_DIR=cache)
        if row["hash"] != want:
            raise AssertionError("A fit after an interrupted compilation has other bits.")
        latencies.append(row["latency"])
    return latencies


DAMAGES = ("empty", "half", "bit", "zeros", "garbage", "directory", "gone")


def damage(path, how, rng) -> None:
    """Damage a file, or put a directory in its place."""
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    changed = {
        "empty": b"", "half": content[: len(content) // 2], "bit": content,
        "zeros": bytes(len(content)), "garbage": rng.randbytes(1000),
    }  # fmt: skip
    if how in changed:
        path.write_bytes(changed[how])
        return
    path.unlink()
    if how == "directory":
        path.mkdir()


def check_kernel_cache(count=50, seed=0) -> int:
    """Damage files of a kernel cache, one at a time; raise if a fit fails or has other bits."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as work:
        good = pathlib.Path(work) / "good"
        good.mkdir()
        (want,) = run("fit", NUMBA_CACHE_DIR=str(good))
        for number in range(count):
            bad = pathlib.Path(work) / "bad"
            shutil.copytree(good, bad)
            path = rng.choice(sorted(bad.rglob("*.nbc")))
            how = DAMAGES[number % len(DAMAGES)]
            damage(path, how, rng)
            (got,) = run("fit", NUMBA_CACHE_DIR=str(bad))
            if got != want:
                raise AssertionError(f"{path.name}, {how}: a fit has other bits.")
            shutil.rmtree(bad)
    return count


def check_memory(count=50, seed=0) -> int:
    """Damage files below ``memory=``, one at a time; raise if a fit fails or has other bits."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as work:
        good = pathlib.Path(work) / "good"
        want = run("prune", "")
        if run("prune", good) != want:
            raise AssertionError("A fit with memory= has other bits.")
        for number in range(count):
            bad = pathlib.Path(work) / "bad"
            shutil.copytree(good, bad)
            path = rng.choice(sorted(path for path in bad.rglob("*") if path.is_file()))
            how = DAMAGES[number % len(DAMAGES)]
            damage(path, how, rng)
            if run("prune", bad) != want:
                raise AssertionError(f"{path.name}, {how}: a fit has other bits.")
            shutil.rmtree(bad)
    return count


def check_kills(count=50, seed=0) -> int:
    """Kill fits with ``memory=``; raise if a resumed fit fails or has other bits."""
    rng = random.Random(seed)

    def started(memory):
        child = subprocess.Popen(
            command("prune", memory), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        child.stdout.readline()  # it has imported what it needs, and begins
        return child, time.perf_counter()

    run("prune", "")  # compiles the kernels
    child, begun = started("")
    want = child.communicate(timeout=LONGEST)[0]
    span, killed = time.perf_counter() - begun, 0
    with tempfile.TemporaryDirectory() as work:
        memory = pathlib.Path(work) / "memory"
        while killed < count:
            child, _ = started(memory)
            try:
                child.communicate(timeout=rng.uniform(0.0, span))
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                killed += 1
            if child.returncode == 0 or rng.random() < 0.3 or killed == count:
                child, _ = started(memory)
                if child.communicate(timeout=LONGEST)[0] != want:
                    raise AssertionError("A resumed fit has other bits.")
                shutil.rmtree(memory, ignore_errors=True)
    return killed


def main(arguments=None) -> int:
    """Run the parts that are asked for, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parts = ("interrupts", "compiling", "kernel-cache", "memory", "kills")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(parts)}; default: all")
    parser.add_argument("--count", type=int, help="how often, instead of the default of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, *values = options.child
        if os.environ.get("SKPRUNE_TEST_FULL_DISK"):
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if name == "interrupts":
            child_interrupts(*map(int, values))
        elif name == "compile":
            child_compile(float(values[0]), int(values[1]))
        elif name == "fit":
            child_fit()
        else:
            child_prune(*values)
        return 0
    size = {"seed": options.seed} | ({"count": options.count} if options.count else {})
    for part in options.parts or parts:
        started = time.perf_counter()
        if part == "interrupts":
            latencies = check_interrupts(**size)
            for name, found in latencies.items():
                print(f"  {name}: {len(found)} interrupts, at most {max(found):.3f} s")
            text = f"{sum(map(len, latencies.values()))} interrupts"
        elif part == "compiling":
            text = f"latencies while compiling: {check_compiling()} s"
        elif part == "kernel-cache":
            text = f"{check_kernel_cache(**size)} damaged files in the kernel cache"
        elif part == "memory":
            text = f"{check_memory(**size)} damaged files below memory="
        elif part == "kills":
            text = f"{check_kills(**size)} kills"
        else:
            parser.error(f"{part!r} is not a part. Use some of {', '.join(parts)}.")
        print(f"{part}: {text}, all survived, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
