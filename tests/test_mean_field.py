"""The mean field of self-attention: against the plain equations and a run of the published code."""

from pathlib import Path

import naive_attention
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfix import mean_field
from hopfix.mean_field import AttentionMeanField, State

REFERENCE = np.load(Path(__file__).parent / "data" / "mean_field_periodic.npz")
BITS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
NAMES = [("att", "attention"), ("mo", "output"), ("mv", "value"), ("mq", "query"), ("mk", "key")]


def reference_model(**options):
    weights = REFERENCE["weights"]
    return AttentionMeanField(
        *weights[:, :, :3],
        beta=float(REFERENCE["beta"]),
        gamma=float(REFERENCE["gamma"]),
        context=int(REFERENCE["L"]),
        position_weight=float(REFERENCE["eps"]),
        positions=list(weights[:, :, 3:]),
        **options,
    )


def reference_state(which):
    position = int(np.flatnonzero((REFERENCE[f"pe_window{which}"][0] == BITS).all(axis=1))[0])
    return State(REFERENCE[f"att_window{which}"], position)


def windows():
    """Every state of the reference's first steps, from its attentions alone."""
    attention = np.concatenate([REFERENCE["att_window0"][::-1], REFERENCE["first_att"]])
    first = reference_state("0").position
    return [State(attention[t : t + 4][::-1], (first + t) % 4) for t in range(len(attention) - 4)]


def test_one_step_of_the_published_code():
    model = reference_model()
    for t, state in enumerate(windows()):
        found = model.simulate(1, state)
        for theirs, ours in [*NAMES, ("mo_se", "semantic_output")]:
            error = np.abs(getattr(found, ours)[0] - REFERENCE[f"first_{theirs}"][t])
            assert error.max() <= 1e-14, (t, ours)


def test_late_restart_of_the_published_code():
    found = reference_model().simulate(200, reference_state("_late"))
    for theirs, ours in [*NAMES, ("mo_se", "semantic_output")]:
        assert np.abs(getattr(found, ours) - REFERENCE[f"late_{theirs}"]).max() <= 1e-11


def test_jacobian_of_the_published_code():
    jacobian = reference_model().jacobian(reference_state("_late"))
    np.testing.assert_allclose(jacobian, REFERENCE["jacobian_late"], atol=1e-14)


def test_exponents_of_the_published_run():
    found = reference_model().lyapunov(60_000, reference_state("_late"), discard=0)
    # The reference averages 1,000 steps of a cycle of 28, from unturned tangents.
    np.testing.assert_allclose(found.exponents, REFERENCE["lyapunov"], atol=6e-3)
    assert found.exponents[0] == pytest.approx(-0.0477, abs=1e-4)
    assert (np.diff(found.exponents) <= 0).all()
    assert found.kaplan_yorke_dimension == 0


def test_paper_is_the_reference_up_to_its_weights():
    model = AttentionMeanField.paper(1.27)
    assert (model.features, model.context, model.gamma) == (3, 4, 220.0)
    state = model.random_state(0)
    assert (model.simulate(50, state).output == reference_model().simulate(50, state).output).all()
    # Its softmax coefficient, as printed.
    assert model.gamma / np.sqrt(3) == pytest.approx(127.02, abs=5e-3)


def random_model(seed, features, classes, context, units=3, real=False, **options):
    rng = np.random.default_rng(seed)
    draw = rng.normal if real else lambda size: rng.choice([-1.0, 1.0], size)
    matrices = [draw(size=(features, classes)) for _ in range(4)]
    positions = [draw(size=(features, units)) for _ in range(4)]
    shares = rng.dirichlet(np.ones(classes))
    parameters = {"beta": 1.7, "gamma": 9.0, "context": context} | options
    model = AttentionMeanField(
        *matrices, position_weight=0.1, positions=positions, class_weights=shares, **parameters
    )
    return model, matrices, positions, shares


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(("features", "classes", "context"), [(1, 1, 1), (3, 40, 5), (8, 9, 8)])
def test_against_the_plain_equations(features, classes, context, real):
    model, matrices, positions, shares = random_model(0, features, classes, context, real=real)
    token = np.random.default_rng(1).choice([-1.0, 1.0], classes)
    expected = naive_attention.simulate(
        matrices,
        shares=shares,
        beta=1.7,
        gamma=9.0,
        context=context,
        weight=0.1,
        positions=positions,
        token=token,
        steps=12,
    )
    found = model.simulate(12, model.first_token(token))
    got = np.concatenate(
        [found.attention, found.output, found.value, found.query, found.key, found.semantic_output],
        axis=1,
    )
    np.testing.assert_allclose(got, expected, atol=1e-12, rtol=1e-12)


