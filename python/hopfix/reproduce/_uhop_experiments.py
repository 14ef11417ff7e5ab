"""The experiments of U-Hop: memory capacity, noise robustness, and Stage I step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hopfix import queries
from hopfix.datasets import Images
from hopfix.kernel import SeparationKernel
from hopfix.reproduce._uhop_models import (
    MODELS,
    Kernel,
    Memory,
    Model,
    Pixels,
    fitted,
    random_start,
)

__all__ = ["PLACEMENTS", "QUERIES", "TUNING_SEEDS", "Key", "Laboratory", "Settings"]

QUERIES = {
    "random_mask_doubled": "half of the pixels masked, the others doubled",
    "random_mask": "half of the pixels masked",
    "lower_half": "lower half erased",
    "gaussian": "Gaussian noise",
}
"""Kinds of queries of the capacity experiment."""

PLACEMENTS = {"published": "β = 1", "chosen": "β chosen"}
"""β = 1 multiplies outside the separation in the published code, where it does nothing."""

TUNING_SEEDS = (1_000_001, 1_000_002, 1_000_003)
"""Of the memory sets that β is chosen on, which no result is measured on."""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        sizes: numbers of patterns M of the capacity experiment; the published ones.
        noise_levels: the published ones.
        gaussian_level: of the Gaussian queries of the capacity experiment, and of those that β is
            chosen on.
        noise_size: patterns of the noise experiment.
        stage_one_images: sets of images of the experiment on Stage I.
        stage_one_size: patterns of the experiment on Stage I.
        stage_one_steps: its steps; 0 is the random matrix it starts from.
        steps: steps of Stage I in the other experiments.
        noise_maximum_steps: steps of the faithful maximum loss in the noise experiment.
        tuning_size: patterns of the memory sets that β is chosen on.
        betas: what it is chosen from.
    """

    sizes: tuple[int, ...] = (10, 20, 30, 50, 100, 200, 500)
    noise_levels: tuple[float, ...] = (0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 1.0, 1.2, 1.4, 2.0)
    gaussian_level: float = 0.5
    noise_size: int = 100
    stage_one_images: tuple[str, ...] = ("digits", "mnist")
    stage_one_size: int = 100
    stage_one_steps: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
    steps: int = 100
    noise_maximum_steps: int = 800
    tuning_size: int = 100
    betas: tuple[float, ...] = field(
        default_factory=lambda: tuple(float(10 ** (k / 2)) for k in range(-6, 9))
    )

    @staticmethod
    def quick() -> Settings:
        """Return settings that take a second on digits."""
        return Settings(
            sizes=(10, 40),
            noise_levels=(0.0, 0.3, 2.0),
            noise_size=20,
            stage_one_size=20,
            stage_one_steps=(0, 1, 5, 20),
            steps=20,
            noise_maximum_steps=30,
            tuning_size=20,
            betas=(0.1, 1.0, 10.0, 100.0),
        )


class Key(NamedTuple):
    """What a number is: the error, or the loss of Stage I, of one seed."""

    experiment: str  # "capacity", "noise", "stage_one"
    measure: str  # "error", "loss"
    images: str
    query: str
    model: str
    placement: str
    at: float  # patterns, noise level, steps


Result = tuple[Key, float]


