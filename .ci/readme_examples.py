"""Run the examples of Markdown files and compare what they print with what they show.

Every ```python block is a program of its own; a ```text block right after it is its output,
compared line by line. A block after the line <!-- needs: PACKAGE --> is skipped without that
package, which is said. Every ```console block is a session of the shell in an empty directory:
commands after "$ ", which must succeed, each followed by its output, if that is shown.
"""

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHON = re.compile(
    r"(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL
)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def run_python(code: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def run_command(command: str, directory: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"$ {command}\n{done.stderr}exit code {done.returncode}")
    return done.stdout


def differs(expected: str, printed: str) -> bool:
    if not expected.strip() or expected.strip() == printed.strip():
        return False
    print(f"--- expected\n{expected}--- printed\n{printed}")
    return True


def run_file(text: str) -> tuple[int, int]:
    """How many examples were run, and how many of them printed something else."""
    examples = failures = 0
    for package, code, expected in PYTHON.findall(text):
        if package and importlib.util.find_spec(package) is None:
            print(f"skipped: an example that needs {package}")
            continue
        examples += 1
        failures += differs(expected, run_python(code))
    with tempfile.TemporaryDirectory() as directory:
        for block in CONSOLE.findall(text):
            for command, expected in COMMAND.findall(block):
                examples += 1
                failures += differs(expected, run_command(command, directory))
    return examples, failures


def main() -> int:
    total = wrong = 0
    for name in sys.argv[1:]:
        print(name)
        examples, failures = run_file(Path(name).read_text(encoding="utf-8"))
        total, wrong = total + examples, wrong + failures
    print(f"{total} examples, {wrong} failed")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
