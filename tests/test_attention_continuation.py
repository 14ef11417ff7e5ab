"""Cycles of the mean field of attention, followed in β."""

import numpy as np
import pytest

from hopfix.mean_field import AttentionMeanField, State, classify, follow_orbit, periodic_orbit


@pytest.fixture(scope="module")
def cycle_of_four():
    model = AttentionMeanField.paper(1.0)
    return model, periodic_orbit(model, model.simulate(3_000).final_state, 4)


def largest_modulus(beta, state, period):
    """Of the multipliers, by Newton's method at that β alone."""
    model = AttentionMeanField.paper(beta)
    return np.abs(periodic_orbit(model, state, period).multipliers[0])


def test_the_torus_is_born_where_a_pair_crosses_the_circle(cycle_of_four):
    model, orbit = cycle_of_four
    found = follow_orbit(model, orbit, 2.0)
    assert found.reached
    assert found.betas[0] == 1.0
    assert found.betas[-1] == pytest.approx(2.0, abs=1e-12)
    (event,) = found.events
    assert event.kind == "neimark-sacker"
    low, high = 1.2, 1.3
    while high - low > 1e-12:
        middle = (low + high) / 2
        if largest_modulus(middle, event.orbit.state, 4) < 1:
            low = middle
        else:
            high = middle
    assert event.beta == pytest.approx(low, abs=1e-10)
    pair = event.orbit.multipliers[0]
    assert abs(pair) == pytest.approx(1, abs=1e-9)
    assert event.angle == pytest.approx(abs(np.angle(pair)) / (2 * np.pi), abs=1e-9)
    assert found.stable.tolist() == (found.betas < event.beta).tolist()
    assert "neimark-sacker" in repr(found)


def test_every_point_is_a_cycle(cycle_of_four):
    model, orbit = cycle_of_four
    found = follow_orbit(model, orbit, 0.5)
    for beta, one in zip(found.betas, found.orbits, strict=True):
        assert one.residual <= 1e-12
        again = model.with_parameters(beta=beta).simulate(4, one.state).attention
        np.testing.assert_allclose(again, one.attention, atol=1e-15)
    assert found.events == ()


def test_folds_and_doublings_of_the_published_cycle():
    model = AttentionMeanField.paper(1.27)
    orbit = classify(model, model.random_state(0)).orbit
    assert orbit.period == 28
    found = follow_orbit(model, orbit, 1.2, max_steps=60)
    kinds = [event.kind for event in found.events]
    assert kinds[:3] == ["period-doubling", "period-doubling", "fold"]
    for event in found.events[:3]:
        at = -1 if event.kind == "period-doubling" else 1
        assert np.abs(event.orbit.multipliers - at).min() <= 1e-7
        assert event.orbit.residual <= 1e-11
    fold = found.events[2].beta
    # The least β of the curve, around which it turns.
    assert found.betas.min() >= fold - 1e-10
    assert found.betas.min() == pytest.approx(fold, abs=1e-4)
    assert not found.reached
    assert "most steps" in found.end
    # On the stable side of the first doubling the cycle is met by simulation.
    first = found.events[0].beta
    assert largest_modulus(first + 1e-5, found.events[0].orbit.state, 28) < 1
    assert largest_modulus(first - 1e-5, found.events[0].orbit.state, 28) > 1


def test_what_is_no_cycle_is_refused(cycle_of_four):
    model, orbit = cycle_of_four
    with pytest.raises(ValueError, match="beta_to: got -1"):
        follow_orbit(model, orbit, -1.0)
    away = State(orbit.state.attention + 50.0, orbit.state.position)
    wrong = type(orbit)(orbit.attention, away, orbit.residual, orbit.multipliers)
    with pytest.raises(ValueError, match="orbit: not a cycle"):
        follow_orbit(AttentionMeanField.paper(2.5), wrong, 3.0)
