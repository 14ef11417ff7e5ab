"""Accelerated retrieval lands on the fixed point of plain iteration, in fewer updates."""

import naive
import numpy as np
import pytest

import hopfix

RANDOM_NETWORKS = 400


def random_network(random):
    """Few or many patterns of any norm, cold or hot, with and without log-weights."""
    n, d = int(random.integers(2, 60)), int(random.integers(1, 12))
    beta = float(10 ** random.uniform(-0.5, 2.2))
    patterns = random.normal(size=(n, d)) / np.sqrt(d)
    if random.random() < 0.3:
        patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    log_weights = random.normal(size=n) * random.choice([1, 5]) if random.random() < 0.5 else None
    states = random.normal(size=(40, d))
    if random.random() < 0.5:
        states = patterns[random.integers(n, size=40)] + 0.3 * states / np.sqrt(d)
    return hopfix.Hopfield(patterns, beta, log_weights=log_weights), states


def test_random_queries_reach_the_fixed_point_of_plain_iteration():
    random = np.random.default_rng(1)
    compared = saved = 0
    for _ in range(RANDOM_NETWORKS):
        network, states = random_network(random)
        found = network.retrieve(states, tol=1e-10)
        # A tolerance of zero is met by accident only: plain updates.
        plain = network.retrieve(states, tol=0.0, max_steps=2000)
        steady = (plain.residual <= 1e-13) & found.converged
        attracted = np.maximum(1 - network.spectral_radius(found.states), 1e-6)
        apart = np.linalg.norm(found.states - plain.states, axis=1)
        assert (apart <= 1e-8 + 3e-10 / attracted)[steady].all()
        compared += steady.sum()
        saved += (found.steps <= plain.steps / 2)[steady].sum()
    assert compared > 0.9 * 40 * RANDOM_NETWORKS
    assert saved > compared / 2


@pytest.mark.parametrize("size", [200, 1000])
def test_slow_retrieval_of_a_pattern_is_accelerated(size):
    """Just above the temperature where the patterns lose their fixed points."""
    patterns = naive.unit_patterns(64, size, 0)
    states = patterns[:20] + 0.05 * np.random.default_rng(0).normal(size=(20, 64))
    network = hopfix.Hopfield(patterns, 10.5 if size == 200 else 12.5)
    found = network.retrieve(states)
    plain = [
        naive.retrieve(patterns, network.beta, None, state, 1000, 1e-12)[1] for state in states
    ]
    assert found.converged.all()
    assert np.mean(found.steps) < 0.7 * np.mean(plain)
    np.testing.assert_array_equal((found.states @ patterns.T).argmax(axis=1), np.arange(20))


def test_a_saddle_on_the_way_does_not_attract():
    """Queries that pass the midpoint of two patterns at distances from 1e-14 to 0.1."""
    network = hopfix.Hopfield(np.eye(3), 6.0)
    offsets = 10.0 ** np.arange(-14, 0)
    states = np.array([[1 + x, 1 - x, -1.0] for x in offsets])
    found = network.retrieve(states, tol=1e-9)
    plain = network.retrieve(states, tol=0.0, max_steps=3000)
    stays = plain.states[:, 0] - plain.states[:, 1] < 1e-3
    assert not stays[offsets > 1e-8].any()
    np.testing.assert_allclose(
        found.states[offsets > 1e-8], plain.states[offsets > 1e-8], atol=1e-7
    )
