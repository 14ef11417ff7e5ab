"""Starts of branches where all fixed points are known: at very large and very small beta."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import FloatArray, row_norms
from hopfix._follow import follow_branches
from hopfix._logit_terms import LogitTerms
from hopfix._max_entropy import max_entropy_weights
from hopfix._passages import spread
from hopfix._progress import Progress
from hopfix.branches import Branches
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.network import Hopfield

_Array = npt.NDArray[np.float64]

# β R² of the first β tried, the factor to the next one, and how many there are.
_FIRST, _FACTOR, _MOST = 16.0, 4.0, 20
# Newton's method may change logits by so much: more than that, and it may have left the branch.
_MOST_MOVED = 0.5


@dataclass(frozen=True)
class _Seeds:
    """ξ ≈ states + slopes/β for the K fixed points at large β, of known Morse index."""

    faces: tuple[tuple[int, ...], ...]
    states: _Array
    slopes: _Array
    morse_index: npt.NDArray[np.int64]
    unseeded: tuple[tuple[int, ...], ...]


def from_infinity(
    patterns: FloatArray,
    beta_to: float,
    terms: LogitTerms,
    limits: dict[str, Any],
    *,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
    num_threads: int | None,
) -> Branches:
    """See `hopfix.branches.from_infinity`, which checks the arguments."""
    began = time.monotonic()
    scale = spread(patterns)
    first = min(max(_FIRST / scale / scale, 2 * beta_to), sys.float_info.max)
    found: CriticalFaces | None = None
    try:
        found = critical_faces(
            patterns,
            offsets=terms.offsets,
            time_limit=time_limit,
            num_threads=num_threads,
            **limits,
        )
        seeds = _seeds(patterns.astype(np.float64), found, terms)
        network, states, reached = _start(patterns, seeds, terms, first, scale, num_threads)
    except KeyboardInterrupt as error:
        net = Hopfield(patterns, first, log_weights=terms.at(first), num_threads=num_threads)
        listed = getattr(error, "partial", found)
        known = listed.faces if isinstance(listed, CriticalFaces) else ()
        error.partial = Branches(  # type: ignore[attr-defined]
            net, beta_to, (), (), terms, faces=(), unseeded=tuple(known), cut_short=True
        )
        raise
    if not len(states):
        raise ValueError(
            f"patterns: no fixed point near the limit is certified for beta from {first:.3g} on; "
            "scale the patterns up, or list the points of one beta by Hopfield.fixed_points"
        )
    left = None if time_limit is None else max(time_limit - (time.monotonic() - began), 1e-3)
    notes: dict[str, Any] = {
        "faces": tuple(face for face, here in zip(seeds.faces, reached, strict=True) if here),
        "unseeded": seeds.unseeded
        + tuple(face for face, here in zip(seeds.faces, reached, strict=True) if not here),
        "cut_short": not found.complete,
    }
    try:
        branches = follow_branches(
            network,
            beta_to,
            states,
            terms=terms,
            max_steps=max_steps,
            time_limit=left,
            progress=progress,
        )
    except KeyboardInterrupt as error:
        error.partial = replace(error.partial, **(notes | {"cut_short": True}))  # type: ignore[attr-defined]
        raise
    notes["cut_short"] |= branches.cut_short
    return replace(branches, **notes)


def _seeds(x: _Array, found: CriticalFaces, terms: LogitTerms) -> _Seeds:
    b = np.zeros(len(x)) if terms.log_weights is None else terms.log_weights
    slopes = np.empty((len(found), x.shape[1]))
    sizes = np.diff(found._first)
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        for block in np.array_split(rows, 1 + len(rows) * int(size) ** 2 // 2**20):
            places = found._first[block][:, None] + np.arange(size)
            members = found._indices[places]
            weights = found._weights[places].astype(np.float64)
            slopes[block] = _first_order(x[members], weights, b[members])
    states = [found.states.astype(np.float64)]
    tangents, faces = [slopes], list(found.faces)
    index, unseeded = [sizes - 1], []
    degenerate = [(each.active, each.state, each.weights) for each in found.degenerate]
    if found.center is not None:
        degenerate.append((tuple(range(len(x))), found.center, found.center_weights))
    for active, state, balance in degenerate:
        points = x[list(active)] - state
        answer = None if balance is None else max_entropy_weights(points, b[list(active)])
        if answer is None or answer.weights is None or answer.dual is None:
            unseeded.append(active)
            continue
        faces.append(active)
        states.append(np.asarray(state, np.float64)[None])
        tangents.append(answer.dual[None])
        index.append(np.array([answer.dimension]))
    return _Seeds(
        tuple(faces),
        np.concatenate(states),
        np.concatenate(tangents),
        np.concatenate(index).astype(np.int64),
        tuple(unseeded),
    )


def _first_order(members: _Array, weights: _Array, b: _Array) -> _Array:
    """dξ/dt at t = 1/β = 0 of faces of one size m: (K, m, d), (K, m), (K, m) to (K, d).

    [G −1; 1ᵀ 0] [δp; δc] = [log p − b; 0], G the Gram matrix of a face (MATH 3).
    """
    count, m, _ = members.shape
    matrix = np.zeros((count, m + 1, m + 1))
    # About the first pattern: a shift of the origin changes δc alone.
    edges = members - members[:, :1]
    matrix[:, :m, :m] = edges @ edges.transpose(0, 2, 1)
    matrix[:, :m, m] = -1
    matrix[:, m, :m] = 1
    right = np.zeros((count, m + 1, 1))
    right[:, :m, 0] = np.log(weights) - b
    change = np.linalg.solve(matrix, right)[:, :m, 0]
    slopes: _Array = np.einsum("ki,kid->kd", change, edges)
    return slopes


def _start(
    patterns: FloatArray,
    seeds: _Seeds,
    terms: LogitTerms,
    first: float,
    scale: float,
    num_threads: int | None,
) -> tuple[Hopfield, _Array, npt.NDArray[np.bool_]]:
    """The smallest β of those tried from which every seed is reached, there and at the next one.

    With the points reached, and which seeds they belong to: most of them, if never all.
    """
    best: tuple[Hopfield, _Array, npt.NDArray[np.bool_]] | None = None
    last: tuple[Hopfield, _Array, npt.NDArray[np.bool_]] | None = None
    for step in range(_MOST):
        beta = min(first * _FACTOR**step, sys.float_info.max)
        network = Hopfield(patterns, beta, log_weights=terms.at(beta), num_threads=num_threads)
        states, reached = _reach(network, seeds, scale)
        if last is not None:
            both = last[2] & reached
            if best is None or both.sum() > best[2].sum():
                best = (last[0], last[1], both)
            if both.all():
                break
        last = (network, states, reached)
    assert best is not None
    network, states, reached = best
    return network, states[reached], reached


def _reach(network: Hopfield, seeds: _Seeds, scale: float) -> tuple[_Array, npt.NDArray[np.bool_]]:
    """Newton's method from the seeds; where it stays close and ends certified, each elsewhere."""
    guesses = seeds.states + seeds.slopes / network.beta
    core, threads = network._core64, network._threads
    states, solved = _core.correct_states(core, np.ascontiguousarray(guesses), threads)
    with np.errstate(over="ignore"):
        moved = row_norms(states - guesses) * network.beta * scale
    reached = solved.view(bool) & (moved <= _MOST_MOVED)
    columns = _core.certify(core, states, threads)
    reached &= columns["certified"] & (columns["morse_index"] == seeds.morse_index)
    return states, reached & _apart(states, columns["uniqueness_radius"])


