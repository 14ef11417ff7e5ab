"""What a reproduction gives: tables and pictures, with how they came about."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopfix._config import get_config
from hopfix._json import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Progress", "Report", "Step", "Table", "collect"]

Progress = Callable[[str, float], object]
"""Called with what is being done and the share, 0 to 1, of the whole that is done."""


@dataclass(frozen=True)
class Table:
    """Rows of strings, numbers or None under headings; ``note`` says what they mean."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Step:
    """A part of a paper: its name, its share of the work, and what gives tables or a picture."""

    name: str
    share: float
    work: Callable[[Progress], list[Table] | Figure]


@dataclass
class Report:
    """The results of one paper.

    Attributes:
        paper: its name, as in `PAPERS`.
        title: of the publication.
        tables: in the order computed.
        pictures: files written.
        seconds: wall-clock time.
        finished: False if Ctrl-C ended it early.
    """

    paper: str
    title: str
    tables: list[Table] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what strict JSON can hold: infinite and missing numbers become null."""
        document = {
            "paper": self.paper,
            "title": self.title,
            "finished": self.finished,
            "seconds": self.seconds,
            "config": get_config(),
            "tables": [vars(table) for table in self.tables],
            "pictures": [path.name for path in self.pictures],
        }
        answer: dict[str, Any] = plain(document)
        return answer

    def write(self, path: Path) -> None:
        """Write `to_dict` as JSON."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")


def collect(
    report: Report, steps: Sequence[Step], output: Path | None, progress: Progress | None
) -> Report:
    """Fill a report, step by step, and write it and its pictures if there is an output directory.

    The files are PAPER.json and PAPER_<step>.png, with underscores in PAPER.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the report so far, written if there is an output, in
            ``partial``.
    """
    started = time.perf_counter()
    whole = sum(step.share for step in steps)
    stem = report.paper.replace("-", "_")
    done, interruption = 0.0, None
    try:
        for step in steps:
            inner = _within(progress, done / whole, step.share / whole)
            inner(step.name, 0.0)
            result = step.work(inner)
            if isinstance(result, list):
                report.tables.extend(result)
            elif output is not None:
                path = output / f"{stem}_{step.name}.png"
                result.savefig(path)
                report.pictures.append(path)
            done += step.share
        report.finished = True
    except KeyboardInterrupt as error:
        interruption = error
    report.seconds = time.perf_counter() - started
    if output is not None:
        report.write(output / f"{stem}.json")
    if interruption is not None:
        interruption.partial = report  # type: ignore[attr-defined]
        raise interruption
    return report


def _within(progress: Progress | None, first: float, share: float) -> Progress:
    def inner(text: str, part: float) -> None:
        if progress is not None:
            progress(text, first + share * part)

    return inner
