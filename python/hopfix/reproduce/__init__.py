"""Experiments of publications, computed again and set beside the published numbers.

A paper is one module of this package with TITLE, a string, and

    run(output=None, *, quick=False, seed=0, progress=None, num_threads=None) -> Report

and one line in `PAPERS`. Nothing is printed here; ``hopfix reproduce NAME`` does that.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from hopfix.reproduce.report import Progress, Report, Table

__all__ = ["PAPERS", "Progress", "Report", "Table", "paper"]

PAPERS = {
    "attention-mean-field": "Dynamical Mean-Field Theory of Self-Attention Neural Networks",
    "performer": "Looking at the Performer from a Hopfield point of view",
    "uhop": "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield Models",
    "unstable-fixed-points": "On Unstable Fixed Points in Modern Continuous Hopfield Networks",
}


def paper(name: str) -> ModuleType:
    """Return the module of a paper, by its name in `PAPERS`.

    Raises:
        ValueError: there is no such paper.
    """
    if name not in PAPERS:
        raise ValueError(f"paper: got {name!r}, need one of {', '.join(map(repr, PAPERS))}")
    return import_module(f"hopfix.reproduce.{name.replace('-', '_')}")
