"""What trajectories of the mean field end in, and the series made of them."""

import numpy as np
import pytest

from hopfix.mean_field import (
    AttentionMeanField,
    attractors,
    classify,
    periodic_orbit,
    series,
    sweep,
)

# Where the published sweep of Figure 3 comes from, near the end of its interval.
BETAS = {"periodic": 1.27, "quasi-periodic": 1.255, "chaotic": 1.266}


@pytest.fixture(scope="module")
def swept():
    """The published network at its betas, each from where the one at 1.28 ends."""
    model = AttentionMeanField.paper(1.28)
    start = model.simulate(120_000, discard=120_000).final_state
    return {beta: (model.with_parameters(beta=beta), start) for beta in (*BETAS.values(), 1.28)}


@pytest.mark.parametrize("kind", BETAS)
def test_attractors_of_the_paper(swept, kind):
    model, start = swept[BETAS[kind]]
    found = classify(model, start, steps=60_000, discard=30_000)
    assert found.kind == kind, found
    assert found.evidence in repr(found)
    largest = found.lyapunov.exponents[0]
    if kind == "periodic":
        assert found.period == 28
        assert largest == pytest.approx(-0.0477, abs=2e-4)
    elif kind == "chaotic":
        assert 0.06 < largest < 0.085
        assert found.lyapunov.kaplan_yorke_dimension > 1
    else:
        assert largest == pytest.approx(0, abs=2e-4)
        assert found.lyapunov.exponents[1] == pytest.approx(-0.0078, abs=3e-4)


def test_attractors_coexist():
    model = AttentionMeanField.paper(1.27)
    found = [classify(model, model.random_state(seed)) for seed in (0, 2)]
    assert [attractor.period for attractor in found] == [28, 56]
    for attractor in found:
        orbit = attractor.orbit
        rate = np.log(np.abs(orbit.multipliers[0])) / orbit.period
        assert attractor.lyapunov.exponents[0] == pytest.approx(rate, abs=3e-4)


def test_attractors_of_several_starts():
    model = AttentionMeanField.paper(1.27)
    found = attractors(model, 6)
    assert [(one.kind, one.period, count) for one, count in found] == [
        ("periodic", 28, 4),
        ("periodic", 56, 2),
    ]
    # The same cycle from another phase.
    orbit = found[0][0].orbit
    later = model.simulate(13, orbit.state).final_state
    assert len(attractors(model, [orbit.state, later])) == 1
    chaos = attractors(AttentionMeanField.paper(1.6), 3, steps=20_000, discard=5_000)
    assert [(one.kind, count) for one, count in chaos] == [("chaotic", 3)]


def test_a_cycle_is_one():
    model = AttentionMeanField.paper(1.24)
    orbit = periodic_orbit(model, model.simulate(3_000).final_state, 4)
    assert orbit.residual <= 1e-13
    assert orbit.stable
    again = model.simulate(8, orbit.state).attention
    np.testing.assert_allclose(again[:4], orbit.attention, atol=1e-15)
    np.testing.assert_allclose(again[4:], orbit.attention, atol=1e-13)
    # The Jacobian of four steps, one after the other.
    jacobian, state = np.eye(12), orbit.state
    for _ in range(4):
        jacobian = model.jacobian(state) @ jacobian
        state = model.step(state)
    values = np.sort(np.abs(np.linalg.eigvals(jacobian)))[::-1]
    np.testing.assert_allclose(np.abs(orbit.multipliers), values, atol=1e-10)


def test_unstable_cycles_are_found():
    # Between these two the cycle of four steps loses its stability to a torus around it.
    below, above = AttentionMeanField.paper(1.24), AttentionMeanField.paper(1.255)
    orbit = periodic_orbit(below, below.simulate(3_000).final_state, 4)
    beyond = periodic_orbit(above, orbit.state, 4)
    assert orbit.stable
    assert not beyond.stable
    pair = beyond.multipliers[:2]
    assert abs(pair[0].imag) > 0.01
    assert pair[0] == pytest.approx(np.conj(pair[1]))


