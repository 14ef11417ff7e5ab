"""Fixed points of a network on a device: Newton's method there, certificates on the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix._face_search import _offsets, _seeds
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.fixed_points import FixedPoints, Undecided, assemble
from hopfix.gpu._namespace import device_of, to_host
from hopfix.gpu._newton import Hull, hull_of, newton
from hopfix.gpu._store import Store

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
Starts = Iterator[tuple[npt.NDArray[np.int64], Wide]]


def search(
    store: Store,
    host: Hopfield,
    method: str,
    *,
    max_face: int | None,
    max_count: int | None,
    time_limit: float | None,
    seed: int,
    progress: Callable[[int, int], object] | None,
) -> FixedPoints:
    """Find fixed points from starts, in double precision; arguments are checked by the network.

    Starts are averages of few patterns, made on the host as indices and weights. `host` is the
    same network there: it enumerates the critical faces, and certifies.
    """
    ends = np.inf if time_limit is None else time.monotonic() + time_limit
    left: list[Undecided] = []
    if method == "faces":
        starts, left = _from_faces(host, max_face, max_count, time_limit)
    else:
        starts = _random(len(host.patterns), seed)
    hull = hull_of(store.astype(store.xp.float64))
    scale = float(np.linalg.norm(host.patterns, axis=1).max()) or 1.0
    found = np.empty((0, store.dim))
    interruption: BaseException | None = None
    cut = False
    try:
        for done, (indices, weights) in enumerate(starts):
            known = len(found)
            found = _distinct(np.concatenate([found, _run(hull, indices, weights)]), _SAME * scale)
            if progress is not None:
                progress(done + 1, max(done + 1, _MOST_ROUNDS if method == "starts" else 1))
            if method == "starts" and len(found) == known:
                break
            enough = max_count is not None and len(found) >= max_count
            if enough or time.monotonic() > ends:
                cut = True
                break
    except BaseException as error:  # Ctrl-C is still Ctrl-C, but what was found is not lost.
        interruption, cut = error, True
    if cut:
        left.append(
            Undecided(None, "the search was cut short (time_limit, max_count or an interruption)")
        )
    result = _listed(host, found[:max_count], method, tuple(left))
    if interruption is not None:
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _run(hull: Hull, indices: npt.NDArray[np.int64], weights: Wide) -> Wide:
    """The states, on the host, that Newton's method reaches from weighted averages of patterns."""
    xp = hull.store.xp
    options = {"device": device_of(hull.origin)}
    states = None
    for column in range(indices.shape[1]):
        chosen = xp.take(hull.store.patterns, xp.asarray(indices[:, column], **options), axis=0)
        part = xp.asarray(weights[:, column], **options)[:, None] * chosen
        states = part if states is None else states + part
    reached, residuals = newton(hull.store, states)
    # The best of states that are the same comes first.
    reached = xp.take(reached, xp.argsort(residuals), axis=0)
    return to_host(hull.states(reached))


def _random(count: int, seed: int) -> Starts:
    """Rounds of random averages of up to 16 patterns, the patterns themselves in the first."""
    rng = np.random.default_rng(seed)
    most = min(count, _MOST_PATTERNS_OF_A_START)
    for _ in range(_MOST_ROUNDS):
        sizes = rng.integers(1, most + 1, _STARTS_OF_A_ROUND)
        indices = rng.integers(0, count, (_STARTS_OF_A_ROUND, most))
        weights = rng.standard_exponential((_STARTS_OF_A_ROUND, most)) + 0.1
        weights[np.arange(most)[None, :] >= sizes[:, None]] = 0
        yield indices, weights / weights.sum(axis=1, keepdims=True)


def _from_faces(
    host: Hopfield, max_face: int | None, max_count: int | None, time_limit: float | None
) -> tuple[Starts, list[Undecided]]:
    """The critical faces as one round of starts, and what was left out of it."""
    faces: CriticalFaces = critical_faces(
        host.patterns.astype(np.float64),
        offsets=_offsets(host),
        max_size=max_face,
        max_count=max_count,
        time_limit=time_limit,
        num_threads=host._threads,
    )
    first, members, shares, skipped = _seeds(faces, max_face)
    sizes = np.diff(first)
    indices = np.zeros((len(sizes), int(sizes.max())), dtype=np.int64)
    weights = np.zeros(indices.shape)
    inside = np.arange(indices.shape[1])[None, :] < sizes[:, None]
    indices[inside], weights[inside] = members, shares
    left = []
    if not faces.complete:
        left.append(Undecided(None, "the faces were cut short (time_limit or max_count)"))
    if skipped or (max_face is not None and max_face < len(host.patterns)):
        left.append(Undecided(None, f"faces of more than max_face={max_face} patterns"))
    return iter([(indices, weights)]), left


def _distinct(states: Wide, nearness: float) -> Wide:
    """The first of all states that lie together."""
    kept: list[int] = []
    left = np.arange(len(states))
    while len(left):
        kept.append(int(left[0]))
        left = left[np.linalg.norm(states[left] - states[left[0]], axis=1) > nearness]
    return states[kept]


def _listed(host: Hopfield, found: Wide, method: str, left: tuple[Undecided, ...]) -> FixedPoints:
    """Certify the states as the network's dtype stores them, and keep one in each proved ball."""
    states = found.astype(host.dtype)
    if not len(states):
        return assemble(host, _NOTHING | {"states": states}, method=method, proved=False, left=left)
    proofs = host.certify(states)
    wide = states.astype(np.float64)
    kept: list[int] = []
    # The widest ball first: what lies in it, with its own, is the same point.
    for i in np.argsort(-np.nan_to_num(proofs.uniqueness_radius), kind="stable"):
        apart = np.linalg.norm(wide[kept] - wide[i], axis=1)
        own = np.nan_to_num(proofs.radius[i])
        if not (_UPWARDS * (apart + own) < np.nan_to_num(proofs.uniqueness_radius[kept])).any():
            kept.append(int(i))
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
