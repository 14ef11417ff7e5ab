"""Archives of arrays (.npz) that are replaced in one step and read without unpickling."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def replace_archive(
    path: str | os.PathLike[str], arrays: dict[str, Any], *, compressed: bool = True
) -> None:
    """Write the arrays to a file beside `path`, then put it in its place."""
    target, write = Path(path), np.savez_compressed if compressed else np.savez
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file, **arrays)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def open_archive(path: str | os.PathLike[str], kind: str, writer: str) -> Iterator[Any]:
    """The arrays of a file whose entry "format" is `kind`; ValueError naming `writer` else."""
    try:
        data = np.load(Path(path), allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"path: {path} is not a file written by {writer}") from None
    if not isinstance(data, np.lib.npyio.NpzFile):
        raise ValueError(f"path: {path} is not a file written by {writer}")
    with data:
        if "format" not in data or str(data["format"]) != kind:
            raise ValueError(f"path: {path} is not a file written by {writer}")
        yield data
