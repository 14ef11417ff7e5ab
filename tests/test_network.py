"""Hopfield.update, weights, energy, jacobian, jvp, vjp, spectral_radius against the naive twin."""

import naive
import numpy as np
import pytest
from scipy.stats import gaussian_kde

import hopfix

SIZES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100]  # around the SIMD widths and their tails
METHODS = ["update", "weights", "energy", "jacobian", "spectral_radius", "jvp", "vjp"]


def problem(N, d, shape, dtype, *, seed=0, weighted=False):
    """Patterns, beta, log-weights, states and directions of ordinary size, rounded to dtype."""
    rng = np.random.default_rng([seed, N, d])
    patterns = rng.normal(size=(N, d)).astype(dtype)
    states = rng.normal(size=(*shape, d)).astype(dtype)
    t = rng.normal(size=(*shape, d)).astype(dtype)
    log_weights = rng.normal(size=N).astype(dtype) if weighted else None
    return patterns, 0.75 / np.sqrt(d), log_weights, states, t


def call(net, method, states, t):
    """net.method(states), with the direction for jvp and vjp."""
    return (
        getattr(net, method)(states, t)
        if method in ("jvp", "vjp")
        else getattr(net, method)(states)
    )


def assert_within(actual, expected, bound):
    """|actual - expected| <= bound entry by entry (NaN fails)."""
    __tracebackhide__ = True
    actual = np.asarray(actual)
    assert actual.shape == np.shape(expected)
    error = np.abs(actual.astype(np.longdouble) - expected)
    worst = np.max(np.where(error <= bound, 0, error / bound), initial=0) if error.size else 0
    assert worst == 0, f"error is {float(worst):.3g} times the bound"


def assert_all_methods(net, patterns, beta, log_weights, states, t, dtype):
    """Every method of `net` agrees with the twin within the a-priori rounding bounds."""
    __tracebackhide__ = True
    data = (patterns, beta, log_weights, states)
    eps = np.finfo(dtype).eps
    assert_within(net.weights(states), naive.weights(*data), naive.weights_error(*data, eps))
    assert_within(net.update(states), naive.update(*data), naive.update_error(*data, eps))
    assert_within(net.energy(states), naive.energy(*data), naive.energy_error(*data, eps))
    j, j_error = naive.jacobian(*data), naive.jacobian_error(*data, eps)
    assert_within(net.jacobian(states), j, j_error)
    jt, jt_error = naive.jvp(*data, t), naive.jvp_error(*data, t, eps)
    assert_within(net.jvp(states, t), jt, jt_error)
    assert_within(net.vjp(states, t), jt, jt_error)  # J is symmetric
    radius = np.linalg.eigvalsh(j.astype(np.float64))[..., -1]
    # Weyl: an eigenvalue moves by at most |error|_F; 2e-4 and 1e-9 relative are for an
    # iterative method.
    slack = (
        np.sqrt((j_error**2).sum(axis=(-2, -1))) + (2e-4 if dtype == np.float32 else 1e-9) * radius
    )
    assert_within(net.spectral_radius(states), np.maximum(radius, 0), slack)


@pytest.mark.parametrize("d", SIZES)
@pytest.mark.parametrize("N", SIZES)
def test_every_method_matches_the_twin(N, d, dtype):
    patterns, beta, _, states, t = problem(N, d, (3,), dtype)
    net = hopfix.Hopfield(patterns, beta)
    assert_all_methods(net, patterns, beta, None, states, t, dtype)


@pytest.mark.parametrize("N", SIZES)
def test_log_weights_match_the_twin(N, dtype):
    patterns, beta, log_weights, states, t = problem(N, 5, (4,), dtype, weighted=True)
    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    assert_all_methods(net, patterns, beta, log_weights, states, t, dtype)


def test_log_weights_are_used():
    patterns, beta, log_weights, states, _ = problem(6, 5, (4,), np.float64, weighted=True)
    plain = hopfix.Hopfield(patterns, beta).update(states)
    weighted = hopfix.Hopfield(patterns, beta, log_weights=log_weights).update(states)
    assert np.abs(plain - weighted).max() > 1e-3


