"""The door: whatever enters is checked in one way, in every method of every estimator."""

import threading
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skprune import (
    DBMTransformer,
    IterativePruner,
    IterativePrunerCV,
    PrunedBernoulliRBM,
    SparseDBN,
    SparseDBNAutoencoder,
    SparseDBNClassifier,
)
from skprune._support.validation import check_data
from skprune.connectivity import check_mask, connected_units, isolated_units, sparsity
from skprune.exceptions import DataRangeWarning
from skprune.metrics import (
    compare_minimal,
    compare_moments,
    encoding_quality,
    rank_frequency,
    sample_quality,
)
from skprune.plotting import ReconstructionsDisplay
from skprune.pruning import pruning_path

NAMES = list("abcdef")
RNG = np.random.RandomState(0)
Y = np.arange(60) % 3
BITS = (RNG.uniform(size=(60, 6)) < 0.3 + 0.2 * Y[:, None]).astype(bool)
ROWS = BITS.astype(np.float64)
WIDE = np.random.RandomState(1).normal(size=(60, 6))


def rbm(**options):
    return PrunedBernoulliRBM(5, **{"n_iter": 1, "random_state": 0, **options})


def network(make, sizes=(5, 4), **options):
    return make(sizes, **{"n_iter": 1, "random_state": 0, "rbm": rbm(), **options})


MAKERS = {
    "rbm": rbm,
    "dbm": lambda: DBMTransformer((5, 4), n_iter=1, random_state=0),
    "dbn": lambda: SparseDBN((5, 4), n_iter=1, random_state=0),
    "labelled dbn": lambda: SparseDBN((5, 4), n_iter=1, join_labels=True, random_state=0),
    "classifier": lambda: network(SparseDBNClassifier),
    "autoencoder": lambda: network(SparseDBNAutoencoder),
    "pruner": lambda: IterativePruner(rbm(), sparsity=0.5, n_rounds=2),
    "search": lambda: IterativePrunerCV(rbm(), sparsities=(0.3, 0.6), cv=2),
}

# Methods that take data, by the name of what they are given.
METHODS = (
    "transform", "score_samples", "score", "free_energy", "pseudo_log_likelihood", "gibbs",
    "layer_samples", "layer_means", "lower_bound", "predict", "predict_proba", "predict_log_proba",
    "complete",
)  # fmt: skip


def methods_of(estimator):
    return [name for name in METHODS if hasattr(estimator, name)]


def call(estimator, name, X):
    if name == "score" and hasattr(estimator, "predict"):
        return estimator.score(X, Y[: X.shape[0]])
    return getattr(estimator, name)(X, **({"random_state": 0} if name == "layer_samples" else {}))


def arrays_of(result):
    return [np.asarray(part) for part in (result if isinstance(result, list) else [result])]


def libraries():
    return [pytest.param(name, id=name) for name in ("pandas", "polars")]


def frame(library, X, names=NAMES, dtype=None):
    """A data frame of a library, or a skip if the library is not installed."""
    module = pytest.importorskip(library)
    if library == "pandas":
        made = module.DataFrame(X, columns=names)
        return made if dtype is None else made.astype(dtype)
    made = module.DataFrame(X, schema=names)
    return made if dtype is None else made.cast(getattr(module, dtype))


def weights_of(estimator):
    inner = getattr(estimator, "estimator_", estimator)
    found = inner.components_
    return found if isinstance(found, list) else [found]


