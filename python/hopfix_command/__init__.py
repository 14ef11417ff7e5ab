"""The command ``hopfix``: runs `hopfix.cli`.

Outside the package, whose import already fails where HOPFIX_ISA names a level that cannot be used:
that is wrong input, which the command answers with one line and exit code 2.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line on the process's arguments and return the exit code."""
    try:
        from hopfix.cli import main as run
    except ImportError as error:
        if "HOPFIX_ISA" not in str(error):
            raise
        print(f"hopfix: {error}", file=sys.stderr)
        return 2
    return run()
