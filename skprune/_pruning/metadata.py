"""Metadata, such as sample weights, that a pruner hands on to its estimator, scorer and splitter."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from sklearn import get_config
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import process_routing

ACCEPTS = "_accept_sample_weight"  # scikit-learn's question to a scorer


class Metadata(NamedTuple):
    """The arguments of ``fit`` of a pruner, by the method that they are for.

    Attributes
    ----------
    fit : dict
        Arguments of ``fit`` of the estimator.
    score : dict
        Arguments of the scorer.
    split : dict
        Arguments of ``split`` of the splitter.
    """

    fit: dict
    score: dict
    split: dict


def routing_enabled() -> bool:
    """Return whether scikit-learn's metadata routing is switched on."""
    return bool(get_config().get("enable_metadata_routing", False))


def fit_metadata(pruner, given, scorer=None, *, splits=False) -> Metadata:
    """Return which arguments of ``fit`` of a pruner go where.

    With metadata routing, they go where they are requested. Without it, all go to ``fit`` of the
    estimator, as in :class:`~sklearn.feature_selection.SelectFromModel`. As in
    :class:`~sklearn.model_selection.GridSearchCV`, ``sample_weight`` also goes to the scorer, if it
    takes one, and ``groups`` go to the splitter instead.

    Parameters
    ----------
    pruner : estimator
        Pruner whose ``fit`` was called.
    given : dict
        Arguments of ``fit``, without X and y.
    scorer : callable, default=None
        Scorer of the pruner, or None if it has none.
    splits : bool, default=False
        Whether the pruner has a splitter.

    Returns
    -------
    metadata : Metadata

    Raises
    ------
    TypeError
        If an argument is not requested, or ``fit`` of the estimator does not take it.
    """
    if not given:
        return Metadata({}, {}, {})
    if routing_enabled():
        routed = process_routing(pruner, "fit", **given)
        parts = (("estimator", "fit"), ("scorer", "score"), ("splitter", "split"))
        return Metadata(
            *(dict(routed[name][method]) if name in routed else {} for name, method in parts)
        )
    fit, split = dict(given), {}
    if splits and fit.get("groups") is not None:
        split = {"groups": fit.pop("groups")}
    check_accepted(pruner.estimator, fit)
    score = {}
    if fit.get("sample_weight") is not None and takes_sample_weight(scorer):
        score = {"sample_weight": fit["sample_weight"]}
    return Metadata(fit, score, split)


def check_accepted(estimator, arguments) -> None:
    """Raise a TypeError if ``fit`` of an estimator does not take some arguments."""
    if not arguments or estimator is None:
        return
    machine = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    taken = inspect.signature(machine.fit).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        return
    unknown = [name for name in arguments if name not in taken]
    if unknown:
        raise TypeError(
            f"fit of {type(machine).__name__} does not take {', '.join(unknown)}. Pass only what "
            "it takes."
        )


def takes_sample_weight(scorer) -> bool:
    """Return whether a scorer can be called with ``sample_weight``."""
    if scorer is None:
        return False
    several = getattr(scorer, "_scorers", None)
    if several is not None:  # scikit-learn asks each of them, which a plain function cannot answer
        if not all(hasattr(one, ACCEPTS) for one in several.values()):
            return False
        return any(takes_sample_weight(one) for one in several.values())
    if hasattr(scorer, ACCEPTS):
        return bool(getattr(scorer, ACCEPTS)())
    try:
        return "sample_weight" in inspect.signature(scorer).parameters
    except (TypeError, ValueError):
        return False
