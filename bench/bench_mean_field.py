"""The mean field of self-attention: steps, sweeps and Lyapunov spectra, beside plain NumPy.

    python bench/bench_mean_field.py [--quick] [--output mean_field.json]

The peer is the published algorithm written plainly (tests/naive_attention.py), timed in the same
process, in turns. `--quick` makes the sweep of Figure 3a with a twentieth of its steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import hopfix
from hopfix import _core
from hopfix.mean_field import AttentionMeanField, _published, _trajectories

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import naive_attention

NOTHING = _core.AttentionOutput.nothing


def seconds(run, rounds):
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def random_network(features, classes, context, rng):
    matrices = [rng.choice([-1.0, 1.0], (features, classes)) for _ in range(4)]
    return AttentionMeanField(*matrices, beta=1.3, gamma=220.0, context=context, num_threads=1)


def step_time(model, count, steps):
    """Seconds per step and trajectory, of `count` side by side on the model's threads."""
    start = [model.random_state(0)] * count
    parameters = model._parameters(count)

    def run():
        _trajectories.simulate(model, start, steps, steps, NOTHING, None, parameters)

    return seconds(run, 7) / steps / count


def naive_step(model, steps):
    weights = [np.array(w, float) for w in _published.SEGMENTS]
    positions = [np.array(p, float) for p in _published.POSITIONS]
    options = {"shares": np.full(3, 1 / 3), "beta": model.beta, "gamma": model.gamma}
    options |= {"context": 4, "weight": 0.02, "positions": positions, "token": np.ones(3)}
    return seconds(lambda: naive_attention.simulate(weights, **options, steps=steps), 5) / steps


def steps_table(report):
    paper = AttentionMeanField.paper(1.27, num_threads=1)
    naive = naive_step(paper, 2_000)
    alone, batch = step_time(paper, 1, 100_000), step_time(paper, 64, 20_000)
    report("one trajectory, M=3, L=4", alone * 1e6, "us/step", 0.3)
    report("64 trajectories, one core", batch * 1e6, "us/step", None)
    report("speed of a batch over one trajectory", alone / batch, "x", 8)
    report("one trajectory over plain NumPy", naive / alone, "x", None)
    rng = np.random.default_rng(0)
    for features, classes, context in ((3, 4, 256), (8, 128, 4), (8, 128, 256)):
        model = random_network(features, classes, context, rng)
        name = f"64 trajectories, M={features}, L={context}, {model._system.classes} classes"
        report(name, step_time(model, 64, 1_000) * 1e6, "us/step", None)


def figure_3a(report, quick):
    model = AttentionMeanField.paper(1.0)
    betas = np.linspace(0, 3, 4001)[1:]
    steps, kept = (6_000, 1_000) if quick else (120_000, 20_000)
    begin = time.perf_counter()
    # The values of all take 1.9 GB: they are made and looked at in parts.
    first = model.with_parameters(beta=3.0).simulate(steps, discard=steps).final_state
    for part in np.array_split(betas, 16):
        model.bifurcation(part, steps, steps - kept, start=first)
    report(f"Figure 3a, {len(betas)} x {steps} steps", time.perf_counter() - begin, "s", 15)
    begin = time.perf_counter()
    for part in np.array_split(betas, 16):
        model.bifurcation(part, kept + 4, 4, lyapunov=True, start=first)
    report(f"all Lyapunov exponents over {kept} steps", time.perf_counter() - begin, "s", 180)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []

    def report(name, value, unit, bar):
        print(f"{name}: {value:.3g} {unit}" + (f" (bar {bar})" if bar else ""), flush=True)
        rows.append({"case": name, "value": value, "unit": unit, "bar": bar})

    steps_table(report)
    figure_3a(report, arguments.quick)
    if arguments.output:
        document = {"config": hopfix.get_config(), "quick": arguments.quick, "cases": rows}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
