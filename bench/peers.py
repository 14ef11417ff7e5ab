"""The same work beside NumPy and PyTorch: `python bench/peers.py [--quick] [--output DIR]`.

Update, jacobian, jvp and retrieve, each beside the way one would write it with NumPy and with
PyTorch (naive, scaled_dot_product_attention, torch.func). The answers are compared first; then
the competitors take turns, see `timing`. A network and the tensors are made beforehand, as are
the transposes a competitor may want; everything else is timed, in arrays of the peer's own kind.

Ratios are peer time / hopfix time: above 1 hopfix is faster. `floor` is the fraction of the
machine's own ceiling reached, see `ceilings.Ceilings.floor`. Needs torch and threadpoolctl
(`pip install hopfix[bench]`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ceilings
import numpy as np
import torch
from timing import (
    Patience,
    alternate,
    geometric_mean,
    set_threads,
    unset_openblas_overrides,
)

import hopfix

Array = np.ndarray[Any, np.dtype[Any]]
Competitors = dict[str, Callable[[], Any]]

_LARGEST_WORK = 6.4e9  # N·d·B; beyond it one call takes most of a second
_SMALLEST_FLOOR = 20e-6  # seconds; below it a call from Python is all overhead


@dataclass(frozen=True)
class Cell:
    """One problem: N patterns of dimension d, B states, at inverse temperature beta."""

    task: str
    n: int
    d: int
    batch: int
    dtype: str
    beta: float

    def __str__(self) -> str:
        return f"{self.task:<8} {self.dtype} N={self.n:<6} d={self.d:<3} B={self.batch:<4}"


@dataclass(frozen=True)
class Problem:
    """The arrays of a cell, the same for every competitor."""

    cell: Cell
    patterns: Array
    states: Array
    tangents: Array

    @property
    def rounding(self) -> float:
        """How far two correct answers may lie apart, relative to the largest entry.

        A logit is wrong by about sqrt(d) roundings of its largest terms, a weight by as much
        relatively, and sums over N by sqrt(N) roundings; the factor 8 covers all of a batch.
        """
        size = np.abs(self.patterns).max() * np.abs(self.states).max()
        logits = self.cell.beta * float(size) * math.sqrt(self.cell.d)
        terms = logits * math.sqrt(self.cell.d) + math.sqrt(self.cell.n) + 8
        return 8 * float(np.finfo(self.cell.dtype).eps) * terms


def problem(cell: Cell) -> Problem:
    """Make normal patterns and states; for retrieve unit patterns and noisy copies of them."""
    rng = np.random.default_rng([cell.n, cell.d, cell.batch])
    patterns = rng.normal(size=(cell.n, cell.d))
    states = rng.normal(size=(cell.batch, cell.d))
    if cell.task == "retrieve":
        patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
        noise = 0.5 * states / np.linalg.norm(states, axis=1, keepdims=True)
        states = patterns[rng.integers(cell.n, size=cell.batch)] + noise
    tangents = rng.normal(size=(cell.batch, cell.d))
    return Problem(cell, *(x.astype(cell.dtype) for x in (patterns, states, tangents)))


# --- the peers -----------------------------------------------------------------------------------


def numpy_weights(patterns: Array, states: Array, beta: float) -> Array:
    """Return softmax(beta states patternsᵀ), in place after the product."""
    z = states @ patterns.T
    z *= beta
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def numpy_update(patterns: Array, states: Array, beta: float) -> Array:
    """Return f(states)."""
    return numpy_weights(patterns, states, beta) @ patterns


def numpy_jacobian(patterns: Array, states: Array, beta: float) -> Array:
    """Return beta Cov_p(x) per state, as a batched product of weighted, centred patterns."""
    p = numpy_weights(patterns, states, beta)
    rows = patterns[None] - (p @ patterns)[:, None]
    rows *= np.sqrt(beta * p)[:, :, None]
    return rows.transpose(0, 2, 1) @ rows


def numpy_jvp(patterns: Array, states: Array, tangents: Array, beta: float) -> Array:
    """Return beta Σ p (z - p·z) x, z = x·t."""
    p = numpy_weights(patterns, states, beta)
    z = tangents @ patterns.T
    z -= np.einsum("bn,bn->b", p, z)[:, None]
    z *= p
    z *= beta
    return z @ patterns


def numpy_retrieve(patterns: Array, states: Array, beta: float, tol: float) -> Array:
    """Return the states from which an update moves at most tol; those reached rest."""
    x, active = states.copy(), np.arange(len(states))
    for _ in range(1000):
        here = x[active]
        there = numpy_update(patterns, here, beta)
        size = np.maximum(1, np.linalg.norm(here, axis=1))
        moving = np.linalg.norm(there - here, axis=1) > tol * size
        active = active[moving]
        if not len(active):
            break
        x[active] = there[moving]
    return x


def torch_update(patterns: torch.Tensor, states: torch.Tensor, beta: float) -> torch.Tensor:
    """Return f(states)."""
    return torch.softmax(beta * (states @ patterns.T), dim=-1) @ patterns


def torch_attention(patterns: torch.Tensor, states: torch.Tensor, beta: float) -> torch.Tensor:
    """Return f(states) by scaled dot-product attention on (1, 1, B, d)."""
    x = patterns[None, None]
    return torch.nn.functional.scaled_dot_product_attention(states[None, None], x, x, scale=beta)[
        0, 0
    ]


def torch_retrieve(
    patterns: torch.Tensor, states: torch.Tensor, beta: float, tol: float
) -> torch.Tensor:
    """Return what `numpy_retrieve` does, with attention as the update."""
    x, active = states.clone(), torch.arange(len(states))
    for _ in range(1000):
        here = x[active]
        there = torch_attention(patterns, here, beta)
        size = torch.linalg.vector_norm(here, dim=1).clamp(min=1)
        moving = torch.linalg.vector_norm(there - here, dim=1) > tol * size
        active = active[moving]
        if not len(active):
            break
        x[active] = there[moving]
    return x


def without_gradients(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return the function in torch's inference mode."""
    return torch.inference_mode()(function)


