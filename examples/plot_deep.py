"""
A deep network, pruned level by level
=====================================

``SparseDBN`` prunes every level before the next is trained. With the classes
joined to its top level it draws digits of a class asked for, and fine-tuned by
backpropagation, on the connections that are left, it tells them apart.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBN, SparseDBNClassifier
from skprune.plotting import SamplesDisplay

X, y = load_digits(return_X_y=True)
X = (X > 7).astype(np.uint8)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
rbm = PrunedBernoulliRBM(n_iter=40, batch_size=20, l2=1e-3)

# %%
# Full and 80 % pruned, for as many passes: errors after fine-tuning, and the time it took.

for sparsity in (0.0, 0.8):
    pruner = IterativePruner(sparsity=sparsity, n_rounds=3, n_retrain_iter=20)
    dbn = SparseDBN((200, 200), rbm=rbm, pruner=pruner, random_state=0).fit(X)
    classifier = SparseDBNClassifier(
        pretrain=FrozenEstimator(dbn), n_iter=60, batch_size=20, dropout=0.2, random_state=0
    ).fit(X, y)
    n_connections = sum(int(mask.sum()) for mask in classifier.connectivity_)
    print(
        f"sparsity {sparsity:.1f}: {n_connections} connections, test accuracy "
        f"{classifier.score(X_test, y_test):.4f}, {classifier.history_['seconds'].sum():.1f} s"
    )

# %%
# With labels in the top level: predicted by free energy, and drawn class by class.

pruner = IterativePruner(sparsity=0.8, n_rounds=3, n_retrain_iter=20)
dbn = SparseDBN((200, 200), rbm=rbm, pruner=pruner, join_labels=True, random_state=0).fit(X, y)
print(f"by free energy: test accuracy {np.mean(dbn.predict(X_test) == y_test):.4f}")

display = SamplesDisplay.from_estimator(
    dbn, 50, y=np.tile(np.arange(10), 5), n_gibbs_steps=500, probabilities=True, random_state=0
)
display.ax_.set_title("drawn with the class clamped, 80 % of the connections gone")
plt.show()
