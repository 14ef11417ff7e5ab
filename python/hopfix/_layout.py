"""Kinds and shapes of the arrays of a file, for files that others may have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_KINDS = {"f": "float32 or float64", "i": "integers", "b": "bool", "U": "text"}


def require_layout(arrays: Mapping[str, npt.NDArray[Any]], layout: Mapping[str, str]) -> None:
    """Raise ValueError, naming the entry, unless each is of the kind and shape in `layout`.

    A layout is a kind ("f", "i", "b" or "U") and a letter for each axis, as in "f N d": the same
    letter is the same length everywhere, "?" any. An axis "N?" may also have length 0. What is
    empty is of every kind.
    """
    sizes: dict[str, int] = {}
    for name, text in layout.items():
        if name not in arrays:
            raise ValueError(f"the entry {name!r} is missing")
        array, (kind, *axes) = arrays[name], text.split()
        fits = array.ndim == len(axes) and (array.size == 0 or _is_of(array.dtype, kind))
        for axis, size in zip(axes, array.shape, strict=False):
            letter = axis.rstrip("?")
            if letter and not (axis.endswith("?") and size == 0):
                fits = fits and sizes.setdefault(letter, size) == size
        if not fits:
            need = ", ".join(str(sizes.get(axis.rstrip("?"), axis)) for axis in axes)
            raise ValueError(
                f"the entry {name!r} has shape {array.shape} of {array.dtype}, need ({need}) of "
                f"{_KINDS[kind]}"
            )


def _is_of(dtype: np.dtype[Any], kind: str) -> bool:
    return dtype.kind == kind and (kind != "f" or dtype in (np.float32, np.float64))


def as_texts(words: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return words as an array, made in parts between which other threads may run."""
    some = [np.array(words[i : i + 1024], np.str_) for i in range(0, len(words), 1024)]
    return np.concatenate([np.empty(0, np.str_), *some])


def parts(
    name: str, flat: npt.NDArray[Any], lengths: npt.NDArray[np.int64]
) -> list[npt.NDArray[Any]]:
    """Split rows into copies of parts of these lengths, all of them used; ValueError else."""
    require_lengths(name, flat, lengths)
    ends = np.cumsum(lengths)
    return [part.copy() for part in np.split(flat, ends[:-1])] if len(ends) else []


def require_lengths(name: str, flat: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> None:
    """Raise ValueError unless rows are as many as these lengths say."""
    if (lengths < 0).any() or int(lengths.sum()) != len(flat):
        raise ValueError(f"the entry {name!r} has {len(flat)} rows, its lengths are of others")


def require_within(name: str, numbers: npt.NDArray[np.int64], least: int, end: int) -> None:
    """Raise ValueError unless all are at least `least` and below `end`."""
    if ((numbers < least) | (numbers >= end)).any():
        raise ValueError(f"the entry {name!r} has numbers outside of {least} to {end - 1}")


def require_one_of(name: str, words: npt.NDArray[Any], known: Sequence[str]) -> None:
    """Raise ValueError unless all are among the known ones."""
    unknown = set(np.unique(words).tolist()) - set(known)
    if unknown:
        raise ValueError(f"the entry {name!r} has {min(unknown)[:40]!r}, need {list(known)}")
