"""Retrieval on a device: the update, iterated until every query stops."""

from __future__ import annotations

from typing import Any

from hopfix._results import Retrieval
from hopfix.gpu._active import Columns, iterate
from hopfix.gpu._namespace import device_of, length
from hopfix.gpu._store import Store, reduce_all


def retrieve(store: Store, states: Any, max_steps: int, tol: float) -> Retrieval:
    """Iterate plain updates; the stop rule, and what comes back, are those of `Hopfield.retrieve`.

    Queries that have stopped are laid aside, see `iterate`.
    """
    xp = store.xp

    def advance(columns: Columns, settled: Any, step: int) -> tuple[Columns, Any]:
        current, steps, residual = columns
        following = reduce_all(store, current).average
        moved = length(xp, following - current)
        scale = length(xp, current)
        scale = xp.where(scale > 1, scale, xp.ones_like(scale))
        residual = xp.where(settled, residual, moved)
        # ~(>) settles a NaN, which would never stop otherwise.
        settled = settled | ~(moved > tol * scale)
        moves = ~settled if step < max_steps else xp.zeros_like(settled)
        current = xp.where(moves[:, None], following, current)
        return (current, steps + xp.astype(moves, xp.int64), residual), settled

    rows, device = int(states.shape[0]), device_of(states)
    start = (
        states,
        xp.zeros((rows,), dtype=xp.int64, device=device),
        xp.zeros((rows,), dtype=states.dtype, device=device),
    )
    found, steps, residual, converged = iterate(xp, start, advance, max_steps + 1)
    return Retrieval(states=found, steps=steps, converged=converged, residual=residual)
