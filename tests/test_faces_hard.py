"""Critical faces of patterns that nearly tie, nearly depend or nearly vanish; files."""

import json
import signal
import threading
import time

import numpy as np
import pytest
from exact_faces import agrees, exact_faces, same_ties
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix
from hopfix.faces import CriticalFaces, critical_faces


def halved_squares(x):
    return -0.5 * (x**2).sum(1)


def check(x, with_offsets):
    found, tied = agrees(x, halved_squares(x) if with_offsets else None)
    assert found.origin_radius == 0
    assert same_ties(x, found, tied)
    return found


def grid(side, d):
    return np.stack(np.meshgrid(*[np.arange(float(side))] * d), -1).reshape(-1, d)


def polygon(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angles), np.sin(angles)])


SETS = {
    "grid of 3": grid(3, 1),
    "centred grid of 3": grid(3, 1) - 1,
    "grid of 9": grid(3, 2),
    "centred grid of 9": grid(3, 2) - 1,
    "cube": grid(2, 3),
    "centred cube": 2 * grid(2, 3) - 1,
    "cross-polytope of 4": np.vstack([np.eye(2), -np.eye(2)]),
    "cross-polytope of 6": np.vstack([np.eye(3), -np.eye(3)]),
    "cross-polytope of 8": np.vstack([np.eye(4), -np.eye(4)]),
    "cross-polytope off the origin": np.vstack([np.eye(3), -np.eye(3)]) + 5,
    "simplex": np.eye(4) - 0.25,
    "duplicates": np.array([[1.0, 2], [3, -1], [0.5, 0.25], [1, 2], [3, -1]]),
    "heptagon": polygon(7),
}


@pytest.mark.parametrize("with_offsets", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_lattices_and_polytopes(name, with_offsets):
    check(SETS[name], with_offsets)


@pytest.mark.parametrize("with_offsets", [False, True])
@pytest.mark.parametrize("name", ["centred grid of 9", "simplex", "cross-polytope of 6"])
@pytest.mark.parametrize("exponent", [-300, 300])
def test_scaling_by_powers_of_two_changes_nothing(name, with_offsets, exponent):
    x = SETS[name]
    scaled = x * 2.0**exponent
    one = critical_faces(x, offsets=halved_squares(x) if with_offsets else None)
    other = critical_faces(scaled, offsets=halved_squares(scaled) if with_offsets else None)
    assert one.faces == other.faces
    assert [e.active for e in one.degenerate] == [e.active for e in other.degenerate]
    np.testing.assert_array_equal(np.concatenate(one.weights), np.concatenate(other.weights))


@pytest.mark.parametrize("with_offsets", [False, True])
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("size", [1e-3, 1e-6, 3e-7, 1e-7, 1e-9, 1e-12, 1e-15])
def test_clusters_within_and_beyond_what_counts_as_dependent(size, d, with_offsets):
    rng = np.random.default_rng(int(-np.log10(size)))
    base = rng.normal(size=(4, d))
    check(np.vstack([base, base[:3] + size * rng.normal(size=(3, d))]), with_offsets)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-8, 1e-10, 1e-14])
def test_patterns_near_a_line(size):
    rng = np.random.default_rng(0)
    x = np.outer(np.arange(5.0), [1, 0.5, 0.25]) + size * rng.normal(size=(5, 3))
    check(x, True)
    found, _ = agrees(x)
    assert found.origin_radius < 1e-12


@pytest.mark.parametrize("name", ["grid of 9", "cube", "cross-polytope of 6", "heptagon"])
@pytest.mark.parametrize("noise", [1e-6, 1e-9, 1e-13, 2e-16])
def test_lattices_with_noise(name, noise):
    x = SETS[name] + noise * np.random.default_rng(3).normal(size=SETS[name].shape)
    check(x, True)


def test_the_near_dependent_pair_of_two_close_patterns_is_a_face():
    x = np.array([[1.0, 0], [1 + 2.0**-26, 0], [-1, 0.5]])
    found = check(x, True)
    assert (0, 1) in found.faces
    np.testing.assert_allclose(found.weights[found.faces.index((0, 1))], 0.5, atol=1e-7)


@pytest.mark.parametrize("height", [1e-3, 1e-7, 1e-9, 1e-12, 1e-15, 1e-30])
def test_faces_near_the_origin_are_listed_or_the_origin_is_reported(height):
    for x in (
        np.array([[1, height], [-1, height], [0, -1.0], [0.3, 2]]),
        np.array([[1, height, 0], [-1, height, 0], [0, -1.0, height], [0.3, 2, 0]]),
    ):
        exact, _ = exact_faces(x, np.zeros(len(x)))
        found, _ = agrees(x, hidden=True)
        if set(exact) - set(found.faces) and found.center is None:
            assert tuple(range(len(x))) in {each.active for each in found.degenerate}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=7),
    st.sampled_from([0.0, 2.0**-30, 2.0**-45]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_small_lattice_sets_perturbed_or_not(rows, size, seed, with_offsets):
    x = np.array(rows, float)
    x += size * np.random.default_rng(seed).integers(-3, 4, x.shape)
    offsets = halved_squares(x) if with_offsets else None
    # Perturbations of 2^-45 leave points so near to the origin that rounding may hide them.
    found, tied = agrees(x, offsets, hidden=True)
    assert same_ties(x, found, tied, hidden=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 8), st.integers(1, 4), st.booleans())
def test_nothing_is_pruned_that_is_there(seed, n, d, with_offsets):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 2, size=(n, 1))
    agrees(x, halved_squares(x) + rng.normal(size=n) / 50 if with_offsets else None)


def test_sets_that_take_too_many_primes_are_reported():
    found = critical_faces([[1.0, 0], [1.0, 2.0**-1000], [0, 1]])
    assert (2,) in found.faces
    assert (0, 1) in {each.active for each in found.degenerate}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["ties", "center", "plain", "none"])
def test_files_keep_everything(case, dtype, tmp_path):
    square = np.array([[5.0, 5], [7, 5], [7, 7], [5, 7]], dtype)
    found = {
        "ties": lambda: critical_faces(square, offsets=halved_squares(square)),
        "center": lambda: critical_faces(square - 6),
        "plain": lambda: critical_faces(np.eye(4, dtype=dtype), max_size=2),
        "none": lambda: critical_faces(np.ones((2, 2), dtype)),
    }[case]()
    path = tmp_path / "faces.npz"
    found.save(path)
    back = CriticalFaces.load(path)
    assert list(tmp_path.iterdir()) == [path]
    assert back.to_dict() == found.to_dict()
    assert repr(back) == repr(found)
    assert back.states.dtype == back.gap.dtype == dtype
    np.testing.assert_array_equal(back.states, found.states)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["complete"] is True
    hopfix.Hopfield(np.eye(2), 3.0).fixed_points().save(path)
    with pytest.raises(ValueError, match=r"is not a file written by CriticalFaces\.save"):
        CriticalFaces.load(path)


def test_ctrl_c_ends_a_long_search():
    x = np.random.default_rng(0).normal(size=(60, 30))
    main = threading.main_thread().ident
    pressed = []

    def press():
        pressed.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(0.5, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        critical_faces(x, offsets=halved_squares(x))
    timer.join()
    assert not caught.value.partial.complete
    assert len(caught.value.partial) > 60
