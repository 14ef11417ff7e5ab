"""Results too large for the machine are refused before anything is computed."""

from __future__ import annotations

import functools
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_GROUP = Path("/sys/fs/cgroup/memory.max")


def require_memory(what: str, shape: tuple[int, ...], dtype: npt.DTypeLike, instead: str) -> None:
    """Raise MemoryError where an array of this shape is larger than the machine's memory.

    Without it, systems that promise more memory than they have would kill the process in the midst
    of the work. The message names `what`, the need, and what to do `instead`.
    """
    need = math.prod(shape) * np.dtype(dtype).itemsize
    if need > machine_bytes():
        raise MemoryError(
            f"{what}: shape {shape} of {np.dtype(dtype)} needs {_readable(need)}, more than the "
            f"{_readable(machine_bytes())} of this machine; {instead}"
        )


@functools.cache
def machine_bytes() -> int:
    """The bytes of memory that this process can have at most, as far as is known."""
    return min(_physical_bytes(), _group_bytes())


def _physical_bytes() -> int:
    if sys.platform == "win32":
        return _windows_bytes()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _windows_bytes() -> int:
    import ctypes

    kibibytes = ctypes.c_ulonglong()
    library: Any = getattr(ctypes, "windll")  # noqa: B009 -- mypy knows it on Windows alone
    known = library.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kibibytes))
    return kibibytes.value * 1024 if known else sys.maxsize


def _group_bytes() -> int:
    """The limit of the control group (a container's), where there is one."""
    try:
        text = _GROUP.read_text(encoding="ascii")
    except OSError:
        return sys.maxsize
    return int(text) if text.strip().isdecimal() else sys.maxsize


def _readable(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} PiB"
