"""How Sphinx builds the site; `make docs` calls it."""

import sys
from pathlib import Path

from dcgan import __version__

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

project = "dcgan-mnist"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
myst_heading_anchors = 4
smartquotes = False  # it would change `--out` outside of code

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# A docstring's first line says what a thing is; single backquotes are code, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Other projects' names are shown without a link: their inventories are on the network. Ours must be found.
nitpick_ignore_regex = [
    ("py:.*", r"(?!dcgan\.).*"),
    ("py:class", r".*\.(AnySection|Network)"),  # type variables
]
linkcheck_anchors = False
