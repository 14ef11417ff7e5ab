"""The file that results of `peers.py` go to: tasks may be measured at different times."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from competitors import peers_jax

import hopfix


class Record:
    """What is in peers.json: the machine, when each task was measured and how, and the results.

    `runs` is {task: {"date", "quick"}}, `ceilings` are those of the last run with updates.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def replace(
        self,
        tasks: Sequence[str],
        quick: bool,
        limits: dict[str, Any],
        results: list[dict[str, Any]],
        peaks: list[dict[str, Any]],
    ) -> None:
        """Put new results of some tasks in the place of old ones."""
        content = self._content
        run = {"date": datetime.date.today().isoformat(), "quick": quick}
        content["runs"] |= dict.fromkeys(tasks, run)
        if "update" in tasks or not content["ceilings"]:
            content["ceilings"] = limits
        kept = [r for r in content["results"] if r["task"] not in tasks]
        content["results"] = kept + results
        if "memory" in tasks:
            content["memory"] = peaks

    def write(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(rounded(self._content), indent=1) + "\n")


def opened(path: Path, threads: int, tasks: Sequence[str]) -> Record:
    """Read the record, or start one where there is none or all of its tasks are measured anew.

    SystemExit if it is of another machine or other versions.
    """
    here = machine(threads)
    content = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    if set(content["runs"]) <= set(tasks):
        empty = {"machine": here, "runs": {}, "ceilings": {}, "results": [], "memory": []}
        return Record(path, empty)
    other = [key for key, value in here.items() if content["machine"].get(key) != value]
    if other:
        raise SystemExit(f"{path}: measured with another {', '.join(other)}: measure every task")
    return Record(path, content)


def machine(threads: int) -> dict[str, Any]:
    """Describe the machine and the versions, without names of hosts or paths."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "jax": peers_jax.jax.__version__ if peers_jax else None,
        "hopfix": hopfix.get_config(),
    }


def rounded(value: Any) -> Any:
    """Return the record with floats of four digits, which is more than timings are good for."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
