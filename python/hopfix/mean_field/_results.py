"""States of the mean field, and what its calls return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix._arrays import as_integer
from hopfix._comparable import Comparable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class State(Comparable):
    """Where a trajectory stands: all that its continuation needs.

    Attributes:
        attention: (L, M), the attentions of the last L steps, newest first; fewer rows while fewer
            steps have been made.
        position: index mod L of the next token.
        token: (K,) the first token, one number in [−1, 1] for every column of the weight matrices;
            needed while there are fewer than L rows, else ignored.
    """

    attention: Array
    position: int = 0
    token: Array | None = None


@dataclass(frozen=True, eq=False)
class Simulation(Comparable):
    """T steps of one trajectory; row t of each array belongs to the same step.

    Attributes:
        attention: (T, M) the attention A/N of the step.
        output, value, query, key: (T, M) the fields m_t that gave it, positions included.
        semantic_output: (T, M) the part of `output` without positions, with its factor 1 − ε.
        final_state: the state after the last step; simulating from it continues bit for bit.
    """

    attention: Array
    output: Array
    value: Array
    query: Array
    key: Array
    semantic_output: Array
    final_state: State

    @classmethod
    def from_columns(cls, columns: Array, final_state: State) -> Simulation:
        """Split the core's rows, 6 M numbers a step."""
        parts = (np.ascontiguousarray(part) for part in np.split(columns, 6, axis=1))
        attention, output, value, query, key, semantic = parts
        return cls(attention, output, value, query, key, semantic, final_state)


@dataclass(frozen=True, eq=False)
class LyapunovExponents(Comparable):
    """Lyapunov exponents of one trajectory of the map on (A_t, …, A_{t−L+1}).

    Attributes:
        exponents: (n,) descending, nats per step; −inf where the Jacobian was singular.
        error: (n,) their standard errors, from the means over consecutive batches of steps.
        batches: (batches, n) those means.
        final_state: the state after the last step.
    """

    exponents: Array
    error: Array
    batches: Array
    final_state: State

    @classmethod
    def from_batches(cls, batches: Array, final_state: State) -> LyapunovExponents:
        """Average the core's batch means (batches, n) and sort them."""
        exponents, error = mean_and_error(batches)
        order = np.argsort(-exponents, kind="stable")
        return cls(exponents[order], error[order], batches[:, order], final_state)

    @property
    def kaplan_yorke_dimension(self) -> float:
        """The dimension k + Σ_{i≤k} λ_i / |λ_{k+1}|, k the most whose sum is not negative.

        0 if the largest is negative; NaN if the sum of all that were computed is not negative.
        """
        return kaplan_yorke_dimension(self.exponents)


def mean_and_error(batches: Array) -> tuple[Array, Array]:
    """Mean over the axis −2 and its standard error; infinities have the error NaN."""
    mean = batches.mean(axis=-2)
    count = batches.shape[-2]
    with np.errstate(invalid="ignore"):
        deviations = batches - mean[..., None, :]
        error = np.sqrt((deviations**2).sum(axis=-2) / (count * max(count - 1, 1)))
    return mean, error if count > 1 else np.full_like(mean, np.nan)


def kaplan_yorke_dimension(exponents: Array) -> float:
    """The Kaplan–Yorke dimension of exponents in descending order."""
    sums = np.cumsum(exponents)
    negative = np.flatnonzero(sums < 0)
    if len(negative) == 0:
        return float("nan")
    k = int(negative[0])
    if k == 0 or np.isinf(exponents[k]):
        return float(k)
    return float(k - sums[k - 1] / exponents[k])


class Sensitivities(NamedTuple):
    """Derivatives (M,) of the next attention at a fixed window, by the parameters."""

    beta: Array
    gamma: Array
    position_weight: Array


@dataclass(frozen=True, eq=False)
class Bifurcation(Comparable):
    """Trajectories at n parameters.

    Attributes:
        betas, gammas, position_weights: (n,) the parameters.
        values: (n, T, M) `Simulation.semantic_output` of the steps kept.
        exponents: (n, k) Lyapunov exponents over those steps, descending; None if not asked for.
        error: (n, k) their standard errors; None if not asked for.
        final_states: the n last states.
        forcing_period: steps after which the map itself repeats: L with position units, else 1.
    """

    betas: Array
    gammas: Array
    position_weights: Array
    values: Array
    exponents: Array | None
    error: Array | None
    final_states: tuple[State, ...]
    forcing_period: int = 1

    def periods(self, max_period: int = 512) -> npt.NDArray[np.int64]:
        """Return (n,) the least period of each trajectory, or 0 where none is seen.

        Multiples of `forcing_period` up to `max_period`, and to half the steps kept, that repeat
        the last steps within 1e-6 of the trajectory's range.
        """
        from hopfix.mean_field._attractors import recurrence_periods

        return recurrence_periods(
            self.values, self.forcing_period, as_integer("max_period", max_period, 1)
        )

    def kinds(self, max_period: int = 512) -> npt.NDArray[np.str_]:
        """Return (n,) what the trajectories end in, as `AttentionMeanField.classify` names it.

        From periods and exponents alone, without Newton's method and the test of transients.
        """
        from hopfix.mean_field._attractors import kinds_of

        if self.exponents is None or self.error is None:
            raise ValueError("lyapunov: kinds need a bifurcation with lyapunov=True")
        constant = np.ptp(self.values, axis=1).max(axis=1) <= 1e-9
        return kinds_of(self.periods(max_period), constant, self.exponents, self.error)

    def plot(self, feature: int = 0, ax: Axes | None = None) -> Figure:
        """Draw the values that one feature visits against β, or against what varies instead.

        Raises:
            ImportError: naming hopfix[plot], if matplotlib is missing.
        """
        from hopfix.mean_field._picture import bifurcation

        return bifurcation(self, feature, ax)

    def __repr__(self) -> str:
        n, steps, features = self.values.shape
        return f"Bifurcation({n} parameters, {steps} steps of {features} features kept)"


def states_from(attention: Array, position: int, tokens: Array | None) -> tuple[State, ...]:
    """States (count, L, M) of the core, one by one."""
    given: list[Any] = [None] * len(attention) if tokens is None else list(tokens)
    return tuple(State(rows, position, token) for rows, token in zip(attention, given, strict=True))
