"""The searches behind `Hopfield.fixed_points`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix import _core, softmax_map
from hopfix._arrays import FloatArray
from hopfix.fixed_points import FixedPoints, assemble

if TYPE_CHECKING:
    from hopfix.network import Hopfield

Progress: TypeAlias = Callable[[int, int], object]

# Orthonormal networks up to this size are listed in closed form by method="auto".
_AUTO_CLOSED_FORM_UP_TO = 16
_CHUNK = 4096
_COLUMNS = ("certified", "radius", "uniqueness_radius", "morse_index", "spectral_radius")


def search(
    network: Hopfield,
    method: str,
    *,
    certify: bool,
    max_count: int | None,
    time_limit: float | None,
    seed: int,
    progress: Progress | None,
) -> FixedPoints:
    """Run the named search; arguments are checked by `Hopfield.fixed_points`."""
    core = network._core64
    if method == "auto":
        small = network.patterns.shape[0] <= _AUTO_CLOSED_FORM_UP_TO
        method = "closed_form" if small and _is_orthonormal(network) else "starts"
    if method == "closed_form":
        return _closed_form(network, certify, max_count, time_limit, progress)
    columns, interruption = _core.fixed_points_by_starts(
        core,
        seed,
        2**62 if max_count is None else max_count,
        np.inf if time_limit is None else time_limit,
        network.dtype == np.float32,
        progress,
        network._threads,
    )
    cut = ("the search was cut short (time_limit, max_count or an interruption)",)
    result = assemble(
        network,
        columns,
        method="starts",
        proved=False,
        open_questions=cut if columns["cut_short"] else (),
    )
    if interruption is not None:
        raise _with_partial(interruption, result)
    return result


def _with_partial(interruption: BaseException, result: FixedPoints) -> BaseException:
    """Hang what was found on the exception that stopped the search."""
    interruption.partial = result  # type: ignore[attr-defined]
    return interruption


def _is_orthonormal(network: Hopfield) -> bool:
    n, d = network.patterns.shape
    tolerance = 8 * (d + n) * float(np.finfo(network.dtype).eps)
    return bool(_core.is_equinorm_orthogonal(network._core64, tolerance))


def _is_exactly_orthonormal(patterns: FloatArray) -> bool:
    """Whether x_i·x_j = c δ_ij holds exactly, decided in integers."""
    mantissa, exponent = np.frexp(patterns.astype(np.float64))
    exponent = np.where(mantissa == 0, 0, exponent)
    integers = (mantissa * 2.0**53).astype(np.int64).astype(object)
    scaled = integers * np.power(
        np.full(exponent.shape, 2, dtype=object), (exponent - exponent.min()).astype(object)
    )
    gram = scaled @ scaled.T
    return bool((gram == gram[0, 0] * np.eye(len(gram), dtype=np.int64).astype(object)).all())


def _away_from_thresholds(n: int, beta: float) -> bool:
    """Whether no rounding of beta or of a threshold can change the number of fixed points."""
    thresholds = [softmax_map.threshold(n, k) for k in range(1, n // 2 + 1)] + [float(n)]
    return all(abs(beta - t) > 1e-12 * t for t in thresholds)


def _closed_form(
    network: Hopfield,
    certify: bool,
    max_count: int | None,
    time_limit: float | None,
    progress: Progress | None,
) -> FixedPoints:
    """List the fixed points of orthogonal patterns of equal norm (Tiňo 2009).

    They are Σ p_i x_i with p the fixed points of the softmax map at β‖x‖².
    """
    if not _is_orthonormal(network):
        raise ValueError(
            "patterns: got patterns (or log_weights) for which there is no closed form, need "
            "orthogonal patterns of equal norm and equal log_weights, up to rounding"
        )
    n, d = network.patterns.shape
    patterns = network.patterns.astype(np.float64)
    beta = network.beta * float(np.mean(np.einsum("ij,ij->i", patterns, patterns)))
    total = softmax_map.count(n, beta)
    wanted = total if max_count is None else min(total, max_count)
    # State, weights, their transients and a dozen numbers per point.
    need = wanted * (2 * d + 2 * n + 12) * 8
    if need > 2**33:
        raise MemoryError(
            f"method 'closed_form': {total} fixed points need {need / 2**30:.3g} GiB, more than "
            "the 8 GiB allowed; pass max_count, or use hopfix.softmax_map.fixed_points for the "
            "classes"
        )
    weights = _class_weights(n, beta, wanted)
    states = (weights @ patterns).astype(network.dtype)
    columns, interruption = _certify_in_chunks(network, states, certify, time_limit, progress)
    complete = len(columns["states"]) == total
    result = assemble(
        network,
        columns,
        method="closed_form",
        proved=complete and _is_exactly_orthonormal(patterns) and _away_from_thresholds(n, beta),
        open_questions=() if complete else ("cut short (time_limit, max_count or interruption)",),
    )
    if interruption is not None:
        raise _with_partial(interruption, result)
    return result


def _class_weights(n: int, beta: float, wanted: int) -> npt.NDArray[np.float64]:
    classes = softmax_map.fixed_points(n, beta)
    rows = np.cumsum([0] + [min(c.multiplicity, wanted) for c in classes])
    classes = [c for c, start in zip(classes, rows, strict=False) if start < wanted]
    weights: npt.NDArray[np.float64] = _core.subset_weights(
        n, [c.k for c in classes], [c.u for c in classes], [c.v for c in classes]
    )
    return weights[:wanted]


def _certify_in_chunks(
    network: Hopfield,
    states: FloatArray,
    certify: bool,
    time_limit: float | None,
    progress: Progress | None,
) -> tuple[dict[str, Any], KeyboardInterrupt | None]:
    """Certify states until done, out of time or interrupted; what is left out is dropped."""
    began = time.monotonic()
    parts: list[dict[str, Any]] = []
    interruption: KeyboardInterrupt | None = None
    for first in range(0, len(states), _CHUNK):
        if parts and time_limit is not None and time.monotonic() - began > time_limit:
            break
        chunk = states[first : first + _CHUNK].astype(np.float64)
        try:
            parts.append(_examine(network, chunk, certify))
            if progress is not None:
                progress(first + len(chunk), len(states))
        except KeyboardInterrupt as error:
            interruption = error
            break
    d = network.patterns.shape[1]
    empty = {name: np.empty(0) for name in _COLUMNS}
    empty |= {"certified": np.empty(0, bool), "morse_index": np.empty(0, np.int64)}
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) if parts else empty[name]
        for name in _COLUMNS
    }
    columns["reasons"] = [reason for part in parts for reason in part["reasons"]]
    columns["states"] = (
        np.concatenate([part["states"] for part in parts]) if parts else np.empty((0, d))
    )
    return columns, interruption


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
