"""Opening the run of a training, and finding it again in the stages that follow."""

import getpass
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.config.schema import TrackingConfig
from dcgan.system.errors import BadDataError
from dcgan.system.redaction import redacted
from dcgan.tracking.history import read_history
from dcgan.tracking.mlflow.link import Link
from dcgan.tracking.mlflow.reference import RunReference, load_run_reference, save_run_reference
from dcgan.tracking.mlflow.run import MlflowRun, log_tags
from dcgan.tracking.mlflow.store import find_or_create_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

RESTORED_FROM = "restored_from"
"""Tag of a run that stands for one which this store does not know."""
OPENED_AS = "opened_as"
"""Tag with the name that a training gives its run beforehand: it goes by it if no answer says the run's id."""
PATIENCE = 60.0
"""Seconds that a stage after training waits for MLflow in all: it may have a whole history to send."""
ENDS = {"FINISHED", "KILLED", "FAILED"}
NO_SUCH_RUN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def open_run(
    *,
    reference: Path,
    tracking: TrackingConfig,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    name: str,
    description: str,
) -> MlflowRun:
    """The run of a training that starts, or that goes on after an interruption.

    Args:
        reference: a file beside the checkpoints, where this leaves the run's id for a training that is interrupted.
            Where it finds one, that run is opened again: parameters that it has keep their values, and points and
            grids that it has are not recorded again.
        tracking: the experiment's name.
        params: every parameter by its dotted path.
        tags: where the model comes from.
        name: what lists of runs show.
        description: Markdown, shown on the run's page.

    Returns:
        The run; without MLflow, after one line of warning, one that records nothing and has an id all the same.
    """
    tags = {**tags, **_context_tags(tags, description), "mlflow.runName": name}
    link = Link()
    interrupted = _interrupted_run(reference)
    if interrupted:
        run = _reopen(link, interrupted, tracking.experiment, _as_text(params), tags)
    else:
        run = _open_anew(link, tracking.experiment, _as_text(params), tags)
    save_run_reference(reference, run)
    return run


def resume_run(
    reference: RunReference,
    *,
    tracking: TrackingConfig,
    history: Path,
    params: Mapping[str, object],
    interrupted: bool = False,
    required: bool = False,
) -> MlflowRun:
    """The run of a training that is over, complete with parameters, tags and history, to add to.

    Args:
        reference: what `train` left beside the model.
        tracking: the experiment that a run is created in if this store does not know the one that is named: another
            machine trained the model, or the server was away.
        history: what `train` recorded, with the grids of samples in the folder `samples` beside it.
        params: as for `open_run`, for a run that has to be created and whose own ones were not recorded.
        interrupted: whether the training did not come to its end: the run is not FINISHED then, but KILLED, unless it
            says already how it ended.
        required: whether the stage is pointless without MLflow.

    Raises:
        BadDataError: the history is damaged.
        UnavailableError: `required`, and MLflow is missing or cannot be reached.
    """
    rows = read_history(history)
    link = Link(required=required, patience=PATIENCE)
    note = f"The model was trained as run `{reference.run_id}`, in another store or without one."
    opened_with = {**_as_text(params), **reference.params}
    tags = {**_context_tags({}, note), **reference.tags}
    found = _find_or_stand_in(link, reference.run_id, tracking.experiment, opened_with, tags)
    run = MlflowRun(
        link,
        run_id=found.info.run_id if found else reference.run_id,
        experiment=tracking.experiment,
        params=reference.params,
        tags=reference.tags,
        has_ended=found is not None and found.info.status in (ENDS if interrupted else {"FINISHED"}),
    )
    if found:
        run.take_stock(found)
        link.attempt(lambda client: _complete(client, found, reference))
    run.sync_history(rows)
    run.sync_samples(history.with_name("samples"))
    run.finish("KILLED" if interrupted else "FINISHED")
    return run


def _interrupted_run(reference: Path) -> RunReference | None:
    """What a reference holds; None where there is none, or a damaged one: then the training gets a new run."""
    try:
        return load_run_reference(reference)
    except BadDataError:
        return None


