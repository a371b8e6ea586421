"""What MLflow is told of the workspace's model: all that its stages left in files, each thing once.

The stages after `train` and `dcgan sync` call the same function, so each also sends what an earlier one could not.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from dcgan.config.schema import GanConfig, Params, flatten
from dcgan.data.dataset import Dataset
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.numbers import numbers_in
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.tracking.mlflow import (
    MlflowRun,
    RunReference,
    load_run_reference,
    open_run,
    resume_run,
    save_run_reference,
)
from dcgan.tracking.provenance import input_tags, training_tags

Stage = Literal["train", "evaluate", "export"]

CHECKPOINTS, REPORTS, PLOTS = Path(".checkpoints"), Path("reports"), Path("reports/plots")
RUN, GENERATOR = Path("models/run.json"), Path("models/generator.safetensors")
DATASET, VALIDATION = Path("data/dataset.safetensors"), REPORTS / "validation.json"
TRAINING_PICTURE = PLOTS / "training.png"


def open_training(
    reference: Path, *, params: Params, config: GanConfig, data: Dataset, inputs: Iterable[Path], end: int
) -> MlflowRun:
    """The run of a training that starts or goes on, which models/run.json names from now on.

    Args:
        reference: as for `open_run`.
        params: those of the workspace.
        config: the same with every `auto` resolved.
        data: what it trains on.
        inputs: the files that it reads.
        end: its last step.

    Raises:
        CannotCreateError: models/run.json cannot be written; the training has not begun then.
    """
    run = open_run(
        reference=reference,
        tracking=params.tracking,
        params=flatten(params),
        tags=training_tags(inputs, device=config.train.device, precision=config.train.precision),
        name=f"{data.name}-{reference.parent.name[:6]}",
        description=f"{config.summary}\n\n{len(data.train):,} images of {data.name}, {end:,} steps.",
    )
    save_run_reference(RUN, run)
    _log_dataset(run, data)
    return run


def bring_up_to_date(params: Params, *, to: Stage, required: bool = False) -> MlflowRun:
    """The run of the workspace's model, after it was sent all that it lacks of the stages up to `to`.

    A training that was interrupted has left no model: its run gets the history so far, and neither files nor figures,
    which would be an older model's. Reports of another model than the present one are passed over likewise.

    Args:
        params: those of the workspace.
        to: the last stage whose report is sent; the reports of later ones are outdated while it runs.
        required: whether MLflow is what the caller is for.

    Raises:
        BadDataError: there is no run, or a file is damaged.
        UnavailableError: `required`, and MLflow is missing or cannot be reached.
    """
    reference = load_run_reference(RUN)
    interrupted = is_interrupted(reference)
    run = resume_run(
        reference,
        tracking=params.tracking,
        history=REPORTS / "history.jsonl",
        params=flatten(params),
        interrupted=interrupted,
        required=required,
    )
    track_dataset(run)
    if not interrupted:
        track_training(run)
        if to != "train":
            track_evaluation(run)
        if to == "export":
            track_export(run)
    return run


def is_interrupted(reference: RunReference) -> bool:
    """Whether the training of this run still has checkpoints: it removes them when it has written the model."""
    return any(_run_id_in(path) == reference.run_id for path in CHECKPOINTS.glob("*/run.json"))


def track_dataset(run: MlflowRun) -> None:
    """Name the data set, if the one in the workspace is the one that the model was trained on."""
    if run.link.is_on and not run.has_dataset and _has_its_dataset(run):
        _log_dataset(run, load_dataset(DATASET, report_path=VALIDATION))


def track_training(run: MlflowRun) -> None:
    """Store the validation of the model's data set and the picture of its training."""
    files = [VALIDATION, TRAINING_PICTURE] if _has_its_dataset(run) else [TRAINING_PICTURE]
    run.log_artifacts(*(path for path in files if path.is_file()), folder="training")


def track_evaluation(run: MlflowRun) -> None:
    """Record every number that `evaluate` found of the present model, and store its report and its pictures."""
    path = REPORTS / "evaluation.json"
    report = _report_of_this_model(path, made_by="evaluate")
    if report:
        run.log_figures(numbers_in(report))
        run.log_artifacts(path, *sorted(set(PLOTS.glob("*.png")) - {TRAINING_PICTURE}), folder="evaluation")


def track_export(run: MlflowRun) -> None:
    """Record the parity that `export` found of the present model, and store its report."""
    path = REPORTS / "export.json"
    report = _report_of_this_model(path, made_by="export")
    if report:
        run.log_figures({"export/max_difference": report["parity"]["max_difference"]})
        run.log_artifacts(path, folder="export")


def _log_dataset(run: MlflowRun, data: Dataset) -> None:
    run.log_dataset(name=data.name, sha256=data.sha256, path=DATASET, profile={"images": len(data.train)})


def _run_id_in(path: Path) -> str | None:
    try:
        return load_run_reference(path).run_id
    except BadDataError:
        return None


def _has_its_dataset(run: MlflowRun) -> bool:
    return DATASET.is_file() and input_tags([DATASET]).items() <= run.tags.items()


def _report_of_this_model(path: Path, *, made_by: str) -> dict[str, Any] | None:
    """A report; None if there is none yet, or one of other weights than models/generator.safetensors has."""
    if not (path.is_file() and GENERATOR.is_file()):
        return None
    report = read_json(path, made_by=made_by)
    return report if report.get("generator_sha256") == sha256_of(GENERATOR) else None
