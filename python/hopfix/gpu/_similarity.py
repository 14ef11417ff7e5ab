"""How a network on a device compares states with patterns.

The dot product is what `Store` computes. A kernel W changes only the query, as Wx·Wξ = x·WᵀWξ; the
squared distance is a dot product with other log-weights; for other distances the store differs, and
only values exist, as on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hopfix.gpu._derivatives import gradients, jacobian, jvp, spectral_radius
from hopfix.gpu._namespace import as_device_floats
from hopfix.gpu._store import DistanceStore, Store

_NAMES = ("dot", "neg_sq_l2", "neg_l2", "neg_l1")


@dataclass(frozen=True)
class Dot:
    """x·ξ. What depends on the similarity is here, for states (B, d) of `store`.

    Attributes:
        store: what reduces the patterns at `queries` of the states.
        landscape: the store of the network of dot products with the same fixed points.
    """

    store: Store
    name = "dot"
    has_landscape = True

    @property
    def option(self) -> Any:
        """What `Hopfield` takes as its similarity."""
        return self.name

    @property
    def landscape(self) -> Store:
        """This store, unless fixed points live in another space."""
        return self.store

    def queries(self, states: Any) -> Any:
        """What the patterns are compared with, linear in the states."""
        return states

    def squares(self, states: Any) -> Any:
        """Twice the quadratic term of the energy, (B,)."""
        return self.store.xp.sum(states * states, axis=-1)

    def jacobian(self, states: Any) -> Any:
        """J, (B, d, d)."""
        return jacobian(self.store, states)

    def spectral_radius(self, states: Any) -> Any:
        """The largest eigenvalue of J, (B,)."""
        return spectral_radius(self.store, states)

    def jvp(self, states: Any, tangents: Any) -> Any:
        """J t, (B, d)."""
        return jvp(self.store, states, tangents)

    def gradients(self, states: Any, cotangents: Any, names: Sequence[str]) -> dict[str, Any]:
        """Derivatives of Σ c·f(ξ) in the variables of `Hopfield.vjp`."""
        return gradients(self.store, states, cotangents, names)


@dataclass(frozen=True)
class SquaredDistance(Dot):
    """−‖x − ξ‖²: the dot product with 2β and log-weights b − β‖x‖², up to a term of ξ alone."""

    name = "neg_sq_l2"

    def gradients(self, states: Any, cotangents: Any, names: Sequence[str]) -> dict[str, Any]:
        """As the dot product's, by the chain rule through 2β and the log-weights."""
        xp, patterns, beta = self.store.xp, self.store.patterns, self.store.beta / 2
        found = gradients(self.store, states, cotangents, sorted({*names, "log_weights"}))
        shifts = found["log_weights"]
        if "patterns" in names:
            found["patterns"] = found["patterns"] - 2 * beta * shifts[:, None] * patterns
        if "beta" in names:
            squares = xp.sum(patterns * patterns, axis=-1)
            found["beta"] = 2 * found["beta"] - xp.sum(shifts * squares)
        return {name: found[name] for name in names}


@dataclass(frozen=True)
class Kernel(Dot):
    """Wx·Wξ of a matrix W, (D, d)."""

    matrix: Any
    name = "<kernel>"

    @property
    def option(self) -> Any:
        """W."""
        return self.matrix

    @property
    def landscape(self) -> Store:
        """The network of patterns Wx, whose states are Wξ."""
        return replace(self.store, patterns=self.store.patterns @ self.matrix.T)

    def queries(self, states: Any) -> Any:
        """ξ WᵀW, row by row."""
        return (states @ self.matrix.T) @ self.matrix

    def squares(self, states: Any) -> Any:
        """‖Wξ‖²."""
        return super().squares(states @ self.matrix.T)

    def jacobian(self, states: Any) -> Any:
        """J of the dot product at the query, times WᵀW."""
        return self.queries(jacobian(self.store, self.queries(states)))

    def spectral_radius(self, states: Any) -> Any:
        """That of `landscape` at Wξ: J there is W J_dot Wᵀ, with the same eigenvalues but zeros."""
        return spectral_radius(self.landscape, states @ self.matrix.T)

    def jvp(self, states: Any, tangents: Any) -> Any:
        """J t, (B, d)."""
        return jvp(self.store, self.queries(states), self.queries(tangents))

    def gradients(self, states: Any, cotangents: Any, names: Sequence[str]) -> dict[str, Any]:
        """Jᵀ c, in the states alone."""
        if tuple(names) != ("states",):
            raise ValueError(
                'wrt: need "states" alone for a network with a kernel; derivatives in patterns, '
                'beta and log_weights exist for similarity "dot" and "neg_sq_l2"'
            )
        return {"states": self.queries(jvp(self.store, self.queries(states), cotangents))}


