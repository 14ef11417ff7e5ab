"""Critical faces, beside exhaustive exact arithmetic and known cases."""

from __future__ import annotations

import numpy as np
import pytest
from exact_faces import agrees
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfix.faces import critical_faces


@pytest.mark.parametrize(
    ("d", "n", "seed", "counts", "center"),
    [
        (3, 5, 0, [5, 4], False),
        (3, 6, 1, [6, 7, 3], True),
        (4, 7, 2, [7, 16, 14, 5], True),
        (5, 6, 3, [6, 11, 10, 4], False),
        (4, 10, 4, [10, 23, 23, 10], True),
    ],
)
def test_checked_table(d, n, seed, counts, center):
    x = np.random.default_rng(seed).normal(size=(d, n))
    found = critical_faces((x / np.linalg.norm(x, axis=0)).T)
    assert found.counts == dict(enumerate(counts, 1))
    assert (found.center is not None) is center
    assert found.degenerate == ()
    signs = sum((-1) ** (size - 1) * count for size, count in found.counts.items())
    if center:
        assert found.center_morse_index == d
        signs += (-1) ** d
    assert signs == 1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["unit", "norms", "distances", "offsets"])
def test_all_subsets_in_exact_arithmetic(kind, seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 8)), int(rng.integers(1, 7))
    x = rng.normal(size=(n, d))
    offsets = None
    if kind == "unit":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        if d == 1:
            x = rng.normal(size=(n, d))
    elif kind == "distances":
        offsets = -0.5 * (x**2).sum(1)
    elif kind == "offsets":
        offsets = rng.normal(size=n)
    agrees(x, offsets)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("with_offsets", [False, True])
def test_nine_patterns_in_exact_arithmetic(with_offsets, seed):
    rng = np.random.default_rng(100 + seed)
    x = rng.normal(size=(9, 2 + seed))
    agrees(x, -0.5 * (x**2).sum(1) if with_offsets else None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-3, 3)] * 2, st.integers(-4, 4)), min_size=1, max_size=7),
    st.booleans(),
)
def test_small_integers_ties_are_reported(rows, with_offsets):
    array = np.array(rows, dtype=float)
    x, offsets = array[:, :2], array[:, 2] if with_offsets and array[:, 2].any() else None
    found, tied = agrees(x, offsets)
    reported = {each.active for each in found.degenerate}
    if found.center is not None:
        reported.add(tuple(range(len(x))))
    assert tied - {tuple(range(len(x)))} == reported - {tuple(range(len(x)))}


def test_orthonormal_patterns_have_all_subsets():
    found = critical_faces(np.eye(7))
    assert len(found) == 2**7 - 1
    assert found.center is None
    assert found.degenerate == ()
    for face, weights, gap in zip(found.faces, found.weights, found.gap, strict=True):
        np.testing.assert_allclose(weights, 1 / len(face), atol=1e-15)
        assert gap == np.inf if len(face) == 7 else abs(gap - 1 / len(face)) < 1e-14


@pytest.mark.parametrize("d", [2, 3, 5])
def test_cross_polytope(d):
    found = critical_faces(np.vstack([np.eye(d), -np.eye(d)]))
    assert len(found) == 3**d - 1  # every proper face of the polytope
    np.testing.assert_array_equal(found.center, np.zeros(d))
    np.testing.assert_allclose(found.center_weights, 1 / (2 * d), atol=1e-14)
    assert found.center_morse_index == d
    assert found.degenerate == ()


def test_square_away_from_the_origin_ties_once():
    x = np.array([[5.0, 5], [7, 5], [7, 7], [5, 7]])
    found = critical_faces(x, offsets=-0.5 * (x**2).sum(1))
    assert found.counts == {1: 4, 2: 4}
    (square,) = found.degenerate
    assert square.active == (0, 1, 2, 3)
    np.testing.assert_allclose(square.state, [6, 6])
    np.testing.assert_allclose(square.weights, 0.25, atol=1e-12)
    assert square.morse_index == 2


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5])
def test_ties_broken_by_the_last_bits_are_decided_exactly(seed):
    rng = np.random.default_rng(seed)
    x = np.array([[5.0, 5], [7, 5], [7, 7], [5, 7], [6, 6 - 2**0.5]])
    x += rng.integers(-4, 5, x.shape) * 2.0**-50
    found, tied = agrees(x, -0.5 * (x**2).sum(1) + rng.integers(-4, 5, 5) * 2.0**-47)
    assert found.degenerate == ()
    assert not tied


