"""Fixed points by Codac 2, a library of interval contractors for general use (C++).

The equations of the weights, log p_i - log p_N - beta (G_i - G_N) p = 0 and sum p = 1, contracted
one by one by its forward-backward and centred-form contractor (the one for all together, of 2.1.2,
loses 84 of the 255 solutions of eight orthonormal patterns), boxes split at their longest side, and
Krawczyk's test with its interval matrices for existence and uniqueness.

Importing codac sets the process to round upwards, in which hopfix refuses to prove anything: use a
process of its own.
"""

from __future__ import annotations

import time
from typing import Any

import codac
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def equations(gram: Array, beta: float) -> tuple[list[Any], Any]:
    """Return the N equations of N weights as functions of Codac, one by one and together."""
    n = len(gram)

    def left_sides(p: Any) -> list[Any]:
        rows = []
        for i in range(n - 1):
            row = codac.log(p[i]) - codac.log(p[n - 1])
            for k in range(n):
                if gram[i, k] != gram[n - 1, k]:
                    row = row - float(beta * (gram[i, k] - gram[n - 1, k])) * p[k]
            rows.append(row)
        total = p[0]
        for k in range(1, n):
            total = total + p[k]
        return [*rows, total - 1.0]

    single = []
    for i in range(n):
        p = codac.VectorVar(n)
        single.append(codac.AnalyticFunction([p], left_sides(p)[i]))
    p = codac.VectorVar(n)
    return single, codac.AnalyticFunction([p], codac.vec(*left_sides(p)))


def krawczyk(function: Any, box: Any) -> Any:
    """Return Krawczyk's image of the box, or None where the middle derivative is singular."""
    n = box.size()
    middle = codac.IntervalVector(box.mid())
    derivative = function.diff(box)
    centre = derivative.mid()
    try:
        inverse = np.linalg.inv([[centre[i, k] for k in range(n)] for i in range(n)])
    except np.linalg.LinAlgError:
        return None
    inverse = codac.IntervalMatrix(codac.Matrix(inverse))
    identity = codac.IntervalMatrix(codac.Matrix(np.eye(n)))
    slope = identity - inverse * derivative
    return middle - inverse * function.eval(middle) + slope * (box - middle)


class Search:
    """Branch and prune."""

    def __init__(self, gram: Array, beta: float, lowest: float) -> None:
        n = len(gram)
        # Contractors refer to their functions.
        self.single, self.function = equations(gram, beta)
        self.contractors = [codac.CtcInverse(f, codac.Interval(0.0, 0.0)) for f in self.single]
        self.waiting = [codac.IntervalVector([[lowest, 1.0]] * n)]
        self.boxes = 0
        self.found = 0

    def run(self, limit: float) -> bool:
        """Whether everything was decided within so many seconds."""
        end = time.perf_counter() + limit
        while self.waiting:
            if time.perf_counter() > end:
                return False
            self.boxes += 1
            box = self._contracted(self.waiting.pop())
            if not box.is_empty() and not self._decided(box):
                if box.max_diam() < 1e-12:
                    return False
                self.waiting.extend(box.bisect(box.max_diam_index()))
        return True

    def _contracted(self, box: Any) -> Any:
        for contractor in self.contractors * 2:
            box = contractor.contract(box)
            if box.is_empty():
                break
        return box

    def _decided(self, box: Any) -> bool:
        """Whether Krawczyk's test excludes the box or finds the one solution in it; shrinks it."""
        while box.max_diam() < 0.2:
            before = box.max_diam()
            image = krawczyk(self.function, box)
            if image is None:
                return False
            if image.is_strict_interior_subset(box):
                self.found += 1
                return True
            box &= image
            if box.is_empty():
                return True
            if box.max_diam() > 0.7 * before:
                return False
        return False


def solve(patterns: Array, beta: float, limit: float) -> dict[str, Any]:
    """Return what one thread finds within so many seconds, and the time it takes."""
    codac.set_nb_threads(1)
    # p_i / p_k = exp(beta (x_i - x_k) . xi) is at least exp(-beta diameter max|x|).
    diameter = np.linalg.norm(patterns[:, None] - patterns, axis=-1).max()
    reach = diameter * np.linalg.norm(patterns, axis=1).max() * 1.001
    search = Search(patterns @ patterns.T, beta, np.exp(-beta * reach) / len(patterns))
    began = time.process_time()
    finished = search.run(limit)
    return {
        "points": search.found,
        "finished": finished,
        "boxes": search.boxes,
        "seconds": time.process_time() - began,
    }
