"""Networks in shards: those of one network, for any shards and executor."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix
from hopfix.sharded import FileShard, ShardedHopfield

RNG = np.random.default_rng(0)
PATTERNS = RNG.standard_normal((60, 7))
LOG_WEIGHTS = RNG.normal(size=60)
STATES = PATTERNS[:12].reshape(3, 4, 7) + 0.2 * RNG.standard_normal((3, 4, 7))
CUTS = [0, 1, 20, 45, 60]


def pieces(array):
    return [array[a:b] for a, b in pairwise(CUTS)]


def pair(dtype, beta=3.0):
    rows, b = PATTERNS.astype(dtype), LOG_WEIGHTS.astype(dtype)
    whole = hopfix.Hopfield(rows, beta, log_weights=b)
    return whole, ShardedHopfield(pieces(rows), beta, log_weights=pieces(b))


def test_update_and_energy_are_those_of_one_network(dtype):
    whole, parts = pair(dtype)
    tol = 1e-5 if dtype == np.float32 else 1e-13
    states = STATES.astype(dtype)
    for method in ("update", "energy"):
        found = getattr(parts, method)(states)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, getattr(whole, method)(states), rtol=tol, atol=tol)
    assert parts.update(states[0, 0]).shape == (7,)
    assert parts.energy(states[0, 0]).shape == ()


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 5), st.sampled_from([1e-3, 1.0, 50.0, 1e6]), st.data())
def test_any_cut_gives_the_same(n, d, beta, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows, states = rng.standard_normal((n, d)), rng.standard_normal((4, d))
    cuts = sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=4))})
    parts = [rows[a:b] for a, b in pairwise(cuts)]
    whole = hopfix.Hopfield(rows, beta)
    # Logits are rounded alike in both: what is left is the rounding of the merge.
    np.testing.assert_allclose(
        ShardedHopfield(parts, beta).update(states), whole.update(states), rtol=0, atol=1e-12
    )


def test_shares_whose_exponentials_underflow_or_overflow():
    """Logits of ±10⁵: only the differences between shards count."""
    rows = np.array([[1e5, 0.0], [1e5, 1.0], [-1e5, 0.0]])
    found = ShardedHopfield([rows[2:], rows[:2]], 1.0).update([1.0, 0.0])
    np.testing.assert_allclose(found, [1e5, 0.5])


def test_retrieval_stops_where_one_network_does(dtype):
    whole, parts = pair(dtype, beta=4.0)
    states = STATES.astype(dtype)
    found, expected = parts.retrieve(states), whole.retrieve(states)
    assert found.converged.all()
    assert found.states.shape == states.shape
    tol = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(found.states, expected.states, atol=tol)
    again = np.linalg.norm(whole.update(found.states) - found.states, axis=-1)
    assert (again <= (2e-6 if dtype == np.float32 else 2e-12) * 5).all()


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_max_steps_is_that_update(steps):
    _, parts = pair(np.float64, beta=0.8)
    expected = STATES
    for _ in range(steps):
        expected = parts.update(expected)
    found = parts.retrieve(STATES, max_steps=steps, tol=0.0)
    np.testing.assert_allclose(found.states, expected, rtol=1e-13)
    assert (found.steps == steps).all()


def files(folder):
    np.save(folder / "patterns.npy", PATTERNS)
    np.save(folder / "weights.npy", LOG_WEIGHTS)
    names = str(folder / "patterns.npy"), str(folder / "weights.npy")
    return [FileShard(names[0], a, b, log_weights=names[1]) for a, b in pairwise(CUTS)]


def test_files_give_the_same_to_the_bit(tmp_path):
    _, parts = pair(np.float64)
    stored = ShardedHopfield(files(tmp_path), 3.0)
    assert len(stored) == 60
    assert "60 patterns of dimension 7 in 4 shards" in repr(stored)
    np.testing.assert_array_equal(stored.update(STATES), parts.update(STATES))


def test_a_file_that_is_replaced_is_read_again(tmp_path):
    stored = ShardedHopfield(files(tmp_path), 3.0)
    before = stored.update(STATES)
    np.save(tmp_path / "patterns.npy", PATTERNS + 1.0)
    expected = hopfix.Hopfield(PATTERNS + 1.0, 3.0, log_weights=LOG_WEIGHTS).update(STATES)
    np.testing.assert_allclose(stored.update(STATES), expected, rtol=1e-12)
    assert not np.allclose(before, expected)


class Here:
    """An executor that works at once, in this thread."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize("kind", ["here", "threads", "processes"])
