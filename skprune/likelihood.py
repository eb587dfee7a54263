"""Log-likelihoods one can trust: exact log Z, annealed importance sampling, pseudo-likelihood.

All values are in nats.
"""

from __future__ import annotations

import numbers
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from ._kernels import fields as field_kernels
from ._kernels import scores
from ._kernels.records import Stack
from ._machine import inference
from ._machine.annealing import (
    base_log_partition,
    base_rates,
    log_weights_along,
    temperatures,
    tempered_samples,
)
from ._machine.levels import as_dtype
from ._support.options import check_number
from ._support.random import derived_key
from ._support.threads import Team, blocks

__all__ = [
    "LogPartition",
    "log_partition",
    "pseudo_log_likelihood",
]

MAX_EXACT_UNITS = 24
AUTO_EXACT_UNITS = 20
ENUMERATION_BLOCK = 1024
WIDE = 1.0  # nats; a wider bracket is warned of
FEW = 3.0  # chains; a lower effective sample size is warned of


class LogPartition(NamedTuple):
    """An estimate of log Z, in nats.

    Attributes
    ----------
    value : float
    standard_error : float
        0 for the exact value.
    bracket : tuple of float
        (low, high). Exact: the value twice. "ais" and "reverse_ais": the value
        minus and plus three standard errors; the first underestimates log Z on
        average, the second overestimates it. "bracket": from the low end of
        the one to the high end of the other, and the value is that of "ais".
    method : str
        "exact", "ais", "reverse_ais" or "bracket".
    effective_sample_size : float
        Of the importance weights: how many chains of equal weight would be as
        good. Infinite for the exact value; the smaller one for "bracket".
    """

    value: float
    standard_error: float
    bracket: tuple
    method: str
    effective_sample_size: float


def smaller_side(stack: Stack) -> tuple[int, int]:
    """Return (parity, number of units) of the layers that enumeration goes over."""
    sides = [sum(bias.size for bias in stack.biases[parity::2]) for parity in (0, 1)]
    parity = int(np.argmin(sides))
    return parity, sides[parity]


def exact_log_partition(stack: Stack, team: Team) -> LogPartition:
    """Return log Z by enumerating the states of every other layer, in float64.

    The layers in between are summed out analytically, so an RBM needs
    2^min(n_visible, n_hidden) terms. Memory stays bounded: states come in blocks.

    Raises
    ------
    ValueError
        If the smaller side has more than 24 units.
    """
    parity, n_units = smaller_side(stack)
    if n_units > MAX_EXACT_UNITS:
        raise ValueError(
            f"The exact log Z would enumerate 2^{n_units} states; it is limited to "
            f"{MAX_EXACT_UNITS} units on the smaller side. Use method='ais'."
        )
    stack = as_dtype(stack, np.float64)

    def one_block(block):
        numbers_ = np.arange(block.start, block.stop)
        states = inference.new_states(stack, numbers_.size)
        bit = 0
        for layer in range(parity, len(states), 2):
            for i in range(states[layer].shape[0]):
                states[layer][i, : numbers_.size] = (numbers_ >> bit) & 1
                bit += 1
        free = inference.summed_free_energy(stack, states, numbers_.size, summed=1 - parity)
        return logsumexp(-free)

    terms = team.map(one_block, blocks(2**n_units, ENUMERATION_BLOCK))
    value = float(logsumexp(terms))
    return LogPartition(value, 0.0, (value, value), "exact", np.inf)


def _log_mean(log_weights) -> tuple[float, float, float]:
    """Logarithm of the mean weight, its standard error, and the effective sample size."""
    weights = np.exp(log_weights - log_weights.max())
    value = float(log_weights.max() + np.log(weights.mean()))
    error = float(weights.std(ddof=1) / weights.mean() / np.sqrt(weights.size))
    return value, error, float(weights.sum() ** 2 / (weights**2).sum())


def ais_log_partition(stack: Stack, base, betas, key, team: Team, n_chains=100) -> LogPartition:
    """Estimate log Z by annealed importance sampling from the base-rate model.

    .. math:: \\log \\hat Z = \\log Z_0 + \\log \\tfrac1M \\sum_m w_m

    (Neal 2001; Salakhutdinov & Murray 2008.) exp of it is unbiased, so on
    average it underestimates log Z. The standard error is that of the mean
    weight, carried to the logarithm.
    """
    mean, error, size = _log_mean(
        log_weights_along(stack, base, betas, derived_key(key, "AIS"), team, n_chains)
    )
    value = base_log_partition(stack, base) + mean
    return LogPartition(value, error, (value - 3 * error, value + 3 * error), "ais", size)


def reverse_ais_log_partition(
    stack: Stack, base, betas, key, team: Team, n_chains=100, n_tempered_sweeps=1000
) -> LogPartition:
    """Estimate log Z by annealing from the machine back to the base-rate model.

    .. math:: \\log \\hat Z = \\log Z_0 - \\log \\tfrac1M \\sum_m w_m

    The chains start from independent tempered ones (:func:`tempered_samples`);
    as far as these are samples of the machine it overestimates log Z on
    average (Burda, Grosse & Salakhutdinov 2015).
    """
    start = tempered_samples(
        stack, base, derived_key(key, "tempered start"), team, n_chains, n_tempered_sweeps
    )
    log_weights = log_weights_along(
        stack, base, betas[::-1].copy(), derived_key(key, "reverse AIS"), team, n_chains, start
    )
    mean, error, size = _log_mean(log_weights)
    value = base_log_partition(stack, base) - mean
    return LogPartition(value, error, (value - 3 * error, value + 3 * error), "reverse_ais", size)


