"""The continuous network against a twin in extended precision and mpmath."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hopfix.classical import BinaryHopfield, ContinuousHopfield

WIDE = np.longdouble
RULES = [None, -0.5, 0.1, ("top", 0.3), ("top", 1.0), ("top", 0.01)]


# ------------------------------------------------------------------------------------- the twin


def sparse(rows, rule):
    rows = np.array(rows, WIDE)
    if isinstance(rule, tuple):
        for row in rows:
            row[np.argsort(-row, kind="stable")[: int(np.floor(rule[1] * len(row)))]] = 0
    elif rule is not None:
        rows[rows > rule] = 0
    return rows


class Twin:
    def __init__(self, X, b=None, rule=None, gain=1.0, zero_diagonal=False):
        self.X, self.rule, self.gain = np.asarray(X, WIDE), rule, WIDE(gain)
        self.inner = sparse(X, rule)
        self.own = zero_diagonal * (self.X**2).sum(axis=0)
        self.b = np.zeros(self.X.shape[1], WIDE) if b is None else np.asarray(b, WIDE)

    @property
    def weights(self):
        return self.X.T @ self.inner - np.diag(self.own)

    def fields(self, S):
        s = sparse(S, self.rule)
        return (s @ self.inner.T) @ self.X - self.own * s

    def arguments(self, S):
        return self.gain * (self.fields(S) - self.b)

    def update(self, S):
        return np.tanh(self.arguments(S))

    def update_error(self, S, eps):
        """Bound of the rounding of any order of sums: fields, gain and bias, tanh."""
        X, d = np.abs(self.X), self.X.shape[1]
        size = (np.abs(np.asarray(S, WIDE)) @ X.T) @ X + np.abs(self.b)
        return self.gain * eps * (2 * d + len(X) + 8) * size + 4 * eps

    def energy(self, S):
        S = np.asarray(S, WIDE)
        form = (S * self.fields(S)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [np.where(s > -1, (1 + s) * np.log1p(s), 0) for s in (S, -S)]
        return -form / 2 + S @ self.b + (terms[0] + terms[1]).sum(axis=1) / (2 * self.gain)

    def jacobian(self, S):
        kept = np.ones(np.shape(S)) if self.rule is None else removed(S, self.rule) == 0
        slopes = self.gain / np.cosh(self.arguments(S)) ** 2
        return slopes[..., None] * self.weights * kept[:, None, :]

    def jacobian_error(self, S, eps):
        """In double precision: of the slopes, |d log sech^2| <= 2, and of W; then of the result."""
        wide = np.finfo(float).eps
        slopes = self.gain / np.cosh(self.arguments(S)) ** 2
        relative = 2 * self.update_error(S, wide) + 16 * wide
        size = np.abs(self.X).T @ np.abs(self.X)
        own = relative[..., None] + wide * (len(self.X) + 4)
        return slopes[..., None] * size * own + eps * np.abs(self.jacobian(S))


def removed(S, rule):
    """Which components a rule sets to zero, whether or not they are zero."""
    shifted = np.asarray(S, WIDE) + 0
    if isinstance(rule, tuple):
        out = np.zeros(shifted.shape)
        m = int(np.floor(rule[1] * shifted.shape[1]))
        np.put_along_axis(out, np.argsort(-shifted, axis=1, kind="stable")[:, :m], 1, axis=1)
        return out
    return (shifted > rule).astype(float)


def problem(n, d, batch, dtype, seed=0):
    rng = np.random.default_rng([n, d, batch, seed])
    X = (rng.normal(size=(n, d)) / np.sqrt(max(n, d))).astype(dtype)
    S = rng.uniform(-1, 1, size=(batch, d)).astype(dtype)
    S[:, ::3] = np.round(S[:, ::3])  # ties, zeros and ends
    return X, (0.1 * rng.normal(size=d)).astype(dtype), S


# N on both sides of d/2 and of a chunk, rows 2 KiB apart, more states than a tile.
SHAPES = [(1, 1, 1), (2, 9, 3), (7, 14, 40), (30, 20, 33), (400, 30, 3), (5, 512, 4), (390, 800, 1)]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("n", "d", "batch"), SHAPES)
def test_updates_and_jacobians_are_the_twins(n, d, batch, rule, dtype):
    X, b, S = problem(n, d, batch, dtype)
    eps = np.finfo(dtype).eps
    for zero_diagonal in (False, True) if rule is None else (False,):
        net = ContinuousHopfield(X, b, rule, gain=1.75, zero_diagonal=zero_diagonal)
        twin = Twin(X, b, rule, 1.75, zero_diagonal)
        assert np.all(np.abs(net.update(S) - twin.update(S)) <= twin.update_error(S, eps))
        if d > 100:
            continue
        got = net.jacobian(S)
        assert got.shape == (batch, d, d)
        assert np.all(np.abs(got - twin.jacobian(S)) <= twin.jacobian_error(S, eps))


@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "batch"), SHAPES)
def test_energies_are_the_twins(n, d, batch, zero_diagonal, dtype):
    X, b, S = problem(n, d, batch, dtype)
    net = ContinuousHopfield(X, b, gain=0.7, zero_diagonal=zero_diagonal)
    want = Twin(X, b, None, 0.7, zero_diagonal).energy(S)
    size = 1 + np.abs(S).sum(axis=1) * (1 + np.abs(b).max()) + np.abs(want)
    assert np.all(np.abs(net.energy(S) - want) <= 10 * np.finfo(dtype).eps * size)


def test_the_gradient_of_the_energy_vanishes_where_states_are_fixed():
    X, b, S = problem(6, 15, 8, float)
    net = ContinuousHopfield(X, b, gain=2.0)
    twin = Twin(X, b, None, 2.0)
    S = 0.9 * S
    for k in range(15):
        step = np.zeros(15)
        step[k] = 1e-6
        slope = (net.energy(S + step) - net.energy(S - step)) / 2e-6
        exact = np.arctanh(S[:, k]) / 2 - (twin.fields(S) - twin.b)[:, k]
        np.testing.assert_allclose(slope, exact.astype(float), atol=1e-8)


def test_the_jacobian_is_the_derivative_of_the_update():
    for rule in (None, -0.5, ("top", 0.25)):
        X, b, S = problem(6, 15, 4, float, seed=1)
        S += 1e-3 * np.arange(15)  # away from ties and thresholds
        net = ContinuousHopfield(X, b, rule, gain=1.3)
        J = net.jacobian(S)
        for k in range(15):
            step = np.zeros(15)
            step[k] = 1e-5
            slope = (net.update(S + step) - net.update(S - step)) / 2e-5
            np.testing.assert_allclose(J[:, :, k], slope, atol=1e-9)


def test_saturated_slopes_do_not_cancel():
    """1 - tanh^2 would be zero."""
    net = ContinuousHopfield([[30.0]])
    J = net.jacobian([0.9])
    want = 900 / mpmath.cosh(mpmath.mpf(900) * mpmath.mpf(0.9)) ** 2
    assert float(J[0, 0]) == pytest.approx(float(want), rel=1e-12)
    net = ContinuousHopfield([[6.0]])
    assert net.jacobian([0.9])[0, 0] == pytest.approx(36 / np.cosh(32.4) ** 2, rel=1e-12)


def test_a_steep_gain_is_the_binary_network():
    rng = np.random.default_rng(3)
    X = rng.choice([-1.0, 1.0], size=(4, 60))
    S = X * np.where(rng.random((4, 60)) < 0.2, -1, 1)
    graded, hard = ContinuousHopfield(X, gain=100.0).retrieve(S), BinaryHopfield(X).retrieve(S)
    assert graded.converged.all()
    np.testing.assert_array_equal(np.sign(graded.states), hard.states)


# ---------------------------------------------------------------------------------- descent


@st.composite
def networks(draw):
    n, d = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    entries = st.floats(-2, 2, allow_subnormal=False)
    X = draw(hnp.arrays(float, (n, d), elements=entries))
    b = draw(hnp.arrays(float, d, elements=entries))
    s = draw(hnp.arrays(float, d, elements=st.floats(-1, 1, allow_subnormal=False)))
    return X, b, s, draw(st.floats(0.1, 5))


@given(networks())
def test_synchronous_updates_never_increase_the_energy(case):
    X, b, s, gain = case
    net = ContinuousHopfield(X, b, gain=gain)
    before = net.energy(s)
    for _ in range(5):
        s = net.update(s)
        after = net.energy(s)
        # Rounding: of the energy, and of tanh near +-1, where artanh is steep but short.
        assert after <= before + 1e-12 * (
            1 + (X**2).sum() * X.shape[1] + np.abs(b).sum() + 40 / gain
        )
        before = after


def test_without_the_diagonal_synchronous_updates_may_cycle():
    net = ContinuousHopfield([[1.0, -1.0]], gain=3.0, zero_diagonal=True)
    found = net.retrieve([0.9, 0.9], max_steps=500)
    assert not found.converged
    twice = net.update(net.update(found.states))
    np.testing.assert_allclose(twice, found.states, atol=1e-12)
    assert ContinuousHopfield([[1.0, -1.0]], gain=3.0).retrieve([0.9, 0.8]).converged


# --------------------------------------------------------------------------------- retrieval


@pytest.mark.parametrize("max_steps", [0, 1, 3, 400])
def test_retrieval_is_plain_iteration(max_steps, dtype):
    X, b, S = problem(6, 15, 9, dtype, seed=2)
    net = ContinuousHopfield(X, b, gain=2.0)
    found = net.retrieve(S, max_steps=max_steps)
    tol = 1e-6 if dtype == np.float32 else 1e-12
    for q, start in enumerate(S):
        s, steps = start, 0
        while True:
            moved = net.update(s)
            r = np.linalg.norm(moved.astype(float) - s)
            settled = r <= tol * max(1.0, np.linalg.norm(s.astype(float)))
            if settled or steps == max_steps:
                break
            s, steps = moved, steps + 1
        np.testing.assert_array_equal(found.states[q], s)
        assert (found.steps[q], found.converged[q]) == (steps, settled)
        assert found.residual[q] == pytest.approx(r, rel=1e-5)


def test_results_do_not_depend_on_batch_or_threads(dtype):
    for n, d in ((30, 200), (30, 40)):
        for rule in (None, -0.2, ("top", 0.2)):
            X, b, S = problem(n, d, 70, dtype)
            one = ContinuousHopfield(X, b, rule, num_threads=1)
            two = ContinuousHopfield(X, b, rule, num_threads=2)
            whole = two.retrieve(S, max_steps=3).states
            np.testing.assert_array_equal(one.retrieve(S, max_steps=3).states, whole)
            for q in (0, 31, 69):
                np.testing.assert_array_equal(one.retrieve(S[q], max_steps=3).states, whole[q])


def test_shapes_and_dtypes(dtype):
    X, b, _ = problem(3, 8, 1, dtype)
    net = ContinuousHopfield(X, b, gain=2.0)
    S = np.zeros((2, 5, 8))
    found = net.retrieve(S)
    assert found.states.shape == (2, 5, 8)
    assert found.steps.shape == found.converged.shape == found.residual.shape == (2, 5)
    assert net.jacobian(S).shape == (2, 5, 8, 8)
    assert net.energy(S[0, 0]).shape == ()
    for result in (net.update(S), net.energy(S), net.jacobian(S), found.states, found.residual):
        assert result.dtype == net.dtype == dtype
    assert net.newton(S).states.dtype == np.float64
    assert net.certify(S).certified.shape == (2, 5)
    np.testing.assert_array_equal(net.bias, b)
    np.testing.assert_array_equal(net.patterns, X)
    assert (net.gain, net.zero_diagonal) == (2.0, False)


# ------------------------------------------------------------------------------- Newton, proofs


def exact_fixed_point(X, b, gain, start):
    """Newton with 40 digits on the exact stored numbers."""
    with mpmath.workdps(40):
        rows, s = mpmath.matrix(X.tolist()), mpmath.matrix(start.tolist())
        W, bias = rows.T * rows, mpmath.matrix(b.tolist())
        for _ in range(12):
            t = (gain * (W * s - bias)).apply(mpmath.tanh)
            J = mpmath.diag([gain * (1 - x**2) for x in t]) * W
            s += mpmath.lu_solve(mpmath.eye(len(start)) - J, t - s)
        return s


def length(difference):
    with mpmath.workdps(40):
        return mpmath.norm(difference)


@pytest.mark.parametrize(("n", "d", "gain"), [(2, 5, 3.0), (4, 7, 2.0), (7, 4, 4.0), (3, 3, 1.5)])
def test_certified_balls_hold_the_exact_fixed_point(n, d, gain):
    X, b, S = problem(n, d, 12, float, seed=4)
    b *= 0.2
    net = ContinuousHopfield(X, b, gain=gain)
    found = net.newton(S)
    assert found.converged.all()
    for move in (0.0, 1e-9, 1e-5):
        states = found.states + move * np.random.default_rng(0).normal(size=S.shape)
        proof = net.certify(states)
        if move < 1e-6:
            assert proof.certified.all()
        for q in np.flatnonzero(proof.certified):
            exact = exact_fixed_point(X, b, gain, states[q])
            assert length(mpmath.matrix(states[q].tolist()) - exact) <= proof.radius[q]
            assert proof.radius[q] < proof.uniqueness_radius[q]
            eigenvalues = np.linalg.eigvals(net.jacobian(found.states[q])).real
            assert proof.morse_index[q] == (eigenvalues > 1).sum()
            low, high = proof.spectral_bounds[q]
            top = np.linalg.eigvals(net.jacobian(states[q])).real.max()
            assert low <= top + 1e-12
            assert top - 1e-12 <= high


def test_other_fixed_points_are_outside_the_uniqueness_ball():
    X, b, _ = problem(3, 6, 1, float, seed=5)
    net = ContinuousHopfield(X, 0 * b, gain=4.0)
    starts = np.random.default_rng(1).uniform(-1, 1, size=(300, 6))
    found = net.newton(starts)
    states = found.states[found.converged]
    proof = net.certify(states)
    assert proof.certified.all()
    distances = np.linalg.norm(states[:, None] - states[None], axis=-1)
    other = distances > 1e-6
    assert other.any(axis=1).all()
    assert len(set(proof.morse_index)) > 1
    assert np.all(np.where(other, distances, np.inf).min(axis=1) >= proof.uniqueness_radius)
    # The energy's Hessian, D^-1 - W, has as many negative eigenvalues as the index says.
    J = net.jacobian(states)
    W = net.patterns.T @ net.patterns
    for state, jacobian, index in zip(states, J, proof.morse_index, strict=True):
        slopes = 4.0 * (1 - state**2)
        np.testing.assert_allclose(jacobian, slopes[:, None] * W, atol=1e-10)
        assert (np.linalg.eigvalsh(np.diag(1 / slopes) - W) < 0).sum() == index


@pytest.mark.parametrize("size", [0.1, 10.0, 1e4])
def test_uniqueness_radii_are_distances_of_states_whatever_the_size_of_patterns(size):
    """x = tanh(2 x) at 0 and at 0.957..., for every size of the one pattern."""
    net = ContinuousHopfield([[size]], gain=2 / size**2)
    found = net.newton([[0.0], [0.9]])
    proof = net.certify(found.states)
    assert proof.certified.all()
    np.testing.assert_array_equal(proof.morse_index, [1, 0])
    assert np.all(proof.uniqueness_radius < found.states[1, 0])
    assert np.all(proof.uniqueness_radius > 0.05)


def test_what_is_no_fixed_point_is_not_certified():
    X, b, S = problem(5, 12, 200, float, seed=6)
    net = ContinuousHopfield(X, b, gain=2.0)
    proof = net.certify(S)
    found = net.newton(S)
    near = np.linalg.norm(found.states - S, axis=1) <= 0.5
    assert not proof.certified[~near & (np.linalg.norm(net.update(S) - S, axis=1) > 1)].any()
    assert np.isnan(proof.radius[~proof.certified]).all()
    for q in np.flatnonzero(~proof.certified):
        assert proof.reasons[q]


def test_a_pitchfork_is_degenerate():
    """tanh(g x) has slope g at 0: one fixed point below 1, three above, no proof at 1."""
    for gain, certified in ((0.999, True), (1.0, False), (1.001, True)):
        proof = ContinuousHopfield([[1.0]], gain=gain).certify([0.0])
        assert bool(proof.certified) == certified
        if certified:
            assert int(proof.morse_index) == (gain > 1)
            others = np.sqrt(3 * max(0.0, gain - 1)) if gain > 1 else np.inf
            assert float(proof.uniqueness_radius) < others
    assert "degenerate" in ContinuousHopfield([[1.0]]).certify([0.0]).reasons[0]


def test_degenerate_and_extreme_networks_do_not_deceive():
    """Where there is no W to speak of, 0 is the fixed point, and the only one."""
    for size in (0.0, 1e-200):
        proof = ContinuousHopfield([[size, size]]).certify([0.5, 0.0])
        assert not proof.certified or 0.5 <= proof.radius < 0.5 + 1e-9
    huge = ContinuousHopfield([[1e80, -1e80]], [1.0, 1.0])
    proof = huge.certify([1.0, -1.0])
    assert np.all(~proof.certified | (proof.radius >= 0))
    wide = ContinuousHopfield(np.full((3, 4), 1e5), np.full(4, 1e9))
    assert np.isfinite(wide.newton(np.ones(4)).states).all()


def test_saturated_memories_are_certified():
    rng = np.random.default_rng(7)
    X = rng.choice([-1.0, 1.0], size=(30, 400))
    net = ContinuousHopfield(X)
    proof = net.certify(net.retrieve(X).states)
    assert proof.certified.all()
    assert not proof.morse_index.any()
    assert (proof.radius < 1e-9).all()
    assert (proof.uniqueness_radius > 1e-3).all()


def test_newton_without_the_diagonal_and_with_more_patterns_than_components():
    for n, d in ((4, 12), (20, 7)):
        X, b, S = problem(n, d, 20, float, seed=8)
        net = ContinuousHopfield(X, b, gain=1.5, zero_diagonal=True)
        found = net.newton(0.1 * S)
        assert found.converged.any()
        moved = Twin(X, b, None, 1.5, True).update(found.states)
        gap = np.linalg.norm((moved - found.states).astype(float), axis=1)
        assert (gap[found.converged] <= 2e-12 * np.sqrt(d)).all()
        np.testing.assert_allclose(
            found.residual[found.converged], gap[found.converged], atol=1e-13
        )


# -------------------------------------------------------------------------------------- errors


def net3(*args, **kwargs):
    return ContinuousHopfield([[0.5, -0.5, 1.0]], *args, **kwargs)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ContinuousHopfield([[1.0, np.nan]]), ValueError, "patterns: got nan"),
        (lambda: ContinuousHopfield([1.0]), ValueError, "patterns: got 1 dimensions"),
        (lambda: net3([1.0]), ValueError, "bias: got shape (1,), need (3,), one per component"),
        (lambda: net3(None, np.inf), ValueError, "sparsify_above: got inf"),
        (lambda: net3(None, "top"), ValueError, "sparsify_above: got 'top'"),
        (lambda: net3(None, ("most", 0.1)), ValueError, "sparsify_above: got ('most', 0.1)"),
        (lambda: net3(None, ("top", 0)), ValueError, "sparsify_above: got fraction 0"),
        (lambda: net3(None, ("top", 1.5)), ValueError, "sparsify_above: got fraction 1.5"),
        (lambda: net3(None, [0.5]), TypeError, "sparsify_above: got list"),
        (lambda: net3(gain=0), ValueError, "gain: got 0"),
        (lambda: net3(gain="1"), TypeError, "gain: got str"),
        (lambda: net3(zero_diagonal=1), TypeError, "zero_diagonal: got int"),
        (
            lambda: net3(None, -0.5, zero_diagonal=True),
            ValueError,
            "zero_diagonal: got True, need False",
        ),
        (lambda: net3().update([1.0, 1.0]), ValueError, "states: got shape (2,)"),
        (lambda: net3().update([1.0, 1.0, np.inf]), ValueError, "states: got inf"),
        (
            lambda: net3().energy([[0, 0, 0], [0, 1.5, 0]]),
            ValueError,
            "states: got 1.5 at index (1, 1), need entries within [-1, 1]",
        ),
        (lambda: net3(None, -0.5).energy([0, 0, 0]), ValueError, "energy: does not exist"),
        (lambda: net3(None, -0.5).newton([0, 0, 0]), ValueError, "newton: does not exist"),
        (lambda: net3(None, -0.5).certify([0, 0, 0]), ValueError, "certify: does not exist"),
        (
            lambda: net3(zero_diagonal=True).certify([0, 0, 0]),
            ValueError,
            "certify: does not exist for a network with zero_diagonal",
        ),
        (lambda: net3().retrieve([0, 0, 0], tol=-1), ValueError, "tol: got -1"),
        (lambda: net3().retrieve([0, 0, 0], max_steps=0.5), TypeError, "max_steps: got float"),
        (lambda: net3().newton([0, 0, 0], max_steps=-1), ValueError, "max_steps: got -1"),
        (
            lambda: ContinuousHopfield([[1e200, -1e200]]).update([1.0, 1.0]),
            ValueError,
            "states: the computation overflows",
        ),
    ],
)
def test_wrong_input_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
