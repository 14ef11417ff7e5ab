"""The finite network of self-attention against its law, its mean field, and itself."""

import numpy as np
import pytest

from hopfix.mean_field import AttentionMeanField, AttentionNetwork, NetworkState, State


def a_model(**options):
    rng = np.random.default_rng(0)
    matrices = [rng.choice([-1.0, 1.0], (2, 6)) for _ in range(4)]
    positions = [rng.choice([-1.0, 1.0], (2, 2)) for _ in range(4)]
    parameters = {"beta": 0.9, "gamma": 20.0, "context": 3} | options
    shares = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    return AttentionMeanField(
        *matrices, position_weight=0.05, positions=positions, class_weights=shares, **parameters
    )


def expected_fields(model, attention, position):
    """The mean field's fields after an attention, from its own step."""
    window = np.repeat(np.asarray(attention)[None], model.context, axis=0)
    found = model.simulate(1, State(window, position))
    return np.stack([found.output[0], found.value[0], found.query[0], found.key[0]])


@pytest.mark.parametrize("spins", [1, 63, 64, 65, 5_000])
def test_fields_have_the_mean_and_covariance_of_their_law(spins):
    network = a_model().network(spins, seed=1)
    attention, draws = np.array([0.4, -0.7]), 40_000
    fields = network.sample(attention, draws, position=2).reshape(draws, -1)
    mean = expected_fields(network.mean_field, attention, 2).ravel()
    covariance = network.mean_field.field_covariance(attention) / spins
    # Five standard errors of the mean; those of the covariance for sums of independent units.
    error = np.sqrt(np.diag(covariance) / draws)
    assert (np.abs(fields.mean(axis=0) - mean) <= 5 * error + 1e-12).all()
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(fields.T) - covariance) <= 0.05 * scale + 1e-12).all()


def test_a_unit_is_plus_one_as_often_as_its_probability_says():
    one = np.ones((1, 1))
    for x in (-3.0, -0.2, 0.0, 1e-3, 0.5, 8.0):
        model = AttentionMeanField(one, one, one, one, beta=1.0, gamma=1.0, context=1)
        network = model.network(1_000_000, seed=3)
        ups = (1 + network.sample([x], 20)[:, 0, 0].mean()) / 2
        p = 1 / (1 + np.exp(-2 * x))
        assert abs(ups - p) <= 5 * np.sqrt(p * (1 - p) / 2e7) + 1e-12


def test_the_mean_field_is_approached_as_one_over_the_root():
    model = a_model()
    start = model.simulate(20).final_state
    errors = []
    for spins in (1_000, 100_000):
        network = model.network(spins, seed=5)
        exact = network.mean_field.simulate(1, start).attention[0]
        draws = [
            AttentionNetwork(model, spins, seed).simulate(1, start).attention[0] - exact
            for seed in range(200)
        ]
        errors.append(np.sqrt(np.mean(np.square(draws))))
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.25)


def test_continuation_is_bitwise():
    network = a_model().network(777, seed=2)
    whole = network.simulate(40)
    for cut in (1, 2, 3, 17):
        first = network.simulate(cut)
        second = network.simulate(40 - cut, first.final_state)
        assert (np.concatenate([first.attention, second.attention]) == whole.attention).all()
        assert (second.final_state.keys == whole.final_state.keys).all()
        assert second.final_state.steps == 40


def test_seeds_differ_and_repeat():
    model = a_model()
    a, b, c = (model.network(100, seed).simulate(10).attention for seed in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()


def test_units_are_shared_out():
    network = AttentionMeanField.paper(1.0).network(100)
    assert sorted(network._counts) == [33, 33, 34]
    assert network._counts.sum() == network.n_spins == 100
    assert AttentionMeanField.paper(1.0).network(1)._counts.tolist().count(1) == 1
    # The first token is of independent units: its fields are small.
    large = AttentionMeanField.paper(1.0).network(1_000_000, seed=1).simulate(1)
    assert np.abs(large.semantic_output).max() < 6e-3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.network(0), ValueError, "n_spins: got 0"),
        (lambda m: m.network(1.5), TypeError, "n_spins: got float"),
        (lambda m: m.network(5, -1), ValueError, "seed: got -1"),
        (lambda m: m.network(5).simulate(0), ValueError, "steps: got 0"),
        (lambda m: m.network(5).sample([1.0], 3), ValueError, "attention: got shape"),
        (lambda m: m.network(5).sample([1.0, 2.0], 3, position=3), ValueError, "position: got 3"),
        (
            lambda m: m.network(5).simulate(
                3, NetworkState(np.ones((2, 2)), 0, None, np.ones((1, 2)), np.ones((2, 2)))
            ),
            ValueError,
            "start: got .* steps, need one number",
        ),
        (lambda m: m.network(5).simulate(3, m.first_token()), ValueError, "full window"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(a_model())


def test_correlations_have_no_network():
    tables = [np.zeros((1, 1))] * 4
    model = AttentionMeanField.from_correlations(*tables, beta=1.0, gamma=1.0, context=2)
    with pytest.raises(ValueError, match="correlations"):
        model.network(10)
    with pytest.raises(ValueError, match="correlations"):
        model.field_covariance([0.0])
