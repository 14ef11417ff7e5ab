"""Reverse-mode derivatives, derivatives of fixed points, and the large cases of J."""

import os
import subprocess
import sys

import mpmath
import naive
import numpy as np
import pytest
from test_isa import LEVELS, supported

import hopfix

VARIABLES = ("states", "patterns", "beta", "log_weights")
PARAMETERS = VARIABLES[1:]
# N, d and batch on both sides of the tiles and blocks of every level.
SHAPES = [
    (1, 1, 1),
    (2, 3, 2),
    (7, 9, 3),
    (33, 31, 4),
    (17, 64, 9),
    (97, 33, 16),
    (200, 5, 17),
    (700, 20, 33),
    (9, 500, 3),
    (40, 100, 70),
]


def problem(N, d, batch, dtype=np.float64, seed=0):
    """(patterns, beta, log_weights, states) and cotangents."""
    rng = np.random.default_rng([seed, N, d])
    x, b, s, c = (rng.normal(size=shape) for shape in ((N, d), N, (batch, d), (batch, d)))
    x, b, s, c = (array.astype(dtype) for array in (x, b, s, c))
    return (x, 0.75 / np.sqrt(d), b, s), c


def network(data, threads=None):
    patterns, beta, log_weights, _ = data
    return hopfix.Hopfield(patterns, beta, log_weights=log_weights, num_threads=threads)


def twin(data, cotangents, eps=None):
    """The derivatives by their formulas in extended precision; with eps, their error bounds.

    The bounds are the formulas with absolute values, times the relative error of a weight and of
    the sums, as in naive.py.
    """
    x, _, s = naive._wide(data[0], data[2], data[3])
    c, beta, p = np.asarray(cotangents, naive.WIDE), naive.WIDE(data[1]), naive.weights(*data)
    y = c @ x.T
    g = p * (y - (p * y).sum(axis=1, keepdims=True))
    factor = naive.WIDE(1)
    if eps is not None:
        x, s, c = np.abs(x), np.abs(s), np.abs(c)
        y = c @ x.T
        error = naive.relative_weight_error(*data, eps)[:, None]
        error = 4 * error + 4 * eps * (sum(x.shape) + len(s) + 8)
        p, g = error * p, error * p * (y + (p * y).sum(axis=1, keepdims=True))
        factor += 1
    return {
        "states": factor * beta * (g @ x),
        "patterns": factor * (p.T @ c + beta * (g.T @ s)),
        "beta": factor * (g * (s @ x.T)).sum(),
        "log_weights": factor * g.sum(axis=0),
    }


def assert_gradients(got, data, cotangents, eps):
    __tracebackhide__ = True
    want, bound = twin(data, cotangents), twin(data, cotangents, eps)
    for name, value in zip(VARIABLES, got, strict=True):
        assert value.dtype == data[0].dtype
        assert value.shape == want[name].shape
        assert np.all(np.abs(value.astype(naive.WIDE) - want[name]) <= bound[name]), name


def weighted_rows(data):
    """sqrt(beta p_i) (x_i - f) of one state in float64, from extended weights: J = A'A."""
    p = naive.weights(*data).astype(float)
    x = data[0].astype(float)
    return np.sqrt(data[1] * p)[:, None] * (x - p @ x)


# ------------------------------------------------------------------------------------------- vjp


@pytest.mark.parametrize(("N", "d", "batch"), SHAPES)
def test_vjp_matches_the_twin(N, d, batch, dtype):
    data, c = problem(N, d, batch, dtype)
    assert_gradients(network(data).vjp(data[3], c, VARIABLES), data, c, np.finfo(dtype).eps)


def test_the_twin_is_the_derivative_of_the_update():
    data, c = problem(6, 4, 3)
    c, step = c.astype(naive.WIDE), naive.WIDE(1e-6)
    arrays = dict(zip(("patterns", "beta", "log_weights", "states"), data, strict=True))
    for name, gradient in twin(data, c).items():
        at = np.asarray(arrays[name], naive.WIDE)
        for place in np.ndindex(at.shape):
            ends = []
            for sign in (1, -1):
                moved = at.copy()
                moved[place] += sign * step
                ends.append((c * naive.update(*(arrays | {name: moved}).values())).sum())
            slope = (ends[0] - ends[1]) / (2 * step)
            assert abs(slope - gradient[place]) < 1e-9


