"""Fixed points on a device by the thousand: what merges them, and the whole search."""

import array_api_strict as strict
import numpy as np
import pytest
from devices import away, home
from hypothesis import given
from hypothesis import strategies as st

import hopfix
from hopfix.gpu import DeviceHopfield, _merge, _search, _store
from hopfix.gpu._newton import hull_of
from hopfix.gpu._store import Store


def first_of_those_near(states, nearness):
    """One by one, against all that stay."""
    kept = []
    for row in states:
        if all(np.linalg.norm(row - other) > nearness for other in kept):
            kept.append(row)
    return np.array(kept)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 4), st.booleans())
def test_the_first_of_states_that_are_near_each_other_stays(seed, count, dim, chained):
    rng = np.random.default_rng(seed)
    # Few places, so that many states are the same; or chains, where "near" is not transitive.
    states = rng.integers(0, 3, size=(count, dim)) + 1e-9 * rng.normal(size=(count, dim))
    if chained:
        states = 0.4 * rng.integers(0, 9, size=(count, dim)) + 0.01 * rng.normal(size=(count, dim))
    nearness = 0.5 if chained else 1e-7
    seen = home(_merge.distinct(strict, away(states), nearness))
    np.testing.assert_array_equal(seen, first_of_those_near(states, nearness))


def test_states_that_the_direction_of_sorting_does_not_tell_apart():
    direction = np.random.default_rng(0).standard_normal(2)
    across = np.array([-direction[1], direction[0]])
    states = np.repeat(np.arange(40)[:, None] * across, 2, axis=0)
    np.testing.assert_array_equal(home(_merge.distinct(strict, away(states), 1e-7)), states[::2])


def test_no_state_at_all():
    assert _merge.distinct(strict, away(np.empty((0, 3))), 1e-7).shape == (0, 3)


@pytest.mark.parametrize("largest", [2**24, 100])
def test_pairs_within_reach_are_all_there_and_few_others(largest, monkeypatch):
    monkeypatch.setattr(_store, "LARGEST", largest)
    rng = np.random.default_rng(1)
    states = 5 + rng.normal(size=(50, 3))
    states[40:] = states[:10] + 1e-9 * rng.normal(size=(10, 3))
    reach = rng.uniform(0, 0.7, size=50)
    apart = np.linalg.norm(states[:, None] - states[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    reach[:5] = apart[:, :5].min(axis=0) * (1 + 1e-12)  # hardly within reach
    pairs = {tuple(pair) for pair in _merge.near_pairs(strict, away(states), away(reach)).tolist()}
    assert {tuple(pair) for pair in np.argwhere(apart < reach[None]).tolist()} <= pairs
    assert pairs <= {tuple(p) for p in np.argwhere(apart < reach[None] + 1e-5).tolist()}


def one_by_one_apart(states, radius, unique):
    """The widest ball first: what lies in it, with its own, is the same point."""
    kept = []
    for i in np.argsort(-unique, kind="stable"):
        apart = np.linalg.norm(states[kept] - states[i], axis=1)
        if not ((apart + radius[i]) * (1 + 1e-10) < unique[kept]).any():
            kept.append(int(i))
    return sorted(kept)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 1.0]))
def test_of_states_in_one_proved_ball_one_stays(seed, widest):
    rng = np.random.default_rng(seed)
    states = rng.uniform(-1, 1, size=(30, 3))
    states[20:] = states[:10] + 1e-3 * rng.normal(size=(10, 3))
    unique = np.where(rng.random(30) < 0.2, 0, rng.choice([0.5, 1], 30) * widest)
    radius = unique * rng.uniform(0, 0.2, 30)
    corners = away(2.0 * np.concatenate([np.eye(3), -np.eye(3)]))
    hull = hull_of(Store(strict, corners, strict.sum(corners, axis=1), 1.0))
    seen = _search._apart(hull, states, radius, unique)
    assert seen.tolist() == one_by_one_apart(states, radius, unique)


@pytest.mark.parametrize(
    ("library", "count"), [("numpy", 12), ("array_api_strict", 12), ("torch", 10)]
)
def test_thousands_of_fixed_points_are_those_of_the_core(library, count):
    patterns = np.eye(count)
    to = {"numpy": np.asarray, "array_api_strict": away}.get(library)
    there = DeviceHopfield((to or pytest.importorskip("torch").from_numpy)(patterns), 40.0)
    rounds = []
    found = there.fixed_points("faces", progress=lambda *round_of: rounds.append(round_of))
    known = hopfix.Hopfield(patterns, 40.0).fixed_points("faces")
    assert rounds == [(k, count) for k in range(1, count + 1)]
    assert (len(known), known.completeness) == (2**count - 1, "proved")
    assert (found.counts, found.completeness) == (known.counts, "consistent")
    assert found.certified.all()
    # By their largest weights, as states of one energy come in no order.
    assert set(found.support) == set(known.support)
    place = {support: k for k, support in enumerate(known.support)}
    order = [place[support] for support in found.support]
    apart = np.linalg.norm(found.states - known.states[order], axis=1)
    assert (apart <= known.uniqueness_radius[order]).all()
    assert apart.max() < 1e-12


def test_where_faces_carry_no_point_any_more_the_list_is_the_cores():
    rng = np.random.default_rng(6)
    patterns = rng.normal(size=(10, 5))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    found = DeviceHopfield(away(patterns), 12.0).fixed_points("faces")
    known = hopfix.Hopfield(patterns, 12.0).fixed_points("faces")
    assert known.completeness == "proved"
    assert len(known) < len(hopfix.faces.critical_faces(patterns))
    assert found.counts == known.counts
    apart = np.linalg.norm(found.states[:, None] - known.states[None], axis=-1).min(axis=0)
    assert (apart < 1e-9).all()


def test_a_square_and_its_centre():
    # The centre is a tied set of all four patterns.
    found = DeviceHopfield(away([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), 4.0).fixed_points("faces")
    known = hopfix.Hopfield([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], 4.0).fixed_points("cells")
    assert found.counts == known.counts == {0: 4, 1: 4, 2: 1}


def test_a_count_that_is_met_cuts_nothing_short():
    there = DeviceHopfield(away(np.eye(4)), 40.0)
    assert there.fixed_points("faces", max_count=15).completeness == "consistent"
    few = there.fixed_points("faces", max_count=6)
    assert (len(few), few.completeness) == (6, "unknown")
    assert there.fixed_points("faces", time_limit=1e-9).completeness == "unknown"


def test_ctrl_c_while_the_host_enumerates_faces(monkeypatch):
    def stop(*_, **__):
        error = KeyboardInterrupt()
        error.partial = "faces"
        raise error

    monkeypatch.setattr(_search, "critical_faces", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        DeviceHopfield(away(np.eye(4)), 40.0).fixed_points("faces")
    assert isinstance(caught.value.partial, hopfix.FixedPoints)
    assert (len(caught.value.partial), caught.value.partial.completeness) == (0, "unknown")
