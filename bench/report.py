"""Writes the measured tables into README.md: `python bench/report.py [--check]`.

Each table stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, NAME being machine,
update, derivatives or landscape, and is made from bench/results/*.json alone, which `peers.py` and
`landscape.py` write. `--check` changes nothing and exits 1 if README.md is out of date; a marker
that is missing exits 2 either way.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from timing import MAX_OTHERS, geometric_mean

Record = dict[str, Any]

_HERE = Path(__file__).parent
_DTYPES = ("float32", "float64")
_PEERS = {"numpy": "NumPy", "torch": "torch", "sdpa": "torch SDPA"}
_SOLVERS = {"scipy_points": "SciPy `root`", "numpy_points": "NumPy Newton"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(value: float) -> str:
    """Return a ratio, with as many digits as it deserves."""
    digits = 0 if value >= 9.95 else 1 if value >= 0.95 else 2
    return f"{value:.{digits}f}x"


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def machine(peers: Record, _: Record) -> str:
    """Return the machine, the versions and the ceilings in sentences."""
    about, limits, config = peers["machine"], peers["ceilings"], peers["machine"]["hopfix"]
    gemm, exp = limits["gemm"], limits["exp"]
    disturbed = sum(r["others"] > MAX_OTHERS for r in peers["results"])
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads for every "
        f"competitor; {about['system']}, Python {about['python']}, NumPy {about['numpy']}, torch "
        f"{about['torch']}, hopfix {config['version']} ({config['isa']}, {config['compiler']}); "
        f"{about['date']}.\nCeilings measured in the same run: "
        f"{gemm['float32'] / 1e9:.0f} and {gemm['float64'] / 1e9:.0f} GFLOP/s of matrix product, "
        f"{exp['float32'] / 1e9:.1f} and {exp['float64'] / 1e9:.1f} exponentials/ns (float32 and "
        f"float64), {limits['bandwidth'] / 1e9:.0f} GB/s from memory.\n"
        f"In {disturbed} of {len(peers['results'])} cells other processes took more than "
        f"{MAX_OTHERS:.0%} of the CPUs."
    )


def mean_of(results: list[Record], peer: str) -> str:
    """Return the geometric mean of the ratios to one peer."""
    values = [r["ratios"][peer] for r in results if peer in r["ratios"]]
    return times(geometric_mean(values)) if values else ""


def floor_of(results: list[Record]) -> str:
    """Return the geometric mean of the fractions of the floor reached, where it is not tiny."""
    values = [r["floor"] for r in results if r.get("floor") is not None]
    return f"{geometric_mean(values):.0%}" if values else ""


def update(peers: Record, _: Record) -> str:
    """Return the ratios of updates by N and batch, means over d, and over everything."""
    results = [r for r in peers["results"] if r["task"] == "update"]
    groups = sorted({(r["n"], r["batch"]) for r in results})

    def row(title: Sequence[str], chosen: list[Record]) -> list[str]:
        cells = list(title)
        for dtype in _DTYPES:
            typed = [r for r in chosen if r["dtype"] == dtype]
            cells += [*(mean_of(typed, peer) for peer in _PEERS), floor_of(typed)]
        return cells

    rows = [
        row((f"{n:,}", f"{b:,}"), [r for r in results if (r["n"], r["batch"]) == (n, b)])
        for n, b in groups
    ]
    names = [*_PEERS.values(), "floor"]
    header = ["N", "batch", *(f"{name}, {dtype}" for dtype in _DTYPES for name in names)]
    return table(header, [*rows, row(("all", ""), results)])


def derivatives(peers: Record, _: Record) -> str:
    """Return time and ratios of jacobian, jvp and retrieve, cell by cell."""
    rest = [r for r in peers["results"] if r["task"] != "update"]
    groups: dict[tuple[Any, ...], dict[str, Record]] = {}
    for r in rest:
        groups.setdefault((r["task"], r["n"], r["d"], r["batch"]), {})[r["dtype"]] = r

    def row(key: tuple[Any, ...], found: dict[str, Record]) -> list[str]:
        cells = [f"`{key[0]}`", *(f"{size:,}" for size in key[1:])]
        for dtype in _DTYPES:
            r = found[dtype]
            torch = "sdpa" if key[0] == "retrieve" else "torch"
            ours = duration(r["seconds"]["hopfix"]["median"])
            cells += [ours, times(r["ratios"]["numpy"]), times(r["ratios"][torch])]
        return cells

    columns = [f"{name}, {dtype}" for dtype in _DTYPES for name in ("hopfix", "NumPy", "torch")]
    return table(["", "N", "d", "batch", *columns], [row(k, v) for k, v in groups.items()])


def landscape(_: Record, found: Record) -> str:
    """Return what the searches find, and what the same starts give by hand."""
    rows = [
        [
            f"{r['name']}, beta = {r['beta']:g}",
            f"{r['found']:,} / {'?' if r['known'] is None else format(r['known'], ',')}",
            f"{r['certified']:,}",
            r["completeness"],
            duration(r["seconds"]),
        ]
        for r in found["rows"]
    ]
    rows += [
        [
            f"{_SOLVERS[r['solver']]} from {r['starts']:,} starts: {r['name']}, "
            f"beta = {r['beta']:g}",
            f"{r['found']:,} / {r['known']:,}",
            "",
            "",
            duration(r["seconds"]),
        ]
        for r in found["by_hand"]
    ]
    return table(["network", "found / known", "certified", "completeness", "time"], rows)


SECTIONS = {f.__name__: f for f in (machine, update, derivatives, landscape)}


def filled(text: str, peers: Record, found: Record) -> str:
    """Return the text with every section made anew; KeyError names a marker that is missing."""
    for name, section in SECTIONS.items():
        pattern = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench:{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise KeyError(name)
        body = section(peers, found)
        text = pattern.sub(lambda m, body=body: f"{m[1]}{body}\n{m[2]}", text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    parser.add_argument("--readme", type=Path, default=_HERE.parent / "README.md")
    parser.add_argument("--results", type=Path, default=_HERE / "results")
    options = parser.parse_args()
    peers = json.loads((options.results / "peers.json").read_text())
    found = json.loads((options.results / "landscape.json").read_text())
    text = options.readme.read_text() if options.readme.exists() else ""
    try:
        fresh = filled(text, peers, found)
    except KeyError as missing:
        print(f"README.md lacks <!-- bench:{missing.args[0]} --> or its end", file=sys.stderr)
        return 2
    if fresh == text:
        print("README.md is up to date")
    elif options.check:
        print("README.md is out of date: run python bench/report.py", file=sys.stderr)
        return 1
    else:
        options.readme.write_text(fresh)
        print("README.md: tables written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
