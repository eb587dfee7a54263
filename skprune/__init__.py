"""Boltzmann machines whose connections can be pruned, as scikit-learn estimators."""

from . import connectivity, criteria, datasets, likelihood, samplers, schedules
from ._base import VERSION as __version__
from .pruning import IterativePruner
from .rbm import PrunedBernoulliRBM

__all__ = [
    "IterativePruner",
    "PrunedBernoulliRBM",
    "__version__",
    "connectivity",
    "criteria",
    "datasets",
    "likelihood",
    "samplers",
    "schedules",
]
