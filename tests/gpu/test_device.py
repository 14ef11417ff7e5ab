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


@pytest.mark.parametrize("similarity", ["neg_sq_l2", "neg_l2", "neg_l1", "kernel"])
def test_similarities(similarity, device, problem, dtype):
    to, back, kind = device
    kernel = np.random.default_rng(3).normal(size=(12, 24)).astype(dtype) / 5
    given = kernel if similarity == "kernel" else similarity
    away = to(kernel) if similarity == "kernel" else similarity
    there = hopfix.Hopfield(to(problem[0]), BETA, log_weights=to(problem[1]), similarity=away)
    here = hopfix.Hopfield(problem[0], BETA, log_weights=problem[1], similarity=given)
    tol = 20 * tolerance(dtype)
    for method in ("update", "weights"):
        seen = getattr(there, method)(to(problem[2]))
        assert isinstance(seen, kind)
        np.testing.assert_allclose(back(seen), getattr(here, method)(problem[2]), atol=tol)


def test_thousands_of_fixed_points(device):
    to, _, _ = device
    found = hopfix.Hopfield(to(np.eye(12)), 40.0).fixed_points("faces")
    assert (len(found), found.completeness) == (4095, "consistent")


@pytest.mark.parametrize(
    "call",
    [
        hopfix.separation.softmax,
        hopfix.separation.sparsemax,
        lambda z: hopfix.separation.entmax(z, 1.5),
        lambda z: hopfix.separation.entmax(z, 3),
        lambda z: hopfix.separation.topk(z, 5),
        lambda z: hopfix.separation.polynomial(z, 2),
    ],
    ids=["softmax", "sparsemax", "entmax 1.5", "entmax 3", "topk", "polynomial"],
)
def test_separations(call, device, problem, dtype):
    to, back, kind = device
    seen = call(to(problem[2]))
    assert isinstance(seen, kind)
    np.testing.assert_allclose(back(seen), call(problem[2]), atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("of", ["exp", "cosh", "relu"])
def test_performers(of, device, problem, dtype):
    to, back, kind = device
    features = hopfix.performer.RandomFeatures(24, 256, kind=of, seed=1)
    there = hopfix.performer.Performer(to(problem[0]), 0.5, features)
    here = hopfix.performer.Performer(problem[0], 0.5, features)
    seen = there.update(to(problem[2]))
    assert isinstance(seen, kind)
    np.testing.assert_allclose(back(seen), here.update(problem[2]), atol=tolerance(dtype))
