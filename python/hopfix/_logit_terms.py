"""Log-weights that change with the inverse temperature, and those that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hopfix._comparable import Comparable

if TYPE_CHECKING:
    from hopfix.network import Hopfield


@dataclass(frozen=True, eq=False)
class LogitTerms(Comparable):
    """What depends on the pattern alone in the logits β(x_i·ξ + a_i) + b_i, float64 or None."""

    log_weights: npt.NDArray[np.float64] | None
    offsets: npt.NDArray[np.float64] | None

    def at(self, beta: float) -> npt.NDArray[np.float64] | None:
        """Log-weights of the network at β."""
        if self.offsets is None:
            return self.log_weights
        scaled = _scaled(beta, self.offsets)
        return scaled if self.log_weights is None else scaled + self.log_weights


def terms_of(network: Hopfield, offsets: npt.NDArray[np.float64] | None) -> LogitTerms:
    """Split the network's log-weights, of which β times the offsets are a part."""
    given = network._log_weights
    wide = None if given is None else given.astype(np.float64)
    if offsets is None:
        return LogitTerms(wide, None)
    scaled = _scaled(network.beta, offsets)
    return LogitTerms(-scaled if wide is None else wide - scaled, offsets)


def _scaled(beta: float, offsets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        scaled: npt.NDArray[np.float64] = beta * offsets
    if not np.abs(scaled).max() <= 1e300:
        raise ValueError(
            f"offsets: got one of size {np.abs(offsets).max():.3g}, need beta |offset| <= 1e300, "
            f"with beta={beta:g}"
        )
    return scaled
