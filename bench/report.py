"""Writes the measured tables into README.md, and the plots: `python bench/report.py [--check]`.

Each table stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, NAME being one of
`SECTIONS`, and is made from bench/results/*.json alone, which `peers.py`, `landscape.py` and
`bench_classical.py` write; so are the plots of `figures`. `--check` changes nothing and exits 1 if
README.md is out of date; a marker that is missing exits 2 either way.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import figures
from competitors import FLAT_KERNEL
from problems import DTYPES, REGIMES
from timing import MAX_OTHERS, geometric_mean

Record = dict[str, Any]

_HERE = Path(__file__).parent
_PEERS = {"numpy": "NumPy", "torch": "torch", "sdpa": "torch SDPA", "jax": "JAX"}
_NOT_MEASURED = "*Not measured yet.*"
_CLASSICAL = {
    "all": "sgn(QW), whole batch",
    "open": "sgn(QW), open queries only",
    "forming": "the same with W formed within",
    "batch": "component by component, all queries at once",
    "query": "component by component, query by query",
}
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


def machine(peers: Record) -> str:
    """Return the machine, the versions and the ceilings in sentences."""
    about, limits, config = peers["machine"], peers["ceilings"], peers["machine"]["hopfix"]
    gemm, exp = limits["gemm"], limits["exp"]
    disturbed = sum(r["others"] > MAX_OTHERS for r in peers["results"])
    dates = sorted({run["date"] for run in peers["runs"].values()})
    quick = [f"`{task}`" for task, run in peers["runs"].items() if run["quick"]]
    jax = f" JAX {about['jax']} (all cores)," if about.get("jax") else ""
    only = f" Few cells and rounds (`--quick`) of {', '.join(quick)}." if quick else ""
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads for every "
        f"competitor; {about['system']}, Python {about['python']}, NumPy {about['numpy']}, torch "
        f"{about['torch']},{jax} hopfix {config['version']} ({config['isa']}, "
        f"{config['compiler']}); {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.\n"
        "Ceilings measured in the same run: "
        f"{gemm['float32'] / 1e9:.0f} and {gemm['float64'] / 1e9:.0f} GFLOP/s of matrix product, "
        f"{exp['float32'] / 1e9:.1f} and {exp['float64'] / 1e9:.1f} exponentials/ns (float32 and "
        f"float64), {limits['bandwidth'] / 1e9:.0f} GB/s from memory.\n"
        f"In {disturbed} of {len(peers['results'])} cells other processes took more than "
        f"{MAX_OTHERS:.0%} of the CPUs.{only}"
    )


def picture(name: str, what: str) -> str:
    """Return the plot of `figures` as Markdown."""
    return f"\n\n![Ratios of {what} over N](bench/results/{name}.png)"


def mean_of(results: list[Record], peer: str) -> str:
    """Return the geometric mean of the ratios to one peer."""
    values = [r["best_ratios"][peer] for r in results if peer in r["ratios"]]
    return times(geometric_mean(values)) if values else ""


def floor_of(results: list[Record]) -> str:
    """Return the geometric mean of the fractions of the floor reached, where it is not tiny."""
    values = [r["floor"] for r in results if r.get("floor") is not None]
    return f"{geometric_mean(values):.0%}" if values else ""


def update(peers: Record) -> str:
    """Return the ratios of updates by N and batch, means over d, and over everything."""
    results = [r for r in peers["results"] if r["task"] == "update"]
    if not results:
        return _NOT_MEASURED
    shown = peers_in(results)
    groups = sorted({(r["n"], r["batch"]) for r in results})

    def row(title: Sequence[str], chosen: list[Record]) -> list[str]:
        cells = list(title)
        for dtype in DTYPES:
            typed = [r for r in chosen if r["dtype"] == dtype]
            cells += [*(mean_of(typed, peer) for peer in shown), floor_of(typed)]
        return cells

    rows = [
        row((f"{n:,}", f"{b:,}"), [r for r in results if (r["n"], r["batch"]) == (n, b)])
        for n, b in groups
    ]
    names = [*(_PEERS[peer] for peer in shown), "floor"]
    header = ["N", "batch", *(f"{name}, {dtype}" for dtype in DTYPES for name in names)]
    return table(header, [*rows, row(("all", ""), results)]) + picture("update", "updates")


def peers_in(results: list[Record]) -> list[str]:
    """Return the peers that any of the results has, in a fixed order."""
    return [peer for peer in _PEERS if any(peer in r["best_ratios"] for r in results)]


def by_problem(results: list[Record], *keys: str) -> dict[tuple[Any, ...], dict[str, Record]]:
    """Return {values of the keys: {dtype: result}}, in the order of the results."""
    groups: dict[tuple[Any, ...], dict[str, Record]] = {}
    for r in results:
        groups.setdefault(tuple(r[key] for key in keys), {})[r["dtype"]] = r
    return groups


def sizes(values: Iterable[int]) -> list[str]:
    """Return the cells of some sizes."""
    return [f"{value:,}" for value in values]


def side_by_side(results: list[Record]) -> str:
    """Return time and ratios to every peer, problem by problem."""
    if not results:
        return _NOT_MEASURED
    peers = peers_in(results)
    rows = []
    for (task, *size), found in by_problem(results, "task", "n", "d", "batch").items():
        cells = [f"`{task}`", *sizes(size)]
        for dtype in DTYPES:
            ratios = found[dtype]["best_ratios"]
            cells.append(duration(found[dtype]["seconds"]["hopfix"]["median"]))
            cells += [times(ratios[peer]) if peer in ratios else "" for peer in peers]
        rows.append(cells)
    names = ["hopfix", *(_PEERS[peer] for peer in peers)]
    header = ["", "N", "d", "batch", *(f"{name}, {dtype}" for dtype in DTYPES for name in names)]
    return table(header, rows)


def derivatives(peers: Record) -> str:
    """Return the table of jacobian, jvp and spectral_radius."""
    tasks = ("jacobian", "jvp", "spectral_radius")
    return side_by_side([r for r in peers["results"] if r["task"] in tasks])


def mean_shift(peers: Record) -> str:
    """Return the table of mean shift, and what scikit-learn's takes."""
    results = [r for r in peers["results"] if r["task"] == "mean_shift"]
    flat = [
        f"{duration(r['seconds'][FLAT_KERNEL]['median'])} (N = {r['n']:,}, {r['dtype']})"
        for r in results
    ]
    about = (
        "\n\nscikit-learn's `MeanShift` has a flat kernel, so that it finds other points; with one "
        "of the same variance it takes "
    )
    return side_by_side(results) + (f"{about}{', '.join(flat)}." if flat else "")


