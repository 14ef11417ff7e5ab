"""Random features and the Performer against NumPy twins, expectations and exact retrieval."""

import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix
from hopfix.performer import Performer, RandomFeatures, features_needed, predicted_error

KINDS = ("exp", "cosh", "relu")
DTYPES = (np.float32, np.float64)


def twin_features(features, z):
    scores = z @ features.matrix.T.astype(z.dtype)
    if features.kind == "relu":
        phi = np.maximum(scores, 0) + z.dtype.type(features.offset)
    else:
        phi = np.exp(scores - 0.5 * np.square(z).sum(-1, keepdims=True))
    return phi / z.dtype.type(math.sqrt(features.n_features))


def twin_update(features, patterns, beta, states, above=None):
    """The published formula, in double precision, nothing subtracted."""
    patterns, states = patterns.astype(np.float64), states.astype(np.float64)
    keys = patterns if above is None else np.where(patterns > above, 0, patterns)
    queries = states if above is None else np.where(states > above, 0, states)
    phi_keys = twin_features(features, math.sqrt(beta) * keys)
    phi_queries = twin_features(features, math.sqrt(beta) * queries)
    weights = phi_queries @ phi_keys.T
    return weights @ patterns / weights.sum(-1, keepdims=True)


def problem(seed, n=60, d=8, count=11, dtype=np.float64, length=1.0):
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((n, d))
    patterns *= length / np.linalg.norm(patterns, axis=1, keepdims=True)
    states = patterns[:count] + 0.2 * length * rng.standard_normal((count, d)) / math.sqrt(d)
    return patterns.astype(dtype), states.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("r", "d", "count"), [(1, 1, 1), (2, 5, 3), (200, 7, 40), (770, 33, 17)])
def test_transform_is_the_formula(kind, dtype, r, d, count):
    r += r % 2 if kind == "cosh" else 0
    features = RandomFeatures(d, r, kind=kind, seed=1)
    z = np.random.default_rng(2).standard_normal((count, d)).astype(dtype)
    phi = features.transform(z)
    assert phi.dtype == dtype
    assert phi.shape == (count, r)
    np.testing.assert_allclose(
        phi, twin_features(features, z), rtol=400 * np.finfo(dtype).eps * d, atol=1e-7
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_transform_of_a_row_alone_and_on_any_threads(kind, dtype):
    z = np.random.default_rng(3).standard_normal((1000, 20)).astype(dtype)
    one = RandomFeatures(20, 500, kind=kind, seed=4, num_threads=1)
    two = RandomFeatures(20, 500, kind=kind, seed=4, num_threads=2)
    together = one.transform(z)
    np.testing.assert_array_equal(together, two.transform(z))
    for b in (0, 1, 517, 999):
        np.testing.assert_array_equal(together[b], one.transform(z[b]))
    np.testing.assert_array_equal(together[3:20], one.transform(z[3:20]))


def test_transform_overflows_to_infinity_and_underflows_to_zero():
    features = RandomFeatures(1, 4000, orthogonal=False, seed=0)
    for dtype in DTYPES:
        assert features.transform(np.array([0.0], dtype)).sum() == pytest.approx(math.sqrt(4000))
        assert features.transform(np.array([-60.0], dtype)).max() != np.inf
        assert features.transform(np.array([1e4], dtype)).max() == 0
    wide = RandomFeatures(400, 4, seed=0)
    toward = wide.matrix[0] * 4
    # w.z - |z|^2/2 = -4 |w|^2 < -1000, and with half of w: 3/8 |w|^2, about 150.
    assert wide.transform(toward)[0] == 0
    half = wide.transform(wide.matrix[0] / 2)
    assert half[0] == pytest.approx(math.exp(0.375 * np.square(wide.matrix[0]).sum()) / 2, rel=1e-9)
    assert wide.transform((wide.matrix[0] / 2).astype(np.float32))[0] == np.inf


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_is_the_expectation(kind):
    rng = np.random.default_rng(5)
    a, b = 0.5 * rng.standard_normal((2, 6, 5))
    features = RandomFeatures(5, 400_000, kind=kind, orthogonal=False, offset=0.3, seed=6)
    estimate = np.einsum("br,br->b", features.transform(a), features.transform(b))
    spread = 0.02 if kind == "relu" else np.sqrt(features.relative_variance(a, b))
    assert (abs(estimate / features.kernel(a, b) - 1) < 5 * spread).all()
    if kind != "relu":
        np.testing.assert_allclose(features.kernel(a, b), np.exp((a * b).sum(-1)))


@pytest.mark.parametrize("kind", ["exp", "cosh"])
def test_relative_variance_is_that_of_many_draws(kind):
    rng = np.random.default_rng(7)
    a, b = 0.35 * rng.standard_normal((2, 4, 3))
    features = RandomFeatures(3, 8, kind=kind, orthogonal=False, seed=8)
    estimates = []
    for draw in range(20_000):
        drawn = features.redraw(draw)
        estimates.append(np.einsum("br,br->b", drawn.transform(a), drawn.transform(b)))
    ratio = np.array(estimates) / features.kernel(a, b)
    np.testing.assert_allclose(ratio.var(axis=0), features.relative_variance(a, b), rtol=0.2)
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.02)


