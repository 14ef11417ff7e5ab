"""Retrieval through random features on a device."""

from __future__ import annotations

from typing import Any

from hopfix._config import resolve_threads
from hopfix._feature_state import FeatureState
from hopfix._features import RandomFeatures
from hopfix._performer import Performer
from hopfix._results import Retrieval
from hopfix.gpu._features import (
    DeviceFeatureMemory,
    exponential_state,
    rectified_state,
)
from hopfix.gpu._namespace import (
    as_device_floats,
    count,
    device_of,
    flat_rows,
    namespace_of,
    shaped,
)
from hopfix.gpu._retrieve import retrieve, with_leading


class DevicePerformer(Performer):
    """A `hopfix.performer.Performer` of patterns outside host memory, which it is made for.

    Arguments, methods and warnings are those of `Performer`; arrays are of the patterns' library on
    their device. The rows of the features are drawn on the host and copied to the device once.
    Accumulation runs in double precision, retrieval in the patterns' dtype; results agree with the
    host's to rounding, not bitwise. `error_estimate` exists only on the host (NotImplementedError).
    """

    def __init__(
        self,
        patterns: Any,
        beta: float,
        features: RandomFeatures,
        draws: int = 1,
        sparsify_above: float | None = None,
        *,
        num_threads: int | None = None,
    ) -> None:
        rows = as_device_floats("patterns", patterns)
        if rows.ndim != 2:
            raise ValueError(f"patterns: got {rows.ndim} dimensions, need 2: shape (N, d)")
        threads = resolve_threads(num_threads)
        dim = int(rows.shape[1])
        self._prepare(dim, beta, features, draws, sparsify_above, rows.dtype, threads)
        self._remember(int(rows.shape[0]), self._states_of(rows))

    def _remember(self, size: int, states: list[Any]) -> None:
        self._size = size
        xp = namespace_of(states[0].means)
        self._like = xp.astype(states[0].means[:1, :], self._dtype)
        self._memories: list[Any] = [
            DeviceFeatureMemory(features, state, self._beta, self._like)
            for features, state in zip(self._features, states, strict=True)
        ]

    def _states_of(self, rows: Any) -> list[Any]:
        xp = namespace_of(rows)
        values = xp.astype(rows, xp.float64, copy=False)
        keys = self._sparsified(values)
        relu = self._features[0].kind == "relu"
        accumulate = rectified_state if relu else exponential_state
        return [accumulate(features, keys, values, self._beta) for features in self._features]

    def _sparsified(self, rows: Any) -> Any:
        if self._sparsify_above is None:
            return rows
        xp = namespace_of(rows)
        return xp.where(rows > self._sparsify_above, xp.zeros_like(rows), rows)

    @property
    def device(self) -> Any:
        """Where the memory is, as its library names it."""
        return device_of(self._like)

    def add(self, patterns: Any) -> DevicePerformer:
        """Return a memory that holds these (n, d) patterns, too; O(n r d)."""
        rows = self._rows(patterns)
        return self._combined(self._size + int(rows.shape[0]), FeatureState.plus, rows)

    def remove(self, patterns: Any) -> DevicePerformer:
        """Return a memory without these (n, d) patterns: see `Performer.remove`."""
        rows = self._rows(patterns)
        left = self._size - int(rows.shape[0])
        self._require_rest(left)
        return self._combined(left, FeatureState.minus, rows)

    def _rows(self, patterns: Any) -> Any:
        rows = self._array("patterns", patterns)
        if rows.ndim != 2 or rows.shape[1] != self.features.dim:
            raise ValueError(
                f"patterns: got shape {tuple(rows.shape)}, need (n, {self.features.dim})"
            )
        return rows

    def update(self, states: Any) -> Any:
        """Return the estimate of f(ξ), shape (..., d), for states of shape (..., d)."""
        flat, leading = self._flat(states)
        estimates = self._update(flat)
        self._warn_of_worthless(self._variance(flat, estimates))
        return shaped(estimates, (*leading, self.features.dim))

    def retrieve(
        self, states: Any, *, max_steps: int = 1000, tol: float | None = None
    ) -> Retrieval:
        """Update until every query stops: see `Performer.retrieve`."""
        flat, leading = self._flat(states)
        found = retrieve(self._update, flat, max_steps, tol)
        first = self._variance(flat, self._update(flat))
        last = self._variance(found.states, self._update(found.states))
        xp = namespace_of(flat)
        self._warn_of_worthless(xp.where(first > last, first, last))
        return with_leading(found, leading)

    def error_estimate(self, states: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError(
            "error_estimate: exists on the host only: make a Performer of a copy of the patterns "
            "there"
        )

    def _update(self, flat: Any) -> Any:
        queries = self._sparsified(flat)
        total = self._memories[0].update(queries)
        for memory in self._memories[1:]:
            total = total + memory.update(queries)
        return total / self.draws

    def _variance(self, states: Any, estimates: Any) -> Any:
        """The relative variance of the kernel between states and estimates, (count,)."""
        xp = namespace_of(states)
        both = self._sparsified(states) + self._sparsified(estimates)
        square = self._beta * xp.sum(both * both, axis=-1)
        if self.features.kind == "relu":
            return xp.zeros_like(square)
        one = xp.expm1(square) if self.features.kind == "exp" else 4 * xp.sinh(square / 2) ** 2
        return one / self.features.n_features / self.draws

    def _warn_of_worthless(self, variance: Any) -> None:
        xp = namespace_of(variance)
        worthless = count(xp, variance > 1)
        if worthless:
            self._warn(worthless, int(variance.shape[0]), float(xp.max(variance)), 4)

    def _array(self, name: str, value: Any) -> Any:
        xp = namespace_of(self._like)
        return xp.astype(as_device_floats(name, value, xp, self.device), self._dtype, copy=False)

    def _flat(self, states: Any) -> tuple[Any, tuple[int, ...]]:
        return flat_rows("states", self._array("states", states), self.features.dim)
