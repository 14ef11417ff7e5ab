"""The search over hull coordinates is held against the one over weights and brute force."""

import naive
import numpy as np
import pytest
from cells import assert_proved, fold, problem, roots_by_brute_force, same
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix


def hull(net, **limits):
    found = net.fixed_points("cells", form="hull", **limits)
    assert found.proof.form == "hull"
    return found


@pytest.mark.parametrize(
    ("d", "N", "seed", "beta", "counts"),
    [
        (2, 5, 0, 50.0, (4, 4, 1)),
        (3, 5, 0, 10.0, (3, 2)),
        (3, 6, 1, 20.0, (4, 5, 2)),
        (3, 6, 1, 200.0, (6, 7, 2)),
        (3, 6, 1, 1e4, (6, 7, 3, 1)),
        (4, 7, 2, 10.0, (7, 9, 3)),
        (4, 7, 2, 20.0, (7, 12, 9, 3)),
        (4, 10, 4, 20.0, (9, 13, 6, 1)),
        (4, 10, 4, 50.0, (10, 18, 11, 3, 1)),
        (4, 20, 3, 20.0, (16, 22, 9, 3, 1)),
        (3, 50, 3, 30.0, (20, 31, 13, 1)),
        (2, 100, 3, 50.0, (8, 8, 1)),
    ],
)
def test_known_counts(d, N, seed, beta, counts):
    found = hull(hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta))
    assert_proved(found)
    assert tuple(found.counts.values()) == counts


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_brute_force_finds_nothing_else(first):
    for seed in range(first, first + 20):
        patterns, beta, log_weights = problem(seed)
        found = hull(hopfix.Hopfield(patterns, beta, log_weights=log_weights))
        assert_proved(found)
        roots = roots_by_brute_force(patterns, beta, log_weights, np.random.default_rng(seed))
        distance = np.linalg.norm(roots[:, None] - found.states[None], axis=-1).min(axis=1)
        assert distance.max() < 1e-6, (seed, found)


@given(
    N=st.integers(1, 40),
    rank=st.integers(1, 3),
    d=st.integers(1, 12),
    beta=st.floats(0.1, 50),
    weighted=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_in_any_dimension_it_agrees_with_starts_and_weights(N, rank, d, beta, weighted, seed):
    """Patterns of any norm, on a flat of low dimension away from the origin."""
    rng = np.random.default_rng(seed)
    flat = rng.normal(size=(min(rank, d), d)) / np.sqrt(d)
    patterns = rng.normal(size=(N, len(flat))) @ flat + rng.normal(size=d)
    log_weights = rng.normal(size=N) if weighted else None
    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    found = hull(net, time_limit=20)
    if found.completeness != "proved":  # a fold or a pitchfork nearby
        assert all("eigenvalue" in region.reason for region in found.undecided)
        return
    assert_proved(found)
    others = [net.fixed_points("starts", time_limit=5)]
    if N <= 8:
        others.append(net.fixed_points("cells", form="weights", time_limit=5))
    for other in others:
        states = other.states[other.certified]
        distance = np.linalg.norm(states[:, None] - found.states[None], axis=-1).min(axis=1)
        assert (distance <= other.radius[other.certified] + found.radius.max()).all()
        if other.completeness == "proved":
            assert len(other) == len(found)


def test_points_are_fixed_points_to_fifty_digits():
    patterns = naive.unit_patterns(3, 30, 5)
    found = hull(hopfix.Hopfield(patterns, 15.0))
    assert_proved(found)
    for point in found:
        exact = naive.newton_mp(patterns, 15.0, None, point.state)
        assert naive.covers(point.radius, point.state, exact)


def test_a_thousand_patterns_in_the_plane():
    patterns = naive.unit_patterns(2, 1000, 3)
    net = hopfix.Hopfield(patterns, 50.0)
    found = net.fixed_points("cells")
    assert found.proof.form == "hull"
    assert_proved(found)
    assert found.counts == {0: 9, 1: 9, 2: 1}


@pytest.mark.parametrize("many", [1, 40, 1000])
def test_the_same_pattern_many_times_is_one_with_more_weight(many):
    three = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.9]])
    patterns = np.concatenate([np.repeat(three[:1], many, axis=0), three[1:]])
    found = hull(hopfix.Hopfield(patterns, 6.0))
    one = hopfix.Hopfield(three, 6.0, log_weights=[np.log(many), 0, 0]).fixed_points("cells")
    assert_proved(found)
    assert found.counts == one.counts
    distance = np.linalg.norm(one.states[:, None] - found.states[None], axis=-1)
    assert distance.min(axis=1).max() < 1e-9


