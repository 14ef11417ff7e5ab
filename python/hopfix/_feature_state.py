"""What random features hold of all patterns, on the host or on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# What `minus` may multiply the rounding of a state by.
_MOST_AMPLIFICATION = 1e6


@dataclass(frozen=True, slots=True)
class FeatureState:
    """What the features of one draw hold of all patterns.

    With the positive s_j = √r Σ_i φ_j(k_i): `log_sums` (r,) are log s_j, and `means` (r, d) the
    averages Σ_i φ_j(k_i) x_i / Σ_i φ_j(k_i), all float64, NumPy's or of another library.
    """

    log_sums: Any
    means: Any

    def plus(self, other: FeatureState) -> FeatureState:
        """Return the state of the patterns of both."""
        xp = _functions(self.means)
        log_sums = xp.logaddexp(self.log_sums, other.log_sums)
        share = xp.exp(other.log_sums - log_sums)[:, None]
        return FeatureState(log_sums, self.means + share * (other.means - self.means))

    def minus(self, other: FeatureState) -> FeatureState:
        """Return the state without the patterns of the other."""
        xp = _functions(self.means)
        steps = other.log_sums - self.log_sums
        share = xp.exp(xp.where(steps < 0, steps, xp.zeros_like(steps)))
        if not bool(xp.all((1 - share) * _MOST_AMPLIFICATION >= 1)):
            raise ValueError(
                "patterns: what would be left of a feature is below a millionth of it, where "
                "rounding takes over; need patterns that the memory holds, and not nearly all of "
                "it: build a new Performer of those to keep"
            )
        log_sums = self.log_sums + xp.log1p(-share)
        ratio = xp.exp(other.log_sums - log_sums)[:, None]
        return FeatureState(log_sums, self.means + ratio * (self.means - other.means))


def _functions(array: Any) -> Any:
    """The functions of the array API for an array; NumPy's own need no extra package."""
    if isinstance(array, np.ndarray):
        return np
    from hopfix.gpu._namespace import namespace_of

    return namespace_of(array)