def test_columns_that_act_alike_are_merged():
    model, matrices, positions, shares = random_model(2, 3, 60, 4)
    assert "12 classes" not in repr(model)
    assert model._system.classes < 60
    flipped = [np.concatenate([w, -w], axis=1) for w in matrices]
    twice = AttentionMeanField(
        *flipped,
        beta=1.7,
        gamma=9.0,
        context=4,
        position_weight=0.1,
        positions=positions,
        class_weights=np.concatenate([shares, shares]) / 2,
    )
    assert twice._system.classes == model._system.classes
    token = np.random.default_rng(3).choice([-1.0, 1.0], 60)
    a = model.simulate(9, model.first_token(token))
    b = twice.simulate(9, twice.first_token(np.concatenate([token, -token])))
    np.testing.assert_allclose(a.attention, b.attention, atol=1e-14)


@pytest.mark.parametrize("features", [1, 2, 3, 4, 5])
def test_correlations_say_all(features):
    model, matrices, positions, shares = random_model(4, features, 50, 4)
    from itertools import combinations

    tables = []
    for w in matrices:
        rows = [
            (w * matrices[0][list(s)].prod(axis=0)) @ shares
            for size in range(1, features + 1, 2)
            for s in combinations(range(features), size)
        ]
        tables.append(np.array(rows))
    same = AttentionMeanField.from_correlations(
        *tables, beta=1.7, gamma=9.0, context=4, position_weight=0.1, positions=positions
    )
    start = model.random_state(0)
    a, b = model.simulate(5, start), same.simulate(5, start)
    np.testing.assert_allclose(a.attention, b.attention, atol=1e-13)
    np.testing.assert_allclose(a.output, b.output, atol=1e-13)


def test_correlations_of_the_reference():
    weights = REFERENCE["weights"]
    model = AttentionMeanField.from_correlations(
        *REFERENCE["corr"],
        beta=1.27,
        gamma=220.0,
        context=4,
        position_weight=0.02,
        positions=list(weights[:, :, 3:]),
    )
    found = model.simulate(200, reference_state("_late"))
    assert np.abs(found.attention - REFERENCE["late_att"]).max() <= 1e-11


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6), st.integers(1, 20))
def test_continuation_is_bitwise(seed, features, context, cut):
    model, *_ = random_model(seed, features, 7, context)
    whole = model.simulate(30)
    first = model.simulate(cut)
    second = model.simulate(30 - cut, first.final_state)
    together = np.concatenate([first.attention, second.attention])
    assert (together == whole.attention).all()
    assert (second.final_state.attention == whole.final_state.attention).all()
    assert second.final_state.position == whole.final_state.position
    stepped = model.step(first.final_state)
    assert (stepped.attention == model.simulate(1, first.final_state).final_state.attention).all()


def test_discarded_steps_are_made():
    model = AttentionMeanField.paper(1.3)
    whole, late = model.simulate(700), model.simulate(700, discard=650)
    assert (late.attention == whole.attention[650:]).all()
    assert len(model.simulate(5, discard=5).attention) == 0


def test_batches_and_threads_change_no_bit():
    betas = np.linspace(0.5, 3, 37)
    answers = []
    for threads in (1, 2):
        model = AttentionMeanField.paper(1.0, num_threads=threads)
        start = model.random_state(5)
        answers.append(model.bifurcation(betas, 300, 200, lyapunov=True, start=start))
    assert (answers[0].values == answers[1].values).all()
    assert (answers[0].exponents == answers[1].exponents).all()
    for i in (0, 17, 36):
        alone = AttentionMeanField.paper(betas[i]).simulate(300, start, discard=200)
        assert (alone.semantic_output == answers[0].values[i]).all()
        assert (alone.final_state.attention == answers[0].final_states[i].attention).all()