@pytest.mark.parametrize(
    ("patterns", "beta", "state"),
    [
        ([[-1.0], [1.0]], 1.0, [0.0]),
        ([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], 2.0, [0.0, 0.0]),
        (np.eye(3), 3.0, np.full(3, 1 / 3)),
        (np.eye(3), *fold(3, 1)),
        (np.eye(5), *fold(5, 1)),
    ],
    ids=["line", "square", "three", "fold of 3", "fold of 5"],
)
@pytest.mark.parametrize("shift", [0.0, 1e-15, -1e-15])
def test_degenerate_points_are_left_undecided(patterns, beta, state, shift):
    found = hull(hopfix.Hopfield(patterns, beta * (1 + shift)), time_limit=20)
    assert found.completeness == "unknown"
    assert any(np.linalg.norm(r.state - np.asarray(state)) <= r.radius for r in found.undecided)
    assert all("eigenvalue" in region.reason for region in found.undecided)
    assert found.proof.seconds < 15


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_the_unit_of_length_does_not_matter(scale):
    found = hull(hopfix.Hopfield(scale * naive.unit_patterns(3, 6, 1), 20 / scale**2))
    assert found.completeness == "proved"
    assert found.counts == {0: 4, 1: 5, 2: 2}


def test_far_from_the_origin():
    patterns = naive.unit_patterns(3, 6, 1)
    shift = np.full(3, 1024.0)
    shifted = hopfix.Hopfield(patterns + shift, 20.0, log_weights=-20 * (patterns @ shift))
    found = hull(shifted)
    assert_proved(found)
    assert found.counts == {0: 4, 1: 5, 2: 2}


def test_extreme_log_weights():
    log_weights = [0.0, -500.0, -1000.0, 3.0, -2000.0, -1e6]
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0, log_weights=log_weights)
    found = hull(net)
    assert_proved(found)
    assert found.counts == net.fixed_points("cells", form="weights").counts


def test_float32_networks():
    net = hopfix.Hopfield(naive.unit_patterns(4, 20, 3).astype(np.float32), 20.0)
    found = hull(net)
    assert found.states.dtype == np.float32
    assert_proved(found)
    assert found.counts == {0: 16, 1: 22, 2: 9, 3: 3, 4: 1}


@pytest.mark.parametrize("limits", [{}, {"max_boxes": 700}, {"max_count": 30}], ids=str)
def test_the_result_does_not_depend_on_the_number_of_threads(limits):
    lists = [
        hull(hopfix.Hopfield(naive.unit_patterns(4, 20, 3), 20.0, num_threads=t), **limits)
        for t in (1, 2, 5)
    ]
    for other in lists[1:]:
        same(lists[0], other)
        assert other.proof.newton_steps == lists[0].proof.newton_steps


def test_what_max_boxes_leaves_covers_all_that_is_missing():
    net = hopfix.Hopfield(naive.unit_patterns(4, 20, 3), 20.0)
    everything = hull(net)
    for max_boxes in (1, 10, 100, 1000):
        found = hull(net, max_boxes=max_boxes)
        assert found.completeness == "unknown"
        for state in everything.states:
            known = np.linalg.norm(found.states - state, axis=1) < 1e-9
            left = [np.linalg.norm(r.state - state) <= r.radius for r in found.undecided]
            assert known.any() or any(left)


def test_the_time_limit_ends_a_search_in_the_midst_of_a_box():
    patterns = np.random.default_rng(0).normal(size=(40_000, 8)) / 3
    net = hopfix.Hopfield(patterns, 1.5, num_threads=1)
    whole_box = hull(net, max_boxes=1)
    found = hull(net, time_limit=0.1)
    assert found.proof.newton_steps < whole_box.proof.newton_steps
    assert found.completeness == "unknown"
    assert [region.reason for region in found.undecided] == ["time_limit reached"]


def test_auto_proves_many_patterns_in_few_dimensions():
    found = hopfix.Hopfield(naive.unit_patterns(3, 200, 1), 15.0).fixed_points()
    assert found.method == "cells"
    assert found.completeness == "proved"


def test_what_it_cannot_search_is_an_error():
    with pytest.raises(ValueError, match=r"patterns.*129.*9 dimensions.*128"):
        hopfix.Hopfield(naive.unit_patterns(9, 129, 0)).fixed_points("cells")
    with pytest.raises(ValueError, match=r"patterns.*9 dimensions.*8.*hull"):
        hopfix.Hopfield(naive.unit_patterns(9, 20, 0)).fixed_points("cells", form="hull")
    with pytest.raises(ValueError, match=r"patterns: got 2097153, need at most 2097152"):
        hopfix.Hopfield(np.arange(2**21 + 1.0)[:, None]).fixed_points("cells")
    with pytest.raises(ValueError, match=r"patterns.*200.*128"):
        hopfix.Hopfield(naive.unit_patterns(2, 200, 0)).fixed_points("cells", form="weights")
    with pytest.raises(ValueError, match="form: got 'boxes', need one of auto, weights, hull"):
        hopfix.Hopfield(np.eye(3)).fixed_points("cells", form="boxes")
    with pytest.raises(ValueError, match="need one of auto, weights, hull for method 'cells'"):
        hopfix.Hopfield(np.eye(3)).fixed_points("cells", form="supports")
    with pytest.raises(ValueError, match="need one of auto, supports for method 'faces'"):
        hopfix.Hopfield(np.eye(3)).fixed_points("faces", form="hull")
