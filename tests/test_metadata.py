"""What pruners hand on: sample weights and other arguments, with and without metadata routing."""

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from skprune import IterativePruner, IterativePrunerCV, PrunedBernoulliRBM, SparseDBNClassifier
from skprune.pruning import pruning_path

RNG = np.random.RandomState(0)
Y = RNG.randint(0, 2, 60)
X = (RNG.uniform(size=(60, 8)) < np.where(Y, 0.7, 0.3)[:, None]).astype(float)
W = RNG.uniform(0.5, 2, 60)


class Recorder(BaseEstimator):
    """An estimator that follows the pruning protocol and records what its methods are given."""

    def __init__(self, n_iter=8, warm_start=False):
        self.n_iter = n_iter
        self.warm_start = warm_start

    def fit(self, X, y=None, sample_weight=None, gain=1):
        if not (self.warm_start and hasattr(self, "log_")):
            self.components_, self.log_ = np.arange(1.0, 13).reshape(3, 4), []
            self.connectivity_ = [np.ones((3, 4), bool)]
        self.log_.append((len(X), None if sample_weight is None else sum(sample_weight), gain))
        return self

    def set_connectivity(self, masks):
        self.connectivity_, self.components_ = list(masks), self.components_ * masks[0]
        return self

    def layer_samples(self, X=None, **options):
        return [np.zeros((3, 4)), np.zeros((3, 3))]

    def transform(self, X):
        return X

    def score(self, X, y=None, sample_weight=None):
        return len(X) if sample_weight is None else float(np.sum(sample_weight))


def network(**options):
    rbm = PrunedBernoulliRBM(n_iter=1)
    return SparseDBNClassifier((6,), rbm=rbm, **{"n_iter": 2, "random_state": 0, **options})


def routing():
    return sklearn.config_context(enable_metadata_routing=True)


def pruners(estimator):
    return (
        IterativePruner(estimator, sparsity=0.5, n_rounds=2),
        IterativePrunerCV(estimator, sparsities=(0.25, 0.5), cv=3),
    )


# ---------------------------------------------------------------------------- without routing


def test_fit_arguments_reach_the_estimator_without_routing():
    for pruner in pruners(Recorder()):
        log = pruner.fit(X, Y, sample_weight=W, gain=3).estimator_.log_
        assert [entry[0] for entry in log] == [60, 60, 60]
        np.testing.assert_allclose([entry[1] for entry in log], W.sum())
        assert {entry[2] for entry in log} == {3}
    path = pruning_path(pruners(Recorder())[0], X, Y, sample_weight=W, gain=3)
    np.testing.assert_allclose(path.estimators[-1].log_[-1], (60, W.sum(), 3))
    assert pruners(Recorder())[0].fit_transform(X, Y, sample_weight=W).shape == X.shape


def test_sample_weights_change_what_a_network_learns():
    for pruner in pruners(network()):
        plain = pruner.fit(X, Y).estimator_.components_[0].copy()
        same = pruner.fit(X, Y, sample_weight=np.ones(60)).estimator_.components_[0].copy()
        weighted = pruner.fit(X, Y, sample_weight=W).estimator_.components_[0].copy()
        np.testing.assert_array_equal(plain, same)
        assert (plain != weighted).any()


def test_folds_are_fitted_and_scored_with_their_own_weights():
    """The score is the total weight of the test rows, and training saw those of the others."""
    search = IterativePrunerCV(Recorder(), sparsities=(0.5,), cv=3)
    found = search.fit(X, Y, sample_weight=W).cv_results_
    folds = np.split(W, 3)
    for number, fold in enumerate(folds):
        for name in ("test", "full"):
            assert found[f"split{number}_{name}_score"][0] == pytest.approx(fold.sum())
    plain = search.fit(X, Y).cv_results_
    assert plain["mean_test_score"][0] == 20


