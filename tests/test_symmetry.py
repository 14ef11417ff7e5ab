"""fixed_points("cells") up to the exchange of patterns: held against searches without symmetry."""

import itertools
import json
import math
import os
import signal
import threading
import time

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points import same
from scipy.linalg import block_diag
from scipy.spatial import cKDTree

import hopfix
from hopfix import softmax_map


def assert_proved(found):
    """Everything that "proved" promises and that the list itself can show."""
    __tracebackhide__ = True
    assert found.completeness == "proved", found.undecided
    assert found.undecided == ()
    assert found.certified.all()
    assert found.degree_sum == 1
    assert (found.radius < found.uniqueness_radius).all()
    if len(found) > 1:
        states = found.states.astype(float)
        gaps = cKDTree(states).query(states, k=2)[0][:, 1]
        assert (gaps > 2 * found.radius).all()


def assert_same_points(one, other):
    """Two proved lists are about the same fixed points, one to one."""
    __tracebackhide__ = True
    assert len(one) == len(other)
    gaps, nearest = cKDTree(other.states.astype(float)).query(one.states.astype(float))
    assert len(set(nearest)) == len(one)
    assert (gaps <= one.radius + other.radius[nearest]).all()
    np.testing.assert_array_equal(one.morse_index, other.morse_index[nearest])


def both(patterns, beta, log_weights=None, **options):
    """The lists with symmetry and without."""
    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    with_it = net.fixed_points("cells", form="weights", **options)
    without = net.fixed_points("cells", form="weights", symmetry=False, **options)
    assert without.proof.symmetry == ()
    return with_it, without


def simplex(n):
    """A regular simplex about a point that is not the origin, in integers."""
    return 2 * np.eye(n) - 1


def cross(d):
    """The pairs ±e_i."""
    return np.vstack([np.eye(d), -np.eye(d)])


HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1.0]])
BLOCKS = block_diag(2 * np.eye(3), np.eye(3))
REPEATED = naive.unit_patterns(3, 4, 1)[[0, 1, 2, 3, 0, 0, 1]]

NETWORKS = {
    "simplex": (simplex(5), None),
    "ten times a tenth": (0.1 * HADAMARD, None),
    "two scales": (BLOCKS, None),
    "two scales and a stranger": (np.vstack([BLOCKS, np.full((1, 6), 0.3)]), None),
    "pairs": (cross(4), None),
    "some pairs": (cross(4)[:6], None),
    "duplicates": (REPEATED, None),
    "duplicates and copies of log-weights": (REPEATED, [0, 1, 0, 0, 0, 0, 1]),
    "broken by log-weights": (np.eye(6), [0, 0, 0, 1, 1, 0.5]),
    "kept by log-weights": (np.eye(6), [2, 2, 2, 2, 2, 0.5]),
    "far from the origin": (np.eye(4) + 64, None),
    "nothing to exchange": (naive.unit_patterns(3, 6, 1), None),
}


# --------------------------------------------------------------------- against other searches


@pytest.mark.parametrize("name", NETWORKS)
def test_the_points_are_those_of_a_search_without_symmetry(name):
    patterns, log_weights = NETWORKS[name]
    square = float(np.square(patterns - patterns.mean(axis=0)).sum(axis=1).max())
    for beta in np.array([0.5, 2.0, 3.7, 6.0, 9.3, 40.0]) / square:
        with_it, without = both(patterns, beta, log_weights)
        assert_proved(with_it)
        assert_same_points(with_it, without)
        assert bool(with_it.proof.symmetry) == (name != "nothing to exchange")


