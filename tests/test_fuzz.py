"""Whatever is passed: a result, or an exception that is meant; no crash, no hang, no warning.

HOPFIX_FUZZ_EXAMPLES=20000 draws as many per call instead of a few.
"""

import os
import time

import numpy as np
import pytest
from hostile import any_shape, arrays, good, hostile, scalars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hopfix
from hopfix import classical, degree, faces, kernel, performer, separation, softmax_map

EXAMPLES = int(os.environ.get("HOPFIX_FUZZ_EXAMPLES", "25"))
MEANT = (TypeError, ValueError, MemoryError)
SECONDS = 20.0  # a call on a handful of numbers that takes longer hangs

fuzz = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def survives(call):
    """What the call returns, None where it raises what is meant."""
    start, result, message = time.perf_counter(), None, "none"
    try:
        result = call()
    except MEANT as error:
        message = str(error)
    assert message
    assert "bad_alloc" not in message
    assert time.perf_counter() - start < SECONDS
    return result


def network(patterns, beta, options):
    return hopfix.Hopfield(patterns, beta, **options)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "log_weights": st.one_of(st.none(), arrays(any_shape)),
        "values": st.one_of(st.none(), arrays(any_shape)),
        "similarity": st.one_of(
            st.sampled_from(["dot", "neg_sq_l2", "neg_l1", "neg_l2", "manhattan"]), hostile
        ),
        "separation": st.one_of(
            st.sampled_from(["softmax", "sparsemax", ("entmax", 1.5), ("topk", 2), ("topk", -1)]),
            scalars,
        ),
        "num_threads": scalars,
    },
)


@fuzz
@given(hostile, scalars, OPTIONS)
def test_networks_of_anything(patterns, beta, options):
    survives(lambda: network(patterns, beta, options))


@fuzz
@given(good(3, 2), st.sampled_from([1e-300, 1e-3, 1.0, 20.0, 1e5, 1e300]), st.data())
def test_states_of_anything(patterns, beta, data):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2))
    if net is None:
        return
    states = data.draw(st.one_of(hostile, good(2), good(1, 2), good(2, 2)))
    other = data.draw(st.one_of(hostile, good(2), good(2, 2)))
    wrt = data.draw(st.sampled_from(["states", "beta", ("patterns", "log_weights"), (), "x", None]))
    step = data.draw(scalars)
    calls = {
        "update": lambda: net.update(states),
        "weights": lambda: net.weights(states),
        "energy": lambda: net.energy(states),
        "jacobian": lambda: net.jacobian(states),
        "jvp": lambda: net.jvp(states, other),
        "vjp": lambda: net.vjp(states, other, wrt),
        "spectral_radius": lambda: net.spectral_radius(states),
        "certify": lambda: net.certify(states),
        "retrieve": lambda: net.retrieve(states, max_steps=50),
        "retrieve steps": lambda: net.retrieve(states, max_steps=step, tol=1e-3),
        "retrieve tol": lambda: net.retrieve(states, max_steps=50, tol=step),
    }
    results = {name: survives(call) for name, call in calls.items()}
    if results["update"] is not None:
        assert results["update"].shape == np.shape(states)
        assert results["update"].dtype == net.dtype
        assert np.isfinite(results["update"]).all()
        p = results["weights"]
        assert (p >= 0).all()
        assert (p <= 1).all()


SEARCHES = ("auto", "cells", "faces", "starts", "closed_form")


@fuzz
@given(good(3, 2), st.sampled_from([1e-300, 1e-3, 1.0, 20.0, 1e5, 1e300]), st.data())
def test_searches_in_networks_of_any_numbers(patterns, beta, data):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2))
    if net is None:
        return
    method = data.draw(st.sampled_from(SEARCHES))
    found = survives(lambda: net.fixed_points(method, time_limit=2.0))
    if found is not None and found.completeness == "proved":
        assert found.degree_sum == 1
        assert found.certified.all()


