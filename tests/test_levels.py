"""A level checks itself, converts between its forms, and stores plain arrays."""

import copy
import pickle
import threading

import joblib
import numpy as np
import pytest

from skprune import DBMTransformer, IterativePruner, PrunedBernoulliRBM, SparseDBN
from skprune._kernels.records import BINARY, GAUSSIAN, SOFTMAX
from skprune._machine import levels
from skprune._machine.levels import Connections, Layers, Level
from skprune.dbn import UpDown


def level(sparse=True, dtype=np.float32, shape=(6, 9), share=0.3):
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=shape) < (share if sparse else 1.1)
    mask[0, 0] = True
    return Level.from_matrix(rng.normal(size=shape).astype(dtype) * mask, mask)


@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_forms_of_a_level_agree(share):
    rng = np.random.default_rng(1)
    mask = rng.uniform(size=(6, 9)) < share
    matrix = rng.normal(size=mask.shape) * mask
    own = Level.from_matrix(matrix, mask)
    np.testing.assert_array_equal(own.matrix(), matrix)
    np.testing.assert_array_equal(own.mask(), mask)
    assert own.shape == (6, 9)
    assert own.n_connections == mask.sum()
    assert not own.mask().flags.writeable
    form = own.kernel_form()
    assert levels.reads_edges(form) == (share == 0.3)
    np.testing.assert_array_equal(levels.kernel_level_values(form), own.values)
    again = own.with_weights_of(form)
    np.testing.assert_array_equal(again.matrix(), matrix)
    np.testing.assert_array_equal(own.scaled(2).matrix(), 2 * matrix)


def test_a_new_connection_starts_at_zero():
    own = level()
    mask = ~own.mask()
    mask[0] = True
    new = own.with_connectivity(mask)
    np.testing.assert_array_equal(new.mask(), mask)
    np.testing.assert_array_equal(new.matrix()[0], own.matrix()[0])
    assert not new.matrix()[1:].any()


def test_a_part_of_a_level_is_that_part_of_its_matrix():
    own = level()
    upper, lower = np.array([True, True, False, True, True, False]), np.arange(9) % 2 == 0
    part = own.part(upper, lower)
    np.testing.assert_array_equal(part.matrix(), own.matrix()[np.ix_(upper, lower)])
    np.testing.assert_array_equal(part.mask(), own.mask()[np.ix_(upper, lower)])


def changed(state, **changes):
    return {**state, **{name: change(state[name]) for name, change in changes.items()}}


def with_entry(place, value):
    def change(array):
        array = array.copy()
        array[place] = value
        return array

    return change


