"""The Brouwer degree of id − f on a box of states."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_limit, as_positive, as_states
from hopfix._interchange import interchange
from hopfix._progress import Progress, as_progress

if TYPE_CHECKING:
    from hopfix.network import Hopfield

Floats: TypeAlias = npt.NDArray[np.float64]

_METHODS = ("auto", "indices", "boundary")
_MAX_BOXES = 1_000_000
# Up to this dimension the boundary is cheaper than a list of all fixed points.
_BOUNDARY_FIRST_UP_TO = 3
# "auto" lists the fixed points of no more patterns, within so many boxes: seconds.
_CELLS_UP_TO, _CELLS_BOXES = 24, 50_000


@dataclass(frozen=True, slots=True)
class BrouwerDegree:
    """Result of :func:`brouwer_degree`.

    Attributes:
        value: the degree, proved; None if it could not be.
        reason: why the value is None; None where it is known.
        method: "hull", "indices" or "boundary", what the proof rests on; None without one.
        boxes: boxes examined.
    """

    value: int | None
    reason: str | None
    method: str | None
    boxes: int


@interchange
def brouwer_degree(
    network: Hopfield,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    method: str = "auto",
    max_boxes: int = _MAX_BOXES,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> BrouwerDegree:
    """Prove the Brouwer degree of id − f on the box lower < ξ < upper.

    It is the sum of the indices (−1)^(Morse index) of the fixed points inside if none of them is
    degenerate, and defined whenever none lies on the boundary; a degree other than 0 proves that
    there is one inside. f is the exact map for the stored numbers, and all rounding is bounded.

    Args:
        network: a Hopfield network of either dtype.
        lower: (d,) finite.
        upper: (d,) finite, above `lower` in every coordinate.
        method: "indices": from the list of all fixed points that fixed_points("cells") proves, for
            few patterns of any dimension; "boundary": from signs of ξ − f(ξ) on the boundary
            alone, for many patterns, too, and for degenerate points inside, in practice up to
            d = 5 (Franek & Ratschan, "Effective topological degree computation based on interval
            arithmetic", 2015); "auto": 1 if all patterns lie inside, 0 if the box misses their
            bounding box; else "boundary" and then "indices" up to d = 3, the reverse above.
        max_boxes: boxes examined at most by either method.
        time_limit: seconds, about.
        progress: called now and then as progress(done, total) with numbers of boxes.

    Returns:
        BrouwerDegree; its value is None, with the reason, when a fixed point lies on the boundary
        or too near it, or a limit is reached.

    Raises:
        RuntimeError: a thread does not round to nearest with gradual underflow.

    Example:
        >>> net = hopfix.Hopfield([[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
        >>> hopfix.degree.brouwer_degree(net, [-0.5, -0.5], [0.5, 0.5]).value  # around the saddle
        -1
        >>> hopfix.degree.brouwer_degree(net, [-2.0, -2.0], [2.0, 2.0]).value  # around everything
        1
    """
    from hopfix.network import Hopfield  # which needs this module itself

    if not isinstance(network, Hopfield):
        raise TypeError(f"network: got {type(network).__name__}, need a hopfix.Hopfield")
    if not network._model.is_network:
        raise ValueError(
            f"network: brouwer_degree does not exist for {network._model.describe()}; it needs "
            'similarity "dot" or "neg_sq_l2" with separation "softmax"'
        )
    if method not in _METHODS:
        raise ValueError(f"method: got {method!r}, need one of {', '.join(_METHODS)}")
    budget = _Budget(
        as_limit("max_boxes", max_boxes),
        None if time_limit is None else as_positive("time_limit", time_limit),
        as_progress(progress),
    )
    low, high = _corners(network, lower, upper)
    if method == "indices":
        return _by_indices(network, low, high, budget)
    if method == "boundary":
        return _by_boundary(network, low, high, budget)
    return _auto(network, low, high, budget)


class _Budget:
    """What a search may use up; time runs from here on."""

    def __init__(self, boxes: int, seconds: float | None, progress: Progress | None) -> None:
        self.boxes = boxes
        self.progress = progress
        self._end = None if seconds is None else time.monotonic() + seconds

    def seconds(self) -> float | None:
        """The time left, at least a millisecond."""
        return None if self._end is None else max(self._end - time.monotonic(), 1e-3)


def _corners(
    network: Hopfield, lower: npt.ArrayLike, upper: npt.ArrayLike
) -> tuple[Floats, Floats]:
    dim = network.patterns.shape[1]
    corners = []
    for name, value in (("lower", lower), ("upper", upper)):
        flat, leading = as_states(name, value, dim, np.dtype(np.float64))
        if leading:
            raise ValueError(f"{name}: got shape {(*leading, dim)}, need ({dim},)")
        corners.append(flat[0])
    low, high = corners
    wrong = np.flatnonzero(~(low < high))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"upper: got {high[k]} at index {k}, need more than lower, which is {low[k]} there"
        )
    return low, high


def _auto(network: Hopfield, low: Floats, high: Floats, budget: _Budget) -> BrouwerDegree:
    # Every fixed point is an average of the patterns.
    least, most = network.patterns.min(axis=0), network.patterns.max(axis=0)
    if np.all(low < least) and np.all(most < high):
        return BrouwerDegree(1, None, "hull", 0)
    if np.any(high < least) or np.any(most < low):
        return BrouwerDegree(0, None, "hull", 0)
    n, dim = network.patterns.shape
    if n > _CELLS_UP_TO:
        return _by_boundary(network, low, high, budget)
    if dim <= _BOUNDARY_FIRST_UP_TO:
        first = _by_boundary(network, low, high, budget)
        second = _by_indices if first.value is None else None
    else:
        brief = _Budget(min(budget.boxes, _CELLS_BOXES), budget.seconds(), budget.progress)
        first = _by_indices(network, low, high, brief)
        second = _by_boundary if first.value is None else None
    if second is None:
        return first
    last = second(network, low, high, budget)
    boxes = first.boxes + last.boxes
    if last.value is not None:
        return BrouwerDegree(last.value, None, last.method, boxes)
    return BrouwerDegree(None, f"{first.reason}; {last.reason}", None, boxes)


def _by_boundary(network: Hopfield, low: Floats, high: Floats, budget: _Budget) -> BrouwerDegree:
    seconds = budget.seconds()
    found = _core.brouwer_degree(
        network.image._core64,
        low,
        high,
        min(budget.boxes, 2**62),
        np.inf if seconds is None else seconds,
        budget.progress,
    )
    if found["value"] is not None:
        return BrouwerDegree(found["value"], None, "boundary", found["boxes"])
    place = "" if found["state"] is None else f" (near {found['state'].tolist()})"
    return BrouwerDegree(None, f"boundary: {found['reason']}{place}", None, found["boxes"])


def _by_indices(network: Hopfield, low: Floats, high: Floats, budget: _Budget) -> BrouwerDegree:
    found = network.fixed_points(
        "cells",
        max_boxes=budget.boxes,
        time_limit=budget.seconds(),
        progress=budget.progress,
    )
    boxes = 0 if found.proof is None else found.proof.boxes

    def unknown(reason: str) -> BrouwerDegree:
        return BrouwerDegree(None, f"indices: {reason}", None, boxes)

    for region in found.undecided:
        place, radius = region.state, region.radius
        if place is None or radius is None or not _beyond(place[None], radius, low, high).all():
            return unknown(f"a region that may reach into the box is undecided: {region.reason}")
    inside = _within(found.states, found.radius, low, high)
    unclear = ~(inside | _beyond(found.states, found.radius, low, high))
    if unclear.any():
        place = found.states[unclear][0].tolist()
        return unknown(f"a fixed point lies on the boundary, or too near it (near {place})")
    return BrouwerDegree(int(found.index[inside].sum()), None, "indices", boxes)


def _surely_more(
    a: npt.NDArray[np.floating], b: npt.NDArray[np.floating], by: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Whether a − b > by in exact arithmetic; a doubt counts as no."""
    difference = np.subtract(a, b, dtype=np.float64)  # rounded to nearest: one step at most
    surely: npt.NDArray[np.bool_] = np.nextafter(difference, -np.inf) > by
    return surely


def _within(
    states: npt.NDArray[np.floating], radius: npt.ArrayLike, low: Floats, high: Floats
) -> npt.NDArray[np.bool_]:
    """Whether the balls around states (K, d) lie within the open box, (K,)."""
    by = np.asarray(radius)[..., None]
    inside: npt.NDArray[np.bool_] = np.all(
        _surely_more(states, low, by) & _surely_more(high, states, by), axis=1
    )
    return inside


def _beyond(
    states: npt.NDArray[np.floating], radius: npt.ArrayLike, low: Floats, high: Floats
) -> npt.NDArray[np.bool_]:
    """Whether the balls around states (K, d) miss the closed box, (K,)."""
    by = np.asarray(radius)[..., None]
    beyond: npt.NDArray[np.bool_] = np.any(
        _surely_more(low, states, by) | _surely_more(states, high, by), axis=1
    )
    return beyond
