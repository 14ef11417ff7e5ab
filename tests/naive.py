"""An independent, naive twin of hopfix, written from the formulas alone; the tests' oracle.

Three layers, none of which shares code with the library:

* NumPy in extended precision (`numpy.longdouble`, 64-bit mantissa on x86): map, energy, Jacobian;
* a-priori bounds on the rounding error of any sensible float32/float64 evaluation (`*_error`), so
  that no test carries a hand-tuned tolerance;
* mpmath with 50 digits: the map, its Jacobian, and Newton's method (`newton_mp`).

Throughout: patterns (N, d), states (..., d), log_weights (N,) or None.  Where `longdouble` is only
a double (macOS, Windows), the bounds still hold: both sides round, and every bound has a factor 2
to spare.
"""

from itertools import pairwise
from math import comb

import mpmath
import numpy as np
from scipy.optimize import brentq, minimize_scalar

WIDE = np.longdouble
DIGITS = 50


# ---------------------------------------------------------------------------------------- data


def unit_patterns(d, N, seed):
    """N random unit vectors in R^d as rows, exactly those of MATH.md's tables."""
    columns = np.random.default_rng(seed).normal(size=(d, N))
    return np.ascontiguousarray((columns / np.linalg.norm(columns, axis=0)).T)


def orthonormal_patterns(N, d, seed):
    """N random orthonormal vectors in R^d (N <= d) as rows."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, N)))
    return np.ascontiguousarray(q.T)


# -------------------------------------------------------------------- the map, extended precision


def _wide(patterns, log_weights, states):
    x = np.asarray(patterns, WIDE)
    b = np.zeros(len(x), WIDE) if log_weights is None else np.asarray(log_weights, WIDE)
    return x, b, np.asarray(states, WIDE)


def weights(patterns, beta, log_weights, states):
    """softmax(beta x_i.xi + b_i), shape (..., N)."""
    x, b, s = _wide(patterns, log_weights, states)
    z = WIDE(beta) * (s @ x.T) + b
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def update(patterns, beta, log_weights, states):
    """f(xi) = sum_i p_i x_i, shape (..., d)."""
    return weights(patterns, beta, log_weights, states) @ np.asarray(patterns, WIDE)


def energy(patterns, beta, log_weights, states):
    """|xi|^2/2 - log(sum_i exp z_i)/beta, shape (...)."""
    x, b, s = _wide(patterns, log_weights, states)
    z = WIDE(beta) * (s @ x.T) + b
    top = z.max(axis=-1)
    log_sum = top + np.log(np.exp(z - top[..., None]).sum(axis=-1))
    return (s * s).sum(axis=-1) / 2 - log_sum / WIDE(beta)


def jacobian(patterns, beta, log_weights, states):
    """beta Cov_p(x), shape (..., d, d), from patterns centred at f(xi)."""
    p = weights(patterns, beta, log_weights, states)
    x = np.asarray(patterns, WIDE)
    y = x - (p @ x)[..., None, :]
    return WIDE(beta) * np.swapaxes(p[..., None] * y, -1, -2) @ y


def jvp(patterns, beta, log_weights, states, t):
    """J(xi) t, shape (..., d)."""
    j = jacobian(patterns, beta, log_weights, states)
    return (j @ np.asarray(t, WIDE)[..., None])[..., 0]


def residual(patterns, beta, log_weights, states):
    """|f(xi) - xi|_2, shape (...)."""
    s = np.asarray(states, WIDE)
    move = update(patterns, beta, log_weights, s) - s
    return np.sqrt((move * move).sum(axis=-1))


def retrieve(patterns, beta, log_weights, state, max_steps, tol):
    """Plain iteration of one state: (state, steps, converged); stops once a state passes."""
    state = np.asarray(state, WIDE)
    for steps in range(max_steps + 1):
        size = max(WIDE(1), np.sqrt((state * state).sum()))
        if residual(patterns, beta, log_weights, state) <= tol * size:
            return state, steps, True
        if steps < max_steps:
            state = update(patterns, beta, log_weights, state)
    return state, max_steps, False


def newton(patterns, beta, log_weights, state, steps=50):
    """Newton's method for f(xi) = xi in plain float64; returns the last iterate."""
    state = np.array(state, np.float64)
    for _ in range(steps):
        gap = np.asarray(update(patterns, beta, log_weights, state) - state, np.float64)
        j = np.asarray(jacobian(patterns, beta, log_weights, state), np.float64)
        state = state + np.linalg.solve(np.eye(len(state)) - j, gap)
    return state


