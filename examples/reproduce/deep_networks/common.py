"""What the scripts share: the table they append to, and fits that survive being stopped."""

import csv
import os
import pathlib
import platform
import tempfile
import time

import joblib

from skprune.schedules import FallingRate

HERE = pathlib.Path(__file__).parent


class Table:
    """A committed file of results; each row says seed, time and machine."""

    def __init__(self, path, columns):
        self.path, self.columns = path, [*columns, "date", "machine"]
        self.rows = []
        if path.exists():
            with path.open() as file:
                self.rows = list(csv.DictReader(file))

    def done(self, **wanted):
        """The rows that have these values."""
        return [r for r in self.rows if all(r[k] == str(v) for k, v in wanted.items())]

    def add(self, **row):
        """Append one row, and say it."""
        row |= {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        assert list(row) == self.columns, f"{list(row)} are not {self.columns}"
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows(([self.columns] if new else []) + [list(row.values())])
        self.rows.append({k: str(v) for k, v in row.items()})
        print(*list(row.values())[:-2], flush=True)


def kept(path, make):
    """What ``make()`` returns, from the disk where it was made before."""
    if path.exists():
        return joblib.load(path)
    result = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    joblib.dump(result, partial)
    os.replace(partial, path)
    return result


def stretches(folder, numbers, further):
    """Yield (number, state) of a training in stretches, from the furthest that is on the disk on.

    ``further(state, number)`` makes the next; the first gets None. A checkpoint goes when the next is there.
    """
    paths = {number: folder / f"{number}.joblib" for number in numbers}
    there = [number for number, path in paths.items() if path.exists()]
    state = None
    for number, path in paths.items():
        if there and number < there[-1]:
            continue
        before = state
        state = kept(path, lambda number=number, before=before: further(before, number))
        for earlier in paths.values():
            if earlier != path:
                earlier.unlink(missing_ok=True)
        yield number, state


def trained(folder, fresh, rows, total, stretch, cut=None):
    """The machine after ``total`` passes whose rate falls to 0, and the seconds they took.

    ``rows(done)`` are the data after so many passes; ``cut(machine, X, done)`` may prune before a stretch.
    """
    folder = folder / f"{total} passes by {stretch}"  # another schedule is another training
    assert total % stretch == 0, f"{total} passes are no whole number of stretches of {stretch}"

    def further(state, number):
        started = time.perf_counter()
        done = number - stretch
        machine, spent = state or (fresh(), 0.0)
        X = rows(done)
        if cut is not None:
            machine = cut(machine, X, done)
        falling = FallingRate(done / total, number / total)
        fitted = hasattr(machine, "components_")
        machine.set_params(n_iter=stretch, warm_start=fitted, learning_rate_schedule=falling)
        return machine.fit(X), spent + time.perf_counter() - started

    for number, state in stretches(folder, range(stretch, total + 1, stretch), further):
        print(f"{folder.parent.name}: {number} of {total} passes, {state[1]:.0f} s", flush=True)
    return state


def options(parser, name):
    """Add what every script takes, and parse."""
    parser.add_argument("--results", type=pathlib.Path, default=HERE / name)
    parser.add_argument("--checkpoints", type=pathlib.Path, default=HERE / "checkpoints")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick and chosen.results == HERE / name:  # what is committed stays as it is
        folder = pathlib.Path(tempfile.mkdtemp())
        chosen.results, chosen.checkpoints = folder / name, folder
    return chosen
