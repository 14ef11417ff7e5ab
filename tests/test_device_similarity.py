"""Similarities on a device: what the core computes on the host."""

import pickle

import array_api_strict as strict
import numpy as np
import pytest
from devices import strict_kind

import hopfix
from hopfix.gpu import DeviceHopfield, _search, _store

RNG = np.random.default_rng(11)
PATTERNS = RNG.normal(size=(9, 3))
LOG_WEIGHTS = 0.3 * RNG.normal(size=9)
STATES = 0.7 * RNG.normal(size=(2, 5, 3))
VECTORS = RNG.normal(size=(2, 5, 3))
KERNEL = RNG.normal(size=(4, 3)) / 2
BETA = 1.7
SIMILARITIES = {"neg_sq_l2": "neg_sq_l2", "neg_l2": "neg_l2", "neg_l1": "neg_l1", "kernel": KERNEL}
WITH_ENERGY = ("neg_sq_l2", "kernel")


@pytest.fixture(params=[2**24, 40], ids=["one tile", "many tiles"])
def tiles(request, monkeypatch):
    """How many numbers an intermediate array may have."""
    monkeypatch.setattr(_store, "LARGEST", request.param)


def both(kind, name, dtype=np.float64, **replaced):
    """The same network on the device and on the host."""
    options = {"patterns": PATTERNS, "beta": BETA, "log_weights": LOG_WEIGHTS} | replaced
    beta, rows, b = (
        options["beta"],
        *(options[n].astype(dtype) for n in ("patterns", "log_weights")),
    )
    kernel = SIMILARITIES[name]
    given, away = kernel, kernel
    if name == "kernel":
        given = kernel.astype(dtype)
        away = kind[0](given)
    there = DeviceHopfield(kind[0](rows), beta, log_weights=kind[0](b), similarity=away)
    return there, hopfix.Hopfield(rows, beta, log_weights=b, similarity=given)


def close(seen, expected, dtype=np.float64):
    assert seen.shape == np.shape(expected)
    assert seen.dtype == dtype
    tol = 2e-5 if dtype == np.float32 else 2e-13
    np.testing.assert_allclose(seen, expected, rtol=tol, atol=tol)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("name", SIMILARITIES)
def test_updates_and_weights_are_the_cores(name, kind, dtype):
    there, here = both(kind, name, dtype)
    for states in (STATES.astype(dtype), STATES[0, 0].astype(dtype)):
        close(kind[1](there.update(kind[0](states))), here.update(states), dtype)
        close(kind[1](there.weights(kind[0](states))), here.weights(states), dtype)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("name", WITH_ENERGY)
@pytest.mark.parametrize("method", ["energy", "jacobian", "spectral_radius"])
def test_energies_and_jacobians_are_the_cores(method, name, kind, dtype):
    there, here = both(kind, name, dtype)
    states = STATES.astype(dtype)
    close(kind[1](getattr(there, method)(kind[0](states))), getattr(here, method)(states), dtype)


@pytest.mark.usefixtures("tiles")
def test_products_with_derivatives_are_the_cores(kind, dtype):
    states, vectors = STATES.astype(dtype), VECTORS.astype(dtype)
    away = kind[0](states), kind[0](vectors)
    for name in WITH_ENERGY:
        there, here = both(kind, name, dtype)
        close(kind[1](there.jvp(*away)), here.jvp(states, vectors), dtype)
        close(kind[1](there.vjp(*away)), here.vjp(states, vectors), dtype)
    there, here = both(kind, "neg_sq_l2", dtype)
    wrt = ("beta", "patterns", "states", "log_weights")
    for names in (wrt, ("beta",), ("patterns", "states")):
        seen, known = there.vjp(*away, names), here.vjp(states, vectors, names)
        for one, other in zip(seen, known, strict=True):
            close(kind[1](one), other, dtype)
    with pytest.raises(ValueError, match=r'^wrt: need "states" alone'):
        both(kind, "kernel", dtype)[0].vjp(*away, wrt)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_retrieval_ends_where_the_cores_does(name, kind):
    there, here = both(kind, name)
    found, known = there.retrieve(kind[0](STATES)), here.retrieve(STATES)
    assert known.converged.all()
    assert kind[1](found.converged).all()
    np.testing.assert_allclose(kind[1](found.states), known.states, atol=1e-10)


