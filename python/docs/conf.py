"""The documentation: one page a concept, its reference from the docstrings.

python -m sphinx -W -b html python/docs build/docs
"""

import re
from importlib.util import find_spec

import hopfix

project = "hopfix"
copyright = "the authors of hopfix"
version = release = hopfix.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2
html_theme = "furo"
html_title = f"hopfix {release}"
html_copy_source = False

# Single backticks in docstrings are code.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, with shapes
autodoc_default_options = {"members": True}
suppress_warnings = ["ref.python"]  # "Hopfield" is the network, and a layer of hopfix.torch
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False


_CODE = re.compile(r"(``.*?``|`.*?`)")


def _escape(line: str) -> str:
    """Let |x| and names ending in _ be what they are in docstrings: no markup."""
    if line.lstrip().startswith((">>>", "...")):
        return line
    parts = _CODE.split(line)
    parts[::2] = [re.sub(r"(\||(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _prepare(app, what, name, thing, options, lines):
    lines[:] = [_escape(line) for line in lines]


def _without_torch(app, docname, source):
    """Say what is missing where hopfix.torch cannot be imported."""
    if docname == "torch":
        source[0] = source[0].partition("```{eval-rst}")[0]
        source[0] += (
            "This copy was built without PyTorch, and without the reference of its layers.\n"
        )


def setup(app):
    """Called by Sphinx; `_prepare` before napoleon, which comes at 500."""
    app.connect("autodoc-process-docstring", _prepare, priority=400)
    if find_spec("torch") is None:
        app.connect("source-read", _without_torch)