def test_every_executor_gives_the_same_bits(kind, tmp_path):
    shards = files(tmp_path)
    expected = ShardedHopfield(shards, 3.0).retrieve(STATES)
    if kind == "here":
        found = ShardedHopfield(shards, 3.0, executor=Here()).retrieve(STATES)
    else:
        pool = (
            ThreadPoolExecutor(2)
            if kind == "threads"
            else ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
        )
        with pool:
            found = ShardedHopfield(shards, 3.0, executor=pool, num_threads=1).retrieve(STATES)
    assert found == expected


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_dask_gives_the_same_bits_though_a_worker_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    shards = files(tmp_path)
    expected = ShardedHopfield(shards, 1.0).retrieve(STATES, tol=0.0, max_steps=150)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        victims, killed = list(client.run(os.getpid).values()), []

        def kill_one(done, count):
            if len(killed) == 0:
                killed.append(time.monotonic())
                threading.Timer(0.05, os.kill, (victims[0], signal.SIGKILL)).start()

        net = ShardedHopfield(shards, 1.0, executor=client.get_executor(), num_threads=1)
        found = net.retrieve(STATES, tol=0.0, max_steps=150, progress=kill_one)
        alive = client.run(os.getpid).values()
    assert killed
    assert victims[0] not in alive
    assert found == expected


def test_progress_counts_the_queries_that_stopped():
    seen = []
    _, parts = pair(np.float64, beta=4.0)
    parts.retrieve(STATES, progress=lambda done, count: seen.append((done, count)))
    assert seen[-1] == (12, 12)
    assert seen == sorted(seen)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(TypeError, match="shards: got int, need a sequence"):
        ShardedHopfield(3, 1.0)
    with pytest.raises(ValueError, match="shards: got none"):
        ShardedHopfield([], 1.0)
    with pytest.raises(ValueError, match=r"shards\[1\]: patterns: got nan"):
        ShardedHopfield([PATTERNS, [[np.nan] * 7]], 1.0)
    with pytest.raises(ValueError, match="shards: got dimension 7 of float64, dimension 2"):
        ShardedHopfield([PATTERNS, [[1.0, 2.0]]], 1.0)
    with pytest.raises(ValueError, match="log_weights: got 1, need 2"):
        ShardedHopfield(PATTERNS.reshape(2, 30, 7), 1.0, log_weights=[None])
    with pytest.raises(TypeError, match="executor: got int"):
        ShardedHopfield([PATTERNS], 1.0, executor=3)
    with pytest.raises(ValueError, match="beta"):
        ShardedHopfield([PATTERNS], -1.0)
    with pytest.raises(ValueError, match="states: got shape"):
        ShardedHopfield([PATTERNS], 1.0).update(np.zeros(3))
    with pytest.raises(TypeError, match="progress: got int"):
        ShardedHopfield([PATTERNS], 1.0).retrieve(PATTERNS, progress=3)
    with pytest.raises(FileNotFoundError):
        ShardedHopfield([FileShard(str(tmp_path / "missing.npy"))], 1.0)
    np.save(tmp_path / "flat.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"need \(N, d\)"):
        ShardedHopfield([FileShard(str(tmp_path / "flat.npy"))], 1.0)
    np.save(tmp_path / "whole.npy", np.zeros((3, 2), int))
    with pytest.raises(TypeError, match="need float32 or float64"):
        ShardedHopfield([FileShard(str(tmp_path / "whole.npy"))], 1.0)
    shard = files(tmp_path)[0]
    with pytest.raises(ValueError, match="of a file; name a file"):
        ShardedHopfield([shard], 1.0, log_weights=[np.zeros(1)])


def test_update_and_energy_in_fifty_digits():
    """Beside mpmath, of shards whose shares differ by many orders of magnitude."""
    rows, states, beta = 3 * PATTERNS[:9], STATES[0], 7.0
    net = ShardedHopfield([rows[:2], rows[2:5], rows[5:]], beta)
    answers = zip(states, net.update(states), net.energy(states), strict=True)
    with mpmath.workdps(50):
        for state, found, energy in answers:
            exact = [[mpmath.mpf(x) for x in row] for row in rows.tolist()]
            logits = [beta * mpmath.fdot(row, state.tolist()) for row in exact]
            top = max(logits)
            shares = [mpmath.exp(z - top) for z in logits]
            total = mpmath.fsum(shares)
            expected = [float(mpmath.fdot(shares, c) / total) for c in zip(*exact, strict=True)]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
            square = mpmath.fdot(state.tolist(), state.tolist())
            exact_energy = square / 2 - (top + mpmath.log(total)) / beta
            assert abs(energy - exact_energy) <= 1e-14 * abs(exact_energy) + 1e-14
