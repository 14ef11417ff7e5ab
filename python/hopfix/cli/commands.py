"""The commands of ``hopfix``, parsed by click. `execute` runs one; errors are exceptions."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

import hopfix
from hopfix import datasets, demo, plot
from hopfix._search import METHODS
from hopfix.cli import report
from hopfix.cli.bench import bench
from hopfix.cli.follow import follow
from hopfix.cli.options import (
    PICTURE_TYPES,
    each_positive,
    file_argument,
    json_option,
    key_option,
    list_of_positive,
    output_path,
    picture_path,
    progress_option,
    saved,
    seed_option,
    time_option,
    write_text,
    writing,
)
from hopfix.cli.reading import InputError, read_patterns, refusal
from hopfix.cli.reproduce import reproduce
from hopfix.cli.retrieve import retrieve

__all__ = ["execute"]


def execute(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its exit code.

    Raises:
        InputError: wrong usage or input.
        ImportError: an extra is missing; the message names it.
        KeyboardInterrupt: Ctrl-C; the message, if any, says what was done.
    """
    try:
        with _commands.make_context("hopfix", arguments) as context:
            _commands.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "hopfix"
        raise InputError(f"{error.format_message()} (see {path} --help)") from error
    except click.ClickException as error:
        raise InputError(error.format_message()) from error
    return 0


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hopfix.__version__, message="hopfix %(version)s")
@click.pass_context
def _commands(context: click.Context) -> None:
    """Map the energy landscape of modern Hopfield networks.

    \b
    Example:
      hopfix demo
      hopfix atlas patterns.npy --beta 8

    Exit codes: 0 done; 1 done, with a negative result (see the commands); 2 wrong usage or input;
    130 Ctrl-C.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@_commands.command("demo")
@click.option(
    "--betas", default=",".join(f"{beta:g}" for beta in demo.BETAS), callback=list_of_positive,
    show_default=True, metavar="B,B,…", help="Inverse temperatures.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("hopfix-demo.png"),
    callback=picture_path, show_default=True, help="Picture to write (.png, .pdf or .svg).",
)  # fmt: skip
@click.option("--no-plot", is_flag=True, help="Write no picture.")
@json_option
@progress_option
@time_option
@seed_option
def _demo(
    betas: tuple[float, ...], output: Path, no_plot: bool, as_json: bool, progress: bool | None,
    time_limit: float, seed: int,
) -> None:  # fmt: skip
    """Show how ten handwritten digits become memories as β grows.

    For each β, all fixed points that can be found are counted by Morse index µ (stable: µ=0),
    and a hundred digits are recalled. A digit is stored if retrieval started at it ends at a
    stable fixed point that gives it more than half of the weight. The picture is drawn at the β
    closest to 8.

    \b
    Example:
      hopfix demo --betas 4,4.4,5,8 --output digits.png
    """
    started = time.perf_counter()
    digits = datasets.digits()
    if not no_plot:
        plot.require_matplotlib()
    with _reporter(betas, progress) as advance:
        rows = demo.run(
            betas, digits.patterns, queries=digits.queries, labels=digits.labels,
            time_limit=time_limit, seed=seed, progress=advance,
        )  # fmt: skip
        done, interrupted = _collected(rows, None)
    if as_json:
        _print_json(done, len(betas))
    elif done:
        title = "Ten digits (8x8) in a Hopfield network"
        click.echo(report.rendered(title, report.row_table(done), report.LEGEND))
    _stop_if(interrupted, done, betas)
    written = [] if no_plot else [saved(demo.draw(done, digits), output)]
    if not as_json:
        click.echo(" ".join([*written, f"Total time {time.perf_counter() - started:.1f} s."]))


@_commands.command("atlas")
@file_argument
@key_option
@click.option(
    "--beta", "betas", type=float, multiple=True, required=True, callback=each_positive,
    metavar="B", help="Inverse temperature; give it again for more.",
)  # fmt: skip
@click.option(
    "--method", default="auto", show_default=True, help=f"Search method: {', '.join(METHODS)}."
)
@click.option("--prove", is_flag=True, help="Search exhaustively: --method cells.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    callback=output_path(".json", ".npz", ".csv", *PICTURE_TYPES),
    help="Write the list (.json, as --json; .npz, see FixedPoints.load; .csv), or draw the "
    "landscape at the last β (.png, .pdf or .svg).",
)
@json_option
@progress_option
@time_option
@seed_option
def _atlas(
    file: Path, key: str, betas: tuple[float, ...], method: str, prove: bool, output: Path | None,
    as_json: bool, progress: bool | None, time_limit: float, seed: int,
) -> None:  # fmt: skip
    """List the fixed points for the patterns in FILE.

    FILE holds one pattern per row: .npy, .npz, .csv (commas; a first line with text is a header)
    or .parquet. Exit code 1: --prove did not end with a proof. With --json one β prints one
    object, several print an array of objects; numbers that are not finite are null. A .csv file
    has a line per fixed point, a .npz file the list at the only β. After Ctrl-C what was found is
    shown and written.

    \b
    Example:
      hopfix atlas patterns.npy --beta 8 --beta 20 --output landscape.png
    """
    if prove and method not in ("auto", "cells"):
        raise click.UsageError(f"--prove: got it with --method {method}, need one of them")
    suffix = "" if output is None else output.suffix.lower()
    if suffix == ".npz" and len(betas) > 1:
        raise click.UsageError(f"--output: .npz holds the list at one β, got {len(betas)} --beta")
    patterns = read_patterns(file, key)
    if suffix in PICTURE_TYPES:
        plot.require_matplotlib()
    with _reporter(betas, progress) as advance:
        rows = demo.run(
            betas,
            patterns,
            method="cells" if prove else method,
            time_limit=time_limit,
            seed=seed,
            progress=advance,
        )
        done, interrupted = _collected(rows, file)
    if as_json:
        _print_json(done, len(betas))
    elif done:
        _print_atlas(file, patterns.shape, done)
    if output is not None and done:
        message = _write_atlas(output, done, single=len(betas) == 1)
        if not as_json:
            click.echo(message)
    _stop_if(interrupted, done, betas)
    if prove and any(row.fixed_points.completeness != "proved" for row in done):
        raise click.exceptions.Exit(1)


for _command in (retrieve, follow, reproduce, bench):
    _commands.add_command(_command)


@_commands.command("show-config")
@json_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    callback=output_path(".json"),
    help="Write it as JSON, too.",
)
def _show_config(as_json: bool, output: Path | None) -> None:
    """Show version, instruction set, threads, compiler and Eigen version.

    \b
    Example:
      hopfix show-config --json
    """
    text = json.dumps(hopfix.get_config())
    if as_json:
        click.echo(text)
    else:
        hopfix.show_config()
    write_text(output, text)


def _collected(rows: Iterator[demo.Row], file: Path | None) -> tuple[list[demo.Row], bool]:
    """Return the rows, the last of them perhaps unfinished, and whether Ctrl-C ended them."""
    done: list[demo.Row] = []
    try:
        done.extend(rows)
    except KeyboardInterrupt:
        return done, True
    except (ValueError, TypeError, MemoryError) as error:
        raise refusal(error, file) from error
    return done, False


def _stop_if(interrupted: bool, done: Sequence[demo.Row], betas: Sequence[float]) -> None:
    if interrupted:
        finished = sum(row.finished for row in done)
        raise KeyboardInterrupt(f"interrupted, {finished} of {len(betas)} values of β finished")


def _print_json(done: Sequence[demo.Row], requested: int) -> None:
    """Print the rows; the shape depends on how many were asked for, not on how many were done."""
    if done or requested > 1:
        click.echo(report.to_json(done, single=requested == 1))


def _print_atlas(file: Path, shape: Sequence[int], done: Sequence[demo.Row]) -> None:
    title = f"{file.name}: {shape[0]} patterns in {shape[1]} dimensions"
    details = [part for row in done for part in (report.heading(row), report.class_table(row))]
    click.echo(report.rendered(title, report.row_table(done), report.LEGEND, *details))


def _write_atlas(path: Path, done: Sequence[demo.Row], *, single: bool) -> str:
    """Write what the suffix names and return a sentence that says so."""
    suffix, last = path.suffix.lower(), done[-1]
    if suffix in PICTURE_TYPES:
        return saved(plot.landscape(last.network, last.fixed_points), path)
    if suffix == ".npz":
        return writing(path, lambda: last.fixed_points.save(path))
    text = report.to_csv(done) if suffix == ".csv" else report.to_json(done, single=single) + "\n"
    return writing(path, lambda: path.write_text(text, encoding="utf-8"))


@contextmanager
def _reporter(betas: Sequence[float], wanted: bool | None) -> Iterator[Any]:
    """Give a callback of `demo.run` that moves a progress bar on stderr, or None."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield None
        return
    layout = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}]"
    with tqdm(total=len(betas), file=sys.stderr, leave=False, bar_format=layout, miniters=0) as bar:

        def advance(beta: float, done: int, total: int) -> None:
            bar.set_description_str(f"β = {beta:g}", refresh=False)
            bar.n = betas.index(beta) + done / max(total, 1)
            bar.update(0)

        yield advance
