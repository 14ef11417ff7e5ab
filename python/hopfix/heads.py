"""Attention heads as modern Hopfield networks: what each mixes, and where its queries would go.

A head with keys k_i and scale β updates a query by the softmax of β k_i·q: one step of the network
whose patterns are the keys. `analyse` tells, head by head, over how many tokens the weights spread,
the operating class of Ramsauer et al., "Hopfield Networks is All You Need" (2020), Section 3 and
Appendix A.5.2, the energies that the queries come to rest at, and for short contexts the fixed
points with their proofs: which tokens they mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix._arrays import (
    FloatArray,
    as_float_array,
    as_integer,
    as_positive,
    as_real,
    require_finite,
)
from hopfix._interchange import interchange
from hopfix.fixed_points import FixedPoints
from hopfix.network import Hopfield

__all__ = ["CLASSES", "Head", "analyse", "operating_class", "tokens_of_share"]

CLASSES = ("global averaging", "large", "medium", "small")
"""Operating classes: a median k above N/2, from N/8, from N/32, and below."""


@dataclass(frozen=True, eq=False)
class Head:
    """What one head does.

    Attributes:
        beta: its scale.
        tokens: (L,) int64, for each query the least number k of keys whose weights sum to the
            share.
        operating_class: one of `CLASSES`, by the median of `tokens`.
        energy: (L,) the energy at the fixed point that each query reaches.
        steps: (L,) int64, updates until there.
        converged: (L,) bool.
        states: (L, d), the fixed points reached.
        fixed_points: all of them, with proofs, where the context is short; else None.
    """

    beta: float
    tokens: npt.NDArray[np.int64]
    operating_class: str
    energy: FloatArray
    steps: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    states: FloatArray
    fixed_points: FixedPoints | None

    @property
    def median_tokens(self) -> float:
        """The median of `tokens`."""
        return float(np.median(self.tokens))

    def summary(self) -> dict[str, Any]:
        """Return numbers for a table: β, median k, class, mean energy and steps, fixed points."""
        points = self.fixed_points
        return {
            "beta": self.beta,
            "median_tokens": self.median_tokens,
            "operating_class": self.operating_class,
            "energy": float(self.energy.mean()),
            "steps": float(self.steps.mean()),
            "converged": float(self.converged.mean()),
            "fixed_points": None if points is None else len(points),
            "completeness": None if points is None else points.completeness,
        }


@interchange
def tokens_of_share(weights: npt.ArrayLike, share: float = 0.9) -> npt.NDArray[np.int64]:
    """Return for weights (..., N) the least number of them that sum to at least the share.

    Rows are non-negative with sum 1, to rounding; 0 < share <= 1. ValueError where a weight is
    below 0 or above 1.

    Example:
        >>> hopfix.heads.tokens_of_share([[0.95, 0.05, 0.0], [0.4, 0.3, 0.3]])
        array([1, 3])
    """
    rows = as_float_array("weights", weights)
    require_finite("weights", rows)
    wanted = _as_share(share)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise ValueError(f"weights: got shape {rows.shape}, need (..., N) with N >= 1")
    if rows.size and not (rows.min() >= 0 and rows.max() <= 1.001):
        raise ValueError(f"weights: got {rows.min():g} to {rows.max():g}, need 0 to 1")
    totals = np.cumsum(-np.sort(-rows, axis=-1), axis=-1, dtype=np.float64)
    # Rounding must not ask for one more: of a share of 1, nor of one that a sum just meets.
    slack = rows.shape[-1] * float(np.finfo(rows.dtype).eps)
    reached = totals >= np.minimum(wanted, totals[..., -1:]) - slack
    return np.asarray(reached.argmax(axis=-1) + 1, dtype=np.int64)


@interchange
def operating_class(tokens: npt.ArrayLike, size: int) -> str:
    """Return the class of a head with `size` keys by the median of `tokens`.

    Example:
        >>> hopfix.heads.operating_class([1, 2, 2], 100)
        'small'
    """
    counts = np.asarray(tokens)
    if counts.size == 0 or counts.dtype.kind not in "iu":
        raise ValueError(
            f"tokens: got {counts.size} numbers of dtype {counts.dtype}, need some integers"
        )
    median, n = float(np.median(counts)), as_integer("size", size, 1)
    if median > n / 2:
        return CLASSES[0]
    if median > n / 8:
        return CLASSES[1]
    return CLASSES[2] if median > n / 32 else CLASSES[3]


@interchange
def analyse(
    queries: npt.ArrayLike,
    keys: npt.ArrayLike,
    beta: float | Sequence[float] | npt.ArrayLike,
    *,
    share: float = 0.9,
    prove_up_to: int = 12,
    time_limit: float | None = 10.0,
    num_threads: int | None = None,
) -> list[Head]:
    """Analyse the heads of one attention layer.

    Args:
        queries: (H, L, d), or (L, d) for one head.
        keys: (H, N, d), or (N, d).
        beta: one scale for all heads (attention: d^(−1/2)), or (H,).
        share: of the weight that counts, 0.9 in the source.
        prove_up_to: contexts of up to so many keys get their list of fixed points; 0: none do.
        time_limit: seconds for each of these lists, see `Hopfield.fixed_points`.
        num_threads: as in `Hopfield`.

    Returns:
        A `Head` for each.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(2, 8, 4)), rng.normal(size=(2, 5, 4))
        >>> for head in hopfix.heads.analyse(queries, keys, beta=2.0):
        ...     print(head.operating_class, head.tokens, head.fixed_points.completeness)
        large [2 2 3 3 3] proved
        large [2 1 2 2 1] proved
    """
    of_queries, of_keys = _as_heads("queries", queries), _as_heads("keys", keys)
    if len(of_queries) != len(of_keys) or of_queries.shape[2] != of_keys.shape[2]:
        raise ValueError(
            f"keys: got shape {of_keys.shape}, need {len(of_queries)} heads of dimension "
            f"{of_queries.shape[2]}, as the queries have"
        )
    scales = _as_scales(beta, len(of_keys))
    wanted = _as_share(share)
    longest = as_integer("prove_up_to", prove_up_to, 0)
    return [
        _analysed(q, Hopfield(k, scale, num_threads=num_threads), wanted, longest, time_limit)
        for q, k, scale in zip(of_queries, of_keys, scales, strict=True)
    ]


def _analysed(
    queries: FloatArray, network: Hopfield, share: float, longest: int, time_limit: float | None
) -> Head:
    tokens = tokens_of_share(network.weights(queries), share)
    reached = network.retrieve(queries)
    size = len(network.patterns)
    return Head(
        network.beta,
        tokens,
        operating_class(tokens, size),
        network.energy(reached.states),
        reached.steps,
        reached.converged,
        reached.states,
        network.fixed_points(time_limit=time_limit) if size <= longest else None,
    )


def _as_heads(name: str, value: npt.ArrayLike) -> FloatArray:
    array = as_float_array(name, value)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"{name}: got shape {array.shape}, need (heads, tokens, d), none 0")
    require_finite(name, array)
    return array


def _as_scales(beta: float | Sequence[float] | npt.ArrayLike, heads: int) -> list[float]:
    scales = np.asarray(beta)
    if scales.ndim == 0:
        return [as_positive("beta", beta)] * heads
    if scales.shape != (heads,):
        raise ValueError(f"beta: got shape {scales.shape}, need a number or ({heads},)")
    return [as_positive("beta", scale) for scale in scales.tolist()]


def _as_share(share: float) -> float:
    wanted = as_real("share", share)
    if not 0 < wanted <= 1:
        raise ValueError(f"share: got {wanted:g}, need a number above 0, at most 1")
    return wanted
