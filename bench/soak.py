"""Random networks through every search, for hours if wanted: `python bench/soak.py`.

Options: `[--first 0] [--count 1000] [--minutes M] [--record soak.jsonl] [--output bench/results]`.
Each network (d <= 4, N <= 9; equal and unequal norms, log-weights, near-duplicates, beta from 0.1
to 200) goes through "cells", "faces", "starts" and `follow`, and every statement is compared with
every other:

* a list said to be proved holds all certified points of all others, and of other proved lists;
* its degree sum is 1 and its counts fulfil the Morse inequalities;
* points on branches followed from it, if certified, are on the proved list at the other end;
* one thread and two, an executor, and all instruction-set levels of this machine, give the same
  list.

What contradicts another is a finding: printed, recorded, and the exit code is 1. The record is a
line per network; run again, the soak goes on where it stopped. At the end 100,000 calls of every
method look for memory that grows. `--output` writes soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import hopfix
from hopfix._comparison import compare
from hopfix.degree import audit
from hopfix.fixed_points import FixedPoints

_SEARCHES = ("cells", "faces", "starts")
_SECONDS = 20.0  # for each search
_CALLS = 100_000

Array = np.ndarray[Any, np.dtype[Any]]


def network(seed: int, threads: int = 2) -> hopfix.Hopfield:
    """Return the network of that number."""
    rng = np.random.default_rng([seed, 20])
    d, n = int(rng.integers(1, 5)), int(rng.integers(2, 10))
    patterns = rng.standard_normal((n, d))
    if rng.random() < 0.5:
        patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    if rng.random() < 0.2:
        patterns *= 10 ** rng.uniform(-2, 2)
    if rng.random() < 0.3:
        copies = rng.integers(n, size=2)
        patterns[copies[0]] = patterns[copies[1]] * (1 + 10 ** rng.uniform(-12, -1))
    if rng.random() < 0.2:
        patterns = np.round(patterns * 4) / 4  # ties, symmetries, equal patterns
    scale = max(float(np.abs(patterns).max()) ** 2, 1e-6)
    beta = 10 ** rng.uniform(-1, np.log10(200)) / scale
    log_weights = rng.normal(scale=2, size=n) if rng.random() < 0.3 else None
    return hopfix.Hopfield(patterns, beta, log_weights=log_weights, num_threads=threads)


def searched(net: hopfix.Hopfield) -> dict[str, FixedPoints]:
    """Return the lists of all searches."""
    return {name: net.fixed_points(name, time_limit=_SECONDS) for name in _SEARCHES}


def contradictions(name: str, found: FixedPoints, proved: FixedPoints) -> Iterator[str]:
    """Yield what of `found` is against the proved list of the same network."""
    relation = compare(found, proved)
    for i in relation.extra:
        yield f"{name}: certified point {found.states[i].tolist()} is not on the proved list"
    if found.completeness == "proved" and len(relation.missing):
        yield f"{name}: said to be proved, but lacks {len(relation.missing)} proved points"


def findings(net: hopfix.Hopfield, lists: dict[str, FixedPoints]) -> Iterator[str]:
    """Yield every contradiction between the lists, and on branches from the first proved one."""
    dim = net.patterns.shape[1]
    proved = {name: found for name, found in lists.items() if found.completeness == "proved"}
    for name, reference in proved.items():
        report = audit(reference.counts, dim)
        if not report.ok:
            yield f"{name}: {report.reason}"
        for other, found in lists.items():
            if other != name:
                yield from contradictions(other, found, reference)
    if proved:
        name, start = next(iter(proved.items()))
        branches = net.follow(net.beta * 1.3, start)
        end = branches.at(branches.beta_to)
        exhaustive = end.network.fixed_points("cells", time_limit=_SECONDS)
        if exhaustive.completeness == "proved":
            yield from contradictions(f"follow from {name}", end, exhaustive)


def summary(seed: int, threads: int) -> dict[str, Any]:
    """Return what must not depend on threads or level."""
    found = network(seed, threads).fixed_points("cells", time_limit=_SECONDS)
    order = np.lexsort(np.round(found.states, 7).T)
    return {
        "completeness": found.completeness,
        "counts": sorted(found.counts.items()),
        "states": found.states[order].tolist(),
        "exact": found.states.tobytes().hex(),
    }


class Level:
    """A process of one instruction-set level, which answers with summaries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            env=os.environ | {"HOPFIX_ISA": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def summary(self, seed: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(seed, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


def worker() -> None:
    """Answer numbers of networks on standard input with summaries, until it ends."""
    for line in sys.stdin:
        print(json.dumps(summary(int(line), 1)), flush=True)


def otherwise_on(
    executor: Executor, net: hopfix.Hopfield, lists: dict[str, FixedPoints]
) -> Iterator[str]:
    """Yield which searches give another list on the executor."""
    for name, found in lists.items():
        again = net.fixed_points(name, time_limit=_SECONDS, executor=executor)
        if (again.states.tobytes(), again.completeness) != (
            found.states.tobytes(),
            found.completeness,
        ):
            yield f"{name}: another list on an executor"


def differences(seed: int, levels: list[Level]) -> Iterator[str]:
    """Yield where threads or levels give another list."""
    here = summary(seed, 2)
    single = summary(seed, 1)
    if here["exact"] != single["exact"]:
        yield "two threads give other numbers than one"
    scale = float(np.abs(network(seed).patterns).max())
    for level in levels:
        there = json.loads(json.dumps(level.summary(seed)))
        same = there["completeness"] == here["completeness"]
        same &= there["counts"] == json.loads(json.dumps(here["counts"]))
        close = same and np.allclose(there["states"], here["states"], rtol=0, atol=1e-6 * scale)
        if not close and {here["completeness"], there["completeness"]} == {"proved"}:
            yield f"level {level.name} gives another proved list"


def examine(seed: int, levels: list[Level], executor: Executor) -> dict[str, Any]:
    """Return the line of one network for the record."""
    start = time.perf_counter()
    net = network(seed)
    lists = searched(net)
    return {
        "seed": seed,
        "points": {name: len(found) for name, found in lists.items()},
        "completeness": {name: found.completeness for name, found in lists.items()},
        "findings": [
            *findings(net, lists),
            *differences(seed, levels),
            *otherwise_on(executor, net, lists),
        ],
        "seconds": round(time.perf_counter() - start, 3),
    }


def resident() -> int:
    """Return the bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(calls: int) -> dict[str, float]:
    """Return {method: bytes by which the process grows per call}, after a warm-up."""
    net = hopfix.Hopfield(np.random.default_rng(0).standard_normal((6, 3)), 4.0, num_threads=2)
    states = np.random.default_rng(1).standard_normal((4, 3))
    methods = {
        "update": lambda: net.update(states),
        "weights": lambda: net.weights(states),
        "energy": lambda: net.energy(states),
        "retrieve": lambda: net.retrieve(states),
        "jacobian": lambda: net.jacobian(states),
        "jvp": lambda: net.jvp(states, states),
        "vjp": lambda: net.vjp(states, states, ("states", "patterns", "beta")),
        "spectral_radius": lambda: net.spectral_radius(states),
        "certify": lambda: net.certify(states),
        "Hopfield": lambda: hopfix.Hopfield(states, 1.0),
    }
    grown = {}
    for name, call in methods.items():
        for _ in range(calls // 10):
            call()
        before = resident()
        for _ in range(calls):
            call()
        grown[name] = (resident() - before) / calls
    return grown


def soak(seeds: range, minutes: float, record: Path) -> list[dict[str, Any]]:
    """Examine the networks that the record lacks, and return the lines of all."""
    lines = (
        [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    )
    done = {line["seed"] for line in lines}
    levels = [Level(name) for name in hopfix.get_config()["isa_supported"]]
    end = time.monotonic() + 60 * minutes
    with record.open("a") as file, ThreadPoolExecutor(2) as executor:
        for seed in seeds:
            if seed in done:
                continue
            if time.monotonic() > end:
                break
            lines.append(examine(seed, levels, executor))
            print(json.dumps(lines[-1]), file=file, flush=True)
            for finding in lines[-1]["findings"]:
                print(f"network {seed}: {finding}", flush=True)
    for level in levels:
        level.close()
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0, help="number of the first network")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--record", type=Path, default=Path("soak.jsonl"))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker()
        return 0
    seeds = range(options.first, options.first + options.count)
    lines = soak(seeds, options.minutes, options.record)
    bad = [line for line in lines if line["findings"]]
    said = {name: Counter(line["completeness"][name] for line in lines) for name in _SEARCHES}
    grown = growth(_CALLS)
    document = {
        "config": hopfix.get_config(),
        "first": options.first,
        "networks": len(lines),
        "completeness": {name: dict(counter) for name, counter in said.items()},
        "points": sum(line["points"]["cells"] for line in lines),
        "findings": bad,
        "bytes_per_call": grown,
        "seconds": sum(line["seconds"] for line in lines),
    }
    print(json.dumps(document, indent=1))
    if options.output is not None:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (options.output / "soak.json").write_text(text + "\n", encoding="utf-8")
    return 1 if bad or max(grown.values()) > 8 else 0


if __name__ == "__main__":
    sys.exit(main())
