"""IterativePruner: on our machine, and on one that is not ours."""

import pickle
from typing import ClassVar

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from skprune import IterativePruner, IterativePrunerCV, PrunedBernoulliRBM
from skprune._machine.levels import Level
from skprune._pruning import training
from skprune.criteria import CRITERIA, UNIT_CRITERIA, Fisher
from skprune.pruning import Rewind, Units, pruning_path
from skprune.schedules import FractionOfRemaining, StdThreshold, Threshold
from tests.machines import replace_level


def rbm(**parameters):
    return PrunedBernoulliRBM(**{"n_components": 10, "n_iter": 2, "random_state": 0, **parameters})


class Stub(BaseEstimator):
    """A two-level machine of somebody else's: the pruning protocol and nothing more."""

    def __init__(self, n_iter=3, warm_start=False, random_state=None):
        self.n_iter = n_iter
        self.warm_start = warm_start
        self.random_state = random_state

    def fit(self, X, y=None, gain=1.0):
        if not (self.warm_start and hasattr(self, "log_")):
            self.components_ = [
                np.arange(1.0, 13).reshape(3, 4),
                np.arange(12.0, 0, -1).reshape(4, 3),
            ]
            self.connectivity_ = [np.ones((3, 4), bool), np.ones((4, 3), bool)]
            self.log_ = []
        self.log_.append(("fit", self.warm_start, self.n_iter, gain, self.random_state))
        return self

    def set_connectivity(self, masks):
        self.connectivity_ = list(masks)
        self.components_ = [w * m for w, m in zip(self.components_, masks, strict=True)]
        self.log_.append(("mask", sum(int(m.sum()) for m in masks)))
        return self

    def layer_samples(self, X=None, n_samples=10, n_steps_between=1, random_state=None):
        return [np.zeros((n_samples, n)) for n in (4, 3, 4)]


class CountedStub(Stub):
    """A stub that counts the calls of ``fit`` of all its instances."""

    calls: ClassVar[list] = []

    def fit(self, X, y=None, gain=1.0):
        self.calls.append(1)
        return super().fit(X, y, gain)


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


X = np.zeros((5, 4))


def test_stub_is_pruned_through_the_protocol_alone():
    stub = Stub(n_iter=3)
    pruner = IterativePruner(stub, sparsity=0.75, n_rounds=2, schedule="linear", n_retrain_iter=7)
    pruner.fit(X)
    assert [entry[:3] for entry in pruner.estimator_.log_] == [
        ("fit", False, 3),
        ("mask", 16),
        ("fit", True, 7),
        ("mask", 6),
        ("fit", True, 7),
    ]
    np.testing.assert_array_equal(
        pruner.estimator_.connectivity_[0].ravel(), [False] * 9 + [True] * 3
    )
    np.testing.assert_array_equal(
        pruner.estimator_.connectivity_[1].ravel(), [True] * 3 + [False] * 9
    )
    assert pruner.estimator_.get_params() == stub.get_params()
    assert not hasattr(stub, "log_")
    np.testing.assert_array_equal(pruner.history_["n_connections"], [16, 6])
    np.testing.assert_array_equal(pruner.history_["threshold"], [5, 10])
    np.testing.assert_array_equal(pruner.history_["n_pruned"], [8, 10])
    assert pruner.sparsity_ == 0.75


def test_scope_and_targets_per_level():
    both = IterativePruner(Stub(), sparsity=0.5, scope="global", n_rounds=1).fit(X).estimator_
    assert sum(m.sum() for m in both.connectivity_) == 12
    np.testing.assert_array_equal(both.connectivity_[0].ravel(), [False] * 6 + [True] * 6)
    own = IterativePruner(Stub(), sparsity=[0.75, 0.25], n_rounds=1).fit(X).estimator_
    assert [m.sum() for m in own.connectivity_] == [3, 9]
    with pytest.raises(ValueError, match="3 entries for 2 levels"):
        IterativePruner(Stub(), sparsity=[0.1, 0.2, 0.3]).fit(X)


def test_scope_unit_keeps_every_unit_alive():
    """Rows with small weights lose no more than rows with large ones; the total is exact."""

    class Uneven(Stub):
        def fit(self, X, y=None):
            super().fit(X, y)
            self.components_[0] = np.outer([1.0, 10.0, 100.0], [4.0, 3.0, 2.0, 1.0])
            return self

    machine = IterativePruner(Uneven(), sparsity=0.5, scope="unit", retrain=None, n_rounds=3).fit(X)
    np.testing.assert_array_equal(
        machine.estimator_.connectivity_[0], [[True, True, False, False]] * 3
    )
    odd = IterativePruner(Uneven(), sparsity=7 / 12, scope="unit", retrain=None, n_rounds=1).fit(X)
    np.testing.assert_array_equal(odd.estimator_.connectivity_[0].sum(axis=1), [1, 2, 2])


def test_remove_most_is_the_control():
    worst = IterativePruner(Stub(), sparsity=0.75, remove="most", n_rounds=1).fit(X).estimator_
    np.testing.assert_array_equal(worst.connectivity_[0].ravel(), [True] * 3 + [False] * 9)


def test_no_retraining():
    log = IterativePruner(Stub(), retrain=None, n_rounds=2).fit(X).estimator_.log_
    assert [entry[0] for entry in log] == ["fit", "mask", "mask"]


def test_own_criterion_and_rules():
    def last_column(level):
        return np.broadcast_to(np.arange(level.weights.shape[1]), level.weights.shape)

    kept = IterativePruner(Stub(), criterion=last_column, sparsity=0.75, n_rounds=1).fit(X)
    np.testing.assert_array_equal(kept.estimator_.connectivity_[0], [[False] * 3 + [True]] * 3)
    rule = IterativePruner(Stub(), schedule=Threshold(6.0), sparsity=None, n_rounds=1).fit(X)
    assert [m.sum() for m in rule.estimator_.connectivity_] == [7, 7]
    capped = IterativePruner(Stub(), schedule=Threshold(6.0), sparsity=0.25, n_rounds=1).fit(X)
    assert [m.sum() for m in capped.estimator_.connectivity_] == [9, 9]
    with pytest.raises(ValueError, match="scores of shape"):
        IterativePruner(Stub(), criterion=lambda level: np.zeros(3)).fit(X)


def test_fit_parameters_are_routed():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        stub = Stub().set_fit_request(gain=True)
        log = IterativePruner(stub, n_rounds=1).fit(X, gain=2.5).estimator_.log_
    assert [entry[3] for entry in log if entry[0] == "fit"] == [2.5, 2.5]


