"""The family of models: every similarity with every separation, dtype and values."""

import subprocess
import sys

import numpy as np
import pytest
from family import DIFFERENTIABLE, SEPARATIONS, SIMILARITIES, Twin
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfix import FixedPoints, Hopfield
from hopfix.degree import brouwer_degree

N, D, B = 45, 6, 35


def problem(similarity, seed=0, count=B):
    rng = np.random.default_rng(seed)
    patterns, states = rng.normal(size=(N, D)), rng.normal(size=(count, D))
    kernel = rng.normal(size=(4, D))
    return patterns, states, kernel if similarity == "kernel" else similarity


def identifier(value):
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


every_similarity = pytest.mark.parametrize("similarity", SIMILARITIES)
every_separation = pytest.mark.parametrize("separation", SEPARATIONS, ids=identifier)


@every_similarity
@every_separation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", ["plain", "values", "logs", "normalize", "sparse"])
def test_update_and_weights_are_those_of_the_formulas(similarity, separation, dtype, options):
    patterns, states, kind = problem(similarity)
    rng = np.random.default_rng(1)
    extra = {
        "plain": {},
        "values": {"values": rng.normal(size=(N, 3)).astype(dtype)},
        "logs": {"log_weights": rng.uniform(0.2, 1, N).astype(dtype)},
        "normalize": {"normalize": True},
        "sparse": {"sparsify_above": 0.5},
    }[options]
    if separation == ("polynomial", 3, True) and similarity.startswith("neg"):
        extra = extra | {"log_weights": np.full(N, 40.0, dtype)}  # something above zero
    patterns, states = patterns.astype(dtype), states.astype(dtype)
    kind = kind if isinstance(kind, str) else kind.astype(dtype)
    net = Hopfield(patterns, 0.7, similarity=kind, separation=separation, **extra)
    twin = Twin(patterns, 0.7, similarity=kind, separation=separation, **extra)
    # A rounding of scores of size up to 60 moves weights by so much; entmax 1.2 has slope 5.
    tolerance = 500 * np.finfo(dtype).eps
    weights = net.weights(states)
    assert weights.dtype == dtype
    np.testing.assert_allclose(weights, twin.weights(states), rtol=0, atol=tolerance)
    np.testing.assert_allclose(net.update(states), twin.update(states), rtol=0, atol=5 * tolerance)


@every_similarity
@every_separation
def test_results_are_bitwise_those_of_a_state_alone_and_of_any_threads(similarity, separation):
    rng = np.random.default_rng(5)
    patterns = rng.normal(size=(700, 33)).astype(np.float32)
    states = rng.normal(size=(75, 33)).astype(np.float32)
    kind = rng.normal(size=(40, 33)).astype(np.float32) if similarity == "kernel" else similarity
    options = {"similarity": kind, "separation": separation}
    if separation == ("polynomial", 3, True):
        options["log_weights"] = np.full(700, 1e3)
    one, two = (Hopfield(patterns, 0.3, num_threads=k, **options) for k in (1, 2))
    together = one.update(states)
    np.testing.assert_array_equal(two.update(states), together)
    for i in (0, 1, 20, 74):
        np.testing.assert_array_equal(one.update(states[i]), together[i])
    np.testing.assert_array_equal(one.update(states[30:63]), together[30:63])
    many = one.retrieve(states, max_steps=3)
    alone = two.retrieve(states[40], max_steps=3)
    np.testing.assert_array_equal(alone.states, many.states[40])
    assert alone.steps == many.steps[40]


@pytest.mark.parametrize("similarity", DIFFERENTIABLE)
@every_separation
@pytest.mark.parametrize("options", ["plain", "values", "normalize", "sparse"])
def test_derivatives_are_those_of_central_differences(similarity, separation, options):
    patterns, states, kind = problem(similarity, seed=3, count=12)
    rng = np.random.default_rng(4)
    extra = {
        "plain": {},
        "values": {"values": rng.normal(size=(N, 3))},
        "normalize": {"normalize": True},
        "sparse": {"sparsify_above": 0.5},
    }[options]
    if separation == ("polynomial", 3, True) and similarity.startswith("neg"):
        extra = extra | {"log_weights": np.full(N, 40.0)}
    options = {"similarity": kind, "separation": separation, **extra}
    net, twin = Hopfield(patterns, 0.7, **options), Twin(patterns, 0.7, **options)
    tangents = rng.normal(size=states.shape)
    h = 1e-6

    def difference(step):
        return (twin.update(states + step * tangents) - twin.update(states - step * tangents)) / (
            2 * step
        )

    expected = difference(h)
    # p has kinks where its support changes, and keys jump at the threshold: not between these.
    smooth = np.abs(expected - difference(h / 4)).max(axis=1) < 1e-7
    assert smooth.sum() >= 8
    product = net.jvp(states, tangents)
    np.testing.assert_allclose(product[smooth], expected[smooth], rtol=1e-6, atol=2e-7)
    jacobian = net.jacobian(states)
    assert jacobian.shape == (12, net.values.shape[1], D)
    np.testing.assert_allclose(
        np.einsum("bvd,bd->bv", jacobian, tangents), product, rtol=1e-11, atol=1e-11
    )
    cotangents = rng.normal(size=product.shape)
    np.testing.assert_allclose(
        net.vjp(states, cotangents),
        np.einsum("bvd,bv->bd", jacobian, cotangents),
        rtol=1e-11,
        atol=1e-11,
    )
    if net.values.shape[1] == D:
        moduli = np.abs(np.linalg.eigvals(jacobian)).max(axis=1)
        np.testing.assert_allclose(net.spectral_radius(states), moduli, rtol=1e-8)


def test_squared_distance_has_all_derivatives():
    torch = pytest.importorskip("torch")
    patterns, states, _ = problem("neg_sq_l2", count=5)
    rng = np.random.default_rng(8)
    logs, cotangents = rng.normal(size=N), rng.normal(size=states.shape)
    net = Hopfield(patterns, 0.8, log_weights=logs, similarity="neg_sq_l2")
    leaves = [
        torch.tensor(a, dtype=torch.float64, requires_grad=True)
        for a in (states, patterns, 0.8, logs)
    ]
    xi, x, beta, b = leaves
    scores = -beta * ((xi[:, None] - x) ** 2).sum(-1) + b
    (torch.softmax(scores, -1) @ x * torch.tensor(cotangents)).sum().backward()
    names = ("states", "patterns", "beta", "log_weights")
    for name, leaf, found in zip(names, leaves, net.vjp(states, cotangents, names), strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name)
    kept = net.retrieve(states[:1], tol=1e-13).states
    gradient = net.vjp_fixed_point(kept, cotangents[:1], "beta")
    ends = [
        Hopfield(patterns, 0.8 + h, log_weights=logs, similarity="neg_sq_l2")
        .retrieve(kept, tol=1e-14)
        .states
        for h in (1e-5, -1e-5)
    ]
    slope = ((ends[0] - ends[1]) / 2e-5 * cotangents[:1]).sum()
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("similarity", DIFFERENTIABLE)
@pytest.mark.parametrize("separation", SEPARATIONS[:5], ids=identifier)
def test_energy_is_that_of_the_conjugate_and_has_the_right_gradient(similarity, separation):
    patterns, states, kind = problem(similarity, seed=6, count=8)
    options = {"similarity": kind, "separation": separation}
    net, twin = Hopfield(patterns, 0.6, **options), Twin(patterns, 0.6, **options)
    np.testing.assert_allclose(net.energy(states), twin.energy(states), rtol=1e-11, atol=1e-11)
    t, h = np.random.default_rng(7).normal(size=states.shape), 1e-6
    slope = (net.energy(states + h * t) - net.energy(states - h * t)) / (2 * h)
    pull = states - net.update(states)
    if similarity == "kernel":
        pull = pull @ kind.T @ kind
    np.testing.assert_allclose(slope, (pull * t).sum(axis=1), rtol=1e-6, atol=1e-7)


@given(
    similarity=st.sampled_from(DIFFERENTIABLE),
    separation=st.sampled_from(SEPARATIONS[:5]),
    beta=st.floats(0.05, 20),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=150, deadline=None)
def test_the_update_never_raises_the_energy(similarity, separation, beta, seed):
    patterns, states, kind = problem(similarity, seed=seed, count=6)
    net = Hopfield(patterns, beta, similarity=kind, separation=separation)
    before = net.energy(states)
    moved = net.update(states)
    step = (moved - states) @ (kind.T if similarity == "kernel" else np.eye(D))
    bound = before - (step**2).sum(axis=1) / 2
    scale = 1 + np.abs(before) + (patterns**2).sum(axis=1).max() + (states**2).sum(axis=1)
    if similarity == "kernel":
        scale *= np.linalg.norm(kind, 2) ** 2
    assert np.all(net.energy(moved) <= bound + 1e-12 * scale)


@every_similarity
@every_separation
def test_retrieve_is_plain_iteration_judged_on_the_state_returned(similarity, separation):
    patterns, states, kind = problem(similarity, seed=9, count=20)
    options = {"similarity": kind, "separation": separation}
    if separation == ("polynomial", 3, True):
        options["log_weights"] = np.full(N, 60.0)
    net = Hopfield(patterns, 0.5, **options)
    by_hand = states
    for _ in range(4):
        by_hand = net.update(by_hand)
    exact = net.retrieve(states, max_steps=4, tol=0.0)
    open_still = exact.steps == 4
    np.testing.assert_array_equal(exact.states[open_still], by_hand[open_still])
    found = net.retrieve(states, max_steps=3000, tol=1e-9)
    moved = np.linalg.norm(net.update(found.states) - found.states, axis=1)
    allowed = 1e-9 * np.maximum(1, np.linalg.norm(found.states, axis=1))
    assert np.all(moved[found.converged] <= allowed[found.converged] * 1.001 + 1e-15)
    assert np.all(found.steps[~found.converged] == 3000)
    np.testing.assert_allclose(found.residual, moved, atol=1e-14)


def test_sparse_separation_ends_exactly_at_a_pattern_in_finitely_many_steps():
    rng = np.random.default_rng(2)
    patterns = rng.normal(size=(30, 40))
    net = Hopfield(patterns, 5.0, similarity="neg_l1", separation="sparsemax")
    found = net.retrieve(patterns + 0.1 * rng.normal(size=patterns.shape), tol=0.0)
    assert found.converged.all()
    assert found.steps.max() <= 2
    np.testing.assert_array_equal(found.states, patterns)
    np.testing.assert_array_equal(found.residual, 0)


@pytest.mark.parametrize("similarity", ["neg_l1", "neg_l2", "neg_sq_l2"])
def test_distances_do_not_cancel(similarity):
    """Patterns far from the origin and near each other, and one that is the query itself."""
    rng = np.random.default_rng(11)
    patterns = (1000 + 1e-3 * rng.normal(size=(20, 8))).astype(np.float32)
    options = {"similarity": similarity, "separation": ("topk", 20)}
    net = Hopfield(patterns, 100.0, **options)
    twin = Twin(patterns, 100.0, **options)
    np.testing.assert_allclose(net.weights(patterns), twin.weights(patterns), rtol=1e-5, atol=1e-7)
    alone = Hopfield(patterns[:1], 1.0, similarity=similarity, separation=("polynomial", 2))
    with pytest.raises(ValueError, match="polynomial"):  # the one score is exactly zero
        alone.update(patterns[0])


def test_kernel_fixed_points_are_those_of_the_image():
    patterns, _, kernel = problem("kernel", seed=13)
    patterns = patterns[:7]
    net = Hopfield(patterns, 1.5, similarity=kernel)
    found, inner = net.fixed_points("cells"), net.image.fixed_points("cells")
    assert found.completeness == "proved"
    assert found.counts == inner.counts
    assert found.network is net
    assert found.degree_sum == 1
    np.testing.assert_allclose(found.states @ kernel.T, inner.states, atol=1e-9)
    assert found.residual.max() < 1e-9
    np.testing.assert_allclose(found.weights @ patterns, found.states, atol=1e-9)
    eigenvalues = np.linalg.eigvals(net.jacobian(found.states))
    np.testing.assert_array_equal((eigenvalues.real > 1).sum(axis=1), found.morse_index)
    certificates = net.certify(found.states)
    assert certificates.certified.all()
    np.testing.assert_array_equal(certificates.morse_index, found.morse_index)
    branches = net.follow(1.6, found)
    assert branches.network is net.image
    assert len(branches) >= 1


def test_squared_distance_fixed_points_are_those_of_the_equivalent_network():
    patterns, _, _ = problem("neg_sq_l2", seed=14)
    patterns = patterns[:6]
    net = Hopfield(patterns, 0.4, similarity="neg_sq_l2")
    found = net.fixed_points("cells")
    assert found.completeness == "proved"
    assert found.degree_sum == 1
    twin = Twin(patterns, 0.4, similarity="neg_sq_l2")
    np.testing.assert_allclose(twin.update(found.states), found.states, atol=1e-10)
    np.testing.assert_allclose(found.energy, twin.energy(found.states), atol=1e-11)
    assert net.certify(found.states).certified.all()
    assert brouwer_degree(net, np.full(D, -9.0), np.full(D, 9.0)).value == 1


@pytest.mark.parametrize("similarity", ["kernel", "neg_sq_l2"])
def test_saved_fixed_points_know_their_network(tmp_path, similarity):
    patterns, states, kind = problem(similarity, seed=15)
    net = Hopfield(patterns[:5], 0.5, similarity=kind)
    found = net.fixed_points()
    found.save(tmp_path / "points.npz")
    again = FixedPoints.load(tmp_path / "points.npz")
    np.testing.assert_array_equal(again.states, found.states)
    np.testing.assert_array_equal(again.network.update(states), net.update(states))
    assert repr(again.network) == repr(net)


def test_kernel_may_be_an_object_with_a_matrix():
    patterns, states, kernel = problem("kernel")

    class Kernel:
        matrix = kernel

    given, plain = (Hopfield(patterns, similarity=k) for k in (Kernel(), kernel))
    np.testing.assert_array_equal(given.update(states), plain.update(states))


@pytest.mark.parametrize("similarity", ["neg_l2", "neg_l1"])
def test_what_does_not_exist_for_distances_names_them(similarity):
    patterns, states, _ = problem(similarity)
    net = Hopfield(patterns, similarity=similarity)
    calls = {
        "energy": lambda: net.energy(states),
        "jacobian": lambda: net.jacobian(states),
        "jvp": lambda: net.jvp(states, states),
        "vjp": lambda: net.vjp(states, states),
        "spectral_radius": lambda: net.spectral_radius(states),
        "certify": lambda: net.certify(states),
        "fixed_points": net.fixed_points,
        "follow": lambda: net.follow(2.0),
        "vjp_fixed_point": lambda: net.vjp_fixed_point(states, states),
        "image": lambda: net.image,
        "brouwer_degree": lambda: brouwer_degree(net, states[0] - 1, states[0] + 1),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match=f"['\"]{similarity}['\"]"):
            call()


@pytest.mark.parametrize(
    ("options", "method", "message"),
    [
        ({"separation": "sparsemax"}, "fixed_points", "separation='sparsemax'"),
        ({"separation": ("polynomial", 2)}, "energy", "polynomial"),
        ({"values": np.ones((N, 2))}, "energy", "values"),
        ({"values": np.ones((N, 2))}, "retrieve", "values have dimension 2"),
        ({"values": np.ones((N, 2))}, "spectral_radius", "values have dimension 2"),
        ({"normalize": True}, "energy", "normalize"),
        ({"sparsify_above": 0.0}, "certify", "sparsify_above"),
    ],
)
def test_what_does_not_exist_names_the_option(options, method, message):
    patterns, states, _ = problem("dot")
    call = getattr(Hopfield(patterns, **options), method)
    with pytest.raises(ValueError, match=message):
        call() if method == "fixed_points" else call(states)


