"""The peers written with PyTorch: naive, scaled_dot_product_attention, torch.func."""

from __future__ import annotations

import torch
from peers_numpy import MAX_STEPS

Tensor = torch.Tensor


def update(patterns: Tensor, states: Tensor, beta: float) -> Tensor:
    """Return f(states)."""
    return torch.softmax(beta * (states @ patterns.T), dim=-1) @ patterns


def attention(patterns: Tensor, states: Tensor, beta: float) -> Tensor:
    """Return f(states) by scaled dot-product attention on (1, 1, B, d)."""
    x = patterns[None, None]
    return torch.nn.functional.scaled_dot_product_attention(states[None, None], x, x, scale=beta)[
        0, 0
    ]


def jacobian(patterns: Tensor, states: Tensor, beta: float) -> Tensor:
    """Return the Jacobian per state by reverse-mode differentiation."""
    one = torch.func.jacrev(lambda state: torch.softmax(beta * (patterns @ state), 0) @ patterns)
    return torch.func.vmap(one)(states)


def jvp(patterns: Tensor, states: Tensor, tangents: Tensor, beta: float) -> Tensor:
    """Return J t by forward-mode differentiation."""
    return torch.func.jvp(lambda s: update(patterns, s, beta), (states,), (tangents,))[1]


def retrieve(patterns: Tensor, states: Tensor, beta: float, tol: float) -> Tensor:
    """Return what `peers_numpy.retrieve` does, with attention as the update."""
    x, active = states.clone(), torch.arange(len(states))
    for _ in range(MAX_STEPS):
        here = x[active]
        there = attention(patterns, here, beta)
        size = torch.linalg.vector_norm(here, dim=1).clamp(min=1)
        moving = torch.linalg.vector_norm(there - here, dim=1) > tol * size
        active = active[moving]
        if not len(active):
            break
        x[active] = there[moving]
    return x
