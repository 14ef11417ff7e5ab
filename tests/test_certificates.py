"""Hopfield.certify: every claim is held against Newton's method with 50 digits."""

from contextlib import suppress
from itertools import combinations

import mpmath
import naive
import numpy as np
import pytest

import hopfix


def exact_point(net, state):
    """The 50-digit fixed point that Newton reaches from `state`."""
    patterns = np.asarray(net.patterns, np.float64)
    return naive.newton_mp(patterns, net.beta, net.log_weights, state)


def exact_index(net, point):
    """Number of eigenvalues of J above 1 at a 50-digit point."""
    patterns = np.asarray(net.patterns, np.float64)
    return sum(v > 1 for v in naive.eigenvalues_mp(patterns, net.beta, net.log_weights, point))


def assert_true(net, states, claim):
    """Every certificate in `claim` holds; returns how many there are."""
    __tracebackhide__ = True
    states = np.atleast_2d(states)
    rows = [
        np.atleast_1d(getattr(claim, f))
        for f in ("certified", "radius", "uniqueness_radius", "morse_index")
    ]
    for state, ok, radius, unique, index in zip(states, *rows, strict=True):
        if not ok:
            assert np.isnan(radius)
            assert np.isnan(unique)
            continue
        point = exact_point(net, state)
        # Newton may have left for another fixed point, but within the uniqueness ball
        # there is only one.
        assert naive.covers(radius, state, point)
        assert radius <= unique
        assert index == exact_index(net, point)
    return int(np.sum(rows[0]))


def tight(states, radius, eps, factor=1e6):
    """The radius of a well-conditioned point is of the order of rounding, not merely correct."""
    assert np.all(radius <= factor * eps * np.maximum(1, np.linalg.norm(states, axis=-1)))


def converged(net, starts):
    """Fixed points (stable or not) near the starts, by plain float64 Newton."""
    patterns = np.asarray(net.patterns, np.float64)
    return np.array([naive.newton(patterns, net.beta, net.log_weights, s) for s in starts])


# -------------------------------------------------------------------------------- true fixed points


def test_memories_are_certified_as_stable(dtype):
    net = hopfix.Hopfield(naive.unit_patterns(6, 5, 0).astype(dtype), 20.0)
    states = net.retrieve(net.patterns).states
    claim = net.certify(states)
    assert claim.certified.all()
    assert (claim.morse_index == 0).all()
    assert assert_true(net, states, claim) == 5
    tight(states, claim.radius, np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("N", "d", "seed", "beta"), [(5, 3, 0, 10.0), (6, 3, 1, 20.0), (7, 4, 2, 20.0), (4, 9, 1, 15.0)]
)
def test_saddles_are_certified_with_their_index(N, d, seed, beta):
    net = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta)
    starts = [
        net.patterns[list(pair)].mean(axis=0)
        for k in (1, 2, 3)
        for pair in combinations(range(N), k)
    ]
    states = converged(net, starts)
    states = states[naive.residual(net.patterns, beta, None, states) < 1e-13]
    claim = net.certify(states)
    assert claim.certified.all()
    assert assert_true(net, states, claim) == len(states)
    assert {0, 1} <= set(claim.morse_index.tolist())
    tight(states, claim.radius, np.finfo(float).eps)


@pytest.mark.parametrize(("N", "d"), [(40, 2), (30, 3), (3, 40), (2, 100), (1, 5), (5, 1)])
def test_more_patterns_than_dimensions_and_the_reverse(N, d):
    rng = np.random.default_rng(5)
    net = hopfix.Hopfield(rng.normal(size=(N, d)), 3.0)
    states = net.retrieve(net.patterns[:6], max_steps=100_000).states
    claim = net.certify(states)
    assert claim.certified.all()
    assert assert_true(net, states, claim) == len(states)


