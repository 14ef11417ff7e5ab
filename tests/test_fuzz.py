"""Whatever is passed to networks and what stands around them: see `survives` in hostile.py."""

import numpy as np
from hostile import any_shape, arrays, fuzz, good, hostile, scalars, survives
from hypothesis import given, settings
from hypothesis import strategies as st

import hopfix
from hopfix import degree, faces, separation

POSITIVE = st.sampled_from([1e-300, 1e-3, 1.0, 20.0, 1e5, 1e300])
SIMILARITIES = st.sampled_from(["dot", "neg_sq_l2", "neg_l1", "neg_l2", "manhattan"])
SEPARATIONS = st.sampled_from(
    ["softmax", "sparsemax", ("entmax", 1.5), ("entmax", 1e9), ("topk", 2), ("polynomial", 2)]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "log_weights": st.one_of(st.none(), arrays(any_shape)),
        "values": st.one_of(st.none(), arrays(any_shape)),
        "similarity": st.one_of(SIMILARITIES, hostile),
        "separation": st.one_of(SEPARATIONS, st.just(("topk", -1)), scalars),
        "normalize": scalars,
        "sparsify_above": scalars,
        "num_threads": scalars,
    },
)


@fuzz
@given(hostile, scalars, OPTIONS)
def test_networks_of_anything(patterns, beta, options):
    survives(lambda: hopfix.Hopfield(patterns, beta, **options))


MODELS = st.fixed_dictionaries(
    {},
    optional={
        "log_weights": good(3),
        "values": st.one_of(good(3, 2), good(3, 4)),
        "similarity": SIMILARITIES,
        "separation": SEPARATIONS,
        "normalize": st.booleans(),
        "sparsify_above": st.sampled_from([0.0, 0.3, 1e300]),
    },
)


@fuzz
@given(good(3, 2), POSITIVE, MODELS, st.one_of(good(2), good(2, 2)), st.one_of(good(2), good(4)))
def test_models_of_any_numbers(patterns, beta, model, states, other):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2, **model))
    if net is None:
        return
    for call in (
        lambda: net.update(states),
        lambda: net.weights(states),
        lambda: net.energy(states),
        lambda: net.jacobian(states),
        lambda: net.jvp(states, other),
        lambda: net.vjp(states, other, ("states", "patterns", "beta", "log_weights")),
        lambda: net.spectral_radius(states),
        lambda: net.certify(states),
        lambda: net.retrieve(states, max_steps=20),
        lambda: net.image,
        lambda: net.fixed_points(),
    ):
        survives(call)


@fuzz
@given(good(3, 2), POSITIVE, st.data())
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
        "vjp fixed": lambda: net.vjp_fixed_point(states, other, wrt),
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
@given(good(3, 2), POSITIVE, st.data())
def test_searches_in_networks_of_any_numbers(patterns, beta, data):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2))
    if net is None:
        return
    method = data.draw(st.sampled_from(SEARCHES))
    found = survives(lambda: net.fixed_points(method))
    if found is None:
        return
    if found.completeness == "proved":
        assert found.degree_sum == 1
        assert found.certified.all()
    survives(lambda: hopfix.connections(found, max_steps=1000))
    survives(found.to_dict)


@fuzz
@given(good(3, 2), st.sampled_from(SEARCHES), st.data())
def test_searches_with_any_options(patterns, method, data):
    net = survives(lambda: hopfix.Hopfield(patterns, 2.0))
    names = ["certify", "form", "max_boxes", "max_face", "max_count", "time_limit", "seed"]
    options = data.draw(
        st.dictionaries(st.sampled_from(names), st.one_of(scalars, st.just("hull")), max_size=3)
    )
    if net is not None:
        survives(lambda: net.fixed_points(method, **options))


@fuzz
@given(good(3, 2), st.sampled_from([0.5, 3.0, 1e4]), scalars, st.one_of(hostile, good(1, 2)))
def test_following_to_anything(patterns, beta, target, start):
    net = survives(lambda: hopfix.Hopfield(patterns, beta, num_threads=2))
    if net is not None:
        survives(lambda: net.follow(target, max_steps=200))
        survives(lambda: net.follow(beta / 2, start, max_steps=200))


@fuzz
@given(st.one_of(good(3, 2), hostile), st.one_of(POSITIVE, scalars), st.one_of(good(3), hostile))
def test_branches_from_both_limits(patterns, target, offsets):
    for start in (hopfix.branches.from_zero, hopfix.branches.from_infinity):
        survives(lambda start=start: start(patterns, target, max_steps=200))
        survives(lambda start=start: start(patterns, 2.0, offsets=offsets, max_steps=200))


@fuzz
@given(good(3, 2), POSITIVE, st.one_of(good(2), hostile), st.one_of(good(2), hostile))
def test_degrees_in_any_box(patterns, beta, lower, upper):
    net = survives(lambda: hopfix.Hopfield(patterns, beta))
    if net is not None:
        survives(lambda: degree.brouwer_degree(net, lower, upper))


@fuzz
@given(st.one_of(good(3, 2), hostile), st.one_of(good(2, 2), hostile), scalars)
def test_comparisons_of_anything(patterns, queries, option):
    survives(lambda: hopfix.compare(patterns, queries, max_steps=50, n_features=16))
    survives(lambda: hopfix.compare(patterns, queries, ["softmax"], beta=option, max_steps=50))
    survives(lambda: hopfix.compare(np.eye(2), queries, targets=patterns, max_steps=50))


@fuzz
@given(st.sampled_from(["softmax", "sparsemax", "entmax", "topk", "polynomial"]), st.data())
def test_separations_of_anything(name, data):
    function = getattr(separation, name)
    z = data.draw(st.one_of(hostile, good(3), good(2, 3)))
    argument = data.draw(scalars)
    t = data.draw(st.one_of(hostile, good(3), good(2, 3)))
    arguments = () if name in ("softmax", "sparsemax") else (argument,)
    survives(lambda: function(z, *arguments))
    survives(lambda: function.jvp(z, t, *arguments))
    if name != "polynomial":
        survives(lambda: function.conjugate(z, *arguments))


@fuzz
@given(st.one_of(hostile, good(4, 2)), st.one_of(hostile, st.sampled_from([(0,), (0, 1)])), scalars)
def test_faces_of_anything(patterns, face, option):
    survives(lambda: faces.critical_faces(patterns, max_size=option))
    survives(lambda: faces.critical_faces(patterns, offsets=face))
    survives(lambda: faces.cips_margin(patterns, face))
    survives(lambda: faces.is_cips(patterns, face, option))
    survives(lambda: faces.sampled_margin(patterns, face, n_samples=20))
    survives(lambda: faces.sufficient_beta(patterns, face))
    survives(lambda: faces.sufficient_beta(patterns, face, isolated=True, shrink=option))
    survives(lambda: faces.sufficient_beta(patterns, face, method="lemma", certify=True))


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
