"""Fixed points of a network on a device: Newton's method there, certificates on the host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix._face_search import _offsets, _seeds
from hopfix._fixed_point_list import assemble
from hopfix._progress import Progress
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.fixed_points import FixedPoints, Undecided
from hopfix.gpu._merge import distinct, near_pairs
from hopfix.gpu._namespace import device_of, to_host
from hopfix.gpu._newton import Hull, hull_of, newton
from hopfix.gpu._store import Store, row_blocks

if TYPE_CHECKING:
    from hopfix.network import Hopfield

_STARTS_OF_A_ROUND = 1024
_MOST_ROUNDS = 32
_MOST_PATTERNS_OF_A_START = 16
# States this near to each other, relative to the largest pattern, are taken for one.
_SAME = 1e-7
# Covers the rounding of a distance, when it is compared with a proved radius.
_UPWARDS = 1 + 1e-10

_NOTHING: dict[str, Any] = {
    "morse_index": np.empty(0, np.int64),
    "certified": np.empty(0, np.bool_),
    "spectral_radius": np.empty(0),
    "radius": np.empty(0),
    "uniqueness_radius": np.empty(0),
    "reasons": [],
}

Wide = npt.NDArray[np.float64]
# Averages of patterns: their indices (B, m) and weights (B, m).
Starts: TypeAlias = tuple[npt.NDArray[np.int64], Wide]


def search(
    store: Store,
    host: Hopfield,
    method: str,
    *,
    max_face: int | None,
    max_count: int | None,
    time_limit: float | None,
    seed: int,
    progress: Progress | None,
) -> FixedPoints:
    """Find fixed points from starts, in double precision; arguments are checked by the network.

    Starts are averages of few patterns, made on the host as indices and weights. `host` is the
    same network there: it enumerates the critical faces, and certifies.
    """
    ends = np.inf if time_limit is None else time.monotonic() + time_limit
    left: list[Undecided] = []
    starts: list[Starts] | _Random = _Random(len(host.patterns), seed)
    xp, hull = store.xp, hull_of(store.astype(store.xp.float64))
    scale = float(np.linalg.norm(host.patterns, axis=1).max()) or 1.0
    found, known = hull.store.patterns[:0, :], 0
    most = np.inf if max_count is None else max_count
    interruption: BaseException | None = None
    cut = False
    try:
        if method == "faces":
            starts, left = _from_faces(host, max_face, max_count, time_limit)
        for done, (indices, weights) in enumerate(starts):
            if done and (known >= most or time.monotonic() > ends):
                cut = True
                break
            reached = _reached(hull, indices, weights)
            found = distinct(xp, xp.concat([found, reached]), _SAME * scale)
            if progress is not None:
                progress(done + 1, len(starts))
            before, known = known, int(found.shape[0])
            if method == "starts" and known == before:
                break
    except BaseException as error:  # Ctrl-C is still Ctrl-C, but what was found is not lost.
        interruption, cut = error, True
    if cut or known > most:
        left.append(
            Undecided(None, "the search was cut short (time_limit, max_count or an interruption)")
        )
    result = _listed(hull, host, found[:max_count, :], method, tuple(left))
    if interruption is not None:
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _reached(hull: Hull, indices: npt.NDArray[np.int64], weights: Wide) -> Any:
    """The coordinates (K, r) that Newton's method reaches from weighted averages of patterns."""
    xp, inside = hull.store.xp, hull.store
    options = {"device": device_of(hull.origin)}
    count, size = indices.shape
    states = []
    for rows in row_blocks(count, size * inside.dim):
        chosen = xp.take(inside.patterns, xp.asarray(indices[rows].ravel(), **options), axis=0)
        chosen = xp.reshape(chosen, (-1, size, inside.dim))
        states.append((xp.asarray(weights[rows, None], **options) @ chosen)[:, 0, :])
    reached, residuals = newton(inside, xp.concat(states))
    # The best of states that are the same comes first.
    return xp.take(reached, xp.argsort(residuals), axis=0)


