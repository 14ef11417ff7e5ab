"""What is given to others: the source distribution, its versions, the types that it declares."""

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import hopfix

ROOT = Path(__file__).parent.parent
# What builds, tests and documents the package; the rest stays in the repository.
TOP = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CMakeLists.txt",
    "CONTRIBUTING.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "cpp",
    "pyproject.toml",
    "python",
    "tests",
}
NEEDED = {
    "cpp/bindings/module.cpp",
    "cpp/cmake/install.cmake",
    "cpp/cmake/platform.cmake",
    "cpp/include/hopfix/hopfix.hpp",
    "cpp/src/kernels/exp.hpp",
    "cpp/tests/CMakeLists.txt",
    "python/docs/conf.py",
    "python/hopfix/_core.pyi",
    "python/hopfix/py.typed",
    "python/hopfix_command/__init__.py",
    "tests/conftest.py",
    "tests/data/mean_field_periodic.npz",
    "tests/embedding/CMakeLists.txt",
}
SOURCES = {".cff", ".cpp", ".cmake", ".c", ".cu", ".h", ".hpp", ".md", ".npz", ".py", ".pyi"}
OTHERS = {"CMakeLists.txt", "LICENSE", "PKG-INFO", "py.typed", "pyproject.toml"}

needs_sources = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the tests are not beside the sources"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The names in a freshly built source distribution, without its folder."""
    build = pytest.importorskip("scikit_build_core.build")
    folder = tmp_path_factory.mktemp("sdist")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        name = build.build_sdist(str(folder))
    finally:
        os.chdir(before)
    with tarfile.open(folder / name) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@needs_sources
def test_the_source_distribution_has_what_builds_and_tests_it(files):
    assert {name.partition("/")[0] for name in files} == TOP
    assert files >= NEEDED


@needs_sources
def test_the_source_distribution_has_nothing_but_sources(files):
    strange = {n for n in files if Path(n).suffix not in SOURCES and Path(n).name not in OTHERS}
    assert {name for name in strange if not name.startswith("cpp/fuzz/corpus/")} == set()
    assert not {name for name in files if any(p.startswith(".") for p in Path(name).parts)}


@needs_sources
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_source_distribution_has_every_tracked_file_of_its_folders(files):
    command = ["git", "-C", str(ROOT), "ls-files", "cpp", "python", "tests"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode != 0:
        pytest.skip("git cannot read this checkout")
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert len(tracked) > 300
    assert tracked <= files


@needs_sources
@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.*)"$'),
        ("CMakeLists.txt", r"^project\(hopfix VERSION (\S+) "),
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGELOG.md", r"^## .*\b(\d+\.\d+\.\d+)"),
    ],
)
def test_versions_agree(file, pattern):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(pattern, text, re.MULTILINE)[1] == hopfix.__version__


def test_the_package_declares_its_types():
    package = Path(hopfix.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()
