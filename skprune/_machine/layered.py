"""The base class of machines and networks: layers of units with prunable levels between them."""

from __future__ import annotations

from abc import abstractmethod

from sklearn.utils.validation import check_is_fitted

from .. import connectivity
from .._kernels.records import Stack
from .._support.compat import CallbackSupportMixin
from .._support.options import check_unchanged_sizes
from .._support.stored import (
    StoredState,
    check_history,
    check_key,
    check_names_of_features,
    check_whole,
)
from .._support.threads import Team
from .levels import Layers, all_binary, as_dtype, restored_layers, stack_of, team_of


class Layered(CallbackSupportMixin, StoredState):
    """Base class of machines and networks: layers of units with prunable levels between them.

    The fitted state is ``_levels``, with one :class:`Level` per pair of adjacent layers, and
    ``_biases``, with one array per layer, lowest first. Pickles store levels as plain arrays.
    """

    _doc_link_module = "skprune"
    _fitted_names: tuple = ("_levels", "_biases", "_key", "n_features_in_")

    # ------------------------------------------------------------- validation

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_levels")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        state = super().__getstate__()
        if "_levels" in state:
            state["_levels"] = [level.state() for level in self._levels]
        return state

    def _restore_state(self):
        self._levels, self._biases = restored_layers(self._levels, self._biases)
        check_key(self._key)
        check_names_of_features(self)
        if hasattr(self, "n_iter_"):
            check_whole(self.n_iter_, "n_iter_")
        if hasattr(self, "history_"):
            check_history(self.history_)

    def _check_sizes(self):
        """Raise a ValueError if the parameters ask for other sizes than the fitted ones."""
        check_unchanged_sizes(
            [level.shape[0] for level in self._levels],
            [n_upper for n_upper, _ in self.planned_levels()],
        )

    @abstractmethod
    def planned_levels(self, n_features=None) -> list | None:
        """Check the parameters, and return the shapes of the levels that ``fit`` would make.

        Estimators call it before they train anything.

        Parameters
        ----------
        n_features : int, default=None
            Number of features of the training data. If None, it is not known.

        Returns
        -------
        shapes : list of (int, int), or None
            (n_upper, n_lower) of each prunable level, lowest level first. A number that is not
            known before ``fit`` is None, and so is the list if the number of levels is not known.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, or does not fit the other ones.
        """

    # ----------------------------------------------------------- fitted state

    def _stack(self) -> Stack:
        """Return the arrays of the machine as kernels read them, without copies if possible."""
        return stack_of(self._levels, self._biases, self._unit_types())

    def _stack_to_train(self) -> Stack:
        """Return a copy of the arrays to train, so that a failed fit changes nothing."""
        return as_dtype(self._stack(), self._biases[0].dtype)

    def _team(self, n_samples) -> Team:
        return team_of(self._levels, n_samples)

    def _unit_types(self) -> tuple:
        """Return the type of each layer's units, lowest layer first."""
        return all_binary(len(self._biases))

    @property
    def layers_(self) -> Layers:
        """Fitted levels and biases, for code that works with several machines."""
        check_is_fitted(self)
        return Layers(self._levels, self._biases, self._unit_types())

    def set_layers(self, layers: Layers):
        """Replace the fitted levels and biases.

        State that depends on them, such as momentum and the stored log Z, is deleted.

        Parameters
        ----------
        layers : Layers
            New levels and biases, of the same sizes. They are not copied.

        Returns
        -------
        self : object
            The estimator itself.
        """
        self._levels, self._biases = layers.levels, layers.biases
        self._forget()
        return self

    def _levels_of(self, stack: Stack, copy=False) -> list:
        """Return the levels with the weights of a trained stack."""
        return [
            level.with_weights_of(trained, copy=copy)
            for level, trained in zip(self._levels, stack.levels, strict=True)
        ]

    @property
    def connectivity_(self) -> list:
        """Boolean masks (n_upper, n_lower), one per level, lowest level first."""
        check_is_fitted(self)
        return [level.mask() for level in self._levels[: self._n_prunable]]

    @property
    def _n_prunable(self) -> int:
        """Number of levels that can be pruned, counted from the lowest."""
        return len(self._levels)

    def _forget(self):
        """Delete state that is invalid after a change of weights or connections."""

    def set_connectivity(self, masks):
        """Set which connections exist. This method is part of the pruning protocol.

        Weights of removed connections are 0 from then on. Weights of new connections start at 0.
        Momentum and the stored log Z are deleted.

        Parameters
        ----------
        masks : array-like or list of array-like of bool
            One mask (n_upper, n_lower) per level, lowest level first. With one level, this may be
            a single mask.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If the number or shape of the masks is wrong, or a mask has no connection.
        """
        check_is_fitted(self)
        masks = connectivity.one_per_level(masks, self._n_prunable)
        prunable, others = self._levels[: len(masks)], self._levels[len(masks) :]
        names = getattr(self, "feature_names_in_", None)
        masks = connectivity.check_masks(masks, [level.shape for level in prunable], names)
        changed = [
            level.with_connectivity(mask) for level, mask in zip(prunable, masks, strict=True)
        ]
        self._levels = [*changed, *others]
        self._forget()
        return self
