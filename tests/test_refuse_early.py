"""What can be said before training is said before training."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

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
from skprune._machine.base import BoltzmannMachine
from skprune._training import passes
from skprune.criteria import Fisher
from skprune.dbn import UpDown
from skprune.metrics import compare_minimal, encoding_quality
from skprune.plotting import SamplesDisplay
from skprune.pruning import Rewind, Units, pruning_path
from skprune.samplers import LabelledChains, ParallelTempering
from skprune.schedules import FallingRate, FractionOfRemaining, StdThreshold, Threshold

X = np.random.RandomState(0).randint(0, 2, (40, 6)).astype(np.float64)
Y = np.arange(40) % 3


@pytest.fixture
def nothing_trains(monkeypatch):
    """Fail if a pass over data is run, or a foreign estimator is fitted."""

    def refuse(trainer, n_passes, **options):
        if n_passes:
            pytest.fail("something was trained before the error")
        return {}

    for module in ("skprune._machine.base", "skprune._network.base", "skprune._training.up_down"):
        monkeypatch.setattr(f"{module}.run_passes", refuse)
    assert passes.run_passes is not refuse
    monkeypatch.setattr(PCA, "fit", lambda self, X, y=None: pytest.fail("PCA was fitted"))


def rbm(**options):
    return PrunedBernoulliRBM(**{"n_components": 5, "n_iter": 2, "random_state": 0, **options})


class Foreign(BaseEstimator):
    """An estimator of somebody else's that counts its fits."""

    def __init__(self, warm_start=False):
        self.warm_start = warm_start

    def fit(self, X, y=None):
        pytest.fail("it was fitted before the error")


class WithoutSeam(TransformerMixin, Foreign):
    def __init__(self, n_iter=1, warm_start=False):
        self.n_iter = n_iter
        super().__init__(warm_start)


class WithSeam(Foreign):
    def set_connectivity(self, masks):
        return self

    def layer_samples(self, X=None, **options):
        return []


class WithoutWarmStart(BaseEstimator):
    fit, set_connectivity = Foreign.fit, WithSeam.set_connectivity
    layer_samples = WithSeam.layer_samples


def named(**options):
    """A network whose second level is a machine with these options."""
    return [("first", rbm()), ("second", rbm(**options))]


FITTED = {}


def fitted_machine():
    if not FITTED:
        FITTED["rbm"] = PrunedBernoulliRBM(4, n_iter=0, random_state=0).fit(X)
    return FITTED["rbm"]


