"""U-Hop for layers: separation losses of kernels in the associative space, and Algorithm 2.

Source: Wu, Hu, Hsiao and Liu, "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield
Models" (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hopfix._arrays import as_integer, as_positive
from hopfix.torch._association import HopfieldCore

__all__ = ["kernel_parameters", "separation_loss", "separation_step"]

_KINDS = ("layer", "average", "maximum")


def separation_loss(
    patterns: Tensor, matrix: Tensor, t: float = 2.0, kind: str = "layer"
) -> Tensor:
    """Return the separation loss of unit features φ = Mx/‖Mx‖, the mean over sets of patterns.

    layer: log mean exp(2t ((φ_i·φ_j)² − 1)); average: log mean exp(−t ‖φ_i − φ_j‖²); maximum: max
    −t ‖φ_i − φ_j‖²; over pairs i < j of a set. See `hopfix.kernel`, which has them in closed form
    for one set.

    Args:
        patterns: (…, S, d), S >= 2.
        matrix: M, (D, d).
        t: sharpness, > 0.
        kind: "layer", "average" or "maximum".

    Returns:
        A tensor (), differentiable in both; O(S² (d + D)) a set, with S² numbers of memory.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> loss = hopfix.torch.separation_loss(torch.eye(3), torch.eye(3))
        >>> round(float(loss), 6)  # orthogonal patterns are as far apart as "layer" can tell
        -4.0
    """
    sharpness = as_positive("t", t)
    if kind not in _KINDS:
        raise ValueError(f"kind: got {kind!r}, need one of {', '.join(_KINDS)}")
    if not isinstance(patterns, Tensor) or patterns.dim() < 2:
        got = tuple(patterns.shape) if isinstance(patterns, Tensor) else type(patterns).__name__
        raise TypeError(f"patterns: got {got}, need a tensor (…, S, d)")
    if not isinstance(matrix, Tensor) or matrix.shape[1:] != patterns.shape[-1:]:
        got = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise TypeError(f"matrix: got {got}, need a tensor (D, {patterns.shape[-1]})")
    count = patterns.shape[-2]
    if count < 2:
        raise ValueError(f"patterns: got {count}, need at least two to be separated")
    features = nn.functional.normalize(nn.functional.linear(patterns, matrix), dim=-1)
    rows, columns = torch.triu_indices(count, count, offset=1, device=patterns.device)
    products = torch.matmul(features, features.transpose(-1, -2))[..., rows, columns]
    if kind == "layer":
        exponents = 2 * sharpness * (products.square() - 1)
    else:
        exponents = -2 * sharpness * (1 - products)  # −t ‖φ_i − φ_j‖² of unit vectors
    if kind == "maximum":
        return exponents.amax(dim=-1).mean()
    pairs = exponents.new_tensor(float(exponents.shape[-1]))
    return (torch.logsumexp(exponents, dim=-1) - pairs.log()).mean()


def kernel_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Iterate over the kernels M, (kernel_size, hidden_size), of all Hopfield layers in a model."""
    for core in _kernel_cores(model):
        assert core.kernel_weight is not None
        yield core.kernel_weight


def separation_step(
    model: nn.Module,
    forward: Callable[[], object],
    kernel_optimizer: torch.optim.Optimizer,
    steps: int = 1,
) -> list[float]:
    """Take the steps of Stage I before a training step of the model (Algorithm 2 of U-Hop).

    Each runs the model, sums the separation losses ("layer", t = 2) that its kernels have on the
    stored patterns they meet, and lets the optimizer take a step on the kernels alone::

        kernels = torch.optim.SGD(kernel_parameters(model), lr=0.1)
        names = set(kernel_parameters(model))
        others = torch.optim.Adam(p for p in model.parameters() if p not in names)
        for x, y in batches:
            separation_step(model, lambda: model(x), kernels)   # Stage I
            others.zero_grad()                                  # Stage II
            loss(model(x), y).backward()
            others.step()

    Args:
        model: a module with Hopfield layers of similarity="kernel".
        forward: calls the model on the data of this step; its result is not used.
        kernel_optimizer: of `kernel_parameters(model)`.
        steps: how many.

    Returns:
        The separation loss before each step.

    Raises:
        TypeError, ValueError: naming the argument; also where there is no kernel to be trained.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, need a torch.nn.Module")
    if not callable(forward):
        raise TypeError(f"forward: got {type(forward).__name__}, need a callable without arguments")
    kernels = list(kernel_parameters(model))
    if not kernels:
        raise ValueError('model: got no kernel, need a Hopfield layer with similarity="kernel"')
    values = []
    for _ in range(as_integer("steps", steps, 1)):
        with _collected(model) as losses:
            forward()
        if not losses:
            raise ValueError(
                "forward: called no Hopfield layer with a kernel, need a call of the model"
            )
        loss = torch.stack(losses).sum()
        for kernel, gradient in zip(
            kernels, torch.autograd.grad(loss, kernels, allow_unused=True), strict=True
        ):
            kernel.grad = gradient
        kernel_optimizer.step()
        kernel_optimizer.zero_grad()
        values.append(float(loss.detach()))
    return values


@contextmanager
def _collected(model: nn.Module) -> Iterator[list[Tensor]]:
    losses: list[Tensor] = []
    cores = list(_kernel_cores(model))
    for core in cores:
        core.separation_losses = losses
    try:
        yield losses
    finally:
        for core in cores:
            core.separation_losses = None


def _kernel_cores(model: nn.Module) -> Iterator[HopfieldCore]:
    for module in model.modules():
        if isinstance(module, HopfieldCore) and module.kernel_weight is not None:
            yield module
