"""The reproductions run from end to end, on few data."""

import csv
import importlib.util
import os
import pathlib
import subprocess
import sys

import joblib
import numpy as np
import pytest

from skprune import datasets

ROOT = pathlib.Path(__file__).parents[1]
REPRODUCE = ROOT / "examples" / "reproduce"


def run_script(script, *arguments):
    """What a reproduction prints."""
    out = subprocess.run(
        [sys.executable, REPRODUCE / script, "--quick", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return out.stdout


def rows_of(path):
    """The rows of a table."""
    with path.open() as file:
        return list(csv.DictReader(file))


def needs(name):
    """Skip where a data set is not on this machine."""
    if datasets._find(name)[0] is None:
        pytest.skip("the data sets are not on this machine")


def test_tables_of_the_pruning_paper(tmp_path):
    """Every kind of row; started again after being stopped it goes on, and repeats nothing."""
    needs("mnist_binarized")
    results = tmp_path / "results.csv"

    def run(*names):
        told = run_script(
            "pruning_rbms/run.py", "--checkpoints", tmp_path / "checkpoints", "--results", results,
            "--only", *names,
        )  # fmt: skip
        return told, rows_of(results)

    _, rows = run("mnist-cd1-20", "mnist-cd25-500", "ocr-ours-1000")
    assert [(row["row"], row["rule"]) for row in rows] == [
        ("mnist-cd1-20", "full"), ("mnist-cd1-20", "percentile"), ("mnist-cd1-20", "sigma"),
        ("mnist-cd25-500", "full"), ("mnist-cd25-500", "percentile"), ("mnist-cd25-500", "sigma"),
        ("ocr-ours-1000", "full"), ("ocr-ours-1000", "percentile"),
    ]  # fmt: skip
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"]) < 0
        of, other = ("goal", "paper") if row["training"] == "ours" else ("paper", "goal")
        assert row[other] == row[f"{other}_sparsity"] == "" and float(row[of]) < 0
        if row["rule"] == "percentile":
            assert float(row["sparsity"]) == pytest.approx(float(row[f"{of}_sparsity"]), abs=0.01)
    # without the last result, but with the checkpoints: nothing is trained again
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]))
    told, again = run("mnist-cd1-20", "ocr-ours-1000")
    assert "pass " not in told
    for key in ("value", "low", "high", "n_connections", "train_value"):
        assert again[-1][key] == rows[-1][key]


def test_trade_off_of_the_pruning_paper(tmp_path):
    """Every kind of curve, and nothing twice."""
    needs("ocr_letters")
    results = tmp_path / "tradeoff.csv"

    def run(kind):
        return run_script(
            "pruning_rbms/tradeoff.py", "--data", "ocr", "--kind", kind, "--results", results,
            "--checkpoints", tmp_path / "checkpoints",
        )  # fmt: skip

    run("L2")
    found = {(row["pruning"], float(row["sparsity"])) for row in rows_of(results)}
    assert {("none", 0.0), ("without retraining", 30.0), ("percentile", 50.98)} < found
    assert {("once", 75.98), ("once", 91.76)} < found
    assert "sigma" in {pruning for pruning, _ in found}
    assert run("L2") == ""
    run("DropConnect")
    assert {row["training"] for row in rows_of(results)} == {"L2", "DropConnect"}


def test_dilution(tmp_path):
    """Every strategy reaches its sparsity; the report reads the table."""
    needs("mnist_binarized")
    results = tmp_path / "results.csv"
    run_script("diluting_rbms/run.py", "--seeds", "1", "--results", results)
    rows = rows_of(results)
    assert len({row["strategy"] for row in rows}) == 8
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)
    assert run_script("diluting_rbms/run.py", "--seeds", "1", "--results", results) == ""
    report = run_script("diluting_rbms/run.py", "--report", "--results", results)
    assert "prune gradually" in report


def test_transition_by_hand():
    """Level up to 75 %, then four nats behind for every halving of the connections."""
    sys.path.insert(0, str(REPRODUCE / "diluting_rbms"))
    try:
        from run import transitions
    finally:
        sys.path.pop(0)
    values = {"0.5": -11, "0.75": -11, "0.875": -15, "0.9375": -19, "0.96875": -23}
    rows = [{"strategy": "full", "sparsity": "0.0", "value": "-10", "seed": "0"}]
    rows += [
        {"strategy": "a", "sparsity": sparsity, "value": str(value), "seed": "0"}
        for sparsity, value in values.items()
    ]
    (found,) = transitions(rows)["a"]
    np.testing.assert_allclose(found, [0.75, 1, 4 / np.log(2)], rtol=1e-2)


def test_fisher_information_of_patches(tmp_path):
    needs("cifar10_gray")
    run_script("fisher_pruning/rbm.py", "--seeds", "1", "--folder", tmp_path)
    rows = rows_of(tmp_path / "rbm_results.csv")
    assert len({row["experiment"] for row in rows}) == 12
    assert {p.name for p in tmp_path.glob("*.png")} == {
        "stiff_and_sloppy.png", "halve_the_units.png", "receptive_fields.png",
    }  # fmt: skip


