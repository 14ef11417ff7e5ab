"""degree.brouwer_degree against lists of fixed points, additivity, and winding numbers."""

import os
import signal
import threading
import time
from itertools import pairwise

import naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hopfix
from hopfix.degree import brouwer_degree


def problem(seed):
    """A random network of one to three dimensions, and the seed's generator."""
    rng = np.random.default_rng(seed)
    d, N = int(rng.integers(1, 4)), int(rng.integers(1, 8))
    patterns = rng.normal(size=(N, d))
    if seed % 5 == 4:
        patterns[-1] = patterns[0]
    log_weights = 2 * rng.normal(size=N) if seed % 2 else None
    beta = float(np.exp(rng.uniform(-0.5, 3.0)))
    return hopfix.Hopfield(patterns, beta, log_weights=log_weights), rng


def random_box(net, rng):
    """Corners anywhere in and a little around the patterns."""
    low, high = net.patterns.min(axis=0) - 0.3, net.patterns.max(axis=0) + 0.3
    return np.sort(rng.uniform(low, high, size=(2, len(low))), axis=0)


def index_sum(found, lower, upper):
    """The degree as the textbook has it, for boxes with nothing near their boundary."""
    inside = np.all((found.states > lower) & (found.states < upper), axis=1)
    return int(found.index[inside].sum())


def proved(net):
    found = net.fixed_points("cells")
    assert found.completeness == "proved"
    return found


# ---------------------------------------------------------------------------------- known degrees


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6))
def test_it_is_the_sum_of_the_indices_inside(seed):
    net, rng = problem(seed)
    found = net.fixed_points("cells")
    assume(found.completeness == "proved")
    for _ in range(3):
        lower, upper = random_box(net, rng)
        expected = index_sum(found, lower, upper)
        for method in ("boundary", "indices", "auto"):
            degree = brouwer_degree(net, lower, upper, method=method)
            assert degree.value == expected, (method, degree)
            assert degree.reason is None
            assert method == "auto" or degree.method == method


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_it_adds_up_when_a_box_is_cut(seed, share):
    net, rng = problem(seed)
    lower, upper = random_box(net, rng)
    axis = int(rng.integers(len(lower)))
    cut = lower[axis] + share * (upper[axis] - lower[axis])
    assume(lower[axis] < cut < upper[axis])
    below, above = upper.copy(), lower.copy()
    below[axis] = above[axis] = cut
    whole, one, other = (
        brouwer_degree(net, a, b, method="boundary")
        for a, b in ((lower, upper), (lower, below), (above, upper))
    )
    assume(whole.value is not None)  # a cut too near a fixed point
    assume(one.value is not None)
    assert whole.value == one.value + other.value


def winding_number(net, lower, upper):
    """How often g = id - f turns around 0 along the boundary of a rectangle, by sampling."""
    (a, b), (c, d) = lower, upper
    t = np.linspace(0, 1, 4000, endpoint=False)[:, None]
    corners = np.array([[a, b], [c, b], [c, d], [a, d]])
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    path = np.concatenate([p + t * (q - p) for p, q in sides])
    logits = net.beta * path @ net.patterns.T + net.log_weights
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    g = path - weights @ net.patterns / weights.sum(axis=1, keepdims=True)
    angle = np.arctan2(g[:, 1], g[:, 0])
    turns = (np.diff(angle, append=angle[0]) + np.pi) % (2 * np.pi) - np.pi
    if np.abs(turns).max() > 0.5:
        return None  # too coarse here
    return round(turns.sum() / (2 * np.pi))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_in_the_plane_it_is_the_winding_number(seed):
    rng = np.random.default_rng(seed)
    net = hopfix.Hopfield(rng.normal(size=(6, 2)), float(np.exp(rng.uniform(0, 3))))
    lower, upper = random_box(net, rng)
    expected = winding_number(net, lower, upper)
    assume(expected is not None)
    assert brouwer_degree(net, lower, upper, method="boundary").value == expected


@pytest.mark.parametrize(("d", "N", "seed", "beta"), [(4, 7, 2, 20.0), (5, 6, 3, 20.0)])
def test_more_dimensions(d, N, seed, beta):
    net = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta)
    found = proved(net)
    # A corner of the box leaves out some of the points, whose indices do not cancel.
    lower, upper = net.patterns.min(axis=0) * 0.9, net.patterns.max(axis=0) * 0.9
    upper[0] = 0.1
    expected = index_sum(found, lower, upper)
    assert expected not in (0, 1)
    degree = brouwer_degree(net, lower, upper)
    assert (degree.value, degree.method) == (expected, "indices")
    if d == 4:
        degree = brouwer_degree(net, lower, upper, method="boundary")
        assert (degree.value, degree.method) == (expected, "boundary")


