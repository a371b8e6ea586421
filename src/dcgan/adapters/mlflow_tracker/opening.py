"""Opening the run of a training, and finding it again in the stages that follow."""

import getpass
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.adapters.mlflow_tracker.link import Link
from dcgan.adapters.mlflow_tracker.reference import RunReference, load_run_reference, save_run_reference
from dcgan.adapters.mlflow_tracker.run import MlflowRun, log_tags
from dcgan.adapters.mlflow_tracker.store import find_or_create_experiment
from dcgan.core.config import TrackingConfig
from dcgan.errors import BadDataError
from dcgan.history import read_history
from dcgan.masking import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RESTORED_FROM = "restored_from"
"""Tag of a run that stands for one which this store does not know."""
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
        run = _reopen(link, interrupted, tracking.experiment, params, tags)
    else:
        created = link.attempt(lambda client: _create_run(client, tracking.experiment, params, tags))
        run_id = created.info.run_id if created else uuid.uuid4().hex
        run = MlflowRun(link, run_id=run_id, experiment=tracking.experiment)
    save_run_reference(reference, run)
    return run


def resume_run(
    reference: RunReference,
    *,
    tracking: TrackingConfig,
    history: Path,
    params: Mapping[str, object],
    required: bool = False,
) -> MlflowRun:
    """The finished run of a trained model, complete with its history, to add to.

    Args:
        reference: what `train` left beside the model.
        tracking: the experiment that a run is created in if this store does not know the one that is named: another
            machine trained the model, or the server was away.
        history: what `train` recorded, with the grids of samples in the folder `samples` beside it.
        params: as for `open_run`, for a run that has to be created.
        required: whether the stage is pointless without MLflow.

    Raises:
        BadDataError: the history is damaged.
        UnavailableError: `required`, and MLflow is missing or cannot be reached.
    """
    rows = read_history(history)
    link = Link(required=required)
    note = f"The model was trained as run `{reference.run_id}`, in another store or without one."
    found = _find_or_stand_in(link, reference.run_id, tracking.experiment, params, _context_tags({}, note))
    run_id = found.info.run_id if found else reference.run_id
    has_ended = found is not None and found.info.status == "FINISHED"
    run = MlflowRun(link, run_id=run_id, experiment=tracking.experiment, has_ended=has_ended)
    run.sync_history(rows)
    run.sync_samples(history.with_name("samples"))
    run.finish()
    return run


def _interrupted_run(reference: Path) -> str | None:
    """The id in a reference; None where there is none, or a damaged one: then the training gets a new run."""
    try:
        return load_run_reference(reference).run_id
    except BadDataError:
        return None


def _reopen(
    link: Link, run_id: str, experiment: str, params: Mapping[str, object], tags: Mapping[str, str]
) -> MlflowRun:
    """The run of an interrupted training, which is running again."""
    found = _find_or_stand_in(link, run_id, experiment, params, tags)
    if found is None:
        return MlflowRun(link, run_id=run_id, experiment=experiment)
    run = MlflowRun(link, run_id=found.info.run_id, experiment=experiment)
    link.attempt(lambda client: _set_running(client, found, params, tags))
    run.skip_known(found.data.metrics)
    return run


def _find_or_stand_in(
    link: Link, run_id: str, experiment: str, params: Mapping[str, object], tags: Mapping[str, str]
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
    filter_string = f"tags.{RESTORED_FROM} = '{run_id}'"
    return next(iter(client.search_runs([experiment.experiment_id], filter_string, max_results=1)), None)


def _create_run(
    client: "MlflowClient", experiment: str, params: Mapping[str, object], tags: Mapping[str, str]
) -> "Run":
    run = client.create_run(find_or_create_experiment(client, experiment), tags=dict(tags))
    _log_params(client, run.info.run_id, params)
    return run


def _set_running(client: "MlflowClient", run: "Run", params: Mapping[str, object], tags: Mapping[str, str]) -> None:
    client.update_run(run.info.run_id, status="RUNNING")
    missing = {key: value for key, value in params.items() if key not in run.data.params}
    _log_params(client, run.info.run_id, missing)
    log_tags(client, run.info.run_id, tags)


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(key, masked(str(value))) for key, value in params.items()])


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
