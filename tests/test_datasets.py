"""Downloading, parsing and checking, against a local server with small files of the real formats."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading

import numpy as np
import pytest
from scipy.io import savemat

from skprune import datasets
from skprune._support import downloads


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that is served over HTTP as every source, and an empty data home."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}/"
        monkeypatch.setattr(datasets, "SOURCES", dict.fromkeys(datasets.SOURCES, address))
        monkeypatch.setattr(datasets, "CHECKSUMS", {})
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
        monkeypatch.setenv("SKPRUNE_DATA", str(tmp_path))
        monkeypatch.setattr(
            datasets, "__file__", str(tmp_path / "none" / "checkout" / "skprune" / "datasets.py")
        )
        yield folder
        running.shutdown()
        thread.join()


def idx(array):
    """The bytes of an idx file."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def serve_mnist(folder):
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", 6), ("t10k", 4)):
        images, labels = rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
        made[part] = images.reshape(n, -1), labels
    return made


def test_mnist_from_idx_files(server):
    made = serve_mnist(server)
    for _ in range(2):  # the second time from the data home
        data = datasets.fetch_mnist()
        for part, name in (("train", "train"), ("test", "t10k")):
            np.testing.assert_array_equal(data[f"X_{part}"], made[name][0])
            np.testing.assert_array_equal(data[f"y_{part}"], made[name][1])
        assert data.image_shape == (28, 28)
        assert data.X_train.dtype == np.uint8
        for file in server.iterdir():
            file.unlink()


def test_nothing_is_downloaded_where_that_is_not_allowed(server):
    serve_mnist(server)
    with pytest.raises(FileNotFoundError, match="download_if_missing=True"):
        datasets.fetch_mnist(download_if_missing=False)