PRUNERS = [
    ({"scoring": "acuracy"}, "acuracy"),
    ({"scoring": ["accuracy", "acuracy"]}, "acuracy"),
    ({"scoring": {"a": "acuracy"}}, "acuracy"),
    ({"scoring": 5}, "scoring"),
    ({"scoring": "accuracy"}, "calls predict, which PrunedBernoulliRBM does not have"),
    ({"scoring": {"a": "roc_auc"}}, "scoring='a' calls decision_function or predict_proba"),
    (
        {"estimator": WithoutSeam()},
        "WithoutSeam cannot be pruned: it lacks set_connectivity, layer",
    ),
    ({"estimator": WithoutWarmStart()}, "it lacks the parameter warm_start"),
    ({"estimator": WithSeam(), "n_retrain_iter": 2}, "it lacks the parameter n_iter"),
    ({"estimator": WithSeam(), "retrain": "reinitialize"}, "it lacks the parameter n_iter"),
    ({"estimator": WithSeam(), "retrain": Rewind()}, "it lacks the parameter n_iter"),
    ({"estimator": None}, "needs an estimator to prune"),
    ({"sparsity": [0.5, 0.5]}, "sparsity has 2 entries for 1 levels"),
    ({"sparsity": 0.999}, "leaves none of the 30 connections"),
    ({"sparsity": 0.95, "target": "units"}, "leaves none of the 5 units"),
    ({"schedule": [0.5, 0.999]}, "leaves none of the 30 connections"),
    ({"schedule": FractionOfRemaining(1.5)}, "fraction must be a number"),
    ({"schedule": FractionOfRemaining(ties="few")}, "ties='few' is not known"),
    ({"schedule": StdThreshold(-1)}, "quality must be a number"),
    ({"schedule": Threshold(np.nan)}, "value must be a number"),
    ({"criterion": Fisher(1)}, "n_samples must be an integer"),
    ({"criterion": Fisher(n_steps_between=0.5)}, "n_steps_between must be an integer"),
    ({"criterion": Fisher(source="dreams")}, "source='dreams' is not known"),
    (
        {"regrow": Fisher(source="dreams"), "schedule": FractionOfRemaining(), "sparsity": 0.1},
        "source='dreams' is not known",
    ),
    ({"criterion": "label_information", "target": "units"}, "needs labels. Pass y to fit"),
    ({"n_rounds": 2.5}, "n_rounds must be an integer"),
    ({"n_retrain_iter": True}, "n_retrain_iter must be an integer"),
    ({"retrain": Rewind(5)}, "needs more passes than the estimator has"),
    ({"memory": "there", "estimator": rbm(random_state=None)}, "memory requires an integer seed"),
    ({"estimator": rbm(connectivity=np.ones((5, 7)))}, "connectivity mask has shape"),
    ({"estimator": rbm(learning_rate_schedule=FallingRate(2))}, "first must be a number"),
    ({"estimator": rbm(negative_phase=ParallelTempering(1))}, "n_temperatures must be an integer"),
    ({"estimator": rbm(negative_phase=LabelledChains(0))}, "n_labels must be an integer"),
    ({"estimator": rbm(negative_phase=LabelledChains(6))}, "6 labels, but X has 6 features"),
    ({"estimator": rbm(initial_sparsity=0.999)}, "leaves none of the 30"),
    ({"estimator": SparseDBN((5, 4)), "sparsity": [0.5]}, "1 entries for 2 levels"),
    ({"estimator": SparseDBN((5, 4)), "sparsity": [0.5, 0.99]}, "none of the 20 connections"),
    ({"estimator": DBMTransformer((5, 4)), "sparsity": [0.5]}, "1 entries for 2 levels"),
    (
        {"estimator": SparseDBNClassifier((5, 4), pretrain=None), "sparsity": [0.5, 0.5, 0.5]},
        "3 entries for 2 levels",
    ),
    (
        {"estimator": SparseDBNAutoencoder((5, 4), pretrain=None), "sparsity": [0.5, 0.5]},
        "2 entries for 4 levels",
    ),
    (
        {"estimator": SparseDBNAutoencoder((5, 2), pretrain=None), "sparsity": 0.98},
        "leaves none of the 30 connections|leaves none of the 10 connections",
    ),
    ({"estimator": SparseDBNAutoencoder((5, 4)), "target": "units"}, "does not support"),
]


@pytest.mark.parametrize(("options", "sentence"), PRUNERS)
@pytest.mark.parametrize("way", ["fit", "path"])
def test_pruners_refuse_before_training(nothing_trains, options, sentence, way):
    pruner = IterativePruner(**{"estimator": rbm(), **options})
    y = Y if "SparseDBNClassifier" in repr(options) else None
    with pytest.raises((ValueError, TypeError), match=sentence):
        pruner.fit(X, y) if way == "fit" else pruning_path(pruner, X, y)


SHARED = ("estimator", "criterion", "scope", "target", "remove", "retrain", "n_retrain_iter")


def test_a_missing_class_is_refused_before_the_splits(nothing_trains):
    search = IterativePrunerCV(SparseDBNClassifier((3,), pretrain=None), sparsities=(0.5,))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        search.fit(X, np.where(np.arange(len(X)) % 3, 1.0, np.nan))


