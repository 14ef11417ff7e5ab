"""Hopfield.fixed_points: known answers, determinism, limits; the FixedPoints container."""

import json
import time
from fractions import Fraction
from itertools import combinations

import naive
import numpy as np
import pytest

import hopfix
from hopfix import _closed_form

EPS = np.finfo(np.float64).eps

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
POINT_FIELDS = [
    "states",
    "weights",
    "morse_index",
    "index",
    "stable",
    "spectral_radius",
    "energy",
    "residual",
    "certified",
    "radius",
    "uniqueness_radius",
]


def by_index(numbers):
    """[4, 4, 1] -> {0: 4, 1: 4, 2: 1}."""
    return {i: n for i, n in enumerate(numbers) if n}


def binomials(N):
    """Counts of N orthonormal patterns at beta > N: the faces of k patterns have index k - 1."""
    return {k - 1: sum(1 for _ in combinations(range(N), k)) for k in range(1, N + 1)}


def match(a, b, tol):
    """Each row of a has exactly one row of b within tol, and vice versa."""
    __tracebackhide__ = True
    assert a.shape == b.shape
    distance = np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=-1)
    near = distance <= tol
    assert (near.sum(axis=0) == 1).all()
    assert (near.sum(axis=1) == 1).all()


def assert_consistent(found, net):
    """Everything a FixedPoints says about itself agrees with the twin and with itself."""
    __tracebackhide__ = True
    K, (N, d) = len(found), net.patterns.shape
    shapes = {"states": (K, d), "weights": (K, N)}
    for field in POINT_FIELDS:
        assert getattr(found, field).shape == shapes.get(field, (K,)), field
    assert found.states.dtype == net.dtype
    assert found.certified.dtype == np.bool_
    assert found.stable.dtype == np.bool_
    assert np.issubdtype(found.morse_index.dtype, np.integer)
    assert np.issubdtype(found.index.dtype, np.integer)

    data = (net.patterns, net.beta, net.log_weights, found.states)
    eps = np.finfo(net.dtype).eps
    gap = naive.residual(*data)
    # A state rounded to the dtype is off by eps |xi|, and f magnifies that by at most 1 + rho.
    size = (1 + found.spectral_radius.astype(float)) * np.linalg.norm(
        found.states.astype(float), axis=1
    )
    allowed = naive.residual_error(*data, eps) + 4 * eps * size
    assert np.all(gap <= np.where(found.certified, allowed, 1e-6))
    assert np.all(np.abs(found.residual - gap) <= allowed + 1e-3 * gap)
    assert np.all(np.abs(found.weights - naive.weights(*data)) <= naive.weights_error(*data, eps))
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=(N + 8) * eps)
    np.testing.assert_allclose(found.energy, net.energy(found.states), rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(
        found.spectral_radius,
        net.spectral_radius(found.states),
        rtol=1e-3 if eps > 1e-10 else 1e-8,
        atol=eps,
    )

    np.testing.assert_array_equal(found.index, (-1) ** found.morse_index)
    sure = found.certified
    np.testing.assert_array_equal(found.stable[sure], found.morse_index[sure] == 0)
    np.testing.assert_array_equal(found.stable[sure], found.spectral_radius[sure] < 1)
    numbers, times = np.unique(found.morse_index, return_counts=True)
    assert found.counts == dict(zip(numbers.tolist(), times.tolist(), strict=True))
    assert found.degree_sum == found.index.sum()
    assert found.completeness in ("proved", "consistent", "unknown")

    assert np.isnan(found.radius[~sure]).all()
    assert np.isnan(found.uniqueness_radius[~sure]).all()
    assert np.all(found.radius[sure] >= 0)
    assert np.all(found.uniqueness_radius[sure] >= found.radius[sure])
    assert len(found.reasons) == len(found.support) == K
    for ok, reason in zip(found.certified, found.reasons, strict=True):
        assert isinstance(reason, str)
        assert bool(reason) != bool(ok)
    for support, w in zip(found.support, found.weights, strict=True):
        assert isinstance(support, tuple)
        assert list(support) == sorted(set(support))
        assert int(np.argmax(w)) in support
        assert set(support) <= set(range(N))

    points, radius = found.states[sure].astype(float), found.radius[sure]
    for i, j in combinations(range(len(points)), 2) if len(points) <= 300 else []:
        assert np.linalg.norm(points[i] - points[j]) > radius[i] + radius[j], (
            "two certified points may be one"
        )


# ---------------------------------------------------------------------------------- known answers


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


# ------------------------------------------------------------------------------------ closed form


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


# ------------------------------------------------------------------------------------ special cases


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


# --------------------------------------------------------------------------- determinism and limits


def same(a, b):
    """Bitwise equality of two results."""
    for field in POINT_FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
    assert a.support == b.support
    assert list(a.reasons) == list(b.reasons)
    assert a.completeness == b.completeness


def test_the_same_seed_gives_the_same_result_for_any_thread_count():
    patterns = naive.unit_patterns(4, 10, 4)
    one = hopfix.Hopfield(patterns, 20.0, num_threads=1).fixed_points("starts", seed=7)
    for threads in (1, 2, 3, 8):
        same(
            hopfix.Hopfield(patterns, 20.0, num_threads=threads).fixed_points("starts", seed=7), one
        )


def test_the_same_call_again_gives_the_same_bits_wherever_its_memory_lies():
    # Sums whose order depends on the alignment of a buffer differ from one run to the next.
    net = hopfix.Hopfield(naive.unit_patterns(4, 10, 4), 20.0, num_threads=1)
    first, clutter = net.fixed_points("starts", seed=7), []
    for i in range(12):
        clutter += [np.empty(n, np.uint8) for n in range(16, 16 * (i + 3), 16)]
        same(net.fixed_points("starts", seed=7), first)


def test_another_seed_finds_the_same_set():
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0)
    a, b = net.fixed_points("starts", seed=1), net.fixed_points("starts", seed=2**40)
    match(a.states, b.states, 1e-12)


