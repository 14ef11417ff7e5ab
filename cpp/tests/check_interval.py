"""Fail when an enclosure of hopfix/interval.hpp does not hold at 100 digits (python-flint's arb).

Runs the sampler named on the command line, checks every record and reports the widest enclosure
of each operation in units of the last place.
"""

import argparse
import struct
import subprocess
import sys

import flint

OPERATIONS = (
    ("sum", lambda a, b: a + b),
    ("product", lambda a, b: a * b),
    ("quotient", lambda a, b: a / b),
    ("root", lambda a, b: a.sqrt()),
    ("exp", lambda a, b: a.exp()),
    ("log", lambda a, b: a.log()),
)
MOST_STEPS = 2
# Sums of doubles are exact in so many bits; 100 digits tell everything else from a double.
BITS_OF_SUMS, DIGITS = 2200, 100
MOST_PRINTED = 10


def place(x: float) -> int:
    """Return the number of doubles between 0 and x, with its sign."""
    (bits,) = struct.unpack("<q", struct.pack("<d", x))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def surely_within(lo: float, exact: flint.arb, hi: float) -> bool:
    # exact is a ball of 100 digits; a result that is a double may be an endpoint itself.
    if exact.is_exact():
        return bool(flint.arb(lo) <= exact) and bool(exact <= flint.arb(hi))
    return bool(flint.arb(lo) < exact) and bool(exact < flint.arb(hi))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sampler")
    parser.add_argument("--count", type=int, default=1_000_000)
    arguments = parser.parse_args()
    records = subprocess.run(
        [arguments.sampler, str(arguments.count)], check=True, capture_output=True
    ).stdout
    flint.ctx.dps = DIGITS
    bits = flint.ctx.prec
    widest = [0] * len(OPERATIONS)
    checked = violations = 0
    for operation, a, b, lo, hi in struct.iter_unpack("<5d", records):
        checked += 1
        name, function = OPERATIONS[int(operation)]
        flint.ctx.prec = BITS_OF_SUMS if name == "sum" else bits
        exact = function(flint.arb(a), flint.arb(b))
        if not surely_within(lo, exact, hi):
            violations += 1
            if violations <= MOST_PRINTED:
                print(f"{name}({a!r}, {b!r}) is not within [{lo!r}, {hi!r}]")
        if abs(hi) < float("inf") and abs(lo) < float("inf"):
            widest[int(operation)] = max(widest[int(operation)], place(hi) - place(lo))
    print(f"{checked} enclosures, {violations} violations; widest, in steps of doubles:")
    print(", ".join(f"{name} {w}" for (name, _), w in zip(OPERATIONS, widest, strict=True)))
    return int(violations > 0 or checked != arguments.count or max(widest) > MOST_STEPS)


if __name__ == "__main__":
    sys.exit(main())
