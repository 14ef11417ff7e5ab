"""Newton's method for fixed points of every Morse index, from many starts at once, on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hopfix.gpu._active import Columns, iterate
from hopfix.gpu._derivatives import jacobian
from hopfix.gpu._namespace import count, length
from hopfix.gpu._store import Store, reduce_all, row_blocks

_MOST_STEPS = 100
_MOST_HALVINGS = 12
# What makes a point: ‖f(ξ) − ξ‖ relative to the largest pattern.
_POINT = 1e-10
_FLOOR = 1e-15
# Eigenvalues of I − J are kept this far from zero, so that steps at folds stay finite.
_LEAST_SLOPE = 1e-8


@dataclass(frozen=True)
class Hull:
    """Coordinates u of the affine hull of the patterns: ξ = origin + u·axes.

    `store` holds the patterns' coordinates; with the projection of 0 for its origin the update is
    of the same form there (all logits shift by the same).
    """

    store: Store
    origin: Any
    axes: Any

    def coordinates(self, states: Any) -> Any:
        """(B, r) of states (B, d) in the hull."""
        return (states - self.origin) @ self.axes.T

    def states(self, coordinates: Any) -> Any:
        """(B, d) of coordinates (B, r)."""
        return self.origin + coordinates @ self.axes


def hull_of(store: Store) -> Hull:
    """Return the affine hull of a float64 store; reads its dimension r from the device.

    Directions of less than 1e-12 of the largest singular value are rounding. r ≥ 1: a single
    pattern keeps one arbitrary axis.
    """
    xp = store.xp
    mean = xp.mean(store.patterns, axis=0)
    _, values, axes = xp.linalg.svd(store.patterns - mean, full_matrices=False)
    rank = max(1, count(xp, values > 1e-12 * values[0]))
    axes = axes[:rank, :]
    origin = mean - (axes @ mean) @ axes
    inside = replace(store, patterns=(store.patterns - origin) @ axes.T)
    return Hull(inside, origin, axes)


def newton(store: Store, starts: Any) -> tuple[Any, Any]:
    """Return states (K, r) and residuals (K,) that Newton's method ends at; those that fail go.

    Steps solve (I − J) δ = f − ξ through the eigensystem of J and are halved until the residual
    falls, each row by itself; a row ends when no step lowers its residual, after 100 steps, or at
    rounding. O(N r² + r³) a step and row.
    """
    xp = store.xp
    scale = float(xp.max(length(xp, store.patterns))) or 1.0
    kept: list[Columns] = []
    for rows in row_blocks(int(starts.shape[0]), store.dim * max(store.dim, 64)):
        block = starts[rows, :]
        begin = (block, _residual(store, block))
        states, residual, _ = iterate(xp, begin, _Step(store, scale), _MOST_STEPS)
        (found,) = xp.nonzero(residual <= _POINT * scale)
        kept.append((xp.take(states, found, axis=0), xp.take(residual, found, axis=0)))
    states, residuals = (xp.concat(list(parts)) for parts in zip(*kept, strict=True))
    return states, residuals


@dataclass(frozen=True)
class _Step:
    """One damped step of every row that has not settled; columns are states and residuals."""

    store: Store
    scale: float

    def __call__(self, columns: Columns, settled: Any, step: int) -> tuple[Columns, Any]:
        xp = self.store.xp
        states, residual = columns
        direction = self._direction(states)
        waiting = ~settled
        for halving in range(_MOST_HALVINGS):
            trial = states + 0.5**halving * direction
            reached = _residual(self.store, trial)
            lower = waiting & (reached < residual)
            states = xp.where(lower[:, None], trial, states)
            residual = xp.where(lower, reached, residual)
            waiting = waiting & ~lower
            if not bool(xp.any(waiting)):
                break
        return (states, residual), settled | waiting | (residual <= _FLOOR * self.scale)

    def _direction(self, states: Any) -> Any:
        xp = self.store.xp
        values, vectors = xp.linalg.eigh(jacobian(self.store, states))
        slopes = 1 - values
        one = xp.ones_like(slopes)
        least = _LEAST_SLOPE * xp.where(slopes < 0, -one, one)
        slopes = xp.where(xp.abs(slopes) < _LEAST_SLOPE, least, slopes)
        moved = reduce_all(self.store, states).average - states
        parts = (xp.matrix_transpose(vectors) @ moved[:, :, None]) / slopes[:, :, None]
        return (vectors @ parts)[:, :, 0]


def _residual(store: Store, states: Any) -> Any:
    return length(store.xp, reduce_all(store, states).average - states)
