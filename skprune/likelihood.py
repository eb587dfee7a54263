"""The partition function and other scores of fitted machines, in nats.

The public functions take a fitted machine. The others take the weights and biases of one, as a
stack, and machines call them in their methods.
"""

from __future__ import annotations

import numbers
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from ._kernels import fields as field_kernels
from ._kernels import scores
from ._kernels.records import Base, Stack
from ._machine import inference
from ._machine.annealing import (
    base_log_partition,
    log_weights_along,
    temperatures,
    tempered_samples,
)
from ._machine.levels import as_dtype
from ._support.options import check_choice, check_number
from ._support.random import derived_key
from ._support.stored import check_list, check_real
from ._support.threads import Team, blocks

__all__ = [
    "LogPartition",
    "log_partition",
    "pseudo_log_likelihood",
]

MAX_EXACT_UNITS = 24
AUTO_EXACT_UNITS = 20
ENUMERATION_BLOCK = 1024
WIDE = 1.0  # nats; a wider bracket triggers a warning
WORK_OF_EXP = 10.0  # connection updates that take as long as an exponential
FEW = 3.0  # chains; a lower effective sample size triggers a warning


class LogPartition(NamedTuple):
    """An estimate of log Z, in nats.

    Attributes
    ----------
    value : float
        Estimate of log Z. "ais" underestimates log Z on average, and "reverse_ais" overestimates
        it. The value of "bracket" is that of "ais".
    standard_error : float
        Standard error of the value. It is 0 for "exact".
    bracket : (float, float)
        Lower and upper end of a range for log Z. For "ais" and "reverse_ais" these are the value
        minus and plus three standard errors. For "bracket" they are the lower end of "ais" and the
        upper end of "reverse_ais". For "exact" both are the value.
    method : {"exact", "ais", "reverse_ais", "bracket"}
        How log Z was computed.
    effective_sample_size : float
        Number of chains with equal importance weights that would be as accurate. It is infinite
        for "exact". For "bracket" it is the smaller one of the two directions.
    """

    value: float
    standard_error: float
    bracket: tuple
    method: str
    effective_sample_size: float


def shifted(estimate: LogPartition, constant) -> LogPartition:
    """Return an estimate to which a constant is added."""
    low, high = estimate.bracket
    return estimate._replace(
        value=estimate.value + constant, bracket=(low + constant, high + constant)
    )


def check_kept(kept) -> None:
    """Raise a ValueError if a stored dict does not hold estimates of log Z."""
    if not isinstance(kept, dict) or not all(isinstance(name, str) for name in kept):
        raise ValueError("The estimates of log Z that are kept must be a dict.")
    for fields in kept.values():
        check_list(fields, "An estimate of log Z", len(LogPartition._fields))
        value, error, bracket, method, size = fields
        check_real(value, "log Z")
        check_real(error, "The standard error of log Z", low=0, finite=False)
        check_list(bracket, "The bracket of log Z", 2)
        low, high = bracket
        check_real(low, "The lower end of log Z", finite=False)
        check_real(high, "The upper end of log Z", low=low, finite=False)
        check_choice("method", method, METHODS[1:])
        check_real(size, "The effective sample size of log Z", low=0, finite=False)


def smaller_side(stack: Stack) -> tuple[int, int]:
    """Return which layers have fewer units, even (0) or odd (1), and their number of units.

    Gaussian units have no states that could be enumerated, so their side is never returned.
    """
    sides = [sum(bias.size for bias in stack.biases[parity::2]) for parity in (0, 1)]
    parity = 1 if inference.has_gaussian_units(stack) else int(np.argmin(sides))
    return parity, sides[parity]


