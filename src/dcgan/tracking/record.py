"""What an MLflow run is to hold, read from the workspace: a training's record and the reports on the model it left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dcgan.config import workspace
from dcgan.config.schema import Params
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.tracking import provenance
from dcgan.tracking.contents import figures_table, headline_figures, shown_parameters, shown_tags
from dcgan.tracking.description import describe
from dcgan.tracking.jsonl import Point, grids_in, read_events, read_points
from dcgan.tracking.provenance import GENERATOR_SHA256, RUN, TRAINING_ID, Run, load_run

Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]
REPORTS = {"evaluation": (workspace.EVALUATION, "evaluate"), "export": (workspace.EXPORT, "export")}
"""The reports on a model and the stages that write them, by their folder in the run."""
ALL_FIGURES = "evaluation/all_figures.csv"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All that an MLflow run is to hold."""

    tags: Mapping[str, str]
    params: Mapping[str, str]
    dataset: Mapping[str, Any]
    """As `validated_dataset` tells it; empty if the workspace has another one by now."""
    status: Status
    points: Sequence[Point]
    grids: Sequence[Path]
    figures: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the finished model."""
    result: str = ""
    """What came of it, Markdown, in which `RUN_ID` stands for the run's id in the store."""
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """Artifacts by their folder in the run."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Further artifacts, by their path in the run."""

    @property
    def started_ms(self) -> int | None:
        """Milliseconds since 1970 of the first point; None if no time is known."""
        return min(self._times, default=None)

    @property
    def ended_ms(self) -> int | None:
        """Milliseconds since 1970 of the last point; None if no time is known."""
        return max(self._times, default=None)

    @property
    def _times(self) -> list[int]:
        return [point.time_ms for point in self.points if point.time_ms is not None]

    @property
    def last_step(self) -> int:
        """The step that the training has come to."""
        return max((point.step for point in self.points), default=0)


def read_training(folder: Path, *, status: Status) -> RunRecord:
    """The record of the training whose checkpoints are in `folder`.

    Raises:
        BadDataError: a file is missing or damaged.
    """
    if (run := load_run(folder)) is None:
        raise BadDataError(f"{folder / RUN}: missing or damaged; run `dvc repro train`")
    return _read_record(folder, run, status)


def unfinished_trainings() -> Iterator[RunRecord]:
    """The records of trainings that stopped before their end; none may be running."""
    for path in sorted(workspace.CHECKPOINTS.glob(f"*/{RUN}")):
        if not path.parent.suffix and (run := load_run(path.parent)):
            yield _read_record(path.parent, run, "FINISHED" if GENERATOR_SHA256 in run["tags"] else "KILLED")


def read_model(params: Params) -> RunRecord:
    """The record of the workspace's model: its training, and the reports on it; those on other weights are left out.

    Raises:
        BadDataError: nothing was trained here, or a file is damaged.
    """
    if not workspace.GENERATOR.is_file():
        raise BadDataError(f"{workspace.GENERATOR}: missing; run `dvc repro train` first")
    sha256 = sha256_of(workspace.GENERATOR)
    run = provenance.run_of_model(params, sha256)
    record = _read_record(workspace.REPORTS, run, "FINISHED")
    if record.points and run["tags"].get(provenance.HISTORY_SHA256) not in {None, sha256_of(workspace.HISTORY)}:
        record = replace(record, points=[], grids=[])  # another training has begun since
    reports = {kind: report for kind in REPORTS if (report := _read_report(kind, of=sha256))}
    files = {kind: [REPORTS[kind][0]] for kind in reports}
    if "evaluation" in files:
        files["evaluation"] += sorted(workspace.EVALUATION_FIGURES.glob("*.*"))
        if texts := [path for path in workspace.REPORT_FILES if path.is_file()]:
            files["report"] = texts
    if record.dataset:
        files["training"] = [workspace.VALIDATION]
    if TRAINING_ID in record.tags:
        files["provenance"] = [workspace.REPORTS / RUN]
    evaluation = reports.get("evaluation", {})
    return replace(
        record,
        figures=headline_figures(evaluation),
        result=describe(evaluation) if evaluation else "",
        files=files,
        texts={ALL_FIGURES: figures_table(evaluation)} if evaluation else {},
    )


def _read_record(folder: Path, run: Run, status: Status) -> RunRecord:
    dataset = provenance.validated_dataset()
    tags = {**run["tags"], **{f"event.{name}": text for name, text in read_events(folder).items()}}
    return RunRecord(
        tags=shown_tags(tags),
        params=shown_parameters(run["params"]),
        dataset=dataset if dataset.get("sha256") == run["tags"].get(provenance.DATASET_SHA256) else {},
        status=status,
        points=read_points(folder, with_timings=TRAINING_ID in run["tags"]),  # else they are another training's
        grids=grids_in(folder),
    )


def _read_report(kind: str, *, of: str) -> dict[str, Any]:
    """A report on the weights with the SHA-256 `of`; empty if there is none, or one on other weights."""
    path, stage = REPORTS[kind]
    report = read_json(path, made_by=stage) if path.is_file() else {}
    return report if report.get(GENERATOR_SHA256) == of else {}