def test_groups_reach_the_splitter_without_routing():
    groups = np.arange(60) % 4
    search = IterativePrunerCV(Recorder(), sparsities=(0.5,), cv=GroupKFold(4))
    assert search.fit(X, Y, groups=groups, sample_weight=W).n_splits_ == 4
    np.testing.assert_allclose(
        sorted(search.cv_results_[f"split{k}_test_score"][0] for k in range(4)),
        sorted(W[groups == k].sum() for k in range(4)),
    )


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        (lambda m, X, y=None, sample_weight=None: m.score(X, y, sample_weight), W.sum()),
        (lambda m, X, y=None: m.score(X, y), 60),
        (Recorder.score, W.sum()),
    ],
)
def test_history_is_scored_with_weights_if_the_scorer_takes_them(scoring, expected):
    pruner = IterativePruner(Recorder(), sparsity=0.5, n_rounds=2, scoring=scoring)
    history = pruner.fit(X, Y, sample_weight=W).history_
    np.testing.assert_allclose(history["score"], expected)
    np.testing.assert_allclose(history["score_pruned"], expected)


def test_several_scorers_take_weights_each_for_itself():
    several = {"weighted": "accuracy", "plain": lambda m, X, y: accuracy_score(y, m.predict(X))}
    pruner = IterativePruner(network(), sparsity=0.5, n_rounds=1, scoring=several)
    assert "score_plain" in pruner.fit(X, Y, sample_weight=W).history_
    pruner.set_params(scoring=["accuracy", "neg_log_loss"]).fit(X, Y, sample_weight=W)
    exact = accuracy_score(Y, pruner.predict(X), sample_weight=W)
    assert pruner.history_["score_accuracy"][-1] == pytest.approx(exact)


def test_scores_take_weights_without_routing():
    for pruner in pruners(network()):
        pruner.fit(X, Y)
        exact = accuracy_score(Y, pruner.predict(X), sample_weight=W)
        assert pruner.score(X, Y, sample_weight=W) == pytest.approx(exact)


def test_what_the_estimator_does_not_take_gets_a_sentence():
    for pruner in pruners(PrunedBernoulliRBM(4, n_iter=1)):
        with pytest.raises(
            TypeError, match="fit of PrunedBernoulliRBM does not take sample_weight"
        ):
            pruner.fit(X, sample_weight=W)
    for pruner in pruners(FrozenEstimator(network().fit(X, Y))):
        with pytest.raises(TypeError, match="fit of SparseDBNClassifier does not take gain, power"):
            pruner.fit(X, Y, gain=1, power=2)
        pruner.fit(X, Y, sample_weight=W)


# ------------------------------------------------------------------------------- with routing


def test_with_routing_there_need_not_be_any_metadata():
    with routing():
        for pruner in pruners(Recorder()):
            assert pruner.fit(X, Y).estimator_.log_[-1][1:] == (None, 1)


def test_with_routing_unrequested_metadata_are_refused():
    with routing():
        for pruner in pruners(network()):
            with pytest.raises((UnsetMetadataPassedError, TypeError), match="sample_weight"):
                pruner.fit(X, Y, sample_weight=W)
            with pytest.raises(TypeError, match="power"):
                pruner.fit(X, Y, power=1)


@pytest.mark.parametrize("name", ["sample_weight", "importance"])
def test_with_routing_requested_metadata_arrive(name):
    """Also under another name, which the folds and the final fit have to know."""
    request = True if name == "sample_weight" else name
    with routing():
        recorder = Recorder().set_fit_request(sample_weight=request, gain=True)
        recorder.set_score_request(sample_weight=request)
        for pruner in pruners(recorder):
            log = pruner.fit(X, Y, **{name: W}, gain=3).estimator_.log_
            np.testing.assert_allclose([entry[1] for entry in log], W.sum())
            assert {entry[2] for entry in log} == {3}
            assert pruner.score(X, Y, **{name: W}) == pytest.approx(W.sum())
        folds = [pruner.cv_results_[f"split{k}_test_score"][0] for k in range(3)]
        np.testing.assert_allclose(folds, [fold.sum() for fold in np.split(W, 3)])
        path = pruning_path(pruners(recorder)[0], X, Y, **{name: W})
        np.testing.assert_allclose(path.estimators[-1].log_[-1][1], W.sum())


