"""Arrays from .npy and .npz files that may be damaged or hostile.

Nothing is unpickled, and what a header claims is compared with the size of the file before memory
for it is taken: no more than the file can fill, and the machine has.
"""

from __future__ import annotations

import io
import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix._limits import machine_bytes

_Header: TypeAlias = tuple[tuple[int, ...], bool, np.dtype[Any], int]
# NumPy reads no longer header; that of version 1 is shorter in any case.
_MOST_HEADER = 1 << 16
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Bytes written or read at once: Python copies them with the GIL held, in some 10 us.
_PART = 1 << 17
# deflate writes at least two bits for 258 bytes.
_MOST_DEFLATED = 1032
_ENCRYPTED = 1


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file to read; ValueError for what may block or never end: pipes, devices, sockets."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # open() says it best of a directory
        raise ValueError("is a pipe or a device, need a regular file")
    with open(path, "rb") as file:
        yield file


def read_npy(file: IO[bytes]) -> npt.NDArray[Any]:
    """Return the array of a .npy file, open at its start; ValueError, MemoryError.

    It holds numbers, times or text, in C or Fortran order; nothing comes after it.
    """
    return _read_array(file, os.fstat(file.fileno()).st_size)


def map_npy(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the array of a .npy file as a read-only memory map; ValueError as `read_npy`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype, first = _believed(file.read(_MOST_HEADER), size)
    return np.memmap(path, dtype, "r", first, shape, "F" if fortran else "C")


def _read_array(stream: IO[bytes], size: int) -> npt.NDArray[Any]:
    """The array of a stream of `size` bytes."""
    start = stream.read(_MOST_HEADER)
    shape, fortran, dtype, first = _believed(start, size)
    _require_memory(size)
    content = np.empty(size - first, np.uint8)
    given = np.frombuffer(start, np.uint8)[first:]
    content[: len(given)] = given
    _fill(stream, content.data[len(given) :])
    flat = content.view(dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _believed(start: bytes, size: int) -> _Header:
    """The header of a file of `size` bytes, which it must fit."""
    shape, fortran, dtype, first = _header(start)
    if dtype.kind in "OV" or not dtype.itemsize:
        raise ValueError(f"holds dtype {dtype}, need plain numbers (nothing is unpickled)")
    claimed = first + math.prod(shape) * dtype.itemsize
    if any(isinstance(n, bool) or n < 0 for n in shape) or claimed != size:
        raise ValueError(
            f"its header says shape {shape} of {dtype}, {claimed} bytes in all, but it has {size}: "
            "it was cut off or changed"
        )
    return shape, fortran, dtype, first


def _header(start: bytes) -> _Header:
    """Shape, order, dtype, and the place of the first entry."""
    stream = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
    except Exception:  # the parsers behind it raise anything
        raise ValueError("does not start as a .npy file does") from None
    return shape, fortran, dtype, stream.tell()


def _fill(stream: IO[bytes], view: memoryview) -> None:
    """Read until `view` is full; ValueError at an earlier end."""
    while len(view):
        part = stream.read(min(len(view), _PART))
        if not part:
            raise ValueError("ends before its array does: it was cut off or changed")
        view[: len(part)] = part
        view = view[len(part) :]


def bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, without a copy."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def write_archive(
    file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]], *, compressed: bool
) -> None:
    """Write arrays in C order as `numpy.savez` does, which copies them with the GIL held."""
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(entry, header)
                content = bytes_of(array)
                for first in range(0, len(content), _PART):
                    entry.write(content[first : first + _PART])


class Archive(Mapping[str, npt.NDArray[Any]]):
    """The arrays of a .npz file, each read when asked for; ValueError where it is damaged."""

    def __init__(self, file: IO[bytes]) -> None:
        self._size = os.fstat(file.fileno()).st_size
        try:
            self._zip = zipfile.ZipFile(file)
        except Exception as error:  # damaged archives make zipfile raise anything
            raise ValueError(f"not an archive of arrays ({error})") from None
        entries = {info.filename: info for info in self._zip.infolist()}
        self._entries = {
            name.removesuffix(".npy"): info
            for name, info in entries.items()
            if name.endswith(".npy")
        }
        # Entries that share their bytes, or claim more than these can hold, are bombs.
        if sum(info.compress_size for info in entries.values()) > self._size:
            raise ValueError("its entries are larger than the file")

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        info = self._entries[name]
        problem = _problem(info)
        if problem:
            raise ValueError(f"its entry {info.filename!r} {problem}")
        try:
            with self._zip.open(info) as stream:
                return _read_array(stream, info.file_size)
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"its entry {info.filename!r}: {error}") from None

    def require_memory(self) -> None:
        """MemoryError unless all arrays fit at once."""
        _require_memory(sum(info.file_size for info in self._entries.values()))


def _problem(info: zipfile.ZipInfo) -> str:
    """What makes an entry none of numpy.savez or numpy.savez_compressed; "" if nothing."""
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type == zipfile.ZIP_STORED:
        most = info.compress_size
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        most = _MOST_DEFLATED * info.compress_size
    else:
        return "is packed in an unusual way"
    return f"claims {info.file_size} bytes, too many" if info.file_size > most else ""


def _require_memory(size: int) -> None:
    if size > machine_bytes():
        raise MemoryError(
            f"needs {size} bytes of memory, more than the {machine_bytes()} of this machine; split "
            "it into smaller files"
        )
