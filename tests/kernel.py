"""Naive twins of hopfix.kernel: losses and gradients from the definitions, and the kernel energy.

Everything here forms all M² pairs with all their coordinates, in float64.
"""

import numpy as np

import hopfix


def features(patterns, matrix, normalize):
    """W x_i in the rows, of unit length if asked for."""
    phi = np.asarray(patterns, float) @ np.asarray(matrix, float).T
    return phi / np.linalg.norm(phi, axis=1, keepdims=True) if normalize else phi


def exponents(patterns, matrix, t, kind, normalize):
    """The pairs i < j and what the loss exponentiates, pair by pair."""
    phi = features(patterns, matrix, normalize)
    i, j = np.triu_indices(len(phi), 1)
    if kind == "layer":
        return i, j, 2 * t * ((phi[i] * phi[j]).sum(1) ** 2 - 1)
    return i, j, -t * ((phi[i] - phi[j]) ** 2).sum(1)


def loss(patterns, matrix, t=2.0, kind="average", normalize=True):
    e = exponents(patterns, matrix, t, kind, normalize)[2]
    if kind == "maximum":
        return e.max()
    return e.max() + np.log(np.mean(np.exp(e - e.max())))


def gradient(patterns, matrix, t=2.0, kind="average", normalize=True):
    """dL/dW pair by pair; the first of the largest exponents for "maximum"."""
    x, w = np.asarray(patterns, float), np.asarray(matrix, float)
    i, j, e = exponents(x, w, t, kind, normalize)
    q = np.exp(e - e.max())
    q = q / q.sum()
    if kind == "maximum":
        q = np.zeros(len(e))
        q[np.argmax(e)] = 1
    raw = x @ w.T
    phi = features(x, w, normalize)
    by_feature = np.zeros_like(phi)
    if kind == "layer":
        pull = (4 * t * q * (phi[i] * phi[j]).sum(1))[:, None]
        np.add.at(by_feature, i, pull * phi[j])
        np.add.at(by_feature, j, pull * phi[i])
    else:
        push = (-2 * t * q)[:, None] * (phi[i] - phi[j])
        np.add.at(by_feature, i, push)
        np.add.at(by_feature, j, -push)
    if normalize:
        along = (by_feature * phi).sum(1, keepdims=True)
        by_feature = (by_feature - along * phi) / np.linalg.norm(raw, axis=1, keepdims=True)
    return by_feature.T @ x


def published_rates(kind, steps, rate=None):
    """Step lengths of the published training: the optimiser's rate, divided after every step."""
    lr = (10.0 if kind == "maximum" else 1.0) if rate is None else rate
    rates = []
    for i in range(steps):
        rates.append(lr)
        if kind != "maximum":
            lr = lr / np.sqrt(i + 1)
    return rates


def published_training(patterns, matrix, t, kind, steps, rate=None):
    """W and the losses before every step and after the last one."""
    w = np.array(matrix, float)
    losses = []
    for lr in published_rates(kind, steps, rate):
        losses.append(loss(patterns, w, t, kind))
        w = w - lr * gradient(patterns, w, t, kind)
    return w, [*losses, loss(patterns, w, t, kind)]


# --------------------------------------------------------------------- Theorem 2.1, MATH section 8


def kernel_update(patterns, matrix, beta, states):
    """T_K(ξ) = X softmax(β K(X, ξ))."""
    z = beta * (states @ matrix.T) @ (patterns @ matrix.T).T
    p = np.exp(z - z.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True)) @ patterns


def kernel_energy(patterns, matrix, beta, states):
    """E_K(ξ) = ½ K(ξ, ξ) − β⁻¹ log Σ exp(β K(x_i, ξ))."""
    image = states @ matrix.T
    z = beta * image @ (patterns @ matrix.T).T
    top = z.max(-1)
    return 0.5 * (image**2).sum(-1) - (top + np.log(np.exp(z - top[..., None]).sum(-1))) / beta


def image_network(patterns, matrix, beta):
    """The ordinary network of the features W x_i, whose update is W T_K."""
    return hopfix.Hopfield(np.asarray(patterns) @ np.asarray(matrix).T, beta)


def back_from_image(patterns, network, images):
    """The points ξ = X softmax(β (W x_i)·(Wξ)) of images Wξ: fixed points of T_K of those of it."""
    return network.weights(images) @ patterns
