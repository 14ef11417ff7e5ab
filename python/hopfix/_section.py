"""A two-dimensional section of state space: where patterns lie on it, and which states it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hopfix import _core

if TYPE_CHECKING:
    from hopfix import Hopfield

Floats = NDArray[np.floating[Any]]

_MAX_SURFACE_PATTERNS = 64
_SCALING_STEPS = 300
# Points at its multiples never lie in rows.
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True, eq=False)
class Section:
    """A two-dimensional surface in state space and the flat map of it.

    Attributes:
        positions: (N, 2) place of each pattern on the map.
        mean: (d,) mean of the patterns, the state at the origin of the map.
        anchors: (M, 2) places with a prescribed state: all positions, or none.
        coefficients: (M + 3, d) of the thin-plate spline from places to states minus the mean: one
            row per anchor, then the constant and the two slopes.
    """

    positions: Floats
    mean: Floats
    anchors: Floats
    coefficients: Floats

    @classmethod
    def of(cls, patterns: Floats, kind: str = "auto") -> Section:
        """Return the section of patterns (N, d).

        Args:
            patterns: (N, d) array.
            kind: "plane" is the plane of the first two principal components. "surface" places
                the patterns so that their distances on the map are as close to those in d
                dimensions as can be (multidimensional scaling), and takes the smoothest surface
                (thin-plate spline) through all of them, so that every memory has its basin in the
                picture; patterns in a plane give that plane. "auto" is the surface for at most 64
                patterns and the plane for more.

        Raises:
            ValueError: `kind` is none of these.
        """
        if kind not in ("auto", "plane", "surface"):
            raise ValueError(f'section: got {kind!r}, need "auto", "plane" or "surface"')
        mean: Floats = np.asarray(np.mean(patterns, axis=0, dtype=np.float64))
        centred = patterns - mean
        axes = _principal_axes(centred)
        if kind == "plane" or (kind == "auto" and len(patterns) > _MAX_SURFACE_PATTERNS):
            coefficients = np.concatenate([np.zeros((1, len(mean))), axes])
            return cls(centred @ axes.T, mean, np.empty((0, 2)), coefficients)
        positions = _flat_map(centred, centred @ axes.T)
        return cls(positions, mean, positions, _thin_plate(positions, centred))

    def locate(self, weights: Floats) -> Floats:
        """Return the places (K, 2) of fixed points with weights (K, N): means of the patterns'."""
        places: Floats = weights @ self.positions
        return places

    def embed(self, places: Floats) -> Floats:
        """Return the states (P, d) at places (P, 2)."""
        states: Floats = self.mean + _thin_plate_basis(places, self.anchors) @ self.coefficients
        return states


def _principal_axes(centred: Floats) -> Floats:
    """Return the first two principal directions (2, d), zero rows where there are none."""
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    axes = np.zeros((2, centred.shape[1]))
    kept = int(np.count_nonzero(scales[:2] > 1e-10 * max(1.0, float(scales[0]))))
    for axis, direction in zip(axes, directions[:kept], strict=False):
        axis[:] = direction * np.copysign(1.0, direction[np.abs(direction).argmax()])
    return axes


def _flat_map(points: Floats, projected: Floats) -> Floats:
    """Return places (N, 2) whose distances are near those of points (N, d).

    The best found from three starts: a ring, a disc and the projection to the principal plane. Of
    patterns as symmetric as orthonormal ones that plane is arbitrary, depends on the machine, and
    may lay some on others for good. Patterns in a plane stay where they are.
    """
    wanted = np.linalg.norm(points[:, None] - points, axis=-1)

    def stress(places: Floats) -> float:
        return float(np.sum((_distances(places) - wanted) ** 2))

    if stress(projected) <= 1e-20 * np.sum(wanted**2):
        return projected
    count = np.arange(len(points))
    radius = np.max(wanted) / 2
    ring = _polar(radius, 2 * np.pi / len(points) * count)
    disc = _polar(radius * np.sqrt((count + 0.5) / len(points)), _GOLDEN_ANGLE * count)
    found = [_scaled_to_plane(wanted, start) for start in (ring, disc, projected)]
    stresses = np.array([stress(places) for places in found])
    return found[int(np.argmax(stresses <= (1 + 1e-6) * stresses.min()))]


