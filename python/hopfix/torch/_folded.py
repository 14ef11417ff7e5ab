"""Associations of few queries, without the projections of the patterns.

With k_i = W x_i + b the scores are q·k_i = (Wᵀq)·x_i + q·b, where softmax does not see q·b, and an
average Σ p_i k_i is W (Σ p_i x_i) + b: a query that is projected into the space of the patterns,
and an average that is projected from there, save the projection of every pattern. There an update
is u ← m βWᵀW + βbW for the average m of the x_i, the same for all patterns. Per pattern of E
numbers, L queries of H heads take 2 H L E multiply-adds a step, in place of H (D + P) E once and
H L (D + P) a step: worth it where a sample has few queries, as in pooling. To the core the heads
are queries of one head, whose patterns they share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopfix.torch._normalization import normalize
from hopfix.torch._operators import associate, no_derivative, to_convergence
from hopfix.torch._projection import Projection, fold_norm, is_one_norm

__all__ = ["FoldedAssociation", "FoldedRows", "fold_rows", "is_worth_folding"]

_Operands: TypeAlias = tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor | None, Tensor | None]

# Updates expected of an iteration to convergence, and what a multiply-add with the few numbers of a
# head costs in those with whole patterns: measured, also with so few queries a head as `_FEW`.
_EXPECTED_STEPS, _NARROW, _NARROW_OF_FEW = 6, 2, 12
_FEW = 8
# Multiply-adds that pay for more operations of torch.
_WORTH = 1e6


class FoldedRows(NamedTuple):
    """Rows x, (B, S, E), that stand for W x + b in every head: W (H, D, E), b (H, D) or None."""

    rows: Tensor
    weight: Tensor
    bias: Tensor | None

    def project(self, averages: Tensor, alive: Tensor | None) -> Tensor:
        """Return W m + b of averages m (B, H, L, E); b only where `alive`, if that is not None."""
        projected = _by_head(averages, self.weight.mT)
        if self.bias is None:
            return projected
        bias = self.bias.unsqueeze(1)
        return projected + (bias if alive is None else bias * alive)


@dataclass(frozen=True)
class FoldedAssociation:
    """The association of queries with folded patterns and values.

    keys, values: the latter with the rows of the former where these are the same; beta: (H,);
    pattern_bias: (B, 1, 1, S), bias: something like (B, H, L, S), or None.
    """

    keys: FoldedRows
    values: FoldedRows
    beta: Tensor
    pattern_bias: Tensor | None
    bias: Tensor | None

    def __call__(self, queries: Tensor, max_steps: list[int], tolerance: list[float]) -> Tensor:
        """Return what is found (B, H, L, P) for queries (B, H, L, D); see `associate`.

        max_steps are all `to_convergence`, or none of them is.
        """
        shared = self.values.rows is self.keys.rows
        operands = self._operands(queries, None if shared else self.values.rows)
        if max_steps[0] == to_convergence and torch.is_grad_enabled():
            queries = self._fixed_points(queries, max_steps, tolerance)
            operands = self._operands(queries, None if shared else self.values.rows)
            max_steps = [0] * len(max_steps)
        maps = (None, None) if max(max_steps) == 0 else self._maps()
        found = associate(*operands, max_steps, tolerance, *maps)
        return self.values.project(_of_heads(found, queries.shape[1]), self._alive())

    def _operands(self, queries: Tensor, values: Tensor | None) -> _Operands:
        """What the core is given, with all heads in one: queries times β, so that β is 1."""
        batch, heads, length, _ = queries.shape
        scaled = _by_head(queries * self.beta.view(-1, 1, 1), self.keys.weight)
        pattern_bias, bias = self.pattern_bias, self.bias
        if pattern_bias is not None:
            pattern_bias = pattern_bias.expand(batch, 1, 1, -1)
        if bias is not None:
            bias = bias.expand(batch, heads, length, -1).flatten(1, 2).unsqueeze(1)
        return (
            scaled.flatten(1, 2).unsqueeze(1),
            self.keys.rows.unsqueeze(1),
            None if values is None else values.unsqueeze(1),
            torch.ones(1, dtype=queries.dtype),
            pattern_bias,
            bias,
        )

    def _maps(self) -> tuple[Tensor, Tensor | None]:
        """From an average of rows to the updated query, times β: βWᵀW and βbW of every head."""
        _, weight, bias = self.keys
        scaled = weight * self.beta.view(-1, 1, 1)
        shifts = None if bias is None else torch.bmm(bias.unsqueeze(1), scaled).squeeze(1)
        return torch.bmm(weight.mT, scaled), shifts

    def _alive(self) -> Tensor | None:
        """Which queries have a pattern, something like (B, H, L, 1); None: all."""
        biases = [bias for bias in (self.pattern_bias, self.bias) if bias is not None]
        if not biases:
            return None
        total = sum(biases[1:], biases[0])
        return ~torch.isneginf(total).all(dim=-1, keepdim=True)

    # Fixed points --------------------------------------------------------------------------------

    def _fixed_points(
        self, queries: Tensor, max_steps: list[int], tolerance: list[float]
    ) -> Tensor:
        """Return the fixed points, with the derivative of the implicit function theorem."""
        with torch.no_grad():
            operands = self._operands(queries, None)
            rules = (max_steps, tolerance, *self._maps())
            averages = torch.ops.hopfix.associate_traced(*operands, *rules)[2].squeeze(0)
            points = self.keys.project(_of_heads(averages, queries.shape[1]), self._alive())
        once = associate(*self._operands(points, None), [0] * len(max_steps), tolerance)
        image = self.keys.project(_of_heads(once, queries.shape[1]), self._alive())
        if not image.requires_grad:
            return points

        def solve(cotangents: Tensor | None) -> Tensor | None:
            if cotangents is None:  # undefined, which is zero
                return None
            with torch.no_grad():
                return self._adjoint_solver(points)(cotangents)

        image.register_hook(solve)
        # The queries, where the iteration starts, have the derivative zero.
        started = torch.where(torch.ones_like(points, dtype=torch.bool), points, queries)
        return started + (image - image.detach())

    def _adjoint_solver(self, points: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map from c to λ = c + Jλ at fixed points, J = β Cov_p(k), in float64.

        RuntimeError where I − J is singular to working precision.
        """
        inverse, distance = _inverse(self._jacobian(points))
        singular = int((distance <= (1e-6 if points.dtype == torch.float32 else 1e-12)).sum())
        if singular:
            raise RuntimeError(no_derivative(singular, distance.numel()))

        def solve(cotangents: Tensor) -> Tensor:
            solution = torch.matmul(inverse, cotangents.to(inverse).unsqueeze(-1))
            return solution.squeeze(-1).to(cotangents)

        return solve

    def _jacobian(self, points: Tensor) -> Tensor:
        """β Cov_p(k), (B, H, L, D, D); the bias of the projection has no part in it."""
        rows, weight, _ = self.keys
        k = functional.linear(rows, weight.flatten(0, 1)).unflatten(2, weight.shape[:2])
        k = k.permute(0, 2, 3, 1).contiguous()
        weights = self._weights(points)
        mean = torch.matmul(weights, k.mT)
        weighted = weights.unsqueeze(3) * k.unsqueeze(2)
        second = torch.matmul(weighted.flatten(2, 3), k.mT).unflatten(2, mean.shape[2:])
        covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        return self.beta.view(-1, 1, 1, 1) * covariance

    def _weights(self, states: Tensor) -> Tensor:
        """The association weights (B, H, L, S), zero where there is no pattern."""
        queries = _by_head(states * self.beta.view(-1, 1, 1), self.keys.weight)
        scores = torch.matmul(queries.flatten(1, 2), self.keys.rows.mT)
        scores = scores.unflatten(1, (states.shape[1], -1))
        for bias in (self.pattern_bias, self.bias):
            scores = scores if bias is None else scores + bias
        alive = self._alive()
        return torch.softmax(scores, -1) if alive is None else _masked_softmax(scores, alive)


