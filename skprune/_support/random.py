"""Seeds of estimators, keys of random streams, and uniform numbers for rows of data."""

from __future__ import annotations

import numbers

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from .options import check_number
from .threads import blocks


def seeds_of(estimator) -> dict:
    """Return the parameters of an estimator that are seeds, including nested ones, as a dict."""
    parameters = {} if estimator is None else estimator.get_params()
    return {
        name: parameters[name]
        for name in sorted(parameters)
        if name == "random_state" or name.endswith("__random_state")
    }


def new_seeds(estimator, rng) -> dict:
    """Return a dict with a new random seed for each seed of an estimator."""
    return {name: rng.randint(np.iinfo(np.int32).max) for name in seeds_of(estimator)}


def new_key(random_state) -> np.uint64:
    """Return a random key, which determines all random numbers of a fit or of a call."""
    low, high = check_random_state(random_state).randint(0, 2**31 - 1, size=2)
    return np.uint64((int(high) << 32) | int(low))


# The streams of random numbers that belong to one key. Streams with the same number are never
# used together.
STREAMS = {
    "pilot": 0,
    "tempering": 0,
    "tempered start": 1,
    "rows held back": 1,
    "reverse AIS": 2,
    "AIS": 3,
    "labelled chains": 4,
    "up-down": 7,
    "samples of rows": 8,
    "log Z by class": 9,
    "means of the model": 10,
}


def derived_key(key, stream) -> np.uint64:
    """Return the key of another stream of random numbers.

    Parameters
    ----------
    key : numpy.uint64
        Key of a fit or of a call.
    stream : str or int
        A name from ``STREAMS``, or a number if there is one stream per replica or class.

    Returns
    -------
    key : numpy.uint64
        Key of the stream.
    """
    number = STREAMS[stream] if isinstance(stream, str) else stream
    return np.random.SeedSequence([int(key), number]).generate_state(1, np.uint64)[0]


def random_rows(rows, n_samples, random_state) -> np.ndarray:
    """Return rows that are drawn with replacement, or all rows if ``n_samples`` is None."""
    if n_samples is None:
        return rows
    n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
    return rows[check_random_state(random_state).randint(len(rows), size=n_samples)]


class RowUniforms:
    """Uniform random numbers that depend on the values of a row, but not on its position.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_rows, n_features)
        Data.
    key : numpy.uint64
        Key of the random numbers.
    """

    def __init__(self, X, key):
        rng = np.random.default_rng(int(key))
        odd = rng.integers(0, 2**63, size=X.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._hashes = np.empty(X.shape[0], np.uint64)
        for block in blocks(X.shape[0]):
            part = X[block].toarray() if sparse.issparse(X) else X[block]
            bits = np.ascontiguousarray(part, dtype=np.float32).view(np.uint32) >> np.uint32(8)
            self._hashes[block] = (bits.astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64)

    def __call__(self, sample, layer, n_units) -> np.ndarray:
        """Return numbers in [0, 1) for each row and unit of a layer.

        Parameters
        ----------
        sample : int
            Index of the sample. Different samples get different numbers.
        layer : int
            Index of the layer. Different layers get different numbers.
        n_units : int
            Number of units of the layer.

        Returns
        -------
        uniforms : ndarray of float32 of shape (n_rows, n_units)
            Random numbers in [0, 1).
        """
        golden = np.uint64(0x9E3779B97F4A7C15)
        place = np.arange(n_units, dtype=np.uint64) + np.uint64((sample << 40) | (layer << 32))
        x = _mixed(self._hashes)[:, None] + _mixed(place * golden)
        return (_mixed(x) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _mixed(x) -> np.ndarray:
    """Mix the bits of 64-bit integers with the finalizer of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
