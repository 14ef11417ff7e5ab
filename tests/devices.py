"""Libraries whose arrays stand for those of a device, each as (to the device, from there).

`array_api_strict` has a second device, with nothing but the standard's functions, whose arrays
raise when the host reads them.
"""

import array_api_strict as strict
import numpy as np
import pytest

AWAY = strict.Device("device1")
CPU = strict.Device("CPU_DEVICE")


def away(array):
    """To the second device of array_api_strict, which the host cannot read."""
    return strict.asarray(array, device=AWAY)


def home(array):
    """From there."""
    assert array.device == AWAY
    return np.asarray(array.to_device(CPU))


def numpy_kind():
    return np.asarray, np.asarray


def strict_kind():
    return away, home


def torch_kind():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for small problems; others may be at work on these cores
    return torch.from_numpy, lambda tensor: tensor.numpy(), lambda: torch.set_num_threads(threads)


KINDS = {"numpy": numpy_kind, "array_api_strict": strict_kind, "torch": torch_kind}
