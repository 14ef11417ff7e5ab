"""The retrieval models that the U-Hop experiments compare, and their error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hopfix import Hopfield
from hopfix.kernel import SeparationKernel

__all__ = ["MODELS", "Kernel", "Memory", "Model", "fitted", "pixel_error", "random_start"]

Pixels = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Kernel:
    """How the matrix W of a similarity (Wx)·(Wξ) is made.

    Attributes:
        loss: "average" or "maximum", minimised by Stage I, or "random": the standard normal numbers
            that Stage I starts from.
        faithful: as published (plain gradient descent from there, of the first half of the
            patterns in capacity experiments), or hopfix's own descent, of all patterns.
    """

    loss: Literal["average", "maximum", "random"]
    faithful: bool = False


@dataclass(frozen=True)
class Model:
    """A retrieval Σ_i p_i x_i with p = separation(β · similarity(x_i, ξ)).

    Attributes:
        name: its name in results.
        label: its name in tables and plots.
        similarity: of `Hopfield`.
        separation: of `Hopfield`.
        unit_norm: compare x_i/‖x_i‖ and ξ/‖ξ‖.
        kernel: compare Wx_i and Wξ; None: the images themselves.
    """

    name: str
    label: str
    similarity: str = "dot"
    separation: str | tuple[str, float] = "softmax"
    unit_norm: bool = False
    kernel: Kernel | None = None

    @property
    def learned(self) -> bool:
        """Whether Stage I made its similarity."""
        return self.kernel is not None and self.kernel.loss != "random"


MODELS = (
    Model("softmax", "softmax"),
    Model("sparsemax", "sparsemax", separation="sparsemax"),
    Model("entmax", "1.5-entmax", separation=("entmax", 1.5)),
    Model("polynomial", "polynomial, degree 10", separation=("polynomial", 10)),
    Model("neg_l1", "−L1", similarity="neg_l1"),
    Model("neg_l2", "−L2", similarity="neg_l2"),
    Model("neg_sq_l2", "−L2²", similarity="neg_sq_l2"),
    Model("unit_norm", "unit-norm keys", unit_norm=True),
    Model("random_kernel", "random W", kernel=Kernel("random")),
    Model("uhop_average_faithful", "U-Hop average, faithful", kernel=Kernel("average", True)),
    Model("uhop_maximum_faithful", "U-Hop maximum, faithful", kernel=Kernel("maximum", True)),
    Model("uhop_average", "U-Hop average, default", kernel=Kernel("average")),
    Model("uhop_maximum", "U-Hop maximum, default", kernel=Kernel("maximum")),
)


def fitted(
    kernel: Kernel, patterns: Pixels, *, steps: int, start: Pixels, num_threads: int | None = None
) -> SeparationKernel:
    """Return what `steps` steps of Stage I make of `start` (D, d), for patterns (M, d)."""
    if kernel.loss == "random":
        raise ValueError("kernel: got a random one, which no Stage I makes")
    stage_one = SeparationKernel(
        kind=kernel.loss, steps=steps, faithful=kernel.faithful, num_threads=num_threads
    )
    return stage_one.fit(patterns, start=start)


def random_start(dim: int, seed: int) -> Pixels:
    """Return W (d, d) with standard normal entries, where the published Stage I starts."""
    return np.random.default_rng(seed).standard_normal((dim, dim), dtype=np.float32)


class Memory:
    """Patterns (M, d) stored in a model, with the matrix W (D, d) of its kernel if it has one."""

    def __init__(
        self,
        model: Model,
        patterns: Pixels,
        matrix: Pixels | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._model = model
        self._patterns = patterns
        self._keys = patterns
        self._threads = num_threads
        if matrix is not None:  # (Wx)·(Wξ) = (WᵀWx)·ξ: queries need not be transformed
            self._keys = (patterns @ matrix.T) @ matrix

    def retrieve(self, queries: Pixels, beta: float) -> Pixels:
        """Return the images (B, d) that one update of queries (B, d) gives."""
        network = Hopfield(
            self._keys,
            beta,
            values=self._patterns,
            similarity=self._model.similarity,
            separation=self._model.separation,
            normalize=self._model.unit_norm,
            num_threads=self._threads,
        )
        return network.update(queries)

    def error(self, queries: Pixels, beta: float) -> float:
        """Return the `pixel_error` of queries made of the patterns, one of each, in order."""
        return pixel_error(self._patterns, self.retrieve(queries, beta))


def pixel_error(images: Pixels, retrieved: Pixels) -> float:
    """Return the mean over images (M, d) of Σ (x − y)², pixels clamped to [0, 1]: as published."""
    difference = np.clip(images, 0, 1) - np.clip(retrieved, 0, 1)
    return float(np.square(difference).sum(axis=1, dtype=np.float64).mean())
