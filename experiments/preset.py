"""Write a preset into params.yaml: `python experiments/preset.py fast`, then `make repro`."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from pathlib import Path
from typing import Annotated

import typer
import yaml

from dcgan.config.params_file import changed, load_params
from dcgan.config.workspace import PARAMS
from dcgan.scale.params_patch import write_values
from dcgan.system.errors import UsageError
from dcgan.system.exit import run_stage

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


if __name__ == "__main__":
    run_stage(main)
