"""Fail when two instruction-set levels define the same weak symbol.

The linker keeps one of several weak definitions (inline functions, template instances). Were it
the one of a higher level, an older CPU would crash in code that another level shares; were it the
one of a lower level, the higher would be silently slow. So every weak symbol of a kernel object
must carry its level's name. Harmless: data that hold no instructions.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HARMLESS = re.compile(r"^(DW\.ref\.__gxx_personality_v0|typeinfo|vtable|typeinfo name)")


def weak_symbols(nm: str, path: str) -> set[str]:
    listing = subprocess.run(
        [nm, "-C", "--defined-only", path], check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return {row[2] for row in rows if len(row) == 3 and row[1] in "WVwvu"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()
    holders = defaultdict(set)
    for path in arguments.objects:
        level = re.search(r"hopfix_kernels_(\w+)\.dir", Path(path).as_posix())
        if level is None:
            parser.error(f"{path}: not an object of a hopfix_kernels_<level> target")
        for symbol in weak_symbols(arguments.nm, path):
            holders[symbol].add(level.group(1))
    shared = {
        symbol: levels
        for symbol, levels in holders.items()
        if len(levels) > 1 and not HARMLESS.match(symbol)
    }
    for symbol, levels in sorted(shared.items()):
        print(f"shared by {', '.join(sorted(levels))}: {symbol}")
    print(f"{len(holders)} weak symbols in {len(arguments.objects)} objects, {len(shared)} shared")
    return 1 if shared or not holders else 0


if __name__ == "__main__":
    sys.exit(main())
