"""Hopfield.fixed_points: known answers and special cases."""

from itertools import combinations

import naive
import numpy as np
import pytest
from points import EPS, assert_consistent, binomials, by_index, match

import hopfix

# (d, N, seed, beta): numbers of fixed points by Morse index 0, 1, 2, ...; random unit patterns.
KNOWN = {
    (2, 5, 0, 50): [4, 4, 1],
    (3, 5, 0, 10): [3, 2],
    (3, 6, 1, 20): [4, 5, 2],
    (3, 6, 1, 200): [6, 7, 2],
    (4, 7, 2, 10): [7, 9, 3],
    (4, 7, 2, 20): [7, 12, 9, 3],
    (4, 10, 4, 20): [9, 13, 6, 1],
}


@pytest.mark.parametrize("key", KNOWN, ids=lambda k: "d{}-N{}-seed{}-beta{}".format(*k))
def test_starts_find_the_known_counts(key):
    d, N, seed, beta = key
    net = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta)
    found = net.fixed_points("starts")
    assert found.counts == by_index(KNOWN[key])
    assert found.certified.all()
    assert found.degree_sum == 1
    assert found.completeness == "consistent"
    assert_consistent(found, net)


@pytest.mark.parametrize("key", KNOWN, ids=lambda k: "d{}-N{}-seed{}-beta{}".format(*k))
def test_known_points_agree_with_fifty_digit_newton(key):
    d, N, seed, beta = key
    patterns = naive.unit_patterns(d, N, seed)
    found = hopfix.Hopfield(patterns, beta).fixed_points("starts")
    for state, radius in zip(found.states, found.radius, strict=True):
        exact = naive.newton_mp(patterns, beta, None, state)
        assert naive.covers(radius, state, exact)


@pytest.mark.parametrize("method", ["starts", "closed_form", "auto"])
@pytest.mark.parametrize("basis", ["eye", "random"])
def test_eight_orthonormal_patterns_have_255_fixed_points(basis, method):
    patterns = np.eye(8) if basis == "eye" else naive.orthonormal_patterns(8, 8, 0)
    net = hopfix.Hopfield(patterns, 10.0)
    found = net.fixed_points(method)
    assert len(found) == 255
    assert found.counts == binomials(8) == naive.softmax_counts(8, 10.0)
    assert found.certified.all()
    assert found.degree_sum == 1
    assert_consistent(found, net)


@pytest.mark.parametrize("d", [5, 6, 40])
def test_orthonormal_patterns_in_more_dimensions(d):
    net = hopfix.Hopfield(naive.orthonormal_patterns(5, d, 1), 8.0)
    starts, closed = net.fixed_points("starts"), net.fixed_points("closed_form")
    assert starts.counts == closed.counts == binomials(5)
    match(starts.states, closed.states, 1e-12)
    assert_consistent(starts, net)
    assert_consistent(closed, net)


def test_at_large_beta_the_supports_are_the_faces():
    found = hopfix.Hopfield(np.eye(4), 200.0).fixed_points("starts")
    faces = {face for k in range(1, 5) for face in combinations(range(4), k)}
    assert set(found.support) == faces
    for support, state, index in zip(found.support, found.states, found.morse_index, strict=True):
        want = np.zeros(4)
        want[list(support)] = 1 / len(support)
        # weights off the face are exp(-200/k) and less; the centre of a face is reached up to that
        np.testing.assert_allclose(state, want, atol=10 * np.exp(-200 / len(support)) + 4 * EPS)
        assert index == len(support) - 1


def test_below_the_critical_beta_there_is_one_fixed_point():
    # beta < 4 / R^2 with R the diameter: a contraction.
    patterns = naive.unit_patterns(3, 6, 1)
    radius = max(np.linalg.norm(a - b) for a, b in combinations(patterns, 2))
    net = hopfix.Hopfield(patterns, 3.9 / radius**2)
    found = net.fixed_points("starts")
    assert found.counts == {0: 1}
    assert found.certified.all()
    np.testing.assert_allclose(found.states[0], net.retrieve(np.zeros(3)).states, atol=1e-10)


def test_log_weights_move_and_remove_fixed_points():
    # Two points +-1 in 1-D: f = tanh(beta x + b), b = (b1 - b0) / 2.
    beta, log_weights = 2.0, [0.0, 0.4]
    net = hopfix.Hopfield([[-1.0], [1.0]], beta, log_weights=log_weights)
    found = net.fixed_points("starts")
    grid = np.linspace(-1, 1, 200_001)
    gap = np.tanh(beta * grid + 0.2) - grid
    crossings = grid[:-1][np.sign(gap[:-1]) != np.sign(gap[1:])]
    assert len(crossings) == 3
    np.testing.assert_allclose(np.sort(found.states[:, 0]), crossings, atol=2e-5)
    assert found.counts == {0: 2, 1: 1}
    assert_consistent(found, net)
    # A weight ratio beyond the fold leaves one.
    lone = hopfix.Hopfield([[-1.0], [1.0]], beta, log_weights=[0.0, 3.0]).fixed_points("starts")
    assert lone.counts == {0: 1}
    assert lone.states[0, 0] > 0.9


def test_unequal_log_weights_in_several_dimensions_are_consistent():
    rng = np.random.default_rng(0)
    patterns, log_weights = naive.unit_patterns(3, 6, 1), rng.normal(size=6)
    net = hopfix.Hopfield(patterns, 20.0, log_weights=log_weights)
    found = net.fixed_points("starts")
    assert found.certified.all()
    assert found.degree_sum == 1
    assert_consistent(found, net)
    for state, radius in zip(found.states, found.radius, strict=True):
        assert naive.covers(radius, state, naive.newton_mp(patterns, 20.0, log_weights, state))