@pytest.mark.parametrize("method", ["starts", "closed_form"])
@pytest.mark.parametrize("max_count", [1, 10, 254])
def test_max_count_limits_the_list_and_says_so(method, max_count):
    net = hopfix.Hopfield(np.eye(8), 10.0)
    found = net.fixed_points(method, max_count=max_count)
    assert len(found) == max_count
    assert found.completeness == "unknown"
    assert_consistent(found, net)


def test_max_count_at_least_the_number_changes_nothing():
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0)
    same(net.fixed_points("starts", max_count=1000), net.fixed_points("starts"))


@pytest.mark.parametrize("certify", [True, False])
def test_time_limit_returns_what_was_found(certify):
    net = hopfix.Hopfield(np.eye(18), 25.0)  # 262,143 fixed points
    began = time.monotonic()
    found = net.fixed_points("starts", time_limit=0.3, certify=certify)
    assert time.monotonic() - began < 3
    assert found.completeness == "unknown"
    assert len(found) < 2**18 - 1
    if certify:
        assert_consistent(found, net)


def test_progress_is_called_with_growing_counts():
    calls = []
    net = hopfix.Hopfield(np.eye(8), 10.0)
    found = net.fixed_points("starts", progress=lambda done, total: calls.append((done, total)))
    assert len(found) == 255
    assert calls
    done = [c[0] for c in calls]
    assert all(type(a) is int and type(b) is int for a, b in calls)
    assert all(0 <= a <= b for a, b in calls)
    assert done == sorted(done)


class StopSearchError(Exception):
    """Raised by a callback."""


@pytest.mark.parametrize("error", [StopSearchError, KeyboardInterrupt])
def test_an_exception_in_progress_ends_the_search_and_propagates(error):
    calls = []

    def progress(done, total):
        calls.append(done)
        raise error("enough")

    net = hopfix.Hopfield(np.eye(8), 10.0)
    with pytest.raises(error, match="enough"):
        net.fixed_points("starts", progress=progress)
    assert len(calls) == 1
    assert len(net.fixed_points("starts")) == 255  # and the network is none the worse


# ------------------------------------------------------------------------------------- container


@pytest.fixture(scope="module")
def found():
    return hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0).fixed_points("starts")


def test_length_and_iteration(found):
    assert len(found) == len(found.states) == 31
    points = list(found)
    assert len(points) == 31
    for i, point in enumerate(points):
        assert repr(point) == repr(found[i])


