"""What retrieval and certification return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray
from hopfix._comparable import Comparable
from hopfix._interchange import in_callers_kind


@in_callers_kind
@dataclass(frozen=True, eq=False, slots=True)
class Retrieval(Comparable):
    """Result of `Hopfield.retrieve`; leading shapes are those of the queries.

    Its arrays are the caller's to work on in place, unlike those of other results.

    Attributes:
        states: (..., d), the last state of every query.
        steps: (...) int64, updates applied to it.
        converged: (...) bool, whether `residual` is within the tolerance.
        residual: (...), ‖f(ξ) − ξ‖₂ of the returned state.
    """

    states: FloatArray
    steps: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    residual: FloatArray

    def __post_init__(self) -> None:
        """Lock nothing: these are the caller's, as what `Hopfield.update` returns."""


@in_callers_kind
@dataclass(frozen=True, eq=False, slots=True)
class Certificates(Comparable):
    """Result of `Hopfield.certify`; leading shapes are those of the states.

    Attributes:
        certified: (...) bool, whether a fixed point near the state has been proved.
        radius: (...) float64, a fixed point lies within this distance; NaN if not certified.
        uniqueness_radius: (...) float64, at most one lies strictly within this distance; NaN if
            not certified.
        morse_index: (...) int64, eigenvalues of the Jacobian above 1: proved for that fixed point
            where certified, an estimate elsewhere.
        spectral_bounds: (..., 2) float64, proved lower and upper bounds of the largest eigenvalue
            of the Jacobian at the state, certified or not, that widen with β‖f(ξ) − ξ‖²; NaN where
            none were found.
        reasons: list of str in C order of the states: why a state is not certified, else "".
    """

    certified: npt.NDArray[np.bool_]
    radius: npt.NDArray[np.float64]
    uniqueness_radius: npt.NDArray[np.float64]
    morse_index: npt.NDArray[np.int64]
    spectral_bounds: npt.NDArray[np.float64]
    reasons: list[str]


def certificates_from(columns: dict[str, Any], shape: tuple[int, ...]) -> Certificates:
    """Shape the core's columns, one entry per state."""
    return Certificates(
        certified=columns["certified"].reshape(shape),
        radius=columns["radius"].reshape(shape),
        uniqueness_radius=columns["uniqueness_radius"].reshape(shape),
        morse_index=columns["morse_index"].reshape(shape),
        spectral_bounds=np.stack([columns["spectral_low"], columns["spectral_high"]], -1).reshape(
            (*shape, 2)
        ),
        reasons=columns["reasons"],
    )