def retrieve(peers: Record) -> str:
    """Return times, steps, passes and the ratio to the best peer, problem by problem."""
    results = [r for r in peers["results"] if r["task"] == "retrieve"]
    if not results:
        return _NOT_MEASURED
    best = {
        dtype: [figures.best_ratio(r) for r in results if r["dtype"] == dtype] for dtype in DTYPES
    }
    rows = []
    for (regime, *size), found in by_problem(
        sorted(results, key=lambda r: REGIMES.index(r["regime"])), "regime", "n", "d"
    ).items():
        cells = [regime, *sizes(size)]
        for dtype in DTYPES:
            r = found[dtype]
            cells += [
                duration(r["seconds"]["hopfix"]["median"]),
                f"{r['plain_steps']['median']:g}",
                f"{r['passes']:.1f}",
                times(figures.best_ratio(r)),
            ]
        rows.append(cells)
    for title, of in (("geometric mean", geometric_mean), ("worst", min)):
        ends = [["", "", "", times(of(best[dtype]))] for dtype in DTYPES]
        rows.append([title, "", "", *ends[0], *ends[1]])
    names = ("hopfix", "steps", "passes", "best peer")
    header = ["regime", "N", "d", *(f"{name}, {dtype}" for dtype in DTYPES for name in names)]
    return table(header, rows) + picture("retrieve", "retrievals")


