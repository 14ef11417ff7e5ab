"""Every long call: Ctrl-C, a callback that fails, a time limit; no thread or memory is lost."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import hopfix
from hopfix import classical, faces, performer
from hopfix.degree import brouwer_degree
from hopfix.kernel import SeparationKernel
from hopfix.mean_field import AttentionMeanField

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
RNG = np.random.default_rng(0)
# What keeps any of the calls below busy for many seconds.
BALL = RNG.standard_normal((20, 20))
MANY = hopfix.Hopfield(RNG.standard_normal((20_000, 256)), 0.01)
QUERIES = RNG.standard_normal((20_000, 256))
SIGNS = 2 * RNG.integers(0, 2, (20_000, 2048), dtype=np.int8) - 1
WIDE = hopfix.Hopfield(BALL, 20.0)
ORTHOGONAL = hopfix.Hopfield(np.eye(20), 25.0)
SYSTEM = AttentionMeanField.paper(1.2)
FIRST = SYSTEM.first_token()


def follow_all(**options):
    net = hopfix.Hopfield(np.eye(12), 8.0)
    return net.follow(500.0, net.fixed_points("closed_form", certify=False), **options)


# name: (call with options, takes progress, takes time_limit)
CALLS = {
    "cells": (lambda **o: ORTHOGONAL.fixed_points("cells", symmetry=False, **o), True, True),
    "faces": (lambda **o: WIDE.fixed_points("faces", **o), True, True),
    "starts": (lambda **o: ORTHOGONAL.fixed_points("starts", **o), True, True),
    "closed_form": (lambda **o: ORTHOGONAL.fixed_points("closed_form", **o), True, True),
    "follow": (follow_all, True, True),
    "critical_faces": (lambda **o: faces.critical_faces(RNG.normal(size=(60, 30)), **o), 1, 1),
    "brouwer_degree": (
        lambda **o: brouwer_degree(WIDE, -np.full(20, 3.0), np.full(20, 3.0), **o),
        True,
        True,
    ),
    "fit": (
        lambda **o: SeparationKernel(512, steps=10**6, seed=0).fit(QUERIES[:1500], **o),
        True,
        True,
    ),
    "simulate": (lambda **o: SYSTEM.simulate(10**8, discard=10**8 - 10, **o), True, False),
    "lyapunov": (lambda **o: SYSTEM.lyapunov(10**8, discard=10, **o), True, False),
    "bifurcation": (
        lambda **o: SYSTEM.bifurcation(np.linspace(1, 2, 64), 10**8, 10**8 - 10, start=FIRST, **o),
        True,
        False,
    ),
    "finite network": (lambda **o: SYSTEM.network(5000).simulate(10**6, **o), True, False),
    "retrieve": (lambda **o: MANY.retrieve(QUERIES, tol=0.0, max_steps=10**6), False, False),
    "binary retrieve": (
        lambda **o: classical.BinaryHopfield(SIGNS[:4000]).retrieve(
            SIGNS, "asynchronous", max_steps=10**6
        ),
        False,
        False,
    ),
    "features": (
        # Independent rows: LAPACK, which makes orthogonal ones, cannot be interrupted.
        lambda **o: performer.RandomFeatures(256, 30_000, orthogonal=False, seed=0).transform(
            QUERIES
        ),
        False,
        False,
    ),
}
WITH_PROGRESS = [name for name, (_, progress, _) in CALLS.items() if progress]
WITH_LIMIT = [name for name, (_, _, limit) in CALLS.items() if limit]


def run(name, **options):
    return CALLS[name][0](**options)


@posix
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c(name):
    sent = []

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.4, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(name)
    finally:
        timer.cancel()
    assert time.monotonic() - sent[0] < 3  # the contract says one; the rest is for a busy machine


class UnforeseenError(Exception):
    """What a callback may raise."""


@pytest.mark.parametrize("name", WITH_PROGRESS)
def test_an_exception_of_the_callback_comes_out(name):
    first = []

    def progress(*_):
        first.append(time.monotonic())
        raise UnforeseenError("from the callback")

    with pytest.raises(UnforeseenError, match="from the callback"):
        run(name, progress=progress)
    assert len(first) == 1
    assert time.monotonic() - first[0] < 3


@pytest.mark.parametrize("name", WITH_LIMIT)
def test_a_time_limit_ends_the_call_with_what_there_is(name):
    start = time.monotonic()
    result = run(name, time_limit=0.3)
    assert time.monotonic() - start < 4
    assert result is not None
    if isinstance(result, hopfix.fixed_points.FixedPoints):
        assert result.completeness == "unknown"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_nothing_is_left_behind():
    """Neither threads nor memory after many interrupted calls."""
    ORTHOGONAL.fixed_points("cells", symmetry=False, time_limit=0.05)
    threads, before = len(os.listdir("/proc/self/task")), resident()
    for _ in range(20):
        with pytest.raises(UnforeseenError):
            ORTHOGONAL.fixed_points("cells", symmetry=False, progress=_fail)
    assert len(os.listdir("/proc/self/task")) <= threads
    assert (resident() - before) * os.sysconf("SC_PAGE_SIZE") < 2e8


def resident():
    """Pages of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def _fail(*_):
    raise UnforeseenError
