"""What computes the members of the family that are not the plain network, with its interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix import _core
from hopfix._arrays import FloatArray
from hopfix._eigenvalues import eigenvalues

if TYPE_CHECKING:
    from hopfix._similarity import Model

_OVERFLOW = (
    "states: the computation overflows; patterns, states and beta are too large for this dtype"
)
_FAULTS = {
    "not_finite": _OVERFLOW,
    "all_minus_infinity": _OVERFLOW,
    "all_zero": (
        'separation: "polynomial" has no score to raise above zero for state {row}: there is '
        "nothing to normalise; use another separation, or scores above zero"
    ),
}


class SquaredDistanceCore:
    """Softmax of −β‖x − ξ‖² + b as the network with 2β and log-weights b − β‖x‖².

    All values, derivatives in the state and fixed points are those of that network; only the
    derivatives in patterns and β take the chain rule.
    """

    def __init__(self, network: Any, patterns: FloatArray, beta: float) -> None:
        self.network = network
        self._patterns = patterns
        self._beta = beta

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def vjp(
        self, states: FloatArray, cotangents: FloatArray, wanted: list[bool], threads: int
    ) -> tuple[FloatArray | None, ...]:
        """Derivatives with respect to states, patterns, beta and log_weights where wanted."""
        want_states, want_patterns, want_beta, want_logs = wanted
        shifts = want_patterns or want_beta or want_logs
        inner = [want_states, want_patterns, want_beta, shifts]
        of_states, of_patterns, of_beta, of_logs = self.network.vjp(
            states, cotangents, inner, threads
        )
        if want_patterns:
            of_patterns = of_patterns - 2 * self._beta * of_logs[:, None] * self._patterns
        if want_beta:
            squares = np.einsum("ij,ij->i", self._patterns, self._patterns, dtype=np.float64)
            of_beta = (2 * of_beta - (of_logs * squares).sum()).astype(self._patterns.dtype)
        return of_states, of_patterns, of_beta, of_logs if want_logs else None


class MemoryCore:
    """The general memory of the core, with the interface of its network and worded errors."""

    def __init__(self, memory: Any, model: Model, dim: int) -> None:
        self.memory = memory
        self._model = model
        self._dim = dim

    def update(self, states: FloatArray, threads: int) -> FloatArray:
        """f(ξ), (count, v)."""
        return _checked(self.memory.update(states, threads))

    def weights(self, states: FloatArray, threads: int) -> FloatArray:
        """p, (count, N)."""
        return _checked(self.memory.weights(states, threads))

    def energy(self, states: FloatArray, threads: int) -> FloatArray:
        """E, (count,), where there is one."""
        model = self._model
        if model.similarity in ("neg_l2", "neg_l1"):
            raise ValueError(
                f'energy: similarity "{model.similarity}" has no energy; "dot", kernels and '
                '"neg_sq_l2" have'
            )
        if model.separation[0] == "polynomial":
            raise ValueError(
                'energy: separation "polynomial" has no energy: it has no conjugate; all '
                "other separations have"
            )
        if model.values is not None:
            raise ValueError(
                "energy: values other than the patterns have no energy; leave values out"
            )
        if model.normalize or model.sparsify_above is not None:
            option = "normalize" if model.normalize else "sparsify_above"
            raise ValueError(
                f"energy: {option} has no energy: the values are not the keys; leave it out"
            )
        return _checked(self.memory.energy(states, threads))

    def jvp(self, states: FloatArray, tangents: FloatArray, threads: int) -> FloatArray:
        """J t, (count, v)."""
        self._require_derivative(states, threads)
        return _checked(self.memory.jvp(states, tangents, threads))

    def vjp(
        self, states: FloatArray, cotangents: FloatArray, wanted: list[bool], threads: int
    ) -> tuple[FloatArray | None, ...]:
        """Jᵀ c, (count, d): derivatives with respect to states alone."""
        if any(wanted[1:]):
            raise ValueError(
                f'wrt: need "states" alone for a network with {self._model.describe()}; '
                'derivatives in patterns, beta and log_weights exist for similarity "dot" and '
                '"neg_sq_l2" with separation "softmax"'
            )
        self._require_derivative(states, threads)
        return _checked(self.memory.vjp(states, cotangents, threads)), None, None, None

    def jacobian(self, states: FloatArray, threads: int) -> FloatArray:
        """J, (count, v, d), column by column."""
        count, dim = states.shape
        pairs = (count, dim, dim)  # copied by reshape, which unlike np.repeat releases the GIL
        repeated = np.broadcast_to(states[:, None], pairs).reshape(-1, dim)
        units = np.broadcast_to(np.eye(dim, dtype=states.dtype), pairs).reshape(-1, dim)
        columns = self.jvp(repeated, units, threads).reshape(count, dim, -1)
        return np.ascontiguousarray(columns.transpose(0, 2, 1))

    def spectral_radius(self, states: FloatArray, threads: int) -> FloatArray:
        """The largest modulus of an eigenvalue of J, (count,)."""
        self.require_square("spectral_radius")
        jacobian = self.jacobian(states, threads).astype(np.float64)
        moduli = np.abs(eigenvalues(jacobian)).max(axis=-1)
        return np.asarray(moduli, dtype=states.dtype)

    def retrieve(
        self, states: FloatArray, max_steps: int, tol: float, threads: int
    ) -> tuple[FloatArray, ...]:
        """Plain iteration; as the core's network."""
        self.require_square("retrieve")
        arrays, fault, row = self.memory.retrieve(states, max_steps, tol, threads)
        _checked((arrays[0], fault, row))
        result: tuple[FloatArray, ...] = arrays
        return result

    def require_square(self, method: str) -> None:
        """Refuse what needs values of the states' dimension."""
        values, dim = self._model.values, self._dim
        if values is not None and values.shape[1] != dim:
            raise ValueError(
                f"{method}: values have dimension {values.shape[1]}, need that of the patterns, "
                f"{dim}"
            )

    def _require_derivative(self, states: FloatArray, threads: int) -> None:
        model = self._model
        if model.similarity in ("neg_l2", "neg_l1"):
            raise ValueError(
                f'jacobian: similarity "{model.similarity}" has no derivative at the patterns; '
                'Jacobians exist for "dot", kernels and "neg_sq_l2"'
            )
        if model.normalize:
            zero = ~np.any(self.memory.map(states, threads) != 0, axis=1)
            if zero.any():
                raise ValueError(
                    f"states: state {int(np.flatnonzero(zero)[0])} has the zero vector as its key, "
                    "where normalize=True has no derivative"
                )


def _checked(answer: tuple[FloatArray, str, int]) -> FloatArray:
    """Return the result, or raise ValueError for the state that has none."""
    result, fault, row = answer
    if fault:
        raise ValueError(_FAULTS[fault].format(row=row))
    if _core.first_not_finite(result) >= 0:
        raise ValueError(_OVERFLOW)
    return result
