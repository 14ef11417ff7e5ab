"""Cycles of the map as β changes, through folds, with their bifurcations located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix._arrays import as_integer, as_positive
from hopfix._eigenvalues import eigenvalues
from hopfix.mean_field._attractors import PeriodicOrbit, orbit_jacobian, periodic_orbit
from hopfix.mean_field._columns import require_kind, require_model
from hopfix.mean_field._results import Array, State

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

OrbitEventKind = Literal["fold", "branch", "period-doubling", "neimark-sacker", "unlocated"]

_STEP, _LARGEST_STEP, _SMALLEST_STEP = 1e-2, 0.1, 1e-7
_NEWTON_STEPS = 12
# A multiplier this near the place where it crosses the unit circle is there.
_AT_THE_CIRCLE = 1e-5


class OrbitEvent(NamedTuple):
    """Where a multiplier of a cycle crosses the unit circle.

    Attributes:
        kind: "fold" (β turns; a multiplier is 1), "branch" (a multiplier is 1 and β does not turn),
            "period-doubling" (−1), "neimark-sacker" (a pair e^{±iθ}), or "unlocated": one of them
            between two steps, which Newton's method does not reach, as where branches cross; `beta`
            is then good to the step.
        beta: where.
        angle: θ / 2π of that pair, else 0 or 1/2.
        orbit: the cycle there.
    """

    kind: OrbitEventKind
    beta: float
    angle: float
    orbit: PeriodicOrbit


@dataclass(frozen=True, eq=False)
class OrbitBranch:
    """A curve of cycles.

    Attributes:
        betas: (n,) along the curve; not monotone where it folds.
        orbits: the n cycles.
        events: bifurcations, in their order along the curve.
        reached: whether the curve came to the β asked for; otherwise `end` says why not.
        end: "" or the reason: the curve is closed, its steps became too small or too many.
    """

    betas: Array
    orbits: tuple[PeriodicOrbit, ...]
    events: tuple[OrbitEvent, ...]
    reached: bool
    end: str

    @property
    def stable(self) -> npt.NDArray[np.bool_]:
        """(n,) whether each cycle attracts."""
        return np.array([orbit.stable for orbit in self.orbits])

    def __repr__(self) -> str:
        events = ", ".join(f"{event.kind} at {event.beta:.6g}" for event in self.events)
        return (
            f"OrbitBranch(period {self.orbits[0].period}, beta {self.betas[0]:g} to "
            f"{self.betas[-1]:g}, {len(self.betas)} cycles, events [{events}])"
        )


class _Point(NamedTuple):
    """A solution (window, β), the unit tangent of the curve there, and its Jacobian."""

    unknowns: Array
    tangent: Array
    jacobian: Array


class _Curve:
    """The equations F^p(w; β) = w of one cycle, in the unknowns (w, β)."""

    def __init__(self, model: AttentionMeanField, orbit: PeriodicOrbit) -> None:
        self._model = model
        self._period, self._position = orbit.period, orbit.state.position
        self._shape = orbit.state.attention.shape

    def model(self, unknowns: Array) -> AttentionMeanField:
        return self._model.with_parameters(beta=float(unknowns[-1]))

    def state(self, unknowns: Array) -> State:
        return State(unknowns[:-1].reshape(self._shape), self._position)

    def evaluate(self, unknowns: Array) -> tuple[Array, Array, Array]:
        """F^p(w) − w, the Jacobian of F^p, and its derivative by β."""
        miss, jacobian, by_beta = orbit_jacobian(
            self.model(unknowns), self.state(unknowns), self._period
        )
        return miss, jacobian, by_beta

    def correct(self, guess: Array, tangent: Array) -> _Point | None:
        """Newton's method on the plane across the tangent, through the guess."""
        unknowns, anchor, last = guess, guess, np.inf
        for _ in range(_NEWTON_STEPS):
            if not (np.abs(unknowns[:-1]).max() < 1e3 and unknowns[-1] > 0):
                return None
            miss, jacobian, by_beta = self.evaluate(unknowns)
            matrix = self._bordered(jacobian, by_beta, tangent)
            side = np.append(-miss, tangent @ (anchor - unknowns))
            try:
                change = np.linalg.solve(matrix, side)
                size = float(np.abs(change).max())
                if size <= 1e-12 or (size <= 1e-10 and size >= last / 2):
                    return self._point(unknowns, jacobian, by_beta, tangent)
            except np.linalg.LinAlgError:
                return None
            unknowns, last = unknowns + change, size
        return None

    @staticmethod
    def _bordered(jacobian: Array, by_beta: Array, last_row: Array) -> Array:
        top = np.concatenate([jacobian - np.eye(len(jacobian)), by_beta[:, None]], axis=1)
        return np.concatenate([top, last_row[None]])

    def _point(self, unknowns: Array, jacobian: Array, by_beta: Array, before: Array) -> _Point:
        side = np.zeros(len(unknowns))
        side[-1] = 1
        tangent = np.linalg.solve(self._bordered(jacobian, by_beta, before), side)
        return _Point(unknowns, tangent / np.linalg.norm(tangent), jacobian)

    def orbit(self, point: _Point) -> PeriodicOrbit:
        return periodic_orbit(
            self.model(point.unknowns), self.state(point.unknowns), self._period, refine=False
        )


