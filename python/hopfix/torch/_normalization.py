"""Layer normalisation without scale and shift, by the core: `torch.ops.hopfix.normalize`.

torch's own takes several times as long for short rows; its derivative is used as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hopfix import _core
from hopfix.torch._operators import differentiable_once, team

__all__ = ["normalize"]


def normalize(tensor: Tensor, eps: float) -> Tensor:
    """Return (x − mean) / √(variance + eps) of the last axis.

    By torch for other tensors than non-empty ones of float32 and float64 on the CPU.
    """
    if (
        tensor.device.type != "cpu"
        or tensor.dtype not in (torch.float32, torch.float64)
        or tensor.numel() == 0
        or torch.is_autocast_enabled("cpu")
    ):
        return functional.layer_norm(tensor, tensor.shape[-1:], eps=eps)
    result: Tensor = torch.ops.hopfix.normalize(tensor, eps)[0]
    return result


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        with torch._C._AutoDispatchBelowAutograd():
            normalized, means, inverses = torch.ops.hopfix.normalize(tensor, eps)
        ctx.save_for_backward(tensor, means, inverses)
        ctx.mark_non_differentiable(means, inverses)
        return normalized, means, inverses

    @staticmethod
    def backward(ctx: Any, cotangents: Tensor, *_: Any) -> tuple[Tensor, None]:
        tensor, means, inverses = ctx.saved_tensors
        with torch.no_grad():
            gradient = torch.ops.aten.native_layer_norm_backward(
                cotangents,
                tensor,
                tensor.shape[-1:],
                means,
                inverses,
                None,
                None,
                [True, False, False],
            )[0]
        return differentiable_once((gradient,))[0], None


def _normalize_autograd(tensor: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    if torch.is_grad_enabled() and tensor.requires_grad:
        results: tuple[Tensor, Tensor, Tensor] = _Normalize.apply(tensor, eps)
        return results
    with torch._C._AutoDispatchBelowAutograd():
        results = torch.ops.hopfix.normalize(tensor, eps)
    return results


def _normalize(tensor: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    given = tensor.detach().contiguous()
    normalized, means, inverses = _empty_results(given, eps)
    rows = given.view(-1, given.shape[-1])
    _core.normalize_rows(
        rows.numpy(),
        eps,
        normalized.view(rows.shape).numpy(),
        means.view(-1).numpy(),
        inverses.view(-1).numpy(),
        torch.get_num_threads(),
        team(),
    )
    return normalized, means, inverses


def _empty_results(tensor: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    statistics = (*tensor.shape[:-1], 1)
    normalized = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return normalized, tensor.new_empty(statistics), tensor.new_empty(statistics)


def _register() -> torch.library.Library:
    library = torch.library.Library("hopfix", "FRAGMENT")
    library.define("normalize(Tensor tensor, float eps) -> (Tensor, Tensor, Tensor)")
    library.impl("normalize", _normalize_autograd, "AutogradCPU")
    library.impl("normalize", _normalize, "CPU")
    library.impl("normalize", _empty_results, "Meta")
    return library


_library = _register()
