"""Whatever is passed to the other models and to small functions: see `survives` in hostile.py."""

import numpy as np
import pytest
from hostile import fuzz, good, hostile, scalars, survives
from hypothesis import given
from hypothesis import strategies as st

from hopfix import (
    classical,
    degree,
    heads,
    kernel,
    mean_field,
    performer,
    queries,
    sharded,
    softmax_map,
)
from hopfix.mean_field import series

FEW = st.one_of(st.integers(-1, 20), scalars.filter(lambda x: not _is_large(x)))
BETAS = st.sampled_from([1e-300, 0.3, 1.0, 20.0, 1e5, 1e300])


def _is_large(x):
    """Whether it may ask for honest work that takes long."""
    return isinstance(x, (int, float)) and abs(x) > 1e3


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
        if net is None:
            continue
        for name in ("update", "energy", "jacobian", "newton", "certify"):
            if hasattr(net, name):
                survives(lambda net=net, name=name: getattr(net, name)(states))
        survives(lambda net=net: net.retrieve(states, max_steps=20))
        survives(lambda net=net: net.retrieve(states, option, max_steps=20))


@pytest.mark.filterwarnings("ignore:Performer. worthless estimates:RuntimeWarning")
@fuzz
@given(st.one_of(hostile, good(3, 2)), st.one_of(hostile, good(2, 2)), FEW, FEW)
def test_features_of_anything(z, other, dim, count):
    survives(lambda: performer.RandomFeatures(dim, count, seed=0))
    survives(lambda: performer.RandomFeatures(2, count, kind="relu", offset=dim, seed=0))
    features = performer.RandomFeatures(2, 4, seed=0)
    survives(lambda: features.redraw(count))
    survives(lambda: features.transform(z))
    survives(lambda: features.kernel(z, other))
    survives(lambda: features.relative_variance(z, other))
    survives(lambda: performer.predicted_error(z, dim, other, count))
    survives(lambda: performer.features_needed(z, dim, other, count))
    net = survives(lambda: performer.Performer(z, dim, features))
    for memory in (net, performer.Performer(np.eye(2), 1.0, features, sparsify_above=0.5)):
        if memory is None:
            continue
        for name in ("add", "remove", "update", "error_estimate"):
            survives(lambda memory=memory, name=name: getattr(memory, name)(other))
        survives(lambda memory=memory: memory.retrieve(other, max_steps=20))


@pytest.mark.filterwarnings("ignore:the .* loss:RuntimeWarning")
@fuzz
@given(st.one_of(hostile, good(4, 2)), scalars, FEW, st.one_of(hostile, good(2, 2)))
def test_separation_kernels_of_anything(patterns, t, steps, matrix):
    def learned(**options):
        return kernel.SeparationKernel(seed=0, **options).fit(patterns)

    survives(lambda: learned(t=t, steps=3))
    survives(lambda: learned(kind="maximum", steps=3, learning_rate=t))
    survives(lambda: learned(steps=3, tol=t, batch_size=2))
    survives(lambda: learned(n_features=steps, steps=steps))
    survives(lambda: kernel.SeparationKernel(steps=3, seed=0).fit(patterns, start=matrix))
    survives(lambda: kernel.separation_loss(patterns, matrix, t))
    survives(lambda: kernel.separation_gradient(patterns, matrix, t, normalize=False))
    fitted = kernel.SeparationKernel(steps=1, seed=0).fit(np.array([[1.0, 0.2], [0.3, 1.0]]))
    survives(lambda: fitted.transform(patterns))


@fuzz
@given(FEW, scalars, st.one_of(hostile, st.dictionaries(st.integers(-1, 9), scalars, max_size=3)))
def test_small_functions_of_anything(n, beta, counts):
    survives(lambda: softmax_map.fixed_points(n, beta))
    survives(lambda: softmax_map.count(n, beta))
    survives(lambda: softmax_map.threshold(n, beta))
    survives(lambda: degree.audit(counts, n))


CORRELATIONS = st.one_of(good(2, 2), good(2, 3), hostile)


