"""Where an installed hopfix keeps what C++ and C programs need."""

from __future__ import annotations

from pathlib import Path

from hopfix import _core


def get_include() -> str:
    """Return the directory to compile with: it holds hopfix/hopfix.hpp and hopfix/c_api.h.

    Raises:
        FileNotFoundError: hopfix runs from a build in place and has not been installed.
    """
    return _installed("include")


def get_cmake_dir() -> str:
    """Return the directory of hopfixConfig.cmake: the `hopfix_DIR` of find_package(hopfix CONFIG).

    The target is hopfix::hopfix, a static library with every instruction-set level. Projects that
    scikit-build-core builds need not say where: with hopfix among their build requirements
    find_package finds it by itself.

    Raises:
        FileNotFoundError: hopfix runs from a build in place and has not been installed.
    """
    return _installed("lib/cmake/hopfix")


def _installed(directory: str) -> str:
    # Beside the extension module, which an editable install keeps apart from the Python modules.
    path = Path(_core.__file__).resolve().parent / directory
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: does not exist; hopfix runs from a build in place, and only pip or cmake "
            "--install makes the headers and the library for C++"
        )
    return str(path)
