"""Normalisation and linear projection of patterns, once for what comes from one tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopfix.torch._normalization import normalize

__all__ = ["Projection", "fold_norm", "is_one_norm", "project"]


class Projection(NamedTuple):
    """x ↦ norm(x) Wᵀ + b; without a weight x ↦ norm(x)."""

    weight: Tensor | None
    bias: Tensor | None
    norm: nn.Module | None

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return the projection of (…, size)."""
        normalized = tensor if self.norm is None else self.norm(tensor)
        if self.weight is None:
            return normalized
        return functional.linear(normalized, self.weight, self.bias)


def project(inputs: list[Tensor], projections: list[Projection]) -> list[Tensor]:
    """Return the projection of each input; neighbours that are the same tensor in one product."""
    results: list[Tensor] = []
    while len(results) < len(inputs):
        first = len(results)
        tensor, end = inputs[first], first + 1
        while end < len(inputs) and inputs[end] is tensor:
            end += 1
        results += _project_one(tensor, projections[first:end])
    return results


def _project_one(tensor: Tensor, projections: list[Projection]) -> list[Tensor]:
    weights = [p.weight for p in projections if p.weight is not None]
    rows = tensor[..., 0].numel()
    # Preparing the joint weights costs passes over them, which the rows have to be worth.
    worth = len(weights) > 1 and sum(len(w) for w in weights) <= rows
    if not worth or len(weights) < len(projections) or not is_one_norm(projections):
        return [p(tensor) for p in projections]
    norm = projections[0].norm
    if isinstance(norm, nn.LayerNorm):
        tensor = normalize(tensor, norm.eps)
    folded = [fold_norm(p) for p in projections]
    weight = torch.cat([w for w, _ in folded])
    biases = [b for _, b in folded if b is not None]
    bias = torch.cat(biases) if biases else None
    return list(functional.linear(tensor, weight, bias).split([len(w) for w in weights], dim=-1))


def is_one_norm(projections: list[Projection]) -> bool:
    """Whether all normalise alike, but for scale and shift, and nobody listens to the modules."""
    norms = [p.norm for p in projections]
    if all(norm is None for norm in norms):
        return True
    return (
        all(
            norm is not None
            and type(norm) is nn.LayerNorm
            and len(norm.normalized_shape) == 1
            and norm.eps == getattr(norms[0], "eps", None)
            and (norm.weight is None) == (norm.bias is None)
            and not (norm._forward_hooks or norm._forward_pre_hooks or norm._backward_hooks)
            for norm in norms
        )
        and len({p.bias is None and getattr(p.norm, "bias", None) is None for p in projections})
        == 1
    )


def fold_norm(projection: Projection) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias with scale and shift of the norm in them.

    (x γ + δ) Wᵀ + b = x (W γ)ᵀ + (b + W δ).
    """
    weight, bias, norm = projection
    assert weight is not None
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None:
        return weight, bias
    shift = torch.mv(weight, norm.bias)
    return weight * norm.weight, shift if bias is None else bias + shift
