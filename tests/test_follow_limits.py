"""Following branches: what comes back, limits, interruptions, bad input."""

import json
import os
import signal
import sys
import threading
import time

import naive
import numpy as np
import pytest
from curves import branch_arrays
from points import same

import hopfix
from hopfix._retrieval import residuals_of


def test_the_result_is_the_same_for_every_number_of_threads():
    patterns = naive.unit_patterns(4, 10, 4)
    one = hopfix.Hopfield(patterns, 50.0, num_threads=1).follow(1.0)
    for threads in (2, 3, 8):
        other = hopfix.Hopfield(patterns, 50.0, num_threads=threads).follow(1.0)
        assert len(other) == len(one)
        assert [b.ends for b in other.branches] == [b.ends for b in one.branches]
        for a, b in zip(branch_arrays(one), branch_arrays(other), strict=True):
            np.testing.assert_array_equal(a, b)
    same(one.at(7.0), one.at(7.0))


def test_states_are_accepted_and_each_curve_is_listed_once():
    net = hopfix.Hopfield(np.eye(4), 10.0)
    found = net.fixed_points()
    a, b = net.follow(2.0, found), net.follow(2.0, found.states.tolist())
    for x, y in zip(branch_arrays(a), branch_arrays(b), strict=True):
        np.testing.assert_array_equal(x, y)
    # The centre, at beta = 4, leads to the other ones.
    doubled = net.follow(5.0, np.concatenate([found.states[1:3], found.states[1:3]]))
    assert sorted(b.starts for b in doubled.branches) == [(0, 2), (1, 3)]


def test_single_precision_networks():
    branches = hopfix.Hopfield(np.eye(4, dtype=np.float32), 10.0).follow(2.0)
    assert branches.branches[0].states.dtype == np.float32
    assert branches.events[0].state.dtype == np.float32
    np.testing.assert_allclose(branches.folds, hopfix.softmax_map.threshold(4), atol=1e-12)
    assert len(branches.at(5.0)) == 15


def test_a_single_pattern_stays_where_it_is():
    branches = hopfix.Hopfield([[1.0, 2.0]], 3.0).follow(1.0)
    (branch,) = branches.branches
    np.testing.assert_allclose(branch.states, [[1.0, 2.0]] * len(branch), atol=1e-15)
    assert branch.ends == ("start", "beta_to")
    assert branches.events == ()


def test_patterns_that_are_all_the_same():
    branches = hopfix.Hopfield([[-1.0]] * 7, 30.0).follow(1.0)
    assert [b.ends for b in branches.branches] == [("start", "beta_to")]
    np.testing.assert_allclose(branches.at(3.0).states, [[-1.0]], atol=1e-15)


def test_a_degenerate_start_is_reported_and_not_followed():
    branches = hopfix.Hopfield(np.eye(4), 4.0).follow(2.0, [[0.25] * 4])
    (branch,) = branches.branches
    assert branch.ends == ("start", "degenerate")
    assert not branch.whole
    there = branches.at(3.0)
    assert len(there) == 0
    assert there.completeness == "unknown"
    assert "degenerate" in there.undecided[0].reason


def test_step_limit():
    branches = hopfix.Hopfield(np.eye(3), 10.0).follow(1.0, max_steps=3)
    assert {b.ends for b in branches.branches} == {("start", "max_steps")}
    assert branches.at(10.0).completeness == "unknown"