def test_many_patterns():
    net = hopfix.Hopfield(np.random.default_rng(0).normal(size=(60, 2)), 20.0)
    found = net.fixed_points("starts")
    total = 0
    edges = np.linspace(-3.123, 3.456, 6)
    for left, right in pairwise(edges):
        for bottom, top in pairwise(edges):
            degree = brouwer_degree(net, [left, bottom], [right, top])
            assert degree.value == index_sum(found, [left, bottom], [right, top])
            total += degree.value
    assert total == 1


def test_thousands_of_patterns():
    patterns = np.random.default_rng(1).normal(size=(2000, 2))
    net = hopfix.Hopfield(patterns, 0.5)  # one fixed point, near the mean
    assert brouwer_degree(net, [-0.5, -0.6], [0.7, 0.5]).value == 1
    assert brouwer_degree(net, [0.3, -0.6], [0.9, 0.5]).value == 0
    sharp = hopfix.Hopfield(patterns[:200], 8.0)
    found = sharp.fixed_points("starts")
    total = sum(
        brouwer_degree(sharp, [left, -9], [right, 9]).value
        for left, right in pairwise([-9, -1.1, 0.2, 0.9, 9])
    )
    assert total == 1
    box = [-1.1, -0.77], [0.93, 1.2]
    assert brouwer_degree(sharp, *box).value == index_sum(found, *box)


@pytest.mark.parametrize("shape", ["cross", "line", "corner"])
@pytest.mark.parametrize("d", [2, 3])
def test_boxes_on_the_symmetries_of_the_patterns(shape, d):
    # Many components of xi - f(xi) vanish together on edges and faces of these boxes.
    lower, upper = np.full(d, -0.3), np.full(d, 0.3)
    if shape == "cross":
        net = hopfix.Hopfield(np.concatenate([np.eye(d), -np.eye(d)]), 6.0)
    elif shape == "line":
        net = hopfix.Hopfield(np.outer([-1.0, 0.4, 1.0], np.eye(d)[0]), 3.0)
    else:
        net = hopfix.Hopfield(np.eye(d), 1.5 * d)
        lower, upper = np.full(d, 0.05), np.full(d, 0.45 if d == 3 else 0.75)
    expected = index_sum(proved(net), lower, upper)
    assert expected != 0
    for method in ("boundary", "indices"):
        assert brouwer_degree(net, lower, upper, method=method).value == expected


def test_all_patterns_inside_or_none():
    net, _ = problem(3)
    low, high = net.patterns.min(axis=0), net.patterns.max(axis=0)
    around = brouwer_degree(net, np.nextafter(low, -9), np.nextafter(high, 9))
    assert (around.value, around.method, around.boxes) == (1, "hull", 0)
    beside = brouwer_degree(net, high + 0.5, high + 1)
    assert (beside.value, beside.method, beside.boxes) == (0, "hull", 0)
    for corner in (1.0, 1e6, 1e300):
        dim = len(low)
        large = brouwer_degree(
            net, np.full(dim, -9 * corner), np.full(dim, 9 * corner), method="boundary"
        )
        assert large.value == 1
    assert brouwer_degree(net, high + 0.5, high + 1, method="boundary").value == 0


# ------------------------------------------------------------------------------------- degeneracy


@pytest.mark.parametrize("method", ["auto", "boundary", "indices"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_fixed_point_on_the_boundary_is_a_reason(method, d):
    # The middle of a cross is fixed exactly, at any beta.
    net = hopfix.Hopfield(np.concatenate([np.eye(d), -np.eye(d)]), 1.5)
    lower, upper = np.full(d, -0.4), np.full(d, 0.3)
    upper[0] = 0.0
    degree = brouwer_degree(net, lower, upper, method=method)
    assert degree.value is None
    assert degree.method is None
    assert "on the boundary, or too near" in degree.reason
    upper[0] = 1e-7  # it is inside by a little
    near = brouwer_degree(net, lower, upper, method=method)
    assert near.value == index_sum(proved(net), lower, upper)


def test_degenerate_points_inside_have_a_degree():
    # A pitchfork: x - tanh(x) grows through its triple zero.
    line = hopfix.Hopfield([[-1.0], [1.0]], 1.0)
    assert brouwer_degree(line, [-0.5], [0.4]).value == 1
    alone = brouwer_degree(line, [-0.5], [0.4], method="indices")
    assert alone.value is None
    assert "eigenvalue" in alone.reason
    # The centre of three orthonormal patterns at beta = 3, where three saddles meet in it.
    centre = hopfix.Hopfield(np.eye(3), 3.0)
    others = centre.fixed_points("cells")
    assert others.completeness == "unknown"
    degree = brouwer_degree(centre, np.full(3, 0.25), np.full(3, 0.42))
    assert degree.value == 1 - int(others.index.sum())
    # Far from it, the list that is not proved as a whole still decides.
    memory = np.array([0.6, -0.1, -0.1]), np.array([1.1, 0.3, 0.3])
    assert brouwer_degree(centre, *memory, method="indices").value == index_sum(others, *memory)


def test_a_fold_has_degree_zero():
    # Two fixed points meet and vanish: the degree around them is 0 before, at and after.
    beta = hopfix.softmax_map.threshold(3, 1)
    (at,) = [c for c in hopfix.softmax_map.fixed_points(3, beta) if c.k == 1]
    point = np.array([at.u, at.v, at.v])
    for change in (0.99, 1.0, 1.001):
        net = hopfix.Hopfield(np.eye(3), beta * change)
        assert brouwer_degree(net, point - 0.1, point + 0.1, method="boundary").value == 0


def test_float32_networks_are_taken_as_they_are():
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1).astype(np.float32), 20.0)
    wide = hopfix.Hopfield(net.patterns.astype(np.float64), 20.0)
    lower, upper = np.float32([-0.9, -0.7, -0.5]), np.float32([0.8, 0.9, 0.7])
    one, other = brouwer_degree(net, lower, upper), brouwer_degree(wide, lower, upper)
    assert one == other
    assert one.value == index_sum(proved(wide), lower, upper)
    assert brouwer_degree(net, lower, upper, method="indices").value == one.value


