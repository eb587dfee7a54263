"""Fixtures shared by the tests."""

import os

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skprune._support import threads

os.environ.setdefault("MPLBACKEND", "agg")  # figures are looked at by nobody


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits, 0/1 as uint8."""
    return (load_digits().data > 7).astype(np.uint8)


@pytest.fixture
def force_threads(monkeypatch):
    """Make every team have this many threads, however little the work."""

    def force(n_threads):
        monkeypatch.setattr(threads, "MIN_WORK", -1.0)
        monkeypatch.setattr(threads, "allowed_threads", lambda: n_threads)

    return force
