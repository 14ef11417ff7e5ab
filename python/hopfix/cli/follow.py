"""``hopfix follow``: branches of fixed points as β changes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hopfix import Branches, FixedPoints, Hopfield, plot
from hopfix._follow import not_followed
from hopfix._json import plain
from hopfix._logit_terms import terms_of
from hopfix.cli import report
from hopfix.cli.options import (
    PICTURE_TYPES,
    beta_option,
    counting,
    file_argument,
    json_option,
    key_option,
    one_positive,
    output_path,
    progress_option,
    saved,
    seed_option,
    time_option,
    writing,
)
from hopfix.cli.reading import read_patterns, refusal

__all__ = ["follow"]

_MOST_ROWS = 60


@click.command("follow")
@file_argument
@key_option
@beta_option
@click.option(
    "--to", "beta_to", type=float, required=True, callback=one_positive, metavar="B",
    help="Where to follow them to, above or below --beta.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), callback=output_path(".npz", *PICTURE_TYPES),
    help="Write the branches (.npz, see Branches.load) or draw them (.png, .pdf or .svg).",
)  # fmt: skip
@json_option
@progress_option
@time_option
@seed_option
def follow(
    file: Path, key: str, beta: float, beta_to: float, output: Path | None, as_json: bool,
    progress: bool | None, time_limit: float, seed: int,
) -> None:  # fmt: skip
    """Follow the fixed points for the patterns in FILE from one β to another.

    The time limit holds for the search at --beta, and again for following. Exit code 1: some
    branch could not be followed to its end. After Ctrl-C what was followed is shown and written;
    during the search, the fixed points found so far.

    \b
    Example:
      hopfix follow patterns.npy --beta 20 --to 1 --output diagram.png
    """
    patterns = read_patterns(file, key)
    draws = output is not None and output.suffix.lower() in PICTURE_TYPES
    if draws:
        plot.require_matplotlib()
    interruption: KeyboardInterrupt | None = None
    try:
        network = Hopfield(patterns, beta)
        with counting(progress, "search") as advance:
            found = network.fixed_points(time_limit=time_limit, seed=seed, progress=advance)
        with counting(progress, "follow") as advance:
            done = network.follow(beta_to, found, time_limit=time_limit, progress=advance)
    except KeyboardInterrupt as error:
        done, interruption = _partial(error, beta_to), error
    except (ValueError, TypeError, MemoryError) as error:
        raise refusal(error, file) from error
    click.echo(json.dumps(plain(done.to_dict()), allow_nan=False) if as_json else _rendered(done))
    if output is not None:
        message = (
            saved(done.plot(), output) if draws else writing(output, lambda: done.save(output))
        )
        if not as_json:
            click.echo(message)
    whole = sum(branch.whole for branch in done.branches)
    if interruption is not None:
        raise KeyboardInterrupt(f"interrupted, {whole} branches followed to their ends")
    if done.cut_short or whole < len(done):
        raise click.exceptions.Exit(1)


def _partial(interruption: KeyboardInterrupt, beta_to: float) -> Branches:
    """The branches, or the points to start from, that were found before Ctrl-C."""
    partial = getattr(interruption, "partial", None)
    if isinstance(partial, FixedPoints):
        partial = not_followed(partial.network, beta_to, partial, terms_of(partial.network, None))
    if not isinstance(partial, Branches):
        raise KeyboardInterrupt("interrupted, no branch followed yet") from interruption
    return partial


def _rendered(done: Branches) -> str:
    """A line per branch and a line per event, of the first few."""
    branches = [
        [
            k, float(branch.beta.min()), float(branch.beta.max()), len(branch),
            ", ".join(map(str, sorted(set(branch.morse_index.tolist())))), " … ".join(branch.ends),
        ]
        for k, branch in enumerate(done.branches[:_MOST_ROWS])
    ]  # fmt: skip
    events = [
        [e.kind, e.beta, ", ".join(map(str, e.branches)), "yes" if e.certified else "no"]
        for e in sorted(done.events, key=lambda event: event.beta)[:_MOST_ROWS]
    ]
    parts = [repr(done)]
    for headings, rows, count in (
        (["branch", "lowest β", "highest β", "points", "µ", "ends"], branches, len(done)),
        (["event", "β", "branches", "certified"], events, len(done.events)),
    ):
        if rows:
            parts.append(report.rendered(report.plain_table(headings, rows)))
        if count > len(rows):
            parts.append(f"… and {count - len(rows)} more")
    return "\n\n".join(parts)