# ------------------------------------------------------------------------------ rounding bounds
#
# eps is the machine epsilon of the network's dtype.  A sum of n products in any order is off by at
# most n (eps/2) sum|a||b| to first order; the bounds below use eps instead of eps/2, a factor 2 to
# spare.


def logit_error(patterns, beta, log_weights, states, eps):
    """Largest error of a logit, per state: d products, rounded beta and b, the shift by max z."""
    x, b, s = _wide(patterns, log_weights, states)
    size = WIDE(beta) * (np.abs(s) @ np.abs(x).T) + np.abs(b)
    return eps * (x.shape[1] + 6) * size.max(axis=-1)


def relative_weight_error(patterns, beta, log_weights, states, eps):
    """Relative error of each weight: one logit error above and one below, and a sum of N terms."""
    delta = logit_error(patterns, beta, log_weights, states, eps)
    return np.expm1(np.minimum(2 * delta, 50)) + eps * (len(patterns) + 8)


def _tiny(eps):
    """Weights below the smallest normal number may be flushed to zero."""
    return np.finfo(np.float32 if eps > 1e-10 else np.float64).tiny * 4


def weights_error(patterns, beta, log_weights, states, eps):
    """Absolute error of the weights, shape (..., N)."""
    p = weights(patterns, beta, log_weights, states)
    return relative_weight_error(patterns, beta, log_weights, states, eps)[..., None] * p + _tiny(
        eps
    )


def update_error(patterns, beta, log_weights, states, eps):
    """Absolute error of f(xi), shape (..., d)."""
    x = np.abs(np.asarray(patterns, WIDE))
    p = weights(patterns, beta, log_weights, states)
    relative = relative_weight_error(patterns, beta, log_weights, states, eps)[..., None]
    return (relative + eps * (len(x) + 4)) * (p @ x) + _tiny(eps) * x.sum(axis=0)


def energy_error(patterns, beta, log_weights, states, eps):
    """Absolute error of the energy, shape (...)."""
    s = np.asarray(states, WIDE)
    half = (s * s).sum(axis=-1) / 2
    log_sum = np.abs(half - energy(patterns, beta, log_weights, states))  # |log sum exp| / beta
    delta = logit_error(patterns, beta, log_weights, states, eps) + eps * (len(patterns) + 8)
    return eps * (s.shape[-1] + 4) * half + delta / WIDE(beta) + eps * 4 * (log_sum + half)


def residual_error(patterns, beta, log_weights, states, eps):
    """Absolute error of |f(xi) - xi|_2, shape (...)."""
    s = np.asarray(states, WIDE)
    entry = update_error(patterns, beta, log_weights, s, eps) + eps * np.abs(s)
    r = residual(patterns, beta, log_weights, s)
    return np.sqrt((entry * entry).sum(axis=-1)) + eps * (s.shape[-1] + 4) * r


def jacobian_error(patterns, beta, log_weights, states, eps):
    """Absolute error of J formed from centred patterns, shape (..., d, d).

    With e the error of f and y = x - f:  beta (relative |y||y|' + e |y|' + |y| e' + e e'), averaged
    under p.  At a sharp memory this is of order eps^2: a Jacobian formed as sum p x x' - f f' fails
    it, as it must.
    """
    p = weights(patterns, beta, log_weights, states)
    x = np.asarray(patterns, WIDE)
    y = np.abs(x - (p @ x)[..., None, :])
    relative = relative_weight_error(patterns, beta, log_weights, states, eps)[..., None, None]
    e = update_error(patterns, beta, log_weights, states, eps)
    mean = (p[..., None, :] @ y)[..., 0, :]
    spread = np.swapaxes(p[..., None] * y, -1, -2) @ y
    cross = e[..., :, None] * mean[..., None, :]
    square = e[..., :, None] * e[..., None, :]
    size = (relative + eps * (len(x) + 8)) * spread + cross + np.swapaxes(cross, -1, -2) + square
    return WIDE(beta) * (size + _tiny(eps) * np.swapaxes(y, -1, -2) @ y)


