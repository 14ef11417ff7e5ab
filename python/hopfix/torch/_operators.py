"""The associations of the C++ core as torch operators, with their derivatives.

``torch.ops.hopfix.associate`` is what the layers call. As registered operators, associations are
single nodes for `torch.compile`, `torch.export`, `torch.jit.trace` and `torch.jit.script`; a saved
graph runs wherever `hopfix.torch` has been imported. Tensors are shared with the core, not copied.

The core runs on the threads of torch's own OpenMP pool where that is the one bundled with torch
(Linux): its threads keep spinning for a while after an operator of torch, and a second pool would
have to share the processors with them. Elsewhere it runs on the pool of hopfix. The number of
threads is `torch.get_num_threads()`; results do not depend on it.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hopfix import _core

__all__ = ["associate", "differentiable_once", "no_derivative", "team", "to_convergence"]

to_convergence = -1

_Forward: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
_Adjoint: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

_OPERANDS = (
    "Tensor queries, Tensor patterns, Tensor? values, Tensor beta, Tensor? pattern_bias, "
    "Tensor? bias, int[] max_steps, float[] tolerance, Tensor? maps{0}, Tensor? shifts{0}"
)


def associate(
    queries: Tensor,
    patterns: Tensor,
    values: Tensor | None,
    beta: Tensor,
    pattern_bias: Tensor | None,
    bias: Tensor | None,
    max_steps: list[int],
    tolerance: list[float],
    maps: Tensor | None = None,
    shifts: Tensor | None = None,
) -> Tensor:
    """Return the associations (B, H, L, P) of queries (B, H, L, D) with patterns and values.

    CPU tensors of one dtype, float32 or float64, with any strides but contiguous rows. A query
    takes max_steps[h] updates q ← Kᵀ softmax(β_h K q + bias), or fewer if the softmax weights of
    one differ by at most tolerance[h] from those before (2-norm); its softmax weights then mix the
    values. `to_convergence` instead of a number of updates: as many as it takes.

    Args:
        queries: (B, H, L, D).
        patterns: (B, H, S, D).
        values: (B, H, S, P); None: the patterns.
        beta: (H,).
        pattern_bias: (B, H, 1, S) added to the logits of all queries, without derivative; -inf
            excludes a pattern. A query without any pattern gets zeros.
        bias: (B, H, L, S), the same for pairs.
        max_steps: H numbers, or G for each head, whose queries are then in G runs of equal length.
        tolerance: as many.
        maps: of as many rules (D, D) each, M: the updated query is m M + s, not the average m.
        shifts: (D,) each, s. Both only where no update is to convergence, or without derivative.

    Derivatives are those of the computation, through every update that was taken; for
    `to_convergence` those of the fixed point, by the implicit function theorem, so that the queries
    get zero. Not to be differentiated twice.

    Raises:
        RuntimeError: a query to be iterated to convergence did not get there in 10,000 updates; in
            the backward pass: a fixed point has no derivative (an eigenvalue 1 of its Jacobian).
    """
    result: Tensor = torch.ops.hopfix.associate(
        queries, patterns, values, beta, pattern_bias, bias, max_steps, tolerance, maps, shifts
    )
    return result


class _Associate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *operands: Any) -> Tensor:
        with torch._C._AutoDispatchBelowAutograd():
            out, steps, states, log_sums = torch.ops.hopfix.associate_traced(*operands)
        tensors = (*operands[:6], *operands[8:])
        ctx.save_for_backward(*tensors, out, steps, states, log_sums)
        ctx.rules = operands[6:8]
        result: Tensor = out
        return result

    @staticmethod
    def backward(ctx: Any, out_cotangents: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        values, maps, averages = saved[2], saved[6], saved[10]
        with torch.no_grad():
            *gradients, cotangents = torch.ops.hopfix.associate_adjoint(
                *saved[:6], *ctx.rules, *saved[6:], out_cotangents
            )
            if maps is not None:
                gradients += _map_gradients(averages, cotangents, len(maps))
        queries, patterns, of_values, beta, *of_maps = differentiable_once(tuple(gradients))
        return (
            *(queries, patterns, None if values is None else of_values, beta, None, None),
            *(None, None, of_maps[0] if of_maps else None, of_maps[1] if of_maps else None),
        )


def _map_gradients(averages: Tensor, cotangents: Tensor, rules: int) -> list[Tensor]:
    """Σ mᵀ c and Σ c over all updates of the queries of a rule; both (slots, B, H, L, D)."""
    heads, dim = averages.shape[2], averages.shape[4]
    m, c = (
        t.unflatten(3, (rules // heads, -1)).permute(2, 3, 0, 1, 4, 5).reshape(rules, -1, dim)
        for t in (averages, cotangents)
    )
    return [torch.bmm(m.mT, c), c.sum(dim=1)]


def differentiable_once(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Gradients that raise RuntimeError where they are to be differentiated themselves.

    torch's `once_differentiable` does that only if the cotangents require a gradient, and else
    takes the gradients for constants, which silently drop out of a second derivative.
    """
    if not torch.is_grad_enabled():
        return gradients
    message = b"associations of hopfix.torch can be differentiated once, not twice"
    delayed = torch._C._functions.DelayedError(message, len(gradients))
    results: Tensor | tuple[Tensor, ...] = delayed(
        *(g.detach().requires_grad_() for g in gradients)
    )
    return (results,) if isinstance(results, Tensor) else results