TAMPERED = {
    "fewer weights": ({"values": lambda v: v[:-1]}, "as many weights"),
    "weights as a matrix": ({"values": lambda v: v[None]}, "as many weights"),
    "integer weights": ({"values": lambda v: v.astype(int)}, "float32 or float64"),
    "pointer beyond the end": ({"indptr": with_entry(-1, 10**8)}, "must go from 0"),
    "pointers that fall": ({"indptr": with_entry(3, -5)}, "must go from 0"),
    "pointers that start late": ({"indptr": with_entry(0, 1)}, "must go from 0"),
    "pointers of another type": ({"indptr": lambda p: p.astype(np.int32)}, "vector of int64"),
    "no pointers": ({"indptr": lambda p: p[:1]}, "vector of int64"),
    "fewer connections": ({"indices": lambda i: i[:3]}, "must go from 0"),
    "connection beyond the layer": (
        {"indices": with_entry(2, 60_000)},
        "must lead to units from 0 to .* to 60000",
    ),
    "connections of another type": ({"indices": lambda i: i.astype(np.int64)}, "vector of uint16"),
    "connections twice": ({"indices": lambda i: np.zeros_like(i)}, "distinct and ascending"),
    "fewer lower units": ({"n_lower": lambda n: 3}, "must lead to units from 0 to"),
    "lower units as text": ({"n_lower": str}, "positive int"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_level_is_refused(name):
    """Kernels read and write memory by these numbers, so they are checked when a level is loaded."""
    changes, message = TAMPERED[name]
    state = level().state()
    Level.from_state(state)
    with pytest.raises(ValueError, match=message):
        Level.from_state(changed(state, **changes))


def test_a_tampered_full_level_is_refused():
    with pytest.raises(ValueError, match="size n x n"):
        Level.from_state({"values": np.zeros(5)})


def test_layers_that_do_not_fit_are_refused():
    own = level()
    biases = [np.zeros(9, np.float32), np.zeros(6, np.float32)]
    Layers([own], biases)
    with pytest.raises(ValueError, match="do not fit layers of"):
        Layers([own], biases[::-1])
    with pytest.raises(ValueError, match="same type, got float32, float64"):
        Layers([own], [biases[0], biases[1].astype(float)])


def fitted(sparsity=0.8, **options):
    X = (np.random.RandomState(0).uniform(size=(60, 30)) < 0.4).astype(np.uint8)
    rbm = PrunedBernoulliRBM(12, n_iter=1, initial_sparsity=sparsity, random_state=0, **options)
    return rbm.fit(X), X


def tampered_machines():
    machine, _ = fitted()
    machine = machine.set_params(momentum=0.5).fit(fitted()[1])
    for name in ("_biases", "_levels", "_format", "_activity", "_chains", "_velocity", "2-D"):
        state = copy.deepcopy(machine.__getstate__())
        if name in ("_activity", "_velocity"):
            state[name][0] = state[name][0][:-1]
        elif name == "_chains":
            state["_chains"][1] = state["_chains"][1][:, 1:]
        elif name == "2-D":
            state["_biases"][0] = state["_biases"][0][None]
        elif name == "_biases":
            state["_biases"][1] = state["_biases"][1][:3]
        elif name == "_levels":
            state["_levels"][0]["values"] = state["_levels"][0]["values"][:-1]
        else:
            state["_format"] = 99
        yield pytest.param(state, id=name)


MESSAGES = (
    "do not fit layers|as many weights|stored in format 99|running means must be|chains of a layer|"
    "momentum must be|of size"
)


@pytest.mark.parametrize("state", list(tampered_machines()))
def test_a_tampered_machine_is_refused(state):
    with pytest.raises(ValueError, match=MESSAGES):
        PrunedBernoulliRBM().__setstate__(state)


@pytest.mark.parametrize("make", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_the_kernel_form_is_not_part_of_the_state(make):
    machine, X = fitted()
    size, digest = len(pickle.dumps(machine)), joblib.hash(machine)
    features = machine.transform(X)
    assert machine._levels[0]._kernel_form is not None
    assert len(pickle.dumps(machine)) == size
    assert joblib.hash(machine) == digest
    copied = make(machine)
    assert copied._levels[0]._kernel_form is None
    np.testing.assert_array_equal(copied.transform(X), features)


def test_the_kernel_form_is_made_once(monkeypatch):
    """Whatever the number of calls and threads."""
    machine, X = fitted()
    machine = copy.deepcopy(machine)
    count, real = [], levels.make_kernel_level

    def counted(*args):
        count.append(1)
        return real(*args)

    monkeypatch.setattr(levels, "make_kernel_level", counted)
    start = threading.Barrier(4)

    def work():
        start.wait()
        machine._levels[0].kernel_form()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    machine.transform(X)
    machine.score_samples(X)
    assert len(count) == 1
    machine.set_connectivity(~machine.connectivity_[0])
    machine.transform(X)
    assert len(count) == 2


def test_levels_are_stored_as_plain_arrays():
    """So that skops need trust no class but the estimator's own."""
    X = (np.random.RandomState(0).uniform(size=(60, 12)) < 0.4).astype(np.uint8)
    rbm = PrunedBernoulliRBM(n_iter=1)
    machines = [
        PrunedBernoulliRBM(8, n_iter=1, random_state=0),
        DBMTransformer((8, 4), pretrain=False, n_iter=1, random_state=0),
        SparseDBN((8, 4), rbm=rbm, fine_tune=UpDown(n_iter=1), random_state=0),
        IterativePruner(PrunedBernoulliRBM(8, n_iter=1), n_rounds=1, random_state=0),
    ]
    for machine in machines:
        stored = pickle.dumps(machine.fit(X))
        assert b"_machine" not in stored
        assert b"_kernels" not in stored


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.8])
def test_a_memory_mapped_machine_works_like_the_one_in_memory(tmp_path, sparsity):
    machine, X = fitted(sparsity)
    joblib.dump(machine, tmp_path / "machine.joblib")
    mapped = joblib.load(tmp_path / "machine.joblib", mmap_mode="r")
    assert isinstance(mapped._levels[0].values, np.memmap)
    np.testing.assert_array_equal(mapped.transform(X), machine.transform(X))
    again = mapped.set_params(warm_start=True).fit(X)
    expected = machine.set_params(warm_start=True).fit(X)
    np.testing.assert_array_equal(again.components_, expected.components_)


def test_connections_know_their_type():
    assert levels.index_type(65_536) == np.uint16
    assert levels.index_type(65_537) == np.int32
    mask = np.zeros((2, 70_000), bool)
    mask[1, [3, 69_999]] = True
    connections = Connections.from_mask(mask)
    connections.check()
    np.testing.assert_array_equal(connections.mask(), mask)


def test_machines_refuse_units_that_their_kernels_do_not_know(monkeypatch):
    """Hidden units must be binary, and visible units binary or Gaussian."""
    X = np.eye(4, dtype=np.float32)
    machine = PrunedBernoulliRBM(3, n_iter=1, random_state=0).fit(X)
    assert machine._stack().unit_types == (BINARY, BINARY)
    for types in ((BINARY, GAUSSIAN), (SOFTMAX, BINARY)):
        monkeypatch.setattr(PrunedBernoulliRBM, "_unit_types", lambda self, types=types: types)
        for use in (machine.transform, machine.score_samples, PrunedBernoulliRBM(3, n_iter=1).fit):
            with pytest.raises(ValueError, match="must have binary hidden units, and"):
                use(X)


def test_layers_between_keep_their_units():
    sizes = (5, 4, 3)
    own = [level(sparse=False, shape=shape) for shape in ((4, 5), (3, 4))]
    biases = [np.zeros(size, np.float32) for size in sizes]
    stack = levels.stack_of(own, biases, (GAUSSIAN, BINARY, BINARY))
    upper = levels.layers_between(stack, 1, 2)
    assert [bias.size for bias in upper.biases] == [4, 3]
    assert upper.levels[0].weights.shape == (3, 4)
    assert upper.unit_types == (BINARY, BINARY)
    assert levels.as_dtype(stack, np.float64).unit_types == stack.unit_types
