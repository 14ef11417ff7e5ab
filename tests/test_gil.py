"""The GIL is released in whatever takes long, so that other Python threads run meanwhile.

Another thread asks for the GIL while a call of C holds it. Python gives it to whoever has asked,
and waits until it is taken, at the next release: the one in the core, since from there to the look
at what the other thread has done no bytecode runs. Load on the machine cannot hide a release, nor
another place give the GIL away. Calls are those of the core: NumPy's own releases would hide one
that is missing.
"""

import sys
import sysconfig
import threading
from functools import partial

import numpy as np
import pytest

import hopfix
from hopfix import _core
from hopfix._eigenvalues import eigenvalues
from hopfix._json import as_lists, plain

# Additions during which the other thread has to ask: 0.2 ms to 2 s.
PATIENCE = [10**4, 10**6, 10**8]
ALL = 2**62
DENSE = (float("inf"), 0)


def runs_another_thread(call, patience):
    """Whether another thread, if it has asked for the GIL by then, gets it during the call."""
    gate, ran = threading.Lock(), []

    def other():
        gate.acquire()
        ran.append(True)

    gate.acquire()
    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    steps = [partial(gate.release), partial(sum, range(patience)), partial(call), partial(ran.copy)]
    seen = list(map(partial.__call__, steps))[-1]
    thread.join()
    return bool(seen)


@pytest.fixture
def released():
    """Whether a call of C lets another thread run."""
    if sysconfig.get_config_var("Py_GIL_DISABLED") and not sys._is_gil_enabled():
        pytest.skip("this Python has no GIL")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield lambda call: any(runs_another_thread(call, patience) for patience in PATIENCE)
    sys.setswitchinterval(before)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def signs(*shape):
    return np.where(normal(*shape) > 0, 1.0, -1.0)


