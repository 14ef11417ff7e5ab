"""The separation functions on a device: what the core computes on the host."""

import numpy as np
import pytest
from devices import away, home
from hypothesis import given
from hypothesis import strategies as st

from hopfix import separation
from hopfix.gpu import _separation

ALPHAS = (1, 1.001, 1.2, 1.5, 2, 2.0001, 3, 10, 400, np.inf)
CALLS = {
    "softmax": (separation.softmax, ()),
    "sparsemax": (separation.sparsemax, ()),
    **{f"entmax {alpha}": (separation.entmax, (alpha,)) for alpha in ALPHAS},
    "top 1": (separation.topk, (1,)),
    "top 3": (separation.topk, (3,)),
    "square": (separation.polynomial, (2,)),
    "rectified": (separation.polynomial, (3, True)),
    "steep": (separation.polynomial, (2**30,)),
}
every_call = pytest.mark.parametrize("call", CALLS)


def tolerance(call, dtype):
    """Absolute, for probabilities of order one."""
    # Above α = 2 entries rise steeply where they join the support.
    return (40 if call in ("entmax 3", "entmax 10") else 8) * np.finfo(dtype).eps


def scores(seed, shape, dtype, call=""):
    """Rows of scores, some of which tie, from flat to steep."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 2, size=(*shape[:-1], 1))
    tied = rng.random(size=shape) < 0.2
    z = np.where(tied, z.max(axis=-1, keepdims=True), z).astype(dtype)
    return np.maximum(z, dtype(1e-6)) if call in ("square", "rectified", "steep") else z


@every_call
def test_probabilities_are_the_cores(call, dtype):
    function, parameters = CALLS[call]
    for seed, shape in enumerate([(7,), (40, 9), (3, 4, 200), (5, 3)]):
        z = scores(seed, shape, dtype, call)
        seen = home(function(away(z), *parameters))
        known = function(z, *parameters)
        assert seen.dtype == dtype
        assert seen.shape == z.shape
        top = known.max(axis=-1, keepdims=True)
        assert (np.abs(seen - known) <= tolerance(call, dtype) * top).all()
        np.testing.assert_allclose(seen.sum(axis=-1), 1, rtol=200 * np.finfo(dtype).eps)


@every_call
def test_conjugates_are_the_cores(call, dtype):
    function, parameters = CALLS[call]
    if function is separation.polynomial:
        with pytest.raises(TypeError, match=r"^z: .*host memory"):
            function.conjugate(away(np.ones(3)), *parameters)
        return
    for seed, shape in enumerate([(7,), (40, 9), (3, 4, 200)]):
        z = scores(seed, shape, dtype)
        seen, known = (
            home(function.conjugate(away(z), *parameters)),
            function.conjugate(z, *parameters),
        )
        assert seen.dtype == dtype
        assert seen.shape == known.shape
        size = np.maximum(1, np.abs(z).max(axis=-1))
        assert (np.abs(seen - known) <= tolerance(call, dtype) * size).all()


@pytest.mark.parametrize(
    "call", ["softmax", "sparsemax", "entmax 1.5", "entmax 3", "top 3", "square"]
)
def test_torch_takes_the_same_way(call, dtype):
    torch = pytest.importorskip("torch")
    function, parameters = CALLS[call]
    name = {"softmax": "fixed_entmax", "sparsemax": "fixed_entmax", "entmax 1.5": "entmax"}
    name |= {"entmax 3": "entmax", "top 3": "topk", "square": "polynomial"}
    z = scores(3, (20, 9), dtype, call)
    seen = getattr(_separation, name[call])(function, torch.from_numpy(z), *parameters)
    assert isinstance(seen, torch.Tensor)
    known = function(z, *parameters)
    assert (np.abs(seen.numpy() - known) <= tolerance(call, dtype)).all()


@given(st.integers(0, 2**32 - 1), st.floats(1.05, 12), st.integers(1, 30))
def test_entmax_solves_its_equation(seed, alpha, count):
    # p = [(α−1) z − τ]_+^{1/(α−1)}: (α−1) z − p^(α−1) is the same number τ on the support, and no
    # less than (α−1) z elsewhere.
    z = scores(seed, (4, count), np.float64)
    p = home(separation.entmax(away(z), alpha))
    threshold = (alpha - 1) * z - np.where(p > 0, p, 1) ** (alpha - 1)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-13)
    for row in range(4):
        inside = p[row] > 1e-6
        tau = threshold[row][inside]
        size = max(1, np.abs((alpha - 1) * z[row]).max())
        assert np.ptp(tau) <= 1e-7 * size
        assert ((alpha - 1) * z[row][p[row] == 0] <= tau.max() + 1e-7 * size).all()


@pytest.mark.parametrize(
    "call", [call for call in CALLS if CALLS[call][0] is not separation.polynomial]
)
def test_scores_of_minus_infinity_have_no_probability(call):
    function, parameters = CALLS[call]
    z = np.array([[0.5, -np.inf, 0.1, 0.4], [-np.inf, -np.inf, 2.0, -np.inf]])
    seen, known = home(function(away(z), *parameters)), function(z, *parameters)
    assert not seen[np.isinf(z)].any()
    np.testing.assert_allclose(seen, known, atol=tolerance(call, np.float64))
    seen, known = home(function.conjugate(away(z), *parameters)), function.conjugate(z, *parameters)
    np.testing.assert_allclose(seen, known, rtol=2 * tolerance(call, np.float64))


def test_rectified_powers_of_minus_infinity_are_zero():
    z = np.array([0.5, -np.inf, 1.0, -3.0])
    seen = home(separation.polynomial(away(z), 2, True))
    np.testing.assert_allclose(seen, separation.polynomial(z, 2, True), rtol=1e-15)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2, 2.5])
def test_many_small_probabilities_do_not_move_the_largest(alpha, dtype):
    z = np.full(3000, -1.0, dtype)
    z[0] = 0
    # What the largest is ahead by leaves a little to all others.
    z *= dtype(0.999 / (alpha - 1))
    seen, known = home(separation.entmax(away(z), alpha)), separation.entmax(z, alpha)
    assert (known > 0).all()
    assert np.abs(seen - known).max() <= 8 * np.finfo(dtype).eps


def test_of_equal_scores_the_first_are_taken():
    seen = home(separation.topk(away([[1.0, 2, 2, 2, 0], [1.0, 1, 1, 1, 1]]), 2))
    np.testing.assert_array_equal(seen, [[0, 0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0, 0]])


def test_integers_become_double_precision():
    seen = home(separation.softmax(away([[1, 2], [3, 3]])))
    np.testing.assert_allclose(seen, separation.softmax([[1, 2], [3, 3]]), rtol=1e-15)


WRONG = {
    "NaN": ([[1.0, 2], [np.nan, 0]], {}),
    "infinity": ([[1.0, 2], [3, np.inf]], {}),
    "nothing": ([[1.0, 2], [-np.inf, -np.inf]], {}),
    "scalar": (1.0, {}),
    "empty": (np.empty((3, 0)), {}),
    "no row": (np.empty((0, 3)), {}),
    "threads": ([1.0, 2], {"num_threads": 0}),
}


def refusal(call, *arguments, **options):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments, **options)
    return caught.type, str(caught.value)


@every_call
@pytest.mark.parametrize("wrong", WRONG)
def test_errors_are_those_of_the_host(wrong, call):
    function, parameters = CALLS[call]
    z, options = WRONG[wrong]
    if call == "top 3" and np.ndim(z) and np.shape(z)[-1]:
        z = np.concatenate([z, np.full_like(np.asarray(z), -np.inf)], axis=-1)
    z = np.asarray(z)
    assert refusal(function, away(z), *parameters, **options) == refusal(
        function, z, *parameters, **options
    )


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (separation.entmax, (0.5,)),
        (separation.entmax, ("2",)),
        (separation.topk, (4,)),
        (separation.topk, (0,)),
        (separation.polynomial, (3,)),
        (separation.polynomial, (2, 1)),
        (separation.polynomial, (0,)),
    ],
)
def test_wrong_parameters_are_those_of_the_host(function, wrong):
    z = np.array([1.0, 2.0, 3.0])
    assert refusal(function, away(z), *wrong) == refusal(function, z, *wrong)


def test_zero_rows_have_no_polynomial():
    for z, parameters in (([[1.0, 0], [0, 0]], (2,)), ([[1.0, 0], [-1, -2]], (1, True))):
        assert refusal(separation.polynomial, away(z), *parameters) == refusal(
            separation.polynomial, z, *parameters
        )


def test_derivatives_are_computed_on_the_host():
    with pytest.raises(TypeError, match=r"^z: .*host memory"):
        separation.softmax.jvp(away([1.0, 2]), away([1.0, 0]))
