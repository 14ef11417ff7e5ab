"""The pictures of the paper on unstable fixed points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix import FixedPoints, Hopfield, faces
from hopfix.plot import basin_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.reproduce.unstable_fixed_points import Comparison, Counted, Floats

_MARKS = (("o", 90, "memory"), ("D", 55, "of index 1"), ("^", 75, "of index 2"))
_INDEX_COLOURS = ("#332288", "#88CCEE", "#44AA99", "#DDCC77", "#CC6677", "#882255")
_STEPS = 80


def _new_figure(width: float, height: float, quick: bool = False) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=40 if quick else 150)


def orbits(quick: bool) -> Figure:
    """Basins, orbits and fixed points of three unit vectors in the plane, at four values of β."""
    angles = np.deg2rad([90.0, 203.0, 327.0])
    patterns = np.column_stack([np.cos(angles), np.sin(angles)])
    figure = _new_figure(10.0, 10.6, quick)
    axes = figure.subplots(2, 2)
    for ax, beta in zip(axes.flat, (1.5, 1.95, 4.0, 12.0), strict=True):
        _plane(ax, patterns, beta, 60 if quick else 400)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], ls="", marker=mark, ms=9, mfc="white", mec="black", label=name)
        for mark, _, name in _MARKS
    ]
    handles.append(Line2D([], [], color="0.15", lw=0.8, label="orbits of the map"))
    handles.append(
        Patch(fc="none", ec="black", hatch="////", lw=0, label="proved to hold an unstable one")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle("Three patterns in the plane: basins, orbits and fixed points", fontsize=15)
    return figure


def _plane(ax: Axes, patterns: Floats, beta: float, resolution: int) -> None:
    network = Hopfield(patterns, beta)
    points = network.fixed_points("cells")
    line = np.linspace(-1.25, 1.25, resolution)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    colours = _reached(network, points, grid)
    energy = network.energy(grid).reshape(resolution, resolution)
    image = (0.45 + 0.55 * colours).reshape(resolution, resolution, 3)
    extent = (-1.25, 1.25, -1.25, 1.25)
    ax.imshow(image, extent=extent, origin="lower", interpolation="bilinear")
    ax.contour(
        line, line, energy, 18, colors="white", linewidths=0.6, linestyles="solid", alpha=0.7
    )
    _sufficient_regions(ax, patterns, beta)
    ax.add_patch(_circle())
    ax.plot(*patterns[[0, 1, 2, 0]].T, color="0.2", lw=0.8, ls=":")
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False) + 0.04
    starts = [1.2 * np.column_stack([np.cos(turns), np.sin(turns)])]
    for k in np.flatnonzero(~points.stable):  # just beside the unstable fixed points
        ring = np.linspace(0, 2 * np.pi, 8, endpoint=False) + 0.2
        starts.append(points.states[k] + 0.03 * np.column_stack([np.cos(ring), np.sin(ring)]))
    for orbit in np.swapaxes(_orbits(network, np.concatenate(starts)), 0, 1):
        ax.plot(*orbit.T, color="0.15", lw=0.7, alpha=0.75)
        _arrow(ax, orbit)
    ax.plot(*patterns.T, ls="", marker="x", color="black", ms=7, mew=1.6)
    for index, (mark, size, _) in enumerate(_MARKS):
        chosen = points.states[points.morse_index == index]
        if len(chosen):
            x, y = chosen.T
            ax.scatter(x, y, marker=mark, s=size, fc="white", ec="black", lw=1.2, zorder=6)
    counts = ", ".join(f"{n} of index {index}" for index, n in points.counts.items())
    ax.set_title(f"β = {beta:g}: {counts}", fontsize=11)
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), xticks=[], yticks=[], aspect="equal")


def _circle() -> Any:
    from matplotlib.patches import Circle

    return Circle((0, 0), 1, fc="none", ec="0.3", lw=0.6)


def _reached(network: Hopfield, points: FixedPoints, states: Floats) -> Floats:
    """The colours (P, 3) of the memories that retrieval from the states ends in."""
    memories = points.states[points.stable]
    palette = basin_colours(max(3, len(memories)) + 1)
    ends = network.retrieve(states, max_steps=20_000).states
    nearest = np.linalg.norm(ends[:, None] - memories, axis=-1).argmin(axis=1)
    owner = network.weights(memories).argmax(axis=1) if len(memories) > 1 else np.array([0])
    chosen: Floats = palette[owner[nearest]]
    return chosen


def _orbits(network: Hopfield, starts: Floats) -> Floats:
    """The iterates (steps + 1, P, d)."""
    path = np.empty((_STEPS + 1, *starts.shape))
    path[0] = starts
    for step in range(_STEPS):
        path[step + 1] = network.update(path[step])
    return path


def _arrow(ax: Axes, orbit: Floats) -> None:
    """An arrowhead a third of the way along."""
    lengths = np.linalg.norm(np.diff(orbit, axis=0), axis=1)
    total = np.cumsum(lengths)
    if total[-1] < 0.15:
        return
    k = int(np.searchsorted(total, total[-1] * 0.4))
    direction = (orbit[k + 1] - orbit[k]) / max(float(lengths[k]), 1e-12)
    tip = orbit[k] + 0.5 * (orbit[k + 1] - orbit[k])
    ax.annotate(
        "", xytext=tip - 0.01 * direction, xy=tip + 0.02 * direction,
        arrowprops={"arrowstyle": "-|>", "color": "0.15", "lw": 0.6, "mutation_scale": 8},
    )  # fmt: skip


def _sufficient_regions(ax: Axes, patterns: Floats, beta: float) -> None:
    """Hatch the regions in which `sufficient_beta` proves an unstable fixed point."""
    from matplotlib.patches import Polygon

    for face in ((0, 1, 2), (0, 1), (1, 2), (0, 2)):
        # A region that can be seen, if there is one: the best shrinks to a line.
        tried = [faces.sufficient_beta(patterns, face, shrink=shrink) for shrink in (0.6, None)]
        held = [answer for answer in tried if answer.beta <= beta]
        if not held:
            continue
        answer = held[0]
        corners = answer.region.vertices
        if len(face) == 2:
            along = corners[1] - corners[0]
            across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
            across *= answer.region.thickness
            corners = np.array([corners[0] + across, corners[1] + across,
                                corners[1] - across, corners[0] - across])  # fmt: skip
        ax.add_patch(Polygon(corners, fc="none", ec="black", hatch="/////", lw=0.6, zorder=3))


def sphere(quick: bool) -> Figure:
    """The basins of three unit vectors in space on the sphere, and orbits from it to their hull."""
    patterns = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.25], [0.2, -0.1, 1.0]])
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    figure = _new_figure(11.5, 6.4, quick)
    for place, beta in enumerate((3.0, 8.0)):
        ax: Any = figure.add_subplot(1, 2, place + 1, projection="3d", computed_zorder=False)
        _globe(ax, patterns, beta, 40 if quick else 360)
    figure.suptitle(
        "Three patterns on the sphere: basins on it, orbits from it to the patterns' hull",
        fontsize=14,
    )
    return figure


def _globe(ax: Any, patterns: Floats, beta: float, resolution: int) -> None:
    network = Hopfield(patterns, beta)
    points = network.fixed_points("cells")
    tilt, turn = np.meshgrid(
        np.linspace(0, np.pi, resolution // 2), np.linspace(0, 2 * np.pi, resolution)
    )
    surface = np.stack(
        [np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], axis=-1
    )
    colours = _reached(network, points, surface.reshape(-1, 3)).reshape(*surface.shape)
    # Only the near side, before which everything else is drawn.
    elevation, azimuth = np.deg2rad([28.0, 48.0])
    towards = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
         np.sin(elevation)]
    )  # fmt: skip
    opacity = np.where(surface @ towards > 0, 1.0, 0.0)[..., None]
    shaded = np.concatenate([0.45 + 0.55 * colours, opacity], axis=-1)
    ax.plot_surface(
        *np.moveaxis(surface, -1, 0), facecolors=shaded, rstride=1, cstride=1, shade=False,
        linewidth=0, antialiased=False, zorder=0,
    )  # fmt: skip
    corners = patterns[[0, 1, 2, 0]]
    ax.plot(*corners.T, color="black", lw=1.2, zorder=2)
    count = 100
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    starts = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    starts = starts[starts @ towards > 0]
    owners = _reached(network, points, starts)
    for orbit, colour in zip(np.swapaxes(_orbits(network, starts), 0, 1), owners, strict=True):
        ax.plot(*orbit.T, color=0.6 * colour, lw=0.9, zorder=3)
    for index, (mark, size, name) in enumerate(_MARKS):
        chosen = points.states[points.morse_index == index]
        if len(chosen):
            ax.scatter(
                *chosen.T, marker=mark, s=0.7 * size, c="white", edgecolors="black", zorder=5,
                depthshade=False, label=f"{name} ({len(chosen)})",
            )  # fmt: skip
    ax.scatter(*patterns.T, marker="x", c="black", s=40, zorder=6, label="pattern")
    ax.view_init(elev=28, azim=48)
    plural = "" if len(points) == 1 else "s"
    ax.set_title(f"β = {beta:g}: {len(points)} fixed point{plural}", fontsize=11)
    ax.legend(loc="lower center", ncols=4, fontsize=8, frameon=False)
    ax.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8))
    ax.set_box_aspect((1, 1, 1), zoom=1.2)
    ax.set_axis_off()


def counts(counted: Sequence[Counted]) -> Figure:
    """The number of fixed points by Morse index against β."""
    figure = _new_figure(4.4 * len(counted), 4.2)
    axes = figure.subplots(1, len(counted), sharey=True, squeeze=False)[0]
    for ax, case in zip(axes, counted, strict=True):
        numbers = np.array(
            [[at.get(index, 0) for at in case.counts] for index in range(case.patterns)]
        )
        ax.stackplot(
            case.betas, numbers, colors=_INDEX_COLOURS, step="post",
            labels=[f"index {index}" for index in range(case.patterns)],
        )  # fmt: skip
        ax.axhline(2**case.patterns - 1, color="0.4", lw=0.8, ls="--")
        ax.set(xscale="log", xlabel="β", title=f"{case.patterns} patterns, {case.name}")
        ax.set_xlim(case.betas[0], case.betas[-1])
        ax.set_xticks([2, 5, 10, 20, 40], ["2", "5", "10", "20", "40"])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("number of fixed points")
    axes[0].legend(loc="upper left", fontsize=8, frameon=False, reverse=True)
    figure.suptitle("All fixed points by Morse index; dashed: one for every face", fontsize=13)
    return figure


def betas(compared: Sequence[Comparison]) -> Figure:
    """Sufficient β, exact and sampled, and the β at which the fixed point appears, by face."""
    figure = _new_figure(11.0, 5.2)
    axes = figure.subplots(1, 2, sharey=True)
    styles = (("appears", "o", "#332288", -0.22), ("sampled", "v", "#DDCC77", 0.0),
              ("exact", "s", "#CC6677", 0.22))  # fmt: skip
    labels = {"appears": "appears (followed)", "sampled": "sufficient, sampled",
              "exact": "sufficient, proved"}  # fmt: skip
    for ax, alone in zip(axes, (True, False), strict=True):
        cases = [case for case in compared if case.alone == alone]
        for place, case in enumerate(cases):
            for name, mark, colour, shift in styles:
                values = getattr(case, name)
                values = values[np.isfinite(values)]
                spread = shift + 0.12 * np.linspace(-0.5, 0.5, len(values))
                ax.scatter(
                    place + spread, np.sort(values), marker=mark, s=26, color=colour, ec="white",
                    lw=0.4, label=labels[name] if place == 0 else None, zorder=3,
                )  # fmt: skip
        ax.axhspan(5, 20, color="0.9", zorder=0)
        ax.set_xticks(
            range(len(cases)),
            [f"{case.size} vertices\ncondition {case.condition}" for case in cases],
            fontsize=8,
        )
        ax.set(yscale="log", title="the face alone" if alone else "with all patterns")
        ax.grid(axis="y", color="0.85", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("β")
    axes[0].legend(loc="upper left", fontsize=9)
    figure.suptitle(
        "From which β on a face has its unstable fixed point (grey: the paper's 5-20)", fontsize=13
    )
    return figure
