"""Retrieval on short lists agrees with plain iteration of all patterns, and is as deterministic."""

import numpy as np
import pytest

import hopfix

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def plain(network, states, steps):
    """The fixed number of full updates that retrieval reports for each query."""
    out = states.copy()
    for step in range(int(steps.max(initial=0))):
        moved = network.update(out)
        out[steps > step] = moved[steps > step]
    return out


def problem(name, dtype):
    """Patterns, queries, beta, log-weights of enough patterns that lists are made."""
    random = np.random.default_rng(5)
    n, d = 1500, 24
    patterns = random.normal(size=(n, d)) / np.sqrt(d)
    log_weights = None
    beta = 40.0
    if name == "clusters":  # slow convergence on few patterns: what lists are for
        centres = random.normal(size=(30, d)) / 4
        patterns = centres[random.integers(0, 30, n)] + random.normal(size=(n, d)) * 0.02
        beta = 300.0
    elif name == "offset":
        patterns += 50
    elif name == "log_weights":
        log_weights = random.normal(size=n) * 30
    elif name == "metastable":
        beta = 12.0
    elif name == "sharp":
        beta = 5000.0
    elif name == "tails":  # on few patterns, but most of the others are above rounding
        patterns = random.normal(size=(n, d)) * 0.8 / np.sqrt(d)
        patterns[:, 0] += 0.6
        beta = 25.0
    elif name == "sorted":  # every pattern beats all before it: the worst order for a running max
        patterns = np.outer(np.linspace(0.5, 2, n), np.ones(d) / np.sqrt(d))
        patterns += random.normal(size=(n, d)) * 1e-3
    queries = patterns[random.integers(0, n, 70)] + random.normal(size=(70, d)) * 0.1
    return (
        hopfix.Hopfield(patterns.astype(dtype), beta, log_weights=log_weights),
        queries.astype(dtype),
    )


NAMES = ["clusters", "offset", "log_weights", "metastable", "sharp", "tails", "sorted"]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NAMES)
def test_lists_agree_with_all_patterns(name, dtype):
    network, queries = problem(name, dtype)
    found = network.retrieve(queries)
    assert found.converged.all()
    moved = network.update(found.states)
    scale = np.maximum(1, np.linalg.norm(found.states, axis=1))
    unit = float(np.finfo(dtype).eps) * np.abs(network.patterns).max() * 20
    # The residual is that of all patterns, up to their rounding.
    assert (np.linalg.norm(moved - found.states, axis=1) <= TOLERANCE[dtype] * scale + unit).all()
    assert np.allclose(np.linalg.norm(moved - found.states, axis=1), found.residual, atol=unit)
    # The fixed point is that of plain iteration: rounding grows at most where a query passes a
    # saddle. A residual leaves the state within residual / (1 - rho) of its fixed point.
    expected = network.retrieve(queries, tol=0.0, max_steps=600).states
    apart = np.linalg.norm(expected - found.states, axis=1)
    attracted = 1 - np.minimum(network.spectral_radius(found.states), 1 - 1e-3)
    assert (apart <= 1e3 * unit + 2 * (TOLERANCE[dtype] * scale + unit) / attracted).mean() > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_lists_do_not_depend_on_batch_or_threads(name):
    network, queries = problem(name, "float64")
    whole = network.retrieve(queries)
    for threads in (1, 3):
        other = hopfix.Hopfield(
            network.patterns, network.beta, log_weights=network.log_weights, num_threads=threads
        )
        for part in (slice(0, 1), slice(3, 9), slice(20, 61)):
            piece = other.retrieve(queries[part])
            np.testing.assert_array_equal(piece.states, whole.states[part])
            np.testing.assert_array_equal(piece.steps, whole.steps[part])
            np.testing.assert_array_equal(piece.residual, whole.residual[part])


def test_max_steps_is_exact_after_lists():
    network, queries = problem("clusters", "float64")
    needed = network.retrieve(queries, tol=1e-14).steps
    cut = int(needed.max()) - 1
    assert cut > 2
    found = network.retrieve(queries, max_steps=cut, tol=0.0)
    open_queries = found.steps == cut
    assert open_queries.any()
    expected = plain(network, queries, np.full(len(queries), cut))
    np.testing.assert_array_equal(found.states[open_queries], expected[open_queries])


def test_a_pattern_left_out_of_the_list_is_found_when_the_state_comes_near():
    """Two clusters far apart, the query between them drifts from one to the other's reach."""
    random = np.random.default_rng(1)
    line = np.linspace(0, 1, 600)[:, None] * np.ones((1, 2))
    patterns = line + random.normal(size=line.shape) * 1e-3
    network = hopfix.Hopfield(patterns, 300.0)
    queries = patterns[::60].copy()
    found = network.retrieve(queries)
    expected = plain(network, queries, np.full(len(queries), 3000))
    np.testing.assert_allclose(found.states, expected, atol=1e-9)
    assert np.linalg.norm(found.states - queries, axis=1).max() > 0.9