def test_kinds_of_a_sweep(swept):
    model, start = swept[1.28]
    betas = np.array([1.27, 1.266, 1.255, 0.8])
    found = model.bifurcation(betas, 40_000, 20_000, lyapunov=True, start=start)
    assert found.kinds().tolist() == ["periodic", "chaotic", "quasi-periodic", "periodic"]
    assert found.periods().tolist() == [28, 0, 0, 4]
    without = model.bifurcation(betas[:1], 100, 50, start=start)
    with pytest.raises(ValueError, match="lyapunov"):
        without.kinds()


def test_without_positions_small_beta_ends_in_a_fixed_point():
    model = AttentionMeanField.paper(0.2).with_parameters(position_weight=0.0)
    found = classify(model, model.random_state(0))
    assert (found.kind, found.period) == ("fixed", 1)
    assert np.abs(found.orbit.attention).max() < 1e-12


def test_periods_must_fit_the_positions():
    model = AttentionMeanField.paper(1.27)
    state = model.simulate(100).final_state
    with pytest.raises(ValueError, match="period: got 6, need a multiple of 4"):
        periodic_orbit(model, state, 6)
    with pytest.raises(ValueError, match="no cycle"):
        periodic_orbit(AttentionMeanField.paper(2.0), state, 36)


def test_sections():
    t = np.arange(10_000) * 0.01
    circle = np.stack([np.sin(t), np.cos(t)], axis=1)
    points = series.poincare_section(circle, 0)
    assert len(points) == int(t[-1] / np.pi)
    assert np.abs(points[:, 0]).max() <= 1e-15
    np.testing.assert_allclose(np.abs(points[:, 1]), 1, atol=2e-5)
    near = series.poincare_section(circle, 0, tolerance=1e-3)
    assert np.abs(near[:, 0]).max() <= 1e-3 * 2
    assert 0 < len(near) < len(points)


def test_autocorrelation_against_its_definition():
    x = np.random.default_rng(0).normal(size=(300, 2)).cumsum(axis=0)
    found = series.autocorrelation(x, 50)
    c = x - x.mean(axis=0)
    expected = [(c[: 300 - k] * c[k:]).sum(axis=0) / (c**2).sum(axis=0) for k in range(51)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(series.autocorrelation(np.ones((5, 1)), 2)).all()


@pytest.mark.parametrize("count", [512, 513])
def test_power_of_a_sine(count):
    cycles = 37
    x = 3 * np.sin(2 * np.pi * cycles * np.arange(count) / count + 0.3)
    frequency, power = series.power_spectrum(x[:, None])
    assert power.sum() == pytest.approx(4.5, rel=1e-9)
    assert frequency[power[:, 0].argmax()] == pytest.approx(cycles / count)
    assert frequency[-1] == pytest.approx(0.5 if count % 2 == 0 else 256 / 513)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: series.poincare_section(np.ones(3), 0), "values: got shape"),
        (lambda: series.poincare_section(np.ones((3, 2)), 2), "feature: got 2"),
        (lambda: series.poincare_section(np.ones((3, 2)), 0, tolerance=0), "tolerance: got 0"),
        (lambda: series.autocorrelation(np.ones((3, 2)), 3), "max_lag: got 3"),
        (lambda: series.power_spectrum([[np.nan]]), "values: got nan"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_sweeps_are_kept_and_resumed(tmp_path):
    model, betas = AttentionMeanField.paper(1.0), np.linspace(0.5, 2, 11)
    options = {"lyapunov": True, "count": 2, "shard": 4}
    whole = model.bifurcation(betas, 400, 200, lyapunov=True, count=2)

    def stop(done, total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(model, betas, 400, 200, tmp_path, progress=stop, **options)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    calls = []
    found = sweep(
        model, betas, 400, 200, tmp_path, progress=lambda *call: calls.append(call), **options
    )
    assert calls == [(4, 11), (8, 11), (11, 11)]
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert len(found) == 3
    assert (np.concatenate([shard.values for shard in found]) == whole.values).all()
    assert (found.exponents() == whole.exponents).all()
    assert found.kinds().tolist() == whole.kinds().tolist()
    last = list(found)[-1].final_states[-1]
    assert (last.attention == whole.final_states[-1].attention).all()
    with pytest.raises(ValueError, match="belongs to another sweep"):
        sweep(model, betas, 500, 200, tmp_path, **options)
    kept[0].write_bytes(b"not a shard")
    with pytest.raises(ValueError, match="is not a shard"):
        sweep(model, betas, 400, 200, tmp_path, **options)
