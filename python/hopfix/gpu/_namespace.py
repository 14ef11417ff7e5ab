"""Which library an array belongs to, where it lies, and the checks of arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopfix._interchange import describe


def _compat() -> Any:
    try:
        import array_api_compat
    except ImportError as error:
        raise ImportError(
            "arrays outside host memory need array-api-compat: install it, or with CuPy "
            "hopfix[cuda12] or hopfix[cuda13]"
        ) from error
    return array_api_compat


def namespace_of(array: Any) -> Any:
    """Return the functions of the array API standard for this array's library."""
    return _compat().array_namespace(array)


def device_of(array: Any) -> Any:
    """Return where an array lies, as its library names it."""
    return _compat().device(array)


def is_cupy(array: Any) -> bool:
    """Return whether an array is CuPy's."""
    return type(array).__module__.partition(".")[0] == "cupy"


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """Copy an array into host memory."""
    compat = _compat()
    library = array.__class__.__module__.partition(".")[0]
    host: Any = "cpu"
    if library == "array_api_strict":
        host = namespace_of(array).Device("CPU_DEVICE")
    elif library in ("jax", "jaxlib"):
        import jax

        host = jax.devices("cpu")[0]
    return np.array(np.asarray(compat.to_device(array, host)))


def as_device_floats(name: str, value: Any, xp: Any = None, device: Any = None) -> Any:
    """Return `as_device_array`, or ValueError where it is empty or holds NaN or an infinity.

    Reads one number from the device.
    """
    array = as_device_array(name, value, xp, device)
    own = namespace_of(array)
    if 0 in array.shape:
        raise ValueError(f"{name}: got shape {tuple(array.shape)}, need no empty axis")
    if not bool(own.all(own.isfinite(array))):
        raise ValueError(f"{name}: got NaN or an infinity, need finite numbers")
    return array


def as_device_array(name: str, value: Any, xp: Any = None, device: Any = None) -> Any:
    """Return `value` as float32 or float64; integers and bool become float64.

    With `xp` and `device`, `value` must be an array there: nothing is moved behind the caller's
    back. TypeError and ValueError name the argument.
    """
    if not _compat().is_array_api_obj(value):
        raise TypeError(
            f"{name}: got {type(value).__name__}, need an array in the memory of the patterns' "
            f"device{'' if device is None else f', {device}'}"
        )
    if getattr(value, "__dlpack_device__", None) is None:
        raise TypeError(
            f"{name}: got a {describe(value)} that a transformation traces, need one "
            "with numbers: call hopfix outside of it"
        )
    own = namespace_of(value)
    if xp is not None and (own is not xp or device_of(value) != device):
        raise TypeError(
            f"{name}: got a {describe(value)}, need an array of {xp.__name__} on {device}, where "
            "the patterns are"
        )
    if getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name}: requires gradients, which are not passed on here; hopfix.torch "
            f"differentiates, or pass {name}.detach()"
        )
    if own.isdtype(value.dtype, ("integral", "bool")):
        value = own.astype(value, own.float64)
    if value.dtype not in (own.float32, own.float64):
        raise TypeError(
            f"{name}: got dtype {value.dtype}, need float32, float64, an integer dtype or bool"
        )
    return value


def count(xp: Any, mask: Any) -> int:
    """Return how many entries are true: one number read from the device."""
    return int(xp.sum(xp.astype(mask, xp.int64)))


def length(xp: Any, rows: Any) -> Any:
    """Return the Euclidean norm over the last axis."""
    return xp.linalg.vector_norm(rows, axis=-1)


def flat_rows(name: str, array: Any, dim: int) -> tuple[Any, tuple[int, ...]]:
    """Return an array (..., dim) as (count, dim), and its leading shape; ValueError for others."""
    if array.ndim == 0 or array.shape[-1] != dim:
        raise ValueError(
            f"{name}: got shape {tuple(array.shape)}, need (..., {dim}), as the patterns have"
        )
    leading = tuple(int(n) for n in array.shape[:-1])
    return shaped(array, (math.prod(leading), dim)), leading


def shaped(array: Any, shape: tuple[int, ...]) -> Any:
    """Return the numbers of an array in another shape."""
    return namespace_of(array).reshape(array, shape)