def test_log_weights_belong_to_the_map_that_is_certified():
    rng = np.random.default_rng(2)
    patterns, log_weights = naive.unit_patterns(3, 6, 1), rng.normal(size=6)
    net = hopfix.Hopfield(patterns, 20.0, log_weights=log_weights)
    states = net.retrieve(patterns, max_steps=10_000).states
    claim = net.certify(states)
    assert assert_true(net, states, claim) == 6
    # Under the map without weights the same states are (mostly) no fixed points.
    other = hopfix.Hopfield(patterns, 20.0).certify(states)
    assert_true(hopfix.Hopfield(patterns, 20.0), states, other)
    assert not np.all(other.certified & (other.radius < 1e-9))


@pytest.mark.parametrize("beta", [1e3, 1e4, 1e6])
def test_sharp_memories(beta):
    # exp(-beta) underflows: lambda is far below rounding, and a covariance by cancellation
    # would be exactly 0.
    net = hopfix.Hopfield(np.eye(4), beta)
    claim = net.certify(np.eye(4))
    assert claim.certified.all()
    assert (claim.morse_index == 0).all()
    assert_true(net, np.eye(4), claim)
    tight(np.eye(4), claim.radius, np.finfo(float).eps)
    # Other fixed points: the saddle between two memories, exactly (e_1 + e_2)/2 up to exp(-beta/2).
    assert np.all(claim.uniqueness_radius <= np.sqrt(0.5))
    assert np.all(claim.uniqueness_radius > 0)


@pytest.mark.parametrize("beta", [1e4, 1e6])
def test_sharp_saddles(beta):
    # (e_1 + e_2)/2 is fixed up to exp(-beta/2), with eigenvalue beta/2 along e_1 - e_2.
    net = hopfix.Hopfield(np.eye(3), beta)
    state = np.array([0.5, 0.5, 0.0])
    claim = net.certify(state)
    assert claim.certified
    assert claim.morse_index == 1
    assert_true(net, state, claim)
    assert claim.uniqueness_radius <= np.sqrt(0.5)


def test_sharp_memories_of_random_patterns(dtype):
    net = hopfix.Hopfield(naive.unit_patterns(16, 10, 3).astype(dtype), 1e4)
    states = net.retrieve(net.patterns).states
    claim = net.certify(states)
    assert assert_true(net, states, claim) == 10
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(states.astype(float), 2))
    assert np.all(claim.uniqueness_radius < nearest)


def test_one_pattern_is_unique_everywhere():
    net = hopfix.Hopfield([[3.0, 4.0]], 2.0)
    claim = net.certify([3.0, 4.0])
    assert claim.certified
    assert claim.morse_index == 0
    assert 0 <= claim.radius <= 1e-13
    assert claim.uniqueness_radius > 1  # no other fixed point exists at all


def test_states_of_a_float32_network_are_those_of_its_float32_patterns():
    # The nearest float32 state is up to 1e-7 from the fixed point of the float32 patterns: the
    # radius says so.
    net = hopfix.Hopfield(naive.unit_patterns(5, 4, 7).astype(np.float32), 8.0)
    states = net.retrieve(net.patterns, max_steps=10_000).states
    assert states.dtype == np.float32
    claim = net.certify(states)
    assert assert_true(net, states, claim) == 4
    distances = [float(naive.distance_mp(exact_point(net, s), s)) for s in states]
    assert max(distances) > 1e-10  # float32 states are really off, so the radius was tested
    tight(states, claim.radius, np.finfo(np.float32).eps, factor=1e3)


# ------------------------------------------------------------------ states that are no fixed points


def test_arbitrary_states_are_not_certified(dtype):
    patterns = naive.unit_patterns(4, 7, 2).astype(dtype)
    net = hopfix.Hopfield(patterns, 20.0)
    states = np.random.default_rng(0).normal(size=(50, 4)).astype(dtype)
    claim = net.certify(states)
    # A state may lie near a fixed point by chance; then the certificate must be true.  Far
    # states must fail.
    assert_true(net, states, claim)
    far = naive.residual(patterns, 20.0, None, states) > 0.5
    assert far.sum() >= 25
    assert not claim.certified[far].any()
    assert np.isnan(claim.radius[far]).all()
    assert np.isnan(claim.uniqueness_radius[far]).all()


