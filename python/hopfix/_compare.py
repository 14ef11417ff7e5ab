"""Every memory of the library on the same patterns and queries; public as `hopfix.compare`."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix._arrays import (
    FloatArray,
    as_integer,
    as_patterns,
    as_positive,
    as_states,
    require_squares,
)
from hopfix._binary import BinaryHopfield
from hopfix._comparable import Comparable
from hopfix._config import resolve_threads
from hopfix._continuous import ContinuousHopfield
from hopfix._features import RandomFeatures
from hopfix._interchange import interchange
from hopfix._performer import Performer
from hopfix.kernel import SeparationKernel
from hopfix.network import Hopfield
from hopfix.plot import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPARSE_BELOW = -0.5  # the published thresholds of the sparse networks,
SPARSE_PERFORMER = 0.5  # and of the sparse Performer


@dataclass(frozen=True)
class Settings:
    """What the memories by name are built with."""

    beta: float
    n_features: int
    seed: int
    threads: int


class SignMemory:
    """`BinaryHopfield` for any numbers, of which it takes the signs: 1 above 0, else −1."""

    def __init__(self, patterns: FloatArray, threads: int) -> None:
        self.stored = self._signs(patterns)
        self._network = BinaryHopfield(self.stored, num_threads=threads)

    @staticmethod
    def _signs(rows: FloatArray) -> FloatArray:
        return np.asarray(np.where(rows > 0, rows.dtype.type(1), rows.dtype.type(-1)))

    def retrieve(self, states: FloatArray, *, max_steps: int) -> Any:
        """Synchronous updates."""
        return self._network.retrieve(self._signs(states), max_steps=max_steps)


Builder = Callable[[FloatArray, Settings], Any]


def _network(**options: Any) -> Builder:
    return lambda patterns, given: Hopfield(
        patterns, given.beta, num_threads=given.threads, **options
    )


def _continuous(above: float | None) -> Builder:
    return lambda patterns, given: ContinuousHopfield(
        patterns, sparsify_above=above, num_threads=given.threads
    )


def _performer(above: float | None) -> Builder:
    def build(patterns: FloatArray, given: Settings) -> Performer:
        features = RandomFeatures(
            patterns.shape[1], given.n_features, seed=given.seed, num_threads=given.threads
        )
        return Performer(
            patterns, given.beta, features, sparsify_above=above, num_threads=given.threads
        )

    return build


def _learned(patterns: FloatArray, given: Settings) -> Hopfield:
    kernel = SeparationKernel(seed=given.seed, num_threads=given.threads).fit(patterns)
    return Hopfield(patterns, given.beta, similarity=kernel, num_threads=given.threads)


MODELS: dict[str, Builder] = {
    "binary": lambda patterns, given: SignMemory(patterns, given.threads),
    "continuous": _continuous(None),
    "sparse continuous": _continuous(SPARSE_BELOW),
    "modern": _network(),
    "sparse modern": _network(sparsify_above=SPARSE_BELOW),
    "unit norm": _network(normalize=True),
    "squared distance": _network(similarity="neg_sq_l2"),
    "distance": _network(similarity="neg_l2"),
    "Manhattan": _network(similarity="neg_l1"),
    "sparsemax": _network(separation="sparsemax"),
    "entmax": _network(separation=("entmax", 1.5)),
    "polynomial": _network(separation=("polynomial", 10, True)),
    "U-Hop": _learned,
    "Performer": _performer(None),
    "sparse Performer": _performer(SPARSE_PERFORMER),
}


@dataclass(frozen=True, eq=False)
class Compared(Comparable):
    """What one memory made of the queries.

    Attributes:
        name: of the memory.
        states: (B, d), what it retrieved.
        error: (B,) float64, ‖retrieved − stored‖₂² of the pattern that was wanted.
        correct: (B,) bool, whether no other stored pattern is as near as the one wanted.
        steps: (B,) int64, updates.
        converged: (B,) bool.
        build_seconds: to build the memory, of wall-clock time.
        seconds: to retrieve all queries.
        remark: a warning that it gave, or why there is no answer: then states and errors are NaN.
    """

    name: str
    states: FloatArray
    error: FloatArray
    correct: npt.NDArray[np.bool_]
    steps: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    build_seconds: float
    seconds: float
    remark: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the name, means over the queries, the seconds and the remark."""
        return {
            "name": self.name,
            "error": float(self.error.mean()),
            "correct": float(self.correct.mean()),
            "steps": float(self.steps.mean()),
            "converged": float(self.converged.mean()),
            "build_seconds": self.build_seconds,
            "seconds": self.seconds,
            "remark": self.remark,
        }


