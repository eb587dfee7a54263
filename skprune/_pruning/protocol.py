"""What the pruners need of an estimator."""

from __future__ import annotations

from typing import Protocol

REQUIRED = ("connectivity_", "set_connectivity", "layer_samples", "components_")


class Prunable(Protocol):
    """The members by which pruners know a machine.

    The first four are required. ``warm_start`` and ``n_iter`` are parameters of
    ``fit``: a pruner that trains on sets ``warm_start=True``, and ``n_iter``
    where it was given a number of passes. The other three are optional.

    Attributes
    ----------
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Which connections exist, one mask per level, lowest level first.
    components_ : ndarray or list of ndarray of shape (n_upper, n_lower)
        The weights of the levels.
    """

    connectivity_: list
    components_: object

    def set_connectivity(self, masks):
        """Set which connections exist, and return the machine.

        Connections that go are zero from then on, and new ones start at 0.
        """

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers, given data or drawn from the model."""

    def compact(self, units, *, rescale=False, hidden_bias=None):
        """Optional: return a machine without some of its hidden units."""

    def check_pruning(self, n_levels=None, target="connections"):
        """Optional: raise an error before training where the machine cannot be pruned so.

        ``n_levels`` is the number of levels that were given a sparsity each.
        ``target`` is "connections" or "units".
        """

    def connectivity_parameters(self, masks) -> dict:
        """Optional: return the parameters with which a new machine starts with these connections.

        Connections that the parameters cannot ask for are set after ``fit(n_iter=0)``.
        """


def check_prunable(estimator, trains_on) -> None:
    """Raise a TypeError where a fitted estimator lacks what pruning needs."""
    needed = REQUIRED + (("warm_start",) if trains_on else ())
    missing = [name for name in needed if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
            "See the documentation of skprune.pruning for what a prunable estimator has."
        )


def connectivity_parameters(estimator, masks) -> dict:
    """Return the parameters with which an estimator starts with these connections, if it has any."""
    if not hasattr(estimator, "connectivity_parameters"):
        return {}
    return estimator.connectivity_parameters(masks)
