"""Random features and the Performer on a device: what the host computes."""

import pickle
import warnings

import array_api_strict as strict
import numpy as np
import pytest
from devices import strict_kind

from hopfix.gpu import DevicePerformer, _features, _store
from hopfix.performer import Performer, RandomFeatures

RNG = np.random.default_rng(4)
PATTERNS = RNG.normal(size=(30, 5)) / 3
STATES = RNG.normal(size=(2, 6, 5)) / 3
KINDS = ("exp", "cosh", "relu")


@pytest.fixture(params=[2**24, 40], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    """How many numbers an intermediate array may have."""
    monkeypatch.setattr(_store, "LARGEST", request.param)


def both(kind, of, dtype=np.float64, **options):
    """The same memory on the device and on the host."""
    features = RandomFeatures(5, 64, kind=of, seed=1)
    rows = PATTERNS.astype(dtype)
    there = DevicePerformer(kind[0](rows), 1.5, features, **options)
    return there, Performer(rows, 1.5, features, **options)


def close(seen, expected, dtype=np.float64):
    assert seen.shape == np.shape(expected)
    assert seen.dtype == dtype
    tol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(seen, expected, rtol=tol, atol=tol)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("of", KINDS)
def test_features_are_the_hosts(of, kind, dtype):
    features = RandomFeatures(5, 64, kind=of, seed=1)
    for states in (STATES.astype(dtype), STATES[0, 0].astype(dtype)):
        close(
            kind[1](_features.transform(features, kind[0](states))),
            features.transform(states),
            dtype,
        )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("options", [{}, {"draws": 3}, {"sparsify_above": 0.1}], ids=str)
def test_estimates_are_the_hosts(options, of, kind, dtype):
    there, here = both(kind, of, dtype, **options)
    for states in (STATES.astype(dtype), STATES[0, 0].astype(dtype)):
        close(kind[1](there.update(kind[0](states))), here.update(states), dtype)
    assert len(there) == len(here)
    assert repr(there) == repr(here)


@pytest.mark.parametrize("of", KINDS)
def test_retrieval_ends_where_the_hosts_does(of, kind):
    there, here = both(kind, of)
    found, known = there.retrieve(kind[0](STATES)), here.retrieve(STATES)
    np.testing.assert_array_equal(kind[1](found.converged), known.converged)
    np.testing.assert_allclose(kind[1](found.states), known.states, atol=1e-10)
    cut, short = there.retrieve(kind[0](STATES), max_steps=2), here.retrieve(STATES, max_steps=2)
    close(kind[1](cut.states), short.states)
    np.testing.assert_array_equal(kind[1](cut.steps), short.steps)
    np.testing.assert_allclose(kind[1](cut.residual), short.residual, rtol=1e-9)


@pytest.mark.parametrize("of", KINDS)
def test_patterns_come_and_go(of, kind):
    there, here = both(kind, of)
    more = PATTERNS[:7] * 0.5
    grown, larger = there.add(kind[0](more)), here.add(more)
    assert isinstance(grown, DevicePerformer)
    assert len(grown) == 37
    close(kind[1](grown.update(kind[0](STATES))), larger.update(STATES))
    back = grown.remove(kind[0](more))
    assert len(back) == 30
    np.testing.assert_allclose(
        kind[1](back.update(kind[0](STATES))), here.update(STATES), atol=1e-11
    )
    with pytest.raises(ValueError, match=r"^patterns: got 30 of 30 to remove"):
        there.remove(kind[0](PATTERNS))
    if of != "relu":  # a pattern far away, of which features hold next to nothing
        with pytest.raises(ValueError, match=r"^patterns: what would be left"):
            there.add(kind[0](30 * PATTERNS[:1])).remove(kind[0](PATTERNS))


def test_device_patterns_make_a_memory_there():
    to, _ = strict_kind()
    rows, states = to(PATTERNS), to(STATES)
    features = RandomFeatures(5, 64, seed=1)
    memory = Performer(rows, 1.5, features)
    assert isinstance(memory, DevicePerformer)
    assert memory.device == rows.device
    found = memory.retrieve(states)
    for array in (memory.update(states), found.states, found.steps, features.transform(states)):
        assert array.device == rows.device
    with pytest.raises(RuntimeError):
        np.asarray(memory.update(states))  # it is still there
    assert type(Performer(PATTERNS, 1.5, features)) is Performer


@pytest.mark.parametrize("of", ["exp", "cosh"])
def test_worthless_estimates_give_the_hosts_warning(of):
    patterns, states = 4 * PATTERNS, 4 * STATES
    features = RandomFeatures(5, 8, kind=of, seed=1)
    to, _ = strict_kind()
    words = []
    for memory, queries in (
        (Performer(patterns, 1.0, features), states),
        (Performer(to(patterns), 1.0, features), to(states)),
    ):
        for call in (memory.update, lambda s, m=memory: m.retrieve(s, max_steps=3)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                call(queries)
            assert [warning.filename for warning in caught] == [__file__]
            words.append(str(caught[0].message))
    assert words[:2] == words[2:]
    assert "worthless estimates for" in words[0]


def test_copies_by_pickling():
    there, here = both((np.asarray, np.asarray), "exp")
    copy = pickle.loads(pickle.dumps(there))
    assert isinstance(copy, DevicePerformer)
    np.testing.assert_allclose(copy.update(STATES), here.update(STATES), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:overflow")  # of NumPy, below array_api_strict
def test_wrong_arguments_are_named():
    to, _ = strict_kind()
    features = RandomFeatures(5, 8, seed=1)
    memory = Performer(to(PATTERNS), 1.5, features)
    for call in (memory.update, memory.retrieve):
        with pytest.raises(ValueError, match=r"^states: got shape \(2, 6, 4\), need \(\.\.\., 5\)"):
            call(to(STATES[..., :4]))
        for elsewhere in (STATES, strict.asarray(STATES)):
            with pytest.raises(TypeError, match=r"^states: .*device1"):
                call(elsewhere)
    for call in (memory.add, memory.remove):
        with pytest.raises(ValueError, match=r"^patterns: got shape \(30, 4\), need \(n, 5\)"):
            call(to(PATTERNS[:, :4]))
    with pytest.raises(ValueError, match=r"^z: got shape \(2, 6, 4\)"):
        features.transform(to(STATES[..., :4]))
    with pytest.raises(ValueError, match=r"^patterns: got 1 dimensions"):
        Performer(to(PATTERNS[0]), 1.5, features)
    with pytest.raises(ValueError, match=r"^features: got dimension 5, need .* 4"):
        Performer(to(PATTERNS[:, :4]), 1.5, features)
    with pytest.raises(TypeError, match=r"^features: got int"):
        Performer(to(PATTERNS), 1.5, 8)
    with pytest.raises(ValueError, match=r"^beta: got 1e"):
        Performer(to(PATTERNS * 1e160), 1e9, features)
    with pytest.raises(NotImplementedError, match=r"^error_estimate"):
        memory.error_estimate(to(STATES))
    without = Performer(to(PATTERNS), 1.5, RandomFeatures(5, 2, kind="relu", offset=0, seed=1))
    with pytest.raises(ValueError, match=r'^features: all "relu"'):
        without.update(to(np.zeros((1, 5))))
