"""Critical faces as .npz files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hopfix._arrays import as_patterns
from hopfix._files import open_archive, replace_archive
from hopfix._layout import parts, require_layout, require_lengths, require_within
from hopfix.faces import CriticalFaces, DegenerateSet

_FORMAT = "hopfix critical faces 1"
_LAYOUT = {
    "patterns": "f N d", "first": "i ?", "indices": "i I", "weights": "f I", "gaps": "f K",
    "complete": "b", "origin_radius": "f", "max_size": "i", "tied_lengths": "i T", "tied": "i A",
    "tied_weights": "f A", "tied_states": "f T d", "tied_index": "i T", "center_weights": "f N?",
    "center_index": "i",
}  # fmt: skip


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
        _require_consistent(data)
        names = ("first", "indices", "weights", "gaps")
        columns: dict[str, Any] = {name: data[name] for name in names}
        columns["complete"] = bool(data["complete"])
        columns["origin_radius"] = float(data["origin_radius"])
        patterns = as_patterns("patterns", data["patterns"])
        faces = CriticalFaces(patterns, columns, int(data["max_size"]) or None)
        faces.degenerate = _ties(data)
        if data["center_weights"].size:
            faces.center = np.zeros(patterns.shape[1], patterns.dtype)
            faces.center_weights = data["center_weights"]
            faces.center_morse_index = int(data["center_index"])
        return faces


def _require_consistent(data: Any) -> None:
    """ValueError unless every face and tie is of patterns that are there."""
    require_layout(data, _LAYOUT)
    first, n = data["first"], len(data["patterns"])
    starts = np.concatenate([[0], np.cumsum(np.diff(first))])
    if not np.array_equal(first, starts) or len(first) != len(data["gaps"]) + 1:
        raise ValueError("the entry 'first' does not start at 0, or is not of as many faces")
    require_lengths("indices", data["indices"], np.diff(first))
    for name in ("indices", "tied"):
        require_within(name, data[name], 0, n)


def _ties(data: Any) -> tuple[DegenerateSet, ...]:
    lengths = data["tied_lengths"]
    active, weights = (parts(name, data[name], lengths) for name in ("tied", "tied_weights"))
    return tuple(
        DegenerateSet(
            active=tuple(active[i].tolist()),
            state=state.copy(),
            weights=None if index < 0 else weights[i],
            morse_index=None if index < 0 else int(index),
        )
        for i, (state, index) in enumerate(
            zip(data["tied_states"], data["tied_index"], strict=True)
        )
    )
