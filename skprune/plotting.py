"""Displays: samples, receptive fields, reconstructions, weights, and scores against sparsity.

As scikit-learn's: ``from_estimator`` computes what is shown, keeps it, and draws it;
``plot`` draws it again elsewhere. matplotlib is imported when something is drawn.
"""

from __future__ import annotations

import math
import numbers

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._support.options import check_number

__all__ = [
    "ImagesDisplay",
    "ReceptiveFieldsDisplay",
    "ReconstructionsDisplay",
    "SamplesDisplay",
    "SparsityDisplay",
    "WeightsDisplay",
]


def _pyplot():
    """matplotlib's pyplot, or a sentence."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib, which is not installed; run pip install 'skprune[plot]'."
        ) from error
    return plt


def _axes(ax, size=None):
    """The axes to draw on, new ones where none were given."""
    return _pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _image_shape(image_shape, n_features):
    """(height, width) of rows of so many features; square where nothing is said."""
    if image_shape is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"{n_features} features are no square image; give image_shape=(height, width)."
            )
        return side, side
    if np.ndim(image_shape) != 1 or len(image_shape) != 2 or math.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape} does not hold {n_features} features; give (height, width), whose "
            "product must be their number."
        )
    return tuple(image_shape)


def _machine(estimator):
    """The machine that a fitted pruner, search or pipeline (its last step) holds."""
    _pyplot()
    check_is_fitted(estimator)
    while True:
        inner = getattr(estimator, "best_estimator_", getattr(estimator, "estimator_", None))
        if isinstance(estimator, Pipeline):
            inner = estimator[-1]
        if inner is None:
            return estimator
        estimator = inner


def _weights(estimator) -> list:
    """Weight matrices of the levels, bottom first."""
    machine = _machine(estimator)
    if not hasattr(machine, "components_"):
        raise TypeError(
            f"{type(machine).__name__} has no components_; give a machine or network, or what holds one."
        )
    components = machine.components_
    return [components] if isinstance(components, np.ndarray) else list(components)


class ImagesDisplay:
    """Rows of numbers as small images side by side, on one pair of axes.

    Parameters
    ----------
    images : array-like of shape (n_images, n_features)
        NaN is drawn in grey.
    image_shape : (int, int), default=None
        Height and width; None is a square.
    n_columns : int, default=10

    Attributes
    ----------
    images : ndarray of shape (n_images, n_features)
    image_ : matplotlib AxesImage
        What :meth:`plot` drew last, in ``ax_`` of ``figure_``.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Raises
    ------
    ValueError
        If the features do not fill the image.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skprune.plotting import ImagesDisplay
    >>> display = ImagesDisplay(load_digits().data[:20]).plot()
    >>> display.mosaic().shape  # two rows of ten images with a border of one pixel
    (19, 91)
    """

    _cmap = "gray_r"

    def __init__(self, images, *, image_shape=None, n_columns=10):
        self.images = check_array(images, dtype=np.float64, ensure_all_finite="allow-nan")
        self.image_shape = _image_shape(image_shape, self.images.shape[1])
        check_number(n_columns, "n_columns", numbers.Integral, low=1)
        self.n_columns = n_columns

    @property
    def _limits(self):
        """Values drawn in white and in black; images of one value alone are drawn against 0."""
        values = self.images[np.isfinite(self.images)]
        if not values.size or values.min() < values.max():
            return None, None
        return min(values[0], 0), max(values[0], 0) or 1

    def mosaic(self) -> np.ndarray:
        """Return the picture: images in rows, NaN between them.

        Returns
        -------
        picture : ndarray of shape (height, width)
        """
        height, width = self.image_shape
        n_columns = min(self.n_columns, len(self.images))
        n_lines = -(-len(self.images) // n_columns)
        cells = np.full((n_lines * n_columns, height + 1, width + 1), np.nan)
        cells[: len(self.images), 1:, 1:] = self.images.reshape(-1, height, width)
        lines = cells.reshape(n_lines, n_columns, height + 1, width + 1).transpose(0, 2, 1, 3)
        return np.pad(
            lines.reshape(n_lines * (height + 1), -1), ((0, 1), (0, 1)), constant_values=np.nan
        )

    def plot(self, ax=None, **options):
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **options
            Of ``Axes.imshow``, as ``cmap``, ``vmin`` and ``vmax``.

        Returns
        -------
        display : ImagesDisplay
        """
        picture = self.mosaic()
        size = np.array(picture.shape[::-1]) * 8 / max(picture.shape)
        self.ax_ = _axes(ax, tuple(np.maximum(size, 1)))
        self.figure_ = self.ax_.figure
        low, high = self._limits
        settings = {} if "norm" in options else {"vmin": low, "vmax": high}
        cmap = _pyplot().get_cmap(options.pop("cmap", self._cmap)).with_extremes(bad="0.7")
        self.image_ = self.ax_.imshow(picture, cmap=cmap, **{**settings, **options})
        self.ax_.set(xticks=[], yticks=[])
        return self


