"""Run the command line as ``python -m hopfix``."""

from __future__ import annotations

import sys

from hopfix.cli import main

if __name__ == "__main__":
    sys.exit(main())
