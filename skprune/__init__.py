"""Boltzmann machines whose connections can be pruned, as scikit-learn estimators."""

from . import (
    connectivity,
    criteria,
    datasets,
    exceptions,
    likelihood,
    metrics,
    plotting,
    samplers,
    schedules,
)
from ._support.version import VERSION as __version__
from .autoencoder import SparseDBNAutoencoder
from .classifier import SparseDBNClassifier
from .dbm import DBMTransformer
from .dbn import SparseDBN
from .pruning import IterativePruner, IterativePrunerCV
from .rbm import PrunedBernoulliRBM, PrunedGaussianRBM

__all__ = [
    "DBMTransformer",
    "IterativePruner",
    "IterativePrunerCV",
    "PrunedBernoulliRBM",
    "PrunedGaussianRBM",
    "SparseDBN",
    "SparseDBNAutoencoder",
    "SparseDBNClassifier",
    "__version__",
    "connectivity",
    "criteria",
    "datasets",
    "exceptions",
    "likelihood",
    "metrics",
    "plotting",
    "samplers",
    "schedules",
]
