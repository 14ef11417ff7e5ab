"""``hopfix retrieve``: queries from a file to the states they converge to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from hopfix import Hopfield, Retrieval
from hopfix._json import plain
from hopfix.cli import report
from hopfix.cli.options import (
    beta_option,
    counting,
    file_argument,
    json_option,
    key_option,
    output_path,
    progress_option,
    writing,
)
from hopfix.cli.reading import InputError, read_patterns, refusal

__all__ = ["retrieve"]

_CHUNK = 1024
_MOST_ROWS = 20


@click.command("retrieve")
@file_argument
@key_option
@click.argument("queries", type=click.Path(path_type=Path))
@click.option("--queries-key", default="queries", show_default=True, help="The same for QUERIES.")
@beta_option
@click.option(
    "--max-steps", type=click.IntRange(min=0), default=1000, show_default=True,
    help="Most updates per query.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), callback=output_path(".npy", ".npz", ".csv"),
    help="Write the states (.npy, .csv), or all results (.npz).",
)  # fmt: skip
@json_option
@progress_option
def retrieve(
    file: Path, key: str, queries: Path, queries_key: str, beta: float, max_steps: int,
    output: Path | None, as_json: bool, progress: bool | None,
) -> None:  # fmt: skip
    """Retrieve from the patterns in FILE what the rows of QUERIES converge to.

    Exit code 1: some query did not converge. After Ctrl-C the queries done so far, from the
    first, are shown and written.

    \b
    Example:
      hopfix retrieve patterns.npy queries.csv --beta 8 --output states.npy
    """
    patterns, given = read_patterns(file, key), read_patterns(queries, queries_key)
    if given.shape[1] != patterns.shape[1]:
        raise InputError(
            f"{queries}: queries have {given.shape[1]} columns, the patterns of {file} have "
            f"{patterns.shape[1]}"
        )
    network = _network(file, patterns, beta)
    parts: list[Retrieval] = []
    interrupted = False
    try:
        with counting(progress, "retrieve") as advance:
            for start in range(0, len(given), _CHUNK):
                part = network.retrieve(given[start : start + _CHUNK], max_steps=max_steps)
                parts.append(part)
                if advance is not None:
                    advance(start + len(part.states), len(given))
    except KeyboardInterrupt:
        interrupted = True
    except (ValueError, TypeError, MemoryError) as error:
        raise refusal(error, queries) from error
    done = _joined(network, parts) if parts else None
    if done is not None:
        click.echo(json.dumps(plain(done), allow_nan=False) if as_json else _rendered(done))
        if output is not None:
            message = writing(output, lambda: _write(output, done))
            if not as_json:
                click.echo(message)
    if interrupted:
        count = 0 if done is None else len(done["states"])
        raise KeyboardInterrupt(f"interrupted, {count} of {len(given)} queries finished")
    if done is not None and not done["converged"].all():
        raise click.exceptions.Exit(1)


def _network(file: Path, patterns: Any, beta: float) -> Hopfield:
    try:
        return Hopfield(patterns, beta)
    except (ValueError, TypeError, MemoryError) as error:
        raise refusal(error, file) from error


def _joined(network: Hopfield, parts: list[Retrieval]) -> dict[str, Any]:
    """All results by name, with the pattern that weighs most in each state."""
    names = ("states", "steps", "converged", "residual")
    out = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    tops = [network.weights(part.states) for part in parts]
    out["pattern"] = np.concatenate([p.argmax(axis=1) for p in tops])
    out["weight"] = np.concatenate([p.max(axis=1) for p in tops])
    return out


def _rendered(done: dict[str, Any]) -> str:
    """A line per query, of the first few."""
    names = ("pattern", "weight", "steps", "converged", "residual")
    shown = range(min(len(done["states"]), _MOST_ROWS))
    rows = [[k, *(done[name][k].item() for name in names)] for k in shown]
    lines = [report.rendered(report.plain_table(["query", *names], rows))]
    if (left := len(done["states"]) - len(rows)) > 0:
        lines.append(f"… and {left} more")
    lines.append(
        f"{int(done['converged'].sum())} of {len(done['states'])} queries converged. "
        "pattern: the one of largest weight."
    )
    return "\n".join(lines)


def _write(path: Path, done: dict[str, Any]) -> None:
    with path.open("wb") as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, **done)
        elif path.suffix.lower() == ".npy":
            np.save(file, done["states"])
        else:
            np.savetxt(file, done["states"], delimiter=",", fmt="%.17g")
