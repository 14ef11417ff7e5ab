"""The network on a GPU beside the core, for CuPy and for torch."""

import numpy as np
import pytest

import hopfix
from hopfix.gpu import DeviceHopfield

BETA = 20.0


def both(problem, to):
    patterns, log_weights, _ = problem
    there = hopfix.Hopfield(to(patterns), BETA, log_weights=to(log_weights))
    assert isinstance(there, DeviceHopfield)
    return there, hopfix.Hopfield(patterns, BETA, log_weights=log_weights)


def tolerance(dtype):
    return 2e-4 if dtype == np.float32 else 1e-11


@pytest.mark.parametrize("method", ["update", "weights", "energy", "jacobian", "spectral_radius"])
def test_values(method, device, problem, dtype):
    to, back, kind = device
    there, here = both(problem, to)
    seen = getattr(there, method)(to(problem[2]))
    assert isinstance(seen, kind)
    tol = tolerance(dtype)
    np.testing.assert_allclose(back(seen), getattr(here, method)(problem[2]), rtol=tol, atol=tol)


def test_products(device, problem, dtype):
    to, back, _ = device
    there, here = both(problem, to)
    states, vectors = problem[2], problem[2][::-1].copy()
    tol = tolerance(dtype)
    np.testing.assert_allclose(
        back(there.jvp(to(states), to(vectors))), here.jvp(states, vectors), rtol=tol, atol=tol
    )
    wrt = ("states", "patterns", "beta", "log_weights")
    seen, known = there.vjp(to(states), to(vectors), wrt), here.vjp(states, vectors, wrt)
    for one, other in zip(seen, known, strict=True):
        np.testing.assert_allclose(back(one), other, rtol=20 * tol, atol=20 * tol)


def test_retrieval(device, problem, dtype):
    to, back, kind = device
    there, here = both(problem, to)
    found, known = there.retrieve(to(problem[2])), here.retrieve(problem[2])
    assert isinstance(found.steps, kind)
    assert back(found.converged).all()
    np.testing.assert_allclose(
        back(found.states), known.states, atol=1e-3 if dtype == np.float32 else 1e-9
    )


@pytest.mark.parametrize("method", ["starts", "faces"])
def test_fixed_points(method, device):
    to, _, _ = device
    rng = np.random.default_rng(2)
    patterns = rng.normal(size=(7, 4))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    found = hopfix.Hopfield(to(patterns), 40.0).fixed_points(method)
    known = hopfix.Hopfield(patterns, 40.0).fixed_points("cells")
    assert found.counts == known.counts
    assert found.certified.all()


def test_host_arrays_are_errors(device, problem):
    to, _, _ = device
    there, here = both(problem, to)
    with pytest.raises(TypeError, match=r"^states: "):
        there.update(problem[2])
    with pytest.raises(TypeError, match=r"^states: .*host memory"):
        here.update(to(problem[2]))