def memory(peers: Record) -> str:
    """Return peak memory beyond the inputs."""
    results = peers["memory"]
    if not results:
        return _NOT_MEASURED
    names = [peer for peer in ("hopfix", *_PEERS) if any(peer in r["peaks"] for r in results)]
    rows = [
        [
            f"`{r['task']}`",
            *sizes((r["n"], r["d"], r["batch"])),
            *(f"{r[part] / 1e6:.1f}" for part in ("inputs", "result")),
            *(f"{r['peaks'][name] / 1e6:.1f}" if name in r["peaks"] else "" for name in names),
        ]
        for r in results
    ]
    titles = [_PEERS.get(name, name) for name in names]
    return table(["", "N", "d", "batch", "inputs", "result", *titles], rows)


def call(method: str) -> str:
    """Return the arguments of `fixed_points` as code: the name in quotes, options as they are."""
    name, *options = method.split(", ")
    return "`" + ", ".join([f'"{name}"', *options]) + "`"


def landscape(found: Record) -> str:
    """Return what the searches find, and what random starts give by hand."""
    rows = [
        [
            f"{r['name']}, beta = {r['beta']:g}",
            call(r["method"]),
            f"{r['found']:,} / {'?' if r['known'] is None else format(r['known'], ',')}",
            r["completeness"],
            "" if r["boxes"] is None else format(r["boxes"], ","),
            duration(r["seconds"]),
        ]
        for r in found["rows"]
    ]
    rows += [
        [
            f"{r['name']}, beta = {r['beta']:g}",
            f"{_SOLVERS[r['solver']]} from {r['starts']:,} starts",
            f"{r['found']:,} / {r['known']:,}",
            "",
            "",
            duration(r["seconds"]),
        ]
        for r in found["by_hand"]
    ]
    return table(["network", "search", "found / known", "completeness", "boxes", "time"], rows)


def classical(found: Record) -> str:
    """Return times and ratios of retrieval by a network of signs, peer by peer."""
    rows = [
        [
            f"{r['mode']}, {r['dtype']}",
            _CLASSICAL[r["peer"]],
            duration(r["hopfix"]),
            duration(r["seconds"]),
            times(r["ratio"]),
        ]
        for r in found["rows"]
    ]
    return table(["retrieval", "NumPy peer", "hopfix", "NumPy", "ratio"], rows)


# {name: (the file it is made from, how)}
SECTIONS = {
    section.__name__: (file, section)
    for file, sections in (
        ("peers", (machine, update, retrieve, derivatives, mean_shift, memory)),
        ("landscape", (landscape,)),
        ("classical", (classical,)),
    )
    for section in sections
}


def filled(text: str, results: Path) -> str:
    """Return the text with every section made anew; KeyError names a marker that is missing."""
    for name, (file, section) in SECTIONS.items():
        pattern = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench:{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise KeyError(name)
        body = section(read(results, file))
        text = pattern.sub(lambda m, body=body: f"{m[1]}{body}\n{m[2]}", text)
    return text


def read(results: Path, file: str) -> Record:
    """Return the content of one file of results."""
    record: Record = json.loads((results / f"{file}.json").read_text())
    return record


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    parser.add_argument("--readme", type=Path, default=_HERE.parent / "README.md")
    parser.add_argument("--results", type=Path, default=_HERE / "results")
    options = parser.parse_args()
    text = options.readme.read_text() if options.readme.exists() else ""
    try:
        fresh = filled(text, options.results)
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
    if not options.check:
        for path in figures.draw(read(options.results, "peers"), options.results):
            print(f"{path.name}: drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