def _associate_autograd(*operands: Any) -> Tensor:
    operands = (*operands, None, None)[:10]
    tensors = (t for t in (*operands[:4], *operands[8:]) if t is not None)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        result: Tensor = _Associate.apply(*operands)
        return result
    with torch._C._AutoDispatchBelowAutograd():
        result = associate(*operands)
    return result


def _associate_alone(*operands: Any) -> Tensor:
    return _forward(*operands, keep=False)[0]


def _associate_traced(*operands: Any) -> _Forward:
    return _forward(*operands, keep=True)


def _forward(
    queries: Tensor,
    patterns: Tensor,
    values: Tensor | None,
    beta: Tensor,
    pattern_bias: Tensor | None,
    bias: Tensor | None,
    max_steps: list[int],
    tolerance: list[float],
    maps: Tensor | None = None,
    shifts: Tensor | None = None,
    *,
    keep: bool,
) -> _Forward:
    read = patterns if values is None else values
    operands = _operands(
        queries, patterns, read, beta, pattern_bias, bias, max_steps, tolerance, maps, shifts
    )
    out, steps, states, log_sums = _empty_results(queries, read, max_steps, keep)
    if maps is not None:
        states.zero_()
    unconverged = _core.associate(
        operands,
        out.numpy(),
        steps.numpy(),
        states.numpy() if keep else None,
        log_sums.numpy() if keep else None,
        torch.get_num_threads(),
        team(),
    )
    if unconverged:
        raise RuntimeError(
            f"update_steps_max: {unconverged} of {steps.numel()} queries did not converge to "
            f"update_steps_eps={min(tolerance):g} in 10,000 updates; need a larger "
            "update_steps_eps, or a finite update_steps_max"
        )
    return out, steps, states, log_sums


def _adjoint(
    queries: Tensor,
    patterns: Tensor,
    values: Tensor | None,
    beta: Tensor,
    pattern_bias: Tensor | None,
    bias: Tensor | None,
    max_steps: list[int],
    tolerance: list[float],
    maps: Tensor | None,
    shifts: Tensor | None,
    out: Tensor,
    steps: Tensor,
    states: Tensor,
    log_sums: Tensor,
    out_cotangents: Tensor,
) -> _Adjoint:
    read = patterns if values is None else values
    operands = _operands(
        queries, patterns, read, beta, pattern_bias, bias, max_steps, tolerance, maps, shifts
    )
    query_gradient = _empty_like_rows(queries)
    pattern_gradient = _empty_like_rows(patterns)
    value_gradient = None if values is None else _empty_like_rows(values)
    state_gradient = torch.zeros_like(states) if maps is not None else states.new_empty(0)
    beta_gradient = torch.empty(beta.shape, dtype=torch.float64)
    singular = _core.associate_adjoint(
        operands,
        out.numpy(),
        steps.numpy(),
        states.numpy(),
        log_sums.numpy(),
        _rows(out_cotangents).numpy(),
        query_gradient.numpy(),
        pattern_gradient.numpy(),
        None if value_gradient is None else value_gradient.numpy(),
        beta_gradient.numpy(),
        None if maps is None else state_gradient.numpy(),
        torch.get_num_threads(),
        team(),
    )
    if singular:
        raise RuntimeError(no_derivative(singular, steps.numel()))
    of_values = queries.new_empty(0) if value_gradient is None else value_gradient
    of_beta = beta_gradient.to(beta.dtype)
    return query_gradient, pattern_gradient, of_values, of_beta, state_gradient


def no_derivative(singular: int, queries: int) -> str:
    """The message for fixed points where the implicit function theorem has no answer."""
    return (
        f"the fixed points of {singular} of {queries} queries have no derivative: I − J is "
        "singular there; need a finite update_steps_max, which differentiates the updates"
    )


def _operands(
    queries: Tensor,
    patterns: Tensor,
    values: Tensor,
    beta: Tensor,
    pattern_bias: Tensor | None,
    bias: Tensor | None,
    max_steps: list[int],
    tolerance: list[float],
    maps: Tensor | None,
    shifts: Tensor | None,
) -> Any:
    tensors = [queries, patterns, values, pattern_bias, bias]
    heads = queries.shape[1]
    _require_fitting(tensors, beta, len(max_steps), len(tolerance), heads, maps, shifts)
    single = queries.dtype == torch.float32
    kind: Any = _core.AssociationOperands32 if single else _core.AssociationOperands64
    return kind(
        *(None if t is None else _rows(t).detach().numpy() for t in tensors),
        beta.detach().contiguous().numpy(),
        np.array(max_steps, dtype=np.int64),
        np.array(tolerance, dtype=np.float64),
        *(None if t is None else t.detach().contiguous().numpy() for t in (maps, shifts)),
    )


