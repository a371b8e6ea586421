"""Synchronisation: a run gets what it lacks of the record on disk, in whichever store is asked, each point once.

The store is asked what it has. A point has the same time at every attempt, so that the store drops a second copy
of it, which a request that was given up and carried out later would bring.
"""

import hashlib
import itertools
import json
import re
import time
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dcgan.config.workspace import DATASET
from dcgan.system.files import sha256_of
from dcgan.tracking.description import NOTE, RUN_ID, is_ours, marked, summary_of
from dcgan.tracking.jsonl import step_of
from dcgan.tracking.provenance import GENERATOR_SHA256, TRAINING_ID
from dcgan.tracking.record import RunRecord
from dcgan.tracking.store import find_or_create_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DIGEST_LENGTH = 36
"""Characters of a data set's digest: MLflow's own limit."""
QUOTE = "'"
NAME = "mlflow.runName"
ARTIFACTS = "artifacts"
"""The tag with the digest of each folder's files, as `evaluation=1a2b3c4d5e6f`."""
SAMPLES, FINAL_SAMPLES = "samples", "final_samples"
"""The keys of grids of samples: at every step, and the last one, which is at step 0 in every run, for comparisons."""


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
    sent["grids"] = _send_grids(client, run, record)
    sent["artifacts"] = _send_files(client, run, record)
    if record.status != run.info.status and (is_running or record.status == "FINISHED"):  # else it says how it ended
        client.set_terminated(run_id, record.status, end_time=record.ended_ms)
    return run_id, sent


def _find_or_create_run(client: "MlflowClient", experiment_id: str, record: RunRecord) -> "Run":
    """The oldest run with the record's training, or with its weights."""
    names = {tag: record.tags[tag] for tag in (TRAINING_ID, GENERATOR_SHA256) if tag in record.tags}
    for tag, value in names.items():
        condition, oldest_first = f"tags.{tag} = '{value}'", ["attributes.start_time ASC"]
        if found := client.search_runs([experiment_id], condition, order_by=oldest_first, max_results=1):
            return found[0]
    name = _free_name(client, experiment_id, record.tags[NAME])
    return client.create_run(experiment_id, start_time=record.started_ms, tags=names, run_name=name)


def _free_name(client: "MlflowClient", experiment_id: str, name: str) -> str:
    """The name, or `name (2)` and so on if the experiment has it."""
    condition = f"attributes.run_name LIKE '{name.replace(QUOTE, '_')}%'"
    taken = {run.info.run_name for run in client.search_runs([experiment_id], condition)}
    names = (f"{name} ({number})" if number > 1 else name for number in itertools.count(1))
    return next(each for each in names if each not in taken)


def _send_description(client: "MlflowClient", run: "Run", record: RunRecord) -> None:
    """Send parameters, of which MLflow keeps the first, the data set, and tags.

    A restored model's tags replace none, nor do a run's name and description, which people write anew in MLflow.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    has_tags, has_params, is_restored = run.data.tags, run.data.params, TRAINING_ID not in record.tags
    is_known = has_tags.get(TRAINING_ID) == record.tags.get(TRAINING_ID)
    kept = has_tags.keys() & (record.tags.keys() if is_restored else {NAME} if is_known else ())
    wanted = {key: value for key, value in record.tags.items() if key not in kept | {NOTE}}
    if note := _note(record, has_tags.get(NOTE), run_id=run.info.run_id):
        wanted[NOTE] = note
    tags = [RunTag(key, value) for key, value in wanted.items() if has_tags.get(key) != value]
    params = [Param(key, value) for key, value in record.params.items() if key not in has_params]
    if tags or params:
        client.log_batch(run.info.run_id, params=params, tags=tags)
    if record.dataset and not (run.inputs and run.inputs.dataset_inputs):
        name, sha256 = record.dataset["name"], record.dataset["sha256"]
        source = json.dumps({"uri": DATASET.as_posix()})
        dataset = Dataset(name, sha256[:DIGEST_LENGTH], "local", source, profile=json.dumps(record.dataset))
        client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _note(record: RunRecord, present: str | None, *, run_id: str) -> str:
    """The run's description: the present one if people wrote it, or if the record has no result that it could lack."""
    summary = record.tags.get(NOTE, "")
    if present is not None:
        if not record.result or not (is_ours(present) or present == summary):
            return present
        if TRAINING_ID not in record.tags:  # of a restored model, whose record knows less
            summary = summary_of(present)
    return marked(summary, record.result.replace(RUN_ID, run_id))


