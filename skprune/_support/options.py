"""Validation of parameters, and the objects that names of options stand for."""

from __future__ import annotations

import math
import numbers

import numpy as np

# Types that pass as numbers for isinstance, but do not mean one.
NOT_NUMBERS = (bool, np.bool_, np.timedelta64)


def resolve(value, registry: dict, parameter: str):
    """Return the registered object if the value is a name, and the value itself otherwise.

    Parameters
    ----------
    value : str or object
        Value of the parameter.
    registry : dict
        Objects by name.
    parameter : str
        Name of the parameter, for the error message.

    Returns
    -------
    value : object

    Raises
    ------
    ValueError
        If ``value`` is a string that is not in the registry.
    """
    if not isinstance(value, str):
        return value
    if value not in registry:
        legal = ", ".join(repr(name) for name in registry)
        raise ValueError(
            f"{parameter}={value!r} is not known. Use one of {legal}, or pass an object."
        )
    return registry[value]


def resolve_function(value, registry: dict, parameter: str):
    """Return the registered function if the value is a name, and the value itself otherwise.

    Parameters
    ----------
    value : str or callable
        Value of the parameter.
    registry : dict
        Functions by name.
    parameter : str
        Name of the parameter, for the error message.

    Returns
    -------
    function : callable

    Raises
    ------
    ValueError
        If ``value`` is a string that is not in the registry.
    TypeError
        If ``value`` is not callable.
    """
    function = resolve(value, registry, parameter)
    if not callable(function):
        legal = ", ".join(repr(name) for name in registry)
        raise TypeError(f"{parameter} must be one of {legal} or a function, got {value!r}.")
    return function


LARGEST = float(np.finfo(np.float32).max)


def check_number(value, parameter, kind=numbers.Real, low=None, high=None, closed="both"):
    """Return a Python number if a value is finite, of the right type and within the limits.

    NumPy scalars of any width are accepted. Arrays are not, even if they have no dimension, as in
    scikit-learn.

    Parameters
    ----------
    value : object
        Value of the parameter.
    parameter : str
        Name of the parameter, for the error message.
    kind : type, default=numbers.Real
        ``numbers.Real`` or ``numbers.Integral``. bool is never allowed.
    low, high : float, default=None
        Limits. If None, there is no limit on that side.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which of the limits are allowed values.

    Returns
    -------
    value : int or float
        An int if ``value`` is an integer, and a float otherwise.

    Raises
    ------
    TypeError
        If ``value`` has the wrong type.
    ValueError
        If ``value`` is not finite, is outside the limits, is an integer beyond 64 bits, or is
        larger than any float32. Machines for float32 data compute with float32.
    """
    noun = "an integer" if kind is numbers.Integral else "a number"
    left = "[" if closed in ("both", "left") else "("
    right = "]" if closed in ("both", "right") else ")"
    span = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
    if isinstance(value, NOT_NUMBERS) or not isinstance(value, kind):
        raise TypeError(
            f"{parameter} must be {noun} in {span}, got {value!r} of type {type(value).__name__}."
        )
    if isinstance(value, numbers.Integral) and not -(2**63) <= value < 2**63:
        raise ValueError(
            f"{parameter} must be {noun} in {span}, got an integer of {int(value).bit_length()} "
            "bits. Integers beyond 64 bits, with their sign, are not supported."
        )
    try:
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
    except OverflowError:  # a fraction of large integers
        number = math.inf
    too_low = low is not None and (number < low or (number == low and left == "("))
    too_high = high is not None and (number > high or (number == high and right == ")"))
    if not math.isfinite(number) or too_low or too_high:
        raise ValueError(f"{parameter} must be {noun} in {span}, got {number!r}.")
    if abs(number) > LARGEST:
        raise ValueError(
            f"{parameter} must be {noun} that float32 can hold, at most {LARGEST:.3g}, got "
            f"{number!r}."
        )
    return number


