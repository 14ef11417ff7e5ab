"""How a separation kernel is to be trained: where it starts, and along which steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray
from hopfix._kernel_arguments import as_matrix
from hopfix._limits import require_memory

if TYPE_CHECKING:
    from hopfix.kernel import SeparationKernel

_RATES = {"average": 1.0, "maximum": 10.0, "layer": 1.0}  # as published; "layer" as "average"


def training_start(
    kernel: SeparationKernel,
    rows: FloatArray,
    start: npt.ArrayLike | None,
    rng: np.random.Generator,
) -> FloatArray:
    """Return a new matrix (D, d): the one given, or random numbers."""
    d = rows.shape[1]
    if start is None:
        shape = (d if kernel.n_features is None else kernel.n_features, d)
        require_memory("n_features", shape, rows.dtype, "take fewer features")
        return rng.standard_normal(shape, dtype=rows.dtype.type)
    return np.array(as_matrix("start", start, rows, kernel.n_features))


def step_lengths(kernel: SeparationKernel) -> npt.NDArray[np.float64]:
    """Return the step lengths of plain descent; none: line searches."""
    rate = kernel.learning_rate
    if rate is None and not kernel.faithful:
        return np.empty(0)
    rates = np.full(kernel.steps, _RATES[kernel.kind] if rate is None else rate)
    if kernel.faithful and kernel.kind != "maximum":
        rates[1:] = np.sqrt(np.arange(1.0, kernel.steps))
        rates = np.divide.accumulate(rates)
    return rates


def batches(
    kernel: SeparationKernel, count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return rows (steps, batch_size) of `count` patterns; empty for all of them at every step."""
    size = kernel.batch_size
    if size is None:
        return np.empty(0, np.int64)
    if size > count:
        raise ValueError(f"batch_size: got {size}, need at most the {count} patterns")
    rounds = -(-kernel.steps // (count // size))
    drawn = [rng.permutation(count)[: count // size * size] for _ in range(rounds)]
    return np.concatenate([np.empty(0, np.int64), *drawn])[: kernel.steps * size]


def tolerance(kernel: SeparationKernel, dtype: np.dtype[Any]) -> float:
    """Return the size of the gradient at which to stop."""
    if kernel.tol is not None:
        return kernel.tol
    return 1e-4 if dtype == np.float32 else 1e-6
