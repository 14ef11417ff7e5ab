"""The same work beside NumPy, PyTorch, JAX: `python bench/peers.py [--quick] [--output DIR]`.

Update, jacobian, jvp, spectral radius, retrieve and Gaussian mean shift (see `problems`), each
beside the way one would write it with NumPy, with PyTorch (naive, scaled_dot_product_attention,
torch.func) and, where asked for, with JAX (see `competitors`); and the peak memory of each (see
`memory`). The competitors take turns, see `timing`, and their answers are compared.

Ratios are peer time / hopfix time: above 1 hopfix is faster. `floor` is the fraction of the
machine's own ceiling reached, see `ceilings.Ceilings.floor`. For retrieve, `plain_steps` tells how
many updates plain iteration takes (of 32 states, median and most), and `passes` the time of a
retrieval as a number of updates of the same batch; `first` is the time of the first call, with what
a network computes once. With 100,000 patterns, retrievals that are not sharp are of 125 states
instead of 1,000.

`--tasks` selects tasks, for instance `--tasks retrieve memory`; with `--output`, their results
replace those in DIR/peers.json, and those of other tasks stay. Everything takes about a quarter of
an hour on two cores that do nothing else, half of it retrievals; `--quick` under a minute. Needs
`pip install hopfix[bench]`, and `jax` for its column.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ceilings
import memory
import numpy as np
import peers_numpy
import record
from competitors import CONTEXT, HAS_JAX, ONE_UPDATE, competitors
from problems import DTYPES, TASKS, Cell, Problem, cells, problem
from timing import Patience, alternate, geometric_mean, set_threads, unset_openblas_overrides

Result = dict[str, Any]

_SMALLEST_FLOOR = 20e-6  # seconds; below it a call from Python is all overhead
_PROBES = 32  # states whose plain steps are counted


def differences(p: Problem, answers: dict[str, Any]) -> dict[str, float]:
    """Assert that all answers agree with hopfix's; return by how much, relative to the largest.

    Retrieved states have residuals up to the tolerance, relative to states of norm 1, and
    metastable ones are near 0: they are compared to 1,000 tolerances, and one state in a hundred
    may differ altogether, as where a start lies between two basins.
    """
    arrays = {name: np.asarray(a) for name, a in answers.items() if name not in CONTEXT}
    ours = arrays.pop("hopfix")
    scale = np.abs(ours).max()
    bound, allowed = p.rounding, 0.0
    if p.cell.task in ("retrieve", "mean_shift"):
        bound, allowed = 1000 * p.cell.tolerance + p.rounding, 0.01
    if p.cell.task == "spectral_radius":
        bound += 1e-6 if p.cell.dtype == "float32" else 1e-9  # what hopfix promises
    found = {}
    for name, theirs in arrays.items():
        assert theirs.dtype == ours.dtype, (p.cell, name, theirs.dtype)
        assert theirs.shape == ours.shape, (p.cell, name, theirs.shape)
        per_state = np.abs(theirs - ours).reshape(len(ours), -1).max(axis=1) / scale
        assert np.mean(per_state > bound) <= allowed, (p.cell, name, per_state.max(), bound)
        found[name] = float(np.quantile(per_state, 1 - allowed))
    return found


def measure(cell: Cell, threads: int, quick: bool) -> Result:
    """Time and check one cell."""
    p = problem(cell)
    rounds, min_time, budget = (5, 0.01, 0.5) if quick else (9, 0.02, 2.0)
    comparison = alternate(competitors(p, threads), rounds, min_time, budget)
    peers = [name for name in comparison.ratios if name not in ("hopfix", *CONTEXT)]
    result = {
        **asdict(cell),
        "beta": p.beta,
        "seconds": {name: asdict(timing) for name, timing in comparison.timings.items()},
        "ratios": {name: comparison.ratios[name] for name in peers},
        "best_ratios": {name: comparison.best_ratios[name] for name in peers},
        "differences": differences(p, comparison.answers),
        "rounds": comparison.rounds,
        "others": comparison.others,
    }
    if cell.task == "retrieve":
        result |= {
            "passes": 1 / comparison.ratios[ONE_UPDATE],
            "first": comparison.first["hopfix"],
            "plain_steps": plain_steps(p),
        }
    return result


def plain_steps(p: Problem) -> dict[str, float]:
    """Return how many updates plain iteration takes."""
    tolerance = p.cell.tolerance
    _, steps = peers_numpy.retrieve(p.patterns, p.states[:_PROBES], p.beta, tolerance)
    return {"median": float(np.median(steps)), "most": int(steps.max())}


def add_floors(results: list[Result], limits: ceilings.Ceilings) -> None:
    """Add to every update its floor in seconds and the fraction reached, if it is not tiny."""
    for r in results:
        if r["task"] != "update":
            continue
        r["floor_seconds"] = limits.floor(r["dtype"], r["n"], r["d"], r["batch"])
        reached = r["floor_seconds"] / r["seconds"]["hopfix"]["median"]
        r["floor"] = reached if r["floor_seconds"] >= _SMALLEST_FLOOR else None


def line(r: Result) -> str:
    """Return one row of the table."""
    cell = Cell(**{k: r[k] for k in ("task", "n", "d", "batch", "dtype", "regime")})
    ours = r["seconds"]["hopfix"]
    spread = (ours["upper"] - ours["lower"]) / ours["median"]
    parts = [f"{cell} {ours['median'] * 1e3:9.3f} ms ±{spread / 2:4.0%} "]
    parts += [f"{k} {v:6.2f}" for k, v in r["ratios"].items()]
    if r.get("floor") is not None:
        parts.append(f"floor {r['floor']:4.0%}")
    if "passes" in r:
        steps = r["plain_steps"]
        parts.append(f"passes {r['passes']:5.1f}, plain {steps['median']:g} to {steps['most']}")
        parts.append(f"(first call: {r['first'] * 1e3:.0f} ms)")
    parts += [
        f"({name}: {r['seconds'][name]['median'] * 1e3:.3f} ms)"
        for name in CONTEXT
        if name in r["seconds"]
    ]
    if r["others"] > 0.05:
        parts.append(f"others {r['others']:.0%}")
    return " ".join(parts)


def summary(results: list[Result]) -> Iterator[str]:
    """Yield, by task and dtype, geometric means of ratios, of those of best times; the worst."""
    for task in TASKS:
        for dtype in DTYPES:
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
            yield f"{task:<10} {dtype} ({len(chosen)} cells): {means[0]} (best {means[1]}){reached}"
            over = [min(r["ratios"].values()) for r in chosen]
            worst = min(range(len(over)), key=over.__getitem__)
            sizes = "N={n} d={d} B={batch} {regime}".format(**chosen[worst]).strip()
            yield (
                f"{'':<10} over the best peer: {geometric_mean(over):.2f}, "
                f"worst {over[worst]:.2f} at {sizes}"
            )


def main() -> None:
    unset_openblas_overrides()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = (*TASKS, "memory")
    parser.add_argument("--quick", action="store_true", help="few cells, few rounds")
    parser.add_argument("--tasks", nargs="+", choices=every, default=every, metavar="TASK")
    parser.add_argument("--largest", type=int, help="leave out problems of more patterns")
    parser.add_argument("--output", type=Path, help="directory of peers.json")
    parser.add_argument("--threads", type=int, default=2, help="of every competitor")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for others, in all")
    options = parser.parse_args()
    file = options.output and record.opened(
        options.output / "peers.json", options.threads, options.tasks
    )
    if not HAS_JAX:
        print("no JAX among the competitors: HOPFIX_BENCH_JAX=1 asks for it")
    if "retrieve" in options.tasks and not options.quick:
        print("retrieve: 125 states instead of 1,000 where N = 100,000 and beta is not sharp")
    set_threads(options.threads)
    start = time.perf_counter()
    patience = Patience(options.wait)
    patience.wait()
    limits = ceilings.measure(options.threads)
    results = []
    for cell in cells([t for t in TASKS if t in options.tasks], options.quick):
        if options.largest and cell.n > options.largest:
            continue
        patience.wait()
        results.append(measure(cell, options.threads, options.quick))
        print(line(results[-1]), flush=True)
    if not options.quick:
        patience.wait()
        limits = limits.highest(ceilings.measure(options.threads))
    add_floors(results, limits)
    print(f"\nceilings: {asdict(limits)}\n", *summary(results), sep="\n")
    peaks = []
    for cell in memory.cells(options.quick) if "memory" in options.tasks else ():
        peaks.append(memory.measure(cell, options.threads))
        print(memory.line(peaks[-1]), flush=True)
    print(f"{time.perf_counter() - start:.0f} s, {patience.spent:.0f} s of them waiting for others")
    if file:
        file.replace(options.tasks, options.quick, asdict(limits), results, peaks)
        file.write()


if __name__ == "__main__":
    main()
