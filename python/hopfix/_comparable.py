"""Equality and immutability of results that hold arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np


class Comparable:
    """Base of dataclasses (with eq=False) that are equal where all their fields are.

    Arrays are equal with the same dtype, shape and entries, NaN beside NaN; a result, like an
    array, has no hash. Arrays of NumPy are read-only unless the class has its own `__post_init__`,
    in copies and in what comes out of a pickle, too.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Hold read-only views: the arrays themselves may be the caller's."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if type(value) is np.ndarray and value.flags.writeable:
                view = value.view()
                view.flags.writeable = False
                object.__setattr__(self, field.name, view)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies, and what comes out of a pickle, from the fields."""
        values = tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return type(self), values

    def __eq__(self, other: object) -> bool:
        """Whether the other one is of the same class and has equal fields."""
        if type(self) is not type(other):
            return NotImplemented
        names: Any = (field.name for field in fields(self))  # type: ignore[arg-type]
        return all(same(getattr(self, name), getattr(other, name)) for name in names)


def same(a: Any, b: Any) -> bool:
    """Whether two values, of arrays, tuples and numbers, are equal as fields of `Comparable`."""
    if isinstance(a, (tuple, list)):
        return (
            type(a) is type(b)
            and len(a) == len(b)
            and all(same(x, y) for x, y in zip(a, b, strict=True))
        )
    if not (hasattr(a, "dtype") and hasattr(a, "shape")):
        return bool(a == b) or (isinstance(a, float) and a != a and b != b)
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    # NaN is what differs from itself; this holds for arrays of every library.
    equal = (a == b) | ((a != a) & (b != b))
    return bool(equal.all() if hasattr(equal, "all") else equal.__array_namespace__().all(equal))
