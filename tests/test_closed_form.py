"""Hopfield.fixed_points("closed_form"): known answers, what it needs, when it proves."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from points import EPS, assert_consistent, binomials, by_index, match

import hopfix
from hopfix import _closed_form


@pytest.mark.parametrize(
    ("N", "beta"),
    [
        (1, 3.0),
        (2, 1.5),
        (2, 2.5),
        (3, 2.7),
        (3, 2.8),
        (3, 10.0),
        (4, 200.0),
        (5, 4.6),
        (5, 4.9),
        (5, 10.0),
        (6, 5.0),
        (6, 10.0),
        (7, 7.1),
        (9, 12.0),
        (10, 11.0),
        (10, 4.5),
        (10, 4.6),
    ],
)
def test_closed_form_matches_the_classes_of_the_softmax_map(N, beta):
    net = hopfix.Hopfield(np.eye(N), beta)
    found = net.fixed_points("closed_form")
    assert found.counts == naive.softmax_counts(N, beta)
    assert len(found) == hopfix.softmax_map.count(N, beta)
    assert_consistent(found, net)
    states = np.sort(found.states, axis=1)
    for k, u, v, multiplicity, index in naive.softmax_classes(N, beta):
        want = np.r_[np.full(N - k, v), np.full(k, u)]
        # u and v come from a root search: rtol 1e-12 is its conditioning at the thresholds
        # tested here
        same = np.all(np.abs(states - want) <= 1e-11, axis=1)
        assert same.sum() == multiplicity
        assert (found.morse_index[same] == index).all()


def test_published_counts_below_the_last_threshold():
    # MATH section 4, checked there by exhaustive search.
    for N, beta, counts in [(5, 4.6, [6, 5]), (5, 4.9, [6, 15, 10]), (6, 5.0, [7, 6])]:
        assert hopfix.Hopfield(np.eye(N), beta).fixed_points("closed_form").counts == by_index(
            counts
        )


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_closed_form_takes_orthogonal_patterns_of_equal_norm(scale):
    q = naive.orthonormal_patterns(6, 6, 4)
    net = hopfix.Hopfield(scale * q, 9.0 / scale**2)
    unit = hopfix.Hopfield(q, 9.0)
    found, want = net.fixed_points("closed_form"), unit.fixed_points("closed_form")
    assert found.counts == binomials(6)
    match(found.states / scale, want.states, 1e-13)
    match(found.states, net.fixed_points("starts").states, 1e-12 * scale)
    assert_consistent(found, net)


def test_starts_find_no_point_that_the_closed_form_lacks():
    net = hopfix.Hopfield(np.eye(5), 4.9)
    starts, closed = net.fixed_points("starts"), net.fixed_points("closed_form")
    distance = np.linalg.norm(starts.states[:, None] - closed.states[None], axis=-1).min(axis=1)
    assert distance.max() < 1e-12
    assert starts.certified.all()


def test_closed_form_of_sixteen_patterns():
    net = hopfix.Hopfield(np.eye(16), 20.0)
    found = net.fixed_points("closed_form")
    assert len(found) == 2**16 - 1
    assert found.counts == binomials(16)
    assert found.degree_sum == 1
    assert found.certified.all()
    assert (
        found.residual.max() < 100 * EPS
    )  # |f - xi| <= (1 + beta/2) eps |xi| and a few sums of 16
    assert len(np.unique(found.states, axis=0)) == len(found)


@pytest.mark.parametrize(
    "patterns",
    [
        [[1.0, 0.0], [0.6, 0.8]],  # not orthogonal
        [[1.0, 0.0], [0.0, 2.0]],  # unequal norms
        [[1.0, 0.0], [1e-6, 1.0]],  # nearly
        [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]],
    ],
    ids=["oblique", "unequal norms", "nearly orthogonal", "more than d"],
)
def test_closed_form_needs_orthogonal_patterns_of_equal_norm(patterns):
    with pytest.raises(ValueError, match=r"\bpatterns\b"):
        hopfix.Hopfield(patterns, 5.0).fixed_points("closed_form")


def test_closed_form_needs_equal_log_weights():
    with pytest.raises(ValueError, match=r"log_weights|patterns"):
        hopfix.Hopfield(np.eye(3), 5.0, log_weights=[0.0, 0.0, 1.0]).fixed_points("closed_form")


@pytest.mark.parametrize("offset", [1e-14, 3e-13])
def test_rounding_of_beta_across_a_fold_is_never_proved(offset):
    """The exact beta |x|^2 lies above the fold, where 7 points exist, the rounded one below."""
    threshold = hopfix.softmax_map.threshold(3, 1)
    network = hopfix.Hopfield(np.eye(3), threshold * (1 + offset))
    assert not _closed_form._counts_exactly(network, threshold * (1 - offset))
    assert not _closed_form._counts_exactly(network, network.beta)
    away = hopfix.Hopfield(np.eye(3), threshold * (1 + 1e-9))
    assert _closed_form._counts_exactly(away, away.beta)


@pytest.mark.parametrize("scale", [1.0, 2.0**-500, 1e-155, 0.1])
def test_orthogonality_is_decided_exactly(scale):
    axes = np.eye(4) * scale
    assert _closed_form._exact_square(axes) == Fraction(scale) ** 2
    tilted = axes.copy()
    tilted[0, 1] = scale * 2.0**-60
    assert _closed_form._exact_square(tilted) is None
    hadamard = np.array([[1, 1], [1, -1]]) * scale
    assert _closed_form._exact_square(hadamard) == 2 * Fraction(scale) ** 2


def test_two_certificates_of_one_point_are_not_two_points():
    network = hopfix.Hopfield(np.eye(3), 5.0)
    chunks = list(_closed_form._chunks(3, 5.0, 7))
    points, columns, _ = _closed_form._certify_in_chunks(network, chunks, 7, True, None, None)
    assert len(points.weights) == 7
    assert _closed_form._distinct(network, points, columns)
    repeated = chunks[0].weights.copy()
    repeated[1] = repeated[0]
    twice = [chunks[0]._replace(weights=repeated), *chunks[1:]]
    _, columns, _ = _closed_form._certify_in_chunks(network, twice, 7, True, None, None)
    assert columns["certified"].all()
    assert not _closed_form._distinct(network, points, columns)


def test_closed_form_of_too_many_points_says_so():
    with pytest.raises(MemoryError, match="max_count"):
        hopfix.Hopfield(np.eye(1100), 2000.0).fixed_points("closed_form")