def assert_same_bits(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------- data frames and their types

NULLABLE = {
    "bool": ("pandas", "bool", np.uint8),
    "boolean": ("pandas", "boolean", np.uint8),
    "uint8": ("pandas", "uint8", np.uint8),
    "UInt8": ("pandas", "UInt8", np.uint8),
    "Sparse[bool]": ("pandas", "Sparse[bool]", np.uint8),
    "Sparse[uint8]": ("pandas", "Sparse[uint8]", np.uint8),
    "float32": ("pandas", "float32", np.float32),
    "Float32": ("pandas", "Float32", np.float32),
    "Float64": ("pandas", "Float64", np.float64),
    "Int64": ("pandas", "Int64", np.float64),
    "Int8": ("pandas", "Int8", np.float64),
    "int64": ("pandas", "int64", np.float64),
    "object": ("pandas", "object", np.float64),
    "polars Boolean": ("polars", "Boolean", np.uint8),
    "polars UInt8": ("polars", "UInt8", np.uint8),
    "polars Float32": ("polars", "Float32", np.float32),
    "polars Float64": ("polars", "Float64", np.float64),
    "polars Int64": ("polars", "Int64", np.float64),
}


@pytest.mark.parametrize("kind", NULLABLE)
def test_frames_of_any_type_give_the_bits_of_the_array(kind):
    library, dtype, as_array = NULLABLE[kind]
    table = frame(library, ROWS.astype(np.uint8), dtype=dtype)
    rows = ROWS.astype(as_array)
    for make in (rbm, MAKERS["dbm"], MAKERS["dbn"], MAKERS["pruner"]):
        a, b = make().fit(table), make().fit(rows)
        assert_same_bits(a, b)
        assert list(a.feature_names_in_) == NAMES
        np.testing.assert_array_equal(a.transform(table), b.transform(rows))


def test_columns_of_bool_and_uint8_together_are_bits():
    table = frame("pandas", BITS)
    for number, dtype in enumerate(("bool", "boolean", "uint8", "UInt8", "bool", "boolean")):
        table[NAMES[number]] = table[NAMES[number]].astype(dtype)
    assert check_data(rbm(), table, reset=True).dtype == np.uint8  # one byte per value
    assert_same_bits(rbm().fit(table), rbm().fit(BITS))


def test_bits_in_frames_without_names_are_bits():
    pandas = pytest.importorskip("pandas")
    assert_same_bits(rbm().fit(pandas.DataFrame(BITS).astype("boolean")), rbm().fit(BITS))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("library", libraries())
def test_every_method_refuses_columns_in_another_order(name, library):
    estimator = MAKERS[name]().fit(frame(library, ROWS), Y)
    other = frame(library, ROWS[:, ::-1], NAMES[::-1])
    for method in methods_of(estimator):
        call(estimator, method, frame(library, ROWS))
        with pytest.raises(ValueError, match="feature names"):
            call(estimator, method, other)
        with pytest.raises(ValueError, match="feature names"):
            call(estimator, method, frame(library, ROWS, list("uvwxyz")))
    trained = getattr(estimator, "estimator_", estimator)
    if hasattr(trained, "partial_fit"):
        with pytest.raises(ValueError, match="feature names"):
            trained.partial_fit(other, Y) if hasattr(trained, "classes_") else trained.partial_fit(
                other
            )


@pytest.mark.parametrize("name", MAKERS)
def test_missing_values_are_refused(name):
    pandas = pytest.importorskip("pandas")
    holes = ROWS.copy()
    holes[3, 2] = np.nan
    tables = [holes, holes.tolist(), frame("pandas", holes)]
    for dtype in ("boolean", "Int64", "Float64", "Float32", "UInt8"):
        tables.append(frame("pandas", holes, dtype=dtype))
    objects = ROWS.astype(object)
    for missing in (None, pandas.NA, np.nan):
        objects = objects.copy()
        objects[3, 2] = missing
        tables += [objects, objects.tolist(), frame("pandas", objects)]
    tables.append(np.ma.masked_array(ROWS, np.isnan(holes)))
    estimator = MAKERS[name]().fit(ROWS, Y)
    for table in tables:
        with pytest.raises(ValueError, match="NaN"):
            MAKERS[name]().fit(table, Y)
        if "transform" in methods_of(estimator):
            with pytest.raises(ValueError, match="NaN"), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X has feature names")
                estimator.transform(table)


def test_missing_values_of_polars_are_refused():
    polars = pytest.importorskip("polars")
    for values in ([True, None, False], [1, None, 0], [0.5, None, 1.0]):
        for dtype in (None, polars.UInt8 if values[0] != 0.5 else None):
            table = polars.DataFrame({"a": values, "b": [1, 0, 1]})
            table = table if dtype is None else table.cast(dtype)
            with pytest.raises(ValueError, match="NaN"):
                rbm().fit(table)


SPARSE = [
    getattr(sparse, f"{kind}_{container}")
    for kind in ("coo", "csc", "csr", "lil", "dok", "bsr", "dia")
    for container in ("matrix", "array")
]


@pytest.mark.parametrize("container", SPARSE, ids=lambda container: container.__name__)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.float64])
def test_sparse_data_of_any_format_give_the_bits_of_the_array(container, dtype):
    rows = ROWS.astype(dtype)
    given = container(rows)
    a, b = rbm().fit(given), rbm().fit(rows)
    assert_same_bits(a, b)
    for method in methods_of(a):
        found, wanted = (call(m, method, X) for m, X in ((a, given), (b, rows)))
        for one, other in zip(arrays_of(found), arrays_of(wanted), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("container", [sparse.lil_array, sparse.dia_matrix, sparse.coo_array])
def test_every_estimator_takes_sparse_data(name, container):
    a, b = (MAKERS[name]().fit(X, Y) for X in (container(ROWS), ROWS))
    assert_same_bits(a, b)
    for method in methods_of(a):
        found, wanted = call(a, method, container(ROWS)), call(b, method, ROWS)
        for one, other in zip(arrays_of(found), arrays_of(wanted), strict=True):
            np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------- classes and weights of rows


def labels(kind):
    pandas = pytest.importorskip("polars" if kind == "polars" else "pandas")
    if kind == "polars":
        return pandas.Series(Y)
    return pandas.Series(Y.astype(bool) if kind == "boolean" else Y).astype(kind)


@pytest.mark.parametrize("kind", ["Int64", "boolean", "category", "Float64", "polars"])
def test_nullable_classes_are_those_of_the_array(kind):
    plain = Y.astype(bool) if kind == "boolean" else Y
    for make in (MAKERS["classifier"], MAKERS["labelled dbn"]):
        a, b = make().fit(ROWS, labels(kind)), make().fit(ROWS, plain)
        assert_same_bits(a, b)
        np.testing.assert_array_equal(a.classes_, b.classes_)
        assert a.classes_.dtype.kind in "biuf"
        np.testing.assert_array_equal(a.predict(ROWS), b.predict(ROWS))
    network = MAKERS["classifier"]().partial_fit(ROWS, labels(kind), classes=labels(kind)[:3])
    np.testing.assert_array_equal(network.classes_, np.unique(plain))


def test_classes_can_be_strings_of_a_frame_library():
    words = np.array(["x", "y", "z"])[Y]
    for library in ("pandas", "polars"):
        module = pytest.importorskip(library)
        network = MAKERS["classifier"]().fit(ROWS, module.Series(words))
        assert list(network.classes_) == ["x", "y", "z"]


def test_missing_classes_are_refused():
    pandas = pytest.importorskip("pandas")
    given = [np.where(Y == 1, np.nan, Y)]
    given += [pandas.Series(given[0]).astype(dtype) for dtype in ("Int64", "Float64", "object")]
    for missing in (None, pandas.NA, np.nan):
        given.append(np.where(Y == 1, missing, np.array(["x", "y", "z"], object)[Y]))
        given.append(pandas.Series(given[-1]))
    for y in given:
        for make in (MAKERS["classifier"], MAKERS["labelled dbn"]):
            with pytest.raises(ValueError, match="y contains NaN"):
                make().fit(ROWS, y)


def test_labels_of_samples_enter_by_the_same_door():
    pandas = pytest.importorskip("pandas")
    dbn = MAKERS["labelled dbn"]().fit(ROWS, Y)
    wanted = dbn.sample(3, n_gibbs_steps=2, y=[0, 1, 2], random_state=0)
    found = dbn.sample(
        3, n_gibbs_steps=2, y=pandas.Series([0, 1, 2], dtype="Int64"), random_state=0
    )
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match="y contains NaN"):
        dbn.sample(3, n_gibbs_steps=2, y=pandas.Series([0, 1, None], dtype="Int64"))