def _bracketed(low: LogPartition, high: LogPartition) -> LogPartition:
    """From the low end of AIS to the high end of reverse AIS, whichever is lower."""
    bracket = (min(low.bracket[0], high.bracket[0]), max(low.bracket[1], high.bracket[1]))
    size = min(low.effective_sample_size, high.effective_sample_size)
    return LogPartition(low.value, low.standard_error, bracket, "bracket", size)


METHODS = ("auto", "exact", "ais", "reverse_ais", "bracket")


def log_partition(
    stack: Stack, visible_means, key, team: Team, method="auto", n_chains=100, n_temperatures=1000,
    spacing="adaptive", softening=0.25, n_tempered_sweeps=1000,
) -> LogPartition:  # fmt: skip
    """Return log Z, exactly where one side has at most 20 units, else by AIS.

    The base-rate model has the visible means of the data, drawn towards 1/2
    by ``softening``.

    Warns
    -----
    ConvergenceWarning
        If the bracket is wider than one nat, or the effective sample size below three.

    Raises
    ------
    ValueError
        If the method is unknown or the exact sum is too long.
    """
    check_number(n_tempered_sweeps, "n_tempered_sweeps", numbers.Integral, low=1)
    check_number(softening, "softening", low=0, high=1)
    if method not in METHODS:
        legal = ", ".join(repr(name) for name in METHODS)
        raise ValueError(f"method={method!r} is not known. Use one of {legal}.")
    if method == "auto":
        method = "exact" if smaller_side(stack)[1] <= AUTO_EXACT_UNITS else "ais"
    if method == "exact":
        return exact_log_partition(stack, team)
    visible_means = np.asarray(visible_means, dtype=np.float64)
    visible_means = visible_means + softening * (0.5 - visible_means)
    base = base_rates(stack, visible_means)
    betas = temperatures(stack, base, n_temperatures, spacing, key)
    ends = []
    if method != "reverse_ais":
        ends.append(ais_log_partition(stack, base, betas, key, team, n_chains))
    if method != "ais":
        ends.append(
            reverse_ais_log_partition(stack, base, betas, key, team, n_chains, n_tempered_sweeps)
        )
    result = _bracketed(*ends) if method == "bracket" else ends[0]
    width = result.bracket[1] - result.bracket[0]
    if width > WIDE or result.effective_sample_size < FEW:
        warnings.warn(
            f"log Z lies between {result.bracket[0]:.1f} and {result.bracket[1]:.1f} by "
            f"method={method!r}, likelihoods are uncertain by {width:.1f} nats; {n_chains} chains "
            f"are worth {result.effective_sample_size:.1f}. Use more n_temperatures or n_chains.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return result


def pseudo_log_likelihood(stack: Stack, X, team: Team) -> np.ndarray:
    """Return sum_i log p(v_i | rest) of an RBM for every row, over all bits.

    .. math:: \\log PL(v) = -\\sum_i \\log(1 + e^{F(v) - F(v^{(i)})})

    with v^(i) the row with bit i turned over. Exact and deterministic. It is
    no likelihood: compare it between models only as what it is.

    Returns
    -------
    values : ndarray of float64 of shape (n_samples,)
    """

    def one_block(block):
        rows = np.arange(block.start, block.stop)
        states = inference.row_states(stack, rows.size)
        inference.load(X, rows, states[0])
        field_kernels.fields(stack, 1, states, inference.unpacked(stack), states[1])
        total = np.zeros(rows.size)
        scores.pseudo_log_likelihood(stack, states[0], states[1], total)
        return total

    return np.concatenate(team.map(one_block, blocks(X.shape[0], 64)))


def log_conditional(stack: Stack, lower, upper, team: Team) -> np.ndarray:
    """Return log p(lower | upper) of every row, the lower units of an RBM given its upper ones.

    .. math:: \\log p(v | h) = v^T (b + W^T h) - \\sum_i \\log(1 + e^{b_i + (W^T h)_i})

    Returns
    -------
    values : ndarray of float64 of shape (n_samples,)
    """

    def one_block(block):
        n_rows = block.stop - block.start
        rows = np.arange(block.start, block.stop)
        states = inference.row_states(stack, n_rows)
        inference.load(lower, rows, states[0])
        inference.load(upper, rows, states[1])
        field = np.zeros_like(states[0])
        field_kernels.fields(stack, 0, states, inference.unpacked(stack), field)
        products, total = np.zeros(n_rows), np.zeros(n_rows)
        scores.add_pair_products(states[0], field, products)
        scores.add_softplus(field, total)
        return products - total

    return np.concatenate(team.map(one_block, blocks(lower.shape[0])))
