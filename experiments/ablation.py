"""Train the rows of experiments/ablation.yaml and judge them: `python experiments/ablation.py [ROW …]`.

Reads the workspace's data set and classifier (`dvc repro validate train_classifier`). Every row finished is appended to
experiments/ablation.csv at once; rows that it has are skipped, so the command can be stopped and started again.
"""

import csv
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

from dcgan.adapters.dataset_file import load_dataset
from dcgan.adapters.params_file import params_sha256
from dcgan.adapters.progress import ProgressBar
from dcgan.adapters.weights import restored
from dcgan.core.batches import Batches
from dcgan.core.classifier import Classifier
from dcgan.core.config import Params
from dcgan.core.dataset import Dataset
from dcgan.core.devices import prepare_device, resolve
from dcgan.core.evaluation.judge import Judge
from dcgan.core.evaluation.samples import draw_samples, source_of
from dcgan.core.state import build_state
from dcgan.core.training import total_steps, train
from dcgan.entry import new_app, run_app
from dcgan.errors import DivergedError, UsageError
from dcgan.files import sha256_of
from recipe_changes import changed_params

FOLDER = Path("experiments")
RESULTS = FOLDER / "ablation.csv"
CLASSIFIER = Path("models/classifier.safetensors")
FIGURES = ("fcd", "precision", "recall", "coverage", "read_as_asked")
COLUMNS = (
    "row", "seed", "epochs", "train_minutes", "num_samples", "fcd_over_floor",
    *(name for figure in FIGURES for name in (figure, f"{figure}_floor")), "threads", "recipe", "classifier",
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
    dataset = load_dataset(Path("data/dataset.safetensors"), report_path=Path("reports/validation.json"))
    judge: Judge | None = None
    for name in names or plan["rows"]:
        for seed in plan["seeds"]:
            changes = plan["base"] | plan["rows"][name] | {"train.seed": seed, "train.threads": threads}
            params = changed_params(changes)
            judge = judge or new_judge(dataset, params)
            origin = {
                "row": name,
                "seed": str(seed),
                "recipe": params_sha256(params)[:8],
                "classifier": sha256_of(CLASSIFIER)[:8],
            }
            if not is_finished(origin):
                try:
                    append(origin | measure(name, params, dataset, judge))
                except DivergedError as error:
                    append(origin | {"epochs": params.train.epochs})
                    print(f"{name}: {error}")


def new_judge(dataset: Dataset, params: Params) -> Judge:
    """The workspace's classifier, having read the data set."""
    device = prepare_device(params.train)
    classifier = restored(Classifier(), CLASSIFIER, device=device, made_by="train_classifier")
    return Judge(classifier, dataset, num_samples=params.evaluate.num_samples, seed=params.evaluate.seed)


def measure(name: str, params: Params, dataset: Dataset, judge: Judge) -> dict[str, Any]:
    """Train one variant and score its samples of the first sampling seed."""
    device = prepare_device(params.train)
    config = resolve(params.gan, device)
    state = build_state(config.model, config.train, device=device)
    batches = Batches(dataset.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    started = time.monotonic()
    with ProgressBar(name, start=0, end=total_steps(config.train, steps_per_epoch=batches.steps_per_epoch)) as bar:
        train(state, batches, config, seed=config.train.seed, tracker=bar, on_checkpoint=lambda _state: None)
    minutes = (time.monotonic() - started) / 60
    source = source_of(state.generator_ema, params.model)
    samples = draw_samples(source, count=params.evaluate.num_samples, seed=params.evaluate.seed)
    scores = judge.score(samples, judge.read(samples.pixels))
    row: dict[str, Any] = {
        "epochs": config.train.epochs,
        "train_minutes": round(minutes, 1),
        "num_samples": len(samples),
        "fcd_over_floor": round(scores.fcd / judge.floor.fcd, 2),
        "threads": torch.get_num_threads(),
    }
    for figure in FIGURES:
        row |= {figure: _rounded(getattr(scores, figure)), f"{figure}_floor": _rounded(getattr(judge.floor, figure))}
    return row


def is_finished(origin: dict[str, str]) -> bool:
    """Whether a row of that name, seed, recipe and classifier is on file."""
    if not RESULTS.exists():
        return False
    with RESULTS.open(newline="") as file:
        return any(origin.items() <= row.items() for row in csv.DictReader(file))


def append(row: dict[str, Any]) -> None:
    """Add a row to the results."""
    is_new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    run_app(app)
