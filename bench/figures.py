"""The plots of `report.py`: ratios of updates and of retrievals over N."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from problems import DTYPES, REGIMES

Record = dict[str, Any]

_STYLES = {"numpy": ("NumPy", "o", "--"), "sdpa": ("torch SDPA", "s", "-")}
_RATIOS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


def best_ratio(r: Record) -> float:
    """Return the ratio to the fastest peer."""
    return float(min(r["best_ratios"].values()))


def draw(peers: Record, folder: Path) -> Iterator[Path]:
    """Draw update.png and retrieve.png, each if it has been measured; yield their paths."""
    for task, plot in (("update", _update), ("retrieve", _retrieve)):
        results = [r for r in peers["results"] if r["task"] == task]
        if results:
            path = folder / f"{task}.png"
            plot(results).savefig(path, dpi=110)
            yield path


def _update(results: Sequence[Record]) -> Figure:
    batches = sorted({r["batch"] for r in results})
    figure, grid = _figure(
        [f"one update, batch of {batch:,}" for batch in batches],
        [[_chosen(results, dtype, batch=batch) for batch in batches] for dtype in DTYPES],
        {peer: lambda r, peer=peer: r["best_ratios"][peer] for peer in _STYLES},
    )
    handles = [
        Line2D([], [], color="0.3", marker=marker, linestyle=line, label=name)
        for name, marker, line in _STYLES.values()
    ]
    _legend(figure, results, handles)
    for row in grid:
        row[0].set_ylabel("time of the peer / time of hopfix")
    return figure


def _retrieve(results: Sequence[Record]) -> Figure:
    figure, grid = _figure(
        [f"retrieval, {regime}" for regime in REGIMES],
        [[_chosen(results, dtype, regime=regime) for regime in REGIMES] for dtype in DTYPES],
        {"sdpa": best_ratio},
    )
    _legend(figure, results, [])
    for row in grid:
        row[0].set_ylabel("time of the best peer / hopfix")
    return figure


def _chosen(results: Sequence[Record], dtype: str, **wanted: Any) -> list[Record]:
    return [r for r in results if r["dtype"] == dtype and all(r[k] == v for k, v in wanted.items())]


def _figure(
    titles: Sequence[str],
    panels: Sequence[Sequence[list[Record]]],
    curves: dict[str, Callable[[Record], float]],
) -> tuple[Figure, Any]:
    """Draw a row of panels per dtype: a curve over N for every d and every entry of `curves`."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    grid = figure.subplots(len(panels), len(titles), sharex=True, sharey=True, squeeze=False)
    colours = _colours([r for row in panels for panel in row for r in panel])
    for axes, row, dtype in zip(grid, panels, DTYPES, strict=True):
        for ax, results, title in zip(axes, row, titles, strict=True):
            for d, colour in colours.items():
                own = sorted((r for r in results if r["d"] == d), key=lambda r: r["n"])
                for peer, ratio in curves.items():
                    _, marker, line = _STYLES[peer]
                    ax.plot(
                        [r["n"] for r in own], [ratio(r) for r in own], color=colour,
                        marker=marker, linestyle=line, markersize=5, linewidth=1.4,
                    )  # fmt: skip
            _decorate(ax, f"{title}, {dtype}")
    for ax in grid[-1]:
        ax.set_xlabel("number of patterns N")
    values = [ratio(r) for row in panels for rs in row for r in rs for ratio in curves.values()]
    grid[0, 0].set_ylim(min(0.6, *values) * 0.8, max(2.5, *values) * 1.25)
    return figure, grid


def _decorate(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=10)
    ax.set_xscale("log")
    ax.set_yscale("log", base=2)
    ax.set_yticks(_RATIOS)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.axhline(1, color="black", linewidth=1)
    ax.grid(alpha=0.3)


def _colours(results: Sequence[Record]) -> dict[int, Any]:
    dims = sorted({r["d"] for r in results})
    return {d: colormaps["viridis"](0.85 * i / max(1, len(dims) - 1)) for i, d in enumerate(dims)}


def _legend(figure: Figure, results: Sequence[Record], handles: list[Line2D]) -> None:
    lines = [
        Line2D([], [], color=colour, linewidth=3, label=f"d = {d}")
        for d, colour in _colours(results).items()
    ]
    figure.legend(
        handles=[*handles, *lines], loc="outside lower center", ncols=len(handles) + len(lines),
        frameon=False,
    )  # fmt: skip