def _apart(states: _Array, uniqueness: _Array) -> npt.NDArray[np.bool_]:
    """Whether no state that comes before it in some order lies in a state's uniqueness ball."""
    order = np.lexsort(states.T)
    ordered = states[order]
    gaps = np.full(len(states), math.inf)
    if len(states) > 1:
        gaps[1:] = row_norms(np.diff(ordered, axis=0))
    apart = np.empty(len(states), np.bool_)
    apart[order] = ~(gaps < uniqueness[order] / 2)
    return apart


def from_zero(
    patterns: FloatArray,
    beta_to: float,
    terms: LogitTerms,
    *,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
    num_threads: int | None,
) -> Branches:
    """See `hopfix.branches.from_zero`, which checks the arguments."""
    # No two patterns are further apart than twice the largest distance from their mean: the
    # Jacobian's norm is below 1/2.
    size = spread(patterns)
    beta = max(min(0.5 / size / size, beta_to / 2), sys.float_info.min)
    network = Hopfield(patterns, beta, log_weights=terms.at(beta), num_threads=num_threads)
    # By Newton's method: "converged" of a retrieval is relative to max(1, ‖ξ‖).
    mean = patterns.astype(np.float64).mean(axis=0, keepdims=True)
    states, _ = _core.correct_states(network._core64, mean, network._threads)
    return follow_branches(
        network,
        beta_to,
        states,
        terms=terms,
        max_steps=max_steps,
        time_limit=time_limit,
        progress=progress,
    )
