"""The softmax map's fixed points against mpmath, NumPy's eigenvalues and published numbers."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfix import degree, softmax_map

# --- an independent oracle: bisection at 50 digits in ln v, on ln(u/v) = beta (u - v) ---------


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


def bisect(function, low, high):
    """Return the sign change of ``function`` between low and high, to 50 digits."""
    rising = function(high) > 0
    for _ in range(175):
        middle = (low + high) / 2
        if (function(middle) > 0) == rising:
            high = middle
        else:
            low = middle
    return low


def components(n, k, log_v):
    v = mpmath.exp(log_v)
    return (1 - (n - k) * v) / k, v


def at_centre(n, k):
    """Return ln v where ln(u/v) = 1e-18: nearer the centre than any root for a double beta."""
    return -mpmath.log(n) - mpmath.mpf(k) / n / 10**18


def exact_fold(n, k):
    """Return (threshold, ln v there) for k < n/2."""

    def slope(log_v):  # d beta / d u, up to a positive factor
        u, v = components(n, k, log_v)
        return (u - v) * ((n - k) / u + k / v) - n * mpmath.log(u / v)

    log_v = bisect(slope, mpmath.mpf(-60), at_centre(n, k))
    u, v = components(n, k, log_v)
    return mpmath.log(u / v) / (u - v), log_v


def exact_roots(n, k, beta):
    """Return the pairs (u, v) by descending u."""

    def residual(log_v):
        u, v = components(n, k, log_v)
        return mpmath.log(u / v) - beta * (u - v)

    bottom = -mpmath.mpf(beta) / k - 10
    if 2 * k >= n:
        brackets = [(bottom, at_centre(n, k))]
    else:
        middle = exact_fold(n, k)[1]
        brackets = [(bottom, middle)] + ([(middle, at_centre(n, k))] if beta < n else [])
    return [components(n, k, bisect(residual, *bracket)) for bracket in brackets]


def ulps(value, exact):
    """Return the distance in units of the last place of ``value``."""
    return float(abs(mpmath.mpf(value) - exact) / mpmath.mpf(math.ulp(value)))


@lru_cache(maxsize=4)
def listed(n, beta):
    return softmax_map.fixed_points(n, beta)


def classes(n, k, beta):
    return [c for c in listed(n, beta) if c.k == k]


def neighbour(value, ulps_away):
    for _ in range(abs(ulps_away)):
        value = math.nextafter(value, math.inf if ulps_away > 0 else 0.0)
    return value


# --- thresholds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "published"),
    [(3, 2.7456), (6, 3.8364), (10, 4.5598), (100, 7.4587), (500, 9.3263), (1000, 10.1107)],
)
def test_threshold_is_the_published_one(n, published):
    assert softmax_map.threshold(n) == pytest.approx(published, abs=5.1e-5)


@pytest.mark.parametrize(
    ("n", "k"), [(3, 1), (5, 2), (10, 4), (100, 1), (100, 49), (1000, 137), (10_000, 1), (10**6, 1)]
)
def test_threshold_is_correct_to_one_ulp(n, k):
    assert ulps(softmax_map.threshold(n, k), exact_fold(n, k)[0]) <= 0.51


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 2), (5, 3), (5, 4), (10_000, 5_000)])
def test_threshold_is_n_from_half_of_the_components_on(n, k):
    assert softmax_map.threshold(n, k) == n


def test_thresholds_ascend_with_k():
    thresholds = [softmax_map.threshold(501, k) for k in range(1, 251)]
    assert all(a < b for a, b in pairwise(thresholds))
    assert thresholds[-1] < 501


def test_threshold_takes_the_largest_n():
    n = 2**53
    assert ulps(softmax_map.threshold(n), exact_fold(n, 1)[0]) <= 0.51


# --- the fixed points -------------------------------------------------------------------------

ORACLE_CASES = [
    (2, 1, 2.5),
    (3, 1, 2.8),
    (3, 2, 3.5),
    (10, 1, 5.0),
    (10, 3, 9.5),
    (10, 4, 10.0),
    (10, 5, 10.5),
    (10, 9, 12.0),
    (10, 2, 1500.0),
    (12, 1, 700.0),
    (1000, 1, 50.0),
    (1000, 140, 900.0),
    (10_000, 1, 20.0),
    (10_000, 4_000, 9_999.0),
    (10_000, 4_999, 9_999.9999999),
    (10_000, 5_000, 10_001.0),
    (10_000, 9_999, 10_001.0),
    (10_000, 2_000, 1e6),
]


@pytest.mark.parametrize(("n", "k", "beta"), ORACLE_CASES)
def test_classes_are_correct_to_one_ulp(n, k, beta):
    assert_one_ulp(n, k, beta)


@pytest.mark.parametrize("ulps_away", [1, 2, 1000])
@pytest.mark.parametrize(("n", "k"), [(3, 1), (10, 4), (1000, 1), (10_000, 1), (10_000, 1234)])
def test_classes_are_correct_beside_a_fold(n, k, ulps_away):
    assert_one_ulp(n, k, neighbour(softmax_map.threshold(n, k), ulps_away))


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 3), (10, 5), (1000, 500), (1000, 999)])
def test_classes_are_correct_just_above_n(n, k):
    assert_one_ulp(n, k, neighbour(float(n), 1))


@pytest.mark.parametrize(("n", "k"), [(5, 1), (5, 2), (1000, 1), (1000, 499)])
def test_classes_are_correct_just_below_n(n, k):
    assert_one_ulp(n, k, neighbour(float(n), -1))


def assert_one_ulp(n, k, beta):
    found = classes(n, k, beta)
    beta = mpmath.mpf(beta)
    exact = exact_roots(n, k, beta)
    assert len(found) == len(exact)
    for c, (u, v) in zip(found, exact, strict=True):
        assert not c.degenerate
        assert ulps(c.u, u) <= 1.0
        assert ulps(c.v, v) <= 1.0
        spectrum = {(beta * u, k - 1), (beta * n * u * v, 1), (beta * v, n - k - 1), (0, 1)}
        for value, multiplicity in spectrum:
            if multiplicity and value > 1e-300:
                assert min(ulps(e, value) for e, _ in c.eigenvalues) <= 1.0
        exceeding = sum(multiplicity for value, multiplicity in spectrum if value > 1)
        assert c.morse_index == exceeding


@pytest.mark.parametrize(("n", "k"), [(3, 1), (10, 4), (1000, 1), (10_000, 1234)])
def test_no_class_one_ulp_below_its_threshold(n, k):
    assert classes(n, k, neighbour(softmax_map.threshold(n, k), -1)) == []


@pytest.mark.parametrize(
    ("n", "beta", "total", "by_index"),
    [
        (5, 4.6, 11, [6, 5]),
        (5, 4.9, 31, [6, 15, 10]),
        (5, 10.0, 31, [5, 10, 10, 5, 1]),
        (6, 5.0, 13, [7, 6]),
        (6, 10.0, 63, [6, 15, 20, 15, 6, 1]),
    ],
)
def test_counts_found_by_exhaustive_search(n, beta, total, by_index):
    counts = [0] * len(by_index)
    for c in listed(n, beta):
        counts[c.morse_index] += c.multiplicity
    assert counts == by_index
    assert softmax_map.count(n, beta) == total


def test_classes_are_sorted_and_end_with_the_centre():
    found = listed(9, 8.9)
    assert [(c.k, -c.u) for c in found] == sorted((c.k, -c.u) for c in found)
    centre = found[-1]
    assert (centre.k, centre.u, centre.v, centre.multiplicity) == (9, 1 / 9, 1 / 9, 1)
    assert centre.eigenvalues == ((8.9 / 9, 8), (0.0, 1))


@pytest.mark.parametrize(("n", "beta"), [(2, 3.0), (3, 2.9), (5, 4.9), (6, 6.5), (7, 40.0)])
def test_eigenvalues_are_those_of_the_jacobian(n, beta):
    for c in listed(n, beta):
        p = np.array([c.u] * c.k + [c.v] * (n - c.k))
        jacobian = beta * (np.diag(p) - np.outer(p, p))
        expected = np.linalg.eigvalsh(jacobian)[::-1]
        values = np.concatenate([[value] * m for value, m in c.eigenvalues])
        np.testing.assert_allclose(values, expected, atol=1e-14 * beta)
        assert c.morse_index == np.count_nonzero(expected > 1.0)


sizes_and_betas = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.one_of(
            st.floats(0.5, 100.0),
            st.floats(0.9 * n, 1.1 * n),
            st.integers(-3, 3).map(lambda ulps_away: neighbour(float(n), ulps_away)),
            st.floats(1e2, 1e300),
        ),
    )
)


@settings(max_examples=150, deadline=None)
@given(sizes_and_betas)
def test_classes_are_fixed_points_whose_counts_add_up(case):
    n, beta = case
    found = softmax_map.fixed_points(n, beta)
    counts: dict[int, int] = {}
    for c in found:
        counts[c.morse_index] = counts.get(c.morse_index, 0) + c.multiplicity
        assert c.u >= c.v >= 0.0
        assert c.k * c.u + (n - c.k) * c.v == pytest.approx(1.0, rel=1e-14)
        ratio = math.exp(-beta * (c.u - c.v))
        assert c.v == pytest.approx(c.u * ratio, rel=1e-15 * (10 + beta), abs=1e-300)
        assert sum(m for _, m in c.eigenvalues) == n
        assert all(m > 0 for _, m in c.eigenvalues)
    assert softmax_map.count(n, beta) == sum(c.multiplicity for c in found)
    if not any(c.degenerate for c in found):
        assert degree.audit(counts, n)


# --- degenerate values of beta ----------------------------------------------------------------


@pytest.mark.parametrize(("n", "k"), [(3, 1), (10, 1), (10, 4), (1000, 300)])
def test_double_root_at_a_threshold(n, k):
    beta = softmax_map.threshold(n, k)
    (double_root,) = classes(n, k, beta)
    u, v = components(n, k, exact_fold(n, k)[1])
    assert double_root.degenerate
    assert ulps(double_root.u, u) <= 1.0
    assert ulps(double_root.v, v) <= 1.0
    assert dict(double_root.eigenvalues)[1.0] == 1
    assert double_root.morse_index == k - 1
    assert sum(c.degenerate for c in listed(n, beta)) == 1
    assert softmax_map.count(n, beta) == sum(c.multiplicity for c in listed(n, beta))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_at_beta_n_the_smaller_roots_have_merged_with_the_centre(n):
    *others, centre = listed(n, float(n))
    assert centre.degenerate
    assert centre.eigenvalues == ((1.0, n - 1), (0.0, 1))
    assert centre.morse_index == 0
    assert [(c.k, c.morse_index) for c in others] == [(k, k - 1) for k in range(1, (n + 1) // 2)]
    assert not any(c.degenerate for c in others)
    assert softmax_map.count(n, n) == sum(c.multiplicity for c in listed(n, float(n)))


@pytest.mark.parametrize("beta", [0.5, 1.0, 7.0])
def test_one_component_has_one_point(beta):
    (only,) = softmax_map.fixed_points(1, beta)
    assert (only.k, only.u, only.multiplicity, only.morse_index) == (1, 1.0, 1, 0)
    assert only.eigenvalues == ((0.0, 1),)
    assert not only.degenerate
    assert softmax_map.count(1, beta) == 1


# --- size -------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [9_999.0, 10_001.0, 1e6])
def test_ten_thousand_components_in_a_second(beta):
    n = 10_000
    start = time.perf_counter()
    found = softmax_map.fixed_points(n, beta)
    elapsed = time.perf_counter() - start
    assert elapsed < 2.0  # measured: 0.07 s; the slack is for a busy machine
    assert sum(c.multiplicity for c in found) == softmax_map.count(n, beta)
    assert sum((-1) ** c.morse_index * c.multiplicity for c in found) == 1


def test_count_above_n_is_an_exact_integer():
    assert softmax_map.count(10_000, 1e9) == 2**10_000 - 1


def test_count_below_the_first_threshold_is_one():
    assert softmax_map.count(10_000, 5.0) == 1
    assert softmax_map.count(5, 5e-324) == 1


def test_the_largest_beta():
    first = softmax_map.fixed_points(4, 1.7976931348623157e308)[0]
    assert (first.u, first.v, first.morse_index) == (1.0, 0.0, 0)
    assert first.eigenvalues == ((0.0, 4),)


def test_numpy_and_rational_numbers_are_numbers():
    expected = softmax_map.fixed_points(5, 4.5)
    assert softmax_map.fixed_points(np.int32(5), np.float32(4.5)) == expected
    assert softmax_map.fixed_points(5, Fraction(9, 2)) == expected


# --- wrong input: what it was, what it got, what it needs ---------------------------------------


@pytest.mark.parametrize("call", [softmax_map.count, softmax_map.fixed_points])
@pytest.mark.parametrize(
    ("n", "beta", "error", "message"),
    [
        (0, 1.0, ValueError, "n: got 0, need 1 to "),
        (-3, 1.0, ValueError, "n: got -3, need 1 to "),
        (2**53 + 1, 1.0, ValueError, "n: got 9007199254740993, need 1 to "),
        (5.0, 1.0, TypeError, "n: got float, need an integer"),
        ("5", 1.0, TypeError, "n: got str, need an integer"),
        (True, 1.0, TypeError, "n: got bool, need an integer"),
        (5, 0.0, ValueError, "beta: got 0.0, need a finite number > 0"),
        (5, -1, ValueError, "beta: got -1.0, need"),
        (5, math.nan, ValueError, "beta: got nan, need"),
        (5, math.inf, ValueError, "beta: got inf, need"),
        (5, 10**400, ValueError, "beta: got inf, need"),
        (5, 1j, TypeError, "beta: got complex, need a real number"),
        (5, "2", TypeError, "beta: got str, need a real number"),
        (5, True, TypeError, "beta: got bool, need a real number"),
        (5, [2.0], TypeError, "beta: got list, need a real number"),
    ],
)
def test_wrong_size_or_beta(call, n, beta, error, message):
    with pytest.raises(error, match=message):
        call(n, beta)


@pytest.mark.parametrize(
    ("n", "k", "error", "message"),
    [
        (1, 1, ValueError, "n: got 1, need 2 to "),
        (5, 0, ValueError, "k: got 0, need 1 to 4"),
        (5, 5, ValueError, "k: got 5, need 1 to 4"),
        (5, 1.0, TypeError, "k: got float, need an integer"),
        (5, True, TypeError, "k: got bool, need an integer"),
    ],
)
def test_wrong_threshold_arguments(n, k, error, message):
    with pytest.raises(error, match=message):
        softmax_map.threshold(n, k)


def test_too_many_components_to_list():
    with pytest.raises(ValueError, match="n: got 100001, need 1 to 100000"):
        softmax_map.fixed_points(100_001, 1.0)
