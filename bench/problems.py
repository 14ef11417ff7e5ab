"""The problems that competitors solve: sizes, patterns, states and temperatures.

update, jacobian, jvp, spectral_radius: normal patterns and states, beta = 1/sqrt(d), as in
attention.

retrieve: unit patterns whose covariance has the spectrum 1/j of natural data, and states that lie
0.5 away from a pattern each. Three temperatures, by rules:

* metastable: beta = tol^(1/40) / λ, λ the largest eigenvalue of the patterns' covariance. At the
  average of all patterns the Jacobian has the eigenvalue beta λ, so that plain iteration gets there
  in about 40 updates, whatever the dtype; the weights end nearly equal.
* sharp: beta = 2 log N / g, g the median gap between 1 and the largest product of a pattern with
  another: states end on single patterns, in a few updates.
* intermediate: the geometric mean of the two; states end on averages of similar patterns.

With 100,000 patterns, the peers need minutes for 1,000 states where not sharp: there 125 are taken.

mean_shift: Gaussian clusters, from up to 1,000 of the points. Mean shift with the kernel of
bandwidth h is retrieval with beta = 1/h² and log-weights -beta |x|²/2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

TASKS = ("update", "jacobian", "jvp", "retrieve", "mean_shift", "spectral_radius")
DTYPES = ("float32", "float64")
REGIMES = ("metastable", "intermediate", "sharp")
_LARGEST_UPDATE = 6.4e9  # N·d·B; beyond it one call takes most of a second
_METASTABLE_STEPS = 40
_MOST_SLOW = 1.25e7  # N·B of retrievals that are not sharp
_BANDWIDTH = 1.0  # of mean shift: the standard deviation of a cluster


@dataclass(frozen=True)
class Cell:
    """One problem: N patterns of dimension d and B states; `regime` is of retrieve alone."""

    task: str
    n: int
    d: int
    batch: int
    dtype: str
    regime: str = ""

    def __str__(self) -> str:
        sizes = f"{self.task:<10} {self.dtype} N={self.n:<6} d={self.d:<3} B={self.batch:<4}"
        return f"{sizes} {self.regime:<12}" if self.regime else sizes

    @property
    def tolerance(self) -> float:
        """hopfix's default tolerance of retrieval, which every competitor uses."""
        return 1e-6 if self.dtype == "float32" else 1e-12


@dataclass(frozen=True)
class Problem:
    """The arrays of a cell and its temperature, the same for every competitor."""

    cell: Cell
    beta: float
    patterns: Array
    states: Array
    tangents: Array

    @property
    def rounding(self) -> float:
        """How far two correct answers may lie apart, relative to the largest entry.

        A logit is wrong by about sqrt(d) roundings of its largest terms, a weight by as much
        relatively, and sums over N by sqrt(N) roundings; the factor 8 covers all of a batch.
        """
        size = np.abs(self.patterns).max() * np.abs(self.states).max()
        logits = self.beta * float(size) * math.sqrt(self.cell.d)
        terms = logits * math.sqrt(self.cell.d) + math.sqrt(self.cell.n) + 8
        return 8 * float(np.finfo(self.cell.dtype).eps) * terms


def problem(cell: Cell) -> Problem:
    """Make the arrays of a cell, always the same ones."""
    rng = np.random.default_rng([cell.n, cell.d, cell.batch])
    if cell.task == "mean_shift":
        patterns = _clusters(rng, cell.n, cell.d)
        states, beta = patterns[: cell.batch].copy(), _BANDWIDTH**-2
    elif cell.task == "retrieve":
        patterns = _natural(rng, cell.n, cell.d)
        noise = rng.normal(size=(cell.batch, cell.d))
        noise *= 0.5 / np.linalg.norm(noise, axis=1, keepdims=True)
        states = patterns[rng.integers(cell.n, size=cell.batch)] + noise
        beta = _temperature(cell, patterns)
    else:
        patterns = rng.normal(size=(cell.n, cell.d))
        states, beta = rng.normal(size=(cell.batch, cell.d)), 1 / math.sqrt(cell.d)
    tangents = rng.normal(size=(cell.batch, cell.d))
    return Problem(cell, beta, *(x.astype(cell.dtype) for x in (patterns, states, tangents)))


def _natural(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return n unit patterns with variances in the proportions 1, 1/2, 1/3, ..."""
    patterns = rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    return patterns


def _clusters(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return n points of eight Gaussian clusters of deviation 1."""
    centres = 4 * rng.normal(size=(8, d))
    points: Array = centres[rng.integers(8, size=n)] + rng.normal(size=(n, d))
    return points


def _temperature(cell: Cell, patterns: Array) -> float:
    covariance = np.cov(patterns, rowvar=False, bias=True)
    metastable = cell.tolerance ** (1 / _METASTABLE_STEPS) / np.linalg.eigvalsh(covariance)[-1]
    products = patterns[:64] @ patterns.T
    products[np.arange(64), np.arange(64)] = -1
    sharp = 2 * math.log(cell.n) / float(np.median(1 - products.max(axis=1)))
    middle = math.sqrt(metastable * sharp)
    return float(dict(zip(REGIMES, (metastable, middle, sharp), strict=True))[cell.regime])


def cells(tasks: Sequence[str], quick: bool) -> Iterator[Cell]:
    """Yield the problems of some tasks, small ones first."""
    grids = {
        "update": _update_cells,
        "jacobian": _jacobian_cells,
        "jvp": _jvp_cells,
        "retrieve": _retrieve_cells,
        "mean_shift": _mean_shift_cells,
        "spectral_radius": _spectral_radius_cells,
    }
    for task in tasks:
        for dtype in DTYPES:
            yield from grids[task](dtype, quick)


def _update_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    ns, ds, batches = (100, 1000, 10_000, 100_000), (16, 64, 128, 512), (1, 32, 1000)
    if quick:
        ns, ds, batches = (100, 10_000), (64,), (1, 1000)
    for n in ns:
        for d in ds:
            for batch in batches:
                if n * d * batch <= _LARGEST_UPDATE:
                    yield Cell("update", n, d, batch, dtype)


def _jacobian_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    sizes = [(1000, 64, 100), (100, 16, 1000), (200, 128, 100), (10_000, 64, 10), (1000, 64, 1)]
    for n, d, batch in sizes[: 1 if quick else None]:
        yield Cell("jacobian", n, d, batch, dtype)


def _jvp_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    sizes = [(1000, 64, 100), (10_000, 64, 1000), (1000, 512, 32), (10_000, 128, 1)]
    for n, d, batch in sizes[: 1 if quick else None]:
        yield Cell("jvp", n, d, batch, dtype)


def _retrieve_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    for n in (1000,) if quick else (1000, 10_000, 100_000):
        for d in (64,) if quick else (64, 512):
            for regime in REGIMES:
                batch = 100 if quick else 1000
                if regime != "sharp":
                    batch = min(batch, int(_MOST_SLOW / n))
                yield Cell("retrieve", n, d, batch, dtype, regime)


def _mean_shift_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    for n, d in [(300, 2)] if quick else [(2000, 2), (10_000, 8)]:
        yield Cell("mean_shift", n, d, min(n, 1000), dtype)


def _spectral_radius_cells(dtype: str, quick: bool) -> Iterator[Cell]:
    sizes = [(1000, 64, 10), (2000, 512, 4), (2000, 1000, 2)]
    for n, d, batch in sizes[: 1 if quick else None]:
        yield Cell("spectral_radius", n, d, batch, dtype)
