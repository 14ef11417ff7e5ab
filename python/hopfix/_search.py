"""The searches behind `Hopfield.fixed_points`."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hopfix import _closed_form, _core, _face_search
from hopfix._arrays import as_bool, as_integer, as_limit, as_positive
from hopfix._executor import Delegate, as_executor, delegate_to
from hopfix._fixed_point_list import assemble
from hopfix._progress import Progress, as_progress
from hopfix.fixed_points import FixedPoints, Proof, Undecided

if TYPE_CHECKING:
    from hopfix.network import Hopfield

# Orthonormal networks up to this size are listed in closed form by method="auto"; others are
# searched exhaustively, within as many boxes as take some three seconds on two cores, where these
# are enough to get anywhere.
_AUTO_CLOSED_FORM_UP_TO = 16
_AUTO_SECONDS = 3.0
_AUTO_FEWEST_BOXES = 1_000
_AUTO_WEIGHTS_UP_TO = 30
# Symmetry can list more points than anyone wants to wait for without having asked.
_AUTO_MOST_POINTS = 2**20

METHODS = ("auto", "cells", "faces", "starts", "closed_form")
FORMS = {
    "auto": _core.CellForm.automatic,
    "weights": _core.CellForm.weights,
    "hull": _core.CellForm.hull,
}

# What method "faces" may prove by.
FACE_FORMS = ("auto", "supports")

_ARITHMETIC = "IEEE 754 binary64, round-to-nearest, all rounding bounded outwards"


@dataclass(frozen=True)
class SearchOptions:
    """The arguments of `Hopfield.fixed_points`, checked."""

    method: str
    certify: bool
    form: str
    max_boxes: int | None
    max_face: int | None
    max_count: int | None
    time_limit: float | None
    symmetry: bool
    seed: int
    progress: Progress | None
    executor: Executor | None

    @classmethod
    def checked(
        cls,
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
    ) -> SearchOptions:
        """TypeError or ValueError, naming the argument, unless they are what they must be."""
        if method not in METHODS:
            raise ValueError(f"method: got {method!r}, need one of {', '.join(METHODS)}")
        forms = FACE_FORMS if method == "faces" else tuple(FORMS)
        if form not in forms:
            raise ValueError(
                f"form: got {form!r}, need one of {', '.join(forms)} for method {method!r}"
            )
        return cls(
            method=method,
            certify=as_bool("certify", certify),
            form=form,
            max_boxes=None if max_boxes is None else as_limit("max_boxes", max_boxes),
            max_face=None if max_face is None else as_integer("max_face", max_face, 1),
            max_count=None if max_count is None else as_limit("max_count", max_count),
            time_limit=None if time_limit is None else as_positive("time_limit", time_limit),
            symmetry=as_bool("symmetry", symmetry),
            seed=as_integer("seed", seed, 0) % 2**64,
            progress=as_progress(progress),
            executor=as_executor(executor),
        )


def search(network: Hopfield, options: SearchOptions) -> FixedPoints:
    """Run the search that is asked for."""
    n, method = network.patterns.shape[0], options.method
    if method == "auto" and n <= _AUTO_CLOSED_FORM_UP_TO and _closed_form.applies(network):
        method = "closed_form"
    interruption: BaseException | None
    delegate = delegate_to(options.executor, network, options.time_limit)
    if method == "auto":
        result, interruption = _auto(network, options, delegate)
    elif method == "closed_form":
        result, interruption = _closed_form.search(
            network, options.certify, options.max_count, options.time_limit, options.progress
        )
    elif method == "cells":
        result, interruption = _cells(network, options, delegate)
    elif method == "faces":
        result, interruption = _face_search.search(
            network,
            options.form,
            options.max_face,
            options.max_boxes,
            options.max_count,
            options.time_limit,
            options.progress,
            delegate,
        )
    else:
        result, interruption = _starts(network, options, delegate)
    if interruption is not None:
        # Ctrl-C is still Ctrl-C, but what was found is not lost.
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def _auto(
    network: Hopfield, options: SearchOptions, delegate: Delegate | None
) -> tuple[FixedPoints, BaseException | None]:
    """Search exhaustively if that ends soon, from starts otherwise.

    The budget counts boxes, not seconds, so that the result does not depend on the machine.
    """
    budget = _boxes_worth_trying(network, options.form)
    if budget >= _AUTO_FEWEST_BOXES:
        started = time.monotonic()
        limited = replace(
            options,
            max_boxes=budget if options.max_boxes is None else options.max_boxes,
            max_count=_AUTO_MOST_POINTS if options.max_count is None else options.max_count,
        )
        result, interruption = _cells(network, limited, delegate)
        out_of_reach = {_core.reason_box_limit, _core.reason_precision}
        if interruption is not None or not out_of_reach & {x.reason for x in result.undecided}:
            return result, interruption
        if options.time_limit is not None:
            left = max(options.time_limit - (time.monotonic() - started), 1e-3)
            options = replace(options, time_limit=left)
    return _starts(network, options, delegate)


def _boxes_worth_trying(network: Hopfield, form: str) -> int:
    try:
        chosen, seconds_of_a_box = _core.plan_cells(network._core64, FORMS[form])
    except ValueError:  # too many patterns in too many dimensions
        return 0
    if chosen == _core.CellForm.weights and len(network.patterns) > _AUTO_WEIGHTS_UP_TO:
        return 0
    return int(_AUTO_SECONDS / seconds_of_a_box)


def _starts(
    network: Hopfield, options: SearchOptions, delegate: Delegate | None
) -> tuple[FixedPoints, BaseException | None]:
    columns, interruption = _core.fixed_points_by_starts(
        network._core64,
        options.seed,
        2**62 if options.max_count is None else options.max_count,
        np.inf if options.time_limit is None else options.time_limit,
        network.dtype == np.float32,
        options.progress,
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
    network: Hopfield, options: SearchOptions, delegate: Delegate | None
) -> tuple[FixedPoints, BaseException | None]:
    columns, interruption = _core.fixed_points_by_cells(
        network._core64,
        FORMS[options.form],
        2**62 if options.max_boxes is None else options.max_boxes,
        2**62 if options.max_count is None else options.max_count,
        np.inf if options.time_limit is None else options.time_limit,
        options.symmetry,
        network.dtype == np.float32,
        options.progress,
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
