"""Which attractors a saddle of Morse index 1 joins: the graph of the landscape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_integer
from hopfix._comparable import Comparable
from hopfix._image import to_image
from hopfix._passages import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.fixed_points import FixedPoints

__all__ = ["Connections", "connections"]

_NEAR = 1e-6
"""Of the patterns' spread: how far beside a saddle its sides start, and what counts as reached."""
_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Connections(Comparable):
    """S saddles of Morse index 1 and what lies on both sides of them.

    Attributes:
        fixed_points: the list that all numbers refer to.
        saddles: (S,) int64, the numbers of the saddles in the list.
        attractors: (S, 2) int64, the numbers of the attractors reached on both sides, the smaller
            first; −1, last, where a side did not reach one in the list.
        barriers: (S, 2) float64, E(saddle) − E(attractor) for each of them; NaN for −1.
    """

    fixed_points: FixedPoints
    saddles: npt.NDArray[np.int64]
    attractors: npt.NDArray[np.int64]
    barriers: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.saddles)

    def __repr__(self) -> str:
        lost = int(np.count_nonzero((self.attractors < 0).any(axis=1)))
        nodes = int(self.fixed_points.stable.sum())
        end = f", {lost} with a side that reached none" if lost else ""
        return f"Connections({len(self)} saddles between {nodes} attractors{end})"

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the graph, see `hopfix.plot.atlas_graph`."""
        from hopfix import plot

        return plot.atlas_graph(self, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """Return lists and numbers, ready for strict `json.dumps`; NaN becomes None."""
        from hopfix._json import plain

        names = ("saddles", "attractors", "barriers")
        return {name: plain(getattr(self, name)) for name in names}


def connections(fixed_points: FixedPoints, *, max_steps: int = 100_000) -> Connections:
    """Follow each saddle of Morse index 1 down both sides.

    The update is iterated from the saddle ± ε times its unstable direction v (the eigenvector of
    the Jacobian's only eigenvalue above 1) to convergence; it never raises the energy, and near
    the saddle it leaves along the unstable manifold. ε is 10⁻⁶ of the patterns' spread, or ten
    times the certified radius where that is more. The end is matched to the nearest attractor of
    the list, within that distance or its uniqueness radius. Floating point, not proved; in double
    precision whatever the network's dtype.

    Args:
        fixed_points: the list; attractors that are missing from it are reported as −1.
        max_steps: most updates per side. Leaving takes about log(1/ε)/log λ of them, λ the
            unstable eigenvalue: beside a bifurcation that may not be enough, then also −1.

    Cost: S eigenproblems of order min(m, d), m the patterns that carry weight, one batch of 2S
    retrievals, and 2S·A distances to the A attractors.

    Raises:
        TypeError: `fixed_points` is not a `FixedPoints`.

    Example:
        >>> found = hopfix.Hopfield(np.eye(2), beta=6.0).fixed_points()
        >>> hopfix.connections(found).attractors.shape  # one saddle joins two memories
        (1, 2)
    """
    from hopfix.fixed_points import FixedPoints

    if not isinstance(fixed_points, FixedPoints):
        got = type(fixed_points).__name__
        raise TypeError(f"fixed_points: got {got}, need a FixedPoints")
    steps = as_integer("max_steps", max_steps, 1)
    network = fixed_points.network.image
    core, threads = network._core64, network._threads
    places = to_image(fixed_points.network, fixed_points.states).astype(np.float64)
    saddles = np.flatnonzero(fixed_points.morse_index == 1)
    stable = np.flatnonzero(fixed_points.stable)
    if not len(saddles):
        none = np.empty((0, 2))
        return Connections(fixed_points, saddles, none.astype(np.int64), none)
    near = _NEAR * spread(network.patterns)
    directions = _core.leading_directions(core, places[saddles], threads)
    offsets = np.fmax(near, 10 * fixed_points.radius[saddles])[:, None] * directions
    starts = np.concatenate([places[saddles] + offsets, places[saddles] - offsets])
    ends, _, converged, _ = core.retrieve(starts, min(steps, 2**62), _TOLERANCE, threads)
    reach = np.fmax(near, fixed_points.uniqueness_radius[stable])
    reached = _core.nearest_within(ends, places[stable], reach, threads)
    reached[~converged.astype(bool)] = -1
    sides = _numbered(reached.reshape(2, -1), stable)
    energy = core.energy(places, threads)
    barriers = np.where(sides < 0, np.nan, energy[saddles][:, None] - energy[sides])
    return Connections(fixed_points, saddles, sides, barriers)


def _numbered(
    reached: npt.NDArray[np.int64], stable: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """(S, 2) numbers in the list of what both sides (2, S) reached: in order, −1 last."""
    numbers = np.append(stable, -1)[reached]
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    return np.where(low < 0, [high, low], [low, high]).T
