"""Train the members in experiments/zoo.yaml under one budget and compare them: `python experiments/zoo.py [MEMBER …]`.

Reads the workspace's data set and classifier (`dvc repro validate train_classifier`). As many members train side by
side as there are cores, a thread each. Every member finished is appended to experiments/zoo.csv at once; those that it
has are skipped, so the command can be stopped and started again. In the end docs/zoo.md is written.
"""

import math
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
import yaml

from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import load_params
from dcgan.config.schema import Params, TrackingConfig, flatten
from dcgan.figures.drawing import save_grid
from dcgan.gan.sampling import image_grid
from dcgan.gan.state import build_state
from dcgan.gan.step import gan_step
from dcgan.system.errors import DcganError, UsageError
from dcgan.system.exit import new_app, run_app
from dcgan.system.files import write_bytes
from dcgan.tracking.mlflow import open_run
from dcgan.tracking.provenance import training_tags
from recipe_changes import PARAMS, changed_params
from trials import CLASSIFIER, FIGURE_COLUMNS, Reference, append, figures_of, origin_of, row_of, run_trial

PLAN, RESULTS = Path("experiments/zoo.yaml"), Path("experiments/zoo.csv")
PAGE, PICTURES = Path("docs/zoo.md"), Path("docs/images/zoo")
DATASET = Path("data/dataset.safetensors")
COLUMNS = (
    "row", "seed", "images_seen", "images_per_second", "num_samples", "fcd_over_floor",
    *FIGURE_COLUMNS, "threads", "recipe", "classifier",
)  # fmt: skip
SPEED_BLOCKS = 7
GRID = (10, 4)
"""Columns and rows of a member's picture; of a conditional one, a digit a column."""

app = new_app("Train every member of the family and compare them.")
Plan = dict[str, Any]


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="MEMBER", help="[default: all]")] = None,
) -> None:
    """Train what experiments/zoo.csv lacks, then write docs/zoo.md from it."""
    plan: Plan = yaml.safe_load(PLAN.read_text())
    if unknown := set(names or ()) - plan["members"].keys():
        raise UsageError(f"unknown member {unknown.pop()}; choose from {', '.join(plan['members'])}")
    recipes = {name: params_of(name, plan) for name in plan["members"]}
    origins = {name: origin_of(name, params) for name, params in recipes.items()}
    missing = [name for name in names or recipes if row_of(origins[name], RESULTS) is None]
    speeds = {name: measure_speed(recipes[name]) for name in missing}  # while nothing else runs
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train_member, name, recipes[name]): name for name in missing}
        for done in as_completed(running):
            name = running[done]
            try:
                figures = done.result()
            except DcganError as error:
                print(f"{name}: {error}", flush=True)
                figures = {}
            append(origins[name] | {"images_per_second": speeds[name]} | figures, RESULTS, COLUMNS)
            print(f"{name}: {figures.get('fcd_over_floor', 'failed')}", flush=True)
    rows = {name: row for name, origin in origins.items() if (row := row_of(origin, RESULTS))}
    write_bytes(PAGE, page(plan, rows).encode())


def params_of(name: str, plan: Plan) -> Params:
    """The parameters of a member."""
    return changed_params(plan["base"] | plan["members"][name]["params"])


def train_member(name: str, params: Params) -> dict[str, object]:
    """Train and judge one member, on record in MLflow's experiment `zoo`; its row.

    Raises:
        DivergedError, BadDataError: as `run_trial`.
    """
    device, reference = prepare_device(params.train), read_reference()
    precision = resolve(params.gan, device).train.precision
    tags = training_tags([DATASET, CLASSIFIER], device=str(device), precision=precision)
    with TemporaryDirectory() as folder:
        run = open_run(
            reference=Path(folder, "run.json"),
            tracking=TrackingConfig(experiment="zoo", registered_model=""),
            params=flatten(params),
            tags=tags,
            name=name,
            description=params.gan.summary,
        )
        data = reference.dataset
        run.log_dataset(name=data.name, sha256=data.sha256, path=DATASET, profile={"images": len(data.train)})
        with run:
            trial = run_trial(params, reference, tracker=run, evaluate=reference.quick_evaluation(params))
            picture, shown = PICTURES / f"{name}.png", trial.samples.pixels[: GRID[0] * GRID[1]]
            save_grid(picture, image_grid(shown, columns=GRID[0]))
            figures = figures_of(trial, reference.evaluator.floor)
            run.log_metrics({f"evaluation/{key}": value for key, value in figures.items() if isinstance(value, float)})
            run.log_artifacts(picture, folder="evaluation")
    return {"images_seen": trial.images_seen} | figures


@cache
def read_reference() -> Reference:
    """What all members are judged by, read once in each process."""
    return Reference.load(load_params(PARAMS))


def measure_speed(params: Params) -> int:
    """Images a second of training on noise: the median of blocks with every kind of step equally often in them."""
    device = prepare_device(params.train)
    config = resolve(params.gan, device)
    size, block = config.train.batch_size, math.lcm(config.penalties.every, config.train.discriminator_steps)
    state, rng = build_state(config, device=device), torch.Generator(device)
    real, labels = torch.rand(size, 1, 28, 28, device=device) * 2 - 1, torch.arange(size, device=device) % 10
    seconds = []
    for _ in range(SPEED_BLOCKS + 1):
        started = time.perf_counter()
        for _ in range(block):
            measured = gan_step(state, real, labels, rng=rng, config=config)
        measured["discriminator/loss"].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return round(block * size / statistics.median(seconds[1:]))


def page(plan: Plan, rows: dict[str, dict[str, str]]) -> str:
    """docs/zoo.md: the plan's introduction, the table, and a section for every member."""
    members = [name for name in plan["members"] if name in rows]
    ranked = sorted(members, key=lambda name: float(rows[name]["fcd"] or "inf"))
    lines = [
        plan["introduction"].rstrip(),
        "",
        "| member | fcd | fcd ÷ floor | precision | recall | read as asked | images/s | what it changes |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {table_row(name, rows[name], plan['members'][name])} |" for name in ranked),
        "",
        "## Pictures",
    ]
    for name in ranked:
        member = plan["members"][name]
        lines += ["", f"### {name}", "", f"{sentence(member['idea'])} {sentence(member['source'])}"]
        if rows[name]["fcd"]:
            lines += ["", f"![{name}]({PICTURES.relative_to('docs')}/{name}.png)"]
        lines += ["", sentence(member["expect"])]
    return "\n".join(lines) + "\n"


def table_row(name: str, row: dict[str, str], member: dict[str, Any]) -> str:
    """A row of the table, without its outer bars."""
    shares = (two_places(row[key]) for key in ("precision", "recall", "label_accuracy"))
    measured = [two_places(row["fcd"]), row["fcd_over_floor"], *shares]
    figures = measured if row["fcd"] else ["failed", *[""] * 4]
    return " | ".join([f"[{name}](#{name})", *figures, row["images_per_second"], member["idea"]])


def two_places(value: str) -> str:
    """A figure for people."""
    return f"{float(value):.2f}" if value else "–"


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


if __name__ == "__main__":
    run_app(app)
