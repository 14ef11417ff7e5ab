"""The peers written with JAX, compiled by XLA; importing fails where JAX is not installed.

XLA takes as many threads as there are CPUs: its number cannot be set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from peers_numpy import MAX_STEPS
from problems import Problem

jax.config.update("jax_enable_x64", True)

Array = jax.Array


def update(patterns: Array, states: Array, beta: float) -> Array:
    """Return f(states)."""
    return jax.nn.softmax(beta * (states @ patterns.T), axis=-1) @ patterns


def jacobian(patterns: Array, states: Array, beta: float) -> Array:
    """Return the Jacobian per state by reverse-mode differentiation."""
    return jax.vmap(jax.jacrev(lambda state: update(patterns, state, beta)))(states)


def jvp(patterns: Array, states: Array, tangents: Array, beta: float) -> Array:
    """Return J t by forward-mode differentiation."""
    return jax.jvp(lambda s: update(patterns, s, beta), (states,), (tangents,))[1]


def retrieve(patterns: Array, states: Array, beta: float, tol: float) -> Array:
    """Iterate all states until each has stopped: compiled code has no shrinking batches."""

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, moving, count = carry
        there = update(patterns, x, beta)
        size = jnp.maximum(1, jnp.linalg.norm(x, axis=1))
        moving &= jnp.linalg.norm(there - x, axis=1) > tol * size
        return jnp.where(moving[:, None], there, x), moving, count + 1

    def running(carry: tuple[Array, Array, Array]) -> Array:
        return carry[1].any() & (carry[2] < MAX_STEPS)

    return jax.lax.while_loop(running, step, (states, jnp.ones(len(states), bool), 0))[0]


def competitor(p: Problem) -> Callable[[], Any]:
    """Return the task of a problem as a function of nothing, compiled at its first call."""
    x, q, t = (jnp.asarray(a) for a in (p.patterns, p.states, p.tangents))
    function, arguments = {
        "update": (update, (x, q)),
        "jacobian": (jacobian, (x, q)),
        "jvp": (jvp, (x, q, t)),
        "retrieve": (lambda x, q, beta: retrieve(x, q, beta, p.cell.tolerance), (x, q)),
    }[p.cell.task]
    compiled = jax.jit(function)
    return lambda: compiled(*arguments, p.beta).block_until_ready()
