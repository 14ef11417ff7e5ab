"""The functions of `hopfix.separation` on a device, in the array API standard.

The public ones are what `hopfix._interchange.interchange_or` calls for scores outside host memory,
with the object of `hopfix.separation` for `rule`. Errors and shapes are the same; sums run in the
library's order, so that results agree with the core's to some 4 ulp of the largest probability of
a row, not bitwise. For α > 2, where derivatives are unbounded, it is that of scores moved by so
much.
"""

from __future__ import annotations

import math
from typing import Any

from hopfix._config import resolve_threads
from hopfix.gpu._namespace import as_device_array, namespace_of
from hopfix.separation import as_alpha, as_k, as_power, require_answers, require_rows


def fixed_entmax(rule: Any, z: Any, *, num_threads: int | None = None) -> Any:
    """Return softmax or sparsemax of every row."""
    return entmax(rule, z, rule._alpha, num_threads=num_threads)


def fixed_entmax_conjugate(rule: Any, z: Any, *, num_threads: int | None = None) -> Any:
    """Return its Ψ*(z)."""
    return entmax_conjugate(rule, z, rule._alpha, num_threads=num_threads)


def entmax(_: Any, z: Any, alpha: float, *, num_threads: int | None = None) -> Any:
    """Return the α-entmax of every row; α = 1 is softmax, α = 2 sparsemax."""
    resolve_threads(num_threads)
    alpha = as_alpha(alpha)
    xp, z = _scores(z)
    return _entmax(xp, z, alpha)


def entmax_conjugate(_: Any, z: Any, alpha: float, *, num_threads: int | None = None) -> Any:
    """Return Ψ*(z) = p·z + H_α(p) of every row."""
    resolve_threads(num_threads)
    alpha = as_alpha(alpha)
    xp, z = _scores(z)
    return _conjugate(xp, z, alpha)


def topk(_: Any, z: Any, k: int, *, num_threads: int | None = None) -> Any:
    """Return softmax over the k largest scores of every row, of equal ones the first."""
    resolve_threads(num_threads)
    xp, z = _scores(z)
    return _entmax(xp, _largest(xp, z, as_k(k, z.shape[-1])), 1)


def topk_conjugate(_: Any, z: Any, k: int, *, num_threads: int | None = None) -> Any:
    """Return log Σ exp over the k largest scores of every row."""
    resolve_threads(num_threads)
    xp, z = _scores(z)
    return _conjugate(xp, _largest(xp, z, as_k(k, z.shape[-1])), 1)


def polynomial(
    _: Any, z: Any, n: int, rectified: bool = False, *, num_threads: int | None = None
) -> Any:
    """Return z_i^n / Σ z_j^n of every row, of positive parts if `rectified`."""
    resolve_threads(num_threads)
    n, rectified = as_power(n, rectified)
    xp, z = _scores(z, all_minus_infinity="all_zero" if rectified else "not_finite")
    if not rectified:
        _require(xp, xp.all(xp.isfinite(z), axis=-1), "not_finite")
    zero = xp.zeros_like(z)
    base = xp.where(z > 0, z, zero) if rectified else xp.abs(z)
    top = xp.max(base, axis=-1, keepdims=True)
    _require(xp, top[..., 0] > 0, "all_zero")
    # Near the largest the difference is exact, and n times its error is harmless.
    near, ratio = base > top / 2, base / top
    below = xp.log1p(xp.where(near, (base - top) / top, zero))
    logs = xp.where(near, below, xp.log(xp.where(ratio > 0, ratio, zero + 1)))
    powers = xp.where(ratio > 0, xp.exp(n * logs), zero)
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def _scores(z: Any, all_minus_infinity: str = "all_minus_infinity") -> tuple[Any, Any]:
    """The namespace, and scores as `hopfix.separation` takes them."""
    z = as_device_array("z", z)
    require_rows(tuple(z.shape))
    xp = namespace_of(z)
    top = xp.max(z, axis=-1)
    # A NaN is no maximum below infinity, and neither is infinity.
    _require(xp, top < math.inf, "not_finite")
    _require(xp, top > -math.inf, all_minus_infinity)
    return xp, z


def _require(xp: Any, rows: Any, fault: str) -> None:
    """Raise the ValueError for the first row that is False; reads one number from the device."""
    if not bool(xp.all(rows)):
        flat = xp.astype(xp.reshape(rows, (-1,)), xp.int64)
        require_answers(fault, int(xp.argmin(flat)), tuple(rows.shape))


def _largest(xp: Any, z: Any, k: int) -> Any:
    """The k largest scores of each row; −inf in place of the others."""
    order = xp.argsort(z, axis=-1, descending=True, stable=True)
    return xp.where(xp.argsort(order, axis=-1) < k, z, xp.zeros_like(z) - math.inf)


def _entmax(xp: Any, z: Any, alpha: float) -> Any:
    gaps = xp.max(z, axis=-1, keepdims=True) - z
    if 1 < alpha <= 1 + xp.finfo(z.dtype).max:
        return _Row(xp, (alpha - 1) * gaps, alpha - 1).shares()
    # softmax, and what α = ∞ is for numbers of this dtype.
    shares = xp.exp(-gaps) if alpha == 1 else xp.astype(gaps == 0, z.dtype)
    return shares / xp.sum(shares, axis=-1, keepdims=True)


def _conjugate(xp: Any, z: Any, alpha: float) -> Any:
    top = xp.max(z, axis=-1, keepdims=True)
    if alpha == 1:
        return top[..., 0] + xp.log(xp.sum(xp.exp(z - top), axis=-1))
    p = _entmax(xp, z, alpha)
    zero = xp.zeros_like(p)
    sums = xp.sum(p * xp.where(p > 0, z - top, zero), axis=-1)
    if math.isinf(alpha):
        return top[..., 0] + sums
    # p^α − p = p expm1((α − 1) log p), which does not cancel at α near 1.
    logs = xp.log(xp.where(p > 0, p, zero + 1))
    entropy = -xp.sum(p * xp.expm1((alpha - 1) * logs), axis=-1) / alpha / (alpha - 1)
    return top[..., 0] + sums + entropy


class _Row:
    """α-entmax of all rows as functions of their largest probabilities q.

    With the gaps g_i = (α−1)(max z − z_i) and a = α−1 it is p_i = q (1 − g_i/q^a)_+^{1/a}, which
    grows with q, from Σp ≤ 1 at q = 1/N to Σp ≥ 1 at q = 1.
    """

    def __init__(self, xp: Any, gaps: Any, power: float) -> None:
        self._xp, self._gaps, self._power = xp, gaps, power

    def shares(self) -> Any:
        """The p whose sum is 1, to rounding.

        Not divided by their sum, which would move the largest by what many small ones are off.
        """
        return self._convex() if self._power <= 1 else self._bisected()

    def _convex(self) -> Any:
        """Newton's method from q = 1, monotone as Σp is convex in q for α ≤ 2.

        Where rounding took it below the end, the last step goes up.
        """
        xp = self._xp
        q = xp.ones_like(self._gaps[..., :1])
        while True:
            shares, logs = self._at(q)
            slopes = xp.where(shares > 0, xp.exp((1 / self._power - 1) * logs), 0 * shares)
            excess = xp.sum(shares, axis=-1, keepdims=True) - 1
            following = q - excess / xp.sum(slopes, axis=-1, keepdims=True)
            falls = following < q
            if not bool(xp.any(falls)):
                return self._at(following)[0]
            q = xp.where(falls, following, q)

    def _bisected(self) -> Any:
        """Bisection: for α > 2 entries rise steeply when they join the support.

        What has not been decided between the last two q is shared out, as the sum must be 1.
        """
        xp, count = self._xp, int(self._gaps.shape[-1])
        high = xp.ones_like(self._gaps[..., :1])
        low = high / count
        bits = -math.log2(xp.finfo(self._gaps.dtype).eps)
        for _ in range(math.ceil(bits + math.log2(count)) + 1):
            middle = (low + high) / 2
            above = xp.sum(self._at(middle)[0], axis=-1, keepdims=True) >= 1
            low, high = xp.where(above, low, middle), xp.where(above, middle, high)
        less, more = self._at(low)[0], self._at(high)[0]
        missing = 1 - xp.sum(less, axis=-1, keepdims=True)
        between = xp.sum(more - less, axis=-1, keepdims=True)
        part = missing / xp.where(between > 0, between, xp.ones_like(between))
        part = xp.clip(xp.where(between > 0, part, 0 * part), 0, 1)
        return less + part * (more - less)

    def _at(self, q: Any) -> tuple[Any, Any]:
        """The p at q, and log(1 − g/q^a) inside the support."""
        xp, gaps, zero = self._xp, self._gaps, self._xp.zeros_like(self._gaps)
        scale = q**self._power
        inside = (gaps < scale) | (gaps == 0)
        ratio = xp.where(inside, gaps, zero) / xp.where(scale > 0, scale, xp.ones_like(scale))
        inside = inside & (ratio < 1)
        logs = xp.log1p(-xp.where(inside, ratio, zero))
        return xp.where(inside, q * xp.exp(logs / self._power), zero), logs
