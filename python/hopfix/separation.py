"""Separation functions: from a row of scores to probabilities, the second step of every retrieval.

Each function maps the rows (last axis) of an array, and has two methods with the same parameters::

    p = hopfix.separation.entmax(z, 1.5)            # (..., N), like z; every row sums to 1
    hopfix.separation.entmax.jvp(z, t, 1.5)         # (..., N), the derivative (dp/dz) t
    hopfix.separation.entmax.conjugate(z, 1.5)      # (...), Ψ*(z), whose gradient is p

With the entropy H_α(p) = Σ (p_i − p_i^α) / (α(α−1)), Shannon's at α = 1, α-entmax is the
p = argmax p·z + H_α(p) over the simplex and Ψ*(z) the maximum: softmax is α = 1, sparsemax α = 2.
The network with that separation has the energy E(ξ) = ½‖ξ‖² − β⁻¹ Ψ*(βXᵀξ). Its Jacobian dp/dz is
diag(s) − s sᵀ / Σs with s_i = p_i^(2−α) on the support: symmetric, so `jvp` is the adjoint product
too (not for `polynomial`).

Scores: float32 and float64 keep their dtype, integers and bool become float64. A score of −inf
stands for probability exactly 0 (but for even powers, which refuse it).

Accuracy: absolute error of p at most 4 ulp of the largest probability of its row, times 0.5/(α−1)
for 1 < α < 1.5. Zeros are exact. Results are bitwise the same for every number of threads and for a
row alone or in any batch. Cost: O(N) a row for softmax and α ≤ 2, with a few passes over the
candidates for the support; O(N log N) expected at worst for α > 2 and `topk`.

Every function raises TypeError or ValueError, naming the argument: for NaN or +inf in `z`, a row of
−inf only (there is no answer), empty input, and parameters out of range. `num_threads` is as in
`Hopfield`. Calls release the GIL and can be interrupted.

Scores outside host memory stay there: p and Ψ* are then computed by their library
(`hopfix.gpu._separation`), to some 4 ulp, too (for α > 2: of scores moved by so much), and
with no promise about bits; entmax with 1 < α <= 2 by Newton's method, mostly some ten passes over
the rows, α > 2 by bisection, some 60. `jvp` is computed on the host alone.

Sources: Martins and Astudillo, "From softmax to sparsemax" (2016); Peters, Niculae and Martins,
"Sparse sequence-to-sequence models" (2019); Krotov and Hopfield, "Dense associative memory for
pattern recognition" (2016).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import FloatArray, as_bool, as_float_array, as_integer, as_real, require_finite
from hopfix._config import resolve_threads
from hopfix._interchange import interchange, interchange_or

__all__ = ["entmax", "polynomial", "softmax", "sparsemax", "topk"]

_LARGEST_POWER = 2**31  # beyond it the powers themselves lose the accuracy stated above

_FAULTS = {
    "not_finite": "got NaN or an infinity other than −inf in row {row}, need numbers or −inf",
    "all_minus_infinity": "got only −inf in row {row}, need a number in every row",
    "all_zero": "got no entry to raise above zero in row {row}, need one: there is "
    "nothing to normalise",
}

_Answer: TypeAlias = tuple[FloatArray, str, int]


def as_alpha(value: object) -> float:
    """Return the parameter of α-entmax, or raise TypeError or ValueError."""
    number = as_real("alpha", value)
    if not number >= 1:
        raise ValueError(f"alpha: got {number}, need a number >= 1")
    return number


def as_k(value: object, count: int) -> int:
    """Return the parameter of `topk` for rows of that length."""
    k = as_integer("k", value, 1)
    if k > count:
        raise ValueError(f"k: got {k}, need at most the row length of z, {count}")
    return k


def as_power(n: object, rectified: object) -> tuple[int, bool]:
    """Return the parameters of `polynomial`."""
    power = as_integer("n", n, 1, _LARGEST_POWER)
    clipped = as_bool("rectified", rectified)
    if power % 2 and not clipped:
        raise ValueError(
            f"n: got {power}, need an even power, or rectified=True: odd powers are negative"
        )
    return power, clipped


def require_rows(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless scores of this shape have a row and an entry."""
    if not shape or 0 in shape:
        raise ValueError(f"z: got shape {shape}, need (..., N) with at least one row, N >= 1")


def require_answers(fault: str, row: int, leading: tuple[int, ...]) -> None:
    """Raise the ValueError for a fault ("" for none) in a row of the leading shape."""
    if fault:
        place = tuple(int(i) for i in np.unravel_index(row, leading)) if leading else ()
        raise ValueError("z: " + _FAULTS[fault].format(row=place or 0))