def jvp_error(patterns, beta, log_weights, states, t, eps):
    """Absolute error of J t when x.t is formed before it is centred, shape (..., d)."""
    p = weights(patterns, beta, log_weights, states)
    x = np.asarray(patterns, WIDE)
    size = np.abs(x) + np.abs(p @ x)[..., None, :]
    along = (size @ np.abs(np.asarray(t, WIDE))[..., None])[..., 0]
    relative = relative_weight_error(patterns, beta, log_weights, states, eps)[..., None]
    factor = 4 * relative + eps * 4 * (x.shape[0] + x.shape[1] + 8)
    mean = ((p * along)[..., None, :] @ size)[..., 0, :]
    return WIDE(beta) * (factor * mean + _tiny(eps) * (along[..., None, :] @ size)[..., 0, :])


# -------------------------------------------------------------------------- mpmath, 50 digits


def _mp_rows(array):
    return [
        [mpmath.mpf(float(v)) for v in row] for row in np.atleast_2d(np.asarray(array, np.float64))
    ]


def _mp_problem(patterns, beta, log_weights):
    x = _mp_rows(patterns)
    b = [mpmath.mpf(0)] * len(x) if log_weights is None else _mp_rows(log_weights)[0]
    return x, mpmath.mpf(float(beta)), b


def _mp_softmax(z):
    top = max(z)
    e = [mpmath.exp(v - top) for v in z]
    total = mpmath.fsum(e)
    return [v / total for v in e]


def _mp_point(state):
    return [v if isinstance(v, mpmath.mpf) else mpmath.mpf(float(v)) for v in state]


def weights_mp(patterns, beta, log_weights, state):
    """The weights at one state, 50 digits, as a list of mpf."""
    with mpmath.workdps(DIGITS):
        x, beta, b = _mp_problem(patterns, beta, log_weights)
        s = _mp_point(state)
        return _mp_softmax([beta * mpmath.fdot(row, s) + bi for row, bi in zip(x, b, strict=True)])


def update_mp(patterns, beta, log_weights, state):
    """f at one state, 50 digits, as a list of mpf."""
    with mpmath.workdps(DIGITS):
        x, _, _ = _mp_problem(patterns, beta, log_weights)
        p = weights_mp(patterns, beta, log_weights, state)
        return [mpmath.fdot(p, column) for column in zip(*x, strict=True)]


def jacobian_mp(patterns, beta, log_weights, state):
    """J at one state, 50 digits, as an mpmath matrix."""
    with mpmath.workdps(DIGITS):
        x, beta_mp, _ = _mp_problem(patterns, beta, log_weights)
        p = weights_mp(patterns, beta, log_weights, state)
        f = [mpmath.fdot(p, column) for column in zip(*x, strict=True)]
        y = [[v - m for v, m in zip(row, f, strict=True)] for row in x]
        d = len(f)
        j = mpmath.zeros(d)
        for a in range(d):
            for c in range(a + 1):
                j[a, c] = j[c, a] = beta_mp * mpmath.fsum(
                    pi * row[a] * row[c] for pi, row in zip(p, y, strict=True)
                )
        return j


def eigenvalues_mp(patterns, beta, log_weights, state):
    """Eigenvalues of J at one state, ascending, as a list of 50-digit mpf.

    When d > N only the N that can differ from 0 are given: those of the Gram matrix of the vectors
    sqrt(beta p_i) (x_i - f).
    """
    with mpmath.workdps(DIGITS):
        x, beta_mp, _ = _mp_problem(patterns, beta, log_weights)
        if len(x[0]) <= len(x):
            matrix = jacobian_mp(patterns, beta, log_weights, state)
        else:
            p = weights_mp(patterns, beta, log_weights, state)
            f = [mpmath.fdot(p, column) for column in zip(*x, strict=True)]
            y = [
                [mpmath.sqrt(beta_mp * pi) * (v - m) for v, m in zip(row, f, strict=True)]
                for pi, row in zip(p, x, strict=True)
            ]
            matrix = mpmath.matrix([[mpmath.fdot(a, c) for c in y] for a in y])
        return sorted(mpmath.eigsy(matrix, eigvals_only=True))