def test_states_outside_the_hull_and_far_away_are_not_certified():
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0)
    for scale in (2.0, 1e3, 1e100):
        assert not net.certify(np.full(4, scale)).certified


@pytest.mark.parametrize(
    ("patterns", "beta", "state"),
    [
        ([[-1.0], [1.0]], 1.0, [0.0]),
        (np.eye(3), 3.0, np.full(3, 1 / 3)),
        (np.eye(4) * 2, 1.0, np.full(4, 0.5)),
        ([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], 2.0, [0.0, 0.0]),
    ],
    ids=["line", "three orthonormal", "four of norm 2", "square"],
)
def test_degenerate_points_are_not_certified(patterns, beta, state):
    # An eigenvalue of J is exactly 1: beta/N for orthonormal patterns at their centre.
    claim = hopfix.Hopfield(patterns, beta).certify(state)
    assert not claim.certified
    assert np.isnan(claim.radius)
    assert np.isnan(claim.uniqueness_radius)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, -1e-3, -1e-6, -1e-9])
def test_nearly_degenerate_points_are_judged_correctly_or_not_at_all(gap):
    # Centre of {-1, 1}: eigenvalue beta = 1 + gap, index 1 or 0; neighbours at +-sqrt(3 gap)
    # for gap > 0.
    net = hopfix.Hopfield([[-1.0], [1.0]], 1.0 + gap)
    claim = net.certify([0.0])
    if abs(gap) > 1e-4:
        assert claim.certified
    if claim.certified:
        assert claim.morse_index == (1 if gap > 0 else 0)
        if gap > 0:
            assert claim.uniqueness_radius < np.sqrt(3 * gap) * 1.01


# ------------------------------------------------------------------------------- displaced states


@pytest.mark.parametrize("size", [1e-15, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.3])
@pytest.mark.parametrize(
    ("N", "d", "seed", "beta"), [(5, 3, 0, 10.0), (6, 3, 1, 20.0), (4, 8, 1, 15.0)]
)
def test_the_radius_covers_a_displacement(N, d, seed, beta, size):
    net = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta)
    rng = np.random.default_rng(0)
    starts = [
        net.patterns[list(pair)].mean(axis=0) for k in (1, 2) for pair in combinations(range(N), k)
    ]
    states = converged(net, starts)
    directions = rng.normal(size=states.shape)
    moved = states + size * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    claim = net.certify(moved)
    number = 0
    for state, centre, ok, radius in zip(moved, states, claim.certified, claim.radius, strict=True):
        if ok:
            number += 1
            # Some fixed point lies within the radius: the one it was displaced from,
            # or one Newton finds.
            near = [exact_point(net, centre)]
            with suppress(ArithmeticError):
                near.append(exact_point(net, state))
            assert any(naive.covers(radius, state, point) for point in near)
            assert radius >= 0.1 * size or size < 1e-14
    if size <= 1e-9:
        assert number == len(states)


def test_a_displaced_state_has_a_radius_of_that_order():
    net = hopfix.Hopfield(naive.unit_patterns(3, 5, 0), 10.0)
    state = net.retrieve(net.patterns[0], max_steps=10_000).states
    for size in (1e-9, 1e-7, 1e-5):
        claim = net.certify(state + size * np.array([1, 0, 0]))
        assert claim.certified
        assert size * 0.99 <= claim.radius <= 20 * size


# ------------------------------------------------------------------------------------ uniqueness


def orthonormal_list(N, beta):
    """All fixed points of the standard basis of R^N, from the classes of section 4."""
    points = []
    for k, u, v, _, _ in naive.softmax_classes(N, beta):
        for face in combinations(range(N), k):
            point = np.full(N, v)
            point[list(face)] = u
            points.append(point)
    return np.array(points)


