"""Multiple crossings: the branches that leave where symmetry makes several eigenvalues 1."""

import naive
import numpy as np
import pytest
from curves import assert_sound, branch_arrays
from points import match

import hopfix


def cross_polytope(d):
    return np.vstack([np.eye(d), -np.eye(d)])


def cube(d):
    return np.stack(np.meshgrid(*[[-1.0, 1.0]] * d), -1).reshape(-1, d)


def polygon(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angles), np.sin(angles)])


def simplex(n):
    return np.eye(n) - 1 / n


def rotated(patterns, seed=0):
    d = patterns.shape[1]
    return patterns @ np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


@pytest.mark.parametrize("N", range(3, 10))
def test_all_orthonormal_branches_are_found_from_the_single_point_at_small_beta(N):
    branches = hopfix.Hopfield(np.eye(N), 0.5).follow(N + 2.0)
    (centre,) = [e for e in branches.events if e.kind == "multiple"]
    # One line of branches through the centre for each pair of complementary classes.
    assert centre.found == len(branches) - 1 == 2 ** (N - 1) - 1
    assert centre.may_have_more
    assert sorted(centre.branches) == list(range(len(branches)))
    assert_sound(branches)
    for beta in (N + 2.0, N + 0.1, N - 0.1):
        there = branches.at(beta)
        assert there.counts == naive.softmax_counts(N, beta)
        assert there.completeness == "consistent"
    wanted = hopfix.Hopfield(np.eye(N), N + 2.0).fixed_points("closed_form")
    match(branches.at(N + 2.0).states, wanted.states, 1e-12)


def test_eight_orthonormal_patterns_at_beta_ten():
    found = hopfix.Hopfield(np.eye(8), 0.5).follow(10.0).at(10.0)
    assert len(found) == 255
    assert found.counts == naive.softmax_counts(8, 10.0)
    assert found.certified.all()


@pytest.mark.parametrize(
    ("patterns", "beta"),
    [
        (cross_polytope(2), 9.0),
        (cross_polytope(3), 9.0),
        (cross_polytope(4), 9.0),
        (rotated(cross_polytope(3)), 9.0),
        (cube(2), 3.0),
        (cube(3), 3.0),
        (simplex(5), 9.0),
        (rotated(simplex(4)), 9.0),
        (polygon(3), 12.0),
        (polygon(4), 12.0),
        (polygon(5), 12.0),
        (np.vstack([np.eye(4), np.eye(4)]), 9.0),
    ],
    ids=str,
)
def test_symmetric_patterns_from_below_give_what_the_exhaustive_search_finds(patterns, beta):
    branches = hopfix.Hopfield(patterns, 0.05).follow(beta)
    assert_sound(branches)
    comparison = branches.compare(beta)
    assert comparison.proved_complete, comparison
    assert not len(comparison.extra)
    assert branches.at(beta).counts == comparison.reference.counts


def test_a_crossing_too_flat_to_leave_is_said_to_have_more():
    branches = hopfix.Hopfield(polygon(7), 0.05).follow(12.0)
    (event,) = branches.events
    assert (event.kind, event.multiplicity, event.may_have_more) == ("multiple", 2, True)
    comparison = branches.compare(12.0)
    assert len(comparison.matched) == 1
    assert len(comparison.missing) == len(comparison.reference) - 1 > 0
    assert not comparison.proved_complete


def test_branches_that_are_given_are_not_found_again():
    branches = hopfix.Hopfield(np.eye(6), 20.0).follow(1.0)
    assert len(branches) == 32
    assert [e.found for e in branches.events] == [0] * len(branches.events)


def test_one_given_point_leads_to_all_through_the_centre():
    net = hopfix.Hopfield(np.eye(5), 20.0)
    branches = net.follow(6.0, net.fixed_points().states[:1])
    assert len(branches.at(7.0)) < 31  # the centre lies below
    branches = net.follow(2.0, net.fixed_points().states[:1])
    assert_sound(branches)
    assert len(branches.at(7.0)) == 31
    assert sum(e.found for e in branches.events) == 15


def test_simple_crossings_have_two_branches():
    branches = hopfix.Hopfield([[-1.0], [1.0]], 0.5).follow(2.0)
    (event,) = branches.events
    assert (event.kind, event.found, event.may_have_more) == ("pitchfork", 1, False)


def test_found_branches_are_the_same_for_every_number_of_threads():
    one = hopfix.Hopfield(np.eye(6), 0.5, num_threads=1).follow(8.0)
    other = hopfix.Hopfield(np.eye(6), 0.5, num_threads=3).follow(8.0)
    for a, b in zip(branch_arrays(one), branch_arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)