def test_random_state_seeds_the_clone():
    seeds = [
        IterativePruner(Stub(random_state=5), random_state=seed).fit(X).estimator_.log_[0][4]
        for seed in (None, 0, 0, 1)
    ]
    assert seeds[0] == 5
    assert seeds[1] == seeds[2] != seeds[3]


def test_missing_members_are_named():
    with pytest.raises(
        TypeError, match="LogisticRegression cannot be pruned: it lacks set_connectivity"
    ):
        IterativePruner(LogisticRegression()).fit([[0.0], [1.0]], [0, 1])


def test_target_is_exact_and_connections_stay_gone(digits):
    pruner = IterativePruner(rbm(), sparsity=0.9, n_rounds=4).fit(digits)
    machine = pruner.estimator_
    assert np.count_nonzero(machine.components_) == 64
    assert machine.connectivity_[0].sum() == 64
    assert pruner.sparsity_ == pytest.approx(0.9)
    counts = pruner.history_["n_connections"]
    assert list(counts) == [round(640 * 0.1 ** (k / 4)) for k in (1, 2, 3)] + [64]
    assert not machine.warm_start
    assert machine.n_iter == 2
    machine.partial_fit(digits)
    assert np.count_nonzero(machine.components_) == 64


def test_sparsity_zero_or_already_there_prunes_nothing(digits):
    full = IterativePruner(rbm(), sparsity=0, n_rounds=2).fit(digits)
    np.testing.assert_array_equal(full.history_["n_pruned"], [0, 0])
    assert full.estimator_._step == 3 * 2 * 180
    diluted = IterativePruner(rbm(initial_sparsity=0.8), sparsity=0.5, n_rounds=2).fit(digits)
    np.testing.assert_array_equal(diluted.history_["n_pruned"], [0, 0])
    assert diluted.sparsity_ == pytest.approx(0.8)


def test_retraining_mends_what_pruning_cost(digits):
    scores = {
        retrain: IterativePruner(
            rbm(n_components=20, n_iter=15), sparsity=0.8, n_rounds=3, retrain=retrain
        ).fit(digits).score(digits)
        for retrain in ("continue", None)
    }  # fmt: skip
    assert scores["continue"] > scores[None] + 1


def test_percentile_rule_on_an_rbm(digits):
    pruner = IterativePruner(rbm(), schedule=FractionOfRemaining(0.3), sparsity=None, n_rounds=3)
    np.testing.assert_array_equal(pruner.fit(digits).history_["n_connections"], [448, 314, 220])
    sigma = IterativePruner(
        rbm(), schedule=StdThreshold(0.5), sparsity=None, n_rounds=1, retrain=None
    )
    sigma.fit(digits)
    full = rbm().fit(digits).components_
    assert sigma.history_["n_connections"][0] == (np.abs(full) >= 0.5 * full.std(dtype=float)).sum()


class Alternating(Stub):
    """The stub with weights -1, 2, -3, ..., 12 in one level, and in reverse order in the other."""

    def fit(self, X, y=None):
        first = not (self.warm_start and hasattr(self, "log_"))
        super().fit(X, y)
        if first:
            self.components_ = [w * (-1) ** w for w in self.components_]
        return self


def test_sigma_rule_measures_the_weights_that_remain():
    """Half a sigma is 3.7 in round one and 4.2 in round two (3.6 if pruned weights counted)."""
    rule = StdThreshold(0.5)
    pruner = IterativePruner(Alternating(), schedule=rule, sparsity=None, n_rounds=3).fit(X)
    np.testing.assert_array_equal(pruner.history_["n_connections"], [18, 16, 16])
    np.testing.assert_array_equal(pruner.history_["threshold"], [4, 5, 5])


def test_frozen_estimator_is_copied_and_pruned(digits):
    fitted = rbm().fit(digits)
    before = fitted.components_.copy()
    pruner = IterativePruner(FrozenEstimator(fitted), sparsity=0.5, retrain=None, n_rounds=1)
    pruner.fit(digits)
    np.testing.assert_array_equal(fitted.components_, before)
    kept = pruner.estimator_.components_
    np.testing.assert_array_equal(kept[kept != 0], before[kept != 0])
    assert pruner.sparsity_ == 0.5


def test_delegation(digits):
    unfitted = IterativePruner(rbm())
    assert hasattr(unfitted, "transform")
    assert not hasattr(unfitted, "predict")
    assert not hasattr(unfitted, "n_features_in_")
    pruner = clone(unfitted).fit(digits)
    np.testing.assert_array_equal(pruner.transform(digits), pruner.estimator_.transform(digits))
    assert pruner.score(digits) == pruner.estimator_.score(digits)
    assert pruner.sample(2, n_gibbs_steps=2).shape == (2, 64)
    assert pruner.n_features_in_ == 64
    again = pickle.loads(pickle.dumps(pruner))
    np.testing.assert_array_equal(again.transform(digits), pruner.transform(digits))


def test_set_output_reaches_the_machine(digits):
    import pandas as pd

    pruner = IterativePruner(rbm()).set_output(transform="pandas")
    out = pruner.fit_transform(pd.DataFrame(digits, columns=[f"p{k}" for k in range(64)]))
    assert isinstance(out, pd.DataFrame)
    assert list(out.columns) == list(pruner.get_feature_names_out())
    assert list(pruner.feature_names_in_)[:2] == ["p0", "p1"]


