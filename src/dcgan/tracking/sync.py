"""Synchronisation: a run gets what it lacks of the record on disk, in whichever store is asked, each point once.

The store is asked what it has. A point has the same time at every attempt, so that the store drops a second copy
of it, which a request that was given up and carried out later would bring.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dcgan.config.workspace import DATASET
from dcgan.system.files import sha256_of
from dcgan.tracking.jsonl import step_of
from dcgan.tracking.provenance import GENERATOR_SHA256, TRAINING_ID
from dcgan.tracking.record import RunRecord
from dcgan.tracking.store import find_or_create_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DIGEST_LENGTH = 36
"""Characters of a data set's digest: MLflow's own limit."""

WRITTEN_BY_PEOPLE = {"mlflow.runName", "mlflow.note.content"}


def sync_run(client: "MlflowClient", record: RunRecord, *, experiment: str) -> tuple[str, Counter[str]]:
    """Send what the run of `record` lacks, its end the last; the run is created if the store does not know it.

    Returns:
        The run's id, and how many `points`, `grids` and `artifacts` were sent.
    """
    experiment_id = find_or_create_experiment(client, experiment)
    run = _find_or_create_run(client, experiment_id, record)
    run_id, is_running, sent = run.info.run_id, run.info.status == "RUNNING", Counter[str]()
    if record.status == "RUNNING" and not is_running:
        client.update_run(run_id, status="RUNNING")
    _send_description(client, run, record)
    sent["points"] = _send_metrics(client, run, record)
    sent["grids"] = _send_grids(client, run, record.grids)
    sent["artifacts"] = sum(_send_files(client, run, folder, files) for folder, files in record.files.items())
    if record.status != run.info.status and (is_running or record.status == "FINISHED"):  # else it says how it ended
        client.set_terminated(run_id, record.status)
    return run_id, sent


def _find_or_create_run(client: "MlflowClient", experiment_id: str, record: RunRecord) -> "Run":
    """The oldest run with the record's training, or with its weights."""
    names = {tag: record.tags[tag] for tag in (TRAINING_ID, GENERATOR_SHA256) if tag in record.tags}
    for tag, value in names.items():
        condition, oldest_first = f"tags.{tag} = '{value}'", ["attributes.start_time ASC"]
        if found := client.search_runs([experiment_id], condition, order_by=oldest_first, max_results=1):
            return found[0]
    return client.create_run(experiment_id, tags=names, run_name=record.tags["mlflow.runName"])


def _send_description(client: "MlflowClient", run: "Run", record: RunRecord) -> None:
    """Send parameters, of which MLflow keeps the first, the data set, and tags.

    A restored model's tags replace none, nor do a run's name and description, which people write anew in MLflow.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    has_tags, has_params, is_restored = run.data.tags, run.data.params, TRAINING_ID not in record.tags
    is_known = has_tags.get(TRAINING_ID) == record.tags.get(TRAINING_ID)
    kept = has_tags.keys() & (record.tags.keys() if is_restored else WRITTEN_BY_PEOPLE if is_known else ())
    wanted = {key: value for key, value in record.tags.items() if key not in kept}
    tags = [RunTag(key, value) for key, value in wanted.items() if has_tags.get(key) != value]
    params = [Param(key, value) for key, value in record.params.items() if key not in has_params]
    if tags or params:
        client.log_batch(run.info.run_id, params=params, tags=tags)
    if record.dataset and not (run.inputs and run.inputs.dataset_inputs):
        name, sha256 = record.dataset["name"], record.dataset["sha256"]
        source = json.dumps({"uri": DATASET.as_posix()})
        dataset = Dataset(name, sha256[:DIGEST_LENGTH], "local", source, profile=json.dumps(record.dataset))
        client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _send_metrics(client: "MlflowClient", run: "Run", record: RunRecord) -> int:
    """Send points of steps at which the run has none of that key, whatever their values, and figures that have changed.

    Figures stand at the last step; of several that came one after the other, MLflow shows the latest.
    """
    from mlflow.entities import Metric

    run_id, start, now = run.info.run_id, run.info.start_time, time.time_ns() // 1_000_000
    keys = {point.key for point in record.points}
    known = {(key, metric.step) for key in keys for metric in client.get_metric_history(run_id, key)}
    points = [point for point in record.points if (point.key, point.step) not in known]
    figures = record.figures.items() - run.data.metrics.items()
    new = [Metric(key, value, time_ms or start, step) for key, value, step, time_ms in points]
    new += [Metric(key, value, now, record.last_step) for key, value in figures]
    if new:
        client.log_batch(run_id, metrics=new)
    return len(new)


def _send_grids(client: "MlflowClient", run: "Run", grids: Iterable[Path]) -> int:
    """Send the grids of steps at which the run has none, for the image slider."""
    from PIL import Image

    names = _artifacts(client, run, "images")
    known = {int(step[1]) for name in names if (step := re.search(r"samples[+%]step[+%](\d+)", name))}
    new = [path for path in grids if step_of(path) not in known]
    for path in new:
        with Image.open(path) as image:
            client.log_image(run.info.run_id, image, key="samples", step=step_of(path))
    return len(new)


def _send_files(client: "MlflowClient", run: "Run", folder: str, files: Sequence[Path]) -> int:
    """Store files in a folder of the run's artifacts, unless they are there, with these contents as a tag says."""
    tag, contents = f"artifacts.{folder}", "".join(f"{path.name} {sha256_of(path)}\n" for path in files)
    digest = hashlib.sha256(contents.encode()).hexdigest()
    names = {path.name for path in files}
    if run.data.tags.get(tag) == digest and names <= _artifacts(client, run, folder):
        return 0
    for path in files:
        client.log_artifact(run.info.run_id, str(path), folder)
    client.set_tag(run.info.run_id, tag, digest)
    return len(files)


def _artifacts(client: "MlflowClient", run: "Run", folder: str) -> set[str]:
    """The names in a folder of the run's artifacts; not asked of the client, which asks MLflow 3 for models as well."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=f"{run.info.artifact_uri}/{folder}", tracking_uri=client.tracking_uri)
    return {PurePosixPath(each.path).name for each in found}
