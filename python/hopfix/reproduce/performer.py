"""The six memories of "Looking at the Performer from a Hopfield point of view" on real images.

Classical continuous, sparse classical, modern, sparse modern, Performer and sparse Performer, with
6 and 24 stored images of 64 × 64 pixels in [−1, 1], the lower half masked, β = 25. The post shows
its own pictures; here are faces (scikit-image) and digits (scikit-learn), with several draws of the
stored images. It leaves open how images are scaled for the Performer: measured are the images as
they are, divided by the largest of their norms, and each divided by its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import datasets
from hopfix._compare import SPARSE_BELOW, SPARSE_PERFORMER, MemoryComparison, compare
from hopfix._config import resolve_threads
from hopfix.classical import ContinuousHopfield
from hopfix.network import Hopfield
from hopfix.performer import Performer, RandomFeatures, features_needed, predicted_error
from hopfix.plot import require_matplotlib
from hopfix.reproduce._performer_images import SIDE, Pixels, masked, stored_images
from hopfix.reproduce.report import Progress, Report, Step, Table, collect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TITLE", "run"]

TITLE = "Looking at the Performer from a Hopfield point of view"
BETA = 25.0
COUNTS = (6, 24)
SCALINGS = ("as they are", "largest norm 1", "each norm 1")
UPDATES = 30  # "at rest": until nothing changes, but no more than these
MASKS = {"grey": 0.0, "black": -1.0}


class Sizes(NamedTuple):
    """How much work to do."""

    draws: int
    features: int
    betas: int
    repeats: int


WHOLE = Sizes(5, 1024, 10, 5)
QUICK = Sizes(2, 128, 3, 2)


class Scale(NamedTuple):
    """What images are divided by: patterns and queries row by row, and thresholds."""

    rows: Pixels
    threshold: float


def scale_of(patterns: Pixels, scaling: str) -> Scale:
    """Return the divisors of the patterns, and that of thresholds on pixels: the mean of them."""
    norms = np.linalg.norm(patterns, axis=1)
    if scaling == "as they are":
        norms = np.ones_like(norms)
    elif scaling == "largest norm 1":
        norms = np.full_like(norms, norms.max())
    return Scale(norms[:, None], float(norms.mean()))


def memories(
    patterns: Pixels, scale: Scale, features: RandomFeatures, threads: int
) -> dict[str, Any]:
    """Return the memories of scaled patterns; the classical ones only of images as they are."""
    scaled = patterns / scale.rows
    below, above = SPARSE_BELOW / scale.threshold, SPARSE_PERFORMER / scale.threshold
    models: dict[str, Any] = {}
    if scale.threshold == 1:
        models["classical"] = ContinuousHopfield(scaled, num_threads=threads)
        models["sparse classical"] = ContinuousHopfield(
            scaled, sparsify_above=SPARSE_BELOW, num_threads=threads
        )
    models["modern"] = Hopfield(scaled, BETA, num_threads=threads)
    models["sparse modern"] = Hopfield(scaled, BETA, sparsify_above=below, num_threads=threads)
    models["Performer"] = Performer(scaled, BETA, features, num_threads=threads)
    models["sparse Performer"] = Performer(
        scaled, BETA, features, sparsify_above=above, num_threads=threads
    )
    return models


def retrieved(
    models: dict[str, Any], patterns: Pixels, scale: Scale, mask: float, max_steps: int
) -> MemoryComparison:
    """Retrieve all images of a set from their upper halves."""
    queries = masked(patterns, mask) / scale.rows
    return compare(patterns / scale.rows, queries, models, max_steps=max_steps)


_ERRORS = ("scaling", "memory", "error, 1 update", "at rest", "right, 1 update", "at rest ")
_ERRORS_NOTE = (
    "error: mean of ‖retrieved − stored‖² / ‖stored‖² ± deviation over draws of the stored images; "
    "right: share of queries whose answer is nearest to the image that was masked. At rest: at "
    f"most {UPDATES} updates. The features are redrawn with the images."
)


def errors(
    images: Sequence[str], sizes: Sizes, seed: int, threads: int, progress: Progress
) -> list[Table]:
    """Make the tables of errors of all memories, one for each set of images, number and mask."""
    found: dict[Key, dict[tuple[str, str], list[npt.NDArray[np.float64]]]] = {}
    features = RandomFeatures(SIDE**2, sizes.features, seed=seed, num_threads=threads)
    for draw in range(sizes.draws):
        progress(f"errors, draw {draw + 1}", draw / sizes.draws)
        drawn = features.redraw(draw)
        for name, count in product(images, COUNTS):
            patterns = stored_images(name, count, seed + draw)
            for scaling in SCALINGS:
                scale = scale_of(patterns, scaling)
                models = memories(patterns, scale, drawn, threads)
                for mask in MASKS:
                    table = found.setdefault(Key(name, count, mask), {})
                    for memory, numbers in _measured(models, patterns, scale, mask).items():
                        table.setdefault((scaling, memory), []).append(numbers)
    return [_error_table(key, table, sizes) for key, table in found.items()]


class Key(NamedTuple):
    """What a table of errors is of."""

    images: str
    stored: int
    mask: str


def _error_table(
    key: Key, found: dict[tuple[str, str], list[npt.NDArray[np.float64]]], sizes: Sizes
) -> Table:
    rows: list[tuple[Any, ...]] = []
    for (scaling, memory), draws in found.items():
        once, rest, right_once, right_rest = np.array(draws).T
        spread = [f"{error.mean():.2g} ± {error.std():.1g}" for error in (once, rest)]
        rights = [f"{right.mean():.0%}" for right in (right_once, right_rest)]
        rows.append((scaling, memory, *spread, *rights))
    title = (
        f"{key.images}, {key.stored} stored, lower half {key.mask}, β = {BETA:g}, "
        f"{sizes.features} features"
    )
    return Table(title, _ERRORS, tuple(rows), _ERRORS_NOTE)


def _measured(
    models: dict[str, Any], patterns: Pixels, scale: Scale, mask: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Return mean relative errors and shares that are right, after one update and at rest."""
    answers: dict[str, list[list[float]]] = {}
    for max_steps in (1, UPDATES):
        found = retrieved(models, patterns, scale, MASKS[mask], max_steps)
        squares = np.square(found.wanted).sum(axis=1)
        for result in found:
            numbers = [float((result.error / squares).mean()), float(result.correct.mean())]
            answers.setdefault(result.name, []).append(numbers)
    return {name: np.array(numbers).T.ravel() for name, numbers in answers.items()}


