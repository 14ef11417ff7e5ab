"""Arrays of other libraries (torch, JAX, CuPy, …): in and out without copies.

Public calls are written for NumPy arrays. `interchange` lets them take arrays of any library with
DLPack that lie in host memory, as read-only views, and gives their results back as arrays of the
same library, which own the memory the core wrote. NumPy arrays, lists and numbers may stand beside
them; two other libraries in one call are an error. Nothing here knows a library by its name.

What is statically typed as a NumPy array is one of the caller's library at run time. Only arrays,
tuples of them and the classes marked `in_callers_kind` follow the arguments: lists of findings
(`FixedPoints`, `CriticalFaces`, …) and the attributes of networks hold NumPy arrays. JAX narrows
results of 64 bits unless its jax_enable_x64 is set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# DLPack device types whose memory the CPU reads: CPU, and the pinned memory of CUDA and of ROCm.
_HOST_DEVICES = (1, 3, 11)


# Types seen so far that are not arrays of another library: asking a set costs tens of nanoseconds.
_NATIVE: set[type] = {np.ndarray}
_FOLLOWING: set[type] = set()


def in_callers_kind(result_class: C) -> C:
    """Mark a dataclass of results: its arrays are given back in the kind of the arguments."""
    _FOLLOWING.add(result_class)
    return result_class


def interchange(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of NumPy arrays take and give back arrays of other libraries.

    Raises TypeError, naming the argument, for arrays outside host memory, arrays that require
    gradients, dtypes that NumPy lacks, and arrays of several other libraries. Costs a few tenths
    of a microsecond where all arguments are NumPy's.
    """
    return _interchanged(function, None)


def interchange_or(elsewhere: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As `interchange`, but where an array is outside host memory another function is called.

    `elsewhere` is its name with that of its module, "package.module.function"; it takes the same
    arguments, `self` too.
    """
    return lambda function: _interchanged(function, elsewhere)


def _interchanged(function: Callable[P, R], elsewhere: str | None) -> Callable[P, R]:
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for value in args:
            if type(value) not in _NATIVE and is_foreign(value):
                return _call(function, elsewhere, args, kwargs)
        if kwargs:
            for value in kwargs.values():
                if type(value) not in _NATIVE and is_foreign(value):
                    return _call(function, elsewhere, args, kwargs)
        return function(*args, **kwargs)

    return call


def is_foreign(value: object) -> bool:
    """Whether `value` is an array of another library than NumPy."""
    kind = type(value)
    if kind not in _NATIVE:
        if hasattr(kind, "__dlpack__") and not issubclass(kind, (np.ndarray, np.generic)):
            return True
        _NATIVE.add(kind)
    return False


def on_host(array: Any) -> bool:
    """Whether the CPU can read the memory of an array."""
    # What a library traces (JAX under jit) has no memory at all.
    locate = getattr(array, "__dlpack_device__", None)
    if locate is None or locate()[0] not in _HOST_DEVICES:
        return False
    # Some have devices that DLPack does not tell from the host: array_api_strict's second one.
    return "cpu" in str(getattr(array, "device", "cpu")).lower()


def describe(array: Any) -> str:
    """What an array is and where, for error messages."""
    kind = type(array)
    library = kind.__module__.partition(".")[0]
    return f"{library} {kind.__name__} on {getattr(array, 'device', 'another device')}"


def as_host_view(name: str, array: Any, caller: str) -> np.ndarray[Any, Any]:
    """Return a read-only NumPy view of an array of another library, for `caller`."""
    if getattr(array, "requires_grad", False):
        raise TypeError(
            f"{name}: requires gradients, which {caller} does not pass on; hopfix.torch "
            f"differentiates, or pass {name}.detach()"
        )
    if not on_host(array):
        raise TypeError(
            f"{name}: got a {describe(array)}, need an array in host memory, "
            f"where {caller} computes"
        )
    try:
        view = np.from_dlpack(array)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"{name}: got dtype {getattr(array, 'dtype', 'unknown')} of a {describe(array)}, need "
            f"float32, float64, an integer dtype or bool ({error})"
        ) from error
    view.flags.writeable = False
    return view


def _call(
    function: Callable[..., R],
    elsewhere: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> R:
    """Call with views, and answer in the kind of the arguments; or call what computes elsewhere."""
    parameters = signature(function).bind(*args, **kwargs).arguments
    given = {name: value for name, value in parameters.items() if is_foreign(value)}
    if elsewhere is not None and not all(map(on_host, given.values())):
        module, _, name = elsewhere.rpartition(".")
        there: R = getattr(import_module(module), name)(*args, **kwargs)
        return there
    caller = function.__qualname__.removesuffix(".__init__").removesuffix(".__call__")
    views = {id(value): as_host_view(name, value, caller) for name, value in given.items()}
    library = _library(given)
    result = function(
        *(views.get(id(value), value) for value in args),
        **{name: views.get(id(value), value) for name, value in kwargs.items()},
    )
    exported: R = _exported(result, library)
    return exported


def _library(given: dict[str, Any]) -> Any:
    """The one module that the arrays belong to."""
    libraries = {name: _namespace(value) for name, value in given.items()}
    first, *others = libraries
    for name in others:
        if libraries[name] is not libraries[first]:
            raise TypeError(
                f"{name}: got a {describe(given[name])} beside {first}, a "
                f"{describe(given[first])}; need arrays of one library, or of NumPy"
            )
    return libraries[first]


def _namespace(array: Any) -> Any:
    """The module with the array's `from_dlpack`."""
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules[type(array).__module__.partition(".")[0]]


def _exported(result: Any, library: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        return library.from_dlpack(np.asarray(result))
    if type(result) is tuple:
        return tuple(_exported(part, library) for part in result)
    if type(result) in _FOLLOWING:
        parts = {field.name: getattr(result, field.name) for field in fields(result)}
        for part in parts.values():
            if type(part) is np.ndarray:  # which nobody else has seen: other kinds are not locked
                part.flags.writeable = True
        return replace(result, **{name: _exported(part, library) for name, part in parts.items()})
    return result