@pytest.mark.parametrize(
    ("cv", "sentence"),
    [
        ([], "cv must give at least one split"),
        ({}, "cv must give at least one split"),
        ([([0, 1], [2]), "ab"], "Each split of cv must be a pair"),
        ([([0, 1], [])], "Each split of cv must be a pair"),
        ([([0.0, 1.0], [2])], "Each split of cv must be a pair"),
        ([([0, 1], [2, 999])], "must hold rows from 0 to"),
        ([([-1, 1], [2])], "must hold rows from 0 to"),
    ],
)
def test_invalid_splits_are_refused_before_training(nothing_trains, cv, sentence):
    with pytest.raises(ValueError, match=sentence):
        IterativePrunerCV(rbm(), cv=cv).fit(X)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            (options, sentence)
            for options, sentence in PRUNERS
            if set(options) <= set(SHARED) and "passes than" not in sentence
        ),
        ({"scoring": "acuracy"}, "acuracy"),
        ({"scoring": "accuracy"}, "calls predict, which PrunedBernoulliRBM does not have"),
        ({"estimator": WithSeam()}, "score"),
        ({"sparsities": (0.5, 0.999)}, "leaves none of the 30 connections"),
        ({"sparsities": (0.5, 0.95), "target": Units()}, "leaves none of the 5 units"),
        ({"sparsities": (0.5, np.nan)}, "sparsity must be a number"),
        ({"tolerance": "some"}, "tolerance must be a number"),
        ({"cv": 2.5}, "Expected `cv`"),
    ],
)
def test_cross_validated_pruners_refuse_before_training(nothing_trains, options, sentence):
    search = IterativePrunerCV(
        **{"estimator": rbm(), "sparsities": (0.3, 0.5), "cv": 2, "retrain": "continue", **options}
    )
    with pytest.raises((ValueError, TypeError), match=sentence):
        search.fit(X)


def test_scorers_that_need_y_say_so(nothing_trains):
    for pruner in (
        IterativePruner(SparseDBN((5, 4), join_labels=True), scoring="accuracy"),
        IterativePrunerCV(SparseDBN((5, 4), join_labels=True), scoring="accuracy"),
    ):
        with pytest.raises(ValueError, match="scoring='accuracy' compares predictions with y"):
            pruner.fit(X)


def unfitted_rbm():
    return FrozenEstimator(rbm())


