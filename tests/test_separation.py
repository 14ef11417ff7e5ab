"""The separation functions: their properties, shapes, threads and instruction-set levels."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rows import DTYPES, bar, error_in_ulp, every_rule, exact_entmax
from test_isa import LEVELS, run_level, supported

from hopfix import separation as sep

exact_entmax_once = functools.cache(exact_entmax)

# ----------------------------------------------------------------------------------- properties

entries = st.floats(-4, 4, width=16) | st.sampled_from([-2.0, 0.0, 1.0]) | st.just(-np.inf)
alphas = st.sampled_from([1, 1 + 1e-9, 1.05, 1.2, 1.5, 1.7, 2, 2.5, 3, 10, 1e3, 1e6]) | st.floats(
    1, 5
)


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
    for alpha in (1, 1.2, 1.5, 1.7, 2, 3, 1e3) if z.shape[-1] < 99 else ():
        out[f"{name}/{alpha}"] = sep.entmax(z, alpha)
    out[f"{name}/topk"] = sep.topk(z, 1 + z.shape[-1] // 9)
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
        for n in (1, 3, 15, 16, 33, 300)
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
                    "topk": lambda z: sep.topk(z, 1 + z.shape[-1] // 9),
                    "polynomial": lambda z: sep.polynomial(z, 6),
                    "jvp": lambda z: sep.entmax.jvp(z, z[::-1], 1.5),
                }[rule](z)
                np.testing.assert_allclose(rows, want, atol=8 * np.finfo(z.dtype).eps)
                continue
            for row, p in zip(z, rows, strict=True):
                want = exact_entmax_once(tuple(row.tolist()), float(rule))
                assert error_in_ulp(p, want) <= bar(float(rule))


def test_functions_show_their_names():
    assert repr(sep.entmax) == "hopfix.separation.entmax"
