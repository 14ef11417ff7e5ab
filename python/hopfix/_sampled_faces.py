"""The estimates of the literature by sampling, to compare the exact answers with.

A minimum over samples is too large and a condition tested at samples holds too easily, so both
estimates are biased towards "separated" and "sufficient".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix._arrays import as_faces, as_integer, as_patterns, require_squares
from hopfix._interchange import interchange

Floats = npt.NDArray[np.float64]

SHRINKS = tuple(round(0.1 * k, 1) for k in range(1, 10))
_GROWTH_STEPS = 20


@interchange
def sampled_margin(
    patterns: npt.ArrayLike, face: npt.ArrayLike, *, n_samples: int = 2000, seed: int = 0
) -> Any:
    """Estimate the CIPS margin by its least value at points drawn uniformly from each face.

    Never below the exact margin (`cips_margin`) but for rounding, and the more above it the more
    patterns the face has. Of faces of 6 among N = 20 patterns distorted by a linear map of
    condition number 10, 45 % are CIPS and 76 % pass for CIPS by 2,000 samples each (measured by
    ``hopfix reproduce unstable-fixed-points``).

    Args:
        patterns: (N, d).
        face: (m,) distinct indices, or (K, m) for K faces at once.
        n_samples: points a face.
        seed: of NumPy's default generator.

    Returns:
        A float, or (K,); inf for a face of all patterns.
    """
    checked = as_patterns("patterns", patterns).astype(np.float64)
    require_squares("patterns", checked)
    faces, single = as_faces(face, len(checked))
    count = as_integer("n_samples", n_samples, 1)
    rng = np.random.default_rng(as_integer("seed", seed, 0))
    gram = checked @ checked.T
    margins = np.full(len(faces), np.inf)
    if faces.shape[1] < len(checked):
        for k, members in enumerate(faces):
            scores = rng.dirichlet(np.ones(len(members)), count) @ gram[members]
            best = scores[:, members].max(axis=1)
            scores[:, members] = -np.inf
            margins[k] = (best - scores.max(axis=1)).min()
    return float(margins[0]) if single else margins


class SampledBeta(NamedTuple):
    """The least β of the grid at which no sample contradicts; inf if there is none."""

    beta: float
    shrink: float
    thickness: float


def sampled_beta(
    patterns: Floats,
    face: npt.NDArray[np.int64],
    isolated: bool,
    shrinks: tuple[float, ...],
    betas: Floats,
    n_samples: int,
    seed: int,
) -> SampledBeta:
    """Test the conditions of `sufficient_beta` at samples of every facet, β by β upwards."""
    chosen = patterns[face] if isolated else patterns
    members = np.arange(len(face)) if isolated else face
    rng = np.random.default_rng(seed)
    samples = [_Samples(chosen, members, shrink, n_samples, rng) for shrink in shrinks]
    for beta in betas:
        for shrink, sample in zip(shrinks, samples, strict=True):
            thickness = sample.thickness(float(beta))
            if thickness is not None and sample.pushes_out(float(beta), thickness):
                return SampledBeta(float(beta), shrink, thickness)
    return SampledBeta(math.inf, math.nan, math.nan)


class _Samples:
    """Points of a shrunk face and of its facets, with directions across it; all by their scores."""

    def __init__(
        self,
        patterns: Floats,
        members: npt.NDArray[np.int64],
        shrink: float,
        count: int,
        rng: np.random.Generator,
    ) -> None:
        size = len(members)
        corners = patterns[members]
        self.theta = (1 - shrink) / size
        self.members = members
        edges = corners[1:] - corners[0]
        inverse = np.linalg.pinv(edges) if size > 1 else np.zeros((patterns.shape[1], 0))
        along = (patterns - corners[0]) @ inverse
        self.coordinates = np.column_stack([1 - along.sum(axis=1), along])
        self.across = patterns - corners[0] - along @ edges
        vertices = self.theta * corners.sum(axis=0) + shrink * corners
        body = rng.dirichlet(np.ones(size), count) @ vertices
        self.body = body @ patterns.T
        self.facets = [
            rng.dirichlet(np.ones(size - 1), count) @ np.delete(vertices, i, axis=0) @ patterns.T
            for i in range(size if size > 1 else 0)
        ]
        tilts = rng.normal(size=(count, patterns.shape[1]))
        tilts -= tilts @ inverse @ edges
        lengths = np.linalg.norm(tilts, axis=1, keepdims=True)
        self.tilts = tilts / np.where(lengths > 0, lengths, 1) @ self.across.T

    def thickness(self, beta: float) -> float | None:
        """The thickness that the map keeps, by growing it from 0; None if it outgrows the face."""
        eps = 0.0
        for _ in range(_GROWTH_STEPS):
            scores = self.body + eps * self.tilts
            inside = scores[:, self.members].max(axis=1)
            if (scores.max(axis=1) > inside).any():
                return None
            reached = float(np.linalg.norm(_softmax(beta * scores) @ self.across, axis=1).max())
            if reached <= eps:
                return eps
            eps = 1.01 * reached
        return None

    def pushes_out(self, beta: float, thickness: float) -> bool:
        """Whether all samples of every facet are moved outwards."""
        return all(
            (
                _softmax(beta * (facet + thickness * self.tilts)) @ self.coordinates[:, i]
                < self.theta
            ).all()
            for i, facet in enumerate(self.facets)
        )


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = weights / weights.sum(axis=1, keepdims=True)
    return result
