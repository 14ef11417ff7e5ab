"""Results that no machine holds are refused at once, with the need and another way."""

import subprocess
import sys
import time

import numpy as np
import pytest

import hopfix
from hopfix import _limits
from hopfix.classical import ContinuousHopfield
from hopfix.kernel import SeparationKernel
from hopfix.performer import RandomFeatures

WIDE, MANY = 2_000_000, 2_000_000  # 4e12 numbers: 16 TB of float32


@pytest.fixture(scope="module")
def wide():
    return np.random.default_rng(0).standard_normal((2, WIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).standard_normal((MANY, 1)).astype(np.float32)


def refused(call, *words):
    """The call ends in seconds in a MemoryError that holds the words."""
    start = time.perf_counter()
    with pytest.raises(MemoryError) as caught:
        call()
    assert time.perf_counter() - start < 10
    for word in (*words, "iB", "this machine"):
        assert word in str(caught.value)


def test_weights(many):
    net = hopfix.Hopfield(many, 1.0)
    refused(lambda: net.weights(many), "weights", f"({MANY}, {MANY})", "update")


@pytest.mark.parametrize("similarity", ["dot", "neg_l1"])
def test_jacobian(wide, similarity):
    net = hopfix.Hopfield(wide, 1.0, similarity=similarity)
    refused(lambda: net.jacobian(wide[0]), "jacobian", f"({WIDE}, {WIDE})", "float32", "jvp")


def test_jacobian_of_the_continuous_network(wide):
    refused(lambda: ContinuousHopfield(wide).jacobian(wide[0]), "jacobian", "fewer states")


def test_features(many):
    refused(lambda: RandomFeatures(10**6, 10**7), "n_features", "fewer features")
    features = RandomFeatures(1, 10**6, seed=0)
    refused(lambda: features.transform(many), "z", f"({MANY}, {10**6})", "fewer rows")


def test_matrix_of_a_separation_kernel(wide):
    refused(lambda: SeparationKernel(10**7).fit(wide), "n_features", "fewer features")


def test_what_fits_is_not_refused(monkeypatch):
    net = hopfix.Hopfield(np.eye(5), 1.0)
    monkeypatch.setattr(_limits, "machine_bytes", lambda: 2 * 5 * 8)
    assert net.weights(np.zeros((2, 5))).shape == (2, 5)
    with pytest.raises(MemoryError, match=r"weights: shape \(3, 5\) of float64 needs 120 B"):
        net.weights(np.zeros((3, 5)))


def test_wrong_arguments_come_first(many):
    with pytest.raises(ValueError, match="states"):
        hopfix.Hopfield(many, 1.0).weights(np.zeros((MANY, 2), np.float32))


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "max").write_text("123456\n")
    (tmp_path / "unlimited").write_text("max\n")
    monkeypatch.setattr(_limits, "_GROUP", tmp_path / "max")
    assert _limits._group_bytes() == 123456
    for name in ("unlimited", "missing"):
        monkeypatch.setattr(_limits, "_GROUP", tmp_path / name)
        assert _limits._group_bytes() == sys.maxsize
    assert 2**20 < _limits._physical_bytes() < 2**60


SHORT = """
import resource
import numpy as np
import hopfix
net = hopfix.Hopfield(np.random.default_rng(0).standard_normal((3, 30_000)), 1.0, num_threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, -1))
try:
    net.fixed_points("starts", max_count=4000)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_scratch_memory_that_is_refused_is_explained():
    run = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=True)
    assert "scratch memory" in run.stdout


def test_newton_in_many_dimensions_needs_no_square_matrix():
    """20,000 dimensions: a matrix of them takes 3 GB, a list of seven points some MB."""
    x = np.zeros((3, 20_000))
    x[[0, 1, 2], [0, 1, 2]] = 1.0
    found = hopfix.Hopfield(x, 8.0).fixed_points("starts")
    assert found.counts == {0: 3, 1: 3, 2: 1}
