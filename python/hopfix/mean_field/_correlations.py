"""Classes of units of which the correlations of ±1 weights alone are known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from hopfix.mean_field._results import Array

_MOST_FEATURES = 24


def classes_of(tables: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return signs (K, M), weighted readouts (4, M, K) and shares (K,) of K = 2^(M−1) classes.

    See `AttentionMeanField.from_correlations` for the tables.
    """
    rows, features = tables[0].shape
    if features > _MOST_FEATURES or rows != 2 ** (features - 1):
        raise ValueError(
            f"output: got shape {tables[0].shape}, need (2^(M−1), M), a row for every odd set, "
            f"with M <= {_MOST_FEATURES}"
        )
    signs = _sign_patterns(features)
    products = np.stack([signs[:, list(s)].prod(axis=1) for s in _odd_subsets(features)], axis=1)
    share = 1 / len(signs)
    readouts = np.stack([(products @ table).T * share for table in tables])
    return signs, readouts, np.full(len(signs), share)


def _odd_subsets(features: int) -> list[tuple[int, ...]]:
    """The sets of an odd number of features, by size, then lexicographically."""
    return [
        subset
        for size in range(1, features + 1, 2)
        for subset in combinations(range(features), size)
    ]


def _sign_patterns(features: int) -> Array:
    """(2^(M−1), M) all signs with the first +1."""
    numbers = np.arange(2 ** (features - 1))[:, None] >> np.arange(features - 1)
    signs = 1.0 - 2.0 * (numbers & 1)
    return np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
