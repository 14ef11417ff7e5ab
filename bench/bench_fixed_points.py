"""Searches, certificates and the softmax map under pytest-benchmark.

Run `pytest bench/bench_fixed_points.py --benchmark-only`, or all of them by
`pytest bench/ -o "python_files=bench_*.py" --benchmark-only`. What the searches find is in
`landscape.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

import hopfix


def unit_patterns(d, n, seed):
    """Return n random unit patterns of dimension d, (n, d)."""
    columns = np.random.default_rng(seed).normal(size=(d, n))
    return np.ascontiguousarray((columns / np.linalg.norm(columns, axis=0)).T)


def test_orthonormal_by_starts(benchmark):
    network = hopfix.Hopfield(np.eye(8), 10.0, num_threads=2)
    found = benchmark(network.fixed_points, "starts")
    assert len(found) == 255


def test_orthonormal_in_closed_form(benchmark):
    network = hopfix.Hopfield(np.eye(16), 20.0, num_threads=2)
    found = benchmark.pedantic(network.fixed_points, ("closed_form",), rounds=3)
    assert len(found) == 2**16 - 1
    assert found.completeness == "proved"


def test_random_patterns_by_starts(benchmark):
    network = hopfix.Hopfield(unit_patterns(64, 12, 3), 12.0, num_threads=2)
    found = benchmark.pedantic(network.fixed_points, ("starts",), rounds=3)
    assert len(found) == 331


@pytest.mark.parametrize(
    ("patterns", "beta", "number"),
    [
        (np.eye(8), 10.0, 255),
        (np.eye(10), 11.0, 1023),
        (np.eye(12), 13.0, 4095),
        (unit_patterns(64, 14, 3), 12.0, 443),
        (unit_patterns(64, 16, 3), 12.0, 535),
        (unit_patterns(20, 20, 3), 8.0, 57),
        (unit_patterns(24, 24, 3), 8.0, 73),
        (unit_patterns(4, 20, 0), 20.0, 65),
    ],
    ids=["eye8", "eye10", "eye12", "d64n14", "d64n16", "d20n20", "d24n24", "d4n20"],
)
def test_cells(benchmark, patterns, beta, number):
    network = hopfix.Hopfield(patterns, beta, num_threads=2)
    found = benchmark.pedantic(network.fixed_points, ("cells",), rounds=3)
    benchmark.extra_info["boxes"] = found.proof.boxes
    benchmark.extra_info["newton_steps"] = found.proof.newton_steps
    assert len(found) == number
    assert found.completeness == "proved"


@pytest.mark.parametrize("n", [12, 200])
def test_certify(benchmark, n):
    patterns = unit_patterns(64, n, 3)
    network = hopfix.Hopfield(patterns, 30.0, num_threads=2)
    states = network.retrieve(patterns[:12]).states
    assert benchmark(network.certify, states).certified.all()


@pytest.mark.parametrize("beta", [20.0, 9000.0, 20_000.0])
def test_softmax_map(benchmark, beta):
    classes = benchmark(hopfix.softmax_map.fixed_points, 10_000, beta)
    assert classes[-1].k == 10_000
