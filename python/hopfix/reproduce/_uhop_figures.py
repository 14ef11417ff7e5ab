"""The plots of the U-Hop reproduction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix.plot import require_matplotlib
from hopfix.reproduce._uhop_experiments import PLACEMENTS, QUERIES
from hopfix.reproduce._uhop_models import MODELS
from hopfix.reproduce._uhop_results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_LEAST = 1e-2  # errors are drawn on a linear scale below, a logarithmic one above

# Paul Tol's "bright" and "muted" schemes; learned similarities have thick lines and markers.
_STYLES: dict[str, dict[str, Any]] = {
    "softmax": {"color": "black"},
    "sparsemax": {"color": "black", "linestyle": "--"},
    "entmax": {"color": "black", "linestyle": ":"},
    "polynomial": {"color": "#999933"},
    "neg_l1": {"color": "#44AA99", "linestyle": "--"},
    "neg_l2": {"color": "#44AA99", "linestyle": ":"},
    "neg_sq_l2": {"color": "#44AA99"},
    "unit_norm": {"color": "#117733"},
    "random_kernel": {"color": "0.6"},
    "uhop_average_faithful": {"color": "#EE7733", "marker": "o", "linestyle": "--"},
    "uhop_maximum_faithful": {"color": "#CC3311", "marker": "s", "linestyle": "--"},
    "uhop_average": {"color": "#EE7733", "marker": "o"},
    "uhop_maximum": {"color": "#CC3311", "marker": "s"},
}
_LABELS = {model.name: model.label for model in MODELS}
_NOISE = {
    "gaussian": "noise of deviation σ per pixel",
    "noise_of_norm": "noise of norm σ per image",
}


def draw(results: Results) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) for every experiment that has results.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib()
    experiments = {key.experiment for key in results.values}
    if "capacity" in experiments:
        for placement in PLACEMENTS:
            yield f"capacity_{placement}", _capacity(results, placement)
    if "noise" in experiments:
        yield "noise", _noise(results)
    if "stage_one" in experiments:
        yield "stage_one", _stage_one(results)


def _capacity(results: Results, placement: str) -> Figure:
    how = "β = 1" if placement == "published" else "β chosen for each model"
    titles = list(QUERIES.values())
    figure, rows = _grid(results, "capacity", titles, f"Memory capacity, {how}")
    for images, axes in rows.items():
        for query, ax in zip(QUERIES, axes, strict=True):
            wanted = {"experiment": "capacity", "images": images, "query": query}
            _curves(ax, results, wanted | {"placement": placement})
            _error_axis(ax)
            ax.set_xscale("log")
            ax.set_xticks(results.settings.sizes, [f"{size}" for size in results.settings.sizes])
            ax.minorticks_off()
            ax.set_xlabel("patterns stored")
    return figure


def _noise(results: Results) -> Figure:
    columns = [(query, placement) for query in _NOISE for placement in PLACEMENTS]
    titles = [f"{_NOISE[query]}, {PLACEMENTS[placement]}" for query, placement in columns]
    size = results.settings.noise_size
    figure, rows = _grid(results, "noise", titles, f"Robustness to noise, {size} patterns")
    for images, axes in rows.items():
        for (query, placement), ax in zip(columns, axes, strict=True):
            wanted = {"experiment": "noise", "images": images, "query": query}
            _curves(ax, results, wanted | {"placement": placement})
            _error_axis(ax)
            ax.set_xlabel("noise level σ")
    return figure


def _stage_one(results: Results) -> Figure:
    size = results.settings.stage_one_size
    titles = ["error, β = 1", "error, β chosen", "loss", "error (β = 1) against loss, each seed"]
    title = f"Steps of Stage I, {size} patterns, queries masked and doubled"
    figure, rows = _grid(results, "stage_one", titles, title)
    for images, (published, chosen, losses, scatter) in rows.items():
        wanted = {"experiment": "stage_one", "images": images}
        for ax, placement in ((published, "published"), (chosen, "chosen")):
            _curves(ax, results, wanted | {"measure": "error", "placement": placement})
            _error_axis(ax)
        _curves(losses, results, wanted | {"measure": "loss"})
        losses.set_ylabel("separation loss")
        for ax in (published, chosen, losses):
            ax.set_xscale("symlog", linthresh=1)
            ticks = [step for step in results.settings.stage_one_steps if step not in (2, 20, 200)]
            ax.set_xticks(ticks, [f"{step}" for step in ticks])
            ax.set_xlim(0, None)
            ax.minorticks_off()
            ax.set_xlabel("steps")
        _scatter(scatter, results, images)
        scatter.set_xlabel("separation loss")
    return figure


def _scatter(ax: Axes, results: Results, images: str) -> None:
    """Draw the error of every seed and number of steps against the loss reached."""
    for name, style in _STYLES.items():
        losses = {
            key: values
            for key, values in results.values.items()
            if key.experiment == "stage_one" and key.measure == "loss"
            if (key.images, key.model) == (images, name)
        }
        errors = [
            results.values.get(key._replace(measure="error", placement="published"), [])
            for key in losses
        ]
        x = [
            v for losses_, e in zip(losses.values(), errors, strict=True) for v in losses_[: len(e)]
        ]
        y = [v for e in errors for v in e]
        if x:
            face = style["color"] if style.get("linestyle", "-") == "-" else "none"
            ax.scatter(
                x, y, s=9, marker=style["marker"], edgecolors=style["color"], facecolors=face,
                linewidths=0.6, alpha=0.6,
            )  # fmt: skip
    _error_axis(ax)


def _curves(ax: Axes, results: Results, wanted: dict[str, str]) -> None:
    """Draw the mean over seeds of every model with results, and a band of its quartiles."""
    for name, style in _STYLES.items():
        curve = results.curve(model=name, **wanted)
        if not curve:
            continue
        at = [at for at, _ in curve]
        width = 2.2 if "marker" in style else 1.4
        ax.plot(at, [np.mean(v) for _, v in curve], linewidth=width, markersize=4.5, **style)
        quartiles = np.array([np.quantile(v, (0.25, 0.75)) for _, v in curve])
        ax.fill_between(at, *quartiles.T, color=style["color"], alpha=0.1, linewidth=0)
    ax.grid(alpha=0.3)


def _error_axis(ax: Axes) -> None:
    ax.set_yscale("symlog", linthresh=_LEAST)
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)


def _grid(
    results: Results, experiment: str, titles: list[str], title: str
) -> tuple[Figure, dict[str, Any]]:
    """Return a figure with a legend, and a row of panels for every set of images."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = results.image_sets(experiment)
    figure = Figure(figsize=(4 * len(titles), 3.3 * len(names) + 1.4), layout="constrained")
    grid = figure.subplots(len(names), len(titles), squeeze=False)
    for ax, text in zip(grid[0], titles, strict=True):
        ax.set_title(text, fontsize=10)
    for axes, images in zip(grid, names, strict=True):
        axes[0].set_ylabel(f"{images}\nsquared pixel error")
    models = {key.model for key in results.values if key.experiment == experiment}
    handles = [
        Line2D([], [], linewidth=2, label=_LABELS[name], **style)
        for name, style in _STYLES.items()
        if name in models
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=7,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )
    figure.suptitle(
        f"{title}: mean over {results.seeds} seeds (bands: quartiles)",
        fontsize=13, fontweight="bold",
    )  # fmt: skip
    return figure, dict(zip(names, grid, strict=True))
