"""Random features and the Performer beside their peers: `python bench/bench_performer.py`.

Options: `[--rounds 5] [--threads 2] [--output DIRECTORY]`, which writes performer_speed.json and
performer_speed.png. Answers are compared first, then competitors take turns in one process, see
`timing`. Needs `pip install hopfix[bench]`.

* Features φ(z) beside NumPy's exp(z Wᵀ − ‖z‖²/2)/√r, on as many BLAS threads. Floor: 2 d flops and
  an exponential a feature.
* `Performer.update` beside the exact `Hopfield.update` of the same store against the number N of
  patterns: the first costs O(r d) a query, the second O(N d), so they cross near N = r.
* The same at equal error: for patterns of norm 1 in 16 dimensions, the features that a standard
  error of 0.1 needs (`features_needed`), hence the N from which the Performer is faster at that
  error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from timing import alternate, geometric_mean, set_threads, unset_openblas_overrides

from hopfix import Hopfield, get_config
from hopfix._json import plain
from hopfix.performer import Performer, RandomFeatures, features_needed

_BUDGET = 3.0  # seconds a cell may wait for a quiet machine
_BATCH = 1000

Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, Any]


def numpy_features(matrix: Array, z: Array) -> Array:
    exponents = z @ matrix.T - 0.5 * np.square(z).sum(axis=1, keepdims=True)
    return np.exp(exponents) / z.dtype.type(math.sqrt(len(matrix)))


def features(options: argparse.Namespace) -> list[Row]:
    rows = []
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for dim, count in ((16, 256), (64, 256), (64, 1024), (256, 1024)):
            z = (rng.standard_normal((4096, dim)) / math.sqrt(dim)).astype(dtype)
            maps = RandomFeatures(dim, count, seed=0, num_threads=options.threads)
            matrix = maps.matrix.astype(dtype)
            np.testing.assert_allclose(maps.transform(z), numpy_features(matrix, z), rtol=1e-4)
            found = alternate(
                {
                    "hopfix": lambda maps=maps, z=z: maps.transform(z),
                    "numpy": lambda matrix=matrix, z=z: numpy_features(matrix, z),
                },
                options.rounds,
                0.05,
                _BUDGET,
            )
            row = {
                "dtype": np.dtype(dtype).name,
                "d": dim,
                "r": count,
                "ns a feature": 1e9 * found.timings["hopfix"].median / (len(z) * count),
                "numpy / hopfix": found.ratios["numpy"],
            }
            print("features ", shown(row))
            rows.append(row)
    print(f"geometric mean {geometric_mean([row['numpy / hopfix'] for row in rows]):.2f}")
    return rows


def crossing(options: argparse.Namespace) -> list[Row]:
    rows = []
    rng = np.random.default_rng(1)
    for count in (256, 1024):
        maps = RandomFeatures(64, count, seed=0, num_threads=options.threads)
        for size in (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000):
            patterns = rng.standard_normal((size, 64)).astype(np.float32)
            patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
            queries = patterns[rng.integers(size, size=_BATCH)]
            memory = Performer(patterns, 1.0, maps, num_threads=options.threads)
            exact = Hopfield(patterns, 1.0, num_threads=options.threads)
            found = alternate(
                {
                    "performer": lambda memory=memory, q=queries: memory.update(q),
                    "exact": lambda exact=exact, q=queries: exact.update(q),
                },
                options.rounds,
                0.05,
                _BUDGET,
            )
            row = {
                "r": count,
                "N": size,
                "us a query": 1e6 * found.timings["performer"].median / _BATCH,
                "exact / Performer": found.ratios["exact"],
            }
            print("update   ", shown(row))
            rows.append(row)
    return rows


def equal_error(options: argparse.Namespace, cost: float) -> list[Row]:
    """`cost` is what an update of the Performer takes in units of an exact one with N = r."""
    rows = []
    rng = np.random.default_rng(2)
    patterns = rng.standard_normal((1000, 16))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    queries = patterns[:20] + 0.05 * rng.standard_normal((20, 16))
    for beta in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        needed = features_needed(patterns, beta, queries, 0.1)
        row = {"beta": beta, "r for an error of 0.1": needed, "faster from N": needed * cost}
        print("at equal error", shown(row))
        rows.append(row)
    return rows


def crossing_cost(rows: list[Row]) -> float:
    """Return the mean of N / r where both take the same time, from the cells next to it."""
    found = []
    for count in {row["r"] for row in rows}:
        logs = [
            (math.log(row["N"]), math.log(row["exact / Performer"]))
            for row in rows
            if row["r"] == count
        ]
        for (low, below), (high, above) in itertools.pairwise(logs):
            if below < 0 <= above:
                found.append(math.exp(low - below * (high - low) / (above - below)) / count)
                break
    return geometric_mean(found)


def shown(row: Row) -> str:
    return "  ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in row.items()
    )


def draw(crossings: list[Row], equal: list[Row], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for count, colour in ((256, "#4477AA"), (1024, "#EE6677")):
        chosen = [row for row in crossings if row["r"] == count]
        sizes = [row["N"] for row in chosen]
        times = [row["us a query"] for row in chosen]
        exact = [row["us a query"] * row["exact / Performer"] for row in chosen]
        left.loglog(sizes, times, "o-", color=colour, label=f"Performer, r = {count}")
        if count == 256:
            left.loglog(sizes, exact, "k--", label="exact")
    left.set(xlabel="stored patterns N (d = 64, float32)", ylabel="µs a query")
    left.legend()
    betas = [row["beta"] for row in equal]
    right.loglog(betas, [row["faster from N"] for row in equal], "o-", color="black")
    right.set(xlabel="β (norm 1, d = 16)", ylabel="N from which it is faster, error 0.1")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    unset_openblas_overrides()
    set_threads(options.threads)
    maps, crossings = features(options), crossing(options)
    cost = crossing_cost(crossings)
    print(f"an update takes as long as an exact one with N = {cost:.2f} r")
    equal = equal_error(options, cost)
    if options.output is not None:
        document = {
            "config": get_config(),
            "threads": options.threads,
            "features": maps,
            "crossing": crossings,
            "crossing_cost": cost,
            "equal_error": equal,
        }
        text = json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False)
        (options.output / "performer_speed.json").write_text(text + "\n", encoding="utf-8")
        draw(crossings, equal, options.output / "performer_speed.png")


if __name__ == "__main__":
    main()
