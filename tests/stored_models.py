"""Model files that later versions must load with the same outputs.

Usage::

    python -m tests.stored_models

This writes, for each estimator, ``tests/stored/format<number>-<name>.skops`` with the fitted
estimator and a file ``.npz`` with data and the outputs for them. Existing files are kept: they are
what earlier versions stored.
"""

import pathlib
import zipfile

import numpy as np

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    PrunedGaussianRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._support.stored import FORMAT

FOLDER = pathlib.Path(__file__).parent / "stored"
RBM = PrunedBernoulliRBM(6, n_iter=2, momentum=0.5, random_state=0)
ESTIMATORS = {
    "rbm": RBM,
    "gaussian-rbm": PrunedGaussianRBM(6, sigma="learned", n_iter=2, random_state=0),
    "pruned-rbm": PrunedBernoulliRBM(6, n_iter=2, initial_sparsity=0.7, random_state=0),
    "dbm": DBMTransformer((6, 4), n_iter=2, random_state=0),
    "dbn": SparseDBN((6, 4), rbm=RBM, join_labels=True, fine_tune="up_down", random_state=0),
    "classifier": SparseDBNClassifier((6, 4), rbm=RBM, n_iter=2, random_state=0),
    "autoencoder": SparseDBNAutoencoder((6, 3), rbm=RBM, n_iter=2, random_state=0),
    "pruner": IterativePruner(RBM, sparsity=0.8, n_rounds=2, random_state=0),
    "pruner-cv": IterativePrunerCV(RBM, sparsities=[0.5, 0.8], cv=2, random_state=0),
}
METHODS = ("transform", "predict_proba", "score_samples")


def data():
    """Rows and classes to fit with, in float64."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = (rng.uniform(size=(60, 10)) < np.array([0.2, 0.5, 0.8])[y, None]).astype(np.float64)
    return X, y


def outputs(estimator, X) -> dict:
    """Return what the methods of an estimator return for some rows."""
    return {name: getattr(estimator, name)(X) for name in METHODS if hasattr(estimator, name)}


def main():
    """Write the files that do not exist."""
    import skops.io

    FOLDER.mkdir(exist_ok=True)
    X, y = data()
    for name, estimator in ESTIMATORS.items():
        path = FOLDER / f"format{FORMAT}-{name}.skops"
        if path.exists():
            print(f"{path.name} is kept.")
            continue
        estimator.fit(X, y)
        skops.io.dump(estimator, path, compression=zipfile.ZIP_DEFLATED)
        np.savez_compressed(path.with_suffix(".npz"), X=X[:20], **outputs(estimator, X[:20]))
        print(f"{path.name} is written, {path.stat().st_size / 1024:.0f} KiB.")


if __name__ == "__main__":
    main()
