"""Reproduce "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield Models" (U-Hop).

    python bench/papers/uhop.py [--output bench/results] [--quick]

The same as `hopfix reproduce uhop`; needs hopfix[papers], with --quick hopfix[demo].
"""

from __future__ import annotations

import sys

from hopfix.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", "uhop", *sys.argv[1:]]))
