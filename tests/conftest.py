"""What every test file shares: the path of the naive twin, the hypothesis profiles, the dtypes, the
libraries of arrays."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # `import naive` under every pytest import mode

settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """The two dtypes a network can have."""
    return request.param


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def kind(request):
    """A library whose arrays stand for those of a device: to the device, and from there."""
    from devices import KINDS

    to, back, *undo = KINDS[request.param]()
    yield to, back
    for restore in undo:
        restore()
