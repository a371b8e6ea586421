"""Models that the registry knows, fetched by their address: `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""

import os
from pathlib import Path

from dcgan.system.errors import BadDataError
from dcgan.system.redaction import redacted
from dcgan.tracking.mlflow.link import Link


def download_model(address: str, folder: Path) -> Path:
    """Fetch a registered ONNX model into `folder`, and return the path of its file.

    Raises:
        BadDataError: the registry has no such model, or it is no single ONNX file.
        UnavailableError: MLflow is not installed or cannot be reached.
    """
    link = Link(required=True)
    fetched = link.attempt(lambda _client: _download(address, folder, uri=link.uri))
    if fetched is None:
        raise BadDataError(
            f"{address}: the registry at {redacted(link.uri)} has no such model; `make ui` shows what it has"
        )
    files = sorted(fetched.rglob("*.onnx"))
    if len(files) != 1:
        raise BadDataError(f"{address}: holds {len(files)} ONNX files, expected one; register it with `dvc repro`")
    return files[0]


def _download(address: str, folder: Path, *, uri: str) -> Path | None:
    """The folder that the model was fetched into; None if there is no such model."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(uri)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}:
            return None
        raise
