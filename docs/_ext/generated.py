"""The parts of the reference that are read from the package when the site is built, and links out of docs/.

A page has `{{ parameters }}`, `{{ commands }}` or `{{ http_api }}` on a line of its own where its text goes.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

from dcgan.config.bounds import Section

GENERATED = {"parameters": "parameter_pages", "commands": "cli_pages", "http_api": "http_pages"}
"""The module that each text comes from; it is imported only where a page that needs it is read."""


def fill(_app: Sphinx, _docname: str, source: list[str]) -> None:
    """Put the generated text into a page's source."""
    source[0] = re.sub(r"^\{\{ (\w+) \}\}$", lambda found: _generated(found[1]), source[0], flags=re.MULTILINE)


def _generated(name: str) -> str:
    text: str = getattr(import_module(GENERATED[name]), name)()
    return text


def escape(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Keep reStructuredText from reading marks into a formula, as γ/2·|∇D|²; code between backquotes stays."""
    lines[:] = ["".join(_escaped(part) for part in re.split(r"(``.*?``|`[^`]+`)", line)) for line in lines]


def _escaped(part: str) -> str:
    """A part of a line, with marks escaped; code may be followed by letters at once, as in `image`s."""
    return f"{part}\\ " if part.startswith("`") else re.sub(r"[|*]|_(?=\W|$)", r"\\\g<0>", part)


def without_fields(
    _app: Sphinx, _what: str, _name: str, described: Any, _options: Any, signature: str, returned: str
) -> tuple[str, str]:
    """Leave out the fields of a section of params.yaml, which the page of parameters has."""
    is_section = isinstance(described, type) and issubclass(described, Section)
    return ("", "") if is_section else (signature, returned)


class FilesOutside(SphinxTransform):
    """Makes a link to a Markdown file outside docs/ what MyST makes of one to any other file: a download."""

    default_priority = 100

    def apply(self, **_: Any) -> None:
        """Change the links of one page; one to a file that does not exist stays, and Sphinx warns of it."""
        root = Path(self.env.srcdir).parent
        for link in list(self.document.findall(addnodes.pending_xref)):
            path = Path(f"{link['reftarget']}.md")
            if link["refdomain"] == "doc" and path.is_absolute() and path.is_file() and path.is_relative_to(root):
                target = f"/../{path.relative_to(root)}"
                link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=target))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect to Sphinx's events."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", escape)
    app.connect("autodoc-process-signature", without_fields)
    app.add_transform(FilesOutside)
    return {"parallel_read_safe": True}
