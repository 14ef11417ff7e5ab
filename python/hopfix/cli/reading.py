"""Read pattern files, and refuse what is not a pattern matrix in one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hopfix._npy import Archive, open_regular, read_npy

__all__ = ["InputError", "read_patterns", "refusal"]

_TYPES = ".npy, .npz, .csv or .parquet"
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_LOOK = 1 << 16
_MOST_NAMES, _MOST_SHOWN, _MOST_SAID = 8, 30, 400


class InputError(Exception):
    """What the user gave cannot be used; the message is one sentence."""


def refusal(error: Exception, file: Path | None) -> InputError:
    """What the library refused, with the file where the numbers in it are the reason."""
    about_numbers = file is not None and str(error).startswith(("patterns:", "states:"))
    return InputError(f"{file}: {error}" if about_numbers else str(error))


def read_patterns(path: Path, key: str = "patterns") -> NDArray[Any]:
    """Return the patterns (N, d) in a .npy, .npz (array `key`), .csv or .parquet file.

    A .csv file is comma-separated text in UTF-8; empty lines and lines that start with ``#`` are
    skipped, and so is the first line if there is text in it (a header); numbers may be in double
    quotes. All columns of a .parquet file are numbers, none of them missing. Pickled objects are
    never loaded, and no more memory is taken than the size of the file allows for.

    Raises:
        InputError: the file is missing, unreadable, of another type, or not a finite numeric
            matrix with at least one row and column.
        ImportError: a .parquet file without pyarrow; the message names the extra.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a {_TYPES} file")
    try:
        with open_regular(path) as file:
            patterns = reader(file, key)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, MemoryError) as error:
        raise InputError(f"{path}: {str(error)[:_MOST_SAID]}") from error
    return _checked(path, patterns)


def _read_npy(file: IO[bytes], _key: str) -> NDArray[Any]:
    if _starts(file, _ZIP):
        raise ValueError("an archive, not an array; call it .npz")
    try:
        return read_npy(file)
    except ValueError as error:
        raise ValueError(f"{error}; need an array as numpy.save writes it") from error


def _read_npz(file: IO[bytes], key: str) -> NDArray[Any]:
    if _starts(file, _NPY):
        raise ValueError("an array, not an archive; call it .npy")
    try:
        archive = Archive(file)
        if key in archive:
            return archive[key]
    except ValueError as error:
        raise ValueError(f"{error}; need an archive as numpy.savez writes it") from error
    shown = [name[:_MOST_SHOWN] for name in sorted(archive)[:_MOST_NAMES]]
    shown += ["…"] if len(archive) > _MOST_NAMES else []
    raise ValueError(f"needs the key {key!r}, has {shown}")


def _starts(file: IO[bytes], magic: bytes) -> bool:
    start = file.read(len(magic))
    file.seek(0)
    return start == magic


def _read_csv(file: IO[bytes], _key: str) -> NDArray[Any]:
    rows = _rows(file)
    if rows and _is_header(rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise ValueError("holds no numbers, need rows of them with commas between")
    try:
        return np.loadtxt([text for _, text in rows], delimiter=",", quotechar='"', ndmin=2)
    except ValueError as error:
        raise ValueError(_first_problem(rows) or str(error)) from None


def _rows(file: IO[bytes]) -> list[tuple[int, str]]:
    """Lines that are neither empty nor comments, with their numbers in the file."""
    if b"\0" in file.read(_LOOK):  # the rest of it may be endless
        raise ValueError("must be text, has bytes 0")
    file.seek(0)
    try:
        lines = file.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"must be text in UTF-8, has byte {error.start} that is not") from None
    stripped = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _fields(line: str) -> list[str]:
    return [field.strip().strip('"').strip() for field in line.partition("#")[0].split(",")]


def _is_header(line: str) -> bool:
    """Whether there is text; a missing number alone does not make a header."""
    return any(field and not _is_number(field) for field in _fields(line))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _first_problem(rows: list[tuple[int, str]]) -> str:
    """Which line is not a row as the first one is."""
    first, width = rows[0][0], len(_fields(rows[0][1]))
    for number, line in rows:
        fields = _fields(line)
        for field in fields:
            if not _is_number(field):
                got = repr(field[:_MOST_SHOWN]) if field else "nothing between commas"
                return f"line {number}: got {got}, need a number"
        if len(fields) != width:
            return f"line {number}: got {len(fields)} numbers, need {width} as in line {first}"
    return ""


def _read_parquet(file: IO[bytes], _key: str) -> NDArray[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("reading .parquet needs pyarrow: install hopfix[parquet]") from error
    try:
        table = parquet.ParquetFile(file).read()
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


_READERS: dict[str, Callable[[IO[bytes], str], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _checked(path: Path, patterns: NDArray[Any]) -> NDArray[Any]:
    """Return the patterns if they are a finite real matrix."""
    dtype = patterns.dtype
    if dtype.kind not in "iub" and dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise InputError(
            f"{path}: must be real numbers, got dtype {dtype}, need float32, float64, integers or "
            "bool"
        )
    if patterns.ndim != 2 or patterns.size == 0:
        raise InputError(
            f"{path}: must have shape (N, d), got {patterns.shape}, need a row per pattern and at "
            "least one"
        )
    if not (finite := np.isfinite(patterns)).all():
        row, column = (int(k) for k in np.unravel_index(finite.argmin(), finite.shape))
        raise InputError(
            f"{path}: must be finite, got {patterns[row, column]} in row {row}, column {column}"
        )
    return patterns
