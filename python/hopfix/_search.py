"""The searches behind `Hopfield.fixed_points`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hopfix import _closed_form, _core, _face_search
from hopfix._executor import Delegate, delegate_to
from hopfix.fixed_points import FixedPoints, Proof, Undecided, assemble

if TYPE_CHECKING:
    from hopfix.network import Hopfield

Progress: TypeAlias = Callable[[int, int], object]

# Orthonormal networks up to this size are listed in closed form by method="auto"; others are
# searched exhaustively, within as many boxes as take some three seconds on two cores, where these
# are enough to get anywhere.
_AUTO_CLOSED_FORM_UP_TO = 16
_AUTO_SECONDS = 3.0
_AUTO_FEWEST_BOXES = 1_000
_AUTO_WEIGHTS_UP_TO = 30
# Symmetry can list more points than anyone wants to wait for without having asked.
_AUTO_MOST_POINTS = 2**20

FORMS = {
    "auto": _core.CellForm.automatic,
    "weights": _core.CellForm.weights,
    "hull": _core.CellForm.hull,
}

# What method "faces" may prove by.
FACE_FORMS = ("auto", "supports")

_ARITHMETIC = "IEEE 754 binary64, round-to-nearest, all rounding bounded outwards"


def search(
    network: Hopfield,
    method: str,
    *,
    certify: bool,
    form: str,
    max_boxes: int | None,
    max_face: int | None,
    max_count: int | None,
    time_limit: float | None,
    symmetry: bool,
    seed: int,
    progress: Progress | None,
    executor: Executor | None,
) -> FixedPoints:
    """Run the named search; arguments are checked by `Hopfield.fixed_points`."""
    n = network.patterns.shape[0]
    if method == "auto" and n <= _AUTO_CLOSED_FORM_UP_TO and _closed_form.applies(network):
        method = "closed_form"
    interruption: BaseException | None
    delegate = delegate_to(executor, network, time_limit)
    if method == "auto":
        result, interruption = _auto(
            network, form, max_boxes, max_count, time_limit, symmetry, seed, progress, delegate
        )
    elif method == "closed_form":
        result, interruption = _closed_form.search(
            network, certify, max_count, time_limit, progress
        )
    elif method == "cells":
        result, interruption = _cells(
            network, form, max_boxes, max_count, time_limit, symmetry, progress, delegate
        )
    elif method == "faces":
        result, interruption = _face_search.search(
            network, form, max_face, max_boxes, max_count, time_limit, progress, delegate
        )
    else:
        result, interruption = _starts(network, max_count, time_limit, seed, progress, delegate)
    if interruption is not None:
        # Ctrl-C is still Ctrl-C, but what was found is not lost.
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _auto(
    network: Hopfield,
    form: str,
    max_boxes: int | None,
    max_count: int | None,
    time_limit: float | None,
    symmetry: bool,
    seed: int,
    progress: Progress | None,
    delegate: Delegate | None,
) -> tuple[FixedPoints, BaseException | None]:
    """Search exhaustively if that ends soon, from starts otherwise.

    The budget counts boxes, not seconds, so that the result does not depend on the machine.
    """
    budget = _boxes_worth_trying(network, form)
    if budget >= _AUTO_FEWEST_BOXES:
        started = time.monotonic()
        result, interruption = _cells(
            network,
            form,
            budget if max_boxes is None else max_boxes,
            _AUTO_MOST_POINTS if max_count is None else max_count,
            time_limit,
            symmetry,
            progress,
            delegate,
        )
        out_of_reach = {_core.reason_box_limit, _core.reason_precision}
        if interruption is not None or not out_of_reach & {x.reason for x in result.undecided}:
            return result, interruption
        if time_limit is not None:
            time_limit = max(time_limit - (time.monotonic() - started), 1e-3)
    return _starts(network, max_count, time_limit, seed, progress, delegate)


def _boxes_worth_trying(network: Hopfield, form: str) -> int:
    try:
        chosen, seconds_of_a_box = _core.plan_cells(network._core64, FORMS[form])
    except ValueError:  # too many patterns in too many dimensions
        return 0
    if chosen == _core.CellForm.weights and len(network.patterns) > _AUTO_WEIGHTS_UP_TO:
        return 0
    return int(_AUTO_SECONDS / seconds_of_a_box)


def _starts(
    network: Hopfield,
    max_count: int | None,
    time_limit: float | None,
    seed: int,
    progress: Progress | None,
    delegate: Delegate | None,
) -> tuple[FixedPoints, BaseException | None]:
    columns, interruption = _core.fixed_points_by_starts(
        network._core64,
        seed,
        2**62 if max_count is None else max_count,
        np.inf if time_limit is None else time_limit,
        network.dtype == np.float32,
        progress,
        delegate,
        network._threads,
    )
    cut = Undecided(None, "the search was cut short (time_limit, max_count or an interruption)")
    result = assemble(
        network,
        columns,
        method="starts",
        proved=False,
        left=(cut,) if columns["cut_short"] else (),
    )
    return result, interruption


def _cells(
    network: Hopfield,
    form: str,
    max_boxes: int | None,
    max_count: int | None,
    time_limit: float | None,
    symmetry: bool,
    progress: Progress | None,
    delegate: Delegate | None,
) -> tuple[FixedPoints, BaseException | None]:
    columns, interruption = _core.fixed_points_by_cells(
        network._core64,
        FORMS[form],
        2**62 if max_boxes is None else max_boxes,
        2**62 if max_count is None else max_count,
        np.inf if time_limit is None else time_limit,
        symmetry,
        network.dtype == np.float32,
        progress,
        delegate,
        network._threads,
    )
    left = tuple(Undecided(state, reason, radius) for state, radius, reason in columns["undecided"])
    result = assemble(
        network,
        columns,
        method="cells",
        proved=not left,
        left=left,
        proof=Proof(
            form=columns["form"].name,
            boxes=columns["boxes"],
            newton_steps=columns["newton_steps"],
            depth=columns["depth"],
            seconds=columns["seconds"],
            symmetry=tuple(tuple(members) for members in columns["symmetry"]),
            representatives=columns["representatives"],
            arithmetic=_ARITHMETIC,
            version=_core.version,
        ),
    )
    return result, interruption