@fuzz
@given(CORRELATIONS, CORRELATIONS, BETAS, scalars, FEW, scalars)
def test_mean_field_models_of_anything(one, other, beta, gamma, context, weight):
    for make in (
        lambda: mean_field.AttentionMeanField(one, one, one, one, beta=beta, gamma=1, context=2),
        lambda: mean_field.AttentionMeanField(
            one, other, one, other, beta=beta, gamma=gamma, context=context, position_weight=weight
        ),
        lambda: mean_field.AttentionMeanField.from_correlations(
            one, other, one, other, beta=beta, gamma=1, context=2
        ),
    ):
        model = survives(make)
        if model is not None:
            survives(lambda model=model: model.simulate(5))
            survives(lambda model=model: model.lyapunov(5, discard=1))
            survives(lambda model=model: model.with_parameters(gamma=gamma, position_weight=weight))
            survives(lambda model=model: model.network(context).simulate(5))


@fuzz
@given(st.one_of(hostile, good(2, 3), good(3, 3)), FEW, FEW, st.one_of(hostile, good(3)))
def test_mean_field_states_of_anything(attention, steps, position, betas):
    model = mean_field.AttentionMeanField.paper(1.2)
    state = survives(lambda: mean_field.State(attention, position))
    if state is not None:
        for call in (
            lambda: model.step(state),
            lambda: model.jacobian(state),
            lambda: model.sensitivities(state),
            lambda: model.simulate(steps, state, discard=position),
            lambda: model.lyapunov(steps, state, discard=position, count=steps),
            lambda: model.network(64).simulate(steps, state),
            lambda: mean_field.classify(model, state, steps=200, discard=100, max_period=steps),
            lambda: mean_field.periodic_orbit(model, state, steps),
        ):
            survives(call)
    survives(lambda: model.bifurcation(betas, 20, 10, start=state))
    survives(lambda: model.field_covariance(attention))
    survives(lambda: model.network(64).sample(attention, steps, position))
    survives(lambda: model.first_token(attention))
    survives(
        lambda: mean_field.attractors(model, steps if steps != 16 else 2, steps=40, discard=20)
    )


@fuzz
@given(st.one_of(hostile, good(8), good(8, 2)), scalars)
def test_series_of_anything(values, option):
    survives(lambda: series.autocorrelation(values, option))
    survives(lambda: series.power_spectrum(values))
    survives(lambda: series.poincare_section(values, option))
    survives(lambda: series.poincare_section(values, 0, tolerance=option))


@fuzz
@given(st.one_of(hostile, good(2, 3, 2)), st.one_of(hostile, good(2, 3, 2)), scalars)
def test_heads_of_anything(asked, keys, option):
    survives(lambda: heads.analyse(asked, keys, 1.0))
    survives(lambda: heads.analyse(asked, keys, option, share=0.5))
    survives(lambda: heads.analyse(asked, asked, 1.0, share=option, time_limit=0.2))
    survives(lambda: heads.tokens_of_share(asked, option))
    survives(lambda: heads.operating_class(asked, option))


@fuzz
@given(st.one_of(hostile, good(2, 4)), scalars, st.one_of(hostile, st.just((2, 2))))
def test_queries_of_anything(images, level, shape):
    survives(lambda: queries.gaussian_noise(images, level))
    survives(lambda: queries.noise_of_norm(images, level))
    survives(lambda: queries.random_mask(images, level, rescale=True))
    survives(lambda: queries.random_mask(images, seed=level))
    survives(lambda: queries.lower_half_erased(images, shape))


@fuzz
@given(
    st.lists(st.one_of(hostile, good(2, 2), good(1, 2)), max_size=3),
    st.one_of(scalars, BETAS),
    st.one_of(st.none(), st.lists(st.one_of(hostile, good(2)), max_size=3)),
    st.one_of(hostile, good(2), good(2, 2)),
)
def test_shards_of_anything(shards, beta, log_weights, states):
    for given_weights in (None, log_weights):
        net = survives(
            lambda given_weights=given_weights: sharded.ShardedHopfield(
                shards, beta, log_weights=given_weights
            )
        )
        if net is not None:
            survives(lambda net=net: net.update(states))
            survives(lambda net=net: net.energy(states))
            survives(lambda net=net: net.retrieve(states, max_steps=20))
