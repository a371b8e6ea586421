"""Upload of an ONNX model as a version: a logged model in MLflow 3, artifacts of its run on an MLflow 2 server."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dcgan.config.workspace import ONNX_GENERATOR, REPORT_FILES
from dcgan.system.files import sha256_of
from dcgan.tracking.failures import is_missing, lacks_endpoint
from dcgan.tracking.onnx_model import signature_and_example

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from onnx import ModelProto

ARTIFACT = "generator"
REPORT_SHA256 = "report_sha256"
"""The tag, of a logged model or a run, with the SHA-256 of each text that lies beside the model."""


def upload_version(
    client: "MlflowClient", model: "ModelProto", *, name: str, tags: Mapping[str, str], run_id: str, step: int
) -> str:
    """Log models/generator.onnx, loaded as `model`, to its run and register it as `name`; the new version's number."""
    import mlflow.onnx
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    mlflow.set_tracking_uri(client.tracking_uri)  # `Model.log` takes no client
    run, flavor = client.get_run(run_id), _flavor(model)
    try:
        logged = client.create_logged_model(
            run.info.experiment_id, name=ARTIFACT, source_run_id=run_id, params=run.data.params
        )
    except MlflowException as error:
        if lacks_endpoint(error):
            return _upload_to_run(client, run, flavor, name=name, tags=tags)
        raise
    registered = Model.log(
        artifact_path=None,
        flavor=mlflow.onnx,
        registered_model_name=name,
        run_id=run_id,
        model_id=logged.model_id,
        step=step,
        tags=dict(tags),
        **flavor,
    )
    return str(registered.registered_model_version)


def holds_file(client: "MlflowClient", name: str, number: str) -> bool:
    """Whether the ONNX file of a version is still where MLflow put it."""
    return any(file.endswith(".onnx") for file in _files_of(client, name, number))


def _files_of(client: "MlflowClient", name: str, number: str) -> set[str]:
    """The names beside the ONNX file of a version; none if MLflow has lost them.

    Asked of the client: for an address models:/NAME/NUMBER, MLflow would ask the registry of its global settings.
    """
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    try:
        place = client.get_model_version_download_uri(name, number)
        found = list_artifacts(artifact_uri=place, tracking_uri=client.tracking_uri)
    except MlflowException as error:
        if is_missing(error):
            return set()
        raise
    return {PurePosixPath(each.path).name for each in found}


def send_report(client: "MlflowClient", name: str, number: str) -> int:
    """Put the report and the model card beside a version's ONNX file, unless they are there; how many were sent.

    None where the file is another version's, or of a run that this store does not have.
    """
    from mlflow.exceptions import MlflowException

    texts = [path for path in REPORT_FILES if path.is_file()]
    try:
        place = _place_of(client, client.get_model_version(name, number))
    except MlflowException as error:
        if is_missing(error):
            return 0
        raise
    digests = " ".join(sha256_of(path) for path in texts)
    is_there = {path.name for path in texts} <= _files_of(client, name, number)
    if place is None or not texts or (place.tags.get(REPORT_SHA256) == digests and is_there):
        return 0
    for path in texts:
        place.send(str(path))
    place.set_tag(REPORT_SHA256, digests)
    return len(texts)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The folder that holds a version's ONNX file, and the tags of what it belongs to."""

    tags: Mapping[str, str]
    send: Callable[[str], None]
    set_tag: Callable[[str, str], None]


def _place_of(client: "MlflowClient", version: "ModelVersion") -> _Place | None:
    """That of a logged model in MLflow 3, of the run on an MLflow 2 server; None for a copy of another version."""
    source, run_id = str(version.source), version.run_id
    if logged := re.fullmatch(r"models:/(m-\w+)", source):
        return _Place(
            tags=client.get_logged_model(logged[1]).tags,
            send=lambda path: client.log_model_artifact(logged[1], path),
            set_tag=lambda key, value: client.set_logged_model_tags(logged[1], {key: value}),
        )
    if not run_id or not source.endswith(f"/{ARTIFACT}"):
        return None
    return _Place(
        tags=client.get_run(run_id).data.tags,
        send=lambda path: client.log_artifact(run_id, path, ARTIFACT),
        set_tag=lambda key, value: client.set_tag(run_id, key, value),
    )


def _flavor(model: "ModelProto") -> dict[str, Any]:
    """What MLflow's flavor for ONNX is given."""
    import onnxruntime

    signature, example = signature_and_example(ONNX_GENERATOR)
    return {
        "onnx_model": model,
        "signature": signature,
        "input_example": example,
        # Of ONNX Runtime's two packages, production takes the one for its hardware.
        "pip_requirements": [f"onnxruntime=={onnxruntime.__version__}", f"numpy=={version('numpy')}"],
        "onnx_execution_providers": ["CPUExecutionProvider"],
        "save_as_external_data": False,
    }


def _upload_to_run(
    client: "MlflowClient", run: "Run", flavor: Mapping[str, Any], *, name: str, tags: Mapping[str, str]
) -> str:
    import mlflow.onnx
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    with TemporaryDirectory() as folder:
        path = Path(folder, ARTIFACT)
        about = Model(artifact_path=ARTIFACT, run_id=run.info.run_id)
        mlflow.onnx.save_model(path=str(path), mlflow_model=about, **flavor)
        client.log_artifacts(run.info.run_id, str(path), ARTIFACT)
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if not is_missing(error):
            raise
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/{ARTIFACT}"
    return str(client.create_model_version(name, source, run.info.run_id, tags=dict(tags)).version)
