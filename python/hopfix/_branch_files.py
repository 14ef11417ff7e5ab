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
from hopfix._logit_terms import LogitTerms
from hopfix.branches import Branch, Branches, BranchEvent

_FORMAT = "hopfix branches 1"
_SLOPES = ("_log_beta_slopes", "_state_slopes")
_CURVES = ("beta", "states", "energy", "morse_index", "arclength", *_SLOPES)
_RAGGED = ("events", "places", "starts")
_EVENT_NUMBERS = ("beta", "multiplicity", "certified", "radius", "beta_radius", "found")


def _flat(name: str, parts: Sequence[npt.ArrayLike], empty: npt.NDArray[Any]) -> dict[str, Any]:
    """Arrays of different lengths as one, with the lengths; of the kind of `empty` if none."""
    arrays = [np.asarray(part, empty.dtype) for part in parts]
    return {
        name: np.concatenate([empty, *arrays]),
        f"{name}_lengths": np.array([len(part) for part in arrays], np.int64),
    }


def _parts(data: Any, name: str) -> list[npt.NDArray[Any]]:
    ends = np.cumsum(data[f"{name}_lengths"])
    return [part.copy() for part in np.split(data[name], ends[:-1])] if len(ends) else []


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