@fuzz
@given(good(3, 2), st.sampled_from([0.5, 3.0, 1e4]), scalars)
def test_following_to_anything(patterns, beta, target):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2))
    if net is not None:
        survives(lambda: net.follow(target, time_limit=2.0))


@fuzz
@given(st.sampled_from(["softmax", "sparsemax", "entmax", "topk", "polynomial"]), st.data())
def test_separations_of_anything(name, data):
    function = getattr(separation, name)
    z = data.draw(st.one_of(hostile, good(3), good(2, 3)))
    argument = data.draw(scalars)
    if name in ("softmax", "sparsemax"):
        survives(lambda: function(z))
    else:
        survives(lambda: function(z, argument))


@fuzz
@given(st.one_of(hostile, good(4, 2)), st.one_of(hostile, st.sampled_from([(0,), (0, 1)])), scalars)
def test_faces_of_anything(patterns, face, option):
    survives(lambda: faces.critical_faces(patterns, max_size=option, time_limit=2.0))
    survives(lambda: faces.cips_margin(patterns, face))
    survives(lambda: faces.sufficient_beta(patterns, face))


@fuzz
@given(st.one_of(hostile, good(3, 4)), st.one_of(hostile, good(4), good(2, 4)), scalars)
def test_classical_networks_of_anything(patterns, states, option):
    signs = np.where(np.arange(12).reshape(3, 4) % 3, 1.0, -1.0)
    for make in (
        lambda: classical.BinaryHopfield(patterns),
        lambda: classical.BinaryHopfield(signs, states),
        lambda: classical.ContinuousHopfield(patterns, gain=option),
        lambda: classical.ContinuousHopfield(signs, states, sparsify_above=option),
    ):
        net = survives(make)
        if net is not None:
            survives(lambda net=net: net.update(states))
            survives(lambda net=net: net.energy(states))
            survives(lambda net=net: net.retrieve(states, max_steps=20))


@pytest.mark.filterwarnings("ignore:Performer. worthless estimates:RuntimeWarning")
@fuzz
@given(st.one_of(hostile, good(3, 2)), scalars, scalars)
def test_features_of_anything(z, dim, count):
    survives(lambda: performer.RandomFeatures(dim, count, seed=0) if _small(dim, count) else None)
    features = performer.RandomFeatures(2, 4, seed=0)
    survives(lambda: features.transform(z))
    survives(lambda: performer.Performer(z, dim, features).update(z))


def _small(*numbers):
    """Whether they do not ask for honest work that takes long."""
    return all(not isinstance(x, (int, float)) or not abs(x) > 1e4 for x in numbers)


@fuzz
@given(st.one_of(hostile, good(4, 2)), scalars, scalars)
def test_separation_kernels_of_anything(patterns, t, steps):
    survives(lambda: kernel.SeparationKernel(t=t, steps=3, seed=0).fit(patterns))
    if _small(steps):
        survives(lambda: kernel.SeparationKernel(steps=steps, seed=0).fit(patterns))
    survives(lambda: kernel.separation_loss(patterns, np.eye(2), t))


@fuzz
@given(
    scalars, scalars, st.one_of(hostile, st.dictionaries(st.integers(-1, 9), scalars, max_size=3))
)
def test_small_functions_of_anything(n, beta, counts):
    if _small(n):
        survives(lambda: softmax_map.fixed_points(n, beta))
        survives(lambda: softmax_map.count(n, beta))
        survives(lambda: softmax_map.threshold(n, beta))
    survives(lambda: degree.audit(counts, n))


def test_nothing_is_left_to_luck():
    """The strategies do reach results, not only refusals."""
    reached = []

    @settings(max_examples=60, database=None, derandomize=True)
    @given(good(3, 2), good(2, 2))
    def run(patterns, states):
        net = survives(lambda: hopfix.Hopfield(patterns, 1.0))
        reached.append(net is not None and survives(lambda: net.update(states)) is not None)

    run()
    assert sum(reached) > 20
