"""Changed copies of params.yaml: values by their dotted path, as `train.epochs`."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from dcgan.config.params_file import load_params
from dcgan.config.schema import Params
from dcgan.system.errors import UsageError
from dcgan.system.files import write_atomically

PARAMS = Path("params.yaml")
YAML_TAG = "tag:yaml.org,2002"


def changed_params(changes: Mapping[str, Any]) -> Params:
    """The parameters of params.yaml with some of them changed.

    Raises:
        UsageError: a path is unknown, or a value does not fit; as `load_params`.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder, PARAMS.name)
        write_changed(changes, copy)
        return load_params(copy)


def write_changed(changes: Mapping[str, Any], path: Path) -> None:
    """Write params.yaml to `path` with some values changed; comments and order stay."""
    yaml = YAML()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar(f"{YAML_TAG}:null", "null"))
    content = yaml.load(PARAMS)
    known = [f"{section}.{name}" for section, values in content.items() if isinstance(values, dict) for name in values]
    for dotted, value in changes.items():
        if dotted not in known:
            nearest = difflib.get_close_matches(dotted, known, n=1, cutoff=0)
            raise UsageError(f"unknown parameter {dotted}; did you mean {nearest[0]}?")
        section, name = dotted.split(".")
        content[section][name] = value
    write_atomically(path, lambda file: yaml.dump(content, file))
