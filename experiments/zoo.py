"""Train the members in experiments/zoo.yaml under one budget and compare them: `python experiments/zoo.py [MEMBER …]`.

Reads the workspace's data set and classifier (`dvc repro validate train_classifier`). As many members train side by
side as there are cores, a thread each. Every member finished is appended to experiments/zoo.csv at once; those that it
has are skipped, so the command can be stopped and started again. In the end docs/zoo.md is written.
"""

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
import yaml

from dcgan.adapters.figures.drawing import save_grid
from dcgan.adapters.mlflow_tracker import open_run
from dcgan.adapters.provenance import training_tags
from dcgan.core.config import Params, TrackingConfig
from dcgan.core.devices import prepare_device, resolve
from dcgan.core.evaluation.samples import Samples
from dcgan.core.gan_step import gan_step
from dcgan.core.sampling import image_grid
from dcgan.core.state import build_state
from dcgan.entry import new_app, run_app
from dcgan.errors import DivergedError, UsageError
from dcgan.files import write_bytes
from recipe_changes import changed_params
from trials import CLASSIFIER, FIGURE_COLUMNS, Yardstick, append, figures_of, is_finished, origin_of, rows_in, run_trial

PLAN, RESULTS = Path("experiments/zoo.yaml"), Path("experiments/zoo.csv")
PAGE, PICTURES = Path("docs/zoo.md"), Path("docs/images/zoo")
DATASET = Path("data/dataset.safetensors")
COLUMNS = (
    "row", "seed", "images_seen", "images_per_second", "num_samples", "fcd_over_floor",
    *FIGURE_COLUMNS, "threads", "recipe", "classifier",
)  # fmt: skip
SPEED_STEPS = 40
GRID = (10, 4)
"""Columns and rows of a member's picture."""

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
    recipes = {name: params_of(name, plan) for name in names or plan["members"]}
    origins = {name: origin_of(name, params) for name, params in recipes.items()}
    missing = {name: recipes[name] for name, origin in origins.items() if not is_finished(origin, RESULTS)}
    speeds = {name: measure_speed(params) for name, params in missing.items()}  # while nothing else runs
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train_member, name, params): name for name, params in missing.items()}
        for done in as_completed(running):
            name = running[done]
            append(origins[name] | {"images_per_second": speeds[name]} | done.result(), RESULTS, COLUMNS)
            print(f"{name}: {done.result().get('fcd_over_floor', 'diverged')} times the floor", flush=True)
    write_bytes(PAGE, page(plan, {row["row"]: row for row in rows_in(RESULTS)}).encode())


def params_of(name: str, plan: Plan) -> Params:
    """The parameters of a member."""
    return changed_params(plan["base"] | plan["members"][name]["params"])


def train_member(name: str, params: Params) -> dict[str, object]:
    """Train and judge one member, on record in MLflow's experiment `zoo`; its row, empty of figures if it diverged."""
    yardstick = _yardstick(params)
    tags = training_tags([DATASET, CLASSIFIER], device="cpu", precision=params.train.precision)
    with TemporaryDirectory() as folder:
        run = open_run(
            reference=Path(folder, "run.json"),
            tracking=TrackingConfig(experiment="zoo", registered_model=""),
            params=params.flattened(),
            tags=tags,
            name=name,
            description=params.gan.summary,
        )
        with run:
            try:
                trial = run_trial(params, yardstick, tracker=run, quick_judge=yardstick.quick_judge(params))
            except DivergedError as error:
                print(f"{name}: {error}")
                return {"images_seen": 0}
            picture = PICTURES / f"{name}.png"
            save_grid(picture, image_grid(shown(trial.samples), columns=GRID[0]))
            figures = figures_of(trial, yardstick.judge.floor)
            run.log_metrics({f"evaluation/{key}": value for key, value in figures.items() if isinstance(value, float)})
            run.log_artifacts(picture, folder="evaluation")
    return {"images_seen": trial.images_seen} | figures


def measure_speed(params: Params) -> int:
    """Images a second of training: the mean of the middle half of some steps, which have penalties now and then."""
    device = prepare_device(params.train)
    config = resolve(params.gan, device)
    state, rng = build_state(config, device=device), torch.Generator(device)
    real, labels = torch.rand(config.train.batch_size, 1, 28, 28) * 2 - 1, torch.arange(config.train.batch_size) % 10
    seconds = []
    for _ in range(SPEED_STEPS):
        started = time.perf_counter()
        gan_step(state, real.detach().clone(), labels, rng=rng, config=config)
        seconds.append(time.perf_counter() - started)
    return round(config.train.batch_size / statistics.fmean(sorted(seconds)[SPEED_STEPS // 4 : -SPEED_STEPS // 4]))


def shown(samples: Samples) -> Any:
    """The first samples: of a conditional member, a digit a column."""
    return samples.pixels[: GRID[0] * GRID[1]]


def page(plan: Plan, rows: dict[str, dict[str, str]]) -> str:
    """docs/zoo.md: the plan's introduction, the table, and a section for every member."""
    members = [name for name in plan["members"] if name in rows]
    ranked = sorted(members, key=lambda name: float(rows[name]["fcd_over_floor"] or "inf"))
    lines = [
        plan["introduction"].rstrip(),
        "",
        "| member | fcd ÷ floor | precision | recall | read as asked | images/s | what it changes |",
        "|---|---|---|---|---|---|---|",
        *(f"| {table_row(name, rows[name], plan['members'][name])} |" for name in ranked),
        "",
        "## Pictures",
    ]
    for name in ranked:
        member = plan["members"][name]
        lines += ["", f"### {name}", "", f"{sentence(member['idea'])} {sentence(member['source'])}"]
        lines += ["", f"![{name}]({PICTURES.relative_to('docs')}/{name}.png)", "", sentence(member["expect"])]
    return "\n".join(lines) + "\n"


def table_row(name: str, row: dict[str, str], member: dict[str, Any]) -> str:
    """A row of the table, without its outer bars."""
    figures = [row["fcd_over_floor"], *(two_places(row[key]) for key in ("precision", "recall", "read_as_asked"))]
    return " | ".join([f"[{name}](#{name})", *figures, row["images_per_second"], member["idea"]])


def two_places(value: str) -> str:
    """A share for people."""
    return f"{float(value):.2f}" if value else "–"


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


_yardsticks: list[Yardstick] = []


def _yardstick(params: Params) -> Yardstick:
    """The yardstick of this process, read once."""
    if not _yardsticks:
        _yardsticks.append(Yardstick.load(params))
    return _yardsticks[0]


if __name__ == "__main__":
    run_app(app)
