"""Branches of fixed points as the inverse temperature changes, and the events on them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import FloatArray, as_positive, as_states
from hopfix._search import Progress
from hopfix.fixed_points import FixedPoints, Undecided, assemble

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.network import Hopfield

__all__ = ["Branch", "BranchEvent", "Branches"]

# A given state may be off by so much, relative to max(1, ‖ξ‖).
_RESIDUAL = {"f": 1e-4, "d": 1e-8}
_WHOLE_ENDS = ("start", "start_beta", "beta_to", "crossing")


class BranchEvent(NamedTuple):
    """A point of a branch at which the Jacobian has an eigenvalue 1.

    Attributes:
        kind: "fold" (β turns), "pitchfork" or "transcritical" (two branches cross), "multiple"
            (several eigenvalues are 1: symmetry makes many branches meet) or "degenerate" (a
            simple eigenvalue 1, but none of these).
        beta: where it lies.
        state: (d,) the fixed point there.
        branches: numbers of the branches it lies on.
        multiplicity: of the eigenvalue 1.
        certified: for folds, whether rigorous arithmetic proves a generic fold (a simple
            eigenvalue 1 at which β turns quadratically) within `radius` of `state` and
            `beta_radius` of `beta`; False for all other kinds.
        radius: NaN if not certified.
        beta_radius: NaN if not certified.
    """

    kind: str
    beta: float
    state: FloatArray
    branches: tuple[int, ...]
    multiplicity: int
    certified: bool
    radius: float
    beta_radius: float


@dataclass(frozen=True, eq=False)
class Branch:
    """One curve of fixed points, M points in order along it.

    Attributes:
        beta: (M,) float64.
        states: (M, d) in the network's dtype.
        energy: (M,) float64, as `Hopfield.energy` at that β.
        morse_index: (M,) int64; at an event, eigenvalues equal to 1 are not counted.
        arclength: (M,) float64, ascending, of the polygon through the points (ξ/R, log β), R the
            largest distance of a pattern from the mean of all.
        events: numbers of its events in `Branches.events`, in order along it.
        places: (E,) int64, which of the M points they are.
        starts: numbers of the given fixed points that are ends of it.
        ends: why it starts and ends where it does: "start" (the fixed point it was followed
            from), "start_beta" (back at the β it started at), "beta_to", "crossing" (back at the
            crossing it was found at), "max_steps", "time_limit", "interrupted", "small_step" (it
            could not be followed further, as where branches meet so flatly that rounding cannot
            tell them apart: the centre of a regular pentagon), "degenerate" (the given fixed
            point is degenerate) or "no_solution" (there is no fixed point near the given one).
    """

    beta: npt.NDArray[np.float64]
    states: FloatArray
    energy: npt.NDArray[np.float64]
    morse_index: npt.NDArray[np.int64]
    arclength: npt.NDArray[np.float64]
    events: tuple[int, ...]
    places: npt.NDArray[np.int64]
    starts: tuple[int, ...]
    ends: tuple[str, str]
    _log_beta_slopes: npt.NDArray[np.float64]
    _state_slopes: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.beta)

    def __repr__(self) -> str:
        low, high = float(self.beta.min()), float(self.beta.max())
        return f"Branch({len(self)} points, beta {low:g} to {high:g}, ends {self.ends})"

    @property
    def whole(self) -> bool:
        """Whether both ends are where branches may end, and not where following them failed."""
        return len(self) > 1 and all(end in _WHOLE_ENDS for end in self.ends)


@dataclass(frozen=True, eq=False, repr=False)
class Branches:
    """All branches followed from the fixed points of one network.

    Attributes:
        network: the network they were followed from.
        beta_to: where to.
        branches: the curves, in the order of the fixed points they start from; then those found
            at crossings.
        events: folds and crossings, each once, in the order found.
    """

    network: Hopfield
    beta_to: float
    branches: tuple[Branch, ...]
    events: tuple[BranchEvent, ...]

    @property
    def folds(self) -> npt.NDArray[np.float64]:
        """β of all folds, ascending."""
        return np.sort(np.array([e.beta for e in self.events if e.kind == "fold"], np.float64))

    @property
    def counts(self) -> dict[str, int]:
        """{kind of event: how many there are}."""
        kinds = [event.kind for event in self.events]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    def __len__(self) -> int:
        return len(self.branches)

    def __repr__(self) -> str:
        events = ", ".join(f"{kind}: {count}" for kind, count in self.counts.items())
        cut = sum(not branch.whole for branch in self.branches)
        return (
            f"Branches({len(self)} branches from beta={self.network.beta:g} to {self.beta_to:g}, "
            f"events {{{events}}}{f', {cut} not followed to their ends' if cut else ''})"
        )

    def at(self, beta: float) -> FixedPoints:
        """Return the fixed points on the branches at one β between the network's and `beta_to`.

        Interpolated, corrected by Newton's method, and certified. `completeness` is "consistent"
        if all are certified and the degree sum and the Morse inequalities hold, and no branch
        was left unfinished: branches that no given fixed point lies on, and that no simple
        crossing leads to, are not seen. `FixedPoints.network` is the network at that β.
        """
        from hopfix.network import Hopfield

        value = as_positive("beta", beta)
        low, high = sorted((self.network.beta, self.beta_to))
        if not low <= value <= high:
            raise ValueError(f"beta: got {value:g}, need {low:g} to {high:g}, as was followed")
        net = self.network
        there = Hopfield(
            net.patterns, value, log_weights=net._log_weights, num_threads=net._threads
        )
        drawn = [branch for branch in self.branches if len(branch) > 1]
        guesses = _cubic_guesses(drawn, net.patterns.shape[1], value, value == high)
        states, solved = _core.correct_states(there._core64, guesses, net._threads)
        left = [Undecided(state, "Newton's method failed") for state in states[~solved.view(bool)]]
        left += [
            Undecided(b.states[-1].astype(np.float64), f"a branch was left here ({b.ends[1]})")
            for b in self.branches
            if not b.whole
        ]
        distinct = _distinct(states[solved.view(bool)], 1e-9 * _spread(net.patterns))
        distinct = distinct.astype(net.dtype).astype(np.float64)
        columns = _core.certify(there._core64, distinct, net._threads)
        columns["states"] = distinct
        return assemble(there, columns, method="follow", proved=False, left=tuple(left))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists, numbers and strings, ready for strict `json.dumps`."""
        return {
            "beta_from": self.network.beta,
            "beta_to": self.beta_to,
            "folds": self.folds.tolist(),
            "branches": [
                {
                    "beta": branch.beta.tolist(),
                    "states": branch.states.tolist(),
                    "energy": branch.energy.tolist(),
                    "morse_index": branch.morse_index.tolist(),
                    "arclength": branch.arclength.tolist(),
                    "events": list(branch.events),
                    "places": branch.places.tolist(),
                    "starts": list(branch.starts),
                    "ends": list(branch.ends),
                }
                for branch in self.branches
            ],
            "events": [
                {
                    **event._asdict(),
                    "state": event.state.tolist(),
                    "branches": list(event.branches),
                    "radius": event.radius if event.certified else None,
                    "beta_radius": event.beta_radius if event.certified else None,
                }
                for event in self.events
            ],
        }

    def plot(self, quantity: str = "energy", ax: Axes | None = None) -> Figure:
        """Draw `quantity` ("energy" or "overlap") against β, coloured by Morse index.

        The overlap is the largest x_i·ξ / ‖x_i‖² of all patterns.

        Raises:
            ImportError: naming hopfix[plot], if matplotlib is missing.
        """
        from hopfix._bifurcation import bifurcation

        return bifurcation(self, quantity, ax)


