"""
A deep Boltzmann machine with receptive fields
==============================================

Every hidden unit of the first level sees 3 x 3 pixels: 85 % of that level is absent from the
start. The second level is pruned by magnitude. The top layer's probabilities feed
a logistic regression, and missing halves of images are completed.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skprune import DBMTransformer, IterativePruner
from skprune.connectivity import receptive_fields
from skprune.metrics import encoding_quality
from skprune.plotting import ImagesDisplay

X, y = load_digits(return_X_y=True)
X = (X > 7).astype(np.uint8)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
fields = receptive_fields((8, 8), 3)
dbm = DBMTransformer(
    (64, 100), connectivity=[fields, None], n_iter=30, batch_size=20, random_state=0
)

# %%
# Full and 80 % of the second level gone, after as many passes.

share = 1 - fields.mean()
for sparsity in (0.0, 0.8):
    pruner = IterativePruner(dbm, sparsity=[share, sparsity], n_rounds=3, n_retrain_iter=10).fit(X)
    connections = [int(mask.sum()) for mask in pruner.connectivity_]
    train, test = encoding_quality(pruner.estimator_, X, y, X_test, y_test)
    print(
        f"connections {connections}: accuracy of the probe {train:.4f} (train), {test:.4f} (test)"
    )

# %%
# Lower halves taken away, and completed.

rows = X_test[:10].astype(float)
holes = rows.copy()
holes[:, 32:] = np.nan
completed = pruner.estimator_.complete(holes)
ImagesDisplay(np.vstack([rows, holes, completed])).plot()
plt.show()
