"""Stage I of U-Hop beside PyTorch autograd: `python bench/bench_kernel.py`.

Options: `[--patterns 500] [--dim 784] [--steps 100] [--peer-steps 10] [--threads 2] [--rounds 3]`.
All make the same plain descent steps on the average loss from the same start. Peers: the published
formulation (torch.pdist), and a better one (the Gram matrix of the features, one matrix product).
Peers make `peer-steps` steps; times are per step, hopfix's with all that is computed once in it.
Afterwards the peak of extra memory of a fit, in numbers of the dtype, beside Dd + DM + M².
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import alternate, set_threads, unset_openblas_overrides

from hopfix.kernel import SeparationKernel

Array = np.ndarray[Any, np.dtype[Any]]
_BUDGET = 60.0


def pdist_loss(u: torch.Tensor) -> torch.Tensor:
    return torch.pdist(u, p=2).pow(2).mul(-2).exp().mean().log()


def gram_loss(u: torch.Tensor) -> torch.Tensor:
    pairs = torch.exp(4 * (u @ u.T) - 4)
    return ((pairs.sum() - pairs.diagonal().sum()) / (len(u) * (len(u) - 1))).log()


def descend(loss: Callable[..., Any], patterns: Array, start: Array, steps: int) -> list[float]:
    """Return the losses of the published descent."""
    x, w = torch.from_numpy(patterns), torch.from_numpy(start).clone().requires_grad_()
    optimizer, losses = torch.optim.SGD([w], lr=1.0), []
    for i in range(steps):
        optimizer.zero_grad()
        value = loss(torch.nn.functional.normalize(x @ w.T, dim=-1))
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
        for group in optimizer.param_groups:
            group["lr"] /= (i + 1) ** 0.5
    return losses


def compare(patterns: Array, arguments: argparse.Namespace) -> None:
    d, steps, few = patterns.shape[1], arguments.steps, arguments.peer_steps
    start = np.random.default_rng(1).standard_normal((d, d)).astype(patterns.dtype)
    kernel = SeparationKernel(faithful=True, steps=steps, tol=0, num_threads=arguments.threads)
    runs = {
        "hopfix": lambda: kernel.fit(patterns, start=start).loss_history[:few],
        "torch, Gram": lambda: descend(gram_loss, patterns, start, few),
        "torch, pdist": lambda: descend(pdist_loss, patterns, start, few),
    }
    found = alternate(runs, arguments.rounds, 0.1, _BUDGET)
    for name, answer in found.answers.items():
        gap = np.abs(np.asarray(answer) - found.answers["hopfix"]).max()
        assert gap < 1e3 * np.finfo(patterns.dtype).eps, f"{name}: losses differ by {gap}"
    own = found.timings["hopfix"].best / steps
    for name, timing in found.timings.items():
        per_step = timing.best / (steps if name == "hopfix" else few)
        ratio = per_step / own
        print(f"{patterns.dtype!s:<8} {name:<13} {per_step * 1e3:8.2f} ms/step {ratio:7.1f}x")
    print(f"others took {found.others:.0%} of the CPUs")


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def memory(patterns: Array, threads: int) -> None:
    """Print by how much a fit raises the peak of resident memory (Linux)."""
    m, d = patterns.shape
    SeparationKernel(steps=1, seed=0, num_threads=threads).fit(patterns[:10, :10])
    before = peak()
    SeparationKernel(steps=3, seed=0, num_threads=threads).fit(patterns)
    numbers = (peak() - before) / patterns.dtype.itemsize
    unit = d * d + d * m + m * m
    print(f"{patterns.dtype!s:<8} extra memory {numbers / unit:.2f} (Dd + DM + M²), bar 3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=int, default=500)
    parser.add_argument("--dim", type=int, default=784)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--peer-steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    unset_openblas_overrides()
    set_threads(arguments.threads)
    patterns = np.random.default_rng(0).random((arguments.patterns, arguments.dim))
    memory(patterns.astype(np.float32), arguments.threads)
    for dtype in (np.float32, np.float64):
        compare(patterns.astype(dtype), arguments)


if __name__ == "__main__":
    main()
