"""Counting with degree: what the Morse indices of *all* fixed points must satisfy together.

If c_k is the number of fixed points of Morse index k in a region of dimension d that holds the
hull of the patterns, and none is degenerate (no eigenvalue of the Jacobian is 1), then

    sum_k (-1)^k c_k = 1                                    the degree of id - f
    c_m - c_{m-1} + ... +- c_0 >= (-1)^m     for every m    the strong Morse inequalities,

because the energy is a Morse function that grows to infinity in every direction (Milnor, "Morse
Theory", 1963, section 5). A list that violates one of them misses a fixed point or holds a
spurious, duplicate, mis-indexed or degenerate one. A list that satisfies them can still be
incomplete.

On a box of states with no fixed point on its boundary, the degree of id - f is the sum of
(-1)^(Morse index) over the fixed points inside; `brouwer_degree` proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hopfix._arrays import as_integer
from hopfix._brouwer import BrouwerDegree, brouwer_degree

__all__ = ["BrouwerDegree", "DegreeAudit", "audit", "brouwer_degree"]


@dataclass(frozen=True, slots=True)
class DegreeAudit:
    """The verdict of :func:`audit`; true exactly if every relation holds.

    Attributes:
        degree_sum: sum_k (-1)^k c_k, which must be 1.
        ok: every relation holds.
        reason: the first violated relation in words, None if there is none.
    """

    degree_sum: int
    ok: bool
    reason: str | None

    def __bool__(self) -> bool:
        return self.ok


def audit(counts: Mapping[int, int], dim: int) -> DegreeAudit:
    """Check counts of non-degenerate fixed points by Morse index.

    The degree is checked first, then the Morse inequalities by ascending m. O(dim) additions.

    Args:
        counts: {Morse index: number of fixed points}; an index left out counts 0.
        dim: the dimension of the space, at least 0; an index lies in 0..dim.

    Raises:
        TypeError: counts is not a mapping, or an index, a number or dim is not an integer.
        ValueError: an index is not in 0..dim, or a number or dim is negative.

    Example:
        >>> bool(hopfix.degree.audit({0: 3, 1: 3, 2: 1}, dim=3))
        True
        >>> hopfix.degree.audit({0: 3, 1: 1}, dim=3).reason
        'the degree sum_k (-1)^k c_k must be 1, but is 2'
    """
    dim = as_integer("dim", dim, 0)
    by_index = _checked(counts, dim)
    degree_sum = sum(-c if index % 2 else c for index, c in by_index.items())
    if degree_sum == 1:
        reason = _violated_inequality(by_index, dim)
    else:
        reason = f"the degree sum_k (-1)^k c_k must be 1, but is {degree_sum}"
    return DegreeAudit(degree_sum=degree_sum, ok=reason is None, reason=reason)


def _violated_inequality(counts: Mapping[int, int], dim: int) -> str | None:
    alternating = 0  # c_m - c_{m-1} + ...
    bound = -1  # (-1)^m
    # At m = dim it is the degree once more; past the last index the sum changes its sign alone.
    last = max(counts, default=0)
    for m in range(min(dim, last + 3)):
        alternating = counts.get(m, 0) - alternating
        bound = -bound
        if alternating < bound:
            return (
                f"the Morse inequality for m = {m} needs "
                f"sum_k<={m} (-1)^({m}-k) c_k >= {bound}, but the sum is {alternating}"
            )
    return None


def _checked(counts: Mapping[int, int], dim: int) -> dict[int, int]:
    if not isinstance(counts, Mapping):
        raise TypeError(
            f"counts: got {type(counts).__name__}, "
            "need a mapping {Morse index: number of fixed points}"
        )
    checked = {}
    for key, value in counts.items():
        index = as_integer("a Morse index in counts", key, 0, dim)
        checked[index] = as_integer(f"counts[{index}]", value, 0)
    return checked
