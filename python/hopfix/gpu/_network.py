"""The modern Hopfield network whose arrays stay on a device."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from hopfix._arrays import as_integer, as_limit, as_positive
from hopfix._derivatives import VARIABLES, as_variables
from hopfix._fixed_point_list import in_network
from hopfix._progress import Progress, as_progress
from hopfix._rebuilding import rebuild
from hopfix._results import Retrieval
from hopfix.fixed_points import FixedPoints
from hopfix.gpu._namespace import (
    as_device_floats,
    device_of,
    flat_rows,
    namespace_of,
    shaped,
    to_host,
)
from hopfix.gpu._retrieve import retrieve, with_leading
from hopfix.gpu._search import search
from hopfix.gpu._similarity import similarity_of
from hopfix.gpu._store import Store, reduce_all, row_blocks
from hopfix.network import Hopfield

_DEFAULTS = {
    "values": None,
    "separation": "softmax",
    "normalize": False,
    "sparsify_above": None,
    "num_threads": None,
}
_ON_HOST = "is computed on the host: use network.to_host()"


class DeviceHopfield(Hopfield):
    """A `hopfix.Hopfield` with patterns in the memory of a GPU: f(ξ) = Σ p_i x_i, p = softmax.

    ``hopfix.Hopfield(patterns, beta, log_weights=…)`` makes one for patterns outside host memory.
    The methods, their shapes and meanings are those of `Hopfield`; arguments and results are
    arrays of the patterns' library on their device, attributes too.

    Args:
        patterns: (N, d), float32 or float64; integers and bool become float64. Not copied if they
            are floating-point: do not write into them while the network is in use.
        beta: β > 0.
        log_weights: (N,) on the same device, default 0.
        similarity: as of `Hopfield`; a kernel matrix, or the `matrix` of a kernel, must be on the
            device, too.
        options: of `Hopfield`, only with their default values.

    Raises:
        TypeError, ValueError: naming the argument; also where arrays are on another device.
        NotImplementedError: naming an option or method that exists only on the host.
        ImportError: array-api-compat is missing; names the extra.

    Computed in the patterns' dtype, with sums in the order of the library: results agree with the
    core's to a few (d + 2) ulp of the logits, not bitwise, and may depend on the batch in their
    last bits. Products with J have an absolute error of that size times β max‖x‖²‖t‖. The N × B
    logits are formed in tiles of 64 MiB (float32). Nothing here has been run on a GPU.
    """

    def __init__(
        self,
        patterns: Any,
        beta: float = 1.0,
        *,
        log_weights: Any = None,
        similarity: Any = "dot",
        **options: Any,
    ) -> None:
        for name, value in options.items():
            if name not in _DEFAULTS:
                raise TypeError(f"Hopfield() got an unexpected keyword argument {name!r}")
            default = _DEFAULTS[name]
            if value is not default and not (isinstance(value, str) and value == default):
                raise NotImplementedError(
                    f"{name}: on a device only {default!r} exists, got {value!r}; copy the "
                    "patterns to the host for others"
                )
        rows = as_device_floats("patterns", patterns)
        if rows.ndim != 2:
            raise ValueError(f"patterns: got {rows.ndim} dimensions, need 2: shape (N, d)")
        self._xp, self._device = namespace_of(rows), device_of(rows)
        if log_weights is None:
            b = self._xp.zeros((rows.shape[0],), dtype=rows.dtype, device=self._device)
        else:
            b = self._array("log_weights", log_weights, rows.dtype)
            if b.shape != (rows.shape[0],):
                raise ValueError(
                    f"log_weights: got shape {tuple(b.shape)}, need ({rows.shape[0]},), one per "
                    "pattern"
                )
        self._beta, self._log_weights = as_positive("beta", beta), b
        plain = Store(self._xp, rows, b, self._beta)
        self._similarity = similarity_of(similarity, plain, self._device)
        self._store = self._similarity.store

    def __reduce__(self) -> tuple[Any, ...]:
        options = {"log_weights": self._log_weights, "similarity": self._similarity.option}
        return rebuild, (type(self), (self.patterns, self._beta), options)

    @property
    def patterns(self) -> Any:
        """(N, d), on the device."""
        return self._store.patterns

    @property
    def values(self) -> Any:
        """The patterns."""
        return self._store.patterns

    @property
    def beta(self) -> float:
        """The inverse temperature β."""
        return self._beta

    @property
    def log_weights(self) -> Any:
        """(N,) b, on the device."""
        return self._log_weights

    @property
    def dtype(self) -> Any:
        """The library's float32 or float64."""
        return self._store.patterns.dtype

    @property
    def device(self) -> Any:
        """Where the network is, as its library names it."""
        return self._device

    @property
    def image(self) -> DeviceHopfield:
        """The network of dot products with the same landscape, on the device: `Hopfield.image`."""
        similarity = self._similarity
        if similarity.name == "dot":
            return self
        if not similarity.has_landscape:
            raise ValueError(
                f'image: a network with similarity="{similarity.name}" is not equivalent to one of '
                'dot products and softmax; that exists for similarity "dot", kernels and '
                '"neg_sq_l2"'
            )
        store = similarity.landscape
        return DeviceHopfield(store.patterns, store.beta, log_weights=store.log_weights)

    def __repr__(self) -> str:
        n, d = self._store.patterns.shape
        name = self._similarity.name
        extra = "" if name == "dot" else f", similarity={name}"
        return (
            f"Hopfield({n} patterns of dimension {d}, beta={self.beta:g}, {self.dtype}{extra}, on "
            f"{self._device})"
        )

    def to_host(self, num_threads: int | None = None) -> Hopfield:
        """Return the same network on the CPU, with a copy of the patterns."""
        option = self._similarity.option
        return Hopfield(
            to_host(self.patterns),
            self.beta,
            log_weights=to_host(self.log_weights),
            similarity=option if isinstance(option, str) else to_host(option),
            num_threads=num_threads,
        )

    def update(self, states: Any) -> Any:
        """Return f(ξ), shape (..., d); O(Nd) a state."""
        flat, leading = self._flat("states", states)
        return shaped(self._update(flat), (*leading, self._store.dim))

    def _update(self, flat: Any) -> Any:
        return reduce_all(self._store, self._similarity.queries(flat)).average

    def weights(self, states: Any) -> Any:
        """Return p = softmax(β similarity(x_i, ξ) + b_i), shape (..., N)."""
        flat, leading = self._flat("states", states)
        xp, store = self._xp, self._store
        blocks = []
        queries = self._similarity.queries(flat)
        for rows in row_blocks(int(flat.shape[0]), store.width):
            logits = store.logits(queries[rows, :], store.patterns, store.log_weights)
            shares = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
            blocks.append(shares / xp.sum(shares, axis=-1, keepdims=True))
        return shaped(xp.concat(blocks), (*leading, store.count))

    def energy(self, states: Any) -> Any:
        """Return E(ξ), shape (...), by default ½‖ξ‖² − β⁻¹ log Σ exp(β x_i·ξ + b_i).

        For other similarities as `Hopfield.energy`; ValueError where there is no energy.
        """
        flat, leading = self._flat("states", states)
        squares = self._similarity.squares(flat)
        found = reduce_all(self._store, self._similarity.queries(flat))
        log_sums = found.top + self._xp.log(found.total)
        return shaped(squares / 2 - log_sums / self._store.beta, leading)

    def jacobian(self, states: Any) -> Any:
        """Return J, shape (..., d, d); O(Nd²) a state.

        β Cov_p(x), exactly symmetric, times WᵀW for a kernel; ValueError for "neg_l2" and "neg_l1".
        """
        flat, leading = self._flat("states", states)
        dim = self._store.dim
        return shaped(self._similarity.jacobian(flat), (*leading, dim, dim))

    def spectral_radius(self, states: Any) -> Any:
        """Return the largest eigenvalue of J, shape (...), in the network's dtype.

        For min(N, d) ≤ 64 by the library's dense eigensolver, else by at most 300 steps of Lanczos'
        method for all states at once, a value from below.
        """
        flat, leading = self._flat("states", states)
        return shaped(self._similarity.spectral_radius(flat), leading)

    def jvp(self, states: Any, t: Any) -> Any:
        """Return J(ξ) t, shape (..., d), without forming J. `t` is shaped as `states`."""
        flat, tangents, leading = self._matching(states, "t", t)
        return shaped(self._similarity.jvp(flat, tangents), (*leading, self._store.dim))

    def vjp(self, states: Any, cotangents: Any, wrt: str | Sequence[str] = "states") -> Any:
        """Return derivatives of Σ c·f(ξ), as `Hopfield.vjp` does, in the same variables."""
        names = as_variables(wrt, VARIABLES)
        flat, vectors, leading = self._matching(states, "cotangents", cotangents)
        found = self._similarity.gradients(flat, vectors, names)
        if "states" in found:
            found["states"] = shaped(found["states"], (*leading, self._store.dim))
        return found[wrt] if isinstance(wrt, str) else tuple(found[name] for name in names)

    def retrieve(
        self,
        states: Any,
        *,
        max_steps: int = 1000,
        tol: float | None = None,
        executor: Executor | None = None,
    ) -> Retrieval:
        """Iterate the update from every state until that state stops moving.

        Stop rule, defaults and results are those of `Hopfield.retrieve`; all updates are plain
        ones, on the queries that still move. Reads one number from the device a step. There is no
        `executor` for a device: NotImplementedError.
        """
        if executor is not None:
            raise NotImplementedError(
                "executor: on a device only None exists; network.to_host().retrieve takes one"
            )
        flat, leading = self._flat("states", states)
        return with_leading(retrieve(self._update, flat, max_steps, tol), leading)

    def fixed_points(
        self,
        method: str = "starts",
        *,
        max_face: int | None = None,
        max_count: int | None = None,
        time_limit: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> FixedPoints:
        """Find fixed points of every Morse index by batched Newton's method on the device.

        Args:
            method: "starts": from rounds of 1,024 random averages of patterns, until a round finds
                nothing new or 32 are done; "faces": from every critical face of the limit β → ∞,
                enumerated on the host.
            max_face: "faces" starts from faces of at most so many patterns.
            max_count: stop when this many points are known.
            time_limit: stop after about this many seconds; looked at between rounds.
            seed: of the random starts.
            progress: called after every round as progress(rounds, most rounds); for "faces" there
                is one for each size of faces.
            options: others of `Hopfield.fixed_points` do not exist here (NotImplementedError).

        Newton's method runs in double precision in coordinates of the patterns' affine hull, with
        halved steps. States within 1e-7 of the largest pattern of each other are merged by sorting,
        and distances between those found, O(K² d), are taken on the device, too. The patterns and
        the K states found are copied to the host, certified there and told apart by their
        certificates.

        Returns:
            FixedPoints, with NumPy arrays and with the network `to_host()`; never "proved".
        """
        if options:
            raise NotImplementedError(f"{next(iter(options))}: {_ON_HOST}.fixed_points")
        if method not in ("starts", "faces"):
            raise ValueError(
                f"method: got {method!r}, need starts or faces on a device; "
                "network.to_host().fixed_points has the others"
            )
        if not self._similarity.has_landscape:
            raise ValueError(
                f'fixed_points: does not exist for similarity "{self._similarity.name}"; it needs '
                '"dot", a kernel or "neg_sq_l2"'
            )
        host = self.to_host()
        run = partial(
            search,
            self._similarity.landscape,
            host.image,
            method,
            max_face=None if max_face is None else as_integer("max_face", max_face, 1),
            max_count=None if max_count is None else as_limit("max_count", max_count),
            time_limit=None if time_limit is None else as_positive("time_limit", time_limit),
            seed=as_integer("seed", seed, 0) % 2**64,
            progress=as_progress(progress),
        )
        return in_network(run, host)

    def vjp_fixed_point(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"vjp_fixed_point: {_ON_HOST}.vjp_fixed_point")

    def certify(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError: certificates are proved on the host."""
        raise NotImplementedError(f"certify: {_ON_HOST}.certify")

    def follow(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"follow: {_ON_HOST}.follow")

    def _array(self, name: str, value: Any, dtype: Any) -> Any:
        """A finite array of `dtype` on this device."""
        array = as_device_floats(name, value, self._xp, self._device)
        return self._xp.astype(array, dtype, copy=False)

    def _flat(self, name: str, value: Any) -> tuple[Any, tuple[int, ...]]:
        """States as (count, d), and their leading shape."""
        return flat_rows(name, self._array(name, value, self.dtype), self._store.dim)

    def _matching(self, states: Any, name: str, value: Any) -> tuple[Any, Any, tuple[int, ...]]:
        """States and as many directions, and their leading shape."""
        flat, leading = self._flat("states", states)
        vectors, same = self._flat(name, value)
        if leading != same:
            raise ValueError(f"{name}: got leading shape {same}, need that of states, {leading}")
        return flat, vectors, leading
