"""The binary network against a brute-force twin in int64, bit for bit."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopfix
from hopfix.classical import BinaryHopfield

MASK = 2**64 - 1


# ------------------------------------------------------------------------------------- the twin


def weights(X, zero_diagonal):
    W = np.rint(X.T.astype(float) @ X.astype(float)).astype(np.int64)  # sums far below 2^53
    return W - np.diag(np.diag(W)) if zero_diagonal else W


def fields(W, b, s):
    """2 (W s - b), exactly, for biases that are multiples of one half."""
    return 2 * (W @ s) - np.rint(2 * b).astype(np.int64)


def decide(h, s):
    return np.where(h > 0, 1, np.where(h < 0, -1, s))


def synchronous(W, b, s, max_steps):
    states = [s]
    for _ in range(max_steps + 2):
        states.append(decide(fields(W, b, states[-1]), states[-1]))
    for k in range(max_steps + 1):
        for period in (1, 2):
            if np.array_equal(states[k], states[k + period]):
                return states[k], k, period
    return states[max_steps], max_steps, 0


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def shuffle(d, seed, sweep):
    """Fisher and Yates, SplitMix64 and Lemire's bound, from their papers."""
    order, state = list(range(d)), (mix(seed) + sweep) & MASK
    for k in range(d, 1, -1):
        while True:
            state = (state + 0x9E3779B97F4A7C15) & MASK
            product = (mix(state) >> 32) * k
            if product % 2**32 >= 2**32 % k:
                break
        j = product >> 32
        order[k - 1], order[j] = order[j], order[k - 1]
    return order


def asynchronous(W, b, s, max_steps, order_of):
    s = s.copy()
    for k in range(max_steps):
        changed = False
        for c in order_of(k):
            h = 2 * int(W[c] @ s) - round(2 * b[c])
            new = 1 if h > 0 else -1 if h < 0 else s[c]
            changed |= new != s[c]
            s[c] = new
        if not changed:
            return s, k, 1
    return s, max_steps, int(np.array_equal(decide(fields(W, b, s), s), s))


# ------------------------------------------------------------------------------------- problems


def problem(n, d, batch, seed, *, kind="random", bias=False):
    """Patterns, biases in halves, and queries near the patterns and away from them."""
    rng = np.random.default_rng([n, d, batch, seed])
    X = rng.choice([-1, 1], size=(n, d))
    if kind == "equal":
        X[:] = X[0]
    elif kind == "opposite":
        X[1::2] = -X[: len(X) // 2 * 2 : 2]
    elif kind == "close":  # to one another or to opposites, with large overlaps
        X = np.where(rng.random((n, d)) < 0.7, X[0], X) * rng.choice([-1, 1], size=(n, 1))
    b = rng.integers(-4, 5, size=d) * n / 2 if bias else np.zeros(d)
    S = X[rng.integers(n, size=batch)] * np.where(rng.random((batch, d)) < 0.2, -1, 1)
    S[::2] = rng.choice([-1, 1], size=S[::2].shape)
    if kind == "balanced":  # all fields of the first query are about the bias
        b = X.T @ (X @ S[0]) + rng.integers(-n, n + 1, size=d)
    return X, b, S


# On both sides of a word, a chunk, an index word and a block; sums beyond 16 bits; two slices.
SHAPES = [
    (1, 1, 1),
    (2, 3, 4),
    (7, 63, 3),
    (8, 64, 9),
    (15, 65, 8),
    (16, 127, 17),
    (17, 128, 5),
    (64, 129, 4),
    (65, 300, 3),
    (31, 1500, 3),
    (40, 2500, 2),
    (2000, 33, 5),
]


@pytest.mark.parametrize("kind", ["random", "equal", "opposite"])
@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "batch"), SHAPES)
def test_updates_and_energies_are_exact(n, d, batch, zero_diagonal, kind):
    for bias in (False, True):
        X, b, S = problem(n, d, batch, 0, kind=kind, bias=bias)
        W = weights(X, zero_diagonal)
        net = BinaryHopfield(X, b if bias else None, zero_diagonal)
        want = np.array([decide(fields(W, b, s), s) for s in S])
        np.testing.assert_array_equal(net.update(S), want)
        energies = [-0.5 * int(s @ W @ s) + float(b @ s) for s in S]
        np.testing.assert_array_equal(net.energy(S), energies)


