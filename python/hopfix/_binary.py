"""The binary Hopfield network; public as `hopfix.classical.BinaryHopfield`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_float_array,
    as_integer,
    as_patterns,
    as_states,
    as_vector,
)
from hopfix._comparable import Comparable
from hopfix._config import resolve_threads
from hopfix._interchange import in_callers_kind, interchange
from hopfix._rebuilding import rebuild

_MODES = ("synchronous", "asynchronous")
_ORDERS = ("cyclic", "random")
_MOST_NUMBERS = 2**31 - 2  # N (d + 1): fields are exact integers of 32 bits


@in_callers_kind
@dataclass(frozen=True, eq=False, slots=True)
class BinaryRetrieval(Comparable):
    """Result of `BinaryHopfield.retrieve`; leading shapes are those of the queries.

    Its arrays are the caller's, as those of `Retrieval`.

    Attributes:
        states: (..., d) of −1 and 1, the state after `steps` updates.
        steps: (...) int64, the least number of updates (sweeps) whose state comes back after
            `period` more; `max_steps` where there is none.
        period: (...) int64, 1 at a fixed point, 2 on a cycle of two states, 0 where `max_steps`
            came first.
    """

    states: FloatArray
    steps: npt.NDArray[np.int64]
    period: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Lock nothing."""

    @property
    def converged(self) -> npt.NDArray[np.bool_]:
        """(...) bool, whether the state is a fixed point."""
        return np.asarray(self.period == 1)