def _send_metrics(client: "MlflowClient", run: "Run", record: RunRecord) -> int:
    """Send points of steps at which the run has none of that key, whatever their values, and figures that have changed.

    Figures stand at step 0, because MLflow draws such metrics as bars, one a run; earlier versions took the last step.
    Of several that came one after the other, MLflow shows the latest of the highest step.
    """
    from mlflow.entities import Metric

    run_id, start, now = run.info.run_id, run.info.start_time, time.time_ns() // 1_000_000
    keys = {point.key for point in record.points}
    known = {(key, metric.step) for key in keys for metric in client.get_metric_history(run_id, key)}
    points = [point for point in record.points if (point.key, point.step) not in known]
    figures = [(key, value) for key, value in record.figures.items() if run.data.metrics.get(key) != value]
    new = [Metric(key, value, time_ms or start, step) for key, value, step, time_ms in points]
    for key, value in figures:
        before = client.get_metric_history(run_id, key) if key in run.data.metrics else []
        new.append(Metric(key, value, now, max((metric.step for metric in before), default=0)))
    if new:
        client.log_batch(run_id, metrics=new)
    return len(new)


def _send_grids(client: "MlflowClient", run: "Run", record: RunRecord) -> int:
    """Send the grids of steps at which the run has none, for the image slider; at the end, the last one once more."""
    from PIL import Image

    names = _artifacts(client, run, "images")
    known = {int(step[1]) for name in names if (step := re.match(rf"{SAMPLES}[+%]step[+%](\d+)", name))}
    new = [(path, SAMPLES, step_of(path)) for path in record.grids if step_of(path) not in known]
    if record.status == "FINISHED" and not any(name.startswith(FINAL_SAMPLES) for name in names):
        new += [(path, FINAL_SAMPLES, 0) for path in record.grids[-1:]]
    for path, key, at in new:
        with Image.open(path) as image:
            client.log_image(run.info.run_id, image, key=key, step=at)
    return len(new)


def _send_files(client: "MlflowClient", run: "Run", record: RunRecord) -> int:
    """Store files in the run's artifacts, by folder, unless they are there, with these contents as a tag says."""
    known = dict(re.findall(r"(\w+)=(\w+)", run.data.tags.get(ARTIFACTS, "")))
    sent = 0
    for folder, files in record.files.items():
        texts = {path: text for path, text in record.texts.items() if path.startswith(f"{folder}/")}
        contents = "".join(f"{path.name} {sha256_of(path)}\n" for path in files) + "".join(texts.values())
        digest = hashlib.sha256(contents.encode()).hexdigest()[:12]
        names = {path.name for path in files} | {PurePosixPath(path).name for path in texts}
        if known.get(folder) == digest and names <= _artifacts(client, run, folder):
            continue
        for path in files:
            client.log_artifact(run.info.run_id, str(path), folder)
        for name, text in texts.items():
            client.log_text(run.info.run_id, text, name)
        known[folder] = digest
        client.set_tag(run.info.run_id, ARTIFACTS, " ".join(f"{key}={value}" for key, value in known.items()))
        sent += len(names)
    return sent


def _artifacts(client: "MlflowClient", run: "Run", folder: str) -> set[str]:
    """The names in a folder of the run's artifacts; not asked of the client, which asks MLflow 3 for models as well."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=f"{run.info.artifact_uri}/{folder}", tracking_uri=client.tracking_uri)
    return {PurePosixPath(each.path).name for each in found}