class _Random:
    """Rounds of random averages of up to 16 patterns, the patterns themselves in the first."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return _MOST_ROUNDS

    def __iter__(self) -> Iterator[Starts]:
        rng = np.random.default_rng(self._seed)
        most = min(self._count, _MOST_PATTERNS_OF_A_START)
        for _ in range(_MOST_ROUNDS):
            sizes = rng.integers(1, most + 1, _STARTS_OF_A_ROUND)
            indices = rng.integers(0, self._count, (_STARTS_OF_A_ROUND, most))
            weights = rng.standard_exponential((_STARTS_OF_A_ROUND, most)) + 0.1
            weights[np.arange(most)[None, :] >= sizes[:, None]] = 0
            yield indices, weights / weights.sum(axis=1, keepdims=True)


def _from_faces(
    host: Hopfield, max_face: int | None, max_count: int | None, time_limit: float | None
) -> tuple[list[Starts], list[Undecided]]:
    """The critical faces as starts, a round for each size, and what was left out of them."""
    faces: CriticalFaces = critical_faces(
        host.patterns.astype(np.float64),
        offsets=_offsets(host),
        max_size=max_face,
        max_count=max_count,
        time_limit=time_limit,
        num_threads=host._threads,
    )
    begins, members, shares, skipped = _seeds(faces, max_face)
    first, sizes = np.asarray(begins[:-1]), np.diff(begins)
    rounds = []
    for size in np.unique(sizes):
        places = first[sizes == size][:, None] + np.arange(size)
        rounds.append((members[places], shares[places]))
    left = []
    if not faces.complete:
        left.append(Undecided(None, "the faces were cut short (time_limit or max_count)"))
    if skipped or (max_face is not None and max_face < len(host.patterns)):
        left.append(Undecided(None, f"faces of more than max_face={max_face} patterns"))
    return rounds, left


def _listed(
    hull: Hull, host: Hopfield, found: Any, method: str, left: tuple[Undecided, ...]
) -> FixedPoints:
    """Certify the states as the network's dtype stores them, and keep one in each proved ball."""
    states = to_host(hull.states(found)).astype(host.dtype)
    if not len(states):
        return assemble(host, _NOTHING | {"states": states}, method=method, proved=False, left=left)
    proofs = host.certify(states)
    wide = states.astype(np.float64)
    kept = _apart(hull, wide, np.nan_to_num(proofs.radius), np.nan_to_num(proofs.uniqueness_radius))
    radii = host._core64.spectral_radius(wide[kept], host._threads)
    columns = {
        "states": wide[kept],
        "morse_index": proofs.morse_index[kept],
        "certified": proofs.certified[kept],
        "spectral_radius": radii,
        "radius": proofs.radius[kept],
        "uniqueness_radius": proofs.uniqueness_radius[kept],
        "reasons": [proofs.reasons[i] for i in kept],
    }
    return assemble(host, columns, method=method, proved=False, left=left)


def _apart(hull: Hull, states: Wide, radius: Wide, unique: Wide) -> npt.NDArray[np.int64]:
    """The states that lie, with their own balls, in the proved ball of no other one kept.

    The widest ball comes first. The device says which states may be near each other; in
    coordinates of the hull none are farther apart than they are.
    """
    options = {"device": device_of(hull.origin)}
    coordinates = hull.coordinates(hull.store.xp.asarray(states, **options))
    reach = hull.store.xp.asarray(unique, **options)
    i, j = near_pairs(hull.store.xp, coordinates, reach).T
    rank = np.empty(len(states), dtype=np.int64)
    rank[np.argsort(-unique, kind="stable")] = np.arange(len(states))
    inside = _UPWARDS * (np.linalg.norm(states[i] - states[j], axis=1) + radius[i]) < unique[j]
    i, j = (side[inside & (rank[j] < rank[i])] for side in (i, j))
    gone = np.zeros(len(states), dtype=np.bool_)
    for place in np.argsort(rank[i], kind="stable"):
        gone[i[place]] |= not gone[j[place]]
    return np.flatnonzero(~gone)
