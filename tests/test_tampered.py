"""A stored estimator that was tampered with is refused when it is loaded.

Every array, number and list in the stored state of every estimator is changed in every way that
``changes_of`` lists. Each changed state must be refused with a sentence when it is loaded, because
kernels read and write memory by what is in it. ``HARMLESS`` lists the changes that leave a valid
state.
"""

import copy
import io
import pickle
import re

import joblib
import numpy as np
import pytest
import skops.io as sio
from sklearn.frozen import FrozenEstimator

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    PrunedGaussianRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune.dbn import UpDown

RNG = np.random.RandomState(0)
X = (RNG.uniform(size=(30, 8)) < 0.4).astype(np.uint8)
Y = np.arange(30) % 3


def rbm(**options):
    return PrunedBernoulliRBM(5, n_iter=1, momentum=0.5, random_state=0, **options)


def scored(machine):
    machine.score(X)  # keeps log Z
    return machine


def make_estimators():
    """One fitted estimator of every kind and form, by name."""
    template = PrunedBernoulliRBM(n_iter=1)
    network = {"n_iter": 1, "pretrain": None, "random_state": 0}
    dbm = DBMTransformer((5, 3), pretrain=False, n_iter=1, momentum=0.5, random_state=0)
    classifier = SparseDBNClassifier((5,), **network)
    from_dbm = DBMTransformer((5, 3), pretrain=False, n_iter=0, random_state=0)
    return {
        "full RBM": scored(rbm().fit(X)),
        "pruned RBM": rbm(initial_sparsity=0.7).fit(X),
        "masked RBM": rbm(initial_sparsity=0.3).fit(X),
        "RBM without means": rbm().fit(X).set_parameters(np.ones((5, 8))),
        "Gaussian RBM": scored(
            PrunedGaussianRBM(5, sigma="learned", n_iter=1, momentum=0.5, random_state=0).fit(X)
        ),
        "DBM": scored(dbm.fit(X)),
        "DBN": SparseDBN((5, 3), rbm=template, random_state=0).fit(X),
        "fine-tuned DBN": SparseDBN(
            (5, 3), rbm=template, fine_tune=UpDown(n_iter=1), random_state=0
        ).fit(X),
        "DBN with labels": SparseDBN((5, 3), rbm=template, join_labels=True, random_state=0).fit(
            X, Y
        ),
        "belief net": SparseDBN(
            (5, 3), rbm=template, fine_tune=UpDown(n_iter=1, undirected_top=False), random_state=0
        ).fit(X),
        "classifier": SparseDBNClassifier((5,), rbm=template, n_iter=1, random_state=0).fit(X, Y),
        "classifier by Adam": classifier.partial_fit(X, Y, classes=[0, 1, 2]),
        "classifier by descent": copy.deepcopy(classifier).set_params(solver="sgd").partial_fit(X, Y),
        "classifier from a DBM": SparseDBNClassifier(
            pretrain=FrozenEstimator(from_dbm.fit(X)), n_iter=0, random_state=0
        ).fit(X, Y),
        "autoencoder": SparseDBNAutoencoder((5, 3), **network).partial_fit(X),
        "autoencoder of counts": SparseDBNAutoencoder((5,), output="softmax", **network).fit(X),
        "pruner": IterativePruner(rbm(), sparsity=0.5, n_rounds=1, random_state=0).fit(X),
        "pruner with cross-validation": IterativePrunerCV(
            rbm(), sparsities=(0.5,), cv=2, random_state=0
        ).fit(X),
    }  # fmt: skip


ESTIMATORS = make_estimators()


# --------------------------------------------------------------- changes of a part of the state


