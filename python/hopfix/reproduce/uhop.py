"""U-Hop: learned similarities beside all the others, on real images.

Wu, Hu, Hsiao and Liu, "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield Models"
(2024), learn a matrix W that spreads stored patterns out (Stage I, `hopfix.kernel`) and then
retrieve with the similarity (Wx)·(Wξ). This module measures what that gains:

* memory capacity: the error of one update for M = 10 to 500 patterns and four kinds of queries;
* robustness to noise of the 11 published levels 0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 1, 1.2, 1.4, 2:
  the standard deviation of a pixel (the code published for the average loss) and the norm of the
  noise of an image (the code published for the maximum loss), 100 patterns;
* the error and the loss after more and more steps of Stage I.

The error is the sum of squared differences of pixels clamped to [0, 1], averaged over patterns.
Each model is measured with β = 1, as published (there β multiplies outside the separation, where
β = 1 does nothing), and with the β inside that is best on other memory sets, from the same grid for
every model, for each set of images and kind of query at 100 patterns. "Faithful" Stage I is the
published one: plain gradient descent of 100 steps on the first half of the patterns in capacity
runs, on all of them in noise runs (there 800 steps for the maximum loss). "Default" is hopfix's own
descent on all patterns, rows of W normalised in the end as the paper's Algorithm 1 has it. "Random
W" is where both start.

Differences from the published code: other images (`hopfix.datasets.images`), a memory set of a
seed is the beginning of the larger ones, polynomial weights are normalised, and distances have the
sign that makes near patterns similar.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hopfix import datasets
from hopfix._arrays import as_integer, as_positive
from hopfix.plot import require_matplotlib
from hopfix.reproduce._uhop_experiments import TUNING_SEEDS, Laboratory, Result, Settings
from hopfix.reproduce._uhop_figures import draw
from hopfix.reproduce._uhop_results import Results
from hopfix.reproduce._uhop_tables import tables
from hopfix.reproduce.report import Progress, Report

__all__ = ["TITLE", "Results", "Settings", "UHopReport", "measure", "run"]

TITLE = "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield Models"


@dataclass
class UHopReport(Report):
    """A report that has all curves, too.

    Attributes:
        results: everything measured.
    """

    results: Results = field(default_factory=lambda: Results(Settings(), 0))

    def to_dict(self) -> dict[str, Any]:
        """Return what strict JSON can hold, with `Results.to_dict` as "results"."""
        return super().to_dict() | {"results": self.results.to_dict()}


def run(
    output: Path | str | None = None,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    num_threads: int | None = None,
    images: Sequence[str] | None = None,
    seeds: int | None = None,
) -> UHopReport:
    """Measure everything, and make tables and, with an output directory, the pictures.

    Args:
        output: existing directory for uhop.json and uhop_*.png; None writes nothing.
        quick: two small memory sets of digits: seconds instead of minutes.
        seed: the memory sets and all that is random have the seeds seed, seed + 1, …
        progress: called with (what is being done, share of the whole that is done).
        num_threads: as in `Hopfield`.
        images: names of sets, see `hopfix.datasets.images`; default: all, quick: digits.
        seeds: how many memory sets; default 20, quick: 2.

    Raises:
        ImportError: a package with images is not installed, or pictures are wanted and matplotlib
            is not; the message names the extra.
        KeyboardInterrupt: Ctrl-C; ``partial`` is the `UHopReport` of what was measured, written
            too.
    """
    if output is not None:
        require_matplotlib()
    chosen = ("digits",) if quick else datasets.IMAGE_SETS
    interruption = None
    try:
        results = measure(
            chosen if images is None else images,
            seeds=(2 if quick else 20) if seeds is None else seeds,
            first_seed=seed,
            settings=Settings.quick() if quick else None,
            num_threads=num_threads,
            progress=progress,
        )
    except KeyboardInterrupt as error:
        if not hasattr(error, "partial"):
            raise
        results, interruption = error.partial, error
    report = UHopReport("uhop", TITLE, results=results, seconds=results.seconds)
    report.finished = results.finished
    report.tables.extend(tables(results))
    if output is not None:
        _write(report, Path(output))
    if interruption is not None:
        interruption.partial = report
        raise interruption
    return report


def _write(report: UHopReport, folder: Path) -> None:
    """Write the pictures and the JSON of what there is."""
    for name, figure in draw(report.results):
        path = folder / f"uhop_{name}.png"
        figure.savefig(path, dpi=80)
        report.pictures.append(path)
    report.write(folder / "uhop.json")


def measure(
    images: Sequence[str] = datasets.IMAGE_SETS,
    *,
    seeds: int = 20,
    first_seed: int = 0,
    settings: Settings | None = None,
    time_limit: float | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run all experiments.

    Args:
        images: names of sets, see `hopfix.datasets.images`.
        seeds: how many memory sets; what is random depends on their seeds alone.
        first_seed: of them.
        settings: what is measured; default: all that the paper has.
        time_limit: stop after the experiment in which this many seconds are over.
        num_threads: as in `Hopfield`.
        progress: called with (what is being done, share of the whole that is done) before every
            experiment.

    Returns:
        The results. Seed by seed on every set of images, so that what is cut short has all sets.

    Raises:
        ImportError: a package with images is not installed; the message names the extra.
        ValueError, TypeError: naming the argument.
        KeyboardInterrupt: Ctrl-C; its attribute ``partial`` is the results so far.
    """
    count = as_integer("seeds", seeds, 1, 10_000)
    first = as_integer("first_seed", first_seed, 0, min(TUNING_SEEDS) - count)
    limit = None if time_limit is None else as_positive("time_limit", time_limit)
    if not images or isinstance(images, str):
        raise ValueError(f"images: got {images!r}, need a sequence of names of image sets")
    chosen = settings or Settings()
    results = Results(chosen, count)
    started = time.perf_counter()
    laboratories = [Laboratory(datasets.images(name), chosen, num_threads) for name in images]
    plan = list(_plan(laboratories, range(first, first + count), results))
    whole, done = sum(share for _, share, _ in plan), 0
    try:
        for what, share, work in plan:
            if progress is not None:
                progress(what, done / whole)
            if limit is not None and time.perf_counter() - started > limit:
                return results
            work()
            done += share
            results.seconds = time.perf_counter() - started
    except KeyboardInterrupt as interruption:
        interruption.partial = results  # type: ignore[attr-defined]
        raise
    results.finished = True
    return results


def _plan(
    laboratories: Sequence[Laboratory], seeds: Iterable[int], results: Results
) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """Yield (what, rough cost, work) of every experiment in turn."""

    def choose(laboratory: Laboratory) -> None:
        results.betas[laboratory.images.name] = laboratory.choose_betas()

    def add(experiment: Callable[..., Iterator[Result]], *arguments: int) -> None:
        results.add(experiment(*arguments))

    for laboratory in laboratories:
        dim = laboratory.images.pixels.shape[1]
        yield f"{laboratory.images.name}, choosing β", 1500 * dim, partial(choose, laboratory)
    for seed in seeds:
        for laboratory in laboratories:
            dim = laboratory.images.pixels.shape[1]
            what = f"{laboratory.images.name}, seed {seed}"
            for size in laboratory.settings.sizes:
                work = partial(add, laboratory.capacity, size, seed)
                yield f"{what}, {size} patterns", (size + 50) * dim, work
            yield f"{what}, noise", 400 * dim, partial(add, laboratory.noise, seed)
            if laboratory.images.name in laboratory.settings.stage_one_images:
                yield f"{what}, Stage I", 400 * dim, partial(add, laboratory.stage_one, seed)