DBNS = [
    ({"hidden_layer_sizes": named(learning_rate=-1)}, "learning_rate must be a number"),
    ({"hidden_layer_sizes": named(n_components=0)}, "n_components must be an integer"),
    ({"hidden_layer_sizes": named(connectivity=np.ones((5, 6)))}, "connectivity mask has shape"),
    ({"hidden_layer_sizes": named(learning_rate_schedule=FallingRate(0.9, 0.1))}, "last must be"),
    ({"hidden_layer_sizes": [("a", rbm()), ("b", unfitted_rbm())]}, "not fitted"),
    (
        {"hidden_layer_sizes": [("a", rbm()), ("b", FrozenEstimator(fitted_machine()))]},
        "level 2 has 6 visible units, but its input has 5 features",
    ),
    (
        {"hidden_layer_sizes": [("a", rbm()), ("b", IterativePruner(rbm(), scoring="acuracy"))]},
        "acuracy",
    ),
    (
        {"hidden_layer_sizes": [("a", rbm()), ("b", IterativePruner(rbm(), sparsity=[0.1, 0.2]))]},
        "2 entries for 1 levels",
    ),
    (
        {"hidden_layer_sizes": [("a", rbm()), ("b", IterativePruner(rbm(), sparsity=0.99))]},
        "leaves none of the 25 connections",
    ),
    ({"hidden_layer_sizes": [("a", rbm()), ("b", PCA())], "n_iter": 2}, "have an n_iter parameter"),
    ({"hidden_layer_sizes": [("a", rbm()), ("b", DBMTransformer((3, 2), n_iter=-1))]}, "n_iter"),
    ({"hidden_layer_sizes": (5, 0)}, "an entry of hidden_layer_sizes must be an integer"),
    ({"pruner": IterativePruner(n_rounds=0)}, "n_rounds must be an integer"),
    ({"pruner": IterativePruner(sparsity=0.99)}, "leaves none of the 30 connections"),
    ({"pruner": IterativePruner(scoring="acuracy")}, "acuracy"),
    ({"hidden_layer_sizes": (8, 5), "transpose": True}, "layer 2 must have at least as many units"),
    ({"fine_tune": UpDown(learning_rate_schedule=FallingRate(2))}, "first must be a number"),
    ({"fine_tune": UpDown(l2=-1)}, "l2 of UpDown must be"),
    ({"rbm": rbm(hidden_activity_target=(0.1, -1))}, "the strength in hidden_activity_target"),
    ({"n_iter": 2.5}, "n_iter must be an integer"),
    ({"rbm": PrunedGaussianRBM(n_iter=1)}, "cannot be a level of a deep network"),
    (
        {"pruner": IterativePruner(PrunedGaussianRBM(n_iter=1))},
        "cannot be a level of a deep network",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), DBNS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_dbns_refuse_before_training(nothing_trains, options, sentence, wrapped):
    dbn = SparseDBN(**{"hidden_layer_sizes": (5, 4), **options})
    estimator = IterativePruner(dbn, sparsity=0.1) if wrapped else dbn
    with pytest.raises((ValueError, TypeError, NotFittedError), match=sentence):
        estimator.fit(X)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            (options, sentence)
            for options, sentence in DBNS
            if not {"fine_tune", "transpose", "n_iter"} & set(options)
        ),
        ({"pretrain": "rbm", "early_stopping": True, "rows": 1}, "at least two samples"),
        ({"pretrain": "rbm", "weights": np.zeros(40)}, "total weight of 0|non-zero"),
        ({"pretrain": FrozenEstimator(SparseDBN())}, "not fitted"),
        ({"pretrain": SparseDBN(named(l2=-1))}, "l2 must be a number"),
        ({"pretrain": "autoencoder", "learning_rate_schedule": FallingRate(2)}, "first must be"),
        ({"pretrain": "rbm", "tol": np.nan}, "tol must be a number"),
    ],
)
@pytest.mark.parametrize("make", [SparseDBNClassifier, SparseDBNAutoencoder])
def test_networks_refuse_before_training(nothing_trains, make, options, sentence):
    options = dict(options)
    rows, weights = options.pop("rows", 40), options.pop("weights", None)
    if rows == 1 and make is SparseDBNClassifier:
        pytest.skip("a classifier needs two classes")
    network = make(**{"hidden_layer_sizes": (5, 4), **options})
    with pytest.raises((ValueError, TypeError, NotFittedError), match=sentence):
        network.fit(X[:rows], Y[:rows], sample_weight=weights)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"connectivity": [None, np.ones((4, 4))]}, "connectivity mask has shape"),
        ({"connectivity": [None, np.zeros((4, 5))]}, "leaves no connection"),
        ({"connectivity": [None]}, "one entry for each of the 2 levels"),
        ({"pretrain": [rbm(), rbm(learning_rate=0)]}, "learning_rate must be a number"),
        ({"pretrain": [rbm(), unfitted_rbm()]}, "not fitted"),
        (
            {"pretrain": [rbm(), FrozenEstimator(fitted_machine())]},
            r"level 2 has weights of shape \(4, 6\), but the level needs \(4, 5\)",
        ),
        ({"learning_rate_schedule": FallingRate(2)}, "first must be a number"),
        ({"max_mean_field_updates": 2.5}, "max_mean_field_updates must be an integer"),
    ],
)
def test_dbms_refuse_before_training(nothing_trains, options, sentence):
    with pytest.raises((ValueError, TypeError, NotFittedError), match=sentence):
        DBMTransformer((5, 4), **options).fit(X)