# ----------------------------------------------------------------------------------------- limits


def test_limits_are_reasons():
    net = hopfix.Hopfield(naive.unit_patterns(6, 12, 1), 10.0)
    lower, upper = net.patterns.min(axis=0) * 0.8, net.patterns.max(axis=0) * 0.8
    few = brouwer_degree(net, lower, upper, max_boxes=20)
    assert few.value is None
    assert "boundary: max_boxes reached" in few.reason
    assert "indices: " in few.reason
    assert few.boxes <= 40
    began = time.monotonic()
    brief = brouwer_degree(net, lower, upper, method="boundary", time_limit=0.1)
    assert time.monotonic() - began < 3  # the rest is for a busy machine
    assert brief.reason == "boundary: time_limit reached"


def test_progress_and_ctrl_c():
    calls = []
    net = hopfix.Hopfield(naive.unit_patterns(6, 12, 1), 10.0)
    box = net.patterns.min(axis=0) * 0.8, net.patterns.max(axis=0) * 0.8
    brouwer_degree(
        net, *box, method="boundary", max_boxes=5000, progress=lambda *n: calls.append(n)
    )
    assert calls[-1] == (5000, 5000)
    assert all(done <= total for done, total in calls)

    class Enough(Exception):  # noqa: N818
        pass

    def stop(done, total):
        raise Enough

    with pytest.raises(Enough):
        brouwer_degree(net, *box, method="boundary", progress=stop)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        brouwer_degree(net, *box, method="boundary", max_boxes=10**9)
    assert time.monotonic() - began < 3.2  # one, and slack for a busy machine, after 0.2


def test_beyond_the_range_of_doubles_nothing_is_claimed():
    net = hopfix.Hopfield(np.eye(2) * 1e200, 1.0)
    degree = brouwer_degree(
        net, [-1e199, -1e199], [3e199, 2e199], method="boundary", max_boxes=2000
    )
    assert degree.value is None


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("lower", "upper", "options", "error", "message"),
    [
        ([0.0], [1.0, 1.0], {}, ValueError, r"lower: got shape \(1,\), need \(..., 2\)"),
        ([[0.0, 0.0]], [1.0, 1.0], {}, ValueError, r"lower: got shape \(1, 2\), need \(2,\)"),
        ([0.0, 0.0], [1.0, 0.0], {}, ValueError, "upper: got 0.0 at index 1, need more than lower"),
        ([0.0, np.nan], [1.0, 1.0], {}, ValueError, "lower: got nan"),
        ([0.0, 0.0], [np.inf, 1.0], {}, ValueError, "upper: got inf"),
        (["a", "b"], [1.0, 1.0], {}, TypeError, "lower: got dtype"),
        ([0.0, 0.0], [1.0, 1.0], {"method": "x"}, ValueError, "method: got 'x', need one of auto"),
        ([0.0, 0.0], [1.0, 1.0], {"max_boxes": 0}, ValueError, "max_boxes: got 0"),
        ([0.0, 0.0], [1.0, 1.0], {"time_limit": -1}, ValueError, "time_limit: got -1"),
        ([0.0, 0.0], [1.0, 1.0], {"progress": 3}, TypeError, "progress: got int, need a callable"),
    ],
)
def test_wrong_input(lower, upper, options, error, message):
    with pytest.raises(error, match=message):
        brouwer_degree(hopfix.Hopfield(np.eye(2)), lower, upper, **options)


def test_the_network_must_be_one():
    with pytest.raises(TypeError, match=r"network: got ndarray, need a hopfix\.Hopfield"):
        brouwer_degree(np.eye(2), [0, 0], [1, 1])
