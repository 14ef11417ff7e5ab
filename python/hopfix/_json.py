"""Arrays as lists, and values as strict JSON can hold them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# NumPy makes some 50 numbers a microsecond into objects, with the GIL held.
_AT_ONCE = 4096


def as_lists(array: npt.NDArray[Any]) -> list[Any]:
    """Return array.tolist() of an array with axes, made in parts between which threads may run."""
    if array.size <= _AT_ONCE:
        whole: list[Any] = array.tolist()
        return whole
    rows = _AT_ONCE * len(array) // array.size
    if not rows:
        return [as_lists(row) for row in array]
    lists: list[Any] = []
    for first in range(0, len(array), rows):
        lists += array[first : first + rows].tolist()
    return lists


def plain(value: Any) -> Any:
    """Return a value made of what JSON has: arrays as lists, None for what is not finite."""
    if isinstance(value, np.ndarray):
        lists = as_lists(value) if value.ndim else value.tolist()
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return lists
        value = lists
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