@dataclass(frozen=True, eq=False)
class MemoryComparison(Comparable, Sequence[Compared]):
    """Result of `hopfix.compare`: a sequence of `Compared`, and a table as its text.

    Attributes:
        results: one `Compared` for each memory.
        queries: (B, d).
        wanted: (B, d), the pattern that each query asks for.
    """

    results: tuple[Compared, ...]
    queries: FloatArray
    wanted: FloatArray

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, key: Any) -> Any:
        """Return the result of that number or name."""
        if isinstance(key, str):
            for result in self.results:
                if result.name == key:
                    return result
            names = ", ".join(result.name for result in self.results)
            raise KeyError(f"name: got {key!r}, need one of {names}")
        return self.results[key]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `Compared.summary` of all, for a data frame or JSON."""
        return [result.summary() for result in self.results]

    def __str__(self) -> str:
        wide = max(6, *(len(result.name) for result in self.results))
        lines = [f"{'memory':<{wide}}  {'error':>9}  correct  steps  converged  seconds"]
        for row in self.to_dicts():
            lines.append(
                f"{row['name']:<{wide}}  {row['error']:>9.3g}  {row['correct']:>7.0%}  "
                f"{row['steps']:>5.1f}  {row['converged']:>9.0%}  {row['seconds']:>7.1g}"
            )
        lines += [f"{result.name}: {result.remark}" for result in self if result.remark]
        return "\n".join(lines)

    def plot(self, image_shape: Sequence[int] | None = None, *, count: int = 6) -> Figure:
        """Draw what was retrieved, side by side, or without `image_shape` the errors.

        Args:
            image_shape: (height, width) of the states as images.
            count: how many of the queries are drawn as images.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: image_shape does not go with the dimension.
        """
        require_matplotlib()
        if image_shape is None:
            return self._draw_errors()
        shape = tuple(as_integer("image_shape", length, 1) for length in image_shape)
        dim = self.queries.shape[1]
        if len(shape) != 2 or math.prod(shape) != dim:
            raise ValueError(
                f"image_shape: got {shape}, need (height, width) with {dim} pixels in all"
            )
        return self._draw_images(shape, min(as_integer("count", count, 1), len(self.queries)))

    def _draw_errors(self) -> Figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 0.35 * len(self) + 1.2), layout="constrained")
        axes = figure.add_subplot()
        names = [result.name for result in self.results]
        shown = [np.maximum(result.error[np.isfinite(result.error)], 1e-12) for result in self]
        axes.boxplot(shown, orientation="horizontal", tick_labels=names, showfliers=False)
        axes.set_xscale("log")
        axes.invert_yaxis()
        axes.set_xlabel("squared error ‖retrieved − stored‖²")
        return figure

    def _draw_images(self, shape: tuple[int, ...], count: int) -> Figure:
        from matplotlib.figure import Figure

        rows = [("stored", self.wanted), ("query", self.queries)]
        rows += [(result.name, result.states) for result in self.results]
        figure = Figure(figsize=(1.1 * count + 1.6, 1.1 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), count, squeeze=False)
        low, high = float(self.wanted.min()), float(self.wanted.max())
        for (name, states), line in zip(rows, axes, strict=True):
            for state, ax in zip(states[:count], line, strict=True):
                ax.imshow(state.reshape(shape), cmap="gray", vmin=low, vmax=high)
                ax.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, rotation="horizontal", ha="right", va="center")
        return figure


@interchange
def compare(
    patterns: npt.ArrayLike,
    queries: npt.ArrayLike,
    models: Sequence[str] | Mapping[str, Any] | None = None,
    *,
    targets: npt.ArrayLike | None = None,
    beta: float = 1.0,
    max_steps: int = 1000,
    n_features: int = 1024,
    seed: int = 0,
    num_threads: int | None = None,
) -> MemoryComparison:
    """Store the patterns in every memory and retrieve the queries from each.

    Args:
        patterns: (N, d).
        queries: (B, d).
        models: names of `hopfix.MODELS`, by default all; or a mapping of names to such names, or to
            objects whose `update(states)` or `retrieve(states, max_steps=…)` retrieves.
        targets: (B,) indices of the patterns that the queries ask for; by default one query for
            each pattern, in order, if B = N, else the pattern nearest to the query.
        beta: inverse temperature of the modern networks, the Performers and U-Hop.
        max_steps: >= 1; 1 is one update.
        n_features: of the Performers; their kind is "exp", with orthogonal rows.
        seed: of random features and of learned kernels.
        num_threads: as in `Hopfield`.

    The memory "binary" takes the signs of patterns and queries; its errors are those of signs. A
    memory that refuses the problem (a ValueError) has that as its `remark`.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(5, 16))
        >>> table = hopfix.compare(patterns, patterns, models=["modern", "binary"])
        >>> [(memory.name, bool(memory.converged.all())) for memory in table]
        [('modern', True), ('binary', True)]
    """
    stored = as_patterns("patterns", patterns)
    asked, _ = as_states("queries", queries, stored.shape[1], stored.dtype)
    require_squares("patterns", stored)
    require_squares("queries", asked)
    wanted = _targets(targets, stored, asked)
    given = Settings(
        as_positive("beta", beta),
        as_integer("n_features", n_features, 1),
        as_integer("seed", seed, 0),
        resolve_threads(num_threads),
    )
    limit = as_integer("max_steps", max_steps, 1)
    results = tuple(
        _compared(name, model, stored, asked, wanted, given, limit)
        for name, model in _models(models).items()
    )
    return MemoryComparison(results, asked, stored[wanted])


def _models(models: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Builder]:
    if models is None:
        return dict(MODELS)
    if isinstance(models, str) or not isinstance(models, (Sequence, Mapping)):
        raise TypeError(
            f"models: got {type(models).__name__}, need names or a mapping of names to memories"
        )
    wanted = dict(models) if isinstance(models, Mapping) else {name: name for name in models}
    if not wanted:
        raise ValueError("models: got none, need at least one")
    chosen: dict[str, Builder] = {}
    for name, model in wanted.items():
        if isinstance(model, str):
            if model not in MODELS:
                raise ValueError(f"models: got {model!r}, need one of {', '.join(MODELS)}")
            chosen[name] = MODELS[model]
        elif hasattr(model, "retrieve") or hasattr(model, "update"):
            chosen[name] = partial(_itself, model)
        else:
            raise TypeError(
                f"models: {name!r} is a {type(model).__name__}, need an object with retrieve or "
                "update"
            )
    return chosen


def _itself(memory: Any, patterns: FloatArray, given: Settings) -> Any:
    return memory


def _targets(
    targets: npt.ArrayLike | None, stored: FloatArray, asked: FloatArray
) -> npt.NDArray[np.intp]:
    if targets is None:
        if len(asked) == len(stored):
            return np.arange(len(stored))
        return np.asarray(_squared_distances(asked, stored).argmin(axis=1))
    indices = np.asarray(targets)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"targets: got dtype {indices.dtype}, need integers")
    if indices.shape != (len(asked),):
        raise ValueError(f"targets: got shape {indices.shape}, need ({len(asked)},), one per query")
    if indices.min() < 0 or indices.max() >= len(stored):
        raise ValueError(
            f"targets: got {indices.min()} to {indices.max()}, need 0 to {len(stored) - 1}"
        )
    return indices.astype(np.intp)


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * a @ b.T, 0.0))


def _compared(
    name: str,
    build: Builder,
    stored: FloatArray,
    asked: FloatArray,
    wanted: npt.NDArray[np.intp],
    given: Settings,
    max_steps: int,
) -> Compared:
    memory: Any = None
    states, remark = np.full_like(asked, np.nan), ""
    steps, converged = np.zeros(len(asked), np.int64), np.zeros(len(asked), np.bool_)
    built = started = time.perf_counter()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            memory = build(stored, given)
            built = time.perf_counter()
            if hasattr(memory, "retrieve"):
                found = memory.retrieve(asked, max_steps=max_steps)
                states, steps, converged = found.states, found.steps, found.converged
            else:
                states, steps = memory.update(asked), np.ones(len(asked), np.int64)
        except ValueError as refusal:
            remark = str(refusal)
    ended = time.perf_counter()
    remark = "; ".join(dict.fromkeys([*(str(warning.message) for warning in heard), remark]))
    originals = getattr(memory, "stored", stored)
    error = np.square(states.astype(np.float64) - originals[wanted]).sum(axis=1)
    return Compared(
        name,
        states,
        error,
        _is_nearest(states, originals, wanted),
        steps,
        converged,
        built - started,
        ended - built,
        remark.strip("; "),
    )


def _is_nearest(
    states: FloatArray, stored: FloatArray, wanted: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Return whether no other pattern is as near as the one wanted; False for NaN."""
    distances = _squared_distances(states, stored)
    lines = np.arange(len(states))
    of_wanted = distances[lines, wanted]
    distances[lines, wanted] = np.inf
    return np.asarray(of_wanted < distances.min(axis=1))
