"""The pictures of `hopfix.reproduce.attention_mean_field`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix.mean_field import series
from hopfix.reproduce.attention_mean_field import FIGURE_4, FIGURE_5, Diagram, Phases, Reproduction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {
    "fixed": "#7f7f7f",
    "periodic": "#1b6ca8",
    "quasi-periodic": "#1a936f",
    "chaotic": "#d1495b",
    "hyperchaotic": "#7b2d8b",
    "undecided": "#c9a227",
}


def draw(found: Reproduction) -> dict[str, Figure]:
    """Return the figures by name."""
    figures = {f"figure_3{name}": _bifurcation(diagram) for name, diagram in found.diagrams.items()}
    figures["figure_4"] = _trajectories(found)
    figures["figure_5"] = _series(found)
    figures["finite_size"] = _finite_size(found.errors)
    figures["phases"] = _phases(found.phases)
    return figures


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _legend(figure: Figure, kinds: npt.NDArray[np.str_]) -> None:
    from matplotlib.patches import Patch

    there = [name for name in COLOURS if (kinds == name).any()]
    figure.legend(
        handles=[Patch(color=COLOURS[name], label=name) for name in there],
        loc="outside upper center",
        ncols=len(there),
        frameon=False,
    )


def _rgb(kinds: npt.NDArray[np.str_]) -> Any:
    from matplotlib.colors import to_rgb

    table = {name: to_rgb(colour) for name, colour in COLOURS.items()}
    return np.array([table[str(kind)] for kind in kinds.ravel()]).reshape((*kinds.shape, 3))


def _shaded(counts: npt.NDArray[np.int32], kinds: npt.NDArray[np.str_], height: int) -> Any:
    """An image (height, n, 3): the colour of the kind, as dark as values are frequent."""
    rows = np.add.reduceat(counts, np.arange(0, counts.shape[1], counts.shape[1] // height), axis=1)
    most = np.maximum(rows.max(axis=1, keepdims=True), 1)
    ink = np.where(rows > 0, 0.35 + 0.65 * np.log1p(rows) / np.log1p(most), 0.0)[..., None]
    image = 1 - ink * (1 - _rgb(kinds)[:, None])
    return image.transpose(1, 0, 2)


def _bifurcation(diagram: Diagram) -> Figure:
    figure = _figure(9, 8.5)
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.2])
    met = np.flatnonzero(diagram.values.any(axis=0))
    low, high = met[0], met[-1] + 1
    extent_x = (diagram.betas[0], diagram.betas[-1])
    for axes, counts, title in (
        (upper, diagram.values, "all values"),
        (middle, diagram.section, "where the second feature crosses 0"),
    ):
        part = counts[:, low:high]
        axes.imshow(
            _shaded(part, diagram.kinds, min(600, part.shape[1])),
            origin="lower",
            aspect="auto",
            extent=(*extent_x, diagram.edges[low], diagram.edges[high]),
        )
        axes.set_ylabel("semantic output $m^o_1$")
        axes.set_title(title, fontsize=10, loc="left")
    lower.plot(diagram.betas, diagram.exponents[:, 1], lw=0.6, color="0.7", label="second")
    lower.plot(diagram.betas, diagram.exponents[:, 0], lw=0.6, color="black", label="largest")
    lower.axhline(0, lw=0.6, color="0.5")
    lower.set_ylim(max(-0.6, float(np.nanmin(diagram.exponents[:, 0])) - 0.02), None)
    lower.set_xlabel("β")
    lower.set_ylabel("Lyapunov exponents")
    lower.legend(frameon=False, ncols=2, fontsize=8)
    _legend(figure, diagram.kinds)
    return figure


def _trajectories(found: Reproduction) -> Figure:
    figure = _figure(9, 6)
    for axes, beta in zip(figure.subplots(2, 3).ravel(), FIGURE_4, strict=True):
        attractor, rows = found.attractors[beta], found.trajectories[beta]
        axes.plot(rows[:, 0], rows[:, 1], ",", color=COLOURS[attractor.kind], alpha=0.8)
        if attractor.orbit is not None:
            axes.plot(rows[:600, 0], rows[:600, 1], ".", ms=4, color=COLOURS[attractor.kind])
        named = attractor.kind + (f", period {attractor.period}" if attractor.period else "")
        axes.set_title(f"β = {beta:g}: {named}", fontsize=10)
        axes.set_xlabel("$m^o_1$")
        axes.set_ylabel("$m^o_2$")
    return figure


def _series(found: Reproduction) -> Figure:
    figure = _figure(11, 7)
    grid = figure.subplots(len(FIGURE_5), 3)
    for (left, middle, right), beta in zip(grid, FIGURE_5, strict=True):
        rows, kind = found.trajectories[beta][:, :1], found.attractors[beta].kind
        colour = COLOURS[kind]
        left.plot(rows[:300], lw=0.8, color=colour)
        left.set_title(f"β = {beta:g}, {kind}", fontsize=10)
        left.set_ylabel("$m^o_1$")
        middle.plot(series.autocorrelation(rows, 400), lw=0.8, color=colour)
        middle.set_ylim(-1.05, 1.05)
        frequency, power = series.power_spectrum(rows)
        right.semilogy(frequency[1:], np.maximum(power[1:, 0], 1e-20), lw=0.5, color=colour)
    grid[0][1].set_title("autocorrelation", fontsize=10)
    grid[0][2].set_title("power spectrum", fontsize=10)
    for axes, name in zip(grid[-1], ("step", "lag", "cycles per step"), strict=True):
        axes.set_xlabel(name)
    return figure


def _finite_size(errors: dict[int, float]) -> Figure:
    figure = _figure(5, 3.6)
    axes = figure.subplots()
    spins, distance = np.array(list(errors)), np.array(list(errors.values()))
    axes.loglog(spins, distance, "o", color=COLOURS["periodic"], label="one step of the network")
    axes.loglog(
        spins, distance[0] * np.sqrt(spins[0] / spins), "--", color="0.5", label="$N^{-1/2}$"
    )
    axes.set_xlabel("spins N")
    axes.set_ylabel("distance from the mean field")
    axes.legend(frameon=False)
    return figure


def _phases(phases: Phases) -> Figure:
    figure = _figure(11, 4.6)
    left, right = figure.subplots(1, 2)
    extent = (phases.betas[0], phases.betas[-1], phases.gammas[0], phases.gammas[-1])
    options: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    left.imshow(_rgb(phases.kinds).transpose(1, 0, 2), extent=extent, **options)
    image = right.imshow(
        np.maximum(phases.exponents, -0.3).T,
        extent=extent,
        cmap="RdBu_r",
        vmin=-0.3,
        vmax=0.3,
        **options,
    )
    figure.colorbar(image, ax=right, label="largest exponent")
    for axes in (left, right):
        axes.set_xlabel("β")
        axes.set_ylabel("γ")
        axes.axhline(220, lw=0.6, ls=":", color="black")
    _legend(figure, phases.kinds)
    return figure
