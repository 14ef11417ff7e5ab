"""A network whose patterns lie in shards: in several arrays, files or workers.

Of each shard s the softmax average f_s of its own patterns and ℓ_s = log Σ exp(β x_i·ξ + b_i) are
all that is needed: f = Σ_s exp(ℓ_s − ℓ) f_s with ℓ = log Σ_s exp(ℓ_s), which is exact.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hopfix._arrays import FloatArray, as_integer, as_positive, as_states
from hopfix._config import resolve_threads
from hopfix._executor import as_executor, map_in_order
from hopfix._npy import map_npy
from hopfix._progress import Progress, as_progress
from hopfix._results import Retrieval
from hopfix._retrieval import as_tolerance, iterate, retrieval_of
from hopfix.network import Hopfield

__all__ = ["FileShard", "ShardedHopfield"]

Parts: TypeAlias = tuple[FloatArray, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class FileShard:
    """Patterns `first` to `last` (exclusive; None: to the end) of an .npy file (N, d).

    Read where it is worked on, as a memory map of which only these rows are copied; each process
    keeps the networks of the few shards it worked on last. `log_weights` is the name of an .npy
    file (N,), of which the same rows are taken. A file that is not an .npy file of numbers is a
    ValueError that names it, nothing is unpickled.
    """

    path: str
    first: int = 0
    last: int | None = None
    log_weights: str | None = None

    def network(self, beta: float, threads: int) -> Hopfield:
        """The network of this shard alone."""
        stamps = tuple(
            os.stat(name).st_mtime_ns for name in (self.path, self.log_weights) if name is not None
        )
        return _network(self, beta, threads, stamps)

    def read(self) -> tuple[FloatArray, FloatArray | None]:
        """Patterns and log-weights."""
        rows = slice(self.first, self.last)
        patterns = _mapped(self.path)[rows]
        return patterns, None if self.log_weights is None else _mapped(self.log_weights)[rows]


def _mapped(path: str) -> npt.NDArray[Any]:
    """The array of an .npy file, none of it read."""
    try:
        array = map_npy(path)
        if not array.ndim:
            raise ValueError("a single number")
    except ValueError as error:
        raise ValueError(f"shards: {path} is not an .npy file of rows ({error})") from error
    return array


@lru_cache(maxsize=4)
def _network(shard: FileShard, beta: float, threads: int, stamps: tuple[int, ...]) -> Hopfield:
    """`stamps`: when its files were last written, so that one that is replaced is read again."""
    patterns, log_weights = shard.read()
    return Hopfield(patterns, beta, log_weights=log_weights, num_threads=threads)


def _parts(shard: FileShard | Hopfield, beta: float, threads: int, states: FloatArray) -> Parts:
    """The average and ℓ of one shard, wherever this runs."""
    network = shard.network(beta, threads) if isinstance(shard, FileShard) else shard
    average, log_sums = network._core.partial_update(states.astype(network.dtype), threads)
    return average, log_sums


class ShardedHopfield:
    """`Hopfield` (dot product, softmax) over patterns in shards, merged exactly.

    Results are those of one network up to rounding, and for given shards the same to the bit,
    whatever the executor. Shards of a file are copied by one worker at a time, so that stores
    larger than memory can be searched: one pass over the files an update.

    Args:
        shards: arrays (N_s, d), and `FileShard` for patterns in files; at least one.
        beta: inverse temperature.
        log_weights: one array (N_s,) or None a shard; None: none. Those of files are named by
            their shard.
        executor: any `concurrent.futures.Executor` to work on the shards: threads, processes,
            `dask.distributed.Client().get_executor()`, … Arrays travel to processes with every
            call: give files to those. None: one shard after the other, here.
        num_threads: of each shard's work.

    Example:
        >>> store = np.eye(6)
        >>> net = hopfix.sharded.ShardedHopfield([store[:2], store[2:]], beta=8.0)
        >>> bool(np.allclose(net.update(store), hopfix.Hopfield(store, 8.0).update(store)))
        True
    """

    def __init__(
        self,
        shards: Sequence[npt.ArrayLike | FileShard],
        beta: float,
        *,
        log_weights: Sequence[npt.ArrayLike | None] | None = None,
        executor: Executor | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._beta = as_positive("beta", beta)
        self._threads = resolve_threads(num_threads)
        self._executor = as_executor(executor)
        if isinstance(shards, (str, FileShard)) or not hasattr(shards, "__iter__"):
            got = type(shards).__name__
            raise TypeError(f"shards: got {got}, need a sequence of arrays or FileShards")
        given = list(shards)
        if not given:
            raise ValueError("shards: got none, need at least one")
        weights = [None] * len(given) if log_weights is None else list(log_weights)
        if len(weights) != len(given):
            raise ValueError(f"log_weights: got {len(weights)}, need {len(given)}, one a shard")
        pairs = enumerate(zip(given, weights, strict=True))
        self._shards = [self._shard(number, *pair) for number, pair in pairs]
        shapes = [_shape(shard) for shard in self._shards]
        if len({(d, dtype) for _, d, dtype in shapes}) > 1:
            kinds = ", ".join(f"dimension {d} of {dtype}" for _, d, dtype in shapes)
            raise ValueError(f"shards: got {kinds}, need one dimension and dtype")
        self._sizes = [n for n, _, _ in shapes]
        _, self._dim, self._dtype = shapes[0]

    def _shard(
        self, number: int, shard: npt.ArrayLike | FileShard, log_weights: npt.ArrayLike | None
    ) -> FileShard | Hopfield:
        if isinstance(shard, FileShard):
            if log_weights is not None:
                raise ValueError(
                    f"log_weights: got an array for shard {number}, which is of a file; name a "
                    "file of them in the FileShard"
                )
            return shard
        try:
            return Hopfield(shard, self._beta, log_weights=log_weights, num_threads=self._threads)
        except (TypeError, ValueError) as error:
            raise type(error)(f"shards[{number}]: {error}") from None

    def __len__(self) -> int:
        """How many patterns there are in all."""
        return sum(self._sizes)

    def __repr__(self) -> str:
        return (
            f"ShardedHopfield({len(self)} patterns of dimension {self._dim} in {len(self._sizes)} "
            f"shards, beta={self._beta:g}, {self._dtype})"
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the patterns."""
        return self._dtype

    def _all_parts(self, states: FloatArray) -> list[Parts]:
        tasks = [(shard, self._beta, self._threads, states) for shard in self._shards]
        if self._executor is None:
            return [_parts(*task) for task in tasks]
        return map_in_order(self._executor, _parts, tasks)

    def _merged(self, states: FloatArray) -> Parts:
        """F and ℓ of all patterns; sums in the order of the shards, in double precision."""
        parts = self._all_parts(states)
        log_sums = np.stack([part[1] for part in parts])
        top = log_sums.max(axis=0)
        shares = np.exp(log_sums - top)
        total = shares.sum(axis=0)
        average = np.zeros(states.shape)
        for share, (own, _) in zip(shares, parts, strict=True):
            average += (share / total)[:, None] * own
        return average.astype(self._dtype), top + np.log(total)

    def _states(self, states: npt.ArrayLike) -> tuple[FloatArray, tuple[int, ...]]:
        return as_states("states", states, self._dim, self._dtype)

    def update(self, states: npt.ArrayLike) -> FloatArray:
        """Return f(ξ), shape (..., d), as `Hopfield.update`."""
        flat, leading = self._states(states)
        return self._merged(flat)[0].reshape((*leading, self._dim))

    def energy(self, states: npt.ArrayLike) -> FloatArray:
        """Return E(ξ) = ½‖ξ‖² − ℓ/β, shape (...), as `Hopfield.energy`."""
        flat, leading = self._states(states)
        logs = self._merged(flat)[1]
        with np.errstate(over="ignore", invalid="ignore"):
            energies = np.square(flat, dtype=np.float64).sum(axis=1) / 2 - logs / self._beta
            result: FloatArray = energies.astype(self._dtype)
        if not np.isfinite(result).all():
            raise ValueError("states: the computation overflows; scale states and patterns down")
        return result.reshape(leading)[()]

    def retrieve(
        self,
        states: npt.ArrayLike,
        *,
        max_steps: int = 1000,
        tol: float | None = None,
        progress: Progress | None = None,
    ) -> Retrieval:
        """Iterate every query to convergence, by plain updates.

        A query stops where ‖f(ξ) − ξ‖ ≤ tol·max(1, ‖ξ‖), tol as in `Hopfield.retrieve`; without
        that, the state after exactly `max_steps` updates comes back. Only queries that have not
        stopped are sent to the shards.

        Args:
            states: (..., d).
            max_steps: most updates.
            tol: None: 1e-6 for float32, 1e-12 for float64.
            progress: called with (queries stopped, queries) after each update.

        Returns:
            Retrieval(states, steps, converged, residual), leading shapes as those of the queries.
            An update is one pass over all shards, O(N d) a query.

        Raises:
            TypeError, ValueError: naming the argument; and what the executor or a file raises.
        """
        flat, leading = self._states(states)
        most = as_integer("max_steps", max_steps, 0)
        tolerance = as_tolerance(tol, self._dtype == np.float32)
        report = as_progress(progress)

        def update(flat: FloatArray) -> FloatArray:
            return self._merged(flat)[0]

        columns, _ = iterate(update, flat, update(flat), most, tolerance, report)
        return retrieval_of(columns, leading)


def _shape(shard: FileShard | Hopfield) -> tuple[int, int, np.dtype[Any]]:
    """N, d and dtype; of a file without reading its patterns."""
    if isinstance(shard, Hopfield):
        n, d = shard.patterns.shape
        return n, d, shard.dtype
    patterns, log_weights = shard.read()
    if patterns.ndim != 2 or 0 in patterns.shape:
        raise ValueError(f"shards: {shard} has shape {patterns.shape}, need (N, d), not empty")
    if patterns.dtype not in (np.float32, np.float64):
        raise TypeError(f"shards: {shard} is of {patterns.dtype}, need float32 or float64")
    if log_weights is not None and log_weights.shape != patterns.shape[:1]:
        raise ValueError(
            f"shards: {shard} has log_weights of shape {log_weights.shape}, need "
            f"({len(patterns)},), one a pattern"
        )
    return len(patterns), math.prod(patterns.shape[1:]), patterns.dtype
