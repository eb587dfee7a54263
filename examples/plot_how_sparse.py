"""
How sparse can it be?
=====================

``IterativePrunerCV`` answers by cross-validation: in every fold a machine is
trained once and pruned along a path of sparsities, beside the full machine that
trains on for as many passes. The answer is the largest sparsity whose test
log-likelihood is within one standard error of the full machine's.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from skprune import IterativePrunerCV, PrunedBernoulliRBM

X = (load_digits().data > 7).astype(np.uint8)
X = X[np.random.default_rng(0).permutation(len(X))]
rbm = PrunedBernoulliRBM(256, n_iter=300, batch_size=20, learning_rate=0.2, l2=1e-3, random_state=0)
rbm.fit(X[:100])  # compiles

# %%
# Six sparsities, three folds, and what they cost.

started = time.perf_counter()
search = IterativePrunerCV(rbm, sparsities=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98), cv=3).fit(X)
path_seconds = time.perf_counter() - started
started = time.perf_counter()
clone(rbm).fit(X[: len(X) * 2 // 3])
full_seconds = time.perf_counter() - started
results = search.cv_results_
for sparsity, pruned, full, tolerance in zip(
    results["sparsity"], results["mean_test_score"], results["mean_full_score"],
    results["tolerance"], strict=True,
):  # fmt: skip
    print(f"{sparsity:4.2f}: pruned {pruned:.2f}, full {full:.2f} - {tolerance:.2f} nats")
print(
    f"chosen: {search.best_sparsity_}; a fold (or the last fit) takes {path_seconds / 4 / full_seconds:.1f} full fits"
)

# %%
# The path, and the tolerance below the full machine.

figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
full, tolerance = results["mean_full_score"], results["tolerance"]
axis.fill_between(
    results["sparsity"], full - tolerance, full, alpha=0.3, label="one standard error"
)
axis.plot(results["sparsity"], results["mean_test_score"], "o-", label="pruned")
axis.axvline(search.best_sparsity_, color="k", lw=1, label="chosen")
axis.set(xlabel="sparsity", ylabel="test log-likelihood (nats)")
axis.legend()
plt.show()
