"""What tests of exhaustive searches share: what "proved" promises, and roots by brute force."""

from itertools import combinations

import naive
import numpy as np

from hopfix import softmax_map

PER_POINT = (
    "states",
    "morse_index",
    "radius",
    "uniqueness_radius",
    "spectral_radius",
    "certified",
)


def assert_proved(found):
    """Everything that "proved" promises and that the list itself can show."""
    __tracebackhide__ = True
    assert found.completeness == "proved", found.undecided
    assert found.undecided == ()
    assert found.method == "cells"
    assert found.certified.all()
    assert (found.radius < 1e-6 * np.maximum(1, np.abs(found.states).max(axis=1))).all()
    assert found.degree_sum == 1
    gaps = [np.linalg.norm(a - b) for a, b in combinations(found.states.astype(float), 2)]
    assert min(gaps, default=np.inf) > 2 * found.radius.max()


def same(a, b):
    """Two lists are equal to the bit."""
    for field in PER_POINT:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
    assert a.completeness == b.completeness
    assert len(a.undecided) == len(b.undecided)
    for one, other in zip(a.undecided, b.undecided, strict=True):
        np.testing.assert_array_equal(one.state, other.state)
        assert (one.reason, one.radius) == (other.reason, other.radius)


def problem(seed):
    """A small random network: 1 to 3 dimensions, unequal norms, often awkward on purpose."""
    rng = np.random.default_rng(seed)
    N, d = int(rng.integers(2, 8)), int(rng.integers(1, 4))
    patterns = rng.normal(size=(N, d))
    kind = seed % 5
    if kind == 1:  # near duplicates
        patterns[-1] = patterns[0] + 10.0 ** -rng.integers(2, 12) * rng.normal(size=d)
    elif kind == 2:  # an exact duplicate
        patterns[-1] = patterns[0]
    elif kind == 3:  # collinear, away from the origin
        patterns = rng.normal(size=d) + np.outer(rng.normal(size=N), rng.normal(size=d))
    log_weights = 2 * rng.normal(size=N) if seed % 2 else None
    return patterns, float(np.exp(rng.uniform(-0.5, 3.5))), log_weights


def roots_by_brute_force(patterns, beta, log_weights, rng):
    """What Newton's method finds from many starts, in plain NumPy."""
    N, d = patterns.shape
    starts = np.concatenate([rng.dirichlet(np.full(N, a), 100) for a in (0.1, 0.3, 1.0, 3.0)])
    states = starts @ patterns
    b = 0 if log_weights is None else log_weights
    with np.errstate(all="ignore"):
        for _ in range(60):
            z = beta * states @ patterns.T + b
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            f = p @ patterns
            centred = patterns - f[:, None]
            jacobian = beta * np.einsum("bn,bni,bnj->bij", p, centred, centred)
            step = np.linalg.solve(np.eye(d) - jacobian + 1e-300, (f - states)[..., None])[..., 0]
            length = np.linalg.norm(step, axis=1, keepdims=True)
            states = states + step * np.minimum(1, 0.5 / np.maximum(length, 1e-300))
    return states[naive.residual(patterns, beta, log_weights, states) < 1e-12]


def fold(N, k):
    """The threshold of the k-class, and one of its double points."""
    beta = softmax_map.threshold(N, k)
    (at,) = [c for c in softmax_map.fixed_points(N, beta) if c.k == k]
    state = np.full(N, at.v)
    state[:k] = at.u
    return beta, state