def test_with_routing_metadata_can_be_requested_by_one_side_only():
    with routing():
        recorder = (
            Recorder().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        )
        search = IterativePrunerCV(recorder, sparsities=(0.5,), cv=3)
        search.fit(X, Y, sample_weight=W)
        assert search.cv_results_["mean_test_score"][0] == 20
        np.testing.assert_allclose(search.estimator_.log_[-1][1], W.sum())


def test_with_routing_scorers_request_for_themselves():
    scorer = make_scorer(accuracy_score)
    with routing():
        scorer = scorer.set_score_request(sample_weight="importance")
        estimator = network().set_fit_request(sample_weight=True)
        pruner = IterativePruner(estimator, sparsity=0.5, n_rounds=1, scoring=scorer)
        pruner.fit(X, Y, sample_weight=np.ones(60), importance=W)
        exact = accuracy_score(Y, pruner.predict(X), sample_weight=W)
        assert pruner.history_["score"][-1] == pytest.approx(exact)
        search = IterativePrunerCV(estimator, sparsities=(0.5,), cv=2, scoring=scorer)
        search.fit(X, Y, sample_weight=np.ones(60), importance=W)
        exact = accuracy_score(Y, search.predict(X), sample_weight=W)
        assert search.score(X, Y, importance=W) == pytest.approx(exact)


def test_with_routing_groups_and_weights_go_their_own_ways():
    with routing():
        recorder = (
            Recorder().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        )
        cv = GroupKFold(4).set_split_request(groups=True)
        search = IterativePrunerCV(recorder, sparsities=(0.5,), cv=cv)
        assert search.fit(X, Y, groups=np.arange(60) % 4, sample_weight=W).n_splits_ == 4


def test_with_routing_pruners_work_inside_others():
    with routing():
        recorder = Recorder().set_fit_request(sample_weight=True)
        recorder.set_score_request(sample_weight=True)
        pruner = IterativePruner(recorder, sparsity=0.5, n_rounds=1)
        grid = GridSearchCV(pruner, {"sparsity": [0.25, 0.5]}, cv=2)
        log = grid.fit(X, Y, sample_weight=W).best_estimator_.estimator_.log_
        np.testing.assert_allclose(log[-1][1], W.sum())
        pipeline = Pipeline([("pruner", pruner)]).fit(X, Y, sample_weight=W)
        np.testing.assert_allclose(pipeline[-1].estimator_.log_[-1][1], W.sum())
        for estimator in (pruner, IterativePrunerCV(recorder, sparsities=(0.5,))):
            assert "sample_weight" in str(estimator.get_metadata_routing())
        assert IterativePruner().get_metadata_routing() is not None
        assert IterativePrunerCV().get_metadata_routing() is not None


def test_as_the_first_step_of_a_pipeline_a_pruner_hands_on_weights():
    pruner = IterativePruner(Recorder(), sparsity=0.5, n_rounds=1)
    pipeline = Pipeline([("pruner", pruner), ("network", network())])
    pipeline.fit(X, Y, pruner__sample_weight=W)
    np.testing.assert_allclose(pipeline[0].estimator_.log_[-1][1], W.sum())
    with routing():
        pruner = IterativePruner(
            Recorder().set_fit_request(sample_weight=True), sparsity=0.5, n_rounds=1
        )
        last = network().set_fit_request(sample_weight=False)
        pipeline = Pipeline([("pruner", pruner), ("network", last)])
        pipeline.fit(X, Y, sample_weight=W)
        np.testing.assert_allclose(pipeline[0].estimator_.log_[-1][1], W.sum())
