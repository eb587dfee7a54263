"""
Which connections to keep
=========================

A machine trained on scikit-learn's digits is pruned along one path of
sparsities by several criteria, with two passes of retraining after each step.
One training serves all of them.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.pruning import pruning_path

X = (load_digits().data > 7).astype(np.uint8)
train, test = train_test_split(X, test_size=0.3, random_state=0)
rbm = PrunedBernoulliRBM(64, n_iter=40, random_state=0).fit(train)
sparsities = [0.5, 0.8, 0.9, 0.95, 0.98]

# %%
# ``pruning_path`` gives the machine after every round.

figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    for criterion in ("magnitude", "contribution", "saliency", "fisher", "random"):
        pruner = IterativePruner(
            FrozenEstimator(rbm), criterion=criterion, schedule=sparsities, n_retrain_iter=2,
            random_state=0,
        )  # fmt: skip
        path = pruning_path(pruner, train)
        scores = [machine.score(test) for machine in path.estimators]
        axis.plot(sparsities, scores, "o-", label=criterion)
        print(f"{criterion:14s}" + "".join(f"{score:9.2f}" for score in scores))
    axis.axhline(rbm.score(test), color="k", lw=1, label="full")
axis.set(xlabel="sparsity", ylabel="test log-likelihood (nats)")
axis.legend()
plt.show()
