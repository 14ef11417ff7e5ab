"""``hopfix bench``: retrieval on this machine beside the same in NumPy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

import hopfix
from hopfix.cli import report
from hopfix.cli.options import counting, json_option, output_path, progress_option, write_text

__all__ = ["bench"]

_STEPS = 1000
_REPEATS = 5
# Patterns, dimension, queries, β√d: a batch, many patterns, wide states, one query at a time.
_PROBLEMS = ((1000, 64, 1000, 16.0), (20000, 64, 100, 16.0), (2000, 512, 200, 32.0),
             (1000, 64, 1, 16.0))  # fmt: skip
_HEADINGS = (
    "dtype", "patterns", "dimension", "queries", "NumPy ms", "hopfix ms", "ratio", "difference",
)  # fmt: skip
_KEYS = (
    "dtype", "patterns", "dimension", "queries", "numpy_ms", "hopfix_ms", "ratio", "difference",
)  # fmt: skip


@click.command("bench")
@click.option(
    "--output", type=click.Path(path_type=Path), callback=output_path(".json"),
    help="Write the result as JSON, too.",
)  # fmt: skip
@json_option
@progress_option
def bench(output: Path | None, as_json: bool, progress: bool | None) -> None:
    """Time retrieval to convergence against NumPy, in seconds.

    Random patterns on the unit sphere, queries beside them. Times are the best of five,
    alternating, with the threads each has by default. Exit code 1: the states differ by more than
    rounding allows.

    \b
    Example:
      hopfix bench --json
    """
    cases = [(np.dtype(t), *problem) for t in (np.float32, np.float64) for problem in _PROBLEMS]
    rows: list[list[Any]] = []
    interrupted = False
    try:
        with counting(progress, "bench") as advance:
            for case in cases:
                rows.append(_measured(*case))
                if advance is not None:
                    advance(len(rows), len(cases))
    except KeyboardInterrupt:
        interrupted = True
    config = {**hopfix.get_config(), "numpy": np.__version__}
    results = [dict(zip(_KEYS, row, strict=True)) for row in rows]
    text = json.dumps({"config": config, "results": results}, allow_nan=False)
    click.echo(text if as_json else _rendered(config, rows))
    write_text(output, text)
    if interrupted:
        raise KeyboardInterrupt(f"interrupted, {len(rows)} of {len(cases)} problems finished")
    if not all(_agrees(row) for row in rows):
        raise click.exceptions.Exit(1)


def _measured(dtype: np.dtype[Any], n: int, d: int, count: int, scale: float) -> list[Any]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(n, d))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    queries = patterns[rng.integers(n, size=count)] + 0.3 / np.sqrt(d) * rng.normal(size=(count, d))
    patterns, queries = patterns.astype(dtype), queries.astype(dtype)
    network = hopfix.Hopfield(patterns, scale)
    tol = 1e-6 if dtype == np.float32 else 1e-12
    theirs = np.inf, queries
    ours = np.inf, queries
    for _ in range(_REPEATS):
        theirs = _faster(theirs, lambda: _in_numpy(patterns, scale, queries, tol))
        ours = _faster(ours, lambda: network.retrieve(queries, max_steps=_STEPS, tol=tol).states)
    difference = float(np.abs(theirs[1] - ours[1]).max())
    return [
        dtype.name, n, d, count, 1e3 * theirs[0], 1e3 * ours[0], theirs[0] / ours[0], difference
    ]  # fmt: skip


def _faster(best: tuple[float, Any], work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return min(best[0], time.perf_counter() - started), result


def _in_numpy(patterns: Any, beta: float, queries: Any, tol: float) -> Any:
    """Iterate f until no query moves; each stays where it stopped."""
    states, active = queries.copy(), np.arange(len(queries))
    scale = patterns.dtype.type(beta)
    for _ in range(_STEPS):
        current = states[active]
        logits = scale * (current @ patterns.T)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        updated = (weights @ patterns) / weights.sum(axis=1, keepdims=True)
        moved = np.linalg.norm(updated - current, axis=1)
        moving = moved > tol * np.maximum(1, np.linalg.norm(current, axis=1))
        states[active[moving]] = updated[moving]
        active = active[moving]
        if not len(active):
            break
    return states


def _agrees(row: list[Any]) -> bool:
    """Both stop where f moves them by the tolerance; the fixed point may be a little further."""
    return bool(row[-1] <= (1e-3 if row[0] == "float32" else 1e-8))


def _rendered(config: dict[str, Any], rows: list[list[Any]]) -> str:
    machine = (
        f"hopfix {config['version']} ({config['isa']}, {config['threads']} threads), "
        f"NumPy {config['numpy']}"
    )
    if not rows:
        return machine
    return f"{machine}\n\n{report.rendered(report.plain_table(_HEADINGS, rows))}"
