"""Separation kernels: losses, gradients, descents and Theorem 2.1, against naive twins."""

import os
import signal
import threading
import time

import kernel as naive
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_threads import run_python

import hopfix
from hopfix.kernel import SeparationKernel, separation_gradient, separation_loss

KINDS = ["average", "maximum", "layer"]
# M, d, D on both sides of one panel of every level (4 to 32 lanes) and of a chunk of depth (256).
SHAPES = [(2, 3, 1), (3, 1, 2), (17, 9, 30), (40, 70, 33), (60, 300, 64), (80, 20, 280)]

every_kind = pytest.mark.parametrize("kind", KINDS)
every_normalization = pytest.mark.parametrize("normalize", [True, False], ids=["unit", "free"])


def problem(M, d, D, normalize=True, seed=0):
    rng = np.random.default_rng(seed)
    scale = 1.0 if normalize else 0.7 / np.sqrt(d * D)
    return rng.normal(size=(M, d)), scale * rng.normal(size=(D, d))


# ------------------------------------------------------------------------- losses and gradients


@every_kind
@every_normalization
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_losses_and_gradients_are_those_of_the_definition(shape, kind, normalize):
    x, w = problem(*shape, normalize)
    for t in (0.3, 2.0, 30.0):
        want = naive.loss(x, w, t, kind, normalize)
        assert separation_loss(x, w, t, kind, normalize) == pytest.approx(
            want, rel=1e-12, abs=1e-13
        )
        want = naive.gradient(x, w, t, kind, normalize)
        got = separation_gradient(x, w, t, kind, normalize)
        assert got.shape == w.shape
        assert np.abs(got - want).max() <= 1e-10 * max(np.abs(want).max(), 1e-3)


@every_kind
@every_normalization
def test_gradients_are_the_slopes_of_the_loss_in_fifty_digits(kind, normalize):
    x, w = problem(5, 3, 2, normalize)
    t, h = 2.0, mpmath.mpf(10) ** -15

    def exact(matrix):
        phi = [[mpmath.fdot(row, map(mpmath.mpf, xi)) for row in matrix] for xi in x.tolist()]
        if normalize:
            phi = [[a / mpmath.sqrt(mpmath.fdot(f, f)) for a in f] for f in phi]
        pairs = [(phi[i], phi[j]) for i in range(len(x)) for j in range(i + 1, len(x))]
        if kind == "layer":
            e = [2 * t * (mpmath.fdot(a, b) ** 2 - 1) for a, b in pairs]
        else:
            e = [
                -t * mpmath.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for a, b in pairs
            ]
        return max(e) if kind == "maximum" else mpmath.log(mpmath.fsum(map(mpmath.exp, e)) / len(e))

    with mpmath.workdps(50):
        base = [[mpmath.mpf(a) for a in row] for row in w.tolist()]
        assert separation_loss(x, w, t, kind, normalize) == pytest.approx(
            float(exact(base)), rel=1e-13
        )
        got = separation_gradient(x, w, t, kind, normalize)
        for place in np.ndindex(w.shape):
            ends = []
            for sign in (1, -1):
                moved = [row[:] for row in base]
                moved[place[0]][place[1]] += sign * h
                ends.append(exact(moved))
            assert got[place] == pytest.approx(float((ends[0] - ends[1]) / (2 * h)), rel=1e-10)


@every_kind
@every_normalization
def test_float32_is_accurate_to_its_precision(kind, normalize):
    x, w = (a.astype(np.float32) for a in problem(97, 60, 64, normalize))
    want = naive.loss(x, w, 2.0, kind, normalize)
    assert separation_loss(x, w, 2.0, kind, normalize) == pytest.approx(want, rel=3e-6)
    got = separation_gradient(x, w, 2.0, kind, normalize)
    assert got.dtype == np.float32
    want = naive.gradient(x, w, 2.0, kind, normalize)
    assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


def test_weights_of_far_pairs_do_not_underflow_together():
    # exp(-t r) is below the range of numbers for every pair.
    x, w = 100 * np.eye(4), np.eye(4)
    assert separation_loss(x, w, 2.0, normalize=False) == pytest.approx(-4e4, rel=1e-14)
    got = separation_gradient(x, w, 2.0, normalize=False)
    np.testing.assert_allclose(got, naive.gradient(x, w, 2.0, normalize=False), rtol=1e-12)


def test_the_maximum_has_the_subgradient_of_its_first_closest_pair():
    # All pairs of a regular simplex are equally far apart.
    x, w = np.eye(5), np.eye(5)
    want = naive.gradient(x, w, 2.0, "maximum")
    got = separation_gradient(x, w, 2.0, "maximum")
    np.testing.assert_allclose(got, want, atol=1e-15)
    assert set(np.nonzero(got)[1]) == {0, 1}


@every_normalization
def test_the_loss_of_unit_features_does_not_depend_on_scale(normalize):
    x, w = problem(30, 10, 12)
    losses = [separation_loss(x, s * w, normalize=normalize) for s in (1e-6, 1.0, 1e6)]
    assert (np.ptp(losses) < 1e-12) == normalize


# ------------------------------------------------------------------------------------- descents


@every_kind
@pytest.mark.parametrize("shape", [(20, 30, 30), (60, 12, 12), (10, 40, 60), (90, 20, 33)], ids=str)
def test_faithful_training_is_the_published_one(shape, kind):
    M, d, D = shape
    x = np.random.default_rng(1).random((M, d))
    start = np.random.default_rng(5).standard_normal((D, d))
    want, losses = naive.published_training(x, start, 2.0, kind, 15)
    got = SeparationKernel(D, kind, faithful=True, steps=15, seed=5).fit(x)
    np.testing.assert_allclose(got.loss_history, losses, rtol=1e-9)
    np.testing.assert_allclose(got.matrix, want, rtol=1e-8, atol=1e-9)
    assert got.convergence == "steps"
    assert got.loss == pytest.approx(losses[-1], rel=1e-9)


def test_the_published_step_is_frozen_after_a_few_steps():
    x = np.random.default_rng(0).random((20, 10))
    history = SeparationKernel(faithful=True, steps=60, seed=0).fit(x).loss_history
    assert np.ptp(history[20:]) < 1e-9
    assert history[0] - history[20] < 0.5 * (
        history[0] - SeparationKernel(steps=20, seed=0).fit(x).loss_history[-1]
    )


def test_a_learning_rate_asks_for_plain_gradient_descent():
    x, w = problem(15, 6, 4)
    got = SeparationKernel(learning_rate=0.3, steps=7, normalize_rows=False).fit(x, start=w)
    for _ in range(7):
        w = w - 0.3 * naive.gradient(x, w)
    np.testing.assert_allclose(got.matrix, w, rtol=1e-11)


@pytest.mark.parametrize(("M", "d", "D"), [(10, 60, 60), (10, 60, 90)])
def test_the_default_reaches_the_least_losses_there_are(M, d, D):
    # Independent patterns can be sent to a regular simplex, or to an orthonormal system.
    x = np.random.default_rng(0).random((M, d))
    simplex = -4.0 * M / (M - 1)
    for kind, least, slack in (
        ("average", simplex, 1e-9),
        ("layer", -4.0, 1e-9),
        ("maximum", simplex, 0.1),
    ):
        found = SeparationKernel(D, kind, steps=500, normalize_rows=False, seed=0).fit(x)
        assert least - 1e-12 <= found.loss <= least + slack


@every_kind
@pytest.mark.parametrize("shape", [(25, 40, 40), (25, 9, 12), (80, 20, 33)], ids=str)
def test_history_and_matrix_belong_together(shape, kind, dtype):
    M, d, D = shape
    x = np.random.default_rng(0).normal(size=(M, d)).astype(dtype)
    found = SeparationKernel(D, kind, steps=30, seed=3, normalize_rows=False, tol=0).fit(x)
    assert found.matrix.dtype == dtype
    assert found.matrix.shape == (D, d)
    precision = 1e-11 if dtype == np.float64 else 3e-5
    last = naive.loss(x, found.matrix, 2.0, kind)
    assert found.loss_history[-1] == pytest.approx(last, rel=precision)
    start = np.random.default_rng(3).standard_normal((D, d), dtype=dtype)
    assert found.loss_history[0] == pytest.approx(naive.loss(x, start, 2.0, kind), rel=1e-4)
    assert found.loss_history[-1] < found.loss_history[0]


def test_rows_are_normalised_in_the_end():
    x = np.random.default_rng(0).normal(size=(12, 6))
    ours = SeparationKernel(steps=20, seed=0).fit(x)
    raw = SeparationKernel(steps=20, seed=0, normalize_rows=False).fit(x)
    rows = raw.matrix / np.linalg.norm(raw.matrix, axis=1, keepdims=True)
    np.testing.assert_allclose(ours.matrix, rows, rtol=1e-14)
    assert ours.loss == pytest.approx(naive.loss(x, ours.matrix), rel=1e-12)
    assert raw.loss == pytest.approx(raw.loss_history[-1], rel=1e-12)


@every_kind
@pytest.mark.parametrize("rate", [None, 0.2])
def test_batches_take_every_pattern_in_turn(kind, rate):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 8))
    kernel = SeparationKernel(
        8, kind, steps=6, seed=2, batch_size=13, learning_rate=rate, normalize_rows=False
    ).fit(x)
    assert kernel.loss_history.shape == (6,)
    rng = np.random.default_rng(2)
    w = rng.standard_normal((8, 8))
    batches = np.concatenate([rng.permutation(40)[:39] for _ in range(2)]).reshape(6, 13)
    assert kernel.loss_history[0] == pytest.approx(naive.loss(x[batches[0]], w, kind=kind))
    if rate is None:
        assert naive.loss(x, kernel.matrix, kind=kind) < naive.loss(x, w, kind=kind)
        return
    for batch in batches:
        w = w - rate * naive.gradient(x[batch], w, kind=kind)
    np.testing.assert_allclose(kernel.matrix, w, rtol=1e-10)


@every_kind
def test_without_normalisation_there_is_a_minimum_for_layers_only(kind):
    x = np.random.default_rng(0).normal(size=(10, 4))
    kernel = SeparationKernel(4, kind, seed=0, steps=3000, normalize=False, normalize_rows=False)
    if kind == "layer":
        assert kernel.fit(x).loss == pytest.approx(-4.0, abs=1e-3)
        return
    kernel.learning_rate = 1.0
    with pytest.warns(RuntimeWarning, match="without normalisation it has no minimum"):
        kernel.fit(x)
    assert kernel.convergence == "diverged"
    assert np.isfinite(kernel.matrix).all()
    assert np.isfinite(kernel.loss_history).all()
    assert kernel.loss_history[-1] < -1e6


# ------------------------------------------------------------------------------- special patterns


@every_kind
def test_constant_patterns_leave_nothing_to_learn(kind):
    found = SeparationKernel(kind=kind, seed=0).fit(np.ones((5, 3)))
    assert found.convergence == "gradient"
    np.testing.assert_allclose(found.loss_history, [0], atol=1e-12)


def test_equal_patterns_make_the_maximum_zero_for_every_matrix():
    x = np.random.default_rng(0).normal(size=(5, 3))
    x[3] = 2 * x[1]
    found = SeparationKernel(kind="maximum", seed=0, faithful=True).fit(x)
    assert found.convergence == "gradient"
    np.testing.assert_allclose(found.loss_history, [0], atol=1e-12)
    average = SeparationKernel(seed=0, normalize_rows=False).fit(x)
    assert average.loss < average.loss_history[0]
    assert average.loss >= np.log(1 / 10)  # one of ten pairs stays at distance 0


