"""Where branches pass a given inverse temperature."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray

if TYPE_CHECKING:
    from hopfix.branches import Branch


def spread(patterns: FloatArray) -> float:
    """The largest distance of a pattern from their mean; 1 where it is 0."""
    # Squares and sums of numbers up to 2 do not overflow; scaling by a power of 2 is exact.
    exponent = math.frexp(float(np.abs(patterns).max()))[1]
    rows = np.ldexp(patterns.astype(np.float64), -exponent)
    centred = rows - rows.mean(axis=0)
    with np.errstate(over="ignore"):
        size = float(np.ldexp(math.sqrt((centred**2).sum(axis=1).max()), exponent))
    return min(size, sys.float_info.max) or 1.0


def cubic_guesses(
    branches: Sequence[Branch], dim: int, beta: float, highest: bool
) -> npt.NDArray[np.float64]:
    """States (K, d) near those of the branches at `beta`, one for each passage of it."""
    if not branches:
        return np.empty((0, dim))
    first, second = [], []
    for branch in branches:
        low, high = (
            np.minimum(branch.beta[:-1], branch.beta[1:]),
            np.maximum(branch.beta[:-1], branch.beta[1:]),
        )
        inside = (low < beta) & (beta <= high) if highest else (low <= beta) & (beta < high)
        at = np.flatnonzero(inside)
        columns = (
            np.log(branch.beta),
            branch.states.astype(np.float64),
            branch._log_beta_slopes,
            branch._state_slopes,
            branch.arclength,
        )
        first.append(tuple(column[at] for column in columns))
        second.append(tuple(column[at + 1] for column in columns))
    s0, x0, ds0, dx0, t0 = (np.concatenate(c) for c in zip(*first, strict=True))
    s1, x1, ds1, dx1, t1 = (np.concatenate(c) for c in zip(*second, strict=True))
    length, target = t1 - t0, math.log(beta)

    def cubic(t: Any, y0: Any, dy0: Any, y1: Any, dy1: Any, size: Any) -> Any:
        return (
            (1 + 2 * t) * (1 - t) ** 2 * y0
            + t * (1 - t) ** 2 * size * dy0
            + t * t * (3 - 2 * t) * y1
            + t * t * (t - 1) * size * dy1
        )

    low, high = np.zeros(len(length)), np.ones(len(length))
    for _ in range(50):  # bisection of log β along the cubics
        middle = (low + high) / 2
        passed = (cubic(middle, s0, ds0, s1, ds1, length) > target) == (s1 > s0)
        low, high = np.where(passed, low, middle), np.where(passed, middle, high)
    t, size = high[:, None], length[:, None]
    guesses: npt.NDArray[np.float64] = cubic(t, x0, dx0, x1, dx1, size)
    return guesses


def distinct(states: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.float64]:
    """The states without those within `tolerance` of another, as branches that meet give them."""
    if len(states) < 2:
        return states
    order = np.argsort(states @ np.cos(np.arange(1, states.shape[1] + 1)), kind="stable")
    sorted_states = states[order]
    gaps = np.linalg.norm(np.diff(sorted_states, axis=0), axis=1)
    return sorted_states[np.concatenate(([True], gaps > tolerance))]