def words(n):
    return np.random.default_rng(0).integers(2**64, size=(n, n // 64), dtype=np.uint64)


def core(n=4000, d=128, beta=0.05, **options):
    return hopfix.Hopfield(normal(n, d), beta, num_threads=1, **options)._core64


def states(count, d=128):
    return normal(count, d, seed=1)


def of_network(name, count, *more, n=4000):
    """A method of the core's network at some states, and others beside them where it takes two."""
    pair = (states(count),) if name in ("jvp", "vjp") else ()
    return partial(getattr(core(n), name), states(count), *pair, *more, 1)


def of_memory(name, count, **options):
    pair = (states(count),) if name in ("jvp", "vjp") else ()
    options = options or {"separation": "sparsemax"}
    return partial(getattr(core(**options).memory, name), states(count), *pair, 1)


def make_memory(normalize=False, matrix=None):
    dot, softmax = _core.Similarity.dot, _core.Separation.softmax()
    given = (normal(20_000, 128), 0.1, None, None, matrix, dot, softmax, normalize, np.inf)
    return partial(_core.Memory64, *given)


def of_signs(name, *more, count=300):
    network = hopfix.classical.BinaryHopfield(signs(300, 4000), num_threads=1)
    return partial(
        getattr(network._core, name), network._pack("", signs(count, 4000), ()), *more, 1
    )


def of_continuous(name, *more, d=400, count=200, gain=1e-3):
    network = _core.ContinuousNetwork64(normal(2 * d, d), gain, None, False, *DENSE)
    return partial(getattr(network, name), np.tanh(states(count, d)), *more, 1)


def by_faces():
    found = hopfix.faces.critical_faces(normal(30, 10), max_size=1, num_threads=1)
    network = core(30, 10, 0.5)
    return partial(
        _core.fixed_points_by_faces, network, *found.ragged, ALL, 0, False, 0.05, False, None,
        None, 1,
    )  # fmt: skip


def follow():
    network = hopfix.Hopfield(np.eye(6), 9.0, num_threads=1)
    given = (network._core, network.fixed_points().states[:1], None, None, 3.0, 1000, np.inf)
    return partial(_core.follow_branches, *given, None, None, 1)


def associate():
    shape = (1, 2, 300, 32)
    arrays = [normal(*shape, seed=seed) for seed in range(3)]
    operands = _core.AssociationOperands64(
        *arrays, None, None, np.ones(2), np.full(2, 3), np.zeros(2), None, None
    )
    out, steps = np.empty(shape), np.empty(600, np.int64)
    return partial(_core.associate, operands, out, steps, None, None, 1, 0)


def attention(name, *more, steps=()):
    model = hopfix.mean_field.AttentionMeanField.paper(1.5, num_threads=1)
    start = model.random_state(0)
    given = (model._system.core, model._parameters(1), start.attention[None], *more)
    return partial(getattr(_core, name), *given, start.position, *steps, 1)


def kernel_arguments():
    return normal(300, 100), normal(50, 100), _core.SeparationLoss("average", 2.0, True)


CALLS = {
    "first_not_finite": lambda: partial(_core.first_not_finite, normal(4_000_000)),
    "Network": lambda: partial(_core.Network64, normal(20_000, 128), 0.1, None),
    "update": lambda: of_network("update", 100),
    "partial_update": lambda: of_network("partial_update", 100),
    "weights": lambda: of_network("weights", 100),
    "energy": lambda: of_network("energy", 100),
    "jacobian": lambda: of_network("jacobian", 5),
    "spectral_radius": lambda: of_network("spectral_radius", 5),
    "jvp": lambda: of_network("jvp", 60),
    "vjp": lambda: of_network("vjp", 60, [True] * 4),
    "retrieve": lambda: of_network("retrieve", 60, 10, 0.0),
    "certify": lambda: partial(_core.certify, core(500), states(2), 1),
    "solve_fixed_point_adjoint": lambda: partial(
        _core.solve_fixed_point_adjoint, core(500), states(5), states(5), 1
    ),
    "leading_directions": lambda: partial(_core.leading_directions, core(500), states(5), 1),
    "nearest_within": lambda: partial(
        _core.nearest_within, states(500), states(2000), np.ones(2000), 1
    ),
    "Memory": make_memory,
    "Memory, normalize": lambda: make_memory(normalize=True),
    "Memory, kernel": lambda: make_memory(matrix=normal(8, 128)),
    "Memory.keys": lambda: core(20_000, 256, similarity="neg_l1").memory.keys,
    "Memory.map": lambda: of_memory("map", 2000, similarity=normal(64, 128)),
    "Memory.update": lambda: of_memory("update", 60),
    "Memory.weights": lambda: of_memory("weights", 60),
    "Memory.energy": lambda: of_memory("energy", 60),
    "Memory.jvp": lambda: of_memory("jvp", 60),
    "Memory.vjp": lambda: of_memory("vjp", 60),
    "is_equinorm_orthogonal": lambda: partial(
        _core.is_equinorm_orthogonal, hopfix.Hopfield(np.eye(600), 1.0)._core, 1e-9
    ),
    "plan_cells": lambda: partial(_core.plan_cells, core(128, 900), _core.CellForm.automatic),
    "subset_weights": lambda: partial(_core.subset_weights, 20, 10, 0.1, 0.0, ALL),
    "fixed_points_by_cells": lambda: partial(
        _core.fixed_points_by_cells, core(30, 5, 1.0), _core.CellForm.automatic, ALL, ALL, 0.05,
        True, False, None, None, 1,
    ),
    "fixed_points_by_starts": lambda: partial(
        _core.fixed_points_by_starts, core(30, 20, 2.0), 0, ALL, 0.05, False, None, None, 1
    ),
    "fixed_points_by_faces": by_faces,
    "brouwer_degree": lambda: partial(
        _core.brouwer_degree, core(6, 3, 2.0), np.full(3, -0.5), np.full(3, 0.5), ALL, 0.05, None
    ),
    "follow_branches": follow,
    "correct_states": lambda: partial(_core.correct_states, core(100, 50), states(20, 50), 1),
    "critical_faces": lambda: partial(
        _core.critical_faces, normal(40, 12), None, 3, ALL, np.inf, None, 1
    ),
    "cips_margins": lambda: partial(
        _core.cips_margins, normal(40, 12), np.stack(np.triu_indices(40, 1), axis=1), 1
    ),
    "sufficient_betas": lambda: partial(
        _core.sufficient_betas, np.eye(24), np.array([[0, 1], [2, 3]]), False, False, np.nan, 1
    ),
    "separate": lambda: partial(
        _core.separate, _core.Separation.entmax(1.5), normal(1000, 1000), 1
    ),
    "separation_conjugate": lambda: partial(
        _core.separation_conjugate, _core.Separation.softmax(), normal(1000, 1000), 1
    ),
    "separation_jvp": lambda: partial(
        _core.separation_jvp, _core.Separation.softmax(), normal(1000, 1000), states(1000, 1000), 1
    ),
    "softmax_map_classes": lambda: partial(_core.softmax_map_classes, 20_000, 200.0),
    "pack_signs": lambda: partial(_core.pack_signs, signs(1000, 4000), 1),
    "unpack_signs": lambda: partial(
        _core.unpack_signs64, _core.pack_signs(signs(1000, 4000), 1)[0], 4000, 1
    ),
    "BinaryNetwork": lambda: partial(
        _core.BinaryNetwork, _core.pack_signs(signs(2000, 4000), 1)[0], 4000, None, False
    ),
    "BinaryNetwork.patterns": lambda: (
        _core.BinaryNetwork(words(16_000), 16_000, None, False).patterns
    ),
    "BinaryNetwork.update": lambda: of_signs("update"),
    "BinaryNetwork.energy": lambda: of_signs("energy"),
    "BinaryNetwork.retrieve_synchronous": lambda: of_signs("retrieve_synchronous", 100),
    "BinaryNetwork.retrieve_asynchronous": lambda: of_signs(
        "retrieve_asynchronous", 100, True, 0, count=50
    ),
    "ContinuousNetwork": lambda: partial(
        _core.ContinuousNetwork64, normal(600, 400), 1.0, None, False, *DENSE
    ),
    "ContinuousNetwork.update": lambda: of_continuous("update"),
    "ContinuousNetwork.energy": lambda: of_continuous("energy"),
    "ContinuousNetwork.jacobian": lambda: of_continuous("jacobian", count=20),
    "ContinuousNetwork.retrieve": lambda: of_continuous("retrieve", 10, 0.0),
    "ContinuousNetwork.newton": lambda: of_continuous("newton", 10, 1e-9, d=60, gain=1e-2),
    "ContinuousNetwork.certify": lambda: of_continuous("certify", d=60, gain=1e-2),
    "random_features": lambda: partial(
        _core.random_features64, normal(500, 100), False, 0.0, states(1000, 100), 1
    ),
    "transposed_product": lambda: partial(
        _core.transposed_product64, normal(1000, 300), states(1000, 300), 1
    ),
    "separation_loss": lambda: partial(_core.separation_loss, *kernel_arguments(), True, 1),
    "linear_features": lambda: partial(
        _core.linear_features, normal(1000, 300), normal(90, 300), 1
    ),
    "fit_separation_kernel": lambda: partial(
        _core.fit_separation_kernel, *kernel_arguments(), 5, np.empty(0), np.empty(0, np.int64),
        1e-9, np.inf, None, 1,
    ),
    "AttentionSystem": lambda: partial(
        _core.AttentionSystem, normal(40_000, 4), normal(4, 4, 40_000), np.zeros((3, 4, 4))
    ),
    "simulate_attention": lambda: attention(
        "simulate_attention", None,
        steps=(20_000, 0, _core.AttentionOutput.semantic_output, None),
    ),
    "attention_exponents": lambda: attention(
        "attention_exponents", steps=(10, 2000, 4, 12, None)
    ),
    "associate": associate,
}  # fmt: skip


@pytest.mark.parametrize("prepare", CALLS.values(), ids=CALLS)
def test_other_threads_run_during(prepare, released):
    assert released(prepare())


def test_a_call_that_keeps_the_gil_is_noticed(released):
    assert not released(normal(500_000).tolist)


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("m", [3, 17, 120, 501])
def test_eigenvalues_are_those_of_numpy_to_the_bit(count, m):
    matrices = normal(count, m, m) if m < 500 else np.triu(normal(count, m, m))
    np.testing.assert_array_equal(eigenvalues(matrices), np.linalg.eigvals(matrices))


def test_eigenvalues_release_the_gil(released, monkeypatch):
    asked, found = [], np.linalg.eigvals
    monkeypatch.setattr(np.linalg, "eigvals", lambda a: asked.append(a) or found(a))
    eigenvalues(normal(1, 100, 100))
    of_numpy = partial(np.linalg._umath_linalg.eigvals, signature="d->D")
    assert released(partial(of_numpy, asked[0]))
    assert not released(partial(of_numpy, normal(1, 100, 100)))


@pytest.mark.parametrize("shape", [(0,), (5,), (9000,), (0, 3), (7000, 2), (2, 9000), (3, 2, 9000)])
def test_lists_made_in_parts_are_those_made_at_once(shape):
    numbers = normal(*shape)
    assert as_lists(numbers) == numbers.tolist()
    assert plain(numbers) == numbers.tolist()


def test_one_point_of_a_list_knows_its_own_support():
    points = hopfix.Hopfield(np.eye(4), 9.0).fixed_points()
    assert [point.support for point in points] == points.support
    assert [point.index for point in points] == points.index.tolist()
    assert [point.stable for point in points] == points.stable.tolist()