def test_derivatives_in_other_variables_and_follow_are_refused():
    patterns, states, _ = problem("dot")
    sparse = Hopfield(patterns, separation="sparsemax")
    with pytest.raises(ValueError, match=r'wrt: need "states".*sparsemax'):
        sparse.vjp(states, states, "beta")
    with pytest.raises(ValueError, match=r'follow: .*"neg_sq_l2"'):
        Hopfield(patterns, similarity="neg_sq_l2").follow(2.0)
    zero = Hopfield(patterns, normalize=True)
    assert np.isfinite(zero.update(np.zeros(D))).all()
    with pytest.raises(ValueError, match="zero vector"):
        zero.jvp(np.zeros(D), np.ones(D))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"similarity": "cosine"}, ValueError, "similarity: got 'cosine', need one of dot"),
        ({"similarity": None}, TypeError, "similarity"),
        ({"similarity": np.ones((3, D + 1))}, ValueError, rf"similarity: .*need \(D, {D}\)"),
        ({"similarity": np.full((2, D), np.nan)}, ValueError, "similarity: got nan"),
        ({"separation": "entmax"}, ValueError, "separation: got 'entmax'"),
        ({"separation": 3}, TypeError, "separation"),
        ({"separation": ("entmax", 0.5)}, ValueError, "separation: 'entmax': alpha"),
        ({"separation": ("topk", N + 1)}, ValueError, "separation: 'topk': k"),
        ({"separation": ("topk", 2.0)}, TypeError, "separation: 'topk': k"),
        ({"separation": ("polynomial", 3)}, ValueError, "separation: 'polynomial': n"),
        ({"separation": ("topk",)}, ValueError, "separation"),
        ({"values": np.ones((N + 1, 2))}, ValueError, rf"values: .*need \({N}, v\)"),
        ({"values": np.full((N, 2), np.inf)}, ValueError, "values: got inf"),
        ({"normalize": 1}, TypeError, "normalize: got int, need a bool"),
        ({"sparsify_above": np.inf}, ValueError, "sparsify_above: got inf"),
        ({"sparsify_above": "0"}, TypeError, "sparsify_above: got str"),
        ({"normalize": True, "sparsify_above": -99.0}, ValueError, "zero vector"),
    ],
    ids=lambda value: None,
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Hopfield(problem("dot")[0], **options)


def test_rows_without_an_answer_and_overflow_are_named():
    patterns, states, _ = problem("dot")
    net = Hopfield(patterns, similarity="neg_l1", separation=("polynomial", 1, True))
    with pytest.raises(ValueError, match=r"polynomial.* state 0"):
        net.update(states)
    with pytest.raises(ValueError, match=r"polynomial.* state 0"):
        net.retrieve(states)
    big = Hopfield(np.full((2, 3), 1e30, np.float32), similarity="neg_l2", separation="sparsemax")
    with pytest.raises(ValueError, match="overflow"):
        big.update(np.full(3, -1e30))
    with pytest.raises(ValueError, match=r"cotangents: .*as values have"):
        Hopfield(patterns, values=np.ones((N, 2))).vjp(states, states)


MEMORY = """
import numpy as np, re, hopfix
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
rng = np.random.default_rng(0)
patterns = rng.normal(size=(60_000, 4)).astype(np.float32)
states = rng.normal(size=(600, 4)).astype(np.float32)
net = hopfix.Hopfield(patterns, similarity=SIMILARITY, separation=SEPARATION, num_threads=2)
net.update(states[:1])
before = peak()
net.update(states)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("separation", ["sparsemax", ("topk", 5)], ids=identifier)
def test_no_array_of_weights_is_formed(separation):
    code = MEMORY.replace("SIMILARITY", "'neg_l1'").replace("SEPARATION", repr(separation))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    # 16 MiB of rows and 40 N bytes a thread; the weights would take 144 MB.
    assert int(done.stdout) < 32 * 2**20
