"""Derivatives of a network's update and of its fixed points, in states and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import FloatArray, as_float_array, as_nonnegative, as_states, row_norms
from hopfix._retrieval import residuals_of

if TYPE_CHECKING:
    from hopfix.network import Hopfield

VARIABLES = ("states", "patterns", "beta", "log_weights")
# Of I − J, relative to max(1, ‖J‖): rounding moves J by less.
_SINGULAR = 1e-12


def as_variables(wrt: object, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names in `wrt`, a name or a sequence of distinct names, each one of `known`."""
    names = (wrt,) if isinstance(wrt, str) else wrt
    if not isinstance(names, (tuple, list)) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"wrt: got {wrt!r}, need a name or a tuple of names")
    if not names:
        raise ValueError("wrt: got no names, need at least one")
    for i, name in enumerate(names):
        if name not in known:
            raise ValueError(f"wrt: got {name!r}, need one of {', '.join(known)}")
        if name in names[:i]:
            raise ValueError(f"wrt: got {name!r} twice, need each name once")
    return tuple(names)


def jvp(network: Hopfield, states: npt.ArrayLike, t: npt.ArrayLike) -> FloatArray:
    """See `Hopfield.jvp`."""
    flat, vectors, leading = _pairs(network, states, "t", t)
    result: FloatArray = network._core.jvp(flat, vectors, network._threads)
    return result.reshape((*leading, -1))


def vjp(
    network: Hopfield, states: npt.ArrayLike, cotangents: npt.ArrayLike, wrt: str | Sequence[str]
) -> FloatArray | tuple[FloatArray, ...]:
    """See `Hopfield.vjp`."""
    names = as_variables(wrt, VARIABLES)
    flat, vectors, leading = _pairs(network, states, "cotangents", cotangents)
    gradients = _gradients(network, network._core, flat, vectors, names)
    if "states" in gradients:
        gradients["states"] = gradients["states"].reshape((*leading, -1))
    return gradients[wrt] if isinstance(wrt, str) else tuple(gradients[n] for n in names)


def vjp_fixed_point(
    network: Hopfield,
    states: npt.ArrayLike,
    cotangents: npt.ArrayLike,
    wrt: str | Sequence[str],
    tol: float | None,
) -> FloatArray | tuple[FloatArray, ...]:
    """See `Hopfield.vjp_fixed_point`."""
    if not network._model.is_network:
        raise ValueError(
            f"vjp_fixed_point: does not exist for a network with {network._model.describe()}; it "
            'needs similarity "dot" or "neg_sq_l2" with separation "softmax"'
        )
    names = as_variables(wrt, VARIABLES[1:])
    flat, vectors, _ = _pairs(network, states, "cotangents", cotangents)
    wide = flat.astype(np.float64)
    if tol is None:
        allowed = 1e-5 if network.dtype == np.float32 else 1e-11
    else:
        allowed = as_nonnegative("tol", tol)
    residuals = residuals_of(network, wide)
    with np.errstate(over="ignore"):
        moving = residuals > allowed * np.maximum(1, row_norms(wide))
    if moving.any():
        raise ValueError(
            f"states: not fixed points at {_places(moving)}: the update moves the first by "
            f"{residuals[moving][0]:.3g}, need at most tol·max(1, ‖ξ‖) with tol = {allowed:g}"
        )
    adjoints, distances = _core.solve_fixed_point_adjoint(
        network.image._core64, wide, vectors.astype(np.float64), network._threads
    )
    singular = ~(distances > _SINGULAR)
    if singular.any():
        raise ValueError(
            f"states: I − J is singular at {_places(singular)} (degenerate fixed points), "
            "so they have no derivative; leave these states out"
        )
    found = _gradients(network, network._core64, wide, adjoints, names)
    gradients = {name: value.astype(network.dtype) for name, value in found.items()}
    return gradients[wrt] if isinstance(wrt, str) else tuple(gradients[n] for n in names)


def _gradients(
    network: Hopfield, core: Any, flat: FloatArray, vectors: FloatArray, names: Sequence[str]
) -> dict[str, FloatArray]:
    """The derivatives asked for, by name; that of states of shape (count, d)."""
    # J is symmetric; the core of another model decides for itself.
    if tuple(names) == ("states",) and network._model.is_network:
        return {"states": core.jvp(flat, vectors, network._threads)}
    wanted = [name in names for name in VARIABLES]
    values = core.vjp(flat, vectors, wanted, network._threads)
    gradients = {n: v for n, v in zip(VARIABLES, values, strict=True) if v is not None}
    if "beta" in gradients:
        gradients["beta"] = gradients["beta"].reshape(())
    return gradients


def _pairs(
    network: Hopfield, states: npt.ArrayLike, name: str, directions: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    """States and as many directions, and their leading shape."""
    flat, leading = as_states("states", states, network.patterns.shape[1], network.dtype)
    vectors, same = _directions(network, name, directions)
    if leading != same:
        raise ValueError(f"{name}: got leading shape {same}, need that of states, {leading}")
    return flat, vectors, leading


def _directions(
    network: Hopfield, name: str, value: npt.ArrayLike
) -> tuple[FloatArray, tuple[int, ...]]:
    """Tangents have the dimension of states, cotangents that of values."""
    if name != "cotangents" or network._model.values is None:
        return as_states(name, value, network.patterns.shape[1], network.dtype)
    array = as_float_array(name, value)
    dim = network._model.values.shape[1]
    if array.ndim == 0 or array.shape[-1] != dim:
        raise ValueError(f"{name}: got shape {array.shape}, need (..., {dim}), as values have")
    return as_states(name, array, dim, network.dtype)


def _places(chosen: npt.NDArray[np.bool_]) -> str:
    """The first few indices of the chosen states, in C order."""
    indices = np.flatnonzero(chosen)
    shown = ", ".join(map(str, indices[:5]))
    return f"{shown} and {len(indices) - 5} more" if len(indices) > 5 else shown
