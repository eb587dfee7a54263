"""Calls as the documentation makes them, for type checkers. Nothing here is run."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune.connectivity import random_dilution, receptive_fields, sparsity
from skprune.criteria import Fisher, LevelView
from skprune.dbn import UpDown
from skprune.pruning import Rewind, Units, pruning_path
from skprune.samplers import ParallelTempering
from skprune.schedules import FallingRate, FractionOfRemaining, StdThreshold


def machines(X: np.ndarray) -> None:
    """Construct machines with every kind of argument that their parameters accept."""
    rbm = PrunedBernoulliRBM(100, n_gibbs_steps=(1, 25), hidden_activity_target=(0.1, 0.5))
    PrunedBernoulliRBM(negative_phase=ParallelTempering(20), learning_rate_schedule=FallingRate())
    PrunedBernoulliRBM(connectivity=sparse.csr_array(np.eye(4)), random_state=0, n_chains=None)
    PrunedBernoulliRBM(
        connectivity=lambda shape, rng: random_dilution(shape, 0.5, rng),
        random_state=np.random.RandomState(0),
        learning_rate_schedule=lambda progress: 1 - progress,
        max_norm=3.0,
    )
    features: np.ndarray = rbm.fit(X).transform(X)
    scores: np.ndarray = rbm.score_samples(X)
    mean: float = rbm.score(X)
    value: float = rbm.log_partition("bracket", n_chains=200).value
    masks: list = rbm.connectivity_
    print(features, scores, mean, value, masks, rbm.sample(10, clamped=X[0], random_state=0))
    DBMTransformer((100, 50), connectivity=[receptive_fields((20, 20), 5), None], pretrain=False)
    DBMTransformer(40, pretrain=[PrunedBernoulliRBM(n_iter=5)], negative_phase="tempering")
    SparseDBN([("first", rbm), ("second", PrunedBernoulliRBM(20))], fine_tune="up_down")
    SparseDBN((100, 100), pruner=IterativePruner(sparsity=0.9), fine_tune=UpDown(n_iter=5))
    SparseDBNClassifier(100, pretrain=FrozenEstimator(SparseDBN()), class_weight="balanced")
    SparseDBNAutoencoder((128, 32), pretrain=None, learning_rate=0.01, code="logistic")


def pruners(X: np.ndarray, y: np.ndarray) -> None:
    """Construct pruners with every kind of argument that their parameters accept."""
    rbm = PrunedBernoulliRBM(100)

    def criterion(level: LevelView) -> np.ndarray:
        return np.abs(level.weights)

    IterativePruner(rbm, sparsity=[0.9], criterion=criterion, schedule=[0.5, 0.9])
    IterativePruner(rbm, sparsity=None, schedule=StdThreshold(1.0), criterion=Fisher())
    IterativePruner(rbm, schedule=FractionOfRemaining(0.2), regrow="random", memory="cache")
    IterativePruner(rbm, target=Units(rescale=True), retrain=Rewind(2), n_retrain_iter=3)
    IterativePrunerCV(rbm, sparsities=(0.5, 0.9), tolerance=0.1, cv=3, n_jobs=2)
    pruner = IterativePruner(rbm, n_rounds=3).fit(X)
    share: float = pruner.sparsity_
    path = pruning_path(pruner, X)
    print(share, path, sparsity(pruner.connectivity_))
    pipe = make_pipeline(pruner, SVC())
    GridSearchCV(pipe, {"iterativepruner__sparsity": [0, 0.5, 0.8]}, n_jobs=2).fit(X, y)
