"""Lists of results as columns of a table; pandas is imported when a data frame is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hopfix.branches import Branches
    from hopfix.fixed_points import FixedPoints

_SCALARS = (
    "morse_index", "index", "stable", "spectral_radius", "energy", "residual", "certified",
    "radius", "uniqueness_radius",
)  # fmt: skip
_PER_BRANCH = ("beta", "energy", "morse_index", "arclength")


def of_fixed_points(found: FixedPoints) -> Any:
    """See `FixedPoints.to_dataframe`."""
    pandas = _pandas("FixedPoints.to_dataframe")
    return pandas.DataFrame(fixed_point_columns(found))


def fixed_point_columns(found: FixedPoints) -> dict[str, npt.NDArray[Any]]:
    """The columns of `FixedPoints.to_dataframe` by name, each with an entry per fixed point."""
    columns: dict[str, Any] = {name: getattr(found, name) for name in _SCALARS}
    columns["largest_weight"] = found.weights.max(axis=1)
    columns["support"] = _column(found.support)
    columns["reason"] = _column(found.reasons)
    return columns


def of_branches(branches: Branches) -> Any:
    """See `Branches.to_dataframe`."""
    pandas = _pandas("Branches.to_dataframe")
    lengths = [len(branch) for branch in branches.branches]
    columns: dict[str, Any] = {"branch": np.repeat(np.arange(len(lengths)), lengths)}
    for name in _PER_BRANCH:
        parts = [getattr(branch, name) for branch in branches.branches]
        columns[name] = np.concatenate(parts) if parts else np.empty(0)
    kinds = [np.full(length, "", dtype=object) for length in lengths]
    for kind, branch in zip(kinds, branches.branches, strict=True):
        kind[branch.places] = [branches.events[event].kind for event in branch.events]
    columns["event"] = np.concatenate(kinds) if kinds else np.empty(0, dtype=object)
    return pandas.DataFrame(columns)


def _column(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Objects as they are: tuples of equal length do not become a matrix."""
    return np.fromiter(values, dtype=object, count=len(values))


def _pandas(user: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{user} needs pandas: install hopfix[dataframe]") from error
    return pandas
