"""Without torch: the library works, and hopfix.torch names the extra."""

import subprocess
import sys


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_layers_name_the_extra():
    done = run("import sys; sys.modules['torch'] = None; import hopfix; import hopfix.torch")
    assert done.returncode == 1
    assert "ImportError: hopfix.torch needs PyTorch" in done.stderr
    assert "hopfix[torch]" in done.stderr


def test_the_library_does_not_import_torch():
    done = run("import sys, hopfix; print({'torch', 'hopfix.torch'} & set(sys.modules))")
    assert (done.returncode, done.stdout) == (0, "set()\n")