def check_shape(shape, parameter="shape") -> tuple[int, int]:
    """Return a pair of positive ints, such as the shape of a mask or of an image.

    Parameters
    ----------
    shape : (int, int)
        Value of the parameter.
    parameter : str, default="shape"
        Name of the parameter, for the error message.

    Returns
    -------
    shape : (int, int)

    Raises
    ------
    TypeError, ValueError
        If the value is not a pair of positive integers.
    """
    if np.ndim(shape) != 1 or len(shape) != 2:
        raise ValueError(f"{parameter} must be a pair of integers, got {shape!r}.")
    first, second = (
        check_number(side, f"an entry of {parameter}", numbers.Integral, low=1) for side in shape
    )
    return first, second


def check_layer_sizes(sizes) -> list:
    """Return the sizes of the hidden layers as a list.

    Parameters
    ----------
    sizes : int or sequence of int
        Number of units of each hidden layer. An int stands for one layer.

    Returns
    -------
    sizes : list of int

    Raises
    ------
    TypeError, ValueError
        If there is no layer, or a size is not a positive integer.
    """
    sizes = [sizes] if isinstance(sizes, numbers.Integral) else sizes
    if not np.iterable(sizes) or isinstance(sizes, str):
        raise TypeError(
            "hidden_layer_sizes must be an int or a sequence of ints, one per hidden layer, got "
            f"{sizes!r}."
        )
    sizes = list(sizes)
    if not sizes:
        raise ValueError("hidden_layer_sizes is empty. Pass the size of at least one hidden layer.")
    return [
        check_number(size, "an entry of hidden_layer_sizes", numbers.Integral, low=1)
        for size in sizes
    ]


def check_choice(name, value, legal):
    """Raise a ValueError if a value is not one of the legal ones."""
    if value not in legal:
        raise ValueError(
            f"{name}={value!r} is not known. Use one of "
            f"{', '.join(repr(choice) for choice in legal)}."
        )


def check_unchanged_sizes(fitted, wanted) -> None:
    """Raise a ValueError if training is to continue, but parameters ask for other sizes.

    Parameters
    ----------
    fitted : list of int or None
        Number of units of each layer in the first fit. None stands for a number that is not known.
    wanted : list of int or None
        Number of units for which the parameters ask.
    """
    pairs = zip(fitted, wanted, strict=False)
    if len(fitted) != len(wanted) or any(a != b and None not in (a, b) for a, b in pairs):
        raise ValueError(
            f"Training cannot continue with other sizes: the fitted layers have {list(fitted)} "
            f"units, but the parameters ask for {list(wanted)}. Restore the sizes, or fit a new "
            "estimator with warm_start=False."
        )


# What to pass in place of a name, None or a bool, so that its parameters can be set.
OBJECTS = {
    "criterion": "Fisher()",
    "estimator": "PrunedBernoulliRBM()",
    "fine_tune": "UpDown()",
    "learning_rate_schedule": "FallingRate()",
    "negative_phase": "ParallelTempering()",
    "pretrain": "SparseDBN()",
    "pruner": "IterativePruner()",
    "rbm": "PrunedBernoulliRBM()",
    "retrain": "Rewind()",
    "schedule": "FractionOfRemaining()",
    "target": "Units()",
}


def check_nested_parameters(estimator, parameters) -> None:
    """Raise an error if a parameter has the form ``<owner>__<name>``, but the owner has none.

    ``rbm=None`` stands for a machine with default parameters, for example, which do not exist
    until ``fit``.

    Parameters
    ----------
    estimator : estimator
        Estimator whose parameters are to be set.
    parameters : dict
        Arguments of ``set_params``.

    Raises
    ------
    ValueError
        If the owner is not an object with parameters.
    """
    own = estimator.get_params(deep=False)
    for name in parameters:
        owner, separator, _ = name.partition("__")
        if not separator or owner not in own:
            continue
        value = parameters.get(owner, own[owner])
        if not hasattr(value, "set_params"):
            advice = "an object that has this parameter"
            if owner in OBJECTS:
                advice = f"{owner}={OBJECTS[owner]}"
            raise ValueError(
                f"{name} cannot be set, because {owner}={value!r} has no parameters. Pass "
                f"{advice} first, or in the same call."
            )