class BinaryHopfield:
    """The network of signs ξ ← sgn(Wξ − b), W = Σ x_i x_iᵀ, where sgn(0) keeps the component.

    Sources: Hopfield, "Neural networks and physical systems with emergent collective computational
    abilities" (1982); Goles and Olivos (1981) for the cycles of synchronous updates.

    Args:
        patterns: (N, d) of −1 and 1, in any dtype that `Hopfield` takes; it decides the dtype of
            results in the same way. Kept as bits. N (d + 1) must be below 2³¹.
        bias: (d,) b, default 0; in double precision.
        zero_diagonal: the diagonal of W, which is N, is set to zero.
        num_threads: as in `Hopfield`.

    All is exact integer arithmetic: every field is the exact sum, and its comparison with the bias
    is exact. So results do not depend on the batch, the number of threads or the machine. W is
    not formed: an update counts the bits in which words differ and looks up sums of a few patterns
    in tables, O(Nd) bit operations a state. States are (d,) or (..., d) of −1 and 1, results keep
    the leading shape; other numbers are a ValueError. Calls release the GIL and stop within a
    second on Ctrl-C. A network is immutable.

    Capacity: random patterns are stable, but for a few per cent of the components, up to
    N ≈ 0.14 d (Amit, Gutfreund and Sompolinsky 1985).

    Example:
        >>> patterns = np.array([[1, 1, -1, -1, 1, -1], [1, -1, 1, -1, -1, 1]])
        >>> net = hopfix.classical.BinaryHopfield(patterns)
        >>> found = net.retrieve([1, 1, -1, -1, -1, -1])  # one component of the first is wrong
        >>> found.states
        array([ 1.,  1., -1., -1.,  1., -1.])
        >>> int(found.period)
        1
    """

    @interchange
    def __init__(
        self,
        patterns: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        zero_diagonal: bool = False,
        *,
        num_threads: int | None = None,
    ) -> None:
        given = as_float_array("patterns", patterns)
        if given.ndim == 2 and given.shape[0] * (given.shape[1] + 1) >= _MOST_NUMBERS:
            raise ValueError(f"patterns: got shape {given.shape}, need N (d + 1) below 2^31 - 2")
        rows = as_patterns("patterns", given)
        self._dtype = rows.dtype
        self._dim = rows.shape[1]
        self._zero_diagonal = as_bool("zero_diagonal", zero_diagonal)
        self._threads = resolve_threads(num_threads)
        self._bias = (
            None
            if bias is None
            else as_vector("bias", bias, self._dim, np.dtype(np.float64), "component")
        )
        words = self._pack("patterns", rows, rows.shape)
        self._core = _core.BinaryNetwork(words, self._dim, self._bias, self._zero_diagonal)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.patterns, self._bias, self._zero_diagonal)
        return rebuild, (type(self), arguments, {"num_threads": self._threads})

    @property
    def patterns(self) -> FloatArray:
        """(N, d), a new array."""
        return self._unpack(self._core.patterns())

    @property
    def bias(self) -> npt.NDArray[np.float64]:
        """(d,) b, a new array."""
        return np.zeros(self._dim) if self._bias is None else self._bias.astype(np.float64)

    @property
    def zero_diagonal(self) -> bool:
        """Whether the diagonal of W is set to zero."""
        return self._zero_diagonal

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, of results."""
        return self._dtype

    def _pack(self, name: str, rows: FloatArray, shape: tuple[int, ...]) -> npt.NDArray[np.uint64]:
        words, wrong = _core.pack_signs(rows, self._threads)
        if wrong >= 0:
            place = tuple(int(i) for i in np.unravel_index(wrong, shape))
            raise ValueError(f"{name}: got {rows.flat[wrong]} at index {place}, need -1 or 1")
        return words

    def _unpack(self, words: npt.NDArray[np.uint64]) -> FloatArray:
        if self._dtype == np.float32:
            return _core.unpack_signs32(words, self._dim, self._threads)
        return _core.unpack_signs64(words, self._dim, self._threads)

    def _states(self, states: npt.ArrayLike) -> tuple[npt.NDArray[np.uint64], tuple[int, ...]]:
        flat, leading = as_states("states", states, self._dim, self._dtype)
        return self._pack("states", flat, (*leading, self._dim)), leading

    @interchange
    def update(self, states: npt.ArrayLike) -> FloatArray:
        """Return one synchronous update, shape (..., d), of states of −1 and 1, else ValueError."""
        words, leading = self._states(states)
        return self._unpack(self._core.update(words, self._threads)).reshape((*leading, -1))

    @interchange
    def energy(self, states: npt.ArrayLike) -> FloatArray:
        """Return −½ξᵀWξ + b·ξ, shape (...), which asynchronous updates never increase.

        Its quadratic part is exact below 2⁵³; the result is rounded to the network's dtype.
        """
        words, leading = self._states(states)
        energies = self._core.energy(words, self._threads)
        result: FloatArray = energies.astype(self._dtype).reshape(leading)[()]
        return result

    @interchange
    def retrieve(
        self,
        states: npt.ArrayLike,
        mode: str = "synchronous",
        order: str = "cyclic",
        seed: int = 0,
        *,
        max_steps: int = 1000,
    ) -> BinaryRetrieval:
        """Iterate every query to a fixed point, or a cycle of two states.

        Args:
            states: (..., d) of −1 and 1.
            mode: "synchronous": all components at once, which ends in a fixed point or a cycle of
                two states; "asynchronous": one after the other, in sweeps over all components,
                which ends in a fixed point, since w_kk >= 0.
            order: of asynchronous sweeps: "cyclic" 0, 1, …, d − 1; "random": every sweep in an
                order of its own.
            seed: of random orders, which are functions of the seed and the number of the sweep:
                the same for all queries of a call, so that none depends on its batch.
            max_steps: most updates (sweeps). Without an end within them, the state after exactly
                so many is returned.

        Costs an update or two more than `steps`, which find the end. A sweep takes fields of 128
        components at a time from the same tables as an update, and moves those behind a component
        that changes by its exact weights.

        Raises:
            TypeError, ValueError: naming the argument.
        """
        words, leading = self._states(states)
        if mode not in _MODES:
            raise ValueError(f"mode: got {mode!r}, need one of {', '.join(_MODES)}")
        if order not in _ORDERS:
            raise ValueError(f"order: got {order!r}, need one of {', '.join(_ORDERS)}")
        number = as_integer("seed", seed, 0) % 2**64
        most = min(as_integer("max_steps", max_steps, 0), 2**62)
        if mode == "synchronous":
            out, steps, period = self._core.retrieve_synchronous(words, most, self._threads)
        else:
            out, steps, period = self._core.retrieve_asynchronous(
                words, most, order == "random", number, self._threads
            )
        return BinaryRetrieval(
            states=self._unpack(out).reshape((*leading, -1)),
            steps=steps.reshape(leading),
            period=period.astype(np.int64).reshape(leading),
        )
