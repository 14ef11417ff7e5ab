"""Branches of fixed points: closed forms, independent folds, completeness by cells."""

from itertools import pairwise
from math import comb

import mpmath
import naive
import numpy as np
import pytest
from curves import assert_sound
from points import match

import hopfix
from hopfix.degree import audit

# ------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("N", range(3, 9))
def test_folds_of_orthonormal_patterns_are_tinos_thresholds(N):
    branches = hopfix.Hopfield(np.eye(N), 50.0).follow(1.0)
    wanted = [
        hopfix.softmax_map.threshold(N, k)
        for k in range(1, (N + 1) // 2)
        for _ in range(comb(N, k))
    ]
    assert branches.folds.shape == (len(wanted),)
    np.testing.assert_allclose(branches.folds, np.sort(wanted), rtol=0, atol=1e-12)
    assert len(branches) == 2 ** (N - 1)
    (centre,) = [e for e in branches.events if e.kind != "fold"]
    assert (centre.kind, centre.multiplicity) == ("multiple", N - 1)
    assert centre.beta == pytest.approx(N, abs=1e-10)
    np.testing.assert_allclose(centre.state, np.full(N, 1 / N), atol=1e-9)
    assert sorted(centre.branches) == list(range(2 ** (N - 1)))
    assert_sound(branches)


def test_a_class_passes_through_the_centre_into_the_complementary_class():
    N = 7
    net = hopfix.Hopfield(np.eye(N), 50.0)
    found = net.fixed_points()
    branches = net.follow(1.0, found)
    for branch in branches.branches:
        if len(branch.starts) == 2:
            a, b = (set(found.support[i]) for i in branch.starts)
            assert a | b == set(range(N))
            assert not a & b
    assert sorted(i for b in branches.branches for i in b.starts) == list(range(2**N - 1))


@pytest.mark.parametrize(("N", "beta"), [(6, 5.0), (6, 10.0), (5, 4.6), (5, 4.9), (8, 7.0)])
def test_points_at_a_beta_are_those_of_the_closed_form(N, beta):
    there = hopfix.Hopfield(np.eye(N), 50.0).follow(1.0).at(beta)
    match(there.states, hopfix.Hopfield(np.eye(N), beta).fixed_points("closed_form").states, 1e-12)
    assert there.counts == naive.softmax_counts(N, beta)
    assert there.completeness == "consistent"


@pytest.mark.parametrize(("start", "target"), [(2.0, 0.5), (0.5, 2.0)])
def test_two_patterns_meet_in_a_pitchfork_at_beta_one(start, target):
    branches = hopfix.Hopfield([[-1.0], [1.0]], start).follow(target)
    (event,) = branches.events
    assert (event.kind, event.multiplicity) == ("pitchfork", 1)
    assert event.beta == pytest.approx(1, abs=1e-14)
    assert event.state == pytest.approx([0.0], abs=1e-14)
    assert event.branches == (0, 1)
    assert len(branches.folds) == 0
    assert_sound(branches)
    for beta in (0.9, 1.1, 1.9):
        same_count = len(hopfix.Hopfield([[-1.0], [1.0]], beta).fixed_points("cells"))
        assert len(branches.at(beta)) == same_count


def test_unequal_weights_of_two_patterns_unfold_the_pitchfork_into_a_fold():
    net = hopfix.Hopfield([[-1.0], [1.0]], 3.0, log_weights=[0.0, 0.1])
    branches = net.follow(0.5)
    (event,) = branches.events
    assert event.kind == "fold"
    assert event.certified
    # With m = state: m = tanh(beta m + 0.05), and 1 = beta (1 - m^2).
    with mpmath.workdps(30):
        beta, m = mpmath.findroot(
            lambda b, x: (x - mpmath.tanh(b * x + mpmath.mpf(0.1) / 2), b * (1 - x * x) - 1),
            (event.beta, event.state[0]),
        )
        assert abs(beta - event.beta) <= event.beta_radius
        assert abs(m - event.state[0]) <= event.radius
    assert_sound(branches)


@pytest.mark.parametrize(("start", "target"), [(3.0, 0.2), (0.2, 3.0)])
def test_weights_that_balance_two_patterns_give_a_transcritical_crossing(start, target):
    # The mean of {-1, 2} under weights 2/3, 1/3 is 0, a fixed point for every beta; the variance
    # there is 2 and the third moment is not 0: the other branch crosses at beta = 1/2, aslant.
    net = hopfix.Hopfield([[-1.0], [2.0]], start, log_weights=[np.log(2.0), 0.0])
    branches = net.follow(target)
    crossing, fold = sorted(branches.events, key=lambda e: e.kind != "transcritical")
    assert (crossing.kind, crossing.multiplicity, crossing.branches) == ("transcritical", 1, (0, 1))
    assert crossing.beta == pytest.approx(0.5, abs=1e-10)
    assert crossing.state == pytest.approx([0.0], abs=1e-10)
    assert (fold.kind, fold.certified) == ("fold", True)
    with mpmath.workdps(30):

        def equations(beta, x):
            p = 1 / (1 + 2 * mpmath.exp(-3 * beta * x))
            return x - 3 * p + 1, 9 * beta * p * (1 - p) - 1

        beta, _ = mpmath.findroot(equations, (fold.beta, fold.state[0]))
        assert abs(beta - fold.beta) < 1e-14
    assert_sound(branches)
    for beta in (fold.beta - 0.01, (fold.beta + 0.5) / 2, 0.6, 2.5):
        there = hopfix.Hopfield(net.patterns, beta, log_weights=net.log_weights)
        match(branches.at(beta).states, there.fixed_points("cells").states, 1e-9)


# A triangle is the simplest potential without the symmetry xi -> -xi: on the mirror line of a heavy
# pair, breaking the mirror symmetry gives pitchforks; the line itself turns in folds.
def test_mirror_symmetric_patterns_have_pitchforks_found_from_below():
    patterns = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]])
    down = hopfix.Hopfield(patterns, 30.0).follow(0.5)
    assert_sound(down)
    pitchforks = [e for e in down.events if e.kind == "pitchfork"]
    assert pitchforks
    for event in pitchforks:
        assert event.state[1] == pytest.approx(0, abs=1e-12)
        assert len(event.branches) == 2
        root, _ = mirror_pitchfork(patterns, event)
        assert event.beta == pytest.approx(float(root), abs=1e-12)
    up = hopfix.Hopfield(patterns, 0.5).follow(30.0)
    assert_sound(up)
    first = min(pitchforks, key=lambda e: e.beta)
    assert min(abs(e.beta - first.beta) for e in up.events) < 1e-12
    assert all(len(e.branches) == 2 for e in up.events if e.kind == "pitchfork")


