"""Work given to any `concurrent.futures.Executor`: threads, processes, clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")


def as_executor(executor: object) -> Executor | None:
    """Return what can `submit`, or None; TypeError for anything else."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor: got {type(executor).__name__}, need a concurrent.futures.Executor or None"
        )
    return executor  # type: ignore[return-value]


def map_in_order(
    executor: Executor, function: Callable[..., Result], tasks: Iterable[tuple[object, ...]]
) -> list[Result]:
    """Return function(*task) of all tasks, in their order.

    The first exception, of the function, the executor or Ctrl-C, comes out, and what has not begun
    is cancelled.
    """
    futures = [executor.submit(function, *task) for task in tasks]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