# --- the competitors of each task, hopfix first --------------------------------------------------


def update_competitors(p: Problem, threads: int) -> Competitors:
    net = hopfix.Hopfield(p.patterns, p.cell.beta, num_threads=threads)
    x, q, beta = torch.from_numpy(p.patterns), torch.from_numpy(p.states), p.cell.beta
    return {
        "hopfix": lambda: net.update(p.states),
        "numpy": lambda: numpy_update(p.patterns, p.states, beta),
        "torch": without_gradients(lambda: torch_update(x, q, beta)),
        "sdpa": without_gradients(lambda: torch_attention(x, q, beta)),
    }


def jacobian_competitors(p: Problem, threads: int) -> Competitors:
    net = hopfix.Hopfield(p.patterns, p.cell.beta, num_threads=threads)
    x, q, beta = torch.from_numpy(p.patterns), torch.from_numpy(p.states), p.cell.beta
    one = torch.func.jacrev(lambda state: torch.softmax(beta * (x @ state), 0) @ x)
    jacobian = torch.func.vmap(one)
    return {
        "hopfix": lambda: net.jacobian(p.states),
        "numpy": lambda: numpy_jacobian(p.patterns, p.states, beta),
        "torch": lambda: jacobian(q),
    }


def jvp_competitors(p: Problem, threads: int) -> Competitors:
    net = hopfix.Hopfield(p.patterns, p.cell.beta, num_threads=threads)
    x, q, beta = torch.from_numpy(p.patterns), torch.from_numpy(p.states), p.cell.beta
    t = torch.from_numpy(p.tangents)
    return {
        "hopfix": lambda: net.jvp(p.states, p.tangents),
        "numpy": lambda: numpy_jvp(p.patterns, p.states, p.tangents, beta),
        "torch": lambda: torch.func.jvp(lambda s: torch_update(x, s, beta), (q,), (t,))[1],
    }