def test_set_output_after_fit_reaches_the_pruned_machine():
    """set_output on a fitted pruner changes the container of transform without another fit."""
    import pandas as pd

    rows = np.eye(4)
    pruner = IterativePruner(rbm(n_iter=0), retrain=None).fit(rows)
    assert isinstance(pruner.transform(rows), np.ndarray)
    assert isinstance(pruner.set_output(transform="pandas").transform(rows), pd.DataFrame)
    assert isinstance(pruner.set_output(transform="default").transform(rows), np.ndarray)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sparsity": -0.1}, r"sparsity must be a number in \[0, 1\), got -0.1"),
        ({"sparsity": 1.0}, r"sparsity must be a number in \[0, 1\), got 1.0"),
        ({"sparsity": 0.9999}, "leaves none of the 640 connections of a level"),
        ({"sparsity": None}, "requires a schedule that needs no target"),
        (
            {"criterion": "size"},
            "criterion='size' is not known. Use one of 'magnitude', 'random', 'contribution'",
        ),
        ({"criterion": 3}, "a function of a LevelView"),
        ({"schedule": "slow"}, "'one_shot', 'geometric', 'linear', 'cubic'"),
        ({"n_rounds": 0}, "n_rounds must be an integer"),
        ({"n_retrain_iter": 0}, "n_retrain_iter must be an integer"),
        ({"scope": "all"}, "Use one of 'level', 'global', 'unit'"),
        ({"remove": "some"}, "Use one of 'least', 'most'"),
        ({"retrain": "maybe"}, "Use one of 'continue', 'rewind', 'reinitialize'"),
        ({"retrain": 3}, "retrain must be 'continue', .* or None, got 3"),
        ({"retrain": Rewind(9)}, "needs more passes than the estimator has, which is n_iter=2"),
        ({"target": "layers"}, "target='layers' is not known. Use one of 'connections', 'units'"),
        ({"order": "sideways"}, "Use one of 'joint', 'bottom_up', 'top_down'"),
        ({"order": "bottom_up", "scope": "global"}, "scope='global' prunes all levels together"),
        ({"target": "units", "scope": "unit"}, "scope='unit' requires target='connections'"),
        ({"target": "units", "criterion": "label_information"}, "needs labels. Pass y to fit"),
        ({"target": "units", "criterion": lambda layer: [1.0]}, "must return one score per unit"),
        ({"schedule": []}, "schedule is an empty list"),
        ({"schedule": [0.9, 0.5]}, "is not in ascending order"),
        ({"schedule": 0.5}, "schedule must be a name, a list of sparsities or an object"),
        ({"schedule": FractionOfRemaining}, "schedule must be a name, a list of sparsities"),
        ({"criterion": Fisher}, "criterion must be a name or a function of a LevelView"),
        ({"sparsity": [None]}, "sparsity=None requires a schedule that needs no target"),
        ({"target": None}, "target must be 'connections', 'units' or a Units object, got None"),
        ({"retrain": False}, "retrain must be 'continue', .* or None, got False"),
        (
            {"regrow": "random", "schedule": FractionOfRemaining(), "sparsity": None},
            "regrow adds connections up to a target sparsity, got sparsity=None",
        ),
        ({"criterion": lambda level: level.weights * np.nan, "scope": "unit"}, "returned NaN"),
        ({"target": "units", "criterion": lambda layer: np.full(10, np.nan)}, "returned NaN"),
        ({"regrow": "random"}, "regrow requires target='connections' and a schedule that can"),
        ({"grace_rounds": -1}, "grace_rounds must be an integer"),
        (
            {"memory": "there", "estimator": rbm(random_state=None)},
            "memory requires an integer seed",
        ),
        ({"criterion": Fisher(source="dreams")}, "source='dreams' is not known"),
        ({"estimator": None}, "needs an estimator"),
    ],
)
def test_bad_parameters_get_a_sentence(digits, parameters, sentence):
    parameters = {"estimator": rbm(), **parameters}
    with pytest.raises((ValueError, TypeError), match=sentence):
        IterativePruner(**parameters).fit(digits)


def test_a_rule_without_a_cap_keeps_the_last_connection(digits):
    """A threshold above every weight leaves one connection, never an empty level."""
    pruner = IterativePruner(rbm(), schedule=Threshold(1e9), sparsity=None, n_rounds=1).fit(digits)
    np.testing.assert_array_equal(pruner.history_["n_connections"], [1])


def test_verbose_prints_a_line_a_round(digits, capsys):
    IterativePruner(rbm(), n_rounds=2, verbose=1).fit(digits)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("[IterativePruner] Round 2 of 2, 64 connections, sparsity = 0.9000")


def test_callbacks_reach_the_machine(digits):
    callback = pytest.importorskip("sklearn.callback")
    pruner = IterativePruner(rbm(), n_rounds=2)
    pruner.set_callbacks(callback.ProgressBar(max_propagation_depth=3)).fit(digits)
    assert pruner.sparsity_ == pytest.approx(0.9)


def test_a_path_calls_no_callbacks(digits):
    """Callbacks belong to ``fit``, which also tears them down."""
    callback = pytest.importorskip("sklearn.callback")
    pruner = IterativePruner(rbm(n_iter=1), schedule=[0.5])
    plain = pruning_path(pruner, digits)
    pruner.set_callbacks(callback.ProgressBar())
    path = pruning_path(pruner, digits)
    np.testing.assert_array_equal(path.estimators[0].components_, plain.estimators[0].components_)


GRID = [0, 0.5, 0.8, 0.9, 0.95]


@pytest.mark.parametrize("probe", [SVC(), LogisticRegression(max_iter=500)])
def test_grid_search_in_a_pipeline(digits, probe):
    from sklearn.datasets import load_digits

    y = load_digits().target[:500]
    pipe = Pipeline(
        [
            ("features", IterativePruner(rbm(n_components=30, n_iter=8), n_rounds=2)),
            ("probe", probe),
        ]
    )
    search = GridSearchCV(pipe, {"features__sparsity": GRID}, n_jobs=2, cv=3)
    search.fit(digits[:500], y)
    assert search.best_score_ > 0.6
    assert len(search.cv_results_["params"]) == len(GRID)
    reached = search.best_estimator_["features"].sparsity_
    assert reached == pytest.approx(search.best_params_["features__sparsity"], abs=1e-3)


def test_grid_search_by_log_likelihood_and_same_bits_for_any_n_jobs(digits):
    scores = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            IterativePruner(rbm(), n_rounds=2), {"sparsity": GRID}, n_jobs=n_jobs, cv=3
        ).fit(digits)
        assert np.isfinite(search.best_score_)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(scores[0], scores[1])
    assert len(set(scores[0])) == len(GRID)


# ------------------------------------------------------- orders, units, ways to train on


class Deep(Stub):
    """A stub that counts the connections it has when it is fitted and scored."""

    def fit(self, X, y=None):
        super().fit(X, y)
        self.log_[-1] = ("fit", self.n_iter, [int(m.sum()) for m in self.connectivity_])
        return self

    def score(self, X, y=None):
        return float(sum(m.sum() for m in self.connectivity_))


