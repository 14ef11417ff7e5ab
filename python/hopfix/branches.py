"""Branches of fixed points as the inverse temperature changes, and the events on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_integer,
    as_patterns,
    as_positive,
    as_vector,
    require_squares,
)
from hopfix._comparable import Comparable
from hopfix._comparison import Comparison, compare
from hopfix._fixed_point_list import assemble
from hopfix._interchange import interchange
from hopfix._json import as_lists
from hopfix._logit_terms import LogitTerms
from hopfix._passages import cubic_guesses, distinct, spread
from hopfix._progress import Progress, as_progress
from hopfix.fixed_points import FixedPoints, Undecided

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.network import Hopfield

__all__ = ["Branch", "BranchEvent", "Branches", "Comparison", "from_infinity", "from_zero"]

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
        found: how many of `branches` were found here, and not from the given fixed points.
    """

    kind: str
    beta: float
    state: FloatArray
    branches: tuple[int, ...]
    multiplicity: int
    certified: bool
    radius: float
    beta_radius: float
    found: int = 0

    @property
    def may_have_more(self) -> bool:
        """Whether branches may meet here that are not in `branches`.

        At a simple crossing there are two. At a multiple one those are looked for that leave
        along a line which symmetry fixes, or which Newton's method reaches from pseudo-random
        directions; nothing says that these are all. A degenerate event is not resolved.
        """
        return self.kind in ("multiple", "degenerate")


