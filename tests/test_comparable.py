"""Results are equal where all they hold is; nothing else is equal to them."""

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

import hopfix
from hopfix.classical import BinaryHopfield, BinaryRetrieval
from hopfix.faces import cips_margin, critical_faces, sufficient_beta
from hopfix.fixed_points import FixedPoints
from hopfix.mean_field import AttentionMeanField

PATTERNS = np.random.default_rng(0).standard_normal((4, 3))
NET = hopfix.Hopfield(PATTERNS, 3.0)
SQUARE = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, 0.0]])  # ties
RESULTS = {
    "retrieval": lambda: NET.retrieve(PATTERNS),
    "certificates": lambda: NET.certify(np.vstack([NET.retrieve(PATTERNS).states, 9 * PATTERNS])),
    "binary": lambda: BinaryHopfield(np.sign(PATTERNS)).retrieve(np.sign(PATTERNS)),
    "margin": lambda: cips_margin(PATTERNS, [[0, 1], [1, 2]]),
    "tie": lambda: critical_faces(SQUARE).degenerate[0],
    "points": lambda: NET.fixed_points("cells"),
    "branches": lambda: NET.follow(2.0),
    "branch": lambda: NET.follow(2.0).branches[0],
    "connections": lambda: NET.fixed_points("cells").connections(),
    "sufficient": lambda: sufficient_beta(np.eye(3), [0, 1], certify=True),
    "orbit": lambda: AttentionMeanField.paper(1.2).simulate(20),
    "bifurcation": lambda: AttentionMeanField.paper(1.0).bifurcation([1.0, 2.0], 20, 10),
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
            others = [value[..., None], value.astype(np.float16)]
            if value.size:
                flipped.flat[-1] = not flipped.flat[-1] if value.dtype == bool else 77
                others.append(flipped)
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


def test_networks_are_equal_where_their_arguments_are():
    def make(**changed):
        options = {"beta": 3.0, "log_weights": None, "similarity": "dot"} | changed
        return hopfix.Hopfield(options.pop("patterns", PATTERNS), **options)

    for same in ({}, {"num_threads": 1}, {"log_weights": np.zeros(4)}, {"patterns": 1 * PATTERNS}):
        assert make(**same) == NET
        assert hash(make(**same)) == hash(NET)
    different = (
        {"beta": 3.5},
        {"patterns": PATTERNS + 1e-15},
        {"patterns": PATTERNS[:3]},
        {"patterns": PATTERNS.astype(np.float32)},
        {"log_weights": [0.0, 0.0, 0.0, 1.0]},
        {"similarity": "neg_sq_l2"},
        {"similarity": np.eye(3)},
        {"separation": "sparsemax"},
        {"values": 2 * PATTERNS},
        {"normalize": True},
        {"sparsify_above": -0.5},
    )
    for changed in different:
        assert make(**changed) != NET
        assert make(**changed) == make(**changed)
    assert PATTERNS.tolist() != NET


def test_a_list_that_was_saved_is_equal(tmp_path):
    points = NET.fixed_points("cells")
    points.save(tmp_path / "points.npz")
    assert FixedPoints.load(tmp_path / "points.npz") == points
    assert NET.fixed_points("cells") == points  # which took another time


@pytest.mark.parametrize("name", RESULTS)
def test_results_do_not_change(name):
    """Neither they nor what is made of them; the caller's own arrays stay as they are."""
    one = RESULTS[name]()
    for result in (one, copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        arrays = 0
        for field in fields(result):
            value = getattr(result, field.name)
            if isinstance(value, np.ndarray):
                arrays += 1
                if isinstance(result, (hopfix.Retrieval, BinaryRetrieval)):
                    value[...] = 0  # the caller's
                    continue
                with pytest.raises(ValueError, match="read-only"):
                    value[...] = 0
            with pytest.raises(AttributeError):
                setattr(result, field.name, value)
        assert arrays or name in ("branches", "sufficient")


def test_arrays_of_the_caller_stay_writeable():
    betas = np.array([1.0, 2.0])
    found = AttentionMeanField.paper(1.0).bifurcation(betas, 20, 10)
    assert betas.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found.betas[0] = 3.0
    assert PATTERNS.flags.writeable