def test_a_degenerate_point_is_kept_and_not_certified():
    net = hopfix.Hopfield([[-1.0], [1.0]], 1.0)  # f = tanh: the slope at 0 is exactly 1
    found = net.fixed_points("starts")
    assert len(found) == 1
    assert abs(found.states[0, 0]) < 1e-3
    assert not found.certified[0]
    assert found.reasons[0]
    assert np.isnan(found.radius[0])
    assert found.completeness == "unknown"


def test_a_degenerate_centre_does_not_spoil_the_others():
    # N orthonormal patterns at beta = N: the centre has N-1 eigenvalues 1, the u < 1/N
    # branches pass through it.
    found = hopfix.Hopfield(np.eye(3), 3.0).fixed_points("starts")
    centre = np.linalg.norm(found.states - 1 / 3, axis=1) < 1e-3
    assert centre.sum() == 1
    assert not found.certified[centre].any()
    assert found.certified[~centre].all()
    assert (found.morse_index[~centre] == 0).sum() == 3
    assert found.completeness == "unknown"


def test_one_pattern_is_its_own_fixed_point():
    net = hopfix.Hopfield([[1.0, 2.0, -3.0]], 5.0)
    for method in ("starts", "auto"):
        found = net.fixed_points(method)
        np.testing.assert_allclose(found.states, [[1.0, 2.0, -3.0]], rtol=4 * EPS)
        assert found.counts == {0: 1}
        assert found.certified.all()
        assert found.weights.tolist() == [[1.0]]


def test_equal_patterns_are_one_pattern():
    net = hopfix.Hopfield(np.ones((4, 3)), 5.0)
    found = net.fixed_points("starts")
    np.testing.assert_allclose(found.states, [[1.0, 1.0, 1.0]], rtol=4 * EPS)
    assert found.counts == {0: 1}


def test_a_duplicated_pattern_is_a_pattern_of_double_weight():
    x = naive.unit_patterns(3, 5, 0)
    twice = hopfix.Hopfield(np.vstack([x, x[:1]]), 10.0)
    weighted = hopfix.Hopfield(x, 10.0, log_weights=[np.log(2), 0, 0, 0, 0])
    found, want = twice.fixed_points("starts"), weighted.fixed_points("starts")
    assert found.counts == want.counts
    match(found.states, want.states, 1e-12)
    np.testing.assert_allclose(found.weights[:, 0], found.weights[:, 5], rtol=1e-13)
    assert_consistent(found, twice)


@pytest.mark.parametrize(
    ("d", "N", "beta", "counts"),
    [
        (300, 4, 12.0, [4, 6, 4, 1]),  # nearly orthonormal: one for every subset
        (2, 150, 30.0, [6, 6, 1]),  # counted by Newton from every node of a 161 x 161 grid
        (2, 150, 10.0, [3, 3, 1]),
        (2, 100, 50.0, [8, 8, 1]),
    ],
)
def test_very_wide_and_very_tall_pattern_sets(d, N, beta, counts):
    net = hopfix.Hopfield(naive.unit_patterns(d, N, 3), beta)
    found = net.fixed_points("starts")
    assert found.counts == by_index(counts)
    assert found.certified.all()
    assert_consistent(found, net)


def test_wide_patterns_have_the_fixed_points_of_their_reduced_coordinates():
    x = naive.unit_patterns(3, 5, 0)
    q = naive.orthonormal_patterns(3, 200, 8)
    small, large = (
        hopfix.Hopfield(x, 10.0).fixed_points("starts"),
        hopfix.Hopfield(x @ q, 10.0).fixed_points("starts"),
    )
    assert large.counts == small.counts == {0: 3, 1: 2}
    match(large.states, small.states @ q, 1e-12)


def test_float32_networks(dtype):
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1).astype(dtype), 20.0)
    found = net.fixed_points("starts")
    assert found.states.dtype == found.weights.dtype == dtype
    assert found.counts == {0: 4, 1: 5, 2: 2}
    assert found.certified.all()
    assert_consistent(found, net)
    wide = net.patterns.astype(np.float64)
    for state, radius in zip(found.states, found.radius, strict=True):
        assert naive.covers(radius, state, naive.newton_mp(wide, 20.0, None, state))


@pytest.mark.parametrize("method", ["starts", "closed_form"])
def test_without_certificates_the_points_are_the_same(method):
    net = hopfix.Hopfield(np.eye(6), 10.0)
    plain, full = net.fixed_points(method, certify=False), net.fixed_points(method)
    assert plain.counts == full.counts == binomials(6)
    match(plain.states, full.states, 1e-12)
    assert plain.completeness != "proved"
    if method == "closed_form":  # "starts" needs the certificates to tell points apart
        assert not plain.certified.any()
    assert_consistent(plain, net)


@pytest.mark.parametrize(
    ("patterns", "beta"),
    [
        (naive.unit_patterns(4, 7, 2), 20.0),
        (naive.unit_patterns(3, 6, 1), 200.0),
        (naive.orthonormal_patterns(5, 5, 0), 8.0),
    ],
    ids=["random", "sharp", "orthonormal, not exactly"],
)
def test_starts_never_claim_a_proof(patterns, beta):
    assert hopfix.Hopfield(patterns, beta).fixed_points("starts").completeness == "consistent"


def test_auto_where_beta_times_the_squared_norm_overflows():
    found = hopfix.Hopfield(np.eye(3) * 1e150, 1e10).fixed_points(time_limit=1)
    assert found.completeness == "unknown"
