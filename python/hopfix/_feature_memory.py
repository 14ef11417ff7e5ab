"""Patterns held by random features: accumulated into a state, and read by queries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopfix import _core
from hopfix._arrays import FloatArray
from hopfix._feature_state import FeatureState
from hopfix._features import RandomFeatures
from hopfix.network import Hopfield


def _weighted_sums(weights: FloatArray, values: FloatArray, threads: int) -> FloatArray:
    """Return weightsᵀ values, (m, d), for (n, m) and (n, d) of one dtype."""
    product: Any = (
        _core.transposed_product32 if values.dtype == np.float32 else _core.transposed_product64
    )
    return np.asarray(product(weights, values, threads))


def exponential_state(
    features: RandomFeatures, keys: FloatArray, values: FloatArray, beta: float, threads: int
) -> FeatureState:
    """Accumulate positive features as a retrieval: feature j averages the store with its row.

    Σ_i exp(√β w_j·k_i − β‖k_i‖²/2) x_i is the softmax average at the query w_j, inverse
    temperature √β and log-weights −β‖k_i‖²/2: no exponent is ever out of range.
    """
    root = math.sqrt(beta)
    with np.errstate(over="ignore", invalid="ignore"):
        log_weights = -beta / 2 * np.einsum("ik,ik->i", keys, keys)
    if not np.isfinite(log_weights).all():
        raise ValueError(
            f"beta: got {beta:g}, with which beta |pattern|^2 overflows; lower beta, or scale the "
            "patterns down"
        )
    matrix = features.matrix
    network = Hopfield(keys, root, log_weights=log_weights, num_threads=threads)
    squares = np.einsum("jk,jk->j", matrix, matrix)
    log_sums = root * (squares / 2 - network.energy(matrix))
    if values is not keys:
        network = Hopfield(keys, root, log_weights=log_weights, values=values, num_threads=threads)
    return FeatureState(log_sums, network.update(matrix))


def rectified_state(
    features: RandomFeatures, keys: FloatArray, values: FloatArray, beta: float, threads: int
) -> FeatureState:
    """Accumulate "relu" features by products."""
    phi = features.transform(math.sqrt(beta) * keys) * math.sqrt(features.n_features)
    with np.errstate(divide="ignore"):
        sums = phi.sum(axis=0)
        log_sums = np.log(sums)
    safe = np.where(sums > 0, sums, 1.0)[:, None]
    return FeatureState(log_sums, _weighted_sums(phi, values, threads) / safe)


class FeatureMemory:
    """One draw of features with its state, reading queries in one dtype."""

    def __init__(
        self,
        features: RandomFeatures,
        state: FeatureState,
        beta: float,
        dtype: np.dtype[np.generic],
    ) -> None:
        self._features, self.state, self._root = features, state, math.sqrt(beta)
        top = state.log_sums.max()
        if features.kind == "relu":
            self._sums = np.exp(state.log_sums - top).astype(dtype)
            self._means = state.means.astype(dtype)
        else:
            self._network = Hopfield(
                features.matrix.astype(dtype, copy=False),
                self._root,
                log_weights=(state.log_sums - top).astype(dtype),
                values=state.means.astype(dtype, copy=False),
                num_threads=features._threads,
            )

    def update(self, queries: FloatArray) -> FloatArray:
        """Return the estimates, (count, d)."""
        if self._features.kind != "relu":
            return self._network.update(queries)
        columns = np.ascontiguousarray(self.weights(queries).T)
        return _weighted_sums(columns, self._means, self._features._threads)

    def weights(self, queries: FloatArray) -> FloatArray:
        """Return the shares of the features in the estimates, (count, r), rows of sum 1."""
        if self._features.kind != "relu":
            return self._network.weights(queries)
        phi = self._features.transform(queries.dtype.type(self._root) * queries) * self._sums
        total = phi.sum(axis=1, keepdims=True)
        if not total.all():
            raise ValueError(
                'features: all "relu" features of a state vanish; need an offset above 0'
            )
        return np.asarray(phi / total)

    def standard_error(self, queries: FloatArray) -> FloatArray:
        """Return (count,) standard errors of the estimates, as if features were independent."""
        p = self.weights(queries).astype(np.float64, copy=False)
        squares = p * p
        means = self.state.means
        states = p @ means
        around = (
            squares @ np.einsum("jk,jk->j", means, means)
            - 2 * np.einsum("bk,bk->b", squares @ means, states)
            + squares.sum(axis=1) * np.einsum("bk,bk->b", states, states)
        )
        r = self._features.n_features
        return np.asarray(np.sqrt(np.maximum(around, 0.0) * (r / (r - 1) if r > 1 else np.inf)))