@dataclass(frozen=True, eq=False)
class Branch(Comparable):
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
class Branches(Comparable):
    """All branches followed from the fixed points of one network.

    Attributes:
        network: the network they were followed from.
        beta_to: where to.
        branches: the curves, in the order of the fixed points they start from; then those found
            at crossings.
        events: folds and crossings, each once, in the order found.
        terms: `log_weights` b and `offsets` a (float64 or None) of the logits β(x_i·ξ + a_i) + b_i
            that hold at every β; the network's own log-weights are b + βa at its own β.
        faces: of `from_infinity`, the patterns that carry the i-th given fixed point as β → ∞ (the
            active set of the centre and other degenerate ones); else None.
        unseeded: of `from_infinity`, the faces from which no certified fixed point was reached,
            and degenerate sets that are not known to carry one: their branches may be missing.
        cut_short: True if a limit or an interruption left branches, or faces to start from, out.
    """

    network: Hopfield
    beta_to: float
    branches: tuple[Branch, ...]
    events: tuple[BranchEvent, ...]
    terms: LogitTerms
    faces: tuple[tuple[int, ...], ...] | None = None
    unseeded: tuple[tuple[int, ...], ...] = ()
    cut_short: bool = False

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

    def network_at(self, beta: float) -> Hopfield:
        """Return the network at another β."""
        from hopfix.network import Hopfield

        net = self.network
        return Hopfield(
            net.patterns, beta, log_weights=self.terms.at(beta), num_threads=net._threads
        )

    def at(self, beta: float) -> FixedPoints:
        """Return the fixed points on the branches at one β between the network's and `beta_to`.

        Interpolated, corrected by Newton's method, and certified. `completeness` is "consistent"
        if all are certified and the degree sum and the Morse inequalities hold, and no branch
        was left unfinished: branches that no given fixed point lies on, and that no simple
        crossing leads to, are not seen. `FixedPoints.network` is the network at that β.
        """
        value = as_positive("beta", beta)
        low, high = sorted((self.network.beta, self.beta_to))
        if not low <= value <= high:
            raise ValueError(f"beta: got {value:g}, need {low:g} to {high:g}, as was followed")
        net = self.network
        there = self.network_at(value)
        drawn = [branch for branch in self.branches if len(branch) > 1]
        guesses = cubic_guesses(drawn, net.patterns.shape[1], value, value == high)
        states, solved = _core.correct_states(there._core64, guesses, net._threads)
        left = [Undecided(state, "Newton's method failed") for state in states[~solved.view(bool)]]
        left += [
            Undecided(b.states[-1].astype(np.float64), f"a branch was left here ({b.ends[1]})")
            for b in self.branches
            if not b.whole
        ]
        left += [Undecided(None, f"no branch was found from the face {f}") for f in self.unseeded]
        if self.cut_short:
            left.append(Undecided(None, "the work was cut short"))
        points = distinct(states[solved.view(bool)], 1e-9 * spread(net.patterns))
        points = points.astype(net.dtype).astype(np.float64)
        columns = _core.certify(there._core64, points, net._threads)
        columns["states"] = points
        return assemble(there, columns, method="follow", proved=False, left=tuple(left))

    def compare(
        self,
        beta: float,
        *,
        max_boxes: int | None = None,
        time_limit: float | None = None,
        progress: Progress | None = None,
    ) -> Comparison:
        """Compare `at(beta)` with the exhaustive search there: what do the branches miss?

        Points are told to be the same, or not, by their certified balls alone. The arguments are
        those of `Hopfield.fixed_points("cells")`. ValueError for a `beta` that was not followed.
        """
        found = self.at(beta)
        return compare(
            found,
            found.network.fixed_points(
                "cells", max_boxes=max_boxes, time_limit=time_limit, progress=progress
            ),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an .npz file, replacing `path` in one step.

        Raises:
            OSError: it cannot be written; a file that was there is left as it was.
        """
        from hopfix._branch_files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Branches:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is damaged or of another kind; the path is named.
            MemoryError: it claims more than the machine has.
        """
        from hopfix._branch_files import load

        return load(path)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists, numbers and strings, ready for strict `json.dumps`."""
        return {
            "beta_from": self.network.beta,
            "beta_to": self.beta_to,
            "log_weights": _listed(self.terms.log_weights),
            "offsets": _listed(self.terms.offsets),
            "faces": None if self.faces is None else [list(face) for face in self.faces],
            "unseeded": [list(face) for face in self.unseeded],
            "cut_short": self.cut_short,
            "folds": as_lists(self.folds),
            "branches": [
                {
                    "beta": as_lists(branch.beta),
                    "states": as_lists(branch.states),
                    "energy": as_lists(branch.energy),
                    "morse_index": as_lists(branch.morse_index),
                    "arclength": as_lists(branch.arclength),
                    "events": list(branch.events),
                    "places": as_lists(branch.places),
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

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with a row for each point of each branch, in order along it.

        Columns: branch (its number), beta, energy, morse_index, arclength and event (the kind of
        the event at that point, "" for none). ImportError, naming hopfix[dataframe], if pandas is
        missing.
        """
        from hopfix._frames import of_branches

        return of_branches(self)

    def plot(self, quantity: str = "energy", ax: Axes | None = None) -> Figure:
        """Draw `quantity` ("energy" or "overlap") against β, coloured by Morse index.

        The overlap is the largest x_i·ξ / ‖x_i‖² of all patterns.

        Raises:
            ImportError: naming hopfix[plot], if matplotlib is missing.
        """
        from hopfix._bifurcation import bifurcation

        return bifurcation(self, quantity, ax)


def _listed(array: npt.NDArray[np.float64] | None) -> list[float] | None:
    return None if array is None else array.tolist()


@interchange
def from_infinity(
    patterns: npt.ArrayLike,
    beta_to: float,
    *,
    offsets: npt.ArrayLike | None = None,
    log_weights: npt.ArrayLike | None = None,
    max_size: int | None = None,
    max_count: int | None = None,
    max_steps: int = 10_000,
    time_limit: float | None = None,
    progress: Progress | None = None,
    num_threads: int | None = None,
) -> Branches:
    """Follow the fixed points of the limit β → ∞ down to `beta_to`.

    There they are the critical faces (`hopfix.faces.critical_faces`) of the patterns, with logits
    β(x_i·ξ + a_i) + b_i, each near ξ_I + O(1/β). The branches start at a finite β, that of the
    network of the result: the smallest of a sequence (ratio 4) at which, and at the next one,
    Newton's method reaches from each first-order approximation in 1/β a certified fixed point of
    the Morse index that the face has, close by and apart from the others. That nothing happens to
    them above that β is not proved. Faces for which no β of the sequence does are in `unseeded`.

    Args:
        patterns: (N, d).
        beta_to: where to follow them to.
        offsets: (N,) the a_i; −‖x_i‖²/2 gives mean shift. None: zeros.
        log_weights: (N,) the b_i. None: zeros.
        max_size: as in `critical_faces`; without all faces branches are missing.
        max_count: likewise.
        max_steps: as in `Hopfield.follow`.
        time_limit: likewise, of all the work.
        progress: likewise.
        num_threads: as in `Hopfield`.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with what was followed, or the faces listed until then as
            `unseeded`, as its attribute `partial`.

    Example:
        >>> branches = hopfix.branches.from_infinity(np.eye(3), 8.0)
        >>> len(branches.at(8.0))
        7
    """
    from hopfix._limit_seeds import from_infinity as run

    checked, terms, options = _checked(
        patterns, offsets, log_weights, max_steps, time_limit, progress, num_threads
    )
    limits = {"max_size": max_size, "max_count": max_count}
    return run(checked, as_positive("beta_to", beta_to), terms, limits, **options)


@interchange
def from_zero(
    patterns: npt.ArrayLike,
    beta_to: float,
    *,
    offsets: npt.ArrayLike | None = None,
    log_weights: npt.ArrayLike | None = None,
    max_steps: int = 10_000,
    time_limit: float | None = None,
    progress: Progress | None = None,
    num_threads: int | None = None,
) -> Branches:
    """Follow the single fixed point of small β (below 4/diam², where ‖J‖ < 1) up to `beta_to`.

    It leads to every branch that is connected with it through crossings, see
    `BranchEvent.may_have_more`; what is born in folds elsewhere is not reached: see
    `Branches.compare`. The arguments are those of `from_infinity`.

    Example:
        >>> branches = hopfix.branches.from_zero(np.eye(3), 8.0)
        >>> len(branches.at(8.0))
        7
    """
    from hopfix._limit_seeds import from_zero as run

    checked, terms, options = _checked(
        patterns, offsets, log_weights, max_steps, time_limit, progress, num_threads
    )
    return run(checked, as_positive("beta_to", beta_to), terms, **options)


def _checked(
    patterns: npt.ArrayLike,
    offsets: npt.ArrayLike | None,
    log_weights: npt.ArrayLike | None,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
    num_threads: int | None,
) -> tuple[FloatArray, LogitTerms, dict[str, Any]]:
    given = as_patterns("patterns", patterns)
    require_squares("patterns", given)
    n, wide = len(given), np.dtype(np.float64)
    b: Any = None if log_weights is None else as_vector("log_weights", log_weights, n, wide)
    a: Any = None if offsets is None else as_vector("offsets", offsets, n, wide)
    options = {
        "max_steps": min(as_integer("max_steps", max_steps, 1), 2**62),
        "time_limit": None if time_limit is None else as_positive("time_limit", time_limit),
        "progress": as_progress(progress),
        "num_threads": num_threads,
    }
    return given, LogitTerms(b, a), options
