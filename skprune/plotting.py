"""Display classes that plot fitted machines and the results of pruning.

They follow the display objects of scikit-learn. ``from_estimator`` computes the values, stores them
in the display and draws them. ``plot`` draws the stored values again, on other axes or with other
options. matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

import math
import numbers

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._support.options import check_number
from ._support.ranges import one_range_warning
from ._support.validation import check_rows

__all__ = [
    "ImagesDisplay",
    "ReceptiveFieldsDisplay",
    "ReconstructionsDisplay",
    "SamplesDisplay",
    "SparsityDisplay",
    "WeightsDisplay",
]


def _pyplot():
    """Return ``matplotlib.pyplot``, or raise an error that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays require matplotlib, which is not installed. Install it with "
            "pip install 'skprune[plot]'."
        ) from error
    return plt


def _axes(ax, size=None):
    """Return the axes to draw on, which are new if ``ax`` is None."""
    return _pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _image_shape(image_shape, n_features):
    """Return the (height, width) of images with ``n_features`` pixels, square by default."""
    if image_shape is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"{n_features} features do not form a square image. Pass image_shape, a pair "
                "(height, width)."
            )
        return side, side
    if np.ndim(image_shape) != 1 or len(image_shape) != 2 or math.prod(image_shape) != n_features:
        raise ValueError(
            "image_shape must be a pair (height, width) whose product is the number of features, "
            f"{n_features}, got {image_shape!r}."
        )
    return tuple(image_shape)


def _machine(estimator):
    """Return the machine inside a fitted pruner, search or pipeline (its last step)."""
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
    """Return the weight matrices of a machine, lowest level first."""
    machine = _machine(estimator)
    if not hasattr(machine, "components_"):
        raise TypeError(
            f"{type(machine).__name__} has no components_. Pass a fitted machine or network, or a "
            "pruner, search or pipeline that contains one."
        )
    components = machine.components_
    return [components] if isinstance(components, np.ndarray) else list(components)


class ImagesDisplay:
    """Draw rows of numbers as small images in a grid, on one pair of axes.

    Parameters
    ----------
    images : array-like of shape (n_images, n_features)
        Images to draw, one per row. NaN is drawn in grey.
    image_shape : (int, int), default=None
        Height and width of an image. If None, images are square.
    n_columns : int, default=10
        Number of images per line.

    Attributes
    ----------
    images : ndarray of shape (n_images, n_features)
        Images to draw.
    image_shape : (int, int)
        Height and width of an image.
    image_ : matplotlib AxesImage
        The image that :meth:`plot` drew last.
    ax_ : matplotlib Axes
        Axes with the image.
    figure_ : matplotlib Figure
        Figure with the axes.

    Raises
    ------
    ValueError
        If ``image_shape`` does not match the number of features.

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
        self.images = check_rows(images, "images", dtype=np.float64, ensure_all_finite="allow-nan")
        self.image_shape = _image_shape(image_shape, self.images.shape[1])
        self.n_columns = check_number(n_columns, "n_columns", numbers.Integral, low=1)

    @property
    def _limits(self):
        """The values drawn in white and in black. Images of a single value are drawn against 0."""
        values = self.images[np.isfinite(self.images)]
        if not values.size or values.min() < values.max():
            return None, None
        return min(values[0], 0), max(values[0], 0) or 1

    def mosaic(self) -> np.ndarray:
        """Arrange the images in a grid.

        Returns
        -------
        picture : ndarray of shape (height, width)
            The images, with a border of one pixel of NaN around each.
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
            Axes to draw on. If None, create a new figure.
        **options
            Options of ``Axes.imshow``, such as ``cmap``, ``vmin`` and ``vmax``.

        Returns
        -------
        display : ImagesDisplay
            The display itself.
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
    """Draw samples of a machine as images, in which 1 is black."""

    _limits = 0, 1

    @classmethod
    def from_estimator(
        cls, estimator, n_samples=50, *, image_shape=None, n_columns=10, ax=None, plot_options=None,
        **sampling,
    ):  # fmt: skip
        """Draw samples of a fitted machine.

        Parameters
        ----------
        estimator : estimator
            Fitted Boltzmann machine, or a pruner, search or pipeline that contains one.
        n_samples : int, default=50
            Number of samples to draw.
        image_shape : (int, int), default=None
            Height and width of an image. If None, images are square.
        n_columns : int, default=10
            Number of images per line.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, create a new figure.
        plot_options : dict, default=None
            Options of ``Axes.imshow``.
        **sampling
            Options of the machine's ``sample``, such as ``n_gibbs_steps``, ``random_state``,
            ``clamped`` or ``y``.

        Returns
        -------
        display : SamplesDisplay
            Display with the samples.

        Raises
        ------
        TypeError
            If the machine has no ``sample``.
        """
        machine = _machine(estimator)
        if not hasattr(machine, "sample"):
            raise TypeError(f"{type(machine).__name__} has no method sample. Pass a machine.")
        check_number(n_columns, "n_columns", numbers.Integral, low=1)
        if hasattr(machine, "n_features_in_"):
            _image_shape(image_shape, machine.n_features_in_)
        images = machine.sample(n_samples, **sampling)
        return cls(images, image_shape=image_shape, n_columns=n_columns).plot(
            ax, **(plot_options or {})
        )


