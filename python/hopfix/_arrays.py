"""Arguments as the core takes them: arrays contiguous, float32 or float64; numbers in range."""

from __future__ import annotations

import math
import numbers
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._limits import require_memory

Array = TypeVar("Array", bound=npt.NDArray[Any])
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]

_LARGE = 2**28  # numbers; copies of fewer fit every machine


def as_float_array(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return `value` as a float32 or float64 array; integers and bool become float64.

    Raises TypeError for any other dtype, ValueError for ragged input and MemoryError where a
    contiguous copy that is needed would be larger than the machine's memory, all naming `name`.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name}: not a rectangular array, need rows of one length ({error})"
        ) from error
    if array.size > _LARGE:
        _require_room_for_copy(name, array)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        if array.dtype.isnative:
            return array
        return array.astype(array.dtype.newbyteorder("="))
    raise TypeError(
        f"{name}: got dtype {array.dtype}, need float32, float64, an integer dtype or bool"
    )


def _require_room_for_copy(name: str, array: npt.NDArray[Any]) -> None:
    dtype = np.dtype(np.float64) if array.dtype.kind in "biu" else array.dtype
    if array.dtype != dtype or not (dtype.isnative and array.flags.c_contiguous):
        require_memory(name, array.shape, dtype, "pass fewer rows")


def require_finite(name: str, array: FloatArray) -> None:
    """Raise ValueError, with the place of the first offender, unless all entries are finite."""
    first = _core.first_not_finite(np.ascontiguousarray(array))
    if first >= 0:
        place = tuple(int(i) for i in np.unravel_index(first, array.shape))
        raise ValueError(
            f"{name}: got {array[place]} at index {place}, need finite numbers within the range of "
            f"{array.dtype}"
        )


def require_squares(name: str, array: FloatArray) -> None:
    """Raise ValueError where sums of squares might overflow in double precision."""
    if (largest := float(np.abs(array).max(initial=0))) > 1e150:
        raise ValueError(f"{name}: got a number of size {largest:.3g}, need at most 1e150")


def row_norms(rows: FloatArray) -> FloatArray:
    """Return the 2-norms along the last axis, also where the squares of finite rows overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.asarray(np.linalg.norm(rows, axis=-1))
        large = ~np.isfinite(norms)
        if large.any():
            sizes = np.abs(rows[large]).max(axis=-1)
            norms[large] = sizes * np.linalg.norm(rows[large] / sizes[:, None], axis=-1)
    return norms


def read_only(array: Array) -> Array:
    """Return the same array, which can no longer be written to."""
    array.flags.writeable = False
    return array


def as_patterns(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return a read-only, contiguous copy of a pattern matrix (N, d) with N, d >= 1."""
    rows = as_pattern_rows(name, value)
    require_memory(name, rows.shape, rows.dtype, "hold them in shards (hopfix.sharded)")
    return read_only(np.array(rows, order="C", copy=True))


def as_pattern_rows(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return a contiguous pattern matrix (N, d) with N, d >= 1: `value` itself where it is one."""
    array = as_float_array(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name}: got {array.ndim} dimensions, need 2: shape (N, d)")
    if array.size == 0:
        raise ValueError(
            f"{name}: got shape {array.shape}, need at least one pattern and dimension"
        )
    rows = np.ascontiguousarray(array)
    require_finite(name, rows)
    return rows


def as_states(
    name: str, value: npt.ArrayLike, dim: int, dtype: np.dtype[Any]
) -> tuple[FloatArray, tuple[int, ...]]:
    """Return states as a contiguous (count, dim) array of `dtype`, and their leading shape."""
    array = as_float_array(name, value)
    if array.ndim == 0 or array.shape[-1] != dim:
        raise ValueError(
            f"{name}: got shape {array.shape}, need (..., {dim}), as the patterns have"
        )
    if array.size == 0:
        raise ValueError(f"{name}: got shape {array.shape}, need at least one state")
    if array.dtype != dtype:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
    array = np.ascontiguousarray(array)
    require_finite(name, array)
    return array.reshape(-1, dim), array.shape[:-1]


def as_vector(
    name: str, value: npt.ArrayLike, length: int, dtype: np.dtype[Any], per: str = "pattern"
) -> FloatArray:
    """Return a read-only copy of a vector with `length` finite entries, one per `per`."""
    array = as_float_array(name, value)
    if array.shape != (length,):
        raise ValueError(f"{name}: got shape {array.shape}, need ({length},), one per {per}")
    with np.errstate(over="ignore"):
        array = np.array(array, dtype=dtype, order="C", copy=True)
    require_finite(name, array)
    return read_only(array)


def as_real(name: str, value: object) -> float:
    """Return a real scalar (NumPy's included) as float, infinite if too large; bool is refused."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu":
        return float(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: got {type(value).__name__}, need a real number")
    number: Any = value
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def as_positive(name: str, value: object) -> float:
    """Return a finite real scalar > 0."""
    number = as_real(name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name}: got {number}, need a finite number > 0")
    return number


def as_nonnegative(name: str, value: object) -> float:
    """Return a finite real scalar >= 0."""
    number = as_real(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name}: got {number}, need a finite number >= 0")
    return number


def as_threshold(name: str, value: object, single: bool) -> float | None:
    """Return a real scalar within the range of float64, or float32 where `single`, or None."""
    if value is None:
        return None
    number = as_real(name, value)
    largest = float(np.finfo(np.float32).max if single else np.finfo(np.float64).max)
    if not abs(number) <= largest:
        raise ValueError(
            f"{name}: got {number}, need a finite number, at most {largest:.3g} in size, or None"
        )
    return number


def as_integer(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return an integer of `least` to `most`; bool and floats are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {type(value).__name__}, need an integer")
    number = int(value)
    if number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: got {number}, need {allowed}")
    return number


def as_bool(name: str, value: object) -> bool:
    """Return a bool, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {type(value).__name__}, need a bool")
    return bool(value)


def as_limit(name: str, value: object) -> int:
    """Return an integer >= 1; one that no computation reaches is brought within 64 bits."""
    return min(as_integer(name, value, 1), 2**62)


def as_faces(face: npt.ArrayLike, n: int) -> tuple[npt.NDArray[np.int64], bool]:
    """Return faces of `n` patterns as (K, m) distinct indices, and whether one face was given."""
    try:
        array = np.asarray(face)
    except ValueError as error:
        raise ValueError(f"face: {error}; need indices, or (K, m) for K faces at once") from None
    if array.size == 0 or array.ndim not in (1, 2):
        raise ValueError(f"face: got shape {array.shape}, need (m,) or (K, m), not empty")
    if array.dtype.kind not in "iu":
        raise TypeError(f"face: got dtype {array.dtype}, need integers")
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise ValueError(f"face: got index {array[outside][0]}, need 0 to {n - 1}")
    faces = np.ascontiguousarray(np.atleast_2d(array), dtype=np.int64)
    ordered = np.sort(faces, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeated.any():
        row = faces[int(np.argmax(repeated))].tolist()
        raise ValueError(f"face: got {row}, need distinct indices")
    return faces, array.ndim == 1