def exact_log_partition(stack: Stack, team: Team) -> LogPartition:
    """Return the exact log Z, computed in float64.

    The states of either the even or the odd layers are enumerated, and the other layers are summed
    out analytically. The sum has 2^n terms, where n is the smaller of the two numbers of units.
    For an RBM, n is min(n_visible, n_hidden). States are processed in blocks of bounded size.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    team : Team
        Threads that share the blocks.

    Returns
    -------
    log_partition : LogPartition
        Value, standard error, bracket, method and effective sample size.

    Raises
    ------
    ValueError
        If the smaller side has more than 24 units.
    """
    parity, n_units = smaller_side(stack)
    if n_units > MAX_EXACT_UNITS:
        raise ValueError(
            f"The exact log Z would be a sum of 2^{n_units} terms, but it is limited to "
            f"{MAX_EXACT_UNITS} binary units on one side. Use method='ais'."
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

    work = inference.n_parameters(stack) * 2.0**n_units
    terms = team.map(one_block, blocks(2**n_units, ENUMERATION_BLOCK), work)
    value = float(logsumexp(terms))
    return LogPartition(value, 0.0, (value, value), "exact", np.inf)


def _log_mean(log_weights) -> tuple[float, float, float]:
    """Return the logarithm of the mean weight, its standard error and the effective sample size."""
    weights = np.exp(log_weights - log_weights.max())
    value = float(log_weights.max() + np.log(weights.mean()))
    error = float(weights.std(ddof=1) / weights.mean() / np.sqrt(weights.size))
    return value, error, float(weights.sum() ** 2 / (weights**2).sum())


def ais_log_partition(stack: Stack, base, betas, key, team: Team, n_chains=100) -> LogPartition:
    """Estimate log Z by annealed importance sampling from the base-rate model.

    .. math:: \\log \\hat Z = \\log Z_0 + \\log \\tfrac1M \\sum_m w_m

    See Neal (2001) and Salakhutdinov & Murray (2008). The estimate of Z is unbiased, so that of
    log Z is too low on average. Its standard error is that of the mean weight, divided by the mean
    weight.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model.
    betas : ndarray of shape (n_steps + 1,)
        Inverse temperatures, from 0 to 1.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the chains.
    n_chains : int, default=100
        Number of chains.

    Returns
    -------
    log_partition : LogPartition
        Value, standard error, bracket, method and effective sample size.
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

    See Burda, Grosse & Salakhutdinov (2015). Chains start from the states of independent tempered
    chains (:func:`~skprune._machine.annealing.tempered_samples`). If these are samples of the
    machine, the estimate is too high on average.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model.
    betas : ndarray of shape (n_steps + 1,)
        Inverse temperatures, from 0 to 1.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the chains.
    n_chains : int, default=100
        Number of chains.
    n_tempered_sweeps : int, default=1000
        Number of parallel-tempering sweeps before the chains start.

    Returns
    -------
    log_partition : LogPartition
        Value, standard error, bracket, method and effective sample size.
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
    """Combine the estimates of both directions. The bracket covers the outer ends of both."""
    bracket = (min(low.bracket[0], high.bracket[0]), max(low.bracket[1], high.bracket[1]))
    size = min(low.effective_sample_size, high.effective_sample_size)
    return LogPartition(low.value, low.standard_error, bracket, "bracket", size)


METHODS = ("auto", "exact", "ais", "reverse_ais", "bracket")


def stack_log_partition(
    stack: Stack, base: Base, key, team: Team, method="auto", n_chains=100, n_temperatures=1000,
    spacing="adaptive", n_tempered_sweeps=1000,
) -> LogPartition:  # fmt: skip
    """Return log Z in nats.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    base : Base
        The base-rate model.
    key : numpy.uint64
        Key of the random numbers.
    team : Team
        Threads that share the work.
    method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
        "exact" is limited to 24 units on the smaller side. "auto" is "exact" for up to 20 units,
        and "ais" otherwise. "bracket" runs "ais" and "reverse_ais".
    n_chains : int, default=100
        Number of annealed chains.
    n_temperatures : int, default=1000
        Number of steps of the path between the base-rate model and the machine.
    spacing : {"adaptive", "linear"} or array-like, default="adaptive"
        Inverse temperatures of the path. An array must increase from 0 to 1.
    n_tempered_sweeps : int, default=1000
        Number of parallel-tempering sweeps before the reverse chains start.

    Returns
    -------
    log_partition : LogPartition
        Value, standard error, bracket, method and effective sample size.

    Raises
    ------
    ValueError
        If the method or the spacing is unknown, or the exact sum has too many terms.

    Warns
    -----
    ConvergenceWarning
        If the bracket is wider than one nat, or the effective sample size is below three.
    """
    n_tempered_sweeps = check_number(
        n_tempered_sweeps, "n_tempered_sweeps", numbers.Integral, low=1
    )
    if method not in METHODS:
        legal = ", ".join(repr(name) for name in METHODS)
        raise ValueError(f"method={method!r} is not known. Use one of {legal}.")
    if method == "auto":
        method = "exact" if smaller_side(stack)[1] <= AUTO_EXACT_UNITS else "ais"
    if method == "exact":
        return exact_log_partition(stack, team)
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
            f"log Z is between {result.bracket[0]:.1f} and {result.bracket[1]:.1f} with "
            f"method={method!r}, so log-likelihoods are uncertain by {width:.1f} nats ({n_chains} "
            f"chains have an effective sample size of {result.effective_sample_size:.1f}). "
            "Increase n_temperatures or n_chains.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return result


def stack_pseudo_log_likelihood(stack: Stack, X, team: Team) -> np.ndarray:
    """Return the pseudo-log-likelihood of each row under an RBM, in nats.

    .. math:: \\log PL(v) = \\sum_i \\log p(v_i | v_{-i})
        = -\\sum_i \\log(1 + e^{F(v) - F(v^{(i)})})

    F is the free energy, and v^(i) is the row with bit i flipped. The sum is over all bits, so the
    result is exact and deterministic. The pseudo-log-likelihood is not a log-likelihood, and the
    two must not be compared.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    X : {ndarray, csr_array} of shape (n_samples, n_visible)
        Data.
    team : Team
        Threads that share the rows.

    Returns
    -------
    values : ndarray of float64 of shape (n_samples,)
        Pseudo-log-likelihoods in nats.
    """

    def one_block(block):
        rows = np.arange(block.start, block.stop)
        states = inference.row_states(stack, rows.size)
        inference.load(X, rows, states[0])
        field_kernels.fields(stack, 1, states, inference.unpacked(stack), states[1])
        total = np.zeros(rows.size)
        scores.pseudo_log_likelihood(stack, states[0], states[1], total, team.barrier)
        return total

    work = float(X.shape[0]) * inference.n_parameters(stack) * WORK_OF_EXP
    return np.concatenate(team.map(one_block, blocks(X.shape[0], 64), work))


def log_conditional(stack: Stack, lower, upper, team: Team) -> np.ndarray:
    """Return the log-probability of the lower units of an RBM given the upper units, in nats.

    .. math:: \\log p(v | h) = v^T (b + W^T h) - \\sum_i \\log(1 + e^{b_i + (W^T h)_i})

    For Gaussian units it is the log-density of a normal distribution with mean b + W^T h and
    variance 1.

    Parameters
    ----------
    stack : Stack
        Weights and biases of the machine.
    lower : {ndarray, csr_array} of shape (n_samples, n_lower)
        States of the lower units.
    upper : {ndarray, csr_array} of shape (n_samples, n_upper)
        States of the upper units.
    team : Team
        Threads that share the rows.

    Returns
    -------
    values : ndarray of float64 of shape (n_samples,)
        Log-probabilities in nats.
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
        if inference.has_gaussian_units(stack):
            residual = states[0] - field
            scores.add_pair_products(residual, residual, products)
            return -products / 2 - field.shape[0] * inference.LOG_NORMAL
        scores.add_pair_products(states[0], field, products)
        scores.add_softplus(field, total)
        return products - total

    return np.concatenate(team.map(one_block, blocks(lower.shape[0])))


def log_partition(machine, method="auto", **options) -> LogPartition:
    """Return log Z of a fitted machine, in nats.

    Parameters
    ----------
    machine : estimator
        Fitted machine, or a pruner of one.
    method : {"auto", "exact", "ais", "reverse_ais", "bracket"}, default="auto"
        See :meth:`PrunedBernoulliRBM.log_partition <skprune.PrunedBernoulliRBM.log_partition>`.
    **options
        Passed to the method ``log_partition`` of the machine.

    Returns
    -------
    log_partition : LogPartition
        Value, standard error, bracket, method and effective sample size.

    Raises
    ------
    TypeError
        If the estimator has no partition function.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune import PrunedBernoulliRBM
    >>> from skprune.likelihood import log_partition
    >>> X = np.random.RandomState(0).randint(0, 2, (50, 6))
    >>> log_partition(PrunedBernoulliRBM(4, random_state=0).fit(X)).method
    'exact'
    """
    return _method(machine, "log_partition")(method, **options)


def pseudo_log_likelihood(machine, X) -> np.ndarray:
    """Return the pseudo-log-likelihood of each row, in nats.

    .. math:: \\sum_i \\log p(v_i | v_1, \\dots, v_{i-1}, v_{i+1}, \\dots)

    The sum runs over all visible units. It is not a log-likelihood, and the two must not be
    compared.

    Parameters
    ----------
    machine : estimator
        Fitted restricted Boltzmann machine, or a pruner of one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data with values in [0, 1].

    Returns
    -------
    values : ndarray of float64 of shape (n_samples,)
        Pseudo-log-likelihoods in nats.

    Raises
    ------
    TypeError
        If the estimator has no pseudo-log-likelihood.
    """
    return _method(machine, "pseudo_log_likelihood")(X)


def _method(machine, name):
    """Return a method of a fitted estimator."""
    check_is_fitted(machine)
    if not hasattr(machine, name):
        raise TypeError(
            f"{type(machine).__name__} has no method {name}. Pass a fitted Boltzmann machine."
        )
    return getattr(machine, name)
