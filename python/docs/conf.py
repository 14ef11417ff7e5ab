"""The documentation: one page a concept, its reference from the docstrings.

python -m sphinx -W -b html python/docs build/docs
"""

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
autodoc_mock_imports = [name for name in ("torch",) if find_spec(name) is None]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
