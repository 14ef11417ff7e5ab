"""Retrieval through random features; public as `hopfix.performer.Performer`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hopfix._arrays import (
    FloatArray,
    as_integer,
    as_patterns,
    as_positive,
    as_states,
    as_threshold,
    require_finite,
    require_squares,
)
from hopfix._config import resolve_threads
from hopfix._feature_memory import FeatureMemory, exponential_state, rectified_state
from hopfix._feature_state import FeatureState
from hopfix._features import RandomFeatures
from hopfix._interchange import interchange, is_foreign, on_host
from hopfix._results import Retrieval
from hopfix._retrieval import as_tolerance, iterate, retrieval_of

Memory = TypeVar("Memory", bound="Performer")


class Performer:
    """Retrieval in linear time: f(ξ) ≈ Σ_i φ(√β x_i)·φ(√β ξ) x_i / Σ_i φ(√β x_i)·φ(√β ξ).

    The patterns are read once, in O(N r d); then an update costs O(r d), whatever N. Sources:
    Choromanski et al., "Rethinking Attention with Performers" (2021); "Looking at the Performer
    from a Hopfield point of view", Eq. 23.

    With positive features this is itself a modern Hopfield network, which is how it is computed: r
    random keys w_j, read at √β, whose values are what the store answers to w_j. So exponents need
    no shift common to all keys, and nothing overflows.

    Args:
        patterns: (N, d); not kept. Their dtype is that of results, as in `Hopfield`; the state is
            accumulated in double precision.
        beta: β > 0.
        features: `RandomFeatures` of dimension d.
        draws: >= 1; independent draws of the features, of which updates are the average.
        sparsify_above: components above it are set to zero in keys and queries, not in values
            (the source's sparse Performer has +0.5).
        num_threads: as in `Hopfield`.

    "exp" and "cosh" estimate the softmax network of β. Their variance grows like exp(β‖x + ξ‖²)
    (`RandomFeatures.relative_variance`): `update` and `retrieve` give a RuntimeWarning when the
    kernel between a state and its estimate has a relative variance above 1, where the estimate is
    worth nothing. "relu" estimates another network, of the arc-cosine kernel.

    Patterns outside host memory make a `hopfix.gpu.DevicePerformer`, which computes there.

    An object is immutable; `add` and `remove` return a new one.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(1000, 4)) / 2
        >>> features = hopfix.performer.RandomFeatures(4, 1024, seed=0)
        >>> memory = hopfix.performer.Performer(patterns, 1.0, features, draws=4)
        >>> state = patterns[0]
        >>> exact = hopfix.Hopfield(patterns, 1.0).update(state)
        >>> off = np.linalg.norm(memory.update(state) - exact)
        >>> bool(off < 5 * memory.error_estimate(state))
        True
    """

    def __new__(cls, patterns: Any = None, *_: Any, **__: Any) -> Performer:
        """Make a `hopfix.gpu.DevicePerformer` for patterns outside host memory."""
        if is_foreign(patterns) and not on_host(patterns):
            from hopfix.gpu import DevicePerformer

            return super().__new__(DevicePerformer)
        return super().__new__(cls)

    @interchange
    def __init__(
        self,
        patterns: npt.ArrayLike,
        beta: float,
        features: RandomFeatures,
        draws: int = 1,
        sparsify_above: float | None = None,
        *,
        num_threads: int | None = None,
    ) -> None:
        rows = as_patterns("patterns", patterns)
        threads = resolve_threads(num_threads)
        self._prepare(rows.shape[1], beta, features, draws, sparsify_above, rows.dtype, threads)
        self._remember(rows.shape[0], self._states_of(rows))

    def _prepare(
        self,
        dim: int,
        beta: float,
        features: RandomFeatures,
        draws: int,
        sparsify_above: float | None,
        dtype: Any,
        threads: int,
    ) -> None:
        """Check the arguments beside the patterns and draw the features."""
        beta = as_positive("beta", beta)
        if not isinstance(features, RandomFeatures):
            raise TypeError(f"features: got {type(features).__name__}, need RandomFeatures")
        if features.dim != dim:
            raise ValueError(
                f"features: got dimension {features.dim}, need that of the patterns, {dim}"
            )
        draws = as_integer("draws", draws, 1)
        threshold = as_threshold("sparsify_above", sparsify_above, "float32" in str(dtype))
        all_features = tuple(features.redraw(draw) for draw in range(draws))
        self._settle(all_features, beta, threshold, dtype, threads)

    def _settle(
        self,
        features: tuple[RandomFeatures, ...],
        beta: float,
        sparsify_above: float | None,
        dtype: Any,
        threads: int,
    ) -> None:
        self._features, self._beta, self._dtype = features, beta, dtype
        self._sparsify_above, self._threads = sparsify_above, threads

    def _remember(self, size: int, states: list[FeatureState]) -> None:
        self._size = size
        self._memories = [
            FeatureMemory(features, state, self._beta, self._dtype)
            for features, state in zip(self._features, states, strict=True)
        ]

    def _states_of(self, rows: FloatArray) -> list[FeatureState]:
        values = rows.astype(np.float64, copy=False)
        keys = self._sparsified(values)
        accumulate = rectified_state if self._features[0].kind == "relu" else exponential_state
        return [
            accumulate(features, keys, values, self._beta, self._threads)
            for features in self._features
        ]

    def _sparsified(self, rows: FloatArray) -> FloatArray:
        if self._sparsify_above is None:
            return rows
        return np.asarray(np.where(rows > self._sparsify_above, rows.dtype.type(0), rows))

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return (
            f"Performer({self._size} patterns, beta={self._beta:g}, {self._features[0]!r}, "
            f"draws={self.draws})"
        )

    @property
    def beta(self) -> float:
        """The inverse temperature β."""
        return self._beta

    @property
    def dtype(self) -> Any:
        """float32 or float64."""
        return self._dtype

    @property
    def features(self) -> RandomFeatures:
        """The features of the first draw."""
        return self._features[0]

    @property
    def draws(self) -> int:
        """The number of draws."""
        return len(self._features)

    @interchange
    def add(self, patterns: npt.ArrayLike) -> Performer:
        """Return a memory that holds these (n, d) patterns, too; O(n r d)."""
        rows = self._rows(patterns)
        return self._combined(self._size + rows.shape[0], FeatureState.plus, rows)

    @interchange
    def remove(self, patterns: npt.ArrayLike) -> Performer:
        """Return a memory without these (n, d) patterns, which this one must hold; O(n r d).

        Rounding is multiplied by how much smaller the features get; above a million: ValueError.
        What the memory holds is not known to it: removing other patterns gives a memory of a
        negative number of them.
        """
        rows = self._rows(patterns)
        left = self._size - rows.shape[0]
        self._require_rest(left)
        return self._combined(left, FeatureState.minus, rows)

    def _require_rest(self, left: int) -> None:
        if left <= 0:
            raise ValueError(
                f"patterns: got {self._size - left} of {self._size} to remove, need fewer than all"
            )

    def _rows(self, patterns: npt.ArrayLike) -> FloatArray:
        rows = as_patterns("patterns", patterns)
        if rows.shape[1] != self.features.dim:
            raise ValueError(f"patterns: got dimension {rows.shape[1]}, need {self.features.dim}")
        with np.errstate(over="ignore"):
            rows = rows.astype(self._dtype, copy=False)
        require_finite("patterns", rows)
        return rows

    def _combined(
        self: Memory, size: int, combine: Callable[[Any, Any], Any], rows: FloatArray
    ) -> Memory:
        other = object.__new__(type(self))
        other._settle(self._features, self._beta, self._sparsify_above, self._dtype, self._threads)
        states = [
            combine(memory.state, state)
            for memory, state in zip(self._memories, self._states_of(rows), strict=True)
        ]
        other._remember(size, states)
        return other

    @interchange
    def update(self, states: npt.ArrayLike) -> FloatArray:
        """Return the estimate of f(ξ), shape (..., d), for states of shape (..., d)."""
        flat, leading = self._flat(states)
        estimates = self._update(flat)
        self._warn_of(self._variance(flat, estimates))
        return estimates.reshape((*leading, -1))

    @interchange
    def retrieve(
        self, states: npt.ArrayLike, *, max_steps: int = 1000, tol: float | None = None
    ) -> Retrieval:
        """Update until ‖f(ξ) − ξ‖₂ <= tol·max(1, ‖ξ‖₂), each query by itself, in plain steps.

        The map is the estimate, the same in all steps; each costs O(r d) a query still moving.

        Args:
            states: (..., d).
            max_steps: most updates; without convergence the result is exactly that many.
            tol: default 1e-6 (float32) and 1e-12 (float64).

        Returns:
            Retrieval(states, steps, converged, residual), leading shapes as those of the queries.

        Raises:
            TypeError, ValueError: naming the argument.

        Warns:
            RuntimeWarning: the estimate is worth nothing at some query, as in `update`.
        """
        flat, leading = self._flat(states)
        max_steps = as_integer("max_steps", max_steps, 0)
        tolerance = as_tolerance(tol, self._dtype == np.float32)
        first = self._update(flat)
        columns, following = iterate(self._update, flat, first, max_steps, tolerance)
        before, after = self._variance(flat, first), self._variance(columns[0], following)
        self._warn_of(np.maximum(before, after))
        return retrieval_of(columns, leading)

    @interchange
    def error_estimate(self, states: npt.ArrayLike) -> FloatArray:
        """Return the standard error of `update`, shape (...,), in the 2-norm of the state.

        Of several draws: from their spread. Of one: of a ratio of means of r independent features,
        to first order, which is too large for orthogonal and "cosh" features. Either is blind to
        what no feature has met: see `predicted_error` for what follows from patterns and β.
        """
        flat, leading = self._flat(states)
        queries = self._sparsified(flat)
        if self.draws == 1:
            error = self._memories[0].standard_error(queries)
        else:
            each = np.stack([memory.update(queries) for memory in self._memories])
            square = each.var(axis=0, ddof=1, dtype=np.float64).sum(axis=-1)
            error = np.sqrt(square / self.draws)
        return error.astype(self._dtype, copy=False).reshape(leading)

    def _flat(self, states: npt.ArrayLike) -> tuple[FloatArray, tuple[int, ...]]:
        return as_states("states", states, self.features.dim, self._dtype)

    def _update(self, flat: FloatArray) -> FloatArray:
        queries = self._sparsified(flat)
        total = self._memories[0].update(queries)
        for memory in self._memories[1:]:
            total = total + memory.update(queries)
        return np.asarray(total / flat.dtype.type(self.draws))

    def _variance(self, states: FloatArray, estimates: FloatArray) -> FloatArray:
        """Return the relative variance of the kernel between states and estimates, (count,)."""
        if self.features.kind == "relu":
            return np.zeros(len(states))
        root = math.sqrt(self._beta)
        queries, keys = self._sparsified(states), self._sparsified(estimates)
        with np.errstate(over="ignore"):
            queries = root * queries
        require_squares("states", queries)
        return self.features.relative_variance(queries, root * keys) / self.draws

    def _warn_of(self, variance: FloatArray) -> None:
        worthless = int((variance > 1).sum())
        if worthless:
            self._warn(worthless, len(variance), float(variance.max()), 5)

    def _warn(self, worthless: int, states: int, largest: float, level: int) -> None:
        warnings.warn(
            f"Performer: worthless estimates for {worthless} of {states} states: at "
            f"beta={self._beta:g} the kernel between a state and its estimate has a relative "
            f"variance of up to {largest:.1e}, need below 1; scale states and patterns "
            "down, lower beta, take more features or draws, or use Hopfield",
            RuntimeWarning,
            stacklevel=level,
        )
