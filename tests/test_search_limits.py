"""Searches: determinism, limits of number and time, progress, exceptions."""

import time

import naive
import numpy as np
import pytest
from points import assert_consistent, match, same

import hopfix


def test_the_same_seed_gives_the_same_result_for_any_thread_count():
    patterns = naive.unit_patterns(4, 10, 4)
    one = hopfix.Hopfield(patterns, 20.0, num_threads=1).fixed_points("starts", seed=7)
    for threads in (1, 2, 3, 8):
        same(
            hopfix.Hopfield(patterns, 20.0, num_threads=threads).fixed_points("starts", seed=7), one
        )


def test_the_same_call_again_gives_the_same_bits_wherever_its_memory_lies():
    # Sums whose order depends on the alignment of a buffer differ from one run to the next.
    net = hopfix.Hopfield(naive.unit_patterns(4, 10, 4), 20.0, num_threads=1)
    first, clutter = net.fixed_points("starts", seed=7), []
    for i in range(12):
        clutter += [np.empty(n, np.uint8) for n in range(16, 16 * (i + 3), 16)]
        same(net.fixed_points("starts", seed=7), first)


def test_another_seed_finds_the_same_set():
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0)
    a, b = net.fixed_points("starts", seed=1), net.fixed_points("starts", seed=2**40)
    match(a.states, b.states, 1e-12)


@pytest.mark.parametrize("method", ["starts", "closed_form"])
@pytest.mark.parametrize("max_count", [1, 10, 254])
def test_max_count_limits_the_list_and_says_so(method, max_count):
    net = hopfix.Hopfield(np.eye(8), 10.0)
    found = net.fixed_points(method, max_count=max_count)
    assert len(found) == max_count
    assert found.completeness == "unknown"
    assert_consistent(found, net)


def test_max_count_at_least_the_number_changes_nothing():
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0)
    same(net.fixed_points("starts", max_count=1000), net.fixed_points("starts"))


@pytest.mark.parametrize("limit", [2**63, 10**30])
def test_limits_beyond_64_bits_limit_nothing(limit):
    net = hopfix.Hopfield(np.eye(3), 5.0)
    for method in ("starts", "cells", "faces", "closed_form"):
        assert len(net.fixed_points(method, max_count=limit)) == 7
    assert net.fixed_points("cells", max_boxes=limit).completeness == "proved"
    assert len(hopfix.faces.critical_faces(np.eye(3), max_count=limit)) == 7
    box = np.full(3, 2.0)
    assert hopfix.degree.brouwer_degree(net, -box, box, max_boxes=limit).value == 1


@pytest.mark.parametrize("certify", [True, False])
def test_time_limit_returns_what_was_found(certify):
    net = hopfix.Hopfield(np.eye(18), 25.0)  # 262,143 fixed points
    began = time.monotonic()
    found = net.fixed_points("starts", time_limit=0.3, certify=certify)
    assert time.monotonic() - began < 3
    assert found.completeness == "unknown"
    assert len(found) < 2**18 - 1
    if certify:
        assert_consistent(found, net)


def test_progress_is_called_with_growing_counts():
    calls = []
    net = hopfix.Hopfield(np.eye(8), 10.0)
    found = net.fixed_points("starts", progress=lambda done, total: calls.append((done, total)))
    assert len(found) == 255
    assert calls
    done = [c[0] for c in calls]
    assert all(type(a) is int and type(b) is int for a, b in calls)
    assert all(0 <= a <= b for a, b in calls)
    assert done == sorted(done)


class StopSearchError(Exception):
    """Raised by a callback."""


@pytest.mark.parametrize("error", [StopSearchError, KeyboardInterrupt])
def test_an_exception_in_progress_ends_the_search_and_propagates(error):
    calls = []

    def progress(done, total):
        calls.append(done)
        raise error("enough")

    net = hopfix.Hopfield(np.eye(8), 10.0)
    with pytest.raises(error, match="enough"):
        net.fixed_points("starts", progress=progress)
    assert len(calls) == 1
    assert len(net.fixed_points("starts")) == 255  # and the network is none the worse


def test_the_time_limit_holds_within_a_block_of_starts():
    patterns = np.random.default_rng(0).normal(size=(600, 500)) / 20
    began = time.monotonic()
    found = hopfix.Hopfield(patterns, 20.0).fixed_points("starts", time_limit=0.5)
    assert time.monotonic() - began < 5
    assert found.completeness == "unknown"


@pytest.mark.parametrize("method", ["cells", "starts"])
def test_an_interruption_after_the_time_limit_is_not_lost(method):
    def interrupt(done, total):
        time.sleep(0.3)
        raise KeyboardInterrupt

    net = hopfix.Hopfield(naive.unit_patterns(8, 12, 0), 12.0)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fixed_points(method, time_limit=0.1, progress=interrupt)
    assert caught.value.partial.completeness == "unknown"
