"""The finite network of self-attention, drawn unit by unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_float_array, as_integer, require_finite
from hopfix._progress import Progress, as_progress
from hopfix.mean_field._results import Array, Simulation, State

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

_MOST_SPINS = 2**40


@dataclass(frozen=True, eq=False)
class NetworkState(State):
    """Where a finite network stands: a `State`, and the tokens that it attends to.

    Attributes:
        values, keys: (L, M) fields of the last tokens, newest first; fewer after fewer steps.
        steps: steps made, which tell the random numbers of the next one.
    """

    values: Array | None = None
    keys: Array | None = None
    steps: int = 0


class AttentionNetwork:
    """N ±1 units whose mean field is a given `AttentionMeanField`.

    Every unit of the next token is drawn with the field (β/N) Σ_a W^o_ai A_a. Units are shared out
    to the classes of the mean field by its class weights, rounded (largest remainder); `mean_field`
    has the shares as rounded.

    Args:
        model: parameters and classes; not one made from correlations, which do not tell the law of
            the fields.
        n_spins: N; a step draws about 7 N / 64 random words, and N beyond 10⁶ is no problem.
        seed: of the random numbers; the step, the class and the unit choose among them, so that a
            network continued from a saved state repeats what it would have done.
    """

    def __init__(self, model: AttentionMeanField, n_spins: int, seed: int = 0) -> None:
        system = model._system
        if model._from_correlations:
            raise ValueError("model: made from correlations, need the weight matrices themselves")
        self._spins = as_integer("n_spins", n_spins, 1, _MOST_SPINS)
        self._seed = as_integer("seed", seed, 0, 2**64 - 1)
        self._counts = _share_out(system.shares, self._spins)
        self._mean_field = model._with_shares(self._counts / self._spins)
        self._threads = model._threads

    @property
    def n_spins(self) -> int:
        """N."""
        return self._spins

    @property
    def mean_field(self) -> AttentionMeanField:
        """The mean field with the classes as large as they are here."""
        return self._mean_field

    def __repr__(self) -> str:
        return f"AttentionNetwork({self._spins} spins, {self._mean_field!r})"

    def simulate(
        self,
        steps: int,
        start: State | None = None,
        *,
        progress: Progress | None = None,
    ) -> Simulation:
        """Draw `steps` tokens.

        Args:
            steps: tokens to draw.
            start: a `NetworkState` to continue from, or a full `State` of the mean field, whose
                tokens then have their expected fields; default: nothing, and a first token of
                independent units.
            progress: called now and then with (steps done, steps in all).

        Returns:
            Simulation, with a `NetworkState` as its final state. The same for every start of the
            same steps and seed.
        """
        count = as_integer("steps", steps, 1)
        memory = self._memory(start)
        rows, (attention, values, keys, position, made) = _core.simulate_network(
            self._mean_field._system.core,
            self._counts,
            self._mean_field._parameters(1),
            self._seed,
            memory,
            count,
            as_progress(progress),
            self._threads,
        )
        state = NetworkState(attention, position, None, values, keys, made)
        return Simulation.from_columns(rows, state)

    def sample(
        self, attention: npt.ArrayLike, count: int, position: int = 0, *, first: int = 0
    ) -> Array:
        """Draw `count` independent tokens after one attention (M,); return (count, 4, M).

        The fields o, v, q, k, positions included. Draw s is that of step first + s.
        """
        model = self._mean_field
        values = as_float_array("attention", attention).astype(np.float64)
        if values.shape != (model.features,):
            raise ValueError(f"attention: got shape {values.shape}, need ({model.features},)")
        require_finite("attention", values)
        number = as_integer("count", count, 1)
        place = as_integer("position", position, 0, model.context - 1)
        fields: Array = _core.sample_attention_fields(
            model._system.core,
            self._counts,
            model._parameters(1),
            self._seed,
            values,
            place,
            as_integer("first", first, 0),
            number,
            self._threads,
        )
        return fields.reshape(number, 4, model.features)

    def _memory(self, start: State | None) -> tuple[Any, ...]:
        """Attention, values, keys, position and steps made, as the core takes them."""
        model = self._mean_field
        if start is None:
            nothing = np.empty((0, model.features))
            return nothing, nothing, nothing, 0, 0
        if isinstance(start, NetworkState):
            rows = [
                as_float_array(f"start.{name}", getattr(start, name)).astype(np.float64)
                for name in ("attention", "values", "keys")
            ]
            if any(r.ndim != 2 or r.shape[1] != model.features for r in rows) or not len(rows[0]):
                shapes = [r.shape for r in rows]
                raise ValueError(f"start: got shapes {shapes}, need (steps, {model.features})")
            if any(len(r) != len(rows[0]) or len(r) > model.context for r in rows):
                lengths = [len(r) for r in rows]
                raise ValueError(
                    f"start: got {lengths} steps, need one number of at most {model.context}"
                )
            for r in rows:
                require_finite("start", r)
            place = as_integer("start.position", start.position, 0, model.context - 1)
            return (*rows, place, as_integer("start.steps", start.steps, 0))
        window = model._system.full_window(start)[0]
        places = start.position - np.arange(model.context)
        fields = model._system.fields(model.beta, model.position_weight, window, places)
        # The newest token's fields come with the next step; those given are of the ones before.
        return window, fields[1, 1:].copy(), fields[3, 1:].copy(), start.position, 0


def _share_out(shares: Array, total: int) -> npt.NDArray[np.int64]:
    """Integers with sum `total`, as nearly proportional to the shares as can be."""
    exact: Array = shares / shares.sum() * total
    counts: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts
