"""Changes of params.yaml: values by their dotted path, while comments and order stay."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan.system.files import write_atomically

if TYPE_CHECKING:
    from ruamel.yaml import YAML


def _file_format() -> "YAML":
    """A reader and writer that leaves alone what it does not change."""
    from ruamel.yaml import YAML

    file_format = YAML()
    file_format.width = 120
    file_format.preserve_quotes = True
    null = ("tag:yaml.org,2002:null", "null")  # else it would be left out
    file_format.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar(*null))
    return file_format


def write_values(values: Mapping[str, Any], path: Path) -> None:
    """Set values by their dotted path, as `train.epochs`, in a YAML file whose comments and order stay."""
    file_format = _file_format()
    content = file_format.load(path)
    for dotted, value in values.items():
        section, name = dotted.split(".")
        if not content.get(section):
            content[section] = {}
        content[section][name] = value
    write_atomically(path, lambda file: file_format.dump(content, file))


def as_yaml(values: Mapping[str, Any]) -> str:
    """The same values as the lines of a params.yaml."""
    sections: dict[str, dict[str, Any]] = {}
    for dotted, value in values.items():
        section, name = dotted.split(".")
        sections.setdefault(section, {})[name] = value
    text = io.StringIO()
    _file_format().dump(sections, text)
    return text.getvalue()
