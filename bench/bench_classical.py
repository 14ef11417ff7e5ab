"""The binary network beside NumPy, and its capacity: `python bench/bench_classical.py`.

Options: `[--dim 4096] [--patterns 500] [--queries 1000] [--noise 0.1] [--threads 2] [--rounds 3]
[--output bench/results]`, which gets classical.json; `--capacity [--dim 2000] [--trials 3]` prints
the capacity experiment instead. Answers are compared first, then competitors take turns in one
process, see `timing`. Needs `pip install hopfix[bench]`.

Queries are patterns with that share of components flipped. NumPy's synchronous peer is the loop
sgn(QW) with W formed once, in BLAS on the same number of threads, until no query changes: "all" on
the whole batch every time, "open" without the queries that have ended. "forming" has W formed
within the timing, and hopfix its network. Of asynchronous retrieval there are two peers, both with
one product a component: "query" sweeps over one query after the other (measured on a few of them,
and scaled), "batch" takes a component of all queries at once (as states @ W[k]; W[k] @ states.T is
slower). hopfix takes and returns the same arrays of float32 or float64. Ratios are of best times,
times are medians; "others" is the share of the processors that other processes took.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from timing import alternate, set_threads, unset_openblas_overrides

from hopfix import get_config
from hopfix.classical import BinaryHopfield

_BUDGET = 120.0  # seconds a cell may wait for a quiet machine
_FEW = 3  # queries of which the slowest peer is timed

Array = np.ndarray[Any, np.dtype[Any]]


def decide(fields: Array, states: Array) -> Array:
    """Return sgn(fields), where 0 keeps the component."""
    one = states.dtype.type(1)
    return np.where(fields > 0, one, np.where(fields < 0, -one, states))


def synchronous_all(weights: Array, states: Array) -> Array:
    """Update the whole batch until nothing changes or it is back where it was two steps before."""
    before = None
    while True:
        following = decide(states @ weights, states)
        same = np.array_equal(following, states)
        if same or (before is not None and np.array_equal(following, before)):
            return states
        before, states = states, following


def synchronous_open(weights: Array, states: Array) -> Array:
    """Update the queries that have not ended in a fixed point (nor, here, in a cycle of two)."""
    result, places = states.copy(), np.arange(len(states))
    before = None
    while len(places):
        following = decide(states @ weights, states)
        ended = (following == states).all(axis=1)
        if before is not None:
            ended |= (following == before).all(axis=1)
        result[places[ended]] = states[ended]
        places, before, states = places[~ended], states[~ended], following[~ended]
    return result


def asynchronous_batch(weights: Array, states: Array) -> Array:
    """Sweep over the components, of the queries that still change at once."""
    result, places = states.copy(), np.arange(len(states))
    while len(places):
        start = states.copy()
        for k in range(len(weights)):
            states[:, k] = decide(states @ weights[k], states[:, k])
        ended = (states == start).all(axis=1)
        result[places[ended]] = states[ended]
        places, states = places[~ended], states[~ended]
    return result


def asynchronous_query(weights: Array, states: Array) -> Array:
    """Sweep over the components of one query after the other."""
    result = states.copy()
    for state in result:
        changed = True
        while changed:
            changed = False
            for k, row in enumerate(weights):
                field = row @ state
                if field * state[k] < 0:
                    state[k] = -state[k]
                    changed = True
    return result


def problem(dim: int, count: int, queries: int, noise: float) -> tuple[Array, Array]:
    """Return random patterns and queries near them."""
    rng = np.random.default_rng(0)
    patterns = rng.choice([-1.0, 1.0], size=(count, dim))
    flips = np.where(rng.random((queries, dim)) < noise, -1.0, 1.0)
    return patterns, patterns[rng.integers(count, size=queries)] * flips


def compare(
    mode: str, dtype: type, functions: dict[str, Callable[[], Array]], rounds: int
) -> list[dict[str, Any]]:
    """Print and return one block of the table; the first function is hopfix's."""
    found = alternate(functions, rounds, 0.1, _BUDGET)
    own, *peers = functions
    rows = []
    for peer in peers:
        assert np.array_equal(found.answers[peer], found.answers[own]), f"{mode}: {peer} disagrees"
        row = {
            "mode": mode,
            "dtype": np.dtype(dtype).name,
            "peer": peer,
            "hopfix": found.timings[own].median,
            "seconds": found.timings[peer].median,
            "ratio": found.best_ratios[peer],
            "others": found.others,
        }
        show(row)
        rows.append(row)
    return rows


