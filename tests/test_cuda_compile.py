"""The CUDA kernels compiled by NVRTC, which needs no GPU, for the architectures they are tuned for.

What ptxas says of them is held to what their design counts on: the architecture's registers and
shared memory hold the blocks per multiprocessor that __launch_bounds__ asks for.
"""

import ctypes
import re
from importlib.metadata import PackageNotFoundError, files

import emulated_cuda
import pytest

SOURCE = emulated_cuda.SOURCE.read_text(encoding="utf-8")
NAMES = emulated_cuda.kernel_names(SOURCE)
REGISTERS = 65536  # of a multiprocessor, sm_80 and sm_90
STATIC_SHARED = 48 * 1024  # bytes a block may have without asking
TILE_SHARED = {"float32": 32 * 1024, "float64": 48 * 1024}
# Bytes: at 128 registers a thread, two blocks of the wider float32 kernel spill a little.
SPILLS = {"hopfix_tile_sums_float32_256": 256}


class Compiler:
    """As much of libnvrtc as compiling takes."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))

    def _check(self, status):
        assert status == 0, f"NVRTC status {status}"

    def _text(self, program, name):
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{name}Size")(program, ctypes.byref(size)))
        text = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{name}")(program, text))
        return text.raw

    def compile(self, source, *options):
        """(succeeded, log, cubin, PTX)."""
        program = ctypes.c_void_p()
        self._check(
            self._library.nvrtcCreateProgram(
                ctypes.byref(program), source.encode(), b"retrieval.cu", 0, None, None
            )
        )
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = self._library.nvrtcCompileProgram(program, len(options), given)
        log = self._text(program, "ProgramLog").rstrip(b"\0").decode()
        cubin, ptx = (b"", b"") if failed else (self._text(program, n) for n in ("CUBIN", "PTX"))
        self._check(self._library.nvrtcDestroyProgram(ctypes.byref(program)))
        return not failed, log, cubin, ptx.decode(errors="replace")


@pytest.fixture(scope="module")
def nvrtc():
    try:
        parts = files("nvidia-cuda-nvrtc-cu12")
    except PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvrtc-cu12 is not installed")
    found = [
        part for part in parts if re.fullmatch(r"libnvrtc\.so\.12|nvrtc64_.*0\.dll", part.name)
    ]
    return Compiler(found[0].locate())


@pytest.fixture(scope="module", params=["sm_80", "sm_90"])
def compiled(request, nvrtc):
    """(log, cubin, PTX) with the options CuPy is given, and ptxas telling what it used."""
    options = (f"--gpu-architecture={request.param}", "--std=c++17", "--ptxas-options=-v")
    succeeded, *rest = nvrtc.compile(SOURCE, *options)
    assert succeeded, rest[0]
    return rest


def usage(log):
    """{kernel: (registers, bytes of shared memory, bytes spilled)} from ptxas's report."""
    found = {}
    for kernel, report in re.findall(r"entry function '(\w+)'(.*?)Compile time", log, re.DOTALL):
        spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
        shared = re.search(r"(\d+) bytes smem", report)
        registers = re.search(r"Used (\d+) registers", report)
        found[kernel] = (
            int(registers[1]), int(shared[1]) if shared else 0, max(map(int, spilled.groups()))
        )  # fmt: skip
    return found


def test_no_warnings(compiled):
    log, _, _ = compiled
    assert all(line.startswith("ptxas") for line in log.splitlines() if line), log
    assert "warning" not in log


def test_every_kernel_is_in_the_binary(compiled):
    _, cubin, ptx = compiled
    assert cubin.startswith(b"\x7fELF")
    assert len(NAMES) == 8
    for name in NAMES:
        assert b".text." + name.encode() + b"\0" in cubin
        assert f".entry {name}(" in ptx


def test_registers_and_shared_memory(compiled):
    log, _, _ = compiled
    used = usage(log)
    assert sorted(used) == sorted(NAMES)
    for name, (registers, shared, spilled) in used.items():
        tile = re.fullmatch(r"hopfix_tile_sums_(float\d\d)_\d+", name)
        blocks = 2 if tile and tile[1] == "float32" else 1
        assert blocks * 256 * registers <= REGISTERS, name
        assert shared <= STATIC_SHARED, name
        assert shared == (TILE_SHARED[tile[1]] if tile else shared), name
        assert spilled <= SPILLS.get(name, 0), name


def test_memory_is_read_in_vectors(compiled):
    _, _, ptx = compiled
    for entry in re.split(r"\.entry ", ptx)[1:]:
        tile = re.match(r"hopfix_tile_sums_float(\d\d)_", entry)
        if tile:
            vector = {"32": "v4.f32", "64": "v2.f64"}[tile[1]]
            assert f"ld.global.{vector}" in entry
            assert f"ld.shared.{vector}" in entry


def test_the_compiler_is_heard(nvrtc):
    """A warning and an error would be seen."""
    options = ("--gpu-architecture=sm_80", "--std=c++17")
    kernel = 'extern "C" __global__ void f(int* x) {{ int unused; x[0] = {}; }}'
    succeeded, log, _, _ = nvrtc.compile(kernel.format("1"), *options)
    assert succeeded
    assert "warning" in log
    succeeded, log, _, _ = nvrtc.compile(kernel.format("missing"), *options)
    assert not succeeded
    assert "missing" in log
