"""Trajectories of the mean field and their Lyapunov exponents, as the core computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix import _core
from hopfix._progress import Progress
from hopfix.mean_field._results import Array, LyapunovExponents, State, states_from

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

BATCHES = 32
# Of them exponents are averaged over, and a tenth more lets the tangents turn.
SHORTEST = 2 * BATCHES


def simulate(
    model: AttentionMeanField,
    starts: Sequence[State],
    steps: int,
    discard: int,
    what: Any,
    progress: Progress | None,
    parameters: Array | None = None,
) -> tuple[Array, tuple[State, ...]]:
    """Return what the core is to give back of every trajectory, and where they end.

    `what` is an `AttentionOutput`; `parameters` (3, starts), by default the model's own.
    """
    attention, tokens = model._system.window(starts)
    rows, (last, position) = _core.simulate_attention(
        model._system.core,
        model._parameters(len(starts)) if parameters is None else parameters,
        attention,
        tokens,
        starts[0].position,
        steps,
        discard,
        what,
        progress,
        model._threads,
    )
    full = last.shape[1] == model._context
    given = None if full else np.stack([np.asarray(start.token) for start in starts])
    return rows, states_from(last, position, given)


def exponents(
    model: AttentionMeanField,
    parameters: Array,
    starts: Sequence[State],
    steps: int,
    count: int,
    progress: Progress | None,
) -> tuple[Array, tuple[State, ...]]:
    """Return means of the `count` largest exponents over batches, and where trajectories end.

    Of full windows, over `steps` steps, a tenth of which lets the tangents turn.
    """
    attention, _ = model._system.window(starts)
    warmup = max(1, steps // 10)
    batches, (last, position) = _core.attention_exponents(
        model._system.core,
        parameters,
        attention,
        starts[0].position,
        warmup,
        steps - warmup,
        BATCHES,
        count,
        progress,
        model._threads,
    )
    return batches, states_from(last, position, None)


def lyapunov_exponents(
    model: AttentionMeanField,
    start: State,
    steps: int,
    discard: int,
    count: int,
    progress: Progress | None,
) -> LyapunovExponents:
    """See `AttentionMeanField.lyapunov`."""
    least = max(discard, model.context)
    if steps < least + SHORTEST:
        raise ValueError(f"steps: got {steps}, need at least {least + SHORTEST}")
    _, ends = simulate(model, [start], least, least, _core.AttentionOutput.nothing, None)
    batches, last = exponents(model, model._parameters(1), ends, steps - least, count, progress)
    return LyapunovExponents.from_batches(batches[0], last[0])
