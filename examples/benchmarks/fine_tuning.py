"""Seconds an epoch of fine-tuning, 784-500-500-2000 on MNIST: ours full and 92 % pruned, and the peers.

scikit-learn's MLPClassifier and torch (CPU) train networks of the same sizes with the
same minibatches and plain stochastic gradient descent with momentum, in float32. Each has a process of its own,
so that no pool of threads spins beside another's; turns alternate; medians, and ratios over the pruned network's
time in the same turn.

Run: ``python examples/benchmarks/fine_tuning.py [--turns 5]``.
"""

import argparse
import statistics
import time
import warnings
from multiprocessing import get_context

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from tools import description, save, seconds

from skprune import SparseDBNClassifier, datasets

SIZES, BATCH, SPARSITY = (500, 500, 2000), 100, 1 - 0.7**7
EPOCHS = 3  # a turn


def ours(X, y, sparsity):
    """A network that is warm, and its epoch."""
    network = SparseDBNClassifier(
        SIZES,
        pretrain=None,
        n_iter=0,
        solver="sgd",
        learning_rate=0.01,
        batch_size=BATCH,
        random_state=0,
    ).fit(X, y)
    if sparsity:
        rng = np.random.default_rng(0)
        network.set_connectivity(
            [rng.uniform(size=mask.shape) >= sparsity for mask in network.connectivity_]
        )
    network.set_params(warm_start=True, n_iter=1).fit(X[:1000], y[:1000])
    return lambda: network.fit(X, y)


def scikit_learn(X, y):
    """Its classifier with the same minibatches."""
    network = MLPClassifier(
        SIZES, activation="logistic", solver="sgd", batch_size=BATCH, learning_rate_init=0.01,
        nesterovs_momentum=False, alpha=0.0, max_iter=1, warm_start=True, random_state=0,
    )  # fmt: skip

    def epoch():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(X, y)

    network.partial_fit(X[:1000], y[:1000], classes=np.unique(y))
    return epoch


def torch_network(X, y):
    """Linear and sigmoid modules, cross-entropy, SGD with momentum, minibatches by index."""
    import torch

    layers, width = [], X.shape[1]
    for size in SIZES:
        layers += [torch.nn.Linear(width, size), torch.nn.Sigmoid()]
        width = size
    network = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
    descent = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    rows, labels = torch.from_numpy(X), torch.from_numpy(y.astype(np.int64))

    def epoch(n_rows):
        order = torch.randperm(n_rows)
        for start in range(0, n_rows, BATCH):
            chosen = order[start : start + BATCH]
            descent.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(network(rows[chosen]), labels[chosen]).backward()
            descent.step()

    epoch(1000)
    return lambda: epoch(len(X))


CONTESTANTS = {
    "full": lambda X, y: ours(X, y, 0.0),
    "pruned": lambda X, y: ours(X, y, SPARSITY),
    "scikit-learn MLPClassifier": scikit_learn,
    "torch": torch_network,
}


def take_turns(name, n_rows, line):
    """In a process of its own: time an epoch whenever asked to."""
    data = datasets.fetch_mnist()
    X = data.X_train[:n_rows] * np.float32(1 / 255)
    try:
        epoch = CONTESTANTS[name](X, np.asarray(data.y_train[:n_rows]))
    except ImportError:
        line.send(None)
        return
    line.send(description("torch"))
    while line.recv():
        line.send(seconds(lambda: [epoch() for _ in range(EPOCHS)]) / EPOCHS)


def main():
    """Take turns, print ratios, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    spawn, lines, machine = get_context("spawn"), {}, ""
    for name in CONTESTANTS:
        line, other = spawn.Pipe()
        spawn.Process(target=take_turns, args=(name, options.rows, other), daemon=True).start()
        told = line.recv()
        if told is None:
            print(f"{name} is not installed and not raced")
            continue
        lines[name], machine = line, told
    times = {name: [] for name in lines}
    for _ in range(options.turns):
        for name, line in lines.items():
            time.sleep(0.5)  # until threads of the last one have stopped spinning
            line.send(True)
            times[name].append(line.recv())
    for line in lines.values():
        line.send(False)
    rows = []
    for name, found in times.items():
        ratios = [theirs / own for theirs, own in zip(found, times["pruned"], strict=True)]
        rows.append(
            {
                "network": name, "seconds": round(statistics.median(found), 3),
                "over_pruned": round(statistics.median(ratios), 2),
                "lowest": round(min(ratios), 2), "highest": round(max(ratios), 2),
                "sparsity": round(SPARSITY, 4) if name == "pruned" else 0.0,
                "rows": options.rows, "batch": BATCH, "turns": options.turns,
                "date": time.strftime("%Y-%m-%d"), "machine": machine,
            }
        )  # fmt: skip
        print(*list(rows[-1].values())[:5])
    save(rows, "fine_tuning.csv")


if __name__ == "__main__":
    main()