@pytest.mark.parametrize(
    ("N", "beta"), [(2, 2.05), (3, 2.8), (3, 10.0), (4, 4.2), (5, 4.9), (5, 8.0), (6, 30.0)]
)
def test_the_uniqueness_ball_never_reaches_another_fixed_point(N, beta):
    net = hopfix.Hopfield(np.eye(N), beta)
    points = orthonormal_list(N, beta)
    claim = net.certify(points)
    assert claim.certified.all()
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    # The list is correct to about 1e-13.
    assert np.all(claim.uniqueness_radius <= distance.min(axis=1) + 1e-12)
    assert np.all(claim.uniqueness_radius > 1e-4)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e-2, 0.05])
def test_the_uniqueness_ball_of_a_displaced_state_holds_one_fixed_point(size):
    net = hopfix.Hopfield(np.eye(5), 8.0)
    points = orthonormal_list(5, 8.0)
    rng = np.random.default_rng(4)
    moved = points + size * rng.normal(size=points.shape) / np.sqrt(5)
    claim = net.certify(moved)
    assert claim.certified.sum() >= (31 if size < 1e-5 else 0)
    distance = np.linalg.norm(moved[:, None] - points[None], axis=-1)
    inside = (distance < claim.uniqueness_radius[:, None] - 1e-12).sum(axis=1)
    within = (distance <= claim.radius[:, None] + 1e-12).sum(axis=1)
    assert np.all(inside[claim.certified] == 1)
    assert np.all(within[claim.certified] >= 1)


# ----------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)], ids=str)
def test_fields_have_the_leading_shape(shape, dtype):
    net = hopfix.Hopfield(np.eye(4, dtype=dtype), 8.0)
    claim = net.certify(np.zeros((*shape, 4), dtype))
    for field in ("certified", "radius", "uniqueness_radius", "morse_index"):
        assert np.shape(getattr(claim, field)) == shape
    assert np.asarray(claim.certified).dtype == np.bool_
    assert (
        np.asarray(claim.radius).dtype == np.float64
    )  # a float32 could not hold a rigorous bound of 1e-50
    assert np.issubdtype(np.asarray(claim.morse_index).dtype, np.integer)


def test_a_certificate_does_not_depend_on_the_batch():
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0)
    states = net.retrieve(net.patterns).states
    together = net.certify(states)
    for i, state in enumerate(states):
        alone = net.certify(state)
        for field in ("certified", "radius", "uniqueness_radius", "morse_index"):
            np.testing.assert_array_equal(
                getattr(alone, field), getattr(together, field)[i], err_msg=field
            )


def test_the_search_and_certify_agree():
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0)
    found = net.fixed_points("starts")
    claim = net.certify(found.states)
    for field in ("certified", "radius", "uniqueness_radius", "morse_index"):
        np.testing.assert_array_equal(getattr(claim, field), getattr(found, field), err_msg=field)


# ------------------------------------------------------------------------- patterns without weight


def largest_eigenvalue_mp(net, state):
    patterns = np.asarray(net.patterns, np.float64)
    point = [mpmath.mpf(float(v)) for v in state]
    return max(naive.eigenvalues_mp(patterns, net.beta, net.log_weights, point))


@pytest.mark.parametrize("beta", [0.1, 5.0, 20.0, 300.0])
@pytest.mark.parametrize(("N", "d"), [(6, 3), (4, 7), (12, 5), (1, 2)])
def test_the_largest_eigenvalue_lies_within_its_bounds(N, d, beta):
    rng = np.random.default_rng(N)
    net = hopfix.Hopfield(
        rng.normal(size=(N, d)) / np.sqrt(d), beta, log_weights=rng.normal(size=N)
    )
    reached = net.retrieve(net.patterns[:2], max_steps=100_000).states
    states = np.concatenate([reached, reached + 1e-3, rng.normal(size=(3, d))])
    claim = net.certify(states)
    assert claim.spectral_bounds.shape == (len(states), 2)
    for state, (low, high) in zip(states, claim.spectral_bounds, strict=True):
        assert low <= largest_eigenvalue_mp(net, state) <= high
    # They are as narrow as rounding at fixed points, wider by beta |f - state|^2 elsewhere.
    low, high = claim.spectral_bounds[: len(reached)].T
    assert np.all(high - low <= 1e-9 * np.maximum(1, high))


