"""Base class of pruners, which delegates methods to the pruned machine."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._support.compat import CallbackSupportMixin
from .._support.options import check_nested_parameters
from .._support.ranges import one_range_warning
from .._support.stored import StoredState, check_history, check_real
from .metadata import routing_enabled


def _estimator_has(name):
    def check(self):
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return check


def _delegated(name):
    """Return a method that exists if the wrapped estimator has it."""

    def method(self, *args, **kwargs):
        check_is_fitted(self)
        return getattr(self.estimator_, name)(*args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Call ``{name}`` of the pruned estimator, where it is documented."
    return available_if(_estimator_has(name))(method)


class FittedPruner(CallbackSupportMixin, MetaEstimatorMixin, StoredState):
    """Base class of pruners.

    Methods such as ``transform`` exist if the estimator has them. Before ``fit``, this is the
    wrapped estimator. After ``fit``, it is the pruned one.
    """

    _fitted_names: tuple = ("estimator_", "sparsity_", "history_")

    def _restore_state(self):
        if not hasattr(self.estimator_, "set_connectivity"):
            raise ValueError(
                "estimator_ must be an estimator that can be pruned, got an object of type "
                f"{type(self.estimator_).__name__}."
            )
        check_is_fitted(self.estimator_)
        check_real(self.sparsity_, "sparsity_", low=0, high=1)
        check_history(self.history_)

    transform = _delegated("transform")
    inverse_transform = _delegated("inverse_transform")
    predict = _delegated("predict")
    predict_proba = _delegated("predict_proba")
    predict_log_proba = _delegated("predict_log_proba")
    decision_function = _delegated("decision_function")
    score_samples = _delegated("score_samples")
    free_energy = _delegated("free_energy")
    log_partition = _delegated("log_partition")
    pseudo_log_likelihood = _delegated("pseudo_log_likelihood")
    layer_means = _delegated("layer_means")
    lower_bound = _delegated("lower_bound")
    complete = _delegated("complete")
    sample = _delegated("sample")
    gibbs = _delegated("gibbs")
    get_feature_names_out = _delegated("get_feature_names_out")

    @available_if(_estimator_has("score"))
    def score(self, X, y=None, **score_params) -> float:
        """Return the score of the pruned estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test data.
        y : array-like of shape (n_samples,), default=None
            Passed to ``score`` of the estimator.
        **score_params
            Passed to ``score`` of the estimator, such as ``sample_weight``, or routed to it with
            metadata routing.

        Returns
        -------
        score : float
            Score of the pruned estimator.
        """
        check_is_fitted(self)
        if routing_enabled():
            score_params = process_routing(self, "score", **score_params)["estimator"]["score"]
        return self.estimator_.score(X, y, **score_params)

    @available_if(_estimator_has("transform"))
    @one_range_warning()
    def fit_transform(self, X, y=None, **fit_params):
        """Fit to data, then transform the same data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,), default=None
            Passed to ``fit`` of the estimator.
        **fit_params
            Passed to ``fit``.

        Returns
        -------
        features : ndarray of shape (n_samples, n_components)
            Features of the pruned estimator.
        """
        return self.fit(X, y, **fit_params).transform(X)

    @available_if(_estimator_has("set_output"))
    def set_output(self, *, transform=None):
        """Set the output container of ``transform``.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Container to return. If None, it is not changed.

        Returns
        -------
        self : object
            The pruner.
        """
        for estimator in (self.estimator, getattr(self, "estimator_", None)):
            if estimator is not None:
                estimator.set_output(transform=transform)
        return self

    @property
    def connectivity_(self) -> list:
        """Boolean masks of the pruned machine, one per level, lowest level first."""
        check_is_fitted(self)
        return self.estimator_.connectivity_

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        return self._fitted("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of features seen during fit."""
        return self._fitted("feature_names_in_")

    @property
    def classes_(self) -> np.ndarray:
        """Classes seen during fit, if the estimator is a classifier."""
        return self._fitted("classes_")

    def _fitted(self, name):
        if not hasattr(self, "estimator_"):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r} before fit. Call fit first."
            )
        return getattr(self.estimator_, name)

    def set_params(self, **params):
        """Set parameters of the pruner and of the estimator it contains.

        Parameters
        ----------
        **params : dict
            Parameters of the pruner, and of contained estimators in the form
            ``<parameter>__<its parameter>``.

        Returns
        -------
        self : object
            The pruner itself.

        Raises
        ------
        ValueError
            If a parameter is not known, or belongs to an object that has not been passed.
        """
        check_nested_parameters(self, params)
        return super().set_params(**params)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            return tags
        inner = get_tags(self.estimator)
        for name in (
            "estimator_type", "target_tags", "transformer_tags", "classifier_tags",
            "regressor_tags", "input_tags", "non_deterministic",
        ):  # fmt: skip
            setattr(tags, name, deepcopy(getattr(inner, name)))
        return tags

    def get_metadata_routing(self):
        """Return how metadata are routed to the estimator.

        Returns
        -------
        routing : MetadataRouter
            Routing of ``fit`` of the estimator.
        """
        return MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping()
            .add(caller="fit", callee="fit")
            .add(caller="score", callee="score"),
        )