@pytest.mark.parametrize("N", range(2, 11))
def test_orthonormal_patterns_have_the_points_of_the_closed_form(N):
    thresholds = [softmax_map.threshold(N, k) for k in range(1, (N + 1) // 2)] + [float(N)]
    betas = [t * (1 + e) for t in thresholds for e in (-1e-2, 1e-2)]
    for beta in [0.5, 0.5 * N, *betas, 2.0 * N, 30.0 * N]:
        found = hopfix.Hopfield(np.eye(N), beta).fixed_points("cells")
        assert_proved(found)
        assert found.proof.symmetry == (tuple(range(N)),)
        assert found.counts == naive.softmax_counts(N, beta)
        expected = []
        for k, u, v, _, _ in naive.softmax_classes(N, beta):
            for chosen in itertools.combinations(range(N), k):
                expected.append(np.full(N, v))
                expected[-1][list(chosen)] = u
        gaps, nearest = cKDTree(found.states).query(np.array(expected))
        assert gaps.max() < 1e-9
        assert len(set(nearest)) == len(found)


@pytest.mark.parametrize("gap", [1e-9, 1e-5, 1e-3])
@pytest.mark.parametrize(("N", "k"), [(3, 1), (5, 1), (6, 2), (8, 3)])
def test_next_to_a_fold_the_count_is_right_or_unknown(N, k, gap):
    for sign in (1, -1):
        beta = softmax_map.threshold(N, k) * (1 + sign * gap)
        found = hopfix.Hopfield(np.eye(N), beta).fixed_points("cells", time_limit=20)
        if found.completeness == "proved":
            assert len(found) == softmax_map.count(N, beta)
        else:
            assert gap < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(-1, 1)] * 3), min_size=2, max_size=7),
    log_weights=st.one_of(st.none(), st.lists(st.integers(0, 1), min_size=7, max_size=7)),
    beta=st.floats(0.3, 12.0),
)
def test_small_integer_patterns(rows, log_weights, beta):
    b = None if log_weights is None else log_weights[: len(rows)]
    with_it, without = both(rows, beta, b, max_boxes=20_000)
    gram = np.array(rows) @ np.array(rows).T
    assert with_it.proof.symmetry == exchangeable(gram, b or [0] * len(rows))
    if with_it.completeness == without.completeness == "proved":
        assert_same_points(with_it, without)
    else:  # nothing is lost: what one list has the other has or leaves open
        assert missing(with_it, without) == missing(without, with_it) == 0


def exchangeable(gram, log_weights):
    """The classes, by brute force in integers."""
    n = len(gram)
    classes = []
    for i in range(n):
        for members in classes:
            order = list(range(n))
            order[i], order[members[0]] = members[0], i
            kept = (gram[np.ix_(order, order)] == gram).all()
            if kept and log_weights[i] == log_weights[members[0]]:
                members.append(i)
                break
        else:
            classes.append([i])
    return tuple(tuple(members) for members in classes if len(members) > 1)


def missing(found, other):
    """How many points of `other` are neither in `found` nor in a region it leaves open."""
    lost = 0
    for state, radius in zip(other.states, other.radius, strict=True):
        known = np.linalg.norm(found.states - state, axis=1) <= found.radius + radius
        left = [np.linalg.norm(u.state - state) <= u.radius + radius for u in found.undecided]
        lost += not (known.any() or any(left))
    return lost


# ------------------------------------------------------------------------- what is symmetric


def nudged(patterns, i, k, to):
    patterns = np.array(patterns, dtype=float)
    patterns[i, k] = to
    return patterns


@pytest.mark.parametrize(
    ("patterns", "log_weights", "symmetry"),
    [
        (np.eye(3), None, ((0, 1, 2),)),
        (np.eye(3), [0.0, 0.0, 0.0], ((0, 1, 2),)),
        (np.eye(3), [0.0, np.nextafter(0, 1), 0.0], ((0, 2),)),
        (nudged(np.eye(3), 0, 0, np.nextafter(1, 2)), None, ((1, 2),)),
        (nudged(np.eye(3), 0, 1, 5e-324), None, ()),
        (nudged(0.1 * HADAMARD, 0, 1, np.nextafter(0.1, 1)), None, ((1, 3),)),
        (0.1 * HADAMARD, None, ((0, 1, 2, 3),)),
        (1e-100 * HADAMARD, None, ((0, 1, 2, 3),)),
        (naive.orthonormal_patterns(4, 6, 0), None, ()),  # only to rounding
        (np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1]]), None, ((0, 1, 2),)),
        # 0.1 + 0.2 and 0.3 differ in the doubles' exact sums
        (np.array([[0.1, 0.2], [0.3, 0.0], [1.0, 1.0]]), None, ()),
        (np.zeros((3, 2)), None, ((0, 1, 2),)),
        (np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), None, ((0, 1), (2, 3))),
    ],
)
def test_only_what_is_exact_counts(patterns, log_weights, symmetry):
    largest = np.square(patterns).sum(axis=1).max()
    net = hopfix.Hopfield(patterns, 1.5 / largest if largest else 1.5, log_weights=log_weights)
    assert net.fixed_points("cells", form="weights").proof.symmetry == symmetry
    assert net.fixed_points("cells", form="hull").proof.symmetry == ()