class ReceptiveFieldsDisplay(ImagesDisplay):
    """Draw the weights between hidden and visible units as images.

    Each hidden unit is one image. Absent connections are grey.
    """

    _cmap = "RdBu_r"

    @property
    def _limits(self):
        """Limits that are symmetric about 0, so that a weight of 0 is white."""
        limit = np.nanmax(np.abs(self.images), initial=0.0) or 1.0
        return -limit, limit

    @classmethod
    def from_estimator(
        cls, estimator, *, level=0, units=None, image_shape=None, n_columns=10, ax=None,
        plot_options=None,
    ):  # fmt: skip
        """Draw the weights of hidden units.

        Above the first level, the weights are multiplied by the weights of all levels below. The
        product is the linear part of a unit's response to the visible units.

        Parameters
        ----------
        estimator : estimator
            Fitted machine or network, or a pruner, search or pipeline that contains one.
        level : int, default=0
            Index of the level whose upper units are drawn, lowest level first.
        units : array-like of int, default=None
            Indices of the hidden units to draw. If None, draw the first 50.
        image_shape : (int, int), default=None
            Height and width of an image. If None, images are square.
        n_columns : int, default=10
            Number of images per line.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, create a new figure.
        plot_options : dict, default=None
            Options of ``Axes.imshow``. By default, colours are symmetric about 0.

        Returns
        -------
        display : ReceptiveFieldsDisplay
            Display with the weights.

        Raises
        ------
        ValueError
            If the machine has no such level or unit.
        """
        weights = _weights(estimator)
        level = check_number(level, "level", numbers.Integral, low=0, high=len(weights) - 1)
        n_units = weights[level].shape[0]
        units = np.arange(min(50, n_units)) if units is None else np.atleast_1d(units)
        whole = np.issubdtype(units.dtype, np.integer) and units.size > 0
        if not whole or units.min() < 0 or units.max() >= n_units:
            raise ValueError(f"units must hold at least one int, all between 0 and {n_units - 1}.")
        fields = weights[level][units].astype(np.float64)
        machine = _machine(estimator)
        masks = machine.connectivity_
        seen = masks[level][units]
        for below in range(level - 1, -1, -1):
            fields, seen = fields @ weights[below], seen.astype(np.float64) @ masks[below] > 0
        n_features = machine.n_features_in_
        fields, seen = fields[:, :n_features], seen[:, :n_features]  # drop an unrolled posterior
        return cls(
            np.where(seen, fields, np.nan), image_shape=image_shape, n_columns=n_columns
        ).plot(ax, **(plot_options or {}))


