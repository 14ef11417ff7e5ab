"""Critical faces, CIPS margins and sufficient betas, most with a bar of issue 5.

    python bench/bench_faces.py [--threads 1] [--output faces.json]

Times are process times of the best of three runs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hopfix
from hopfix.faces import cips_margin, critical_faces, sufficient_beta


def unit(rng, n, d):
    x = rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def embedded(rng, n, inner, d):
    """Points of intrinsic dimension `inner` in d dimensions."""
    basis = np.linalg.qr(rng.normal(size=(d, inner)))[0]
    return rng.normal(size=(n, inner)) @ basis.T


def halved_squares(x):
    return -0.5 * (x**2).sum(1)


def cases(threads):
    rng = np.random.default_rng(0)
    x = unit(rng, 20, 20)
    yield "20 unit patterns, d=20", 5.0, lambda: critical_faces(x, num_threads=threads)
    eye = np.eye(16)
    yield "16 orthonormal", 0.5, lambda: critical_faces(eye, num_threads=threads)
    low = embedded(rng, 2000, 5, 64)
    yield (
        "pairs of 2000, intrinsic dimension 5 in d=64, mean shift",
        10.0,
        lambda: critical_faces(low, offsets=halved_squares(low), max_size=2, num_threads=threads),
    )
    wide = unit(rng, 2000, 64)
    yield (
        "pairs of 2000 unit patterns, d=64",
        None,
        lambda: critical_faces(wide, max_size=2, num_threads=threads),
    )
    sphere = unit(rng, 200, 3)
    yield "200 unit patterns, d=3", 1.0, lambda: critical_faces(sphere, num_threads=threads)
    cloud = rng.normal(size=(200, 3))
    yield (
        "200 patterns, d=3, mean shift",
        1.0,
        lambda: critical_faces(cloud, offsets=halved_squares(cloud), num_threads=threads),
    )
    fifty = unit(rng, 50, 20)
    faces = np.array([rng.permutation(50)[:6] for _ in range(1000)])
    yield (
        "1000 CIPS margins, faces of 6, N=50",
        1.0,
        lambda: cips_margin(fifty, faces, num_threads=threads),
    )
    basis = np.linalg.qr(rng.normal(size=(50, 50)))[0] * np.linspace(1, 2, 50)
    near = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    for alone in (True, False):
        yield (
            f"100 sufficient betas, faces of 6, {'alone' if alone else 'N=50'}",
            None,
            lambda alone=alone: sufficient_beta(
                near, faces[:100], isolated=alone, num_threads=threads
            ),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    for name, bar, run in cases(arguments.threads):
        seconds = []
        for _ in range(3):
            start = time.process_time()
            answer = run()
            seconds.append(time.process_time() - start)
        counts = getattr(answer, "counts", None)
        print(f"{name}: {min(seconds):.3f} s (bar {bar}), {answer if counts else ''}", flush=True)
        results.append({"case": name, "seconds": min(seconds), "bar": bar, "counts": counts})
    if arguments.output:
        document = {"config": hopfix.get_config(), "threads": arguments.threads, "cases": results}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
