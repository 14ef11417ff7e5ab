"""What accuracy random features will have; public in `hopfix.performer`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray, as_integer, as_patterns, as_positive, as_states, row_norms
from hopfix._features import as_kind
from hopfix._interchange import interchange

_ROWS = 1024  # of the N × N matrix at a time


def _pulls(patterns: FloatArray, log_weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return p_i (x_i − Σ_k p_k x_k) as exp(scales_i) vectors_i, even where p is nearly one-hot.

    The sum is Σ_k p_k (x_i − x_k): for the heaviest pattern, that of the others alone.
    """
    first = int(log_weights.argmax())
    shares = np.exp(log_weights - log_weights[first])
    vectors = patterns * shares.sum() - np.dot(shares, patterns)
    scales = log_weights + log_weights[first]
    if len(patterns) > 1:
        others = np.delete(log_weights, first)
        shares = np.exp(others - others.max())
        vectors[first] = np.dot(shares, patterns[first] - np.delete(patterns, first, axis=0))
        scales[first] = log_weights[first] + others.max()
    return scales, vectors


def _log_variance(
    patterns: FloatArray, exponent: int, state: FloatArray, beta: float, kind: str
) -> float:
    """Return the logarithm of r times the variance of the estimate, to first order.

    Of that of the average of the patterns over 2^exponent, whose squares do not overflow.
    """
    logits = beta * (patterns @ state)
    shifted = logits - logits.max()
    log_weights = shifted - math.log(np.exp(shifted).sum())
    scales, vectors = _pulls(np.ldexp(patterns, -exponent), log_weights)
    sums = math.sqrt(beta) * (patterns + state)
    # No exponent a_i·a_k + scales_i + scales_k is above the largest with i = k.
    top = float((np.square(sums).sum(axis=1) + 2 * scales).max())
    total = 0.0
    for begin in range(0, len(patterns), _ROWS):
        block = slice(begin, begin + _ROWS)
        inner = sums[block] @ sums.T
        shift = scales[block, None] + scales - top
        covariance = np.exp(inner + shift) - np.exp(shift)
        if kind == "cosh":
            covariance += np.exp(shift - inner) - np.exp(shift)
        total += float(np.einsum("ij,ij->", covariance, vectors[block] @ vectors.T))
    return top + math.log(total) if total > 0 else -math.inf


def _log_variances(
    patterns: npt.ArrayLike, beta: float, states: npt.ArrayLike, kind: str
) -> tuple[FloatArray, tuple[int, ...]]:
    rows = as_patterns("patterns", patterns).astype(np.float64, copy=False)
    beta = as_positive("beta", beta)
    if as_kind(kind) == "relu":
        raise ValueError('kind: no formula exists for "relu", need "exp" or "cosh"')
    flat, leading = as_states("states", states, rows.shape[1], np.dtype(np.float64))
    reach = float(row_norms(rows).max()) + float(row_norms(flat).max())
    if not math.sqrt(beta) * reach <= 1e150:
        raise ValueError(
            f"states: the computation overflows; got sqrt(beta) (|pattern| + |state|) of "
            f"{math.sqrt(beta) * reach:.3g}, need at most 1e150"
        )
    size = math.frexp(float(np.abs(rows).max()))[1]
    logs = [_log_variance(rows, size, state, beta, kind) for state in flat]
    return np.array(logs) + 2 * size * math.log(2), leading


@interchange
def predicted_error(
    patterns: npt.ArrayLike,
    beta: float,
    states: npt.ArrayLike,
    n_features: int,
    *,
    kind: str = "exp",
) -> FloatArray:
    """Return the standard error that `Performer` has at the states, (...,) float64, in the 2-norm.

    With a_i = √β (x_i + ξ), exact weights p and update f: Var = r^(−1) Σ_ik p_i p_k
    (exp(a_i·a_k) − 1) (x_i − f)·(x_k − f), the first order in 1/r for independent rows ("cosh":
    2 (cosh(a_i·a_k) − 1) instead); orthogonal rows have less. Where the answer is not small beside
    the patterns, only that it is not small means something. O(N² d) a state.

    Args:
        patterns: (N, d).
        beta: β > 0.
        states: (..., d).
        n_features: r >= 1.
        kind: "exp" or "cosh".

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(1000, 4)) / 2
        >>> few, many = (
        ...     hopfix.performer.predicted_error(patterns, 1.0, patterns[0], r) for r in (64, 256)
        ... )
        >>> round(float(few / many), 6)  # the root of the number of features
        2.0
    """
    count = as_integer("n_features", n_features, 1)
    logs, leading = _log_variances(patterns, beta, states, kind)
    with np.errstate(over="ignore"):
        return np.asarray(np.exp((logs - math.log(count)) / 2).reshape(leading))


@interchange
def features_needed(
    patterns: npt.ArrayLike,
    beta: float,
    states: npt.ArrayLike,
    error: float,
    *,
    kind: str = "exp",
) -> float:
    """Return the least number of features with `predicted_error` <= error at all the states.

    An integer as a float, even for "cosh"; inf where it is above 1e300: there is no hope. The other
    arguments, the cost and the errors are those of `predicted_error`.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(1000, 4)) / 2
        >>> r = hopfix.performer.features_needed(patterns, 1.0, patterns[0], 0.01)
        >>> bool(hopfix.performer.predicted_error(patterns, 1.0, patterns[0], int(r)) <= 0.01)
        True
    """
    error = as_positive("error", error)
    logs, _ = _log_variances(patterns, beta, states, kind)
    top = float(logs.max(initial=-math.inf)) - 2 * math.log(error)
    if top > math.log(1e300):
        return math.inf
    unit = 2 if kind == "cosh" else 1
    return float(max(unit, unit * math.ceil(math.exp(top) / unit)))