def mirror_pitchfork(patterns, event):
    """(beta, x) with (x, 0) fixed and J_yy = 1 there, 30 digits."""
    with mpmath.workdps(30):

        def equations(beta, x):
            e = [mpmath.exp(beta * mpmath.mpf(float(a)) * x) for a in patterns[:, 0]]
            p = [v / sum(e) for v in e]
            mean = sum(w * mpmath.mpf(float(a)) for w, a in zip(p, patterns[:, 0], strict=True))
            spread = sum(
                w * mpmath.mpf(float(b)) ** 2 for w, b in zip(p, patterns[:, 1], strict=True)
            )
            return x - mean, beta * spread - 1

        return mpmath.findroot(equations, (event.beta, event.state[0]))


def test_an_equilateral_triangle_meets_in_a_double_point():
    angles = 2 * np.pi * np.arange(3) / 3
    patterns = np.column_stack([np.cos(angles), np.sin(angles)])
    branches = hopfix.Hopfield(patterns, 10.0).follow(0.5)
    (event,) = [e for e in branches.events if e.kind == "multiple"]
    assert event.beta == pytest.approx(2, abs=1e-10)  # J = beta/2 in the centre
    assert event.multiplicity == 2
    assert_sound(branches)


def test_branches_of_a_cross_polytope_meet_in_one_point_however_flat():
    # Along an axis x = sinh(3x) / (cosh(3x) + 2) agrees with x up to fifth order at beta = 3.
    branches = hopfix.Hopfield(np.vstack([np.eye(3), -np.eye(3)]), 40.0).follow(0.3)
    (event,) = branches.events
    assert (event.kind, event.multiplicity, len(event.branches)) == ("multiple", 3, len(branches))
    assert event.beta == pytest.approx(3, abs=1e-10)
    assert len(branches.at(39.0)) == 27


# ----------------------------------------------------------------------- independent oracles


