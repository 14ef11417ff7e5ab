"""How many fixed points the search finds, and how fast: `python bench/landscape.py`.

Networks searched by `Hopfield.fixed_points`, exhaustively ("cells") and from starts. Beside two of
them: what 2,000 random starts give with SciPy's `root(method="hybr")` and with a Newton iteration
in batches of NumPy. Prints a table and writes landscape.json to `--output` (default bench/results).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import root
from timing import set_threads, unset_openblas_overrides

import hopfix
from hopfix.datasets import digits

Array = np.ndarray[Any, np.dtype[np.float64]]

STARTS = 2000
_WITHOUT_SYMMETRY = "cells, symmetry=False"
# d, N, seed, beta, points by an independent exhaustive search (None: not known)
_RANDOM = [
    (64, 12, 3, 12.0, 331),
    (64, 14, 3, 12.0, 443),
    (64, 16, 3, 12.0, None),
    (24, 24, 3, 8.0, None),
    (20, 20, 3, 8.0, 57),
    (10, 16, 3, 10.0, 75),
    (6, 12, 1, 10.0, 33),
    (4, 10, 4, 20.0, 29),
    (4, 10, 4, 50.0, 43),
    (3, 6, 1, 200.0, 15),
    (4, 20, 3, 20.0, 51),
    (6, 30, 3, 10.0, None),
]
# Many patterns in few dimensions: no list of starts covers them in reasonable time.
_MANY = [
    (2, 100, 3, 50.0, 17),
    (2, 1000, 3, 50.0, None),
    (3, 50, 3, 30.0, 65),
    (3, 500, 3, 30.0, None),
]
_DIGITS = {4: 1, 6: 27, 8: 51, 10: 81, 15: 119, 20: 179, 30: 283, 50: 455}


@dataclass(frozen=True)
class Case:
    """A network and the number of its fixed points, if known."""

    name: str
    patterns: Array
    beta: float
    known: int | None
    methods: tuple[str, ...] = ("cells", "starts")
    log_weights: Array | None = None


def unit_patterns(d: int, n: int, seed: int) -> Array:
    """Return n random unit patterns of dimension d, (n, d)."""
    columns = np.random.default_rng(seed).normal(size=(d, n))
    return np.ascontiguousarray((columns / np.linalg.norm(columns, axis=0)).T)


def density(n: int, bandwidth: float) -> Case:
    """Return the kernel density estimate of n points around six centres of the plane.

    The fixed points of mean shift are its modes, saddles and minima.
    """
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(6, 2))
    points = centres[rng.integers(6, size=n)] + rng.normal(size=(n, 2))
    beta = bandwidth**-2
    log_weights = -beta / 2 * (points**2).sum(axis=1)
    name = f"density estimate d=2 N={n}"
    return Case(name, points, beta, None, ("cells",), log_weights)


def cases() -> Iterator[Case]:
    """Yield every case."""
    every = ("cells", _WITHOUT_SYMMETRY, "starts")
    yield Case("orthonormal N=8", np.eye(8), 10.0, 255, every)
    yield Case("orthonormal N=10", np.eye(10), 11.0, 1023, every)
    yield Case("orthonormal N=12", np.eye(12), 13.0, 4095, every)
    yield Case("orthonormal N=16", np.eye(16), 20.0, 65535, ("cells", "closed_form"))
    for d, n, seed, beta, known in _RANDOM:
        yield Case(f"random d={d} N={n} seed={seed}", unit_patterns(d, n, seed), beta, known)
    for d, n, seed, beta, known in _MANY:
        patterns = unit_patterns(d, n, seed)
        yield Case(f"random d={d} N={n} seed={seed}", patterns, beta, known, ("cells",))
    yield density(1000, 0.5)
    yield density(5000, 0.5)
    patterns = digits().patterns
    for beta, known in _DIGITS.items():
        yield Case("digits", patterns, float(beta), known)


def beside() -> list[Case]:
    """Return the cases that are also searched by hand."""
    names = ("orthonormal N=8", "random d=10 N=16 seed=3")
    return [case for case in cases() if case.name in names]


def search(case: Case, method: str, threads: int) -> dict[str, Any]:
    """Run one search, a short one three times, and keep the best time."""
    name, *without = method.split(", ")
    network = hopfix.Hopfield(
        case.patterns, case.beta, log_weights=case.log_weights, num_threads=threads
    )
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 2:
        start = time.perf_counter()
        found = network.fixed_points(name, symmetry=not without)
        seconds.append(time.perf_counter() - start)
    return {
        "name": case.name,
        "n": len(case.patterns),
        "d": case.patterns.shape[1],
        "beta": case.beta,
        "method": method,
        "known": case.known,
        "found": len(found),
        "certified": int(found.certified.sum()),
        "degree_sum": found.degree_sum,
        "completeness": found.completeness,
        "form": None if found.proof is None else found.proof.form,
        "boxes": None if found.proof is None else found.proof.boxes,
        "newton_steps": None if found.proof is None else found.proof.newton_steps,
        "seconds": min(seconds),
    }


# --- the same search by hand ---------------------------------------------------------------------


def random_starts(patterns: Array, count: int) -> Array:
    """Return states in the convex hull, of Dirichlet weights from concentrated to even."""
    rng = np.random.default_rng(0)
    concentration = 10.0 ** rng.uniform(-1.5, 1, size=(count, 1))
    weights = rng.gamma(np.broadcast_to(concentration, (count, len(patterns)))) + 1e-300
    return weights / weights.sum(axis=1, keepdims=True) @ patterns


def residual_and_slope(patterns: Array, beta: float, states: Array) -> tuple[Array, Array]:
    """Return f(x) - x, (B, d), and its derivative J - 1, (B, d, d)."""
    z = beta * states @ patterns.T
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    mean = p @ patterns
    moments = (p[:, None, :] * patterns.T) @ patterns
    slope = beta * (moments - mean[:, :, None] * mean[:, None, :])
    return mean - states, slope - np.eye(states.shape[1])


def scipy_points(patterns: Array, beta: float, starts: Array) -> Array:
    """Return what `scipy.optimize.root` reaches from each start, with the exact derivative."""

    def equations(x: Array) -> tuple[Array, Array]:
        residual, slope = residual_and_slope(patterns, beta, x[None])
        return residual[0], slope[0]

    return np.stack([root(equations, x, jac=True, method="hybr", tol=1e-13).x for x in starts])


def numpy_points(patterns: Array, beta: float, starts: Array) -> Array:
    """Return what up to 50 Newton steps on all starts at once reach."""
    x = starts.copy()
    for _ in range(50):
        residual, slope = residual_and_slope(patterns, beta, x)
        if np.abs(residual).max() < 1e-12:
            break
        x -= np.linalg.solve(slope, residual[:, :, None])[:, :, 0]
        np.clip(x, -10, 10, out=x)
    return x


def distinct(patterns: Array, beta: float, states: Array) -> int:
    """Count fixed points among the states: residual below 1e-10, 1e-6 apart."""
    states = states[np.isfinite(states).all(axis=1)]
    residual, _ = residual_and_slope(patterns, beta, states)
    kept = states[np.linalg.norm(residual, axis=1) < 1e-10]
    points: list[Array] = []
    for x in kept:
        if not points or np.linalg.norm(np.array(points) - x, axis=1).min() > 1e-6:
            points.append(x)
    return len(points)


def by_hand(case: Case, solver: Callable[[Array, float, Array], Array]) -> dict[str, Any]:
    """Time the solver from STARTS random starts and count the points it finds."""
    starts = random_starts(case.patterns, STARTS)
    start = time.perf_counter()
    states = solver(case.patterns, case.beta, starts)
    seconds = time.perf_counter() - start
    found = distinct(case.patterns, case.beta, states)
    return {
        "name": case.name,
        "beta": case.beta,
        "solver": solver.__name__,
        "starts": STARTS,
        "found": found,
        "known": case.known,
        "seconds": seconds,
    }


def main() -> None:
    unset_openblas_overrides()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    set_threads(options.threads)
    print(f"{'network':<24} {'beta':>5} {'method':<21} {'found':>6} / known completeness seconds")
    rows = []
    for case in cases():
        for method in case.methods:
            row = search(case, method, options.threads)
            rows.append(row)
            print(
                f"{row['name']:<24} {row['beta']:5g} {method:<21} {row['found']:6} / "
                f"{row['known'] or '?':<5} {row['completeness']:<12} {row['seconds']:9.4f}",
                flush=True,
            )
    hand = [by_hand(case, solver) for case in beside() for solver in (scipy_points, numpy_points)]
    for row in hand:
        print(
            f"{row['name']}, {row['solver']} from {row['starts']} starts: {row['found']} of "
            f"{row['known']} in {row['seconds']:.3f} s"
        )
    options.output.mkdir(parents=True, exist_ok=True)
    record = {"threads": options.threads, "rows": rows, "by_hand": hand}
    (options.output / "landscape.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
