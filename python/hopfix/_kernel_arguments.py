"""The arguments of separation kernels and their losses: checked, and as arrays."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray, as_float_array, as_pattern_rows, require_finite

Kind: TypeAlias = Literal["average", "maximum", "layer"]


def no_feature(name: str, row: int, patterns: FloatArray) -> ValueError:
    """The error of a pattern whose feature has no direction: of `name`, or its own."""
    if not patterns[row].any():
        return ValueError(
            f"patterns: row {row} is zero, its feature cannot be normalised; use normalize=False"
        )
    return ValueError(
        f"{name}: the feature of pattern {row} is zero or overflows in {patterns.dtype}"
    )


def as_pattern_pairs(value: npt.ArrayLike) -> FloatArray:
    """Return patterns (M, d) with M >= 2."""
    rows = as_pattern_rows("patterns", value)
    if len(rows) < 2:
        raise ValueError("patterns: got 1 pattern, need at least 2: the loss is over pairs")
    return rows


def as_matrix(
    name: str, value: npt.ArrayLike, rows: FloatArray, n_features: int | None
) -> FloatArray:
    """Return a kernel (D, d) for these patterns, in their dtype; D any, if None is wanted."""
    array = as_float_array(name, value)
    d = rows.shape[1]
    wanted = "D" if n_features is None else str(n_features)
    fits = array.ndim == 2 and array.size > 0 and array.shape[1] == d
    if not fits or n_features not in (None, len(array)):
        raise ValueError(f"{name}: got shape {array.shape}, need ({wanted}, {d})")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=rows.dtype)
    require_finite(name, array)
    return array


def as_kind(value: object) -> Kind:
    """Return the name of a loss."""
    kinds = get_args(Kind)
    if not isinstance(value, str):
        raise TypeError(f"kind: got {type(value).__name__}, need one of {kinds}")
    for kind in kinds:
        if value == kind:
            found: Kind = kind
            return found
    raise ValueError(f"kind: got {value!r}, need one of {kinds}")
