"""Reproduce "Dynamical Mean-Field Theory of Self-Attention Neural Networks".

    python bench/papers/attention_mean_field.py [--output bench/results] [--quick]

The same as `hopfix reproduce attention-mean-field`; about two minutes on two cores.
"""

from __future__ import annotations

import sys

from hopfix.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", "attention-mean-field", *sys.argv[1:]]))
