"""The picture of `Connections`: attractors, and the saddles that join them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hopfix._section import Floats, Section
from hopfix._style import basin_colours, halo, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix._connections import Connections

_BEND = 0.12
_MOST_LABELS = 30


def atlas_graph(connections: Connections, *, ax: Axes | None = None) -> Figure:
    """Draw attractors (circles) and the saddles of index 1 (triangles) that join them.

    Attractors lie where `landscape` places them and bear the number of the pattern that weighs
    most in them. A saddle sits half-way on a bent line between the two it joins, coloured by its
    barrier, E(saddle) − E(attractor) seen from the higher attractor; up to 30 are labelled. One
    that leads to the same attractor twice, or on one side to none that is known, is drawn at its
    own place with broken lines.

    Args:
        connections: what `hopfix.connections` returned.
        ax: to draw in; a new figure by default.

    Returns:
        The figure drawn in.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> net = hopfix.Hopfield(np.eye(3), beta=6.0)
        >>> figure = hopfix.plot.atlas_graph(net.fixed_points().connections())
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(figsize=(7.5, 6.5), layout="constrained", dpi=150).add_subplot()
    found = connections.fixed_points
    places = Section.of(found.network.patterns).locate(found.weights)
    joining, lines, marks = _routes(connections, places)
    for line, joins in zip(lines, joining, strict=True):
        ax.plot(*line.T, color="0.6", lw=1.2, ls="-" if joins else (0, (4, 3)), zorder=1)
    if len(connections):
        _draw_saddles(ax, marks, np.nanmin(_with_none(connections.barriers), axis=1))
    _draw_attractors(ax, connections, places)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.margins(0.12)
    ax.set_title(
        f"{int(found.stable.sum())} attractors joined by {len(connections)} saddles of index 1, "
        f"β = {found.network.beta:g}",
        fontweight="bold",
    )
    return cast("Figure", ax.figure)


def _with_none(barriers: Floats) -> Floats:
    """Barriers with +∞ for unknown sides, so that the least of a row is the known one."""
    return np.where(np.isnan(barriers), np.inf, barriers)


def _routes(connections: Connections, places: Floats) -> tuple[list[bool], list[Floats], Floats]:
    """Per saddle whether it joins two attractors, its line (P, 2), and the place of its mark."""
    joining, lines, marks = [], [], np.empty((len(connections), 2))
    seen: Counter[tuple[int, int]] = Counter()
    t = np.linspace(0, 1, 41)[:, None]
    for k, (low, high) in enumerate(connections.attractors.tolist()):
        joins = 0 <= low != high and high >= 0
        if joins:
            start, end = places[low], places[high]
            # The second saddle of a pair bends to the other side, the third further out.
            number = seen[low, high]
            seen[low, high] += 1
            bend = _BEND * (1 + number // 2 * 2) * (1 - 2 * (number % 2))
            normal = np.array([-(end - start)[1], (end - start)[0]])
            line = start + t * (end - start) + 4 * t * (1 - t) * bend * normal
            marks[k] = line[len(line) // 2]
        else:
            marks[k] = places[connections.saddles[k]]
            line = np.array([places[low], marks[k]]) if low >= 0 else marks[k : k + 1]
        joining.append(joins)
        lines.append(line)
    return joining, lines, marks


def _draw_saddles(ax: Axes, marks: Floats, barriers: Floats) -> None:
    """Triangles coloured by barrier, grey where it is unknown, with a colour bar."""
    known = np.isfinite(barriers)
    ax.scatter(
        marks[~known, 0],
        marks[~known, 1],
        s=60,
        marker="^",
        color="0.5",
        edgecolors="white",
        zorder=4,
    )
    if not known.any():
        return
    drawn = ax.scatter(
        marks[known, 0], marks[known, 1], s=90, marker="^", c=barriers[known], cmap="cividis",
        edgecolors="white", linewidths=0.8, zorder=4,
    )  # fmt: skip
    ax.figure.colorbar(drawn, ax=ax, shrink=0.75, label="barrier: energy above the higher side")
    if len(barriers) <= _MOST_LABELS:
        for mark, barrier in zip(marks[known], barriers[known], strict=True):
            ax.annotate(
                f"{barrier:.3g}", mark, xytext=(0, -7), textcoords="offset points", fontsize=8,
                ha="center", va="top", path_effects=halo(), zorder=6,
            )  # fmt: skip


def _draw_attractors(ax: Axes, connections: Connections, places: Floats) -> None:
    """Circles with the number of the pattern that weighs most."""
    found = connections.fixed_points
    stable = np.flatnonzero(found.stable)
    if not len(stable):
        return
    colours: Any = basin_colours(len(stable) + 1)[:-1]
    ax.scatter(
        places[stable, 0], places[stable, 1], s=300, c=colours, edgecolors="white",
        linewidths=1.8, zorder=5,
    )  # fmt: skip
    for k in stable:
        ax.annotate(
            str(int(found.weights[k].argmax())), places[k], ha="center", va="center_baseline",
            fontsize=10, fontweight="bold", color="white", path_effects=halo("0.15", 1.2),
            zorder=7,
        )  # fmt: skip
