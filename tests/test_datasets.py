"""The digits: shapes, normalisation, determinism."""

import numpy as np
import pytest

from hopfix import datasets

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def test_shapes(digits):
    assert digits.patterns.shape == (10, 64)
    assert digits.queries.shape == (100, 64)
    assert digits.labels.shape == (100,)
    assert digits.image_shape == (8, 8)
    assert digits.mean.shape == (64,)
    assert digits.pattern_norms.shape == (10,)
    assert digits.query_norms.shape == (100,)


def test_patterns_are_the_class_means_less_their_mean_at_unit_norm(digits):
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    means = np.stack([pixels[classes == k].mean(axis=0) for k in range(10)])
    np.testing.assert_allclose(np.linalg.norm(digits.patterns, axis=1), 1, rtol=1e-14)
    rebuilt = digits.patterns * digits.pattern_norms[:, None] + digits.mean
    np.testing.assert_allclose(rebuilt, means, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(digits.mean, means.mean(axis=0), rtol=1e-13, atol=1e-13)


def test_queries_are_ten_real_digits_of_each_class(digits):
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    np.testing.assert_array_equal(np.bincount(digits.labels), np.full(10, 10))
    np.testing.assert_allclose(np.linalg.norm(digits.queries, axis=1), 1, rtol=1e-14)
    rebuilt = digits.queries * digits.query_norms[:, None] + digits.mean
    for image, label in zip(rebuilt, digits.labels, strict=True):
        same = np.abs(pixels - image).max(axis=1) < 1e-9
        assert classes[same].tolist() == [label]


def test_the_same_every_time(digits):
    again = datasets.digits()
    np.testing.assert_array_equal(digits.patterns, again.patterns)
    np.testing.assert_array_equal(digits.queries, again.queries)


def test_images_restore_grey_levels(digits):
    images = digits.images(digits.patterns)
    assert images.shape == (10, 8, 8)
    assert digits.images(digits.patterns[0]).shape == (8, 8)
    scale = digits.pattern_norms / digits.pattern_norms.mean()
    restored = (images.reshape(10, 64) - digits.mean) * scale[:, None] + digits.mean
    assert restored.min() > -1e-12
    assert restored.max() < 16


def test_frozen(digits):
    with pytest.raises(AttributeError):
        digits.labels = None
