"""Random features on a device, and what they hold of all patterns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hopfix._feature_state import FeatureState
from hopfix.gpu._namespace import as_device_floats, device_of, namespace_of
from hopfix.gpu._store import Store, reduce_all, row_blocks

if TYPE_CHECKING:
    from hopfix._features import RandomFeatures


def transform(features: RandomFeatures, z: Any) -> Any:
    """Return φ(z), shape (..., r), of `RandomFeatures.transform`, on the device of z.

    The rows of the features are copied there in each call.
    """
    array = as_device_floats("z", z)
    xp = namespace_of(array)
    if array.ndim == 0 or array.shape[-1] != features.dim:
        raise ValueError(
            f"z: got shape {tuple(array.shape)}, need (..., {features.dim}), as the patterns have"
        )
    flat = xp.reshape(array, (-1, features.dim))
    phi = _transformed(xp, features, matrix_of(features, flat), flat)
    return xp.reshape(phi, (*array.shape[:-1], features.n_features))


def matrix_of(features: RandomFeatures, like: Any) -> Any:
    """The rows of features, (r, d), in the dtype and on the device of another array."""
    xp = namespace_of(like)
    return xp.asarray(features.matrix, dtype=like.dtype, device=device_of(like), copy=True)


def _transformed(xp: Any, features: RandomFeatures, matrix: Any, rows: Any) -> Any:
    """φ of rows (count, d), (count, r)."""
    scores = rows @ matrix.T
    if features.kind == "relu":
        phi = xp.where(scores > 0, scores, xp.zeros_like(scores)) + features.offset
    else:
        phi = xp.exp(scores - xp.sum(rows * rows, axis=-1, keepdims=True) / 2)
    return phi / math.sqrt(features.n_features)


def exponential_state(
    features: RandomFeatures, keys: Any, values: Any, beta: float
) -> FeatureState:
    """Positive features, as a retrieval by every row w_j: see the host's `exponential_state`."""
    xp = namespace_of(keys)
    log_weights = -beta / 2 * xp.sum(keys * keys, axis=-1)
    if not bool(xp.all(xp.isfinite(log_weights))):
        raise ValueError(
            f"beta: got {beta:g}, with which beta |pattern|^2 overflows; lower beta, or scale the "
            "patterns down"
        )
    matrix = matrix_of(features, keys)
    if values is not keys:  # further components of the patterns, which the queries do not see
        keys = xp.concat([keys, values], axis=-1)
        matrix = xp.concat([matrix, xp.zeros_like(matrix)], axis=-1)
    found = reduce_all(Store(xp, keys, log_weights, math.sqrt(beta)), matrix)
    means = found.average[:, -features.dim :]
    return FeatureState(found.top + xp.log(found.total), means)


def rectified_state(features: RandomFeatures, keys: Any, values: Any, beta: float) -> FeatureState:
    """Features of "relu", by products."""
    xp, matrix = namespace_of(keys), matrix_of(features, keys)
    sums, weighted = xp.zeros_like(matrix[:, 0]), xp.zeros_like(matrix)
    for rows in row_blocks(int(keys.shape[0]), features.n_features):
        phi = _transformed(xp, features, matrix, math.sqrt(beta) * keys[rows, :])
        phi = phi * math.sqrt(features.n_features)
        sums, weighted = sums + xp.sum(phi, axis=0), weighted + phi.T @ values[rows, :]
    safe = xp.where(sums > 0, sums, xp.ones_like(sums))
    log_sums = xp.where(sums > 0, xp.log(safe), xp.zeros_like(sums) - math.inf)
    return FeatureState(log_sums, weighted / safe[:, None])


class DeviceFeatureMemory:
    """One draw of features with its state, reading queries in the dtype of `like`."""

    def __init__(
        self, features: RandomFeatures, state: FeatureState, beta: float, like: Any
    ) -> None:
        xp = namespace_of(like)
        self._features, self.state, self._root = features, state, math.sqrt(beta)
        self._matrix = matrix_of(features, like)
        self._logs = xp.astype(state.log_sums - xp.max(state.log_sums), like.dtype)
        self._means = xp.astype(state.means, like.dtype)

    def update(self, queries: Any) -> Any:
        """Return the estimates, (count, d)."""
        xp, blocks = namespace_of(queries), []
        for rows in row_blocks(int(queries.shape[0]), self._features.n_features):
            blocks.append(self._weights(xp, queries[rows, :]) @ self._means)
        return xp.concat(blocks)

    def _weights(self, xp: Any, queries: Any) -> Any:
        """The shares of the features, (count, r)."""
        if self._features.kind == "relu":
            scores = self._root * queries
            shares = _transformed(xp, self._features, self._matrix, scores) * xp.exp(self._logs)
            if not bool(xp.all(xp.sum(shares, axis=-1) > 0)):
                raise ValueError(
                    'features: all "relu" features of a state vanish; need an offset above 0'
                )
        else:
            logits = self._root * (queries @ self._matrix.T) + self._logs
            shares = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
        return shares / xp.sum(shares, axis=-1, keepdims=True)