def newton_mp(patterns, beta, log_weights, start, max_steps=60):
    """The fixed point to which Newton's method leads from `start`, 50 digits, as a list of mpf.

    Works in d coordinates when d <= N, and otherwise in the N weights, p = softmax(beta G p + b).
    Raises ArithmeticError when the iteration does not settle (a degenerate point, or a bad start).
    """
    with mpmath.workdps(DIGITS + 10):
        x, beta_mp, b = _mp_problem(patterns, beta, log_weights)
        n, d = len(x), len(x[0])
        columns = list(zip(*x, strict=True))
        if d <= n:
            state, size = _mp_point(start), d
        else:
            gram = [[mpmath.fdot(r, q) for q in x] for r in x]
            state, size = weights_mp(patterns, beta, log_weights, start), n
        for _ in range(max_steps):
            if d <= n:
                value = update_mp(patterns, beta, log_weights, state)
                slope = jacobian_mp(patterns, beta, log_weights, state)
            else:
                value = _mp_softmax(
                    [
                        beta_mp * mpmath.fdot(row, state) + bi
                        for row, bi in zip(gram, b, strict=True)
                    ]
                )
                mean = [mpmath.fdot(value, column) for column in zip(*gram, strict=True)]
                slope = mpmath.matrix(
                    [
                        [beta_mp * pi * (g - m) for g, m in zip(row, mean, strict=True)]
                        for pi, row in zip(value, gram, strict=True)
                    ]
                )
            gap = mpmath.matrix([v - s for v, s in zip(value, state, strict=True)])
            step = mpmath.lu_solve(mpmath.eye(size) - slope, gap)
            state = [s + h for s, h in zip(state, step, strict=True)]
            if mpmath.norm(step) < mpmath.mpf(10) ** (5 - DIGITS):
                return state if d <= n else [mpmath.fdot(state, column) for column in columns]
    raise ArithmeticError("Newton's method did not settle")


def distance_mp(a, b):
    """|a - b|_2 of two points (floats are taken as exact), as an mpf."""
    with mpmath.workdps(DIGITS):
        return mpmath.norm([p - q for p, q in zip(_mp_point(a), _mp_point(b), strict=True)])


def covers(radius, centre, point):
    """Whether the ball (centre, radius) holds a 50-digit point, up to that point's own error."""
    noise = mpmath.mpf(10) ** (12 - DIGITS) * (1 + max(abs(v) for v in _mp_point(point)))
    return distance_mp(centre, point) <= float(radius) + noise


# ----------------------------------------------------------------- orthonormal patterns, section 4


def softmax_classes(n, beta):
    """Fixed points of softmax(beta p), n components: [(k, u, v, multiplicity, morse_index), ...].

    With s = log(u/v) > 0 the k-class is fixed iff beta = s (k + (n-k) e^-s) / (1 - e^-s); every
    root in s is bracketed by the minimum of that function.  The centre is (n, 1/n, 1/n, 1, .).
    """
    classes = [(n, 1 / n, 1 / n, 1, n - 1 if beta > n else 0)]
    for k in range(1, n):

        def excess(s, k=k):
            return s * (k + (n - k) * np.exp(-s)) / -np.expm1(-s) - beta

        low, high = 1e-9, 2 * beta / k + 50.0
        bottom = minimize_scalar(
            excess, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        ends = [low, bottom, high]
        for a, b in pairwise(ends):
            if excess(a) * excess(b) < 0:
                ratio = np.exp(-brentq(excess, a, b, xtol=1e-15, rtol=8.9e-16))
                u = 1 / (k + (n - k) * ratio)
                v = ratio * u
                index = (
                    (k - 1) * (beta * u > 1) + (n - k - 1) * (beta * v > 1) + (beta * n * u * v > 1)
                )
                classes.append((k, u, v, comb(n, k), int(index)))
    return classes


def softmax_counts(n, beta):
    """{Morse index: number of fixed points} of softmax(beta p) on n components."""
    counts = {}
    for _, _, _, multiplicity, index in softmax_classes(n, beta):
        counts[index] = counts.get(index, 0) + multiplicity
    return dict(sorted(counts.items()))