def retrieve_competitors(p: Problem, threads: int) -> Competitors:
    net = hopfix.Hopfield(p.patterns, p.cell.beta, num_threads=threads)
    x, q, beta = torch.from_numpy(p.patterns), torch.from_numpy(p.states), p.cell.beta
    tol = tolerance(p.cell.dtype)
    return {
        "hopfix": lambda: net.retrieve(p.states, tol=tol).states,
        "numpy": lambda: numpy_retrieve(p.patterns, p.states, beta, tol),
        "sdpa": without_gradients(lambda: torch_retrieve(x, q, beta, tol)),
    }


def tolerance(dtype: str) -> float:
    """Return hopfix's default tolerance of retrieval, which every competitor uses."""
    return 1e-6 if dtype == "float32" else 1e-12


COMPETITORS = {
    "update": update_competitors,
    "jacobian": jacobian_competitors,
    "jvp": jvp_competitors,
    "retrieve": retrieve_competitors,
}


# --- the grid ------------------------------------------------------------------------------------


def cells(quick: bool) -> Iterator[Cell]:
    """Yield the problems, small ones first."""
    ns, ds, batches = (100, 1000, 10_000, 100_000), (16, 64, 128, 512), (1, 32, 1000)
    if quick:
        ns, ds, batches = (100, 10_000), (64,), (1, 1000)
    for dtype in ("float32", "float64"):
        for n in ns:
            for d in ds:
                for batch in batches:
                    if n * d * batch <= _LARGEST_WORK:
                        yield Cell("update", n, d, batch, dtype, 1 / math.sqrt(d))
    yield from derivative_cells(quick)


def derivative_cells(quick: bool) -> Iterator[Cell]:
    """Yield the problems of jacobian, jvp and retrieve."""
    jacobians = [(1000, 64, 100), (100, 16, 1000), (200, 128, 100), (10_000, 64, 10), (1000, 64, 1)]
    jvps = [(1000, 64, 100), (10_000, 64, 1000), (1000, 512, 32), (10_000, 128, 1)]
    # beta: near separated patterns a few updates suffice; the last one needs many.
    retrievals = [
        (1000, 64, 1000, 25.0),
        (10_000, 128, 100, 25.0),
        (100, 16, 1000, 10.0),
        (100, 64, 100, 3.0),
    ]
    for dtype in ("float32", "float64"):
        for n, d, batch in jacobians[: 1 if quick else None]:
            yield Cell("jacobian", n, d, batch, dtype, 1 / math.sqrt(d))
        for n, d, batch in jvps[: 1 if quick else None]:
            yield Cell("jvp", n, d, batch, dtype, 1 / math.sqrt(d))
        for n, d, batch, beta in retrievals[: 1 if quick else None]:
            yield Cell("retrieve", n, d, batch, dtype, beta)


# --- checking and measuring ----------------------------------------------------------------------


def check(p: Problem, competitors: Competitors) -> dict[str, float]:
    """Assert that all answers agree with hopfix's; return the differences, relative to the largest.

    Retrieved states have residuals up to the tolerance: they are compared to 100 tolerances, and
    one state in a hundred may differ altogether, as where a start lies between two basins.
    """
    answers = {name: np.asarray(function()) for name, function in competitors.items()}
    ours = answers.pop("hopfix")
    scale = np.abs(ours).max()
    bound, allowed = p.rounding, 0.0
    if p.cell.task == "retrieve":
        bound, allowed = 100 * tolerance(p.cell.dtype) + p.rounding, 0.01
    differences = {}
    for name, theirs in answers.items():
        assert theirs.dtype == ours.dtype, (p.cell, name, theirs.dtype)
        assert theirs.shape == ours.shape, (p.cell, name, theirs.shape)
        per_state = np.abs(theirs - ours).reshape(len(ours), -1).max(axis=1) / scale
        assert np.mean(per_state > bound) <= allowed, (p.cell, name, per_state.max(), bound)
        differences[name] = float(np.quantile(per_state, 1 - allowed))
    return differences