def show(row: dict[str, Any]) -> None:
    """Print one row of the table."""
    print(
        f"{row['mode']:<13} {row['dtype']:<8} {row['peer']:<8} {row['hopfix']:9.4f} s "
        f"{row['seconds']:9.4f} s {row['ratio']:8.1f}x   others {row['others']:.0%}",
        flush=True,
    )


def measure(arguments: argparse.Namespace, dtype: type) -> list[dict[str, Any]]:
    """Print and return all cells of one dtype."""
    wide = problem(arguments.dim, arguments.patterns, arguments.queries, arguments.noise)
    patterns, states = (a.astype(dtype) for a in wide)
    net = BinaryHopfield(patterns, num_threads=arguments.threads)
    weights = patterns.T @ patterns
    rows = compare(
        "synchronous",
        dtype,
        {
            "hopfix": lambda: net.retrieve(states).states,
            "all": lambda: synchronous_all(weights, states),
            "open": lambda: synchronous_open(weights, states),
        },
        arguments.rounds,
    )
    rows += compare(
        "synchronous",
        dtype,
        {
            "hopfix": lambda: (
                BinaryHopfield(patterns, num_threads=arguments.threads).retrieve(states).states
            ),
            "forming": lambda: synchronous_all(patterns.T @ patterns, states),
        },
        arguments.rounds,
    )
    rows += compare(
        "asynchronous",
        dtype,
        {
            "hopfix": lambda: net.retrieve(states, "asynchronous").states,
            "batch": lambda: asynchronous_batch(weights, states.copy()),
        },
        arguments.rounds,
    )
    swept, others = rows[-1]["hopfix"], rows[-1]["others"]
    start = time.perf_counter()
    answer = asynchronous_query(weights, states[:_FEW])
    seconds = (time.perf_counter() - start) * len(states) / _FEW
    assert np.array_equal(answer, net.retrieve(states[:_FEW], "asynchronous").states)
    row = {"mode": "asynchronous", "dtype": np.dtype(dtype).name, "peer": "query", "hopfix": swept}
    row |= {"seconds": seconds, "ratio": seconds / swept, "others": others}
    show(row)
    return [*rows, row]


def capacity(dim: int, trials: int) -> None:
    """Print how stored patterns fare over the load N/d, for shares of components that are +1.

    Random patterns (0.5) hold up to 0.14 but for few errors. The weights of others are dominated by
    what all patterns have in common: almost all components of the end are then the same.
    """
    print(f"d = {dim}, {trials} sets of patterns; share of wrong components, starting at patterns")
    print(f"{'active':>6} {'load':>6} {'one step':>9} {'the end':>9} {'stable patterns':>16}")
    for active in (0.5, 0.4, 0.3, 0.1):
        for load in (0.01, 0.05, 0.1, 0.12, 0.13, 0.138, 0.145, 0.16, 0.2):
            print(
                f"{active:6.1f} {load:6.3f} {capacity_row(dim, trials, active, load)}", flush=True
            )


def capacity_row(dim: int, trials: int, active: float, load: float) -> str:
    """Return the numbers for patterns of which a share `active` of the components is +1."""
    results = []
    for trial in range(trials):
        rng = np.random.default_rng([trial, round(1e3 * load)])
        shape = max(1, round(load * dim)), dim
        patterns = np.where(rng.random(shape) < active, 1.0, -1.0).astype(np.float32)
        net = BinaryHopfield(patterns, zero_diagonal=True)
        once, found = net.update(patterns), net.retrieve(patterns)
        wrong = (once != patterns).mean(), (found.states != patterns).mean()
        results.append((*wrong, (once == patterns).all(axis=1).mean()))
    one, end, stable = np.mean(results, axis=0)
    return f"{one:9.5f} {end:9.5f} {stable:16.3f}"


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capacity", action="store_true")
    parser.add_argument("--dim", type=int)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--patterns", type=int, default=500)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.capacity:
        capacity(arguments.dim or 2000, arguments.trials)
        return
    arguments.dim = arguments.dim or 4096
    unset_openblas_overrides()
    set_threads(arguments.threads)
    print(f"{'':<31} {'hopfix':>11} {'NumPy':>11} {'ratio':>9}")
    rows = [row for dtype in (np.float32, np.float64) for row in measure(arguments, dtype)]
    if arguments.output is not None:
        sizes = {key: getattr(arguments, key) for key in ("dim", "patterns", "queries", "noise")}
        document = {"config": get_config(), "threads": arguments.threads, **sizes, "rows": rows}
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        (arguments.output / "classical.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