@pytest.mark.parametrize(("N", "d"), [(1000, 3), (3, 1000), (1500, 300), (300, 1)])
def test_sizes_beyond_one_tile(N, d, dtype):
    patterns, beta, _, states, _ = problem(N, d, (5,), dtype)
    net = hopfix.Hopfield(patterns, beta)
    data, eps = (patterns, beta, None, states), np.finfo(dtype).eps
    assert_within(net.weights(states), naive.weights(*data), naive.weights_error(*data, eps))
    assert_within(net.update(states), naive.update(*data), naive.update_error(*data, eps))
    assert_within(net.energy(states), naive.energy(*data), naive.energy_error(*data, eps))


@pytest.mark.parametrize("method", METHODS)
def test_a_state_alone_and_in_any_batch_is_bitwise_the_same(method, dtype):
    patterns, beta, _, states, t = problem(37, 11, (70,), dtype)
    net = hopfix.Hopfield(patterns, beta)
    alone = np.stack([call(net, method, s, v) for s, v in zip(states, t, strict=True)])
    for batch in range(1, 71):
        np.testing.assert_array_equal(call(net, method, states[:batch], t[:batch]), alone[:batch])
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(call(net, method, states[order], t[order]), alone[order])


@pytest.mark.parametrize("batch", [1, 3, 200])
@pytest.mark.parametrize(("N", "d"), [(700, 40), (5, 300), (2000, 7), (600, 512)])
def test_update_in_a_batch_is_bitwise_the_update_alone_at_larger_sizes(N, d, batch, dtype):
    patterns, beta, _, states, _ = problem(N, d, (batch,), dtype)
    net = hopfix.Hopfield(patterns, beta)
    together = net.update(states)
    np.testing.assert_array_equal(together, np.stack([net.update(s) for s in states]))


# ------------------------------------------------------------------------------ arrays in and out


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 4)], ids=str)
def test_leading_shape_and_dtype_are_kept(shape, dtype):
    N, d = 4, 5
    patterns, beta, _, states, t = problem(N, d, shape, dtype)
    net = hopfix.Hopfield(patterns, beta)
    tails = {
        "update": (d,),
        "weights": (N,),
        "energy": (),
        "jacobian": (d, d),
        "jvp": (d,),
        "vjp": (d,),
        "spectral_radius": (),
    }
    for method, tail in tails.items():
        result = call(net, method, states, t)
        assert np.shape(result) == shape + tail, method
        assert np.asarray(result).dtype == dtype, method
    assert_all_methods(net, patterns, beta, None, states, t, dtype)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row of a larger array": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column of a larger array": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "negative row stride": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "negative column stride": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "misaligned": lambda a: _misaligned(a),
    "read-only": lambda a: _read_only(a),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


def _misaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_memory_layout_does_not_matter(layout, dtype):
    patterns, beta, log_weights, states, t = problem(9, 6, (5,), dtype, weighted=True)
    want = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    strange_weights = layout(log_weights[:, None])[:, 0]
    net = hopfix.Hopfield(layout(patterns), beta, log_weights=strange_weights)
    assert net.dtype == dtype
    np.testing.assert_array_equal(net.patterns, patterns)
    for method in METHODS:
        np.testing.assert_array_equal(
            call(net, method, layout(states), layout(t)),
            call(want, method, states, t),
            err_msg=method,
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("N", "d"), [(9, 6), (40, 33), (200, 17)])
def test_the_address_of_the_states_does_not_matter(N, d, method, dtype):
    # Every alignment modulo a 64-byte vector: no sum may start where its buffer happens to start.
    patterns, beta, _, states, t = problem(N, d, (5,), dtype)
    net, want = hopfix.Hopfield(patterns, beta), None
    for offset in range(64 // np.dtype(dtype).itemsize):
        room = np.empty((2, states.size + offset), dtype)
        moved = [row[offset:].reshape(states.shape) for row in room]
        moved[0][...], moved[1][...] = states, t
        got = call(net, method, *moved)
        want = got if want is None else want
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("method", METHODS)
def test_broadcast_states_with_stride_zero(method, dtype):
    patterns, beta, _, state, t = problem(9, 6, (), dtype)
    net = hopfix.Hopfield(patterns, beta)
    many = call(net, method, np.broadcast_to(state, (4, 6)), np.broadcast_to(t, (4, 6)))
    np.testing.assert_array_equal(many, np.stack([call(net, method, state, t)] * 4))


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.uint64, np.bool_, list])
def test_integers_and_bools_become_float64(kind):
    rows = np.array([[1, 0, 1], [0, 1, 1]])
    given = rows.tolist() if kind is list else rows.astype(kind)
    net = hopfix.Hopfield(given, 2.0)
    assert net.dtype == np.float64
    result = net.update(given)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(
        result, hopfix.Hopfield(rows.astype(float), 2.0).update(rows.astype(float))
    )


