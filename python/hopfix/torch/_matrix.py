"""Associations in torch's own operations, with the matrix of association weights at hand.

For what the core does not do: weights to be returned or dropped out, other separations than
softmax, biases with a derivative, other devices and dtypes. The rules are those of
`hopfix.torch._operators.associate`; memory is B·H·L·S numbers a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hopfix import _core
from hopfix._similarity import _as_separation
from hopfix.torch._operators import differentiable_once, to_convergence

__all__ = ["Separation", "apply_weights", "association_weights"]

_MOST_STEPS = 10_000


class Separation:
    """A separation function by its name, over the last axis of a tensor of scores.

    softmax in torch, on any device. The others, "sparsemax", ("entmax", alpha), ("topk", k) and
    ("polynomial", n) or ("polynomial", n, rectified), in the core (`hopfix.separation`): for CPU
    tensors of float32 or float64.
    """

    def __init__(self, given: Any) -> None:
        # topk needs as many scores as it takes, of which there is nothing known yet.
        count = given[1] if isinstance(given, (tuple, list)) and list(given[:1]) == ["topk"] else 1
        least = count if isinstance(count, int) and count > 0 else 1
        self.given, self._rule = _as_separation(given, least)
        self.is_softmax = self.given in ("softmax", ("entmax", 1))

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the probabilities; zero in rows of only -inf, which have none."""
        dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
        alive = scores.masked_fill(dead, 0.0)
        if self.is_softmax:
            probabilities = torch.softmax(alive, dim=-1)
        else:
            if scores.device.type != "cpu":
                raise ValueError(
                    f"separation: {self.given!r} needs CPU tensors, got {scores.device.type}; only "
                    "softmax runs on other devices"
                )
            if self.given[0] == "topk" and int(self.given[1]) > scores.shape[-1]:
                raise ValueError(
                    f"separation: {self.given!r} needs at least as many stored patterns, got "
                    f"{scores.shape[-1]}"
                )
            probabilities = _Separate.apply(alive, self)
        return probabilities.masked_fill(dead, 0.0)

    def __reduce__(self) -> tuple[type[Separation], tuple[Any]]:
        return Separation, (self.given,)

    def __repr__(self) -> str:
        return f"Separation({self.given!r})"


class _Separate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, separation: Separation) -> Tensor:
        rows = scores.detach().reshape(-1, scores.shape[-1]).contiguous()
        threads = torch.get_num_threads()
        probabilities, fault, row = _core.separate(separation._rule, rows.numpy(), threads)
        _require_answer(separation, fault, row)
        result = torch.from_numpy(probabilities).reshape(scores.shape)
        ctx.save_for_backward(rows, result)
        ctx.separation = separation
        return result

    @staticmethod
    def backward(ctx: Any, cotangents: Tensor) -> tuple[Tensor, None]:
        rows, probabilities = ctx.saved_tensors
        with torch.no_grad():
            gradient = _separation_adjoint(ctx.separation, rows, probabilities, cotangents)
        return differentiable_once((gradient,))[0], None


def _separation_adjoint(
    separation: Separation, rows: Tensor, probabilities: Tensor, cotangents: Tensor
) -> Tensor:
    if separation.given[0] == "polynomial":
        return _polynomial_adjoint(rows, probabilities, cotangents, *separation.given[1:])
    flat = cotangents.reshape(rows.shape).contiguous().numpy()
    threads = torch.get_num_threads()
    result, fault, row = _core.separation_jvp(separation._rule, rows.numpy(), flat, threads)
    _require_answer(separation, fault, row)
    return torch.from_numpy(result).reshape(cotangents.shape)


def _polynomial_adjoint(
    rows: Tensor, probabilities: Tensor, cotangents: Tensor, n: int, rectified: bool = False
) -> Tensor:
    """Jᵀc for J = n (diag(u) − p uᵀ), u_i = z_i^(n−1) / Σ z^n = p_i / z_i."""
    z = rows.reshape(probabilities.shape)
    used = z > 0 if rectified else z != 0
    u = torch.where(used, probabilities / torch.where(used, z, 1.0), 0.0)
    mean = (probabilities * cotangents).sum(dim=-1, keepdim=True)
    return n * u * (cotangents - mean)


def _require_answer(separation: Separation, fault: str, row: int) -> None:
    if fault:
        raise ValueError(
            f"separation: {separation.given!r} has no answer for the scores of query {row}: {fault}"
        )


@dataclass(frozen=True)
class _Scores:
    """From states to probabilities: softmax(β K q + bias) or another separation of the same."""

    patterns: Tensor
    beta: Tensor
    bias: Tensor | None
    separation: Separation

    def __call__(self, states: Tensor) -> Tensor:
        scores = torch.matmul(states * self.beta, self.patterns.transpose(-1, -2))
        return self.separation(scores if self.bias is None else scores + self.bias)


