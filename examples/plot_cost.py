"""
Cost against units, batch and sparsity
======================================

The figures come from the committed table of ``examples/benchmarks/side_by_side.py``,
random masks, one pass of PCD-1 on 0/1 data in float32.
"""

import csv
import pathlib

import matplotlib.pyplot as plt

here = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path.cwd()
with (here / "results" / "side_by_side.csv").open() as file:
    rows = [row for row in csv.DictReader(file) if row["work"] == "fit (grid)"]


def units(size):
    """Visible times hidden units."""
    visible, hidden = size.split("x")
    return int(visible) * int(hidden)


def line(x, y, **fixed):
    """Points of the rows that have these values, in the order of x."""
    chosen = [row for row in rows if all(row[key] == value for key, value in fixed.items())]
    return zip(*sorted((x(row), float(row[y])) for row in chosen), strict=True)


sizes = sorted({row["size"] for row in rows}, key=units)
batches = sorted({row["batch"] for row in rows}, key=int)
sparsities = sorted({row["sparsity"] for row in rows}, key=float)

# %%
# Left: microseconds a sample against the connections of the full machine. Middle: how much faster
# a pruned machine is than our own full one. Right: how much faster than scikit-learn's full one.

figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
for sparsity in sparsities:
    x, y = line(lambda row: units(row["size"]), "ours_us", sparsity=sparsity, batch="100")
    axes[0].loglog(x, y, "o-", label=f"{float(sparsity):.0%}")
axes[0].set(xlabel="visible × hidden units", ylabel="µs a sample and pass", title="batch 100")
axes[0].legend(title="sparsity")
for size in sizes:
    x, y = line(lambda row: float(row["sparsity"]), "over_own_full", size=size, batch="100")
    axes[1].plot(x, y, "o-", label=size.replace("x", " × "))
axes[1].set(xlabel="sparsity", ylabel="times faster than full", title="batch 100", yscale="log")
axes[1].legend(title="units")
for batch in batches:
    x, y = line(lambda row: float(row["sparsity"]), "ratio", size="784x500", batch=batch)
    axes[2].plot(x, y, "o-", label=batch)
axes[2].set(
    xlabel="sparsity", ylabel="times faster than scikit-learn", title="784 × 500", yscale="log"
)
axes[2].legend(title="batch")
for axis in axes[1:]:
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
plt.show()
