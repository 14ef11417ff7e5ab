"""Arguments of the layers, checked and in one form."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hopfix._arrays import as_bool, as_integer, as_positive, as_real
from hopfix.torch._operators import to_convergence

__all__ = [
    "as_activation",
    "as_bias",
    "as_bool",
    "as_probability",
    "as_scaling",
    "as_steps_eps",
    "as_steps_max",
    "kernel_rows",
    "require_mask",
    "sizes_of",
]

_MASK_DTYPES = "bool, uint8 (nonzero: masked) or a floating dtype (added to the scores)"


def as_scaling(value: Any, num_heads: int) -> float | Tensor:
    """Return β as a float, or as a tensor with one finite number > 0 per head.

    A tensor keeps its identity, so that a Parameter can be trained.
    """
    if isinstance(value, Tensor):
        if value.dim() == 0 and not value.requires_grad:
            return as_positive("scaling", float(value))
        if value.shape != (num_heads,):
            raise ValueError(
                f"scaling: got shape {tuple(value.shape)}, need ({num_heads},), one per head"
            )
        if not value.is_floating_point():
            value = value.to(torch.get_default_dtype())
        if not value.is_meta and not bool((value.isfinite() & (value > 0)).all()):
            raise ValueError(f"scaling: got {value.tolist()}, need finite numbers > 0")
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return as_positive("scaling", float(value))
    raise TypeError(f"scaling: got {type(value).__name__}, need a number or a tensor, or None")


def as_steps_max(value: Any, num_heads: int) -> list[int]:
    """Return the most updates of every head; `to_convergence` for None and, in tensors, for < 0."""
    if value is None:
        return [to_convergence] * num_heads
    if isinstance(value, Tensor):
        if value.shape != (num_heads,) or value.is_floating_point() or value.is_complex():
            raise ValueError(
                f"update_steps_max: got a {value.dtype} tensor of shape {tuple(value.shape)}, need "
                f"integers of shape ({num_heads},), one per head"
            )
        return [to_convergence if steps < 0 else int(steps) for steps in value.tolist()]
    return [as_integer("update_steps_max", value, 0, 2**31)] * num_heads


def as_steps_eps(value: Any, num_heads: int) -> list[float]:
    """Return the threshold of every head."""
    if isinstance(value, Tensor):
        if value.shape != (num_heads,):
            raise ValueError(
                f"update_steps_eps: got shape {tuple(value.shape)}, need ({num_heads},), one per "
                "head"
            )
        return [as_positive("update_steps_eps", eps) for eps in value.tolist()]
    return [as_positive("update_steps_eps", value)] * num_heads


def require_mask(name: str, mask: Any) -> None:
    """TypeError unless it is a tensor or None."""
    if mask is not None and not isinstance(mask, Tensor):
        raise TypeError(f"{name}: got {type(mask).__name__}, need a tensor or None")


def as_bias(name: str, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as numbers to be added to the scores: -inf where a bool or uint8 one is set."""
    if mask.dtype in (torch.bool, torch.uint8):
        zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return zeros.masked_fill(mask != 0, -math.inf)
    if mask.is_floating_point():
        return mask.to(dtype)
    raise TypeError(f"{name}: got dtype {mask.dtype}, need {_MASK_DTYPES}")


def sizes_of(**sizes: Any) -> dict[str, int | None]:
    """Check sizes: None or integers >= 1."""
    return {
        name: None if size is None else as_integer(name, size, 1) for name, size in sizes.items()
    }


def as_probability(name: str, value: Any) -> float:
    number = as_real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: got {number}, need a number of 0 to 1")
    return number


def as_activation(name: Any) -> Callable[[Tensor], Tensor] | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"association_activation: got {type(name).__name__}, need a name or None")
    function = getattr(torch, name, None)
    if not callable(function):
        raise ValueError(
            f"association_activation: got {name!r}, need the name of a function of torch, as 'relu'"
        )
    return function


def kernel_rows(similarity: Any, kernel_size: int | None) -> int | None:
    """The rows of the kernel, 0 for hidden_size; None without a kernel."""
    if similarity not in ("dot", "kernel"):
        raise ValueError(f'similarity: got {similarity!r}, need "dot" or "kernel"')
    if similarity == "dot":
        if kernel_size is not None:
            raise ValueError(f'kernel_size: got {kernel_size}, which needs similarity="kernel"')
        return None
    return kernel_size or 0