def association_weights(
    queries: Tensor,
    patterns: Tensor,
    beta: Tensor,
    bias: Tensor | None,
    max_steps: list[int],
    tolerance: list[float],
    separation: Separation,
) -> Tensor:
    """Return the association weights (B, H, L, S) after the updates of the queries.

    bias: broadcast to (B, H, L, S). For the rest see `associate`.
    """
    heads = queries.shape[1]
    weights_of = _Scores(patterns, beta.view(heads, 1, 1), bias, separation)
    limit = torch.tensor(max_steps, device=queries.device).view(heads, 1)
    eps = torch.tensor(tolerance, device=queries.device, dtype=torch.float64).view(heads, 1)
    implicit = limit == to_convergence
    states = queries
    if any(steps > 0 for steps in max_steps):
        states = _iterate(weights_of, queries, limit.clamp(min=0), eps, max(max_steps))
    if bool(implicit.any()):
        if _is_traced():
            raise RuntimeError(
                "update_steps_max=None cannot be traced here: the number of updates depends on the "
                "data; need a finite update_steps_max"
            )
        states = torch.where(
            implicit.unsqueeze(-1), _fixed_points(weights_of, queries, implicit, eps), states
        )
    return weights_of(states)


def _is_traced() -> bool:
    return bool(torch._C._get_tracing_state() is not None or torch.compiler.is_compiling())


def _iterate(weights_of: _Scores, states: Tensor, limit: Tensor, eps: Tensor, most: int) -> Tensor:
    """Update every query until it has taken limit[h] updates or its weights stand still."""
    weights = weights_of(states)
    active = (limit > 0).expand(weights.shape[:-1])
    for taken in range(1, most + 1):
        if not _is_traced() and not bool(active.any()):
            break
        updated = torch.matmul(weights, weights_of.patterns)
        states = torch.where(active.unsqueeze(-1), updated, states)
        if taken == most:
            break
        before, weights = weights, weights_of(states)
        change = torch.linalg.vector_norm((weights - before).detach(), dim=-1)
        active = active & (change > eps) & (taken < limit)
    return states


def _fixed_points(weights_of: _Scores, queries: Tensor, wanted: Tensor, eps: Tensor) -> Tensor:
    """Return the fixed points, with the derivative of the implicit function theorem."""
    still = _Scores(
        weights_of.patterns.detach(),
        weights_of.beta.detach(),
        None if weights_of.bias is None else weights_of.bias.detach(),
        weights_of.separation,
    )
    endless = torch.where(wanted, _MOST_STEPS + 1, 0)
    with torch.no_grad():
        states = _iterate(still, queries.detach(), endless, eps, _MOST_STEPS + 1)
    _require_converged(still, states, wanted, eps)
    if not torch.is_grad_enabled():
        return states
    fixed = torch.matmul(weights_of(states), weights_of.patterns)
    if not fixed.requires_grad:
        return states
    fixed.register_hook(_adjoint_solver(still, states, wanted))
    return states + (fixed - fixed.detach())


def _require_converged(still: _Scores, states: Tensor, wanted: Tensor, eps: Tensor) -> None:
    with torch.no_grad():
        weights = still(states)
        change = torch.linalg.vector_norm(
            still(torch.matmul(weights, still.patterns)) - weights, dim=-1
        )
        left = int(((change > eps) & wanted).sum())
    if left:
        raise RuntimeError(
            f"update_steps_max: {left} queries did not converge in {_MOST_STEPS} updates; need a "
            "larger update_steps_eps, or a finite update_steps_max"
        )


def _adjoint_solver(
    still: _Scores, states: Tensor, wanted: Tensor
) -> Callable[[Tensor | None], Tensor | None]:
    """Return the map from c to λ = c + Jᵀλ, by iteration, for attracting fixed points."""

    def solve(cotangents: Tensor | None) -> Tensor | None:
        if cotangents is None:  # undefined, which is zero
            return None
        c = torch.where(wanted.unsqueeze(-1), cotangents, 0.0)
        tolerance = 1e-6 if states.dtype == torch.float32 else 1e-13
        with torch.enable_grad():
            at = states.detach().requires_grad_()
            image = torch.matmul(still(at), still.patterns)
        solution = c
        for _ in range(_MOST_STEPS):
            (product,) = torch.autograd.grad(image, at, solution, retain_graph=True)
            following = c + torch.where(wanted.unsqueeze(-1), product, 0.0)
            change = torch.linalg.vector_norm(following - solution)
            solution = following
            if not bool(change > tolerance * torch.linalg.vector_norm(solution)):
                return solution
        raise RuntimeError(
            "a fixed point has no derivative that the iteration can find: it is not attracting; "
            "need a finite update_steps_max, which differentiates the updates"
        )

    return solve


def apply_weights(weights: Tensor, values: Tensor, dropout: float, training: bool) -> Tensor:
    """Return Σ_i p_i v_i, with dropout of the weights p in training."""
    kept = torch.nn.functional.dropout(weights, dropout, training) if dropout > 0 else weights
    return torch.matmul(kept, values)
