"""Hopfield.retrieve: when it stops, what it counts, and that a query never depends on its batch."""

import naive
import numpy as np
import pytest

import hopfix

DEFAULT_TOL = {np.float32: 1e-6, np.float64: 1e-12}


def slow_problem(dtype, batch=6):
    """A network in which 30 steps are not enough for tol = 0 (contraction by about 0.9 a step)."""
    patterns = naive.unit_patterns(6, 9, 3).astype(dtype)
    states = np.random.default_rng(0).normal(size=(batch, 6)).astype(dtype)
    return hopfix.Hopfield(patterns, 4.0), patterns, states


def sharp_problem(dtype, batch=20):
    """Well separated memories: noisy queries settle in a few steps."""
    patterns = naive.unit_patterns(32, 20, 1).astype(dtype)
    noise = np.random.default_rng(2).normal(size=(batch, 32)) * 0.05
    states = (patterns[np.arange(batch) % 20] + noise).astype(dtype)
    return hopfix.Hopfield(patterns, 20.0), patterns, states


def iterate(net, states, steps):
    """`steps` calls of update."""
    for _ in range(steps):
        states = net.update(states)
    return states


@pytest.mark.parametrize("make", [slow_problem, sharp_problem])
def test_the_returned_state_satisfies_the_criterion(make, dtype):
    net, patterns, states = make(dtype)
    found = net.retrieve(states, max_steps=100_000)
    assert found.converged.all()
    data = (patterns, net.beta, None, found.states)
    size = np.maximum(1, np.linalg.norm(found.states.astype(np.float64), axis=-1))
    rounding = naive.residual_error(*data, np.finfo(dtype).eps)
    assert np.all(naive.residual(*data) <= DEFAULT_TOL[dtype] * size + rounding)


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
def test_converged_and_residual_are_judged_on_the_returned_state(tol, dtype):
    net, patterns, states = slow_problem(dtype, batch=40)
    for max_steps in (0, 1, 5, 20, 1000):
        found = net.retrieve(states, max_steps=max_steps, tol=tol)
        data = (patterns, net.beta, None, found.states)
        residual, rounding = naive.residual(*data), naive.residual_error(*data, np.finfo(dtype).eps)
        assert np.all(np.abs(found.residual - residual) <= rounding)
        limit = tol * np.maximum(1, np.linalg.norm(found.states.astype(np.float64), axis=-1))
        clear = np.abs(residual - limit) > 2 * rounding  # not decided by rounding
        assert clear.sum() >= 35
        np.testing.assert_array_equal(found.converged[clear], (residual <= limit)[clear])


def test_the_criterion_is_relative_for_long_states(dtype):
    # Norm about 100: tol 1e-3 stops at a residual of 0.1, which is far from what an absolute
    # test allows.
    _, patterns, states = slow_problem(dtype, batch=30)
    long = hopfix.Hopfield(patterns * dtype(100), 4.0 / 100**2)
    found = long.retrieve(states * dtype(100), tol=1e-3)
    assert found.converged.all()
    assert found.residual.max() > 1e-3
    assert np.all(found.residual <= 1.001e-3 * np.linalg.norm(found.states, axis=-1))


def test_the_default_tolerance_is_that_of_the_dtype(dtype):
    net, _, states = slow_problem(dtype)
    default, given = net.retrieve(states), net.retrieve(states, tol=DEFAULT_TOL[dtype])
    np.testing.assert_array_equal(default.states, given.states)
    np.testing.assert_array_equal(default.steps, given.steps)
    looser = net.retrieve(states, tol=10 * DEFAULT_TOL[dtype])
    assert looser.steps.sum() < default.steps.sum()


@pytest.mark.parametrize("max_steps", [1, 2, 3, 7, 30])
def test_without_convergence_the_result_is_exactly_the_kth_update(max_steps, dtype):
    net, _, states = slow_problem(dtype)
    found = net.retrieve(states, max_steps=max_steps, tol=0)
    np.testing.assert_array_equal(found.states, iterate(net, states, max_steps))
    np.testing.assert_array_equal(found.steps, max_steps)
    assert not found.converged.any()


def test_no_steps_return_the_start(dtype):
    net, _, states = slow_problem(dtype)
    found = net.retrieve(states, max_steps=0)
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_array_equal(found.steps, 0)
    assert not found.converged.any()


def test_a_start_that_already_satisfies_the_criterion_takes_no_step(dtype):
    net, _, states = sharp_problem(dtype)
    rest = net.retrieve(states, tol=DEFAULT_TOL[dtype] / 4).states
    for max_steps in (0, 1, 1000):
        found = net.retrieve(rest, max_steps=max_steps)
        assert found.converged.all()
        np.testing.assert_array_equal(found.steps, 0)
        np.testing.assert_array_equal(found.states, rest)


def test_it_stops_no_later_than_plain_iteration():
    # Accelerated or not, a query may not need more steps; it ends in the same fixed point.
    net, patterns, states = slow_problem(np.float64)
    found = net.retrieve(states, max_steps=100_000)
    for state, got, steps in zip(states, found.states, found.steps, strict=True):
        want, plain_steps, converged = naive.retrieve(patterns, 4.0, None, state, 100_000, 1e-12)
        assert converged
        assert (
            0 < steps <= plain_steps + 1
        )  # + 1: the last residual is within rounding of the tolerance
        # distance to the fixed point <= residual / (1 - rho), and rho < 1 - 1e-3 at these
        # two states
        assert naive.residual(patterns, 4.0, None, got) < 2e-12
        assert float(np.abs(got - want).max()) < 4e-9


