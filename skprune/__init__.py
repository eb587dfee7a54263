"""Boltzmann machines whose connections can be pruned, as scikit-learn estimators."""

from . import connectivity, likelihood, samplers
from ._base import VERSION as __version__
from .rbm import PrunedBernoulliRBM

__all__ = ["PrunedBernoulliRBM", "__version__", "connectivity", "likelihood", "samplers"]
