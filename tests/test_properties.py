"""Properties that hold for every network and every state (hypothesis)."""

import mpmath
import naive
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hopfix

SLOW = settings(max_examples=30)  # those that use 50-digit arithmetic


@st.composite
def networks(draw, *, max_patterns=6, max_dim=5, dtypes=(np.float32, np.float64), weighted=True):
    """A network of moderate size, with repeated, zero and collinear patterns among the cases."""
    N, d = draw(st.integers(1, max_patterns)), draw(st.integers(1, max_dim))
    dtype = draw(st.sampled_from(dtypes))
    entries = st.floats(-2, 2, width=16) | st.sampled_from([-1.0, 0.0, 0.5, 1.0])
    patterns = draw(hnp.arrays(dtype, (N, d), elements=entries))
    beta = draw(st.sampled_from([2.0**-10, 0.25, 1.0, 3.0, 10.0, 32.0]))
    b = (
        draw(hnp.arrays(dtype, N, elements=st.floats(-3, 3, width=16)))
        if weighted and draw(st.booleans())
        else None
    )
    return hopfix.Hopfield(patterns, beta, log_weights=b)


@st.composite
def networks_and_states(draw, states=1, **options):
    """A network and `states` states (or directions) of it."""
    net = draw(networks(**options))
    d = net.patterns.shape[1]
    vectors = hnp.arrays(net.dtype, d, elements=st.floats(-3, 3, width=16))
    return (net, *(draw(vectors) for _ in range(states)))


def data_of(net, state):
    """The arguments of the twin's functions, and the machine epsilon."""
    return (net.patterns, net.beta, net.log_weights, state), np.finfo(net.dtype).eps


# ------------------------------------------------------------------------------------- the map


@given(networks_and_states())
def test_an_update_lowers_the_energy_by_half_its_squared_length(case):
    net, state = case
    data, eps = data_of(net, state)
    new = net.update(state)
    after, _ = data_of(net, new)
    drop = float(np.sum((new.astype(np.longdouble) - state) ** 2)) / 2
    # Rounding: of both energies, and of f itself, whose error e changes E(f) by at most |e|
    # |grad E| + |e|^2/2 to second order and for large beta by beta R^2 |e|^2 / 2 more.
    e = float(np.linalg.norm(naive.update_error(*data, eps).astype(float)))
    gradient = float(naive.residual(*after)) + np.sqrt(2 * drop)
    reach = net.beta * float(
        np.ptp(net.patterns, axis=0).astype(float) @ np.ptp(net.patterns, axis=0)
    )
    slack = float(naive.energy_error(*data, eps) + naive.energy_error(*after, eps))
    slack += e * gradient + (1 + reach) * e**2 + 4 * eps * drop
    assert float(net.energy(new)) <= float(net.energy(state)) - drop + slack


@given(networks_and_states())
def test_the_jacobian_is_symmetric_positive_semidefinite_and_bounded(case):
    net, state = case
    data, eps = data_of(net, state)
    j = net.jacobian(state).astype(float)
    error = naive.jacobian_error(*data, eps).astype(float)
    assert np.all(np.abs(j - j.T) <= 2 * error)
    eigenvalues = np.linalg.eigvalsh((j + j.T) / 2)
    slack = (
        np.linalg.norm(error) + 1e-14 * np.abs(eigenvalues).max()
    )  # Weyl, and LAPACK's own rounding
    assert eigenvalues[0] >= -slack
    x = net.patterns.astype(float)
    diameter = max(np.linalg.norm(a - b) for a in x for b in x)
    assert eigenvalues[-1] <= net.beta * diameter**2 / 4 + slack  # MATH section 5