def test_retrieval_finds_the_stored_pattern(dtype):
    net, patterns, states = sharp_problem(dtype)
    found = net.retrieve(states)
    assert found.converged.all()
    distance = np.linalg.norm(found.states[:, None] - patterns[None], axis=-1)
    np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(20))
    assert distance.min(axis=1).max() < 1e-2


def test_log_weights_take_part():
    patterns = np.eye(2)
    state = np.array([0.5, 0.5])
    net = hopfix.Hopfield(patterns, 8.0, log_weights=[0.5, 0.0])
    found = net.retrieve(state)
    want, _, _ = naive.retrieve(patterns, 8.0, [0.5, 0.0], state, 1000, 1e-12)
    np.testing.assert_allclose(found.states, want.astype(float), atol=1e-10)
    assert found.states[0] > 0.9


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)], ids=str)
def test_fields_have_the_leading_shape(shape, dtype):
    net, _, _ = slow_problem(dtype)
    states = np.random.default_rng(0).normal(size=(*shape, 6)).astype(dtype)
    found = net.retrieve(states, max_steps=5)
    assert found.states.shape == states.shape
    assert found.states.dtype == dtype
    for field in ("steps", "converged", "residual"):
        assert np.shape(getattr(found, field)) == shape
    assert np.issubdtype(np.asarray(found.steps).dtype, np.integer)
    assert np.asarray(found.converged).dtype == np.bool_
    assert np.issubdtype(np.asarray(found.residual).dtype, np.floating)


def same(a, b):
    """Bitwise equality of two retrievals."""
    for field in ("states", "steps", "converged", "residual"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


@pytest.mark.parametrize("make", [slow_problem, sharp_problem])
def test_a_query_does_not_depend_on_its_batch(make, dtype):
    # Some queries of the batch converge early and some do not at all: none of it may show.
    net, _, states = make(dtype, batch=70)
    options = {"max_steps": 60, "tol": 1e-5}
    together = net.retrieve(states, **options)
    assert len(set(together.steps.tolist())) > 1
    for i, state in enumerate(states):
        alone = net.retrieve(state, **options)
        for field in ("states", "steps", "converged", "residual"):
            np.testing.assert_array_equal(
                getattr(alone, field), getattr(together, field)[i], err_msg=field
            )
    order = np.random.default_rng(5).permutation(70)
    shuffled = net.retrieve(states[order], **options)
    for field in ("states", "steps", "converged", "residual"):
        np.testing.assert_array_equal(
            getattr(shuffled, field), getattr(together, field)[order], err_msg=field
        )
    for batch in (1, 2, 3, 5, 8, 13, 31, 33, 64):
        np.testing.assert_array_equal(
            net.retrieve(states[:batch], **options).states, together.states[:batch]
        )
    folded = net.retrieve(states.reshape(7, 10, -1), **options)
    np.testing.assert_array_equal(folded.states.reshape(states.shape), together.states)


@pytest.mark.parametrize(
    ("N", "d", "batch"), [(9, 6, 1), (9, 6, 300), (600, 33, 5), (600, 33, 130)]
)
def test_a_query_does_not_depend_on_the_number_of_threads(N, d, batch, dtype):
    rng = np.random.default_rng(7)
    patterns, states = (
        rng.normal(size=(N, d)).astype(dtype),
        rng.normal(size=(batch, d)).astype(dtype),
    )
    one = hopfix.Hopfield(patterns, 0.3, num_threads=1).retrieve(states, max_steps=40, tol=1e-4)
    for threads in (2, 3, 8):
        same(
            hopfix.Hopfield(patterns, 0.3, num_threads=threads).retrieve(
                states, max_steps=40, tol=1e-4
            ),
            one,
        )


def test_the_same_call_twice_is_bitwise_the_same(dtype):
    net, _, states = slow_problem(dtype)
    same(net.retrieve(states), net.retrieve(states))


def test_numbers_near_the_end_of_their_range():
    # Squares of these overflow; each pattern is a fixed point of its own.
    found = hopfix.Hopfield(np.eye(2), 10.0).retrieve([2e154, 0.0])
    np.testing.assert_allclose(found.states, [1, 0], atol=1e-3)
    found = hopfix.Hopfield(np.eye(2) * 1e160, 1e-300).retrieve([3e159, 1e159])
    np.testing.assert_allclose(found.states, [1e160, 0])


def test_a_log_weight_beyond_float_does_not_hang():
    patterns = np.random.default_rng(0).normal(size=(512, 4))
    log_weights = np.zeros(512)
    log_weights[7] = 4e38
    found = hopfix.Hopfield(patterns, 50.0, log_weights=log_weights).retrieve(patterns[:1] + 0.1)
    np.testing.assert_array_equal(found.states[0], patterns[7])


def test_a_degenerate_fixed_point_is_approached_slowly_and_honestly():
    # {-1, 1} at beta = 1: f = tanh, convergence to 0 like 1/sqrt(steps), x_n ~ sqrt(3/(2n)).
    net = hopfix.Hopfield([[-1.0], [1.0]], 1.0)
    found = net.retrieve([0.5], max_steps=1000)
    assert not found.converged
    assert found.steps == 1000
    assert 0.03 < found.states[0] < 0.04  # sqrt(3/2000) = 0.0387
