"""Jacobians of the softmax average on a device, and products with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hopfix.gpu._namespace import device_of, length
from hopfix.gpu._store import Reduction, Store, reduce, row_blocks, shares_of

# Up to this size of J (or of its Gram form) eigenvalues come from a dense solver.
_DENSE_UP_TO = 64
_MOST_LANCZOS_STEPS = 300
_STEPS_BETWEEN_TESTS = 8


def jacobian(store: Store, states: Any) -> Any:
    """Return J = β Σ p_i (x_i − f)(x_i − f)ᵀ, (B, d, d), from centred patterns."""
    xp, dim = store.xp, store.dim
    blocks = []
    for rows in row_blocks(int(states.shape[0]), dim * max(dim, min(store.count, 256))):
        block = states[rows, :]
        found = reduce(store, block)
        total = xp.zeros((*block.shape, dim), dtype=block.dtype, device=device_of(block))
        for tile in store.tiles(int(block.shape[0]) * dim):
            weighted, centred = _centred(store, block, found, tile)
            total = total + xp.matrix_transpose(weighted) @ centred
        blocks.append(store.beta / 2 * (total + xp.matrix_transpose(total)))
    return xp.concat(blocks)


def product(store: Store, states: Any, found: Reduction, tangents: Any) -> Any:
    """Return J t = β Σ p_i ((x_i − f)·t) (x_i − f), (B, d), in O(NdB)."""
    xp = store.xp
    sums, mass = xp.zeros_like(states), xp.zeros_like(states[:, 0])
    for tile in store.tiles(int(states.shape[0])):
        changes = _weight_changes(store, states, found, tangents, tile)
        sums, mass = sums + changes @ tile[0], mass + xp.sum(changes, axis=-1)
    # The changes sum to rounding, which centring at f takes out.
    return store.beta * (sums - mass[:, None] * found.average)


def jvp(store: Store, states: Any, tangents: Any) -> Any:
    """`product` for any number of states, in blocks; J is symmetric, so this is Jᵀ t, too."""
    blocks = [
        product(store, states[rows, :], reduce(store, states[rows, :]), tangents[rows, :])
        for rows in row_blocks(int(states.shape[0]))
    ]
    return store.xp.concat(blocks)


def gradients(store: Store, states: Any, cotangents: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return derivatives of Σ c·f(ξ) in the variables of `Hopfield.vjp`.

    Those in patterns, β and log-weights are summed over the states.
    """
    found: dict[str, Any] = {}
    if "states" in names:
        found["states"] = jvp(store, states, cotangents)
    shared = [name for name in names if name != "states"]
    for rows in row_blocks(int(states.shape[0])) if shared else ():
        block = _summed_gradients(store, states[rows, :], cotangents[rows, :], shared)
        found |= {
            name: found[name] + block[name] if name in found else block[name] for name in shared
        }
    return found


def spectral_radius(store: Store, states: Any) -> Any:
    """Return the largest eigenvalue of J, (B,): dense for min(N, d) ≤ 64, else by Lanczos."""
    dense = min(store.count, store.dim) <= _DENSE_UP_TO
    largest = _dense_radius if dense else _lanczos_radius
    width = store.dim * (min(store.count, store.dim) if dense else _MOST_LANCZOS_STEPS)
    blocks = [largest(store, states[rows, :]) for rows in row_blocks(int(states.shape[0]), width)]
    return store.xp.concat(blocks)


def _centred(store: Store, states: Any, found: Reduction, tile: tuple[Any, Any]) -> tuple[Any, Any]:
    """p_i (x_i − f) and x_i − f, (B, n, d)."""
    centred = tile[0][None, :, :] - found.average[:, None, :]
    return shares_of(store, states, found, tile)[:, :, None] * centred, centred


def _weight_changes(
    store: Store, states: Any, found: Reduction, vectors: Any, tile: tuple[Any, Any]
) -> Any:
    """g_i = p_i (x_i·c − f·c), (B, n)."""
    along = store.xp.sum(found.average * vectors, axis=-1)
    shares = shares_of(store, states, found, tile)
    return shares * (vectors @ tile[0].T - along[:, None])


