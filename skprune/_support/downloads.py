"""Downloads that several processes may run at once, and checksums of arrays."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress

import numpy as np

OWN_CHECKSUM = "checksum"  # name of the checksum in an archive that was downloaded
LONGEST_DOWNLOAD = 86_400  # seconds


@contextmanager
def own_directory(path):
    """Make a directory for the download of an archive, and remove it at the end.

    It lies beside the archive, and no other process uses it. Directories that were left by killed
    processes are removed after a day.

    Parameters
    ----------
    path : Path
        Path of the archive.

    Yields
    ------
    directory : Path
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{path.stem}_downloading_"
    for left in path.parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LONGEST_DOWNLOAD:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=path.parent, ignore_cleanup_errors=True
    ) as directory:
        yield pathlib.Path(directory)


def checksum_of(arrays) -> str:
    """Return the SHA-256 of arrays of any type, with their names, types and shapes."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def checksum_of_bits(arrays, by_rows) -> str:
    """Return the SHA-256 of arrays; with ``by_rows``, of arrays whose rows have been sorted."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key], dtype=np.uint8)
        if by_rows:
            packed = np.ascontiguousarray(np.packbits(array, axis=1))
            array = np.sort(packed.view(f"V{packed.shape[1]}").ravel())
        digest.update(array.tobytes())
    return digest.hexdigest()
