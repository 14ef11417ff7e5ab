"""Basins of attraction in a plane of state space."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from hopfix._arrays import as_integer
from hopfix._passages import distinct, spread
from hopfix._section import Floats, Section, nearest
from hopfix._style import basin_colours, halo, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix import FixedPoints, Hopfield

_SAME = 1e-3
_MARGIN = 1.3
_MOST_LISTED = 12


def basins(
    network: Hopfield,
    fixed_points: FixedPoints | None = None,
    *,
    section: str = "plane",
    resolution: int = 240,
    ax: Axes | None = None,
) -> Figure:
    """Colour the states of a plane by the attractor that retrieval from them reaches.

    All resolution² states are retrieved in one batch; those that do not converge, or reach none
    of the attractors, are grey; from the eleventh attractor on colours repeat. Any model that can
    `retrieve` may be drawn, also one without energy or lists of fixed points.

    Args:
        network: the network.
        fixed_points: whose stable points are the attractors; by default they are the ends of the
            retrievals, told apart where they are further than 10⁻³ of the patterns' spread from
            each other.
        section: "plane" (of the first two principal components; for patterns in two dimensions
            the plane itself), "surface" or "auto", see `Section.of`.
        resolution: points along each axis, at least 2.
        ax: to draw in; a new figure by default.

    Returns:
        The figure drawn in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: `section` is unknown, or the network cannot retrieve.

    Example:
        >>> net = hopfix.Hopfield([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.9]], beta=6.0)
        >>> figure = hopfix.plot.basins(net, resolution=40)
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    view = Section.of(network.patterns, section)
    x, y = _axes_of(view, as_integer("resolution", resolution, 2))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    reached = network.retrieve(view.embed(grid).astype(network.dtype))
    ends = reached.states.astype(np.float64)
    if fixed_points is None:
        scale = spread(network.patterns)
        attractors = distinct(ends[reached.converged], _SAME * scale)
    else:
        attractors = fixed_points.states[fixed_points.stable].astype(np.float64)
    basin = nearest(network, ends, attractors)
    basin[~reached.converged] = -1
    if ax is None:
        ax = Figure(figsize=(7.0, 6.0), layout="constrained", dpi=150).add_subplot()
    palette = basin_colours(len(attractors) + 1)
    extent = (x[0], x[-1], y[0], y[-1])
    image = palette[basin].reshape(len(y), len(x), 3)
    ax.imshow(0.35 + 0.65 * image, extent=extent, origin="lower", interpolation="nearest")
    _draw_patterns(ax, view.positions)
    _draw_legend(ax, basin, network.weights(attractors) if len(attractors) else None, palette)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    if len(view.anchors):
        ax.set(xticks=[], yticks=[])
    else:
        ax.set(xlabel="first principal component", ylabel="second principal component")
    ax.set_aspect("equal")
    ax.set_title(f"Basins of attraction, β = {network.beta:g}", fontweight="bold")
    return cast("Figure", ax.figure)


def _axes_of(view: Section, resolution: int) -> tuple[Floats, Floats]:
    """A square around the patterns' places."""
    low, high = view.positions.min(axis=0), view.positions.max(axis=0)
    half = 0.5 * float(np.max(high - low)) * _MARGIN or 1.0
    x, y = (np.linspace(c - half, c + half, resolution) for c in 0.5 * (low + high))
    return x, y


def _draw_patterns(ax: Axes, positions: Floats) -> None:
    """Small circles; numbered while they are few."""
    ax.plot(*positions.T, "o", ms=5, mfc="white", mec="0.15", ls="", label="pattern", zorder=3)
    if len(positions) <= _MOST_LISTED:
        for k, place in enumerate(positions):
            ax.annotate(
                str(k), place, xytext=(5, 4), textcoords="offset points", fontsize=9,
                fontweight="bold", path_effects=halo(), zorder=4,
            )  # fmt: skip


def _draw_legend(
    ax: Axes, basin: NDArray[np.intp], weights: Floats | None, palette: Floats
) -> None:
    """The colours of the largest basins, with the pattern that weighs most and their share."""
    from matplotlib.patches import Patch

    handles = ax.get_legend_handles_labels()[0]
    numbers, counts = np.unique(basin, return_counts=True)
    for k in np.argsort(-counts, kind="stable")[:_MOST_LISTED]:
        number = int(numbers[k])
        name = "no attractor known"
        if number >= 0 and weights is not None:
            top = int(weights[number].argmax())
            name = f"to {top} ({weights[number, top]:.0%})"
        label = f"{name}: {counts[k] / basin.size:.1%}"
        handles.append(Patch(color=tuple(0.35 + 0.65 * palette[number]), label=label))
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8,
        title="attractor (its weight on the pattern):\nshare of the picture", title_fontsize=8,
    )  # fmt: skip
