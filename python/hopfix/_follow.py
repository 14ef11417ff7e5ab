"""Following branches: from a network and its fixed points to `Branches`."""

from __future__ import annotations

import math
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_integer, as_positive, as_states, as_vector, row_norms
from hopfix._executor import as_executor, delegate_to
from hopfix._image import landscape_of, to_image
from hopfix._logit_terms import LogitTerms, terms_of
from hopfix._progress import Progress, as_progress
from hopfix._retrieval import residuals_of
from hopfix.branches import Branch, Branches, BranchEvent
from hopfix.fixed_points import FixedPoints

if TYPE_CHECKING:
    from hopfix.network import Hopfield

# A given state may be off by so much, relative to max(1, ‖ξ‖).
_RESIDUAL = {"f": 1e-4, "d": 1e-8}


def follow(
    network: Hopfield,
    beta_to: float,
    fixed_points: FixedPoints | npt.ArrayLike | None,
    *,
    offsets: npt.ArrayLike | None,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
    executor: Executor | None,
) -> Branches:
    """See `Hopfield.follow`: check the arguments, and follow the branches of the image."""
    image = landscape_of(network, "follow")
    if network._model.similarity == "neg_sq_l2":
        raise ValueError(
            'follow: does not exist for similarity "neg_sq_l2", whose equivalent log-weights '
            "b − β‖x‖² change with β; follow net.image to 2*beta_to with "
            "offsets=-(net.patterns**2).sum(axis=1) / 2 instead"
        )
    n, d = network.patterns.shape
    if image is not network and fixed_points is not None:
        given = fixed_points.states if isinstance(fixed_points, FixedPoints) else fixed_points
        fixed_points = to_image(network, as_states("fixed_points", given, d, network.dtype)[0])
    target = as_positive("beta_to", beta_to)
    if target == network.beta:
        raise ValueError(f"beta_to: got {target:g}, the network's own beta, need another")
    a: Any = None
    if offsets is not None:
        a = as_vector("offsets", offsets, n, np.dtype(np.float64))
    return follow_branches(
        image,
        target,
        fixed_points,
        terms=terms_of(image, a),
        max_steps=min(as_integer("max_steps", max_steps, 1), 2**62),
        time_limit=None if time_limit is None else as_positive("time_limit", time_limit),
        progress=as_progress(progress),
        executor=as_executor(executor),
    )


def follow_branches(
    network: Hopfield,
    beta_to: float,
    fixed_points: FixedPoints | npt.ArrayLike | None,
    *,
    terms: LogitTerms,
    max_steps: int,
    time_limit: float | None,
    progress: Progress | None,
    executor: Executor | None = None,
) -> Branches:
    """Follow the branches of a network of dot products; all but `fixed_points` is checked."""
    began = time.monotonic()
    try:
        if fixed_points is None:
            fixed_points = network.fixed_points(time_limit=time_limit, executor=executor)
        states = _starts(network, fixed_points)
    except BaseException as error:
        # Of Ctrl-C, and of what the executor raises during the search.
        found = getattr(error, "partial", None)
        if found is not None or isinstance(error, KeyboardInterrupt):
            known = fixed_points if found is None else found
            error.partial = not_followed(network, beta_to, known, terms)  # type: ignore[attr-defined]
        raise
    left = math.inf
    if time_limit is not None:
        left = max(time_limit - (time.monotonic() - began), 1e-3)
    branches, events, cut_short, interruption = _core.follow_branches(
        network._core64,
        states,
        terms.offsets,
        terms.log_weights,
        beta_to,
        max_steps,
        left,
        progress,
        delegate_to(executor, network, None if time_limit is None else left),
        network._threads,
    )
    result = Branches(
        network=network,
        beta_to=beta_to,
        branches=tuple(_branch(columns, network.dtype) for columns in branches),
        events=tuple(_event(fields, network.dtype) for fields in events),
        terms=terms,
        cut_short=cut_short,
    )
    if interruption is not None:
        # Ctrl-C is still Ctrl-C, but what was followed is not lost.
        interruption.partial = result  # type: ignore[attr-defined]
        raise interruption
    return result


def not_followed(network: Hopfield, beta_to: float, found: object, terms: LogitTerms) -> Branches:
    """Where nothing was followed yet: a branch of one point for each of the starts, if listed."""
    branches: tuple[Branch, ...] = ()
    if isinstance(found, FixedPoints):
        branches = tuple(_single(found, k) for k in range(len(found)))
    return Branches(network, beta_to, branches, (), terms=terms, cut_short=True)


def _single(found: FixedPoints, k: int) -> Branch:
    states = found.states[k : k + 1]
    return Branch(
        beta=np.array([found.network.beta]),
        states=states,
        energy=found.energy[k : k + 1].astype(np.float64),
        morse_index=found.morse_index[k : k + 1],
        arclength=np.zeros(1),
        events=(),
        places=np.empty(0, np.int64),
        starts=(k,),
        ends=("interrupted", "interrupted"),
        _log_beta_slopes=np.zeros(1),
        _state_slopes=np.zeros(states.shape),
    )


def _starts(network: Hopfield, given: FixedPoints | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The given states in double precision, which must be fixed points of the network."""
    raw = given.states if isinstance(given, FixedPoints) else given
    states, _ = as_states("fixed_points", raw, network.patterns.shape[1], network.dtype)
    residuals = residuals_of(network, states)
    allowed = _RESIDUAL[network.dtype.char]
    wrong = residuals > allowed * np.maximum(1, row_norms(states))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"fixed_points: state {at} is not a fixed point of this network at beta="
            f"{network.beta:g} (the update moves it by {residuals[at]:.3g}), need fixed points at "
            "that beta: retrieve from it, or leave fixed_points out"
        )
    return states.astype(np.float64)


def _branch(columns: dict[str, Any], dtype: np.dtype[Any]) -> Branch:
    return Branch(
        beta=columns["beta"],
        states=columns["states"].astype(dtype, copy=False),
        energy=columns["energy"],
        morse_index=columns["morse_index"],
        arclength=columns["arclength"],
        events=tuple(int(i) for i in columns["events"]),
        places=columns["places"],
        starts=tuple(int(i) for i in columns["starts"]),
        ends=columns["ends"],
        _log_beta_slopes=columns["log_beta_slopes"],
        _state_slopes=columns["state_slopes"],
    )


def _event(fields: dict[str, Any], dtype: np.dtype[Any]) -> BranchEvent:
    certified = bool(fields["certified"])
    return BranchEvent(
        kind=fields["kind"],
        beta=fields["beta"],
        state=fields["state"].astype(dtype, copy=False),
        branches=fields["branches"],
        multiplicity=fields["multiplicity"],
        found=fields["found"],
        certified=certified,
        radius=fields["radius"] if certified else math.nan,
        beta_radius=fields["beta_radius"] if certified else math.nan,
    )
