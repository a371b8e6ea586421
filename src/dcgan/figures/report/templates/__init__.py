"""The texts of the report and the model card, with places to fill in."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def environment() -> Environment:
    """The templates of this folder; what is filled into HTML is escaped, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader(__name__, ""),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
