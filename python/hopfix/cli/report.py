"""Rows of results as tables for people and as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from hopfix._frames import fixed_point_columns
from hopfix._json import plain
from hopfix.demo import Row

__all__ = [
    "LEGEND",
    "class_table",
    "heading",
    "plain_table",
    "rendered",
    "row_table",
    "to_csv",
    "to_json",
    "wrapped",
]

LEGEND = """\
µ: Morse index, the number of unstable directions. cert.: certified. stored: patterns at which
retrieval ends in a stable state that gives them more than half of the weight."""

_LEAST_WIDTH, _WIDTH_OF_FILES = 80, 100


def row_table(rows: Sequence[Row]) -> Table:
    """Return a table with a line per β."""
    indices = sorted({index for row in rows for index in row.fixed_points.counts})
    recall = ["recall"] if any(row.recalled is not None for row in rows) else []
    table = _table(
        ["β", "all", *_index_headings(indices), "stable", *recall, "cert."],
        ["stored", "complete?"],
    )
    for row in rows:
        found = row.fixed_points
        counts = [str(found.counts.get(index, "")) for index in indices]
        recalled = [] if row.recalled is None else [f"{row.recalled:.0%}"]
        table.add_row(
            f"{row.beta:g}", str(len(found)), *counts, str(np.count_nonzero(found.stable)),
            *recalled, str(np.count_nonzero(found.certified)), _stored(row), found.completeness,
        )  # fmt: skip
    return table


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of values as they are: numbers to the right, five digits at most."""
    texts = [k for k in range(len(headings)) if any(isinstance(row[k], str) for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for k, heading in enumerate(headings):
        table.add_column(heading, justify="left" if k in texts else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def wrapped(text: str) -> list[str]:
    """Return the lines of a note below a table."""
    return wrap(text, _WIDTH_OF_FILES - 4)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.5g}"
    return str(value)


def _table(numbers: Sequence[str], texts: Sequence[str]) -> Table:
    """Return an empty table with columns of numbers, then columns of text."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in texts:
        table.add_column(heading, no_wrap=True)
    return table


def _index_headings(indices: Sequence[int]) -> list[str]:
    """Return e.g. ['µ=0', '1', '2']."""
    return [f"µ={index}" if place == 0 else str(index) for place, index in enumerate(indices)]


def class_table(row: Row) -> Table:
    """Return a table with a line per Morse index of the fixed points at one β."""
    found = row.fixed_points
    table = _table(
        ["µ", "number", "cert.", "lowest energy", "highest energy"], ["the lowest, by weight"]
    )
    for index, count in sorted(found.counts.items()):
        members = np.flatnonzero(found.morse_index == index)
        lowest = members[np.argmin(found.energy[members])]
        table.add_row(
            str(index), str(count), str(np.count_nonzero(found.certified[members])),
            f"{found.energy[lowest]:.6g}", f"{found.energy[members].max():.6g}",
            _mixture(found.weights[lowest]),
        )  # fmt: skip
    return table


def heading(row: Row) -> str:
    """Return what to know of the list at one β: size, degree sum, verdict, open questions."""
    found = row.fixed_points
    open_questions = Counter(question.reason for question in found.undecided)
    return "\n".join(
        [
            f"\nβ = {row.beta:g}: {len(found)} fixed point{'' if len(found) == 1 else 's'}, "
            f"degree sum {found.degree_sum}, completeness {found.completeness}, "
            f"{row.seconds:.2f} s",
            *(f"  open: {reason} ({count})" for reason, count in open_questions.items()),
        ]
    )


def rendered(*parts: RenderableType) -> str:
    """Return tables and lines as text, as wide and colourful as stdout can show."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = max(console.width, _LEAST_WIDTH) if console.is_terminal else _WIDTH_OF_FILES
    with console.capture() as capture:
        for part in parts:
            console.print(part, markup=False, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def to_json(rows: Sequence[Row], *, single: bool) -> str:
    """Return strictly valid JSON: an object per β, in an array unless `single`.

    An object holds all of `FixedPoints.to_dict`, and stored, recalled, seconds and finished, see
    `Row`. Numbers that are not finite become null.
    """
    documents = [
        {
            **row.fixed_points.to_dict(),
            "stored": row.stored,
            "recalled": row.recalled,
            "seconds": row.seconds,
            "finished": row.finished,
        }
        for row in rows
    ]
    return json.dumps(plain(documents[0] if single else documents), allow_nan=False)


def to_csv(rows: Sequence[Row]) -> str:
    """Return a table with a line per fixed point: β, then the columns of `to_dataframe`.

    The first line names the columns. Numbers are exact; a support is numbers with spaces between.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(rows):
        columns = fixed_point_columns(row.fixed_points)
        if number == 0:
            writer.writerow(["beta", *columns])
        entries = zip(*(column.tolist() for column in columns.values()), strict=True)
        writer.writerows([row.beta, *map(_field, entry)] for entry in entries)
    return text.getvalue()


def _field(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _stored(row: Row) -> str:
    """Return e.g. '01·3456·89' for up to ten patterns, '12 of 40' for more."""
    count = len(row.network.patterns)
    if count > 10:
        return f"{len(row.stored)} of {count}"
    return "".join(str(k) if k in row.stored else "·" for k in range(count))


def _mixture(weights: np.ndarray[Any, Any]) -> str:
    """Return the patterns, at most three, that carry at least 1 % of the weight."""
    top = [int(k) for k in np.argsort(-weights, kind="stable")[:3] if weights[k] >= 0.01]
    return ", ".join(f"{k} ({weights[k]:.0%})" for k in top)