# -------------------------------------------------------------------------------- certificates


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("patterns", "beta"),
    [(np.eye(5), 12.0), (0.1 * HADAMARD, 200.0), (cross(3), 9.0), (BLOCKS, 5.0)],
    ids=["eye", "tenth", "pairs", "blocks"],
)
def test_images_are_fixed_points_to_fifty_digits(patterns, beta, dtype):
    net = hopfix.Hopfield(patterns.astype(dtype), beta)
    found = net.fixed_points("cells")
    assert_proved(found)
    assert found.proof.representatives < len(found)
    for point in found:
        exact = naive.newton_mp(net.patterns.astype(float), beta, None, point.state.astype(float))
        assert naive.covers(point.radius, point.state.astype(float), exact)
    again = net.certify(found.states)
    np.testing.assert_array_equal(again.morse_index, found.morse_index)
    # Nobody's radii are larger than what a certificate made on the spot gives, to rounding.
    allowed = 1e-5 if dtype == np.float32 else 1e-12
    assert (found.radius <= again.radius + allowed).all()
    assert (found.uniqueness_radius >= again.uniqueness_radius * (1 - 1e-6) - allowed).all()


def test_float32_networks():
    patterns = block_diag(0.7 * np.eye(4), 0.3 * np.eye(3)).astype(np.float32)
    with_it, without = both(patterns, 100.0)
    assert with_it.states.dtype == np.float32
    assert_proved(with_it)
    assert_same_points(with_it, without)


def test_sixteen_orthonormal_patterns_have_65535_points():
    net = hopfix.Hopfield(np.eye(16), 20.0)
    began = time.process_time()
    found = net.fixed_points("cells")
    assert time.process_time() - began < 5  # a tenth of a second of one core, if it is idle
    assert found.completeness == "proved"
    assert found.undecided == ()
    assert found.certified.all()
    assert (found.radius < found.uniqueness_radius).all()
    assert found.counts == {k: math.comb(16, k + 1) for k in range(16)}
    assert found.proof.boxes < 100
    assert found.proof.representatives == 16
    assert found.radius.max() < 1e-12
    assert found.residual.max() < 1e-13
    # Every set of patterns once: the centre is that of all.
    large = (found.weights > 1 / 20) @ (1 << np.arange(16))
    np.testing.assert_array_equal(np.sort(large), np.arange(1, 2**16))


# --------------------------------------------------------------------------------- degeneracy


@pytest.mark.parametrize(
    ("patterns", "beta", "state"),
    [
        (np.eye(5), 5.0, np.full(5, 0.2)),
        (block_diag(np.eye(3), np.eye(2)), 3.0, None),
        (cross(2), 2.0, np.zeros(2)),
    ],
    ids=["centre", "corner", "square"],
)
def test_a_degenerate_point_is_left_undecided(patterns, beta, state):
    found = hopfix.Hopfield(patterns, beta).fixed_points("cells", time_limit=20)
    if state is None:
        assert_same_points(
            found, hopfix.Hopfield(patterns, beta).fixed_points("cells", symmetry=False)
        )
        return
    assert found.completeness == "unknown"
    assert any(np.linalg.norm(u.state - state) <= u.radius for u in found.undecided)
    assert all("eigenvalue" in u.reason for u in found.undecided)


@pytest.mark.parametrize(("N", "k"), [(4, 1), (6, 2), (7, 3), (16, 6)])
def test_all_images_of_a_degenerate_point_are_left_undecided(N, k):
    beta = softmax_map.threshold(N, k)
    found = hopfix.Hopfield(np.eye(N), beta).fixed_points("cells", time_limit=20)
    assert found.completeness == "unknown"
    (fold,) = [c for c in softmax_map.fixed_points(N, beta) if c.k == k]
    centres = np.array([u.state for u in found.undecided])
    radii = np.array([u.radius for u in found.undecided])
    for chosen in itertools.islice(itertools.combinations(range(N), k), 0, None, 7):
        state = np.full(N, fold.v)
        state[list(chosen)] = fold.u
        assert (np.linalg.norm(centres - state, axis=1) <= radii).any()


