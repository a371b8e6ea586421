"""Synchronisation of a sweep with MLflow: a parent run, and below it a child for every trial and every repeat."""

from dataclasses import replace
from typing import TYPE_CHECKING

from dcgan.config.schema import flatten
from dcgan.scale.results import TrialRecord, best_of, read_repeats, read_trials, spread_of
from dcgan.scale.sweep_folder import Sweep, load_sweep, lock_of
from dcgan.system.errors import BusyError
from dcgan.system.locks import exclusive
from dcgan.system.redaction import redacted
from dcgan.tracking.contents import shown_parameters, shown_tags
from dcgan.tracking.jsonl import Point
from dcgan.tracking.live import LiveSync
from dcgan.tracking.provenance import TRAINING_ID, load_run, validated_dataset
from dcgan.tracking.record import RunRecord, Status, read_training
from dcgan.tracking.sync import sync_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
PATIENCE = 60.0
"""Seconds that a sweep waits for MLflow at its end; the runs of all its trials may have to be sent then."""
CHILD_STATUS: dict[str, Status] = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


def sync_sweep(client: "MlflowClient", sweep: Sweep, *, status: Status, known: set[str] | None = None) -> str:
    """Send MLflow what it lacks of a sweep; the id of the parent run.

    Args:
        client: of the store.
        sweep: the sweep.
        status: of the parent.
        known: the trials that the store has with their ends; those that it gets now are added.
    """
    known = set() if known is None else known
    trials = read_trials(sweep)
    best = best_of(trials)
    repeats = read_repeats(sweep, best)
    experiment = sweep.params.tracking.experiment
    parent_id, _ = sync_run(client, parent_record(sweep, trials, repeats, status=status), experiment=experiment)
    children = {f"trial {each.number}": each for each in trials} | {f"seed {each.number}": each for each in repeats}
    for name, child in children.items():
        if name not in known and load_run(child.training):
            record = child_record(child, name=name, sweep=sweep, parent_id=parent_id, is_at_work=status == "RUNNING")
            sync_run(client, record, experiment=experiment)
            if child.outcome:
                known.add(name)
    return parent_id


def send_sweep(client: "MlflowClient", name: str) -> str:
    """Send what MLflow lacks of a sweep that nobody works on; a line that says so, or who does."""
    try:
        with exclusive(lock_of(name)):
            sweep = load_sweep(name)
            parent_id = sync_sweep(client, sweep, status=status_of(sweep))
    except BusyError as error:
        return f"note: the sweep {name} is left alone: {error}"
    return f"sent the sweep {name} to run {parent_id} at {redacted(client.tracking_uri)}"


def status_of(sweep: Sweep) -> Status:
    """How a sweep ended on which nobody works."""
    trials = read_trials(sweep)
    if sum(trial.outcome is not None for trial in trials) < sweep.options.trials:
        return "KILLED"
    return "FINISHED" if best_of(trials) else "FAILED"


def parent_record(sweep: Sweep, trials: list[TrialRecord], repeats: list[TrialRecord], *, status: Status) -> RunRecord:
    """What the run of the sweep itself is to hold."""
    dataset = validated_dataset()
    is_same = dataset.get("sha256") in sweep.inputs.values()
    searched = {f"space/{name}": str(domain) for name, domain in sweep.space.domains.items()}
    asked = {f"sweep/{name}": str(value) for name, value in vars(sweep.options).items()}
    shared = {"data.name": sweep.params.data.name, **flatten(sweep.params.gan)}
    common = {name: str(value) for name, value in shared.items() if name not in sweep.space.domains}
    common = shown_parameters(common)
    ended = [trial for trial in trials if trial.outcome]
    files = sorted(path for path in sweep.results.glob("*.*") if not path.name.startswith("."))
    best = best_of(trials)
    return RunRecord(
        tags=shown_tags(sweep.tags) | {TRAINING_ID: sweep.id, NAME: f"sweep {sweep.name}"},
        params=searched | asked | common,
        dataset=dataset if is_same else {},
        status=status,
        points=[
            Point("trial_fcd_over_floor", trial.result, trial.number, trial.outcome.ended_ms if trial.outcome else None)
            for trial in ended
            if trial.result is not None
        ],
        grids=[],
        figures=figures_of(trials, repeats),
        result=description(best, repeats) if best and status != "RUNNING" else "",
        files={"sweep": files} if files and status != "RUNNING" else {},
    )


def figures_of(trials: list[TrialRecord], repeats: list[TrialRecord]) -> dict[str, float]:
    """The metrics of a sweep: the best so far, how the trials ended, and the spread over seeds."""
    kinds: list[str] = [trial.outcome.kind for trial in trials if trial.outcome]
    figures = {f"trials_{kind}": float(kinds.count(kind)) for kind in CHILD_STATUS}
    if best := best_of(trials):
        figures |= {"best_trial": float(best.number), "best_fcd_over_floor": best.result or 0.0}
    if any(repeat.result is not None for repeat in repeats):
        mean, deviation = spread_of(repeats)
        figures |= {"best_fcd_over_floor_mean": mean, "best_fcd_over_floor_std": deviation}
    return figures


def description(best: TrialRecord, repeats: list[TrialRecord]) -> str:
    """The result in a few lines of Markdown."""
    lines = [f"Best: trial {best.number}, {best.summary}.", ""]
    lines += [f"- `{name}: {value}`" for name, value in best.values.items()]
    if results := [repeat for repeat in repeats if repeat.result is not None]:
        mean, deviation = spread_of(results)
        lines += ["", f"With {len(results)} other seeds: {mean:.2f} ± {deviation:.2f} times the floor."]
    return "\n".join(lines)


def child_record(child: TrialRecord, *, name: str, sweep: Sweep, parent_id: str, is_at_work: bool) -> RunRecord:
    """What the run of a trial or of a repeat is to hold."""
    unfinished: Status = "RUNNING" if is_at_work else "KILLED"
    record = read_training(child.training, status=CHILD_STATUS[child.outcome.kind] if child.outcome else unfinished)
    end = {} if child.outcome is None else {"sweep.outcome": child.outcome.kind, "sweep.failure": child.outcome.message}
    tags = {**record.tags, PARENT: parent_id, NAME: f"{sweep.name}: {name}", "sweep.name": sweep.name, **end}
    tags["mlflow.source.name"] = sweep.tags["mlflow.source.name"]  # else Ray's worker
    figures = {} if child.result is None or child.outcome is None else {"fcd_over_floor": child.result}
    params = {
        **record.params,
        **{name: str(value) for name, value in child.values.items()},
    }  # the searched ones in each
    return replace(record, tags={key: value for key, value in tags.items() if value}, params=params, figures=figures)


class SweepSync(LiveSync):
    """Keeps the runs of a sweep up to date while the block lasts."""

    later = "the sweep goes on without it; `dcgan sync` sends what is missing"

    def __init__(self, sweep: Sweep) -> None:
        """Begin with the sweep as it is."""
        super().__init__(sweep.folder, experiment=sweep.params.tracking.experiment, patience=PATIENCE)
        self._sweep, self._known = sweep, set[str]()

    def send(self, client: "MlflowClient", status: Status) -> None:
        """Send what is new of the sweep and its trials."""
        sync_sweep(client, self._sweep, status=status, known=self._known)
