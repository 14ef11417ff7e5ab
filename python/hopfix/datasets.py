"""Small data sets for examples and the demo; nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits", "digits"]

_QUERIES_PER_CLASS = 10


@dataclass(frozen=True, eq=False)
class Digits:
    """Ten handwritten digits to remember and a hundred to recall.

    Attributes:
        patterns: (10, 64) class means minus their own mean, unit norm; row k is the digit k.
        queries: (100, 64) single digits minus the same mean, unit norm; ten of each class.
        labels: (100,) the class of each query.
        image_shape: (8, 8), the shape of one image.
        mean: (64,) the mean of the ten class means, in grey levels 0 to 16.
        pattern_norms: (10,) norms divided out of the patterns, in grey levels.
        query_norms: (100,) norms divided out of the queries, in grey levels.
    """

    patterns: NDArray[np.float64]
    queries: NDArray[np.float64]
    labels: NDArray[np.int64]
    image_shape: tuple[int, int]
    mean: NDArray[np.float64]
    pattern_norms: NDArray[np.float64]
    query_norms: NDArray[np.float64]

    def images(self, states: NDArray[Any]) -> NDArray[np.float64]:
        """Return states (..., 64) as images (..., 8, 8) in grey levels.

        The mean is added back to the states, which are scaled by the average norm of the patterns.
        """
        images = self.mean + self.pattern_norms.mean() * np.asarray(states, dtype=np.float64)
        shaped: NDArray[np.float64] = images.reshape(*images.shape[:-1], *self.image_shape)
        return shaped


def digits() -> Digits:
    """Return the ten class means of scikit-learn's 8x8 digits, and the first ten of each class.

    The queries are among the images the means were taken of: they measure recall, not
    generalisation.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "hopfix.datasets.digits needs scikit-learn: install hopfix[demo]"
        ) from error
    pixels, classes = load_digits(return_X_y=True)
    means = np.stack([pixels[classes == k].mean(axis=0) for k in range(10)])
    mean = means.mean(axis=0)
    chosen = np.concatenate([np.flatnonzero(classes == k)[:_QUERIES_PER_CLASS] for k in range(10)])
    patterns, pattern_norms = _normalised(means - mean)
    queries, query_norms = _normalised(pixels[chosen] - mean)
    return Digits(
        patterns=patterns,
        queries=queries,
        labels=classes[chosen].astype(np.int64),
        image_shape=(8, 8),
        mean=mean,
        pattern_norms=pattern_norms,
        query_norms=query_norms,
    )


def _normalised(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows at unit norm, and their norms."""
    norms = np.linalg.norm(rows, axis=1)
    return rows / norms[:, None], norms