@pytest.mark.parametrize("harm", ["cut", "other", "not zipped"])
def test_a_damaged_download_is_named_and_deleted(server, harm, tmp_path):
    serve_mnist(server)
    file = server / "train-images-idx3-ubyte.gz"
    good = file.read_bytes()
    bad = {"cut": good[: len(good) // 2], "other": gzip.compress(b"text"), "not zipped": b"<html>"}
    file.write_bytes(bad[harm])
    with pytest.raises(OSError, match=r"The download of .*train-images-idx3-ubyte\.gz is damaged"):
        datasets.fetch_mnist()
    assert not list((tmp_path / "home").rglob("train-images*"))
    file.write_bytes(good)
    assert datasets.fetch_mnist().X_train.shape == (6, 784)


def test_a_wrong_checksum_is_told(server, monkeypatch):
    serve_mnist(server)
    monkeypatch.setattr(datasets, "CHECKSUMS", {"mnist": "0" * 64})
    with pytest.raises(OSError, match=r"'mnist' does not have the known checksum.*Fetch it again"):
        datasets.fetch_mnist()
    monkeypatch.setattr(datasets, "CHECKSUMS", {})
    datasets.fetch_mnist()  # it is really fetched again
    monkeypatch.setattr(datasets, "CHECKSUMS", {"mnist": "0" * 64})
    with pytest.raises(OSError, match=r"mnist\.npz is damaged.*known checksum"):
        datasets.fetch_mnist()


def test_two_processes_may_fetch_a_set_at_once(server, tmp_path, monkeypatch):
    """Each downloads into a directory of its own; the slower one ends after the faster one."""
    serve_mnist(server)
    fetch, both_have_begun = datasets._fetch, threading.Barrier(2, timeout=60)
    first_is_done = threading.Event()

    def waiting(*args):
        if args[1].startswith("train-images"):
            both_have_begun.wait()
        if args[1].startswith("t10k-labels") and threading.current_thread().name == "slow":
            assert first_is_done.wait(60)
        return fetch(*args)

    monkeypatch.setattr(datasets, "_fetch", waiting)
    results = []

    def run():
        results.append(datasets.fetch_mnist())
        first_is_done.set()

    both = [threading.Thread(target=run, name=name) for name in ("slow", "fast")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(results) == 2
    np.testing.assert_array_equal(results[0].X_train, results[1].X_train)
    assert [path.name for path in (tmp_path / "home" / "skprune").iterdir()] == ["mnist.npz"]


def test_what_killed_downloads_left_is_removed_after_a_day(server, tmp_path):
    serve_mnist(server)
    home = tmp_path / "home" / "skprune"
    for name in ("old", "new"):
        (home / f"mnist_downloading_{name}").mkdir(parents=True)
    os.utime(home / "mnist_downloading_old", (0, 0))
    datasets.fetch_mnist()
    assert {path.name for path in home.iterdir()} == {"mnist.npz", "mnist_downloading_new"}


def test_an_archive_carries_its_own_checksum(server, tmp_path):
    """It is noticed if an archive has other content, even where no checksum is known."""
    serve_mnist(server)
    data = datasets.fetch_mnist()
    assert datasets.OWN_CHECKSUM not in data
    path = tmp_path / "home" / "skprune" / "mnist.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["X_test"][0, 0] += 1
    np.savez_compressed(path, **arrays)
    with pytest.raises(OSError, match=r"mnist\.npz is damaged.*known checksum"):
        datasets.fetch_mnist()
    del arrays[datasets.OWN_CHECKSUM]  # as archives from elsewhere
    np.savez_compressed(path, **arrays)
    assert datasets.fetch_mnist().X_test[0, 0] == arrays["X_test"][0, 0]


def test_a_damaged_archive_is_named(server, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"X_{part}": rng.integers(0, 256, (3, 98)).astype(np.uint8) for part in datasets.PARTS
    }
    np.savez_compressed(tmp_path / "mnist_binarized.npz", **arrays)
    data = datasets.fetch_binarized_mnist()
    np.testing.assert_array_equal(data.X_valid, np.unpackbits(arrays["X_valid"], axis=1))
    whole = (tmp_path / "mnist_binarized.npz").read_bytes()
    for harmed in (whole[:-100], b"", whole[:200] + b"\0" * 50 + whole[250:]):
        (tmp_path / "mnist_binarized.npz").write_bytes(harmed)
        with pytest.raises(OSError, match=r"mnist_binarized\.npz is damaged or incomplete"):
            datasets.fetch_binarized_mnist()


def test_a_folder_that_is_none(monkeypatch):
    monkeypatch.setenv("SKPRUNE_DATA", "/nowhere/at/all")
    with pytest.raises(
        FileNotFoundError, match="SKPRUNE_DATA='/nowhere/at/all' is not a directory"
    ):
        datasets.fetch_mnist()


@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_binarized_mnist_from_text(server, end):
    rng = np.random.default_rng(1)
    made = {part: rng.integers(0, 2, (5, 784)) for part in datasets.PARTS}
    for part, X in made.items():
        text = "".join(" ".join(map(str, row)) + end for row in X)
        (server / f"binarized_mnist_{part}.amat").write_bytes(text.encode())
    data = datasets.fetch_binarized_mnist()
    for part, X in made.items():
        np.testing.assert_array_equal(data[f"X_{part}"], X)


@pytest.mark.parametrize(("text", "message"), [("0 1 2", "got '2'"), ("0 1 1", "do not fill rows")])
def test_text_that_is_not_binary_rows(server, text, message):
    for part in datasets.PARTS:
        (server / f"binarized_mnist_{part}.amat").write_text(text)
    with pytest.raises(OSError, match=message):
        datasets.fetch_binarized_mnist()


def test_letters(server, monkeypatch):
    rng = np.random.default_rng(2)
    X, y = rng.integers(0, 2, (9, 128)), rng.integers(0, 26, 9)
    lines = [
        "\t".join([str(k + 1), chr(97 + label), "-1", "1", "1", "0", *map(str, row)]) + "\t\n"
        for k, (row, label) in enumerate(zip(X, y, strict=True))
    ]
    (server / "letter.data.gz").write_bytes(gzip.compress("".join(lines).encode()))
    monkeypatch.setattr(datasets, "OCR_SPLIT", (4, 3, 2))
    data = datasets.fetch_ocr_letters()
    order = datasets._letters_order(9)
    np.testing.assert_array_equal(order, [2, 8, 4, 7, 6, 1, 5, 0, 3])  # by Python 2's shuffle
    np.testing.assert_array_equal(data.X_train, X[order[:4]])
    np.testing.assert_array_equal(data.y_valid, y[order[4:7]])
    np.testing.assert_array_equal(data.X_test, X[order[7:]])
    assert data.image_shape == (16, 8)


@pytest.mark.parametrize("size", [16, 28])
def test_silhouettes_from_a_mat_file(server, monkeypatch, size):
    rng = np.random.default_rng(3)
    images = {part: rng.integers(0, 2, (n, size, size)) for part, n in (("train", 4), ("val", 3), ("test", 2))}  # fmt: skip
    content = {}
    for part, X in images.items():  # pixels go down the columns, labels start at 1
        content[f"{part}_data"] = X.transpose(0, 2, 1).reshape(len(X), -1).astype(np.uint8)
        content[f"{part}_labels"] = np.arange(1, len(X) + 1)[None]
    file = server / f"caltech101_silhouettes_{size}_split1.mat"
    savemat(file, content)
    with pytest.raises(OSError, match="published checksum"):
        datasets.fetch_caltech101_silhouettes(size)
    md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(datasets, "MAT_MD5", {size: md5})
    data = datasets.fetch_caltech101_silhouettes(size)
    np.testing.assert_array_equal(data.X_valid, images["val"].reshape(3, -1))
    np.testing.assert_array_equal(data.y_train, np.arange(4))
    assert data.image_shape == (size, size)
    with pytest.raises(ValueError, match="size must be 28 or 16"):
        datasets.fetch_caltech101_silhouettes(32)


def test_density_benchmark_from_text(server, monkeypatch):
    rng = np.random.default_rng(4)
    made = {part: rng.integers(0, 2, (6, 10)) for part in datasets.PARTS}
    (server / "nltcs").mkdir()
    for part, X in made.items():
        text = "".join(",".join(map(str, row)) + "\n" for row in X)
        (server / "nltcs" / f"nltcs.{part}.data").write_text(text)
    data = datasets.fetch_density_benchmark("nltcs")
    for part, X in made.items():
        np.testing.assert_array_equal(data[f"X_{part}"], X)
    # another order of the rows is the same set, other rows are not
    arrays = {f"X_{part}": X for part, X in made.items()}
    known = downloads.checksum_of_bits(arrays, by_rows=True)
    turned = {key: X[::-1] for key, X in arrays.items()}
    assert downloads.checksum_of_bits(turned, by_rows=True) == known
    turned["X_test"] = 1 - turned["X_test"]
    monkeypatch.setattr(
        datasets, "CHECKSUMS", {"debd/nltcs": downloads.checksum_of_bits(turned, by_rows=True)}
    )
    with pytest.raises(OSError, match=r"nltcs\.npz is damaged"):
        datasets.fetch_density_benchmark("nltcs")
    with pytest.raises(ValueError, match="'accidents'"):
        datasets.fetch_density_benchmark("iris")


@pytest.mark.data
def test_real_sets_have_their_checksums():
    """Of the files in SKPRUNE_DATA, or beside the checkout."""
    if datasets._find("mnist")[0] is None:
        pytest.skip("the data sets are not on this machine")
    assert datasets.fetch_mnist(download_if_missing=False).X_train.mean() == pytest.approx(
        33.3184, abs=1e-4
    )
    assert datasets.fetch_binarized_mnist(download_if_missing=False).X_train.shape == (50_000, 784)
    letters = datasets.fetch_ocr_letters(download_if_missing=False)
    assert letters.X_train.shape == (32_152, 128)
    # the file of letters spells words: undo the shuffle and read the first
    X = np.concatenate([letters.y_train, letters.y_valid, letters.y_test])
    original = np.empty_like(X)
    original[datasets._letters_order(len(X))] = X
    assert "".join(chr(97 + label) for label in original[:9]) == "ommanding"
    silhouettes = datasets.fetch_caltech101_silhouettes(download_if_missing=False)
    assert silhouettes.X_test.shape == (2307, 784)
    for name in datasets.DENSITY_BENCHMARKS:
        data = datasets.fetch_density_benchmark(name, download_if_missing=False)
        assert set(np.unique(data.X_train)) == {0, 1}


def test_bars_and_stripes():
    images = datasets.make_bars_and_stripes(size=3).reshape(-1, 3, 3)
    assert len(np.unique(images.reshape(-1, 9), axis=0)) == len(images) == 2**4 - 2
    for image in images:
        assert (image == image[0]).all() or (image.T[0] == image.T).all()
    drawn = datasets.make_bars_and_stripes(40, size=3, random_state=0)
    assert drawn.shape == (40, 9)
    np.testing.assert_array_equal(drawn, datasets.make_bars_and_stripes(40, size=3, random_state=0))


def test_sizes_are_integers():
    for make in (
        lambda: datasets.make_bars_and_stripes(size=2.5),
        lambda: datasets.make_shifter(width=3.5),
        lambda: datasets.make_teacher_rbm(n_components=2.5),
    ):
        with pytest.raises(TypeError, match="must be an integer"):
            make()


def test_shifter():
    rows = datasets.make_shifter(width=4)
    assert len(np.unique(rows, axis=0)) == len(rows) == 48
    for row in rows:
        np.testing.assert_array_equal(np.roll(row[:4], int(row[8:].argmax()) - 1), row[4:8])
        assert row[8:].sum() == 1
    assert datasets.make_shifter(7, width=4, random_state=0).shape == (7, 11)


def test_teacher_tells_its_own_likelihood():
    from tests import oracles

    data = datasets.make_teacher_rbm(4000, 6, 3, random_state=0)
    weights = [data.components]
    biases = [data.intercept_visible, data.intercept_hidden]
    assert data.log_partition == pytest.approx(oracles.log_z(weights, biases), abs=1e-10)
    states = oracles.all_states(6)
    exact = -oracles.free_energy(weights, biases, states) - data.log_partition
    assert np.exp(exact).sum() == pytest.approx(1)
    place = data.X @ (2 ** np.arange(5, -1, -1))
    np.testing.assert_allclose(data.log_likelihood, exact[place], atol=1e-10)
    counts = np.bincount(place, minlength=64)
    expected = 4000 * np.exp(exact)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 63 + 5 * np.sqrt(2 * 63)


def test_cifar_from_its_archive(server):
    rng = np.random.default_rng(0)
    records = {
        name: rng.integers(0, 256, (5, 3073), np.uint8) for name in ("data_batch_1", "test_batch")
    }
    with tarfile.open(server / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in records.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = content.nbytes
            archive.addfile(member, io.BytesIO(content.tobytes()))
    data = datasets.fetch_cifar10_gray()
    red, green, blue = records["data_batch_1"][2, [1 + 7, 1 + 1024 + 7, 1 + 2048 + 7]].astype(int)
    assert data.X_train[2, 7] == round(0.299 * red + 0.587 * green + 0.114 * blue)
    np.testing.assert_array_equal(data.y_test, records["test_batch"][:, 0])
    assert data.image_shape == (32, 32)


def test_a_damaged_archive_of_images_is_named(server):
    (server / "cifar-10-binary.tar.gz").write_bytes(b"no archive")
    with pytest.raises(OSError, match=r"The download of .*cifar-10-binary\.tar\.gz is damaged"):
        datasets.fetch_cifar10_gray()


def test_circular_patches():
    """A picture that grows to the right: every patch does, and half of all pixels are on."""
    X = np.tile(np.arange(32), 32)[None]
    for radius, size in ((2, 13), (3.2, 37)):
        patches = datasets.circular_patches(X, (32, 32), radius, 500, random_state=0)
        assert patches.shape == (500, size)
        assert 0.4 < patches.mean() < 0.55
        middle = np.sort(patches[:, size // 2 - int(radius) : size // 2 + int(radius) + 1], axis=1)
        np.testing.assert_array_equal(
            middle, patches[:, size // 2 - int(radius) : size // 2 + int(radius) + 1]
        )
    with pytest.raises(ValueError, match="radius 20 does not fit into images of 32 x 32"):
        datasets.circular_patches(X, (32, 32), 20, 5)
    with pytest.raises(ValueError, match="must hold one image of 8 x 8 pixels per row"):
        datasets.circular_patches(X, (8, 8), 2, 5)
    with pytest.raises(ValueError, match="radius must be a number"):
        datasets.circular_patches(X, (32, 32), -0.5, 5)


@pytest.mark.parametrize("place", [(0, 3), (5, 3), (3, 0), (3, 5)])
def test_circular_patches_reach_every_border(place):
    """One pixel at a border is bright. A patch around row or column 2 or 3 of 6 can hold it."""
    X = np.zeros((6, 6))
    X[place] = 1
    patches = datasets.circular_patches(X.reshape(1, -1), (6, 6), 2, 100, random_state=0)
    assert set(patches.sum(axis=1)) == {0, 1}


def test_newsgroups_from_their_texts(tmp_path, monkeypatch):
    """Subject and body count, other header lines, stop words and short words do not."""
    from sklearn.utils import Bunch

    texts = {
        "train": [
            "From: moon@x\nSubject: Red Moon\n\nthe moon is an ox",
            "From: a\n\nred blue red",
        ],
        "test": ["Subject: none\n\nblue blue green moon " + "red " * 300],
    }

    def raw(data_home, subset, shuffle):
        return Bunch(
            data=texts[subset], target=[0, 1][: len(texts[subset])], target_names=["a", "b"]
        )

    monkeypatch.setattr(datasets, "fetch_20newsgroups", raw)
    monkeypatch.setattr(datasets, "_find", lambda name: (None, tmp_path))
    data = datasets.fetch_newsgroups()
    assert list(data.vocabulary) == ["blue", "moon", "red"]
    np.testing.assert_array_equal(data.X_train, [[0, 2, 1], [1, 0, 2]])
    np.testing.assert_array_equal(data.X_test, [[2, 1, 255]])
    assert list(data.y_train) == [0, 1] and data.X_train.dtype == np.uint8
    X, words = datasets._count_words(texts["train"], n_words=1)
    assert list(words) == ["red"] and X.shape == (2, 1)


@pytest.mark.data
def test_newsgroups_as_they_are_known():
    if datasets._find("newsgroups20")[0] is None:
        pytest.skip("the data sets are not on this machine")
    data = datasets.fetch_newsgroups(download_if_missing=False)
    assert data.X_train.shape == (11_314, 2000) and data.X_test.shape == (7532, 2000)
    assert np.unique(data.y_train).size == 20 and data.X_train.max() == 255
