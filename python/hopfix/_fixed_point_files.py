"""Lists of fixed points as .npz files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any, get_args

import numpy as np

from hopfix._files import open_archive, replace_archive
from hopfix._layout import as_texts, require_layout, require_one_of
from hopfix.fixed_points import POINT_ARRAYS, Completeness, FixedPoints, Proof, Undecided

_FORMAT = 4
_LAYOUT = {
    "patterns": "f N d", "beta": "f", "log_weights": "f N", "similarity": "U", "kernel": "f ? d",
    "states": "f K d", "weights": "f K N", "morse_index": "i K", "spectral_radius": "f K",
    "energy": "f K", "residual": "f K", "certified": "b K", "radius": "f K",
    "uniqueness_radius": "f K", "reasons": "U K", "completeness": "U", "method": "U", "proof": "U",
    "undecided_states": "f U d", "undecided_reasons": "U U", "undecided_radii": "f U",
}  # fmt: skip


def save(points: FixedPoints, path: str | os.PathLike[str]) -> None:
    """See `FixedPoints.save`."""
    network = points.network
    arrays: dict[str, Any] = {field: getattr(points, field) for field in POINT_ARRAYS}
    d = network.patterns.shape[1]
    places = [np.full(d, np.nan) if u.state is None else u.state for u in points.undecided]
    kernel = network._model.matrix
    arrays |= {
        "format": np.int64(_FORMAT),
        "patterns": network.patterns,
        "beta": np.float64(network.beta),
        "log_weights": network.log_weights,
        "similarity": np.array(network._model.similarity),
        "kernel": np.empty((0, d)) if kernel is None else kernel,
        "reasons": as_texts(points.reasons),
        "completeness": np.array(points.completeness),
        "method": np.array(points.method),
        "undecided_states": np.array(places, dtype=np.float64).reshape(-1, d),
        "undecided_reasons": as_texts([u.reason for u in points.undecided]),
        "undecided_radii": np.array([u.radius for u in points.undecided], dtype=np.float64),
        "proof": np.array("" if points.proof is None else json.dumps(asdict(points.proof))),
    }
    replace_archive(path, arrays)


def load(path: str | os.PathLike[str]) -> FixedPoints:
    """See `FixedPoints.load`."""
    from hopfix.network import Hopfield

    with open_archive(path, _FORMAT, "FixedPoints.save") as data:
        require_layout(data, _LAYOUT)
        require_one_of("completeness", data["completeness"], get_args(Completeness))
        kernel = data["kernel"]
        network = Hopfield(
            data["patterns"],
            float(data["beta"]),
            log_weights=data["log_weights"],
            similarity=kernel if len(kernel) else str(data["similarity"]),
        )
        arrays: dict[str, Any] = {field: data[field] for field in POINT_ARRAYS}
        undecided = tuple(
            Undecided(None if np.isnan(state).any() else state, str(reason), float(radius))
            for state, reason, radius in zip(
                data["undecided_states"],
                data["undecided_reasons"],
                data["undecided_radii"],
                strict=True,
            )
        )
        proof = str(data["proof"])
        completeness: Any = str(data["completeness"])
        return FixedPoints(
            network=network,
            reasons=tuple(str(reason) for reason in data["reasons"]),
            completeness=completeness,
            undecided=undecided,
            method=str(data["method"]),
            proof=Proof.from_json(proof) if proof else None,
            **arrays,
        )
