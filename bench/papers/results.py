"""Result files: JSON with numbers of six digits, and flat lists on one line each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_FLAT_LIST = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")


def rounded(value: Any) -> Any:
    """Return a document with six digits of every number."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_json(path: Path, document: Any) -> None:
    """Write a document of strings without brackets, replacing the file in one step."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    text = _FLAT_LIST.sub(lambda flat: "[" + re.sub(r",\s+", ", ", flat[1]) + "]", text)
    beside = path.with_suffix(".part")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