@pytest.mark.parametrize(("N", "d", "batch"), [(33, 31, 4), (700, 20, 33), (5, 300, 1)])
def test_vjp_matches_autograd(N, d, batch):
    torch = pytest.importorskip("torch")
    data, c = problem(N, d, batch)
    x, beta, b, s = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in data)
    update = torch.softmax(beta * (s @ x.T) + b, dim=-1) @ x
    (update * torch.from_numpy(c)).sum().backward()
    got = network(data).vjp(data[3], c, VARIABLES)
    for value, want in zip(got, (s.grad, x.grad, beta.grad, b.grad), strict=True):
        size = max(1.0, float(want.abs().max()))
        np.testing.assert_allclose(value, want.numpy(), rtol=0, atol=1e-12 * size)


def test_wrt_chooses_and_orders_the_answers(dtype):
    data, c = problem(7, 5, 6, dtype)
    net, states = network(data), data[3].reshape(2, 3, 5)
    c = c.reshape(2, 3, 5)
    everything = dict(zip(VARIABLES, net.vjp(states, c, VARIABLES), strict=True))
    shapes = {name: value.shape for name, value in everything.items()}
    assert shapes == {"states": (2, 3, 5), "patterns": (7, 5), "beta": (), "log_weights": (7,)}
    for wrt in (("beta",), ("log_weights", "patterns"), ["patterns", "states", "beta"]):
        got = net.vjp(states, c, wrt)
        assert isinstance(got, tuple)
        for name, value in zip(wrt, got, strict=True):
            np.testing.assert_array_equal(value, everything[name])
    np.testing.assert_array_equal(net.vjp(states, c, "patterns"), everything["patterns"])
    np.testing.assert_array_equal(net.vjp(states, c), net.vjp(states, c, "states"))
    np.testing.assert_array_equal(net.vjp(states, c), net.jvp(states, c))


