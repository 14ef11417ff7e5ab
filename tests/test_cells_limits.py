"""fixed_points("cells"): limits, progress, interruption, the record of the proof, and "auto"."""

import json
import os
import signal
import threading
import time

import naive
import numpy as np
import pytest
from cells import same

import hopfix

# ------------------------------------------------------------------------- limits and progress


@pytest.mark.parametrize("limits", [{}, {"max_boxes": 700}, {"max_count": 30}], ids=str)
def test_the_result_does_not_depend_on_the_number_of_threads(limits):
    lists = [
        hopfix.Hopfield(naive.unit_patterns(6, 12, 1), 20.0, num_threads=t).fixed_points(
            "cells", **limits
        )
        for t in (1, 2, 5)
    ]
    for other in lists[1:]:
        same(lists[0], other)
        for number in ("boxes", "newton_steps", "depth"):
            assert getattr(other.proof, number) == getattr(lists[0].proof, number)


def test_what_max_boxes_leaves_covers_all_that_is_missing():
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0)
    everything = net.fixed_points("cells")
    for max_boxes in (1, 10, 50, 100):
        found = net.fixed_points("cells", max_boxes=max_boxes)
        assert found.proof.boxes == max_boxes
        assert found.completeness == "unknown"
        assert all(region.reason == "max_boxes reached" for region in found.undecided)
        for state in everything.states:
            known = np.linalg.norm(found.states - state, axis=1) < 1e-9
            left = [np.linalg.norm(r.state - state) <= r.radius for r in found.undecided]
            assert known.any() or any(left)
    enough = net.fixed_points("cells", max_boxes=everything.proof.boxes)
    assert enough.completeness == "proved"


@pytest.mark.parametrize("max_count", [1, 10, 30, 31])
def test_max_count(max_count):
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0)
    found = net.fixed_points("cells", max_count=max_count)
    assert len(found) == max_count
    if max_count < 31:
        assert found.completeness == "unknown"
        assert found.undecided


def test_time_limit_returns_what_was_found():
    net = hopfix.Hopfield(np.eye(16), 20.0)  # 65,535 fixed points
    began = time.monotonic()
    found = net.fixed_points("cells", time_limit=0.3, symmetry=False)
    assert time.monotonic() - began < 3
    assert found.completeness == "unknown"
    assert {region.reason for region in found.undecided} == {"time_limit reached"}
    assert found.certified.all()


def test_progress():
    calls = []
    net = hopfix.Hopfield(np.eye(8), 10.0)
    found = net.fixed_points(
        "cells", symmetry=False, progress=lambda *numbers: calls.append(numbers)
    )
    assert calls[-1] == (found.proof.boxes, found.proof.boxes)
    assert all(0 < done <= total for done, total in calls)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_ctrl_c_keeps_what_was_found():
    net = hopfix.Hopfield(np.eye(18), 25.0)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as stopped:
        net.fixed_points("cells", symmetry=False)
    assert time.monotonic() - began < 3.3  # one, and slack for a busy machine, after 0.3
    partial = stopped.value.partial
    assert partial.completeness == "unknown"
    assert {region.reason for region in partial.undecided} == {"interrupted"}


# --------------------------------------------------------------------------------- the record


def test_the_proof_can_be_read_written_and_run_again(tmp_path):
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0)
    found = net.fixed_points("cells")
    assert found.proof.boxes > 0
    assert found.proof.newton_steps > 0
    assert found.proof.depth > 0
    assert found.proof.seconds > 0
    assert "binary64" in found.proof.arithmetic
    found.save(tmp_path / "found.npz")
    loaded = hopfix.FixedPoints.load(tmp_path / "found.npz")
    assert loaded.proof == found.proof
    again = loaded.network.fixed_points("cells", max_boxes=loaded.proof.boxes)
    same(again, found)
    written = json.loads(json.dumps(found.to_dict()))
    assert written["proof"]["boxes"] == found.proof.boxes
    assert net.fixed_points("starts").proof is None


def test_undecided_regions_survive_saving(tmp_path):
    found = hopfix.Hopfield(np.eye(4), 4.0).fixed_points("cells")
    found.save(tmp_path / "found.npz")
    loaded = hopfix.FixedPoints.load(tmp_path / "found.npz")
    same(found, loaded)
    written = json.loads(json.dumps(found.to_dict()))
    assert written["undecided"][0]["radius"] == found.undecided[0].radius


def test_auto_searches_exhaustively_where_that_ends_soon():
    found = hopfix.Hopfield(naive.unit_patterns(6, 10, 1), 10.0).fixed_points()
    assert found.method == "cells"
    assert found.completeness == "proved"


def test_auto_turns_to_starts_within_a_budget_of_boxes():
    net = hopfix.Hopfield(naive.unit_patterns(6, 10, 1), 10.0)
    found = net.fixed_points(max_boxes=3)
    assert found.method == "starts"
    assert found.completeness == "consistent"
    assert len(found) == len(net.fixed_points())


def test_auto_does_not_search_many_patterns_exhaustively():
    found = hopfix.Hopfield(naive.unit_patterns(20, 40, 1), 2.0).fixed_points()
    assert found.method == "starts"


def test_numbers_out_of_range_leave_everything_undecided():
    found = hopfix.Hopfield(np.eye(3) * 1e200, 1.0).fixed_points("cells")
    assert found.completeness == "unknown"
    assert [part.radius for part in found.undecided] == [np.inf]
    assert "precision" in found.undecided[0].reason
