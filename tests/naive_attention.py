"""The mean field of self-attention written plainly, from the equations: slow, and independent."""

import numpy as np


def fields(matrices, shares, beta, weight, positions, attention, position):
    """m^o, m^v, m^q, m^k (4, M), and the semantic part of m^o."""
    tanhs = np.tanh(beta * matrices[0].T @ attention)
    return read_out(matrices, shares, weight, positions, tanhs, position)


def read_out(matrices, shares, weight, positions, tanhs, position):
    semantic = np.array([(1 - weight) * (w * shares) @ tanhs for w in matrices])
    full = semantic.copy()
    if positions is not None:
        n = positions[0].shape[1]
        bits = np.array([1.0 if position >> (n - 1 - j) & 1 else -1.0 for j in range(n)])
        full += np.array([weight * p @ bits / n for p in positions])
    return full, semantic[0]


def attend(gamma, query, keys, values):
    scores = gamma / np.sqrt(len(query)) * keys @ query
    shares = np.exp(scores - scores.max())
    return shares / shares.sum() @ values


def simulate(matrices, *, shares, beta, gamma, context, weight, positions, token, steps):
    """From a first token; returns rows like Simulation's."""
    rows, keys, values, attention = [], [], [], None
    for t in range(steps):
        position = t % context
        if t == 0:
            full, semantic = read_out(matrices, shares, weight, positions, token, position)
        else:
            full, semantic = fields(matrices, shares, beta, weight, positions, attention, position)
        keys.append(full[3])
        values.append(full[1])
        attention = attend(gamma, full[2], np.array(keys[-context:]), np.array(values[-context:]))
        rows.append(np.concatenate([attention, full.ravel(), semantic]))
    return np.array(rows)