def test_measures_and_displays_refuse_before_their_work(nothing_trains, monkeypatch):
    machine = fitted_machine()
    with pytest.raises(TypeError, match="scoring must be a function"):
        compare_minimal(machine, X, X, scoring="score")
    with pytest.raises(TypeError, match="has no method transform"):
        encoding_quality(SparseDBNClassifier(pretrain=None, n_iter=0).fit(X, Y), X, Y, X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        encoding_quality(machine, X, Y, X, Y[:5])
    monkeypatch.setattr(BoltzmannMachine, "sample", lambda *args, **options: pytest.fail("drawn"))
    with pytest.raises(ValueError, match="image_shape must be a pair"):
        SamplesDisplay.from_estimator(machine, image_shape=(4, 4))
    with pytest.raises(TypeError, match="n_columns must be an integer"):
        SamplesDisplay.from_estimator(machine, image_shape=(2, 3), n_columns=2.5)


# ------------------------------------------------------------------------- changed sizes


def pruned_units():
    """A network whose pruner removes units, so that levels are smaller than the parameters say."""
    pruner = IterativePruner(target="units", sparsity=0.4, n_rounds=1)
    return SparseDBN((5, 4), rbm=rbm(), pruner=pruner, random_state=0)


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (rbm, {"n_components": 7}),
        (lambda: DBMTransformer((5, 4), n_iter=1), {"hidden_layer_sizes": (5, 3)}),
        (lambda: DBMTransformer((5, 4), n_iter=1), {"hidden_layer_sizes": 5}),
        (lambda: SparseDBN((5, 4), rbm=rbm()), {"hidden_layer_sizes": (6, 4)}),
        (lambda: SparseDBN((5, 4), rbm=rbm()), {"hidden_layer_sizes": (5, 4, 3)}),
        (lambda: SparseDBN(named()), {"second__n_components": 7}),
        (pruned_units, {"hidden_layer_sizes": (6, 4)}),
        (lambda: SparseDBNClassifier((5, 4), pretrain=None), {"hidden_layer_sizes": (5, 3)}),
        (lambda: SparseDBNClassifier((5, 4), rbm=rbm()), {"hidden_layer_sizes": 5}),
        (lambda: SparseDBNClassifier(pretrain=SparseDBN((5, 4), rbm=rbm())),
         {"pretrain__hidden_layer_sizes": (5, 3)}),
        (lambda: SparseDBNAutoencoder((5, 4), pretrain=None), {"hidden_layer_sizes": (5, 3)}),
    ],
)  # fmt: skip
def test_training_does_not_continue_with_other_sizes(make, change):
    estimator = make().set_params(warm_start=True).fit(X, Y)
    estimator.fit(X, Y)
    own = {name: estimator.get_params()[name] for name in change}
    estimator.set_params(**change)
    for method in ("fit", "partial_fit"):
        if hasattr(estimator, method):
            with pytest.raises(ValueError, match="Training cannot continue with other sizes"):
                getattr(estimator, method)(X, Y)
    estimator.set_params(**own).fit(X, Y)
    estimator.set_params(**change, warm_start=False).fit(X, Y)


def test_units_that_were_pruned_are_no_change_of_size():
    pruner = IterativePruner(rbm(), target="units", sparsity=0.4, n_rounds=1)
    machine = pruner.fit(X).estimator_
    assert machine.set_params(warm_start=True).fit(X).partial_fit(X).components_.shape == (3, 6)
    dbn = pruned_units().set_params(warm_start=True).fit(X)
    assert dbn.fit(X).components_[0].shape == (3, 6)


# -------------------------------------------------------------------- nested parameters


