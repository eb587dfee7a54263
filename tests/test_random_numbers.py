"""A battery of statistical tests of the random numbers that kernels use.

A number is a function of (key, step, layer, unit, lane), so each of the five coordinates is varied. Keys
are fixed, so each test has the same result every time. The limit of every p-value is 1e-4. With some 150
values, a good generator fails for one choice of keys in about 70.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from skprune._kernels import draws as draw_kernels
from skprune._support.random import RowUniforms, derived_key

P_LIMIT = 1e-4
KEYS = [0, 1, 2**32, 2**63 + 12345, 0x9E3779B97F4A7C15]
BITS = 24  # of each number


def draws(key, step, layer, shape):
    out = np.empty(shape)
    draw_kernels.uniforms(np.uint64(key), step, layer, out)
    return out


def over_lanes(key):
    return draws(key, 0, 0, (1, 2**17)).ravel()


def over_units(key):
    return draws(key, 3, 1, (2**15, 4))[:, 1]


def over_steps(key):
    return np.concatenate([draws(key, step, 0, (2, 3))[:1, :1].ravel() for step in range(2**15)])


def over_keys(key):
    keys = [(key + number) % 2**64 for number in range(2**15)]
    return np.array([draws(k, 5, 2, (1, 1))[0, 0] for k in keys])


def over_derived_keys(key):
    return np.array([draws(derived_key(key, n), 0, 0, (1, 1))[0, 0] for n in range(2**12)])


def over_rows(key):
    """Of rows of data that differ in one value each, as the bound of a network uses them."""
    X = np.zeros((2**14, 15))
    X[:, :14] = (np.arange(2**14)[:, None] >> np.arange(14)) & 1
    return RowUniforms(X, np.uint64(key))(0, 1, 3)[:, 2].astype(float)


SEQUENCES = {
    function.__name__: function
    for function in (over_lanes, over_units, over_steps, over_keys, over_derived_keys, over_rows)
}
CASES = list(itertools.product(SEQUENCES, KEYS))


def p_normal(z):
    """Two-sided p-value of a standard normal number."""
    return 2 * stats.norm.sf(abs(z))


@pytest.mark.parametrize(("name", "key"), CASES)
def test_numbers_are_uniform_and_independent_along_every_coordinate(name, key):
    x = SEQUENCES[name](key)
    n = x.size
    assert ((x >= 0) & (x < 1)).all()
    assert np.array_equal(x * 2**BITS, np.floor(x * 2**BITS))
    # The limits of normal approximations, moments and bins.
    values = {
        "mean": p_normal((x.mean() - 0.5) * np.sqrt(12 * n)),
        "variance": p_normal((((x - 0.5) ** 2).mean() - 1 / 12) * np.sqrt(180 * n)),
        "third moment": p_normal(((x - 0.5) ** 3).mean() * np.sqrt(448 * n)),
        "bins": stats.chisquare(np.bincount((x * 64).astype(int), minlength=64)).pvalue,
        "distribution": stats.kstest(x, "uniform").pvalue,
    }
    z = (x - 0.5) * np.sqrt(12)
    for lag in (1, 2, 3, 8, 16, 64, 256):
        values[f"lag {lag}"] = p_normal((z[:-lag] * z[lag:]).sum() / np.sqrt(n - lag))
    pairs = (x[: n - n % 2].reshape(-1, 2) * 16).astype(int)
    counts = np.bincount(pairs[:, 0] * 16 + pairs[:, 1], minlength=256)
    values["pairs"] = stats.chisquare(counts).pvalue
    values["runs"] = p_value_of_runs(x)
    values["birthdays"] = p_value_of_birthday_spacings(x)
    for bit in range(BITS):
        ones = (((x * 2**BITS).astype(int) >> bit) & 1).sum()
        values[f"bit {bit}"] = p_normal((ones - n / 2) / np.sqrt(n / 4))
    low = {test: p for test, p in values.items() if not p > P_LIMIT}
    assert not low


def p_value_of_runs(x):
    """The number of runs up and down has mean (2n - 1) / 3 and variance (16n - 29) / 90."""
    n, up = x.size, np.diff(x) > 0
    n_runs = 1 + np.count_nonzero(up[1:] != up[:-1])
    return p_normal((n_runs - (2 * n - 1) / 3) / np.sqrt((16 * n - 29) / 90))


def p_value_of_birthday_spacings(x):
    """Marsaglia's test: equal spacings of 512 birthdays in a year of 2^24 days are Poisson.

    Their mean number is 512^3 / (4 * 2^24) = 2 per group.
    """
    days = (x * 2**BITS).astype(np.int64)
    groups = days[: days.size - days.size % 512].reshape(-1, 512)
    found = 0
    for group in groups:
        spacings = np.sort(np.diff(np.sort(group)))
        found += np.count_nonzero(spacings[1:] == spacings[:-1])
    mean = 2.0 * len(groups)
    return min(1.0, 2 * min(stats.poisson.cdf(found, mean), stats.poisson.sf(found - 1, mean)))


SHAPE = (96, 160)


@pytest.mark.parametrize("key", KEYS)
def test_streams_are_independent_of_each_other(key):
    """Of other steps, layers, keys and lanes, and of keys that differ in a single bit."""
    base = (draws(key, 7, 1, SHAPE) - 0.5) * np.sqrt(12)
    others = {f"step {7 + n}": draws(key, 7 + n, 1, SHAPE) for n in (1, 2, 4096)}
    others |= {f"layer {layer}": draws(key, 7, layer, SHAPE) for layer in (0, 2, 3)}
    others |= {f"key bit {bit}": draws(key ^ (1 << bit), 7, 1, SHAPE) for bit in range(0, 64, 7)}
    others |= {
        f"derived key {name}": draws(derived_key(key, name), 7, 1, SHAPE)
        for name in ("AIS", "up-down", 5)
    }
    low = {}
    for name, numbers in others.items():
        z = (numbers - 0.5) * np.sqrt(12)
        for shift in ((0, 0), (0, 1), (1, 0), (0, 16)):
            moved = np.roll(z, shift, (0, 1))
            p = p_normal((base * moved).sum() / np.sqrt(base.size))
            if not p > P_LIMIT / 16:  # for 80 pairs of streams
                low[name, shift] = p
        assert (numbers == (base / np.sqrt(12) + 0.5)).mean() < 1e-3
    assert not low


@pytest.mark.parametrize("key", KEYS)
def test_units_and_lanes_are_uncorrelated(key):
    """The largest correlation of any two units, and of any two lanes, is as large as by chance."""
    z = (draws(key, 2, 0, (128, 2048)) - 0.5) * np.sqrt(12)
    for rows in (z, z.T[:512]):
        n_rows, n = rows.shape
        correlations = (rows @ rows.T / n)[np.triu_indices(n_rows, 1)]
        # kurtosis of products of uniform numbers is small: the normal tail is a bound
        p = p_normal(np.abs(correlations).max() * np.sqrt(n)) * correlations.size
        assert p > P_LIMIT
        spread = (correlations**2).sum() * n
        assert p_normal((spread / correlations.size - 1) * np.sqrt(correlations.size / 2)) > P_LIMIT


@pytest.mark.parametrize("key", KEYS[:3])
def test_one_changed_bit_changes_half_of_the_bits(key):
    """Of the key, the step, the unit or the lane: an avalanche."""

    def bits(key, step=0, unit=0, lane=0):
        numbers = draws(key % 2**64, step, 0, (unit + 1, lane + 1))[unit, lane]
        return int(numbers * 2**BITS)

    def changed(bit):
        yield from (
            (bits(key + 977 * n, n, n, n), bits((key + 977 * n) ^ (1 << bit), n, n, n))
            for n in range(64)
        )
        if bit < 8:
            for n in range(64):
                yield bits(key, n), bits(key, n ^ (1 << bit))
                yield bits(key, 1, n), bits(key, 1, n ^ (1 << bit))
                yield bits(key, 1, 1, n), bits(key, 1, 1, n ^ (1 << bit))

    for bit in range(0, 64, 3):
        flips = [(a ^ b).bit_count() for a, b in changed(bit)]
        z = (np.mean(flips) - BITS / 2) / np.sqrt(BITS / 4 / len(flips))
        assert p_normal(z) > P_LIMIT / 60
