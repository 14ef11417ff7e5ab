"""Tests that need a GPU: skipped where neither CuPy nor torch finds one.

They have not been run yet: no machine the library was built on had a GPU.
"""

import numpy as np
import pytest


def cupy_kind():
    cupy = pytest.importorskip("cupy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    if not count:
        pytest.skip("CuPy finds no GPU")
    return cupy.asarray, cupy.asnumpy, cupy.ndarray


def torch_kind():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    return lambda a: torch.from_numpy(a).cuda(), lambda t: t.cpu().numpy(), torch.Tensor


@pytest.fixture(params=[cupy_kind, torch_kind], ids=["cupy", "torch"])
def device(request):
    """Of one library: to the GPU, back from it, and the type of its arrays."""
    return request.param()


@pytest.fixture
def problem(dtype):
    """Patterns, log-weights and states of one dtype."""
    rng = np.random.default_rng(1)
    patterns = rng.normal(size=(3000, 24))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    states = patterns[:200] + 0.1 * rng.normal(size=(200, 24))
    log_weights = 0.1 * rng.normal(size=3000)
    return patterns.astype(dtype), log_weights.astype(dtype), states.astype(dtype)
