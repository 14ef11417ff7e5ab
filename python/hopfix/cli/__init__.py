"""The command line ``hopfix``; ``hopfix --help`` lists its commands.

Exit codes: 0 done; 1 done, with a negative result (``atlas --prove`` without a proof, ``retrieve``
without convergence, ``follow`` with a branch cut, ``bench`` with wrong answers); 2 wrong usage,
input or a missing extra, with one line on stderr; 130 Ctrl-C; 141 the reader of stdout went away.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from hopfix.cli.reading import InputError

__all__ = ["main"]

_EXTRA = ("click", "rich", "tqdm")
_FAILED, _INTERRUPTED, _BROKEN_PIPE = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: the process's) and return the exit code."""
    try:
        from hopfix.cli.commands import execute
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        return _fail(f"the command line needs {package}: install hopfix[cli]")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # β and µ where the encoding lacks them
    try:
        code = execute(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except (InputError, ImportError) as error:
        return _fail(str(error))
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return code


def _fail(message: str, code: int = _FAILED) -> int:
    """Print one line on stderr and return the exit code."""
    print("hopfix:", " ".join(message.split()), file=sys.stderr)
    return code
