"""Learning with U-Hop in small: patch classifiers of digits, and forecasters of time series.

    python bench/papers/uhop_learning.py [--output bench/results] [--quick] [--workers 2]

The questions of Wu, Hu, Hsiao and Liu, "Uniform Memory Retrieval with Larger Capacity for Modern
Hopfield Models" (2024): the largest training accuracy by sample size (Figure 4), test accuracy
(Table 1), convergence (Figure 6) and forecasts (Table 8), on data that packages ship instead of
CIFAR, Tiny ImageNet and the ETT series. Writes uhop_learning.json and .png. Every finished run is
in the former at once; interrupted or not, runs with the same settings are not repeated.

Needs hopfix[bench].
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import learning_report
import torch
from learning_data import SERIES, Series, digits, windows
from learning_models import (
    ABSENT,
    ARMS,
    PUBLISHED,
    SERIES_ARMS,
    UHOP,
    Arm,
    Forecaster,
    PatchClassifier,
    train,
)
from results import rounded, write_json
from torch import Tensor
from torch.nn import functional

Run = dict[str, Any]

TITLE = "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield Models: learning"


@dataclass(frozen=True)
class Settings:
    """What is run; sizes, rates and epochs are the same for all arms."""

    counts: tuple[int, ...] = (500, 1000, 2000, 4000)
    seeds: tuple[int, ...] = (0, 1, 2)
    separations: tuple[str, ...] = ("softmax", "sparsemax")
    epochs: int = 25
    batch: int = 128
    rate: float = 0.003
    patch: int = 7
    size: int = 32
    heads: int = 4
    sweep_count: int = 1000
    sweep_rates: tuple[float, ...] = (0.003, 0.03, 0.3)
    published_sweep_rates: tuple[float, ...] = (0.01, 0.1, 1.0)
    forecast_epochs: int = 20
    forecast_batch: int = 64
    forecast_rate: float = 0.001
    series: tuple[str, ...] = tuple(series.name for series in SERIES)


QUICK = Settings(
    counts=(100, 200), seeds=(0, 1), separations=("softmax",), epochs=2, size=16, sweep_count=100,
    sweep_rates=(0.03,), published_sweep_rates=(0.1,), forecast_epochs=1,
    series=(SERIES[0].name,),
)  # fmt: skip


def digit_runs(settings: Settings) -> Iterator[Run]:
    """Yield what tells the runs with digits apart."""
    for count in settings.counts:
        for separation in settings.separations:
            for arm in ARMS:
                for seed in settings.seeds:
                    yield digit_run(count, separation, arm, seed)


def sweep_runs(settings: Settings) -> Iterator[Run]:
    """Yield those with other rates of Stage I, in the first ten epochs and in all."""
    arms = [replace(UHOP, rate=r, epochs=e) for r in settings.sweep_rates for e in (10, 25)]
    arms += [replace(PUBLISHED, rate=rate) for rate in settings.published_sweep_rates]
    for arm in arms:
        for seed in settings.seeds:
            yield digit_run(settings.sweep_count, "softmax", arm, seed) | {"experiment": "sweep"}


def digit_run(count: int, separation: str, arm: Arm, seed: int) -> Run:
    """Return what tells a run apart from others."""
    return {
        "experiment": "digits", "count": count, "separation": separation, "seed": seed,
        "arm": asdict(arm),
    }  # fmt: skip


def series_runs(settings: Settings) -> Iterator[Run]:
    """Yield what tells the runs with time series apart."""
    cases = [(sep, arm) for sep in settings.separations for arm in SERIES_ARMS]
    cases.append((settings.separations[0], ABSENT))
    for series in SERIES:
        if series.name not in settings.series:
            continue
        for separation, arm in cases:
            for seed in settings.seeds:
                yield {
                    "experiment": "series", "series": asdict(series), "arm": asdict(arm),
                    "separation": separation, "seed": seed,
                }  # fmt: skip


def perform(run: Run, settings: Settings) -> Run:
    """Train one model; return the run with what came out."""
    started = time.process_time()
    torch.manual_seed(run["seed"])
    work = forecast if run["experiment"] == "series" else classify
    found = work(run, Arm(**run["arm"]), settings)
    return run | found | {"cpu_seconds": time.process_time() - started}


def classify(run: Run, arm: Arm, settings: Settings) -> Run:
    """Train a classifier of digits; curves have one number an epoch."""
    data = digits(run["count"], run["seed"])
    model = PatchClassifier(
        arm, run["separation"], data.x.shape[-1], settings.patch, settings.size, settings.heads
    )
    generator = torch.Generator().manual_seed(run["seed"])
    curves: dict[str, list[float]] = {"train_loss": [], "train_accuracy": [], "test_accuracy": []}
    losses: list[float] = []
    right: list[int] = []

    def loss_of(scores: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(scores, labels)
        losses.append(float(loss.detach()) * len(labels))
        right.append(int((scores.argmax(1) == labels).sum()))
        return loss

    @torch.no_grad()
    def after_epoch() -> None:
        curves["train_loss"].append(sum(losses) / len(data.x))
        curves["train_accuracy"].append(sum(right) / len(data.x))
        correct = model(data.test_x).argmax(1) == data.test_y
        curves["test_accuracy"].append(float(correct.float().mean()))
        losses.clear()
        right.clear()

    separation_losses = train(
        model, arm, lambda size: data.batches(size, generator), loss_of, batch=settings.batch,
        epochs=settings.epochs, rate=settings.rate, after_epoch=after_epoch,
    )  # fmt: skip
    return curves | {"separation_loss": [*separation_losses[:1], *separation_losses[-1:]]}


def forecast(run: Run, arm: Arm, settings: Settings) -> Run:
    """Train a forecaster; errors are of standardised values, after the last epoch."""
    series = Series(**run["series"])
    data = windows(series)
    model = Forecaster(
        arm, run["separation"], series.window, series.horizon, series.patch, settings.size,
        settings.heads,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(run["seed"])
    curve: list[float] = []

    @torch.no_grad()
    def after_epoch() -> None:
        curve.append(float(functional.mse_loss(model(data.test_x), data.test_y)))

    losses = train(
        model, arm, lambda size: data.batches(size, generator), functional.mse_loss,
        batch=settings.forecast_batch, epochs=settings.forecast_epochs,
        rate=settings.forecast_rate, after_epoch=after_epoch,
    )  # fmt: skip
    with torch.no_grad():
        absolute = float((model(data.test_x) - data.test_y).abs().mean())
    return {
        "test_mse": curve, "test_mae": absolute, "separation_loss": [*losses[:1], *losses[-1:]],
    }  # fmt: skip


def kept(path: Path, settings: Run, wanted: list[Run]) -> list[Run]:
    """Return the finished runs of a file that are wanted and had the same settings."""
    if not path.exists():
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    if before.get("settings") != settings:
        return []
    return [run for run in before["runs"] if any(is_of(run, key) for key in wanted)]


def is_of(run: Run, key: Run) -> bool:
    """Return whether a finished run is the one with this key."""
    return all(run.get(name) == value for name, value in key.items())


def write(path: Path, settings: Run, runs: list[Run], finished: bool) -> Run:
    """Write all that is known, replacing the file in one step; return it."""
    document: Run = {
        "title": TITLE,
        "finished": finished,
        "machine": learning_report.machine(),
        "settings": settings,
        "cpu_seconds": sum(run["cpu_seconds"] for run in runs),
        "runs": runs,
    }
    if finished:
        document |= learning_report.summary(runs)
    write_json(path, rounded(document))
    return document


def start_worker() -> None:
    """Leave a worker one thread: the models are small, more threads make them slower."""
    torch.set_num_threads(1)


def perform_all(
    path: Path, settings: Settings, wanted: list[Run], runs: list[Run], workers: int
) -> None:
    """Do the runs that are wanted and not there, writing every one that is finished."""
    recorded = json.loads(json.dumps(asdict(settings)))
    left = [key for key in wanted if not any(is_of(run, key) for run in runs)]
    os.environ["HOPFIX_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, get_context("spawn"), start_worker) as pool:
        pending = {pool.submit(perform, key, settings) for key in left}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                runs += [future.result() for future in done]
                write(path, recorded, runs, finished=False)
                print(f"{len(runs)} of {len(wanted)} runs", file=sys.stderr)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main() -> None:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--quick", action="store_true", help="a small version, under a minute")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    chosen = parser.parse_args()
    settings = QUICK if chosen.quick else Settings()
    wanted = [*series_runs(settings), *sweep_runs(settings), *digit_runs(settings)]
    wanted = json.loads(json.dumps(wanted))
    path = chosen.output / "uhop_learning.json"
    recorded = json.loads(json.dumps(asdict(settings)))
    runs = kept(path, recorded, wanted)
    perform_all(path, settings, wanted, runs, chosen.workers)
    runs.sort(key=lambda run: next(i for i, key in enumerate(wanted) if is_of(run, key)))
    document = write(path, recorded, runs, finished=True)
    learning_report.draw(runs).savefig(path.with_suffix(".png"), dpi=110)
    print(learning_report.markdown(document))


if __name__ == "__main__":
    main()
