"""The patterns of a network on its device, and their reduction tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hopfix.gpu import _kernels
from hopfix.gpu._namespace import is_cupy

# Most numbers of an intermediate array: 64 MiB in float32.
LARGEST = 2**24
_MOST_ROWS = 2**15


class Reduction(NamedTuple):
    """The softmax average of each of B states, with what normalises its weights.

    Attributes:
        top: (B,) the largest logit.
        total: (B,) Σ exp(z − top).
        average: (B, d) f(ξ).
    """

    top: Any
    total: Any
    average: Any


@dataclass(frozen=True)
class Store:
    """Patterns (N, d) and log-weights (N,) in one dtype on one device, and β."""

    xp: Any
    patterns: Any
    log_weights: Any
    beta: float

    @property
    def count(self) -> int:
        """N."""
        return int(self.patterns.shape[0])

    @property
    def dim(self) -> int:
        """D."""
        return int(self.patterns.shape[1])

    @property
    def width(self) -> int:
        """Numbers that the logits of one state take while they are formed."""
        return self.count

    @property
    def is_fused(self) -> bool:
        """Whether the CUDA kernel computes these logits."""
        return is_cupy(self.patterns)

    def astype(self, dtype: Any) -> Store:
        """The same store in another dtype."""
        cast = self.xp.astype
        return replace(
            self,
            patterns=cast(self.patterns, dtype, copy=False),
            log_weights=cast(self.log_weights, dtype, copy=False),
        )

    def tiles(self, numbers_per_pattern: int) -> Iterator[tuple[Any, Any]]:
        """Slices of patterns and log-weights, as long as an intermediate array may be."""
        step = max(1, LARGEST // max(1, numbers_per_pattern))
        for first in range(0, self.count, step):
            last = min(first + step, self.count)
            yield self.patterns[first:last, :], self.log_weights[first:last]

    def logits(self, states: Any, patterns: Any, log_weights: Any) -> Any:
        """Z = β x_i·ξ + b_i, (B, n)."""
        return self.beta * (states @ patterns.T) + log_weights


@dataclass(frozen=True)
class DistanceStore(Store):
    """The same with distances in place of dot products: z = −β ‖x_i − ξ‖_order + b_i."""

    order: int

    @property
    def width(self) -> int:
        """Nd: differences come before distances."""
        return self.count * self.dim

    @property
    def is_fused(self) -> bool:
        """No kernel computes these."""
        return False

    def tiles(self, numbers_per_pattern: int) -> Iterator[tuple[Any, Any]]:
        """As of `Store`, with d numbers for each logit."""
        return super().tiles(numbers_per_pattern * self.dim)

    def logits(self, states: Any, patterns: Any, log_weights: Any) -> Any:
        """Z, (B, n), from (B, n, d) differences."""
        differences = states[:, None, :] - patterns[None, :, :]
        distances = self.xp.linalg.vector_norm(differences, axis=-1, ord=self.order)
        return log_weights - self.beta * distances


def row_blocks(count: int, numbers_per_row: int = 1) -> Iterator[slice]:
    """Slices of rows so short that a block stays below the largest intermediate array."""
    step = max(1, min(_MOST_ROWS, LARGEST // max(1, numbers_per_row)))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def tile_step(store: Store, carry: Reduction, states: Any, patterns: Any, log_weights: Any) -> Any:
    """Fold one tile of patterns into the running maximum, sum and weighted sum of each state.

    `carry.average` is Σ exp(z − top) x here, not yet divided.
    """
    xp = store.xp
    logits = store.logits(states, patterns, log_weights)
    top = xp.maximum(carry.top, xp.max(logits, axis=-1))
    shrink = xp.exp(carry.top - top)
    shares = xp.exp(logits - top[:, None])
    return Reduction(
        top,
        carry.total * shrink + xp.sum(shares, axis=-1),
        carry.average * shrink[:, None] + shares @ patterns,
    )


def reduce(store: Store, states: Any) -> Reduction:
    """Reduce all patterns for B states: O(NdB), never an N × B array.

    On CuPy by the fused kernel, which has tiles of its own.
    """
    if store.is_fused:
        with states.device:
            sums = _kernels.tile_sums(store.patterns, states, store.beta, store.log_weights)
        return Reduction(sums.maximum, sums.total, sums.weighted / sums.total[:, None])
    xp, rows = store.xp, int(states.shape[0])
    zero = xp.zeros_like(states[:, 0])
    carry = Reduction(zero - xp.inf, zero, xp.zeros_like(states))
    for patterns, log_weights in store.tiles(rows):
        carry = tile_step(store, carry, states, patterns, log_weights)
    return Reduction(carry.top, carry.total, carry.average / carry.total[:, None])


def reduce_all(store: Store, states: Any) -> Reduction:
    """`reduce` for any number of states, in blocks."""
    parts = [reduce(store, states[rows, :]) for rows in row_blocks(int(states.shape[0]))]
    if len(parts) == 1:
        return parts[0]
    return Reduction(*(store.xp.concat(list(column)) for column in zip(*parts, strict=True)))


def shares_of(store: Store, states: Any, found: Reduction, tile: tuple[Any, Any]) -> Any:
    """The softmax weights p of a tile's patterns, (B, n)."""
    logits = store.logits(states, *tile)
    return store.xp.exp(logits - found.top[:, None]) / found.total[:, None]
