"""The CUDA kernels as shipped, run on the CPU by an emulation of CUDA's threads."""

import contextlib
import sys

import emulated_cuda
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfix.gpu import _kernels

pytestmark = pytest.mark.skipif(
    emulated_cuda.compiler() is None, reason="no Linux with a C++ compiler"
)

SOURCE = emulated_cuda.SOURCE.read_text(encoding="utf-8")
BARRIERS = [n for n, line in enumerate(SOURCE.splitlines(), 1) if "__syncthreads()" in line]
DTYPES = (np.float32, np.float64)


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """The module `cupy` as an emulation, for the whole file."""
    library = emulated_cuda.build(tmp_path_factory.mktemp("kernels"))
    cp = emulated_cuda.EmulatedCuPy(emulated_cuda.Device(library))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cp)
        yield cp


@pytest.fixture(autouse=True)
def plain(cuda):
    """Every test starts with threads in forward order, every barrier in place."""
    device = cuda.device
    device.order, device.seed, device.skipped_line, cuda.offset = "forward", 0, 0, 0
    yield
    cuda.check_guards()


class Case:
    """A random problem, with the update and its error bound computed in extended precision."""

    def __init__(self, seed, dtype, n, count, dim, value_dim=None, *, beta=1.0, offset=0, **kinds):
        rng = np.random.default_rng(seed)
        self.dtype, self.beta = np.dtype(dtype), beta

        def normal(*shape):
            return emulated_cuda.guarded(rng.normal(size=shape).astype(dtype), offset)

        self.patterns, self.states = normal(n, dim), normal(count, dim)
        if kinds.get("equal"):
            self.patterns[:] = self.patterns[0]
        self.values = None if value_dim is None else normal(n, value_dim)
        self.log_weights = None
        if kinds.get("weighted"):
            self.log_weights = normal(n)
            self.log_weights[rng.random(n) < 0.3] = -1e30
            self.log_weights[rng.random(n) < 0.3] = -np.inf

    @property
    def arguments(self):
        return (self.patterns, self.states, self.beta, self.log_weights, self.values)

    def expected(self):
        """(log Σ exp z, update, bound of the update's error) over the patterns not excluded."""
        keep = slice(None)
        if self.log_weights is not None:
            keep = self.log_weights > -1e29
        x = self.patterns[keep]
        v = (self.patterns if self.values is None else self.values)[keep].astype(naive.WIDE)
        b = None if self.log_weights is None else self.log_weights[keep]
        if len(x) == 0:
            return None
        eps = np.finfo(self.dtype).eps
        p = naive.weights(x, self.beta, b, self.states)
        z = naive.WIDE(self.beta) * (self.states.astype(naive.WIDE) @ x.astype(naive.WIDE).T)
        z = z if b is None else z + b
        top = z.max(axis=1)
        relative = naive.relative_weight_error(x, self.beta, b, self.states, eps)[:, None]
        bound = (relative + eps * (len(self.patterns) + 4)) * (p @ np.abs(v))
        tiny = np.finfo(self.dtype).tiny * 4
        log_sum = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        return log_sum, p @ v, bound + tiny * np.abs(v).sum(axis=0)


def same_bits(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
    n=st.integers(1, 200),
    count=st.integers(1, 70),
    dim=st.integers(1, 70),
    value_dim=st.none() | st.integers(1, 270),
    log_beta=st.floats(-4, 3),
    kinds=st.fixed_dictionaries({"equal": st.booleans(), "weighted": st.booleans()}),
    offset=st.integers(0, 3),
    parts=st.none() | st.integers(1, 4),
)
def test_update_is_the_formula(
    cuda, seed, dtype, n, count, dim, value_dim, log_beta, kinds, offset, parts
):
    case = Case(seed, dtype, n, count, dim, value_dim, beta=10**log_beta, offset=offset, **kinds)
    cuda.offset, cuda.device.order, cuda.device.seed = offset, "random", seed
    parts = None if parts is None else min(parts, -(-n // _kernels.TILE))
    out = _kernels.update(*case.arguments, parts=parts)
    cuda.check_guards()
    assert out.dtype == dtype
    expected = case.expected()
    if expected is None:
        return  # rounding decides between patterns of log-weight −1e30; their sums are tested below
    assert (np.abs(out - expected[1]) <= expected[2]).all()


@pytest.mark.parametrize(("dim", "value_dim"), [(1, 1), (256, None), (300, 257), (33, 600), (4, 5)])
def test_all_widths(cuda, dtype, dim, value_dim):
    case = Case(1, dtype, 100, 3, dim, value_dim, beta=0.3)
    out = _kernels.update(*case.arguments)
    _, expected, bound = case.expected()
    assert (np.abs(out - expected) <= bound).all()


def test_a_great_beta_selects_a_pattern(cuda, dtype):
    case = Case(2, dtype, 150, 20, 16, beta=1e30)
    products = case.states.astype(np.float64) @ case.patterns.T.astype(np.float64)
    out = _kernels.update(*case.arguments)
    np.testing.assert_array_equal(out, case.patterns[products.argmax(axis=1)])


def test_one_pattern_is_returned_exactly(cuda, dtype):
    case = Case(3, dtype, 1, 5, 7, beta=50.0)
    np.testing.assert_array_equal(_kernels.update(*case.arguments), case.patterns.repeat(5, axis=0))


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_sums_give_the_logarithm_of_the_partition_sum(cuda, dtype, parts):
    case = Case(4, dtype, 300, 9, 12, beta=0.7, weighted=True)
    sums = _kernels.tile_sums(*case.arguments, parts=parts)
    log_sum, expected, bound = case.expected()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sums.maximum + np.log(sums.total), log_sum, rtol=0, atol=400 * eps)
    assert (np.abs(sums.weighted / sums.total[:, None] - expected) <= bound).all()


@pytest.mark.parametrize("parts", [1, 2])
def test_tiles_go_on_from_sums(cuda, dtype, parts):
    case = Case(5, dtype, 300, 70, 12, 40, beta=0.7, weighted=True)
    sums = None
    for tile in (slice(0, 65), slice(65, 66), slice(66, 300)):
        sums = _kernels.tile_sums(
            case.patterns[tile], case.states, case.beta, case.log_weights[tile], case.values[tile],
            start=sums, parts=parts if tile.stop - tile.start > 64 else 1,
        )  # fmt: skip
    _, expected, bound = case.expected()
    assert (np.abs(sums.weighted / sums.total[:, None] - expected) <= bound).all()


def test_the_sums_gone_on_from_stay(cuda, dtype):
    case = Case(6, dtype, 192, 5, 9, beta=0.9)
    first = _kernels.tile_sums(case.patterns[:64], case.states, case.beta)
    kept = [array.copy() for array in first]
    both = _kernels.tile_sums(case.patterns[64:], case.states, case.beta, start=first)
    whole = _kernels.tile_sums(case.patterns, case.states, case.beta)
    assert same_bits(first, kept)
    np.testing.assert_array_equal(both.maximum, whole.maximum)
    np.testing.assert_array_equal(both.weighted, whole.weighted)


@pytest.mark.parametrize("parts", [1, 3])
def test_excluded_patterns_leave_no_trace(cuda, dtype, parts):
    case = Case(7, dtype, 192, 5, 9, beta=0.9)
    excluded = np.zeros(192, dtype)
    excluded[:64] = -np.inf
    out = _kernels.tile_sums(case.patterns, case.states, case.beta, excluded, parts=parts)
    kept = _kernels.tile_sums(case.patterns[64:], case.states, case.beta, parts=max(1, parts - 1))
    assert same_bits(out, kept)
    excluded[:] = -np.inf
    none = _kernels.tile_sums(case.patterns, case.states, case.beta, excluded, parts=parts)
    assert (none.maximum == -np.inf).all()
    assert not none.total.any()
    assert not none.weighted.any()
    assert not _kernels.update(case.patterns, case.states, case.beta, excluded, parts=parts).any()


def test_nan_goes_where_it_goes_in_the_formula(cuda, dtype):
    case = Case(8, dtype, 150, 66, 9)
    case.states[65, 3] = np.nan
    out = _kernels.update(*case.arguments)
    assert np.isnan(out[65]).all()
    assert np.isfinite(out[:65]).all()


def test_a_state_is_updated_alike_in_any_batch(cuda, dtype):
    case = Case(9, dtype, 600, 130, 9, beta=2.0, weighted=True)
    everything = _kernels.tile_sums(*case.arguments)
    assert cuda.device.launches[-2][1][1] == 2
    some = np.array([129, 0, 64, 63, 64], np.int64)
    rows = _kernels.tile_sums(*case.arguments, rows=some)
    assert same_bits(rows, [array[some] for array in everything])
    alone = _kernels.tile_sums(case.patterns, case.states[77:78], case.beta, case.log_weights)
    assert same_bits(alone, [array[77:78] for array in everything])


def test_many_queries_are_done_in_several_launches(cuda, dtype, monkeypatch):
    case = Case(10, dtype, 300, 150, 9, 70, beta=2.0)
    whole = _kernels.tile_sums(*case.arguments)
    going_on = _kernels.tile_sums(*case.arguments, start=whole)
    some = np.arange(149, -1, -1, dtype=np.int64)
    before = len(cuda.device.launches)
    monkeypatch.setattr(_kernels, "SCRATCH", 1)
    assert same_bits(whole, _kernels.tile_sums(*case.arguments))
    assert len(cuda.device.launches) - before == 6
    assert same_bits(going_on, _kernels.tile_sums(*case.arguments, start=whole))
    rows = _kernels.tile_sums(*case.arguments, rows=some)
    assert same_bits(rows, [array[some] for array in whole])


def test_views_are_copied(cuda, dtype):
    case = Case(11, dtype, 20, 4, 6)
    wide = np.repeat(case.patterns, 2, axis=1)
    assert same_bits(
        _kernels.update(wide[:, ::2], case.states[::-1], 1.0),
        _kernels.update(case.patterns, case.states[::-1].copy(), 1.0),
    )


# ------------------------------------------------------------------------------- retrieval


@pytest.mark.parametrize("max_steps", [0, 1, 3, 200])
def test_retrieve_stops_every_query_by_itself(cuda, dtype, max_steps):
    case = Case(12, dtype, 40, 67, 8, beta=1.2)
    tol = 1e-4
    got = _kernels.retrieve(case.patterns, case.states, case.beta, max_steps=max_steps, tol=tol)
    start = case.states.copy()
    if max_steps == 200:
        assert got.converged.all()
        assert len(set(got.steps.tolist())) > 3
    for q in range(67):
        state, steps, converged = naive.retrieve(
            case.patterns, case.beta, None, case.states[q], max_steps, tol
        )
        assert (got.steps[q], got.converged[q]) == (steps, converged)
        np.testing.assert_allclose(got.states[q], state, rtol=0, atol=100 * np.finfo(dtype).eps)
        expected = naive.residual(case.patterns, case.beta, None, got.states[q])
        np.testing.assert_allclose(got.residual[q], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(case.states, start)


def test_retrieve_is_plain_updates_to_the_bit(cuda, dtype):
    case = Case(13, dtype, 300, 5, 8, beta=1.2, weighted=True)
    arguments = (case.patterns, case.states, case.beta, case.log_weights)
    got = _kernels.retrieve(*arguments, max_steps=3, tol=0.0)
    state = case.states
    for _ in range(3):
        state = _kernels.update(case.patterns, state, case.beta, case.log_weights)
    np.testing.assert_array_equal(got.states, state)
    assert (got.steps == 3).all()


def test_the_tolerance_grows_with_the_state(cuda, dtype):
    patterns = np.array([[100.0, 0.0], [100.0, 50.0]], dtype)
    got = _kernels.retrieve(
        patterns, np.array([[100.0, 49.5]], dtype), 1.0, max_steps=0, tol=0.0046
    )
    assert got.converged.all()
    np.testing.assert_allclose(got.residual, 0.5, rtol=1e-6)


# ------------------------------------------------------------------- races and injected faults


ORDERS = [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)]


def every_order(cuda, compute):
    """The results in every order; an error of the device stands for a result."""
    results = []
    for cuda.device.order, cuda.device.seed in ORDERS:
        try:
            results.append(compute())
        except RuntimeError as error:
            results.append(str(error))
    return results


def everything(case):
    """Numbers to which every statement of the kernels contributes."""
    sums = _kernels.tile_sums(*case.arguments, parts=2)
    steps = _kernels.retrieve(case.patterns, case.states, case.beta, max_steps=2, tol=1e-3)
    return (*sums, *steps)


def test_the_order_of_threads_changes_nothing(cuda, dtype):
    case = Case(14, dtype, 140, 66, 40, 260, beta=0.5, weighted=True)
    first, *others = every_order(cuda, lambda: everything(case))
    assert all(same_bits(first, other) for other in others)


@pytest.mark.parametrize("line", BARRIERS)
def test_every_barrier_is_needed(cuda, line):
    case = Case(15, np.float32, 140, 3, 260, 90, beta=0.1)
    right = everything(case)
    cuda.device.skipped_line = line
    results = every_order(cuda, lambda: everything(case))
    assert not all(same_bits(right, other) for other in results)


def check():
    """A little of everything in float32, against the formulas."""
    case = Case(16, np.float32, 300, 3, 40, 60, beta=0.7, weighted=True)
    _, expected, bound = case.expected()
    first = _kernels.tile_sums(
        case.patterns[:70], case.states, case.beta, case.log_weights[:70], case.values[:70], parts=2
    )
    both = _kernels.tile_sums(
        case.patterns[70:], case.states, case.beta, case.log_weights[70:], case.values[70:],
        start=first, parts=3,
    )  # fmt: skip
    assert (np.abs(both.weighted / both.total[:, None] - expected) <= bound).all()
    off = Case(16, np.float32, 300, 3, 40, 60, beta=0.7, weighted=True, offset=1)
    assert (np.abs(_kernels.update(*off.arguments, parts=2) - expected) <= bound).all()
    excluded = np.full(300, -np.inf, np.float32)
    excluded[-1] = 0
    only = _kernels.update(case.patterns, case.states, case.beta, excluded)
    np.testing.assert_array_equal(only, case.patterns[-1:].repeat(3, axis=0))
    test_the_tolerance_grows_with_the_state(None, np.float32)


def test_the_check_passes(cuda):
    check()


FAULTS = {
    "sums not rescaled": ("weighted[c][r].at[j] *= scale;", ";"),
    "total not rescaled": ("sum[r] = sum[r] * scale +", "sum[r] = sum[r] +"),
    "maximum of half a row": (
        "T top = fmax(fmax(z[r].at[0], z[r].at[1]), fmax(z[r].at[2], z[r].at[3]));\n"
        "#pragma unroll\n      for (int other = kLanes / 2;",
        "T top = fmax(fmax(z[r].at[0], z[r].at[1]), fmax(z[r].at[2], z[r].at[3]));\n"
        "      for (int other = kLanes / 4;",
    ),
    "-inf minus -inf": ("m == -infinity() ? T(0) : m", "m"),
    "padding counted": (": T(-infinity());", ": T(0);"),
    "start added in every part": (" && blockIdx.y == 0", ""),
    "parts not rescaled": ("* exp(maximum[slot] - reference(top));", "* T(1);"),
    "vectors at any place": (
        "return (reinterpret_cast<unsigned long long>(data) | columns * sizeof(T)) % 16 == 0;",
        "return data != nullptr && columns != 0;",
    ),
    "one tile too many": (
        "tile < count * (part + 1) / parts",
        "tile <= count * (part + 1) / parts",
    ),
    "tolerance not relative": ("fmax(1.0, size)", "1.0"),
    "a barrier in a branch": (
        "stage_transposed(next);\n      __syncthreads();",
        "stage_transposed(next);\n      if (line < 7) __syncthreads();",
    ),
}
CHECKED = ("hopfix_tile_sums_float32_64", "hopfix_merge_float32", "hopfix_step_float32")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_notices(fault, tmp_path, monkeypatch):
    old, new = FAULTS[fault]
    assert old in SOURCE
    lines = SOURCE.replace(old, new).splitlines()
    small = [line for line in lines if not set(emulated_cuda.kernel_names(line)) - set(CHECKED)]
    library = emulated_cuda.build(tmp_path, "\n".join(small))
    cp = emulated_cuda.EmulatedCuPy(emulated_cuda.Device(library))
    monkeypatch.setitem(sys.modules, "cupy", cp)
    with pytest.raises((AssertionError, RuntimeError)):
        check()


# ----------------------------------------------------------------------- launches and bad input


@given(
    queries=st.integers(1, 10**10),
    patterns=st.integers(1, 10**10),
    value_dim=st.integers(1, 10**6),
    dtype=st.sampled_from(DTYPES),
)
def test_a_launch_covers_the_problem(queries, patterns, value_dim, dtype):
    launch = _kernels.tile_launch(queries, patterns, value_dim, dtype)
    blocks, parts, slabs = launch.grid
    width = int(launch.kernel.rpartition("_")[2])
    assert launch.kernel in emulated_cuda.kernel_names(SOURCE)
    assert (blocks - 1) * 64 < launch.queries <= blocks * 64
    assert launch.queries == queries or launch.queries % 64 == 0
    assert (slabs - 1) * width < value_dim <= slabs * width
    assert slabs == 1 or width == 256
    assert 1 <= parts == launch.parts <= max(1, -(-patterns // 64) // 4)
    assert blocks < 2**31
    assert max(parts, slabs) < 2**16
    assert parts * launch.queries * value_dim <= max(2**26, parts * 64 * value_dim)


def test_a_launch_depends_on_the_batch_in_nothing_but_blocks():
    one, many = (_kernels.tile_launch(count, 5000, 64, "f4") for count in (1, 10**4))
    assert (one.kernel, one.grid[1:]) == (many.kernel, many.grid[1:])
    assert one.parts == 19


ROWS, VECTOR = np.ones((3, 4), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"patterns": ROWS.tolist()}, TypeError, "patterns: got dtype object, need float32"),
        ({"patterns": ROWS.astype("f2")}, TypeError, "patterns: got dtype float16, need float32"),
        ({"patterns": ROWS[0]}, ValueError, r"patterns: got shape \(4,\), need \(any, any\)"),
        ({"patterns": ROWS[:0]}, ValueError, r"patterns: got shape \(0, 4\)"),
        ({"states": ROWS.astype("f8")}, TypeError, "states: got dtype float64, need float32"),
        ({"states": ROWS.tolist()}, TypeError, "states: got list, need a CuPy array"),
        ({"states": ROWS.T}, ValueError, r"states: got shape \(4, 3\), need \(any, 4\)"),
        ({"values": ROWS[:2]}, ValueError, r"values: got shape \(2, 4\), need \(3, any\)"),
        ({"log_weights": ROWS}, ValueError, r"log_weights: got shape \(3, 4\), need \(3\)"),
        ({"rows": VECTOR}, TypeError, "rows: got dtype float32, need int64"),
        ({"start": _kernels.Sums(VECTOR, VECTOR, ROWS[:2])}, ValueError, "start.weighted: got"),
        ({"parts": 2}, ValueError, "parts: got 2, need 1 to 1"),
        ({"parts": 0}, ValueError, "parts: got 0, need 1 to 1"),
    ],
)
def test_bad_input(change, error, message):
    given = {"patterns": ROWS, "states": ROWS, "beta": 1.0, **change}
    with pytest.raises(error, match=message):
        _kernels.tile_sums(**given)


def test_too_many_columns():
    with pytest.raises(ValueError, match="values: got 16776961 columns, need at most 16776960"):
        _kernels.tile_launch(1, 1, 65535 * 256 + 1, np.float32)


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"install hopfix\[cuda12\], or hopfix\[cuda13\]"):
        _kernels.update(ROWS, ROWS, 1.0)


class OnDevice(np.ndarray):
    """An array with the context of its device, as CuPy's have."""

    device = contextlib.nullcontext()


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_on_cupy_reduce_with_the_kernel(cuda, dtype, monkeypatch):
    pytest.importorskip("array_api_compat")
    from hopfix.gpu import _store

    case = Case(3, dtype, 150, 7, 5, beta=2.0)
    store = _store.Store(np, case.patterns, np.zeros(150, dtype), case.beta)
    expected = _store.reduce(store, case.states)
    monkeypatch.setattr(_store, "is_cupy", lambda array: True)
    launches = []
    original = _kernels.tile_sums
    monkeypatch.setattr(
        _kernels, "tile_sums", lambda *given: launches.append(1) or original(*given)
    )
    found = _store.reduce(store, case.states.view(OnDevice))
    assert launches
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
