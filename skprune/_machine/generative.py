"""Likelihood, samples and classes of networks with a generative model."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._support.options import check_number
from .._support.random import RowUniforms, derived_key, new_key
from .._support.threads import Team
from .._support.validation import check_data, check_labels
from ..likelihood import LogPartition
from .belief import BeliefNetwork


def _joins_labels(self):
    return self.join_labels


class GenerativeNetwork:
    """Mixin for networks that are generative models: their likelihood, samples and classes.

    The method ``_model`` of the network returns its parts as a :class:`BeliefNetwork`. The machine
    at the top stores log Z.
    """

    estimators_: list
    join_labels: bool
    classes_: np.ndarray
    _directed_top: bool
    _key: np.uint64

    @abstractmethod
    def _team(self, n_samples) -> Team:
        """Return the threads for work on ``n_samples`` rows."""

    @abstractmethod
    def _top(self) -> Any:
        """Return the top of the network, an UndirectedTop or an IndependentTop."""

    @abstractmethod
    def _up(self, number, below) -> np.ndarray:
        """Return the means of a level's upper units."""

    @abstractmethod
    def _model(self) -> BeliefNetwork:
        """Return the network as a generative model."""

    # ------------------------------------------------------------- likelihood

    def log_partition(self, method="auto", **options) -> LogPartition:
        """Return log Z of the top level, in nats.

        With ``join_labels=True``, Z is the sum of one estimate per class. If the top level is
        directed, log Z is 0.

        Parameters
        ----------
        method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
            How log Z is computed (see :meth:`PrunedBernoulliRBM.log_partition`).
        **options : dict
            Other parameters of :meth:`PrunedBernoulliRBM.log_partition`.

        Returns
        -------
        log_partition : LogPartition
            The value, its standard error, its bracket, the method and the effective sample size.

        Raises
        ------
        TypeError
            If the top level is not a :class:`PrunedBernoulliRBM`.
        """
        check_is_fitted(self)
        if self._directed_top:
            return LogPartition(0.0, 0.0, (0.0, 0.0), "exact", np.inf)
        machine = self.estimators_[-1]
        if not hasattr(machine, "kept"):
            raise TypeError(
                f"log_partition is not available for a top level of type {type(machine).__name__}. "
                "The top level must be a PrunedBernoulliRBM."
            )
        if not self.join_labels:
            return machine.log_partition(method, **options)
        for name, low in (("n_chains", 2), ("n_temperatures", 1)):
            if name in options:
                options[name] = check_number(options[name], name, numbers.Integral, low=low)
        key = derived_key(self._key, "log Z by class")
        if options.get("random_state") is not None:
            key = new_key(options["random_state"])
        options = {name: value for name, value in options.items() if name != "random_state"}
        with self._team(100_000) as team:
            return self._top().log_partition_by_label(key, team, method, **options)

    def lower_bound(self, X, n_samples=20) -> np.ndarray:
        """Return a variational lower bound on log p(v) + log Z for each row, in nats.

        .. math:: E_{q(h|v)} [\\log p(v | h_1) + \\dots + \\log p^*(h_{L-1}) - \\log q(h | v)]

        Here q is the distribution of the recognition pass, p* is the unnormalized probability
        under the top level, and Z is its partition function (Salakhutdinov & Murray 2008). If the
        directed levels have at most 10 hidden units, the expectation is an exact sum over all
        their states. Otherwise it is a mean over samples. Their random numbers are a function of
        the row, so the bound of a row does not depend on the other rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        n_samples : int, default=20
            Number of samples of the hidden layers per row.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats. Subtract log Z to get bounds on the log-likelihood.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
        with self._team(X.shape[0] * n_samples) as team:
            return self._model().lower_bound(X, n_samples, team)

    def score_samples(self, X) -> np.ndarray:
        """Return a variational lower bound on the log-likelihood of each row, in nats.

        The result is :meth:`lower_bound` minus log Z of the top level. log Z is exact if one of
        the two layers of the top level has at most 20 units. Otherwise it is estimated by annealed
        importance sampling, and kept until the parameters change.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        bound : ndarray of float64 of shape (n_samples,)
            Bounds in nats.
        """
        bound = self.lower_bound(X)
        if self._directed_top:
            return bound
        name = "log Z by label" if self.join_labels else "log Z"
        return bound - self.estimators_[-1].kept(name, self.log_partition)[0]

    def score(self, X, y=None) -> float:
        """Return the mean of :meth:`score_samples`, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean lower bound on the log-likelihood, in nats.
        """
        return float(np.mean(self.score_samples(X)))

    # --------------------------------------------------------------- sampling

    def sample(
        self, n_samples=1, *, n_gibbs_steps=1000, y=None, probabilities=False, random_state=None
    ):
        """Draw samples of the visible units.

        The top level is sampled by Gibbs sampling. The layers below are drawn in one pass down.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples. Each one comes from an independent chain.
        n_gibbs_steps : int, default=1000
            Number of Gibbs steps per chain in the top level.
        y : class or array-like of shape (n_samples,), default=None
            One class for all samples, or one class per sample. Requires ``join_labels=True``. If
            None, the class is drawn too.
        probabilities : bool, default=False
            If True, return the probabilities of the visible units instead of binary states.
        random_state : int, RandomState instance or None, default=None
            Determines the samples. Pass an int for reproducible results.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Samples of the visible units, or their probabilities.

        Raises
        ------
        ValueError
            If ``y`` is given without ``join_labels=True``, has a wrong shape, or contains a class
            that was not seen during ``fit``.
        """
        check_is_fitted(self)
        n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
        n_gibbs_steps = check_number(n_gibbs_steps, "n_gibbs_steps", numbers.Integral, low=1)
        rng = check_random_state(random_state)
        clamped = self._clamped_labels(y, n_samples)
        model = self._model()
        with self._team(n_samples * n_gibbs_steps) as team:
            layers, _ = model.top.draw(n_samples, rng, team, n_sweeps=n_gibbs_steps, labels=clamped)
            if len(self.estimators_) == 1 and probabilities and not self._directed_top:
                return model.top.means_down(layers[0], team)
            return model.draw_down(layers, rng, team, probabilities)[-1]

    def _clamped_labels(self, y, n_samples):
        if y is None:
            return None
        if not self.join_labels:
            raise ValueError(
                "y was passed, but the network has no labels. Fit it with join_labels=True."
            )
        y = np.asarray(y) if np.ndim(y) == 0 else check_labels(y)
        if y.shape not in ((), (n_samples,)):
            raise ValueError(
                f"y has shape {y.shape}. Pass one class, or an array of shape ({n_samples},) with "
                "one class per sample."
            )
        y = np.broadcast_to(y, (n_samples,))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(
                f"y contains {unknown[0]!r}, which was not among the classes seen during fit."
            )
        return y[:, None] == self.classes_

    # ---------------------------------------------------------------- classes

    @available_if(_joins_labels)
    def predict_proba(self, X, n_passes=None) -> np.ndarray:
        """Return the probability of each class given the features.

        The probabilities are computed from the free energies of the top level with one label on at
        a time. Available only with ``join_labels=True``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.
        n_passes : int, default=None
            Number of stochastic upward passes over which the probabilities are averaged. If None,
            use one deterministic pass of activation probabilities.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities of the classes, in the order of ``classes_``.
        """
        check_is_fitted(self)
        X = check_data(self, X, reset=False)
        top, n_classes = self._top(), len(self.classes_)
        if n_passes is not None:
            n_passes = check_number(n_passes, "n_passes", numbers.Integral, low=1)
        total = np.zeros((X.shape[0], n_classes))
        with self._team(X.shape[0] * n_classes) as team:
            key = derived_key(self._key, "samples of rows")
            uniforms = None if n_passes is None else RowUniforms(X, key)
            first = self._up(0, X) if len(self.estimators_) > 1 else X
            for sample in range(n_passes or 1):
                below = X
                for number in range(len(self.estimators_) - 1):
                    below = self._up(number, below) if number else first
                    if uniforms is not None:
                        draws = uniforms(sample, number, below.shape[1])
                        below = (draws < below).astype(below.dtype)
                logits = top.label_scores(below, team)
                total = total + np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return total / (n_passes or 1)

    @available_if(_joins_labels)
    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each row, which has the lowest free energy.

        Available only with ``join_labels=True``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data with values in [0, 1]. bool and uint8 data are read as they are.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predicted classes.
        """
        numbers_ = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers_]
