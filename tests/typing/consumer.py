"""A user's program, which `mypy --strict` must accept against the installed package; never run."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import hopfix

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def recall(patterns: npt.ArrayLike, queries: npt.ArrayLike) -> tuple[Floats, int]:
    net = hopfix.Hopfield(patterns, beta=4.0, separation=("entmax", 1.5))
    found: hopfix.Retrieval = net.retrieve(queries, max_steps=100, tol=1e-6)
    moved: npt.NDArray[np.floating] = net.update(queries)
    assert moved.shape == found.states.shape
    return found.states, int(found.converged.sum())


def landscape(net: hopfix.Hopfield) -> dict[int, int]:
    def watch(done: int, total: int) -> None:
        print(done, total)

    points: hopfix.FixedPoints = net.fixed_points("cells", time_limit=10.0, progress=watch)
    for point in points:
        state: Floats = point.state
        certified: bool = point.certified
        print(state, certified, point.support)
    stable: hopfix.FixedPoints = points[points.stable]
    proved: hopfix.Certificates = net.certify(stable.states)
    branches: hopfix.Branches = net.follow(2.0, points)
    folds: npt.NDArray[np.float64] = branches.folds
    print(proved.radius, folds.min())
    return points.counts


def theory(n: int) -> float:
    kinds = [group.morse_index for group in hopfix.softmax_map.fixed_points(n, 2.0 * n)]
    audit: hopfix.degree.DegreeAudit = hopfix.degree.audit({0: n, 1: 1}, dim=n)
    reason: str | None = audit.reason
    print(kinds, reason)
    return hopfix.softmax_map.threshold(n)


def faces(patterns: npt.NDArray[np.float64]) -> list[tuple[int, ...]]:
    found: hopfix.faces.CriticalFaces = hopfix.faces.critical_faces(patterns, max_size=3)
    return found.faces


def relatives(patterns: npt.NDArray[np.float64]) -> None:
    signs = hopfix.classical.BinaryHopfield(np.sign(patterns))
    cycles: hopfix.classical.BinaryRetrieval = signs.retrieve(np.sign(patterns))
    features = hopfix.performer.RandomFeatures(patterns.shape[1], 64, seed=0)
    memory = hopfix.performer.Performer(patterns, 1.0, features)
    kernel: hopfix.kernel.SeparationKernel = hopfix.kernel.SeparationKernel(seed=0).fit(patterns)
    print(cycles.period, memory.error_estimate(patterns), kernel.matrix.shape)
    model = hopfix.mean_field.AttentionMeanField.paper(1.27)
    run: hopfix.mean_field.Simulation = model.simulate(100)
    print(run.attention.mean(), model.lyapunov(1000).exponents[0])


separations: list[Callable[[npt.ArrayLike], Floats]] = [
    hopfix.separation.softmax,
    hopfix.separation.sparsemax,
]
