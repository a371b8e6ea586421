"""Upload of an ONNX model as a version: a logged model in MLflow 3, artifacts of its run on an MLflow 2 server."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dcgan.config.workspace import ONNX_GENERATOR
from dcgan.tracking.failures import is_missing, lacks_endpoint
from dcgan.tracking.onnx_model import signature_and_example

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from onnx import ModelProto

ARTIFACT = "generator"


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
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    try:
        found = list_artifacts(artifact_uri=f"models:/{name}/{number}", tracking_uri=client.tracking_uri)
    except MlflowException as error:
        if is_missing(error):
            return False
        raise
    return any(each.path.endswith(".onnx") for each in found)


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