def _require_fitting(
    tensors: list[Tensor | None],
    beta: Tensor,
    steps: int,
    tolerances: int,
    heads: int,
    maps: Tensor | None,
    shifts: Tensor | None,
) -> None:
    """The core trusts its arrays: shapes and dtypes are checked here, once more than in a layer."""
    queries, patterns, values, pattern_bias, bias = tensors
    assert queries is not None
    assert patterns is not None
    assert values is not None
    dtypes = {t.dtype for t in (*tensors, beta, maps, shifts) if t is not None}
    if len(dtypes) != 1 or not dtypes <= {torch.float32, torch.float64}:
        raise TypeError(
            f"associate: got dtypes {sorted(map(str, dtypes))}, need float32 or float64"
        )
    if any(t is not None and t.dim() != 4 for t in tensors):
        raise ValueError("associate: need tensors of shape (batch, heads, rows, dim)")
    batch, _, length, dim = queries.shape
    count = patterns.shape[2]
    needed = {
        "patterns": (patterns, (batch, heads, count, dim)),
        "values": (values, (batch, heads, count, values.shape[3])),
        "pattern_bias": (pattern_bias, (batch, heads, 1, count)),
        "bias": (bias, (batch, heads, length, count)),
        "maps": (maps, (steps, dim, dim)),
        "shifts": (shifts, (steps, dim)),
    }
    for name, (tensor, shape) in needed.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"associate: {name}: got shape {tuple(tensor.shape)}, need {shape}")
    groups = steps // heads
    if (
        beta.numel() != heads
        or not steps == tolerances == groups * heads
        or groups == 0
        or length % groups != 0
        or min(queries.numel(), count) == 0
    ):
        raise ValueError("associate: need one beta, max_steps and tolerance per head, and patterns")


def _rows(tensor: Tensor) -> Tensor:
    """The tensor, with contiguous rows."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def _empty_like_rows(tensor: Tensor, dim: int | None = None) -> Tensor:
    """An empty (B, H, R, dim) whose memory is ordered like that of the projections.

    As (B, R, H, dim), or (R, B, H, dim) if that is how the tensor is.
    """
    batch, heads, rows, last = tensor.shape
    last = last if dim is None else dim
    if tensor.stride(0) < tensor.stride(2) and batch > 1:
        empty = torch.empty(rows, batch, heads, last, dtype=tensor.dtype, device=tensor.device)
        return empty.permute(1, 2, 0, 3)
    empty = torch.empty(batch, rows, heads, last, dtype=tensor.dtype, device=tensor.device)
    return empty.transpose(1, 2)


def _empty_results(queries: Tensor, values: Tensor, max_steps: list[int], keep: bool) -> _Forward:
    shape, device = queries.shape[:3], queries.device
    slots = max(1 if steps == to_convergence else steps for steps in max_steps) if keep else 0
    return (
        _empty_like_rows(queries, values.shape[3]),
        torch.empty(shape, dtype=torch.int64, device=device),
        torch.empty(slots, *queries.shape, dtype=queries.dtype, device=device),
        torch.empty(slots + 1 if keep else 0, *shape, dtype=queries.dtype, device=device),
    )


@functools.cache
def team() -> int:
    """The address of GOMP_parallel in the OpenMP library that came with torch, or 0."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            library = ctypes.CDLL(str(path))
            return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


def _register() -> torch.library.Library:
    library = torch.library.Library("hopfix", "DEF")
    library.define(f"associate({_OPERANDS.format('=None')}) -> Tensor")
    library.define(
        f"associate_traced({_OPERANDS.format('=None')}) -> (Tensor, Tensor, Tensor, Tensor)"
    )
    library.define(
        f"associate_adjoint({_OPERANDS.format('')}, Tensor out, Tensor steps, Tensor states, "
        "Tensor log_sums, Tensor out_cotangents) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
    )
    library.impl("associate", _associate_autograd, "AutogradCPU")
    library.impl("associate", _associate_alone, "CPU")
    library.impl("associate_traced", _associate_traced, "CPU")
    library.impl("associate_adjoint", _adjoint, "CPU")
    library.impl("associate", lambda *given: _meta_results(*given)[0], "Meta")
    library.impl("associate_traced", _meta_results, "Meta")
    library.impl("associate_adjoint", _meta_gradients, "Meta")
    return library


def _meta_results(queries: Tensor, patterns: Tensor, values: Tensor | None, *rest: Any) -> _Forward:
    return _empty_results(queries, patterns if values is None else values, rest[3], True)


def _meta_gradients(
    queries: Tensor, patterns: Tensor, values: Tensor | None, beta: Tensor, *rest: Any
) -> _Adjoint:
    maps, states = rest[4], rest[8]
    return (
        _empty_like_rows(queries),
        _empty_like_rows(patterns),
        queries.new_empty(0) if values is None else _empty_like_rows(values),
        torch.empty_like(beta),
        states.new_empty(0) if maps is None else torch.empty_like(states),
    )


_library = _register()