@pytest.mark.parametrize(("N", "d", "batch"), [(700, 20, 70), (3, 5, 2500), (1500, 100, 3)])
def test_vjp_is_bitwise_the_same_for_every_number_of_threads(N, d, batch, dtype):
    data, c = problem(N, d, batch, dtype)
    alone = network(data, 1).vjp(data[3], c, VARIABLES)
    for threads in (2, 3):
        for a, b in zip(network(data, threads).vjp(data[3], c, VARIABLES), alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_state_part_of_vjp_does_not_depend_on_the_batch(dtype):
    data, c = problem(300, 33, 40, dtype)
    net = network(data)
    together = net.vjp(data[3], c, ("states", "beta"))[0]
    for size in (1, 3, 7, 19):
        part = net.vjp(data[3][:size], c[:size], ("states", "beta"))[0]
        np.testing.assert_array_equal(part, together[:size])


def test_a_large_batch_is_the_sum_of_its_slices():
    data, c = problem(3, 4, 5000)
    got = network(data).vjp(data[3], c, PARAMETERS)
    want = twin(data, c)
    for name, value in zip(PARAMETERS, got, strict=True):
        np.testing.assert_allclose(value, want[name].astype(float), rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize("method", ["vjp", "vjp_fixed_point"])
@pytest.mark.parametrize("wrt", ["pattern", "", "Beta", ("beta", "nu"), (), ("beta", "beta")])
def test_wrt_must_name_variables(method, wrt):
    data, c = problem(4, 3, 2)
    with pytest.raises(ValueError, match=r"^wrt: "):
        getattr(network(data), method)(data[3], c, wrt)


@pytest.mark.parametrize("method", ["vjp", "vjp_fixed_point"])
@pytest.mark.parametrize("wrt", [None, 3, {"beta": 1}, ("beta", 2), np.ones(2)], ids=str)
def test_wrt_must_be_names(method, wrt):
    data, c = problem(4, 3, 2)
    with pytest.raises(TypeError, match=r"^wrt: "):
        getattr(network(data), method)(data[3], c, wrt)


def test_a_fixed_point_has_no_derivative_by_the_state_it_was_reached_from():
    data, c = problem(4, 3, 2)
    with pytest.raises(ValueError, match="wrt: got 'states'"):
        network(data).vjp_fixed_point(data[3], c, "states")


@pytest.mark.parametrize("tol", [-1.0, np.nan, np.inf])
def test_the_tolerance_must_be_finite_and_not_negative(tol):
    data, c = problem(4, 3, 2)
    with pytest.raises(ValueError, match=r"^tol: "):
        network(data).vjp_fixed_point(data[3], c, tol=tol)


def test_states_that_are_not_fixed_points_are_named():
    data, c = problem(4, 3, 4)
    net = network(data)
    states = net.retrieve(data[3]).states
    states[[1, 3]] += 0.01
    with pytest.raises(ValueError, match="states: not fixed points at 1, 3"):
        net.vjp_fixed_point(states, c)


def test_degenerate_fixed_points_are_named(dtype):
    net = hopfix.Hopfield(np.array([[-1.0], [1.0]], dtype), 1.0)  # J(0) = 1
    with pytest.raises(ValueError, match=r"states: I − J is singular at 0"):
        net.vjp_fixed_point(np.zeros((1, 1), dtype), np.ones((1, 1), dtype), "beta")


def test_vjp_that_overflows_is_an_error():
    net = hopfix.Hopfield(np.full((2, 2), 1e30, np.float32), 1.0)
    with pytest.raises(ValueError, match="overflow"):
        net.vjp(np.full(2, 1e30, np.float32), np.ones(2, np.float32), ("patterns",))


# ------------------------------------------------------------- derivatives of a converged retrieval


def fixed_point_gradients(data, cotangent, state):
    """(I - J) lambda = c in float64, then the twin's vjp."""
    rows = weighted_rows((*data[:3], state))
    adjoint = np.linalg.solve(np.eye(len(state)) - rows.T @ rows, cotangent)
    return twin((*data[:3], state[None]), adjoint[None])


@pytest.mark.parametrize(("N", "d"), [(5, 3), (3, 6), (40, 20)])
def test_the_derivative_of_a_retrieval_is_that_of_finite_differences(N, d):
    data, c = problem(N, d, 1)
    net = network(data)
    state = net.retrieve(data[3][0], tol=1e-15, max_steps=20000).states
    gradients = dict(zip(PARAMETERS, net.vjp_fixed_point(state, c[0], PARAMETERS), strict=True))
    arrays = dict(zip(PARAMETERS, data, strict=False))
    rng = np.random.default_rng(1)
    for name, gradient in gradients.items():
        direction = rng.normal(size=np.shape(gradient))
        ends = []
        for step in (1e-5, -1e-5):
            moved = arrays | {name: arrays[name] + step * direction}
            other = network((*moved.values(), None))
            reached = other.retrieve(state, tol=1e-15, max_steps=20000)
            ends.append(c[0] @ reached.states)
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx(np.sum(gradient * direction), rel=1e-6, abs=1e-8)


def test_the_derivative_of_an_unstable_fixed_point_is_that_of_fifty_digits():
    patterns, beta, b = naive.unit_patterns(3, 5, 0), 6.0, np.zeros(5)
    net = hopfix.Hopfield(patterns, beta)
    found = net.fixed_points()
    saddle = next(p.state for p in found if p.morse_index == 1)
    c = np.array([1.0, -2.0, 0.5])
    gradients = dict(zip(PARAMETERS, net.vjp_fixed_point(saddle, c, PARAMETERS), strict=True))
    arrays = {"patterns": patterns, "beta": np.float64(beta), "log_weights": b}
    with mpmath.workdps(naive.DIGITS):
        step = 2.0**-20  # exact in every array
        for name, gradient in gradients.items():
            place = (0,) * np.ndim(gradient)
            ends = []
            for sign in (1, -1):
                moved = {k: np.array(v) for k, v in arrays.items()}
                moved[name][place] += sign * step
                point = naive.newton_mp(*moved.values(), saddle)
                ends.append(mpmath.fdot(c.tolist(), point))
            slope = float((ends[0] - ends[1]) / (2 * step))
            assert gradient[place] == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_many_fixed_points_sum_and_float32_comes_back(dtype):
    data, c = problem(12, 7, 9, dtype)
    net = network(data)
    states = net.retrieve(data[3]).states
    got = net.vjp_fixed_point(states.reshape(3, 3, 7), c.reshape(3, 3, 7), PARAMETERS)
    parts = [
        fixed_point_gradients(data, v.astype(float), s) for v, s in zip(c, states, strict=True)
    ]
    for name, value in zip(PARAMETERS, got, strict=True):
        want = sum(part[name] for part in parts).astype(float)
        assert value.dtype == dtype
        rtol = 1e-6 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(value, want, rtol=rtol, atol=rtol * np.abs(want).max())


@pytest.mark.parametrize(("N", "d"), [(800, 900), (900, 800)])
def test_large_systems_are_solved_without_a_matrix(N, d):
    rng = np.random.default_rng(3)
    patterns = rng.normal(size=(N, d)) / np.sqrt(d)
    net = hopfix.Hopfield(patterns, 0.15 * d)
    state = net.retrieve(patterns.mean(axis=0), max_steps=5000).states
    assert 0.3 < net.spectral_radius(state) < 0.95  # I - J is neither trivial nor singular
    c = rng.normal(size=d)
    data = (patterns, net.beta, None, state)
    got = net.vjp_fixed_point(state, c, "patterns")
    want = fixed_point_gradients(data, c, state)["patterns"].astype(float)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10 * np.abs(want).max())


# --------------------------------------------------------------------------------------- jacobian


@pytest.mark.parametrize(("N", "d"), [(1500, 40), (5000, 9), (300, 150), (1030, 64)])
def test_jacobians_are_bitwise_the_same_for_threads_and_batches(N, d, dtype):
    data, _ = problem(N, d, 17, dtype)
    states = data[3]
    together = network(data, 2).jacobian(states)
    for threads in (1, 2, 3):
        net = network(data, threads)
        np.testing.assert_array_equal(net.jacobian(states), together)
        np.testing.assert_array_equal(net.jacobian(states[:2]), together[:2])
        np.testing.assert_array_equal(net.jacobian(states[5]), together[5])
    np.testing.assert_array_equal(together, np.swapaxes(together, 1, 2))
    eps = np.finfo(dtype).eps
    three = (*data[:3], states[:3])
    error = np.abs(together[:3].astype(naive.WIDE) - naive.jacobian(*three))
    assert np.all(error <= naive.jacobian_error(*three, eps))


def test_jacobians_do_not_depend_on_where_arrays_lie(dtype):
    data, _ = problem(70, 19, 3, dtype)
    want = network(data).jacobian(data[3])
    for shift in (1, 2, 3, 5, 8):
        buffer = np.empty(data[3].size + 16, dtype)
        moved = buffer[shift : shift + data[3].size].reshape(data[3].shape)
        moved[:] = data[3]
        np.testing.assert_array_equal(network(data).jacobian(moved), want)


@pytest.mark.parametrize("beta", [1.0, 10.0, 40.0, 200.0])
def test_dropping_patterns_without_weight_changes_nothing_that_counts(beta, dtype):
    patterns = naive.unit_patterns(6, 200, 5).astype(dtype)
    data = (patterns, beta, None, patterns[:4])
    eps = np.finfo(dtype).eps
    error = np.abs(hopfix.Hopfield(patterns, beta).jacobian(patterns[:4]) - naive.jacobian(*data))
    q = 1 - naive.weights(*data).max(axis=1)[:, None, None]
    dropped = beta * (eps / 2) ** 2 * q * 4  # |x_i - f| <= 2
    assert np.all(error <= naive.jacobian_error(*data, eps) + dropped)


# -------------------------------------------------------------------------------- spectral radius


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0, 30.0])
@pytest.mark.parametrize(("N", "d"), [(65, 65), (300, 120), (120, 300), (400, 70), (70, 1000)])
def test_the_spectral_radius_is_that_of_a_dense_solver(N, d, scale, dtype):
    data, _ = problem(N, d, 2, dtype)
    data = (data[0], scale / np.sqrt(d), *data[2:])
    got = network(data).spectral_radius(data[3])
    rows = [weighted_rows((*data[:3], state)) for state in data[3]]
    want = np.array([np.linalg.svd(a, compute_uv=False)[0] ** 2 for a in rows])
    # Weights err by logit_error in float32; the eigenvalue then does, relatively.
    relative = naive.relative_weight_error(*data, np.finfo(dtype).eps).astype(float)
    slack = 1e-6 if dtype == np.float32 else 1e-9
    assert np.all(np.abs(got - want) <= (relative + slack) * want + 1e-14)


