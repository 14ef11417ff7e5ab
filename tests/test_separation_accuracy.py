"""The separation functions against 50-digit arithmetic."""

import mpmath as mp
import numpy as np
import pytest
from rows import bar, bisect, error_in_ulp, every_rule, exact, exact_conjugate, exact_entmax

from hopfix import separation as sep

ALPHAS = [1, 1 + 1e-9, 1 + 1e-6, 1.001, 1.05, 1.1, 1.2, 1.25, 1.5, 1.7, 2, 2.5, 3, 10, 1e3, 1e6]


def rows_for(alpha, dtype):
    """Rows with small, large and one-element supports at this α, and the adversarial ones."""
    rng = np.random.default_rng(int(alpha * 1000))
    inf, width = np.inf, 1 / max(alpha - 1, 0.2)
    big, small = (1e30, 1e-44) if dtype == np.float32 else (1e300, 1e-322)
    rows = [
        rng.normal(size=20) * width,
        rng.normal(size=17) * width * 0.03 + 100,
        rng.normal(size=9) * width * 30,
        [0.7],
        [-3.0] * 9,
        [1.0, 1.0, 0.25, 0.25, -inf],
        [-inf, 2.0, -inf, 1.9],
        [big, -big, big, 0.0],
        [-big, -big * 1.5, -inf],
        np.array([0, 1, 2, 5, 5]) * small,
        [0.0, -width, -width * 0.999999, -width * 0.5],
        0.999 * width * np.sort(-rng.random(12)) / 12,
    ]
    return [np.array(row).astype(dtype) for row in rows]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_entmax_and_its_conjugate_are_accurate(alpha, dtype):
    eps = float(np.finfo(dtype).eps)
    for z in rows_for(alpha, dtype):
        got, want = sep.entmax(z, alpha), exact_entmax(z, alpha)
        assert got.dtype == dtype
        assert error_in_ulp(got, want) <= bar(alpha)
        conjugate = float(exact_conjugate(z, want, alpha) - mp.mpf(float(z.max())))
        gained = sep.entmax.conjugate(z, alpha).astype(np.longdouble) - z.max()
        assert abs(gained - conjugate) <= 8 * eps * max(abs(float(z.max())), 1)


@pytest.mark.parametrize("alpha", [1, 1.2, 1.5, 1.7, 2])
def test_long_rows_are_accurate(alpha, dtype):
    """10,000 entries against bisection in extended precision."""
    z = np.random.default_rng(1).normal(size=10_000).astype(dtype)
    wide, a = z.astype(np.longdouble) - z.max(), np.longdouble(alpha) - 1
    if a == 0:
        want = np.exp(wide)
        want /= want.sum()
    else:
        low, high = np.longdouble(0), np.longdouble(1)
        for _ in range(70):
            t = (low + high) / 2
            p = np.maximum(t + a * wide, 0) ** (1 / a)
            low, high = (low, t) if p.sum() > 1 else (t, high)
        want = np.maximum(high + a * wide, 0) ** (1 / a)
    error = np.abs(sep.entmax(z, alpha) - want).max() / np.spacing(dtype(want.max()))
    assert error <= bar(alpha)


@pytest.mark.parametrize(("alpha", "width"), [(3, 1), (10, 0.2), (1e3, 1e-3)])
def test_long_rows_are_accurate_for_large_alpha(alpha, width, dtype):
    z = (width * np.random.default_rng(1).normal(size=10_000)).astype(dtype)
    got = sep.entmax(z, alpha)
    assert 1 < np.count_nonzero(got) < 30
    assert error_in_ulp(got, exact_entmax(z, alpha)) <= bar(alpha)


