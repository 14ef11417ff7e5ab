"""Retrieval on a device: the update, iterated until every query stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hopfix._arrays import as_integer
from hopfix._results import Retrieval
from hopfix._retrieval import as_tolerance
from hopfix.gpu._active import Columns, iterate
from hopfix.gpu._namespace import device_of, length, namespace_of, shaped


def retrieve(
    update: Callable[[Any], Any], states: Any, max_steps: int, tol: float | None
) -> Retrieval:
    """Iterate plain updates of states (B, d), each until it stops.

    The stop rule, the checks of `max_steps` and `tol`, their defaults and what comes back are those
    of `Hopfield.retrieve`. Queries that have stopped are laid aside, see `iterate`.
    """
    xp, most = namespace_of(states), as_integer("max_steps", max_steps, 0)
    tolerance = as_tolerance(tol, states.dtype == xp.float32)

    def advance(columns: Columns, settled: Any, step: int) -> tuple[Columns, Any]:
        current, steps, residual = columns
        following = update(current)
        moved = length(xp, following - current)
        scale = length(xp, current)
        scale = xp.where(scale > 1, scale, xp.ones_like(scale))
        residual = xp.where(settled, residual, moved)
        # ~(>) settles a NaN, which would never stop otherwise.
        settled = settled | ~(moved > tolerance * scale)
        moves = ~settled if step < most else xp.zeros_like(settled)
        current = xp.where(moves[:, None], following, current)
        return (current, steps + xp.astype(moves, xp.int64), residual), settled

    rows, device = int(states.shape[0]), device_of(states)
    start = (
        states,
        xp.zeros((rows,), dtype=xp.int64, device=device),
        xp.zeros((rows,), dtype=states.dtype, device=device),
    )
    found, steps, residual, converged = iterate(xp, start, advance, most + 1)
    return Retrieval(states=found, steps=steps, converged=converged, residual=residual)


def with_leading(found: Retrieval, leading: tuple[int, ...]) -> Retrieval:
    """Return the same retrieval with the leading shape of its queries."""
    return Retrieval(
        states=shaped(found.states, (*leading, int(found.states.shape[-1]))),
        steps=shaped(found.steps, leading),
        converged=shaped(found.converged, leading),
        residual=shaped(found.residual, leading),
    )
