"""Small models with one Hopfield layer, and their training with and without U-Hop.

U-Hop (Wu et al. 2024) trains a kernel M of the association by a separation loss, in steps (Stage I)
that alternate with those of the task (Algorithm 2). `ARMS` are the ways compared; all of one seed
start from the same parameters and compute the same function then, for kernels start at the
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hopfix.torch import Hopfield, kernel_parameters, separation_loss, separation_step

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        name: in tables.
        kernel: None: no kernel; "association": on queries and keys, K(q, k) = (Mq)·(Mk); "input":
            on state and stored patterns before they are projected, as in the published code;
            "absent": zeros in place of what is associated.
        rate: of the steps on the separation loss; 0: none are taken.
        epochs: these steps are taken in the first so many epochs.
        task_too: whether the task trains the kernel, too.
    """

    name: str
    kernel: str | None = None
    rate: float = 0.0
    epochs: int = 0
    task_too: bool = True


NONE = Arm("none")
KERNEL = Arm("kernel", "association")
UHOP = Arm("U-Hop", "association", rate=0.03, epochs=10, task_too=False)
BOTH = Arm("U-Hop + task", "association", rate=0.03, epochs=10)
INPUT = Arm("input kernel", "input")
PUBLISHED = Arm("U-Hop, published code", "input", rate=0.1, epochs=10)
ABSENT = Arm("no association", "absent")
ARMS = (NONE, KERNEL, UHOP, BOTH, INPUT, PUBLISHED)
SERIES_ARMS = (NONE, KERNEL, UHOP, PUBLISHED)

STAGE_ONE_EPOCHS = 5  # of the published code, before each of the first ten epochs
STAGE_ONE_BATCH = 200


class Association(nn.Module):
    """One Hopfield association of states with patterns, with the kernel of an arm."""

    def __init__(self, size: int, heads: int, separation: str, kernel: str | None) -> None:
        super().__init__()
        self.hopfield = Hopfield(
            size,
            num_heads=heads,
            separation=separation,
            similarity="kernel" if kernel == "association" else "dot",
        )
        self.kernel = kernel
        self.input_kernel: nn.Linear | None = None
        if kernel == "input":
            self.input_kernel = nn.Linear(size, size, bias=False)
            nn.init.eye_(self.input_kernel.weight)

    def forward(self, states: Tensor, patterns: Tensor) -> Tensor:
        """Associate states (B, L, size) with patterns (B, S, size)."""
        if self.kernel == "absent":
            return torch.zeros_like(states)
        if self.input_kernel is None:
            return self.hopfield((patterns, states, patterns))
        stored, asked = self.input_kernel(patterns), self.input_kernel(states)
        return self.hopfield((stored, asked, patterns))


class PatchClassifier(nn.Module):
    """Patches of an image, looked through by one trained query: the published "ViH" and positions.

    relu, LayerNorm and a linear map follow the association. The published model has no positions,
    without which blank patches are the same pattern, and no kernel separates these.
    """

    def __init__(
        self, arm: Arm, separation: str, side: int, patch: int, size: int, heads: int
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(1, size, patch, stride=patch)
        self.query = nn.Parameter(torch.randn(1, 1, size))
        self.positions = nn.Parameter(0.1 * torch.randn(1, (side // patch) ** 2, size))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, 10)
        self.association = Association(size, heads, separation, arm.kernel)

    def patterns(self, images: Tensor) -> Tensor:
        """Return (B, patches, size) of images (B, 1, side, side)."""
        return self.projection(images).flatten(2).transpose(1, 2) + self.positions

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (B, 10) of the classes."""
        states = self.query.expand(len(images), -1, -1)
        found = self.association(states, self.patterns(images))
        return self.head(self.norm(torch.relu(found)).squeeze(1))


class Forecaster(nn.Module):
    """Patches of a window, each associated with all, then a linear map to the values to come.

    The mean and the deviation of the window are taken out first, and put back.
    """

    def __init__(
        self,
        arm: Arm,
        separation: str,
        window: int,
        horizon: int,
        patch: int,
        size: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Linear(patch, size)
        self.positions = nn.Parameter(0.1 * torch.randn(1, window // patch, size))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(window // patch * size, horizon)
        self.association = Association(size, heads, separation, arm.kernel)

    def patterns(self, windows: Tensor) -> Tensor:
        """Return (B, patches, size) of windows (B, window)."""
        deviation, mean = torch.std_mean(windows, dim=1, keepdim=True)
        scaled = (windows - mean) / (deviation + 1e-3)
        return self.projection(scaled.unflatten(1, (-1, self.patch))) + self.positions

    def forward(self, windows: Tensor) -> Tensor:
        """Return forecasts (B, horizon)."""
        deviation, mean = torch.std_mean(windows, dim=1, keepdim=True)
        patterns = self.patterns(windows)
        found = self.norm(patterns + self.association(patterns, patterns))
        return self.head(found.flatten(1)) * (deviation + 1e-3) + mean


def train(
    model: PatchClassifier | Forecaster,
    arm: Arm,
    batches: Batches,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    *,
    batch: int,
    epochs: int,
    rate: float,
    after_epoch: Callable[[], object],
) -> list[float]:
    """Train with Adam, its rate falling to 0 by a cosine; return the separation losses met."""
    kernels = list(kernel_parameters(model))
    left_out = set() if arm.task_too else {id(p) for p in kernels}
    optimizer = torch.optim.Adam([p for p in model.parameters() if id(p) not in left_out], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    stage_one = torch.optim.SGD(kernels or list(model.parameters()), lr=arm.rate)
    losses: list[float] = []
    for epoch in range(epochs):
        separates = arm.rate > 0 and epoch < arm.epochs
        if separates and arm.kernel == "input":
            losses += separate_inputs(model, stage_one, batches)
        for x, y in batches(batch):
            if separates and arm.kernel == "association":
                losses += separate_kernel(model, x, stage_one, kernels)
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
        schedule.step()
        after_epoch()
    return losses


def separate_kernel(
    model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer, kernels: list[nn.Parameter]
) -> list[float]:
    """Take a step on the kernel and scale its rows to unit length (Algorithm 1, line 4).

    The loss does not depend on the length of M: without, every step lengthens it, which is a larger
    β and not a separation.
    """
    losses = separation_step(model, lambda: model(x), optimizer)
    with torch.no_grad():
        for kernel in kernels:
            kernel.div_(kernel.norm(dim=1, keepdim=True))
    return losses


def separate_inputs(
    model: PatchClassifier | Forecaster, optimizer: torch.optim.Optimizer, batches: Batches
) -> list[float]:
    """Take the steps of the published code: on every parameter that the loss depends on."""
    kernel = model.association.input_kernel
    assert kernel is not None
    losses = []
    for _ in range(STAGE_ONE_EPOCHS):
        for x, _ in batches(STAGE_ONE_BATCH):
            optimizer.zero_grad()
            loss = separation_loss(model.patterns(x), kernel.weight, kind="average")
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses
