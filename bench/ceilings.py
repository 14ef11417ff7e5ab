"""What this machine can do, measured in the process and the run that use the figures.

Each figure is the best of many short trials by the best tool at hand: a ceiling is not an average.
`python bench/ceilings.py` prints them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from timing import PAUSE, set_threads, unset_openblas_overrides

import hopfix


@dataclass(frozen=True)
class Ceilings:
    """Rates of one machine: flop/s and exp/s by dtype name, bytes/s of memory, cache in bytes."""

    gemm: dict[str, float]
    exp: dict[str, float]
    bandwidth: float
    cache: int

    def floor(self, dtype: str, n: int, d: int, batch: int) -> float:
        """Return the least seconds an update of `batch` states can take.

        4Ndb flops and Nb exponentials, or one pass over the patterns, whichever is longer. The
        pass counts only for patterns that no cache holds.
        """
        arithmetic = 4 * n * d * batch / self.gemm[dtype] + n * batch / self.exp[dtype]
        size = n * d * np.dtype(dtype).itemsize
        return max(arithmetic, size / self.bandwidth if size > self.cache else 0.0)

    def highest(self, other: Ceilings) -> Ceilings:
        """Return the higher of two measurements, rate by rate."""
        return Ceilings(
            {k: max(v, other.gemm[k]) for k, v in self.gemm.items()},
            {k: max(v, other.exp[k]) for k, v in self.exp.items()},
            max(self.bandwidth, other.bandwidth),
            self.cache,
        )


def best_seconds(function: Callable[[], object], duration: float) -> float:
    """Return the least seconds a call takes, over calls that last `duration` together."""
    time.sleep(PAUSE)
    function()
    best, end = float("inf"), time.perf_counter() + duration
    while (start := time.perf_counter()) < end:
        function()
        best = min(best, time.perf_counter() - start)
    return best


def gemm_rate(dtype: str, duration: float = 0.4) -> float:
    """Return flop/s of the better of NumPy's and torch's matrix product, large and tile-shaped."""
    rng = np.random.default_rng(0)
    best = 0.0
    for m, k, n in [(1536, 1536, 1536), (1000, 64, 4096), (4096, 512, 1000)]:
        a = rng.random((m, k)).astype(dtype)
        b = rng.random((k, n)).astype(dtype)
        out = np.empty((m, n), dtype)
        ta, tb, tout = (torch.from_numpy(x) for x in (a, b, out))
        products = (
            lambda a=a, b=b, out=out: np.matmul(a, b, out=out),
            lambda a=ta, b=tb, out=tout: torch.matmul(a, b, out=out),
        )
        seconds = min(best_seconds(product, duration / 6) for product in products)
        best = max(best, 2 * m * k * n / seconds)
    return best


def exp_rate(dtype: str, threads: int, duration: float = 0.4) -> float:
    """Return exponentials/s of the best of torch.exp, numpy.exp and a one-dimensional network.

    The network's energy does a little more than exponentials, so its rate is a lower bound on
    that of the kernel inside, yet often the highest of the three.
    """
    rng = np.random.default_rng(0)
    best = 0.0
    for size in (1 << 14, 1 << 18, 1 << 20):
        x = -rng.random(size).astype(dtype)
        out = np.empty_like(x)
        tx, tout = torch.from_numpy(x), torch.from_numpy(out)
        candidates = (
            lambda x=x, out=out: np.exp(x, out=out),
            lambda x=tx, out=tout: torch.exp(x, out=out),
        )
        seconds = min(best_seconds(call, duration / 8) for call in candidates)
        best = max(best, size / seconds)
    patterns = rng.normal(size=(9600, 1)).astype(dtype)
    states = rng.normal(size=(1024, 1)).astype(dtype)
    network = hopfix.Hopfield(patterns, num_threads=threads)
    seconds = best_seconds(lambda: network.energy(states), duration / 4)
    return max(best, len(patterns) * len(states) / seconds)


def bandwidth(duration: float = 0.6) -> float:
    """Return bytes/s between memory and the cores: the best of a sum, a copy and a triad.

    Bytes are those of the arrays named; what a cache fetches before it writes is not counted.
    """
    size = 32 << 20
    a, b, c = (torch.ones(size) for _ in range(3))
    trials = {
        4 * size: lambda: b.sum(),
        8 * size: lambda: a.copy_(b),
        12 * size: lambda: torch.add(b, c, alpha=2.0, out=a),
    }
    return max(n / best_seconds(call, duration / 3) for n, call in trials.items())


def last_level_cache() -> int:
    """Return the bytes of the largest cache that Linux reports, 32 MiB where it reports none."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        sizes.append(int(text.rstrip("KM")) << (20 if text.endswith("M") else 10))
    return max(sizes, default=32 << 20)


def measure(threads: int) -> Ceilings:
    """Measure everything; about 3 seconds."""
    names = ("float32", "float64")
    return Ceilings(
        {name: gemm_rate(name) for name in names},
        {name: exp_rate(name, threads) for name in names},
        bandwidth(),
        last_level_cache(),
    )


if __name__ == "__main__":
    unset_openblas_overrides()
    set_threads(2)
    for key, value in asdict(measure(2)).items():
        print(f"{key:<10} {value}")
