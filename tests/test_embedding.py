"""C++ and C programs built on the installed package compute what Python computes, to the bit."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import hopfix
from hopfix import _core

PROJECT = Path(__file__).parent / "embedding"
CERTIFICATE = ("certified", "morse_index", "radius", "uniqueness_radius", "spectral_radius")
# Arithmetic of proofs that must be compiled as the library is.
INTERNAL = {"double_double.hpp", "interval.hpp", "rounding.hpp"}

try:
    hopfix.get_cmake_dir()
    installed = True
except FileNotFoundError:
    installed = False
needs_install = pytest.mark.skipif(not installed, reason="hopfix runs from a build in place")


def tool(*names):
    """The first of these programs beside this Python or on the PATH, or None."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


def run(*command):
    """The standard output of a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def configure(source, build):
    ninja = tool("ninja")
    generator = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}") if ninja else ()
    directory = f"-Dhopfix_DIR={hopfix.get_cmake_dir()}"
    return (tool("cmake"), "-S", source, "-B", build, *generator, directory)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The directory of the compiled consumer project."""
    if not installed:
        pytest.skip("hopfix runs from a build in place")
    if not (tool("cmake") and tool("ninja", "make") and tool("c++", "g++", "clang++")):
        pytest.skip("no cmake, neither ninja nor make, or no C++ compiler")
    build = tmp_path_factory.mktemp("consumer")
    run(*configure(PROJECT, build))
    run(tool("cmake"), "--build", build)
    return build


@pytest.fixture(scope="module", params=["few", "many"])
def arrays(request):
    """(patterns, log_weights, states, beta): few patterns with fixed points, and many."""
    n, dim, count, beta = {"few": (9, 4, 7, 6.0), "many": (700, 24, 40, 3.0)}[request.param]
    rng = np.random.default_rng(11)
    patterns = rng.normal(size=(n, dim))
    return (
        patterns,
        rng.normal(size=n),
        patterns[:count] + 0.5 * rng.normal(size=(count, dim)),
        beta,
    )


@pytest.mark.parametrize("language", ["c++", "c"])
def test_consumer_computes_the_same_bits(programs, arrays, dtype, language, tmp_path):
    patterns, log_weights, states = (x.astype(dtype) for x in arrays[:3])
    beta = arrays[3]
    problem = tmp_path / "problem"
    sizes = np.array([*patterns.shape, len(states)], np.int64)
    parts = (sizes, np.array(beta), patterns, log_weights, states)
    problem.write_bytes(b"".join(part.tobytes() for part in parts))
    name = "f32" if dtype == np.float32 else "f64"
    if language == "c++":
        run(programs / "consumer_cpp", name, problem, tmp_path)
    else:
        run(programs / f"consumer_c_{name}", problem, tmp_path)

    def result(file, kind=dtype):
        return np.fromfile(tmp_path / file, kind)

    def equal(file, expected, kind=dtype):
        assert expected.size > 0
        np.testing.assert_array_equal(result(file, kind), expected.ravel(), file, strict=True)

    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    for method in ("update", "weights", "energy", "jacobian"):
        equal(method, getattr(net, method)(states))
    found = net.retrieve(states)
    assert found.converged.any()
    equal("states", found.states)
    equal("steps", found.steps, np.int64)
    equal("converged", found.converged.astype(np.uint8), np.uint8)
    equal("residual", found.residual)
    if language == "c++":
        equal("spectral_radius", net.spectral_radius(states))
    if len(patterns) > 20:
        return
    for method in ("cells", "starts"):
        expected = net.fixed_points(method, seed=3)
        rows = np.column_stack([getattr(expected, name) for name in CERTIFICATE])
        points = result(f"{method}_states", np.float64).reshape(-1, patterns.shape[1])
        certificates = result(f"{method}_certificates", np.float64).reshape(-1, len(CERTIFICATE))
        order, sorting = np.lexsort(points.T), np.lexsort(expected.states.T)
        np.testing.assert_array_equal(points[order], expected.states[sorting])
        np.testing.assert_array_equal(certificates[order], rows[sorting])
        proved = expected.completeness == "proved"
        assert proved == (method == "cells")
        assert result(f"{method}_proved", np.int64).tolist() == [proved]
        if language == "c++" and method == "cells":
            again = result("again_certificates", np.float64).reshape(-1, len(CERTIFICATE))
            certified = net.certify(points)
            rows = np.column_stack([getattr(certified, name) for name in CERTIFICATE[:-1]])
            np.testing.assert_array_equal(again[:, :-1], rows)


def test_example_of_the_header_prints_what_it_says(programs):
    header = Path(hopfix.get_include(), "hopfix/hopfix.hpp").read_text(encoding="utf-8")
    block = re.search(r"// ```text\n(.*?)// ```", header, re.DOTALL)[1]
    assert run(programs / "example") == re.sub(r"^// ?", "", block, flags=re.MULTILINE)


def test_a_project_in_c_alone_is_told_what_it_needs(programs, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\n"
        "project(only_c LANGUAGES C)\n"
        "find_package(hopfix CONFIG REQUIRED)\n"
    )
    command = configure(tmp_path, tmp_path / "build")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "LANGUAGES C CXX" in re.sub(r"\s+", " ", done.stderr)


@pytest.mark.parametrize("language", ["c++", "c"])
def test_a_wrong_instruction_set_is_an_error(programs, language, tmp_path):
    problem = tmp_path / "problem"
    numbers = (np.array([1, 1, 1], np.int64), np.ones(4))
    problem.write_bytes(b"".join(x.tobytes() for x in numbers))
    program = ["consumer_cpp", "f64"] if language == "c++" else ["consumer_c_f64"]
    done = subprocess.run(
        [programs / program[0], *program[1:], problem, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"HOPFIX_ISA": "v9"},
    )
    assert done.returncode == 1
    assert "HOPFIX_ISA: 'v9' cannot be used" in done.stderr


@needs_install
def test_scikit_build_core_finds_the_package():
    (prefix,) = entry_points(group="cmake.prefix", name="hopfix")
    config = files(prefix.load()) / "lib/cmake/hopfix/hopfixConfig.cmake"
    assert config.is_file()
    assert Path(str(config)).parent.samefile(hopfix.get_cmake_dir())


@needs_install
def test_installed_headers_are_the_public_ones():
    include = Path(hopfix.get_include())
    assert {path.name for path in include.iterdir()} == {"hopfix"}
    headers = {path.name: path.read_text(encoding="utf-8") for path in include.glob("hopfix/*")}
    umbrella = set(re.findall(r'^#include "hopfix/(.*?)"', headers["hopfix.hpp"], re.MULTILINE))
    assert umbrella == set(headers) - {"hopfix.hpp", "c_api.h"}
    for name, text in headers.items():
        included = re.findall(r'#include ["<](.*?)[">]', text)
        for header in included:
            public = header.removeprefix("hopfix/") in headers
            assert public or re.fullmatch(r"[a-z_]+(\.h)?", header), f"{name} includes {header}"
    assert not INTERNAL & set(headers)


def test_a_build_in_place_says_that_it_has_no_headers(monkeypatch, tmp_path):
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "_core.so"))
    for function in (hopfix.get_include, hopfix.get_cmake_dir):
        with pytest.raises(FileNotFoundError, match="pip"):
            function()