@pytest.mark.parametrize("kind", ["average", "layer"])
def test_patterns_of_low_rank_and_more_features_than_needed(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2)) @ rng.normal(size=(2, 9))
    losses = [
        SeparationKernel(D, kind, seed=0, steps=400, normalize_rows=False).fit(x).loss
        for D in (2, 9, 40)
    ]
    assert np.ptp(losses) < 1e-3
    assert SeparationKernel(1, kind, seed=0).fit(x).loss > losses[0]


@pytest.mark.parametrize("kind", ["average", "maximum"])
@pytest.mark.parametrize("rate", [None, 1e-3, 1e-1, 1.0])
@pytest.mark.parametrize("batch", [None, 8])
def test_losses_without_a_minimum_are_told(kind, rate, batch):
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(20, 10))
        kernel = SeparationKernel(
            kind=kind, steps=50, seed=seed, normalize=False, learning_rate=rate, batch_size=batch
        )
        with pytest.warns(RuntimeWarning, match="normalisation"):
            kernel.fit(x)
        assert kernel.loss_history.min() < kernel.loss_history[0] < 0


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shape", [(20, 10, 15), (60, 40, 40), (100, 30, 5)], ids=str)
def test_average_loss_against_autograd(shape, normalize):
    torch = pytest.importorskip("torch")
    M, d, D = shape
    rng = np.random.default_rng(M)
    x, w = rng.normal(size=(M, d)), rng.normal(size=(D, d)) / d
    matrix = torch.tensor(w, requires_grad=True)
    features = torch.tensor(x) @ matrix.T
    if normalize:
        features = torch.nn.functional.normalize(features, dim=-1)
    loss = torch.pdist(features).pow(2).mul(-2).exp().mean().log()
    loss.backward()
    assert separation_loss(x, w, normalize=normalize) == pytest.approx(loss.item(), rel=1e-13)
    gradient = matrix.grad.numpy()
    np.testing.assert_allclose(
        separation_gradient(x, w, normalize=normalize),
        gradient,
        rtol=0,
        atol=1e-10 * np.abs(gradient).max(),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_with_a_learned_similarity(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 5)).astype(dtype)
    kernel = SeparationKernel(6, seed=0).fit(x)
    net = hopfix.Hopfield(x, 2.0, similarity=kernel)
    states = rng.normal(size=(7, 5)).astype(dtype)
    wide, w = x.astype(float), kernel.matrix.astype(float)

    def twin(xi):
        z = 2.0 * (xi @ w.T) @ (wide @ w.T).T
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True) @ wide

    error = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(net.update(states), twin(states.astype(float)), atol=error)
    energies = [net.energy(states)]
    for _ in range(20):
        states = net.update(states)
        energies.append(net.energy(states))
    assert np.diff(np.array(energies, float), axis=0).max() <= error
    points = net.fixed_points()
    assert points.completeness == "proved"
    assert points.certified.all()
    found = points.states.astype(float)
    np.testing.assert_allclose(twin(found), found, atol=10 * error)
    image = hopfix.Hopfield(kernel.transform(x), 2.0).fixed_points()
    assert image.counts == points.counts


# ------------------------------------------------------------------------- the rest of the class


# Without normalisation losses fall without end, and are said to.
@pytest.mark.filterwarnings("ignore:.*no minimum without normalisation:RuntimeWarning")
@every_kind
def test_the_same_bits_for_every_thread_count(kind, dtype):
    x = np.random.default_rng(0).normal(size=(150, 90)).astype(dtype)

    def fit(threads, **options):
        kernel = SeparationKernel(200, kind, steps=6, seed=0, num_threads=threads, **options)
        return kernel.fit(x)

    for options in ({}, {"faithful": True}, {"batch_size": 64}, {"normalize": False}):
        one = fit(1, **options)
        for threads in (2, 3, 8):
            many = fit(threads, **options)
            np.testing.assert_array_equal(many.matrix, one.matrix)
            np.testing.assert_array_equal(many.loss_history, one.loss_history)
            np.testing.assert_array_equal(many.transform(x), one.transform(x))
    w = fit(1).matrix
    gradients = [separation_gradient(x, w, kind=kind, num_threads=n) for n in (1, 2, 3)]
    np.testing.assert_array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[0], gradients[2])


