"""Trained machines on disk, each with a checksum."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from contextlib import suppress

from sklearn.utils.validation import check_memory

from .._support.version import VERSION

DIGEST_BYTES = 32


class CheckedMemory:
    """A function whose results are kept on disk by joblib, each with a checksum.

    A result that is missing or damaged is computed again, and replaced. If the directory cannot be
    read or written, results are computed without it, with a warning.

    Parameters
    ----------
    memory : None, str or object
        Directory, or an object with the interface of ``joblib.Memory``. If None, nothing is kept.
    function : callable
        Function that is called with the arguments of a call and with ``untracked``.

    Raises
    ------
    OSError
        If ``memory`` is not a directory, or it cannot be created.
    """

    def __init__(self, memory, function):
        self._memory, self._function, self._cached = memory, function, None
        if memory is None:
            return
        try:
            self._cached = check_memory(memory).cache(_sealed, ignore=["call"])
        except OSError as error:
            raise OSError(
                f"memory={memory!r} cannot be used ({error}). Pass a directory that can be written "
                "to, or None."
            ) from error

    def __call__(self, *args, untracked):
        """Return ``function(*args, untracked)``, from disk if it is known there.

        Parameters
        ----------
        *args
            Arguments on which the result depends.
        untracked : object
            Argument on which it does not depend.

        Returns
        -------
        result : object
        """
        call = _Call(self._function, untracked)
        if self._cached is None:
            return call.compute(args)
        problem: object = "its checksum is wrong"
        try:
            stored = self._cached(args, VERSION, call)
            if not call.is_done:
                result = _opened(stored)
                if result is not None:
                    return result
                # Force joblib to compute and to replace the entry.
                getattr(self._cached, "call", _sealed)(args, VERSION, call)
            else:
                problem = None
        except Exception as error:
            if error is call.error:
                raise
            problem = error
            if isinstance(error, ValueError):  # joblib's own record of the function is damaged
                with suppress(Exception):
                    self._cached.clear(warn=False)
        if problem is not None:
            warnings.warn(
                f"An entry of memory={self._memory!r} could not be read or written ({problem}). The "
                "machine was trained instead.",
                RuntimeWarning,
                stacklevel=2,
            )
        return call.result if call.is_done else call.compute(args)


class _Call:
    """One call of a function, which joblib may or may not make.

    Attributes
    ----------
    is_done : bool
        Whether the function has returned.
    result : object
        What it has returned.
    error : Exception or None
        What it has raised. Any other exception comes from the cache.
    """

    def __init__(self, function, untracked):
        self._function, self._untracked = function, untracked
        self.is_done, self.result, self.error = False, None, None

    def compute(self, args):
        """Call the function, and return its result."""
        try:
            self.result = self._function(*args, self._untracked)
        except Exception as error:
            self.error = error
            raise
        self.is_done = True
        return self.result


def _sealed(args, version, call) -> bytes:
    """Return the result of a call as bytes, after their checksum.

    joblib finds the result by the arguments and the version of skprune. The arguments include the
    machine before, with the seconds of its training. If that was trained again, so is this one.
    """
    content = pickle.dumps(call.compute(args), protocol=pickle.HIGHEST_PROTOCOL)
    return _digest(content) + content


def _opened(stored):
    """Return the result in bytes from disk, or None if they are damaged."""
    try:
        checksum, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        return pickle.loads(content) if checksum == _digest(content) else None
    except Exception:
        return None


def _digest(content) -> bytes:
    return hashlib.sha256(content).digest()
