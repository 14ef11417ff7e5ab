"""The arguments of the mean field: checked, and as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hopfix._arrays import as_float_array, as_integer, as_real, require_finite, require_squares
from hopfix.mean_field._results import Array

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

_MATRICES = ("output", "value", "query", "key")


def require_kind(name: str, value: object, kind: type) -> None:
    """TypeError unless the value is of this class of `hopfix.mean_field`."""
    if not isinstance(value, kind):
        need = f"hopfix.mean_field.{kind.__name__}"
        raise TypeError(f"{name}: got {type(value).__name__}, need {need}")


def require_model(model: object) -> None:
    """TypeError unless it is an `AttentionMeanField`."""
    from hopfix.mean_field._model import AttentionMeanField  # which needs this module itself

    require_kind("model", model, AttentionMeanField)


def as_matrices(given: Sequence[npt.ArrayLike]) -> list[Array]:
    matrices: list[Array] = []
    for name, value in zip(_MATRICES, given, strict=True):
        matrix = as_float_array(name, value).astype(np.float64)
        if matrix.ndim != 2 or matrix.size == 0:
            raise ValueError(f"{name}: got shape {matrix.shape}, need (M, K) with M, K >= 1")
        if matrices and matrix.shape != matrices[0].shape:
            raise ValueError(
                f"{name}: got shape {matrix.shape}, need that of output, {matrices[0].shape}"
            )
        require_finite(name, matrix)
        require_squares(name, matrix)
        matrices.append(matrix)
    return matrices


def as_class_weights(given: npt.ArrayLike | None, count: int) -> Array:
    if given is None:
        return np.full(count, 1 / count)
    weights = as_float_array("class_weights", given).astype(np.float64)
    if weights.shape != (count,):
        raise ValueError(f"class_weights: got shape {weights.shape}, need ({count},)")
    require_finite("class_weights", weights)
    if not ((weights >= 0).all() and abs(weights.sum() - 1) <= 1e-9):
        raise ValueError(
            f"class_weights: got sum {weights.sum():.17g} and least {weights.min():g}, "
            "need numbers >= 0 with sum 1"
        )
    return weights


def as_position_weight(value: float) -> float:
    weight = as_real("position_weight", value)
    if not 0 <= weight <= 1:
        raise ValueError(f"position_weight: got {weight}, need a number from 0 to 1")
    return weight


def position_fields(given: Sequence[npt.ArrayLike] | None, features: int, context: int) -> Array:
    """(L, 4 M): n⁻¹ Σ_j P_aj p_j of every position, zeros without positions."""
    if given is None:
        return np.zeros((context, 4 * features))
    if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
        raise TypeError(
            f"positions: got {type(given).__name__}, need four arrays: (P_o, P_v, P_q, P_k)"
        )
    if len(given) != 4:
        raise ValueError(f"positions: got {len(given)}, need four: (P_o, P_v, P_q, P_k)")
    matrices = [as_float_array("positions", matrix).astype(np.float64) for matrix in given]
    shape = matrices[0].shape
    if any(matrix.ndim != 2 or matrix.shape != shape for matrix in matrices):
        raise ValueError(
            f"positions: got shapes {[m.shape for m in matrices]}, need four of one shape (M, n)"
        )
    units = shape[1]
    if shape[0] != features or units == 0 or 2**units < context:
        raise ValueError(
            f"positions: got shape {shape}, need ({features}, n) with 2^n >= {context}"
        )
    for matrix in matrices:
        require_finite("positions", matrix)
        require_squares("positions", matrix)
    bits = np.arange(context)[:, None] >> np.arange(units - 1, -1, -1)
    units_on = 2.0 * (bits & 1) - 1.0
    return np.concatenate([units_on @ matrix.T / units for matrix in matrices], axis=1)


def as_steps(steps: int, discard: int) -> tuple[int, int]:
    """Steps to make, and how many of them are not kept."""
    total = as_integer("steps", steps, 1)
    return total, as_integer("discard", discard, 0, total)


def as_parameters(
    model: AttentionMeanField,
    betas: npt.ArrayLike,
    gammas: npt.ArrayLike | None,
    position_weights: npt.ArrayLike | None,
) -> Array:
    """Parameters (3, n) of a sweep; those of the model stand for what is not given."""
    rows = [as_float_array("betas", betas).astype(np.float64)]
    shape = rows[0].shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"betas: got shape {shape}, need (n,) with n >= 1")
    for name, given, default in (
        ("gammas", gammas, model.gamma),
        ("position_weights", position_weights, model.position_weight),
    ):
        row = np.full(shape, default) if given is None else as_float_array(name, given)
        if row.shape != shape:
            raise ValueError(f"{name}: got shape {row.shape}, need that of betas, {shape}")
        rows.append(row.astype(np.float64))
    for name, row in zip(("betas", "gammas", "position_weights"), rows, strict=True):
        require_finite(name, row)
    if not (rows[0] > 0).all():
        raise ValueError(f"betas: got {rows[0].min():g}, need numbers > 0")
    if not (rows[1] >= 0).all():
        raise ValueError(f"gammas: got {rows[1].min():g}, need numbers >= 0")
    if not ((rows[2] >= 0) & (rows[2] <= 1)).all():
        raise ValueError(
            f"position_weights: got {rows[2].min():g} to {rows[2].max():g}, need 0 to 1"
        )
    if rows[2].any() and not model._system.has_positions:
        raise ValueError(
            f"position_weights: got up to {rows[2].max():g}, need 0: the network has "
            "no position units, make one with positions"
        )
    return np.stack(rows)
