"""Weights of maximum entropy that balance points around the origin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

_RANK = 1e-10  # singular values below this times the largest count as zero
_BALANCED = 1e-13  # |sum p x| at most this times the largest |x|
_POSITIVE = 1e-8  # smaller weights may be zero
_MOST_STEPS = 200


class Hull(Enum):
    """Where the origin is, with respect to the convex hull."""

    INSIDE = "in the relative interior"
    OUTSIDE = "outside"
    OPEN = "on the boundary, or too near to it to decide"


@dataclass(frozen=True, slots=True)
class MaxEntropy:
    position: Hull
    weights: _Array | None  # if inside
    dimension: int  # of the points' span
    dual: _Array | None = None  # if inside: eta in their span with p = softmax(x . eta + b)


def max_entropy_weights(points: _Array, log_weights: _Array | None = None) -> MaxEntropy:
    """Return the p > 0, sum p = 1, sum p x = 0 of maximum entropy, where the origin allows it.

    p = softmax(x . eta + b), b the log-weights, for the eta that minimises log sum exp of that, by
    damped Newton steps in the span of the points, O(n r^2) each. The minimum exists exactly if the
    origin is in the relative interior of the hull; a value below min b shows all x . eta < 0, so
    the origin is outside.
    """
    b = np.zeros(len(points)) if log_weights is None else log_weights - log_weights.min()
    size = float(np.abs(points).max())
    if size == 0:
        return MaxEntropy(Hull.INSIDE, _log_sum_exp(b)[1], 0, np.zeros(points.shape[1]))
    u, s, v = np.linalg.svd(points / size, full_matrices=False)
    rank = int((s > _RANK * s[0]).sum())
    x = u[:, :rank] * s[:rank]
    eta = np.zeros(rank)
    value, p = _log_sum_exp(x @ eta + b)
    for _ in range(_MOST_STEPS):
        gradient = np.dot(p, x)  # unlike @ with a short result, without the GIL
        if np.abs(gradient).max() <= _BALANCED:
            break
        hessian = np.dot((x * p[:, None]).T, x) - np.outer(gradient, gradient)
        # The damping vanishes with the gradient; where there is no minimum it lets steps go on.
        hessian += np.linalg.norm(gradient) * np.eye(rank)
        step = -np.linalg.solve(hessian, gradient)
        slope, length = float(gradient @ step), 1.0
        while True:
            new_value, new_p = _log_sum_exp(x @ (eta + length * step) + b)
            if new_value <= value + 1e-4 * length * slope + 1e-15 or length < 1e-10:
                break
            length /= 2
        eta, value, p = eta + length * step, new_value, new_p
        if value < -1e-12:
            return MaxEntropy(Hull.OUTSIDE, None, rank)
    inside = np.abs(p @ x).max() <= 10 * _BALANCED and p.min() > _POSITIVE
    if not inside:
        return MaxEntropy(Hull.OPEN, None, rank)
    return MaxEntropy(Hull.INSIDE, p, rank, eta @ v[:rank] / size)


def _log_sum_exp(z: _Array) -> tuple[float, _Array]:
    top = z.max()
    e = np.exp(z - top)
    total = e.sum()
    return float(top + np.log(total)), e / total
