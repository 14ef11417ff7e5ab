"""The figures of "Dynamical Mean-Field Theory of Self-Attention Neural Networks", and more.

Figures 3a and 3b (bifurcation diagrams, both forms, coloured by what the Lyapunov exponents say),
Figure 4 (trajectories), Figure 5 (time series, autocorrelation, spectrum), the finite network
beside its mean field, and a phase diagram in (β, γ), which the published code is too slow for.
Nothing is printed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix.mean_field import (
    AttentionMeanField,
    Attractor,
    OrbitBranch,
    State,
    classify,
    follow_orbit,
    periodic_orbit,
    series,
)
from hopfix.mean_field._results import Array

__all__ = [
    "EXPONENTS",
    "Diagram",
    "Phases",
    "Reproduction",
    "bifurcation_diagram",
    "finite_size_errors",
    "followed_cycles",
    "phase_diagram",
    "run",
]

Progress = Callable[[str, int, int], object]

# Exponents of the published code, with the kind of attractor.
EXPONENTS = {
    1.255: ("quasi-periodic", ("0.0000", "-0.0078")),
    1.266: ("chaotic", ("+0.065 to +0.080",)),
    1.27: ("periodic", ("-0.0477",)),
}
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


@dataclass(frozen=True, eq=False)
class Reproduction:
    """All that was computed.

    Attributes:
        diagrams: {"a": Figure 3a, "b": Figure 3b}.
        attractors: {β: what the trajectory of Figure 4 ends in}.
        trajectories: {β: (T, M) semantic output} of Figures 4 and 5.
        errors: {N: root mean square distance of one step from the mean field}.
        phases: the phase diagram in (β, γ).
        branches: cycles of 4 and of 28 steps followed in β: where the torus is born, and the folds
            between which the window of period 28 lies.
    """

    diagrams: dict[str, Diagram]
    attractors: dict[float, Attractor]
    trajectories: dict[float, Array]
    errors: dict[int, float]
    phases: Phases
    branches: tuple[OrbitBranch, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers behind the pictures, ready for `json.dumps`."""
        return {
            "exponents": {
                str(beta): {
                    "kind": found.kind,
                    "period": found.period,
                    "ours": found.lyapunov.exponents[:3].tolist(),
                    "error": found.lyapunov.error[:3].tolist(),
                    "published": list(EXPONENTS.get(beta, ("", ()))[1]),
                    "kaplan_yorke": found.lyapunov.kaplan_yorke_dimension,
                    "evidence": found.evidence,
                }
                for beta, found in self.attractors.items()
            },
            "figure_3": {
                name: {
                    "betas": len(diagram.betas),
                    "seconds": diagram.seconds,
                    "kinds": _counted(diagram.kinds),
                }
                for name, diagram in self.diagrams.items()
            },
            "finite_size": {str(n): error for n, error in self.errors.items()},
            "phases": {
                "shape": list(self.phases.kinds.shape),
                "seconds": self.phases.seconds,
                "kinds": _counted(self.phases.kinds),
            },
            "bifurcations_of_cycles": [
                {"period": branch.orbits[0].period, "kind": event.kind, "beta": event.beta}
                for branch in self.branches
                for event in branch.events
            ],
        }


def _counted(kinds: npt.NDArray[np.str_]) -> dict[str, int]:
    names, counts = np.unique(kinds, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def bifurcation_diagram(
    interval: tuple[float, float],
    sizes: Sizes = PUBLISHED,
    progress: Callable[[int, int], object] | None = None,
) -> Diagram:
    """Make Figure 3 over an interval of β: as published, from where the largest β ends."""
    begin = time.perf_counter()
    betas = np.linspace(*interval, sizes.betas)
    # At β = 0 all fields vanish; the figure starts with the next β.
    betas = betas[betas > 0]
    model = AttentionMeanField.paper(float(betas[-1]))
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
    sizes: Sizes = PUBLISHED, progress: Callable[[int, int], object] | None = None
) -> Phases:
    """Kinds of attractors over (β, γ), every trajectory from the same window."""
    begin = time.perf_counter()
    betas = np.linspace(0.02, 3, sizes.phases[0])
    gammas = np.linspace(0, 400, sizes.phases[1])
    model = AttentionMeanField.paper(1.0)
    start = model.random_state(0)
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
    draws: int, progress: Callable[[int, int], object] | None = None
) -> dict[int, float]:
    """Root mean square distance of a network's next attention from the mean field's, by N.

    From one state of the cycle at β = 1.27, over independent draws of the next token. Longer
    overlays part in chaos, whatever N, and prove nothing.
    """
    model = AttentionMeanField.paper(1.27)
    state = model.simulate(5_000).final_state
    errors = {}
    for done, spins in enumerate(SPINS):
        exact = model.network(spins).mean_field.simulate(1, state).attention[0]
        apart = [
            model.network(spins, seed).simulate(1, state).attention[0] - exact
            for seed in range(draws)
        ]
        errors[spins] = float(np.sqrt(np.mean(np.sum(np.square(apart), axis=1))))
        if progress:
            progress(done + 1, len(SPINS))
    return errors


def followed_cycles() -> tuple[OrbitBranch, ...]:
    """Follow the cycle of 4 steps up, and the one of 28 at β = 1.27 to both sides."""
    low, middle = AttentionMeanField.paper(1.2), AttentionMeanField.paper(1.27)
    four = periodic_orbit(low, low.simulate(3_000).final_state, 4)
    rest = middle.simulate(20_000, middle.random_state(0)).final_state
    long = periodic_orbit(middle, rest, 28)
    return (
        follow_orbit(low, four, 1.4),
        follow_orbit(middle, long, 1.26, max_steps=20),
        follow_orbit(middle, long, 1.28, max_steps=30),
    )


def _published_start(steps: int) -> State:
    model = AttentionMeanField.paper(INTERVALS["b"][1])
    return model.simulate(steps, discard=steps).final_state


def run(quick: bool = False, progress: Progress | None = None) -> Reproduction:
    """Compute everything; a few minutes on two cores, a few seconds if `quick`."""
    sizes = QUICK if quick else PUBLISHED

    def step(name: str) -> Callable[[int, int], object] | None:
        return None if progress is None else lambda done, total: progress(name, done, total)

    diagrams = {
        name: bifurcation_diagram(interval, sizes, step(f"Figure 3{name}"))
        for name, interval in INTERVALS.items()
    }
    start = _published_start(sizes.steps)
    attractors, trajectories = {}, {}
    for beta in FIGURE_4:
        model = AttentionMeanField.paper(beta)
        found = classify(model, start, steps=sizes.classified, discard=sizes.classified // 2)
        attractors[beta] = found
        trajectories[beta] = model.simulate(20_000, found.state).semantic_output
    return Reproduction(
        diagrams,
        attractors,
        trajectories,
        finite_size_errors(sizes.draws, step("finite networks")),
        phase_diagram(sizes, step("phase diagram")),
        followed_cycles(),
    )