@pytest.mark.parametrize("name", WITH_ENERGY)
@pytest.mark.parametrize(("method", "dtype"), [("starts", np.float32), ("faces", np.float64)])
def test_fixed_points_are_those_of_the_exhaustive_search(method, dtype, name, kind, monkeypatch):
    monkeypatch.setattr(_search, "_STARTS_OF_A_ROUND", 128)
    patterns = np.random.default_rng(2).normal(size=(5, 3))
    there, here = both(kind, name, dtype, patterns=patterns, beta=9.0, log_weights=np.zeros(5))
    found, known = there.fixed_points(method), here.fixed_points("cells")
    assert known.completeness == "proved"
    assert found.completeness == "consistent"
    assert found.counts == known.counts
    apart = np.linalg.norm(found.states[:, None] - known.states[None], axis=-1)
    assert (apart.min(axis=0) < (1e-5 if dtype == np.float32 else 1e-10)).all()
    assert found.network.beta == here.beta
    assert repr(found.network) == repr(here)
    assert (found.residual < (1e-5 if dtype == np.float32 else 1e-12)).all()


def test_an_interrupted_search_keeps_its_list_in_the_network():
    there, _ = both(strict_kind(), "neg_sq_l2")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        there.fixed_points(progress=stop)
    assert caught.value.partial.network.beta == BETA


@pytest.mark.parametrize("name", WITH_ENERGY)
def test_the_image_has_the_same_energy(name, kind):
    there, here = both(kind, name)
    image = there.image
    assert isinstance(image, DeviceHopfield)
    assert image.beta == here.image.beta
    np.testing.assert_allclose(kind[1](image.patterns), here.image.patterns, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(kind[1](image.log_weights), here.image.log_weights, rtol=1e-14)
    states = STATES if name == "neg_sq_l2" else STATES @ KERNEL.T
    np.testing.assert_allclose(
        kind[1](image.energy(kind[0](states))), kind[1](there.energy(kind[0](STATES))), rtol=1e-12
    )


@pytest.mark.parametrize("name", ["neg_l2", "neg_l1"])
def test_what_does_not_exist_is_an_error_as_on_the_host(name, kind):
    there, here = both(kind, name)
    for call in ("energy", "jacobian", "spectral_radius"):
        for net, states in ((there, kind[0](STATES)), (here, STATES)):
            with pytest.raises(ValueError, match=f'similarity "{name}" has no'):
                getattr(net, call)(states)
    for call in ("jvp", "vjp"):
        with pytest.raises(ValueError, match=f'^jacobian: similarity "{name}" has no derivative'):
            getattr(there, call)(kind[0](STATES), kind[0](VECTORS))
    with pytest.raises(ValueError, match=f'^fixed_points: .*"{name}"'):
        there.fixed_points()
    with pytest.raises(ValueError, match=f'^image: .*"{name}"'):
        _ = there.image


@pytest.mark.parametrize("name", SIMILARITIES)
def test_attributes_and_copies(name):
    there, here = both((np.asarray, np.asarray), name)
    assert there.beta == BETA
    np.testing.assert_array_equal(there.log_weights, LOG_WEIGHTS)
    assert ("<kernel>" if name == "kernel" else name) in repr(there)
    np.testing.assert_array_equal(there.to_host().update(STATES), here.update(STATES))
    copy = pickle.loads(pickle.dumps(there))
    assert isinstance(copy, DeviceHopfield)
    np.testing.assert_array_equal(copy.update(STATES), there.update(STATES))


def test_results_stay_on_the_device():
    to, _ = strict_kind()
    net = hopfix.Hopfield(to(PATTERNS), BETA, similarity=to(KERNEL))
    assert isinstance(net, DeviceHopfield)
    for array in (net.update(to(STATES)), net.jvp(to(STATES), to(VECTORS)), net.image.patterns):
        assert array.device == net.device


def test_wrong_similarities():
    to, _ = strict_kind()
    rows = to(PATTERNS)
    with pytest.raises(ValueError, match=r"^similarity: got 'cosine', need one of dot, neg_sq_l2"):
        hopfix.Hopfield(rows, similarity="cosine")
    with pytest.raises(ValueError, match=r"^similarity: got a kernel matrix of shape \(3, 4\)"):
        hopfix.Hopfield(rows, similarity=to(KERNEL.T))
    for elsewhere in (KERNEL, strict.asarray(KERNEL), None):
        with pytest.raises(TypeError, match=r"^similarity: got .*device1"):
            hopfix.Hopfield(rows, similarity=elsewhere)
    with pytest.raises(ValueError, match=r'^similarity: "neg_sq_l2" needs beta'):
        hopfix.Hopfield(to(np.full((2, 2), 1e20, np.float32)), similarity="neg_sq_l2")
