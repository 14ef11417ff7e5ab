"""Attention heads: counts by brute force, classes, energies and fixed points of the networks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix
from hopfix import heads


def least_count(weights, share, slack):
    """The least k such that some k weights reach the share but for the slack, by trying."""
    ordered = sorted(map(float, weights), reverse=True)
    for k in range(1, len(ordered) + 1):
        if math.fsum(ordered[:k]) >= share - slack:
            return k
    return len(ordered)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.01, 1.0), st.floats(0.01, 30))
def test_tokens_of_share_by_brute_force(seed, n, share, sharpness):
    z = sharpness * np.random.default_rng(seed).standard_normal((5, n))
    weights = hopfix.separation.softmax(z)
    found = heads.tokens_of_share(weights, share)
    assert found.dtype == np.int64
    # Weights below the rounding of a sum of n may or may not be needed to reach the share.
    rounding = 2 * n * np.finfo(float).eps
    assert all(found >= [least_count(row, share, rounding) for row in weights])
    assert all(found <= [least_count(row, share, 0.0) for row in weights])


def test_tokens_of_equal_weights():
    for n in (10, 1000):
        for dtype in (np.float32, np.float64):
            assert heads.tokens_of_share(np.full(n, 1 / n, dtype), 0.9) == 0.9 * n
            assert heads.tokens_of_share(np.full(n, 1 / n, dtype), 1.0) >= 0.99 * n


@pytest.mark.parametrize(
    ("median", "wanted"),
    [(33, 0), (32, 1), (9, 1), (8, 2), (3, 2), (2, 3), (1, 3)],
)
def test_operating_classes_of_64_keys(median, wanted):
    assert heads.operating_class([1, median, 64], 64) == heads.CLASSES[wanted]


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(1)
    return rng.standard_normal((3, 20, 16)), rng.standard_normal((3, 9, 16))


def test_heads_are_their_networks(layer):
    queries, keys = layer
    betas = [0.01, 0.25, 3.0]
    found = heads.analyse(queries, keys, betas)
    assert len(found) == 3
    for q, k, beta, head in zip(queries, keys, betas, found, strict=True):
        network = hopfix.Hopfield(k, beta)
        reached = network.retrieve(q)
        np.testing.assert_array_equal(head.states, reached.states)
        np.testing.assert_array_equal(head.steps, reached.steps)
        np.testing.assert_array_equal(head.energy, network.energy(reached.states))
        assert head.beta == beta
        assert head.converged.all()
        assert head.fixed_points.completeness == "proved"
        points = network.fixed_points()
        assert head.fixed_points.counts == points.counts
        distances = np.linalg.norm(head.states[:, None] - points.states, axis=-1)
        assert distances.min(axis=1).max() < 1e-6
    assert found[0].operating_class == "global averaging"
    assert found[0].median_tokens == 9
    assert found[2].operating_class == "medium"
    assert found[2].summary()["fixed_points"] == len(found[2].fixed_points)


def test_long_contexts_and_one_head():
    rng = np.random.default_rng(2)
    (head,) = heads.analyse(rng.standard_normal((5, 8)), rng.standard_normal((300, 8)), 0.35)
    assert head.fixed_points is None
    assert head.summary()["completeness"] is None
    assert head.tokens.shape == (5,)
    float32 = heads.analyse(
        rng.standard_normal((2, 5, 8)).astype(np.float32),
        rng.standard_normal((2, 40, 8)).astype(np.float32),
        0.35,
    )
    assert all(head.states.dtype == np.float32 for head in float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k: heads.analyse(q[0, 0], k, 1.0), r"queries: got shape \(16,\)"),
        (lambda q, k: heads.analyse(q, k[:2], 1.0), r"keys: got shape \(2, 9, 16\), need 3 heads"),
        (lambda q, k: heads.analyse(q, k[..., :4], 1.0), "of dimension 16"),
        (lambda q, k: heads.analyse(q, k, [1.0, 2.0]), r"beta: got shape \(2,\)"),
        (lambda q, k: heads.analyse(q, k, [1.0, 2.0, -1.0]), "beta: got -1"),
        (lambda q, k: heads.analyse(q, k, 1.0, share=0.0), "share: got 0"),
        (lambda q, k: heads.analyse(q * np.nan, k, 1.0), "queries"),
        (lambda q, k: heads.analyse(q, k, 1.0, prove_up_to=-1), "prove_up_to: got -1"),
        (lambda q, k: heads.tokens_of_share(np.empty((3, 0))), r"weights: got shape \(3, 0\)"),
        (lambda q, k: heads.operating_class([0.5], 3), "tokens: got 1 numbers of dtype float64"),
    ],
)
def test_bad_input_is_named(layer, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(*layer)
