"""Log-likelihoods one can trust: exact log Z, annealed importance sampling, pseudo-likelihood.

All values are in nats.
"""

from __future__ import annotations

import numbers

import numpy as np
from scipy.special import logsumexp

from . import _kernels, inference
from ._options import check_number
from ._structures import LogPartition, Stack
from ._threads import Team

__all__ = ["LogPartition", "log_partition", "pseudo_log_likelihood"]

MAX_EXACT_UNITS = 24
AUTO_EXACT_UNITS = 20
ENUMERATION_BLOCK = 1024
CHAIN_BLOCK = 64  # chains; fixed, so that no result depends on the number of threads


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
    stack = inference.as_dtype(stack, np.float64)

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

    terms = team.map(one_block, inference.blocks(2**n_units, ENUMERATION_BLOCK))
    value = float(logsumexp(terms))
    return LogPartition(value, 0.0, (value, value), "exact")


def base_rates(stack: Stack, visible_means) -> tuple:
    """Return the biases of the base-rate model: log-odds of the data means, 0 further up."""
    dtype = stack.biases[0].dtype
    means = np.clip(np.asarray(visible_means, np.float64), 1e-3, 1 - 1e-3)
    base = [np.zeros(bias.size, dtype) for bias in stack.biases]
    base[0] = np.log(means / (1 - means)).astype(dtype)
    return tuple(base)


def ais_log_partition(
    stack: Stack, visible_means, key, team: Team, n_chains=100, n_temperatures=1000
) -> LogPartition:
    """Estimate log Z by annealed importance sampling from the base-rate model.

    .. math:: \\log \\hat Z = \\log Z_0 + \\log \\tfrac1M \\sum_m w_m

    (Neal 2001; Salakhutdinov & Murray 2008.) exp of it is unbiased, so on
    average it underestimates log Z. The standard error is that of the mean
    weight, carried to the logarithm.
    """
    base = base_rates(stack, visible_means)
    betas = np.linspace(0, 1, n_temperatures + 1)
    log_weights = np.zeros(n_chains)

    def one_block(block):
        n_lanes = block.stop - block.start
        states = inference.new_states(stack, n_lanes)
        packed = inference.new_packed(stack, n_lanes, range(len(states)))
        part = np.zeros(n_lanes)
        _kernels.anneal(
            stack, base, betas, states, packed, part, n_lanes, block.start, key,
            inference.blas_address(stack),
        )  # fmt: skip
        log_weights[block] = part

    team.map(one_block, inference.blocks(n_chains, CHAIN_BLOCK))
    log_z_base = sum(
        float(np.logaddexp(0, base[layer].astype(np.float64)).sum())
        if layer % 2 == 0
        else stack.biases[layer].size * np.log(2)
        for layer in range(len(base))
    )
    weights = np.exp(log_weights - log_weights.max())
    value = float(log_z_base + log_weights.max() + np.log(weights.mean()))
    error = float(weights.std(ddof=1) / weights.mean() / np.sqrt(n_chains))
    return LogPartition(value, error, (value - 3 * error, value + 3 * error), "ais")


def log_partition(
    stack: Stack, visible_means, key, team: Team, method="auto", n_chains=100, n_temperatures=1000
) -> LogPartition:
    """Return log Z, exactly where one side has at most 20 units, else by AIS.

    Raises
    ------
    ValueError
        If the method is unknown or the exact sum is too long.
    """
    check_number(n_chains, "n_chains", numbers.Integral, low=2)
    check_number(n_temperatures, "n_temperatures", numbers.Integral, low=1)
    if method == "auto":
        method = "exact" if smaller_side(stack)[1] <= AUTO_EXACT_UNITS else "ais"
    if method == "exact":
        return exact_log_partition(stack, team)
    if method == "ais":
        return ais_log_partition(stack, visible_means, key, team, n_chains, n_temperatures)
    raise ValueError(f"method={method!r} is not known. Use one of 'auto', 'exact', 'ais'.")


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
        states = inference.new_states(stack, rows.size)
        inference.load(X, rows, states[0])
        _kernels.fields(
            stack, 1, states, inference.unpacked(stack), states[1], inference.blas_address(stack)
        )
        total = np.zeros(rows.size)
        _kernels.pseudo_log_likelihood(stack, states[0], states[1], total)
        return total

    return np.concatenate(team.map(one_block, inference.blocks(X.shape[0], 64)))