def test_overlaps_beyond_what_tables_hold_are_exact():
    """Overlaps far above 2^15 take several digits, and runs of 16-bit sums several ends."""
    rng = np.random.default_rng(1)
    d = 40_000
    X = np.where(rng.random((80, d)) < 0.05, -1, 1)
    S = X[:3] * np.where(rng.random((3, d)) < 0.4, -1, 1)
    M = S @ X.T
    assert np.abs(M).max() > 2**12
    assert np.abs(BinaryHopfield(X).energy(X) + 0.5 * ((X @ X.T) ** 2).sum(axis=1)).max() == 0
    np.testing.assert_array_equal(BinaryHopfield(X).update(S), decide(M @ X, S))
    np.testing.assert_array_equal(BinaryHopfield(X).update(X), decide((X @ X.T) @ X, X))


@pytest.mark.parametrize("max_steps", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "batch"), [(1, 1, 2), (3, 20, 16), (12, 65, 24), (60, 70, 24)])
def test_synchronous_retrieval_is_the_twins(n, d, batch, zero_diagonal, max_steps):
    X, b, S = problem(n, d, batch, 1, bias=bool(n % 2))
    W = weights(X, zero_diagonal)
    found = BinaryHopfield(X, b, zero_diagonal).retrieve(S, max_steps=max_steps)
    for q, s in enumerate(S):
        state, steps, period = synchronous(W, b, s, max_steps)
        np.testing.assert_array_equal(found.states[q], state)
        assert (found.steps[q], found.period[q]) == (steps, period)
    np.testing.assert_array_equal(found.converged, found.period == 1)


@pytest.mark.parametrize("max_steps", [0, 1, 2, 50])
@pytest.mark.parametrize("order", ["cyclic", "random"])
@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "batch"), [(1, 1, 2), (5, 40, 6), (30, 66, 6), (70, 130, 4)])
def test_asynchronous_retrieval_is_the_twins(n, d, batch, zero_diagonal, order, max_steps):
    X, b, S = problem(n, d, batch, 2, bias=bool(n % 2))
    W = weights(X, zero_diagonal)
    net = BinaryHopfield(X, b, zero_diagonal)
    found = net.retrieve(S, "asynchronous", order, seed=7, max_steps=max_steps)
    order_of = (lambda k: range(d)) if order == "cyclic" else (lambda k: shuffle(d, 7, k))
    for q, s in enumerate(S):
        state, steps, period = asynchronous(W, b, s, max_steps, order_of)
        np.testing.assert_array_equal(found.states[q], state)
        assert (found.steps[q], found.period[q]) == (steps, period)


def sweeps_by_overlaps(X, b, S, max_steps, zero_diagonal, order_of):
    """As `asynchronous`, for all queries at once, and without W."""
    S, M = S.copy(), S @ X.T
    steps = np.full(len(S), max_steps)
    for k in range(max_steps):
        start = S.copy()
        for c in order_of(k):
            h = 2 * (M @ X[:, c] - zero_diagonal * len(X) * S[:, c]) - round(2 * b[c])
            new = decide(h, S[:, c])
            if (new != S[:, c]).any():
                M += np.outer(new - S[:, c], X[:, c])
                S[:, c] = new
        still = (start == S).all(axis=1)
        steps[still] = np.minimum(steps[still], k)
        if still.all():
            break
    return S, steps


# Several tiles of queries; overlaps of several digits; more chunks than couplings are kept of;
# couplings beyond 16 bits; fields of several sums.
@pytest.mark.parametrize("order", ["cyclic", "random"])
@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize(
    ("n", "d", "batch", "kind", "most"),
    [
        (60, 700, 90, "random", 12),
        (64, 385, 9, "opposite", 5),
        (30, 20_000, 6, "close", 2),
        (30, 17_000, 2, "balanced", 2),
        (40_000, 130, 5, "equal", 3),
        (40_000, 20, 5, "random", 3),
        (3000, 256, 11, "random", 5),
    ],
)
def test_many_and_large_sweeps_are_the_twins(n, d, batch, kind, most, zero_diagonal, order):
    X, b, S = problem(n, d, batch, 4, kind=kind, bias=True)
    net = BinaryHopfield(X, b, zero_diagonal, num_threads=2)
    found = net.retrieve(S, "asynchronous", order, seed=11, max_steps=most)
    order_of = (lambda k: range(d)) if order == "cyclic" else (lambda k: shuffle(d, 11, k))
    states, steps = sweeps_by_overlaps(X, b, S, most, zero_diagonal, order_of)
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_array_equal(found.steps, steps)


