"""The network of dot products and softmax with the same landscape as another member of the family.

Fixed points are searched for, proved and followed there, and mapped back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hopfix._arrays import FloatArray
from hopfix._similarity import squared_distance_log_weights

if TYPE_CHECKING:
    from hopfix.network import Hopfield


def image_of(network: Hopfield) -> Hopfield:
    """Make the network that `Hopfield.image` is, for a kernel and "neg_sq_l2"."""
    from hopfix.network import Hopfield  # which needs this module itself

    model = network._model
    if not model.has_landscape:
        raise ValueError(
            f"image: a network with {model.describe()} is not equivalent to one of dot "
            'products and softmax; that exists for similarity "dot", kernels and "neg_sq_l2" '
            'with separation "softmax"'
        )
    beta, log_weights = network.beta, network._log_weights
    if model.matrix is not None:
        keys = network._core.memory.keys()
    else:
        keys = network.patterns
        log_weights = squared_distance_log_weights(keys, beta, log_weights)
        beta = 2 * beta
    return Hopfield(keys, beta, log_weights=log_weights, num_threads=network._threads)


def landscape_of(network: Hopfield, method: str) -> Hopfield:
    """Return the network in which `method` works, or ValueError saying what stands against it."""
    if not network._model.has_landscape:
        raise ValueError(
            f"{method}: does not exist for a network with {network._model.describe()}; it needs "
            'similarity "dot", a kernel or "neg_sq_l2" with separation "softmax", and keys and '
            "values that are the patterns themselves"
        )
    return network.image


def to_image(network: Hopfield, flat: FloatArray) -> FloatArray:
    """Return the states of `image` that belong to states (count, d), Wξ for a kernel."""
    if network._model.matrix is None:
        return flat
    mapped: FloatArray = network._core.memory.map(flat, network._threads)
    return mapped


def from_image(network: Hopfield, states: FloatArray) -> FloatArray:
    """Return the states that the update leads to from states of `image`."""
    if not len(states):
        return np.empty((0, network.patterns.shape[1]))
    if network._model.matrix is None:
        return states
    p = network.image._core64.weights(states.astype(np.float64), network._threads)
    averages: FloatArray = p @ network.patterns.astype(np.float64)
    return averages
