"""Validation of parameters, and the objects that names of options stand for."""

from __future__ import annotations

import numbers

import numpy as np


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


def check_number(value, parameter, kind=numbers.Real, low=None, high=None, closed="both"):
    """Return a number if it is finite, of the right type and within the limits.

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

    Raises
    ------
    TypeError
        If ``value`` has the wrong type.
    ValueError
        If ``value`` is not finite or outside the limits.
    """
    noun = "an integer" if kind is numbers.Integral else "a number"
    left = "[" if closed in ("both", "left") else "("
    right = "]" if closed in ("both", "right") else ")"
    span = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
        raise TypeError(
            f"{parameter} must be {noun} in {span}, got {value!r} of type {type(value).__name__}."
        )
    too_low = low is not None and (value < low or (value == low and left == "("))
    too_high = high is not None and (value > high or (value == high and right == ")"))
    if not np.isfinite(value) or too_low or too_high:
        raise ValueError(f"{parameter} must be {noun} in {span}, got {value!r}.")
    return value


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
    for size in sizes:
        check_number(size, "an entry of hidden_layer_sizes", numbers.Integral, low=1)
    return [int(size) for size in sizes]


def check_choice(name, value, legal):
    """Raise a ValueError if a value is not one of the legal ones."""
    if value not in legal:
        raise ValueError(
            f"{name}={value!r} is not known. Use one of "
            f"{', '.join(repr(choice) for choice in legal)}."
        )
