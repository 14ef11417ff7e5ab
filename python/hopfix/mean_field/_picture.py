"""The picture of a `Bifurcation`: the values visited against a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from hopfix._arrays import as_integer
from hopfix._style import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hopfix.mean_field._results import Array, Bifurcation

_PARAMETERS = {"betas": "β", "gammas": "γ", "position_weights": "ε"}


def bifurcation(diagram: Bifurcation, feature: int = 0, ax: Axes | None = None) -> Figure:
    """Draw one feature of every trajectory; see `Bifurcation.plot`."""
    require_matplotlib()
    from matplotlib.figure import Figure

    features = diagram.values.shape[2]
    column = as_integer("feature", feature, 0, features - 1)
    if ax is None:
        ax = Figure(figsize=(8.0, 5.6), layout="constrained", dpi=150).add_subplot()
    label, parameter = _swept(diagram)
    values = diagram.values[:, :, column]
    ax.plot(
        np.repeat(parameter, values.shape[1]), values.ravel(), ",", color="#332288", alpha=0.5,
        rasterized=True,
    )  # fmt: skip
    ax.set(xlabel=label, ylabel=f"semantic output, feature {column}")
    ax.set_title(f"{len(parameter)} trajectories, {values.shape[1]} steps each", fontweight="bold")
    return cast("Figure", ax.figure)


def _swept(diagram: Bifurcation) -> tuple[str, Array]:
    """The first parameter that varies, β where none does."""
    for name, label in _PARAMETERS.items():
        values = getattr(diagram, name)
        if np.ptp(values) > 0:
            return label, values
    return _PARAMETERS["betas"], diagram.betas