@pytest.mark.parametrize(
    ("order", "counts"),
    [
        ("joint", [[8, 8], [4, 4]]),
        ("bottom_up", [[8, 12], [8, 8], [4, 8], [4, 4]]),
        ("top_down", [[12, 8], [8, 8], [8, 4], [4, 4]]),
    ],
)
def test_levels_take_turns_within_a_round(order, counts):
    pruner = IterativePruner(
        Deep(), sparsity=2 / 3, schedule="linear", n_rounds=2, order=order, scoring=None
    ).fit(X)
    fits = [entry[2] for entry in pruner.estimator_.log_ if entry[0] == "fit"]
    assert fits == [[12, 12], *counts]
    levels = {"joint": [-1, -1], "bottom_up": [0, 1, 0, 1], "top_down": [1, 0, 1, 0]}[order]
    assert list(pruner.history_["level"]) == levels
    assert list(pruner.history_["n_connections"]) == [sum(pair) for pair in counts]


def test_scores_are_kept_before_and_after_retraining(digits):
    pruner = IterativePruner(
        rbm(n_iter=5), sparsity=0.8, n_rounds=2, scoring=lambda machine, X: machine.score(X)
    ).fit(digits)
    assert pruner.history_["score"][-1] == pytest.approx(pruner.score(digits))
    assert (pruner.history_["score"] > pruner.history_["score_pruned"]).all()
    named = IterativePruner(
        rbm(), sparsity=0.8, n_rounds=1, retrain=None, scoring={"a": lambda m, X: 1.0}
    ).fit(digits)
    assert list(named.history_["score_a"]) == list(named.history_["score_pruned_a"]) == [1.0]


def test_a_list_of_sparsities_is_a_schedule(digits):
    pruner = IterativePruner(rbm(), schedule=[0.5, 0.5, 0.8]).fit(digits)
    np.testing.assert_allclose(pruner.history_["sparsity"], [0.5, 0.5, 0.8])
    assert pruner.estimator_._step == 4 * 2 * 180


def test_all_ties_go_where_the_thesis_lets_them():
    def scores(level):
        return np.where(np.arange(12).reshape(level.weights.shape) < 9, 0.0, level.weights)

    exact, every = (
        IterativePruner(
            Stub(), criterion=scores, schedule=FractionOfRemaining(0.25, ties=ties), sparsity=None,
            n_rounds=1,
        ).fit(X) for ties in ("exact", "all")
    )  # fmt: skip
    assert [int(m.sum()) for m in exact.estimator_.connectivity_] == [9, 9]
    assert [int(m.sum()) for m in every.estimator_.connectivity_] == [3, 3]
    with pytest.raises(ValueError, match="ties='some' is not known"):
        IterativePruner(Stub(), schedule=FractionOfRemaining(ties="some")).fit(X)


def test_units_of_a_stub_are_masked_on_both_sides():
    pruner = IterativePruner(
        Stub(), target="units", sparsity=1 / 3, n_rounds=1, criterion=lambda view: np.arange(
            float(len(view.below.weights)))
    ).fit(X)  # fmt: skip
    below, above = pruner.estimator_.connectivity_
    np.testing.assert_array_equal(below.any(axis=1), [False, True, True])
    np.testing.assert_array_equal(above.any(axis=0), [False, True, True])
    np.testing.assert_array_equal(above.any(axis=1), [False, True, True, True])
    assert pruner.sparsity_ == pytest.approx(2 / 7)
    assert list(pruner.history_["n_pruned"]) == [2]


@pytest.mark.parametrize("criterion", UNIT_CRITERIA)
def test_units_go_for_good(digits, criterion):
    from sklearn.datasets import load_digits

    y = load_digits().target
    pruner = IterativePruner(rbm(), target="units", criterion=criterion, sparsity=0.6, n_rounds=2)
    machine = pruner.fit(digits, y).estimator_
    assert machine.n_components == 4
    assert machine.components_.shape == (4, 64)
    assert pruner.transform(digits).shape == (len(digits), 4)
    assert list(pruner.history_["n_units"]) == [6, 4]
    assert pruner.sparsity_ == pytest.approx(0.6)
    assert machine.sample(3, n_gibbs_steps=2).shape == (3, 64)
    machine.set_params(warm_start=True).fit(digits)


def test_fewest_informative_units_go_first(digits):
    """A unit without weights tells nothing, one that copies a pixel tells most."""
    fitted = rbm(n_iter=0, n_components=3).fit(digits)
    weights = np.zeros((3, 64))
    weights[1, 20], weights[2, 20] = 30, 1
    fitted.set_parameters(
        weights, intercept_hidden=[0, -15, -0.5], visible_means=fitted.activity_[0]
    )
    pruner = IterativePruner(
        FrozenEstimator(fitted), target="units", criterion="mutual_information", sparsity=2 / 3,
        retrain=None, n_rounds=1,
    ).fit(digits)  # fmt: skip
    assert pruner.estimator_.components_[0, 20] == 30


@pytest.mark.parametrize(
    ("options", "factor", "bias"),
    [
        ({}, 1, lambda b, a: b),
        ({"rescale": True}, 2, lambda b, a: b),
        ({"hidden_bias": "mean_activity"}, 1, lambda b, a: a),
        ({"hidden_bias": "negative"}, 1, lambda b, a: -1 / (1 + np.exp(a))),
    ],
)
def test_what_the_thesis_does_to_the_units_that_stay(digits, options, factor, bias):
    fitted = rbm().fit(digits)
    pruner = IterativePruner(
        FrozenEstimator(fitted), target=Units(**options), sparsity=0.5, retrain=None, n_rounds=1
    ).fit(digits)
    stay = np.sort(np.argsort(np.linalg.norm(fitted.components_, axis=1))[5:])
    machine = pruner.estimator_
    np.testing.assert_allclose(machine.components_, factor * fitted.components_[stay], rtol=1e-6)
    expected = bias(fitted.intercept_hidden_[stay], fitted._activity[1][stay])
    np.testing.assert_allclose(machine.intercept_hidden_, expected, rtol=1e-6)


def test_compaction_keeps_the_likelihood(digits):
    machine = rbm(n_iter=3).fit(digits)
    mask = np.random.default_rng(0).uniform(size=(10, 64)) < 0.3
    mask[[2, 5]] = False
    machine.set_connectivity(mask)
    smaller = machine.compact()
    assert smaller.n_components == 8
    assert smaller.n_features_in_ == 64
    np.testing.assert_allclose(
        smaller.score_samples(digits), machine.score_samples(digits), rtol=1e-6
    )
    np.testing.assert_array_equal(
        smaller.transform(digits), np.delete(machine.transform(digits), [2, 5], axis=1)
    )
    assert machine.n_components == 10
    for units in ([np.ones(9, bool)], [np.zeros(10, bool)], [np.ones(10)]):
        with pytest.raises(ValueError, match="one boolean array per hidden layer"):
            machine.compact(units)
    with pytest.raises(ValueError, match="hidden_bias='high' is not known"):
        machine.compact(hidden_bias="high")


