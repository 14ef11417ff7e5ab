"""Read pattern files, and refuse what is not a pattern matrix in one clear sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["InputError", "read_patterns"]


class InputError(Exception):
    """What the user gave cannot be used; the message is one sentence."""


def read_patterns(path: Path) -> NDArray[Any]:
    """Return the patterns (N, d) in a .npy, .npz (key ``patterns``) or .csv file.

    A .csv file is comma-separated; empty lines and lines that start with ``#`` are skipped, and so
    is the first line if one of its fields is not a number (a header). Pickled objects are never
    loaded.

    Raises:
        InputError: the file is missing, unreadable, of another type, or not a finite numeric
            matrix with at least one row and column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a .npy, .npz or .csv file")
    try:
        patterns = reader(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: {error}") from error
    return _checked(path, patterns)


def _read_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        patterns = np.load(file, allow_pickle=False)
    if not isinstance(patterns, np.ndarray):
        raise ValueError("an archive, not an array; call it .npz")
    return patterns


def _read_npz(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("an array, not an archive; call it .npy")
        if "patterns" not in archive:
            raise ValueError(f"needs the key 'patterns', has {sorted(archive.files)}")
        patterns: NDArray[Any] = archive["patterns"]
    return patterns


def _read_csv(path: Path) -> NDArray[Any]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and not all(_is_number(field) for field in lines[0].split(",")):
        lines = lines[1:]
    if not lines:
        raise ValueError("holds no numbers")
    return np.loadtxt(lines, delimiter=",", ndmin=2)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
}


def _checked(path: Path, patterns: NDArray[Any]) -> NDArray[Any]:
    """Return the patterns if they are a finite real matrix."""
    if patterns.dtype.kind not in "fiub":
        raise InputError(f"{path}: patterns must be real numbers, got dtype {patterns.dtype}")
    if patterns.ndim != 2 or patterns.size == 0:
        raise InputError(f"{path}: patterns must have shape (N, d), got {patterns.shape}")
    bad = np.argwhere(~np.isfinite(patterns))
    if len(bad):
        row, column = bad[0].tolist()
        raise InputError(
            f"{path}: patterns must be finite, got {patterns[row, column]} "
            f"in row {row}, column {column}"
        )
    return patterns