@SLOW
@given(networks_and_states(states=2))
def test_jvp_and_vjp_are_the_derivative_in_that_direction(case):
    net, state, t = case
    data, eps = data_of(net, state)
    with mpmath.workdps(
        naive.DIGITS
    ):  # central difference: truncation h^2 ~ 1e-30, rounding 1e-50 / h ~ 1e-35
        h = mpmath.mpf(10) ** -15
        point, along = [mpmath.mpf(float(v)) for v in state], [mpmath.mpf(float(v)) for v in t]
        up = naive.update_mp(*data[:3], [p + h * v for p, v in zip(point, along, strict=True)])
        down = naive.update_mp(*data[:3], [p - h * v for p, v in zip(point, along, strict=True)])
        slope = np.array([float((a - b) / (2 * h)) for a, b in zip(up, down, strict=True)])
    bound = naive.jvp_error(*data, t, eps).astype(float) + 1e-15 * np.abs(slope) + 1e-22
    for got in (
        net.jvp(state, t),
        net.vjp(state, t),
        net.jacobian(state).astype(float) @ t.astype(float),
    ):
        assert np.all(np.abs(got - slope) <= bound)


@given(networks_and_states(states=2))
def test_the_update_lies_in_the_convex_hull(case):
    net, state, direction = case
    data, eps = data_of(net, state)
    w, new = net.weights(state).astype(float), net.update(state).astype(float)
    x = net.patterns.astype(float)
    N = len(x)
    assert np.all(w >= 0)
    assert abs(w.sum() - 1) <= (N + 8) * eps
    bound = naive.update_error(*data, eps).astype(float)
    assert np.all(np.abs(new - w @ x) <= 2 * bound + (N + 4) * eps * (w @ np.abs(x)))
    # support function of the hull in a random direction, and in the axes
    hull = (N + 8) * eps * np.abs(x).max(axis=0)
    u = direction.astype(float)
    assert u @ new <= (x @ u).max() + np.abs(u) @ hull
    assert np.all(new <= x.max(axis=0) + hull)
    assert np.all(new >= x.min(axis=0) - hull)


@given(networks_and_states(), st.randoms(use_true_random=False))
def test_permuting_the_patterns_permutes_the_weights(case, random):
    net, state = case
    data, eps = data_of(net, state)
    order = list(range(len(net.patterns)))
    random.shuffle(order)
    b = None if net.log_weights is None else net.log_weights[order]
    other = hopfix.Hopfield(net.patterns[order], net.beta, log_weights=b)
    w_error = naive.weights_error(*data, eps)
    assert np.all(
        np.abs(other.weights(state).astype(float) - net.weights(state)[order]) <= 2 * w_error[order]
    )
    f_error = naive.update_error(*data, eps)
    assert np.all(np.abs(other.update(state).astype(float) - net.update(state)) <= 2 * f_error)


@given(networks_and_states(), st.sampled_from([-100.0, -1.0, 0.5, 64.0]))
def test_a_shift_of_all_log_weights_moves_only_the_energy(case, shift):
    net, state = case
    N = len(net.patterns)
    b = np.zeros(N, net.dtype) if net.log_weights is None else np.asarray(net.log_weights)
    other = hopfix.Hopfield(net.patterns, net.beta, log_weights=b + net.dtype.type(shift))
    data, eps = data_of(net, state)
    shifted, _ = data_of(other, state)
    # b + shift is rounded to the dtype: that is part of the logit error of the shifted network
    bound = naive.weights_error(*data, eps) + naive.weights_error(*shifted, eps)
    assert np.all(np.abs(other.weights(state).astype(float) - net.weights(state)) <= bound)
    bound = naive.update_error(*data, eps) + naive.update_error(*shifted, eps)
    assert np.all(np.abs(other.update(state).astype(float) - net.update(state)) <= bound)
    bound = naive.energy_error(*data, eps) + naive.energy_error(*shifted, eps)
    moved = float(other.energy(state)) - float(net.energy(state))
    assert abs(moved + shift / net.beta) <= bound + eps * abs(shift) / net.beta


@given(networks_and_states(dtypes=(np.float64,)), st.sampled_from([0.5, 2.0, 4.0]))
def test_scaling_patterns_states_and_beta_together_by_powers_of_two_is_exact(case, scale):
    net, state = case
    other = hopfix.Hopfield(net.patterns * scale, net.beta / scale**2, log_weights=net.log_weights)
    np.testing.assert_array_equal(other.weights(state * scale), net.weights(state))
    np.testing.assert_array_equal(other.update(state * scale), net.update(state) * scale)


