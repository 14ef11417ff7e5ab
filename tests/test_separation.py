"""The separation functions against 50-digit arithmetic, their properties, levels and errors."""

import re

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_isa import LEVELS, run_level, supported

from hopfix import separation as sep

ALPHAS = [1, 1 + 1e-9, 1.001, 1.05, 1.2, 1.5, 1.7, 2, 2.5, 3, 10, 1e3, 1e6]
DTYPES = [np.float32, np.float64]
WRONG = (TypeError, ValueError)

# name -> (p, jvp, conjugate) as functions of (z[, t]); the last is None where there is none.
RULES = {
    "softmax": (sep.softmax, sep.softmax.jvp, sep.softmax.conjugate),
    "sparsemax": (sep.sparsemax, sep.sparsemax.jvp, sep.sparsemax.conjugate),
    **{
        f"entmax {alpha}": (
            lambda z, a=alpha, **k: sep.entmax(z, a, **k),
            lambda z, t, a=alpha, **k: sep.entmax.jvp(z, t, a, **k),
            lambda z, a=alpha, **k: sep.entmax.conjugate(z, a, **k),
        )
        for alpha in (1.05, 1.5, 1.7, 2.5)
    },
    "topk": (
        lambda z, **k: sep.topk(z, 2, **k),
        lambda z, t, **k: sep.topk.jvp(z, t, 2, **k),
        lambda z, **k: sep.topk.conjugate(z, 2, **k),
    ),
    "polynomial": (
        lambda z, **k: sep.polynomial(z, 4, **k),
        lambda z, t, **k: sep.polynomial.jvp(z, t, 4, **k),
        None,
    ),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


# ------------------------------------------------------------------------------ 50-digit oracles


def exact(z):
    return [mp.mpf(float(x)) for x in z]


def bisect(f, low, high):
    """The last point of a bisection of the increasing f(x) = 1, to 57 digits."""
    for _ in range(190):
        middle = (low + high) / 2
        low, high = (low, middle) if f(middle) > 1 else (middle, high)
    return high


def exact_entmax(z, alpha):
    """p at 50 digits: bisection in the threshold for α <= 2, else in the smallest probability.

    As α grows the threshold needs ever more digits (p = y^(1/(α−1))): there the smallest entry v of
    the support comes from trying all, and its probability q from bisection.
    """
    with mp.workdps(60):
        z, a = exact(z), mp.mpf(float(alpha)) - 1
        if a == 0:
            e = [mp.exp(x - max(z)) for x in z]
            return [x / mp.fsum(e) for x in e]
        g = [a * (x - max(z)) for x in z]
        if a <= 1:

            def at(t):
                return [(t + x) ** (1 / a) if t + x > 0 else mp.mpf(0) for x in g]

            return at(bisect(lambda t: mp.fsum(at(t)), mp.mpf(len(z)) ** -a / 2, mp.mpf(1)))

        def by_smallest(v, q):
            rest = [(q**a + x - v) ** (1 / a) if x > v else mp.mpf(0) for x in g]
            return [q if x == v else r for x, r in zip(g, rest, strict=True)]

        kept = [v for v in g if mp.isfinite(v) and mp.fsum(by_smallest(v, mp.mpf(0))) < 1]
        v = min(kept)
        return by_smallest(v, bisect(lambda q: mp.fsum(by_smallest(v, q)), mp.mpf(0), mp.mpf(1)))


def exact_conjugate(z, p, alpha):
    with mp.workdps(60):
        z, alpha = exact(z), mp.mpf(float(alpha))
        inner = mp.fsum(x * y for x, y in zip(p, z, strict=True) if x > 0)
        if alpha == 1:
            return inner - mp.fsum(x * mp.log(x) for x in p if x > 0)
        return inner + mp.fsum(x - x**alpha for x in p if x > 0) / (alpha * (alpha - 1))


def error_in_ulp(got, want):
    """The largest absolute error in ulp of the largest probability."""
    largest = mp.mpf(float(np.spacing(got.dtype.type(float(max(want))))))
    return float(max(abs(x - w) for x, w in zip(exact(got), want, strict=True)) / largest)


def bar(alpha):
    return 4 * max(1, 0.5 / (alpha - 1)) if 1 < alpha < 1.5 else 4


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


# ----------------------------------------------------------------------------------- properties

entries = st.floats(-4, 4, width=16) | st.sampled_from([-2.0, 0.0, 1.0]) | st.just(-np.inf)
alphas = st.sampled_from(ALPHAS) | st.floats(1, 5)


@st.composite
def scores(draw, elements=entries):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=40))
    z = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), shape, elements=elements))
    z[..., 0] = np.maximum(z[..., 0], -4)  # a finite entry in every row
    return z