@pytest.mark.parametrize(
    "cut",
    [slice(2, 5), slice(None, None, 3), slice(0, 0), slice(-4, None), slice(None, None, -1)],
    ids=str,
)
def test_slices_are_shorter_lists_of_the_same_kind(found, cut):
    part = found[cut]
    assert type(part) is type(found)
    for field in POINT_FIELDS:
        np.testing.assert_array_equal(
            getattr(part, field), getattr(found, field)[cut], err_msg=field
        )
    assert list(part.support) == list(found.support)[cut]
    assert list(part.reasons) == list(found.reasons)[cut]
    assert sum(part.counts.values()) == len(part)
    assert part.degree_sum == part.index.sum()


def test_a_part_is_not_complete(found):
    assert found.completeness == "consistent"
    assert found[1:5].completeness == "unknown"


def test_single_points_and_their_limits(found):
    for i in (0, 30, -1):
        np.testing.assert_array_equal(
            np.ravel(getattr(found[i], "state", getattr(found[i], "states", None))), found.states[i]
        )
    for i in (31, -32):
        with pytest.raises(IndexError):
            found[i]


def test_repr_says_what_matters(found):
    text = repr(found)
    assert "31" in text
    assert "consistent" in text
    assert len(text) < 2000
    assert "array(" not in text


def test_to_dict_is_json(found):
    data = found.to_dict()
    text = json.dumps(data, allow_nan=False)  # strict JSON
    back = json.loads(text)
    np.testing.assert_array_equal(np.array(back["states"]), found.states)
    assert {int(k): v for k, v in back["counts"].items()} == found.counts
    assert back["degree_sum"] == 1
    assert back["completeness"] == "consistent"
    assert back["morse_index"] == found.morse_index.tolist()
    assert back["certified"] == found.certified.tolist()


def test_to_dict_of_uncertified_points_is_strict_json_too():
    degenerate = hopfix.Hopfield([[-1.0], [1.0]], 1.0).fixed_points("starts")
    assert json.loads(json.dumps(degenerate.to_dict(), allow_nan=False))["certified"] == [False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0),
        lambda: hopfix.Hopfield(naive.unit_patterns(3, 6, 1).astype(np.float32), 20.0),
        lambda: hopfix.Hopfield([[-1.0], [1.0]], 1.0),
    ],
    ids=["float64", "float32", "degenerate"],
)
def test_save_and_load_round_trip(make, tmp_path):
    before = make().fixed_points("starts")
    path = tmp_path / "points.npz"
    before.save(path)
    with np.load(path, allow_pickle=False) as file:  # no pickles: safe to open
        for key in file.files:
            assert file[key].dtype != object
    after = type(before).load(path)
    assert type(after) is type(before)
    same(after, before)
    assert after.counts == before.counts
    assert after.degree_sum == before.degree_sum
    for field in POINT_FIELDS:
        assert getattr(after, field).dtype == getattr(before, field).dtype, field


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
    points = _closed_form._list(3, 5.0, 7)
    states = points.weights.copy()
    columns, _ = _closed_form._certify_in_chunks(network, states, True, None, None)
    assert _closed_form._distinct(network, points, columns)
    states[1] = states[0]
    columns, _ = _closed_form._certify_in_chunks(network, states, True, None, None)
    assert columns["certified"].all()
    assert not _closed_form._distinct(network, points, columns)


def test_closed_form_of_too_many_points_says_so():
    with pytest.raises(MemoryError, match="max_count"):
        hopfix.Hopfield(np.eye(1100), 2000.0).fixed_points("closed_form")


def test_auto_where_beta_times_the_squared_norm_overflows():
    found = hopfix.Hopfield(np.eye(3) * 1e150, 1e10).fixed_points(time_limit=1)
    assert found.completeness == "unknown"


def test_the_time_limit_holds_within_a_block_of_starts():
    patterns = np.random.default_rng(0).normal(size=(600, 500)) / 20
    began = time.monotonic()
    found = hopfix.Hopfield(patterns, 20.0).fixed_points("starts", time_limit=0.5)
    assert time.monotonic() - began < 5
    assert found.completeness == "unknown"