@pytest.mark.parametrize("alpha", [1.05, 1.2, 1.5, 1.9, 2, 2.0001, 3, 5])
def test_long_flat_rows_are_accurate(alpha, dtype):
    """10,000 entries of three values, all in the support: the bar is 4 ulp of 1e-4."""
    counts = [2000, 5000, 3000]
    with mp.workdps(60):
        a = mp.mpf(float(alpha)) - 1
        width = float(mp.mpf(10_000) ** -a / a)
        values = np.array([1.0, 0.6, 0.0]).astype(dtype) * dtype(width / 2)
        gaps = [a * x for x in exact(values)]  # above the smallest

        def at(q):
            return [(q**a + g) ** (1 / a) for g in gaps]

        want = at(bisect(lambda q: mp.fdot(at(q), counts), mp.mpf(0), mp.mpf(1)))
    got = sep.entmax(np.repeat(values, counts), alpha)
    assert error_in_ulp(got[[0, 2000, 7000]], want) <= bar(alpha)


def test_alpha_between_the_two_methods_is_continuous():
    z = np.random.default_rng(2).normal(size=40)
    below, above = sep.entmax(z, 2 - 1e-13), sep.entmax(z, 2 + 1e-13)
    np.testing.assert_allclose(below, sep.sparsemax(z), atol=1e-12)
    np.testing.assert_allclose(above, sep.sparsemax(z), atol=1e-11)


@pytest.mark.parametrize("excess", [2.0**-52, 1e-12, 1e-9, 1e-6])
def test_alpha_to_one_tends_to_softmax(excess, dtype):
    z = (3 * np.random.default_rng(3).normal(size=(5, 300))).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    gap = np.abs(sep.entmax(z, 1 + excess) - sep.softmax(z)).max()
    assert gap <= 100 * excess + 4 * eps