def with_entry(value):
    def change(array):
        array = array.copy()
        array.flat[array.size // 2] = value
        return array

    return change


def is_array(part, kinds="fiubOU"):
    return isinstance(part, np.ndarray) and part.size > 0 and part.dtype.kind in kinds


def is_number(part):
    return isinstance(part, int | float | np.number) and not isinstance(part, bool)


ARRAY_CHANGES = {
    "one entry less": lambda a: a[:-1],
    "one entry more": lambda a: np.concatenate([a, a[-1:]]),
    "empty": lambda a: a[:0],
    "one axis more": lambda a: a[None],
    "no axis": lambda a: a.ravel()[0],
    "complex": lambda a: a.astype(complex),
    "objects": lambda a: a.astype(object) if a.dtype != object else a.astype("U"),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "wider type": lambda a: a.astype({"f": np.longdouble, "u": np.uint64, "i": np.int8}[a.dtype.kind]),
    "a list": lambda a: a.tolist(),
    "text": lambda a: "damaged",
    "None": lambda a: None,
    "masked": lambda a: np.ma.masked_array(a),
}  # fmt: skip
FLOAT_CHANGES = {
    "NaN": with_entry(np.nan),
    "infinite": with_entry(np.inf),
    "float16": lambda a: a.astype(np.float16),
    "other precision": lambda a: a.astype(np.float64 if a.dtype == np.float32 else np.float32),
}
INTEGER_CHANGES = {
    "out of range": lambda a: with_entry(np.iinfo(a.dtype).max)(a),
    "negative or 2": lambda a: with_entry(-7 if a.dtype.kind == "i" else 2 if a.dtype == np.uint8 else 9)(a),
}  # fmt: skip
NUMBER_CHANGES = {
    "negative": lambda n: type(n)(-3) if not isinstance(n, np.unsignedinteger) else -3,
    "NaN": lambda n: float("nan"),
    "too large": lambda n: 2**70,
    "text": lambda n: "damaged",
    "None": lambda n: None,
    "a list": lambda n: [n],
    "True": lambda n: True,
    "an array": lambda n: np.array([n, n]),
}
LIST_CHANGES = {
    "one entry less": lambda entries: type(entries)(list(entries)[:-1]),
    "one entry more": lambda entries: type(entries)([*entries, entries[-1]]),
    "empty": lambda entries: type(entries)(),
    "text": lambda entries: "damaged",
    "None": lambda entries: None,
    "a dict": lambda entries: dict(enumerate(entries)),
}
DICT_CHANGES = {
    "text": lambda entries: "damaged",
    "None": lambda entries: None,
    "a list": lambda entries: list(entries.values()),
}
OTHER_CHANGES = {"text": lambda part: "damaged", "a number": lambda part: 10**9}


def changes_of(part):
    """The changes that apply to a part of a state, by name."""
    if is_array(part):
        changes = dict(ARRAY_CHANGES)
        if part.dtype.kind not in "fui":
            del changes["wider type"]
        if part.dtype.kind not in "fuib":
            del changes["complex"]
        if part.itemsize == 1:
            del changes["other byte order"]
        changes |= FLOAT_CHANGES if part.dtype.kind == "f" else {}
        return changes | (INTEGER_CHANGES if part.dtype.kind in "iu" else {})
    if is_number(part):
        return NUMBER_CHANGES
    if isinstance(part, list | tuple):
        return LIST_CHANGES if part else {}
    if isinstance(part, dict):
        return DICT_CHANGES
    return OTHER_CHANGES


def places(state, path=()):
    """The path of every part of a stored state that belongs to the fitted estimator."""
    if isinstance(state, dict):
        for key, part in state.items():
            if not path and not (key.startswith("_") or key.endswith("_")):
                continue  # a parameter of the constructor
            if key not in ("_skprune_version", "_format"):
                yield (*path, key)
                yield from places(part, (*path, key))
    elif isinstance(state, list | tuple):
        for key, part in enumerate(state):
            yield (*path, key)
            yield from places(part, (*path, key))


def part_at(state, path):
    for key in path:
        state = state[key]
    return state


def replaced(state, path, part):
    """A copy of a state with another part at a path."""
    if not path:
        return part
    key, *rest = path
    if isinstance(state, dict):
        return {**state, key: replaced(state[key], rest, part)}
    entries = list(state)
    entries[key] = replaced(entries[key], rest, part)
    return type(state)(entries)


# Changes that leave a valid state: (pattern of the place, names of the changes).
HARMLESS = (
    # Sizes that the parameters asked for are only compared with those of a warm start.
    (r"_planned_sizes(\.\d+)?", {"one entry less", "one entry more", "None"}),
    # Histories and scores are read by people only. Columns must be arrays of equal length.
    (r"(history_|cv_results_)(\.\d+)?\.\w+", {
        "one entry less", "one entry more", "empty", "one axis more", "complex", "objects",
        "other byte order", "wider type", "NaN", "infinite", "float16", "other precision",
        "out of range", "negative or 2",
    }),
    (r"best_score_", {"negative", "NaN", "too large"}),
    # Running means and momentum may be absent, and the number of chains is free.
    (r"_activity|_velocity|_moments", {"None"}),
    (r"_chains\.\d+", {"one entry less", "one entry more"}),
    # Numbers that are valid with another value.
    (r"_kept\..+", {"negative", "too large"}),
    (r"_input_gain", {"too large"}),
    # The same classes in another type.
    (r"classes_", {"objects", "other byte order", "wider type"}),
)  # fmt: skip


def is_harmless(path, name):
    place = ".".join(map(str, path))
    return any(re.fullmatch(pattern, place) and name in names for pattern, names in HARMLESS)


def tampered_states(state):
    """(place and change, changed state) for every change of every part of a stored state."""
    for path in places(state):
        part = part_at(state, path)
        for name, change in changes_of(part).items():
            yield path, name, replaced(state, path, change(part))


def is_sentence(error):
    """Whether an error says in a sentence of ours what is wrong."""
    message = str(error)
    return isinstance(error, ValueError) and "cannot be loaded" in message and message.endswith(".")


def use(estimator):
    """Call the methods of an estimator that read its fitted state."""
    for method in ("transform", "score_samples", "predict_proba"):
        if hasattr(estimator, method):
            assert np.isfinite(getattr(estimator, method)(X)).all()
    if hasattr(estimator, "sample"):
        assert np.isfinite(estimator.sample(3, n_gibbs_steps=2, random_state=0)).all()
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(*((X, Y) if hasattr(estimator, "predict") else (X,)))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_was_not_tampered_with_is_loaded(name):
    use(pickle.loads(pickle.dumps(ESTIMATORS[name])))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_tampered_state_is_refused(name):
    """The estimator is loaded from each changed state, and used where that is accepted."""
    estimator = ESTIMATORS[name]
    state, n_changes, believed = estimator.__getstate__(), 0, []
    for path, change, tampered in tampered_states(state):
        n_changes += 1
        try:
            loaded = type(estimator).__new__(type(estimator))
            loaded.__setstate__(tampered)
        except Exception as error:
            assert is_sentence(error), f"{path} {change}: {error!r}"
            continue
        if not is_harmless(path, change):
            believed.append(f"{path} {change}")
        elif path[0] in ("_activity", "_velocity", "_moments", "_chains", "classes_"):
            use(loaded)
    assert not believed, "\n".join(believed)
    assert n_changes >= 40


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_state_that_lacks_something_is_refused(name):
    estimator = ESTIMATORS[name]
    state = estimator.__getstate__()
    optional = {"history_", "n_iter_", "feature_names_in_", "pretrained_", "_input_gain"}
    if not isinstance(estimator, SparseDBNClassifier):
        optional.add("classes_")
    optional |= {"_planned_sizes", *estimator.get_params(deep=False)}
    for key in state:
        if key in ("_format", "_skprune_version") or (
            key in optional and not (key == "history_" and not hasattr(estimator, "n_iter_"))
        ):
            continue
        loaded = type(estimator).__new__(type(estimator))
        with pytest.raises(ValueError, match=f"lacks {key}"):
            loaded.__setstate__({k: part for k, part in state.items() if k != key})


def dumped_by_skops(estimator):
    data = sio.dumps(estimator)
    return sio.loads(data, trusted=sio.get_untrusted_types(data=data))


def dumped_by_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return joblib.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize(
    "reload", [lambda e: pickle.loads(pickle.dumps(e)), dumped_by_joblib, dumped_by_skops, copy.deepcopy],
    ids=["pickle", "joblib", "skops", "copy"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["full RBM", "pruner", "fine-tuned DBN", "classifier"])
def test_every_way_to_load_checks_the_state(reload, name):
    """Also where the machine with the damage is inside another estimator."""
    reload(ESTIMATORS[name])
    damaged = copy.deepcopy(ESTIMATORS[name])
    machine = {
        "pruner": lambda e: e.estimator_, "fine-tuned DBN": lambda e: e.estimators_[1],
        "classifier": lambda e: e.pretrained_.estimators_[0], "full RBM": lambda e: e,
    }[name](damaged)  # fmt: skip
    machine._biases = [np.full_like(bias, np.nan) for bias in machine._biases]
    with pytest.raises(ValueError, match=r"PrunedBernoulliRBM cannot be loaded.*must be finite"):
        reload(damaged)


def test_the_state_must_be_a_dict():
    with pytest.raises(ValueError, match="must be a dict, got 3"):
        PrunedBernoulliRBM().__setstate__(3)


def test_a_parameter_that_is_newer_than_the_state_has_its_default():
    state = PrunedBernoulliRBM(7, momentum=0.5).__getstate__()
    del state["momentum"]
    loaded = PrunedBernoulliRBM.__new__(PrunedBernoulliRBM)
    loaded.__setstate__(state)
    assert (loaded.n_components, loaded.momentum) == (7, 0.0)