@pytest.mark.parametrize(("r", "d"), [(3, 8), (8, 8), (29, 8), (5, 1)])
def test_orthogonal_blocks(r, d):
    matrix = RandomFeatures(d, r, seed=9).matrix
    assert matrix.shape == (r, d)
    lengths = np.linalg.norm(matrix, axis=1)
    for first in range(0, r, d):
        block = matrix[first : first + d] / lengths[first : first + d, None]
        np.testing.assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-12)


def test_orthogonal_rows_are_uniform_and_of_gaussian_length():
    # Without the signs of R, LAPACK's Q has a first entry that is never positive.
    entries = np.array([RandomFeatures(2, 2, seed=s).matrix for s in range(4000)])
    assert abs(entries.mean(axis=0)).max() < 0.08
    np.testing.assert_allclose((entries**2).mean(axis=0), 1, atol=0.12)
    z = np.array([0.7, -0.4])
    estimate = [RandomFeatures(2, 64, seed=s).transform(z) for s in range(1500)]
    mean = np.einsum("sr,sr->s", estimate, estimate).mean()
    assert mean == pytest.approx(math.exp(z @ z), rel=0.03)


def test_orthogonal_rows_lower_the_variance():
    rng = np.random.default_rng(10)
    a, b = 0.5 * rng.standard_normal((2, 6)) / 2

    def spread(**options):
        features = RandomFeatures(6, 6, seed=11, **options)
        draws = [features.redraw(i) for i in range(3000)]
        return np.var([float(f.transform(a) @ f.transform(b)) for f in draws])

    plain = spread(orthogonal=False)
    assert spread(orthogonal=True) < 0.97 * plain
    assert spread(orthogonal=False, kind="cosh") < plain


