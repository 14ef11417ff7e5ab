"""What a Hopfield network remembers as the inverse temperature grows: the computation of the demo.

Nothing is printed here; ``hopfix demo`` and ``hopfix atlas`` do that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hopfix import Hopfield, plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hopfix import FixedPoints
    from hopfix.datasets import Digits

__all__ = ["BETAS", "PICTURE_BETA", "Row", "draw", "recalled_share", "run", "stored_patterns"]

BETAS = (4.0, 4.1, 4.2, 4.3, 4.4, 4.7, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0)
"""From one fixed point (below 4.07) through every digit's birth (by 4.7) to sharp memories."""

PICTURE_BETA = 8.0
"""Every digit is a memory and saddles of Morse index 1, 2 and 3 lie between them."""

Progress = Callable[[float, int, int], None]


@dataclass(frozen=True, eq=False)
class Row:
    """The fixed points at one β and what they mean for memory.

    Attributes:
        fixed_points: what was found.
        stored: the patterns that are memories, see `stored_patterns`.
        recalled: share of the queries recalled, see `recalled_share`; None without queries.
        seconds: wall-clock time of the search.
        finished: False if Ctrl-C ended the search.
    """

    fixed_points: FixedPoints
    stored: tuple[int, ...]
    recalled: float | None
    seconds: float
    finished: bool

    @property
    def beta(self) -> float:
        """The inverse temperature."""
        return self.fixed_points.network.beta

    @property
    def network(self) -> Hopfield:
        """The network searched."""
        return self.fixed_points.network


def run(
    betas: Iterable[float],
    patterns: NDArray[Any],
    *,
    queries: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    method: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Iterator[Row]:
    """Yield one `Row` for each β, as soon as it is known.

    Args:
        betas: inverse temperatures.
        patterns: (N, d) array.
        queries: (Q, d) states to recall, or None.
        labels: (Q,) index of the pattern each query should recall.
        method: of `Hopfield.fixed_points`.
        time_limit: seconds for the search at each β.
        seed: of `Hopfield.fixed_points`.
        progress: called with (beta, done, total) during the search.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the row of what was found until then.
        TypeError, ValueError, MemoryError: from `Hopfield` or `Hopfield.fixed_points`.
    """
    for beta in betas:
        network = Hopfield(patterns, beta)
        interruption = None
        started = time.perf_counter()
        try:
            found = network.fixed_points(
                method, time_limit=time_limit, seed=seed, progress=_at(beta, progress)
            )
        except KeyboardInterrupt as error:
            if not hasattr(error, "partial"):
                raise
            found, interruption = error.partial, error
        seconds = time.perf_counter() - started
        recalled = None
        if queries is not None and labels is not None:
            recalled = recalled_share(network, queries, labels)
        yield Row(found, stored_patterns(network), recalled, seconds, interruption is None)
        if interruption is not None:
            raise interruption


def stored_patterns(network: Hopfield) -> tuple[int, ...]:
    """Return the numbers of the patterns that the network stores.

    Pattern i is stored if retrieval started at it converges to a stable fixed point (spectral
    radius of the Jacobian below 1) that gives pattern i more than half of the weight. A stable
    mixture in which no pattern has the majority stores none of them.
    """
    reached = network.retrieve(network.patterns)
    own_weight = np.diagonal(network.weights(reached.states))
    stable = network.spectral_radius(reached.states) < 1
    return tuple(np.flatnonzero(reached.converged & stable & (own_weight > 0.5)).tolist())


def recalled_share(network: Hopfield, queries: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of queries (Q, d) whose retrieval gives the pattern `labels` most weight."""
    weights = network.weights(network.retrieve(queries).states)
    return float(np.mean(weights.argmax(axis=-1) == labels))


def draw(rows: Sequence[Row], digits: Digits) -> Figure:
    """Return the landscape of the row whose β is closest to `PICTURE_BETA` in ratio.

    Raises:
        ImportError: matplotlib is not installed.
    """
    row = min(rows, key=lambda row: abs(math.log(row.beta / PICTURE_BETA)))
    found = row.fixed_points
    return plot.landscape(
        row.network,
        found,
        images=digits.images,
        title=f"What a Hopfield network remembers of ten digits, β = {row.beta:g}",
        caption=f"At β = {row.beta:g}, {len(row.stored)} of the 10 digits are stored as memories. "
        f"Fixed points found: {len(found)}, {np.count_nonzero(found.stable)} of them stable "
        f"(completeness: {found.completeness}).",
    )


def _at(beta: float, progress: Progress | None) -> Callable[[int, int], None] | None:
    """Return the callback of `Hopfield.fixed_points` that reports for one β."""
    if progress is None:
        return None
    return lambda done, total: progress(beta, done, total)
