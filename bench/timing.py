"""Competitors timed in turns, in one process, on equal numbers of threads.

What makes the ratios fair:

* OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, if set, would slow the NumPy peer down:
  `unset_openblas_overrides` starts the process anew without them.
* Every round gives each competitor one turn, so slow drifts of the machine hit all alike; a ratio
  is the median over rounds of the ratio within the round.
* A turn starts with a pause, in which the idle threads of the competitor before stop spinning
  (OpenBLAS's spin for 26 ms), and, unless one call fills it, with one that is not counted.
* Where one call of each takes longer than `LONG` seconds together, these calls are the only round;
  those that take under a tenth of it together are repeated, since what a first call does besides
  is little of the others only.
* Rounds during which other processes took more than `MAX_OTHERS` of the CPUs in use are thrown
  away and repeated while the budget lasts; what is left of the disturbance is reported.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PAUSE = 0.03
MAX_OTHERS = 0.15
MIN_ROUNDS = 3
LONG = 5.0
_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def unset_openblas_overrides() -> None:
    """Replace this process by one without the overrides, which OpenBLAS reads when loaded."""
    if any(name in os.environ for name in _OVERRIDES):
        clean = {k: v for k, v in os.environ.items() if k not in _OVERRIDES}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean)


def set_threads(threads: int) -> None:
    """Give torch and NumPy's BLAS that many threads; hopfix takes its number per network."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=threads, user_api="blas")
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Timing:
    """Seconds per call of one competitor: best, median and quartiles over rounds."""

    best: float
    median: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Comparison:
    """What `alternate` measured.

    Attributes:
        timings: per competitor.
        ratios: {name: time over the first competitor's}, each a median over rounds.
        best_ratios: the same of the best times, which suffer least from other processes.
        rounds: rounds that count.
        others: the share of the CPUs in use that other processes took in those rounds.
        answers: {name: what its first call returned}.
        first: {name: seconds of its first call, with what is computed once}.
    """

    timings: dict[str, Timing]
    ratios: dict[str, float]
    best_ratios: dict[str, float]
    rounds: int
    others: float
    answers: dict[str, Any]
    first: dict[str, float]


class OtherLoad:
    """CPU seconds that other processes (and other virtual machines) take, from /proc/stat.

    Elsewhere than on Linux, always 0.
    """

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        own = time.process_time()
        try:
            with open("/proc/stat") as file:
                fields = [int(x) for x in file.readline().split()[1:9]]
        except OSError:
            return own, own
        user, nice, system, _, _, irq, softirq, steal = fields
        ticks = user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK"), own

    def seconds(self) -> float:
        """Return CPU seconds of others since construction."""
        busy, own = self._now()
        return max(0.0, busy - self._start[0] - (own - self._start[1]))


class Patience:
    """Waits for a quiet machine until so many seconds have gone by in waiting."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.spent = 0.0

    def wait(self) -> None:
        """Return when others use under 10 % of a CPU, or when patience ends."""
        start = time.perf_counter()
        while self.left > time.perf_counter() - start:
            load = OtherLoad()
            time.sleep(0.2)
            if load.seconds() <= 0.02:
                break
        waited = time.perf_counter() - start
        self.left -= waited
        self.spent += waited


def _turn(function: Callable[[], object], calls: int) -> float:
    time.sleep(PAUSE)
    if calls > 1:
        function()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def _first_calls(
    functions: Mapping[str, Callable[[], object]],
) -> tuple[dict[str, float], dict[str, Any], float]:
    """Call each once: return seconds, answers, and the share of the CPUs that others took."""
    load, start = OtherLoad(), time.perf_counter()
    seconds, answers = {}, {}
    for name, function in functions.items():
        time.sleep(PAUSE)
        began = time.perf_counter()
        answers[name] = function()
        seconds[name] = time.perf_counter() - began
    return seconds, answers, _share(load, start)


def _share(load: OtherLoad, start: float) -> float:
    return load.seconds() / ((os.cpu_count() or 1) * (time.perf_counter() - start))


def _calls_per_turn(function: Callable[[], object], min_time: float) -> int:
    # By the fastest call: a mean with a stall in it would leave turns of a single, cold call.
    time.sleep(PAUSE)
    start = now = time.perf_counter()
    fastest = float("inf")
    while fastest == float("inf") or now - start < min_time / 4:
        function()
        before, now = now, time.perf_counter()
        fastest = min(fastest, now - before)
    return max(1, round(min_time / fastest))


def _one_round(
    functions: Mapping[str, Callable[[], object]], calls: Mapping[str, int]
) -> tuple[dict[str, float], float]:
    """Return seconds per call, and the share of the CPUs that others took meanwhile."""
    load, start = OtherLoad(), time.perf_counter()
    seconds = {name: _turn(function, calls[name]) for name, function in functions.items()}
    return seconds, _share(load, start)


def alternate(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    min_time: float,
    budget: float = float("inf"),
) -> Comparison:
    """Time the functions in turns.

    Args:
        functions: competitors; ratios are to the first.
        rounds: rounds wanted; at least MIN_ROUNDS are made, more only within the budget.
        min_time: seconds that a turn lasts at least.
        budget: seconds after which no further round starts.
    """
    deadline = time.perf_counter() + budget
    first, answers, others = _first_calls(functions)
    if sum(first.values()) > LONG:
        return _summary([first | _repeat_short(functions, first)], others, answers, first)
    calls = {name: _calls_per_turn(function, min_time) for name, function in functions.items()}
    made: list[tuple[float, dict[str, float]]] = []
    quiet = 0
    while quiet < rounds and (len(made) < MIN_ROUNDS or time.perf_counter() < deadline):
        seconds, others = _one_round(functions, calls)
        made.append((others, seconds))
        quiet += others <= MAX_OTHERS
    made.sort(key=lambda entry: entry[0])
    kept = made[: max(MIN_ROUNDS, quiet)]
    others = statistics.mean(o for o, _ in kept)
    return _summary([s for _, s in kept], others, answers, first)


def _repeat_short(
    functions: Mapping[str, Callable[[], object]], first: Mapping[str, float]
) -> dict[str, float]:
    """Call again, shortest first, as long as that takes under a tenth of all first calls."""
    seconds, left = {}, sum(first.values()) / 10
    for name in sorted(first, key=first.__getitem__):
        left -= first[name]
        if left < 0:
            break
        seconds[name] = _turn(functions[name], 1)
    return seconds


def _summary(
    rounds: list[dict[str, float]], others: float, answers: dict[str, Any], first: dict[str, float]
) -> Comparison:
    reference = next(iter(rounds[0]))
    timings, ratios = {}, {}
    for name in rounds[0]:
        seconds = sorted(entry[name] for entry in rounds)
        timings[name] = Timing(seconds[0], statistics.median(seconds), *_quartiles(seconds))
        ratios[name] = statistics.median(entry[name] / entry[reference] for entry in rounds)
    best = {name: timing.best / timings[reference].best for name, timing in timings.items()}
    return Comparison(timings, ratios, best, len(rounds), others, answers, first)


def _quartiles(seconds: list[float]) -> tuple[float, float]:
    if len(seconds) == 1:
        return seconds[0], seconds[0]
    lower, _, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return lower, upper


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean; NaN of nothing."""
    return statistics.geometric_mean(values) if values else float("nan")
