"""Masks: exact counts, ties, isolated units, edge lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from skprune import connectivity
from skprune._machine.levels import Connections

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(
    hnp.arrays(
        float,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.sampled_from([0.0, 1.0, 2.0]),
    ),
    st.data(),
)
def test_keep_best_is_exact_under_ties(scores, data):
    existing = data.draw(hnp.arrays(bool, scores.shape))
    n_kept = data.draw(st.integers(0, int(existing.sum())))
    if not existing.any():
        return
    mask = connectivity.keep_best(scores, n_kept, existing, random_state=0)
    assert mask.sum() == n_kept
    assert not mask[~existing].any()
    dropped = existing & ~mask
    if n_kept and dropped.any():
        assert scores[mask].min() >= scores[dropped].max()


def test_ties_are_not_decided_by_position():
    mask = connectivity.keep_best(np.zeros((40, 40)), 400, random_state=0)
    upper, lower = connectivity.isolated_units(mask)
    assert not upper.any()
    assert not lower.any()
    again = connectivity.keep_best(np.zeros((40, 40)), 400, random_state=0)
    np.testing.assert_array_equal(mask, again)


def test_keep_best_by_hand():
    scores = np.array([[3.0, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(connectivity.keep_best(scores, 3), [[True, True], [False, True]])
    limited = connectivity.keep_best(scores, 1, [[False, True], [True, False]])
    np.testing.assert_array_equal(limited, [[False, True], [False, False]])


def test_keep_best_refuses():
    with pytest.raises(ValueError, match="Use a number from 0 to 4"):
        connectivity.keep_best(np.zeros((2, 2)), 5)
    with pytest.raises(ValueError, match="contain NaN"):
        connectivity.keep_best(np.full((2, 2), np.nan), 1)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 0.99))
def test_random_dilution_is_exact(n_upper, n_lower, share):
    n_full = n_upper * n_lower
    n_kept = n_full - round(share * n_full)
    if n_kept == 0:
        with pytest.raises(ValueError, match="leaves none"):
            connectivity.random_dilution((n_upper, n_lower), share, random_state=0)
        return
    mask = connectivity.random_dilution((n_upper, n_lower), share, random_state=0)
    assert mask.sum() == n_kept
    assert connectivity.sparsity(mask) == pytest.approx(1 - n_kept / n_full)


@pytest.mark.parametrize("share", [-0.1, 1.0, np.nan, "half"])
def test_random_dilution_refuses(share):
    with pytest.raises((ValueError, TypeError), match=r"sparsity must be a number in \[0, 1\)"):
        connectivity.random_dilution((3, 3), share)


def test_isolated_units():
    upper, lower = connectivity.isolated_units(sparse.csr_array([[0, 1, 0], [0, 0, 0]]).toarray())
    np.testing.assert_array_equal(upper, [False, True])
    np.testing.assert_array_equal(lower, [True, False, True])


@given(masks)
def test_connections_round_trip(mask):
    connections = Connections.from_mask(mask)
    np.testing.assert_array_equal(connections.mask(), mask)
    edges = connections.edges()
    weights = np.arange(mask.sum())
    dense = np.full(mask.shape, -1)
    dense[mask] = weights
    for j in range(mask.shape[1]):
        part = slice(edges.down_indptr[j], edges.down_indptr[j + 1])
        np.testing.assert_array_equal(edges.down_indices[part], np.flatnonzero(mask[:, j]))
        np.testing.assert_array_equal(weights[edges.down_order[part]], dense[mask[:, j], j])


def test_wide_levels_keep_their_indices():
    mask = np.zeros((1, 70_000), bool)
    mask[0, [3, 69_999]] = True
    connections = Connections.from_mask(mask)
    assert connections.indices.dtype == np.int32
    np.testing.assert_array_equal(connections.mask(), mask)


def test_sparsity_of_a_list_counts_connections():
    assert connectivity.sparsity([np.ones((2, 2)), np.zeros((2, 6))]) == 0.75
    assert connectivity.full((2, 3)).sum() == 6


def test_receptive_fields_by_hand():
    mask = connectivity.receptive_fields((2, 3), (1, 3))
    expected = np.zeros((6, 6), bool)
    for row in range(2):
        for a in range(3):
            for b in range(3):
                expected[3 * row + a, 3 * row + b] = abs(a - b) <= 1
    np.testing.assert_array_equal(mask, expected)
    assert connectivity.receptive_fields((20, 20), 5).sum() == 8836
    assert connectivity.receptive_fields((4, 5), 99).all()


@pytest.mark.parametrize(
    ("shape", "window", "message"),
    [((3, 3), 2, "odd"), ((3, 0), 3, "image_shape"), ((3, 3), -1, "window"), ((3,), 3, "pair")],
)
def test_receptive_fields_errors(shape, window, message):
    with pytest.raises(ValueError, match=message):
        connectivity.receptive_fields(shape, window)
