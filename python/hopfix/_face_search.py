"""The search method "faces": from the critical faces of the limit beta -> infinity."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix import _core
from hopfix._executor import Delegate
from hopfix._fixed_point_list import assemble
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.fixed_points import FixedPoints, Proof, Undecided

if TYPE_CHECKING:
    from hopfix._progress import Progress
    from hopfix.network import Hopfield

_ARITHMETIC = "IEEE 754 binary64, round-to-nearest, all rounding bounded outwards"
# A proof that takes more regions than so many for a face is left at its beginning.
_REGIONS_OF_A_FACE = 100
_FEWEST_REGIONS = 200_000


def search(
    network: Hopfield,
    form: str,
    max_face: int | None,
    max_regions: int | None,
    max_count: int | None,
    time_limit: float | None,
    progress: Progress | None,
    delegate: Delegate | None,
) -> tuple[FixedPoints, BaseException | None]:
    """Follow every critical face to this beta; arguments are checked by `Hopfield.fixed_points`."""
    started = time.monotonic()
    interruption: BaseException | None = None
    try:
        faces = critical_faces(
            network.patterns.astype(np.float64),
            offsets=_offsets(network),
            max_size=max_face,
            max_count=max_count,
            time_limit=time_limit,
            progress=progress,
            num_threads=network._threads,
        )
    except BaseException as error:
        if not isinstance(partial := getattr(error, "partial", None), CriticalFaces):
            raise
        faces, interruption = partial, error
    first, indices, weights, skipped = _seeds(faces, max_face)
    whole = faces.complete and not skipped and interruption is None
    if max_regions is None:
        max_regions = _FEWEST_REGIONS + _REGIONS_OF_A_FACE * len(faces)
    left_over = np.inf if time_limit is None else time_limit - (time.monotonic() - started)
    columns, interrupted = _core.fixed_points_by_faces(
        network._core64,
        first,
        indices,
        weights,
        2**62 if max_count is None else max_count,
        # A list known to have faces missing is not worth a proof.
        max_regions if whole else 0,
        form == "auto",
        max(left_over, 1e-3) if interruption is None else 1e-3,
        network.dtype == np.float32,
        progress if interruption is None else None,
        delegate if interruption is None else None,
        network._threads,
    )
    left = [Undecided(*region) for region in _regions(columns["undecided"])]
    if not faces.complete:
        left.append(
            Undecided(None, "the faces were cut short (time_limit, max_count or an interruption)")
        )
    if skipped:
        left.append(Undecided(None, f"{skipped} sets of more than max_face={max_face} patterns"))
    if max_face is not None and max_face < len(network.patterns) and not columns["proved"]:
        left.append(Undecided(None, f"faces of more than max_face={max_face} patterns"))
    by_supports = columns["form"] == _core.CellForm.automatic
    result = assemble(
        network,
        columns,
        method="faces",
        proved=columns["proved"],
        left=tuple(left),
        open=tuple(Undecided(*region) for region in _regions(columns["open"])),
        proof=Proof(
            form="supports" if by_supports else columns["form"].name,
            boxes=columns["regions"],
            newton_steps=columns["newton_steps"],
            depth=columns["depth"],
            seconds=columns["seconds"],
            arithmetic=_ARITHMETIC,
            version=_core.version,
            sets=columns["sets"],
        )
        if columns["regions"]
        else None,
    )
    return result, interruption or interrupted


def _offsets(network: Hopfield) -> np.ndarray[Any, Any] | None:
    """Return b / beta up to a constant, which changes nothing; None for zeros."""
    b = network.log_weights.astype(np.float64)
    b -= b.max()
    with np.errstate(over="ignore"):
        offsets: np.ndarray[Any, Any] = np.maximum(b / network.beta, -1e300)
    return offsets if b.any() else None


def _regions(found: list[Any]) -> list[tuple[Any, str, float]]:
    """(state, reason, radius); a region without bound lies around no state."""
    return [
        (state if np.isfinite(radius) else None, reason, radius if np.isfinite(radius) else np.nan)
        for state, radius, reason in found
    ]


def _seeds(
    faces: CriticalFaces, max_face: int | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Return the faces and the tied sets that carry a point, ragged, and how many are too large."""
    sets = [
        (np.asarray(tied.active), np.asarray(tied.weights))
        for tied in faces.degenerate
        if tied.weights is not None
    ]
    if faces.center is not None and faces.center_weights is not None:
        sets.append((np.arange(len(faces.center_weights)), faces.center_weights))
    small = [pair for pair in sets if max_face is None or len(pair[0]) <= max_face]
    first, indices, weights = faces.ragged
    for members, shares in small:
        first = np.append(first, first[-1] + len(members))
        indices = np.append(indices, members)
        weights = np.append(weights, shares)
    return first, indices, weights.astype(np.float64), len(sets) - len(small)
