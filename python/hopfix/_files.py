"""Archives of arrays (.npz) that are replaced in one step and read without unpickling.

A process killed at any moment leaves the old file or the new one, whole. Every archive holds its
format and a checksum of all its arrays, so that damage is found when it is read.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix._npy import Archive, bytes_of, open_regular, write_archive

_CHECKSUM = "checksum"


def replace_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], *, compressed: bool = True
) -> None:
    """Write the arrays to a file beside `path`, then put it in its place."""
    target = Path(path)
    content = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content[_CHECKSUM] = np.array(_checksum(content))
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            write_archive(file, content, compressed=compressed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Make the new name last through a loss of power, where directories can be opened."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, np.shape(arrays[name]))).encode())
        digest.update(bytes_of(array))
    return digest.hexdigest()


@contextmanager
def open_archive(
    path: str | os.PathLike[str], form: str | int, writer: str, *, key: str = "format"
) -> Iterator[dict[str, Any]]:
    """The arrays of a file whose entry `key` is `form`; ValueError naming `writer` else.

    A file that is damaged is a ValueError too, also where only the work on the arrays shows it.
    Files without a checksum, of earlier versions, are read.
    """
    arrays = _read(path, writer)
    if key not in arrays:
        raise ValueError(f"path: {path} is not a file written by {writer}")
    got = _word(arrays[key])
    if got != str(form):
        raise ValueError(
            f"path: {path} is not a file written by {writer} of this version of hopfix: got format "
            f"{got[:40]!r}, need {str(form)!r}"
        )
    checksum = arrays.pop(_CHECKSUM, None)
    if checksum is not None and _word(checksum) != _checksum(arrays):
        raise ValueError(
            f"path: {path} is damaged: its checksum is not that of its content; "
            "save it again, or restore a copy"
        )
    try:
        yield arrays
    except MemoryError:
        raise
    except Exception as error:  # numbers of other shapes and kinds than written raise anything
        raise ValueError(f"path: {path} is damaged: {error}") from error


def _read(path: str | os.PathLike[str], writer: str) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            archive = Archive(file)
            archive.require_memory()
            return dict(archive)
    except ValueError as error:
        raise ValueError(f"path: {path} is not a file written by {writer} ({error})") from None
    except MemoryError as error:
        raise MemoryError(f"path: {path} {error}") from None


def _word(array: npt.NDArray[Any]) -> str:
    """What an array of one word says; "" where its bytes are not text."""
    try:
        return str(array)
    except ValueError:
        return ""
