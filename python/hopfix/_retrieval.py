"""Retrieval: when a query stops, and what iterates updates until then."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray, as_nonnegative, row_norms
from hopfix._executor import MOST_PARTS, map_in_order
from hopfix._progress import Progress
from hopfix._results import Retrieval

if TYPE_CHECKING:
    from hopfix.network import Hopfield

# Of a retrieval: states (count, d), steps, converged, residual (count,).
Columns: TypeAlias = tuple[npt.NDArray[Any], ...]


def as_tolerance(tol: object, single: bool) -> float:
    """Return the `tol` of a retrieval, by default that of float32 (`single`) or float64."""
    if tol is None:
        return 1e-6 if single else 1e-12
    return as_nonnegative("tol", tol)


def retrieve(
    network: Hopfield, flat: FloatArray, steps: int, tol: float, executor: Executor | None
) -> Columns:
    """Retrieve states (count, d) by the core, in parts where there is an executor."""
    if executor is None:
        return _columns(network, flat, steps, tol)
    size = -(-len(flat) // MOST_PARTS)
    firsts = range(0, len(flat), size)
    tasks = [(network, flat[first : first + size], steps, tol) for first in firsts]
    parts = map_in_order(executor, _columns, tasks)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _columns(network: Hopfield, flat: FloatArray, steps: int, tol: float) -> Columns:
    """Wherever this runs."""
    columns: Columns = network._core.retrieve(flat, steps, tol, network._threads)
    return columns


def residuals_of(network: Hopfield, states: FloatArray) -> npt.NDArray[np.float64]:
    """Return ‖f(ξ) − ξ‖₂ of states (count, d), in double precision."""
    if not len(states):
        return np.empty(0)
    wide = states.astype(np.float64, copy=False)
    moved = network._core64.update(wide, network._threads)
    return row_norms(moved - wide).astype(np.float64, copy=False)


def iterate(
    update: Callable[[FloatArray], FloatArray],
    states: FloatArray,
    following: FloatArray,
    max_steps: int,
    tol: float,
    progress: Progress | None = None,
) -> tuple[Columns, FloatArray]:
    """Iterate plain updates of states (count, d), of which `following` are the first.

    Only queries that still move are updated; progress(queries stopped, queries) after each update.
    Returns the columns, and the updates of the states.
    """
    current, following = states.copy(), following.copy()
    count = len(current)
    steps = np.zeros(count, np.int64)
    residual = row_norms(following - current)

    def allowed() -> FloatArray:
        with np.errstate(over="ignore"):
            return np.asarray(tol * np.maximum(1, row_norms(current)))

    for step in range(max_steps + 1):
        (moving,) = np.nonzero(residual > allowed())
        if progress is not None:
            progress(count - len(moving), count)
        if step == max_steps or not len(moving):
            break
        current[moving] = following[moving]
        following[moving] = update(current[moving])
        residual[moving] = row_norms(following[moving] - current[moving])
        steps[moving] += 1
    return (current, steps, residual <= allowed(), residual), following


def retrieval_of(columns: Columns, leading: tuple[int, ...]) -> Retrieval:
    """Return the result of queries of this leading shape."""
    states, steps, converged, residual = columns
    return Retrieval(
        states=states.reshape((*leading, -1)),
        steps=steps.reshape(leading),
        converged=converged.astype(bool).reshape(leading),
        residual=residual.reshape(leading),
    )
