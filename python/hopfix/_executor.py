"""Work given to any `concurrent.futures.Executor`: threads, processes, clusters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as TooLateError
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._progress import Progress

if TYPE_CHECKING:
    from hopfix.network import Hopfield

Result = TypeVar("Result")
# Answers to portions of a search, b"" for those given up, and why they were given up, if not for
# time.
Delegate: TypeAlias = Callable[[list[bytes]], tuple[list[bytes], BaseException | None]]

# Of the work, for an executor: more than it will have workers, so that all have something to do.
MOST_PARTS = 64
# Beyond the time limit, by which portions end by themselves.
_PATIENCE = 0.2


def as_executor(executor: object) -> Executor | None:
    """Return what can `submit`, or None; TypeError for anything else."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor: got {type(executor).__name__}, need a concurrent.futures.Executor or None"
        )
    return executor  # type: ignore[return-value]


def map_in_order(
    executor: Executor,
    function: Callable[..., Result],
    tasks: Iterable[tuple[object, ...]],
    progress: Progress | None = None,
) -> list[Result]:
    """Return function(*task) of all tasks, in their order; progress(tasks done, tasks in all).

    The first exception, of the function, the executor or Ctrl-C, comes out, and what has not begun
    is cancelled.
    """
    futures: list[Future[Result]] = []
    results = []
    try:
        for task in tasks:
            futures.append(executor.submit(function, *task))
        for future in futures:
            results.append(future.result())
            if progress is not None:
                progress(len(results), len(futures))
        return results
    finally:
        for future in futures:
            future.cancel()


def in_parts(
    executor: Executor | None,
    function: Callable[..., Result],
    rows: npt.NDArray[Any],
    before: tuple[object, ...],
    after: tuple[object, ...],
) -> list[Result]:
    """Return function(*before, part, *after) of parts of the rows: one, without an executor."""
    if executor is None or len(rows) < 2:
        return [function(*before, rows, *after)]
    parts = np.array_split(rows, min(MOST_PARTS, len(rows)))
    return map_in_order(executor, function, [(*before, part, *after) for part in parts])


def delegate_to(
    executor: Executor | None, network: Hopfield, time_limit: float | None
) -> Delegate | None:
    """What hands portions of a search for `network` to the executor; None without one.

    `time_limit` seconds from now on, on Ctrl-C, and when the executor breaks or a portion raises,
    what is not done is given up: the search then keeps what it has.
    """
    if executor is None:
        return None
    deadline = None if time_limit is None else time.monotonic() + time_limit + _PATIENCE

    def delegate(portions: list[bytes]) -> tuple[list[bytes], BaseException | None]:
        futures: list[Future[bytes]] = []
        reason: BaseException | None = None
        try:
            for portion in portions:
                if deadline is not None and time.monotonic() > deadline:
                    break
                futures.append(executor.submit(_work, network, portion, _core.version))
            for future in futures:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                future.result(left)
        except BaseException as error:
            # A task may fail with the error of waiting too long, too.
            late = deadline is not None and time.monotonic() >= deadline
            reason = None if late and isinstance(error, TooLateError) else error
        answers = [_answer(future) for future in futures]
        return answers + [b""] * (len(portions) - len(answers)), reason

    return delegate


def _work(network: Hopfield, portion: bytes, version: str) -> bytes:
    """Wherever this runs."""
    if version != _core.version:
        raise RuntimeError(
            f"executor: hopfix {version} asks a worker that has {_core.version}; both need the same"
        )
    answer: bytes = _core.work_on_portion(network._core64, portion, network._threads)
    return answer


def _answer(future: Future[bytes]) -> bytes:
    """Of a future that need not be done: then it is cancelled."""
    future.cancel()
    done = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if done else b""