def test_a_gap_below_double_double_is_decided_exactly():
    rng = np.random.default_rng(1)
    x = np.array([[5.0, 5], [7, 5], [7, 7], [5, 7], [6, 6 - 2**0.5]])
    x += rng.integers(-4, 5, x.shape) * 2.0**-50
    offsets = -0.5 * (x**2).sum(1) + rng.integers(-4, 5, 5) * 2.0**-47
    found, tied = agrees(x, offsets)
    assert 0 < found.gap[found.faces.index((1, 2, 3))] < 1e-27
    assert found.degenerate == ()
    assert not tied


def test_right_triangle_has_a_zero_weight():
    x = np.array([[0.0, 0], [1, 0], [0, 1]])
    found = critical_faces(x, offsets=-0.5 * (x**2).sum(1))
    assert found.counts == {1: 3, 2: 2}
    (triangle,) = found.degenerate
    assert triangle.active == (0, 1, 2)
    assert triangle.weights is None


def test_duplicates_tie_with_equal_weights():
    x = np.array([[1.0, 0], [1, 0], [0, 1]])
    found = critical_faces(x)
    assert found.faces == [(2,)]
    pair = next(each for each in found.degenerate if each.active == (0, 1))
    np.testing.assert_allclose(pair.weights, 0.5)
    assert pair.morse_index == 0


def test_one_pattern_and_the_zero_pattern():
    assert critical_faces([[3.0, 4.0]]).faces == [(0,)]
    found = critical_faces([[0.0, 0.0]])
    assert found.faces == [(0,)]
    assert found.center is None
    found = critical_faces([[0.0, 0.0], [1.0, 0.0]])
    assert found.faces == [(1,)]
    assert [each.active for each in found.degenerate] == [(0, 1)]


def test_a_simplex_around_the_origin_is_its_own_centre():
    x = np.array([[1.0, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    found = critical_faces(x)
    assert found.counts == {1: 3, 2: 3, 3: 1}
    assert found.center is None
    assert found.degenerate == ()


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scaling(scale):
    x = np.random.default_rng(5).normal(size=(8, 3))
    a = np.random.default_rng(6).normal(size=8)
    for offsets, scaled in ((None, None), (a, a * scale**2)):
        one, other = critical_faces(x, offsets=offsets), critical_faces(x * scale, offsets=scaled)
        assert one.faces == other.faces
        np.testing.assert_allclose(other.gap / scale**2, one.gap, rtol=1e-8)


def test_max_size_states_and_threads():
    x = np.random.default_rng(7).normal(size=(40, 4))
    whole = critical_faces(x, num_threads=1)
    np.testing.assert_array_equal(
        whole.states,
        critical_faces(x, num_threads=2).states,
    )
    for state, face, weights in zip(whole.states, whole.faces, whole.weights, strict=True):
        np.testing.assert_allclose(state, weights @ x[list(face)], atol=1e-13)
    for size in (1, 2, 3):
        part = critical_faces(x, max_size=size)
        assert part.faces == [face for face in whole.faces if len(face) <= size]


def test_float32_stays_float32():
    found = critical_faces(np.eye(3, dtype=np.float32))
    assert found.states.dtype == found.gap.dtype == found.weights[0].dtype == np.float32


def test_limits_and_progress():
    x = np.eye(22)
    assert not critical_faces(x, time_limit=0.05).complete
    few = critical_faces(np.eye(8), max_count=10)
    assert len(few) == 10
    assert not few.complete
    calls = []
    critical_faces(np.eye(8), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1]


def test_interruption_keeps_what_was_found():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        critical_faces(np.eye(8), progress=interrupt)
    assert not caught.value.partial.complete
    assert len(caught.value.partial) == 36


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"offsets": [1.0]}, ValueError, "offsets: got shape"),
        ({"max_size": 0}, ValueError, "max_size: got 0"),
        ({"max_count": 1.5}, TypeError, "max_count: got float"),
        ({"time_limit": 0}, ValueError, "time_limit: got 0"),
        ({"progress": 3}, TypeError, "progress: got int"),
        ({"num_threads": 0}, ValueError, "num_threads: got 0"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        critical_faces(np.eye(3), **kwargs)