def test_units_without_connections_have_a_grace_period(digits):
    def first_units_last(level):
        return np.broadcast_to(np.arange(level.weights.shape[0])[:, None], level.weights.shape)

    sizes = {}
    for grace in (None, 0, 1):
        pruner = IterativePruner(
            rbm(), criterion=first_units_last, schedule=[0.2, 0.4, 0.4], grace_rounds=grace
        )
        path = pruning_path(pruner, digits)
        sizes[grace] = [machine.n_components for machine in path.estimators]
        np.testing.assert_allclose(path.sparsities, [0.2, 0.4, 0.4], atol=1e-3)
    assert sizes == {None: [10, 10, 10], 0: [8, 6, 6], 1: [10, 8, 6]}


def test_units_that_are_connected_again_start_a_new_grace_period():
    """The unit is idle in rounds one and three only, so it never exceeds one idle round."""
    weakest = iter([0, 2, 0])

    def criterion(level):
        return np.arange(3)[:, None] != np.full((3, 3), next(weakest))

    def last_units_first(level):
        return np.arange(3)[:, None] * np.ones((3, 3))

    pruner = IterativePruner(
        rbm(n_components=3, n_iter=0), criterion=criterion, regrow=last_units_first, n_rounds=3,
        schedule=FractionOfRemaining(1 / 3), sparsity=1 / 3, retrain=None, grace_rounds=1,
    ).fit(np.eye(3))  # fmt: skip
    np.testing.assert_array_equal(pruner.history_["n_units"], [2, 3, 2])
    np.testing.assert_array_equal(pruner.connectivity_[0].sum(axis=1), [0, 3, 3])


def test_rewinding_trains_no_pass_twice():
    """Rewind(2) trains two of five passes, then the other three, then the passes of the round."""
    told = []

    class Spied(Stub):
        def fit(self, X, y=None):
            told.append((self.n_iter, self.warm_start))
            return super().fit(X, y)

    IterativePruner(Spied(n_iter=5), n_rounds=1, retrain=Rewind(2), n_retrain_iter=4).fit(X)
    assert told == [(2, False), (3, True), (4, True)]


def test_rewinding_goes_back_to_the_weights_of_then(digits):
    """Without a pass after it, rewound weights are those of the state that was kept."""
    for kept in (0, 2):
        pruner = IterativePruner(
            rbm(n_iter=4), sparsity=0.5, n_rounds=1, retrain=Rewind(kept), n_retrain_iter=1
        )
        machine = rbm(n_iter=kept).fit(digits)
        pruner.fit(digits)
        mask = pruner.connectivity_[0]
        machine.set_connectivity(mask).set_params(warm_start=True, n_iter=1).fit(digits)
        np.testing.assert_array_equal(machine.components_, pruner.estimator_.components_)
        assert pruner.estimator_.n_iter == 4
    named = IterativePruner(rbm(n_iter=4), sparsity=0.5, n_rounds=1, retrain="rewind").fit(digits)
    assert named.sparsity_ == 0.5


def test_reinitialized_machines_know_only_the_mask(digits):
    pruner = IterativePruner(rbm(), sparsity=0.5, n_rounds=2, retrain="reinitialize").fit(digits)
    machine = pruner.estimator_
    assert machine.random_state == 0
    assert machine._step == 2 * 180
    assert np.count_nonzero(machine.components_) == 320
    control = IterativePruner(rbm(), sparsity=0.5, n_rounds=2).fit(digits).estimator_
    assert not np.array_equal(control._key, machine._key)


def test_pruning_while_training(digits):
    """A pass, a cut: the cubic schedule of Zhu and Gupta needs no parameter of its own."""
    pruner = IterativePruner(
        rbm(n_iter=1, learning_rate_schedule="constant"), schedule="cubic", n_rounds=6, sparsity=0.9
    ).fit(digits)
    assert pruner.estimator_._step == 7 * 180
    assert (np.diff(pruner.history_["n_pruned"]) < 0).all()


@pytest.mark.parametrize("regrow", ["random", "gradient", "coactivity"])
def test_regrowth_keeps_the_number_and_moves_the_connections(digits, regrow):
    """Sparse evolutionary training: a diluted machine loses the weakest and wins others."""
    start = rbm(initial_sparsity=0.8)
    pruner = IterativePruner(
        start, sparsity=0.8, schedule=FractionOfRemaining(0.3), n_rounds=3, regrow=regrow
    ).fit(digits)
    np.testing.assert_array_equal(pruner.history_["n_connections"], [128] * 3)
    np.testing.assert_array_equal(pruner.history_["n_regrown"], [38] * 3)
    np.testing.assert_array_equal(pruner.history_["n_pruned"], [38] * 3)
    before, after = start.fit(digits).connectivity_[0], pruner.connectivity_[0]
    assert 20 < (before & ~after).sum() <= 114
    full = IterativePruner(
        rbm(), sparsity=0.5, schedule=FractionOfRemaining(0.3), n_rounds=3, regrow=regrow
    ).fit(digits)
    np.testing.assert_array_equal(full.history_["n_connections"], [448, 320, 320])
    np.testing.assert_array_equal(full.history_["n_regrown"], [0, 6, 96])


def test_regrowth_by_gradient_prefers_what_the_model_lacks():
    """Two pixels that go together, and a hidden unit that sees only one of them."""
    rng = np.random.default_rng(0)
    pair = rng.integers(0, 2, (2000, 1))
    data = np.hstack([pair, pair, rng.integers(0, 2, (2000, 4))]).astype(np.uint8)
    mask = np.array([[True, False, False, False, True, False]])
    fitted = PrunedBernoulliRBM(1, n_iter=0, connectivity=mask, random_state=0).fit(data)
    fitted.set_connectivity([[True] + [False] * 3 + [True, False]])
    weights = np.zeros((1, 6), np.float32)
    weights[0, 0], weights[0, 4] = 8, 0.1
    replace_level(fitted, 0, Level.from_matrix(weights, mask))
    visible = [-4, *fitted.intercept_visible_[1:]]
    fitted.set_parameters(
        intercept_hidden=[-4], intercept_visible=visible, visible_means=fitted.activity_[0]
    )
    pruner = IterativePruner(
        FrozenEstimator(fitted), sparsity=4 / 6, schedule=FractionOfRemaining(0.5), n_rounds=1,
        regrow="gradient", retrain=None,
    ).fit(data)  # fmt: skip
    np.testing.assert_array_equal(pruner.connectivity_[0], [[True, True] + [False] * 4])


