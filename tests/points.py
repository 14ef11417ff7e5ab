"""What the tests of fixed points share: counts, and what a list must say about itself."""

from itertools import combinations

import naive
import numpy as np

EPS = np.finfo(np.float64).eps
POINT_FIELDS = [
    "states",
    "weights",
    "morse_index",
    "index",
    "stable",
    "spectral_radius",
    "energy",
    "residual",
    "certified",
    "radius",
    "uniqueness_radius",
]


def by_index(numbers):
    """[4, 4, 1] -> {0: 4, 1: 4, 2: 1}."""
    return {i: n for i, n in enumerate(numbers) if n}


def binomials(N):
    """Counts of N orthonormal patterns at beta > N: the faces of k patterns have index k - 1."""
    return {k - 1: sum(1 for _ in combinations(range(N), k)) for k in range(1, N + 1)}


def match(a, b, tol):
    """Each row of a has exactly one row of b within tol, and vice versa."""
    __tracebackhide__ = True
    assert a.shape == b.shape
    distance = np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=-1)
    near = distance <= tol
    assert (near.sum(axis=0) == 1).all()
    assert (near.sum(axis=1) == 1).all()


def assert_consistent(found, net):
    """Everything a FixedPoints says about itself agrees with the twin and with itself."""
    __tracebackhide__ = True
    K, (N, d) = len(found), net.patterns.shape
    shapes = {"states": (K, d), "weights": (K, N)}
    for field in POINT_FIELDS:
        assert getattr(found, field).shape == shapes.get(field, (K,)), field
    assert found.states.dtype == net.dtype
    assert found.certified.dtype == np.bool_
    assert found.stable.dtype == np.bool_
    assert np.issubdtype(found.morse_index.dtype, np.integer)
    assert np.issubdtype(found.index.dtype, np.integer)

    data = (net.patterns, net.beta, net.log_weights, found.states)
    eps = np.finfo(net.dtype).eps
    gap = naive.residual(*data)
    # A state rounded to the dtype is off by eps |xi|, and f magnifies that by at most 1 + rho.
    size = (1 + found.spectral_radius.astype(float)) * np.linalg.norm(
        found.states.astype(float), axis=1
    )
    allowed = naive.residual_error(*data, eps) + 4 * eps * size
    assert np.all(gap <= np.where(found.certified, allowed, 1e-6))
    assert np.all(np.abs(found.residual - gap) <= allowed + 1e-3 * gap)
    assert np.all(np.abs(found.weights - naive.weights(*data)) <= naive.weights_error(*data, eps))
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=(N + 8) * eps)
    np.testing.assert_allclose(found.energy, net.energy(found.states), rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(
        found.spectral_radius,
        net.spectral_radius(found.states),
        rtol=1e-3 if eps > 1e-10 else 1e-8,
        atol=eps,
    )

    np.testing.assert_array_equal(found.index, (-1) ** found.morse_index)
    sure = found.certified
    np.testing.assert_array_equal(found.stable[sure], found.morse_index[sure] == 0)
    np.testing.assert_array_equal(found.stable[sure], found.spectral_radius[sure] < 1)
    numbers, times = np.unique(found.morse_index, return_counts=True)
    assert found.counts == dict(zip(numbers.tolist(), times.tolist(), strict=True))
    assert found.degree_sum == found.index.sum()
    assert found.completeness in ("proved", "consistent", "unknown")

    assert np.isnan(found.radius[~sure]).all()
    assert np.isnan(found.uniqueness_radius[~sure]).all()
    assert np.all(found.radius[sure] >= 0)
    assert np.all(found.uniqueness_radius[sure] >= found.radius[sure])
    assert len(found.reasons) == len(found.support) == K
    for ok, reason in zip(found.certified, found.reasons, strict=True):
        assert isinstance(reason, str)
        assert bool(reason) != bool(ok)
    for support, w in zip(found.support, found.weights, strict=True):
        assert isinstance(support, tuple)
        assert list(support) == sorted(set(support))
        assert int(np.argmax(w)) in support
        assert set(support) <= set(range(N))

    points, radius = found.states[sure].astype(float), found.radius[sure]
    for i, j in combinations(range(len(points)), 2) if len(points) <= 300 else []:
        assert np.linalg.norm(points[i] - points[j]) > radius[i] + radius[j], (
            "two certified points may be one"
        )


def same(a, b):
    """Bitwise equality of two results."""
    for field in POINT_FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
    assert a.support == b.support
    assert list(a.reasons) == list(b.reasons)
    assert a.completeness == b.completeness
