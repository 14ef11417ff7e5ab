"""Callbacks that long work reports its progress to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

# Called now and then as progress(done, total).
Progress: TypeAlias = Callable[[int, int], object]


def as_progress(progress: Any) -> Progress | None:
    """Return a callable or None; TypeError for anything else."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: got {type(progress).__name__}, need a callable or None")
    checked: Progress | None = progress
    return checked