_NEEDED = ("images", "stored", "scaling", "features for 10 %", "β‖x + ξ‖², largest")
_NEEDED_NOTE = (
    "features: of independent rows, for a standard error of a tenth of the norm at all queries "
    "(grey mask), by the exact first-order variance; β‖x + ξ‖²: logarithm of the relative variance "
    "of one feature."
)


def needed(images: Sequence[str], seed: int, progress: Progress) -> list[Table]:
    """Make the table of the features that β = 25 would need."""
    rows: list[tuple[Any, ...]] = []
    for name in images:
        for count in COUNTS:
            patterns = stored_images(name, count, seed)
            for scaling in SCALINGS:
                scale = scale_of(patterns, scaling).rows
                scaled, queries = patterns / scale, masked(patterns, 0.0) / scale
                error = 0.1 * float(np.linalg.norm(scaled, axis=1).min())
                wanted = features_needed(scaled, BETA, queries, error)
                top = BETA * np.square(scaled[:, None] + queries).sum(axis=-1).max()
                shown = f"{wanted:.1e}" if math.isfinite(wanted) else "above 1e300"
                rows.append((name, count, scaling, shown, f"{top:.3g}"))
    return [Table("Features that β = 25 needs", _NEEDED, tuple(rows), _NEEDED_NOTE)]


