"""Eigenvalues by NumPy, without the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# NumPy keeps the GIL up to so many eigenvalues; those of one matrix of 17 rows take 100 us.
_KEPT_UP_TO = 500
_QUICK_UP_TO = 16


def eigenvalues(matrices: npt.NDArray[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return numpy.linalg.eigvals of (count, m, m), to the bit."""
    count, m, _ = matrices.shape
    if count * m > _KEPT_UP_TO or m <= _QUICK_UP_TO:
        values: npt.NDArray[Any] = np.linalg.eigvals(matrices)
        return values
    # Matrices of zeros take O(m^2): balancing sees that they are triangular.
    zeros = np.zeros((_KEPT_UP_TO // m, m, m), matrices.dtype)
    values = np.linalg.eigvals(np.concatenate([matrices, zeros]))
    return values[:count]
