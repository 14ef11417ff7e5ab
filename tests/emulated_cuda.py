"""CUDA on the CPU: the shipped kernels compiled as C++, behind as much of CuPy as hopfix calls."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import hopfix

SOURCE = Path(hopfix.__file__).parent / "gpu" / "kernels" / "retrieval.cu"
EMULATION = Path(__file__).parent / "gpu_emulation"
ORDERS = {"forward": 0, "reverse": 1, "random": 2}
GUARD = 64  # numbers on either side of an array; a multiple of every vector


def compiler():
    """A C++ compiler, or None; the emulation needs ELF sections and ucontext: Linux."""
    return shutil.which("g++") or shutil.which("clang++") if sys.platform == "linux" else None


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def kernel_names(source):
    """The kernels of a CUDA source: NAME in a line HOPFIX_…(NAME, …) that instantiates it."""
    return re.findall(r"^HOPFIX_\w+\((\w+), ", source, re.MULTILINE)


def build(directory, source=None):
    """The library of kernels, from the shipped source or from this text.

    Misaligned vectors and indices beyond an array end a launch with an error.
    """
    text = SOURCE.read_text(encoding="utf-8") if source is None else source
    path = SOURCE
    if source is not None:
        path = directory / "changed.cu"
        path.write_text(source, encoding="utf-8")
    flags = ("-std=c++17", "-O1", "-fPIC", "-fno-strict-aliasing", "-Wno-unknown-pragmas")
    machine = directory.parent / "machine.o"
    if not machine.exists():
        run(compiler(), *flags, "-c", EMULATION / "cuda_emulation.cpp", "-o", machine)
    code, library = directory / "kernels.o", directory / "kernels.so"
    names = " ".join(f"DO({name})" for name in kernel_names(text))
    run(
        compiler(), *flags, "-fsanitize=alignment,bounds", f'-DKERNEL_SOURCE="{path}"',
        f"-DKERNELS(DO)={names}", "-c", EMULATION / "kernels.cpp", "-o", code,
    )  # fmt: skip
    run(compiler(), "-shared", code, machine, "-o", library)
    return library


def guarded(array, offset=0):
    """A copy between guards of NaN (−1 for integers), `offset` numbers off a vector's place."""
    array = np.ascontiguousarray(array)
    fill = np.nan if array.dtype.kind == "f" else np.array(-1).astype(array.dtype)
    buffer = np.full(array.size + 2 * GUARD + 64, fill, dtype=array.dtype)
    start = GUARD + (-(buffer.ctypes.data // array.itemsize) % 16) + offset
    buffer[start : start + array.size] = array.ravel()
    return buffer[start : start + array.size].reshape(array.shape)


class Device:
    """The kernels of one library; `order` is that of threads and blocks."""

    def __init__(self, library):
        self._library = ctypes.CDLL(os.fspath(library))
        self._library.emulated_launch.restype = ctypes.c_char_p
        self._library.emulated_argument_sizes.restype = ctypes.POINTER(ctypes.c_size_t)
        self.order, self.seed, self.skipped_line = "forward", 0, 0
        self.launches = []

    def launch(self, name, grid, block, arguments):
        assert (len(grid), block[1:]) == (3, (1, 1))
        values = [self._bytes(argument) for argument in arguments]
        sizes = self._library.emulated_argument_sizes(name.encode())[: len(values) + 1]
        assert sizes == [*map(len, values), 0], "arguments are not the kernel's"
        buffers = [ctypes.create_string_buffer(value, len(value)) for value in values]
        pointers = (ctypes.c_void_p * len(buffers))(*map(ctypes.addressof, buffers))
        error = self._library.emulated_launch(
            name.encode(), (ctypes.c_uint * 3)(*grid), block[0], pointers,
            ORDERS[self.order], self.seed, self.skipped_line,
        )  # fmt: skip
        self.launches.append((name, grid))
        if error:
            raise RuntimeError(error.decode())

    @staticmethod
    def _bytes(argument):
        if isinstance(argument, np.ndarray):
            assert argument.flags.c_contiguous
            return np.uintp(argument.ctypes.data).tobytes()
        assert isinstance(argument, np.generic), "CuPy passes other types in ways of its own"
        return argument.tobytes()


class EmulatedCuPy:
    """The module `cupy`: NumPy arrays between guards, kernels of a Device.

    `offset`: arrays the caller does not make lie so many numbers off a vector's place.
    """

    ndarray = np.ndarray

    def __init__(self, device):
        self.device, self.offset = device, 0
        self._written = []

    def _made(self, array):
        array = guarded(array, self.offset)
        self._written.append(array)
        return array

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        return self._made(np.full(shape, np.nan if dtype.kind == "f" else 1, dtype=dtype))

    def zeros(self, shape, dtype):
        return self._made(np.zeros(shape, dtype))

    def arange(self, count, dtype):
        return self._made(np.arange(count, dtype=dtype))

    def array(self, array, order, copy):
        return self._made(np.array(array, order=order, copy=copy))

    def ascontiguousarray(self, array):
        return np.ascontiguousarray(array)

    def RawModule(self, *, code, options):  # noqa: N802
        assert options == ("--std=c++17",)
        assert code == SOURCE.read_text(encoding="utf-8")
        return Module(self.device)

    def check_guards(self):
        """Nothing was written beside an array."""
        for array in self._written:
            buffer = array.base
            while buffer.base is not None:
                buffer = buffer.base
            start = (array.ctypes.data - buffer.ctypes.data) // array.itemsize
            beside = np.concatenate([buffer[:start], buffer[start + array.size :]])
            fill = np.nan if array.dtype.kind == "f" else np.array(-1).astype(array.dtype)
            np.testing.assert_array_equal(beside, np.full(beside.size, fill))
        self._written.clear()


class Module:
    """A compiled module of the emulation."""

    def __init__(self, device):
        self._device = device

    def get_function(self, name):
        return lambda grid, block, arguments: self._device.launch(name, grid, block, arguments)
