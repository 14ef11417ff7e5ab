"""Networks on a device: the array-API implementation beside the core.

On NumPy and torch, and on the second device of array_api_strict, which has nothing but the
standard's functions and whose arrays raise when the host reads them.
"""

import array_api_strict as strict
import numpy as np
import pytest
from devices import AWAY

import hopfix
from hopfix.gpu import DeviceHopfield, _search, _store

RNG = np.random.default_rng(5)
PATTERNS = RNG.normal(size=(9, 3))
PATTERNS /= np.linalg.norm(PATTERNS, axis=1, keepdims=True)
LOG_WEIGHTS = 0.3 * RNG.normal(size=9)
STATES = 0.7 * RNG.normal(size=(2, 5, 3))
VECTORS = RNG.normal(size=(2, 5, 3))
BETA = 6.0


@pytest.fixture(autouse=True)
def _few_starts(monkeypatch):
    monkeypatch.setattr(_search, "_STARTS_OF_A_ROUND", 128)


@pytest.fixture(params=[2**24, 40], ids=["one tile", "many tiles"])
def tiles(request, monkeypatch):
    """How many numbers an intermediate array may have."""
    monkeypatch.setattr(_store, "LARGEST", request.param)


def both(kind, dtype=np.float64, patterns=PATTERNS, beta=BETA, log_weights=LOG_WEIGHTS):
    """The same network on the device and on the host."""
    rows, b = patterns.astype(dtype), log_weights.astype(dtype)
    there = DeviceHopfield(kind[0](rows), beta, log_weights=kind[0](b))
    return there, hopfix.Hopfield(rows, beta, log_weights=b)


def close(seen, expected, dtype=np.float64):
    assert seen.shape == np.shape(expected)
    assert seen.dtype == dtype
    tol = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(seen, expected, rtol=tol, atol=tol)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("method", ["update", "weights", "energy", "jacobian", "spectral_radius"])
def test_values_are_the_cores(method, kind, dtype):
    there, here = both(kind, dtype)
    states = STATES.astype(dtype)
    close(kind[1](getattr(there, method)(kind[0](states))), getattr(here, method)(states), dtype)
    one = states[0, 0]
    close(kind[1](getattr(there, method)(kind[0](one))), getattr(here, method)(one), dtype)


@pytest.mark.usefixtures("tiles")
def test_products_with_derivatives_are_the_cores(kind, dtype):
    there, here = both(kind, dtype)
    states, vectors = STATES.astype(dtype), VECTORS.astype(dtype)
    away, directions = kind[0](states), kind[0](vectors)
    close(kind[1](there.jvp(away, directions)), here.jvp(states, vectors), dtype)
    close(kind[1](there.vjp(away, directions)), here.vjp(states, vectors), dtype)
    wrt = ("beta", "patterns", "states", "log_weights")
    seen, known = there.vjp(away, directions, wrt), here.vjp(states, vectors, wrt)
    for one, other in zip(seen, known, strict=True):
        close(kind[1](one), other, dtype)


def test_jacobian_is_the_derivative_of_the_update(kind):
    there, _ = both(kind)
    state = STATES[1, 2]
    steps = 1e-5 * np.eye(3)
    ends = [kind[1](there.update(kind[0](state + sign * steps))) for sign in (1, -1)]
    differences = (ends[0] - ends[1]).T / 2e-5
    np.testing.assert_allclose(kind[1](there.jacobian(kind[0](state))), differences, atol=1e-7)


@pytest.mark.parametrize("shape", [(9, 3), (5, 80), (80, 70)], ids=["J", "Gram", "Lanczos"])
def test_spectral_radius_by_every_way(shape, kind):
    rows = np.random.default_rng(8).normal(size=shape) / np.sqrt(shape[1])
    there, here = both(kind, patterns=rows, beta=3.0, log_weights=np.zeros(shape[0]))
    states = 0.3 * rows[:3]
    exact = np.linalg.eigvalsh(here.jacobian(states))[:, -1]
    np.testing.assert_allclose(kind[1](there.spectral_radius(kind[0](states))), exact, rtol=1e-9)


