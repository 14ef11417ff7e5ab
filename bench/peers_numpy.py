"""The peers written with NumPy, as one would write them by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MAX_STEPS = 1000  # as in Hopfield.retrieve


def weights(patterns: Array, states: Array, beta: float) -> Array:
    """Return softmax(beta states patternsᵀ), in place after the product."""
    z = states @ patterns.T
    z *= beta
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def update(patterns: Array, states: Array, beta: float) -> Array:
    """Return f(states)."""
    return weights(patterns, states, beta) @ patterns


def jacobian(patterns: Array, states: Array, beta: float) -> Array:
    """Return beta Cov_p(x) per state, as a batched product of weighted, centred patterns."""
    p = weights(patterns, states, beta)
    rows = patterns[None] - (p @ patterns)[:, None]
    rows *= np.sqrt(beta * p)[:, :, None]
    return rows.transpose(0, 2, 1) @ rows


def spectral_radius(patterns: Array, states: Array, beta: float) -> Array:
    """Return the largest eigenvalue of each Jacobian by a dense decomposition."""
    largest: Array = np.linalg.eigvalsh(jacobian(patterns, states, beta))[:, -1]
    return largest


def jvp(patterns: Array, states: Array, tangents: Array, beta: float) -> Array:
    """Return beta Σ p (z - p·z) x, z = x·t."""
    p = weights(patterns, states, beta)
    z = tangents @ patterns.T
    z -= np.einsum("bn,bn->b", p, z)[:, None]
    z *= p
    z *= beta
    return z @ patterns


def mean_shift_step(points: Array, squares: Array, states: Array, beta: float) -> Array:
    """Return the means of the points under Gaussian kernels of bandwidth beta^(-1/2)."""
    distances = states @ points.T
    distances *= -2
    distances += squares
    distances += np.einsum("bd,bd->b", states, states)[:, None]
    distances -= distances.min(axis=1, keepdims=True)
    distances *= -beta / 2
    np.exp(distances, out=distances)
    distances /= distances.sum(axis=1, keepdims=True)
    return distances @ points


def mean_shift(points: Array, states: Array, beta: float, tol: float) -> Array:
    """Return the modes reached from the states."""
    squares = np.einsum("nd,nd->n", points, points)
    return iterate(lambda x: mean_shift_step(points, squares, x, beta), states, tol)[0]


def retrieve(patterns: Array, states: Array, beta: float, tol: float) -> tuple[Array, Array]:
    """Return the states from which an update moves at most tol, and their numbers of updates."""
    return iterate(lambda x: update(patterns, x, beta), states, tol)


def iterate(step: Any, states: Array, tol: float) -> tuple[Array, Array]:
    """Iterate a map from every state until it moves at most tol; those reached rest."""
    x, active, steps = states.copy(), np.arange(len(states)), np.zeros(len(states), int)
    for _ in range(MAX_STEPS):
        here = x[active]
        there = step(here)
        size = np.maximum(1, np.linalg.norm(here, axis=1))
        moving = np.linalg.norm(there - here, axis=1) > tol * size
        active = active[moving]
        if not len(active):
            break
        x[active] = there[moving]
        steps[active] += 1
    return x, steps
