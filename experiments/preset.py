"""Write a preset into params.yaml: `python experiments/preset.py fast`, then `make repro`."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from dcgan.system.errors import UsageError
from dcgan.system.exit import new_app, run_app
from recipe_changes import PARAMS, changed_params, write_changed

PRESETS = Path("experiments/presets.yaml")

app = new_app()


@app.command()
def main(name: Annotated[str | None, typer.Argument(metavar="NAME", help="[default: list them]")] = None) -> None:
    """Change params.yaml to a preset's values; comments stay, `git diff params.yaml` shows what changed."""
    presets = yaml.safe_load(PRESETS.read_text())
    if name is None:
        print("\n".join(f"{known}: {preset['expects']}" for known, preset in presets.items()))
        return
    if name not in presets:
        raise UsageError(f"unknown preset {name}; choose one of {', '.join(presets)}")
    changes = presets[name]["params"]
    changed_params(changes)  # refuses what does not fit before anything is written
    write_changed(changes, PARAMS)
    print(f"params.yaml is now the preset {name}: {presets[name]['expects']}")


if __name__ == "__main__":
    run_app(app)