@pytest.mark.usefixtures("tiles")
def test_retrieval_ends_where_the_cores_does(kind, dtype):
    there, here = both(kind, dtype)
    states = STATES.astype(dtype)
    found, known = there.retrieve(kind[0](states)), here.retrieve(states)
    ends, residual = kind[1](found.states), kind[1](found.residual)
    assert kind[1](found.converged).all()
    assert known.converged.all()
    np.testing.assert_allclose(ends, known.states, atol=2e-4 if dtype == np.float32 else 1e-10)
    tol = 1e-6 if dtype == np.float32 else 1e-12
    limit = tol * np.maximum(1, np.linalg.norm(ends, axis=-1))
    assert (residual <= limit).all()
    moved = np.linalg.norm(here.update(ends) - ends, axis=-1)
    np.testing.assert_allclose(moved, residual, atol=4 * np.finfo(dtype).eps)


def test_each_query_stops_by_itself(kind):
    there, here = both(kind)
    found = there.retrieve(kind[0](STATES), tol=1e-6)
    steps = kind[1](found.steps)
    assert len(np.unique(steps)) > 2
    for place in np.ndindex(steps.shape):
        state = STATES[place]
        for _ in range(steps[place]):
            assert np.linalg.norm(here.update(state) - state) > 1e-6 * (1 - 1e-6)
            state = here.update(state)
        np.testing.assert_allclose(kind[1](found.states)[place], state, atol=1e-13)


@pytest.mark.parametrize("max_steps", [0, 1, 3])
def test_cut_short_it_returns_that_update(max_steps, kind):
    there, here = both(kind)
    found = there.retrieve(kind[0](STATES), max_steps=max_steps)
    expected = STATES
    for _ in range(max_steps):
        expected = here.update(expected)
    close(kind[1](found.states), expected)
    assert (kind[1](found.steps) == max_steps).all()
    assert not kind[1](found.converged).any()
    moved = np.linalg.norm(here.update(expected) - expected, axis=-1)
    np.testing.assert_allclose(kind[1](found.residual), moved, rtol=1e-10)


@pytest.mark.parametrize("method", ["starts", "faces"])
def test_fixed_points_are_those_of_the_exhaustive_search(method, kind, dtype):
    patterns = np.random.default_rng(2).normal(size=(7, 4))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    # At β = 40 no branch has ended in a fold since β = ∞.
    there, here = both(kind, dtype, patterns, 40.0, np.zeros(7))
    found, known = there.fixed_points(method), here.fixed_points("cells")
    assert known.completeness == "proved"
    assert found.completeness == "consistent"
    assert found.counts == known.counts
    assert found.certified.all()
    apart = np.linalg.norm(found.states[:, None] - known.states[None], axis=-1)
    nearest = apart.argmin(axis=1)
    assert len(set(nearest)) == len(known)
    assert (apart.min(axis=1) <= known.uniqueness_radius[nearest]).all()
    np.testing.assert_array_equal(found.morse_index, known.morse_index[nearest])
    assert type(found.network) is hopfix.Hopfield


def test_fixed_points_in_the_hull_of_few_patterns(kind):
    patterns = np.eye(4, 30)
    there, _ = both(kind, patterns=patterns, log_weights=np.zeros(4))
    found = there.fixed_points()
    assert found.counts == {0: 4, 1: 6, 2: 4, 3: 1}


def test_a_single_pattern(kind):
    there, _ = both(kind, patterns=PATTERNS[:1], log_weights=np.zeros(1))
    found = there.fixed_points()
    np.testing.assert_allclose(found.states, PATTERNS[:1], atol=1e-15)


def test_a_search_that_is_cut_short_says_so(kind):
    there, _ = both(kind)
    assert there.fixed_points(max_count=2).completeness == "unknown"
    assert there.fixed_points("faces", max_face=1).completeness == "unknown"

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        there.fixed_points(progress=stop)
    assert len(caught.value.partial) > 0
    assert caught.value.partial.completeness == "unknown"


def test_device_patterns_make_a_network_there():
    away = strict.asarray(PATTERNS, device=AWAY)
    net = hopfix.Hopfield(away, BETA)
    assert isinstance(net, hopfix.Hopfield)
    assert isinstance(net, DeviceHopfield)
    assert net.patterns.device == net.log_weights.device == net.device == AWAY
    assert "device1" in repr(net)
    assert (net.beta, net.dtype, net.image) == (BETA, strict.float64, net)
    with pytest.raises(RuntimeError):
        np.asarray(net.update(away))  # it is still there
    back = net.to_host()
    assert type(back) is hopfix.Hopfield
    np.testing.assert_array_equal(back.patterns, PATTERNS)


