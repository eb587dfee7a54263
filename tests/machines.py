"""Small machines for the tests, and the few private names of the package that tests reach for."""

from itertools import pairwise

import numpy as np
import pytest

from skprune import DBMTransformer, PrunedBernoulliRBM
from skprune._kernels import draws as draw_kernels
from skprune._kernels import simd
from skprune._kernels.records import Stack
from skprune._machine import inference, levels
from skprune._machine.levels import Connections, Level, all_binary, make_kernel_level
from tests import oracles

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
        stored = None if mask.all() else Connections.from_mask(mask)
        values = w if stored is None else w[mask]
        levels.append(make_kernel_level(values.astype(dtype), stored, use_edges))
    biases = [rng.normal(size=n) for n in sizes]
    stack_biases = tuple(b.astype(dtype) for b in biases)
    return Stack(tuple(levels), stack_biases, all_binary(len(biases))), weights, biases


def machine_of(weights, biases, dtype=np.float64, **parameters):
    """Return an untrained machine with these parameters, fitted to data whose means are 1/2.

    One weight matrix makes a PrunedBernoulliRBM, several make a DBMTransformer.
    """
    rows = np.repeat([[0], [1]], len(biases[0]), axis=1).astype(dtype)
    options = {"n_iter": 0, "random_state": 0, **parameters}
    if len(weights) == 1:
        machine = PrunedBernoulliRBM(len(biases[1]), **options).fit(rows)
    else:
        sizes = tuple(len(bias) for bias in biases[1:])
        machine = DBMTransformer(sizes, pretrain=False, **options).fit(rows)
    means = np.full(len(biases[0]), 0.5)
    if len(weights) == 1:
        return machine.set_parameters(
            weights[0],
            intercept_visible=biases[0],
            intercept_hidden=biases[1],
            visible_means=means,
        )
    return machine.set_parameters(weights, intercepts=biases, visible_means=means)


def stored_parameters(machine):
    """Return the weights (one matrix per level) and biases (one vector per layer) of a machine."""
    if isinstance(machine, PrunedBernoulliRBM):
        biases = [machine.intercept_visible_, machine.intercept_hidden_]
        return [machine.components_], biases
    return machine.components_, machine.intercepts_


def oracle_parameters(machine):
    """Return the weights and biases of a machine in float64, as the oracles expect them."""
    return tuple(
        [array.astype(np.float64) for array in part] for part in stored_parameters(machine)
    )


def random_parameters(sizes, seed=0, scale=1.0):
    """Return random weights and biases for fully connected layers of these sizes."""
    rng = np.random.default_rng(seed)
    weights = [scale * rng.normal(size=(upper, lower)) for lower, upper in pairwise(sizes)]
    return weights, [scale * rng.normal(size=n) for n in sizes]


def replace_level(machine, number, level):
    """Give a fitted machine another level in place of one that it has."""
    machine._levels = [level if k == number else own for k, own in enumerate(machine._levels)]


def replace_values(machine, number, values):
    """Give a level of a fitted machine other weights, as they are stored."""
    replace_level(machine, number, Level(values, machine._levels[number].connections))


def scale_level(machine, number, factor):
    """Multiply the weights of a level of a fitted machine."""
    replace_level(machine, number, machine._levels[number].scaled(factor))


def level_values(owner):
    """The stored weights of the levels of a fitted machine, or of layers, lowest level first."""
    levels = owner._levels if hasattr(owner, "_levels") else owner.levels
    return [level.values for level in levels]


looks_up = pytest.mark.skipif(
    not simd.TARGET.packs, reason="this processor has no table look-up for packed states"
)


def compute_by(monkeypatch, form):
    """Compute pruned levels as "dense" masked matrices or by "edges", whatever their sparsity."""
    monkeypatch.setattr(levels, "EDGE_SPARSITY", {"dense": 2.0, "edges": 0.0}[form])


def without_look_up(monkeypatch):
    """Read states where packed states would be read."""
    monkeypatch.setattr(inference, "TABLE_SAMPLES", 10**9)


def running_means(machine):
    """The running means of all layers, visible first."""
    return machine._activity


def pass_order(machine, step, n_rows):
    """The order of the rows in the pass whose first minibatch has this number."""
    return np.random.default_rng([int(machine._key), step]).permutation(n_rows)


def uniforms_of(machine):
    """The random numbers of a machine's training, as :class:`tests.oracles.RBMTwin` wants them."""

    def uniforms(step, sweep, layer, n_units, n_lanes):
        out = np.empty((n_units, n_lanes))
        first = step * draw_kernels.DRAWS_PER_MINIBATCH
        draw_kernels.uniforms(machine._key, first + sweep, layer, out)
        return out

    return uniforms


def twin_of(rbm):
    """The NumPy twin of a PrunedBernoulliRBM that has not been trained (``n_iter=0``)."""
    return oracles.RBMTwin(
        rbm.components_, [rbm.intercept_visible_, rbm.intercept_hidden_], rbm.connectivity_[0],
        running_means(rbm), rbm.h_samples_, uniforms_of(rbm), rbm.get_params(),
    )  # fmt: skip
