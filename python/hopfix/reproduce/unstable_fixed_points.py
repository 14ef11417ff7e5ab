"""Unstable fixed points: thresholds, separated faces, sufficient beta and what really happens.

Published, and repeated here: the thresholds of the softmax map, and that a sufficient beta is
"typically 5-20". Other numbers of the paper are not at hand; its rates and estimates come from
sampling, which `hopfix.faces` sets beside the exact values. Patterns: orthonormal vectors through
a linear map with singular values evenly spaced from 1 to the condition number between random
rotations, then normalised, N of them in N dimensions.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import Hopfield, faces, softmax_map
from hopfix.plot import require_matplotlib
from hopfix.reproduce.report import Progress, Report, Step, Table, collect

__all__ = ["TITLE", "Comparison", "Counted", "distorted_patterns", "run"]

TITLE = "On Unstable Fixed Points in Modern Continuous Hopfield Networks"
PUBLISHED_THRESHOLDS = {3: 2.746, 6: 3.836, 10: 4.559, 100: 7.459, 500: 9.326, 1000: 10.111}
CONDITIONS = (2, 5, 10)
SIZES = (2, 4, 6)

Floats = npt.NDArray[np.float64]


class Comparison(NamedTuple):
    """Values of beta for the faces of one case, inf where none is sufficient, NaN if not found."""

    condition: int
    size: int
    alone: bool
    appears: Floats
    sampled: Floats
    exact: Floats


class Counted(NamedTuple):
    """{Morse index: number of fixed points} of one set of patterns at each beta."""

    name: str
    patterns: int
    betas: tuple[float, ...]
    counts: tuple[dict[int, int], ...]


def run(
    output: Path | str | None = None,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    num_threads: int | None = None,
) -> Report:
    """Compute all tables and, with an output directory, the pictures.

    Args:
        output: existing directory for unstable_fixed_points.json and
            unstable_fixed_points_*.png; None writes nothing.
        quick: fewer faces, samples and pixels: seconds instead of about a minute.
        seed: of all random numbers.
        progress: called with (what is being done, share of the whole that is done).
        num_threads: as in `Hopfield`.

    Raises:
        ImportError: pictures are wanted and matplotlib is missing.
        KeyboardInterrupt: Ctrl-C; ``partial`` is the `Report` so far, written too.
    """
    compared: list[Comparison] = []
    counted: list[Counted] = []
    steps = [
        Step("thresholds", 0.1, lambda _: [thresholds()]),
        Step("CIPS rates", 30.0, partial(cips_rates, quick, seed, num_threads)),
        Step(
            "sufficient beta", 30.0, partial(sufficient_betas, quick, seed, num_threads, compared)
        ),
        Step("counts", 10.0, partial(counts, quick, seed, num_threads, counted)),
    ]
    if output is not None:
        require_matplotlib()
        from hopfix.reproduce import _unstable_pictures as pictures

        steps += [
            Step("orbits", 4.0, lambda _: pictures.orbits(quick)),
            Step("sphere", 6.0, lambda _: pictures.sphere(quick)),
            Step("counts", 1.0, lambda _: pictures.counts(counted)),
            Step("beta", 1.0, lambda _: pictures.betas(compared)),
        ]
    report = Report("unstable-fixed-points", TITLE)
    return collect(report, steps, None if output is None else Path(output), progress)


def distorted_patterns(rng: np.random.Generator, n: int, condition: float) -> Floats:
    """Return n unit patterns (n, n): an orthonormal basis, distorted by a linear map."""
    basis, rotation = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    images = basis @ (rotation * np.linspace(1, condition, n))
    patterns: Floats = images / np.linalg.norm(images, axis=1, keepdims=True)
    return patterns


def thresholds() -> Table:
    """The beta at which the softmax map on N components gets a second fixed point."""
    rows = []
    for n, published in PUBLISHED_THRESHOLDS.items():
        ours = softmax_map.threshold(n)
        rows.append((n, published, ours, ours - published))
    return Table(
        "Thresholds: the smallest β with more than one fixed point, N orthonormal patterns",
        ("N", "published", "hopfix", "difference"),
        tuple(rows),
        "Ours is within one ulp. The published value for N = 10 is cut off, not rounded.",
    )


def _random_faces(rng: np.random.Generator, n: int, size: int, count: int) -> Any:
    return np.array([rng.permutation(n)[:size] for _ in range(count)])


def cips_rates(quick: bool, seed: int, threads: int | None, progress: Progress) -> list[Table]:
    """The share of faces that are CIPS: exactly, and as 2,000 samples a face have it."""
    sets, each, samples = (2, 5, 200) if quick else (20, 20, 2000)
    cases = [(n, c, k) for n in (20, 50) for c in CONDITIONS for k in SIZES]
    rows = []
    for place, (n, condition, size) in enumerate(cases):
        progress(f"CIPS rates, N={n}", place / len(cases))
        rng = np.random.default_rng([seed, n, condition, size])
        lower, upper, sampled = [], [], []
        for _ in range(sets):
            patterns = distorted_patterns(rng, n, condition)
            chosen = _random_faces(rng, n, size, each)
            margins = faces.cips_margin(patterns, chosen, num_threads=threads)
            lower.append(margins.lower)
            upper.append(margins.upper)
            draw = int(rng.integers(2**32))
            sampled.append(faces.sampled_margin(patterns, chosen, n_samples=samples, seed=draw))
        exact = np.concatenate(lower) > 0
        open_cases = int((~exact & (np.concatenate(upper) > 0)).sum())
        estimate = np.concatenate(sampled) > 0
        rows.append((n, condition, size, exact.mean(), estimate.mean(), open_cases))
    note = (
        f"{sets * each} random faces a row, {samples} samples a face. Samples only bound a minimum "
        "from above: their rates are too high. open: margins within rounding of 0, counted as not "
        "CIPS. The paper's own rates are not at hand."
    )
    headings = ("N", "condition", "vertices", "exact", "sampled", "open")
    return [Table("Share of faces that are CIPS", headings, tuple(rows), note)]


def appearance(
    patterns: Floats, face: npt.NDArray[np.int64], beta: float, threads: int | None
) -> float:
    """Return the beta at which the face's fixed point really appears; NaN if it is not found.

    The fixed point that tends to the face's critical point is followed down from `beta` to the
    first event of its branch: a fold, or a crossing at which its Morse index changes.
    """
    alone = Hopfield(patterns[face], beta, num_threads=threads).fixed_points("cells")
    interior = alone.states[alone.morse_index == len(face) - 1]
    net = Hopfield(patterns, beta, num_threads=threads)
    for state in interior:
        for _ in range(30):
            moved = net.update(state)
            step = np.linalg.solve(np.eye(len(state)) - net.jacobian(state), moved - state)
            state = state + step
            if np.linalg.norm(step) < 1e-14:
                break
        proof = net.certify(state)
        weight = net.weights(state)[face].min()
        if not proof.certified or proof.morse_index != len(face) - 1 or weight < 1e-3:
            continue
        branches = net.follow(0.5, state[None])
        branch = branches.branches[0]
        events = branch.events if branch.ends[0] == "start" else branch.events[::-1]
        if events:
            return branches.events[events[0]].beta
    return math.nan


def sufficient_betas(
    quick: bool, seed: int, threads: int | None, compared: list[Comparison], progress: Progress
) -> list[Table]:
    """Sufficient beta by three methods, beside the beta at which the fixed point appears."""
    n, count = (8, 3) if quick else (20, 10)
    cases = [(c, k, alone) for c in CONDITIONS[:2] for k in SIZES for alone in (True, False)]
    rows = []
    for place, (condition, size, alone) in enumerate(cases):
        rng = np.random.default_rng([seed, condition, size])
        patterns = distorted_patterns(rng, n, condition)
        chosen = _random_faces(rng, n, size, count)
        answers = {}
        for method in ("sampled", "exact", "lemma"):
            progress(f"sufficient β ({method}), {size} vertices", place / len(cases))
            answers[method] = np.array([
                answer.beta for answer in faces.sufficient_beta(
                    patterns, chosen, isolated=alone, method=method, seed=seed,
                    n_samples=50 if quick else 200, num_threads=threads,
                )
            ])  # fmt: skip
        real = []
        for at, face in enumerate(chosen):
            progress(f"branches, {size} vertices", (place + at / count) / len(cases))
            exact = answers["exact"][at]
            members = patterns[face] if alone else patterns
            start = max(100.0, 1.1 * exact) if math.isfinite(exact) else 100.0
            real.append(appearance(members, np.arange(size) if alone else face, start, threads))
        actual = np.array(real)
        compared.append(
            Comparison(condition, size, alone, actual, answers["sampled"], answers["exact"])
        )
        rows.append((
            condition, size, "alone" if alone else "all", _middle(actual),
            _middle(answers["sampled"]), _middle(answers["exact"]), _middle(answers["lemma"]),
            int((answers["sampled"] < actual).sum()), int(np.isinf(answers["exact"]).sum()),
        ))  # fmt: skip
    note = (
        f"Medians of {count} random faces, N = {n}; inf: no sufficient β for most. appears: the "
        "branch's first event, followed down from large β, nan where it was not found for most. "
        "too low: faces whose sampled β is below that, so that it is not sufficient for this "
        'fixed point. The paper has sufficient β of "typically 5-20", by sampling.'
    )
    headings = (
        "condition", "vertices", "patterns", "appears", "sampled", "exact", "lemma", "too low",
        "no exact β",
    )  # fmt: skip
    return [Table("Sufficient β", headings, tuple(rows), note)]


def _middle(values: Floats) -> float:
    """The median, in which what is missing counts as infinite; NaN if most are missing."""
    filled = float(np.median(np.where(np.isnan(values), np.inf, values)))
    return math.nan if math.isinf(filled) and np.isnan(values).any() else filled


def counts(
    quick: bool, seed: int, threads: int | None, counted: list[Counted], progress: Progress
) -> list[Table]:
    """The number of fixed points against beta: exhaustive search, branches and the formula."""
    n = 5 if quick else 6
    grid = np.geomspace(2, 40, 9 if quick else 25)
    tables = []
    rng = np.random.default_rng([seed, n])
    cases = [("orthonormal", np.eye(n))]
    cases += [(f"condition {c}", distorted_patterns(rng, n, c)) for c in CONDITIONS[:2]]
    for place, (name, patterns) in enumerate(cases):
        progress(f"counts, {name}", place / len(cases))
        top = Hopfield(patterns, float(grid[-1]), num_threads=threads)
        branches = top.follow(float(grid[0]))
        rows, found = [], []
        for at, beta in enumerate(grid):
            progress(f"counts, {name}", (place + at / len(grid)) / len(cases))
            points = Hopfield(patterns, float(beta), num_threads=threads).fixed_points("cells")
            formula = softmax_map.count(n, float(beta)) if name == "orthonormal" else None
            followed = len(branches.at(float(min(max(beta, grid[0]), grid[-1]))))
            found.append(dict(points.counts))
            rows.append((float(beta), len(points), points.completeness, followed, formula))
        counted.append(Counted(name, n, tuple(grid.tolist()), tuple(found)))
        tables.append(
            Table(
                f"Fixed points against β, {n} patterns, {name}",
                ("β", "cells", "complete?", "followed", "formula"),
                tuple(rows),
                "cells: exhaustive search. followed: on the branches from the largest β down, "
                "which misses what appears and vanishes in between. formula: Tiňo's, for "
                "orthonormal patterns.",
            )
        )
    return tables