class Laboratory:
    """The experiments on one set of images. Every result depends on the seed alone.

    Attributes:
        images: the set.
        settings: what is measured.
        betas: the chosen β for (kind of query, name of the model), once `choose_betas` is through.
    """

    def __init__(self, images: Images, settings: Settings, num_threads: int | None = None) -> None:
        self.images = images
        self.settings = settings
        self.betas: dict[tuple[str, str], float] = {}
        self._threads = num_threads

    def choose_betas(self) -> dict[tuple[str, str], float]:
        """Set `betas` to the best of the settings, and return them.

        Best is the least error on memory sets of their own, averaged; of several β with the same
        error, the middle one. The rule and the choices are the same for all models.
        """
        settings = self.settings
        totals: dict[tuple[str, str], Pixels] = {}
        for seed in TUNING_SEEDS:
            patterns = self.images.sample(settings.tuning_size, seed)
            asked = self._queries(patterns, seed)
            for model, memory in self._memories(patterns, seed):
                for query, pixels in asked.items():
                    errors = np.array([memory.error(pixels, b) for b in settings.betas])
                    key = (query, model.name)
                    totals[key] = totals.get(key, np.zeros(len(errors))) + errors
        self.betas = {key: settings.betas[_middle_of_least(e)] for key, e in totals.items()}
        return self.betas

    def capacity(self, size: int, seed: int) -> Iterator[Result]:
        """Yield the errors of a memory of `size` patterns for every kind of query."""
        patterns = self.images.sample(size, seed)
        asked = self._queries(patterns, seed)
        for model, memory in self._memories(patterns, seed):
            for query, pixels in asked.items():
                for placement, beta in _placements(self.betas[query, model.name]):
                    key = Key(
                        "capacity", "error", self.images.name, query, model.name, placement, size
                    )
                    yield key, memory.error(pixels, beta)

    def noise(self, seed: int) -> Iterator[Result]:
        """Yield the errors for noise of every level, of a deviation per pixel and of a norm."""
        settings = self.settings
        patterns = self.images.sample(settings.noise_size, seed)
        kinds = {"gaussian": queries.gaussian_noise, "noise_of_norm": queries.noise_of_norm}
        asked = {
            (query, level): disturb(patterns, level, seed=seed)
            for query, disturb in kinds.items()
            for level in settings.noise_levels
        }
        for model, memory in self._memories(patterns, seed, published_capacity=False):
            for (query, level), pixels in asked.items():
                place = (self.images.name, query, model.name)
                for placement, beta in _placements(self.betas["gaussian", model.name]):
                    yield (
                        Key("noise", "error", *place, placement, level),
                        memory.error(pixels, beta),
                    )

    def stage_one(self, seed: int) -> Iterator[Result]:
        """Yield the loss and the error, masked and doubled, after more and more steps."""
        query = "random_mask_doubled"
        patterns = self.images.sample(self.settings.stage_one_size, seed)
        pixels = self._queries(patterns, seed)[query]
        start = random_start(patterns.shape[1], seed)
        for model in MODELS:
            if not model.learned or model.kernel is None:
                continue
            learning = _learning_set(model.kernel, patterns)
            for steps in self.settings.stage_one_steps:
                stage_one = self._fitted(model.kernel, learning, steps, start)
                memory = Memory(model, patterns, stage_one.matrix, self._threads)
                place = (self.images.name, query, model.name)
                yield Key("stage_one", "loss", *place, "", steps), stage_one.loss
                for placement, beta in _placements(self.betas[query, model.name]):
                    key = Key("stage_one", "error", *place, placement, steps)
                    yield key, memory.error(pixels, beta)

    def _queries(self, patterns: Pixels, seed: int) -> dict[str, Pixels]:
        """Return one query a pattern, of each kind."""
        level = self.settings.gaussian_level
        return {
            "random_mask_doubled": queries.random_mask(patterns, rescale=True, seed=seed),
            "random_mask": queries.random_mask(patterns, seed=seed),
            "lower_half": queries.lower_half_erased(patterns, self.images.image_shape),
            "gaussian": queries.gaussian_noise(patterns, level, seed=seed),
        }

    def _memories(
        self, patterns: Pixels, seed: int, published_capacity: bool = True
    ) -> Iterator[tuple[Model, Memory]]:
        """Yield every model with the patterns stored, one at a time."""
        settings = self.settings
        start = random_start(patterns.shape[1], seed)
        for model in MODELS:
            matrix = None
            if model.kernel is not None and not model.learned:
                matrix = start
            elif model.kernel is not None:
                noise = model.kernel == Kernel("maximum", True) and not published_capacity
                steps = settings.noise_maximum_steps if noise else settings.steps
                learning = _learning_set(model.kernel, patterns) if published_capacity else patterns
                matrix = self._fitted(model.kernel, learning, steps, start).matrix
            yield model, Memory(model, patterns, matrix, self._threads)

    def _fitted(
        self, kernel: Kernel, learning: Pixels, steps: int, start: Pixels
    ) -> SeparationKernel:
        return fitted(kernel, learning, steps=steps, start=start, num_threads=self._threads)


def _learning_set(kernel: Kernel, patterns: Pixels) -> Pixels:
    """Return what Stage I learns from: the published code takes the first half in capacity runs."""
    return patterns[: len(patterns) // 2] if kernel.faithful else patterns


def _placements(chosen: float) -> tuple[tuple[str, float], ...]:
    return (("published", 1.0), ("chosen", chosen))


def _middle_of_least(values: Pixels) -> int:
    """Return the middle of the indices whose value is least, up to rounding."""
    least = np.flatnonzero(values <= values.min() * (1 + 1e-6) + 1e-9)
    return int(least[(len(least) - 1) // 2])