def _polar(radii: Floats | float, angles: Floats) -> Floats:
    """Return the places (N, 2) at radii and angles (N)."""
    places: Floats = np.asarray(radii)[..., None] * np.column_stack(
        [np.cos(angles), np.sin(angles)]
    )
    return places


def _scaled_to_plane(wanted: Floats, places: Floats) -> Floats:
    """Return places (N, 2) whose distances approach those wanted (N, N).

    Metric multidimensional scaling by majorisation (Guttman transforms), from the places given:
    the sum of squared differences of distances falls at every step.
    """
    for _ in range(_SCALING_STEPS):
        actual = _distances(places)
        ratio = np.divide(wanted, actual, out=np.zeros_like(wanted), where=actual > 1e-12)
        places = (ratio.sum(axis=1)[:, None] * places - ratio @ places) / len(places)
    return places


def _distances(places: Floats) -> Floats:
    """Return (N, N) distances between places (N, 2)."""
    distances: Floats = np.linalg.norm(places[:, None] - places, axis=-1)
    return distances


def _thin_plate_basis(points: Floats, anchors: Floats) -> Floats:
    """Return (P, M + 3): r² log r to each anchor, then 1, x, y."""
    squared = np.sum((points[:, None, :] - anchors[None, :, :]) ** 2, axis=-1)
    radial = 0.5 * squared * np.log(np.maximum(squared, np.finfo(float).tiny))
    return np.concatenate([radial, np.ones((len(points), 1)), points], axis=1)


def _thin_plate(anchors: Floats, values: Floats) -> Floats:
    """Return coefficients (M + 3, d) with which the spline takes values (M, d) at the anchors.

    Least squares: anchors that coincide or lie on one line are no error.
    """
    basis = _thin_plate_basis(anchors, anchors)
    system = np.zeros((len(anchors) + 3, len(anchors) + 3))
    system[: len(anchors)] = basis
    system[len(anchors) :, : len(anchors)] = basis[:, len(anchors) :].T
    right_side = np.concatenate([values, np.zeros((3, values.shape[1]))])
    coefficients: Floats = np.linalg.lstsq(system, right_side, rcond=None)[0]
    return coefficients


@dataclass(frozen=True, eq=False)
class Grid:
    """States of a section on a grid: x (R,), y (R,), energy (R, R), basin (R, R; −1 for none)."""

    x: Floats
    y: Floats
    energy: Floats
    basin: NDArray[np.int64]

    @classmethod
    def of(cls, network: Hopfield, memories: Floats, view: Section, resolution: int) -> Grid:
        """Retrieve from every point of the grid, in one batch."""
        low, high = view.positions.min(axis=0), view.positions.max(axis=0)
        half = 0.5 * float(np.max(high - low)) * 1.3 or 1.0
        centre = 0.5 * (low + high)
        x, y = (np.linspace(c - half, c + half, resolution) for c in centre)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        states = view.embed(grid).astype(network.patterns.dtype)
        basin = nearest(network, network.retrieve(states).states, memories)
        shape = (resolution, resolution)
        return cls(x, y, network.energy(states).reshape(shape), basin.reshape(shape))


def nearest(network: Hopfield, states: Floats, memories: Floats) -> NDArray[np.int64]:
    """Return which memory each state has reached, −1 for none."""
    places = np.ascontiguousarray(memories, dtype=np.float64)
    scale = float(np.linalg.norm(places, axis=1).max(initial=0.0))
    reach = np.full(len(places), 1e-3 * (scale or 1.0))
    reached = np.ascontiguousarray(states, dtype=np.float64)
    return _core.nearest_within(reached, places, reach, network._threads)
