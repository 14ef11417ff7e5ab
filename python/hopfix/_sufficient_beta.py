"""From which beta on a face surely has an unstable fixed point, and where that lies."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_faces, as_float_array, as_integer, as_patterns, as_positive, as_real
from hopfix._comparable import Comparable
from hopfix._config import resolve_threads
from hopfix._executor import as_executor, in_parts
from hopfix._interchange import interchange
from hopfix._json import as_lists
from hopfix._sampled_faces import SHRINKS, sampled_beta

Floats = npt.NDArray[np.float64]

__all__ = ["BetaCertificate", "FaceRegion", "SufficientBeta", "sufficient_beta"]

_METHODS = ("exact", "sampled", "lemma")


@dataclass(frozen=True, eq=False)
class FaceRegion(Comparable):
    """A shrunk face, thickened by a ball across it.

    Attributes:
        vertices: (m, d) float64, those of the shrunk face.
        thickness: the radius of the ball.
    """

    vertices: Floats
    thickness: float

    @interchange
    def contains(self, states: npt.ArrayLike) -> Any:
        """Return whether states (..., d) lie in it, to rounding: (...) bool."""
        points = np.asarray(states, np.float64) - self.vertices[0]
        edges = self.vertices[1:] - self.vertices[0]
        along = points @ np.linalg.pinv(edges) if len(edges) else points[..., :0]
        slack = 1e-9 * (1 + np.abs(self.vertices).max())
        across = np.linalg.norm(points - along @ edges, axis=-1)
        inside = (along >= -1e-9).all(axis=-1) & (along.sum(axis=-1) <= 1 + 1e-9)
        return inside & (across <= self.thickness + slack)


@dataclass(frozen=True, eq=False)
class BetaCertificate(Comparable):
    """All that is needed to check a sufficient beta again; see hopfix/sufficient_beta.hpp.

    Every row of the arrays is a probability vector over the m patterns of the face (up to a
    factor), whose inner products with known numbers bound a minimum over the region from below.

    Attributes:
        patterns: (N, d) float64.
        face: (m,) indices.
        isolated: whether the claim is about the patterns of the face alone.
        beta: the claim is for this and every larger one.
        shrink: the region's shrinkage.
        thickness: the region's thickness.
        facet_weights: (m, m), for each facet; (0, 1) for a singleton.
        margin_strategies: (q, m), for each of the q patterns outside, ascending.
        facet_strategies: (m, q, m), for each facet and pattern outside; (0, q, 1) for a singleton.
    """

    patterns: Floats
    face: npt.NDArray[np.int64]
    isolated: bool
    beta: float
    shrink: float
    thickness: float
    facet_weights: Floats
    margin_strategies: Floats
    facet_strategies: Floats

    def check(self) -> bool:
        """Return whether the claim follows, in interval arithmetic; O(m^2 N) operations.

        Raises:
            ValueError, TypeError: an attribute is not what its description says.
        """
        patterns = np.ascontiguousarray(as_patterns("patterns", self.patterns), dtype=np.float64)
        faces, _ = as_faces(self.face, len(patterns))
        size = faces.shape[1]
        outside = 0 if self.isolated else len(patterns) - size
        facets = size if size > 1 else 0
        shapes = {
            "facet_weights": (facets, size),
            "margin_strategies": (outside, size),
            "facet_strategies": (facets, outside, size),
        }
        arrays = [
            np.ascontiguousarray(_shaped(name, getattr(self, name), shape), dtype=np.float64)
            for name, shape in shapes.items()
        ]
        return _core.check_sufficient_beta(
            patterns, faces[0], bool(self.isolated), as_real("beta", self.beta),
            as_real("shrink", self.shrink), as_real("thickness", self.thickness), *arrays,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists and numbers; the class takes them back as keywords."""
        return {
            name: as_lists(value) if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }


def _shaped(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> Any:
    array = as_float_array(name, value)
    if array.size == 0 and math.prod(shape) == 0:
        return array.reshape(shape)
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, need {shape}")
    return array


@dataclass(frozen=True, eq=False)
class SufficientBeta(Comparable):
    """The answer of :func:`sufficient_beta` for one face.

    Attributes:
        face: the indices.
        beta: sufficient, as is every larger one; inf if none was found.
        shrink: the shrinkage alpha used; NaN without beta.
        region: holds the fixed point, the same for every larger beta; None without beta.
        method: "exact", "lemma" (both proved) or "sampled" (an estimate).
        isolated: whether the patterns outside were left out.
        reason: why there is no beta; empty if there is one.
        certificate: with ``certify=True`` and a finite beta.
    """

    face: tuple[int, ...]
    beta: float
    shrink: float
    region: FaceRegion | None
    method: str
    isolated: bool
    reason: str
    certificate: BetaCertificate | None

    def __repr__(self) -> str:
        where = "" if self.region is None else f", thickness={self.region.thickness:.3g}"
        why = f", {self.reason}" if self.reason else ""
        return (
            f"SufficientBeta(beta={self.beta:.6g}, face={self.face}, method={self.method!r}, "
            f"shrink={self.shrink:.3g}{where}{why})"
        )


@interchange
def sufficient_beta(
    patterns: npt.ArrayLike,
    face: npt.ArrayLike,
    *,
    isolated: bool = False,
    method: str = "exact",
    shrink: float | None = None,
    certify: bool = False,
    betas: npt.ArrayLike | None = None,
    n_samples: int = 200,
    seed: int = 0,
    num_threads: int | None = None,
    executor: Executor | None = None,
) -> Any:
    """Return a beta from which on a face of m >= 2 patterns has an unstable fixed point.

    The region is the face shrunk towards its centroid by the factor ``shrink`` = alpha, thickened
    by a ball across it. If the map pushes outwards across all facets and keeps the thickness
    (Poincaré-Miranda), the region holds a fixed point that is no minimum of the energy; unless one
    in it is degenerate or on its boundary, one has Morse index m - 1. The conditions proved hold
    at every larger beta too, with the same region. Log-weights are zero. A singleton gets the beta
    from which on a fixed point lies within the thickness of its pattern.
    hopfix/sufficient_beta.hpp has the theorem, its proof and the conditions.

    * "exact" bounds the outward push on each facet by its convex minimum, from below by a dual
      solution, and the weight of each pattern outside over that of the face by another convex
      problem; all in interval arithmetic. For a face alone (``isolated=True``) the smallest beta
      there is at the shrinkage returned; patterns outside are bounded one by one, so that less may
      do. They usually cost far more than the face alone asks for.
    * "lemma" puts the paper's bound of the mass outside, (N - m) exp(-beta Delta), in the place of
      all this: proved too, and larger.
    * "sampled" tests the map at random points of the region's boundary for each of ``betas``, as
      the paper does. Biased: it misses where the push is least, and may return less than the
      truth, the more so for large faces.

    Orthonormal patterns alone: (m-1)/alpha log(1 + m alpha / ((1-alpha)(m-1))), which falls to m
    as alpha does. A face whose centroid is far from its critical point may have no sufficient
    beta: inf, as for affinely dependent patterns.

    Args:
        patterns: (N, d); the source assumes distinct unit vectors, the conditions do not.
        face: (m,) distinct indices, or (K, m) for K faces at once.
        isolated: leave out the patterns outside the face. What holds then need not hold with them.
        method: "exact", "sampled" or "lemma".
        shrink: alpha in (0, 1). By default optimised over 1e-6 to 1 - 1e-6, on grids refined
            around the best; "sampled" tries 0.1, 0.2, ..., 0.9.
        certify: attach a `BetaCertificate` (not for "sampled").
        betas: for "sampled", ascending; by default eight per octave from 1 to 65,536.
        n_samples: for "sampled", points of each facet.
        seed: for "sampled".
        num_threads: as in `Hopfield`; the result does not depend on it.
        executor: any `concurrent.futures.Executor`, which is given up to 64 parts of the faces
            ("exact" and "lemma"; "sampled" is worked on here).

    Returns:
        A `SufficientBeta`, or a list of K.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> enough = hopfix.faces.sufficient_beta(np.eye(3), [0, 1], certify=True)
        >>> enough.certificate.check()
        True
        >>> hopfix.Hopfield(np.eye(3), enough.beta).fixed_points().counts[1] >= 1
        True
    """
    checked = np.ascontiguousarray(as_patterns("patterns", patterns), dtype=np.float64)
    faces, single = as_faces(face, len(checked))
    if method not in _METHODS:
        raise ValueError(f"method: got {method!r}, need one of {', '.join(map(repr, _METHODS))}")
    alpha = None if shrink is None else as_positive("shrink", shrink)
    if alpha is not None and alpha >= 1:
        raise ValueError(f"shrink: got {alpha}, need a number between 0 and 1, exclusive")
    worker = as_executor(executor)
    if method == "sampled":
        if certify:
            raise ValueError("certify: got True, need False with method 'sampled', an estimate")
        grid = _as_betas(betas)
        count, start = as_integer("n_samples", n_samples, 1), as_integer("seed", seed, 0)
        shrinks = SHRINKS if alpha is None else (alpha,)
        answers = [
            _sampled(checked, row, isolated, sampled_beta(
                checked, row, isolated, shrinks, grid, count, start
            ))
            for row in faces
        ]  # fmt: skip
    else:
        options = (bool(isolated), method == "lemma", alpha or 0.0, resolve_threads(num_threads))
        parts = in_parts(worker, _core.sufficient_betas, faces, (checked,), options)
        found = [fields for part in parts for fields in part]
        answers = [
            _proved(checked, row, isolated, method, certify, fields)
            for row, fields in zip(faces, found, strict=True)
        ]
    return answers[0] if single else answers


def _as_betas(betas: npt.ArrayLike | None) -> Floats:
    if betas is None:
        return np.asarray(2.0 ** (np.arange(129) / 8))
    grid = as_float_array("betas", betas).astype(np.float64)
    if grid.ndim != 1 or grid.size == 0:
        raise ValueError(f"betas: got shape {grid.shape}, need (B,), not empty")
    if not (np.isfinite(grid).all() and grid[0] > 0 and (np.diff(grid) > 0).all()):
        raise ValueError(f"betas: got {grid}, need finite numbers > 0, ascending")
    return grid


def _region(patterns: Floats, face: npt.NDArray[np.int64], shrink: float, eps: float) -> FaceRegion:
    corners = patterns[face]
    vertices = (1 - shrink) / len(face) * corners.sum(axis=0) + shrink * corners
    return FaceRegion(vertices, eps)


def _sampled(
    patterns: Floats, face: npt.NDArray[np.int64], isolated: bool, found: Any
) -> SufficientBeta:
    exists = math.isfinite(found.beta)
    return SufficientBeta(
        face=tuple(face.tolist()),
        beta=found.beta,
        shrink=found.shrink,
        region=_region(patterns, face, found.shrink, found.thickness) if exists else None,
        method="sampled",
        isolated=bool(isolated),
        reason="" if exists else "no beta and shrinkage tried pass at all samples",
        certificate=None,
    )


def _proved(
    patterns: Floats,
    face: npt.NDArray[np.int64],
    isolated: bool,
    method: str,
    certify: bool,
    fields: dict[str, Any],
) -> SufficientBeta:
    beta, shrink, thickness = fields["beta"], fields["shrink"], fields["thickness"]
    exists = math.isfinite(beta)
    certificate = None
    if certify and exists:
        certificate = BetaCertificate(
            patterns=patterns,
            face=face,
            isolated=bool(isolated),
            beta=beta,
            shrink=shrink,
            thickness=thickness,
            facet_weights=fields["facet_weights"],
            margin_strategies=fields["margin_strategies"],
            facet_strategies=fields["facet_strategies"],
        )
    return SufficientBeta(
        face=tuple(face.tolist()),
        beta=beta,
        shrink=shrink,
        region=_region(patterns, face, shrink, thickness) if exists else None,
        method=method,
        isolated=bool(isolated),
        reason=fields["reason"],
        certificate=certificate,
    )
