"""The list of fixed points of a network, with what is proved about it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray
from hopfix._comparable import Comparable
from hopfix._json import as_lists, plain

if TYPE_CHECKING:
    from hopfix._connections import Connections
    from hopfix.network import Hopfield

Completeness: TypeAlias = Literal["proved", "consistent", "unknown"]


class Undecided(NamedTuple):
    """A part of the space about which the search could not decide.

    Attributes:
        state: (d,) the point around which it lies; None for the whole space.
        reason: why it was left.
        radius: the part lies within this distance of `state`; NaN where that is not known.
    """

    state: FloatArray | None
    reason: str
    radius: float = math.nan


@dataclass(frozen=True, slots=True)
class Proof:
    """What an exhaustive search did, for a reader who wants to run it again.

    Attributes:
        form: what the boxes were boxes of: "weights" or "hull" (see `Hopfield.fixed_points`), or
            "supports", regions of weights with the same large ones ("faces" alone).
        boxes: boxes examined.
        newton_steps: linear systems inverted for them.
        depth: most splits above one box.
        seconds: time taken; proofs that differ in it alone are equal.
        arithmetic: the arithmetic all bounds are valid for.
        version: of hopfix.
        symmetry: classes of patterns that were found exchangeable (see `Hopfield.fixed_points`)
            and were exchanged: one point of every orbit was searched for, the others are its
            images. Empty without symmetry, or with symmetry=False.
        representatives: points found by the search itself, where there is symmetry.
        sets: of patterns that could not be excluded from being those of large weight ("faces").
    """

    form: str
    boxes: int
    newton_steps: int
    depth: int
    seconds: float = field(compare=False)
    arithmetic: str
    version: str
    symmetry: tuple[tuple[int, ...], ...] = ()
    representatives: int = 0
    sets: int = 0

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """Read what `json.dumps(asdict(proof))` wrote."""
        fields = json.loads(text)
        fields["symmetry"] = tuple(tuple(members) for members in fields.get("symmetry", ()))
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """One fixed point; the fields are those of `FixedPoints`, without the leading axis."""

    state: FloatArray
    weights: FloatArray
    morse_index: int
    index: int
    stable: bool
    spectral_radius: float
    energy: float
    residual: float
    certified: bool
    radius: float
    uniqueness_radius: float
    support: tuple[int, ...]
    reason: str


@dataclass(frozen=True, repr=False, eq=False)
class FixedPoints(Comparable):
    """K fixed points of one network, by ascending Morse index, then energy.

    Attributes:
        network: the network they belong to.
        states: (K, d) in the network's dtype.
        weights: (K, N) softmax weights at the states.
        morse_index: (K,) int64, eigenvalues of the Jacobian above 1; proved where certified, an
            estimate elsewhere.
        spectral_radius: (K,) float64, the largest eigenvalue of the Jacobian, to rounding.
        energy: (K,) in the network's dtype, as `Hopfield.energy`.
        residual: (K,) float64, ‖f(ξ) − ξ‖₂ of the returned state.
        certified: (K,) bool, whether a fixed point near the state is proved to exist and be the
            only one within `uniqueness_radius`.
        radius: (K,) float64, a fixed point lies within this distance; NaN if not certified.
        uniqueness_radius: (K,) float64, at most one lies strictly within this distance; NaN if
            not certified.
        reasons: why a point is not certified, "" where it is.
        completeness: "proved" (rigorous arithmetic or a theorem excludes any other fixed point),
            "consistent" (all certified; degree sum and Morse inequalities hold, which lists with
            points missing also pass) or "unknown".
        undecided: what the search left open, with the reason each was left. Where "faces" could
            not prove its list complete, also the region at which it gave up; that alone does not
            make a list "unknown".
        method: the search that found them.
        proof: what the search did that proves ("cells", "faces"); None for other methods.

    Example:
        >>> points = hopfix.Hopfield([[1.0, 0.0], [-1.0, 0.0]], beta=4.0).fixed_points()
        >>> len(points), points.counts, points.degree_sum
        (3, {0: 2, 1: 1}, 1)
        >>> sorted(points.support)
        [(0,), (0, 1), (1,)]
        >>> points[points.morse_index == 1].states
        array([[0., 0.]])
    """

    network: Hopfield
    states: FloatArray
    weights: FloatArray
    morse_index: npt.NDArray[np.int64]
    spectral_radius: npt.NDArray[np.float64]
    energy: FloatArray
    residual: npt.NDArray[np.float64]
    certified: npt.NDArray[np.bool_]
    radius: npt.NDArray[np.float64]
    uniqueness_radius: npt.NDArray[np.float64]
    reasons: tuple[str, ...]
    completeness: Completeness
    undecided: tuple[Undecided, ...]
    method: str
    proof: Proof | None = None

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """(K,) int64, the Brouwer index of id − f: (−1)^morse_index."""
        return 1 - 2 * (self.morse_index % 2)

    @property
    def stable(self) -> npt.NDArray[np.bool_]:
        """(K,) bool, whether the point attracts: no eigenvalue of the Jacobian above 1."""
        return np.equal(self.morse_index, 0)

    @property
    def support(self) -> list[tuple[int, ...]]:
        """Per point the patterns that carry at least their uniform share 1/N of the weight."""
        return [_support(row) for row in self.weights]

    @property
    def counts(self) -> dict[int, int]:
        """{Morse index: number of points}, ascending."""
        indices, numbers = np.unique(self.morse_index, return_counts=True)
        return {int(k): int(c) for k, c in zip(indices, numbers, strict=True)}

    @property
    def degree_sum(self) -> int:
        """Σ_k (−1)^k counts[k]: 1 if no point is missing, spurious or degenerate."""
        return int(self.index.sum())

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[FixedPoint]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> FixedPoint: ...
    @overload
    def __getitem__(self, key: slice | npt.NDArray[Any] | list[Any]) -> FixedPoints: ...
    def __getitem__(
        self, key: int | np.integer[Any] | slice | npt.NDArray[Any] | list[Any]
    ) -> FixedPoint | FixedPoints:
        """Return one point for an integer, a part of the list (completeness "unknown") else."""
        if isinstance(key, (int, np.integer)):
            return self._point(range(len(self))[key])
        rows = np.arange(len(self))[key]
        taken: dict[str, Any] = {field: getattr(self, field)[rows] for field in POINT_ARRAYS}
        return FixedPoints(
            network=self.network,
            reasons=tuple(self.reasons[i] for i in rows),
            completeness="unknown",
            undecided=(Undecided(None, "a part of a longer list"),),
            method=self.method,
            **taken,
        )

    def _point(self, i: int) -> FixedPoint:
        morse_index = int(self.morse_index[i])
        return FixedPoint(
            state=self.states[i].copy(),
            weights=self.weights[i].copy(),
            morse_index=morse_index,
            index=1 - 2 * (morse_index % 2),
            stable=morse_index == 0,
            spectral_radius=float(self.spectral_radius[i]),
            energy=float(self.energy[i]),
            residual=float(self.residual[i]),
            certified=bool(self.certified[i]),
            radius=float(self.radius[i]),
            uniqueness_radius=float(self.uniqueness_radius[i]),
            support=_support(self.weights[i]),
            reason=self.reasons[i],
        )

    def __repr__(self) -> str:
        by_index = ", ".join(f"{k}: {c}" for k, c in self.counts.items())
        return (
            f"FixedPoints({len(self)} points at beta={self.network.beta:g}, by Morse index "
            f"{{{by_index}}}, {int(self.certified.sum())} certified, degree sum "
            f"{self.degree_sum}, completeness {self.completeness!r})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists, numbers and strings, ready for strict `json.dumps`.

        What is not finite, as the radii of uncertified points, becomes None.
        """
        out: dict[str, Any] = {field: plain(getattr(self, field)) for field in POINT_ARRAYS}
        out["index"] = as_lists(self.index)
        out["stable"] = as_lists(self.stable)
        out["support"] = [list(face) for face in self.support]
        out["counts"] = {str(k): c for k, c in self.counts.items()}
        out["degree_sum"] = self.degree_sum
        out["beta"] = self.network.beta
        out["reasons"] = list(self.reasons)
        out["completeness"] = self.completeness
        out["undecided"] = [
            {
                "state": None if left.state is None else left.state.tolist(),
                "reason": left.reason,
                "radius": left.radius if math.isfinite(left.radius) else None,
            }
            for left in self.undecided
        ]
        out["method"] = self.method
        out["proof"] = None if self.proof is None else asdict(self.proof)
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the list and its network to an .npz file, replacing `path` in one step.

        Raises:
            OSError: it cannot be written; a file that was there is left as it was.
        """
        from hopfix import _fixed_point_files

        _fixed_point_files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FixedPoints:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is damaged or of another kind; the path is named.
            MemoryError: it claims more than the machine has.
        """
        from hopfix import _fixed_point_files

        return _fixed_point_files.load(path)

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with a row for each fixed point, in the order of the list.

        Columns: the scalars of `FixedPoint` under their names, largest_weight (of one pattern),
        support (tuples) and reason. ImportError, naming hopfix[dataframe], if pandas is missing.
        """
        from hopfix._frames import of_fixed_points

        return of_fixed_points(self)

    def connections(self, *, max_steps: int = 100_000) -> Connections:
        """Say which attractors each saddle of Morse index 1 joins: `hopfix.connections`."""
        from hopfix._connections import connections

        return connections(self, max_steps=max_steps)

    def plot(self, **options: Any) -> Any:
        """Draw the landscape, see `hopfix.plot.landscape`; returns the matplotlib Figure.

        Raises ImportError, naming hopfix[plot], if matplotlib is missing.
        """
        from hopfix import plot

        return plot.landscape(self.network, self, **options)


def _support(weights: FloatArray) -> tuple[int, ...]:
    """The patterns that carry at least their uniform share of the weight."""
    # Equal weights are equal to rounding only.
    share = (1 - 1e-6) / len(weights)
    return tuple(np.flatnonzero(weights >= share).tolist())


# Those with an entry for every point.
POINT_ARRAYS = tuple(
    each.name
    for each in fields(FixedPoints)
    if each.name not in ("network", "reasons", "completeness", "undecided", "method", "proof")
)
