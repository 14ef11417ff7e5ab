"""Executors of mpi4py and on Ray: searches and retrieval, the same to the bit as here."""

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from concurrent.futures import Executor

import numpy as np

import hopfix


def check(executor):
    rng = np.random.default_rng(3)
    net = hopfix.Hopfield(rng.normal(size=(14, 20)) / 5, 12.0, num_threads=1)
    points = net.fixed_points("cells")
    found = net.fixed_points("cells", executor=executor)
    assert points.completeness == found.completeness == "proved"
    assert found.states.tobytes() == points.states.tobytes()
    states = rng.normal(size=(200, 20))
    assert net.retrieve(states, executor=executor) == net.retrieve(states)
    assert net.follow(20.0, points, executor=executor) == net.follow(20.0, points)
    print("the same", len(points))


def by_mpi():
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as executor:
        check(executor)


def by_ray():
    import ray

    class RayExecutor(Executor):
        def submit(self, function, *arguments):
            return ray.remote(function).remote(*arguments).future()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    check(RayExecutor())


if __name__ == "__main__":
    {"mpi": by_mpi, "ray": by_ray}[sys.argv[1]]()
"""


def run(tmp_path, command, *arguments, **environment):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [*command, str(path), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same 65" in done.stdout


def test_ray(tmp_path):
    pytest.importorskip("ray")
    run(tmp_path, [sys.executable], "ray")


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_mpi4py(tmp_path):
    pytest.importorskip("mpi4py")
    run(
        tmp_path,
        ["mpirun", "-n", "3", "--oversubscribe", sys.executable, "-m", "mpi4py.futures"],
        "mpi",
        OMPI_ALLOW_RUN_AS_ROOT="1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    )
