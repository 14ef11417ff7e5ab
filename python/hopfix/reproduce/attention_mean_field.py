"""The figures of "Dynamical Mean-Field Theory of Self-Attention Neural Networks", and more.

Figures 3a and 3b (bifurcation diagrams, both forms, coloured by what the Lyapunov exponents say),
Figure 4 (trajectories), Figure 5 (time series, autocorrelation, spectrum), the finite network
beside its mean field, and a phase diagram in (β, γ), which the published code is too slow for.
Nothing is printed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix.mean_field import (
    AttentionMeanField,
    Attractor,
    OrbitBranch,
    classify,
    follow_orbit,
    periodic_orbit,
    series,
)
from hopfix.mean_field._results import Array
from hopfix.plot import require_matplotlib
from hopfix.reproduce.report import Progress, Report, Step, Table, collect

__all__ = [
    "TITLE",
    "Diagram",
    "Phases",
    "Results",
    "bifurcation_diagram",
    "finite_size_errors",
    "followed_cycles",
    "phase_diagram",
    "run",
]

_KINDS = ("fixed", "periodic", "quasi-periodic", "chaotic", "hyperchaotic", "undecided")
TITLE = "Dynamical Mean-Field Theory of Self-Attention Neural Networks"
# The largest exponents by the published code.
EXPONENTS = {1.255: "0.0000, -0.0078", 1.266: "+0.065 to +0.080", 1.27: "-0.0477"}
FIGURE_4 = (1.255, 1.26405, 1.27, 1.266, 1.28, 1.4)
FIGURE_5 = (1.27, 1.255, 1.266)
INTERVALS = {"a": (0.0, 3.0), "b": (1.24, 1.28)}
_PARTS = 32
_BINS = 4000
SPINS = (1_000, 10_000, 100_000, 1_000_000)


class Sizes(NamedTuple):
    """How much work to do."""

    betas: int
    steps: int
    discard: int
    classified: int
    phases: tuple[int, int]
    phase_steps: int
    phase_discard: int
    draws: int


PUBLISHED = Sizes(4001, 120_000, 100_000, 200_000, (240, 180), 9_000, 4_000, 200)
QUICK = Sizes(65, 3_000, 2_000, 6_000, (12, 8), 1_500, 1_000, 20)


@dataclass(frozen=True, eq=False)
class Diagram:
    """A bifurcation diagram of one feature of the semantic output.

    Attributes:
        betas: (n,).
        edges: (bins + 1,) of the values.
        values: (n, bins) how often each value was met: form 1.
        section: (n, bins) the same at the steps where the second feature crosses 0, interpolated:
            form 2.
        kinds: (n,) as `hopfix.mean_field.Bifurcation.kinds` names them.
        exponents: (n, 2) the two largest.
        seconds: it took.
    """

    betas: Array
    edges: Array
    values: npt.NDArray[np.int32]
    section: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.str_]
    exponents: Array
    seconds: float


@dataclass(frozen=True, eq=False)
class Phases:
    """Kinds of attractors (rows of β, columns of γ) and the largest exponents."""

    betas: Array
    gammas: Array
    kinds: npt.NDArray[np.str_]
    exponents: Array
    seconds: float


@dataclass(eq=False)
class Results:
    """What the steps compute, one after the other.

    Attributes:
        diagrams: {"a": Figure 3a, "b": Figure 3b}.
        attractors: {β: what the trajectory of Figure 4 ends in}.
        trajectories: {β: (T, M) semantic output} of Figures 4 and 5.
        errors: {N: root mean square distance of one step from the mean field}.
        phases: the phase diagram in (β, γ).
    """

    diagrams: dict[str, Diagram] = field(default_factory=dict)
    attractors: dict[float, Attractor] = field(default_factory=dict)
    trajectories: dict[float, Array] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    phases: Phases | None = None


def bifurcation_diagram(
    paper: AttentionMeanField,
    interval: tuple[float, float],
    sizes: Sizes = PUBLISHED,
    progress: Callable[[int, int], object] | None = None,
) -> Diagram:
    """Make Figure 3 over an interval of β: as published, from where the largest β ends."""
    begin = time.perf_counter()
    betas = np.linspace(*interval, sizes.betas)
    # At β = 0 all fields vanish; the figure starts with the next β.
    betas = betas[betas > 0]
    model = paper.with_parameters(beta=float(betas[-1]))
    start = model.simulate(sizes.steps, discard=sizes.steps).final_state
    edges = np.linspace(-1, 1, _BINS + 1)
    values, sections, kinds, exponents = [], [], [], []
    parts = np.array_split(betas, min(_PARTS, len(betas)))
    for done, part in enumerate(parts):
        found = model.bifurcation(part, sizes.steps, sizes.discard, True, start, count=2)
        values.append(_histograms([rows[:, 0] for rows in found.values]))
        sections.append(
            _histograms([series.poincare_section(rows, 1)[:, 0] for rows in found.values])
        )
        kinds.append(found.kinds())
        exponents.append(found.exponents)
        if progress:
            progress(done + 1, len(parts))
    return Diagram(
        betas,
        edges,
        np.concatenate(values),
        np.concatenate(sections),
        np.concatenate(kinds),
        np.concatenate([np.asarray(part) for part in exponents]),
        time.perf_counter() - begin,
    )


def _histograms(rows: list[Array]) -> npt.NDArray[np.int32]:
    """(n, bins) how often the rows' numbers fall in each of the bins of [−1, 1]."""
    out = np.empty((len(rows), _BINS), dtype=np.int32)
    for line, row in zip(out, rows, strict=True):
        places = np.clip(((row + 1) * (_BINS / 2)).astype(np.int64), 0, _BINS - 1)
        line[:] = np.bincount(places, minlength=_BINS)
    return out


