"""What the pruners need of an estimator."""

from __future__ import annotations

from typing import Protocol

REQUIRED = ("connectivity_", "set_connectivity", "layer_samples", "components_")


class Prunable(Protocol):
    """The members by which pruners know a fitted machine.

    ``warm_start`` is a parameter of the machine, and is only needed where the
    pruner trains on. A machine may also have ``compact(units, rescale=,
    hidden_bias=)``, which returns a machine without some of its hidden units,
    and the parameters ``connectivity`` and ``initial_sparsity``, with which a
    new machine starts.

    Attributes
    ----------
    connectivity_ : list of ndarray of bool of shape (n_upper, n_lower)
        Which connections exist, one mask per level, lowest level first.
    components_ : ndarray or list of ndarray of shape (n_upper, n_lower)
        The weights of the levels.
    """

    connectivity_: list
    components_: object
    warm_start: bool

    def set_connectivity(self, masks):
        """Set which connections exist, and return the machine.

        Connections that go are zero from then on, and new ones start at 0.
        """

    def layer_samples(self, X=None, *, n_samples=1000, n_steps_between=10, random_state=None):
        """Return states of all layers, given data or drawn from the model."""


def check_prunable(estimator, trains_on) -> None:
    """Raise a TypeError where a fitted estimator lacks what pruning needs."""
    needed = REQUIRED + (("warm_start",) if trains_on else ())
    missing = [name for name in needed if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"{type(estimator).__name__} cannot be pruned: it lacks {', '.join(missing)}. "
            "See the documentation of skprune.pruning for what a prunable estimator has."
        )


def starting_connectivity(estimator, masks) -> dict:
    """Return the parameters by which a machine starts with these connections; none where it has none."""
    own = estimator.get_params(deep=False)
    start = {"connectivity": masks if len(masks) > 1 else masks[0], "initial_sparsity": 0.0}
    return {name: value for name, value in start.items() if name in own}