@pytest.mark.parametrize("method", METHODS)
def test_states_are_converted_to_the_dtype_of_the_network(method, dtype):
    patterns, beta, _, _, _ = problem(9, 6, (5,), dtype)
    other = np.float64 if dtype == np.float32 else np.float32
    rng = np.random.default_rng(3)
    states, t = rng.normal(size=(5, 6)).astype(other), rng.normal(size=(5, 6)).astype(other)
    net = hopfix.Hopfield(patterns, beta)
    result = call(net, method, states, t)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, call(net, method, states.astype(dtype), t.astype(dtype)))


def test_results_never_alias_inputs(dtype):
    patterns, beta, _, states, t = problem(4, 4, (4,), dtype)
    kept = [a.copy() for a in (patterns, states, t)]
    net = hopfix.Hopfield(patterns, beta)
    results = [call(net, method, states, t) for method in METHODS]
    results += [net.retrieve(states, max_steps=0).states, net.retrieve(states, max_steps=3).states]
    for result in results:
        assert not any(np.may_share_memory(result, a) for a in (patterns, states, t, net.patterns))
        result[...] = 7  # writable, and nobody else's
    for array, copy in zip((patterns, states, t), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(
        net.update(states), hopfix.Hopfield(kept[0], beta).update(kept[1])
    )


def test_attributes_are_a_read_only_copy(dtype):
    patterns, _, log_weights, states, _ = problem(4, 3, (2,), dtype, weighted=True)
    net = hopfix.Hopfield(patterns, 0.5, log_weights=log_weights)
    before, kept, kept_weights = net.update(states), patterns.copy(), log_weights.copy()
    patterns[...] = 0
    log_weights[...] = 0
    np.testing.assert_array_equal(net.patterns, kept)
    np.testing.assert_array_equal(net.log_weights, kept_weights)
    np.testing.assert_array_equal(net.update(states), before)
    with pytest.raises(ValueError, match="read-only"):
        net.patterns[0, 0] = 1
    assert net.beta == 0.5
    assert net.dtype == dtype


def test_the_state_of_one_pattern_is_that_pattern(dtype):
    pattern = np.array([[1.5, -2.0, 0.25]], dtype)
    net = hopfix.Hopfield(pattern, 3.0)
    state = np.array([9.0, 1.0, -4.0], dtype)
    np.testing.assert_array_equal(net.update(state), pattern[0])
    np.testing.assert_array_equal(net.weights(state), [1])
    np.testing.assert_array_equal(net.jacobian(state), np.zeros((3, 3)))
    assert net.spectral_radius(state) == 0


# ---------------------------------------------------------------------------------- extreme sizes


def test_logits_of_a_million_neither_overflow_nor_lose_the_answer(dtype):
    # All products and sums are integers below 2^24: the logits are exact in both dtypes, so no
    # digit is lost.
    patterns = np.array([[1000, 0], [1000, 1], [1000, -2], [-1000, 3]], dtype)
    net = hopfix.Hopfield(patterns, 1.0)
    for state in ([1000, 1], [-1000, 1], [1000, -3]):
        want = np.array([float(p) for p in naive.weights_mp(patterns, 1.0, None, state)])
        got = net.weights(np.array(state, dtype))
        # exp: 1 ulp; 4 terms summed; one division
        assert np.all(np.abs(got - want) <= 8 * np.finfo(dtype).eps * want + np.finfo(dtype).tiny)
        value = np.array([float(v) for v in naive.update_mp(patterns, 1.0, None, state)])
        scale = np.abs(patterns.astype(float)).T @ want
        assert np.all(
            np.abs(net.update(np.array(state, dtype)) - value) <= 16 * np.finfo(dtype).eps * scale
        )


def test_general_logits_of_a_million_match_fifty_digits():
    patterns, _, _, states, t = problem(12, 5, (6,), np.float64)
    patterns, states = patterns * 1e3, states * 1e3
    net = hopfix.Hopfield(patterns, 1.0)
    data = (patterns, 1.0, None, states)
    want = np.array([[float(v) for v in naive.update_mp(patterns, 1.0, None, s)] for s in states])
    assert_within(net.update(states), want, naive.update_error(*data, np.finfo(float).eps))
    assert np.isfinite(net.energy(states)).all()
    assert np.isfinite(net.jacobian(states)).all()
    assert np.isfinite(net.jvp(states, t)).all()


@pytest.mark.parametrize("beta", [1e4, 1e8])
def test_huge_beta_in_float64_matches_fifty_digits(beta):
    patterns = naive.unit_patterns(4, 6, 0)
    # Between two patterns, where the weights are decided by the last digits of the logits.
    states = np.array(
        [(patterns[0] + patterns[1]) / 2 + 1e-9 * patterns[2], patterns[3], -patterns[4]]
    )
    net = hopfix.Hopfield(patterns, beta)
    data = (patterns, beta, None, states)
    eps = np.finfo(float).eps
    want = np.array([[float(p) for p in naive.weights_mp(patterns, beta, None, s)] for s in states])
    assert_within(net.weights(states), want, naive.weights_error(*data, eps))
    want = np.array([[float(v) for v in naive.update_mp(patterns, beta, None, s)] for s in states])
    assert_within(net.update(states), want, naive.update_error(*data, eps))


def test_huge_beta_returns_the_memory_itself(dtype):
    patterns = naive.unit_patterns(4, 6, 0).astype(dtype)
    net = hopfix.Hopfield(patterns, 1e8)
    np.testing.assert_array_equal(net.update(patterns), patterns)
    np.testing.assert_array_equal(net.weights(patterns), np.eye(6))
    assert np.isfinite(net.energy(patterns)).all()


def test_tiny_beta_gives_the_mean_and_a_finite_energy(dtype):
    patterns, _, _, states, t = problem(7, 4, (3,), dtype)
    net = hopfix.Hopfield(patterns, 1e-12)
    assert_all_methods(net, patterns, 1e-12, None, states, t, dtype)
    mean = np.broadcast_to(patterns.mean(axis=0, dtype=np.float64), (3, 4))
    np.testing.assert_allclose(net.update(states), mean, atol=16 * np.finfo(dtype).eps)


def test_the_jacobian_of_a_sharp_memory_is_not_cancelled_away():
    # Centred patterns keep the tiny eigenvalues: beta p ~ 1e-12 and below, far under the
    # rounding of f f'. The bound contains the rounding of f squared (eps^2), so at beta = 30
    # it is relative, about 1e-13.
    patterns = np.eye(3)
    data = (patterns, 30.0, None, patterns)
    eps = np.finfo(float).eps
    want, bound = naive.jacobian(*data), naive.jacobian_error(*data, eps)
    assert np.trace(want[0]) < 2e-11  # of f f', which is 1, five digits would be left
    net = hopfix.Hopfield(patterns, 30.0)
    assert_within(net.jacobian(patterns), want, bound)
    expected = np.linalg.eigvalsh(want.astype(float))[:, -1]
    np.testing.assert_allclose(net.spectral_radius(patterns), expected, rtol=1e-6)


@pytest.mark.parametrize("N", [1500, 1600, 4000])
@pytest.mark.parametrize("batch", [1, 3, 33])
def test_jvp_of_patterns_that_drift_far_from_the_first(N, batch, dtype):
    # One end weighs as much as the other, and x . t differs by 40 standard deviations between
    # them: a derivative summed about the first patterns' mean and not moved to that of all fails.
    patterns, _, _, states, t = problem(N, 5, (batch,), dtype)
    patterns += np.linspace(-20, 20, N, dtype=dtype)[:, None]
    states -= states.mean(axis=-1, keepdims=True)
    data = (patterns, 0.3, None, states)
    net = hopfix.Hopfield(patterns, 0.3)
    assert_within(
        net.jvp(states, t), naive.jvp(*data, t), naive.jvp_error(*data, t, np.finfo(dtype).eps)
    )
    np.testing.assert_array_equal(net.jvp(states[0], t[0]), net.jvp(states, t)[0])


# ------------------------------------------------------------------- Gaussian mixtures (mean shift)


def mixture(d, N, h, seed):
    """A SciPy KDE of isotropic bandwidth h and the network of the same mixture."""
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.5, 1.5, N)
    w /= w.sum()
    points = rng.normal(size=(N, d))
    covariance = np.atleast_2d(np.cov(points.T, aweights=w, bias=False))  # SciPy's own choice
    points = np.linalg.solve(
        np.linalg.cholesky(covariance), points.T
    ).T  # white: its kernel is h^2 I
    kde = gaussian_kde(points.T, bw_method=h, weights=w)
    beta = 1 / h**2
    log_weights = np.log(w) - beta * (points**2).sum(axis=1) / 2
    return kde, hopfix.Hopfield(points, beta, log_weights=log_weights), beta