def test_every_result_lies_on_the_device():
    net = hopfix.Hopfield(strict.asarray(PATTERNS, device=AWAY), BETA)
    states = strict.asarray(STATES, device=AWAY)
    found = net.retrieve(states)
    for array in (
        *net.vjp(states, states, ("states", "patterns", "beta", "log_weights")),
        *(found.states, found.steps, found.converged, found.residual),
        *(net.update(states), net.weights(states), net.energy(states), net.jacobian(states)),
        *(net.jvp(states, states), net.spectral_radius(states)),
    ):
        assert array.device == AWAY


def test_integers_become_double_precision(kind):
    whole = np.array([[1, 0], [0, 2]])
    there, here = DeviceHopfield(kind[0](whole), 2.0), hopfix.Hopfield(whole, 2.0)
    close(kind[1](there.update(kind[0](whole))), here.update(whole))


WRONG_ARRAYS = {
    "shape": (lambda a: a[..., :2], ValueError, r"states: got shape \(2, 5, 2\)"),
    "empty": (lambda a: a[:0], ValueError, r"states: got shape \(0, 5, 3\)"),
    "NaN": (lambda a: a * np.nan, ValueError, "states: got NaN"),
    "complex": (lambda a: a + 0j, TypeError, "states: got dtype .*complex128"),
}


@pytest.mark.parametrize(("spoil", "error", "words"), WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_wrong_states(spoil, error, words, kind):
    there, _ = both(kind)
    with pytest.raises(error, match=words):
        there.update(kind[0](spoil(STATES)))


def test_wrong_patterns_and_log_weights(kind):
    rows = kind[0](PATTERNS)
    with pytest.raises(ValueError, match=r"patterns: got 1 dimensions"):
        DeviceHopfield(rows[0, :])
    with pytest.raises(ValueError, match=r"log_weights: got shape \(9, 3\)"):
        DeviceHopfield(rows, log_weights=rows)
    with pytest.raises(ValueError, match="beta: got 0"):
        DeviceHopfield(rows, 0.0)
    there, _ = both(kind)
    with pytest.raises(ValueError, match="t: got leading shape"):
        there.jvp(kind[0](STATES), kind[0](STATES[0]))


def test_arrays_that_lie_elsewhere_are_errors():
    net = hopfix.Hopfield(strict.asarray(PATTERNS, device=AWAY), BETA)
    for elsewhere in (STATES, strict.asarray(STATES), STATES.tolist()):
        with pytest.raises(TypeError, match=r"^states: .*device1"):
            net.update(elsewhere)
    with pytest.raises(TypeError, match=r"^log_weights: .*device1"):
        hopfix.Hopfield(net.patterns, log_weights=strict.asarray(LOG_WEIGHTS))


@pytest.mark.parametrize(
    "option",
    [
        {"separation": "sparsemax"},
        {"values": PATTERNS},
        {"normalize": True},
        {"sparsify_above": 0.5},
        {"num_threads": 2},
    ],
)
def test_options_that_only_the_host_has(option):
    away = strict.asarray(PATTERNS, device=AWAY)
    with pytest.raises(NotImplementedError, match=f"^{next(iter(option))}: on a device"):
        hopfix.Hopfield(away, BETA, **option)
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        hopfix.Hopfield(away, BETA, speed=1)


def test_methods_that_only_the_host_has():
    net = hopfix.Hopfield(strict.asarray(PATTERNS, device=AWAY), BETA)
    for call in (net.certify, net.follow, net.vjp_fixed_point):
        with pytest.raises(NotImplementedError, match=rf"^{call.__name__}: .*to_host\(\)"):
            call(net.patterns)
    with pytest.raises(ValueError, match=r"^method: got 'cells'"):
        net.fixed_points("cells")
    with pytest.raises(NotImplementedError, match=r"^symmetry: "):
        net.fixed_points(symmetry=False)


def test_tensors_that_require_gradients():
    torch = pytest.importorskip("torch")
    net = DeviceHopfield(torch.from_numpy(PATTERNS), BETA)
    with pytest.raises(TypeError, match=r"^states: requires gradients"):
        net.update(torch.from_numpy(STATES.copy()).requires_grad_())