def _open_anew(link: Link, experiment: str, params: Mapping[str, str], tags: Mapping[str, str]) -> MlflowRun:
    """The run of a training that starts."""
    name = uuid.uuid4().hex
    created = link.attempt(lambda client: _create_run(client, experiment, params, {**tags, OPENED_AS: name}))
    run_id = created.info.run_id if created else name
    return MlflowRun(link, run_id=run_id, experiment=experiment, params=params, tags=tags)


def _reopen(
    link: Link, interrupted: RunReference, experiment: str, params: Mapping[str, str], tags: Mapping[str, str]
) -> MlflowRun:
    """The run of an interrupted training, which is running again."""
    params = {**params, **interrupted.params}
    found = _find_or_stand_in(link, interrupted.run_id, experiment, params, tags)
    run_id = found.info.run_id if found else interrupted.run_id
    run = MlflowRun(link, run_id=run_id, experiment=experiment, params=params, tags=tags)
    if found:
        run.take_stock(found)
        link.attempt(lambda client: _set_running(client, found, params, tags))
        run.skip_known(found.data.metrics)
    return run


def _find_or_stand_in(
    link: Link, run_id: str, experiment: str, params: Mapping[str, str], tags: Mapping[str, str]
) -> "Run | None":
    """The run `run_id`, or one that stands for it and is created if need be; None without MLflow."""
    all_tags = {**tags, RESTORED_FROM: run_id}
    found = link.attempt(lambda client: _find_run(client, run_id, experiment))
    return found or link.attempt(lambda client: _create_run(client, experiment, params, all_tags))


def _find_run(client: "MlflowClient", run_id: str, experiment_name: str) -> "Run | None":
    """The run `run_id`, or the one that stands for it, or None."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in NO_SUCH_RUN:
            raise
    else:
        if run.info.lifecycle_stage == "active":
            return run
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        return None
    return _find_tagged(client, experiment, OPENED_AS, run_id) or _find_tagged(
        client, experiment, RESTORED_FROM, run_id
    )


def _find_tagged(client: "MlflowClient", experiment: "Experiment", tag: str, run_id: str) -> "Run | None":
    """The oldest run with this tag; others were created by requests that were repeated for want of an answer."""
    filter_string, oldest_first = f"tags.{tag} = '{run_id}'", ["attributes.start_time ASC"]
    found = client.search_runs([experiment.experiment_id], filter_string, order_by=oldest_first)
    for twin in found[1:]:
        client.delete_run(twin.info.run_id)
    return next(iter(found), None)


def _create_run(client: "MlflowClient", experiment: str, params: Mapping[str, str], tags: Mapping[str, str]) -> "Run":
    run = client.create_run(find_or_create_experiment(client, experiment), tags=dict(tags))
    _log_params(client, run.info.run_id, params)
    return run


def _set_running(client: "MlflowClient", run: "Run", params: Mapping[str, str], tags: Mapping[str, str]) -> None:
    client.update_run(run.info.run_id, status="RUNNING")
    _log_params(client, run.info.run_id, _lacking(params, run.data.params))
    log_tags(client, run.info.run_id, tags)


def _complete(client: "MlflowClient", run: "Run", reference: RunReference) -> None:
    """Send the parameters and tags that the run was opened with and lacks; the store may have gone away in between."""
    if params := _lacking(reference.params, run.data.params):
        _log_params(client, run.info.run_id, params)
    if tags := _lacking(reference.tags, run.data.tags):
        log_tags(client, run.info.run_id, tags)


def _lacking(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if key not in found}


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])


def _as_text(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters as MLflow shows them, without passwords."""
    return {key: redacted(str(value)) for key, value in params.items()}


def _context_tags(tags: Mapping[str, str], description: str) -> dict[str, str]:
    """The tags by which MLflow's pages show a run's description, user, script and commit."""
    context = {
        "mlflow.note.content": description,
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    if commit := tags.get("source_revision"):
        context["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
    with suppress(OSError, KeyError):  # a container's user may have no name
        context["mlflow.user"] = getpass.getuser()
    return context
