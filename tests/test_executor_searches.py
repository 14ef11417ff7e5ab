"""Searches on an executor: the lists and branches of this process, whoever does the work."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor

import numpy as np
import pytest
from executors import Backwards

import hopfix
from hopfix import _core
from hopfix.branches import Branches
from hopfix.fixed_points import FixedPoints

RNG = np.random.default_rng(3)


class Scrambled(Executor):
    """Works at once, in this thread, but counts, and can break or be asked to wait."""

    def __init__(self, breaks_at=None, pause=0.0):
        self.count = 0
        self.breaks_at = breaks_at
        self.pause = pause

    def submit(self, function, *arguments):
        self.count += 1
        if self.breaks_at is not None and self.count > self.breaks_at:
            raise BrokenExecutor("a worker died")
        future = Future()
        time.sleep(self.pause)
        future.set_result(function(*arguments))
        return future


def networks():
    """Name, method and network of a search that has enough to do to hand some of it on."""
    few = RNG.normal(size=(14, 20)) / 5
    yield "weights", "cells", hopfix.Hopfield(few, 12.0)
    yield "hull", "cells", hopfix.Hopfield(RNG.normal(size=(24, 4)), 5.0)
    blocks = np.zeros((13, 11))
    blocks[:4, :4] = np.eye(4)  # exchangeable, beside others
    blocks[4:, 4:] = RNG.normal(size=(9, 7)) / 2
    yield "orbits", "cells", hopfix.Hopfield(blocks, 8.0)
    yield "float32", "cells", hopfix.Hopfield(few.astype(np.float32), 12.0)
    yield "starts", "starts", hopfix.Hopfield(RNG.normal(size=(20, 6)), 3.0)
    yield "faces", "faces", hopfix.Hopfield(RNG.normal(size=(12, 12)) / 4, 60.0)
    weights = RNG.normal(size=12)
    yield "offsets", "faces", hopfix.Hopfield(few[:12], 60.0, log_weights=weights)


NETWORKS = list(networks())


def assert_same_list(found, expected):
    assert found.states.tobytes() == expected.states.tobytes()
    assert (found.radius == expected.radius).all()
    assert found.completeness == expected.completeness
    assert found.reasons == expected.reasons
    assert len(found.undecided) == len(expected.undecided)
    if expected.proof is not None:
        assert found.proof.boxes == expected.proof.boxes
        assert found.proof.depth == expected.proof.depth


@pytest.mark.parametrize(("method", "net"), [n[1:] for n in NETWORKS], ids=[n[0] for n in NETWORKS])
def test_any_order_gives_the_same_list(method, net):
    expected = net.fixed_points(method)
    assert len(expected) > 3
    counting = Scrambled()
    assert_same_list(net.fixed_points(method, executor=counting), expected)
    assert counting.count > 1
    assert_same_list(net.fixed_points(method, executor=Backwards()), expected)


def test_processes_give_the_same_list_and_branches():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for _, method, net in NETWORKS[1:6:2]:
            found = net.fixed_points(method, executor=pool)
            assert_same_list(found, net.fixed_points(method))
        net = hopfix.Hopfield(np.random.default_rng(9).normal(size=(6, 3)), 8.0)
        assert_same_branches(net.follow(2.0, executor=pool), net.follow(2.0))


def assert_same_branches(found, expected):
    assert len(found) == len(expected)
    for mine, theirs in zip(found.branches, expected.branches, strict=True):
        assert mine.states.tobytes() == theirs.states.tobytes()
        assert (mine.beta == theirs.beta).all()
        assert (mine.ends, mine.events, mine.starts) == (theirs.ends, theirs.events, theirs.starts)
    kinds = [(event.kind, event.beta, event.branches) for event in found.events]
    assert kinds == [(event.kind, event.beta, event.branches) for event in expected.events]


def test_branches_through_crossings_are_the_same():
    # Symmetric, so that branches cross at simple and at multiple points.
    for patterns in (np.eye(4), [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]):
        net = hopfix.Hopfield(patterns, 9.0)
        counting = Scrambled()
        offsets = np.linspace(0, 1e-3, len(patterns))
        assert_same_branches(net.follow(2.0, executor=counting), net.follow(2.0))
        assert counting.count > 1
        assert_same_branches(
            net.follow(4.0, offsets=offsets, executor=Backwards()), net.follow(4.0, offsets=offsets)
        )


@pytest.mark.parametrize("breaks_at", [0, 5, 70])
@pytest.mark.parametrize(
    ("method", "net"), [n[1:] for n in NETWORKS[::2]], ids=[n[0] for n in NETWORKS[::2]]
)
def test_an_executor_that_breaks_loses_nothing(method, net, breaks_at):
    whole = net.fixed_points(method)
    executor = Scrambled(breaks_at)
    try:
        found = net.fixed_points(method, executor=executor)
    except BrokenExecutor as error:
        found = error.partial
        assert isinstance(found, FixedPoints)
        assert found.completeness == "unknown"
        assert found.undecided
        known = {tuple(state) for state in whole.states.round(6)}
        assert {tuple(state) for state in found[found.certified].states.round(6)} <= known
    else:
        assert executor.count <= breaks_at  # it had no occasion to break
        assert_same_list(found, whole)


class Killing:
    """Hands portions on, and kills a process when some have been."""

    def __init__(self, executor, victim, after=20):
        self.executor = executor
        self.victim = victim
        self.after = after
        self.killed = False

    def submit(self, function, *arguments):
        self.after -= 1
        if self.after == 0:
            self.killed = True
            os.kill(self.victim, signal.SIGKILL)
        return self.executor.submit(function, *arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_dask_proves_the_same_though_a_worker_is_killed():
    distributed = pytest.importorskip("distributed")
    net = hopfix.Hopfield(np.random.default_rng(8).normal(size=(17, 20)) / 5, 12.0, num_threads=1)
    expected = net.fixed_points("cells")
    assert expected.completeness == "proved"
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
        executor = Killing(client.get_executor(pure=False), victim)
        found = net.fixed_points("cells", executor=executor)
        alive = client.run(os.getpid).values()
    assert executor.killed
    assert victim not in alive
    assert_same_list(found, expected)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_process_that_dies_leaves_what_was_found():
    net = hopfix.Hopfield(np.random.default_rng(8).normal(size=(17, 20)) / 5, 12.0, num_threads=1)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        victim = pool.submit(os.getpid).result()
        with pytest.raises(BrokenExecutor) as caught:
            net.fixed_points("cells", executor=Killing(pool, victim))
    partial = caught.value.partial
    assert partial.completeness == "unknown"
    assert partial.undecided


def test_branches_keep_what_they_have_when_the_executor_breaks():
    net = hopfix.Hopfield(np.random.default_rng(9).normal(size=(6, 3)), 8.0)
    points = net.fixed_points()
    with pytest.raises(BrokenExecutor) as caught:
        net.follow(2.0, points, executor=Scrambled(3))
    partial = caught.value.partial
    assert isinstance(partial, Branches)
    assert partial.cut_short
    assert sum(branch.whole for branch in partial.branches) >= 1


def test_limits_hold_elsewhere():
    net = NETWORKS[0][2]
    needed = net.fixed_points("cells").proof.boxes
    for boxes in (1, 100, needed - 1):
        short = net.fixed_points("cells", max_boxes=boxes, executor=Scrambled())
        assert short.completeness == "unknown"
        assert short.proof.boxes <= boxes
    assert (
        net.fixed_points("cells", max_boxes=needed, executor=Scrambled()).completeness == "proved"
    )
    few = net.fixed_points("cells", max_count=3, executor=Scrambled())
    assert len(few) == 3
    assert few.completeness == "unknown"


def test_the_time_limit_ends_the_waiting():
    net = hopfix.Hopfield(np.random.default_rng(7).normal(size=(30, 6)), 6.0)
    began = time.monotonic()
    found = net.fixed_points("cells", time_limit=0.5, executor=Scrambled(pause=0.01))
    assert time.monotonic() - began < 5
    assert found.completeness == "unknown"
    assert "time_limit" in found.undecided[-1].reason


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_was_found():
    net = hopfix.Hopfield(np.random.default_rng(7).normal(size=(30, 6)), 6.0)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fixed_points("cells", executor=Scrambled(pause=0.01))
    timer.join()
    assert caught.value.partial.completeness == "unknown"


def test_a_worker_of_another_version_says_so(monkeypatch):
    class Older(Scrambled):
        def submit(self, function, *arguments):
            *rest, version = arguments
            return self.failing(function, *rest, version + ".old")

        @staticmethod
        def failing(function, *arguments):
            future = Future()
            try:
                future.set_result(function(*arguments))
            except RuntimeError as error:
                future.set_exception(error)
            return future

    with pytest.raises(RuntimeError, match=r"executor: hopfix .*old.* need the same"):
        NETWORKS[0][2].fixed_points("cells", executor=Older())


def test_a_portion_that_is_none_is_refused():
    core = NETWORKS[0][2]._core64
    for wrong in (b"", b"\x00", b"\x07\x00\x00\x00", b"\x00\x00\x00\x00\x01"):
        with pytest.raises(ValueError, match="portion: "):
            _core.work_on_portion(core, wrong, 1)


def test_what_is_no_executor_is_refused():
    net = hopfix.Hopfield(np.eye(3), 8.0)
    for wrong in (3, "threads", []):
        with pytest.raises(TypeError, match="executor: got"):
            net.fixed_points(executor=wrong)
        with pytest.raises(TypeError, match="executor: got"):
            net.follow(2.0, executor=wrong)