class ReconstructionsDisplay(ImagesDisplay):
    """Draw rows of data as images, with their reconstructions below them."""

    _limits = 0, 1

    @classmethod
    @one_range_warning()
    def from_estimator(
        cls, estimator, X, *, image_shape=None, n_columns=10, ax=None, plot_options=None
    ):
        """Draw rows and their reconstructions.

        If values are missing (NaN), they are filled in by the machine's ``complete``, which leaves
        complete rows unchanged. Otherwise rows are reconstructed by ``transform`` followed by
        ``inverse_transform``.

        Parameters
        ----------
        estimator : estimator
            Fitted SparseDBN, DBMTransformer or SparseDBNAutoencoder, or a pruner, search or
            pipeline that contains one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.
        image_shape : (int, int), default=None
            Height and width of an image. If None, images are square.
        n_columns : int, default=10
            Number of images per line.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, create a new figure.
        plot_options : dict, default=None
            Options of ``Axes.imshow``.

        Returns
        -------
        display : ReconstructionsDisplay
            Display with the rows and their reconstructions.

        Raises
        ------
        TypeError
            If the machine has no ``complete`` to fill in NaN, or no ``inverse_transform``.
        """
        machine = _machine(estimator)
        n_columns = check_number(n_columns, "n_columns", numbers.Integral, low=1)
        given = X  # the machine itself checks feature names and accepts sparse data
        X = check_rows(X, dtype=np.float64, ensure_all_finite="allow-nan")
        if np.isnan(X).any():
            if not hasattr(machine, "complete"):
                raise TypeError(
                    f"{type(machine).__name__} cannot fill in missing values. Pass X without NaN."
                )
            back = machine.complete(given)
        elif hasattr(machine, "inverse_transform"):
            back = machine.inverse_transform(machine.transform(given))
        else:
            raise TypeError(
                f"{type(machine).__name__} has no inverse_transform. Pass a SparseDBN, a "
                "DBMTransformer or a SparseDBNAutoencoder."
            )
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
    """Draw histograms of the weights of the existing connections.

    Parameters
    ----------
    weights : list of ndarray of shape (n_connections,)
        Weights of the existing connections, one array per level.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.plotting import WeightsDisplay
    >>> display = WeightsDisplay([np.array([-1.0, 0.5, 0.7])]).plot(bins=2)
    >>> display.ax_.get_xlabel()
    'weight'
    """

    def __init__(self, weights):
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator, *, bins=100, ax=None, label=None, **options):
        """Draw one histogram per level of a fitted machine.

        Parameters
        ----------
        estimator : estimator
            Fitted machine or network, or a pruner, search or pipeline that contains one.
        bins : int or sequence, default=100
            Number of bins, or their edges.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, create a new figure.
        label : str, default=None
            Prefix of the level's name in the legend.
        **options
            Options of ``Axes.hist``.

        Returns
        -------
        display : WeightsDisplay
            Display with the weights.
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
            Axes to draw on. If None, create a new figure.
        bins : int or sequence, default=100
            Number of bins, or their edges.
        label : str, default=None
            Prefix of the level's name in the legend.
        **options
            Options of ``Axes.hist``.

        Returns
        -------
        display : WeightsDisplay
            The display itself.
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
    """Draw scores against sparsity.

    Parameters
    ----------
    sparsity : array-like of shape (n_points,)
        Share of the connections that are absent.
    score : array-like of shape (n_points,)
        Score of the pruned machine at each sparsity.
    spread : array-like of shape (n_points,), default=None
        Half length of the error bars.
    full_score : array-like of shape (n_points,), default=None
        Score of the unpruned machine after the same number of passes.
    score_pruned : array-like of shape (n_points,), default=None
        Score after pruning and before retraining.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

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
        """Draw the scores of a fitted pruner, or of a search over sparsity.

        Parameters
        ----------
        estimator : estimator
            Fitted IterativePruner with ``scoring``, IterativePrunerCV, or search such as
            GridSearchCV over a sparsity. If the search has more parameters than the sparsity, the
            best score at each sparsity is drawn. If a candidate has one sparsity per level, it is
            drawn at their mean. Candidates that failed or have no sparsity are left out.
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, create a new figure.
        label : str, default=None
            Name of the curve in the legend. If None, "pruned".
        **options
            Options of ``Axes.errorbar``.

        Returns
        -------
        display : SparsityDisplay
            Display with the scores.

        Raises
        ------
        ValueError
            If the estimator has no scores by sparsity, or has several scores per candidate.
        """
        check_is_fitted(estimator)
        results = getattr(estimator, "cv_results_", None)
        if results is None:
            history = getattr(estimator, "history_", {})
            if "score" not in history and any(name.startswith("score_") for name in history):
                raise ValueError(
                    "The pruner has several scores. Fit it with a single scorer to draw it."
                )
            if "score" not in history:
                raise ValueError(
                    f"{type(estimator).__name__} has no scores by sparsity. Pass an "
                    "IterativePruner with scoring, an IterativePrunerCV, or a search over sparsity."
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
                    "The search must be over exactly one parameter named sparsity, got "
                    f"{names or 'none'}."
                )
            if "mean_test_score" not in results:
                raise ValueError(
                    "The search has several scores. Fit it with a single scorer to draw it."
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
            Axes to draw on. If None, create a new figure.
        label : str, default=None
            Name of the curve in the legend. If None, "pruned".
        **options
            Options of ``Axes.errorbar``.

        Returns
        -------
        display : SparsityDisplay
            The display itself.
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
