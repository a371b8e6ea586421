"""Write a preset into params.yaml: `python experiments/preset.py fast`, then `make repro`."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from ruamel.yaml import YAML

from dcgan.config.params_file import changed, load_params
from dcgan.config.workspace import PARAMS
from dcgan.system.errors import UsageError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_atomically

PRESETS = Path(__file__).with_name("presets.yaml")


def main(name: Annotated[str | None, typer.Argument(metavar="NAME", help="[default: list them]")] = None) -> None:
    """Set a preset's values in the params.yaml of the current folder; everything else in it stays, comments too."""
    presets = yaml.safe_load(PRESETS.read_text())
    if name is None:
        print("\n".join(f"{known}: {preset['expects']}" for known, preset in presets.items()))
        return
    if name not in presets:
        raise UsageError(f"unknown preset {name}; choose from {', '.join(presets)}")
    changed(load_params(PARAMS), presets[name]["params"])  # refuses what does not fit before anything is written
    write_values(presets[name]["params"], PARAMS)
    print(f"{PARAMS} now holds the preset {name}: {presets[name]['expects']}")


def write_values(values: Mapping[str, Any], path: Path) -> None:
    """Set values by their dotted path, as `train.epochs`, in a YAML file whose comments and order stay."""
    file_format = YAML()
    file_format.width = 120
    file_format.preserve_quotes = True
    content = file_format.load(path)
    for dotted, value in values.items():
        section, name = dotted.split(".")
        if not content.get(section):
            content[section] = {}
        content[section][name] = value
    write_atomically(path, lambda file: file_format.dump(content, file))


if __name__ == "__main__":
    run_stage(main)
