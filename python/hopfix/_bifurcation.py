"""The picture of branches: energy or overlap against the inverse temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from hopfix._style import colour, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.branches import Branch, Branches
    from hopfix.network import Hopfield

_LABELS = {"energy": "energy", "overlap": "largest overlap with a pattern"}
_MARKERS = {
    "fold": "o", "pitchfork": "D", "transcritical": "X", "multiple": "*", "degenerate": "s",
}  # fmt: skip


def bifurcation(branches: Branches, quantity: str = "energy", ax: Axes | None = None) -> Figure:
    """Draw all branches, coloured by Morse index, and their events; see `Branches.plot`."""
    require_matplotlib()
    if quantity not in _LABELS:
        raise ValueError(f"quantity: got {quantity!r}, need one of {', '.join(_LABELS)}")
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(figsize=(8.0, 5.6), layout="constrained", dpi=150).add_subplot()
    _draw_lines(ax, branches, quantity)
    _draw_single_points(ax, branches, quantity)
    _draw_events(ax, branches, quantity)
    ax.set(xscale="log", xlabel="inverse temperature β", ylabel=_LABELS[quantity])
    ax.set_title(f"{len(branches)} branches of fixed points", fontweight="bold")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)
    return cast("Figure", ax.figure)


def _draw_lines(ax: Axes, branches: Branches, quantity: str) -> None:
    from matplotlib.collections import LineCollection

    drawn = [branch for branch in branches.branches if len(branch) > 1]
    if not drawn:
        return
    values = [_values(branches.network, branch, quantity) for branch in drawn]
    corners = [np.column_stack([b.beta, v]) for b, v in zip(drawn, values, strict=True)]
    segments = np.concatenate([np.stack([c[:-1], c[1:]], axis=1) for c in corners])
    indices = np.concatenate([_segment_indices(branch) for branch in drawn])
    highest = int(indices.max())
    for index in np.unique(indices):
        label = "memories" if index == 0 else f"index {index}"
        ax.add_collection(
            LineCollection(
                segments[indices == index],
                colors=[colour(int(index), highest)],
                linewidths=1.6 if index == 0 else 1.1,
                label=label,
            )
        )
    ax.autoscale_view()


def _draw_single_points(ax: Axes, branches: Branches, quantity: str) -> None:
    single = [branch for branch in branches.branches if len(branch) == 1]
    if single:
        values = [_values(branches.network, branch, quantity)[0] for branch in single]
        places = [branch.beta[0] for branch in single]
        ax.plot(places, values, ".", color="0.5", ls="", zorder=4, label="not followed")


def _segment_indices(branch: Branch) -> npt.NDArray[np.int64]:
    """The Morse index between neighbouring points: at an event, that of the other point."""
    is_event = np.zeros(len(branch), np.bool_)
    is_event[branch.places] = True
    return np.where(is_event[:-1], branch.morse_index[1:], branch.morse_index[:-1])


def _draw_events(ax: Axes, branches: Branches, quantity: str) -> None:
    for kind, marker in _MARKERS.items():
        places = [
            (branch.beta[at], _values(branches.network, branch, quantity)[at])
            for branch in branches.branches
            for event, at in zip(branch.events, branch.places, strict=True)
            if branches.events[event].kind == kind
        ]
        if places:
            x, y = np.array(places).T
            ax.plot(x, y, marker, ms=4, mfc="white", mec="0.2", ls="", zorder=5, label=kind)


def _values(network: Hopfield, branch: Branch, quantity: str) -> npt.NDArray[np.float64]:
    if quantity == "energy":
        return branch.energy
    squares = np.maximum((network.patterns.astype(np.float64) ** 2).sum(axis=1), 1e-300)
    overlaps = branch.states.astype(np.float64) @ network.patterns.T / squares
    largest: npt.NDArray[np.float64] = overlaps.max(axis=1)
    return largest
