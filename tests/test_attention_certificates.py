"""Proofs of cycles of the mean field of attention, against 40 digits and injected faults."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from hopfix.mean_field import AttentionMeanField, certify_orbit, periodic_orbit

DIGITS = 40


def exact_map(model, position, window):
    """One step of the map of the stored doubles, newest attention first, in many digits."""
    mp, system = mpmath, model._system
    beta, gamma, weight = (mp.mpf(x) for x in (model.beta, model.gamma, model.position_weight))
    m, context = system.features, system.context
    fields = []
    for age, attention in enumerate(window):
        tanhs = [
            mp.tanh(beta * mp.fsum(mp.mpf(w) * a for w, a in zip(row, attention, strict=True)))
            for row in system.projection
        ]
        place = (position - age) % context
        table = system.positions.reshape(context, 4, m)[place]
        fields.append(
            [
                [
                    (1 - weight)
                    * mp.fsum(mp.mpf(r) * t for r, t in zip(readout, tanhs, strict=True))
                    + weight * mp.mpf(extra)
                    for readout, extra in zip(kind, added, strict=True)
                ]
                for kind, added in zip(system.readouts, table, strict=True)
            ]
        )
    query = fields[0][2]
    scores = [
        gamma / mp.sqrt(m) * mp.fsum(q * k for q, k in zip(query, token[3], strict=True))
        for token in fields
    ]
    shares = [mp.exp(score - max(scores)) for score in scores]
    total = mp.fsum(shares)
    return [
        mp.fsum(s * token[1][a] for s, token in zip(shares, fields, strict=True)) / total
        for a in range(m)
    ]


def exact_cycle(model, orbit):
    """The cycle in many digits: simplified Newton with the Jacobian of double precision."""
    p, m, context = orbit.period, model.features, model.context
    start = orbit.state
    jacobian, state = np.eye(m * context), start
    for _ in range(p):
        jacobian = model.jacobian(state) @ jacobian
        state = model.step(state)
    inverse = mpmath.matrix(np.linalg.inv(np.eye(m * context) - jacobian).tolist())
    window = [[mpmath.mpf(x) for x in row] for row in start.attention]
    for _ in range(40):
        path, moved = [], window
        for t in range(p):
            moved = [exact_map(model, start.position + t, moved), *moved[:-1]]
            path.append(moved[0])
        miss = [
            a - b
            for new, old in zip(moved, window, strict=True)
            for a, b in zip(new, old, strict=True)
        ]
        if max(abs(x) for x in miss) < mpmath.mpf(10) ** (5 - DIGITS):
            return path
        change = inverse * mpmath.matrix(miss)
        window = [
            [x + change[age * m + a] for a, x in enumerate(row)] for age, row in enumerate(window)
        ]
    raise AssertionError("no cycle in many digits")


@pytest.mark.parametrize("beta", [0.6, 1.24, 1.255])
def test_the_exact_cycle_is_within_the_radius(beta):
    model = AttentionMeanField.paper(beta)
    orbit = certify_orbit(
        model, periodic_orbit(model, AttentionMeanField.paper(1.24).simulate(3_000).final_state, 4)
    )
    assert orbit.certified
    assert 0 < orbit.radius < 1e-14
    assert orbit.uniqueness_radius > 1e-5
    with mpmath.workdps(DIGITS):
        path = exact_cycle(model, orbit)
        distance = max(
            abs(a - mpmath.mpf(b))
            for row, given in zip(path, orbit.attention, strict=True)
            for a, b in zip(row, given, strict=True)
        )
        assert distance <= orbit.radius
        # Far from useless: the radius is some roundings of the map.
        assert orbit.radius <= 100 * max(distance, mpmath.mpf(2) ** -56)


def test_long_cycles_and_an_unstable_one():
    model = AttentionMeanField.paper(1.27)
    for seed, period in ((0, 28), (2, 56)):
        state = model.simulate(20_000, model.random_state(seed)).final_state
        orbit = certify_orbit(model, periodic_orbit(model, state, period))
        assert orbit.radius < 1e-11
        assert orbit.uniqueness_radius > 1e-8
    four = periodic_orbit(model, AttentionMeanField.paper(1.24).simulate(3_000).final_state, 4)
    assert not four.stable
    assert certify_orbit(model, four).certified


def test_the_radius_covers_injected_errors():
    model = AttentionMeanField.paper(1.24)
    orbit = periodic_orbit(model, model.simulate(3_000).final_state, 4)
    for size in (1e-12, 1e-9, 1e-6):
        wrong = orbit.attention.copy()
        wrong[2, 1] += size
        found = certify_orbit(model, replace(orbit, attention=wrong))
        assert size <= found.radius < 100 * size
        assert found.uniqueness_radius > found.radius
    wrong[0, 0] += 0.3
    assert not certify_orbit(model, replace(orbit, attention=wrong)).certified


def test_what_is_no_cycle_is_not_certified():
    model = AttentionMeanField.paper(2.0)
    orbit = periodic_orbit(
        AttentionMeanField.paper(1.0), AttentionMeanField.paper(1.0).simulate(500).final_state, 4
    )
    chaos = model.simulate(1_004, discard=1_000).attention
    found = certify_orbit(model, replace(orbit, attention=chaos))
    assert not found.certified
    assert np.isnan(found.uniqueness_radius)
    with pytest.raises(ValueError, match="got period 3, need a multiple of 4"):
        certify_orbit(model, replace(orbit, attention=chaos[:3]))


@pytest.mark.parametrize("period", [1, 2])
def test_cycles_shorter_than_the_window(period):
    """Without position units the origin is a fixed point, met L times in a window."""
    model = AttentionMeanField.paper(0.9).with_parameters(position_weight=0.0)
    state = model.simulate(3_000, model.random_state(0)).final_state
    orbit = certify_orbit(model, periodic_orbit(model, state, period))
    assert orbit.certified
    assert np.abs(orbit.attention).max() <= orbit.radius
    assert orbit.radius < 1e-14
