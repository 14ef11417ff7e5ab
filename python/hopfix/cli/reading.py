"""Read pattern files, and refuse what is not a pattern matrix in one clear sentence."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["InputError", "read_patterns"]

_TYPES = ".npy, .npz, .csv or .parquet"


class InputError(Exception):
    """What the user gave cannot be used; the message is one sentence."""


def read_patterns(path: Path, key: str = "patterns") -> NDArray[Any]:
    """Return the patterns (N, d) in a .npy, .npz (array `key`), .csv or .parquet file.

    A .csv file is comma-separated; empty lines and lines that start with ``#`` are skipped, and so
    is the first line if one of its fields is not a number (a header). All columns of a .parquet
    file are numbers, none of them missing. Pickled objects are never loaded.

    Raises:
        InputError: the file is missing, unreadable, of another type, or not a finite numeric
            matrix with at least one row and column.
        ImportError: a .parquet file without pyarrow; the message names the extra.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a {_TYPES} file")
    try:
        patterns = reader(path, key)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {error}") from error
    return _checked(path, patterns)


def _read_npy(path: Path, _key: str) -> NDArray[Any]:
    with path.open("rb") as file:
        patterns = np.load(file, allow_pickle=False)
    if not isinstance(patterns, np.ndarray):
        raise ValueError("an archive, not an array; call it .npz")
    return patterns


def _read_npz(path: Path, key: str) -> NDArray[Any]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("an array, not an archive; call it .npy")
        if key not in archive:
            raise ValueError(f"needs the key {key!r}, has {sorted(archive.files)}")
        patterns: NDArray[Any] = archive[key]
    return patterns


def _read_csv(path: Path, _key: str) -> NDArray[Any]:
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


def _read_parquet(path: Path, _key: str) -> NDArray[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("reading .parquet needs pyarrow: install hopfix[parquet]") from error
    try:
        table = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:  # also a ValueError or an OSError, or neither
        raise ValueError(str(error)) from error
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
            raise ValueError(f"column {name!r} must be numbers, is of type {kind}")
        if column.null_count:
            raise ValueError(f"column {name!r} has {column.null_count} missing values")
    if not table.num_columns:
        raise ValueError("holds no columns")
    return np.column_stack([column.to_numpy() for column in table.columns])


_READERS: dict[str, Callable[[Path, str], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
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