def pictures(
    name: str, count: int, sizes: Sizes, seed: int, threads: int, progress: Progress
) -> Figure:
    """Draw what the six memories retrieve from images as they are, after one update."""
    features = RandomFeatures(SIDE**2, sizes.features, seed=seed, num_threads=threads)
    patterns = stored_images(name, count, seed)
    scale = scale_of(patterns, SCALINGS[0])
    found = retrieved(memories(patterns, scale, features, threads), patterns, scale, 0.0, 1)
    figure = found.plot((SIDE, SIDE), count=6)
    figure.suptitle(f"{count} stored, one update, β = {BETA:g}")
    return figure


def against_beta(name: str, sizes: Sizes, seed: int, threads: int, progress: Progress) -> Figure:
    """Draw the error of the Performer's estimate against β, beside what is predicted."""
    from matplotlib.figure import Figure

    patterns = stored_images(name, 24, seed)
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    queries = masked(patterns, 0.0)
    betas = np.geomspace(0.1, BETA, sizes.betas)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    counts = (sizes.features // 16, sizes.features)
    for line, r in enumerate(counts):
        features = RandomFeatures(SIDE**2, r, orthogonal=False, seed=seed, num_threads=threads)
        measured, predicted = [], []
        for i, beta in enumerate(betas):
            progress(f"β = {beta:.3g}", (line + i / len(betas)) / len(counts))
            exact = Hopfield(patterns, beta, num_threads=threads).update(queries)
            measured.append(_spread(patterns, beta, features, queries, exact, sizes.repeats))
            predicted.append(float(predicted_error(patterns, beta, queries, r).mean()))
        colour = ("#4477AA", "#EE6677")[line]
        ax.loglog(betas, measured, "o", color=colour, label=f"measured, r = {r:,}")
        ax.loglog(betas, predicted, "-", color=colour, label="predicted, first order in 1/r")
    ax.axhline(1, color="0.6", linewidth=1)
    ax.set(
        xlabel="β (patterns of norm 1)",
        ylabel="error of the estimate, mean ‖Performer − softmax‖₂",
        title=f"24 {name} of {SIDE} × {SIDE}: what the Performer is worth",
        ylim=(min(measured) / 3, 10),
    )
    ax.legend()
    return figure


def _spread(
    patterns: Pixels,
    beta: float,
    features: RandomFeatures,
    queries: Pixels,
    exact: npt.NDArray[np.floating[Any]],
    repeats: int,
) -> float:
    squares = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of worthless estimates: the plot's point
        for draw in range(repeats):
            found = Performer(patterns, beta, features.redraw(draw)).update(queries)
            squares.append(np.square(found - exact).sum(axis=1))
    return float(np.sqrt(np.mean(squares, axis=0)).mean())


def run(
    output: Path | str | None = None,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    num_threads: int | None = None,
) -> Report:
    """Measure everything, and make tables and, with an output directory, the pictures.

    Args:
        output: existing directory for performer.json and performer_*.png; None writes nothing.
        quick: digits alone and few features: seconds instead of minutes.
        seed: of the stored images and of the features.
        progress: called with (what is being done, share of the whole that is done).
        num_threads: as in `Hopfield`.

    Raises:
        ImportError: a package with images, or matplotlib, is not installed; the message names the
            extra.
        KeyboardInterrupt: Ctrl-C; ``partial`` is the report so far, written too.
    """
    require_matplotlib()
    sizes = QUICK if quick else WHOLE
    images = ("digits",) if quick else ("faces", "digits")
    for name in images:
        datasets.images(name)  # what is missing is told before the work begins
    threads = resolve_threads(num_threads)
    steps = [
        Step(
            f"{images[0]}_{count}",
            1,
            partial(pictures, images[0], count, sizes, seed, threads),
        )
        for count in COUNTS
    ]
    steps.append(Step("needed", 1, partial(needed, images, seed)))
    steps.append(Step("beta", 10, partial(against_beta, images[0], sizes, seed, threads)))
    steps.append(Step("errors", 30, partial(errors, images, sizes, seed, threads)))
    return collect(
        Report("performer", TITLE), steps, None if output is None else Path(output), progress
    )
