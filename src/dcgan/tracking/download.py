"""Models that the registry knows, fetched by their address: `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""

from pathlib import Path

from dcgan.system.errors import BadDataError
from dcgan.system.redaction import redacted
from dcgan.tracking.store import open_store, registry_uri


def download_model(address: str, folder: Path) -> Path:
    """Fetch a registered ONNX model into `folder`, and return the path of its file.

    Raises:
        BadDataError: the registry has no such model, or it is no single ONNX file.
        UnavailableError: MLflow is not installed or cannot be reached.
    """
    with open_store() as client:
        import mlflow
        from mlflow.exceptions import MlflowException

        mlflow.set_tracking_uri(client.tracking_uri)
        try:
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}:
                raise
            registry = redacted(registry_uri())
            raise BadDataError(f"{address}: the registry at {registry} has no such model") from error
    files = sorted(fetched.rglob("*.onnx"))
    if len(files) != 1:
        raise BadDataError(f"{address}: holds {len(files)} ONNX files, expected one; register it with `dvc repro`")
    return files[0]
