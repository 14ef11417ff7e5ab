"""Queries that end in a known attractor of the network: the one plain iteration takes them to."""

import numpy as np
import pytest

import hopfix

NETWORKS = 25  # of 100 queries each; ten times as many were compared by hand


def random_network(random):
    """Enough patterns for attractors, with few or many of them, with and without log-weights."""
    n, d = int(random.integers(512, 700)), int(random.integers(1, 24))
    patterns = random.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1))
    if random.random() < 0.5:
        centres = random.normal(size=(int(random.integers(2, 6)), d))
        patterns = centres[random.integers(len(centres), size=n)] + 0.4 * patterns
    patterns += random.choice([0, 3]) * random.normal(size=d)
    patterns /= np.sqrt((patterns**2).sum(axis=1).mean())
    spread = np.linalg.eigvalsh(np.atleast_2d(np.cov(patterns, rowvar=False)))[-1]
    beta = float(10 ** random.uniform(-0.4, 0.7)) / spread
    log_weights = random.normal(size=n) * random.choice([0.5, 3]) if random.random() < 0.4 else None
    states = patterns[random.integers(n, size=100)]
    states = states + random.choice([0.01, 0.5]) * random.normal(size=states.shape) / np.sqrt(d)
    return hopfix.Hopfield(patterns, beta, log_weights=log_weights), states


def plain_retrieval(network, states):
    # A tolerance of zero is met by accident only: plain updates.
    return network.retrieve(states, tol=0.0, max_steps=500)


def test_random_queries_reach_the_fixed_point_of_plain_iteration():
    random = np.random.default_rng(3)
    compared = saved = 0
    for _ in range(NETWORKS):
        network, states = random_network(random)
        found, plain = network.retrieve(states, tol=1e-10), plain_retrieval(network, states)
        steady = (plain.residual <= 1e-13) & found.converged
        attracted = np.maximum(1 - network.spectral_radius(found.states), 1e-6)
        apart = np.linalg.norm(found.states - plain.states, axis=1)
        assert (apart <= 1e-8 + 3e-10 / attracted)[steady].all()
        # As few steps as this are proof of an attractor: 1e-10 takes more even at a rate of 0.1.
        saved += (found.steps <= 9)[steady & (plain.steps > 20)].sum()
        compared += steady.sum()
    assert compared > 0.8 * 100 * NETWORKS
    assert saved > compared / 4


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_queries_beside_a_basin_boundary_stay_on_their_side(offset):
    """Two clusters, queries from 1e-13 to 0.1 away from the surface between their attractors."""
    random = np.random.default_rng(4)
    patterns = random.normal(size=(600, 6)) * 0.3
    patterns[:, 0] += np.where(np.arange(600) % 2, 1.0, -1.0)
    patterns += offset
    # Mean shift, which does not depend on the origin.
    network = hopfix.Hopfield(patterns, 3.0, log_weights=-1.5 * (patterns**2).sum(axis=1))
    for _ in range(4):
        left, right = patterns[:2] + 0.2 * random.normal(size=(2, 6))
        for _ in range(40):
            middle = (left + right) / 2
            ends_right = plain_retrieval(network, middle).states[0] > offset
            left, right = (left, middle) if ends_right else (middle, right)
        # What plain updates of these decide is not decided by rounding.
        shares = np.concatenate([sign * 10.0 ** np.arange(-11, 0) for sign in (1, -1)])
        states = middle + shares[:, None] * (patterns[1] - patterns[0])
        found, plain = network.retrieve(states), plain_retrieval(network, states)
        assert found.converged.all()
        np.testing.assert_allclose(found.states, plain.states, atol=1e-9)
        np.testing.assert_array_equal(found.states[:, 0] > offset, shares > 0)


def test_a_query_at_a_saddle_is_not_taken_for_one_at_an_attractor():
    """The mean of a symmetric set of patterns is a fixed point, above a certain beta a saddle."""
    random = np.random.default_rng(5)
    half = random.normal(size=(300, 4))
    patterns = np.concatenate([half, -half])
    spread = np.linalg.eigvalsh(patterns.T @ patterns / 600)[-1]
    directions = random.normal(size=(40, 4))
    for factor in (0.9, 1.1, 1.5, 3.0):
        network = hopfix.Hopfield(patterns, factor / spread)
        states = directions * 10.0 ** random.uniform(-9, 0, size=(40, 1))
        found, plain = network.retrieve(states), plain_retrieval(network, states)
        np.testing.assert_allclose(found.states, plain.states, atol=1e-8)
        assert (np.linalg.norm(found.states, axis=1) < 1e-8).all() == (factor < 1)


@pytest.mark.parametrize("tol", [1e-4, 1e-9, 1e-15])
def test_the_residual_is_that_of_the_returned_state_at_any_tolerance(tol):
    """An attractor is not known to 1e-15: then the query goes on by itself."""
    random = np.random.default_rng(6)
    network = hopfix.Hopfield(random.normal(size=(800, 5)) / 3, 4.0)
    states = random.normal(size=(50, 5))
    found = network.retrieve(states, tol=tol)
    residual = np.linalg.norm(network.update(found.states) - found.states, axis=1)
    np.testing.assert_allclose(found.residual, residual, atol=1e-15)
    np.testing.assert_array_equal(found.converged, residual <= tol)


def test_a_query_depends_neither_on_its_batch_nor_on_threads_nor_on_what_came_before(dtype):
    random = np.random.default_rng(7)
    patterns = (random.normal(size=(3000, 16)) / 4).astype(dtype)
    states = (random.normal(size=(150, 16)) / 2).astype(dtype)
    beta = 10.0
    whole = hopfix.Hopfield(patterns, beta, num_threads=1).retrieve(states)
    assert (whole.steps < 15).mean() > 0.5
    for threads, part in ((1, slice(0, 1)), (3, slice(5, 80)), (2, slice(149, 150))):
        fresh = hopfix.Hopfield(patterns, beta, num_threads=threads)
        for _ in range(2):
            piece = fresh.retrieve(states[part])
            for field in ("states", "steps", "converged", "residual"):
                np.testing.assert_array_equal(getattr(piece, field), getattr(whole, field)[part])
