"""From what a search found to a list of fixed points, with the verdict on its completeness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix._image import from_image
from hopfix._retrieval import residuals_of
from hopfix.degree import audit
from hopfix.fixed_points import Completeness, FixedPoints, Proof, Undecided

if TYPE_CHECKING:
    from hopfix.network import Hopfield


def assemble(
    network: Hopfield,
    columns: dict[str, Any],
    *,
    method: str,
    proved: bool,
    left: tuple[Undecided, ...],
    open: tuple[Undecided, ...] = (),
    proof: Proof | None = None,
) -> FixedPoints:
    """Build the sorted list from the core's columns and pass the verdict on completeness.

    `proved` says that a theorem, or an exclusion of everything else, fixes the number of points
    found; `left` is what the search left open beside uncertified points, `open` what only a proof
    of completeness did.
    """
    states = columns["states"].astype(network.dtype, copy=False)
    energy = network.energy(states) if len(states) else np.empty(0, network.dtype)
    order = np.lexsort((*states.T[::-1], energy, columns["morse_index"]))
    states, energy = states[order], energy[order]
    certified = columns["certified"][order]
    reasons = tuple(columns["reasons"][i] for i in order)
    undecided = left + tuple(
        Undecided(states[i].astype(np.float64), reasons[i]) for i in np.flatnonzero(~certified)
    )
    counts = np.bincount(columns["morse_index"])
    passes = bool(
        audit({int(k): int(c) for k, c in enumerate(counts)}, max(states.shape[1], len(counts)))
    )
    completeness: Completeness = "unknown"
    if not undecided and passes:
        completeness = "proved" if proved else "consistent"
    n = network.patterns.shape[0]
    return FixedPoints(
        network=network,
        states=states,
        weights=network.weights(states) if len(states) else np.empty((0, n), network.dtype),
        morse_index=columns["morse_index"][order],
        spectral_radius=columns["spectral_radius"][order],
        energy=energy,
        residual=residuals_of(network, states),
        certified=certified,
        radius=columns["radius"][order],
        uniqueness_radius=columns["uniqueness_radius"][order],
        reasons=reasons,
        completeness=completeness,
        undecided=undecided + open,
        method=method,
        proof=proof,
    )


def in_network(run: Callable[[], FixedPoints], network: Hopfield) -> FixedPoints:
    """What `run` finds in the `image` of a network, as a list of that network."""
    if network.image is network:
        return run()
    try:
        return transfer(run(), network)
    except BaseException as error:
        if isinstance(found := getattr(error, "partial", None), FixedPoints):
            error.partial = transfer(found, network)  # type: ignore[attr-defined]
        raise


def transfer(found: FixedPoints, network: Hopfield) -> FixedPoints:
    """The same list for the network of whose `image` it was made."""
    states = from_image(network, found.states).astype(network.dtype, copy=False)
    undecided = tuple(
        left
        if left.state is None
        else left._replace(state=from_image(network, left.state[None])[0])
        for left in found.undecided
    )
    return replace(
        found,
        network=network,
        states=states,
        residual=residuals_of(network, states),
        undecided=undecided,
    )