# ------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("max_count", [1, 6, 7, 500, 1022, 1023, 5000])
def test_max_count(max_count):
    net = hopfix.Hopfield(np.eye(10), 13.0)
    everything = net.fixed_points("cells")
    found = net.fixed_points("cells", max_count=max_count)
    assert len(found) == min(max_count, 1023)
    if max_count >= 1023:
        same(found, everything)
        return
    assert found.completeness == "unknown"
    assert {u.reason for u in found.undecided} == {"max_count reached"}
    assert missing(found, everything) == 0


def test_more_points_than_memory_holds():
    net = hopfix.Hopfield(np.eye(64), 80.0)
    found = net.fixed_points("cells")
    assert len(found) == 64  # one of every size
    assert found.completeness == "unknown"
    assert all("max_count" in u.reason for u in found.undecided)
    state = np.zeros(64)  # of the 12 points far from those in the list
    p = found.weights[found.morse_index == 11][0]
    state[-12:], state[:-12] = p.max(), p.min()
    assert missing(found, hopfix.Hopfield(np.eye(64), 80.0).fixed_points("cells", max_count=9)) == 0
    assert any(np.linalg.norm(u.state - state) <= u.radius for u in found.undecided)


def test_what_max_boxes_leaves_covers_all_images():
    net = hopfix.Hopfield(np.eye(7), 9.0)
    everything = net.fixed_points("cells")
    for max_boxes in range(1, everything.proof.boxes):
        found = net.fixed_points("cells", max_boxes=max_boxes)
        assert found.proof.boxes == max_boxes
        assert found.completeness == "unknown"
        assert missing(found, everything) == 0
    assert net.fixed_points("cells", max_boxes=everything.proof.boxes).completeness == "proved"


def test_time_limit_holds_while_images_are_listed():
    net = hopfix.Hopfield(np.eye(20), 25.0)  # 1,048,575 points
    began = time.monotonic()
    found = net.fixed_points("cells", time_limit=0.02)
    assert time.monotonic() - began < 3
    assert found.completeness == "unknown"
    assert "time_limit reached" in {u.reason for u in found.undecided}


def test_ctrl_c_while_images_are_listed_keeps_some():
    net = hopfix.Hopfield(np.eye(22), 27.0)  # 4,194,303 points
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as stopped:
        net.fixed_points("cells")
    assert time.monotonic() - began < 4
    partial = stopped.value.partial
    assert 22 <= len(partial) <= 100_000
    assert partial.completeness == "unknown"
    assert {u.reason for u in partial.undecided} == {"interrupted"}


def test_the_result_does_not_depend_on_the_number_of_threads():
    lists = [hopfix.Hopfield(BLOCKS, 6.0, num_threads=t).fixed_points("cells") for t in (1, 2, 5)]
    for other in lists[1:]:
        same(lists[0], other)
        assert other.proof.boxes == lists[0].proof.boxes


# --------------------------------------------------------------------------------- the record


def test_the_proof_names_the_symmetry(tmp_path):
    found = hopfix.Hopfield(BLOCKS, 6.0).fixed_points("cells")
    assert found.proof.symmetry == ((0, 1, 2), (3, 4, 5))
    found.save(tmp_path / "found.npz")
    loaded = hopfix.FixedPoints.load(tmp_path / "found.npz")
    assert loaded.proof == found.proof
    written = json.loads(json.dumps(found.to_dict()))
    assert written["proof"]["symmetry"] == [[0, 1, 2], [3, 4, 5]]


def test_auto_lists_more_orthonormal_patterns_than_the_closed_form_takes():
    found = hopfix.Hopfield(np.eye(17), 20.0).fixed_points()
    assert found.method == "cells"
    assert found.completeness == "proved"
    assert len(found) == 2**17 - 1


@pytest.mark.parametrize("value", [None, 1, "yes"], ids=repr)
def test_symmetry_must_be_a_bool(value):
    with pytest.raises(TypeError, match="symmetry"):
        hopfix.Hopfield(np.eye(3)).fixed_points("cells", symmetry=value)
