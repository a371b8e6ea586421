"""Models that the registry knows, fetched by their address: `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""

from pathlib import Path

from dcgan.system.errors import BadDataError
from dcgan.system.redaction import redacted
from dcgan.tracking.failures import is_missing
from dcgan.tracking.store import open_store, registry_uri

REGISTER = "`dcgan sync`, in the workspace where it was exported, registers it"


def download_model(address: str, folder: Path) -> Path:
    """Fetch a registered ONNX model into `folder`, and return the path of its file.

    Raises:
        BadDataError: the registry has no such model, or it is no single ONNX file.
        DcganError: as `open_store`.
    """
    with open_store() as client:
        import mlflow
        from mlflow.exceptions import MlflowException

        mlflow.set_tracking_uri(client.tracking_uri)
        try:
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
        except MlflowException as error:
            if not (is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE"):  # an alias that is missing
                raise
            registry = redacted(registry_uri())
            raise BadDataError(f"{address}: the registry at {registry} has no such model; {REGISTER}") from error
    files = sorted(fetched.rglob("*.onnx"))
    if len(files) != 1:
        raise BadDataError(f"{address}: holds {len(files)} ONNX files, expected one; {REGISTER}")
    return files[0]
