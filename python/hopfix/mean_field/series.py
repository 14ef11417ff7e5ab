"""Time series of the dynamics: sections, autocorrelation and power spectrum.

Arrays of one trajectory are (T, M), as `Simulation` has them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hopfix._arrays import (
    as_float_array,
    as_integer,
    as_positive,
    require_finite,
    require_squares,
)
from hopfix.mean_field._results import Array

__all__ = ["autocorrelation", "poincare_section", "power_spectrum"]


def poincare_section(
    values: npt.ArrayLike, feature: int, *, tolerance: float | None = None
) -> Array:
    """Return the points (K, M) at which one feature crosses 0.

    Args:
        values: (T, M) a trajectory.
        feature: which one.
        tolerance: None interpolates linearly between the steps before and after each change of
            sign. A number takes, as published with 1e-3, the steps at which the feature is within
            that share of its range around 0.
    """
    rows = _trajectory(values)
    column = rows[:, as_integer("feature", feature, 0, rows.shape[1] - 1)]
    if tolerance is not None:
        reach = as_positive("tolerance", tolerance) * float(np.ptp(column))
        return np.ascontiguousarray(rows[np.abs(column) <= reach])
    before, after = column[:-1], column[1:]
    at = np.flatnonzero((before < 0) != (after < 0))
    share = before[at] / (before[at] - after[at])
    points: Array = rows[at] + share[:, None] * (rows[at + 1] - rows[at])
    return points


def autocorrelation(values: npt.ArrayLike, max_lag: int) -> Array:
    """Return (max_lag + 1, M): Σ_t (x_t − x̄)(x_{t+k} − x̄) / Σ_t (x_t − x̄)², lags k = 0, 1, ….

    1 at lag 0 and at most 1 in size; NaN for a constant. O(T log T).
    """
    rows = _trajectory(values)
    lags = as_integer("max_lag", max_lag, 0, len(rows) - 1)
    ranges = np.ptp(rows, axis=0)
    centred = (rows - rows.mean(axis=0)) / np.where(ranges > 0, ranges, np.nan)
    spectrum = np.fft.rfft(centred, 2 * len(rows), axis=0)
    sums = np.fft.irfft(np.abs(spectrum) ** 2, 2 * len(rows), axis=0)[: lags + 1]
    answer: Array = sums / sums[0]
    return answer


def power_spectrum(values: npt.ArrayLike) -> tuple[Array, Array]:
    """Return frequencies (F,) in cycles per step, 0 to 1/2, and power (F, M).

    The periodogram of x − x̄ under a Hann window, one-sided, scaled so that Σ power is the variance
    that the window sees: of a sine of amplitude a that fits the length, a²/2.
    """
    rows = _trajectory(values)
    count = len(rows)
    window = np.hanning(count + 1)[:-1] if count > 1 else np.ones(1)
    spectrum = np.fft.rfft((rows - rows.mean(axis=0)) * window[:, None], axis=0)
    power = np.abs(spectrum) ** 2 / (count * (window**2).sum())
    power[1 : (count + 1) // 2] *= 2
    return np.fft.rfftfreq(count).astype(np.float64), power


def _trajectory(values: npt.ArrayLike) -> Array:
    rows = as_float_array("values", values).astype(np.float64)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"values: got shape {rows.shape}, need (T, M)")
    require_finite("values", rows)
    require_squares("values", rows)
    return rows