def _spread(patterns: FloatArray) -> float:
    centred = patterns.astype(np.float64) - patterns.astype(np.float64).mean(axis=0)
    return float(np.sqrt((centred**2).sum(axis=1).max())) or 1.0


def _cubic_guesses(
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


def _distinct(states: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.float64]:
    """The states without those within `tolerance` of another, as branches that meet give them."""
    if len(states) < 2:
        return states
    order = np.argsort(states @ np.cos(np.arange(1, states.shape[1] + 1)), kind="stable")
    sorted_states = states[order]
    gaps = np.linalg.norm(np.diff(sorted_states, axis=0), axis=1)
    return sorted_states[np.concatenate(([True], gaps > tolerance))]


def follow(
    network: Hopfield,
    beta_to: float,
    fixed_points: FixedPoints | npt.ArrayLike | None,
    *,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
) -> Branches:
    """Follow the branches; arguments but `fixed_points` are checked by `Hopfield.follow`."""
    began = time.monotonic()
    if fixed_points is None:
        fixed_points = network.fixed_points(time_limit=time_limit)
    states = _starts(network, fixed_points)
    left = math.inf
    if time_limit is not None:
        left = max(time_limit - (time.monotonic() - began), 1e-3)
    branches, events, interruption = _core.follow_branches(
        network._core64, states, beta_to, max_steps, left, progress, network._threads
    )
    result = Branches(
        network=network,
        beta_to=beta_to,
        branches=tuple(_branch(columns, network.dtype) for columns in branches),
        events=tuple(_event(fields, network.dtype) for fields in events),
    )
    if interruption is not None:
        # Ctrl-C is still Ctrl-C, but what was followed is not lost.
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _starts(network: Hopfield, given: FixedPoints | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The given states in double precision, which must be fixed points of the network."""
    raw = given.states if isinstance(given, FixedPoints) else given
    states, _ = as_states("fixed_points", raw, network.patterns.shape[1], network.dtype)
    residuals = network._residuals(states)
    allowed = _RESIDUAL[network.dtype.char]
    wrong = residuals > allowed * np.maximum(1, np.linalg.norm(states, axis=1))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"fixed_points: state {at} is not a fixed point of this network at beta="
            f"{network.beta:g} (the update moves it by {residuals[at]:.3g})"
        )
    return states.astype(np.float64)


def _branch(columns: dict[str, Any], dtype: np.dtype[Any]) -> Branch:
    return Branch(
        beta=columns["beta"],
        states=columns["states"].astype(dtype, copy=False),
        energy=columns["energy"],
        morse_index=columns["morse_index"],
        arclength=columns["arclength"],
        events=tuple(int(i) for i in columns["events"]),
        places=columns["places"],
        starts=tuple(int(i) for i in columns["starts"]),
        ends=columns["ends"],
        _log_beta_slopes=columns["log_beta_slopes"],
        _state_slopes=columns["state_slopes"],
    )


def _event(fields: dict[str, Any], dtype: np.dtype[Any]) -> BranchEvent:
    certified = bool(fields["certified"])
    return BranchEvent(
        kind=fields["kind"],
        beta=fields["beta"],
        state=fields["state"].astype(dtype, copy=False),
        branches=fields["branches"],
        multiplicity=fields["multiplicity"],
        certified=certified,
        radius=fields["radius"] if certified else math.nan,
        beta_radius=fields["beta_radius"] if certified else math.nan,
    )