def test_the_spectral_radius_of_structured_patterns():
    n = 150
    # Orthonormal patterns at their centre: J = beta/N (I - 11'/N), one eigenvalue N - 1 times.
    net = hopfix.Hopfield(np.eye(n), 3.0)
    assert net.spectral_radius(np.full(n, 1 / n)) == pytest.approx(3.0 / n, rel=1e-12)
    # Two clusters: rank one.
    ends = np.outer(np.repeat([1.0, -1.0], n // 2), np.ones(200) / np.sqrt(200))
    assert hopfix.Hopfield(ends, 0.7).spectral_radius(np.zeros(200)) == pytest.approx(0.7)
    # One pattern many times: J = 0 up to rounding.
    assert hopfix.Hopfield(np.ones((100, 100))).spectral_radius(np.zeros(100)) < 1e-25


def test_the_top_of_a_cluster_of_eigenvalues_is_found():
    d = 200
    spread = np.sqrt(1 - 1e-6 * np.arange(d))  # eigenvalues a millionth apart
    patterns = np.vstack([np.diag(spread), -np.diag(spread)])
    net = hopfix.Hopfield(patterns, 1.0)
    assert net.spectral_radius(np.zeros(d)) == pytest.approx(1 / d, rel=1e-9)


def test_the_spectral_radius_is_bitwise_the_same_for_threads_and_batches(dtype):
    data, _ = problem(500, 130, 9, dtype)
    together = network(data, 1).spectral_radius(data[3])
    for threads in (2, 3):
        net = network(data, threads)
        np.testing.assert_array_equal(net.spectral_radius(data[3]), together)
        alone = [net.spectral_radius(s) for s in data[3]]
        np.testing.assert_array_equal(alone, together)


# -------------------------------------------------------------------------------- every ISA level

SCRIPT = """
import sys
import numpy as np, hopfix
from test_derivatives import SHAPES, VARIABLES, network, problem
out = {}
for shape in SHAPES:
    for dtype in (np.float32, np.float64):
        data, c = problem(*shape, dtype)
        net, key = network(data), f"{shape}-{np.dtype(dtype).name}"
        for name, value in zip(VARIABLES, net.vjp(data[3], c, VARIABLES)):
            out[f"{key}-{name}"] = value
        out[f"{key}-jacobian"] = net.jacobian(data[3][:2])
        out[f"{key}-spectral_radius"] = net.spectral_radius(data[3][:2])
np.savez(sys.argv[1], **out)
print(hopfix.get_config()["isa"])
"""


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_agrees_with_the_twin(level, tmp_path):
    if not supported(level):
        pytest.skip(f"this CPU has no {level}")
    env = os.environ | {"HOPFIX_ISA": level, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out.npz")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == level
    out = np.load(tmp_path / "out.npz")
    for shape in SHAPES:
        for dtype in (np.float32, np.float64):
            data, c = problem(*shape, dtype)
            key, eps = f"{shape}-{np.dtype(dtype).name}", np.finfo(dtype).eps
            assert_gradients([out[f"{key}-{name}"] for name in VARIABLES], data, c, eps)
            two = (*data[:3], data[3][:2])
            j, bound = naive.jacobian(*two), naive.jacobian_error(*two, eps)
            assert np.all(np.abs(out[f"{key}-jacobian"] - j) <= bound)
            radius = np.linalg.eigvalsh(j.astype(float))[:, -1]
            slack = np.sqrt((bound**2).sum(axis=(1, 2))) + 1e-6 * np.abs(radius)
            assert np.all(np.abs(out[f"{key}-spectral_radius"] - np.maximum(radius, 0)) <= slack)
