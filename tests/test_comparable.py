"""Results are equal where all they hold is; nothing else is equal to them."""

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

import hopfix
from hopfix.classical import BinaryHopfield
from hopfix.faces import cips_margin, critical_faces

PATTERNS = np.random.default_rng(0).standard_normal((4, 3))
NET = hopfix.Hopfield(PATTERNS, 3.0)
SQUARE = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, 0.0]])  # ties
RESULTS = {
    "retrieval": lambda: NET.retrieve(PATTERNS),
    "certificates": lambda: NET.certify(np.vstack([NET.retrieve(PATTERNS).states, 9 * PATTERNS])),
    "binary": lambda: BinaryHopfield(np.sign(PATTERNS)).retrieve(np.sign(PATTERNS)),
    "margin": lambda: cips_margin(PATTERNS, [[0, 1], [1, 2]]),
    "tie": lambda: critical_faces(SQUARE).degenerate[0],
    "compared": lambda: hopfix.compare(PATTERNS, PATTERNS, models=["modern"])[0],
}


@pytest.mark.parametrize("name", RESULTS)
def test_equal_and_copied_results_are_equal(name):
    one = RESULTS[name]()
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert one == other
        assert not one != other  # noqa: SIM202 -- both operators are asked
    assert one != "a word"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize("name", RESULTS)
def test_any_field_that_differs_is_noticed(name):
    one = RESULTS[name]()
    changed = 0
    for field in fields(one):
        value = getattr(one, field.name)
        if isinstance(value, np.ndarray):
            flipped = value.copy()
            flipped.flat[-1] = not flipped.flat[-1] if value.dtype == bool else 77
            others = [flipped, value[..., None], value.astype(np.float16)]
        else:
            others = [object()]
        for other in others:
            assert replace(one, **{field.name: other}) != one
            changed += 1
    assert changed


def test_nan_is_equal_to_nan():
    failed = NET.certify(9 * PATTERNS)
    assert np.isnan(failed.radius).any()
    assert failed == NET.certify(9 * PATTERNS)


def test_arrays_of_other_libraries():
    strict = pytest.importorskip("array_api_strict")
    net = hopfix.Hopfield(strict.asarray(PATTERNS), 3.0)
    found = net.retrieve(strict.asarray(PATTERNS))
    assert found == net.retrieve(strict.asarray(PATTERNS))
    assert found != NET.retrieve(PATTERNS)