def test_a_cycle_of_two_states_is_found_and_named():
    """Without a diagonal one pattern and its opposite halves swap for ever."""
    x = np.ones(4)
    net = BinaryHopfield(x[None], zero_diagonal=True)
    # W = 1 - I: at (+, -, -, +) the fields are (-1, 1, 1, -1).
    found = net.retrieve([1.0, -1, -1, 1])
    assert (int(found.steps), int(found.period), bool(found.converged)) == (0, 2, False)
    np.testing.assert_array_equal(found.states, [1, -1, -1, 1])
    assert int(net.retrieve([1.0, -1, -1, 1], "asynchronous").period) == 1


def test_a_field_of_zero_keeps_the_component():
    net = BinaryHopfield([[1, 1, 1, 1]], zero_diagonal=True, bias=[1, -1, 1, -1])
    # Fields of (1, 1, -1, -1) are (-1, -1, 1, 1), minus the bias (-2, 0, 0, 2).
    np.testing.assert_array_equal(net.update([1, 1, -1, -1]), [-1, 1, -1, 1])


@pytest.mark.parametrize("bias", [0.5, 1e-300, 1e300, -1e300, np.nextafter(3, 4)])
def test_comparisons_with_the_bias_are_exact(bias):
    """The field of the pattern of ones is 3 everywhere."""
    net = BinaryHopfield([[1, 1, 1]], bias=[bias] * 3)
    want = 1 if bias < 3 else -1
    np.testing.assert_array_equal(net.update([1, 1, 1]), [want] * 3)
    net = BinaryHopfield([[1, 1, 1]], bias=[np.nextafter(3, 0)] * 3)
    np.testing.assert_array_equal(net.update([1, 1, 1]), [1] * 3)


# ----------------------------------------------------------------------------------- properties

signs = st.sampled_from([-1, 1])


@st.composite
def networks(draw):
    n, d = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    row = st.lists(signs, min_size=d, max_size=d)
    X = np.array(draw(st.lists(row, min_size=n, max_size=n)))
    b = np.array(draw(st.lists(st.integers(-6, 6), min_size=d, max_size=d))) / 2
    return X, b, np.array(draw(row)), draw(st.booleans())


@given(networks(), st.integers(0, 2**70))
def test_asynchronous_retrieval_lowers_the_energy_to_a_fixed_point(case, seed):
    X, b, s, zero_diagonal = case
    net = BinaryHopfield(X, b, zero_diagonal)
    for order in ("cyclic", "random"):
        found = net.retrieve(s, "asynchronous", order, seed)
        assert found.converged
        np.testing.assert_array_equal(net.update(found.states), found.states)
        assert net.energy(found.states) <= net.energy(s)
        changed = not np.array_equal(found.states, s)
        assert changed == (found.steps > 0)


@given(networks())
def test_synchronous_retrieval_ends_in_a_fixed_point_or_a_cycle_of_two(case):
    X, b, s, zero_diagonal = case
    net = BinaryHopfield(X, b, zero_diagonal)
    found = net.retrieve(s)
    assert found.period in (1, 2)
    once = net.update(found.states)
    assert np.array_equal(once, found.states) == (found.period == 1)
    np.testing.assert_array_equal(net.update(once), found.states)


@given(networks())
def test_opposite_states_have_opposite_updates_without_a_bias(case):
    X, _, s, zero_diagonal = case
    net = BinaryHopfield(X, None, zero_diagonal)
    np.testing.assert_array_equal(net.update(-s), -net.update(s))


# ------------------------------------------------------------------ batches, threads, levels, API


WAYS = [("synchronous", "cyclic"), ("asynchronous", "cyclic"), ("asynchronous", "random")]


def calls(net, S):
    yield net.update(S)
    yield net.energy(S)
    for mode, order in WAYS:
        found = net.retrieve(S, mode, order, seed=3)
        yield from (found.states, found.steps, found.period)


def test_results_do_not_depend_on_batch_or_threads():
    X, b, S = problem(90, 700, 40, 3, bias=True)
    many = list(calls(BinaryHopfield(X, b, num_threads=2), S))
    one = list(calls(BinaryHopfield(X, b, num_threads=1), S))
    for got, want in zip(many, one, strict=True):
        np.testing.assert_array_equal(got, want)
    net = BinaryHopfield(X, b)
    for q in (0, 17, 39):
        for got, want in zip(calls(net, S[q]), many, strict=True):
            np.testing.assert_array_equal(got, want[q])


@pytest.mark.parametrize("order", ["cyclic", "random"])
def test_more_queries_than_a_slice_holds_are_swept_alike(order):
    X, b, S = problem(6, 20, 5000, 5, bias=True)
    net = BinaryHopfield(X, b)
    whole = net.retrieve(S, "asynchronous", order)
    for part in (slice(0, 3000), slice(3000, 5000)):
        found = net.retrieve(S[part], "asynchronous", order)
        np.testing.assert_array_equal(found.states, whole.states[part])
        np.testing.assert_array_equal(found.steps, whole.steps[part])