def measure(cell: Cell, threads: int, quick: bool) -> dict[str, Any]:
    """Check and time one cell."""
    p = problem(cell)
    competitors = COMPETITORS[cell.task](p, threads)
    differences = check(p, competitors)
    rounds, min_time, budget = (5, 0.01, 1.0) if quick else (9, 0.02, 2.0)
    comparison = alternate(competitors, rounds, min_time, budget)
    return {
        **asdict(cell),
        "seconds": {name: asdict(timing) for name, timing in comparison.timings.items()},
        "ratios": {k: v for k, v in comparison.ratios.items() if k != "hopfix"},
        "best_ratios": {k: v for k, v in comparison.best_ratios.items() if k != "hopfix"},
        "differences": differences,
        "rounds": comparison.rounds,
        "others": comparison.others,
    }


def add_floors(results: list[dict[str, Any]], limits: ceilings.Ceilings) -> None:
    """Add to every update its floor in seconds and the fraction reached, if it is not tiny."""
    for r in results:
        if r["task"] != "update":
            continue
        r["floor_seconds"] = limits.floor(r["dtype"], r["n"], r["d"], r["batch"])
        reached = r["floor_seconds"] / r["seconds"]["hopfix"]["median"]
        r["floor"] = reached if r["floor_seconds"] >= _SMALLEST_FLOOR else None


def machine(threads: int) -> dict[str, Any]:
    """Describe the machine and the versions, without names of hosts or paths."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.system(),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "hopfix": hopfix.get_config(),
    }


def rounded(value: Any) -> Any:
    """Return the record with floats of four digits, which is more than timings are good for."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


# --- output --------------------------------------------------------------------------------------


def line(r: dict[str, Any]) -> str:
    """Return one row of the table."""
    cell = Cell(**{k: r[k] for k in ("task", "n", "d", "batch", "dtype", "beta")})
    ours = r["seconds"]["hopfix"]
    spread = (ours["upper"] - ours["lower"]) / ours["median"]
    ratios = " ".join(f"{k} {v:6.2f}" for k, v in r["ratios"].items())
    floor = "" if r.get("floor") is None else f" floor {r['floor']:4.0%}"
    noisy = f" others {r['others']:.0%}" if r["others"] > 0.05 else ""
    return f"{cell} {ours['median'] * 1e3:9.3f} ms ±{spread / 2:4.0%}  {ratios}{floor}{noisy}"


def summary(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield geometric means by task and dtype, of the ratios and of those of best times."""
    for task in COMPETITORS:
        for dtype in ("float32", "float64"):
            chosen = [r for r in results if r["task"] == task and r["dtype"] == dtype]
            if not chosen:
                continue
            means = [
                " ".join(
                    f"{k} {geometric_mean([r[kind][k] for r in chosen]):6.2f}"
                    for k in chosen[0][kind]
                )
                for kind in ("ratios", "best_ratios")
            ]
            floors = [r["floor"] for r in chosen if r.get("floor") is not None]
            reached = f"  floor {geometric_mean(floors):.0%}" if floors else ""
            yield f"{task:<8} {dtype} ({len(chosen)} cells): {means[0]} (best {means[1]}){reached}"


def main() -> None:
    unset_openblas_overrides()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few cells, few rounds")
    parser.add_argument("--output", type=Path, help="directory for peers.json")
    parser.add_argument("--threads", type=int, default=2, help="of every competitor")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for others, in all")
    options = parser.parse_args()
    set_threads(options.threads)
    start = time.perf_counter()
    patience = Patience(options.wait)
    patience.wait()
    limits = ceilings.measure(options.threads)
    results = []
    for cell in cells(options.quick):
        patience.wait()
        results.append(measure(cell, options.threads, options.quick))
        print(line(results[-1]), flush=True)
    patience.wait()
    limits = limits.highest(ceilings.measure(options.threads))
    add_floors(results, limits)
    print(f"\nceilings: {asdict(limits)}\n", *map(line, results), "", *summary(results), sep="\n")
    print(f"{time.perf_counter() - start:.0f} s, {patience.spent:.0f} s of them waiting for others")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        record = {
            "machine": machine(options.threads),
            "ceilings": asdict(limits),
            "results": results,
        }
        (options.output / "peers.json").write_text(json.dumps(rounded(record), indent=1) + "\n")


if __name__ == "__main__":
    main()
