"""The continuous Hopfield network on a device."""

from __future__ import annotations

import math
from typing import Any

from hopfix._config import resolve_threads
from hopfix._continuous import OVERFLOW, ContinuousHopfield
from hopfix._results import Retrieval
from hopfix.gpu._namespace import (
    as_device_floats,
    device_of,
    flat_rows,
    namespace_of,
    shaped,
)
from hopfix.gpu._retrieve import retrieve, with_leading
from hopfix.gpu._store import row_blocks

_ON_HOST = "exists on the host only: make a ContinuousHopfield of a copy of the patterns there"


class DeviceContinuousHopfield(ContinuousHopfield):
    """A `hopfix.classical.ContinuousHopfield` of patterns outside host memory.

    Arguments and methods are those of `ContinuousHopfield`; arrays are of the patterns' library on
    their device. Patterns are not copied if they are floating-point: do not write into them. W is
    formed for `jacobian` alone, all else is O(Nd) a state; energies and Jacobians are formed in
    double precision. Results agree with the host's to rounding, not bitwise. `newton` and `certify`
    exist only on the host (NotImplementedError).
    """

    def __init__(
        self,
        patterns: Any,
        bias: Any = None,
        sparsify_above: float | tuple[str, float] | None = None,
        *,
        gain: float = 1.0,
        zero_diagonal: bool = False,
        num_threads: int | None = None,
    ) -> None:
        rows = as_device_floats("patterns", patterns)
        if rows.ndim != 2:
            raise ValueError(f"patterns: got {rows.ndim} dimensions, need 2: shape (N, d)")
        self._patterns: Any = rows
        dim = int(rows.shape[1])
        self._bias: Any = None
        if bias is not None:
            given = self._array("bias", bias)
            if given.shape != (dim,):
                raise ValueError(
                    f"bias: got shape {tuple(given.shape)}, need ({dim},), one per component"
                )
            self._bias = given
        self._settle(dim, sparsify_above, gain, zero_diagonal)
        self._threads = resolve_threads(num_threads)

    @property
    def bias(self) -> Any:
        """(d,) b."""
        xp = namespace_of(self._patterns)
        return xp.zeros_like(self._patterns[0, :]) if self._bias is None else self._bias

    @property
    def device(self) -> Any:
        """Where the network is, as its library names it."""
        return device_of(self._patterns)

    def update(self, states: Any) -> Any:
        """Return f(ξ), shape (..., d)."""
        flat, leading = self._flat(states)
        return shaped(self._update(flat), (*leading, flat.shape[1]))

    def energy(self, states: Any) -> Any:
        """Return the energy of `ContinuousHopfield.energy`, shape (...)."""
        self._require_dense("energy")
        flat, leading = self._flat(states)
        xp = namespace_of(flat)
        if not bool(xp.all(xp.abs(flat) <= 1)):
            raise ValueError("states: got an entry beyond 1 or -1, need entries within [-1, 1]")
        wide = xp.astype(flat, xp.float64)
        bias = xp.astype(self.bias, xp.float64)
        # −½ξᵀWξ + b·ξ = −½ξ·(Wξ − b) + ½b·ξ
        products = xp.sum(wide * self._fields(wide), axis=-1) - xp.sum(wide * bias, axis=-1)
        inside = xp.abs(wide) < 1
        safe = xp.where(inside, wide, xp.zeros_like(wide))
        integrals = safe * xp.atanh(safe) + xp.log1p(-safe * safe) / 2
        integrals = xp.where(inside, integrals, xp.zeros_like(wide) + math.log(2))
        energies = xp.sum(integrals, axis=-1) / self._gain - products / 2
        return shaped(self._finite(xp.astype(energies, flat.dtype)), leading)

    def jacobian(self, states: Any) -> Any:
        """Return J(ξ) = diag(g sech²(g (Wξ − b))) W, shape (..., d, d)."""
        flat, leading = self._flat(states)
        xp, dim = namespace_of(flat), int(flat.shape[1])
        wide, rows = xp.astype(flat, xp.float64), xp.astype(self._patterns, xp.float64)
        matrix = rows.T @ self._sparse(rows)
        if self._zero_diagonal:
            matrix = matrix * (1 - xp.eye(dim, dtype=matrix.dtype, device=self.device))
        small = xp.exp(-self._gain * xp.abs(self._fields(wide)))
        slopes = self._gain * (2 * small / (1 + small * small)) ** 2
        seen = xp.astype(~self._dropped(wide), wide.dtype)
        found = slopes[:, :, None] * matrix[None, :, :] * seen[:, None, :]
        return shaped(self._finite(xp.astype(found, flat.dtype)), (*leading, dim, dim))

    def retrieve(
        self, states: Any, *, max_steps: int = 1000, tol: float | None = None
    ) -> Retrieval:
        """Apply the update until every query stops: see `ContinuousHopfield.retrieve`."""
        flat, leading = self._flat(states)
        return with_leading(retrieve(self._update, flat, max_steps, tol), leading)

    def newton(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"newton: {_ON_HOST}")

    def certify(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"certify: {_ON_HOST}")

    def _update(self, flat: Any) -> Any:
        xp = namespace_of(flat)
        return xp.tanh(self._gain * self._finite(self._fields(flat)))

    def _fields(self, states: Any) -> Any:
        """Wξ − b in the dtype of states (B, d)."""
        xp = namespace_of(states)
        rows = xp.astype(self._patterns, states.dtype, copy=False)
        keys, blocks = self._sparse(rows), []
        for block in row_blocks(int(states.shape[0]), int(rows.shape[0])):
            blocks.append((self._sparse(states[block, :]) @ keys.T) @ rows)
        fields = xp.concat(blocks)
        if self._zero_diagonal:
            fields = fields - states * xp.sum(rows * rows, axis=0)
        return fields - xp.astype(self.bias, states.dtype, copy=False)

    def _sparse(self, rows: Any) -> Any:
        xp = namespace_of(rows)
        return xp.where(self._dropped(rows), xp.zeros_like(rows), rows)

    def _dropped(self, rows: Any) -> Any:
        """Which components `sparsify_above` sets to zero."""
        xp, (threshold, count) = namespace_of(rows), self._sparsity
        if not count:
            return rows > threshold
        order = xp.argsort(rows, axis=-1, descending=True, stable=True)
        return xp.argsort(order, axis=-1) < count

    def _finite(self, array: Any) -> Any:
        xp = namespace_of(array)
        if not bool(xp.all(xp.isfinite(array))):
            raise ValueError(OVERFLOW)
        return array

    def _array(self, name: str, value: Any) -> Any:
        rows = self._patterns
        xp = namespace_of(rows)
        array = as_device_floats(name, value, xp, device_of(rows))
        return xp.astype(array, rows.dtype, copy=False)

    def _flat(self, states: Any) -> tuple[Any, tuple[int, ...]]:
        return flat_rows("states", self._array("states", states), int(self._patterns.shape[1]))
