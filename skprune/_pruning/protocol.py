"""The pruning protocol: the members that a pruner requires of an estimator."""

from __future__ import annotations

from typing import Protocol

METHODS = ("set_connectivity", "layer_samples")
REQUIRED = ("connectivity_", "set_connectivity", "layer_samples", "components_")


class Prunable(Protocol):
    """The pruning protocol, which an estimator follows so that it can be pruned.

    Pruners use these members only, and import no machine. ``connectivity_``, ``components_``,
    ``set_connectivity`` and ``layer_samples`` are required. The two methods must exist before
    ``fit``. ``compact``, ``check_pruning``, ``planned_levels`` and ``connectivity_parameters`` are
    optional.

    An estimator that is trained after a round also has the parameter ``warm_start``. A pruner then
    calls ``fit`` with ``warm_start=True``, which continues from the fitted state. It sets the
    parameter ``n_iter``, the number of passes, if ``n_retrain_iter`` is given or the machine is
    rewound or reinitialized.

    Attributes
    ----------
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Mask of existing connections of each level, lowest level first.
    components_ : ndarray or list of ndarray of shape (n_upper, n_lower)
        Weights of each level, lowest level first. With one level, this may be a single array.
    sigma_ : ndarray of shape (n_features,)
        Standard deviations of real-valued visible units given the hidden units (optional).
        Criteria then see the weights of the first level divided by it, and ``layer_samples``
        returns the states of these units divided by it.
    """

    connectivity_: list
    components_: object

    def set_connectivity(self, masks):
        """Set the masks of existing connections.

        Weights of removed connections are 0 from then on, also during training. Weights of new
        connections start at 0.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            One mask per level, lowest level first.

        Returns
        -------
        self : object
            The estimator.
        """

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers, given data or drawn from the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Data that the states are drawn given. If None, states are drawn from the model.
        n_samples : int, default=1000
            Number of states to draw from the model.
        n_steps_between : int, default=10
            Number of Gibbs steps between two states of a chain of the model.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.

        Returns
        -------
        layers : list of ndarray of shape (n_samples, n_units)
            States of each layer, visible layer first.
        """

    def compact(self, units, *, rescale=False, hidden_bias=None):
        """Return a machine without some of its hidden units (optional).

        Parameters
        ----------
        units : list of ndarray of bool of shape (n_units,)
            Hidden units to keep, one array per hidden layer, lowest layer first.
        rescale : bool, default=False
            Whether to scale up the remaining weights, as in :class:`~skprune.pruning.Units`.
        hidden_bias : {"mean_activity", "negative"}, default=None
            New hidden biases, as in :class:`~skprune.pruning.Units`.

        Returns
        -------
        machine : object
            A new fitted machine.
        """

    def check_pruning(self, n_levels=None, target="connections"):
        """Raise an error before training if the machine cannot be pruned as planned (optional).

        Parameters
        ----------
        n_levels : int, default=None
            Number of sparsities, if one is given per level.
        target : {"connections", "units"}, default="connections"
            What is to be pruned.
        """

    def planned_levels(self, n_features=None) -> list | None:
        """Check the parameters, and return the shapes of the levels ``fit`` would make (optional).

        A pruner calls it before training, so that invalid parameters and sparsities that leave
        nothing of a level are refused at once.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known.

        Returns
        -------
        shapes : list of (int or None, int or None), or None
            (n_upper, n_lower) of each level, lowest level first. Numbers that are not known are
            None, and so is the list if the number of levels is not known.
        """

    def connectivity_parameters(self, masks) -> dict:
        """Return the parameters of a new machine that starts with given connections (optional).

        Connections that parameters cannot describe are set after a fit with ``n_iter=0``.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            One mask per level, lowest level first.

        Returns
        -------
        parameters : dict
            Keyword arguments of ``set_params``.
        """


def check_prunable(estimator, trains_on) -> None:
    """Raise a TypeError if a fitted estimator lacks a required member of the pruning protocol."""
    needed = REQUIRED + (("warm_start",) if trains_on else ())
    missing = [name for name in needed if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
            "See the pruning protocol in the documentation of skprune.pruning."
        )


def check_unfitted(estimator, *, trains_on, sets_n_iter) -> None:
    """Raise a TypeError if an estimator lacks a method or parameter that a pruner needs.

    Attributes that only fitted estimators have are not checked.

    Parameters
    ----------
    estimator : estimator
        Fitted or unfitted estimator.
    trains_on : bool
        Whether the pruner retrains it, which requires the parameter ``warm_start``.
    sets_n_iter : bool
        Whether the pruner sets the number of passes, which requires the parameter ``n_iter``.
    """
    missing = [name for name in METHODS if not hasattr(estimator, name)]
    parameters = estimator.get_params()
    if trains_on and "warm_start" not in parameters:
        missing.append("the parameter warm_start")
    if sets_n_iter and "n_iter" not in parameters:
        missing.append("the parameter n_iter")
    if missing:
        raise TypeError(
            f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
            "See the pruning protocol in the documentation of skprune.pruning."
        )


def connectivity_parameters(estimator, masks) -> dict:
    """Return the parameters of an estimator that starts with given connections, if it has any."""
    if not hasattr(estimator, "connectivity_parameters"):
        return {}
    return estimator.connectivity_parameters(masks)