def test_published_sweep_starts_where_the_largest_beta_ends():
    model = AttentionMeanField.paper(1.0)
    betas = np.array([1.0, 2.0, 1.5])
    found = model.bifurcation(betas, 500, 400)
    start = model.with_parameters(beta=2.0).simulate(500).final_state
    for beta, values in zip(betas, found.values, strict=True):
        one = model.with_parameters(beta=beta).simulate(500, start, discard=400)
        assert (one.semantic_output == values).all()


def test_sweeps_of_gamma_and_position_weight():
    model = AttentionMeanField.paper(1.3)
    start = model.random_state(1)
    found = model.bifurcation(
        [1.3, 1.4], 50, 0, start=start, gammas=[100.0, 220.0], position_weights=[0.0, 0.5]
    )
    one = model.with_parameters(beta=1.4, position_weight=0.5).simulate(50, start)
    assert (found.values[1] == one.semantic_output).all()
    other = model.with_parameters(gamma=100.0, position_weight=0.0).simulate(50, start)
    assert (found.values[0] == other.semantic_output).all()


@pytest.mark.parametrize(("features", "context"), [(1, 1), (2, 3), (4, 6)])
def test_jacobian_against_differences(features, context):
    model, *_ = random_model(6, features, 9, context, units=3)
    state = State(model.random_state(2).attention, context // 2)
    jacobian = model.jacobian(state)
    size, step = features * context, 1e-5
    numeric = np.empty((size, size))
    for k in range(size):
        ends = []
        for sign in (1, -1):
            window = state.attention.copy()
            window.flat[k] += sign * step
            ends.append(model.step(State(window, state.position)).attention.ravel())
        numeric[:, k] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(jacobian, numeric, atol=1e-8 * max(1, np.abs(jacobian).max()))


def test_sensitivities_against_differences():
    model, *_ = random_model(7, 3, 9, 5)
    state = State(model.random_state(3).attention, 2)
    found = model.sensitivities(state)
    for name, value in (("beta", 1.7), ("gamma", 9.0), ("position_weight", 0.1)):
        step = 1e-6 * value
        ends = [
            model.with_parameters(**{name: value + sign * step}).step(state).attention[0]
            for sign in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(getattr(found, name), numeric, atol=1e-8)


def test_exponents_against_a_product_of_jacobians():
    model, *_ = random_model(8, 2, 9, 3, beta=2.5, gamma=30.0)
    steps, discard = 2_000, 200
    found = model.lyapunov(steps, discard=discard, count=4)
    state = model.simulate(discard).final_state
    q, logs = np.eye(6), []
    for _ in range(steps - discard):
        q, r = np.linalg.qr(model.jacobian(state) @ q)
        logs.append(np.log(np.abs(np.diag(r))))
        state = model.step(state)
    kept = np.array(logs[(steps - discard) // 10 :]).mean(axis=0)
    np.testing.assert_allclose(found.exponents, kept[:4], atol=2e-3)
    assert (state.attention == found.final_state.attention).all()
    assert found.error.shape == (4,)


def test_exponents_of_a_fixed_point_are_its_eigenvalues():
    model, *_ = random_model(9, 2, 9, 3, beta=0.4)
    model = model.with_parameters(position_weight=0.0)
    found = model.lyapunov(4_000, discard=1_000)
    state = found.final_state
    # The origin attracts: its Jacobian has eigenvalues, the others are zero.
    values = np.sort(np.abs(np.linalg.eigvals(model.jacobian(state))))[::-1]
    finite = values > 1e-8
    np.testing.assert_allclose(found.exponents[: finite.sum()], np.log(values[finite]), atol=5e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.simulate(0), ValueError, "steps: got 0"),
        (lambda m: m.simulate(5, discard=6), ValueError, "discard: got 6"),
        (lambda m: m.simulate(5, [1]), TypeError, "state: got list"),
        (lambda m: m.simulate(5, State(np.ones((4, 2)))), ValueError, "state.attention: got shape"),
        (lambda m: m.simulate(5, State(np.ones((3, 3)))), ValueError, "state.token: needed"),
        (lambda m: m.simulate(5, State(np.ones((4, 3)), 4)), ValueError, "state.position: got 4"),
        (lambda m: m.simulate(5, State(np.full((4, 3), np.nan))), ValueError, "state.attention"),
        (lambda m: m.jacobian(m.first_token()), ValueError, "full window"),
        (lambda m: m.first_token([1.0]), ValueError, "token: got shape"),
        (lambda m: m.first_token([2.0, 0, 0]), ValueError, "token: got 0 to 2, need"),
        (lambda m: m.lyapunov(50), ValueError, "steps: got 50, need at least"),
        (lambda m: m.lyapunov(5000, count=13), ValueError, "count: got 13"),
        (lambda m: m.bifurcation([], 5, 1), ValueError, "betas: got shape"),
        (lambda m: m.bifurcation([0.0], 5, 1), ValueError, "betas: got 0"),
        (lambda m: m.bifurcation([1.0], 5, 1, gammas=[1, 2]), ValueError, "gammas: got shape"),
        (
            lambda m: m.bifurcation([1.0], 5, 1, position_weights=[2.0]),
            ValueError,
            "got 2 to 2, need 0 to 1",
        ),
        (lambda m: m.with_parameters(beta=-1), ValueError, "beta: got -1"),
        (lambda m: m.simulate(5, progress=3), TypeError, "progress: got int"),
        (lambda m: m.random_state("x"), TypeError, "seed: got str"),
        (lambda m: m.bifurcation([1.0], 500, 1, lyapunov="x"), TypeError, "lyapunov: got str"),
        (lambda _: mean_field.classify(3), TypeError, "model: got int, need hopfix.mean_field.Att"),
        (lambda _: mean_field.follow_orbit(3, 3, 2.0), TypeError, "model: got int"),
        (lambda m: mean_field.follow_orbit(m, 3, 2.0), TypeError, "orbit: got int"),
        (lambda m: mean_field.certify_orbit(m, 3), TypeError, "orbit: got int, need"),
        (lambda m: m.lyapunov(500, progress="x"), TypeError, "progress: got str"),
        (lambda m: m.bifurcation([1.0], 5, 1, progress=3), TypeError, "progress: got int"),
        (lambda m: m.network(10).simulate(5, progress=3), TypeError, "progress: got int"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(AttentionMeanField.paper(1.3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": 0}, "context: got 0"),
        ({"beta": float("nan")}, "beta: got nan"),
        ({"gamma": -1.0}, "gamma: got -1"),
        ({"position_weight": 0.5, "positions": None}, "positions: needed"),
        ({"position_weight": 1.5}, "position_weight: got 1.5"),
        ({"positions": 3}, "positions: got int, need four"),
        ({"context": 9}, "positions: got shape"),
        ({"class_weights": [0.5, 0.6]}, "class_weights: got sum .*, need"),
        ({"class_weights": [1.0]}, "class_weights: got shape"),
        ({"value": np.ones((2, 3))}, "value: got shape"),
        ({"key": np.full((3, 2), np.inf)}, "key: got inf"),
    ],
)
def test_bad_networks_are_refused(change, message):
    options = {
        "output": np.ones((3, 2)),
        "value": np.ones((3, 2)),
        "query": np.ones((3, 2)),
        "key": np.ones((3, 2)),
        "beta": 1.0,
        "gamma": 1.0,
        "context": 4,
        "position_weight": 0.1,
        "positions": [np.ones((3, 2))] * 4,
    } | change
    with pytest.raises((TypeError, ValueError), match=message):
        AttentionMeanField(**options)


def test_progress_reaches_its_end():
    calls = []
    AttentionMeanField.paper(1.3, num_threads=1).simulate(
        10_000, progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (10_000, 10_000)
    assert calls == sorted(calls)
