"""Retrieval by an executor: the results of this process, to the bit."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import array_api_strict as strict
import numpy as np
import pytest
from executors import Backwards

import hopfix
from hopfix._executor import map_in_order

RNG = np.random.default_rng(0)
PATTERNS = RNG.standard_normal((600, 8))
STATES = RNG.standard_normal((5, 39, 8))
NET = hopfix.Hopfield(PATTERNS, 2.0, log_weights=RNG.normal(size=600), num_threads=1)


def test_threads_and_any_order_give_the_same_bits(dtype):
    net = hopfix.Hopfield(PATTERNS.astype(dtype), 2.0, num_threads=1)
    states = STATES.astype(dtype)
    expected = net.retrieve(states)
    with ThreadPoolExecutor(2) as pool:
        assert net.retrieve(states, executor=pool) == expected
    assert net.retrieve(states, executor=Backwards()) == expected
    for few in (states[0, 0], states[0, :1], states[:2, :3]):
        assert net.retrieve(few, executor=Backwards()) == net.retrieve(few)


def test_processes_give_the_same_bits():
    kernel = hopfix.Hopfield(PATTERNS, 2.0, similarity=RNG.normal(size=(3, 8)), num_threads=1)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for net in (NET, kernel):
            found = net.retrieve(STATES, max_steps=20, executor=pool)
            assert found == net.retrieve(STATES, max_steps=20)


class UnforeseenError(RuntimeError):
    """What a worker may raise."""


def fail_at(number, wrong):
    if number == wrong:
        raise UnforeseenError(f"task {number}")
    time.sleep(0.01)
    return number


def test_an_exception_of_a_task_comes_out_and_the_rest_is_cancelled():
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(UnforeseenError, match="task 3"):
            map_in_order(pool, fail_at, [(i, 3) for i in range(500)])
        start = time.monotonic()
    assert time.monotonic() - start < 3  # of some five seconds of work


def die(number):
    os._exit(1)


def test_a_worker_that_dies_is_told():
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with pool, pytest.raises(BrokenProcessPool):
        map_in_order(pool, die, [(0,)])


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_the_waiting():
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            map_in_order(pool, fail_at, [(i, -1) for i in range(1000)])
        timer.join()
    assert time.monotonic() - start < 5


def faces_of(executor):
    """All that takes many faces."""
    pairs = np.array([[i, j] for i in range(6) for j in range(i)])
    patterns = np.random.default_rng(1).normal(size=(6, 4))
    margin = hopfix.faces.cips_margin(patterns, pairs, executor=executor)
    cips = hopfix.faces.is_cips(patterns, pairs, 0.01, executor=executor)
    betas = hopfix.faces.sufficient_beta(patterns, pairs, executor=executor)
    return margin.lower.tobytes(), margin.upper.tobytes(), cips.tolist(), [b.beta for b in betas]


def bifurcation_by(executor, **options):
    model = hopfix.mean_field.AttentionMeanField.paper(1.0)
    return model.bifurcation(np.linspace(0.5, 2.5, 70), 400, 100, executor=executor, **options)


def assert_same_bifurcation(found, expected):
    for name in ("betas", "gammas", "position_weights", "values"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()
    for mine, theirs in zip(found.final_states, expected.final_states, strict=True):
        assert mine.attention.tobytes() == theirs.attention.tobytes()
        assert mine.position == theirs.position
    if expected.exponents is None:
        assert found.exponents is None
    else:
        assert found.exponents.tobytes() == expected.exponents.tobytes()
        assert found.error.tobytes() == expected.error.tobytes()


def test_many_faces_and_parameters_give_the_same_bits():
    faces, plain = faces_of(None), bifurcation_by(None)
    exponents = bifurcation_by(None, lyapunov=True, count=2)
    assert 0 < sum(faces[2]) < len(faces[2])
    assert faces_of(Backwards()) == faces
    assert_same_bifurcation(bifurcation_by(Backwards()), plain)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert faces_of(pool) == faces
        seen = []
        found = bifurcation_by(
            pool, lyapunov=True, count=2, progress=lambda done, total: seen.append((done, total))
        )
        assert_same_bifurcation(found, exponents)
        assert seen == sorted(seen)
        assert seen[-1] == (70, 70)


def test_what_is_no_executor_is_refused():
    for wrong in (3, "threads"):
        with pytest.raises(TypeError, match="executor: got"):
            faces_of(wrong)
        with pytest.raises(TypeError, match="executor: got"):
            bifurcation_by(wrong)
    for wrong in (3, "threads", []):
        with pytest.raises(TypeError, match="executor: got"):
            NET.retrieve(STATES, executor=wrong)


def test_devices_have_none():
    away = hopfix.Hopfield(strict.asarray(PATTERNS, device=strict.Device("device1")), 1.0)
    with pytest.raises(NotImplementedError, match="executor"):
        away.retrieve(strict.asarray(STATES, device=strict.Device("device1")), executor=Backwards())
