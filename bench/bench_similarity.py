"""The family of models beside NumPy and torch twins: `python bench/bench_similarity.py`.

Options: `[--patterns 4096] [--dim 64] [--batch 512] [--steps 10] [--rounds 5] [--threads 2]
[--task update|retrieve] [--quick]`. Answers are compared first; then all take turns in one process,
see `timing`. Ratios are peer time / hopfix time, the median over rounds. Needs
`pip install hopfix[bench]` and `pip install --no-deps entmax`.

`retrieve` makes the same number of updates in all: the peers iterate theirs, hopfix also judges
the state it returns, which costs one update more.

Floors per component of a pattern and a query: dot one fused multiply-add (2 flops, one vector
operation), neg_sq_l2 and neg_l2 two vector operations, neg_l1 three.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import entmax
import numpy as np
import torch
from scipy.spatial.distance import cdist
from timing import alternate, set_threads, unset_openblas_overrides

from hopfix import Hopfield

_BUDGET = 2.0  # seconds a cell may wait for a quiet machine

Array = np.ndarray[Any, np.dtype[Any]]
SIMILARITIES = ("dot", "neg_sq_l2", "neg_l2", "neg_l1")
SEPARATIONS: tuple[Any, ...] = (
    "softmax",
    "sparsemax",
    ("entmax", 1.5),
    ("topk", 8),
    ("polynomial", 10),
)


def torch_scores(similarity: str, beta: float, x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return β s, as a user of torch would."""
    if similarity == "dot":
        return beta * (q @ x.T)
    if similarity == "neg_sq_l2":
        return beta * (2 * (q @ x.T) - (x * x).sum(1) - (q * q).sum(1, keepdim=True))
    return -beta * torch.cdist(q, x, p=1 if similarity == "neg_l1" else 2)


def torch_separation(separation: Any, z: torch.Tensor) -> torch.Tensor:
    """Return p, by the entmax package where torch has nothing."""
    if separation == "softmax":
        return torch.softmax(z, -1)
    if separation == "sparsemax":
        return entmax.sparsemax(z, -1)
    if separation[0] == "entmax":
        return entmax.entmax15(z, -1)
    if separation[0] == "topk":
        values, places = torch.topk(z, separation[1], dim=-1)
        return torch.zeros_like(z).scatter_(-1, places, torch.softmax(values, -1))
    powers = (z / z.abs().amax(-1, keepdim=True)) ** separation[1]
    return powers / powers.sum(-1, keepdim=True)


def numpy_softmax_update(similarity: str, beta: float, x: Array, q: Array) -> Array:
    """Return f(ξ) for softmax with NumPy, and SciPy's cdist for distances."""
    if similarity == "dot":
        z = beta * (q @ x.T)
    elif similarity == "neg_sq_l2":
        z = beta * (2 * (q @ x.T) - (x * x).sum(1) - (q * q).sum(1, keepdims=True))
    else:
        metric = "cityblock" if similarity == "neg_l1" else "euclidean"
        z = (-beta * cdist(q, x, metric)).astype(x.dtype)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return (p @ x) / p.sum(axis=1, keepdims=True)


def iterate(update: Callable[[Any], Any], state: Any, steps: int) -> Any:
    for _ in range(steps):
        state = update(state)
    return state


def measure(similarity: str, separation: Any, dtype: str, options: argparse.Namespace) -> str:
    """Return one line of the table."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(options.patterns, options.dim)).astype(dtype)
    q = rng.normal(size=(options.batch, options.dim)).astype(dtype)
    beta = 1 / np.sqrt(options.dim)
    net = Hopfield(
        x, beta, similarity=similarity, separation=separation, num_threads=options.threads
    )
    tx, tq = torch.from_numpy(x), torch.from_numpy(q)

    def by_torch(state: torch.Tensor) -> torch.Tensor:
        return torch_separation(separation, torch_scores(similarity, beta, tx, state)) @ tx

    def by_numpy(state: Array) -> Array:
        return numpy_softmax_update(similarity, beta, x, state)

    steps = 1 if options.task == "update" else options.steps
    contenders: dict[str, Callable[[], Any]] = {
        "hopfix": (lambda: net.update(q))
        if options.task == "update"
        else (lambda: net.retrieve(q, max_steps=steps, tol=0.0).states),
        "torch": lambda: iterate(by_torch, tq, steps),
    }
    if separation == "softmax":
        contenders["numpy"] = lambda: iterate(by_numpy, q, steps)
    gap = float(np.abs(net.update(q) - by_torch(tq).numpy()).max())
    # torch's distances cancel, and powers multiply their errors.
    assert gap <= 2e4 * np.finfo(dtype).eps, f"{similarity} {separation}: differ by {gap}"
    found = alternate(contenders, options.rounds, 0.05, _BUDGET)
    name = separation if isinstance(separation, str) else " ".join(map(str, separation))
    ratios = "  ".join(
        f"{peer} {ratio:5.1f}x" for peer, ratio in found.ratios.items() if peer != "hopfix"
    )
    seconds = found.timings["hopfix"].best
    return f"{dtype:8} {similarity:10} {name:14} {1e3 * seconds:8.2f} ms   {ratios}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", choices=("update", "retrieve"), default="update")
    parser.add_argument("--quick", action="store_true", help="float32 only")
    options = parser.parse_args()
    unset_openblas_overrides()
    set_threads(options.threads)
    print(
        f"{options.task}: {options.patterns} patterns of dimension {options.dim}, "
        f"{options.batch} queries, {options.threads} threads"
    )
    for dtype in ("float32",) if options.quick else ("float32", "float64"):
        for similarity in SIMILARITIES:
            for separation in SEPARATIONS:
                print(measure(similarity, separation, dtype, options), flush=True)


if __name__ == "__main__":
    main()
