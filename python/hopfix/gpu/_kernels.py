"""The fused CUDA kernels of the update, called on CuPy arrays.

The source is `kernels/retrieval.cu`, compiled by CuPy's NVRTC at the first call for the device in
use. Not yet run on a GPU: the tests compile that source for sm_80 and sm_90, and run it, with the
calls made here, on the CPU through an emulation of CUDA's threads.

Arrays are CuPy arrays of the current device, float32 or float64, all of one dtype, and contiguous
(others are copied): patterns (N, d), states (B, d), log_weights (N,) or None for 0, values (N, v)
or None for the patterns. Entries are not looked at: a log-weight of −inf excludes its pattern, NaN
goes where it goes in the formulas, and a state that no pattern has a weight for is updated to 0.

Results are bitwise the same from run to run, and for a state alone or in any batch: the order of
every sum is fixed by N and d.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

THREADS = 256  # of a block; with TILE as in the source
TILE = 64  # queries of a block, patterns of a tile, columns of a chunk of values
MOST_GRID = 65535  # blocks along the second and third axis of a grid
PART_TILES = 4  # tiles of a part, at least: a part costs each query v + 2 numbers of traffic
MOST_PARTS = 128  # as many as blocks that fill a device with one block of queries
SCRATCH = 2**26  # numbers that the parts of a launch may take


class Sums(NamedTuple):
    """Σ_i exp(z_i) (1, v_i) of logits z_i = β x_i·ξ + b_i, relative to the largest of them.

    The update is `weighted / total`, log Σ exp z_i is `maximum + log(total)`.
    """

    maximum: Any  # (B,) max z_i; −inf for no pattern
    total: Any  # (B,) Σ exp(z_i − max)
    weighted: Any  # (B, v) Σ exp(z_i − max) v_i


class Retrieved(NamedTuple):
    """What `retrieve` returns: states (B, d), steps, converged, residual (B,)."""

    states: Any
    steps: Any
    converged: Any
    residual: Any


@dataclass(frozen=True)
class TileLaunch:
    """How the tile kernel covers (queries, patterns, columns of values)."""

    kernel: str
    grid: tuple[int, int, int]  # blocks of queries, parts of the patterns, slabs of columns
    queries: int  # of a launch; further launches do the rest

    @property
    def parts(self) -> int:
        """Parts that the patterns are divided in."""
        return self.grid[1]


def tile_launch(
    queries: int, patterns: int, value_dim: int, dtype: npt.DTypeLike, parts: int | None = None
) -> TileLaunch:
    """The launch for these sizes.

    A slab is of 64 columns where that is enough, else of 256, whose chunks of 64 beyond the last
    column are passed over; beyond 256 columns further slabs compute the logits again. The number of
    parts depends on N alone unless given: about one per 256 patterns, at most 128. Shared memory is
    static: 32 KiB for float32, 48 for float64.
    """
    chunks = 1 if value_dim <= TILE else 4
    slabs = -(-value_dim // (chunks * TILE))
    tiles = -(-patterns // TILE)
    if slabs > MOST_GRID:
        most = MOST_GRID * chunks * TILE
        raise ValueError(f"values: got {value_dim} columns, need at most {most}")
    if parts is None:
        parts = min(max(1, tiles // PART_TILES), MOST_PARTS)
    elif not 1 <= parts <= min(tiles, MOST_GRID):
        raise ValueError(f"parts: got {parts}, need 1 to {min(tiles, MOST_GRID)}")
    most = max(1, SCRATCH // (parts * value_dim * TILE)) * TILE
    here = min(queries, most)
    name = f"hopfix_tile_sums_{np.dtype(dtype).name}_{chunks * TILE}"
    return TileLaunch(name, (-(-here // TILE), parts, slabs), here)


def tile_sums(
    patterns: Any,
    states: Any,
    beta: float,
    log_weights: Any = None,
    values: Any = None,
    *,
    start: Sums | None = None,
    rows: Any = None,
    parts: int | None = None,
) -> Sums:
    """The sums over a tile of patterns, added to those of the tiles before it.

    Args:
        patterns: (N, d), any number of them: the kernel has its own tiles.
        states: (B, d).
        beta: inverse temperature.
        log_weights: (N,) or None.
        values: (N, v) or None.
        start: the sums to go on from, not changed; None for those of no pattern.
        rows: (B',) int64, rows of `states` to do, in place of all; `start` then has B' rows.
        parts: parts the patterns are divided in, whose sums are merged in their order; the order of
            sums depends on it. Default by N.

    Raises:
        ImportError: naming hopfix[cuda12], without CuPy.
        TypeError, ValueError: naming the argument, for another kind of array, dtype or shape.

    Cost: 2NB(d + v) flops for v <= 256 (beyond it the logits are computed once per 256 columns),
    and O(parts B v) memory, at most 2^26 numbers.
    """
    problem = _Problem(patterns, states, beta, log_weights, values, rows)
    return problem.sums(start, parts, divide=False)


def update(
    patterns: Any,
    states: Any,
    beta: float,
    log_weights: Any = None,
    values: Any = None,
    *,
    rows: Any = None,
    parts: int | None = None,
) -> Any:
    """f(ξ) = Σ p_i v_i, p = softmax(β x_i·ξ + b_i): (B, v). Arguments and errors: `tile_sums`."""
    problem = _Problem(patterns, states, beta, log_weights, values, rows)
    return problem.sums(None, parts, divide=True).weighted


def retrieve(
    patterns: Any,
    states: Any,
    beta: float,
    log_weights: Any = None,
    *,
    max_steps: int,
    tol: float,
) -> Retrieved:
    """Iterate the update until ‖f(ξ) − ξ‖₂ <= tol·max(1, ‖ξ‖₂), every query by itself.

    A query stops there or after `max_steps` updates; `residual` and `converged` are those of the
    state returned. Which queries go on is decided on the device, and only these are updated;
    their number comes to the host once a step. Plain updates, max_steps + 1 at most.
    """
    cp = _cupy()
    result = Retrieved(
        states=cp.array(states, order="C", copy=True),
        steps=cp.zeros(len(states), dtype=np.int64),
        converged=cp.zeros(len(states), dtype=np.bool_),
        residual=cp.zeros(len(states), dtype=states.dtype),
    )
    rows = cp.arange(len(states), dtype=np.int64)
    while len(rows):
        updates = update(patterns, result.states, beta, log_weights, rows=rows)
        going = cp.empty(len(rows), dtype=np.bool_)
        _launch(
            f"hopfix_step_{states.dtype.name}",
            (len(rows), 1, 1),
            updates,
            rows,
            np.int32(states.shape[1]),
            np.float64(tol),
            np.int64(max_steps),
            result.states,
            result.steps,
            result.residual,
            result.converged,
            going,
        )
        rows = rows[going]
    return result


class _Problem:
    """The checked arguments of the tile kernel."""

    def __init__(
        self, patterns: Any, states: Any, beta: float, log_weights: Any, values: Any, rows: Any
    ) -> None:
        self.cp = _cupy()
        self.dtype = np.dtype(getattr(patterns, "dtype", object))
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"patterns: got dtype {self.dtype}, need float32 or float64")
        self.patterns = self._array("patterns", patterns, (None, None))
        n, dim = self.patterns.shape
        self.states = self._array("states", states, (None, dim))
        self.values = self.patterns if values is None else self._array("values", values, (n, None))
        self.log_weights = _given(log_weights, lambda b: self._array("log_weights", b, (n,)))
        self.rows = _given(rows, lambda r: self._array("rows", r, (None,), np.dtype(np.int64)))
        self.beta = self.dtype.type(beta)
        self.count = len(self.states if rows is None else self.rows)

    def _array(
        self, name: str, array: Any, shape: tuple[int | None, ...], dtype: Any = None
    ) -> Any:
        """`array` as contiguous rows on the device."""
        if not isinstance(array, self.cp.ndarray):
            raise TypeError(f"{name}: got {type(array).__name__}, need a CuPy array")
        if array.dtype != (dtype or self.dtype):
            raise TypeError(f"{name}: got dtype {array.dtype}, need {dtype or self.dtype}")
        if array.ndim != len(shape) or any(
            size < 1 if need is None else size != need
            for size, need in zip(array.shape, shape, strict=True)
        ):
            needed = ", ".join("any" if need is None else str(need) for need in shape)
            raise ValueError(f"{name}: got shape {array.shape}, need ({needed})")
        return self.cp.ascontiguousarray(array)

    def _empty(self, *shape: int) -> Any:
        return self.cp.empty(shape, dtype=self.dtype)

    def sums(self, start: Sums | None, parts: int | None, *, divide: bool) -> Sums:
        """All queries' sums, in as many launches as bounded memory needs."""
        n, width = self.values.shape
        launch = tile_launch(self.count, n, width, self.dtype, parts)
        if start is not None:
            start = Sums(
                self._array("start.maximum", start.maximum, (self.count,)),
                self._array("start.total", start.total, (self.count,)),
                self._array("start.weighted", start.weighted, (self.count, width)),
            )
        out = Sums(self._empty(self.count), self._empty(self.count), self._empty(self.count, width))
        for first in range(0, self.count, launch.queries):
            part = slice(first, min(first + launch.queries, self.count))
            before = None if start is None else Sums(*(array[part] for array in start))
            self._launch(launch, part, before, Sums(*(array[part] for array in out)), divide)
        return out

    def _launch(
        self, launch: TileLaunch, part: slice, start: Sums | None, out: Sums, divide: bool
    ) -> None:
        queries = part.stop - part.start
        n, width = self.values.shape
        partial = Sums(
            self._empty(launch.parts, queries),
            self._empty(launch.parts, queries),
            self._empty(launch.parts, queries, width),
        )
        _launch(
            launch.kernel,
            (-(-queries // TILE), *launch.grid[1:]),
            self.patterns,
            self.values,
            _pointer(self.log_weights),
            self.states if self.rows is not None else self.states[part],
            _pointer(None if self.rows is None else self.rows[part]),
            *(map(_pointer, start) if start is not None else (_pointer(None),) * 3),
            np.int64(n),
            np.int64(queries),
            np.int32(self.states.shape[1]),
            np.int32(width),
            self.beta,
            *partial,
        )
        _launch(
            f"hopfix_merge_{self.dtype.name}",
            (queries, 1, 1),
            *partial,
            np.int32(launch.parts),
            np.int64(queries),
            np.int32(width),
            np.int32(divide),
            *out,
        )


def _given(value: Any, convert: Any) -> Any:
    return None if value is None else convert(value)


def _pointer(array: Any) -> Any:
    """An argument that may be null: CuPy passes None as a pointer that is not (its issue 9046)."""
    return np.uintp(0) if array is None else array


def _launch(kernel: str, grid: tuple[int, int, int], *arguments: Any) -> None:
    _kernel(_cupy(), kernel)(grid, (THREADS, 1, 1), arguments)


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(
            "hopfix.gpu needs CuPy: install hopfix[cuda12], or hopfix[cuda13] for CUDA 13"
        ) from error


@lru_cache
def _kernel(cp: Any, name: str) -> Any:
    """The kernel of this name; CuPy compiles the source once per device, and keeps it on disk."""
    return cp.RawModule(code=_source(), options=("--std=c++17",)).get_function(name)


@lru_cache
def _source() -> str:
    return files("hopfix").joinpath("gpu", "kernels", "retrieval.cu").read_text("utf-8")