# ------------------------------------------------------------------------------------- retrieval


@given(networks_and_states(), st.integers(0, 20))
def test_retrieval_is_iteration(case, max_steps):
    net, state = case
    found = net.retrieve(state, max_steps=max_steps)
    assert 0 <= found.steps <= max_steps
    if not found.converged:
        assert found.steps == max_steps
        want = state
        for _ in range(max_steps):
            want = net.update(want)
        np.testing.assert_array_equal(found.states, want)
    data, eps = data_of(net, found.states)
    residual, rounding = float(naive.residual(*data)), float(naive.residual_error(*data, eps))
    assert abs(float(found.residual) - residual) <= rounding
    if found.converged:
        tol = 1e-6 if net.dtype == np.float32 else 1e-12
        assert (
            residual <= tol * max(1, float(np.linalg.norm(found.states.astype(float)))) + rounding
        )


# ----------------------------------------------------------------------------------- certificates


def check_claim(net, state, claim):
    """A certificate of one state against 50-digit Newton."""
    patterns = net.patterns.astype(np.float64)
    exact = naive.newton_mp(patterns, net.beta, net.log_weights, state)
    assert naive.covers(claim.radius, state, exact)
    assert claim.radius <= claim.uniqueness_radius
    index = sum(v > 1 for v in naive.eigenvalues_mp(patterns, net.beta, net.log_weights, exact))
    assert claim.morse_index == index


@SLOW
@given(
    networks_and_states(max_patterns=5, max_dim=4), st.sampled_from([0.0, 1e-12, 1e-8, 1e-5, 1e-3])
)
def test_the_ball_of_a_certificate_contains_the_fixed_point(case, size):
    net, start = case
    rest = net.retrieve(start, max_steps=300).states
    moved = (rest + size * np.ones_like(rest)).astype(net.dtype)
    claim = net.certify(moved)
    if not claim.certified:
        assert np.isnan(claim.radius)
        assert np.isnan(claim.uniqueness_radius)
    assume(claim.certified)
    check_claim(net, moved, claim)


@SLOW
@given(networks_and_states(max_patterns=5, max_dim=4, dtypes=(np.float64,)))
def test_certificates_of_unstable_points_are_true(case):
    net, start = case
    try:
        state = naive.newton(net.patterns, net.beta, net.log_weights, start / 3)
    except np.linalg.LinAlgError:
        state = start
    assume(np.all(np.isfinite(state)) and np.abs(state).max() < 1e6)
    claim = net.certify(state)
    assume(claim.certified)
    check_claim(net, state, claim)


@SLOW
@given(networks(max_patterns=5, max_dim=3, dtypes=(np.float64,)))
def test_a_search_reports_fixed_points_only(net):
    found = net.fixed_points("starts")
    assert len(found) >= 1  # Brouwer
    assert found.completeness != "proved"
    data, eps = data_of(net, found.states)
    limit = naive.residual_error(*data, eps) * 4 + 1e-6 * ~found.certified
    size = np.linalg.norm(found.states, axis=1) * (1 + found.spectral_radius)
    assert np.all(naive.residual(*data) <= limit + 4 * eps * size)
    sure = found.certified
    assert np.all(found.uniqueness_radius[sure] >= found.radius[sure])
    if sure.all() and found.completeness == "consistent":
        assert found.degree_sum == 1
    distance = np.linalg.norm(found.states[:, None] - found.states[None], axis=-1)
    reach = found.radius[:, None] + found.radius[None]
    pairs = sure[:, None] & sure[None] & ~np.eye(len(found), dtype=bool)
    assert np.all(distance[pairs] > reach[pairs])


def test_the_ci_profile_is_deterministic():
    profile = settings.get_profile("ci")
    assert profile.derandomize
    assert profile.deadline is None