@given(scores(), alphas)
def test_rows_are_probabilities_in_the_order_of_the_scores(z, alpha):
    p = sep.entmax(z, alpha)
    assert p.shape == z.shape
    assert p.dtype == z.dtype
    assert (p >= 0).all()
    assert (p[np.isneginf(z)] == 0).all()
    np.testing.assert_allclose(
        p.sum(axis=-1, dtype=np.longdouble), 1, rtol=8 * np.finfo(z.dtype).eps
    )
    order = np.argsort(z, axis=-1)
    sorted_p = np.take_along_axis(p, order, -1).astype(np.float64)
    assert (np.diff(sorted_p, axis=-1) >= -4 * np.finfo(z.dtype).eps * p.max()).all()


@given(scores(), alphas, st.randoms())
def test_permutations_permute(z, alpha, random):
    order = random.sample(range(z.shape[-1]), z.shape[-1])
    p, q = sep.entmax(z, alpha), sep.entmax(z[..., order], alpha)
    np.testing.assert_allclose(p[..., order], q, atol=8 * np.finfo(z.dtype).eps)


@given(scores(), alphas)
def test_shifts_do_not_matter(z, alpha):
    """By 64, under which half-precision numbers of this size are exact in both dtypes."""
    p, q = sep.entmax(z, alpha), sep.entmax(z + z.dtype.type(64), alpha)
    shift_is_exact = (z + z.dtype.type(64)) - z.dtype.type(64) == z
    if shift_is_exact[np.isfinite(z)].all():
        np.testing.assert_array_equal(p, q)


@given(scores(st.floats(-3, 3, width=16)), st.sampled_from([1, 1.2, 1.5, 1.7, 2]))
def test_jvp_is_the_jacobian_of_the_support(z, alpha):
    z = z.astype(np.float64)
    t = np.random.default_rng(0).normal(size=z.shape)
    p = sep.entmax(z, alpha)
    with np.errstate(divide="ignore"):
        s = np.where(p > 0, p ** (2.0 - alpha), 0)
    want = s * (t - (s * t).sum(-1, keepdims=True) / s.sum(-1, keepdims=True))
    np.testing.assert_allclose(
        sep.entmax.jvp(z, t, alpha), want, atol=1e-6 if alpha > 1.9 else 1e-9
    )


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


# -------------------------------------------------------------------------- shapes, threads, levels


@every_rule
def test_results_do_not_depend_on_threads_batch_or_layout(rule, dtype):
    p, jvp, conjugate = rule
    z = np.random.default_rng(5).normal(size=(4, 30, 700)).astype(dtype)
    t = z[::-1].copy()
    for f in (p, lambda x, **k: jvp(x, t[: len(x)] if x.shape == z.shape else t[1, 2], **k)):
        want = f(z, num_threads=1)
        assert want.shape == z.shape
        for threads in (2, 3):
            np.testing.assert_array_equal(f(z, num_threads=threads), want)
        np.testing.assert_array_equal(f(z[1, 2]), want[1, 2])
    np.testing.assert_array_equal(p(z.transpose(1, 0, 2)), p(z).transpose(1, 0, 2))
    if conjugate is not None:
        want = conjugate(z, num_threads=1)
        assert want.shape == z.shape[:-1]
        np.testing.assert_array_equal(conjugate(z, num_threads=3), want)
        assert conjugate(z[1, 2]) == want[1, 2]


@every_rule
def test_integers_become_float64_and_nothing_is_aliased(rule):
    p = rule[0]
    z = np.array([[1, 2, 3], [3, 2, 2]])
    assert p(z).dtype == np.float64
    np.testing.assert_array_equal(p(z), p(z.astype(float)))
    floats = z.astype(float)
    p(floats)[:] = 7
    np.testing.assert_array_equal(floats, z)