def moore_spence(patterns, event, digits=30):
    """beta of the fold near an event, by Newton's method with mpmath's numerical Jacobian."""
    d = patterns.shape[1]
    j = np.asarray(naive.jacobian(patterns, event.beta, None, event.state), float)
    values, vectors = np.linalg.eigh(j)
    v = vectors[:, abs(values - 1).argmin()]
    with mpmath.workdps(digits):
        x = [[mpmath.mpf(float(a)) for a in row] for row in patterns]

        def equations(*u):
            state, w, beta = u[:d], u[d : 2 * d], u[-1]
            e = [mpmath.exp(beta * mpmath.fdot(row, state)) for row in x]
            p = [a / mpmath.fsum(e) for a in e]
            f = [mpmath.fdot(p, column) for column in zip(*x, strict=True)]
            y = [[a - m for a, m in zip(row, f, strict=True)] for row in x]
            along = [q * mpmath.fdot(row, w) for q, row in zip(p, y, strict=True)]
            jw = [beta * mpmath.fdot(along, column) for column in zip(*y, strict=True)]
            return [
                *(a - b for a, b in zip(state, f, strict=True)),
                *(a - b for a, b in zip(w, jw, strict=True)),
                mpmath.fdot(w, w) - 1,
            ]

        start = [*map(float, event.state), *map(float, v), event.beta]
        return mpmath.findroot(equations, start)


@pytest.mark.parametrize(("d", "N", "seed"), [(3, 6, 1), (4, 7, 2), (5, 6, 3), (4, 10, 4)])
def test_folds_are_those_of_the_extended_system_in_thirty_digits(d, N, seed):
    patterns = naive.unit_patterns(d, N, seed)
    branches = hopfix.Hopfield(patterns, 50.0).follow(1.0)
    assert_sound(branches)
    folds = [e for e in branches.events if e.kind == "fold"]
    assert len(folds) == len(branches.events)
    assert len(folds) > 3
    for event in folds[:6]:
        assert event.certified
        root = moore_spence(patterns, event)
        assert abs(root[2 * d] - event.beta) <= event.beta_radius < 1e-10
        assert naive.covers(event.radius, event.state, list(root[:d]))


@pytest.mark.parametrize(("d", "N", "seed"), [(3, 6, 1), (4, 7, 2), (5, 6, 3), (4, 10, 4)])
@pytest.mark.parametrize("beta", [1.5, 4.0, 9.0, 20.0, 37.0, 50.0])
def test_branches_hold_all_points_that_the_exhaustive_search_finds(d, N, seed, beta):
    # Holds for these networks; isolated loops of fixed points in between would be missed.
    patterns = naive.unit_patterns(d, N, seed)
    there = hopfix.Hopfield(patterns, 50.0).follow(1.0).at(beta)
    found = hopfix.Hopfield(patterns, beta).fixed_points("cells")
    assert found.completeness == "proved"
    match(there.states, found.states, 1e-10)
    assert there.counts == found.counts


def test_what_is_born_above_is_not_reached_from_below_and_cells_shows_it():
    patterns = naive.unit_patterns(3, 6, 1)
    up = hopfix.Hopfield(patterns, 1.0).follow(50.0)
    assert len(up.at(1.5)) == len(hopfix.Hopfield(patterns, 1.5).fixed_points("cells")) == 1
    found = hopfix.Hopfield(patterns, 50.0).fixed_points("cells")
    assert len(up.at(50.0)) < len(found)


@pytest.mark.parametrize("seed", range(6))
def test_the_degree_is_one_between_events(seed):
    rng = np.random.default_rng(seed)
    d, N = rng.integers(2, 5), rng.integers(4, 9)
    net = hopfix.Hopfield(naive.unit_patterns(d, N, seed + 50), 25.0)
    found = net.fixed_points("cells")
    assert found.completeness == "proved"
    branches = net.follow(1.0, found)
    marks = np.unique([1.0, 25.0, *(e.beta for e in branches.events)])
    for low, high in pairwise(marks):
        if high - low < 1e-6 * low:
            continue
        there = branches.at(np.sqrt(low * high))
        assert there.certified.all()
        assert audit(there.counts, int(d)).ok
    assert_sound(branches)


def close_passage():
    """Branches two of which pass each other closely at beta = 20.62: an unfolded crossing."""
    rng = np.random.default_rng(6611)
    d, N = int(rng.integers(1, 6)), int(rng.integers(2, 11))
    patterns = rng.normal(size=(N, d))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    return hopfix.Hopfield(patterns, 52.681).follow(10.466)


def test_a_fold_beside_another_branch_is_not_taken_for_a_crossing():
    branches = close_passage()
    assert branches.counts == {"fold": 5}
    assert branches.at(10.466).completeness == "consistent"


def test_arclength_ascends_through_folds_in_a_close_passage():
    assert_sound(close_passage())


def test_log_weights_and_patterns_far_from_the_origin():
    rng = np.random.default_rng(8)
    patterns = rng.normal(size=(6, 9)) + 3
    net = hopfix.Hopfield(patterns, 8.0, log_weights=-4 * (patterns**2).sum(axis=1))
    found = net.fixed_points("cells")
    branches = net.follow(6.0, found)
    assert_sound(branches)
    match(branches.at(8.0).states, found.states, 1e-9)
