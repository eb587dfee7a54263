"""
How many connections can go?
============================

A restricted Boltzmann machine is trained on scikit-learn's digits, made
binary. It is pruned by magnitude to 50, 80, 90, 95 and 98 % sparsity, with and
without retraining after each round. The table, printed as it grows, holds the
test log-likelihood in nats with its standard error (over the test digits, with
that of log Z), the accuracy of logistic regression and of an RBF SVM on the
features (the raw pixels for comparison), and how many times faster fitting a
pass and transforming are than with the full machine.

A machine of 64 × 128 units is too small for pruning to save much time; the
README has the ratios at 784 × 500 units. The full machine of the table was trained for as many passes as the pruned and
retrained ones. Run it with ``python examples/plot_sparsity_tradeoff.py``; the
picture goes to ``sparsity_tradeoff.png``, or to the path given.
"""

import sys
import time
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from skprune import IterativePruner, PrunedBernoulliRBM

SPARSITIES = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98]
PROBES = {
    "logistic regression": LogisticRegression(C=100, max_iter=2000),
    "SVM": SVC(C=10),
}

# %%
# The data: 1,797 images of 8 × 8 pixels, a pixel on where its grey level is
# above 7 of 16.

digits = load_digits()
X = (digits.data > 7).astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(
    X, digits.target, test_size=0.25, stratify=digits.target, random_state=0
)


def probe(features_train, features_test):
    """Accuracy of both probes on these features."""
    return [
        model.fit(features_train, y_train).score(features_test, y_test) for model in PROBES.values()
    ]


def milliseconds(function, repeats=20):
    """Median wall time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * np.median(times)


def measure(machine):
    """One row of the table."""
    values = machine.score_samples(X_test)
    error = np.hypot(values.std() / np.sqrt(values.size), machine.log_partition().standard_error)
    timed = deepcopy(machine.estimator_).set_params(warm_start=True, n_iter=8)
    pass_ms = 1e3 * np.median(timed.fit(X_train).history_["seconds"])
    transform_ms = milliseconds(lambda: timed.transform(X_train))
    return {
        "connections": int(machine.connectivity_[0].sum()),
        "log-likelihood": values.mean(),
        "error": error,
        "probes": probe(machine.transform(X_train), machine.transform(X_test)),
        "pass ms": pass_ms,
        "transform ms": transform_ms,
        "filters": machine.estimator_.components_,
    }


# %%
# Train, prune, measure. One machine is trained for every row, with the same
# seed, so the rows differ in sparsity and retraining alone.

raw = probe(X_train, X_test)
print(f"raw pixels: logistic regression {raw[0]:.3f}, SVM {raw[1]:.3f}\n")
print(
    "                                            accuracy            times faster\n"
    "retrained  sparsity  connections  log-lik. (nats)  log. reg.   SVM   a pass  transform"
)
rows = {}
for retrain in ("continue", None):
    for sparsity in SPARSITIES:
        rbm = PrunedBernoulliRBM(128, n_iter=20, batch_size=20, learning_rate=0.15, random_state=0)
        pruner = IterativePruner(rbm, sparsity=sparsity, n_rounds=4, retrain=retrain)
        row = rows[retrain, sparsity] = measure(pruner.fit(X_train))
        full = rows[retrain, 0.0]
        print(
            f"{'yes' if retrain else 'no':>9}  {sparsity:8.2f}  {row['connections']:11d}  "
            f"{row['log-likelihood']:8.2f} ± {row['error']:.2f}  "
            f"{row['probes'][0]:9.3f}  {row['probes'][1]:.3f}  "
            f"{full['pass ms'] / row['pass ms']:6.1f}  "
            f"{full['transform ms'] / row['transform ms']:9.1f}",
            flush=True,
        )

# %%
# The picture: both trade-offs, and the receptive fields of the sixteen hidden
# units with the largest weights, before and after pruning 90 %.

figure = plt.figure(figsize=(12, 7), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=[1.15, 1])
left, right = upper.subplots(1, 2)
percent = 100 * np.array(SPARSITIES)
for retrain, style, label in (("continue", "o-", "retrained"), (None, "s--", "not retrained")):
    path = [rows[retrain, sparsity] for sparsity in SPARSITIES]
    left.errorbar(
        percent, [row["log-likelihood"] for row in path], [2 * row["error"] for row in path],
        fmt=style, capsize=3, label=label,
    )  # fmt: skip
    for number, name in enumerate(PROBES):
        right.plot(
            percent, [row["probes"][number] for row in path], style, color=f"C{number}",
            label=f"{name}, {label}",
        )  # fmt: skip
best = max(row["log-likelihood"] for row in rows.values())
left.set(xlabel="sparsity (%)", ylabel="test log-likelihood (nats)", ylim=(best - 16, best + 1.5))
left.legend()
for number, name in enumerate(PROBES):
    right.axhline(raw[number], color=f"C{number}", linestyle=":", label=f"{name}, raw pixels")
right.set(xlabel="sparsity (%)", ylabel="test accuracy", ylim=(0.8, 1.0))
right.legend(loc="lower left", fontsize="small", ncols=2)
for panel, key, title in zip(
    lower.subfigures(1, 2),
    (("continue", 0.0), ("continue", 0.9)),
    ("full", "90 % pruned, retrained"),
    strict=True,
):
    filters = rows[key]["filters"]
    strongest = np.argsort(-np.linalg.norm(filters, axis=1))[:16]
    panel.suptitle(f"receptive fields, {title}")
    for axis, unit in zip(panel.subplots(2, 8).ravel(), strongest, strict=True):
        limit = np.abs(filters[unit]).max()
        axis.imshow(filters[unit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.axis("off")
path = (
    sys.argv[1]
    if len(sys.argv) > 1 and sys.argv[0].endswith("tradeoff.py")
    else "sparsity_tradeoff.png"
)
figure.savefig(path, dpi=110)
print(f"\npicture saved as {path}")