@pytest.mark.parametrize("make", [MAKERS["classifier"], MAKERS["autoencoder"]])
def test_sample_weights_of_any_kind(make):
    pandas = pytest.importorskip("pandas")
    weights = np.linspace(0, 2, 60).round()
    wanted = make().fit(ROWS, Y, sample_weight=weights)
    for dtype in ("Int64", "Float64", "UInt8", "float32", "object"):
        given = pandas.Series(weights).astype(dtype)
        assert_same_bits(make().fit(ROWS, Y, sample_weight=given), wanted)
    if (polars := pytest.importorskip("polars")) is not None:
        assert_same_bits(make().fit(ROWS, Y, sample_weight=polars.Series(weights)), wanted)
    for missing in (None, pandas.NA, np.nan):
        holes = pandas.Series([missing, *weights[1:]], dtype="object")
        for given in (holes, holes.astype("Float64"), holes.tolist()):
            with pytest.raises(ValueError, match="sample_weight contains NaN"):
                make().fit(ROWS, Y, sample_weight=given)
    for given, sentence in (
        (-weights, "Negative values"),
        (weights[:5], "inconsistent|shape"),
        (np.full(60, np.inf), "infinity"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make().partial_fit(
                ROWS,
                Y,
                sample_weight=given,
                **({"classes": Y} if make is MAKERS["classifier"] else {}),
            )


# ------------------------------------------------------------- clamped states and rows to complete


def holes():
    given = ROWS[:10].copy()
    given[:, 3:] = np.nan
    return given


def test_a_missing_class_is_refused_when_scoring():
    machine = MAKERS["classifier"]().fit(ROWS, Y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        machine.score(ROWS, np.where(np.arange(len(Y)) > 3, 1.0, np.nan))


@pytest.mark.parametrize("make", [rbm, MAKERS["dbm"], MAKERS["pruner"]])
def test_complex_numbers_are_refused(make):
    """NumPy would drop their imaginary parts."""
    machine = make().fit(ROWS)
    with pytest.raises(ValueError, match="Complex data not supported"):
        machine.sample(10, clamped=holes().astype(complex), n_gibbs_steps=3)
    with pytest.raises(ValueError, match="Complex data not supported"):
        machine.transform(ROWS.astype(complex))


@pytest.mark.parametrize("library", libraries())
@pytest.mark.parametrize("make", [rbm, MAKERS["dbm"], MAKERS["pruner"]])
def test_clamped_frames_are_checked_by_name(library, make):
    machine = make().fit(frame(library, ROWS))
    wanted = machine.sample(10, clamped=holes(), n_gibbs_steps=3, random_state=0)
    found = machine.sample(10, clamped=frame(library, holes()), n_gibbs_steps=3, random_state=0)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(wanted[:, :3], ROWS[:10, :3])
    other = frame(library, holes()[:, ::-1], NAMES[::-1])
    with pytest.raises(ValueError, match="feature names"):
        machine.sample(10, clamped=other, n_gibbs_steps=3)


def test_a_clamped_row_of_a_frame_is_checked_by_name():
    machine = rbm().fit(frame("pandas", ROWS))
    row = frame("pandas", holes()).iloc[0]
    wanted = machine.sample(4, clamped=holes()[0], n_gibbs_steps=3, random_state=0)
    found = machine.sample(4, clamped=row, n_gibbs_steps=3, random_state=0)
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match="feature names"):
        machine.sample(4, clamped=row[::-1], n_gibbs_steps=3)


def incomplete(missing):
    """The rows with holes in every way in which a value can be missing."""
    pandas = pytest.importorskip("pandas")
    objects = np.where(np.isnan(holes()), missing, holes().astype(object))
    given = [objects, objects.tolist(), pandas.DataFrame(objects, columns=NAMES)]
    for dtype in ("boolean", "Int64", "Float64", "Float32"):
        given.append(frame("pandas", holes(), dtype=dtype))
    given.append(np.ma.masked_invalid(holes()))
    polars = pytest.importorskip("polars")
    rows = [[None if np.isnan(v) else bool(v) for v in row] for row in holes()]
    types = dict.fromkeys(NAMES, polars.Boolean)
    given.append(polars.DataFrame(rows, schema=types, orient="row"))
    return given


@pytest.mark.parametrize("missing", [None, "NA", np.nan])
def test_missing_values_of_any_kind_are_free_units(missing):
    pandas = pytest.importorskip("pandas")
    missing = pandas.NA if missing == "NA" else missing
    machine = DBMTransformer((5, 4), n_iter=1, random_state=0).fit(frame("pandas", ROWS))
    wanted = machine.sample(10, clamped=holes(), n_gibbs_steps=3, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        completed = machine.complete(holes())
        for given in incomplete(missing):
            found = machine.sample(10, clamped=given, n_gibbs_steps=3, random_state=0)
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(machine.complete(given), completed)


def test_clamped_states_get_a_sentence():
    machine = rbm().fit(ROWS)
    for clamped, error, sentence in (
        (sparse.coo_array(ROWS[0:1]), TypeError, "clamped is sparse"),
        (np.full(6, "x"), TypeError, "clamped must hold numbers"),
        (np.full((2, 6), {}), TypeError, "clamped must hold numbers"),
        (np.full(6, 2.0), ValueError, r"values from 2 to 2, but they must be in \[0, 1\]"),
        (np.full(6, np.inf), ValueError, r"must be in \[0, 1\]"),
        (np.ones((3, 6)), ValueError, r"shape \(3, 6\), but it must have shape \(6,\) or \(2, 6\)"),
    ):
        with pytest.raises(error, match=sentence):
            machine.sample(2, clamped=clamped, n_gibbs_steps=2)
    nearly = machine.sample(2, clamped=np.full(6, 1 + 1e-12), n_gibbs_steps=2)
    np.testing.assert_array_equal(nearly, 1)


def test_rows_to_complete_may_be_sparse():
    machine = MAKERS["dbm"]().fit(ROWS)
    np.testing.assert_array_equal(
        machine.complete(sparse.csr_array(holes())), machine.complete(holes())
    )


# ----------------------------------------------------------------------------- codes and masks


@pytest.mark.parametrize("name", ["dbm", "dbn", "autoencoder"])
@pytest.mark.parametrize("library", libraries())
def test_codes_are_checked_by_name(name, library):
    pytest.importorskip(library)
    machine = MAKERS[name]().fit(ROWS, Y)
    codes = np.clip(machine.transform(ROWS), 0, 1)
    wanted = machine.inverse_transform(codes)
    names = list(machine.get_feature_names_out())
    found = machine.inverse_transform(frame(library, codes, names))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(machine.inverse_transform(sparse.coo_array(codes)), wanted)
    with pytest.raises(ValueError, match="the names and the order of get_feature_names_out"):
        machine.inverse_transform(frame(library, codes[:, ::-1], names[::-1]))
    with pytest.raises(ValueError, match="H contains NaN"):
        machine.inverse_transform(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="H has 3 columns, but the top layer has 4 units"):
        machine.inverse_transform(np.ones((2, 3)))


MASK = np.arange(30).reshape(5, 6) % 3 > 0


def masks():
    pandas = pytest.importorskip("pandas")
    given = [container(MASK) for container in SPARSE]
    given += [MASK.tolist(), MASK.astype(float), MASK.astype(object), pandas.DataFrame(MASK)]
    given += [frame("pandas", MASK, dtype=d) for d in ("bool", "boolean", "Int64", "float32")]
    given.append(frame("polars", MASK))
    return given


def test_masks_of_any_kind():
    fitted = rbm().fit(frame("pandas", ROWS))
    for mask in masks():
        np.testing.assert_array_equal(check_mask(mask, (5, 6)), MASK)
        np.testing.assert_array_equal(fitted.set_connectivity(mask).connectivity_[0], MASK)
        np.testing.assert_array_equal(fitted.set_connectivity([mask]).connectivity_[0], MASK)
        assert sparsity(mask) == sparsity([mask, mask]) == pytest.approx(1 / 3)
        assert not isolated_units(mask)[0].any()
        assert connected_units([mask])[0].all()
        machine = rbm(connectivity=mask, n_iter=0).fit(frame("pandas", ROWS))
        np.testing.assert_array_equal(machine.connectivity_[0], MASK)
        dbm = DBMTransformer((5, 4), connectivity=[mask, None], pretrain=False, n_iter=0)
        np.testing.assert_array_equal(dbm.fit(ROWS).connectivity_[0], MASK)


def test_masks_with_columns_in_another_order_are_refused():
    table = frame("pandas", ROWS)
    mask = frame("pandas", MASK[:, ::-1], NAMES[::-1])
    upper = np.ones((4, 5), bool)
    for refuses in (
        lambda: rbm(connectivity=mask).fit(table),
        lambda: rbm().fit(table).set_connectivity(mask),
        lambda: DBMTransformer((5, 4), connectivity=[mask, None], n_iter=1).fit(table),
        lambda: MAKERS["dbm"]().fit(table).set_connectivity([mask, upper]),
        lambda: MAKERS["dbn"]().fit(table).set_connectivity([mask, upper]),
        lambda: MAKERS["classifier"]().fit(table, Y).set_connectivity([mask, upper]),
    ):
        with pytest.raises(ValueError, match="columns of the connectivity mask must have"):
            refuses()


def test_weights_with_columns_in_another_order_are_refused():
    table = frame("pandas", ROWS)
    weights = np.ones((5, 6))
    other = frame("pandas", weights, NAMES[::-1])
    machine, deep = rbm().fit(table), MAKERS["dbm"]().fit(table)
    machine.set_parameters(frame("pandas", weights))
    np.testing.assert_array_equal(machine.components_, weights)
    deep.set_parameters([frame("pandas", weights), None])
    for refuses in (
        lambda: machine.set_parameters(other),
        lambda: machine.set_parameters(connectivity=other),
        lambda: setattr(machine, "components_", other),
        lambda: deep.set_parameters([other, None]),
        lambda: deep.set_parameters(connectivity=[other, None]),
    ):
        with pytest.raises(ValueError, match="must have the names and the order of the features"):
            refuses()


def test_masks_get_a_sentence():
    pandas = pytest.importorskip("pandas")
    holes = frame("pandas", MASK, dtype="boolean")
    holes.iloc[0, 0] = pandas.NA
    for mask in (holes, np.where(MASK, 1, np.nan), np.where(MASK, "x", "y"), MASK * 2):
        with pytest.raises(ValueError, match="must hold only True and False"):
            check_mask(mask, (5, 6))
        with pytest.raises(ValueError, match="must hold only True and False"):
            sparsity(mask)
    for empty in ([], (), np.ones((0, 4), bool), [np.ones((0, 4), bool)]):
        with pytest.raises(ValueError, match="sparsity needs at least one connection"):
            sparsity(empty)


def test_a_frozen_machine_knows_the_names_of_its_features():
    table = frame("pandas", ROWS)
    frozen = FrozenEstimator(MAKERS["dbn"]().fit(table))
    other = frame("pandas", ROWS[:, ::-1], NAMES[::-1])
    network = SparseDBNClassifier(pretrain=frozen, n_iter=1, random_state=0)
    network.fit(table, Y)
    with pytest.raises(ValueError, match=r"another order of them.*Reorder the columns of X"):
        network.fit(other, Y)


def test_functions_without_an_estimator_use_the_same_door():
    table = frame("pandas", BITS, dtype="boolean")
    assert compare_moments(table, frame("polars", BITS)).mean_gap == 0
    np.testing.assert_array_equal(rank_frequency(table), rank_frequency(BITS))
    np.testing.assert_array_equal(rank_frequency(sparse.coo_array(BITS)), rank_frequency(BITS))
    classifier = MAKERS["classifier"]().fit(ROWS, Y)
    found = sample_quality(table, classifier), sample_quality(ROWS, classifier)
    np.testing.assert_array_equal(found[0].counts, found[1].counts)


# ------------------------------------------------------------------------ data outside [0, 1]


def range_warnings(function):
    """The warnings about the range of data that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(one.message) for one in caught if one.category is DataRangeWarning]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_data_outside_the_unit_interval_warn_once_per_call(name, container):
    wide, rows = container(WIDE), container(ROWS)
    estimator = MAKERS[name]()
    assert len(range_warnings(lambda: estimator.fit(wide, Y))) == 1
    assert not range_warnings(lambda: estimator.fit(rows, Y))
    for method in methods_of(estimator):
        assert len(range_warnings(lambda: call(estimator, method, wide))) == 1, method  # noqa: B023
        assert not range_warnings(lambda: call(estimator, method, rows)), method  # noqa: B023
    if hasattr(estimator, "fit_transform"):
        assert len(range_warnings(lambda: MAKERS[name]().fit_transform(wide, Y))) == 1
    if hasattr(estimator, "partial_fit"):
        given = {"classes": Y} if "classifier" in name else {}
        fresh = MAKERS[name]()
        assert len(range_warnings(lambda: fresh.partial_fit(wide, Y, **given))) == 1
        assert len(range_warnings(lambda: fresh.partial_fit(wide, Y))) == 1


def test_the_warning_says_what_to_do_and_where():
    with pytest.warns(DataRangeWarning, match=r"values from 0 to 16, but PrunedBern") as caught:
        rbm().fit(16 * ROWS)
    (one,) = caught
    assert one.filename == __file__
    assert "MinMaxScaler" in str(one.message) and "Binarizer" in str(one.message)
    assert issubclass(DataRangeWarning, UserWarning)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_type_of_data_is_checked(dtype):
    assert len(range_warnings(lambda: rbm().fit(16 * ROWS.astype(dtype)))) == 1
    assert not range_warnings(lambda: rbm().fit(BITS))


def test_rounding_of_a_scaler_is_no_reason_to_warn():
    scaled = MinMaxScaler().fit_transform(WIDE.astype(np.float32) * 1e3 + 17)
    scaled[0, 0] = np.float32(1 + 3e-7)
    assert not range_warnings(lambda: rbm().fit(scaled))


def test_rows_to_complete_and_codes_are_checked_too():
    machine = MAKERS["dbm"]().fit(ROWS)
    wide = np.where(np.isnan(holes()), np.nan, 16)
    assert len(range_warnings(lambda: machine.complete(wide))) == 1
    assert not range_warnings(lambda: machine.complete(holes()))
    for machine in (MAKERS["dbm"]().fit(ROWS), MAKERS["dbn"]().fit(ROWS)):
        (message,) = range_warnings(lambda: machine.inverse_transform(np.full((2, 4), 3.0)))  # noqa: B023
        assert message.startswith("H has values from 3 to 3")


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (SparseDBNClassifier, {"pretrain": "rbm", "rbm": rbm()}, (1, 1)),
        (SparseDBNClassifier, {"pretrain": MAKERS["dbm"]()}, (1, 1)),
        (SparseDBNClassifier, {"pretrain": None}, (0, 0)),
        (SparseDBNClassifier, {"pretrain": "supervised"}, (0, 0)),
        (SparseDBNClassifier, {"pretrain": "autoencoder"}, (1, 0)),
        (SparseDBNAutoencoder, {"pretrain": None}, (1, 1)),
        (SparseDBNAutoencoder, {"pretrain": None, "output": "linear"}, (0, 0)),
        (SparseDBNAutoencoder, {"pretrain": "autoencoder", "output": "linear"}, (0, 0)),
        (SparseDBNAutoencoder, {"pretrain": "rbm", "rbm": rbm(), "output": "linear"}, (1, 1)),
    ],
)
def test_networks_warn_where_their_formulas_assume_the_unit_interval(make, options, expected):
    network = make((5, 4), n_iter=1, n_pretrain_iter=1, random_state=0, **options)
    assert len(range_warnings(lambda: network.fit(WIDE, Y))) == expected[0]
    method = "predict" if hasattr(network, "predict") else "transform"
    assert len(range_warnings(lambda: getattr(network, method)(WIDE))) == expected[1]


def test_counts_are_no_reason_to_warn():
    counts = np.random.RandomState(0).poisson(3, (60, 6))
    for options in ({"pretrain": None}, {"rbm": rbm()}):
        network = SparseDBNAutoencoder(
            (5, 4), output="softmax", n_iter=1, random_state=0, **options
        )
        assert not range_warnings(lambda: network.fit(counts).score(counts))  # noqa: B023


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_folds_levels_and_rounds_do_not_repeat_the_warning(n_jobs):
    scoring = {"a": lambda m, X, y=None: m.score(X), "b": lambda m, X, y=None: -m.score(X)}
    pruner = IterativePruner(rbm(), sparsity=0.5, n_rounds=3, scoring=scoring)
    assert len(range_warnings(lambda: pruner.fit(WIDE))) == 1
    assert len(range_warnings(lambda: pruning_path(pruner, WIDE))) == 1
    search = IterativePrunerCV(rbm(), sparsities=(0.3, 0.6), cv=3, n_jobs=n_jobs)
    assert len(range_warnings(lambda: search.fit(WIDE))) == 1
    deep = SparseDBN((5, 4), pruner=IterativePruner(rbm(), n_rounds=2), random_state=0)
    assert len(range_warnings(lambda: deep.fit(WIDE))) == 1
    grid = GridSearchCV(IterativePruner(rbm(), n_rounds=3), {"sparsity": [0.3, 0.5]}, cv=2)
    fits = 2 * 2 + 1
    scores = 2 * 2
    assert len(range_warnings(lambda: grid.fit(WIDE))) == fits + scores


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_folds_in_threads_leave_the_warning_to_the_final_fit(n_jobs):
    search = IterativePrunerCV(rbm(), sparsities=(0.3, 0.6), cv=3, n_jobs=n_jobs)
    with joblib.parallel_config(backend="threading"):
        assert len(range_warnings(lambda: search.fit(WIDE))) == 1


def test_measures_warn_once():
    machine = rbm().fit(ROWS)
    for measure in (
        lambda: encoding_quality(machine, WIDE, Y, WIDE, Y),
        lambda: compare_minimal(machine, WIDE, WIDE),
        lambda: ReconstructionsDisplay.from_estimator(
            MAKERS["dbn"]().fit(ROWS), WIDE, image_shape=(2, 3)
        ),
    ):
        assert len(range_warnings(measure)) == 1


def test_threads_warn_for_themselves():
    """A call in another thread gives its own warning while one is running here."""
    counts = []

    def work():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                rbm().fit(WIDE)
            except DataRangeWarning:
                counts.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
        thread.join()
    assert len(counts) == 4


def test_an_error_from_the_warning_leaves_the_next_call_its_own():
    machine = rbm()
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataRangeWarning):
                machine.fit(WIDE)
    assert not hasattr(machine, "n_features_in_")


def test_a_pipeline_that_scales_its_data_is_silent():
    pipeline = make_pipeline(MinMaxScaler(clip=True), rbm())
    assert not range_warnings(lambda: pipeline.fit(WIDE).transform(3 * WIDE))
