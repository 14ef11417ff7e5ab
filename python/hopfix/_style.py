"""What the pictures have in common: colours, markers and the late import of matplotlib."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np

from hopfix._section import Floats

# Paul Tol's "muted" scheme, made for colour-blind readers; basins are labelled besides.
_BASIN_COLOURS = (
    "#332288", "#88CCEE", "#DDCC77", "#117733", "#CC6677",
    "#44AA99", "#882255", "#999933", "#AA4499", "#6699CC",
)  # fmt: skip
_MARKERS = "^sDpXPhv<>"


def basin_colours(count: int) -> Floats:
    """Return `count` colours (count, 3), the last of them the grey of no basin."""
    from matplotlib.colors import to_rgb

    colours = [*islice(cycle(_BASIN_COLOURS), count - 1), "0.5"]
    return np.array([to_rgb(colour) for colour in colours])


def marker(index: int) -> str:
    """Return the marker of saddles of a Morse index > 0."""
    return _MARKERS[(index - 1) % len(_MARKERS)]


def colour(index: int, highest: int) -> Any:
    """Return black for memories, else a colour of the scale that rises with the Morse index."""
    from matplotlib import colormaps

    if index == 0:
        return "black"
    return colormaps["plasma"](0.05 + 0.85 * (index - 1) / max(highest - 1, 1))


def halo(colour: str = "white", width: float = 2.0) -> list[Any]:
    """Return path effects that outline text."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=colour)]


def require_matplotlib() -> None:
    """Raise ImportError, naming the extra to install, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("hopfix.plot needs matplotlib: install hopfix[plot]") from error
