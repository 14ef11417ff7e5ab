"""Reproduce "Looking at the Performer from a Hopfield point of view".

    python bench/papers/performer.py [--output bench/results] [--quick]

The same as `hopfix reproduce performer`; needs hopfix[papers], with --quick hopfix[demo].
"""

from __future__ import annotations

import sys

from hopfix.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", "performer", *sys.argv[1:]]))
