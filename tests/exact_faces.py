"""Critical faces by exhaustive exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np

from hopfix.faces import critical_faces


def _solve(matrix, right):
    """Gaussian elimination in fractions; None if singular."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(n):
        pivot = next((r for r in range(column, n) if rows[r][column] != 0), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for r in range(n):
            if r != column and rows[r][column] != 0:
                factor = rows[r][column]
                rows[r] = [v - factor * w for v, w in zip(rows[r], rows[column], strict=True)]
    return [row[n] for row in rows]


def exact_faces(patterns, offsets):
    """All critical faces {I: (weights, gap)} and the tied active sets, by the bordered systems."""
    n = len(patterns)
    x = [[Fraction(float(v)) for v in row] for row in patterns]
    a = [Fraction(float(v)) for v in offsets]
    gram = [[sum(p * q for p, q in zip(u, v, strict=True)) for v in x] for u in x]
    faces, tied = {}, set()
    for size in range(1, n + 1):
        for face in itertools.combinations(range(n), size):
            matrix = [[gram[i][j] for j in face] + [Fraction(-1)] for i in face]
            matrix.append([Fraction(1)] * size + [Fraction(0)])
            answer = _solve(matrix, [-a[i] for i in face] + [Fraction(1)])
            if answer is None:
                continue
            weights, c = answer[:-1], answer[-1]
            if min(weights) < 0:
                continue
            scores = [
                sum(p * gram[i][k] for p, i in zip(weights, face, strict=True)) + a[k]
                for k in range(n)
            ]
            outside = [scores[k] for k in range(n) if k not in face]
            if any(score > c for score in outside):
                continue
            if min(weights) > 0 and all(score < c for score in outside):
                gap = float(c - max(outside)) if outside else np.inf
                faces[face] = ([float(p) for p in weights], gap)
            else:
                tied.add(tuple(k for k in range(n) if scores[k] == c))
    return faces, tied


def agrees(patterns, offsets=None, hidden=False):
    """Check against exact arithmetic; `hidden`: what rounding hides around the origin may miss."""
    exact, tied = exact_faces(patterns, np.zeros(len(patterns)) if offsets is None else offsets)
    found = critical_faces(patterns, offsets=offsets)
    assert found.complete
    assert set(found.faces) <= set(exact)
    for face in set(exact) - set(found.faces):
        point = np.array(exact[face][0]) @ np.asarray(patterns, float)[list(face)]
        assert hidden
        assert np.linalg.norm(point) <= found.origin_radius < 1e-7
    for face, weights, gap in zip(found.faces, found.weights, found.gap, strict=True):
        np.testing.assert_allclose(weights, exact[face][0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(gap, exact[face][1], rtol=1e-8, atol=1e-12)
    return found, tied


def same_ties(patterns, found, tied, hidden=False):
    """Whether exactly the sets that tie are reported; that of all patterns is the centre's.

    `hidden`: where rounding hides what is around the origin, ties there may be hidden, too.
    """
    every = {tuple(range(len(patterns)))}
    reported = {each.active for each in found.degenerate} - every
    return reported <= tied if hidden and found.origin_radius > 0 else reported == tied - every
