"""Separation functions beside the `entmax` package and torch: `python bench/bench_separation.py`.

Options: `[--rows 1000] [--length 10000] [--rounds 5] [--threads 2] [--only NAME...]`. The answers
are compared first; then both take turns in one process, see `timing`. Ratios are peer time / hopfix
time, the median over rounds. Needs `pip install hopfix[bench]` and `pip install --no-deps entmax`.

All return results of the dtype given; no gradients are asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import entmax
import numpy as np
import torch
from timing import alternate, set_threads, unset_openblas_overrides

from hopfix import separation

_BUDGET = 40.0  # seconds a cell may wait for a quiet machine

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[Callable[[Array], Array], Callable[[torch.Tensor], torch.Tensor]]


def topk_by_torch(z: torch.Tensor, k: int) -> torch.Tensor:
    """Return softmax over the k largest of each row, zero elsewhere."""
    values, places = torch.topk(z, k, dim=-1)
    return torch.zeros_like(z).scatter_(-1, places, torch.softmax(values, -1))


TASKS: dict[str, Pair] = {
    "softmax": (separation.softmax, lambda z: torch.softmax(z, -1)),
    "sparsemax": (separation.sparsemax, lambda z: entmax.sparsemax(z, -1)),
    "entmax 1.5": (lambda z: separation.entmax(z, 1.5), lambda z: entmax.entmax15(z, -1)),
    "entmax 1.2": (
        lambda z: separation.entmax(z, 1.2),
        lambda z: entmax.entmax_bisect(z, 1.2, -1),
    ),
    "entmax 1.7": (
        lambda z: separation.entmax(z, 1.7),
        lambda z: entmax.entmax_bisect(z, 1.7, -1),
    ),
    "topk 32": (lambda z: separation.topk(z, 32), lambda z: topk_by_torch(z, 32)),
}


def measure(name: str, z: Array, rounds: int) -> str:
    """Return one line of the table."""
    ours, theirs = TASKS[name]
    tensor = torch.from_numpy(z)
    gap = float(np.abs(ours(z) - theirs(tensor).numpy()).max())
    assert gap <= 1e4 * np.finfo(z.dtype).eps, f"{name}: answers differ by {gap}"
    found = alternate(
        {"hopfix": lambda: ours(z), "peer": lambda: theirs(tensor)}, rounds, 0.1, _BUDGET
    )
    seconds = [found.timings[key].median for key in ("hopfix", "peer")]
    return (
        f"{name:<11} {z.dtype!s:<8} {seconds[0] * 1e3:8.1f} ms {seconds[1] * 1e3:9.1f} ms "
        f"{found.ratios['peer']:7.1f}x   others {found.others:.0%}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--length", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    arguments = parser.parse_args()
    unset_openblas_overrides()
    set_threads(arguments.threads)
    print(f"{'':<20} {'hopfix':>11} {'peer':>12} {'ratio':>8}")
    normal = np.random.default_rng(0).normal(size=(arguments.rows, arguments.length))
    for name in arguments.only:
        for dtype in (np.float32, np.float64):
            print(measure(name, normal.astype(dtype), arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
