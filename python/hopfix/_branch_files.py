"""Branches as .npz files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix._files import open_archive, replace_archive
from hopfix._layout import parts, require_layout, require_one_of, require_within
from hopfix._logit_terms import LogitTerms
from hopfix.branches import Branch, Branches, BranchEvent

_FORMAT = "hopfix branches 1"
_SLOPES = ("_log_beta_slopes", "_state_slopes")
_CURVES = ("beta", "states", "energy", "morse_index", "arclength", *_SLOPES)
_RAGGED = ("events", "places", "starts")
_EVENT_NUMBERS = ("beta", "multiplicity", "certified", "radius", "beta_radius", "found")
_LAYOUT = {
    "patterns": "f N d", "network": "f ?", "log_weights": "f N?", "terms_log_weights": "f N?",
    "terms_offsets": "f N?", "faces": "U", "cut_short": "b", "ends": "U B ?", "beta": "f P",
    "states": "f P d", "energy": "f P", "morse_index": "i P", "arclength": "f P",
    "_log_beta_slopes": "f P", "_state_slopes": "f P d", "events": "i L", "places": "i L",
    "starts": "i ?", **{f"{name}_lengths": "i B" for name in (*_CURVES, *_RAGGED)},
    "event_kinds": "U E", "event_states": "f E d", "event_beta": "f E", "event_multiplicity": "i E",
    "event_certified": "b E", "event_radius": "f E", "event_beta_radius": "f E",
    "event_found": "i E", "event_branches": "i ?", "event_branches_lengths": "i E",
}  # fmt: skip
_ENDS = (
    "start", "start_beta", "beta_to", "crossing", "max_steps", "time_limit", "interrupted",
    "small_step", "degenerate", "no_solution",
)  # fmt: skip
_KINDS = ("fold", "pitchfork", "transcritical", "multiple", "degenerate")


def _flat(name: str, parts: Sequence[npt.ArrayLike], empty: npt.NDArray[Any]) -> dict[str, Any]:
    """Arrays of different lengths as one, with the lengths; of the kind of `empty` if none."""
    arrays = [np.asarray(part, empty.dtype) for part in parts]
    return {
        name: np.concatenate([empty, *arrays]),
        f"{name}_lengths": np.array([len(part) for part in arrays], np.int64),
    }


def _parts(data: Any, name: str) -> list[npt.NDArray[Any]]:
    return parts(name, data[name], data[f"{name}_lengths"])


def _require_consistent(data: Any) -> None:
    """ValueError unless branches and events fit each other and themselves."""
    require_layout(data, _LAYOUT)
    require_one_of("ends", data["ends"], _ENDS)
    require_one_of("event_kinds", data["event_kinds"], _KINDS)
    points = data["beta_lengths"]
    same = all(np.array_equal(data[f"{name}_lengths"], points) for name in _CURVES)
    if not same or (points < 1).any():
        raise ValueError("the entries of the branches are of different lengths")
    if not np.array_equal(data["events_lengths"], data["places_lengths"]):
        raise ValueError("the entries 'events' and 'places' are of different lengths")
    require_within("events", data["events"], 0, len(data["event_kinds"]))
    require_within("event_branches", data["event_branches"], 0, len(points))
    for places, size in zip(_parts(data, "places"), points, strict=True):
        require_within("places", places, 0, size)


def save(branches: Branches, path: str | os.PathLike[str]) -> None:
    """See `Branches.save`."""
    network, dtype = branches.network, branches.network.dtype
    d, whole = network.patterns.shape[1], np.empty(0, np.int64)
    empty = {"states": np.empty((0, d), dtype), "_state_slopes": np.empty((0, d))}
    empty["morse_index"] = whole
    arrays: dict[str, Any] = {
        "format": np.array(_FORMAT),
        "patterns": network.patterns,
        "network": np.array([network.beta, branches.beta_to]),
        "log_weights": _optional(network._log_weights),
        "ends": np.array([branch.ends for branch in branches.branches], np.str_).reshape(-1, 2),
        "event_kinds": np.array([event.kind for event in branches.events], np.str_),
        "event_states": np.array([e.state for e in branches.events], dtype).reshape(-1, d),
        "faces": np.array(json.dumps([branches.faces, branches.unseeded])),
        "cut_short": np.array(branches.cut_short),
    }
    for field in fields(LogitTerms):
        arrays[f"terms_{field.name}"] = _optional(getattr(branches.terms, field.name))
    for name in _CURVES:
        parts = [getattr(branch, name) for branch in branches.branches]
        arrays |= _flat(name, parts, empty.get(name, np.empty(0)))
    for name in _RAGGED:
        arrays |= _flat(name, [getattr(branch, name) for branch in branches.branches], whole)
    for name in _EVENT_NUMBERS:
        arrays[f"event_{name}"] = np.array([getattr(event, name) for event in branches.events])
    arrays |= _flat("event_branches", [event.branches for event in branches.events], whole)
    replace_archive(path, arrays)


def _optional(array: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    return np.empty(0) if array is None else array


def load(path: str | os.PathLike[str]) -> Branches:
    """See `Branches.load`."""
    from hopfix.network import Hopfield

    with open_archive(path, _FORMAT, "Branches.save") as data:
        _require_consistent(data)

        def given(name: str) -> Any:
            return data[name].copy() if data[name].size else None

        beta, beta_to = data["network"].tolist()
        network = Hopfield(data["patterns"], beta, log_weights=given("log_weights"))
        faces, unseeded = json.loads(str(data["faces"]))
        return Branches(
            network=network,
            beta_to=beta_to,
            branches=_branches(data),
            events=_events(data),
            terms=LogitTerms(*(given(f"terms_{field.name}") for field in fields(LogitTerms))),
            faces=None if faces is None else tuple(tuple(face) for face in faces),
            unseeded=tuple(tuple(face) for face in unseeded),
            cut_short=bool(data["cut_short"]),
        )


def _branches(data: Any) -> tuple[Branch, ...]:
    columns = {name: _parts(data, name) for name in (*_CURVES, *_RAGGED)}
    out = []
    for i, (first, last) in enumerate(data["ends"].tolist()):
        fields_: dict[str, Any] = {name: column[i] for name, column in columns.items()}
        for name in ("events", "starts"):
            fields_[name] = tuple(fields_[name].tolist())
        out.append(Branch(ends=(first, last), **fields_))
    return tuple(out)


def _events(data: Any) -> tuple[BranchEvent, ...]:
    numbers = {name: data[f"event_{name}"].tolist() for name in _EVENT_NUMBERS}
    on, states = _parts(data, "event_branches"), data["event_states"]
    return tuple(
        BranchEvent(
            kind=kind,
            state=states[i].copy(),
            branches=tuple(on[i].tolist()),
            **{name: values[i] for name, values in numbers.items()},
        )
        for i, kind in enumerate(data["event_kinds"].tolist())
    )
