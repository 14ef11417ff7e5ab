"""Which of many states are the same: without comparing every one with every other on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix.gpu._namespace import device_of, length, to_host
from hopfix.gpu._store import row_blocks

Wide = npt.NDArray[np.float64]


def distinct(xp: Any, states: Any, nearness: float) -> Any:
    """Return the first of all states, (K, r), that lie within `nearness` of each other.

    A state goes if an earlier one that stays is near it. States are sorted along one direction,
    where gaps wider than `nearness` part them into runs; the first of every run stays, those near
    it go, and what is left is sorted again. O(K r + K log K) for each such round, of which there
    are as many as a run has distinct states at most: mostly one or two, K for states that the
    direction does not tell apart.
    """
    weights = np.random.default_rng(0).standard_normal(int(states.shape[1]))
    direction = xp.asarray(weights / np.linalg.norm(weights), device=device_of(states))
    left = xp.arange(states.shape[0], device=device_of(states))
    kept = []
    while int(left.shape[0]):
        rows = xp.take(states, left, axis=0)
        # Twice the distance covers the rounding of places.
        heads = xp.take(left, _heads(xp, rows @ direction, 2 * nearness))
        apart = length(xp, rows - xp.take(states, heads, axis=0))
        kept.append(xp.unique_values(heads))
        left = xp.take(left, xp.nonzero(apart > nearness)[0])
    order = xp.sort(xp.concat(kept)) if kept else left
    return xp.take(states, order, axis=0)


def _heads(xp: Any, places: Any, gap: float) -> Any:
    """The first member, by index, of the run that each of K numbers belongs to, (K,).

    Runs are sorted numbers without a gap between neighbours.
    """
    order = xp.argsort(places)
    ranked = xp.take(places, order)
    begins = xp.astype(ranked[1:] - ranked[:-1] > gap, xp.int64)
    first = xp.zeros((1,), dtype=xp.int64, device=device_of(places))
    runs = xp.cumulative_sum(xp.concat([first, begins]))
    run_of = xp.take(runs, xp.argsort(order))
    by_run = xp.argsort(run_of, stable=True)
    (firsts,) = xp.nonzero(xp.concat([first + 1, begins]))
    return xp.take(xp.take(by_run, firsts), run_of)


def near_pairs(xp: Any, states: Any, reaches: Any) -> npt.NDArray[np.int64]:
    """Return all (i, j), i ≠ j, whose distance may be below `reaches[j]`, on the host, (P, 2).

    Squared distances of states (K, r) are formed from products, block by block, and compared with
    a margin for their rounding: a few more pairs than there are. O(K² r) on the device.
    """
    squares = xp.sum(states * states, axis=-1, keepdims=True)
    size = int(states.shape[0])
    margin = 16 * (int(states.shape[1]) + 8) * 2.0**-53 * xp.max(squares)
    # ‖x_i − x_j‖² − reach_j² < margin as one product: (x_i, 1)·(−2 x_j, …) < −‖x_i‖².
    beyond = squares - (reaches * reaches)[:, None] - margin
    ones = xp.ones_like(squares)
    left, right = xp.concat([states, ones], axis=1), xp.concat([-2 * states, beyond], axis=1)
    pairs = []
    for rows in row_blocks(size, 8 * size):
        i, j = xp.nonzero(left[rows, :] @ right.T < -squares[rows, :])
        found = xp.stack([i + rows.start, j], axis=-1)
        pairs.append(xp.take(found, xp.nonzero(found[:, 0] != found[:, 1])[0], axis=0))
    return to_host(xp.concat(pairs))
