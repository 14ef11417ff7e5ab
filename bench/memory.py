"""Peak memory of each competitor: `python bench/memory.py` prints it for a few problems.

Each is measured in a process of its own, which loads the arrays of the problem, lets the competitor
solve a small problem (libraries set themselves up), and then solves the problem once. What counts
is how far the peak of the process's resident memory rises above what it was before: results, and
for hopfix the network, which holds its own copy of the patterns, are included; inputs are not.
Linux only: `ru_maxrss` begins at the size of the parent and cannot be set back, VmHWM can.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from competitors import CONTEXT, MAKERS
from problems import Cell, Problem, problem
from timing import set_threads

_ARRAYS = ("patterns", "states", "tangents")


def cells(quick: bool) -> Iterator[Cell]:
    """Yield the problems that are measured."""
    yield Cell("update", 10_000, 64, 1000, "float32")
    if not quick:
        yield Cell("update", 100_000, 64, 1000, "float32")
        yield Cell("jacobian", 1000, 64, 1000, "float32")
        yield Cell("jvp", 10_000, 64, 1000, "float32")
        yield Cell("retrieve", 100_000, 64, 1000, "float32", "intermediate")


def measure(cell: Cell, threads: int) -> dict[str, Any]:
    """Return the peaks in bytes by competitor, and the sizes of inputs and of the result."""
    p = problem(cell)
    names = [name for name in MAKERS[cell.task] if name not in CONTEXT]
    with tempfile.TemporaryDirectory() as folder:
        for name in _ARRAYS:
            np.save(Path(folder) / f"{name}.npy", getattr(p, name))
        about = {"cell": asdict(cell), "beta": p.beta, "folder": folder, "threads": threads}
        peaks = {name: _in_a_process(about | {"competitor": name}) for name in names}
    size = cell.batch * cell.d * (cell.d if cell.task == "jacobian" else 1)
    return {
        **asdict(cell),
        "inputs": p.patterns.nbytes + p.states.nbytes,
        "result": size * p.patterns.itemsize,
        "peaks": peaks,
    }


def _in_a_process(about: dict[str, Any]) -> int:
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(about)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def _measure_here(about: dict[str, Any]) -> int:
    """Return by how many bytes the peak of this process rises."""
    cell = Cell(**about["cell"])
    folder = Path(about["folder"])
    p = Problem(cell, about["beta"], *(np.load(folder / f"{name}.npy") for name in _ARRAYS))
    small = problem(replace(cell, n=200, d=16, batch=20))
    threads = about["threads"]
    set_threads(threads)
    make = MAKERS[cell.task][about["competitor"]]
    make(small, threads)()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use
    before = _peak()
    make(p, threads)()
    return _peak() - before


def _peak() -> int:
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024


def line(r: dict[str, Any]) -> str:
    """Return one row of the table, in MB."""
    cell = Cell(**{k: r[k] for k in ("task", "n", "d", "batch", "dtype", "regime")})
    peaks = " ".join(f"{name} {size / 1e6:.1f}" for name, size in r["peaks"].items())
    return f"{cell} MB: {peaks}  (result {r['result'] / 1e6:.1f})"


def main() -> None:
    if len(sys.argv) == 2:
        print(_measure_here(json.loads(sys.argv[1])))
        return
    for cell in cells(quick=False):
        print(line(measure(cell, threads=2)), flush=True)


if __name__ == "__main__":
    main()
