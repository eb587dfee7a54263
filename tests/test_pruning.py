"""IterativePruner: on our machine, and on one that is not ours."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from skprune import IterativePruner, PrunedBernoulliRBM
from skprune.schedules import FractionOfRemaining, StdThreshold, Threshold


def rbm(**parameters):
    return PrunedBernoulliRBM(**{"n_components": 10, "n_iter": 2, "random_state": 0, **parameters})


class Stub(BaseEstimator):
    """A two-level machine of somebody else's: the seam and nothing more."""

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


X = np.zeros((5, 4))


def test_stub_is_pruned_through_the_seam_alone():
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


def test_missing_seam_is_named():
    with pytest.raises(
        TypeError, match="LogisticRegression cannot be pruned: it lacks connectivity_"
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


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sparsity": -0.1}, r"sparsity must be a number in \[0, 1\), got -0.1"),
        ({"sparsity": 1.0}, r"sparsity must be a number in \[0, 1\), got 1.0"),
        ({"sparsity": 0.9999}, "leaves none of a level's 640 connections"),
        ({"sparsity": None}, "schedules that decide for themselves"),
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
        ({"retrain": "maybe"}, "Use one of 'continue', None"),
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
