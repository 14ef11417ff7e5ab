"""One test per wrong input: the exception type, and that the message names the argument."""

import re

import numpy as np
import pytest

import hopfix

GOOD = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
STATE = np.array([0.1, 0.2, 0.3])
WRONG = (TypeError, ValueError)


@pytest.fixture(scope="module")
def net():
    return hopfix.Hopfield(GOOD, 2.0)


def raises(kinds, *names):
    """An exception of one of `kinds` whose message holds one of `names` as a word."""
    return pytest.raises(kinds, match="|".join(rf"\b{re.escape(name)}\b" for name in names))


def spoilt(array, value):
    """A copy with one entry replaced."""
    array = array.copy()
    array.flat[-1] = value
    return array


# What no argument that is an array of numbers accepts, whatever its shape: name -> (make,
# exception).
BAD_NUMBERS = {
    "NaN": (lambda a: spoilt(a, np.nan), ValueError),
    "infinity": (lambda a: spoilt(a, np.inf), ValueError),
    "minus infinity": (lambda a: spoilt(a, -np.inf), ValueError),
    "float32 NaN": (lambda a: spoilt(a, np.nan).astype(np.float32), ValueError),
    "complex": (lambda a: a.astype(complex), WRONG),
    "complex64": (lambda a: a.astype(np.complex64), WRONG),
    "object": (lambda a: a.astype(object), WRONG),
    "strings": (lambda a: a.astype(str), WRONG),
    "bytes": (lambda a: a.astype("S3"), WRONG),
    "float16": (lambda a: a.astype(np.float16), WRONG),
    "datetimes": (lambda a: np.ones(a.shape, "datetime64[s]"), WRONG),
    "None": (lambda a: None, WRONG),
    "a word": (lambda a: "patterns and states", WRONG),
    "a dict": (lambda a: {"a": 1}, WRONG),
    "ragged lists": (lambda a: [[1.0, 2.0], [3.0]], WRONG),
}
if np.dtype(np.longdouble) != np.float64:
    BAD_NUMBERS["longdouble"] = (lambda a: a.astype(np.longdouble), WRONG)

bad_numbers = pytest.mark.parametrize(
    ("make", "kind"), BAD_NUMBERS.values(), ids=BAD_NUMBERS.keys()
)

STATE_CALLS = {
    "update": lambda net, s: net.update(s),
    "weights": lambda net, s: net.weights(s),
    "energy": lambda net, s: net.energy(s),
    "jacobian": lambda net, s: net.jacobian(s),
    "spectral_radius": lambda net, s: net.spectral_radius(s),
    "jvp": lambda net, s: net.jvp(s, STATE),
    "vjp": lambda net, s: net.vjp(s, STATE),
    "retrieve": lambda net, s: net.retrieve(s),
    "certify": lambda net, s: net.certify(s),
}
every_call = pytest.mark.parametrize("call", STATE_CALLS.values(), ids=STATE_CALLS.keys())

DIRECTION_CALLS = {
    "jvp": (lambda net, v: net.jvp(STATE, v), ("t",)),
    "vjp": (lambda net, v: net.vjp(STATE, v), ("c", "cotangents")),
}
every_direction = pytest.mark.parametrize(
    ("call", "names"), DIRECTION_CALLS.values(), ids=DIRECTION_CALLS.keys()
)


# -------------------------------------------------------------------------------------- patterns


@bad_numbers
def test_patterns_must_be_finite_real_numbers(make, kind):
    if make(GOOD) is None or isinstance(make(GOOD), (str, dict)):
        kind = WRONG
    with raises(kind, "patterns"):
        hopfix.Hopfield(make(GOOD))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1), (1, 2, 3, 4)], ids=str)
def test_patterns_must_have_two_dimensions(shape):
    with raises(ValueError, "patterns") as error:
        hopfix.Hopfield(np.ones(shape))
    assert str(len(shape)) in str(error.value) or str(shape) in str(error.value)  # what it got


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)], ids=str)
def test_patterns_must_not_be_empty(shape):
    with raises(ValueError, "patterns"):
        hopfix.Hopfield(np.ones(shape))


# -------------------------------------------------------------------------- beta and log_weights


@pytest.mark.parametrize("beta", [0, 0.0, -0.0, -1.0, -1, np.nan, np.inf, -np.inf, 10**400])
def test_beta_must_be_positive_and_finite(beta):
    with raises(ValueError, "beta"):
        hopfix.Hopfield(GOOD, beta)


@pytest.mark.parametrize("beta", ["hot", None, 1 + 2j, [1.0, 2.0], np.ones(2), {}], ids=repr)
def test_beta_must_be_a_number(beta):
    with raises(WRONG, "beta"):
        hopfix.Hopfield(GOOD, beta)


@pytest.mark.parametrize("beta", [1e-300, 1e300])
def test_a_beta_outside_the_range_of_float32_is_an_error_or_works(beta):
    state = np.array([2, 1, 0], np.float32)
    want = [0.5, 0.5, 0.0] if beta < 1 else [1.0, 0.0, 0.5]
    try:
        result = hopfix.Hopfield(GOOD.astype(np.float32), beta).update(state)
    except ValueError as error:
        result, message = None, str(error)
    assert (
        re.search(r"\bbeta\b", message) if result is None else np.allclose(result, want, atol=1e-6)
    )


@bad_numbers
def test_log_weights_must_be_finite_real_numbers(make, kind):
    bad = make(np.zeros(2))
    if bad is None:
        pytest.skip("None is the default")
    with raises(kind, "log_weights"):
        hopfix.Hopfield(GOOD, log_weights=bad)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2), (2, 2), (0,)], ids=str)