def _fold(point: _Point) -> float:
    return float(point.tangent[-1])


def _determinant(point: _Point, at: float) -> float:
    """det(J − at) to the power 1/size, with its sign."""
    sign, logarithm = np.linalg.slogdet(point.jacobian - at * np.eye(len(point.jacobian)))
    return float(sign * np.exp(logarithm / len(point.jacobian)))


def _branch(point: _Point) -> float:
    # det(J − I) vanishes at folds, too, where β turns; with the sign of the slope it does not.
    return _determinant(point, 1.0) * (1.0 if _fold(point) > 0 else -1.0)


def _doubling(point: _Point) -> float:
    return _determinant(point, -1.0)


def _multipliers(point: _Point) -> npt.NDArray[np.complex128]:
    multipliers: npt.NDArray[np.complex128] = eigenvalues(point.jacobian[None])[0].astype(complex)
    return multipliers


def _critical_pair(point: _Point) -> complex:
    """The multiplier off the real axis, above it, that is nearest the unit circle; 0 if none."""
    values = _multipliers(point)
    pairs = values[values.imag > 1e-8 * np.abs(values)]
    return complex(pairs[np.abs(1 - np.abs(pairs)).argmin()]) if len(pairs) else 0j


def _torus(point: _Point) -> float:
    return 1 - abs(_critical_pair(point))


def _misses(kind: OrbitEventKind, point: _Point) -> float:
    """How far the nearest multiplier is from where the event puts it."""
    if kind == "neimark-sacker":
        return abs(_torus(point))
    at = -1.0 if kind == "period-doubling" else 1.0
    return float(np.abs(_multipliers(point) - at).min())


_TESTS: dict[OrbitEventKind, Callable[[_Point], float]] = {
    "fold": _fold,
    "branch": _branch,
    "period-doubling": _doubling,
    "neimark-sacker": _torus,
}


