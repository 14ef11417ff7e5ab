"""Random features; public as `hopfix.performer.RandomFeatures`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_float_array,
    as_integer,
    as_nonnegative,
    as_states,
    require_squares,
)
from hopfix._config import resolve_threads
from hopfix._interchange import interchange, interchange_or
from hopfix._limits import require_memory

KINDS = ("exp", "cosh", "relu")


def as_kind(kind: object) -> str:
    """Return the kind of features, one of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(f'kind: got {kind!r}, need "exp", "cosh" or "relu"')
    return str(kind)


def gaussian_rows(generator: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Return (count, dim) independent standard normal numbers."""
    return generator.standard_normal((count, dim))


def orthogonal_rows(generator: np.random.Generator, count: int, dim: int) -> FloatArray:
    """Return (count, dim) rows, each standard normal, orthogonal in blocks of `dim`.

    A block is the Q factor of a Gaussian matrix with the signs of R's diagonal, without which it
    would not be uniformly distributed; its rows get the lengths of Gaussian vectors.
    """
    width = min(count, dim)
    blocks = -(-count // width)
    normal = generator.standard_normal((blocks, dim, width))
    # Some at a time: Ctrl-C has to wait for NumPy.
    some = max(1, 2**18 // (dim * width))
    haar = np.concatenate(
        [_haar_blocks(normal[first : first + some]) for first in range(0, blocks, some)]
    )
    rows = haar.transpose(0, 2, 1).reshape(blocks * width, dim)[:count]
    return rows * np.sqrt(generator.chisquare(dim, count))[:, None]


def _haar_blocks(normal: FloatArray) -> FloatArray:
    """Return (K, dim, width) orthonormal columns from matrices of normal numbers."""
    q, r = np.linalg.qr(normal)
    signs = np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)
    return np.asarray(q * signs[:, None, :])


class RandomFeatures:
    """A random map φ with E[φ(a)·φ(b)] = k(a, b), of Gaussian rows w_1 … w_r.

    ======  ================================================  ======================
    kind    φ_j(z), times r^(−1/2)                            k(a, b)
    ======  ================================================  ======================
    "exp"   exp(w_j·z − ‖z‖²/2)                               exp(a·b)
    "cosh"  the same, where every second half of the rows is  exp(a·b), with less
            the first half with the other sign                variance
    "relu"  max(w_j·z, 0) + offset                            arc-cosine, degree 1
    ======  ================================================  ======================

    Source: Choromanski et al., "Rethinking Attention with Performers" (2021), Lemma 1 and
    Section 2.4 (orthogonal rows).

    Args:
        dim: d >= 1.
        n_features: r >= 1; even for "cosh".
        kind: "exp", "cosh" or "relu".
        orthogonal: rows are orthogonal in blocks of d, which lowers the variance; each row is
            standard normal all the same. The blocks are independent, the last may be shorter.
        offset: >= 0, of "relu" alone, so that no feature map vanishes; the published 1e-3.
        seed: a non-negative integer, or None for one of the system's; see `seed`.
        num_threads: as in `Hopfield`.

    Example:
        >>> features = hopfix.performer.RandomFeatures(2, 4096, seed=0)
        >>> features.matrix.shape
        (4096, 2)
        >>> a, b = np.array([0.5, 0.2]), np.array([0.3, -0.4])
        >>> bool(abs(features.transform(a) @ features.transform(b) - np.exp(a @ b)) < 0.05)
        True
    """

    def __init__(
        self,
        dim: int,
        n_features: int,
        *,
        kind: str = "exp",
        orthogonal: bool = True,
        offset: float = 1e-3,
        seed: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        dim = as_integer("dim", dim, 1)
        n_features = as_integer("n_features", n_features, 1)
        self._kind = as_kind(kind)
        if self._kind == "cosh" and n_features % 2:
            raise ValueError(f'n_features: got {n_features}, need an even number for "cosh"')
        self._orthogonal = as_bool("orthogonal", orthogonal)
        self._offset = as_nonnegative("offset", offset)
        entropy = None if seed is None else as_integer("seed", seed, 0)
        self._threads = resolve_threads(num_threads)
        self._draw(np.random.SeedSequence(entropy), dim, n_features)

    def _draw(self, sequence: np.random.SeedSequence, dim: int, n_features: int) -> None:
        require_memory("n_features", (n_features, dim), np.float64, "take fewer features")
        generator = np.random.default_rng(sequence)
        rows = orthogonal_rows if self._orthogonal else gaussian_rows
        if self._kind == "cosh":
            half = rows(generator, n_features // 2, dim)
            matrix = np.concatenate([half, -half])
        else:
            matrix = rows(generator, n_features, dim)
        matrix.flags.writeable = False
        self._sequence, self._matrix = sequence, matrix

    @property
    def matrix(self) -> FloatArray:
        """(r, d) float64, the rows w_j, read-only."""
        return self._matrix

    @property
    def kind(self) -> str:
        """The kind, "exp", "cosh" or "relu"."""
        return self._kind

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self._matrix.shape[1])

    @property
    def n_features(self) -> int:
        """The number r of features."""
        return int(self._matrix.shape[0])

    @property
    def offset(self) -> float:
        """The offset of "relu"."""
        return self._offset

    @property
    def seed(self) -> int:
        """The seed that gives these features again (of a draw: those it was drawn from)."""
        entropy: Any = self._sequence.entropy
        return int(entropy)

    def __repr__(self) -> str:
        return (
            f"RandomFeatures(dim={self.dim}, n_features={self.n_features}, kind={self._kind!r}, "
            f"orthogonal={self._orthogonal}, seed={self.seed})"
        )

    def redraw(self, draw: int) -> RandomFeatures:
        """Return independent features of the same seed; 0 are these, each other number its own."""
        draw = as_integer("draw", draw, 0)
        if draw == 0:
            return self
        other: RandomFeatures = object.__new__(RandomFeatures)
        other._kind, other._orthogonal = self._kind, self._orthogonal
        other._offset, other._threads = self._offset, self._threads
        key = (*self._sequence.spawn_key, draw)
        sequence = np.random.SeedSequence(self._sequence.entropy, spawn_key=key)
        other._draw(sequence, self.dim, self.n_features)
        return other

    @interchange_or("hopfix.gpu._features.transform")
    def transform(self, z: npt.ArrayLike) -> FloatArray:
        """Return φ(z), shape (..., r), for z of shape (..., d); O(r d) each.

        The dtype is that of z (integers and bool become float64). Exponentials that overflow are
        +inf, those that underflow 0: nothing is subtracted. z outside host memory is transformed
        there, to rounding.
        """
        dtype = as_float_array("z", z).dtype
        rows, leading = as_states("z", z, self.dim, dtype)
        require_memory("z", (*leading, self.n_features), dtype, "transform fewer rows at a time")
        matrix = self._matrix.astype(dtype, copy=False)
        compute: Any = _core.random_features32 if dtype == np.float32 else _core.random_features64
        features = compute(matrix, self._kind == "relu", self._offset, rows, self._threads)
        return np.asarray(features.reshape((*leading, self.n_features)))

    @interchange
    def kernel(self, a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
        """Return k(a, b) = E[φ(a)·φ(b)], float64, for a and b of shapes (..., d), broadcast."""
        a, b = self._pair(a, b)
        inner = np.einsum("...k,...k->...", a, b)
        if self._kind != "relu":
            with np.errstate(over="ignore"):
                return np.asarray(np.exp(inner))
        lengths = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
        both = lengths[0] * lengths[1]
        cosine = np.clip(inner / np.where(both > 0, both, 1.0), -1.0, 1.0)
        angle = np.arccos(cosine)
        arc = both * (np.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)
        once = self._offset * (lengths[0] + lengths[1]) / math.sqrt(2 * math.pi)
        return np.asarray(arc + once + self._offset**2)

    @interchange
    def relative_variance(self, a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
        """Return Var[φ(a)·φ(b)] / k(a, b)², float64, for independent rows; for "exp" and "cosh".

        (exp(‖a + b‖²) − 1)/r for "exp", 2 (cosh(‖a + b‖²) − 1)/r for "cosh". An estimate is worth
        something where this is below 1. Orthogonal rows have less.
        """
        if self._kind == "relu":
            raise ValueError(
                'relative_variance: no formula exists for kind "relu", need "exp" or "cosh"'
            )
        a, b = self._pair(a, b)
        with np.errstate(over="ignore"):
            square = np.square(a + b).sum(axis=-1)
            one = np.expm1(square) if self._kind == "exp" else 4 * np.sinh(square / 2) ** 2
        return np.asarray(one / self.n_features)

    def _pair(self, a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        arrays = []
        for name, value in (("a", a), ("b", b)):
            rows, leading = as_states(name, value, self.dim, np.dtype(np.float64))
            require_squares(name, rows)
            arrays.append(rows.reshape((*leading, self.dim)))
        try:
            np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
        except ValueError:
            raise ValueError(
                f"b: got shape {arrays[1].shape}, need one that goes with {arrays[0].shape} of a"
            ) from None
        return arrays[0], arrays[1]
