"""Who takes part in each task: {name: maker}, hopfix first.

A maker takes a problem and a number of threads and returns a function of nothing. It makes the
network or the tensors, in arrays of the peer's own kind; the function is what is timed. `CONTEXT`
names what is timed beside the others without doing the same work: no ratios are made of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import peers_numpy
import peers_torch
import torch
from problems import TASKS, Problem

import hopfix

# The threads of XLA keep spinning and slow torch down, now and then a hundredfold on two cores:
# HOPFIX_BENCH_JAX=1 asks for JAX.
peers_jax: Any = None
if os.environ.get("HOPFIX_BENCH_JAX") == "1":
    import peers_jax

Competitor = Callable[[], Any]
Maker = Callable[[Problem, int], Competitor]

HAS_JAX = peers_jax is not None
ONE_UPDATE, FLAT_KERNEL = "one update", "scikit-learn, flat kernel"
CONTEXT = (ONE_UPDATE, FLAT_KERNEL)


def competitors(p: Problem, threads: int) -> dict[str, Competitor]:
    """Return everyone who takes part in the problem's task, ready to run."""
    return {name: make(p, threads) for name, make in MAKERS[p.cell.task].items()}


def _hopfix(call: Callable[[hopfix.Hopfield, Problem], Any]) -> Maker:
    def make(p: Problem, threads: int) -> Competitor:
        weights = None
        if p.cell.task == "mean_shift":
            weights = -p.beta / 2 * (p.patterns.astype(float) ** 2).sum(axis=1)
        net = hopfix.Hopfield(p.patterns, p.beta, log_weights=weights, num_threads=threads)
        return lambda: call(net, p)

    return make


def _numpy(call: Callable[[Problem], Any]) -> Maker:
    return lambda p, _: lambda: call(p)


def _torch(call: Callable[..., Any], gradients: bool = False) -> Maker:
    def make(p: Problem, _: int) -> Competitor:
        tensors = [torch.from_numpy(a) for a in (p.patterns, p.states, p.tangents)]

        def run() -> Any:
            return call(p, *tensors)

        return run if gradients else torch.inference_mode()(run)

    return make


def _flat_kernel(p: Problem, threads: int) -> Competitor:
    from sklearn.cluster import MeanShift  # slow to import: not for the processes of `memory`

    # A ball of this radius has the variance of the Gaussian kernel.
    radius = math.sqrt((p.cell.d + 2) / p.beta)
    method = MeanShift(bandwidth=radius, seeds=p.states, n_jobs=threads)
    return lambda: method.fit(p.patterns).cluster_centers_


def _retrieve(net: hopfix.Hopfield, p: Problem) -> Any:
    return net.retrieve(p.states, tol=p.cell.tolerance).states


MAKERS: dict[str, dict[str, Maker]] = {
    "update": {
        "hopfix": _hopfix(lambda net, p: net.update(p.states)),
        "numpy": _numpy(lambda p: peers_numpy.update(p.patterns, p.states, p.beta)),
        "torch": _torch(lambda p, x, q, _: peers_torch.update(x, q, p.beta)),
        "sdpa": _torch(lambda p, x, q, _: peers_torch.attention(x, q, p.beta)),
    },
    "jacobian": {
        "hopfix": _hopfix(lambda net, p: net.jacobian(p.states)),
        "numpy": _numpy(lambda p: peers_numpy.jacobian(p.patterns, p.states, p.beta)),
        "torch": _torch(lambda p, x, q, _: peers_torch.jacobian(x, q, p.beta), gradients=True),
    },
    "jvp": {
        "hopfix": _hopfix(lambda net, p: net.jvp(p.states, p.tangents)),
        "numpy": _numpy(lambda p: peers_numpy.jvp(p.patterns, p.states, p.tangents, p.beta)),
        "torch": _torch(lambda p, x, q, t: peers_torch.jvp(x, q, t, p.beta), gradients=True),
    },
    "spectral_radius": {
        "hopfix": _hopfix(lambda net, p: net.spectral_radius(p.states)),
        "numpy": _numpy(lambda p: peers_numpy.spectral_radius(p.patterns, p.states, p.beta)),
    },
    "retrieve": {
        "hopfix": _hopfix(_retrieve),
        "numpy": _numpy(
            lambda p: peers_numpy.retrieve(p.patterns, p.states, p.beta, p.cell.tolerance)[0]
        ),
        "sdpa": _torch(lambda p, x, q, _: peers_torch.retrieve(x, q, p.beta, p.cell.tolerance)),
        ONE_UPDATE: _hopfix(lambda net, p: net.update(p.states)),
    },
    "mean_shift": {
        "hopfix": _hopfix(_retrieve),
        "numpy": _numpy(
            lambda p: peers_numpy.mean_shift(p.patterns, p.states, p.beta, p.cell.tolerance)
        ),
        FLAT_KERNEL: _flat_kernel,
    },
}
if peers_jax is not None:
    for task in TASKS[:-2]:  # all but mean shift and the spectral radius
        MAKERS[task]["jax"] = lambda p, _: peers_jax.competitor(p)