class SamplesDisplay(ImagesDisplay):
    """Samples of a machine as images, black for 1."""

    _limits = 0, 1

    @classmethod
    def from_estimator(
        cls, estimator, n_samples=50, *, image_shape=None, n_columns=10, ax=None, plot_options=None,
        **sampling,
    ):  # fmt: skip
        """Draw samples of a fitted machine.

        Parameters
        ----------
        estimator : machine, or a pruner or search that holds one
        n_samples : int, default=50
        image_shape : (int, int), default=None
        n_columns : int, default=10
        ax : matplotlib Axes, default=None
        plot_options : dict, default=None
            Of ``Axes.imshow``.
        **sampling
            Of the machine's ``sample``: ``n_gibbs_steps``, ``random_state``, ``clamped``,
            ``y``.

        Returns
        -------
        display : SamplesDisplay
        """
        machine = _machine(estimator)
        if not hasattr(machine, "sample"):
            raise TypeError(f"{type(machine).__name__} draws no samples; give a Boltzmann machine.")
        images = machine.sample(n_samples, **sampling)
        return cls(images, image_shape=image_shape, n_columns=n_columns).plot(
            ax, **(plot_options or {})
        )


class ReceptiveFieldsDisplay(ImagesDisplay):
    """Weights from hidden units to the visible ones as images; absent connections are grey."""

    _cmap = "RdBu_r"

    @property
    def _limits(self):
        """Symmetric, so that white is no weight."""
        limit = np.nanmax(np.abs(self.images), initial=0.0) or 1.0
        return -limit, limit

    @classmethod
    def from_estimator(
        cls, estimator, *, level=0, units=None, image_shape=None, n_columns=10, ax=None,
        plot_options=None,
    ):  # fmt: skip
        """Draw the weights of hidden units.

        Above the first level these are the products with the weights of the levels below:
        the linear part of what a unit sees.

        Parameters
        ----------
        estimator : machine or network, or a pruner or search that holds one
        level : int, default=0
            0 is the first hidden layer.
        units : array-like of int, default=None
            Hidden units; None takes the first fifty.
        image_shape : (int, int), default=None
        n_columns : int, default=10
        ax : matplotlib Axes, default=None
        plot_options : dict, default=None
            Of ``Axes.imshow``. Colours are symmetric about 0 unless this says otherwise.

        Returns
        -------
        display : ReceptiveFieldsDisplay

        Raises
        ------
        ValueError
            If there is no such level or unit.
        """
        weights = _weights(estimator)
        check_number(level, "level", numbers.Integral, low=0, high=len(weights) - 1)
        n_units = weights[level].shape[0]
        units = np.arange(min(50, n_units)) if units is None else np.atleast_1d(units)
        whole = np.issubdtype(units.dtype, np.integer) and units.size > 0
        if not whole or units.min() < 0 or units.max() >= n_units:
            raise ValueError(
                f"units must be whole numbers between 0 and {n_units - 1}, and at least one."
            )
        fields = weights[level][units].astype(np.float64)
        machine = _machine(estimator)
        masks = machine.connectivity_
        seen = masks[level][units]
        for below in range(level - 1, -1, -1):
            fields, seen = fields @ weights[below], seen.astype(np.float64) @ masks[below] > 0
        n_features = machine.n_features_in_
        fields, seen = fields[:, :n_features], seen[:, :n_features]  # without an unrolled posterior
        return cls(
            np.where(seen, fields, np.nan), image_shape=image_shape, n_columns=n_columns
        ).plot(ax, **(plot_options or {}))


