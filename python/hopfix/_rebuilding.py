"""Pickles of objects with a compiled part: their checked arguments, from which they are rebuilt."""

from __future__ import annotations

from typing import Any


def rebuild(cls: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return the object of these arguments; what `__reduce__` names."""
    return cls(*arguments, **options)
