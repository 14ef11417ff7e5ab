"""How this build was made and how it runs here."""

from __future__ import annotations

import functools
import os
from typing import Any

from hopfix import _core
from hopfix._arrays import as_integer

MAX_THREADS = 1024


@functools.cache
def default_threads() -> int:
    """Return HOPFIX_NUM_THREADS or the CPUs of the affinity mask; read once."""
    text = os.environ.get("HOPFIX_NUM_THREADS", "")
    if not text:
        return int(_core.available_cpus())
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_THREADS):
        raise ImportError(
            f"HOPFIX_NUM_THREADS: got {text!r}, need an integer of 1 to {MAX_THREADS}"
        )
    return int(text)


def resolve_threads(num_threads: int | None) -> int:
    """Return the number of threads to use: `num_threads`, or the default when it is None."""
    if num_threads is None:
        return default_threads()
    return as_integer("num_threads", num_threads, 1, MAX_THREADS)


def get_config() -> dict[str, Any]:
    """Return the configuration as a dict.

    Keys: version, isa (the instruction-set level in use), isa_built, isa_supported, threads (the
    default: HOPFIX_NUM_THREADS or the CPUs of the affinity mask), compiler, eigen.
    """
    return {
        "version": _core.version,
        "isa": _core.isa(),
        "isa_built": _core.isa_built(),
        "isa_supported": _core.isa_supported(),
        "threads": default_threads(),
        "compiler": _core.compiler,
        "eigen": _core.eigen_version,
    }


def show_config() -> None:
    """Print version, instruction-set level, levels built, threads, compiler and Eigen version."""
    for key, value in get_config().items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        print(f"{key + ':':<15}{text}")
