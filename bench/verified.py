"""The exhaustive search beside a general verified solver: `python bench/verified.py`.

The solver is Codac 2, see peers_codac.py. One thread each, process time. Prints a table, and writes
verified.json to the folder `--output` if that is given.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from landscape import unit_patterns

import hopfix

Array = np.ndarray[Any, np.dtype[np.float64]]


def cases() -> Iterator[tuple[str, Array, float]]:
    """Yield name, patterns and beta."""
    yield "orthonormal N=6", np.eye(6), 8.0
    yield "orthonormal N=7", np.eye(7), 9.0
    yield "orthonormal N=8", np.eye(8), 10.0
    yield "random d=4 N=7 seed=2", unit_patterns(4, 7, 2), 20.0


def compared(name: str, patterns: Array, beta: float, limit: float) -> dict[str, Any]:
    """Return the times of both on one network."""
    network = hopfix.Hopfield(patterns, beta, num_threads=1)
    seconds = np.inf
    for _ in range(3):
        began = time.process_time()
        ours = network.fixed_points("cells")
        seconds = min(seconds, time.process_time() - began)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        theirs = process.submit(_by_codac, patterns, beta, limit).result()
    return {
        "case": name,
        "beta": beta,
        "points": len(ours),
        "completeness": ours.completeness,
        "boxes": ours.proof.boxes,
        "seconds": seconds,
        "codac": theirs,
        "ratio": theirs["seconds"] / seconds,
    }


def _by_codac(patterns: Array, beta: float, limit: float) -> dict[str, Any]:
    import peers_codac  # in this process alone

    return peers_codac.solve(patterns, beta, limit)


def main() -> None:
    """Print a table and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each of Codac's")
    parser.add_argument("--output", type=Path, help="folder for verified.json")
    arguments = parser.parse_args()
    results = []
    print(f"{'':24}{'points':>8}{'hopfix':>12}{'codac points':>14}{'codac':>12}{'ratio':>8}")
    for name, patterns, beta in cases():
        row = compared(name, patterns, beta, arguments.limit)
        results.append(row)
        theirs = row["codac"]
        finished = "" if theirs["finished"] else "  (cut short: a lower bound)"
        print(
            f"{name:24}{row['points']:8}{row['seconds']:10.4f} s{theirs['points']:14}"
            f"{theirs['seconds']:10.2f} s{row['ratio']:8.0f}{finished}",
            flush=True,
        )
    if arguments.output is not None:
        machine = f"{platform.machine()}, one thread, Codac {importlib.metadata.version('codac')}"
        content = {"machine": machine, "hopfix": hopfix.__version__, "results": results}
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "verified.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