def test_time_limit_keeps_what_is_there():
    net = hopfix.Hopfield(np.eye(12), 30.0)
    found = net.fixed_points(certify=False)
    began = time.monotonic()
    branches = net.follow(1.0, found, time_limit=0.2)
    assert time.monotonic() - began < 4
    ends = [b.ends[1] for b in branches.branches]
    assert "time_limit" in ends
    assert sorted(i for b in branches.branches for i in b.starts) == list(range(len(found)))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_progress_ends_the_work_and_propagates(error):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        if len(calls) == 3:
            raise error("enough")

    net = hopfix.Hopfield(np.eye(8), 30.0)
    with pytest.raises(error, match="enough") as caught:
        net.follow(1.0, progress=progress)
    assert len(calls) == 3
    assert all(0 <= done <= total == 255 for done, total in calls)
    if error is KeyboardInterrupt:
        ends = [b.ends[1] for b in caught.value.partial.branches]
        assert "start_beta" in ends
        assert "interrupted" in ends


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ctrl_c_in_the_search_for_the_starts_keeps_what_was_found(dtype):
    patterns = np.random.default_rng(0).standard_normal((20, 20)).astype(dtype)
    net = hopfix.Hopfield(patterns, 20.0)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        net.follow(100.0)
    timer.join()
    partial = caught.value.partial
    assert len(partial) > 10
    assert partial.cut_short
    assert {branch.ends for branch in partial.branches} == {("interrupted", "interrupted")}
    assert [branch.starts for branch in partial.branches] == [(k,) for k in range(len(partial))]
    states = np.concatenate([branch.states for branch in partial.branches])
    assert states.dtype == dtype
    assert residuals_of(net, states).max() < (1e-4 if dtype == np.float32 else 1e-9)
    energies = np.concatenate([branch.energy for branch in partial.branches])
    np.testing.assert_allclose(energies, net.energy(states), rtol=1e-5)
    assert partial.at(20.0).completeness == "unknown"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_search_becomes_branches_that_can_be_kept(tmp_path, monkeypatch, error):
    """By Ctrl-C, or by an executor that fails."""
    net = hopfix.Hopfield(np.eye(4), 12.0)
    whole, search = net.follow(3.0), hopfix.Hopfield.fixed_points

    def broken(network, *arguments, **options):
        interruption = error()
        interruption.partial = search(network, *arguments, **options)[:5]
        raise interruption

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", broken)
    with pytest.raises(error) as caught:
        net.follow(3.0)
    partial = caught.value.partial
    assert len(partial) == 5
    assert (partial.beta_to, partial.network) == (3.0, whole.network)
    partial.save(tmp_path / "partial.npz")
    loaded = hopfix.Branches.load(tmp_path / "partial.npz")
    assert loaded.to_dict() == partial.to_dict()
    left = loaded.at(12.0).undecided
    assert sum("a branch was left here (interrupted)" in u.reason for u in left) == 5
    assert "the work was cut short" in left[-1].reason

    def nothing(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", nothing)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.follow(3.0)
    assert len(caught.value.partial) == 0
    assert caught.value.partial.cut_short


def test_ctrl_c_keeps_what_was_followed():
    net = hopfix.Hopfield(np.eye(13), 40.0)
    found = net.fixed_points(certify=False)
    main = threading.main_thread().ident
    timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        net.follow(1.0, found)
    timer.join()
    ends = [b.ends[1] for b in caught.value.partial.branches]
    assert "interrupted" in ends
    assert sorted(i for b in caught.value.partial.branches for i in b.starts) == list(
        range(len(found))
    )


def test_progress_counts_up_to_all_points():
    calls = []
    hopfix.Hopfield(np.eye(6), 30.0).follow(1.0, progress=lambda *c: calls.append(c))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (63, 63)


@pytest.mark.parametrize(
    ("arguments", "error", "match_"),
    [
        ({"beta_to": -1.0}, ValueError, "beta_to: got -1.0, need a finite number > 0"),
        ({"beta_to": "x"}, TypeError, "beta_to: got str"),
        ({"beta_to": 5.0}, ValueError, "beta_to: got 5, the network's own beta"),
        ({"beta_to": 1.0, "max_steps": 0}, ValueError, "max_steps: got 0"),
        ({"beta_to": 1.0, "time_limit": 0}, ValueError, "time_limit: got 0"),
        ({"beta_to": 1.0, "progress": 3}, TypeError, "progress: got int"),
        ({"beta_to": 1.0, "fixed_points": [[1.0, 2.0]]}, ValueError, "fixed_points: got shape"),
        ({"beta_to": 1.0, "fixed_points": [[1.0, 0, 0]]}, ValueError, "state 0 is not a fixed"),
        ({"beta_to": 1.0, "fixed_points": [[np.nan, 0, 0]]}, ValueError, "fixed_points: got nan"),
    ],
)
def test_bad_input(arguments, error, match_):
    with pytest.raises(error, match=match_):
        hopfix.Hopfield(np.eye(3), 5.0).follow(**arguments)


def test_beta_outside_what_was_followed():
    branches = hopfix.Hopfield(np.eye(3), 5.0).follow(2.0)
    for beta in (1.9, 5.1):
        with pytest.raises(ValueError, match=r"beta: got .*, need 2 to 5"):
            branches.at(beta)


def test_summary_and_json():
    branches = hopfix.Hopfield(np.eye(4), 10.0).follow(2.0)
    assert repr(branches) == (
        "Branches(8 branches from beta=10 to 2, events {fold: 4, multiple: 1})"
    )
    assert repr(branches.branches[0]).startswith("Branch(")
    out = json.loads(json.dumps(branches.to_dict(), allow_nan=False))
    assert len(out["branches"]) == 8
    np.testing.assert_array_equal(out["folds"], branches.folds)


@pytest.mark.parametrize("quantity", ["energy", "overlap"])
def test_plot(quantity):
    pytest.importorskip("matplotlib.figure")
    from matplotlib.figure import Figure

    branches = hopfix.Hopfield(np.eye(4), 10.0).follow(2.0)
    figure = branches.plot(quantity)
    (ax,) = figure.axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["memories", "index 1", "index 2", "index 3", "fold", "multiple"]
    drawn = np.concatenate([s for c in ax.collections for s in c.get_segments()])
    assert drawn[:, 0].min() == 2.0
    assert drawn[:, 0].max() == 10.0
    other = Figure().add_subplot()
    assert branches.plot(quantity, ax=other) is other.figure
    with pytest.raises(ValueError, match="quantity: got 'mass', need one of energy, overlap"):
        branches.plot("mass")