def _masked_softmax(scores: Tensor, alive: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~alive, 0.0), dim=-1) * alive


def _inverse(jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """(I − J)⁻¹ and a lower bound of 1 / (|(I − J)⁻¹| max(1, |J|)), 0 where there is none."""
    j = jacobian.double()
    identity = torch.eye(j.shape[-1], dtype=j.dtype)
    inverse, fault = torch.linalg.inv_ex(identity - j)
    size = torch.linalg.matrix_norm(inverse) * j.abs().amax(dim=(-2, -1)).clamp(min=1.0)
    return inverse, torch.where(fault == 0, 1.0 / size, 0.0)


def _by_head(tensor: Tensor, matrices: Tensor) -> Tensor:
    """(B, H, L, m) times (H, m, n): (B, H, L, n), in one product for each head."""
    batch, _, length, _ = tensor.shape
    rows = tensor.transpose(0, 1).flatten(1, 2)
    return torch.bmm(rows, matrices).unflatten(1, (batch, length)).transpose(0, 1)


def _of_heads(tensor: Tensor, heads: int) -> Tensor:
    """(B, H, L, E) of (B, 1, H L, E)."""
    return tensor.squeeze(1).unflatten(1, (heads, -1))


def is_worth_folding(
    count: int,
    sizes: tuple[int, int],
    queries: tuple[int, int],
    dims: tuple[int, int],
    max_steps: list[int],
) -> bool:
    """Whether folding saves enough multiply-adds.

    Args:
        count: number of patterns, of all samples.
        sizes: numbers of a pattern and a pattern projection.
        queries: heads, and queries per sample and head.
        dims: D and P.
        max_steps: of every head.
    """
    heads, length = queries
    steps = max(_EXPECTED_STEPS if most == to_convergence else most for most in max_steps)
    projections = heads * (dims[0] * sizes[0] + dims[1] * sizes[1])
    narrow = heads * length * ((2 * steps + 1) * dims[0] + dims[1])
    wide = heads * length * ((2 * steps + 1) * sizes[0] + sizes[1])
    cost = _NARROW_OF_FEW if length <= _FEW else _NARROW
    return count * (projections + cost * narrow - wide) > _WORTH


def fold_rows(
    key: Tensor, value: Tensor, projections: list[Projection], heads: int, batch_first: bool
) -> tuple[FoldedRows, FoldedRows]:
    """Return stored patterns and pattern projections, normalised, with what is left to be done.

    With the same rows where they come from one tensor.
    """
    of_key, of_value = projections
    shared = key is value and is_one_norm(projections)
    if shared:
        norm = of_key.norm
        if isinstance(norm, nn.LayerNorm):
            key = normalize(key, norm.eps)
        of_key, of_value = (Projection(*fold_norm(p), None) for p in projections)
    keys = _folded(key, of_key, heads, batch_first)
    values = _folded(key if shared else value, of_value, heads, batch_first)
    return keys, values._replace(rows=keys.rows) if shared else values


def _folded(tensor: Tensor, projection: Projection, heads: int, batch_first: bool) -> FoldedRows:
    weight, bias, norm = projection
    assert weight is not None
    rows = tensor if norm is None else norm(tensor)
    if bias is not None:
        # Where the bias has no effect its derivative is zero, not missing.
        weight = weight + 0.0 * bias.unsqueeze(-1)
        bias = bias.unflatten(0, (heads, -1))
    return FoldedRows(
        rows if batch_first else rows.transpose(0, 1), weight.unflatten(0, (heads, -1)), bias
    )
