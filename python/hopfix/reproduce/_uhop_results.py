"""What the U-Hop experiments gave: means and spreads over seeds, verdicts, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hopfix.reproduce._uhop_experiments import PLACEMENTS, QUERIES, Key, Result, Settings
from hopfix.reproduce._uhop_models import MODELS

__all__ = ["PUBLISHED", "Comparison", "Results"]

PUBLISHED = {
    "softmax": {100: "9.5", 500: "36, 21"},
    "sparsemax": {100: "12.5", 500: "41, 26"},
    "uhop_average_faithful": {100: "15", 500: "44, 22"},
    "uhop_maximum_faithful": {100: "1.2", 500: "2.5, 2.1"},
    "neg_sq_l2": {100: "0.02", 500: "0.017"},
}
"""Errors measured by running the published code on the same images (MNIST, half of the pixels
masked and the others doubled, β = 1), one or two runs each; {model: {patterns: errors}}."""


@dataclass(frozen=True)
class Comparison:
    """The best learned similarity beside the best unlearned one, on one task.

    The best of each are those of least mean, found on the same seeds: a little too good both.

    Attributes:
        images, query, placement, size: the task.
        softmax: mean error of the dot product with softmax.
        unlearned, unlearned_error: the best model without Stage I (random W among them).
        learned, learned_error: the best model with it.
        difference, uncertainty: mean over seeds of learned − unlearned, and its standard error.
    """

    images: str
    query: str
    placement: str
    size: int
    softmax: float
    unlearned: str
    unlearned_error: float
    learned: str
    learned_error: float
    difference: float
    uncertainty: float

    @property
    def verdict(self) -> str:
        """Which is better: "U-Hop", "unlearned", or "tie" (within two standard errors, or 0.01)."""
        if abs(self.difference) <= max(2 * self.uncertainty, 0.01):
            return "tie"
        return "U-Hop" if self.difference < 0 else "unlearned"


@dataclass
class Results:
    """Everything measured so far.

    Attributes:
        settings: what was asked for.
        seeds: as many as were asked for.
        betas: {images: {(query, model): chosen β}}.
        values: the numbers of each `Key`, one a seed.
        seconds: wall-clock time so far.
        finished: False if it was interrupted or ran out of time.
    """

    settings: Settings
    seeds: int
    betas: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    values: dict[Key, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    def add(self, results: Iterable[Result]) -> None:
        """Add the numbers of one seed."""
        for key, value in results:
            self.values.setdefault(key, []).append(value)

    def curve(self, **wanted: str) -> list[tuple[float, list[float]]]:
        """Return (at, numbers of the seeds) of what matches the fields of `Key` given, by `at`."""
        return sorted(
            (key.at, values)
            for key, values in self.values.items()
            if all(getattr(key, name) == value for name, value in wanted.items())
        )

    def errors(self, images: str, query: str, model: str, placement: str, size: int) -> list[float]:
        """Return the errors of the capacity experiment, one a seed; none if not measured."""
        key = Key("capacity", "error", images, query, model, placement, size)
        return self.values.get(key, [])

    def image_sets(self, experiment: str = "capacity") -> list[str]:
        """Return the names of the image sets with results, in the order of measurement."""
        return list(
            dict.fromkeys(key.images for key in self.values if key.experiment == experiment)
        )

    def comparisons(self, placement: str, size: int) -> Iterator[Comparison]:
        """Yield a comparison for every set of images and kind of query measured in full."""
        for images in self.image_sets():
            for query in QUERIES:
                errors = {
                    m.name: self.errors(images, query, m.name, placement, size) for m in MODELS
                }
                if all(errors.values()):
                    yield _compared(images, query, placement, size, errors)

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: curves of means and deviations, and the comparisons."""
        compared = [
            asdict(c) | {"verdict": c.verdict}
            for placement in PLACEMENTS
            for size in self.settings.sizes
            for c in self.comparisons(placement, size)
        ]
        return {
            "settings": asdict(self.settings),
            "seeds": self.seeds,
            "finished": self.finished,
            "seconds": round(self.seconds, 1),
            "published_code": PUBLISHED,
            "betas": {
                images: {query: _of_query(chosen, query) for query in QUERIES}
                for images, chosen in self.betas.items()
            },
            "comparisons": [{k: _rounded(v) for k, v in entry.items()} for entry in compared],
            "curves": [_summary(place, curve) for place, curve in self._curves()],
        }

    def _curves(self) -> Iterator[tuple[dict[str, Any], list[tuple[float, list[float]]]]]:
        """Yield everything that a curve is of, and the curve."""
        for place in dict.fromkeys(key[:-1] for key in self.values):
            wanted = dict(zip(Key._fields[:-1], place, strict=True))
            yield wanted, self.curve(**wanted)


def _summary(place: dict[str, Any], curve: list[tuple[float, list[float]]]) -> dict[str, Any]:
    """Return a curve as the means and standard deviations of its seeds."""
    return place | {
        "at": [at for at, _ in curve],
        "mean": [_rounded(float(np.mean(values))) for _, values in curve],
        "std": [_rounded(_deviation(values)) for _, values in curve],
        "seeds": min(len(values) for _, values in curve),
    }


def _compared(
    images: str, query: str, placement: str, size: int, errors: dict[str, list[float]]
) -> Comparison:
    seeds = min(map(len, errors.values()))
    means = {name: float(np.mean(values[:seeds])) for name, values in errors.items()}
    learned = min((m.name for m in MODELS if m.learned), key=means.__getitem__)
    unlearned = min((m.name for m in MODELS if not m.learned), key=means.__getitem__)
    differences = np.subtract(errors[learned][:seeds], errors[unlearned][:seeds])
    uncertainty = _deviation(differences.tolist()) / np.sqrt(seeds)
    return Comparison(
        images, query, placement, size, means["softmax"], unlearned, means[unlearned], learned,
        means[learned], float(differences.mean()), float(np.nan_to_num(uncertainty)),
    )  # fmt: skip


def _of_query(chosen: dict[tuple[str, str], float], query: str) -> dict[str, float]:
    return {model: float(f"{beta:.4g}") for (q, model), beta in chosen.items() if q == query}


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _rounded(value: Any) -> Any:
    """Four digits, and null for what is not a number."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if np.isfinite(value) else None
