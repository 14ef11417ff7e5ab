"""What the commands share: options, checks of their values, files and progress bars."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from hopfix.cli.reading import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_TYPES = (".png", ".pdf", ".svg")


def positive(value: float) -> float:
    """Refuse what is not finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"must be finite and > 0, got {value:g}")
    return value


def each_positive(
    _context: click.Context, _parameter: click.Parameter, values: tuple[float, ...]
) -> tuple[float, ...]:
    """Refuse any value that is not positive."""
    return tuple(positive(value) for value in values)


def one_positive(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    """Refuse a value that is not positive."""
    return positive(value)


def list_of_positive(
    _context: click.Context, _parameter: click.Parameter, text: str
) -> tuple[float, ...]:
    """Parse numbers separated by commas."""
    try:
        values = [float(field) for field in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"expected numbers separated by commas, got {text!r}") from error
    return tuple(positive(value) for value in values)


def output_path(*suffixes: str) -> Callable[..., Path | None]:
    """Give a callback that refuses, before the work starts, a file that could not be written."""

    def checked(
        _context: click.Context, _parameter: click.Parameter, path: Path | None
    ) -> Path | None:
        if path is None:
            return None
        if path.suffix.lower() not in suffixes:
            raise click.BadParameter(f"{path}: expected one of {', '.join(suffixes)}")
        if not path.parent.is_dir():
            raise click.BadParameter(f"{path}: no such directory")
        if path.is_dir():
            raise click.BadParameter(f"{path}: is a directory, expected a file to write")
        return path

    return checked


picture_path = output_path(*PICTURE_TYPES)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
progress_option = click.option(
    "--progress/--no-progress", "progress", default=None,
    help="Progress bar on stderr [default: if stderr is a terminal].",
)  # fmt: skip
time_option = click.option(
    "--time-limit", type=float, default=60.0, callback=one_positive, show_default=True,
    metavar="S", help="Seconds to search at each β.",
)  # fmt: skip
file_argument = click.argument("file", type=click.Path(path_type=Path))
key_option = click.option(
    "--key", default="patterns", show_default=True, help="Which array of a .npz file to read."
)
beta_option = click.option(
    "--beta", type=float, required=True, callback=one_positive, metavar="B",
    help="Inverse temperature.",
)  # fmt: skip
seed_option = click.option("--seed", default=0, show_default=True, help="Of random starts.")


def saved(picture: Figure, path: Path) -> str:
    """Write the picture and return a sentence that says so."""
    return writing(path, lambda: picture.savefig(path))


def write_text(path: Path | None, text: str) -> None:
    """Write what was printed to a file, too."""
    if path is not None:
        writing(path, lambda: path.write_text(text + "\n", encoding="utf-8"))


def writing(path: Path, write: Callable[[], object]) -> str:
    """Write a file and return a sentence that says so."""
    try:
        write()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return f"Wrote {path}."


@contextmanager
def counting(wanted: bool | None, label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback (done, total) that moves a progress bar on stderr, or None."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield None
        return
    layout = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}]"
    with tqdm(
        total=1.0, desc=label, file=sys.stderr, leave=False, bar_format=layout, miniters=0
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.n = min(done / max(total, 1), 1.0)
            bar.update(0)

        yield advance
