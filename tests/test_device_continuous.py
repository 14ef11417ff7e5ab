"""The continuous network on a device: what the core computes on the host."""

import pickle

import array_api_strict as strict
import numpy as np
import pytest
from devices import strict_kind

from hopfix.classical import ContinuousHopfield
from hopfix.gpu import DeviceContinuousHopfield, _store

RNG = np.random.default_rng(9)
PATTERNS = np.sign(RNG.normal(size=(3, 8))) * RNG.uniform(0.5, 1, size=(3, 8)) / 2
BIAS = 0.2 * RNG.normal(size=8)
STATES = RNG.uniform(-1, 1, size=(2, 6, 8))
STATES[0, 0, 0], STATES[0, 0, 1] = 1.0, -1.0
MODELS = {
    "plain": {},
    "gain": {"gain": 3.0},
    "zero diagonal": {"zero_diagonal": True, "gain": 2.0},
    "sparse": {"sparsify_above": 0.2},
    "top": {"sparsify_above": ("top", 0.4)},
}


def both(kind, model, dtype=np.float64, bias=BIAS):
    """The same network on the device and on the host."""
    rows, b = PATTERNS.astype(dtype), None if bias is None else bias.astype(dtype)
    away = None if b is None else kind[0](b)
    return (
        DeviceContinuousHopfield(kind[0](rows), away, **MODELS[model]),
        ContinuousHopfield(rows, b, **MODELS[model]),
    )


def close(seen, expected, dtype=np.float64):
    assert seen.shape == np.shape(expected)
    assert seen.dtype == dtype
    tol = 5e-6 if dtype == np.float32 else 2e-14
    np.testing.assert_allclose(seen, expected, rtol=tol, atol=tol)


@pytest.mark.parametrize("largest", [2**24, 10], ids=["one block", "many blocks"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["update", "jacobian", "energy"])
def test_values_are_the_cores(method, model, largest, kind, dtype, monkeypatch):
    monkeypatch.setattr(_store, "LARGEST", largest)
    there, here = both(kind, model, dtype)
    if method == "energy" and model in ("sparse", "top"):
        for net, states in ((there, kind[0](STATES)), (here, STATES)):
            with pytest.raises(ValueError, match=r"^energy: does not exist"):
                net.energy(states)
        return
    for states in (STATES.astype(dtype), STATES[0, 0].astype(dtype)):
        seen = getattr(there, method)(kind[0](states))
        close(kind[1](seen), getattr(here, method)(states), dtype)


def test_without_a_bias_and_saturated(kind):
    there, here = both(kind, "gain", bias=None)
    far = 30 * STATES
    close(kind[1](there.update(kind[0](far))), here.update(far))
    seen, known = kind[1](there.jacobian(kind[0](far))), here.jacobian(far)
    np.testing.assert_allclose(seen, known, rtol=1e-12)
    assert np.abs(known).min() < 1e-20


@pytest.mark.parametrize("model", MODELS)
def test_retrieval_ends_where_the_cores_does(model, kind):
    there, here = both(kind, model)
    found, known = there.retrieve(kind[0](STATES)), here.retrieve(STATES)
    converged = kind[1](found.converged)
    np.testing.assert_array_equal(converged, known.converged)
    np.testing.assert_allclose(kind[1](found.states), known.states, atol=1e-9)
    cut, short = there.retrieve(kind[0](STATES), max_steps=2), here.retrieve(STATES, max_steps=2)
    close(kind[1](cut.states), short.states)
    np.testing.assert_array_equal(kind[1](cut.steps), short.steps)


def test_device_patterns_make_a_network_there():
    to, back = strict_kind()
    net = ContinuousHopfield(to(PATTERNS), gain=2.0)
    assert isinstance(net, DeviceContinuousHopfield)
    assert (net.gain, net.zero_diagonal, net.dtype) == (2.0, False, strict.float64)
    np.testing.assert_array_equal(back(net.bias), np.zeros(8))
    states = to(STATES)
    for array in (net.update(states), net.energy(states), net.retrieve(states).states):
        assert array.device == net.device == states.device
    assert type(ContinuousHopfield(PATTERNS)) is ContinuousHopfield


def test_copies_by_pickling():
    there, here = both((np.asarray, np.asarray), "zero diagonal")
    copy = pickle.loads(pickle.dumps(there))
    assert isinstance(copy, DeviceContinuousHopfield)
    close(copy.update(STATES), here.update(STATES))


@pytest.mark.filterwarnings("ignore:overflow")  # of NumPy, below array_api_strict
def test_wrong_arguments_are_named():
    to, _ = strict_kind()
    net = ContinuousHopfield(to(PATTERNS))
    for elsewhere in (STATES, strict.asarray(STATES)):
        with pytest.raises(TypeError, match=r"^states: .*device1"):
            net.update(elsewhere)
    with pytest.raises(TypeError, match=r"^bias: .*device1"):
        ContinuousHopfield(to(PATTERNS), BIAS)
    with pytest.raises(ValueError, match=r"^bias: got shape \(3,\), need \(8,\)"):
        ContinuousHopfield(to(PATTERNS), to(BIAS[:3]))
    with pytest.raises(ValueError, match=r"^states: got shape \(2, 6, 7\)"):
        net.update(to(STATES[..., :7]))
    with pytest.raises(ValueError, match=r"^states: got an entry beyond"):
        net.energy(to(2 * STATES))
    with pytest.raises(ValueError, match=r"^states: the computation overflows"):
        ContinuousHopfield(to(1e160 * PATTERNS)).update(to(STATES))
    with pytest.raises(ValueError, match=r"^patterns: got 1 dimensions"):
        ContinuousHopfield(to(PATTERNS[0]))
    with pytest.raises(ValueError, match=r"^gain: got 0"):
        ContinuousHopfield(to(PATTERNS), gain=0)
    with pytest.raises(ValueError, match=r"^zero_diagonal: got True, need False"):
        ContinuousHopfield(to(PATTERNS), sparsify_above=0.5, zero_diagonal=True)
    for call in (net.newton, net.certify):
        with pytest.raises(NotImplementedError, match=rf"^{call.__name__}: "):
            call(to(STATES))
