"""Run every ```python block of a Markdown file and compare what it prints with what it shows.

A ```text block right after a python block is its expected output, compared line by line.
"""

import contextlib
import io
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)


def run(code: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def main() -> int:
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    failures = 0
    for code, expected in blocks:
        printed = run(code)
        if expected and printed.strip() != expected.strip():
            failures += 1
            print(f"--- expected\n{expected}--- printed\n{printed}")
    print(f"{len(blocks)} examples, {failures} failed")
    return 1 if failures or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
