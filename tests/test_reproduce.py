"""The reproductions run from end to end, on few data."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest

from skprune import datasets

ROOT = pathlib.Path(__file__).parents[1]


def test_tables_of_the_pruning_paper(tmp_path):
    """Every kind of row; started again after being stopped it goes on, and repeats nothing."""
    if datasets._find("mnist_binarized")[0] is None:
        pytest.skip("the data sets are not on this machine")
    command = [
        sys.executable, ROOT / "examples" / "reproduce" / "pruning_rbms" / "run.py", "--quick",
        "--checkpoints", tmp_path / "checkpoints", "--results", tmp_path / "results.csv",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*names):
        out = subprocess.run(
            [*command, "--only", *names], env=environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert out.returncode == 0, out.stderr
        with (tmp_path / "results.csv").open() as file:
            return out.stdout, list(csv.DictReader(file))

    _, rows = run("mnist-cd1-20", "mnist-cd25-500", "ocr-ours-1000")
    assert [(row["row"], row["rule"]) for row in rows] == [
        ("mnist-cd1-20", "full"), ("mnist-cd1-20", "percentile"), ("mnist-cd1-20", "sigma"),
        ("mnist-cd25-500", "full"), ("mnist-cd25-500", "percentile"), ("mnist-cd25-500", "sigma"),
        ("ocr-ours-1000", "full"), ("ocr-ours-1000", "percentile"),
    ]  # fmt: skip
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"]) < 0
        if row["rule"] == "percentile":
            assert float(row["sparsity"]) == pytest.approx(float(row["paper_sparsity"]), abs=0.01)
    # without the last result, but with the checkpoints: nothing is trained again
    lines = (tmp_path / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "results.csv").write_text("".join(lines[:-1]))
    told, again = run("mnist-cd1-20", "ocr-ours-1000")
    assert "pass " not in told
    for key in ("value", "low", "high", "n_connections", "train_value"):
        assert again[-1][key] == rows[-1][key]
