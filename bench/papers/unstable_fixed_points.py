"""Reproduce "On Unstable Fixed Points in Modern Continuous Hopfield Networks".

    python bench/papers/unstable_fixed_points.py [--output bench/results] [--quick]

The same as `hopfix reproduce unstable-fixed-points`; about a minute on two cores.
"""

from __future__ import annotations

import sys

from hopfix.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", "unstable-fixed-points", *sys.argv[1:]]))