LEVEL_SCRIPT = """
import sys
import numpy as np, hopfix
from hopfix import separation as sep
data, out = np.load(sys.argv[1]), {}
for name in data.files:
    z = data[name]
    for alpha in (1, 1.2, 1.5, 1.7, 2, 3, 1e3):
        out[f"{name}/{alpha}"] = sep.entmax(z, alpha)
    out[f"{name}/topk"] = sep.topk(z, 1 + z.shape[-1] // 3)
    out[f"{name}/polynomial"] = sep.polynomial(z, 6)
    out[f"{name}/jvp"] = sep.entmax.jvp(z, z[::-1], 1.5)
np.savez(sys.argv[2], **out)
print(hopfix.get_config()["isa"])
"""


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_is_accurate(level, tmp_path):
    if not supported(level):
        pytest.skip(f"this CPU has no {level}")
    rng = np.random.default_rng(8)
    given_rows = {
        f"{n}-{np.dtype(d).name}": rng.normal(size=(2, n)).astype(d)
        for n in (1, 3, 15, 16, 33)
        for d in DTYPES
    }
    np.savez(tmp_path / "in.npz", **given_rows)
    done = run_level(level, tmp_path / "in.npz", tmp_path / "out.npz", code=LEVEL_SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == level
    with np.load(tmp_path / "out.npz") as out:
        for key, rows in out.items():
            name, rule = key.split("/")
            z = given_rows[name]
            if rule in ("topk", "polynomial", "jvp"):
                want = {
                    "topk": lambda z: sep.topk(z, 1 + z.shape[-1] // 3),
                    "polynomial": lambda z: sep.polynomial(z, 6),
                    "jvp": lambda z: sep.entmax.jvp(z, z[::-1], 1.5),
                }[rule](z)
                np.testing.assert_allclose(rows, want, atol=8 * np.finfo(z.dtype).eps)
                continue
            for row, p in zip(z, rows, strict=True):
                assert error_in_ulp(p, exact_entmax(row, float(rule))) <= bar(float(rule))


# --------------------------------------------------------------------------------------- errors

Z = np.array([[1.0, 0.5, 0.25], [0.0, 2.0, 1.0]])


@every_rule
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_scores_must_not_be_nan_or_infinite(rule, bad, dtype):
    z = np.stack([Z, Z]).astype(dtype)
    z[1, 0, 2] = bad
    for call in (rule[0], lambda z: rule[1](z, np.ones_like(z)), rule[2] or rule[0]):
        with pytest.raises(ValueError, match=rf"^z: .*row {re.escape('(1, 0)')}"):
            call(z)


@every_rule
def test_a_row_of_minus_infinity_has_no_answer(rule):
    z = Z.copy()
    z[1] = -np.inf
    with pytest.raises(ValueError, match=r"^z: .*row \(1,\)"):
        rule[0](z)
    with pytest.raises(ValueError, match=r"^z: .*row 0"):
        rule[0](z[1])


def test_polynomials_refuse_what_they_cannot_normalise():
    for z, options in ([[0.0, 0.0], {}], [[-1.0, 0.0], {"rectified": True}]):
        with pytest.raises(ValueError, match=r"^z: .*row 0"):
            sep.polynomial(z, 2, **options)
    with pytest.raises(ValueError, match=r"^z: "):
        sep.polynomial([1.0, -np.inf], 2)
    np.testing.assert_array_equal(sep.polynomial([1.0, -np.inf], 3, rectified=True), [1, 0])
    with pytest.raises(ValueError, match="polynomial: has no conjugate"):
        sep.polynomial.conjugate(Z, 2)


@every_rule
@pytest.mark.parametrize(
    "z",
    [np.empty((0, 3)), np.empty((3, 0)), 1.0, Z.astype(complex), Z.astype(str), [[1.0], [1.0, 2]]],
    ids=["no rows", "empty rows", "a number", "complex", "strings", "ragged"],
)
def test_scores_must_be_rows_of_numbers(rule, z):
    with pytest.raises(WRONG, match=r"^z: "):
        rule[0](z)


@every_rule
@pytest.mark.parametrize("t", [np.ones(3), np.full((2, 3), np.nan), "up", None], ids=str)
def test_tangents_must_be_finite_and_shaped_as_the_scores(rule, t):
    with pytest.raises(WRONG, match=r"^t: "):
        rule[1](Z, t)


@pytest.mark.parametrize("alpha", [0.999, 0, -1.0, -np.inf, np.nan, "2", None, 1j, True], ids=repr)
def test_alpha_must_be_a_number_not_below_one(alpha):
    for call in (
        lambda: sep.entmax(Z, alpha),
        lambda: sep.entmax.jvp(Z, Z, alpha),
        lambda: sep.entmax.conjugate(Z, alpha),
    ):
        with pytest.raises(WRONG, match=r"^alpha: "):
            call()


@pytest.mark.parametrize("k", [0, -1, 4, 1.5, "2", None, True], ids=repr)
def test_k_must_be_an_integer_of_one_to_the_row_length(k):
    with pytest.raises(WRONG, match=r"^k: "):
        sep.topk(Z, k)


@pytest.mark.parametrize("n", [0, -2, 3, 2**40, 1.5, "2", None], ids=repr)
def test_n_must_be_an_even_integer(n):
    with pytest.raises(WRONG, match=r"^n: "):
        sep.polynomial(Z, n)


def test_other_arguments_are_named():
    with pytest.raises(TypeError, match=r"^rectified: "):
        sep.polynomial(Z, 2, "yes")
    with pytest.raises(WRONG, match=r"^num_threads: "):
        sep.softmax(Z, num_threads=0)


def test_functions_show_their_names():
    assert repr(sep.entmax) == "hopfix.separation.entmax"
