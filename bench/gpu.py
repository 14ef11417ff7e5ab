"""Networks on a GPU beside the same work written in CuPy or torch, on the same device.

    python bench/gpu.py [--library cupy|torch] [--patterns N] [--batch B] [--dim D]

Prints a table of best times and ratios (above 1: hopfix is faster). Ends with one line and exit
code 2 where there is no such library or no GPU. It has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import hopfix

STEPS = 50
ROUNDS = 10


def cupy_library() -> SimpleNamespace | None:
    """What the table needs of CuPy, or None without it or a GPU."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception:  # an ImportError, or CuPy's own error without driver or device
        return None

    def softmax(z: Any) -> Any:
        shares = cupy.exp(z - z.max(axis=-1, keepdims=True))
        return shares / shares.sum(axis=-1, keepdims=True)

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return SimpleNamespace(
        name=f"CuPy {cupy.__version__} on {name}",
        to=cupy.asarray,
        wait=cupy.cuda.runtime.deviceSynchronize,
        softmax=softmax,
        solve=lambda a, b: cupy.linalg.solve(a, b[..., None])[..., 0],
        eye=cupy.eye,
    )


def torch_library() -> SimpleNamespace | None:
    """What the table needs of torch, or None without it or a GPU."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    return SimpleNamespace(
        name=f"torch {torch.__version__} on {torch.cuda.get_device_name()}",
        to=lambda array: torch.from_numpy(array).cuda(),
        wait=torch.cuda.synchronize,
        softmax=lambda z: torch.softmax(z, dim=-1),
        solve=torch.linalg.solve,
        eye=lambda d: torch.eye(d, device="cuda", dtype=torch.float64),
    )


LIBRARIES = {"cupy": cupy_library, "torch": torch_library}


def naive_update(library: SimpleNamespace, patterns: Any, beta: float, states: Any) -> Any:
    """The update as two products, with the whole matrix of weights between them."""
    return library.softmax(beta * (states @ patterns.T)) @ patterns


def naive_retrieve(library: SimpleNamespace, patterns: Any, beta: float, states: Any) -> Any:
    """A fixed number of updates of every state, without any stop."""
    for _ in range(STEPS):
        states = naive_update(library, patterns, beta, states)
    return states


def naive_newton(library: SimpleNamespace, patterns: Any, beta: float, states: Any) -> Any:
    """Ten undamped Newton steps of every state."""
    identity = library.eye(patterns.shape[1])
    for _ in range(10):
        shares = library.softmax(beta * (states @ patterns.T))
        average = shares @ patterns
        second = (shares[:, None, :] * patterns.T[None]) @ patterns
        jacobian = beta * (second - average[:, :, None] * average[:, None, :])
        states = states + library.solve(identity - jacobian, average - states)
    return states


def best(library: SimpleNamespace, run: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The best time of several, with one run before them."""
    times = []
    for _ in range(rounds + 1):
        library.wait()
        started = time.perf_counter()
        run()
        library.wait()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def rows(library: SimpleNamespace, n: int, batch: int, dim: int) -> list[tuple[str, float, float]]:
    """(job, hopfix's seconds, the naive seconds)."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(n, dim))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    queries = patterns[rng.integers(n, size=batch)] + 0.1 * rng.normal(size=(batch, dim))
    beta, table = 20.0, []
    for dtype in (np.float32, np.float64):
        stored, states = library.to(patterns.astype(dtype)), library.to(queries.astype(dtype))
        net = hopfix.Hopfield(stored, beta)
        for job, ours, theirs in (
            ("update", net.update, naive_update),
            (f"retrieve (naive: {STEPS} updates)", net.retrieve, naive_retrieve),
        ):
            table.append(
                (
                    f"{job}, {np.dtype(dtype).name}",
                    best(library, lambda f=ours, s=states: f(s)),
                    best(library, lambda f=theirs, x=stored, s=states: f(library, x, beta, s)),
                )
            )
    few = library.to(patterns[:16, :8].copy())
    starts = library.to(rng.dirichlet(np.ones(16), 1024) @ patterns[:16, :8])
    small = hopfix.Hopfield(few, beta)
    table.append(
        (
            "fixed_points (naive: 10 Newton steps, 1,024 starts)",
            best(library, lambda: small.fixed_points(), 2),
            best(library, lambda: naive_newton(library, few, beta, starts), 2),
        )
    )
    return table


def main() -> int:
    """Print the table; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=tuple(LIBRARIES), default="cupy")
    parser.add_argument("--patterns", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--dim", type=int, default=64)
    given = parser.parse_args()
    library = LIBRARIES[given.library]()
    if library is None:
        print(f"bench/gpu.py: {given.library} or a GPU is missing", file=sys.stderr)
        return 2
    print(f"{library.name}; N = {given.patterns}, {given.batch} states of dimension {given.dim}")
    print("| job | hopfix | naive | ratio |\n| --- | --- | --- | --- |")
    for job, ours, theirs in rows(library, given.patterns, given.batch, given.dim):
        print(f"| {job} | {1e3 * ours:.3g} ms | {1e3 * theirs:.3g} ms | {theirs / ours:.2g}x |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
