"""What each part of the shipped configuration is worth: `python experiments/ablation.py [VARIANT …]`.

Trains and evaluates the variants in experiments/ablation.yaml that experiments/ablation.csv lacks, so the command can
be stopped and started again. Needs the workspace's data set and both classifiers (`dvc repro train_classifier
train_witness`).
"""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from pathlib import Path
from typing import Annotated

import typer

from dcgan.system.exit import run_stage
from sweep import load_sweep, run_sweep

FOLDER = Path(__file__).parent


def main(names: Annotated[list[str] | None, typer.Argument(metavar="VARIANT", help="[default: all]")] = None) -> None:
    """Train what experiments/ablation.csv lacks, and add it there."""
    run_sweep(load_sweep(FOLDER / "ablation.yaml", names), names, FOLDER / "ablation.csv")


if __name__ == "__main__":
    run_stage(main)
