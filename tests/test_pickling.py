"""Networks and results travel as plain data: pickled and copied ones compute the same bits."""

import copy
import pickle

import numpy as np
import pytest

import hopfix
from hopfix.classical import BinaryHopfield, ContinuousHopfield
from hopfix.faces import critical_faces
from hopfix.mean_field import AttentionMeanField
from hopfix.performer import Performer, RandomFeatures

RNG = np.random.default_rng(0)
PATTERNS = RNG.standard_normal((6, 4))
STATES = RNG.standard_normal((3, 4))
COPIES = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
OPTIONS = [
    {},
    {"log_weights": RNG.normal(size=6)},
    {"values": RNG.normal(size=(6, 4))},
    {"similarity": "neg_sq_l2"},
    {"similarity": "neg_l1"},
    {"similarity": RNG.normal(size=(5, 4))},
    {"separation": "sparsemax"},
    {"separation": ("entmax", 1.5), "log_weights": RNG.normal(size=6)},
    {"separation": ("topk", 2)},
    {"separation": ("polynomial", 4)},
    {"normalize": True},
    {"sparsify_above": -0.5},
    {"num_threads": 1},
]


@pytest.fixture(params=COPIES, name="again")
def _again(request):
    return COPIES[request.param]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "+".join(o) or "plain")
def test_networks(options, again, dtype):
    net = hopfix.Hopfield(PATTERNS.astype(dtype), 2.5, **options)
    other = again(net)
    assert type(other) is hopfix.Hopfield
    assert repr(other) == repr(net)
    assert other._threads == net._threads
    for method in ("update", "weights"):
        expected = getattr(net, method)(STATES)
        np.testing.assert_array_equal(getattr(other, method)(STATES), expected)
    assert other.retrieve(STATES) == net.retrieve(STATES)


@pytest.mark.parametrize("bias", [None, np.arange(4.0)])
@pytest.mark.parametrize("zero_diagonal", [False, True])
def test_classical_networks(bias, zero_diagonal, again):
    signs = np.sign(PATTERNS)
    net = BinaryHopfield(signs, bias, zero_diagonal)
    assert again(net).retrieve(np.sign(STATES)) == net.retrieve(np.sign(STATES))
    smooth = ContinuousHopfield(PATTERNS, bias, gain=0.7, zero_diagonal=zero_diagonal)
    assert again(smooth).retrieve(STATES) == smooth.retrieve(STATES)
    if not zero_diagonal:
        for rule in (-0.5, ("top", 0.3)):
            sparse = ContinuousHopfield(PATTERNS, bias, rule)
            assert again(sparse).retrieve(STATES) == sparse.retrieve(STATES)


def test_performers(again):
    features = RandomFeatures(4, 64, seed=1)
    net = Performer(0.3 * PATTERNS, 1.0, features, draws=2)
    np.testing.assert_array_equal(again(features).matrix, features.matrix)
    np.testing.assert_array_equal(again(net).update(0.3 * STATES), net.update(0.3 * STATES))


def test_mean_field_networks(again):
    system = AttentionMeanField.paper(1.27)
    found, expected = (s.simulate(50).attention for s in (again(system), system))
    np.testing.assert_array_equal(found, expected)


def test_results_with_their_networks(again):
    net = hopfix.Hopfield(PATTERNS, 4.0)
    points = net.fixed_points()
    copied = again(points)
    assert copied.completeness == points.completeness
    np.testing.assert_array_equal(copied.states, points.states)
    assert copied.network.fixed_points().counts == points.counts
    branches = net.follow(6.0, points)
    assert again(branches).to_dict() == branches.to_dict()
    faces = critical_faces(PATTERNS)
    assert again(faces).faces == faces.faces


def test_a_pickle_holds_no_memory_of_the_core():
    """As large as the patterns, and a little."""
    big = hopfix.Hopfield(np.zeros((1000, 100)) + 1.0, 1.0)
    big.retrieve(np.ones((50, 100)))
    assert len(pickle.dumps(big)) < 1000 * 100 * 8 + 2000


def test_networks_on_a_device():
    strict = pytest.importorskip("array_api_strict")
    away = strict.Device("device1")
    net = hopfix.Hopfield(strict.asarray(PATTERNS, device=away), 2.0)
    other = copy.copy(net)
    assert type(other) is hopfix.gpu.DeviceHopfield
    states = strict.asarray(STATES, device=away)
    assert bool(strict.all(other.update(states) == net.update(states)))