def _as_scores(value: npt.ArrayLike) -> FloatArray:
    z = as_float_array("z", value)
    require_rows(z.shape)
    return z


def _as_tangents(value: npt.ArrayLike, z: FloatArray) -> FloatArray:
    t = as_float_array("t", value)
    if t.shape != z.shape:
        raise ValueError(f"t: got shape {t.shape}, need that of z, {z.shape}")
    with np.errstate(over="ignore"):
        t = t.astype(z.dtype, copy=False)
    require_finite("t", t)
    return t


def _rows(array: FloatArray) -> FloatArray:
    return np.ascontiguousarray(array).reshape(-1, array.shape[-1])


def _checked(answer: _Answer, leading: tuple[int, ...]) -> FloatArray:
    """Return the result, or raise ValueError that names the row without one."""
    result, fault, row = answer
    require_answers(fault, row, leading)
    return result


def _probabilities(rule: _core.Separation, z: FloatArray, num_threads: int | None) -> FloatArray:
    answer = _core.separate(rule, _rows(z), resolve_threads(num_threads))
    return _checked(answer, z.shape[:-1]).reshape(z.shape)


def _conjugate(rule: _core.Separation, z: FloatArray, num_threads: int | None) -> FloatArray:
    answer = _core.separation_conjugate(rule, _rows(z), resolve_threads(num_threads))
    result: FloatArray = _checked(answer, z.shape[:-1]).reshape(z.shape[:-1])[()]
    return result


def _derivative(
    rule: _core.Separation, z: FloatArray, tangents: npt.ArrayLike, num_threads: int | None
) -> FloatArray:
    t = _as_tangents(tangents, z)
    answer = _core.separation_jvp(rule, _rows(z), _rows(t), resolve_threads(num_threads))
    result = _checked(answer, z.shape[:-1]).reshape(z.shape)
    if _core.first_not_finite(result) >= 0:
        raise ValueError("t: the derivative in this direction overflows, need a shorter one")
    return result


class _Separation:
    """What the functions share: a name to be shown by."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"hopfix.separation.{self._name}"


class _WithoutParameters(_Separation):
    """A separation function of the scores alone: `softmax` and `sparsemax`.

    softmax: p_i = exp(z_i) / Σ exp(z_j); Ψ* = log Σ exp(z_i).
    sparsemax: p_i = [z_i − τ]_+, the Euclidean projection of z onto the simplex;
    Ψ* = p·z + (1 − p·p)/2.

    Example:
        >>> hopfix.separation.softmax([0.0, 0.0])
        array([0.5, 0.5])
        >>> hopfix.separation.sparsemax([1.0, 0.5, -1.0])
        array([0.75, 0.25, 0.  ])
        >>> hopfix.separation.sparsemax.jvp([1.0, 0.5], [1.0, 0.0])
        array([ 0.5, -0.5])
    """

    def __init__(self, name: str, alpha: float, rule: _core.Separation) -> None:
        super().__init__(name)
        self._alpha, self._rule = alpha, rule

    @interchange_or("hopfix.gpu._separation.fixed_entmax")
    def __call__(self, z: npt.ArrayLike, *, num_threads: int | None = None) -> FloatArray:
        """Return p, shape (..., N)."""
        return _probabilities(self._rule, _as_scores(z), num_threads)

    @interchange
    def jvp(
        self, z: npt.ArrayLike, t: npt.ArrayLike, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return (dp/dz) t, shape (..., N), for `t` shaped as `z`."""
        return _derivative(self._rule, _as_scores(z), t, num_threads)

    @interchange_or("hopfix.gpu._separation.fixed_entmax_conjugate")
    def conjugate(self, z: npt.ArrayLike, *, num_threads: int | None = None) -> FloatArray:
        """Return Ψ*(z), shape (...), to a few ulp of max(|max z|, 1)."""
        return _conjugate(self._rule, _as_scores(z), num_threads)


