"""The layers of hopfix.torch beside the same in torch: `python bench/bench_torch.py`.

Options: `[--threads 2] [--rounds 5] [--budget 60] [--dtype float32|float64] [--steps 0 3 none]`.
Answers are compared first, then both take turns in one process, see `timing`. Needs
`pip install hopfix[bench]`.

The twin is the layer as one writes it in torch: three LayerNorms and projections, association by
`scaled_dot_product_attention` (updates: the same with the keys as values), output projection.
Converging, it iterates the whole batch until no association weight of any query changes by more
than 1e-4 in 2-norm, as hopfix does for each query by itself; since that needs the weights, these
steps are written with matmul and softmax, or, "by states", with SDPA until no state moves by more
than 1e-4, whichever is faster. Its derivative goes through every update. "forward" is without
gradients, "training" is forward and backward, to inputs and parameters. Parameters are normal with
a deviation of 0.6/√size, with which associations neither average all nor pick one.

"of floor" is the time that the multiply-adds of a row take at the rate of a large product of
torch, over that of hopfix (both the best): projections, with two more products each in training,
or what takes their place where patterns need none; 2 D a pair and association, 5 D more in
training, where logits are formed anew; exponentials, at 8 multiply-adds. Iterations to convergence
take as many as it takes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from timing import alternate, set_threads, unset_openblas_overrides
from torch import Tensor, nn
from torch.nn import functional

from hopfix.torch import Hopfield, HopfieldLayer, HopfieldPooling

EPS = 1e-4
# batch, states, stored patterns (0: the states themselves), size, heads
SELF = [(32, 32, 0, 64, 8), (16, 128, 0, 64, 4), (8, 256, 0, 64, 8), (4, 512, 0, 128, 8)]
POOLING = [(64, 1, 300, 32, 4), (16, 4, 1000, 64, 8)]
LOOKUP = [(128, 1, 100, 64, 4), (16, 64, 512, 64, 8)]


class Twin(nn.Module):
    """The layer in torch, with the parameters of a `Hopfield`."""

    def __init__(self, layer: Hopfield, steps: int | None, by_states: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [layer.norm_state_pattern, layer.norm_stored_pattern, layer.norm_pattern_projection]
        )
        core = layer.association_core
        size = core.in_proj_weight.shape[1]
        self.projections = nn.ModuleList(nn.Linear(size, size) for _ in range(3))
        for linear, weight, bias in zip(
            self.projections,
            core.in_proj_weight.chunk(3),
            core.in_proj_bias.chunk(3),
            strict=True,
        ):
            linear.load_state_dict({"weight": weight, "bias": bias})
        self.output = core.out_proj
        self.heads, self.steps, self.by_states = core.num_heads, steps, by_states

    def forward(self, states: Tensor, stored: Tensor) -> Tensor:
        """Associate states (B, L, E) with stored patterns (B, S, E)."""
        q, k, v = (
            linear(norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, norm, x in zip(
                self.projections, self.norms, (states, stored, stored), strict=True
            )
        )
        found = self.converge(q, k, v) if self.steps is None else self.update(q, k, v)
        return self.output(found.transpose(1, 2).flatten(2))

    def update(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Take the steps, all by SDPA."""
        for _ in range(self.steps or 0):
            q = functional.scaled_dot_product_attention(q, k, k)
        return functional.scaled_dot_product_attention(q, k, v)

    def converge(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Iterate the batch until all of it stands still."""
        if self.by_states:
            while True:
                before, q = q, functional.scaled_dot_product_attention(q, k, k)
                if (q - before).detach().norm(dim=-1).max() <= EPS:
                    return functional.scaled_dot_product_attention(q, k, v)
        scale = 1 / math.sqrt(q.shape[-1])
        p = torch.softmax(scale * q @ k.transpose(-1, -2), dim=-1)
        while True:
            q = p @ k
            before, p = p, torch.softmax(scale * q @ k.transpose(-1, -2), dim=-1)
            if (p - before).detach().norm(dim=-1).max() <= EPS:
                return p @ v


def prepared(kind: str, sizes: tuple[int, ...], steps: int | None, dtype: torch.dtype) -> Any:
    """Return (layer, its inner Hopfield, own patterns or None, input of the layer)."""
    batch, states, stored, size, heads = sizes
    options: dict[str, Any] = {"num_heads": heads, "update_steps_max": steps}
    layer: nn.Module
    if kind == "self":
        layer = Hopfield(size, **options)
        inner, own, length = layer, None, states
    elif kind == "pooling":
        layer = HopfieldPooling(size, quantity=states, **options)
        inner, own, length = layer.hopfield, layer.pooling_weights, stored
    else:
        layer = HopfieldLayer(size, quantity=stored, **options)
        inner, own, length = layer.hopfield, layer.lookup_weights, states
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.6 / math.sqrt(size))
        if own is not None:
            nn.init.normal_(own)
    layer.to(dtype)
    return layer, inner, own, torch.randn(batch, length, size, dtype=dtype)


def competitors(
    kind: str, sizes: tuple[int, ...], steps: int | None, dtype: torch.dtype, training: bool
) -> dict[str, Callable[[], Any]]:
    """Return the competitors, hopfix first."""
    layer, inner, own, x = prepared(kind, sizes, steps, dtype)
    x.requires_grad_(training)
    twins = {"torch": Twin(inner, steps, False).to(dtype)}
    if steps is None:
        twins["torch, by states"] = Twin(inner, steps, True).to(dtype)

    def of_twin(twin: Twin) -> Tensor:
        if own is None:
            return twin(x, x)
        held = own.expand(x.shape[0], -1, -1)
        found: Tensor = twin(held, x) if kind == "pooling" else twin(x, held)
        return found.flatten(1) if kind == "pooling" else found

    def run(forward: Callable[[], Tensor]) -> Callable[[], Any]:
        def call() -> Tensor:
            with torch.set_grad_enabled(training):
                out = forward()
            if training:
                for module in (layer, *twins.values()):
                    module.zero_grad(set_to_none=True)
                x.grad = None
                out.backward(cotangents)
            return out.detach()

        return call

    with torch.no_grad():
        cotangents = torch.randn_like(layer(x))
    runs = {"hopfix": run(lambda: layer(x))}
    for name, twin in twins.items():
        runs[name] = run(lambda twin=twin: of_twin(twin))
    return runs


def multiply_adds(kind: str, sizes: tuple[int, ...], steps: int, training: bool) -> float:
    """Return those of the cheapest way known, see "of floor"."""
    batch, states, stored, size, heads = sizes
    stored = stored or states
    passes, exponential = steps + 1, 8
    passes_of = (2 + 5 * training) * passes, (1 + training) * passes * exponential
    per_row = (1 + 2 * training) * size**2

    def associations(dim: int) -> float:
        return batch * states * stored * heads * (passes_of[0] * dim + passes_of[1])

    projected = associations(size // heads)
    if kind == "self":
        return projected + 4 * per_row * batch * states
    if kind == "lookup":
        return projected + 2 * per_row * (batch * states + stored)
    ends = 2 * per_row * batch * states
    return ends + min(projected + 2 * per_row * batch * stored, associations(size))


def product_rate(dtype: torch.dtype) -> float:
    """Return multiply-adds a second of a large product of torch."""
    size = 1024
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    timing = alternate({"product": lambda: a @ b}, rounds=5, min_time=0.1, budget=5.0).timings
    return size**3 / timing["product"].best


def measure(
    arguments: argparse.Namespace,
    kind: str,
    sizes: tuple[int, ...],
    steps: int | None,
    rate: float,
) -> None:
    """Print one row for each mode."""
    dtype = getattr(torch, arguments.dtype)
    for training in (False, True):
        torch.manual_seed(0)
        runs = competitors(kind, sizes, steps, dtype, training)
        compared = alternate(runs, rounds=arguments.rounds, min_time=0.05, budget=arguments.budget)
        answers = compared.answers
        tolerance = 2e-3 if steps is None else 1e-5
        for answer in answers.values():
            torch.testing.assert_close(answers["hopfix"], answer, rtol=0, atol=tolerance)
        peers = [name for name in runs if name != "hopfix"]
        least = min(compared.ratios[name] for name in peers)
        best = min(compared.best_ratios[name] for name in peers)
        floor = "-"
        if steps is not None:
            seconds = multiply_adds(kind, sizes, steps, training) / rate
            floor = f"{seconds / compared.timings['hopfix'].best:.0%}"
        what = "x".join(str(s) for s in sizes)
        print(
            f"{kind:<8} {what:<18} {'inf' if steps is None else steps:>5} "
            f"{'training' if training else 'forward':<9} "
            f"{compared.timings['hopfix'].median * 1e3:>9.3f} ms {least:>7.2f}x {best:>7.2f}x "
            f"{floor:>8} {compared.others:>6.0%}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--steps", nargs="+", default=["0", "3", "none"])
    parser.add_argument("--kinds", nargs="+", default=["self", "pooling", "lookup"])
    arguments = parser.parse_args()
    unset_openblas_overrides()
    set_threads(arguments.threads)
    print(
        f"{arguments.dtype}; batch x states x patterns x size x heads\n"
        f"{'layer':<8} {'sizes':<18} {'steps':>5} {'':<9} {'median':>12} {'ratio':>8} "
        f"{'of bests':>8} {'of floor':>8} {'others':>6}"
    )
    rate = product_rate(getattr(torch, arguments.dtype))
    for steps in arguments.steps:
        for kind, cases in (("self", SELF), ("pooling", POOLING), ("lookup", LOOKUP)):
            if kind in arguments.kinds:
                for sizes in cases:
                    measure(arguments, kind, sizes, None if steps == "none" else int(steps), rate)


if __name__ == "__main__":
    main()
