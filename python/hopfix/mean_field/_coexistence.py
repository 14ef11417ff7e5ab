"""Attractors that coexist: one network from several starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix._arrays import as_integer
from hopfix.mean_field._attractors import Attractor, PeriodicOrbit, classify, forcing_period
from hopfix.mean_field._columns import require_model
from hopfix.mean_field._results import State

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

_SAME_CYCLE = 1e-6


def attractors(
    model: AttentionMeanField, starts: int | Sequence[State] = 16, **options: Any
) -> list[tuple[Attractor, int]]:
    """Return the different attractors met from several starts, the commonest first.

    Cycles are the same if they pass through the same attentions within 1e-6, in the same phase of
    the position units. Others are taken for the same if their kind is, and their largest exponent
    within five standard errors or 1e-3.

    Args:
        model: the network.
        starts: states, or how many of `model.random_state(0)`, `model.random_state(1)`, ….
        options: `steps`, `discard` and `max_period` of `classify`.

    Returns:
        (attractor, number of starts that led to it) for each.
    """
    require_model(model)
    if isinstance(starts, (int, np.integer)):
        states = [model.random_state(seed) for seed in range(as_integer("starts", starts, 1))]
    else:
        states = list(starts)
    forcing = forcing_period(model)
    found: list[tuple[Attractor, int]] = []
    for state in states:
        attractor = classify(model, state, **options)
        for place, (known, count) in enumerate(found):
            if _same(attractor, known, forcing):
                found[place] = (known, count + 1)
                break
        else:
            found.append((attractor, 1))
    return sorted(found, key=lambda pair: -pair[1])


def _same(one: Attractor, other: Attractor, forcing: int) -> bool:
    if one.kind != other.kind or one.period != other.period:
        return False
    if one.orbit is not None and other.orbit is not None:
        return _same_cycle(one.orbit, other.orbit, forcing)
    first, second = one.lyapunov, other.lyapunov
    reach = 5 * np.hypot(first.error[0], second.error[0])
    return bool(abs(first.exponents[0] - second.exponents[0]) <= max(reach, 1e-3))


def _same_cycle(one: PeriodicOrbit, other: PeriodicOrbit, forcing: int) -> bool:
    rows = np.roll(other.attention, (other.state.position - one.state.position) % forcing, axis=0)
    return any(
        float(np.abs(np.roll(rows, shift, axis=0) - one.attention).max()) <= _SAME_CYCLE
        for shift in range(0, one.period, forcing)
    )