class _Entmax(_Separation):
    """α-entmax: p_i = [(α−1) z_i − τ]_+^{1/(α−1)}, for any α in [1, ∞].

    α = 1 is softmax, α = 2 sparsemax, and α = ∞ the limit: 1 shared equally among the largest
    scores. The threshold is found by Newton's method on a convex function, at 1.5 and 2 without any
    logarithm. For α > 2 derivatives are unbounded where an entry joins the support.

    Example:
        >>> hopfix.separation.entmax([1.0, 0.5, -1.0], 1.5).round(4)
        array([0.674, 0.326, 0.   ])
        >>> hopfix.separation.entmax([1.0, 0.5, -1.0], 2)  # sparsemax
        array([0.75, 0.25, 0.  ])
    """

    @staticmethod
    def _rule(alpha: float) -> _core.Separation:
        return _core.Separation.entmax(as_alpha(alpha))

    @interchange_or("hopfix.gpu._separation.entmax")
    def __call__(
        self, z: npt.ArrayLike, alpha: float, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return p, shape (..., N)."""
        return _probabilities(self._rule(alpha), _as_scores(z), num_threads)

    @interchange
    def jvp(
        self, z: npt.ArrayLike, t: npt.ArrayLike, alpha: float, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return (dp/dz) t, shape (..., N), for `t` shaped as `z`.

        ValueError where that overflows, which it may for α > 2.
        """
        return _derivative(self._rule(alpha), _as_scores(z), t, num_threads)

    @interchange_or("hopfix.gpu._separation.entmax_conjugate")
    def conjugate(
        self, z: npt.ArrayLike, alpha: float, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return Ψ*(z), shape (...), to a few ulp of max(|max z|, 1)."""
        return _conjugate(self._rule(alpha), _as_scores(z), num_threads)


class _TopK(_Separation):
    """softmax over the k largest scores of a row; all others get exactly 0.

    Of equal scores the ones with the smaller index are taken, so that never more than k entries are
    positive. The k largest scores are taken as fixed in `jvp`; Ψ* = log Σ exp over them.

    Example:
        >>> hopfix.separation.topk([1.0, 1.0, 0.0, -1.0], 2)
        array([0.5, 0.5, 0. , 0. ])
    """

    @staticmethod
    def _rule(k: int, z: FloatArray) -> _core.Separation:
        return _core.Separation.topk(as_k(k, z.shape[-1]))

    @interchange_or("hopfix.gpu._separation.topk")
    def __call__(self, z: npt.ArrayLike, k: int, *, num_threads: int | None = None) -> FloatArray:
        """Return p, shape (..., N); 1 <= k <= N."""
        scores = _as_scores(z)
        return _probabilities(self._rule(k, scores), scores, num_threads)

    @interchange
    def jvp(
        self, z: npt.ArrayLike, t: npt.ArrayLike, k: int, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return (dp/dz) t, shape (..., N), for `t` shaped as `z`."""
        scores = _as_scores(z)
        return _derivative(self._rule(k, scores), scores, t, num_threads)

    @interchange_or("hopfix.gpu._separation.topk_conjugate")
    def conjugate(self, z: npt.ArrayLike, k: int, *, num_threads: int | None = None) -> FloatArray:
        """Return Ψ*(z), shape (...), to a few ulp of max(|max z|, 1)."""
        scores = _as_scores(z)
        return _conjugate(self._rule(k, scores), scores, num_threads)


class _Polynomial(_Separation):
    """p_i = z_i^n / Σ z_j^n for even n, or [z_i]_+^n / Σ [z_j]_+^n with `rectified`.

    A row whose entries are all zero (rectified: none positive) is an error. There is no conjugate:
    p is no gradient, as its Jacobian n (diag(u) − p uᵀ), u_i = z_i^(n−1) / Σ z_j^n, is not
    symmetric. At z_i = 0 that Jacobian is taken from the left if n = 1.

    Example:
        >>> hopfix.separation.polynomial([1.0, 2.0, 1.0], 2).round(4)
        array([0.1667, 0.6667, 0.1667])
    """

    @staticmethod
    def _rule(n: int, rectified: bool) -> _core.Separation:
        return _core.Separation.polynomial(*as_power(n, rectified))

    @interchange_or("hopfix.gpu._separation.polynomial")
    def __call__(
        self, z: npt.ArrayLike, n: int, rectified: bool = False, *, num_threads: int | None = None
    ) -> FloatArray:
        """Return p, shape (..., N)."""
        return _probabilities(self._rule(n, rectified), _as_scores(z), num_threads)

    @interchange
    def jvp(
        self,
        z: npt.ArrayLike,
        t: npt.ArrayLike,
        n: int,
        rectified: bool = False,
        *,
        num_threads: int | None = None,
    ) -> FloatArray:
        """Return (dp/dz) t, shape (..., N), for `t` shaped as `z`; ValueError if it overflows."""
        return _derivative(self._rule(n, rectified), _as_scores(z), t, num_threads)

    @interchange
    def conjugate(self, z: npt.ArrayLike, n: int, rectified: bool = False) -> FloatArray:
        """Raise ValueError: a polynomial separation has no conjugate."""
        raise ValueError(
            "polynomial: has no conjugate, since its Jacobian is not symmetric; all "
            "other separations have one"
        )


softmax = _WithoutParameters("softmax", 1.0, _core.Separation.softmax())
sparsemax = _WithoutParameters("sparsemax", 2.0, _core.Separation.entmax(2.0))
entmax = _Entmax("entmax")
topk = _TopK("topk")
polynomial = _Polynomial("polynomial")
