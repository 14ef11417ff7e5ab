"""Classes of columns of the weight matrices, as the core takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_float_array, as_integer, require_finite
from hopfix.mean_field._columns import require_kind
from hopfix.mean_field._results import Array, Sensitivities, State


class System:
    """Columns that act alike, merged: everything but β, γ and ε.

    Args:
        projection: (K, M) output weights P of the columns, which give tanh(β P·A).
        readouts: (4, M, K) weights times shares of o, v, q, k.
        shares: (K,) of the units.
        positions: (L, 4 M) what position units add to the fields, for ε = 1.
        distinct: the columns are not to be merged.

    Attributes:
        projection, readouts, positions: of the merged classes.
        columns: K, the columns given; classes: how many they are merged to.
        shares: (classes,) of the units.
        features: M. context: L. core: the compiled system.
    """

    def __init__(
        self,
        projection: Array,
        readouts: Array,
        shares: Array,
        positions: Array,
        *,
        distinct: bool = False,
    ) -> None:
        self.columns: int = projection.shape[0]
        self.features: int = projection.shape[1]
        self.context = len(positions)
        self.positions = positions
        # What a first token, one number for every column, is for the merged classes.
        if distinct:
            self._class_of = np.arange(self.columns)
            self._signs = self._parts = np.ones(self.columns)
        else:
            self._class_of, self._signs, self._parts = merge(projection, readouts, shares)
        self.classes = int(self._class_of.max()) + 1
        self.projection = np.zeros((self.classes, self.features))
        self.projection[self._class_of] = projection * self._signs[:, None]
        self.readouts = np.zeros((4, self.features, self.classes))
        for column, at in enumerate(self._class_of):
            self.readouts[:, :, at] += readouts[:, :, column] * self._signs[column]
        self.shares = np.bincount(self._class_of, weights=shares).astype(np.float64)
        self.core: Any = self._compiled()

    def _compiled(self) -> Any:
        return _core.AttentionSystem(
            self.projection, self.readouts.reshape(4 * self.features, -1), self.positions
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.core = self._compiled()

    @property
    def has_positions(self) -> bool:
        """Whether there are position units that do anything."""
        return bool(self.positions.any())

    def as_token(self, token: npt.ArrayLike) -> Array:
        """A first token (K,) in [−1, 1], checked."""
        values = as_float_array("token", token).astype(np.float64)
        if values.shape != (self.columns,):
            raise ValueError(f"token: got shape {values.shape}, need ({self.columns},)")
        if not (np.abs(values) <= 1).all():
            raise ValueError(
                f"token: got {values.min():g} to {values.max():g}, need numbers from -1 to 1"
            )
        return values

    def window(self, states: Sequence[State]) -> tuple[Array, Array | None]:
        """Attentions (count, filled, M), and first tokens (count, classes) where filled < L."""
        for state in states:
            require_kind("state", state, State)
            as_integer("state.position", state.position, 0, self.context - 1)
        rows = [as_float_array("state.attention", state.attention) for state in states]
        shape = rows[0].shape
        if len(shape) != 2 or shape[0] > self.context or shape[1] != self.features:
            raise ValueError(
                f"state.attention: got shape {shape}, need ({self.context}, {self.features}), or "
                "fewer rows and a first token"
            )
        attention = np.ascontiguousarray(np.stack(rows), dtype=np.float64)
        require_finite("state.attention", attention)
        if shape[0] == self.context:
            return attention, None
        merged = np.zeros((len(states), self.classes))
        for row, state in zip(merged, states, strict=True):
            if state.token is None:
                raise ValueError(
                    f"state.token: needed with {shape[0]} of {self.context} rows of attention"
                )
            np.add.at(row, self._class_of, self.as_token(state.token) * self._signs * self._parts)
        return attention, merged

    def fields(self, beta: float, weight: float, attention: Array, positions: Any) -> Array:
        """Fields (4, …, M) of the tokens after attentions (…, M), at positions (…)."""
        tanhs = np.tanh(beta * (attention @ self.projection.T))
        semantic = np.einsum("xac,...c->x...a", self.readouts, tanhs)
        answer: Array = (1 - weight) * semantic + weight * self.position_fields(positions)
        return answer

    def position_fields(self, positions: Any) -> Array:
        """What position units add to the fields (4, …, M) of tokens at positions (…)."""
        table = self.positions.reshape(self.context, 4, self.features)
        return np.moveaxis(table[np.asarray(positions) % self.context], -2, 0)

    def full_window(self, state: State) -> Array:
        """Attentions (1, L, M) of a state that has L of them."""
        attention, _ = self.window([state])
        if attention.shape[1] < self.context:
            raise ValueError(
                f"state: got {attention.shape[1]} attentions, need a full window of {self.context}"
            )
        return attention


def merge(projection: Array, readouts: Array, shares: Array) -> tuple[Any, Array, Array]:
    """Which class of the merged system each column belongs to, its sign there, and its share.

    Columns belong together if their weights per share are equal, up to one sign. Columns without a
    projection answer to nothing but a first token and are kept apart by their readouts.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(shares > 0, readouts / shares, readouts)
    stacked = np.concatenate([projection, each.reshape(-1, len(shares)).T], axis=1)
    first = np.argmax(stacked != 0, axis=1)
    signs = np.sign(stacked[np.arange(len(stacked)), first])
    signs[signs == 0] = 1.0
    # As np.unique with axis=0, which keeps the GIL.
    rows = stacked * signs[:, None] + 0.0
    order = np.lexsort(rows.T[::-1])
    new = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    columns = np.empty(len(rows), np.int64)
    columns[order] = np.concatenate([[0], np.cumsum(new)])
    totals = np.bincount(columns, weights=shares)[columns]
    part = np.where(totals > 0, shares / np.where(totals > 0, totals, 1.0), 0.0)
    return columns, signs, part


def sensitivities(
    system: System, beta: float, gamma: float, weight: float, windows: Array, positions: Any
) -> Sensitivities:
    """The derivatives (n, M) of the next attentions by the parameters, at windows (n, L, M)."""
    keep, ages = 1 - weight, np.arange(system.context)
    places = np.asarray(positions)[:, None] - ages
    overlaps = windows @ system.projection.T
    tanhs = np.tanh(beta * overlaps)
    semantic = np.einsum("xac,ntc->xnta", system.readouts, tanhs)
    by_beta = keep * np.einsum("xac,ntc->xnta", system.readouts, overlaps * (1 - tanhs**2))
    _, values, queries, keys = system.fields(beta, weight, windows, places)
    root = np.sqrt(system.features)
    query = queries[:, :1]
    scores = (keys * query).sum(axis=2) / root
    shares = np.exp(gamma * (scores - scores.max(axis=1, keepdims=True)))
    shares /= shares.sum(axis=1, keepdims=True)
    apart = values - (shares[:, None] @ values)

    def attention_change(fields: Array, scale: float) -> Array:
        """For changes of the fields (4, n, L, M), newest token first, and of γ."""
        change = (fields[3] * query).sum(axis=2) + (keys * fields[2][:, :1]).sum(axis=2)
        slopes = scale * scores + gamma / root * change
        answer: Array = (shares[:, :, None] * (fields[1] + slopes[:, :, None] * apart)).sum(axis=1)
        return answer

    return Sensitivities(
        beta=attention_change(by_beta, 0.0),
        gamma=attention_change(np.zeros_like(by_beta), 1.0),
        position_weight=attention_change(system.position_fields(places) - semantic, 0.0),
    )
