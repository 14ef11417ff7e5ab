"""The picture of the attention heads: classes and rest states by layer and head, fixed points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from hopfix.heads import CLASSES

Record = dict[str, Any]

_LETTERS = {name: name[0].upper() for name in CLASSES}


def draw(document: Record) -> Figure:
    """Return four panels: k of the weights, k at rest, number of fixed points, one head's points.

    The last is of the sentence and head with the most stable fixed points that mix more than one
    token each.
    """
    figure = Figure(figsize=(13.5, 10), layout="constrained")
    panels = figure.subplots(2, 2)
    rows, length = document["long"]["heads"], document["long"]["window"]
    scale = LogNorm(1, length)
    classes = ", ".join(f"{letter} {name}" for name, letter in _LETTERS.items())
    _map(figure, panels[0, 0], rows, "median_tokens", scale, _labelled("operating_class"))
    share = document["settings"]["share"]
    panels[0, 0].set_title(
        f"one step: tokens that share {share:.0%} of the weight, median,\nof {length}; {classes}"
    )
    _map(figure, panels[0, 1], rows, "resting_tokens", scale, _labelled("resting_class"))
    panels[0, 1].set_title("the same where the queries come to rest, iterated\n"
                           "(keys retrieved by keys)")  # fmt: skip
    sentence, head = _most_telling(document["short"])
    short = [each | {"count": len(each["points"])} for each in sentence["heads"]]
    most = max(each["count"] for each in short)
    _map(figure, panels[1, 0], short, "count", LogNorm(1, most), _counts)
    proved = sum(each["completeness"] == "proved" for each in short)
    panels[1, 0].set_title(
        f"“{sentence['sentence']}”: fixed points, stable/all\n"
        f"(lists proved complete: {proved} of {len(short)})"
    )
    _points(figure, panels[1, 1], sentence["tokens"], head)
    return figure


def _labelled(name: str) -> Callable[[Record, str], str]:
    return lambda row, key: f"{row[key]:g}\n{_LETTERS[row[name]]}"


def _counts(row: Record, _: str) -> str:
    return f"{row['stable']}/{row['count']}"


def _map(
    figure: Figure, axes: Axes, rows: list[Record], key: str, scale: Normalize,
    text: Callable[[Record, str], str],
) -> None:  # fmt: skip
    """Colour every layer and head by a number, and write it there."""
    layers = max(row["layer"] for row in rows)
    heads = max(row["head"] for row in rows)
    values = np.array([row[key] for row in rows], dtype=float).reshape(layers, heads)
    image = axes.imshow(values, norm=scale, cmap="viridis", aspect="auto")
    for row in rows:
        dark = scale(row[key]) < 0.55
        axes.text(
            row["head"] - 1, row["layer"] - 1, text(row, key), ha="center", va="center",
            fontsize=8, color="white" if dark else "black",
        )  # fmt: skip
    axes.set_xticks(range(heads), range(1, heads + 1))
    axes.set_yticks(range(layers), range(1, layers + 1))
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    figure.colorbar(image, ax=axes, shrink=0.9)


def _most_telling(sentences: list[Record]) -> tuple[Record, Record]:
    """Return the sentence and head with the most stable points that mix several tokens."""

    def mixed(head: Record) -> int:
        return sum(p["morse_index"] == 0 and len(p["mixes"]) > 1 for p in head["points"])

    pairs = [(sentence, head) for sentence in sentences for head in sentence["heads"]]
    return max(pairs, key=lambda pair: (mixed(pair[1]), -len(pair[1]["points"])))


def _points(figure: Figure, axes: Axes, tokens: list[str], head: Record) -> None:
    """Show which tokens the fixed points of one head mix: a row each, the saddles below."""
    points = head["points"]
    weights = np.array([point["weights"] for point in points])
    image = axes.imshow(weights, cmap="magma_r", vmin=0, vmax=1, aspect="auto")
    for row, point in enumerate(points):
        for column in point["mixes"]:
            weight = point["weights"][column]
            axes.text(
                column, row, f"{weight:.2f}".lstrip("0"), ha="center", va="center", fontsize=7,
                color="white" if weight > 0.5 else "black",
            )  # fmt: skip
    labels = [
        f"stable, where {point['queries']} of {len(tokens)} queries go" if point["morse_index"] == 0
        else f"saddle of index {point['morse_index']}"
        for point in points
    ]  # fmt: skip
    stable = sum(point["morse_index"] == 0 for point in points)
    axes.axhline(stable - 0.5, color="black", linewidth=1)
    axes.set_yticks(range(len(points)), labels, fontsize=7)
    axes.set_xticks(range(len(tokens)), tokens, rotation=45, ha="right")
    axes.set_title(
        f"layer {head['layer']}, head {head['head']}: all fixed points of the same sentence\n"
        f"(list {head['completeness']}); written: weights of the tokens that share 90%"
    )
    figure.colorbar(image, ax=axes, shrink=0.9)
