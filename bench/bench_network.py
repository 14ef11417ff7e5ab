"""Update, retrieve, jacobian and jvp under pytest-benchmark, to compare two builds of hopfix.

Run `pytest bench/bench_network.py --benchmark-only`, or all of them by
`pytest bench/ -o "python_files=bench_*.py" --benchmark-only`; add `--benchmark-autosave` and
`--benchmark-compare` to see a change. For figures beside other libraries see `peers.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import hopfix

DTYPES = ("float32", "float64")


def make(n, d, batch, dtype, beta=None):
    """Return a network of normal patterns and normal states."""
    rng = np.random.default_rng([n, d, batch])
    patterns = rng.normal(size=(n, d)).astype(dtype)
    states = rng.normal(size=(batch, d)).astype(dtype)
    return hopfix.Hopfield(patterns, beta or 1 / math.sqrt(d), num_threads=2), states


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "d", "batch"),
    [(100, 16, 1), (1000, 64, 1), (1000, 64, 32), (1000, 64, 1000), (10_000, 128, 100)],
)
def test_update(benchmark, n, d, batch, dtype):
    network, states = make(n, d, batch, dtype)
    result = benchmark(network.update, states)
    assert result.shape == states.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d", "batch"), [(100, 16, 1000), (1000, 64, 100)])
def test_jacobian(benchmark, n, d, batch, dtype):
    network, states = make(n, d, batch, dtype)
    result = benchmark(network.jacobian, states)
    assert result.shape == (batch, d, d)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d", "batch"), [(1000, 64, 100), (10_000, 64, 100)])
def test_jvp(benchmark, n, d, batch, dtype):
    network, states = make(n, d, batch, dtype)
    result = benchmark(network.jvp, states, states)
    assert result.shape == states.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d", "batch", "beta"), [(1000, 64, 100, 1.0), (100, 16, 100, 0.1)])
def test_retrieve(benchmark, n, d, batch, beta, dtype):
    network, states = make(n, d, batch, dtype, beta)
    result = benchmark(network.retrieve, states)
    assert result.converged.all()
