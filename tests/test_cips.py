"""CIPS margins, beside SciPy's linear programmes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from hopfix.faces import cips_margin, is_cips


def margin_by_linprog(x, face):
    """The least value over j of min t with (x_i - x_j) . x_k lambda_k <= t."""
    face = list(face)
    m = len(face)
    values = []
    for j in set(range(len(x))) - set(face):
        payoffs = (x[face] - x[j]) @ x[face].T
        answer = linprog(
            np.r_[np.zeros(m), 1.0],
            A_ub=np.c_[payoffs, -np.ones(m)],
            b_ub=np.zeros(m),
            A_eq=[np.r_[np.ones(m), 0.0]],
            b_eq=[1.0],
            bounds=[(0, None)] * m + [(None, None)],
        )
        assert answer.status == 0
        values.append(answer.fun)
    return min(values)


@pytest.mark.parametrize("seed", range(12))
def test_equals_linear_programming(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 16)), int(rng.integers(1, 12))
    x = rng.normal(size=(n, d))
    if seed % 2:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    size = int(rng.integers(1, n))
    faces = np.array([rng.permutation(n)[:size] for _ in range(3)])
    answer = cips_margin(x, faces)
    largest = (x**2).sum(1).max()
    for k, face in enumerate(faces):
        assert abs(answer.margin[k] - margin_by_linprog(x, face)) < 1e-7 * largest
    assert (answer.lower <= answer.upper).all()
    assert (answer.upper - answer.lower < 1e-12 * largest).all()


def test_orthonormal_margin_is_one_over_the_size():
    for size in range(1, 6):
        answer = cips_margin(np.eye(6), range(size))
        assert answer.lower <= 1 / size <= answer.upper
        assert answer.upper - answer.lower < 1e-12


def test_exact_value_lies_within_the_bounds_where_the_optimum_is_a_vertex():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.75, 0.75]])
    answer = cips_margin(x, [0, 1])  # at the midpoint 1/2 against 3/4
    assert answer.lower <= -0.25 <= answer.upper


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4))
def test_bounds_hold_at_sampled_points(seed, size, d):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, size=(7, d)).astype(float)  # ties, duplicates, zeros
    answer = cips_margin(x, range(size))
    scores = rng.dirichlet(np.ones(size), 50) @ x[:size] @ x.T
    sampled = scores[:, :size].max(1) - scores[:, size:].max(1)
    assert (answer.lower <= sampled + 1e-12).all()
    assert answer.upper - answer.lower < 1e-10


def test_is_cips():
    x = np.eye(4)
    assert is_cips(x, [0, 1]) is True
    assert is_cips(x, [0, 1], delta=0.6) is False
    assert is_cips(x, [[0, 1], [2, 3]], delta=0.4).tolist() == [True, True]
    assert is_cips(np.vstack([x, x[:1]]), [0, 1]) is False  # a tie is no separation


def test_all_patterns_and_threads():
    assert cips_margin(np.eye(3), [2, 0, 1]).margin == np.inf
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 8))
    faces = np.array([rng.permutation(30)[:5] for _ in range(100)])
    one, two = cips_margin(x, faces, num_threads=1), cips_margin(x, faces, num_threads=2)
    np.testing.assert_array_equal(one.lower, two.lower)
    np.testing.assert_array_equal(one.margin[7], cips_margin(x, faces[7]).margin)


@pytest.mark.parametrize("scale", [1e154, 1e200])
def test_overflow_proves_nothing(scale):
    answer = cips_margin(np.eye(3) * scale, [0, 1])
    assert (answer.lower, answer.upper) == (-np.inf, np.inf)
    assert np.isnan(answer.margin)
    assert is_cips(np.eye(3) * scale, [0, 1]) is False


@pytest.mark.parametrize(
    ("face", "error", "message"),
    [
        ([], ValueError, "face: got shape"),
        ([0, 5], ValueError, "face: got index 5"),
        ([0, -1], ValueError, "face: got index -1"),
        ([0.0, 1.0], TypeError, "face: got dtype float64"),
        ([[0, 1], [2, 2]], ValueError, r"face: got \[2, 2\], need distinct"),
        ([[0, 1], [2]], ValueError, "face: "),
        ([[[0]]], ValueError, "face: got shape"),
    ],
)
def test_bad_faces(face, error, message):
    with pytest.raises(error, match=message):
        cips_margin(np.eye(3), face)
    with pytest.raises(ValueError, match="delta: got -1"):
        is_cips(np.eye(3), [0], delta=-1)
