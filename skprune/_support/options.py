"""From the name of an option to its object, and checks of numbers."""

from __future__ import annotations

import numbers

import numpy as np


def resolve(value, registry: dict, parameter: str):
    """Return the registered object for a name; pass any other object through.

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
    """Return the registered function for a name, or the function itself.

    Raises
    ------
    ValueError, TypeError
        If the name is not in the registry, or ``value`` cannot be called.
    """
    function = resolve(value, registry, parameter)
    if not callable(function):
        legal = ", ".join(repr(name) for name in registry)
        raise TypeError(f"{parameter} must be one of {legal} or a function, got {value!r}.")
    return function


def check_number(value, parameter, kind=numbers.Real, low=None, high=None, closed="both"):
    """Return ``value`` if it is a finite number of this kind within the limits.

    ``closed`` says which limits are themselves allowed: "both", "left",
    "right" or "neither".

    Raises
    ------
    TypeError, ValueError
        With a sentence that names the parameter and what is legal.
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
    """Return the units of the hidden layers as a list; a bare number is one layer.

    Raises
    ------
    TypeError, ValueError
        If there is no layer, or a size is no positive integer.
    """
    sizes = [sizes] if isinstance(sizes, numbers.Integral) else sizes
    if not np.iterable(sizes) or isinstance(sizes, str):
        raise TypeError(
            f"hidden_layer_sizes must be a number of units, or hold one a layer, got {sizes!r}."
        )
    sizes = list(sizes)
    if not sizes:
        raise ValueError("hidden_layer_sizes is empty; give the units of one layer or more.")
    for size in sizes:
        check_number(size, "an entry of hidden_layer_sizes", numbers.Integral, low=1)
    return [int(size) for size in sizes]


def check_choice(name, value, legal):
    """Raise a ValueError where a value is not one of the legal ones."""
    if value not in legal:
        raise ValueError(
            f"{name}={value!r} is not known. Use one of "
            f"{', '.join(repr(choice) for choice in legal)}."
        )
