"""Arrays on a device without array-api-compat, and the measurement without a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.modules["array_api_compat"] = None
import array_api_strict as strict, hopfix
away = strict.eye(3, device=strict.Device("device1"))
print(hopfix.separation.softmax(strict.eye(3)).shape)
hopfix.Hopfield(away)
"""


def test_the_error_names_the_extra():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "(3, 3)\n"
    assert done.returncode == 1
    assert done.stderr.endswith(
        "ImportError: arrays outside host memory need array-api-compat: install it, or with CuPy "
        "hopfix[cuda12] or hopfix[cuda13]\n"
    )


def test_importing_the_library_imports_no_array_library():
    code = "import sys, hopfix; print({'array_api_compat', 'torch', 'cupy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


def test_the_measurement_says_in_one_line_that_there_is_no_gpu():
    script = Path(__file__).parents[1] / "bench" / "gpu.py"
    if not script.exists():
        pytest.skip("measurements are not in the source distribution")
    code = f"""
import runpy, sys
sys.modules["cupy"] = None
sys.argv = ["gpu.py"]
runpy.run_path({str(script)!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bench/gpu.py: cupy or a GPU is missing\n"
