"""Queries for memory experiments: stored images with pixels masked, erased or disturbed.

Every function takes images (..., d), an image a row with pixels from 0 to 1, and returns as many
queries of the same shape and dtype (integers and bool become float64). What is random is the same
for a seed: pixel by pixel independent, and independent from image to image.

Source of the rules: Wu, Hu, Hsiao, Liu, "Uniform Memory Retrieval with Larger Capacity for Modern
Hopfield Models" (2024), and the code published with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_float_array,
    as_integer,
    as_nonnegative,
    as_real,
    require_finite,
    require_squares,
)
from hopfix._interchange import interchange

__all__ = ["gaussian_noise", "lower_half_erased", "noise_of_norm", "random_mask"]


@interchange
def random_mask(
    images: npt.ArrayLike, share: float = 0.5, *, rescale: bool = False, seed: int = 0
) -> FloatArray:
    """Return images in which every pixel is set to 0 with a probability.

    Args:
        images: (..., d).
        share: the probability, 0 <= share < 1.
        rescale: divide the pixels that are left by 1 − share, as dropout does: a query has then
            the expected inner products of the whole image, and pixels above 1.
        seed: of the mask.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> hopfix.queries.random_mask(np.ones((1, 8)), 0.5, seed=1)
        array([[1., 1., 0., 1., 0., 0., 1., 0.]])
    """
    pixels = _as_images(images)
    lost = as_real("share", share)
    if not 0 <= lost < 1:
        raise ValueError(f"share: got {lost:g}, need a number from 0 to below 1")
    factor = 1 / (1 - lost) if as_bool("rescale", rescale) else 1.0
    kept = _generator(seed).random(pixels.shape) >= lost
    return pixels * kept.astype(pixels.dtype) * pixels.dtype.type(factor)


@interchange
def lower_half_erased(images: npt.ArrayLike, image_shape: Sequence[int]) -> FloatArray:
    """Return images whose lower half, floor(height / 2) lines of pixels, is 0.

    Args:
        images: (..., d).
        image_shape: height and the lengths of the other axes, d numbers in all; lines of pixels
            follow each other in a row.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> hopfix.queries.lower_half_erased(np.ones(4), (2, 2))
        array([1., 1., 0., 0.])
    """
    pixels = _as_images(images)
    shape = tuple(as_integer("image_shape", length, 1) for length in image_shape)
    if len(shape) < 2 or math.prod(shape) != pixels.shape[-1]:
        raise ValueError(
            f"image_shape: got {shape}, need height, width, … with product {pixels.shape[-1]}"
        )
    erased = pixels.copy()
    line = pixels.shape[-1] // shape[0]
    erased[..., (shape[0] - shape[0] // 2) * line :] = 0
    return erased


@interchange
def gaussian_noise(images: npt.ArrayLike, level: float, *, seed: int = 0) -> FloatArray:
    """Return min(|x + n|, 1) for images x, with the pixels of n normal of deviation `level`.

    This is what the code published for the average loss does; n has a norm of about level·√d.

    Args:
        images: (..., d).
        level: standard deviation of the noise of a pixel, >= 0.
        seed: of the noise.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> hopfix.queries.gaussian_noise(np.ones((3, 4)), 0.1).shape
        (3, 4)
    """
    pixels = _as_images(images)
    return _disturbed(pixels, as_nonnegative("level", level), _normal(pixels, seed))


@interchange
def noise_of_norm(images: npt.ArrayLike, level: float, *, seed: int = 0) -> FloatArray:
    """Return min(|x + n|, 1) for images x, with n of norm `level` in a random direction.

    This is what the code published for the maximum loss does; a pixel of n has a standard
    deviation of level/√d, which is √d times less than `gaussian_noise` of the same level.

    Args:
        images: (..., d).
        level: norm of the noise of an image, >= 0.
        seed: of the noise.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> hopfix.queries.noise_of_norm(np.ones((3, 4)), 0.1).shape
        (3, 4)
    """
    pixels = _as_images(images)
    noise = _normal(pixels, seed)
    noise /= np.linalg.norm(noise, axis=-1, keepdims=True)
    return _disturbed(pixels, as_nonnegative("level", level), noise)


def _disturbed(pixels: FloatArray, level: float, noise: FloatArray) -> FloatArray:
    """Return |pixels + level noise|, at most 1."""
    level = min(level, float(np.finfo(noise.dtype).max))
    with np.errstate(over="ignore"):  # what is beyond the range is beyond 1
        disturbed: FloatArray = np.minimum(np.abs(pixels + level * noise), 1)
    return disturbed.astype(pixels.dtype, copy=False)


def _normal(pixels: FloatArray, seed: int) -> FloatArray:
    """Standard normal numbers in the shape and dtype of the pixels."""
    kind = np.float32 if pixels.dtype == np.float32 else np.float64
    return _generator(seed).standard_normal(pixels.shape, dtype=kind)


def _as_images(value: npt.ArrayLike) -> FloatArray:
    pixels = as_float_array("images", value)
    if pixels.ndim == 0 or pixels.size == 0:
        raise ValueError(f"images: got shape {pixels.shape}, need (..., d) with at least one image")
    require_finite("images", pixels)
    require_squares("images", pixels)
    return pixels


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(as_integer("seed", seed, 0))
