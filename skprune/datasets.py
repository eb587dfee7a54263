"""Load or generate the data sets of the experiments.

A real data set is one compressed NumPy archive. It is read from the first of these directories
that has it: ``SKPRUNE_DATA`` and scikit-learn's data home
(:func:`sklearn.datasets.get_data_home`). If none has it, it is downloaded into the data home, also
by several processes at once. Downloads and archives are verified by checksum.
"""

from __future__ import annotations

import gzip
import hashlib
import numbers
import os
import pathlib
import random
import tarfile
import zipfile
import zlib

import numpy as np
from scipy.io import loadmat
from scipy.special import expit, logsumexp
from sklearn.datasets import fetch_20newsgroups, fetch_file, get_data_home
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import Bunch, check_random_state

from ._support.downloads import OWN_CHECKSUM, checksum_of, checksum_of_bits, own_directory
from ._support.options import check_number, check_shape
from ._support.random import random_rows
from ._support.validation import check_rows

__all__ = [
    "DENSITY_BENCHMARKS",
    "circular_patches",
    "fetch_binarized_mnist",
    "fetch_caltech101_silhouettes",
    "fetch_cifar10_gray",
    "fetch_density_benchmark",
    "fetch_mnist",
    "fetch_newsgroups",
    "fetch_ocr_letters",
    "make_bars_and_stripes",
    "make_shifter",
    "make_teacher_rbm",
]

SOURCES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "mnist_binarized": "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    "ocr_letters": "https://ai.stanford.edu/~btaskar/ocr/",
    "caltech101_silhouettes": "https://people.cs.umass.edu/~marlin/data/",
    "cifar10_gray": "https://www.cs.toronto.edu/~kriz/",
    "debd": "https://raw.githubusercontent.com/arranger1044/DEBD/master/datasets/",
}
DENSITY_BENCHMARKS = ("accidents", "adult", "bbc", "dna", "moviereview", "nips", "nltcs", "plants")
# SHA-256 of the arrays. Rows of the density benchmarks are sorted first: their order varies.
CHECKSUMS = {
    "mnist": "c868f4cc70f1ec2961bd3b26437ea3a5d0e93cba4d95b336c6d475dd9dabb021",
    "mnist_binarized": "62b0b271245d305e2226f9bc5706b5007f8433ed06500f958a9dfd6f05a3f17a",
    "ocr_letters": "c07a895b0dcc441e4e3197a76d9f00b7d656dd5991cd820d342d665bec516211",
    "caltech101_silhouettes_28": "ab2fc5dfe8ae2a105a7c00f656c9be4f95b13bcfba0dd0b63a708a70235d60ee",
    "cifar10_gray": "0cdf450bf187181b31a027cc4bc7c7118e6527fcbbd73f229bbd1b7730629f68",
    "debd/accidents": "cdf3214421773cc765b77be7d8ab7085cf283495be8f0ebbc3ef3976d6ffbee9",
    "debd/adult": "9809287caadce504a37acc94dd8ee28a01aa1fe75ece774f0cf052f2f3eb5938",
    "debd/bbc": "b408f3fca3c88d1f61d00fb39f874320d2c2eecef4618c106018a78facb34995",
    "debd/dna": "64aae3c3851479ad6c807bde926a2db1b5e8001e6904f4007cdbf94c304f85b4",
    "debd/moviereview": "6be18777b4a367f04d067c69bef011fe441bc67076514137a8f14c2c60e3ab07",
    "debd/nips": "2ae5017f4bc5e9a28d0579fea5a5698ff65fc38c7faefcb1d044e874f51df674",
    "debd/nltcs": "52487bf212783339be676bf799a30f305a6c1d1ab60ca3a3b50e252a22ed33cc",
    "debd/plants": "c014b957058a6353169fded27d75fa4b818ff91de7fd34df48617e138b899d9a",
}
# Published MD5 checksums of the .mat files.
MAT_MD5 = {28: "4483e9c14b188fd09937f9ea6f9ea777", 16: "3baf9e2c023aa4a187e1d1b92b5a734a"}
OCR_SPLIT = (32_152, 10_000, 10_000)
PARTS = ("train", "valid", "test")
DAMAGED = (
    OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error,
)  # fmt: skip


