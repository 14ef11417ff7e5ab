"""Iterations of many rows, of which fewer and fewer go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hopfix.gpu._namespace import count, device_of

Columns: TypeAlias = tuple[Any, ...]
# advance(columns, settled, step) returns the columns, settled rows unchanged, and which are settled
# now.
Advance: TypeAlias = Callable[[Columns, Any, int], tuple[Columns, Any]]


def iterate(xp: Any, columns: Columns, advance: Advance, limit: int) -> Columns:
    """Advance all rows until every one has settled, at most `limit` times.

    Whenever half of the rows at work have settled they are laid aside, so that the cost follows the
    number of rows that still move; each step reads one number from the device. Rows come back in
    their order, with a last column that says whether each has settled.
    """
    rows = int(columns[0].shape[0])
    device = device_of(columns[0])
    places = xp.arange(rows, device=device)
    settled = xp.zeros((rows,), dtype=xp.bool, device=device)
    aside: list[Columns] = []
    for step in range(limit):
        columns, settled = advance(columns, settled, step)
        moving = count(xp, ~settled)
        if moving == 0:
            break
        if 2 * moving <= rows:
            aside.append(_chosen(xp, (places, *columns, settled), settled))
            places, *rest, settled = _chosen(xp, (places, *columns, settled), ~settled)
            columns, rows = tuple(rest), moving
    aside.append((places, *columns, settled))
    whole = [xp.concat(list(parts)) for parts in zip(*aside, strict=True)]
    order = xp.argsort(whole[0])
    return tuple(xp.take(column, order, axis=0) for column in whole[1:])


def _chosen(xp: Any, columns: Columns, mask: Any) -> Columns:
    (indices,) = xp.nonzero(mask)
    return tuple(xp.take(column, indices, axis=0) for column in columns)