def phase_diagram(
    model: AttentionMeanField,
    sizes: Sizes = PUBLISHED,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Phases:
    """Kinds of attractors over (β, γ), every trajectory from the same window."""
    begin = time.perf_counter()
    betas = np.linspace(0.02, 3, sizes.phases[0])
    gammas = np.linspace(0, 400, sizes.phases[1])
    start = model.random_state(seed)
    kinds, exponents = [], []
    for done, beta in enumerate(betas):
        found = model.bifurcation(
            np.full(len(gammas), beta),
            sizes.phase_steps,
            sizes.phase_discard,
            True,
            start,
            count=2,
            gammas=gammas,
        )
        kinds.append(found.kinds())
        exponents.append(np.asarray(found.exponents)[:, 0])
        if progress:
            progress(done + 1, len(betas))
    return Phases(betas, gammas, np.array(kinds), np.array(exponents), time.perf_counter() - begin)


def finite_size_errors(
    paper: AttentionMeanField,
    draws: int,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[int, float]:
    """Root mean square distance of a network's next attention from the mean field's, by N.

    From one state of the cycle at β = 1.27, over independent draws of the next token. Longer
    overlays part in chaos, whatever N, and prove nothing.
    """
    model = paper.with_parameters(beta=1.27)
    state = model.simulate(5_000).final_state
    errors = {}
    for done, spins in enumerate(SPINS):
        exact = model.network(spins).mean_field.simulate(1, state).attention[0]
        apart = [
            model.network(spins, seed + draw).simulate(1, state).attention[0] - exact
            for draw in range(draws)
        ]
        errors[spins] = float(np.sqrt(np.mean(np.sum(np.square(apart), axis=1))))
        if progress:
            progress(done + 1, len(SPINS))
    return errors


def followed_cycles(paper: AttentionMeanField) -> tuple[OrbitBranch, ...]:
    """Follow the cycle of 4 steps up, and the one of 28 at β = 1.27 to both sides."""
    low, middle = paper.with_parameters(beta=1.2), paper.with_parameters(beta=1.27)
    four = periodic_orbit(low, low.simulate(3_000).final_state, 4)
    rest = middle.simulate(20_000, middle.random_state(0)).final_state
    long = periodic_orbit(middle, rest, 28)
    return (
        follow_orbit(low, four, 1.4),
        follow_orbit(middle, long, 1.26, max_steps=20),
        follow_orbit(middle, long, 1.28, max_steps=30),
    )


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
        output: existing directory for attention_mean_field.json and attention_mean_field_*.png;
            None writes nothing.
        quick: shorter runs at fewer parameters: seconds instead of minutes.
        seed: of starts and of the finite networks.
        progress: called with (what is being done, share of the whole that is done).
        num_threads: as in `Hopfield`.

    Raises:
        ImportError: pictures are wanted and matplotlib is missing.
        KeyboardInterrupt: Ctrl-C; ``partial`` is the `Report` so far, written too.
    """
    sizes, found = QUICK if quick else PUBLISHED, Results()
    model = AttentionMeanField.paper(1.0, num_threads=num_threads)
    steps = [
        Step("bifurcation diagrams", 60.0, partial(_diagrams, model, sizes, found)),
        Step("attractors", 5.0, partial(_attractors, model, sizes, found)),
        Step("cycles", 2.0, lambda _: [_cycle_table(followed_cycles(model))]),
        Step("finite networks", 3.0, partial(_finite, model, sizes, seed, found)),
        Step("phases", 30.0, partial(_phases, model, sizes, seed, found)),
    ]
    if output is not None:
        require_matplotlib()
        from hopfix.reproduce import _attention_pictures as pictures

        steps += [
            Step("figure_3a", 1.0, lambda _: pictures.bifurcation(found.diagrams["a"])),
            Step("figure_3b", 1.0, lambda _: pictures.bifurcation(found.diagrams["b"])),
            Step("figure_4", 1.0, lambda _: pictures.trajectories(found)),
            Step("figure_5", 1.0, lambda _: pictures.time_series(found)),
            Step("finite_size", 0.5, lambda _: pictures.finite_size(found.errors)),
            Step("phases", 0.5, lambda _: pictures.phases(found.phases)),
        ]
    report = Report("attention-mean-field", TITLE)
    return collect(report, steps, None if output is None else Path(output), progress)


def _within(inner: Progress, name: str, first: float, share: float) -> Callable[[int, int], object]:
    return lambda done, total: inner(name, first + share * done / total)


def _diagrams(
    model: AttentionMeanField, sizes: Sizes, found: Results, inner: Progress
) -> list[Table]:
    rows = []
    for place, (name, interval) in enumerate(INTERVALS.items()):
        told = _within(inner, f"Figure 3{name}", place / 2, 0.5)
        diagram = bifurcation_diagram(model, interval, sizes, told)
        found.diagrams[name] = diagram
        counts = [int((diagram.kinds == kind).sum()) for kind in _KINDS]
        rows.append((f"3{name}", len(diagram.betas), *counts, diagram.seconds))
    note = (
        f"{sizes.steps:,} steps at each β, the first {sizes.discard:,} dropped, with the two "
        "largest Lyapunov exponents over the others; the largest β runs first and the others "
        "start where it ends, as published. The published code takes about 33 CPU-hours for "
        "Figure 3a without exponents."
    )
    return [Table("Bifurcation diagrams", ("figure", "βs", *_KINDS, "seconds"), tuple(rows), note)]


def _attractors(
    model: AttentionMeanField, sizes: Sizes, found: Results, inner: Progress
) -> list[Table]:
    last = model.with_parameters(beta=INTERVALS["b"][1])
    start = last.simulate(sizes.steps, discard=sizes.steps).final_state
    rows = []
    for done, beta in enumerate(FIGURE_4):
        one = model.with_parameters(beta=beta)
        attractor = classify(one, start, steps=sizes.classified, discard=sizes.classified // 2)
        found.attractors[beta] = attractor
        found.trajectories[beta] = one.simulate(20_000, attractor.state).semantic_output
        exponents, error = attractor.lyapunov.exponents, attractor.lyapunov.error
        ours = ", ".join(
            f"{x:+.4f} ± {e:.4f}" for x, e in zip(exponents[:2], error[:2], strict=True)
        )
        dimension = attractor.lyapunov.kaplan_yorke_dimension
        rows.append((beta, attractor.kind, attractor.period, ours, EXPONENTS.get(beta), dimension))
        inner("attractors", (done + 1) / len(FIGURE_4))
    headings = ("β", "kind", "period", "two largest exponents", "published", "Kaplan–Yorke")
    note = (
        "Natural logarithm per step, with standard errors. Published: by the authors' code. Other "
        "starts may end elsewhere: at β = 1.27 a cycle of 56 steps coexists with that of 28."
    )
    return [Table("Attractors of Figure 4", headings, tuple(rows), note)]


def _cycle_table(branches: tuple[OrbitBranch, ...]) -> Table:
    rows = tuple(
        (branch.orbits[0].period, event.kind, f"{event.beta:.10f}")
        for branch in branches
        for event in branch.events
    )
    note = (
        "Where a multiplier of the cycle crosses the unit circle: the torus of Figure 3b is born "
        "at the Neimark–Sacker bifurcation, and the window of period 28 lies between the folds."
    )
    return Table("Bifurcations of cycles, followed in β", ("period", "kind", "β"), rows, note)


def _finite(
    model: AttentionMeanField, sizes: Sizes, seed: int, found: Results, inner: Progress
) -> list[Table]:
    told = _within(inner, "finite networks", 0.0, 1.0)
    found.errors = finite_size_errors(model, sizes.draws, seed, told)
    rows = tuple((n, error, error * np.sqrt(n)) for n, error in found.errors.items())
    note = "Root mean square distance of the next attention from the mean field's, at β = 1.27."
    return [Table("Finite networks", ("N", "distance", "distance √N"), rows, note)]


def _phases(
    model: AttentionMeanField, sizes: Sizes, seed: int, found: Results, inner: Progress
) -> list[Table]:
    found.phases = phase_diagram(model, sizes, seed, _within(inner, "phase diagram", 0.0, 1.0))
    kinds = found.phases.kinds
    rows = tuple((kind, float((kinds == kind).mean())) for kind in _KINDS)
    note = (
        f"{kinds.shape[0]} × {kinds.shape[1]} trajectories from one random window, "
        f"{sizes.phase_steps:,} steps each, {found.phases.seconds:.0f} s; undecided: too short a "
        "run. Not in the publication, whose code would take days."
    )
    return [Table("Phase diagram, 0 < β ≤ 3, 0 ≤ γ ≤ 400", ("kind", "share"), rows, note)]
