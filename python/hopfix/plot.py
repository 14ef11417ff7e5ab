"""Pictures of the energy landscape: basins, contours, memories, saddles and what they look like.

matplotlib is imported by the functions that draw (extra ``hopfix[plot]``); no function uses
pyplot, opens a window or changes matplotlib's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from string import ascii_lowercase
from textwrap import wrap
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from hopfix._atlas_graph import atlas_graph
from hopfix._basins import basins
from hopfix._section import Floats, Grid, Section
from hopfix._style import basin_colours, colour, halo, marker, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from hopfix import FixedPoints, Hopfield

__all__ = [
    "Section",
    "atlas_graph",
    "basin_colours",
    "basins",
    "landscape",
    "require_matplotlib",
]

Images = tuple[int, int] | Callable[[Floats], Floats]

_STRIP_COLUMNS = 5
_STRIP_ROWS = 6


def landscape(
    network: Hopfield,
    fixed_points: FixedPoints,
    *,
    images: Images | None = None,
    names: Sequence[str] | None = None,
    section: str = "auto",
    resolution: int = 240,
    title: str | None = None,
    caption: str | None = None,
    figure: Figure | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a two-dimensional view of the energy landscape.

    The map shows a `Section` of state space: each of its points is a state, coloured by the
    stable fixed point that retrieval from it reaches (grey: none of those given) and paler the
    higher its energy. A fixed point is placed at the mean of the patterns' places under its
    weights; where the patterns span more than two dimensions, a saddle need not lie where two
    basins meet in the picture.

    Args:
        network: the network, N patterns in d dimensions.
        fixed_points: its fixed points.
        images: (height, width) of the patterns as images, or a function from states (K, d) to
            images (K, height, width); adds images of fixed points beside the map.
        names: N names of the patterns; their numbers by default.
        section: "surface", "plane" or "auto", see `Section.of`.
        resolution: the map retrieves from resolution² states.
        title: above the map.
        caption: first line below the map; the view is explained after it.
        figure: to draw in, for example one of pyplot's (its layout becomes constrained); a new one
            by default.
        ax: to draw the map in, alone: no images, no caption; excludes `figure`.

    Returns:
        The figure drawn in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: `names` or `images` do not fit the patterns, or `section` is unknown.

    Example:
        >>> net = hopfix.Hopfield([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.9]], beta=6.0)
        >>> figure = hopfix.plot.landscape(net, net.fixed_points(), resolution=40)
    """
    require_matplotlib()
    labels = _names(names, len(network.patterns))
    view = Section.of(network.patterns, section)
    if ax is not None:
        if figure is not None:
            raise ValueError("figure: got one together with ax, need one of the two")
        _draw_map(ax, network, fixed_points, view, labels, resolution, {})
        ax.legend(handles=_legend_handles(fixed_points), fontsize=8)
        ax.set_title(title or _title(network, fixed_points))
        return cast("Figure", ax.figure)
    shown = None if images is None else _as_images(images, fixed_points.states)
    rows = [] if shown is None else _strip_rows(fixed_points)
    letters = _letters(rows, fixed_points)
    figure = _new_figure(bool(rows)) if figure is None else figure
    figure.set_layout_engine("constrained")
    left, right = _panels(figure, bool(rows))
    map_ax = left.add_subplot()
    _draw_map(map_ax, network, fixed_points, view, labels, resolution, letters)
    left.legend(
        handles=_legend_handles(fixed_points), loc="outside lower center", frameon=False,
        ncols=4 if rows else 3, fontsize=9, handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
    if shown is not None and right is not None:
        _draw_strip(right, fixed_points, shown, rows, labels, letters)
    figure.suptitle(title or _title(network, fixed_points), fontsize=15, fontweight="bold")
    figure.supxlabel(_caption(caption, view, bool(letters)), fontsize=9, color="0.3")
    return figure


def _draw_map(
    ax: Axes,
    network: Hopfield,
    fixed_points: FixedPoints,
    view: Section,
    labels: Sequence[str],
    resolution: int,
    letters: dict[int, str],
) -> None:
    """Draw basins, contours and fixed points."""
    memories = _memories(fixed_points)
    grid = Grid.of(network, fixed_points.states[memories], view, resolution)
    floor, ceiling = float(grid.energy.min()), float(np.quantile(grid.energy, 0.85))
    _draw_basins(ax, grid, floor, ceiling)
    _draw_contours(ax, grid, floor, ceiling)
    points = view.locate(fixed_points.weights)
    _draw_saddles(ax, points, fixed_points, letters)
    _draw_memories(ax, points[memories], fixed_points.weights[memories], labels)
    ax.set(xlim=(grid.x[0], grid.x[-1]), ylim=(grid.y[0], grid.y[-1]), xticks=[], yticks=[])
    ax.set_aspect("equal")


def _draw_basins(ax: Axes, grid: Grid, floor: float, ceiling: float) -> None:
    """Colour each point by its basin, paler the higher its energy, with an outline."""
    height = np.clip((grid.energy - floor) / max(ceiling - floor, 1e-300), 0, 1)[..., None]
    whiteness = 0.35 + 0.5 * height
    shade = basin_colours(int(grid.basin.max()) + 2)[grid.basin]
    extent = (grid.x[0], grid.x[-1], grid.y[0], grid.y[-1])
    ax.imshow(
        whiteness + (1 - whiteness) * shade, extent=extent, origin="lower",
        interpolation="bilinear", zorder=0,
    )  # fmt: skip
    for basin in np.unique(grid.basin):
        inside = _blurred(grid.basin == basin)
        if inside.min() < 0.5 < inside.max():
            ax.contour(grid.x, grid.y, inside, [0.5], colors="white", linewidths=1.6, zorder=1)


def _blurred(mask: NDArray[np.bool_]) -> Floats:
    """Return a mask (R, R) averaged over close neighbours, so that its outline is smooth."""
    values = mask.astype(float)
    for _ in range(4):
        padded = np.pad(values, 1, mode="edge")
        rows = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        values = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    return values


def _draw_contours(ax: Axes, grid: Grid, floor: float, ceiling: float) -> None:
    """Draw lines of equal energy."""
    if ceiling > floor:
        levels = np.linspace(floor, ceiling, 16)[1:]
        ax.contour(
            grid.x, grid.y, grid.energy, levels, colors="0.25", linestyles="solid", linewidths=0.5,
            alpha=0.45, zorder=2,
        )  # fmt: skip


def _draw_saddles(
    ax: Axes, points: Floats, fixed_points: FixedPoints, letters: dict[int, str]
) -> None:
    """Mark unstable fixed points by Morse index; letters refer to the images."""
    indices = fixed_points.morse_index
    for index in _saddle_indices(fixed_points):
        chosen = points[indices == index]
        ax.scatter(
            chosen[:, 0], chosen[:, 1], s=40, marker=marker(index), linewidths=0.8,
            color=colour(index, int(indices.max())), edgecolors="white", zorder=6,
        )  # fmt: skip
    for k, letter in letters.items():
        ax.annotate(
            letter, points[k], xytext=(5, 2), textcoords="offset points", fontsize=8,
            fontweight="bold", path_effects=halo(), zorder=8,
        )  # fmt: skip


def _draw_memories(ax: Axes, points: Floats, weights: Floats, labels: Sequence[str]) -> None:
    """Mark stable fixed points with the name of the pattern that has the largest weight."""
    if len(points) == 0:
        return
    ax.scatter(
        points[:, 0], points[:, 1], s=210, marker="o", c=basin_colours(len(points) + 1)[:-1],
        edgecolors="white", linewidths=1.8, zorder=5,
    )  # fmt: skip
    for point, weight in zip(points, weights, strict=True):
        ax.annotate(
            labels[int(weight.argmax())], point, ha="center", va="center_baseline", fontsize=10,
            fontweight="bold", color="white", path_effects=halo("0.15", 1.2), zorder=7,
        )  # fmt: skip


def _legend_handles(fixed_points: FixedPoints) -> list[Line2D]:
    """Return a marker and a count for the memories and for each Morse index of the saddles."""
    from matplotlib.lines import Line2D

    counts = fixed_points.counts
    entries = [("o", 11, "0.4", f"memory ({counts.get(0, 0)})")]
    for index in _saddle_indices(fixed_points):
        label = f"saddle of index {index} ({counts[index]})"
        entries.append((marker(index), 8, colour(index, max(counts)), label))
    return [
        Line2D([], [], linestyle="", marker=marker, markersize=size, color=colour, mec="white",
               label=label)
        for marker, size, colour, label in entries
    ]  # fmt: skip


def _draw_strip(
    panel: SubFigure,
    fixed_points: FixedPoints,
    images: Floats,
    rows: Sequence[NDArray[np.intp]],
    labels: Sequence[str],
    letters: dict[int, str],
) -> None:
    """Show fixed points as images, a row per Morse index, with their largest weights."""
    axes = panel.subplots(len(rows), _STRIP_COLUMNS, squeeze=False)
    low, high = np.quantile(images, [0.005, 0.995])
    indices = fixed_points.morse_index
    for line, row in zip(axes, rows, strict=True):
        for ax in line:
            ax.set_axis_off()
        for ax, k in zip(line, row, strict=False):
            ax.set_axis_on()
            ax.set(xticks=[], yticks=[])
            ax.imshow(images[k], cmap="gray_r", vmin=low, vmax=high)
            ax.spines[:].set(color=colour(int(indices[k]), int(indices.max())), lw=1.6)
            ax.set_xlabel(_top_weights(fixed_points.weights[k], labels), fontsize=8, labelpad=2)
            if k in letters:
                ax.set_title(letters[k], loc="left", fontsize=9, fontweight="bold", pad=2)
        index = int(indices[row[0]])
        line[0].set_ylabel(f"index {index}" if index else "memories", fontsize=10)


def _strip_rows(fixed_points: FixedPoints) -> list[NDArray[np.intp]]:
    """Return the fixed points to show, lowest energy first: two rows of memories, a row per index.

    With more indices than rows, the lowest and the highest are shown.
    """
    memories = _memories(fixed_points)
    rows = [memories[:_STRIP_COLUMNS], memories[_STRIP_COLUMNS : 2 * _STRIP_COLUMNS]]
    rows = [row for row in rows if len(row)]
    indices = _saddle_indices(fixed_points)
    room = _STRIP_ROWS - len(rows)
    if len(indices) > room:
        indices = indices[: room - 1] + indices[-1:]
    for index in indices:
        members = np.flatnonzero(fixed_points.morse_index == index)
        lowest = np.argsort(fixed_points.energy[members], kind="stable")
        rows.append(members[lowest[:_STRIP_COLUMNS]])
    return rows


def _letters(rows: Sequence[NDArray[np.intp]], fixed_points: FixedPoints) -> dict[int, str]:
    """Return a letter for each unstable fixed point shown as an image."""
    shown = [int(k) for row in rows for k in row if not fixed_points.stable[k]]
    return dict(zip(shown, _letter_sequence(), strict=False))


def _letter_sequence() -> Iterator[str]:
    yield from ascii_lowercase
    for first in ascii_lowercase:
        yield from (first + second for second in ascii_lowercase)


def _top_weights(weights: Floats, labels: Sequence[str]) -> str:
    """Return the patterns, at most three, that carry at least 5 % of the weight, largest first."""
    first, *others = np.argsort(-weights, kind="stable")[:3]
    return "+".join(labels[k] for k in (first, *(k for k in others if weights[k] >= 0.05)))


def _as_images(images: Images, states: Floats) -> Floats:
    if callable(images):
        return np.asarray(images(states))
    if len(images) != 2 or images[0] * images[1] != states.shape[1]:
        raise ValueError(
            f"images: got {images!r}, need (height, width) with {states.shape[1]} pixels in all, "
            "or a callable"
        )
    return states.reshape(-1, *images)


def _names(names: Sequence[str] | None, count: int) -> Sequence[str]:
    if names is None:
        return [str(k) for k in range(count)]
    if len(names) != count:
        raise ValueError(f"names: got {len(names)}, need {count}, one per pattern")
    return names


def _memories(fixed_points: FixedPoints) -> NDArray[np.intp]:
    """Return the stable fixed points in the order of the patterns that weigh most in them."""
    stable = np.flatnonzero(fixed_points.stable)
    return stable[np.argsort(fixed_points.weights[stable].argmax(axis=1), kind="stable")]


def _saddle_indices(fixed_points: FixedPoints) -> list[int]:
    return [index for index in fixed_points.counts if index > 0]


def _title(network: Hopfield, fixed_points: FixedPoints) -> str:
    plural = "" if len(fixed_points) == 1 else "s"
    return f"{len(fixed_points)} fixed point{plural} at β = {network.beta:g}"


def _caption(first: str | None, view: Section, lettered: bool) -> str:
    """Return the caption, wrapped: `first`, then what the map and the images show."""
    if len(view.anchors):
        place = "The map is a smooth surface through the patterns, flattened so that distances "
        place += "between them are kept as well as two dimensions can."
    else:
        place = "The map is the plane of the patterns' first two principal components."
    text = [place, "Colour: the memory that retrieval reaches. Lines: equal energy."]
    if lettered:
        text.append("Images: the lettered saddles are those of lowest energy;")
        text.append("below each, the patterns that weigh most.")
    lines = wrap(" ".join(text), 150 if lettered else 90)
    return "\n".join(([first] if first else []) + lines)


def _new_figure(with_images: bool) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(13.0, 8.4) if with_images else (8.0, 8.6), layout="constrained", dpi=150)


def _panels(figure: Figure, with_images: bool) -> tuple[SubFigure, SubFigure | None]:
    """Return the place of the map and that of the images."""
    ratios = (1.42, 1) if with_images else (1,)
    panels: Any = figure.subfigures(1, len(ratios), squeeze=False, width_ratios=ratios)
    return panels[0, 0], panels[0, 1] if with_images else None