def test_deep_networks_of_the_pruning_paper(tmp_path):
    """Full and pruned, on both data sets; nothing twice."""
    needs("mnist")
    needs("ocr_letters")
    results = tmp_path / "networks.csv"
    run_script("pruning_rbms/networks.py", "--seeds", "0", "1", "--results", results)
    rows = rows_of(results)
    assert [(r["data"], r["network"]) for r in rows[:4]] == [
        (data, network) for data in ("mnist", "ocr") for network in ("full", "pruned")
    ]
    assert [float(r["sparsity"]) for r in rows[:4]] == pytest.approx([0, 51, 0, 51], abs=0.02)
    assert run_script("pruning_rbms/networks.py", "--seeds", "0", "1", "--results", results) == ""


@pytest.mark.parametrize(
    ("script", "data", "n_rows"),
    [
        ("pretraining", "mnist", 15), ("generative", "mnist", 7), ("density", "mnist_binarized", 2),
        ("autoencoder", "mnist", 6), ("documents", "newsgroups20", 48), ("boltzmann", "mnist_binarized", 3),
    ],
)  # fmt: skip
def test_deep_networks_of_the_slides(script, data, n_rows, tmp_path):
    """Every row; started again nothing is run twice."""
    needs(data)
    results = tmp_path / f"{script}.csv"
    arguments = ("--results", results, "--checkpoints", tmp_path / "checkpoints")
    run_script(f"deep_networks/{script}.py", *arguments)
    rows = rows_of(results)
    assert len(rows) == n_rows
    assert run_script(f"deep_networks/{script}.py", *arguments) == ""
    if script in ("density", "boltzmann"):  # what was trained is not trained again
        results.unlink()
        said = run_script(f"deep_networks/{script}.py", *arguments)
        assert "4 of 4 passes" in said and "3 of 4" not in said
        assert [row["low"] for row in rows_of(results)] == [row["low"] for row in rows]
    if script == "boltzmann":
        found = [float(row[f"sparsity_{level}"]) for row in rows for level in (1, 2)]
        assert found == pytest.approx([0, 0, 0.6, 0.957, 0.8, 0.8], abs=0.01)
        assert [row["epochs"] for row in rows] == ["4", "2", "4"]  # two falls, one, one and one
        (last,) = (tmp_path / "checkpoints").glob("boltzmann-pruned after fine-tuning/*/2.joblib")
        masks = joblib.load(last)[0].pretrained_.connectivity_  # of the posterior that it reads
        assert [1 - mask.mean() for mask in masks] == pytest.approx([0.6, 0.957], abs=0.01)


@pytest.mark.parametrize("connected", [True, False])
def test_pixels_all_alike_keep_their_colour(connected):
    """All connected is black, none connected is white."""
    script = REPRODUCE / "fisher_pruning" / "dbm.py"  # not the dbm of the standard library
    spec = importlib.util.spec_from_file_location("fisher_pruning_dbm", script)
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    figure = study.connected_pixels(np.full((3, 400), connected))
    (image,) = figure.axes[0].get_images()
    assert (image.to_rgba(image.get_array())[..., 0] == (0 if connected else 1)).all()
    study.plt.close(figure)


def test_deep_boltzmann_machines_of_the_thesis(tmp_path):
    needs("mnist")
    arguments = (
        "--experiments",
        "full",
        "last level first",
        "--folder",
        tmp_path,
        "--checkpoints",
        tmp_path,
    )
    run_script("fisher_pruning/dbm.py", *arguments)
    rows = rows_of(tmp_path / "dbm_results.csv")
    assert [row["experiment"] for row in rows[:3]] == [
        "raw pixels, test digits", "random patterns", "initial"
    ]  # fmt: skip
    full, rows = rows[3:4], [*rows[:3], *rows[4:]]
    assert [(row["round"], row["passes"]) for row in full] == [("2", "3")]
    assert [row["level"] for row in rows[3:]] == ["2", "2", "1", "1"] * 2 + [""]
    assert [row["stage"] for row in rows[3:]] == ["pruned", "retrained"] * 4 + ["minimal"]
    assert [row["passes"] for row in rows[3:7]] == ["1", "2", "2", "3"]
    assert [int(row["connections_1"]) for row in rows[2:6]] == [8836, 8836, 8836, 5183]
    for row in rows[-2:]:  # where the thesis ends
        assert (row["sparsity_1"], row["sparsity_2"]) == ("0.981", "0.957")
    for column in ("svm_test", "logistic_test_all"):
        assert [bool(row[column]) for row in rows[2:]] == [True, *[False] * 7, True, True]
    assert all(sum(map(int, row["counts"].split())) == 50 for row in rows[2:])
    kept = np.load(tmp_path / "dbm_samples.npz")
    assert len(kept) == len(rows) - 2 + len(full)
    assert kept["initial | 0 |  | trained | 0"].shape == (50, 50)
    findings = rows_of(tmp_path / "dbm_findings.csv")
    assert len({row["machine_of"] for row in findings}) == 3
    zeros = [float(row["value"]) for row in findings if "is 0" in row["what"]]
    assert all(0 <= share < 1 for share in zeros) and len(zeros) == 6
    subprocess.run(
        [sys.executable, REPRODUCE / "fisher_pruning" / "dbm_figures.py", "--folder", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert (tmp_path / "dbm_layers.png").stat().st_size > 10_000
    assert run_script("fisher_pruning/dbm.py", *arguments) == ""