class ReconstructionsDisplay(ImagesDisplay):
    """Rows above what a machine makes of them: a line of images, a line of reconstructions."""

    _limits = 0, 1

    @classmethod
    def from_estimator(
        cls, estimator, X, *, image_shape=None, n_columns=10, ax=None, plot_options=None
    ):
        """Draw rows and their reconstructions.

        Where some value is missing (NaN) the machine's ``complete`` fills it, and complete rows stay as they
        are; where none is, rows go through ``transform`` and ``inverse_transform``.

        Parameters
        ----------
        estimator : SparseDBN, DBMTransformer, SparseDBNAutoencoder, or what holds one
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        image_shape : (int, int), default=None
        n_columns : int, default=10
        ax : matplotlib Axes, default=None
        plot_options : dict, default=None
            Of ``Axes.imshow``.

        Returns
        -------
        display : ReconstructionsDisplay

        Raises
        ------
        TypeError
            If the machine can do neither.
        """
        machine = _machine(estimator)
        check_number(n_columns, "n_columns", numbers.Integral, low=1)
        given = X  # the machine checks names and takes sparse rows itself
        X = X.toarray() if sparse.issparse(X) else X
        X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
        if np.isnan(X).any():
            if not hasattr(machine, "complete"):
                raise TypeError(
                    f"{type(machine).__name__} cannot fill in missing values; give rows without NaN."
                )
            back = machine.complete(given)
        elif hasattr(machine, "inverse_transform"):
            back = machine.inverse_transform(machine.transform(given))
        else:
            raise TypeError(f"{type(machine).__name__} has no inverse_transform.")
        n_columns = min(n_columns, len(X))
        missing = -len(X) % n_columns
        pairs = np.stack(
            [
                np.pad(rows, ((0, missing), (0, 0)), constant_values=np.nan).reshape(
                    -1, n_columns, X.shape[1]
                )
                for rows in (X, np.asarray(back, np.float64))
            ],
            axis=1,
        )
        return cls(
            pairs.reshape(-1, X.shape[1]), image_shape=image_shape, n_columns=n_columns
        ).plot(ax, **(plot_options or {}))


