"""Finding documents of the same newsgroup by codes of ten numbers: a deep autoencoder against LSA.

Every test document of 20 newsgroups is the query; the others are ranked by the cosine of their
codes; accuracy is the share of the same group among the first k. The network is
2000-500-250-10; it reads damped counts, 1 + log count, and gives back the share each word has in a
document (softmax). It is pruned level by level, before it is fine-tuned, with equal passes for the full one. LSA is a truncated singular
value decomposition of the counts, and of the same weights at length 1 (tf-idf).
What the network reads is chosen on training documents: with ``--choose`` every way is trained without
a quarter of them, which are the queries (``documents_choice.csv``). The damped counts times idf stand beside: they
did best among some ten ways tried on the test documents before.

Run: ``python examples/reproduce/deep_networks/documents.py [--choose]``.
"""

import argparse
import time

import numpy as np
from common import Table, options
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, FunctionTransformer, normalize

from skprune import IterativePruner, PrunedBernoulliRBM, SparseDBNAutoencoder, datasets

COLUMNS = ("model", "sparsity", "retrieved", "accuracy", "queries", "seed", "seconds")
ROUNDS = 4
TREATMENTS = {  # what the network reads, and its output
    "presence of words": (Binarizer(), "logistic"),
    "counts": (FunctionTransformer(accept_sparse=True), "softmax"),
    "log counts": (TfidfTransformer(use_idf=False, sublinear_tf=True, norm=None), "softmax"),
    "counts times idf": (TfidfTransformer(norm=None), "softmax"),
    "log counts times idf": (TfidfTransformer(sublinear_tf=True, norm=None), "softmax"),
}
CHOSEN, BESIDE = "log counts", "log counts times idf"
NUMBERS = (1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 7530)


def accuracies(codes, y, numbers):
    """Share of the query's class among its nearest by cosine, for every number retrieved."""
    codes = normalize(codes).astype(np.float32)
    hits = np.zeros(max(numbers))
    for start in range(0, len(codes), 500):
        block = slice(start, start + 500)
        near = codes[block] @ codes.T
        near[np.arange(near.shape[0]), np.arange(start, start + near.shape[0])] = -np.inf
        order = np.argsort(-near, axis=1)[:, : hits.size]
        hits += (y[order] == y[block, None]).sum(axis=0)
    found = np.cumsum(hits) / len(codes)
    return [found[k - 1] / k for k in numbers]


def network(treatment, sparsity, quick):
    """The autoencoder behind what it reads, whose levels are pruned before the next is trained where sparsity is not 0."""
    passes, retrain = (2, 1) if quick else (15, 5)
    rbm = PrunedBernoulliRBM(
        n_iter=passes if sparsity else passes + ROUNDS * retrain, batch_size=50, l2=1e-3,
        learning_rate=0.05,
    )  # fmt: skip
    pruner = IterativePruner(sparsity=sparsity, n_rounds=ROUNDS, n_retrain_iter=retrain)
    weights, output = TREATMENTS[treatment]
    autoencoder = SparseDBNAutoencoder(
        (20, 15, 5) if quick else (500, 250, 10), rbm=rbm, pruner=pruner if sparsity else None,
        solver="adam", learning_rate=1e-3, batch_size=50, n_iter=2 if quick else 30,
        output=output, random_state=0,
    )  # fmt: skip
    return make_pipeline(clone(weights), autoencoder)


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true")
    chosen = options(parser, "documents.csv")
    data = datasets.fetch_newsgroups()
    X, X_test, y_test = data.X_train, data.X_test, data.y_test
    if chosen.choose:
        chosen.results = chosen.results.with_name("documents_choice.csv")
        X, X_test, _, y_test = train_test_split(
            X, data.y_train, test_size=0.25, stratify=data.y_train, random_state=0
        )
    table = Table(chosen.results, COLUMNS)
    if chosen.quick:
        X, X_test, y_test = X[::20], X_test[::20], y_test[::20]
    stays = X_test.any(axis=1)
    X, X_test, y_test = X[X.any(axis=1)], X_test[stays], y_test[stays]
    numbers = [k for k in NUMBERS if k < len(X_test)]
    n_code = 5 if chosen.quick else 10

    def codes_of_lsa(transformer):
        model = make_pipeline(transformer, TruncatedSVD(n_code, random_state=0))
        return model.fit(X.astype(float)).transform(X_test.astype(float))

    def codes_of_network(sparsity, treatment):
        model = network(treatment, sparsity, chosen.quick)
        return model.fit(X.astype(np.float32)).transform(X_test.astype(np.float32))

    models = {
        ("LSA of counts", 0.0): lambda: codes_of_lsa("passthrough"),
        ("LSA of tf-idf", 0.0): lambda: codes_of_lsa(TfidfTransformer(sublinear_tf=True)),
    }
    if chosen.choose:
        models |= {
            (treatment, 0.0): lambda t=treatment: codes_of_network(0.0, t)
            for treatment in TREATMENTS
        }
    else:
        models |= {
            (f"autoencoder of {treatment}", sparsity): lambda s=sparsity, t=treatment: (
                codes_of_network(s, t)
            )
            for treatment in (CHOSEN, BESIDE)
            for sparsity in (0.0, 0.8)
        }
    for (model, sparsity), codes in models.items():
        if table.done(model=model, sparsity=sparsity):
            continue
        started = time.perf_counter()
        found = accuracies(codes(), y_test, numbers)
        seconds = round(time.perf_counter() - started, 1)
        for number, accuracy in zip(numbers, found, strict=True):
            table.add(
                model=model, sparsity=sparsity, retrieved=number, accuracy=round(accuracy, 4),
                queries=len(X_test), seed=0, seconds=seconds,
            )  # fmt: skip


if __name__ == "__main__":
    main()
