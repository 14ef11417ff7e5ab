"""Every instruction-set level that was built, each in its own process, against the naive twin."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest

import hopfix

LEVELS = hopfix.get_config()["isa_built"]
NEEDS = {
    "v2": {"sse4_2", "ssse3", "popcnt"},
    "v3": {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
# N and d on both sides of every vector width (4, 8, 16 floats), and sizes beyond one tile.
SHAPES = [
    (1, 1, 1),
    (2, 3, 2),
    (7, 9, 3),
    (17, 15, 5),
    (33, 31, 4),
    (64, 64, 7),
    (100, 33, 2),
    (700, 20, 3),
    (9, 500, 3),
    (150, 512, 3),  # rows 2 KiB apart or a multiple
]
METHODS = ["update", "weights", "energy", "jacobian", "jvp"]

SCRIPT = """
import sys
import numpy as np, hopfix
data, out = np.load(sys.argv[1]), {}
for key in sorted({name.rsplit("/", 1)[0] for name in data.files}):
    x, b, s, t = (data[f"{key}/{name}"] for name in ("patterns", "log_weights", "states", "t"))
    net = hopfix.Hopfield(x, float(data[f"{key}/beta"]), log_weights=b)
    for method in ("update", "weights", "energy", "jacobian"):
        out[f"{key}/{method}"] = getattr(net, method)(s)
    out[f"{key}/jvp"] = net.jvp(s, t)
found = hopfix.Hopfield(np.eye(5), 8.0).fixed_points("starts")
out["counts"] = np.array([found.counts.get(i, 0) for i in range(5)])
np.savez(sys.argv[2], **out)
print(hopfix.get_config()["isa"])
"""


def supported(level):
    """Whether this CPU has the level (Linux; elsewhere only the level in use is sure)."""
    cpuinfo = Path("/proc/cpuinfo")
    if level in NEEDS and cpuinfo.exists():
        flags = next((ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("flags")), "")
        return NEEDS[level] <= set(flags.split())
    return level == hopfix.get_config()["isa"]


EMULATOR = shutil.which("qemu-x86_64")


def run_level(level, *argv, code=SCRIPT, cpu=None):
    """Run a script at a level, on this CPU or on an emulated one."""
    emulated = [] if cpu is None else [EMULATOR, "-cpu", cpu]
    env = os.environ | {
        "HOPFIX_ISA": level,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    return subprocess.run(
        [*emulated, sys.executable, "-c", code, *map(str, argv)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def make_problems():
    """{key: arrays}: the same inputs for every level."""
    problems = {}
    for N, d, batch in SHAPES:
        rng = np.random.default_rng([N, d])
        for dtype in (np.float32, np.float64):
            problems[f"{N}x{d}-{np.dtype(dtype).name}"] = {
                "patterns": rng.normal(size=(N, d)).astype(dtype),
                "log_weights": rng.normal(size=N).astype(dtype),
                "states": rng.normal(size=(batch, d)).astype(dtype),
                "t": rng.normal(size=(batch, d)).astype(dtype),
                "beta": 0.75 / np.sqrt(d),
            }
    return problems


PROBLEMS = make_problems()


@pytest.fixture(scope="module", params=LEVELS)
def level_results(request, tmp_path_factory):
    """(level, what a process restricted to that level computed)."""
    level = request.param
    if not supported(level):
        pytest.skip(f"this CPU has no {level}")
    folder = tmp_path_factory.mktemp(level)
    flat = {f"{key}/{name}": v for key, arrays in PROBLEMS.items() for name, v in arrays.items()}
    np.savez(folder / "in.npz", **flat)
    done = run_level(level, folder / "in.npz", folder / "out.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == level
    with np.load(folder / "out.npz") as out:
        return level, dict(out)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", PROBLEMS)
def test_each_level_agrees_with_the_twin(level_results, key, method):
    _, out = level_results
    p = PROBLEMS[key]
    data = (p["patterns"], p["beta"], p["log_weights"], p["states"])
    eps = np.finfo(p["patterns"].dtype).eps
    extra = (p["t"],) if method == "jvp" else ()
    want = getattr(naive, method)(*data, *extra)
    bound = getattr(naive, f"{method}_error")(*data, *extra, eps)
    got = out[f"{key}/{method}"]
    assert got.shape == want.shape
    assert got.dtype == p["patterns"].dtype
    assert np.all(np.abs(got.astype(np.longdouble) - want) <= bound)


def test_each_level_finds_the_same_fixed_points(level_results):
    _, out = level_results
    np.testing.assert_array_equal(out["counts"], [5, 10, 10, 5, 1])


def test_the_level_in_use_was_built_and_is_supported():
    assert hopfix.get_config()["isa"] in LEVELS
    assert supported(hopfix.get_config()["isa"])


@pytest.mark.parametrize("value", ["v9", "V2", "avx2", "3", "v3 ", "v2,v3"])
def test_a_misspelt_level_is_an_error_at_import_that_names_it(value):
    done = run_level(value, code="import hopfix")
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.split(":")[0] in ("ImportError", "RuntimeError", "ValueError")
    assert "HOPFIX_ISA" in message
    assert value.strip() in message


def test_the_command_answers_a_misspelt_level_with_one_line():
    done = run_level("v9", code="import sys, hopfix_command; sys.exit(hopfix_command.main())")
    assert done.returncode == 2
    assert done.stderr.startswith("hopfix: HOPFIX_ISA: 'v9' cannot be used")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(EMULATOR is None, reason="qemu-x86_64 is not installed")
@pytest.mark.parametrize(("cpu", "level"), [("Nehalem", "v2"), ("Haswell", "v3")])
def test_an_older_cpu_gets_the_level_that_it_runs(cpu, level):
    code = """
import numpy as np, hopfix
print(hopfix.get_config()["isa"], hopfix.Hopfield(np.eye(5), 8.0).fixed_points("starts").counts)
"""
    done = run_level("", code=code, cpu=cpu)
    assert done.stdout == f"{level} {{0: 5, 1: 10, 2: 10, 3: 5, 4: 1}}\n", done.stderr


def test_levels_that_cannot_run_here_are_errors_at_import():
    for level in {"v2", "v3", "v4", "generic"} - set(hopfix.get_config()["isa_supported"]):
        done = run_level(level, code="import hopfix")
        assert done.returncode == 1
        message = done.stderr.strip().splitlines()[-1]
        assert "HOPFIX_ISA" in message
        assert level in message