class WeightsDisplay:
    """Histogram of the weights that connections carry.

    Parameters
    ----------
    weights : list of ndarray
        One array a level, connections only.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, weights):
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator, *, bins=100, ax=None, label=None, **options):
        """Draw a line for each level of a machine.

        Parameters
        ----------
        estimator : machine or network, or a pruner or search that holds one
        bins : int or sequence, default=100
        ax : matplotlib Axes, default=None
        label : str, default=None
            Set before the level's name in the legend.
        **options
            Of ``Axes.hist``.

        Returns
        -------
        display : WeightsDisplay
        """
        masks = _machine(estimator).connectivity_
        levels = zip(_weights(estimator), masks, strict=True)
        return cls([matrix[mask] for matrix, mask in levels]).plot(
            ax, bins=bins, label=label, **options
        )

    def plot(self, ax=None, *, bins=100, label=None, **options):
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        bins : int or sequence, default=100
        label : str, default=None
        **options
            Of ``Axes.hist``.

        Returns
        -------
        display : WeightsDisplay
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        for number, values in enumerate(self.weights, start=1):
            if not values.size:
                continue
            names = [label] if label else []
            if len(self.weights) > 1:
                names.append(f"level {number}")
            names.append(f"{values.size:,} connections")
            settings = {"histtype": "step", "density": True, **options}
            self.ax_.hist(values, bins=bins, label=", ".join(names), **settings)
        self.ax_.set(xlabel="weight", ylabel="density")
        self.ax_.legend()
        return self


class SparsityDisplay:
    """Scores against sparsity.

    Parameters
    ----------
    sparsity : array-like of shape (n_points,)
        Share of the connections that are gone.
    score : array-like of shape (n_points,)
    spread : array-like of shape (n_points,), default=None
        Drawn as bars.
    full_score : array-like of shape (n_points,), default=None
        The unpruned machine after as many passes.
    score_pruned : array-like of shape (n_points,), default=None
        Just after pruning, before retraining.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skprune.plotting import SparsityDisplay
    >>> display = SparsityDisplay([0.5, 0.9], [-20.0, -21.0]).plot(label="digits")
    >>> display.ax_.get_xlabel()
    'sparsity'
    """

    def __init__(self, sparsity, score, *, spread=None, full_score=None, score_pruned=None):
        self.sparsity, self.score, self.spread = sparsity, score, spread
        self.full_score, self.score_pruned = full_score, score_pruned

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, label=None, **options):
        """Draw what a pruner or a search over sparsity has found.

        Parameters
        ----------
        estimator : IterativePruner with ``scoring``, IterativePrunerCV, or GridSearchCV over a sparsity
            Fitted. In a grid over more than sparsity, the best at each sparsity is shown; of a list of
            sparsities, the mean; candidates that failed or have none are left out.
        ax : matplotlib Axes, default=None
        label : str, default=None
        **options
            Of ``Axes.errorbar``.

        Returns
        -------
        display : SparsityDisplay

        Raises
        ------
        ValueError
            If it holds no scores by sparsity.
        """
        check_is_fitted(estimator)
        results = getattr(estimator, "cv_results_", None)
        if results is None:
            history = getattr(estimator, "history_", {})
            if "score" not in history and any(name.startswith("score_") for name in history):
                raise ValueError(
                    "The pruner kept several scores; fit it with one scorer as scoring to show it."
                )
            if "score" not in history:
                raise ValueError(
                    f"{type(estimator).__name__} kept no scores by sparsity; fit an IterativePruner with "
                    "scoring=, an IterativePrunerCV, or a search over sparsity."
                )
            keep = np.flatnonzero(np.isfinite(history["score"]))
            shown = cls(
                history["sparsity"][keep], history["score"][keep],
                score_pruned=history["score_pruned"][keep],
            )  # fmt: skip
        elif "sparsity" in results:
            shown = cls(
                results["sparsity"], results["mean_test_score"], spread=results["std_test_score"],
                full_score=results["mean_full_score"],
            )  # fmt: skip
        else:
            names = [n for n in results if n.startswith("param_") and n.endswith("sparsity")]
            if len(names) != 1:
                raise ValueError(
                    f"The search must be over one parameter named sparsity; it has {names or 'none'}."
                )
            if "mean_test_score" not in results:
                raise ValueError(
                    "The search kept several scores; search with one scorer to show it."
                )
            values = np.array(
                [
                    np.nan if value is np.ma.masked or value is None else np.mean(value)
                    for value in results[names[0]]
                ]
            )
            means = np.where(np.isnan(values), np.nan, results["mean_test_score"])
            best = [
                np.flatnonzero(values == value)[np.nanargmax(means[values == value])]
                for value in np.unique(values[np.isfinite(means)])
            ]
            shown = cls(values[best], means[best], spread=results["std_test_score"][best])
        return shown.plot(ax, label=label, **options)

    def plot(self, ax=None, *, label=None, **options):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        label : str, default=None
        **options
            Of ``Axes.errorbar``.

        Returns
        -------
        display : SparsityDisplay
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        settings = {"marker": "o", "capsize": 3, "label": label or "pruned", **options}
        line = self.ax_.errorbar(self.sparsity, self.score, self.spread, **settings)[0]
        for values, name in ((self.full_score, "full"), (self.score_pruned, "before retraining")):
            if values is not None:
                style = {"color": line.get_color(), "linestyle": "--" if name == "full" else ":"}
                text = f"{label}, {name}" if label else name
                self.ax_.plot(self.sparsity, values, label=text, **style)
        self.ax_.set(xlabel="sparsity", ylabel="score")
        self.ax_.legend()
        return self