SCRIPT = """
import sys, numpy as np, hopfix
from hopfix.classical import BinaryHopfield
rng = np.random.default_rng(5)
out = []
for n, d in ((5, 40), (33, 3000), (2000, 50), (40_000, 140), (700, 400)):
    X = rng.choice([-1, 1], size=(n, d))
    X[n // 2 :] = X[: n - n // 2]
    S = X[:4] * np.where(rng.random((4, d)) < 0.3, -1, 1)
    net = BinaryHopfield(X, rng.integers(-3, 4, size=d), True)
    found = [net.retrieve(S, max_steps=5), net.retrieve(S, "asynchronous")]
    found.append(net.retrieve(S, "asynchronous", "random", 2))
    out += [net.update(S), net.energy(S)] + [a for f in found for a in (f.states, f.steps)]
np.savez(sys.argv[1], *out)
"""


def test_every_level_computes_the_same(tmp_path):
    results = {}
    for level in hopfix.get_config()["isa_supported"]:
        path = tmp_path / f"{level}.npz"
        env = os.environ | {
            "HOPFIX_ISA": level,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        subprocess.run([sys.executable, "-c", SCRIPT, path], env=env, check=True, timeout=60)
        with np.load(path) as out:
            results[level] = [out[key] for key in out]
    first = next(iter(results.values()))
    for other in results.values():
        for got, want in zip(other, first, strict=True):
            np.testing.assert_array_equal(got, want)


def test_shapes_dtypes_and_copies(dtype):
    X = np.array([[1, -1, 1], [1, 1, -1]], dtype)
    net = BinaryHopfield(X)
    before = X.copy()
    X[:] = 5
    np.testing.assert_array_equal(net.patterns, before)
    assert net.dtype == dtype
    S = np.ones((2, 4, 3))
    found = net.retrieve(S)
    assert found.states.shape == (2, 4, 3)
    assert found.steps.shape == found.period.shape == found.converged.shape == (2, 4)
    assert found.states.dtype == net.update(S).dtype == net.energy(S).dtype == dtype
    assert net.energy(S[0, 0]).shape == ()
    assert BinaryHopfield(X.astype(np.int8) * 0 + 1).dtype == np.float64
    np.testing.assert_array_equal(net.bias, np.zeros(3))
    assert not net.zero_diagonal


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: BinaryHopfield([[1.0, 0.5]]), ValueError, "patterns: got 0.5 at index (0, 1)"),
        (lambda: BinaryHopfield([[True, False]]), ValueError, "patterns: got 0.0"),
        (lambda: BinaryHopfield([[1.0, np.nan]]), ValueError, "patterns: got nan"),
        (lambda: BinaryHopfield([1, 1]), ValueError, "patterns: got 1 dimensions"),
        (lambda: BinaryHopfield([[1, 1j]]), TypeError, "patterns: got dtype complex128"),
        (
            lambda: BinaryHopfield(np.broadcast_to(np.float32(1), (2**16, 2**15))),
            ValueError,
            "patterns: got shape (65536, 32768)",
        ),
        (lambda: BinaryHopfield([[1, 1]], [1]), ValueError, "bias: got shape (1,), need (2,)"),
        (lambda: BinaryHopfield([[1, 1]], [1, np.inf]), ValueError, "bias: got inf"),
        (lambda: BinaryHopfield([[1, 1]], None, 1), TypeError, "zero_diagonal: got int"),
        (lambda: BinaryHopfield([[1]], num_threads=0), ValueError, "num_threads: got 0"),
        (lambda: net2().update([1, 0]), ValueError, "states: got 0.0 at index (1,)"),
        (lambda: net2().energy([[1, 1], [1, 3]]), ValueError, "states: got 3.0 at index (1, 1)"),
        (lambda: net2().update([1, 1, 1]), ValueError, "states: got shape (3,)"),
        (lambda: net2().retrieve([1, 1], "async"), ValueError, "mode: got 'async'"),
        (lambda: net2().retrieve([1, 1], order="any"), ValueError, "order: got 'any'"),
        (lambda: net2().retrieve([1, 1], seed=-1), ValueError, "seed: got -1"),
        (lambda: net2().retrieve([1, 1], seed=0.5), TypeError, "seed: got float"),
        (lambda: net2().retrieve([1, 1], max_steps=-1), ValueError, "max_steps: got -1"),
    ],
)
def test_wrong_input_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)


def net2():
    return BinaryHopfield([[1, -1]])
