"""What a trajectory ends in: periodic orbits, tori, chaos, and how it is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_integer
from hopfix._eigenvalues import eigenvalues
from hopfix.mean_field._columns import require_kind, require_model
from hopfix.mean_field._results import Array, LyapunovExponents, State

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

Kind = Literal["fixed", "periodic", "quasi-periodic", "chaotic", "hyperchaotic", "undecided"]

# Orbits that come back within this share of their range are periodic, as far as a search can tell.
_RECURRENCE = 1e-6
# Exponents within this, or four standard errors, of 0 count as 0.
_ZERO = 2e-4
_NEWTON_STEPS = 20


@dataclass(frozen=True, eq=False)
class PeriodicOrbit:
    """A cycle of the map, found by Newton's method.

    Attributes:
        attention: (p, M) the attentions of one period, in the order of time.
        state: the state after which it begins.
        residual: the largest change of the window after p steps.
        multipliers: (L M,) complex eigenvalues of the Jacobian of p steps, largest modulus first.
        stable: whether all of them are inside the unit circle.
        radius: a cycle is proved to lie within this distance of `attention`, in each component;
            NaN where none was proved (`certify_orbit`).
        uniqueness_radius: exactly one cycle lies within this one; NaN likewise.
    """

    attention: Array
    state: State
    residual: float
    multipliers: npt.NDArray[np.complex128]
    radius: float = math.nan
    uniqueness_radius: float = math.nan

    @property
    def certified(self) -> bool:
        """Whether a cycle near this one is proved to exist."""
        return math.isfinite(self.radius)

    @property
    def period(self) -> int:
        """The number of its steps."""
        return len(self.attention)

    @property
    def stable(self) -> bool:
        """Whether nearby trajectories are attracted."""
        return bool(np.abs(self.multipliers[0]) < 1)


@dataclass(frozen=True, eq=False)
class Attractor:
    """What a trajectory was found to end in.

    Attributes:
        kind: "fixed", "periodic", "quasi-periodic", "chaotic", "hyperchaotic" or "undecided".
        period: of a cycle, else None.
        orbit: the cycle itself, converged to rounding, else None.
        lyapunov: the exponents that were estimated.
        evidence: why, in a sentence.
        state: the last state.
    """

    kind: Kind
    period: int | None
    orbit: PeriodicOrbit | None
    lyapunov: LyapunovExponents
    evidence: str
    state: State

    def __repr__(self) -> str:
        period = f" of period {self.period}" if self.period else ""
        return f"Attractor({self.kind}{period}: {self.evidence})"


def forcing_period(model: AttentionMeanField) -> int:
    """Steps after which the map itself repeats: L with position units, 1 without."""
    return model.context if model.position_weight > 0 and model._system.has_positions else 1


def periodic_orbit(
    model: AttentionMeanField, state: State, period: int, *, refine: bool = True
) -> PeriodicOrbit:
    """Return the cycle near a full window, stable or not, by Newton's method.

    Args:
        model: the network.
        state: a guess of one of its states.
        period: steps p, a multiple of L if there are position units.
        refine: False takes the state as one of the cycle, as it is.

    Raises:
        ValueError: where Newton's method does not converge to rounding.
    """
    require_model(model)
    length = as_integer("period", period, 1)
    forcing = forcing_period(model)
    if length % forcing:
        raise ValueError(
            f"period: got {length}, need a multiple of {forcing}: position units repeat after that"
        )
    window = model._system.full_window(state)[0]
    last = np.inf
    for _ in range(_NEWTON_STEPS):
        start = State(window, state.position)
        miss, jacobian, _ = orbit_jacobian(model, start, length)
        residual = float(np.abs(miss).max())
        # Newton's method ends where rounding stops it.
        if not refine or residual <= 1e-13 or (residual <= 1e-11 and residual >= last / 2):
            multipliers = eigenvalues(jacobian[None])[0].astype(np.complex128)
            order = np.argsort(-np.abs(multipliers), kind="stable")
            path = model.simulate(length, start).attention
            return PeriodicOrbit(path, start, residual, multipliers[order])
        last = residual
        try:
            step = np.linalg.solve(np.eye(len(jacobian)) - jacobian, miss)
        except np.linalg.LinAlgError:
            break
        window = window + step.reshape(window.shape)
        if not np.abs(window).max() < 1e3:
            break
    raise ValueError(
        f"state: Newton's method finds no cycle of period {length} near it (residual {last:.2g}); "
        "start from a state that has settled, see AttentionMeanField.simulate"
    )


def certify_orbit(model: AttentionMeanField, orbit: PeriodicOrbit) -> PeriodicOrbit:
    """Return the cycle with proved radii, or with NaN where the proof fails.

    Interval arithmetic with all rounding bounded (cpp/include/hopfix/attention_orbit.hpp): the map
    meant is that of the stored numbers, exactly. Multipliers and stability are not proved.
    O((p M)² L M), p the period.

    Raises:
        RuntimeError: a thread does not round to nearest with gradual underflow.
    """
    require_model(model)
    require_kind("orbit", orbit, PeriodicOrbit)
    p, m, context = orbit.period, model.features, model.context
    if p % forcing_period(model):
        raise ValueError(f"orbit: got period {p}, need a multiple of {forcing_period(model)}")
    # Windows before each step, newest first; a short cycle fills them more than once.
    ages = np.arange(p)[:, None] - 1 - np.arange(context)
    windows = np.ascontiguousarray(orbit.attention[ages % p])
    places = orbit.state.position + np.arange(p)
    blocks = _jacobian_blocks(model, windows, places)
    slope = np.eye(p * m).reshape(p, m, p, m)
    for age in range(context):
        slope[np.arange(p), :, ages[:, age] % p] -= blocks[:, age]
    radius, unique = math.nan, math.nan
    try:
        inverse: Array = np.linalg.inv(slope.reshape(p * m, p * m)).astype(np.float64)
    except np.linalg.LinAlgError:
        return replace(orbit, radius=radius, uniqueness_radius=unique)
    radius, unique = _core.certify_attention_orbit(
        model._system.core,
        model._parameters(1),
        np.ascontiguousarray(orbit.attention),
        orbit.state.position % context,
        inverse,
        model._threads,
    )
    return replace(orbit, radius=radius, uniqueness_radius=unique)


def _jacobian_blocks(model: AttentionMeanField, windows: Array, places: Any) -> Array:
    """(n, L, M, M) derivatives of the next attention, at windows (n, L, M) and positions (n,)."""
    count, context, m = windows.shape
    blocks = np.empty((count, context, m, m))
    for phase in range(min(context, count)):
        rows = np.ascontiguousarray(windows[phase::context])
        blocks[phase::context] = _core.attention_jacobian(
            model._system.core,
            model._parameters(len(rows)),
            rows,
            int(places[phase]) % context,
            model._threads,
        )
    return blocks


def orbit_jacobian(
    model: AttentionMeanField, start: State, length: int
) -> tuple[Array, Array, Array]:
    """What `length` steps change a window w by, F(w) − w, and the derivatives of F by w and β."""
    context, m = model.context, model.features
    window = np.asarray(start.attention, dtype=np.float64)
    path = np.concatenate([window[::-1], model.simulate(length, start).attention])
    windows = np.lib.stride_tricks.sliding_window_view(path, context, axis=0)[:length]
    windows = np.ascontiguousarray(windows.transpose(0, 2, 1)[:, ::-1])  # newest first
    places = start.position + np.arange(length)
    slopes = model._sensitivities(windows, places).beta
    blocks = _jacobian_blocks(model, windows, places)
    size = context * m
    jacobian, by_beta = np.eye(size), np.zeros(size)
    for block, slope in zip(blocks, slopes, strict=True):
        top = block.transpose(1, 0, 2).reshape(m, size)
        by_beta = np.concatenate([top @ by_beta + slope, by_beta[:-m]])
        jacobian = np.concatenate([top @ jacobian, jacobian[:-m]])
    miss = path[-context:][::-1] - window
    return miss.ravel(), jacobian, by_beta


def recurrence_periods(values: Array, forcing: int, max_period: int) -> npt.NDArray[np.int64]:
    """The least period ≤ max_period of each trajectory (n, T, M), a multiple of `forcing`; or 0.

    A trajectory has the period p if its last steps, p of them or 2 max_period if that is fewer,
    repeat p steps later within 1e-6 of its range.
    """
    count, steps, _ = values.shape
    periods = np.zeros(count, dtype=np.int64)
    scale = np.ptp(values, axis=1).max(axis=1)
    allowed = _RECURRENCE * np.where(scale > 0, scale, 1)
    for p in range(forcing, min(max_period, steps // 2) + 1, forcing):
        open_rows = np.flatnonzero(periods == 0)
        if len(open_rows) == 0:
            break
        # One step first, which most trajectories fail.
        near = np.abs(values[open_rows, -1] - values[open_rows, -1 - p]).max(axis=1)
        rows = open_rows[near <= allowed[open_rows]]
        length = min(steps - p, max(p, 2 * forcing))
        apart = np.abs(values[rows, -length:] - values[rows, -length - p : -p]).max(axis=(1, 2))
        periods[rows[apart <= allowed[rows]]] = p
    return periods


def kinds_of(
    periods: npt.NDArray[np.int64], constant: npt.NDArray[np.bool_], exponents: Array, error: Array
) -> npt.NDArray[np.str_]:
    """Kinds of n trajectories from periods (0: none), exponents (n, k ≥ 1) and their errors."""
    uncertain = 4 * np.nan_to_num(error) + 1e-6
    zero = np.maximum(uncertain, _ZERO)
    kinds = np.full(len(periods), "undecided", dtype="<U14")
    first = exponents[:, 0]
    # Large errors are those of chaos that a short run cannot tell from anything else.
    kinds[(np.abs(first) <= zero[:, 0]) & (zero[:, 0] <= 10 * _ZERO)] = "quasi-periodic"
    kinds[first > zero[:, 0]] = "chaotic"
    if exponents.shape[1] > 1:
        kinds[exponents[:, 1] > zero[:, 1]] = "hyperchaotic"
    cycle = (periods > 0) & (first < uncertain[:, 0])
    kinds[cycle] = "periodic"
    kinds[cycle & constant] = "fixed"
    return kinds


def classify(
    model: AttentionMeanField,
    start: State | None = None,
    *,
    steps: int = 40_000,
    discard: int = 20_000,
    max_period: int = 512,
) -> Attractor:
    """Tell what a trajectory ends in, with the evidence.

    A cycle is one to which Newton's method converges, that attracts, and that the trajectory
    repeats within 1e-6. Otherwise the Lyapunov exponents decide: those within four standard
    errors or 2e-4 of 0 count as 0, and nothing is said where that is more than 2e-3. Where the
    largest one still changes between the halves of the run by five standard errors, or
    contradicts a period that was not found, the answer is "undecided". Other starts
    may lead to other attractors.

    Args:
        model: the network.
        start: where from; default `model.first_token()`.
        steps: steps of the exponents, those discarded included.
        discard: first steps that do not count.
        max_period: the longest cycle looked for.

    Example:
        >>> model = hopfix.mean_field.AttentionMeanField.paper(beta=1.0)
        >>> found = hopfix.mean_field.classify(model)
        >>> found.kind, found.period
        ('periodic', 4)
    """
    require_model(model)
    exponents = model.lyapunov(steps, start, discard)
    state = exponents.final_state
    largest = as_integer("max_period", max_period, 1)
    forcing = forcing_period(model)
    tail = model.simulate(2 * max(largest, forcing), state)
    values = tail.attention[None]
    period = int(recurrence_periods(values, forcing, largest)[0])
    first, error = exponents.exponents[0], np.nan_to_num(exponents.error[0])
    said = f"largest exponent {first:.5f} ± {error:.5f} per step"
    if period:
        try:
            orbit = periodic_orbit(model, tail.final_state, period)
        except ValueError:
            return Attractor("undecided", None, None, exponents, said + ", nearly periodic", state)
        modulus = abs(orbit.multipliers[0])
        if orbit.stable:
            fixed = bool(np.ptp(orbit.attention, axis=0).max() <= 1e-12)
            shown = f"Newton's residual {orbit.residual:.1g}, largest multiplier {modulus:.4f}"
            kind: Kind = "fixed" if fixed else "periodic"
            return Attractor(kind, 1 if fixed else period, orbit, exponents, shown, state)
        return Attractor(
            "undecided", None, None, exponents, f"an unstable cycle nearby ({said})", state
        )
    drift = _drift(exponents)
    if drift > 5:
        return Attractor(
            "undecided", None, None, exponents, f"{said}, still changing: a transient?", state
        )
    none = np.zeros(1, dtype=np.int64)
    kind_text = str(kinds_of(none, none > 0, exponents.exponents[None], exponents.error[None])[0])
    found: Kind = kind_text  # type: ignore[assignment]
    if found == "undecided":
        said += f", but no period up to {largest}"
    return Attractor(found, None, None, exponents, said, state)


def _drift(exponents: LyapunovExponents) -> float:
    """How far the largest exponent's means over both halves are apart, in standard errors."""
    series = exponents.batches[:, 0]
    first, second = np.array_split(series, 2)
    spread = np.sqrt(first.var() / len(first) + second.var() / len(second))
    return float(abs(first.mean() - second.mean()) / spread) if spread > 0 else 0.0