@pytest.mark.parametrize("remove", ["least", "most"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_prunes_a_machine(digits, criterion, remove):
    """In each round, no connection that goes is worth more (or less) than one that stays."""
    seen = []

    def recorded(level):
        scores = CRITERIA[criterion](level)
        seen.append((np.array(scores), np.array(level.connectivity)))
        return scores

    options = {"remove": remove, "sparsity": 0.7, "n_rounds": 2}
    pruner = IterativePruner(rbm(), criterion=criterion, **options).fit(digits)
    assert pruner.sparsity_ == pytest.approx(0.7)
    path = pruning_path(IterativePruner(rbm(), criterion=recorded, **options), digits)
    np.testing.assert_array_equal(
        pruner.connectivity_[0], path.estimators[-1].connectivity_[0]
    )  # the name stands for this criterion
    assert len(seen) == 2
    for (scores, before), machine in zip(seen, path.estimators, strict=True):
        after = machine.connectivity_[0]
        assert not (after & ~before).any()
        stays, goes = scores[after], scores[before & ~after]
        assert goes.size
        if remove == "least":
            assert goes.max() <= stays.min()
        else:
            assert goes.min() >= stays.max()


def test_labels_belong_to_the_rows_of_the_states(digits):
    """States are drawn for rows in random order. The first unit copies the label of its row."""
    X = digits[:200].copy()
    X[:, 0] = np.random.RandomState(1).randint(0, 2, 200)
    fitted = rbm(n_iter=0, n_components=2).fit(X)
    weights = np.zeros((2, 64))
    weights[:, 0] = 100, 0
    fitted.set_parameters(weights, intercept_hidden=[-50, 0], visible_means=X.mean(axis=0))
    seen = []

    def information(layer):
        scores = UNIT_CRITERIA["label_information"](layer)
        seen.append((scores, layer.labels(), layer.below.states("data")[0]))
        return scores

    IterativePruner(
        FrozenEstimator(fitted), target="units", criterion=information, sparsity=0.5, n_rounds=1,
        retrain=None,
    ).fit(X, X[:, 0])  # fmt: skip
    ((scores, labels, visible),) = seen
    np.testing.assert_array_equal(labels, visible[:, 0])
    assert (visible != X).any()  # the rows are in another order
    share = X[:, 0].mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert scores[0] == pytest.approx(entropy)
    assert scores[1] < 0.1


def test_grids_share_their_early_rounds_through_memory(digits, tmp_path, monkeypatch):
    """0.9 needs the rounds of 0.6 and some more; nothing is trained twice."""

    calls = []
    fit = PrunedBernoulliRBM.fit
    monkeypatch.setattr(
        PrunedBernoulliRBM, "fit", lambda self, X, y=None: (calls.append(1), fit(self, X, y))[1]
    )

    def fits():
        return len(calls)

    def pruner(sparsity):
        return IterativePruner(
            rbm(), schedule=FractionOfRemaining(0.4), n_rounds=3,
            sparsity=sparsity, memory=str(tmp_path / "memory"),
        )  # fmt: skip

    first = pruner(0.78).fit(digits)
    assert fits() == 4
    again = pruner(0.78).fit(digits)
    assert fits() == 4
    np.testing.assert_array_equal(first.estimator_.components_, again.estimator_.components_)
    other = pruner(0.6).fit(digits)  # the same first round, then its own
    assert fits() == 6
    assert other.sparsity_ == pytest.approx(0.6)
    plain = pruner(0.6).set_params(memory=None).fit(digits)
    np.testing.assert_array_equal(plain.estimator_.components_, other.estimator_.components_)


@pytest.mark.parametrize(
    ("changed", "n_fits"),
    [({"y": 1}, 3), ({"n_retrain_iter": 2}, 2), ({"gain": 2.0}, 3), ({"X": 1}, 3)],
    ids=["y", "parameter", "fit parameter", "X"],
)
def test_memory_knows_everything_that_a_round_depends_on(tmp_path, routing, changed, n_fits):
    """The first run makes three fits. A run with other arguments reads none of theirs that differ."""

    def run(X=0, y=0, gain=1.0, n_retrain_iter=1):
        pruner = IterativePruner(
            CountedStub().set_fit_request(gain=True), sparsity=0.5, n_rounds=2, random_state=0,
            n_retrain_iter=n_retrain_iter, memory=str(tmp_path / "memory"),
        )  # fmt: skip
        pruner.fit(np.full((5, 4), float(X)), np.full(5, y), gain=gain)
        return len(CountedStub.calls)

    CountedStub.calls.clear()
    assert run() == 3
    assert run() == 3
    assert run(**changed) == 3 + n_fits
    assert run() == 3 + n_fits


# ------------------------------------------------------------------------- cross-validation


def test_path_is_one_training_and_short_ones(digits):
    """The same by hand: train, remove the smallest weights, train for one pass, and so on."""
    pruner = IterativePruner(rbm(n_iter=8), schedule=[0.5, 0.8, 0.9], n_retrain_iter=1)
    path = pruning_path(pruner, digits)
    assert [machine._step // 180 for machine in path.estimators] == [9, 10, 11]
    np.testing.assert_allclose(path.sparsities, [0.5, 0.8, 0.9])
    machine = rbm(n_iter=8).fit(digits)
    for n_kept, pruned in zip((320, 128, 64), path.estimators, strict=True):
        size = np.abs(machine.components_)
        machine.set_connectivity(size >= np.sort(size, axis=None)[-n_kept])
        machine.set_params(warm_start=True, n_iter=1).fit(digits)
        np.testing.assert_array_equal(pruned.connectivity_[0], machine.connectivity_[0])
        np.testing.assert_array_equal(pruned.components_, machine.components_)
    fitted = pruner.fit(digits)
    np.testing.assert_array_equal(path.estimators[-1].components_, fitted.estimator_.components_)


def test_cross_validated_sparsity(digits):
    sparsities = (0.5, 0.8, 0.95)
    search = IterativePrunerCV(rbm(n_iter=8), sparsities=sparsities, cv=3).fit(digits)
    results = search.cv_results_
    np.testing.assert_array_equal(results["sparsity"], sparsities)
    assert search.n_splits_ == 3
    table = np.array([results[f"split{k}_test_score"] for k in range(3)])
    full = np.array([results[f"split{k}_full_score"] for k in range(3)])
    np.testing.assert_allclose(results["mean_test_score"], table.mean(axis=0))
    np.testing.assert_allclose(results["mean_full_score"], full.mean(axis=0))
    np.testing.assert_allclose(results["tolerance"], full.std(axis=0, ddof=1) / np.sqrt(3))
    good = table.mean(axis=0) >= full.mean(axis=0) - results["tolerance"]
    expected = max([s for s, ok in zip(sparsities, good, strict=True) if ok], default=0.0)
    assert search.best_sparsity_ == expected
    assert search.sparsity_ == pytest.approx(expected, abs=1e-3)
    # a fold by hand: one training, then the path beside the full machine
    train, test = digits[599:], digits[:599]
    by_hand = pruning_path(
        IterativePruner(rbm(n_iter=8), schedule=list(sparsities), n_retrain_iter=1), train
    )
    np.testing.assert_allclose(
        table[0], [machine.score(test) for machine in by_hand.estimators], rtol=1e-9
    )
    whole = rbm(n_iter=8).fit(train)
    for score in full[0]:
        whole.set_params(warm_start=True, n_iter=1).fit(train)
        assert whole.score(test) == pytest.approx(score, rel=1e-9)


def test_tolerance_decides(digits):
    def best(tolerance):
        search = IterativePrunerCV(
            rbm(n_iter=4), sparsities=(0.5, 0.98), cv=2, tolerance=tolerance, retrain=None
        )
        return search.fit(digits).best_sparsity_

    assert best(1e6) == 0.98
    assert best(0.0) == 0.0
    none = IterativePrunerCV(
        rbm(n_iter=4), sparsities=(0.98,), cv=2, tolerance=0.0, retrain=None
    ).fit(digits)
    assert none.estimator_.connectivity_[0].all()
    assert none.best_score_ == pytest.approx(none.cv_results_["mean_full_score"][-1])


def test_cross_validation_is_the_same_for_any_n_jobs(digits):
    fitted = [
        IterativePrunerCV(
            rbm(n_iter=3), sparsities=(0.5, 0.9), cv=3, n_jobs=n_jobs, random_state=1
        ).fit(digits)
        for n_jobs in (1, 2)
    ]
    for name, column in fitted[0].cv_results_.items():
        np.testing.assert_array_equal(column, fitted[1].cv_results_[name])
    np.testing.assert_array_equal(
        fitted[0].estimator_.components_, fitted[1].estimator_.components_
    )


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sparsities": ()}, "sparsities must be a non-empty sequence"),
        ({"sparsities": 0.5}, "sparsities must be a non-empty sequence, got 0.5"),
        ({"sparsities": [0.5, None]}, "sparsity must be a number in"),
        ({"scoring": {"a": max}}, "needs one scorer"),
        ({"scoring": lambda machine, X: np.nan}, "The test scores contain NaN"),
        ({"sparsities": (0.9, 0.5)}, "sparsities must be in ascending order"),
        ({"sparsities": (0.5, 1.0)}, "sparsity must be a number in"),
        ({"tolerance": -1.0}, "tolerance must be a number"),
        ({"criterion": "size"}, "criterion='size' is not known"),
        ({"estimator": None}, "needs an estimator"),
    ],
)
def test_bad_parameters_of_the_cross_validation_get_a_sentence(digits, parameters, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        IterativePrunerCV(**{"estimator": rbm(), **parameters}).fit(digits)


# ---------------------------------------------------------------- what a review found


def test_pruner_and_machine_do_not_share_a_stream(digits):
    """With the same seed, random pruning once continued the very numbers of the dilution."""
    start = rbm(initial_sparsity=0.5)
    mask = start.fit(digits).connectivity_[0]
    regrown = IterativePruner(
        start, sparsity=0.5, schedule=FractionOfRemaining(0.3), regrow="random", n_rounds=1,
        retrain=None,
    ).fit(digits)  # fmt: skip
    assert (regrown.connectivity_[0] & ~mask).sum() == regrown.history_["n_regrown"][0] == 96
    for seed, estimator in ((None, start), (0, FrozenEstimator(rbm().fit(digits)))):
        pruned = IterativePruner(
            estimator,
            criterion="random",
            sparsity=0.75,
            n_rounds=1,
            retrain=None,
            random_state=seed,
        ).fit(digits)
        diluted = rbm(initial_sparsity=0.75).fit(digits).connectivity_[0]
        assert (pruned.connectivity_[0] != diluted).any()


@pytest.mark.parametrize("retrain", ["continue", "rewind", "reinitialize"])
def test_cross_validation_scores_what_it_refits(digits, retrain):
    rows = np.arange(300)
    search = IterativePrunerCV(
        rbm(n_iter=6), sparsities=(0.5, 0.8), cv=[(rows, rows)], retrain=retrain, tolerance=1e6
    ).fit(digits[:300])
    assert search.score(digits[:300]) == pytest.approx(search.best_score_, abs=1e-6)


@pytest.mark.parametrize("retrain", ["continue", "rewind", "reinitialize", None])
def test_units_go_before_retraining_whatever_follows(digits, retrain):
    pruner = IterativePruner(
        rbm(), target=Units(rescale=True, hidden_bias="negative"), schedule=[0.2, 0.5],
        retrain=retrain, scoring=lambda machine, X: machine.score(X),
    )  # fmt: skip
    path = pruning_path(pruner, digits)
    assert [machine.n_components for machine in path.estimators] == [8, 5]
    pruner.fit(digits)
    assert pruner.score(digits) == pytest.approx(pruner.history_["score"][-1])


def test_reinitialized_machines_start_as_if_new(digits, monkeypatch):
    """The very weights of a machine that had this mask from the start."""
    monkeypatch.setattr(training, "new_seeds", lambda estimator, rng: {"random_state": 5})
    pruner = IterativePruner(
        rbm(initial_sparsity=0.5, learning_rate=1e-12), sparsity=0.75, n_rounds=1,
        retrain="reinitialize",
    ).fit(digits)  # fmt: skip
    mask = pruner.connectivity_[0]
    fresh = rbm(connectivity=mask, n_iter=0, random_state=5).fit(digits).components_
    np.testing.assert_allclose(pruner.estimator_.components_, fresh, atol=1e-6)
    assert np.abs(fresh).max() > 0.1
    assert pruner.estimator_.initial_sparsity == 0.5
    assert pruner.estimator_.random_state == 0


@pytest.mark.parametrize("retrain", ["continue", "rewind", "reinitialize", None])
def test_grace_holds_for_every_way_to_train_on(digits, retrain):
    def first_units_last(level):
        return np.broadcast_to(np.arange(level.weights.shape[0])[:, None], level.weights.shape)

    pruner = IterativePruner(
        rbm(), criterion=first_units_last, sparsity=0.8, grace_rounds=0, retrain=retrain
    ).fit(digits)
    assert pruner.estimator_.components_.shape == (2, 64)
    assert pruner.sparsity_ == pytest.approx(0.8)


class Shrinking(Stub):
    """A two-level stub that can lose units for good."""

    sizes = (8, 6, 5)

    def fit(self, X, y=None):
        if not (self.warm_start and hasattr(self, "log_")):
            self.connectivity_ = [np.ones((6, 8), bool), np.ones((5, 6), bool)]
            self.connectivity_[1][:, 2] = False  # a unit that leads nowhere
            self.components_ = [1.0 + np.arange(48.0).reshape(6, 8), np.ones((5, 6))]
            self.log_ = []
        return self

    def compact(self, units, *, rescale, hidden_bias):
        below, above = units
        new = Shrinking().fit(X)
        places = np.ix_(below, np.ones(8, bool)), np.ix_(above, below)
        new.connectivity_ = [m[p] for m, p in zip(self.connectivity_, places, strict=True)]
        new.components_ = [w[p] for w, p in zip(self.components_, places, strict=True)]
        return new


def test_history_counts_what_is_left_after_units_went():
    for options in ({"grace_rounds": 0}, {"target": "units"}):
        pruner = IterativePruner(Shrinking(), sparsity=0.0, n_rounds=1, retrain=None, **options)
        pruner.fit(X)
        masks = pruner.estimator_.connectivity_
        assert [mask.shape for mask in masks] == [(5, 8), (5, 5)]
        assert pruner.history_["n_connections"][0] == sum(mask.sum() for mask in masks) == 65
        assert pruner.history_["n_units"][0] == 10
        gone = 1 / 11 if "target" in options else 1 - 65 / 78
        assert pruner.sparsity_ == pytest.approx(gone)


@pytest.mark.parametrize("order", ["joint", "bottom_up", "top_down"])
def test_grace_counts_rounds_not_turns(order):
    pruner = IterativePruner(
        Shrinking(), schedule=[0.0, 0.0, 0.0], grace_rounds=1, retrain=None, order=order
    )
    path = pruning_path(pruner, X)
    last_of_round = path.estimators[:: 1 if order == "joint" else 2]
    sizes = [len(machine.connectivity_[0]) for machine in last_of_round]
    assert sizes[0] == 6
    assert len(path.estimators[-1].connectivity_[0]) == 5


def test_chance_decides_between_equals_within_units(digits):
    pruner = IterativePruner(
        rbm(), criterion=lambda level: np.ones(level.weights.shape), scope="unit", sparsity=0.5,
        n_rounds=1, retrain=None, random_state=1,
    ).fit(digits)  # fmt: skip
    kept = pruner.connectivity_[0]
    np.testing.assert_array_equal(kept.sum(axis=1), [32] * 10)
    assert 0.3 < kept[:, :32].mean() < 0.7


def test_regrowth_over_all_levels_and_by_magnitude(digits):
    """A level that loses everything is refilled; what goes and comes back starts at 0."""

    class Steep(Stub):
        def fit(self, X, y=None):
            first = not (self.warm_start and hasattr(self, "log_"))
            super().fit(X, y)
            if first:
                self.components_[0] = self.components_[0] + 100
                self.connectivity_[0][0] = self.connectivity_[1][0] = False
            return self

    pruner = IterativePruner(
        Steep(), sparsity=0.3, scope="global", schedule=FractionOfRemaining(0.6), n_rounds=3,
        regrow="random", retrain=None, random_state=0,
    ).fit(X)  # fmt: skip
    assert [int(m.sum()) for m in pruner.estimator_.connectivity_] == [8, 8]
    start = rbm(initial_sparsity=0.2).fit(digits)
    again = IterativePruner(
        FrozenEstimator(start), sparsity=0.2, schedule=FractionOfRemaining(0.9), n_rounds=1,
        regrow="magnitude", retrain=None,
    ).fit(digits)  # fmt: skip
    assert np.count_nonzero(again.estimator_.components_) == 52
    assert again.connectivity_[0].sum() == 512


def test_sparse_input_of_any_kind_and_two_dimensional_labels(digits):
    from scipy import sparse

    for kind in (sparse.coo_matrix, sparse.csr_array):
        pruner = IterativePruner(rbm(), criterion="contribution", n_rounds=1)
        assert pruner.fit(kind(digits.astype(float))).sparsity_ == pytest.approx(0.9)
    units = IterativePruner(rbm(), target="units", criterion="label_information", n_rounds=1)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        units.fit(digits, np.eye(len(digits))[:, :10])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        units.fit(digits, np.zeros(10))


def test_memory_knows_the_seed_of_a_frozen_machine(digits, tmp_path):
    pruner = IterativePruner(FrozenEstimator(rbm().fit(digits)), n_rounds=1, memory=str(tmp_path))
    assert pruner.fit(digits).sparsity_ == pytest.approx(0.9)


def test_groups_are_routed_to_the_splitter(digits):
    import sklearn
    from sklearn.model_selection import GroupKFold

    with sklearn.config_context(enable_metadata_routing=True):
        search = IterativePrunerCV(
            rbm(), sparsities=(0.5,), cv=GroupKFold(2).set_split_request(groups=True)
        ).fit(digits[:100], groups=np.arange(100) % 4)
    assert search.n_splits_ == 2


def test_the_control_of_a_percentile_takes_as_many(digits):
    """Ties at the low end do not decide how many of the best go."""

    def mostly_zero(level):
        scores = np.zeros(level.weights.shape)
        scores.ravel()[: scores.size * 2 // 5] = 1 + np.arange(scores.size * 2 // 5)
        return scores

    shares = {}
    for remove in ("least", "most"):
        pruner = IterativePruner(
            rbm(), sparsity=None, n_rounds=1, criterion=mostly_zero, remove=remove,
            schedule=FractionOfRemaining(0.1, ties="all"), retrain=None,
        ).fit(digits)  # fmt: skip
        shares[remove] = pruner.sparsity_
    assert shares["least"] == pytest.approx(0.6, abs=0.01)
    assert shares["most"] == pytest.approx(0.1, abs=0.01)
