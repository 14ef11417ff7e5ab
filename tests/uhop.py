"""The U-Hop experiment in plain NumPy, from the formulas alone: the oracle of test_uhop.py.

Nothing here calls hopfix. Patterns are rows (M, d), queries rows (B, d), all float64.
"""

import math

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sparsemax(z):
    """The Euclidean projection of rows onto the simplex, by sorting."""
    u = -np.sort(-z, axis=-1)
    cumulative = np.cumsum(u, axis=-1)
    k = np.arange(1, z.shape[-1] + 1)
    size = (1 + k * u > cumulative).sum(axis=-1, keepdims=True)
    tau = (np.take_along_axis(cumulative, size - 1, axis=-1) - 1) / size
    return np.maximum(z - tau, 0)


def entmax15(z):
    """1.5-entmax by bisection of its threshold: p_i = [z_i/2 − τ]_+²."""
    half = z / 2
    low = half.max(axis=-1, keepdims=True) - 1
    high = half.max(axis=-1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        too_much = (np.maximum(half - middle, 0) ** 2).sum(axis=-1, keepdims=True) >= 1
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    p = np.maximum(half - low, 0) ** 2
    return p / p.sum(axis=-1, keepdims=True)


def polynomial10(z):
    p = (z / np.abs(z).max(axis=-1, keepdims=True)) ** 10
    return p / p.sum(axis=-1, keepdims=True)


SEPARATIONS = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax": entmax15,
    "polynomial": polynomial10,
}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def similarity(name, keys, queries):
    """Scores (B, M), larger is more similar."""
    if name == "dot":
        return queries @ keys.T
    difference = queries[:, None, :] - keys[None, :, :]
    if name == "neg_l1":
        return -np.abs(difference).sum(axis=-1)
    squares = (difference**2).sum(axis=-1)
    return -squares if name == "neg_sq_l2" else -np.sqrt(squares)


def retrieve(patterns, queries, beta=1.0, similarity_name="dot", separation="softmax", matrix=None):
    """One update Σ_i p_i x_i with p = separation(β similarity(W x_i, W ξ)), shape (B, d)."""
    keys = patterns if matrix is None else patterns @ matrix.T
    seen = queries if matrix is None else queries @ matrix.T
    return SEPARATIONS[separation](beta * similarity(similarity_name, keys, seen)) @ patterns


def pixel_error(patterns, retrieved):
    """Mean over patterns of the sum of squared differences of pixels clamped to [0, 1]."""
    difference = np.clip(patterns, 0, 1) - np.clip(retrieved, 0, 1)
    return (difference**2).sum(axis=1).mean()


def stage_one(patterns, start, kind, steps, t=2.0):
    """Gradient descent on the loss of unit features as published; returns W and the losses."""
    matrix = start.copy()
    rate = 1.0 if kind == "average" else 10.0
    losses = []
    for i in range(steps):
        loss, gradient = separation_loss(patterns, matrix, kind, t)
        losses.append(loss)
        matrix -= rate * gradient
        if kind == "average":
            rate /= math.sqrt(i + 1)
    return matrix, np.array(losses)


def separation_loss(patterns, matrix, kind, t=2.0):
    """The loss over pairs i < j of unit features u_i = W x_i / |W x_i|, and its gradient in W."""
    raw = patterns @ matrix.T
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    u = raw / norms
    i, j = np.triu_indices(len(u), 1)
    exponents = -t * ((u[i] - u[j]) ** 2).sum(axis=1)
    if kind == "average":
        top = exponents.max()
        e = np.exp(exponents - top)
        loss, weights = top + math.log(e.mean()), e / e.sum()
    else:
        best = exponents.argmax()
        loss, weights = exponents[best], (np.arange(len(exponents)) == best).astype(float)
    graph = np.zeros((len(u), len(u)))
    graph[i, j] = graph[j, i] = weights
    du = -2 * t * (graph.sum(axis=1)[:, None] * u - graph @ u)
    draw = (du - (du * u).sum(axis=1, keepdims=True) * u) / norms
    return loss, draw.T @ patterns


# ------------------------------------------------------------------------------- the experiment

# {name of the model: (similarity, separation, unit norm, loss of Stage I)}; "" is random W.
MODELS = {
    "softmax": ("dot", "softmax", False, None),
    "sparsemax": ("dot", "sparsemax", False, None),
    "entmax": ("dot", "entmax", False, None),
    "polynomial": ("dot", "polynomial", False, None),
    "neg_l1": ("neg_l1", "softmax", False, None),
    "neg_l2": ("neg_l2", "softmax", False, None),
    "neg_sq_l2": ("neg_sq_l2", "softmax", False, None),
    "unit_norm": ("dot", "softmax", True, None),
    "random_kernel": ("dot", "softmax", False, ""),
    "uhop_average_faithful": ("dot", "softmax", False, "average"),
    "uhop_maximum_faithful": ("dot", "softmax", False, "maximum"),
}


def memory_set(pixels, size, seed):
    order = np.random.default_rng(seed).permutation(len(pixels))
    return pixels[order[:size]].astype(np.float64)


def queries(patterns, image_shape, level, seed):
    """One query a pattern, of each kind, by loops over pixels and lines."""
    kept = np.random.default_rng(seed).random(patterns.shape) >= 0.5
    masked = np.where(kept, patterns, 0)
    erased = patterns.reshape(-1, *image_shape).copy()
    for line in range(image_shape[0] - image_shape[0] // 2, image_shape[0]):
        erased[:, line] = 0
    normal = np.random.default_rng(seed).standard_normal(patterns.shape, dtype=np.float32)
    return {
        "random_mask_doubled": 2 * masked,
        "random_mask": masked,
        "lower_half": erased.reshape(patterns.shape),
        "gaussian": np.clip(np.abs(patterns + level * normal), 0, 1),
    }


def kernel_matrix(patterns, loss, steps, seed):
    """W of a published Stage I, or the random one it starts from."""
    dim = patterns.shape[1]
    start = np.random.default_rng(seed).standard_normal((dim, dim), dtype=np.float32)
    start = start.astype(np.float64)
    return stage_one(patterns, start, loss, steps)[0] if loss else start


def error(model, patterns, asked, beta, matrix=None):
    name, separation, unit_norm, _ = MODELS[model]
    if not unit_norm:
        retrieved = retrieve(patterns, asked, beta, name, separation, matrix)
    else:
        retrieved = softmax(beta * unit(asked) @ unit(patterns).T) @ patterns
    return pixel_error(patterns, retrieved)


def capacity(pixels, image_shape, size, seed, level, steps, beta=1.0):
    """{(kind of query, model): error}; Stage I learns from the first half of the patterns."""
    patterns = memory_set(pixels, size, seed)
    errors = {}
    for model, (_, _, _, loss) in MODELS.items():
        matrix = None
        if loss is not None:
            matrix = kernel_matrix(patterns[: size // 2], loss, steps, seed)
        for kind, asked in queries(patterns, image_shape, level, seed).items():
            errors[kind, model] = error(model, patterns, asked, beta, matrix)
    return errors
