"""What the tests of separation functions share: the functions by name, and 50-digit oracles."""

from bisect import bisect_left

import mpmath as mp
import numpy as np
import pytest

from hopfix import separation as sep

DTYPES = [np.float32, np.float64]

# name -> (p, jvp, conjugate) as functions of (z[, t]); the last is None where there is none.
RULES = {
    "softmax": (sep.softmax, sep.softmax.jvp, sep.softmax.conjugate),
    "sparsemax": (sep.sparsemax, sep.sparsemax.jvp, sep.sparsemax.conjugate),
    **{
        f"entmax {alpha}": (
            lambda z, a=alpha, **k: sep.entmax(z, a, **k),
            lambda z, t, a=alpha, **k: sep.entmax.jvp(z, t, a, **k),
            lambda z, a=alpha, **k: sep.entmax.conjugate(z, a, **k),
        )
        for alpha in (1.05, 1.5, 1.7, 2.5)
    },
    "topk": (
        lambda z, **k: sep.topk(z, 2, **k),
        lambda z, t, **k: sep.topk.jvp(z, t, 2, **k),
        lambda z, **k: sep.topk.conjugate(z, 2, **k),
    ),
    "polynomial": (
        lambda z, **k: sep.polynomial(z, 4, **k),
        lambda z, t, **k: sep.polynomial.jvp(z, t, 4, **k),
        None,
    ),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def exact(z):
    """The scores as 50-digit numbers."""
    return [mp.mpf(float(x)) for x in z]


def bisect(f, low, high):
    """The last point of a bisection of the increasing f(x) = 1, to 57 digits."""
    for _ in range(190):
        middle = (low + high) / 2
        low, high = (low, middle) if f(middle) > 1 else (middle, high)
    return high


def exact_entmax(z, alpha):
    """p at 50 digits: bisection in the threshold for α <= 2, else in the smallest probability.

    As α grows the threshold needs ever more digits (p = y^(1/(α−1))): there the smallest entry v of
    the support comes first, by bisection over the entries, then its probability q.
    """
    with mp.workdps(60):
        z, a = exact(z), mp.mpf(float(alpha)) - 1
        top = max(z)
        if a == 0:
            e = [mp.exp(x - top) for x in z]
            total = mp.fsum(e)
            return [x / total for x in e]
        g = [a * (x - top) for x in z]
        if a <= 1:

            def at(t):
                return [(t + x) ** (1 / a) if t + x > 0 else mp.mpf(0) for x in g]

            return at(bisect(lambda t: mp.fsum(at(t)), mp.mpf(len(z)) ** -a / 2, mp.mpf(1)))

        def by_smallest(v, q, entries):
            rest = [(q**a + x - v) ** (1 / a) if x > v else mp.mpf(0) for x in entries]
            return [q if x == v else r for x, r in zip(entries, rest, strict=True)]

        within = [x for x in g if x > -1]
        falling = sorted(set(within), reverse=True)
        kept = bisect_left(falling, 1, key=lambda v: mp.fsum(by_smallest(v, mp.mpf(0), within)))
        v = falling[kept - 1]
        support = [x for x in g if x >= v]
        q = bisect(lambda q: mp.fsum(by_smallest(v, q, support)), mp.mpf(0), mp.mpf(1))
        return by_smallest(v, q, g)


def exact_conjugate(z, p, alpha):
    """Ψ*(z) at 50 digits, given p = exact_entmax(z, alpha)."""
    with mp.workdps(60):
        z, alpha = exact(z), mp.mpf(float(alpha))
        inner = mp.fsum(x * y for x, y in zip(p, z, strict=True) if x > 0)
        if alpha == 1:
            return inner - mp.fsum(x * mp.log(x) for x in p if x > 0)
        return inner + mp.fsum(x - x**alpha for x in p if x > 0) / (alpha * (alpha - 1))


def error_in_ulp(got, want):
    """The largest absolute error in ulp of the largest probability."""
    largest = mp.mpf(float(np.spacing(got.dtype.type(float(max(want))))))
    return float(max(abs(x - w) for x, w in zip(exact(got), want, strict=True)) / largest)


def bar(alpha):
    """The error allowed, in ulp of the largest probability of a row."""
    return 4 * max(1, 0.5 / (alpha - 1)) if 1 < alpha < 1.5 else 4
