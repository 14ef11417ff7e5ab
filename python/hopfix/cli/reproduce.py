"""``hopfix reproduce``: a command for each paper in `hopfix.reproduce.PAPERS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from tqdm import tqdm

from hopfix.cli import report
from hopfix.cli.reading import InputError
from hopfix.reproduce import PAPERS, Progress, Report, paper

__all__ = ["reproduce"]


_HELP = """Repeat the experiments of a publication, beside its numbers.

\b
Example:
  hopfix reproduce unstable-fixed-points --output .
"""


@click.group(invoke_without_command=True, help=_HELP)
@click.pass_context
def reproduce(context: click.Context) -> None:
    """Show the help if no paper is named."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _directory(
    _context: click.Context, _parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Refuse, before the work starts, a directory that could not be written to after it."""
    if path is not None and not path.is_dir():
        raise click.BadParameter(f"{path}: no such directory")
    return path


def _add(name: str, title: str) -> None:
    @reproduce.command(name, help=f'Repeat the experiments of "{title}".')
    @click.option(
        "--output", type=click.Path(path_type=Path), callback=_directory, metavar="DIRECTORY",
        help="Where to write tables (.json) and pictures (.png) [default: nothing is written].",
    )  # fmt: skip
    @click.option("--quick", is_flag=True, help="A small version, in seconds.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
    @click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True,
        help="Of all random numbers.",
    )  # fmt: skip
    @click.option(
        "--progress/--no-progress", "progress", default=None,
        help="Progress bar on stderr [default: if stderr is a terminal].",
    )  # fmt: skip
    def command(
        output: Path | None, quick: bool, as_json: bool, seed: int, progress: bool | None
    ) -> None:
        _run(name, output, quick, as_json, seed, progress)


for _name, _title in PAPERS.items():
    _add(_name, _title)


def _run(
    name: str, output: Path | None, quick: bool, as_json: bool, seed: int, progress: bool | None
) -> None:
    """Run a paper and show what came out, all of it or what Ctrl-C left."""
    interruption = None
    try:
        with _bar(progress) as advance:
            done = paper(name).run(output, quick=quick, seed=seed, progress=advance)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror or error}") from error
    except KeyboardInterrupt as error:
        if not hasattr(error, "partial"):
            raise
        done, interruption = error.partial, error
    click.echo(json.dumps(done.to_dict(), allow_nan=False) if as_json else _rendered(done))
    if interruption is not None:
        raise KeyboardInterrupt(f"interrupted, {len(done.tables)} tables finished")


def _rendered(done: Report) -> str:
    parts = [done.title]
    for table in done.tables:
        body = report.rendered(report.plain_table(table.headings, table.rows))
        parts.append("\n".join(["", table.title, body, *report.wrapped(table.note)]))
    written = [f"Wrote {path}." for path in done.pictures]
    return "\n".join([*parts, "", " ".join([*written, f"Total time {done.seconds:.1f} s."])])


@contextmanager
def _bar(wanted: bool | None) -> Iterator[Progress | None]:
    """Give a callback that moves a progress bar on stderr, or None."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield None
        return
    layout = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}]"
    with tqdm(total=1.0, file=sys.stderr, leave=False, bar_format=layout, miniters=0) as bar:

        def advance(text: str, share: float) -> None:
            bar.set_description_str(text, refresh=False)
            bar.n = min(share, 1.0)
            bar.update(0)

        yield advance