@dataclass(frozen=True)
class Distance(Dot):
    """−‖x − ξ‖ in the 2-norm or the 1-norm, from differences."""

    store: DistanceStore
    has_landscape = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """neg_l1 or neg_l2."""
        return f"neg_l{self.store.order}"

    def squares(self, states: Any) -> Any:
        """Raise ValueError: there is no energy."""
        raise ValueError(
            f'energy: similarity "{self.name}" has no energy; "dot", kernels and "neg_sq_l2" have'
        )

    def jacobian(self, states: Any) -> Any:
        """Raise ValueError."""
        raise self._no_derivative()

    def spectral_radius(self, states: Any) -> Any:
        """Raise ValueError."""
        raise self._no_derivative()

    def jvp(self, states: Any, tangents: Any) -> Any:
        """Raise ValueError."""
        raise self._no_derivative()

    def gradients(self, states: Any, cotangents: Any, names: Sequence[str]) -> dict[str, Any]:
        """Raise ValueError."""
        raise self._no_derivative()

    def _no_derivative(self) -> ValueError:
        return ValueError(
            f'jacobian: similarity "{self.name}" has no derivative at the patterns; Jacobians '
            'exist for "dot", kernels and "neg_sq_l2"'
        )


def similarity_of(value: Any, store: Store, device: Any) -> Dot:
    """Return the similarity that `Hopfield` calls `value`, of the patterns of a store."""
    if isinstance(value, str):
        if value not in _NAMES:
            raise ValueError(
                f"similarity: got {value!r}, need one of {', '.join(_NAMES)}, a kernel "
                "matrix (D, d) or an object with a `matrix`"
            )
        if value == "dot":
            return Dot(store)
        if value == "neg_sq_l2":
            return SquaredDistance(_of_squared_distance(store))
        parts = (store.xp, store.patterns, store.log_weights, store.beta)
        return Distance(DistanceStore(*parts, order=int(value[-1])))
    xp, patterns = store.xp, store.patterns
    matrix = as_device_floats("similarity", getattr(value, "matrix", value), xp, device)
    if matrix.ndim != 2 or matrix.shape[1] != store.dim:
        raise ValueError(
            f"similarity: got a kernel matrix of shape {tuple(matrix.shape)}, need "
            f"(D, {store.dim}), D >= 1"
        )
    return Kernel(store, xp.astype(matrix, patterns.dtype, copy=False))


def _of_squared_distance(store: Store) -> Store:
    """The store of 2β and b − β‖x‖², formed in double precision."""
    xp = store.xp
    wide = store.astype(xp.float64)
    shifted = wide.log_weights - store.beta * xp.sum(wide.patterns * wide.patterns, axis=-1)
    dtype = store.patterns.dtype
    # Asked before the conversion, in which a number beyond float32 would become an infinity.
    if not bool(xp.all(xp.abs(shifted) <= xp.finfo(dtype).max)):
        raise ValueError(
            'similarity: "neg_sq_l2" needs beta·‖pattern‖² within the range of '
            f"{dtype}; patterns and beta are too large"
        )
    return replace(store, log_weights=xp.astype(shifted, dtype, copy=False), beta=2 * store.beta)
