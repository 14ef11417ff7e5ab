"""Critical faces as .npz files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hopfix._files import open_archive, replace_archive
from hopfix.faces import CriticalFaces, DegenerateSet

_FORMAT = "hopfix critical faces 1"


def save(faces: CriticalFaces, path: str | os.PathLike[str]) -> None:
    """See `CriticalFaces.save`."""
    patterns, ties = faces._patterns, faces.degenerate
    dtype, d = patterns.dtype, patterns.shape[1]
    lengths = [len(tie.active) for tie in ties]
    weights = [np.full(len(t.active), np.nan) if t.weights is None else t.weights for t in ties]
    index = [-1 if tie.morse_index is None else tie.morse_index for tie in ties]
    center = faces.center_weights
    replace_archive(
        path,
        {
            "format": np.array(_FORMAT),
            "patterns": patterns,
            "first": faces._first,
            "indices": faces._indices,
            "weights": faces._weights,
            "gaps": faces.gap,
            "complete": np.array(faces.complete),
            "origin_radius": np.float64(faces.origin_radius),
            "max_size": np.int64(faces.max_size or 0),
            "tied_lengths": np.array(lengths, np.int64),
            "tied": np.array([i for tie in ties for i in tie.active], np.int64),
            "tied_weights": np.concatenate([np.empty(0, dtype), *weights]).astype(dtype),
            "tied_states": np.array([tie.state for tie in ties], dtype).reshape(-1, d),
            "tied_index": np.array(index, np.int64),
            "center_weights": np.empty(0, dtype) if center is None else center,
            "center_index": np.int64(faces.center_morse_index or 0),
        },
    )


def load(path: str | os.PathLike[str]) -> CriticalFaces:
    """See `CriticalFaces.load`."""
    with open_archive(path, _FORMAT, "CriticalFaces.save") as data:
        names = ("first", "indices", "weights", "gaps")
        columns: dict[str, Any] = {name: data[name] for name in names}
        columns["complete"] = bool(data["complete"])
        columns["origin_radius"] = float(data["origin_radius"])
        patterns = data["patterns"]
        patterns.flags.writeable = False
        faces = CriticalFaces(patterns, columns, int(data["max_size"]) or None)
        faces.degenerate = _ties(data)
        if data["center_weights"].size:
            faces.center = np.zeros(patterns.shape[1], patterns.dtype)
            faces.center_weights = data["center_weights"]
            faces.center_morse_index = int(data["center_index"])
        return faces


def _ties(data: Any) -> tuple[DegenerateSet, ...]:
    ends = np.cumsum(data["tied_lengths"])
    if not len(ends):
        return ()
    active, weights = np.split(data["tied"], ends[:-1]), np.split(data["tied_weights"], ends[:-1])
    return tuple(
        DegenerateSet(
            active=tuple(active[i].tolist()),
            state=state.copy(),
            weights=None if index < 0 else weights[i].copy(),
            morse_index=None if index < 0 else int(index),
        )
        for i, (state, index) in enumerate(
            zip(data["tied_states"], data["tied_index"], strict=True)
        )
    )