LEVEL_SCRIPT = """
import sys, numpy as np
from hopfix.kernel import SeparationKernel, separation_gradient, separation_loss
rng = np.random.default_rng(0)
for M, d, D in [(3, 2, 5), (37, 21, 19), (70, 33, 100)]:
    x, w = rng.normal(size=(M, d)), rng.normal(size=(D, d))
    for kind in ("average", "maximum", "layer"):
        print(separation_loss(x, w, kind=kind), np.abs(separation_gradient(x, w, kind=kind)).sum())
        print(SeparationKernel(D, kind, steps=4, seed=0).fit(x).loss)
        x32, w32 = x.astype("f"), w.astype("f")
        print(round(separation_loss(x32, w32, kind=kind), 4))
"""


def test_every_level_gives_the_same_numbers():
    levels = hopfix.get_config()["isa_supported"]
    answers = [run_python(LEVEL_SCRIPT, HOPFIX_ISA=level) for level in levels]
    for answer in answers:
        assert answer.returncode == 0, answer.stderr
    numbers = [np.array(answer.stdout.split(), float) for answer in answers]
    for other in numbers[1:]:
        np.testing.assert_allclose(other, numbers[0], rtol=1e-4)
        # float64 throughout: to rounding
        exact = np.arange(len(other)) % 4 != 3
        np.testing.assert_allclose(other[exact], numbers[0][exact], rtol=1e-9)


def test_transform_maps_states_of_any_shape(dtype):
    x = np.random.default_rng(0).normal(size=(9, 5)).astype(dtype)
    kernel = SeparationKernel(7, steps=3, seed=0).fit(x)
    np.testing.assert_allclose(kernel.transform(x), x @ kernel.matrix.T, rtol=1e-4, atol=1e-5)
    assert kernel.transform(x).dtype == dtype
    np.testing.assert_array_equal(kernel.transform(x[3]), kernel.transform(x)[3])
    assert kernel.transform(x.reshape(3, 3, 5)).shape == (3, 3, 7)


def test_save_and_load_keep_everything(tmp_path, dtype):
    x = np.random.default_rng(0).normal(size=(9, 5)).astype(dtype)
    path = tmp_path / "kernel.npz"
    for options in ({}, {"faithful": True, "kind": "maximum", "learning_rate": 3.0, "t": 1.5}):
        kernel = SeparationKernel(6, steps=5, seed=4, **options).fit(x)
        kernel.save(path)
        again = SeparationKernel.load(path)
        np.testing.assert_array_equal(again.matrix, kernel.matrix)
        np.testing.assert_array_equal(again.loss_history, kernel.loss_history)
        assert repr(again) == repr(kernel)
        np.testing.assert_array_equal(again.fit(x).matrix, kernel.matrix)
    np.savez(path, matrix=np.eye(3))
    with pytest.raises(ValueError, match=r"^path: "):
        SeparationKernel.load(path)