def test_log_weights_must_be_one_per_pattern(shape):
    with raises(ValueError, "log_weights"):
        hopfix.Hopfield(GOOD, log_weights=np.zeros(shape))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two", [2], 2**70], ids=repr)
def test_num_threads_must_be_a_positive_integer(threads):
    with raises((*WRONG, OverflowError), "num_threads"):
        hopfix.Hopfield(GOOD, num_threads=threads)


def test_options_are_keywords_and_unknown_ones_are_refused():
    with pytest.raises(TypeError):
        hopfix.Hopfield(GOOD, 1.0, np.zeros(2))
    with pytest.raises(TypeError, match="bogus"):
        hopfix.Hopfield(GOOD, bogus=1)


# ---------------------------------------------------------------------------------------- states


@every_call
@bad_numbers
def test_states_must_be_finite_real_numbers(net, call, make, kind):
    with raises(kind, "states"):
        call(net, make(STATE))


@every_call
@pytest.mark.parametrize("shape", [(), (1,), (2,), (4,), (3, 2), (2, 3, 1)], ids=str)
def test_states_must_be_as_wide_as_the_patterns(net, call, shape):
    with raises(ValueError, "states") as error:
        call(net, np.ones(shape))
    assert "3" in str(error.value)  # what it needs


@every_call
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3), (3, 0)], ids=str)
def test_states_must_not_be_empty(net, call, shape):
    with raises(ValueError, "states"):
        call(net, np.ones(shape))


@every_call
def test_states_that_overflow_float32_are_refused_by_a_float32_network(call):
    with raises(ValueError, "states"):
        call(hopfix.Hopfield(GOOD.astype(np.float32)), np.array([1e300, 0, 0]))


# ------------------------------------------------------------------------------------ directions


@every_direction
@bad_numbers
def test_directions_must_be_finite_real_numbers(net, call, names, make, kind):
    with raises(kind, *names):
        call(net, make(STATE))


@every_direction
@pytest.mark.parametrize("shape", [(), (1,), (2,), (4,), (3, 2), (0,), (0, 3)], ids=str)
def test_directions_must_fit_the_states(net, call, names, shape):
    with raises(ValueError, *names):
        call(net, np.ones(shape))


@pytest.mark.parametrize(("method", "names"), [("jvp", ("t",)), ("vjp", ("c", "cotangents"))])
def test_as_many_directions_as_states(net, method, names):
    with raises(ValueError, *names):
        getattr(net, method)(np.ones((4, 3)), np.ones((5, 3)))


# -------------------------------------------------------------------------------------- retrieve


@pytest.mark.parametrize("max_steps", [-1, -(10**6), 1.5, "many", None, [3], np.nan], ids=repr)
def test_max_steps_must_be_an_integer_not_below_zero(net, max_steps):
    with raises(WRONG, "max_steps"):
        net.retrieve(STATE, max_steps=max_steps)


@pytest.mark.parametrize("tol", [-1e-3, -1, np.nan, "small", [1e-3, 1e-4], 1j], ids=repr)
def test_tol_must_be_a_number_not_below_zero(net, tol):
    with raises(WRONG, "tol"):
        net.retrieve(STATE, tol=tol)


def test_retrieve_takes_its_options_by_keyword_only(net):
    with pytest.raises(TypeError):
        net.retrieve(STATE, 10)


# ---------------------------------------------------------------------------------- fixed_points


@pytest.mark.parametrize("method", ["magic", "", "Starts", 3, None, ["starts"]], ids=repr)
def test_method_must_be_one_of_those_there_are(net, method):
    with raises(WRONG, "method") as error:
        net.fixed_points(method)
    if isinstance(method, str):
        assert repr(method) in str(error.value) or f'"{method}"' in str(error.value)
        assert "starts" in str(error.value)  # what it may be


@pytest.mark.parametrize("seed", [-1, 1.5, "seed", [1]], ids=repr)
def test_seed_must_be_an_integer_not_below_zero(net, seed):
    with raises(WRONG, "seed"):
        net.fixed_points("starts", seed=seed)


@pytest.mark.parametrize("max_count", [-1, 1.5, "all", [1]], ids=repr)
def test_max_count_must_be_an_integer_not_below_zero(net, max_count):
    with raises(WRONG, "max_count"):
        net.fixed_points("starts", max_count=max_count)


@pytest.mark.parametrize("time_limit", [-1, -0.5, np.nan, "soon", [1.0]], ids=repr)
def test_time_limit_must_be_a_number_not_below_zero(net, time_limit):
    with raises(WRONG, "time_limit"):
        net.fixed_points("starts", time_limit=time_limit)


@pytest.mark.parametrize("progress", [3, "tqdm", True], ids=repr)
def test_progress_must_be_callable(net, progress):
    with raises(WRONG, "progress"):
        net.fixed_points("starts", progress=progress)


# ------------------------------------------------------------------------------------- container


def test_loading_what_is_not_there_or_not_ours(net, tmp_path):
    kind = type(net.fixed_points("starts"))
    with pytest.raises(FileNotFoundError):
        kind.load(tmp_path / "missing.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises((ValueError, KeyError)):
        kind.load(tmp_path / "other.npz")


def test_an_error_leaves_the_network_usable(net):
    before = net.update(STATE)
    with pytest.raises(ValueError, match="states"):
        net.update(np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(net.update(STATE), before)
