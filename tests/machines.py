"""Small random machines for the tests: the package's stack beside the oracle's parameters."""

from itertools import pairwise

import numpy as np

from skprune import connectivity
from skprune._structures import Stack
from skprune.inference import make_level

SIZES = {1: (5, 4), 2: (4, 3, 3)}
MASKS = ("full", "random", "isolated")


def random_machine(
    depth, mask_kind, seed=0, dtype=np.float64, use_edges=None, scale=1.0, sizes=None
):
    """(stack, weights, biases) with the named kind of mask on every level."""
    rng = np.random.default_rng(seed)
    sizes = SIZES[depth] if sizes is None else sizes
    weights, levels = [], []
    for lower, upper in pairwise(sizes):
        mask = np.ones((upper, lower), bool)
        if mask_kind == "random":
            mask = rng.uniform(size=mask.shape) < 0.5
            mask[0, 0] = True
        if mask_kind == "isolated":
            mask[0] = False
            mask[:, 1] = False
        w = scale * rng.normal(size=mask.shape) * mask
        weights.append(w)
        stored = None if mask.all() else connectivity.to_connections(mask)
        values = w if stored is None else w[mask]
        levels.append(make_level(values.astype(dtype), stored, use_edges))
    biases = [rng.normal(size=n) for n in sizes]
    return Stack(tuple(levels), tuple(b.astype(dtype) for b in biases)), weights, biases