def _summed_gradients(
    store: Store, states: Any, cotangents: Any, names: Sequence[str]
) -> dict[str, Any]:
    xp = store.xp
    found = reduce(store, states)
    patterns, log_weights, beta = [], [], xp.zeros_like(states[0, 0])
    for tile in store.tiles(int(states.shape[0])):
        changes = _weight_changes(store, states, found, cotangents, tile)
        log_weights.append(xp.sum(changes, axis=0))
        if "patterns" in names:
            shares = shares_of(store, states, found, tile)
            patterns.append(shares.T @ cotangents + store.beta * (changes.T @ states))
        if "beta" in names:
            beta = beta + xp.sum(changes * (states @ tile[0].T))
    values = {"beta": beta, "log_weights": xp.concat(log_weights)}
    if patterns:
        values["patterns"] = xp.concat(patterns)
    return {name: values[name] for name in names}


def _dense_radius(store: Store, states: Any) -> Any:
    xp = store.xp
    if store.dim <= store.count:
        return xp.linalg.eigvalsh(jacobian(store, states))[:, -1]
    # J has the non-zero eigenvalues of the Gram form β √p_i √p_j (x_i − f)·(x_j − f).
    found = reduce(store, states)
    tile = (store.patterns, store.log_weights)
    roots = xp.sqrt(shares_of(store, states, found, tile))
    scaled = roots[:, :, None] * (store.patterns[None, :, :] - found.average[:, None, :])
    gram = store.beta * (scaled @ xp.matrix_transpose(scaled))
    return xp.linalg.eigvalsh((gram + xp.matrix_transpose(gram)) / 2)[:, -1]


def _lanczos_radius(store: Store, states: Any) -> Any:
    """Lanczos' method with full reorthogonalisation, for all states at once.

    Ends when every Ritz pair has a residual below 1e-5 (float32) or 1e-9 (float64) of its value,
    whose error is then of the order of the square, or after 300 steps.
    """
    xp = store.xp
    found = reduce(store, states)
    tol = 1e-5 if states.dtype == xp.float32 else 1e-9
    start = np.random.default_rng(0).standard_normal(store.dim)
    direction = xp.asarray(start, dtype=states.dtype, device=device_of(states))
    # In the range of J, where the eigenvectors are.
    vector = _unit(xp, product(store, states, found, xp.zeros_like(states) + direction))
    basis = vector[:, None, :]
    diagonal: list[Any] = []
    beside: list[Any] = []
    radius = xp.zeros_like(states[:, 0])
    most = min(store.count, store.dim, _MOST_LANCZOS_STEPS)
    for step in range(1, most + 1):
        image = product(store, states, found, vector)
        diagonal.append(xp.sum(image * vector, axis=-1))
        for _ in range(2):
            image = image - _projected(xp, basis, image)
        norm = length(xp, image)
        if step % _STEPS_BETWEEN_TESTS == 0 or step == most:
            values, vectors = xp.linalg.eigh(_tridiagonal(xp, diagonal, beside))
            radius = values[:, -1]
            if bool(xp.all(norm * xp.abs(vectors[:, -1, -1]) <= tol * radius)):
                break
        beside.append(norm)
        vector = _unit(xp, image)
        basis = xp.concat([basis, vector[:, None, :]], axis=1)
    return xp.where(radius > 0, radius, xp.zeros_like(radius))


def _unit(xp: Any, rows: Any) -> Any:
    """Rows of length 1; zero rows stay."""
    norm = length(xp, rows)
    return rows / xp.where(norm > 0, norm, xp.ones_like(norm))[:, None]


def _projected(xp: Any, basis: Any, rows: Any) -> Any:
    """The part of each row in the span of its basis (B, k, d)."""
    parts = basis @ rows[:, :, None]
    return (xp.matrix_transpose(basis) @ parts)[:, :, 0]


def _tridiagonal(xp: Any, diagonal: list[Any], beside: list[Any]) -> Any:
    """(B, k, k) from k diagonals and k − 1 off-diagonals, each (B,)."""
    size = len(diagonal)
    like = diagonal[0]
    options = {"dtype": like.dtype, "device": device_of(like)}
    full = xp.stack(diagonal, axis=-1)[:, :, None] * xp.eye(size, **options)
    if size > 1:
        last = xp.zeros_like(like)
        upper = xp.stack([*beside, last], axis=-1)[:, :, None] * xp.eye(size, k=1, **options)
        full = full + upper + xp.matrix_transpose(upper)
    return full
