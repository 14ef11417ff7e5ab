"""All fixed points of orthogonal patterns of equal norm, in closed form (Tiňo 2009).

They are Σ p_i x_i with p the fixed points of the softmax map at β‖x‖².
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import _core, softmax_map
from hopfix._arrays import FloatArray
from hopfix._fixed_point_list import assemble
from hopfix._progress import Progress
from hopfix.fixed_points import FixedPoints, Undecided

if TYPE_CHECKING:
    from hopfix.network import Hopfield

_CHUNK = 4096
_MOST_BYTES = 2**33
_CUT = "cut short (time_limit, max_count or interruption)"
_COLUMNS = ("certified", "radius", "uniqueness_radius", "morse_index", "spectral_radius")


class _Points(NamedTuple):
    """The closed form: weights (K, N) and the Morse index that the theory gives (K,)."""

    weights: npt.NDArray[np.float64]
    morse_index: npt.NDArray[np.int64]


def applies(network: Hopfield) -> bool:
    """Whether patterns are orthogonal with equal norm, and log-weights equal, up to rounding."""
    n, d = network.patterns.shape
    tolerance = 8 * (d + n) * float(np.finfo(network.dtype).eps)
    orthogonal = bool(_core.is_equinorm_orthogonal(network._core64, tolerance))
    return orthogonal and 0 < _effective_beta(network) < math.inf


def search(
    network: Hopfield,
    certify: bool,
    max_count: int | None,
    time_limit: float | None,
    progress: Progress | None,
) -> tuple[FixedPoints, KeyboardInterrupt | None]:
    """List and certify the points; also returns the Ctrl-C that cut the work short, if any."""
    if not applies(network):
        raise ValueError(
            "patterns: got patterns (or log_weights) for which there is no closed form, need "
            "orthogonal patterns of equal norm with finite beta ‖x‖² > 0 and equal log_weights, up "
            "to rounding"
        )
    n, d = network.patterns.shape
    beta = _effective_beta(network)
    total = softmax_map.count(n, beta)
    wanted = total if max_count is None else min(total, max_count)
    # State, weights, their transients and a dozen numbers per point.
    need = wanted * (2 * d + 3 * n + 12) * 8
    if need > _MOST_BYTES:
        raise MemoryError(
            f"method 'closed_form': about 2^{wanted.bit_length() - 1} fixed points need about "
            f"2^{need.bit_length() - 1} bytes, more than the 2^33 allowed; pass max_count, or use "
            "hopfix.softmax_map.fixed_points for the classes"
        )
    points, columns, interruption = _certify_in_chunks(
        network, _chunks(n, beta, wanted), wanted, certify, time_limit, progress
    )
    complete = len(columns["states"]) == total
    result = assemble(
        network,
        columns,
        method="closed_form",
        proved=complete and _counts_exactly(network, beta) and _distinct(network, points, columns),
        left=() if complete else (Undecided(None, _CUT),),
    )
    return result, interruption


def _effective_beta(network: Hopfield) -> float:
    """β‖x‖², to rounding; infinite or 0 where it leaves the range of doubles."""
    with np.errstate(over="ignore", under="ignore"):
        wide = network.patterns.astype(np.float64)
        squares = np.einsum("ij,ij->i", wide, wide)
        return float(network.beta * np.mean(squares))


def _chunks(n: int, beta: float, wanted: int) -> Iterator[_Points]:
    """The first `wanted` points, class by class, a few at a time."""
    left = wanted
    for c in softmax_map.fixed_points(n, beta):
        rows = min(c.multiplicity, left)
        if rows == 0:
            break
        left -= rows
        weights = _core.subset_weights(n, c.k, c.u, c.v, rows)
        for first in range(0, rows, _CHUNK):
            some = weights[first : first + _CHUNK]
            yield _Points(some, np.full(len(some), c.morse_index))


def _exact_square(patterns: FloatArray) -> Fraction | None:
    """‖x‖² if the patterns are orthogonal with equal norm without rounding, decided in integers."""
    mantissa, exponent = np.frexp(patterns.astype(np.float64))
    exponent = np.where(mantissa == 0, 0, exponent)
    least = int(exponent.min())
    integers, shifts = (mantissa * 2.0**53).astype(np.int64), exponent - least
    # Pair by pair, between which other threads may run.
    rows = [a.astype(object) << b.astype(object) for a, b in zip(integers, shifts, strict=True)]
    square = rows[0] @ rows[0]
    for i, row in enumerate(rows):
        if row @ row != square or any(row @ other != 0 for other in rows[:i]):
            return None
    return Fraction(int(square)) * Fraction(2) ** (2 * (least - 53))


def _counts_exactly(network: Hopfield, beta: float) -> bool:
    """Whether the exact β‖x‖² has as many fixed points as the rounded one.

    True only if the patterns are exactly orthogonal and both numbers lie on the same side of
    every threshold, with the exact one further away than a threshold's own rounding.
    """
    square = _exact_square(network.patterns)
    if square is None:
        return False
    n = len(network.patterns)
    exact = Fraction(network.beta) * square
    thresholds = [softmax_map.threshold(n, k) for k in range(1, (n + 1) // 2)] + [float(n)]
    return all(
        (exact > t) == (beta > t) and abs(exact - Fraction(t)) > Fraction(t) / 10**12
        for t in thresholds
    )


def _distinct(network: Hopfield, points: _Points, columns: dict[str, Any]) -> bool:
    """Whether no two certificates can be about the same fixed point.

    The coordinates x_i·ξ/‖x‖² of the fixed point near row j differ from the row's weights by at
    most `error`. Below a quarter of u − v that fixes which of them are the large ones, and for
    equal sets the Morse index tells the (at most two) points apart.
    """
    if not (columns["morse_index"] == points.morse_index).all():
        return False
    wide = network.patterns.astype(np.float64)
    square = float(np.mean(np.einsum("ij,ij->i", wide, wide)))
    coordinates = columns["states"] @ wide.T / square
    rounding = 1e-10
    error = (
        np.abs(coordinates - points.weights).max(axis=1)
        + columns["radius"] / math.sqrt(square)
        + rounding
    )
    spread = points.weights.max(axis=1) - points.weights.min(axis=1)
    centre = spread == 0
    smallest = spread[~centre].min(initial=math.inf)
    return bool((error < np.where(centre, smallest, spread) / 4).all())


def _certify_in_chunks(
    network: Hopfield,
    chunks: Iterable[_Points],
    total: int,
    certify: bool,
    time_limit: float | None,
    progress: Progress | None,
) -> tuple[_Points, dict[str, Any], KeyboardInterrupt | None]:
    """Certify points until done, out of time or interrupted; what is left out is dropped."""
    began, done = time.monotonic(), 0
    wide = network.patterns.astype(np.float64)
    kept = [_Points(np.empty((0, len(wide))), np.empty(0, np.int64))]
    parts: list[dict[str, Any]] = []
    interruption: KeyboardInterrupt | None = None
    try:
        for chunk in chunks:
            if parts and time_limit is not None and time.monotonic() - began > time_limit:
                break
            states = (chunk.weights @ wide).astype(network.dtype).astype(np.float64)
            kept.append(chunk)
            parts.append(_examine(network, states, certify))
            done += len(states)
            if progress is not None:
                progress(done, total)
    except KeyboardInterrupt as error:
        interruption = error
    return _joined_points(kept[: len(parts) + 1]), _joined(parts, wide.shape[1]), interruption


def _joined_points(parts: list[_Points]) -> _Points:
    return _Points(
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.morse_index for part in parts]),
    )


def _joined(parts: list[dict[str, Any]], dim: int) -> dict[str, Any]:
    empty = {name: np.empty(0) for name in _COLUMNS}
    empty |= {"certified": np.empty(0, bool), "morse_index": np.empty(0, np.int64)}
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) if parts else empty[name]
        for name in _COLUMNS
    }
    columns["reasons"] = [reason for part in parts for reason in part["reasons"]]
    columns["states"] = (
        np.concatenate([part["states"] for part in parts]) if parts else np.empty((0, dim))
    )
    return columns


def _examine(network: Hopfield, states: npt.NDArray[np.float64], certify: bool) -> dict[str, Any]:
    """Certify states, or, without certificates, count eigenvalues of the Jacobian above 1."""
    if certify:
        columns: dict[str, Any] = _core.certify(network._core64, states, network._threads)
    else:
        eigenvalues = np.linalg.eigvalsh(network._core64.jacobian(states, network._threads))
        nothing = np.full(len(states), np.nan)
        columns = {
            "certified": np.zeros(len(states), dtype=bool),
            "radius": nothing,
            "uniqueness_radius": nothing,
            "morse_index": (eigenvalues > 1).sum(axis=1),
            "spectral_radius": eigenvalues[:, -1],
            "reasons": ["certificates were not asked for"] * len(states),
        }
    columns["states"] = states
    return columns
