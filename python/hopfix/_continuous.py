"""The continuous Hopfield network; public as `hopfix.classical.ContinuousHopfield`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_integer,
    as_nonnegative,
    as_patterns,
    as_positive,
    as_real,
    as_states,
    as_vector,
)
from hopfix._config import resolve_threads
from hopfix._interchange import interchange, is_foreign, on_host
from hopfix._limits import require_memory
from hopfix._rebuilding import rebuild
from hopfix._results import Certificates, Retrieval, certificates_from
from hopfix._retrieval import as_tolerance, retrieval_of

_DENSE = (math.inf, 0)
OVERFLOW = (
    "states: the computation overflows; patterns, states and gain are too large for this dtype "
    "(need gain |pattern|^2 |state| within its range)"
)


class ContinuousHopfield:
    """The network f(ξ) = tanh(g (Wξ − b)), W = Σ x_i x_iᵀ.

    Sources: Hopfield, "Neurons with graded response have collective computational properties like
    those of two-state neurons" (1984); "Looking at the Performer from a Hopfield point of view"
    for the sparse variant.

    Args:
        patterns: (N, d), one pattern per row; copied. float32 and float64 keep their dtype,
            integers and bool become float64; states are converted to it and results come in it.
        bias: (d,) b, default 0.
        sparsify_above: a threshold: components above it are set to zero in the query and in the
            inner copy X_s of the patterns, f(ξ) = tanh(g (X X_sᵀ ξ_s − b)), Eq. 20 of the source
            with −0.5; or ("top", fraction): the floor(fraction · d) largest components of every
            row are (of equal ones those that come first). None: nothing is.
        gain: g > 0.
        zero_diagonal: the diagonal of W is set to zero. Then W is not positive semi-definite, and
            synchronous updates may end in cycles of two states.
        num_threads: as in `Hopfield`.

    W is formed where N >= d/2, and never elsewhere: O(min(2N, d) d) a state. Accuracy of a field,
    u the unit roundoff: (2d + N) u Σ_i |x_ik| ‖x_i‖ ‖ξ‖; tanh to 4 ulp. Results are bitwise the
    same for every number of threads, and for a state alone or in any batch. Calls release the GIL
    and stop on Ctrl-C between blocks of states. A network is immutable.

    With `sparsify_above` there is no energy, and no `newton` or `certify`; `certify` needs the
    diagonal. Asking for them is a ValueError. Patterns outside host memory make a
    `hopfix.gpu.DeviceContinuousHopfield`, which computes there.

    Example:
        >>> patterns = np.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
        >>> net = hopfix.classical.ContinuousHopfield(patterns)
        >>> net.retrieve([0.9, 0.2, -0.5, -1.0]).states.round(3)
        array([ 0.999,  0.999, -0.999, -0.999])
    """

    def __new__(cls, patterns: Any = None, *_: Any, **__: Any) -> ContinuousHopfield:
        """Make a `hopfix.gpu.DeviceContinuousHopfield` for patterns outside host memory."""
        if is_foreign(patterns) and not on_host(patterns):
            from hopfix.gpu import DeviceContinuousHopfield

            return super().__new__(DeviceContinuousHopfield)
        return super().__new__(cls)

    @interchange
    def __init__(
        self,
        patterns: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        sparsify_above: float | tuple[str, float] | None = None,
        *,
        gain: float = 1.0,
        zero_diagonal: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self._patterns = as_patterns("patterns", patterns)
        dim = self._patterns.shape[1]
        self._bias = None if bias is None else as_vector("bias", bias, dim, self.dtype, "component")
        self._settle(dim, sparsify_above, gain, zero_diagonal)
        self._threads = resolve_threads(num_threads)
        self._core: Any = self._core_of(self.dtype)
        self._core64_cache: Any = None

    def _settle(
        self,
        dim: int,
        sparsify_above: float | tuple[str, float] | None,
        gain: float,
        zero_diagonal: bool,
    ) -> None:
        """Check the options beside the arrays."""
        self._gain = as_positive("gain", gain)
        self._zero_diagonal = as_bool("zero_diagonal", zero_diagonal)
        self._sparsity = _sparsity(sparsify_above, dim)
        self._sparsify_above = sparsify_above
        if self._zero_diagonal and self._sparsity != _DENSE:
            raise ValueError("zero_diagonal: got True, need False together with sparsify_above")

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self._patterns, self._bias, self._sparsify_above)
        options = {
            "gain": self._gain,
            "zero_diagonal": self._zero_diagonal,
            "num_threads": self._threads,
        }
        return rebuild, (type(self), arguments, options)

    @property
    def patterns(self) -> FloatArray:
        """(N, d), read-only."""
        return self._patterns

    @property
    def bias(self) -> FloatArray:
        """(d,) b, a new array."""
        dim = self._patterns.shape[1]
        return np.zeros(dim, self.dtype) if self._bias is None else self._bias.copy()

    @property
    def gain(self) -> float:
        """The gain g."""
        return self._gain

    @property
    def zero_diagonal(self) -> bool:
        """Whether the diagonal of W is set to zero."""
        return self._zero_diagonal

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._patterns.dtype

    def _core_of(self, dtype: npt.DTypeLike) -> Any:
        kind: Any = _core.ContinuousNetwork32 if dtype == np.float32 else _core.ContinuousNetwork64
        return kind(
            self._patterns.astype(dtype, copy=False),
            self._gain,
            None if self._bias is None else self._bias.astype(dtype, copy=False),
            self._zero_diagonal,
            *self._sparsity,
        )

    @property
    def _core64(self) -> Any:
        """The same network in double precision, in which fixed points are found and proved."""
        if self.dtype == np.float64:
            return self._core
        if self._core64_cache is None:
            self._core64_cache = self._core_of(np.float64)
        return self._core64_cache

    def _states(
        self, states: npt.ArrayLike, dtype: npt.DTypeLike | None = None
    ) -> tuple[FloatArray, tuple[int, ...]]:
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        return as_states("states", states, self._patterns.shape[1], wanted)

    def _require_dense(self, method: str) -> None:
        if self._sparsity != _DENSE:
            raise ValueError(
                f"{method}: does not exist for a network with sparsify_above; make one without it"
            )

    @interchange
    def update(self, states: npt.ArrayLike) -> FloatArray:
        """Return f(ξ), shape (..., d)."""
        flat, leading = self._states(states)
        return _finite(self._core.update(flat, self._threads)).reshape((*leading, -1))

    @interchange
    def energy(self, states: npt.ArrayLike) -> FloatArray:
        """Return the energy, shape (...), of states in [−1, 1].

        E(ξ) = −½ξᵀWξ + b·ξ + g⁻¹ Σ_k ∫₀^{ξ_k} artanh, formed in double precision. Its critical
        points are the fixed points, and synchronous updates never increase it for W ⪰ 0, that is
        without `zero_diagonal`.
        """
        self._require_dense("energy")
        flat, leading = self._states(states)
        outside = np.abs(flat) > 1
        if outside.any():
            worst = int(np.argmax(outside))
            place = tuple(int(i) for i in np.unravel_index(worst, (*leading, flat.shape[1])))
            raise ValueError(
                f"states: got {flat.flat[worst]} at index {place}, need entries within [-1, 1]"
            )
        result: FloatArray = _finite(self._core.energy(flat, self._threads)).reshape(leading)[()]
        return result

    @interchange
    def jacobian(self, states: npt.ArrayLike) -> FloatArray:
        """Return J(ξ) = diag(g sech²(g (Wξ − b))) W, shape (..., d, d).

        Formed in double precision, without cancellation where tanh is saturated; O(d²) a state and
        O(Nd²) once a call. With `sparsify_above` the set of components that are zero is taken as
        fixed.
        """
        flat, leading = self._states(states)
        dim = flat.shape[1]
        require_memory("jacobian", (*leading, dim, dim), self.dtype, "take fewer states")
        return _finite(self._core.jacobian(flat, self._threads)).reshape((*leading, dim, dim))

    @interchange
    def retrieve(
        self, states: npt.ArrayLike, *, max_steps: int = 1000, tol: float | None = None
    ) -> Retrieval:
        """Apply the update to every query until ‖f(ξ) − ξ‖₂ ≤ tol · max(1, ‖ξ‖₂).

        Args:
            states: (..., d).
            max_steps: most updates; without convergence the result is exactly that many.
            tol: default 1e-6 (float32), 1e-12 (float64).

        Returns:
            Retrieval(states, steps, converged, residual), each query's independent of the batch.
        """
        flat, leading = self._states(states)
        steps = min(as_integer("max_steps", max_steps, 0), 2**62)
        tolerance = as_tolerance(tol, self.dtype == np.float32)
        return _retrieval(self._core.retrieve(flat, steps, tolerance, self._threads), leading)

    @interchange
    def newton(
        self, states: npt.ArrayLike, *, max_steps: int = 200, tol: float = 1e-12
    ) -> Retrieval:
        """Find fixed points, stable or not, by Newton's method from every state.

        The step (I − J)⁻¹ (f(ξ) − ξ) is halved up to three times until the residual falls; where
        no part of it helps, plain updates are taken, twice as many every time, so that from far
        away it often ends where plain iteration does. In double precision, results too (for a
        float32 network those of its stored numbers). Systems are of order min(N, d): O(N²d + N³) a
        step for N < d.

        Args:
            states: (..., d), where to start.
            max_steps: most steps; without convergence the last state is returned.
            tol: as in `retrieve`, by default 1e-12 for every dtype.

        Returns:
            Retrieval(states, steps, converged, residual), float64.

        Raises:
            ValueError: with `sparsify_above`; or naming the argument, as a TypeError does.
        """
        self._require_dense("newton")
        flat, leading = self._states(states, np.float64)
        steps = min(as_integer("max_steps", max_steps, 0), 2**62)
        tolerance = as_nonnegative("tol", tol)
        return _retrieval(self._core64.newton(flat, steps, tolerance, self._threads), leading)

    @interchange
    def certify(self, states: npt.ArrayLike) -> Certificates:
        """Prove, where possible, that a unique fixed point lies near each state.

        The map meant is the exact one for the stored numbers; all rounding is bounded. In overlaps
        m = Xξ a fixed point solves m = X tanh(g (Xᵀm − b)), whose derivative X D Xᵀ is symmetric
        and self-concordant: |d log sech²| <= 2. So Newton–Kantorovich works as for `Hopfield`, see
        cpp/include/hopfix/continuous_hopfield.hpp. The Morse index is the number of eigenvalues of
        J above 1, which is that of eigenvalues of the energy's Hessian below 0. States are taken
        in double precision, as `newton` returns them. O(N²d + N³) a state.

        Raises:
            RuntimeError: a thread does not round to nearest with gradual underflow.
        """
        self._require_dense("certify")
        if self._zero_diagonal:
            raise ValueError(
                "certify: does not exist for a network with zero_diagonal, whose W is not positive "
                "semi-definite"
            )
        flat, leading = self._states(states, np.float64)
        return certificates_from(self._core64.certify(flat, self._threads), leading)


def _sparsity(rule: object, dim: int) -> tuple[float, int]:
    """Return the threshold (infinite: none) and how many of the largest components to drop."""
    if rule is None:
        return _DENSE
    if isinstance(rule, (tuple, str)):
        if isinstance(rule, str) or len(rule) != 2 or rule[0] != "top":
            raise ValueError(f'sparsify_above: got {rule!r}, need a number or ("top", fraction)')
        fraction = as_real("sparsify_above", rule[1])
        if not 0 < fraction <= 1:
            raise ValueError(f"sparsify_above: got fraction {fraction}, need 0 < fraction <= 1")
        return math.inf, math.floor(fraction * dim)
    threshold = as_real("sparsify_above", rule)
    if not math.isfinite(threshold):
        raise ValueError(f"sparsify_above: got {threshold}, need a finite number")
    return threshold, 0


def _finite(result: FloatArray) -> FloatArray:
    if _core.first_not_finite(result) >= 0:
        raise ValueError(OVERFLOW)
    return result


def _retrieval(columns: tuple[Any, ...], leading: tuple[int, ...]) -> Retrieval:
    _finite(columns[0])
    return retrieval_of(columns, leading)
