"""Train the rows of experiments/ablation.yaml and judge them: `python experiments/ablation.py [ROW …]`.

Reads the workspace's data set and classifier (`dvc repro validate train_classifier`). Every row finished is appended to
experiments/ablation.csv at once; rows that it has are skipped, so the command can be stopped and started again.
"""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from dcgan.system.errors import DivergedError, UsageError
from dcgan.system.exit import new_app, run_app
from dcgan.tracking.progress import ProgressBar
from recipe_changes import changed_params
from trials import FIGURE_COLUMNS, Reference, append, figures_of, num_steps, origin_of, row_of, run_trial

FOLDER = Path("experiments")
RESULTS = FOLDER / "ablation.csv"
COLUMNS = (
    "row", "seed", "epochs", "train_minutes", "num_samples", "fcd_over_floor",
    *FIGURE_COLUMNS, "threads", "recipe", "classifier",
)  # fmt: skip

app = new_app("Train variants of the recipe and judge their samples.")


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="ROW", help="[default: all]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; one run a core is the best use.")] = None,
) -> None:
    """Train what experiments/ablation.csv lacks."""
    plan = yaml.safe_load((FOLDER / "ablation.yaml").read_text())
    if unknown := set(names or ()) - plan["rows"].keys():
        raise UsageError(f"unknown row {unknown.pop()}; choose from {', '.join(plan['rows'])}")
    reference: Reference | None = None
    for name in names or plan["rows"]:
        for seed in plan["seeds"]:
            changes = plan["base"] | plan["rows"][name] | {"train.seed": seed, "train.threads": threads}
            params = changed_params(changes)
            origin = origin_of(name, params) | {"epochs": str(params.train.epochs)}
            if row_of(origin, RESULTS):
                continue
            reference = reference or Reference.load(params)
            try:
                with ProgressBar(name, end=num_steps(params, reference.dataset)) as bar:
                    trial = run_trial(params, reference, tracker=bar)
            except DivergedError as error:
                append(origin, RESULTS, COLUMNS)
                print(f"{name}: {error}")
            else:
                time = {"train_minutes": round(trial.seconds / 60, 1)}
                append(origin | time | figures_of(trial, reference.evaluator.floor), RESULTS, COLUMNS)


if __name__ == "__main__":
    run_app(app)