def test_seeds_and_redraws():
    features = RandomFeatures(4, 10, seed=12)
    again = RandomFeatures(4, 10, seed=features.seed)
    np.testing.assert_array_equal(features.matrix, again.matrix)
    np.testing.assert_array_equal(features.redraw(3).matrix, again.redraw(3).matrix)
    assert features.redraw(0) is features
    assert abs(features.redraw(1).matrix - features.redraw(2).matrix).max() > 0.1
    fresh = RandomFeatures(4, 10)
    np.testing.assert_array_equal(fresh.matrix, RandomFeatures(4, 10, seed=fresh.seed).matrix)
    assert not features.matrix.flags.writeable
    copy = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(copy.transform(np.ones(4)), features.transform(np.ones(4)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("above", [None, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_update_is_the_published_formula(kind, above, dtype):
    patterns, states = problem(13, dtype=dtype)
    features = RandomFeatures(8, 90, kind=kind, seed=14)
    memory = Performer(patterns, 1.3, features, sparsify_above=above)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = memory.update(states)
    assert found.dtype == dtype
    expected = twin_update(features, patterns, 1.3, states, above)
    np.testing.assert_allclose(found, expected, atol=200 * np.finfo(dtype).eps, rtol=0)


@pytest.mark.filterwarnings("ignore:Performer")
@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_averaged(kind):
    patterns, states = problem(15)
    features = RandomFeatures(8, 50, kind=kind, seed=16)
    each = [Performer(patterns, 1.0, features.redraw(i)).update(states) for i in range(4)]
    memory = Performer(patterns, 1.0, features, draws=4)
    np.testing.assert_allclose(memory.update(states), np.mean(each, axis=0), atol=1e-14)
    expected = np.sqrt(np.var(each, axis=0, ddof=1).sum(-1) / 4)
    np.testing.assert_allclose(memory.error_estimate(states), expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0.01, 0.5))
def test_the_estimate_tends_to_exact_retrieval(seed, d, beta):
    patterns, states = problem(seed, n=9, d=d, count=3)
    exact = hopfix.Hopfield(patterns, beta).update(states)
    memory = Performer(patterns, beta, RandomFeatures(d, 20_000, seed=seed))
    bound = predicted_error(patterns, beta, states, 20_000)
    assert (np.linalg.norm(memory.update(states) - exact, axis=1) <= 6 * bound + 1e-9).all()


@pytest.mark.parametrize("kind", ["exp", "cosh"])
def test_predicted_and_estimated_errors_are_those_of_many_draws(kind):
    patterns, states = problem(17, n=30, d=5, count=4, length=0.8)
    features = RandomFeatures(5, 1000, kind=kind, orthogonal=False, seed=18)
    exact = hopfix.Hopfield(patterns, 1.0).update(states)
    memories = [Performer(patterns, 1.0, features.redraw(i)) for i in range(200)]
    errors = [np.linalg.norm(m.update(states) - exact, axis=1) for m in memories]
    actual = np.sqrt(np.square(errors).mean(axis=0))
    predicted = predicted_error(patterns, 1.0, states, 1000, kind=kind)
    np.testing.assert_allclose(predicted, actual, rtol=0.2)
    estimated = np.sqrt(np.mean([m.error_estimate(states) ** 2 for m in memories[:50]], axis=0))
    assert (estimated > 0.8 * actual).all()
    assert (estimated < (2.5 if kind == "cosh" else 1.25) * actual).all()


def test_features_needed_reach_the_error():
    patterns, states = problem(19, n=20, d=4, count=3)
    for kind in ("exp", "cosh"):
        r = features_needed(patterns, 0.7, states, 0.01, kind=kind)
        assert r == int(r)
        assert predicted_error(patterns, 0.7, states, int(r), kind=kind).max() <= 0.01
        assert predicted_error(patterns, 0.7, states, int(r) - 2, kind=kind).max() > 0.0099
    assert features_needed(40 * patterns, 25.0, 40 * states, 0.01) == math.inf
    assert predicted_error(40 * patterns, 25.0, 40 * states, 10).max() == math.inf


def test_predicted_error_against_the_double_sum():
    patterns, states = problem(20, n=7, d=3, count=2)
    p = hopfix.Hopfield(patterns, 1.5).weights(states)
    for b, state in enumerate(states):
        away = patterns - p[b] @ patterns
        a = math.sqrt(1.5) * (patterns + state)
        total = sum(
            p[b, i] * p[b, k] * math.expm1(a[i] @ a[k]) * (away[i] @ away[k])
            for i in range(7)
            for k in range(7)
        )
        found = predicted_error(patterns, 1.5, state, 100)
        assert found == pytest.approx(math.sqrt(total / 100), rel=1e-9)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_patterns_come_and_go(kind, draws):
    patterns, states = problem(21)
    features = RandomFeatures(8, 40, kind=kind, seed=22)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        whole = Performer(patterns, 0.5, features, draws)
        part = Performer(patterns[:35], 0.5, features, draws)
        grown, shrunk = part.add(patterns[35:]), whole.remove(patterns[35:])
        assert (len(part), len(grown), len(shrunk)) == (35, 60, 35)
        np.testing.assert_allclose(grown.update(states), whole.update(states), atol=1e-12)
        np.testing.assert_allclose(shrunk.update(states), part.update(states), atol=1e-11)


def test_what_cannot_be_removed():
    patterns, _ = problem(23)
    memory = Performer(patterns, 0.5, RandomFeatures(8, 40, seed=24))
    with pytest.raises(ValueError, match="need fewer than all"):
        memory.remove(patterns)
    with pytest.raises(ValueError, match="need patterns that the memory holds"):
        memory.remove(np.zeros((50, 8)))
    with pytest.raises(ValueError, match="got dimension 3, need 8"):
        memory.add(np.ones((2, 3)))


def test_huge_norms_neither_overflow_nor_pass_unnoticed():
    patterns, states = problem(25, n=6, d=64, count=6, length=40.0)
    memory = Performer(patterns, 25.0, RandomFeatures(64, 256, seed=26))
    with pytest.warns(RuntimeWarning, match=r"worthless estimates for 6 of 6 states"):
        found = memory.update(states)
    assert np.isfinite(found).all()


def test_retrieve_iterates_update():
    patterns, states = problem(27, length=0.6)
    memory = Performer(patterns, 2.0, RandomFeatures(8, 3000, seed=28))
    result = memory.retrieve(states)
    assert result.converged.all()
    at_rest = memory.update(result.states)
    np.testing.assert_allclose(at_rest, result.states, atol=1e-11)
    np.testing.assert_allclose(
        np.linalg.norm(at_rest - result.states, axis=1), result.residual, atol=1e-13
    )
    once = memory.retrieve(states, max_steps=1)
    np.testing.assert_array_equal(once.states, memory.update(states))
    assert not once.converged.any()
    assert (once.steps == 1).all()
    alone = memory.retrieve(states[4])
    np.testing.assert_array_equal(alone.states, result.states[4])
    assert alone.steps == result.steps[4]


def test_shapes_and_pickles():
    patterns, states = problem(29)
    memory = Performer(patterns, 0.3, RandomFeatures(8, 500, seed=30))
    assert memory.update(states[0]).shape == (8,)
    assert memory.update(states[:6].reshape(2, 3, 8)).shape == (2, 3, 8)
    assert memory.error_estimate(states[:6].reshape(2, 3, 8)).shape == (2, 3)
    assert "60 patterns" in repr(memory)


def test_relu_without_offset_may_vanish():
    patterns, states = problem(31, d=30)
    memory = Performer(patterns, 1.0, RandomFeatures(30, 1, kind="relu", offset=0.0, seed=32))
    with pytest.raises(ValueError, match="need an offset above 0"):
        memory.update(np.concatenate([states, -states]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RandomFeatures(0, 5), "dim: got 0"),
        (lambda: RandomFeatures(3, 0), "n_features: got 0"),
        (lambda: RandomFeatures(3, 5, kind="sin"), "kind: got 'sin'"),
        (lambda: RandomFeatures(3, 5, kind="cosh"), "n_features: got 5, need an even number"),
        (lambda: RandomFeatures(3, 5, orthogonal=1), "orthogonal: got int"),
        (lambda: RandomFeatures(3, 5, offset=-1), "offset: got -1"),
        (lambda: RandomFeatures(3, 5, seed=-1), "seed: got -1"),
        (lambda: RandomFeatures(3, 5, seed=1).transform(np.ones(4)), "z: got"),
        (lambda: RandomFeatures(3, 5, kind="relu").relative_variance(np.ones(3), np.ones(3)), "no"),
        (
            lambda: RandomFeatures(3, 5).kernel(np.ones((2, 3)), np.ones((5, 3))),
            r"b: got shape \(5, 3\)",
        ),
        (lambda: Performer(np.eye(3), 1.0, "exp"), "features: got str, need RandomFeatures"),
        (lambda: Performer(np.eye(3), 1.0, RandomFeatures(4, 5)), "features: got dimension 4"),
        (lambda: Performer(np.eye(3), -1.0, RandomFeatures(3, 5)), "beta: got -1"),
        (lambda: Performer(np.eye(3), 1.0, RandomFeatures(3, 5), 0), "draws: got 0"),
        (
            lambda: Performer(np.eye(3), 1.0, RandomFeatures(3, 5), sparsify_above=np.nan),
            "sparsify_above: got nan, need a finite number",
        ),
        (
            lambda: Performer(np.eye(3), 1.0, RandomFeatures(3, 5), sparsify_above="x"),
            "sparsify_above",
        ),
        (lambda: predicted_error(np.eye(3), 1.0, np.ones(3), 5, kind="relu"), "kind: no formula"),
        (lambda: features_needed(np.eye(3), 1.0, np.ones(3), 0.0), "error: got 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