def gradient_of_log_density(kde, point, h=1e-5):
    """Central differences: truncation h^2 beta^2 ~ 1e-8, rounding 1e-16/h ~ 1e-11."""
    steps = h * np.eye(len(point))
    return np.array(
        [(kde.logpdf(point + s)[0] - kde.logpdf(point - s)[0]) / (2 * h) for s in steps]
    )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_update_is_the_mean_shift_step_of_a_scipy_kde(d):
    kde, net, beta = mixture(d, 30, 0.4, seed=d)
    for point in np.random.default_rng(9).normal(size=(5, d)):
        step = net.update(point) - point
        np.testing.assert_allclose(beta * step, gradient_of_log_density(kde, point), atol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_energy_is_the_log_density_of_a_scipy_kde(d):
    kde, net, beta = mixture(d, 30, 0.4, seed=d)
    points = np.random.default_rng(9).normal(size=(6, d))
    sum_ = -beta * net.energy(points) - kde.logpdf(points.T)
    np.testing.assert_allclose(sum_, sum_[0], atol=1e-11)  # beta E = -log density + const


@pytest.mark.parametrize("d", [1, 2, 3])
def test_retrieved_states_are_critical_points_of_a_scipy_kde(d):
    kde, net, _ = mixture(d, 30, 0.4, seed=d)
    found = net.retrieve(np.random.default_rng(9).normal(size=(5, d)), max_steps=100_000)
    assert found.converged.all()
    for point in found.states:
        np.testing.assert_allclose(gradient_of_log_density(kde, point), 0, atol=1e-6)


def test_every_fixed_point_is_a_critical_point_of_a_scipy_kde():
    kde, net, _ = mixture(2, 12, 0.3, seed=5)
    found = net.fixed_points("starts")
    assert (found.morse_index > 0).any()  # saddles too
    for point in found.states:
        np.testing.assert_allclose(gradient_of_log_density(kde, point), 0, atol=1e-6)


# --------------------------------------------------------------------------------- configuration


def test_configuration_names_what_was_built():
    config = hopfix.get_config()
    assert {"version", "isa", "isa_built", "threads", "compiler", "eigen"} <= set(config)
    assert config["isa"] in config["isa_built"]
    assert config["threads"] >= 1
    assert config["version"] == hopfix.__version__


def test_show_config_prints_or_returns_it(capsys):
    text = str(hopfix.show_config()) + capsys.readouterr().out
    for key in ("version", "isa", "threads"):
        assert key in text
    assert hopfix.get_config()["isa"] in text


@pytest.mark.parametrize("method", METHODS)
def test_arrays_that_begin_at_any_byte(method, dtype):
    """As buffers of other processes do; only `.ci/sanitize` sees a load that is not aligned."""

    def moved(array):
        buffer = np.empty(array.nbytes + 1, np.uint8)
        buffer[1:] = array.view(np.uint8).ravel()
        there = buffer[1:].view(dtype).reshape(array.shape)
        assert not there.flags.aligned
        return there

    patterns, beta, log_weights, states, t = problem(40, 17, (5,), dtype, weighted=True)
    here = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    there = hopfix.Hopfield(moved(patterns), beta, log_weights=moved(log_weights))
    np.testing.assert_array_equal(
        call(there, method, moved(states), moved(t)), call(here, method, states, t)
    )
