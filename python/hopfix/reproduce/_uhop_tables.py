"""The tables of the U-Hop reproduction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hopfix.reproduce._uhop_experiments import PLACEMENTS, QUERIES
from hopfix.reproduce._uhop_models import MODELS
from hopfix.reproduce._uhop_results import PUBLISHED, Comparison, Results
from hopfix.reproduce.report import Table

__all__ = ["tables"]

_LABELS = {model.name: model.label for model in MODELS}


def tables(results: Results) -> Iterator[Table]:
    """Yield what there is: beside the published code, all errors, and where learning helps."""
    if "mnist" in results.image_sets():
        yield _beside_published(results)
    largest = max(results.settings.sizes)
    for images in results.image_sets():
        for placement, how in PLACEMENTS.items():
            title = f"{images}, {largest} patterns, {how}: error, mean ± deviation over seeds"
            yield _all_errors(results, images, placement, largest, title)
    for placement, how in PLACEMENTS.items():
        rows = [
            _comparison_row(comparison)
            for size in results.settings.sizes
            if size in (100, largest)
            for comparison in results.comparisons(placement, size)
        ]
        if rows:
            yield Table(f"Does learning help? {how}", _COMPARISON, tuple(rows))


def _beside_published(results: Results) -> Table:
    """Our errors on MNIST with the published settings beside those of the published code."""
    rows = []
    for model in MODELS:
        cells = [model.label]
        for size in (100, 500):
            errors = results.errors("mnist", "random_mask_doubled", model.name, "published", size)
            spread = f"{min(errors):.3g} to {max(errors):.3g}" if errors else "–"
            cells += [
                _with_deviation(errors),
                spread,
                PUBLISHED.get(model.name, {}).get(size, "–"),
            ]
        rows.append(tuple(cells))
    columns = (
        "model",
        *("M=100", "range", "published code"),
        *("M=500", "range", "published code"),
    )
    return Table("MNIST, half masked and the others doubled, β = 1", columns, tuple(rows))


def _all_errors(results: Results, images: str, placement: str, size: int, title: str) -> Table:
    rows = [
        (
            model.label,
            *(
                _with_deviation(results.errors(images, query, model.name, placement, size))
                for query in QUERIES
            ),
        )
        for model in MODELS
    ]
    return Table(title, ("model", *QUERIES), tuple(rows))


_COMPARISON = ("images, M, query", "softmax", "best unlearned", "best U-Hop", "better")


def _comparison_row(comparison: Comparison) -> tuple[str, ...]:
    return (
        f"{comparison.images}, {comparison.size}, {comparison.query}",
        f"{comparison.softmax:.3g}",
        f"{_LABELS[comparison.unlearned]} {comparison.unlearned_error:.3g}",
        f"{_LABELS[comparison.learned]} {comparison.learned_error:.3g}",
        comparison.verdict,
    )


def _with_deviation(errors: list[float]) -> str:
    if not errors:
        return "–"
    mean = f"{np.mean(errors):.3g}"
    return f"{mean} ± {np.std(errors, ddof=1):.2g}" if len(errors) > 1 else mean
