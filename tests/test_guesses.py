"""First updates on few patterns, then frozen tails: the fixed point of all patterns."""

import numpy as np
import pytest

import hopfix

NETWORKS = 40  # of 60 queries each; fifty times as many were compared by hand
ITERATIONS = 400


def random_network(random, dtype):
    """Most weight on few patterns, the rest above rounding; all kinds of norms and noise."""
    n, d = int(random.integers(512, 900)), int(random.integers(6, 80))
    patterns = random.normal(size=(n, d)) / np.arange(1, d + 1) ** random.choice([0, 0.5])
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    beta = float(random.uniform(12, 60))
    log_weights = random.normal(size=n) * 2 if random.random() < 0.3 else None
    noise = random.normal(size=(60, d)) / np.sqrt(d) * 10 ** random.uniform(-3, 0)
    chosen = random.integers(n, size=(2, 60))
    # A part of the queries lies between two patterns.
    share = np.where(random.random(60) < 0.5, 0, random.random(60))[:, None]
    states = (1 - share) * patterns[chosen[0]] + share * patterns[chosen[1]] + noise
    network = hopfix.Hopfield(patterns.astype(dtype), beta, log_weights=log_weights)
    return network, states.astype(dtype)


def fixed_points(network, states):
    """Plain updates, as a tolerance of zero is met by accident only; and where they settle."""
    plain = network.retrieve(states, tol=0.0, max_steps=ITERATIONS)
    return plain.states, plain.residual <= 100 * np.finfo(states.dtype).eps


def compare(network, states, tol):
    """Return of how many queries both retrievals settle; they must agree for all of these."""
    found, (plain, settled) = network.retrieve(states, tol=tol), fixed_points(network, states)
    unit = float(np.finfo(states.dtype).eps)
    moved = np.linalg.norm((network.update(found.states) - found.states).astype(float), axis=1)
    np.testing.assert_allclose(found.residual, moved, atol=8 * unit)
    both = settled & found.converged
    wide = hopfix.Hopfield(
        network.patterns.astype(float), network.beta, log_weights=network.log_weights
    )
    attracted = np.maximum(1 - wide.spectral_radius(found.states.astype(float)), 1e-3)
    apart = np.linalg.norm((found.states - plain).astype(float), axis=1)
    assert (apart <= 2 * (tol + 100 * unit) / attracted)[both].all()
    return int(both.sum())


def test_random_queries_reach_the_fixed_point_of_plain_iteration(dtype):
    random = np.random.default_rng(8)
    tol = 1e-6 if dtype == np.float32 else 1e-12
    settled = sum(compare(*random_network(random, dtype), tol) for _ in range(NETWORKS))
    assert settled > 0.95 * 60 * NETWORKS


def test_queries_beside_a_basin_boundary_stay_on_their_side():
    """Halfway between two patterns, from 1e-9 to 0.1 away from the boundary."""
    random = np.random.default_rng(9)
    for beta in (15.0, 25.0, 40.0):
        patterns = random.normal(size=(600, 32))
        patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
        # A reflection that exchanges the first two: its mirror is a boundary.
        normal = patterns[0] - patterns[1]
        normal /= np.linalg.norm(normal)
        mirrored = patterns[:300] - 2 * (patterns[:300] @ normal)[:, None] * normal
        network = hopfix.Hopfield(np.concatenate([patterns[:300], mirrored]), beta)
        middle = (patterns[0] + patterns[1]) / 2
        offsets = np.concatenate([sign * 10.0 ** np.arange(-9, 0) for sign in (1, -1)])
        states = middle + offsets[:, None] * normal
        found, (plain, settled) = network.retrieve(states), fixed_points(network, states)
        assert settled.all()
        np.testing.assert_allclose(found.states, plain, atol=1e-10)
        sides = found.states @ normal
        assert (np.sign(sides) == np.sign(offsets))[np.abs(sides) > 1e-8].all()


def test_a_start_that_is_converged_takes_no_step():
    random = np.random.default_rng(10)
    network, states = random_network(random, np.float64)
    rest = network.retrieve(states, tol=2e-13).states
    again = network.retrieve(rest)
    np.testing.assert_array_equal(again.steps, 0)
    np.testing.assert_array_equal(again.states, rest)


@pytest.mark.parametrize("max_steps", [3, 4, 6])
def test_what_does_not_converge_is_plain_to_the_bit(max_steps):
    random = np.random.default_rng(11)
    compared = 0
    for _ in range(10):
        network, states = random_network(random, np.float64)
        found = network.retrieve(states, max_steps=max_steps)
        exhausted = ~found.converged
        for _ in range(max_steps):
            states = network.update(states)
        np.testing.assert_array_equal(found.states[exhausted], states[exhausted])
        np.testing.assert_array_equal(found.steps[exhausted], max_steps)
        compared += exhausted.sum()
    assert compared > 20
