"""Parameters of estimators whose levels can be given as a list of named estimators."""

from __future__ import annotations

from sklearn.utils.metaestimators import _BaseComposition

from .initial import full_level_parameters


class LevelList(_BaseComposition):
    """Mixin that gives access to the parameters of named levels in ``hidden_layer_sizes``."""

    def get_params(self, deep=True) -> dict:
        """Get the parameters, including those of named levels.

        Parameters
        ----------
        deep : bool, default=True
            If True, also return the parameters of contained estimators.

        Returns
        -------
        params : dict
            Parameter names mapped to their values.
        """
        if self._named_levels():
            return self._get_params("hidden_layer_sizes", deep=deep)
        return super().get_params(deep=deep)

    def set_params(self, **params):
        """Set the parameters, including those of named levels.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator, and of its levels in the form ``<name>__<parameter>``.

        Returns
        -------
        self : object
            The estimator itself.
        """
        if self._named_levels():
            self._set_params("hidden_layer_sizes", **params)
            return self
        return super().set_params(**params)

    def connectivity_parameters(self, masks) -> dict:
        """Return parameters that make all levels of a new estimator start with all connections.

        The masks have to be set after ``fit(n_iter=0)``. Levels start with all connections, because
        a connection that is absent at the start and set later would have weight 0.

        Parameters
        ----------
        masks : list of ndarray of bool of shape (n_upper, n_lower)
            Ignored.

        Returns
        -------
        parameters : dict
            Parameters for ``set_params``.
        """
        return full_level_parameters(self)

    def _named_levels(self):
        sizes = self.hidden_layer_sizes
        return isinstance(sizes, list) and any(isinstance(entry, tuple) for entry in sizes)