@pytest.mark.parametrize(
    ("estimator", "name", "advice"),
    [
        (SparseDBN(), "rbm__learning_rate", r"rbm=PrunedBernoulliRBM\(\)"),
        (SparseDBN(), "pruner__sparsity", r"pruner=IterativePruner\(\)"),
        (SparseDBN(fine_tune="up_down"), "fine_tune__n_iter", r"fine_tune=UpDown\(\)"),
        (SparseDBN(pruner=IterativePruner()), "pruner__estimator__l2",
         r"estimator=PrunedBernoulliRBM\(\)"),
        (SparseDBN(named()), "rbm__learning_rate", r"rbm=PrunedBernoulliRBM\(\)"),
        (SparseDBNClassifier(), "rbm__learning_rate", r"rbm=PrunedBernoulliRBM\(\)"),
        (SparseDBNClassifier(), "pruner__estimator__l2", r"pruner=IterativePruner\(\)"),
        (SparseDBNClassifier(), "pretrain__upward", r"pretrain=SparseDBN\(\)"),
        (SparseDBNClassifier(pretrain=None), "pretrain__upward", r"pretrain=SparseDBN\(\)"),
        (SparseDBNAutoencoder(), "rbm__learning_rate", r"rbm=PrunedBernoulliRBM\(\)"),
        (DBMTransformer(), "pretrain__n_iter", "pretrain=True has no parameters"),
        (DBMTransformer(), "learning_rate_schedule__first", r"FallingRate\(\)"),
        (rbm(), "negative_phase__n_temperatures", r"ParallelTempering\(\)"),
        (rbm(), "transpose_of__estimator", "transpose_of=None has no parameters"),
        (IterativePruner(), "estimator__n_iter", r"estimator=PrunedBernoulliRBM\(\)"),
        (IterativePruner(), "criterion__n_samples", r"criterion=Fisher\(\)"),
        (IterativePruner(), "schedule__fraction", r"schedule=FractionOfRemaining\(\)"),
        (IterativePruner(), "target__rescale", r"target=Units\(\)"),
        (IterativePruner(), "retrain__n_iter", r"retrain=Rewind\(\)"),
        (IterativePrunerCV(), "estimator__n_iter", r"estimator=PrunedBernoulliRBM\(\)"),
    ],
)  # fmt: skip
def test_parameters_of_what_is_not_there_get_advice(estimator, name, advice):
    before = str(estimator)
    with pytest.raises(
        ValueError, match=rf"{name.split('__')[-1]} cannot be set.*{advice}|{advice}"
    ):
        estimator.set_params(**{name: 2})
    assert str(estimator) == before


def test_parameters_can_be_set_with_their_owner():
    dbn = SparseDBN().set_params(rbm=rbm(), rbm__learning_rate=0.5)
    assert dbn.rbm.learning_rate == 0.5
    with pytest.raises(ValueError, match="rbm=None has no parameters"):
        dbn.set_params(rbm=None, rbm__learning_rate=0.5)
    assert dbn.rbm is not None
    named_dbn = SparseDBN(named()).set_params(second__learning_rate=0.5)
    assert named_dbn.hidden_layer_sizes[1][1].learning_rate == 0.5
    with pytest.raises(ValueError, match="Invalid parameter"):
        SparseDBN().set_params(third__learning_rate=0.5)


def test_a_grid_over_them_gets_the_same_sentence(nothing_trains):
    grid = GridSearchCV(SparseDBN((5, 4)), {"rbm__learning_rate": [0.1, 0.2]}, cv=2)
    with pytest.raises(ValueError, match=r"Pass rbm=PrunedBernoulliRBM\(\) first"):
        grid.fit(X)


def test_planned_shapes_are_those_of_the_fit():
    for estimator, y in (
        (rbm(), None),
        (DBMTransformer((5, 4), n_iter=1), None),
        (SparseDBN((5, 4), rbm=rbm()), None),
        (SparseDBN(named()), None),
        (SparseDBN((5, 4), rbm=rbm(), join_labels=True), Y),
        (SparseDBNClassifier((5, 4), pretrain=None), Y),
        (SparseDBNAutoencoder((5, 4), rbm=rbm()), None),
        (IterativePruner(DBMTransformer((5, 4), n_iter=1), n_rounds=1), None),
    ):
        planned = estimator.planned_levels(6)
        found = [mask.shape for mask in estimator.fit(X, y).connectivity_]
        assert len(planned) == len(found)
        for plan, shape in zip(planned, found, strict=True):
            assert all(a in (None, b) for a, b in zip(plan, shape, strict=True))
            assert plan[0] == shape[0]
        for (n, _), (wanted, _) in zip(estimator.planned_levels(), planned, strict=True):
            assert n in (None, wanted)
    dbm = SparseDBNClassifier(pretrain=DBMTransformer((5, 4), n_iter=1), n_iter=1)
    assert dbm.planned_levels(6) == [(5, None), (4, 5)]
    assert IterativePruner(rbm(), target="units").removes_units
    assert not IterativePrunerCV(rbm()).removes_units
    assert IterativePrunerCV(rbm()).planned_levels(6) == [(5, 6)]