def test_alpha_infinity_shares_among_the_largest(dtype):
    z = np.array([[1, 3, 3, -np.inf], [0, 1e-30, 0, 0]], dtype)
    want = [[0, 0.5, 0.5, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(sep.entmax(z, np.inf), want)
    np.testing.assert_array_equal(sep.entmax.conjugate(z, np.inf), z.max(axis=1))
    ties = sep.entmax(np.zeros(7, dtype), 1e300)
    np.testing.assert_allclose(ties, 1 / 7, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("n", "rectified"), [(1, True), (2, False), (3, True), (20, False)])
@pytest.mark.parametrize("scale", [1e-36, 1, 1e36])
def test_polynomial_is_accurate(n, rectified, scale, dtype):
    rng = np.random.default_rng(n)
    for z in (rng.normal(size=30), 1 + 1e-3 * rng.normal(size=9), [0.0, 2.0], [-1.0, 0.5, 0.5]):
        z = (np.array(z) * scale).astype(dtype)
        with mp.workdps(60):
            powers = [max(x, mp.mpf(0)) ** n if rectified else x**n for x in exact(z)]
            want = [x / mp.fsum(powers) for x in powers]
        assert error_in_ulp(sep.polynomial(z, n, rectified), want) <= 4


def test_a_large_power_is_accurate():
    z = 1 - 1e-6 * np.random.default_rng(0).random(20)
    with mp.workdps(60):
        powers = [x**1_000_000 for x in exact(z)]
        want = [x / mp.fsum(powers) for x in powers]
    assert error_in_ulp(sep.polynomial(z, 1_000_000), want) <= 4


@pytest.mark.parametrize("k", [1, 3, 4, 50])
def test_topk_is_softmax_over_the_largest(k, dtype):
    z = np.random.default_rng(k).normal(size=(6, 50)).round(1).astype(dtype)  # with ties
    chosen = np.argsort(-z, axis=1, kind="stable")[:, :k]  # the first of equal ones
    got = sep.topk(z, k)
    assert np.count_nonzero(got) == 6 * k
    for row, p, index in zip(z, got, chosen, strict=True):
        assert error_in_ulp(p[index], exact_entmax(row[index], 1)) <= 4
        expected = exact_conjugate(row[index], exact_entmax(row[index], 1), 1)
        bound = 4 * np.finfo(dtype).eps * max(1, abs(row).max())
        assert abs(float(sep.topk.conjugate(row, k) - expected)) <= bound


@pytest.mark.parametrize("k", [1, 3, 40, 1999])
def test_topk_of_long_rows_takes_the_first_of_equal_scores(k, dtype):
    z = np.random.default_rng(k).normal(size=(8, 2000)).astype(dtype)
    z[2:4] = z[2:4].round(1)
    z[4] = 0.5
    z[5, 30:] = -np.inf
    z[6].sort()
    z[7] = -np.sort(z[7])
    for row, p in zip(z, sep.topk(z, k), strict=True):
        chosen = np.argsort(-row, kind="stable")[:k]
        e = np.exp(row[chosen].astype(np.longdouble) - row.max())
        want = np.zeros(2000, np.longdouble)
        want[chosen] = e / e.sum()
        assert np.abs(p - want).max() <= 4 * np.spacing(dtype(want.max()))
        np.testing.assert_array_equal(np.flatnonzero(p), np.flatnonzero(want > 0))


@every_rule
def test_jvp_is_the_finite_difference(rule):
    p, jvp, conjugate = rule
    rng = np.random.default_rng(11)
    z, t = rng.normal(size=(20, 12)), rng.normal(size=(20, 12))
    h = 1e-6
    ahead, behind = p(z + h * t), p(z - h * t)
    away = (ahead > 1e-3) | (behind == 0)  # from the edge of the support, where p has kinks
    smooth = (ahead > 0).all(axis=1) | (away & ((ahead > 0) == (behind > 0))).all(axis=1)
    assert smooth.sum() >= 5
    want = (ahead - behind)[smooth] / (2 * h)
    np.testing.assert_allclose(jvp(z, t)[smooth], want, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(
        jvp(z.astype(np.float32), t.astype(np.float32))[smooth], jvp(z, t)[smooth], atol=3e-4
    )
    if conjugate is not None:  # its gradient is p
        slope = (conjugate(z + h * t) - conjugate(z - h * t)) / (2 * h)
        np.testing.assert_allclose(slope, (p(z) * t).sum(axis=1), atol=1e-8)


@pytest.mark.parametrize("alpha", [1.2, 1.7, 2.5, 3, 10])
def test_jvp_is_accurate(alpha):
    rng = np.random.default_rng(6)
    for z, t in rng.normal(size=(50, 2, 8)):
        p = sep.entmax(z / alpha, alpha)
        support = p > 0
        if p[support].min() < 1e-2 or support.sum() == 1:
            continue
        s, d = p[support] ** (2 - alpha), t[support]
        want = s * (d - (s @ d) / s.sum())
        got = sep.entmax.jvp(z / alpha, t, alpha)
        assert not got[~support].any()
        np.testing.assert_allclose(got[support], want, atol=1e-13 * alpha * abs(s * d).max())


def test_jvp_where_one_slope_is_infinite():
    """At α = 1e3 the smaller probability's own slope overflows, the derivative does not."""
    z, t = np.array([0.0, -0.9e-3]), np.array([1.0, 0.0])
    p, a = sep.entmax(z, 1e3), 999.0
    slope = p[0] / (a * 0.9e-3)
    np.testing.assert_allclose(sep.entmax.jvp(z, t, 1e3), [slope, -slope], rtol=1e-12)
    np.testing.assert_array_equal(sep.entmax.jvp(z, np.ones(2), 1e3), [0, 0])
    with pytest.raises(ValueError, match=r"^t: .*overflows"):
        sep.entmax.jvp(np.zeros(3), [1.0, 0.0, 0.0], 1e6)


def test_zeros_are_exact():
    z = np.array([4.0, 2.9, 3.5, -np.inf, 3.0])
    np.testing.assert_array_equal(sep.sparsemax(z), [0.75, 0, 0.25, 0, 0])
    assert np.count_nonzero(sep.entmax(z, 1.5)) == 4
    np.testing.assert_array_equal(sep.polynomial([-1.0, 2.0, 0.0], 3, rectified=True), [0, 1, 0])
    np.testing.assert_array_equal(sep.polynomial([-1.0, 1.0, 0.0], 2), [0.5, 0.5, 0])
    np.testing.assert_array_equal(sep.entmax.jvp(z, np.arange(5.0), 2)[[1, 3, 4]], 0)
