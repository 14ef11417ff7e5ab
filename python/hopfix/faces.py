"""The geometry of the patterns at large beta: critical faces, and how far faces are separated.

As beta grows the energy tends to |xi|^2/2 - max_i s_i(xi), s_i(xi) = x_i . xi + a_i: half the power
distance to the patterns. Its critical points are the *critical faces* I: affinely independent
patterns whose point xi_I, where their scores s_i are equal, is sum_I p_i x_i with all p_i > 0 and
has no larger or equal score outside I. Each gives exactly one fixed point for all large beta, which
converges to xi_I and has Morse index |I| - 1.

A face is CIPS (convexly inner product separated) if on all of its convex hull the largest inner
product with a pattern of the face exceeds that with any other pattern. Such a face, if its facets
are CIPS too, has an unstable fixed point from some beta on: :func:`sufficient_beta`.

Source: "On Unstable Fixed Points in Modern Continuous Hopfield Networks".
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_faces,
    as_integer,
    as_limit,
    as_nonnegative,
    as_patterns,
    as_positive,
    as_vector,
)
from hopfix._comparable import Comparable
from hopfix._config import resolve_threads
from hopfix._executor import as_executor, in_parts
from hopfix._interchange import in_callers_kind, interchange
from hopfix._json import as_lists
from hopfix._max_entropy import Hull, max_entropy_weights
from hopfix._progress import Progress, as_progress
from hopfix._sampled_faces import sampled_margin
from hopfix._sufficient_beta import (
    BetaCertificate,
    FaceRegion,
    SufficientBeta,
    sufficient_beta,
)

__all__ = [
    "BetaCertificate",
    "CipsMargin",
    "CriticalFaces",
    "DegenerateSet",
    "FaceRegion",
    "SufficientBeta",
    "cips_margin",
    "critical_faces",
    "is_cips",
    "sampled_margin",
    "sufficient_beta",
]


@dataclass(frozen=True, eq=False, slots=True)
class DegenerateSet(Comparable):
    """Patterns that tie exactly at a point, or of whose hull the point is not inside.

    Attributes:
        active: the indices of the patterns whose scores are equal and largest at ``state``.
        state: the point, shape (d,).
        weights: the weights of maximum entropy with sum(weights * patterns[active]) = state if the
            point is clearly inside the hull of the active patterns and these are affinely
            dependent: then the set carries one fixed point for large beta. Otherwise (a weight may
            be zero) None.
        morse_index: of that fixed point, the dimension of the hull; None without weights.
    """

    active: tuple[int, ...]
    state: FloatArray
    weights: FloatArray | None
    morse_index: int | None


class CriticalFaces:
    """The answer of :func:`critical_faces`, ordered by size, then lexicographically.

    Attributes:
        gap: (K,) the faces' common score less the largest one outside; inf if there is none.
        degenerate: the :class:`DegenerateSet` that were met. What they carry is not in ``faces``.
        center: without offsets, the origin if it is clearly inside the hull of the patterns and
            these are affinely dependent: it carries one further fixed point; else None.
        center_weights: its weights of maximum entropy, (N,); None without a centre.
        center_morse_index: the rank of the patterns; None without a centre.
        origin_radius: without offsets, faces whose points are nearer to the origin than this may
            be missing, as rounding hides whether they are there; mostly 0. Otherwise the origin is
            among ``degenerate``, unless it is the centre.
        complete: all critical faces of up to ``max_size`` patterns are there; False if time_limit,
            max_count or an interruption cut the search short.
    """

    def __init__(self, patterns: FloatArray, columns: dict[str, Any], max_size: int | None) -> None:
        dtype = patterns.dtype
        self._patterns = patterns
        self._first: npt.NDArray[np.int64] = columns["first"]
        self._indices: npt.NDArray[np.int64] = columns["indices"]
        self._weights: FloatArray = columns["weights"]
        with np.errstate(over="ignore"):
            self.gap: FloatArray = columns["gaps"].astype(dtype, copy=False)
        self.max_size = max_size
        self.origin_radius: float = columns["origin_radius"]
        self.complete: bool = columns["complete"]
        self.degenerate: tuple[DegenerateSet, ...] = ()
        self.center: FloatArray | None = None
        self.center_weights: FloatArray | None = None
        self.center_morse_index: int | None = None

    @cached_property
    def faces(self) -> list[tuple[int, ...]]:
        """The faces as ascending tuples of pattern indices."""
        flat = as_lists(self._indices)
        return [tuple(flat[a:b]) for a, b in pairwise(as_lists(self._first))]

    @cached_property
    def weights(self) -> list[FloatArray]:
        """One array per face: the weights p > 0 of its patterns."""
        flat = self._weights.astype(self._patterns.dtype, copy=False)
        return [flat[a:b] for a, b in pairwise(as_lists(self._first))]

    @property
    def ragged(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
        """(first, indices, weights), float64: face k is indices[first[k]:first[k + 1]]."""
        return self._first, self._indices, self._weights

    @property
    def states(self) -> FloatArray:
        """The faces' points, (K, d); computed at each call in O(K |I| d)."""
        states = np.empty((len(self), self._patterns.shape[1]), self._patterns.dtype)
        sizes = np.diff(self._first)
        for size in np.unique(sizes):
            rows = np.flatnonzero(sizes == size)
            for block in np.array_split(rows, 1 + len(rows) * int(size) // 65536):
                places = self._first[block][:, None] + np.arange(size)
                members = self._patterns[self._indices[places]].astype(np.float64)
                states[block] = np.einsum("ki,kid->kd", self._weights[places], members)
        return states

    @property
    def counts(self) -> dict[int, int]:
        """{size: number of faces}; a face of size k has Morse index k - 1."""
        sizes, numbers = np.unique(np.diff(self._first), return_counts=True)
        return dict(zip(sizes.tolist(), numbers.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists, numbers and strings, ready for strict `json.dumps`.

        An infinite gap, that of the set of all patterns, becomes None.
        """
        center = self.center_weights
        return {
            "faces": [list(face) for face in self.faces],
            "weights": [weights.tolist() for weights in self.weights],
            "states": as_lists(self.states),
            "gap": [gap if math.isfinite(gap) else None for gap in as_lists(self.gap)],
            "counts": {str(size): count for size, count in self.counts.items()},
            "degenerate": [
                {
                    "active": list(each.active),
                    "state": each.state.tolist(),
                    "weights": None if each.weights is None else each.weights.tolist(),
                    "morse_index": each.morse_index,
                }
                for each in self.degenerate
            ],
            "center": None if self.center is None else self.center.tolist(),
            "center_weights": None if center is None else center.tolist(),
            "center_morse_index": self.center_morse_index,
            "origin_radius": self.origin_radius,
            "max_size": self.max_size,
            "complete": self.complete,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the faces and their patterns to an .npz file, replacing `path` in one step.

        Raises:
            OSError: it cannot be written; a file that was there is left as it was.
        """
        from hopfix._face_files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CriticalFaces:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is damaged or of another kind; the path is named.
            MemoryError: it claims more than the machine has.
        """
        from hopfix._face_files import load

        return load(path)

    def __len__(self) -> int:
        return len(self._first) - 1

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return iter(self.faces)

    def __repr__(self) -> str:
        notes = [f"{len(self)} faces", f"counts={self.counts}"]
        notes.append("center" if self.center is not None else "no center")
        if self.degenerate:
            notes.append(f"{len(self.degenerate)} degenerate")
        if not self.complete:
            notes.append("cut short")
        return f"CriticalFaces({', '.join(notes)})"


@interchange
def critical_faces(
    patterns: npt.ArrayLike,
    *,
    offsets: npt.ArrayLike | None = None,
    max_size: int | None = None,
    max_count: int | None = None,
    time_limit: float | None = None,
    progress: Progress | None = None,
    num_threads: int | None = None,
) -> CriticalFaces:
    """Enumerate all critical faces of the limit beta -> infinity.

    Depth first, leaving out only sets that are proved, with all rounding, to be in no critical face
    (none off the origin, without offsets): see hopfix/critical_faces.hpp for the conditions.
    O(N^2 d + candidates N |I|) time, N^2 doubles of memory. The number of candidates can be
    exponential in min(N, d): limit ``max_size`` for many patterns.

    Every sign is decided for the numbers exactly as given (so rounded offsets may break a tie: look
    at ``gap``), with a margin for rounding, in double-double arithmetic where double is not enough,
    and in exact arithmetic where that is not: some 0.1 to 10 ms for each set that ties or nearly
    does. Exact ties are in ``degenerate``.

    Args:
        patterns: (N, d).
        offsets: (N,) the a_i; -|x_i|^2/2 gives mean shift (ordinary distances). None: zeros.
        max_size: leave out faces of more patterns.
        max_count: stop with that many faces.
        time_limit: seconds after which to return what has been found.
        progress: called with (tasks done, tasks in all), both of which grow.
        num_threads: as in `Hopfield`. The result does not depend on it, unless time runs out.

    Raises:
        TypeError, ValueError: naming the argument.
        KeyboardInterrupt: Ctrl-C; its attribute ``partial`` holds what was found.

    Example:
        >>> square = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.2]]
        >>> found = hopfix.faces.critical_faces(square)
        >>> found.counts
        {1: 4, 2: 4}
        >>> found.faces[:5]
        [(0,), (1,), (2,), (3,), (0, 1)]
    """
    given = as_patterns("patterns", patterns)
    checked = np.ascontiguousarray(given, dtype=np.float64)
    n = len(checked)
    a = None if offsets is None else as_vector("offsets", offsets, n, np.dtype(np.float64))
    size = n if max_size is None else as_integer("max_size", max_size, 1)
    most = 2**62 if max_count is None else as_limit("max_count", max_count)
    limit = math.inf if time_limit is None else as_positive("time_limit", time_limit)
    columns, interruption = _core.critical_faces(
        checked, a, min(size, n), most, limit, as_progress(progress), resolve_threads(num_threads)
    )
    result = CriticalFaces(given, columns, max_size)
    result.degenerate = tuple(
        _degenerate(given, active, weights)
        for active, weights in zip(columns["tied"], columns["tied_weights"], strict=True)
    )
    if interruption is None and (a is None or not a.any()):
        _find_center(result, checked)
        if result.origin_radius > 0 and result.center is None:
            _report_origin(result)
    if interruption is not None:
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _degenerate(patterns: FloatArray, active: list[int], weights: list[float]) -> DegenerateSet:
    members = patterns[active].astype(np.float64)
    state = np.asarray(weights) @ members
    answer = max_entropy_weights(members - state)
    found = answer.weights if answer.dimension + 1 < len(active) else None
    return DegenerateSet(
        active=tuple(active),
        state=state.astype(patterns.dtype),
        weights=None if found is None else found.astype(patterns.dtype),
        morse_index=None if found is None else answer.dimension,
    )


def _find_center(result: CriticalFaces, patterns: npt.NDArray[np.float64]) -> None:
    """Set the centre, or report the origin as degenerate if it may be on the hull's boundary."""
    n = len(patterns)
    if n == 1:
        return
    answer = max_entropy_weights(patterns)
    if answer.position is Hull.OUTSIDE:
        return
    dtype = result._patterns.dtype
    origin = np.zeros(patterns.shape[1], dtype)
    if answer.weights is None:
        _report_origin(result)
    elif n > answer.dimension + 1:  # otherwise the set of all patterns is a face
        result.center = origin
        result.center_weights = answer.weights.astype(dtype)
        result.center_morse_index = answer.dimension


def _report_origin(result: CriticalFaces) -> None:
    """Add the set of all patterns to the degenerate ones, if it is not there."""
    every = tuple(range(len(result._patterns)))
    if every not in {each.active for each in result.degenerate}:
        origin = np.zeros(result._patterns.shape[1], result._patterns.dtype)
        result.degenerate += (DegenerateSet(every, origin, None, None),)


@in_callers_kind
@dataclass(frozen=True, eq=False, slots=True)
class CipsMargin(Comparable):
    """A margin with proved bounds: ``lower <= exact margin <= upper``, floats or (K,) arrays.

    ``margin`` is their mean: inf for a face of all patterns, NaN between infinite bounds if inner
    products overflow. The bounds hold for the patterns as given (float64), including all rounding;
    they are some 1e-14 of the largest |x|^2 apart.
    """

    margin: Any
    lower: Any
    upper: Any


@interchange
def cips_margin(
    patterns: npt.ArrayLike,
    face: npt.ArrayLike,
    *,
    num_threads: int | None = None,
    executor: Executor | None = None,
) -> CipsMargin:
    """Return min over xi in conv(x_I) of [max_{i in I} x_i . xi - max_{j not in I} x_j . xi].

    Exact by linear programming: the least value of N - |I| matrix games with payoffs
    (x_i - x_j) . x_k, each bounded from both sides by a pair of strategies.

    Args:
        patterns: (N, d); the theory assumes distinct unit vectors, the margin does not.
        face: (m,) distinct indices, or (K, m) for K faces at once.
        num_threads: as in `Hopfield`; the result does not depend on it.
        executor: any `concurrent.futures.Executor`, which is given up to 64 parts of the faces.

    Example:
        >>> triangle = [[0.0, 0.0], [2.0, 0.0], [1.0, 0.2]]
        >>> bool(hopfix.faces.cips_margin(triangle, [0, 1]).lower > 0)  # the third is too near
        False
        >>> bool(hopfix.faces.cips_margin(np.eye(3), [0, 1]).lower > 0)
        True
    """
    checked = np.ascontiguousarray(as_patterns("patterns", patterns), dtype=np.float64)
    faces, single = as_faces(face, len(checked))
    threads = resolve_threads(num_threads)
    parts = in_parts(as_executor(executor), _core.cips_margins, faces, (checked,), (threads,))
    lower, upper = (np.concatenate(column) for column in zip(*parts, strict=True))
    middle = np.where(lower > 0, lower, np.nan)
    finite = np.isfinite(lower) & np.isfinite(upper)
    middle[finite] = 0.5 * lower[finite] + 0.5 * upper[finite]
    if single:
        return CipsMargin(float(middle[0]), float(lower[0]), float(upper[0]))
    return CipsMargin(middle, lower, upper)


@interchange
def is_cips(
    patterns: npt.ArrayLike,
    face: npt.ArrayLike,
    delta: float = 0.0,
    *,
    num_threads: int | None = None,
    executor: Executor | None = None,
) -> Any:
    """Return whether the margin is proved to exceed ``delta`` >= 0: a bool, or (K,) of them.

    A margin within rounding of ``delta`` (see :class:`CipsMargin`) gives False. The other arguments
    are those of :func:`cips_margin`.

    Example:
        >>> bool(hopfix.faces.is_cips(np.eye(3), [0, 1]))
        True
        >>> hopfix.faces.is_cips(np.eye(3), [[0, 1], [0, 2]], delta=0.9)
        array([False, False])
    """
    answer = cips_margin(patterns, face, num_threads=num_threads, executor=executor)
    return answer.lower > as_nonnegative("delta", delta)