def follow_orbit(
    model: AttentionMeanField, orbit: PeriodicOrbit, beta_to: float, *, max_steps: int = 2_000
) -> OrbitBranch:
    """Follow a cycle as β changes, by pseudo-arclength continuation.

    Through folds, whether the cycle is stable or not. Where a multiplier crosses the unit
    circle the bifurcation is located to about 1e-10 in β: folds, period doublings,
    Neimark–Sacker bifurcations, and crossings of branches.

    Args:
        model: the network.
        orbit: a cycle at its β, as from `periodic_orbit`.
        beta_to: where the curve ends when it gets there.
        max_steps: most steps along it.

    Source: Keller (1977); test functions as in Kuznetsov, "Elements of Applied Bifurcation
    Theory", chapter 10.
    """
    require_model(model)
    require_kind("orbit", orbit, PeriodicOrbit)
    target, most = as_positive("beta_to", beta_to), as_integer("max_steps", max_steps, 1)
    curve = _Curve(model, orbit)
    unknowns = np.append(orbit.state.attention.ravel(), model.beta)
    forward = np.zeros(len(unknowns))
    forward[-1] = 1.0 if target > model.beta else -1.0
    point = curve.correct(unknowns, forward)
    if point is None:
        raise ValueError(
            "orbit: not a cycle of this network, or a degenerate one; need one of "
            "periodic_orbit at the same parameters"
        )
    points, events, step, end = [point], [], _STEP, "the most steps were made"
    for _ in range(most):
        before = points[-1]
        ahead = before.unknowns + step * before.tangent
        after = curve.correct(ahead, before.tangent)
        if after is None or before.tangent @ after.tangent < 0.9:
            step /= 2
            if step < _SMALLEST_STEP:
                end = "steps became too small"
                break
            continue
        events += _events_between(curve, before, after)
        points.append(after)
        step = min(1.3 * step, _LARGEST_STEP)
        if len(points) > 3 and _passes(before, after, points[0]):
            end = "the curve is closed"
            break
        side = (after.unknowns[-1] - target) * (before.unknowns[-1] - target)
        if side <= 0:
            points[-1] = _at_beta(curve, before, after, target)
            events = [e for e in events if (e.beta - target) * (model.beta - target) >= 0]
            end = ""
            break
    return OrbitBranch(
        betas=np.array([p.unknowns[-1] for p in points]),
        orbits=tuple(curve.orbit(p) for p in points),
        events=tuple(events),
        reached=end == "",
        end=end,
    )


def _passes(before: _Point, after: _Point, start: _Point) -> bool:
    """Whether the curve comes back to its start, in its direction, between two points."""
    if start.tangent @ after.tangent < 0.9:
        return False
    step = after.unknowns - before.unknowns
    share = step @ (start.unknowns - before.unknowns) / (step @ step)
    apart = np.linalg.norm(before.unknowns + share * step - start.unknowns)
    return bool(0 <= share < 1 and apart <= 0.1 * np.linalg.norm(step))


def _between(curve: _Curve, before: _Point, length: float) -> _Point | None:
    return curve.correct(before.unknowns + length * before.tangent, before.tangent)


def _zero(
    curve: _Curve, before: _Point, after: _Point, test: Callable[[_Point], float]
) -> _Point | None:
    """The point between two where a test changes sign, by bisection and false position."""
    low, high = 0.0, float(before.tangent @ (after.unknowns - before.unknowns))
    at_low, at_high, found = test(before), test(after), after
    for count in range(100):
        share = 0.5 if count % 3 == 2 else min(max(at_low / (at_low - at_high), 0.01), 0.99)
        middle = _between(curve, before, low + share * (high - low))
        if middle is None:
            return None
        found, value = middle, test(middle)
        if (value > 0) == (at_low > 0):
            low, at_low = low + share * (high - low), value
        else:
            high, at_high = low + share * (high - low), value
        if high - low <= 1e-13 * max(1.0, abs(high)):
            break
    return found


def _events_between(curve: _Curve, before: _Point, after: _Point) -> list[OrbitEvent]:
    found = []
    for kind, test in _TESTS.items():
        if (test(before) > 0) == (test(after) > 0):
            continue
        point = _zero(curve, before, after, test)
        if point is None:
            beta = float(before.unknowns[-1] + after.unknowns[-1]) / 2
            found.append((0.0, OrbitEvent("unlocated", beta, 0.0, curve.orbit(after))))
            continue
        # Where a pair becomes real, another pair is the nearest one: nothing crosses the circle.
        if _misses(kind, point) > _AT_THE_CIRCLE:
            continue
        angle = {"period-doubling": 0.5}.get(kind, 0.0)
        if kind == "neimark-sacker":
            angle = float(np.angle(_critical_pair(point)) / (2 * np.pi))
        distance = float(before.tangent @ (point.unknowns - before.unknowns))
        event = OrbitEvent(kind, float(point.unknowns[-1]), angle, curve.orbit(point))
        found.append((distance, event))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def _at_beta(curve: _Curve, before: _Point, after: _Point, beta: float) -> _Point:
    """The point at one β between two on either side of it."""
    share = (beta - before.unknowns[-1]) / (after.unknowns[-1] - before.unknowns[-1])
    guess = before.unknowns + share * (after.unknowns - before.unknowns)
    guess[-1] = beta
    forward = np.zeros(len(guess))
    forward[-1] = 1.0
    return curve.correct(guess, forward) or after
