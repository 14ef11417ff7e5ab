"""Two lists of fixed points of one network, matched by their certified balls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hopfix._comparable import Comparable
from hopfix.fixed_points import FixedPoints

_BLOCK = 2**22  # distances at a time


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Comparable):
    """Which fixed points of a reference list another list holds.

    Two certified points are the same fixed point if the ball in which one of them exists lies in
    the ball in which the other one is unique, and different if their balls of existence are apart:
    both are proved, with all rounding. What is neither is undecided.

    Attributes:
        found: the list that is examined.
        reference: the list it is compared with.
        matched: (M, 2) int64, pairs of a number in `found` and one in `reference`, proved equal.
        missing: (…,) int64, numbers in `reference` of points that no point in `found` is.
        extra: (…,) int64, numbers in `found` of points that no point in `reference` is.
        undecided: (…, 2) int64, pairs for which nothing is proved, with −1 as the other number for
            a point that is not certified itself.
    """

    found: FixedPoints
    reference: FixedPoints
    matched: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]
    extra: npt.NDArray[np.int64]
    undecided: npt.NDArray[np.int64]

    @property
    def proved_complete(self) -> bool:
        """Whether `found` is proved to hold all fixed points: those of a proved reference."""
        proved = self.reference.completeness == "proved"
        return proved and not len(self.missing) and not len(self.undecided)

    def __repr__(self) -> str:
        return (
            f"Comparison({len(self.matched)} matched, {len(self.missing)} missing, "
            f"{len(self.extra)} extra, {len(self.undecided)} undecided, "
            f"reference {self.reference.completeness!r})"
        )


def compare(found: FixedPoints, reference: FixedPoints) -> Comparison:
    """Match two lists of the same network; O(K K' d)."""
    a, b = np.flatnonzero(found.certified), np.flatnonzero(reference.certified)
    same, open_ = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)]
    block = max(1, _BLOCK // max(1, len(b) * found.states.shape[1]))
    for start in range(0, len(a), block):
        rows = a[start : start + block]
        equal, unclear = _relations(found, rows, reference, b)
        same.append(_pairs(equal, rows, b))
        open_.append(_pairs(unclear, rows, b))
    matched, undecided = np.concatenate(same), np.concatenate(open_)
    # A pair says nothing more about points that are matched with others.
    settled = np.isin(undecided[:, 0], matched[:, 0]) | np.isin(undecided[:, 1], matched[:, 1])
    undecided = undecided[~settled]
    nobody = [(i, -1) for i in np.flatnonzero(~found.certified).tolist()]
    nobody += [(-1, j) for j in np.flatnonzero(~reference.certified).tolist()]
    open_ends = np.array(nobody, np.int64).reshape(-1, 2)
    return Comparison(
        found=found,
        reference=reference,
        matched=matched,
        missing=np.setdiff1d(b, np.concatenate([matched[:, 1], undecided[:, 1]])),
        extra=np.setdiff1d(a, np.concatenate([matched[:, 0], undecided[:, 0]])),
        undecided=np.concatenate([undecided, open_ends]),
    )


def _relations(
    found: FixedPoints,
    rows: npt.NDArray[np.int64],
    reference: FixedPoints,
    columns: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether points are proved to be the same, and whether neither that nor the contrary is."""
    difference = found.states[rows].astype(np.float64)[:, None]
    difference = difference - reference.states[columns].astype(np.float64)[None]
    distance = np.linalg.norm(difference, axis=2)
    # A subtraction rounds by u, the norm by (d + 2) u; underflow by less than the last term.
    slack = (difference.shape[2] + 8) * 2.0**-52
    high, low = distance * (1 + slack) + 1e-150, distance * (1 - slack) - 1e-150
    r, s = found.radius[rows][:, None], reference.radius[columns][None]
    up = 1 + 2.0**-50
    equal = (high + s) * up < found.uniqueness_radius[rows][:, None]
    equal |= (high + r) * up < reference.uniqueness_radius[columns][None]
    return equal, ~equal & ~(low > (r + s) * up)


def _pairs(
    mask: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    i, j = np.nonzero(mask)
    return np.column_stack([rows[i], columns[j]])