def test_seeds_make_results_repeatable():
    x = np.random.default_rng(0).normal(size=(9, 5))
    a, b, c = (SeparationKernel(steps=3, seed=s).fit(x).matrix for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3


def test_no_steps_return_the_start():
    x, w = problem(9, 5, 4)
    found = SeparationKernel(steps=0, normalize_rows=False).fit(x, start=w)
    np.testing.assert_array_equal(found.matrix, w)
    np.testing.assert_allclose(found.loss_history, [naive.loss(x, w)], rtol=1e-13)
    assert found.convergence == "steps"


def test_progress_counts_steps_and_time_ends_them():
    x = np.random.default_rng(0).normal(size=(20, 5))
    seen = []
    SeparationKernel(steps=4, seed=0).fit(x, progress=lambda *a: seen.append(a))
    assert seen == [(k, 4) for k in range(5)]
    found = SeparationKernel(steps=10**6, seed=0, tol=0, learning_rate=1e-3).fit(x, time_limit=0.2)
    assert found.convergence == "time_limit"
    assert 1 < len(found.loss_history) < 10**6
    assert found.loss < found.loss_history[0]


def test_ctrl_c_keeps_what_has_been_learned():
    x = np.random.default_rng(0).normal(size=(200, 50))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    kernel = SeparationKernel(steps=10**6, seed=0, tol=0, learning_rate=1e-3)
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        kernel.fit(x)
    assert time.monotonic() - began < 3
    partial = caught.value.partial
    assert partial.convergence == "interrupted"
    rows = partial.matrix
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    assert partial.loss_history[-1] < partial.loss_history[0]


# --------------------------------------------------------------------- Theorem 2.1, kernel space


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 7),
    st.floats(0.05, 30.0),
    st.booleans(),
)
def test_the_kernel_energy_never_increases(seed, M, d, D, beta, deficient):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(M, d)), rng.normal(size=(D, d))
    if deficient:
        w[:, rng.integers(d)] = 0
        w[rng.integers(D)] = w[rng.integers(D)]
    state = 3 * rng.normal(size=(20, d))
    energy = naive.kernel_energy(x, w, beta, state)
    for _ in range(5):
        moved = naive.kernel_update(x, w, beta, state)
        after = naive.kernel_energy(x, w, beta, moved)
        # By at least half the squared step of the image, as for every ordinary network.
        drop = 0.5 * (((moved - state) @ w.T) ** 2).sum(1)
        scale = np.abs(energy) + np.abs(after) + (state**2).sum(1) * (w**2).sum()
        assert (after <= energy - drop + 1e-12 * (1 + scale)).all()
        state, energy = moved, after


def test_fixed_points_and_certificates_in_kernel_space():
    x = np.random.default_rng(0).normal(size=(6, 3))
    w = SeparationKernel(seed=0).fit(x).matrix
    beta = 6.0
    network = naive.image_network(x, w, beta)
    found = network.fixed_points("cells")
    assert found.completeness == "proved"
    states = naive.back_from_image(x, network, found.states)
    # T_K fixes them, and their images are the points that were certified.
    np.testing.assert_allclose(naive.kernel_update(x, w, beta, states), states, atol=1e-12)
    np.testing.assert_allclose(states @ w.T, found.states, atol=1e-12)
    starts = naive.kernel_update(x, w, beta, np.random.default_rng(1).normal(size=(50, 3)))
    for _ in range(2000):
        starts = naive.kernel_update(x, w, beta, starts)
    distances = np.linalg.norm(starts[:, None] - states[found.stable], axis=2)
    assert distances.min(1).max() < 1e-8


def test_a_kernel_without_full_rank_has_critical_points_that_are_not_fixed():
    x = np.array([[1.0, 0.5], [-1.0, 2.0], [0.3, -1.0]])
    w, beta = np.array([[1.0, 0.0]]), 2.0
    point = np.array([0.2, 0.0])
    for _ in range(500):
        point = naive.kernel_update(x, w, beta, point)
    along_kernel = point + np.array([0.0, 3.0])  # W does not see the second coordinate
    for shift in np.eye(2) * 1e-5:
        slope = naive.kernel_energy(x, w, beta, along_kernel + shift)
        slope -= naive.kernel_energy(x, w, beta, along_kernel - shift)
        assert abs(slope) / 2e-5 < 1e-8
    assert np.abs(naive.kernel_update(x, w, beta, along_kernel) - along_kernel).max() > 1