def _find(name):
    """Return the path of a data set's archive, or None, and the directory for downloads."""
    folders = []
    chosen = os.environ.get("SKPRUNE_DATA")
    if chosen is not None:
        if not os.path.isdir(chosen):
            raise FileNotFoundError(
                f"SKPRUNE_DATA={chosen!r} is not a directory. Set it to a directory that holds the "
                "data sets, or unset it to download them."
            )
        folders.append(pathlib.Path(chosen))
    home = pathlib.Path(get_data_home()) / "skprune"
    for folder in [*folders, home]:
        if (folder / f"{name}.npz").exists():
            return folder / f"{name}.npz", home
    return None, home


def _damaged(path, what):
    return OSError(
        f"{path} is damaged or incomplete ({what}). Restore it, or delete it to download it again."
    )


def _load(name, download, download_if_missing, by_rows=False) -> dict:
    """Return the verified arrays of a data set, which is downloaded first if necessary."""
    path, home = _find(name)
    if path is None:
        if not download_if_missing:
            raise FileNotFoundError(
                f"The data set {name!r} was not found in SKPRUNE_DATA or {home}. Set "
                "download_if_missing=True to download it."
            )
        path = home / f"{name}.npz"
        with own_directory(path) as raw:
            arrays = download(raw / "files")
            if not _is_known(name, arrays, by_rows):
                raise OSError(
                    f"The download of {name!r} does not have the known checksum and was deleted. "
                    "Fetch it again. If the error persists, the source has changed."
                )
            marked = {**arrays, OWN_CHECKSUM: np.array(checksum_of(arrays))}
            np.savez_compressed(raw / "whole.npz", **marked)
            os.replace(raw / "whole.npz", path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except DAMAGED as error:
        raise _damaged(path, error) from error
    own = arrays.pop(OWN_CHECKSUM, None)  # archives from elsewhere have none
    if not _is_known(name, arrays, by_rows) or (
        own is not None and str(own) != checksum_of(arrays)
    ):
        raise _damaged(path, "it does not have the known checksum")
    return arrays


def _is_known(name, arrays, by_rows) -> bool:
    """Return whether data and labels have the known checksum, or no checksum is known."""
    checked = {key: value for key, value in arrays.items() if key[:2] in ("X_", "y_")}
    return name not in CHECKSUMS or checksum_of_bits(checked, by_rows) == CHECKSUMS[name]


def _fetch(source, file, folder, parse):
    """Download a file into ``folder`` and parse it. Delete it if it cannot be parsed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = fetch_file(SOURCES[source] + file, folder=folder, local_filename=file.split("/")[-1])
    try:
        return parse(path)
    except DAMAGED as error:
        os.remove(path)
        raise OSError(
            f"The download of {SOURCES[source] + file} is damaged or incomplete ({error}) and was "
            "deleted. Fetch it again."
        ) from error


def _read_idx(path) -> np.ndarray:
    """Return the array of a file in the IDX format of MNIST."""
    with gzip.open(path) as file:
        content = file.read()
    if content[:3] != b"\x00\x00\x08":
        raise ValueError("it is not an IDX file of unsigned bytes")
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _read_binary_text(path, n_features=None) -> np.ndarray:
    """Return the 0/1 rows of a text file, whose values may be separated by blanks or commas."""
    content = np.frombuffer(pathlib.Path(path).read_bytes(), np.uint8)
    numbers = content[(content == ord("0")) | (content == ord("1"))] - ord("0")
    others = np.setdiff1d(content, np.frombuffer(b"01 ,\t\r\n", np.uint8))
    if others.size:
        raise ValueError(f"it must hold only 0 and 1, got {chr(others[0])!r}")
    if n_features is None:
        first = content[: np.argmax(content == ord("\n"))]
        n_features = int(np.isin(first, (ord("0"), ord("1"))).sum())
    if n_features == 0 or numbers.size % n_features:
        raise ValueError(f"its {numbers.size} values do not fill rows of {n_features}")
    return numbers.reshape(-1, n_features)


def _read_letters(path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and labels of ``letter.data``, in the order of the file."""
    with gzip.open(path, "rt") as file:
        rows = [line.split("\t") for line in file if line.strip()]
    X = np.array([row[6:134] for row in rows], dtype=np.uint8)
    y = np.array([ord(row[1]) - ord("a") for row in rows], dtype=np.uint8)
    if X.ndim != 2 or X.shape[1] != 128 or X.max() > 1:
        raise ValueError("its rows must have 128 pixels, each 0 or 1")
    return X, y


def _letters_order(n_rows) -> np.ndarray:
    """Return the order of Larochelle's split: ``random.shuffle`` of Python 2 with seed 12345."""
    generator = random.Random(12345)
    order = list(range(n_rows))
    for i in range(n_rows - 1, 0, -1):
        j = int(generator.random() * (i + 1))
        order[i], order[j] = order[j], order[i]
    return np.array(order)


def fetch_mnist(*, download_if_missing=True) -> Bunch:
    """Load MNIST: 70,000 grey images of handwritten digits, 28 × 28 pixels (LeCun et al. 1998).

    Parameters
    ----------
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Images ``X_train`` and ``X_test`` (uint8, from 0 to 255), one per row, their labels
        ``y_train`` and ``y_test`` (uint8), and ``image_shape``.

    Raises
    ------
    FileNotFoundError
        If the data set is not available locally and ``download_if_missing`` is False.
    OSError
        If a file is damaged or incomplete, or a download fails.
    """

    def download(folder):
        result = {}
        for part, prefix in (("train", "train"), ("test", "t10k")):
            images = _fetch("mnist", f"{prefix}-images-idx3-ubyte.gz", folder, _read_idx)
            result[f"X_{part}"] = images.reshape(len(images), -1)
            labels = _fetch("mnist", f"{prefix}-labels-idx1-ubyte.gz", folder, _read_idx)
            result[f"y_{part}"] = labels
        return result

    arrays = _load("mnist", download, download_if_missing)
    return _bunch(arrays, (28, 28), "train", "test")


def fetch_binarized_mnist(*, download_if_missing=True) -> Bunch:
    """Load MNIST with one fixed random binarization.

    See Salakhutdinov & Murray (2008) and Larochelle & Murray (2011). The rows are not in the order
    of MNIST and have no labels. Test rows are sorted by digit, so do not use the first few of them
    as a sample of the test set.

    Parameters
    ----------
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Binary images (uint8), one per row: ``X_train`` (50,000 rows), ``X_valid`` and ``X_test``
        (10,000 rows each), and ``image_shape``.

    Raises
    ------
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """

    def download(folder):
        return {
            f"X_{part}": np.packbits(
                _fetch(
                    "mnist_binarized", f"binarized_mnist_{part}.amat", folder,
                    lambda path: _read_binary_text(path, 784),
                ),
                axis=1,
            )
            for part in PARTS
        }  # fmt: skip

    arrays = _load("mnist_binarized", download, download_if_missing)
    arrays = {f"X_{part}": np.unpackbits(arrays[f"X_{part}"], axis=1)[:, :784] for part in PARTS}
    return _bunch(arrays, (28, 28), *PARTS)


def fetch_ocr_letters(*, download_if_missing=True) -> Bunch:
    """Load OCR letters: binary images of handwritten lower-case letters, 16 × 8 pixels.

    The data are those of Kassel, as used by Taskar et al. (2003). The split into 32,152 training,
    10,000 validation and 10,000 test rows is that of Larochelle, Bengio & Turian (2010).

    Parameters
    ----------
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Binary images ``X_train``, ``X_valid`` and ``X_test`` (uint8), one per row, their labels
        ``y_train``, ``y_valid`` and ``y_test`` (uint8), and ``image_shape``.

    Raises
    ------
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """

    def download(folder):
        X, y = _fetch("ocr_letters", "letter.data.gz", folder, _read_letters)
        order = _letters_order(len(X))
        result, first = {}, 0
        for part, size in zip(PARTS, OCR_SPLIT, strict=True):
            rows = order[first : first + size]
            result[f"X_{part}"], result[f"y_{part}"] = X[rows], y[rows]
            first += size
        return result

    return _bunch(_load("ocr_letters", download, download_if_missing), (16, 8), *PARTS)


def fetch_caltech101_silhouettes(size=28, *, download_if_missing=True) -> Bunch:
    """Load split 1 of the Caltech 101 silhouettes (Marlin et al. 2010).

    Pixels of the object are 0 and those of the background are 1, as in the original.

    Parameters
    ----------
    size : {28, 16}, default=28
        Height and width of the images in pixels.
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Binary images ``X_train``, ``X_valid`` and ``X_test`` (uint8), one per row, their labels
        ``y_train``, ``y_valid`` and ``y_test`` (uint8), and ``image_shape``.

    Raises
    ------
    ValueError
        If ``size`` is neither 28 nor 16.
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """
    if size not in MAT_MD5:
        raise ValueError(f"size must be 28 or 16, got {size!r}.")

    def parse(path):
        with open(path, "rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if md5.hexdigest() != MAT_MD5[size]:
            raise ValueError("it does not have the published checksum")
        content = loadmat(path)
        result = {}
        for part, key in zip(PARTS, ("train", "val", "test"), strict=True):
            X = content[f"{key}_data"].reshape(-1, size, size).transpose(0, 2, 1)
            result[f"X_{part}"] = X.reshape(len(X), -1).astype(np.uint8)
            result[f"y_{part}"] = (content[f"{key}_labels"].ravel() - 1).astype(np.uint8)
        return result

    def download(folder):
        return _fetch(
            "caltech101_silhouettes", f"caltech101_silhouettes_{size}_split1.mat", folder, parse
        )

    arrays = _load(f"caltech101_silhouettes_{size}", download, download_if_missing)
    return _bunch(arrays, (size, size), *PARTS)


def _read_cifar(path) -> dict:
    """Return grey images and labels of batch 1 and of the first 1,000 test images of CIFAR-10."""
    result = {}
    with tarfile.open(path) as archive:
        members = ("train", "data_batch_1", 10_000), ("test", "test_batch", 1000)
        for part, member, count in members:
            file = archive.extractfile(f"cifar-10-batches-bin/{member}.bin")
            content = b"" if file is None else file.read()
            records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3072)[:count]
            colours = records[:, 1:].reshape(-1, 3, 1024).astype(np.int64)
            grey = np.tensordot(colours, [299, 587, 114], axes=(1, 0))
            result[f"X_{part}"] = ((grey + 500) // 1000).astype(np.uint8)
            result[f"y_{part}"] = records[:, 0].copy()
    return result


def fetch_cifar10_gray(*, download_if_missing=True) -> Bunch:
    """Load the first 10,000 training and 1,000 test images of CIFAR-10 in grey (Krizhevsky 2009).

    Parameters
    ----------
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally. The download is 170 MB.

    Returns
    -------
    data : Bunch
        Images ``X_train`` and ``X_test`` (uint8, from 0 to 255), one per row, their labels
        ``y_train`` and ``y_test`` (uint8), and ``image_shape``.

    Raises
    ------
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """

    def download(folder):
        return _fetch("cifar10_gray", "cifar-10-binary.tar.gz", folder, _read_cifar)

    arrays = _load("cifar10_gray", download, download_if_missing)
    return _bunch(arrays, (32, 32), "train", "test")


def circular_patches(X, image_shape, radius, n_patches, *, random_state=None) -> np.ndarray:
    """Cut binary circular patches out of images (section 3.1 of the thesis; Rule et al. 2018).

    Parameters
    ----------
    X : ndarray of shape (n_images, n_pixels)
        Grey images, one per row.
    image_shape : (int, int)
        Height and width of the images.
    radius : float
        Largest distance of a pixel from the centre of its patch. 2 gives 13 pixels, 3.2 gives 37.
    n_patches : int
        Number of patches to cut.
    random_state : int, RandomState instance or None, default=None
        Determines the patches. Pass an int for reproducible results.

    Returns
    -------
    patches : ndarray of uint8 of shape (n_patches, n_patch_pixels)
        1 for pixels that are brighter than the median of all patches, else 0.

    Raises
    ------
    ValueError
        If ``image_shape`` does not match X, or a patch does not fit into the images.

    Examples
    --------
    >>> import numpy as np
    >>> from skprune.datasets import circular_patches
    >>> X = np.arange(64).reshape(1, 64)
    >>> circular_patches(X, (8, 8), 2, 5, random_state=0).shape
    (5, 13)
    """
    height, width = check_shape(image_shape, "image_shape")
    X = check_rows(X, dtype=None)
    if X.shape[1] != height * width:
        raise ValueError(
            f"X must hold one image of {height} x {width} pixels per row, got shape {X.shape}."
        )
    radius = check_number(radius, "radius", low=0)
    reach = int(radius)
    n_patches = check_number(n_patches, "n_patches", numbers.Integral, low=1)
    if 2 * reach + 1 > min(height, width):
        raise ValueError(
            f"A circle of radius {radius} does not fit into images of {height} x {width} pixels."
        )
    rng = check_random_state(random_state)
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = down**2 + right**2 <= radius**2
    images = rng.randint(len(X), size=n_patches)
    rows = rng.randint(reach, height - reach, size=n_patches)[:, None] + down[inside]
    columns = rng.randint(reach, width - reach, size=n_patches)[:, None] + right[inside]
    grey = X[images[:, None], rows * width + columns]
    return (grey > np.median(grey)).astype(np.uint8)


def _count_words(texts, vocabulary=None, n_words=2000):
    """Return word counts of subject and body (uint8, at most 255) and the words in order."""
    bodies = []
    for text in texts:
        head, _, body = text.partition("\n\n")
        subject = " ".join(
            line[8:] for line in head.splitlines() if line.lower().startswith("subject:")
        )
        bodies.append(f"{subject} {body}")
    counter = CountVectorizer(
        token_pattern=r"[a-z]{3,}", stop_words="english", vocabulary=vocabulary
    )
    counts = counter.fit_transform(bodies) if vocabulary is None else counter.transform(bodies)
    words = counter.get_feature_names_out()
    if vocabulary is None:
        frequency = np.bincount(counts.nonzero()[1], minlength=words.size)
        kept = np.sort(np.argsort(-frequency, kind="stable")[:n_words])
        counts, words = counts[:, kept], words[kept]
    return np.minimum(counts.toarray(), 255).astype(np.uint8), words.astype(str)


def fetch_newsgroups(*, download_if_missing=True) -> Bunch:
    """Load the "by date" version of 20 Newsgroups (Lang 1995) as counts of 2,000 words.

    Words have three letters or more and occur in the subject or body. They are the words that occur
    in the largest number of training messages, English stop words of scikit-learn excluded.

    Parameters
    ----------
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Counts ``X_train`` (11,314 rows) and ``X_test`` (7,532 rows), labels ``y_train`` and
        ``y_test`` (all uint8), ``vocabulary`` and ``class_names``.

    Raises
    ------
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """

    def download(folder):
        folder.mkdir(parents=True, exist_ok=True)
        result, words = {}, None
        for part in ("train", "test"):
            raw = fetch_20newsgroups(data_home=folder, subset=part, shuffle=False)
            result[f"X_{part}"], words = _count_words(raw.data, words)
            result[f"y_{part}"] = np.asarray(raw.target, dtype=np.uint8)
        return {**result, "vocabulary": words, "class_names": np.array(raw.target_names)}

    return Bunch(**_load("newsgroups20", download, download_if_missing))


def fetch_density_benchmark(name, *, download_if_missing=True) -> Bunch:
    """Load one of the binary data sets on which density estimators are compared.

    Parameters
    ----------
    name : str
        Name of the data set, one of :data:`DENSITY_BENCHMARKS`.
    download_if_missing : bool, default=True
        If False, raise an error if the data set is not available locally.

    Returns
    -------
    data : Bunch
        Rows of 0 and 1 (uint8): ``X_train``, ``X_valid`` and ``X_test``.

    Raises
    ------
    ValueError
        If ``name`` is unknown.
    FileNotFoundError, OSError
        See :func:`fetch_mnist`.
    """
    if name not in DENSITY_BENCHMARKS:
        raise ValueError(
            f"name must be one of {', '.join(map(repr, DENSITY_BENCHMARKS))}, got {name!r}."
        )

    def download(folder):
        return {
            f"X_{part}": _fetch("debd", f"{name}/{name}.{part}.data", folder, _read_binary_text)
            for part in PARTS
        }

    arrays = _load(f"debd/{name}", download, download_if_missing, by_rows=True)
    return _bunch(arrays, None, *PARTS)


def _bunch(arrays, image_shape, *parts) -> Bunch:
    """Return the arrays of these parts, with ``image_shape`` if rows are images."""
    result = Bunch(**{key: arrays[key] for part in parts for key in (f"X_{part}", f"y_{part}") if key in arrays})  # fmt: skip
    if image_shape is not None:
        result.image_shape = image_shape
    return result


def make_bars_and_stripes(n_samples=None, size=4, *, random_state=None) -> np.ndarray:
    """Generate binary images in which every row, or every column, has one value (MacKay 2003).

    Parameters
    ----------
    n_samples : int or None, default=None
        Number of random images. If None, return each of the 2^(size + 1) - 2 images once.
    size : int, default=4
        Height and width of the images in pixels, at most 12.
    random_state : int, RandomState instance or None, default=None
        Determines the images. Pass an int for reproducible results.

    Returns
    -------
    X : ndarray of uint8 of shape (n_samples, size * size)
        Images, one per row.

    Examples
    --------
    >>> from skprune.datasets import make_bars_and_stripes
    >>> make_bars_and_stripes(size=4).shape
    (30, 16)
    """
    size = check_number(size, "size", numbers.Integral, low=2, high=12)
    lines = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    bars = np.repeat(lines[:, None, :], size, axis=1).reshape(-1, size * size)
    stripes = np.repeat(lines[1:-1, :, None], size, axis=2).reshape(-1, size * size)
    images = np.concatenate([bars, stripes]).astype(np.uint8)
    return random_rows(images, n_samples, random_state)


def make_shifter(n_samples=None, width=8, *, random_state=None) -> np.ndarray:
    """Generate the shifter problem (Hinton & Sejnowski 1986).

    A row holds a random pattern, the pattern shifted cyclically by -1, 0 or 1, and the shift as a
    one-hot group of three bits.

    Parameters
    ----------
    n_samples : int or None, default=None
        Number of random rows. If None, return each of the 3 × 2^width rows once.
    width : int, default=8
        Number of bits of the pattern, at most 16.
    random_state : int, RandomState instance or None, default=None
        Determines the rows. Pass an int for reproducible results.

    Returns
    -------
    X : ndarray of uint8 of shape (n_samples, 2 * width + 3)
        Binary rows.

    Examples
    --------
    >>> from skprune.datasets import make_shifter
    >>> make_shifter(width=8).shape
    (768, 19)
    """
    width = check_number(width, "width", numbers.Integral, low=2, high=16)
    patterns = ((np.arange(2**width)[:, None] >> np.arange(width)) & 1).astype(np.uint8)
    parts = []
    for number, shift in enumerate((-1, 0, 1)):
        told = np.zeros((len(patterns), 3), np.uint8)
        told[:, number] = 1
        parts.append(np.hstack([patterns, np.roll(patterns, shift, axis=1), told]))
    rows = np.concatenate(parts)
    return random_rows(rows, n_samples, random_state)


def make_teacher_rbm(
    n_samples=1000, n_features=16, n_components=8, *, density=0.3, scale=2.0, random_state=None
) -> Bunch:
    """Generate exact samples of a random sparse RBM, with their log-likelihood.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows to draw.
    n_features : int, default=16
        Number of visible units.
    n_components : int, default=8
        Number of hidden units, at most 16. All their joint states are enumerated.
    density : float, default=0.3
        Probability that a connection exists.
    scale : float, default=2.0
        Standard deviation of the weights.
    random_state : int, RandomState instance or None, default=None
        Determines the RBM and its samples. Pass an int for reproducible results.

    Returns
    -------
    data : Bunch
        Samples ``X`` (uint8), the parameters ``components``, ``intercept_hidden`` and
        ``intercept_visible``, and ``log_partition`` and ``log_likelihood`` (per row) in nats.

    Examples
    --------
    >>> from skprune.datasets import make_teacher_rbm
    >>> make_teacher_rbm(50, random_state=0).X.shape
    (50, 16)
    """
    n_samples = check_number(n_samples, "n_samples", numbers.Integral, low=1)
    n_features = check_number(n_features, "n_features", numbers.Integral, low=1)
    n_components = check_number(n_components, "n_components", numbers.Integral, low=1, high=16)
    density = check_number(density, "density", low=0, high=1)
    scale = check_number(scale, "scale", low=0)
    rng = check_random_state(random_state)
    components = scale * rng.normal(size=(n_components, n_features))
    components *= rng.uniform(size=components.shape) < density
    hidden_bias = -components.sum(axis=1) / 2
    visible_bias = -components.sum(axis=0) / 2
    states = (np.arange(2**n_components)[:, None] >> np.arange(n_components)) & 1
    field = states @ components + visible_bias
    log_weights = states @ hidden_bias + np.logaddexp(0, field).sum(axis=1)
    log_z = logsumexp(log_weights)
    chosen = rng.choice(len(states), size=n_samples, p=np.exp(log_weights - log_z))
    X = (rng.uniform(size=(n_samples, n_features)) < expit(field[chosen])).astype(np.uint8)
    inputs = X @ components.T + hidden_bias
    likelihood = X @ visible_bias + np.logaddexp(0, inputs).sum(axis=1) - log_z
    return Bunch(
        X=X, components=components, intercept_hidden=hidden_bias, intercept_visible=visible_bias,
        log_partition=float(log_z), log_likelihood=likelihood,
    )  # fmt: skip
