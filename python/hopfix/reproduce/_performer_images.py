"""The images of the Performer reproduction: enlarged, in [−1, 1], the lower half masked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hopfix import datasets

SIDE = 64
Pixels = npt.NDArray[np.float64]


def interpolation(size: int, wanted: int) -> Pixels:
    """Return (wanted, size), the matrix that interpolates between the centres of pixels."""
    at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    low = np.minimum(at.astype(int), max(size - 2, 0))
    share = at - low
    matrix = np.zeros((wanted, size))
    matrix[np.arange(wanted), low] = 1 - share
    if size > 1:
        matrix[np.arange(wanted), low + 1] += share
    return matrix


def stored_images(name: str, count: int, seed: int) -> Pixels:
    """Return (count, 64²) images of a set, bilinearly enlarged, from −1 (black) to 1."""
    images = datasets.images(name)
    height, width = images.image_shape
    pixels = images.sample(count, seed).reshape(count, height, width).astype(np.float64)
    enlarged = interpolation(height, SIDE) @ pixels @ interpolation(width, SIDE).T
    return np.asarray(2 * enlarged.reshape(count, -1) - 1)


def masked(images: Pixels, value: float) -> Pixels:
    """Return the images with their lower half set to a value."""
    queries = images.copy()
    queries[:, queries.shape[1] // 2 :] = value
    return queries