@pytest.mark.parametrize("beta", [60.0, 200.0, 1e3])
def test_patterns_without_weight_are_left_out_but_counted(beta):
    # Most of the 60 patterns are lost in the rounding of the others, whatever the point.
    net = hopfix.Hopfield(naive.unit_patterns(5, 60, 4), beta)
    pairs = [net.patterns[[2 * i, 2 * i + 1]].mean(axis=0) for i in range(3)]
    states = np.concatenate([net.retrieve(net.patterns[:3]).states, converged(net, pairs)])
    claim = net.certify(states)
    assert assert_true(net, states, claim) >= 3
    for state, (low, high) in zip(states, claim.spectral_bounds, strict=True):
        assert low <= largest_eigenvalue_mp(net, state) <= high


def test_the_weight_of_what_is_left_out_is_not_lost():
    # 200 patterns of weight e^-48, below any rounding, but so far away that they move the fixed
    # point by 1e-10: one that ignored them would be certified too near.
    count = 200
    patterns = np.concatenate([[[0.0, 1.0], [0.0, -1.0]], np.tile([0.0, -1e9], (count, 1))])
    log_weights = np.concatenate([[0.0, 0.0], np.full(count, -48.0)])
    net = hopfix.Hopfield(patterns, 1e-3, log_weights=log_weights)
    state = np.zeros(2)
    claim = net.certify(state)
    assert claim.certified
    assert naive.covers(claim.radius, state, exact_point(net, state))
    assert 1e-10 < claim.radius < 1e-7


# --------------------------------------------------------------------------------- large networks


def newton_of_any_size(net, start):
    """A fixed point near `start` to the last bits of long double, and eigenvalues of J there."""
    wide = net.patterns.astype(np.longdouble)
    state = start.astype(np.longdouble)
    for _ in range(7):
        z = net.beta * (wide @ state)
        p = np.exp(z - z.max())
        p /= p.sum()
        residual = p @ wide - state
        rows = (net.patterns - np.float64(state)) * np.sqrt(net.beta * np.float64(p))[:, None]
        right = rows @ np.float64(residual)
        inner = np.linalg.solve(np.eye(len(rows)) - rows @ rows.T, right)
        state = state + residual + rows.T @ inner
    return state, np.linalg.eigvalsh(rows @ rows.T)


@pytest.mark.parametrize(
    ("beta", "chosen", "index"), [(3.0, 250, 0), (40.0, 1, 0), (40.0, 2, 1), (60.0, 4, 3)]
)
def test_large_networks(beta, chosen, index):
    # 250 patterns carry weight, more than the 192 from which on one factorisation is enough.
    net = hopfix.Hopfield(naive.unit_patterns(400, 250, 1), beta)
    exact, eigenvalues = newton_of_any_size(net, net.patterns[:chosen].mean(axis=0))
    state = np.float64(exact)
    claim = net.certify(state)
    assert claim.certified
    assert claim.morse_index == index == np.sum(eigenvalues > 1)
    assert np.float64(np.linalg.norm(exact - state)) <= claim.radius < 1e-10
    low, high = claim.spectral_bounds
    assert low <= eigenvalues[-1] * (1 + 1e-12)
    assert high >= eigenvalues[-1] * (1 - 1e-12)
    assert high - low < 0.02 * max(1, high)
    # A displacement is covered, and is no fixed point any more.
    moved = net.certify(state + 1e-7 * net.patterns[0])
    assert not moved.certified or moved.radius >= 0.99e-7
