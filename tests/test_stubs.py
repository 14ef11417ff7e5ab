"""The stub of the core names what the module has, with as many arguments (stubtest does the rest).

pybind11 writes the signatures of every overload into docstrings; stubtest does not read them.
"""

import ast
import re
from pathlib import Path

import pytest

import hopfix
from hopfix import _core

STUB = ast.parse((Path(hopfix.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))


def functions(body, owner=_core, prefix=""):
    """(name, callable of the module, definition in the stub) of functions and methods."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            yield prefix + node.name, getattr(owner, node.name, None), node
        elif isinstance(node, ast.FunctionDef):
            kinds = {ast.unparse(decorator) for decorator in node.decorator_list}
            if kinds == {"staticmethod"}:
                yield prefix + node.name, getattr(owner, node.name, None), node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, getattr(_core, node.name), f"{node.name}.")


def arguments(signature):
    """How many arguments a signature of pybind11 has: commas outside all brackets."""
    inner = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    while (flat := re.sub(r"\[[^\[\]]*\]|\([^()]*\)", "", inner)) != inner:
        inner = flat
    return 0 if not inner.strip() else inner.count(",") + 1


def overloads(function, name):
    """The signatures in the docstring, one a line."""
    pattern = rf"^(?:\d+\. )?{re.escape(name)}\(.*\) -> .*$"
    found = re.findall(pattern, function.__doc__ or "", re.MULTILINE)
    return [signature for signature in found if "*args" not in signature]


FUNCTIONS = [item for item in functions(STUB.body) if item[0] != "Separation.__init__"]


def test_the_stub_was_read():
    assert len(FUNCTIONS) > 80


@pytest.mark.parametrize(("name", "function", "stub"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_as_many_arguments_as_in_the_module(name, function, stub):
    signatures = overloads(function, stub.name)
    assert signatures, f"{name}: {function.__doc__}"
    given = stub.args
    assert not given.kwonlyargs
    assert {arguments(s) for s in signatures} == {len(given.posonlyargs) + len(given.args)}
