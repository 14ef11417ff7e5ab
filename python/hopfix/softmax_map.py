"""All fixed points of the softmax map, in closed form.

The map is p -> softmax(beta p) on n components: the network whose patterns are the n unit vectors
(any orthonormal patterns give the same fixed points, Morse indices and non-zero eigenvalues).
Besides the centre (1/n, ..., 1/n) a fixed point has k components u and n - k smaller components v;
the C(n, k) placements of the u form one *class*. For k < n/2 the classes are born in pairs at a
threshold beta_{n,k} < n, and the less stable one of a pair ends in the centre at beta = n; for
k >= n/2 they are born from the centre, at beta = n. So there are 2^n - 1 fixed points for beta > n.

Degenerate fixed points (an eigenvalue of the Jacobian is 1) exist at two kinds of beta:

* beta = ``threshold(n, k)`` < n: two classes coincide. The true threshold is no double, so the one
  double that stands for it is taken to be it: one class, ``degenerate=True``, counted once.
* beta = n > 1: the centre is degenerate, and every class that is not listed has merged with it.

Sources: Tiňo, "Bifurcation structure of equilibria of iterated softmax" (2009); "On Unstable Fixed
Points in Modern Continuous Hopfield Networks".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from hopfix import _core
from hopfix._arrays import as_integer, as_positive
from hopfix._json import as_lists

__all__ = ["FixedPointClass", "count", "fixed_points", "threshold"]

_LARGEST_EXACT = 2**53  # beyond it not every n is a double
_LARGEST_LISTED = 100_000  # the multiplicities alone take up to n^2 / 8 bytes


@dataclass(frozen=True, slots=True)
class FixedPointClass:
    """The fixed points with ``k`` components ``u`` and ``n - k`` components ``v``, in any order.

    ``u``, ``v`` and the eigenvalues are within one ulp of their exact values (those of the order
    of a subnormal ``v`` only absolutely, to 1e-310); ``morse_index`` and ``degenerate`` are decided
    from the structure of the problem, not from rounded eigenvalues.

    Attributes:
        k: the number of components equal to ``u``; n at the centre.
        u: the larger components; 1/n at the centre.
        v: the smaller components; 1/n at the centre.
        multiplicity: how many fixed points the class has, C(n, k).
        morse_index: the number of eigenvalues of the Jacobian above 1.
        eigenvalues: the Jacobian's spectrum as (value, multiplicity), descending.
        degenerate: an eigenvalue is exactly 1.
    """

    k: int
    u: float
    v: float
    multiplicity: int
    morse_index: int
    eigenvalues: tuple[tuple[float, int], ...]
    degenerate: bool


def threshold(n: int, k: int = 1) -> float:
    """Return the beta at which fixed points with k components u appear, 1 <= k <= n - 1.

    For k < n/2 this is the smallest beta that has any; for k >= n/2 it is n, and they exist only
    above it. Accuracy: within one ulp. n is at most 2^53.

    Raises:
        TypeError: an argument is not an integer.
        ValueError: an argument is out of its range.

    Example:
        >>> round(hopfix.softmax_map.threshold(3), 6)
        2.745644
        >>> hopfix.softmax_map.threshold(2)
        2.0
    """
    n = as_integer("n", n, 2, _LARGEST_EXACT)
    k = as_integer("k", k, 1, n - 1)
    return _core.softmax_map_threshold(n, k)


def count(n: int, beta: float) -> int:
    """Return the number of distinct fixed points, a double root counting once.

    That is 2^n - 1 for beta > n and 1 below ``threshold(n, 1)``. Exact at every size; the work is
    that of adding the binomial coefficients of the classes that exist. n is at most 2^53.

    Raises:
        TypeError: n is not an integer or beta not a number.
        ValueError: n < 1, or beta is not finite and positive.

    Example:
        >>> [hopfix.softmax_map.count(8, beta) for beta in (4.0, 6.0, 10.0)]
        [1, 17, 255]
    """
    n = as_integer("n", n, 1, _LARGEST_EXACT)
    beta = as_positive("beta", beta)
    if n == 1:
        return 1
    if beta > n:
        return (1 << n) - 1

    below_half = range(1, (n + 1) // 2)
    if beta == n:  # one class for each k; the other one has merged with the centre
        return 1 + sum(islice(_binomials(n), len(below_half)))

    def birth(k: int) -> float:
        return _core.softmax_map_threshold(n, k)

    in_pairs = bisect_left(below_half, beta, key=birth)
    existing = bisect_right(below_half, beta, key=birth)
    binomials = _binomials(n)
    pairs = sum(islice(binomials, in_pairs))
    double_roots = sum(islice(binomials, existing - in_pairs))
    return 1 + 2 * pairs + double_roots


def fixed_points(n: int, beta: float) -> list[FixedPointClass]:
    """Return every class of fixed points: k ascending, then u descending, the centre last.

    Takes time and memory O(n), plus O(n^2) bits for the multiplicities: 0.1 s for n = 10,000, the
    limit being n = 100,000. See the module for beta at a threshold and beta = n.

    Raises:
        TypeError: n is not an integer or beta not a number.
        ValueError: n is not in 1..100,000, or beta is not finite and positive.

    Example:
        >>> for group in hopfix.softmax_map.fixed_points(3, beta=8.0):
        ...     print(group.k, group.multiplicity, group.morse_index, round(group.u, 4))
        1 3 0 0.9993
        2 3 1 0.4949
        3 1 2 0.3333
    """
    n = as_integer("n", n, 1, _LARGEST_LISTED)
    beta = as_positive("beta", beta)
    *classes, centre = as_lists(_core.softmax_map_classes(n, beta))

    result = []
    binomials = enumerate(_binomials(n), start=1)
    size, multiplicity = 0, 1
    for k, u, v, _, beta_u, beta_v, mixed, morse_index, degenerate in classes:
        while size < k:
            size, multiplicity = next(binomials)
        spectrum = _merged((beta_u, k - 1), (mixed, 1), (beta_v, n - k - 1), (0.0, 1))
        result.append(FixedPointClass(k, u, v, multiplicity, morse_index, spectrum, degenerate))

    k, u, v, _, eigenvalue, _, _, morse_index, degenerate = centre
    spectrum = _merged((eigenvalue, n - 1), (0.0, 1))
    result.append(FixedPointClass(k, u, v, 1, morse_index, spectrum, degenerate))
    return result


def _binomials(n: int) -> Iterator[int]:
    """Yield C(n, 1), C(n, 2), ..., C(n, n), each from the one before."""
    value = 1
    for k in range(1, n + 1):
        value = value * (n - k + 1) // k
        yield value


def _merged(*pairs: tuple[float, int]) -> tuple[tuple[float, int], ...]:
    """Join equal eigenvalues and leave out the empty entries."""
    spectrum: dict[float, int] = {}
    for value, multiplicity in pairs:
        if multiplicity > 0:
            spectrum[value] = spectrum.get(value, 0) + multiplicity
    return tuple(spectrum.items())
