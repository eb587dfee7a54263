"""Initial levels of a feed-forward network: random, greedily trained, or those of a machine."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._machine import inference
from .._machine.levels import Level, stack_of
from .._support.compat import NullCallbackContext
from .._support.threads import Team
from .._support.validation import check_same_features
from .._training.unrolling import (
    FeedForwardLevel,
    check_unrolling,
    is_unrollable,
    random_level,
)

PRETRAIN = ("rbm", "autoencoder", "supervised")

# Classes of the networks with one hidden layer that train a level, by the value of pretrain. The
# modules of the two networks register their classes here, because each network can be pre-trained
# with the other one.
SHALLOW: dict[str, type] = {}


def check_pretrain(pretrain, *, decoder) -> None:
    """Raise an error if ``pretrain`` is invalid for a kind of network.

    Parameters
    ----------
    pretrain : str, estimator or None
        Value of the parameter.
    decoder : bool
        Whether the network is an autoencoder.

    Raises
    ------
    TypeError
        If a frozen machine cannot be unrolled.
    ValueError
        If the value is not known, or a machine cannot be unrolled into this kind of network.
    """
    if pretrain is None or (isinstance(pretrain, str) and pretrain in PRETRAIN):
        return
    is_frozen = isinstance(pretrain, FrozenEstimator)
    machine = pretrain.estimator if is_frozen else pretrain
    if is_unrollable(machine):
        check_unrolling(machine, decoder)
    elif is_frozen:
        raise TypeError(
            "The FrozenEstimator in pretrain must hold a machine that can be unrolled, such as a "
            f"SparseDBN or a DBMTransformer, got a {type(machine).__name__}."
        )
    else:
        raise ValueError(
            f"pretrain={pretrain!r} is not known. Use 'rbm', 'autoencoder', 'supervised', None, a "
            "machine that can be unrolled, such as a SparseDBN or a DBMTransformer, or a fitted "
            "one in a FrozenEstimator."
        )


def planned_levels(pretrain, n_features) -> list | None:
    """Check a machine before training, and return the shapes of the levels it would provide.

    Parameters
    ----------
    pretrain : estimator
        Machine of which a clone is fitted, or a fitted one in a ``FrozenEstimator``.
    n_features : int or None
        Number of features of the training data, or None if it is not known.

    Returns
    -------
    shapes : list of (int or None, int or None), or None
        (n_upper, n_lower) of each level, lowest level first. The first level may have more inputs
        than features, so ``n_lower`` is None there. None if the machine does not say.
    """
    if isinstance(pretrain, FrozenEstimator):
        machine = pretrain.estimator
        check_is_fitted(machine)
        if n_features is not None and machine.n_features_in_ != n_features:
            raise ValueError(
                f"The pre-trained network has {machine.n_features_in_} visible units, but X has "
                f"{n_features} features. The two numbers must be equal."
            )
        shapes = [mask.shape for mask in getattr(machine, "connectivity_", ())] or None
    elif hasattr(pretrain, "planned_levels"):
        shapes = pretrain.planned_levels(n_features)
    else:
        shapes = None
    return None if shapes is None else [(shapes[0][0], None), *shapes[1:]]


def random_levels(n_inputs, sizes, dtype, rng) -> list:
    """Return levels with random weights on the scale of Glorot & Bengio (2010).

    Parameters
    ----------
    n_inputs : int
        Number of input units.
    sizes : list of int
        Number of units of each hidden layer, lowest layer first.
    dtype : dtype
        Floating-point type of the weights.
    rng : numpy.random.RandomState
        Random number generator.

    Returns
    -------
    levels : list of FeedForwardLevel
        Lowest level first.
    """
    levels, n_lower = [], n_inputs
    for size in sizes:
        levels.append(random_level(n_lower, size, dtype, rng))
        n_lower = size
    return levels


def greedy_levels(X, y, sizes, *, supervised, output, rng, **parameters) -> list:
    """Train each level as the hidden layer of a shallow network, lowest level first.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_inputs)
        Input of the network.
    y : array-like of shape (n_samples,) or None
        Class of each row, for shallow classifiers.
    sizes : list of int
        Number of units of each hidden layer, lowest layer first.
    supervised : bool
        Whether the shallow networks are classifiers instead of autoencoders.
    output : {"logistic", "linear", "softmax"}
        Activation function of the output of the first autoencoder. The others reconstruct
        activations of logistic units, so they have a logistic output.
    rng : numpy.random.RandomState
        Random number generator, which draws the seed of each shallow network.
    **parameters : dict
        Further parameters of the shallow networks.

    Returns
    -------
    levels : list of FeedForwardLevel
        Lowest level first.

    Raises
    ------
    ValueError
        If classes are needed and ``y`` is None.
    """
    if supervised and y is None:
        raise ValueError("pretrain='supervised' needs y. Pass y, or use another pretrain.")
    levels: list[FeedForwardLevel] = []
    for size in sizes:
        common = {
            **parameters,
            "pretrain": None,
            "random_state": rng.randint(np.iinfo(np.int32).max),
        }
        if supervised:
            shallow = SHALLOW["supervised"]((size,), **common).fit(X, y)
            lower = np.zeros(X.shape[1], shallow.intercepts_[0].dtype)
        else:
            shallow = SHALLOW["autoencoder"](
                (size,), code="logistic", output="logistic" if levels else output, **common
            ).fit(X)
            lower = shallow.intercepts_[1]
        level = FeedForwardLevel(
            shallow.components_[0], shallow.connectivity_[0], lower, shallow.intercepts_[0]
        )
        levels.append(level)
        X = logistic_activations(level, X)
    return levels


def logistic_activations(level: FeedForwardLevel, X) -> np.ndarray:
    """Return the activations of the logistic upper units of a level, given its lower units."""
    stack = stack_of(
        [Level.from_matrix(level.matrix, level.mask)], [level.lower_bias, level.upper_bias]
    )
    with Team(work=float(X.shape[0]) * level.mask.size) as team:
        return inference.feed_forward(stack, X, team)


def fitted_machine(pretrain, X, y, *, network, rng, context):
    """Return the fitted machine that a network starts from.

    Parameters
    ----------
    pretrain : estimator
        Machine of which a clone is fitted, or a fitted one in a ``FrozenEstimator``.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,) or None
        Class of each row, for machines that join labels.
    network : estimator
        Network that is being fitted. If it has a seed, it seeds the machine too.
    rng : numpy.random.RandomState
        Random number generator.
    context : callback context or None
        Context of ``fit`` of the network, in which the training of the machine is a task.

    Returns
    -------
    machine : estimator
        The fitted machine. For a frozen machine, it is not a copy.

    Raises
    ------
    ValueError
        If a frozen machine was trained on data with other feature names.
    """
    if isinstance(pretrain, FrozenEstimator):
        machine = pretrain.estimator
        check_same_features(network, machine)
        return machine
    machine = clone(pretrain)
    if network.random_state is not None or machine.random_state is None:
        machine.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
    context = NullCallbackContext() if context is None else context
    task = context.subcontext(task_name="pretrain")
    task.call_on_fit_task_begin(estimator=network, X=X, y=y)
    with task.propagate_callback_context(machine):
        machine.fit(X, y)
    task.call_on_fit_task_end(estimator=network, X=X, y=y)
    return machine
